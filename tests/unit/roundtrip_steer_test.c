/* roundtrip_steer_test.c - a clock that runs free, and what the discipline would make of it. */
#include "../../tools/roundtrip/steer.h"

#include "check.h"
#include "prng.h"

#include <math.h>

static const uint64_t second = 1000 * 1000 * 1000, ms = 1000 * 1000, us = 1000;

static struct steer s;
static struct steer_decision d;

static bool add(uint64_t at_ns, uint64_t rtt_ns, int64_t offset_ns)
{
	struct sample sample = { .at_ns = at_ns, .rtt_ns = rtt_ns, .offset_ns = offset_ns };
	return steer_add(&s, &sample, &d);
}

/* --- polls -------------------------------------------------------------------------------------------------------- */

/* A poll ends with the first sample after it, at a multiple of poll_ns; empty ones are skipped. */
static void test_polls(void)
{
	steer_init(&s, second);
	CHECK(!add(300 * ms, 100, 1));
	CHECK(!add(999 * ms, 100, 2));
	CHECK(add(1000 * ms, 100, 3));
	CHECK_INT(d.at_ns, 1000 * ms);
	CHECK(!add(1100 * ms, 100, 4));
	CHECK(add(5500 * ms, 100, 5));
	CHECK_INT(d.at_ns, 2000 * ms);
	CHECK(!add(5900 * ms, 100, 6));
	CHECK(add(6000 * ms, 100, 7));
	CHECK_INT(d.at_ns, 6000 * ms);
}

/* Of a poll the sample with the shortest RTT, the first of equals. */
static void test_best_of_poll(void)
{
	steer_init(&s, second);
	add(100 * ms, 500, 111000);
	add(200 * ms, 400, 222000);
	add(300 * ms, 400, 333000);
	add(400 * ms, 700, 444000);
	CHECK(add(1000 * ms, 1, 555000));
	CHECK_INT(d.action, STEER_SLEW);
	CHECK_INT(d.rtt_ns, 400);
	CHECK_INT(d.offset_ns, 222000);
	CHECK_INT(d.correction_ns, 111000);               /* half of it */
	CHECK(fabs(d.frequency_ppm - 222.0 / 16) < 1e-9); /* 222 us in a second are 222 ppm */
}

/* --- clock filter ------------------------------------------------------------------------------------------------- */

/* One sample each poll. The queue's sample is passed over; and then for a while nothing is as good as the one
 * before. */
static void outlier_and(uint64_t worse_ns)
{
	steer_init(&s, second);
	add(500 * ms, 10 * ms, 0);
	CHECK(add(1500 * ms, 40 * ms, 15 * ms));
	CHECK_INT(d.action, STEER_SLEW);
	CHECK_INT(d.offset_ns, 0);
	CHECK(add(2500 * ms, 10 * ms + worse_ns, 7));
	CHECK_INT(d.action, STEER_NONE);
	CHECK_INT(d.correction_ns, 0);
	CHECK_INT(d.rtt_ns, 0);
	CHECK(add(3500 * ms, 10 * ms, 7));
}

/* The third sample's RTT is longer than the first's, but the first is 2 s older: 30 us, or 60 us of RTT. */
static void test_outlier(void)
{
	outlier_and(59 * us);
	CHECK_INT(d.action, STEER_SLEW);
	CHECK_INT(d.rtt_ns, 10 * ms + 59 * us);
	CHECK_INT(d.offset_ns, 7);
	outlier_and(61 * us);
	CHECK_INT(d.action, STEER_NONE);
}

/* A path that got longer for good is believed when the filter is full of it, and not before. */
static void test_filter_length(void)
{
	steer_init(&s, second);
	add(500 * ms, 1 * ms, 0);
	for (uint64_t i = 1; i <= STEER_FILTER + 1; i++) {
		CHECK(add(i * second + second / 2, 50 * ms, ms));
		CHECK_INT(d.action, i == 1 || i == STEER_FILTER + 1 ? STEER_SLEW : STEER_NONE);
	}
	CHECK_INT(d.rtt_ns, 50 * ms);
	CHECK_INT(d.offset_ns, ms);
}

