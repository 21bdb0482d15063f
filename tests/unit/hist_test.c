/* hist_test.c - the histogram against a sorted array of the same values. */
#include "cdefs.h"
#include "check.h"
#include "hist.h"
#include "prng.h"

#include <stdbool.h>
#include <stdlib.h>

static struct hist h; /* 30 KB: too big for some stacks */

static void test_empty(void)
{
	h = (struct hist){ 0 };
	CHECK_INT(h.n, 0);
	CHECK_INT(hist_quantile(&h, 0), 0);
	CHECK_INT(hist_quantile(&h, 0.5), 0);
	CHECK_INT(hist_quantile(&h, 1), 0);
	CHECK(hist_mean(&h) == 0);
}

/* One value is its own minimum, maximum and every percentile, wherever it lies. */
static void test_single(void)
{
	static const uint64_t edges[] = { 0,         1,   63,  64,  65,         127,
					  128,       129, 255, 256, UINT32_MAX, (uint64_t)1 << 63,
					  UINT64_MAX };

	for (size_t i = 0; i < COUNT_OF(edges); i++) {
		h = (struct hist){ 0 };
		hist_add(&h, edges[i]);
		CHECK_INT(h.min, edges[i]);
		CHECK_INT(h.max, edges[i]);
		CHECK_INT(hist_quantile(&h, 0), edges[i]);
		CHECK_INT(hist_quantile(&h, 0.5), edges[i]);
		CHECK_INT(hist_quantile(&h, 1), edges[i]);
		CHECK(hist_mean(&h) == (double)edges[i]);
	}
}

static void test_small_values_are_exact(void)
{
	h = (struct hist){ 0 };
	for (uint64_t v = 1; v <= 100; v++)
		hist_add(&h, v);
	for (int percent = 1; percent <= 100; percent++)
		if (!CHECK_INT(hist_quantile(&h, percent / 100.0), percent))
			return;
	CHECK_INT(hist_quantile(&h, 0.001), 1);
	CHECK_INT(hist_quantile(&h, 0.991), 100);
	CHECK(hist_mean(&h) == 50.5);
}

