#include "service.h"

#include "acceptor.h"
#include "clock.h"
#include "connector.h"
#include "diag.h"
#include "mem.h"
#include "meter.h"
#include "os.h"
#include "record.h"
#include "sig.h"
#include "signals.h"
#include "units.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *const service_accept_choices[] = { "deal", "reuseport", NULL };

static const uint64_t PATIENCE_NS = UINT64_C(30) * NS_PER_S; /* of a client, unless --timeout says otherwise */
enum { OPENERS = 128, PORT_TRIES = 20 };

/* A connect under way. A client of thousands makes OPENERS at a time on each loop, so that no backlog overflows. */
struct opener {
	struct connector connector;
	struct service_station *station;
};

/* What a loop has beside its sessions. */
struct part {
	struct service_station *station;
	unsigned index;
	bool is_stopping, has_begun, is_over;
	int listen_fd, udp_fd; /* -1: none */
	struct acceptor acceptor;
	struct udp udp;
	struct opener *openers;
	unsigned n_to_open, n_opening, n_standing;
	struct timer deadline;
	uint64_t first_ns, last_ns; /* when the first session began and the last one ended */
	struct tally shown;         /* for the interval line, see send_tally */
	struct tally at_deadline;
};

struct service_run {
	const struct service *what;
	const struct service_options *o;
	bool is_server;
	struct loops loops;
	unsigned char *stations; /* one behind the other, what->station_len each */
	struct signals signals;
	struct timer interval;
	struct meter meter;
	uint64_t start_ns;
	unsigned n_asked, n_ready, n_over; /* stations that have not sent their tally yet; stand ready; are through */
	struct addr target[ADDR_MAX];
	size_t n_targets;
	struct connect_to to;

	pthread_mutex_t lock; /* guards the rest */
	int status;           /* the first failure, and what there is to say of it */
	struct net_error error;
};

/* --- stations ---------------------------------------------------------------------------------------------------- */

struct service_station *service_station(struct service_run *run, unsigned i)
{
	return i < run->loops.n ? (void *)(run->stations + i * run->what->station_len) : NULL;
}

bool service_is_server(const struct service_run *run)
{
	return run->is_server;
}

static struct service_station *station_of(struct reactor *r)
{
	return reactor_user(r);
}

static void on_session_end(struct station *st, struct session *s, int err);
static void on_empty(struct station *st);

static int open_loops(struct service_run *run, unsigned n, struct net_error *e)
{
	pthread_mutex_init(&run->lock, NULL);
	if (loops_start(&run->loops, n, e) < 0)
		return -1;
	run->stations = xcalloc(n, run->what->station_len);
	for (unsigned i = 0; i < n; i++) {
		struct service_station *ss = service_station(run, i);
		struct part *part = xcalloc(1, sizeof(*part));
		*part = (struct part){ .station = ss, .index = i, .listen_fd = -1, .udp_fd = -1 };
		ss->run = run;
		ss->part = part;
		ss->station.r = loops_get(&run->loops, i);
		ss->station.on_end = on_session_end;
		ss->station.on_empty = on_empty;
		reactor_set_busy_poll(ss->station.r, run->o->busy_poll);
		reactor_set_user(ss->station.r, ss); /* WHY safe: the loop does nothing before something is posted to it */
	}
	return 0;
}

static void close_loops(struct service_run *run)
{
	/* The stations lived on the loops; these have ended. */
	for (unsigned i = 0; i < run->loops.n; i++) {
		struct part *part = service_station(run, i)->part;
		free(part->openers);
		free(part);
	}
	free(run->stations);
	loops_free(&run->loops);
	pthread_mutex_destroy(&run->lock);
}

/* The run went on until --time was over, and only so long counts. */
static bool counts_until_deadline(struct service_run *run)
{
	const struct part *first = service_station(run, 0)->part;
	return run->what->stops_at_time && first->at_deadline.connections > 0;
}

