/* roundtrip_timeline_test.c - what the cells keep, against all samples sorted into cells by hand. */
#include "../../tools/roundtrip/timeline.h"

#include "check.h"
#include "prng.h"

static const uint64_t ms = 1000 * 1000;

static struct timeline t;

static void add(uint64_t at_ns, uint64_t rtt_ns, int64_t offset_ns)
{
	struct sample s = { .at_ns = at_ns, .rtt_ns = rtt_ns, .offset_ns = offset_ns };
	timeline_add(&t, &s);
}

static void test_first(void)
{
	t = (struct timeline){ 0 };
	add(0, 70, -5);
	CHECK_INT(t.cell_ns, TIMELINE_FIRST_NS);
	CHECK_INT(t.n_cells, 1);
	CHECK_INT(t.cells[0].n, 1);
	CHECK_INT(t.cells[0].best.rtt_ns, 70);
	CHECK_INT(t.cells[0].best.offset_ns, -5);
	CHECK_INT(t.cells[0].rtt_max_ns, 70);
	CHECK(t.cells[0].rtt_sum_ns == 70);
}

/* An RTT of 0 is one as well, and the first of equals stays. */
static void test_best(void)
{
	t = (struct timeline){ 0 };
	add(ms / 2, 70, 1);
	add(ms / 4, 90, 2);
	add(ms - 1, 60, 3);
	add(0, 60, 4);
	CHECK_INT(t.cells[0].n, 4);
	CHECK_INT(t.cells[0].best.offset_ns, 3);
	CHECK_INT(t.cells[0].best.at_ns, ms - 1);
	CHECK_INT(t.cells[0].rtt_max_ns, 90);
	CHECK(t.cells[0].rtt_sum_ns == 280);
	add(0, 0, 5);
	add(0, 1, 6);
	CHECK_INT(t.cells[0].best.offset_ns, 5);
}

/* Any order; empty cells between; the length is up to the last one. */
static void test_order(void)
{
	t = (struct timeline){ 0 };
	add(7 * ms, 1, 7);
	add(3 * ms, 1, 3);
	CHECK_INT(t.n_cells, 8);
	CHECK_INT(t.cells[7].best.offset_ns, 7);
	CHECK_INT(t.cells[3].best.offset_ns, 3);
	for (size_t i = 0; i < 8; i++)
		CHECK_INT(t.cells[i].n, i == 3 || i == 7);
}

/* The last moment of 256 cells, and the first one after it. */
static void test_halving(void)
{
	t = (struct timeline){ 0 };
	add(0, 50, 0);
	add(ms, 40, 1);
	add(2 * ms, 40, 2);
	add(3 * ms, 40, 3);
	add(4 * ms, 10, 4);
	add(7 * ms, 90, 7);
	add(256 * ms - 1, 30, 255);
	CHECK_INT(t.cell_ns, ms);
	CHECK_INT(t.n_cells, 256);
	add(256 * ms, 20, 256);
	CHECK_INT(t.cell_ns, 2 * ms);
	CHECK_INT(t.n_cells, 129);
	CHECK_INT(t.cells[0].best.offset_ns, 1);
	CHECK_INT(t.cells[0].n, 2);
	CHECK_INT(t.cells[0].rtt_max_ns, 50);
	CHECK(t.cells[0].rtt_sum_ns == 90);
	CHECK_INT(t.cells[1].best.offset_ns, 2); /* the first of equals */
	CHECK_INT(t.cells[2].best.offset_ns, 4); /* the right one is empty */
	CHECK_INT(t.cells[3].best.offset_ns, 7); /* the left one is */
	CHECK_INT(t.cells[3].n, 1);
	CHECK_INT(t.cells[127].best.offset_ns, 255);
	CHECK_INT(t.cells[128].best.offset_ns, 256);
	for (size_t i = 129; i < TIMELINE_CELLS; i++)
		CHECK_INT(t.cells[i].n, 0);
}

/* An odd number of cells, then a jump by many halvings at once. */
static void test_long_jump(void)
{
	t = (struct timeline){ 0 };
	add(2 * ms, 5, 2);
	add(255 * ms * 1024, 9, 3);
	CHECK_INT(t.cell_ns, 1024 * ms);
	CHECK_INT(t.n_cells, 256);
	CHECK_INT(t.cells[0].best.offset_ns, 2);
	CHECK_INT(t.cells[255].best.offset_ns, 3);
	add(UINT64_MAX, 9, 4);
	CHECK(UINT64_MAX / t.cell_ns < TIMELINE_CELLS && UINT64_MAX / t.cell_ns >= TIMELINE_CELLS / 2);
	CHECK_INT(t.cells[0].n, 2);
	CHECK_INT(t.cells[t.n_cells - 1].best.offset_ns, 4);
}

/* --- any run ------------------------------------------------------------------------------------------------------ */

enum { SAMPLES = 3000 };

static struct sample all[SAMPLES];

static struct timeline_cell by_hand(size_t n, size_t cell, uint64_t cell_ns)
{
	struct timeline_cell c = { 0 };
	for (size_t i = 0; i < n; i++) {
		const struct sample *s = &all[i];
		if (s->at_ns / cell_ns != cell)
			continue;
		if (c.n == 0 || s->rtt_ns < c.best.rtt_ns)
			c.best = *s;
		c.rtt_max_ns = s->rtt_ns > c.rtt_max_ns ? s->rtt_ns : c.rtt_max_ns;
		c.rtt_sum_ns += (double)s->rtt_ns;
		c.n++;
	}
	return c;
}

static void check_cells(size_t n)
{
	for (size_t i = 0; i < TIMELINE_CELLS; i++) {
		struct timeline_cell want = by_hand(n, i, t.cell_ns);
		const struct timeline_cell *got = &t.cells[i];
		if (!CHECK_INT(got->n, want.n) || want.n == 0)
			continue;
		CHECK_INT(got->best.rtt_ns, want.best.rtt_ns);
		CHECK_INT(got->best.offset_ns, want.best.offset_ns);
		CHECK_INT(got->rtt_max_ns, want.rtt_max_ns);
		CHECK(got->rtt_sum_ns == want.rtt_sum_ns);
		CHECK(i < t.n_cells);
	}
}

/* Runs of all lengths, most of them in order; different RTTs, so that there is one best. */
static void test_any_run(void)
{
	for (uint64_t run = 0; run < 20; run++) {
		size_t n = 1 + prng_word(1, run) % SAMPLES;
		t = (struct timeline){ 0 };
		for (size_t i = 0; i < n; i++) {
			uint64_t word = prng_word(run + 10, i);
			all[i] = (struct sample){
				.at_ns = (uint64_t)i * (ms << run / 4) + word % 1024 * ms,
				.rtt_ns = (word >> 40) * SAMPLES + i,
				.offset_ns = (int64_t)i,
			};
			timeline_add(&t, &all[i]);
		}
		check_cells(n);
	}
}

int main(void)
{
	test_first();
	test_best();
	test_order();
	test_halving();
	test_long_jump();
	test_any_run();
	return check_done();
}
