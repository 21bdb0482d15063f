/* nodelay - write, write, read: two rules of TCP, each sensible by itself, make every request wait 40 ms.
 *
 * Try:       nodelay -s                             in one terminal: a server
 *            nodelay localhost                      in another: header and payload by a send(2) each
 *            nodelay localhost --fixed              both by one writev(2)
 *            nodelay localhost -D                   two calls, but Nagle's algorithm is off (TCP_NODELAY)
 *            nodelay localhost --how more           or cork, or forgotten-cork: the other mistake, 200 ms
 *            nodelay -s --quickack                  a server that acknowledges at once: the other of the two rules
 *            nodelay localhost --how cork -n 5 -r 20   five in one segment: now it is the server that waits; see its -D
 * Look for:  PITFALL below, twice; and "held": what our kernel still had after the last call, and why.
 * Labs:      12-nagle.
 *
 * Nagle (RFC 9293 3.7.4): a sender holds back less than a full segment while it waits for an acknowledgement. Delayed
 * acknowledgement (RFC 1122 4.2.3.2): a receiver waits a while, so that the answer can carry it. Here each waits for
 * the other:
 *
 *     client                                                server
 *     send header    --- header, 4 bytes ---------------->  recv header; and waits for the payload
 *     send payload   (held: the header                      (no acknowledgement: there may soon be an answer
 *                     is not acknowledged)                   to carry it)
 *                    <---------------- acknowledgement ---  40 ms later: no answer came
 *                    --- payload ------------------------>  recv payload
 *                    <------------------------- answer ---  send
 *
 * The bytes are those of the course's nodelay: int32 length, so many bytes, and as the reply int32 length. They are
 * little-endian, which is what that program's host order comes to on any machine that you are likely to meet.
 *
 * The chapters: what both ends share, the server, what our kernel holds and why, a request in six ways, reports, the
 * client, options and main.
 *
 * LIMIT: the server serves one client after another; one that says nothing for --timeout has to go. */
#include "args.h"
#include "clock.h"
#include "diag.h"
#include "mem.h"
#include "netcount.h"
#include "record.h"
#include "sig.h"
#include "sock.h"
#include "sort.h"
#include "tcpinfo.h"
#include "units.h"

#include "pitfall/stage.h"

#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
	DEFAULT_PORT = 3210,
	DEFAULT_LEN = 1000,
	DEFAULT_REQUESTS = 10,
	HEAD_LEN = 4,
	CHUNK = 64 * 1024,
	LEN_MAX = 16 * 1024 * 1024,
	FLIGHT_MAX = 1000,      /* so many replies fit into any receive buffer: we may write all requests first */
	REQUESTS_MAX = 1000000, /* we keep the wait of each */
	LINES_MAX = 10,         /* requests that get a line of text */
};

/* How a client hands a request to the kernel. */
enum how { SEPARATE, BUFFER, WRITEV, MORE, CORK, FORGOTTEN_CORK };
static const char *const how_names[] = { "separate", "buffer", "writev", "more", "cork", "forgotten-cork", NULL };
static const char *const how_texts[] = {
	"header and payload by a send(2) each",
	"copied together, one send(2)",
	"one writev(2)",
	"a send(2) each, the first one with MSG_MORE",
	"a send(2) each, between TCP_CORK on and off",
	"a send(2) each, under a TCP_CORK that stays on",
};

struct options {
	struct stage stage;
	int how;
	bool together, nodelay, fixed, quickack;
	uint64_t len, flight, requests, stall_ns;
};

/* --- what both ends share ---------------------------------------------------------------------------------------- */

static void le32_put(unsigned char *p, uint32_t v)
{
	for (int i = 0; i < HEAD_LEN; i++)
		p[i] = (unsigned char)(v >> (8 * i));
}

