/* footprint - what a connection costs that does nothing: the kernel's memory, and the program's.
 *
 * Try:       footprint 1000                     a server with a buffer of 64 KiB for each connection
 *            footprint 1000 --fixed             a server with one buffer, for whoever has something to say
 *            footprint 1000 --serve thread, footprint 500 --serve process
 *            footprint 1000 --unread 1000       and when something lies there that nobody reads?
 *            footprint 10000 --hold 30s         and look: ss -s, slabtop, free, smem
 * Look for:  PITFALL below. As root: what a connection is made of, cache by cache.
 * Labs:      none of its own.
 *
 * Both ends are on loopback, in processes of their own, so that each of these has its own limit of descriptors and its
 * own memory:
 *
 *     footprint ----- server 1 ====== client 1      up to 20000 connections for each such pair
 *        |  |  `----- server 2 ====== client 2      (or as many as a process may have descriptors)
 *        |  |
 *        |  `-- /proc: slabinfo (root), meminfo, net/sockstat; smaps_rollup of each of them
 *        `----- SO_MEMINFO of each of the server's sockets, by way of the server
 *
 * It opens connections in small lots, one lot after the other, never more than a backlog holds; and as many as
 * descriptors and memory allow, with half of the memory left to others. The ends close by reset (linger 0), so that
 * nothing is left in TIME-WAIT. The children die with their parent, whatever it dies of: by a signal of the kernel's
 * (PR_SET_PDEATHSIG, prctl(2)), and by the end of their control socket.
 *
 * The chapters: the processes that hold connections, orders to them, the story, options and main here;
 * footprint/kernel.c, what the kernel tells; footprint/report.c.
 *
 * LIMIT: what /proc/meminfo says is of the whole machine, and whatever else goes on is in it. slabinfo, too; but nobody
 * else opens a thousand sockets at this moment. A memory limit of a container is not looked at. */
#include "addr.h"
#include "args.h"
#include "clock.h"
#include "diag.h"
#include "mem.h"
#include "os.h"
#include "record.h"
#include "sig.h"
#include "sock.h"
#include "units.h"

#include "footprint/footprint.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	BUFFER = 64 * 1024,
	MESSAGE = 100,    /* what each client says once */
	LOT = 64,         /* connections at a time: fewer than a backlog holds, which was 128 on old kernels */
	PAIR_MAX = 20000, /* the kernel has about 28000 ports for connections to one address */
	NUMBER_MAX = 200000,
	SPARE_FDS = 64,
	JUDGE_FROM = 100, /* connections; with fewer of them a page here and there decides */
	UNREAD_MAX = 1024 * 1024,
};

const char *const footprint_serving_names[] = { "buffer", "thread", "process", NULL };

/* How many a way of serving is tried with at most, and about how much memory it takes for each of them. */
static const struct {
	uint64_t most, bytes;
} serving_costs[] = {
	[BUFFERS] = { NUMBER_MAX, BUFFER + 16 * 1024 },
	[THREADS] = { 5000, 64 * 1024 },
	[PROCESSES] = { 1000, 512 * 1024 },
};

/* --- the processes that hold connections ------------------------------------------------------------------------- */

/* What the parent says to one of them, and hears from it. */
struct order {
	enum what { OPEN, SAY, MEASURE } what;
	uint64_t n;
};
struct answer {
	uint64_t n; /* connections, or bytes that were sent */
	int error;  /* why it is not all of them */
	uint64_t received, queued, ahead;
};

struct holder {
	const struct footprint_options *o;
	int control, listen_fd; /* listen_fd: of a server */
	struct addr server;     /* where it listens */
	unsigned char *buffer;  /* the one for all */
	struct held {
		int fd;
		unsigned char *buffer;
	} * held;
	size_t n, room;
};

static struct held *keep(struct holder *h, int fd)
{
	if (h->n == h->room)
		h->held = xrealloc(h->held, (h->room = 2 * h->room + LOT) * sizeof(*h->held));
	h->held[h->n] = (struct held){ .fd = fd };
	return &h->held[h->n++];
}

/* The client's message; then its silence. */
static int read_message(int fd, unsigned char *into, size_t room)
{
	ssize_t n = 0;
	for (size_t got = 0; got < MESSAGE; got += (size_t)n) {
		if ((n = recv(fd, into, room, 0)) <= 0)
			return n == 0 ? ECONNRESET : errno;
	}
	return 0;
}

