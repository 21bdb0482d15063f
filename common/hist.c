/* hist.c - which cell a value falls into, and back. See hist.h. */
#include "hist.h"

#include <stddef.h>

/* A value with its highest bit at 6 + shift keeps that bit and the 6 bits below it; the `shift` bits under them are
 * dropped.
 *
 *	v = 0...0 1 ssssss xxx...x          cell = (shift + 1) * 64 + ssssss
 *	            |----| |-shift-|
 *
 * A value below 64 is its own cell. */
static size_t cell_of(uint64_t v)
{
	if (v < HIST_SPLIT)
		return (size_t)v;

	unsigned shift = 63 - 6 - (unsigned)__builtin_clzll(v);
	return (size_t)shift * HIST_SPLIT + (size_t)(v >> shift);
}

/* The greatest value in a cell. */
static uint64_t upper_edge(size_t cell)
{
	if (cell < HIST_SPLIT)
		return cell;

	size_t shift = cell / HIST_SPLIT - 1;
	uint64_t kept = HIST_SPLIT + cell % HIST_SPLIT;
	uint64_t dropped = ((uint64_t)1 << shift) - 1;
	return kept << shift | dropped;
}

static void widen(struct hist *h, uint64_t min, uint64_t max)
{
	if (h->n == 0 || min < h->min)
		h->min = min;
	if (max > h->max)
		h->max = max;
}

void hist_add(struct hist *h, uint64_t v)
{
	widen(h, v, v);
	h->n++;
	h->sum += (double)v;
	h->cells[cell_of(v)]++;
}

void hist_merge(struct hist *to, const struct hist *from)
{
	if (from->n == 0)
		return;

	widen(to, from->min, from->max);
	to->n += from->n;
	to->sum += from->sum;
	for (size_t i = 0; i < HIST_CELLS; i++)
		to->cells[i] += from->cells[i];
}

/* How many values lie at or below the quantile: q * n rounded up, 1..n.
 * WHY 1e-12: 0.07 * 100 is 7.000000000000001 in binary, and must not become 8. */
static uint64_t rank_of(double q, uint64_t n)
{
	double exact = q * (double)n * (1 - 1e-12);
	uint64_t rank = (uint64_t)exact + 1;

	return rank < n ? rank : n;
}

uint64_t hist_quantile(const struct hist *h, double q)
{
	if (h->n == 0 || !(q > 0)) /* this way round a NaN is 0 */
		return h->min;
	if (q >= 1)
		return h->max;

	uint64_t rank = rank_of(q, h->n), seen = 0;
	for (size_t i = 0; i < HIST_CELLS; i++) {
		seen += h->cells[i];
		if (seen >= rank)
			return upper_edge(i) < h->max ? upper_edge(i) : h->max;
	}
	return h->max;
}

double hist_mean(const struct hist *h)
{
	return h->n > 0 ? h->sum / (double)h->n : 0;
}
