#include "reactor.h"

#include "clock.h"
#include "diag.h"
#include "mem.h"
#include "reactor_backend.h"
#include "timerq.h"
#include "timewheel.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { BATCH = 256 }; /* events taken in one round */

/* Who has descriptor fd: slots[fd]. The generation counts the watches that had it so far. */
struct slot {
	struct watch *watch;
	uint32_t gen;
	uint16_t idle_rounds; /* rounds in a row in which it fired and did nothing; SPIN_ROUNDS: it was reported */
	uint16_t last_round;  /* the last of them, modulo 65536 */
};

struct reactor {
	const struct reactor_backend *backend;
	void *kernel;
	const struct timer_kind *kind;
	void *timers;
	struct slot *slots;
	size_t n_slots;
	struct deferred calls; /* the ring's anchor */
	uint64_t now_ns;
	struct reactor_stats stats;
	size_t n_armed, n_foreground, n_held; /* timers, watches, holds: what keeps reactor_run going */
	bool is_running, is_stopped, is_busy_poll;
	struct watch wake;
	void *user;

	pthread_mutex_t lock; /* guards the rest */
	struct deferred *posted;
};

/* --- calls ------------------------------------------------------------------------------------------------------- */

static void ring_open(struct deferred *anchor)
{
	anchor->next = anchor->prev = anchor;
}

static bool ring_is_empty(const struct deferred *anchor)
{
	return anchor->next == anchor;
}

static void ring_append(struct deferred *anchor, struct deferred *d)
{
	d->next = anchor;
	d->prev = anchor->prev;
	anchor->prev->next = d;
	anchor->prev = d;
}

void deferred_cancel(struct deferred *d)
{
	if (d->next == NULL)
		return;
	d->prev->next = d->next;
	d->next->prev = d->prev;
	d->next = d->prev = NULL;
}

void reactor_defer(struct reactor *r, struct deferred *d, deferred_fn *fn)
{
	if (d->next != NULL)
		return;
	d->fn = fn;
	ring_append(&r->calls, d);
}

static void run_calls(struct reactor *r)
{
	if (ring_is_empty(&r->calls))
		return;
	/* What a call defers belongs to the next round: move the ring to an anchor of its own. */
	struct deferred batch = r->calls;
	batch.next->prev = batch.prev->next = &batch;
	ring_open(&r->calls);
	while (!ring_is_empty(&batch)) {
		struct deferred *d = batch.next;
		deferred_cancel(d);
		d->fn(d);
	}
}

void reactor_post(struct reactor *r, struct deferred *d, deferred_fn *fn)
{
	d->fn = fn;
	d->prev = NULL;
	pthread_mutex_lock(&r->lock);
	bool is_first = r->posted == NULL; /* otherwise the loop has been woken already */
	d->next = r->posted;
	r->posted = d;
	/* WHY under the lock: the loop cannot end, and close the descriptor, before the write is done. EAGAIN: it is awake. */
	if (is_first && eventfd_write(r->wake.fd, 1) < 0)
		assert(errno == EAGAIN);
	pthread_mutex_unlock(&r->lock);
}

void reactor_unpost(struct reactor *r, struct deferred *d)
{
	pthread_mutex_lock(&r->lock);
	struct deferred **at = &r->posted;
	while (*at != NULL && *at != d)
		at = &(*at)->next;
	bool is_posted = *at != NULL;
	if (is_posted) {
		*at = d->next;
		d->next = NULL;
	}
	pthread_mutex_unlock(&r->lock);
	if (!is_posted)
		deferred_cancel(d); /* the loop has taken it over already, or run it */
}

static bool on_wake(struct watch *w, unsigned events)
{
	(void)events;
	struct reactor *r = w->r;
	eventfd_t count;
	pthread_mutex_lock(&r->lock);
	struct deferred *posted = r->posted;
	r->posted = NULL;
	bool woken = eventfd_read(w->fd, &count) == 0;
	pthread_mutex_unlock(&r->lock);
	/* The last one posted is the first in the list; the ring wants them in their order. */
	struct deferred *before = &r->calls;
	for (struct deferred *d = posted, *next; d != NULL; d = next) {
		next = d->next;
		ring_append(before, d);
		before = d;
	}
	return woken;
}

