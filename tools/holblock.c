/* holblock - a small message behind a large one: on one connection what is urgent waits for the bulk.
 *
 * Try:       holblock -s                              in one terminal
 *            holblock localhost --pace 20mbit         in another: bulk and small messages on one connection
 *            holblock localhost --pace 20mbit --fixed                the message has a connection of its own
 *            holblock localhost --pace 20mbit --notsent-lowat 16K    one, and the kernel takes little in advance
 *            holblock localhost --pace 20mbit --send-buffer 16K      the same by a small send buffer
 * Look for:  PITFALL below: the message is first in the program's queue, and that is the wrong queue.
 * Labs:      14-head-of-line.
 *
 * This is head-of-line blocking. A connection is one stream of bytes: what has been handed to the kernel is delivered
 * in that order, and there is no lane to overtake. The kernel takes much more than the network can carry at once:
 *
 *     program    send buffer of the kernel       queues of the network         receive buffer    program
 *     [u]  --->  [b b b b b b b b b b b b]  ---> [b b b b b] ---------------> [b]          --->
 *                "not sent": megabytes           "sent": cwnd                  in order
 *
 * Each message is answered, and the time from when it was due to the answer is what it cost. When it is handed over,
 * the kernel is asked how much is ahead of it (tcp(7), TCP_INFO tcpi_notsent_bytes, SIOCOUTQ).
 *
 * On the wire, both ways: 4 bytes kind (1 bulk, 2 message, 3 answer), 4 bytes length, 8 bytes number, big-endian; and
 * so many bytes. An answer has the number of its message and length 0.
 *
 * The chapters: frames, the server, the client's two lines, its loop, reports, options and main.
 *
 * LIMIT: bulk goes one way only. */
#include "args.h"
#include "clock.h"
#include "diag.h"
#include "hist.h"
#include "record.h"
#include "sig.h"
#include "sock.h"
#include "tcpinfo.h"
#include "units.h"
#include "wire.h"

#include "pitfall/stage.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { DEFAULT_PORT = 2032, HEAD_LEN = 16, URGENT_LEN = 64, CHUNK_MAX = 1024 * 1024, PEERS = 32, READ_LEN = 64 * 1024 };
enum { BULK = 1, URGENT = 2, ANSWER = 3 };
enum { IDLE_MESSAGES = 5 }; /* at the beginning, without bulk: what they would cost */

struct options {
	struct stage stage;
	bool fixed;
	uint64_t time_ns, warm_up_ns, interval_ns, chunk, lowat, send_buffer, pace_Bps;
	const char *congestion;
};

/* --- frames ------------------------------------------------------------------------------------------------------ */

/* What has come in so far of the frame that is coming in. */
struct incoming {
	unsigned char head[HEAD_LEN];
	size_t have;   /* of the head */
	uint64_t left; /* of what follows it */
};

static void put_head(unsigned char *p, uint32_t kind, uint32_t len, uint64_t number)
{
	be32_put(p, kind);
	be32_put(p + 4, len);
	be64_put(p + 8, number);
}

/* Takes from p what belongs to the frame that is coming in; how much that was. It is complete when head and left say
 * so. */
static size_t take(struct incoming *f, const unsigned char *p, size_t n)
{
	size_t at = 0;
	if (f->have < HEAD_LEN) {
		at = n < HEAD_LEN - f->have ? n : HEAD_LEN - f->have;
		memcpy(f->head + f->have, p, at);
		f->have += at;
		f->left = f->have == HEAD_LEN ? be32_get(f->head + 4) : 0;
	}
	uint64_t body = n - at < f->left ? n - at : f->left;
	f->left -= body;
	return at + (size_t)body;
}

static bool is_complete(const struct incoming *f)
{
	return f->have == HEAD_LEN && f->left == 0;
}

/* --- the server -------------------------------------------------------------------------------------------------- */

struct peer {
	int fd; /* -1: this place is free */
	char name[ADDR_TEXT];
	struct incoming frame;
	uint64_t bulk_bytes, urgent, heard_ns;
};

