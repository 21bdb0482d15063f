/* netcat-threaded - two threads with blocking descriptors, one for each direction: neither waits for the other, so it
 * cannot deadlock. The difficulty is the end.
 *
 * Try:       netcat-threaded -l -v 5000                        in one terminal; in another:
 *            netcat-threaded -v localhost 5000 < file          and see whether all of it was delivered
 *            netcat-threaded -v localhost 5000 --trace         who waits where
 * Look for:  how a thread that waits in read is told that it is over. exit(3) in the thread that sees the end first is
 *            the short way, and loses whatever the other one has not written yet.
 * Labs:      43-netcat-deadlock.
 *
 *     thread up     input  -- read -->  bytes  -- send -->  network
 *     thread down   output <- write --  bytes  <- recv ---  network
 *     main          waits for: a thread that has ended, a signal, -w, -q, -i
 *
 * Who ends whom:
 *
 *     the input ends              up half-closes (FIN) and is done; down reads on to the peer's FIN
 *     the peer's FIN              down is done; main wakes thread up, which sends what is there and is done
 *     a reset                     both see it: send and recv fail, or return at once
 *     it is over (a signal, -w,   main wakes both: up by `wake`, down by shutdown(SHUT_RD), which no peer can see; and
 *     the output is gone)         whoever waits in send wakes by its tick (io.h)
 *
 * The chapters in tools/netcat/, which the three netcats share: netcat.h tells what is in them. */
#include "clock.h"
#include "io.h"
#include "mem.h"
#include "netcat/netcat.h"
#include "os.h"
#include "sig.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum { INPUT, WAKE, PLACES };
enum { CHUNK = 64 * 1024, STACK = 256 * 1024, GRACE_MS = 1000 };

struct loop {
	struct nc *nc;
	int wake;  /* an eventfd(2): readable when thread up shall not wait for its input any more */
	int ended; /* another: written by each thread as its last act */
	pthread_t up, down;
	unsigned char *up_bytes, *down_bytes; /* CHUNK each */
	atomic_bool up_ended, down_ended;
};

static void raise_event(int fd)
{
	uint64_t one = 1;
	(void)!write(fd, &one, sizeof(one)); /* cannot fail: the counter holds 2^64 - 2 */
}

/* --- thread up --------------------------------------------------------------------------------------------------- */

/* A speed limit says wait. Not much longer than a tick: it may be over meanwhile. */
static void wait_turn(const struct nc_pace *pace)
{
	uint64_t tick_ns = clk_mono_ns() + (uint64_t)IO_TICK_MS * NS_PER_MS, ready_ns = nc_pace_ready_ns(pace);
	clk_sleep_until_ns(ready_ns < tick_ns ? ready_ns : tick_ns);
}

/* For poll(2): -1 waits for ever. */
static int ms_until(uint64_t deadline_ns)
{
	uint64_t now = clk_mono_ns();
	if (deadline_ns == CLK_NEVER)
		return -1;
	return deadline_ns > now ? (int)((deadline_ns - now) / NS_PER_MS) + 1 : 0;
}

/* Until there is input: true. False: thread down has ended, and the input is silent (netcat.h). */
static bool wait_input(struct loop *l)
{
	struct pollfd fds[PLACES] = {
		[INPUT] = { .fd = l->nc->input, .events = POLLIN },
		[WAKE] = { .fd = l->wake, .events = POLLIN },
	};
	uint64_t deadline = CLK_NEVER;
	while (fds[INPUT].revents == 0 && clk_mono_ns() < deadline && !nc_is_over(l->nc)) {
		int ready = poll(fds, PLACES, ms_until(deadline));
		nc_trace_poll(fds, PLACES, ready);
		if (ready > 0 && fds[WAKE].revents != 0) {
			deadline = nc_last_call_ns(l->nc);
			fds[WAKE].fd = -1;
		}
	}
	return fds[INPUT].revents != 0;
}

static bool send_all(struct loop *l, size_t n)
{
	for (size_t put = 0; put < n && !nc_is_over(l->nc);) {
		ssize_t w = nc_send(l->nc, l->up_bytes + put, n - put);
		if (w == 0)
			return false;
		put += w > 0 ? (size_t)w : 0;
	}
	return true;
}

static void *up(void *arg)
{
	struct loop *l = arg;
	struct nc *nc = l->nc;
	ssize_t r = -1;
	os_thread_name("up");
	do {
		size_t n;
		while ((n = nc_may_send(nc, CHUNK)) == 0 && !nc_is_over(nc))
			wait_turn(&nc->write_pace);
		if (!wait_input(l))
			break;
		r = nc_read_input(nc, l->up_bytes, n);
		if (r > 0 && !send_all(l, (size_t)r))
			break;
	} while (r != 0 && !nc_is_over(nc));
	if (nc->input >= 0)
		nc_end_input(nc);
	atomic_store(&l->up_ended, true);
	raise_event(l->ended);
	return NULL;
}

/* --- thread down ------------------------------------------------------------------------------------------------- */

