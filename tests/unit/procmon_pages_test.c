/* procmon_pages_test.c - the pages of a process made by hand: whatever it calls itself, its threads and its files
 * stays text, a table ends somewhere, what is not known is not a number, and links keep whom and what one looks at. */
#include "../../tools/procmon/pages.h"

#include "check.h"
#include "clock.h"
#include "mem.h"

#include <math.h>
#include <stdlib.h>

#define EVIL       "<script>alert('1')</script>\"&\x1b\xff"
#define EVIL_HTML  "&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&quot;&amp; \xef\xbf\xbd"
#define EVIL_SHORT "<b>'\xff"

enum { MANY = 1000 };

static struct procmon_options options = { .interval_ns = 60 * (uint64_t)NS_PER_S };
static struct procmon procmon;
static struct watched first, second;
static struct member alone = { .proc = { .dir_fd = -1, .pid_fd = -1 } };
static char *text;

static const char command[] = "server\0" EVIL "\0\0--last";
static const char environment[] = "NAME=" EVIL "\0" EVIL_SHORT "=x\0WITHOUT";

static void set_up(struct watched *w, pid_t pid)
{
	*w = (struct watched){ .procmon = &procmon, .pid = pid, .history = history_new(NS_PER_S) };
	w->member = &alone;
	w->n_members = 1;
	snprintf(w->label, sizeof(w->label), "server");
	snprintf(w->name, sizeof(w->name), "server");
	snprintf(w->user, sizeof(w->user), "nobody");
	w->command = (char *)command;
	w->command_len = sizeof(command);
	w->start_real_ns = 1800000000 * (int64_t)NS_PER_S;
	w->stat.state = 'S';
	for (size_t i = 0; i < COLUMNS; i++)
		w->value[i] = w->most[i] = w->known[i] = (double)NAN;
}

static void begin(void)
{
	procmon = (struct procmon){ .o = &options, .first = &first, .n_watched = 1, .n_live = 1 };
	procmon.own = (struct own_cost){ .cpu_percent = (double)NAN, .resident_bytes = 4096 };
	procmon.system = (struct procfs_system){ .ticks_per_s = 100, .processors = 2, .memory_bytes = 1 << 30 };
	set_up(&first, 11);
	set_up(&second, 22);
}

static void end(void)
{
	history_free(first.history);
	history_free(second.history);
	free(text);
	text = NULL;
}

/* The page, in `text`. */
static void see(const struct watched *w, enum page page, enum span span)
{
	size_t len;
	free(text);
	FILE *out = xmemstream(&text, &len);
	page_html(out, w, page, span);
	fclose(out);
}

static unsigned count(const char *what)
{
	unsigned n = 0;
	for (const char *at = text; (at = strstr(at, what)) != NULL; at += strlen(what))
		n++;
	return n;
}

static bool has(const char *what)
{
	if (CHECK(count(what) > 0))
		return true;
	fprintf(stderr, "    not there: %s\n", what);
	return false;
}

/* No number is made of nothing, no tag of a text, and what is open is closed. */
static void check_sound(void)
{
	static const char *const tags[] = {
		"main", "table", "tr", "td", "span", "div", "svg", "p", "section", "details"
	};
	CHECK_INT(count(">nan") + count("nan,") + count(",nan") + count("-nan") + count(">inf"), 0);
	CHECK_INT(count("<script>alert") + count("<b>'"), 0);
	CHECK(strchr(text, '\x1b') == NULL && strchr(text, '\xff') == NULL);
	CHECK_INT(count("http://") + count("https://"), 0);
	for (size_t i = 0; i < sizeof(tags) / sizeof(tags[0]); i++) {
		char plain[16], open[16], close[16];
		snprintf(plain, sizeof(plain), "<%s>", tags[i]);
		snprintf(open, sizeof(open), "<%s ", tags[i]);
		snprintf(close, sizeof(close), "</%s>", tags[i]);
		if (!CHECK_INT(count(plain) + count(open), count(close)))
			fprintf(stderr, "    the tag is %s\n", tags[i]);
	}
}

/* --- nothing is known yet ----------------------------------------------------------------------------------------- */

