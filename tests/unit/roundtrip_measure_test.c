/* roundtrip_measure_test.c - stamps by hand, and what must come out of them; then what a liar, or a clock that is
 * set, can do. */
#include "../../tools/roundtrip/measure.h"

#include "cdefs.h"
#include "check.h"
#include "prng.h"

#include <math.h>

static const int64_t epoch = 1700000000 * (int64_t)1000000000; /* where our clock is when the run begins */

static struct measure m; /* 400 KB */

/* Sent at 1000 (50 too late), received at 11000; the server's clock is 7 us ahead. 3 us up, 2 us of work, 5 us down. */
static struct exchange sound(void)
{
	return (struct exchange){
		.intended_ns = 950,
		.sent_ns = 1000,
		.received_ns = 11000,
		.t1 = epoch + 1000,
		.t2 = epoch + 4000 + 7000,
		.t3 = epoch + 6000 + 7000,
		.t4 = epoch + 11000,
		.resolution_ns = 3,
	};
}

/* The same, with the kernels' stamps: 100, 200 to the wire; 2000 on it; 700 to wake; 300, 150, 4000, 550. */
static struct exchange with_kernels(void)
{
	struct exchange x = sound();
	x.k1_sched = x.t1 + 100;
	x.k1_sent = x.t1 + 300;
	x.k2 = x.t2 - 700;
	x.k3_sched = x.t3 + 300;
	x.k3_sent = x.t3 + 450;
	x.k4 = x.t4 - 550;
	return x;
}

/* --- arithmetic --------------------------------------------------------------------------------------------------- */

static void test_arithmetic(void)
{
	CHECK_INT(ns_minus(3, 5), -2);
	CHECK_INT(ns_minus(INT64_MIN, 1), INT64_MIN);
	CHECK_INT(ns_minus(0, INT64_MIN), INT64_MAX);
	CHECK_INT(ns_minus(-1, INT64_MIN), INT64_MAX); /* fits */
	CHECK_INT(ns_plus(3, -5), -2);
	CHECK_INT(ns_plus(INT64_MAX, 1), INT64_MAX);
	CHECK_INT(ns_plus(INT64_MIN, -1), INT64_MIN);
	CHECK_INT(ns_from_double(1.5), 2);
	CHECK_INT(ns_from_double(1.4), 1);
	CHECK_INT(ns_from_double(-1.5), -2);
	CHECK_INT(ns_from_double(-1.4), -1);
	volatile double too_large = 0x1p63; /* unknown to the compiler, which would convert it as we wish */
	CHECK_INT(ns_from_double(too_large), INT64_MAX);
	CHECK_INT(ns_from_double(0x1p62), (int64_t)1 << 62);
	CHECK_INT(ns_from_double(-0x1p63), INT64_MIN);
	CHECK_INT(ns_from_double(-0x1p63 * 1.5), INT64_MIN);
	CHECK_INT(ns_from_double(INFINITY), INT64_MAX);
	CHECK_INT(ns_from_double(-INFINITY), INT64_MIN);
}

/* --- samples ------------------------------------------------------------------------------------------------------ */

static void test_sample(void)
{
	struct exchange x = sound();
	struct sample s = sample_of(&x);
	CHECK_INT(s.at_ns, 11000);
	CHECK_INT(s.rtt_ns, 8000);
	CHECK_INT(s.corrected_ns, 8050);
	CHECK_INT(s.offset_ns, 7000 - 1000); /* the ways differ by 2 us: half of that is the error */
	CHECK_INT(s.up_ns, 3000 + 7000);
	CHECK_INT(s.down_ns, 5000 - 7000);
	CHECK_INT(s.resolution_ns, 3);

	x.t3 = x.t2; /* a plain one */
	s = sample_of(&x);
	CHECK_INT(s.rtt_ns, 10000);
	CHECK_INT(s.offset_ns, 7000 - 2000);
}

