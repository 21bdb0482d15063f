/* pump_time_test.c - what a pump does when nothing happens: linger, idle, a reset whose bytes nobody takes, a peer that does not
 * acknowledge. All stories run side by side, because they consist of waiting; none says how long it took, but which of two things
 * came first. */
#include "pump.h"

#include "check.h"
#include "pump_kit.h"

#include <netinet/tcp.h>

enum { PATHS = 3 };
static const uint64_t LINGER_NS = NS_PER_S, TICK_NS = NS_PER_S / 5, IDLE_NS = NS_PER_S;

struct story {
	struct pump_shop shop;
	struct flow f;
	struct timer timer;
	struct reactor *r;
	unsigned ticks, done_at_tick; /* done_at_tick: how many ticks there had been when the flow ended */
};

static void on_story_done(struct pump *p)
{
	struct story *s = CONTAINER_OF(p, struct story, f.pump);
	s->done_at_tick = s->ticks;
	flow_done(p);
}

static const struct pump_ops story_ops = { .on_done = on_story_done };

static void story_open(struct story *s, struct reactor *r, uint64_t buffer, struct pump_options o)
{
	*s = (struct story){ .r = r };
	o.ops = &story_ops;
	shop_open(&s->shop, r, o);
	flow_open(&s->f, &s->shop, buffer);
}

static void story_close(struct story *s)
{
	reactor_timer_stop(s->r, &s->timer);
	peer_close(&s->f.a);
	peer_close(&s->f.b);
	CHECK_INT(s->f.dones, 1);
	shop_close(&s->shop);
}

static void tick_at(struct story *s, uint64_t ns, timer_fn *fn)
{
	reactor_timer_start(s->r, &s->timer, reactor_now_ns(s->r) + ns, fn);
}

/* --- the stories ------------------------------------------------------------------------------------------------------ */

/* Half closed, then silent: ended by a reset, and not before it has been silent for so long since the last byte. */
enum { BYTES = 8 }; /* one for each tick: together longer than the linger */

static void on_drip(struct timer *t)
{
	struct story *s = CONTAINER_OF(t, struct story, timer);
	if (s->f.dones > 0 || s->ticks == BYTES)
		return;
	s->ticks++;
	peer_sends(&s->f.b, 1);
	tick_at(s, TICK_NS, on_drip);
}

static void linger_begin(struct story *s, struct reactor *r)
{
	story_open(s, r, 0, (struct pump_options){ .linger_ns = LINGER_NS });
	s->f.b.stays = true;
	peer_finishes(&s->f.a);
	tick_at(s, TICK_NS, on_drip);
}

static void linger_end(struct story *s)
{
	check_both_reset(&s->f, PUMP_LINGER);
	CHECK_INT(s->done_at_tick, BYTES);
	CHECK_INT(s->f.a.received, BYTES);
	story_close(s);
}

/* The same, while what was sent before the FIN is stuck: in memory. Behind a full pipe the FIN is not even seen. */
static void stuck_begin(struct story *s, struct reactor *r)
{
	kit_path = PUMP_PATH_COPY;
	story_open(s, r, SMALL_BUFFER, (struct pump_options){ .linger_ns = LINGER_NS });
	peer_reads(&s->f.b, false);
	peer_sends(&s->f.a, 120000);
	peer_finishes(&s->f.a);
}

static void stuck_end(struct story *s)
{
	CHECK_INT(s->f.pump.end, PUMP_LINGER);
	CHECK(is_reset_error(s->f.b.err));
	CHECK(s->f.pump.lane[PUMP_UP].dropped > 0);
	story_close(s);
}

/* Open both ways and silent: idle. Its bytes had kept it alive for longer than that. */
static void idle_begin(struct story *s, struct reactor *r)
{
	story_open(s, r, 0, (struct pump_options){ .idle_ns = IDLE_NS, .linger_ns = LINGER_NS / 4 });
	tick_at(s, TICK_NS, on_drip);
}

static void idle_end(struct story *s)
{
	check_both_reset(&s->f, PUMP_IDLE);
	CHECK_INT(s->done_at_tick, BYTES);
	check_saw_reset(&s->f.a);
	check_saw_reset(&s->f.b);
	story_close(s);
}

/* A reset behind bytes that nobody takes: it is held up for a while, and then it comes all the same. */
static void on_half_of_the_wait(struct timer *t)
{
	struct story *s = CONTAINER_OF(t, struct story, timer);
	s->ticks++;
}

/* Nothing has gone for a while: before that the kernel may open a window once more. */
static bool has_stalled(const struct story *s)
{
	const struct pump_lane *lane = &s->f.pump.lane[PUMP_UP];
	return lane->is_paused && lane->blocked_at_ns != 0 && reactor_now_ns(s->r) > lane->blocked_at_ns + TICK_NS;
}

static void on_stalled(struct timer *t)
{
	struct story *s = CONTAINER_OF(t, struct story, timer);
	if (!has_stalled(s)) {
		tick_at(s, NS_PER_MS, on_stalled);
		return;
	}
	peer_abort(&s->f.a);
	tick_at(s, PUMP_RESET_WAIT_NS / 2, on_half_of_the_wait);
}

static void waited_begin(struct story *s, struct reactor *r)
{
	story_open(s, r, SMALL_BUFFER, (struct pump_options){ .high = 20000, .low = 5000 });
	peer_reads(&s->f.b, false);
	peer_sends(&s->f.a, BULK);
	tick_at(s, NS_PER_MS, on_stalled);
}

