/* backlog - connections that no program knows of: the kernel makes them, and when its queue is full it says nothing.
 *
 * Try:       backlog -s                        in one terminal: listens with a backlog of 4, and never accepts
 *            backlog localhost                 in another: 10 clients. 5 are connected, and may send; 5 hear nothing
 *            backlog -s --busy 1.5             accepts after a while
 *            backlog -s --fixed                a queue that is long enough, and a program that empties it
 *            backlog -s --fixed --backlog 100000      and what the kernel makes of that
 *            backlog localhost --fixed         expects that everybody is connected and answered
 *            backlog -s --trace                each system call
 * Look for:  PITFALL below, twice; and ss -ltn: Recv-Q and Send-Q of a listening socket are this queue and its limit.
 * Labs:      24-backlog.
 *
 * The handshake is the kernel's business. A program that listens is asked for nothing; accept(2) only fetches what is
 * ready (listen(2)). Before that a connection is in one of two queues:
 *
 *     client                    the server's kernel                                  the server's program
 *     SYN        ----------->   SYN queue: SYN-RECEIVED
 *     ESTABLISHED <----------   SYN and ACK
 *     ACK        ----------->   accept queue: ESTABLISHED,        ------------->     accept(2)
 *     request    ----------->   bytes acknowledged and kept
 *
 * listen(fd, B): while more than B connections wait in the accept queue, a SYN is dropped, as if it had been lost. The
 * client sends it again, after a second and then ever later. Full by the time of the ACK: the ACK is dropped. Then the
 * client is connected, and the server is not (net.ipv4.tcp_abort_on_overflow: it is told so by a reset).
 *
 * The chapters: what the kernel says of the queue, the server, the clients, options and main.
 *
 * LIMIT: Linux, where B + 1 fit into the queue; elsewhere it is another number. The kernel's counters belong to the
 * whole network namespace. */
#include "addr.h"
#include "args.h"
#include "clock.h"
#include "diag.h"
#include "mem.h"
#include "netcount.h"
#include "os.h"
#include "pitfall/stage.h"
#include "record.h"
#include "sig.h"
#include "sock.h"
#include "sockdiag.h"
#include "tcpinfo.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { DEFAULT_PORT = 2024, CLIENTS_MAX = 1000, TICK_NS = 20 * NS_PER_MS };

static const char request[] = "hello"; /* and so is the answer */
enum { REQUEST_LEN = sizeof(request) - 1 };

struct options {
	struct stage stage;
	bool fixed;
	uint64_t backlog, busy_ns; /* the server's; busy_ns 0: for ever */
	uint64_t clients, first;
	uint64_t time_ns; /* 0: clients 3 s, server for ever */
};

/* --- what the kernel says of the queue --------------------------------------------------------------------------- */

struct queue {
	uint64_t waiting, limit;            /* in the accept queue, and B as the kernel took it */
	uint64_t syn_received, established; /* connections of this port; of these, some may have been accepted */
	uint64_t drops;                     /* SYNs and ACKs for which this socket had no room */
};

#ifndef SO_MEMINFO
#define SO_MEMINFO 55 /* Linux 4.12; linux/sock_diag.h has the order of the values */
#endif
enum { MEMINFO_DROPS = 8, MEMINFO_VALUES };

/* Of a listening socket TCP_INFO has two fields that mean something, under names that do not say so (tcp_diag.c does
 * the same). */
static struct queue look(const struct options *o, int listen_fd, uint16_t port)
{
	struct tcpinfo info;
	struct sockdiag d;
	struct net_error e = { 0 };
	const struct sockdiag_filter filter = { .ports = &port, .n_ports = 1 };
	if (tcpinfo_get(listen_fd, &info) < 0)
		stage_fail_errno(&o->stage, "get", "TCP_INFO");
	struct queue q = { .waiting = info.unacked, .limit = info.sacked };
	uint32_t memory[MEMINFO_VALUES] = { 0 };
	socklen_t len = sizeof(memory);
	if (getsockopt(listen_fd, SOL_SOCKET, SO_MEMINFO, memory, &len) < 0)
		stage_fail_errno(&o->stage, "get", "SO_MEMINFO");
	q.drops = memory[MEMINFO_DROPS];
	if (sockdiag_open(&d, &e) < 0 || sockdiag_dump(&d, &filter, &e) < 0)
		stage_fail(&o->stage, &e);
	for (size_t i = 0; i < d.n; i++) {
		bool is_ours = addr_port(&d.sockets[i].local) == port; /* the other end may be on this host, too */
		q.syn_received += is_ours && d.sockets[i].state == SOCKDIAG_SYN_RECEIVED;
		q.established += is_ours && d.sockets[i].state == SOCKDIAG_ESTABLISHED;
	}
	sockdiag_close(&d);
	return q;
}