static void test_empty(void)
{
	begin();
	for (enum page page = 0; page < PAGES; page++) {
		see(&first, page, SPAN_10_MINUTES);
		check_sound();
		CHECK_INT(count("aria-current=\"page\""), page != PAGE_ENVIRON);
		CHECK_INT(count("data-stream=\"/stream?as=html&amp;page="), page_is_live(page));
		CHECK_INT(count("<form method=\"post\" action=\"/mark\">"), 1);
		CHECK_INT(count("/environ"), 0);
	}
	see(&first, PAGE_OVERVIEW, SPAN_10_MINUTES);
	CHECK_INT(count("<svg class=\"chart\""), CHARTS);
	has("<span>CPU</span><b>-</b>");
	end();
}

/* --- texts of strangers ------------------------------------------------------------------------------------------- */

static void name_everything(struct watched *w)
{
	static struct thread_row thread = { .tid = 12, .state = 'R', .name = EVIL, .wchan = EVIL, .cpu_percent = 50 };
	static struct file_row file = { .kind = FILE_REGULAR, .target = EVIL, .is_deleted = true };
	static struct socket_row socket = { .kind = SOCKET_UNIX, .path = EVIL };
	static struct map_row map = { .what = EVIL, .is_executable = true };
	snprintf(w->label, sizeof(w->label), "%s", EVIL);
	snprintf(w->name, sizeof(w->name), "%s!", EVIL);
	snprintf(w->exe, sizeof(w->exe), "/bin/%s", EVIL);
	snprintf(w->cwd, sizeof(w->cwd), "/home/%s", EVIL);
	snprintf(w->user, sizeof(w->user), "%s", EVIL);
	w->environ = (char *)environment;
	w->environ_len = sizeof(environment);
	w->threads = (struct threads){ .row = &thread, .n = 1, .at_ns = 1 };
	w->files = (struct files){ .row = &file, .n = 1, .at_ns = 1 };
	w->sockets = (struct sockets){ .row = &socket, .n = 1, .at_ns = 1 };
	w->maps = (struct maps){ .row = &map, .n = 1, .at_ns = 1 };
	w->limits.n = 1;
	snprintf(w->limits.row[0].name, sizeof(w->limits.row[0].name), "%s", EVIL_SHORT);
	marks_add(&w->procmon->marks, 1800000100 * (int64_t)NS_PER_S, EVIL);
}

static void test_strangers(void)
{
	static const unsigned least[PAGES] = { 8, 4, 3, 3, 3, 2, 3, 3 }; /* title, header; and what it is about */
	begin();
	options.allow_environ = true;
	name_everything(&first);
	for (enum page page = 0; page < PAGES; page++) {
		see(&first, page, SPAN_2_HOURS);
		check_sound();
		if (!CHECK(count(EVIL_HTML) >= least[page]))
			fprintf(stderr, "    page %s: %u\n", page_path(page), count(EVIL_HTML));
	}
	has("<td class=\"code\" data-name=\"Name\">NAME</td><td class=\"code\" data-name=\"Value\">" EVIL_HTML "</td>");
	has(">WITHOUT</td>");
	see(&first, PAGE_FILES, SPAN_10_MINUTES);
	has("<span class=\"pill warn\">deleted</span>");
	see(&first, PAGE_COMMAND, SPAN_10_MINUTES);
	CHECK_INT(count("data-name=\"Number\""), 4);
	CHECK_INT(count("(empty)"), 1);
	has(">--last</td>");
	options.allow_environ = false;
	end();
}

/* --- tables ------------------------------------------------------------------------------------------------------- */

static void test_many_threads(void)
{
	static struct thread_row rows[MANY];
	begin();
	for (int i = 0; i < MANY; i++)
		rows[i] = (struct thread_row){
			.pid = 11, .tid = 11 + i, .state = 'S', .cpu_percent = i == MANY - 1 ? 99 : (double)NAN
		};
	first.threads = (struct threads){ .row = rows, .n = MANY, .n_more = 7, .at_ns = clk_mono_ns() };
	see(&first, PAGE_THREADS, SPAN_10_MINUTES);
	check_sound();
	CHECK_INT(count("data-name=\"Thread\""), 300);
	has("and 707 more");
	const char *busy = strstr(text, ">1010<"), *main_thread = strstr(text, ">11<");
	CHECK(busy != NULL && main_thread != NULL && busy < main_thread);
	CHECK_INT(count("as of"), 0);
	first.threads.at_ns -= 300 * (uint64_t)NS_PER_S; /* whatever this test itself takes */
	see(&first, PAGE_THREADS, SPAN_10_MINUTES);
	has("; as of 5 min ");
	end();
}

