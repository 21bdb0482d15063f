/* flow.c - the life of a flow, from accept to its last word. */
#include "relay.h"

#include "clock.h"
#include "diag.h"
#include "io.h"
#include "mem.h"
#include "sock.h"
#include "tcpinfo.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What a flow has only while it is being connected. */
struct relay_dial {
	struct connector connector;
	struct connect_to to;
	struct relay_flow *flow;
	char host[RELAY_TARGET];
};

struct relay *relay_of(const struct relay_flow *f)
{
	return f->loop->relay;
}

static uint64_t now_of(const struct relay_flow *f)
{
	return reactor_now_ns(f->loop->r);
}

/* The pump takes it over. */
static struct watch *client_watch(struct relay_flow *f)
{
	return &f->pump.watch[PUMP_A];
}

struct relay_flow *relay_flow_of_watch(struct watch *w)
{
	return CONTAINER_OF(w, struct relay_flow, pump.watch[PUMP_A]);
}

/* --- the end ------------------------------------------------------------------------------------------------------ */

static void on_released(struct reactor *r, unsigned i, void *f)
{
	(void)r, (void)i;
	relay_flow_released(f);
}

void relay_tally_add(struct relay_tally *to, const struct relay_tally *t)
{
	to->connections += t->connections;
	to->live += t->live;
	to->failed += t->failed;
	to->denied += t->denied;
	to->bytes_up += t->bytes_up;
	to->bytes_down += t->bytes_down;
	for (size_t i = 0; i < COUNT_OF(t->ends); i++)
		to->ends[i] += t->ends[i];
}

static void forget(struct relay_flow *f)
{
	struct relay_loop *loop = f->loop;
	struct relay_tally *t = &loop->tally;
	t->live--;
	t->bytes_up += f->pump.lane[PUMP_UP].bytes_out;
	t->bytes_down += f->pump.lane[PUMP_DOWN].bytes_out;
	t->failed += f->end == RELAY_END_CONNECT;
	t->ends[f->end]++;
	*f->link = f->next;
	if (f->next != NULL)
		f->next->link = f->link;
}

/* The client's descriptor is closed, or the pump's. f is loop 0's from now on, which frees it. */
static void end_flow(struct relay_flow *f, enum relay_end end, int err)
{
	struct relay_loop *loop = f->loop;
	struct relay_row *row = &loop->recent[loop->n_recent++ % RELAY_RECENT];
	f->state = RELAY_ENDED;
	f->end = end;
	f->err = err;
	f->ended_ns = now_of(f);
	relay_flow_row(f, f->ended_ns, false, row);
	relay_log_end(f, row);
	if (loop->relay->o->dump != RELAY_DUMP_NONE)
		relay_dump_end(f, row);
	if (loop->relay->tool->on_end != NULL)
		loop->relay->tool->on_end(f);
	forget(f);
	impair_free(f->impair[PUMP_UP]);
	impair_free(f->impair[PUMP_DOWN]);
	free(f->dial);
	free(f->why);
	free(f->target);
	if (loop->index == 0)
		relay_flow_released(f);
	else
		loops_post(&loop->relay->loops, 0, on_released, f);
}

/* Nothing is waited for any more, neither the client nor a connect. Its descriptor, or -1: it is the caller's now. */
static int take_client(struct relay_flow *f)
{
	int fd = f->client_fd;
	watch_stop(client_watch(f));
	reactor_timer_stop(f->loop->r, &f->deadline);
	if (f->dial != NULL)
		connector_cancel(&f->dial->connector);
	f->client_fd = -1;
	return fd;
}

/* Before it is open: the client sees what the client of a server sees that refuses. Frees f. */
static void end_early(struct relay_flow *f, enum relay_end end, int err)
{
	int fd = take_client(f);
	if (fd >= 0)
		sock_abort(fd);
	end_flow(f, end, err);
}

/* In order, as far as we are concerned. Frees f. */
static void end_in_order(struct relay_flow *f, enum relay_end end)
{
	close(take_client(f));
	end_flow(f, end, 0);
}

void relay_refuse(struct relay_flow *f, enum relay_end end, const char *reason)
{
	f->reason = reason;
	end_early(f, end, 0);
}

