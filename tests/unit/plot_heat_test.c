/* plot_heat_test.c - names become numbers, and lines become matrices. */
#include "check.h"
#include "../../tools/plot/heat.h"

#include <math.h>

static void test_names(void)
{
	struct heat h = { 0 };
	char name[16];
	CHECK_INT(heat_name(&h.left, "a"), 0);
	CHECK_INT(heat_name(&h.left, "b"), 1);
	CHECK_INT(heat_name(&h.left, "a"), 0);
	CHECK_INT(heat_name(&h.above, "b"), 0);
	for (size_t i = 2; i < HEAT_NAMES_MAX; i++) {
		snprintf(name, sizeof(name), "%zu", i);
		CHECK_INT(heat_name(&h.left, name), i);
	}
	CHECK_INT(heat_name(&h.left, "one too many"), HEAT_NAMES_MAX);
	CHECK_INT(heat_name(&h.left, "b"), 1);
	CHECK_INT(h.left.n, HEAT_NAMES_MAX);
	heat_free(&h);
}

static void test_fill(void)
{
	double left[] = { 0, 0, 1 }, above[] = { 0, 1, 0 }, rate[] = { 10, 20, 30 }, rtt[] = { 1, NAN, 3 };
	double *const column[] = { left, above, rate, rtt };
	char first[] = "rate", second[] = "rtt";
	char *const title[] = { NULL, NULL, first, second };
	struct heat h = { 0 };
	heat_name(&h.left, "a");
	heat_name(&h.left, "b");
	heat_name(&h.above, "x");
	heat_name(&h.above, "y");
	CHECK_INT(heat_fill(&h, column, title, 4, 3), 3);
	CHECK_INT(h.n_maps, 2);
	CHECK_STR(h.map[1].title, "rtt");
	CHECK_STR(h.map[0].columns[1], "y");
	CHECK(h.map[0].value[0] == 10 && h.map[0].value[1] == 20 && h.map[0].value[2] == 30 &&
	      isnan(h.map[0].value[3]));
	CHECK(h.map[1].value[0] == 1 && isnan(h.map[1].value[1]) && h.map[1].value[2] == 3);
	heat_free(&h);
}

/* The same pair again: the second line is named. */
static void test_twice(void)
{
	double left[] = { 0, 0 }, above[] = { 0, 0 }, rate[] = { 10, 20 };
	double *const column[] = { left, above, rate };
	char *const title[] = { NULL, NULL, NULL };
	struct heat h = { 0 };
	heat_name(&h.left, "a");
	heat_name(&h.above, "x");
	CHECK_INT(heat_fill(&h, column, title, 3, 2), 1);
	heat_free(&h);
}

int main(void)
{
	test_names();
	test_fill();
	test_twice();
	return check_done();
}
