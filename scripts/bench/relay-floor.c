/* relay-floor.c - the floor for scripts/bench/relay and scripts/bench/socks: what a relay of one loop costs when it
 * does nothing but move bytes.
 *
 *     relay-floor TARGET_PORT      a free port of 127.0.0.1; each client is connected with that port; until killed
 *     relay-floor socks            the same, but the client says with which port: SOCKS 4 and 5, CONNECT, no login
 *
 * A lane begins by copying 64 KiB at a time, and splices through a pipe of 1 MiB from the first piece on that was
 * full; what a sink does not take waits in such a pipe. A FIN is passed on behind the last byte. Edge-triggered
 * epoll, and no second read to learn that there is nothing (epoll(7): a short read of a stream says it). Left out:
 * errors and resets passed on, limits, time-outs, counters, names (a SOCKS client is connected with 127.0.0.1,
 * whatever it names, in one piece), every option. */
#include "clock.h"
#include "diag.h"
#include "mem.h"
#include "os.h"
#include "sock.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	COPY = 64 * 1024,
	WORDS = 512, /* of a SOCKS client */
	PIPE = 1024 * 1024,
	STEPS = 8, /* of a lane, then it is the next one's turn */
	KEEP = 4,  /* idle pipes */
	EVENTS = 256,
};

struct pipe {
	struct pipe *next;
	int read_fd, write_fd;
};

struct lane {
	int from, to;
	bool is_hot, has_end, is_shut; /* large pieces; the source is at its end, or soon; the end has been passed on */
	struct pipe *pipe;             /* holds in_pipe bytes, or NULL */
	size_t in_pipe;
};

struct flow {
	struct flow *next; /* among those that have more to do, or are to be freed */
	bool is_listed, is_failed;
	bool is_greeting, has_method; /* it has not said where to yet; SOCKS 5: it knows that it needs no login */
	struct end {
		struct flow *flow;
		int fd;
	} end[2];
	struct lane lane[2]; /* from end 0, from end 1 */
};

static unsigned char *copied;
static struct pipe *idle_pipes;
static unsigned n_idle_pipes;
static struct flow *listed;
static int epoll_fd;

static struct pipe *take_pipe(void)
{
	struct pipe *p = idle_pipes;
	if (p != NULL) {
		n_idle_pipes--;
		idle_pipes = p->next;
		return p;
	}
	int fd[2];
	if (pipe2(fd, O_NONBLOCK | O_CLOEXEC) < 0 || fcntl(fd[0], F_SETPIPE_SZ, PIPE) < 0)
		die_errno("pipe");
	p = xmalloc(sizeof(*p));
	*p = (struct pipe){ .read_fd = fd[0], .write_fd = fd[1] };
	return p;
}

static void close_pipe(struct lane *l)
{
	close(l->pipe->read_fd);
	close(l->pipe->write_fd);
	free(l->pipe);
	l->pipe = NULL;
}

static void give_pipe(struct lane *l)
{
	if (n_idle_pipes == KEEP) {
		close_pipe(l);
		return;
	}
	n_idle_pipes++;
	l->pipe->next = idle_pipes;
	idle_pipes = l->pipe;
	l->pipe = NULL;
}

static ssize_t fill_by_copy(struct lane *l)
{
	ssize_t n = recv(l->from, copied, COPY, 0);
	if (n <= 0)
		return n;
	l->is_hot = n == COPY;
	ssize_t sent = send(l->to, copied, (size_t)n, MSG_NOSIGNAL);
	if (sent < 0 && errno != EAGAIN)
		return -1;
	size_t rest = (size_t)(n - (sent > 0 ? sent : 0));
	if (rest > 0) {
		l->pipe = take_pipe();
		l->in_pipe = rest;
		if (write(l->pipe->write_fd, copied + n - rest, rest) != (ssize_t)rest)
			die_errno("write to a pipe");
	}
	return n;
}

