/* log.c - the relay's family, third chapter: what is said of a flow that has ended, of all of them each interval, and in the end.
 *
 * Results are on standard output: the records of --json, the interval lines, the total. The log of -v is for the one who runs
 * the relay, and on standard error. A line is one write, so lines of several loops do not mix (diag.h, json.h). */
#include "relay.h"

#include "clock.h"
#include "diag.h"
#include "mem.h"
#include "meter.h"
#include "record.h"
#include "units.h"

#include <stdlib.h>
#include <string.h>

/* --- names -------------------------------------------------------------------------------------------------------- */

static const struct {
	const char *symbol, *text;
} ends[RELAY_END_DENIED + 1] = {
	[RELAY_END_NONE] = { "none", "not ended" },
	[RELAY_END_ORDERLY] = { "orderly", "both ends finished" },
	[RELAY_END_CLIENT_RESET] = { "client_reset", "client reset" },
	[RELAY_END_SERVER_RESET] = { "server_reset", "server reset" },
	[RELAY_END_CLIENT_FAILED] = { "client_failed", "client failed" },
	[RELAY_END_SERVER_FAILED] = { "server_failed", "server failed" },
	[RELAY_END_LINGER] = { "linger", "half closed and silent for too long" },
	[RELAY_END_IDLE] = { "idle", "silent for too long" },
	[RELAY_END_CUT] = { "cut", "cut by impairment" },
	[RELAY_END_DRAINED] = { "drained", "the relay ended" },
	[RELAY_END_CLIENT_LEFT] = { "client_left", "client left before it was connected" },
	[RELAY_END_CONNECT] = { "connect", "no server could be reached" },
	[RELAY_END_REFUSED] = { "refused", "refused" },
	[RELAY_END_DENIED] = { "denied", "denied" },
};

const char *relay_end_text(enum relay_end end)
{
	return ends[end].text;
}

const char *relay_end_symbol(enum relay_end end)
{
	return ends[end].symbol;
}

const char *relay_state_symbol(enum relay_state state)
{
	static const char *const symbols[] = {
		[RELAY_GREETING] = "greeting", [RELAY_CONNECTING] = "connecting", [RELAY_OPEN] = "open",
		[RELAY_SERVING] = "serving",   [RELAY_PARTING] = "parting",       [RELAY_ENDED] = "ended",
	};
	return symbols[state];
}

/* --- a flow as JSON ------------------------------------------------------------------------------------------------ */

static void json_known(struct json *j, const char *key, bool is_known, uint64_t value)
{
	if (is_known)
		json_u64(j, key, value);
	else
		json_null(j, key);
}

static void json_addr(struct json *j, const char *key, const struct addr *a)
{
	char text[ADDR_TEXT];
	json_str(j, key, a->len > 0 ? addr_text(a, text) : NULL);
}

static void json_lane(struct json *j, const char *key, const struct relay_lane_row *l)
{
	json_object(j, key);
	json_u64(j, "received_bytes", l->bytes_in);
	json_u64(j, "delivered_bytes", l->bytes_out);
	json_u64(j, "lost_bytes", l->dropped);
	json_u64(j, "waiting_bytes", l->waiting);
	json_u64(j, "waiting_ns", l->waiting_ns);
	json_u64(j, "peak_bytes", l->peak);
	json_u64(j, "blocked_ns", l->blocked_ns);
	json_u64(j, "pauses", l->pauses);
	json_bool(j, "is_paused", l->is_paused);
	json_bool(j, "is_impaired", l->is_impaired);
	json_bool(j, "fin_received", l->is_eof);
	json_bool(j, "fin_sent", l->is_shut);
	json_close(j);
}

