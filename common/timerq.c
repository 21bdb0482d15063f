/* timerq.c - a heap in an array, four children to a node, the keys beside the pointers. See timerq.h.
 *
 *	                        0                          parent(i)    (i - 1) / 4
 *	     1            2           3           4        children(i)  4i + 1 ... 4i + 4
 *	 5 6 7 8     9 10 11 12  13 14 15 16  17 18 19 20
 *
 * No child comes before its parent: the root is the first of all. The empty place in a heap is called the hole; it moves up or
 * down until the entry that looks for a place fits into it.
 *
 * WHY four: half the levels of a binary heap, and the four keys that a step compares lie in one cache line, because the
 * array begins three entries before one and an entry has 16 bytes. Measured, to move a random one of 10^2, 10^4, 10^6 timers
 * (ns, AMD EPYC): 18, 29, 203 with two children, 12, 17, 100 with four. Eight are faster still for this (10, 13, 90), and
 * slower when many deadlines are equal (to fire: 48, 120, 510 against 38, 92, 600).
 *
 * WHY the deadline is in the array too: the timers lie anywhere in memory, and each look at one may be a cache miss. They are
 * looked at only when two deadlines are equal. TRY: CHILDREN = 2, then scripts/bench/timers. */
#include "timerq.h"

#include "clock.h"
#include "mem.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { CHILDREN = 4, UNUSED = CHILDREN - 1, FIRST_CAPACITY = 256 };

struct entry {
	uint64_t deadline_ns;
	struct timer *t;
};

struct timerq {
	struct entry *
		heap; /* n entries, at.heap.slot is their index; UNUSED ones before them so that siblings share a line */
	size_t n, capacity;   /* capacity counts the unused, too */
	uint64_t armed;       /* so many times start was called */
	uint64_t earliest_ns; /* during a run the nanosecond after it, otherwise 0 */
};

/* --- the heap ----------------------------------------------------------------------------------------------------- */

static bool is_before(const struct entry *a, const struct entry *b)
{
	if (a->deadline_ns != b->deadline_ns)
		return a->deadline_ns < b->deadline_ns;
	return a->t->at.heap.order < b->t->at.heap.order;
}

static void put(struct timerq *q, size_t slot, struct entry e)
{
	q->heap[slot] = e;
	e.t->at.heap.slot = slot;
}

static void rise(struct timerq *q, size_t hole, struct entry e)
{
	while (hole > 0) {
		size_t parent = (hole - 1) / CHILDREN;
		if (!is_before(&e, &q->heap[parent]))
			break;
		put(q, hole, q->heap[parent]);
		hole = parent;
	}
	put(q, hole, e);
}

static bool has_child(const struct timerq *q, size_t slot)
{
	return slot * CHILDREN + 1 < q->n;
}

static size_t first_child(const struct timerq *q, size_t parent)
{
	size_t begin = parent * CHILDREN + 1, first = begin;
	size_t end = begin + CHILDREN < q->n ? begin + CHILDREN : q->n;
	for (size_t i = begin + 1; i < end; i++) {
		if (is_before(&q->heap[i], &q->heap[first]))
			first = i;
	}
	return first;
}

static void sink(struct timerq *q, size_t hole, struct entry e)
{
	while (has_child(q, hole)) {
		size_t child = first_child(q, hole);
		if (!is_before(&q->heap[child], &e))
			break;
		put(q, hole, q->heap[child]);
		hole = child;
	}
	put(q, hole, e);
}

static void settle(struct timerq *q, size_t hole, struct entry e)
{
	if (hole > 0 && is_before(&e, &q->heap[(hole - 1) / CHILDREN]))
		rise(q, hole, e);
	else
		sink(q, hole, e);
}

static void take_out(struct timerq *q, size_t hole)
{
	struct entry last = q->heap[--q->n];
	if (hole < q->n)
		settle(q, hole, last);
}

static void grow(struct timerq *q)
{
	size_t capacity = q->capacity > 0 ? 2 * q->capacity : FIRST_CAPACITY;
	struct entry *mem = xmalloc_pages(capacity * sizeof(*mem));
	if (q->capacity > 0) {
		memcpy(mem + UNUSED, q->heap, q->n * sizeof(*mem));
		free(q->heap - UNUSED);
	}
	q->heap = mem + UNUSED;
	q->capacity = capacity;
}

/* --- the calls ---------------------------------------------------------------------------------------------------- */

struct timerq *timerq_open(uint64_t now_ns)
{
	(void)now_ns; /* a heap has no time of its own */
	struct timerq *q = xcalloc(1, sizeof(*q));
	grow(q);
	return q;
}

void timerq_close(struct timerq *q)
{
	assert(q->n == 0);
	free(q->heap - UNUSED);
	free(q);
}

void timerq_start(struct timerq *q, struct timer *t, uint64_t deadline_ns, timer_fn *fn)
{
	assert(fn != NULL);
	bool was_armed = timer_is_armed(t);
	t->deadline_ns = deadline_ns > q->earliest_ns ? deadline_ns : q->earliest_ns;
	t->on_fire = fn;
	t->at.heap.order = q->armed++;
	struct entry e = { .deadline_ns = t->deadline_ns, .t = t };
	if (was_armed) {
		settle(q, t->at.heap.slot, e);
	} else {
		if (q->n == q->capacity - UNUSED)
			grow(q);
		rise(q, q->n++, e);
	}
}

void timerq_stop(struct timerq *q, struct timer *t)
{
	if (!timer_is_armed(t))
		return;
	t->on_fire = NULL;
	take_out(q, t->at.heap.slot);
}

uint64_t timerq_next_ns(const struct timerq *q)
{
	return q->n > 0 ? q->heap[0].deadline_ns : CLK_NEVER;
}

unsigned timerq_run(struct timerq *q, uint64_t now_ns)
{
	assert(q->earliest_ns == 0 && now_ns != CLK_NEVER);
	unsigned fired = 0;
	q->earliest_ns = now_ns + 1;
	for (; q->n > 0 && q->heap[0].deadline_ns <= now_ns; fired++) {
		struct timer *t = q->heap[0].t;
		timer_fn *fn = t->on_fire;
		timerq_stop(q, t);
		fn(t);
	}
	q->earliest_ns = 0;
	return fired;
}

/* --- the table ---------------------------------------------------------------------------------------------------- */

static void *kind_open(uint64_t now_ns)
{
	return timerq_open(now_ns);
}

static void kind_close(void *q)
{
	timerq_close(q);
}

static void kind_start(void *q, struct timer *t, uint64_t deadline_ns, timer_fn *fn)
{
	timerq_start(q, t, deadline_ns, fn);
}

static void kind_stop(void *q, struct timer *t)
{
	timerq_stop(q, t);
}

static uint64_t kind_next_ns(const void *q)
{
	return timerq_next_ns(q);
}

static unsigned kind_run(void *q, uint64_t now_ns)
{
	return timerq_run(q, now_ns);
}

const struct timer_kind timerq_kind = {
	.name = "heap",
	.open = kind_open,
	.close = kind_close,
	.start = kind_start,
	.stop = kind_stop,
	.next_ns = kind_next_ns,
	.run = kind_run,
};
