/* sender - "all sent, and closed" is not "all arrived": what close(2) does to the bytes that are still on their way.
 *
 * Try:       sender -s                       in one terminal: sends 256 KiB to whoever comes, and closes
 *            sender localhost                in another: asks with one byte, reads late, and gets the first part only
 *            sender -s --fixed               ends its direction, reads to the client's end, and closes then
 *            sender localhost --fixed        the same client, which expects all of it now
 *            sender -s --close linger        a close that waits; and who waits with it:
 *            sender localhost --request 0 --until ended --second
 *            sender -s --fixed FILE          FILE for anybody: nc localhost 2020, curl --http0.9 localhost:2020
 * Look for:  PITFALL below, three times. Each time send(2) and close(2) say that all is well.
 * Labs:      21-lost-tail.
 *
 * close(2) returns at once, and the kernel goes on sending what it took. Unless there is something that we have not
 * read: then nobody will ever read it, the kernel says so with a reset (RFC 1122 4.2.2.13, RFC 2525 2.17), and a reset
 * drops what waits to be sent. The client did no more than say one byte too many:
 *
 *     client                                server
 *     "x"      ------------------------->   ... which it never reads
 *     busy                           <---   all of it: send(2) is well, the kernel has it
 *     busy                           <---   RST: close(2) is well
 *     reads: the first part, then ECONNRESET
 *
 * The chapters: what is sent, a client that is served, the endings, the server's loop, the client, options and main.
 * The server is one thread and one poll(2) for all of its clients, so that one sees what a close that waits does to the
 * others.
 *
 * LIMIT: the kernel's counters are those of the whole network namespace. */
#include "args.h"
#include "clock.h"
#include "diag.h"
#include "netcount.h"
#include "prng.h"
#include "record.h"
#include "sig.h"
#include "sockdiag.h"

#include "pitfall/stage.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DEFAULT_PORT = 2020, CHUNK = 64 * 1024, CLIENTS_MAX = 64, SEED = 1 };

#define LEN_MAX (UINT64_C(1) << 40)

enum ending { NAIVE, LINGER0, LINGER, SHUTDOWN, SAFE };
static const char *const endings[] = { "naive", "linger0", "linger", "shutdown", "safe", NULL };

/* What the client waits for before it reads: the server has ended its direction, or its program has no descriptor any
 * more. */
enum until { ENDED, CLOSED };
static const char *const untils[] = { "ended", "closed", NULL };

struct options {
	struct stage stage;
	int ending, until; /* enum ending, enum until; -1: not given */
	bool fixed, on_request, read_request, late, second;
	const char *file;
	uint64_t bytes, request_len, delay_ns, linger_ns, send_buffer, receive_buffer;
};

/* --- what is sent ------------------------------------------------------------------------------------------------ */

/* A file, or bytes that both ends know (prng.h): the server sends them, the client compares. */
struct source {
	int fd; /* -1: prng.h's */
	uint64_t len;
};

