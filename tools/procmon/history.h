/* history.h - procmon's memory: two rings of samples for each process, and the marks. Memory only.
 *
 *	the last 10 minutes     each sample, HISTORY_FINE_MAX of them at most: so less with less than 100 ms between them
 *	the last 2 hours        mean, least and greatest of each 12 s
 *
 * A value that was not read is NaN and stays a gap. Times are CLOCK_REALTIME ns as they were at the sample; they
 * ascend. */
#ifndef PROCMON_HISTORY_H
#define PROCMON_HISTORY_H

#include "columns.h"

#include <stddef.h>
#include <stdint.h>

enum {
	HISTORY_FINE_S = 600,
	HISTORY_FINE_MAX = 6000,
	HISTORY_COARSE_S = 12,
	HISTORY_COARSE = 600, /* rows: 2 hours */
};

enum span { SPAN_10_MINUTES, SPAN_2_HOURS, SPANS };

struct history;

struct history *history_new(uint64_t interval_ns); /* the caller's; history_free */
void history_free(struct history *h);              /* may be NULL */
void history_add(struct history *h, int64_t at_real_ns, const double value[static COLUMNS]);

/* Rows of a span, oldest first. mean is the value itself in the fine ring, and so are least and most. */
struct history_row {
	int64_t at_real_ns;                /* of a coarse row: its end, but of the last one: the latest sample */
	const double *mean, *least, *most; /* [COLUMNS] */
};
size_t history_rows(const struct history *h, enum span span);
struct history_row history_row(const struct history *h, enum span span, size_t i);

/* When the span ends for who draws it: at the latest sample. 0 without any. */
int64_t history_end_ns(const struct history *h);
int64_t history_span_ns(enum span span); /* 600 s or 7200 s */

/* --- marks ------------------------------------------------------------------------------------------------------- */

enum { MARKS_MAX = 100, MARK_LABEL = 64 };

struct marks {
	size_t n; /* the oldest goes when one more comes */
	uint64_t total;
	struct mark {
		int64_t at_real_ns;
		char label[MARK_LABEL]; /* UTF-8, cut off at a character */
	} mark[MARKS_MAX];
};
void marks_add(struct marks *marks, int64_t at_real_ns, const char *label);

#endif
