/* edge - level-triggered or edge-triggered: when does epoll(7) say that there is something to do?
 *
 * Try:       edge stuck                    100000 bytes are here; one recv(2) of 1024 for each wake-up. And then?
 *            edge stuck --trigger level    the same code, level-triggered: nothing is wrong with it
 *            edge stuck --fixed            edge-triggered, and read until EAGAIN
 *            edge request, edge accept     the same mistake in a server
 *            edge epollout                 the mistake of the level: EPOLLOUT left on
 *            edge stuck --trace            each system call
 * Look for:  PITFALL below. In three experiments the fix is a loop, in the fourth an epoll_ctl(2).
 * Labs:      41-lt-et.
 *
 * Level-triggered, the default, epoll_wait(2) returns for as long as there is something; edge-triggered (EPOLLET) it
 * returns when something came:
 *
 *     what happens      3000 bytes come    recv 1000    recv 1000    recv 1000    recv: EAGAIN
 *     bytes there       3000               2000         1000         0            0
 *     level             wakes              wakes        wakes
 *     edge              wakes
 *
 * Both ends of each connection are in this process and this thread, so that everything can arrive before the experiment
 * begins to wait: what is counted then depends neither on time nor on load, and is the same in each run.
 *
 * The chapters: what the experiments share, the four experiments, options and main. */
#include "addr.h"
#include "args.h"
#include "clock.h"
#include "diag.h"
#include "io.h"
#include "mem.h"
#include "os.h"
#include "record.h"
#include "sig.h"
#include "sock.h"
#include "tcpinfo.h"

#include "pitfall/stage.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum trigger { LEVEL, EDGE };

struct options {
	const struct experiment *x;
	int trigger; /* enum trigger; -1: not given */
	bool fixed, json;
	uint64_t bytes, read_len, number, time_ns, patience_ns; /* 0: as the experiment likes it */
};

/* What an experiment found: counters, each with a name for programs and words for people. */
struct findings {
	size_t n;
	struct {
		const char *key, *text;
		uint64_t value;
	} figure[16];
};

/* What differs from one experiment to the other. */
struct experiment {
	const char *name, *how, *how_fixed;
	enum trigger trigger;
	uint64_t bytes, bytes_max, number;
	void (*run)(const struct options *o, struct findings *f);
};

/* --- reports ----------------------------------------------------------------------------------------------------- */

static void note(struct findings *f, const char *key, uint64_t value, const char *text)
{
	if (f->n < COUNT_OF(f->figure)) {
		f->figure[f->n].key = key;
		f->figure[f->n].text = text;
		f->figure[f->n++].value = value;
	}
}

static void begin_record(struct json *j, const char *record, const struct options *o)
{
	record_begin(j, record);
	json_str(j, "experiment", o->x->name);
	json_str(j, "trigger", o->trigger == EDGE ? "edge" : "level");
	json_bool(j, "fixed", o->fixed);
}

static void report_start(const struct options *o, const char *how)
{
	if (o->json) {
		struct json j;
		begin_record(&j, "start", o);
		json_end(&j);
	} else {
		printf("%s: %s-triggered, %s\n", o->x->name, o->trigger == EDGE ? "edge" : "level", how);
	}
}

static void report_total(const struct options *o, const struct findings *f)
{
	struct json j;
	if (o->json)
		begin_record(&j, "total", o);
	for (size_t i = 0; i < f->n; i++) {
		if (o->json)
			json_u64(&j, f->figure[i].key, f->figure[i].value);
		else
			printf("%10" PRIu64 "  %s\n", f->figure[i].value, f->figure[i].text);
	}
	if (o->json) {
		json_bool(&j, "interrupted", sig_pending(NULL) != 0);
		json_end(&j);
	}
}

/* Both ends are ours: whatever fails is this machine, and the experiment is over. */
static _Noreturn void fail(const struct options *o, const struct net_error *e)
{
	char text[NET_ERROR_TEXT];
	if (o->json) {
		struct json j;
		begin_record(&j, "error", o);
		json_str(&j, "op", e->op);
		json_str(&j, "object", e->object);
		json_str(&j, "errno", net_error_symbol(e));
		json_str(&j, "message", net_error_reason(e));
		json_end(&j);
	}
	die("%s", net_error_text(e, text));
}

static _Noreturn void fail_errno(const struct options *o, const char *op, const char *object)
{
	struct net_error e = { 0 };
	net_fail(&e, op, object);
	fail(o, &e);
}