/* The RTT is by the monotonic clock: our own clock may be set meanwhile. And nobody sends before the intended time. */
static void test_own_clock_set(void)
{
	struct exchange x = sound();
	x.t4 -= 3600 * (int64_t)1000000000;
	x.intended_ns = 1200;
	struct sample s = sample_of(&x);
	CHECK_INT(s.rtt_ns, 8000);
	CHECK_INT(s.corrected_ns, 8000);
}

static void test_no_time_passed(void)
{
	struct exchange x = sound();
	x.received_ns = x.sent_ns - 10;
	CHECK_INT(sample_of(&x).rtt_ns, 0);
	x.t3 = x.t2;
	CHECK_INT(sample_of(&x).rtt_ns, 0);
}

/* What the server claims to have done in between: all of the time, more than that, less than nothing. */
static void test_dwell(void)
{
	static const struct {
		int64_t dwell_ns;
		uint64_t rtt_ns;
	} rows[] = { { 10000, 0 }, { 9999, 1 }, { 10001, 10000 },         { -1, 10000 },
		     { 0, 10000 }, { 1, 9999 }, { INT64_MAX / 2, 10000 }, { -INT64_MAX / 2, 10000 } };
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct exchange x = sound();
		x.t3 = x.t2 + rows[i].dwell_ns;
		CHECK_INT(sample_of(&x).rtt_ns, rows[i].rtt_ns);
	}
}

/* The mean of two odd numbers and of two that together do not fit. */
static void test_offset_is_exact(void)
{
	struct exchange x = { .sent_ns = 1, .received_ns = 9, .t1 = 10, .t2 = 15, .t3 = 17, .t4 = 14 };
	CHECK_INT(sample_of(&x).offset_ns, 4); /* (5 + 3) / 2 */
	x = (struct exchange){ .t1 = -10, .t2 = INT64_MAX - 10, .t3 = INT64_MAX - 10, .t4 = -10 };
	CHECK_INT(sample_of(&x).offset_ns, INT64_MAX);
	x = (struct exchange){ .t1 = 4, .t2 = 1, .t3 = 1, .t4 = 4 };
	CHECK_INT(sample_of(&x).offset_ns, -3);
	x = (struct exchange){ .t1 = 0, .t2 = 5, .t3 = 5, .t4 = 12 };
	CHECK_INT(sample_of(&x).offset_ns, -1); /* (5 - 7) / 2 */
}

static void test_kernel_sample(void)
{
	struct exchange x = with_kernels();
	struct sample s;
	CHECK(sample_of_kernels(&x, &s));
	CHECK_INT(s.at_ns, 11000);
	CHECK_INT(s.up_ns, 2000 + 7000);
	CHECK_INT(s.down_ns, 4000 - 7000);
	CHECK_INT(s.rtt_ns, 6000);
	CHECK_INT(s.corrected_ns, 6050);
	CHECK_INT(s.offset_ns, 6000);
	CHECK_INT(s.resolution_ns, 3);
}

static void test_kernel_stamps_missing(void)
{
	for (int i = 0; i < 6; i++) {
		struct exchange x = with_kernels();
		struct sample s;
		int64_t *stamps[] = { &x.k1_sent, &x.k2, &x.k3_sent, &x.k4, &x.k1_sched, &x.k3_sched };
		*stamps[i] = 0;
		CHECK_INT(sample_of_kernels(&x, &s), i >= 4); /* the last two are not needed */
	}
}

static void test_kernel_clock_set(void)
{
	struct exchange x = with_kernels();
	struct sample s;
	x.k4 = x.k1_sent - 1;
	CHECK(!sample_of_kernels(&x, &s));
	x.k4 = x.k1_sent + 10000;
	CHECK(sample_of_kernels(&x, &s));
	x.k4++;
	CHECK(!sample_of_kernels(&x, &s));
}

/* --- histograms, jitter, timeline --------------------------------------------------------------------------------- */

