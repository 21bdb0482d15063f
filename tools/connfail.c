/* connfail - the ways in which a connect(2) fails, how long each takes, and two ways not to notice.
 *
 * Try:       connfail                     four ports made here: open, closed, silent, full; a plain connect(2) to each
 *            connfail --writable          a non-blocking one, and "writable" is taken for "connected"
 *            connfail --fixed             with a deadline, and SO_ERROR decides
 *            connfail --fixed localhost:22 192.0.2.1:80 [::1]:80
 *            connfail silent --syn-retries 1 --timeout 10         the kernel's own patience, made shorter
 * Look for:  PITFALL below, twice; and `meaning`, which says what each errno tells about the network.
 * Labs:      29-connect-failures.
 *
 * A connect(2) sends a SYN, and what comes back decides:
 *
 *     SYN,ACK       somebody listens                                     connected
 *     RST           the host is there, nobody listens                    ECONNREFUSED
 *     ICMP          a router or a firewall says why not                  EHOSTUNREACH, ECONNREFUSED, EACCES ...
 *     nothing       a firewall that drops, a host that is off, a full    the SYN again after 1 s, and again ...
 *                   backlog: they cannot be told apart                   and, two minutes later, ETIMEDOUT
 *     (not sent)    this host has no route                               ENETUNREACH, at once
 *
 * A silent port needs no firewall here: a packet filter of one instruction on the listening socket throws away whatever
 * comes in (pitfall/cable.h). To the client that is a cable which has been cut.
 *
 * The chapters: the four ports, one attempt, the three ways to make it, what it means, reports, options and main. */
#include "args.h"
#include "clock.h"
#include "diag.h"
#include "netcount.h"
#include "record.h"
#include "sig.h"
#include "sock.h"
#include "tcpinfo.h"
#include "units.h"

#include "pitfall/cable.h"
#include "pitfall/stage.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

enum { DEFAULT_PORT = 80, SYNS_MAX = 32, LOOK_NS = 5 * NS_PER_MS, HOST_TEXT = 256 };

struct options {
	struct stage stage;
	bool writable, fixed;
	uint64_t syn_retries, user_timeout_ns, send_timeout_ns; /* 0: as the system has it */
};

/* What became of an attempt. */
enum outcome { CONNECTED, FAILED, WAITING, DEADLINE, BELIEVED, OUTCOMES };
static const char *const outcome_names[OUTCOMES] = { "connected", "failed", "waiting", "deadline", "believed" };

struct attempt {
	const char *target; /* as it was asked for */
	struct addr to;
	enum outcome outcome;
	int error;    /* the errno of connect(2), or SO_ERROR */
	bool at_once; /* it failed before anything was sent */
	int sends[2]; /* BELIEVED: the errno of the first send(2), and of the second */
	uint64_t began_ns, elapsed_ns;
	size_t n_syns;             /* that were sent ... */
	uint64_t syn_ns[SYNS_MAX]; /* ... and how long after the first one */
	uint64_t overflows;        /* connections that this host's listeners refused meanwhile for a full backlog */
};

struct tally {
	unsigned n[OUTCOMES], attempts;
	bool is_wrong; /* a port of ours was not found to be what it is */
};

/* --- the four ports ---------------------------------------------------------------------------------------------- */

/* A listener on loopback that nobody accepts from. */
static int listener(const struct options *o, struct addr *bound)
{
	const struct sock_options none = { 0 };
	struct net_error e = { 0 };
	int fd = sock_serve(o->stage.ipv6 ? "::1" : "127.0.0.1", 0, AF_UNSPEC, &none, bound, &e);
	if (fd < 0)
		stage_fail(&o->stage, &e);
	return fd;
}

static void make_silent(const struct options *o, int fd, const struct addr *bound)
{
	struct net_error e = { 0 };
	(void)bound;
	if (cable_cut(fd, &e) < 0)
		stage_fail(&o->stage, &e);
}

/* Backlog 0 is room for one connection (listen(2), and Linux counts one more). Here it is; nobody will accept it. */
static void make_full(const struct options *o, int fd, const struct addr *bound)
{
	const struct sock_options none = { 0 };
	struct net_error e = { 0 };
	struct io_until until = { .deadline_ns = clk_mono_ns() + UINT64_C(10) * NS_PER_S, .cancel = sig_flag() };
	if (listen(fd, 0) < 0)
		stage_fail_errno(&o->stage, "listen", "a backlog of 0");
	if (sock_connect(bound, 1, NULL, &none, &until, &e) < 0) /* it stays open as long as we live */
		stage_fail(&o->stage, &e);
}

