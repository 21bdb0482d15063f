/* page_html.c - the relay's family: the census as a page; memory only.
 *
 *	header    which relay this is
 *	main      all that changes: sums and how they run, connections, those that ended last and why, servers
 *	footer    the same for programs
 *
 * Its frame, its looks and its script are common/html.h's. Without a script it is loaded again every two seconds; with one,
 * `main` is replaced by what /stream?as=html sends. There is one renderer, this one, and every text goes through html_text:
 * whatever a client called the target that he wants, nothing of it becomes a tag. */
#include "page.h"
#include "table.h"

#include "clock.h"
#include "html.h"
#include "units.h"

#include <stdlib.h>
#include <string.h>

const char relay_page_icon[] =
	"<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 32 32\"><rect width=\"32\" height=\"32\" rx=\"7\" "
	"fill=\"#0b6e99\"/>"
	"<path d=\"M6 12h18m-5-5 5 5-5 5M26 21H8m5-5-5 5 5 5\" fill=\"none\" stroke=\"#fff\" stroke-width=\"2.5\" "
	"stroke-linecap=\"round\" stroke-linejoin=\"round\"/></svg>\n";

/* --- pieces ------------------------------------------------------------------------------------------------------- */

static unsigned long long llu(uint64_t n)
{
	return n;
}

static const char *plural(uint64_t n)
{
	return n == 1 ? "" : "s";
}

static const char *address(char out[static ADDR_TEXT], const struct addr *a)
{
	return a->len > 0 ? addr_text(a, out) : "";
}

static const char *duration(char out[static UNITS_TEXT], uint64_t ns)
{
	return ns != 0 ? units_duration(out, ns) : "-";
}

/* --- how the rate has run ----------------------------------------------------------------------------------------- */

static double trace_at(const struct relay_visit *v, unsigned way, uint64_t back)
{
	return v->rate_Bps[way][(v->n_rates - 1 - back) % RELAY_TRACE];
}

/* A point for each look, of a stream the last minute. */
static void put_trace(FILE *out, const struct relay_visit *v, unsigned way)
{
	double rates[RELAY_TRACE];
	size_t n = v->n_rates < RELAY_TRACE ? (size_t)v->n_rates : RELAY_TRACE;
	for (size_t i = 0; i < n; i++)
		rates[i] = trace_at(v, way, n - 1 - i);
	html_spark(out, way == PUMP_UP ? "up" : "down", rates, n, RELAY_TRACE, 1);
}

static void put_bytes_card(FILE *out, const struct relay_visit *v, unsigned way, uint64_t bytes, bool has_rates)
{
	char size[UNITS_TEXT], rate[UNITS_TEXT];
	html_card_begin(out, way == PUMP_UP ? "wide up" : "wide down",
			way == PUMP_UP ? "up, to servers" : "down, to clients",
			!has_rates                ? "-"
			: trace_at(v, way, 0) > 0 ? units_rate(rate, trace_at(v, way, 0))
						  : "0");
	html_card_below(out, "%s delivered", units_size(size, bytes));
	put_trace(out, v, way);
	html_card_end(out);
}

/* --- the sums ----------------------------------------------------------------------------------------------------- */

static void put_notes(FILE *out, const struct relay *relay)
{
	char spec[IMPAIR_TEXT];
	if (relay->is_draining)
		html_note(out, HTML_WARN, "Draining: nobody new is accepted.");
	for (enum pump_way way = PUMP_UP; way <= PUMP_DOWN; way++) {
		const struct impair_spec *s = &relay->loop[0].impair[way];
		if (!impair_is_nothing(s))
			html_note(out, HTML_WARN, "Impaired on the way %s: %s", way == PUMP_UP ? "up" : "down",
				  impair_text(spec, s));
	}
}

static const char *number(char out[static UNITS_TEXT], uint64_t n)
{
	snprintf(out, UNITS_TEXT, "%llu", llu(n));
	return out;
}

