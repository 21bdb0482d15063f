/* halfclose - "I have said everything" is not "I am gone": a connection has two directions, and each has an end.
 *
 * Try:       halfclose -s                             in one terminal: reads to the end, then answers with 1 MiB
 *            halfclose localhost                      in another: asks, closes, and gets nothing
 *            halfclose localhost --never              asks, and does not say that this was all: both wait
 *            halfclose localhost --fixed              asks, shutdown(2), reads the answer to its end
 *            halfclose --relay localhost              a relay in one more terminal; ask it, with -p 2023 --fixed
 *            halfclose --relay localhost --fixed      a relay that knows two directions
 * Look for:  PITFALL below, three times. The server is the same in all runs, and does nothing wrong.
 * Labs:      22-half-close.
 *
 * The server cannot answer before it has the whole request, and the request ends where the client's stream ends. So the
 * client has to end one direction and keep the other (RFC 9293 3.6: "I have no more data to send"):
 *
 *     client                                server
 *     request  ------------------------->   reads ...
 *     FIN      ------------------------->   0: the request is complete
 *     reads ...                      <---   answer
 *     0: the answer is complete      <---   FIN
 *
 * The answer is a header of two 64-bit numbers, big-endian: how many bytes the server got, how many follow it; and then so
 * many bytes of prng.h's stream 1, so that the client finds the first one that is wrong or missing.
 *
 * The chapters: what the three roles share, server, client, relay, options and main. One thread; it waits in poll(2) in
 * front of each call, so that a deadline or a signal ends it.
 *
 * LIMIT: server and relay serve one client after another. */
#include "args.h"
#include "clock.h"
#include "diag.h"
#include "prng.h"
#include "record.h"
#include "sig.h"
#include "sock.h"
#include "wire.h"

#include "pitfall/stage.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { DEFAULT_PORT = 2022, DEFAULT_RELAY_PORT = 2023, HEAD_LEN = 16, CHUNK = 64 * 1024, SEED = 1 };

#define LEN_MAX (UINT64_C(1) << 40)

struct options {
	struct stage stage;
	bool relay, never, fixed;
	uint64_t listen_port, reply_len, request_len, delay_ns;
};

/* --- what the roles share ---------------------------------------------------------------------------------------- */

/* `len` bytes of the stream, after what `p` holds already. */
static int send_stream(const struct options *o, int fd, unsigned char *p, size_t held, uint64_t len, uint64_t *taken)
{
	uint64_t at = 0;
	do {
		size_t n = len - at < CHUNK - held ? (size_t)(len - at) : CHUNK - held;
		prng_fill(SEED, at, p + held, n);
		if (stage_send_all(&o->stage, fd, p, held + n, taken) < 0)
			return -1;
		at += n;
		held = 0;
	} while (at < len);
	return 0;
}

static void end_our_direction(int fd)
{
	int rc = shutdown(fd, SHUT_WR);
	tracef("shutdown(%d, SHUT_WR) = %d", fd, rc);
}

/* Listens, and serves one client after another. The exit status. */
static int serve_all(struct options *o, const char *role, uint64_t port,
		     void (*serve)(void *o, int fd, const char *peer))
{
	char text[ADDR_TEXT];
	struct json j;
	int listen_fd = stage_listen(&o->stage, port, NULL, text);
	if (listen_fd < 0)
		return 1;
	if (o->stage.json) {
		record_begin(&j, "start");
		json_str(&j, "role", role);
		json_str(&j, "listening", text);
		json_bool(&j, "fixed", o->fixed);
		json_end(&j);
	}
	uint64_t connections = stage_serve(&o->stage, listen_fd, serve, o);
	close(listen_fd);
	return stage_report_served(&o->stage, role, connections);
}

/* --- the server -------------------------------------------------------------------------------------------------- */

static void report_served(const struct options *o, const char *peer, uint64_t request, uint64_t written, int error)
{
	uint64_t reply = HEAD_LEN + o->reply_len;
	if (!o->stage.json) {
		printf("%s: request %" PRIu64 " bytes; reply: %" PRIu64 " of %" PRIu64
		       " bytes taken by the kernel, %s\n",
		       peer, request, written, reply, error == 0 ? "all of them acknowledged" : strerror(error));
		return;
	}
	struct json j;
	record_begin(&j, "connection");
	json_str(&j, "peer", peer);
	json_u64(&j, "request_bytes", request);
	json_u64(&j, "reply_bytes", reply);
	json_u64(&j, "written_bytes", written);
	json_str(&j, "errno", stage_symbol(error));
	json_end(&j);
}

