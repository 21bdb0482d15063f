/* naiverelay - a relay between a client and a server that makes one of three mistakes, each of which works for years.
 *
 * Try:       naiverelay --mistake memory 2024 localhost:2022     keeps in memory whatever the slower side does not take
 *            naiverelay --mistake close 2024 localhost:2022      takes the end of one way for the end of all, and any end for a FIN
 *            naiverelay --mistake race 2024 localhost:2022       stops reading too late, and waits for what has been already
 *            each of them with --fixed, and with -i 0.5 to look on
 * Look for:  PITFALL below, four times.
 * Labs:      50-relay-backpressure, 51-relay-close, 53-relay-race.
 *
 * A relay has two connections, and between them a queue for each way:
 *
 *	client                        relay                        server
 *	   ------ recv ---> [ way up:   queue ] --- send ------>
 *	   <------ send --- [ way down: queue ] <--- recv ------
 *
 * It owes to both what TCP would have done without it: the faster side feels that the slower one is slow (RFC 9293 3.8.6), a FIN
 * ends one direction and not the other (3.6), and a reset is no end in order (3.5.3).
 *
 * One thread, in poll(2); everything is non-blocking. Apart from the mistake that was chosen all is right.
 *
 * This file is the relay: one side reads, the other one writes; the race; how it ends; the loop; options and main. What a
 * connection is made of stands in naiverelay/naiverelay.h, what is said of it in naiverelay/report.c.
 *
 * LIMIT: one client after another, and a connection that is half closed stays as long as the other half likes. */
#include "naiverelay/naiverelay.h"

#include "args.h"
#include "clock.h"
#include "diag.h"
#include "record.h"
#include "sig.h"
#include "sock.h"
#include "units.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PIECE = 32 * 1024, DEFAULT_PORT = 2024, RACE_BUFFER = 200 * 1024 };

/* What the kernel has no event for is looked at each millisecond; and nothing is waited for without end. */
static const uint64_t LOOK_NS = NS_PER_MS;
static const uint64_t CONNECT_NS = UINT64_C(10) * NS_PER_S;
static const uint64_t RESET_WAIT_NS = NS_PER_S;   /* for bytes that came before a reset */
static const uint64_t AWAY_NS = NS_PER_S;         /* for one round */
static const uint64_t MEMORY_NS = 20 * NS_PER_MS; /* between two looks at it */

const char *const naiverelay_mistakes[] = { "memory", "close", "race", NULL };

static bool makes(const struct relay *r, enum naiverelay_mistake mistake)
{
	return r->o->mistake == (int)mistake && !r->o->fixed;
}

static unsigned source_side(const struct relay *r, const struct way *w)
{
	return w == &r->way[UP] ? 0 : 1;
}

static unsigned sink_side(const struct relay *r, const struct way *w)
{
	return !source_side(r, w);
}

uint64_t naiverelay_unread(int fd)
{
	int n = 0;
	return ioctl(fd, SIOCINQ, &n) == 0 && n > 0 ? (uint64_t)n : 0;
}

uint64_t naiverelay_unacked(int fd)
{
	int n = 0;
	return ioctl(fd, SIOCOUTQ, &n) == 0 && n > 0 ? (uint64_t)n : 0;
}

/* --- one side reads, the other one writes ------------------------------------------------------------------------ */

static void defer(struct relay *r, void (*fn)(struct relay *r, struct way *w), struct way *w)
{
	assert(r->n_calls < NAIVERELAY_CALLS); /* one for each way and round: a way that is paused is not read */
	r->calls[r->n_calls++] = (struct call){ fn, w };
}

static void high_water(struct relay *r, struct way *w);
static void write_complete(struct relay *r, struct way *w);

/* How many bytes of the source we want now. */
static size_t room_for(const struct relay *r, const struct way *w)
{
	size_t waiting = buf_len(&w->queue), high = (size_t)r->o->high;
	if (w->is_eof || w->is_reset || w->is_shut)
		return 0;
	if (r->o->mistake == NAIVERELAY_RACE)
		return w->is_paused ? 0 : PIECE;
	/* PITFALL: always some more. What the slower side does not take is kept, so the faster side does not feel that anybody is
	 * slow: its window stays open, and our memory grows by the difference between the two, as long as it lasts. All that it
	 * takes is not to read: then our receive buffer fills up, the window closes, and the faster side waits. */
	if (makes(r, NAIVERELAY_MEMORY))
		return PIECE;
	if (waiting >= high)
		return 0;
	return high - waiting < PIECE ? high - waiting : PIECE;
}