/* Ways in ns, with a difference of the clocks in them. */
static void add_ways(uint64_t at_ns, uint64_t up_ns, uint64_t down_ns, int64_t offset_ns)
{
	struct exchange x = { .intended_ns = at_ns, .sent_ns = at_ns, .received_ns = at_ns + up_ns + down_ns };
	x.t1 = epoch + (int64_t)at_ns;
	x.t2 = x.t3 = x.t1 + (int64_t)up_ns + offset_ns;
	x.t4 = x.t1 + (int64_t)(up_ns + down_ns);
	measure_add(&m, &x);
}

static void test_add(void)
{
	m = (struct measure){ 0 };
	add_ways(1000000, 30, 70, -500);
	add_ways(2000000, 50, 60, -500);
	add_ways(3000000, 10, 90, -500);
	CHECK_INT(m.rtt.n, 3);
	CHECK_INT(m.rtt.min, 100);
	CHECK_INT(m.rtt.max, 110);
	CHECK_INT(m.corrected.n, 3);
	CHECK_INT(m.up_min_ns, 10 - 500);
	CHECK_INT(m.down_min_ns, 60 + 500);
	CHECK_INT(m.up_excess.n, 3); /* 20, 40, 0 */
	CHECK_INT(m.up_excess.min, 0);
	CHECK_INT(m.up_excess.max, 40);
	CHECK_INT(hist_quantile(&m.up_excess, 0.5), 20);
	CHECK_INT(m.down_excess.max, 30); /* 10, 0, 30 */
	CHECK_INT(hist_quantile(&m.down_excess, 0.5), 10);
	CHECK_INT(m.n_jitter, 2);
	CHECK(m.rtt_jitter_ns == 10 + 10);
	CHECK(m.up_jitter_ns == 20 + 40);
	CHECK(m.down_jitter_ns == 10 + 30);
	CHECK_INT(m.timeline.n_cells, 4);
	CHECK_INT(m.timeline.cells[2].best.rtt_ns, 110);
	CHECK_INT(m.kernel.n_cells, 0);
	CHECK_INT(m.trip.next + m.down.next + m.sent, 0);
	for (int i = 0; i < STAGES; i++)
		CHECK_INT(m.stages[i].n, 0);
}

/* The excess is never below 0 and min is always 0, whatever the clocks differ by and in whatever order the values
 * come. */
static void test_excess(void)
{
	static uint64_t ups[2000];
	m = (struct measure){ 0 };
	for (uint64_t i = 0; i < COUNT_OF(ups); i++) {
		ups[i] = 1000000 + prng_word(3, i) % 500000 - i * 400; /* shorter and shorter */
		add_ways(i, ups[i], 5, 1 - epoch);
	}
	uint64_t min = UINT64_MAX, max = 0, below = 0;
	for (size_t i = 0; i < COUNT_OF(ups); i++) {
		min = ups[i] < min ? ups[i] : min;
		max = ups[i] > max ? ups[i] : max;
	}
	CHECK_INT(m.up_min_ns, (int64_t)min + 1 - epoch);
	CHECK_INT(m.up_excess.min, 0);
	CHECK_INT(m.up_excess.max, max - min);
	uint64_t median = hist_quantile(&m.up_excess, 0.5);
	for (size_t i = 0; i < COUNT_OF(ups); i++)
		below += ups[i] - min <= median;
	CHECK(below > 900 && below < 1100);
	CHECK_INT(m.down_excess.max, 0);
}

static void test_corrected(void)
{
	struct exchange x = sound();
	m = (struct measure){ 0 };
	measure_add(&m, &x);
	CHECK_INT(m.rtt.max, 8000);
	CHECK_INT(m.corrected.max, 8050);
}

/* --- stages ------------------------------------------------------------------------------------------------------- */

