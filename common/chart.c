/* chart.c - how an axis finds its ends and its ticks. See chart.h.
 *
 * All of it rests on one sequence, the round numbers: ... 0.5 1 2 5 10 20 50 ..., or ... 1 2 4 8 ... for sizes. On a
 * linear axis the ticks are the multiples of one round number (the step); on a logarithmic axis they are every
 * stride-th round number (stride 3: 1 10 100 ...). A time of day is linear, but what is round there are 30 seconds
 * or 3 hours. All are a grid of lines numbered by integers, and the rest does not care which. */
#include "chart.h"

#include "cdefs.h"
#include "utf8.h"

#include <float.h>
#include <math.h>
#include <stdio.h>

/* Values beyond these are gaps, or count as 0.
 * WHY: a log axis may reach as far again to find its next tick, and that power of ten must neither overflow nor
 * vanish. */
static const double greatest = 1e100, least = 1e-100;

/* Spans and remainders smaller than this share are rounding noise. */
static const double noise = 1e-9;

struct range {
	double lo, hi;
};

/* ---- The grid. ---- */

struct grid {
	bool log, is_size, is_time;
	int step; /* linear: which round number, or which time; log: how many round numbers from tick to tick */
};

/* The i-th round number; the 0-th is 1. */
static double round_number(bool is_size, int i)
{
	static const double mantissa[] = { 1, 2, 5 };

	if (is_size)
		return ldexp(1, i);
	int decade = (i >= 0 ? i : i - 2) / 3;
	return mantissa[i - 3 * decade] * pow(10, decade);
}

/* The number of a round number near v, which must be positive. */
static int round_index(bool is_size, double v)
{
	return (int)floor(is_size ? log2(v) : 3 * log10(v));
}

/* The i-th round time in seconds; the 0-th is a second. From a day on days are counted. */
static double round_time(int i)
{
	enum { M = 60, H = 3600, D = 86400 };
	static const int times[] = { 1,      2,      5,      10, 15,    30,    M,     2 * M, 5 * M,
				     10 * M, 15 * M, 30 * M, H,  2 * H, 3 * H, 6 * H, 12 * H };
	const int n = (int)COUNT_OF(times);

	return i < n ? times[i] : D * round_number(false, i - n);
}

/* Of a linear grid: from line to line. */
static double grid_unit(const struct grid *g)
{
	return g->is_time ? round_time(g->step) : round_number(g->is_size, g->step);
}

static double grid_line(const struct grid *g, long long i)
{
	return g->log ? round_number(g->is_size, (int)i * g->step) : (double)i * grid_unit(g);
}

/* The greatest line that is not above v. */
static long long line_below(const struct grid *g, double v)
{
	double unit = g->log ? v : grid_unit(g);
	double reach = v + unit * noise;
	long long i = g->log ? round_index(g->is_size, v) / g->step : (long long)floor(v / unit);

	while (grid_line(g, i) > reach)
		i--;
	while (grid_line(g, i + 1) <= reach)
		i++;
	return i;
}

/* The least line that is not below v. */
static long long line_above(const struct grid *g, double v)
{
	long long i = line_below(g, v);
	double unit = g->log ? v : grid_unit(g);

	return grid_line(g, i) >= v - unit * noise ? i : i + 1;
}

/* WHY: a stride of 10 powers of two leads from unit to unit, 1K 1M 1G, and 2 and 5 divide 10; 3, 6, 9 of the others
 * lead from one power of ten to another. */
static int next_stride(bool is_size, int stride)
{
	if (is_size)
		return stride == 1 ? 2 : stride == 2 ? 5 : stride == 5 ? 10 : stride + 10;
	return stride == 1 ? 3 : stride + 3;
}

/* The finest grid of this kind that covers the range with at most max_lines lines. 3 is the least: no grid covers -1..1
 * with 2. */
static struct grid grid_for(struct range r, struct grid kind, long long max_lines)
{
	struct grid g = kind;

	g.step = g.log ? 1 : g.is_time ? 0 : round_index(g.is_size, (r.hi - r.lo) / (double)max_lines);
	while (line_above(&g, r.hi) - line_below(&g, r.lo) >= max_lines)
		g.step = g.log ? next_stride(g.is_size, g.step) : g.step + 1;
	return g;
}

