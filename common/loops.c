#include "loops.h"

#include "mem.h"
#include "os.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* A connection reads by way of its thread's stack (conn.c); musl gives threads 128 KiB unless told otherwise. */
enum { STACK_LEN = 1024 * 1024 };

struct loop {
	struct reactor *r;
	pthread_t thread; /* of loop 0: not used */
	unsigned index;
};

static void run(struct loop *loop)
{
	int rc = reactor_run(loop->r);
	assert(rc == 0); /* the descriptors are ours: waiting for them cannot fail */
	(void)rc;
}

static void *live(void *arg)
{
	struct loop *loop = arg;
	char name[16];
	snprintf(name, sizeof(name), "loop %u", loop->index);
	os_thread_name(name);
	run(loop);
	return NULL;
}

int loops_start(struct loops *l, unsigned n, struct net_error *e)
{
	assert(n >= 1 && n <= LOOPS_MAX);
	*l = (struct loops){ .loop = xcalloc(n, sizeof(*l->loop)) };
	for (; l->n < n; l->n++) {
		struct loop *loop = &l->loop[l->n];
		loop->index = l->n;
		loop->r = reactor_new(NULL, NULL, e);
		if (loop->r == NULL)
			break;
		if (l->n == 0)
			continue;
		reactor_hold(loop->r);
		int err = os_thread_start(&loop->thread, STACK_LEN, live, loop);
		if (err != 0) {
			reactor_release(loop->r);
			reactor_free(loop->r);
			errno = err;
			net_fail(e, "start", "thread");
			break;
		}
	}
	if (l->n == n)
		return 0;
	loops_join(l);
	loops_free(l);
	return -1;
}

struct reactor *loops_get(const struct loops *l, unsigned i)
{
	assert(i < l->n);
	return l->loop[i].r;
}

unsigned loops_deal(struct loops *l)
{
	l->next = (l->next + 1) % l->n;
	return l->next;
}

struct call {
	struct deferred deferred;
	struct loop *loop;
	loops_fn *fn;
	void *arg;
};

static void on_call(struct deferred *d)
{
	struct call *call = CONTAINER_OF(d, struct call, deferred);
	call->fn(call->loop->r, call->loop->index, call->arg);
	free(call);
}

void loops_post(struct loops *l, unsigned i, loops_fn *fn, void *arg)
{
	assert(i < l->n);
	struct call *call = xcalloc(1, sizeof(*call));
	*call = (struct call){ .loop = &l->loop[i], .fn = fn, .arg = arg };
	reactor_post(l->loop[i].r, &call->deferred, on_call);
}

void loops_each(struct loops *l, loops_fn *fn, void *arg)
{
	fn(l->loop[0].r, 0, arg);
	for (unsigned i = 1; i < l->n; i++)
		loops_post(l, i, fn, arg);
}

static void let_go(struct reactor *r, unsigned i, void *arg)
{
	(void)i;
	(void)arg;
	reactor_release(r);
}

static uint64_t rounds_so_far(const struct loops *l)
{
	uint64_t rounds = 0;
	for (unsigned i = 0; i < l->n; i++)
		rounds += reactor_stats(l->loop[i].r)->rounds;
	return rounds;
}

/* What loops posted to others that had ended already ("my last connection is gone") is still to be called, and there is only
 * this thread left to do it. */
static void run_what_is_left(struct loops *l)
{
	uint64_t before;
	do {
		before = rounds_so_far(l);
		for (unsigned i = 0; i < l->n; i++)
			run(&l->loop[i]);
	} while (rounds_so_far(l) != before);
}

void loops_join(struct loops *l)
{
	for (unsigned i = 1; i < l->n; i++)
		loops_post(l, i, let_go, NULL);
	for (unsigned i = 1; i < l->n; i++)
		pthread_join(l->loop[i].thread, NULL);
	run_what_is_left(l);
}

void loops_free(struct loops *l)
{
	for (unsigned i = 0; i < l->n; i++)
		reactor_free(l->loop[i].r);
	free(l->loop);
	*l = (struct loops){ 0 };
}
