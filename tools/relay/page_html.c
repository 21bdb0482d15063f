/* page_html.c - the relay's family: the census as a page; memory only.
 *
 *	header    which relay this is
 *	main      all that changes: sums and how they run, connections, those that ended last and why, servers
 *	footer    the same for programs
 *
 * The whole is one document that brings everything with it. Without a script it is loaded again every two seconds; with
 * one, `main` is replaced by what /stream?as=html sends. There is one renderer, this one, and every text goes through
 * text(): whatever a client called the target that he wants, nothing of it becomes a tag. */
#include "page.h"
#include "table.h"

#include "clock.h"
#include "mem.h"
#include "svg.h"
#include "units.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

const char relay_page_icon[] =
	"<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 32 32\"><rect width=\"32\" height=\"32\" rx=\"7\" "
	"fill=\"#0b6e99\"/>"
	"<path d=\"M6 12h18m-5-5 5 5-5 5M26 21H8m5-5-5 5 5 5\" fill=\"none\" stroke=\"#fff\" stroke-width=\"2.5\" "
	"stroke-linecap=\"round\" stroke-linejoin=\"round\"/></svg>\n";

static const char style[] =
	":root{color-scheme:light dark;--back:#f4f6f8;--card:#fff;--text:#1c2733;--dim:#5c6b7a;--line:#dde3e9;"
	"--up:#0072b2;--down:#b34700;--ok:#1a7f4b;--ok-back:#e3f4ea;--warn:#8a5200;--warn-back:#fff1d6;"
	"--bad:#b3261e;--bad-back:#fde7e5}\n"
	"@media(prefers-color-scheme:dark){\n"
	" :root{--back:#0f151b;--card:#18212a;--text:#e4eaf0;--dim:#93a3b3;--line:#2a3642;--up:#5bb6ee;"
	"--down:#ff9a57;--ok:#5fd39a;--ok-back:#123524;--warn:#ffc565;--warn-back:#3a2a0c;--bad:#ff8f86;"
	"--bad-back:#431a17}\n"
	"}\n"
	"*{box-sizing:border-box}\n"
	"body{margin:0 auto;padding:1.25rem;max-width:90rem;background:var(--back);color:var(--text);"
	"font:15px/1.45 system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif}\n"
	"header{display:flex;align-items:center;gap:.6rem;flex-wrap:wrap;margin-bottom:1rem}\n"
	"header img{width:1.9rem;height:1.9rem}\n"
	"h1{font-size:1.35rem;margin:0}\n"
	"header code{font-size:1.05rem}\n"
	"#live{margin-left:auto;color:var(--dim);font-size:.85rem}\n"
	"#live::before{content:'';display:inline-block;width:.6rem;height:.6rem;border-radius:50%;"
	"background:var(--dim);margin-right:.4rem}\n"
	"#live:empty{display:none}\n"
	"#live.on::before{background:var(--ok)}\n"
	"#live.off{color:var(--bad)}\n"
	"#live.off::before{background:var(--bad)}\n"
	"h2{font-size:1rem;margin:1.6rem 0 .5rem}\n"
	"h2 small{color:var(--dim);font-weight:400}\n"
	".cards{display:grid;grid-template-columns:repeat(3,minmax(8.5rem,1fr)) repeat(2,minmax(14rem,2.2fr));"
	"gap:.75rem}\n"
	".card{background:var(--card);border:1px solid var(--line);border-radius:.6rem;padding:.7rem .9rem;"
	"min-width:0}\n"
	".card b{display:block;font-size:1.45rem;font-weight:600;font-variant-numeric:tabular-nums;"
	"white-space:nowrap}\n"
	".card span{color:var(--dim);font-size:.85rem}\n"
	".card svg{display:block;width:100%;height:2.2rem;margin-top:.3rem}\n"
	"@media(max-width:1000px){\n"
	" .cards{grid-template-columns:repeat(6,1fr)}\n"
	" .card{grid-column:span 2}\n"
	" .card.wide{grid-column:span 3}\n"
	"}\n"
	".up b{color:var(--up)}\n"
	".down b{color:var(--down)}\n"
	".alarm b{color:var(--warn)}\n"
	".note{background:var(--warn-back);color:var(--warn);border-radius:.5rem;padding:.45rem .8rem;"
	"margin:.75rem 0 0}\n"
	".scroll{background:var(--card);border:1px solid var(--line);border-radius:.6rem;overflow-x:auto}\n"
	"table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}\n"
	"th{color:var(--dim);font-weight:500;font-size:.8rem;text-align:left;white-space:nowrap}\n"
	"th,td{padding:.4rem .7rem;border-bottom:1px solid var(--line);vertical-align:top}\n"
	"tbody tr:last-child td{border-bottom:0}\n"
	"td.n,th.n{text-align:right;white-space:nowrap}\n"
	"td small{display:block;color:var(--dim);font-size:.8rem}\n"
	"td.name{max-width:17rem;overflow-wrap:break-word}\n"
	"td small:empty{display:none}\n"
	"td.up{color:var(--up)}\n"
	"td.down{color:var(--down)}\n"
	"td.words{min-width:11rem}\n"
	".pill{display:inline-block;border-radius:1rem;padding:.05rem .6rem;font-size:.8rem;white-space:nowrap;"
	"background:var(--line)}\n"
	".pill.ok{background:var(--ok-back);color:var(--ok)}\n"
	".pill.warn{background:var(--warn-back);color:var(--warn)}\n"
	".pill.bad{background:var(--bad-back);color:var(--bad)}\n"
	".bar{display:block;height:.3rem;min-width:4rem;border-radius:.2rem;background:var(--line);"
	"margin-top:.25rem;overflow:hidden}\n"
	".bar i{display:block;height:100%;background:var(--down)}\n"
	".bar.up i{background:var(--up)}\n"
	".none{color:var(--dim);padding:.9rem}\n"
	"ul{margin:0;padding:.6rem .9rem .6rem 2rem}\n"
	".two{display:grid;grid-template-columns:repeat(auto-fit,minmax(20rem,1fr));gap:0 1.5rem}\n"
	"footer{color:var(--dim);margin-top:1.6rem;font-size:.85rem}\n"
	"a{color:inherit}\n"
	"@media(max-width:760px){\n"
	" body{padding:.8rem}\n"
	" .card{padding:.6rem .7rem}\n"
	" .card b{font-size:1.2rem}\n"
	" .flows thead{display:none}\n"
	" .flows,.flows tbody,.flows tr,.flows td{display:block}\n"
	" .flows tr{padding:.5rem 0;border-bottom:1px solid var(--line)}\n"
	" .flows tr:last-child{border-bottom:0}\n"
	" .flows td{display:flex;justify-content:space-between;gap:1rem;border:0;padding:.12rem .9rem;"
	"text-align:right;max-width:none}\n"
	" .flows td::before{content:attr(data-name);color:var(--dim);text-align:left;white-space:nowrap}\n"
	" .flows td small{display:inline;margin-left:.6rem}\n"
	" .flows td:empty,.flows td small:empty{display:none}\n"
	"}\n";

