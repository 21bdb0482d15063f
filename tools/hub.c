/* hub.c - one stream to many clients. What becomes of it when one of them stops reading?
 *
 * Try:       hub -s --clients 3 --time 5 -i 1                 in one terminal
 *            hub 127.0.0.1 & hub 127.0.0.1 & hub 127.0.0.1    in another; then kill -STOP one of them
 *            the same with --fixed, and with --fixed --policy kick or wait
 * Look for:  the columns "queued" and "memory".
 * Labs:      13-slow-reader.
 *
 * The source is paced: --rate, in blocks of --length. Each client has a queue, for what the kernel does not take
 * from us because its send buffer is full, because the client's receive buffer is full, because the client does not
 * read (RFC 9293 3.8.6):
 *
 *	source ---+--- queue A --- send buffer ~~~ receive buffer --- client A
 *	          +--- queue B --- send buffer ~~~ receive buffer --- client B
 *	          +--- queue C --- send buffer ~~~ receive buffer --- client C, stopped
 *	               ^ grows without end, unless somebody bounds it
 *
 * The mistake is in offer(), and so are two remedies, to leave blocks out for this client and to disconnect it; the
 * third, to let the source wait, is is_held_up(). A block goes to a client whole or not at all. The hub ends after
 * --time with a last block that says how many there were; who has not taken everything by then may go on as long as
 * bytes move (30 s at most).
 *
 * This file is the hub; the client is in hub/client.c, the output in hub/report.c, the bytes in hub/hub.h. */
#include "hub/hub.h"

#include "args.h"
#include "clock.h"
#include "diag.h"
#include "mem.h"
#include "os.h"
#include "prng.h"
#include "sig.h"
#include "sock.h"
#include "tcpinfo.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static const uint64_t DRAIN_NS = 500 * NS_PER_MS;              /* at the end, without progress */
static const uint64_t DRAIN_MOST_NS = UINT64_C(30) * NS_PER_S; /* at the end, in all */
static const uint64_t PAUSE_NS = 100 * NS_PER_MS;              /* after an accept that failed for want of something */
static const uint64_t LATE_NS = 10 * NS_PER_MS;                /* the source catches up with no more than that */

/* Bytes that wait for one client. Each client has copies of its own, as in a server that writes to "connections". */
struct piece {
	struct piece *next;
	size_t len, sent;
	unsigned char bytes[];
};

struct client {
	int fd;
	struct piece *head, **tail;
	bool no_input; /* its FIN has come: it may be half closed, and still read */
	bool is_shut;  /* our FIN is behind what is queued */
	uint64_t left; /* at the end: what its kernel had not acknowledged when we last looked */
	struct hub_account a;
};

struct hub {
	const struct hub_options *o;
	int listen_fd;
	uint64_t resume_ns; /* the listener is left alone until then */
	struct client clients[HUB_CLIENTS_MAX];
	unsigned n;
	struct pollfd fds[1 + HUB_CLIENTS_MAX]; /* the listener, and the clients in the same order */

	bool is_streaming, is_draining;
	uint64_t start_ns, next_ns;     /* of the stream; when the next block is due */
	uint64_t drain_ns, progress_ns; /* when the stream ended; when bytes last moved */
	unsigned char *block;           /* header and payload */
	struct hub_totals t;
};

/* --- one client: the mistake, and three remedies ------------------------------------------------------------------ */

/* The first reason counts. It is taken away in sweep(), so that nobody loses his place while a loop walks over them. */
static void end_client(struct client *c, enum hub_end how)
{
	if (c->a.end == HUB_LIVES)
		c->a.end = how;
}

/* What the kernel takes now. */
static size_t send_some(struct hub *h, struct client *c, const unsigned char *p, size_t len)
{
	ssize_t n = send(c->fd, p, len, MSG_NOSIGNAL);
	tracef("send(%d, %zu) = %zd", c->fd, len, n);
	if (n < 0) {
		if (errno != EAGAIN && errno != EINTR)
			end_client(c, HUB_RESET);
		return 0;
	}
	c->a.bytes += (uint64_t)n;
	h->t.bytes += (uint64_t)n;
	h->progress_ns = clk_mono_ns();
	return (size_t)n;
}

