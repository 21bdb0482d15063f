/* server.c - the end that listens: one thread for each connection, so that any number of clients is served at once.
 *
 * The main thread accepts, prints intervals and waits for signals. A connection's thread reads who is there (within a
 * deadline), answers, moves the data with flow.c, prints its line and is gone. Whatever a peer does, it can spoil its
 * own connection only: nothing is allocated before its first bytes made sense, and never more than TTCP_IO after. */
#include "ttcp.h"

#include "clock.h"
#include "diag.h"
#include "mem.h"
#include "record.h"
#include "sig.h"
#include "wire.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

static const uint64_t FIRST_BYTES_NS = UINT64_C(10) * NS_PER_S; /* to say who you are */
static const uint64_t GO_NS = UINT64_C(30) * NS_PER_S;      /* for the client's other connections, and its idle probe */
static const uint64_t PAUSE_NS = UINT64_C(100) * NS_PER_MS; /* when there is no descriptor for a new connection */
static const uint64_t SETTLE_NS = UINT64_C(3) * NS_PER_S;   /* after a signal */
static const uint64_t LATE_NS = UINT64_C(2) * NS_PER_S;     /* -1: for connections that a session announced */
enum { STACK_LEN = 256 * 1024 };

struct server {
	const struct options *o;
	int listen_fd, event_fd; /* event_fd becomes readable when a connection has ended */
	atomic_bool stop, abandon;

	pthread_mutex_t lock; /* guards the rest */
	struct connection *live;
	size_t n_live;
	uint64_t session, expected; /* the first session that made sense: what -1 waits for */
	uint64_t n_served, n_refused, n_session, done_bytes;
	uint64_t first_ns, last_ns; /* when the first one began and the last one ended */
	bool failed, found_bad;
	struct summary total;
};

struct connection {
	struct connection *next;
	struct server *server;
	struct flow flow;
	struct addr peer;
	char peer_text[ADDR_TEXT];
};

/* --- one connection ---------------------------------------------------------------------------------------------- */

/* One line on stderr; the peer finds its connection closed. Returns false, for `return refuse(...)`. */
static bool refuse(struct connection *c, const char *what, const char *why)
{
	warnf("%s: refused: %s%s", c->peer_text, what, why);
	pthread_mutex_lock(&c->server->lock);
	c->server->n_refused++;
	pthread_mutex_unlock(&c->server->lock);
	return false;
}

/* `what` is missing, because the peer closed (got 0), or for the reason in errno. */
static bool refuse_missing(struct connection *c, int got, const char *what)
{
	char why[128];
	if (got == 0)
		snprintf(why, sizeof(why), "it closed before %s", what);
	else if (errno == EPROTO)
		snprintf(why, sizeof(why), "it closed in the middle of %s", what);
	else
		snprintf(why, sizeof(why), "no %s: %s (%s)", what, strerror(errno), errno_name(errno));
	return refuse(c, "", why);
}

static bool set_congestion(struct connection *c, const struct plan *p)
{
	struct sock_options o = { .congestion = p->congestion[0] != '\0' ? p->congestion : NULL,
				  .pacing_Bps = p->rate_Bps };
	struct net_error e;
	return p->role != ROLE_RECEIVE || sock_set(c->flow.fd, &o, &e) == 0;
}

/* Reads the rest of a hello, answers it, and waits for GO. */
static bool agree(struct connection *c, uint32_t hello_len)
{
	const struct options *o = c->server->o;
	int fd = c->flow.fd;
	unsigned char bytes[HELLO_MAX], reply[ANSWER_LEN];
	struct io_until until = { .deadline_ns = clk_mono_ns() + FIRST_BYTES_NS, .cancel = &c->server->stop };
	int got = io_read_full(fd, bytes, hello_len, &until);
	if (got <= 0)
		return refuse_missing(c, got, "its hello");
	enum answer answer = wire_get_hello(bytes, (uint32_t)o->max_length, &c->flow.plan);
	if (answer == ANSWER_OK && !set_congestion(c, &c->flow.plan))
		answer = ANSWER_CONGESTION;
	wire_put_answer(reply, answer);
	if (io_write_full(fd, reply, sizeof(reply), &until) < 0)
		return refuse_missing(c, -1, "reader for our answer");
	if (answer != ANSWER_OK)
		return refuse(c, "", wire_answer_text(answer));
	if (c->flow.plan.role == ROLE_PROBE)
		return true;
	/* WHY: an ACK of GO that is held back would hold back the first block behind it (Nagle meets delayed ACK). */
	int on = 1;
	setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof(on));
	until.deadline_ns = clk_mono_ns() + GO_NS;
	got = io_read_full(fd, bytes, HEADER_LEN, &until);
	if (got <= 0)
		return refuse_missing(c, got, "its GO");
	if (be32_get(bytes) != WIRE_GO)
		return refuse(c, "", "it did not begin as agreed");
	/* From here on the plan says what this end does. */
	c->flow.plan.role = c->flow.plan.role == ROLE_SEND ? ROLE_RECEIVE : ROLE_SEND;
	return true;
}

