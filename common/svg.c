/* svg.c - see svg.h. Top to bottom, as it appears in the picture:
 *
 *	title
 *	-o- depth 1   -o- depth 4        legend, above the plot where no line can run through it
 *	8000 |...............
 *	     |       __/                 plot: PLOT_HEIGHT units; grid, axes, lines, points
 *	   0 +---------------
 *	     1K          1M
 *	        x label
 *
 * and then the next chart, if there are several. */
#include "svg.h"
#include "cdefs.h"

#include <math.h>
#include <stdbool.h>

/* In SVG user units. Text is laid out by its length alone: a letter of the 12 unit font is taken to be LETTER wide. */
enum {
	WIDTH = 720,
	PLOT_HEIGHT = 300,
	MARGIN = 24,
	LETTER = 7,
	LINE = 20, /* height of a line of text */
	TITLE = 30,
	GAP = 8, /* between an axis and its labels */
	Y_TICKS = 9,
	LEGEND_SAMPLE = 26, /* the piece of line before a label in the legend */
	POINTS_MARKED = 64, /* a series with more points than this is a line without marks */
};

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
	size_t legend_per_row;
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

static double legend_column_width(const struct chart *c)
{
	return LEGEND_SAMPLE + (double)chart_label_columns(c) * LETTER + MARGIN;
}

/* How much is needed left of the plot. */
static double left_of_plot(const struct chart *c)
{
	struct chart_axis y = chart_y_axis(c, Y_TICKS);

	return MARGIN + GAP + (double)chart_tick_columns(&y) * LETTER + (c->y_label != NULL ? LINE : 0);
}

static struct picture lay_out(FILE *out, const struct chart *c, double head, double left)
{
	struct picture p = { .out = out, .c = c, .y = chart_y_axis(c, Y_TICKS), .head = head, .left = left };

	p.right = WIDTH - MARGIN;
	p.x = chart_x_axis(c, (size_t)(p.right - p.left) / LETTER);

	p.legend_per_row = (size_t)((p.right - p.left) / legend_column_width(c));
	if (p.legend_per_row == 0)
		p.legend_per_row = 1;
	size_t legend_rows = (c->n_series + p.legend_per_row - 1) / p.legend_per_row;
	p.top = head + MARGIN + (c->title != NULL ? TITLE : 0) + (double)legend_rows * LINE;
	p.bottom = p.top + PLOT_HEIGHT;
	return p;
}

/* Where the next chart begins. */
static double foot_of(const struct picture *p)
{
	return p->bottom + LINE + GAP + (p->c->x_label != NULL ? LINE : 0) + GAP;
}

/* ---- Text. ---- */

