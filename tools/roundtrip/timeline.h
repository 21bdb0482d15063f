/* timeline.h - a run of any length in fixed memory: cells of equal duration, and when they are used up, half as many
 * of twice the duration. Memory only.
 *
 * Of each cell the sample with the shortest RTT is kept, because it says most about the clocks: what is missing to
 * the shortest is time in queues, on one way or the other, and nobody knows on which. (The clock filter of RFC 5905
 * 10 does the same with the last eight.) */
#ifndef TCPLAB_ROUNDTRIP_TIMELINE_H
#define TCPLAB_ROUNDTRIP_TIMELINE_H

#include "sample.h"

#include <stddef.h>

enum { TIMELINE_CELLS = 256 };
static const uint64_t TIMELINE_FIRST_NS = 1000 * 1000; /* how long a cell is at first */

struct timeline_cell {
	uint64_t n;         /* samples; 0: none, and nothing else means anything */
	struct sample best; /* the one with the shortest RTT, the first of equals */
	uint64_t rtt_max_ns;
	double rtt_sum_ns;
};

/* All zero is an empty one. */
struct timeline {
	uint64_t cell_ns; /* 0 until the first sample */
	size_t n_cells;   /* those up to the last one with a sample */
	struct timeline_cell cells[TIMELINE_CELLS];
};

/* Samples may come in any order of at_ns. */
void timeline_add(struct timeline *t, const struct sample *s);

#endif