static void test_stages(void)
{
	static const uint64_t want[STAGES] = { 100, 200, 6000, 700, 2000, 300, 150, 550, 0 };
	struct exchange x = with_kernels();
	m = (struct measure){ 0 };
	measure_add_stages(&m, &x);
	uint64_t sum = 0;
	for (int i = 0; i < STAGES; i++) {
		CHECK_INT(m.stages[i].n, i != STAGE_WIRE_HARDWARE);
		CHECK_INT(m.stages[i].max, want[i]);
		sum += m.stages[i].max;
	}
	CHECK_INT(sum, 10000); /* nothing is missing, nothing counts twice */
	CHECK_INT(m.kernel.n_cells, 1);
	CHECK_INT(m.kernel.cells[0].best.rtt_ns, 6000);
	CHECK_INT(m.rtt.n, 0);
	CHECK_INT(m.timeline.n_cells, 0);

	x = sound();
	x.h1 = 50;
	x.h2 = 900000;
	x.h3 = 903000;
	x.h4 = 8050;
	m = (struct measure){ 0 };
	measure_add_stages(&m, &x);
	CHECK_INT(m.stages[STAGE_WIRE_HARDWARE].max, 5000);
	CHECK_INT(m.stages[STAGE_SERVER_WORK].max, 2000);
	for (int i = 0; i < STAGES; i++)
		CHECK_INT(m.stages[i].n, i == STAGE_WIRE_HARDWARE || i == STAGE_SERVER_WORK);
	CHECK_INT(m.kernel.n_cells, 0);
}

/* Without one of its stamps a stage does not count, and the others do; also in 1970, when a 0 is near. */
static void stamp_missing(int missing, int64_t earlier_ns)
{
	struct exchange x = with_kernels();
	x.h1 = x.h2 = x.h3 = earlier_ns + 7;
	x.h4 = earlier_ns + 9;
	int64_t *stamps[] = { &x.t1,       &x.t2,      &x.t3, &x.t4, &x.k1_sched, &x.k1_sent, &x.k2,
			      &x.k3_sched, &x.k3_sent, &x.k4, &x.h1, &x.h2,       &x.h3,      &x.h4 };
	static const unsigned needs[] = {
		1 << STAGE_ASK_QUEUE,
		1 << STAGE_SERVER_WAKE | 1 << STAGE_SERVER_WORK,
		1 << STAGE_SERVER_WORK | 1 << STAGE_ANSWER_QUEUE,
		1 << STAGE_WAKE,
		1 << STAGE_ASK_QUEUE | 1 << STAGE_ASK_DEVICE,
		1 << STAGE_ASK_DEVICE | 1 << STAGE_WIRE,
		1 << STAGE_WIRE | 1 << STAGE_SERVER_WAKE,
		1 << STAGE_ANSWER_QUEUE | 1 << STAGE_ANSWER_DEVICE,
		1 << STAGE_ANSWER_DEVICE | 1 << STAGE_WIRE,
		1 << STAGE_WIRE | 1 << STAGE_WAKE,
		1 << STAGE_WIRE_HARDWARE,
		1 << STAGE_WIRE_HARDWARE,
		1 << STAGE_WIRE_HARDWARE,
		1 << STAGE_WIRE_HARDWARE,
	};
	for (size_t i = 0; i < COUNT_OF(stamps); i++)
		*stamps[i] -= earlier_ns;
	*stamps[missing] = 0;
	m = (struct measure){ 0 };
	measure_add_stages(&m, &x);
	for (int i = 0; i < STAGES; i++)
		if (!CHECK_INT(m.stages[i].n, !(needs[missing] >> i & 1)))
			fprintf(stderr, "    stage %s without stamp %d\n", stage_names[i], missing);
}

static void test_stamps_missing(void)
{
	for (int missing = 0; missing < 14; missing++) {
		stamp_missing(missing, 0);
		stamp_missing(missing, epoch);
	}
}

