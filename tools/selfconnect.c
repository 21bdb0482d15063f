/* selfconnect - a client of a port of its own host on which nobody listens may get connected: to itself.
 *
 * Try:       selfconnect               a port of its own choice, connect(2) until it happens
 *            selfconnect 40001         the other parity: predicted impossible, and it does not happen
 *            selfconnect --by range    at the first try (Linux 6.3); --by bind: on any kernel
 *            selfconnect --fixed       the client that looks at its two names, and gets its server in the end
 *            selfconnect --udp         no handshake, no error, no TIME-WAIT
 * Look for:  PITFALL below; both names equal, and what the server of that port hears when it starts.
 * Labs:      20-self-connect.
 *
 * Two ends that send a SYN to each other get one connection (RFC 9293 3.5, simultaneous open), and nothing says that
 * they must be two programs. A connect(2) takes some free port of ip_local_port_range for its own end (ip(7)). When that
 * is the very port that it connects to, the SYN comes back to the socket that has sent it:
 *
 *	socket 127.0.0.1:40000     SYN-SENT --SYN--> SYN-RECEIVED --SYN,ACK--> ESTABLISHED     all with itself
 *
 * In reading order: the client, the tries, what there is to see, the server that comes too late, the experiment, main.
 * Beside it: selfconnect/portrange.c, among which ports the kernel chooses; selfconnect/selfline.c, what it lists;
 * selfconnect/report.c, the prediction in words and the records.
 *
 * LIMIT: the prediction knows which ports Linux chooses among (portrange.h), not which of them others have. */
#include "selfconnect/portrange.h"
#include "selfconnect/report.h"
#include "selfconnect/selfline.h"

#include "addr.h"
#include "args.h"
#include "clock.h"
#include "diag.h"
#include "record.h"
#include "sig.h"
#include "sock.h"
#include "units.h"

#include <errno.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#ifndef IP_LOCAL_PORT_RANGE
#define IP_LOCAL_PORT_RANGE 51 /* Linux 6.3; ip(7) */
#endif

/* --tries, for each port that the kernel chooses among. 20: all of them miss with a probability of 2e-9 at most. */
enum { TRIES_POSSIBLE = 20, TRIES_IMPOSSIBLE = 2 };

static struct selfconnect_options opt;

/* One line of the story, for people. */
PRINTF_LIKE(1, 2) static void say(const char *fmt, ...)
{
	va_list args;
	if (opt.json)
		return;
	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
}

/* --- the client -------------------------------------------------------------------------------------------------- */

static bool is_itself(int fd)
{
	struct addr here, there;
	return addr_of_socket(fd, &here) == 0 && addr_of_peer(fd, &there) == 0 && addr_equal(&here, &there);
}

/* Makes the rare likely: a range of one port, or no choice at all. */
static int choose_source(int fd, const struct addr *to, enum way by, struct net_error *e)
{
	char text[ADDR_TEXT];
	uint32_t port = addr_port(to), range = port << 16 | port;
	if (by == RANGE && setsockopt(fd, IPPROTO_IP, IP_LOCAL_PORT_RANGE, &range, sizeof(range)) < 0) {
		net_fail(e, "set", "IP_LOCAL_PORT_RANGE");
		if (e->sys == ENOPROTOOPT)
			e->reason = "this kernel has no such option (it came with Linux 6.3): take --by bind";
		return -1;
	}
	return by == BIND && bind(fd, &to->u.sa, to->len) < 0 ? net_fail(e, "bind", addr_text(to, text)) : 0;
}

/* Closes fd; the error on its way to the caller is *e. */
static int give_up(int fd, const struct net_error *e)
{
	close(fd);
	errno = e->sys;
	return -1;
}

static bool noticed; /* the fixed client has met itself */