static struct socket_row tcp_row(enum sockdiag_state state, const char *local, const char *peer)
{
	struct socket_row row = {
		.kind = SOCKET_TCP, .fd = 5, .fds = 2, .out_Bps = NAN, .in_Bps = 2048, .retransmits_per_s = NAN
	};
	struct net_error e;
	row.tcp.state = state;
	CHECK_INT(addr_literal(local, 80, AF_UNSPEC, &row.tcp.local, &e), 0);
	CHECK_INT(addr_literal(peer, 5000, AF_UNSPEC, &row.tcp.peer, &e), 0);
	for (int i = 0; i < SOCKETS_TRACE; i++)
		row.trace_Bps[i] = i < 50 ? (double)NAN : i;
	return row;
}

static void test_sockets(void)
{
	struct socket_row rows[3] = { tcp_row(SOCKDIAG_LISTEN, "::", "::"), tcp_row(SOCKDIAG_ESTABLISHED, "::1", "::1"),
				      tcp_row(SOCKDIAG_CLOSE_WAIT, "10.0.0.1", "10.0.0.2") };
	rows[0].tcp.recv_queue = 3;
	rows[0].tcp.send_queue = 128;
	rows[1].tcp.has_info = true;
	rows[1].tcp.send_queue = 32768;
	rows[1].tcp.timer = SOCKDIAG_PERSIST;
	rows[1].tcp.timer_left_ns = 200 * (uint64_t)NS_PER_MS;
	rows[1].tcp.info = (struct tcpinfo){ .rtt_ns = 1500000, .cwnd = 10, .busy_ns = 100, .rwnd_limited_ns = 75 };
	begin();
	first.sockets = (struct sockets){
		.row = rows, .n = 3, .n_tcp = 3, .at_ns = clk_mono_ns(), .source = "sock_diag"
	};
	see(&first, PAGE_SOCKETS, SPAN_10_MINUTES);
	check_sound();
	has("TCP <small>3 from sock_diag</small>");
	has("3 wait<span class=\"bar \" title=\"of the backlog\"><i style=\"width:2.3%\">");
	has("<span class=\"pill ok\">ESTABLISHED</span>");
	has("<span class=\"pill bad\">CLOSE-WAIT</span>");
	has("[::1]:80<small>[::1]:5000</small>");
	has("32 KiB<span class=\"bar up\"><i style=\"width:50.0%\">");
	has("window is shut; next probe in 200 ms. Held up by the peer&#39;s window for 75 % of its busy time.");
	has(">2 KiB/s</td>");
	has("1.50 ms<small>-</small>");
	has("5<small>and 1 more</small>");
	CHECK_INT(count("<svg class=\"spark"), 1);
	end();
}

static void test_limits(void)
{
	begin();
	first.limits = (struct procfs_limits){ .n = 2,
					       .row = { { "Max open files", "files", 1024, PROCFS_UNLIMITED },
							{ "Max stack size", "bytes", 8 << 20, PROCFS_UNLIMITED } } };
	first.known[COLUMN_FILES] = 512;
	see(&first, PAGE_LIMITS, SPAN_10_MINUTES);
	check_sound();
	has("512<span class=\"bar \"><i style=\"width:50.0%\">");
	has(">8 MiB</td><td class=\"n\" data-name=\"Hard\">unlimited</td>");
	see(&first, PAGE_OVERVIEW, SPAN_10_MINUTES);
	has("<span>descriptors</span><b>512</b><span>of 1024 at most</span>");
	end();
}

/* --- whom one looks at -------------------------------------------------------------------------------------------- */

