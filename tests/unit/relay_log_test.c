/* What is said of flows: log lines, records, the table, its words; and what is dumped of them. */
#include "../../tools/relay/relay.h"

#include "capture.h"
#include "check.h"
#include "clock.h"
#include "diag.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdlib.h>

#define MS ((uint64_t)NS_PER_MS)

static struct relay_options options;
static struct relay_tool tool = { .name = "tcprelay", .flow_len = sizeof(struct relay_flow) };
static struct relay_loop loop;
static struct relay relay = { .tool = &tool, .o = &options, .loop = &loop };
static struct relay_flow flow = { .loop = &loop, .accepted_ns = 1000 * MS };

static struct addr at(unsigned port)
{
	struct addr a = { .len = sizeof(a.u.in4) };
	a.u.in4.sin_family = AF_INET;
	a.u.in4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	a.u.in4.sin_port = htons((uint16_t)port);
	return a;
}

static void set_up(void)
{
	diag_tool = "tcprelay";
	loop.relay = &relay;
	loop.shop.o.high = 256 * 1024;
	loop.impair[PUMP_UP] = loop.impair[PUMP_DOWN] = impair_default();
	relay.loops.n = 1;
	relay.bound = at(8080);
	options = (struct relay_options){ 0 };
}

static struct relay_row open_row(uint64_t id)
{
	struct relay_row row = {
		.id = id, .state = RELAY_OPEN, .client = at(40000), .server = at(5001), .age_ns = 3200 * MS
	};
	snprintf(row.target, sizeof(row.target), "localhost:5001");
	row.connect_ns = MS / 4;
	row.lane[PUMP_UP].bytes_in = row.lane[PUMP_UP].bytes_out = 1536 * 1024;
	row.lane[PUMP_DOWN].bytes_in = row.lane[PUMP_DOWN].bytes_out = 12 * 1024;
	return row;
}

static const char *words_of(const struct relay_row *row)
{
	static char text[RELAY_WORDS];
	return relay_row_words(text, row);
}

static int has(const char *text, const char *part)
{
	int is_there = strstr(text, part) != NULL;
	if (!is_there)
		fprintf(stderr, "    not in it: \"%s\"\n    %s\n", part, text);
	return is_there;
}

/* --- names -------------------------------------------------------------------------------------------------------- */

static void every_end_has_a_name_of_its_own(void)
{
	for (enum relay_end a = RELAY_END_NONE; a <= RELAY_END_DENIED; a++) {
		CHECK(relay_end_text(a) != NULL && relay_end_text(a)[0] != '\0');
		CHECK(relay_end_symbol(a) != NULL && strcspn(relay_end_symbol(a), " -") == strlen(relay_end_symbol(a)));
		for (enum relay_end b = RELAY_END_NONE; b < a; b++)
			CHECK(strcmp(relay_end_symbol(a), relay_end_symbol(b)) != 0);
	}
	CHECK_STR(relay_end_symbol(RELAY_END_SERVER_RESET), "server_reset");
	CHECK_STR(relay_end_text(RELAY_END_SERVER_RESET), "server reset");
}

/* --- words -------------------------------------------------------------------------------------------------------- */

static void words_tell_who_is_too_slow(void)
{
	struct relay_row row = open_row(1);
	CHECK_STR(words_of(&row), "");
	row.lane[PUMP_UP].waiting = 256 * 1024;
	row.lane[PUMP_UP].waiting_ns = 3200 * MS;
	row.lane[PUMP_UP].is_paused = true;
	CHECK_STR(words_of(&row), "server too slow: 256 KiB wait for 3.20 s, client paused");
	row.lane[PUMP_DOWN] = row.lane[PUMP_UP];
	CHECK_STR(words_of(&row), "server too slow: 256 KiB wait for 3.20 s, client paused; "
				  "client too slow: 256 KiB wait for 3.20 s, server paused");
	row = open_row(1);
	row.lane[PUMP_DOWN].waiting = 1000;
	row.lane[PUMP_DOWN].waiting_ns = MS;
	CHECK_STR(words_of(&row), ""); /* just under way */
	row.lane[PUMP_DOWN].waiting_ns = 400 * MS;
	CHECK_STR(words_of(&row), "client too slow: 1000 B wait for 400 ms");
}