/* ---- The ends. ---- */

static bool is_drawable(double v, bool log)
{
	return isfinite(v) && fabs(v) <= greatest && (!log || v >= least);
}

static bool has_window(const struct chart *c)
{
	return c->x_from < c->x_to;
}

static bool is_in_window(const struct chart *c, double x)
{
	return !has_window(c) || (x >= c->x_from && x <= c->x_to);
}

bool chart_is_gap(const struct chart *c, const struct chart_series *s, size_t i)
{
	return !is_drawable(s->x[i], c->log_x) || !is_in_window(c, s->x[i]) || !is_drawable(s->y[i], c->log_y) ||
	       (s->y_low != NULL && !is_drawable(s->y_low[i], c->log_y));
}

static void range_include(struct range *r, double v)
{
	r->lo = v < r->lo ? v : r->lo;
	r->hi = v > r->hi ? v : r->hi;
}

/* The range of the x or the y of all points that can be drawn; lo > hi when there is none. */
static struct range data_range(const struct chart *c, bool of_x)
{
	struct range r = { .lo = DBL_MAX, .hi = -DBL_MAX };

	for (size_t s = 0; s < c->n_series; s++) {
		const struct chart_series *series = &c->series[s];
		for (size_t i = 0; i < series->n; i++) {
			if (chart_is_gap(c, series, i))
				continue;
			range_include(&r, of_x ? series->x[i] : series->y[i]);
			if (!of_x && series->y_low != NULL)
				range_include(&r, series->y_low[i]);
		}
	}
	return r;
}

static struct range range_without_data(struct grid kind)
{
	if (!kind.log)
		return (struct range){ 0, kind.is_time ? 60 : kind.is_size ? 1024 : 1 };
	return kind.is_size ? (struct range){ 1024, 1048576 } : (struct range){ 1, 1000 };
}

/* A single value (or many that differ by noise only) goes to the middle of the axis; a lone 0 to its foot. */
static void range_open(struct range *r, struct grid kind)
{
	double size = fmax(fabs(r->lo), fabs(r->hi)), span = r->hi - r->lo;

	if (span > noise * size && span > least)
		return;
	if (kind.is_time && size < 1e9)
		*r = (struct range){ r->lo - 1, r->hi + 1 };
	else if (kind.log)
		*r = (struct range){ r->lo / 2, r->hi * 2 };
	else if (size <= least)
		*r = (struct range){ 0, 1 };
	else
		*r = (struct range){ r->lo - size / 2, r->hi + size / 2 };
}

/* ---- The axis. ---- */

/* `tight` keeps the ends where the data end, if two ticks lie between them; otherwise the ends move out to the next
 * ticks. */
static struct chart_axis axis_for(struct range r, struct grid kind, bool tight, size_t max_ticks)
{
	struct chart_axis a = { .log = kind.log, .is_size = kind.is_size, .is_time = kind.is_time };
	struct grid g = grid_for(r, kind, (long long)max_ticks);
	long long first = line_above(&g, r.lo), last = line_below(&g, r.hi);

	if (!tight || first >= last) {
		first = line_below(&g, r.lo);
		last = line_above(&g, r.hi);
	}
	for (long long i = first; i <= last; i++)
		a.ticks[a.n_ticks++] = grid_line(&g, i);
	a.lo = fmin(r.lo, a.ticks[0]);
	a.hi = fmax(r.hi, a.ticks[a.n_ticks - 1]);
	return a;
}

/* Do the labels keep two columns of air between them? */
static bool labels_fit(const struct chart_axis *a, size_t columns)
{
	char text[CHART_LABEL_SIZE];
	double end = -DBL_MAX;

	for (size_t i = 0; i < a->n_ticks; i++) {
		double half = (double)utf8_columns(chart_tick_label(a, a->ticks[i], text)) / 2;
		double middle = chart_place(a, a->ticks[i]) * (double)columns;
		if (middle - half < end + 2)
			return false;
		end = middle + half;
	}
	return true;
}

