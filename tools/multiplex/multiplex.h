/* multiplex.h - what the chapters of multiplex share. */
#ifndef MULTIPLEX_H
#define MULTIPLEX_H

#include "hist.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum multiplex_method { MULTIPLEX_SELECT, MULTIPLEX_POLL, MULTIPLEX_EPOLL, MULTIPLEX_METHODS };
enum multiplex_kind { MULTIPLEX_TCP, MULTIPLEX_EVENTFD };
enum { MULTIPLEX_COUNTS = 16 };

struct multiplex_options {
	bool json;
	int kind;
	const char *counts;
	uint64_t active, time_ns;
};

/* What was measured of one method at one number of idle connections; why_not is set when it could not be. */
struct multiplex_cell {
	struct hist round; /* ns */
	char why_not[96];
};

struct multiplex_table {
	uint64_t counts[MULTIPLEX_COUNTS];
	size_t n_counts;
	uint64_t fd_limit;
	struct multiplex_cell (*cells)[MULTIPLEX_METHODS]; /* a row for each count */
};

/* --- report.c ----------------------------------------------------------------------------------------------------- */

const char *multiplex_method_name(enum multiplex_method m);
size_t multiplex_count_measured(const struct multiplex_table *t);

void multiplex_print_start(const struct multiplex_options *o, const struct multiplex_table *t);
void multiplex_print_row(const struct multiplex_options *o, const struct multiplex_table *t, size_t row);
void multiplex_print_total(const struct multiplex_options *o, const struct multiplex_table *t, uint64_t elapsed_ns);

/* The error in errno as a line on stderr, and as a record. Always 1. */
int multiplex_fail(const struct multiplex_options *o, const char *op, const char *object);

#endif
