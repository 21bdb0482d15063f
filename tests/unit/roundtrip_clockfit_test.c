/* roundtrip_clockfit_test.c - offset and drift of clocks that are known, seen through paths of many kinds; and
 * whether the truth lies within the bounds that are claimed. */
#include "../../tools/roundtrip/clockfit.h"

#include "cdefs.h"
#include "check.h"
#include "prng.h"

#include <math.h>

static const uint64_t second = 1000 * 1000 * 1000, ms = 1000 * 1000, us = 1000;

static struct timeline timeline;

/* --- a path and two clocks ---------------------------------------------------------------------------------------- */

enum noise { QUIET, UNIFORM, EXPONENTIAL, BURSTS, WANDERING, LOOPBACK, NOISES };

struct path {
	enum noise noise;
	double up_ns, down_ns; /* at least */
	double noise_ns;
	uint64_t resolution_ns; /* of the server's stamps */
	uint64_t interval_ns, run_ns;
};

struct clocks {
	int64_t offset_ns; /* at the beginning */
	double drift_ppm;
};

/* Each draw is another one. */
static uint64_t seed, n_drawn;

static double draw(void)
{
	return (double)(prng_word(seed, n_drawn++) >> 11) * 0x1p-53;
}

static double exponential(double mean)
{
	return -log(1 - draw()) * mean;
}

static double queue_ns; /* BURSTS, WANDERING: it remembers */

/* What a way takes beyond its shortest time. */
static double noise_of(const struct path *p, bool is_up)
{
	switch (p->noise) {
	case UNIFORM:
		return draw() * p->noise_ns;
	case EXPONENTIAL:
		return exponential(p->noise_ns);
	case BURSTS: /* a queue on the way up: most of the time empty, now and then filled at once, emptied slowly */
		if (!is_up)
			return 0;
		queue_ns = draw() < 0.05 ? p->noise_ns * draw() : fmax(0, queue_ns - p->noise_ns / 10);
		return queue_ns;
	case WANDERING: /* a queue on the way down that grows and shrinks by itself */
		if (is_up)
			return 0;
		queue_ns = fabs(queue_ns + (draw() - 0.55) * p->noise_ns);
		return queue_ns;
	case LOOPBACK: /* a microsecond or two, and sometimes the scheduler */
		return exponential(p->noise_ns) + (draw() < 0.02 ? exponential(50 * p->noise_ns) : 0);
	case QUIET:
	case NOISES:
		break;
	}
	return 0;
}

/* The server's clock less ours at a time of the run, without the offset at the beginning. */
static double gained_ns(const struct clocks *c, double at_ns)
{
	return c->drift_ppm * at_ns / 1e6;
}

static int64_t rounded_down(double ns, uint64_t to_ns)
{
	return (int64_t)(floor(ns / (double)to_ns) * (double)to_ns);
}

/* One round trip; the stamps are those of real clocks, the sample is made of them as sample.h says. */
static struct sample exchange(const struct path *p, const struct clocks *c, uint64_t sent_ns)
{
	double t1 = (double)sent_ns, up_ns = p->up_ns + noise_of(p, true), down_ns = p->down_ns + noise_of(p, false);
	uint64_t rtt_ns = (uint64_t)ceil(up_ns + down_ns);
	int64_t t2 = rounded_down(t1 + up_ns + gained_ns(c, t1 + up_ns), p->resolution_ns); /* and t3 */
	int64_t to_ns = t2 - (int64_t)sent_ns, back_ns = t2 - (int64_t)(sent_ns + rtt_ns);
	return (struct sample){
		.at_ns = sent_ns + rtt_ns,
		.rtt_ns = rtt_ns,
		.offset_ns = c->offset_ns + (to_ns + back_ns) / 2,
		.resolution_ns = p->resolution_ns,
	};
}

static struct clockfit run(const struct path *p, const struct clocks *c)
{
	timeline = (struct timeline){ 0 };
	queue_ns = 0;
	for (uint64_t at_ns = 0; at_ns < p->run_ns; at_ns += p->interval_ns) {
		struct sample s = exchange(p, c, at_ns);
		timeline_add(&timeline, &s);
	}
	return clockfit_of(&timeline);
}

/* --- offset ------------------------------------------------------------------------------------------------------- */

static void add(uint64_t at_ns, uint64_t rtt_ns, int64_t offset_ns)
{
	struct sample s = { .at_ns = at_ns, .rtt_ns = rtt_ns, .offset_ns = offset_ns, .resolution_ns = 1 };
	timeline_add(&timeline, &s);
}

static void test_empty(void)
{
	timeline = (struct timeline){ 0 };
	struct clockfit fit = clockfit_of(&timeline);
	CHECK(!fit.has_offset && !fit.has_drift);
}