/* Reads to the client's end, then answers. Whatever becomes of the client, it is the end of this connection only. */
static void answer(void *context, int fd, const char *peer)
{
	const struct options *o = context;
	unsigned char buffer[CHUNK];
	uint64_t request = 0, written = 0;
	ssize_t n;
	while ((n = stage_recv(&o->stage, fd, buffer, sizeof(buffer))) > 0)
		request += (uint64_t)n;
	int rc = n < 0 ? -1 : 0;
	if (rc == 0 && o->delay_ns != 0 && sig_wait_fd(-1, 0, o->delay_ns) < 0 && errno == ECANCELED)
		rc = -1;
	if (rc == 0) {
		be64_put(buffer, request);
		be64_put(buffer + 8, o->reply_len);
		rc = send_stream(o, fd, buffer, HEAD_LEN, o->reply_len, &written);
	}
	if (rc == 0) {
		end_our_direction(fd);
		rc = stage_wait_acknowledged(&o->stage, fd);
	}
	int error = rc < 0 ? errno : 0;
	close(fd);
	report_served(o, peer, request, written, error);
}

/* --- the client -------------------------------------------------------------------------------------------------- */

/* What came back. */
struct reply {
	unsigned char head[HEAD_LEN];
	uint64_t bytes;   /* header included */
	uint64_t right;   /* of those behind the header: up to the first wrong one */
	bool is_complete; /* as announced, every byte in place, and then the server's FIN */
	const char *end;  /* how the server's direction ended: fin, rst, none */
};

static void take_reply(struct reply *r, const unsigned char *p, size_t n)
{
	size_t head = 0;
	if (r->bytes < HEAD_LEN) {
		head = n < HEAD_LEN - r->bytes ? n : HEAD_LEN - (size_t)r->bytes;
		memcpy(r->head + r->bytes, p, head);
	}
	r->bytes += head;
	if (n > head && r->right == r->bytes - HEAD_LEN)
		r->right += prng_check(SEED, r->right, p + head, n - head);
	r->bytes += n - head;
}

/* Reads the reply to the server's end. 0, or -1 with errno. */
static int read_reply(const struct options *o, int fd, struct reply *r)
{
	unsigned char buffer[CHUNK];
	ssize_t n;
	while ((n = stage_recv(&o->stage, fd, buffer, sizeof(buffer))) > 0)
		take_reply(r, buffer, (size_t)n);
	if (n == 0)
		r->end = "fin";
	else if (errno == ECONNRESET)
		r->end = "rst";
	r->is_complete = n == 0 && r->bytes >= HEAD_LEN && be64_get(r->head) == o->request_len &&
			 be64_get(r->head + 8) == r->bytes - HEAD_LEN && r->right == r->bytes - HEAD_LEN;
	return n < 0 ? -1 : 0;
}

/* The request, its end in one of three ways, and the reply if we can still have it. 0, or -1 with errno. */
static int ask(const struct options *o, int fd, uint64_t *sent, struct reply *r)
{
	unsigned char buffer[CHUNK];
	if (send_stream(o, fd, buffer, 0, o->request_len, sent) < 0) {
		close(fd);
		return -1;
	}
	if (!o->fixed && !o->never) {
		/* PITFALL: "I am done asking, so I close." close(2), and exit(3) as well, ends both directions: the
		 * kernel sends our FIN, which is what the server waits for, but whatever comes afterwards finds nobody
		 * and is answered with a reset (RFC 9293 3.6, 3.10.7.1; RFC 1122 4.2.2.13). */
		close(fd);
		tracef("close(%d)", fd);
		return 0;
	}
	/* PITFALL: going on to read without having said that this was all. The server waits for the end of the request, we
	 * wait for the reply: nothing is lost, nothing moves, and nobody is at fault on his own.
	 * The fix is one line. */
	if (o->fixed)
		end_our_direction(fd);
	int rc = read_reply(o, fd, r);
	int error = errno;
	close(fd);
	errno = error;
	return rc;
}

static const char *ending(const struct options *o)
{
	return o->fixed ? "half" : o->never ? "never" : "close";
}

