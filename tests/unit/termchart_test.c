/* termchart_test.c - whole pictures, small enough to check by eye, and rules that hold at every size. */
#include "cdefs.h"
#include "check.h"
#include "termchart.h"

#include <math.h>
#include <stdlib.h>

static const double x[] = { 0, 1, 2, 3, 4 };
static const double up[] = { 0, 2.5, 5, 7.5, 10 }, broken[] = { 10, 10, NAN, 0, 0 };

static const struct chart_series two[] = {
	{ .label = "up", .x = x, .y = up, .n = 5 },
	{ .label = "broken", .x = x, .y = broken, .n = 5 },
};

/* The picture as a string that the caller frees. */
static char *draw(const struct chart *c, unsigned width, unsigned height, bool utf8)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	termchart_draw(out, c, width, height, utf8);
	fclose(out);
	return text;
}

static void test_ascii_picture(void)
{
	const struct chart c = { .title = "Title", .x_label = "x", .y_label = "y", .series = two, .n_series = 2 };
	char *picture = draw(&c, 40, 14, false);

	CHECK_STR(picture, "    Title\n"
			   "    o up       * broken\n"
			   "    y\n"
			   "10 +*'''''''*                      ..o\n"
			   "   |                           ..''\n"
			   "   |                       ..o'\n"
			   "   |                   ..''\n"
			   " 5 +             ...'o'\n"
			   "   |        o.'''\n"
			   "   |    ..''\n"
			   " 0 +o.''                     *.......*\n"
			   "   ++---+---+---+----+---+---+---+---+\n"
			   "    0  0.5  1  1.5   2  2.5  3  3.5  4\n"
			   "                    x\n");
	free(picture);
}

static void test_braille_picture(void)
{
	const struct chart c = { .series = two, .n_series = 2 };
	char *picture = draw(&c, 40, 12, true);

	CHECK_STR(picture, "    ● up       ■ broken\n"
			   "10 ┤■⠉⠉⠉⠉⠉⠉⠉■                     ⢀⡠⠔●\n"
			   "   │                          ⢀⡠⠔⠊⠁\n"
			   "   │                       ⣀⠤●⠁\n"
			   "   │                   ⢀⡠⠔⠉\n"
			   " 5 ┤               ⢀⡠●⠊⠁\n"
			   "   │           ⢀⡠⠔⠊⠁\n"
			   "   │       ⢀●⠔⠊⠁\n"
			   "   │   ⢀⡠⠔⠊⠁\n"
			   " 0 ┤●⠔⠊⠁                     ■⣀⣀⣀⣀⣀⣀⣀■\n"
			   "   └┬───┬───┬───┬────┬───┬───┬───┬───┬\n"
			   "    0  0.5  1  1.5   2  2.5  3  3.5  4\n");
	free(picture);
}

static void test_markers_and_area(void)
{
	static const struct chart_mark marks[] = { { 1, "one" }, { 1.5, "no room" }, { 4, "far" }, { 9, "beyond" } };
	static const double steps[] = { 0, 5, 5, NAN, 10 };
	const struct chart_series series = { .label = "up", .x = x, .y = steps, .n = 5, .filled = true };
	const struct chart c = { .series = &series, .n_series = 1, .marks = marks, .n_marks = 4 };
	char *picture = draw(&c, 40, 12, false);

	CHECK_STR(picture, "    o up\n"
			   "            one no room            far\n"
			   "10 +        '   '                    o\n"
			   "   |        '   '                    :\n"
			   "   |        '   '                    :\n"
			   "   |        '   '                    :\n"
			   " 5 +       .o::::::::o               :\n"
			   "   |     .::::::::::::               :\n"
			   "   |  .:::::::::::::::               :\n"
			   " 0 +o:::::::::::::::::               :\n"
			   "   ++---+---+---+----+---+---+---+---+\n"
			   "    0  0.5  1  1.5   2  2.5  3  3.5  4\n");
	free(picture);
}

/* The columns of the widest line, and the number of lines. */
static size_t measure(const char *picture, size_t *lines)
{
	size_t widest = 0, columns = 0;

	for (*lines = 0; *picture != '\0'; picture++) {
		if (*picture == '\n') {
			widest = columns > widest ? columns : widest;
			columns = 0;
			++*lines;
		} else if (((unsigned char)*picture & 0xc0) != 0x80) {
			columns++;
		}
	}
	return widest;
}

static void test_bounds(void)
{
	static const unsigned sizes[] = { 0, 1, 39, 40, 41, 57, 80, 81, 132, 239, 240, 241, 10000, 4294967295 };
	const struct chart c = { .title = "A title that is longer than forty columns are wide",
				 .y_label = "y",
				 .x_label = "a label that is longer than forty columns are wide",
				 .series = two,
				 .n_series = 2 };

	for (size_t i = 0; i < COUNT_OF(sizes) * COUNT_OF(sizes) * 2; i++) {
		size_t width = sizes[i / 2 % COUNT_OF(sizes)], height = sizes[i / 2 / COUNT_OF(sizes)], lines;
		char *picture = draw(&c, (unsigned)width, (unsigned)height, i % 2);
		size_t widest = measure(picture, &lines);
		free(picture);
		width = width < 40 ? 40 : width > 240 ? 240 : width;
		height = height < 12 ? 12 : height > 80 ? 80 : height;
		if (!CHECK(widest <= width) || !CHECK(widest + 3 >= width) || !CHECK_INT(lines, height))
			return;
	}
}