/* --- connections on loopback ------------------------------------------------------------------------------------- */

/* The two ends of one: `ours`, non-blocking, is the one that an experiment watches. */
struct pair {
	int ours, peers;
};

/* A non-blocking listening socket, and its address. */
static int open_listener(const struct options *o, struct addr *bound)
{
	/* WHY: what the peer sends has to fit in before anybody reads, what we send has to fill the buffer soon. */
	struct sock_options buffers = { .receive_buffer = 512 * 1024, .send_buffer = 64 * 1024 };
	struct net_error e = { 0 };
	int fd = sock_serve("127.0.0.1", 0, AF_INET, &buffers, bound, &e);
	if (fd < 0)
		fail(o, &e);
	if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		fail_errno(o, "fcntl", "O_NONBLOCK");
	return fd;
}

static int connect_to(const struct options *o, const struct addr *server)
{
	struct io_until until = { .deadline_ns = clk_mono_ns() + UINT64_C(10) * NS_PER_S };
	struct net_error e = { 0 };
	int fd = sock_connect(server, 1, NULL, &(struct sock_options){ 0 }, &until, &e);
	if (fd < 0)
		fail(o, &e);
	return fd;
}

/* A new connection from the backlog: a non-blocking descriptor, or -1 with EAGAIN when none is left. */
static int accept_one(const struct options *o, int listen_fd)
{
	int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	tracef("accept4(%d) = %d", listen_fd, fd);
	if (fd < 0 && errno != EAGAIN)
		fail_errno(o, "accept", "a connection");
	return fd;
}

/* Connections that have arrived and were not accepted: of a listening socket the kernel tells them in this field. */
static uint64_t in_backlog(int listen_fd)
{
	struct tcpinfo i;
	return tcpinfo_get(listen_fd, &i) == 0 ? i.unacked : 0;
}

/* Waits until `arrived` says so much of fd. On loopback that is soon, but not at once. */
static void settle(const struct options *o, uint64_t (*arrived)(int), int fd, uint64_t wanted)
{
	uint64_t give_up_ns = clk_mono_ns() + UINT64_C(5) * NS_PER_S;
	while (arrived(fd) != wanted) {
		if (clk_mono_ns() > give_up_ns) {
			errno = ETIMEDOUT;
			fail_errno(o, "wait for",
				   arrived == stage_unread ? "bytes sent over loopback" : "connections to loopback");
		}
		clk_sleep_until_ns(clk_mono_ns() + 100 * NS_PER_US);
	}
}

static struct pair open_pair(const struct options *o)
{
	struct addr bound;
	struct pair p;
	int listen_fd = open_listener(o, &bound);
	p.peers = connect_to(o, &bound);
	settle(o, in_backlog, listen_fd, 1);
	p.ours = accept_one(o, listen_fd);
	close(listen_fd);
	return p;
}

static void close_pair(const struct pair *p)
{
	close(p->peers);
	close(p->ours);
}

/* The peer writes n bytes, and all of them arrive. */
static void peer_sends(const struct options *o, const struct pair *p, uint64_t n)
{
	struct io_until until = { .deadline_ns = clk_mono_ns() + UINT64_C(5) * NS_PER_S };
	uint64_t before = stage_unread(p->ours);
	void *bytes = xcalloc(1, n);
	if (io_write_full(p->peers, bytes, n, &until) < 0)
		fail_errno(o, "send", "to ourselves");
	free(bytes);
	settle(o, stage_unread, p->ours, before + n);
}

/* --- epoll ------------------------------------------------------------------------------------------------------- */

static int open_epoll(const struct options *o)
{
	int fd = epoll_create1(EPOLL_CLOEXEC);
	if (fd < 0)
		fail_errno(o, "epoll_create1", "an instance");
	return fd;
}

/* EPOLL_CTL_ADD or EPOLL_CTL_MOD, with the experiment's trigger; `data` comes back with each event. */
static void watch(const struct options *o, int epoll_fd, int op, int fd, uint32_t events, void *data)
{
	struct epoll_event e = { .events = events | (o->trigger == EDGE ? EPOLLET : 0), .data.ptr = data };
	int rc = epoll_ctl(epoll_fd, op, fd, &e);
	tracef("epoll_ctl(%d, %s, %d, EPOLLIN%s%s) = %d", epoll_fd, op == EPOLL_CTL_ADD ? "ADD" : "MOD", fd,
	       events & EPOLLOUT ? "|EPOLLOUT" : "", o->trigger == EDGE ? "|EPOLLET" : "", rc);
	if (rc < 0)
		fail_errno(o, "epoll_ctl", "a socket");
}