/* Bound, and not listening: nobody else can take the port meanwhile. */
static int bound_only(const struct options *o, struct addr *bound)
{
	struct net_error e = { 0 };
	if (addr_literal(o->stage.ipv6 ? "::1" : "127.0.0.1", 0, AF_UNSPEC, bound, &e) < 0)
		stage_fail(&o->stage, &e);
	int fd = socket(bound->u.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, &bound->u.sa, bound->len) < 0 || addr_of_socket(fd, bound) < 0)
		stage_fail_errno(&o->stage, "bind", "loopback");
	return fd;
}

static const struct port {
	const char *name;
	int (*open)(const struct options *o, struct addr *bound);
	void (*make)(const struct options *o, int fd, const struct addr *bound);
	enum outcome truth; /* what there is to be found, and with which errno */
	int error;
} ports[] = {
	{ "open", listener, NULL, CONNECTED, 0 },
	{ "closed", bound_only, NULL, FAILED, ECONNREFUSED },
	{ "silent", listener, make_silent, DEADLINE, ETIMEDOUT },
	{ "full", listener, make_full, DEADLINE, ETIMEDOUT },
};

/* --- one attempt ------------------------------------------------------------------------------------------------- */

static bool is_bounded(const struct options *o)
{
	return o->syn_retries != 0 || o->user_timeout_ns != 0 || o->send_timeout_ns != 0;
}

/* The kernel's own patience, where somebody wants it to be another one. */
static void set_bounds(const struct options *o, int fd)
{
	int retries = (int)o->syn_retries;
	unsigned timeout_ms = (unsigned)((o->user_timeout_ns + NS_PER_MS - 1) / NS_PER_MS);
	struct timeval tv = { .tv_sec = (time_t)(o->send_timeout_ns / NS_PER_S),
			      .tv_usec = (suseconds_t)(o->send_timeout_ns % NS_PER_S / NS_PER_US) };
	if ((retries != 0 && setsockopt(fd, IPPROTO_TCP, TCP_SYNCNT, &retries, sizeof(retries)) < 0) ||
	    (timeout_ms != 0 && setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms, sizeof(timeout_ms)) < 0) ||
	    (o->send_timeout_ns != 0 && setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)) < 0))
		stage_fail_errno(&o->stage, "setsockopt", "a connection's patience");
}

/* The first SYN leaves in connect(2). The kernel counts the others and has no event for them: one looks. */
static void note_syns(struct attempt *a, int fd)
{
	struct tcpinfo info;
	uint64_t now_ns = clk_mono_ns() - a->began_ns;
	if (tcpinfo_get(fd, &info) < 0)
		return;
	for (; a->n_syns < SYNS_MAX && a->n_syns < 1 + info.retransmits; a->n_syns++)
		a->syn_ns[a->n_syns] = a->n_syns == 0 ? 0 : now_ns;
}

/* Until `fd` is ready, --timeout is over, or a signal has come. 0: ready. */
static int watch(const struct options *o, struct attempt *a, int socket_fd, int fd, short events)
{
	uint64_t deadline_ns = a->began_ns + o->stage.timeout_ns, now_ns = a->began_ns;
	int rc = -1;
	while (rc < 0 && now_ns < deadline_ns && sig_pending(NULL) == 0) {
		rc = sig_wait_fd(fd, events, deadline_ns - now_ns < LOOK_NS ? deadline_ns - now_ns : LOOK_NS);
		if (rc < 0 && errno != ETIMEDOUT && errno != ECANCELED)
			stage_fail_errno(&o->stage, "poll", a->target);
		note_syns(a, socket_fd);
		now_ns = clk_mono_ns();
	}
	return rc;
}

static void decide(struct attempt *a, int error)
{
	a->error = error;
	a->outcome = error == 0 ? CONNECTED : FAILED;
}

/* --- three ways to make it --------------------------------------------------------------------------------------- */

/* PITFALL: connect(2) on a blocking socket has no deadline. When nothing comes back it sends the SYN again and again,
 * for as long as the sysctl tcp_syn_retries says, by default more than two minutes (tcp(7)); and meanwhile this
 * thread does nothing else. Ours is a child that can be killed, so that there is a report. */
