/* bulkecho - a client that writes everything before it reads, and a server that echoes: two right programs, one deadlock.
 *
 * Try:       bulkecho                      64 MiB there and back: who holds how many bytes when nothing moves any more?
 *            bulkecho --bytes 1M           the same with less: no deadlock, and nobody knows why
 *            bulkecho --fixed              reads while it writes
 *            bulkecho --find --sndbuf 32K --rcvbuf 32K     where is the border?
 *            bulkecho --hold 30s           and meanwhile, in another terminal: ss -tnoi, or gdb, or top
 *            bulkecho localhost -p 2007    against somebody else's echo server
 * Look for:  PITFALL below. The server has none.
 * Labs:      15-echo-deadlock.
 *
 * All buffers in the ring are full, and each of the two waits for the other one to make room:
 *
 *        +---> client's send queue ----> server's receive queue ---+
 *        |                                                         v
 *     client: in send(2),                              server: in send(2),
 *     does not read                                    does not read
 *        ^                                                         |
 *        +---- client's receive queue <---- server's send queue <--+
 *
 * When nothing moves, each byte is somewhere, and both sums are exact:
 *
 *     client wrote  =  server read  +  client's send queue  +  server's receive queue
 *     server wrote  =  client read  +  server's send queue  +  client's receive queue
 *
 * Three threads: the client, the server, and main, which only looks at their counters and at the queues (SIOCOUTQ, SIOCINQ;
 * tcp(7)). It calls it a deadlock when both are in send(2), all four queues hold something, both sums are exact and none of
 * the eight numbers has changed for --patience: not for having waited long. The threads' blocking calls have a tick
 * (io.h), so that what a send(2) took before it blocked is counted, too.
 *
 * The chapters: the two sides, the observer, one trial, the search, reports, options and main. */
#include "args.h"
#include "clock.h"
#include "diag.h"
#include "io.h"
#include "mem.h"
#include "os.h"
#include "prng.h"
#include "record.h"
#include "sig.h"
#include "sock.h"
#include "tcpinfo.h"
#include "units.h"

#include "pitfall/stage.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { DEFAULT_PORT = 2007, SEED = 1, CHUNK = 64 * 1024, SERVER_CHUNK = 4096, STACK_LEN = 512 * 1024, LOOK_MS = 10 };

/* Nothing moves, and it is no deadlock: somebody else's server, or the network. */
#define STALL_NS (UINT64_C(10) * NS_PER_S)

struct options {
	struct stage stage; /* host NULL: our own server */
	bool fixed, find;
	uint64_t bytes, patience_ns, hold_ns;
	struct sock_options socket;
};

/* --- the two sides ----------------------------------------------------------------------------------------------- */

enum doing { READS, WRITES, IS_OVER };

/* Written by its own thread, looked at by main. */
struct side {
	int fd;
	const atomic_bool *cancel;
	_Atomic uint64_t read_bytes, written_bytes;
	_Atomic enum doing doing;
	int error; /* why it ended early; to be read when the thread is joined */
};

/* One client and, unless that is somebody else's, one server. */
struct trial {
	const struct options *o;
	uint64_t bytes;
	atomic_bool cancel;
	struct side client, server;
	uint64_t right_bytes; /* of the echo, from the beginning; the client's until it is joined */
};

/* A blocking recv(2). > 0 bytes, 0 the other one's FIN, -1 with errno (ECANCELED). */
static ssize_t side_read(struct side *s, void *p, size_t room)
{
	const struct io_until until = { .deadline_ns = CLK_NEVER, .cancel = s->cancel };
	ssize_t n;
	atomic_store(&s->doing, READS);
	do
		n = recv(s->fd, p, room, 0);
	while (n < 0 && !io_is_over(&until));
	tracef("recv(%d, %zu) = %zd", s->fd, room, n);
	s->read_bytes += n > 0 ? (uint64_t)n : 0;
	return n;
}

