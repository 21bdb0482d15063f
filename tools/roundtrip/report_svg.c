/* report_svg.c - --svg: the run as a picture of two charts over time, both from the cells of the timeline, so that its
 * size does not depend on how long the run was:
 *
 *	RTT     the shortest and the longest one of each cell
 *	offset  that of the cell's best sample, the band where the true one must lie, and the straight line */
#include "report.h"

#include "diag.h"
#include "svg.h"
#include "units.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { LABEL_TEXT = 160 };

struct curves {
	size_t n;
	double x[TIMELINE_CELLS]; /* s */
	double shortest[TIMELINE_CELLS], longest[TIMELINE_CELLS];
	double offset[TIMELINE_CELLS], high[TIMELINE_CELLS], low[TIMELINE_CELLS], line[TIMELINE_CELLS];
};

/* What the numbers of an axis are divided by, and what is subtracted before. */
struct scale {
	const char *unit;
	double unit_ns;
	int64_t zero_ns;
};

static struct scale scale_for(double greatest_ns)
{
	if (greatest_ns < 1e4)
		return (struct scale){ .unit = "ns", .unit_ns = 1 };
	if (greatest_ns < 1e7)
		return (struct scale){ .unit = "us", .unit_ns = 1e3 };
	if (greatest_ns < 1e10)
		return (struct scale){ .unit = "ms", .unit_ns = 1e6 };
	return (struct scale){ .unit = "s", .unit_ns = 1e9 };
}

/* An offset of half a century, to the nanosecond, is more than a double holds: first subtract, then convert. Wraps
 * around for offsets that are no times at all. */
static double scaled_offset(const struct scale *s, int64_t ns)
{
	return (double)(int64_t)((uint64_t)ns - (uint64_t)s->zero_ns) / s->unit_ns;
}

/* The fitted line at the time of a sample, known by its end. */
static double scaled_line(const struct scale *s, const struct clockfit *fit, uint64_t at_ns, uint64_t end_ns)
{
	double back_ns = fit->drift_ppm * 1e-6 * ((double)end_ns - (double)at_ns);

	return scaled_offset(s, fit->end_offset_ns) - back_ns / s->unit_ns;
}

/* WHY the odd zero: an hour's offset that moves by microseconds would have axis labels of twelve digits, so the axis
 * begins at a sample's offset then, and says so. */
static struct scale offset_scale(const struct timeline *t)
{
	int64_t least = INT64_MAX, greatest = INT64_MIN;
	double widest = 0;

	for (size_t i = 0; i < t->n_cells; i++) {
		const struct sample *s = &t->cells[i].best;
		if (t->cells[i].n == 0)
			continue;
		least = s->offset_ns < least ? s->offset_ns : least;
		greatest = s->offset_ns > greatest ? s->offset_ns : greatest;
		widest = fmax(widest, (double)s->rtt_ns / 2);
	}
	double span = (double)greatest - (double)least + 2 * widest,
	       size = fmax(fabs((double)least), fabs((double)greatest));
	if (t->n_cells == 0 || size < 50 * span)
		return scale_for(t->n_cells > 0 ? size + widest : 0);
	struct scale scale = scale_for(span);
	int64_t thousand = (int64_t)(1000 * scale.unit_ns);
	scale.zero_ns = least / thousand * thousand;
	return scale;
}

static void fill_gap(struct curves *c, size_t i)
{
	c->x[i] = c->shortest[i] = c->longest[i] = NAN;
	c->offset[i] = c->high[i] = c->low[i] = c->line[i] = NAN;
}

static void fill_cell(struct curves *c, size_t i, const struct timeline_cell *cell, const struct scale *rtt,
		      const struct scale *offset)
{
	const struct sample *s = &cell->best;
	double bound = (double)(s->rtt_ns / 2 + s->resolution_ns) / offset->unit_ns;

	c->x[i] = (double)s->at_ns / 1e9;
	c->shortest[i] = (double)s->rtt_ns / rtt->unit_ns;
	c->longest[i] = (double)cell->rtt_max_ns / rtt->unit_ns;
	c->offset[i] = scaled_offset(offset, s->offset_ns);
	c->high[i] = c->offset[i] + bound;
	c->low[i] = c->offset[i] - bound;
	c->line[i] = NAN;
}

/* The end of the line is the last sample that was kept. */
static uint64_t end_of(const struct timeline *t)
{
	return t->n_cells > 0 ? t->cells[t->n_cells - 1].best.at_ns : 0;
}

/* How many cells in a row may be empty before that is a gap. A cell may well be shorter than the time between two
 * questions; a gap is where answers are missing that usually came. */
static size_t patience_of(const struct timeline *t)
{
	size_t used = 0;

	for (size_t i = 0; i < t->n_cells; i++)
		used += t->cells[i].n > 0;
	return used > 0 ? 4 * (t->n_cells / used + 1) : 0;
}