/* Some foreign first bytes (iperf2's, a TLS client's) pass for a plain session. The length in front of the first block,
 * which has to be the session's, gives them away. */
static bool check_first_block(struct connection *c, const unsigned char first[static SESSION_LEN],
			      const struct io_until *until)
{
	unsigned char header[HEADER_LEN];
	if (c->flow.plan.blocks == 0)
		return true;
	int got = io_read_full(c->flow.fd, header, sizeof(header), until);
	if (got <= 0)
		return refuse_missing(c, got, "its first block");
	if (be32_get(header) != c->flow.plan.length)
		return refuse(c, "not a ttcp sender: its first bytes are those of ", wire_who_is_it(first));
	c->flow.has_header = true;
	return true;
}

/* Reads the first bytes and makes a plan of them. */
static bool meet(struct connection *c)
{
	const struct options *o = c->server->o;
	if (o->mode == MODE_RAW) {
		c->flow.plan = (struct plan){ .role = ROLE_RECEIVE,
					      .mode = MODE_RAW,
					      .length = (uint32_t)o->length,
					      .depth = 1,
					      .connections = 1,
					      .omit_ns = o->omit_ns };
		return true;
	}
	unsigned char first[SESSION_LEN];
	const char *why = "";
	uint32_t hello_len = 0;
	struct io_until until = { .deadline_ns = clk_mono_ns() + FIRST_BYTES_NS, .cancel = &c->server->stop };
	int got = io_read_full(c->flow.fd, first, sizeof(first), &until);
	if (got <= 0)
		return refuse_missing(c, got, "its first bytes");
	switch (wire_get_session(first, (uint32_t)o->max_length, &c->flow.plan, &hello_len, &why)) {
	case FIRST_PLAIN:
		c->flow.plan.role = ROLE_RECEIVE;
		c->flow.plan.verify = o->verify;
		return check_first_block(c, first, &until);
	case FIRST_HELLO:
		return agree(c, hello_len);
	default:
		return refuse(c, "not a ttcp sender: its first bytes are those of ", why);
	}
}

/* -1: is this connection part of the one session to serve? The first that made sense decides. */
static bool join_session(struct connection *c)
{
	struct server *s = c->server;
	pthread_mutex_lock(&s->lock);
	if (s->expected == 0) {
		s->session = c->flow.plan.session;
		s->expected = c->flow.plan.connections;
		s->first_ns = clk_mono_ns();
	}
	bool is_part = s->session == c->flow.plan.session;
	pthread_mutex_unlock(&s->lock);
	return is_part;
}

static void account(struct connection *c, bool is_part)
{
	struct server *s = c->server;
	struct flow *f = &c->flow;
	bool is_probe = f->plan.role == ROLE_PROBE;
	pthread_mutex_lock(&s->lock);
	s->n_served++;
	s->n_session += is_part;
	s->last_ns = clk_mono_ns();
	s->failed = s->failed || f->error != 0;
	if (!is_probe) {
		const struct tally *receiver = f->plan.role == ROLE_SEND ? &f->theirs : &f->mine;
		bool known = f->plan.role == ROLE_RECEIVE || f->have_theirs;
		s->found_bad = s->found_bad || (f->plan.verify && known && receiver->bad_offset != TALLY_ALL_GOOD);
		s->done_bytes += atomic_load(&f->moved);
		summary_add(&s->total, f);
	}
	pthread_mutex_unlock(&s->lock);
}

static void report(struct connection *c)
{
	struct flow *f = &c->flow;
	struct summary *sum = xcalloc(1, sizeof(*sum));
	summary_add(sum, f);
	summary_judge(sum, f->plan.rate_Bps);
	if (f->error != 0)
		warnf("%s: %s: %s (%s) after %llu bytes", c->peer_text, f->failed_op, strerror(f->error),
		      errno_name(f->error), (unsigned long long)f->mine.bytes);
	if (f->plan.verify && sum->have_receiver && sum->bad_offset != TALLY_ALL_GOOD)
		warnf("%s: verification failed: the first wrong byte is at offset %llu", c->peer_text,
		      (unsigned long long)sum->bad_offset);
	pthread_mutex_lock(&c->server->lock); /* one report at a time */
	report_connection(c->server->o, c->peer_text, sum, f->error);
	pthread_mutex_unlock(&c->server->lock);
	free(sum);
}