static void report_asking(const struct options *o)
{
	if (!o->stage.json)
		return;
	struct json j;
	record_begin(&j, "start");
	json_str(&j, "role", "client");
	json_str(&j, "host", o->stage.host);
	json_str(&j, "ending", ending(o));
	json_u64(&j, "request_bytes", o->request_len);
	json_end(&j);
}

/* What the server said in its header, or null. */
static void put_announced(struct json *j, const char *key, const struct reply *r, size_t at)
{
	if (r->bytes >= HEAD_LEN)
		json_u64(j, key, be64_get(r->head + at));
	else
		json_null(j, key);
}

static void report_asked(const struct options *o, const char *how, uint64_t sent, const struct reply *r, int error)
{
	if (!o->stage.json) {
		printf("request: %" PRIu64 " of %" PRIu64 " bytes, then %s\n", sent, o->request_len, how);
		printf("reply:   %" PRIu64 " bytes", r->bytes);
		if (r->bytes >= HEAD_LEN)
			printf(" of %" PRIu64 ", %" PRIu64 " right; the server had %" PRIu64,
			       HEAD_LEN + be64_get(r->head + 8), HEAD_LEN + r->right, be64_get(r->head));
		printf("; its end: %s%s%s\n", r->end, error != 0 ? ", " : "", error != 0 ? strerror(error) : "");
		return;
	}
	struct json j;
	record_begin(&j, "total");
	json_str(&j, "role", "client");
	json_str(&j, "ending", ending(o));
	json_u64(&j, "request_bytes", o->request_len);
	json_u64(&j, "sent_bytes", sent);
	json_u64(&j, "received_bytes", r->bytes);
	put_announced(&j, "server_got_bytes", r, 0);
	put_announced(&j, "announced_bytes", r, 8);
	json_u64(&j, "right_bytes", r->right);
	json_str(&j, "server_end", r->end);
	json_bool(&j, "complete", r->is_complete);
	json_str(&j, "errno", stage_symbol(error));
	json_bool(&j, "interrupted", sig_pending(NULL) != 0);
	json_end(&j);
}

static int run_client(const struct options *o)
{
	struct net_error e = { 0 };
	struct reply reply = { .end = "none" };
	uint64_t sent = 0;
	report_asking(o);
	int fd = stage_connect(&o->stage, NULL, &e);
	if (fd < 0 && e.sys != ECANCELED) {
		record_error(o->stage.json, &e);
		return 1;
	}
	int error = fd < 0 ? ECANCELED : ask(o, fd, &sent, &reply) < 0 ? errno : 0;
	report_asked(o,
		     o->fixed   ? "shutdown: our direction ends"
		     : o->never ? "nothing: the server waits for more"
				: "close: both directions end",
		     sent, &reply, error);
	/* The mistakes are to show that there is no reply, the fixed twin that all of it comes. */
	bool as_promised = o->fixed ? reply.is_complete : sent == o->request_len && reply.bytes == 0;
	return sig_exit_status(as_promised ? 0 : 3);
}

/* --- the relay --------------------------------------------------------------------------------------------------- */

/* One way through the relay. */
struct way {
	int from, to;
	unsigned char data[CHUNK];
	size_t at, len; /* data[at, len) has been read and not yet been written */
	uint64_t bytes; /* that went through */
	bool is_over;   /* `from` ended, and there is nothing left to write */
};

/* What this way waits for. A way that has something to write does not read: the sender has to wait (backpressure). */
static struct pollfd wish(const struct way *w)
{
	if (w->at < w->len)
		return (struct pollfd){ .fd = w->to, .events = POLLOUT };
	return (struct pollfd){ .fd = w->is_over ? -1 : w->from, .events = POLLIN };
}

/* One read or one write. 0, or -1 with errno. */
static int move(struct way *w)
{
	if (w->at < w->len) {
		ssize_t n = send(w->to, w->data + w->at, w->len - w->at, MSG_DONTWAIT | MSG_NOSIGNAL);
		tracef("send(%d, %zu) = %zd", w->to, w->len - w->at, n);
		w->at += n > 0 ? (size_t)n : 0;
		w->bytes += n > 0 ? (uint64_t)n : 0;
		return n < 0 && errno != EAGAIN ? -1 : 0;
	}
	ssize_t n = recv(w->from, w->data, sizeof(w->data), MSG_DONTWAIT);
	tracef("recv(%d, %zu) = %zd", w->from, sizeof(w->data), n);
	w->at = 0;
	w->len = n > 0 ? (size_t)n : 0;
	w->is_over = n == 0;
	return n < 0 && errno != EAGAIN ? -1 : 0;
}

