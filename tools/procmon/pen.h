/* pen.h - procmon: text for people, a line at a time, that never leaves its line. Memory only.
 *
 * What has no room is cut off, in the line and behind the last line, and the caller need not count.
 *
 * A process names itself, its files and its threads as it likes, and what it likes may be an escape sequence that
 * clears the screen, or types for whoever looks. So all words go through one door: a control character becomes '?',
 * and so does any character of which it is not certain that it takes one column (a combining or wide one, one that
 * turns the direction of writing round). With utf8 the letters of Latin, Greek and Cyrillic stay as they are;
 * without, ASCII. */
#ifndef PROCMON_PEN_H
#define PROCMON_PEN_H

#include "cdefs.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum { PEN_CELL = 320, PEN_NO_LIMIT = 0x7fffffff };

/* The caller's; `out` is borrowed. Output errors stay with the stream. */
struct pen {
	FILE *out;
	unsigned columns, lines; /* lines: those that are left. PEN_NO_LIMIT: as many as it likes */
	bool utf8;
	bool has_attributes; /* bold and colours (screen.h) may be put; each ends with its line */
	unsigned wrap;       /* what pen_put has no room for goes to the next line, to this column. 0: it is cut off */

	unsigned at; /* pen.c only: the next column of the open line */
	bool is_lit;
};

void pen_end(struct pen *p);                      /* of the line */
void pen_to(struct pen *p, unsigned column);      /* blanks up to there; none when it is there already */
void pen_light(struct pen *p, const char *light); /* an attribute of screen.h, from here on; SCREEN_PLAIN ends it */
unsigned pen_room(const struct pen *p);           /* columns left in this line */
void pen_put(struct pen *p, const char *fmt, ...) PRINTF_LIKE(2, 3); /* PEN_CELL bytes at most */

/* At most `most` columns of a text; where something is missing the last of them says so ("~"). */
void pen_plain(struct pen *p, unsigned most, const char *text);
void pen_right(struct pen *p, unsigned width, const char *text); /* at the right end of so many columns */
unsigned pen_columns(const char *text);                          /* that pen_plain takes for it */

/* As many lines as it needs, broken at blanks; each begins at column `indent`, the first where the pen is. At most
 * `most` lines. */
void pen_words(struct pen *p, unsigned indent, unsigned most, const char *text);

/* "[####++    ]": shares of the whole (0..1, NaN counts as 0), side by side, as many as there are. */
void pen_bar(struct pen *p, unsigned width, const double *share, unsigned n);

/* A column for each value: its height is its share of `top`. NaN is a gap; what is above 0 is never drawn as 0. */
void pen_trace(struct pen *p, const double *value, unsigned n, double top);
/* The same over `height` lines: this is line `row` of it, 0 the uppermost. */
void pen_trace_row(struct pen *p, const double *value, unsigned n, double top, unsigned height, unsigned row);

/* --- tables ------------------------------------------------------------------------------------------------------- */

/* A column of a table. The last one takes what is left, and is cut; of the others those with the lowest `leave` go
 * first when the table is too wide (0: it stays). */
struct pen_column {
	const char *title;
	bool is_left;
	unsigned leave, least,
		most; /* least: columns it has whatever is in it; most: columns it never gets more of, 0: none */
	void (*cell)(char out[static PEN_CELL], const void *row);
	const double *(*trace)(const void *row,
			       unsigned *n); /* instead of `cell`: drawn, each row by its own greatest */
};

/* What is shown of a list: a head line, then as many rows from `first` on as the pen has lines for, but `keep`.
 * `first` is moved back when less than a screen would be shown. */
struct pen_list {
	const struct pen_column *columns; /* ends with a row without a title */
	const void *const *row;           /* [n]; not NULL */
	size_t n, first;
	unsigned keep;
	const void *lit; /* this row is shown inverted, and marked; NULL: none */
};
void pen_table(struct pen *p, struct pen_list *list);

/* "12 s", "3 min 20 s", "2 h 5 min", "3 d 4 h" */
const char *pen_age(char out[static 32], uint64_t ns);
/* "14:03:10", with is_date "2026-11-22 14:03:10"; local time */
const char *pen_clock(char out[static 32], int64_t real_ns, bool is_date);

#endif
