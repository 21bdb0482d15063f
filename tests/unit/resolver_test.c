/* resolver_test.c - on every kind of loop: what is asked for at the same time is looked up once, what is known is
 * remembered and forgotten in time, no source keeps the others waiting, and whoever goes, at whatever moment, takes
 * nothing along. Names are those of names.h: gates hold a lookup where the test wants it. */
#include "resolver.h"

#include "child.h"
#include "loop_kit.h"
#include "mem.h"
#include "names.h"
#include "peers.h"
#include "prng.h"

#include <dirent.h>
#include <sys/syscall.h>

static sem_t gate, dead_gate;

const struct name_row names[] = {
	{ "held", "192.0.2.2", .gate = &gate },
	{ "dead", .gai = EAI_AGAIN, .gate = &dead_gate }, /* until the end of a test */
	{ "both", "192.0.2.3 2001:db8::3 192.0.2.4" },
	{ "none", .gai = EAI_NONAME },
	{ "later", .gai = EAI_AGAIN },
	{ "system", .gai = EAI_SYSTEM, .err = EIO },
	{ "nomem-1", .gai = EAI_MEMORY },
	{ "nomem-2", .gai = EAI_SYSTEM, .err = ENOMEM },
	{ "", "192.0.2.1" },
};

enum { ANY = AF_UNSPEC, HOUR_S = 3600 };
static const uint64_t for_ever_ns = UINT64_MAX, soon_ns = 1000;

static struct reactor *loop;
static struct resolver rs;
static struct resolver_options few = {
	.threads = 1, .max_kept = 100, .keep_ns = UINT64_MAX, .keep_failed_ns = UINT64_MAX
};

/* --- askers ------------------------------------------------------------------------------------------------------ */

/* A question and its answer. */
struct asker {
	struct resolve ask;
	unsigned answers;
	size_t n;
	struct addr list[ADDR_MAX];
	struct net_error error;
	uint64_t round; /* of the answer */
	void (*then)(struct asker *a);
	struct asker *other;
};

static void on_answer(struct resolve *ask, const struct addr *list, size_t n, const struct net_error *e)
{
	struct asker *a = CONTAINER_OF(ask, struct asker, ask);
	CHECK(!resolve_is_busy(ask));
	CHECK((n > 0) == (e == NULL));
	a->answers++;
	a->n = n;
	memcpy(a->list, list, n * sizeof(*list));
	a->error = e != NULL ? *e : (struct net_error){ 0 };
	a->round = reactor_stats(loop)->rounds;
	if (a->then != NULL)
		a->then(a);
}

static void ask_for(struct asker *a, const char *host, int family, uint64_t source)
{
	unsigned before = a->answers;
	resolver_ask(&rs, &a->ask, host, 80, family, source, on_answer);
	CHECK_INT(a->answers, before);
	CHECK(resolve_is_busy(&a->ask));
}

static void ask(struct asker *a, const char *host)
{
	ask_for(a, host, ANY, 0);
}

static void run_loop(void)
{
	CHECK_INT(reactor_run(loop), 0);
}

/* A new question, answered. */
static struct asker asked(const char *host)
{
	struct asker a = { 0 };
	ask(&a, host);
	run_loop();
	CHECK_INT(a.answers, 1);
	return a;
}

static void check_found(const struct asker *a, const char *addresses)
{
	char all[512] = "", text[ADDR_TEXT];
	CHECK_INT(a->answers, 1);
	for (size_t i = 0; i < a->n; i++)
		snprintf(all + strlen(all), sizeof(all) - strlen(all), "%s%s", i > 0 ? " " : "",
			 addr_text(&a->list[i], text));
	CHECK_STR(all, addresses);
}

static void check_failed(const struct asker *a, const char *host, const char *symbol)
{
	CHECK_INT(a->answers, 1);
	CHECK_INT(a->n, 0);
	CHECK_STR(a->error.op, "resolve");
	CHECK_STR(a->error.object, host);
	CHECK_STR(net_error_symbol(&a->error), symbol);
}

static void start(const struct resolver_options *o)
{
	names_forget_story();
	resolver_start(&rs, loop, o);
}

static void wait_begun(unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		names_wait(&names_begun);
}

static void open_gate(sem_t *s, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		sem_post(s);
}

static int count_threads(void)
{
	int n = 0;
	DIR *dir = opendir("/proc/self/task");
	if (!CHECK(dir != NULL))
		return -1;
	for (struct dirent *d; (d = readdir(dir)) != NULL;)
		n += d->d_name[0] != '.';
	closedir(dir);
	return n;
}

/* --- answers ----------------------------------------------------------------------------------------------------- */

