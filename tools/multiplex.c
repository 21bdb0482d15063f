/* multiplex.c - what does it cost to wait for one of many connections: with select, with poll, with epoll?
 *
 * Try:       multiplex                               10 to 10,000 idle connections, one that becomes ready
 *            multiplex --counts 1000 --active 1000   all of them ready: what is left of the difference?
 * Look for:  how a column grows from row to row.
 * Labs:      40-multiplexing.
 *
 * One round is what an event loop does between two pieces of work: make one connection readable (not timed); then,
 * timed, wait and find it; read it (not timed). The kernel keeps no note of who waits in select(2) and poll(2), so
 * each call hands over all descriptors, asks each of them, and the program looks through all again. epoll(7) is told
 * once, in epoll_ctl(2), and from then on each descriptor puts itself on a list when it becomes ready.
 *
 *	                    select, poll                         epoll
 *	once                                                     epoll_ctl for each of n
 *	each round          copy n in, ask n, copy n out, look   take what is on the list
 *	                    through n
 *
 * A connection here is a TCP connection to itself, from a port to the same port (RFC 9293 3.5, simultaneous open):
 * real to the kernel, and only one descriptor. --kind eventfd does without TCP.
 *
 * This file makes the connections and has the three ways to wait. The table and the chart are in multiplex/report.c. */
#include "multiplex/multiplex.h"

#include "args.h"
#include "clock.h"
#include "diag.h"
#include "mem.h"
#include "os.h"
#include "sig.h"
#include "sock.h"
#include "sort.h"
#include "units.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/select.h>
#include <unistd.h>

enum {
	IDLE_MAX = 1000 * 1000,
	SPARE_FDS = 8,             /* for epoll and what else may be open */
	PORTS_PER_ADDRESS = 10000, /* of about 28,000 that ip_local_port_range usually has (ip(7)) */
};

static const char *const kind_choices[] = { "tcp", "eventfd", NULL };

struct bench {
	const struct multiplex_options *o;
	struct multiplex_table table;

	/* The connections of the row that is being measured: the active ones lie evenly among the idle ones. */
	int *fds;
	size_t n_fds;
	int max_fd;
	struct pollfd *polls;
	struct epoll_event *events;
	int epoll_fd;
	fd_set wanted;
	int error; /* why there were no connections; 0: there were */
};

/* --- the connections ---------------------------------------------------------------------------------------------- */

/* bind(2) to a free port, then connect(2) to the same. The addresses are some of 127.0.0.0/8 that nobody else uses,
 * so that thousands of ports taken there are missed by nobody. */
static int connect_to_itself(size_t i)
{
	uint32_t net = INADDR_LOOPBACK + ((uint32_t)getpid() & 0xffff) * 256;
	struct sockaddr_in in = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(net + (uint32_t)(i / PORTS_PER_ADDRESS)) };
	socklen_t len = sizeof(in);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
	if (fd < 0)
		return -1;
	/* WHY: the next eight bytes would wait for the delayed ACK of the last ones (Nagle, RFC 9293 3.7.4). */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&in, len) == 0 && getsockname(fd, (struct sockaddr *)&in, &len) == 0 &&
	    connect(fd, (struct sockaddr *)&in, len) == 0)
		return fd;
	int saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

/* WHY abort: thousands of plain closes would leave thousands of ports in TIME-WAIT for a minute. */
static void close_connection(const struct bench *b, int fd)
{
	if (b->o->kind == MULTIPLEX_TCP)
		sock_abort(fd);
	else
		close(fd);
}

static void close_connections(struct bench *b)
{
	while (b->n_fds > 0)
		close_connection(b, b->fds[--b->n_fds]);
}