void relay_json_row(struct json *j, const struct relay_row *row)
{
	bool was_open = row->server.len > 0;
	json_u64(j, "id", row->id);
	json_addr(j, "client", &row->client);
	json_str(j, "target", row->target[0] != '\0' ? row->target : NULL);
	if (row->note[0] != '\0')
		json_str(j, "note", row->note);
	json_addr(j, "server", &row->server);
	json_str(j, "state", relay_state_symbol(row->state));
	json_str(j, "end", row->end != RELAY_END_NONE ? relay_end_symbol(row->end) : NULL);
	struct net_error error = { .sys = row->err, .gai = row->gai };
	json_str(j, "errno", row->err != 0 || row->gai != 0 ? net_error_symbol(&error) : NULL);
	json_u64(j, "age_ns", row->age_ns);
	json_known(j, "resolve_ns", row->resolve_ns != 0, row->resolve_ns);
	json_known(j, "connect_ns", was_open, row->connect_ns);
	json_u64(j, "bytes_up", row->lane[PUMP_UP].bytes_out);
	json_u64(j, "bytes_down", row->lane[PUMP_DOWN].bytes_out);
	json_known(j, "client_rtt_ns", row->rtt_ns[PUMP_A] != 0, row->rtt_ns[PUMP_A]);
	json_known(j, "server_rtt_ns", row->rtt_ns[PUMP_B] != 0, row->rtt_ns[PUMP_B]);
	json_lane(j, "up", &row->lane[PUMP_UP]);
	json_lane(j, "down", &row->lane[PUMP_DOWN]);
}

/* --- the end of a flow --------------------------------------------------------------------------------------------- */

static const char *side_name(enum pump_side side)
{
	return side == PUMP_A ? "client" : "server";
}

/* When the first byte left, counted from the accept; null if none did. */
static void json_since(struct json *j, const char *key, const struct relay_flow *f, uint64_t at_ns)
{
	json_known(j, key, at_ns != 0, at_ns - f->accepted_ns);
}

static void json_end_of(struct relay_flow *f, const struct relay_row *row)
{
	struct json j;
	record_begin(&j, "connection");
	relay_json_row(&j, row);
	json_since(&j, "first_up_ns", f, f->pump.lane[PUMP_UP].first_ns);
	json_since(&j, "first_down_ns", f, f->pump.lane[PUMP_DOWN].first_ns);
	json_str(&j, "first_fin", f->pump.has_fin ? side_name(f->pump.first_fin) : NULL);
	json_str(&j, "why", f->why != NULL ? net_error_reason(f->why) : f->reason);
	json_i64(&j, "ended_real_ns", clk_real_ns());
	if (relay_of(f)->tool->describe != NULL)
		relay_of(f)->tool->describe(f, &j);
	json_end(&j);
}

static void print_lost(FILE *out, const struct relay_row *row)
{
	uint64_t up = row->lane[PUMP_UP].dropped, down = row->lane[PUMP_DOWN].dropped;
	char text[UNITS_TEXT];
	if (up > 0)
		fprintf(out, "; lost on the way up: %s", units_size(text, up));
	if (down > 0)
		fprintf(out, "; lost on the way down: %s", units_size(text, down));
}

/* What is known beyond the kind of the end: which error, why it was refused, or who has the TIME-WAIT now, or would have
 * it without a relay (RFC 9293 3.6). */
static void print_why(FILE *out, const struct relay_flow *f, const struct relay_row *row)
{
	char text[NET_ERROR_TEXT];
	if (f->pump.has_fin && (row->end == RELAY_END_ORDERLY || row->end == RELAY_END_LINGER))
		fprintf(out, ", %s first", side_name(f->pump.first_fin));
	if (f->why != NULL)
		fprintf(out, ": %s", net_error_text(f->why, text));
	else if (f->reason != NULL)
		fprintf(out, ": %s", f->reason);
	else if (row->err != 0)
		fprintf(out, ": %s (%s)", strerror(row->err), errno_name(row->err));
}

static void print_times(FILE *out, const struct relay_row *row)
{
	char text[UNITS_TEXT];
	if (row->resolve_ns != 0)
		fprintf(out, "; name %s", units_duration(text, row->resolve_ns));
	if (row->server.len > 0)
		fprintf(out, "%s connect %s", row->resolve_ns != 0 ? "," : ";", units_duration(text, row->connect_ns));
}