/* The shortest RTT of all says it, wherever it is; and one or two cells say nothing of a drift. */
static void test_offset(void)
{
	timeline = (struct timeline){ 0 };
	add(3 * ms, 1001, -77);
	struct clockfit fit = clockfit_of(&timeline);
	CHECK(fit.has_offset && !fit.has_drift);
	CHECK_INT(fit.offset_ns, -77);
	CHECK_INT(fit.offset_bound_ns, 501 + 1); /* half of it rounded up, and the resolution */
	CHECK_INT(fit.at_ns, 3 * ms);
	CHECK_INT(fit.end_offset_ns, -77);

	add(5 * ms, 1000, 23);
	fit = clockfit_of(&timeline);
	CHECK(!fit.has_drift);
	CHECK_INT(fit.offset_ns, 23);
	CHECK_INT(fit.offset_bound_ns, 501);
	CHECK_INT(fit.at_ns, 5 * ms);

	add(9 * ms, 1500, 99);
	fit = clockfit_of(&timeline);
	CHECK(fit.has_drift);
	CHECK_INT(fit.offset_ns, 23);
	CHECK_INT(fit.at_ns, 5 * ms);
}

static void test_resolution(void)
{
	timeline = (struct timeline){ 0 };
	struct sample s = { .at_ns = 1, .rtt_ns = 40, .resolution_ns = 1000 };
	timeline_add(&timeline, &s);
	CHECK_INT(clockfit_of(&timeline).offset_bound_ns, 1020);
}

/* --- drift of perfect samples ------------------------------------------------------------------------------------- */

static const struct path quiet = { QUIET, 10000, 10000, 0, 1, 10 * 1000 * 1000, 10 * UINT64_C(1000000000) };

static void test_exact_line(void)
{
	static const double drifts_ppm[] = { 0, 50, -50, 0.5, 500, -10000 };
	for (size_t i = 0; i < COUNT_OF(drifts_ppm); i++) {
		struct clocks c = { 123456, drifts_ppm[i] };
		struct clockfit fit = run(&quiet, &c);
		CHECK(fit.has_drift && fit.is_straight);
		CHECK(fabs(fit.drift_ppm - c.drift_ppm) < 0.01);
		CHECK(fit.drift_bound_ppm > 0 && fit.drift_bound_ppm < 0.01);
		double end_ns = 123456 + gained_ns(&c, 10e9); /* the last question is 10 ms before it */
		CHECK(fabs((double)fit.end_offset_ns - end_ns) < fabs(c.drift_ppm) * 100 + 10);
	}
}

/* Two clocks that are half a century apart drift as well as others: to the nanosecond. */
static void test_far_away(void)
{
	struct clocks near = { 0, 50 }, far = { -1700000000 * (int64_t)1000000000 - 1, 50 };
	struct clockfit here = run(&quiet, &near), there = run(&quiet, &far);
	CHECK(here.drift_ppm == there.drift_ppm && here.drift_bound_ppm == there.drift_bound_ppm);
	CHECK_INT(there.offset_ns - far.offset_ns, here.offset_ns);
	CHECK_INT(there.end_offset_ns - far.offset_ns, here.end_offset_ns);
	CHECK_INT(there.offset_bound_ns, here.offset_bound_ns);
}

/* Three bands with a slope between -x and +x by hand. Offsets 0 at 0, 1 and 2 s; RTT excess 0, 0, 2000 ns. The median
 * excess is 0, so the slack is the resolution, 1 ns: bands of 1, 1, 1001 ns. The first two say: +- 2 ns in 1 s; the
 * last says less. */
static void test_bound_by_hand(void)
{
	timeline = (struct timeline){ 0 };
	add(0, 5000, 0);
	add(second, 5000, 0);
	add(2 * second, 7000, 0);
	struct clockfit fit = clockfit_of(&timeline);
	CHECK(fit.has_drift && fit.is_straight);
	CHECK(fabs(fit.drift_ppm) < 1e-9);
	CHECK(fabs(fit.drift_bound_ppm - 0.002) < 1e-9);
}

/* As before, but the third one stands 1003 ns higher, at the edge of what is possible, and would pull a fit up that
 * treats all alike. A line through all bands has a slope of 1 to 2 ns/s: from (1, 1) to (2, 2), and from (0, -1) to
 * (1, 1). */