static void test_long_legend_and_labels(void)
{
	static const double far[] = { 1700000000, 1700000005, 1700000010, 1700000015, 1700000020 };
	struct chart_series many[20];
	size_t lines;

	for (size_t s = 0; s < COUNT_OF(many); s++)
		many[s] = (struct chart_series){ .label = "it takes up a row by itself", .x = far, .y = far, .n = 5 };
	const struct chart c = { .series = many, .n_series = COUNT_OF(many) };
	char *picture = draw(&c, 40, 12, false);

	CHECK(measure(picture, &lines) <= 40);
	CHECK_INT(lines, 20 + 4 + 2); /* the plot keeps its 4 rows */
	free(picture);
}

static void test_degenerate_charts(void)
{
	const double gaps[] = { NAN, NAN }, point[] = { 3 };
	const struct chart empty = { .log_x = true, .x_is_size = true };
	char *picture = draw(&empty, 60, 12, false);
	CHECK(strstr(picture, "no data\n") != NULL);
	free(picture);

	struct chart_series series = { .x = x, .y = gaps, .n = 2 };
	const struct chart one = { .series = &series, .n_series = 1 };
	picture = draw(&one, 60, 12, true);
	CHECK(strstr(picture, "no data\n") != NULL);
	free(picture);

	series = (struct chart_series){ .x = x, .y = point, .n = 1 };
	picture = draw(&one, 60, 12, false);
	CHECK(strstr(picture, "no data") == NULL);
	CHECK(strchr(picture, 'o') != strrchr(picture, 'o')); /* in the legend and in the plot */
	free(picture);
}

/* Marks keep their distance, so that the line between them stays visible; all other cells of the line are dots. */
static void test_dense_points(void)
{
	double many_x[500], many_y[500];
	for (int i = 0; i < 500; i++) {
		many_x[i] = i;
		many_y[i] = 1;
	}
	const struct chart_series series = { .x = many_x, .y = many_y, .n = 500 };
	const struct chart c = { .series = &series, .n_series = 1 };
	char *picture = draw(&c, 40, 12, false);

	CHECK(strstr(picture, "+o'''o'''o'''o'''") != NULL);
	free(picture);
}

/* A title is cut at the plot's right end, by characters and not by bytes. */
static void test_clipping(void)
{
	const struct chart c = { .title = "\xc2\xb5\xc2\xb5\xc2\xb5 567890 234567890 234567890 234567890 234567890",
				 .series = two,
				 .n_series = 2 };
	char *picture = draw(&c, 40, 12, false);

	*strchr(picture, '\n') = '\0';
	CHECK_STR(picture, "    \xc2\xb5\xc2\xb5\xc2\xb5 567890 234567890 234567890 234");
	free(picture);
}

/* Where two marks meet, the first series has it; a dashed series draws no line. */
static void test_overlap_and_dashes(void)
{
	struct chart_series same[] = { two[0], two[0] };
	const struct chart c = { .series = same, .n_series = 2 };
	char *picture = draw(&c, 40, 12, false);
	CHECK(strchr(picture, '*') == strrchr(picture, '*')); /* only in the legend */
	free(picture);

	same[0].dashed = same[1].dashed = true;
	picture = draw(&c, 40, 12, false);
	CHECK(strpbrk(picture, "':") == NULL);
	free(picture);
}

/* A band is two edges with the same mark; what lies in it stays visible. */
static void test_band(void)
{
	const double high[] = { 10, 10, NAN, 10, 10 }, low[] = { 0, 0, 0, NAN, 5 };
	const struct chart_series series[] = { { .label = "band", .x = x, .y = high, .y_low = low, .n = 5 } };
	const struct chart c = { .series = series, .n_series = 1 };
	char *picture = draw(&c, 40, 12, false);

	CHECK_STR(picture, "    o band\n"
			   "10 +o'''''''o                        o\n"
			   "   |\n"
			   "   |\n"
			   "   |\n"
			   " 5 +                                 o\n"
			   "   |\n"
			   "   |\n"
			   "   |\n"
			   " 0 +o.......o\n"
			   "   ++---+---+---+----+---+---+---+---+\n"
			   "    0  0.5  1  1.5   2  2.5  3  3.5  4\n");
	free(picture);
}

/* Labels may come from a peer: none may move the cursor. */
static void test_control_characters(void)
{
	struct chart_series series = { .label = "\x1b[2J\x7f\r", .x = x, .y = up, .n = 5 };
	const struct chart c = { .title = "a\nb\x1b", .x_label = "\t", .series = &series, .n_series = 1 };
	char *picture = draw(&c, 40, 12, false);

	CHECK(strpbrk(picture, "\x1b\x7f\r\t") == NULL);
	CHECK(strstr(picture, "a?b?\n") != NULL);
	CHECK(strstr(picture, "o ?[2J??\n") != NULL);
	free(picture);
}

int main(void)
{
	test_ascii_picture();
	test_braille_picture();
	test_markers_and_area();
	test_bounds();
	test_long_legend_and_labels();
	test_degenerate_charts();
	test_dense_points();
	test_clipping();
	test_overlap_and_dashes();
	test_band();
	test_control_characters();
	return check_done();
}