/* epoll_wait(2) for one event. False: nothing happened for so long, or a signal came. */
static bool wait_event(const struct options *o, int epoll_fd, struct epoll_event *e, uint64_t limit_ns)
{
	enum { SLICE_NS = 100 * NS_PER_MS };
	/* WHY in slices: a signal that comes just before epoll_wait does not end it. */
	for (uint64_t left_ns = limit_ns; left_ns > 0 && sig_pending(NULL) == 0;) {
		uint64_t slice_ns = left_ns < SLICE_NS ? left_ns : SLICE_NS;
		int n = epoll_wait(epoll_fd, e, 1, (int)((slice_ns + NS_PER_MS - 1) / NS_PER_MS));
		tracef("epoll_wait(%d) = %d", epoll_fd, n);
		if (n > 0)
			return true;
		if (n < 0 && errno != EINTR)
			fail_errno(o, "epoll_wait", "an event");
		left_ns -= slice_ns;
	}
	return false;
}

/* --- the reader of experiments stuck and request ----------------------------------------------------------------- */

struct reader {
	struct pair pair;
	uint64_t wakes, reads, got_bytes;
	bool answered; /* request only */
};

/* One wake-up. */
static void on_readable(const struct options *o, struct reader *r, unsigned char *buffer)
{
	ssize_t n;
	r->wakes++;
	do {
		n = recv(r->pair.ours, buffer, o->read_len, 0);
		tracef("recv(%d, %" PRIu64 ") = %zd", r->pair.ours, o->read_len, n);
		r->reads++;
		if (n > 0)
			r->got_bytes += (uint64_t)n;
		/* PITFALL: one recv, and back to epoll_wait. Level-triggered that is good manners: what is left wakes
		 * us again, and a busy peer does not starve the others. Edge-triggered nobody wakes us for what is
		 * left, only for what comes; and a peer that waits for our answer sends no more. The fix is to take a
		 * descriptor for ready until it says EAGAIN (epoll(7), Questions and answers). */
	} while (o->fixed && n > 0);
}

/* Serves wake-ups, each followed by `then`, until nothing happens any more. */
static void serve(const struct options *o, int epoll_fd, void (*then)(const struct options *o, struct reader *r))
{
	unsigned char *buffer = xmalloc(o->read_len);
	struct epoll_event e;
	while (wait_event(o, epoll_fd, &e, o->patience_ns)) {
		on_readable(o, e.data.ptr, buffer);
		if (then != NULL)
			then(o, e.data.ptr);
	}
	free(buffer);
}

/* --- stuck: bytes are here, and nobody is told ------------------------------------------------------------------- */

static void run_stuck(const struct options *o, struct findings *f)
{
	struct reader r = { .pair = open_pair(o) };
	int epoll_fd = open_epoll(o);
	watch(o, epoll_fd, EPOLL_CTL_ADD, r.pair.ours, EPOLLIN, &r);

	peer_sends(o, &r.pair, o->bytes);
	serve(o, epoll_fd, NULL);
	note(f, "sent_bytes", o->bytes, "bytes arrived");
	note(f, "wakes", r.wakes, "wake-ups");
	note(f, "reads", r.reads, "reads, EAGAIN included");
	note(f, "got_bytes", r.got_bytes, "bytes read");
	note(f, "left_bytes", stage_unread(r.pair.ours), "bytes left in the socket");

	struct reader before = r;
	peer_sends(o, &r.pair, 1);
	serve(o, epoll_fd, NULL);
	note(f, "more_sent_bytes", 1, "byte more arrived");
	note(f, "more_wakes", r.wakes - before.wakes, "wake-ups for it");
	note(f, "more_reads", r.reads - before.reads, "reads, EAGAIN included");
	note(f, "more_got_bytes", r.got_bytes - before.got_bytes, "bytes read");
	note(f, "more_left_bytes", stage_unread(r.pair.ours), "bytes left in the socket");
	close(epoll_fd);
	close_pair(&r.pair);
}

/* --- request: a server that answers when the whole request is there ---------------------------------------------- */

enum { ANSWER_LEN = 2 };

static void answer_if_complete(const struct options *o, struct reader *r)
{
	if (r->answered || r->got_bytes < o->bytes)
		return;
	if (send(r->pair.ours, "ok", ANSWER_LEN, MSG_NOSIGNAL) != ANSWER_LEN)
		fail_errno(o, "send", "an answer");
	settle(o, stage_unread, r->pair.peers, ANSWER_LEN);
	r->answered = true;
}