/* 0, or -1 with the reason in why_not and in b->error. */
static int open_connections(struct bench *b, size_t n, char *why_not, size_t cap)
{
	why_not[0] = '\0';
	b->max_fd = 0;
	if (n + SPARE_FDS > b->table.fd_limit) {
		b->error = EMFILE;
		snprintf(why_not, cap, "%zu descriptors are needed, and the limit is %llu", n + SPARE_FDS,
			 (unsigned long long)b->table.fd_limit);
		return -1;
	}
	b->fds = xrealloc(b->fds, n * sizeof(b->fds[0]));
	for (b->n_fds = 0; b->n_fds < n; b->n_fds++) {
		int fd = b->o->kind == MULTIPLEX_TCP ? connect_to_itself(b->n_fds)
						     : eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (fd < 0) {
			b->error = errno;
			snprintf(why_not, cap, "connection %zu: %s (%s)", b->n_fds + 1, strerror(b->error),
				 errno_name(b->error));
			close_connections(b);
			return -1;
		}
		b->fds[b->n_fds] = fd;
		b->max_fd = fd > b->max_fd ? fd : b->max_fd;
	}
	return 0;
}

/* Which of the connections is the k-th active one. */
static int active_fd(const struct bench *b, uint64_t k)
{
	return b->fds[(size_t)((double)b->n_fds * ((double)k + 0.5) / (double)b->o->active)];
}

static bool wait_readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	return poll(&p, 1, -1) > 0 || errno == EINTR;
}

/* An eventfd takes and gives eight bytes, and so do the TCP connections here. */
static void make_ready(const struct bench *b)
{
	const uint64_t one = 1;
	for (uint64_t k = 0; k < b->o->active; k++) {
		int fd = active_fd(b, k);
		if (write(fd, &one, sizeof(one)) != sizeof(one) || !wait_readable(fd))
			die_errno("write to connection %llu", (unsigned long long)k);
	}
}

static void make_idle(int fd)
{
	uint64_t taken;
	if (read(fd, &taken, sizeof(taken)) != sizeof(taken))
		die_errno("read from a connection that was reported ready");
}

/* --- one round: three ways to wait, and to find who is ready ------------------------------------------------------ */

/* Each returns how many were ready, with these descriptors in found (room for all active ones); 0 after a signal. */
typedef size_t round_fn(struct bench *b, int *found);

/* The set is an array of FD_SETSIZE bits and the descriptor is the index. select overwrites it, so it is copied each
 * time.
 * PITFALL: FD_SET on a descriptor of FD_SETSIZE (1024) or more writes behind the array (select(2)); nothing in the
 * call can tell. A server that uses select and has no check, as in can_select(), is corrupted by its 1,021st client. */
static size_t round_select(struct bench *b, int *found)
{
	fd_set ready = b->wanted;
	size_t n = 0;
	int left = select(b->max_fd + 1, &ready, NULL, NULL, NULL);
	for (size_t i = 0; left > 0 && i < b->n_fds; i++) {
		if (FD_ISSET(b->fds[i], &ready)) {
			found[n++] = b->fds[i];
			left--;
		}
	}
	return n;
}

/* PITFALL: not wrong, and cheap with ten; but the array of all goes into the kernel and is looked through here in
 * each round, so that the cost of an event grows with the connections that have none. */
static size_t round_poll(struct bench *b, int *found)
{
	size_t n = 0;
	int left = poll(b->polls, (nfds_t)b->n_fds, -1);
	for (size_t i = 0; left > 0 && i < b->n_fds; i++) {
		if (b->polls[i].revents != 0) {
			found[n++] = b->polls[i].fd;
			left--;
		}
	}
	return n;
}

static size_t round_epoll(struct bench *b, int *found)
{
	int ready = epoll_wait(b->epoll_fd, b->events, (int)b->o->active, -1);
	for (int i = 0; i < ready; i++)
		found[i] = b->events[i].data.fd;
	return ready > 0 ? (size_t)ready : 0;
}

/* --- getting ready for the rounds --------------------------------------------------------------------------------- */

static bool can_select(const struct bench *b, char *why_not, size_t cap)
{
	if (b->max_fd < FD_SETSIZE)
		return true;
	snprintf(why_not, cap, "an fd_set ends at descriptor %d (FD_SETSIZE), and there is a %d", FD_SETSIZE - 1,
		 b->max_fd);
	return false;
}

