#include "workpool.h"

#include "mem.h"
#include "os.h"
#include "reactor.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

/* Enough for getaddrinfo(3) and the modules that it loads. */
enum { STACK_LEN = 256 * 1024 };

struct queue {
	struct work *first, *last;
};

/* A job is in one of the queues, or a thread has it. */
struct pool {
	unsigned threads_max, jobs_max;
	bool is_background;
	unsigned n_held; /* jobs that hold the loop; for its thread only */
	struct deferred back;

	pthread_mutex_t lock; /* guards the rest */
	pthread_cond_t has_work;
	struct reactor *r; /* not ours any more once is_stopped */
	struct queue queued, results, arrived;
	unsigned n_jobs, n_queued, n_threads, n_idle;
	unsigned n_users; /* threads, and calls that are in here: the last one frees the pool */
	bool is_posted;   /* `back` is on its way */
	bool is_stopped;
};

/* --- queues ------------------------------------------------------------------------------------------------------ */

static void put(struct queue *q, struct work *w)
{
	w->next = NULL;
	if (q->first == NULL)
		q->first = w;
	else
		q->last->next = w;
	q->last = w;
}

static struct work *take(struct queue *q)
{
	struct work *w = q->first;
	if (w != NULL)
		q->first = w->next;
	return w;
}

/* Whether it was there. */
static bool take_out(struct queue *q, const struct work *w)
{
	struct work *before = NULL, *at = q->first;
	for (; at != NULL && at != w; at = at->next)
		before = at;
	if (at == NULL)
		return false;
	if (before == NULL)
		q->first = at->next;
	else
		before->next = at->next;
	if (q->last == at)
		q->last = before;
	return true;
}

/* --- life -------------------------------------------------------------------------------------------------------- */

void workpool_start(struct workpool *pool, struct reactor *r, unsigned threads, unsigned max_queued)
{
	assert(threads >= 1);
	struct pool *p = xcalloc(1, sizeof(*p));
	p->r = r;
	p->threads_max = threads;
	p->jobs_max = threads + max_queued;
	p->n_users = 1;
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->has_work, NULL);
	pool->pool = p;
}

void workpool_set_background(struct workpool *pool)
{
	assert(pool->pool->n_held == 0);
	pool->pool->is_background = true;
}

/* With the lock, which is given back. */
static void leave(struct pool *p)
{
	bool is_last = --p->n_users == 0;
	pthread_mutex_unlock(&p->lock);
	if (!is_last)
		return;
	pthread_cond_destroy(&p->has_work);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

/* --- the loop's side --------------------------------------------------------------------------------------------- */

static void hold_one(struct pool *p)
{
	if (p->is_background)
		return;
	p->n_held++;
	reactor_hold(p->r);
}

static void release_one(struct pool *p)
{
	if (p->is_background)
		return;
	p->n_held--;
	reactor_release(p->r);
}

static struct work *take_arrived(struct pool *p)
{
	pthread_mutex_lock(&p->lock);
	struct work *w = take(&p->arrived);
	p->n_jobs -= w != NULL;
	pthread_mutex_unlock(&p->lock);
	return w;
}

static void on_back(struct deferred *d)
{
	struct pool *p = CONTAINER_OF(d, struct pool, back);
	pthread_mutex_lock(&p->lock);
	p->is_posted = false;
	p->n_users++; /* a `done` may stop the pool */
	/* What comes from now on belongs to the next round. */
	p->arrived = p->results;
	p->results = (struct queue){ 0 };
	pthread_mutex_unlock(&p->lock);
	for (struct work *w; (w = take_arrived(p)) != NULL;) {
		release_one(p);
		w->done(w);
	}
	pthread_mutex_lock(&p->lock);
	leave(p);
}

static void drop_all(struct queue *q)
{
	for (struct work *w; (w = take(q)) != NULL;)
		w->drop(w);
}

void workpool_stop(struct workpool *pool)
{
	struct pool *p = pool->pool;
	if (p == NULL)
		return;
	pool->pool = NULL;
	pthread_mutex_lock(&p->lock);
	p->is_stopped = true; /* from here on no thread posts */
	struct queue orphans[] = { p->arrived, p->results, p->queued };
	p->arrived = p->results = p->queued = (struct queue){ 0 };
	pthread_cond_broadcast(&p->has_work);
	pthread_mutex_unlock(&p->lock);
	reactor_unpost(p->r, &p->back);
	while (p->n_held > 0)
		release_one(p);
	for (size_t i = 0; i < COUNT_OF(orphans); i++)
		drop_all(&orphans[i]);
	pthread_mutex_lock(&p->lock);
	leave(p);
}

bool workpool_cancel(struct workpool *pool, struct work *w)
{
	struct pool *p = pool->pool;
	assert(p != NULL);
	pthread_mutex_lock(&p->lock);
	bool was_queued = take_out(&p->queued, w);
	bool is_ours = was_queued || take_out(&p->results, w) || take_out(&p->arrived, w);
	p->n_queued -= was_queued;
	p->n_jobs -= is_ours;
	if (!is_ours)
		w->is_unwanted = true;
	pthread_mutex_unlock(&p->lock);
	release_one(p);
	return is_ours;
}

/* --- a thread of the pool ---------------------------------------------------------------------------------------- */

/* It has been run; the lock is held. */
static void hand_back(struct pool *p, struct work *w)
{
	if (p->is_stopped || w->is_unwanted) {
		p->n_jobs--;
		pthread_mutex_unlock(&p->lock);
		w->drop(w);
		pthread_mutex_lock(&p->lock);
		return;
	}
	put(&p->results, w);
	/* WHY under the lock: workpool_stop waits for it, and so the loop still exists. */
	if (!p->is_posted)
		reactor_post(p->r, &p->back, on_back);
	p->is_posted = true;
}

static void *serve(void *arg)
{
	struct pool *p = arg;
	os_thread_name("workpool");
	pthread_mutex_lock(&p->lock);
	while (!p->is_stopped) {
		struct work *w = take(&p->queued);
		if (w == NULL) {
			p->n_idle++;
			pthread_cond_wait(&p->has_work, &p->lock);
			p->n_idle--;
			continue;
		}
		p->n_queued--;
		pthread_mutex_unlock(&p->lock);
		w->run(w);
		pthread_mutex_lock(&p->lock);
		hand_back(p, w);
	}
	leave(p);
	return NULL;
}

/* One more thread, if all those that idle have a job waiting already. 0, or an error when nobody would do the job. */
static int provide_thread(struct pool *p)
{
	if (p->n_queued < p->n_idle || p->n_threads == p->threads_max)
		return 0;
	int err = os_thread_start(NULL, STACK_LEN, serve, p);
	if (err != 0)
		return p->n_threads > 0 ? 0 : err;
	p->n_threads++;
	p->n_users++;
	return 0;
}

int workpool_submit(struct workpool *pool, struct work *w, work_fn *run, work_fn *done, work_fn *drop)
{
	struct pool *p = pool->pool;
	assert(p != NULL);
	pthread_mutex_lock(&p->lock);
	int err = p->n_jobs < p->jobs_max ? provide_thread(p) : EAGAIN;
	if (err == 0) {
		*w = (struct work){ .run = run, .done = done, .drop = drop };
		put(&p->queued, w);
		p->n_queued++;
		p->n_jobs++;
		pthread_cond_signal(&p->has_work);
	}
	pthread_mutex_unlock(&p->lock);
	errno = err;
	if (err != 0)
		return -1;
	hold_one(p);
	return 0;
}