static struct tally sum_tallies(struct service_run *run)
{
	struct tally sum = { 0 };
	for (unsigned i = 0; i < run->loops.n; i++) {
		struct service_station *ss = service_station(run, i);
		struct tally t = station_tally(&ss->station);
		if (counts_until_deadline(run)) {
			const struct tally *then = &((struct part *)ss->part)->at_deadline;
			t.bytes_in = then->bytes_in;
			t.bytes_out = then->bytes_out;
		}
		tally_add(&sum, &t);
	}
	return sum;
}

static uint64_t counted(const struct service_run *run, const struct tally *t)
{
	bool out = run->is_server ? !run->what->server_counts_in : run->what->client_counts_out;
	return out ? t->bytes_out : t->bytes_in;
}

/* --- the end ----------------------------------------------------------------------------------------------------- */

static void close_session(struct session *s)
{
	conn_close(&s->conn, 0);
}

/* On loop 0, which has held on for it: when every station is through, nothing is left here. */
static void on_over(struct reactor *r, unsigned i, void *arg)
{
	(void)i;
	struct service_run *run = arg;
	if (++run->n_over < run->loops.n)
		return;
	reactor_timer_stop(r, &run->interval);
	signals_stop(&run->signals);
	reactor_release(r);
}

/* Is there anything left for this station to do? It says so once, after all else that it had to say to loop 0. */
static void check_over(struct service_station *ss)
{
	struct part *part = ss->part;
	bool through = part->is_stopping || (part->has_begun && !ss->run->is_server);
	if (part->is_over || !through || part->n_opening > 0 || ss->station.sessions != NULL)
		return;
	part->is_over = true;
	reactor_timer_stop(ss->station.r, &part->deadline);
	loops_post(&ss->run->loops, 0, on_over, ss->run);
}

static void on_empty(struct station *st)
{
	check_over((void *)st);
}

static void close_part(struct part *part)
{
	acceptor_stop(&part->acceptor);
	udp_stop(&part->udp);
	if (part->listen_fd >= 0)
		close(part->listen_fd);
	if (part->udp_fd >= 0)
		close(part->udp_fd);
	part->listen_fd = part->udp_fd = -1;
	for (unsigned i = 0; part->openers != NULL && i < OPENERS; i++)
		connector_cancel(&part->openers[i].connector);
	part->n_opening = 0;
}

static void stop_station(struct reactor *r, unsigned i, void *arg)
{
	(void)i;
	(void)arg;
	struct service_station *ss = station_of(r);
	struct part *part = ss->part;
	part->is_stopping = true;
	close_part(part);
	station_each(&ss->station, close_session);
	check_over(ss);
}

static void stop_all(struct reactor *r, unsigned i, void *arg)
{
	(void)r;
	(void)i;
	struct service_run *run = arg;
	loops_each(&run->loops, stop_station, run);
}

/* From any loop: keeps the first failure, and ends everything. */
static void fail(struct service_run *run, int status, const struct net_error *e)
{
	pthread_mutex_lock(&run->lock);
	bool first = run->status == 0;
	if (first) {
		run->status = status;
		run->error = *e;
	}
	pthread_mutex_unlock(&run->lock);
	if (first)
		loops_post(&run->loops, 0, stop_all, run);
}

static void on_signal(struct signals *s, int number)
{
	(void)number;
	struct service_run *run = CONTAINER_OF(s, struct service_run, signals);
	stop_all(NULL, 0, run);
}

void service_wrong(struct session *s, const char *fmt, ...)
{
	struct service_station *ss = (void *)session_station(s);
	struct net_error e = { .op = "verify" };
	va_list args;
	va_start(args, fmt);
	vsnprintf(e.object, sizeof(e.object), fmt, args);
	va_end(args);
	e.reason = "the peer sent something else";
	e.sys = EBADMSG;
	fail(ss->run, 3, &e);
	conn_close(&s->conn, 0);
}

void service_broken(struct session *s, const char *reason)
{
	struct service_station *ss = (void *)session_station(s);
	char text[ADDR_TEXT];
	struct net_error e;
	errno = EPROTO;
	net_fail(&e, "transfer", addr_text(&ss->run->target[0], text));
	e.reason = reason;
	fail(ss->run, 1, &e);
	conn_close(&s->conn, 0);
}