/* What a client does again and again while its server is away. The connection, or -1 with errno and *e. */
static int client_connect(const struct addr *to, enum way by, struct net_error *e)
{
	static const struct timeval patience = { .tv_sec = 2 };
	char text[ADDR_TEXT];
	int fd = socket(to->u.sa.sa_family, (opt.udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return net_fail(e, "socket", addr_text(to, text));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)); /* counts for connect(2), socket(7) */
	if (choose_source(fd, to, by, e) < 0)
		return give_up(fd, e);
	int rc = connect(fd, &to->u.sa, to->len);
	tracef("connect(%d) = %d", fd, rc);
	if (rc < 0) {
		net_fail(e, "connect", addr_text(to, text));
		return give_up(fd, e);
	}
	/* PITFALL: connect(2) has succeeded, so the server is there. But it may be our own socket that has answered. Then
	 * what we send is what we receive; we hold the server's port, so that it cannot start, so that nobody else will
	 * ever answer; and when we close, the port stays in TIME-WAIT. */
	if (!opt.fixed || !is_itself(fd))
		return fd;
	/* Fixed: as if it had been refused, for nobody is there. A plain close would leave TIME-WAIT on the server's port;
	 * with linger 0 the connection is gone at once (sock_abort is SO_LINGER and close; socket(7)). */
	sock_abort(fd);
	noticed = true;
	errno = ECONNREFUSED;
	return net_fail(e, "connect", addr_text(to, text));
}

/* --- the tries --------------------------------------------------------------------------------------------------- */

/* What a failed try means for the experiment: go on (0), or the end with *e (-1). */
static int judge_failure(struct net_error *e)
{
	if (e->sys == ECONNREFUSED || e->sys == EINTR)
		return 0;
	if (e->sys == EADDRNOTAVAIL)
		e->reason = "no free port to connect from: taken, reserved, or in TIME-WAIT";
	if (e->sys == EINPROGRESS)
		e->reason = "no answer: somebody listens there and does not accept, or drops what comes";
	return -1;
}

/* Connected. To itself: 1. UDP always is, to somebody or nobody: 0, try again. TCP to somebody else: -1 with *e. */
static int judge_connection(const struct addr *to, int fd, struct net_error *e)
{
	char text[ADDR_TEXT];
	if (is_itself(fd) || opt.udp)
		return is_itself(fd);
	errno = EADDRINUSE;
	net_fail(e, "connect", addr_text(to, text));
	e->reason = "connected to another program, which listens there";
	return -1;
}

static void show_progress(uint64_t tries, uint64_t now_ns)
{
	static uint64_t next_ns;
	if (next_ns != 0 && now_ns >= next_ns && !opt.json && isatty(STDERR_FILENO))
		fprintf(stderr, "\r  %" PRIu64 " tries\r", tries);
	if (now_ns >= next_ns)
		next_ns = now_ns + NS_PER_S / 4;
}

/* Until it happens (f->itself; *fd is the connection, -1 if the client has given it up), or --tries, --time or a signal
 * ends it: 0. -1 with *e. */
static int try_on(const struct addr *to, struct selfconnect_findings *f, int *fd, struct net_error *e)
{
	uint64_t start_ns = clk_mono_ns(), now_ns = start_ns;
	int rc = 0;
	while (rc == 0 && f->tries < opt.tries && sig_pending(NULL) == 0 &&
	       (opt.time_ns == 0 || now_ns - start_ns < opt.time_ns)) {
		*fd = client_connect(to, opt.by, e);
		f->tries++;
		rc = noticed ? 1 : *fd < 0 ? judge_failure(e) : judge_connection(to, *fd, e);
		if (*fd >= 0 && rc != 1)
			close(*fd);
		now_ns = clk_mono_ns();
		show_progress(f->tries, now_ns);
	}
	f->elapsed_ns = now_ns - start_ns;
	f->itself = rc == 1;
	f->noticed = noticed;
	return rc < 0 ? -1 : 0;
}

/* --- what there is to see ---------------------------------------------------------------------------------------- */

