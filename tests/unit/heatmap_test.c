/* heatmap_test.c - the scale, the labels, and the parts of both drawings that carry the data. */
#include "check.h"
#include "heatmap.h"

#include <math.h>
#include <stdlib.h>

static const char *const hosts[] = { "pc1", "pc2" };

static struct heatmap make(const double value[static 4])
{
	return (struct heatmap){
		.title = "Mbit/s", .rows = hosts, .n_rows = 2, .columns = hosts, .n_columns = 2, .value = value
	};
}

static char *draw(const char *title, const struct heatmap *maps, size_t n)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	heatmap_svg(out, title, maps, n);
	fclose(out);
	return text;
}

static char *print(const struct heatmap *map, bool utf8)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	heatmap_print(out, map, utf8);
	fclose(out);
	return text;
}

static size_t count(const char *text, const char *part)
{
	size_t n = 0;
	for (text = strstr(text, part); text != NULL; text = strstr(text + 1, part))
		n++;
	return n;
}

static void check_place(const struct heatmap_scale *s, double v, double want)
{
	double got = heatmap_place(s, v);
	if (!CHECK(fabs(got - want) < 1e-9))
		fprintf(stderr, "    %g: got %g, want %g\n", v, got, want);
}

static void test_scale(void)
{
	const double near[] = { NAN, 941, 938, NAN }, far[] = { 1, 10, 100, NAN }, below[] = { -10, 10, 0, 5 };
	struct heatmap map = make(near);
	struct heatmap_scale s = heatmap_scale(&map);
	CHECK(!s.log && !s.empty && s.lo == 0 && s.hi == 941);
	check_place(&s, 941, 1);
	check_place(&s, 470.5, 0.5);
	CHECK(isnan(heatmap_place(&s, (double)NAN)));
	map = make(far);
	s = heatmap_scale(&map);
	CHECK(s.log && s.lo == 1 && s.hi == 100);
	check_place(&s, 1, 0);
	check_place(&s, 10, 0.5);
	map = make(below);
	s = heatmap_scale(&map);
	CHECK(!s.log && s.lo == -10);
	check_place(&s, 0, 0.5);
}

/* A ratio of 20 is where the scale changes. */
static void test_scale_bounds(void)
{
	const double less[] = { 1, 19.9, NAN, NAN }, just[] = { 1, 20, NAN, NAN }, zero[] = { 0, 20, NAN, NAN };
	const double none[] = { NAN, (double)INFINITY, NAN, NAN }, zeros[] = { 0, 0, 0, 0 };
	struct heatmap map = make(less);
	CHECK(!heatmap_scale(&map).log);
	map = make(just);
	CHECK(heatmap_scale(&map).log);
	map = make(zero);
	CHECK(!heatmap_scale(&map).log);
	map = make(none);
	CHECK(heatmap_scale(&map).empty);
	map = make(zeros);
	struct heatmap_scale s = heatmap_scale(&map);
	CHECK(!s.empty);
	check_place(&s, 0, 1);
}

static void check_label(double v, const char *want)
{
	char text[HEATMAP_LABEL_SIZE];
	CHECK_STR(heatmap_label(v, text), want);
}

static void test_labels(void)
{
	check_label(0, "0");
	check_label(0.012345, "0.0123");
	check_label(9.414, "9.41");
	check_label(941.4, "941");
	check_label(999.4, "999");
	check_label(999.6, "1000");
	check_label(12345.6, "12346");
	check_label(-12345.6, "-12346");
	check_label(999999.4, "999999");
	check_label(1234567, "1.23e+06");
	check_label((double)NAN, "");
}

static void test_svg(void)
{
	const double rate[] = { NAN, 941, 94.1, 0 };
	const struct heatmap map = make(rate);
	char *svg = draw("a < b", &map, 1), *again = draw("a < b", &map, 1);
	CHECK_INT(strncmp(svg, "<svg xmlns=", 11), 0);
	CHECK_INT(strcmp(svg + strlen(svg) - 7, "</svg>\n"), 0);
	CHECK_STR(again, svg);
	CHECK_INT(count(svg, "a &lt; b"), 2);
	CHECK_INT(count(svg, ">pc1</text>"), 2);
	CHECK_INT(count(svg, "class=\"gap\""), 1);
	CHECK_INT(count(svg, "class=\"cell\""), 3 + 10);
	CHECK_INT(count(svg, ">Mbit/s</text>"), 1);
	/* The strongest has the colour of the paper on it, the weakest not. */
	CHECK_INT(count(svg, "class=\"strong\" text-anchor=\"middle\">941</text>"), 1);
	CHECK_INT(count(svg, "class=\"strong\""), 1);
	CHECK_INT(count(svg, "fill-opacity=\"1.00\""), 2);
	CHECK_INT(count(svg, "nan"), 0);
	CHECK_INT(count(svg, "<text"), count(svg, "</text>"));
	CHECK_INT(count(svg, "prefers-color-scheme:dark"), 1);
	free(svg);
	free(again);
}

static void test_svg_of_several(void)
{
	const double rate[] = { NAN, 1, 100, NAN }, none[] = { NAN, NAN, NAN, NAN };
	const struct heatmap maps[] = { make(rate), make(none) };
	char *svg = draw(NULL, maps, 2);
	CHECK_INT(count(svg, "<svg"), 1);
	CHECK_INT(count(svg, "<title>"), 0);
	CHECK_INT(count(svg, ">Mbit/s</text>"), 2);
	CHECK_INT(count(svg, ">no data</text>"), 1);
	CHECK_INT(count(svg, ">(logarithmic)</text>"), 1);
	free(svg);
}

static void test_print(void)
{
	const double rate[] = { NAN, 941, 94.1, 0 };
	const struct heatmap map = make(rate);
	char *text = print(&map, false);
	CHECK_STR(text, "Mbit/s\n"
			"      pc1   pc2\n"
			"pc1     -   941\n"
			"pc2  94.1     0\n");
	free(text);
	text = print(&map, true);
	CHECK_STR(text, "Mbit/s\n"
			"        pc1     pc2\n"
			"pc1       -   █ 941\n"
			"pc2  ░ 94.1     ░ 0\n");
	free(text);
}

int main(void)
{
	test_scale();
	test_scale_bounds();
	test_labels();
	test_svg();
	test_svg_of_several();
	test_print();
	return check_done();
}
