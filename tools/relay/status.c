/* status.c - the relay's family: a census as a page of text; memory only.
 *
 *	tcprelay on 127.0.0.1:8080 for 2m 13s: 214 connections, 2 live, 0 failed, 0 denied                         what is so
 *	1.20 GiB up, 33 MiB down; 1 paused, bytes wait in 1
 *	impaired on the way up: delay=50ms
 *	 id  client           target          age     up         down     ...                                        table.c
 *	ended: #6 127.0.0.1:41230 > localhost:5001: ... ; server reset; 2.10 s ago                                   what was so
 *	localhost:5001: 2 live, 214 connected, 0 failed                                                              the tool's lines
 *
 * With rates (`top`) it is told what was seen the last time. */
#include "table.h"

#include "clock.h"
#include "mem.h"
#include "units.h"

#include <stdlib.h>
#include <string.h>

enum { RECENT_LINES = 5, FLOW_LINES_MIN = 3, LINE_MAX_COLUMNS = 1000 };

/* --- what stands above and below ----------------------------------------------------------------------------------- */

void relay_impair_words(FILE *out, const struct relay *relay)
{
	char text[IMPAIR_TEXT];
	for (enum pump_way way = PUMP_UP; way <= PUMP_DOWN; way++) {
		const struct impair_spec *s = &relay->loop[0].impair[way];
		if (!impair_is_nothing(s))
			fprintf(out, "impaired on the way %s: %s\n", way == PUMP_UP ? "up" : "down",
				impair_text(text, s));
	}
}

static void put_sums(FILE *out, const struct relay *relay, const struct relay_census *c, const double *rate_Bps)
{
	char where[ADDR_TEXT], time[UNITS_TEXT], up[UNITS_TEXT], down[UNITS_TEXT];
	const struct relay_tally *t = &c->tally;
	fprintf(out, "%s on %s for %s: %llu connection%s, %llu live, %llu failed, %llu denied\n", relay->tool->name,
		addr_text(&relay->bound, where), relay_time_text(time, c->now_ns - relay->start_ns),
		(unsigned long long)t->connections, t->connections == 1 ? "" : "s", (unsigned long long)t->live,
		(unsigned long long)t->failed, (unsigned long long)t->denied);
	fprintf(out, "%s up, %s down", units_size(up, t->bytes_up), units_size(down, t->bytes_down));
	if (rate_Bps != NULL)
		fprintf(out, "; now %s up, %s down", units_rate(up, rate_Bps[PUMP_UP]),
			units_rate(down, rate_Bps[PUMP_DOWN]));
	fprintf(out, "; %llu paused, bytes wait in %llu\n", (unsigned long long)c->n_paused,
		(unsigned long long)c->n_waiting);
	if (relay->is_draining)
		fprintf(out, "draining: nobody new is accepted\n");
	relay_impair_words(out, relay);
}

static void put_recent(FILE *out, const struct relay_census *c)
{
	char client[ADDR_TEXT], up[UNITS_TEXT], down[UNITS_TEXT], age[UNITS_TEXT], ago[UNITS_TEXT];
	for (size_t i = 0; i < c->n_recent && i < RECENT_LINES; i++) {
		const struct relay_row *r = &c->recent[i];
		uint64_t ago_ns = c->now_ns > r->ended_ns ? c->now_ns - r->ended_ns : 0;
		fprintf(out, "%-6s #%llu %s > ", i == 0 ? "ended:" : "", (unsigned long long)r->id,
			addr_text(&r->client, client));
		relay_put_plain(out, r->target[0] != '\0' ? r->target : "-");
		fprintf(out, ": %s up, %s down in %s; %s, %s ago\n", units_size(up, r->lane[PUMP_UP].bytes_out),
			units_size(down, r->lane[PUMP_DOWN].bytes_out), relay_time_text(age, r->age_ns),
			relay_end_text(r->end), relay_time_text(ago, ago_ns));
	}
}

static size_t count_lines(const char *text)
{
	size_t n = 0;
	for (; *text != '\0'; text++)
		n += *text == '\n';
	return n;
}

/* Not more than so many lines and columns; 0: all. No line is empty. */
static void put_lines(FILE *out, const char *text, unsigned columns, size_t lines)
{
	if (columns == 0)
		columns = LINE_MAX_COLUMNS;
	for (size_t n = 0; *text != '\0' && (lines == 0 || n < lines);) {
		size_t len = strcspn(text, "\n"), shown = len < columns ? len : columns;
		while (shown > 0 && text[shown - 1] == ' ')
			shown--;
		if (shown > 0) {
			fprintf(out, "%.*s\n", (int)shown, text);
			n++;
		}
		text += len + (text[len] == '\n');
	}
}

/* --- both together ------------------------------------------------------------------------------------------------- */

struct pages {
	char *above, *below;
};