/* --- reports ----------------------------------------------------------------------------------------------------- */

uint64_t service_elapsed_ns(struct service_run *run)
{
	uint64_t first_ns = CLK_NEVER, last_ns = 0;
	for (unsigned i = 0; i < run->loops.n; i++) {
		const struct part *part = service_station(run, i)->part;
		if (part->first_ns != 0 && part->first_ns < first_ns)
			first_ns = part->first_ns;
		if (part->last_ns > last_ns)
			last_ns = part->last_ns;
	}
	if (run->start_ns != 0)
		first_ns = run->start_ns;
	if (counts_until_deadline(run))
		return run->o->time_ns;
	return last_ns > first_ns ? last_ns - first_ns : 1;
}

static void json_udp(struct json *j, const struct service_run *run, const struct udp *u)
{
	if (!run->is_server || run->what->answer == NULL)
		return;
	json_u64(j, "udp_received", u->received);
	json_u64(j, "udp_answered", u->answered);
	json_u64(j, "udp_refused_port", u->refused_port);
	json_u64(j, "udp_refused_rate", u->refused_rate);
	json_u64(j, "udp_refused_long", u->refused_long);
}

/* What the total says, in either form. */
struct total {
	struct tally tally;
	uint64_t bytes, took_ns;
	double rate_Bps;
	const struct udp *udp;
};

static void json_total(struct service_run *run, const struct total *t)
{
	struct json j;
	record_begin(&j, "total");
	json_str(&j, "role", run->is_server ? "server" : "client");
	json_u64(&j, "bytes", t->bytes);
	json_u64(&j, "elapsed_ns", t->took_ns);
	json_f64(&j, "rate_Bps", t->rate_Bps);
	json_u64(&j, "connections", t->tally.connections);
	json_u64(&j, "failed", t->tally.failed);
	json_u64(&j, "bytes_in", t->tally.bytes_in);
	json_u64(&j, "bytes_out", t->tally.bytes_out);
	json_udp(&j, run, t->udp);
	if (run->what->report != NULL)
		run->what->report(run, &j);
	json_end(&j);
}

static void print_total(const struct service_run *run, const struct total *t)
{
	char size[UNITS_TEXT], time[UNITS_TEXT], rate[UNITS_TEXT];
	if (run->what->speaks_itself && !run->is_server)
		return;
	printf("%s in %s: %s (%.1f MiB/s), %llu connection%s", units_size(size, t->bytes), units_duration(time, t->took_ns),
	       units_rate(rate, t->rate_Bps), t->rate_Bps / 1048576, (unsigned long long)t->tally.connections,
	       t->tally.connections == 1 ? "" : "s");
	if (t->tally.failed > 0)
		printf(", %llu ended by an error", (unsigned long long)t->tally.failed);
	if (t->udp->received > 0)
		printf("; UDP: %llu questions, %llu answers", (unsigned long long)t->udp->received,
		       (unsigned long long)t->udp->answered);
	printf("\n");
}

static void report_total(struct service_run *run)
{
	struct total t = { .tally = sum_tallies(run), .took_ns = service_elapsed_ns(run) };
	t.bytes = counted(run, &t.tally);
	t.rate_Bps = (double)t.bytes * 1e9 / (double)t.took_ns;
	t.udp = &((struct part *)service_station(run, 0)->part)->udp;
	if (run->o->json) {
		json_total(run, &t);
		return;
	}
	print_total(run, &t);
	if (run->what->report != NULL)
		run->what->report(run, NULL);
}