static void put_cards(FILE *out, const struct relay *relay, const struct relay_census *c, const struct relay_visit *v,
		      bool has_rates)
{
	char n[UNITS_TEXT], time[UNITS_TEXT];
	const struct relay_tally *t = &c->tally;
	html_cards_begin(out);
	html_card(out, "", "connections", number(n, t->live), "of %llu in %s", llu(t->connections),
		  relay_time_text(time, c->now_ns - relay->start_ns));
	html_card(out, c->n_paused > 0 ? "alarm" : "", "paused", number(n, c->n_paused),
		  "by backpressure; bytes wait in %llu", llu(c->n_waiting));
	html_card(out, t->failed > 0 ? "alarm" : "", "never connected", number(n, t->failed), "%llu denied by rules",
		  llu(t->denied));
	put_bytes_card(out, v, PUMP_UP, t->bytes_up, has_rates);
	put_bytes_card(out, v, PUMP_DOWN, t->bytes_down, has_rates);
	html_cards_end(out);
	put_notes(out, relay);
}

/* --- connections -------------------------------------------------------------------------------------------------- */

/* The state as people see it: what hinders it comes first. */
static void put_state(FILE *out, const struct relay_row *row)
{
	const struct relay_lane_row *l = row->lane;
	enum html_mood mood = HTML_PLAIN;
	const char *word = relay_state_symbol(row->state);
	if (row->state == RELAY_OPEN && (l[0].is_paused || l[1].is_paused)) {
		mood = HTML_WARN;
		word = l[PUMP_UP].is_paused && l[PUMP_DOWN].is_paused ? "both paused"
		       : l[PUMP_UP].is_paused                         ? "client paused"
								      : "server paused";
	} else if (row->state == RELAY_OPEN) {
		mood = l[0].is_shut || l[1].is_shut ? HTML_PLAIN : HTML_OK;
		word = l[0].is_shut || l[1].is_shut ? "half closed" : word;
	}
	html_pill(out, mood, "%s", word);
}

/* What the client asked for, and where that led, if these are not the same. */
static void put_target(struct html_table *t, const struct relay_row *row)
{
	char server[ADDR_TEXT];
	const char *target = row->target[0] != '\0' ? row->target : "-", *place = address(server, &row->server);
	html_cell_two(t, target, strcmp(target, place) != 0 ? place : "");
}

/* How full it is, of what may wait at most. */
static void put_waiting(FILE *out, const struct relay_row *row, enum pump_way way, size_t high)
{
	char size[UNITS_TEXT], tip[64];
	const char *name = way == PUMP_UP ? "up" : "down";
	size_t waiting = row->lane[way].waiting;
	snprintf(tip, sizeof(tip), "%s: %s wait", name, units_size(size, waiting));
	html_bar(out, name, waiting > 0 ? (double)waiting / (double)high : 0, tip);
}

static void put_buffered(struct html_table *t, const struct relay_row *row, size_t high)
{
	char size[UNITS_TEXT];
	FILE *out = html_cell_begin(t);
	html_text(out, "%s", units_size(size, row->lane[PUMP_UP].waiting + row->lane[PUMP_DOWN].waiting));
	put_waiting(out, row, PUMP_UP, high);
	put_waiting(out, row, PUMP_DOWN, high);
	html_cell_end(t);
}

static void put_lane(struct html_table *t, const struct relay_line *line, enum pump_way way)
{
	char size[UNITS_TEXT], rate[UNITS_TEXT];
	bool is_moving = line->rate_Bps[way] > 0;
	html_cell_two(t, units_size(size, line->row->lane[way].bytes_out),
		is_moving ? units_rate(rate, line->rate_Bps[way]) : "");
}

