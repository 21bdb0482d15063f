/* table.h - between status.c and table.c: the lines of flows. */
#ifndef RELAY_TABLE_H
#define RELAY_TABLE_H

#include "relay.h"

/* A row, and what is known of it beside. */
struct relay_line {
	const struct relay_row *row;
	uint64_t score;     /* the interesting ones are shown when there is no room for all */
	double rate_Bps[2]; /* since the last look */
};

enum { RELAY_COLUMNS = 12 };

struct relay_table {
	const struct relay *relay;
	const struct relay_column *columns;
	unsigned width[RELAY_COLUMNS]; /* 0: left out */
	struct relay_line *lines;
	size_t n, n_shown;
};

/* A line for each live flow of c, which is borrowed. Its owner frees `lines`. */
struct relay_table relay_table_of(const struct relay *relay, const struct relay_census *c, bool with_rates);

/* Rates since the last look, of each line and of all together, and remembers this one. False: it was the first. */
bool relay_table_rates(struct relay_table *t, struct relay_view *view, const struct relay_census *c,
		       double rate_Bps[2]);

/* The `most` interesting ones, in the order of their numbers: lines[0..n_shown). */
void relay_table_choose(struct relay_table *t, size_t most);

/* The `most` interesting ones, `columns` wide if that is possible (0: as wide as they want), and a title above. */
void relay_table_put(FILE *out, struct relay_table *t, unsigned columns, size_t most);

/* What is not plain ASCII becomes a question mark. */
void relay_put_plain(FILE *out, const char *text);

#endif
