/* termchart.c - see termchart.h. The picture is composed in memory, cell by cell, then written line by line:
 *
 *	        title
 *	        o depth 1   * depth 4    legend
 *	        y label
 *	           : step 1              labels of the markers
 *	   8000 +        .*'
 *	        |   .o''                 plot: rows x columns cells
 *	      0 +------+-------+
 *	              1K      1M
 *	             x label
 *
 * A cell shows either the mark of a series or dots; the dots of a cell are bits, so that lines may cross in it. */
#include "termchart.h"

#include "utf8.h"

#include <math.h>
#include <stdlib.h>

enum {
	WIDTH_MIN = 40,
	WIDTH_MAX = 240,
	HEIGHT_MIN = 12,
	HEIGHT_MAX = 80,
	PLOT_ROWS_MIN = 4,
	ROWS_PER_TICK = 3,
	MARK_DISTANCE = 4, /* columns from one mark of a series to its next */
	N_MARKS = 8,
};

/* How the picture is spelled. */
struct style {
	bool utf8;
	int dots_across, dots_down; /* dots in a cell */
	const char *mark[N_MARKS];
	const char *y_axis, *y_tick, *corner, *x_axis, *x_tick;
};

static const struct style braille = {
	.utf8 = true,
	.dots_across = 2,
	.dots_down = 4,
	.mark = { "●", "■", "▲", "◆", "○", "□", "△", "◇" },
	.y_axis = "│",
	.y_tick = "┤",
	.corner = "└",
	.x_axis = "─",
	.x_tick = "┬",
};

static const struct style ascii = {
	.utf8 = false,
	.dots_across = 1,
	.dots_down = 2,
	.mark = { "o", "*", "+", "x", "#", "@", "%", "&" },
	.y_axis = "|",
	.y_tick = "+",
	.corner = "+",
	.x_axis = "-",
	.x_tick = "+",
};

struct picture {
	FILE *out;
	const struct chart *c;
	const struct style *style;
	struct chart_axis x, y;
	int indent;        /* columns left of the plot: y labels and axis */
	int columns, rows; /* of the plot */
	int legend_per_row;
	unsigned char dots[HEIGHT_MAX][WIDTH_MAX];
	unsigned char mark[HEIGHT_MAX][WIDTH_MAX]; /* series + 1, 0 for none */
};

/* A place in the plot, in dots from its top left corner. */
struct dot {
	int x, y;
	bool is_gap;
};

static struct dot dot_at(const struct picture *p, double x, double y)
{
	double across = chart_place(&p->x, x), down = 1 - chart_place(&p->y, y);

	if (isnan(across) || isnan(down))
		return (struct dot){ .is_gap = true };
	return (struct dot){
		.x = (int)lround(across * (p->columns * p->style->dots_across - 1)),
		.y = (int)lround(down * (p->rows * p->style->dots_down - 1)),
	};
}

/* ---- Layout. ---- */

static int clamp(int v, int min, int max)
{
	return v < min ? min : v > max ? max : v;
}

/* A mark, a space, the label, three columns of air. */
static int legend_column_width(const struct picture *p)
{
	return 5 + (int)chart_label_columns(p->c);
}

static bool has_marker_row(const struct chart *c)
{
	return c->n_marks > 0;
}

static int legend_rows(const struct picture *p)
{
	return ((int)p->c->n_series + p->legend_per_row - 1) / p->legend_per_row;
}

static void lay_out(struct picture *p, int width, int height)
{
	const struct chart *c = p->c;

	p->y = chart_y_axis(c, (size_t)height / ROWS_PER_TICK);
	p->indent = (int)chart_tick_columns(&p->y) + 2;
	p->columns = width - p->indent - 2; /* the last x label may stand out by 2 */
	p->x = chart_x_axis(c, (size_t)p->columns);
	p->legend_per_row = clamp(p->columns / legend_column_width(p), 1, WIDTH_MAX);

	int others = (c->title != NULL) + legend_rows(p) + (c->y_label != NULL) + has_marker_row(c) + 2 +
		     (c->x_label != NULL);
	p->rows = clamp(height - others, PLOT_ROWS_MIN, HEIGHT_MAX);
}

/* ---- Composing. ---- */

/* The bits of a Braille cell as Unicode numbers them (U+2800..U+28FF); ASCII uses the first two of the left column. */
static void put_dot(struct picture *p, int x, int y)
{
	static const unsigned char bit[4][2] = { { 0x01, 0x08 }, { 0x02, 0x10 }, { 0x04, 0x20 }, { 0x40, 0x80 } };
	int across = p->style->dots_across, down = p->style->dots_down;

	p->dots[y / down][x / across] |= bit[y % down][x % across];
}