static void run_request(const struct options *o, struct findings *f)
{
	struct reader *readers = xcalloc(o->number, sizeof(*readers)), sum = { 0 };
	uint64_t answered = 0, left_bytes = 0;
	int epoll_fd = open_epoll(o);
	for (uint64_t i = 0; i < o->number; i++) {
		readers[i].pair = open_pair(o);
		watch(o, epoll_fd, EPOLL_CTL_ADD, readers[i].pair.ours, EPOLLIN, &readers[i]);
		peer_sends(o, &readers[i].pair, o->bytes);
	}
	serve(o, epoll_fd, answer_if_complete);
	for (uint64_t i = 0; i < o->number; i++) {
		sum.wakes += readers[i].wakes;
		sum.reads += readers[i].reads;
		sum.got_bytes += readers[i].got_bytes;
		answered += readers[i].answered;
		left_bytes += stage_unread(readers[i].pair.ours);
		close_pair(&readers[i].pair);
	}
	close(epoll_fd);
	free(readers);
	note(f, "requests", o->number, "requests arrived, each on a connection of its own");
	note(f, "answered", answered, "of them answered");
	note(f, "wakes", sum.wakes, "wake-ups");
	note(f, "reads", sum.reads, "reads, EAGAIN included");
	note(f, "sent_bytes", o->number * o->bytes, "bytes arrived");
	note(f, "got_bytes", sum.got_bytes, "bytes read");
	note(f, "left_bytes", left_bytes, "bytes left in the sockets");
}

/* --- accept: the same with a listening socket -------------------------------------------------------------------- */

/* Serves wake-ups until nothing happens any more. */
static void accept_all(const struct options *o, int epoll_fd, int listen_fd, uint64_t *wakes, uint64_t *accepted)
{
	struct epoll_event e;
	int fd;
	while (wait_event(o, epoll_fd, &e, o->patience_ns)) {
		(*wakes)++;
		do {
			fd = accept_one(o, listen_fd);
			if (fd >= 0) {
				(*accepted)++;
				close(fd);
			}
			/* PITFALL: the same again. Edge-triggered, whoever accepts one connection for each wake-up
			 * leaves those in the backlog that came together with it; each newcomer lets the oldest of them
			 * in, and takes its place. */
		} while (o->fixed && fd >= 0);
	}
}

static void run_accept(const struct options *o, struct findings *f)
{
	struct addr bound;
	uint64_t wakes = 0, accepted = 0;
	int *clients = xcalloc(o->number + 1, sizeof(*clients));
	int listen_fd = open_listener(o, &bound), epoll_fd = open_epoll(o);
	watch(o, epoll_fd, EPOLL_CTL_ADD, listen_fd, EPOLLIN, NULL);

	for (uint64_t i = 0; i < o->number; i++)
		clients[i] = connect_to(o, &bound);
	settle(o, in_backlog, listen_fd, o->number);
	accept_all(o, epoll_fd, listen_fd, &wakes, &accepted);
	note(f, "clients", o->number, "clients connected");
	note(f, "wakes", wakes, "wake-ups");
	note(f, "accepted", accepted, "accepted");
	note(f, "in_backlog", in_backlog(listen_fd), "left in the backlog");

	uint64_t wakes_before = wakes, accepted_before = accepted, left = in_backlog(listen_fd);
	clients[o->number] = connect_to(o, &bound);
	settle(o, in_backlog, listen_fd, left + 1);
	accept_all(o, epoll_fd, listen_fd, &wakes, &accepted);
	note(f, "more_clients", 1, "client more");
	note(f, "more_wakes", wakes - wakes_before, "wake-ups for it");
	note(f, "more_accepted", accepted - accepted_before, "accepted");
	note(f, "more_in_backlog", in_backlog(listen_fd), "left in the backlog");

	for (uint64_t i = 0; i <= o->number; i++)
		close(clients[i]);
	free(clients);
	close(epoll_fd);
	close(listen_fd);
}

/* --- epollout: being told that nothing keeps us from writing ----------------------------------------------------- */

struct writer {
	struct pair pair;
	int epoll_fd;
	uint32_t events; /* that we watch `ours` for */
	uint64_t wakes, sent_bytes, received_bytes;
	unsigned char buffer[64 * 1024];
};

