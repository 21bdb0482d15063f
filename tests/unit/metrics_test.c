/* metrics_test.c - the text format byte for byte: what labels and helps may hold, and numbers that read back. */
#include "check.h"
#include "metrics.h"

#include <math.h>
#include <stdlib.h>

static char *text;
static size_t len;
static FILE *out;
static struct metrics m;

static void begin(void)
{
	out = open_memstream(&text, &len);
	metrics_begin(&m, out, "tool");
}

static void check(const char *want)
{
	fclose(out);
	CHECK_STR(text, want);
	free(text);
}

static void test_format(void)
{
	begin();
	metrics_head(&m, "bytes_total", METRICS_COUNTER, "Bytes.");
	metrics_u64(&m, UINT64_MAX, "way", "up", NULL);
	metrics_u64(&m, 0, "way", "down", "pid", "12", NULL);
	metrics_head(&m, "live", METRICS_GAUGE, "Now.");
	metrics_u64(&m, 3, NULL);
	check("# HELP tool_bytes_total Bytes.\n"
	      "# TYPE tool_bytes_total counter\n"
	      "tool_bytes_total{way=\"up\"} 18446744073709551615\n"
	      "tool_bytes_total{way=\"down\",pid=\"12\"} 0\n"
	      "# HELP tool_live Now.\n"
	      "# TYPE tool_live gauge\n"
	      "tool_live 3\n");
}

static void test_escapes(void)
{
	begin();
	metrics_head(&m, "x", METRICS_GAUGE, "a\\b \"c\"\nd");
	metrics_u64(&m, 1, "name", "a\\b \"c\"\nd \xc3\xa9\xff{}=,<", NULL);
	metrics_u64(&m, 2, "name", "", NULL);
	metrics_u64(&m, 3, "name", "\x1b[2J\r\x7f", NULL);
	check("# HELP tool_x a\\\\b \"c\"\\nd\n"
	      "# TYPE tool_x gauge\n"
	      "tool_x{name=\"a\\\\b \\\"c\\\"\\nd \xc3\xa9\xef\xbf\xbd{}=,<\"} 1\n"
	      "tool_x{name=\"\"} 2\n"
	      "tool_x{name=\"\xef\xbf\xbd[2J\xef\xbf\xbd\xef\xbf\xbd\"} 3\n");
}

static void test_doubles(void)
{
	static const double values[] = { 0.1, 1e-9, 1e300, -2.5, 1000000, 1.0 / 3, 123456789.125 };
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		begin();
		metrics_head(&m, "x", METRICS_GAUGE, "X.");
		metrics_f64(&m, values[i], NULL);
		fclose(out);
		CHECK(strtod(strstr(text, "\ntool_x ") + 8, NULL) == values[i]);
		free(text);
	}
	begin();
	metrics_head(&m, "x", METRICS_GAUGE, "X.");
	metrics_f64(&m, NAN, NULL);
	metrics_f64(&m, INFINITY, "a", "b", NULL);
	metrics_f64(&m, -INFINITY, NULL);
	metrics_f64(&m, 1500, NULL);
	check("# HELP tool_x X.\n# TYPE tool_x gauge\ntool_x NaN\ntool_x{a=\"b\"} +Inf\ntool_x -Inf\ntool_x 1500\n");
}

int main(void)
{
	test_format();
	test_escapes();
	test_doubles();
	return check_done();
}
