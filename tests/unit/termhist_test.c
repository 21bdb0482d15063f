/* termhist_test.c - whole pictures, small enough to check by eye, and rules that hold at every size. */
#include "cdefs.h"
#include "check.h"
#include "prng.h"
#include "termhist.h"

#include <stdbool.h>
#include <stdlib.h>

static struct hist h;

/* The picture as a string that the caller frees. */
static char *draw(unsigned width, unsigned height, bool utf8)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	termhist_draw(out, &h, width, height, utf8);
	fclose(out);
	return text;
}

static void add_n(uint64_t v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		hist_add(&h, v);
}

static void begin(void)
{
	h = (struct hist){ 0 };
}

static void check_picture(unsigned width, unsigned height, bool utf8, const char *want)
{
	char *picture = draw(width, height, utf8);
	CHECK_STR(picture, want);
	free(picture);
}

static void test_empty(void)
{
	begin();
	check_picture(80, 20, true, "no data\n");
}

static void test_one_value(void)
{
	begin();
	add_n(1250000, 3);
	check_picture(40, 20, false, "  1.25 ms |###############| 3  100.000 %\n");
}

/* 10 to 13 ns are cells of their own. The least bar is a dot: one of twenty is less than half of a '#'. */
static void test_ascii_picture(void)
{
	begin();
	add_n(10, 5);
	add_n(11, 40);
	add_n(12, 1);
	add_n(14, 4);
	check_picture(40, 20, false,
		      "    10 ns |##            |  5   10.000 %\n"
		      "    11 ns |##############| 40   90.000 %\n"
		      "    12 ns |.             |  1   92.000 %\n"
		      "    13 ns |              |  0   92.000 %\n"
		      "    14 ns |#             |  4  100.000 %\n");
}

static void test_utf8_picture(void)
{
	begin();
	add_n(10, 5);
	add_n(11, 40);
	add_n(12, 1);
	add_n(14, 4);
	check_picture(40, 20, true,
		      "    10 ns |█▊            |  5   10.000 %\n"
		      "    11 ns |██████████████| 40   90.000 %\n"
		      "    12 ns |▍             |  1   92.000 %\n"
		      "    13 ns |              |  0   92.000 %\n"
		      "    14 ns |█▍            |  4  100.000 %\n");
}

/* Five cells on four lines: two to a line, three lines. */
static void test_ranges_of_several_cells(void)
{
	begin();
	add_n(10, 1);
	add_n(11, 1);
	add_n(12, 1);
	add_n(14, 1);
	check_picture(40, 4, false,
		      "    10 ns |###############| 2   50.000 %\n"
		      "    12 ns |########       | 1   75.000 %\n"
		      "    14 ns |########       | 1  100.000 %\n");
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

/* Whatever is asked for: never more lines, every line equally wide, the first and the last one not empty, all is counted. */
static void check_bounds(unsigned width, unsigned height, bool utf8)
{
	size_t lines;
	char *picture = draw(width, height, utf8);
	size_t widest = measure(picture, &lines), len = strlen(picture);

	width = width < 40 ? 40 : width > 240 ? 240 : width;
	height = height < 4 ? 4 : height > 60 ? 60 : height;
	CHECK_INT(widest, width);
	CHECK(lines <= height);
	CHECK(lines > height / 2);
	CHECK(len > 11 && strcmp(picture + len - 11, " 100.000 %\n") == 0);
	CHECK(strstr(picture, " 100.000 %") == picture + len - 11); /* only there: the last range is not empty */
	free(picture);
}

static void test_bounds(void)
{
	static const unsigned sizes[] = { 0, 39, 40, 81, 240, 4294967295 };

	begin();
	for (uint64_t i = 0; i < 3000; i++)
		hist_add(&h, 20000 + (prng_word(1, i) >> (44 + i % 20)));
	for (size_t i = 0; i < COUNT_OF(sizes) * COUNT_OF(sizes) * 2; i++)
		check_bounds(sizes[i / 2 % COUNT_OF(sizes)], sizes[i / 2 / COUNT_OF(sizes)], i % 2);
}

/* From the first cell to the last one. */
static void test_extremes(void)
{
	size_t lines;

	begin();
	hist_add(&h, 0);
	hist_add(&h, UINT64_MAX);
	char *picture = draw(80, 60, true);
	CHECK(measure(picture, &lines) <= 85); /* 584 years need a longer label */
	CHECK(lines > 30 && lines <= 60);
	free(picture);
}

int main(void)
{
	test_empty();
	test_one_value();
	test_ascii_picture();
	test_utf8_picture();
	test_ranges_of_several_cells();
	test_bounds();
	test_extremes();
	return check_done();
}