static struct source open_source(const struct options *o)
{
	struct source s = { .fd = -1, .len = o->bytes };
	struct stat st;
	if (o->file == NULL)
		return s;
	s.fd = open(o->file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (s.fd < 0 || fstat(s.fd, &st) < 0)
		stage_fail_errno(&o->stage, "open", o->file);
	if (!S_ISREG(st.st_mode)) { /* each client gets it from the beginning */
		errno = S_ISDIR(st.st_mode) ? EISDIR : ESPIPE;
		stage_fail_errno(&o->stage, "read", o->file);
	}
	s.len = (uint64_t)st.st_size;
	return s;
}

/* Bytes from `at` on: how many, 0 at the end (also when somebody shortens the file meanwhile), -1 with errno. */
static ssize_t read_source(const struct source *s, uint64_t at, void *p, size_t room)
{
	size_t n = at >= s->len ? 0 : s->len - at < room ? (size_t)(s->len - at) : room;
	if (s->fd >= 0)
		return pread(s->fd, p, n, (off_t)at);
	prng_fill(SEED, at, p, n);
	return (ssize_t)n;
}

/* --- a client that is served ------------------------------------------------------------------------------------- */

struct client {
	int fd;
	enum { SILENT, SENDING, DRAINING, OVER } phase; /* SILENT: has not asked yet */
	char peer[ADDR_TEXT];
	uint64_t sent, drained;
	uint64_t deadline_ns, queue; /* how much was not acknowledged when the deadline was set */
};

struct server {
	const struct options *o;
	struct source source;
	struct netcounts begin;
	uint64_t connections;
	unsigned n;
	struct client clients[CLIENTS_MAX];
};

/* Bytes that the peer's kernel has not acknowledged; our FIN is one, until it has. */
static uint64_t send_queue(int fd)
{
	int n = 0;
	return ioctl(fd, TIOCOUTQ, &n) == 0 && n > 0 ? (uint64_t)n : 0;
}

/* What the kernel counts when it ends a connection in its own way. */
static const struct {
	const char *name, *key;
} counters[] = {
	{ "TcpExtTCPAbortOnClose", "abort_on_close" }, /* closed with something unread */
	{ "TcpExtTCPAbortOnData", "abort_on_data" },   /* data came after the close; and linger 0 */
	{ "TcpExtTCPAbortOnLinger", "abort_on_linger" },
	{ "TcpOutRsts", "resets_sent" },
};

static void count(const struct server *s, struct netcounts *out)
{
	struct net_error e = { 0 };
	if (netcount_read(out, &e) < 0)
		stage_fail(&s->o->stage, &e);
}

static void put_counters(struct json *j, const struct netcounts *before, const struct netcounts *after)
{
	for (size_t i = 0; i < COUNT_OF(counters); i++)
		json_u64(j, counters[i].key, netcount_since(before, after, counters[i].name));
}

/* How a connection ended, as far as the server can tell. */
struct farewell {
	uint64_t unread, queue, close_ns;
	int closed, error; /* what close(2) returned, and what went wrong before it: 0 nothing */
	struct netcounts before, after;
};

static void report_farewell_text(const struct server *s, const struct client *c, const struct farewell *f)
{
	bool has_moved = false;
	printf("%s: %" PRIu64 " of %" PRIu64 " bytes taken by the kernel%s%s; its ending: %s\n", c->peer, c->sent,
	       s->source.len, f->error != 0 ? ", " : "", f->error != 0 ? strerror(f->error) : "",
	       endings[s->o->ending]);
	printf("    at the close: %" PRIu64 " bytes of ours not acknowledged, %" PRIu64
	       " of the client's not read, %" PRIu64 " read to its end\n",
	       f->queue, f->unread, c->drained);
	printf("    close(2) said %d, after %.1f ms; the kernel's counters:", f->closed,
	       (double)f->close_ns / NS_PER_MS);
	for (size_t i = 0; i < COUNT_OF(counters); i++) {
		uint64_t n = netcount_since(&f->before, &f->after, counters[i].name);
		if (n != 0)
			printf(" %s +%" PRIu64, counters[i].name, n);
		has_moved |= n != 0;
	}
	printf("%s\n", has_moved ? "" : " none moved");
}

static void report_farewell(const struct server *s, const struct client *c, const struct farewell *f)
{
	if (!s->o->stage.json) {
		report_farewell_text(s, c, f);
		return;
	}
	struct json j;
	record_begin(&j, "connection");
	json_str(&j, "peer", c->peer);
	json_str(&j, "close", endings[s->o->ending]);
	json_u64(&j, "bytes", s->source.len);
	json_u64(&j, "sent_bytes", c->sent);
	json_u64(&j, "unacknowledged_bytes", f->queue);
	json_u64(&j, "unread_bytes", f->unread);
	json_u64(&j, "drained_bytes", c->drained);
	json_u64(&j, "close_ns", f->close_ns);
	json_i64(&j, "close_result", f->closed);
	put_counters(&j, &f->before, &f->after);
	json_str(&j, "errno", stage_symbol(f->error));
	json_end(&j);
}

/* --- the endings ------------------------------------------------------------------------------------------------- */

static void set_linger(int fd, uint64_t time_ns)
{
	struct linger l = { .l_onoff = 1, .l_linger = (int)((time_ns + NS_PER_S - 1) / NS_PER_S) };
	int rc = setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof(l));
	tracef("setsockopt(%d, SO_LINGER, {1, %d}) = %d", fd, l.l_linger, rc);
}