/* Sends until everything is sent or the socket's buffer is full, and sees to it that we hear when it no longer is. */
static void send_more(const struct options *o, struct writer *w)
{
	ssize_t n = 0;
	while (w->sent_bytes < o->bytes && n >= 0) {
		uint64_t left = o->bytes - w->sent_bytes, len = left < sizeof(w->buffer) ? left : sizeof(w->buffer);
		n = send(w->pair.ours, w->buffer, len, MSG_NOSIGNAL);
		tracef("send(%d, %" PRIu64 ") = %zd", w->pair.ours, len, n);
		if (n < 0 && errno != EAGAIN)
			fail_errno(o, "send", "to ourselves");
		w->sent_bytes += n > 0 ? (uint64_t)n : 0;
	}
	/* PITFALL: EPOLLOUT left on. A socket is writable nearly all of the time, and level-triggered epoll_wait says
	 * so each time that it is asked: the program never sleeps again. The fix asks only while there is something
	 * that did not fit. */
	uint32_t events = EPOLLIN | (!o->fixed || w->sent_bytes < o->bytes ? EPOLLOUT : 0);
	if (events != w->events)
		watch(o, w->epoll_fd, w->events == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, w->pair.ours, events,
		      &w->pair.ours);
	w->events = events;
}

/* The peer reads everything that there is. */
static void peer_reads(struct writer *w)
{
	ssize_t n;
	while ((n = recv(w->pair.peers, w->buffer, sizeof(w->buffer), MSG_DONTWAIT)) > 0)
		w->received_bytes += (uint64_t)n;
}

/* One answer, longer than the socket's buffer; the peer reads it as it comes. */
static void deliver(const struct options *o, struct writer *w)
{
	struct epoll_event e;
	watch(o, w->epoll_fd, EPOLL_CTL_ADD, w->pair.peers, EPOLLIN, &w->pair.peers);
	send_more(o, w);
	while (w->received_bytes < o->bytes && wait_event(o, w->epoll_fd, &e, UINT64_C(5) * NS_PER_S)) {
		if (e.data.ptr == &w->pair.peers) {
			peer_reads(w);
		} else {
			w->wakes++;
			send_more(o, w);
		}
	}
}

static void run_epollout(const struct options *o, struct findings *f)
{
	struct writer *w = xcalloc(1, sizeof(*w));
	struct epoll_event e;
	w->pair = open_pair(o);
	w->epoll_fd = open_epoll(o);
	deliver(o, w);
	note(f, "sent_bytes", w->sent_bytes, "bytes sent");
	note(f, "received_bytes", w->received_bytes, "bytes received by the peer");
	note(f, "busy_wakes", w->wakes, "wake-ups to send them");

	/* From here on nobody has anything to say. */
	uint64_t wakes = 0, begin_ns = clk_mono_ns(), now_ns = begin_ns;
	struct os_cpu before = os_thread_cpu();
	while (now_ns - begin_ns < o->time_ns && sig_pending(NULL) == 0) {
		wakes += wait_event(o, w->epoll_fd, &e, o->time_ns - (now_ns - begin_ns));
		now_ns = clk_mono_ns();
	}
	struct os_cpu after = os_thread_cpu();
	uint64_t cpu_ns = after.user_ns + after.sys_ns - before.user_ns - before.sys_ns;
	note(f, "idle_ns", now_ns - begin_ns, "ns in which there was nothing to do");
	note(f, "idle_wakes", wakes, "wake-ups meanwhile");
	note(f, "idle_cpu_ns", cpu_ns, "ns of processor time meanwhile");
	close(w->epoll_fd);
	close_pair(&w->pair);
	free(w);
}

/* --- options and main -------------------------------------------------------------------------------------------- */

static const struct experiment experiments[] = {
	{ "stuck", "one read for each wake-up", "reads until EAGAIN", EDGE, 100000, 128 * 1024, 0, run_stuck },
	{ "request", "one read for each wake-up", "reads until EAGAIN", EDGE, 3000, 128 * 1024, 20, run_request },
	{ "accept", "one accept for each wake-up", "accepts until EAGAIN", EDGE, 0, 0, 10, run_accept },
	{ "epollout", "EPOLLOUT always on", "EPOLLOUT while there is something to send", LEVEL, 1 << 20, 1 << 30, 0,
	  run_epollout },
};

static const char *const synopsis[] = {
	"stuck|request|accept|epollout [--fixed] [--trigger level|edge] [options]",
	NULL,
};

