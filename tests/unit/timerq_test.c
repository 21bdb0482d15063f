/* timerq_test.c - the heap's own promise: the exact order of (deadline, arming). The others are in timer_test.c. */
#include "cdefs.h"
#include "check.h"
#include "clock.h"
#include "prng.h"
#include "timer_model.h"
#include "timerq.h"

#include <stdlib.h>

static char fired[64];
static size_t n_fired;

/* A timer with a letter, so that an order is a word. */
struct letter {
	struct timer t;
	char name;
};

static void on_letter(struct timer *t)
{
	fired[n_fired++] = CONTAINER_OF(t, struct letter, t)->name;
	fired[n_fired] = '\0';
}

static const char *run(struct timerq *q, uint64_t now_ns)
{
	fired[n_fired = 0] = '\0';
	unsigned n = timerq_run(q, now_ns);
	CHECK_INT(n, n_fired);
	return fired;
}

static void test_order(void)
{
	struct letter a = { .name = 'a' }, b = { .name = 'b' }, c = { .name = 'c' }, d = { .name = 'd' };
	struct timerq *q = timerq_open(0);
	timerq_start(q, &a.t, 30, on_letter);
	timerq_start(q, &b.t, 10, on_letter);
	timerq_start(q, &c.t, 20, on_letter);
	timerq_start(q, &d.t, 20, on_letter);
	CHECK_INT(timerq_next_ns(q), 10);
	CHECK_STR(run(q, 9), "");
	CHECK_STR(run(q, 10), "b");
	CHECK_INT(timerq_next_ns(q), 20);
	CHECK_STR(run(q, 1000), "cda");
	CHECK_INT(timerq_next_ns(q), CLK_NEVER);
	timerq_close(q);
}

/* Who is armed again goes behind those who were armed meanwhile, also when the deadline is the same as before. */
static void test_arming_again(void)
{
	struct letter a = { .name = 'a' }, b = { .name = 'b' }, c = { .name = 'c' };
	struct timerq *q = timerq_open(0);
	timerq_start(q, &a.t, 20, on_letter);
	timerq_start(q, &b.t, 20, on_letter);
	timerq_start(q, &c.t, 20, on_letter);
	timerq_start(q, &a.t, 20, on_letter);
	timerq_start(q, &b.t, 5, on_letter);
	timerq_start(q, &b.t, 20, on_letter);
	CHECK_STR(run(q, 20), "cab");
	timerq_close(q);
}

static struct timerq *queue;
static struct letter late[3] = { { .name = 'x' }, { .name = 'y' }, { .name = 'z' } };

static void arm_late(struct timer *t)
{
	on_letter(t);
	timerq_start(queue, &late[0].t, 90, on_letter);
	timerq_start(queue, &late[1].t, 40, on_letter);
	timerq_start(queue, &late[2].t, 100, on_letter);
}

/* What a callback arms for a time that has passed counts as the nanosecond after the run (timerq.h). */
static void test_passed_in_callback(void)
{
	struct letter a = { .name = 'a' }, after = { .name = 'f' }, later = { .name = 'l' };
	queue = timerq_open(0);
	timerq_start(queue, &a.t, 50, arm_late);
	timerq_start(queue, &after.t, 101, on_letter);
	timerq_start(queue, &later.t, 102, on_letter);
	CHECK_STR(run(queue, 100), "a");
	CHECK_INT(late[0].t.deadline_ns, 101);
	CHECK_INT(timerq_next_ns(queue), 101);
	CHECK_STR(run(queue, 100), "");
	CHECK_STR(run(queue, 102), "fxyzl");
	/* Outside of a run a deadline is a deadline. */
	timerq_start(queue, &a.t, 60, on_letter);
	timerq_start(queue, &after.t, 59, on_letter);
	CHECK_INT(timerq_next_ns(queue), 59);
	CHECK_STR(run(queue, 102), "fa");
	timerq_close(queue);
}

static void test_end_of_time(void)
{
	struct letter a = { .name = 'a' }, b = { .name = 'b' }, c = { .name = 'c' };
	struct timerq *q = timerq_open(CLK_NEVER - 10);
	timerq_start(q, &a.t, CLK_NEVER, on_letter);
	timerq_start(q, &b.t, CLK_NEVER - 1, on_letter);
	timerq_start(q, &c.t, CLK_NEVER - 2, on_letter);
	CHECK_INT(timerq_next_ns(q), CLK_NEVER - 2);
	CHECK_STR(run(q, CLK_NEVER - 2), "c");
	CHECK_STR(run(q, CLK_NEVER - 1), "b");
	CHECK_INT(timerq_next_ns(q), CLK_NEVER);
	CHECK(timer_is_armed(&a.t));
	timerq_stop(q, &a.t);
	timerq_close(q);
}

static uint64_t last_ns;
static unsigned in_order;

static void on_sorted(struct timer *t)
{
	in_order += t->deadline_ns >= last_ns;
	last_ns = t->deadline_ns;
}

/* Sizes around those at which a level is full or the array grows. */
static void test_sizes(void)
{
	static struct timer timers[1400];
	static const unsigned sizes[] = { 1, 2, 4, 5, 6, 20, 21, 22, 84, 85, 86, 252, 253, 254, 509, 510, 1400 };
	for (size_t s = 0; s < COUNT_OF(sizes); s++) {
		struct timerq *q = timerq_open(0);
		for (unsigned i = 0; i < sizes[s]; i++)
			timerq_start(q, &timers[i], prng_word(s, i) % 1000, on_sorted);
		for (unsigned i = 0; i < sizes[s]; i += 3)
			timerq_start(q, &timers[i], prng_word(s + 100, i) % 1000, on_sorted);
		last_ns = in_order = 0;
		CHECK_INT(timerq_run(q, 1000), sizes[s]);
		CHECK_INT(in_order, sizes[s]);
		timerq_close(q);
	}
}

int main(void)
{
	test_order();
	test_arming_again();
	test_passed_in_callback();
	test_end_of_time();
	test_sizes();
	model_test(&timerq_kind, 1, 300, 1000);
	return check_done();
}