static void connect_blocking(const struct options *o, struct attempt *a, int fd)
{
	int ends[2], error = 0;
	if (pipe2(ends, O_CLOEXEC) < 0)
		stage_fail_errno(&o->stage, "pipe2", "two ends");
	pid_t pid = fork();
	if (pid < 0)
		stage_fail_errno(&o->stage, "fork", "a client");
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		error = connect(fd, &a->to.u.sa, a->to.len) < 0 ? errno : 0;
		tracef("connect(%d) = %d %s", fd, error == 0 ? 0 : -1, error == 0 ? "" : errno_name(error));
		_exit(write(ends[1], &error, sizeof(error)) == sizeof(error) ? 0 : 1);
	}
	close(ends[1]);
	a->outcome = WAITING;
	if (watch(o, a, fd, ends[0], POLLIN) == 0 && read(ends[0], &error, sizeof(error)) == sizeof(error))
		decide(a, error);
	close(ends[0]);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* A non-blocking connect(2): it is on its way. False: it is not, and why is in a->error. */
static bool begin_connect(struct attempt *a, int fd)
{
	int rc = connect(fd, &a->to.u.sa, a->to.len);
	int error = rc < 0 ? errno : 0;
	tracef("connect(%d) = %d %s", fd, rc, error == 0 ? "" : errno_name(error));
	if (error == EINPROGRESS || error == 0)
		return true;
	decide(a, error);
	a->at_once = true;
	return false;
}

static int send_hello(int fd)
{
	ssize_t n = send(fd, "hello", 5, MSG_NOSIGNAL | MSG_DONTWAIT);
	int error = n < 0 ? errno : 0;
	tracef("send(%d, 5) = %zd %s", fd, n, error == 0 ? "" : errno_name(error));
	return error;
}

static void connect_writable(const struct options *o, struct attempt *a, int fd)
{
	if (!begin_connect(a, fd))
		return;
	a->outcome = DEADLINE;
	if (watch(o, a, fd, fd, POLLOUT) < 0)
		return;
	/* PITFALL: "poll says that it can be written to, so it is connected." poll(2) says that a call would not
	 * block, and one that fails at once does not block either: a connection that was refused is writable, too.
	 * The program goes on, and hears of the refusal from its first send(2), or its first recv(2), where it does
	 * not expect it. */
	a->sends[0] = send_hello(fd);
	a->sends[1] = send_hello(fd);
	a->outcome = a->sends[0] != 0 ? BELIEVED : CONNECTED;
}

/* What both of them lack: a deadline of our own, and the question what came of it (connect(2), EINPROGRESS). */
static void connect_fixed(const struct options *o, struct attempt *a, int fd)
{
	int error = 0;
	socklen_t len = sizeof(error);
	if (!begin_connect(a, fd))
		return;
	a->outcome = DEADLINE;
	if (watch(o, a, fd, fd, POLLOUT) < 0)
		return;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		error = errno;
	tracef("getsockopt(%d, SO_ERROR) = %s", fd, error == 0 ? "0" : errno_name(error));
	decide(a, error);
}

static void make_attempt(const struct options *o, struct attempt *a)
{
	struct netcounts before = { 0 }, after = { 0 };
	struct net_error e;
	bool is_blocking = !o->writable && !o->fixed;
	int fd = socket(a->to.u.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC | (is_blocking ? 0 : SOCK_NONBLOCK), 0);
	if (fd < 0)
		stage_fail_errno(&o->stage, "socket", a->target);
	set_bounds(o, fd);
	bool can_count = netcount_read(&before, &e) == 0;
	a->began_ns = clk_mono_ns();
	if (is_blocking)
		connect_blocking(o, a, fd);
	else
		(o->fixed ? connect_fixed : connect_writable)(o, a, fd);
	a->elapsed_ns = clk_mono_ns() - a->began_ns;
	if (a->outcome == CONNECTED &&
	    getpeername(fd, &(struct addr){ 0 }.u.sa, &(socklen_t){ sizeof(struct sockaddr) }) < 0)
		decide(a, errno); /* nobody is at the other end, whatever we believed */
	if (can_count && netcount_read(&after, &e) == 0) {
		a->overflows = netcount_since(&before, &after, "TcpExtListenOverflows");
		/* A plain connect(2) that fails does not say whether it has sent something. The kernel counts those
		 * that have. */
		a->at_once |= a->outcome == FAILED && netcount_since(&before, &after, "TcpActiveOpens") == 0;
	}
	if (a->at_once)
		a->n_syns = 0;
	close(fd);
}