static void words_tell_what_the_relay_holds_back_itself(void)
{
	struct relay_row row = open_row(1);
	row.lane[PUMP_UP].is_impaired = true;
	CHECK_STR(words_of(&row), "");
	row.lane[PUMP_UP].waiting = 20 * 1024;
	CHECK_STR(words_of(&row), "held back by impairment: 20 KiB wait");
	row.lane[PUMP_UP].is_paused = true;
	CHECK_STR(words_of(&row), "held back by impairment: 20 KiB wait, client paused");
	row.lane[PUMP_UP].waiting_ns = 400 * MS; /* it is the server, too */
	CHECK_STR(words_of(&row), "server too slow: 20 KiB wait for 400 ms, client paused");
}

static void words_tell_who_has_finished(void)
{
	struct relay_row row = open_row(1);
	row.lane[PUMP_UP].is_eof = row.lane[PUMP_UP].is_shut = true;
	CHECK_STR(words_of(&row), "client has finished (FIN), server goes on");
	row.lane[PUMP_UP].is_shut = false;
	row.lane[PUMP_UP].waiting = 10;
	row.lane[PUMP_UP].waiting_ns = MS;
	CHECK_STR(words_of(&row), "client has finished, its last bytes wait");
	row = open_row(1);
	row.lane[PUMP_DOWN].is_eof = row.lane[PUMP_DOWN].is_shut = true;
	CHECK_STR(words_of(&row), "server has finished (FIN), client goes on");
}

static void words_tell_of_the_past_and_of_other_states(void)
{
	struct relay_row row = open_row(1);
	row.lane[PUMP_DOWN].pauses = 1;
	row.lane[PUMP_DOWN].blocked_ns = 200000 * MS;
	CHECK_STR(words_of(&row), "server was paused 1 time, bytes waited 3m 20s");
	row.state = RELAY_GREETING;
	CHECK_STR(words_of(&row), "client has not said yet where to go");
	row.state = RELAY_CONNECTING;
	CHECK_STR(words_of(&row), "being connected with the server");
	row.state = RELAY_ENDED;
	row.end = RELAY_END_IDLE;
	CHECK_STR(words_of(&row), "silent for too long");
}

static void long_times_are_readable(void)
{
	char text[UNITS_TEXT];
	CHECK_STR(relay_time_text(text, 99 * 1000 * MS), "99.0 s");
	CHECK_STR(relay_time_text(text, 133 * 1000 * MS), "2m 13s");
	CHECK_STR(relay_time_text(text, (5 * 3600 + 125) * 1000 * MS), "5h 02m");
	CHECK_STR(relay_time_text(text, (3 * 24 + 4) * 3600 * 1000 * MS), "3d 04h");
	CHECK(relay_time_text(text, UINT64_MAX) == text);
}

/* --- the table ---------------------------------------------------------------------------------------------------- */

static char *text_of(const struct relay_census *c, unsigned columns, struct relay_view *view, unsigned lines)
{
	static char *text;
	size_t len;
	free(text);
	FILE *out = open_memstream(&text, &len);
	if (view != NULL)
		relay_view_text(out, &relay, c, view, columns, lines);
	else
		relay_census_text(out, &relay, c, columns);
	fclose(out);
	return text;
}

static size_t count_lines(const char *text)
{
	size_t n = 0;
	for (; *text != '\0'; text++)
		n += *text == '\n';
	return n;
}

static size_t longest_line(const char *text)
{
	size_t longest = 0;
	while (*text != '\0') {
		size_t len = strcspn(text, "\n");
		longest = len > longest ? len : longest;
		text += len + (text[len] == '\n');
	}
	return longest;
}

