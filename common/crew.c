#include "crew.h"

#include "clock.h"
#include "diag.h"
#include "mem.h"
#include "record.h"
#include "sig.h"
#include "units.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- stations ---------------------------------------------------------------------------------------------------- */

struct service_station *crew_station(struct crew *crew, unsigned i)
{
	return i < crew->loops.n ? (void *)(crew->stations + i * crew->what->station_len) : NULL;
}

bool crew_is_server(const struct crew *crew)
{
	return crew->is_server;
}

struct service_station *crew_station_of(struct reactor *r)
{
	return reactor_user(r);
}

struct part *crew_part_of(struct reactor *r)
{
	return crew_station_of(r)->part;
}

static void on_empty(struct station *st);
static void on_signal(struct signals *s, int number);

static void start_busy_poll(struct reactor *r, unsigned i, void *arg)
{
	(void)i, (void)arg;
	reactor_set_busy_poll(r, true);
}

int crew_open(struct crew *crew, unsigned n, void (*on_end)(struct station *, struct session *, int),
	      struct net_error *e)
{
	pthread_mutex_init(&crew->lock, NULL);
	if (loops_start(&crew->loops, n, e) < 0)
		return -1;
	crew->stations = xcalloc(n, crew->what->station_len);
	for (unsigned i = 0; i < n; i++) {
		struct service_station *ss = crew_station(crew, i);
		struct part *part = xcalloc(1, sizeof(*part));
		*part = (struct part){ .station = ss, .index = i, .listen_fd = -1, .udp_fd = -1 };
		ss->crew = crew;
		ss->part = part;
		ss->station.r = loops_get(&crew->loops, i);
		ss->station.on_end = on_end;
		ss->station.on_empty = on_empty;
		reactor_set_user(ss->station.r,
				 ss); /* WHY safe: the loop does nothing before something is posted to it */
	}
	if (crew->o->busy_poll)
		loops_each(&crew->loops, start_busy_poll, NULL);
	if (signals_start(&crew->signals, loops_get(&crew->loops, 0), on_signal) == 0)
		return 0;
	net_fail(e, "open", "signalfd");
	loops_join(&crew->loops);
	crew_close(crew);
	return -1;
}

void crew_close(struct crew *crew)
{
	signals_stop(&crew->signals);
	for (unsigned i = 0; i < crew->loops.n; i++) {
		struct part *part = crew_station(crew, i)->part;
		free(part->openers);
		free(part);
	}
	free(crew->stations);
	loops_free(&crew->loops);
	pthread_mutex_destroy(&crew->lock);
}

/* The run went on until --time was over, and only so long counts. */
static bool counts_until_deadline(struct crew *crew)
{
	const struct part *first = crew_station(crew, 0)->part;
	return crew->what->stops_at_time && first->at_deadline.connections > 0;
}

static struct tally sum_tallies(struct crew *crew)
{
	struct tally sum = { 0 };
	for (unsigned i = 0; i < crew->loops.n; i++) {
		struct service_station *ss = crew_station(crew, i);
		struct tally t = station_tally(&ss->station);
		if (counts_until_deadline(crew)) {
			const struct tally *then = &ss->part->at_deadline;
			t.bytes_in = then->bytes_in;
			t.bytes_out = then->bytes_out;
		}
		tally_add(&sum, &t);
	}
	return sum;
}

static uint64_t counted(const struct crew *crew, const struct tally *t)
{
	bool out = crew->is_server ? !crew->what->server_counts_in : crew->what->client_counts_out;
	return out ? t->bytes_out : t->bytes_in;
}

/* --- sessions ---------------------------------------------------------------------------------------------------- */

/* Only with --verbose, behind what the tool keeps for a session: an idle connection should not pay for it otherwise. */
struct visit {
	uint64_t since_ns;
	char peer[ADDR_TEXT];
};

static struct visit *visit_of(const struct crew *crew, struct session *s)
{
	return (void *)((unsigned char *)s + (crew->is_server ? crew->what->server_len : crew->what->client_len));
}

struct session *crew_open_session(struct service_station *ss, int fd, const struct conn_ops *ops, size_t len)
{
	const struct crew *crew = ss->crew;
	size_t more = crew->o->verbose ? sizeof(struct visit) : 0;
	struct session *s = session_open(&ss->station, fd, ops, len + more);
	if (s == NULL || !crew->o->verbose)
		return s;
	struct visit *visit = visit_of(crew, s);
	struct addr peer;
	visit->since_ns = reactor_now_ns(ss->station.r);
	if (addr_of_peer(fd, &peer) == 0)
		addr_text(&peer, visit->peer);
	return s;
}