/* A literal, whatever stands for one, needs no thread; and nobody's thread is there before the first name. */
static void test_literals(void)
{
	struct asker four = { 0 }, six = { 0 }, other = { 0 };
	int threads = count_threads();
	start(&few);
	ask(&four, "192.0.2.9");
	ask(&six, "2001:DB8::9");
	run_loop();
	CHECK(count_threads() <= threads);
	check_found(&four, "192.0.2.9:80");
	check_found(&six, "[2001:db8::9]:80");
	CHECK_STR(names_story, "");
	CHECK_INT(rs.n_asked, 2);
	CHECK_INT(rs.n_looked_up, 0);
	ask_for(&other, "192.0.2.9", AF_INET6, 0); /* of the other family it is no literal, and nobody's name */
	run_loop();
	check_failed(&other, "192.0.2.9", "EAI_NONAME");
	resolver_stop(&rs);
}

static void test_names(void)
{
	struct asker both = { 0 }, four = { 0 }, six = { 0 }, none = { 0 }, later = { 0 }, empty = { 0 };
	start(&few);
	ask(&both, "both");
	ask_for(&four, "both", AF_INET, 0);
	ask_for(&six, "both", AF_INET6, 0);
	ask(&none, "none");
	ask(&later, "later");
	ask(&empty, "");
	run_loop();
	check_found(&both, "192.0.2.3:80 [2001:db8::3]:80 192.0.2.4:80");
	check_found(&four, "192.0.2.3:80 192.0.2.4:80");
	check_found(&six, "[2001:db8::3]:80");
	check_failed(&none, "none", "EAI_NONAME");
	check_failed(&later, "later", "EAI_AGAIN");
	CHECK_INT(empty.answers, 1);
	CHECK_STR(names_story, "both both both none later ");
	CHECK_INT(rs.n_asked, 6);
	CHECK_INT(rs.n_looked_up, 6);
	CHECK_INT(rs.n_failed, 2);
	CHECK_INT(rs.n_shared + rs.n_remembered + rs.n_refused, 0);
	resolver_stop(&rs);
}

/* In capitals it is the same name. */
static void test_capitals(void)
{
	start(&few);
	asked("Example.ORG");
	asked("eXAMPLE.org");
	CHECK_STR(names_story, "example.org");
	CHECK_INT(rs.n_remembered, 1);
	resolver_stop(&rs);
}

/* One that is longer than a name can be is asked of nobody. */
static void test_long_names(void)
{
	char longest[RESOLVER_NAME_MAX + 1] = "", longer[RESOLVER_NAME_MAX + 2] = "", cut[128] = "";
	memset(longest, 'a', sizeof(longest) - 1);
	memset(longer, 'b', sizeof(longer) - 1);
	memset(cut, 'b', sizeof(cut) - 1);
	start(&few);
	struct asker good = asked(longest), bad = asked(longer);
	check_found(&good, "192.0.2.1:80");
	check_failed(&bad, cut, "EAI_NONAME");
	CHECK_STR(names_story, longest);
	resolver_stop(&rs);
}

/* --- together ---------------------------------------------------------------------------------------------------- */

enum { CROWD = 1000 };
static struct asker crowd[CROWD];

/* A thousand who want to know the same need one thread, and have their answers in the same round; each with its own
 * port. */
static void test_shared(void)
{
	start(&(struct resolver_options){ 0 });
	memset(crowd, 0, sizeof(crowd));
	for (int i = 0; i < CROWD; i++)
		resolver_ask(&rs, &crowd[i].ask, "held", (uint16_t)(i + 1), ANY, (uint64_t)(i % 3), on_answer);
	wait_begun(1);
	open_gate(&gate, 1);
	run_loop();
	for (int i = 0; i < CROWD; i++) {
		CHECK_INT(crowd[i].answers, 1);
		CHECK_INT(addr_port(&crowd[i].list[0]), i + 1);
		CHECK_INT(crowd[i].round, crowd[0].round);
	}
	CHECK_STR(names_story, "held");
	CHECK_INT(rs.n_looked_up, 1);
	CHECK_INT(rs.n_shared, CROWD - 1);
	CHECK_INT(rs.n_remembered, 0);
	resolver_stop(&rs);
}

static void push_name(struct asker *a)
{
	tell((char)('a' + (a - crowd)));
}

static void test_order(void)
{
	start(&few);
	story_begin();
	for (int i = 0; i < 5; i++) {
		crowd[i] = (struct asker){ .then = push_name };
		ask(&crowd[i], "good");
	}
	run_loop();
	CHECK_STR(story, "abcde");
	resolver_stop(&rs);
}

/* --- the memory -------------------------------------------------------------------------------------------------- */

static void test_remembered(void)
{
	start(&few);
	for (int i = 0; i < 3; i++) {
		struct asker good = asked("both"), bad = asked("system"), later = asked("later");
		check_found(&good, "192.0.2.3:80 [2001:db8::3]:80 192.0.2.4:80");
		check_failed(&bad, "system", "EIO");
		check_failed(&later, "later", "EAI_AGAIN");
	}
	CHECK_STR(names_story, "both system later");
	CHECK_INT(rs.n_remembered, 6);
	CHECK_INT(rs.n_shared, 0);
	CHECK_INT(rs.n_looked_up, 3);
	CHECK_INT(rs.n_failed, 2);
	resolver_forget(&rs);
	asked("both");
	CHECK_STR(names_story, "both system later both");
	resolver_stop(&rs);
}