static void report_peer(const struct options *o, const struct peer *p, int error)
{
	if (!o->stage.json) {
		printf("%s: %" PRIu64 " bytes of bulk, %" PRIu64 " messages answered%s%s\n", p->name, p->bulk_bytes,
		       p->urgent, error != 0 ? ": " : "", error != 0 ? strerror(error) : "");
		return;
	}
	struct json j;
	record_begin(&j, "connection");
	json_str(&j, "peer", p->name);
	json_u64(&j, "bulk_bytes", p->bulk_bytes);
	json_u64(&j, "messages", p->urgent);
	json_str(&j, "errno", stage_symbol(error));
	json_end(&j);
}

/* A whole frame is there. An answer that the kernel does not take at once is for somebody who reads none. */
static int serve_frame(struct peer *p)
{
	unsigned char answer[HEAD_LEN];
	uint32_t len = be32_get(p->frame.head + 4);
	p->frame.have = 0;
	if (be32_get(p->frame.head) == BULK) {
		p->bulk_bytes += HEAD_LEN + len;
		return 0;
	}
	put_head(answer, ANSWER, 0, be64_get(p->frame.head + 8));
	ssize_t n = send(p->fd, answer, sizeof(answer), MSG_DONTWAIT | MSG_NOSIGNAL);
	tracef("send(%d, answer) = %zd", p->fd, n);
	if (n == sizeof(answer)) {
		p->urgent++;
		return 0;
	}
	errno = n < 0 ? errno : EAGAIN;
	return -1;
}

static bool is_head_well(const struct incoming *f)
{
	uint32_t kind = be32_get(f->head);
	return f->have < HEAD_LEN || ((kind == BULK || kind == URGENT) && be32_get(f->head + 4) <= CHUNK_MAX);
}

/* Reads once, and answers what is complete. 1: there may be more, 0: the peer's end, -1: errno. */
static int serve_peer(struct peer *p)
{
	static unsigned char buffer[READ_LEN];
	ssize_t n = recv(p->fd, buffer, sizeof(buffer), MSG_DONTWAIT);
	if (n < 0)
		return errno == EAGAIN ? 1 : -1;
	p->heard_ns = clk_mono_ns();
	for (size_t at = 0; at < (size_t)n;) {
		at += take(&p->frame, buffer + at, (size_t)n - at);
		if (!is_head_well(&p->frame)) {
			errno = EPROTO;
			return -1;
		}
		if (is_complete(&p->frame) && serve_frame(p) < 0)
			return -1;
	}
	return n > 0;
}

static void let_go(const struct options *o, struct peer *p, int error)
{
	report_peer(o, p, error);
	if (error != 0)
		sock_abort(p->fd);
	else
		close(p->fd);
	p->fd = -1;
}