/* A page that is gone says so; when it comes back the browser connects by itself. */
static const char script[] =
	"const live=document.getElementById('live'),main=document.querySelector('main');\n"
	"const source=new EventSource('/stream?as=html');\n"
	"source.onopen=()=>{live.className='on';live.textContent='live'};\n"
	"source.onerror=()=>{live.className='off';live.textContent='no connection to the relay'};\n"
	"source.onmessage=e=>{main.innerHTML=e.data};\n";

/* --- pieces ------------------------------------------------------------------------------------------------------- */

/* The only way for a text from elsewhere into the page. */
static void text(FILE *out, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void text(FILE *out, const char *fmt, ...)
{
	char plain[RELAY_TARGET + RELAY_WORDS];
	va_list args;
	va_start(args, fmt);
	vsnprintf(plain, sizeof(plain), fmt, args);
	va_end(args);
	svg_escape(out, plain);
}

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

static void open_card(FILE *out, const char *class, const char *name)
{
	fprintf(out, "<div class=\"card %s\"><span>%s</span><b>", class, name);
}

static void put_card(FILE *out, const char *class, const char *name, uint64_t value, const char *below)
{
	open_card(out, class, name);
	fprintf(out, "%llu</b><span>%s</span></div>\n", llu(value), below);
}

/* --- how the rate has run ----------------------------------------------------------------------------------------- */

static double trace_at(const struct relay_visit *v, unsigned way, uint64_t back)
{
	return v->rate_Bps[way][(v->n_rates - 1 - back) % RELAY_TRACE];
}

/* A point for each look, of a stream the last minute, from the right to the left; the highest point is the height. */
static void put_trace(FILE *out, const struct relay_visit *v, unsigned way)
{
	uint64_t n = v->n_rates < RELAY_TRACE ? v->n_rates : RELAY_TRACE;
	double most = 1;
	for (uint64_t i = 0; i < n; i++)
		most = trace_at(v, way, i) > most ? trace_at(v, way, i) : most;
	fprintf(out, "<svg viewBox=\"0 0 %d 20\" preserveAspectRatio=\"none\" aria-hidden=\"true\">", RELAY_TRACE - 1);
	if (n > 1) {
		fprintf(out,
			"<path fill=\"var(--%s)\" fill-opacity=\".2\" stroke=\"var(--%s)\" "
			"vector-effect=\"non-scaling-stroke\" d=\"M",
			way == PUMP_UP ? "up" : "down", way == PUMP_UP ? "up" : "down");
		fprintf(out, "%d,21", RELAY_TRACE);
		for (uint64_t i = 0; i < n; i++)
			fprintf(out, "L%d,%.1f", (int)(RELAY_TRACE - 1 - i), 19 - trace_at(v, way, i) / most * 18);
		fprintf(out, "V21z\"/>");
	}
	fputs("</svg>", out);
}

static void put_bytes_card(FILE *out, const struct relay_visit *v, unsigned way, uint64_t bytes, bool has_rates)
{
	char size[UNITS_TEXT], rate[UNITS_TEXT];
	open_card(out, way == PUMP_UP ? "wide up" : "wide down",
		  way == PUMP_UP ? "up, to servers" : "down, to clients");
	fprintf(out, "%s</b><span>%s delivered</span>",
		!has_rates                ? "-"
		: trace_at(v, way, 0) > 0 ? units_rate(rate, trace_at(v, way, 0))
					  : "0",
		units_size(size, bytes));
	put_trace(out, v, way);
	fputs("</div>\n", out);
}

/* --- the sums ----------------------------------------------------------------------------------------------------- */

static void put_notes(FILE *out, const struct relay *relay)
{
	char spec[IMPAIR_TEXT];
	if (relay->is_draining)
		fputs("<p class=\"note\">Draining: nobody new is accepted.</p>\n", out);
	for (enum pump_way way = PUMP_UP; way <= PUMP_DOWN; way++) {
		const struct impair_spec *s = &relay->loop[0].impair[way];
		if (impair_is_nothing(s))
			continue;
		fprintf(out, "<p class=\"note\">Impaired on the way %s: ", way == PUMP_UP ? "up" : "down");
		text(out, "%s", impair_text(spec, s));
		fputs("</p>\n", out);
	}
}

static void put_cards(FILE *out, const struct relay *relay, const struct relay_census *c, const struct relay_visit *v,
		      bool has_rates)
{
	char time[UNITS_TEXT], below[64];
	const struct relay_tally *t = &c->tally;
	fputs("<div class=\"cards\">\n", out);
	snprintf(below, sizeof(below), "of %llu in %s", llu(t->connections),
		 relay_time_text(time, c->now_ns - relay->start_ns));
	put_card(out, "", "connections", t->live, below);
	snprintf(below, sizeof(below), "by backpressure; bytes wait in %llu", llu(c->n_waiting));
	put_card(out, c->n_paused > 0 ? "alarm" : "", "paused", c->n_paused, below);
	snprintf(below, sizeof(below), "%llu denied by rules", llu(t->denied));
	put_card(out, t->failed > 0 ? "alarm" : "", "never connected", t->failed, below);
	put_bytes_card(out, v, PUMP_UP, t->bytes_up, has_rates);
	put_bytes_card(out, v, PUMP_DOWN, t->bytes_down, has_rates);
	fputs("</div>\n", out);
	put_notes(out, relay);
}

/* --- connections -------------------------------------------------------------------------------------------------- */

/* The state as people see it: what hinders it comes first. */
static void put_state(FILE *out, const struct relay_row *row)
{
	const struct relay_lane_row *l = row->lane;
	const char *class = "", *word = relay_state_symbol(row->state);
	if (row->state == RELAY_OPEN && (l[0].is_paused || l[1].is_paused)) {
		class = "warn";
		word = l[PUMP_UP].is_paused && l[PUMP_DOWN].is_paused ? "both paused"
		       : l[PUMP_UP].is_paused                         ? "client paused"
								      : "server paused";
	} else if (row->state == RELAY_OPEN) {
		class = l[0].is_shut || l[1].is_shut ? "" : "ok";
		word = l[0].is_shut || l[1].is_shut ? "half closed" : word;
	}
	fprintf(out, "<td data-name=\"State\"><span class=\"pill %s\">%s</span></td>", class, word);
}

static void put_name(FILE *out, const char *name, const char *first, const char *second)
{
	fprintf(out, "<td class=\"name\" data-name=\"%s\"><span>", name);
	text(out, "%s", first);
	if (second[0] != '\0' && strcmp(first, second) != 0) {
		fputs("<small>", out);
		text(out, "%s", second);
		fputs("</small>", out);
	}
	fputs("</span></td>", out);
}

static void put_numbers(FILE *out, const char *class, const char *name, const char *first, const char *second)
{
	fprintf(out, "<td class=\"n %s\" data-name=\"%s\"><span>%s<small>%s</small></span></td>", class, name, first,
		second);
}

/* How full it is, of what may wait at most. */
static void put_waiting(FILE *out, const struct relay_row *row, enum pump_way way, size_t high)
{
	char size[UNITS_TEXT];
	size_t waiting = row->lane[way].waiting;
	unsigned percent = high > 0 && waiting < high ? (unsigned)(waiting * 100 / high) : waiting > 0 ? 100 : 0;
	fprintf(out, "<span title=\"%s: %s wait\" class=\"bar %s\"><i style=\"width:%u%%\"></i></span>",
		way == PUMP_UP ? "up" : "down", units_size(size, waiting), way == PUMP_UP ? "up" : "down", percent);
}

static void put_buffered(FILE *out, const struct relay_row *row, size_t high)
{
	char size[UNITS_TEXT];
	fprintf(out, "<td class=\"n\" data-name=\"Buffered\"><span>%s",
		units_size(size, row->lane[PUMP_UP].waiting + row->lane[PUMP_DOWN].waiting));
	put_waiting(out, row, PUMP_UP, high);
	put_waiting(out, row, PUMP_DOWN, high);
	fputs("</span></td>", out);
}

static void put_lane(FILE *out, const struct relay_line *line, enum pump_way way)
{
	char size[UNITS_TEXT], rate[UNITS_TEXT];
	bool is_moving = line->rate_Bps[way] > 0;
	put_numbers(out, way == PUMP_UP ? "up" : "down", way == PUMP_UP ? "Up" : "Down",
		    units_size(size, line->row->lane[way].bytes_out),
		    is_moving ? units_rate(rate, line->rate_Bps[way]) : "");
}

static void put_flow(FILE *out, const struct relay_line *line, size_t high)
{
	const struct relay_row *row = line->row;
	char client[ADDR_TEXT], server[ADDR_TEXT], a[UNITS_TEXT], b[UNITS_TEXT], words[RELAY_WORDS];
	fprintf(out, "<tr><td class=\"n\" data-name=\"#\">%llu</td>", llu(row->id));
	put_name(out, "Client", address(client, &row->client), "");
	put_name(out, "Target", row->target[0] != '\0' ? row->target : "-", address(server, &row->server));
	put_state(out, row);
	fprintf(out, "<td class=\"n\" data-name=\"Age\">%s</td>", relay_time_text(a, row->age_ns));
	put_lane(out, line, PUMP_UP);
	put_lane(out, line, PUMP_DOWN);
	put_buffered(out, row, high);
	put_numbers(out, "", "RTT client, server", duration(a, row->rtt_ns[PUMP_A]), duration(b, row->rtt_ns[PUMP_B]));
	put_numbers(out, "", "Name, connect", duration(a, row->resolve_ns), duration(b, row->connect_ns));
	fputs("<td class=\"words\" data-name=\"Remarks\">", out);
	text(out, "%s", relay_row_words(words, row));
	fputs("</td></tr>\n", out);
}

static void put_flows(FILE *out, const struct relay_table *t, size_t high)
{
	fprintf(out, "<h2>Connections <small>%zu</small></h2>\n<div class=\"scroll\">", t->n);
	if (t->n == 0) {
		fputs("<p class=\"none\">Nobody is connected.</p></div>\n", out);
		return;
	}
	fputs("<table class=\"flows\"><thead><tr><th class=\"n\">#<th>Client<th>Target, server<th>State<th "
	      "class=\"n\">Age"
	      "<th class=\"n\">Up<th class=\"n\">Down<th class=\"n\">Buffered<th class=\"n\">RTT client,<br>"
	      "server<th class=\"n\">Name,<br>"
	      "connect<th>Remarks</tr></thead><tbody>\n",
	      out);
	for (size_t i = 0; i < t->n_shown; i++)
		put_flow(out, &t->lines[i], high);
	fputs("</tbody></table>", out);
	if (t->n_shown < t->n)
		fprintf(out, "<p class=\"none\">and %zu more, about which there is less to say</p>", t->n - t->n_shown);
	fputs("</div>\n", out);
}

/* --- what has ended ----------------------------------------------------------------------------------------------- */

static const char *class_of(enum relay_end end)
{
	return end == RELAY_END_ORDERLY                                                                       ? "ok"
	       : end == RELAY_END_CONNECT || end == RELAY_END_SERVER_FAILED || end == RELAY_END_CLIENT_FAILED ? "bad"
													      : "warn";
}

static void put_ended(FILE *out, const struct relay_row *row, uint64_t now_ns)
{
	char client[ADDR_TEXT], server[ADDR_TEXT], a[UNITS_TEXT], b[UNITS_TEXT];
	fprintf(out, "<tr><td class=\"n\" data-name=\"#\">%llu</td>", llu(row->id));
	put_name(out, "Client", address(client, &row->client), "");
	put_name(out, "Target", row->target[0] != '\0' ? row->target : "-", address(server, &row->server));
	put_numbers(out, "", "Lasted, ago", relay_time_text(a, row->age_ns),
		    relay_time_text(b, now_ns > row->ended_ns ? now_ns - row->ended_ns : 0));
	fprintf(out, "<td class=\"n up\" data-name=\"Up\">%s</td>", units_size(a, row->lane[PUMP_UP].bytes_out));
	fprintf(out, "<td class=\"n down\" data-name=\"Down\">%s</td>", units_size(a, row->lane[PUMP_DOWN].bytes_out));
	fprintf(out, "<td data-name=\"End\"><span class=\"pill %s\">%s</span>", class_of(row->end),
		relay_end_text(row->end));
	if (row->err != 0) {
		fputs(" ", out);
		text(out, "%s", strerror(row->err));
	}
	fputs("</td></tr>\n", out);
}

static void put_recent(FILE *out, const struct relay_census *c)
{
	if (c->n_recent == 0)
		return;
	fputs("<h2>Ended last</h2>\n<div class=\"scroll\"><table class=\"flows\"><thead><tr><th class=\"n\">#<th>"
	      "Client<th>Target, server"
	      "<th class=\"n\">Lasted,<br>ago<th class=\"n\">Up<th class=\"n\">Down<th>How it ended</tr></thead>"
	      "<tbody>\n",
	      out);
	for (size_t i = 0; i < c->n_recent; i++)
		put_ended(out, &c->recent[i], c->now_ns);
	fputs("</tbody></table></div>\n", out);
}

static void put_reasons(FILE *out, const struct relay_tally *t)
{
	uint64_t sum = 0;
	for (enum relay_end end = RELAY_END_ORDERLY; end < RELAY_END_DENIED; end++)
		sum += t->ends[end];
	if (sum == 0)
		return;
	fprintf(out,
		"<section><h2>How they ended <small>%llu connection%s</small></h2>\n<div class=\"scroll\"><table>"
		"<tbody>\n",
		llu(sum), plural(sum));
	for (enum relay_end end = RELAY_END_ORDERLY; end < RELAY_END_DENIED; end++) {
		if (t->ends[end] > 0)
			fprintf(out, "<tr><td><span class=\"pill %s\">%s</span><td class=\"n\">%llu</tr>\n",
				class_of(end), relay_end_text(end), llu(t->ends[end]));
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
	fputs("<section><h2>Servers</h2>\n<div class=\"scroll\"><ul>\n", out);
	for (char *rest = lines, *line; (line = strsep(&rest, "\n")) != NULL;) {
		if (line[0] == '\0')
			continue;
		fputs("<li>", out);
		svg_escape(out, line);
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
	addr_text(&relay->bound, where);
	fprintf(out,
		"<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
		"<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
		"<noscript><meta http-equiv=\"refresh\" content=\"2\"></noscript>\n"
		"<title>%s %s</title><link rel=\"icon\" href=\"/icon.svg\">\n<style>\n%s</style></head><body>\n",
		relay->tool->name, where, style);
	fprintf(out,
		"<header><img src=\"/icon.svg\" alt=\"\"><h1>%s</h1><code>%s</code><span id=\"live\"></span></header>"
		"\n<main>\n",
		relay->tool->name, where);
	relay_page_main(out, relay, c, visit);
	fprintf(out,
		"</main>\n<footer>For programs: <a href=\"/json\">/json</a>, <a href=\"/metrics\">/metrics</a> "
		"(Prometheus), "
		"<a href=\"/stream\">/stream</a> (server-sent events).</footer>\n<script>\n%s</script></body></html>\n",
		script);
}

void relay_visit_free(struct relay_visit *visit)
{
	relay_view_free(&visit->view);
}
