/* timewait - who closes first has the connection for another minute: a server cannot start, a client has no ports.
 *
 * Try:       timewait rebind              a server that closed first cannot have its port back
 *            timewait rebind --fixed      SO_REUSEADDR, on both; or let the clients close first
 *            timewait exhaust             a client with 100 ports: 100 connections, and then none for a minute
 *            timewait exhaust --wait 1.5  and a little later?
 *            timewait exhaust --fixed     1000 connections from the same 100 ports, in three ways
 *            timewait bind                bind(2) before connect(2): the ports are gone for all servers at once
 *            timewait exhaust --trace     each system call
 * Look for:  PITFALL below, three times; and ss -tan state time-wait, within a minute.
 * Labs:      23-time-wait.
 *
 * Somebody has to send the last acknowledgement, and cannot know whether it arrived. So the end that closed first stays
 * for two segment lifetimes: to answer the other's FIN once more, and to keep old segments out of the next connection
 * (RFC 9293 3.6.1):
 *
 *     closes first                            closes second
 *     ESTABLISHED   -------- FIN ------->     CLOSE-WAIT
 *     FIN-WAIT-2    <------- ACK --------
 *     TIME-WAIT     <------- FIN --------     LAST-ACK
 *        60 s       -------- ACK ------->     gone
 *
 * No program has it open any more, and nobody can close it: what is in TIME-WAIT is two addresses and two ports. A
 * server at that end misses its port, a client at that end misses one of those that the kernel could have given it.
 *
 * The chapters: reports, the server, the client, visits, the experiments, options and main.
 *
 * LIMIT: Linux. The 60 s are compiled into the kernel (TCP_TIMEWAIT_LEN), and nothing here waits for their end. With
 * --ports 0 all of the range is taken for free. */
#include "addr.h"
#include "args.h"
#include "clock.h"
#include "diag.h"
#include "os.h"
#include "pitfall/stage.h"
#include "record.h"
#include "sig.h"
#include "sock.h"
#include "sockdiag.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef IP_LOCAL_PORT_RANGE
#define IP_LOCAL_PORT_RANGE 51 /* Linux 6.3; ip(7) */
#endif
#ifndef IP_BIND_ADDRESS_NO_PORT
#define IP_BIND_ADDRESS_NO_PORT 24 /* Linux 4.2; ip(7) */
#endif

enum { PORTS_MAX = 1000, PORT_FIRST = 1024, PORT_LAST = 65535 };

enum closer { CLIENT, SERVER, RESET, ONCE }; /* who ends a connection; ONCE: one for all visits, and then the client */
enum source { CHOSEN, BOUND_FIRST, BOUND_LATER }; /* where a client's port comes from */

struct options {
	struct stage stage; /* no HOST and no -p here: both ends are ours */
	const char *experiment;
	bool fixed;
	uint64_t ports, visits, wait_ns;
	unsigned low, high; /* the client's ports, if the tool has chosen them (is_narrow) */
	bool is_narrow;
	uint64_t free; /* of these, that nobody else has */
};

/* One line of the report: what is tried, what is promised of it, what was found. */
struct trial {
	const char *name, *text;
	enum closer closer;
	enum source source;
	bool first_reuse, second_reuse,
		listens_on; /* rebind: SO_REUSEADDR at the first start, at the second; no end between */

	uint64_t wanted, promised; /* promised: so many done; ANY_NUMBER */
	int promised_error;

	uint64_t done;
	const char *op; /* that failed, or NULL */
	int error;
	uint64_t at_client, at_server; /* connections in TIME-WAIT */
	uint64_t elapsed_ns;
	bool as_promised;
};
#define ANY_NUMBER UINT64_MAX

static struct tally {
	unsigned trials, as_promised;
} tally;

/* --- reports ----------------------------------------------------------------------------------------------------- */

/* A number of the kernel's, or -1: it has none of that name. */
static int64_t sysctl(const char *name)
{
	char path[128], line[64];
	snprintf(path, sizeof(path), "/proc/sys/net/ipv4/%s", name);
	return os_read_line(path, line, sizeof(line)) < 0 ? -1 : atoll(line);
}