/* --- what it means ----------------------------------------------------------------------------------------------- */

static uint64_t sysctl_number(const char *name, uint64_t otherwise)
{
	char path[64];
	uint64_t value = otherwise;
	snprintf(path, sizeof(path), "/proc/sys/net/ipv4/%s", name);
	FILE *f = fopen(path, "re");
	if (f == NULL)
		return otherwise;
	if (fscanf(f, "%" SCNu64, &value) != 1)
		value = otherwise;
	fclose(f);
	return value;
}

/* When the kernel gives up by itself, in seconds. The SYN is sent again after 1, 1, ... (tcp_syn_linear_timeouts
 * times) and then after 1, 2, 4, ... s; it ends when a timer comes and as much time is over as `retries` doublings
 * need, or there were as many SYNs (net/ipv4/tcp_timer.c, tcp_write_timeout; RFC 6298 2: the first timeout is 1 s).
 * */
static uint64_t kernel_patience_s(uint64_t retries, uint64_t linear)
{
	uint64_t now_s = 0, wait_s = 1, again = 0;
	uint64_t model_s = retries < 32 ? (UINT64_C(2) << retries) - 1 : UINT64_MAX;
	for (;;) {
		now_s += wait_s;
		if (again >= retries + linear || now_s >= model_s)
			return now_s;
		again++;
		if (again > linear && wait_s < 120)
			wait_s = wait_s * 2 < 120 ? wait_s * 2 : 120;
	}
}

static const char *meaning(const struct attempt *a)
{
	static const struct {
		int error;
		const char *at_once, *later; /* from connect(2) itself; after something was sent */
	} meanings[] = {
		{ ECONNREFUSED, "a rule of this host says no: nothing was sent",
		  "a reset came back: the host is there, and nobody listens on this port; or a firewall says so" },
		{ ETIMEDOUT, "nothing was sent", "no answer to any SYN, and the kernel gave up" },
		{ EHOSTUNREACH, "a route of this host says \"unreachable\": nothing was sent",
		  "an ICMP message: a router or a firewall says no; or nobody on the network answers for the address" },
		{ ENETUNREACH, "this host has no route there: nothing was sent",
		  "an ICMP message: a router has no route" },
		{ EINVAL, "a route of this host says \"blackhole\": nothing was sent", "the address makes no sense" },
		{ EACCES, "a route of this host says \"prohibit\", or it is a broadcast address: nothing was sent",
		  "an ICMP message: it is forbidden" },
		{ EPERM, "a packet filter of this host threw the SYN away", "a packet filter of this host" },
		{ EADDRNOTAVAIL, "no local port is free, or the address is not ours: nothing was sent",
		  "no local address" },
		{ EINPROGRESS, "on its way", "SO_SNDTIMEO is over; the kernel goes on without us" },
	};
	if (a->outcome == CONNECTED)
		return "SYN, SYN+ACK, ACK: somebody listens";
	if (a->outcome == WAITING)
		return "nothing comes back, and connect(2) does not return";
	if (a->outcome == DEADLINE)
		return "nothing came back: dropped by a firewall, a host that is off, a full backlog";
	if (a->outcome == BELIEVED)
		return "writable, so it was taken for connected; what send(2) says is the errno of connect(2)";
	for (size_t i = 0; i < COUNT_OF(meanings); i++)
		if (meanings[i].error == a->error)
			return a->at_once ? meanings[i].at_once : meanings[i].later;
	return strerror(a->error);
}

/* --- reports ----------------------------------------------------------------------------------------------------- */

static const char *how(const struct options *o)
{
	return o->fixed ? "fixed" : o->writable ? "writable" : "blocking";
}