/* The tally of a station is taken on its own loop and comes to loop 0 by post; when all are there the line is printed. */
static void take_tally(struct reactor *r, unsigned i, void *arg)
{
	(void)r;
	struct service_run *run = arg;
	(void)i;
	if (--run->n_asked > 0)
		return;
	struct tally sum = { 0 };
	for (unsigned k = 0; k < run->loops.n; k++)
		tally_add(&sum, &((struct part *)service_station(run, k)->part)->shown);
	struct meter_rate m = meter_tick(&run->meter, clk_mono_ns(), counted(run, &sum));
	double from_s = (double)(run->meter.last_ns - m.elapsed_ns - run->meter.start_ns) / 1e9;
	struct json j;
	if (run->o->json) {
		record_begin(&j, "interval");
		json_u64(&j, "elapsed_ns", m.elapsed_ns);
		json_u64(&j, "bytes", m.delta);
		json_f64(&j, "rate_Bps", m.per_s);
		json_u64(&j, "live", sum.live);
		json_u64(&j, "connections", sum.connections);
		json_end(&j);
		return;
	}
	char size[UNITS_TEXT], rate[UNITS_TEXT];
	printf("%7.2f-%-7.2f %10s %12s %6llu live\n", from_s, from_s + (double)m.elapsed_ns / 1e9,
	       units_size(size, m.delta), units_rate(rate, m.per_s), (unsigned long long)sum.live);
}

static void send_tally(struct reactor *r, unsigned i, void *arg)
{
	struct service_run *run = arg;
	struct service_station *ss = station_of(r);
	((struct part *)ss->part)->shown = station_tally(&ss->station);
	if (i == 0)
		take_tally(r, 0, run);
	else
		loops_post(&run->loops, 0, take_tally, run);
}

static void on_interval(struct timer *t)
{
	struct service_run *run = CONTAINER_OF(t, struct service_run, interval);
	reactor_timer_start(loops_get(&run->loops, 0), t, t->deadline_ns + run->o->interval_ns, on_interval);
	if (run->n_asked > 0)
		return; /* a loop is behind with its answer */
	run->n_asked = run->loops.n;
	loops_each(&run->loops, send_tally, run);
}

static void start_intervals(struct service_run *run)
{
	uint64_t now_ns = clk_mono_ns();
	meter_start(&run->meter, now_ns, 0);
	if (run->o->interval_ns != 0)
		reactor_timer_start(loops_get(&run->loops, 0), &run->interval, now_ns + run->o->interval_ns, on_interval);
}

/* --- server ------------------------------------------------------------------------------------------------------ */

/* The acceptor that took a connection counts it until it has ended. */
static void release(struct reactor *r, unsigned i, void *arg)
{
	(void)i;
	(void)arg;
	struct part *part = station_of(r)->part;
	if (!part->is_stopping)
		acceptor_release(&part->acceptor);
}

static void release_one(struct service_station *ss)
{
	unsigned index = ((struct part *)ss->part)->index;
	if (index == 0 || ss->run->o->accept == ACCEPT_REUSEPORT)
		release(ss->station.r, index, NULL);
	else
		loops_post(&ss->run->loops, 0, release, NULL);
}

static void on_session_end(struct station *st, struct session *s, int err)
{
	struct service_station *ss = (void *)st;
	struct service_run *run = ss->run;
	struct part *part = ss->part;
	part->last_ns = reactor_now_ns(st->r);
	if (run->is_server) {
		release_one(ss);
	} else if (err != 0 && !part->is_stopping) {
		char text[ADDR_TEXT];
		struct net_error e;
		errno = err;
		net_fail(&e, "transfer", addr_text(&run->target[0], text));
		if (err == ETIMEDOUT)
			e.reason = "nothing moved for too long (--timeout)";
		fail(run, 1, &e);
	}
	(void)s;
}

static void adopt(struct reactor *r, unsigned i, void *arg)
{
	(void)i;
	int fd = (int)(intptr_t)arg;
	struct service_station *ss = station_of(r);
	struct part *part = ss->part;
	const struct service *what = ss->run->what;
	if (part->is_stopping) {
		close(fd);
		return;
	}
	struct session *s = session_open(&ss->station, fd, what->server, what->server_len);
	if (s == NULL) {
		warnf_errno("a connection cannot be watched");
		release_one(ss);
		return;
	}
	if (part->first_ns == 0)
		part->first_ns = reactor_now_ns(r);
	conn_set_idle(&s->conn, ss->run->o->timeout_ns);
	if (what->on_accept != NULL)
		what->on_accept(s);
}

