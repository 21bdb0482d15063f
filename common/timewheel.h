/* timewheel.h - timers in a hierarchical wheel: for masses of timeouts that are moved all the time and hardly ever fire. Layer 1.
 *
 * To start, move or stop a timer takes the same few steps however many there are. The price is precision: a timer never fires
 * early, but in the first run after its tick has begun, which is up to a tick after its deadline; within a tick the order is
 * any. Ticks are 2^20 ns long (1.05 ms): well below the timeouts that a wheel is for (seconds), of the order of what
 * a loaded loop is late anyway, and a power of two, so that a deadline becomes a tick by a shift.
 *
 * Nobody has to tick: next_ns names the next time at which there is something to do. That is a tick in which a timer may be
 * due, or the time to have a closer look at timers far ahead; each start causes at most LEVELS such looks (an hour ahead: 4), and
 * timers of about the same time share them.
 *
 * The calls are those of timer.h. LIMIT: the last tick before 2^64 ns, 584 years from the clock's zero, never comes.
 *
 * Source: G. Varghese, T. Lauck, "Hashed and Hierarchical Timing Wheels", SOSP 1987, scheme 7. */
#ifndef TCPLAB_TIMEWHEEL_H
#define TCPLAB_TIMEWHEEL_H

#include "cdefs.h"
#include "timer.h"

enum { TIMEWHEEL_TICK_BITS = 20, TIMEWHEEL_TICK_NS = 1 << TIMEWHEEL_TICK_BITS };

struct timewheel;

MUST_USE struct timewheel *timewheel_open(uint64_t now_ns);
void timewheel_close(struct timewheel *w);
void timewheel_start(struct timewheel *w, struct timer *t, uint64_t deadline_ns, timer_fn *fn);
void timewheel_stop(struct timewheel *w, struct timer *t);
uint64_t timewheel_next_ns(const struct timewheel *w);
unsigned timewheel_run(struct timewheel *w, uint64_t now_ns);

extern const struct timer_kind timewheel_kind; /* the same as a table, named "wheel" */

#endif
