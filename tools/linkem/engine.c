/* engine.c - linkem, third chapter: the loop.
 *
 *	port in --on_readable--> lane_send ...time passes... on_due --> lane_receive --> port out
 *
 * A port is read until it is empty, but not more than BATCH packets at a time, so that none starves the other. Each
 * lane has one timer, for whatever it has to do next. */
#include "engine.h"

#include "clock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 64, EARLY_MAX_NS = 250 * 1000 };

static void on_due(struct timer *t);

/* At which end of the first link a packet of this lane is seen when it comes in, and when it goes out. */
static void capture(struct way *w, bool coming_in, const unsigned char *bytes, size_t len)
{
	if (w->number > LANE_B2A)
		return;
	unsigned end = (w->number == LANE_A2B) == coming_in ? 0 : 1;
	capture_packet(&w->engine->captures[end], bytes, len);
}

/* What has arrived goes out; then the timer is set to the next. */
static void deliver(struct way *w, uint64_t now_ns)
{
	struct lane_packet *p;
	while ((p = lane_receive(&w->lane, now_ns)) != NULL) {
		capture(w, false, p->bytes, p->len);
		if (!port_write(w->out, p->bytes, p->len))
			w->refused++;
		diagram_arrived(&w->engine->diagram, w->number, p, now_ns);
		free(p);
	}
	uint64_t next_ns = lane_next_ns(&w->lane);
	if (next_ns == CLK_NEVER) {
		reactor_timer_stop(w->engine->reactor, &w->due);
		return;
	}
	w->armed_ns = next_ns - w->engine->early_ns;
	reactor_timer_start(w->engine->reactor, &w->due, w->armed_ns, on_due);
}

/* WHY early, and then a wait without sleep: an idle processor takes 50 to 200 us to wake up, and twice that would be in
 * each round trip. So timers are set as much earlier as they have been late so far, and what is left of the time is
 * waited out. On a busy machine they are hardly late, and there is next to nothing to wait for. */
static void on_due(struct timer *t)
{
	struct way *w = CONTAINER_OF(t, struct way, due);
	struct engine *g = w->engine;
	uint64_t now_ns = clk_mono_ns(), next_ns = lane_next_ns(&w->lane);
	uint64_t late_ns = now_ns > w->armed_ns ? now_ns - w->armed_ns : 0;
	if (late_ns > EARLY_MAX_NS)
		late_ns = EARLY_MAX_NS; /* somebody else had the processor */
	g->early_ns = (7 * g->early_ns + late_ns) / 8;
	while (now_ns < next_ns && next_ns - now_ns <= EARLY_MAX_NS)
		now_ns = clk_mono_ns();
	deliver(w, now_ns);
}

/* A packet comes in. The diagram looks at it first: afterwards it is the lane's. */
static void take(struct way *w, size_t len, uint64_t now_ns)
{
	struct engine *g = w->engine;
	struct lane_packet *p = lane_packet_new(len);
	memcpy(p->bytes, g->packet, len);
	capture(w, true, g->packet, len);
	enum lane_fate fate = lane_send(&w->lane, p, now_ns);
	if (fate != LANE_PASSED)
		diagram_dropped(&g->diagram, w->number, g->packet, len, fate, now_ns);
}

static bool on_readable(struct watch *watch, unsigned events)
{
	(void)events;
	struct way *w = CONTAINER_OF(watch, struct way, watch);
	struct engine *g = w->engine;
	uint64_t now_ns = clk_mono_ns();
	unsigned n = 0;
	for (; n < BATCH; n++) {
		ssize_t len = port_read(w->in, g->packet, sizeof(g->packet));
		if (len < 0 && errno == EBADFD) /* somebody on the host has deleted its device */
			watch_stop(watch);
		if (len < 0)
			break;
		now_ns = clk_mono_ns();
		take(w, (size_t)len, now_ns);
	}
	deliver(w, now_ns);
	return n > 0 || !watch_is_started(watch);
}

/* --- from outside ------------------------------------------------------------------------------------------------- */

void engine_specs(const struct engine *g, struct spec specs[LINKEM_LANES])
{
	for (unsigned i = 0; i < LINKEM_LANES; i++)
		specs[i] = i < g->n_ways ? g->ways[i].lane.spec : spec_default();
}

void engine_change(struct engine *g, const struct spec specs[LINKEM_LANES])
{
	uint64_t now_ns = clk_mono_ns();
	for (unsigned i = 0; i < g->n_ways; i++) {
		uint64_t rtt_ns = specs[i].delay_ns + specs[i ^ 1].delay_ns;
		lane_change(&g->ways[i].lane, &specs[i], rtt_ns, now_ns);
		deliver(&g->ways[i], now_ns);
	}
}

void engine_count(struct engine *g, struct counters *c)
{
	*c = (struct counters){ .now_ns = clk_mono_ns(), .start_ns = g->start_ns, .n = g->n_ways };
	for (unsigned i = 0; i < g->n_ways; i++) {
		struct way *w = &g->ways[i];
		deliver(w, c->now_ns); /* the queue as it is now */
		c->lanes[i] = (struct lane_counters){
			.spec = w->lane.spec,
			.stats = w->lane.stats,
			.limit_len = w->lane.spec.rate_Bps != 0 ? w->lane.limit_len : 0,
			.device_drops = port_dropped(w->in) + w->refused,
		};
	}
}

void engine_count_interval(struct engine *g, struct counters *c)
{
	engine_count(g, c);
	for (unsigned i = 0; i < g->n_ways; i++)
		c->lanes[i].stats.queue_peak_len = lane_take_peak(&g->ways[i].lane);
}

static int start_way(struct engine *g, unsigned number, struct net_error *e)
{
	struct way *w = &g->ways[number];
	*w = (struct way){ .engine = g, .number = number };
	w->in = &g->hosts->ports[number];
	w->out = &g->hosts->ports[number ^ 1];
	lane_open(&w->lane, &g->o->lanes[number], number);
	if (watch_start(&w->watch, g->reactor, w->in->fd, WATCH_READ, on_readable) < 0)
		return net_fail(e, "watch", w->in->device);
	return 0;
}

int engine_start(struct engine *g, struct reactor *r, struct hosts *h, const struct linkem_options *o,
		 struct net_error *e)
{
	g->o = o;
	g->hosts = h;
	g->reactor = r;
	g->n_ways = h->n_ports;
	g->start_ns = clk_mono_ns();
	for (unsigned i = 0; i < g->n_ways; i++) {
		if (start_way(g, i, e) < 0)
			return -1;
	}
	engine_change(g, o->lanes);
	for (unsigned i = 0; i < COUNT_OF(g->captures); i++) {
		if (capture_open(&g->captures[i], r, o->pcap[i], e) < 0)
			return -1;
	}
	return 0;
}
