/* clients.c - those who connect, and note what they get: the greeting, the end of the connection, or nothing.
 *
 * All are in one thread around one poll(2). In the demonstration they are in a child process, because the server's
 * limit must not be theirs; a socketpair ties the two together:
 *
 *	child                               parent
 *	connects, watches for --time        serves
 *	the report           ------->       stops counting
 *	closes all           <------- EOF   closes its end
 *
 * So no connection is closed, and no room made at the server, as long as it counts. And when the parent is killed
 * the child sees the same EOF, and ends. */
#include "fdlimit.h"

#include "clock.h"
#include "diag.h"
#include "io.h"
#include "os.h"
#include "sig.h"
#include "sock.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static const uint64_t CONNECT_NS = UINT64_C(10) * NS_PER_S;
static const uint64_t REPORT_NS = UINT64_C(3) * NS_PER_S;

struct client {
	uint64_t began_ns;
	int fd;
};

/* One after the other; the kernel completes each handshake, whether the server accepts or not. 0, or -1 with *e. */
static int connect_all(struct client *clients, size_t n_clients, const struct addr *list, size_t n, struct net_error *e)
{
	sig_let_in(true);
	int rc = 0;
	for (size_t i = 0; i < n_clients && rc == 0; i++) {
		struct io_until until = { .deadline_ns = clk_mono_ns() + CONNECT_NS, .cancel = sig_flag() };
		clients[i].began_ns = clk_mono_ns();
		clients[i].fd = sock_connect(list, n, NULL, &(struct sock_options){ 0 }, &until, e);
		rc = clients[i].fd < 0 ? -1 : 0;
	}
	sig_let_in(false);
	return rc;
}

/* The first thing that a client gets decides. */
static void note_answer(struct fdlimit_sight *sight, const struct client *c)
{
	char byte;
	uint64_t took_ns = clk_mono_ns() - c->began_ns;
	if (recv(c->fd, &byte, 1, MSG_DONTWAIT) > 0)
		sight->greeted++;
	else
		sight->turned_away++;
	sight->waiting--;
	if (took_ns > sight->answer_max_ns)
		sight->answer_max_ns = took_ns;
}

/* Until end_ns, a signal, or the end of the parent. WHY one look more after that: what has come by then counts, also when a
 * busy machine did not let us look before. */
static void watch(struct fdlimit_sight *sight, const struct client *clients, unsigned n, int parent_fd, uint64_t end_ns)
{
	static struct pollfd fds[FDLIMIT_MANY + 1];
	bool over = false;
	for (unsigned i = 0; i < n; i++)
		fds[i] = (struct pollfd){ .fd = clients[i].fd, .events = POLLIN };
	fds[n] = (struct pollfd){ .fd = parent_fd, .events = POLLIN };
	sight->waiting = n;
	while (!over) {
		over = clk_mono_ns() >= end_ns || sig_pending(NULL) != 0 || fds[n].revents != 0;
		if (sig_wait(fds, n + 1, over ? 0 : end_ns) < 0)
			die_errno("poll");
		for (unsigned i = 0; i < n; i++) {
			if (fds[i].fd < 0 || fds[i].revents == 0)
				continue;
			note_answer(sight, &clients[i]);
			fds[i].fd = -1; /* poll(2) passes over it */
		}
	}
}

static struct fdlimit_sight run(const struct fdlimit_options *o, const struct addr *list, size_t n, int parent_fd)
{
	static struct client clients[FDLIMIT_MANY];
	struct fdlimit_sight sight = { 0 };
	os_raise_fd_limit();
	if (connect_all(clients, o->clients, list, n, &sight.error) == 0)
		watch(&sight, clients, (unsigned)o->clients, parent_fd, clk_mono_ns() + o->time_ns);
	return sight;
}

struct fdlimit_sight fdlimit_visit(const struct fdlimit_options *o, const struct addr *list, size_t n)
{
	return run(o, list, n, -1);
}

/* --- in a child --------------------------------------------------------------------------------------------------- */

/* Where to reach a server that listens there: on the wildcard address, by way of loopback. */
static struct addr reachable(struct addr a)
{
	if (a.u.sa.sa_family == AF_INET && a.u.in4.sin_addr.s_addr == htonl(INADDR_ANY))
		a.u.in4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (a.u.sa.sa_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&a.u.in6.sin6_addr))
		a.u.in6.sin6_addr = in6addr_loopback;
	return a;
}

_Noreturn static void be_the_child(const struct fdlimit_options *o, const struct addr *bound, int parent_fd)
{
	struct io_until until = { .deadline_ns = CLK_NEVER };
	struct addr server = reachable(*bound);
	struct fdlimit_sight sight = run(o, &server, 1, parent_fd);
	char byte;
	if (io_write_full(parent_fd, &sight, sizeof(sight), &until) == 0 &&
	    io_read_full(parent_fd, &byte, 1, &until) < 0)
		tracef("recv: %s", errno_name(errno));
	_exit(0);
}

int fdlimit_start_clients(const struct fdlimit_options *o, const struct addr *bound, int listen_fd, pid_t *pid)
{
	int pair[2];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return -1;
	*pid = fork();
	if (*pid == 0) {
		close(pair[0]);
		close(listen_fd);
		be_the_child(o, bound, pair[1]);
	}
	int saved = errno;
	close(pair[1]);
	if (*pid > 0)
		return pair[0];
	close(pair[0]);
	errno = saved;
	return -1;
}

/* The strings in sight->error are constants, and those lie at the same address on both sides of a fork. */
int fdlimit_end_clients(int fd, pid_t pid, struct fdlimit_sight *sight)
{
	struct io_until until = { .deadline_ns = clk_mono_ns() + REPORT_NS };
	shutdown(fd, SHUT_WR); /* ends the child's watch, if a signal was quicker than --time */
	int got = io_tick(fd) < 0 ? -1 : io_read_full(fd, sight, sizeof(*sight), &until);
	int error = got == 0 ? ECONNRESET : errno;
	close(fd);
	if (got <= 0)
		kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	errno = error;
	return got > 0 ? 0 : -1;
}