/* filled: and all that is below. */
static void put_line(struct picture *p, struct dot from, struct dot to, bool filled)
{
	int steps = abs(to.x - from.x) > abs(to.y - from.y) ? abs(to.x - from.x) : abs(to.y - from.y);

	for (int i = 0; i <= steps; i++) {
		double share = steps > 0 ? (double)i / steps : 0;
		double x = from.x + share * (to.x - from.x), y = from.y + share * (to.y - from.y);
		int foot = filled ? p->rows * p->style->dots_down - 1 : (int)lround(y);
		for (int down = (int)lround(y); down <= foot; down++)
			put_dot(p, (int)lround(x), down);
	}
}

/* A series, or one edge of it. */
static void put_curve(struct picture *p, size_t s, const double *y)
{
	const struct chart_series *series = &p->c->series[s];
	struct dot last = { .is_gap = true };
	int next_mark = 0;

	for (size_t i = 0; i < series->n; i++) {
		struct dot here = { .is_gap = true };
		if (!chart_is_gap(p->c, series, i))
			here = dot_at(p, series->x[i], y[i]);
		if (!here.is_gap && !series->dashed)
			put_line(p, last.is_gap ? here : last, here, series->filled);

		int column = here.x / p->style->dots_across;
		unsigned char *mark = &p->mark[here.y / p->style->dots_down][column];
		if (!here.is_gap && *mark == 0 && column >= next_mark) {
			*mark = (unsigned char)(s % N_MARKS + 1);
			next_mark = column + MARK_DISTANCE;
		}
		last = here;
	}
}

/* Of a band the two edges: filling it would hide what lies in it. */
static void put_series(struct picture *p, size_t s)
{
	put_curve(p, s, p->c->series[s].y);
	if (p->c->series[s].y_low != NULL)
		put_curve(p, s, p->c->series[s].y_low);
}

/* A dotted line from top to bottom. */
static void put_markers(struct picture *p)
{
	for (size_t i = 0; i < p->c->n_marks; i++) {
		struct dot top = dot_at(p, p->c->marks[i].x, p->y.hi);
		for (int y = 0; !top.is_gap && y < p->rows * p->style->dots_down; y += 2)
			put_dot(p, top.x, y);
	}
}

/* ---- Writing. ---- */

static void write_spaces(FILE *out, int n)
{
	fprintf(out, "%*s", n > 0 ? n : 0, "");
}

/* At most `columns` characters of a text. WHY '?': a control character in a label must not reach the terminal. */
static void write_clipped(FILE *out, const char *text, int columns)
{
	for (size_t n; columns > 0 && *text != '\0'; columns--, text += n > 0 ? n : 1) {
		n = utf8_len(text);
		if (n == 0)
			fputs(UTF8_REPLACEMENT, out);
		else if (n == 1)
			fputc(*text < ' ' || *text == 0x7f ? '?' : *text, out);
		else
			fwrite(text, 1, n, out);
	}
}

/* A line of text that begins above the plot. */
static void write_heading(const struct picture *p, const char *text)
{
	if (text == NULL)
		return;
	write_spaces(p->out, p->indent);
	write_clipped(p->out, text, p->columns);
	fputc('\n', p->out);
}

static void write_legend(const struct picture *p)
{
	int n = (int)p->c->n_series;

	for (int s = 0; s < n; s++) {
		const char *label = p->c->series[s].label != NULL ? p->c->series[s].label : "";
		bool is_first = s % p->legend_per_row == 0, is_last = (s + 1) % p->legend_per_row == 0 || s + 1 == n;
		if (is_first)
			write_spaces(p->out, p->indent);
		fprintf(p->out, "%s ", p->style->mark[s % N_MARKS]);
		write_clipped(p->out, label, p->columns - 2);
		if (is_last)
			fputc('\n', p->out);
		else
			write_spaces(p->out, legend_column_width(p) - 2 - (int)utf8_columns(label));
	}
}

/* Each label begins at its line, or ends where the plot does; it is left out where it would touch the last one. */
static void write_marker_labels(const struct picture *p)
{
	int at = 0;

	if (!has_marker_row(p->c))
		return;
	for (size_t i = 0; i < p->c->n_marks; i++) {
		const char *label = p->c->marks[i].label != NULL ? p->c->marks[i].label : "";
		struct dot top = dot_at(p, p->c->marks[i].x, p->y.hi);
		int columns = clamp((int)utf8_columns(label), 0, p->columns);
		int start = clamp(p->indent + top.x / p->style->dots_across, 0, p->indent + p->columns - columns);
		if (top.is_gap || columns == 0 || (at > 0 && start <= at))
			continue;
		write_spaces(p->out, start - at);
		write_clipped(p->out, label, columns);
		at = start + columns;
	}
	fputc('\n', p->out);
}