static void waited_end(struct story *s)
{
	check_reset_by(&s->f, PUMP_A);
	CHECK_INT(s->done_at_tick, 1);
	CHECK_INT(s->f.b.received, 0);
	CHECK(s->f.pump.lane[PUMP_UP].dropped > 0 || kit_path != PUMP_PATH_COPY);
	story_close(s);
}

/* The same, with a reader who is slow: it takes a little within each wait, and in the end it has everything that had come. */
static void on_sip(struct timer *t)
{
	struct story *s = CONTAINER_OF(t, struct story, timer);
	if (s->f.dones > 0 || !watch_is_started(&s->f.b.watch))
		return;
	static unsigned char bytes[12000];
	ssize_t n = recv(s->f.b.watch.fd, bytes, sizeof(bytes), 0);
	if (n > 0) {
		CHECK_INT(prng_check(UP, s->f.b.received, bytes, (size_t)n), n);
		s->f.b.received += (uint64_t)n;
	}
	s->ticks++;
	tick_at(s, PUMP_RESET_WAIT_NS / 5, on_sip);
}

static void on_stalled_for_sips(struct timer *t)
{
	struct story *s = CONTAINER_OF(t, struct story, timer);
	if (!has_stalled(s)) {
		tick_at(s, NS_PER_MS, on_stalled_for_sips);
		return;
	}
	peer_abort(&s->f.a);
	on_sip(t);
}

static void sipped_begin(struct story *s, struct reactor *r)
{
	waited_begin(s, r);
	tick_at(s, NS_PER_MS, on_stalled_for_sips);
}

static void sipped_end(struct story *s)
{
	CHECK_INT(s->f.pump.end, PUMP_RESET);
	CHECK_INT(s->f.pump.lane[PUMP_UP].dropped, 0);
	CHECK_INT(s->f.pump.lane[PUMP_UP].bytes_out, s->f.pump.lane[PUMP_UP].bytes_in);
	CHECK(s->ticks > 5 || kit_path != PUMP_PATH_COPY); /* longer than one wait; less is under way in a pipe */
	CHECK_INT(s->f.b.err, ECONNRESET);
	story_close(s);
}

/* A side that fails by itself: its peer does not acknowledge (TCP_USER_TIMEOUT in a zero window). The other one is reset. */
static void failed_begin(struct story *s, struct reactor *r)
{
	int limit_ms = 300;
	story_open(s, r, SMALL_BUFFER, (struct pump_options){ 0 });
	CHECK_INT(setsockopt(s->f.fd[PUMP_B], IPPROTO_TCP, TCP_USER_TIMEOUT, &limit_ms, sizeof(limit_ms)), 0);
	peer_reads(&s->f.b, false);
	peer_sends(&s->f.a, BULK);
}

static void failed_end(struct story *s)
{
	CHECK_INT(s->f.pump.end, PUMP_FAILED);
	CHECK_INT(s->f.pump.side, PUMP_B);
	CHECK_INT(s->f.pump.err, ETIMEDOUT);
	CHECK(!s->f.a.saw_eof && is_reset_error(s->f.a.err));
	CHECK(s->f.pump.lane[PUMP_UP].dropped > 0);
	story_close(s);
}

static const struct {
	void (*begin)(struct story *s, struct reactor *r);
	void (*end)(struct story *s);
} stories[] = {
	{ linger_begin, linger_end }, { stuck_begin, stuck_end },   { idle_begin, idle_end },
	{ waited_begin, waited_end }, { sipped_begin, sipped_end }, { failed_begin, failed_end },
};
enum { STORIES = sizeof(stories) / sizeof(stories[0]) };

static bool all_done(const struct story s[STORIES][PATHS])
{
	for (int i = 0; i < STORIES; i++)
		for (int path = 0; path < PATHS; path++) {
			if (s[i][path].f.dones == 0)
				return false;
		}
	return true;
}

/* Until all have ended, asleep most of the time. */
static void test_stories(struct reactor *r)
{
	static struct story s[STORIES][PATHS];
	for (int path = 0; path < PATHS; path++)
		for (int i = 0; i < STORIES; i++) {
			kit_path = (enum pump_path)path;
			stories[i].begin(&s[i][path], r);
		}
	while (!all_done(s))
		rounds_in(r, 20 * NS_PER_MS);
	for (int path = 0; path < PATHS; path++) {
		unsigned long bad = check_bad;
		kit_path = (enum pump_path)path;
		rounds_in(r, 5 * NS_PER_MS); /* the resets arrive */
		for (int i = 0; i < STORIES; i++)
			stories[i].end(&s[i][path]);
		if (check_bad != bad)
			fprintf(stderr, "    (path %s)\n", kit_path_names[path]);
	}
	kit_path = PUMP_PATH_AUTO;
}

/* 0 is for ever: longer than all the others, at least. */
static void test_for_ever(struct reactor *r)
{
	struct alone x;
	alone_open(&x, r, 0, (struct pump_options){ 0 });
	x.f.b.stays = true;
	peer_finishes(&x.f.a);
	RUN_UNTIL(r, x.f.b.saw_eof);
	CHECK(rounds_in(r, NS_PER_S / 5) <= FEW);
	CHECK(!timer_is_armed(&x.f.pump.timer));
	CHECK_INT(x.f.dones, 0);
	x.f.b.stays = false;
	peer_finishes(&x.f.b);
	run(r);
	check_orderly(&x.f);
	alone_close(&x);
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN);
	ON_EACH_BACKEND_AT_ONCE(test_stories);
	ON_EACH_LOOP(test_for_ever);
	return check_done();
}