static void report_start(const struct options *o, const char *text)
{
	if (!o->stage.json) {
		printf("%s: %s\n", o->experiment, text);
		if (o->is_narrow && o->free < o->ports)
			printf("  (of its %" PRIu64 " ports others have %" PRIu64 ")\n", o->ports, o->ports - o->free);
		return;
	}
	struct json j;
	record_begin(&j, "start");
	json_str(&j, "experiment", o->experiment);
	json_bool(&j, "fixed", o->fixed);
	json_u64(&j, "ports", o->ports);
	json_u64(&j, "free_ports", o->free);
	json_u64(&j, "first_port", o->low);
	json_i64(&j, "tcp_tw_reuse", sysctl("tcp_tw_reuse"));
	json_i64(&j, "tcp_max_tw_buckets", sysctl("tcp_max_tw_buckets"));
	json_end(&j);
}

static void print_trial(const struct trial *t)
{
	char how[64];
	if (t->wanted == 1)
		snprintf(how, sizeof(how), "bind: %s", t->error != 0 ? errno_name(t->error) : "well");
	else if (t->op != NULL)
		snprintf(how, sizeof(how), "%" PRIu64 ", then %s: %s", t->done, t->op, errno_name(t->error));
	else
		snprintf(how, sizeof(how), "%" PRIu64, t->done);
	printf("  %-43s %-33s  TIME-WAIT: %" PRIu64 " at the client, %" PRIu64 " at the server\n", t->text, how,
	       t->at_client, t->at_server);
}

static void report_trial(const struct options *o, struct trial *t)
{
	t->as_promised = t->error == t->promised_error && (t->promised == ANY_NUMBER || t->done == t->promised);
	tally.trials++;
	tally.as_promised += t->as_promised;
	if (!o->stage.json) {
		print_trial(t);
		return;
	}
	struct json j;
	record_begin(&j, "trial");
	json_str(&j, "name", t->name);
	json_u64(&j, "wanted", t->wanted);
	json_u64(&j, "succeeded", t->done);
	json_str(&j, "op", t->op);
	json_str(&j, "errno", stage_symbol(t->error));
	json_u64(&j, "time_wait_client", t->at_client);
	json_u64(&j, "time_wait_server", t->at_server);
	json_u64(&j, "elapsed_ns", t->elapsed_ns);
	json_bool(&j, "as_promised", t->as_promised);
	json_end(&j);
}

static void report_total(const struct options *o, const char *moral)
{
	if (!o->stage.json) {
		printf("%s\n", moral);
		return;
	}
	struct json j;
	record_begin(&j, "total");
	json_str(&j, "experiment", o->experiment);
	json_bool(&j, "fixed", o->fixed);
	json_u64(&j, "trials", tally.trials);
	json_bool(&j, "as_promised", tally.as_promised == tally.trials);
	json_bool(&j, "interrupted", sig_pending(NULL) != 0);
	json_end(&j);
}

/* How many connections of this server's port are in TIME-WAIT, at which end; asked again until none is on its way
 * there. */
static void count_time_wait(const struct options *o, const struct addr *server, struct trial *t)
{
	struct sockdiag d;
	struct net_error e = { 0 };
	const uint16_t port = addr_port(server);
	const struct sockdiag_filter filter = { .ports = &port, .n_ports = 1 };
	size_t on_their_way = 1;
	if (sockdiag_open(&d, &e) < 0)
		stage_fail(&o->stage, &e);
	for (int ms = 0; on_their_way > 0 && ms < 1000; ms++) {
		on_their_way = t->at_client = t->at_server = 0;
		if (sockdiag_dump(&d, &filter, &e) < 0)
			stage_fail(&o->stage, &e);
		for (size_t i = 0; i < d.n; i++) {
			const struct sockdiag_socket *s = &d.sockets[i];
			bool is_server = addr_port(&s->local) == port;
			if (s->state == SOCKDIAG_TIME_WAIT)
				*(is_server ? &t->at_server : &t->at_client) += 1;
			else
				on_their_way += s->state != SOCKDIAG_LISTEN;
		}
		if (on_their_way > 0)
			clk_sleep_until_ns(clk_mono_ns() + NS_PER_MS);
	}
	sockdiag_close(&d);
}