/* Sends, and receives; how many of the bytes sent came back. */
static size_t echo(int fd)
{
	static const char hello[] = "hello, server";
	static const struct timeval patience = { .tv_sec = 2 };
	char got[sizeof(hello)];
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	ssize_t n = send(fd, hello, sizeof(hello) - 1, MSG_NOSIGNAL);
	ssize_t back = n < 0 ? -1 : recv(fd, got, (size_t)n, opt.udp ? 0 : MSG_WAITALL);
	tracef("send(%d) = %zd, recv = %zd", fd, n, back);
	size_t len = back > 0 && memcmp(got, hello, (size_t)back) == 0 ? (size_t)back : 0;
	say("  sent                      '%s'\n  received                  '%.*s'\n", hello, (int)len, got);
	return len;
}

/* --hold: time for a look with ss, or to start a server. A signal ends it. */
static void hold(void)
{
	if (opt.hold_ns == 0)
		return;
	sig_let_in(false); /* so that none can come between the question and the wait */
	if (sig_pending(NULL) == 0 && sig_wait(NULL, 0, clk_mono_ns() + opt.hold_ns) < 0)
		warnf_errno("poll");
	sig_let_in(true);
}

static void look(int fd, struct selfconnect_findings *f)
{
	struct addr here, there;
	if (addr_of_socket(fd, &here) < 0 || addr_of_peer(fd, &there) < 0)
		return;
	say("  getsockname               %s\n", addr_text(&here, f->local));
	say("  getpeername               %s, the same: this is a connection to itself\n", addr_text(&there, f->peer));
	const char *file = selfline_file(opt.udp, opt.ipv6);
	struct selfline line = selfline_find(file, (unsigned)opt.port);
	f->lines = line.n;
	say("  %-25s has %u line with this port at both ends, %s\n", file, line.n, selfline_state_name(line.state));
	f->echoed = echo(fd);
	selfconnect_report_connected(&opt, f);
	hold();
}

/* --- the server that comes too late ------------------------------------------------------------------------------ */

/* What the owner of the port does when he starts. The listening (UDP: bound) socket, or -1 with errno. */
static int server_start(const struct addr *where)
{
	struct net_error e;
	int on = 1;
	int fd = socket(where->u.sa.sa_family, (opt.udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	if (!opt.udp)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, &where->u.sa, where->len) == 0 && (opt.udp || listen(fd, 5) == 0))
		return fd;
	net_fail(&e, "bind", "");
	return give_up(fd, &e);
}

/* Starts it and ends it: 0, or the errno that it hears. */
static int server_hears(const struct addr *where)
{
	int fd = server_start(where);
	if (fd < 0)
		return errno;
	close(fd);
	return 0;
}

static const char *said(int error)
{
	return error == 0 ? "ok, it starts" : errno_name(error);
}

/* The broken client keeps what it has got, and closes it like any connection. */
static void harm(const struct addr *to, int fd, struct selfconnect_findings *f)
{
	const char *file = selfline_file(opt.udp, opt.ipv6);
	f->bind_while = server_hears(to);
	say("  the server now: bind      %s\n", said(f->bind_while));
	close(fd);
	/* The FIN goes to itself, too: a simultaneous close (RFC 9293 3.6), done when the kernel has taken it from loopback. */
	struct selfline line = selfline_find(file, (unsigned)opt.port);
	for (int ms = 0; ms < 1000 && line.n > 0 && line.state != TCP_TIME_WAIT; ms++) {
		clk_sleep_until_ns(clk_mono_ns() + NS_PER_MS);
		line = selfline_find(file, (unsigned)opt.port);
	}
	f->state_after = line.state;
	say("  the client closes         %s has %u line of it, %s\n", file, line.n, selfline_state_name(line.state));
	f->bind_after = server_hears(to);
	/* WHY not, with SO_REUSEADDR: both must have set it, and the client, who had the port first, has not (socket(7)). */
	say("  the server now: bind      %s\n", said(f->bind_after));
	/* A port that a client has bound to is not for other clients. Else TIME-WAIT keeps them off for a second only. */
	if (f->bind_after != 0)
		say("For 60 s the server cannot have port %" PRIu64 "%s.\n", opt.port,
		    opt.by == BIND ? "" : "; but the next client can, after a second (tcp_tw_reuse)");
}