void relay_flow_abort(struct relay_flow *f)
{
	if (f->state == RELAY_OPEN)
		pump_abort(&f->pump, PUMP_ABORTED, 0);
	else
		end_early(f, f->state == RELAY_PARTING ? f->end : RELAY_END_DRAINED, 0);
}

/* --- before it is open: only the client's errors matter ----------------------------------------------------------- */

static bool on_client_error(struct watch *w, unsigned events)
{
	struct relay_flow *f = relay_flow_of_watch(w);
	if ((events & (WATCH_HUP | WATCH_ERR)) == 0) {
		watch_want(w, 0); /* it has said something: that stays in the kernel until somebody wants it */
		return true;
	}
	int err = sock_take_error(w->fd);
	end_early(f, RELAY_END_CLIENT_LEFT, err != 0 ? err : ECONNRESET);
	return true;
}

/* False: it cannot be watched, and f is gone. */
static bool watch_client(struct relay_flow *f, unsigned want, watch_fn *fn)
{
	struct watch *w = client_watch(f);
	if (watch_is_started(w))
		watch_become(w, want, fn);
	else if (watch_start(w, f->loop->r, f->client_fd, want, fn) < 0) {
		end_early(f, RELAY_END_CLIENT_FAILED, errno);
		return false;
	}
	return true;
}

/* WHY the watch asks for bytes, too, which nobody wants now: most connects are through before any come, and then the
 * pump wants them. So the kernel is told nothing twice; and when some come, on_client_error stops it. */
static bool watch_for_errors(struct relay_flow *f)
{
	return watch_client(f, WATCH_READ, on_client_error);
}

static void on_greeting_late(struct timer *t)
{
	relay_refuse(CONTAINER_OF(t, struct relay_flow, deadline), RELAY_END_REFUSED, "the greeting took too long");
}

void relay_greet(struct relay_flow *f, watch_fn *fn, uint64_t limit_ns)
{
	reactor_timer_start(f->loop->r, &f->deadline, now_of(f) + limit_ns, on_greeting_late);
	watch_client(f, WATCH_READ, fn);
}

static void on_connected(struct connector *c, int fd, const struct net_error *e)
{
	struct relay_flow *f = CONTAINER_OF(c, struct relay_dial, connector)->flow;
	f->connected_ns = clk_mono_ns(); /* not the round's time: on loopback it is often the same round */
	f->resolved_ns = c->resolved_ns;
	if (fd >= 0)
		f->server = c->reached;
	free(f->why); /* of an earlier try */
	f->why = NULL;
	if (fd < 0) {
		f->why = xmalloc(sizeof(*f->why));
		*f->why = *e;
	}
	relay_of(f)->tool->on_connected(f, fd, e);
}

static bool may_connect(const struct connect_to *to, const struct addr *a)
{
	struct relay_flow *f = CONTAINER_OF(to, struct relay_dial, to)->flow;
	return relay_of(f)->tool->may_connect(f, a);
}

void relay_name_target(struct relay_flow *f, const char *host, uint16_t port)
{
	char text[RELAY_TARGET];
	bool is_v6 = strchr(host, ':') != NULL;
	snprintf(text, sizeof(text), "%s%s%s:%u", is_v6 ? "[" : "", host, is_v6 ? "]" : "", port);
	free(f->target);
	f->target = xstrdup(text);
}

void relay_connect(struct relay_flow *f, const char *host, uint16_t port)
{
	struct relay *relay = relay_of(f);
	const struct relay_options *o = relay->o;
	if (f->state == RELAY_GREETING) {
		f->state = RELAY_CONNECTING;
		f->dial = xcalloc(1, sizeof(*f->dial));
		f->dial->flow = f;
		reactor_timer_stop(f->loop->r, &f->deadline);
		if (!watch_for_errors(f))
			return;
	}
	struct relay_dial *dial = f->dial;
	relay_name_target(f, host, port);
	f->dialled_ns = clk_mono_ns();
	snprintf(dial->host, sizeof(dial->host), "%s", host);
	dial->to = (struct connect_to){
		.host = dial->host,
		.port = port,
		.family = relay->family,
		.from = relay->has_from ? &relay->from : NULL,
		.ourselves = &relay->bound,
		.may_connect = relay->tool->may_connect != NULL ? may_connect : NULL,
		.source = f->asker,
		.options = relay->socket,
		.deadline_ns = o->connect_ns != 0 ? now_of(f) + o->connect_ns : CLK_NEVER,
	};
	connector_start(&dial->connector, f->loop->r, &f->loop->names, &dial->to, on_connected);
}

