/* units_test.c - every suffix, every kind of garbage, the edges of 64 bits, and the place where printing changes the
 * unit: 999.5 us is "1.00 ms", never "1000 us". */
#include "units.h"

#include "check.h"
#include "cdefs.h"
#include "prng.h"

#include <math.h>
#include <stdlib.h>

typedef bool (*parse_fn)(const char *, uint64_t *);

struct good {
	const char *text;
	uint64_t want;
};

enum { UNTOUCHED = 4711 };

#define KIB    UINT64_C(1024)
#define SECOND UINT64_C(1000000000)

static void check_good(parse_fn parse, const struct good *good, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		uint64_t got = UNTOUCHED;
		if (!CHECK(parse(good[i].text, &got)) || !CHECK(got == good[i].want))
			fprintf(stderr, "    \"%s\": got %" PRIu64 "\n", good[i].text, got);
	}
}

static void check_bad_text(parse_fn parse, const char *const *bad, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		uint64_t got = UNTOUCHED;
		if (!CHECK(!parse(bad[i], &got)) || !CHECK_INT(got, UNTOUCHED))
			fprintf(stderr, "    \"%s\" gave %" PRIu64 "\n", bad[i], got);
	}
}

static const parse_fn parsers[] = { units_parse_count, units_parse_size, units_parse_rate, units_parse_duration };

static void test_what_no_parser_takes(void)
{
	static const char *const bad[] = {
		"",          " ",
		"-1",        "+1",
		"-0",        "1x",
		"0x10",      "1e3",
		"1E3",       "inf",
		"INF",       "infinity",
		"nan",       ".",
		"..",        ".k",
		"1.2.3",     "1..2",
		"..5",       "1 ",
		" 1",        "1 K",
		"1\n",       "1,5",
		"K",         "ms",
		"s",         "bit",
		"1\xc3\xa9", "1KK",
		"1ss",       "--",
		"1/s",       "99999999999999999999999999999999999999999999999999999999999999999999999999999999",
	};
	for (size_t i = 0; i < COUNT_OF(parsers); i++)
		check_bad_text(parsers[i], bad, COUNT_OF(bad));
}

static void test_count(void)
{
	static const struct good good[] = {
		{ "0", 0 }, { "1", 1 }, { "007", 7 }, { "10", 10 }, { "18446744073709551615", UINT64_MAX },
	};
	static const char *const bad[] = {
		"18446744073709551616", "18446744073709551620", "99999999999999999999", "1.5", "1K", "1s",
	};
	check_good(units_parse_count, good, COUNT_OF(good));
	check_bad_text(units_parse_count, bad, COUNT_OF(bad));
}

static void test_size(void)
{
	static const struct good good[] = {
		{ "0", 0 },
		{ "1", 1 },
		{ "100", 100 },
		{ "100B", 100 },
		{ "100b", 100 },
		{ "1.5K", 1536 },
		{ ".5K", 512 },
		{ "64K", 64 * KIB },
		{ "64k", 64 * KIB },
		{ "64Ki", 64 * KIB },
		{ "64KiB", 64 * KIB },
		{ "64kib", 64 * KIB },
		{ "64KB", 64 * KIB },
		{ "1M", KIB * KIB },
		{ "1m", KIB * KIB },
		{ "1Mi", KIB * KIB },
		{ "1MiB", KIB * KIB },
		{ "1MB", KIB * KIB },
		{ "1G", KIB * KIB * KIB },
		{ "1Gi", KIB * KIB * KIB },
		{ "1GiB", KIB * KIB * KIB },
		{ "1GB", KIB * KIB * KIB },
		{ "1T", KIB * KIB * KIB * KIB },
		{ "1Ti", KIB * KIB * KIB * KIB },
		{ "1TiB", KIB * KIB * KIB * KIB },
		{ "1TB", KIB * KIB * KIB * KIB },
		{ "0K", 0 },
		{ "9007199254740992", UINT64_C(1) << 53 },
		{ "16777215T", UINT64_C(16777215) << 40 },
	};
	static const char *const bad[] = { "16777216T", "18446744073709551616", "1P", "1Kbit", "1s", "1KiBB", "1iB" };
	check_good(units_parse_size, good, COUNT_OF(good));
	check_bad_text(units_parse_size, bad, COUNT_OF(bad));
}