/* A thread or a process that serves one connection, as it is written in every book. It never ends by itself. */
static void *serve_one(void *arg)
{
	unsigned char buffer[4096];
	int fd = (int)(intptr_t)arg;
	int error = read_message(fd, buffer, sizeof(buffer));
	tracef("recv(%d): %s", fd, error != 0 ? errno_name(error) : "the message");
	/* The next recv(2) would do the same, which is to wait; but it would read what --unread is about. */
	while (pause() < 0)
		;
	return NULL;
}

static void die_with(pid_t parent)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
		_exit(1);
}

static int serve_by_process(struct holder *h, int fd)
{
	pid_t parent = getpid(), pid = fork();
	if (pid == 0) {
		die_with(parent);
		close(h->control);
		close(h->listen_fd);
		serve_one((void *)(intptr_t)fd);
	}
	int error = pid < 0 ? errno : 0;
	close(fd);
	h->n += pid > 0; /* its number only: the descriptor is the child's */
	return error;
}

/* A new connection. 0, or an errno. */
static int serve_client(struct holder *h, int fd)
{
	if (h->o->serving == PROCESSES)
		return serve_by_process(h, fd);
	struct held *held = keep(h, fd);
	if (h->o->serving == THREADS)
		return os_thread_start(NULL, 8 * 1024 * 1024, serve_one, (void *)(intptr_t)fd);
	/* PITFALL: "each connection has a buffer for what comes in", a member of its struct, or a string that grew to
	 * the longest message ever seen, and is cleared, or was filled once. It costs more than all that the kernel
	 * keeps for the connection, and most connections of a large server say nothing for most of the time. The fix
	 * reads into one buffer that belongs to the thread, and keeps for a connection only what is left over of an
	 * unfinished message: here nothing. */
	if (!h->o->fixed) {
		if ((held->buffer = malloc(BUFFER)) == NULL)
			return ENOMEM;
		memset(held->buffer, 0, BUFFER);
	}
	return read_message(fd, h->o->fixed ? h->buffer : held->buffer, BUFFER);
}

static void accept_lot(struct holder *h, uint64_t n, struct answer *a)
{
	while (a->n < n && a->error == 0) {
		int fd = accept4(h->listen_fd, NULL, NULL, SOCK_CLOEXEC);
		a->error = fd < 0 ? errno : serve_client(h, fd);
		a->n += a->error == 0;
	}
}

static void connect_lot(struct holder *h, uint64_t n, struct answer *a)
{
	const struct linger at_once = { .l_onoff = 1 };
	unsigned char message[MESSAGE] = { 0 };
	while (a->n < n) {
		int fd = socket(h->server.u.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)) < 0 ||
		    connect(fd, &h->server.u.sa, h->server.len) < 0 ||
		    send(fd, message, MESSAGE, MSG_NOSIGNAL) != MESSAGE) {
			a->error = errno;
			if (fd >= 0)
				close(fd);
			return;
		}
		keep(h, fd);
		a->n++;
	}
}

/* What nobody will read. The kernel takes no more than the buffers hold. */
static void say_to_all(struct holder *h, uint64_t len, struct answer *a)
{
	unsigned char *bytes = xcalloc(1, len);
	for (size_t i = 0; i < h->n; i++) {
		ssize_t n = send(h->held[i].fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);
		a->n += n > 0 ? (uint64_t)n : 0;
	}
	free(bytes);
}

/* What the kernel has set aside for each of our sockets, sk_buff and all (SO_MEMINFO: linux/sock_diag.h gives the
 * order). */
static void sum_queues(struct holder *h, struct answer *a)
{
	enum { RECEIVE_ALLOC, RECEIVE_LIMIT, SEND_ALLOC, SEND_LIMIT, FORWARD_ALLOC, SEND_QUEUED };
	uint32_t m[16];
	for (size_t i = 0; i < h->n && h->held != NULL; i++) {
		socklen_t len = sizeof(m);
		memset(m, 0, sizeof(m));
		if (getsockopt(h->held[i].fd, SOL_SOCKET, SO_MEMINFO, m, &len) < 0) {
			a->error = errno;
			return;
		}
		a->received += m[RECEIVE_ALLOC];
		a->queued += m[SEND_QUEUED];
		a->ahead += m[FORWARD_ALLOC];
		a->n++;
	}
}