static void end_our_direction(int fd)
{
	int rc = shutdown(fd, SHUT_WR);
	tracef("shutdown(%d, SHUT_WR) = %d", fd, rc);
}

/* Closes, measures that, and the client is no more. */
static void close_client(struct server *s, struct client *c, int error)
{
	static struct farewell f; /* static: it has room for all counters, twice */
	f = (struct farewell){ .unread = stage_unread(c->fd), .queue = send_queue(c->fd), .error = error };
	/* WHY: a plain close in the middle would look to the client like the end of all of it. */
	if (error != 0 && (c->phase != DRAINING || error == ETIMEDOUT))
		set_linger(c->fd, 0);
	count(s, &f.before);
	uint64_t begin_ns = clk_mono_ns();
	f.closed = close(c->fd);
	f.close_ns = clk_mono_ns() - begin_ns;
	tracef("close(%d) = %d", c->fd, f.closed);
	count(s, &f.after);
	c->phase = OVER;
	report_farewell(s, c, &f);
}

/* Everything is sent, as they say: send(2) took it. */
static void end_client(struct server *s, struct client *c)
{
	switch ((enum ending)s->o->ending) {
	case NAIVE:
		/* PITFALL: close(2) in the belief that the kernel will deliver what it has. It does, but not if there
		 * is a byte that we have not read: then it resets the connection, and what was not acknowledged yet is
		 * gone. Nobody tells us. The same happens if such a byte comes after the close. */
		break;
	case SHUTDOWN:
		/* PITFALL: ending our direction, and closing at once. The FIN is queued behind the data, and the close
		 * drops both. It is the reading between the two that makes it safe. */
		end_our_direction(c->fd);
		break;
	case LINGER0:
		set_linger(c->fd, 0); /* not an ending, but an abortion: a reset in any case */
		break;
	case LINGER:
		/* PITFALL: "close waits until all is delivered" (SO_LINGER, socket(7)). With an unread byte it does not
		 * wait, and loses as much. Without one it does: in this very call, also on a non-blocking socket, and
		 * all our other clients wait with it, and so do SIGINT and SIGTERM. And who waited in vain is told
		 * nothing. */
		set_linger(c->fd, s->o->linger_ns);
		break;
	case SAFE:
		/* The fix: our FIN; then read, until the client has seen all of it and ends its direction, too. What it
		 * has still to say is thrown away, but read. To be waited for with poll(2), like everything else. */
		end_our_direction(c->fd);
		c->phase = DRAINING;
		return;
	}
	close_client(s, c, 0);
}

/* --- the server's loop ------------------------------------------------------------------------------------------- */

static void extend(const struct server *s, struct client *c)
{
	c->deadline_ns = clk_mono_ns() + s->o->stage.timeout_ns;
	c->queue = send_queue(c->fd);
}

static void send_some(struct server *s, struct client *c)
{
	unsigned char chunk[CHUNK];
	ssize_t n = read_source(&s->source, c->sent, chunk, sizeof(chunk));
	if (n < 0)
		close_client(s, c, errno);
	else if (n == 0)
		end_client(s, c);
	if (n <= 0)
		return;
	ssize_t taken = send(c->fd, chunk, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL);
	tracef("send(%d, %zd) = %zd", c->fd, n, taken);
	if (taken < 0 && errno != EAGAIN)
		close_client(s, c, errno);
	c->sent += taken > 0 ? (uint64_t)taken : 0;
}

/* Whoever never stops talking is stopped by the deadline: only what he acknowledges extends it. */
static void drain_some(struct server *s, struct client *c)
{
	unsigned char chunk[CHUNK];
	ssize_t n = recv(c->fd, chunk, sizeof(chunk), MSG_DONTWAIT);
	tracef("recv(%d, %zu) = %zd", c->fd, sizeof(chunk), n);
	c->drained += n > 0 ? (uint64_t)n : 0;
	if (n == 0 || (n < 0 && errno != EAGAIN))
		close_client(s, c, n < 0 ? errno : 0);
}