static void put_flow(struct html_table *t, const struct relay_line *line, size_t high)
{
	const struct relay_row *row = line->row;
	char client[ADDR_TEXT], a[UNITS_TEXT], b[UNITS_TEXT], words[RELAY_WORDS];
	html_row(t);
	html_cell(t, "%llu", llu(row->id));
	html_cell(t, "%s", address(client, &row->client));
	put_target(t, row);
	put_state(html_cell_begin(t), row);
	html_cell_end(t);
	html_cell(t, "%s", relay_time_text(a, row->age_ns));
	put_lane(t, line, PUMP_UP);
	put_lane(t, line, PUMP_DOWN);
	put_buffered(t, row, high);
	html_cell_two(t, duration(a, row->rtt_ns[PUMP_A]), duration(b, row->rtt_ns[PUMP_B]));
	html_cell_two(t, duration(a, row->resolve_ns), duration(b, row->connect_ns));
	html_cell(t, "%s", relay_row_words(words, row));
}

static const struct html_column flow_columns[] = {
	{ "#", NULL, "n" },
	{ "Client", NULL, "name" },
	{ "Target, server", "Target", "name" },
	{ "State", NULL, NULL },
	{ "Age", NULL, "n" },
	{ "Up", NULL, "n up" },
	{ "Down", NULL, "n down" },
	{ "Buffered", NULL, "n" },
	{ "RTT client,\nserver", "RTT client, server", "n" },
	{ "Name,\nconnect", "Name, connect", "n" },
	{ "Remarks", NULL, "words" },
};

static void put_flows(FILE *out, const struct relay_table *table, size_t high)
{
	struct html_table t;
	html_heading(out, "Connections", "%zu", table->n);
	html_table_begin(&t, out, flow_columns, COUNT_OF(flow_columns));
	for (size_t i = 0; i < table->n_shown; i++)
		put_flow(&t, &table->lines[i], high);
	html_table_end(&t, "Nobody is connected.");
	if (table->n_shown < table->n)
		html_note(out, HTML_PLAIN, "and %zu more, about which there is less to say", table->n - table->n_shown);
}

/* --- what has ended ----------------------------------------------------------------------------------------------- */

static enum html_mood mood_of(enum relay_end end)
{
	bool is_bad = end == RELAY_END_CONNECT || end == RELAY_END_SERVER_FAILED || end == RELAY_END_CLIENT_FAILED;
	return end == RELAY_END_ORDERLY ? HTML_OK : is_bad ? HTML_BAD : HTML_WARN;
}

static void put_ended(struct html_table *t, const struct relay_row *row, uint64_t now_ns)
{
	char client[ADDR_TEXT], a[UNITS_TEXT], b[UNITS_TEXT];
	html_row(t);
	html_cell(t, "%llu", llu(row->id));
	html_cell(t, "%s", address(client, &row->client));
	put_target(t, row);
	html_cell_two(t, relay_time_text(a, row->age_ns),
		relay_time_text(b, now_ns > row->ended_ns ? now_ns - row->ended_ns : 0));
	html_cell(t, "%s", units_size(a, row->lane[PUMP_UP].bytes_out));
	html_cell(t, "%s", units_size(a, row->lane[PUMP_DOWN].bytes_out));
	FILE *out = html_cell_begin(t);
	html_pill(out, mood_of(row->end), "%s", relay_end_text(row->end));
	if (row->err != 0)
		html_text(out, " %s", strerror(row->err));
	html_cell_end(t);
}

static const struct html_column ended_columns[] = {
	{ "#", NULL, "n" },
	{ "Client", NULL, "name" },
	{ "Target, server", "Target", "name" },
	{ "Lasted,\nago", "Lasted, ago", "n" },
	{ "Up", NULL, "n up" },
	{ "Down", NULL, "n down" },
	{ "How it ended", "End", NULL },
};

static void put_recent(FILE *out, const struct relay_census *c)
{
	struct html_table t;
	if (c->n_recent == 0)
		return;
	html_heading(out, "Ended last", NULL);
	html_table_begin(&t, out, ended_columns, COUNT_OF(ended_columns));
	for (size_t i = 0; i < c->n_recent; i++)
		put_ended(&t, &c->recent[i], c->now_ns);
	html_table_end(&t, NULL);
}

