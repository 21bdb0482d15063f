/* heatmap.c - see heatmap.h. A map in the picture, from top to bottom:
 *
 *	title of the map
 *	          pc1    pc2        names of the columns, each as wide as its cells
 *	pc1       [  ]   [941]      the hue of a cell is its opacity over the background: so it grows darker on a light
 *	pc2       [938]  [  ]       background and brighter on a dark one, and one set of numbers serves both
 *	0 [][][][][][][] 941        the scale
 */
#include "heatmap.h"

#include "cdefs.h"
#include "chart.h"
#include "svg.h"
#include "utf8.h"

#include <math.h>

/* In SVG user units, as in svg.c. */
enum {
	MARGIN = 24,
	LETTER = 7,
	TITLE_LETTER = 9,
	LINE = 20,
	TITLE = 30,
	GAP = 8,
	CELL_HEIGHT = 32,
	CELL_PADDING = 20,
	CELL_LEAST = 56,
	SCALE_STEPS = 10,
	SCALE_STEP = 14,
	WIDTH_LEAST = 360,
};

/* From this place on the background is strong, and the number on it takes the colour of the paper. */
static const double STRONG = 0.55;

/* ---- The scale. ---- */

struct heatmap_scale heatmap_scale(const struct heatmap *map)
{
	struct heatmap_scale s = { .empty = true };
	for (size_t i = 0; i < map->n_rows * map->n_columns; i++) {
		double v = map->value[i];
		if (!isfinite(v))
			continue;
		s.lo = s.empty || v < s.lo ? v : s.lo;
		s.hi = s.empty || v > s.hi ? v : s.hi;
		s.empty = false;
	}
	s.log = s.lo > 0 && s.hi / s.lo >= 20;
	if (!s.log && s.lo > 0)
		s.lo = 0;
	return s;
}

double heatmap_place(const struct heatmap_scale *s, double v)
{
	if (!isfinite(v))
		return (double)NAN;
	if (s->hi <= s->lo)
		return 1;
	return s->log ? log(v / s->lo) / log(s->hi / s->lo) : (v - s->lo) / (s->hi - s->lo);
}

const char *heatmap_label(double v, char out[static HEATMAP_LABEL_SIZE])
{
	double size = fabs(v);
	if (!isfinite(v))
		out[0] = '\0';
	else if (size >= 999.5 && size < 999999.5)
		snprintf(out, HEATMAP_LABEL_SIZE, "%.0f", v);
	else
		snprintf(out, HEATMAP_LABEL_SIZE, "%.3g", v);
	return out;
}

/* ---- Layout: common to all maps of a picture, so that their cells stand below one another. ---- */

struct layout {
	FILE *out;
	double left, cell, width;
	double y; /* down to where it is drawn */
};

static size_t greater(size_t a, size_t b)
{
	return a > b ? a : b;
}

/* The widest of all names and numbers in a column, in characters. */
static size_t cell_columns(const struct heatmap *map)
{
	char text[HEATMAP_LABEL_SIZE];
	size_t widest = 0;
	for (size_t c = 0; c < map->n_columns; c++)
		widest = greater(widest, utf8_columns(map->columns[c]));
	for (size_t i = 0; i < map->n_rows * map->n_columns; i++)
		widest = greater(widest, utf8_columns(heatmap_label(map->value[i], text)));
	return widest;
}

static size_t name_columns(const struct heatmap *map)
{
	size_t widest = 0;
	for (size_t r = 0; r < map->n_rows; r++)
		widest = greater(widest, utf8_columns(map->rows[r]));
	return widest;
}

static double map_height(const struct heatmap *map)
{
	return TITLE + LINE + (double)map->n_rows * CELL_HEIGHT + 2 * LINE + MARGIN;
}

static struct layout lay_out(FILE *out, const char *title, const struct heatmap *maps, size_t n)
{
	size_t cell = 0, name = 0, columns = 0;
	for (size_t i = 0; i < n; i++) {
		cell = greater(cell, cell_columns(&maps[i]));
		name = greater(name, name_columns(&maps[i]));
		columns = greater(columns, maps[i].n_columns);
	}
	struct layout l = { .out = out, .y = MARGIN };
	l.cell = fmax(CELL_LEAST, (double)cell * LETTER + CELL_PADDING);
	l.left = MARGIN + (double)name * LETTER + GAP;
	l.width = fmax(WIDTH_LEAST, l.left + (double)columns * l.cell + MARGIN);
	l.width = fmax(l.width, 2 * MARGIN + (double)utf8_columns(title) * TITLE_LETTER);
	return l;
}

/* ---- The parts of the picture. ---- */

static void write_text(const struct layout *l, double x, double y, const char *attributes, const char *text)
{
	if (text == NULL)
		return;
	fprintf(l->out, "<text x=\"%.1f\" y=\"%.1f\"%s>", x, y, attributes);
	svg_escape(l->out, text);
	fputs("</text>\n", l->out);
}

static void write_colours(FILE *out, bool dark)
{
	const char *back = dark ? "#161b22" : "#ffffff";
	fprintf(out, ".back{fill:%s}\ntext{fill:%s}\ntext.strong{fill:%s}\n", back, dark ? "#e6edf3" : "#24292f", back);
	fprintf(out, ".cell{fill:%s}\n", dark ? "#56b4e9" : "#0072b2");
	fprintf(out, ".gap{fill:none;stroke:%s}\n", dark ? "#30363d" : "#e3e6ea");
}