struct chart_axis chart_x_axis(const struct chart *c, size_t columns)
{
	struct grid kind = { .log = c->log_x, .is_size = c->x_is_size, .is_time = c->x_is_time };
	struct range r = data_range(c, true);
	bool empty = r.lo > r.hi;
	if (has_window(c))
		r = (struct range){ c->x_from, c->x_to };
	else if (empty)
		r = range_without_data(kind);
	range_open(&r, kind);

	size_t max_ticks = CHART_TICKS_MAX;
	struct chart_axis a = axis_for(r, kind, true, max_ticks);
	while (max_ticks > CHART_TICKS_MIN && !labels_fit(&a, columns))
		a = axis_for(r, kind, true, --max_ticks);
	a.empty = empty;
	return a;
}

struct chart_axis chart_y_axis(const struct chart *c, size_t max_ticks)
{
	struct grid kind = { .log = c->log_y, .is_size = c->y_is_size };
	struct range r = data_range(c, false);
	bool empty = r.lo > r.hi;
	if (empty)
		r = range_without_data(kind);
	range_open(&r, kind);
	if (!c->log_y && r.lo > 0 && (c->y_from_zero || r.lo <= r.hi / 2))
		r.lo = 0;

	max_ticks = max_ticks < CHART_TICKS_MIN ? CHART_TICKS_MIN : max_ticks;
	max_ticks = max_ticks > CHART_TICKS_MAX ? CHART_TICKS_MAX : max_ticks;
	struct chart_axis a = axis_for(r, kind, false, max_ticks);
	a.empty = empty;
	return a;
}

double chart_place(const struct chart_axis *a, double v)
{
	if (!(v >= a->lo && v <= a->hi)) /* this way round a NaN is outside */
		return NAN;
	if (a->log)
		return (log(v) - log(a->lo)) / (log(a->hi) - log(a->lo));
	return (v - a->lo) / (a->hi - a->lo);
}

/* ---- Text. ---- */

/* Ticks are multiples of their distance: when that is of whole minutes, no tick has seconds to show. */
static const char *time_label(const struct chart_axis *a, double v, char out[static CHART_LABEL_SIZE])
{
	int day = 86400, s = (int)fmod(round(v), day);
	bool in_minutes = a->n_ticks > 1 && fmod(a->ticks[1] - a->ticks[0], 60) == 0;

	s = s < 0 ? s + day : s;
	if (in_minutes)
		snprintf(out, CHART_LABEL_SIZE, "%02d:%02d", s / 3600, s / 60 % 60);
	else
		snprintf(out, CHART_LABEL_SIZE, "%02d:%02d:%02d", s / 3600, s / 60 % 60, s % 60);
	return out;
}

const char *chart_tick_label(const struct chart_axis *a, double v, char out[static CHART_LABEL_SIZE])
{
	if (a->is_time)
		return time_label(a, v, out);
	static const char *const size_units[] = { "", "K", "M", "G", "T", "P", "E" };
	static const char *const units[] = { "", "k", "M", "G", "T", "P", "E" };
	double thousand = a->is_size ? 1024 : 1000;
	bool has_units = a->is_size || fmax(fabs(a->lo), fabs(a->hi)) >= 10000;
	size_t unit = 0;

	while (has_units && fabs(v) >= thousand && unit < 6) {
		v /= thousand;
		unit++;
	}
	snprintf(out, CHART_LABEL_SIZE, "%.10g%s", v, a->is_size ? size_units[unit] : units[unit]);
	return out;
}

static size_t greater_of(size_t a, size_t b)
{
	return a > b ? a : b;
}

size_t chart_label_columns(const struct chart *c)
{
	size_t longest = 0;

	for (size_t s = 0; s < c->n_series; s++)
		longest = greater_of(longest, utf8_columns(c->series[s].label));
	return longest;
}

size_t chart_tick_columns(const struct chart_axis *a)
{
	char text[CHART_LABEL_SIZE];
	size_t longest = 0;

	for (size_t i = 0; i < a->n_ticks; i++)
		longest = greater_of(longest, utf8_columns(chart_tick_label(a, a->ticks[i], text)));
	return longest;
}
