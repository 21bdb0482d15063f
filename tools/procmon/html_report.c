/* html_report.c - procmon --report: everything in one file, to be read when procmon is gone: no script, nothing from
 * elsewhere.
 *
 *	which processes, marks
 *	each process: who it was, how it ended, numbers, charts of 10 minutes and of 2 hours if it was longer, tables */
#include "pages.h"

#include "mem.h"
#include "pen.h"

#include <stdlib.h>
#include <string.h>

enum { ANCHOR = 32, LABEL = PROCMON_LABEL + 16 };

static void put_tables(FILE *out, const struct watched *w)
{
	page_put_tree(out, w);
	page_put_threads(out, w);
	page_put_files(out, w);
	page_put_sockets(out, w);
	page_put_maps(out, w);
	page_put_limits(out, w);
	page_put_command(out, w);
	if (w->procmon->o->allow_environ)
		page_put_environ(out, w);
}

/* Is there more to see than the last 10 minutes? */
static bool is_long(const struct watched *w)
{
	const struct history *h = w->history;
	return history_rows(h, SPAN_2_HOURS) > 0 &&
	       history_end_ns(h) - history_row(h, SPAN_2_HOURS, 0).at_real_ns > history_span_ns(SPAN_10_MINUTES);
}

static void put_process(FILE *out, const struct watched *w)
{
	fprintf(out, "<section id=\"p%d\">\n", (int)w->pid);
	page_put_identity(out, w);
	page_put_end(out, w);
	html_heading(out, "In numbers", w->has_ended ? "the last that was seen" : "at the end of the report");
	page_put_cards(out, w);
	html_heading(out, "The last 10 minutes", NULL);
	page_put_charts(out, w, SPAN_10_MINUTES);
	if (is_long(w)) {
		html_heading(out, "The last 2 hours", "mean of each %d s", HISTORY_COARSE_S);
		page_put_charts(out, w, SPAN_2_HOURS);
	}
	page_put_figures(out, w, true);
	put_tables(out, w);
	page_put_own(out, w);
	fputs("</section>\n", out);
}

static size_t count(const struct procmon *m)
{
	size_t n = 0;
	for (const struct watched *w = m->first; w != NULL; w = w->next)
		n++;
	return n;
}

void report_html(FILE *out, const struct procmon *m)
{
	char from[32], what[96];
	size_t n = count(m), i = 0;
	struct html_link *nav = xcalloc(n + 1, sizeof(*nav));
	char(*href)[ANCHOR] = xcalloc(n + 1, ANCHOR), (*name)[LABEL] = xcalloc(n + 1, LABEL);
	for (const struct watched *w = m->first; w != NULL; w = w->next, i++) {
		snprintf(href[i], ANCHOR, "#p%d", (int)w->pid);
		snprintf(name[i], LABEL, "%s, pid %d", w->label, (int)w->pid);
		nav[i] = (struct html_link){ href[i], name[i] };
	}
	snprintf(what, sizeof(what), "report from %s on", pen_clock(from, m->start_real_ns, true));
	const struct html_page page = {
		.tool = "procmon", .what = what, .nav = n > 1 ? nav : NULL, .n_nav = n > 1 ? n : 0
	};
	html_begin(out, &page);
	page_put_comparison(out, m, m->first != NULL && is_long(m->first) ? SPAN_2_HOURS : SPAN_10_MINUTES);
	page_put_marks(out, m);
	for (const struct watched *w = m->first; w != NULL; w = w->next)
		put_process(out, w);
	html_end(out, &page, NULL);
	free(nav);
	free(href);
	free(name);
}