static void open_document(const struct layout *l, double height, const char *title)
{
	svg_open(l->out, l->width, height, title);
	fputs("<style>\n"
	      "text{font:12px system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif}\n"
	      "text.title{font-size:16px;font-weight:600}\n"
	      "text.map{font-size:13px;font-weight:600}\n",
	      l->out);
	write_colours(l->out, false);
	fputs("@media (prefers-color-scheme:dark){\n", l->out);
	write_colours(l->out, true);
	fprintf(l->out, "}\n</style>\n<rect class=\"back\" width=\"%.0f\" height=\"%.0f\" rx=\"6\"/>\n", l->width,
		height);
}

static void draw_box(const struct layout *l, double x, double y, double width, double height, double place)
{
	fprintf(l->out, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" rx=\"3\" ", x, y, width, height);
	if (isnan(place))
		fputs("class=\"gap\"/>\n", l->out);
	else
		fprintf(l->out, "class=\"cell\" fill-opacity=\"%.2f\"/>\n", 0.08 + 0.92 * place);
}

static void draw_cell(const struct layout *l, double x, double place, double v)
{
	char text[HEATMAP_LABEL_SIZE];
	draw_box(l, x + 1, l->y + 1, l->cell - 2, CELL_HEIGHT - 2, place);
	write_text(l, x + l->cell / 2, l->y + CELL_HEIGHT / 2 + 4,
		   place > STRONG ? " class=\"strong\" text-anchor=\"middle\"" : " text-anchor=\"middle\"",
		   isnan(place) ? NULL : heatmap_label(v, text));
}

static void draw_scale(const struct layout *l, const struct heatmap_scale *s)
{
	char text[HEATMAP_LABEL_SIZE];
	const char *lo = heatmap_label(s->lo, text);
	double x = l->left + (double)utf8_columns(lo) * LETTER + GAP;
	write_text(l, l->left, l->y + 12, "", lo);
	for (int i = 0; i < SCALE_STEPS; i++)
		draw_box(l, x + i * SCALE_STEP, l->y, SCALE_STEP, SCALE_STEP, (double)i / (SCALE_STEPS - 1));
	x += SCALE_STEPS * SCALE_STEP + GAP;
	write_text(l, x, l->y + 12, "", heatmap_label(s->hi, text));
	if (s->log)
		write_text(l, x + (double)utf8_columns(text) * LETTER + GAP, l->y + 12, "", "(logarithmic)");
}

static void draw_map(struct layout *l, const struct heatmap *map)
{
	struct heatmap_scale s = heatmap_scale(map);
	write_text(l, MARGIN, l->y + 12, " class=\"map\"", map->title);
	l->y += TITLE;
	for (size_t c = 0; c < map->n_columns; c++)
		write_text(l, l->left + ((double)c + 0.5) * l->cell, l->y + 8, " text-anchor=\"middle\"",
			   map->columns[c]);
	l->y += LINE;
	for (size_t r = 0; r < map->n_rows; r++) {
		write_text(l, l->left - GAP, l->y + CELL_HEIGHT / 2 + 4, " text-anchor=\"end\"", map->rows[r]);
		for (size_t c = 0; c < map->n_columns; c++) {
			double v = map->value[r * map->n_columns + c];
			draw_cell(l, l->left + (double)c * l->cell, heatmap_place(&s, v), v);
		}
		l->y += CELL_HEIGHT;
	}
	l->y += LINE / 2;
	if (s.empty)
		write_text(l, l->left, l->y + 12, "", "no data");
	else
		draw_scale(l, &s);
	l->y += LINE + LINE / 2 + MARGIN;
}

void heatmap_svg(FILE *out, const char *title, const struct heatmap *maps, size_t n)
{
	struct layout l = lay_out(out, title, maps, n);
	double height = MARGIN + (title != NULL ? TITLE : 0);
	for (size_t i = 0; i < n; i++)
		height += map_height(&maps[i]);
	open_document(&l, height, title);
	if (title != NULL) {
		write_text(&l, MARGIN, l.y + 6, " class=\"title\"", title);
		l.y += TITLE;
	}
	for (size_t i = 0; i < n; i++)
		draw_map(&l, &maps[i]);
	fputs("</svg>\n", out);
}

/* ---- The terminal. ---- */

static void print_right(FILE *out, const char *text, size_t columns)
{
	for (size_t n = utf8_columns(text); n < columns; n++)
		fputc(' ', out);
	fputs(text, out);
}

static const char *shade(double place)
{
	static const char *const shades[] = { "░", "▒", "▓", "█" };
	size_t i = (size_t)(place * COUNT_OF(shades));
	return shades[i < COUNT_OF(shades) ? i : COUNT_OF(shades) - 1];
}

void heatmap_print(FILE *out, const struct heatmap *map, bool utf8)
{
	struct heatmap_scale s = heatmap_scale(map);
	size_t name = name_columns(map), cell = cell_columns(map) + (utf8 ? 2 : 0);
	char text[HEATMAP_LABEL_SIZE];
	if (map->title != NULL)
		fprintf(out, "%s\n", map->title);
	print_right(out, "", name);
	for (size_t c = 0; c < map->n_columns; c++) {
		fputs("  ", out);
		print_right(out, map->columns[c], cell);
	}
	fputc('\n', out);
	for (size_t r = 0; r < map->n_rows; r++) {
		print_right(out, map->rows[r], name);
		for (size_t c = 0; c < map->n_columns; c++) {
			double v = map->value[r * map->n_columns + c];
			const char *number = isfinite(v) ? heatmap_label(v, text) : "-";
			print_right(out, "", 2 + cell - utf8_columns(number) - (utf8 && isfinite(v) ? 2 : 0));
			if (utf8 && isfinite(v))
				fprintf(out, "%s ", shade(heatmap_place(&s, v)));
			fputs(number, out);
		}
		fputc('\n', out);
	}
}
