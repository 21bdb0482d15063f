/* chart.h - the data of a line chart and the arithmetic of its axes; svg.c draws it into a file, termchart.c into a
 * terminal. Layer 1.
 *
 *	static const double size[] = { 1024, 65536, 1048576 }, rate[] = { 212.5, 3120, 4800 };
 *	const struct chart_series series = { .label = "depth 1", .x = size, .y = rate, .n = 3 };
 *	const struct chart chart = { .title = "Throughput over block size", .x_label = "block size", .y_label = "MB/s",
 *		.log_x = true, .x_is_size = true, .series = &series, .n_series = 1 };
 *	svg_chart(file, &chart);
 *
 * Everything is borrowed: the strings and arrays must live until the drawing call returns. Text is UTF-8, one line;
 * NULL is no text. */
#ifndef TCPLAB_CHART_H
#define TCPLAB_CHART_H

#include <stdbool.h>
#include <stddef.h>

/* One line of a chart: n points (x[i], y[i]), x ascending. A point whose x or y is NaN, infinite or beyond 1e100 is a
 * gap. With y_low it is a band instead, all that lies between y and y_low: for "between here and there", an error bound
 * for example; where one edge has a gap, the band has one. */
struct chart_series {
	const char *label;
	const double *x, *y;
	size_t n;
	bool dashed;         /* a prediction or a model, not a measurement */
	bool filled;         /* the area below the line as well, down to the foot of the axis */
	const double *y_low; /* NULL: a line */
};

/* A moment to remember: a vertical line at x over the whole plot, and its label above the plot. A mark beyond the
 * ends of the axis is not drawn and does not move them. */
struct chart_mark {
	double x;
	const char *label;
};

struct chart {
	const char *title, *x_label, *y_label;
	bool log_x, log_y; /* logarithmic axis: values <= 0 (or below 1e-100) are gaps */
	bool x_is_size;    /* ticks of x are powers of two, labelled 1K, 64K, 1M (bytes, K = 1024) */
	bool y_is_size;    /* the same for y: 64M, 128M */
	/* x is seconds of the local day, and may run past 86400 into the next ones; ticks are round times of day,
	 * labelled 14:05 or 14:05:30. Linear only. */
	bool x_is_time;
	bool y_from_zero;    /* the y axis begins at 0, however far away the values are; linear only */
	double x_from, x_to; /* where the x axis begins and ends, points beyond are gaps; both 0: where the data do */
	/* Of the picture in SVG units; 0: 720, and what a plot of 300 needs. In a terminal they are arguments. */
	double width, height;
	const struct chart_mark *marks; /* x ascending */
	size_t n_marks;
	const struct chart_series *series;
	size_t n_series;
};

/* ---- For those who draw: axes. ---- */

enum { CHART_TICKS_MIN = 3, CHART_TICKS_MAX = 16, CHART_LABEL_SIZE = 24 };

/* An axis: lo < hi always, also without any data. Ticks ascend, all lie within lo..hi, and there are at least two. */
struct chart_axis {
	double lo, hi;
	bool log, is_size, is_time;
	bool empty; /* no point to draw: lo and hi are made up */
	size_t n_ticks;
	double ticks[CHART_TICKS_MAX];
};

/* The x axis: from the first point to the last, with as many ticks as have room for their labels when these are
 * written side by side on `columns` characters. */
struct chart_axis chart_x_axis(const struct chart *c, size_t columns);

/* The y axis: from tick to tick, with at most max_ticks of them (CHART_TICKS_MIN..CHART_TICKS_MAX, others are moved
 * there). Starts at 0 when it is linear and the values come near 0, so that heights can be compared. */
struct chart_axis chart_y_axis(const struct chart *c, size_t max_ticks);

/* Is point i of the series a gap on this chart? */
bool chart_is_gap(const struct chart *c, const struct chart_series *s, size_t i);

/* Where v lies on the axis: 0 at lo, 1 at hi, NaN outside. A point with a NaN place is a gap; no other point lies
 * outside. */
double chart_place(const struct chart_axis *a, double v);

/* The label of a tick, written to `out` and returned: "64K" and "1M" are powers of 1024 on a size axis; "14:05" or
 * "14:05:30" on a time axis; on any other axis that reaches 10,000 "64k" and "1M" are powers of 1000. */
const char *chart_tick_label(const struct chart_axis *a, double v, char out[static CHART_LABEL_SIZE]);

/* The longest of the series' labels, the longest of an axis' tick labels, in characters. */
size_t chart_label_columns(const struct chart *c);
size_t chart_tick_columns(const struct chart_axis *a);

#endif