static void on_accept(struct acceptor *a, int fd, const struct addr *peer)
{
	(void)peer;
	struct service_station *ss = station_of(a->watch.r);
	struct service_run *run = ss->run;
	unsigned i = run->o->accept == ACCEPT_REUSEPORT ? ((struct part *)ss->part)->index : loops_deal(&run->loops);
	if (i == ((struct part *)ss->part)->index)
		adopt(a->watch.r, i, (void *)(intptr_t)fd);
	else
		loops_post(&run->loops, i, adopt, (void *)(intptr_t)fd);
}

int service_family(const struct service_options *o)
{
	return o->ipv4 ? AF_INET : o->ipv6 ? AF_INET6 : AF_UNSPEC;
}

/* TCP and UDP on the same number. When any free number will do, one that is free for TCP may be taken for UDP: try again. */
static int listen_both(struct service_run *run, struct addr *bound, struct net_error *e)
{
	const struct service_options *o = run->o;
	struct part *first = service_station(run, 0)->part;
	struct sock_options so = { .send_buffer = o->send_buffer,
				   .receive_buffer = o->receive_buffer,
				   .nodelay = true,
				   .reuse_port = o->accept == ACCEPT_REUSEPORT };
	const char *host = o->bind != NULL ? o->bind : o->ipv6 ? "::1" : "127.0.0.1";
	for (int tries = 0; tries < (o->port == 0 ? PORT_TRIES : 1); tries++) {
		first->listen_fd = sock_serve(host, (uint16_t)o->port, service_family(o), &so, bound, e);
		if (first->listen_fd < 0 || run->what->answer == NULL)
			break;
		struct addr udp_bound;
		first->udp_fd = sock_serve_udp(host, addr_port(bound), service_family(o), &udp_bound, e);
		if (first->udp_fd >= 0)
			break;
		close(first->listen_fd);
		first->listen_fd = -1;
		if (e->sys != EADDRINUSE)
			break;
	}
	for (unsigned i = 1; i < run->loops.n && first->listen_fd >= 0 && so.reuse_port; i++) {
		struct part *part = service_station(run, i)->part;
		part->listen_fd = sock_listen(bound, false, &so, e);
		if (part->listen_fd < 0)
			return -1;
	}
	return first->listen_fd < 0 ? -1 : 0;
}

/* On each loop: begin to serve. */
static void open_station(struct reactor *r, unsigned i, void *arg)
{
	struct service_run *run = arg;
	struct part *part = station_of(r)->part;
	const struct service_options *o = run->o;
	uint64_t most = o->max_conn * (o->accept == ACCEPT_DEAL ? o->threads : 1);
	struct net_error e;
	if (part->listen_fd >= 0 &&
	    acceptor_start(&part->acceptor, r, part->listen_fd, (unsigned)most, on_accept) < 0) {
		net_fail(&e, "accept", "listening socket");
		fail(run, 1, &e);
	}
	if (part->udp_fd < 0)
		return;
	if (udp_start(&part->udp, r, part->udp_fd, (uint32_t)o->udp_rate, run->what->answer) < 0) {
		net_fail(&e, "receive", "UDP socket");
		fail(run, 1, &e);
	}
	part->udp.may_exceed = run->what->answer_may_exceed;
	(void)i;
}

static void announce(const struct service_run *run, const struct addr *bound)
{
	char text[ADDR_TEXT];
	addr_text(bound, text);
	if (run->o->json) {
		struct json j;
		record_begin(&j, "start");
		json_str(&j, "role", "server");
		json_str(&j, "address", text);
		json_u64(&j, "threads", run->loops.n);
		json_str(&j, "backend", reactor_backend_name(loops_get(&run->loops, 0)));
		json_end(&j);
	}
	warnf("listening on %s", text);
	if (run->what->answer != NULL)
		warnf("listening on %s (udp)", text);
}