/* A sample that was passed over for a newer one is not acted upon later, and a used one not again. */
static void test_used_once(void)
{
	steer_init(&s, second);
	add(0, 50 * ms, 1000);
	add(1 * second, 20 * ms, 2000);
	CHECK_INT(d.offset_ns, 1000);
	add(2 * second, 60 * ms, 3000);
	CHECK_INT(d.action, STEER_SLEW);
	CHECK_INT(d.rtt_ns, 20 * ms);
	for (uint64_t i = 3; i <= 9; i++) {
		add(i * second, 60 * ms, 3000);
		CHECK_INT(d.action, STEER_NONE);
	}
}

/* The sample at time 0 can be used once, too. */
static void test_time_zero(void)
{
	steer_init(&s, second);
	add(0, 5, 10);
	add(second, 500 * ms, 0);
	CHECK_INT(d.action, STEER_SLEW);
	add(2 * second, 500 * ms, 0);
	CHECK_INT(d.action, STEER_NONE);
}

/* --- discipline --------------------------------------------------------------------------------------------------- */

static void test_threshold(void)
{
	for (int sign = -1; sign <= 1; sign += 2) {
		steer_init(&s, second);
		add(0, ms, sign * STEER_STEP_NS);
		add(second, ms, 0);
		CHECK_INT(d.action, STEER_SLEW);
		CHECK_INT(d.correction_ns, sign * STEER_STEP_NS / 2);

		steer_init(&s, second);
		add(0, ms, sign * (STEER_STEP_NS + 1));
		add(second, ms, 0);
		CHECK_INT(d.action, STEER_STEP);
		CHECK_INT(d.correction_ns, sign * (STEER_STEP_NS + 1));
		CHECK(d.frequency_ppm == 0);
	}
}

/* After a step what was measured before it is forgotten, however short its RTT. */
static void test_after_step(void)
{
	steer_init(&s, second);
	add(0, 10, 0);
	for (uint64_t i = 1; i <= 8; i++)
		add(i * second, ms, 3600 * (int64_t)second);
	CHECK_INT(d.action, STEER_NONE);
	add(9 * second, 2 * ms, 3600 * (int64_t)second);
	CHECK_INT(d.action, STEER_STEP); /* the sample at 0 fell out of the filter */
	add(10 * second, 3 * ms, 3600 * (int64_t)second);
	CHECK_INT(d.action, STEER_SLEW);
	CHECK_INT(d.rtt_ns, 2 * ms);
	CHECK_INT(d.offset_ns, 0);
	add(11 * second, 3 * ms, 3600 * (int64_t)second);
	CHECK_INT(d.action, STEER_NONE);
}

/* Only the frequency: two polls by hand. 16 us in the first second: 8 us at once and 1 ppm. At 2 s it has made 1 us of
 * that: 9 us. The second sample is half a second old at its poll's end: 16 + 0.5 us less 9. */
static void test_by_hand(void)
{
	steer_init(&s, second);
	add(500 * ms, ms, 16000);
	add(1500 * ms, ms, 16000);
	CHECK_INT(d.correction_ns, 8000);
	CHECK(fabs(d.frequency_ppm - 1) < 1e-9);
	CHECK_INT(s.phase_ns, 8000);
	add(2500 * ms, ms, 0);
	CHECK_INT(d.offset_ns, 16500 - 9000);
	CHECK_INT(d.correction_ns, 3750);
	CHECK(fabs(d.frequency_ppm - 1 - 7.5 / 16) < 1e-9);
	CHECK_INT(s.phase_ns, 9000 + 3750);
}

/* After three seconds without a decision the frequency changes by a third. */
static void test_long_pause(void)
{
	steer_init(&s, second);
	add(500 * ms, ms, 0);
	add(3500 * ms, ms, 16000); /* ends the poll at 1 s; its own ends at 4 s */
	add(4500 * ms, ms, 0);
	CHECK_INT(d.at_ns, 4 * second);
	CHECK(fabs(d.frequency_ppm - 1.0 / 3) < 1e-9);
}

static void test_frequency_limit(void)
{
	for (int sign = -1; sign <= 1; sign += 2) {
		steer_init(&s, second);
		for (uint64_t i = 0; i < 50; i++) /* always further away, but never so far that it would be stepped */
			add(i * second, ms, ns_plus(s.phase_ns, sign * (int64_t)(100 * ms)));
		CHECK(d.frequency_ppm == sign * STEER_MAX_PPM);
	}
}

/* --- it converges ------------------------------------------------------------------------------------------------- */

