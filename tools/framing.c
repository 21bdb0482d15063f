/* framing - TCP carries bytes, not messages: what one send(2) wrote is not what one recv(2) reads.
 *
 * Try:       framing -s -1 --verify             in one terminal: a receiver with the mistake, for one sender
 *            framing 127.0.0.1                  in another: 200 messages. How many of them does it find?
 *            framing 127.0.0.1 --gap 10ms       the same slowly: now it looks as if it worked
 *            framing -s -1 --verify --fixed     the receiver that knows better; neither format nor sender changes
 * Look for:  PITFALL below, and read_framed(), its fixed twin; with -v, what each recv(2) returned.
 * Labs:      10-byte-stream.
 *
 * A message on the wire; the receiver with the mistake has its length in hand, too, and does not look at it in time:
 *
 *        4 bytes          4 bytes
 *     +----------------+----------------+---------------------------+
 *     | length         | number         | letters                   |     both numbers big-endian
 *     +----------------+----------------+---------------------------+
 *                      |<----------------- length ----------------->|
 *
 * The chapters: the format, the two readers, the receiver around them, the sender, options and main. All of it is one
 * thread and blocking calls; before each of them it waits in poll(2), so that a deadline or a signal ends it.
 *
 * LIMIT: the receiver serves one sender after another. The next one waits in the backlog, as long as the first one
 * keeps sending a byte now and then. */
#include "addr.h"
#include "args.h"
#include "clock.h"
#include "diag.h"
#include "io.h"
#include "json.h"
#include "mem.h"
#include "sig.h"
#include "sock.h"
#include "tcpinfo.h"
#include "units.h"
#include "wire.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { DEFAULT_PORT = 2014, LENGTH_LEN = 4, NUMBER_LEN = 4, HEAD_LEN = LENGTH_LEN + NUMBER_LEN, GIB = 1 << 30 };

#define DAY_NS (UINT64_C(24) * 3600 * NS_PER_S) /* the longest wait that can be asked for */

struct options {
	const char *host, *bind;
	bool server, one_off, fixed, verify, vary, ipv4, ipv6, verbose, json;
	uint64_t port, number, length, piece_len, gap_ns, late_ns, work_ns, read_len, max_length, timeout_ns;
	struct sock_options socket;
};

/* --- what both ends share ---------------------------------------------------------------------------------------- */

/* The message `number`, len bytes in all, at least HEAD_LEN. */
static void message_make(unsigned char *p, size_t len, uint32_t number)
{
	be32_put(p, (uint32_t)(len - LENGTH_LEN));
	be32_put(p + LENGTH_LEN, number);
	for (size_t i = HEAD_LEN; i < len; i++)
		p[i] = (unsigned char)('a' + (number + i) % 26);
}

/* Is this, from its first byte to its last, one message? */
static bool message_is_whole(const unsigned char *p, size_t len)
{
	return len >= LENGTH_LEN && be32_get(p) == len - LENGTH_LEN;
}

/* And is it one of our sender's, every letter in its place? */
static bool message_is_ours(const unsigned char *p, size_t len)
{
	if (!message_is_whole(p, len) || len < HEAD_LEN)
		return false;
	uint32_t number = be32_get(p + LENGTH_LEN);
	for (size_t i = HEAD_LEN; i < len; i++) {
		if (p[i] != 'a' + (number + i) % 26)
			return false;
	}
	return true;
}

static void record_begin(struct json *j, const char *record)
{
	json_begin(j, stdout);
	json_str(j, "schema", "tcplab.framing/1");
	json_str(j, "record", record);
}

/* Says why the run ends here, to people and programs; the exit status. */
static int report_error(const struct options *o, const struct net_error *e)
{
	char text[NET_ERROR_TEXT];
	warnf("%s", net_error_text(e, text));
	if (o->json) {
		struct json j;
		record_begin(&j, "error");
		json_str(&j, "op", e->op);
		json_str(&j, "object", e->object);
		json_str(&j, "errno", net_error_symbol(e));
		json_str(&j, "message", net_error_reason(e));
		json_end(&j);
	}
	return 1;
}

