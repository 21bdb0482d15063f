/* frame.c - see frame.h. From top to bottom: who it is, which page, the page, the foot. */
#include "frame.h"

#include "clock.h"
#include "mem.h"
#include "screen.h"
#include "tables.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { TRACE_MAX = 512 };

static const struct {
	const char *title;
	unsigned sources;
} pages[FRAME_PAGES] = {
	[FRAME_OVERVIEW] = { "Overview",
			     SOURCE_BIT(SOURCE_THREADS) | SOURCE_BIT(SOURCE_SOCKETS) | SOURCE_BIT(SOURCE_PSS) },
	[FRAME_THREADS] = { "Threads", SOURCE_BIT(SOURCE_THREADS) },
	[FRAME_FILES] = { "Files", SOURCE_BIT(SOURCE_FILES) },
	[FRAME_SOCKETS] = { "Sockets", SOURCE_BIT(SOURCE_SOCKETS) },
};

static const struct {
	const char *title;
	int64_t s;
	enum span rows;
} spans[FRAME_SPANS] = {
	[FRAME_1_MINUTE] = { "last minute", 60, SPAN_10_MINUTES },
	[FRAME_10_MINUTES] = { "last 10 minutes", 600, SPAN_10_MINUTES },
	[FRAME_2_HOURS] = { "last 2 hours", 7200, SPAN_2_HOURS },
};

unsigned frame_sources(enum frame_page page)
{
	return pages[page].sources;
}

/* --- traces ------------------------------------------------------------------------------------------------------- */

/* A column's history in n equal parts of the span. A row stands for the time since the one before: it is drawn in
 * each part whose middle lies there, and at least in the one that it ends in. Where several fall into one part it
 * shows their mean. */
struct trace {
	double mean[TRACE_MAX];
	unsigned n, rows[TRACE_MAX];
	double most; /* NaN: there is nothing */
};

static void add_row(struct trace *t, double begin_parts, double end_parts, double mean, double most)
{
	double last = floor(end_parts - 0.5), first = floor(begin_parts + 0.5);
	if (isnan(mean))
		return;
	if (last < first)
		first = last = ceil(end_parts) - 1;
	for (double i = first > 0 ? first : 0; i <= last && i < t->n; i++) {
		unsigned k = (unsigned)i;
		t->rows[k]++;
		t->mean[k] = t->rows[k] == 1 ? mean : t->mean[k] + (mean - t->mean[k]) / t->rows[k];
		t->most = fmax(t->most, most); /* of a number and a NaN: the number */
	}
}

static void trace_column(struct trace *t, unsigned n, const struct watched *w, enum frame_span span, enum column column)
{
	enum span rows = spans[span].rows;
	int64_t length_ns = spans[span].s * NS_PER_S, begin_ns = history_end_ns(w->history) - length_ns;
	double cover_ns = rows == SPAN_2_HOURS ? HISTORY_COARSE_S * 1e9 : (double)w->procmon->o->interval_ns;
	t->n = n < TRACE_MAX ? n : TRACE_MAX;
	t->most = NAN;
	for (unsigned i = 0; i < t->n; i++) {
		t->mean[i] = NAN;
		t->rows[i] = 0;
	}
	for (size_t i = history_rows(w->history, rows); i > 0; i--) {
		struct history_row row = history_row(w->history, rows, i - 1);
		double end_ns = (double)(row.at_real_ns - begin_ns), part_ns = (double)length_ns / t->n;
		if (end_ns <= 0)
			break;
		add_row(t, (end_ns - cover_ns) / part_ns, end_ns / part_ns, row.mean[column], row.most[column]);
	}
}

/* --- head and foot ------------------------------------------------------------------------------------------------ */

static const char *state_words(const struct watched *w)
{
	static const struct {
		char state;
		const char *words;
	} all[] = { { 'R', "running" }, { 'S', "sleeping" },           { 'D', "in a wait that nothing interrupts" },
		    { 'T', "stopped" }, { 't', "held by a debugger" }, { 'Z', "a zombie" },
		    { 'I', "idle" } };
	for (size_t i = 0; i < COUNT_OF(all); i++) {
		if (all[i].state == w->stat.state)
			return all[i].words;
	}
	return "-";
}