/* 0, or -1 with the reason in why_not. */
static int prepare(struct bench *b, enum multiplex_method method, char *why_not, size_t cap)
{
	if (method == MULTIPLEX_SELECT && !can_select(b, why_not, cap))
		return -1;
	FD_ZERO(&b->wanted);
	b->polls = xrealloc(b->polls, b->n_fds * sizeof(b->polls[0]));
	for (size_t i = 0; i < b->n_fds; i++) {
		struct epoll_event e = { .events = EPOLLIN, .data.fd = b->fds[i] };
		if (method == MULTIPLEX_SELECT)
			FD_SET(b->fds[i], &b->wanted);
		if (method == MULTIPLEX_POLL)
			b->polls[i] = (struct pollfd){ .fd = b->fds[i], .events = POLLIN };
		if (method == MULTIPLEX_EPOLL && epoll_ctl(b->epoll_fd, EPOLL_CTL_ADD, b->fds[i], &e) < 0) {
			snprintf(why_not, cap, "epoll_ctl: %s (%s)", strerror(errno), errno_name(errno));
			return -1;
		}
	}
	return 0;
}

/* Rounds for --time, ten of them at least, or until a signal comes. */
static void measure(struct bench *b, enum multiplex_method method, struct multiplex_cell *c)
{
	static round_fn *const rounds[] = { round_select, round_poll, round_epoll };
	enum { LEAST_ROUNDS = 10 };
	int *found = xcalloc(b->o->active, sizeof(*found));
	uint64_t end_ns = clk_mono_ns() + b->o->time_ns;
	sig_let_in(true);
	while ((c->round.n < LEAST_ROUNDS || clk_mono_ns() < end_ns) && sig_pending(NULL) == 0) {
		make_ready(b);
		uint64_t begin_ns = clk_mono_ns();
		size_t n = rounds[method](b, found);
		uint64_t took_ns = clk_mono_ns() - begin_ns;
		tracef("%s: %zu of %zu are ready, %llu ns", multiplex_method_name(method), n, b->n_fds,
		       (unsigned long long)took_ns);
		if (n != b->o->active && sig_pending(NULL) == 0)
			die("%s: %zu are ready and not %llu", multiplex_method_name(method), n,
			    (unsigned long long)b->o->active);
		for (size_t i = 0; i < n; i++)
			make_idle(found[i]);
		if (n == b->o->active)
			hist_add(&c->round, took_ns);
	}
	sig_let_in(false);
	free(found);
}

/* One row of the table: the same connections for all methods. */
static void measure_row(struct bench *b, uint64_t n_idle, struct multiplex_cell row[MULTIPLEX_METHODS])
{
	char why_not[sizeof(row[0].why_not)];
	bool there = open_connections(b, n_idle + b->o->active, why_not, sizeof(why_not)) == 0;
	for (enum multiplex_method m = 0; m < MULTIPLEX_METHODS; m++) {
		struct multiplex_cell *c = &row[m];
		if (!there)
			memcpy(c->why_not, why_not, sizeof(why_not));
		else if (prepare(b, m, c->why_not, sizeof(c->why_not)) == 0)
			measure(b, m, c);
	}
	close_connections(b); /* which takes them out of the epoll set, too (epoll(7) Q6) */
}

/* --- main --------------------------------------------------------------------------------------------------------- */

/* "10,1000": in ascending order. */
static size_t parse_counts(const char *text, uint64_t out[static MULTIPLEX_COUNTS])
{
	size_t n = 0;
	for (bool more = true; more; n++) {
		char word[24];
		size_t len = strcspn(text, ",");
		snprintf(word, sizeof(word), "%.*s", (int)len, text);
		if (n == MULTIPLEX_COUNTS || len >= sizeof(word) || !units_parse_count(word, &out[n]) || out[n] < 1 ||
		    out[n] > IDLE_MAX)
			args_misuse("--counts: '%.*s' does not fit (at most %d numbers, each 1 to %d)", (int)len, text,
				    MULTIPLEX_COUNTS, IDLE_MAX);
		more = text[len] == ',';
		text += len + 1;
	}
	sort_u64(out, n);
	return n;
}