/* Does as it is told until its parent is gone. */
static _Noreturn void hold(struct holder *h)
{
	struct order order;
	os_raise_fd_limit();
	while (recv(h->control, &order, sizeof(order), 0) == sizeof(order)) {
		struct answer a = { 0 };
		if (order.what == OPEN && h->listen_fd >= 0)
			accept_lot(h, order.n, &a);
		else if (order.what == OPEN)
			connect_lot(h, order.n, &a);
		else if (order.what == SAY)
			say_to_all(h, order.n, &a);
		else
			sum_queues(h, &a);
		tracef("order %d (%" PRIu64 ") = %" PRIu64 ", %s", (int)order.what, order.n, a.n,
		       a.error != 0 ? errno_name(a.error) : "well");
		if (send(h->control, &a, sizeof(a), MSG_NOSIGNAL) != sizeof(a))
			break;
	}
	_exit(0);
}

/* --- orders ------------------------------------------------------------------------------------------------------ */

static struct footprint_child start_holder(const struct footprint *story, struct holder *h)
{
	int ends[2];
	pid_t parent = getpid();
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		stage_fail_errno(&story->o->stage, "socketpair", "to a child");
	pid_t pid = fork();
	if (pid < 0)
		stage_fail_errno(&story->o->stage, "fork", "a child");
	if (pid == 0) {
		die_with(parent);
		/* WHY: a copy of the parent's end, here or in one of the others, would keep a child alive whose parent
		 * is gone. */
		close(ends[0]);
		for (size_t i = 0; i <= story->n && i < FOOTPRINT_PAIRS; i++) {
			close(story->pairs[i].server.control);
			close(story->pairs[i].client.control);
		}
		h->control = ends[1];
		hold(h);
	}
	close(ends[1]);
	return (struct footprint_child){ .pid = pid, .control = ends[0] };
}

static void start_pair(struct footprint *story, uint64_t room)
{
	const struct footprint_options *o = story->o;
	struct sock_options none = { 0 };
	struct net_error e = { 0 };
	struct footprint_pair *p = &story->pairs[story->n];
	struct holder h = { .o = o, .buffer = xmalloc(BUFFER) };
	*p = (struct footprint_pair){ .server.control = -1, .client.control = -1, .room = room };
	memset(h.buffer, 0, BUFFER);
	h.listen_fd = sock_serve(o->stage.ipv6 ? "::1" : "127.0.0.1", 0, stage_family(&o->stage), &none, &h.server, &e);
	if (h.listen_fd < 0)
		stage_fail(&o->stage, &e);
	p->server = start_holder(story, &h);
	close(h.listen_fd);
	h.listen_fd = -1;
	p->client = start_holder(story, &h);
	free(h.buffer);
	story->n++;
}

/* One order, and its answer. False: a signal came, or the child has died (errno). */
static bool tell(const struct footprint *story, const struct footprint_child *c, enum what what, uint64_t n,
		 struct answer *a)
{
	struct order order = { .what = what, .n = n };
	if (send(c->control, &order, sizeof(order), MSG_NOSIGNAL) == sizeof(order) &&
	    sig_wait_fd(c->control, POLLIN, story->o->stage.timeout_ns) == 0) {
		ssize_t len = recv(c->control, a, sizeof(*a), 0);
		if (len == sizeof(*a))
			return true;
		errno = len == 0 ? ECHILD : errno; /* it is dead: somebody was short of memory, perhaps */
	}
	int error = errno;
	shutdown(c->control, SHUT_RDWR); /* a late answer must not be taken for the one to the next order */
	errno = error;
	return false;
}

static bool lot_failed(struct footprint *story, int error)
{
	story->error = error;
	story->limit = "the system";
	return false;
}

/* A lot of connections: the client's ends, then the server's. False: there will be no more. */
static bool open_lot(struct footprint *story, struct footprint_pair *p, uint64_t n)
{
	struct answer client = { 0 }, server = { 0 };
	if (!tell(story, &p->client, OPEN, n, &client) || !tell(story, &p->server, OPEN, client.n, &server))
		return sig_pending(NULL) != 0 ? false : lot_failed(story, errno);
	p->opened += server.n;
	story->opened += server.n;
	if (client.error != 0 || server.error != 0)
		return lot_failed(story, client.error != 0 ? client.error : server.error);
	return sig_pending(NULL) == 0;
}