/* Both ways, until the connection is over as far as this relay can tell. 0, or -1 with errno. */
static int relay_ways(const struct options *o, struct way ways[static 2])
{
	for (;;) {
		struct pollfd fds[2] = { wish(&ways[0]), wish(&ways[1]) };
		int n = sig_wait(fds, 2, clk_mono_ns() + o->stage.timeout_ns);
		if (n == 0)
			errno = sig_pending(NULL) != 0 ? ECANCELED : ETIMEDOUT;
		if (n <= 0)
			return -1;
		for (unsigned i = 0; i < 2; i++) {
			if (fds[i].revents == 0)
				continue;
			if (move(&ways[i]) < 0)
				return -1;
			if (!ways[i].is_over)
				continue;
			/* PITFALL: the end of one direction is taken for the end of the connection. The client has only
			 * said that its request is complete, and the reply is still to come. The fix passes on what was
			 * said, the end of this one direction, and waits for the other one. */
			if (!o->fixed)
				return 0;
			end_our_direction(ways[i].to);
		}
		if (ways[0].is_over && ways[1].is_over)
			return 0;
	}
}

static void report_relayed(const struct options *o, const char *peer, const struct way ways[static 2], int error)
{
	if (!o->stage.json) {
		printf("%s: up %" PRIu64 " bytes%s, down %" PRIu64 " bytes%s%s%s\n", peer, ways[0].bytes,
		       ways[0].is_over ? " and the end" : "", ways[1].bytes, ways[1].is_over ? " and the end" : "",
		       error != 0 ? ": " : "", error != 0 ? strerror(error) : "");
		return;
	}
	struct json j;
	record_begin(&j, "connection");
	json_str(&j, "peer", peer);
	json_u64(&j, "up_bytes", ways[0].bytes);
	json_u64(&j, "down_bytes", ways[1].bytes);
	json_bool(&j, "up_ended", ways[0].is_over);
	json_bool(&j, "down_ended", ways[1].is_over);
	json_str(&j, "errno", stage_symbol(error));
	json_end(&j);
}

static void relay(void *context, int fd, const char *peer)
{
	const struct options *o = context;
	struct net_error e = { 0 };
	int up_fd = stage_connect(&o->stage, NULL, &e);
	if (up_fd < 0) {
		char text[NET_ERROR_TEXT];
		warnf("%s: %s", peer, net_error_text(&e, text));
		sock_abort(fd);
		return;
	}
	/* Large for the stack of a thread, but this is main's. */
	struct way ways[2] = { { .from = fd, .to = up_fd }, { .from = up_fd, .to = fd } };
	int error = relay_ways(o, ways) < 0 ? errno : 0;
	report_relayed(o, peer, ways, error);
	if (error != 0) { /* an accident at one end is one at the other end too, and no orderly end */
		sock_abort(fd);
		sock_abort(up_fd);
	} else {
		close(fd);
		close(up_fd);
	}
}

/* --- options and main -------------------------------------------------------------------------------------------- */

static const char *const synopsis[] = {
	"-s [-p PORT] [--reply SIZE] [options]",
	"HOST [-p PORT] [--fixed | --never] [--bytes SIZE] [options]",
	"--relay HOST [-p PORT] [--listen PORT] [--fixed] [options]",
	NULL,
};

static const char *const about[] = {
	"halfclose shows that a connection has two directions and that each of them has an end of its own. The server "
	"reads a request to the end of the client's stream, and answers then. The client as it is first closes when it "
	"has asked, and gets nothing; with --never it does not say that this was all, and both wait; with --fixed it "
	"ends its own direction only (shutdown(2)), and reads the reply to the server's end.",
	"The relay between the two as it is first takes the end of one direction for the end of the connection; with "
	"--fixed it passes that end on, and waits for the other one.",
	NULL,
};

