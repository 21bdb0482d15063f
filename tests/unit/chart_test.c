/* chart_test.c - the ends and ticks of axes: the familiar cases by name, the odd ones by rule. */
#include "cdefs.h"
#include "chart.h"
#include "check.h"
#include "prng.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

/* A chart of one series. */
struct one {
	struct chart_series series;
	struct chart chart;
};

static const struct chart *chart_of(struct one *o, const double *x, const double *y, size_t n)
{
	o->series = (struct chart_series){ .x = x, .y = y, .n = n };
	o->chart.series = &o->series;
	o->chart.n_series = 1;
	return &o->chart;
}

/* The labels of all ticks, separated by spaces. */
static const char *ticks_of(const struct chart_axis *a)
{
	static char all[CHART_TICKS_MAX * (CHART_LABEL_SIZE + 1)];
	char text[CHART_LABEL_SIZE];
	size_t len = 0;

	all[0] = '\0';
	for (size_t i = 0; i < a->n_ticks; i++)
		len += (size_t)snprintf(all + len, sizeof(all) - len, "%s%s", i > 0 ? " " : "",
					chart_tick_label(a, a->ticks[i], text));
	return all;
}

static void check_x(double from, double to, bool log, bool is_size, size_t columns, const char *want)
{
	struct one o = { .chart = { .log_x = log, .x_is_size = is_size } };
	double x[] = { from, to }, y[] = { 1, 1 };
	struct chart_axis a = chart_x_axis(chart_of(&o, x, y, 2), columns);

	CHECK_STR(ticks_of(&a), want);
}

static void test_x_ticks(void)
{
	check_x(0, 10, false, false, 80, "0 1 2 3 4 5 6 7 8 9 10");
	check_x(0, 9.7, false, false, 80, "0 1 2 3 4 5 6 7 8 9");
	check_x(0, 10, false, false, 20, "0 2 4 6 8 10");
	check_x(0, 0.3, false, false, 24, "0 0.1 0.2 0.3");
	check_x(-1, 1, false, false, 20, "-1 -0.5 0 0.5 1");
	check_x(-1, 1, false, false, 0, "-1 0 1");
	check_x(0, 200000, false, false, 30, "0 50k 100k 150k 200k");
	check_x(1, 1e6, true, false, 60, "1 10 100 1k 10k 100k 1M");
	check_x(1, 100, true, false, 60, "1 2 5 10 20 50 100");
	check_x(1024, 1048576, true, true, 80, "1K 2K 4K 8K 16K 32K 64K 128K 256K 512K 1M");
	check_x(1024, 1048576, true, true, 40, "1K 4K 16K 64K 256K 1M");
	check_x(1500, 1000000, true, true, 40, "4K 16K 64K 256K");
	check_x(1, 1073741824, true, true, 40, "1 32 1K 32K 1M 32M 1G");
	check_x(1, 0x1p40, true, true, 24, "1 1K 1M 1G 1T");
	check_x(0, 4096, false, true, 36, "0 1K 2K 3K 4K");
	check_x(0, 1024, false, true, 36, "0 256 512 768 1K");
	check_x(300, 400, true, false, 80, "200 500"); /* no round number between: the ends move out */
}

static void check_time(double from, double to, size_t columns, const char *want)
{
	struct one o = { .chart = { .x_is_time = true } };
	double x[] = { from, to }, y[] = { 1, 1 };
	struct chart_axis a = chart_x_axis(chart_of(&o, x, y, 2), columns);

	CHECK_STR(ticks_of(&a), want);
	for (size_t i = 0; i < a.n_ticks; i++)
		CHECK(a.ticks[i] >= a.lo && a.ticks[i] <= a.hi);
}