static uint32_t le32_get(const unsigned char *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* TCP_NODELAY, TCP_CORK, TCP_QUICKACK. None of them can fail on a TCP socket (tcp(7)). */
static void set_tcp(int fd, int option, const char *name, int value)
{
	int rc = setsockopt(fd, IPPROTO_TCP, option, &value, sizeof(value));
	tracef("setsockopt(%d, %s, %d) = %d", fd, name, value, rc);
}

/* --- the server -------------------------------------------------------------------------------------------------- */

/* One client's account. */
struct served {
	uint64_t requests, payload_bytes, reads;
};

/* What has come so far, `room` bytes at most: as stage_recv. */
static ssize_t take(const struct options *o, int fd, struct served *s, void *p, size_t room)
{
	ssize_t n = stage_recv(&o->stage, fd, p, room);
	s->reads += n > 0;
	/* WHY each time: the option is not permanent, the kernel goes back to delaying when it sees fit (tcp(7)). */
	if (o->quickack && n > 0)
		set_tcp(fd, TCP_QUICKACK, "TCP_QUICKACK", 1);
	return n;
}

/* `len` bytes: into head, or, if that is NULL, nowhere. 1, 0 (FIN before the first byte), or -1 with errno. */
static int take_all(const struct options *o, int fd, struct served *s, unsigned char *head, size_t len)
{
	unsigned char buffer[CHUNK];
	for (size_t at = 0; at < len;) {
		size_t left = len - at, room = left < CHUNK ? left : CHUNK;
		ssize_t n = take(o, fd, s, head != NULL ? head + at : buffer, room);
		if (n == 0 && at > 0)
			errno = EPROTO;
		if (n <= 0)
			return n == 0 && at == 0 ? 0 : -1;
		at += (size_t)n;
	}
	return 1;
}

/* Until the client ends, which is 0; or -1 with errno. A length is looked at before anything is done with it. */
static int answer_all(const struct options *o, int fd, const char *peer, struct served *s)
{
	unsigned char head[HEAD_LEN];
	uint64_t taken = 0;
	for (;;) {
		int rc = take_all(o, fd, s, head, HEAD_LEN);
		if (rc <= 0)
			return rc;
		uint32_t len = le32_get(head);
		if (len == 0 || len > LEN_MAX) {
			warnf("%s: a request of %" PRId32 " bytes: it is 1 to %d", peer, (int32_t)len, (int)LEN_MAX);
			errno = EMSGSIZE;
			return -1;
		}
		rc = take_all(o, fd, s, NULL, len);
		if (rc == 0)
			errno = EPROTO; /* a header, and no payload at all */
		if (rc <= 0 || stage_send_all(&o->stage, fd, head, HEAD_LEN, &taken) < 0)
			return -1;
		s->requests++;
		s->payload_bytes += len;
	}
}

static void serve(void *context, int fd, const char *peer)
{
	const struct options *o = context;
	struct served s = { 0 };
	/* Replies are small writes, too. To a client with several requests in flight the second reply would be held until
	 * the first one is acknowledged. */
	if (o->nodelay)
		set_tcp(fd, TCP_NODELAY, "TCP_NODELAY", 1);
	if (o->quickack)
		set_tcp(fd, TCP_QUICKACK, "TCP_QUICKACK", 1);
	int error = answer_all(o, fd, peer, &s) < 0 ? errno : 0;
	close(fd);
	if (!o->stage.json) {
		printf("%s: %" PRIu64 " requests, %" PRIu64 " bytes of payload, by %" PRIu64 " recv(2)%s%s\n", peer,
		       s.requests, s.payload_bytes, s.reads, error != 0 ? ": " : "", error != 0 ? strerror(error) : "");
		return;
	}
	struct json j;
	record_begin(&j, "connection");
	json_str(&j, "peer", peer);
	json_u64(&j, "requests", s.requests);
	json_u64(&j, "payload_bytes", s.payload_bytes);
	json_u64(&j, "reads", s.reads);
	json_str(&j, "errno", stage_symbol(error));
	json_end(&j);
}

static int run_server(struct options *o)
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
		json_bool(&j, "nodelay", o->nodelay);
		json_bool(&j, "quickack", o->quickack);
		json_end(&j);
	}
	uint64_t connections = stage_serve(&o->stage, listen_fd, serve, o);
	close(listen_fd);
	return stage_report_served(&o->stage, "server", connections);
}

