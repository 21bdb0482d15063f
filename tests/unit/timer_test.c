/* timer_test.c - what timer.h promises of every kind, asked of each. What only one of them promises is in timerq_test.c and
 * timewheel_test.c. */
#include "cdefs.h"
#include "check.h"
#include "clock.h"
#include "mem.h"
#include "prng.h"
#include "timer.h"
#include "timerq.h"
#include "timewheel.h"

#include <stdlib.h>

/* A timer that knows its queue, and does when it fires what the test wants. */
struct bell {
	struct timer t;
	const struct timer_kind *kind;
	void *q;
	uint64_t now_ns;
	unsigned rung;
	struct bell *stops; /* stopped by our callback; may be ourselves */
	bool again;         /* our callback arms us for now */
};

static void on_bell(struct timer *t)
{
	struct bell *b = CONTAINER_OF(t, struct bell, t);
	CHECK(!timer_is_armed(t));
	b->rung++;
	if (b->stops != NULL)
		b->kind->stop(b->q, &b->stops->t);
	if (b->again)
		b->kind->start(b->q, t, b->now_ns, on_bell);
}

static void test_idle(const struct timer_kind *kind)
{
	struct timer t = { 0 };
	void *q = kind->open(1000);
	CHECK(!timer_is_armed(&t));
	CHECK_INT(kind->next_ns(q), CLK_NEVER);
	kind->stop(q, &t);
	CHECK_INT(kind->run(q, 1000), 0);
	kind->start(q, &t, 2000, on_bell);
	CHECK(timer_is_armed(&t));
	CHECK_INT(t.deadline_ns, 2000);
	CHECK(kind->next_ns(q) != CLK_NEVER);
	kind->stop(q, &t);
	kind->stop(q, &t);
	CHECK(!timer_is_armed(&t));
	CHECK_INT(kind->next_ns(q), CLK_NEVER);
	CHECK_INT(kind->run(q, NS_PER_S), 0);
	kind->close(q);
}

static void test_fires_once(const struct timer_kind *kind)
{
	struct bell b = { 0 };
	void *q = kind->open(0);
	kind->start(q, &b.t, 5 * (uint64_t)NS_PER_S, on_bell);
	CHECK_INT(kind->run(q, 5 * (uint64_t)NS_PER_S - 1), 0);
	CHECK_INT(kind->run(q, 6 * (uint64_t)NS_PER_S), 1);
	CHECK_INT(kind->run(q, 60 * (uint64_t)NS_PER_S), 0);
	CHECK_INT(b.rung, 1);
	kind->close(q);
}

/* Moved to later, to earlier, to the same time: it fires once, and at the last of them. */
static void test_moves(const struct timer_kind *kind)
{
	static const uint64_t to_s[] = { 7, 3, 3, 100, 5, 3600 };
	for (size_t i = 0; i < COUNT_OF(to_s); i++) {
		struct bell b = { 0 };
		void *q = kind->open(0);
		for (size_t k = 0; k <= i; k++)
			kind->start(q, &b.t, to_s[k] * NS_PER_S, on_bell);
		CHECK_INT(kind->run(q, to_s[i] * NS_PER_S - 1), 0);
		CHECK_INT(kind->run(q, to_s[i] * NS_PER_S + NS_PER_S), 1);
		CHECK_INT(kind->next_ns(q), CLK_NEVER);
		kind->close(q);
	}
}

/* Of two that are due, the one that fires first stops the other, wherever that one waits. */
static void test_stop_in_callback(const struct timer_kind *kind)
{
	for (unsigned apart_ms = 0; apart_ms < 200; apart_ms++) {
		void *q = kind->open(0);
		struct bell a = { .kind = kind, .q = q }, b = { .kind = kind, .q = q };
		a.stops = &b;
		b.stops = &a;
		kind->start(q, &a.t, NS_PER_MS, on_bell);
		kind->start(q, &b.t, NS_PER_MS + apart_ms * (uint64_t)NS_PER_MS, on_bell);
		CHECK_INT(kind->run(q, NS_PER_S), 1);
		CHECK_INT(a.rung + b.rung, 1);
		CHECK_INT(kind->next_ns(q), CLK_NEVER);
		a.stops = &a; /* and one that stops itself, idle already */
		kind->start(q, &a.t, NS_PER_S, on_bell);
		CHECK_INT(kind->run(q, 2 * (uint64_t)NS_PER_S), 1);
		kind->close(q);
	}
}

