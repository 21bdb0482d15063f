#include "crew.h"

#include "clock.h"
#include "mem.h"
#include "os.h"
#include "record.h"
#include "sig.h"

#include <errno.h>

enum { OPENERS = 128 }; /* connects under way on each loop: a client of thousands must not overflow a backlog */

static void on_session_end(struct station *st, struct session *s, int err)
{
	struct service_station *ss = crew_station_of(st->r);
	struct crew *crew = ss->crew;
	crew_log_end(ss, s, err);
	ss->part->last_ns = reactor_now_ns(st->r);
	if (err == 0 || ss->part->is_stopping)
		return;
	char text[ADDR_TEXT];
	struct net_error e;
	errno = err;
	net_fail(&e, "transfer", addr_text(&crew->target[0], text));
	if (err == ETIMEDOUT)
		e.reason = "nothing moved for too long (--timeout)";
	crew_fail(crew, 1, &e);
}

static void on_connected(struct connector *c, int fd, const struct net_error *e);

static void open_next(struct opener *opener)
{
	struct crew *crew = opener->station->crew;
	struct part *part = opener->station->part;
	part->n_to_open--;
	part->n_opening++;
	connector_start_list(&opener->connector, opener->station->station.r, crew->target, crew->n_targets, &crew->to,
			     on_connected);
}

static void time_over(struct session *s)
{
	const struct service *what = ((struct service_station *)(void *)session_station(s))->crew->what;
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
	struct crew *crew = crew_station_of(s->conn.watch.r)->crew;
	conn_set_idle(&s->conn, crew->o->timeout_ns);
	conn_resume(&s->conn);
	if (crew->what->on_begin != NULL)
		crew->what->on_begin(s);
}

/* On each loop, when all connections of all loops stand. */
static void begin(struct reactor *r, unsigned i, void *arg)
{
	(void)i;
	struct crew *crew = arg;
	struct service_station *ss = crew_station_of(r);
	struct part *part = ss->part;
	part->has_begun = true;
	if (crew->o->time_ns != 0)
		reactor_timer_start(r, &part->deadline, crew->start_ns + crew->o->time_ns, on_deadline);
	station_each(&ss->station, begin_session);
	crew_check_over(ss);
}

/* On loop 0: a station's connections stand. */
static void on_ready(struct reactor *r, unsigned i, void *arg)
{
	(void)r;
	(void)i;
	struct crew *crew = arg;
	if (++crew->n_ready < crew->loops.n)
		return;
	crew->start_ns = clk_mono_ns();
	crew_start_intervals(crew);
	loops_each(&crew->loops, begin, crew);
}

static void on_connected(struct connector *c, int fd, const struct net_error *e)
{
	struct opener *opener = CONTAINER_OF(c, struct opener, connector);
	struct service_station *ss = opener->station;
	struct crew *crew = ss->crew;
	struct part *part = ss->part;
	part->n_opening--;
	if (fd < 0) {
		crew_fail(crew, 1, e);
		return;
	}
	struct session *s = crew_open_session(ss, fd, crew->what->client, crew->what->client_len);
	if (s == NULL) {
		struct net_error why;
		net_fail(&why, "watch", "connection");
		crew_fail(crew, 1, &why);
		return;
	}
	conn_pause(&s->conn); /* until all stand */
	if (part->n_to_open > 0)
		open_next(opener);
	else if (part->n_opening == 0)
		loops_post(&crew->loops, 0, on_ready, crew);
}

/* On each loop: its share of the connections. */
static void open_share(struct reactor *r, unsigned i, void *arg)
{
	struct crew *crew = arg;
	struct service_station *ss = crew_station_of(r);
	struct part *part = ss->part;
	uint64_t all = crew->o->connections, n = crew->loops.n;
	part->n_to_open = (unsigned)(all / n + (i < all % n));
	part->n_openers = part->n_to_open < OPENERS ? part->n_to_open : OPENERS;
	part->openers = xcalloc(part->n_openers, sizeof(*part->openers));
	for (unsigned k = 0; k < part->n_openers && part->n_to_open > 0; k++) {
		part->openers[k].station = ss;
		open_next(&part->openers[k]);
	}
}

static int resolve_target(struct crew *crew, const char *host, struct net_error *e)
{
	const struct service_options *o = crew->o;
	sig_let_in(true);
	int n = addr_resolve(host, (uint16_t)o->port, service_family(o), crew->target, ADDR_MAX, e);
	sig_let_in(false);
	if (n < 0)
		return -1;
	crew->n_targets = (size_t)n;
	crew->to = (struct connect_to){
		.host = host,
		.port = (uint16_t)o->port,
		.options = { .send_buffer = o->send_buffer, .receive_buffer = o->receive_buffer, .nodelay = true },
		.deadline_ns = o->timeout_ns != 0 ? clk_mono_ns() + o->timeout_ns : CLK_NEVER,
	};
	return 0;
}

static void say_start(const struct crew *crew)
{
	if (!crew->o->json)
		return;
	char text[ADDR_TEXT];
	struct json j;
	record_begin(&j, "start");
	json_str(&j, "role", "client");
	json_str(&j, "peer", addr_text(&crew->target[0], text));
	json_u64(&j, "connections", crew->o->connections);
	json_u64(&j, "threads", crew->loops.n);
	json_str(&j, "backend", reactor_backend_name(loops_get(&crew->loops, 0)));
	json_end(&j);
}

int service_connect(const struct service *what, const struct service_options *o, const char *host)
{
	struct crew crew = { .what = what, .o = o };
	struct net_error e;
	uint64_t threads = o->threads < o->connections ? o->threads : o->connections;
	sig_open();
	os_raise_fd_limit();
	if (resolve_target(&crew, host, &e) < 0 || crew_open(&crew, (unsigned)threads, on_session_end, &e) < 0) {
		record_error(o->json, &e);
		return sig_exit_status(1);
	}
	say_start(&crew);
	loops_each(&crew.loops, open_share, &crew);
	int status = crew_work(&crew);
	crew_close(&crew);
	return status;
}