static void on_wait_over(struct timer *t)
{
	struct relay_flow *f = CONTAINER_OF(t, struct relay_flow, deadline);
	f->on_late(f);
}

bool relay_wait(struct relay_flow *f, const char *target, uint64_t limit_ns, void (*late)(struct relay_flow *f))
{
	f->state = RELAY_CONNECTING;
	f->on_late = late;
	f->target = xstrdup(target);
	f->dialled_ns = now_of(f);
	reactor_timer_start(f->loop->r, &f->deadline, now_of(f) + limit_ns, on_wait_over);
	return watch_for_errors(f);
}

/* --- served by the tool ------------------------------------------------------------------------------------------- */

/* What the client sends is thrown away, up to its end. */
static bool on_served_client(struct watch *w, unsigned events)
{
	(void)events;
	struct relay_flow *f = relay_flow_of_watch(w);
	ssize_t n = io_drop(w->fd);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n == 0)
		end_in_order(f, RELAY_END_ORDERLY);
	else if (n < 0)
		end_early(f, errno == ECONNRESET ? RELAY_END_CLIENT_RESET : RELAY_END_CLIENT_FAILED, errno);
	return true;
}

static void on_silence(struct timer *t)
{
	struct relay_flow *f = CONTAINER_OF(t, struct relay_flow, deadline);
	uint64_t until_ns = f->pump.moved_ns + relay_of(f)->o->idle_ns;
	if (until_ns <= now_of(f))
		end_early(f, RELAY_END_IDLE, 0);
	else
		reactor_timer_start(f->loop->r, t, until_ns, on_silence);
}

void relay_serve(struct relay_flow *f, const char *target)
{
	uint64_t idle_ns = relay_of(f)->o->idle_ns;
	f->state = RELAY_SERVING;
	f->target = xstrdup(target);
	f->pump.moved_ns = now_of(f);
	reactor_timer_stop(f->loop->r, &f->deadline);
	if (idle_ns != 0)
		reactor_timer_start(f->loop->r, &f->deadline, now_of(f) + idle_ns, on_silence);
	watch_client(f, WATCH_READ, on_served_client);
}

void relay_count(struct relay_flow *f, enum pump_way way, uint64_t bytes_in, uint64_t bytes_out)
{
	struct pump_lane *lane = &f->pump.lane[way];
	lane->bytes_in += bytes_in;
	lane->bytes_out += bytes_out;
	lane->dropped = lane->bytes_in - lane->bytes_out;
	f->pump.moved_ns = now_of(f);
}

/* --- parting ------------------------------------------------------------------------------------------------------ */

static bool on_parting(struct watch *w, unsigned events)
{
	(void)events;
	struct relay_flow *f = relay_flow_of_watch(w);
	ssize_t n = io_drop(w->fd);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n <= 0)
		end_in_order(f, f->end);
	return true;
}

static void on_parting_late(struct timer *t)
{
	struct relay_flow *f = CONTAINER_OF(t, struct relay_flow, deadline);
	end_in_order(f, f->end);
}

void relay_part(struct relay_flow *f, enum relay_end end, const char *reason, const void *words, size_t len)
{
	f->reason = reason;
	f->end = end;
	if (f->dial != NULL)
		connector_cancel(&f->dial->connector);
	if (send(f->client_fd, words, len, MSG_NOSIGNAL) != (ssize_t)len || shutdown(f->client_fd, SHUT_WR) < 0) {
		end_early(f, end, 0); /* it is gone already */
		return;
	}
	f->state = RELAY_PARTING;
	reactor_timer_start(f->loop->r, &f->deadline, now_of(f) + RELAY_PART_NS, on_parting_late);
	watch_client(f, WATCH_READ, on_parting);
}