static void test_time_ticks(void)
{
	const double noon = 12 * 3600;

	check_time(noon + 1, noon + 9, 200,
		   "12:00:01 12:00:02 12:00:03 12:00:04 12:00:05 12:00:06 12:00:07 12:00:08 12:00:09");
	check_time(noon + 1, noon + 31, 50, "12:00:10 12:00:20 12:00:30");
	check_time(noon + 1, noon + 61, 50, "12:00:15 12:00:30 12:00:45 12:01:00");
	check_time(noon + 7, noon + 607, 60, "12:02 12:04 12:06 12:08 12:10");
	check_time(noon + 7, noon + 7207, 60, "12:15 12:30 12:45 13:00 13:15 13:30 13:45 14:00");
	check_time(86400 - 400, 86400 + 400, 40, "23:55 00:00 00:05"); /* past midnight */
	check_time(0, 86400, 100, "00:00 02:00 04:00 06:00 08:00 10:00 12:00 14:00 16:00 18:00 20:00 22:00 00:00");
	check_time(0, 3 * 86400, 30, "00:00 00:00 00:00 00:00");
	check_time(noon, noon, 60, "11:59:59 12:00:00 12:00:01");
	check_time(-1.5, 1.5, 60, "23:59:59 00:00:00 00:00:01");
}

/* The ends that somebody asks for: whatever lies beyond is a gap, also for the other axis. */
static void test_window(void)
{
	struct one o = { .chart = { .x_from = 10, .x_to = 20 } };
	double x[] = { 9, 10, 15, 20, 21 }, y[] = { 100, 1, 2, 1, 100 };
	const struct chart *c = chart_of(&o, x, y, 5);
	struct chart_axis ax = chart_x_axis(c, 60), ay = chart_y_axis(c, 5);

	CHECK(ax.lo == 10 && ax.hi == 20 && ay.hi == 2);
	for (size_t i = 0; i < 5; i++)
		CHECK_INT(chart_is_gap(c, &c->series[0], i), i == 0 || i == 4);
	ax = chart_x_axis(chart_of(&o, x, y, 1), 60); /* nothing in it */
	CHECK(ax.empty && ax.lo == 10 && ax.hi == 20);
}

static void test_y_of_memory(void)
{
	struct one o = { .chart = { .y_is_size = true } };
	double x[] = { 1, 2 }, y[] = { 190.0 * 1048576, 200.0 * 1048576 };
	struct chart_axis a = chart_y_axis(chart_of(&o, x, y, 2), 5);

	CHECK_STR(ticks_of(&a), "188M 192M 196M 200M");
	o.chart.y_from_zero = true;
	a = chart_y_axis(chart_of(&o, x, y, 2), 5);
	CHECK_STR(ticks_of(&a), "0 64M 128M 192M 256M");
	y[0] = y[1] = 0;
	a = chart_y_axis(chart_of(&o, x, y, 2), 5);
	CHECK(a.lo == 0 && a.hi > 0);
}

static void check_y(double from, double to, bool log, size_t max_ticks, const char *want)
{
	struct one o = { .chart = { .log_y = log } };
	double x[] = { 1, 2 }, y[] = { from, to };
	struct chart_axis a = chart_y_axis(chart_of(&o, x, y, 2), max_ticks);

	CHECK_STR(ticks_of(&a), want);
	CHECK(a.lo == a.ticks[0] && a.hi == a.ticks[a.n_ticks - 1]);
	CHECK(!a.empty);
}

static void test_y_ticks(void)
{
	check_y(20, 8000, false, 9, "0 1000 2000 3000 4000 5000 6000 7000 8000");
	check_y(20, 8000, false, 6, "0 2000 4000 6000 8000");
	check_y(20, 9001, false, 6, "0 2k 4k 6k 8k 10k");
	check_y(20, 8000, true, 9, "20 50 100 200 500 1k 2k 5k 10k");
	check_y(20, 8000, true, 6, "10 100 1k 10k");
	check_y(980, 1020, false, 6, "980 990 1000 1010 1020"); /* far from 0: no 0 */
	check_y(-3, 5, false, 6, "-4 -2 0 2 4 6");
	check_y(1e-6, 1e-3, true, 4, "1e-06 1e-05 0.0001 0.001");
	check_y(7, 7, false, 6, "0 5 10 15");
	check_y(7, 7, true, 6, "2 5 10 20");
	check_y(0, 0, false, 4, "0 0.5 1");
	check_y(0, 100, false, 0, "0 50 100"); /* 3 ticks is the least */
}