/* Runs loop 0 and with it all, to the end; then reports. Returns the exit status. */
static int run_loops(struct service_run *run)
{
	struct reactor *r = loops_get(&run->loops, 0);
	reactor_hold(r); /* until on_over */
	if (signals_start(&run->signals, r, on_signal) < 0 || reactor_run(r) < 0)
		die_errno("cannot wait for events");
	loops_join(&run->loops);
	if (run->status == 1)
		record_error(run->o->json, &run->error);
	else
		report_total(run);
	if (run->status == 3)
		warnf("%s: %s", run->error.object, run->error.reason);
	return sig_exit_status(run->status);
}

int service_serve(const struct service *what, const struct service_options *o)
{
	struct service_run run = { .what = what, .o = o, .is_server = true };
	struct net_error e;
	struct addr bound;
	sig_open();
	os_raise_fd_limit();
	int status = 1;
	if (open_loops(&run, (unsigned)o->threads, &e) < 0) {
		record_error(o->json, &e);
		return 1;
	}
	if (listen_both(&run, &bound, &e) < 0) {
		record_error(o->json, &e);
		loops_join(&run.loops);
	} else {
		loops_each(&run.loops, open_station, &run);
		announce(&run, &bound);
		start_intervals(&run);
		status = run_loops(&run);
	}
	close_loops(&run);
	return status;
}

/* --- client ------------------------------------------------------------------------------------------------------ */

static void on_connected(struct connector *c, int fd, const struct net_error *e);

static void open_next(struct opener *opener)
{
	struct service_run *run = opener->station->run;
	struct part *part = opener->station->part;
	part->n_to_open--;
	part->n_opening++;
	connector_start_list(&opener->connector, opener->station->station.r, run->target, run->n_targets, &run->to,
			     on_connected);
}

static void time_over(struct session *s)
{
	const struct service *what = ((struct service_station *)(void *)session_station(s))->run->what;
	if (what->on_time != NULL)
		what->on_time(s);
	else
		conn_close(&s->conn, 0);
}

static void on_deadline(struct timer *t)
{
	struct part *part = CONTAINER_OF(t, struct part, deadline);
	part->at_deadline = station_tally(&part->station->station);
	station_each(&part->station->station, time_over);
}

static void begin_session(struct session *s)
{
	struct service_run *run = ((struct service_station *)(void *)session_station(s))->run;
	conn_set_idle(&s->conn, run->o->timeout_ns);
	conn_resume(&s->conn);
	if (run->what->on_begin != NULL)
		run->what->on_begin(s);
}

/* On each loop, when all connections of all loops stand. */
static void begin(struct reactor *r, unsigned i, void *arg)
{
	(void)i;
	struct service_run *run = arg;
	struct service_station *ss = station_of(r);
	struct part *part = ss->part;
	part->has_begun = true;
	if (run->o->time_ns != 0)
		reactor_timer_start(r, &part->deadline, run->start_ns + run->o->time_ns, on_deadline);
	station_each(&ss->station, begin_session);
	check_over(ss);
}

/* On loop 0: a station's connections stand. */
static void on_ready(struct reactor *r, unsigned i, void *arg)
{
	(void)r;
	(void)i;
	struct service_run *run = arg;
	if (++run->n_ready < run->loops.n)
		return;
	run->start_ns = clk_mono_ns();
	start_intervals(run);
	loops_each(&run->loops, begin, run);
}

static void on_connected(struct connector *c, int fd, const struct net_error *e)
{
	struct opener *opener = CONTAINER_OF(c, struct opener, connector);
	struct service_station *ss = opener->station;
	struct service_run *run = ss->run;
	struct part *part = ss->part;
	part->n_opening--;
	if (fd < 0) {
		fail(run, 1, e);
		return;
	}
	struct session *s = session_open(&ss->station, fd, run->what->client, run->what->client_len);
	if (s == NULL) {
		struct net_error why;
		net_fail(&why, "watch", "connection");
		fail(run, 1, &why);
		return;
	}
	conn_pause(&s->conn); /* until all stand */
	part->n_standing++;
	if (part->n_to_open > 0)
		open_next(opener);
	else if (part->n_opening == 0)
		loops_post(&run->loops, 0, on_ready, run);
}