static void print_ends(FILE *out, const struct relay_row *row)
{
	char client[ADDR_TEXT], server[ADDR_TEXT];
	fprintf(out, "#%llu %s", (unsigned long long)row->id, addr_text(&row->client, client));
	if (row->target[0] != '\0')
		fprintf(out, " > %s", row->target);
	if (row->server.len > 0 && strcmp(row->target, addr_text(&row->server, server)) != 0)
		fprintf(out, " (%s)", server);
	if (row->note[0] != '\0')
		fprintf(out, ", %s", row->note);
}

static void print_end_of(struct relay_flow *f, const struct relay_row *row)
{
	char up[UNITS_TEXT], down[UNITS_TEXT], age[UNITS_TEXT], *line = NULL;
	size_t len;
	FILE *out = open_memstream(&line, &len);
	if (out == NULL)
		return;
	print_ends(out, row);
	fprintf(out, ": %s up, %s down in %s; %s", units_size(up, row->lane[PUMP_UP].bytes_out),
		units_size(down, row->lane[PUMP_DOWN].bytes_out), units_duration(age, row->age_ns),
		relay_end_text(row->end));
	print_why(out, f, row);
	print_lost(out, row);
	print_times(out, row);
	fclose(out);
	warnf("%s", line);
	free(line);
}

void relay_log_end(struct relay_flow *f, const struct relay_row *row)
{
	struct relay *relay = f->loop->relay;
	if (relay->o->json && relay_may_print(relay, stdout))
		json_end_of(f, row);
	if (relay->o->verbose && relay_may_print(relay, stderr))
		print_end_of(f, row);
}

void relay_log_denied(struct relay *relay, const struct addr *client, const char *why)
{
	char text[ADDR_TEXT];
	if (relay->o->json && relay_may_print(relay, stdout)) {
		struct json j;
		record_begin(&j, "denied");
		json_addr(&j, "client", client);
		json_str(&j, "why", why);
		json_i64(&j, "ended_real_ns", clk_real_ns());
		json_end(&j);
	}
	if (relay->o->verbose && relay_may_print(relay, stderr))
		warnf("%s: denied: %s", addr_text(client, text), why);
}

/* --- the total ----------------------------------------------------------------------------------------------------- */

void relay_json_tally(struct json *j, const struct relay_tally *t)
{
	json_u64(j, "connections", t->connections);
	json_u64(j, "live", t->live);
	json_u64(j, "failed", t->failed);
	json_u64(j, "denied", t->denied);
	json_u64(j, "bytes_up", t->bytes_up);
	json_u64(j, "bytes_down", t->bytes_down);
	json_object(j, "ends");
	for (unsigned i = RELAY_END_ORDERLY; i < RELAY_END_DENIED; i++)
		json_u64(j, relay_end_symbol(i), t->ends[i]);
	json_close(j);
}

static void print_total(const struct relay *relay, const struct relay_tally *t, uint64_t elapsed_ns)
{
	char up[UNITS_TEXT], down[UNITS_TEXT], time[UNITS_TEXT];
	flockfile(stdout);
	printf("%llu connection%s in %s: %s up, %s down", (unsigned long long)t->connections,
	       t->connections == 1 ? "" : "s", units_duration(time, elapsed_ns), units_size(up, t->bytes_up),
	       units_size(down, t->bytes_down));
	if (t->denied > 0)
		printf("; %llu denied", (unsigned long long)t->denied);
	printf("%s\n", relay->is_drained ? "; all drained" : "; not drained");
	if (relay->tool->total != NULL)
		relay->tool->total(relay, NULL, stdout);
	if (relay->n_unread > 0)
		printf("%8lu  lines or pieces of a report were left out: nobody read them\n", relay->n_unread);
	for (unsigned i = RELAY_END_ORDERLY; i < RELAY_END_DENIED; i++) {
		if (t->ends[i] > 0)
			printf("%8llu  %s\n", (unsigned long long)t->ends[i], relay_end_text(i));
	}
	funlockfile(stdout);
}