/* --- what our kernel holds, and why ------------------------------------------------------------------------------- */

enum holder { NOBODY, NAGLE, A_CORK, WINDOW };
static const char *const holder_names[] = { NULL, "nagle", "cork", "window" };
static const char *const holder_texts[] = { "", "by Nagle: something is not yet acknowledged",
					    "by the cork: more may come", "by a window: it waits for room" };

/* A request that has been written, and has no reply yet. */
struct flying {
	uint64_t began_ns, held_bytes; /* held: had not left after our last call */
	enum holder holder;
};

/* The kernel keeps no note of why it holds something, but it follows from what is there (TCP_INFO, tcp(7)). */
static void look(int fd, bool is_corked, struct flying *f)
{
	struct tcpinfo i;
	f->holder = NOBODY;
	f->held_bytes = tcpinfo_get(fd, &i) == 0 ? i.not_sent : 0;
	if (f->held_bytes == 0)
		return;
	if (f->held_bytes >= i.mss)
		f->holder = WINDOW; /* neither Nagle nor a cork holds a full segment */
	else if (is_corked)
		f->holder = A_CORK;
	else if (i.unacked > 0)
		f->holder = NAGLE;
}

/* --- a request in six ways --------------------------------------------------------------------------------------- */

/* All of the pieces, as a rule by one sendmsg(2): that is writev(2) with flags, and it may take less than it is offered.
 * 0, or -1 with errno. */
static int write_pieces(const struct options *o, int fd, struct iovec *v, int n, int flags)
{
	while (n > 0) {
		if (sig_wait_fd(fd, POLLOUT, o->stage.timeout_ns) < 0)
			return -1;
		struct msghdr m = { .msg_iov = v, .msg_iovlen = n };
		ssize_t done = sendmsg(fd, &m, flags | MSG_DONTWAIT | MSG_NOSIGNAL);
		tracef("sendmsg(%d, %d pieces%s) = %zd", fd, n, flags & MSG_MORE ? ", MSG_MORE" : "", done);
		if (done < 0 && errno != EAGAIN)
			return -1;
		for (; n > 0 && done >= (ssize_t)v->iov_len; n--)
			done -= (ssize_t)v++->iov_len;
		if (n > 0 && done > 0) {
			v->iov_base = (char *)v->iov_base + done;
			v->iov_len -= (size_t)done;
		}
	}
	return 0;
}

/* One request, header and payload, which lie one behind the other at `request`; a program usually has them in different
 * places. 0, or -1 with errno. */
static int send_request(const struct options *o, int fd, unsigned char *request)
{
	struct iovec both = { request, HEAD_LEN + o->len };
	struct iovec apart[2] = { { request, HEAD_LEN }, { request + HEAD_LEN, o->len } };
	if (o->how == BUFFER)
		return write_pieces(o, fd, &both, 1, 0);
	/* The fix that costs nothing: no copy, one call, one segment. */
	if (o->how == WRITEV)
		return write_pieces(o, fd, apart, 2, 0);
	/* PITFALL: two calls. The header is a segment of its own, and is on its way at once. The payload is less than a
	 * full segment and something is unacknowledged: it stays here until the server's kernel has acknowledged the
	 * header, and that one hopes for an answer to do it with. Write, write, read: in this order only.
	 * MSG_MORE says that the header is not all; the last piece must be without it. TCP_CORK says it for all. */
	if (write_pieces(o, fd, &apart[0], 1, o->how == MORE ? MSG_MORE : 0) < 0)
		return -1;
	return write_pieces(o, fd, &apart[1], 1, 0);
}