static void test_clamped(void)
{
	timeline = (struct timeline){ 0 };
	add(0, 5000, 0);
	add(second, 5000, 0);
	add(2 * second, 7000, 1003);
	struct clockfit fit = clockfit_of(&timeline);
	CHECK(fit.is_straight);
	CHECK(fabs(fit.drift_ppm - 0.001) < 1e-9);
	CHECK(fabs(fit.drift_bound_ppm - 0.001) < 1e-9);

	timeline.cells[timeline.n_cells - 1].best.offset_ns = -1003;
	fit = clockfit_of(&timeline);
	CHECK(fit.is_straight);
	CHECK(fabs(fit.drift_ppm + 0.001) < 1e-9);
	CHECK(fabs(fit.drift_bound_ppm - 0.001) < 1e-9);
}

/* The bands of the congested half are wide, whatever they say. */
static void test_queues_do_no_harm(void)
{
	timeline = (struct timeline){ 0 };
	for (uint64_t i = 0; i < 200; i++) {
		bool is_bad = i % 3 == 1;
		add(i * 50 * ms, is_bad ? 5 * ms : 20 * us, (int64_t)(i * 2500 + is_bad * 2 * ms)); /* 50 ppm */
	}
	struct clockfit fit = clockfit_of(&timeline);
	CHECK(fit.is_straight);
	CHECK(fabs(fit.drift_ppm - 50) < 0.01);
	CHECK(fit.drift_bound_ppm < 0.01);
}

/* A clock is set in the middle of 10 s: no line, and the bound is of the size of the jump. */
static void check_step(uint64_t step_ns)
{
	double step_us = (double)step_ns / 1000;
	timeline = (struct timeline){ 0 };
	for (uint64_t i = 0; i < 100; i++)
		add(i * 100 * ms, 20 * us, i < 50 ? 0 : (int64_t)step_ns);
	struct clockfit fit = clockfit_of(&timeline);
	CHECK(fit.has_drift && !fit.is_straight);
	CHECK(fabs(fit.drift_ppm) <= fit.drift_bound_ppm);
	CHECK(fit.drift_bound_ppm > 0.15 * step_us); /* the jump in 10 s would be 0.1 */
	CHECK(fit.drift_bound_ppm < 0.46 * step_us);
	CHECK_INT(fit.offset_ns, 0);
	CHECK_INT(fit.offset_bound_ns, 10001);
}

static void test_step(void)
{
	for (uint64_t step_ns = 1000; step_ns < 100 * ms; step_ns *= 3)
		check_step(step_ns);
}

/* Bands of 1 ns, doubled twenty times, let exactly one line through: that it is flat must not be taken for certain. */
static void test_single_line(void)
{
	timeline = (struct timeline){ 0 };
	add(0, 20 * us, 0);
	add(second, 20 * us, 2 << 20);
	add(2 * second, 20 * us, 0);
	struct clockfit fit = clockfit_of(&timeline);
	CHECK(!fit.is_straight);
	CHECK(fabs(fit.drift_ppm) < 1e-6);
	CHECK(fit.drift_bound_ppm > 1000);
}

/* --- drift of real paths ------------------------------------------------------------------------------------------ */

struct tally {
	unsigned n, wrong_offset, out, curved; /* out: the truth is not within the bound */
	double worst_ppm, widest_ppm;
};

static struct tally runs_on(const struct path *p, unsigned n)
{
	struct tally y = { .n = n };
	for (seed = 1; seed <= n; seed++) {
		n_drawn = 0;
		struct clocks c = { seed % 2 ? -1700000000 * (int64_t)1000000000 : 123456789, (draw() - 0.5) * 200 };
		struct clockfit fit = run(p, &c);
		double truth_ns = gained_ns(&c, (double)fit.at_ns);
		double error_ns = fabs((double)(fit.offset_ns - c.offset_ns) - truth_ns);
		double error_ppm = fabs(fit.drift_ppm - c.drift_ppm);
		y.wrong_offset += !fit.has_offset || error_ns > (double)fit.offset_bound_ns;
		y.out += !fit.has_drift || error_ppm > fit.drift_bound_ppm;
		y.curved += !fit.is_straight;
		y.worst_ppm = fmax(y.worst_ppm, error_ppm);
		y.widest_ppm = fmax(y.widest_ppm, fit.drift_bound_ppm);
	}
	return y;
}

static void tell(const struct path *p, const struct tally *y)
{
	fprintf(stderr,
		"    noise %d, %g s: of %u runs %u offsets and %u drifts out of bounds, %u curved, worst %g ppm +- %g\n",
		(int)p->noise, (double)p->run_ns / 1e9, y->n, y->wrong_offset, y->out, y->curved, y->worst_ppm,
		y->widest_ppm);
}

