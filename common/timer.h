/* timer.h - one timer, and the calls that every kind of timer queue has. Layer 1.
 *
 * Two kinds keep timers in order, and a reactor takes either:
 *
 *	timerq.h     a heap     fires in the exact order of (deadline, arming); the next deadline is known exactly
 *	timewheel.h  a wheel    never early, at most one tick late, any order within a tick; arming costs the same
 *	                        for a hundred timers and for a million
 *
 * Time is an argument everywhere: nothing here reads a clock, so a test plays an hour in a microsecond. A queue and its timers
 * belong to one thread. */
#ifndef TCPLAB_TIMER_H
#define TCPLAB_TIMER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct timer;
typedef void timer_fn(struct timer *t);

/* Lives in its owner; all zero is an idle timer. An armed timer must neither move nor be freed. Leave the fields to the
 * functions below; `deadline_ns` may be read. */
struct timer {
	uint64_t deadline_ns;
	timer_fn *on_fire; /* NULL: idle */
	union {
		struct {
			size_t slot;
			uint64_t order; /* of arming */
		} heap;
		struct {
			struct timer *next, **link;
		} wheel;
	} at;
};

static inline bool timer_is_armed(const struct timer *t)
{
	return t->on_fire != NULL;
}

/* What a kind of queue can do. `q` comes from open and belongs to the caller until close. */
struct timer_kind {
	const char *name; /* "heap", "wheel" */

	void *(*open)(uint64_t now_ns);
	void (*close)(void *q); /* nothing may be armed (asserted) */

	/* Arms t, or moves it when it is armed. A deadline that had passed when run was last called fires in the next run of a later
	 * time; a timer that a callback arms never fires in the run that called it. A deadline of CLK_NEVER never comes. */
	void (*start)(void *q, struct timer *t, uint64_t deadline_ns, timer_fn *fn);

	/* Idle afterwards; t may be idle already. Legal in any callback, of itself and of others. */
	void (*stop)(void *q, struct timer *t);

	/* When to call run next: CLK_NEVER (clock.h) when nothing is armed. A wheel may name a time before the first deadline,
	 * at which run has nothing to fire, and up to a tick after it. */
	uint64_t (*next_ns)(const void *q);

	/* Fires what is due at now_ns: how many. A timer is idle when its callback runs. Time does not go back: now_ns is what it
	 * was in the last run or later, and never CLK_NEVER. Not to be called in a callback (asserted). */
	unsigned (*run)(void *q, uint64_t now_ns);
};

#endif
