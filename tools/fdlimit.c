/* fdlimit.c - what becomes of a server that has no descriptor left for the next connection?
 *
 * Try:       fdlimit                10 clients and room for 4: the loop spins, and six clients hear nothing
 *            fdlimit --pause        it does not spin any more; the six still hear nothing
 *            fdlimit --fixed        it does not spin, and the six are turned away at once
 *            fdlimit -s             the server alone: come with nc 127.0.0.1 2012 a few times, with top beside it
 * Look for:  the number of wakes, and what the clients saw.
 * Labs:      42-emfile.
 *
 * The limit (RLIMIT_NOFILE, getrlimit(2)) counts for a process. So the server is this process, which lowers its own
 * limit, and the clients are a child, which does not.
 *
 * This file is the server; the mistake and both ways out of it are in server_wake(). It serves nothing but a
 * greeting, and drops what its clients send. The clients are in fdlimit/clients.c, the output in fdlimit/report.c. */
#include "fdlimit/fdlimit.h"

#include "args.h"
#include "clock.h"
#include "diag.h"
#include "mem.h"
#include "os.h"
#include "sig.h"
#include "sock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SHED_BATCH = 64 }; /* turned away in one go */
static const uint64_t PAUSE_NS = UINT64_C(100) * NS_PER_MS;
static const char GREETING[] = "welcome\n";

static struct fdlimit_options opt = { .port = FDLIMIT_PORT, .room = 4, .clients = 10 };

enum { LISTENER, CHILD, FIRST_CONNECTION };

struct server {
	int listen_fd;
	int child_fd;       /* readable when the clients have seen enough; -1: there is no child */
	int reserve_fd;     /* --fixed: a descriptor to give up when there is no other */
	uint64_t resume_ns; /* the listener is left alone until then */
	struct pollfd *fds; /* LISTENER, CHILD, and the connections */
	unsigned n_fds;
	uint64_t start_ns;
	struct os_cpu start_cpu;
	struct fdlimit_count count, shown; /* `shown`: as they were at the last interval */
};

/* --- the mistake, and two ways out of it -------------------------------------------------------------------------- */

/* Gives up the reserve, so that a batch of those who wait can be accepted and closed: they learn at once that nobody
 * will serve them. (Who has sent something already gets a reset instead of EOF, RFC 9293 3.6.1; that is an answer,
 * too.) */
static void shed(struct server *s)
{
	close(s->reserve_fd);
	for (int i = 0; i < SHED_BATCH; i++) {
		int fd = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC);
		tracef("accept4(%d) = %d, and close", s->listen_fd, fd);
		if (fd < 0)
			break;
		close(fd);
		s->count.kicked++;
	}
	s->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC); /* -1: next time we can only pause */
}

static void add_connection(struct server *s, int fd)
{
	s->count.accepted++;
	if (s->n_fds == FIRST_CONNECTION + FDLIMIT_MANY) { /* one more, because the reserve could not be taken again */
		close(fd);
		return;
	}
	if (send(fd, GREETING, sizeof(GREETING) - 1, MSG_NOSIGNAL) < 0)
		tracef("send(%d): %s", fd, errno_name(errno));
	s->fds[s->n_fds++] = (struct pollfd){ .fd = fd, .events = POLLIN };
}

/* The listener is readable: somebody waits in its queue. */
static void server_wake(struct server *s)
{
	s->count.wakes++;
	int fd = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	tracef("accept4(%d) = %d", s->listen_fd, fd);
	if (fd >= 0) {
		add_connection(s, fd);
		return;
	}
	int error = errno;
	if (error == EAGAIN || error == EINTR || error == ECONNABORTED || error == EPROTO)
		return; /* the client gave up while it was in the queue (accept(2)) */
	s->count.failed++;
	s->count.error = error;
	/* PITFALL: "on to the next event". The connection that could not be accepted is still in the queue, so the
	 * listener is still readable, and poll(2) returns at once, for ever: a whole processor for nothing. (An
	 * edge-triggered loop would sleep instead, until the next one comes.) And all the time the client waits: its
	 * connect(2) had succeeded. */
	if (!opt.fixed && !opt.pause)
		return;
	if (opt.fixed && error == EMFILE && s->reserve_fd >= 0)
		shed(s);
	s->resume_ns = clk_mono_ns() + PAUSE_NS; /* TRY: leave this line out of --fixed. When does it still spin? */
}

