/* select(2): three bit sets of FD_SETSIZE bits, copied in and out in each round. Kept because it is everywhere and
 * because its limits are worth seeing: no descriptor from FD_SETSIZE on; no word for a hang-up or an error, which show
 * as readable or writable; and no way to ask for errors only. For a watch that wants errors only poll(2) is asked after
 * each wait, and no wait is longer than PROBE_NS. */
#include "reactor_backend.h"

#include "clock.h"
#include "mem.h"
#include "reactor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/select.h>
#include <time.h>

static const uint64_t PROBE_NS = 100 * NS_PER_MS;

struct selected {
	fd_set read, write;
	int n; /* one more than the highest descriptor that was ever here */
	int n_only_errors;
	uint32_t gen[FD_SETSIZE];
	unsigned char want[FD_SETSIZE]; /* 0: not here */
	int start;                      /* where to begin to look, as in reactor_poll.c */
};

static void *select_open(void)
{
	return xcalloc(1, sizeof(struct selected));
}

static void select_close(void *backend)
{
	free(backend);
}

static void set_bit(fd_set *set, int fd, bool on)
{
	if (on)
		FD_SET(fd, set);
	else
		FD_CLR(fd, set);
}

static int select_update(void *backend, int fd, uint32_t gen, unsigned was, unsigned is)
{
	struct selected *b = backend;
	if (was == 0 && fcntl(fd, F_GETFD) < 0)
		return -1; /* EBADF, as epoll says it: select(2) would refuse the whole set */
	set_bit(&b->read, fd, is & WATCH_READ);
	set_bit(&b->write, fd, is & WATCH_WRITE);
	b->n_only_errors += (is == BACKEND_PRESENT) - (was == BACKEND_PRESENT);
	b->want[fd] = (unsigned char)is;
	b->gen[fd] = gen;
	if (fd >= b->n)
		b->n = fd + 1;
	return 0;
}

static unsigned probe(int fd)
{
	struct pollfd p = { .fd = fd };
	if (poll(&p, 1, 0) <= 0)
		return 0;
	return (p.revents & POLLHUP ? WATCH_HUP : 0u) | (p.revents & (POLLERR | POLLNVAL) ? WATCH_ERR : 0u);
}

static int select_wait(void *backend, struct ready *out, int max, uint64_t timeout_ns)
{
	struct selected *b = backend;
	fd_set read = b->read, write = b->write;
	if (b->n_only_errors > 0 && timeout_ns > PROBE_NS)
		timeout_ns = PROBE_NS;
	struct timespec t = { .tv_sec = (time_t)(timeout_ns / NS_PER_S), .tv_nsec = (long)(timeout_ns % NS_PER_S) };
	if (pselect(b->n, &read, &write, NULL, timeout_ns == CLK_NEVER ? NULL : &t, NULL) < 0)
		return errno == EINTR ? 0 : -1;
	int found = 0, fd = b->start;
	for (int seen = 0; seen < b->n && found < max; seen++, fd++) {
		if (fd >= b->n)
			fd = 0;
		unsigned events = 0;
		if (b->want[fd] == BACKEND_PRESENT)
			events = probe(fd);
		else if (b->want[fd] != 0)
			events = (FD_ISSET(fd, &read) ? WATCH_READ : 0u) | (FD_ISSET(fd, &write) ? WATCH_WRITE : 0u);
		if (events != 0)
			out[found++] = (struct ready){ .fd = fd, .gen = b->gen[fd], .events = events };
	}
	b->start = fd < b->n ? fd : 0;
	return found;
}

const struct reactor_backend reactor_select = {
	.name = "select",
	.fd_limit = FD_SETSIZE,
	.open = select_open,
	.close = select_close,
	.update = select_update,
	.wait = select_wait,
};
