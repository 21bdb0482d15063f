/* client.c - one run, seen from the end that connects: agree with the receiver, start a thread for each connection,
 * watch them until all have ended. What comes out is a struct run full of flows; report.c makes sense of it.
 *
 *     run_open    connect; hello and answer where the run needs them        (or the plain session header)
 *     run_go      GO on every connection, threads; intervals and signals until the last flow has ended
 *     run_close   */
#include "ttcp.h"

#include "clock.h"
#include "diag.h"
#include "mem.h"
#include "prng.h"
#include "record.h"
#include "sig.h"
#include "wire.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

static const uint64_t CONNECT_NS = UINT64_C(10) * NS_PER_S;
static const uint64_t ANSWER_NS = UINT64_C(3) * NS_PER_S; /* an old receiver closes at once, it does not keep silent */
static const uint64_t IDLE_PROBE_NS = UINT64_C(500) * NS_PER_MS;
static const uint64_t GRACE_NS = UINT64_C(3) * NS_PER_S; /* after SIGINT, for the last blocks and the tallies */

/* --- the plan ---------------------------------------------------------------------------------------------------- */

static bool needs_agreement(const struct options *o)
{
	return o->mode == MODE_STREAM || o->reverse || o->bidir || o->verify || o->time_ns != 0 || o->omit_ns != 0 ||
	       o->probe || o->sweep;
}

static bool likes_agreement(const struct options *o)
{
	return o->verbose || o->streams > 1 || o->depth > 1;
}

static size_t flow_count(const struct options *o)
{
	return (size_t)o->streams * (o->bidir ? 2 : 1);
}

struct plan client_plan(const struct options *o)
{
	struct plan p = {
		.negotiated = o->mode != MODE_RAW && (needs_agreement(o) || likes_agreement(o)),
		.role = o->reverse ? ROLE_RECEIVE : ROLE_SEND,
		.mode = (enum ttcp_mode)o->mode,
		.verify = o->verify,
		.connections = (uint16_t)(flow_count(o) + (o->probe ? 1 : 0)),
		.session = prng_word((uint64_t)clk_real_ns(), (uint64_t)getpid()),
		.seed = o->seed != 0 ? o->seed : prng_word((uint64_t)clk_real_ns(), 1),
		.length = (uint32_t)o->length,
		.depth = (uint32_t)o->depth,
		.blocks = o->blocks,
		.time_ns = o->time_ns,
		.omit_ns = o->omit_ns,
		.rate_Bps = o->socket.pacing_Bps,
		.write_len = (uint32_t)o->write_len,
	};
	if (o->socket.congestion != NULL)
		snprintf(p.congestion, sizeof(p.congestion), "%s", o->socket.congestion);
	return p;
}

/* --- connecting -------------------------------------------------------------------------------------------------- */

static int fail_peer(struct run *r, int error, const char *op)
{
	errno = error;
	return net_fail(&r->error, op, r->peer);
}

static int fail_agreement(struct run *r, int error, const char *reason)
{
	fail_peer(r, error, "agree with");
	r->error.reason = reason;
	return -1;
}

static int fail_plain_only(struct run *r)
{
	/* A SOCKS server that grants before it has connected has no other way to say that it could not. */
	if (r->o->socks.version != 0)
		return fail_agreement(r, EPROTONOSUPPORT,
				      "the connection ended instead of an answer: it speaks only the course's plain "
				      "format, or the SOCKS server granted a connection that it did not have");
	return fail_agreement(r, EPROTONOSUPPORT,
			      "it speaks only the course's plain format, and --mode stream, --time, --omit, "
			      "--verify, --reverse, --bidir, --probe and --sweep need more");
}

/* The address that answered is the one for all connections of the run. */
static void remember_peer(struct run *r, int fd)
{
	char text[ADDR_TEXT];
	const struct options *o = r->o;
	if (addr_of_peer(fd, &r->first_hop[0]) == 0)
		r->n_first_hop = 1;
	if (o->socks.version != 0)
		socks_host_text(o->host, (uint16_t)o->port, r->peer);
	else
		snprintf(r->peer, sizeof(r->peer), "%s", addr_text(&r->first_hop[0], text));
}