/* The sink is gone. What became of it will be seen at the end of its own way. */
static void lose_sink(struct relay *r, struct way *w)
{
	r->has_failed[sink_side(r, w)] = r->is_hung_up[sink_side(r, w)] = true;
	buf_free(&w->queue);
	w->is_shut = true;
}

/* Sends what waits, as far as the kernel takes it. */
static void give(struct relay *r, struct way *w)
{
	int fd = r->fd[sink_side(r, w)];
	while (buf_len(&w->queue) > 0) {
		ssize_t n = send(fd, buf_peek(&w->queue), buf_len(&w->queue), MSG_NOSIGNAL);
		tracef("send(%d, %zu) = %zd", fd, buf_len(&w->queue), n);
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			lose_sink(r, w);
		if (n < 0)
			return;
		buf_consume(&w->queue, (size_t)n);
		w->sent += (uint64_t)n;
	}
	buf_trim(&w->queue);
	if (w->is_paused)
		defer(r, write_complete, w);
}

static void note_end(struct relay *r, struct way *w, ssize_t n)
{
	/* PITFALL: "recv(2) has nothing more, so this is the end." 0 is an end in order: everything is here. -1 is none: a reset
	 * says that something went wrong, and that there would have been more (RFC 9293 3.10.7.4). Who passes both on as a FIN
	 * tells the other side that half a file is a file. */
	bool is_fin = n == 0 && !r->has_failed[source_side(r, w)];
	if (is_fin || makes(r, NAIVERELAY_CLOSE))
		w->is_eof = true;
	else
		w->is_reset = true;
}

/* Reads a piece, and sends it at once if nothing waits before it. */
static void take(struct relay *r, struct way *w)
{
	size_t room = room_for(r, w), waiting = buf_len(&w->queue);
	int fd = r->fd[source_side(r, w)];
	if (room == 0)
		return;
	ssize_t n = recv(fd, buf_reserve(&w->queue, room), room, 0);
	tracef("recv(%d, %zu) = %zd", fd, room, n);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		note_end(r, w, n);
		return;
	}
	buf_commit(&w->queue, (size_t)n);
	w->received += (uint64_t)n;
	if (waiting == 0)
		give(r, w);
	waiting = buf_len(&w->queue);
	w->queued_peak = waiting > w->queued_peak ? waiting : w->queued_peak;
	if (r->o->mistake == NAIVERELAY_RACE && waiting > r->o->high)
		defer(r, high_water, w);
}

/* --- the race ---------------------------------------------------------------------------------------------------- */

/* Libraries with callbacks tell the program that a queue has passed its mark ("high water": stop reading the source), and that
 * it is empty ("write complete": read again). They do so at the end of the round, so that nobody is called in the middle of a
 * send. Between the event and the call the world goes on:
 *
 *	one round: source and sink are ready        waiting      is_paused    deferred
 *	                                            20 KiB       no
 *	source: recv 32 KiB, behind what waits      52 KiB       no           high water
 *	sink: send, the kernel takes all of it      0            no           (nobody is paused, nobody to be told)
 *	end of the round: high water                0            YES
 *	from now on: the source is not read, because it is paused; nothing is sent, because nothing waits; and only what is
 *	sent ends the pause. Client, server and network are ready, and nothing moves any more.
 *
 * It takes both events in one round, the queue over the mark and empty within it. So it is rare: it happens to some flow on a
 * busy day, and not when somebody looks. */
static void high_water(struct relay *r, struct way *w)
{
	/* PITFALL: doing now what was right when the call was deferred. What was true then need not be true any more, and here the
	 * pause would wait for something that is over. The fix looks again. */
	if (r->o->fixed && buf_len(&w->queue) == 0)
		return;
	w->is_paused = true;
	tracef("high water: paused, %zu waiting", buf_len(&w->queue));
}

static void write_complete(struct relay *r, struct way *w)
{
	(void)r;
	w->is_paused = false;
	tracef("write complete: reading again");
}

static void make_calls(struct relay *r)
{
	for (unsigned i = 0; i < r->n_calls; i++)
		r->calls[i].fn(r, r->calls[i].w);
	r->n_calls = 0;
}

