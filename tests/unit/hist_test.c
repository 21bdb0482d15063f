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
	return check_done();
}