static void a_table_fits_its_columns_and_no_line_is_empty(void)
{
	struct relay_row rows[3] = { open_row(1), open_row(2), open_row(3) }, old = open_row(9);
	rows[1].lane[PUMP_UP] = (struct relay_lane_row){ .waiting = 262144,
							 .waiting_ns = 5000 * MS,
							 .is_paused = true };
	old.state = RELAY_ENDED;
	old.end = RELAY_END_SERVER_RESET;
	old.ended_ns = 5000 * MS;
	struct relay_census c = { .now_ns = 7000 * MS, .rows = rows, .n_rows = 3, .recent = &old, .n_recent = 1 };
	struct relay_view view = { 0 };
	for (unsigned columns = 1; columns < 200; columns++) {
		for (int i = 0; i < 2; i++) {
			const char *text = text_of(&c, columns, i > 0 ? &view : NULL, 0);
			CHECK(longest_line(text) <= columns);
			CHECK(strstr(text, "\n\n") == NULL && text[0] != '\n' && text[0] != '\0');
		}
	}
	relay_view_free(&view);
	const char *wide = text_of(&c, 0, NULL, 0);
	CHECK(has(wide, "server too slow: 256 KiB wait for 5.00 s, client paused"));
	CHECK(has(wide,
		  "#9 127.0.0.1:40000 > localhost:5001: 1.50 MiB up, 12 KiB down in 3.20 s; server reset, 2.00 s ago"));
	CHECK(has(wide, "RTT client"));
	CHECK(has(text_of(&c, 80, NULL, 0), "server too slow: 256"));
	CHECK(strstr(text_of(&c, 80, NULL, 0), "RTT client") == NULL);
}

static void of_too_many_the_interesting_ones_are_shown(void)
{
	enum { N = 500 };
	static struct relay_row rows[N];
	for (unsigned i = 0; i < N; i++)
		rows[i] = open_row(i + 1);
	rows[3].lane[PUMP_DOWN].is_paused = true;
	rows[7].lane[PUMP_DOWN].waiting = 5;
	rows[7].lane[PUMP_DOWN].waiting_ns = 900 * MS;
	rows[11].state = RELAY_CONNECTING;
	struct relay_census c = { .now_ns = 7000 * MS, .rows = rows, .n_rows = N };
	const char *text = text_of(&c, 100, NULL, 0);
	CHECK(has(text, "\n  4  "));
	CHECK(has(text, "\n  8  "));
	CHECK(has(text, "\n 12  "));
	CHECK(has(text, "\n500  ")); /* the younger of those about which there is nothing to say */
	CHECK(strstr(text, "\n  5  ") == NULL);
	CHECK(has(text, "and 400 more"));
	CHECK_INT(count_lines(text), 2 + 1 + RELAY_TABLE_ROWS + 1);
	struct relay_view view = { 0 };
	text = text_of(&c, 100, &view, 24);
	CHECK_INT(count_lines(text), 24);
	CHECK(has(text, "\n  4  "));
	relay_view_free(&view);
}

static void rates_are_those_since_the_last_look(void)
{
	struct relay_row rows[2] = { open_row(5), open_row(6) };
	struct relay_census c = { .now_ns = 10000 * MS, .rows = rows, .n_rows = 1 };
	struct relay_view view = { 0 };
	c.tally.bytes_up = 1000;
	CHECK(strstr(text_of(&c, 0, &view, 0), "now") == NULL);
	c.now_ns += 2000 * MS;
	c.n_rows = 2;
	c.tally.bytes_up += 250000;
	rows[0].lane[PUMP_UP].bytes_out += 250000;
	rows[1].age_ns = 1000 * MS; /* new: what it has moved it moved in one second */
	rows[1].lane[PUMP_UP].bytes_out = 250000;
	rows[1].lane[PUMP_DOWN].bytes_out = 0;
	const char *text = text_of(&c, 0, &view, 0);
	CHECK(has(text, "now 1.00 Mbit/s up, 0.00 bit/s down"));
	CHECK(has(text, "5  127.0.0.1:40000  localhost:5001  3.20 s  1.00 Mbit/s       -   [        ]"));
	CHECK(has(text, "6  127.0.0.1:40000  localhost:5001  1.00 s  2.00 Mbit/s       -   [        ]"));
	rows[1].lane[PUMP_UP].waiting = 128 * 1024;
	CHECK(has(text_of(&c, 0, &view, 0), ">[####    ]"));
	rows[1].lane[PUMP_DOWN].waiting = 256 * 1024;
	CHECK(has(text_of(&c, 0, &view, 0), "<[########]"));
	relay_view_free(&view);
}

