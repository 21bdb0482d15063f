/* netcat-blocking - one thread, one poll(2), blocking descriptors: the shortest netcat, and the one that can deadlock.
 *
 * Try:       netcat-blocking -l -v 5000                       in one terminal; then type into either of these:
 *            netcat-blocking -v localhost 5000
 *            netcat-blocking -l 5000 < /dev/zero > /dev/null   and now both send, and nobody reads:
 *            netcat-blocking -v localhost 5000 < /dev/zero > /dev/null
 * Look for:  PITFALL below; "deadlock: 2.00 s in write"; the same two lines with netcat-threaded or netcat-nonblocking.
 * Labs:      43-netcat-deadlock, 44-blocking-in-a-loop.
 *
 *                 read            send, which waits until all is taken
 *     input  ----------->  bytes  ------------------------------------->  network
 *     output <-----------  bytes  <-------------------------------------  network
 *                write, which waits, too                  recv
 *
 * poll(2) says where there is something to read, so reading never waits. Writing does: it is done when it is done.
 *
 * The chapters in tools/netcat/, which the three netcats share: netcat.h tells what is in them. */
#include "clock.h"
#include "io.h"
#include "mem.h"
#include "netcat/netcat.h"
#include "sig.h"

#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

enum { INPUT, NET, PLACES };
enum { CHUNK = 64 * 1024, PATIENCE_MS = 2000 };

struct loop {
	struct nc *nc;
	unsigned char *bytes;       /* CHUNK of them: what was read and is being written */
	bool input_open, peer_open; /* more may come from there */
};

/* After a send that took only part when its tick came: waits for room, as send itself does.
 * WHY not send again: that takes whatever little room there is, while a waiting send is woken when a third of the
 * buffer is free, and so is poll(2). With each tick a real deadlock would move on by a few bytes. */
static void wait_room(struct nc *nc)
{
	struct pollfd p = { .fd = nc->net, .events = POLLOUT };
	uint64_t begin_ns = clk_mono_ns(), now = begin_ns;
	bool is_told = false;
	while (!nc_look(nc) && sig_wait(&p, 1, now + (uint64_t)IO_TICK_MS * NS_PER_MS) == 0) {
		now = clk_mono_ns();
		if (now - begin_ns < (uint64_t)PATIENCE_MS * NS_PER_MS || is_told)
			continue;
		nc_report_blocked(nc, now - begin_ns);
		is_told = true;
	}
}

/* PITFALL: until the last byte is taken nothing else happens here, and above all nobody reads what the peer sends. If
 * the peer is doing the same, both send buffers fill and both wait for the other to read, for ever. */
static void send_all(struct loop *l, size_t n)
{
	struct nc *nc = l->nc;
	for (size_t put = 0; put < n && !nc_is_over(nc);) {
		ssize_t w = nc_send(nc, l->bytes + put, n - put);
		if (w == 0)
			return; /* the connection is dead: what is in `bytes` is lost, and the report says so */
		put += w > 0 ? (size_t)w : 0;
		if (put < n)
			wait_room(nc);
	}
}

/* PITFALL: the same towards the output. A pager that shows its first page, and the network stands still. */
static void write_all(struct loop *l, size_t n)
{
	struct nc *nc = l->nc;
	for (size_t put = 0; put < n && !nc_is_over(nc);) {
		sig_let_in(true); /* a signal ends the wait. LIMIT: not one that came just before; the next does */
		ssize_t w = nc_write_output(nc, l->bytes + put, n - put);
		sig_let_in(false);
		put += w > 0 ? (size_t)w : 0;
		if (nc_look(nc) || put == n)
			return;
		/* Somebody made this terminal or pipe non-blocking, for us as well (open(2)). */
		struct pollfd p = { .fd = nc->output, .events = POLLOUT };
		if (w < 0)
			(void)poll(&p, 1, IO_TICK_MS);
	}
}

static void end_input(struct loop *l)
{
	l->input_open = false;
	nc_end_input(l->nc);
}

static void from_input(struct loop *l, size_t n)
{
	ssize_t r = nc_read_input(l->nc, l->bytes, n);
	if (r > 0)
		send_all(l, (size_t)r);
	if (r == 0)
		end_input(l);
}

static void from_net(struct loop *l, size_t n)
{
	if (nc_has_stopped_reading(l->nc)) {
		l->peer_open = !nc_has_peer_ended(l->nc);
		return;
	}
	ssize_t r = nc_receive(l->nc, l->bytes, n);
	if (r > 0)
		write_all(l, (size_t)r);
	if (r == 0)
		l->peer_open = false;
}

/* One round: waits until something is to be read, and moves it. */
static void move(struct loop *l)
{
	struct nc *nc = l->nc;
	bool has_stopped = nc_has_stopped_reading(nc);
	size_t up = l->input_open ? nc_may_send(nc, CHUNK) : 0;
	size_t down = l->peer_open && !has_stopped ? nc_may_receive(nc, CHUNK) : 0;
	bool watches_net = down > 0 || (l->peer_open && has_stopped);
	struct pollfd fds[PLACES] = {
		[INPUT] = { .fd = up > 0 ? nc->input : -1, .events = POLLIN },
		[NET] = { .fd = watches_net ? nc->net : -1, .events = has_stopped ? nc_stopped_events(nc) : POLLIN },
	};
	bool is_last_call = !l->peer_open && up > 0;
	uint64_t deadline = nc_wake_ns(nc, l->input_open && up == 0, l->peer_open && !watches_net);
	if (is_last_call && nc_last_call_ns(nc) < deadline)
		deadline = nc_last_call_ns(nc);
	int ready = sig_wait(fds, PLACES, deadline);
	nc_trace_poll(fds, PLACES, ready);
	if (ready < 0) {
		nc_fail(nc, "poll", "input and network");
		l->input_open = l->peer_open = false;
		return;
	}
	if (nc_look(nc))
		return;
	if (fds[INPUT].revents != 0)
		from_input(l, up);
	else if (is_last_call && clk_mono_ns() >= nc_last_call_ns(nc))
		end_input(l);
	if (fds[NET].revents != 0 && !nc_is_over(nc)) /* it may have become so in that write */
		from_net(l, down);
}

static void run(struct nc *nc)
{
	struct loop l = { .nc = nc, .bytes = xmalloc_pages(CHUNK), .input_open = nc->input >= 0, .peer_open = true };
	while ((l.input_open || l.peer_open) && !nc_is_over(nc)) {
		move(&l);
		if (atomic_load(&nc->net_failed))
			l.input_open = false;
	}
	free(l.bytes);
}

int main(int argc, char **argv)
{
	static const struct nc_engine engine = {
		.tool = "netcat-blocking",
		.one_line = "reads and writes network connections, one thread with blocking descriptors",
		.about =
			"This one of the three netcats waits in write until all is taken, and reads nothing meanwhile: when both "
			"sides send much, both wait for ever. It says so when it happens. netcat-nonblocking is right in every case.",
		.run = run,
	};
	return nc_main(argc, argv, &engine);
}