/* It has asked. What it said is not read, which is the beginning of the trouble, or read with --read-request. */
static void hear(struct server *s, struct client *c)
{
	unsigned char chunk[CHUNK];
	if (s->o->read_request && recv(c->fd, chunk, sizeof(chunk), MSG_DONTWAIT) < 0)
		close_client(s, c, errno);
	else
		c->phase = SENDING;
}

static void serve_some(struct server *s, struct client *c)
{
	switch (c->phase) {
	case SILENT:
		hear(s, c);
		break;
	case SENDING:
		send_some(s, c);
		break;
	case DRAINING:
		drain_some(s, c);
		return;
	case OVER:
		return;
	}
	if (c->phase != OVER)
		extend(s, c);
}

/* A client that takes nothing for so long is given up; one that is slow, and takes it, is not. */
static void check_deadline(struct server *s, struct client *c)
{
	if (c->phase == OVER || clk_mono_ns() < c->deadline_ns)
		return;
	if (send_queue(c->fd) < c->queue)
		extend(s, c);
	else
		close_client(s, c, ETIMEDOUT);
}

/* WHY not stage_accept: a client that is gone again must not make the others wait for the next one. */
static void accept_client(struct server *s, int listen_fd)
{
	struct addr peer = { .len = sizeof(peer.u) };
	int fd = accept4(listen_fd, &peer.u.sa, &peer.len, SOCK_CLOEXEC);
	tracef("accept4(%d) = %d", listen_fd, fd);
	if (fd < 0 && errno != EAGAIN && errno != ECONNABORTED) {
		warnf_errno("accept");
		clk_sleep_until_ns(clk_mono_ns() + 100 * NS_PER_MS); /* EMFILE: it still waits, and we would spin */
	}
	if (fd < 0)
		return;
	struct client *c = &s->clients[s->n++];
	*c = (struct client){ .fd = fd, .phase = s->o->on_request || s->o->read_request ? SILENT : SENDING };
	addr_text(&peer, c->peer);
	extend(s, c);
	s->connections++;
}

static void forget_those_over(struct server *s)
{
	for (unsigned i = 0; i < s->n;) {
		if (s->clients[i].phase == OVER)
			s->clients[i] = s->clients[--s->n];
		else
			i++;
	}
}

/* What to wait for, and until when at most. */
static uint64_t wishes(const struct server *s, int listen_fd, struct pollfd fds[static 1 + CLIENTS_MAX])
{
	uint64_t deadline_ns = CLK_NEVER;
	bool has_room = s->n < CLIENTS_MAX && (!s->o->stage.one_off || s->connections == 0);
	fds[0] = (struct pollfd){ .fd = has_room ? listen_fd : -1, .events = POLLIN };
	for (unsigned i = 0; i < s->n; i++) {
		const struct client *c = &s->clients[i];
		fds[1 + i] = (struct pollfd){ .fd = c->fd, .events = c->phase == SENDING ? POLLOUT : POLLIN };
		deadline_ns = c->deadline_ns < deadline_ns ? c->deadline_ns : deadline_ns;
	}
	return deadline_ns;
}

static void serve_until_signal(struct server *s, int listen_fd)
{
	struct pollfd fds[1 + CLIENTS_MAX];
	while (!s->o->stage.one_off || s->connections == 0 || s->n > 0) {
		uint64_t deadline_ns = wishes(s, listen_fd, fds);
		if (sig_wait(fds, 1 + s->n, deadline_ns) < 0)
			die_errno("poll");
		if (sig_pending(NULL) != 0)
			break;
		for (unsigned i = 0; i < s->n; i++) {
			if (fds[1 + i].revents != 0)
				serve_some(s, &s->clients[i]);
			check_deadline(s, &s->clients[i]);
		}
		if (fds[0].revents != 0)
			accept_client(s, listen_fd);
		forget_those_over(s);
	}
	for (unsigned i = 0; i < s->n; i++)
		close_client(s, &s->clients[i], ECANCELED);
}

