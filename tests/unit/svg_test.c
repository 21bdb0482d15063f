/* svg_test.c - the parts of the document that carry the data; what it looks like only an eye can test. */
#include "cdefs.h"
#include "check.h"
#include "svg.h"

#include <math.h>
#include <stdlib.h>

static const double x[] = { 0, 1, 2, 3, 4 };

/* The document as a string that the caller frees. */
static char *draw(const struct chart *c)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	svg_chart(out, c);
	fclose(out);
	return text;
}

static char *draw_one(const double *y, size_t n)
{
	const struct chart_series series = { .label = "s", .x = x, .y = y, .n = n };
	const struct chart c = { .series = &series, .n_series = 1 };

	return draw(&c);
}

static size_t count(const char *text, const char *part)
{
	size_t n = 0;

	for (text = strstr(text, part); text != NULL; text = strstr(text + 1, part))
		n++;
	return n;
}

static bool check_has(const char *svg, const char *part)
{
	if (CHECK(strstr(svg, part) != NULL))
		return true;
	fprintf(stderr, "    not found: %s\n", part);
	return false;
}

/* Every chart is one complete document, and no arithmetic on gaps leaks into it. */
static void check_document(const char *svg)
{
	CHECK_INT(strncmp(svg, "<svg xmlns=\"http://www.w3.org/2000/svg\" ", 40), 0);
	CHECK_INT(strcmp(svg + strlen(svg) - 7, "</svg>\n"), 0);
	CHECK_INT(count(svg, "<svg"), 1);
	CHECK_INT(count(svg, "nan"), 0);
	CHECK_INT(count(svg, "inf"), 0);
	CHECK_INT(count(svg, "<text"), count(svg, "</text>"));
}

/* 648 units of width for x = 0..4, 300 of height for y = 0..10. */
static void test_line_and_marks(void)
{
	const double y[] = { 0, 5, 10, 2.5, 0 };
	char *svg = draw_one(y, 5);

	check_document(svg);
	check_has(svg, "<path class=\"line s0\" "
		       "d=\"M46.0,344.0h0L208.5,194.0L371.0,44.0L533.5,269.0L696.0,344.0\"/>\n");
	check_has(svg, "<path class=\"mark s0\" d=\"M533.5,269.0m-4,0a");
	CHECK_INT(count(svg, "class=\"mark s0\""), 5 + 1); /* and one in the legend */
	check_has(svg, "text-anchor=\"end\">10</text>");
	check_has(svg, ">s</text>");
	CHECK_INT(count(svg, "no data"), 0);
	free(svg);
}

static void test_gap_lifts_the_pen(void)
{
	const double y[] = { 0, NAN, 10, NAN, 0 };
	char *svg = draw_one(y, 5);

	check_document(svg);
	check_has(svg, " d=\"M46.0,344.0h0M371.0,44.0h0M696.0,344.0h0\"/>\n");
	CHECK_INT(count(svg, "class=\"mark s0\""), 3 + 1);
	free(svg);
}

static void test_degenerate_charts(void)
{
	const double gaps[] = { NAN, NAN }, point[] = { 3 }, flat[] = { 7, 7, 7 };
	const struct chart empty = { .title = "t" };
	char *svg = draw(&empty);

	check_document(svg);
	check_has(svg, ">no data</text>");
	free(svg);

	svg = draw_one(gaps, 2);
	check_document(svg);
	check_has(svg, ">no data</text>");
	check_has(svg, "<path class=\"line s0\" d=\"\"/>");
	free(svg);

	svg = draw_one(point, 1);
	check_document(svg);
	CHECK_INT(count(svg, "class=\"mark s0\""), 1 + 1);
	free(svg);

	svg = draw_one(flat, 3);
	check_document(svg);
	free(svg);
}

static void test_text_is_escaped(void)
{
	const struct chart_series series = { .label = "</text>\"&\x1b", .x = x, .y = x, .n = 2 };
	const struct chart c = {
		.title = "a < b && c > d", .x_label = "<x>", .y_label = "\xc2\xb5s", .series = &series, .n_series = 1
	};
	char *svg = draw(&c);

	check_document(svg);
	check_has(svg, "<title>a &lt; b &amp;&amp; c &gt; d</title>");
	check_has(svg, "class=\"title\">a &lt; b &amp;&amp; c &gt; d</text>");
	check_has(svg, ">&lt;/text&gt;&quot;&amp; </text>");
	check_has(svg, ">&lt;x&gt;</text>");
	check_has(svg, ">\xc2\xb5s</text>");
	free(svg);
}

