/* loops.h - several loops, a thread each, and how connections are dealt out to them. Layer 4.
 *
 * Loop 0 is run by the caller's own thread, the others by threads that loops_start makes. An object belongs to the loop it was
 * started on, and is touched by that loop's thread only; loops_each and loops_post are how others ask it for something.
 *
 * Two ways to share out the connections of one port, both worth seeing:
 *   dealt out   one acceptor on loop 0; each descriptor is posted to the next loop in turn: exactly even
 *   reuseport   a listening socket for each loop (SO_REUSEPORT, socket(7)): the kernel chooses by a hash of the
 *               addresses: no hand-over, but even only on average, and what waits in one backlog stays there */
#ifndef TCPLAB_LOOPS_H
#define TCPLAB_LOOPS_H

#include "reactor.h"

#include <pthread.h>

enum { LOOPS_MAX = 256 };

struct loops {
	unsigned n;
	unsigned next; /* whose turn it is; for the caller's thread only */
	struct loop *loop;
};

/* n loops, 1 to LOOPS_MAX; all run (loop 0 when the caller runs it) and hold on until loops_join. 0, or -1 with *e. */
MUST_USE int loops_start(struct loops *l, unsigned n, struct net_error *e);

struct reactor *loops_get(const struct loops *l, unsigned i);

/* The next in turn. */
unsigned loops_deal(struct loops *l);

/* Calls fn(reactor, i, arg) on each loop's own thread: for loop 0 at once, for the others soon. */
typedef void loops_fn(struct reactor *r, unsigned i, void *arg);
void loops_each(struct loops *l, loops_fn *fn, void *arg);

/* The same on loop i alone; never at once, in order of posting. */
void loops_post(struct loops *l, unsigned i, loops_fn *fn, void *arg);

/* After loop 0 has been run to its end: the others end when nothing is left on them. BLOCKS until they have. Calls that were
 * posted to a loop that had ended are made here: none is lost. */
void loops_join(struct loops *l);
void loops_free(struct loops *l); /* after loops_join */

#endif