/* --- the two readers --------------------------------------------------------------------------------------------- */

struct tally {
	uint64_t connections, failed; /* failed: those that did not end with a FIN between two messages */
	uint64_t bytes, reads, largest_read;
	uint64_t messages, right; /* what the reader took for messages, and how many of them were */
};

/* One connection. */
struct reader {
	const struct options *o;
	int fd;
	unsigned char *data; /* len bytes that belong to no message yet, in a buffer of cap */
	size_t len, cap;
	uint64_t need; /* how long the message is that begins there, as far as is known */
	uint64_t next; /* --verify: the least number that has not been seen */
	struct tally tally;
};

static void report_message(const struct reader *r, size_t len, uint64_t announced, bool right)
{
	if (r->o->json) {
		struct json j;
		record_begin(&j, "message");
		json_u64(&j, "bytes", len);
		json_u64(&j, "announced_bytes", announced);
		json_bool(&j, "right", right);
		json_end(&j);
	} else {
		printf("    taken for message %" PRIu64 ": %zu bytes, the length says %" PRIu64 ": %s\n",
		       r->tally.messages, len, announced, right ? "right" : "wrong");
	}
}

/* The receiving application: judges what the reader hands it as a message, and is at work on it for --work. */
static void take_message(struct reader *r, const unsigned char *p, size_t len)
{
	bool right = message_is_whole(p, len);
	uint64_t announced = len >= LENGTH_LEN ? (uint64_t)be32_get(p) + LENGTH_LEN : 0;
	if (r->o->verify) {
		right = message_is_ours(p, len) && be32_get(p + LENGTH_LEN) >= r->next;
		r->next = right ? (uint64_t)be32_get(p + LENGTH_LEN) + 1 : r->next;
	}
	r->tally.messages++;
	r->tally.right += right;
	if (r->o->verbose)
		report_message(r, len, announced, right);
	if (r->o->work_ns != 0)
		(void)!sig_wait_fd(-1, 0, r->o->work_ns);
}

/* One recv(2) into p. > 0: so many bytes. 0: the sender's FIN. -1: errno. */
static ssize_t receive(struct reader *r, unsigned char *p, size_t room)
{
	if (sig_wait_fd(r->fd, POLLIN, r->o->timeout_ns) < 0)
		return -1;
	ssize_t n = recv(r->fd, p, room, 0);
	tracef("recv(%d, %zu) = %zd", r->fd, room, n);
	if (n <= 0)
		return n;
	r->tally.reads++;
	r->tally.bytes += (uint64_t)n;
	if ((uint64_t)n > r->tally.largest_read)
		r->tally.largest_read = (uint64_t)n;
	if (r->o->verbose && r->o->json) {
		struct json j;
		record_begin(&j, "read");
		json_u64(&j, "bytes", (uint64_t)n);
		json_end(&j);
	} else if (r->o->verbose) {
		printf("recv %" PRIu64 ": %zd bytes\n", r->tally.reads, n);
	}
	return n;
}

/* Broken. 0 at the FIN, -1 with errno. */
static int read_naive(struct reader *r)
{
	for (;;) {
		ssize_t n = receive(r, r->data, r->cap);
		if (n <= 0)
			return (int)n;
		/* PITFALL: one recv is taken for one message. But it returns the bytes that are here now: several
		 * messages, half a one, the end of one and the beginning of the next. TCP delivers bytes in order (RFC
		 * 9293 2.2); where a send(2) ended it does not tell, and it cuts and joins as it likes (3.9.1.2: PSH is
		 * not a record marker either). On a desk, with one message now and then, this loop passes every
		 * test. */
		take_message(r, r->data, (size_t)n);
	}
}

