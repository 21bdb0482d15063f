/* timerq.h - timers in a heap: exact, in order, good for any use. Layer 1.
 *
 * They fire in the order of (deadline, arming), to the nanosecond, and the next deadline is known at any time. To start, move or
 * stop one of n timers takes at most log4 n steps, mostly one or two: three quarters of a heap are leaves. With very
 * many timers each step is a cache miss; who moves masses of them and can wait for a tick takes a wheel (timewheel.h).
 *
 * A deadline that a callback has missed already, or meets in this very nanosecond, counts as the nanosecond after the run:
 * that is how it waits for the next run and still has its place in the order.
 *
 * The calls are those of timer.h. LIMIT: the memory of the heap, 16 bytes for each timer that was ever armed at the same time, is
 * kept until close. */
#ifndef TCPLAB_TIMERQ_H
#define TCPLAB_TIMERQ_H

#include "cdefs.h"
#include "timer.h"

struct timerq;

MUST_USE struct timerq *timerq_open(uint64_t now_ns);
void timerq_close(struct timerq *q);
void timerq_start(struct timerq *q, struct timer *t, uint64_t deadline_ns, timer_fn *fn);
void timerq_stop(struct timerq *q, struct timer *t);
uint64_t timerq_next_ns(const struct timerq *q);
unsigned timerq_run(struct timerq *q, uint64_t now_ns);

extern const struct timer_kind timerq_kind; /* the same as a table, named "heap" */

#endif