static bool has_posted(struct reactor *r)
{
	pthread_mutex_lock(&r->lock);
	bool has = r->posted != NULL;
	pthread_mutex_unlock(&r->lock);
	return has;
}

/* --- the loop's life --------------------------------------------------------------------------------------------- */

static bool has_work(struct reactor *r)
{
	return r->n_foreground > 0 || r->n_armed > 0 || r->n_held > 0 || !ring_is_empty(&r->calls) || has_posted(r);
}

static const struct reactor_backend *find_backend(const char *name)
{
	static const struct reactor_backend *const all[] = { &reactor_epoll, &reactor_poll, &reactor_select };
	for (size_t i = 0; i < COUNT_OF(all); i++)
		if (strcmp(all[i]->name, name) == 0)
			return all[i];
	return NULL;
}

static const struct timer_kind *find_kind(const char *name)
{
	static const struct timer_kind *const all[] = { &timerq_kind, &timewheel_kind };
	for (size_t i = 0; i < COUNT_OF(all); i++)
		if (strcmp(all[i]->name, name) == 0)
			return all[i];
	return NULL;
}

/* What the caller says, else what the environment says, else the default. */
static const char *choose(const char *said, const char *variable, const char *otherwise)
{
	if (said == NULL)
		said = getenv(variable);
	return said != NULL && said[0] != '\0' ? said : otherwise;
}

static int unknown(const char *name, const char *choices, struct net_error *e)
{
	errno = EINVAL;
	net_fail(e, "loop", name);
	e->reason = choices;
	return -1;
}

static int open_parts(struct reactor *r, struct net_error *e)
{
	r->kernel = r->backend->open();
	if (r->kernel == NULL)
		return net_fail(e, "loop", r->backend->name);
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (fd < 0)
		return net_fail(e, "loop", "eventfd");
	if (watch_start(&r->wake, r, fd, WATCH_READ | WATCH_BACKGROUND, on_wake) < 0) {
		net_fail(e, "loop", "eventfd");
		close(fd);
		return -1;
	}
	r->timers = r->kind->open(r->now_ns);
	return 0;
}

struct reactor *reactor_new(const char *backend, const char *timers, struct net_error *e)
{
	backend = choose(backend, "TCPLAB_BACKEND", "epoll");
	timers = choose(timers, "TCPLAB_TIMERS", "heap");
	const struct reactor_backend *found = find_backend(backend);
	const struct timer_kind *kind = find_kind(timers);
	if (found == NULL)
		unknown(backend, "a backend is epoll, poll or select (TCPLAB_BACKEND)", e);
	else if (kind == NULL)
		unknown(timers, "timers are heap or wheel (TCPLAB_TIMERS)", e);
	if (found == NULL || kind == NULL)
		return NULL;

	struct reactor *r = xcalloc(1, sizeof(*r));
	r->backend = found;
	r->kind = kind;
	r->now_ns = clk_mono_ns();
	ring_open(&r->calls);
	pthread_mutex_init(&r->lock, NULL);
	if (open_parts(r, e) < 0) {
		if (r->kernel != NULL)
			found->close(r->kernel);
		free(r->slots);
		free(r);
		return NULL;
	}
	return r;
}

void reactor_free(struct reactor *r)
{
	assert(!has_work(r));
	int fd = r->wake.fd;
	watch_stop(&r->wake);
	/* A thread that posted a moment ago may still hold the lock. */
	pthread_mutex_lock(&r->lock);
	close(fd);
	pthread_mutex_unlock(&r->lock);
	pthread_mutex_destroy(&r->lock);
	for (size_t i = 0; i < r->n_slots; i++)
		assert(r->slots[i].watch == NULL);
	r->kind->close(r->timers);
	r->backend->close(r->kernel);
	free(r->slots);
	free(r);
}

void reactor_hold(struct reactor *r)
{
	r->n_held++;
}