/* Takes the complete messages off the front of the buffer; what is left of the last one moves to the front. */
static int take_messages(struct reader *r)
{
	size_t at = 0;
	for (;;) {
		size_t left = r->len - at;
		r->need = LENGTH_LEN;
		if (left >= LENGTH_LEN)
			r->need += be32_get(r->data + at);
		/* A stranger's first four bytes can say 4 GiB: look before anything is allocated for it. */
		if (r->need > r->o->max_length) {
			errno = EMSGSIZE;
			return -1;
		}
		if (left < r->need)
			break;
		take_message(r, r->data + at, r->need);
		at += r->need;
	}
	r->len -= at;
	if (at > 0)
		memmove(r->data, r->data + at, r->len);
	if (r->cap < r->need) {
		r->cap = r->need;
		r->data = xrealloc(r->data, r->cap);
	}
	return 0;
}

/* Fixed: bytes go into a buffer, and the length, not recv, says where a message ends. 0 at a FIN between two messages;
 * -1 with errno, EPROTO for a FIN inside one, EMSGSIZE for one that is too long. */
static int read_framed(struct reader *r)
{
	for (;;) {
		ssize_t n = receive(r, r->data + r->len, r->cap - r->len);
		if (n < 0)
			return -1;
		if (n == 0) {
			errno = EPROTO;
			return r->len == 0 ? 0 : -1;
		}
		r->len += (size_t)n;
		if (take_messages(r) < 0)
			return -1;
	}
}

/* --- the receiver ------------------------------------------------------------------------------------------------ */

static void tally_add(struct tally *to, const struct tally *t)
{
	to->connections += t->connections;
	to->failed += t->failed;
	to->bytes += t->bytes;
	to->reads += t->reads;
	to->messages += t->messages;
	to->right += t->right;
	if (t->largest_read > to->largest_read)
		to->largest_read = t->largest_read;
}

static void put_tally(struct json *j, const struct options *o, const struct tally *t)
{
	json_str(j, "role", "receiver");
	json_str(j, "reader", o->fixed ? "framed" : "naive");
	json_u64(j, "messages", t->messages);
	json_u64(j, "right", t->right);
	json_u64(j, "wrong", t->messages - t->right);
	json_u64(j, "bytes", t->bytes);
	json_u64(j, "reads", t->reads);
	json_u64(j, "largest_read_bytes", t->largest_read);
}

static void print_tally(const char *who, const struct tally *t)
{
	printf("%s: bytes %" PRIu64 ", reads %" PRIu64 " (largest %" PRIu64 "), taken for messages %" PRIu64
	       ": right %" PRIu64 ", wrong %" PRIu64 "\n",
	       who, t->bytes, t->reads, t->largest_read, t->messages, t->right, t->messages - t->right);
}

/* Why a connection ended otherwise than it should. */
static const char *failure_text(const struct reader *r, int error, char out[static 128])
{
	switch (error) {
	case EMSGSIZE:
		snprintf(out, 128,
			 "a message of %" PRIu64 " bytes is announced, at most %" PRIu64 " are taken (EMSGSIZE)",
			 r->need, r->o->max_length);
		break;
	case EPROTO:
		snprintf(out, 128, "the stream ends after %zu of the %" PRIu64 " bytes of a message (EPROTO)", r->len,
			 r->need);
		break;
	default:
		snprintf(out, 128, "%s (%s)", strerror(error), errno_name(error));
	}
	return out;
}

static void report_connection(struct reader *r, const char *peer, int error)
{
	char text[128];
	if (error != 0)
		warnf("%s: %s", peer, failure_text(r, error, text));
	if (!r->o->json) {
		print_tally(peer, &r->tally);
		return;
	}
	struct json j;
	record_begin(&j, "connection");
	json_str(&j, "peer", peer);
	json_str(&j, "errno", error != 0 ? errno_name(error) : NULL);
	put_tally(&j, r->o, &r->tally);
	json_end(&j);
}

static void serve(const struct options *o, int fd, const struct addr *peer, struct tally *total)
{
	char text[ADDR_TEXT];
	struct reader r = { .o = o, .fd = fd, .data = xmalloc(o->read_len), .cap = o->read_len, .need = LENGTH_LEN };
	if (o->late_ns != 0)
		(void)!sig_wait_fd(-1, 0, o->late_ns);
	int rc = o->fixed ? read_framed(&r) : read_naive(&r);
	int error = rc < 0 && errno != ECANCELED ? errno : 0;
	close(fd);
	r.tally.connections = 1;
	r.tally.failed = error != 0;
	report_connection(&r, addr_text(peer, text), error);
	tally_add(total, &r.tally);
	free(r.data);
}