/* A new one; with no place left it waits in the backlog. */
static void let_in(struct peer *p, int listen_fd)
{
	struct addr from;
	const int on = 1;
	*p = (struct peer){ .fd = stage_accept(listen_fd, &from), .heard_ns = clk_mono_ns() };
	if (p->fd >= 0)
		addr_text(&from, p->name);
	if (p->fd >= 0 && setsockopt(p->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0)
		warnf_errno("set TCP_NODELAY");
}

/* All of them at once, since a client may have two connections. How many there were. */
static uint64_t serve_all(const struct options *o, int listen_fd)
{
	static struct peer peers[PEERS];
	struct pollfd fds[PEERS + 1];
	uint64_t connections = 0;
	for (size_t i = 0; i < PEERS; i++)
		peers[i].fd = -1;
	while (sig_pending(NULL) == 0) {
		struct peer *free_place = NULL;
		bool is_anybody_here = false;
		for (size_t i = 0; i < PEERS; i++) {
			struct peer *p = &peers[i];
			if (p->fd >= 0 && clk_mono_ns() - p->heard_ns > o->stage.timeout_ns)
				let_go(o, p, ETIMEDOUT);
			is_anybody_here |= p->fd >= 0;
			free_place = p->fd < 0 ? p : free_place;
			fds[i] = (struct pollfd){ .fd = p->fd, .events = POLLIN };
		}
		if (o->stage.one_off && connections > 0 && !is_anybody_here)
			break;
		fds[PEERS] = (struct pollfd){ .fd = free_place != NULL ? listen_fd : -1, .events = POLLIN };
		uint64_t look_ns = is_anybody_here ? clk_mono_ns() + o->stage.timeout_ns : CLK_NEVER;
		if (sig_wait(fds, PEERS + 1, look_ns) < 0)
			die_errno("poll");
		for (size_t i = 0; i < PEERS; i++) {
			int rc = fds[i].revents != 0 ? serve_peer(&peers[i]) : 1;
			if (rc <= 0)
				let_go(o, &peers[i], rc < 0 ? errno : 0);
		}
		if (fds[PEERS].revents != 0 && sig_pending(NULL) == 0) {
			let_in(free_place, listen_fd);
			connections += free_place->fd >= 0;
		}
	}
	for (size_t i = 0; i < PEERS; i++)
		if (peers[i].fd >= 0)
			let_go(o, &peers[i], ECANCELED);
	return connections;
}

static int run_server(const struct options *o)
{
	char text[ADDR_TEXT];
	struct json j;
	int listen_fd = stage_listen(&o->stage, o->stage.port, NULL, text);
	if (listen_fd < 0)
		return 1;
	if (o->stage.json) {
		record_begin(&j, "start");
		json_str(&j, "role", "server");
		json_str(&j, "listening", text);
		json_end(&j);
	}
	uint64_t connections = serve_all(o, listen_fd);
	close(listen_fd);
	return stage_report_served(&o->stage, "server", connections);
}

/* --- the client's two lines -------------------------------------------------------------------------------------- */

/* A connection, and the frame that is being written to it. */
struct line {
	int fd;
	struct incoming answer;
	unsigned char frame[HEAD_LEN + CHUNK_MAX];
	size_t at, len; /* frame[at, len) is still to be written */
	bool is_bulk;   /* that is what it is */
};

/* What the messages found, without bulk and beside it. */
struct found {
	struct hist trip_ns, not_sent, sent; /* the last two: bytes ahead of a message when it was handed over */
	uint64_t queue_max;                  /* the most that was ahead */
};

struct client {
	const struct options *o;
	struct line *bulk, *urgent; /* the same one: that is the mistake */
	uint64_t zero_ns;           /* message n is due at zero + n intervals */
	uint64_t due, handed, answered;
	uint64_t bulk_taken;                /* bytes of bulk that the kernel took */
	uint64_t from_bytes, from_ns;       /* at the beginning of what counts */
	uint64_t arrived_bytes, arrived_ns; /* of bulk, in what counts */
	uint64_t moved_ns;                  /* when something moved last */
	struct found idle, busy;
};

static struct line *open_line(const struct options *o, bool has_bulk, struct net_error *e)
{
	static struct line lines[2];
	/* WHY nodelay: Nagle's algorithm would hold back the end of a message as well, for another reason (lab 12). */
	struct sock_options so = { .nodelay = true, .congestion = o->congestion };
	if (has_bulk) {
		so.send_buffer = o->send_buffer;
		so.pacing_Bps = o->pace_Bps;
	}
	struct line *l = &lines[has_bulk];
	*l = (struct line){ .fd = stage_connect(&o->stage, &so, e) };
	if (l->fd < 0)
		return NULL;
	int lowat = (int)o->lowat;
	if (has_bulk && lowat != 0 && setsockopt(l->fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &lowat, sizeof(lowat)) < 0) {
		net_fail(e, "set", "TCP_NOTSENT_LOWAT");
		return NULL;
	}
	return l;
}

static uint64_t now_of(const struct client *c)
{
	return clk_mono_ns() - c->zero_ns;
}

/* The three times: until here there is no bulk, until there it does not count yet, and then it is over. */
static uint64_t bulk_from(const struct options *o)
{
	return IDLE_MESSAGES * o->interval_ns;
}

static uint64_t counts_from(const struct options *o)
{
	return bulk_from(o) + o->warm_up_ns;
}

static uint64_t ends_at(const struct options *o)
{
	return counts_from(o) + o->time_ns;
}

/* Where message `number` belongs; NULL: nowhere, the connection is still warming up. */
static struct found *found_of(struct client *c, uint64_t number)
{
	uint64_t due_ns = number * c->o->interval_ns;
	return due_ns < bulk_from(c->o) ? &c->idle : due_ns < counts_from(c->o) ? NULL : &c->busy;
}

/* Just before message `number` is handed over: what is ahead of it on its connection? */
static void look_ahead(struct client *c, uint64_t number)
{
	struct tcpinfo info;
	struct found *f = found_of(c, number);
	if (f == NULL || tcpinfo_get(c->urgent->fd, &info) < 0)
		return;
	uint64_t not_sent = info.not_sent < info.send_queue ? info.not_sent : info.send_queue;
	hist_add(&f->not_sent, not_sent);
	hist_add(&f->sent, info.send_queue - not_sent);
	f->queue_max = info.send_queue > f->queue_max ? info.send_queue : f->queue_max;
}

/* Is there something to be written to this line, a message first? Then it is in l->frame. */
static bool has_frame(struct client *c, struct line *l)
{
	const struct options *o = c->o;
	uint64_t now_ns = now_of(c);
	if (l->at < l->len)
		return true;
	bool is_urgent = l == c->urgent && c->handed < c->due;
	l->is_bulk = !is_urgent && l == c->bulk && now_ns >= bulk_from(o) && now_ns < ends_at(o);
	if (!is_urgent && !l->is_bulk)
		return false;
	/* PITFALL: in the program's own queue the message is first: it is written before the next piece of bulk. But
	 * whatever was written before it is ahead of it on the same connection, and that is not one piece, it is all
	 * that the kernel was ready to take: a send buffer full. Priorities on one stream end where send(2) begins.
	 * The fixes: a connection of its own for what is urgent (--fixed), or not to hand over what cannot leave yet
	 * (--notsent-lowat, --send-buffer). */
	size_t body = is_urgent ? URGENT_LEN : (size_t)o->chunk;
	if (is_urgent)
		look_ahead(c, c->handed);
	put_head(l->frame, is_urgent ? URGENT : BULK, (uint32_t)body, is_urgent ? c->handed++ : 0);
	l->at = 0;
	l->len = HEAD_LEN + body;
	return true;
}

/* One write. 0, or -1 with errno. */
static int write_some(struct client *c, struct line *l)
{
	ssize_t n = send(l->fd, l->frame + l->at, l->len - l->at, MSG_DONTWAIT | MSG_NOSIGNAL);
	tracef("send(%d, %zu of a %s) = %zd", l->fd, l->len - l->at, l->is_bulk ? "piece" : "message", n);
	if (n < 0)
		return errno == EAGAIN ? 0 : -1;
	l->at += (size_t)n;
	c->bulk_taken += l->is_bulk ? (uint64_t)n : 0;
	c->moved_ns = now_of(c);
	return 0;
}

/* Answers come in the order of the messages: the server sees them in that order. */
static int take_answer(struct client *c, struct line *l)
{
	uint64_t number = be64_get(l->answer.head + 8);
	l->answer.have = 0;
	if (be32_get(l->answer.head) != ANSWER || be32_get(l->answer.head + 4) != 0 || number != c->answered ||
	    c->answered >= c->handed) {
		errno = EPROTO;
		return -1;
	}
	struct found *f = found_of(c, number);
	if (f != NULL)
		hist_add(&f->trip_ns, now_of(c) - number * c->o->interval_ns);
	c->answered++;
	return 0;
}

/* One read. 0, or -1 with errno; the peer's end, of which there should be none, is EPIPE. */
static int read_some(struct client *c, struct line *l)
{
	unsigned char buffer[READ_LEN];
	ssize_t n = recv(l->fd, buffer, sizeof(buffer), MSG_DONTWAIT);
	tracef("recv(%d) = %zd", l->fd, n);
	if (n < 0)
		return errno == EAGAIN ? 0 : -1;
	if (n == 0) {
		errno = EPIPE;
		return -1;
	}
	c->moved_ns = now_of(c);
	for (size_t at = 0; at < (size_t)n;) {
		/* An answer has nothing behind its head: whoever announces more is no server of ours. */
		at += take(&l->answer, buffer + at, (size_t)n - at);
		if (l->answer.have == HEAD_LEN && take_answer(c, l) < 0)
			return -1;
	}
	return 0;
}

/* --- its loop ---------------------------------------------------------------------------------------------------- */

/* How much of the bulk has arrived: what the kernel took and has not left. */
static uint64_t arrived(const struct client *c)
{
	struct tcpinfo info;
	if (tcpinfo_get(c->bulk->fd, &info) < 0 || info.send_queue > c->bulk_taken)
		return 0;
	return c->bulk_taken - info.send_queue;
}

static void look_at_clock(struct client *c)
{
	const struct options *o = c->o;
	uint64_t now_ns = now_of(c);
	while (c->due * o->interval_ns <= now_ns && c->due * o->interval_ns < ends_at(o))
		c->due++;
	if (now_ns >= counts_from(o) && c->from_ns == 0) {
		c->from_ns = now_ns;
		c->from_bytes = arrived(c);
	}
	if (now_ns >= ends_at(o) && c->arrived_ns == 0) {
		c->arrived_ns = now_ns - c->from_ns;
		c->arrived_bytes = arrived(c) - c->from_bytes;
	}
}

/* When something has to be done, whatever happens on the lines. */
static uint64_t wakes_at(const struct client *c)
{
	const struct options *o = c->o;
	uint64_t now_ns = now_of(c), give_up_ns = c->moved_ns + o->stage.timeout_ns;
	uint64_t times[] = { c->due * o->interval_ns, bulk_from(o), counts_from(o), ends_at(o) };
	uint64_t first_ns = give_up_ns;
	for (size_t i = 0; i < COUNT_OF(times); i++)
		if (times[i] > now_ns && times[i] < first_ns)
			first_ns = times[i];
	return c->zero_ns + first_ns;
}

/* Both lines, until it is over and each message is answered. 0, or -1 with errno. */
static int converse(struct client *c)
{
	struct line *lines[2] = { c->urgent, c->bulk };
	unsigned n = c->urgent == c->bulk ? 1 : 2;
	c->zero_ns = clk_mono_ns();
	for (;;) {
		struct pollfd fds[2];
		look_at_clock(c);
		if (c->arrived_ns != 0 && c->answered == c->due)
			return 0;
		for (unsigned i = 0; i < n; i++)
			fds[i] = (struct pollfd){ .fd = lines[i]->fd,
						  .events = (short)(POLLIN | (has_frame(c, lines[i]) ? POLLOUT : 0)) };
		int ready = sig_wait(fds, n, wakes_at(c));
		if (ready < 0)
			return -1;
		errno = sig_pending(NULL) != 0 ? ECANCELED : ETIMEDOUT;
		if (errno == ECANCELED || now_of(c) - c->moved_ns >= c->o->stage.timeout_ns)
			return -1;
		for (unsigned i = 0; i < n && ready > 0; i++) {
			if (fds[i].revents & (POLLIN | POLLERR | POLLHUP) && read_some(c, lines[i]) < 0)
				return -1;
			if (fds[i].revents & POLLOUT && write_some(c, lines[i]) < 0)
				return -1;
		}
	}
}

/* --- reports ----------------------------------------------------------------------------------------------------- */

static const char *how(const struct options *o)
{
	return o->fixed ? "two" : o->lowat != 0 ? "lowat" : o->send_buffer != 0 ? "sndbuf" : "one";
}

static void report_start(const struct options *o)
{
	char chunk[UNITS_TEXT], interval[UNITS_TEXT];
	if (!o->stage.json) {
		printf("%s: bulk in pieces of %s, and a message of %d bytes each %s\n",
		       o->fixed ? "a connection for each" : "one connection", units_size(chunk, o->chunk), URGENT_LEN,
		       units_duration(interval, o->interval_ns));
		return;
	}
	struct json j;
	record_begin(&j, "start");
	json_str(&j, "role", "client");
	json_str(&j, "host", o->stage.host);
	json_str(&j, "how", how(o));
	json_u64(&j, "chunk_bytes", o->chunk);
	json_u64(&j, "interval_ns", o->interval_ns);
	json_end(&j);
}

static void print_found(const char *when, const struct found *f)
{
	char t[3][UNITS_TEXT], not_sent[UNITS_TEXT], sent[UNITS_TEXT];
	printf("%-12s %5" PRIu64 " %10s %10s %10s %16s %16s\n", when, f->trip_ns.n,
	       units_duration(t[0], hist_quantile(&f->trip_ns, 0.5)),
	       units_duration(t[1], hist_quantile(&f->trip_ns, 0.99)), units_duration(t[2], f->trip_ns.max),
	       units_size(not_sent, hist_quantile(&f->not_sent, 0.5)), units_size(sent, hist_quantile(&f->sent, 0.5)));
}

static double rate_Bps(const struct client *c)
{
	return c->arrived_ns != 0 ? (double)c->arrived_bytes * NS_PER_S / (double)c->arrived_ns : 0;
}

static void print_total(const struct client *c)
{
	char rate[UNITS_TEXT], ahead[UNITS_TEXT], wait[UNITS_TEXT];
	const struct found *f = &c->busy;
	uint64_t bytes = hist_quantile(&f->not_sent, 0.5) + hist_quantile(&f->sent, 0.5);
	printf("%-12s %5s %10s %10s %10s %16s\n", "", "", "round trip", "", "", "ahead of it:");
	printf("%-12s %5s %10s %10s %10s %16s %16s\n", "messages", "n", "median", "99 %", "worst", "not yet sent",
	       "under way");
	print_found("alone", &c->idle);
	print_found("with bulk", f);
	printf("bulk: %s arrived", units_rate(rate, rate_Bps(c)));
	if (rate_Bps(c) > 0 && bytes > 0)
		printf("; %s take %s at that rate", units_size(ahead, bytes),
		       units_duration(wait, (uint64_t)((double)bytes * NS_PER_S / rate_Bps(c))));
	printf("\n");
}

static void put_found(struct json *j, const char *key, const struct found *f)
{
	json_object(j, key);
	json_u64(j, "messages", f->trip_ns.n);
	json_u64(j, "min_ns", f->trip_ns.min);
	json_u64(j, "p50_ns", hist_quantile(&f->trip_ns, 0.5));
	json_u64(j, "p90_ns", hist_quantile(&f->trip_ns, 0.9));
	json_u64(j, "p99_ns", hist_quantile(&f->trip_ns, 0.99));
	json_u64(j, "max_ns", f->trip_ns.max);
	json_u64(j, "not_sent_p50_bytes", hist_quantile(&f->not_sent, 0.5));
	json_u64(j, "not_sent_max_bytes", f->not_sent.max);
	json_u64(j, "sent_p50_bytes", hist_quantile(&f->sent, 0.5));
	json_u64(j, "queue_max_bytes", f->queue_max);
	json_close(j);
}

static void report_total(const struct client *c, bool as_promised, int error)
{
	if (!c->o->stage.json) {
		print_total(c);
		return;
	}
	struct json j;
	record_begin(&j, "total");
	json_str(&j, "role", "client");
	json_str(&j, "how", how(c->o));
	json_u64(&j, "sent_messages", c->handed);
	json_u64(&j, "answered_messages", c->answered);
	json_u64(&j, "p50_ns", hist_quantile(&c->busy.trip_ns, 0.5));
	json_u64(&j, "p99_ns", hist_quantile(&c->busy.trip_ns, 0.99));
	json_u64(&j, "idle_p50_ns", hist_quantile(&c->idle.trip_ns, 0.5));
	json_u64(&j, "ahead_p50_bytes", hist_quantile(&c->busy.not_sent, 0.5) + hist_quantile(&c->busy.sent, 0.5));
	json_u64(&j, "not_sent_p50_bytes", hist_quantile(&c->busy.not_sent, 0.5));
	json_u64(&j, "bulk_taken_bytes", c->bulk_taken);
	json_u64(&j, "bulk_arrived_bytes", c->arrived_bytes);
	json_f64(&j, "bulk_rate_Bps", rate_Bps(c));
	put_found(&j, "alone", &c->idle);
	put_found(&j, "with_bulk", &c->busy);
	json_str(&j, "errno", stage_symbol(error));
	json_bool(&j, "as_promised", as_promised);
	json_bool(&j, "interrupted", sig_pending(NULL) != 0);
	json_end(&j);
}

/* With a connection of its own nothing is ever ahead of a message but other messages; with a limit the kernel has no
 * more than that; and as it was first, the message waits for bulk, and by far the longest part of its time. */
static bool is_as_promised(const struct client *c)
{
	const struct options *o = c->o;
	const struct found *f = &c->busy;
	if (f->trip_ns.n == 0)
		return false;
	if (o->fixed)
		return hist_quantile(&f->not_sent, 0.5) == 0 && f->queue_max < o->chunk;
	if (o->lowat != 0)
		return f->not_sent.max <= o->lowat + HEAD_LEN + o->chunk;
	if (o->send_buffer != 0)
		return f->queue_max <= sock_send_buffer(c->bulk->fd) + HEAD_LEN + o->chunk;
	return hist_quantile(&f->not_sent, 0.5) > 0 &&
	       hist_quantile(&f->trip_ns, 0.5) > 2 * hist_quantile(&c->idle.trip_ns, 0.5);
}

static int run_client(const struct options *o)
{
	static struct client c;
	struct net_error e = { 0 };
	int error = 0;
	c.o = o;
	report_start(o);
	c.bulk = open_line(o, true, &e);
	c.urgent = c.bulk != NULL && o->fixed ? open_line(o, false, &e) : c.bulk;
	if (c.urgent == NULL && e.sys != ECANCELED)
		stage_fail(&o->stage, &e);
	if (c.urgent != NULL && converse(&c) < 0)
		error = errno;
	if (error != 0 && error != ECANCELED) {
		e = (struct net_error){ .op = "converse with", .sys = error };
		e.reason = error == EPIPE    ? "it has closed the connection"
			   : error == EPROTO ? "that is no answer of a holblock -s"
					     : NULL;
		snprintf(e.object, sizeof(e.object), "%s", o->stage.host);
		stage_fail(&o->stage, &e);
	}
	bool as_promised = c.urgent != NULL && error == 0 && is_as_promised(&c);
	report_total(&c, as_promised, error);
	return sig_exit_status(as_promised ? 0 : 3);
}

/* --- options and main -------------------------------------------------------------------------------------------- */

static const char *const synopsis[] = {
	"-s [-p PORT] [options]",
	"HOST [-p PORT] [--fixed] [options]",
	NULL,
};

static const char *const about[] = {
	"holblock shows what a small message waits for when it shares a connection with bulk: for everything that "
	"was handed to the kernel before it. The client sends bulk as fast as it can, and a message of 64 bytes at "
	"regular times, which the server answers; the time from when it was due to its answer is measured, and how "
	"much was ahead of it.",
	"As it is first, both go over one connection; the message is put in front of the next piece of bulk, which "
	"does not help. With --fixed it has a connection of its own. With --notsent-lowat or --send-buffer there "
	"is one connection, and the kernel takes little in advance.",
	"The slower the way to the server, the more it shows. On loopback, which is never slow, --pace makes it so.",
	NULL,
};

static const struct arg_example examples[] = {
	{ "holblock -s", "a server" },
	{ "holblock localhost --pace 20mbit", "one connection: the message waits" },
	{ "holblock localhost --pace 20mbit --fixed", "a connection for each" },
	{ "holblock localhost --pace 20mbit --notsent-lowat 16K", "one connection, little in advance" },
	{ "holblock b --congestion reno --json", "over an emulated link (tcplab net up), as records" },
	{ 0 },
};

static const struct arg_example statuses[] = {
	{ "3", "the message did not wait for bulk; or it did, against the fix" },
	{ 0 },
};

static struct options parse_options(int argc, char **argv)
{
	struct options o = {
		.stage = { .port = DEFAULT_PORT, STAGE_DEFAULTS },
		.time_ns = UINT64_C(2) * NS_PER_S,
		.warm_up_ns = UINT64_C(500) * NS_PER_MS,
		.interval_ns = UINT64_C(50) * NS_PER_MS,
		.chunk = 16 * 1024,
	};
	/* clang-format off */
	const struct arg rows[] = {
		STAGE_ROLE_ROWS(o.stage),
		{ .help = "Client:" },
		{ '\0', "fixed", ARG_FLAG, &o.fixed, .help = "a connection of its own for what is urgent" },
		{ '\0', "notsent-lowat", ARG_SIZE, &o.lowat, 0, 1 << 30, "SIZE", "TCP_NOTSENT_LOWAT: no more than this waits in the kernel; 0: as it is" },
		{ '\0', "send-buffer", ARG_SIZE, &o.send_buffer, 0, 1 << 30, "SIZE", "SO_SNDBUF of the connection with bulk; 0: the kernel tunes it" },
		{ '\0', "time", ARG_DURATION, &o.time_ns, NS_PER_MS, STAGE_DAY_NS, "D", "measure for so long" },
		{ '\0', "warm-up", ARG_DURATION, &o.warm_up_ns, 0, STAGE_DAY_NS, "D", "bulk before that, which does not count" },
		{ '\0', "interval", ARG_DURATION, &o.interval_ns, NS_PER_MS, STAGE_DAY_NS, "D", "a message so often" },
		{ '\0', "chunk", ARG_SIZE, &o.chunk, 1, CHUNK_MAX, "SIZE", "bulk in pieces of this size" },
		{ '\0', "pace", ARG_RATE, &o.pace_Bps, .value_name = "RATE", .help = "bulk no faster than this (SO_MAX_PACING_RATE); 0: as fast as it goes" },
		{ '\0', "congestion", ARG_STR, &o.congestion, .value_name = "NAME", .help = "congestion control, such as reno or cubic" },
		{ .help = "All:" },
		STAGE_COMMON_ROWS(o.stage),
		{ 0 },
	};
	/* clang-format on */
	const struct arg_spec spec = {
		.tool = "holblock",
		.one_line = "shows what an urgent message waits for that shares a connection with bulk",
		.synopsis = synopsis,
		.about = about,
		.args = rows,
		.examples = examples,
		.exit_statuses = statuses,
		.see_also = "tcplab(1), tcp(7), socket(7). Each figure explained: docs/tools/holblock.md.",
	};
	stage_check(&o.stage, argv + args_parse(&spec, argc, argv));
	return o;
}

static void check_options(const struct options *o)
{
	bool is_changed = o->lowat != 0 || o->send_buffer != 0 || o->pace_Bps != 0 || o->congestion != NULL;
	if (o->stage.server && (o->fixed || is_changed))
		args_misuse("with -s there is nothing to fix: it is the client that sends");
	if (o->fixed && (o->lowat != 0 || o->send_buffer != 0))
		args_misuse("--fixed is another way than --notsent-lowat and --send-buffer");
	if (o->lowat != 0 && o->send_buffer != 0)
		args_misuse("--notsent-lowat or --send-buffer: one at a time");
}

int main(int argc, char **argv)
{
	diag_tool = "holblock";
	setvbuf(stdout, NULL, _IOLBF, 0);
	struct options o = parse_options(argc, argv);
	check_options(&o);
	sig_open();
	return record_finish(o.stage.server ? run_server(&o) : run_client(&o));
}