/* A lab cannot wait for a busy day. Once for each way, when something waits that is not above the mark, and a piece would bring it
 * there, the relay looks away, as if it had ten thousand other flows to care for, until the source has so much and the sink room
 * for everything; for a second at most. Nothing else about the round is arranged, and --fixed gets the same one. */
static bool is_looking_away(const struct relay *r, struct way *w)
{
	size_t waiting = buf_len(&w->queue);
	uint64_t now_ns = clk_mono_ns(), unread;
	if (r->o->mistake != NAIVERELAY_RACE || w->is_done_looking || w->is_paused || waiting == 0 ||
	    waiting + PIECE <= r->o->high)
		return false;
	if (w->looking_away_ns == 0)
		w->looking_away_ns = now_ns;
	unread = naiverelay_unread(r->fd[source_side(r, w)]);
	w->has_round_come = waiting + (unread < PIECE ? unread : PIECE) > r->o->high &&
			    naiverelay_unacked(r->fd[sink_side(r, w)]) == 0;
	w->is_done_looking = w->has_round_come || now_ns >= w->looking_away_ns + AWAY_NS;
	return !w->is_done_looking;
}

/* --- how it ends ------------------------------------------------------------------------------------------------- */

/* Nothing of this way is on its way any more, as far as the kernel of the sink is concerned. */
static bool has_arrived(const struct relay *r, const struct way *w)
{
	unsigned side = sink_side(r, w);
	return r->has_failed[side] || (buf_len(&w->queue) == 0 && naiverelay_unacked(r->fd[side]) == 0);
}

/* The source of way i was reset: is it time to say so to the other side? What had come before is delivered first. */
static bool is_reset_due(struct relay *r, unsigned i)
{
	uint64_t now_ns = clk_mono_ns();
	if (!r->has_failed[i] && !r->way[i].is_reset)
		return false;
	if (r->give_up_ns == CLK_NEVER)
		r->give_up_ns = now_ns + RESET_WAIT_NS;
	return now_ns >= r->give_up_ns || (r->way[i].is_reset && has_arrived(r, &r->way[i]));
}

/* Passes the ends on. How the connection has ended, or NULL. */
static const char *settle(struct relay *r)
{
	for (unsigned i = 0; i < 2; i++) {
		struct way *w = &r->way[i];
		if (buf_len(&w->queue) > r->o->cap)
			return "capped";
		/* PITFALL: the end of one way is taken for the end of all. A client that has asked, and said with a FIN that this was
		 * all, waits for the answer (RFC 9293 3.6). The fix passes on what was said, and goes on with the other way. */
		if (makes(r, NAIVERELAY_CLOSE) && w->is_eof && buf_len(&w->queue) == 0)
			return "closed";
		if (!makes(r, NAIVERELAY_CLOSE) && is_reset_due(r, i))
			return "reset";
		if (w->is_eof && buf_len(&w->queue) == 0 && !w->is_shut) {
			int rc = shutdown(r->fd[!i], SHUT_WR);
			tracef("shutdown(%d, SHUT_WR) = %d", r->fd[!i], rc);
			w->is_shut = true;
		}
	}
	bool both = r->way[UP].is_eof && r->way[UP].is_shut && r->way[DOWN].is_eof && r->way[DOWN].is_shut;
	return both ? "complete" : NULL;
}

/* Only who has everything may see an end in order. */
static void close_both(struct relay *r)
{
	bool in_order = strcmp(r->end, "complete") == 0 || strcmp(r->end, "closed") == 0;
	for (unsigned i = 0; i < 2; i++) {
		buf_free(&r->way[i].queue);
		if (in_order)
			close(r->fd[i]);
		else
			sock_abort(r->fd[i]);
	}
}

/* --- the loop ---------------------------------------------------------------------------------------------------- */

