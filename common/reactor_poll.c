/* poll(2): we keep the set and hand all of it to the kernel in each round, which costs what is watched. */
#include "reactor_backend.h"

#include "clock.h"
#include "mem.h"
#include "reactor.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <time.h>

/* at[fd] is one more than the place of fd in set and gen; 0: it is not there. */
struct polled {
	struct pollfd *set;
	uint32_t *gen;
	size_t n, cap;
	size_t *at;
	size_t n_at;
	size_t start; /* where to begin to look, so that those at the end get their turn when max is small */
};

static void *poll_open(void)
{
	return xcalloc(1, sizeof(struct polled));
}

static void poll_close(void *backend)
{
	struct polled *b = backend;
	free(b->set);
	free(b->gen);
	free(b->at);
	free(b);
}

static size_t *place_of(struct polled *b, int fd)
{
	if ((size_t)fd >= b->n_at) {
		size_t n = (size_t)fd + 1 > 2 * b->n_at ? (size_t)fd + 1 : 2 * b->n_at;
		b->at = xrealloc(b->at, n * sizeof(*b->at));
		while (b->n_at < n)
			b->at[b->n_at++] = 0;
	}
	return &b->at[fd];
}

static void add(struct polled *b, int fd, uint32_t gen, short events)
{
	if (b->n == b->cap) {
		b->cap = b->cap > 0 ? 2 * b->cap : 64;
		b->set = xrealloc(b->set, b->cap * sizeof(*b->set));
		b->gen = xrealloc(b->gen, b->cap * sizeof(*b->gen));
	}
	b->set[b->n] = (struct pollfd){ .fd = fd, .events = events };
	b->gen[b->n] = gen;
	*place_of(b, fd) = ++b->n;
}

/* The last one takes the place. */
static void take_out(struct polled *b, size_t *place)
{
	size_t i = *place - 1, last = --b->n;
	b->set[i] = b->set[last];
	b->gen[i] = b->gen[last];
	b->at[b->set[i].fd] = i + 1;
	*place = 0;
}

static int poll_update(void *backend, int fd, uint32_t gen, unsigned was, unsigned is)
{
	struct polled *b = backend;
	short events = (short)((is & WATCH_READ ? POLLIN | POLLRDHUP : 0) | (is & WATCH_WRITE ? POLLOUT : 0));
	if (was == 0 && fcntl(fd, F_GETFD) < 0)
		return -1; /* EBADF now, as epoll says it, and not when nobody knows any more whose it is */
	if (was == 0)
		add(b, fd, gen, events);
	else if (is == 0)
		take_out(b, place_of(b, fd));
	else
		b->set[*place_of(b, fd) - 1].events = events;
	return 0;
}

static unsigned to_events(short e)
{
	return (e & POLLIN ? WATCH_READ : 0u) | (e & POLLOUT ? WATCH_WRITE : 0u) | (e & POLLHUP ? WATCH_HUP : 0u) |
	       (e & (POLLERR | POLLNVAL) ? WATCH_ERR : 0u) | (e & POLLRDHUP ? WATCH_LAST : 0u);
}

static int poll_wait(void *backend, struct ready *out, int max, uint64_t timeout_ns)
{
	struct polled *b = backend;
	struct timespec t = { .tv_sec = (time_t)(timeout_ns / NS_PER_S), .tv_nsec = (long)(timeout_ns % NS_PER_S) };
	int ready = ppoll(b->set, b->n, timeout_ns == CLK_NEVER ? NULL : &t, NULL);
	if (ready < 0)
		return errno == EINTR ? 0 : -1;
	int found = 0;
	size_t i = b->start;
	for (size_t seen = 0; seen < b->n && found < ready && found < max; seen++, i++) {
		if (i >= b->n)
			i = 0;
		if (b->set[i].revents != 0)
			out[found++] = (struct ready){ .fd = b->set[i].fd,
						       .gen = b->gen[i],
						       .events = to_events(b->set[i].revents) };
	}
	b->start = i < b->n ? i : 0;
	return found;
}

const struct reactor_backend reactor_poll = {
	.name = "poll",
	.fd_limit = INT_MAX,
	.open = poll_open,
	.close = poll_close,
	.update = poll_update,
	.wait = poll_wait,
};