static void report_start(const struct options *o)
{
	uint64_t retries = o->syn_retries != 0 ? o->syn_retries : sysctl_number("tcp_syn_retries", 6);
	uint64_t linear = sysctl_number("tcp_syn_linear_timeouts", 0); /* before Linux 6.5 there is none */
	uint64_t patience_s = kernel_patience_s(retries, linear);
	char text[UNITS_TEXT];
	if (!o->stage.json) {
		printf("%s; we look for %s\nthe kernel gives up after %" PRIu64 " s: tcp_syn_retries %" PRIu64
		       ", tcp_syn_linear_timeouts %" PRIu64 "\n",
		       o->fixed      ? "a non-blocking connect(2), a deadline, and SO_ERROR"
		       : o->writable ? "a non-blocking connect(2), and \"writable\" is \"connected\""
				     : "a plain connect(2)",
		       units_duration(text, o->stage.timeout_ns), patience_s, retries, linear);
		return;
	}
	struct json j;
	record_begin(&j, "start");
	json_str(&j, "how", how(o));
	json_u64(&j, "timeout_ns", o->stage.timeout_ns);
	json_u64(&j, "syn_retries", retries);
	json_u64(&j, "syn_linear_timeouts", linear);
	json_u64(&j, "kernel_gives_up_ns", patience_s * NS_PER_S);
	json_end(&j);
}

static void print_attempt(const struct attempt *a)
{
	char address[ADDR_TEXT], text[UNITS_TEXT];
	printf("%-8s %s: ", a->target, addr_text(&a->to, address));
	if (a->outcome == BELIEVED)
		printf("taken for connected; send: %s, then %s", errno_name(a->sends[0]),
		       a->sends[1] != 0 ? errno_name(a->sends[1]) : "well");
	else
		printf("%s", a->outcome == CONNECTED  ? "connected"
			     : a->outcome == FAILED   ? errno_name(a->error)
			     : a->outcome == DEADLINE ? "our deadline"
						      : "still waiting");
	printf(", after %s, %zu SYN%s", units_duration(text, a->elapsed_ns), a->n_syns, a->n_syns == 1 ? "" : "s");
	for (size_t i = 0; i < a->n_syns && a->n_syns > 1; i++)
		printf("%s%.2f", i == 0 ? ": at " : ", ", (double)a->syn_ns[i] / NS_PER_S);
	printf("%s\n         %s\n", a->n_syns > 1 ? " s" : "", meaning(a));
	if (a->overflows != 0)
		printf("         the server's host knows: TcpExtListenOverflows +%" PRIu64 "\n", a->overflows);
}

static void report_attempt(const struct options *o, const struct attempt *a)
{
	char address[ADDR_TEXT];
	struct json j;
	if (!o->stage.json) {
		print_attempt(a);
		return;
	}
	record_begin(&j, "attempt");
	json_str(&j, "target", a->target);
	json_str(&j, "address", addr_text(&a->to, address));
	json_str(&j, "outcome", outcome_names[a->outcome]);
	json_str(&j, "errno", stage_symbol(a->error));
	json_bool(&j, "at_once", a->at_once);
	json_u64(&j, "elapsed_ns", a->elapsed_ns);
	json_u64(&j, "syns", a->n_syns);
	json_array(&j, "syn_ns");
	for (size_t i = 0; i < a->n_syns; i++)
		json_u64(&j, NULL, a->syn_ns[i]);
	json_close(&j);
	json_str(&j, "first_send", stage_symbol(a->sends[0]));
	json_str(&j, "second_send", stage_symbol(a->sends[1]));
	json_u64(&j, "listen_overflows", a->overflows);
	json_str(&j, "meaning", meaning(a));
	json_end(&j);
}

/* A name without an address: a way to fail, too, and connect(2) is never called. */
static void report_no_name(const struct options *o, const char *target, const struct net_error *e)
{
	struct json j;
	if (!o->stage.json) {
		printf("%-8s %s: no address to connect to\n", target, net_error_symbol(e));
		return;
	}
	record_begin(&j, "attempt");
	json_str(&j, "target", target);
	json_null(&j, "address");
	json_str(&j, "outcome", "failed");
	json_str(&j, "errno", net_error_symbol(e));
	json_end(&j);
}

static void report_total(const struct options *o, const struct tally *t, bool as_promised)
{
	struct json j;
	if (!o->stage.json)
		return;
	record_begin(&j, "total");
	json_str(&j, "how", how(o));
	json_u64(&j, "attempts", t->attempts);
	for (size_t i = 0; i < OUTCOMES; i++)
		json_u64(&j, outcome_names[i], t->n[i]);
	json_bool(&j, "as_promised", as_promised);
	json_bool(&j, "interrupted", sig_pending(NULL) != 0);
	json_end(&j);
}

/* --- the run ----------------------------------------------------------------------------------------------------- */

