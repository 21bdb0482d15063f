/* workpool.h - calls that block, made by other threads, so that a loop never waits for them. Layer 4.
 *
 *	loop thread                      a thread of the pool
 *	workpool_submit --> queue -----> run(w)        may block; touches only what is in w
 *	done(w) <-------- reactor_post --+
 *
 * A job belongs to the pool from submit until done starts, or until it is cancelled. How many there are is bounded: a
 * full pool refuses (shed, do not grow). First customer: getaddrinfo(3), which nothing can interrupt. That is why
 * nobody ever waits for a job that runs: who does not want its result any more leaves it to its thread, which ends by
 * itself later and then calls drop.
 *
 * All calls from the loop's thread. Who has jobs in the pool cancels them before it stops, or does not mind drop. */
#ifndef TCPLAB_WORKPOOL_H
#define TCPLAB_WORKPOOL_H

#include "cdefs.h"

#include <stdbool.h>

struct reactor;
struct work;
typedef void work_fn(struct work *w);

/* All zero is an idle job. Lives on the heap, alone or in a larger object. Leave the fields to workpool.c. */
struct work {
	struct work *next;
	work_fn *run;  /* on a thread of the pool */
	work_fn *done; /* on the loop; w is the caller's again */
	work_fn *drop; /* instead of done, when nobody wants the result: free w and what it owns. On any thread */
	bool is_unwanted;
};

struct workpool {
	struct pool *pool; /* shared with the threads; the last one frees it. NULL: stopped */
};

/* `threads` start one by one when there is work for them. */
void workpool_start(struct workpool *p, struct reactor *r, unsigned threads, unsigned max_queued);

/* From now on jobs do not keep reactor_run going: who waits for one holds the loop himself. Before the first job. */
void workpool_set_background(struct workpool *p);

/* The job keeps reactor_run going. 0, or -1 with errno: EAGAIN when all threads are busy and max_queued jobs wait, or
 * when not a single thread can be started. A result that the loop has not yet taken counts as a job. */
MUST_USE int workpool_submit(struct workpool *p, struct work *w, work_fn *run, work_fn *done, work_fn *drop);

/* w was submitted and done has not come; it will not come any more. True: w is the caller's again. False: it runs
 * just now, and when it is through comes drop. */
bool workpool_cancel(struct workpool *p, struct work *w);

/* Every job is dropped: those that run when they are through, the others at once. Never blocks; when it returns,
 * nothing of the pool touches the loop any more. May be stopped already. */
void workpool_stop(struct workpool *p);

#endif