static int connect_socket(struct run *r)
{
	struct addr from_list[ADDR_MAX];
	const struct options *o = r->o;
	struct socks_hop first = socks_first_hop(&o->socks, o->host, (uint16_t)o->port);
	int family = o->ipv4 ? AF_INET : o->ipv6 ? AF_INET6 : AF_UNSPEC;
	if (r->n_first_hop == 0) {
		int n = addr_resolve(first.host, first.port, family, r->first_hop, ADDR_MAX, &r->error);
		if (n < 0)
			return -1;
		r->n_first_hop = (size_t)n;
	}
	if (o->bind != NULL && addr_resolve(o->bind, 0, family, from_list, ADDR_MAX, &r->error) < 0)
		return -1;
	/* What shapes the sending goes to the end that sends: in reverse the hello carries it there. */
	struct sock_options mine = o->socket;
	if (o->reverse) {
		mine.congestion = NULL;
		mine.pacing_Bps = 0;
	}
	struct io_until until = { .deadline_ns = clk_mono_ns() + CONNECT_NS, .cancel = sig_flag() };
	int fd = sock_connect(r->first_hop, r->n_first_hop, o->bind != NULL ? from_list : NULL, &mine, &until,
			      &r->error);
	if (fd < 0)
		return -1;
	remember_peer(r, fd);
	if (socks_ask(fd, &o->socks, o->host, (uint16_t)o->port, &until, &r->error) == 0) {
		if (io_tick(fd) == 0)
			return fd;
		fail_peer(r, errno, "set timeout");
	}
	close(fd);
	return -1;
}

enum agreement { AGREED, PLAIN_ONLY, FAILED };

/* Says hello and reads the answer. PLAIN_ONLY: the other end closed or reset instead, as an old receiver does. */
static enum agreement say_hello(struct run *r, int fd, const struct plan *plan)
{
	unsigned char hello[SESSION_LEN + HELLO_LEN], bytes[ANSWER_LEN];
	enum answer answer;
	struct io_until until = { .deadline_ns = clk_mono_ns() + ANSWER_NS, .cancel = sig_flag() };
	wire_put_hello(hello, plan);
	int put = io_write_full(fd, hello, sizeof(hello), &until);
	int got = put == 0 ? io_read_full(fd, bytes, sizeof(bytes), &until) : -1;
	if (got == 0 || (got < 0 && (errno == ECONNRESET || errno == EPIPE)))
		return PLAIN_ONLY;
	if (got < 0) {
		fail_peer(r, errno, "wait for the answer of");
		return FAILED;
	}
	if (!wire_get_answer(bytes, &answer)) {
		fail_agreement(r, EPROTO, "what listens there is no ttcp receiver");
		return FAILED;
	}
	if (answer == ANSWER_OK)
		return AGREED;
	fail_agreement(r, answer == ANSWER_TOO_LONG ? EMSGSIZE : EPROTO, wire_answer_text(answer));
	return FAILED;
}

static int say_plain(struct run *r, int fd)
{
	unsigned char session[SESSION_LEN];
	struct io_until until = { .deadline_ns = clk_mono_ns() + ANSWER_NS, .cancel = sig_flag() };
	wire_put_session(session, (uint32_t)r->plan.blocks, r->plan.length);
	return io_write_full(fd, session, sizeof(session), &until) < 0 ? fail_peer(r, errno, "send session header to")
								       : 0;
}

/* One connection with everything said that comes before the first block. */
static int open_connection(struct run *r, enum ttcp_role role)
{
	struct plan plan = r->plan;
	plan.role = role;
	int fd = connect_socket(r);
	if (fd < 0 || plan.mode == MODE_RAW)
		return fd;
	if (!plan.negotiated) {
		if (say_plain(r, fd) == 0)
			return fd;
		close(fd);
		return -1;
	}
	switch (say_hello(r, fd, &plan)) {
	case AGREED:
		return fd;
	case PLAIN_ONLY:
		close(fd);
		if (needs_agreement(r->o))
			return fail_plain_only(r);
		r->fell_back = true;
		r->plan.negotiated = false;
		return open_connection(r, role);
	default:
		close(fd);
		return -1;
	}
}

