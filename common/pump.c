#include "pump.h"

#include "clock.h"
#include "diag.h"
#include "mem.h"
#include "sock.h"

#include <assert.h>
#include <errno.h>
#include <linux/sockios.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

static const uint64_t ACK_LOOK_LEAST_NS = NS_PER_MS, ACK_LOOK_MOST_NS = 50 * NS_PER_MS;

static watch_fn on_event_a, on_event_b;
static void on_timer(struct timer *t);

/* --- after each event: what follows from it ----------------------------------------------------------------------- */

static bool may_end_pass(struct pump *p, enum pump_way way)
{
	return pump_waiting(&p->lane[way]) == 0 && pump_may_pass(p, way).end;
}

/* The source's FIN goes on, behind the last byte. */
static void settle_fin(struct pump *p, enum pump_way way)
{
	struct pump_lane *lane = &p->lane[way];
	if (!lane->is_eof || lane->is_shut || p->end != PUMP_LIVES || !may_end_pass(p, way))
		return;
	lane->is_shut = p->lane[!way].is_shut; /* WHY: then this was the last one, and close(2) sends the FIN */
	if (!lane->is_shut && shutdown(pump_sink_fd(p, way), SHUT_WR) < 0) {
		int err = errno, cause = sock_take_error(pump_sink_fd(p, way));
		pump_fail_side(p, (enum pump_side) !way,
			       cause != 0 ? cause : err); /* WHY: after a reset it says ENOTCONN only */
		return;
	}
	if (diag_trace && !lane->is_shut)
		tracef("shutdown(%d, SHUT_WR)", pump_sink_fd(p, way));
	lane->is_shut = true;
	pump_note_moved(p);
}

static void settle_pause(struct pump *p, struct pump_lane *lane)
{
	size_t waiting = pump_waiting(lane);
	if (lane->is_paused) {
		lane->is_paused = lane->in_pipe > 0 || waiting > p->shop->o.low;
	} else if (lane->in_pipe > 0 || waiting >= p->shop->o.high) {
		lane->is_paused = true;
		lane->pauses++;
	}
}

/* How long what came before a reset may make no progress. A way that is held up on purpose has more patience. */
static uint64_t reset_wait_ns(const struct pump *p)
{
	if (!p->is_looked_at || p->shop->o.ops->may_pass == NULL)
		return PUMP_RESET_WAIT_NS;
	return p->shop->o.linger_ns != 0 ? p->shop->o.linger_ns : CLK_NEVER;
}

static uint64_t after(uint64_t from_ns, uint64_t wait_ns)
{
	return wait_ns < CLK_NEVER - from_ns ? from_ns + wait_ns : CLK_NEVER;
}

/* Does the sink's kernel have everything? Its own acknowledgement tells (SIOCOUTQ, tcp(7)); our FIN counts as one byte. */
static bool is_acknowledged(struct pump *p, enum pump_way way)
{
	int unacked = 0;
	if (ioctl(pump_sink_fd(p, way), SIOCOUTQ, &unacked) < 0)
		return true;
	if (unacked != p->unacked)
		p->ending_ns = pump_now_ns(p);
	p->unacked = unacked;
	return unacked == 0;
}

/* One side is dead. What it had sent before goes to the other one, and then the reset.
 * WHY wait for acknowledgements: closing with SO_LINGER 0 throws away what is still in the send buffer. */
static void settle_reset(struct pump *p)
{
	enum { PIECES = 16 };
	enum pump_way way = (enum pump_way)p->side;
	struct pump_lane *lane = &p->lane[way];
	for (int i = 0; i < PIECES && pump_waiting(lane) == 0 && !lane->is_eof && !p->is_over; i++) {
		if (!pump_pull_copy(p, way, false))
			lane->is_eof = true;
	}
	if (p->is_over)
		return;
	if (pump_waiting(lane) == 0 && !lane->is_eof)
		p->again_ns[way] = pump_now_ns(p); /* there is more: the others first */
	bool may_end = p->end == PUMP_CUT || may_end_pass(p, way);
	bool is_through = lane->is_eof && may_end && is_acknowledged(p, way);
	if (is_through || pump_now_ns(p) >= after(p->ending_ns, reset_wait_ns(p)))
		pump_finish(p, p->end);
}