static ssize_t fill_by_splice(struct lane *l)
{
	l->pipe = take_pipe();
	ssize_t n = splice(l->from, NULL, l->pipe->write_fd, NULL, PIPE, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
	if (n <= 0) {
		int error = errno;
		give_pipe(l);
		errno = error;
		return n;
	}
	l->in_pipe = (size_t)n;
	l->is_hot = n >= COPY;
	return n;
}

static ssize_t drain_pipe(struct lane *l)
{
	ssize_t n = splice(l->pipe->read_fd, NULL, l->to, NULL, l->in_pipe, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
	if (n > 0) {
		l->in_pipe -= (size_t)n;
		if (l->in_pipe == 0)
			give_pipe(l);
	}
	return n;
}

/* One step. False when the lane has to wait, or is done, or has failed. */
static bool step(struct flow *f, struct lane *l)
{
	ssize_t n;
	if (l->is_shut)
		return false;
	if (l->in_pipe > 0) {
		n = drain_pipe(l);
	} else {
		bool splicing = l->is_hot;
		n = splicing ? fill_by_splice(l) : fill_by_copy(l);
		if (n == 0) {
			l->is_shut = true;
			shutdown(l->to, SHUT_WR);
			return false;
		}
		if (n > 0 && n < COPY && !splicing && l->in_pipe == 0 && !l->has_end)
			return false;
	}
	if (n < 0 && errno != EAGAIN)
		f->is_failed = true;
	return n > 0;
}

static void list(struct flow *f)
{
	if (!f->is_listed) {
		f->is_listed = true;
		f->next = listed;
		listed = f;
	}
}

static bool greet(struct flow *f);

/* What can be done now. A flow that could go on, or is over, is listed: there may be events for it in this round. */
static void turn(struct flow *f)
{
	if (f->is_greeting && !greet(f))
		return;
	for (int i = 0; i < 2; i++) {
		int steps = 0;
		while (steps < STEPS && step(f, &f->lane[i]))
			steps++;
		if (steps == STEPS)
			list(f);
	}
	if (f->is_failed || (f->lane[0].is_shut && f->lane[1].is_shut))
		list(f);
}

static void end_flow(struct flow *f)
{
	for (int i = 0; i < 2; i++) {
		if (f->end[i].fd >= 0)
			close(f->end[i].fd);
		if (f->lane[i].pipe != NULL)
			close_pipe(&f->lane[i]);
	}
	free(f);
}

static void turn_listed(void)
{
	struct flow *f = listed;
	listed = NULL;
	while (f != NULL) {
		struct flow *next = f->next;
		f->is_listed = false;
		if (f->is_failed || (f->lane[0].is_shut && f->lane[1].is_shut))
			end_flow(f);
		else
			turn(f);
		f = next;
	}
}

static void watch(void *who, int fd, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = who };
	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
		die_errno("epoll_ctl");
}

static void watch_end(struct end *end)
{
	watch(end, end->fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
}

/* On the loopback a connect is through when it returns, though it says EINPROGRESS. Elsewhere send says EAGAIN until it
 * is, and what is left waits in a pipe. */
static bool reach(struct flow *f, const struct addr *target)
{
	struct net_error e;
	int fd = sock_connect_begin(target, NULL, &(struct sock_options){ .nodelay = true }, &e);
	if (fd < 0)
		return false;
	f->end[1].fd = fd;
	f->lane[0] = (struct lane){ .from = f->end[0].fd, .to = fd };
	f->lane[1] = (struct lane){ .from = fd, .to = f->end[0].fd };
	watch_end(&f->end[1]);
	return true;
}

/* Whether it said where to, and the answer: RFC 1928 4; SOCKS 4 has the port in front. */
static bool take_request(struct flow *f, const unsigned char *said, size_t n)
{
	static const unsigned char reply[10] = { 5, 0, 0, 1 }, reply4[8] = { 0, 0x5a };
	bool is_4 = said[0] == 4;
	const unsigned char *port = is_4 ? said + 2 : said + n - 2;
	struct addr to = { .len = sizeof(to.u.in4) };
	to.u.in4.sin_family = AF_INET;
	to.u.in4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	memcpy(&to.u.in4.sin_port, port, 2);
	f->is_greeting = false;
	if (!reach(f, &to))
		return false;
	size_t len = is_4 ? sizeof(reply4) : sizeof(reply);
	return send(f->end[0].fd, is_4 ? reply4 : reply, len, MSG_NOSIGNAL) == (ssize_t)len;
}

/* Whether it is connected now. WHY a loop: the client often says its next words before we would have been told. */
static bool greet(struct flow *f)
{
	unsigned char said[WORDS];
	ssize_t n;
	while ((n = recv(f->end[0].fd, said, sizeof(said), 0)) > 2) {
		if (said[0] == 4 || f->has_method) {
			f->is_failed = !take_request(f, said, (size_t)n);
			break;
		}
		f->has_method = send(f->end[0].fd, "\5", 2, MSG_NOSIGNAL) == 2;
	}
	if ((n >= 0 && n <= 2) || (n < 0 && errno != EAGAIN))
		f->is_failed = true;
	if (f->is_failed)
		list(f);
	return !f->is_greeting && !f->is_failed;
}

/* target NULL: it is the client who says. */
static void begin_flow(int client_fd, const struct addr *target)
{
	struct flow *f = xcalloc(1, sizeof(*f));
	f->end[0] = (struct end){ f, client_fd };
	f->end[1] = (struct end){ f, -1 };
	watch_end(&f->end[0]);
	f->is_greeting = target == NULL;
	f->is_failed = target != NULL && !reach(f, target);
	if (f->is_failed)
		list(f);
}

static void accept_all(int listen_fd, const struct addr *target)
{
	for (int i = 0; i < EVENTS; i++) {
		int fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0)
			return;
		begin_flow(fd, target);
	}
}

static _Noreturn void run(int listen_fd, const struct addr *target)
{
	struct epoll_event event[EVENTS];
	for (;;) {
		int n = epoll_wait(epoll_fd, event, EVENTS, listed != NULL ? 0 : -1);
		for (int i = 0; i < n; i++) {
			struct end *end = event[i].data.ptr;
			if (end == NULL) {
				accept_all(listen_fd, target);
				continue;
			}
			if ((event[i].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0)
				end->flow->lane[end == &end->flow->end[1]].has_end = true;
			turn(end->flow);
		}
		turn_listed();
	}
}

int main(int argc, char **argv)
{
	diag_tool = "relay-floor";
	if (argc != 2)
		die("usage: relay-floor TARGET_PORT|socks");
	struct net_error e;
	struct addr bound, target;
	char text[NET_ERROR_TEXT], where[ADDR_TEXT];
	bool is_socks = strcmp(argv[1], "socks") == 0;
	int fd = sock_serve("127.0.0.1", 0, AF_INET, &(struct sock_options){ .nodelay = true }, &bound, &e);
	if (fd < 0 || addr_resolve("127.0.0.1", (uint16_t)(is_socks ? 0 : atoi(argv[1])), AF_INET, &target, 1, &e) < 0)
		die("%s", net_error_text(&e, text));
	if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0 || (epoll_fd = epoll_create1(EPOLL_CLOEXEC)) < 0)
		die_errno("epoll_create1");
	os_raise_fd_limit();
	signal(SIGPIPE, SIG_IGN); /* splice has no MSG_NOSIGNAL */
	copied = xmalloc_pages(COPY);
	watch(NULL, fd, EPOLLIN);
	warnf("listening on %s", addr_text(&bound, where));
	run(fd, is_socks ? NULL : &target);
}