/* No delay is not "at once" but "in the next run", or nothing else would ever have its turn. */
static void test_no_delay(const struct timer_kind *kind)
{
	void *q = kind->open(77);
	struct bell b = { .kind = kind, .q = q, .again = true, .now_ns = 77 };
	kind->start(q, &b.t, 77, on_bell);
	for (; b.now_ns < 80; b.now_ns++) {
		CHECK(kind->next_ns(q) <= b.now_ns);
		CHECK_INT(kind->run(q, b.now_ns), 1);
		CHECK(timer_is_armed(&b.t));
	}
	CHECK_INT(b.rung, 3);
	kind->stop(q, &b.t);
	kind->close(q);
}

/* Many that arm themselves for a time that has passed long ago: still once in each run. */
static void test_passed_deadlines(const struct timer_kind *kind)
{
	static struct bell bells[50];
	void *q = kind->open(NS_PER_S);
	for (size_t i = 0; i < COUNT_OF(bells); i++) {
		bells[i] = (struct bell){ .kind = kind, .q = q, .again = true, .now_ns = i };
		kind->start(q, &bells[i].t, i, on_bell);
	}
	for (uint64_t run = 0; run < 5; run++)
		CHECK_INT(kind->run(q, NS_PER_S + run), COUNT_OF(bells));
	for (size_t i = 0; i < COUNT_OF(bells); i++) {
		CHECK_INT(bells[i].rung, 5);
		kind->stop(q, &bells[i].t);
	}
	kind->close(q);
}

static void on_end(struct timer *t)
{
	free(t);
}

static void test_owner_freed_in_callback(const struct timer_kind *kind)
{
	void *q = kind->open(0);
	for (uint64_t i = 0; i < 100; i++) {
		struct timer *t = xcalloc(1, sizeof(*t));
		kind->start(q, t, i % 10 * NS_PER_MS, on_end);
	}
	CHECK_INT(kind->run(q, NS_PER_S), 100);
	CHECK_INT(kind->next_ns(q), CLK_NEVER);
	kind->close(q);
}

static void test_never(const struct timer_kind *kind)
{
	struct bell b = { 0 };
	void *q = kind->open(0);
	kind->start(q, &b.t, CLK_NEVER, on_bell);
	CHECK_INT(kind->run(q, CLK_NEVER - 1), 0);
	CHECK(timer_is_armed(&b.t));
	kind->start(q, &b.t, CLK_NEVER, on_bell);
	CHECK_INT(kind->run(q, CLK_NEVER - 1), 0);
	kind->stop(q, &b.t);
	kind->close(q);
}

/* Driven as a loop drives it, from next_ns to next_ns: each fires once, not early and at most a tick late, and a timer takes
 * 8 rounds at most, however far ahead it is. */
static void test_driven_by_next(const struct timer_kind *kind)
{
	static struct bell bells[20000];
	unsigned rounds = 0, fired = 0;
	uint64_t now_ns = 12345678901, begin_ns = now_ns;
	void *q = kind->open(now_ns);
	for (size_t i = 0; i < COUNT_OF(bells); i++) {
		bells[i] = (struct bell){ 0 };
		kind->start(q, &bells[i].t, begin_ns + (prng_word(1, i) >> 8 >> prng_word(2, i) % 56), on_bell);
	}
	for (size_t i = 0; i < COUNT_OF(bells); i += 2)
		kind->stop(q, &bells[i].t);
	for (uint64_t next_ns; (next_ns = kind->next_ns(q)) != CLK_NEVER; rounds++) {
		now_ns = next_ns > now_ns ? next_ns : now_ns;
		fired += kind->run(q, now_ns);
		if (!CHECK(rounds <= 8 * COUNT_OF(bells)))
			break;
	}
	CHECK_INT(fired, COUNT_OF(bells) / 2);
	for (size_t i = 0; i < COUNT_OF(bells); i++)
		CHECK_INT(bells[i].rung, i % 2);
	kind->close(q);
}

static void test_kind(const struct timer_kind *kind)
{
	test_idle(kind);
	test_fires_once(kind);
	test_moves(kind);
	test_stop_in_callback(kind);
	test_no_delay(kind);
	test_passed_deadlines(kind);
	test_owner_freed_in_callback(kind);
	test_never(kind);
	test_driven_by_next(kind);
}

int main(void)
{
	_Static_assert(sizeof(struct timer) <= 32, "two timers to a cache line");
	CHECK_STR(timerq_kind.name, "heap");
	CHECK_STR(timewheel_kind.name, "wheel");
	test_kind(&timerq_kind);
	test_kind(&timewheel_kind);
	return check_done();
}