static void put_title(struct pen *p, const struct procmon *m, const struct frame_view *v)
{
	const struct watched *w = v->selected;
	char right[64], clock[32], interval[UNITS_TEXT];
	snprintf(right, sizeof(right), "%severy %s  %s ", v->is_paused ? "paused  " : "",
		 units_duration(interval, m->o->interval_ns), pen_clock(clock, w->at_real_ns, false));
	unsigned width = pen_columns(right), left = p->columns > width + 1 ? p->columns - width - 1 : 0;
	char text[PEN_CELL];
	snprintf(text, sizeof(text), " %.*s (%d) %s", PROCMON_LABEL, w->label, (int)w->pid,
		 w->has_ended ? "has ended" : state_words(w));
	pen_light(p, SCREEN_INVERT);
	pen_plain(p, left, text);
	pen_to(p, left + 1);
	pen_plain(p, PEN_NO_LIMIT, right);
	pen_end(p);
}

static void put_tabs(struct pen *p, const struct procmon *m, const struct frame_view *v)
{
	for (unsigned i = 0; i < FRAME_PAGES; i++) {
		bool is_chosen = i == v->page;
		pen_light(p, is_chosen ? SCREEN_BOLD : SCREEN_PLAIN);
		pen_put(p, is_chosen ? "[%u %s]" : " %u %s ", i + 1, pages[i].title);
	}
	pen_light(p, SCREEN_PLAIN);
	if (v->page == FRAME_OVERVIEW)
		pen_put(p, "   %s", spans[v->span].title);
	if (m->host != NULL)
		pen_put(p, "   http://%s", m->host);
	pen_end(p);
}

static void put_end(struct pen *p, const struct watched *w)
{
	char clock[32], age[32], how[WATCHED_END_TEXT], text[PEN_CELL];
	if (!w->has_ended)
		return;
	snprintf(text, sizeof(text), "ended at %s after %s: %s. This is the last that was seen.",
		 pen_clock(clock, w->ended_real_ns, false), pen_age(age, watched_age_ns(w)), watched_end_text(w, how));
	pen_light(p, SCREEN_RED);
	pen_words(p, 1, 2, text);
}

static void put_why(struct pen *p, const char *what, const char *why)
{
	char text[PEN_CELL];
	if (why == NULL)
		return;
	snprintf(text, sizeof(text), "not read%s: %s", what, why);
	pen_light(p, SCREEN_YELLOW);
	pen_words(p, 1, 2, text);
}

/* In the last line, which was kept free for it. */
static void put_foot(struct pen *p, const struct procmon *m, const struct frame_view *v)
{
	char own[64], text[UNITS_TEXT];
	if (v->foot == NULL)
		return;
	while (p->lines > 1 && p->lines != PEN_NO_LIMIT)
		pen_end(p);
	snprintf(own, sizeof(own), "procmon itself: %s CPU ", column_text(text, COLUMN_CPU, m->own.cpu_percent));
	unsigned left = pen_columns(v->foot), width = pen_columns(own);
	pen_light(p, SCREEN_INVERT);
	pen_plain(p, PEN_NO_LIMIT, v->foot);
	if (left + width < p->columns) {
		pen_to(p, p->columns - width);
		pen_plain(p, width, own);
	}
	pen_to(p, p->columns);
	pen_end(p);
}

/* --- the list of processes ---------------------------------------------------------------------------------------- */

struct list_row {
	const struct watched *w;
	struct trace trace;
};

static void list_pid(char out[static PEN_CELL], const void *row)
{
	snprintf(out, PEN_CELL, "%d", (int)((const struct list_row *)row)->w->pid);
}

static void list_label(char out[static PEN_CELL], const void *row)
{
	snprintf(out, PEN_CELL, "%s", ((const struct list_row *)row)->w->label);
}

