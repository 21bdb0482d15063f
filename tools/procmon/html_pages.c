/* html_pages.c - procmon: its pages, and what they have in common.
 *
 *	header    whom we look at
 *	tabs      the other pages; then, of what does not change: the other processes, the span of the charts, a form
 *	          for a mark
 *	main      all that changes: how it ended if it has, the page itself, what procmon costs
 *	footer    the same for programs
 *
 * Each page is complete without a script, and then loads itself again; with one, main is replaced by what
 * /stream?as=html sends. What the pages are made of is in the other html_*.c. */
#include "pages.h"

#include "clock.h"
#include "mem.h"
#include "pen.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { RELOAD_S = 5, STALE_INTERVALS = 2, HREF = 64 };

const char page_icon[] =
	"<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 32 32\"><rect width=\"32\" height=\"32\" rx=\"7\" "
	"fill=\"#0b6e99\"/><path d=\"M4 18h5l3-9 5 15 4-10 2 4h5\" fill=\"none\" stroke=\"#fff\" "
	"stroke-width=\"2.5\" stroke-linecap=\"round\" stroke-linejoin=\"round\"/></svg>\n";

static void put_overview(FILE *out, const struct watched *w, enum span span)
{
	page_put_cards(out, w);
	page_put_charts(out, w, span);
	page_put_identity(out, w);
	page_put_comparison(out, w->procmon, span);
	page_put_tree(out, w);
	page_put_marks(out, w->procmon);
	page_put_figures(out, w, false);
}

/* The word is that of /stream?page=. Either of the two functions. */
static const struct page_spec {
	const char *path, *name, *word;
	unsigned sources;
	void (*put)(FILE *out, const struct watched *w);
	void (*put_span)(FILE *out, const struct watched *w, enum span span);
} specs[PAGES] = {
	[PAGE_OVERVIEW] = { "/", "Overview", "overview",
			    SOURCE_BIT(SOURCE_PSS) | SOURCE_BIT(SOURCE_THREADS) | SOURCE_BIT(SOURCE_SOCKETS), NULL,
			    put_overview },
	[PAGE_THREADS] = { "/threads", "Threads", "threads", SOURCE_BIT(SOURCE_THREADS), page_put_threads, NULL },
	[PAGE_FILES] = { "/files", "Files", "files", SOURCE_BIT(SOURCE_FILES), page_put_files, NULL },
	[PAGE_SOCKETS] = { "/sockets", "Sockets", "sockets", SOURCE_BIT(SOURCE_SOCKETS), page_put_sockets, NULL },
	[PAGE_MAPS] = { "/maps", "Memory", "maps", SOURCE_BIT(SOURCE_MAPS), page_put_maps, NULL },
	[PAGE_LIMITS] = { "/limits", "Limits", "limits", 0, page_put_limits, NULL },
	[PAGE_COMMAND] = { "/cmdline", "Command", "cmdline", 0, page_put_command, NULL },
	[PAGE_ENVIRON] = { "/environ", "Environment", "environ", 0, page_put_environ, NULL },
};

const char *page_path(enum page page)
{
	return specs[page].path;
}

unsigned page_sources(enum page page)
{
	return specs[page].sources;
}

bool page_is_live(enum page page)
{
	return page != PAGE_COMMAND && page != PAGE_ENVIRON;
}

/* --- links -------------------------------------------------------------------------------------------------------- */

/* Whom and what one looks at stays the same from page to page; the defaults need not be said. */
static const char *href_of(char out[static HREF], const char *path, const struct watched *w, enum span span)
{
	bool has_pid = w != w->procmon->first, has_span = span != SPAN_10_MINUTES;
	char pid[24] = "";
	if (has_pid)
		snprintf(pid, sizeof(pid), "pid=%d%s", (int)w->pid, has_span ? "&" : "");
	snprintf(out, HREF, "%s%s%s%s", path, has_pid || has_span ? "?" : "", pid, has_span ? "span=2h" : "");
	return out;
}

static void put_choice(FILE *out, const char *href, bool is_here, const char *name)
{
	fputs("<a href=\"", out);
	html_text(out, "%s", href);
	fputs(is_here ? "\" aria-current=\"true\">" : "\">", out);
	html_text(out, "%s", name);
	fputs("</a>", out);
}

