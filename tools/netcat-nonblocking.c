/* netcat-nonblocking - one thread, one poll(2), and nothing ever waits anywhere else: right in every case.
 *
 * Try:       netcat-nonblocking -l -v 5000                     in one terminal; in another:
 *            netcat-nonblocking -v localhost 5000 < file       and see whether all of it was delivered
 *            netcat-nonblocking -l -i 1 5000 < /dev/zero > /dev/null   and the same at the other end
 * Look for:  the two buffers, and that a direction is read from only while its buffer has room: that is backpressure.
 * Labs:      22-half-close, 43-netcat-deadlock, 44-blocking-in-a-loop.
 *
 *                 read               send what the network takes
 *     input  ----------->  buffer  ------------------------------->  network
 *     output <-----------  buffer  <-------------------------------  network
 *       write what the output takes             recv
 *
 * What cannot be written now stays in its buffer, and poll(2) is asked to tell when it can. Neither direction ever
 * waits for the other, so they cannot deadlock; and a buffer that is not empty is not read into, so memory is bounded.
 *
 * Standard input and output are shared with whoever started us, and so is O_NONBLOCK: it belongs to the open file
 * description (open(2)), and the shell would find its terminal non-blocking. So they are opened anew: own_description.
 *
 * The chapters in tools/netcat/, which the three netcats share: netcat.h tells what is in them. */
#include "clock.h"
#include "mem.h"
#include "netcat/netcat.h"
#include "sig.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { INPUT, NET, OUTPUT, PLACES };
enum { CHUNK = 1024 * 1024 };

/* One direction's buffer: it is read into when it is empty, and then written out until it is empty again. */
struct lane {
	unsigned char *bytes; /* CHUNK of them, of which [head, tail) wait to be written */
	size_t head, tail;
	bool open; /* more may come */
};

struct loop {
	struct nc *nc;
	struct lane up, down;
	bool up_ended;         /* and said so to the network */
	bool is_output_shared; /* a blocking pipe or terminal of others: asked before each write, and written a page at once */
};

static size_t waiting(const struct lane *lane)
{
	return lane->tail - lane->head;
}

/* --- the four moves, none of which waits -------------------------------------------------------------------------- */

static void send_what_goes(struct loop *l)
{
	struct lane *up = &l->up;
	size_t n = nc_may_send(l->nc, waiting(up));
	if (n == 0)
		return;
	ssize_t w = nc_send(l->nc, up->bytes + up->head, n);
	if (w > 0)
		up->head += (size_t)w;
	if (w == 0) { /* the connection is dead: what waits here is lost, and the report says so */
		up->open = false;
		up->head = up->tail;
	}
}

static void from_input(struct loop *l)
{
	ssize_t r = nc_read_input(l->nc, l->up.bytes, CHUNK);
	if (r == 0)
		l->up.open = false;
	if (r <= 0)
		return;
	l->up.head = 0;
	l->up.tail = (size_t)r;
	send_what_goes(l); /* WHY not wait to be told that it can: nearly always it can */
}

static void write_what_goes(struct loop *l)
{
	struct lane *down = &l->down;
	/* WHY: when poll(2) says that a blocking pipe can be written, it promises one page (pipe(7), PIPE_BUF). */
	size_t n = l->is_output_shared && waiting(down) > PIPE_BUF ? PIPE_BUF : waiting(down);
	ssize_t w = nc_write_output(l->nc, down->bytes + down->head, n);
	if (w > 0)
		down->head += (size_t)w;
}

static void from_net(struct loop *l, size_t n)
{
	if (nc_has_stopped_reading(l->nc)) {
		l->down.open = !nc_has_peer_ended(l->nc);
		return;
	}
	ssize_t r = nc_receive(l->nc, l->down.bytes, n);
	if (r == 0)
		l->down.open = false;
	if (r <= 0)
		return;
	l->down.head = 0;
	l->down.tail = (size_t)r;
	if (!l->is_output_shared)
		write_what_goes(l);
}

/* --- the loop ---------------------------------------------------------------------------------------------------- */

/* What there is to do in this round. Each is false or 0 while it is not wanted, or the speed limit says wait. */
struct plan {
	bool input, send;
	size_t receive;    /* so many bytes at most */
	bool is_last_call; /* the peer has ended: the input is not waited for much longer */
	uint64_t deadline_ns;
	struct pollfd fds[PLACES];
};

