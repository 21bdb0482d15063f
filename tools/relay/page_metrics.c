/* page_metrics.c - the relay's family: the sums for Prometheus and what else reads its text format (metrics.h).
 *
 * Only sums: a series for each connection would live in their database for ever. */
#include "page.h"

#include "clock.h"
#include "metrics.h"

static void put_one(struct metrics *m, const char *name, enum metrics_type type, uint64_t value, const char *help)
{
	metrics_head(m, name, type, help);
	metrics_u64(m, value, NULL);
}

static void put_ends(struct metrics *m, const struct relay_tally *t)
{
	metrics_head(m, "ended_total", METRICS_COUNTER, "Connections that have ended, by what ended them.");
	for (enum relay_end end = RELAY_END_ORDERLY; end < RELAY_END_DENIED; end++)
		metrics_u64(m, t->ends[end], "reason", relay_end_symbol(end), NULL);
}

void relay_page_metrics(FILE *out, const struct relay *relay, const struct relay_census *c)
{
	const struct relay_tally *t = &c->tally;
	struct metrics m;
	metrics_begin(&m, out, relay->tool->name);
	put_one(&m, "connections_total", METRICS_COUNTER, t->connections, "Connections accepted.");
	put_one(&m, "denied_total", METRICS_COUNTER, t->denied, "Connections that the rules did not let in.");
	put_one(&m, "failed_total", METRICS_COUNTER, t->failed, "Connections that never reached a server.");
	metrics_head(&m, "bytes_total", METRICS_COUNTER, "Bytes delivered to the server (up), to the client (down).");
	metrics_u64(&m, t->bytes_up, "way", "up", NULL);
	metrics_u64(&m, t->bytes_down, "way", "down", NULL);
	put_ends(&m, t);
	put_one(&m, "live", METRICS_GAUGE, t->live, "Connections now.");
	put_one(&m, "paused", METRICS_GAUGE, c->n_paused, "Connections of which one side is paused by backpressure.");
	put_one(&m, "waiting", METRICS_GAUGE, c->n_waiting, "Connections in which bytes wait for the other side.");
	put_one(&m, "draining", METRICS_GAUGE, relay->is_draining, "1 when nobody new is accepted any more.");
	metrics_head(&m, "uptime_seconds", METRICS_GAUGE, "Since the start.");
	metrics_f64(&m, (double)((c->now_ns - relay->start_ns) / NS_PER_MS) / 1000, NULL);
}