/* --- the server -------------------------------------------------------------------------------------------------- */

struct server {
	const struct options *o;
	uint16_t port;
	struct pollfd fds[CLIENTS_MAX + 1]; /* the first is the listening socket */
	unsigned n;
	struct queue now, fullest; /* fullest: with most connections established, and the latest such */
	uint64_t waiting_max, accepted, answered;
	uint64_t first_ns; /* when the first client was seen, or 0 */
	uint64_t looked_ns;
	struct netcounts before, after;
};

static void put_queue(struct json *j, const struct queue *q)
{
	json_u64(j, "waiting", q->waiting);
	json_u64(j, "limit", q->limit);
	json_u64(j, "established", q->established);
	json_u64(j, "syn_received", q->syn_received);
}

static void report_listening(const struct server *s, const char *where, int backlog)
{
	char line[64];
	if (!s->o->stage.json) {
		printf("asked for a backlog of %d, and got %" PRIu64 "%s\n", backlog, s->now.limit,
		       s->now.limit < (uint64_t)backlog ? " (net.core.somaxconn)" : "");
		return;
	}
	struct json j;
	record_begin(&j, "start");
	json_str(&j, "role", "server");
	json_str(&j, "listening", where);
	json_bool(&j, "fixed", s->o->fixed);
	json_i64(&j, "backlog", backlog);
	json_u64(&j, "limit", s->now.limit);
	if (os_read_line("/proc/sys/net/core/somaxconn", line, sizeof(line)) == 0)
		json_i64(&j, "somaxconn", atoll(line));
	else
		json_null(&j, "somaxconn");
	json_end(&j);
}

static void report_queue(const struct server *s)
{
	const uint64_t elapsed_ns = clk_mono_ns() - s->first_ns;
	if (!s->o->stage.json) {
		printf("%7.3f s  waiting for accept: %" PRIu64 " (limit %" PRIu64 "); ESTABLISHED %" PRIu64
		       ", SYN-RECEIVED %" PRIu64 "\n",
		       (double)elapsed_ns / NS_PER_S, s->now.waiting, s->now.limit, s->now.established,
		       s->now.syn_received);
		return;
	}
	struct json j;
	record_begin(&j, "queue");
	json_u64(&j, "elapsed_ns", elapsed_ns);
	put_queue(&j, &s->now);
	json_end(&j);
}

static const struct {
	const char *counter, *key, *text; /* text NULL: too much else is in it for people */
} counters[] = {
	{ "TcpExtListenOverflows", "listen_overflows", "SYNs and ACKs that found the accept queue full" },
	{ "TcpExtListenDrops", "listen_drops", "dropped for this or another reason" },
	{ "TcpExtSyncookiesSent", "syncookies_sent", "SYNs answered with a cookie, without a place in the SYN queue" },
	{ "TcpExtTCPReqQFullDrop", "syn_queue_drops", "SYNs dropped because the SYN queue was full" },
	{ "TcpOutRsts", "resets_sent", NULL },
};

static void report_served(const struct server *s, bool as_promised)
{
	struct json j;
	if (s->o->stage.json) {
		record_begin(&j, "total");
		json_str(&j, "role", "server");
		json_bool(&j, "fixed", s->o->fixed);
		put_queue(&j, &s->fullest);
		json_u64(&j, "waiting_max", s->waiting_max);
		json_u64(&j, "accepted", s->accepted);
		json_u64(&j, "answered", s->answered);
		json_u64(&j, "drops", s->now.drops);
	} else {
		printf("at most %" PRIu64 " waited; accepted %" PRIu64 ", answered %" PRIu64
		       "; for want of room dropped %" PRIu64 ". This network's counters:\n",
		       s->waiting_max, s->accepted, s->answered, s->now.drops);
	}
	for (size_t i = 0; i < COUNT_OF(counters); i++) {
		uint64_t n = netcount_since(&s->before, &s->after, counters[i].counter);
		if (s->o->stage.json)
			json_u64(&j, counters[i].key, n);
		else if (n > 0 && counters[i].text != NULL)
			printf("%8" PRIu64 "  %-24s %s\n", n, counters[i].counter, counters[i].text);
	}
	if (s->o->stage.json) {
		json_bool(&j, "as_promised", as_promised);
		json_bool(&j, "interrupted", sig_pending(NULL) != 0);
		json_end(&j);
	}
}