/* Drops what came; closes at EOF and on errors, which makes room for the next one. */
static void look_at_connections(struct server *s)
{
	char scratch[4096];
	for (unsigned i = s->n_fds - 1; i >= FIRST_CONNECTION; i--) {
		if (s->fds[i].revents == 0)
			continue;
		ssize_t n = recv(s->fds[i].fd, scratch, sizeof(scratch), 0);
		if (n > 0 || (n < 0 && errno == EAGAIN))
			continue;
		close(s->fds[i].fd);
		s->fds[i] = s->fds[--s->n_fds];
	}
}

/* --- the limit, and the loop -------------------------------------------------------------------------------------- */

/* New descriptors get the lowest free number, and must stay below RLIMIT_NOFILE: puts that so that n_free are left.
 * Those in use are looked for one by one, because whoever started us may have left us some, with gaps between them.
 * The limit, or -1. */
static int leave_free(uint64_t n_free)
{
	struct rlimit limit;
	int fd = 0;
	for (uint64_t found = 0; found < n_free; fd++)
		found += fcntl(fd, F_GETFD) < 0 && errno == EBADF;
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return -1;
	limit.rlim_cur = (rlim_t)fd;
	int rc = setrlimit(RLIMIT_NOFILE, &limit);
	tracef("setrlimit(RLIMIT_NOFILE, %d) = %d", fd, rc);
	return rc < 0 ? -1 : fd;
}

static void count_cpu(struct server *s)
{
	struct os_cpu now = os_thread_cpu();
	s->count.cpu_user_ns = now.user_ns - s->start_cpu.user_ns;
	s->count.cpu_sys_ns = now.sys_ns - s->start_cpu.sys_ns;
}