static void put_processes(FILE *out, const struct watched *here, enum page page, enum span span)
{
	char href[HREF], name[PROCMON_LABEL + 16];
	if (here->procmon->n_watched < 2)
		return;
	fputs("<span class=\"choice\">process ", out);
	for (const struct watched *w = here->procmon->first; w != NULL; w = w->next) {
		snprintf(name, sizeof(name), "%s %d", w->label, (int)w->pid);
		snprintf(href, sizeof(href), "%s?pid=%d%s", specs[page].path, (int)w->pid,
			 span == SPAN_2_HOURS ? "&span=2h" : "");
		put_choice(out, href, w == here, name);
	}
	fputs("</span>\n", out);
}

static void put_spans(FILE *out, const struct watched *w, enum page page, enum span here)
{
	char href[HREF];
	if (specs[page].put_span == NULL)
		return;
	fputs("<span class=\"choice\">charts of ", out);
	put_choice(out, href_of(href, specs[page].path, w, SPAN_10_MINUTES), here == SPAN_10_MINUTES, "10 minutes");
	put_choice(out, href_of(href, specs[page].path, w, SPAN_2_HOURS), here == SPAN_2_HOURS, "2 hours");
	fputs("</span>\n", out);
}

/* A form needs no script; /mark sends the browser back to the overview of this process and span. */
static void put_mark_form(FILE *out, const struct watched *w, enum span span)
{
	fprintf(out,
		"<form method=\"post\" action=\"/mark\"><label for=\"mark\">mark</label>"
		"<input id=\"mark\" name=\"label\" maxlength=\"%d\" size=\"18\" required autocomplete=\"off\" "
		"placeholder=\"what happens now\">"
		"<input type=\"hidden\" name=\"pid\" value=\"%d\"><input type=\"hidden\" name=\"span\" value=\"%s\">"
		"<button>put it on all charts</button></form>",
		MARK_LABEL - 1, (int)w->pid, span == SPAN_2_HOURS ? "2h" : "10m");
}

static char *bar_of(const struct watched *w, enum page page, enum span span)
{
	char *text;
	size_t len;
	FILE *out = xmemstream(&text, &len);
	put_processes(out, w, page, span);
	put_spans(out, w, page, span);
	put_mark_form(out, w, span);
	fclose(out);
	return text;
}

static char *footer_of(const struct watched *w, enum span span)
{
	static const char *const paths[] = { "/json", "/metrics", "/csv", "/stream" };
	char *text, href[HREF];
	size_t len;
	FILE *out = xmemstream(&text, &len);
	fputs("For programs: ", out);
	for (size_t i = 0; i < COUNT_OF(paths); i++) {
		put_choice(out, href_of(href, paths[i], w, span), false, paths[i]);
		fputs(", ", out);
	}
	fputs("POST /mark?label=; each chart: ", out);
	for (enum chart_id id = 0; id < CHARTS; id++) {
		char path[32];
		snprintf(path, sizeof(path), "/%s.svg", chart_name(id));
		fputs(id > 0 ? ", " : "", out);
		put_choice(out, href_of(href, path, w, span), false, path);
	}
	fclose(out);
	return text;
}

/* --- the page ----------------------------------------------------------------------------------------------------- */

/* The tabs; in `href` is where they lead. The environment has none unless it may be shown. */
static size_t nav_of(struct html_link nav[static PAGES], char href[static PAGES][HREF], const struct watched *w,
		     enum span span)
{
	size_t n = 0;
	for (enum page page = 0; page < PAGES; page++) {
		if (page != PAGE_ENVIRON || w->procmon->o->allow_environ)
			nav[n++] = (struct html_link){ href_of(href[page], specs[page].path, w, span),
						       specs[page].name };
	}
	return n;
}

void page_main(FILE *out, const struct watched *w, enum page page, enum span span)
{
	page_put_end(out, w);
	if (specs[page].put_span != NULL)
		specs[page].put_span(out, w, span);
	else
		specs[page].put(out, w);
	page_put_own(out, w);
}

/* What has ended does not change any more, once it is known how. */
static bool is_live(const struct watched *w, enum page page)
{
	return page_is_live(page) && !(w->has_ended && w->is_status_known);
}