static void list_state(char out[static PEN_CELL], const void *row)
{
	const struct watched *w = ((const struct list_row *)row)->w;
	char text[WATCHED_END_TEXT];
	snprintf(out, PEN_CELL, "%s", w->has_ended ? watched_end_text(w, text) : state_words(w));
}

static void put_column(char out[static PEN_CELL], const void *row, enum column column)
{
	char text[UNITS_TEXT];
	snprintf(out, PEN_CELL, "%s", column_text(text, column, ((const struct list_row *)row)->w->known[column]));
}

static void list_cpu(char out[static PEN_CELL], const void *row)
{
	put_column(out, row, COLUMN_CPU);
}

static void list_resident(char out[static PEN_CELL], const void *row)
{
	put_column(out, row, COLUMN_RESIDENT);
}

static void list_threads(char out[static PEN_CELL], const void *row)
{
	put_column(out, row, COLUMN_THREADS);
}

static void list_files(char out[static PEN_CELL], const void *row)
{
	put_column(out, row, COLUMN_FILES);
}

static const double *list_trace(const void *row, unsigned *n)
{
	const struct trace *t = &((const struct list_row *)row)->trace;
	*n = t->n;
	return t->mean;
}

static const struct pen_column list_columns[] = {
	{ .title = "PID", .cell = list_pid, .least = 7 },
	{ .title = "NAME", .cell = list_label, .is_left = true, .least = 8, .most = 20 },
	{ .title = "STATE", .cell = list_state, .is_left = true, .least = 8, .most = 20, .leave = 2 },
	{ .title = "CPU", .cell = list_cpu, .least = 7 },
	{ .title = "RSS", .cell = list_resident, .least = 8, .leave = 4 },
	{ .title = "THREADS", .cell = list_threads, .leave = 1 },
	{ .title = "FDS", .cell = list_files, .least = 4, .leave = 3 },
	{ .title = "CPU", .trace = list_trace },
	{ 0 },
};

/* At most `most` of them; the one that is chosen is always among them. */
static void put_list(struct pen *p, const struct procmon *m, const struct frame_view *v, unsigned most)
{
	struct list_row *rows = xcalloc(m->n_watched, sizeof(*rows));
	const void **row = xcalloc(m->n_watched, sizeof(*row));
	struct pen_list list = { .columns = list_columns, .row = row };
	size_t chosen = 0;
	for (struct watched *w = m->first; w != NULL && list.n < m->n_watched; w = w->next) {
		if (w == v->selected)
			chosen = list.n;
		rows[list.n].w = w;
		trace_column(&rows[list.n].trace, p->columns < 60 ? p->columns : 60, w, v->span, COLUMN_CPU);
		row[list.n] = &rows[list.n];
		list.n++;
	}
	list.lit = row[chosen];
	list.first = chosen >= most ? chosen - most + 1 : 0;
	if (list.n > most && p->lines > most + 1)
		list.keep = p->lines - most - 1;
	pen_table(p, &list);
	free(row);
	free(rows);
}

/* --- the overview: who it is -------------------------------------------------------------------------------------- */

static void put_identity(struct pen *p, const struct watched *w)
{
	char text[PEN_CELL], clock[32], age[32];
	tables_command(w, text);
	pen_light(p, SCREEN_BOLD);
	pen_put(p, " %s", text);
	pen_end(p);
	pen_put(p, " %s, parent %lld, since %s (%s), in ", w->user, (long long)w->stat.ppid,
		pen_clock(clock, w->start_real_ns, true), pen_age(age, watched_age_ns(w)));
	pen_plain(p, PEN_NO_LIMIT, w->cwd[0] != '\0' ? w->cwd : "-");
	pen_end(p);
}

