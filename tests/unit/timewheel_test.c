/* timewheel_test.c - the wheel's own promise: never early, at most a tick late, and nobody ticks. The others are in timer_test.c. */
#include "cdefs.h"
#include "check.h"
#include "clock.h"
#include "timer_model.h"
#include "timewheel.h"

#include <stdlib.h>

static const uint64_t tick = TIMEWHEEL_TICK_NS;

static unsigned fired;

static void on_fire(struct timer *t)
{
	(void)t;
	fired++;
}

/* One timer, driven by next_ns: when does it fire? In how many rounds? CLK_NEVER: not at all. */
static uint64_t fires_at(uint64_t begin_ns, uint64_t deadline_ns, unsigned *rounds)
{
	struct timer t = { 0 };
	struct timewheel *w = timewheel_open(begin_ns);
	uint64_t now_ns = begin_ns, next_ns;
	*rounds = 0;
	timewheel_start(w, &t, deadline_ns, on_fire);
	while ((next_ns = timewheel_next_ns(w)) != CLK_NEVER) {
		now_ns = next_ns > now_ns ? next_ns : now_ns;
		++*rounds;
		if (timewheel_run(w, now_ns) > 0 || !CHECK(*rounds < 10))
			break;
	}
	if (timer_is_armed(&t)) {
		now_ns = CLK_NEVER;
		timewheel_stop(w, &t);
	}
	timewheel_close(w);
	return now_ns;
}

/* The edges of every level, from a beginning on an edge, just before one and just behind one. */
static void test_never_early_at_most_a_tick_late(void)
{
	static const uint64_t begins[] = {
		0, 1, 5 * (1 << 20), (1ull << 26) - 1, 1ull << 26, (1ull << 38) + 1, 0x123456789abcdef
	};
	unsigned rounds;
	for (size_t b = 0; b < COUNT_OF(begins); b++) {
		for (unsigned bit = 0; bit < 63; bit++) {
			for (int off = -2; off <= 2; off++) {
				uint64_t deadline_ns = begins[b] + (1ull << bit) + 2 + off;
				uint64_t at_ns = fires_at(begins[b], deadline_ns, &rounds);
				CHECK(at_ns >= deadline_ns);
				CHECK(at_ns - deadline_ns < tick);
				CHECK(rounds <= 8);
			}
		}
	}
}

/* A run at any time between the deadline and the end of its tick fires nothing, a run at the end of it does. */
static void test_the_edge_of_a_tick(void)
{
	for (uint64_t inside = 1; inside <= tick; inside += tick / 16) {
		struct timer t = { 0 };
		struct timewheel *w = timewheel_open(0);
		timewheel_start(w, &t, 70 * tick + inside, on_fire);
		CHECK_INT(timewheel_run(w, 71 * tick - 1), 0);
		CHECK_INT(timewheel_next_ns(w), 71 * tick);
		CHECK_INT(timewheel_run(w, 71 * tick), 1);
		timewheel_close(w);
	}
}

/* A far timer is looked at on its way down, a few times and not each tick: an hour is 3 million ticks. */
static void test_nobody_ticks(void)
{
	unsigned rounds;
	CHECK(fires_at(0, 3600 * (uint64_t)NS_PER_S, &rounds) != CLK_NEVER);
	CHECK_INT(rounds, 4);
	CHECK(fires_at(0, 20 * (uint64_t)NS_PER_MS, &rounds) != CLK_NEVER);
	CHECK_INT(rounds, 1);
	/* Ten thousand that end in the same minute share their looks at the way there: an hour has 840 slots of level 2. */
	static struct timer timers[10000];
	struct timewheel *w = timewheel_open(0);
	uint64_t hour_ns = 3600 * (uint64_t)NS_PER_S, next_ns;
	for (size_t i = 0; i < COUNT_OF(timers); i++)
		timewheel_start(w, &timers[i], hour_ns + i * 6 * NS_PER_MS, on_fire);
	for (rounds = 0; (next_ns = timewheel_next_ns(w)) < hour_ns; rounds++)
		CHECK_INT(timewheel_run(w, next_ns), 0);
	CHECK(rounds <= 4);
	CHECK_INT(timewheel_run(w, 2 * hour_ns), COUNT_OF(timers));
	timewheel_close(w);
}

/* Moved to later a thousand times: it fires once, where it was moved to last; its old places cost one look for each level. */
static void test_moved_to_later(void)
{
	struct timer t = { 0 };
	struct timewheel *w = timewheel_open(0);
	uint64_t timeout_ns = 10 * (uint64_t)NS_PER_S, deadline_ns = 0, next_ns;
	unsigned rounds = 0;
	for (uint64_t now_ns = 0; now_ns < timeout_ns - NS_PER_S; now_ns += 9 * NS_PER_MS) {
		deadline_ns = now_ns + timeout_ns;
		timewheel_start(w, &t, deadline_ns, on_fire);
		CHECK_INT(timewheel_run(w, now_ns), 0);
	}
	CHECK_INT(t.deadline_ns, deadline_ns);
	for (fired = 0; (next_ns = timewheel_next_ns(w)) != CLK_NEVER; rounds++) {
		timewheel_run(w, next_ns);
		CHECK_INT(fired, next_ns >= deadline_ns);
	}
	CHECK_INT(fired, 1);
	CHECK(rounds <= 8);
	timewheel_close(w);
}

static uint64_t last_tick;

static void on_tick(struct timer *t)
{
	uint64_t mine = (t->deadline_ns + tick - 1) / tick;
	CHECK(mine >= last_tick);
	last_tick = mine;
	fired++;
}

/* A run that comes late fires tick after tick, also those that were far ahead when they were armed. */
static void test_late_run_keeps_the_order_of_ticks(void)
{
	static struct timer timers[5000];
	struct timewheel *w = timewheel_open(0);
	for (size_t i = 0; i < COUNT_OF(timers); i++)
		timewheel_start(w, &timers[i], 1 + (prng_word(5, i) >> 30 >> prng_word(6, i) % 20), on_tick);
	last_tick = fired = 0;
	CHECK_INT(timewheel_run(w, 1ull << 34), COUNT_OF(timers));
	CHECK_INT(fired, COUNT_OF(timers));
	CHECK_INT(timewheel_next_ns(w), CLK_NEVER);
	timewheel_close(w);
}

/* The last tick would end at 2^64: it never comes. All before it do. */
static void test_end_of_time(void)
{
	unsigned rounds;
	uint64_t last_ns = 0 - tick; /* the last tick that begins before 2^64 */
	CHECK_INT(fires_at(0, last_ns, &rounds), last_ns);
	CHECK_INT(fires_at(last_ns - 5, last_ns - 3, &rounds), last_ns);
	CHECK_INT(fires_at(0, last_ns + 1, &rounds), CLK_NEVER);
	CHECK_INT(fires_at(last_ns, CLK_NEVER - 1, &rounds), CLK_NEVER);
	CHECK_INT(fires_at(CLK_NEVER - 1, CLK_NEVER - 2, &rounds), CLK_NEVER - 1); /* passed: fires in the next run */
}

int main(void)
{
	test_never_early_at_most_a_tick_late();
	test_the_edge_of_a_tick();
	test_nobody_ticks();
	test_moved_to_later();
	test_late_run_keeps_the_order_of_ticks();
	test_end_of_time();
	model_test(&timewheel_kind, TIMEWHEEL_TICK_NS, 300, 1000);
	return check_done();
}