static const char *const about[] = {
	"edge shows what level-triggered and edge-triggered epoll promise, and the mistake that goes with each. Every "
	"experiment is run as it is often written, or with --fixed as it should be; --trigger runs the same code with "
	"the other trigger.",
	"stuck: bytes arrive at once, and the program reads once for each wake-up. request: the same in a server that "
	"answers when a request is complete. accept: clients connect at once, and the server accepts one for each "
	"wake-up. epollout: a program sends an answer and is idle afterwards, with EPOLLOUT still on.",
	"Both ends are on loopback in this one process. What is counted does not depend on time or load, but for the "
	"wake-ups of epollout, which are as many as the time allows.",
	NULL,
};

static const struct arg_example examples[] = {
	{ "edge stuck", "edge-triggered, one read for each wake-up: most bytes stay where they are" },
	{ "edge stuck --trigger level", "the same program, level-triggered" },
	{ "edge stuck --fixed", "edge-triggered, as it should be" },
	{ "edge request --fixed --json", "a record for programs" },
	{ "edge epollout", "an idle connection that fills a processor" },
	{ 0 },
};

/* With the experiment's defaults. */
static void complete(struct options *o)
{
	const struct experiment *x = o->x;
	if (o->bytes != 0 && x->bytes_max == 0)
		args_misuse("--bytes is not for %s", x->name);
	if (o->bytes > x->bytes_max)
		args_misuse("--bytes: %s takes at most %" PRIu64 " of them", x->name, x->bytes_max);
	if (o->number != 0 && x->number == 0)
		args_misuse("--number is for request and accept");
	if (o->trigger < 0)
		o->trigger = (int)x->trigger;
	if (o->bytes == 0)
		o->bytes = x->bytes;
	if (o->number == 0)
		o->number = x->number;
}

static struct options parse_options(int argc, char **argv)
{
	static const char *const trigger_choices[] = { "level", "edge", NULL };
	const uint64_t day_ns = UINT64_C(24) * 3600 * NS_PER_S;
	struct options o = {
		.trigger = -1,
		.read_len = 1024,
		.time_ns = 500 * NS_PER_MS,
		.patience_ns = 100 * NS_PER_MS,
	};
	/* clang-format off */
	const struct arg rows[] = {
		{ '\0', "fixed", ARG_FLAG, &o.fixed, .help = "without the mistake" },
		{ '\0', "trigger", ARG_CHOICE, &o.trigger, .value_name = "KIND", .help = "level or edge; without it edge, and level for "
		  "epollout", .choices = trigger_choices },
		{ '\0', "bytes", ARG_SIZE, &o.bytes, 1, 1 << 30, "SIZE", "what arrives at once (stuck 100000, request 3000; at most "
		  "128K), or the answer of epollout (1M)" },
		{ '\0', "read", ARG_SIZE, &o.read_len, 1, 1 << 20, "SIZE", "stuck and request: the buffer of a recv(2)" },
		{ 'n', "number", ARG_COUNT, &o.number, 1, 1000, "COUNT", "requests (20 unless given), or clients of accept (10)" },
		{ '\0', "time", ARG_DURATION, &o.time_ns, 1, day_ns, "D", "epollout: how long there is nothing to do" },
		{ '\0', "patience", ARG_DURATION, &o.patience_ns, 1, day_ns, "D", "the others end when nothing happened for so long" },
		{ '\0', "json", ARG_FLAG, &o.json, .help = "one JSON object a line on standard output" },
		{ 0 },
	};
	/* clang-format on */
	const struct arg_spec spec = {
		.tool = "edge",
		.one_line = "shows what level- and edge-triggered epoll tell a program, and what they do not",
		.synopsis = synopsis,
		.about = about,
		.args = rows,
		.examples = examples,
		.see_also = "tcplab(1), epoll(7), epoll_ctl(2). Each figure explained: docs/tools/edge.md.",
	};
	o.x = STAGE_CHOOSE(argv + args_parse(&spec, argc, argv), experiments);
	complete(&o);
	return o;
}

int main(int argc, char **argv)
{
	diag_tool = "edge";
	setvbuf(stdout, NULL, _IOLBF, 0);
	struct options o = parse_options(argc, argv);
	sig_open();
	sig_let_in(true); /* into epoll_wait, above all */
	os_raise_fd_limit();

	struct findings f = { 0 };
	report_start(&o, o.fixed ? o.x->how_fixed : o.x->how);
	o.x->run(&o, &f);
	report_total(&o, &f);
	return record_finish(sig_exit_status(0));
}
