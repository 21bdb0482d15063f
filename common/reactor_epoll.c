/* epoll(7), level-triggered. The kernel keeps the set; a round costs what is ready, not what is watched. */
#include "reactor_backend.h"

#include "clock.h"
#include "mem.h"
#include "reactor.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS_MAX = 256 };

struct epoll {
	int fd;
	bool only_ms; /* no epoll_pwait2(2): a kernel before 5.11, or a container whose filter does not know it */
	struct epoll_event events[EVENTS_MAX];
};

static void *epoll_open(void)
{
	int fd = epoll_create1(EPOLL_CLOEXEC);
	if (fd < 0)
		return NULL;
	struct epoll *b = xcalloc(1, sizeof(*b));
	b->fd = fd;
	return b;
}

static void epoll_close(void *backend)
{
	struct epoll *b = backend;
	close(b->fd);
	free(b);
}

static int epoll_update(void *backend, int fd, uint32_t gen, unsigned was, unsigned is)
{
	struct epoll *b = backend;
	struct epoll_event e = {
		.events = (is & WATCH_READ ? EPOLLIN | EPOLLRDHUP : 0u) | (is & WATCH_WRITE ? EPOLLOUT : 0u),
		.data.u64 = (uint64_t)gen << 32 | (uint32_t)fd,
	};
	return epoll_ctl(b->fd, was == 0 ? EPOLL_CTL_ADD : is == 0 ? EPOLL_CTL_DEL : EPOLL_CTL_MOD, fd, &e);
}

/* Rounded up: a timer must not find itself woken early, round after round. */
static int to_ms(uint64_t ns)
{
	if (ns == CLK_NEVER)
		return -1;
	uint64_t ms = ns / NS_PER_MS + (ns % NS_PER_MS != 0);
	return ms < INT_MAX ? (int)ms : INT_MAX;
}

static int wait_kernel(struct epoll *b, int max, uint64_t timeout_ns)
{
	/* No timeout to be exact about: the older call does. */
	if (b->only_ms || timeout_ns == 0 || timeout_ns == CLK_NEVER)
		return epoll_wait(b->fd, b->events, max, to_ms(timeout_ns));
	/* By number, because musl has no function for it. The kernel's own timespec has 64 bits everywhere. */
	int64_t timeout[2] = { (int64_t)(timeout_ns / NS_PER_S), (int64_t)(timeout_ns % NS_PER_S) };
	int n = (int)syscall(SYS_epoll_pwait2, b->fd, b->events, max, timeout, NULL, (size_t)0);
	if (n < 0 && (errno == ENOSYS || errno == EPERM)) {
		b->only_ms = true;
		return epoll_wait(b->fd, b->events, max, to_ms(timeout_ns));
	}
	return n;
}

static int epoll_wait_ready(void *backend, struct ready *out, int max, uint64_t timeout_ns)
{
	struct epoll *b = backend;
	int n = wait_kernel(b, max < EVENTS_MAX ? max : EVENTS_MAX, timeout_ns);
	if (n < 0)
		return errno == EINTR ? 0 : -1;
	for (int i = 0; i < n; i++) {
		uint32_t e = b->events[i].events;
		uint64_t who = b->events[i].data.u64;
		out[i] = (struct ready){
			.fd = (int)(uint32_t)who,
			.gen = (uint32_t)(who >> 32),
			.events = (e & EPOLLIN ? WATCH_READ : 0u) | (e & EPOLLOUT ? WATCH_WRITE : 0u) |
				  (e & EPOLLHUP ? WATCH_HUP : 0u) | (e & EPOLLERR ? WATCH_ERR : 0u) |
				  (e & EPOLLRDHUP ? WATCH_LAST : 0u),
		};
	}
	return n;
}

const struct reactor_backend reactor_epoll = {
	.name = "epoll",
	.fd_limit = INT_MAX,
	.open = epoll_open,
	.close = epoll_close,
	.update = epoll_update,
	.wait = epoll_wait_ready,
};