static void serve_all(const struct options *o, int listen_fd, struct tally *total)
{
	enum { PAUSE_NS = 100 * NS_PER_MS };
	while (sig_wait_fd(listen_fd, POLLIN, CLK_NEVER) == 0) {
		struct addr peer = { .len = sizeof(peer.u) };
		int fd = accept4(listen_fd, &peer.u.sa, &peer.len, SOCK_CLOEXEC);
		tracef("accept4(%d) = %d", listen_fd, fd);
		if (fd >= 0) {
			serve(o, fd, &peer, total);
			if (o->one_off)
				break;
		} else if (errno != EAGAIN && errno != ECONNABORTED && errno != EPROTO) {
			/* EMFILE, ENOBUFS and the like: the sender still waits, and without a pause we would spin. */
			warnf_errno("accept");
			(void)!sig_wait_fd(-1, 0, PAUSE_NS);
		}
	}
}

static void report_receiver_start(const struct options *o, const char *listening)
{
	if (!o->json)
		return;
	struct json j;
	record_begin(&j, "start");
	json_str(&j, "role", "receiver");
	json_str(&j, "listening", listening);
	json_str(&j, "reader", o->fixed ? "framed" : "naive");
	json_bool(&j, "verify", o->verify);
	json_u64(&j, "late_ns", o->late_ns);
	json_u64(&j, "work_ns", o->work_ns);
	json_u64(&j, "read_bytes", o->read_len);
	json_u64(&j, "max_length", o->max_length);
	json_end(&j);
}

static void report_receiver_total(const struct options *o, const struct tally *t)
{
	if (o->json) {
		struct json j;
		record_begin(&j, "total");
		put_tally(&j, o, t);
		json_u64(&j, "connections", t->connections);
		json_u64(&j, "failed", t->failed);
		json_bool(&j, "interrupted", sig_pending(NULL) != 0);
		json_end(&j);
	} else if (t->connections != 1) {
		char who[64];
		snprintf(who, sizeof(who), "%" PRIu64 " connections", t->connections);
		print_tally(who, t);
	}
}

static int run_receiver(const struct options *o)
{
	struct net_error e = { 0 };
	struct addr bound;
	char text[ADDR_TEXT];
	const char *where = o->bind != NULL ? o->bind : o->ipv6 ? "::1" : "127.0.0.1";
	int family = o->ipv4 ? AF_INET : o->ipv6 ? AF_INET6 : AF_UNSPEC;
	int listen_fd = sock_serve(where, (uint16_t)o->port, family, &o->socket, &bound, &e);
	if (listen_fd < 0)
		return report_error(o, &e);
	/* WHY: the sender may be gone between poll and accept, and a blocking accept would wait for the next one. */
	if (fcntl(listen_fd, F_SETFL, O_NONBLOCK) < 0)
		die_errno("fcntl");
	warnf("listening on %s", addr_text(&bound, text));
	report_receiver_start(o, text);
	struct tally total = { 0 };
	serve_all(o, listen_fd, &total);
	close(listen_fd);
	report_receiver_total(o, &total);
	bool wrong = total.right < total.messages;
	return sig_exit_status(total.failed > 0 ? 1 : wrong ? 3 : 0);
}

/* --- the sender -------------------------------------------------------------------------------------------------- */

struct sender {
	const struct options *o;
	int fd;
	unsigned char *message;
	uint64_t messages, writes, bytes, segments;
	uint64_t begin_ns, end_ns; /* from before the handshake to the receiver's FIN */
};

/* With --vary any length between the least and the longest, without a pattern that meets a buffer's size. */
static size_t length_of(const struct options *o, uint64_t number)
{
	return o->vary ? HEAD_LEN + number * 7919 % (o->length - HEAD_LEN + 1) : o->length;
}