/* A value below 0 has no place on a log axis, and its point no say in the other axis either. */
static void test_gaps(void)
{
	struct one o = { .chart = { .log_y = true } };
	const double x[] = { 0, 1, 2, 3, 4, 5 }, y[] = { 0, -5, NAN, INFINITY, 10, 100 };
	const struct chart *c = chart_of(&o, x, y, COUNT_OF(x));
	struct chart_axis ax = chart_x_axis(c, 60), ay = chart_y_axis(c, 6);

	CHECK(ax.lo == 4 && ax.hi == 5);
	CHECK(ay.lo == 10 && ay.hi == 100);
	CHECK(isnan(chart_place(&ay, 0)));
	CHECK(isnan(chart_place(&ay, -5)));
	CHECK(isnan(chart_place(&ay, NAN)));
	CHECK(isnan(chart_place(&ay, INFINITY)));
	CHECK(chart_place(&ay, 10) == 0);
	CHECK(chart_place(&ay, 100) == 1);
	CHECK(fabs(chart_place(&ay, sqrt(1000)) - 0.5) < 1e-12);
	CHECK(chart_place(&ax, 4.5) == 0.5);
}

/* Both edges of a band count, and where one has a gap, the other one does not. */
static void test_band(void)
{
	struct one o = { .chart = { .log_y = true } };
	const double x[] = { 0, 1, 2, 3, 4 }, high[] = { 1000, 20, 30, NAN, 7 }, low[] = { -1, 2, 10, 0.01, INFINITY };
	const struct chart *c = chart_of(&o, x, high, COUNT_OF(x));
	o.series.y_low = low;
	struct chart_axis ax = chart_x_axis(c, 60), ay = chart_y_axis(c, 6);

	CHECK(ax.lo == 1 && ax.hi == 2);
	CHECK(ay.lo == 2 && ay.hi == 50);
	for (size_t i = 0; i < COUNT_OF(x); i++)
		CHECK_INT(chart_is_gap(c, &o.series, i), i != 1 && i != 2);
	o.series.y_low = NULL;
	CHECK(!chart_is_gap(c, &o.series, 0));
	CHECK(chart_is_gap(c, &o.series, 3));
	o.chart.log_x = true;
	CHECK(chart_is_gap(c, &o.series, 0));
}

static void check_empty(const struct chart *c)
{
	struct chart_axis x = chart_x_axis(c, 60), y = chart_y_axis(c, 6);

	CHECK(x.empty && y.empty);
	CHECK(x.lo < x.hi && y.lo < y.hi);
	CHECK(x.n_ticks >= 2 && y.n_ticks >= 2);
}

static void test_no_data(void)
{
	const double x[] = { 1, 2 }, y[] = { NAN, -1 };

	for (unsigned kind = 0; kind < 8; kind++) {
		struct one o = { .chart = { .log_x = kind & 1, .log_y = kind & 2, .x_is_size = kind & 4 } };
		check_empty(&o.chart);
		check_empty(chart_of(&o, NULL, NULL, 0));
		if (o.chart.log_y)
			check_empty(chart_of(&o, x, y, 2));
	}
}

/* What chart.h promises of every axis. */
static bool is_sound(const struct chart_axis *a, size_t max_ticks)
{
	bool ok = CHECK(a->lo < a->hi) && CHECK(isfinite(a->hi - a->lo)) && CHECK(a->n_ticks >= 2) &&
		  CHECK(a->n_ticks <= max_ticks) && CHECK(a->ticks[0] >= a->lo) &&
		  CHECK(a->ticks[a->n_ticks - 1] <= a->hi);

	for (size_t i = 1; ok && i < a->n_ticks; i++)
		ok = CHECK(a->ticks[i - 1] < a->ticks[i]);
	return ok;
}

static bool is_placed(const struct chart_axis *a, double v)
{
	double place = chart_place(a, v);

	return CHECK(place >= 0) && CHECK(place <= 1);
}