void crew_log_end(struct service_station *ss, struct session *s, int err)
{
	const struct crew *crew = ss->crew;
	if (!crew->o->verbose)
		return;
	const struct visit *visit = visit_of(crew, s);
	char in[UNITS_TEXT], out[UNITS_TEXT], time[UNITS_TEXT];
	warnf("%s: %s in, %s out, %s, %s%s%s%s", visit->peer, units_size(in, s->conn.bytes_in),
	      units_size(out, s->conn.bytes_out), units_duration(time, reactor_now_ns(ss->station.r) - visit->since_ns),
	      err == 0 ? "ended in order" : strerror(err), err != 0 ? " (" : "", err != 0 ? errno_name(err) : "",
	      err != 0 ? ")" : "");
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
	struct crew *crew = arg;
	if (++crew->n_over < crew->loops.n)
		return;
	reactor_timer_stop(r, &crew->interval);
	signals_stop(&crew->signals);
	reactor_release(r);
}

/* Is there anything left for this station to do? It says so once, after all else that it had to say to loop 0. */
void crew_check_over(struct service_station *ss)
{
	struct part *part = ss->part;
	bool through = part->is_stopping || (part->has_begun && !ss->crew->is_server);
	if (part->is_over || !through || part->n_opening > 0 || ss->station.sessions != NULL)
		return;
	part->is_over = true;
	reactor_timer_stop(ss->station.r, &part->deadline);
	loops_post(&ss->crew->loops, 0, on_over, ss->crew);
}

static void on_empty(struct station *st)
{
	crew_check_over((void *)st);
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
	for (unsigned i = 0; part->openers != NULL && i < part->n_openers; i++)
		connector_cancel(&part->openers[i].connector);
	part->n_opening = 0;
}

static void stop_station(struct reactor *r, unsigned i, void *arg)
{
	(void)i;
	(void)arg;
	struct service_station *ss = crew_station_of(r);
	struct part *part = ss->part;
	part->is_stopping = true;
	close_part(part);
	station_each(&ss->station, close_session);
	crew_check_over(ss);
}

static void stop_all(struct reactor *r, unsigned i, void *arg)
{
	(void)r;
	(void)i;
	struct crew *crew = arg;
	loops_each(&crew->loops, stop_station, crew);
}

/* From any loop: keeps the first failure, and ends everything. */
void crew_fail(struct crew *crew, int status, const struct net_error *e)
{
	pthread_mutex_lock(&crew->lock);
	bool first = crew->status == 0;
	if (first) {
		crew->status = status;
		crew->error = *e;
	}
	pthread_mutex_unlock(&crew->lock);
	if (first)
		loops_post(&crew->loops, 0, stop_all, crew);
}

static void on_signal(struct signals *s, int number)
{
	(void)number;
	struct crew *crew = CONTAINER_OF(s, struct crew, signals);
	stop_all(NULL, 0, crew);
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
	crew_fail(ss->crew, 3, &e);
	conn_close(&s->conn, 0);
}

void service_broken(struct session *s, const char *reason)
{
	struct service_station *ss = (void *)session_station(s);
	char text[ADDR_TEXT];
	struct net_error e;
	errno = EPROTO;
	net_fail(&e, "transfer", addr_text(&ss->crew->target[0], text));
	e.reason = reason;
	crew_fail(ss->crew, 1, &e);
	conn_close(&s->conn, 0);
}

/* --- reports ----------------------------------------------------------------------------------------------------- */

uint64_t crew_elapsed_ns(struct crew *crew)
{
	uint64_t first_ns = CLK_NEVER, last_ns = 0;
	for (unsigned i = 0; i < crew->loops.n; i++) {
		const struct part *part = crew_station(crew, i)->part;
		if (part->first_ns != 0 && part->first_ns < first_ns)
			first_ns = part->first_ns;
		if (part->last_ns > last_ns)
			last_ns = part->last_ns;
	}
	if (crew->start_ns != 0)
		first_ns = crew->start_ns;
	if (counts_until_deadline(crew))
		return crew->o->time_ns;
	return last_ns > first_ns ? last_ns - first_ns : 1;
}

static void json_udp(struct json *j, const struct crew *crew, const struct udp *u)
{
	if (!crew->is_server || crew->what->answer == NULL)
		return;
	json_u64(j, "udp_received", u->batch.count.received);
	json_u64(j, "udp_answered", u->batch.count.answered);
	json_u64(j, "udp_refused_port", u->batch.count.refused_port);
	json_u64(j, "udp_refused_rate", u->batch.count.refused_rate);
	json_u64(j, "udp_refused_long", u->batch.count.refused_long);
}

/* What the total says, in either form. */
struct total {
	struct tally tally;
	uint64_t bytes, took_ns;
	double rate_Bps;
	const struct udp *udp;
};