/* That our memory was short says nothing of the name. */
static void test_not_remembered(void)
{
	start(&few);
	for (int i = 0; i < 2; i++) {
		struct asker one = asked("nomem-1"), two = asked("nomem-2");
		check_failed(&one, "nomem-1", "EAI_MEMORY");
		check_failed(&two, "nomem-2", "ENOMEM");
	}
	CHECK_STR(names_story, "nomem-1 nomem-2 nomem-1 nomem-2");
	resolver_stop(&rs);
}

/* What is known and what failed have a time each, which begins when it became known and does not begin anew when it is
 * used. */
static void test_time(void)
{
	static const struct {
		uint64_t keep_ns, keep_failed_ns;
		const char *story;
	} rows[] = {
		{ for_ever_ns, for_ever_ns, "good none" },
		{ for_ever_ns, soon_ns, "good none none" },
		{ soon_ns, for_ever_ns, "good none good" },
		{ soon_ns, soon_ns, "good none good none" },
		{ 0, for_ever_ns, "good none good" },
		{ for_ever_ns, 0, "good none none" },
		{ (uint64_t)HOUR_S * NS_PER_S, 0, "good none none" },
	};
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct resolver_options o = few;
		o.keep_ns = rows[i].keep_ns;
		o.keep_failed_ns = rows[i].keep_failed_ns;
		start(&o);
		asked("good");
		asked("none");
		clk_sleep_until_ns(clk_mono_ns() + soon_ns);
		asked("good");
		asked("none");
		CHECK_STR(names_story, rows[i].story);
		resolver_stop(&rs);
	}
}

/* A name that is used again and again is looked up again in the end. */
static void test_use_does_not_renew(void)
{
	enum { KEEP_NS = 20 * NS_PER_MS };
	struct resolver_options o = few;
	o.keep_ns = KEEP_NS;
	start(&o);
	asked("good");
	for (uint64_t until_ns = clk_mono_ns() + KEEP_NS; clk_mono_ns() < until_ns;)
		asked("good");
	asked("good");
	CHECK(rs.n_looked_up >= 2);
	resolver_stop(&rs);
}

/* The one that was used longest ago goes first. */
static void test_least_recently_used(void)
{
	struct resolver_options o = few;
	o.max_kept = 3;
	start(&o);
	asked("a");
	asked("b");
	asked("c");
	asked("a");
	asked("d"); /* instead of b */
	CHECK_STR(names_story, "a b c d");
	asked("a");
	asked("c");
	asked("d");
	CHECK_STR(names_story, "a b c d");
	asked("b"); /* instead of a */
	asked("c");
	asked("d");
	asked("b");
	CHECK_STR(names_story, "a b c d b");
	asked("a");
	CHECK_STR(names_story, "a b c d b a");
	resolver_stop(&rs);
}

static void test_nothing_kept(void)
{
	struct resolver_options o = few;
	o.max_kept = 0;
	start(&o);
	asked("good");
	asked("good");
	resolver_forget(&rs);
	CHECK_STR(names_story, "good good");
	CHECK_INT(rs.n_remembered, 0);
	resolver_stop(&rs);
}

/* More names than chains, of both families: each has its own answer. */
static void test_many_names(void)
{
	enum { MANY = 600 };
	char host[16];
	struct resolver_options o = few;
	o.max_kept = MANY * 2;
	start(&o);
	for (int round = 0; round < 2; round++)
		for (int i = 0; i < MANY; i++) {
			struct asker a = { 0 }, b = { 0 };
			snprintf(host, sizeof(host), i % 2 == 0 ? "good-%d" : "none-%d", i);
			ask_for(&a, host, AF_INET, 0);
			ask_for(&b, host, ANY, 0);
			run_loop();
			CHECK_INT(a.n, i % 2 == 0);
			CHECK_INT(b.n, i % 2 == 0);
			if (a.n == 0)
				CHECK_STR(a.error.object, host);
		}
	CHECK_INT(rs.n_looked_up, MANY * 2);
	CHECK_INT(rs.n_remembered, MANY * 2);
	resolver_stop(&rs);
}

/* --- sources ----------------------------------------------------------------------------------------------------- */

static struct asker dead[32];

static void ask_dead(unsigned n, uint64_t source)
{
	char host[16];
	for (unsigned i = 0; i < n; i++) {
		dead[i] = (struct asker){ 0 };
		snprintf(host, sizeof(host), "dead-%u", i);
		ask_for(&dead[i], host, ANY, source);
	}
}

static void stop_at_answer(struct asker *a)
{
	(void)a;
	reactor_stop(loop);
}

