/* resolver.h - names to addresses for a loop, which never waits: getaddrinfo(3) in a pool of threads, and a small
 * memory. Layer 4.
 *
 *	resolver_ask --> a literal, or remembered? --------------------------------------+
 *	                 no --> does somebody wait for this name? --> wait with him --+  |
 *	                        no --> is a thread free for this source?              |  |
 *	                               no --> wait for one                            v  v
 *	                               yes -> getaddrinfo --> remember --> an answer for each, in the next round
 *
 * FAIRNESS  A name server that keeps silent holds a thread for tens of seconds (resolv.conf(5): timeout x attempts x
 *   servers), and nothing can interrupt getaddrinfo. So that the dead names of one client delay nobody else's, a source
 *   gets a thread only while it has fewer than are free: of 16 the first one can hold 8, the second 4, then 2, 1 and 1.
 *   Its other names wait, and those of others pass them: a thread that becomes free goes to the source that holds the
 *   fewest. Who asks for a name that another source waits for is not bound to that source's turn. Nor may one source
 *   take more than half of the places to wait.
 * MEMORY is bounded: max_kept names, of which the one that was used longest ago goes first, and max_waiting questions.
 *   A failure is remembered, too, but not that our own memory was short. Nobody tells us a name's time to live
 *   (getaddrinfo does not), and so keep_ns should be short.
 * WHO IS GONE  A name that nobody waits for any more is taken back if no thread has it yet; otherwise it is looked up
 *   to the end, and remembered. Its thread counts as its source's until then: who comes and goes gains nothing.
 *
 * LIMIT: the sources are taken as they are given: who has many addresses has many sources, and with five of them all
 *   threads.
 *
 * All calls from the loop's thread. */
#ifndef TCPLAB_RESOLVER_H
#define TCPLAB_RESOLVER_H

#include "addr.h"
#include "cdefs.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct reactor;
struct resolve;
struct resolver_name;

struct resolver_options {
	unsigned threads;                 /* 0: RESOLVER_THREADS; they start one by one when they are needed */
	unsigned max_waiting;             /* questions without a thread; 0: RESOLVER_WAITING */
	unsigned max_kept;                /* names; 0: nothing is remembered */
	uint64_t keep_ns, keep_failed_ns; /* how long; 0: not at all */
};
enum { RESOLVER_THREADS = 16, RESOLVER_WAITING = 1024, RESOLVER_NAME_MAX = 255 };

/* Must stay where it is until resolver_stop. The counters may be read. */
struct resolver {
	struct resolver_state *state; /* NULL: stopped */
	uint64_t n_asked;             /* questions */
	uint64_t n_remembered;        /* that were answered from memory */
	uint64_t n_shared;            /* that waited with another one for the same name */
	uint64_t n_refused;           /* because too many wait */
	uint64_t n_looked_up;         /* names that were given to a thread */
	uint64_t n_failed;            /* of these */
};

/* The answer, once, from the loop, never inside resolver_ask: n addresses with the port that was asked for, in the
 * order of getaddrinfo(3), and e is NULL. Or n is 0, and *e ("resolve") says why: the code of getaddrinfo; or EAGAIN:
 * too many questions wait, or there is no thread at all. Both are borrowed for the call. The ask is idle again, and may
 * be freed. */
typedef void resolve_fn(struct resolve *ask, const struct addr *list, size_t n, const struct net_error *e);

/* Leave it to resolver.c. */
struct resolver_link {
	struct resolver_link *next, *prev;
};

/* A question. Lives in its owner; all zero is idle. While it is not, it keeps reactor_run going. */
struct resolve {
	struct resolver_link link;
	struct resolver_name *name; /* NULL: idle */
	resolve_fn *fn;
	uint64_t source;
	uint16_t port;
};

void resolver_start(struct resolver *rs, struct reactor *r, const struct resolver_options *o);

/* host: a name, or a literal, which needs no thread; copied. No name is longer than RESOLVER_NAME_MAX. source: who
 * wants to know it (addr_source); 0: nobody in particular, who may have all threads and places. */
void resolver_ask(struct resolver *rs, struct resolve *ask, const char *host, uint16_t port, int family,
		  uint64_t source, resolve_fn *fn);

static inline bool resolve_is_busy(const struct resolve *ask)
{
	return ask->name != NULL;
}

/* No answer will come. May be idle. */
void resolver_cancel(struct resolve *ask);

void resolver_forget(struct resolver *rs); /* what is remembered */

/* Nobody may ask any more (asserted). Never blocks: threads that are still busy end by themselves, and do not touch the
 * loop. May be stopped already. */
void resolver_stop(struct resolver *rs);

#endif