/* A file that is no XML is refused by its viewers as a whole. */
static void test_text_is_valid(void)
{
	const struct chart c = { .title = "\xff\xc3\xa9\xed\xa0\x80\xef\xbf\xbf'\x7f" };
	char *svg = draw(&c);

	check_has(svg, "<title>\xef\xbf\xbd\xc3\xa9\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd&#39; </title>");
	free(svg);
}

static void test_size_ticks_and_dashes(void)
{
	const double size[] = { 1024, 32768, 1048576 }, rate[] = { 20, 700, 8000 };
	const struct chart_series series[] = {
		{ .label = "depth 1", .x = size, .y = rate, .n = 3 },
		{ .label = "predicted", .x = size, .y = rate, .n = 3, .dashed = true },
	};
	const struct chart c = { .log_x = true, .log_y = true, .x_is_size = true, .series = series, .n_series = 2 };
	char *svg = draw(&c), *again = draw(&c);

	check_document(svg);
	check_has(svg, ">1K</text>");
	check_has(svg, ">512K</text>");
	check_has(svg, ">1M</text>");
	check_has(svg, ">10k</text>");
	CHECK_INT(count(svg, "<path class=\"line dashed s1\""), 2); /* the line and its sample in the legend */
	CHECK_INT(count(svg, "<path class=\"line s0\""), 2);
	CHECK_STR(again, svg);
	free(svg);
	free(again);
}

/* A long series is a line without marks; many series share the looks, and the picture grows with the legend. */
static void test_many(void)
{
	static double many_x[100], many_y[100];
	struct chart_series series[30];

	for (size_t i = 0; i < 100; i++) {
		many_x[i] = (double)i;
		many_y[i] = (double)(i * i);
	}
	for (size_t s = 0; s < 30; s++)
		series[s] = (struct chart_series){ .label = "a label", .x = many_x, .y = many_y, .n = 100 };
	const struct chart c = { .series = series, .n_series = 30 };
	char *svg = draw(&c);

	check_document(svg);
	CHECK_INT(count(svg, "class=\"mark"), 0);
	CHECK_INT(count(svg, ">a label</text>"), 30);
	check_has(svg, "viewBox=\"0 0 720 460\"");
	free(svg);

	for (size_t s = 0; s < 30; s++)
		series[s].n = 2;
	svg = draw(&c);
	CHECK_INT(count(svg, "class=\"mark s0\""), 30 / 6 * (2 + 1));
	CHECK_INT(count(svg, "class=\"mark s5\""), 30 / 6 * (2 + 1));
	CHECK_INT(count(svg, "class=\"mark s6\""), 0);
	free(svg);
}

/* A band is an area: there along y, back along y_low. A gap in either edge ends a piece, and a piece may be one
 * point. */
static void test_band(void)
{
	const double high[] = { 10, 10, NAN, 5, 8 }, low[] = { 0, 5, 0, 5, NAN }, middle[] = { 5, 7.5, 4, 5, 4 };
	const struct chart_series series[] = {
		{ .label = "middle", .x = x, .y = middle, .n = 5 },
		{ .label = "bound", .x = x, .y = high, .y_low = low, .n = 5 },
	};
	const struct chart c = { .series = series, .n_series = 2 };
	char *svg = draw(&c);

	check_document(svg);
	check_has(svg, "path.band{");
	check_has(svg, "<path class=\"band s1\" "
		       "d=\"M46.0,44.0L208.5,44.0L208.5,194.0L46.0,344.0zM533.5,194.0L533.5,194.0z\"/>\n");
	CHECK_INT(count(svg, "<path class=\"band s1\""), 2); /* and one in the legend */
	CHECK_INT(count(svg, "class=\"mark s1\""), 0);
	CHECK_INT(count(svg, "class=\"line s1\""), 0);
	CHECK(strstr(strstr(svg, ">bound</text>"), "band s1") < strstr(strstr(svg, ">bound</text>"), "line s0"));
	free(svg);
}