static void json_total(struct crew *crew, const struct total *t)
{
	struct json j;
	record_begin(&j, "total");
	json_str(&j, "role", crew->is_server ? "server" : "client");
	json_u64(&j, "bytes", t->bytes);
	json_u64(&j, "elapsed_ns", t->took_ns);
	json_f64(&j, "rate_Bps", t->rate_Bps);
	json_u64(&j, "connections", t->tally.connections);
	json_u64(&j, "failed", t->tally.failed);
	json_u64(&j, "bytes_in", t->tally.bytes_in);
	json_u64(&j, "bytes_out", t->tally.bytes_out);
	json_udp(&j, crew, t->udp);
	if (crew->what->report != NULL)
		crew->what->report(crew, &j);
	json_end(&j);
}

static void print_total(const struct crew *crew, const struct total *t)
{
	char size[UNITS_TEXT], time[UNITS_TEXT], rate[UNITS_TEXT];
	if (crew->what->speaks_itself && !crew->is_server)
		return;
	printf("%s in %s: %s (%.1f MiB/s), %llu connection%s", units_size(size, t->bytes),
	       units_duration(time, t->took_ns), units_rate(rate, t->rate_Bps), t->rate_Bps / 1048576,
	       (unsigned long long)t->tally.connections, t->tally.connections == 1 ? "" : "s");
	if (t->tally.failed > 0)
		printf(", %llu ended by an error", (unsigned long long)t->tally.failed);
	if (t->udp->batch.count.received > 0)
		printf("; UDP: %llu questions, %llu answers", (unsigned long long)t->udp->batch.count.received,
		       (unsigned long long)t->udp->batch.count.answered);
	printf("\n");
}

static void report_total(struct crew *crew)
{
	struct total t = { .tally = sum_tallies(crew), .took_ns = crew_elapsed_ns(crew) };
	t.bytes = counted(crew, &t.tally);
	t.rate_Bps = (double)t.bytes * 1e9 / (double)t.took_ns;
	t.udp = &crew_station(crew, 0)->part->udp;
	if (crew->o->json) {
		json_total(crew, &t);
		return;
	}
	print_total(crew, &t);
	if (crew->what->report != NULL)
		crew->what->report(crew, NULL);
}

/* The tally of a station is taken on its own loop and comes to loop 0 by post; when all are there the line is printed. */
static void take_tally(struct reactor *r, unsigned i, void *arg)
{
	(void)r;
	struct crew *crew = arg;
	(void)i;
	if (--crew->n_asked > 0)
		return;
	struct tally sum = { 0 };
	for (unsigned k = 0; k < crew->loops.n; k++)
		tally_add(&sum, &crew_station(crew, k)->part->shown);
	struct meter_rate m = meter_tick(&crew->meter, clk_mono_ns(), counted(crew, &sum));
	double from_s = (double)(crew->meter.last_ns - m.elapsed_ns - crew->meter.start_ns) / 1e9;
	struct json j;
	if (crew->o->json) {
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
	struct crew *crew = arg;
	struct service_station *ss = crew_station_of(r);
	ss->part->shown = station_tally(&ss->station);
	if (i == 0)
		take_tally(r, 0, crew);
	else
		loops_post(&crew->loops, 0, take_tally, crew);
}

static void on_interval(struct timer *t)
{
	struct crew *crew = CONTAINER_OF(t, struct crew, interval);
	reactor_timer_start(loops_get(&crew->loops, 0), t, t->deadline_ns + crew->o->interval_ns, on_interval);
	if (crew->n_asked > 0)
		return; /* a loop is behind with its answer */
	crew->n_asked = crew->loops.n;
	loops_each(&crew->loops, send_tally, crew);
}

void crew_start_intervals(struct crew *crew)
{
	uint64_t now_ns = clk_mono_ns();
	meter_start(&crew->meter, now_ns, 0);
	if (crew->o->interval_ns != 0)
		reactor_timer_start(loops_get(&crew->loops, 0), &crew->interval, now_ns + crew->o->interval_ns,
				    on_interval);
}

/* --- the run ----------------------------------------------------------------------------------------------------- */

int crew_work(struct crew *crew)
{
	struct reactor *r = loops_get(&crew->loops, 0);
	reactor_hold(r); /* until on_over */
	int rc = reactor_run(r);
	assert(rc == 0); /* the descriptors are ours: waiting for them cannot fail */
	(void)rc;
	loops_join(&crew->loops);
	if (crew->status == 1)
		record_error(crew->o->json, &crew->error);
	else
		report_total(crew);
	if (crew->status == 3)
		warnf("%s: %s", crew->error.object, crew->error.reason);
	return record_finish(sig_exit_status(crew->status));
}