static void test_several(void)
{
	begin();
	first.next = &second;
	procmon.n_watched = 2;
	see(&second, PAGE_OVERVIEW, SPAN_2_HOURS);
	check_sound();
	has("<a href=\"/threads?pid=22&amp;span=2h\">");
	has("<a href=\"/?pid=22\">10 minutes</a>");
	has("<a href=\"/?pid=22&amp;span=2h\" aria-current=\"true\">2 hours</a>");
	has("<a href=\"/?pid=11&amp;span=2h\">server 11</a>");
	has("page=overview&amp;pid=22&amp;span=2h\"");
	has("name=\"pid\" value=\"22\">");
	CHECK_INT(count("<svg class=\"chart\""), CHARTS + 2);
	see(&first, PAGE_THREADS, SPAN_10_MINUTES);
	has("<a href=\"/files\">");
	has("<a href=\"/threads?pid=22\">server 22</a>");
	end();
}

static void test_tree(void)
{
	struct member members[3] = { { .proc.pid = 11, .stat = { .ppid = 1, .name = "server" }, .cpu_percent = NAN },
				     { .proc.pid = 12, .stat = { .ppid = 11, .name = EVIL }, .cpu_percent = 50 },
				     { .proc.pid = 13, .stat = { .ppid = 12, .name = "leaf" }, .cpu_percent = 0 } };
	begin();
	options.with_children = true;
	first.member = members;
	first.n_members = 3;
	see(&first, PAGE_OVERVIEW, SPAN_10_MINUTES);
	check_sound();
	has("Processes <small>3, as one</small>");
	has("└ " EVIL_HTML);
	has("\u2003\u2003└ leaf");
	options.with_children = false;
	end();
}

static void test_end(void)
{
	begin();
	first.has_ended = first.is_status_known = true;
	first.exit_status = 3 << 8;
	first.ended_ns = 1000 * (uint64_t)NS_PER_S;
	first.threads.at_ns = first.ended_ns - 130 * (uint64_t)NS_PER_S;
	see(&first, PAGE_OVERVIEW, SPAN_10_MINUTES);
	check_sound();
	has("<p class=\"note bad\">Ended at ");
	has(": exit status 3. What follows is the last that was seen.</p>");
	CHECK_INT(count("<script>") + count("refresh"), 0); /* nothing changes any more */
	see(&first, PAGE_THREADS, SPAN_10_MINUTES);
	has("; as of 2 min 10 s before the end");
	first.exit_status = 0;
	see(&first, PAGE_FILES, SPAN_10_MINUTES);
	has("<p class=\"note ok\">Ended at ");
	first.is_status_known = false;
	see(&first, PAGE_LIMITS, SPAN_10_MINUTES);
	has("<p class=\"note warn\">Ended at ");
	has("<script>"); /* it may still become known */
	first.why = "it belongs to <another> user";
	see(&first, PAGE_MAPS, SPAN_10_MINUTES);
	has("Not everything can be read: it belongs to &lt;another&gt; user.");
	first.sockets.why = first.files.why = first.why;
	first.known[COLUMN_FILES] = 12;
	see(&first, PAGE_SOCKETS, SPAN_10_MINUTES);
	has("which sockets it has is not known");
	CHECK_INT(count("0 B") + count("no TCP socket"), 0); /* what is not known is not 0 */
	CHECK_INT(count("&lt;another&gt;"), 1);              /* and said once */
	see(&first, PAGE_FILES, SPAN_10_MINUTES);
	has("Descriptors <small>12");
	has("It is not known where they lead.");
	end();
}

static void test_report(void)
{
	size_t len;
	begin();
	name_everything(&first);
	first.next = &second;
	procmon.n_watched = 2;
	for (int i = 0; i < 1000; i++)
		history_add(first.history, first.start_real_ns + i * (int64_t)NS_PER_S, first.value);
	FILE *out = xmemstream(&text, &len);
	report_html(out, &procmon);
	fclose(out);
	check_sound();
	CHECK_INT(count("<script") + count("<form") + count("href=\"/") + count("refresh") + count("src="), 0);
	CHECK_INT(count("href=\"#p"), 2);
	CHECK_INT(count("id=\"p11\"") + count("id=\"p22\""), 2);
	CHECK_INT(count("<svg class=\"chart\""), 2 + SPANS * CHARTS + CHARTS); /* 2 hours of those who have them */
	CHECK_INT(count(">WITHOUT</td>"), 0); /* the environment is for those who asked for it */
	end();
}

int main(void)
{
	test_empty();
	test_strangers();
	test_many_threads();
	test_sockets();
	test_limits();
	test_several();
	test_tree();
	test_end();
	test_report();
	return check_done();
}