static void settle_want(struct pump *p, enum pump_side side)
{
	const struct pump_lane *in = &p->lane[side], *out = &p->lane[!side];
	struct watch *w = &p->watch[side];
	unsigned want = 0;
	if (p->is_resetting && p->side == side)
		return;
	if (in->is_eof && out->is_shut) { /* both FINs: nothing happens here any more, but HUP in every round */
		watch_stop(w);
		return;
	}
	if (!in->is_eof && !in->is_paused && !p->is_resetting)
		want |= WATCH_READ;
	if (out->blocked_at_ns != 0)
		want |= WATCH_WRITE;
	if (watch_is_started(w))
		watch_want(w, want);
	else if (want != 0 && watch_start(w, p->shop->r, w->fd, want, side == PUMP_A ? on_event_a : on_event_b) < 0)
		pump_abort(p, PUMP_ABORTED, errno);
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* When to look at the sink of a reset again: often at first, later less. */
static uint64_t ack_look_ns(const struct pump *p)
{
	uint64_t wait_ns = (pump_now_ns(p) - p->ending_ns) / 4;
	wait_ns = wait_ns < ACK_LOOK_LEAST_NS ? ACK_LOOK_LEAST_NS : sooner(wait_ns, ACK_LOOK_MOST_NS);
	return pump_now_ns(p) + wait_ns;
}

/* A flow that is half closed, or just silent, and for how long it may be. */
static uint64_t patience_ns(const struct pump *p)
{
	const struct pump_options *o = &p->shop->o;
	uint64_t due_ns = CLK_NEVER;
	if (o->linger_ns != 0 && (p->lane[PUMP_UP].is_eof || p->lane[PUMP_DOWN].is_eof))
		due_ns = after(p->moved_ns, o->linger_ns);
	if (o->idle_ns != 0)
		due_ns = sooner(due_ns, after(p->moved_ns, o->idle_ns));
	return due_ns;
}

/* A lane whose sink is full is asked for again when there is room. */
static uint64_t again_ns(const struct pump *p, enum pump_way way)
{
	return p->lane[way].blocked_at_ns == 0 ? p->again_ns[way] : CLK_NEVER;
}

static uint64_t next_due_ns(const struct pump *p)
{
	uint64_t due_ns = sooner(again_ns(p, PUMP_UP), again_ns(p, PUMP_DOWN));
	if (p->is_resetting) {
		const struct pump_lane *lane = &p->lane[p->side];
		due_ns = sooner(due_ns, after(p->ending_ns, reset_wait_ns(p)));
		return lane->is_eof && pump_waiting(lane) == 0 ? sooner(due_ns, ack_look_ns(p)) : due_ns;
	}
	if (p->end == PUMP_CUT) /* in order, as far as they can see: time for their FINs */
		return after(p->ending_ns, PUMP_RESET_WAIT_NS);
	return sooner(due_ns, patience_ns(p));
}

/* WHY the timer is left alone when it is due too early: it looks again when it fires, and a busy flow does not pay for
 * it. */
static void settle_timer(struct pump *p)
{
	uint64_t due_ns = next_due_ns(p);
	if (due_ns == CLK_NEVER)
		reactor_timer_stop(p->shop->r, &p->timer);
	else if (!timer_is_armed(&p->timer) || due_ns < p->timer.deadline_ns)
		reactor_timer_start(p->shop->r, &p->timer, due_ns, on_timer);
}

static void settle(struct pump *p)
{
	for (int way = PUMP_UP; way <= PUMP_DOWN && !p->is_over; way++) {
		settle_fin(p, (enum pump_way)way);
		settle_pause(p, &p->lane[way]);
	}
	if (p->is_resetting && !p->is_over)
		settle_reset(p);
	if (p->is_over)
		return;
	const struct pump_lane *up = &p->lane[PUMP_UP], *down = &p->lane[PUMP_DOWN];
	if (up->is_shut && up->is_eof && down->is_shut && down->is_eof) {
		p->is_orderly = true;
		pump_finish(p, p->end == PUMP_CUT ? PUMP_CUT : PUMP_ORDERLY);
		return;
	}
	settle_want(p, PUMP_A);
	settle_want(p, PUMP_B);
	if (!p->is_over)
		settle_timer(p);
}

/* --- events ------------------------------------------------------------------------------------------------------- */

static void push_due(struct pump *p, enum pump_way way)
{
	if (!p->is_over && again_ns(p, way) <= pump_now_ns(p))
		pump_push(p, way);
}

static void on_timer(struct timer *t)
{
	struct pump *p = CONTAINER_OF(t, struct pump, timer);
	uint64_t now_ns = pump_now_ns(p);
	if (p->end == PUMP_CUT && !p->is_resetting && now_ns >= p->ending_ns + PUMP_RESET_WAIT_NS) {
		p->is_orderly = true;
		pump_finish(p, PUMP_CUT);
	} else if (p->end == PUMP_LIVES && now_ns >= patience_ns(p)) {
		uint64_t idle_ns = p->shop->o.idle_ns;
		bool is_idle = idle_ns != 0 && now_ns >= after(p->moved_ns, idle_ns);
		pump_finish(p, is_idle ? PUMP_IDLE : PUMP_LINGER);
	}
	push_due(p, PUMP_UP);
	push_due(p, PUMP_DOWN);
	settle(p);
}

/* Not reading from this side, and yet something happened: a reset. Or both directions of it were shut down, but its FIN
 * is not yet read: then it would be reported in every round, so the watch stops until there is room again. */
static void take_hangup(struct pump *p, enum pump_side side)
{
	int err = sock_take_error(p->watch[side].fd);
	if (err != 0)
		pump_fail_side(p, side, err);
	else
		watch_stop(&p->watch[side]);
}

/* What the reactor wants to know: did anything happen? */
static uint64_t progress(const struct pump *p)
{
	uint64_t sum = p->is_over + (uint64_t)p->end;
	for (int i = 0; i < 2; i++) {
		const struct pump_lane *lane = &p->lane[i];
		sum += lane->bytes_in + lane->bytes_out + lane->is_eof + lane->is_shut;
	}
	return sum;
}

static bool serve(struct pump *p, enum pump_side side, unsigned events)
{
	uint64_t before = progress(p);
	unsigned want[2] = { p->watch[PUMP_A].want, p->watch[PUMP_B].want };
	struct watch *w = &p->watch[side];
	if (events & WATCH_WRITE)
		pump_push(p, (enum pump_way) !side);
	if (watch_is_started(w) && events & (WATCH_READ | WATCH_HUP | WATCH_ERR)) {
		if (w->want & WATCH_READ)
			pump_pull(p, (enum pump_way)side, events & WATCH_LAST);
		else if (events & (WATCH_HUP | WATCH_ERR))
			take_hangup(p, side);
	}
	settle(p);
	return progress(p) != before || !watch_is_started(w) || p->watch[PUMP_A].want != want[PUMP_A] ||
	       p->watch[PUMP_B].want != want[PUMP_B];
}

static bool on_event_a(struct watch *w, unsigned events)
{
	return serve(CONTAINER_OF(w, struct pump, watch[PUMP_A]), PUMP_A, events);
}

static bool on_event_b(struct watch *w, unsigned events)
{
	return serve(CONTAINER_OF(w, struct pump, watch[PUMP_B]), PUMP_B, events);
}

/* --- from outside ------------------------------------------------------------------------------------------------- */

void pump_shop_open(struct pump_shop *shop, struct reactor *r, const struct pump_options *o)
{
	*shop = (struct pump_shop){ .r = r, .o = *o, .scratch = xmalloc_pages(PUMP_PIECE) };
	shop->pipe_len = o->high != 0 && o->high < PIPEPOOL_LEN ? o->high : PIPEPOOL_LEN;
	if (shop->o.high == 0)
		shop->o.high = PUMP_HIGH;
	if (shop->o.low == 0)
		shop->o.low = shop->o.high / 4;
	assert(shop->o.low < shop->o.high && o->ops->on_done != NULL);
}

void pump_shop_close(struct pump_shop *shop)
{
	pipepool_close(&shop->pipes);
	free(shop->scratch);
}

int pump_start(struct pump *p, struct pump_shop *shop, int a, int b)
{
	struct watch *wa = &p->watch[PUMP_A], *wb = &p->watch[PUMP_B];
	p->shop = shop;
	p->again_ns[PUMP_UP] = p->again_ns[PUMP_DOWN] = CLK_NEVER;
	p->moved_ns = pump_now_ns(p);
	int rc = 0;
	if (watch_is_started(wa))
		watch_become(wa, WATCH_READ, on_event_a);
	else
		rc = watch_start(wa, shop->r, a, WATCH_READ, on_event_a);
	if (rc == 0 && watch_start(wb, shop->r, b, WATCH_READ, on_event_b) == 0) {
		settle_timer(p);
		return 0;
	}
	int saved = errno;
	watch_stop(wa);
	sock_abort(a);
	sock_abort(b);
	errno = saved;
	return -1;
}

void pump_prime(struct pump *p, enum pump_way way, const void *bytes, size_t n)
{
	pump_enqueue(p, way, bytes, n);
	settle(p);
}

void pump_look(struct pump *p, bool on)
{
	if (p->is_over || p->is_looked_at == on)
		return;
	p->is_looked_at = on;
	pump_ask(p);
}

void pump_ask(struct pump *p)
{
	for (int way = PUMP_UP; way <= PUMP_DOWN && !p->is_over; way++) {
		if (p->lane[way].blocked_at_ns == 0)
			pump_push(p, (enum pump_way)way);
	}
	settle(p);
}