/* n requests, and what our kernel holds after each. 0, or -1 with errno. */
static int send_round(const struct options *o, int fd, unsigned char *request, struct flying *f, uint64_t n)
{
	bool is_corked = o->how == CORK || o->how == FORGOTTEN_CORK;
	if (is_corked)
		set_tcp(fd, TCP_CORK, "TCP_CORK", 1);
	for (uint64_t i = 0; i < n; i++) {
		f[i].began_ns = clk_mono_ns();
		if (send_request(o, fd, request) < 0)
			return -1;
		/* PITFALL: the cork went in, and stays. The kernel waits for more, until its patience ends after 200 ms
		 * (tcp(7)); no acknowledgement helps. The same comes of a MSG_MORE on the last piece. */
		if (o->how == CORK && i + 1 == n) {
			set_tcp(fd, TCP_CORK, "TCP_CORK", 0);
			is_corked = false;
		}
		look(fd, is_corked, &f[i]);
	}
	return 0;
}

/* --- reports ----------------------------------------------------------------------------------------------------- */

/* What a client measured. The median is kept for the end: `waits` is sorted there. */
struct tally {
	uint64_t *waits;
	uint64_t limit_ns;                                /* who waits longer has stalled */
	uint64_t requests, stalled, later, later_stalled; /* later: those behind the first round */
	uint64_t held[COUNT_OF(holder_names)];            /* requests, by holder */
	uint64_t segments;
	bool knows_acks;       /* the kernel has such a counter */
	uint64_t delayed_acks; /* of the whole machine, as far as our network namespace goes */
};

/* Did most of them stall, and not just one that met a busy machine? The first round is left out: on a new connection the
 * kernel acknowledges at once for a while. */
static bool is_slow(const struct tally *t)
{
	return t->later_stalled > 0 && 2 * t->later_stalled >= t->later;
}

static bool is_mistake(const struct options *o)
{
	return (o->how == SEPARATE && !o->nodelay) || o->how == FORGOTTEN_CORK;
}

static void report_start(const struct options *o)
{
	if (!o->stage.json) {
		printf("%s: %s%s; %d + %" PRIu64 " bytes\n", how_names[o->how], how_texts[o->how],
		       o->nodelay ? ", with TCP_NODELAY" : "", (int)HEAD_LEN, o->len);
		return;
	}
	struct json j;
	record_begin(&j, "start");
	json_str(&j, "role", "client");
	json_str(&j, "host", o->stage.host);
	json_str(&j, "how", how_names[o->how]);
	json_bool(&j, "nodelay", o->nodelay);
	json_bool(&j, "fixed", o->fixed);
	json_u64(&j, "payload_bytes", o->len);
	json_u64(&j, "flight", o->flight);
	json_end(&j);
}

static void report_request(const struct options *o, const struct tally *t, uint64_t wait_ns, const struct flying *f)
{
	char text[UNITS_TEXT];
	uint64_t number = t->requests;
	if (!o->stage.json && number <= LINES_MAX) {
		printf("  request %2" PRIu64 "  %8s", number, units_duration(text, wait_ns));
		if (f->held_bytes > 0)
			printf("   held: %" PRIu64 " bytes, %s", f->held_bytes, holder_texts[f->holder]);
		printf("\n");
	}
	if (!o->stage.json)
		return;
	struct json j;
	record_begin(&j, "request");
	json_u64(&j, "number", number);
	json_u64(&j, "wait_ns", wait_ns);
	json_bool(&j, "stalled", wait_ns > t->limit_ns);
	json_u64(&j, "held_bytes", f->held_bytes);
	json_str(&j, "held_by", holder_names[f->holder]);
	json_end(&j);
}

/* In words: who made it wait? */
static void explain(const struct options *o, const struct tally *t)
{
	if (o->how == FORGOTTEN_CORK)
		printf("why: the cork was never taken out; the kernel lost patience each time\n");
	else if (!is_slow(t))
		printf("why: %s\n", t->held[NAGLE] > 0 ? "Nagle held it, but the acknowledgement came soon"
						       : "nothing was held, or not for long");
	else if (2 * t->held[NAGLE] >= t->later)
		printf("why: Nagle held our bytes until the acknowledgement came, which the server's kernel delayed\n");
	else
		printf("why: everything had left; it was the reply that was late\n");
	if (t->knows_acks)
		printf("     delayed acknowledgements on this machine meanwhile: %" PRIu64 "\n", t->delayed_acks);
	if (is_mistake(o) == is_slow(t) || t->later == 0)
		return;
	printf("     which is not what this way of writing is to show here\n");
}

