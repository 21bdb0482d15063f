/* clockfit.c - bands, the lines through them, and the one that fits best. See clockfit.h.
 *
 *	cells --> bands_of --> slopes_through: which slopes are possible   --+--> drift and its bound
 *	                  \--> line_of: which one is the most likely one   --+ */
#include "clockfit.h"

#include <math.h>
#include <stdlib.h>

/* What the offset can have been at a moment. Offsets are differences to the one of the best sample: a double has 53
 * bits, and a clock that stands at 1970 is 61 bits away. */
struct band {
	double at_s; /* since the first one */
	double middle_ns, half_ns;
	double excess_ns; /* of the RTT, above the shortest one */
};

struct bands {
	const struct sample *best; /* the sample with the shortest RTT */
	size_t n;
	struct band all[TIMELINE_CELLS];
};

static const struct sample *best_of(const struct timeline *t)
{
	const struct sample *best = NULL;
	for (size_t i = 0; i < t->n_cells; i++) {
		const struct timeline_cell *c = &t->cells[i];
		if (c->n > 0 && (best == NULL || c->best.rtt_ns < best->rtt_ns))
			best = &c->best;
	}
	return best;
}

/* --- bands -------------------------------------------------------------------------------------------------------- */

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return x < y ? -1 : x > y;
}

/* The shortest RTT that came is not the shortest that there is: a bit of queue was on it, too, and nobody knows how
 * much. The cells tell how much a bit is: if the best of a cell is usually so much above the best of all, then that
 * one is hardly as much above the floor, and half of an excess is what an offset can be off. From few cells that is a
 * guess, so it is taken many times: eleven times half of the median for three cells, twice for thirty. */
static double slack_of(const struct bands *b)
{
	double excess_ns[TIMELINE_CELLS];
	for (size_t i = 0; i < b->n; i++)
		excess_ns[i] = b->all[i].excess_ns;
	qsort(excess_ns, b->n, sizeof(excess_ns[0]), by_value);
	double median_ns = excess_ns[b->n / 2];
	double stamps_ns = b->best->resolution_ns > 0 ? (double)b->best->resolution_ns : 1;
	return median_ns / 2 * (1 + 32 / (double)b->n) + stamps_ns;
}

static void bands_of(struct bands *b, const struct timeline *t)
{
	*b = (struct bands){ .best = best_of(t) };
	uint64_t first_ns = 0;
	for (size_t i = 0; i < t->n_cells; i++) {
		const struct sample *s = &t->cells[i].best;
		if (t->cells[i].n == 0)
			continue;
		if (b->n == 0)
			first_ns = s->at_ns;
		b->all[b->n++] = (struct band){
			.at_s = (double)(s->at_ns - first_ns) / 1e9,
			.middle_ns = (double)ns_minus(s->offset_ns, b->best->offset_ns),
			.excess_ns = (double)(s->rtt_ns - b->best->rtt_ns),
		};
	}
	double slack_ns = b->n > 0 ? slack_of(b) : 0;
	for (size_t i = 0; i < b->n; i++)
		b->all[i].half_ns = b->all[i].excess_ns / 2 + slack_ns;
}

/* --- lines -------------------------------------------------------------------------------------------------------- */

struct slopes {
	double min, max; /* ns per s, which is 1/1000 ppm */
};

/* From the bottom of one band to the top of a later one: nothing steeper passes through both. From the top of one to
 * the bottom of a later one: nothing flatter. What passes through every two of them passes through all (Helly's
 * theorem). */
static struct slopes slopes_through(const struct bands *b, double widen)
{
	struct slopes s = { -INFINITY, INFINITY };
	for (size_t j = 1; j < b->n; j++)
		for (size_t i = 0; i < j; i++) {
			const struct band *p = &b->all[i], *q = &b->all[j];
			double rise_ns = q->middle_ns - p->middle_ns, play_ns = widen * (p->half_ns + q->half_ns);
			double run_s = q->at_s - p->at_s;
			s.min = fmax(s.min, (rise_ns - play_ns) / run_s);
			s.max = fmin(s.max, (rise_ns + play_ns) / run_s);
		}
	return s;
}

static bool is_possible(struct slopes s)
{
	return s.min <= s.max;
}

struct line {
	double slope;           /* ns per s */
	double at_s, offset_ns; /* it passes through this point */
};

/* Weighted least squares: a band half as wide counts four times. */
static struct line line_of(const struct bands *b)
{
	double sum = 0, at_s = 0, offset_ns = 0, above = 0, below = 0;
	for (size_t i = 0; i < b->n; i++) {
		const struct band *p = &b->all[i];
		double weight = 1 / (p->half_ns * p->half_ns);
		sum += weight;
		at_s += weight * p->at_s;
		offset_ns += weight * p->middle_ns;
	}
	at_s /= sum;
	offset_ns /= sum;
	for (size_t i = 0; i < b->n; i++) {
		const struct band *p = &b->all[i];
		double weight = 1 / (p->half_ns * p->half_ns), run_s = p->at_s - at_s;
		above += weight * run_s * (p->middle_ns - offset_ns);
		below += weight * run_s * run_s;
	}
	return (struct line){ above / below, at_s, offset_ns };
}

static double within(double v, double min, double max)
{
	return v < min ? min : v > max ? max : v;
}

static void fit_drift(struct clockfit *fit, const struct bands *b)
{
	double widen = 1;
	while (!is_possible(slopes_through(b, widen)))
		widen *= 2;
	fit->is_straight = widen == 1;
	/* WHY once more: bands that only just let a line through let a single one through, and its bound would be 0. */
	if (!fit->is_straight)
		widen *= 2;

	struct slopes s = slopes_through(b, widen);

	struct line line = line_of(b);
	line.slope = within(line.slope, s.min, s.max);
	fit->has_drift = true;
	fit->drift_ppm = line.slope / 1000;
	fit->drift_bound_ppm = fmax(s.max - line.slope, line.slope - s.min) / 1000;
	double end_ns = line.offset_ns + line.slope * (b->all[b->n - 1].at_s - line.at_s);
	fit->end_offset_ns = ns_plus(fit->offset_ns, ns_from_double(end_ns));
}

struct clockfit clockfit_of(const struct timeline *t)
{
	struct clockfit fit = { 0 };
	struct bands b;
	bands_of(&b, t);
	if (b.best == NULL)
		return fit;

	fit.has_offset = true;
	fit.offset_ns = fit.end_offset_ns = b.best->offset_ns;
	fit.offset_bound_ns = b.best->rtt_ns / 2 + b.best->rtt_ns % 2;
	if (__builtin_add_overflow(fit.offset_bound_ns, b.best->resolution_ns, &fit.offset_bound_ns))
		fit.offset_bound_ns = UINT64_MAX;
	fit.at_ns = b.best->at_ns;
	if (b.n >= 3)
		fit_drift(&fit, &b);
	return fit;
}