static int run_server(const struct options *o)
{
	static struct server s; /* static: with its clients and counters it is large */
	static struct netcounts end;
	char text[ADDR_TEXT];
	struct json j;
	struct sock_options so = { .send_buffer = o->send_buffer };
	s.o = o;
	s.source = open_source(o);
	count(&s, &s.begin);
	int listen_fd = stage_listen(&o->stage, o->stage.port, &so, text);
	if (listen_fd < 0)
		return 1;
	if (o->stage.json) {
		record_begin(&j, "start");
		json_str(&j, "role", "server");
		json_str(&j, "listening", text);
		json_str(&j, "close", endings[o->ending]);
		json_u64(&j, "bytes", s.source.len);
		json_end(&j);
	}
	serve_until_signal(&s, listen_fd);
	close(listen_fd);
	count(&s, &end);
	if (o->stage.json) {
		record_begin(&j, "total");
		json_str(&j, "role", "server");
		json_u64(&j, "connections", s.connections);
		put_counters(&j, &s.begin, &end);
		json_bool(&j, "interrupted", sig_pending(NULL) != 0);
		json_end(&j);
	}
	return sig_exit_status(0);
}

/* --- the client -------------------------------------------------------------------------------------------------- */

/* What arrived on one connection. */
struct got {
	int fd;
	uint64_t bytes, right; /* right: up to the first that is not what was sent */
	const char *end;       /* how the server's direction ended: fin, rst, none */
	bool is_complete;      /* all of it, each byte in place, and then the FIN */
};

static uint64_t check_bytes(const struct source *s, uint64_t at, const unsigned char *p, size_t n)
{
	unsigned char wanted[CHUNK];
	size_t same = 0;
	ssize_t have = read_source(s, at, wanted, n);
	while (have > 0 && same < (size_t)have && p[same] == wanted[same])
		same++;
	return same;
}

/* Reads to the server's end, whichever. 0, or -1 with errno. */
static int read_all(const struct options *o, const struct source *s, struct got *g)
{
	unsigned char chunk[CHUNK];
	ssize_t n;
	while ((n = stage_recv(&o->stage, g->fd, chunk, sizeof(chunk))) > 0) {
		if (g->right == g->bytes)
			g->right += check_bytes(s, g->right, chunk, (size_t)n);
		g->bytes += (uint64_t)n;
	}
	int error = n < 0 ? errno : 0;
	g->end = n == 0 ? "fin" : error == ECONNRESET ? "rst" : "none";
	g->is_complete = n == 0 && g->bytes == s->len && g->right == s->len;
	errno = error;
	return n < 0 ? -1 : 0;
}

/* Has the server done that? Its kernel is ours, and knows. 1, 0, or -1 with errno. */
static int has_come(const struct options *o, struct sockdiag *d, int fd)
{
	struct sockdiag_socket server;
	struct addr ours, theirs;
	struct net_error e;
	if (addr_of_socket(fd, &ours) < 0 || addr_of_peer(fd, &theirs) < 0)
		return 1; /* ENOTCONN: its reset is here already */
	int rc = sockdiag_find(d, &theirs, &ours, 0, &server, &e);
	if (rc < 0)
		errno = e.sys;
	if (rc <= 0)
		return rc < 0 ? -1 : 1;
	bool has_ended = server.state != SOCKDIAG_ESTABLISHED && server.state != SOCKDIAG_SYN_RECEIVED;
	return has_ended && (o->until == ENDED || server.inode == 0);
}