static void open_all(struct footprint *story)
{
	for (size_t i = 0; i < story->n; i++) {
		struct footprint_pair *p = &story->pairs[i];
		while (p->opened < p->room) {
			if (!open_lot(story, p, p->room - p->opened < LOT ? p->room - p->opened : LOT))
				return;
		}
	}
}

static void say_unread(struct footprint *story)
{
	for (size_t i = 0; i < story->n; i++) {
		struct answer a = { 0 };
		if (tell(story, &story->pairs[i].client, SAY, story->o->unread, &a))
			story->unread += a.n;
	}
}

static void look(const struct footprint *story, struct footprint_snapshot *s)
{
	footprint_look_at_slabs(s);
	footprint_look_at_machine(s);
	s->has_queues = story->o->serving != PROCESSES;
	for (size_t i = 0; i < story->n; i++) {
		struct answer a = { 0 };
		const struct footprint_pair *p = &story->pairs[i];
		s->server_pss += footprint_look_at_process(p->server.pid);
		s->client_pss += footprint_look_at_process(p->client.pid);
		if (!s->has_queues || !tell(story, &p->server, MEASURE, 0, &a) || a.error != 0) {
			s->has_queues = false;
			continue;
		}
		s->received += a.received;
		s->queued += a.queued;
		s->ahead += a.ahead;
	}
}

/* All of them, and their children, which become ours when their parent dies (PR_SET_CHILD_SUBREAPER). */
static void end_all(struct footprint *story)
{
	for (size_t i = 0; i < story->n; i++) {
		struct footprint_pair *p = &story->pairs[i];
		close(p->client.control);
		close(p->server.control);
		kill(p->client.pid, SIGKILL);
		kill(p->server.pid, SIGKILL);
	}
	while (waitpid(-1, NULL, 0) > 0)
		;
}

/* --- the story --------------------------------------------------------------------------------------------------- */

static void limit_to(struct footprint *story, uint64_t most, const char *why)
{
	if (story->wanted > most) {
		story->wanted = most;
		story->limit = why;
	}
}

/* How many, and by how many processes. Half of what there is of memory is for others; of what TCP may have for its
 * buffers (tcp_mem, a tenth of all memory or less) we take a third at most. */
static void plan(struct footprint *story)
{
	const struct footprint_options *o = story->o;
	const uint64_t socket_bytes = 16 * 1024;
	struct footprint_snapshot *now = &story->before;
	footprint_look_at_machine(now);
	story->wanted = o->number;
	limit_to(story, serving_costs[o->serving].most, "the way of serving");
	limit_to(story, now->available / 2 / (socket_bytes + serving_costs[o->serving].bytes + 2 * o->unread),
		 "memory");
	if (o->unread > 0)
		limit_to(story, now->available / 32 / (2 * o->unread + 4096), "memory for buffers");
	if (story->wanted == 0)
		story->error = ENOMEM;
	uint64_t fds = os_raise_fd_limit();
	uint64_t each = fds > 2 * SPARE_FDS ? fds - SPARE_FDS : fds / 2;
	each = each < PAIR_MAX ? each : PAIR_MAX;
	uint64_t pairs = fds > 20 ? (fds - 16) / 2 : 2; /* we have two for each pair, and a few of our own */
	limit_to(story, each * (pairs < FOOTPRINT_PAIRS ? pairs : FOOTPRINT_PAIRS), "descriptors");
	for (uint64_t left = story->wanted, n; left > 0; left -= n) {
		n = left < each ? left : each;
		start_pair(story, n);
	}
}

/* The children have begun when the first answer has come; what they need before that is not the connections'. */
static void run_story(struct footprint *story)
{
	plan(story);
	memset(&story->before, 0, sizeof(story->before));
	look(story, &story->before);
	open_all(story);
	look(story, &story->idle);
	if (story->o->unread > 0 && sig_pending(NULL) == 0) {
		say_unread(story);
		look(story, &story->unread_there);
	}
}

/* Time for others to look. */
static void hold_on(const struct footprint *story)
{
	warnf("%" PRIu64 " connections are held", story->opened);
	if (sig_wait_fd(-1, 0, story->o->hold_ns) < 0)
		tracef("that was %s", errno == ETIMEDOUT ? "the time" : "a signal");
}

static bool is_as_promised(const struct footprint *s)
{
	if (s->o->serving != BUFFERS || s->opened < JUDGE_FROM)
		return true;
	return s->o->fixed ? footprint_server_each(s) < BUFFER / 8 : footprint_server_each(s) > BUFFER - BUFFER / 8;
}

