/* svg.c - see svg.h. Top to bottom, as it appears in the picture:
 *
 *	title
 *	-o- depth 1   -o- depth 4        legend, above the plot where no line can run through it
 *	     step 1    : step 2          labels of the markers
 *	8000 |...............
 *	     |       __/                 plot: PLOT_HEIGHT units; grid, axes, lines, points
 *	   0 +---------------
 *	     1K          1M
 *	        x label
 *
 * and then the next chart, if there are several. */
#include "svg.h"

#include "cdefs.h"
#include "mem.h"
#include "utf8.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* In SVG user units. Text is laid out by its length alone: a letter of the 12 unit font is taken to be LETTER wide. */
enum {
	WIDTH = 720,
	PLOT_HEIGHT = 300,
	MARGIN = 24,
	LETTER = 7,
	TITLE_LETTER = 9,
	LINE = 20, /* height of a line of text */
	TITLE = 30,
	SMALL_TITLE = 22, /* in a picture that says how high it is */
	GAP = 8,          /* between an axis and its labels */
	Y_TICKS = 9,
	Y_TICK_DISTANCE = 32, /* for a plot of another height */
	PLOT_HEIGHT_MIN = 60,
	LEGEND_SAMPLE = 26,
	SMALL_LEGEND_SAMPLE = 16,
	POINTS_MARKED = 64, /* a series with more points than this is a line without marks */
	MARKER_ROWS = 3,    /* for labels of markers, at most */
	MARKER_ROW = 16,
	MARKER_COLUMNS = 24, /* a longer label is cut */
};

/* A series with more points than this for each unit of the plot's width is dense: a thin line through extremes. */
static const double DENSE = 0.5;

/* How a series looks. The colours are those of M. Okabe and K. Ito, "Color Universal Design" (2008), darkened or
 * lightened where the background asks for it; the mark is an SVG path around the point. */
static const struct look {
	const char *on_light, *on_dark, *mark;
} looks[] = {
	{ "#0072b2", "#56b4e9", "m-4,0a4,4 0 1,0 8,0a4,4 0 1,0 -8,0z" }, /* blue, circle */
	{ "#d55e00", "#ff8c42", "m-3.6,-3.6h7.2v7.2h-7.2z" },            /* vermilion, square */
	{ "#009e73", "#2fcb9c", "m0,-5l4.6,8.2h-9.2z" },                 /* green, triangle */
	{ "#aa4499", "#e08fc8", "m0,-5.2l5.2,5.2l-5.2,5.2l-5.2,-5.2z" }, /* purple, diamond */
	{ "#b8860b", "#f0e442", "m0,5l4.6,-8.2h-9.2z" },                 /* ochre, triangle on its tip */
	{ "#555555", "#bbbbbb", "m-2,-5h4v3h3v4h-3v3h-4v-3h-3v-4h3z" },  /* grey, cross */
};
enum { N_LOOKS = COUNT_OF(looks) };

/* The picture being drawn: where the plot lies in it, and the axes that span the plot. */
struct picture {
	FILE *out;
	const struct chart *c;
	struct chart_axis x, y;
	double head; /* where this chart begins in the document */
	double left, right, top, bottom;
	double legend_x, legend_y; /* the left end, the middle of its first row */
	bool is_legend_beside;     /* beside the title */
};

static double place_x(const struct picture *p, double v)
{
	return p->left + chart_place(&p->x, v) * (p->right - p->left);
}

static double place_y(const struct picture *p, double v)
{
	return p->bottom - chart_place(&p->y, v) * (p->bottom - p->top);
}

/* ---- Layout. ---- */

static double width_of(const struct chart *c)
{
	return c->width > 0 ? c->width : WIDTH;
}

static size_t y_ticks_of(const struct chart *c)
{
	return c->height > 0 ? (size_t)(c->height / Y_TICK_DISTANCE) : Y_TICKS;
}

/* The piece of line before a label in the legend. */
static double sample_width(const struct chart *c)
{
	return c->height > 0 ? SMALL_LEGEND_SAMPLE : LEGEND_SAMPLE;
}