/* Cuts "HOST:PORT", "[V6]:PORT", "HOST" or a bare IPv6 address; false: it is none of these. */
static bool split(const char *target, char host[static HOST_TEXT], uint64_t *port)
{
	const char *colon = strrchr(target, ':'), *end = target + strlen(target);
	bool is_bracketed = target[0] == '[';
	if (is_bracketed ? colon != NULL && colon[-1] == ']' : colon != NULL && strchr(target, ':') == colon) {
		if (!units_parse_count(colon + 1, port) || *port == 0 || *port > UINT16_MAX)
			return false;
		end = colon;
	}
	if (is_bracketed && (end - target < 3 || end[-1] != ']'))
		return false;
	int len = (int)(end - target) - 2 * is_bracketed;
	return len > 0 && snprintf(host, HOST_TEXT, "%.*s", len, target + is_bracketed) < HOST_TEXT;
}

static void count(struct tally *t, const struct attempt *a, const struct port *p)
{
	t->attempts++;
	t->n[a->outcome]++;
	/* A deadline of the kernel's that is shorter than ours is the same answer: ETIMEDOUT. */
	if (p != NULL && a->outcome != p->truth && a->error != p->error)
		t->is_wrong = true;
}

static void try_port(const struct options *o, const struct port *p, struct tally *t)
{
	struct attempt a = { .target = p->name };
	int fd = p->open(o, &a.to);
	if (p->make != NULL)
		p->make(o, fd, &a.to);
	make_attempt(o, &a);
	count(t, &a, p);
	report_attempt(o, &a);
	close(fd);
}

/* Each address that the name has: one may fail where another one does not. */
static void try_host(const struct options *o, const char *target, struct tally *t)
{
	struct addr list[ADDR_MAX];
	struct net_error e = { 0 };
	char host[HOST_TEXT];
	uint64_t port = o->stage.port;
	split(target, host, &port);
	int n = addr_resolve(host, (uint16_t)port, stage_family(&o->stage), list, ADDR_MAX, &e);
	if (n < 0) {
		t->attempts++;
		t->n[FAILED]++;
		report_no_name(o, target, &e);
	}
	for (int i = 0; i < n && sig_pending(NULL) == 0; i++) {
		struct attempt a = { .target = target, .to = list[i] };
		make_attempt(o, &a);
		count(t, &a, NULL);
		report_attempt(o, &a);
	}
}

static const struct port *find_port(const char *name)
{
	for (size_t i = 0; i < COUNT_OF(ports); i++)
		if (strcmp(name, ports[i].name) == 0)
			return &ports[i];
	return NULL;
}

/* Has it shown what it is there for? A plain connect(2) that somebody waits for in vain, unless its patience was
 * limited; an error that is found out too late; or nothing of both. */
static bool is_as_promised(const struct options *o, const struct tally *t)
{
	if (o->fixed)
		return t->n[WAITING] == 0 && t->n[BELIEVED] == 0 && !t->is_wrong;
	if (o->writable)
		return t->n[BELIEVED] > 0;
	return is_bounded(o) ? t->n[WAITING] == 0 : t->n[WAITING] > 0;
}

/* Only ports of our own, and one of them silent? Then they may as well be in a network of our own. */
static bool is_for_cable(char **targets)
{
	bool has_silent = *targets == NULL;
	for (; *targets != NULL; targets++) {
		const struct port *p = find_port(*targets);
		if (p == NULL)
			return false;
		has_silent |= p->make == make_silent;
	}
	return has_silent;
}

static int run(const struct options *o, char **targets)
{
	struct tally t = { 0 };
	struct net_error e = { 0 };
	if (is_for_cable(targets) && cable_prepare(&e) < 0)
		stage_fail(&o->stage, &e);
	report_start(o);
	for (size_t i = 0; *targets == NULL && i < COUNT_OF(ports) && sig_pending(NULL) == 0; i++)
		try_port(o, &ports[i], &t);
	for (; *targets != NULL && sig_pending(NULL) == 0; targets++) {
		const struct port *p = find_port(*targets);
		if (p != NULL)
			try_port(o, p, &t);
		else
			try_host(o, *targets, &t);
	}
	bool as_promised = is_as_promised(o, &t);
	report_total(o, &t, as_promised);
	return sig_exit_status(as_promised ? 0 : 3);
}

/* --- options and main -------------------------------------------------------------------------------------------- */