/* Waits for that, without reading a byte. 0, or -1 with errno. */
static int wait_for_server(const struct options *o, int fd)
{
	struct sockdiag d;
	struct net_error e = { 0 };
	uint64_t deadline_ns = clk_mono_ns() + o->stage.timeout_ns;
	if (sockdiag_open(&d, &e) < 0)
		stage_fail(&o->stage, &e);
	int rc = 0, error = 0;
	while ((rc = has_come(o, &d, fd)) == 0 && clk_mono_ns() < deadline_ns) {
		/* There is no event for what happens to another one's socket: look again in a millisecond. */
		if (sig_wait_fd(-1, 0, NS_PER_MS) < 0 && errno == ECANCELED) {
			error = ECANCELED;
			break;
		}
	}
	if (error == 0)
		error = rc < 0 ? errno : rc == 0 ? ETIMEDOUT : 0;
	sockdiag_close(&d);
	tracef("the server's end of the connection: %s", error == 0 ? untils[o->until] : errno_name(error));
	errno = error;
	return error != 0 ? -1 : 0;
}

static int say_something(const struct options *o, int fd)
{
	static const unsigned char zeros[CHUNK];
	uint64_t said = 0;
	while (said < o->request_len) {
		size_t n = o->request_len - said < CHUNK ? (size_t)(o->request_len - said) : CHUNK;
		if (stage_send_all(&o->stage, fd, zeros, n, &said) < 0)
			return -1;
	}
	return 0;
}

/* The second client's connection, and how long it waited for its first byte. */
struct second {
	struct got got;
	uint64_t wait_ns;
	bool in_pause; /* served while the first one had not begun to read */
};

static int connect_one(const struct options *o, bool says)
{
	struct net_error e = { 0 };
	struct sock_options so = { .receive_buffer = o->receive_buffer };
	int fd = stage_connect(&o->stage, &so, &e);
	if (fd < 0 && e.sys != ECANCELED)
		stage_fail(&o->stage, &e);
	if (fd < 0)
		errno = ECANCELED;
	/* Whoever has been reset meanwhile hears it when he reads. */
	if (fd >= 0 && says && say_something(o, fd) < 0 && errno != EPIPE && errno != ECONNRESET) {
		close(fd);
		return -1;
	}
	return fd;
}

/* The client is busy with something else; the second one, if there is one, comes and waits to be served. */
static int pause_reading(const struct options *o, struct second *two)
{
	uint64_t begin_ns = clk_mono_ns();
	if (o->second && (two->got.fd = connect_one(o, true)) < 0)
		return -1;
	if (o->second && sig_wait_fd(two->got.fd, POLLIN, o->delay_ns) == 0) {
		two->wait_ns = clk_mono_ns() - begin_ns;
		two->in_pause = true;
	}
	uint64_t passed_ns = clk_mono_ns() - begin_ns;
	if (sig_wait_fd(-1, 0, passed_ns < o->delay_ns ? o->delay_ns - passed_ns : 0) < 0 && errno == ECANCELED)
		return -1;
	return 0;
}

static int finish_second(const struct options *o, const struct source *s, struct second *two, uint64_t began_ns)
{
	if (two->got.fd < 0)
		return 0;
	if (!two->in_pause && sig_wait_fd(two->got.fd, POLLIN, o->stage.timeout_ns) < 0)
		return -1;
	if (!two->in_pause)
		two->wait_ns = clk_mono_ns() - began_ns;
	if (read_all(o, s, &two->got) < 0 && errno != ECONNRESET)
		return -1;
	return 0;
}

/* The whole of it. 0, or -1 with errno: what the first connection died of, or why we gave up. */
static int be_client(const struct options *o, const struct source *s, struct got *g, struct second *two)
{
	if ((g->fd = connect_one(o, !o->late)) < 0 || (o->until >= 0 && wait_for_server(o, g->fd) < 0))
		return -1;
	if (o->late && say_something(o, g->fd) < 0)
		return -1;
	uint64_t began_ns = clk_mono_ns();
	if (pause_reading(o, two) < 0)
		return -1;
	int rc = read_all(o, s, g), error = errno;
	close(g->fd); /* the server may wait for that */
	g->fd = -1;
	if (finish_second(o, s, two, began_ns) < 0)
		return -1;
	errno = error;
	return rc;
}