static void init_flow(struct run *r, struct flow *f, int fd, enum ttcp_role role)
{
	f->fd = fd;
	f->plan = r->plan;
	f->plan.role = role;
	f->timeout_ns = r->o->timeout_ns != 0 ? r->o->timeout_ns : CLK_NEVER;
	f->file = r->o->file;
	f->sendfile = r->o->sendfile;
	f->raw_bytes = r->o->mode == MODE_RAW ? r->o->bytes : 0;
	f->low_water = low_water(&r->o->socket);
	f->stop = &r->stop;
	f->abandon = &r->abandon;
}

static int open_probe(struct run *r)
{
	int fd = open_connection(r, ROLE_PROBE);
	if (fd < 0)
		return -1;
	r->probe = xcalloc(1, sizeof(*r->probe));
	*r->probe = (struct probe){ .fd = fd, .interval_ns = r->o->probe_interval_ns, .abandon = &r->abandon };
	return 0;
}

static int open_all(struct run *r)
{
	for (size_t i = 0; i < r->n_flows; i++) {
		enum ttcp_role role = r->o->bidir && i % 2 == 1 ? ROLE_RECEIVE : r->plan.role;
		int fd = open_connection(r, role);
		if (fd < 0)
			return -1;
		init_flow(r, &r->flows[i], fd, role);
	}
	/* A fall-back in mid-way leaves connections that were agreed on differently: all or none. */
	for (size_t i = 0; i < r->n_flows; i++)
		if (r->flows[i].plan.negotiated != r->plan.negotiated)
			return fail_plain_only(r);
	return r->o->probe ? open_probe(r) : 0;
}

int run_open(struct run *r, const struct options *o, const struct plan *plan)
{
	*r = (struct run){ .o = o, .plan = *plan, .n_flows = flow_count(o) };
	r->flows = xcalloc(r->n_flows, sizeof(r->flows[0]));
	r->threads = xcalloc(r->n_flows, sizeof(r->threads[0]));
	for (size_t i = 0; i < r->n_flows; i++)
		r->flows[i].fd = -1;
	r->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (r->event_fd < 0)
		return net_fail(&r->error, "open", "eventfd");
	sig_let_in(true);
	int rc = open_all(r);
	sig_let_in(false);
	return rc;
}

/* --- running ----------------------------------------------------------------------------------------------------- */

struct flow_thread {
	struct flow *flow;
	int event_fd;
};

static void *flow_main(void *arg)
{
	struct flow_thread t = *(struct flow_thread *)arg;
	free(arg);
	os_thread_name(t.flow->plan.role == ROLE_SEND ? "ttcp-send" : "ttcp-receive");
	if (t.flow->plan.role == ROLE_SEND)
		flow_send(t.flow);
	else
		flow_receive(t.flow);
	if (eventfd_write(t.event_fd, 1) < 0)
		warnf_errno("eventfd");
	return NULL;
}

static void *probe_main(void *arg)
{
	os_thread_name("ttcp-probe");
	probe_measure(arg);
	return NULL;
}

/* GO on every connection: the clock starts at both ends. */
static void say_go(struct run *r)
{
	unsigned char go[HEADER_LEN];
	be32_put(go, WIRE_GO);
	for (size_t i = 0; i < r->n_flows && r->plan.negotiated; i++) {
		struct io_until until = { .deadline_ns = clk_mono_ns() + ANSWER_NS, .cancel = NULL };
		if (io_write_full(r->flows[i].fd, go, sizeof(go), &until) < 0)
			tracef("GO: %s", errno_name(errno)); /* the flow itself reports the dead connection */
	}
}

static int start_thread(pthread_t *thread, void *(*entry)(void *), void *arg)
{
	int error = pthread_create(thread, NULL, entry, arg);
	if (error == 0)
		return 0;
	errno = error;
	return -1;
}

static bool all_finished(const struct run *r)
{
	for (size_t i = 0; i < r->n_flows; i++)
		if (!atomic_load(&r->flows[i].finished))
			return false;
	return true;
}

/* Watches until the last flow has ended: prints the intervals, and turns signals into stop (the first) and abandon (the
 * second, or when the ends do not settle in time). */