static int run(const struct multiplex_options *o)
{
	struct bench b = { .o = o };
	struct multiplex_table *t = &b.table;
	t->n_counts = parse_counts(o->counts, t->counts);
	t->fd_limit = os_raise_fd_limit();
	b.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (b.epoll_fd < 0)
		return multiplex_fail(o, "epoll_create1", "the set");
	t->cells = xcalloc(t->n_counts, sizeof(t->cells[0]));
	b.events = xcalloc(o->active, sizeof(b.events[0]));
	uint64_t start_ns = clk_mono_ns();
	multiplex_print_start(o, t);
	for (size_t i = 0; i < t->n_counts && sig_pending(NULL) == 0; i++) {
		measure_row(&b, t->counts[i], t->cells[i]);
		multiplex_print_row(o, t, i);
	}
	int status = 0;
	errno = b.error;
	if (multiplex_count_measured(t) > 0 || sig_pending(NULL) != 0)
		multiplex_print_total(o, t, clk_mono_ns() - start_ns);
	else
		status = multiplex_fail(o, "open", t->cells[0][0].why_not);
	close(b.epoll_fd);
	free(b.fds);
	free(b.polls);
	free(b.events);
	free(t->cells);
	return status;
}

static const char *const synopsis[] = { "[--counts LIST] [--active N] [options]", NULL };

static const char *const about[] = {
	"multiplex measures what one round of an event loop costs with select(2), poll(2) and epoll(7): to wait, and to find the "
	"connections that are ready among many that are not. The idle connections do nothing at all; with select and poll they are "
	"paid for in each round all the same.",
	"What the limit of open descriptors does not allow, and what select cannot do, is left out, with the reason.",
	NULL,
};

static const struct arg_example examples[] = {
	{ "multiplex", "10 to 10,000 idle connections: a table and a chart" },
	{ "multiplex --counts 1000 --active 1000", "all of them ready in each round" },
	{ "multiplex --kind eventfd --counts 10,10000", "the same without TCP" },
	{ 0 },
};

static struct multiplex_options opt = { .counts = "10,100,1000,10000", .active = 1, .time_ns = 100 * NS_PER_MS };

/* clang-format off */
static const struct arg rows[] = {
	{ 'c', "counts", ARG_STR, &opt.counts, .value_name = "LIST", .help = "how many idle connections, a row for each number" },
	{ 'a', "active", ARG_COUNT, &opt.active, 1, IDLE_MAX, "N", "how many more become ready in each round" },
	{ 'k', "kind", ARG_CHOICE, &opt.kind, .value_name = "KIND", .help = "what stands for a connection: tcp, a connection to "
	  "itself; or eventfd", .choices = kind_choices },
	{ '\0', "time", ARG_DURATION, &opt.time_ns, 1, 0, "D", "measure each cell of the table for so long (10 rounds at least)" },
	{ '\0', "json", ARG_FLAG, &opt.json, .help = "one JSON object a line on standard output" },
	{ 0 },
};
/* clang-format on */

static const struct arg_spec spec = {
	.tool = "multiplex",
	.one_line = "measures what waiting for one of many connections costs with select, poll and epoll",
	.synopsis = synopsis,
	.about = about,
	.args = rows,
	.examples = examples,
	.see_also = "tcplab(1), select(2), poll(2), epoll(7). The experiment: labs/40-multiplexing.",
};

int main(int argc, char **argv)
{
	diag_tool = "multiplex";
	setvbuf(stdout, NULL, _IOLBF, 0);
	int first = args_parse(&spec, argc, argv);
	if (first < argc)
		args_misuse("no operand is expected: '%s'", argv[first]);
	sig_open();
	int status = run(&opt);
	if (fflush(stdout) != 0 || ferror(stdout))
		die("cannot write the report to standard output");
	return sig_exit_status(status);
}
