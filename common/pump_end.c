/* pump_end.c - how a flow in a pump ends: in order, by a reset of one side, or because somebody says so. What follows from it
 * step by step, until both descriptors are closed, is settle() in pump.c. */
#include "pump.h"

#include "diag.h"
#include "sock.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

/* --- the end ------------------------------------------------------------------------------------------------------ */

/* What waits here will never be sent. */
void pump_lose(struct pump *p, struct pump_lane *lane)
{
	lane->dropped += pump_waiting(lane);
	buf_free(&lane->queue);
	if (lane->pipe != NULL)
		pipepool_give(&p->shop->pipes, lane->pipe, lane->in_pipe == 0);
	lane->pipe = NULL;
	lane->in_pipe = 0;
}

void pump_unblock(struct pump *p, struct pump_lane *lane)
{
	if (lane->blocked_at_ns != 0)
		lane->blocked_ns += pump_now_ns(p) - lane->blocked_at_ns;
	lane->blocked_at_ns = 0;
}

static void on_turn(struct deferred *d)
{
	struct pump *p = CONTAINER_OF(d, struct pump, turn);
	for (int side = PUMP_A; side <= PUMP_B; side++) {
		/* WHY: a plain close would look like an end in order, and the peer would believe that it has
		 * everything. */
		if (p->is_orderly)
			close(p->watch[side].fd);
		else
			sock_abort(p->watch[side].fd);
		p->watch[side].fd = -1;
	}
	p->shop->o.ops->on_done(p);
}

/* The rest follows at the end of the round. */
void pump_finish(struct pump *p, enum pump_end end)
{
	if (p->is_over)
		return;
	p->is_over = true;
	p->end = end;
	reactor_timer_stop(p->shop->r, &p->timer);
	for (int i = 0; i < 2; i++) {
		watch_stop(&p->watch[i]);
		pump_unblock(p, &p->lane[i]);
		pump_lose(p, &p->lane[i]);
	}
	reactor_defer(p->shop->r, &p->turn, on_turn);
}

void pump_abort(struct pump *p, enum pump_end end, int err)
{
	if (!p->is_over)
		p->err = err;
	pump_finish(p, end);
}

/* This side is dead, or is to look so: nothing is sent to it any more. What had come from it before is still delivered
 * (settle_reset). */
static void begin_reset(struct pump *p, enum pump_end end, enum pump_side side, int err)
{
	struct pump_lane *to_it = &p->lane[!side];
	p->is_resetting = true;
	p->end = end;
	p->side = side;
	p->err = err;
	p->ending_ns = pump_now_ns(p);
	p->unacked = -1;
	watch_stop(&p->watch[side]);
	pump_unblock(p, to_it);
	pump_lose(p, to_it);
}

void pump_fail_side(struct pump *p, enum pump_side side, int err)
{
	bool is_reset = err == ECONNRESET || err == EPIPE;
	if (diag_trace)
		tracef("pump: fd %d failed: %s", p->watch[side].fd, errno_name(err));
	if (p->is_over)
		return;
	if (p->end == PUMP_LIVES) {
		begin_reset(p, is_reset ? PUMP_RESET : PUMP_FAILED, side, err);
	} else if (!p->is_resetting || p->side != side) { /* both have failed: nobody is left to deliver to */
		p->is_orderly = !p->is_resetting;
		pump_finish(p, p->end);
	}
}

/* What comes from now on is thrown away, and both sides see an end in order, whatever they still had to say. */
static void cut_in_order(struct pump *p)
{
	p->end = PUMP_CUT;
	p->ending_ns = pump_now_ns(p);
	for (int way = PUMP_UP; way <= PUMP_DOWN; way++) {
		struct pump_lane *lane = &p->lane[way];
		pump_unblock(p, lane);
		pump_lose(p, lane);
		lane->is_paused = false;
		if (!lane->is_shut && shutdown(pump_sink_fd(p, way), SHUT_WR) < 0 && diag_trace)
			tracef("shutdown(%d): %s", pump_sink_fd(p, way),
			       errno_name(errno)); /* reading from it tells, too */
		lane->is_shut = true;
	}
}

void pump_cut(struct pump *p, enum pump_way way, enum pump_cut how)
{
	if (p->is_resetting) {
		pump_finish(p, p->end);
	} else if (how == PUMP_CUT_FIN) {
		cut_in_order(p);
	} else {
		begin_reset(p, PUMP_CUT, (enum pump_side)way, 0);
		pump_lose(p, &p->lane[way]);
		p->lane[way].is_eof = true; /* nothing more is read */
	}
}