/* The cells meet without gap or overlap: v and v + 1 lie in the same cell or in neighbours, at every power of two. */
static void test_order_is_kept(void)
{
	for (unsigned bit = 1; bit < 64; bit++) {
		uint64_t low = ((uint64_t)1 << bit) - 1, high = (uint64_t)1 << bit;
		h = (struct hist){ 0 };
		hist_add(&h, low);
		hist_add(&h, high);
		hist_add(&h, UINT64_MAX);
		CHECK_INT(hist_quantile(&h, 0.3), low); /* a power of two less one is an upper edge: exact */
		CHECK(hist_quantile(&h, 0.6) >= high);
		CHECK(hist_quantile(&h, 0.6) - high <= high / 64);
	}
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void check_quantiles(const uint64_t *sorted, size_t n)
{
	for (size_t per_mille = 0; per_mille <= 1000; per_mille++) {
		size_t rank = (per_mille * n + 999) / 1000; /* rounded up, as hist.h promises */
		uint64_t want = sorted[rank > 0 ? rank - 1 : 0];
		uint64_t got = hist_quantile(&h, (double)per_mille / 1000);
		if (!CHECK(got >= want) || !CHECK(got - want <= want / 64) || !CHECK(got <= sorted[n - 1]))
			return;
	}
}

/* Random values of every magnitude, in arrays of several sizes. */
static void test_against_sorted_array(void)
{
	static uint64_t values[5000];
	static const size_t sizes[] = { 1, 2, 3, 10, 999, 1000, 5000 };

	for (size_t s = 0; s < COUNT_OF(sizes); s++) {
		h = (struct hist){ 0 };
		for (size_t i = 0; i < sizes[s]; i++) {
			values[i] = prng_word(s, i) >> prng_word(s + 100, i) % 64;
			hist_add(&h, values[i]);
		}
		qsort(values, sizes[s], sizeof(values[0]), by_value);
		CHECK_INT(h.n, sizes[s]);
		CHECK_INT(h.min, values[0]);
		CHECK_INT(h.max, values[sizes[s] - 1]);
		check_quantiles(values, sizes[s]);
	}
}

static void test_merge(void)
{
	static struct hist a, b, both, empty;

	for (uint64_t i = 0; i < 1000; i++) {
		uint64_t v = prng_word(7, i) >> 40;
		hist_add(i % 3 == 0 ? &a : &b, v);
		hist_add(&both, v);
	}
	h = empty;
	hist_merge(&h, &a);
	CHECK_INT(memcmp(&h, &a, sizeof(h)), 0);
	hist_merge(&h, &empty);
	CHECK_INT(memcmp(&h, &a, sizeof(h)), 0);
	hist_merge(&h, &b);
	CHECK_INT(memcmp(&h, &both, sizeof(h)), 0); /* the sums are whole numbers below 2^53: exact */
}

/* What was added after the copy, and nothing else; min and max as good as a cell. */
static void test_since(void)
{
	static struct hist earlier, wanted;

	h = earlier;
	for (uint64_t i = 0; i < 1000; i++)
		hist_add(&h, prng_word(8, i) >> 44);
	earlier = h;
	for (uint64_t i = 0; i < 500; i++) {
		uint64_t v = 1000 + (prng_word(9, i) >> 50);
		hist_add(&h, v);
		hist_add(&wanted, v);
	}
	hist_since(&h, &earlier);
	CHECK_INT(h.n, 500);
	CHECK(h.sum == wanted.sum);
	CHECK_INT(memcmp(h.cells, wanted.cells, sizeof(h.cells)), 0);
	CHECK(h.min <= wanted.min && wanted.min - h.min <= wanted.min / 64);
	CHECK(h.max >= wanted.max && h.max - wanted.max <= wanted.max / 64);
	CHECK_INT(hist_quantile(&h, 0.5), hist_quantile(&wanted, 0.5));
}

static void test_since_of_nothing(void)
{
	static struct hist none;

	h = none;
	hist_add(&h, 77);
	hist_add(&h, 70000);
	hist_since(&h, &none);
	CHECK_INT(h.min, 77);
	CHECK_INT(h.max, 70000);
	struct hist same = h;
	hist_since(&h, &same);
	CHECK_INT(memcmp(&h, &none, sizeof(h)), 0);
}

/* Every cell ends where the next one begins, and its ends fall into it. */
static void test_cells(void)
{
	CHECK_INT(hist_cell_min(0), 0);
	CHECK(hist_cell_max(HIST_CELLS - 1) == UINT64_MAX);
	for (size_t i = 0; i < HIST_CELLS; i++) {
		bool ok = CHECK_INT(hist_cell_of(hist_cell_min(i)), i) && CHECK_INT(hist_cell_of(hist_cell_max(i)), i);
		if (!ok || (i > 0 && !CHECK_INT(hist_cell_min(i), hist_cell_max(i - 1) + 1)))
			return;
	}
}

static void test_odd_quantiles(void)
{
	h = (struct hist){ 0 };
	hist_add(&h, 10);
	hist_add(&h, 20);
	CHECK_INT(hist_quantile(&h, -1), 10);
	CHECK_INT(hist_quantile(&h, 2), 20);
	CHECK_INT(hist_quantile(&h, 0.0 / 0.0), 10);
}

/* --- moving ------------------------------------------------------------------------------------------------------- */

static void test_move_is_exact_below_128(void)
{
	h = (struct hist){ 0 };
	hist_move(&h, 5); /* nothing moves where nothing is */
	CHECK_INT(h.max, 0);
	for (uint64_t v = 0; v < 50; v++)
		hist_add(&h, v);
	for (int i = 0; i < 14; i++)
		hist_move(&h, 5);
	hist_move(&h, 0);
	CHECK_INT(h.n, 50);
	CHECK_INT(h.min, 70);
	CHECK_INT(h.max, 119);
	CHECK(hist_mean(&h) == 94.5);
	for (int i = 1; i <= 50; i++)
		CHECK_INT(hist_quantile(&h, i / 50.0), 69 + i);
}

static void check_moved(const uint64_t *values, size_t n)
{
	static uint64_t sorted[2000];
	double sum = 0;
	memcpy(sorted, values, n * sizeof(values[0]));
	qsort(sorted, n, sizeof(sorted[0]), by_value);
	for (size_t i = 0; i < n; i++)
		sum += (double)sorted[i];
	CHECK_INT(h.n, n);
	CHECK_INT(h.min, sorted[0]);
	CHECK_INT(h.max, sorted[n - 1]);
	CHECK(hist_mean(&h) > sum / (double)n * (1 - 1e-9) && hist_mean(&h) < sum / (double)n * (1 + 1e-9));
	for (size_t i = 0; i < n; i++) {
		uint64_t want = sorted[i], got = hist_quantile(&h, (double)(i + 1) / (double)n);
		uint64_t error = got > want ? got - want : want - got;
		if (!CHECK(error <= want / 16) || !CHECK(got >= sorted[0]))
			return;
	}
}

/* Values and moves mixed, by steps of every magnitude: the rounding does not add up, be it a thousand moves by 1. */
static void test_many_moves(void)
{
	static uint64_t values[2000];

	for (unsigned magnitude = 0; magnitude < 40; magnitude++) {
		size_t n = 0;
		h = (struct hist){ 0 };
		while (n < COUNT_OF(values)) {
			values[n] = prng_word(magnitude, n) >> (30 + prng_word(magnitude + 100, n) % 34);
			hist_add(&h, values[n++]);
			uint64_t by = magnitude == 0 ? 1 : prng_word(magnitude + 200, n) >> (64 - magnitude);
			hist_move(&h, by);
			for (size_t i = 0; i < n; i++)
				values[i] += by;
		}
		check_moved(values, n);
	}
}

/* 2000 moves ahead by a whole cell for 1; so 1039, which came later, does not move by 15, but the minimum knows better. */
static void test_move_knows_minimum(void)
{
	h = (struct hist){ 0 };
	hist_add(&h, 2000);
	hist_move(&h, 1);
	hist_add(&h, 1039);
	hist_move(&h, 15);
	CHECK_INT(h.min, 1054);
	CHECK_INT(hist_quantile(&h, 0.5), 1054);
}

/* What would grow beyond 64 bits stays at their end, and no value gets lost. */
static void test_move_to_the_end(void)
{
	h = (struct hist){ 0 };
	for (unsigned bit = 0; bit < 64; bit++)
		hist_add(&h, (uint64_t)1 << bit);
	hist_move(&h, UINT64_MAX - 5);
	CHECK(h.min == UINT64_MAX - 4 && h.max == UINT64_MAX);
	CHECK(hist_quantile(&h, 0.5) == UINT64_MAX);
	hist_move(&h, UINT64_MAX);
	hist_move(&h, 1);
	CHECK(h.min == UINT64_MAX && h.max == UINT64_MAX);
	CHECK_INT(h.n, 64);
	CHECK_INT(h.cells[HIST_CELLS - 1], 64);
}

int main(void)
{
	test_empty();
	test_single();
	test_small_values_are_exact();
	test_order_is_kept();
	test_against_sorted_array();
	test_merge();
	test_since();
	test_since_of_nothing();
	test_cells();
	test_odd_quantiles();
	test_move_is_exact_below_128();
	test_many_moves();
	test_move_knows_minimum();
	test_move_to_the_end();
	return check_done();
}