static void put_reasons(FILE *out, const struct relay_tally *t)
{
	uint64_t sum = 0;
	for (enum relay_end end = RELAY_END_ORDERLY; end < RELAY_END_DENIED; end++)
		sum += t->ends[end];
	if (sum == 0)
		return;
	fputs("<section>", out);
	html_heading(out, "How they ended", "%llu connection%s", llu(sum), plural(sum));
	fputs("<div class=\"scroll\"><table><tbody>\n", out);
	for (enum relay_end end = RELAY_END_ORDERLY; end < RELAY_END_DENIED; end++) {
		if (t->ends[end] == 0)
			continue;
		fputs("<tr><td>", out);
		html_pill(out, mood_of(end), "%s", relay_end_text(end));
		fprintf(out, "<td class=\"n\">%llu</tr>\n", llu(t->ends[end]));
	}
	fputs("</tbody></table></div></section>\n", out);
}

/* --- servers ------------------------------------------------------------------------------------------------------ */

/* What the program itself has to tell, a line each. */
static void put_report(FILE *out, const struct relay *relay)
{
	char *lines = NULL;
	size_t len = 0;
	FILE *report = relay->tool->report != NULL ? open_memstream(&lines, &len) : NULL;
	if (report == NULL)
		return;
	relay->tool->report((struct relay *)relay, NULL, report);
	fclose(report);
	fputs("<section>", out);
	html_heading(out, "Servers", NULL);
	fputs("<div class=\"scroll\"><ul>\n", out);
	for (char *rest = lines, *line; (line = strsep(&rest, "\n")) != NULL;) {
		if (line[0] == '\0')
			continue;
		fputs("<li>", out);
		html_text(out, "%s", line);
		fputs("</li>\n", out);
	}
	fputs("</ul></div></section>\n", out);
	free(lines);
}

/* --- the whole ---------------------------------------------------------------------------------------------------- */

static void remember_rates(struct relay_visit *v, const double rate_Bps[2])
{
	for (unsigned way = 0; way < 2; way++)
		v->rate_Bps[way][v->n_rates % RELAY_TRACE] = rate_Bps[way];
	v->n_rates++;
}

void relay_page_main(FILE *out, const struct relay *relay, const struct relay_census *c, struct relay_visit *visit)
{
	struct relay_table t = relay_table_of(relay, c, true);
	double rate_Bps[2];
	bool has_rates = relay_table_rates(&t, &visit->view, c, rate_Bps);
	if (has_rates)
		remember_rates(visit, rate_Bps);
	relay_table_choose(&t, RELAY_PAGE_ROWS);
	put_cards(out, relay, c, visit, has_rates);
	put_flows(out, &t, relay->loop[0].shop.o.high);
	fputs("<div class=\"two\">\n", out);
	put_report(out, relay);
	put_reasons(out, &c->tally);
	fputs("</div>\n", out);
	put_recent(out, c);
	free(t.lines);
}

void relay_page_html(FILE *out, const struct relay *relay, const struct relay_census *c, struct relay_visit *visit)
{
	char where[ADDR_TEXT];
	const struct html_page page = {
		.tool = relay->tool->name,
		.what = addr_text(&relay->bound, where),
		.icon_href = "/icon.svg",
		.stream = "/stream?as=html",
		.source = "the relay",
		.reload_s = 2,
	};
	html_begin(out, &page);
	relay_page_main(out, relay, c, visit);
	html_end(out, &page,
		 "For programs: <a href=\"/json\">/json</a>, <a href=\"/metrics\">/metrics</a> (Prometheus), "
		 "<a href=\"/stream\">/stream</a> (server-sent events).");
}

void relay_visit_free(struct relay_visit *visit)
{
	relay_view_free(&visit->view);
}