/* Of one source: half of the threads are busy with them, and somebody else's name passes them. */
static void test_dead_names_hold_nobody_up(void)
{
	start(&(struct resolver_options){ 0 });
	ask_dead(RESOLVER_THREADS, 1);
	wait_begun(RESOLVER_THREADS / 2);
	CHECK_INT(rs.n_looked_up, RESOLVER_THREADS / 2);
	struct asker good = { .then = stop_at_answer };
	ask_for(&good, "good", ANY, 2);
	run_loop();
	check_found(&good, "192.0.2.1:80");
	for (unsigned i = 0; i < RESOLVER_THREADS; i++)
		CHECK_INT(dead[i].answers, 0);
	CHECK_INT(rs.n_looked_up, RESOLVER_THREADS / 2 + 1);
	open_gate(&dead_gate, RESOLVER_THREADS);
	run_loop();
	wait_begun(RESOLVER_THREADS / 2);
	for (unsigned i = 0; i < RESOLVER_THREADS; i++)
		CHECK_INT(dead[i].answers, 1);
	resolver_stop(&rs);
}

/* Nobody in particular may have them all. */
static void test_source_0(void)
{
	enum { N = 5 };
	start(&(struct resolver_options){ .threads = N });
	ask_dead(N + 1, 0);
	wait_begun(N);
	CHECK_INT(rs.n_looked_up, N);
	open_gate(&dead_gate, N + 1);
	run_loop();
	wait_begun(1);
	CHECK_INT(rs.n_looked_up, N + 1);
	resolver_stop(&rs);
}

/* One source alone has half of them, of an odd number the larger half. */
static void test_share_of_threads(void)
{
	static const unsigned rows[][2] = { { 1, 1 }, { 2, 1 }, { 5, 3 }, { 4, 2 } };
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		start(&(struct resolver_options){ .threads = rows[i][0] });
		ask_dead(6, 7);
		wait_begun(rows[i][1]);
		CHECK_INT(rs.n_looked_up, rows[i][1]);
		open_gate(&dead_gate, 6);
		run_loop();
		wait_begun(6 - rows[i][1]);
		resolver_stop(&rs);
	}
}

/* Four sources with dead names, and the fifth one's is looked up at once. */
static void test_several_with_dead_names(void)
{
	static const unsigned shares[] = { 8, 4, 2, 1 };
	enum { EACH = 8 };
	char host[16];
	unsigned n = 0;
	start(&(struct resolver_options){ 0 });
	for (unsigned s = 0; s < COUNT_OF(shares); s++) {
		for (unsigned i = 0; i < EACH; i++) {
			struct asker *a = &dead[s * EACH + i];
			*a = (struct asker){ 0 };
			snprintf(host, sizeof(host), "dead-%u", s * EACH + i);
			ask_for(a, host, ANY, s + 1);
		}
		n += shares[s];
		wait_begun(shares[s]);
		CHECK_INT(rs.n_looked_up, n);
	}
	struct asker good = { .then = stop_at_answer };
	ask_for(&good, "good", ANY, 5);
	run_loop();
	check_found(&good, "192.0.2.1:80");
	open_gate(&dead_gate, COUNT_OF(shares) * EACH);
	run_loop();
	wait_begun(COUNT_OF(shares) * EACH - n);
	resolver_stop(&rs);
}

/* A thread that becomes free goes to the source that holds the fewest, not to the one that came first. */
static void test_turns(void)
{
	struct asker a[3] = { 0 }, b[2] = { 0 }, c = { 0 }, nobody = { 0 };
	start(&(struct resolver_options){ .threads = 3 });
	ask_dead(1, 1);
	ask_for(&a[0], "held-a", ANY, 1);
	ask_for(&nobody, "dead-nobody", ANY, 0);
	wait_begun(3); /* which of them first, nobody knows */
	names_forget_story();
	ask_for(&a[1], "a1", ANY, 1);
	ask_for(&a[2], "a2", ANY, 1);
	ask_for(&b[0], "b0", ANY, 2);
	ask_for(&b[1], "b1", ANY, 2);
	ask_for(&c, "c", ANY, 3);
	c.then = stop_at_answer;
	CHECK_INT(rs.n_looked_up, 3);
	open_gate(&gate, 1);
	for (int i = 0; i < 3; i++)
		CHECK(a[i].answers <= 1);
	run_loop();
	/* One thread: source 1 has one of the others all the time. */
	CHECK_STR(names_story, "b0 b1 c");
	open_gate(&dead_gate, 2);
	run_loop();
	CHECK(strncmp(names_story, "b0 b1 c a", 9) == 0);
	CHECK_INT(rs.n_looked_up, 8);
	resolver_stop(&rs);
}

/* Somebody asks for a name that waits for the thread of another source: it is looked up on his own account, and then he
 * has no other thread. */