static void make_plan(struct loop *l, struct plan *p)
{
	struct nc *nc = l->nc;
	bool has_stopped = nc_has_stopped_reading(nc), may_send = nc_may_send(nc, CHUNK) > 0;
	bool may_receive = l->down.open && !has_stopped && waiting(&l->down) == 0;
	p->input = l->up.open && waiting(&l->up) == 0 && may_send;
	p->send = waiting(&l->up) > 0 && may_send;
	p->receive = may_receive ? nc_may_receive(nc, CHUNK) : 0;
	p->is_last_call = p->input && !l->down.open;
	p->deadline_ns = nc_wake_ns(nc, !l->up_ended && !may_send, may_receive && p->receive == 0);
	if (p->is_last_call && nc_last_call_ns(nc) < p->deadline_ns)
		p->deadline_ns = nc_last_call_ns(nc);
	short net = p->send ? POLLOUT : 0;
	if (p->receive > 0)
		net |= POLLIN;
	else if (l->down.open && has_stopped)
		net |= nc_stopped_events(nc);
	/* A place without interest is left out: poll(2) reports POLLHUP and POLLERR unasked, again and again. */
	p->fds[INPUT] = (struct pollfd){ .fd = p->input ? nc->input : -1, .events = POLLIN };
	p->fds[NET] = (struct pollfd){ .fd = net != 0 ? nc->net : -1, .events = net };
	p->fds[OUTPUT] = (struct pollfd){ .fd = waiting(&l->down) > 0 ? nc->output : -1, .events = POLLOUT };
}

/* One round: waits until something can be moved, and moves it. */
static void move(struct loop *l)
{
	struct nc *nc = l->nc;
	struct plan p;
	make_plan(l, &p);
	int ready = sig_wait(p.fds, PLACES, p.deadline_ns);
	nc_trace_poll(p.fds, PLACES, ready);
	if (ready < 0) {
		nc_fail(nc, "poll", "input, network and output");
		atomic_store(&nc->is_over, true);
	}
	if (nc_look(nc))
		return;
	if (p.fds[INPUT].revents != 0)
		from_input(l);
	else if (p.is_last_call && clk_mono_ns() >= nc_last_call_ns(nc))
		l->up.open = false;
	if (p.send && p.fds[NET].revents != 0)
		send_what_goes(l);
	if ((p.fds[NET].events & ~POLLOUT) != 0 && (p.fds[NET].revents & ~POLLOUT) != 0)
		from_net(l, p.receive);
	if (p.fds[OUTPUT].revents != 0)
		write_what_goes(l);
}

/* A regular file never waits. */
static bool is_file(int fd)
{
	struct stat st;
	return fstat(fd, &st) == 0 && (S_ISREG(st.st_mode) || S_ISBLK(st.st_mode));
}

/* A description of our own for fd, which we may make non-blocking; mode is O_RDONLY or O_WRONLY. Returns it, or fd
 * itself: a socket cannot be opened, somebody else's terminal or pipe may not be, and what was opened for the other
 * direction is to fail as it is. */
static int own_description(int fd, int mode)
{
	char path[32];
	int has = fcntl(fd, F_GETFL) & O_ACCMODE;
	if (is_file(fd) || (has != mode && has != O_RDWR))
		return fd;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	int own = open(path, mode | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	/* A larger pipe saves system calls and waking up; no matter if it is none, or may not grow. */
	fcntl(fd, F_SETPIPE_SZ, CHUNK);
	return own >= 0 ? own : fd;
}

static void run(struct nc *nc)
{
	struct loop l = {
		.nc = nc,
		.up = { .bytes = xmalloc_pages(CHUNK), .open = nc->input >= 0 },
		.down = { .bytes = xmalloc_pages(CHUNK), .open = true },
		.up_ended = nc->input < 0,
	};
	if (nc->input >= 0)
		nc->input = own_description(STDIN_FILENO, O_RDONLY);
	nc->output = own_description(STDOUT_FILENO, O_WRONLY);
	l.is_output_shared = nc->output == STDOUT_FILENO && !is_file(STDOUT_FILENO);

	while ((!l.up_ended || l.down.open || waiting(&l.down) > 0) && !nc_is_over(nc)) {
		move(&l);
		if (atomic_load(&nc->net_failed))
			l.up.open = false;
		if (!l.up.open && waiting(&l.up) == 0 && !l.up_ended) {
			l.up_ended = true;
			nc_end_input(nc);
		}
	}
	if (nc->input > STDIN_FILENO)
		close(nc->input);
	if (nc->output > STDOUT_FILENO)
		close(nc->output);
	free(l.up.bytes);
	free(l.down.bytes);
}

int main(int argc, char **argv)
{
	static const struct nc_engine engine = {
		.tool = "netcat-nonblocking",
		.one_line = "reads and writes network connections, one thread that never waits in a read or write",
		.about =
			"This one of the three netcats keeps a buffer for each direction and waits in poll only: it cannot "
			"deadlock, and its memory is bounded. `tcplab netcat` means this one.",
		.is_nonblocking = true,
		.run = run,
	};
	return nc_main(argc, argv, &engine);
}
