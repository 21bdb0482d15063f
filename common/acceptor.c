#include "acceptor.h"

#include "clock.h"
#include "diag.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

static int open_reserve(void)
{
	return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static bool has_room(const struct acceptor *a)
{
	return a->max_live == 0 || a->live < a->max_live;
}

static void update_want(struct acceptor *a)
{
	if (watch_is_started(&a->watch))
		watch_want(&a->watch, has_room(a) && !timer_is_armed(&a->pause) ? WATCH_READ : 0);
}

static void on_pause_over(struct timer *t)
{
	struct acceptor *a = CONTAINER_OF(t, struct acceptor, pause);
	if (a->reserve_fd < 0)
		a->reserve_fd = open_reserve(); /* now or never: at the next EMFILE there is none to be had */
	update_want(a);
}

static void pause_accepting(struct acceptor *a, const char *why, uint64_t shed)
{
	struct reactor *r = a->watch.r;
	uint64_t now_ns = reactor_now_ns(r);
	if (a->logged_ns == 0 || now_ns - a->logged_ns >= NS_PER_S) {
		a->logged_ns = now_ns;
		warnf("accept: %s: %u connections stand, %llu were closed at once; trying again in %d ms", why, a->live,
		      (unsigned long long)shed, ACCEPTOR_PAUSE_NS / NS_PER_MS);
	}
	reactor_timer_start(r, &a->pause, now_ns + ACCEPTOR_PAUSE_NS, on_pause_over);
}

/* Takes and closes a batch of those who wait: each peer learns at once that it is not served. */
static uint64_t turn_away(struct acceptor *a)
{
	uint64_t n = 0;
	for (int fd; n < ACCEPTOR_BATCH && (fd = accept4(a->watch.fd, NULL, NULL, SOCK_CLOEXEC)) >= 0; n++)
		close(fd);
	a->shed += n;
	return n;
}

/* LIMIT: with several threads another one may take the number that we give up; then only the pause is left. */
static void shed_without_descriptors(struct acceptor *a)
{
	if (a->reserve_fd >= 0)
		close(a->reserve_fd);
	uint64_t n = turn_away(a);
	a->reserve_fd = open_reserve();
	pause_accepting(a, "no descriptor left (EMFILE)", n);
}

/* The loop cannot watch this one (select ends at FD_SETSIZE), nor those that wait: they would get the same number. */
static void shed_beyond_the_limit(struct acceptor *a, int fd)
{
	close(fd);
	a->shed++;
	pause_accepting(a, "descriptor beyond what the loop can watch (ERANGE)", 1 + turn_away(a));
}

/* Whether to go on with this batch. */
static bool take_error(struct acceptor *a, int err)
{
	switch (err) {
	case EAGAIN:
		return false;
	case EMFILE:
		shed_without_descriptors(a);
		return false;
	case ENFILE:
	case ENOBUFS:
	case ENOMEM:
		pause_accepting(a, errno_name(err), 0);
		return false;
	case EBADF:
	case EINVAL:
	case ENOTSOCK:
		assert(false && "not a listening socket");
		return false;
	default: /* ECONNABORTED, EPROTO, EINTR, and what accept(2) passes on of the network: it concerns one connection */
		return true;
	}
}

static bool on_readable(struct watch *w, unsigned events)
{
	(void)events;
	struct acceptor *a = CONTAINER_OF(w, struct acceptor, watch);
	int limit = reactor_fd_limit(w->r);
	uint64_t before = a->accepted + a->shed;
	for (int i = 0; i < ACCEPTOR_BATCH && has_room(a) && watch_is_started(w); i++) {
		struct addr peer = { .len = sizeof(peer.u) };
		int fd = accept4(w->fd, &peer.u.sa, &peer.len, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0) {
			if (!take_error(a, errno))
				break;
			continue;
		}
		if (fd >= limit) {
			shed_beyond_the_limit(a, fd);
			break;
		}
		if (diag_trace)
			tracef("accept4(%d) = %d", w->fd, fd);
		a->accepted++;
		a->live++;
		a->on_accept(a, fd, &peer);
	}
	update_want(a);
	return a->accepted + a->shed != before || timer_is_armed(&a->pause);
}

int acceptor_start(struct acceptor *a, struct reactor *r, int listen_fd, unsigned max_live, accept_fn *fn)
{
	*a = (struct acceptor){ .on_accept = fn, .max_live = max_live };
	int flags = fcntl(listen_fd, F_GETFL);
	if (flags < 0 || fcntl(listen_fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return -1;
	a->reserve_fd = open_reserve();
	if (a->reserve_fd < 0)
		return -1;
	if (watch_start(&a->watch, r, listen_fd, WATCH_READ, on_readable) < 0) {
		int saved = errno;
		close(a->reserve_fd);
		errno = saved;
		return -1;
	}
	return 0;
}

void acceptor_release(struct acceptor *a)
{
	assert(a->live > 0);
	a->live--;
	update_want(a);
}

void acceptor_stop(struct acceptor *a)
{
	if (!watch_is_started(&a->watch))
		return;
	reactor_timer_stop(a->watch.r, &a->pause);
	watch_stop(&a->watch);
	if (a->reserve_fd >= 0)
		close(a->reserve_fd);
	a->reserve_fd = -1;
}