void svg_escape(FILE *out, const char *text)
{
	for (; *text != '\0'; text++) {
		switch (*text) {
		case '&':
			fputs("&amp;", out);
			break;
		case '<':
			fputs("&lt;", out);
			break;
		case '>':
			fputs("&gt;", out);
			break;
		case '"':
			fputs("&quot;", out);
			break;
		default:
			fputc(*text > 0 && *text < ' ' ? ' ' : *text, out); /* XML 1.0 has no control characters */
		}
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

static void write_colours(FILE *out, bool dark)
{
	const char *back = dark ? "#161b22" : "#ffffff";

	fprintf(out, ".back{fill:%s}\ntext{fill:%s}\n", back, dark ? "#e6edf3" : "#24292f");
	fprintf(out, ".grid{stroke:%s}\n", dark ? "#30363d" : "#e3e6ea");
	fprintf(out, ".axis{stroke:%s}\n", dark ? "#8b949e" : "#57606a");
	fprintf(out, "path.mark{stroke:%s}\n", back);
	for (size_t i = 0; i < N_LOOKS; i++) {
		const char *colour = dark ? looks[i].on_dark : looks[i].on_light;
		fprintf(out, ".s%zu{stroke:%s;fill:%s}\n", i, colour, colour);
	}
}

static bool has_band(const struct chart *c)
{
	for (size_t s = 0; s < c->n_series; s++)
		if (c->series[s].y_low != NULL)
			return true;
	return false;
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

static void open_document(FILE *out, const char *title, double height, bool with_bands)
{
	svg_open(out, WIDTH, height, title);
	fputs("<style>\n"
	      "text{font:12px system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif}\n"
	      "text.title{font-size:16px;font-weight:600}\n"
	      "path.line{fill:none;stroke-width:2;stroke-linejoin:round;stroke-linecap:round}\n"
	      "path.dashed{stroke-dasharray:6 5}\n",
	      out);
	if (with_bands)
		fputs("path.band{fill-opacity:.18;stroke-opacity:.35}\n", out);
	write_colours(out, false);
	fputs("@media (prefers-color-scheme:dark){\n", out);
	write_colours(out, true);
	fprintf(out, "}\n</style>\n<rect class=\"back\" width=\"%d\" height=\"%.0f\" rx=\"6\"/>\n", WIDTH, height);
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
	fprintf(p->out, "<path class=\"line%s s%zu\" d=\"", p->c->series[s].dashed ? " dashed" : "", s % N_LOOKS);
}

static bool is_band(const struct picture *p, size_t s)
{
	return p->c->series[s].y_low != NULL;
}

static bool has_marks(const struct picture *p, size_t s)
{
	return p->c->series[s].n <= POINTS_MARKED && !is_band(p, s);
}

static void draw_legend_sample(const struct picture *p, size_t s, double x, double y)
{
	if (is_band(p, s)) {
		fprintf(p->out, "<path class=\"band s%zu\" d=\"M%.1f,%.1fh%dv10h-%dz\"/>\n", s % N_LOOKS, x, y - 5,
			LEGEND_SAMPLE, LEGEND_SAMPLE);
		return;
	}
	open_line(p, s);
	fprintf(p->out, "M%.1f,%.1fh%d\"/>\n", x, y, LEGEND_SAMPLE);
	if (has_marks(p, s))
		draw_mark(p, s, x + LEGEND_SAMPLE / 2, y);
}

static void draw_legend(const struct picture *p)
{
	double y = p->head + MARGIN + (p->c->title != NULL ? TITLE : 0);

	for (size_t s = 0; s < p->c->n_series; s++) {
		double x = p->left + (double)(s % p->legend_per_row) * legend_column_width(p->c);
		double row = y + (double)(s / p->legend_per_row) * LINE;
		draw_legend_sample(p, s, x, row);
		write_text(p, x + LEGEND_SAMPLE + GAP, row + 4, "", p->c->series[s].label);
	}
}

/* A gap lifts the pen. WHY h0: a point between two gaps is a line without length, which the round line cap shows as a
 * dot. */
static void draw_line(const struct picture *p, size_t s)
{
	const struct chart_series *series = &p->c->series[s];
	bool pen_down = false;

	open_line(p, s);
	for (size_t i = 0; i < series->n; i++) {
		double x = place_x(p, series->x[i]), y = place_y(p, series->y[i]);
		bool is_gap = isnan(x) || isnan(y);
		if (!is_gap)
			fprintf(p->out, pen_down ? "L%.1f,%.1f" : "M%.1f,%.1fh0", x, y);
		pen_down = !is_gap;
	}
	fputs("\"/>\n", p->out);
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
			draw_line(p, s);
		if (has_marks(p, s))
			draw_marks(p, s);
	}
}

static void draw_chart(const struct picture *p)
{
	write_text(p, p->left, p->head + MARGIN + 6, " class=\"title\"", p->c->title);
	draw_y_axis(p);
	draw_x_axis(p);
	draw_legend(p);
	draw_series(p);
	if (p->x.empty)
		write_text(p, (p->left + p->right) / 2, (p->top + p->bottom) / 2, " text-anchor=\"middle\"", "no data");
}

void svg_charts(FILE *out, const struct chart *const charts[], size_t n)
{
	double left = 0, height = 0;
	bool with_bands = false;

	for (size_t i = 0; i < n; i++) {
		left = fmax(left, left_of_plot(charts[i]));
		with_bands = with_bands || has_band(charts[i]);
	}
	for (size_t i = 0; i < n; i++) {
		struct picture p = lay_out(out, charts[i], height, left);
		height = foot_of(&p);
	}
	open_document(out, charts[0]->title, height, with_bands);
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