void page_html(FILE *out, const struct watched *w, enum page page, enum span span)
{
	char what[PROCMON_LABEL + 32], href[PAGES][HREF], stream[128];
	struct html_link nav[PAGES];
	size_t n_nav = nav_of(nav, href, w, span);
	char *bar = bar_of(w, page, span), *footer = footer_of(w, span);
	snprintf(what, sizeof(what), "%s, pid %d", w->label, (int)w->pid);
	snprintf(stream, sizeof(stream), "/stream?as=html&page=%s&pid=%d&span=%s", specs[page].word, (int)w->pid,
		 span == SPAN_2_HOURS ? "2h" : "10m");
	const struct html_page frame = {
		.tool = "procmon",
		.what = what,
		.icon_href = "/icon.svg",
		.nav = nav,
		.n_nav = n_nav,
		.here = href[page],
		.stream = is_live(w, page) ? stream : NULL,
		.html_bar = bar,
		.reload_s = is_live(w, page) ? RELOAD_S : 0,
	};
	html_begin(out, &frame);
	page_main(out, w, page, span);
	html_end(out, &frame, footer);
	free(bar);
	free(footer);
}

/* --- what the pages have in common -------------------------------------------------------------------------------- */

static void put_why(FILE *out, const char *why)
{
	if (why != NULL)
		html_note(out, HTML_WARN, "Not everything can be read: %s.", why);
}

void page_put_end(FILE *out, const struct watched *w)
{
	char clock[32], age[32], how[WATCHED_END_TEXT];
	int status = w->has_ended ? watched_exit_status(w) : 0;
	if (w->has_ended)
		html_note(out,
			  status == 0  ? HTML_OK
			  : status < 0 ? HTML_WARN
				       : HTML_BAD,
			  "Ended at %s after %s: %s. What follows is the last that was seen.",
			  pen_clock(clock, w->ended_real_ns, false), pen_age(age, watched_age_ns(w)),
			  watched_end_text(w, how));
	put_why(out, w->why);
}

void page_put_why(FILE *out, const struct watched *w, const char *why)
{
	if (why == NULL || w->why == NULL || strcmp(why, w->why) != 0)
		put_why(out, why);
}

const char *page_age_text(char out[static PAGE_AGE], const struct watched *w, uint64_t at_ns)
{
	char age[32];
	uint64_t until_ns = w->has_ended ? w->ended_ns : clk_mono_ns();
	uint64_t old_ns = until_ns > at_ns ? until_ns - at_ns : 0;
	out[0] = '\0';
	if (at_ns == 0)
		snprintf(out, PAGE_AGE, "; not read yet");
	else if (old_ns > STALE_INTERVALS * w->procmon->o->interval_ns && old_ns >= NS_PER_S)
		snprintf(out, PAGE_AGE, "; as of %s %s", pen_age(age, old_ns), w->has_ended ? "before the end" : "ago");
	return out;
}

/* 'S': "sleeping". */
static const char *state_word(char state)
{
	switch (state) {
	case 'R':
		return "running";
	case 'S':
		return "sleeping";
	case 'D':
		return "in a device";
	case 'T':
		return "stopped";
	case 't':
		return "traced";
	case 'Z':
		return "zombie";
	case 'I':
		return "idle";
	case 'X':
		return "dead";
	default:
		return "-";
	}
}

void page_put_state(FILE *out, char state)
{
	bool is_odd = state == 'D' || state == 'T' || state == 't' || state == 'Z';
	html_pill(out, state == 'R' ? HTML_OK : is_odd ? HTML_WARN : HTML_PLAIN, "%s", state_word(state));
}

const char *page_next_word(const char *text, size_t len, size_t *at)
{
	if (*at >= len)
		return NULL;
	const char *word = text + *at;
	*at += strlen(word) + 1;
	return word;
}

void page_put_share(struct html_table *t, const char *text, double share)
{
	FILE *out = html_cell_begin(t);
	html_text(out, "%s", text);
	html_bar(out, "", share, NULL);
	html_cell_end(t);
}

/* In main, since it changes. */
void page_put_own(FILE *out, const struct watched *w)
{
	const struct procmon *m = w->procmon;
	char cpu[UNITS_TEXT], rss[UNITS_TEXT], interval[UNITS_TEXT], took[UNITS_TEXT], late[UNITS_TEXT],
		tick[UNITS_TEXT];
	html_remark(
		out,
		"procmon itself: %s of a processor, %s. %llu samples, one every %s: the last one took %s to read; the "
		"latest came %s too late, %llu were left out. Processor time is exact; user and system are shared out "
		"by ticks of %s.",
		column_text(cpu, COLUMN_CPU, m->own.cpu_percent), units_size(rss, m->own.resident_bytes),
		(unsigned long long)w->samples, units_duration(interval, m->o->interval_ns),
		units_duration(took, w->took_ns), units_duration(late, m->late_ns), (unsigned long long)m->missed,
		units_duration(tick, m->system.ticks_per_s > 0 ? NS_PER_S / m->system.ticks_per_s : 0));
}