static void test_rate(void)
{
	static const struct good good[] = {
		{ "0", 0 },
		{ "8", 1 },
		{ "8bit", 1 },
		{ "8BIT", 1 },
		{ "8bit/s", 1 },
		{ "8bps", 1 },
		{ "8k", 1000 },
		{ "8K", 1000 },
		{ "8m", 1000000 },
		{ "8M", 1000000 },
		{ "8g", SECOND },
		{ "8G", SECOND },
		{ "10mbit", 1250000 },
		{ "10Mbit/s", 1250000 },
		{ "10Mbps", 1250000 },
		{ "1.5Gbit/s", 187500000 },
		{ "1.5gbit", 187500000 },
		{ "100MB/s", 100000000 },
		{ "100mB/s", 100000000 },
		{ "100MBps", 100000000 },
		{ "1B/s", 1 },
		{ "1B", 1 },
		{ "2kB", 2000 },
		{ "1GB/s", SECOND },
	};
	static const char *const bad[] = {
		"1t",
		"10mb",
		"10mb/s",
		"10mbits",
		"1kk",
		"1kmbit",
		"1BPS",
		"1KiB/s",
		"1ms",
		"99999999999999999999g",
		"200000000000GB/s",
	};
	check_good(units_parse_rate, good, COUNT_OF(good));
	check_bad_text(units_parse_rate, bad, COUNT_OF(bad));
}

static void test_duration(void)
{
	static const struct good good[] = {
		{ "0", 0 },
		{ "1", SECOND },
		{ "1s", SECOND },
		{ "1S", SECOND },
		{ "0.25", SECOND / 4 },
		{ ".5s", SECOND / 2 },
		{ "250ms", SECOND / 4 },
		{ "1.5s", SECOND * 3 / 2 },
		{ "100us", 100000 },
		{ "20ns", 20 },
		{ "2m", 120 * SECOND },
		{ "2min", 120 * SECOND },
		{ "1h", 3600 * SECOND },
		{ "1.5h", 5400 * SECOND },
		{ "0.001us", 1 },
		{ "5000000h", SECOND * 3600 * 5000000 },
	};
	static const char *const bad[] = {
		"6000000h", "18446744074", "1d", "1sec", "1K", "1 s", "1mss", "18446744073709551616ns",
	};
	check_good(units_parse_duration, good, COUNT_OF(good));
	check_bad_text(units_parse_duration, bad, COUNT_OF(bad));
}

/* Whatever is accepted begins with a digit or a point: no sign, no blank, no "inf" slips through strtod(3). */
static void test_random_text(void)
{
	static const char letters[] = "0123456789..kKmMgGtTiIbBsSuUnNhH/-+eExXp ";
	for (uint64_t i = 0; i < 200000; i++) {
		char text[12];
		uint64_t word = prng_word(3, i), got = UNTOUCHED;
		size_t len = word % sizeof(text);
		for (size_t k = 0; k < len; k++)
			text[k] = letters[prng_word(4 + k, i) % (sizeof(letters) - 1)];
		text[len] = '\0';
		bool ok = parsers[i % COUNT_OF(parsers)](text, &got);
		if (!CHECK(ok ? strchr("0123456789.", text[0]) != NULL && len > 0 : got == UNTOUCHED))
			return;
	}
}

/* --- printing ---------------------------------------------------------------------------------------------------- */

static void test_print_size(void)
{
	char out[UNITS_TEXT];
	CHECK_STR(units_size(out, 0), "0 B");
	CHECK_STR(units_size(out, 100), "100 B");
	CHECK_STR(units_size(out, 1023), "1023 B");
	CHECK_STR(units_size(out, 1024), "1 KiB");
	CHECK_STR(units_size(out, 1025), "1.00 KiB");
	CHECK_STR(units_size(out, 1536), "1.50 KiB");
	CHECK_STR(units_size(out, 10 * KIB + 512), "10.5 KiB");
	CHECK_STR(units_size(out, 64 * KIB), "64 KiB");
	CHECK_STR(units_size(out, KIB * KIB * KIB * 3 / 2), "1.50 GiB");
	CHECK_STR(units_size(out, UINT64_C(1) << 60), "1 EiB");
	CHECK_STR(units_size(out, UINT64_MAX), "16 EiB");
}