/* --- options and main -------------------------------------------------------------------------------------------- */

static const char *const synopsis[] = {
	"[NUMBER] [--fixed | --serve WAY] [--unread SIZE] [--hold D] [options]",
	NULL,
};

static const char *const about[] = {
	"footprint opens NUMBER connections over loopback (1000 unless given), lets each client say a message of 100 "
	"bytes, and then "
	"nothing more; and tells what the connections cost: the kernel's memory and the programs', divided by their "
	"number.",
	"The server as it is first has a buffer of 64 KiB for each connection; with --fixed it has one for all. "
	"--serve thread and "
	"--serve process show what a thread or a process for each connection takes.",
	"It opens as many as descriptors and memory allow, and says how many those were. No right is needed; root "
	"learns more: what "
	"a connection consists of, from /proc/slabinfo.",
	NULL,
};

static const struct arg_example examples[] = {
	{ "footprint 1000", "a buffer for each" },
	{ "footprint 1000 --fixed", "a buffer for all" },
	{ "footprint 500 --serve process", "a process for each" },
	{ "footprint 1000 --fixed --unread 1000", "what unread bytes take" },
	{ "footprint 10000 --fixed --hold 30s", "time to look: ss -s, slabtop, free" },
	{ 0 },
};

static const struct arg_example statuses[] = {
	{ "3", "with 100 connections or more: no buffer to be seen, or one with --fixed" },
	{ 0 },
};

static struct footprint_options parse_options(int argc, char **argv)
{
	struct footprint_options o = { .stage = { STAGE_DEFAULTS }, .number = 1000 };
	/* clang-format off */
	const struct arg rows[] = {
		{ '\0', "fixed", ARG_FLAG, &o.fixed, .help = "one buffer for all connections" },
		{ '\0', "serve", ARG_CHOICE, &o.serving, .value_name = "WAY", .help = "buffer, thread or process: what each connection has",
		  .choices = footprint_serving_names },
		{ '\0', "unread", ARG_SIZE, &o.unread, 0, UNREAD_MAX, "SIZE", "then let each client say so much that nobody reads" },
		{ '\0', "hold", ARG_DURATION, &o.hold_ns, 0, STAGE_DAY_NS, "D", "keep the connections for so long, to look at them" },
		STAGE_COMMON_ROWS(o.stage),
		{ 0 },
	};
	/* clang-format on */
	const struct arg_spec spec = {
		.tool = "footprint",
		.one_line = "shows what idle connections cost, in the kernel and in a program",
		.synopsis = synopsis,
		.about = about,
		.args = rows,
		.examples = examples,
		.exit_statuses = statuses,
		.see_also = "tcplab(1), tcp(7), proc(5), slabinfo(5). Each figure explained: docs/tools/footprint.md.",
	};
	int first = args_parse(&spec, argc, argv);
	if (first < argc && (!units_parse_count(argv[first], &o.number) || o.number == 0 || o.number > NUMBER_MAX))
		args_misuse("'%s' is no number of connections, 1 to %d", argv[first], NUMBER_MAX);
	if (first + 1 < argc)
		args_misuse("'%s' is too much", argv[first + 1]);
	stage_check_family(&o.stage);
	if (o.fixed && o.serving != BUFFERS)
		args_misuse("--fixed is about the buffers, not for --serve %s", footprint_serving_names[o.serving]);
	return o;
}

int main(int argc, char **argv)
{
	diag_tool = "footprint";
	setvbuf(stdout, NULL, _IOLBF, 0);
	struct footprint_options o = parse_options(argc, argv);
	struct footprint *story = xcalloc(1, sizeof(*story));
	story->o = &o;
	sig_open();
	prctl(PR_SET_CHILD_SUBREAPER, 1);

	footprint_report_start(&o);
	fflush(stdout); /* a child must not inherit what is not written yet */
	run_story(story);
	bool as_promised = is_as_promised(story);
	if (story->opened > 0 || sig_pending(NULL) != 0)
		footprint_report(story, as_promised);
	if (o.hold_ns > 0 && story->opened > 0)
		hold_on(story);
	end_all(story);
	if (story->opened == 0 && sig_pending(NULL) == 0) {
		errno = story->error;
		stage_fail_errno(&o.stage, "open", "a connection");
	}
	free(story);
	return record_finish(sig_exit_status(as_promised ? 0 : 3));
}
