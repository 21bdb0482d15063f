/* meter_test.c - rates over a time that the test makes up. */
#include "check.h"
#include "meter.h"

static const uint64_t second = 1000000000;

static void test_ticks_and_total(void)
{
	struct meter m;
	meter_start(&m, 5 * second, 100);

	struct meter_rate r = meter_tick(&m, 6 * second, 1100);
	CHECK_INT(r.elapsed_ns, second);
	CHECK_INT(r.delta, 1000);
	CHECK(r.per_s == 1000);

	r = meter_tick(&m, 6 * second + second / 2, 1600);
	CHECK_INT(r.elapsed_ns, second / 2);
	CHECK_INT(r.delta, 500);
	CHECK(r.per_s == 1000);

	r = meter_total(&m, 9 * second, 8100);
	CHECK_INT(r.elapsed_ns, 4 * second);
	CHECK_INT(r.delta, 8000);
	CHECK(r.per_s == 2000);

	r = meter_tick(&m, 9 * second, 8100); /* the total did not disturb the ticks */
	CHECK_INT(r.elapsed_ns, 2 * second + second / 2);
	CHECK_INT(r.delta, 6500);
	CHECK(r.per_s == 2600);
}

static void test_no_time_passed(void)
{
	struct meter m;
	meter_start(&m, 5, 0);

	struct meter_rate r = meter_tick(&m, 5, 1000);
	CHECK_INT(r.elapsed_ns, 0);
	CHECK_INT(r.delta, 1000);
	CHECK(r.per_s == 0);
	CHECK(meter_total(&m, 5, 1000).per_s == 0);
}

static void test_counter_goes_back(void)
{
	struct meter m;
	meter_start(&m, 0, 5000);

	struct meter_rate r = meter_tick(&m, second, 40);
	CHECK_INT(r.delta, 0);
	CHECK(r.per_s == 0);
	CHECK_INT(meter_total(&m, second, 40).delta, 0);
	CHECK_INT(meter_tick(&m, 2 * second, 100).delta, 60); /* counts on from where it restarted */
}

static void test_clock_goes_back(void)
{
	struct meter m;
	meter_start(&m, 10 * second, 0);

	struct meter_rate r = meter_tick(&m, 9 * second, 10);
	CHECK_INT(r.elapsed_ns, 0);
	CHECK(r.per_s == 0);
}

static void test_whole_range(void)
{
	struct meter m;
	meter_start(&m, 0, 0);

	struct meter_rate r = meter_total(&m, UINT64_MAX, UINT64_MAX);
	CHECK_INT(r.delta, UINT64_MAX);
	CHECK(r.per_s > 0.999e9 && r.per_s < 1.001e9);
}

int main(void)
{
	test_ticks_and_total();
	test_no_time_passed();
	test_counter_goes_back();
	test_clock_goes_back();
	test_whole_range();
	return check_done();
}
