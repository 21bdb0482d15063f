/* reactor.h - one thread that waits for descriptors, timers and calls, and runs what they are for. Layer 3.
 *
 * A ROUND, always in this order:
 *
 *	wait ---> now ---> events ---> timers ---> deferred calls ---+
 *	 ^        one clock  (fd, gen)   due at       queued before   |
 *	 |        reading    resolved    `now`        this point      |
 *	 +------------------------------------------------------------+
 *
 * WHO OWNS WHAT  watches, timers and deferred calls live in the caller's objects and are never freed here; a descriptor
 *   stays the caller's. All zero is a stopped watch, an idle timer, a call that is not queued.
 * STALE EVENTS  the kernel is given the pair (fd, generation), never a pointer, and the pair is looked up when the event is
 *   dispatched. So inside any callback any watch may be stopped, its descriptor closed and the number opened again: an
 *   event of the old owner finds nobody, and is counted as stale.
 * A CALLBACK never runs inside the call that registers it.
 * READINESS is level-triggered: what is not read is reported again.
 * RULES  1 watch_stop before close(fd): a descriptor that was shared by fork or dup stays in an epoll set after close
 *   (epoll(7), Q6). 2 One watch for a descriptor. 3 All calls from the loop's own thread, but reactor_post.
 *
 * The backend (epoll, poll, select) and the timers (heap, wheel) are chosen at run time. */
#ifndef TCPLAB_REACTOR_H
#define TCPLAB_REACTOR_H

#include "addr.h"
#include "cdefs.h"
#include "timer.h"

#include <stdbool.h>
#include <stdint.h>

struct reactor;
struct watch;
struct deferred;

/* --- the loop ---------------------------------------------------------------------------------------------------- */

/* backend: "epoll", "poll", "select"; NULL: $TCPLAB_BACKEND, or epoll. timers: "heap", "wheel"; NULL: $TCPLAB_TIMERS, or
 * heap. The caller's, until reactor_free; NULL with *e for an unknown name or no descriptors. */
MUST_USE struct reactor *reactor_new(const char *backend, const char *timers, struct net_error *e);

/* Nothing may be armed any more (asserted): a loop that goes must not leave dead objects behind. */
void reactor_free(struct reactor *r);

/* Runs rounds until reactor_stop, or until nothing is left that could happen: no watch, no timer, no call, no hold.
 * BLOCKS. 0, or -1 with errno when waiting itself failed. */
MUST_USE int reactor_run(struct reactor *r);

void reactor_stop(struct reactor *r); /* the running round is finished first */

/* Keeps reactor_run going although nothing is armed: something will be posted from another thread. Each hold is taken
 * back by one release. */
void reactor_hold(struct reactor *r);
void reactor_release(struct reactor *r);

/* The monotonic time of this round; outside of reactor_run the time itself. Cheap: do not read the clock for each event. */
uint64_t reactor_now_ns(const struct reactor *r);

/* Never sleep in wait: lower latency for a whole processor. */
void reactor_set_busy_poll(struct reactor *r, bool on);

const char *reactor_backend_name(const struct reactor *r);

/* One pointer for the owner of the loop: what its callbacks find without a pointer of their own. */
void reactor_set_user(struct reactor *r, void *user);
void *reactor_user(const struct reactor *r);

/* Descriptors from this number on cannot be watched: FD_SETSIZE under select, INT_MAX elsewhere. */
int reactor_fd_limit(const struct reactor *r);

struct reactor_stats {
	uint64_t rounds;
	uint64_t events; /* dispatched */
	uint64_t stale;  /* came for a watch that was stopped meanwhile */
	uint64_t timers; /* fired */
	uint64_t spins;  /* watches that were reported as busy loops */
};
const struct reactor_stats *reactor_stats(const struct reactor *r);

/* --- descriptors ------------------------------------------------------------------------------------------------- */

/* What a watch wants, and what happened. HUP and ERR are reported whether wanted or not; select knows neither, and says READ
 * or WRITE for them. With neither READ nor WRITE a watch wants errors only: a flow that is paused must still see a reset. */
enum {
	WATCH_READ = 1,
	WATCH_WRITE = 2,
	WATCH_HUP = 4,
	WATCH_ERR = 8,
	WATCH_BACKGROUND = 16, /* in `want`: does not keep reactor_run going */
	WATCH_LAST = 64,       /* beside READ, a hint: the peer's FIN has come, behind what can be read (epoll, poll) */
};

/* Returns whether it did anything: moved bytes, took a connection, saw an end, changed what it wants. A watch that fires
 * SPIN_ROUNDS rounds in a row and never does anything is reported once on stderr as a busy loop, with descriptor and peer. */
typedef bool watch_fn(struct watch *w, unsigned events);
enum { SPIN_ROUNDS = 1000 };

/* Read `r`, `fd` and `want`, which stay as they were after watch_stop; leave on_event alone. */
struct watch {
	struct reactor *r;
	watch_fn *on_event; /* NULL: stopped */
	int fd;
	unsigned want;
};

/* fd is borrowed and has to be non-blocking. 0, or -1 with errno: EPERM for a regular file under epoll (it never blocks: read it
 * directly), ERANGE for a descriptor at or above reactor_fd_limit, ENOMEM, ENOSPC. */
MUST_USE int watch_start(struct watch *w, struct reactor *r, int fd, unsigned want, watch_fn *fn);

/* Changes what is wanted, from now on. No system call when nothing changes. */
void watch_want(struct watch *w, unsigned want);

/* The same descriptor, and from now on another want and another function: what watch_stop and watch_start would do, with
 * one system call less. */
void watch_become(struct watch *w, unsigned want, watch_fn *fn);

/* Out of the kernel's set; on_event will not be called any more. May be stopped already. */
void watch_stop(struct watch *w);

static inline bool watch_is_started(const struct watch *w)
{
	return w->on_event != NULL;
}

/* --- timers ------------------------------------------------------------------------------------------------------ */

/* Fires in the round in which deadline_ns (CLOCK_MONOTONIC) has passed, with a wheel up to a tick later; moves the timer if it is
 * armed. */
void reactor_timer_start(struct reactor *r, struct timer *t, uint64_t deadline_ns, timer_fn *fn);
void reactor_timer_stop(struct reactor *r, struct timer *t);

/* --- calls ------------------------------------------------------------------------------------------------------- */

typedef void deferred_fn(struct deferred *d);

struct deferred {
	struct deferred *next, *prev; /* NULL: not queued */
	deferred_fn *fn;
};

/* Calls fn once, at the end of this round (of the next one, when called by a deferred call). While it is queued another
 * defer changes nothing. */
void reactor_defer(struct reactor *r, struct deferred *d, deferred_fn *fn);
void deferred_cancel(struct deferred *d); /* it may not be queued */

/* The same from any thread: the only call that is. Wakes the loop. d belongs to the loop until fn runs; it must not be queued
 * already, and deferred_cancel is not for it. */
void reactor_post(struct reactor *r, struct deferred *d, deferred_fn *fn);

/* Takes a posted call back, on the loop's own thread: fn will not run, and d is the caller's. fn may have run already; but
 * nobody may be about to post d. */
void reactor_unpost(struct reactor *r, struct deferred *d);

#endif