static void watch(struct run *r)
{
	struct interval *interval = r->o->interval_ns != 0 && !r->o->sweep ? interval_start(r) : NULL;
	uint64_t next_ns = interval != NULL ? clk_mono_ns() + r->o->interval_ns : CLK_NEVER;
	uint64_t give_up_ns = CLK_NEVER;
	while (!all_finished(r)) {
		int times = 0;
		/* Before the wait: the signal may have come while we connected, or in the idle stage of the probe. */
		if (sig_pending(&times) != 0 && !atomic_load(&r->stop)) {
			atomic_store(&r->stop, true);
			give_up_ns = clk_mono_ns() + GRACE_NS;
		}
		if (times > 1 || clk_mono_ns() >= give_up_ns) {
			atomic_store(&r->abandon, true);
			give_up_ns = CLK_NEVER;
		}
		struct pollfd event = { .fd = r->event_fd, .events = POLLIN };
		eventfd_t n;
		int ready = sig_wait(&event, 1, next_ns < give_up_ns ? next_ns : give_up_ns);
		if (ready > 0 && eventfd_read(r->event_fd, &n) < 0)
			tracef("eventfd: %s", errno_name(errno));
		if (interval != NULL && clk_mono_ns() >= next_ns) {
			interval_tick(interval, r);
			next_ns += r->o->interval_ns;
		}
	}
	interval_free(interval);
}

void run_go(struct run *r)
{
	pthread_t probe_thread;
	atomic_bool loaded = false, probe_stop = false;
	bool probing = false;
	if (r->probe != NULL) {
		r->probe->loaded_now = &loaded;
		r->probe->stop = &probe_stop;
		probing = start_thread(&probe_thread, probe_main, r->probe) == 0;
		/* The idle figures first; a signal ends this wait, too. */
		uint64_t until_ns = clk_mono_ns() + IDLE_PROBE_NS;
		while (clk_mono_ns() < until_ns && sig_pending(NULL) == 0)
			if (sig_wait(NULL, 0, until_ns) < 0)
				break;
	}
	say_go(r);
	atomic_store(&loaded, true);
	size_t started = 0;
	for (; started < r->n_flows; started++) {
		struct flow_thread *t = xmalloc(sizeof(*t));
		*t = (struct flow_thread){ &r->flows[started], r->event_fd };
		if (start_thread(&r->threads[started], flow_main, t) < 0) {
			free(t);
			net_fail(&r->error, "start", "thread");
			atomic_store(&r->abandon, true);
			break;
		}
	}
	if (r->error.op == NULL)
		watch(r);
	for (size_t i = 0; i < started; i++)
		pthread_join(r->threads[i], NULL);
	atomic_store(&probe_stop, true);
	if (probing)
		pthread_join(probe_thread, NULL);
}

void run_close(struct run *r)
{
	for (size_t i = 0; i < r->n_flows; i++)
		if (r->flows[i].fd >= 0)
			close(r->flows[i].fd);
	if (r->probe != NULL)
		close(r->probe->fd);
	if (r->event_fd >= 0)
		close(r->event_fd);
	free(r->probe);
	free(r->flows);
	free(r->threads);
}

/* The first thing that went wrong in a flow, as an error of the run: false if nothing did. A run that was interrupted
 * and abandoned has no error: its report says that it is not confirmed. */
bool run_failed(struct run *r)
{
	for (size_t i = 0; i < r->n_flows && r->error.op == NULL; i++) {
		const struct flow *f = &r->flows[i];
		if (f->error == 0 || (f->error == ECANCELED && sig_pending(NULL) != 0))
			continue;
		if (f->file != NULL && (strcmp(f->failed_op, "open") == 0 || strcmp(f->failed_op, "read") == 0)) {
			errno = f->error;
			net_fail(&r->error, f->failed_op, f->file);
		} else {
			fail_peer(r, f->error, f->failed_op);
		}
	}
	return r->error.op != NULL;
}

int client_run(const struct options *o)
{
	struct run r;
	struct plan plan = client_plan(o);
	int status = 0;
	if (run_open(&r, o, &plan) == 0) {
		report_start(&r);
		run_go(&r);
	}
	if (run_failed(&r)) {
		record_error(o->json, &r.error);
		status = 1;
	} else if (!report_total(&r)) {
		status = 3;
	}
	run_close(&r);
	return sig_exit_status(status);
}
