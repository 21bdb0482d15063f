/* plot - columns of numbers as a line chart or a heat map: in the terminal, and as an SVG file.
 *
 * Try:       printf '1 1\n2 4\n3 9\n' | plot --title Squares
 *            plot --log-x --x-size --svg rates.svg rates.csv      sizes as powers of two, and a file for a browser
 *            plot --ascii --width 60 FILE                         where the terminal knows no Braille
 *            plot --heat --svg rates.svg FILE                     who to whom: columns from, to, Mbit/s
 * Look for:  an empty field, "-" or "null": a gap in the line, and not a 0.
 * Labs:      whatever is a curve in a lab is drawn by it.
 *
 * What comes in, line by line:
 *
 *     # a comment                        blank- or comma-separated; with a comma in it a line is comma-separated, and then
 *     size, depth 1, depth 16            a name may have blanks and a field may be empty
 *     1024, 212.5, 1310                  the first line names the columns, if it does not begin with a number
 *     4096, 801, -                       x, which never goes down, and then one number for each series
 *
 * With --heat the first two columns are names, and each other column is a matrix of its own (tools/plot/heat.c).
 *
 * All of it is read before anything is drawn, and nothing is drawn, nor any file touched, when a line is wrong. */
#include "args.h"
#include "chart.h"
#include "diag.h"
#include "mem.h"
#include "os.h"
#include "record.h"
#include "plot/heat.h"
#include "svg.h"
#include "termchart.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* With more series than marks and colours two would look alike. */
enum { SERIES_MAX = 8, COLUMNS_MAX = 1 + SERIES_MAX, ROWS_MAX = 1000000, LINE_LEN = 4096, COLUMNS_WIDEST = 120 };

struct options {
	struct chart chart; /* its texts and axes; the series come with the data */
	const char *series, *dashed, *svg, *file;
	bool heat, ascii, json;
	uint64_t width, height;
};

/* What was read; table_free releases it. */
struct table {
	const char *source; /* FILE, or "standard input" */
	uint64_t line;      /* where we are */
	size_t n_columns, n_rows, room;
	char head[LINE_LEN];        /* the line with the names, cut */
	char *name[COLUMNS_MAX];    /* in head, or in argv; NULL: none */
	double *value[COLUMNS_MAX]; /* NaN: a gap; of names: their number in heat */
	struct heat heat;
};

static _Noreturn void fail(const struct options *o, const char *op, const char *object)
{
	struct net_error e = { 0 };
	net_fail(&e, op, object);
	record_error(o->json, &e);
	exit(1);
}

/* --- reading ----------------------------------------------------------------------------------------------------- */

/* What is wrong with the line that we are at. */
static _Noreturn void PRINTF_LIKE(3, 4) fail_line(const struct options *o, const struct table *t, const char *fmt, ...)
{
	char reason[128];
	va_list args;
	va_start(args, fmt);
	vsnprintf(reason, sizeof(reason), fmt, args);
	va_end(args);
	struct net_error e = { .op = "read", .reason = reason, .sys = EINVAL };
	snprintf(e.object, sizeof(e.object), "%.80s, line %llu", t->source, (unsigned long long)t->line);
	record_error(o->json, &e);
	exit(1);
}

/* A field without the blanks around it. */
static char *trim(char *text)
{
	text += strspn(text, " \t\r\n");
	for (size_t len = strlen(text); len > 0 && strchr(" \t\r\n", text[len - 1]) != NULL; len--)
		text[len - 1] = '\0';
	return text;
}

/* Cuts a text in place; an empty field counts between commas, and not between blanks. How many there are, also when that
 * is more than COLUMNS_MAX. */
static size_t split(char *text, char *field[static COLUMNS_MAX])
{
	const char *separators = strchr(text, ',') != NULL ? "," : " \t\r\n";
	size_t n = 0;
	char *part;
	while ((part = strsep(&text, separators)) != NULL) {
		if (*separators != ',' && *part == '\0')
			continue;
		if (n < COLUMNS_MAX)
			field[n] = trim(part);
		n++;
	}
	return n;
}

static bool parse_number(const char *text, double *out)
{
	char *end;
	*out = (double)NAN;
	if (*text == '\0' || strcmp(text, "-") == 0 || strcmp(text, "null") == 0)
		return true;
	*out = strtod(text, &end);
	return *end == '\0';
}

static void make_room(struct table *t)
{
	if (t->n_rows < t->room)
		return;
	t->room = t->room > 0 ? 2 * t->room : 1024;
	for (size_t c = 0; c < t->n_columns; c++)
		t->value[c] = xrealloc(t->value[c], t->room * sizeof(*t->value[c]));
}

