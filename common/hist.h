/* hist.h - a log-linear histogram: millions of latencies in 30 KB, and any percentile of them afterwards. Layer 1.
 *
 * Every power of two is cut into 64 cells of equal width, so that a cell is never wider than 1/64 of the values in it:
 *
 *	values      0..63   64..127   128..255   256..511   ...   2^63..2^64-1
 *	cell width      1         1          2          4   ...           2^57
 *
 * Two histograms merge by adding their cells: one per thread, no lock, one merge at the end.
 *
 * LIMIT: what is recorded is what was measured. A sender that waits for a late answer before it sends again leaves
 * out the worst moments (coordinated omission); measure from the intended send time, a histogram cannot repair it
 * afterwards. */
#ifndef TCPLAB_HIST_H
#define TCPLAB_HIST_H

#include <stddef.h>
#include <stdint.h>

enum {
	HIST_SPLIT = 64,              /* cells per power of two */
	HIST_CELLS = 59 * HIST_SPLIT, /* 0..63, then the 58 powers of two from 2^6 to 2^63 */
};

/* Owned by whoever embeds it; all zero is a valid, empty histogram. The values are nanoseconds by convention. Read
 * min and max freely (0 when empty), leave the cells to the functions below. */
struct hist {
	uint64_t n, min, max;
	double sum;
	uint64_t cells[HIST_CELLS];
	uint64_t ahead[HIST_CELLS / HIST_SPLIT]; /* hist.c's own: see hist_move */
};

/* Count one value. */
void hist_add(struct hist *h, uint64_t v);

/* Add everything counted in `from` to `to`. */
void hist_merge(struct hist *to, const struct hist *from);

/* What was counted since `earlier`, which is a copy of the same histogram: takes it away again. min and max become those
 * of the cells that are left: as precise as a percentile, and never outside of what they were. Not with a hist_move between
 * the two. */
void hist_since(struct hist *h, const struct hist *earlier);

/* All values so far grow by `by`: they are differences to something that turned out to be smaller. Costs a walk over all
 * cells. What comes out of cells that were moved, once or a million times, is right within 1/16 and may be too
 * small as well; n, min, max and the mean remain exact. */
void hist_move(struct hist *h, uint64_t by);

/* The value that a share q of all values does not exceed: 0.5 is the median, 0.99 the 99th percentile. Never too
 * small, and too large by 1/64 at most (but see hist_move); exact for q <= 0 (min), q >= 1 (max) and values below 128.
 * 0 when empty. */
uint64_t hist_quantile(const struct hist *h, double q);

/* The arithmetic mean; 0 when empty. */
double hist_mean(const struct hist *h);

/* For those who draw: the cell that a value falls into, and the least and the greatest value of a cell. */
size_t hist_cell_of(uint64_t v);
uint64_t hist_cell_min(size_t cell);
uint64_t hist_cell_max(size_t cell);

#endif