static void a_name_cannot_give_orders_to_the_terminal(void)
{
	struct relay_row row = open_row(1);
	snprintf(row.target, sizeof(row.target), "evil\033[2J\xc3\xa4\n:80");
	struct relay_census c = { .rows = &row, .n_rows = 1, .recent = &row, .n_recent = 1 };
	const char *text = text_of(&c, 0, NULL, 0);
	CHECK(has(text, "evil?[2J???:80"));
	for (const char *p = text; *p != '\0'; p++)
		CHECK(*p == '\n' || (*p >= ' ' && *p <= '~'));
}

/* --- records ------------------------------------------------------------------------------------------------------ */

static void a_census_is_one_record(void)
{
	struct relay_row rows[2] = { open_row(1), open_row(2) }, old = open_row(9);
	char *text = NULL;
	size_t len;
	old.ended_ns = 3000 * MS;
	old.end = RELAY_END_CLIENT_FAILED;
	old.err = ETIMEDOUT;
	old.state = RELAY_ENDED;
	rows[1].state = RELAY_CONNECTING;
	rows[1].server.len = 0;
	rows[1].target[0] = '\0';
	struct relay_census c = { .now_ns = 4000 * MS, .rows = rows, .n_rows = 2, .recent = &old, .n_recent = 1 };
	c.tally.ends[RELAY_END_CLIENT_FAILED] = 1;
	FILE *out = open_memstream(&text, &len);
	relay_census_json(out, &relay, &c);
	fclose(out);
	CHECK_INT(count_lines(text), 1);
	CHECK(has(text, "{\"schema\":\"tcplab.tcprelay/1\",\"record\":\"status\",\"listening\":\"127.0.0.1:8080\""));
	CHECK(has(text, "\"ends\":{\"orderly\":0,"));
	CHECK(has(text, "\"client_failed\":1"));
	CHECK(has(text, "\"impairments\":{\"up\":\"clear\",\"down\":\"clear\"}"));
	CHECK(has(
		text,
		"\"id\":2,\"client\":\"127.0.0.1:40000\",\"target\":null,\"server\":null,\"state\":\"connecting\",\"end\":null"));
	CHECK(has(text, "\"connect_ns\":null"));
	CHECK(has(text, "\"end\":\"client_failed\",\"errno\":\"ETIMEDOUT\""));
	CHECK(has(text, "\"ended_ago_ns\":1000000000"));
	free(text);
}

static struct relay_row ended;

static void log_end(void)
{
	relay_log_end(&flow, &ended);
}

static void log_denied(void)
{
	struct addr a = at(77);
	relay_log_denied(&relay, &a, "by the rules");
}