/* Which side is to be read, and to be written. */
static void wait_for_events(struct relay *r, uint64_t deadline_ns, short ready[static 2])
{
	struct pollfd fds[2];
	bool has_work = false;
	for (unsigned i = 0; i < 2; i++) {
		short wanted = (short)((room_for(r, &r->way[i]) > 0 ? POLLIN : 0) |
				       (buf_len(&r->way[!i].queue) > 0 ? POLLOUT : 0));
		fds[i] = (struct pollfd){ .fd = r->is_hung_up[i] ? -1 : r->fd[i], .events = wanted };
		/* The rest of one that hung up can be read, and a send to it fails: there is nothing to wait for. */
		ready[i] = r->is_hung_up[i] ? wanted : 0;
		has_work |= ready[i] != 0;
	}
	if (sig_wait(fds, 2, has_work ? 0 : deadline_ns) < 0)
		die_errno("poll");
	for (unsigned i = 0; i < 2; i++) {
		if (r->is_hung_up[i])
			continue;
		ready[i] = fds[i].revents & (POLLIN | POLLOUT);
		r->has_failed[i] = r->has_failed[i] || (fds[i].revents & POLLERR) != 0;
		r->is_hung_up[i] = (fds[i].revents & (POLLERR | POLLHUP)) != 0;
	}
}

/* One round: all that is to be read, all that is to be written, and what was deferred. */
static void play_round(struct relay *r, uint64_t deadline_ns)
{
	short ready[2];
	wait_for_events(r, deadline_ns, ready);
	for (unsigned i = 0; i < 2; i++) {
		if ((ready[i] & POLLIN) != 0)
			take(r, &r->way[i]);
	}
	for (unsigned i = 0; i < 2; i++) {
		if ((ready[i] & POLLOUT) != 0)
			give(r, &r->way[!i]);
	}
	make_calls(r);
}

/* Paused, and nothing waits that could be sent and so end the pause: no timeout is needed to know that it stays so. */
static void look_for_standstill(struct relay *r)
{
	for (unsigned i = 0; i < 2; i++) {
		const struct way *w = &r->way[i];
		if (!r->is_stuck && w->is_paused && !w->is_shut && buf_len(&w->queue) == 0) {
			r->is_stuck = true;
			naiverelay_report(r, "stuck");
		}
	}
}

/* A connection, from both ends being there to its end. */
static void relay_connection(struct relay *r)
{
	uint64_t report_ns, memory_ns = 0, interval_ns = r->o->interval_ns;
	r->start_ns = clk_mono_ns();
	r->give_up_ns = CLK_NEVER;
	report_ns = interval_ns != 0 ? r->start_ns + interval_ns : CLK_NEVER;
	while ((r->end = settle(r)) == NULL && sig_pending(NULL) == 0) {
		uint64_t now_ns = clk_mono_ns();
		look_for_standstill(r);
		if (now_ns >= report_ns) {
			naiverelay_report(r, "interval");
			report_ns = now_ns + interval_ns;
		}
		if (now_ns >= memory_ns) {
			naiverelay_look_at_memory(r);
			memory_ns = now_ns + MEMORY_NS;
		}
		if (is_looking_away(r, &r->way[UP]) || is_looking_away(r, &r->way[DOWN]))
			clk_sleep_until_ns(now_ns + LOOK_NS);
		else
			play_round(r, r->give_up_ns != CLK_NEVER ? now_ns + LOOK_NS : report_ns);
	}
	if (r->end == NULL)
		r->end = "interrupted";
	naiverelay_report(r, "connection");
	close_both(r);
}

/* --- from the listener to the flows ------------------------------------------------------------------------------ */

static int family(const struct naiverelay_options *o)
{
	return o->ipv4 ? AF_INET : o->ipv6 ? AF_INET6 : AF_UNSPEC;
}