static void test_band_of_gaps(void)
{
	const double gaps[] = { NAN, NAN };
	const struct chart_series series = { .x = x, .y = x, .y_low = gaps, .n = 2 };
	const struct chart c = { .series = &series, .n_series = 1 };
	char *svg = draw(&c);

	check_document(svg);
	check_has(svg, ">no data</text>");
	check_has(svg, "<path class=\"band s0\" d=\"\"/>");
	free(svg);
}

/* Lines with labels above the plot, each where it touches no other one: in a second row, or left out. */
static void test_markers(void)
{
	static const struct chart_mark marks[] = { { 0, "begin" }, { 1, "a < b" },   { 1.1, "near" },
						   { 4, "end" },   { 99, "beyond" }, { NAN, "never" } };
	const struct chart_series series = { .label = "s", .x = x, .y = x, .n = 5 };
	const struct chart plain = { .series = &series, .n_series = 1 };
	struct chart c = plain;
	c.marks = marks;
	c.n_marks = COUNT_OF(marks);
	char *svg = draw(&c), *without = draw(&plain);

	check_document(svg);
	CHECK_INT(count(svg, "<path class=\"axis marker\""), 4);
	check_has(svg, ">a &lt; b</text>");
	CHECK_INT(count(svg, "beyond") + count(svg, "never"), 0);
	check_has(svg, "<text x=\"232.8\" y=\"71.0\" class=\"marker\">near</text>");
	check_has(svg, "<text x=\"216.8\" y=\"55.0\" class=\"marker\">a &lt; b</text>"); /* a row higher */
	check_has(svg, "y=\"71.0\" class=\"marker\" text-anchor=\"end\">end</text>");    /* no room at the right */
	check_has(svg, "viewBox=\"0 0 720 412\"");
	check_has(without, "viewBox=\"0 0 720 380\"");
	CHECK_INT(count(without, "marker"), 0);
	free(svg);
	free(without);
}

static void test_many_markers(void)
{
	static struct chart_mark marks[100];
	const struct chart_series series = { .x = x, .y = x, .n = 5 };
	const struct chart c = { .series = &series, .n_series = 1, .marks = marks, .n_marks = 100 };

	for (size_t i = 0; i < 100; i++)
		marks[i] = (struct chart_mark){ (double)i / 25, "\xc3\xa9ight columns and twenty more of them" };
	char *svg = draw(&c);
	check_document(svg);
	CHECK_INT(count(svg, "<path class=\"axis marker\""), 100);
	CHECK(count(svg, "class=\"marker\"") >= 3 && count(svg, "class=\"marker\"") <= 15);
	CHECK_INT(count(svg, ">\xc3\xa9ight columns and twenty\xe2\x80\xa6</text>"), count(svg, "class=\"marker\""));
	free(svg);
}

enum { MANY = 6000 };

/* Of thousands of points the extremes are left; of each piece between gaps, too. */
static void test_dense(void)
{
	static double many_x[MANY], many_y[MANY];
	const struct chart_series series = { .x = many_x, .y = many_y, .n = MANY, .filled = true };
	const struct chart c = { .width = 480, .height = 200, .series = &series, .n_series = 1 };

	for (size_t i = 0; i < MANY; i++) {
		many_x[i] = (double)i;
		many_y[i] = i == 1234 ? 100 : i == 4321 ? -100 : i > 2000 && i < 3000 ? NAN : (double)(i % 7);
	}
	many_y[10] = NAN; /* a gap that nobody could see */
	char *svg = draw(&c);
	check_document(svg);
	CHECK(strlen(svg) < 40000);
	CHECK_INT(count(svg, "class=\"mark"), 0);
	char *line = strstr(svg, "<path class=\"line thin s0\"");
	*strchr(line, '>') = '\0';
	CHECK_INT(count(line, ",24.0"), 1); /* the spike up, and the one down: the ends of the axis */
	CHECK_INT(count(line, ",164.0"), 1);
	CHECK_INT(count(line, "h0"), 2); /* two pieces */
	line[strlen(line)] = '>';
	check_has(svg, "viewBox=\"0 0 480 200\"");
	free(svg);
}

static void test_area(void)
{
	const double y[] = { 0, 10, NAN, 5, 5 };
	const struct chart_series series = { .label = "s", .x = x, .y = y, .n = 5, .filled = true };
	const struct chart c = { .series = &series, .n_series = 1 };
	char *svg = draw(&c);

	check_document(svg);
	check_has(svg, "path.area{");
	check_has(svg, "<path class=\"area s0\" d=\"M46.0,344.0L46.0,344.0L208.5,44.0V344.0z"
		       "M533.5,344.0L533.5,194.0L696.0,194.0V344.0z\"/>\n");
	check_has(svg, "<path class=\"line s0\" d=\"M46.0,344.0h0L208.5,44.0M533.5,194.0h0L696.0,194.0\"/>\n");
	free(svg);
}