/* --- open --------------------------------------------------------------------------------------------------------- */

static struct relay_flow *flow_of(struct pump *p)
{
	return CONTAINER_OF(p, struct relay_flow, pump);
}

void relay_open(struct relay_flow *f, int fd, const void *own, size_t own_len, const void *early, size_t early_len)
{
	struct relay_loop *loop = f->loop;
	reactor_timer_stop(loop->r, &f->deadline);
	free(f->dial);
	f->dial = NULL;
	if (f->connected_ns == 0)
		f->connected_ns = clk_mono_ns(); /* it came by itself */
	if (pump_start(&f->pump, &loop->shop, f->client_fd, fd) < 0) {
		f->client_fd = -1;
		end_early(f, RELAY_END_SERVER_FAILED, errno);
		return;
	}
	f->state = RELAY_OPEN;
	f->own_len = (uint32_t)own_len;
	if (own_len > 0)
		pump_prime(&f->pump, PUMP_UP, own, own_len);
	if (early_len > 0) {
		pump_prime(&f->pump, PUMP_UP, early, early_len);
		if (relay_of(f)->o->dump != RELAY_DUMP_NONE)
			relay_dump_bytes(f, PUMP_UP, own_len, early, early_len);
	}
	relay_flow_impair(f, loop->impair);
}

static enum relay_end end_of(const struct pump *p)
{
	switch (p->end) {
	case PUMP_ORDERLY:
		return RELAY_END_ORDERLY;
	case PUMP_RESET:
		return p->side == PUMP_A ? RELAY_END_CLIENT_RESET : RELAY_END_SERVER_RESET;
	case PUMP_FAILED:
		return p->side == PUMP_A ? RELAY_END_CLIENT_FAILED : RELAY_END_SERVER_FAILED;
	case PUMP_LINGER:
		return RELAY_END_LINGER;
	case PUMP_IDLE:
		return RELAY_END_IDLE;
	case PUMP_CUT:
		return RELAY_END_CUT;
	default:
		return RELAY_END_DRAINED;
	}
}

static void on_done(struct pump *p)
{
	struct relay_flow *f = flow_of(p);
	f->client_fd = -1;
	end_flow(f, end_of(p), p->end == PUMP_FAILED || p->end == PUMP_ABORTED ? p->err : 0);
}

static void on_bytes(struct pump *p, enum pump_way way, unsigned char *bytes, size_t n)
{
	struct relay_flow *f = flow_of(p);
	if (f->impair[way] != NULL)
		impair_arrive(f->impair[way], bytes, n, now_of(f));
	if (relay_of(f)->o->dump != RELAY_DUMP_NONE && n > 0)
		relay_dump_bytes(f, way, p->lane[way].bytes_in - n, bytes, n);
}

static struct pump_pass may_pass(struct pump *p, enum pump_way way, size_t waiting)
{
	struct relay_flow *f = flow_of(p);
	if (f->impair[way] != NULL)
		return impair_pass(f->impair[way], waiting, now_of(f));
	return (struct pump_pass){ .send = waiting, .end = true, .again_ns = CLK_NEVER };
}

static void on_passed(struct pump *p, enum pump_way way, size_t n)
{
	struct relay_flow *f = flow_of(p);
	if (f->impair[way] != NULL)
		impair_left(f->impair[way], n, now_of(f));
}

const struct pump_ops relay_pump_ops = {
	.on_done = on_done,
	.on_bytes = on_bytes,
	.may_pass = may_pass,
	.on_passed = on_passed,
};

/* The relay's own words to the server are not in the client's stream, and so have no place in it. */
static struct impair *new_impair(struct relay_flow *f, enum pump_way way, const struct impair_spec *spec)
{
	const struct pump_lane *lane = &f->pump.lane[way];
	uint64_t came = lane->bytes_in - (way == PUMP_UP ? f->own_len : 0);
	size_t ahead = buf_len(&lane->queue); /* what is in a pipe goes its way, and is not asked for */
	return impair_new(spec, f->id * 2 + (uint64_t)way, came, ahead, now_of(f));
}