static bool check_rules(double v, double w, unsigned kind)
{
	struct one o = { .chart = { .log_x = kind & 1, .log_y = kind & 1, .x_is_size = kind & 2 } };
	double both[] = { fmin(v, w), fmax(v, w) };
	const struct chart *c = chart_of(&o, both, both, 2);
	struct chart_axis x = chart_x_axis(c, 70), y = chart_y_axis(c, 7);

	bool ok = is_sound(&x, CHART_TICKS_MAX) && is_sound(&y, 7) && is_placed(&x, v) && is_placed(&x, w) &&
		  is_placed(&y, v) && is_placed(&y, w);
	if (!ok)
		fprintf(stderr, "    with %.17g and %.17g, kind %u\n", v, w, kind);
	return ok;
}

/* Values of every magnitude that can be drawn, far apart and close together. */
static double random_value(uint64_t i)
{
	double mantissa = 1 + (double)(prng_word(1, i) % 1000) / 1000;

	return ldexp(mantissa, (int)(prng_word(2, i) % 660) - 330);
}

static void test_rules(void)
{
	for (uint64_t i = 0; i < 4000; i++) {
		double v = random_value(2 * i);
		double w = i % 2 == 0 ? random_value(2 * i + 1) : v * (1 + ldexp(1, -(int)(i % 60)));
		for (unsigned kind = 0; kind < 4; kind++)
			if (!check_rules(v, w, kind))
				return;
		if (!check_rules(-v, w, 0) || !check_rules(-v, -w, 0))
			return;
	}
}

/* The limits of double: gaps or points, but never a hang, a division by zero or a place off the axis. */
static void test_extremes(void)
{
	static const double odd[] = { 0,      -0.0,   1,      DBL_MAX, -DBL_MAX, DBL_MIN, 5e-324,   -5e-324,  1e100,
				      -1e100, 1e-100, 1e-101, 1e250,   1e-250,   NAN,     INFINITY, -INFINITY };

	for (size_t i = 0; i < COUNT_OF(odd) * COUNT_OF(odd) * 4; i++) {
		struct one o = { .chart = { .log_x = i & 1, .log_y = i & 1, .x_is_size = i & 2 } };
		double x[] = { odd[i / 4 % COUNT_OF(odd)], odd[i / 4 / COUNT_OF(odd)] };
		const struct chart *c = chart_of(&o, x, x, 2);
		struct chart_axis a = chart_x_axis(c, 70), b = chart_y_axis(c, 7);
		if (!is_sound(&a, CHART_TICKS_MAX) || !is_sound(&b, 7)) {
			fprintf(stderr, "    with %g and %g, kind %zu\n", x[0], x[1], i % 4);
			return;
		}
	}
}

static void check_label(double v, double hi, bool is_size, const char *want)
{
	struct chart_axis a = { .lo = 0, .hi = hi, .is_size = is_size };
	char text[CHART_LABEL_SIZE];

	CHECK_STR(chart_tick_label(&a, v, text), want);
}

static void test_labels(void)
{
	check_label(1023, 4096, true, "1023");
	check_label(1024, 4096, true, "1K");
	check_label(1536, 4096, true, "1.5K");
	check_label(1048576, 1048576, true, "1M");
	check_label(0x1p63, 0x1p63, true, "8E");
	check_label(9000, 9000, false, "9000");
	check_label(9000, 10000, false, "9k");
	check_label(-20000, 10000, false, "-20k");
	check_label(0.1 + 0.2, 1, false, "0.3");
	check_label(1700000005, 1700000010, false, "1.700000005G"); /* digits that matter are not dropped */
	check_label(-1.23456789012e-300, 1, false, "-1.23456789e-300");
}

static void test_text_columns(void)
{
	const struct chart_series series[] = { { .label = "abc" }, { .label = "h\xc3\xa9llo" }, { .label = NULL } };
	const struct chart c = { .series = series, .n_series = 3 };

	CHECK_INT(chart_label_columns(&c), 5);
}

int main(void)
{
	test_x_ticks();
	test_time_ticks();
	test_window();
	test_y_of_memory();
	test_y_ticks();
	test_gaps();
	test_band();
	test_no_data();
	test_rules();
	test_extremes();
	test_labels();
	test_text_columns();
	return check_done();
}