static void show_interval(struct server *s, uint64_t since_ns, uint64_t now_ns)
{
	count_cpu(s);
	const struct fdlimit_count *a = &s->shown, *b = &s->count;
	struct fdlimit_count d = { .wakes = b->wakes - a->wakes,
				   .accepted = b->accepted - a->accepted,
				   .failed = b->failed - a->failed,
				   .kicked = b->kicked - a->kicked,
				   .cpu_user_ns = b->cpu_user_ns - a->cpu_user_ns,
				   .cpu_sys_ns = b->cpu_sys_ns - a->cpu_sys_ns };
	fdlimit_print_interval(&opt, &d, since_ns - s->start_ns, now_ns - since_ns);
	s->shown = s->count;
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Until the child reports, --time is over (when there is no child) or a signal comes. */
static void server_loop(struct server *s)
{
	uint64_t now_ns = s->start_ns, last_ns = s->start_ns;
	uint64_t next_ns = opt.interval_ns != 0 ? s->start_ns + opt.interval_ns : CLK_NEVER;
	uint64_t end_ns = s->child_fd < 0 && opt.time_ns != 0 ? s->start_ns + opt.time_ns : CLK_NEVER;
	while (sig_pending(NULL) == 0 && now_ns < end_ns && s->fds[CHILD].revents == 0) {
		bool paused = now_ns < s->resume_ns;
		s->fds[LISTENER].fd = paused ? -1 : s->listen_fd; /* poll(2) passes over -1 */
		uint64_t wake_ns = least(least(next_ns, end_ns), paused ? s->resume_ns : CLK_NEVER);
		int ready = sig_wait(s->fds, s->n_fds, wake_ns);
		if (ready < 0)
			die_errno("poll");
		if (ready > 0) {
			if (s->fds[LISTENER].revents != 0)
				server_wake(s);
			look_at_connections(s);
		}
		now_ns = clk_mono_ns();
		if (now_ns >= next_ns) {
			show_interval(s, last_ns, now_ns);
			last_ns = now_ns;
			next_ns += opt.interval_ns;
		}
	}
	count_cpu(s);
}

static int family(void)
{
	return opt.ipv4 ? AF_INET : opt.ipv6 ? AF_INET6 : AF_UNSPEC;
}

static int server_open(struct server *s, struct addr *bound, struct net_error *e)
{
	char text[ADDR_TEXT];
	const char *host = opt.bind != NULL ? opt.bind : opt.ipv6 ? "::1" : "127.0.0.1";
	struct sock_options plain = { 0 };
	*s = (struct server){ .child_fd = -1, .reserve_fd = -1 };
	s->listen_fd = sock_serve(host, (uint16_t)opt.port, family(), &plain, bound, e);
	if (s->listen_fd < 0)
		return -1;
	/* WHY: without it the accept4 that finds the queue empty again would wait in there, and nobody else be
	 * served. */
	if (fcntl(s->listen_fd, F_SETFL, O_NONBLOCK) < 0)
		return net_fail(e, "fcntl", "O_NONBLOCK");
	warnf("listening on %s", addr_text(bound, text));
	return 0;
}

/* The exit status. */
static int server_run(struct server *s, const struct addr *bound)
{
	s->fds = xcalloc(FIRST_CONNECTION + FDLIMIT_MANY, sizeof(s->fds[0]));
	s->fds[LISTENER].events = POLLIN;
	s->fds[CHILD] = (struct pollfd){ .fd = s->child_fd, .events = POLLIN };
	s->n_fds = FIRST_CONNECTION;
	if (opt.fixed)
		s->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	int limit = leave_free(opt.room);
	if (limit < 0)
		return fdlimit_fail_errno(&opt, "setrlimit", "RLIMIT_NOFILE");
	fdlimit_print_start(&opt, bound, (uint64_t)limit);
	s->start_cpu = os_thread_cpu();
	s->start_ns = clk_mono_ns();
	server_loop(s);
	return 0;
}

static void server_close(struct server *s)
{
	for (unsigned i = FIRST_CONNECTION; i < s->n_fds; i++)
		close(s->fds[i].fd);
	if (s->reserve_fd >= 0)
		close(s->reserve_fd);
	close(s->listen_fd);
	free(s->fds);
}

/* --- the three roles: each returns the exit status ---------------------------------------------------------------- */

static int serve_alone(void)
{
	struct server s;
	struct addr bound;
	struct net_error e = { 0 };
	if (server_open(&s, &bound, &e) < 0)
		return fdlimit_fail(&opt, &e);
	int status = server_run(&s, &bound);
	if (status == 0)
		fdlimit_print_total(&opt, &s.count, NULL, clk_mono_ns() - s.start_ns);
	server_close(&s);
	return status;
}

static int visit(void)
{
	struct addr list[ADDR_MAX];
	struct net_error e = { 0 };
	int n = addr_resolve(opt.host, (uint16_t)opt.port, family(), list, COUNT_OF(list), &e);
	if (n < 0)
		return fdlimit_fail(&opt, &e);
	uint64_t start_ns = clk_mono_ns();
	struct fdlimit_sight sight = fdlimit_visit(&opt, list, (size_t)n);
	if (sight.error.op != NULL)
		return fdlimit_fail(&opt, &sight.error);
	fdlimit_print_total(&opt, NULL, &sight, clk_mono_ns() - start_ns);
	return 0;
}

static int demonstrate(void)
{
	struct server s;
	struct addr bound;
	struct net_error e = { 0 };
	struct fdlimit_sight sight = { 0 };
	pid_t child;
	if (server_open(&s, &bound, &e) < 0)
		return fdlimit_fail(&opt, &e);
	s.child_fd = fdlimit_start_clients(&opt, &bound, s.listen_fd, &child);
	if (s.child_fd < 0)
		return fdlimit_fail_errno(&opt, "fork", "the clients");
	int status = server_run(&s, &bound);
	uint64_t elapsed_ns = clk_mono_ns() - s.start_ns;
	int rc = fdlimit_end_clients(s.child_fd, child, &sight);
	if (status == 0 && rc < 0)
		status = fdlimit_fail_errno(&opt, "wait for", "the clients' report");
	else if (status == 0 && sight.error.op != NULL)
		status = fdlimit_fail(&opt, &sight.error);
	else if (status == 0)
		fdlimit_print_total(&opt, &s.count, &sight, elapsed_ns);
	server_close(&s);
	return status;
}

/* --- main --------------------------------------------------------------------------------------------------------- */

static const char *const synopsis[] = {
	"[--fixed | --pause] [-n ROOM] [-c CLIENTS] [options]",
	"-s [--fixed | --pause] [-n ROOM] [-p PORT] [options]",
	"HOST [-c CLIENTS] [-p PORT] [options]",
	NULL,
};

static const char *const about[] = {
	"fdlimit is a server with room for a few connections only, because it lowers its limit of open descriptors, and clients "
	"that are more than that. Without a role it is both, for --time, and reports what either saw.",
	"When accept(2) fails with EMFILE the connection stays in the queue, and the listener readable. A server that goes on to the "
	"next event spins at full speed, and its client waits. --pause leaves the listener alone for 100 ms: no spinning, the same "
	"waiting. --fixed keeps a descriptor in reserve, gives it up to accept and close those who wait, takes it again, and pauses.",
	NULL,
};

static const struct arg_example examples[] = {
	{ "fdlimit", "10 clients, room for 4: the loop spins, six hear nothing" },
	{ "fdlimit --fixed", "the same, with a descriptor in reserve: six are turned away at once" },
	{ "fdlimit -s -i 1", "the server alone, a line each second; then: nc 127.0.0.1 2012" },
	{ 0 },
};

/* clang-format off */
static const struct arg rows[] = {
	{ .help = "What to do:" },
	{ 's', "server", ARG_FLAG, &opt.server, .help = "the server alone, until a signal or --time; otherwise HOST: the clients "
	  "alone; neither: both" },
	{ '\0', "fixed", ARG_FLAG, &opt.fixed, .help = "a descriptor in reserve, to turn clients away with; then a pause" },
	{ '\0', "pause", ARG_FLAG, &opt.pause, .help = "only a pause of 100 ms after a failed accept" },
	{ 'n', "room", ARG_COUNT, &opt.room, 1, FDLIMIT_MANY, "ROOM", "connections that the server has descriptors for" },
	{ 'c', "clients", ARG_COUNT, &opt.clients, 1, FDLIMIT_MANY, "CLIENTS", "how many connect" },
	{ '\0', "time", ARG_DURATION, &opt.time_ns, 1, 0, "D", "how long the clients wait, 1 s unless given; with -s alone how long it serves" },
	{ .help = "Where, and reports:" },
	{ 'p', "port", ARG_PORT, &opt.port, .value_name = "PORT", .help = "the server's port; 0 takes a free one" },
	{ 'B', "bind", ARG_STR, &opt.bind, .value_name = "ADDR", .help = "the server's address (loopback unless given; 0.0.0.0 and :: "
	  "are all of IPv4, all of IPv6)" },
	{ '4', "ipv4", ARG_FLAG, &opt.ipv4, .help = "IPv4 only" },
	{ '6', "ipv6", ARG_FLAG, &opt.ipv6, .help = "IPv6 only" },
	{ 'i', "interval", ARG_DURATION, &opt.interval_ns, NS_PER_MS, 0, "D", "a line of the server for each interval" },
	{ '\0', "json", ARG_FLAG, &opt.json, .help = "one JSON object a line on standard output" },
	{ 0 },
};
/* clang-format on */

static const struct arg_spec spec = {
	.tool = "fdlimit",
	.one_line = "shows what a server does when it has no descriptor left for a connection",
	.synopsis = synopsis,
	.about = about,
	.args = rows,
	.examples = examples,
	.see_also = "tcplab(1), accept(2), getrlimit(2), poll(2). The experiment: labs/42-emfile.",
};

int main(int argc, char **argv)
{
	diag_tool = "fdlimit";
	setvbuf(stdout, NULL, _IOLBF, 0);
	int first = args_parse(&spec, argc, argv);
	if (first < argc)
		opt.host = argv[first++];
	if (first < argc)
		args_misuse("'%s' is too much", argv[first]);
	if (opt.ipv4 && opt.ipv6)
		args_misuse("-4 and -6 exclude each other");
	if (opt.fixed && opt.pause)
		args_misuse("--fixed pauses, too: leave out --pause");
	if (opt.host != NULL && (opt.server || opt.fixed || opt.pause || opt.bind != NULL || opt.interval_ns != 0))
		args_misuse("with HOST there are the clients only: no -s, --fixed, --pause, --bind, --interval");
	if (!opt.server && opt.time_ns == 0)
		opt.time_ns = NS_PER_S;
	sig_open();

	int status = opt.host != NULL ? visit() : opt.server ? serve_alone() : demonstrate();
	if (fflush(stdout) != 0 || ferror(stdout))
		die("cannot write the report to standard output");
	return sig_exit_status(status);
}