static struct pages around(const struct relay *relay, const struct relay_census *c, const double *rate_Bps)
{
	struct pages p = { NULL, NULL };
	size_t len;
	FILE *out = open_memstream(&p.above, &len);
	if (out != NULL) {
		put_sums(out, relay, c, rate_Bps);
		fclose(out);
	}
	out = open_memstream(&p.below, &len);
	if (out != NULL) {
		put_recent(out, c);
		if (relay->tool->report != NULL)
			relay->tool->report((struct relay *)relay, NULL, out);
		fclose(out);
	}
	return p;
}

static void put_all(FILE *out, struct relay_table *t, const struct pages *p, unsigned columns, unsigned lines)
{
	char *text = NULL;
	size_t len, most = RELAY_TABLE_ROWS, used = count_lines(p->above) + count_lines(p->below) + 2;
	if (lines > 0)
		most = lines > used + FLOW_LINES_MIN ? lines - used : FLOW_LINES_MIN;
	FILE *all = open_memstream(&text, &len);
	if (all == NULL)
		return;
	fputs(p->above, all);
	relay_table_put(all, t, columns, most);
	fputs(p->below, all);
	fclose(all);
	put_lines(out, text, columns, lines);
	free(text);
}

static void put_census(FILE *out, struct relay_table *t, const struct relay_census *c, const double *rate_Bps,
		       unsigned columns, unsigned lines)
{
	struct pages p = around(t->relay, c, rate_Bps);
	if (p.above != NULL && p.below != NULL)
		put_all(out, t, &p, columns, lines);
	free(p.above);
	free(p.below);
	free(t->lines);
}

void relay_census_text(FILE *out, const struct relay *relay, const struct relay_census *c, unsigned columns)
{
	struct relay_table t = relay_table_of(relay, c, false);
	put_census(out, &t, c, NULL, columns, 0);
}

/* --- with rates ---------------------------------------------------------------------------------------------------- */

static double rate_of(uint64_t now, uint64_t before, uint64_t elapsed_ns)
{
	return now > before && elapsed_ns > 0 ? (double)(now - before) * 1e9 / (double)elapsed_ns : 0;
}

/* Both are in the order of the numbers. */
static void set_rates(struct relay_table *t, const struct relay_view *view, uint64_t elapsed_ns)
{
	static const struct relay_seen nothing;
	size_t at = 0;
	for (size_t i = 0; i < t->n; i++) {
		const struct relay_row *row = t->lines[i].row;
		while (at < view->n && view->seen[at].id < row->id)
			at++;
		const struct relay_seen *seen = at < view->n && view->seen[at].id == row->id ? &view->seen[at]
											     : &nothing;
		/* A flow that was not there the last time has moved all it has since then, or since it began. */
		uint64_t since_ns = seen == &nothing && row->age_ns < elapsed_ns ? row->age_ns : elapsed_ns;
		for (unsigned way = 0; way < 2; way++)
			t->lines[i].rate_Bps[way] = rate_of(row->lane[way].bytes_out, seen->bytes[way], since_ns);
	}
}

static void remember(struct relay_view *view, const struct relay_census *c)
{
	view->now_ns = c->now_ns;
	view->bytes[PUMP_UP] = c->tally.bytes_up;
	view->bytes[PUMP_DOWN] = c->tally.bytes_down;
	view->n = c->n_rows;
	view->seen = xrealloc(view->seen, (c->n_rows + 1) * sizeof(*view->seen));
	for (size_t i = 0; i < c->n_rows; i++) {
		const struct relay_row *row = &c->rows[i];
		view->seen[i] = (struct relay_seen){ row->id,
						     { row->lane[PUMP_UP].bytes_out, row->lane[PUMP_DOWN].bytes_out } };
	}
}

bool relay_table_rates(struct relay_table *t, struct relay_view *view, const struct relay_census *c, double rate_Bps[2])
{
	bool is_first = view->now_ns == 0;
	uint64_t elapsed_ns = c->now_ns - view->now_ns;
	if (!is_first)
		set_rates(t, view, elapsed_ns);
	rate_Bps[PUMP_UP] = rate_of(c->tally.bytes_up, view->bytes[PUMP_UP], elapsed_ns);
	rate_Bps[PUMP_DOWN] = rate_of(c->tally.bytes_down, view->bytes[PUMP_DOWN], elapsed_ns);
	remember(view, c);
	return !is_first;
}

void relay_view_text(FILE *out, const struct relay *relay, const struct relay_census *c, struct relay_view *view,
		     unsigned columns, unsigned lines)
{
	struct relay_table t = relay_table_of(relay, c, true);
	double rate_Bps[2];
	bool has_rates = relay_table_rates(&t, view, c, rate_Bps);
	put_census(out, &t, c, has_rates ? rate_Bps : NULL, columns, lines);
}

void relay_view_free(struct relay_view *view)
{
	free(view->seen);
	*view = (struct relay_view){ 0 };
}