static void fill(struct curves *c, const struct timeline *t, const struct clockfit *fit, const struct scale *rtt,
		 const struct scale *offset)
{
	size_t patience = patience_of(t), last = 0;

	c->n = 0;
	for (size_t i = 0; i < t->n_cells; i++) {
		const struct timeline_cell *cell = &t->cells[i];
		if (cell->n == 0)
			continue;
		if (c->n > 0 && i - last > patience)
			fill_gap(c, c->n++);
		last = i;
		fill_cell(c, c->n, cell, rtt, offset);
		if (fit->has_drift)
			c->line[c->n] = scaled_line(offset, fit, cell->best.at_ns, end_of(t));
		c->n++;
	}
}

/* The figures stand in the legend: a title has no room for them, and there they explain what is drawn. */
struct labels {
	char title[LABEL_TEXT], lost[LABEL_TEXT];
	char shortest[LABEL_TEXT], longest[LABEL_TEXT], rtt[LABEL_TEXT];
	char line[LABEL_TEXT], offset[LABEL_TEXT], clock[LABEL_TEXT];
};

static void name_rtt(struct labels *l, const struct report_about *a, const struct figures *f, const struct scale *s)
{
	const struct hist *h = &f->m->rtt;
	char min[UNITS_TEXT], p50[UNITS_TEXT], p99[UNITS_TEXT], max[UNITS_TEXT], socks[SOCKS_THROUGH_TEXT];

	snprintf(l->title, LABEL_TEXT, "roundtrip to %s%s (%s)", a->peer, socks_through_text(&a->o->socks, socks),
		 a->transport);
	snprintf(l->lost, LABEL_TEXT, "seconds; %llu of %llu questions lost", (unsigned long long)f->losses.lost,
		 (unsigned long long)f->m->sent);
	snprintf(l->rtt, LABEL_TEXT, "RTT, %s", s->unit);
	snprintf(l->shortest, LABEL_TEXT, "shortest: min %s, p50 %s", units_duration(min, h->min),
		 units_duration(p50, hist_quantile(h, 0.5)));
	snprintf(l->longest, LABEL_TEXT, "longest: p99 %s, max %s", units_duration(p99, hist_quantile(h, 0.99)),
		 units_duration(max, h->max));
}

static void name_clock(struct labels *l, const struct figures *f, const struct scale *s)
{
	char offset[BOUNDED_TEXT] = "not known", drift[BOUNDED_TEXT];

	if (f->fit.has_offset)
		roundtrip_text_bounded(offset, f->fit.offset_ns, f->fit.offset_bound_ns);
	snprintf(l->offset, LABEL_TEXT, "offset: %s", offset);
	snprintf(l->line, LABEL_TEXT, "line: %s",
		 roundtrip_text_drift(drift, f->fit.drift_ppm, f->fit.drift_bound_ppm));
	int decimals = s->unit_ns < 1e3 ? 6 : s->unit_ns < 1e6 ? 3 : 0;
	if (s->zero_ns == 0)
		snprintf(l->clock, LABEL_TEXT, "%s", s->unit);
	else
		snprintf(l->clock, LABEL_TEXT, "%s, from %+.*f s on", s->unit, decimals, (double)s->zero_ns / 1e9);
}

static void draw(FILE *out, const struct report_about *a, const struct figures *f)
{
	static struct curves c;
	struct labels l;
	const struct timeline *t = &f->m->timeline;
	struct scale rtt = scale_for((double)f->m->rtt.max), offset = offset_scale(t);
	bool is_wide = f->m->rtt.max > 20 * f->m->rtt.min; /* an outlier would leave the rest of a linear axis flat */

	fill(&c, t, &f->fit, &rtt, &offset);
	name_rtt(&l, a, f, &rtt);
	name_clock(&l, f, &offset);
	const struct chart_series of_rtt[] = {
		{ .label = l.shortest, .x = c.x, .y = c.shortest, .n = c.n },
		{ .label = l.longest, .x = c.x, .y = c.longest, .n = c.n },
	};
	struct chart_series of_clock[3];
	size_t n = 0;
	of_clock[n++] = (struct chart_series){
		.label = "where the offset can lie", .x = c.x, .y = c.high, .y_low = c.low, .n = c.n
	};
	if (f->fit.has_drift)
		of_clock[n++] = (struct chart_series){
			.label = l.line, .x = c.x, .y = c.line, .n = c.n, .dashed = true
		};
	of_clock[n++] = (struct chart_series){ .label = l.offset, .x = c.x, .y = c.offset, .n = c.n };
	const struct chart above = { .title = l.title,
				     .x_label = l.lost,
				     .y_label = l.rtt,
				     .log_y = is_wide,
				     .series = of_rtt,
				     .n_series = COUNT_OF(of_rtt) };
	const struct chart below = { .title = "server's clock minus ours",
				     .x_label = "seconds",
				     .y_label = l.clock,
				     .series = of_clock,
				     .n_series = n };
	svg_charts(out, (const struct chart *const[]){ &above, &below }, 2);
}

bool roundtrip_svg_write(const struct report_about *a, const struct figures *f)
{
	const char *path = a->o->svg_file;
	FILE *out = fopen(path, "we");

	if (out == NULL) {
		warnf_errno("open %s", path);
		return false;
	}
	draw(out, a, f);
	bool ok = fflush(out) == 0 && !ferror(out);
	if (!ok)
		warnf_errno("write %s", path);
	fclose(out);
	return ok;
}
