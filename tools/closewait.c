/* closewait - a server that is told "that was all", and forgets to close: connections that nobody uses and nobody ends.
 *
 * Try:       closewait -s                                  in one terminal: the server with the mistake
 *            closewait localhost -n 50                     in another: 50 clients come, are answered, and go
 *            closewait localhost --watch 5 --fin-timeout 2 and look on: which of the two ends goes away by itself?
 *            closewait -s --descriptors 20                 how the server dies of it, without a word and without load
 *            closewait -s --fixed, closewait localhost --fixed
 * Look for:  PITFALL below; Ctrl-C at the server, which says goodbye to all it holds, and learns that nobody is there.
 * Labs:      31-close-wait.
 *
 * Who closes first is in FIN-WAIT-2 once its FIN is acknowledged, and waits for the other's FIN; that one is in
 * CLOSE-WAIT, and waits for its program (RFC 9293 3.6, 3.3.2):
 *
 *     client                                server
 *     close      FIN ------------------->   recv = 0: the program is told once; CLOSE-WAIT
 *     FIN-WAIT-2     <--------------- ACK   ... until the program calls close(2). There is no timer
 *     gone, after tcp_fin_timeout (60 s)    CLOSE-WAIT
 *                                           CLOSE-WAIT, and a descriptor, for as long as the process lives
 *
 * The protocol is lines of text, so that anybody can be a client (`nc 127.0.0.1 2031`): each line is answered with
 * "visitor N; M are gone and still held". At its end the server says "goodbye" to those: it is the same as a program
 * that one day has something to tell a client whose end it has forgotten.
 *
 * The chapters: the server, the client, options and main here; closewait/report.c.
 *
 * LIMIT: the client sees the server's end of a connection only where both are on one host (and in one network
 * namespace). */
#include "args.h"
#include "clock.h"
#include "diag.h"
#include "mem.h"
#include "os.h"
#include "record.h"
#include "sig.h"
#include "sockdiag.h"

#include "closewait/closewait.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { DEFAULT_PORT = 2031, LINE = 1024, VISITS_MAX = 20000, PORTS = 65536 };

#define PAUSE_NS   (UINT64_C(100) * NS_PER_MS) /* of a server that has no descriptor left */
#define GOODBYE_NS (UINT64_C(1) * NS_PER_S)
#define SETTLE_NS  (UINT64_C(2) * NS_PER_S)
#define LOOK_NS    (UINT64_C(20) * NS_PER_MS)

/* --- the server -------------------------------------------------------------------------------------------------- */

static void close_client(struct closewait_server *s, size_t i)
{
	close(s->fds[i].fd);
	s->fds[i] = s->fds[--s->n];
}

/* A client has said everything. That it has also gone, and will never read again, is not in this message (lab
 * 22-half-close): but we have nothing more to tell it. */
static void on_end(struct closewait_server *s, size_t i)
{
	int fd = s->fds[i].fd;
	s->ended++;
	/* PITFALL: "this client is done, so I do not look at it any more." It is taken off the list of those that poll(2)
	 * watches (or its event is deleted, or its thread returns), and all is quiet. But the descriptor is open, and
	 * the kernel keeps the connection in CLOSE-WAIT for us: we might still want to send. Only close(2) ends that,
	 * no timer does. Keepalive would one day end the connection, and the descriptor would still be there. */
	if (!s->o->fixed) {
		s->held++;
		closewait_report_ended(s, fd);
		s->fds[i].fd = ~fd;
		return;
	}
	closewait_report_ended(s, fd);
	close_client(s, i);
}

/* A line has come: one line goes back. Who does not read his answers is closed. */
static bool answer(struct closewait_server *s, int fd)
{
	char line[LINE];
	int len = snprintf(line, sizeof(line), "visitor %" PRIu64 "; %" PRIu64 " are gone and still held\n",
			   s->accepted, s->held);
	s->answered++;
	ssize_t n = send(fd, line, (size_t)len, MSG_DONTWAIT | MSG_NOSIGNAL);
	tracef("send(%d, %d) = %zd", fd, len, n);
	return n == len;
}