static void report_text(const struct options *o, const struct tally *t)
{
	char least[UNITS_TEXT], median[UNITS_TEXT], most[UNITS_TEXT], stall[UNITS_TEXT];
	if (t->requests > LINES_MAX)
		printf("  ...\n");
	if (t->requests == 0)
		return;
	printf("%" PRIu64 " requests in %" PRIu64 " segments. Waits: min %s, median %s, max %s\n", t->requests,
	       t->segments, units_duration(least, t->waits[0]), units_duration(median, t->waits[t->requests / 2]),
	       units_duration(most, t->waits[t->requests - 1]));
	printf("%" PRIu64 " of them took longer than a round trip and %s\n", t->stalled,
	       units_duration(stall, o->stall_ns));
	explain(o, t);
}

static void put_wait(struct json *j, const char *key, const struct tally *t, uint64_t at)
{
	if (t->requests > 0)
		json_u64(j, key, t->waits[at]);
	else
		json_null(j, key);
}

static void report_total(const struct options *o, struct tally *t)
{
	sort_u64(t->waits, t->requests);
	if (!o->stage.json) {
		report_text(o, t);
		return;
	}
	struct json j;
	record_begin(&j, "total");
	json_str(&j, "role", "client");
	json_str(&j, "how", how_names[o->how]);
	json_bool(&j, "nodelay", o->nodelay);
	json_u64(&j, "requests", t->requests);
	json_u64(&j, "segments", t->segments);
	put_wait(&j, "wait_min_ns", t, 0);
	put_wait(&j, "wait_median_ns", t, t->requests / 2);
	put_wait(&j, "wait_max_ns", t, t->requests - (t->requests > 0));
	json_u64(&j, "stalled", t->stalled);
	for (size_t i = 1; i < COUNT_OF(holder_names); i++) {
		char key[32];
		snprintf(key, sizeof(key), "held_by_%s", holder_names[i]);
		json_u64(&j, key, t->held[i]);
	}
	if (t->knows_acks)
		json_u64(&j, "delayed_acks", t->delayed_acks);
	else
		json_null(&j, "delayed_acks");
	json_bool(&j, "slow", is_slow(t));
	json_bool(&j, "interrupted", sig_pending(NULL) != 0);
	json_end(&j);
}

/* --- the client -------------------------------------------------------------------------------------------------- */

/* One reply, in whatever pieces it comes. 0, or -1 with errno: EPROTO when the server ended before it, EBADMSG when it is
 * not the one to this request. */
static int read_reply(const struct options *o, int fd)
{
	unsigned char reply[HEAD_LEN];
	for (size_t at = 0; at < HEAD_LEN;) {
		ssize_t n = stage_recv(&o->stage, fd, reply + at, HEAD_LEN - at);
		if (n == 0)
			errno = EPROTO;
		if (n <= 0)
			return -1;
		at += (size_t)n;
	}
	errno = EBADMSG;
	return le32_get(reply) == o->len ? 0 : -1;
}

/* So many requests, and then their replies. 0, or -1 with errno. */
static int run_round(const struct options *o, int fd, unsigned char *request, uint64_t n, struct tally *t)
{
	struct flying f[FLIGHT_MAX];
	bool is_first = t->requests == 0;
	if (send_round(o, fd, request, f, n) < 0)
		return -1;
	for (uint64_t i = 0; i < n; i++) {
		if (read_reply(o, fd) < 0)
			return -1;
		uint64_t wait_ns = clk_mono_ns() - f[i].began_ns;
		t->waits[t->requests++] = wait_ns;
		t->stalled += wait_ns > t->limit_ns;
		t->later += !is_first;
		t->later_stalled += !is_first && wait_ns > t->limit_ns;
		t->held[f[i].holder]++;
		report_request(o, t, wait_ns, &f[i]);
	}
	return 0;
}