/* WHY a way keeps its impairment when nothing is to happen any more: what is under way keeps the time it was given. */
void relay_flow_impair(struct relay_flow *f, const struct impair_spec spec[2])
{
	if (f->state != RELAY_OPEN)
		return;
	bool looks = relay_of(f)->o->dump != RELAY_DUMP_NONE;
	for (int way = PUMP_UP; way <= PUMP_DOWN; way++) {
		if (f->impair[way] != NULL)
			impair_change(f->impair[way], &spec[way], now_of(f));
		else if (!impair_is_nothing(&spec[way]))
			f->impair[way] = new_impair(f, (enum pump_way)way, &spec[way]);
		looks |= f->impair[way] != NULL;
	}
	pump_look(&f->pump, looks);
	pump_ask(&f->pump);
}

/* --- what is known of it ------------------------------------------------------------------------------------------ */

static void fill_lane(const struct relay_flow *f, enum pump_way way, uint64_t now_ns, struct relay_lane_row *out)
{
	const struct pump_lane *lane = &f->pump.lane[way];
	uint64_t waiting_ns = lane->blocked_at_ns != 0 ? now_ns - lane->blocked_at_ns : 0;
	*out = (struct relay_lane_row){
		.bytes_in = lane->bytes_in,
		.bytes_out = lane->bytes_out,
		.dropped = lane->dropped,
		.blocked_ns = lane->blocked_ns + waiting_ns,
		.waiting = pump_waiting(lane),
		.peak = lane->peak,
		.waiting_ns = waiting_ns,
		.pauses = lane->pauses,
		.is_paused = lane->is_paused,
		.is_eof = lane->is_eof,
		.is_shut = lane->is_shut,
		.is_impaired = f->impair[way] != NULL,
	};
}

/* WHY here: a note may have a client's own words in it, and goes to terminals, pages and event streams. */
static void make_plain(char *text)
{
	for (; *text != '\0'; text++)
		if (*text < ' ' || *text > '~')
			*text = '?';
}

void relay_flow_row(struct relay_flow *f, uint64_t now_ns, bool with_rtt, struct relay_row *out)
{
	uint64_t until_ns = f->state == RELAY_ENDED ? f->ended_ns : now_ns;
	*out = (struct relay_row){
		.id = f->id,
		.state = f->state,
		.end = f->end,
		.err = f->err,
		.client = f->client,
		.server = f->server,
		.age_ns = until_ns - f->accepted_ns,
		.resolve_ns = f->resolved_ns != 0 ? f->resolved_ns - f->dialled_ns : 0,
		.ended_ns = f->ended_ns,
	};
	if (f->why != NULL && f->err == 0) {
		out->err = f->why->sys;
		out->gai = f->why->gai;
	}
	if (f->connected_ns != 0)
		out->connect_ns = f->connected_ns - (f->resolved_ns != 0 ? f->resolved_ns : f->dialled_ns);
	snprintf(out->target, sizeof(out->target), "%s", f->target != NULL ? f->target : "");
	if (relay_of(f)->tool->note != NULL)
		relay_of(f)->tool->note(f, out->note);
	make_plain(out->note);
	for (int way = PUMP_UP; way <= PUMP_DOWN; way++) {
		struct tcpinfo info;
		fill_lane(f, (enum pump_way)way, now_ns, &out->lane[way]);
		if (with_rtt && f->state == RELAY_OPEN && tcpinfo_get(f->pump.watch[way].fd, &info) == 0)
			out->rtt_ns[way] = info.rtt_ns;
	}
}

/* --- the beginning ------------------------------------------------------------------------------------------------ */

void relay_flow_begin(struct relay_flow *f)
{
	struct relay_loop *loop = f->loop;
	f->next = loop->flows;
	f->link = &loop->flows;
	if (f->next != NULL)
		f->next->link = &f->next;
	loop->flows = f;
	loop->tally.connections++;
	loop->tally.live++;
	if (loop->is_aborting)
		end_early(f, RELAY_END_DRAINED, 0);
	else
		relay_of(f)->tool->on_client(f);
}