/* With the air behind it. In columns below one another, but for a picture that says how high it is: there room is
 * scarce. */
static double entry_width(const struct chart *c, size_t s)
{
	if (c->height > 0)
		return SMALL_LEGEND_SAMPLE + GAP + (double)utf8_columns(c->series[s].label) * LETTER + MARGIN / 2;
	return LEGEND_SAMPLE + (double)chart_label_columns(c) * LETTER + MARGIN;
}

/* How much is needed left of the plot. */
static double left_of_plot(const struct chart *c)
{
	struct chart_axis y = chart_y_axis(c, y_ticks_of(c));

	return MARGIN + GAP + (double)chart_tick_columns(&y) * LETTER + (c->y_label != NULL ? LINE : 0);
}

/* What is below the plot. */
static double foot_height(const struct chart *c)
{
	return LINE + GAP + (c->x_label != NULL ? LINE : 0) + GAP;
}

/* Where the entries of the legend stand: each beside the last one, or if there is no room, below. */
struct entry {
	double x, y;
	double next_x;
};

static struct entry first_entry(const struct picture *p)
{
	return (struct entry){ .next_x = p->legend_x, .y = p->legend_y };
}

static void next_entry(const struct picture *p, size_t s, struct entry *e)
{
	double width = entry_width(p->c, s);

	e->x = e->next_x;
	if (s > 0 && e->x + width > p->right + (p->c->height > 0 ? MARGIN / 2 : 0)) {
		e->x = p->legend_x;
		e->y += LINE;
	}
	e->next_x = e->x + width;
}

/* None without labels. */
static bool has_legend(const struct chart *c)
{
	return chart_label_columns(c) > 0;
}

static double legend_height(const struct picture *p)
{
	struct entry e = first_entry(p);

	if (p->is_legend_beside || !has_legend(p->c))
		return 0;
	for (size_t s = 0; s < p->c->n_series; s++)
		next_entry(p, s, &e);
	return e.y + LINE - p->legend_y;
}

/* A picture that says how high it is has its legend beside the title, at the right, if there is room. */
static bool lay_legend_beside(struct picture *p)
{
	double width = -MARGIN / 2, title = (double)utf8_columns(p->c->title) * TITLE_LETTER;

	for (size_t s = 0; s < p->c->n_series; s++)
		width += entry_width(p->c, s);
	if (p->c->height <= 0 || p->c->title == NULL || p->left + title + MARGIN + width > p->right)
		return false;
	p->legend_x = p->right - width;
	p->legend_y = p->head + MARGIN;
	return true;
}

static int marker_rows(const struct picture *p);

static struct picture lay_out(FILE *out, const struct chart *c, double head, double left)
{
	struct picture p = { .out = out, .c = c, .y = chart_y_axis(c, y_ticks_of(c)), .head = head, .left = left };

	p.right = width_of(c) - MARGIN;
	p.x = chart_x_axis(c, (size_t)(p.right - p.left) / LETTER);

	p.legend_x = left;
	p.legend_y = head + MARGIN + (c->title == NULL ? 0 : c->height > 0 ? SMALL_TITLE : TITLE);
	p.top = p.legend_y;
	p.is_legend_beside = lay_legend_beside(&p);
	p.top += legend_height(&p) + marker_rows(&p) * MARKER_ROW;
	p.bottom = p.top + PLOT_HEIGHT;
	if (c->height > 0)
		p.bottom = fmax(p.top + PLOT_HEIGHT_MIN, head + c->height - foot_height(c));
	return p;
}

/* Where the next chart begins. */
static double foot_of(const struct picture *p)
{
	return p->bottom + foot_height(p->c);
}

/* ---- Text. ---- */

/* The same in HTML and in XML; a character reference, since &apos; is not in HTML 4. */
static const char *reference_to(char c)
{
	return c == '&'    ? "&amp;"
	       : c == '<'  ? "&lt;"
	       : c == '>'  ? "&gt;"
	       : c == '"'  ? "&quot;"
	       : c == '\'' ? "&#39;"
			   : NULL;
}