/* A clock was set between two stamps: backwards, or far ahead. Not 0, and not an hour, but nothing. */
static void test_impossible_stages(void)
{
	struct exchange x = sound();
	x.t3 = x.t2 - 1;
	m = (struct measure){ 0 };
	measure_add_stages(&m, &x);
	CHECK_INT(m.stages[STAGE_SERVER_WORK].n, 0);
	x.t3 = x.t2 + 10001;
	measure_add_stages(&m, &x);
	CHECK_INT(m.stages[STAGE_SERVER_WORK].n, 0);
	x.t3 = x.t2 + 10000;
	measure_add_stages(&m, &x);
	x.t3 = x.t2;
	measure_add_stages(&m, &x);
	CHECK_INT(m.stages[STAGE_SERVER_WORK].n, 2);

	x = with_kernels();
	x.k3_sent = x.k2 - 1; /* would make the wire longer */
	measure_add_stages(&m, &x);
	x.k3_sent = x.k2 + 9151; /* k4 - k1_sent is 9150 */
	measure_add_stages(&m, &x);
	CHECK_INT(m.stages[STAGE_WIRE].n, 0);
}

static void test_stage_names(void)
{
	for (int i = 0; i < STAGES; i++)
		for (int j = 0; j < i; j++)
			CHECK(strcmp(stage_names[i], stage_names[j]) != 0);
	CHECK_STR(stage_names[STAGE_ASK_QUEUE], "ask_queue");
	CHECK_STR(stage_names[STAGE_WIRE], "wire");
	CHECK_STR(stage_names[STAGE_WIRE_HARDWARE], "wire_hardware");
}

/* --- losses ------------------------------------------------------------------------------------------------------- */

static void check_losses(uint64_t lost, uint64_t up, uint64_t down, uint64_t unknown)
{
	struct losses l = measure_losses(&m);
	CHECK_INT(l.lost, lost);
	CHECK_INT(l.up, up);
	CHECK_INT(l.down, down);
	CHECK_INT(l.unknown, unknown);
}

static void see(struct track *t, uint64_t from, uint64_t until)
{
	for (; from < until; from++)
		track_see(t, from);
}

/* Ten questions: 2 lost on the way up, 5 on the way down, 8 and 9 we do not know. */
static void lossy(void)
{
	m = (struct measure){ .sent = 10, .up = { true, 8, 7, 0, 0 } };
	see(&m.trip, 0, 2);
	see(&m.trip, 3, 5);
	see(&m.trip, 6, 8);
	see(&m.down, 0, 4); /* the server's answers: 0 1 3 4 (5) 6 7 */
	see(&m.down, 5, 7);
}

static void test_losses(void)
{
	m = (struct measure){ 0 };
	check_losses(0, 0, 0, 0);
	m.up.is_known = true;
	check_losses(0, 0, 0, 0);

	lossy();
	CHECK(measure_losses(&m).has_directions);
	check_losses(4, 1, 1, 2);
	m.up.is_known = false;
	CHECK(!measure_losses(&m).has_directions);
	check_losses(4, 0, 0, 0);
}

/* Nothing came back: nobody knows where they went. */
static void test_all_lost(void)
{
	m = (struct measure){ .sent = 10, .up = { true, 0, 0, 0, 0 } };
	check_losses(10, 0, 0, 10);
}

/* Question 5 was answered, but its answer came too late: neither way lost it. */
static void test_late_answer(void)
{
	lossy();
	track_see(&m.down, 4);
	check_losses(4, 1, 0, 3);
}

/* When the server last told, it had not seen question 2; it came afterwards, and so did its answer. */
static void test_overtaken(void)
{
	m = (struct measure){ .sent = 8, .up = { true, 8, 7, 0, 0 } };
	see(&m.trip, 0, 8);
	check_losses(0, 0, 0, 0);
}

