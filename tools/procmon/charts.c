/* charts.c - procmon: a history as line charts. */
#include "procmon.h"

#include "clock.h"
#include "mem.h"
#include "svg.h"

#include <math.h>
#include <stdlib.h>
#include <time.h>

enum { CHART_COLUMNS = 4, NO_COLUMN = -1, GAP_S = 15 };

/* The first column is what is compared between processes. */
struct chart_spec {
	const char *name, *title, *unit;
	bool is_size;
	unsigned sources;
	int column[CHART_COLUMNS];
};

/* clang-format off */
static const struct chart_spec specs[CHARTS] = {
	[CHART_CPU] = { "cpu", "Processor time", "% of one processor", false, 0,
		{ COLUMN_CPU, COLUMN_USER, COLUMN_SYSTEM, COLUMN_WAITED } },
	[CHART_MEMORY] = { "memory", "Memory", "bytes", true, SOURCE_BIT(SOURCE_PSS),
		{ COLUMN_RESIDENT, COLUMN_PSS, COLUMN_SWAP, NO_COLUMN } },
	[CHART_THREADS] = { "threads", "Threads and descriptors", "number", false, 0,
		{ COLUMN_THREADS, COLUMN_FILES, NO_COLUMN, NO_COLUMN } },
	[CHART_SWITCHES] = { "switches", "Context switches", "each second", false, SOURCE_BIT(SOURCE_THREADS),
		{ COLUMN_VOLUNTARY, COLUMN_INVOLUNTARY, NO_COLUMN, NO_COLUMN } },
	[CHART_FAULTS] = { "faults", "Page faults", "each second", false, 0,
		{ COLUMN_MINOR, COLUMN_MAJOR, NO_COLUMN, NO_COLUMN } },
	[CHART_IO] = { "io", "Reading and writing", "bytes each second", true, 0,
		{ COLUMN_READ, COLUMN_WRITTEN, COLUMN_DISK_READ, COLUMN_DISK_WRITTEN } },
	[CHART_SOCKETS] = { "sockets", "TCP", "bytes each second", true, SOURCE_BIT(SOURCE_SOCKETS),
		{ COLUMN_TCP_OUT, COLUMN_TCP_IN, NO_COLUMN, NO_COLUMN } },
	[CHART_QUEUES] = { "queues", "Waiting in TCP sockets", "bytes", true, SOURCE_BIT(SOURCE_SOCKETS),
		{ COLUMN_SEND_QUEUE, COLUMN_RECV_QUEUE, NO_COLUMN, NO_COLUMN } },
};
/* clang-format on */

const char *chart_name(enum chart_id id)
{
	return specs[id].name;
}

unsigned chart_sources(enum chart_id id)
{
	return specs[id].sources;
}

/* --- time --------------------------------------------------------------------------------------------------------- */

/* What x counts from: the midnight before the end of the chart, local time. */
struct scale {
	int64_t zero_real_ns;
	double from, to;
};

/* The span, or what there is of it: at the beginning a chart grows. */
static int64_t width_ns(const struct history *h, int64_t end_real_ns, enum span span)
{
	int64_t most_ns = history_span_ns(span), least_ns = (int64_t)(span == SPAN_2_HOURS ? 600 : 10) * NS_PER_S;
	int64_t have_ns = history_rows(h, span) > 0 ? end_real_ns - history_row(h, span, 0).at_real_ns : 0;
	return have_ns < least_ns ? least_ns : have_ns > most_ns ? most_ns : have_ns;
}

static struct scale scale_of(const struct watched *w, enum span span)
{
	struct scale s;
	struct tm tm;
	int64_t end_real_ns = history_end_ns(w->history);
	if (end_real_ns == 0)
		end_real_ns = w->procmon->start_real_ns;
	time_t end_s = (time_t)(end_real_ns / NS_PER_S);
	localtime_r(&end_s, &tm);
	s.zero_real_ns = (int64_t)(end_s - (tm.tm_hour * 60 + tm.tm_min) * 60 - tm.tm_sec) * NS_PER_S;
	s.to = (double)(end_real_ns - s.zero_real_ns) / NS_PER_S;
	s.from = s.to - (double)width_ns(w->history, end_real_ns, span) / NS_PER_S;
	return s;
}

static double place(const struct scale *s, int64_t at_real_ns)
{
	return (double)(at_real_ns - s->zero_real_ns) / NS_PER_S;
}