/* XML 1.0 has none of those of ASCII; those of Latin 1, U+0080 to U+009F, are as useless. */
static bool is_control(const char *text)
{
	unsigned char c = (unsigned char)text[0];
	return c < ' ' || c == 0x7f || (c == 0xc2 && (unsigned char)text[1] < 0xa0);
}

/* U+FFFE and U+FFFF are well-formed, and in no XML document (XML 1.0, 2.2). */
static bool is_no_character(const char *text)
{
	return strncmp(text, "\xef\xbf\xbe", 3) == 0 || strncmp(text, "\xef\xbf\xbf", 3) == 0;
}

void svg_escape(FILE *out, const char *text)
{
	for (size_t n; *text != '\0'; text += n > 0 ? n : 1) {
		n = utf8_len(text);
		if (n == 0 || is_no_character(text))
			fputs(UTF8_REPLACEMENT, out);
		else if (is_control(text))
			fputc(' ', out);
		else if (reference_to(*text) != NULL)
			fputs(reference_to(*text), out);
		else
			fwrite(text, 1, n, out);
	}
}

/* `attributes` are further attributes of the element, "" for none. */
static void write_text(const struct picture *p, double x, double y, const char *attributes, const char *text)
{
	if (text == NULL)
		return;
	fprintf(p->out, "<text x=\"%.1f\" y=\"%.1f\"%s>", x, y, attributes);
	svg_escape(p->out, text);
	fputs("</text>\n", p->out);
}

/* ---- The parts of the picture. ---- */

/* scope: what stands before each selector, "" or "svg.chart ". */
static void write_colours(FILE *out, const char *scope, bool dark)
{
	const char *back = dark ? "#161b22" : "#ffffff";

	fprintf(out, "%s.back{fill:%s}\n%stext{fill:%s}\n", scope, back, scope, dark ? "#e6edf3" : "#24292f");
	fprintf(out, "%s.grid{stroke:%s}\n", scope, dark ? "#30363d" : "#e3e6ea");
	fprintf(out, "%s.axis{stroke:%s}\n", scope, dark ? "#8b949e" : "#57606a");
	fprintf(out, "%spath.mark{stroke:%s}\n", scope, back);
	for (size_t i = 0; i < N_LOOKS; i++) {
		const char *colour = dark ? looks[i].on_dark : looks[i].on_light;
		fprintf(out, "%s.s%zu{stroke:%s;fill:%s}\n", scope, i, colour, colour);
	}
}

/* What not every picture has. */
struct features {
	bool bands, areas, dense, markers;
};

static bool is_dense(const struct chart *c, size_t s)
{
	return (double)c->series[s].n > DENSE * (width_of(c) - left_of_plot(c) - MARGIN);
}

static void add_features(struct features *f, const struct chart *c)
{
	for (size_t s = 0; s < c->n_series; s++) {
		f->bands = f->bands || c->series[s].y_low != NULL;
		f->areas = f->areas || c->series[s].filled;
		f->dense = f->dense || is_dense(c, s);
	}
	f->markers = f->markers || c->n_marks > 0;
}

static void write_style(FILE *out, const char *scope, const struct features *f)
{
	fprintf(out,
		"%stext{font:12px system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif}\n"
		"%stext.title{font-size:16px;font-weight:600}\n"
		"%spath.line{fill:none;stroke-width:2;stroke-linejoin:round;stroke-linecap:round}\n"
		"%spath.dashed{stroke-dasharray:6 5}\n",
		scope, scope, scope, scope);
	if (f->dense)
		fprintf(out, "%spath.thin{stroke-width:1.2}\n", scope);
	if (f->bands)
		fprintf(out, "%spath.band{fill-opacity:.18;stroke-opacity:.35}\n", scope);
	if (f->areas)
		fprintf(out, "%spath.area{fill-opacity:.22;stroke:none}\n", scope);
	if (f->markers)
		fprintf(out, "%spath.marker{stroke-dasharray:3 3;stroke-width:1.3}\n%stext.marker{font-size:11px}\n",
			scope, scope);
	write_colours(out, scope, false);
	fputs("@media (prefers-color-scheme:dark){\n", out);
	write_colours(out, scope, true);
	fputs("}\n", out);
}