/* A message in one send(2), or in pieces. */
static int send_message(struct sender *s, size_t len)
{
	size_t piece = s->o->piece_len != 0 ? s->o->piece_len : len;
	for (size_t at = 0; at < len;) {
		size_t n = len - at < piece ? len - at : piece;
		if (sig_wait_fd(s->fd, POLLOUT, s->o->timeout_ns) < 0)
			return -1;
		ssize_t w = send(s->fd, s->message + at, n, MSG_NOSIGNAL);
		tracef("send(%d, %zu) = %zd", s->fd, n, w);
		if (w < 0 && errno != EAGAIN) /* EAGAIN: a tick (io.h) that found no room */
			return -1;
		if (w < 0)
			continue;
		at += (size_t)w;
		s->writes++;
		s->bytes += (uint64_t)w;
	}
	s->messages++;
	return 0;
}

static int send_messages(struct sender *s)
{
	uint64_t next_ns = clk_mono_ns();
	for (uint64_t i = 0; i < s->o->number; i++) {
		uint64_t now_ns = clk_mono_ns();
		if (next_ns > now_ns && sig_wait_fd(-1, 0, next_ns - now_ns) < 0 && errno == ECANCELED)
			return -1;
		next_ns += s->o->gap_ns;
		size_t len = length_of(s->o, i);
		message_make(s->message, len, (uint32_t)i);
		if (send_message(s, len) < 0)
			return -1;
	}
	return 0;
}

/* Our FIN, then the receiver's: only that says that everything was read. */
static int finish(struct sender *s)
{
	unsigned char scrap[4096];
	ssize_t n;
	if (shutdown(s->fd, SHUT_WR) < 0)
		return -1;
	do {
		if (sig_wait_fd(s->fd, POLLIN, s->o->timeout_ns) < 0)
			return -1;
		n = recv(s->fd, scrap, sizeof(scrap), 0);
	} while (n > 0);
	return (int)n;
}

static void report_sender_start(const struct options *o, const char *peer)
{
	if (!o->json)
		return;
	struct json j;
	record_begin(&j, "start");
	json_str(&j, "role", "sender");
	json_str(&j, "peer", peer);
	json_u64(&j, "number", o->number);
	json_u64(&j, "length", o->length);
	json_bool(&j, "vary", o->vary);
	json_u64(&j, "piece_bytes", o->piece_len);
	json_u64(&j, "gap_ns", o->gap_ns);
	json_bool(&j, "nodelay", o->socket.nodelay);
	json_end(&j);
}

static void report_sender_total(const struct sender *s)
{
	if (s->o->json) {
		struct json j;
		record_begin(&j, "total");
		json_str(&j, "role", "sender");
		json_u64(&j, "messages", s->messages);
		json_u64(&j, "writes", s->writes);
		json_u64(&j, "bytes", s->bytes);
		json_u64(&j, "elapsed_ns", s->end_ns - s->begin_ns);
		if (s->segments > 0)
			json_u64(&j, "segments", s->segments);
		else
			json_null(&j, "segments"); /* an old kernel does not count them */
		json_bool(&j, "interrupted", sig_pending(NULL) != 0);
		json_end(&j);
		return;
	}
	printf("sent: messages %" PRIu64 ", writes %" PRIu64 ", bytes %" PRIu64, s->messages, s->writes, s->bytes);
	if (s->segments > 0)
		printf(", segments %" PRIu64, s->segments);
	putchar('\n');
}

static int connect_to(const struct options *o, struct addr *peer, struct net_error *e)
{
	struct addr list[ADDR_MAX];
	int family = o->ipv4 ? AF_INET : o->ipv6 ? AF_INET6 : AF_UNSPEC;
	int n = addr_resolve(o->host, (uint16_t)o->port, family, list, ADDR_MAX, e);
	if (n < 0)
		return -1;
	struct io_until until = { .deadline_ns = clk_mono_ns() + o->timeout_ns, .cancel = sig_flag() };
	sig_let_in(true);
	int fd = sock_connect(list, (size_t)n, NULL, &o->socket, &until, e);
	sig_let_in(false);
	if (fd >= 0 && (io_tick(fd) < 0 || addr_of_peer(fd, peer) < 0)) {
		net_fail(e, "connect", o->host);
		close(fd);
		return -1;
	}
	return fd;
}