/* A lying server: whatever it says, the shares are shares of what was lost. */
static void test_liar(void)
{
	static const uint64_t lies[] = { 0, 1, 5, 9, 10, 11, UINT64_MAX - 1, UINT64_MAX };
	for (size_t i = 0; i < COUNT_OF(lies) * COUNT_OF(lies) * COUNT_OF(lies); i++) {
		lossy();
		m.up.next = lies[i % COUNT_OF(lies)];
		m.up.received = lies[i / COUNT_OF(lies) % COUNT_OF(lies)];
		track_see(&m.down, lies[i / COUNT_OF(lies) / COUNT_OF(lies)]);
		struct losses l = measure_losses(&m);
		CHECK_INT(l.lost, 4);
		CHECK(l.up <= 4 && l.down <= 4 && l.unknown <= 4 && l.up + l.down + l.unknown == 4);
	}
	lossy();
	m.up.next = 11; /* there are ten */
	check_losses(4, 3, 1, 0);
	lossy();
	m.up.received = 9; /* of eight */
	check_losses(4, 0, 1, 3);
	lossy();
	m.up.next = 5; /* and what about the answers to 6 and 7? */
	m.up.received = 0;
	check_losses(4, 0, 0, 4);
	see(&m.trip, 0, 20); /* more answers than questions */
	check_losses(0, 0, 0, 0);
}

/* --- anything ----------------------------------------------------------------------------------------------------- */

static int64_t any_stamp(uint64_t i)
{
	static const int64_t stamps[] = { INT64_MIN, INT64_MIN + 1, -1, 0, 1, INT64_MAX - 1, INT64_MAX };
	uint64_t word = prng_word(5, i);
	return word % 3 == 0 ? epoch + (int64_t)(word >> 50) : stamps[(word >> 8) % COUNT_OF(stamps)];
}

/* UBSan looks on; and every figure is a number. */
static void test_hostile(void)
{
	m = (struct measure){ 0 };
	for (uint64_t i = 0; i < 20000; i++) {
		struct exchange x = { .intended_ns = i,
				      .sent_ns = i + i % 7,
				      .received_ns = i + prng_word(6, i) % 30000 };
		int64_t *stamps[] = { &x.t1,       &x.t2,      &x.t3, &x.t4, &x.k1_sched, &x.k1_sent, &x.k2,
				      &x.k3_sched, &x.k3_sent, &x.k4, &x.h1, &x.h2,       &x.h3,      &x.h4 };
		for (size_t j = 0; j < COUNT_OF(stamps); j++)
			*stamps[j] = any_stamp(i * COUNT_OF(stamps) + j);
		struct sample s = sample_of(&x);
		uint64_t elapsed = x.received_ns > x.sent_ns ? x.received_ns - x.sent_ns : 0;
		if (!CHECK(s.rtt_ns <= elapsed) || !CHECK(s.corrected_ns >= s.rtt_ns))
			break;
		measure_add(&m, &x);
		measure_add_stages(&m, &x);
	}
	CHECK_INT(m.rtt.n, 20000);
	CHECK_INT(m.up_excess.min, 0);
	CHECK(m.up_excess.max == UINT64_MAX && m.down_excess.max == UINT64_MAX); /* from INT64_MIN to INT64_MAX */
	CHECK(isfinite(m.up_jitter_ns) && isfinite(m.down_jitter_ns) && isfinite(m.rtt_jitter_ns));
	CHECK(m.up_jitter_ns > 0 && m.down_jitter_ns > 0 && m.rtt_jitter_ns > 0);
	for (int i = 0; i < STAGES; i++)
		CHECK(m.stages[i].max <= 30000);
}

int main(void)
{
	test_arithmetic();
	test_sample();
	test_own_clock_set();
	test_no_time_passed();
	test_dwell();
	test_offset_is_exact();
	test_kernel_sample();
	test_kernel_stamps_missing();
	test_kernel_clock_set();
	test_add();
	test_excess();
	test_corrected();
	test_stages();
	test_stamps_missing();
	test_impossible_stages();
	test_stage_names();
	test_losses();
	test_all_lost();
	test_late_answer();
	test_overtaken();
	test_liar();
	test_hostile();
	return check_done();
}