static void test_shared_but_not_bound(void)
{
	struct asker first = { .then = stop_at_answer }, second = { 0 }, next = { 0 };
	start(&(struct resolver_options){ .threads = 4 });
	ask_dead(2, 1);
	wait_begun(2);
	ask_for(&first, "held", ANY, 1);
	CHECK_INT(rs.n_looked_up, 2);
	ask_for(&second, "held", ANY, 2);
	CHECK_INT(rs.n_looked_up, 3);
	wait_begun(1);
	ask_for(&next, "good", ANY, 2);
	CHECK_INT(rs.n_looked_up, 3);
	open_gate(&gate, 1);
	run_loop();
	check_found(&first, "192.0.2.2:80");
	check_found(&second, "192.0.2.2:80");
	CHECK_INT(dead[0].answers, 0);
	CHECK_INT(rs.n_shared, 1);
	open_gate(&dead_gate, 2);
	run_loop();
	check_found(&next, "192.0.2.1:80");
	resolver_stop(&rs);
}

/* Whoever asks, goes, and asks again has no more threads than who waits. */
static void test_gone_but_counted(void)
{
	struct asker next = { 0 };
	start(&(struct resolver_options){ .threads = 3 });
	ask_dead(2, 1);
	wait_begun(2);
	resolver_cancel(&dead[0].ask);
	resolver_cancel(&dead[1].ask);
	ask_for(&next, "good", ANY, 1);
	CHECK_INT(rs.n_looked_up, 2);
	open_gate(&dead_gate, 2);
	run_loop();
	check_found(&next, "192.0.2.1:80");
	resolver_stop(&rs);
}

/* --- too many ---------------------------------------------------------------------------------------------------- */

/* What waits is bounded, and for one source to half of it; what needs no thread is never refused. */
static void test_bounds(void)
{
	enum { PLACES = 5, HALF = 3 };
	struct asker one[HALF + 1] = { 0 }, other[3] = { 0 }, literal = { 0 }, known = { 0 }, same = { 0 };
	char host[16];
	struct resolver_options o = few;
	o.max_waiting = PLACES;
	start(&o);
	asked("known");
	ask_dead(1, 1);
	wait_begun(1);
	for (int i = 0; i <= HALF; i++) {
		snprintf(host, sizeof(host), "one-%d", i);
		ask_for(&one[i], host, ANY, 1);
	}
	ask_for(&other[0], "other", ANY, 2);
	ask_for(&other[1], "other", ANY, 3); /* a place, too, although they share a thread */
	ask_for(&other[2], "other", ANY, 4);
	ask_for(&literal, "192.0.2.9", ANY, 4);
	ask_for(&known, "known", ANY, 4);
	ask_for(&same, "dead-0", ANY, 4);
	CHECK_INT(rs.n_refused, 2);
	open_gate(&dead_gate, 1);
	run_loop();
	for (int i = 0; i < HALF; i++)
		check_found(&one[i], "192.0.2.1:80");
	check_failed(&one[HALF], "one-3", "EAGAIN");
	check_found(&other[0], "192.0.2.1:80");
	check_found(&other[1], "192.0.2.1:80");
	check_failed(&other[2], "other", "EAGAIN");
	check_found(&literal, "192.0.2.9:80");
	check_found(&known, "192.0.2.1:80");
	check_failed(&same, "dead-0", "EAI_AGAIN");
	struct asker again = asked("one-3"); /* it was not the name's fault */
	check_found(&again, "192.0.2.1:80");
	CHECK_INT(rs.n_refused, 2);
	resolver_stop(&rs);
}

/* A thread that is free, but not for this source, makes no place. */
static void test_places_beside_a_free_thread(void)
{
	struct asker waits = { 0 }, refused = { 0 };
	start(&(struct resolver_options){ .threads = 2, .max_waiting = 2 });
	ask_dead(1, 1);
	wait_begun(1);
	ask_for(&waits, "good", ANY, 1);
	ask_for(&refused, "other", ANY, 1);
	CHECK_INT(rs.n_refused, 1);
	open_gate(&dead_gate, 1);
	run_loop();
	check_found(&waits, "192.0.2.1:80");
	check_failed(&refused, "other", "EAGAIN");
	resolver_stop(&rs);
}

/* Nobody in particular may have all places; who goes leaves his to another one. */
static void test_places(void)
{
	struct asker a[4] = { 0 };
	struct resolver_options o = few;
	o.max_waiting = 2;
	start(&o);
	ask_dead(1, 0);
	wait_begun(1);
	ask(&a[0], "good-0");
	ask(&a[1], "good-1");
	ask(&a[2], "good-2");
	CHECK_INT(rs.n_refused, 1);
	resolver_cancel(&a[0].ask);
	ask(&a[3], "good-3");
	CHECK_INT(rs.n_refused, 1);
	open_gate(&dead_gate, 1);
	run_loop();
	CHECK_INT(a[0].answers, 0);
	check_found(&a[1], "192.0.2.1:80");
	check_failed(&a[2], "good-2", "EAGAIN");
	check_found(&a[3], "192.0.2.1:80");
	CHECK_STR(names_story, "dead-0 good-1 good-3");
	resolver_stop(&rs);
}