void svg_open(FILE *out, double width, double height, const char *title)
{
	fprintf(out,
		"<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" width=\"%.0f\" height=\"%.0f\" "
		"viewBox=\"0 0 %.0f %.0f\">\n",
		width, height, width, height);
	if (title == NULL)
		return;
	fputs("<title>", out);
	svg_escape(out, title);
	fputs("</title>\n", out);
}

static void open_document(FILE *out, const char *title, double width, double height, const struct features *f)
{
	svg_open(out, width, height, title);
	fputs("<style>\n", out);
	write_style(out, "", f);
	fprintf(out, "</style>\n<rect class=\"back\" width=\"%.0f\" height=\"%.0f\" rx=\"6\"/>\n", width, height);
}

static void draw_rule(const struct picture *p, const char *class, double x1, double y1, double x2, double y2)
{
	fprintf(p->out, "<path class=\"%s\" d=\"M%.1f,%.1fL%.1f,%.1f\"/>\n", class, x1, y1, x2, y2);
}

static void draw_x_axis(const struct picture *p)
{
	const char *centred = " text-anchor=\"middle\"";
	char text[CHART_LABEL_SIZE];

	for (size_t i = 0; i < p->x.n_ticks; i++) {
		const char *label = chart_tick_label(&p->x, p->x.ticks[i], text);
		double x = place_x(p, p->x.ticks[i]);
		draw_rule(p, "grid", x, p->top, x, p->bottom);
		draw_rule(p, "axis", x, p->bottom, x, p->bottom + 4);
		write_text(p, x, p->bottom + LINE, centred, label);
	}
	draw_rule(p, "axis", p->left, p->bottom, p->right, p->bottom);
	write_text(p, (p->left + p->right) / 2, p->bottom + 2 * LINE + 2, centred, p->c->x_label);
}

static void draw_y_axis(const struct picture *p)
{
	char text[CHART_LABEL_SIZE], turned[96];
	double middle = (p->top + p->bottom) / 2;

	for (size_t i = 0; i < p->y.n_ticks; i++) {
		const char *label = chart_tick_label(&p->y, p->y.ticks[i], text);
		double y = place_y(p, p->y.ticks[i]);
		draw_rule(p, "grid", p->left, y, p->right, y);
		write_text(p, p->left - GAP, y + 4, " text-anchor=\"end\"", label);
	}
	snprintf(turned, sizeof(turned), " text-anchor=\"middle\" transform=\"rotate(-90 %d %.1f)\"", MARGIN + 4,
		 middle);
	write_text(p, MARGIN + 4, middle, turned, p->c->y_label);
}

static void draw_mark(const struct picture *p, size_t s, double x, double y)
{
	fprintf(p->out, "<path class=\"mark s%zu\" d=\"M%.1f,%.1f%s\"/>\n", s % N_LOOKS, x, y, looks[s % N_LOOKS].mark);
}

static void open_line(const struct picture *p, size_t s)
{
	fprintf(p->out, "<path class=\"line%s%s s%zu\" d=\"", p->c->series[s].dashed ? " dashed" : "",
		is_dense(p->c, s) ? " thin" : "", s % N_LOOKS);
}

static bool is_band(const struct picture *p, size_t s)
{
	return p->c->series[s].y_low != NULL;
}

/* WHY not over time: there a line grows, and would lose its marks one day. */
static bool has_marks(const struct picture *p, size_t s)
{
	return p->c->series[s].n <= POINTS_MARKED && !is_band(p, s) && !p->c->x_is_time;
}

static void draw_legend_sample(const struct picture *p, size_t s, double x, double y)
{
	double width = sample_width(p->c);

	if (is_band(p, s)) {
		fprintf(p->out, "<path class=\"band s%zu\" d=\"M%.1f,%.1fh%gv10h-%gz\"/>\n", s % N_LOOKS, x, y - 5,
			width, width);
		return;
	}
	if (p->c->series[s].filled)
		fprintf(p->out, "<path class=\"area s%zu\" d=\"M%.1f,%.1fh%gv7h-%gz\"/>\n", s % N_LOOKS, x, y, width,
			width);
	open_line(p, s);
	fprintf(p->out, "M%.1f,%.1fh%g\"/>\n", x, y, width);
	if (has_marks(p, s))
		draw_mark(p, s, x + width / 2, y);
}