static void on_readable(struct closewait_server *s, size_t i)
{
	char bytes[LINE];
	int fd = s->fds[i].fd;
	ssize_t n = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);
	tracef("recv(%d) = %zd", fd, n);
	if (n == 0)
		on_end(s, i);
	else if ((n < 0 && errno != EAGAIN) || (n > 0 && memchr(bytes, '\n', (size_t)n) != NULL && !answer(s, fd)))
		close_client(s, i); /* a reset is an end that cannot be overlooked */
}

/* Is there no descriptor left, the client waits in the backlog: its connect(2) is well, and nobody ever answers. */
static void on_client(struct closewait_server *s)
{
	int fd = accept4(s->fds[0].fd, NULL, NULL, SOCK_CLOEXEC);
	tracef("accept4(%d) = %d", s->fds[0].fd, fd);
	if (fd >= 0) {
		if (s->n == s->room)
			s->fds = xrealloc(s->fds, (s->room *= 2) * sizeof(*s->fds));
		s->fds[s->n++] = (struct pollfd){ .fd = fd, .events = POLLIN };
		s->accepted++;
		return;
	}
	if (errno == EAGAIN || errno == ECONNABORTED || errno == EPROTO)
		return;
	if (s->accept_failures++ == 0)
		warnf_errno("accept");
	/* WHY: the listener stays readable, and poll would return at once, over and over (lab 42-emfile). */
	s->fds[0].fd = ~s->fds[0].fd;
	s->paused_until_ns = clk_mono_ns() + PAUSE_NS;
}

static bool is_over(const struct closewait_server *s)
{
	return sig_pending(NULL) != 0 || (s->o->stage.one_off && s->ended > 0);
}

static void serve(struct closewait_server *s)
{
	while (!is_over(s)) {
		int n = sig_wait(s->fds, (unsigned)s->n, s->paused_until_ns != 0 ? s->paused_until_ns : CLK_NEVER);
		if (n < 0)
			die_errno("poll");
		if (s->paused_until_ns != 0 && clk_mono_ns() >= s->paused_until_ns) {
			s->fds[0].fd = ~s->fds[0].fd;
			s->paused_until_ns = 0;
		}
		/* From the end, because the last one takes the place of one that is closed. */
		for (size_t i = n > 0 ? s->n - 1 : 0; i > 0; i--) {
			if (s->fds[i].fd >= 0 && s->fds[i].revents != 0)
				on_readable(s, i);
		}
		if (n > 0 && s->fds[0].fd >= 0 && s->fds[0].revents != 0)
			on_client(s);
	}
}

/* To all that we believe to be there: the kernel takes the bytes, the peer's answers with a reset, and the next send(2)
 * is told. */
static void say_goodbye(struct closewait_server *s)
{
	uint64_t deadline_ns = clk_mono_ns() + GOODBYE_NS, now_ns;
	for (size_t i = 1; i < s->n; i++) {
		ssize_t n = s->fds[i].fd >= 0 ? -1 : send(~s->fds[i].fd, "goodbye\n", 8, MSG_DONTWAIT | MSG_NOSIGNAL);
		s->late_ok += n == 8;
	}
	for (size_t i = 1; i < s->n; i++) {
		if (s->fds[i].fd >= 0)
			continue;
		struct pollfd p = { .fd = ~s->fds[i].fd };
		int left_ms = (now_ns = clk_mono_ns()) < deadline_ns ? (int)((deadline_ns - now_ns) / NS_PER_MS) : 0;
		int ready = poll(&p, 1, left_ms);
		ssize_t n = send(p.fd, "goodbye\n", 8, MSG_DONTWAIT | MSG_NOSIGNAL);
		tracef("poll(%d) = %d, send = %zd", p.fd, ready, n);
		s->late_epipe += n < 0 && errno == EPIPE;
	}
}

static void limit_descriptors(struct closewait_server *s)
{
	struct rlimit limit;
	s->limit = os_raise_fd_limit();
	if (s->o->descriptors == 0)
		return;
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		stage_fail_errno(&s->o->stage, "getrlimit", "RLIMIT_NOFILE");
	limit.rlim_cur = s->o->descriptors;
	if (limit.rlim_cur > limit.rlim_max || setrlimit(RLIMIT_NOFILE, &limit) < 0) {
		errno = limit.rlim_cur > limit.rlim_max ? EPERM : errno;
		stage_fail_errno(&s->o->stage, "setrlimit", "more descriptors than the hard limit");
	}
	s->limit = s->o->descriptors;
}

