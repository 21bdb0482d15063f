/* pages.h - procmon: between the chapters that write its pages (html_*.c). Memory only, but for the clock.
 *
 * Every text of the process (its name, its words, its paths) goes through html_text or an argument of html.h that
 * escapes it. */
#ifndef PROCMON_PAGES_H
#define PROCMON_PAGES_H

#include "html.h"
#include "procmon.h"

/* What the pages are made of. The report is made of the same. */
void page_put_end(FILE *out, const struct watched *w);      /* how it ended, if it has; what cannot be read */
void page_put_identity(FILE *out, const struct watched *w); /* who it is */
void page_put_cards(FILE *out, const struct watched *w);    /* how it is, in numbers */
void page_put_charts(FILE *out, const struct watched *w, enum span span);
void page_put_comparison(FILE *out, const struct procmon *m, enum span span); /* of several processes */
void page_put_tree(FILE *out, const struct watched *w);
void page_put_figures(FILE *out, const struct watched *w,
		      bool is_open); /* every column: now, mean, most, and what it means */
void page_put_marks(FILE *out, const struct procmon *m);
void page_put_own(FILE *out, const struct watched *w); /* what procmon costs, and how punctual it is */
void page_put_threads(FILE *out, const struct watched *w);
void page_put_files(FILE *out, const struct watched *w);
void page_put_sockets(FILE *out, const struct watched *w);
void page_put_maps(FILE *out, const struct watched *w);
void page_put_limits(FILE *out, const struct watched *w);
void page_put_command(FILE *out, const struct watched *w);
void page_put_environ(FILE *out, const struct watched *w);

/* How old a table is that was read at at_ns (CLOCK_MONOTONIC): "" when it is fresh, "; as of 3 s ago", "; not read
 * yet". */
enum { PAGE_AGE = 64 };
const char *page_age_text(char out[static PAGE_AGE], const struct watched *w, uint64_t at_ns);

/* What cannot be read of a table; nothing for NULL, and for what page_put_end says already. */
void page_put_why(FILE *out, const struct watched *w, const char *why);

void page_put_state(FILE *out, char state);

/* The words of text[0..len), each ended by a zero byte: *at walks through them, and begins at 0. NULL: that was the
 * last. */
const char *page_next_word(const char *text, size_t len, size_t *at);

/* A cell with a number and a bar of its share of the whole. */
void page_put_share(struct html_table *t, const char *text, double share);

#endif