/* Not a single thread can be started: everybody hears of it, and later there is another try. */
static void without_threads(void)
{
	struct asker a[3] = { 0 };
	if (!child_forbid(SYS_clone, EAGAIN))
		return;
#ifdef SYS_clone3
	CHECK(child_forbid(SYS_clone3, ENOSYS));
#endif
	start(&few);
	for (int i = 0; i < 3; i++)
		ask(&a[i], i < 2 ? "good" : "other");
	run_loop();
	check_failed(&a[0], "good", "EAGAIN");
	check_failed(&a[1], "good", "EAGAIN");
	check_failed(&a[2], "other", "EAGAIN");
	struct asker again = asked("good"), literal = asked("192.0.2.9");
	check_failed(&again, "good", "EAGAIN");
	check_found(&literal, "192.0.2.9:80");
	CHECK_INT(rs.n_looked_up, 0);
	CHECK_INT(rs.n_remembered, 0);
	resolver_stop(&rs);
}

/* --- cancelling -------------------------------------------------------------------------------------------------- */

/* A name that waits is taken back when the last one who asks has gone. */
static void test_cancel_waiting(void)
{
	struct asker a[4] = { 0 };
	start(&few);
	ask_dead(1, 0);
	wait_begun(1);
	ask(&a[0], "shared");
	ask(&a[1], "shared");
	ask(&a[2], "alone");
	ask(&a[3], "last");
	resolver_cancel(&a[0].ask);
	resolver_cancel(&a[0].ask);
	resolver_cancel(&a[2].ask);
	open_gate(&dead_gate, 1);
	run_loop();
	CHECK_INT(a[0].answers + a[2].answers, 0);
	check_found(&a[1], "192.0.2.1:80");
	check_found(&a[3], "192.0.2.1:80");
	CHECK_STR(names_story, "dead-0 shared last");
	struct asker again = asked("alone");
	check_found(&again, "192.0.2.1:80");
	resolver_stop(&rs);
}

/* A name that is being looked up: the others have their answer. */
static void test_cancel_one_of_several(void)
{
	struct asker a[3] = { 0 };
	start(&few);
	for (int i = 0; i < 3; i++)
		ask(&a[i], "held");
	wait_begun(1);
	resolver_cancel(&a[1].ask);
	open_gate(&gate, 1);
	run_loop();
	check_found(&a[0], "192.0.2.2:80");
	check_found(&a[2], "192.0.2.2:80");
	CHECK_INT(a[1].answers, 0);
	resolver_stop(&rs);
}

/* Nobody waits any more: neither does the loop; but the answer is remembered when it comes. */
static void test_cancel_running(void)
{
	struct asker a = { 0 }, late = { 0 };
	start(&few);
	ask(&a, "held");
	wait_begun(1);
	resolver_cancel(&a.ask);
	run_loop();
	ask(&late, "held"); /* it is on its way already */
	open_gate(&gate, 1);
	run_loop();
	CHECK_INT(a.answers, 0);
	check_found(&late, "192.0.2.2:80");
	CHECK_INT(rs.n_looked_up, 1);

	resolver_forget(&rs);
	ask(&a, "held");
	wait_begun(1);
	resolver_cancel(&a.ask);
	open_gate(&gate, 1);
	late = (struct asker){ 0 };
	ask(&late, "other"); /* the same thread: it has brought the first answer when it brings this one */
	run_loop();
	asked("held");
	CHECK_INT(a.answers, 0);
	CHECK_INT(rs.n_looked_up, 3);
	CHECK_INT(rs.n_remembered, 1);
	resolver_stop(&rs);
}

/* The same where nothing may be remembered. */
static void test_cancel_running_for_nothing(void)
{
	struct asker a = { 0 };
	start(&(struct resolver_options){ .threads = 1 });
	ask(&a, "held");
	wait_begun(1);
	resolver_cancel(&a.ask);
	open_gate(&gate, 1);
	asked("other");
	CHECK_INT(rs.n_looked_up, 2);
	resolver_stop(&rs);
}

/* The answer is there, but not yet delivered: a literal, a refusal, a name from memory. */
static void test_cancel_answered(void)
{
	struct asker literal = { 0 }, long_name = { 0 }, known = { 0 }, stays = { 0 };
	char longer[RESOLVER_NAME_MAX + 2] = "";
	memset(longer, 'b', sizeof(longer) - 1);
	start(&few);
	asked("good");
	ask(&literal, "192.0.2.9");
	ask(&long_name, longer);
	ask(&known, "good");
	ask(&stays, "good");
	resolver_cancel(&literal.ask);
	resolver_cancel(&long_name.ask);
	resolver_cancel(&known.ask);
	run_loop();
	CHECK_INT(literal.answers + long_name.answers + known.answers, 0);
	check_found(&stays, "192.0.2.1:80");
	ask(&known, "good");
	resolver_cancel(&known.ask);
	uint64_t rounds = reactor_stats(loop)->rounds;
	run_loop();
	CHECK_INT(reactor_stats(loop)->rounds, rounds); /* nothing is left to do */
	resolver_stop(&rs);
}

static void cancel_other(struct asker *a)
{
	resolver_cancel(&a->other->ask);
}

/* Who has his answer does away with another one's: of the same name, of one that is answered in the same round, of one
 * that is looked up by then, and of one that waits. */
