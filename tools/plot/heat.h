/* heat.h - plot --heat: of lines with two names and some numbers, a matrix for each column of numbers. How it looks is heatmap.h. */
#ifndef PLOT_HEAT_H
#define PLOT_HEAT_H

#include "heatmap.h"

enum { HEAT_NAMES_MAX = 64, HEAT_MAPS_MAX = 8 };

/* The names of one side, in the order in which they came; owned. */
struct heat_side {
	char *name[HEAT_NAMES_MAX];
	size_t n;
};

/* The matrices, and the names that all of them share; zero it first, heat_free releases it. */
struct heat {
	struct heat_side left, above;
	size_t n_maps;
	struct heatmap map[HEAT_MAPS_MAX]; /* filled by heat_fill */
	double *value[HEAT_MAPS_MAX];
};

/* The number of a name on its side, which is new if there is none like it; HEAT_NAMES_MAX when there are too many. */
size_t heat_name(struct heat_side *side, const char *name);

/* Make the matrices. Line i of n_rows belongs to the names numbered column[0][i] and column[1][i]; its numbers, column[2][i] and so
 * on, go to one matrix each, with title[2] and so on. Returns the first line that is about a cell that had one before, n_rows if
 * there is none. */
size_t heat_fill(struct heat *h, double *const column[], char *const title[], size_t n_columns, size_t n_rows);

void heat_free(struct heat *h);

#endif