/* A blocking send(2) of everything. 0, or -1 with errno. */
static int side_write(struct side *s, const unsigned char *p, size_t len)
{
	const struct io_until until = { .deadline_ns = CLK_NEVER, .cancel = s->cancel };
	atomic_store(&s->doing, WRITES);
	while (len > 0) {
		ssize_t n = send(s->fd, p, len, MSG_NOSIGNAL);
		tracef("send(%d, %zu) = %zd", s->fd, len, n);
		if (n < 0 && io_is_over(&until))
			return -1;
		if (n < 0)
			continue;
		s->written_bytes += (uint64_t)n;
		p += n;
		len -= (size_t)n;
		errno = EAGAIN; /* after a part, too: main may want us to end */
		if (len > 0 && io_is_over(&until))
			return -1;
	}
	return 0;
}

static void side_end(struct side *s, bool failed)
{
	s->error = failed ? errno : 0;
	shutdown(s->fd, SHUT_WR);
	atomic_store(&s->doing, IS_OVER);
}

/* Echoes (RFC 862), 4 KiB at a time. That it does not read while it cannot write is right: whoever sends has to wait, and no
 * queue grows in here. */
static void *serve(void *arg)
{
	struct side *s = arg;
	unsigned char buffer[SERVER_CHUNK];
	ssize_t n;
	while ((n = side_read(s, buffer, sizeof(buffer))) > 0) {
		if (side_write(s, buffer, (size_t)n) < 0)
			break;
	}
	side_end(s, n != 0);
	return NULL;
}

static void check_echo(struct trial *t, uint64_t at, const unsigned char *p, size_t n)
{
	if (t->right_bytes == at)
		t->right_bytes += prng_check(SEED, at, p, n);
}

/* Broken. 0, or -1 with errno. */
static int write_then_read(struct trial *t, unsigned char *buffer)
{
	struct side *s = &t->client;
	ssize_t n;
	/* PITFALL: writes everything, then reads. What the server sends back meanwhile has to lie somewhere: in the buffers of
	 * two kernels. When they are full the server cannot write, so it does not read, so we cannot write. Each of the
	 * two is right to wait. With little to send it all fits in, and the program is well; how little, neither of
	 * its authors decides. */
	for (uint64_t at = 0; at < t->bytes; at += CHUNK) {
		size_t len = t->bytes - at < CHUNK ? (size_t)(t->bytes - at) : CHUNK;
		prng_fill(SEED, at, buffer, len);
		if (side_write(s, buffer, len) < 0)
			return -1;
	}
	shutdown(s->fd, SHUT_WR);
	while ((n = side_read(s, buffer, CHUNK)) > 0)
		check_echo(t, s->read_bytes - (uint64_t)n, buffer, (size_t)n);
	return (int)n;
}