static void write_cell(const struct picture *p, int row, int column)
{
	unsigned dots = p->dots[row][column], mark = p->mark[row][column];

	if (mark != 0)
		fputs(p->style->mark[mark - 1], p->out);
	else if (dots == 0)
		fputc(' ', p->out);
	else if (p->style->utf8)
		fprintf(p->out, "\xe2%c%c", (int)(0xa0 | dots >> 6), (int)(0x80 | (dots & 0x3f)));
	else
		fputc(" '.:"[dots & 3], p -> out);
}

/* The y label and the axis left of a row. */
static void write_row_head(const struct picture *p, int row)
{
	char text[CHART_LABEL_SIZE] = "";

	for (size_t i = 0; i < p->y.n_ticks && text[0] == '\0'; i++)
		if (dot_at(p, p->x.lo, p->y.ticks[i]).y / p->style->dots_down == row)
			chart_tick_label(&p->y, p->y.ticks[i], text);
	fprintf(p->out, "%*s %s", p->indent - 2, text, text[0] != '\0' ? p->style->y_tick : p->style->y_axis);
}

static void write_plot_row(const struct picture *p, int row)
{
	int used = p->columns;
	while (used > 0 && p->dots[row][used - 1] == 0 && p->mark[row][used - 1] == 0)
		used--;

	write_row_head(p, row);
	for (int column = 0; column < used; column++)
		write_cell(p, row, column);
	if (p->x.empty && row == p->rows / 2) {
		write_spaces(p->out, p->columns / 2 - 3);
		fputs("no data", p->out);
	}
	fputc('\n', p->out);
}

static int tick_column(const struct picture *p, size_t tick)
{
	return dot_at(p, p->x.ticks[tick], p->y.lo).x / p->style->dots_across;
}

static void write_x_axis(const struct picture *p)
{
	size_t tick = 0;

	write_spaces(p->out, p->indent - 1);
	fputs(p->style->corner, p->out);
	for (int column = 0; column < p->columns; column++) {
		bool is_tick = tick < p->x.n_ticks && tick_column(p, tick) == column;
		fputs(is_tick ? p->style->x_tick : p->style->x_axis, p->out);
		tick += is_tick;
	}
	fputc('\n', p->out);
}

/* Each label in the middle under its tick, moved where it would leave the picture, left out where it would touch the
 * last one. */
static void write_x_labels(const struct picture *p)
{
	char text[CHART_LABEL_SIZE];
	int at = 0;

	for (size_t i = 0; i < p->x.n_ticks; i++) {
		int len = (int)utf8_columns(chart_tick_label(&p->x, p->x.ticks[i], text));
		int start = clamp(p->indent + tick_column(p, i) - len / 2, 0, p->indent + p->columns + 2 - len);
		if (at > 0 && start <= at)
			continue;
		write_spaces(p->out, start - at);
		fputs(text, p->out);
		at = start + len;
	}
	fputc('\n', p->out);
}

static void write_x_label(const struct picture *p)
{
	if (p->c->x_label == NULL)
		return;
	write_spaces(p->out, p->indent + (p->columns - (int)utf8_columns(p->c->x_label)) / 2);
	write_clipped(p->out, p->c->x_label, p->columns);
	fputc('\n', p->out);
}

void termchart_draw(FILE *out, const struct chart *c, unsigned width, unsigned height, bool utf8)
{
	struct picture p = { .out = out, .c = c, .style = utf8 ? &braille : &ascii };

	width = width < WIDTH_MAX ? width : WIDTH_MAX;
	height = height < HEIGHT_MAX ? height : HEIGHT_MAX;
	lay_out(&p, clamp((int)width, WIDTH_MIN, WIDTH_MAX), clamp((int)height, HEIGHT_MIN, HEIGHT_MAX));
	for (size_t s = 0; s < c->n_series; s++)
		put_series(&p, s);
	put_markers(&p);

	write_heading(&p, c->title);
	write_legend(&p);
	write_heading(&p, c->y_label);
	write_marker_labels(&p);
	for (int row = 0; row < p.rows; row++)
		write_plot_row(&p, row);
	write_x_axis(&p);
	write_x_labels(&p);
	write_x_label(&p);
}