/* On each loop: its share of the connections. */
static void open_share(struct reactor *r, unsigned i, void *arg)
{
	struct service_run *run = arg;
	struct service_station *ss = station_of(r);
	struct part *part = ss->part;
	uint64_t all = run->o->connections, n = run->loops.n;
	part->n_to_open = (unsigned)(all / n + (i < all % n));
	part->openers = xcalloc(OPENERS, sizeof(*part->openers));
	for (unsigned k = 0; k < OPENERS && part->n_to_open > 0; k++) {
		part->openers[k].station = ss;
		open_next(&part->openers[k]);
	}
}

static int resolve_target(struct service_run *run, const char *host, struct net_error *e)
{
	const struct service_options *o = run->o;
	sig_let_in(true);
	int n = addr_resolve(host, (uint16_t)o->port, service_family(o), run->target, ADDR_MAX, e);
	sig_let_in(false);
	if (n < 0)
		return -1;
	run->n_targets = (size_t)n;
	run->to = (struct connect_to){
		.host = host,
		.port = (uint16_t)o->port,
		.options = { .send_buffer = o->send_buffer, .receive_buffer = o->receive_buffer, .nodelay = true },
		.deadline_ns = o->timeout_ns != 0 ? clk_mono_ns() + o->timeout_ns : CLK_NEVER,
	};
	return 0;
}

static void say_start(const struct service_run *run)
{
	if (!run->o->json)
		return;
	char text[ADDR_TEXT];
	struct json j;
	record_begin(&j, "start");
	json_str(&j, "role", "client");
	json_str(&j, "peer", addr_text(&run->target[0], text));
	json_u64(&j, "connections", run->o->connections);
	json_u64(&j, "threads", run->loops.n);
	json_str(&j, "backend", reactor_backend_name(loops_get(&run->loops, 0)));
	json_end(&j);
}

int service_connect(const struct service *what, const struct service_options *o, const char *host)
{
	struct service_run run = { .what = what, .o = o };
	struct net_error e;
	uint64_t threads = o->threads < o->connections ? o->threads : o->connections;
	sig_open();
	os_raise_fd_limit();
	if (resolve_target(&run, host, &e) < 0 || open_loops(&run, (unsigned)threads, &e) < 0) {
		record_error(o->json, &e);
		return sig_exit_status(1);
	}
	say_start(&run);
	loops_each(&run.loops, open_share, &run);
	int status = run_loops(&run);
	close_loops(&run);
	return status;
}

const char *service_check(struct service_options *o, char **operands)
{
	const char *host = operands[0];
	if (host != NULL && operands[1] != NULL)
		args_misuse("'%s' is too much", operands[1]);
	if (o->ipv4 && o->ipv6)
		args_misuse("-4 and -6 exclude each other");
	if (o->server && host != NULL)
		args_misuse("-s serves and takes no host: '%s' is too much", host);
	if (!o->server && host == NULL)
		args_misuse("say -s to serve, or name the host to talk to");
	if (!o->server && o->port == 0)
		args_misuse("port 0 is for -s");
	if (!o->server && o->bind != NULL)
		args_misuse("--bind is for -s");
	if (o->server && (o->udp || o->time_ns != 0 || o->connections != 1))
		args_misuse("--udp, --time and --connections are for a client");
	if (!o->server && o->timeout_ns == 0)
		o->timeout_ns = PATIENCE_NS;
	if (o->interval_ns == 0 && isatty(STDOUT_FILENO) && !o->json)
		o->interval_ns = NS_PER_S;
	return host;
}

void service_check_limits(struct service_options *o, bool server_takes_bytes)
{
	if (o->server && o->bytes != 0 && !server_takes_bytes)
		args_misuse("--bytes is for a client");
	if (!o->server && o->bytes == 0 && o->time_ns == 0)
		o->time_ns = UINT64_C(10) * NS_PER_S;
}