/* x ascends. */
static void check_x(const struct options *o, const struct table *t)
{
	const double *x = t->value[0];
	if (isnan(x[t->n_rows]))
		fail_line(o, t, "x is missing");
	if (t->n_rows > 0 && x[t->n_rows] < x[t->n_rows - 1])
		fail_line(o, t, "x goes down, from %g to %g", x[t->n_rows - 1], x[t->n_rows]);
}

/* With --heat two columns are names. */
static void add_names(const struct options *o, struct table *t, char *const *field)
{
	struct heat_side *const side[] = { &t->heat.left, &t->heat.above };
	for (size_t c = 0; c < COUNT_OF(side); c++) {
		size_t number = heat_name(side[c], field[c]);
		if (number == HEAT_NAMES_MAX)
			fail_line(o, t, "'%.40s' is one name too many: at most %d", field[c], HEAT_NAMES_MAX);
		t->value[c][t->n_rows] = (double)number;
	}
}

static void add_row(const struct options *o, struct table *t, char *const *field)
{
	if (t->n_rows == ROWS_MAX)
		fail_line(o, t, "more than %d rows", ROWS_MAX);
	make_room(t);
	for (size_t c = o->heat ? 2 : 0; c < t->n_columns; c++) {
		if (!parse_number(field[c], &t->value[c][t->n_rows]))
			fail_line(o, t, "'%.40s' is not a number", field[c]);
	}
	if (o->heat)
		add_names(o, t, field);
	else
		check_x(o, t);
	t->n_rows++;
}

static void add_line(const struct options *o, struct table *t, char line[static LINE_LEN])
{
	char *field[COLUMNS_MAX] = { 0 };
	double number;
	size_t n = split(line, field);
	if (n > COLUMNS_MAX)
		fail_line(o, t, "%zu columns; at most %d can be told apart", n, COLUMNS_MAX);
	if (t->n_columns != 0 && n != t->n_columns)
		fail_line(o, t, "columns: %zu, and %zu before", n, t->n_columns);
	if (n < 2)
		fail_line(o, t, "only one column: x, and nothing to draw over it");
	if (o->heat && n < 3)
		fail_line(o, t, "only two columns: names, and no number");
	bool is_first = t->n_columns == 0;
	t->n_columns = n;
	if (!is_first || (!o->heat && parse_number(field[0], &number))) {
		add_row(o, t, field);
		return;
	}
	memcpy(t->head, line, LINE_LEN);
	for (size_t c = 0; c < n; c++)
		t->name[c] = t->head + (field[c] - line);
}

static void read_table(const struct options *o, struct table *t, FILE *in)
{
	char line[LINE_LEN];
	while (fgets(line, sizeof(line), in) != NULL) {
		t->line++;
		if (strchr(line, '\n') == NULL && !feof(in))
			fail_line(o, t, "longer than %d bytes, or not text", LINE_LEN - 2);
		const char *text = line + strspn(line, " \t\r\n");
		if (*text != '\0' && *text != '#')
			add_line(o, t, line);
	}
	if (ferror(in))
		fail(o, "read", t->source);
	if (t->n_rows == 0)
		fail_line(o, t, "no numbers");
}

static void table_free(struct table *t)
{
	for (size_t c = 0; c < COLUMNS_MAX; c++)
		free(t->value[c]);
	heat_free(&t->heat);
}

/* --- a chart of it ----------------------------------------------------------------------------------------------- */

/* The names that --series gives. They are cut where they stand: argv is ours (C11 5.1.2.2.1). */
static void name_series(struct table *t, const char *names)
{
	char *rest = (char *)names, *name;
	size_t n = 0;
	while ((name = strsep(&rest, ",")) != NULL) {
		if (++n < t->n_columns)
			t->name[n] = trim(name);
	}
	if (names != NULL && n != t->n_columns - 1)
		args_misuse("--series: %zu names for %zu series", n, t->n_columns - 1);
}

static void dash_series(struct chart_series *series, size_t n, const char *names)
{
	char *rest = (char *)names, *name;
	while ((name = strsep(&rest, ",")) != NULL) {
		bool is_found = false;
		name = trim(name);
		for (size_t i = 0; i < n; i++) {
			if (series[i].label != NULL && strcmp(series[i].label, name) == 0)
				series[i].dashed = is_found = true;
		}
		if (!is_found)
			args_misuse("--dashed: no series has the name '%s'", name);
	}
}