static void append(struct hub *h, struct client *c, const unsigned char *p, size_t len)
{
	struct piece *piece = xmalloc(sizeof(*piece) + len);
	*piece = (struct piece){ .len = len };
	memcpy(piece->bytes, p, len);
	*c->tail = piece;
	c->tail = &piece->next;
	c->a.queued += len;
	h->t.queued += len;
	if (c->a.queued > c->a.queued_peak)
		c->a.queued_peak = c->a.queued;
	if (c->a.queued > h->t.queued_peak)
		h->t.queued_peak = c->a.queued;
}

/* The queue has reached its mark, and there is one more block. (--policy wait does not come here: see is_held_up().) */
static void too_slow(struct hub *h, struct client *c)
{
	if (h->o->policy == HUB_KICK) {
		h->t.kicked++;
		end_client(c, HUB_KICKED);
	} else {
		c->a.dropped++;
		h->t.dropped++;
	}
}

/* A block for one client: what the kernel takes at once, and the rest into the queue. */
static void offer(struct hub *h, struct client *c, const unsigned char *block, size_t len)
{
	size_t sent = 0;
	if (c->a.end != HUB_LIVES)
		return;
	if (h->o->fixed && c->a.queued + len > h->o->high) {
		too_slow(h, c);
		return;
	}
	if (c->a.queued == 0)
		sent = send_some(h, c, block, len);
	/* PITFALL: without the check above this line takes whatever comes. The kernel says clearly that the client
	 * is too slow (EAGAIN, or a short count), and "then I keep it until it can" turns that into memory: rate x
	 * time for each client that stopped. Its peer does nothing forbidden; it need only be suspended, or behind a
	 * dead link. */
	if (sent < len && c->a.end == HUB_LIVES)
		append(h, c, block + sent, len - sent);
	c->a.blocks++;
}

/* There is room again: sends from the queue. */
static void flush(struct hub *h, struct client *c)
{
	while (c->head != NULL) {
		struct piece *piece = c->head;
		size_t n = send_some(h, c, piece->bytes + piece->sent, piece->len - piece->sent);
		piece->sent += n;
		c->a.queued -= n;
		h->t.queued -= n;
		if (piece->sent < piece->len)
			return;
		c->head = piece->next;
		if (c->head == NULL)
			c->tail = &c->head;
		free(piece);
	}
}

/* What clients send is read and dropped, so that they never have to wait for us. */
static void drop_input(struct client *c)
{
	char scratch[16 * 1024];
	ssize_t n = recv(c->fd, scratch, sizeof(scratch), 0);
	if (n == 0)
		c->no_input = true;
	else if (n < 0 && errno != EAGAIN && errno != EINTR)
		end_client(c, HUB_RESET);
}

/* --- who comes, and who goes -------------------------------------------------------------------------------------- */

static void take_client(struct hub *h)
{
	struct addr peer = { .len = sizeof(peer.u) };
	int fd = accept4(h->listen_fd, &peer.u.sa, &peer.len, SOCK_CLOEXEC | SOCK_NONBLOCK);
	tracef("accept4(%d) = %d", h->listen_fd, fd);
	if (fd < 0) {
		if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED && errno != EPROTO) {
			warnf_errno("accept: pausing");
			h->resume_ns = clk_mono_ns() + PAUSE_NS; /* it stays readable: lab 42-emfile */
		}
		return;
	}
	if (h->n == HUB_CLIENTS_MAX || h->is_draining) {
		h->t.refused++;
		close(fd);
		return;
	}
	struct client *c = &h->clients[h->n];
	*c = (struct client){ .fd = fd };
	c->tail = &c->head;
	addr_text(&peer, c->a.peer);
	h->fds[1 + h->n] = (struct pollfd){ .fd = fd };
	h->n++;
	h->t.clients++;
}

static void free_queue(struct hub *h, struct client *c)
{
	h->t.queued -= c->a.queued;
	while (c->head != NULL) {
		struct piece *piece = c->head;
		c->head = piece->next;
		free(piece);
	}
}

/* Takes away the clients that have ended. */
static void sweep(struct hub *h)
{
	for (unsigned i = h->n; i-- > 0;) {
		struct client *c = &h->clients[i];
		if (c->a.end == HUB_LIVES)
			continue;
		hub_print_account(h->o, &c->a);
		free_queue(h, c);
		/* WHY abort: after a plain close the kernel would keep what it has for somebody who does not read,
		 * for minutes. */
		if (c->a.end == HUB_COMPLETE)
			close(c->fd);
		else
			sock_abort(c->fd);
		struct client *last = &h->clients[--h->n];
		if (c != last) {
			*c = *last;
			if (c->head == NULL)
				c->tail = &c->head; /* it pointed into the old place */
		}
	}
}