static void serve(struct connection *c)
{
	struct flow *f = &c->flow;
	if (io_tick(f->fd) < 0 || !meet(c))
		return;
	bool is_part = join_session(c);
	if (f->plan.role == ROLE_PROBE) {
		int on = 1;
		struct io_until until = { .deadline_ns = CLK_NEVER, .cancel = &c->server->stop };
		setsockopt(f->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		if (probe_echo(f->fd, &until) < 0)
			tracef("%s: probe: %s", c->peer_text, errno_name(errno));
	} else if (f->plan.role == ROLE_SEND) {
		flow_send(f);
	} else {
		flow_receive(f);
	}
	if (f->plan.role != ROLE_PROBE)
		report(c);
	account(c, is_part);
}

static void leave(struct connection *c)
{
	struct server *s = c->server;
	pthread_mutex_lock(&s->lock);
	struct connection **at = &s->live;
	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	close(c->flow.fd);
	free(c);
	s->n_live--;
	if (eventfd_write(s->event_fd, 1) < 0)
		warnf_errno("eventfd");
	pthread_mutex_unlock(&s->lock);
}

static void *connection_main(void *arg)
{
	struct connection *c = arg;
	os_thread_name("ttcp-serve");
	serve(c);
	leave(c);
	return NULL;
}

/* --- accepting --------------------------------------------------------------------------------------------------- */

/* Takes fd. */
static void start_connection(struct server *s, int fd, const struct addr *peer)
{
	struct connection *c = xcalloc(1, sizeof(*c));
	c->server = s;
	c->peer = *peer;
	addr_text(peer, c->peer_text);
	c->flow = (struct flow){ .fd = fd,
				 .timeout_ns = s->o->timeout_ns != 0 ? s->o->timeout_ns : CLK_NEVER,
				 .low_water = low_water(&s->o->socket),
				 .stop = &s->stop,
				 .abandon = &s->abandon };
	pthread_attr_t attr;
	pthread_t thread;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_LEN);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_mutex_lock(&s->lock);
	c->next = s->live;
	s->live = c;
	s->n_live++;
	pthread_mutex_unlock(&s->lock);
	int error = pthread_create(&thread, &attr, connection_main, c);
	pthread_attr_destroy(&attr);
	if (error != 0) {
		errno = error;
		warnf_errno("%s: no thread for it", c->peer_text);
		leave(c);
	}
}

/* 0 to go on, or until when the listener is better left alone. */
static uint64_t accept_one(struct server *s)
{
	struct addr peer = { .len = sizeof(peer.u) };
	int fd = accept4(s->listen_fd, &peer.u.sa, &peer.len, SOCK_CLOEXEC);
	tracef("accept4(%d) = %d", s->listen_fd, fd);
	if (fd >= 0) {
		start_connection(s, fd, &peer);
		return 0;
	}
	switch (errno) {
	case EAGAIN:
	case EINTR:
	case ECONNABORTED: /* the peer gave up while it was in the queue */
	case EPROTO:
		return 0;
	default: /* EMFILE, ENFILE, ENOBUFS, ENOMEM: the listener stays readable, so that polling it now would spin */
		warnf_errno("accept: pausing");
		return clk_mono_ns() + PAUSE_NS;
	}
}

/* --- the main thread --------------------------------------------------------------------------------------------- */

static bool is_over(struct server *s)
{
	pthread_mutex_lock(&s->lock);
	bool stopped = atomic_load(&s->stop);
	bool all = s->expected > 0 && s->n_session >= s->expected;
	bool late = s->n_session > 0 && clk_mono_ns() > s->last_ns + LATE_NS;
	bool over = s->n_live == 0 && (stopped || (s->o->one_off && (all || late)));
	pthread_mutex_unlock(&s->lock);
	return over;
}

static uint64_t moved_so_far(struct server *s, size_t *n_live)
{
	pthread_mutex_lock(&s->lock);
	uint64_t bytes = s->done_bytes;
	for (const struct connection *c = s->live; c != NULL; c = c->next)
		bytes += atomic_load(&c->flow.finished) ? 0 : atomic_load(&c->flow.moved);
	*n_live = s->n_live;
	pthread_mutex_unlock(&s->lock);
	return bytes;
}