static struct chart make_chart(const struct options *o, const struct table *t,
			       struct chart_series series[static SERIES_MAX])
{
	struct chart chart = o->chart;
	chart.series = series;
	chart.n_series = t->n_columns - 1;
	for (size_t i = 0; i < chart.n_series; i++)
		series[i] = (struct chart_series){ t->name[i + 1], t->value[0], t->value[i + 1], t->n_rows, false };
	dash_series(series, chart.n_series, o->dashed);
	if (chart.x_label == NULL)
		chart.x_label = t->name[0];
	if (chart.y_label == NULL && chart.n_series == 1)
		chart.y_label = t->name[1];
	return chart;
}

/* The chart, or without one the heat maps. */
static void write_svg(const struct options *o, const struct chart *chart, const struct heat *heat)
{
	FILE *out = fopen(o->svg, "w");
	if (out == NULL)
		fail(o, "open", o->svg);
	if (chart != NULL)
		svg_chart(out, chart);
	else
		heatmap_svg(out, o->chart.title, heat->map, heat->n_maps);
	bool is_bad = ferror(out) != 0;
	if (fclose(out) != 0 || is_bad)
		fail(o, "write", o->svg);
}

static void print_chart(const struct options *o, const struct chart *chart)
{
	unsigned width = o->width != 0 ? (unsigned)o->width : os_terminal_columns(COLUMNS_WIDEST);
	termchart_draw(stdout, chart, width, (unsigned)o->height, !o->ascii && os_is_utf8());
}

static void print_heat(const struct options *o, const struct heat *heat)
{
	if (o->chart.title != NULL)
		printf("%s\n\n", o->chart.title);
	for (size_t m = 0; m < heat->n_maps; m++) {
		if (m > 0)
			printf("\n");
		heatmap_print(stdout, &heat->map[m], !o->ascii && os_is_utf8());
	}
}

/* --- records ----------------------------------------------------------------------------------------------------- */

static void report_start(const struct options *o)
{
	struct json j;
	record_begin(&j, "start");
	json_str(&j, "file", o->file);
	json_str(&j, "title", o->chart.title);
	json_end(&j);
}

/* The least and the greatest in the columns from..to; null when all of it is gaps. */
static void report_range(struct json *j, const struct table *t, const char *const key[2], size_t from, size_t to)
{
	double least = (double)NAN, most = (double)NAN;
	for (size_t c = from; c <= to; c++) {
		for (size_t i = 0; i < t->n_rows; i++) {
			least = fmin(least, t->value[c][i]); /* of a number and a NaN: the number (fmin(3)) */
			most = fmax(most, t->value[c][i]);
		}
	}
	json_f64(j, key[0], least);
	json_f64(j, key[1], most);
}

static void report_total(const struct table *t)
{
	struct json j;
	record_begin(&j, "total");
	json_u64(&j, "rows", t->n_rows);
	if (t->heat.n_maps > 0) {
		json_u64(&j, "maps", t->heat.n_maps);
		json_u64(&j, "left", t->heat.left.n);
		json_u64(&j, "above", t->heat.above.n);
	} else {
		json_u64(&j, "series", t->n_columns - 1);
		report_range(&j, t, (const char *const[]){ "x_min", "x_max" }, 0, 0);
	}
	size_t first = t->n_columns - (t->heat.n_maps > 0 ? t->heat.n_maps : t->n_columns - 1);
	report_range(&j, t, (const char *const[]){ "y_min", "y_max" }, first, t->n_columns - 1);
	json_end(&j);
}

/* --- options and main -------------------------------------------------------------------------------------------- */

static const char *const synopsis[] = { "[options] [FILE]", NULL };

static const char *const about[] = {
	"plot draws columns of numbers, of FILE or of standard input, as a line chart. The first column is x and must not go "
	"down, each of the others (at most 8) is a series. Columns are separated by blanks or by commas; '-', 'null' or an "
	"empty field between commas is a gap; '#' begins a line of comment. A first line that does not begin with a number "
	"names the columns.",
	"With --heat the first two columns are names, and each other column becomes a matrix: 'from, to, Mbit/s' gives one, with a "
	"cell for each pair. The first line names the columns.",
	"The lines are drawn in Braille dots where the locale says UTF-8, otherwise in ASCII.",
	NULL,
};

static const struct arg_example examples[] = {
	{ "printf '1 1\\n2 4\\n3 9\\n' | plot --title Squares", "three points" },
	{ "plot --x 'block size' --y MB/s --log-x --log-y --x-size rates.csv --svg rates.svg",
	  "sizes as powers of two, both axes logarithmic, and the same chart as a file" },
	{ "plot --series measured,model --dashed model FILE", "what is only expected has no line through it" },
	{ "printf 'from,to,Mbit/s\\npc1,pc2,941\\npc2,pc1,938\\n' | plot --heat --svg heat.svg", "a matrix" },
	{ 0 },
};