/* --- lines -------------------------------------------------------------------------------------------------------- */

struct line {
	double *x, *y, *low;
	size_t n;
};

/* What is read less often than the samples are taken has its points further apart: they are joined, but for a real
 * gap. */
static struct line line_of(const struct history *h, const struct scale *s, enum span span, int column, bool is_band)
{
	size_t rows = history_rows(h, span);
	struct line l = { .x = xcalloc(2 * rows + 1, sizeof(double)),
			  .y = xcalloc(2 * rows + 1, sizeof(double)),
			  .low = is_band ? xcalloc(2 * rows + 1, sizeof(double)) : NULL };
	double gap_s = span == SPAN_2_HOURS ? 2.5 * HISTORY_COARSE_S : GAP_S, last = -INFINITY;
	for (size_t i = 0; i < rows; i++) {
		struct history_row row = history_row(h, span, i);
		double x = place(s, row.at_real_ns);
		if (isnan(row.mean[column]))
			continue;
		if (l.n > 0 && x - last > gap_s) {
			l.x[l.n] = last;
			l.y[l.n++] = NAN;
		}
		l.x[l.n] = last = x;
		l.y[l.n] = is_band ? row.most[column] : row.mean[column];
		if (is_band)
			l.low[l.n] = row.least[column];
		l.n++;
	}
	return l;
}

static void free_line(struct line *l)
{
	free(l->x);
	free(l->y);
	free(l->low);
}

/* --- one chart ---------------------------------------------------------------------------------------------------- */

enum { SERIES_MAX = PROCMON_PIDS + CHART_COLUMNS };

struct drawing {
	struct scale scale;
	enum span span;
	struct line line[SERIES_MAX];
	struct chart_series series[SERIES_MAX];
	size_t n;
	struct chart_mark mark[MARKS_MAX];
};

static void add_line(struct drawing *d, const struct watched *w, int column, const char *label, bool is_band)
{
	if (d->n == SERIES_MAX)
		return;
	struct line *l = &d->line[d->n];
	*l = line_of(w->history, &d->scale, d->span, column, is_band);
	d->series[d->n++] = (struct chart_series){ .label = label, .x = l->x, .y = l->y, .n = l->n, .y_low = l->low };
}

static void add_one(struct drawing *d, const struct watched *w, const struct chart_spec *spec)
{
	for (size_t i = 0; i < CHART_COLUMNS && spec->column[i] != NO_COLUMN; i++) {
		add_line(d, w, spec->column[i], column_info[spec->column[i]].label, false);
		d->series[d->n - 1].filled = i == 0;
		d->series[d->n - 1].dashed = spec->column[i] == COLUMN_WAITED;
	}
	if (d->span == SPAN_2_HOURS)
		add_line(d, w, spec->column[0], "least to most", true);
}

static size_t add_marks(struct drawing *d, const struct marks *marks)
{
	for (size_t i = 0; i < marks->n; i++)
		d->mark[i] = (struct chart_mark){ place(&d->scale, marks->mark[i].at_real_ns), marks->mark[i].label };
	return marks->n;
}

void chart_write(FILE *out, const struct watched *w, enum chart_id id, enum span span, bool is_inline, bool of_all)
{
	const struct procmon *m = w->procmon;
	const struct chart_spec *spec = &specs[id];
	struct drawing *d = xcalloc(1, sizeof(*d));
	d->scale = scale_of(w, span);
	d->span = span;
	if (of_all) {
		for (const struct watched *each = m->first; each != NULL; each = each->next)
			add_line(d, each, spec->column[0], each->label, false);
	} else {
		add_one(d, w, spec);
	}
	struct chart chart = { .title = spec->title,
			       .y_label = spec->unit,
			       .series = d->series,
			       .n_series = d->n,
			       .x_is_time = true,
			       .y_is_size = spec->is_size,
			       .y_from_zero = true,
			       .x_from = d->scale.from,
			       .x_to = d->scale.to,
			       .marks = d->mark,
			       .n_marks = add_marks(d, &m->marks) };
	if (is_inline) {
		chart.width = 640;
		chart.height = 260;
		svg_inline(out, &chart);
	} else {
		svg_chart(out, &chart);
	}
	for (size_t i = 0; i < d->n; i++)
		free_line(&d->line[i]);
	free(d);
}