/* As typed, and exact. */
static void test_short_times_and_rates(void)
{
	char out[UNITS_TEXT];
	uint64_t back;
	CHECK_STR(units_duration_short(out, 0), "0s");
	CHECK_STR(units_duration_short(out, UINT64_C(3600000000000)), "3600s");
	CHECK_STR(units_duration_short(out, 1500000000), "1500ms");
	CHECK_STR(units_duration_short(out, 1500), "1500ns");
	CHECK_STR(units_duration_short(out, 20000), "20us");
	CHECK_STR(units_rate_short(out, 0), "0gbit");
	CHECK_STR(units_rate_short(out, 1), "8bit");
	CHECK_STR(units_rate_short(out, 125), "1kbit");
	CHECK_STR(units_rate_short(out, 1250000), "10mbit");
	CHECK_STR(units_rate_short(out, UINT64_C(125000000) * 8000), "8000gbit");
	CHECK(units_parse_duration(units_duration_short(out, 123456789), &back));
	CHECK_INT(back, 123456789);
	CHECK(units_parse_rate(units_rate_short(out, 123456789), &back));
	CHECK_INT(back, 123456789);
}

static void test_print_size_short(void)
{
	char out[UNITS_TEXT];
	CHECK_STR(units_size_short(out, 0), "0");
	CHECK_STR(units_size_short(out, 100), "100");
	CHECK_STR(units_size_short(out, 1023), "1023");
	CHECK_STR(units_size_short(out, 1024), "1K");
	CHECK_STR(units_size_short(out, 1025), "1025");
	CHECK_STR(units_size_short(out, 64 * KIB), "64K");
	CHECK_STR(units_size_short(out, KIB * KIB), "1M");
	CHECK_STR(units_size_short(out, KIB * KIB * 3 / 2), "1536K");
	CHECK_STR(units_size_short(out, UINT64_C(1) << 50), "1024T");
	CHECK_STR(units_size_short(out, UINT64_MAX), "18446744073709551615");
}

static void test_print_rate(void)
{
	char out[UNITS_TEXT];
	CHECK_STR(units_rate(out, 0), "0.00 bit/s");
	CHECK_STR(units_rate(out, 1), "8.00 bit/s");
	CHECK_STR(units_rate(out, 117625000), "941 Mbit/s");
	CHECK_STR(units_rate(out, 1250000), "10.0 Mbit/s");
	CHECK_STR(units_rate(out, 5437500000.), "43.5 Gbit/s");
	CHECK_STR(units_rate(out, 999.4 / 8), "999 bit/s");
	CHECK_STR(units_rate(out, 999.5 / 8), "1.00 kbit/s");
	CHECK_STR(units_rate(out, 124.9375e6), "1.00 Gbit/s");
	CHECK_STR(units_rate(out, 1e15), "8000 Tbit/s");
}

static void test_print_duration(void)
{
	char out[UNITS_TEXT];
	CHECK_STR(units_duration(out, 0), "0 ns");
	CHECK_STR(units_duration(out, 999), "999 ns");
	CHECK_STR(units_duration(out, 1000), "1.00 us");
	CHECK_STR(units_duration(out, 9994), "9.99 us");
	CHECK_STR(units_duration(out, 9996), "10.0 us");
	CHECK_STR(units_duration(out, 99949), "99.9 us");
	CHECK_STR(units_duration(out, 99951), "100 us");
	CHECK_STR(units_duration(out, 999499), "999 us");
	CHECK_STR(units_duration(out, 999500), "1.00 ms");
	CHECK_STR(units_duration(out, 1250000), "1.25 ms");
	CHECK_STR(units_duration(out, 999499999), "999 ms");
	CHECK_STR(units_duration(out, 999500000), "1.00 s");
	CHECK_STR(units_duration(out, 10 * SECOND), "10.0 s");
	CHECK_STR(units_duration(out, 3600 * SECOND), "3600 s");
}