static struct options parse_options(int argc, char **argv)
{
	struct options o = { .height = 18 };
	/* clang-format off */
	const struct arg rows[] = {
		{ .help = "Text:" },
		{ '\0', "title", ARG_STR, &o.chart.title, .value_name = "TEXT", .help = "above the chart" },
		{ '\0', "x", ARG_STR, &o.chart.x_label, .value_name = "LABEL", .help = "what x is (the name of the first column)" },
		{ '\0', "y", ARG_STR, &o.chart.y_label, .value_name = "LABEL", .help = "what y is (the name of the series when there is one)" },
		{ '\0', "series", ARG_STR, &o.series, .value_name = "NAMES", .help = "the names of the series, separated by commas" },
		{ '\0', "heat", ARG_FLAG, &o.heat, .help = "heat maps: two columns of names, and each other column is a matrix" },
		{ '\0', "dashed", ARG_STR, &o.dashed, .value_name = "NAMES", .help = "which of them are a model: dashed in the file, "
		  "points without a line in the terminal" },
		{ .help = "Axes:" },
		{ '\0', "log-x", ARG_FLAG, &o.chart.log_x, .help = "x logarithmic: what is not above 0 is a gap" },
		{ '\0', "log-y", ARG_FLAG, &o.chart.log_y, .help = "y logarithmic" },
		{ '\0', "x-size", ARG_FLAG, &o.chart.x_is_size, .help = "x is in bytes: 1K, 64K, 1M" },
		{ .help = "Where to:" },
		{ '\0', "svg", ARG_FILE, &o.svg, .value_name = "FILE", .help = "draw it into an SVG file, too" },
		{ '\0', "width", ARG_COUNT, &o.width, 40, 240, "N", "columns (those of the terminal, at most 120; otherwise 80)" },
		{ '\0', "height", ARG_COUNT, &o.height, 12, 80, "N", "lines" },
		{ '\0', "ascii", ARG_FLAG, &o.ascii, .help = "no Braille" },
		{ '\0', "json", ARG_FLAG, &o.json, .help = "instead of the chart: what was read, one JSON object a line" },
		{ 0 },
	};
	/* clang-format on */
	const struct arg_spec spec = {
		.tool = "plot",
		.one_line = "draws columns of numbers as a line chart or heat maps",
		.synopsis = synopsis,
		.about = about,
		.args = rows,
		.examples = examples,
		.see_also = "tcplab(1), tcplab-ttcp(1), awk(1)",
	};
	int first = args_parse(&spec, argc, argv);
	o.file = first < argc && strcmp(argv[first], "-") != 0 ? argv[first] : NULL;
	if (first + 1 < argc)
		args_misuse("one FILE at a time: '%s' is too much", argv[first + 1]);
	const struct chart *c = &o.chart;
	if (o.heat && (c->x_label != NULL || c->y_label != NULL || o.series != NULL || o.dashed != NULL || c->log_x ||
		       c->log_y || c->x_is_size || o.width != 0))
		args_misuse("--heat has no axes, and no series");
	return o;
}

static void draw_chart(const struct options *o, struct table *t)
{
	struct chart_series series[SERIES_MAX];
	struct chart chart = make_chart(o, t, series);
	if (o->json)
		report_start(o);
	if (o->svg != NULL)
		write_svg(o, &chart, NULL);
	if (!o->json)
		print_chart(o, &chart);
}

static void draw_heat(const struct options *o, struct table *t)
{
	size_t row = heat_fill(&t->heat, t->value, t->name, t->n_columns, t->n_rows);
	if (row < t->n_rows)
		fail_line(o, t, "row %zu is about a pair that was there before", row + 1);
	if (o->json)
		report_start(o);
	if (o->svg != NULL)
		write_svg(o, NULL, &t->heat);
	if (!o->json)
		print_heat(o, &t->heat);
}

int main(int argc, char **argv)
{
	diag_tool = "plot";
	setvbuf(stdout, NULL, _IOLBF, 0);
	struct options o = parse_options(argc, argv);
	struct table t = { .source = o.file != NULL ? o.file : "standard input" };
	FILE *in = o.file != NULL ? fopen(o.file, "r") : stdin;
	if (in == NULL)
		fail(&o, "open", o.file);
	read_table(&o, &t, in);
	name_series(&t, o.series);
	if (o.heat)
		draw_heat(&o, &t);
	else
		draw_chart(&o, &t);
	if (o.json)
		report_total(&t);
	table_free(&t);
	return record_finish(0);
}