static void on_signal(struct server *s, uint64_t *settle_ns)
{
	int times = 0;
	if (sig_pending(&times) == 0)
		return;
	if (!atomic_load(&s->stop)) {
		atomic_store(&s->stop, true);
		*settle_ns = clk_mono_ns() + SETTLE_NS;
	}
	if (times > 1 || clk_mono_ns() >= *settle_ns) {
		atomic_store(&s->abandon, true);
		*settle_ns = CLK_NEVER;
	}
}

static void loop(struct server *s)
{
	uint64_t resume_ns = 0, settle_ns = CLK_NEVER, start_ns = clk_mono_ns(), interval_ns = s->o->interval_ns;
	uint64_t next_ns = interval_ns != 0 ? start_ns + interval_ns : CLK_NEVER;
	struct meter meter;
	meter_start(&meter, start_ns, 0);
	while (!is_over(s)) {
		size_t n_live;
		uint64_t now_ns = clk_mono_ns(), bytes = moved_so_far(s, &n_live);
		if (now_ns >= next_ns) {
			struct meter_rate m = meter_tick(&meter, now_ns, bytes);
			report_server_interval(s->o, &m, now_ns - m.elapsed_ns - start_ns, n_live);
			next_ns += interval_ns;
		}
		bool listening = !atomic_load(&s->stop) && n_live < s->o->max_clients && now_ns >= resume_ns;
		struct pollfd fds[2] = {
			{ .fd = s->event_fd, .events = POLLIN },
			{ .fd = listening ? s->listen_fd : -1, .events = POLLIN },
		};
		uint64_t wake_ns = next_ns < settle_ns ? next_ns : settle_ns;
		if (resume_ns > now_ns && resume_ns < wake_ns)
			wake_ns = resume_ns;
		/* -1 waits a while for connections that were announced and never came. */
		if (s->o->one_off && wake_ns > now_ns + LATE_NS)
			wake_ns = now_ns + LATE_NS;
		int ready = sig_wait(fds, 2, wake_ns);
		eventfd_t ended;
		if (ready > 0 && fds[0].revents != 0 && eventfd_read(s->event_fd, &ended) < 0)
			tracef("eventfd: %s", errno_name(errno));
		if (ready > 0 && fds[1].revents != 0)
			resume_ns = accept_one(s);
		on_signal(s, &settle_ns);
	}
}

/* The total of everything served. With more than one session the time is from the first's beginning to the last's
 * end. */
static void print_total(struct server *s)
{
	summary_judge(&s->total, s->total.plan.rate_Bps);
	if (s->n_session < s->n_served && s->last_ns > s->first_ns) {
		s->total.elapsed_ns = s->last_ns - s->first_ns;
		s->total.rate_Bps = (double)s->total.bytes * 1e9 / (double)s->total.elapsed_ns;
	}
	if (s->o->json || s->n_served != 1)
		report_server_total(s->o, &s->total, s->n_served, s->n_refused);
}

int server_run(const struct options *o)
{
	int family = o->ipv4 ? AF_INET : o->ipv6 ? AF_INET6 : AF_UNSPEC;
	struct server *s = xcalloc(1, sizeof(*s));
	s->o = o;
	s->total.plan.role = ROLE_RECEIVE;
	s->total.have_receiver = true;
	pthread_mutex_init(&s->lock, NULL);
	struct net_error e = { 0 };
	struct addr bound;
	char where[ADDR_TEXT];
	s->listen_fd = sock_serve(o->bind, (uint16_t)o->port, family, &o->socket, &bound, &e);
	if (s->listen_fd < 0) {
		record_error(o->json, &e);
		free(s);
		return 1;
	}
	/* WHY: a client may be gone between poll and accept, and a blocking accept would then wait for the next one. */
	if (fcntl(s->listen_fd, F_SETFL, O_NONBLOCK) < 0)
		die_errno("fcntl");
	s->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->event_fd < 0)
		die_errno("eventfd");
	os_raise_fd_limit();
	warnf("listening on %s", addr_text(&bound, where));
	report_server_start(o, where);
	loop(s);
	close(s->listen_fd);
	print_total(s);
	int status = s->found_bad ? 3 : s->failed && o->one_off ? 1 : 0;
	close(s->event_fd);
	pthread_mutex_destroy(&s->lock);
	free(s);
	return sig_exit_status(status);
}