static void report_text(const struct source *s, const struct got *g, const struct second *two, int error)
{
	printf("%" PRIu64 " of %" PRIu64 " bytes arrived, %" PRIu64 " right, %" PRIu64
	       " lost; the server's end: %s%s%s\n",
	       g->bytes, s->len, g->right, s->len > g->right ? s->len - g->right : 0, g->end, error != 0 ? ", " : "",
	       error != 0 ? strerror(error) : "");
	if (two->wait_ns != 0)
		printf("a second client waited %.1f ms for its first byte: %s the first one was reading\n",
		       (double)two->wait_ns / NS_PER_MS, two->in_pause ? "served before" : "not served before");
}

static void report_client(const struct options *o, const struct source *s, const struct got *g,
			  const struct second *two, int error)
{
	if (!o->stage.json) {
		report_text(s, g, two, error);
		return;
	}
	struct json j;
	record_begin(&j, "total");
	json_str(&j, "role", "client");
	json_bool(&j, "fixed", o->fixed);
	json_u64(&j, "bytes", s->len);
	json_u64(&j, "received_bytes", g->bytes);
	json_u64(&j, "right_bytes", g->right);
	json_u64(&j, "lost_bytes", s->len > g->right ? s->len - g->right : 0);
	json_str(&j, "server_end", g->end);
	json_bool(&j, "complete", g->is_complete);
	if (two->wait_ns != 0) {
		json_u64(&j, "second_wait_ns", two->wait_ns);
		json_bool(&j, "second_in_pause", two->in_pause);
		json_bool(&j, "second_complete", two->got.is_complete);
	}
	json_str(&j, "errno", stage_symbol(error));
	json_bool(&j, "interrupted", sig_pending(NULL) != 0);
	json_end(&j);
}

static int run_client(const struct options *o)
{
	struct got got = { .fd = -1, .end = "none" };
	struct second two = { .got = { .fd = -1, .end = "none" } };
	struct source source = open_source(o);
	int error = be_client(o, &source, &got, &two) < 0 ? errno : 0;
	report_client(o, &source, &got, &two, error);
	/* The mistakes are to show a loss, or a client that has to wait for another one; the fixed twin neither. */
	bool is_well = got.is_complete && (!o->second || (two.in_pause && two.got.is_complete));
	return sig_exit_status(is_well == o->fixed ? 0 : 3);
}

/* --- options and main -------------------------------------------------------------------------------------------- */

static const char *const synopsis[] = {
	"-s [-p PORT] [--close HOW | --fixed] [--bytes SIZE | FILE] [options]",
	"HOST [-p PORT] [--fixed] [--bytes SIZE | FILE] [options]",
	NULL,
};

static const char *const about[] = {
	"sender shows what close(2) does to bytes that are still on their way. The server sends to whoever connects, "
	"and ends in one of five ways; each time send(2) and close(2) say that all is well. With --fixed it ends its "
	"direction only (shutdown(2)), reads to the client's end, and closes then.",
	"The client says one byte, which the server never reads, is busy for a while, and reads then, comparing each "
	"byte. Any other program can be the client as well, and be sent a FILE.",
	NULL,
};

static const struct arg_example examples[] = {
	{ "sender -s", "send 256 KiB to whoever comes, and close" },
	{ "sender localhost", "ask, be busy, read: most of it is lost" },
	{ "sender -s --fixed", "the safe close; with sender localhost --fixed nothing is lost" },
	{ "sender -s --close linger", "a close that waits, and all clients with it" },
	{ "sender localhost --request 0 --until ended --second", "how long a second client has to wait" },
	{ "sender -s --fixed FILE", "then: nc localhost 2020 </dev/null | cmp - FILE" },
	{ 0 },
};

static const struct arg_example statuses[] = {
	{ "3", "a client to which everything came, or with --fixed one to which it did not" },
	{ 0 },
};