/* Over time what stays the same takes no room. */
static void test_levels(void)
{
	static double many_x[300], many_y[300];
	const struct chart_series series = { .x = many_x, .y = many_y, .n = 300 };
	const struct chart c = { .x_is_time = true, .series = &series, .n_series = 1 };

	for (size_t i = 0; i < 300; i++) {
		many_x[i] = (double)i;
		many_y[i] = i < 100 ? 1 : i < 200 ? NAN : 2;
	}
	char *svg = draw(&c);
	check_document(svg);
	char *line = strstr(svg, "<path class=\"line s0\"");
	*strchr(line, '>') = '\0';
	CHECK_INT(count(line, "M"), 2);
	CHECK_INT(count(line, "h0"), 2);
	CHECK_INT(count(line, "L"), 2);
	free(svg);
}

/* In a page there may be several: nothing of one reaches another one, or the page. */
static void test_inline(void)
{
	const struct chart_series series = { .label = "s", .x = x, .y = x, .n = 5 };
	const struct chart c = { .title = "CPU <\"'", .width = 480, .height = 200, .series = &series, .n_series = 1 };
	char *svg = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&svg, &len);

	svg_inline(out, &c);
	fclose(out);
	CHECK_INT(strncmp(svg,
			  "<svg class=\"chart\" role=\"img\" viewBox=\"0 0 480 200\" "
			  "aria-label=\"CPU &lt;&quot;&#39;\">\n",
			  70),
		  0);
	CHECK_INT(strcmp(svg + strlen(svg) - 7, "</svg>\n"), 0);
	CHECK_INT(count(svg, "<style") + count(svg, " id=") + count(svg, "xmlns") + count(svg, "url("), 0);
	check_has(svg, ">s</text>"); /* the legend, beside the title */
	free(svg);

	out = open_memstream(&svg, &len);
	svg_inline_style(out);
	fclose(out);
	for (const char *line = svg; *line != '\0'; line += strcspn(line, "\n") + 1)
		CHECK(strncmp(line, "svg.chart ", 10) == 0 || line[0] == '@' || line[0] == '}');
	free(svg);
}

/* Two charts in one document: the second begins where the first ends, and the wider labels of one move both axes. */
static void test_charts_under_each_other(void)
{
	const double thousands[] = { 0, 2500, 5000, 7500, 9000 };
	const struct chart_series series[] = { { .label = "a", .x = x, .y = thousands, .n = 5 },
					       { .label = "b", .x = x, .y = x, .n = 5 } };
	const struct chart first = { .title = "one", .x_label = "x", .series = &series[0], .n_series = 1 };
	const struct chart second = { .title = "two", .series = &series[1], .n_series = 1 };
	const struct chart *const both[] = { &first, &second };
	char *svg = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&svg, &len);

	svg_charts(out, both, 2);
	fclose(out);
	check_document(svg);
	CHECK_INT(count(svg, "<title>"), 1);
	check_has(svg, "<title>one</title>");
	check_has(svg, ">two</text>");
	/* 24 + 30 + 20 above a plot of 300, 56 below it with an x label, 36 without. */
	check_has(svg, "viewBox=\"0 0 720 840\"");
	check_has(svg, "<rect class=\"back\" width=\"720\" height=\"840\"");
	check_has(svg, "M53.0,374.0L696.0,374.0"); /* the x axes */
	check_has(svg, "M53.0,804.0L696.0,804.0");
	check_has(svg, "<text x=\"53.0\" y=\"460.0\" class=\"title\">two</text>");
	free(svg);
}

int main(void)
{
	test_line_and_marks();
	test_gap_lifts_the_pen();
	test_degenerate_charts();
	test_text_is_escaped();
	test_text_is_valid();
	test_size_ticks_and_dashes();
	test_many();
	test_band();
	test_band_of_gaps();
	test_charts_under_each_other();
	test_markers();
	test_many_markers();
	test_dense();
	test_area();
	test_levels();
	test_inline();
	return check_done();
}