static const struct arg_example examples[] = {
	{ "halfclose -s", "a server that answers with 1 MiB" },
	{ "halfclose localhost", "ask, and close" },
	{ "halfclose localhost --never --timeout 2", "ask, and wait with the server for the end of the request" },
	{ "halfclose localhost --fixed", "ask, end this direction, and read the reply" },
	{ "halfclose --relay localhost --fixed", "a relay that knows two directions" },
	{ "printf hello | nc -N 127.0.0.1 2022 | wc -c", "a netcat that ends its direction only" },
	{ 0 },
};

static const struct arg_example statuses[] = {
	{ "3", "a mistake after which there was a reply all the same, or --fixed without the whole reply" },
	{ 0 },
};

static struct options parse_options(int argc, char **argv)
{
	struct options o = {
		.stage = { .port = DEFAULT_PORT, STAGE_DEFAULTS },
		.listen_port = DEFAULT_RELAY_PORT,
		.reply_len = 1024 * 1024,
		.request_len = 1000,
	};
	/* clang-format off */
	const struct arg rows[] = {
		{ .help = "Server:" },
		{ 's', "server", ARG_FLAG, &o.stage.server, .help = "read a request to its end, then answer" },
		{ 'p', "port", ARG_PORT, &o.stage.port, .value_name = "PORT", .help = "the server's port; 0 with -s takes a free one" },
		{ '\0', "reply", ARG_SIZE, &o.reply_len, 0, LEN_MAX, "SIZE", "answer with so many bytes behind the header" },
		{ '\0', "delay", ARG_DURATION, &o.delay_ns, 0, STAGE_DAY_NS, "D", "and not before so long" },
		{ .help = "Client:" },
		{ '\0', "bytes", ARG_SIZE, &o.request_len, 0, LEN_MAX, "SIZE", "ask with so many bytes" },
		{ '\0', "never", ARG_FLAG, &o.never, .help = "do not say where the request ends" },
		{ .help = "Relay:" },
		{ '\0', "relay", ARG_FLAG, &o.relay, .help = "pass on to the server and back" },
		{ '\0', "listen", ARG_PORT, &o.listen_port, .value_name = "PORT", .help = "the relay's own port; 0 takes a free one" },
		{ .help = "All:" },
		{ '\0', "fixed", ARG_FLAG, &o.fixed, .help = "client and relay: end one direction, not the connection" },
		{ '1', "one-off", ARG_FLAG, &o.stage.one_off, .help = "server and relay: one client, then end" },
		{ 'B', "bind", ARG_STR, &o.stage.bind, .value_name = "ADDR", .help = "server and relay: listen there; 127.0.0.1 or ::1 unless given" },
		STAGE_COMMON_ROWS(o.stage),
		{ 0 },
	};
	/* clang-format on */
	const struct arg_spec spec = {
		.tool = "halfclose",
		.one_line =
			"shows that a connection has two directions, and what becomes of a reply when both are closed",
		.synopsis = synopsis,
		.about = about,
		.args = rows,
		.examples = examples,
		.exit_statuses = statuses,
		.see_also = "tcplab(1), shutdown(2), close(2), tcp(7). Each figure explained: docs/tools/halfclose.md.",
	};
	int first = args_parse(&spec, argc, argv);
	if (first < argc)
		o.stage.host = argv[first++];
	if (first < argc)
		args_misuse("'%s' is too much", argv[first]);
	return o;
}

static void check_options(const struct options *o)
{
	stage_check_family(&o->stage);
	if (o->stage.server == (o->stage.host != NULL) || (o->stage.server && o->relay))
		args_misuse("say -s to serve, or the HOST of the server to ask it, or --relay and HOST");
	if (o->stage.server && (o->fixed || o->never))
		args_misuse("with -s there is nothing to fix: it is the client that ends the request");
	if (!o->stage.server && o->delay_ns != 0)
		args_misuse("--delay is for the server (-s)");
	if (!o->stage.server && !o->relay && o->stage.one_off)
		args_misuse("-1 is for server and relay");
	if (o->never && (o->fixed || o->relay))
		args_misuse("--never is for a client, and without --fixed");
}

int main(int argc, char **argv)
{
	diag_tool = "halfclose";
	setvbuf(stdout, NULL, _IOLBF, 0);
	struct options o = parse_options(argc, argv);
	check_options(&o);
	sig_open();

	int status = o.relay          ? serve_all(&o, "relay", o.listen_port, relay)
		     : o.stage.server ? serve_all(&o, "server", o.stage.port, answer)
				      : run_client(&o);
	return record_finish(status);
}