void reactor_release(struct reactor *r)
{
	assert(r->n_held > 0);
	r->n_held--;
}

void reactor_stop(struct reactor *r)
{
	r->is_stopped = true;
}

uint64_t reactor_now_ns(const struct reactor *r)
{
	return r->is_running ? r->now_ns : clk_mono_ns();
}

void reactor_set_busy_poll(struct reactor *r, bool on)
{
	r->is_busy_poll = on;
}

const char *reactor_backend_name(const struct reactor *r)
{
	return r->backend->name;
}

void reactor_set_user(struct reactor *r, void *user)
{
	r->user = user;
}

void *reactor_user(const struct reactor *r)
{
	return r->user;
}

int reactor_fd_limit(const struct reactor *r)
{
	return r->backend->fd_limit;
}

const struct reactor_stats *reactor_stats(const struct reactor *r)
{
	return &r->stats;
}

/* --- descriptors ------------------------------------------------------------------------------------------------- */

enum { READINESS = WATCH_READ | WATCH_WRITE };

static unsigned kernel_want(unsigned want)
{
	return (want & READINESS) | BACKEND_PRESENT;
}

static struct slot *slot_of(struct reactor *r, int fd)
{
	size_t n = r->n_slots;
	if ((size_t)fd >= n) {
		while ((size_t)fd >= n)
			n = n > 0 ? n * 2 : 64;
		r->slots = xrealloc(r->slots, n * sizeof(*r->slots));
		memset(&r->slots[r->n_slots], 0, (n - r->n_slots) * sizeof(*r->slots));
		r->n_slots = n;
	}
	return &r->slots[fd];
}

int watch_start(struct watch *w, struct reactor *r, int fd, unsigned want, watch_fn *fn)
{
	assert(!watch_is_started(w));
	errno = fd < 0 ? EBADF : ERANGE;
	if (fd < 0 || fd >= r->backend->fd_limit)
		return -1;
	struct slot *slot = slot_of(r, fd);
	assert(slot->watch == NULL); /* one watch for a descriptor */
	slot->gen++;
	slot->idle_rounds = 0;
	if (r->backend->update(r->kernel, fd, slot->gen, 0, kernel_want(want)) < 0)
		return -1;
	slot->watch = w;
	*w = (struct watch){ .r = r, .on_event = fn, .fd = fd, .want = want };
	r->n_foreground += (want & WATCH_BACKGROUND) == 0;
	return 0;
}

void watch_want(struct watch *w, unsigned want)
{
	struct reactor *r = w->r;
	assert(watch_is_started(w) && ((want ^ w->want) & WATCH_BACKGROUND) == 0);
	if (want == w->want)
		return;
	struct slot *slot = &r->slots[w->fd];
	int rc = r->backend->update(r->kernel, w->fd, slot->gen, kernel_want(w->want), kernel_want(want));
	assert(rc == 0); /* it is in the set: nothing can fail but a descriptor closed behind our back */
	(void)rc;
	w->want = want;
	if (slot->idle_rounds < SPIN_ROUNDS) /* otherwise it was reported, and once is enough */
		slot->idle_rounds = 0;
}

void watch_become(struct watch *w, unsigned want, watch_fn *fn)
{
	watch_want(w, want);
	w->on_event = fn;
}

void watch_stop(struct watch *w)
{
	if (!watch_is_started(w))
		return;
	struct reactor *r = w->r;
	struct slot *slot = &r->slots[w->fd];
	assert(slot->watch == w);
	int rc = r->backend->update(r->kernel, w->fd, slot->gen, kernel_want(w->want), 0);
	assert(rc == 0); /* EBADF here: it was closed before watch_stop */
	(void)rc;
	slot->watch = NULL;
	r->n_foreground -= (w->want & WATCH_BACKGROUND) == 0;
	w->on_event = NULL;
}

/* --- timers ------------------------------------------------------------------------------------------------------ */

void reactor_timer_start(struct reactor *r, struct timer *t, uint64_t deadline_ns, timer_fn *fn)
{
	r->n_armed += !timer_is_armed(t);
	r->kind->start(r->timers, t, deadline_ns, fn);
}