/* --- memory ------------------------------------------------------------------------------------------------------- */

static uint64_t rss(void)
{
	char line[128];
	unsigned long long pages = 0;
	if (os_read_line("/proc/self/statm", line, sizeof(line)) < 0 || sscanf(line, "%*s %llu", &pages) != 1)
		return 0;
	return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void look_at_memory(struct hub *h)
{
	h->t.live = h->n;
	h->t.rss = rss();
	if (h->t.rss > h->t.rss_peak)
		h->t.rss_peak = h->t.rss;
}

/* --- the source --------------------------------------------------------------------------------------------------- */

/* --policy wait: everybody waits for the slowest. */
static bool is_held_up(const struct hub *h)
{
	for (unsigned i = 0; i < h->n && h->o->fixed && h->o->policy == HUB_WAIT; i++) {
		if (h->clients[i].a.queued + HUB_HEADER_LEN + h->o->length > h->o->high)
			return true;
	}
	return false;
}

static void produce(struct hub *h)
{
	enum { LOOK_EVERY = 16 };
	size_t length = (size_t)h->o->length;
	hub_put_header(h->block, (uint32_t)length, h->t.blocks);
	prng_fill(HUB_SEED, h->t.blocks * length, h->block + HUB_HEADER_LEN, length);
	for (unsigned i = 0; i < h->n; i++)
		offer(h, &h->clients[i], h->block, HUB_HEADER_LEN + length);
	h->t.blocks++;
	if (h->t.blocks % LOOK_EVERY == 0)
		look_at_memory(h);
	if (h->t.queued > h->o->cap && !h->t.capped) {
		h->t.capped = true;
		warnf("more than --cap is queued: the stream ends here");
	}
}

/* The blocks that are due. A source that was late does not make up for it with a burst: the clients could not take
 * it. */
static void produce_due(struct hub *h, uint64_t now_ns)
{
	enum { AT_ONCE = 64 }; /* then it is time to look after the clients */
	uint64_t step_ns = 1 + (uint64_t)((double)h->o->length * 1e9 / (double)h->o->rate_Bps);
	if (h->next_ns + LATE_NS < now_ns)
		h->next_ns = now_ns - LATE_NS;
	for (int i = 0; i < AT_ONCE && h->next_ns <= now_ns && !h->t.capped; i++) {
		if (is_held_up(h))
			h->t.held_ns += step_ns;
		else
			produce(h);
		h->next_ns += step_ns;
	}
}

/* --- the end ------------------------------------------------------------------------------------------------------ */

/* What is not yet with the client's kernel: our queue, and the send buffer's, where a FIN counts as one byte. */
static uint64_t left_to_deliver(const struct client *c)
{
	struct tcpinfo info;
	if (tcpinfo_get(c->fd, &info) < 0)
		tracef("tcpinfo_get(%d): %s", c->fd, errno_name(errno)); /* and the queue counts as empty */
	return c->a.queued + info.send_queue;
}

/* The end block, behind whatever is queued, mark or no mark: it is the last. */
static void finish(struct hub *h)
{
	unsigned char end[HUB_HEADER_LEN];
	hub_put_header(end, 0, h->t.blocks);
	h->is_draining = true;
	h->drain_ns = h->progress_ns = clk_mono_ns();
	if (h->is_streaming) {
		h->t.elapsed_ns = h->drain_ns - h->start_ns;
		look_at_memory(h);
	}
	for (unsigned i = 0; i < h->n; i++) {
		struct client *c = &h->clients[i];
		size_t sent = c->a.queued == 0 ? send_some(h, c, end, sizeof(end)) : 0;
		if (sent < sizeof(end) && c->a.end == HUB_LIVES)
			append(h, c, end + sent, sizeof(end) - sent);
		c->left = left_to_deliver(c);
	}
}

/* Nothing has moved for DRAIN_NS, as far as we saw; but the kernel may have sent on behind our back. When the
 * client's kernel has all, and our FIN, the program there will read it some day. */
static void look_again(struct hub *h, struct client *c, bool is_last)
{
	uint64_t left = left_to_deliver(c);
	if (left == 0)
		end_client(c, HUB_COMPLETE);
	else if (left >= c->left || is_last)
		end_client(c, HUB_STUCK);
	c->left = left;
	h->progress_ns = clk_mono_ns();
}

/* Our FIN goes behind the last byte; the client's FIN says that it has everything, or wants no more of it. */
static void drain(struct hub *h)
{
	uint64_t now_ns = clk_mono_ns();
	bool is_last = now_ns > h->drain_ns + DRAIN_MOST_NS;
	bool is_late = is_last || now_ns > h->progress_ns + DRAIN_NS;
	for (unsigned i = 0; i < h->n; i++) {
		struct client *c = &h->clients[i];
		if (c->a.queued == 0 && !c->is_shut) {
			shutdown(c->fd, SHUT_WR);
			c->is_shut = true;
		}
		if (c->is_shut && c->no_input)
			end_client(c, HUB_COMPLETE);
		else if (is_late)
			look_again(h, c, is_last);
	}
}

/* --- the loop ----------------------------------------------------------------------------------------------------- */

static void start_stream(struct hub *h, uint64_t now_ns)
{
	h->is_streaming = true;
	h->start_ns = h->next_ns = h->progress_ns = now_ns;
	h->t.rss_start = h->t.rss_peak = rss();
}

static void wait_for_events(struct hub *h, uint64_t now_ns, uint64_t wake_ns)
{
	bool paused = now_ns < h->resume_ns;
	h->fds[0] = (struct pollfd){ .fd = paused ? -1 : h->listen_fd, .events = POLLIN };
	for (unsigned i = 0; i < h->n; i++) {
		const struct client *c = &h->clients[i];
		short events = (short)((c->no_input ? 0 : POLLIN) | (c->head != NULL ? POLLOUT : 0));
		h->fds[1 + i] = (struct pollfd){ .fd = c->fd, .events = events };
	}
	if (paused && h->resume_ns < wake_ns)
		wake_ns = h->resume_ns;
	if (sig_wait(h->fds, 1 + h->n, wake_ns) < 0)
		die_errno("poll");
}

static void serve_events(struct hub *h)
{
	for (unsigned i = 0; i < h->n; i++) {
		struct client *c = &h->clients[i];
		short events = h->fds[1 + i].revents;
		if ((events & POLLIN) != 0)
			drop_input(c);
		if ((events & POLLOUT) != 0)
			flush(h, c);
		/* Hung up in order when our FIN is out and its FIN is in; otherwise by a reset (poll(2)). */
		if ((events & POLLERR) != 0 || ((events & POLLHUP) != 0 && !(c->is_shut && c->no_input)))
			end_client(c, HUB_RESET);
	}
	if (h->fds[0].revents != 0)
		take_client(h);
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* One step of the stream, or of its end. Returns when there will be the next one to do. */
static uint64_t go_on(struct hub *h, uint64_t now_ns)
{
	bool is_asked_to = sig_pending(NULL) != 0;
	if (!h->is_streaming && !h->is_draining && !is_asked_to && h->n >= h->o->clients)
		start_stream(h, now_ns);
	uint64_t end_ns = h->is_streaming && h->o->time_ns != 0 ? h->start_ns + h->o->time_ns : CLK_NEVER;
	if (h->is_streaming && !h->is_draining)
		produce_due(h, now_ns);
	if (!h->is_draining && (is_asked_to || h->t.capped || now_ns >= end_ns))
		finish(h);
	if (h->is_draining) {
		drain(h);
		return least(h->progress_ns + DRAIN_NS, h->drain_ns + DRAIN_MOST_NS) + 1;
	}
	return h->is_streaming ? least(h->next_ns, end_ns) : CLK_NEVER;
}

static bool is_over(const struct hub *h)
{
	int times = 0;
	sig_pending(&times);
	return (h->is_draining && h->n == 0) || times > 1;
}

/* What happened since *last_ns, when --interval is over or the stream is. Returns when to come again. */
static uint64_t show_interval(struct hub *h, uint64_t *last_ns, uint64_t now_ns)
{
	uint64_t interval_ns = h->o->interval_ns;
	if (*last_ns == 0)
		*last_ns = h->start_ns;
	if (h->is_draining || now_ns >= *last_ns + interval_ns) {
		look_at_memory(h);
		hub_print_interval(h->o, &h->t, *last_ns - h->start_ns, now_ns - *last_ns);
		*last_ns = now_ns;
	}
	return *last_ns + interval_ns;
}

static void run(struct hub *h)
{
	uint64_t last_ns = 0;
	for (;;) {
		bool was_draining = h->is_draining;
		uint64_t now_ns = clk_mono_ns(), wake_ns = go_on(h, now_ns);
		sweep(h);
		if (h->o->interval_ns != 0 && h->is_streaming && !was_draining)
			wake_ns = least(wake_ns, show_interval(h, &last_ns, now_ns));
		if (is_over(h))
			break;
		wait_for_events(h, now_ns, wake_ns);
		serve_events(h);
	}
	for (unsigned i = 0; i < h->n; i++)
		end_client(&h->clients[i], HUB_INTERRUPTED);
	sweep(h);
}

static int hub_open(struct hub *h, struct addr *bound, struct net_error *e)
{
	const struct hub_options *o = h->o;
	int family = o->ipv4 ? AF_INET : o->ipv6 ? AF_INET6 : AF_UNSPEC;
	const char *host = o->bind != NULL ? o->bind : o->ipv6 ? "::1" : "127.0.0.1";
	struct sock_options plain = { 0 };
	char text[ADDR_TEXT];
	h->listen_fd = sock_serve(host, (uint16_t)o->port, family, &plain, bound, e);
	if (h->listen_fd < 0)
		return -1;
	if (fcntl(h->listen_fd, F_SETFL, O_NONBLOCK) < 0)
		return net_fail(e, "fcntl", "O_NONBLOCK");
	warnf("listening on %s", addr_text(bound, text));
	return 0;
}

/* The exit status. */
static int hub_serve(const struct hub_options *o)
{
	struct net_error e = { 0 };
	struct addr bound;
	struct hub *h = xcalloc(1, sizeof(*h));
	h->o = o;
	int status = 1;
	if (hub_open(h, &bound, &e) < 0) {
		hub_fail(o, &e);
	} else {
		h->block = xmalloc(HUB_HEADER_LEN + (size_t)o->length);
		hub_print_start(o, &bound);
		run(h);
		hub_print_total(o, &h->t);
		status = h->t.capped ? 3 : 0;
	}
	if (h->listen_fd >= 0)
		close(h->listen_fd);
	free(h->block);
	free(h);
	return status;
}

/* --- main --------------------------------------------------------------------------------------------------------- */

static const char *const policy_choices[] = { "drop", "kick", "wait", NULL };

static const char *const synopsis[] = {
	"-s [--fixed [--policy POLICY]] [--clients N] [--time D] [options]",
	"HOST [-p PORT] [--stop-after SIZE [--stop-for D]] [options]",
	NULL,
};

static const char *const about[] = {
	"hub sends one paced stream to each of its clients. What a client does not take is queued for it in memory: without --fixed "
	"all of it, so that one client that stopped reading fills the memory of the hub. With --fixed at most --high bytes, and --policy "
	"decides about the rest.",
	"With HOST hub is a client: it reads the stream, checks every byte, and counts the blocks that it did not get. It can stop "
	"reading for a while, as a suspended program does.",
	NULL,
};

static const struct arg_example examples[] = {
	{ "hub -s --clients 3 --time 5 -i 1", "begin when three clients are there; stop one, and see the memory grow" },
	{ "hub -s --clients 3 --time 5 -i 1 --fixed",
	  "the same with a mark: the slow one loses blocks, nobody else does" },
	{ "hub 127.0.0.1 --stop-after 1M --stop-for 3", "a client that stops reading for three seconds" },
	{ 0 },
};

static const struct arg_example statuses[] = {
	{ "3", "hub: more than --cap was queued; client: a block was wrong, or came twice" },
	{ 0 },
};

static struct hub_options opt = {
	.port = HUB_PORT,
	.clients = 1,
	.rate_Bps = 40 * 1000 * 1000,
	.length = 64 * 1024,
	.high = 1024 * 1024,
	.cap = 200 * 1024 * 1024,
};

/* clang-format off */
static const struct arg rows[] = {
	{ .help = "Role:" },
	{ 's', "server", ARG_FLAG, &opt.server, .help = "be the hub; otherwise HOST says where it is" },
	{ 'p', "port", ARG_PORT, &opt.port, .value_name = "PORT", .help = "the hub's port; 0 with -s takes a free one" },
	{ 'B', "bind", ARG_STR, &opt.bind, .value_name = "ADDR", .help = "the hub's address (loopback unless given; 0.0.0.0 and :: "
	  "are all of IPv4, all of IPv6)" },
	{ '4', "ipv4", ARG_FLAG, &opt.ipv4, .help = "IPv4 only" },
	{ '6', "ipv6", ARG_FLAG, &opt.ipv6, .help = "IPv6 only" },
	{ .help = "The hub:" },
	{ 'c', "clients", ARG_COUNT, &opt.clients, 1, HUB_CLIENTS_MAX, "N", "begin when so many are there; more may come later" },
	{ '\0', "time", ARG_DURATION, &opt.time_ns, 1, 0, "D", "end after so long (after a signal unless given)" },
	{ 'r', "rate", ARG_RATE, &opt.rate_Bps, 1, 0, "RATE", "what each client is sent" },
	{ 'l', "length", ARG_SIZE, &opt.length, 1, HUB_LENGTH_MAX, "LEN", "bytes in a block" },
	{ '\0', "fixed", ARG_FLAG, &opt.fixed, .help = "with a high-water mark for each client's queue" },
	{ '\0', "high", ARG_SIZE, &opt.high, 1, 1 << 30, "SIZE", "the mark; a block and its header must fit" },
	{ '\0', "policy", ARG_CHOICE, &opt.policy, .value_name = "POLICY", .help = "a block that does not fit: drop it for this "
	  "client, kick the client, or let the source wait for it", .choices = policy_choices },
	{ '\0', "cap", ARG_SIZE, &opt.cap, 1, UINT64_C(1) << 40, "SIZE", "end the stream when so much is queued in all" },
	{ 'i', "interval", ARG_DURATION, &opt.interval_ns, NS_PER_MS, 0, "D", "a line for each interval (1 s on a terminal)" },
	{ .help = "A client:" },
	{ '\0', "stop-after", ARG_SIZE, &opt.stop_after, 1, 0, "SIZE", "stop reading after so many bytes of payload" },
	{ '\0', "stop-for", ARG_DURATION, &opt.stop_for_ns, 1, 0, "D", "go on after so long (when the hub ends the connection unless "
	  "given)" },
	{ .help = "Both:" },
	{ '\0', "json", ARG_FLAG, &opt.json, .help = "one JSON object a line on standard output" },
	{ 0 },
};
/* clang-format on */

static const struct arg_spec spec = {
	.tool = "hub",
	.one_line = "sends one stream to many clients, with and without a bound on what waits for a slow one",
	.synopsis = synopsis,
	.about = about,
	.args = rows,
	.examples = examples,
	.exit_statuses = statuses,
	.see_also = "tcplab(1), send(2), poll(2). The experiment: labs/13-slow-reader.",
};

static void check_server(void)
{
	if (opt.host != NULL)
		args_misuse("-s and HOST exclude each other");
	if (opt.stop_after != 0 || opt.stop_for_ns != 0)
		args_misuse("--stop-after and --stop-for are a client's");
	if (!opt.fixed && opt.policy != HUB_DROP)
		args_misuse("--policy needs --fixed: without it there is no mark");
	if (opt.high < HUB_HEADER_LEN + opt.length)
		args_misuse("--high: a block of %llu bytes and its header do not fit", (unsigned long long)opt.length);
	if (opt.interval_ns == 0 && isatty(STDOUT_FILENO) && !opt.json)
		opt.interval_ns = NS_PER_S;
}

static void check_client(void)
{
	if (opt.host == NULL)
		args_misuse("say -s to be the hub, or HOST where it is");
	if (opt.fixed || opt.policy != HUB_DROP || opt.time_ns != 0 || opt.interval_ns != 0 || opt.bind != NULL)
		args_misuse("--fixed, --policy, --time, --interval and --bind are the hub's: they need -s");
	if (opt.stop_for_ns != 0 && opt.stop_after == 0)
		args_misuse("--stop-for needs --stop-after");
}

int main(int argc, char **argv)
{
	diag_tool = "hub";
	setvbuf(stdout, NULL, _IOLBF, 0);
	int first = args_parse(&spec, argc, argv);
	if (first < argc)
		opt.host = argv[first++];
	if (first < argc)
		args_misuse("'%s' is too much", argv[first]);
	if (opt.ipv4 && opt.ipv6)
		args_misuse("-4 and -6 exclude each other");
	if (opt.server)
		check_server();
	else
		check_client();
	sig_open();

	int status = opt.server ? hub_serve(&opt) : hub_visit(&opt);
	if (fflush(stdout) != 0 || ferror(stdout))
		die("cannot write the report to standard output");
	return sig_exit_status(status);
}