static void test_cancel_in_an_answer(void)
{
	static const char *const pairs[][2] = {
		{ "good", "good" },
		{ "192.0.2.9", "192.0.2.8" },
		{ "good", "other" },
		{ "192.0.2.9", "other" },
	};
	for (size_t i = 0; i < COUNT_OF(pairs); i++) {
		struct asker second = { 0 }, first = { .then = cancel_other, .other = &second }, third = { 0 };
		start(&few);
		ask(&first, pairs[i][0]);
		ask(&third, "third");
		ask(&second, pairs[i][1]);
		run_loop();
		CHECK_INT(first.answers, 1);
		CHECK_INT(second.answers, 0);
		check_found(&third, "192.0.2.1:80");
		resolver_stop(&rs);
	}
}

/* --- from inside an answer --------------------------------------------------------------------------------------- */

static void ask_again(struct asker *a)
{
	a->then = NULL;
	*a->other = (struct asker){ 0 };
	ask(a->other, "good");
}

static void ask_again_myself(struct asker *a)
{
	if (a->answers < 3)
		ask(a, "good");
}

/* The answer from memory comes in the next round, also when it is asked for from inside the answer of the same name. */
static void test_next_round(void)
{
	struct asker other = { 0 }, first = { .then = ask_again, .other = &other }, second = { 0 };
	start(&few);
	ask(&first, "good");
	ask(&second, "good");
	run_loop();
	check_found(&other, "192.0.2.1:80");
	CHECK_INT(second.round, first.round);
	CHECK_INT(other.round, first.round + 1);
	CHECK_INT(rs.n_looked_up, 1);
	resolver_stop(&rs);
}

/* With a memory and without one. */
static void test_ask_again(void)
{
	for (unsigned kept = 0; kept < 2; kept++) {
		struct asker a = { .then = ask_again_myself };
		struct resolver_options o = few;
		o.max_kept = kept;
		start(&o);
		ask(&a, "good");
		run_loop();
		CHECK_INT(a.answers, 3);
		CHECK_INT(rs.n_looked_up, kept ? 1 : 3);
		resolver_stop(&rs);
	}
}

static void free_asker(struct asker *a)
{
	free(a);
}

/* The owner of the question goes with the answer, whichever it is. */
static void test_freed_by_the_answer(void)
{
	static const char *const hosts[] = { "192.0.2.9", "good", "good", "none", "" };
	start(&few);
	for (int round = 0; round < 2; round++) {
		for (size_t i = 0; i < COUNT_OF(hosts); i++) {
			struct asker *a = xcalloc(1, sizeof(*a));
			a->then = free_asker;
			ask(a, hosts[i]);
		}
		run_loop();
	}
	CHECK_INT(rs.n_asked, 2 * COUNT_OF(hosts));
	resolver_stop(&rs);
}

static void forget_all(struct asker *a)
{
	(void)a;
	resolver_forget(&rs);
}

/* Others still wait for the same answer when it is forgotten; and when it makes room for another one. */
static void test_forget_in_an_answer(void)
{
	struct asker a[3] = { { .then = forget_all } };
	start(&few);
	for (int i = 0; i < 3; i++)
		ask(&a[i], "both");
	run_loop();
	for (int i = 0; i < 3; i++)
		check_found(&a[i], "192.0.2.3:80 [2001:db8::3]:80 192.0.2.4:80");
	asked("both");
	CHECK_INT(rs.n_looked_up, 2);
	struct asker known = { 0 };
	ask(&known, "both");
	resolver_forget(&rs);
	run_loop();
	check_found(&known, "192.0.2.3:80 [2001:db8::3]:80 192.0.2.4:80");
	CHECK_INT(rs.n_looked_up, 2);
	resolver_stop(&rs);
}

/* --- stopping ---------------------------------------------------------------------------------------------------- */

/* With a name in memory, one that is being looked up and one that waits; and the loop goes at once. */
static void test_stop(void)
{
	struct reactor *outer = loop;
	struct asker a[3] = { 0 };
	struct net_error e;
	loop = reactor_new(reactor_backend_name(outer), NULL, &e);
	start(&few);
	asked("good");
	ask(&a[0], "held");
	ask(&a[1], "waits");
	ask(&a[2], "good");
	wait_begun(1);
	for (int i = 0; i < 3; i++)
		resolver_cancel(&a[i].ask);
	resolver_stop(&rs);
	resolver_stop(&rs);
	reactor_free(loop);
	open_gate(&gate, 1);
	loop = outer;
	for (int i = 0; i < 3; i++)
		CHECK_INT(a[i].answers, 0);
}

/* The lookup is through, or nearly, but the loop has not heard of it. */
static void test_stop_with_a_result(void)
{
	struct asker a = { 0 };
	start(&few);
	ask(&a, "held");
	wait_begun(1);
	open_gate(&gate, 1);
	clk_sleep_until_ns(clk_mono_ns() + NS_PER_MS); /* it may be too short: then it is the same as test_stop */
	resolver_cancel(&a.ask);
	resolver_stop(&rs);
	run_loop();
	CHECK_INT(a.answers, 0);
}