/* One send(2) of what fits. False: the connection is over, and errno says why. */
static bool write_some(struct trial *t, unsigned char *buffer)
{
	struct side *s = &t->client;
	uint64_t at = s->written_bytes;
	size_t len = t->bytes - at < CHUNK ? (size_t)(t->bytes - at) : CHUNK;
	prng_fill(SEED, at, buffer, len);
	ssize_t n = send(s->fd, buffer, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	tracef("send(%d, %zu) = %zd", s->fd, len, n);
	if (n < 0)
		return errno == EAGAIN;
	s->written_bytes += (uint64_t)n;
	if (s->written_bytes == t->bytes)
		shutdown(s->fd, SHUT_WR);
	return true;
}

/* Fixed: waits for whichever of the two is possible, and does it. */
static int write_and_read(struct trial *t, unsigned char *buffer)
{
	struct side *s = &t->client;
	if (t->bytes == 0)
		shutdown(s->fd, SHUT_WR);
	for (;;) {
		bool has_more = s->written_bytes < t->bytes;
		struct pollfd p = { .fd = s->fd, .events = POLLIN | (has_more ? POLLOUT : 0) };
		int ready = poll(&p, 1, IO_TICK_MS);
		errno = ECANCELED;
		if (atomic_load(&t->cancel))
			return -1;
		if (ready > 0 && p.revents & ~POLLOUT) {
			ssize_t n = side_read(s, buffer, CHUNK);
			if (n <= 0)
				return (int)n;
			check_echo(t, s->read_bytes - (uint64_t)n, buffer, (size_t)n);
		}
		if (ready > 0 && has_more && p.revents & POLLOUT && !write_some(t, buffer))
			return -1;
	}
}

static void *ask(void *arg)
{
	struct trial *t = arg;
	unsigned char *buffer = xmalloc(CHUNK);
	int rc = t->o->fixed ? write_and_read(t, buffer) : write_then_read(t, buffer);
	int error = errno;
	free(buffer);
	errno = error;
	side_end(&t->client, rc < 0);
	return NULL;
}

/* --- the observer ------------------------------------------------------------------------------------------------ */

/* Who holds how many bytes. Of somebody else's server we see nothing. */
struct holdings {
	struct holding {
		uint64_t written, read, send_queue, receive_queue;
	} client, server;
};

static struct holding look_at_side(struct side *s)
{
	struct tcpinfo info;
	struct holding h = { .written = s->written_bytes, .read = s->read_bytes };
	if (s->fd >= 0 && tcpinfo_get(s->fd, &info) == 0)
		h.send_queue = info.send_queue;
	h.receive_queue = stage_unread(s->fd);
	return h;
}

static bool is_conserved(const struct holdings *h)
{
	return h->client.written == h->server.read + h->client.send_queue + h->server.receive_queue &&
	       h->server.written == h->client.read + h->server.send_queue + h->client.receive_queue;
}

/* Neither can go on, and nothing is on its way that could change it. */
static bool is_deadlock(struct trial *t, const struct holdings *h)
{
	bool client_waits = atomic_load(&t->client.doing) == WRITES && h->client.send_queue > 0 &&
			    h->client.receive_queue > 0;
	if (t->server.fd < 0)
		return client_waits;
	return client_waits && atomic_load(&t->server.doing) == WRITES && h->server.send_queue > 0 &&
	       h->server.receive_queue > 0 && is_conserved(h);
}

static bool is_over(struct trial *t)
{
	return atomic_load(&t->client.doing) == IS_OVER &&
	       (t->server.fd < 0 || atomic_load(&t->server.doing) == IS_OVER);
}

enum outcome { ENDED, DEADLOCK, STALLED, INTERRUPTED };

/* Looks on until one of them comes. */
static enum outcome observe(struct trial *t, struct holdings *last)
{
	uint64_t since_ns = clk_mono_ns();
	*last = (struct holdings){ 0 };
	for (;;) {
		if (is_over(t))
			return ENDED;
		struct holdings now = { look_at_side(&t->client), look_at_side(&t->server) };
		uint64_t now_ns = clk_mono_ns();
		if (memcmp(&now, last, sizeof(now)) != 0) {
			*last = now;
			since_ns = now_ns;
		} else if (now_ns - since_ns >= t->o->patience_ns && is_deadlock(t, &now)) {
			return DEADLOCK;
		} else if (now_ns - since_ns >= STALL_NS) {
			return STALLED;
		}
		if (sig_wait_fd(-1, 0, LOOK_MS * NS_PER_MS) < 0 && errno == ECANCELED)
			return INTERRUPTED;
	}
}

/* --- one trial --------------------------------------------------------------------------------------------------- */

/* The client's end, and the server's if that is ours. False: a signal came. */
static bool open_trial(struct trial *t)
{
	const struct options *o = t->o;
	struct net_error e = { 0 };
	int fds[2] = { -1, -1 }; /* the server's, the client's */
	if (o->stage.host != NULL)
		fds[1] = stage_connect(&o->stage, &o->socket, &e);
	else if (stage_pair(stage_family(&o->stage), &o->socket, &o->socket, fds, &e) < 0)
		fds[1] = -1;
	if (fds[1] < 0 && e.sys != ECANCELED)
		stage_fail(&o->stage, &e);
	for (int i = 0; i < 2; i++) {
		if (fds[i] >= 0 && io_tick(fds[i]) < 0)
			stage_fail_errno(&o->stage, "set", "SO_RCVTIMEO");
	}
	t->server.fd = fds[0];
	t->client.fd = fds[1];
	return t->client.fd >= 0;
}

static void start(const struct options *o, pthread_t *thread, void *(*fn)(void *), void *arg)
{
	errno = os_thread_start(thread, STACK_LEN, fn, arg);
	if (errno != 0)
		stage_fail_errno(&o->stage, "start", "a thread");
}

struct result {
	enum outcome outcome;
	struct holdings holdings; /* at the end, or in the deadlock */
	uint64_t right_bytes, elapsed_ns;
};

static struct result try(const struct options *o, uint64_t bytes)
{
	struct trial t = { .o = o, .bytes = bytes };
	struct result r = { 0 };
	pthread_t client, server;
	t.client.cancel = t.server.cancel = &t.cancel;
	if (!open_trial(&t))
		return (struct result){ .outcome = INTERRUPTED };
	uint64_t begin_ns = clk_mono_ns();
	start(o, &client, ask, &t);
	if (t.server.fd >= 0)
		start(o, &server, serve, &t.server);
	r.outcome = observe(&t, &r.holdings);
	r.elapsed_ns = clk_mono_ns() - begin_ns;
	if (r.outcome == DEADLOCK && o->hold_ns != 0)
		(void)!sig_wait_fd(-1, 0, o->hold_ns);
	atomic_store(&t.cancel, true);
	pthread_join(client, NULL);
	if (t.server.fd >= 0)
		pthread_join(server, NULL);
	if (r.outcome != DEADLOCK)
		r.holdings = (struct holdings){ look_at_side(&t.client), look_at_side(&t.server) };
	r.right_bytes = t.right_bytes;
	/* WHY aborts: what still lies in the queues is for nobody, and the kernel should not go on trying. */
	sock_abort(t.client.fd);
	if (t.server.fd >= 0)
		sock_abort(t.server.fd);
	errno = r.outcome == STALLED ? ETIMEDOUT : t.client.error != 0 ? t.client.error : t.server.error;
	if (r.outcome == STALLED || (r.outcome == ENDED && errno != 0))
		stage_fail_errno(&o->stage, "exchange bytes with",
				 o->stage.host != NULL ? o->stage.host : "the server");
	return r;
}

/* --- the search -------------------------------------------------------------------------------------------------- */

struct border {
	uint64_t passed, stuck; /* the most that passed, the least that did not */
	unsigned trials;
};

static void report_trial(const struct options *o, uint64_t bytes, const struct result *r)
{
	if (!o->stage.json) {
		printf("%12" PRIu64 "  %s\n", bytes, r->outcome == DEADLOCK ? "deadlock" : "passed");
		return;
	}
	struct json j;
	record_begin(&j, "trial");
	json_u64(&j, "bytes", bytes);
	json_bool(&j, "deadlock", r->outcome == DEADLOCK);
	json_u64(&j, "client_written_bytes", r->holdings.client.written);
	json_end(&j);
}

/* What to try next: halfway between what passed and what did not; but where a client got stuck is a better guess, and so is a
 * little more than what has passed. A deadlock takes its time. */
static uint64_t guess(const struct border *b, const struct result *last)
{
	uint64_t middle = b->passed + (b->stuck - b->passed) / 2, more = b->passed + b->passed / 16;
	uint64_t written = last->holdings.client.written;
	if (last->outcome == DEADLOCK && written > b->passed && written < middle)
		return written;
	if (last->outcome == ENDED && more > b->passed + SERVER_CHUNK && more < middle)
		return more;
	return middle;
}

/* Until the two are no more than a server's chunk apart. False: everything passes. */
static bool find_border(const struct options *o, struct border *b)
{
	*b = (struct border){ .stuck = UINT64_MAX };
	for (uint64_t bytes = o->bytes; sig_pending(NULL) == 0;) {
		struct result r = try(o, bytes);
		if (r.outcome == INTERRUPTED)
			break;
		report_trial(o, bytes, &r);
		b->trials++;
		if (r.outcome == ENDED)
			b->passed = bytes;
		else
			b->stuck = bytes;
		if (b->passed == o->bytes)
			return false;
		if (b->stuck <= b->passed + SERVER_CHUNK)
			break;
		bytes = guess(b, &r);
	}
	return true;
}

/* --- reports ----------------------------------------------------------------------------------------------------- */

static void report_start(const struct options *o)
{
	if (!o->stage.json)
		return;
	struct json j;
	record_begin(&j, "start");
	json_str(&j, "client", o->fixed ? "reads while it writes" : "writes, then reads");
	json_str(&j, "server", o->stage.host);
	json_u64(&j, "bytes", o->bytes);
	json_u64(&j, "send_buffer", o->socket.send_buffer);
	json_u64(&j, "receive_buffer", o->socket.receive_buffer);
	json_end(&j);
}

static void put_holding(struct json *j, const char *who, const struct holding *h, bool is_known)
{
	const struct {
		const char *what;
		uint64_t value;
	} members[] = { { "written_bytes", h->written },
			{ "read_bytes", h->read },
			{ "send_queue_bytes", h->send_queue },
			{ "receive_queue_bytes", h->receive_queue } };
	for (size_t i = 0; i < COUNT_OF(members); i++) {
		char key[64];
		snprintf(key, sizeof(key), "%s_%s", who, members[i].what);
		if (is_known)
			json_u64(j, key, members[i].value);
		else
			json_null(j, key);
	}
}

/* Where the bytes of one direction are. */
static void print_sum(const char *from, const struct holding *sender, const char *to, const struct holding *receiver)
{
	printf("%s wrote %" PRIu64 " = %" PRIu64 " read by the %s + %" PRIu64 " in the %s's send queue + %" PRIu64
	       " in the %s's receive queue\n",
	       from, sender->written, receiver->read, to, sender->send_queue, from, receiver->receive_queue, to);
}

static void print_holdings(const struct options *o, const struct holdings *h)
{
	if (o->stage.host == NULL) {
		print_sum("client", &h->client, "server", &h->server);
		print_sum("server", &h->server, "client", &h->client);
	} else {
		printf("client wrote %" PRIu64 ", %" PRIu64 " of them in its send queue; read %" PRIu64
		       ", and has %" PRIu64 " more in its receive queue\n",
		       h->client.written, h->client.send_queue, h->client.read, h->client.receive_queue);
	}
}

static void report_total(const struct options *o, uint64_t bytes, const struct result *r)
{
	char duration[UNITS_TEXT];
	if (!o->stage.json) {
		printf("%s: %s after %s\n", o->fixed ? "reads while it writes" : "writes, then reads",
		       r->outcome == DEADLOCK ? "deadlock, seen"
		       : r->outcome == ENDED  ? "all sent and received"
					      : "interrupted",
		       units_duration(duration, r->elapsed_ns));
		print_holdings(o, &r->holdings);
		return;
	}
	struct json j;
	record_begin(&j, "total");
	json_u64(&j, "bytes", bytes);
	json_bool(&j, "fixed", o->fixed);
	json_bool(&j, "deadlock", r->outcome == DEADLOCK);
	json_u64(&j, "right_bytes", r->right_bytes);
	put_holding(&j, "client", &r->holdings.client, true);
	put_holding(&j, "server", &r->holdings.server, o->stage.host == NULL);
	if (o->stage.host == NULL)
		json_bool(&j, "conserved", is_conserved(&r->holdings));
	else
		json_null(&j, "conserved");
	json_u64(&j, "elapsed_ns", r->elapsed_ns);
	json_bool(&j, "interrupted", r->outcome == INTERRUPTED);
	json_end(&j);
}

static void report_border(const struct options *o, const struct border *b)
{
	if (!o->stage.json) {
		if (b->stuck == UINT64_MAX)
			printf("%" PRIu64 " bytes passed: try with more --bytes\n", b->passed);
		else
			printf("%" PRIu64 " bytes pass, %" PRIu64 " do not\n", b->passed, b->stuck);
		return;
	}
	struct json j;
	record_begin(&j, "total");
	json_u64(&j, "trials", b->trials);
	json_u64(&j, "passed_bytes", b->passed);
	if (b->stuck == UINT64_MAX)
		json_null(&j, "stuck_bytes");
	else
		json_u64(&j, "stuck_bytes", b->stuck);
	json_bool(&j, "interrupted", sig_pending(NULL) != 0);
	json_end(&j);
}

/* --- options and main -------------------------------------------------------------------------------------------- */

static const char *const synopsis[] = {
	"[--fixed | --find] [--bytes SIZE] [options]",
	"HOST [-p PORT] [--fixed | --find] [options]",
	NULL,
};

static const char *const about[] = {
	"bulkecho shows a deadlock of two programs that are both right. A client sends bytes to an echo server and reads "
	"them back. As it is first it writes all of them before it reads; from some size on all buffers between the two "
	"fill up, and each waits for the other one for ever. With --fixed it reads while it writes.",
	"Client and server are threads of this process; a third one looks on, says when nothing can move any more, and who "
	"holds how many bytes then: each byte is in one of four queues. With HOST the server is somebody else's "
	"(RFC 862), and only the client's half can be seen.",
	NULL,
};

static const struct arg_example examples[] = {
	{ "bulkecho", "64 MiB, and the system's buffers" },
	{ "bulkecho --fixed", "the same without the mistake" },
	{ "bulkecho --find --sndbuf 32K --rcvbuf 32K", "where the border lies, with small buffers" },
	{ "bulkecho --hold 1m", "stay in the deadlock for a minute: ss -tno shows four queues" },
	{ "bulkecho localhost -p 2007 --bytes 1G", "against an echo server" },
	{ 0 },
};

static const struct arg_example statuses[] = {
	{ "3", "no deadlock with the mistake, or one without it, or the echo was not what was sent" },
	{ 0 },
};

static struct options parse_options(int argc, char **argv)
{
	struct options o = {
		.stage = { .port = DEFAULT_PORT, .timeout_ns = STALL_NS },
		.bytes = 64 * 1024 * 1024,
		.patience_ns = 500 * NS_PER_MS,
	};
	/* clang-format off */
	const struct arg rows[] = {
		{ '\0', "fixed", ARG_FLAG, &o.fixed, .help = "read while writing" },
		{ '\0', "find", ARG_FLAG, &o.find, .help = "find the border between what passes and what does not" },
		{ '\0', "bytes", ARG_SIZE, &o.bytes, 0, UINT64_C(1) << 40, "SIZE", "how many to send; with --find at most" },
		{ '\0', "sndbuf", ARG_SIZE, &o.socket.send_buffer, 1, 1 << 30, "SIZE", "SO_SNDBUF; the system's own without it" },
		{ '\0', "rcvbuf", ARG_SIZE, &o.socket.receive_buffer, 1, 1 << 30, "SIZE", "SO_RCVBUF; the system's own without it" },
		{ 'p', "port", ARG_PORT, &o.stage.port, .value_name = "PORT", .help = "the port of HOST" },
		{ '4', "ipv4", ARG_FLAG, &o.stage.ipv4, .help = "IPv4 only" },
		{ '6', "ipv6", ARG_FLAG, &o.stage.ipv6, .help = "IPv6 only" },
		{ '\0', "patience", ARG_DURATION, &o.patience_ns, 1, STAGE_DAY_NS, "D", "a deadlock is one when nothing has changed for so long" },
		{ '\0', "hold", ARG_DURATION, &o.hold_ns, 0, STAGE_DAY_NS, "D", "stay in it for so long, to be looked at" },
		{ '\0', "json", ARG_FLAG, &o.stage.json, .help = "one JSON object a line on standard output" },
		{ 0 },
	};
	/* clang-format on */
	const struct arg_spec spec = {
		.tool = "bulkecho",
		.one_line = "shows how a client that writes before it reads and an echo server block each other",
		.synopsis = synopsis,
		.about = about,
		.args = rows,
		.examples = examples,
		.exit_statuses = statuses,
		.see_also = "tcplab(1), tcp(7), ss(8). Each figure explained: docs/tools/bulkecho.md.",
	};
	int first = args_parse(&spec, argc, argv);
	if (first < argc)
		o.stage.host = argv[first++];
	if (first < argc)
		args_misuse("'%s' is too much", argv[first]);
	stage_check_family(&o.stage);
	if (o.find && o.fixed)
		args_misuse("--fixed has no border to find");
	return o;
}

int main(int argc, char **argv)
{
	diag_tool = "bulkecho";
	setvbuf(stdout, NULL, _IOLBF, 0);
	struct options o = parse_options(argc, argv);
	bool as_promised;
	sig_open();
	report_start(&o);
	if (o.find) {
		struct border b;
		as_promised = find_border(&o, &b);
		report_border(&o, &b);
	} else {
		struct result r = try(&o, o.bytes);
		report_total(&o, o.bytes, &r);
		as_promised = o.fixed ? r.outcome == ENDED && r.right_bytes == o.bytes : r.outcome == DEADLOCK;
	}
	return record_finish(sig_exit_status(as_promised ? 0 : 3));
}