static void draw_legend(const struct picture *p)
{
	struct entry e = first_entry(p);

	for (size_t s = 0; s < p->c->n_series && has_legend(p->c); s++) {
		next_entry(p, s, &e);
		draw_legend_sample(p, s, e.x, e.y);
		write_text(p, e.x + sample_width(p->c) + GAP, e.y + 4, "", p->c->series[s].label);
	}
}

/* ---- A line. ---- */

/* The points of a series as they are drawn. */
struct points {
	bool levels_join;
	size_t n;
	struct point {
		double x, y;
		bool is_start; /* the pen was lifted before it */
	} * at;
};

/* With `levels_join` the points inside of a level piece are left out: much of what is watched over time does not
 * change. */
static void add_point(struct points *points, struct point point)
{
	struct point *last = points->at + points->n - 1;

	if (points->levels_join && points->n >= 2 && !point.is_start && !last->is_start && last->y == point.y &&
	    last[-1].y == point.y)
		*last = point;
	else
		points->at[points->n++] = point;
}

/* All of them. A gap lifts the pen. */
static void take_all(const struct picture *p, const struct chart_series *series, struct points *points)
{
	bool is_start = true;

	for (size_t i = 0; i < series->n; i++) {
		double x = place_x(p, series->x[i]), y = place_y(p, series->y[i]);
		if (!isnan(x) && !isnan(y))
			add_point(points, (struct point){ x, y, is_start });
		is_start = isnan(x) || isnan(y);
	}
}

/* The points that share a unit of the width: the highest and the lowest, in their order. */
struct column {
	double number; /* which unit; negative: none yet */
	struct point least, greatest;
	bool is_start, is_least_first;
};

static void add_column(struct points *points, const struct column *c)
{
	struct point first = c->is_least_first ? c->least : c->greatest,
		     second = c->is_least_first ? c->greatest : c->least;

	first.is_start = c->is_start;
	add_point(points, first);
	if (second.y != first.y)
		add_point(points, second);
}

/* The extremes of each unit of the width. A gap that is not wider than that lifts no pen: it could not be seen. */
static void take_extremes(const struct picture *p, const struct chart_series *series, struct points *points)
{
	struct column c = { .number = -1 };
	bool is_after_gap = true;

	for (size_t i = 0; i < series->n; i++) {
		struct point here = { place_x(p, series->x[i]), place_y(p, series->y[i]), false };
		double number = floor(here.x - p->left);
		if (isnan(here.x) || isnan(here.y)) {
			is_after_gap = true;
			continue;
		}
		if (number != c.number) {
			if (c.number >= 0)
				add_column(points, &c);
			bool is_start = c.number < 0 || (is_after_gap && number > c.number + 1);
			c = (struct column){ number, here, here, is_start, true };
		} else if (here.y < c.least.y) {
			c.least = here;
			c.is_least_first = false;
		} else if (here.y > c.greatest.y) {
			c.greatest = here;
			c.is_least_first = true;
		}
		is_after_gap = false;
	}
	if (c.number >= 0)
		add_column(points, &c);
}

/* The caller frees `at`. */
static struct points points_of(const struct picture *p, size_t s)
{
	const struct chart_series *series = &p->c->series[s];
	struct points points = { .levels_join = p->c->x_is_time, .at = xmalloc((series->n + 1) * sizeof(*points.at)) };

	if (is_dense(p->c, s))
		take_extremes(p, series, &points);
	else
		take_all(p, series, &points);
	return points;
}