static void test_paths(void)
{
	static const struct {
		struct path path;
		double worst_ppm, widest_ppm; /* what must be reached */
	} rows[] = {
		/* a minute over 20 ms, a hundred each second; some hundred us of jitter */
		{ { UNIFORM, 1e7, 1e7, 3e5, 1, 10000000, 60000000000 }, 1, 5 },
		{ { EXPONENTIAL, 1e7, 1e7, 3e5, 1, 10000000, 60000000000 }, 1, 5 },
		{ { BURSTS, 1e7, 1e7, 5e6, 1, 10000000, 60000000000 }, 1, 5 },
		{ { WANDERING, 1e7, 1e7, 1e5, 1, 10000000, 60000000000 }, 5, 20 },
		{ { EXPONENTIAL, 1e6, 1.9e7, 3e5, 1, 10000000, 60000000000 }, 1, 5 }, /* far from symmetric */
		{ { EXPONENTIAL, 1e7, 1e7, 3e5, 1000, 10000000, 10000000000 }, 10, 60 },
		/* loopback, ten seconds: ns stamps and the course's */
		{ { LOOPBACK, 1e4, 1e4, 2e3, 1, 10000000, 10000000000 }, 0.2, 1 },
		{ { LOOPBACK, 1e4, 1e4, 2e3, 1000, 10000000, 10000000000 }, 0.5, 2 },
		{ { QUIET, 1e4, 1e4, 0, 1000, 10000000, 10000000000 }, 0.5, 2 },
		{ { LOOPBACK, 1e4, 1e4, 2e3, 1, 1000000, 1000000000 }, 1, 10 },
	};
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct tally y = runs_on(&rows[i].path, 25);
		bool is_right = CHECK_INT(y.wrong_offset, 0) && CHECK_INT(y.out, 0) && CHECK_INT(y.curved, 0);
		is_right = is_right && CHECK(y.worst_ppm <= rows[i].worst_ppm) &&
			   CHECK(y.widest_ppm <= rows[i].widest_ppm);
		if (!is_right)
			tell(&rows[i].path, &y);
	}
}

/* A sample each second, and few of them: the bound gets wide, and remains true, but for the bad luck of a few in a
 * hundred. */
static void test_few_samples(void)
{
	for (uint64_t n = 3; n <= 30; n += 9)
		for (enum noise noise = UNIFORM; noise < NOISES; noise++) {
			struct path p = { noise, 1e7, 1e7, 3e5, 1, second, n * second };
			struct tally y = runs_on(&p, 200);
			if (!CHECK_INT(y.wrong_offset, 0) || !CHECK(y.out <= (n == 3 ? 16 : 2)))
				tell(&p, &y);
		}
}

/* --- anything ----------------------------------------------------------------------------------------------------- */

/* Figures from hostile stamps: any, but numbers. (UBSan sees the rest.) */
static void test_hostile(void)
{
	static const int64_t offsets[] = { INT64_MIN, INT64_MIN + 1, -1, 0, 1, INT64_MAX };
	static const uint64_t rtts[] = { 0, 1, ms, UINT64_MAX / 2, UINT64_MAX };
	for (seed = 1; seed <= 300; seed++) {
		timeline = (struct timeline){ 0 };
		n_drawn = 0;
		for (uint64_t n = (uint64_t)(draw() * 30); n > 0; n--) {
			struct sample s = {
				.at_ns = prng_word(seed, n_drawn++) >> (uint64_t)(draw() * 64),
				.rtt_ns = rtts[(size_t)(draw() * COUNT_OF(rtts))],
				.offset_ns = offsets[(size_t)(draw() * COUNT_OF(offsets))],
				.resolution_ns = draw() < 0.5 ? 0 : rtts[(size_t)(draw() * COUNT_OF(rtts))],
			};
			timeline_add(&timeline, &s);
		}
		struct clockfit fit = clockfit_of(&timeline);
		if (!CHECK(isfinite(fit.drift_ppm)) || !CHECK(isfinite(fit.drift_bound_ppm)) ||
		    !CHECK(fit.drift_bound_ppm >= 0))
			return;
	}
}

static void test_longest(void)
{
	timeline = (struct timeline){ 0 };
	struct sample s = { .rtt_ns = UINT64_MAX, .offset_ns = INT64_MAX, .resolution_ns = 5 };
	timeline_add(&timeline, &s);
	struct clockfit fit = clockfit_of(&timeline);
	CHECK_INT(fit.offset_bound_ns, ((uint64_t)1 << 63) + 5);
	timeline.cells[0].best.resolution_ns = UINT64_MAX;
	CHECK(clockfit_of(&timeline).offset_bound_ns == UINT64_MAX);
}

int main(void)
{
	test_empty();
	test_offset();
	test_resolution();
	test_exact_line();
	test_far_away();
	test_bound_by_hand();
	test_clamped();
	test_queues_do_no_harm();
	test_step();
	test_single_line();
	test_paths();
	test_few_samples();
	test_hostile();
	test_longest();
	return check_done();
}