/* The fixed client has let go: its server can start, and the next try finds it. The exit status. */
static int heal(const struct addr *to, struct selfconnect_findings *f)
{
	struct net_error e;
	say("  both names are the same   the client lets go, as if it had been refused\n");
	int server = server_start(to);
	f->bind_after = server < 0 ? errno : 0;
	say("  the server now: bind      %s\n", said(f->bind_after));
	int fd = server < 0 ? -1 : client_connect(to, NATURAL, &e);
	f->reached = fd >= 0 && !is_itself(fd);
	say("  the next try              %s\n", f->reached ? "connected, to the server: the names differ" : "failed");
	if (fd >= 0)
		close(fd);
	if (server >= 0)
		close(server);
	return f->reached ? 0 : 3;
}

/* --- the experiment, and main ------------------------------------------------------------------------------------ */

/* Does nobody have this port, in either family and at any address? Asked without SO_REUSEADDR, so that TIME-WAIT counts,
 * too. WHY so strict: connect(2) takes no port that was bound to, by whomever and at whatever address. */
static bool is_free(unsigned port)
{
	static const char *const everywhere[] = { "::", "0.0.0.0" };
	for (size_t i = 0; i < COUNT_OF(everywhere); i++) {
		struct addr any;
		struct net_error e;
		int off = 0;
		if (addr_literal(everywhere[i], (uint16_t)port, AF_UNSPEC, &any, &e) < 0)
			continue;
		int fd = socket(any.u.sa.sa_family, (opt.udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0);
		if (fd < 0)
			continue; /* a system without IPv6 */
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
		bool taken = bind(fd, &any.u.sa, any.len) < 0 && errno == EADDRINUSE;
		close(fd);
		return !taken;
	}
	return true;
}

/* Of the candidates, one that nobody has. 0, or -1 with *e. */
static int pick_port(const struct portrange *p, const char *host, struct addr *to, struct net_error *e)
{
	unsigned len = p->end - p->low;
	unsigned start = (unsigned)(clk_mono_ns() % len); /* not the same port again and again */
	for (unsigned i = 0; i < len; i++) {
		opt.port = p->low + (start + i) % len;
		if (portrange_has(p, (unsigned)opt.port) && is_free((unsigned)opt.port))
			return addr_literal(host, (uint16_t)opt.port, AF_UNSPEC, to, e);
	}
	errno = EADDRNOTAVAIL;
	return net_fail(e, "choose a port of", host);
}

/* What is asked for, and what is to be expected. 0, or -1 with *e. */
static int prepare(struct addr *to, struct net_error *e)
{
	static struct portrange ports;
	const char *host = opt.ipv6 ? "::1" : "127.0.0.1";
	if (portrange_read(&ports, !opt.udp && opt.by == NATURAL, e) < 0)
		return -1;
	if (opt.port == 0 ? pick_port(&ports, host, to, e) < 0
			  : addr_literal(host, (uint16_t)opt.port, AF_UNSPEC, to, e) < 0)
		return -1;
	uint64_t choices = opt.by == NATURAL && ports.n > 0 ? ports.n : 1;
	if (opt.tries == 0)
		opt.tries = choices * (selfconnect_why_not(&opt, &ports) == NULL ? TRIES_POSSIBLE : TRIES_IMPOSSIBLE);
	selfconnect_predict(&opt, &ports, to, !is_free((unsigned)opt.port));
	return 0;
}

/* The exit status, or -1 with *e. */
static int experiment(struct selfconnect_findings *f, struct net_error *e)
{
	char text[UNITS_TEXT];
	struct addr to;
	int fd = -1;
	if (prepare(&to, e) < 0 || try_on(&to, f, &fd, e) < 0)
		return -1;
	say("  %" PRIu64 " %s, %s: %s\n", f->tries, f->tries == 1 ? "try" : "tries",
	    units_duration(text, f->elapsed_ns), f->itself ? "connected" : "it did not happen");
	if (!f->itself)
		return 3;
	if (opt.fixed)
		return heal(&to, f);
	look(fd, f);
	harm(&to, fd, f);
	return 0;
}

static const char *const synopsis[] = { "[PORT] [--by natural|range|bind] [--fixed] [--udp] [options]", NULL };

static const char *const about[] = {
	"selfconnect connects to a PORT of its own host on which nobody listens, again and again, until the kernel happens to "
	"take that very port for the client's end, too: then the connection succeeds, with itself. Without PORT it chooses one with "
	"which that can happen. It says beforehand what the chance is, and afterwards what such a connection does to the "
	"server whose port it is.",
	"--fixed is the client as it should be: it compares getsockname(2) and getpeername(2), and aborts.",
	NULL,
};

static const struct arg_example examples[] = {
	{ "selfconnect", "until it happens: some thousand tries, less than a second" },
	{ "selfconnect --by range", "at the first try (Linux 6.3)" },
	{ "selfconnect --fixed", "the client that notices: its server can start, and is reached" },
	{ 0 },
};

static const struct arg_example exit_statuses[] = {
	{ "3", "it did not happen within --tries and --time; with --fixed also: the server was not reached" },
	{ 0 },
};

/* clang-format off */
static const struct arg rows[] = {
	{ '\0', "by", ARG_CHOICE, &opt.by, .value_name = "WAY", .help = "natural: the kernel chooses the client's port; range: its choice "
	  "is restricted to PORT (IP_LOCAL_PORT_RANGE); bind: the client asks for PORT", .choices = selfconnect_ways },
	{ '\0', "fixed", ARG_FLAG, &opt.fixed, .help = "the client compares its two names, and aborts" },
	{ '\0', "udp", ARG_FLAG, &opt.udp, .help = "UDP instead of TCP" },
	{ '\0', "tries", ARG_COUNT, &opt.tries, 1, 0, "MAX", "give up after so many; unless given, 20 for each port that the kernel chooses "
	  "among, or 2 when it is impossible" },
	{ '\0', "time", ARG_DURATION, &opt.time_ns, 1, 0, "D", "give up after so long" },
	{ '\0', "hold", ARG_DURATION, &opt.hold_ns, 1, 0, "D", "keep the connection for so long: look at it "
	  "with ss, start its server" },
	{ '4', "ipv4", ARG_FLAG, &opt.ipv4, .help = "127.0.0.1 (the default)" },
	{ '6', "ipv6", ARG_FLAG, &opt.ipv6, .help = "::1" },
	{ '\0', "json", ARG_FLAG, &opt.json, .help = "one JSON object a line on standard output" },
	{ 0 },
};
/* clang-format on */

static const struct arg_spec spec = {
	.tool = "selfconnect",
	.one_line = "connects a client to itself, and shows what that does to its server",
	.synopsis = synopsis,
	.about = about,
	.args = rows,
	.examples = examples,
	.exit_statuses = exit_statuses,
	.see_also = "tcplab(1), ip(7), tcp(7), RFC 9293 3.5. The experiment: labs/20-self-connect.",
};

static void parse_options(int argc, char **argv)
{
	int first = args_parse(&spec, argc, argv);
	if (first < argc && (!units_parse_count(argv[first], &opt.port) || opt.port >= PORTRANGE_ALL))
		args_misuse("'%s' is no port", argv[first]);
	if (first + 1 < argc)
		args_misuse("'%s' is too much", argv[first + 1]);
	if (opt.fixed && opt.hold_ns != 0)
		args_misuse("--fixed lets go at once: leave out --hold");
	if (opt.ipv4 && opt.ipv6)
		args_misuse("-4 and -6 exclude each other");
}

int main(int argc, char **argv)
{
	diag_tool = "selfconnect";
	setvbuf(stdout, NULL, _IOLBF, 0);
	parse_options(argc, argv);
	sig_open();
	sig_let_in(true); /* into connect(2), above all */

	struct selfconnect_findings f = { 0 };
	struct net_error e = { 0 };
	int status = experiment(&f, &e);
	if (status < 0)
		record_error(opt.json, &e);
	else
		selfconnect_report_total(&opt, &f);
	return record_finish(sig_exit_status(status < 0 ? 1 : status));
}
