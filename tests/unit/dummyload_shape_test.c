/* dummyload_shape_test.c - the curves at known points, their integrals against sums of many samples, lists of steps and
 * what they refuse; and the account, which forgives beyond its bound. */
#include "../../tools/dummyload/account.h"
#include "../../tools/dummyload/shape.h"

#include "cdefs.h"
#include "check.h"
#include "clock.h"
#include "prng.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const uint64_t second = NS_PER_S;

static int is_near(double a, double b, double by)
{
	return fabs(a - b) <= by;
}

static struct shape wave(enum shape_kind kind, double low, double peak)
{
	return (struct shape){ .kind = kind, .low = low, .peak = peak, .period_ns = 8 * second };
}

/* --- names and numbers -------------------------------------------------------------------------------------------- */

static void test_names(void)
{
	static const struct {
		const char *text;
		enum shape_kind kind;
	} known[] = {
		{ "fixed", SHAPE_FIXED },       { "f", SHAPE_FIXED },           { "cosine", SHAPE_COSINE },
		{ "c", SHAPE_COSINE },          { "triangle", SHAPE_TRIANGLE }, { "t", SHAPE_TRIANGLE },
		{ "sawtooth", SHAPE_SAWTOOTH }, { "z", SHAPE_SAWTOOTH },        { "square", SHAPE_SQUARE },
		{ "s", SHAPE_SQUARE },          { "steps", SHAPE_STEPS },
	};
	static const char *const unknown[] = { "", "x", "cos", "cosines", "F", "fc", " f", "st" };
	enum shape_kind kind = SHAPE_FIXED;
	for (size_t i = 0; i < COUNT_OF(known); i++) {
		CHECK(shape_parse(known[i].text, &kind));
		CHECK_INT(kind, known[i].kind);
	}
	for (size_t i = 0; i < COUNT_OF(unknown); i++)
		if (!CHECK(!shape_parse(unknown[i], &kind)))
			fprintf(stderr, "    taken: '%s'\n", unknown[i]);
	CHECK_STR(shape_name(SHAPE_SAWTOOTH), "sawtooth");
}

static void test_percent(void)
{
	static const char *const wrong[] = { "",      ".",   ".5",   "-1",    "+1",  "101",
					     "100.1", "1e1", "0x10", "40%",   "4 0", " 4",
					     "4 ",    "nan", "inf",  "1.2.3", "1,5", "99999999999999999999" };
	double percent = -1;
	CHECK(shape_parse_percent("0", &percent) && percent == 0);
	CHECK(shape_parse_percent("100", &percent) && percent == 100);
	CHECK(shape_parse_percent("100.0", &percent) && percent == 100);
	CHECK(shape_parse_percent("12.5", &percent) && percent == 12.5);
	CHECK(shape_parse_percent("7.", &percent) && percent == 7);
	for (size_t i = 0; i < COUNT_OF(wrong); i++)
		if (!CHECK(!shape_parse_percent(wrong[i], &percent)))
			fprintf(stderr, "    taken: '%s'\n", wrong[i]);
}

/* --- curves ------------------------------------------------------------------------------------------------------- */

/* At eighths of a period, between 10 and 90. */
static void test_points(void)
{
	const double r = sqrt(0.5) * 40;
	const struct {
		enum shape_kind kind;
		double at[9];
	} expected[] = {
		{ SHAPE_FIXED, { 90, 90, 90, 90, 90, 90, 90, 90, 90 } },
		{ SHAPE_COSINE, { 90, 50 + r, 50, 50 - r, 10, 50 - r, 50, 50 + r, 90 } },
		{ SHAPE_TRIANGLE, { 10, 30, 50, 70, 90, 70, 50, 30, 10 } },
		{ SHAPE_SAWTOOTH, { 10, 20, 30, 40, 50, 60, 70, 80, 10 } },
		{ SHAPE_SQUARE, { 90, 90, 90, 90, 10, 10, 10, 10, 90 } },
	};
	for (size_t i = 0; i < COUNT_OF(expected); i++) {
		struct shape s = wave(expected[i].kind, 10, 90), later = s;
		later.phase_ns = 3 * second + 8 * 5 * second;
		for (uint64_t t = 0; t <= 8; t++) {
			CHECK(is_near(shape_percent(&s, t * second), expected[i].at[t], 1e-9));
			CHECK(is_near(shape_percent(&s, (t + 8000) * second), expected[i].at[t], 1e-6));
			CHECK(is_near(shape_percent(&later, t * second), expected[i].at[(t + 3) % 8], 1e-9));
		}
		CHECK_STR(shape_label(&s, 0), "");
		CHECK(shape_end_ns(&s) == CLK_NEVER);
	}
}