static int run_rounds(const struct options *o, int fd, struct tally *t)
{
	unsigned char *request = xcalloc(1, HEAD_LEN + o->len);
	int rc = 0;
	le32_put(request, (uint32_t)o->len);
	memset(request + HEAD_LEN, 'S', o->len);
	if (o->nodelay)
		set_tcp(fd, TCP_NODELAY, "TCP_NODELAY", 1);
	while (rc == 0 && t->requests < o->requests) {
		uint64_t left = o->requests - t->requests;
		rc = run_round(o, fd, request, left < o->flight ? left : o->flight, t);
	}
	free(request);
	return rc;
}

/* A conversation with the server, and what the kernel counted meanwhile. 0, or -1 with *e. */
static int converse(const struct options *o, int fd, struct tally *t, struct net_error *e)
{
	struct netcounts before, after;
	struct tcpinfo info;
	struct net_error none;
	/* From the handshake: so far nothing has been held, or acknowledged late. */
	t->limit_ns = o->stall_ns + (tcpinfo_get(fd, &info) == 0 ? info.rtt_ns : 0);
	t->knows_acks = netcount_read(&before, &none) == 0 && netcount_find(&before, "TcpExtDelayedACKs", NULL);
	int rc = run_rounds(o, fd, t);
	if (rc < 0) {
		char object[32];
		int error = errno;
		snprintf(object, sizeof(object), "%" PRIu64, t->requests + 1);
		errno = error;
		net_fail(e, "request", object);
		e->reason = error == EPROTO    ? "The server ended before its reply"
			    : error == EBADMSG ? "The reply is to a request of another length"
					       : NULL;
	}
	t->segments = tcpinfo_get(fd, &info) == 0 ? info.data_segments : 0;
	t->knows_acks = t->knows_acks && netcount_read(&after, &none) == 0;
	if (t->knows_acks)
		t->delayed_acks = netcount_since(&before, &after, "TcpExtDelayedACKs");
	return rc;
}

static int run_client(const struct options *o)
{
	struct net_error e = { 0 };
	struct tally t = { .waits = xcalloc(o->requests, sizeof(*t.waits)) };
	report_start(o);
	int fd = stage_connect(&o->stage, NULL, &e);
	int rc = fd < 0 ? -1 : converse(o, fd, &t, &e);
	if (fd >= 0)
		close(fd);
	if (rc < 0 && e.sys != ECANCELED)
		record_error(o->stage.json, &e);
	else
		report_total(o, &t);
	free(t.waits);
	if (rc < 0)
		return sig_exit_status(1);
	/* With one round there is nothing to judge: a new connection is quick in any case. */
	return sig_exit_status(t.later == 0 || is_slow(&t) == is_mistake(o) ? 0 : 3);
}

/* --- options and main -------------------------------------------------------------------------------------------- */

static const char *const synopsis[] = {
	"-s [-p PORT] [-D] [--quickack] [options]",
	"[-b | --how HOW | --fixed] [-D] [-n N] [-r COUNT] HOST [LEN]",
	NULL,
};

static const char *const about[] = {
	"nodelay shows what becomes of a request that is written in two pieces, header and payload: the sender's kernel holds "
	"the payload until the header is acknowledged (Nagle's algorithm), the receiver's kernel delays the "
	"acknowledgement, and every request but the first one takes 40 ms. With --fixed both pieces go by one writev(2).",
	"The client says for each request how long it took and what its kernel had not sent after the last call, and in the end how "
	"many segments left. LEN, 1000 unless given, is the length of the payload.",
	"The bytes on the wire are those of the course's nodelay programs; either end can be one of those.",
	NULL,
};

static const struct arg_example examples[] = {
	{ "nodelay -s", "a server" },
	{ "nodelay localhost", "two writes for each request: 40 ms" },
	{ "nodelay localhost --fixed", "one writev(2)" },
	{ "nodelay localhost -D", "two writes, and TCP_NODELAY: no wait, but two segments" },
	{ "nodelay localhost --how forgotten-cork", "200 ms" },
	{ "nodelay -b -n 5 localhost 2000", "as the course's client: five requests, then five replies" },
	{ 0 },
};