/* User and system time as shares of all processors. */
static void put_cpu(struct pen *p, const struct watched *w)
{
	char cpu[UNITS_TEXT];
	double whole = 100.0 * (double)(w->procmon->system.processors > 0 ? w->procmon->system.processors : 1);
	const double share[] = { w->known[COLUMN_USER] / whole, w->known[COLUMN_SYSTEM] / whole };
	char right[64];
	snprintf(right, sizeof(right), " %u processor%s", w->procmon->system.processors,
		 w->procmon->system.processors == 1 ? "" : "s");
	pen_light(p, SCREEN_BOLD);
	pen_put(p, " CPU ");
	pen_right(p, 8, column_text(cpu, COLUMN_CPU, w->known[COLUMN_CPU]));
	pen_light(p, SCREEN_PLAIN);
	pen_put(p, " ");
	unsigned width = pen_columns(right), room = pen_room(p);
	bool has_words = room > width + 16;
	pen_bar(p, has_words ? room - width : room, share, COUNT_OF(share));
	if (has_words)
		pen_put(p, "%s", right);
	pen_end(p);
}

/* --- the overview: the chart of the processor --------------------------------------------------------------------- */

enum { CHART_LABEL = 7, CHART_LEAST = 3, CHART_MOST = 12 };

static double round_up(double most)
{
	static const double steps[] = { 5, 10, 25, 50, 100 };
	for (size_t i = 0; i < COUNT_OF(steps); i++) {
		if (most <= steps[i])
			return steps[i];
	}
	return isnan(most) ? 100 : ceil(most / 100) * 100;
}

/* A mark's words stand behind it, or where the line ends too soon, in front of it. */
static void put_mark(struct pen *p, unsigned at, unsigned from, const char *label)
{
	unsigned width = pen_columns(label);
	bool is_in_front = at + 1 + width > p->columns && at >= from + width;
	pen_to(p, is_in_front ? at - width : at);
	pen_light(p, SCREEN_YELLOW);
	pen_put(p, is_in_front ? "%s^" : "^%s", label);
	pen_light(p, SCREEN_PLAIN);
}

/* Under the chart: where the marks are, with as many of their words as there is room. */
static void put_marks(struct pen *p, const struct watched *w, enum frame_span span, unsigned n)
{
	const struct marks *marks = &w->procmon->marks;
	int64_t end_ns = history_end_ns(w->history), length_ns = spans[span].s * NS_PER_S;
	unsigned free_at = CHART_LABEL;
	for (size_t i = 0; i < marks->n; i++) {
		int64_t since_ns = marks->mark[i].at_real_ns - (end_ns - length_ns);
		if (since_ns < 0 || since_ns > length_ns)
			continue;
		unsigned at = CHART_LABEL + (unsigned)((double)since_ns / (double)length_ns * (n - 1));
		if (at < free_at)
			continue;
		put_mark(p, at, free_at, marks->mark[i].label);
		free_at = p->at + 1;
	}
	pen_end(p);
}

static void put_chart(struct pen *p, const struct watched *w, enum frame_span span, unsigned height)
{
	struct trace t;
	char label[UNITS_TEXT];
	if (p->columns < 2 * CHART_LABEL)
		return;
	trace_column(&t, p->columns - CHART_LABEL, w, span, COLUMN_CPU);
	double top = round_up(t.most);
	for (unsigned row = 0; row < height; row++) {
		snprintf(label, sizeof(label), "%.0f %%", row == 0 ? top : 0);
		pen_right(p, CHART_LABEL - 1, row == 0 || row + 1 == height ? label : "");
		pen_to(p, CHART_LABEL);
		pen_light(p, SCREEN_GREEN);
		pen_trace_row(p, t.mean, t.n, top, height, row);
		pen_end(p);
	}
	put_marks(p, w, span, t.n);
}

/* --- the overview: everything else -------------------------------------------------------------------------------- */