void reactor_timer_stop(struct reactor *r, struct timer *t)
{
	r->n_armed -= timer_is_armed(t);
	r->kind->stop(r->timers, t);
}

static void run_timers(struct reactor *r)
{
	if (r->n_armed == 0)
		return;
	unsigned fired = r->kind->run(r->timers, r->now_ns);
	r->n_armed -= fired;
	r->stats.timers += fired;
}

/* --- a round ----------------------------------------------------------------------------------------------------- */

static void report_spin(const struct watch *w, unsigned events)
{
	struct addr a;
	char text[ADDR_TEXT] = "no socket";
	if (addr_of_peer(w->fd, &a) == 0 || addr_of_socket(w->fd, &a) == 0)
		addr_text(&a, text);
	warnf("busy loop: fd %d (%s) is %s, and in %d rounds nobody did anything about it", w->fd, text,
	      events & WATCH_READ    ? "readable"
	      : events & WATCH_WRITE ? "writable"
				     : "at its end",
	      SPIN_ROUNDS);
}

/* A round in which it did something, or did not fire, is not counted, and so breaks the row. */
static void count_spin(struct reactor *r, struct slot *slot, unsigned events)
{
	uint16_t round = (uint16_t)r->stats.rounds;
	if (slot->idle_rounds == SPIN_ROUNDS)
		return;
	slot->idle_rounds = (uint16_t)(slot->last_round + 1) == round ? slot->idle_rounds + 1 : 1;
	slot->last_round = round;
	if (slot->idle_rounds == SPIN_ROUNDS) {
		r->stats.spins++;
		report_spin(slot->watch, events);
	}
}

static void dispatch(struct reactor *r, const struct ready *ready)
{
	struct slot *slot = &r->slots[ready->fd];
	struct watch *w = slot->watch;
	if (w == NULL || slot->gen != ready->gen) {
		r->stats.stale++;
		return;
	}
	/* A callback before this one in the round may have changed what is wanted. */
	unsigned events = ready->events & (w->want | WATCH_HUP | WATCH_ERR);
	events |= events & WATCH_READ ? ready->events & WATCH_LAST : 0u;
	if (events == 0)
		return;
	if (diag_trace)
		tracef("loop: fd %d is%s%s%s%s", w->fd, events & WATCH_READ ? " readable" : "",
		       events & WATCH_WRITE ? " writable" : "", events & WATCH_HUP ? " hung up" : "",
		       events & WATCH_ERR ? " in error" : "");
	r->stats.events++;
	bool did_something = w->on_event(w, events);
	slot = &r->slots[ready->fd]; /* the callback may have made the table grow */
	if (!did_something && slot->watch == w && slot->gen == ready->gen)
		count_spin(r, slot, events);
}

static uint64_t wait_ns(struct reactor *r)
{
	if (r->is_busy_poll || !ring_is_empty(&r->calls))
		return 0;
	if (r->n_armed == 0)
		return CLK_NEVER;
	uint64_t next_ns = r->kind->next_ns(r->timers), now_ns = clk_mono_ns();
	return next_ns > now_ns ? next_ns - now_ns : 0;
}

static int run_round(struct reactor *r)
{
	struct ready ready[BATCH];
	uint64_t timeout_ns = wait_ns(r);
	int n = r->backend->wait(r->kernel, ready, BATCH, timeout_ns);
	if (n < 0)
		return -1;
	if (diag_trace)
		tracef("loop: %s: %d ready", r->backend->name, n);
	r->stats.rounds++;
	r->now_ns = clk_mono_ns();
	for (int i = 0; i < n; i++)
		dispatch(r, &ready[i]);
	run_timers(r);
	run_calls(r);
	return 0;
}

int reactor_run(struct reactor *r)
{
	int rc = 0;
	assert(!r->is_running); /* not from a callback */
	r->is_stopped = false;
	r->is_running = true;
	while (rc == 0 && !r->is_stopped && has_work(r))
		rc = run_round(r);
	r->is_running = false;
	return rc;
}