static const struct arg_example statuses[] = {
	{ "3", "a mistake that made most requests not wait, or another way with which they did" },
	{ 0 },
};

/* HOST and LEN. */
static void take_operands(struct options *o, char **operands)
{
	if (operands[0] != NULL && operands[1] != NULL) {
		if (!units_parse_size(operands[1], &o->len) || o->len == 0 || o->len > LEN_MAX)
			args_misuse("LEN '%s': it is 1 to 16M", operands[1]);
		if (operands[2] != NULL)
			args_misuse("'%s' is too much", operands[2]);
		operands[1] = NULL;
	}
	stage_check(&o->stage, operands);
}

static void check_options(struct options *o)
{
	bool is_client = o->how >= 0 || o->together || o->flight != 0 || o->requests != 0;
	if (o->stage.server && is_client)
		args_misuse("-b, --how, -n and -r are for a client");
	if (!o->stage.server && o->quickack)
		args_misuse("--quickack is for the server (-s)");
	if (o->together + o->fixed + (o->how >= 0) > 1)
		args_misuse("-b, --how and --fixed exclude each other");
	if (o->how < 0)
		o->how = o->fixed ? WRITEV : o->together ? BUFFER : SEPARATE;
	o->nodelay |= o->fixed && o->stage.server;
	if (o->requests == 0)
		o->requests = o->flight != 0 ? o->flight : DEFAULT_REQUESTS;
	if (o->flight == 0)
		o->flight = 1;
}

static struct options parse_options(int argc, char **argv)
{
	struct options o = {
		.stage = { .port = DEFAULT_PORT, STAGE_DEFAULTS },
		.how = -1,
		.len = DEFAULT_LEN,
		.stall_ns = 20 * NS_PER_MS,
	};
	/* clang-format off */
	const struct arg rows[] = {
		{ .help = "Client:" },
		{ '\0', "how", ARG_CHOICE, &o.how, .value_name = "HOW", .help = "separate (the mistake, and the default), buffer, writev, "
		  "more, cork, or forgotten-cork (another mistake)", .choices = how_names },
		{ 'b', "buffer", ARG_FLAG, &o.together, .help = "the same as --how buffer" },
		{ 'n', "in-flight", ARG_COUNT, &o.flight, 1, FLIGHT_MAX, "N", "write N requests, then read their replies" },
		{ 'r', "requests", ARG_COUNT, &o.requests, 1, REQUESTS_MAX, "COUNT", "so many in all; 10 unless given, or N with -n" },
		{ '\0', "stall", ARG_DURATION, &o.stall_ns, 1, STAGE_DAY_NS, "D", "a request has stalled that takes longer than a round trip and this" },
		{ .help = "Server:" },
		{ '\0', "quickack", ARG_FLAG, &o.quickack, .help = "acknowledge at once (TCP_QUICKACK after each recv(2))" },
		STAGE_ROLE_ROWS(o.stage),
		{ .help = "Both:" },
		{ 'D', "nodelay", ARG_FLAG, &o.nodelay, .help = "TCP_NODELAY: this end holds nothing back" },
		{ '\0', "fixed", ARG_FLAG, &o.fixed, .help = "client: --how writev; server: -D" },
		STAGE_COMMON_ROWS(o.stage),
		{ 0 },
	};
	/* clang-format on */
	const struct arg_spec spec = {
		.tool = "nodelay",
		.one_line = "shows how Nagle's algorithm and delayed acknowledgements make a request wait",
		.synopsis = synopsis,
		.about = about,
		.args = rows,
		.examples = examples,
		.exit_statuses = statuses,
		.see_also = "tcplab(1), tcp(7), writev(2), send(2). Each figure explained: docs/tools/nodelay.md.",
	};
	take_operands(&o, argv + args_parse(&spec, argc, argv));
	check_options(&o);
	return o;
}

int main(int argc, char **argv)
{
	diag_tool = "nodelay";
	setvbuf(stdout, NULL, _IOLBF, 0);
	struct options o = parse_options(argc, argv);
	sig_open();
	return record_finish(o.stage.server ? run_server(&o) : run_client(&o));
}