static const struct grid_cell {
	const char *group;
	enum column column;
	const char *label; /* NULL: the column's own */
} grid[] = {
	{ "processor", COLUMN_USER, NULL },
	{ "", COLUMN_SYSTEM, NULL },
	{ "", COLUMN_WAITED, NULL },
	{ "", COLUMN_THREADS, NULL },
	{ "memory", COLUMN_RESIDENT, NULL },
	{ "", COLUMN_PSS, NULL },
	{ "", COLUMN_SWAP, NULL },
	{ "", COLUMN_FILES, NULL },
	{ "switches", COLUMN_VOLUNTARY, NULL },
	{ "", COLUMN_INVOLUNTARY, NULL },
	{ "faults", COLUMN_MINOR, NULL },
	{ "", COLUMN_MAJOR, NULL },
	{ "calls", COLUMN_READ, NULL },
	{ "", COLUMN_WRITTEN, NULL },
	{ "", COLUMN_CALLS, "number" },
	{ "", COLUMN_SOCKETS, NULL },
	{ "disk", COLUMN_DISK_READ, NULL },
	{ "", COLUMN_DISK_WRITTEN, NULL },
	{ "TCP", COLUMN_TCP_IN, NULL },
	{ "", COLUMN_TCP_OUT, NULL },
	{ "", COLUMN_RECV_QUEUE, NULL },
	{ "", COLUMN_SEND_QUEUE, "not acked" },
	{ "", COLUMN_RETRANSMITS, NULL },
	{ "", COLUMN_PROCESSES, NULL },
};

enum { GRID_GROUP = 11, GRID_LABEL = 11, GRID_VALUE = 11, GRID_MOST = 17, GRID_TWO = 72, GRID_WIDE = 72 };

static void put_grid_cell(struct pen *p, const struct watched *w, enum frame_span span, const struct grid_cell *cell,
			  unsigned end)
{
	struct trace t;
	char text[UNITS_TEXT];
	bool is_old = isnan(w->value[cell->column]); /* it was not read this time */
	unsigned begin = p->at;
	pen_plain(p, GRID_LABEL, cell->label != NULL ? cell->label : column_info[cell->column].label);
	pen_to(p, begin + GRID_LABEL);
	pen_light(p, is_old ? SCREEN_DIM : SCREEN_BOLD);
	pen_right(p, GRID_VALUE, column_text(text, cell->column, w->known[cell->column]));
	pen_light(p, SCREEN_PLAIN);
	pen_light(p, SCREEN_BLUE);
	pen_to(p, p->at + 1);
	bool is_wide = end - begin >= GRID_WIDE;
	unsigned to = is_wide ? end - GRID_MOST : end;
	if (to > p->at) {
		trace_column(&t, to - p->at, w, span, cell->column);
		pen_trace(p, t.mean, t.n, t.most);
		pen_light(p, SCREEN_PLAIN);
		if (is_wide && !isnan(t.most))
			pen_put(p, " <= %s", column_text(text, cell->column, t.most));
	}
	pen_light(p, SCREEN_PLAIN);
	pen_to(p, end);
}

static void put_grid(struct pen *p, const struct watched *w, struct frame_view *v, unsigned room)
{
	unsigned across = p->columns >= GRID_TWO ? 2 : 1, rows = (unsigned)COUNT_OF(grid) / across;
	unsigned shown = rows < room ? rows : room,
		 width = p->columns > GRID_GROUP ? (p->columns - GRID_GROUP) / across : 0;
	if (v->scroll > rows - shown)
		v->scroll = rows - shown;
	for (unsigned i = 0; i < shown; i++) {
		size_t row = (v->scroll + i) * across;
		pen_light(p, SCREEN_DIM);
		pen_put(p, " %s", grid[row].group);
		pen_light(p, SCREEN_PLAIN);
		for (unsigned k = 0; k < across; k++) {
			pen_to(p, GRID_GROUP + k * width);
			put_grid_cell(p, w, v->span, &grid[row + k],
				      GRID_GROUP + (k + 1) * width - (k + 1 < across ? 2 : 0));
		}
		pen_end(p);
	}
}