/* Around each change of the unit the number in front stays below the factor: "1024 KiB" is written "1.00 MiB". */
static void test_sizes_switch_in_time(void)
{
	static const double shares[] = { 1, 0.9999999, 0.9996, 0.9994, 0.999, 0.99 };
	char out[UNITS_TEXT];
	for (uint64_t unit = KIB; unit != 0; unit *= KIB) {
		for (size_t i = 0; i < COUNT_OF(shares); i++) {
			uint64_t bytes = (uint64_t)((double)unit * shares[i]) - (i == 0);
			if (!CHECK(strtod(units_size(out, bytes), NULL) < 1024)) {
				fprintf(stderr, "    %" PRIu64 " bytes: \"%s\"\n", bytes, out);
				return;
			}
		}
	}
}

static void test_times_and_rates_switch_in_time(void)
{
	char out[UNITS_TEXT];
	for (uint64_t unit = 1000; unit <= SECOND; unit *= 1000) {
		for (uint64_t less = 1; less < unit / 100; less *= 3) {
			CHECK(strtod(units_duration(out, unit - less), NULL) < 1000);
			CHECK(strtod(units_rate(out, (double)(unit - less) / 8), NULL) < 1000);
		}
	}
}

/* Below 2^53, where a double is exact. */
static void test_short_sizes_read_back(void)
{
	for (uint64_t i = 0; i < 20000; i++) {
		char out[UNITS_TEXT];
		uint64_t bytes = prng_word(1, i) >> (11 + i % 53) << i % 3 * 10 >> i % 3 * 10, back = UNTOUCHED;
		if (!CHECK(units_parse_size(units_size_short(out, bytes), &back)) || !CHECK(back == bytes))
			return;
	}
}

static bool is_near(uint64_t got, uint64_t want)
{
	return fabs((double)got - (double)want) <= (double)want * 0.0051;
}

/* Three digits: half a unit of the last one is at most 0.5 %. What is printed can be typed again. */
static void test_printed_text_reads_back(void)
{
	for (uint64_t i = 0; i < 20000; i++) {
		char out[UNITS_TEXT], typed[UNITS_TEXT];
		uint64_t value = prng_word(2, i) >> (8 + i % 50), back = UNTOUCHED;
		units_duration(out, value);
		snprintf(typed, sizeof(typed), "%.*s%s", (int)strcspn(out, " "), out, strchr(out, ' ') + 1);
		if (!CHECK(units_parse_duration(typed, &back)) || !CHECK(is_near(back, value)))
			return;
		value = 1000 + value % (SECOND * 100);
		units_rate(out, (double)value);
		snprintf(typed, sizeof(typed), "%.*s%s", (int)strcspn(out, " "), out, strchr(out, ' ') + 1);
		if (!CHECK(units_parse_rate(typed, &back)) || !CHECK(is_near(back, value)))
			return;
	}
}

/* Nonsense is printed as nonsense, but inside the array. */
static void test_odd_rates(void)
{
	static const double odd[] = { -1, 1e300, -1e300, INFINITY, -INFINITY, NAN, 1e-300 };
	for (size_t i = 0; i < COUNT_OF(odd); i++) {
		char out[UNITS_TEXT + 1];
		memset(out, '#', sizeof(out));
		units_rate(out, odd[i]);
		CHECK(memchr(out, '\0', UNITS_TEXT) != NULL);
		CHECK_INT(out[UNITS_TEXT], '#');
	}
}

int main(void)
{
	test_what_no_parser_takes();
	test_count();
	test_size();
	test_rate();
	test_duration();
	test_random_text();
	test_print_size();
	test_print_size_short();
	test_short_times_and_rates();
	test_print_rate();
	test_print_duration();
	test_sizes_switch_in_time();
	test_times_and_rates_switch_in_time();
	test_short_sizes_read_back();
	test_printed_text_reads_back();
	test_odd_rates();
	return check_done();
}