static int connect_target(const struct naiverelay_options *o, const struct sock_options *socket, struct net_error *e)
{
	struct addr list[ADDR_MAX];
	int n = addr_resolve(o->target.host, (uint16_t)o->target.port, family(o), list, ADDR_MAX, e);
	if (n < 0)
		return -1;
	struct io_until until = { .deadline_ns = clk_mono_ns() + CONNECT_NS, .cancel = sig_flag() };
	sig_let_in(true);
	int fd = sock_connect(list, (size_t)n, NULL, socket, &until, e);
	sig_let_in(false);
	if (fd >= 0 && fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		die_errno("fcntl");
	return fd;
}

/* The next client, or -1: a signal came. */
static int accept_next(int listen_fd, char peer[static ADDR_TEXT])
{
	enum { PAUSE_NS = 100 * NS_PER_MS };
	while (sig_wait_fd(listen_fd, POLLIN, CLK_NEVER) == 0) {
		struct addr from = { .len = sizeof(from.u) };
		int fd = accept4(listen_fd, &from.u.sa, &from.len, SOCK_CLOEXEC | SOCK_NONBLOCK);
		tracef("accept4(%d) = %d", listen_fd, fd);
		if (fd >= 0) {
			addr_text(&from, peer);
			return fd;
		}
		if (errno != EAGAIN && errno != ECONNABORTED && errno != EPROTO) {
			/* EMFILE and the like: the client still waits, and without a pause we would spin. */
			warnf_errno("accept");
			clk_sleep_until_ns(clk_mono_ns() + PAUSE_NS);
		}
	}
	return -1;
}

static void serve(const struct naiverelay_options *o, const struct sock_options *socket, int fd, const char *peer,
		  struct naiverelay_totals *t)
{
	struct net_error e = { 0 };
	char text[NET_ERROR_TEXT];
	struct relay r = { .o = o, .peer = peer, .fd = { fd, connect_target(o, socket, &e) } };
	t->connections++;
	if (r.fd[1] < 0) {
		warnf("%s: %s", peer, net_error_text(&e, text));
		sock_abort(fd);
		t->refused++;
		return;
	}
	relay_connection(&r);
	t->stuck += r.is_stuck;
	if (strcmp(r.end, "capped") == 0) {
		warnf("%s: more than --cap waits: reset", peer);
		t->capped++;
	}
}

/* Listens, and relays one connection after another. The exit status. */
static int run(const struct naiverelay_options *o)
{
	struct sock_options socket = { .send_buffer = o->send_buffer, .receive_buffer = o->receive_buffer };
	struct net_error e = { 0 };
	struct naiverelay_totals t = { 0 };
	struct addr bound;
	char text[ADDR_TEXT], peer[ADDR_TEXT];
	const char *where = o->listen.host[0] != '\0' ? o->listen.host : o->ipv6 ? "::1" : "127.0.0.1";
	int fd, listen_fd = sock_serve(where, (uint16_t)o->listen.port, family(o), &socket, &bound, &e);
	/* WHY: a client may be gone between poll and accept, and a blocking accept would wait for the next one. */
	if (listen_fd >= 0 && fcntl(listen_fd, F_SETFL, O_NONBLOCK) < 0)
		die_errno("fcntl");
	if (listen_fd < 0) {
		record_error(o->json, &e);
		return 1;
	}
	warnf("listening on %s", addr_text(&bound, text));
	naiverelay_report_start(o, text);
	while ((t.connections == 0 || !o->one_off) && (fd = accept_next(listen_fd, peer)) >= 0)
		serve(o, &socket, fd, peer, &t);
	close(listen_fd);
	naiverelay_report_total(o, &t);
	return sig_exit_status(t.stuck + t.capped > 0 ? 3 : t.refused > 0 && o->one_off ? 1 : 0);
}

/* --- options and main -------------------------------------------------------------------------------------------- */

static const char *const synopsis[] = {
	"--mistake memory|close|race [--fixed] [options] [LISTEN] TARGET",
	NULL,
};

static const char *const about[] = {
	"naiverelay passes a connection on to TARGET (HOST:PORT), and makes one mistake: memory keeps what the slower side does not "
	"take, without a bound; close takes the end of one direction for the end of both, and a reset for an end in order; race stops "
	"reading by a deferred call that may come too late, and then waits for ever. With --fixed it is right.",
	"LISTEN is [ADDR:]PORT, 127.0.0.1:2024 unless given; port 0 takes a free one.",
	NULL,
};

static const struct arg_example examples[] = {
	{ "naiverelay --mistake memory -i 0.5 2024 localhost:5001", "see the memory grow when the receiver is slow" },
	{ "naiverelay --mistake close 2024 localhost:2022",
	  "a reply that does not come back: halfclose localhost -p 2024 --fixed" },
	{ "naiverelay --mistake race --fixed 0 localhost:5001",
	  "the deferred call looks again before it stops reading" },
	{ 0 },
};

static const struct arg_example statuses[] = {
	{ "3", "a flow was stuck for ever, or --cap was reached" },
	{ 0 },
};

/* "PORT", ":PORT", "HOST:PORT", "[::1]:PORT". */
static bool parse_place(const char *text, struct naiverelay_place *place)
{
	const char *colon = strrchr(text, ':'), *host = text;
	size_t len = colon != NULL ? (size_t)(colon - text) : 0;
	if (len >= 2 && host[0] == '[' && host[len - 1] == ']') {
		host++;
		len -= 2;
	}
	if (len >= NAIVERELAY_HOST)
		return false;
	memcpy(place->host, host, len);
	place->host[len] = '\0';
	return units_parse_count(colon != NULL ? colon + 1 : text, &place->port) && place->port <= UINT16_MAX;
}

static void take_operands(struct naiverelay_options *o, int n, char **words)
{
	if (n < 1)
		args_misuse("where to? HOST:PORT");
	if (n > 2)
		args_misuse("'%s' is too much", words[2]);
	if (n == 2 && !parse_place(words[0], &o->listen))
		args_misuse("'%s' is no place to listen on: [ADDR:]PORT", words[0]);
	if (!parse_place(words[n - 1], &o->target) || o->target.host[0] == '\0' || o->target.port == 0)
		args_misuse("'%s' is no target: HOST:PORT", words[n - 1]);
	if (o->mistake < 0)
		args_misuse("which mistake? --mistake memory, close or race");
	if (o->ipv4 && o->ipv6)
		args_misuse("-4 and -6 exclude each other");
	/* For the round: small, so that a sink which is a little slow is enough, and room for two pieces; and no more than what
	 * everybody may ask for (socket(7), rmem_max and wmem_max). */
	if (o->mistake == NAIVERELAY_RACE && o->send_buffer == 0)
		o->send_buffer = RACE_BUFFER;
	if (o->mistake == NAIVERELAY_RACE && o->receive_buffer == 0)
		o->receive_buffer = RACE_BUFFER;
}

static struct naiverelay_options parse_options(int argc, char **argv)
{
	struct naiverelay_options o = {
		.mistake = -1,
		.high = PIECE,
		.cap = 256 * 1024 * 1024,
		.listen = { .port = DEFAULT_PORT },
	};
	/* clang-format off */
	const struct arg rows[] = {
		{ 'm', "mistake", ARG_CHOICE, &o.mistake, .value_name = "WHICH", .help = "the one to be made, or with --fixed not to be "
		  "made: memory, close, race", .choices = naiverelay_mistakes },
		{ '\0', "fixed", ARG_FLAG, &o.fixed, .help = "right" },
		{ '\0', "high", ARG_SIZE, &o.high, 1, 1 << 30, "SIZE", "the mark: read no more while so much waits" },
		{ '\0', "cap", ARG_SIZE, &o.cap, PIECE, UINT64_C(1) << 40, "SIZE", "reset a connection when so much waits" },
		{ '\0', "sndbuf", ARG_SIZE, &o.send_buffer, 0, 1 << 30, "SIZE", "SO_SNDBUF to either side (race: 200K)" },
		{ '\0', "rcvbuf", ARG_SIZE, &o.receive_buffer, 0, 1 << 30, "SIZE", "SO_RCVBUF from either side (race: 200K)" },
		{ '1', "one-off", ARG_FLAG, &o.one_off, .help = "one connection, then end" },
		{ '4', "ipv4", ARG_FLAG, &o.ipv4, .help = "IPv4 only" },
		{ '6', "ipv6", ARG_FLAG, &o.ipv6, .help = "IPv6 only" },
		{ 'i', "interval", ARG_DURATION, &o.interval_ns, NS_PER_MS, 0, "D", "a line for each interval" },
		{ '\0', "json", ARG_FLAG, &o.json, .help = "one JSON object a line on standard output" },
		{ 0 },
	};
	/* clang-format on */
	const struct arg_spec spec = {
		.tool = "naiverelay",
		.one_line = "relays a connection, and makes one of three mistakes",
		.synopsis = synopsis,
		.about = about,
		.args = rows,
		.examples = examples,
		.exit_statuses = statuses,
		.see_also =
			"tcplab(1), recv(2), shutdown(2), poll(2), tcp(7). Each figure explained: docs/tools/naiverelay.md.",
	};
	int first = args_parse(&spec, argc, argv);
	take_operands(&o, argc - first, argv + first);
	return o;
}

int main(int argc, char **argv)
{
	diag_tool = "naiverelay";
	setvbuf(stdout, NULL, _IOLBF, 0);
	struct naiverelay_options o = parse_options(argc, argv);
	sig_open();
	return record_finish(run(&o));
}