static uint64_t count_free(uint64_t limit)
{
	uint64_t free = limit;
	for (uint64_t fd = 0; fd < limit && fd < PORTS; fd++)
		free -= fcntl((int)fd, F_GETFD) >= 0;
	return free;
}

static int run_server(const struct closewait_options *o)
{
	char text[ADDR_TEXT];
	struct closewait_server s = { .o = o, .n = 1, .room = 16 };
	limit_descriptors(&s);
	int listen_fd = stage_listen(&o->stage, o->stage.port, NULL, text);
	if (listen_fd < 0)
		return 1;
	s.free = count_free(s.limit);
	s.fds = xcalloc(s.room, sizeof(*s.fds));
	s.fds[0] = (struct pollfd){ .fd = listen_fd, .events = POLLIN };
	if (o->stage.json) {
		struct json j;
		record_begin(&j, "start");
		json_str(&j, "role", "server");
		json_str(&j, "listening", text);
		json_bool(&j, "fixed", o->fixed);
		json_u64(&j, "descriptors", s.limit);
		json_end(&j);
	}
	serve(&s);
	say_goodbye(&s);
	closewait_report_served(&s);
	bool as_promised = s.ended == 0 || (s.held > 0) == !o->fixed;
	free(s.fds);
	return sig_exit_status(as_promised ? 0 : 3);
}

/* --- the client -------------------------------------------------------------------------------------------------- */

/* True when both ends have one address, whatever the port. */
static bool has_same_address(struct addr a, struct addr b)
{
	a.u.in4.sin_port = b.u.in4.sin_port = 0; /* IPv6 has its port at the same place */
	return addr_equal(&a, &b);
}

static int open_visit(struct closewait_visits *v, struct net_error *e)
{
	struct addr local, peer;
	int seconds = (int)((v->o->fin_timeout_ns + NS_PER_S - 1) / NS_PER_S);
	int fd = stage_connect(&v->o->stage, NULL, e);
	if (fd < 0)
		return -1;
	/* How long an end that nobody holds any longer waits in FIN-WAIT-2: tcp_fin_timeout, for this connection alone
	 * (tcp(7)). */
	if (seconds > 0 && setsockopt(fd, IPPROTO_TCP, TCP_LINGER2, &seconds, sizeof(seconds)) < 0)
		stage_fail_errno(&v->o->stage, "setsockopt", "TCP_LINGER2");
	if (addr_of_socket(fd, &local) == 0 && addr_of_peer(fd, &peer) == 0) {
		v->ours[addr_port(&local)] = true;
		v->is_same_host = has_same_address(local, peer);
	}
	return fd;
}

/* A line, however it comes in pieces. 0, or -1 with errno: EPROTO when there is none. */
static int read_line(const struct closewait_visits *v, int fd, char line[static LINE])
{
	for (size_t len = 0; len < LINE - 1;) {
		ssize_t n = stage_recv(&v->o->stage, fd, line + len, LINE - 1 - len);
		if (n < 0)
			return -1;
		len += (size_t)n;
		line[len] = '\0';
		if (strchr(line, '\n') != NULL)
			return 0;
		if (n == 0)
			break;
	}
	errno = EPROTO;
	return -1;
}

/* One client, and everything about it is right. False: there will not be a next one. */
static bool visit(struct closewait_visits *v)
{
	char line[LINE];
	uint64_t taken = 0;
	struct net_error e = { 0 };
	int fd = open_visit(v, &e);
	if (fd < 0 && v->answered + v->silent == 0 && e.sys != ECANCELED)
		stage_fail(&v->o->stage, &e);
	bool is_well = fd >= 0 && stage_send_all(&v->o->stage, fd, "hello\n", 6, &taken) == 0 &&
		       read_line(v, fd, line) == 0;
	int error = fd < 0 ? e.sys : errno;
	if (fd >= 0)
		close(fd);
	v->last_ns = clk_mono_ns();
	if (is_well) {
		v->answered++;
		sscanf(line, "visitor %*u; %" SCNu64, &v->held);
	} else if (error == ETIMEDOUT) {
		v->silent++;
	} else if (error != ECANCELED) {
		v->failed = stage_symbol(error);
	}
	return is_well;
}