static void test_means_of_a_period(void)
{
	for (int kind = SHAPE_COSINE; kind <= SHAPE_SQUARE; kind++) {
		struct shape s = wave((enum shape_kind)kind, 20, 60);
		CHECK(is_near(shape_mean(&s, 0, 8 * second), 40, 1e-9));
		CHECK(is_near(shape_mean(&s, 5 * second, 13 * second), 40, 1e-9));
		CHECK(is_near(shape_mean(&s, 3 * second, 803 * second), 40, 1e-9));
		CHECK(is_near(shape_cpu_ns(&s, 80 * second), 32e9, 1e-3));
		CHECK(is_near(shape_mean(&s, second, second), shape_percent(&s, second), 0));
	}
	/* The first half of a period: above the mean by 2/pi of the half height only for half a hill of the cosine. */
	struct shape cosine = wave(SHAPE_COSINE, 0, 100), triangle = wave(SHAPE_TRIANGLE, 0, 100);
	CHECK(is_near(shape_mean(&cosine, 0, 2 * second), 50 + 100 / 3.14159265358979, 1e-6));
	CHECK(is_near(shape_mean(&triangle, 0, 2 * second), 25, 1e-9));
	CHECK(is_near(shape_mean(&triangle, 2 * second, 6 * second), 75, 1e-9));
}

/* The mean of many samples in the middle of their cells. */
static double sampled_mean(const struct shape *s, uint64_t from_ns, uint64_t to_ns)
{
	enum { CELLS = 20000 };
	double sum = 0;
	for (int i = 0; i < CELLS; i++)
		sum += shape_percent(s, from_ns + (uint64_t)((double)(to_ns - from_ns) * (i + 0.5) / CELLS));
	return sum / CELLS;
}

static void test_integrals(void)
{
	uint64_t drawn = 0;
	for (int kind = SHAPE_FIXED; kind <= SHAPE_SQUARE; kind++) {
		for (int i = 0; i < 40; i++) {
			struct shape s = wave((enum shape_kind)kind, (double)(prng_word(7, drawn) % 50), 50);
			s.peak += (double)(prng_word(7, drawn + 1) % 50);
			s.period_ns = 1 + prng_word(7, drawn + 2) % (20 * second);
			s.phase_ns = prng_word(7, drawn + 3) % (30 * second);
			uint64_t from_ns = prng_word(7, drawn + 4) % (1000 * second);
			uint64_t to_ns = from_ns + 1 + prng_word(7, drawn + 5) % (2 * s.period_ns);
			drawn += 6;
			if (s.period_ns < second) /* a few ns long, the samples fall onto few points */
				s.period_ns += second;
			/* Each of the few edges of a square or a sawtooth is off by a cell of the sum at most. */
			double within = 1e-2 + 4 * (s.peak - s.low) / 20000;
			if (!CHECK(is_near(shape_mean(&s, from_ns, to_ns), sampled_mean(&s, from_ns, to_ns), within)))
				fprintf(stderr, "    %s, draw %llu: %g, sampled %g\n", shape_name(s.kind),
					(unsigned long long)drawn, shape_mean(&s, from_ns, to_ns),
					sampled_mean(&s, from_ns, to_ns));
		}
	}
}

/* The sum never falls, and nobody is asked for more than a processor, whatever the stretch. */
static void test_monotonic(void)
{
	for (int kind = SHAPE_FIXED; kind <= SHAPE_SQUARE; kind++) {
		struct shape s = wave((enum shape_kind)kind, 0, 100);
		double before = 0;
		for (uint64_t t_ns = 0; t_ns < 30 * second; t_ns += 12345678) {
			double now = shape_cpu_ns(&s, t_ns);
			CHECK(now >= before - 1e-3 && now - before <= 12345678 + 1e-3);
			before = now;
		}
	}
}

/* --- steps -------------------------------------------------------------------------------------------------------- */

static int add(struct shape *s, const char *text, char why[static SHAPE_WHY])
{
	char line[256];
	snprintf(line, sizeof(line), "%s", text);
	return shape_add_step(s, line, why);
}

static struct shape three_steps(void)
{
	struct shape s = { .kind = SHAPE_STEPS };
	char why[SHAPE_WHY];
	CHECK(add(&s, "# a comment\n", why));
	CHECK(add(&s, "\n", why));
	CHECK(add(&s, "1 20\n", why));
	CHECK(add(&s, "  500ms\t80   the rush  hour \t # loud\r\n", why));
	CHECK(add(&s, "2.5s 0 night", why));
	return s;
}