/* WHY h0: a point between two gaps is a line without length, which the round line cap shows as a dot. */
static void draw_line(const struct picture *p, size_t s, const struct points *points)
{
	open_line(p, s);
	for (size_t i = 0; i < points->n; i++)
		fprintf(p->out, points->at[i].is_start ? "M%.1f,%.1fh0" : "L%.1f,%.1f", points->at[i].x,
			points->at[i].y);
	fputs("\"/>\n", p->out);
}

/* From the foot of the plot up to the first point of each piece, and down again from its last one. */
static void draw_area(const struct picture *p, size_t s, const struct points *points)
{
	fprintf(p->out, "<path class=\"area s%zu\" d=\"", s % N_LOOKS);
	for (size_t i = 0; i < points->n; i++) {
		const struct point *at = &points->at[i];
		if (at->is_start)
			fprintf(p->out, "M%.1f,%.1f", at->x, p->bottom);
		fprintf(p->out, "L%.1f,%.1f", at->x, at->y);
		if (i + 1 == points->n || at[1].is_start)
			fprintf(p->out, "V%.1fz", p->bottom);
	}
	fputs("\"/>\n", p->out);
}

static void draw_curve(const struct picture *p, size_t s)
{
	struct points points = points_of(p, s);

	if (p->c->series[s].filled)
		draw_area(p, s, &points);
	draw_line(p, s, &points);
	free(points.at);
}

/* There along the one edge, back along the other. Between two gaps one point is enough: a line from edge to edge. */
static void draw_band_piece(const struct picture *p, const struct chart_series *series, size_t from, size_t to)
{
	for (size_t i = from; i < to; i++)
		fprintf(p->out, "%s%.1f,%.1f", i > from ? "L" : "M", place_x(p, series->x[i]),
			place_y(p, series->y[i]));
	for (size_t i = to; i-- > from;)
		fprintf(p->out, "L%.1f,%.1f", place_x(p, series->x[i]), place_y(p, series->y_low[i]));
	fputs("z", p->out);
}

static void draw_band(const struct picture *p, size_t s)
{
	const struct chart_series *series = &p->c->series[s];
	size_t i = 0;

	fprintf(p->out, "<path class=\"band s%zu\" d=\"", s % N_LOOKS);
	while (i < series->n) {
		size_t from = i;
		while (i < series->n && !chart_is_gap(p->c, series, i))
			i++;
		if (i > from)
			draw_band_piece(p, series, from, i);
		else
			i++; /* a gap */
	}
	fputs("\"/>\n", p->out);
}

static void draw_marks(const struct picture *p, size_t s)
{
	const struct chart_series *series = &p->c->series[s];

	for (size_t i = 0; i < series->n; i++) {
		double x = place_x(p, series->x[i]), y = place_y(p, series->y[i]);
		if (!isnan(x) && !isnan(y))
			draw_mark(p, s, x, y);
	}
}

static void draw_series(const struct picture *p)
{
	for (size_t s = p->c->n_series; s-- > 0;)
		if (is_band(p, s))
			draw_band(p, s);
	/* The first series is drawn last, on top: it is the one the chart is about. Bands lie below all lines. */
	for (size_t s = p->c->n_series; s-- > 0;) {
		if (!is_band(p, s))
			draw_curve(p, s);
		if (has_marks(p, s))
			draw_marks(p, s);
	}
}

/* ---- Markers. ---- */

/* Where the labels begin that each row has already. */
struct marker_rows {
	double begin[MARKER_ROWS];
	int n; /* in use */
};

/* Where a marker stands, and its label: beside the line, to the right where there is room. */
struct marker {
	double x;
	double from, to; /* of the label */
	size_t len;      /* of it, in bytes */
	int row;         /* from below; -1: it would touch another one, and is left out */
};

static bool place_marker(const struct picture *p, const struct chart_mark *mark, struct marker_rows *rows,
			 struct marker *m)
{
	const char *label = mark->label != NULL ? mark->label : "";