/* Everything, on a connection that stands. 0, or -1 with *e. */
static int send_all(struct sender *s, const char *peer, struct net_error *e)
{
	struct tcpinfo info;
	const char *op = "send to";
	s->message = xmalloc(s->o->length);
	int rc = send_messages(s);
	if (rc == 0) {
		op = "wait for the end of";
		rc = finish(s);
	}
	if (rc < 0)
		net_fail(e, op, peer);
	s->segments = tcpinfo_get(s->fd, &info) == 0 ? info.data_segments : 0;
	free(s->message);
	return rc;
}

static int run_sender(const struct options *o)
{
	struct net_error e = { 0 };
	struct addr peer;
	char text[ADDR_TEXT];
	struct sender s = { .o = o, .begin_ns = clk_mono_ns() };
	s.fd = connect_to(o, &peer, &e);
	int rc = s.fd;
	if (s.fd >= 0) {
		report_sender_start(o, addr_text(&peer, text));
		rc = send_all(&s, text, &e);
		close(s.fd);
	}
	if (rc < 0 && e.sys != ECANCELED)
		return report_error(o, &e);
	s.end_ns = clk_mono_ns();
	report_sender_total(&s);
	return sig_exit_status(0);
}

/* --- options and main -------------------------------------------------------------------------------------------- */

static const char *const synopsis[] = {
	"-s [--fixed] [-1] [-p PORT] [options]",
	"HOST [-p PORT] [-n COUNT] [-l LEN] [options]",
	NULL,
};

static const char *const about[] = {
	"framing shows that TCP is a stream of bytes and knows no messages. The sender writes messages, each with its "
	"length in front. The receiver as it is first takes what one recv(2) returns for one message, as much code "
	"does; with --fixed it takes the length's word for it, over as many or as few recv(2) as it needs.",
	"The receiver counts what it took for messages, and how many of them were: a right one is, from its first "
	"byte to its last, what its length says; with --verify it is also one that our sender makes, in its turn and "
	"with every byte in place.",
	NULL,
};

static const struct arg_example examples[] = {
	{ "framing -s -1 --verify", "receive from one sender, with the mistake" },
	{ "framing 127.0.0.1", "send it 200 messages of 100 bytes as fast as it goes" },
	{ "framing -s -1 --verify --fixed", "the same without the mistake" },
	{ "framing 127.0.0.1 --gap 10ms", "a message now and then: the mistake hides" },
	{ "framing -s -1 -v --late 500ms", "show each recv(2) of a reader that was busy with something else" },
	{ "framing 127.0.0.1 -D --piece 1", "the other extreme: each byte by itself" },
	{ "printf '\\0\\0\\0\\5hello' | nc -N 127.0.0.1 2014", "a message by hand" },
	{ 0 },
};

static const struct arg_example statuses[] = {
	{ "3", "received, but something that is no message was taken for one" },
	{ 0 },
};