static void the_log_says_who_and_how(void)
{
	options = (struct relay_options){ .verbose = true };
	ended = open_row(7);
	ended.state = RELAY_ENDED;
	ended.end = RELAY_END_SERVER_RESET;
	ended.resolve_ns = 2 * MS;
	ended.lane[PUMP_UP].dropped = 2048;
	CHECK_STR(written_by(log_end, STDERR_FILENO),
		  "tcprelay: #7 127.0.0.1:40000 > localhost:5001 (127.0.0.1:5001): 1.50 MiB up, 12 KiB down in 3.20 s; "
		  "server reset; lost on the way up: 2 KiB; name 2.00 ms, connect 250 us\n");
	CHECK_STR(written_by(log_end, STDOUT_FILENO), "");
	ended.end = RELAY_END_ORDERLY;
	flow.pump.has_fin = true;
	flow.pump.first_fin = PUMP_B;
	CHECK(has(written_by(log_end, STDERR_FILENO), "; both ends finished, server first; lost"));
	flow.pump.has_fin = false;
	ended.end = RELAY_END_CLIENT_FAILED;
	ended.err = ETIMEDOUT;
	ended.resolve_ns = 0;
	ended.lane[PUMP_UP].dropped = 0;
	snprintf(ended.target, sizeof(ended.target), "127.0.0.1:5001"); /* a literal is not said twice */
	char wanted[256];
	snprintf(wanted, sizeof(wanted),
		 "> 127.0.0.1:5001: 1.50 MiB up, 12 KiB down in 3.20 s; client failed: %s (ETIMEDOUT); "
		 "connect 250 us\n",
		 strerror(ETIMEDOUT));
	CHECK(has(written_by(log_end, STDERR_FILENO), wanted));
	CHECK_STR(written_by(log_denied, STDERR_FILENO), "tcprelay: 127.0.0.1:77: denied: by the rules\n");
	options.verbose = false;
	CHECK_STR(written_by(log_end, STDERR_FILENO), "");
}

static void the_log_says_why_a_connect_failed(void)
{
	struct net_error e;
	errno = ECONNREFUSED;
	net_fail(&e, "connect", "127.0.0.1:9");
	options = (struct relay_options){ .verbose = true, .json = true };
	ended = (struct relay_row){ .id = 8, .state = RELAY_ENDED, .end = RELAY_END_CONNECT, .client = at(40000) };
	flow.why = &e;
	CHECK(has(written_by(log_end, STDERR_FILENO),
		  "no server could be reached: connect 127.0.0.1:9: Connection refused (ECONNREFUSED)"));
	CHECK(has(written_by(log_end, STDOUT_FILENO), "\"why\":\"Connection refused\""));
	ended.err = ECONNREFUSED;
	CHECK(has(written_by(log_end, STDOUT_FILENO), "\"errno\":\"ECONNREFUSED\""));
	ended.err = 0;
	ended.gai = EAI_NONAME;
	CHECK(has(written_by(log_end, STDOUT_FILENO), "\"errno\":\"EAI_NONAME\""));
	ended.gai = 0;
	flow.why = NULL;
	flow.reason = "no PROXY head";
	CHECK(has(written_by(log_end, STDOUT_FILENO), "\"why\":\"no PROXY head\""));
	flow.reason = NULL;
}

static void a_record_of_a_connection_has_every_figure(void)
{
	options = (struct relay_options){ .json = true };
	ended = open_row(7);
	ended.state = RELAY_ENDED;
	ended.end = RELAY_END_ORDERLY;
	flow.pump.lane[PUMP_UP].first_ns = 1250 * MS;
	const char *text = written_by(log_end, STDOUT_FILENO);
	CHECK(has(text, "{\"schema\":\"tcplab.tcprelay/1\",\"record\":\"connection\",\"id\":7,"));
	CHECK(has(text, "\"bytes_up\":1572864,\"bytes_down\":12288"));
	CHECK(has(text, "\"first_up_ns\":250000000,\"first_down_ns\":null,\"first_fin\":null,\"why\":null"));
	CHECK_INT(count_lines(text), 1);
	CHECK_STR(written_by(log_end, STDERR_FILENO), "");
	CHECK(has(written_by(log_denied, STDOUT_FILENO), "\"record\":\"denied\",\"client\":\"127.0.0.1:77\",\"why\":\"by the rules\""));
}

static void report_total(void)
{
	struct relay_tally t = { .connections = 3, .failed = 1, .denied = 2, .bytes_up = 2048, .bytes_down = 5 };
	t.ends[RELAY_END_ORDERLY] = 2;
	t.ends[RELAY_END_CONNECT] = 1;
	relay_report_total(&relay, &t);
}

