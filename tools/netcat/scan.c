#include "netcat.h"

#include "clock.h"
#include "diag.h"
#include "sig.h"

#include <errno.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

/* So many ports are tried at once: a filtered one answers nothing, and costs the whole -w. */
enum { AT_ONCE = 64, SPARE = 8 };

/* One port on its way: each of the addresses, one after the other. */
struct probe {
	struct pollfd *p; /* p->fd < 0: free */
	uint16_t port;
	int next; /* of the addresses, the one to try next */
	uint64_t deadline_ns;
};

struct scan {
	const struct nc_options *o;
	struct addr list[ADDR_MAX]; /* the port in them is set for each try */
	int n;
	uint32_t next_port;
	uint64_t n_open, n_closed;
	int last_error;
	struct net_error failure; /* of our own, not of a port's: no more descriptors. op is NULL without */
	int n_places;             /* at most AT_ONCE, and what the limit of descriptors leaves */
	struct pollfd fds[AT_ONCE];
	struct probe probe[AT_ONCE];
};

static void tell(struct scan *s, const struct probe *b, int error)
{
	char text[ADDR_TEXT];
	struct addr a = s->list[b->next > 0 ? b->next - 1 : 0];
	a.u.in4.sin_port = htons(b->port);
	error == 0 ? s->n_open++ : s->n_closed++;
	if (error != 0)
		s->last_error = error;
	nc_report_port(s->o, addr_text(&a, text), b->port, error);
}

/* The next address of this port, with a fresh socket. False: that was the last one, and b->p->fd is -1. */
static bool try_next(struct scan *s, struct probe *b, int *error)
{
	struct net_error e = { 0 };
	while (b->next < s->n) {
		struct addr to = s->list[b->next++];
		to.u.in4.sin_port = htons(b->port); /* at the same place for IPv6 (RFC 3493 3.3) */
		if (s->o->udp)
			b->p->fd = sock_connect_udp(&to, 1, NULL, &e);
		else
			b->p->fd = sock_connect_begin(&to, NULL, &s->o->socket, &e);
		if (b->p->fd >= 0 && s->o->udp && send(b->p->fd, "", 0, MSG_NOSIGNAL) < 0) {
			e.sys = errno;
			close(b->p->fd);
			b->p->fd = -1;
		}
		if (b->p->fd >= 0) {
			b->p->events = s->o->udp ? POLLIN : POLLOUT;
			b->deadline_ns = clk_mono_ns() + s->o->timeout_ns;
			return true;
		}
		if (e.sys == EMFILE || e.sys == ENFILE)
			s->failure = e;
		*error = e.sys;
	}
	return false;
}

/* The next port takes this place; ports at which even trying fails are told at once. */
static void start_one(struct scan *s, struct probe *b)
{
	while (b->p->fd < 0 && s->next_port <= s->o->last_port) {
		int error = 0;
		b->port = (uint16_t)s->next_port++;
		b->next = 0;
		if (!try_next(s, b, &error) && s->failure.op == NULL)
			tell(s, b, error);
		if (s->failure.op != NULL)
			return;
	}
}

/* What became of a try: 0 open, else an errno. A UDP port that is closed says so by ICMP; silence may mean anything,
 * and counts as open (OpenBSD's nc says the same in its CAVEATS). */
static int outcome(struct scan *s, struct probe *b, bool is_late)
{
	if (s->o->udp) {
		char byte;
		if (is_late || recv(b->p->fd, &byte, 1, MSG_DONTWAIT) >= 0)
			return 0;
		return errno == EAGAIN ? 0 : errno;
	}
	if (is_late)
		return ETIMEDOUT;
	return sock_connect_result(b->p->fd) == 0 ? 0 : errno;
}

static void finish(struct scan *s, struct probe *b, bool is_late)
{
	int error = outcome(s, b, is_late);
	if (error == 0)
		close(b->p->fd);
	else
		sock_abort(b->p->fd); /* WHY: a connection to itself would hold the port in TIME-WAIT (sock.h) */
	b->p->fd = -1;
	if (error == 0 || (!try_next(s, b, &error) && s->failure.op == NULL))
		tell(s, b, error);
}

/* Waits for the tries under way. False: none is. */
static bool wait_for_some(struct scan *s)
{
	uint64_t deadline = CLK_NEVER;
	for (int i = 0; i < s->n_places; i++)
		if (s->fds[i].fd >= 0 && s->probe[i].deadline_ns < deadline)
			deadline = s->probe[i].deadline_ns;
	if (deadline == CLK_NEVER)
		return false;
	if (sig_wait(s->fds, (unsigned)s->n_places, deadline) < 0) {
		net_fail(&s->failure, "poll", "the ports under way");
		return false;
	}
	uint64_t now = clk_mono_ns();
	for (int i = 0; i < s->n_places; i++)
		if (s->fds[i].fd >= 0 && (s->fds[i].revents != 0 || now >= s->probe[i].deadline_ns))
			finish(s, &s->probe[i], s->fds[i].revents == 0);
	return true;
}

/* How many sockets we may hold beside what is open already, with a few to spare for the resolver. */
static int count_places(void)
{
	struct rlimit limit = { .rlim_cur = 0 };
	getrlimit(RLIMIT_NOFILE, &limit);
	return limit.rlim_cur < AT_ONCE + SPARE ? (limit.rlim_cur > SPARE ? (int)limit.rlim_cur - SPARE : 1) : AT_ONCE;
}

int nc_scan(const struct nc_options *o)
{
	static struct scan s;
	struct net_error e = { 0 };
	s = (struct scan){ .o = o, .next_port = o->port, .n_places = count_places() };
	for (int i = 0; i < AT_ONCE; i++) {
		s.fds[i].fd = -1;
		s.probe[i].p = &s.fds[i];
	}
	s.n = nc_resolve(o, 0, s.list, &e);
	if (s.n < 0) {
		nc_report_error(o, &e);
		return 1;
	}
	do {
		for (int i = 0; i < s.n_places && s.failure.op == NULL; i++)
			start_one(&s, &s.probe[i]);
	} while (s.failure.op == NULL && wait_for_some(&s) && sig_pending(NULL) == 0);
	if (s.failure.op != NULL) {
		nc_report_error(o, &s.failure);
		return 1;
	}
	nc_report_scan(o, s.n_open, s.n_closed, s.last_error);
	return s.n_open > 0 ? 0 : 1;
}