/* --- the server -------------------------------------------------------------------------------------------------- */

static struct addr loopback(const struct options *o, unsigned port)
{
	struct addr a;
	struct net_error e = { 0 };
	if (addr_literal(o->stage.ipv6 ? "::1" : "127.0.0.1", (uint16_t)port, AF_UNSPEC, &a, &e) < 0)
		stage_fail(&o->stage, &e);
	return a;
}

/* What a server does when it starts: a listening socket on *where, whose port may be 0, then *where says which it
 * became. -1 with errno: bind(2) did not give it. */
static int start_server(const struct options *o, struct addr *where, bool reuse)
{
	int on = 1, fd = socket(where->u.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		stage_fail_errno(&o->stage, "socket", "of the server");
	/* PITFALL: a server without this line starts well, and starts again well, as long as it was not the one who
	 * closed. After that its own connections in TIME-WAIT keep its port from it. The line has to be there from the
	 * first start on, and not only when it is needed: the kernel asks both, the socket that wants the port and
	 * those that hold it, and a connection has inherited what its listener had (socket(7)). It takes no port from
	 * a server that still listens. */
	if (reuse)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	int rc = bind(fd, &where->u.sa, where->len);
	tracef("bind(%d, port %u) = %d", fd, addr_port(where), rc);
	if (rc < 0 || listen(fd, 16) < 0) {
		int error = errno;
		close(fd);
		errno = error;
		return -1;
	}
	if (addr_of_socket(fd, where) < 0)
		stage_fail_errno(&o->stage, "getsockname", "of the server");
	return fd;
}

/* Which ports the kernel gives to those who do not care. */
static void read_range(const struct options *o, unsigned range[static 2])
{
	static const char file[] = "/proc/sys/net/ipv4/ip_local_port_range";
	char line[64];
	errno = EPROTO;
	if (os_read_line(file, line, sizeof(line)) < 0 || sscanf(line, "%u %u", &range[0], &range[1]) != 2)
		stage_fail_errno(&o->stage, "read", file);
}

/* A server whose port is none of those that clients are given: otherwise it takes one of theirs, and they may have
 * taken its. */
static int start_outside(const struct options *o, struct addr *where, bool reuse)
{
	unsigned range[2];
	read_range(o, range);
	const unsigned first = range[0] > 2 * PORT_FIRST ? PORT_FIRST : range[1] + 1;
	const unsigned end = range[0] > 2 * PORT_FIRST ? range[0] : PORT_LAST + 1;
	errno = EADDRINUSE;
	for (unsigned i = 0; first < end && i < 1000; i++) {
		*where = loopback(o, first + (unsigned)(os_random() % (end - first)));
		int fd = start_server(o, where, reuse);
		if (fd >= 0)
			return fd;
		if (errno != EADDRINUSE && errno != EACCES) /* EACCES: ip_unprivileged_port_start */
			break;
	}
	stage_fail_errno(&o->stage, "bind", "a server outside of ip_local_port_range");
}

/* --- the client -------------------------------------------------------------------------------------------------- */

/* From now on the kernel chooses this socket's port among these. It is clamped to ip_local_port_range (ip(7)). */
static void limit_ports(const struct options *o, int fd, unsigned low, unsigned high)
{
	uint32_t range = (uint32_t)high << 16 | low;
	if (setsockopt(fd, IPPROTO_IP, IP_LOCAL_PORT_RANGE, &range, sizeof(range)) == 0)
		return;
	struct net_error e = { 0 };
	net_fail(&e, "set", "IP_LOCAL_PORT_RANGE");
	if (e.sys == ENOPROTOOPT)
		e.reason = "this kernel has no such option (it came with Linux 6.3): make net.ipv4.ip_local_port_range "
			   "narrow and take --ports 0";
	stage_fail(&o->stage, &e);
}

/* Would the kernel give this port to a client, who binds first or not? At `nobody` nobody listens, so a connect(2)
 * that got as far as that had a port, and leaves no trace. */
static bool is_free(const struct options *o, unsigned port, bool binds, const struct addr *nobody)
{
	const struct addr here = loopback(o, 0);
	int fd = socket(nobody->u.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		stage_fail_errno(&o->stage, "socket", "to look for free ports");
	limit_ports(o, fd, port, port);
	int rc = binds ? bind(fd, &here.u.sa, here.len) : connect(fd, &nobody->u.sa, nobody->len);
	bool is_ours = rc == 0 || errno == ECONNREFUSED;
	close(fd);
	return is_ours;
}

/* So many ports in a row, anywhere in ip_local_port_range, of which others have as few as possible; with --ports 0 it
 * is all of that range. o->free: how many there are for us. */
static void choose_ports(struct options *o, bool binds)
{
	unsigned range[2];
	struct addr nobody = loopback(o, 0);
	read_range(o, range);
	const unsigned all = range[1] - range[0] + 1;
	o->low = range[0];
	o->is_narrow = o->ports != 0;
	if (!o->is_narrow) {
		o->ports = o->free = all;
		return;
	}
	if (o->ports > all) {
		errno = EADDRNOTAVAIL;
		stage_fail_errno(&o->stage, "find", "so many ports in ip_local_port_range");
	}
	int fd = socket(nobody.u.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, &nobody.u.sa, nobody.len) < 0 || addr_of_socket(fd, &nobody) < 0)
		stage_fail_errno(&o->stage, "bind", "a port where nobody listens");
	for (unsigned tries = 0; o->free < o->ports && tries < 20; tries++) {
		unsigned n = 0, low = range[0] + (unsigned)(os_random() % (all - o->ports + 1));
		for (unsigned i = 0; i < o->ports; i++)
			n += is_free(o, low + i, binds, &nobody);
		if (n >= o->free) {
			o->free = n;
			o->low = low;
			o->high = low + (unsigned)o->ports - 1;
		}
	}
	close(fd);
}

/* A connection to the server, or -1 with errno and t->op. */
static int start_client(const struct options *o, const struct addr *to, struct trial *t)
{
	const struct addr here = loopback(o, 0);
	int on = 1, fd = socket(to->u.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		stage_fail_errno(&o->stage, "socket", "of a client");
	if (o->is_narrow)
		limit_ports(o, fd, o->low, o->high);
	/* PITFALL: a client that binds itself to an address, because it has several, and leaves the port to the kernel
	 * (0). But bind(2) does not know yet where the connection will go, so it takes a port that nobody has, for
	 * anything: one that is in TIME-WAIT or in use with one server is taken for all others as well. The fix puts
	 * off the choice of the port to connect(2), which knows all four numbers (IP_BIND_ADDRESS_NO_PORT, ip(7)). */
	if (t->source == BOUND_LATER)
		setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
	t->op = "bind";
	int rc = t->source == CHOSEN ? 0 : bind(fd, &here.u.sa, here.len);
	if (rc == 0) {
		t->op = "connect";
		rc = connect(fd, &to->u.sa, to->len);
	}
	tracef("%s(%d) = %d", t->op, fd, rc);
	if (rc == 0) {
		t->op = NULL;
		return fd;
	}
	t->error = errno;
	close(fd);
	return -1;
}

/* --- visits ------------------------------------------------------------------------------------------------------ */

/* The server's end of the client's connection, and not of one that somebody else has made. -1: a signal came. */
static int accept_client(int listen_fd, int client)
{
	struct addr here, peer;
	if (addr_of_socket(client, &here) < 0)
		return -1;
	for (;;) {
		int fd = stage_accept(listen_fd, &peer);
		if (fd < 0 || addr_equal(&here, &peer))
			return fd;
		close(fd);
	}
}

/* A byte there and a byte back. 0, or -1 with errno. */
static int ask(const struct options *o, int client, int server)
{
	char byte = '?';
	const int ways[2][2] = { { client, server }, { server, client } };
	for (unsigned i = 0; i < 2; i++) {
		if (send(ways[i][0], &byte, 1, MSG_NOSIGNAL) != 1)
			return -1;
		if (stage_recv(&o->stage, ways[i][1], &byte, 1) != 1)
			return -1;
	}
	return 0;
}

/* One end closes, and the other does when it has seen that. */
static void end(const struct options *o, int client, int server, enum closer closer)
{
	char byte;
	int first = closer == SERVER ? server : client, second = closer == SERVER ? client : server;
	/* PITFALL: a client that opens a connection for each question, and closes it when it has the answer. It costs
	 * nothing that the program would see: no descriptor, no memory of its own. It costs a port for a minute. */
	if (closer == RESET)
		sock_abort(first);
	else
		close(first);
	tracef("close(%d), who is %s", first, closer == SERVER ? "the server" : "the client");
	if (stage_recv(&o->stage, second, &byte, 1) > 0)
		warnf("a byte too much");
	close(second);
}

/* One visit after another, to each server in turn, until one fails or t->wanted are done. */
static void visit(const struct options *o, const int *listeners, const struct addr *to, unsigned n, struct trial *t)
{
	int client = -1, server = -1;
	for (; t->done < t->wanted && sig_pending(NULL) == 0; t->done++) {
		unsigned i = (unsigned)(t->done % n);
		if (client < 0) {
			client = start_client(o, &to[i], t);
			if (client < 0)
				return;
			server = accept_client(listeners[i], client);
		}
		if (server < 0 || ask(o, client, server) < 0) {
			if (sig_pending(NULL) == 0)
				stage_fail_errno(&o->stage, "ask", "over loopback");
			break;
		}
		if (t->closer == ONCE && t->done + 1 < t->wanted)
			continue;
		end(o, client, server, t->closer);
		client = server = -1;
	}
	if (client >= 0)
		sock_abort(client);
	if (server >= 0)
		close(server);
}

/* --- the experiments --------------------------------------------------------------------------------------------- */

/* A server is visited once, ends, and starts again on its port. */
static void restart(const struct options *o, struct trial t)
{
	struct addr where;
	int first = start_outside(o, &where, t.first_reuse);
	visit(o, &first, &where, 1, &t);
	if (t.op != NULL) {
		errno = t.error;
		stage_fail_errno(&o->stage, t.op, "over loopback");
	}
	count_time_wait(o, &where, &t);
	if (!t.listens_on)
		close(first);
	uint64_t began_ns = clk_mono_ns();
	int second = start_server(o, &where, t.second_reuse);
	t.error = second < 0 ? errno : 0;
	t.elapsed_ns = clk_mono_ns() - began_ns;
	t.op = second < 0 ? "bind" : NULL;
	t.done = second >= 0;
	if (second >= 0)
		close(second);
	if (t.listens_on)
		close(first);
	report_trial(o, &t);
}

static const char *rebind(const struct options *o)
{
	static const struct trial mistakes[] = {
		{ .name = "none", .text = "without SO_REUSEADDR", .closer = SERVER },
		{ .name = "second", .text = "with it when it starts again", .closer = SERVER, .second_reuse = true },
	};
	static const struct trial fixes[] = {
		{ .name = "both",
		  .text = "with it both times",
		  .closer = SERVER,
		  .first_reuse = true,
		  .second_reuse = true },
		{ .name = "client", .text = "without it, but the client closed first", .closer = CLIENT },
		{ .name = "alive",
		  .text = "with it both times; the first still listens",
		  .closer = SERVER,
		  .first_reuse = true,
		  .second_reuse = true,
		  .listens_on = true },
	};
	report_start(o, "a server serves a client, ends, and starts again on its port");
	for (size_t i = 0; i < (o->fixed ? COUNT_OF(fixes) : COUNT_OF(mistakes)) && sig_pending(NULL) == 0; i++) {
		struct trial t = o->fixed ? fixes[i] : mistakes[i];
		t.wanted = 1;
		t.promised = o->fixed && !t.listens_on;
		t.promised_error = t.promised == 0 ? EADDRINUSE : 0;
		restart(o, t);
	}
	return o->fixed ? "With SO_REUSEADDR from the start TIME-WAIT does not count; a server that listens still does."
			: "The server closed first: its port is in TIME-WAIT for 60 s, and that is taken for bind(2).";
}

/* Visits to n servers from our ports, and what is left of them. */
static void try_ports(const struct options *o, const int *listeners, const struct addr *to, unsigned n, struct trial t)
{
	struct trial one = { 0 };
	if (sig_pending(NULL) != 0)
		return;
	uint64_t began_ns = clk_mono_ns();
	visit(o, listeners, to, n, &t);
	t.elapsed_ns = clk_mono_ns() - began_ns;
	for (unsigned i = 0; i < n; i++) {
		count_time_wait(o, &to[i], &one);
		t.at_client += one.at_client;
		t.at_server += one.at_server;
	}
	report_trial(o, &t);
}

static struct trial named(struct trial t, const char *name, const char *text, enum closer closer)
{
	t.name = name;
	t.text = text;
	t.closer = closer;
	return t;
}

/* WHY: with tcp_tw_reuse a port in TIME-WAIT is given again "after a second". Before Linux 6.14, which has a sysctl for how long
 * that is, it is as soon as the kernel's clock says another second: a trial that is to end within one begins with one. */
static void await_new_second(void)
{
	const uint64_t tick_ns = 20 * NS_PER_MS; /* that clock is so late at most */
	if (sysctl("tcp_tw_reuse") <= 0 || sysctl("tcp_tw_reuse_delay") >= 0)
		return;
	if (sig_wait_fd(-1, 0, NS_PER_S - clk_mono_ns() % NS_PER_S + tick_ns) < 0)
		tracef("a new second, or a signal");
}

static const char *exhaust(const struct options *o, const int *listeners, const struct addr *to)
{
	struct trial t = { .wanted = o->visits, .promised = o->free, .promised_error = EADDRNOTAVAIL };
	await_new_second();
	try_ports(o, listeners, to, 1, named(t, "client", "each closed by the client", CLIENT));
	await_new_second();
	try_ports(o, listeners + 1, to + 1, 1, named(t, "elsewhere", "to another server, at once", CLIENT));
	t.promised = ANY_NUMBER;
	if (o->wait_ns != 0 && sig_wait_fd(-1, 0, o->wait_ns) < 0 && errno == ETIMEDOUT)
		try_ports(o, listeners, to, 1, named(t, "later", "to the first one, after the --wait", CLIENT));
	return "A port in TIME-WAIT is taken for this server, not for others: 100 ports are 100 connections a minute.";
}

static const char *exhaust_fixed(const struct options *o, const int *listeners, const struct addr *to)
{
	const struct trial t = { .wanted = o->visits, .promised = o->visits };
	try_ports(o, listeners, to, 1, named(t, "once", "one connection for all questions", ONCE));
	try_ports(o, listeners + 1, to + 1, 1, named(t, "server", "each closed by the server", SERVER));
	try_ports(o, listeners + 2, to + 2, 1, named(t, "reset", "each reset by the client (linger 0)", RESET));
	return "One connection is the cure. What is left at a server's port keeps nobody out: a newer SYN takes its\n"
	       "place. A reset leaves nothing, and promises nothing: what was not read yet is lost.";
}

static const char *bind_first(const struct options *o, const int *listeners, const struct addr *to)
{
	struct trial t = { .wanted = 2 * o->free, .promised = o->free, .promised_error = EADDRINUSE };
	t.source = BOUND_FIRST;
	try_ports(o, listeners, to, 2, named(t, "bind", "bind, then connect", CLIENT));
	return "bind(2) does not know the server, so it takes a port that nobody uses for anything.";
}

static const char *bind_first_fixed(const struct options *o, const int *listeners, const struct addr *to)
{
	struct trial t = { .wanted = 2 * o->free, .promised = 2 * o->free, .source = BOUND_LATER };
	try_ports(o, listeners, to, 2, named(t, "later", "with IP_BIND_ADDRESS_NO_PORT", CLIENT));
	t.source = CHOSEN;
	try_ports(o, listeners + 2, to + 2, 2, named(t, "connect", "without bind", CLIENT));
	return "connect(2) knows the server, so each port is good for both.";
}

typedef const char *experiment_fn(const struct options *o, const int *listeners, const struct addr *to);

/* Servers outside of the client's ports, and the experiment on them. */
static const char *with_ports(struct options *o, const char *text, experiment_fn *run)
{
	enum { SERVERS = 4 };
	int listeners[SERVERS];
	struct addr to[SERVERS];
	choose_ports(o, run == bind_first);
	for (unsigned i = 0; i < SERVERS; i++)
		listeners[i] = start_outside(o, &to[i], true);
	report_start(o, text);
	const char *moral = run(o, listeners, to);
	for (unsigned i = 0; i < SERVERS; i++)
		close(listeners[i]);
	return moral;
}

/* --- options and main -------------------------------------------------------------------------------------------- */

static const char *const synopsis[] = {
	"rebind|exhaust|bind [--fixed] [options]",
	NULL,
};

static const char *const about[] = {
	"timewait shows what it costs to close first. The end that does keeps the connection in TIME-WAIT for 60 s, "
	"though no program has it open any longer.",
	"rebind: a server that closed first cannot start again on its port, unless both starts said SO_REUSEADDR. "
	"exhaust: a client that closes first has used up a port for this server; with 100 ports the 101st connect fails "
	"(EADDRNOTAVAIL). With --fixed it keeps one connection, or lets the server close, or resets. bind: a client "
	"that calls bind before connect uses up its ports for all servers at once (EADDRINUSE); with --fixed it leaves "
	"the port to connect.",
	"Both ends are on this machine, in one process. The few ports are the tool's own choice (IP_LOCAL_PORT_RANGE), "
	"so nobody else is kept from his.",
	NULL,
};

static const struct arg_example examples[] = {
	{ "timewait rebind", "a server that does not get its port back" },
	{ "timewait exhaust", "a client that has no port left" },
	{ "timewait exhaust --wait 1.5", "is it the same after one and a half seconds? net.ipv4.tcp_tw_reuse decides" },
	{ "timewait exhaust --fixed --json", "1000 connections from 100 ports, as records" },
	{ "ss -tan state time-wait | awk '{ print $4 }' | sort | uniq -c", "what there is on this machine, by server" },
	{ 0 },
};

static const struct arg_example statuses[] = {
	{ "3", "a mistake without its consequence, or --fixed with it" },
	{ 0 },
};

static struct options parse_options(int argc, char **argv)
{
	static const char *const experiments[] = { "rebind", "exhaust", "bind" };
	struct options o = { .stage = { STAGE_DEFAULTS }, .ports = 100, .visits = 1000 };
	/* clang-format off */
	const struct arg rows[] = {
		{ '\0', "fixed", ARG_FLAG, &o.fixed, .help = "without the mistake, in each way there is" },
		{ '\0', "ports", ARG_COUNT, &o.ports, 0, PORTS_MAX, "N", "exhaust, bind: so many ports for the client; 0: all of net.ipv4.ip_local_port_range" },
		{ '\0', "visits", ARG_COUNT, &o.visits, 1, 1000000, "N", "exhaust: questions asked, if that is possible" },
		{ '\0', "wait", ARG_DURATION, &o.wait_ns, 0, STAGE_DAY_NS, "D", "exhaust: then wait for so long, and try again" },
		STAGE_COMMON_ROWS(o.stage),
		{ 0 },
	};
	/* clang-format on */
	const struct arg_spec spec = {
		.tool = "timewait",
		.one_line = "shows what the end that closes first has to pay: a port, for a minute",
		.synopsis = synopsis,
		.about = about,
		.args = rows,
		.examples = examples,
		.exit_statuses = statuses,
		.see_also =
			"tcplab(1), socket(7), ip(7), tcp(7), ss(8). Each figure explained: docs/tools/timewait.md.",
	};
	o.experiment = *STAGE_CHOOSE(argv + args_parse(&spec, argc, argv), experiments);
	stage_check_family(&o.stage);
	return o;
}

int main(int argc, char **argv)
{
	diag_tool = "timewait";
	setvbuf(stdout, NULL, _IOLBF, 0);
	struct options o = parse_options(argc, argv);
	const char *moral;
	sig_open();
	if (strcmp(o.experiment, "rebind") == 0)
		moral = rebind(&o);
	else if (strcmp(o.experiment, "exhaust") == 0)
		moral = with_ports(&o, "a client asks again and again, with a connection for each question",
				   o.fixed ? exhaust_fixed : exhaust);
	else
		moral = with_ports(&o, "a client with an address of its own choice asks two servers in turn",
				   o.fixed ? bind_first_fixed : bind_first);
	report_total(&o, moral);
	return record_finish(sig_exit_status(tally.as_promised == tally.trials ? 0 : 3));
}
