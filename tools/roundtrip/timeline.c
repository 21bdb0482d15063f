/* timeline.c - cells that grow with the run. See timeline.h. */
#include "timeline.h"

/* `from` is the later one of the two. */
static void merge(struct timeline_cell *to, const struct timeline_cell *from)
{
	if (from->n == 0)
		return;
	if (to->n == 0 || from->best.rtt_ns < to->best.rtt_ns)
		to->best = from->best;
	if (from->rtt_max_ns > to->rtt_max_ns)
		to->rtt_max_ns = from->rtt_max_ns;
	to->rtt_sum_ns += from->rtt_sum_ns;
	to->n += from->n;
}

/* Two by two; the upper half is free afterwards. */
static void halve(struct timeline *t)
{
	for (size_t i = 0; i < TIMELINE_CELLS / 2; i++) {
		struct timeline_cell both = t->cells[2 * i];
		merge(&both, &t->cells[2 * i + 1]);
		t->cells[i] = both;
	}
	for (size_t i = TIMELINE_CELLS / 2; i < TIMELINE_CELLS; i++)
		t->cells[i] = (struct timeline_cell){ 0 };
	t->n_cells = (t->n_cells + 1) / 2;
	t->cell_ns *= 2;
}

void timeline_add(struct timeline *t, const struct sample *s)
{
	if (t->cell_ns == 0)
		t->cell_ns = TIMELINE_FIRST_NS;
	while (s->at_ns / t->cell_ns >= TIMELINE_CELLS)
		halve(t);

	size_t i = (size_t)(s->at_ns / t->cell_ns);
	struct timeline_cell one = { .n = 1, .best = *s, .rtt_max_ns = s->rtt_ns, .rtt_sum_ns = (double)s->rtt_ns };
	merge(&t->cells[i], &one);
	if (i >= t->n_cells)
		t->n_cells = i + 1;
}