void relay_report_total(struct relay *relay, const struct relay_tally *t)
{
	uint64_t elapsed_ns = clk_mono_ns() - relay->start_ns;
	if (!relay_may_print(relay, stdout)) {
		warnf("nobody reads standard output: no total");
		return;
	}
	if (!relay->o->json) {
		print_total(relay, t, elapsed_ns);
		return;
	}
	struct json j;
	record_begin(&j, "total");
	json_u64(&j, "elapsed_ns", elapsed_ns);
	relay_json_tally(&j, t);
	if (relay->tool->total != NULL)
		relay->tool->total(relay, &j, NULL);
	json_bool(&j, "drained", relay->is_drained);
	json_u64(&j, "unread_lines", relay->n_unread);
	json_end(&j);
}

/* --- intervals ----------------------------------------------------------------------------------------------------- */

struct relay_intervals {
	struct relay *relay;
	struct relay_ask ask;
	struct timer timer;
	struct meter up, down;
	bool is_asking;
};

static void json_interval(const struct relay_census *c, const struct meter_rate *up, const struct meter_rate *down)
{
	struct json j;
	record_begin(&j, "interval");
	json_u64(&j, "elapsed_ns", up->elapsed_ns);
	json_u64(&j, "connections", c->tally.connections);
	json_u64(&j, "live", c->tally.live);
	json_u64(&j, "failed", c->tally.failed);
	json_u64(&j, "denied", c->tally.denied);
	json_u64(&j, "paused", c->n_paused);
	json_u64(&j, "waiting", c->n_waiting);
	json_u64(&j, "bytes_up", up->delta);
	json_u64(&j, "bytes_down", down->delta);
	json_f64(&j, "rate_up_Bps", up->per_s);
	json_f64(&j, "rate_down_Bps", down->per_s);
	json_end(&j);
}

static void on_sums(struct relay_ask *ask, const struct relay_census *c)
{
	struct relay_intervals *v = CONTAINER_OF(ask, struct relay_intervals, ask);
	char up_text[UNITS_TEXT], down_text[UNITS_TEXT];
	struct meter_rate up = meter_tick(&v->up, c->now_ns, c->tally.bytes_up);
	struct meter_rate down = meter_tick(&v->down, c->now_ns, c->tally.bytes_down);
	v->is_asking = false;
	if (!relay_may_print(v->relay, stdout))
		return;
	if (v->relay->o->json) {
		json_interval(c, &up, &down);
		return;
	}
	double from_s = (double)(c->now_ns - up.elapsed_ns - v->up.start_ns) / 1e9;
	printf("%7.2f-%-7.2f up %12s, down %12s, %llu live, %llu paused, %llu in all\n", from_s,
	       from_s + (double)up.elapsed_ns / 1e9, units_rate(up_text, up.per_s), units_rate(down_text, down.per_s),
	       (unsigned long long)c->tally.live, (unsigned long long)c->n_paused,
	       (unsigned long long)c->tally.connections);
}

static void on_interval(struct timer *t)
{
	struct relay_intervals *v = CONTAINER_OF(t, struct relay_intervals, timer);
	struct relay *relay = v->relay;
	reactor_timer_start(loops_get(&relay->loops, 0), t, t->deadline_ns + relay->o->interval_ns, on_interval);
	if (v->is_asking)
		return; /* a loop is behind with its answer */
	v->is_asking = true;
	relay_census_ask(relay, &v->ask, on_sums);
}

void relay_intervals_start(struct relay *relay)
{
	if (relay->o->interval_ns == 0)
		return;
	struct relay_intervals *v = xcalloc(1, sizeof(*v));
	uint64_t now_ns = clk_mono_ns();
	*v = (struct relay_intervals){ .relay = relay, .ask.sums_only = true };
	meter_start(&v->up, now_ns, 0);
	meter_start(&v->down, now_ns, 0);
	relay->intervals = v;
	reactor_timer_start(loops_get(&relay->loops, 0), &v->timer, now_ns + relay->o->interval_ns, on_interval);
}

void relay_intervals_stop(struct relay *relay)
{
	struct relay_intervals *v = relay->intervals;
	if (v == NULL)
		return;
	relay->intervals = NULL;
	reactor_timer_stop(loops_get(&relay->loops, 0), &v->timer);
	relay_census_cancel(relay, &v->ask);
	free(v);
}