static void count(struct closewait_census *c, const struct sockdiag_socket *s, bool is_ours)
{
	switch (s->state) {
	case SOCKDIAG_CLOSE_WAIT:
		*(is_ours ? &c->moving : s->inode == 0 ? &c->not_accepted : &c->close_wait) += 1;
		break;
	case SOCKDIAG_FIN_WAIT_2:
		*(is_ours ? &c->fin_wait : &c->moving) += 1;
		break;
	case SOCKDIAG_TIME_WAIT:
		c->time_wait += is_ours;
		break;
	case SOCKDIAG_LISTEN:
		break;
	default:
		c->moving++;
	}
}

static struct closewait_census take_census(const struct closewait_visits *v)
{
	struct closewait_census c = { 0 };
	struct sockdiag d;
	struct net_error e = { 0 };
	uint16_t port = (uint16_t)v->o->stage.port;
	struct sockdiag_filter f = { .ports = &port, .n_ports = 1 };
	bool *seen = xcalloc(2 * PORTS, sizeof(*seen)); /* WHY: a dump is no snapshot, a socket may be in it twice */
	if (sockdiag_open(&d, &e) < 0 || sockdiag_dump(&d, &f, &e) < 0)
		stage_fail(&v->o->stage, &e);
	for (size_t i = 0; i < d.n; i++) {
		const struct sockdiag_socket *s = &d.sockets[i];
		bool is_ours = addr_port(&s->peer) == port && v->ours[addr_port(&s->local)];
		size_t end = is_ours ? addr_port(&s->local) : PORTS + (size_t)addr_port(&s->peer);
		if (seen[end] || (!is_ours && (addr_port(&s->local) != port || !v->ours[addr_port(&s->peer)])))
			continue;
		seen[end] = true;
		count(&c, s, is_ours);
	}
	sockdiag_close(&d);
	free(seen);
	return c;
}

/* Nothing is on its way any more, and a server that closes has closed. */
static bool is_settled(const struct closewait_visits *v, const struct closewait_census *c)
{
	return c->moving == 0 && (v->o->fixed ? c->close_wait + c->fin_wait == 0 : c->close_wait >= v->answered);
}

static void look_on(struct closewait_visits *v)
{
	uint64_t give_up_ns = clk_mono_ns() + SETTLE_NS;
	do {
		v->at_once = v->later = take_census(v);
	} while (v->is_same_host && !is_settled(v, &v->at_once) && clk_mono_ns() < give_up_ns &&
		 (sig_wait_fd(-1, 0, LOOK_NS) == 0 || errno == ETIMEDOUT));
	while (v->watched_ns < v->o->watch_ns && (sig_wait_fd(-1, 0, LOOK_NS) == 0 || errno == ETIMEDOUT)) {
		v->later = take_census(v);
		v->watched_ns = clk_mono_ns() - v->last_ns;
		if (v->later.fin_wait == 0 && v->gone_after_ns == 0)
			v->gone_after_ns = v->watched_ns;
		if (v->later.fin_wait == 0)
			break;
	}
	/* It may miss some, too. Look twice before saying that a connection has gone which nobody closed. */
	for (int tries = 0; tries < 5 && v->later.close_wait < v->at_once.close_wait; tries++)
		v->later = take_census(v);
}

/* The mistake is shown when each client that was answered stands in CLOSE-WAIT, and stays; the fix when none does. */
static bool is_as_promised(const struct closewait_visits *v)
{
	if (v->failed != NULL || v->answered == 0 || (v->o->fixed && v->answered < v->o->visits))
		return false;
	if (!v->is_same_host)
		return true; /* nothing is known of the other ends */
	return v->o->fixed ? v->at_once.close_wait == 0
			   : v->at_once.close_wait == v->answered && v->later.close_wait == v->answered;
}

static int run_client(const struct closewait_options *o)
{
	struct closewait_visits v = { .o = o, .ours = xcalloc(PORTS, sizeof(bool)) };
	if (o->stage.json) {
		struct json j;
		record_begin(&j, "start");
		json_str(&j, "role", "client");
		json_str(&j, "host", o->stage.host);
		json_u64(&j, "visits", o->visits);
		json_end(&j);
	}
	for (uint64_t i = 0; i < o->visits && sig_pending(NULL) == 0; i++) {
		if (!visit(&v))
			break;
	}
	look_on(&v);
	closewait_report_visits(&v);
	free(v.ours);
	return sig_exit_status(is_as_promised(&v) ? 0 : 3);
}