static void the_total_adds_up(void)
{
	options = (struct relay_options){ 0 };
	relay.is_drained = true;
	relay.start_ns = clk_mono_ns();
	const char *text = written_by(report_total, STDOUT_FILENO);
	CHECK(has(text, "3 connections in "));
	CHECK(has(
		text,
		": 2 KiB up, 5 B down; 2 denied; all drained\n       2  both ends finished\n       1  no server could be reached\n"));
	relay.n_unread = 4;
	CHECK(has(written_by(report_total, STDOUT_FILENO), "\n       4  lines or pieces of a report were left out"));
	options.json = true;
	relay.is_drained = false;
	text = written_by(report_total, STDOUT_FILENO);
	CHECK(has(text, "\"connections\":3,\"live\":0,\"failed\":1,\"denied\":2,\"bytes_up\":2048,\"bytes_down\":5,"));
	CHECK(has(text, "\"drained\":false,\"unread_lines\":4}"));
}

/* --- set ---------------------------------------------------------------------------------------------------------- */

static void words_of_set_are_for_one_way_or_both(void)
{
	char why[IMPAIR_WHY], text[IMPAIR_TEXT];
	struct impair_spec spec[2] = { impair_default(), impair_default() };
	CHECK(relay_set_words(spec, "delay=10ms up rate=8k down chunk=5,delay=1ms", why));
	CHECK_STR(impair_text(text, &spec[PUMP_UP]), "delay=10ms,rate=8kbit");
	CHECK_STR(impair_text(text, &spec[PUMP_DOWN]), "delay=1ms,chunk=5");
	CHECK(relay_set_words(spec, " both clear ", why));
	CHECK(impair_is_nothing(&spec[PUMP_UP]) && impair_is_nothing(&spec[PUMP_DOWN]));
	static const char *const wrong[] = { "",      "up",          "up down", "nonsense", "up delay=1ms down delay=x",
					     "delay", "up,delay=1ms" };
	for (size_t i = 0; i < COUNT_OF(wrong); i++) {
		why[0] = '\0';
		CHECK(!relay_set_words(spec, wrong[i], why) && why[0] != '\0');
		CHECK(impair_is_nothing(&spec[PUMP_UP]) && impair_is_nothing(&spec[PUMP_DOWN]));
	}
}

/* --- dump --------------------------------------------------------------------------------------------------------- */

static void dump(void)
{
	relay_dump_bytes(&flow, PUMP_DOWN, 20, (const unsigned char *)"ab\\\t\n\0\x1b[2J\xff nine", 15);
}

static void a_dump_is_plain_text(void)
{
	flow.id = 3;
	options = (struct relay_options){ .dump = RELAY_DUMP_TEXT };
	const char *text = written_by(dump, STDOUT_FILENO);
	CHECK(has(text, " #3 < 20: ab\\\\\\t\\n\n"));
	CHECK(has(text, " #3 < 25: \\x00\\x1b[2J\\xff nin\n"));
	options.dump = RELAY_DUMP_HEX;
	text = written_by(dump, STDOUT_FILENO);
	CHECK(has(text, " #3 < 20: 15 bytes\n"));
	CHECK(has(text, "\n  00000014  61 62 5c 09 0a 00 1b 5b  32 4a ff 20 6e 69 6e     |ab\\....[2J. nin|\n"));
}

int main(void)
{
	set_up();
	every_end_has_a_name_of_its_own();
	words_tell_who_is_too_slow();
	words_tell_what_the_relay_holds_back_itself();
	words_tell_who_has_finished();
	words_tell_of_the_past_and_of_other_states();
	long_times_are_readable();
	a_table_fits_its_columns_and_no_line_is_empty();
	of_too_many_the_interesting_ones_are_shown();
	rates_are_those_since_the_last_look();
	a_name_cannot_give_orders_to_the_terminal();
	a_census_is_one_record();
	the_log_says_who_and_how();
	the_log_says_why_a_connect_failed();
	a_record_of_a_connection_has_every_figure();
	the_total_adds_up();
	words_of_set_are_for_one_way_or_both();
	a_dump_is_plain_text();
	return check_done();
}