static const char *const synopsis[] = {
	"[TARGET...] [--writable | --fixed] [options]",
	NULL,
};

static const char *const about[] = {
	"connfail connects to each TARGET, and says what came of it: the errno, how long it took, how many SYNs "
	"were sent and when, and what that tells about the network between the two.",
	"A TARGET is HOST, HOST:PORT or [IPV6]:PORT; or one of four ports that are made on this host for the "
	"occasion: open (somebody listens), closed (nobody does), silent (whatever arrives is "
	"thrown away, as a firewall would), full (a server that does not accept, and whose backlog is full). "
	"Without a TARGET it is these four.",
	"As it is first, connect(2) is a plain one, which has no deadline. With --writable it is a non-blocking "
	"one, and a socket that is writable is taken for connected, which one that was refused is, too. With "
	"--fixed there is a deadline (--timeout), and SO_ERROR says what came of it.",
	NULL,
};

static const struct arg_example examples[] = {
	{ "connfail", "four ports, four answers, and two that never come" },
	{ "connfail --writable closed", "a refused connection that was taken for a good one" },
	{ "connfail --fixed", "all four found out, none later than the deadline" },
	{ "connfail --fixed www.example.org:81 --timeout 5", "a port behind a firewall" },
	{ "connfail silent --syn-retries 1 --timeout 10", "the kernel gives up, sooner" },
	{ "connfail silent --user-timeout 1500ms", "the same by time" },
	{ 0 },
};

static const struct arg_example statuses[] = {
	{ "3",
	  "nobody had to wait (plain), nothing was taken for connected (--writable), or --fixed did not find out" },
	{ 0 },
};

static struct options parse_options(int argc, char **argv, int *first)
{
	struct options o = { .stage = { .port = DEFAULT_PORT, .timeout_ns = UINT64_C(3) * NS_PER_S } };
	/* clang-format off */
	const struct arg rows[] = {
		{ '\0', "writable", ARG_FLAG, &o.writable, .help = "take a socket that is writable for one that is connected" },
		{ '\0', "fixed", ARG_FLAG, &o.fixed, .help = "with a deadline, and look at SO_ERROR" },
		{ 'p', "port", ARG_PORT, &o.stage.port, .value_name = "PORT", .help = "of a TARGET that names none" },
		{ '\0', "syn-retries", ARG_COUNT, &o.syn_retries, 0, 127, "N", "the kernel's patience, TCP_SYNCNT; 0: as tcp_syn_retries says" },
		{ '\0', "user-timeout", ARG_DURATION, &o.user_timeout_ns, 0, STAGE_DAY_NS, "D", "the kernel's patience, TCP_USER_TIMEOUT; 0: none" },
		{ '\0', "send-timeout", ARG_DURATION, &o.send_timeout_ns, 0, STAGE_DAY_NS, "D", "SO_SNDTIMEO, which a plain connect(2) heeds; 0: none" },
		STAGE_COMMON_ROWS(o.stage),
		{ 0 },
	};
	/* clang-format on */
	const struct arg_spec spec = {
		.tool = "connfail",
		.one_line = "shows the ways in which a connect(2) fails, and how long each of them takes",
		.synopsis = synopsis,
		.about = about,
		.args = rows,
		.examples = examples,
		.exit_statuses = statuses,
		.see_also = "tcplab(1), connect(2), tcp(7), icmp(7). Each figure explained: docs/tools/connfail.md.",
	};
	*first = args_parse(&spec, argc, argv);
	return o;
}

static void check_options(const struct options *o, char **targets)
{
	char host[HOST_TEXT];
	uint64_t port;
	stage_check_family(&o->stage);
	if (o->writable && o->fixed)
		args_misuse("--writable is what --fixed does not do");
	if (o->stage.port == 0)
		args_misuse("nobody can listen on port 0");
	for (; *targets != NULL; targets++)
		if (find_port(*targets) == NULL && !split(*targets, host, &port))
			args_misuse("'%s' is none of HOST, HOST:PORT, [IPV6]:PORT, open, closed, silent, full",
				    *targets);
}

int main(int argc, char **argv)
{
	int first;
	diag_tool = "connfail";
	setvbuf(stdout, NULL, _IOLBF, 0);
	struct options o = parse_options(argc, argv, &first);
	check_options(&o, argv + first);
	sig_open();
	return record_finish(run(&o, argv + first));
}
