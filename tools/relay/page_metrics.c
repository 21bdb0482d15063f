/* page_metrics.c - the relay's family: the sums for Prometheus and what else reads its text format (0.0.4).
 *
 *	# HELP tcprelay_bytes_total Bytes delivered to the server (up), to the client (down).
 *	# TYPE tcprelay_bytes_total counter
 *	tcprelay_bytes_total{way="up"} 4096
 *
 * Only sums: a series for each connection would live in their database for ever. */
#include "page.h"

static void put_head(FILE *out, const struct relay *relay, const char *name, const char *type, const char *help)
{
	const char *tool = relay->tool->name;
	fprintf(out, "# HELP %s_%s %s\n# TYPE %s_%s %s\n", tool, name, help, tool, name, type);
}

static void put_value(FILE *out, const struct relay *relay, const char *name, const char *label, uint64_t value)
{
	fprintf(out, "%s_%s%s %llu\n", relay->tool->name, name, label, (unsigned long long)value);
}

static void put_one(FILE *out, const struct relay *relay, const char *name, const char *type, uint64_t value,
		    const char *help)
{
	put_head(out, relay, name, type, help);
	put_value(out, relay, name, "", value);
}

static void put_ends(FILE *out, const struct relay *relay, const struct relay_tally *t)
{
	char label[64];
	put_head(out, relay, "ended_total", "counter", "Connections that have ended, by what ended them.");
	for (enum relay_end end = RELAY_END_ORDERLY; end < RELAY_END_DENIED; end++) {
		snprintf(label, sizeof(label), "{reason=\"%s\"}", relay_end_symbol(end));
		put_value(out, relay, "ended_total", label, t->ends[end]);
	}
}

void relay_page_metrics(FILE *out, const struct relay *relay, const struct relay_census *c)
{
	const struct relay_tally *t = &c->tally;
	put_one(out, relay, "connections_total", "counter", t->connections, "Connections accepted.");
	put_one(out, relay, "denied_total", "counter", t->denied, "Connections that the rules did not let in.");
	put_one(out, relay, "failed_total", "counter", t->failed, "Connections that never reached a server.");
	put_head(out, relay, "bytes_total", "counter", "Bytes delivered to the server (up), to the client (down).");
	put_value(out, relay, "bytes_total", "{way=\"up\"}", t->bytes_up);
	put_value(out, relay, "bytes_total", "{way=\"down\"}", t->bytes_down);
	put_ends(out, relay, t);
	put_one(out, relay, "live", "gauge", t->live, "Connections now.");
	put_one(out, relay, "paused", "gauge", c->n_paused, "Connections of which one side is paused by backpressure.");
	put_one(out, relay, "waiting", "gauge", c->n_waiting, "Connections in which bytes wait for the other side.");
	put_one(out, relay, "draining", "gauge", relay->is_draining, "1 when nobody new is accepted any more.");
	put_head(out, relay, "uptime_seconds", "gauge", "Since the start.");
	fprintf(out, "%s_uptime_seconds %.3f\n", relay->tool->name, (double)(c->now_ns - relay->start_ns) / 1e9);
}