static struct options parse_options(int argc, char **argv)
{
	struct options o = {
		.port = DEFAULT_PORT,
		.number = 200,
		.length = 100,
		.read_len = 64 * 1024,
		.max_length = 1024 * 1024,
		.timeout_ns = UINT64_C(10) * NS_PER_S,
	};
	/* clang-format off */
	const struct arg rows[] = {
		{ .help = "Role:" },
		{ 's', "server", ARG_FLAG, &o.server, .help = "receive: listen, and serve one sender after another" },
		{ 'p', "port", ARG_PORT, &o.port, .value_name = "PORT", .help = "the receiver's port; 0 with -s takes a free one" },
		{ '4', "ipv4", ARG_FLAG, &o.ipv4, .help = "IPv4 only" },
		{ '6', "ipv6", ARG_FLAG, &o.ipv6, .help = "IPv6 only" },
		{ .help = "Receiver:" },
		{ '\0', "fixed", ARG_FLAG, &o.fixed, .help = "find the messages by their length, not by recv(2)" },
		{ '\0', "verify", ARG_FLAG, &o.verify, .help = "a right message is our sender's, in its turn, every byte in place" },
		{ '1', "one-off", ARG_FLAG, &o.one_off, .help = "serve one sender, then end" },
		{ 'B', "bind", ARG_STR, &o.bind, .value_name = "ADDR", .help = "listen there (loopback unless given)" },
		{ '\0', "late", ARG_DURATION, &o.late_ns, 1, DAY_NS, "D", "do something else for so long before the first recv(2)" },
		{ '\0', "work", ARG_DURATION, &o.work_ns, 1, DAY_NS, "D", "be at work for so long on each message" },
		{ '\0', "read", ARG_SIZE, &o.read_len, LENGTH_LEN, GIB, "SIZE", "the buffer that recv(2) may fill" },
		{ '\0', "rcvbuf", ARG_SIZE, &o.socket.receive_buffer, 1, GIB, "SIZE", "SO_RCVBUF: the kernel's buffer" },
		{ '\0', "max-length", ARG_SIZE, &o.max_length, HEAD_LEN, GIB, "SIZE", "with --fixed: refuse longer messages" },
		{ .help = "Sender:" },
		{ 'n', "number", ARG_COUNT, &o.number, 1, UINT32_MAX, "COUNT", "messages" },
		{ 'l', "length", ARG_SIZE, &o.length, HEAD_LEN, GIB, "LEN", "bytes in a message, all included" },
		{ '\0', "vary", ARG_FLAG, &o.vary, .help = "messages of any length from 8 bytes to LEN" },
		{ '\0', "gap", ARG_DURATION, &o.gap_ns, 1, DAY_NS, "D", "a message every so often, instead of as fast as it goes" },
		{ '\0', "piece", ARG_SIZE, &o.piece_len, 1, GIB, "SIZE", "write each message in pieces of so many bytes" },
		{ 'D', "nodelay", ARG_FLAG, &o.socket.nodelay, .help = "TCP_NODELAY: small segments do not wait (Nagle off)" },
		{ .help = "Both:" },
		{ '\0', "timeout", ARG_DURATION, &o.timeout_ns, 1, DAY_NS, "D", "give up when nothing moves for so long" },
		{ 'v', "verbose", ARG_FLAG, &o.verbose, .help = "receiver: show each recv(2), and what was taken for a message" },
		{ '\0', "json", ARG_FLAG, &o.json, .help = "one JSON object a line on standard output" },
		{ 0 },
	};
	/* clang-format on */
	const struct arg_spec spec = {
		.tool = "framing",
		.one_line = "shows that one recv(2) is not one message, and how a receiver finds the messages",
		.synopsis = synopsis,
		.about = about,
		.args = rows,
		.examples = examples,
		.exit_statuses = statuses,
		.see_also = "tcplab(1), recv(2), send(2), tcp(7). Each figure explained: docs/tools/framing.md.",
	};
	int first = args_parse(&spec, argc, argv);
	if (first < argc)
		o.host = argv[first++];
	if (first < argc)
		args_misuse("'%s' is too much", argv[first]);
	return o;
}

static void check_options(const struct options *o)
{
	if (o->ipv4 && o->ipv6)
		args_misuse("-4 and -6 exclude each other");
	if (o->server == (o->host != NULL))
		args_misuse("say -s to receive, or the HOST to send to");
	if (o->server && (o->gap_ns != 0 || o->piece_len != 0 || o->vary || o->socket.nodelay))
		args_misuse("with -s it is the sender that chooses --gap, --piece, --vary and --nodelay");
	if (!o->server &&
	    (o->fixed || o->verify || o->one_off || o->late_ns != 0 || o->work_ns != 0 || o->bind != NULL))
		args_misuse("--fixed, --verify, --late, --work, --bind and -1 are for the receiver (-s)");
}

int main(int argc, char **argv)
{
	diag_tool = "framing";
	setvbuf(stdout, NULL, _IOLBF, 0);
	struct options o = parse_options(argc, argv);
	check_options(&o);
	sig_open();

	int status = o.server ? run_receiver(&o) : run_sender(&o);
	if (fflush(stdout) != 0 || ferror(stdout))
		die("cannot write the report to standard output");
	return status;
}