static void stop_here(struct asker *a)
{
	resolver_cancel(&a->other->ask);
	resolver_stop(&rs);
}

/* From inside an answer: of a name that is kept, of one that is not, of a literal. */
static void test_stop_in_an_answer(void)
{
	static const char *const hosts[] = { "good", "nomem-1", "192.0.2.9" };
	for (size_t i = 0; i < COUNT_OF(hosts); i++) {
		struct asker second = { 0 }, first = { .then = stop_here, .other = &second };
		start(&few);
		ask(&first, hosts[i]);
		ask(&second, hosts[i]);
		run_loop();
		CHECK_INT(first.answers, 1);
		CHECK_INT(second.answers, 0);
	}
}

static void stop_too_early(void)
{
	struct asker a = { 0 };
	start(&few);
	ask(&a, "192.0.2.9");
	resolver_stop(&rs);
}

/* --- at any moment ----------------------------------------------------------------------------------------------- */

enum { ASKERS = 24 };

static void play(uint64_t dice)
{
	static const char *const hosts[] = { "good-0",  "good-1",    "Good-2", "none-0",
					     "nomem-1", "192.0.2.9", "both",   "good-4" };
	static struct asker a[ASKERS];
	bool cancelled[ASKERS] = { false };
	struct reactor *outer = loop;
	struct net_error e;
	loop = reactor_new(reactor_backend_name(outer), NULL, &e);
	start(&(struct resolver_options){ .threads = 1 + (unsigned)(dice % 3),
					  .max_waiting = 4 + (unsigned)(dice >> 8 & 15),
					  .max_kept = (unsigned)(dice >> 16 & 3),
					  .keep_ns = dice >> 24 & 1 ? UINT64_MAX : 1,
					  .keep_failed_ns = dice >> 25 & 1 ? UINT64_MAX : 0 });
	for (int i = 0; i < ASKERS; i++) {
		uint64_t word = prng_word(dice, (uint64_t)i);
		a[i] = (struct asker){ 0 };
		ask_for(&a[i], hosts[word % COUNT_OF(hosts)], ANY, word >> 8 & 3);
		if ((word >> 16 & 3) == 0)
			loop_run_rounds(loop, 1 + (word >> 20 & 1));
	}
	for (int i = 0; i < ASKERS; i++) {
		cancelled[i] = a[i].answers == 0 && prng_word(dice + 1, (uint64_t)i) & 1;
		if (cancelled[i])
			resolver_cancel(&a[i].ask);
	}
	if (dice >> 26 & 1)
		resolver_forget(&rs);
	run_loop();
	for (int i = 0; i < ASKERS; i++)
		CHECK_INT(a[i].answers, !cancelled[i]);
	CHECK_INT(rs.n_asked, ASKERS);
	resolver_stop(&rs);
	reactor_free(loop);
	loop = outer;
}

static void test_any_moment(void)
{
	for (uint64_t i = 0; i < 100; i++)
		play(prng_word(29, i));
}

static void test_on(struct reactor *r)
{
	loop = r;
	test_literals();
	test_names();
	test_capitals();
	test_long_names();
	test_shared();
	test_order();
	test_remembered();
	test_not_remembered();
	test_time();
	test_use_does_not_renew();
	test_least_recently_used();
	test_nothing_kept();
	test_many_names();
	test_dead_names_hold_nobody_up();
	test_source_0();
	test_share_of_threads();
	test_several_with_dead_names();
	test_turns();
	test_shared_but_not_bound();
	test_gone_but_counted();
	test_bounds();
	test_places();
	test_places_beside_a_free_thread();
	test_cancel_waiting();
	test_cancel_one_of_several();
	test_cancel_running();
	test_cancel_running_for_nothing();
	test_cancel_answered();
	test_cancel_in_an_answer();
	test_next_round();
	test_ask_again();
	test_freed_by_the_answer();
	test_forget_in_an_answer();
	test_stop();
	test_stop_with_a_result();
	test_stop_in_an_answer();
	test_any_moment();
}

/* Before there is any thread. */
static void test_in_children(struct reactor *r)
{
	loop = r;
	CHECK_INT(in_child(without_threads), 0);
	CHECK_INT(in_quiet_child(stop_too_early), 128 + SIGABRT);
}

int main(void)
{
	sem_init(&names_begun, 0, 0);
	sem_init(&gate, 0, 0);
	sem_init(&dead_gate, 0, 0);
	loop = loop_new("epoll", "heap");
	test_in_children(loop);
	reactor_free(loop);
	int threads = count_threads();
	ON_EACH_LOOP(test_on);
	/* Those of resolvers that were stopped end by themselves. */
	while (count_threads() > threads + 1) /* a sanitizer may have one of its own since the first thread */
		clk_sleep_until_ns(clk_mono_ns() + NS_PER_MS);
	return check_done();
}