static struct options parse_options(int argc, char **argv)
{
	struct options o = {
		.stage = { .port = DEFAULT_PORT, STAGE_DEFAULTS },
		.ending = -1,
		.until = -1,
		.bytes = 256 * 1024,
		.request_len = 1,
		.delay_ns = UINT64_C(300) * NS_PER_MS,
		.linger_ns = UINT64_C(5) * NS_PER_S,
		.send_buffer = 256 * 1024,
		.receive_buffer = 16 * 1024,
	};
	/* clang-format off */
	const struct arg rows[] = {
		{ .help = "Server:" },
		STAGE_ROLE_ROWS(o.stage),
		{ '\0', "close", ARG_CHOICE, &o.ending, .value_name = "HOW", .help = "naive (as it is first), linger0, linger, shutdown, safe", .choices = endings },
		{ '\0', "on-request", ARG_FLAG, &o.on_request, .help = "send when the client has said something, which is not read" },
		{ '\0', "read-request", ARG_FLAG, &o.read_request, .help = "the same, and read it, once" },
		{ '\0', "linger", ARG_DURATION, &o.linger_ns, 1, STAGE_DAY_NS, "D", "with --close linger: wait for so long at most; whole seconds" },
		{ '\0', "send-buffer", ARG_SIZE, &o.send_buffer, 0, UINT32_MAX / 4, "SIZE", "the kernel takes so much from us (SO_SNDBUF); 0: as it likes" },
		{ .help = "Client:" },
		{ '\0', "request", ARG_SIZE, &o.request_len, 0, LEN_MAX, "SIZE", "say so many bytes" },
		{ '\0', "until", ARG_CHOICE, &o.until, .value_name = "WHEN", .help = "be busy until the server, on this host, has ended or closed; then for --delay", .choices = untils },
		{ '\0', "delay", ARG_DURATION, &o.delay_ns, 0, STAGE_DAY_NS, "D", "be busy for so long before reading" },
		{ '\0', "late", ARG_FLAG, &o.late, .help = "with --until: say it then" },
		{ '\0', "second", ARG_FLAG, &o.second, .help = "while we are busy, a second client comes" },
		{ '\0', "receive-buffer", ARG_SIZE, &o.receive_buffer, 0, UINT32_MAX / 4, "SIZE", "SO_RCVBUF; 0: as the kernel likes" },
		{ .help = "Both:" },
		{ '\0', "bytes", ARG_SIZE, &o.bytes, 0, LEN_MAX, "SIZE", "so much is sent, and expected" },
		{ '\0', "fixed", ARG_FLAG, &o.fixed, .help = "server: --close safe; client: expect everything" },
		STAGE_COMMON_ROWS(o.stage),
		{ 0 },
	};
	/* clang-format on */
	const struct arg_spec spec = {
		.tool = "sender",
		.one_line = "shows what close(2) does to bytes that are still on their way",
		.synopsis = synopsis,
		.about = about,
		.args = rows,
		.examples = examples,
		.exit_statuses = statuses,
		.see_also = "tcplab(1), shutdown(2), close(2), socket(7). Each figure explained: docs/tools/sender.md.",
	};
	char **operands = argv + args_parse(&spec, argc, argv);
	char *host[] = { o.stage.server || *operands == NULL ? NULL : *operands++, NULL };
	stage_check(&o.stage, host);
	o.file = *operands;
	if (o.file != NULL && operands[1] != NULL)
		args_misuse("'%s' is too much", operands[1]);
	return o;
}

static void check_options(struct options *o)
{
	if (o->fixed && o->ending >= 0 && o->ending != SAFE)
		args_misuse("--fixed is --close safe");
	if (!o->stage.server && (o->ending >= 0 || o->on_request || o->read_request))
		args_misuse("--close, --on-request and --read-request are for the server (-s)");
	if (o->stage.server && (o->until >= 0 || o->late || o->second))
		args_misuse("--until, --late and --second are for a client");
	if (o->late && o->until < 0)
		args_misuse("--late needs --until");
	if (o->ending < 0)
		o->ending = o->fixed ? SAFE : NAIVE;
}

int main(int argc, char **argv)
{
	diag_tool = "sender";
	setvbuf(stdout, NULL, _IOLBF, 0);
	struct options o = parse_options(argc, argv);
	check_options(&o);
	sig_open();

	return record_finish(o.stage.server ? run_server(&o) : run_client(&o));
}