static void test_steps(void)
{
	struct shape s = three_steps();
	CHECK_INT(s.n_steps, 3);
	CHECK(s.low == 0 && s.peak == 80);
	CHECK_INT(shape_end_ns(&s), 4 * second);
	CHECK(shape_percent(&s, 0) == 20 && shape_percent(&s, second - 1) == 20);
	CHECK(shape_percent(&s, second) == 80 && shape_percent(&s, 2 * second) == 0);
	CHECK(shape_percent(&s, 4 * second) == 0);
	CHECK_STR(shape_label(&s, 0), "");
	CHECK_STR(shape_label(&s, 1200 * NS_PER_MS), "the rush  hour");
	CHECK_STR(shape_label(&s, 4 * second - 1), "night");
	CHECK_STR(shape_label(&s, 4 * second), "");
	CHECK(is_near(shape_cpu_ns(&s, 1250 * NS_PER_MS), 0.2e9 + 0.2e9, 1e-3));
	CHECK(is_near(shape_cpu_ns(&s, 4 * second), 0.6e9, 1e-3));
	CHECK(is_near(shape_cpu_ns(&s, 400 * second), 0.6e9, 1e-3));
	s.repeats = true;
	CHECK(shape_end_ns(&s) == CLK_NEVER);
	CHECK(shape_percent(&s, 401 * second) == 80);
	CHECK_STR(shape_label(&s, 401 * second), "the rush  hour");
	CHECK(is_near(shape_cpu_ns(&s, 401 * second), 100 * 0.6e9 + 0.2e9, 1e-2));
	shape_free(&s);
	CHECK_INT(s.n_steps, 0);
}

static void test_wrong_steps(void)
{
	static const char *const wrong[] = {
		"10",
		"10 101",
		"10 -1",
		"x 10",
		"0 10",
		"10s10",
		"-1 10",
		"10 ten",
		"10 10%",
		"10m0 5",
		"\x1b[31m 10",
		"1 \xff",
		"101000h 10",
		"99999999999h 10",
		"5 5 a label that is longer than thirty-one bytes",
	};
	struct shape s = three_steps();
	char why[SHAPE_WHY];
	for (size_t i = 0; i < COUNT_OF(wrong); i++) {
		why[0] = '\0';
		if (!CHECK(!add(&s, wrong[i], why)))
			fprintf(stderr, "    taken: '%s'\n", wrong[i]);
		CHECK(why[0] != '\0');
		for (const char *c = why; *c != '\0'; c++)
			CHECK(*c >= ' ' && *c <= '~');
	}
	CHECK_INT(s.n_steps, 3);
	CHECK_INT(s.period_ns, 4 * second);
	shape_free(&s);
}

static void test_many_steps(void)
{
	struct shape s = { .kind = SHAPE_STEPS };
	char why[SHAPE_WHY], line[64];
	for (int i = 0; i < SHAPE_STEPS_MAX; i++) {
		snprintf(line, sizeof(line), "10ms %d", i % 101);
		if (!CHECK(add(&s, line, why)))
			break;
	}
	CHECK(!add(&s, "1 1", why));
	CHECK(strstr(why, "10000 at most") != NULL);
	for (uint64_t i = 0; i < SHAPE_STEPS_MAX; i += 37)
		CHECK(shape_percent(&s, i * 10 * NS_PER_MS + 5) == (double)(i % 101));
	double sum = 0;
	for (int i = 0; i < SHAPE_STEPS_MAX; i++)
		sum += i % 101 * 1e5;
	CHECK(is_near(shape_cpu_ns(&s, 100 * second), sum, 1));
	shape_free(&s);
}

/* --- the account -------------------------------------------------------------------------------------------------- */

static void test_account(void)
{
	struct account a = { .most = 10 };
	CHECK(account_debt(&a, 4, 0) == 4);
	CHECK(account_debt(&a, 8, 4) == 4);
	CHECK(account_debt(&a, 12, 8.5) == 3.5); /* too much in one slice is less in the next */
	CHECK(account_debt(&a, 1000, 12) == 10); /* stopped for long: the bound, and no more later on */
	CHECK(account_debt(&a, 1004, 22) == 4);
	CHECK(account_debt(&a, 1004, 500) == -10); /* the same the other way round */
	CHECK(account_debt(&a, 1014, 500) == 0);
	CHECK(account_debt(&a, 1018, 500) == 4);
}

/* Work of which each slice delivers at most 7 where 10 are asked: the debt stays at its bound, and is paid when there
 * is room. */
static void test_account_starved(void)
{
	struct account a = { .most = 50 };
	double asked = 0, done = 0, debt = 0;
	for (int i = 0; i < 1000; i++) {
		asked += 10;
		debt = account_debt(&a, asked, done);
		CHECK(debt <= 50);
		done += debt < 7 ? debt : 7;
	}
	CHECK(debt == 50);
	for (int i = 0; i < 10; i++) {
		asked += 10;
		done += fmin(account_debt(&a, asked, done), 20);
	}
	CHECK(is_near(account_debt(&a, asked, done), 0, 1e-9));
}

int main(void)
{
	test_names();
	test_percent();
	test_points();
	test_means_of_a_period();
	test_integrals();
	test_monotonic();
	test_steps();
	test_wrong_steps();
	test_many_steps();
	test_account();
	test_account_starved();
	return check_done();
}