/* --stop-after has come: only the peer's end is of interest. */
static void wait_peer_end(struct nc *nc)
{
	struct pollfd p = { .fd = nc->net };
	do
		p.events = nc_stopped_events(nc);
	while (!nc_is_over(nc) && (poll(&p, 1, IO_TICK_MS) <= 0 || !nc_has_peer_ended(nc)));
}

static void write_all(struct loop *l, size_t n)
{
	struct nc *nc = l->nc;
	for (size_t put = 0; put < n && !nc_is_over(nc);) {
		ssize_t w = nc_write_output(nc, l->down_bytes + put, n - put);
		put += w > 0 ? (size_t)w : 0;
		/* Somebody made this terminal or pipe non-blocking, for us as well (open(2)). */
		struct pollfd p = { .fd = nc->output, .events = POLLOUT };
		if (w < 0)
			(void)poll(&p, 1, IO_TICK_MS);
	}
}

static void *down(void *arg)
{
	struct loop *l = arg;
	struct nc *nc = l->nc;
	ssize_t r = -1;
	os_thread_name("down");
	while (r != 0 && !nc_is_over(nc) && !nc_has_stopped_reading(nc)) {
		size_t n = nc_may_receive(nc, CHUNK);
		if (n == 0) {
			wait_turn(&nc->read_pace);
			continue;
		}
		r = nc_receive(nc, l->down_bytes, n);
		if (r > 0)
			write_all(l, (size_t)r);
	}
	if (r != 0 && !nc_is_over(nc))
		wait_peer_end(nc);
	atomic_store(&l->down_ended, true);
	raise_event(l->ended);
	return NULL;
}

/* --- main -------------------------------------------------------------------------------------------------------- */

static void wait_for_event(struct loop *l)
{
	uint64_t n;
	struct pollfd p = { .fd = l->ended, .events = POLLIN };
	if (sig_wait(&p, 1, nc_deadline_ns(l->nc)) > 0)
		(void)!read(l->ended, &n, sizeof(n));
}

/* Until both directions have ended, or it is over. */
static void wait_for_both(struct loop *l)
{
	bool was_woken = false;
	while (!nc_look(l->nc) && !(atomic_load(&l->up_ended) && atomic_load(&l->down_ended))) {
		if (atomic_load(&l->down_ended) && !was_woken) {
			raise_event(l->wake);
			was_woken = true;
			continue;
		}
		wait_for_event(l);
	}
}

/* It is over: wakes both, wherever they wait. LIMIT: nothing wakes a thread that waits in a write to a terminal or pipe
 * that nobody reads; such a one is left behind, and ends with the process. False: so it is. */
static bool wake_both(struct loop *l)
{
	if (l->wake >= 0)
		raise_event(l->wake);
	shutdown(l->nc->net, SHUT_RD);
	uint64_t deadline = clk_mono_ns() + (uint64_t)GRACE_MS * NS_PER_MS;
	while (!(atomic_load(&l->up_ended) && atomic_load(&l->down_ended)) && clk_mono_ns() < deadline) {
		uint64_t n;
		struct pollfd p = { .fd = l->ended, .events = POLLIN };
		if (poll(&p, 1, IO_TICK_MS) > 0)
			(void)!read(l->ended, &n, sizeof(n));
	}
	return atomic_load(&l->up_ended) && atomic_load(&l->down_ended);
}

static bool start(struct loop *l, pthread_t *thread, void *(*fn)(void *))
{
	errno = os_thread_start(thread, STACK, fn, l);
	if (errno == 0)
		return true;
	nc_fail(l->nc, "start", "a thread");
	atomic_store(&l->nc->is_over, true);
	return false;
}

static void run(struct nc *nc)
{
	struct loop *l = xcalloc(1, sizeof(*l));
	*l = (struct loop){
		.nc = nc,
		.wake = eventfd(0, EFD_CLOEXEC),
		.ended = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
		.up_bytes = xmalloc_pages(CHUNK),
		.down_bytes = xmalloc_pages(CHUNK),
	};
	bool has_events = l->wake >= 0 && l->ended >= 0;
	if (!has_events) {
		nc_fail(nc, "create", "an eventfd");
		atomic_store(&nc->is_over, true);
	}
	bool has_up = has_events && start(l, &l->up, up), has_down = has_up && start(l, &l->down, down);
	if (!has_up)
		atomic_store(&l->up_ended, true);
	if (!has_down)
		atomic_store(&l->down_ended, true);
	if (has_events)
		wait_for_both(l);
	if (nc_is_over(nc) && !wake_both(l)) {
		nc->is_in_use = true; /* and so are its buffers */
		return;
	}
	if (has_up)
		pthread_join(l->up, NULL);
	if (has_down)
		pthread_join(l->down, NULL);
	if (l->wake >= 0)
		close(l->wake);
	if (l->ended >= 0)
		close(l->ended);
	free(l->up_bytes);
	free(l->down_bytes);
	free(l);
}

int main(int argc, char **argv)
{
	static const struct nc_engine engine = {
		.tool = "netcat-threaded",
		.one_line = "reads and writes network connections, a thread for each direction",
		.about =
			"This one of the three netcats has a thread for each direction, which waits in read and write as it likes: it "
			"cannot deadlock. netcat-nonblocking does the same with one thread.",
		.run = run,
	};
	return nc_main(argc, argv, &engine);
}