/* The chart is as high as there are lines left; the tree of processes gets some of them. */
static void put_overview(struct pen *p, const struct procmon *m, struct frame_view *v)
{
	const struct watched *w = v->selected;
	unsigned rows = (unsigned)COUNT_OF(grid) / (p->columns >= GRID_TWO ? 2 : 1);
	size_t first = 0;
	put_identity(p, w);
	put_why(p, "", w->why);
	if (m->n_watched > 1)
		put_list(p, m, v, p->lines > rows + 16 ? 8 : 3);
	put_cpu(p, w);
	unsigned tree = w->n_members > 1 ? (w->n_members < 8 ? (unsigned)w->n_members + 1 : 8) : 0;
	unsigned spare = p->lines > rows + tree + 1 ? p->lines - rows - tree - 1 : 0;
	if (spare > CHART_LEAST)
		put_chart(p, w, v->span, spare - 1 < CHART_MOST ? spare - 1 : CHART_MOST);
	put_grid(p, w, v, p->lines > 1 ? p->lines - 1 : 0);
	if (tree > 0 && p->lines > 3)
		tables_members(p, w, &first, 1);
}

/* --- the other pages ---------------------------------------------------------------------------------------------- */

/* What is said above a table: how much there is, and how old it is, if it is. */
static void put_age(struct pen *p, const struct watched *w, uint64_t at_ns, size_t more)
{
	char age[32];
	if (more > 0)
		pen_put(p, "; %zu more are not shown", more);
	if (at_ns == 0)
		pen_put(p, "; not read yet");
	else if (w->at_ns > at_ns && w->at_ns - at_ns > 2 * w->procmon->o->interval_ns)
		pen_put(p, "; as of %s before", pen_age(age, w->at_ns - at_ns));
	pen_end(p);
}

static void put_threads(struct pen *p, struct frame_view *v)
{
	const struct watched *w = v->selected;
	char text[UNITS_TEXT];
	pen_put(p, " %s thread%s", column_text(text, COLUMN_THREADS, w->known[COLUMN_THREADS]),
		w->known[COLUMN_THREADS] == 1 ? "" : "s");
	put_age(p, w, w->threads.at_ns, w->threads.n_more);
	put_why(p, w->threads.n > 0 ? " where they sleep" : "", w->threads.why);
	tables_threads(p, w, &v->scroll, 1);
}

static void put_files(struct pen *p, struct frame_view *v)
{
	const struct watched *w = v->selected;
	pen_put(p, " ");
	tables_files_sum(p, w);
	put_age(p, w, w->files.at_ns, w->files.n_more);
	put_why(p, "", w->files.why);
	uint64_t limit = tables_limit(w, "Max open files");
	if (limit > 0 && w->n_members <= 1) {
		double share = w->known[COLUMN_FILES] / (double)limit;
		pen_put(p, " ");
		pen_bar(p, pen_room(p), &share, 1);
		pen_end(p);
	}
	tables_files(p, w, &v->scroll, 1);
}

static void put_sockets(struct pen *p, struct frame_view *v)
{
	const struct watched *w = v->selected;
	char in[UNITS_TEXT], out[UNITS_TEXT];
	pen_put(p, " ");
	tables_sockets_sum(p, w);
	if (w->sockets.n_tcp > 0)
		pen_put(p, "; in %s, out %s", column_text(in, COLUMN_TCP_IN, w->sockets.in_Bps),
			column_text(out, COLUMN_TCP_OUT, w->sockets.out_Bps));
	put_age(p, w, w->sockets.at_ns, w->sockets.n_more);
	put_why(p, "", w->sockets.why);
	tables_sockets(p, w, &v->scroll, 1);
}

void frame_write(FILE *out, const struct procmon *m, struct frame_view *v)
{
	struct pen p = { .out = out,
			 .columns = v->columns,
			 .lines = v->lines > 0 ? v->lines : PEN_NO_LIMIT,
			 .utf8 = v->utf8,
			 .has_attributes = v->has_attributes };
	put_title(&p, m, v);
	put_tabs(&p, m, v);
	put_end(&p, v->selected);
	switch (v->page) {
	case FRAME_THREADS:
		put_threads(&p, v);
		break;
	case FRAME_FILES:
		put_files(&p, v);
		break;
	case FRAME_SOCKETS:
		put_sockets(&p, v);
		break;
	default:
		put_overview(&p, m, v);
	}
	put_foot(&p, m, v);
}