struct world {
	int64_t offset_ns;
	double drift_ppm;
	uint64_t jitter_ns, per_poll; /* of each way; samples */
	unsigned outliers; /* one in so many samples sits in a queue for up to 200 ms, on the way up; 0: none */
};

static uint64_t seed, n_drawn;

static double draw(void)
{
	return (double)(prng_word(seed, n_drawn++) >> 11) * 0x1p-53;
}

static int64_t truth_ns(const struct world *w, uint64_t at_ns)
{
	return w->offset_ns + (int64_t)(w->drift_ppm * (double)at_ns / 1e6);
}

static void add_sample_of(const struct world *w, uint64_t at_ns)
{
	uint64_t up_ns = 10 * ms + (uint64_t)(draw() * (double)w->jitter_ns);
	uint64_t down_ns = 10 * ms + (uint64_t)(draw() * (double)w->jitter_ns);
	if (w->outliers > 0 && draw() * w->outliers < 1)
		up_ns += (uint64_t)(draw() * (double)(200 * ms));
	add(at_ns, up_ns + down_ns, truth_ns(w, at_ns) + ((int64_t)up_ns - (int64_t)down_ns) / 2);
}

/* How wrong the steered clock is after so many polls of a second. */
static double rest_after(const struct world *w, uint64_t polls)
{
	n_drawn = 0;
	steer_init(&s, second);
	for (uint64_t i = 0; i <= polls * w->per_poll; i++)
		add_sample_of(w, i * second / w->per_poll);
	CHECK_INT(d.at_ns, polls * second);
	return fabs((double)(truth_ns(w, d.at_ns) - s.phase_ns));
}

static void test_converges(void)
{
	static const int64_t offsets_ns[] = { 50000000, -50000000, 0, 3600000000000, -1700000000000000000 };
	for (size_t i = 0; i < sizeof(offsets_ns) / sizeof(offsets_ns[0]); i++)
		for (int ppm = -50; ppm <= 50; ppm += 50) {
			struct world w = { offsets_ns[i], ppm, 0, 1, 0 };
			CHECK(rest_after(&w, 25) < 1e6);
			CHECK(rest_after(&w, 60) < 1e3);
			CHECK(fabs(d.frequency_ppm - ppm) < 0.1);
		}
}

/* 100 a second with some hundred us of jitter; and a single one, which takes longer. */
static void test_converges_with_jitter(void)
{
	for (seed = 1; seed <= 30; seed++) {
		struct world w = { 50000000, 50, 300 * us, 100, 0 };
		CHECK(rest_after(&w, 40) < 1e6);
		CHECK(rest_after(&w, 60) < 1e5);
		CHECK(fabs(d.frequency_ppm - 50) < 5);
		w.per_poll = 1;
		CHECK(rest_after(&w, 200) < 1e6);
		CHECK(fabs(d.frequency_ppm - 50) < 50);
	}
}

/* Every third sample is up to 100 ms wrong, and long. */
static void test_outliers(void)
{
	for (seed = 1; seed <= 30; seed++) {
		struct world w = { 50000000, 50, 10 * us, 1, 3 };
		CHECK(rest_after(&w, 120) < 1e5);
		CHECK(fabs(d.frequency_ppm - 50) < 5);
	}
}

/* UBSan looks on. */
static void test_hostile(void)
{
	static const int64_t offsets_ns[] = { INT64_MIN, INT64_MIN + 1, -1, 0, 1, INT64_MAX };
	static const uint64_t rtts_ns[] = { 0, 1, UINT64_MAX };
	for (seed = 1; seed <= 20; seed++) {
		uint64_t at_ns = 0;
		steer_init(&s, seed % 2 ? 1 : second);
		for (n_drawn = 0; n_drawn < 3000;) {
			at_ns += (uint64_t)(draw() * 2e9);
			add(at_ns, rtts_ns[(size_t)(draw() * 3)], offsets_ns[(size_t)(draw() * 6)]);
			if (!CHECK(fabs(s.frequency_ppm) <= STEER_MAX_PPM))
				return;
		}
	}
}

int main(void)
{
	test_polls();
	test_best_of_poll();
	test_outlier();
	test_filter_length();
	test_used_once();
	test_time_zero();
	test_threshold();
	test_after_step();
	test_by_hand();
	test_long_pause();
	test_frequency_limit();
	test_converges();
	test_converges_with_jitter();
	test_outliers();
	test_hostile();
	return check_done();
}