/* --- options and main -------------------------------------------------------------------------------------------- */

static const char *const synopsis[] = {
	"-s [-p PORT] [--fixed] [--descriptors COUNT] [options]",
	"HOST [-p PORT] [-n COUNT] [--fin-timeout D] [--watch D] [--fixed] [options]",
	NULL,
};

static const char *const about[] = {
	"closewait shows what becomes of connections that the client has ended and the server has forgotten to "
	"close: they stay in "
	"CLOSE-WAIT for as long as the server lives, each with a descriptor, until it has none left and accepts "
	"nobody any "
	"more. The server as it is first does that; with --fixed it closes when recv(2) returns 0.",
	"The client comes COUNT times, one connection after another: it says a line, reads the answer, closes. Then it "
	"counts in which states both ends are, as ss(8) would, and looks on for --watch. It stops coming when it is "
	"not answered any more.",
	NULL,
};

static const struct arg_example examples[] = {
	{ "closewait -s", "the server with the mistake" },
	{ "closewait localhost -n 50", "fifty clients, and what is left of them" },
	{ "closewait localhost --fin-timeout 2 --watch 5", "the client's ends go, the server's stay" },
	{ "closewait -s --descriptors 20", "a server that can hold a dozen clients, and no more" },
	{ "closewait localhost --timeout 1", "its client, who waits for a second" },
	{ "ss -tn state close-wait", "the same, seen by others" },
	{ 0 },
};

static const struct arg_example statuses[] = {
	{ "3", "no connection was left behind, or with --fixed some were" },
	{ 0 },
};

static struct closewait_options parse_options(int argc, char **argv)
{
	struct closewait_options o = { .stage = { .port = DEFAULT_PORT, STAGE_DEFAULTS }, .visits = 50 };
	/* clang-format off */
	const struct arg rows[] = {
		{ .help = "Server:" },
		STAGE_ROLE_ROWS(o.stage),
		{ '\0', "descriptors", ARG_COUNT, &o.descriptors, 8, PORTS, "COUNT", "so many in all, and no more (RLIMIT_NOFILE)" },
		{ .help = "Client:" },
		{ 'n', "visits", ARG_COUNT, &o.visits, 1, VISITS_MAX, "COUNT", "come so often" },
		{ '\0', "fin-timeout", ARG_DURATION, &o.fin_timeout_ns, 0, 3600 * UINT64_C(1000000000), "D", "our end waits in FIN-WAIT-2 "
		  "for so many seconds (TCP_LINGER2); 0: the system's" },
		{ '\0', "watch", ARG_DURATION, &o.watch_ns, 0, STAGE_DAY_NS, "D", "look on until our ends are gone, for so long at most" },
		{ .help = "Both:" },
		{ '\0', "fixed", ARG_FLAG, &o.fixed, .help = "server: close at the client's end; client: judge such a server" },
		STAGE_COMMON_ROWS(o.stage),
		{ 0 },
	};
	/* clang-format on */
	const struct arg_spec spec = {
		.tool = "closewait",
		.one_line = "shows what becomes of connections that a server forgets to close",
		.synopsis = synopsis,
		.about = about,
		.args = rows,
		.examples = examples,
		.exit_statuses = statuses,
		.see_also = "tcplab(1), close(2), tcp(7), ss(8). Each figure explained: docs/tools/closewait.md.",
	};
	int first = args_parse(&spec, argc, argv);
	stage_check(&o.stage, argv + first);
	if (!o.stage.server && o.descriptors != 0)
		args_misuse("--descriptors is for the server (-s)");
	if (o.stage.server && (o.fin_timeout_ns != 0 || o.watch_ns != 0))
		args_misuse("%s is for a client", o.watch_ns != 0 ? "--watch" : "--fin-timeout");
	return o;
}

int main(int argc, char **argv)
{
	diag_tool = "closewait";
	setvbuf(stdout, NULL, _IOLBF, 0);
	struct closewait_options o = parse_options(argc, argv);
	sig_open();
	return record_finish(o.stage.server ? run_server(&o) : run_client(&o));
}
