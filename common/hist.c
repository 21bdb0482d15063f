/* hist.c - which cell a value falls into, and back. See hist.h. */
#include "hist.h"

#include <stdbool.h>
#include <stddef.h>

/* A value with its highest bit at 6 + shift keeps that bit and the 6 bits below it; the `shift` bits under them are
 * dropped.
 *
 *	v = 0...0 1 ssssss xxx...x          cell = (shift + 1) * 64 + ssssss
 *	            |----| |-shift-|
 *
 * A value below 64 is its own cell. */
size_t hist_cell_of(uint64_t v)
{
	if (v < HIST_SPLIT)
		return (size_t)v;

	unsigned shift = 63 - 6 - (unsigned)__builtin_clzll(v);
	return (size_t)shift * HIST_SPLIT + (size_t)(v >> shift);
}

uint64_t hist_cell_max(size_t cell)
{
	if (cell < HIST_SPLIT)
		return cell;

	size_t shift = cell / HIST_SPLIT - 1;
	uint64_t kept = HIST_SPLIT + cell % HIST_SPLIT;
	uint64_t dropped = ((uint64_t)1 << shift) - 1;
	return kept << shift | dropped;
}

uint64_t hist_cell_min(size_t cell)
{
	return cell == 0 ? 0 : hist_cell_max(cell - 1) + 1;
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
	h->cells[hist_cell_of(v)]++;
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

void hist_since(struct hist *h, const struct hist *earlier)
{
	uint64_t min = h->min, max = h->max;

	h->n -= earlier->n;
	h->sum = h->n > 0 ? h->sum - earlier->sum : 0;
	h->min = h->max = 0;
	bool is_first = true;
	for (size_t i = 0; i < HIST_CELLS; i++) {
		h->cells[i] -= earlier->cells[i];
		if (h->cells[i] == 0)
			continue;
		if (is_first)
			h->min = hist_cell_min(i) > min ? hist_cell_min(i) : min;
		h->max = hist_cell_max(i) < max ? hist_cell_max(i) : max;
		is_first = false;
	}
}

static uint64_t plus(uint64_t a, uint64_t b)
{
	return a <= UINT64_MAX - b ? a + b : UINT64_MAX;
}

/* WHY whole cells: a cell does not know where in it its values lie. Were each one placed anew at every move, the
 * rounding would add up, and a thousand moves by 1 shift a wide cell by nothing, or by a thousand cells. So all cells of
 * one width go so many cells further, rounded up, and `ahead` remembers by how much that was too far: the
 * next move is shorter by that. */
static void move_row(struct hist *h, size_t row, uint64_t by)
{
	uint64_t width = row > 1 ? (uint64_t)1 << (row - 1) : 1;

	if (by <= h->ahead[row]) {
		h->ahead[row] -= by;
		return;
	}
	by -= h->ahead[row];
	h->ahead[row] = (width - by % width) % width;
	for (size_t i = HIST_SPLIT; i-- > 0;) {
		size_t from = row * HIST_SPLIT + i;
		uint64_t n = h->cells[from];
		if (n > 0) {
			h->cells[from] = 0;
			h->cells[hist_cell_of(plus(hist_cell_max(from), by))] += n;
		}
	}
}

void hist_move(struct hist *h, uint64_t by)
{
	if (h->n == 0)
		return;

	h->min = plus(h->min, by);
	h->max = plus(h->max, by);
	h->sum += (double)by * (double)h->n;
	for (size_t row = HIST_CELLS / HIST_SPLIT; row-- > 0;) /* from above: who has moved does not move again */
		move_row(h, row, by);
}

/* How many values lie at or below the quantile: q * n rounded up, 1..n.
 * WHY 1e-12: 0.07 * 100 is 7.000000000000001 in binary, and must not become 8. */
static uint64_t rank_of(double q, uint64_t n)
{
	double exact = q * (double)n * (1 - 1e-12);
	uint64_t rank = (uint64_t)exact + 1;

	return rank < n ? rank : n;
}

static uint64_t within(uint64_t v, uint64_t min, uint64_t max)
{
	return v < min ? min : v > max ? max : v;
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
			return within(hist_cell_max(i), h->min, h->max);
	}
	return h->max;
}

double hist_mean(const struct hist *h)
{
	return h->n > 0 ? h->sum / (double)h->n : 0;
}