	*m = (struct marker){ .x = place_x(p, mark->x), .len = utf8_cut(label, MARKER_COLUMNS), .row = -1 };
	if (isnan(m->x))
		return false;
	size_t columns = utf8_columns(label);
	double width = (double)(columns < MARKER_COLUMNS ? columns : MARKER_COLUMNS + 1) * LETTER;
	m->from = m->x + width <= p->right + MARGIN / 2 ? m->x : m->x - width;
	m->to = m->from + width;
	for (int row = 0; row < MARKER_ROWS && m->row < 0 && columns > 0; row++)
		if (row >= rows->n || m->to + GAP <= rows->begin[row])
			m->row = row;
	if (m->row >= 0) {
		rows->begin[m->row] = m->from;
		rows->n = m->row >= rows->n ? m->row + 1 : rows->n;
	}
	return true;
}

/* WHY from right to left, here and below: a label that finds no room in the lowest row then belongs to a line at the
 * left of those which have it, and this line crosses none of them on its way up. */
static int marker_rows(const struct picture *p)
{
	struct marker_rows rows = { 0 };
	struct marker m;

	for (size_t i = p->c->n_marks; i-- > 0;)
		(void)place_marker(p, &p->c->marks[i], &rows, &m);
	return rows.n;
}

static void write_marker_label(const struct picture *p, const struct marker *m, const char *label)
{
	char cut[4 * MARKER_COLUMNS + sizeof("…")];
	bool is_left = m->from < m->x;

	snprintf(cut, sizeof(cut), "%.*s%s", (int)m->len, label, label[m->len] != '\0' ? "…" : "");
	write_text(p, is_left ? m->x - 3 : m->x + 3, p->top - 5 - m->row * MARKER_ROW,
		   is_left ? " class=\"marker\" text-anchor=\"end\"" : " class=\"marker\"", cut);
}

static void draw_markers(const struct picture *p)
{
	struct marker_rows rows = { 0 };
	struct marker m;

	for (size_t i = p->c->n_marks; i-- > 0;) {
		if (!place_marker(p, &p->c->marks[i], &rows, &m))
			continue;
		draw_rule(p, "axis marker", m.x, p->top - (m.row + 1) * MARKER_ROW, m.x, p->bottom);
		if (m.row >= 0)
			write_marker_label(p, &m, p->c->marks[i].label);
	}
}

static void draw_chart(const struct picture *p)
{
	write_text(p, p->left, p->head + MARGIN + 6, " class=\"title\"", p->c->title);
	draw_y_axis(p);
	draw_x_axis(p);
	draw_legend(p);
	draw_markers(p);
	draw_series(p);
	if (p->x.empty)
		write_text(p, (p->left + p->right) / 2, (p->top + p->bottom) / 2, " text-anchor=\"middle\"", "no data");
}

void svg_charts(FILE *out, const struct chart *const charts[], size_t n)
{
	double left = 0, width = 0, height = 0;
	struct features features = { 0 };

	for (size_t i = 0; i < n; i++) {
		left = fmax(left, left_of_plot(charts[i]));
		width = fmax(width, width_of(charts[i]));
		add_features(&features, charts[i]);
	}
	for (size_t i = 0; i < n; i++) {
		struct picture p = lay_out(out, charts[i], height, left);
		height = foot_of(&p);
	}
	open_document(out, charts[0]->title, width, height, &features);
	double head = 0;
	for (size_t i = 0; i < n; i++) {
		struct picture p = lay_out(out, charts[i], head, left);
		draw_chart(&p);
		head = foot_of(&p);
	}
	fputs("</svg>\n", out);
}

void svg_chart(FILE *out, const struct chart *c)
{
	svg_charts(out, &c, 1);
}

/* ---- In a page. ---- */

void svg_inline(FILE *out, const struct chart *c)
{
	struct picture p = lay_out(out, c, 0, left_of_plot(c));

	fprintf(out, "<svg class=\"chart\" role=\"img\" viewBox=\"0 0 %.0f %.0f\" aria-label=\"", width_of(c),
		foot_of(&p));
	svg_escape(out, c->title != NULL ? c->title : "chart");
	fputs("\">\n", out);
	draw_chart(&p);
	fputs("</svg>\n", out);
}

void svg_inline_style(FILE *out)
{
	static const struct features all = { true, true, true, true };

	write_style(out, "svg.chart ", &all);
}