static int open_server(struct server *s)
{
	const struct options *o = s->o;
	const char *host = o->stage.bind != NULL ? o->stage.bind : o->stage.ipv6 ? "::1" : "127.0.0.1";
	struct net_error e = { 0 };
	struct addr bound;
	char text[ADDR_TEXT];
	int fd = sock_serve(host, (uint16_t)o->stage.port, stage_family(&o->stage), &(struct sock_options){ 0 }, &bound,
			    &e);
	if (fd < 0 || netcount_read(&s->before, &e) < 0)
		stage_fail(&o->stage, &e);
	/* PITFALL: "five clients at once are plenty", and so listen(fd, 5), as in every textbook. But the queue holds
	 * those who came since the program last called accept(2), and that may be long ago: it was busy with somebody
	 * else, or it was not scheduled. The room is for bursts. Who finds it full is not refused, he waits for
	 * seconds.
	 * The fix asks for as much as there may be: the kernel cuts it to net.core.somaxconn without a word
	 * (listen(2)). */
	int backlog = (int)o->backlog;
	if (listen(fd, backlog) < 0 || fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		stage_fail_errno(&o->stage, "listen", addr_text(&bound, text));
	tracef("listen(%d, %d)", fd, backlog);
	s->port = addr_port(&bound);
	s->now = s->fullest = look(o, fd, s->port);
	warnf("listening on %s", addr_text(&bound, text));
	report_listening(s, text, backlog);
	return fd;
}

/* Looks at the queue, and says so when it is another than before. */
static void watch(struct server *s, int listen_fd)
{
	const struct queue before = s->now;
	s->now = look(s->o, listen_fd, s->port);
	s->looked_ns = clk_mono_ns();
	if (s->now.waiting == before.waiting && s->now.established == before.established &&
	    s->now.syn_received == before.syn_received)
		return;
	if (s->first_ns == 0)
		s->first_ns = s->looked_ns;
	if (s->now.established >= s->fullest.established)
		s->fullest = s->now;
	if (s->now.waiting > s->waiting_max)
		s->waiting_max = s->now.waiting;
	report_queue(s);
}

/* All that wait. */
static void accept_all(struct server *s)
{
	int fd;
	struct tcpinfo info;
	if (s->first_ns == 0)
		s->first_ns = clk_mono_ns();
	if (tcpinfo_get(s->fds[0].fd, &info) == 0 && info.unacked > s->waiting_max)
		s->waiting_max = info.unacked;
	while (s->n <= CLIENTS_MAX && (fd = accept4(s->fds[0].fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0) {
		tracef("accept4(%d) = %d", s->fds[0].fd, fd);
		s->fds[s->n++] = (struct pollfd){ .fd = fd, .events = POLLIN };
		s->accepted++;
	}
	if (s->n <= CLIENTS_MAX && errno != EAGAIN && errno != ECONNABORTED) {
		/* EMFILE and the like: the client still waits, and without a pause we would spin. */
		warnf_errno("accept");
		clk_sleep_until_ns(clk_mono_ns() + TICK_NS);
	}
}

/* Echoes what is there. A client that ends, or does not take its answer, is let go: the last one takes its place. */
static void answer(struct server *s, unsigned i)
{
	char bytes[64];
	ssize_t n = recv(s->fds[i].fd, bytes, sizeof(bytes), 0);
	tracef("recv(%d) = %zd", s->fds[i].fd, n);
	if (n > 0 && send(s->fds[i].fd, bytes, (size_t)n, MSG_NOSIGNAL) == n) {
		s->answered++;
		return;
	}
	if (n < 0 && errno == EAGAIN)
		return;
	close(s->fds[i].fd);
	s->fds[i] = s->fds[--s->n];
}

/* PITFALL: while the program does something else, nobody accepts. Nothing tells the clients so: their connections
 * stand, and their requests are acknowledged, by the kernel. The fixed server is never busy. */
static bool is_busy(const struct server *s)
{
	if (s->o->fixed || s->o->busy_ns == 0)
		return !s->o->fixed;
	return s->first_ns == 0 || clk_mono_ns() - s->first_ns < s->o->busy_ns;
}

static void serve_until_the_end(struct server *s, int listen_fd)
{
	const uint64_t time_ns = s->o->time_ns;
	while (sig_pending(NULL) == 0 && (time_ns == 0 || s->first_ns == 0 || clk_mono_ns() - s->first_ns < time_ns)) {
		/* ppoll(2) passes over negative descriptors: nobody looks at the queue, but us who tell of it. */
		s->fds[0].fd = is_busy(s) || s->n > CLIENTS_MAX ? -1 : listen_fd;
		if (sig_wait(s->fds, s->n, clk_mono_ns() + TICK_NS) < 0)
			stage_fail_errno(&s->o->stage, "poll", "the clients");
		if (clk_mono_ns() - s->looked_ns >= TICK_NS)
			watch(s, listen_fd);
		for (unsigned i = s->n - 1; i > 0; i--) {
			if (s->fds[i].revents != 0)
				answer(s, i);
		}
		if (s->fds[0].fd >= 0 && s->fds[0].revents != 0)
			accept_all(s);
	}
}

static int run_server(const struct options *o)
{
	struct server *s = xcalloc(1, sizeof(*s));
	struct net_error e = { 0 };
	s->o = o;
	os_raise_fd_limit();
	int listen_fd = open_server(s);
	s->fds[0] = (struct pollfd){ .fd = listen_fd, .events = POLLIN };
	s->n = 1;
	serve_until_the_end(s, listen_fd);
	if (netcount_read(&s->after, &e) < 0)
		stage_fail(&o->stage, &e);
	watch(s, listen_fd);
	bool as_promised = o->fixed ? s->now.drops == 0 && s->accepted > 0
				    : s->now.drops > 0 && s->waiting_max == s->now.limit + 1;
	report_served(s, as_promised);
	free(s);
	return sig_exit_status(as_promised ? 0 : 3);
}

/* --- the clients ------------------------------------------------------------------------------------------------- */

struct client {
	int fd; /* -1 when it has ended */
	bool is_connected, is_answered, is_acknowledged;
	uint64_t began_ns, connected_ns, answered_ns; /* the latter two: from the beginning */
	uint64_t syns, again;                         /* SYNs that left; segments sent again after the handshake */
	int error;
};

struct tally {
	uint64_t at_once, later, never, failed, acknowledged, unacknowledged, answered, syns_max;
};

/* What TCP_INFO knows last. */
static void take_figures(struct client *c)
{
	struct tcpinfo info;
	if (tcpinfo_get(c->fd, &info) < 0)
		return;
	if (!c->is_connected)
		c->syns = 1 + info.retransmits;
	else
		c->again = info.retransmits + 1 - c->syns;
	c->is_acknowledged = c->is_connected && info.send_queue == 0;
}

static void begin(const struct options *o, struct client *c, const struct addr *to)
{
	struct net_error e = { 0 };
	c->began_ns = clk_mono_ns();
	c->fd = sock_connect_begin(to, NULL, &(struct sock_options){ 0 }, &e);
	if (c->fd < 0 && (e.sys == EMFILE || e.sys == ENFILE))
		stage_fail(&o->stage, &e);
	c->error = c->fd < 0 ? e.sys : 0;
}

static void fail(struct client *c, int error)
{
	take_figures(c);
	c->error = error;
	c->is_acknowledged = false;
	close(c->fd);
	c->fd = -1;
}

/* The handshake is over, one way or the other. Whoever is connected sends its request. */
static void finish_handshake(struct client *c)
{
	int error = sock_connect_result(c->fd) < 0 ? errno : 0;
	if (error != 0) {
		fail(c, error);
		return;
	}
	take_figures(c);
	c->is_connected = true;
	c->connected_ns = clk_mono_ns() - c->began_ns;
	ssize_t n = send(c->fd, request, REQUEST_LEN, MSG_NOSIGNAL);
	tracef("send(%d) = %zd", c->fd, n);
	if (n < 0)
		fail(c, errno);
}

static void take_answer(struct client *c)
{
	char bytes[64];
	ssize_t n = recv(c->fd, bytes, sizeof(bytes), 0);
	tracef("recv(%d) = %zd", c->fd, n);
	if (n <= 0 && (n == 0 || errno != EAGAIN)) {
		fail(c, n == 0 ? EPIPE : errno);
	} else if (n > 0 && !c->is_answered) {
		c->is_answered = true;
		c->answered_ns = clk_mono_ns() - c->began_ns;
	}
}

static bool is_settled(const struct client *c)
{
	return c->fd < 0 || c->is_answered;
}

/* What happened to these, until until_ns at most. Are all of them settled, or, if that is enough, connected? */
static bool pump(const struct options *o, struct client *clients, unsigned n, bool connected_is_enough,
		 uint64_t until_ns)
{
	struct pollfd fds[CLIENTS_MAX];
	unsigned open = 0;
	for (unsigned i = 0; i < n; i++) {
		const struct client *c = &clients[i];
		fds[i] = (struct pollfd){ .fd = c->fd, .events = c->is_connected ? POLLIN : POLLOUT };
		open += !is_settled(c) && !(connected_is_enough && c->is_connected);
	}
	if (open == 0)
		return true;
	if (sig_wait(fds, n, until_ns) < 0)
		stage_fail_errno(&o->stage, "poll", "the server's answers");
	for (unsigned i = 0; i < n; i++) {
		if (fds[i].revents != 0 && clients[i].is_connected)
			take_answer(&clients[i]);
		else if (fds[i].revents != 0)
			finish_handshake(&clients[i]);
	}
	return false;
}

/* The first ones one after another, the others at once; then what becomes of them, for --time. */
static void run_clients(const struct options *o, struct client *clients, const struct addr *to)
{
	const unsigned n = (unsigned)o->clients, first = (unsigned)o->first;
	const uint64_t time_ns = o->time_ns != 0 ? o->time_ns : UINT64_C(3) * NS_PER_S;
	for (unsigned i = 0; i < n; i++)
		clients[i].fd = -1;
	for (unsigned i = 0; i < first; i++) {
		const uint64_t until_ns = clk_mono_ns() + o->stage.timeout_ns;
		begin(o, &clients[i], to);
		while (!pump(o, clients, i + 1, true, until_ns) && clk_mono_ns() < until_ns && sig_pending(NULL) == 0)
			;
	}
	for (unsigned i = first; i < n; i++)
		begin(o, &clients[i], to);
	const uint64_t until_ns = clk_mono_ns() + time_ns;
	while (!pump(o, clients, n, false, until_ns) && clk_mono_ns() < until_ns && sig_pending(NULL) == 0)
		;
}

static void put_time(struct json *j, const char *key, bool is_known, uint64_t value)
{
	if (is_known)
		json_u64(j, key, value);
	else
		json_null(j, key);
}

static void report_client(const struct options *o, unsigned number, const struct client *c)
{
	if (!o->stage.json)
		return;
	struct json j;
	record_begin(&j, "connection");
	json_u64(&j, "number", number);
	json_str(&j, "state", c->error != 0 ? "failed" : c->is_connected ? "established" : "syn-sent");
	json_u64(&j, "syns", c->syns);
	put_time(&j, "connected_ns", c->is_connected, c->connected_ns);
	json_bool(&j, "acknowledged", c->is_acknowledged);
	json_u64(&j, "sent_again", c->again);
	put_time(&j, "answered_ns", c->is_answered, c->answered_ns);
	json_str(&j, "errno", stage_symbol(c->error));
	json_end(&j);
}

static void count(struct tally *t, const struct client *c)
{
	t->at_once += c->is_connected && c->syns == 1;
	t->later += c->is_connected && c->syns > 1;
	t->never += !c->is_connected && c->error == 0;
	t->failed += c->error != 0;
	t->acknowledged += c->is_acknowledged;
	t->unacknowledged += c->is_connected && c->error == 0 && !c->is_acknowledged;
	t->answered += c->is_answered;
	if (c->syns > t->syns_max)
		t->syns_max = c->syns;
}

static void print_tally(const struct tally *t)
{
	const struct {
		uint64_t n;
		const char *text;
	} lines[] = {
		{ t->at_once, "connected by their first SYN" },
		{ t->later, "connected later, by another SYN" },
		{ t->never, "not connected, nor refused: SYN-SENT" },
		{ t->failed, "refused or reset" },
		{ t->acknowledged, "connected, and the request acknowledged by the server's kernel" },
		{ t->unacknowledged, "connected, and the request sent again and again: nobody acknowledges it" },
		{ t->answered, "answered by the server's program" },
		{ t->syns_max, "SYNs at most for one connection" },
	};
	for (size_t i = 0; i < COUNT_OF(lines); i++)
		printf("%8" PRIu64 "  %s\n", lines[i].n, lines[i].text);
}

static void report_tried(const struct options *o, const struct tally *t, bool as_promised)
{
	if (!o->stage.json) {
		print_tally(t);
		return;
	}
	struct json j;
	record_begin(&j, "total");
	json_str(&j, "role", "client");
	json_bool(&j, "fixed", o->fixed);
	json_u64(&j, "clients", o->clients);
	json_u64(&j, "connected_at_once", t->at_once);
	json_u64(&j, "connected_later", t->later);
	json_u64(&j, "syn_sent", t->never);
	json_u64(&j, "failed", t->failed);
	json_u64(&j, "acknowledged", t->acknowledged);
	json_u64(&j, "unacknowledged", t->unacknowledged);
	json_u64(&j, "answered", t->answered);
	json_u64(&j, "syns_max", t->syns_max);
	json_bool(&j, "as_promised", as_promised);
	json_bool(&j, "interrupted", sig_pending(NULL) != 0);
	json_end(&j);
}

static void report_start(const struct options *o, const struct addr *to)
{
	char text[ADDR_TEXT];
	if (!o->stage.json) {
		printf("%" PRIu64 " clients of %s, %" PRIu64 " of them at once\n", o->clients, addr_text(to, text),
		       o->clients - o->first);
		return;
	}
	struct json j;
	record_begin(&j, "start");
	json_str(&j, "role", "client");
	json_str(&j, "server", addr_text(to, text));
	json_u64(&j, "clients", o->clients);
	json_u64(&j, "first", o->first);
	json_end(&j);
}

static int run_client(const struct options *o)
{
	static struct client clients[CLIENTS_MAX];
	struct addr to;
	struct net_error e = { 0 };
	struct tally t = { 0 };
	if (addr_resolve(o->stage.host, (uint16_t)o->stage.port, stage_family(&o->stage), &to, 1, &e) < 0)
		stage_fail(&o->stage, &e);
	os_raise_fd_limit();
	report_start(o, &to);
	run_clients(o, clients, &to);
	for (unsigned i = 0; i < o->clients; i++) {
		if (clients[i].fd >= 0)
			take_figures(&clients[i]);
		count(&t, &clients[i]);
		report_client(o, i + 1, &clients[i]);
	}
	if (t.at_once + t.later + t.never == 0 && clients[0].error != ECONNRESET) {
		char text[ADDR_TEXT];
		errno = clients[0].error;
		stage_fail_errno(&o->stage, "connect", addr_text(&to, text));
	}
	bool all_well = t.at_once == o->clients && t.answered == o->clients;
	report_tried(o, &t, all_well == o->fixed);
	for (unsigned i = 0; i < o->clients; i++) {
		if (clients[i].fd >= 0)
			close(clients[i].fd);
	}
	return sig_exit_status(all_well == o->fixed ? 0 : 3);
}

/* --- options and main -------------------------------------------------------------------------------------------- */

static const char *const synopsis[] = {
	"-s [-p PORT] [--backlog B] [--busy D | --fixed] [options]",
	"HOST [-p PORT] [-n COUNT] [--fixed] [options]",
	NULL,
};

static const char *const about[] = {
	"backlog shows that connections are made by the kernel, and wait in its queue until the program accepts them. The "
	"server as it is first listens with room for 4 and does not accept; the kernel lets in one more than that, "
	"acknowledges what they send, and drops the SYNs of the others. The server tells what is in the queue, the "
	"clients what they saw of it.",
	"With --fixed the server asks for as long a queue as the system allows, and accepts at once; and the clients "
	"expect that all of them are connected by their first SYN, and answered.",
	NULL,
};

static const struct arg_example examples[] = {
	{ "backlog -s", "a server that never accepts" },
	{ "backlog localhost", "10 clients: 5 are connected" },
	{ "backlog -s --busy 1.5", "one that accepts in the end: when are the other 5 connected?" },
	{ "backlog -s --fixed", "one that accepts, with a queue for a burst" },
	{ "backlog localhost -n 500 --fixed", "a burst" },
	{ "ss -ltn", "Recv-Q: how many wait; Send-Q: the backlog" },
	{ 0 },
};

static const struct arg_example statuses[] = {
	{ "3", "a server without an overflow, or --fixed with one; clients all answered, or --fixed and not all" },
	{ 0 },
};

static struct options parse_options(int argc, char **argv)
{
	struct options o = {
		.stage = { .port = DEFAULT_PORT, STAGE_DEFAULTS },
		.backlog = 4,
		.clients = 10,
	};
	/* clang-format off */
	const struct arg rows[] = {
		{ .help = "Server:" },
		{ 's', "server", ARG_FLAG, &o.stage.server, .help = "serve; without it: be clients of HOST" },
		{ 'B', "bind", ARG_STR, &o.stage.bind, .value_name = "ADDR", .help = "listen there; 127.0.0.1 or ::1 unless given" },
		{ '\0', "backlog", ARG_COUNT, &o.backlog, 0, INT_MAX, "B", "as given to listen(2); --fixed: as much as possible" },
		{ '\0', "busy", ARG_DURATION, &o.busy_ns, 1, STAGE_DAY_NS, "D", "accept so long after the first client came; without it: never" },
		{ .help = "Clients:" },
		{ 'n', "clients", ARG_COUNT, &o.clients, 1, CLIENTS_MAX, "COUNT", "so many connections" },
		{ '\0', "first", ARG_COUNT, &o.first, 0, CLIENTS_MAX, "COUNT", "so many of them one after another, then the others at once" },
		{ .help = "Both:" },
		{ '\0', "fixed", ARG_FLAG, &o.fixed, .help = "a long queue, and a program that accepts; clients: expect that" },
		{ 'p', "port", ARG_PORT, &o.stage.port, .value_name = "PORT", .help = "the server's port; 0 with -s takes a free one" },
		{ '\0', "time", ARG_DURATION, &o.time_ns, 1, STAGE_DAY_NS, "D", "clients: watch for so long, 3 s; server: end so long after the first client came" },
		STAGE_COMMON_ROWS(o.stage),
		{ 0 },
	};
	/* clang-format on */
	const struct arg_spec spec = {
		.tool = "backlog",
		.one_line =
			"shows the queue of connections that nobody has accepted yet, and what happens when it is full",
		.synopsis = synopsis,
		.about = about,
		.args = rows,
		.examples = examples,
		.exit_statuses = statuses,
		.see_also =
			"tcplab(1), listen(2), accept(2), tcp(7), ss(8). Each figure explained: docs/tools/backlog.md.",
	};
	/* Twice, because with --fixed the default of --backlog is another one. Parsing moves the words. */
	char **words = xcalloc((size_t)argc + 1, sizeof(*words));
	memcpy(words, argv, (size_t)argc * sizeof(*words));
	args_parse(&spec, argc, words);
	free(words);
	if (o.fixed)
		o.backlog = INT_MAX;
	stage_check(&o.stage, argv + args_parse(&spec, argc, argv));
	return o;
}

static void check_options(const struct options *o)
{
	if (!o->stage.server && (o->busy_ns != 0 || o->backlog != (o->fixed ? INT_MAX : 4)))
		args_misuse("--backlog and --busy are for the server (-s)");
	if (o->stage.server && (o->clients != 10 || o->first != 0))
		args_misuse("-n and --first are for clients");
	if (o->fixed && o->busy_ns != 0)
		args_misuse("a server that is --fixed is never --busy");
	if (o->first > o->clients)
		args_misuse("--first %" PRIu64 " is more than there are clients", o->first);
}

int main(int argc, char **argv)
{
	diag_tool = "backlog";
	setvbuf(stdout, NULL, _IOLBF, 0);
	struct options o = parse_options(argc, argv);
	check_options(&o);
	sig_open();
	return record_finish(o.stage.server ? run_server(&o) : run_client(&o));
}
