/* html.h - the pages that a tool shows of itself: their frame, their one style sheet, and the pieces they are made
 * of. Layer 1.
 *
 *	static const struct html_link nav[] = { { "/", "overview" }, { "/files", "files" } };
 *	const struct html_page page = { .tool = "procmon", .what = "4711 httpd", .nav = nav, .n_nav = 2,
 *		.here = "/files", .stream = "/stream?as=html&page=files", .reload_s = 5 };
 *	html_begin(out, &page);
 *	put_main(out);                          what changes: the stream sends the same again and again
 *	html_end(out, &page, "For programs: <a href=\"/json\">/json</a>.");
 *
 * A page brings everything with it: no font, no script, no picture from elsewhere; light or dark as the viewer
 * prefers; on a phone its tables become cards. It is complete without a script, and then loads itself again every
 * reload_s. With one, what `stream` sends (server-sent events, each the new contents of <main>) takes the place of
 * <main>; nothing is asked for while the page is hidden, and nothing is replaced while somebody marks text or types.
 *
 * WHO ESCAPES  a text from elsewhere (a process's name, a client's target) goes through html_text, or through an
 *   argument that is called `text`, `name` or `fmt` here. An argument that is called `html` or `class` is the
 *   program's own, and is written as it is.
 * Everything is borrowed for the call. Output errors stay with the stream: check ferror(3). */
#ifndef TCPLAB_HTML_H
#define TCPLAB_HTML_H

#include "cdefs.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* ---- Text. ---- */

/* Text as HTML or XML, also as an attribute between quotes: & < > " ' are escaped, control characters become blanks,
 * and a byte that is no UTF-8 becomes U+FFFD. Of any length. */
void html_text(FILE *out, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* ---- The page. ---- */

struct html_link {
	const char *href, *name;
};

struct html_page {
	const char *tool;            /* "procmon" */
	const char *what;            /* beside it: what is shown; or NULL */
	const char *icon_href;       /* the tool's sign, where it is served; or NULL */
	const struct html_link *nav; /* tabs; or NULL */
	size_t n_nav;
	const char *here;     /* the href of the tab that is shown */
	const char *stream;   /* NULL: the page does not change, and has no script */
	const char *source;   /* whose end it is when the stream ends: "the relay"; NULL: the tool's name */
	const char *html_bar; /* the program's own, below the tabs, and not in <main>: it does not change; or NULL */
	unsigned reload_s;    /* without a script; 0: never */
};

/* From <!doctype> to <main>. */
void html_begin(FILE *out, const struct html_page *page);

/* From </main> to </html>. html: of the footer; or NULL. */
void html_end(FILE *out, const struct html_page *page, const char *html);

/* html_style.c: the two constant parts of every page. The script reads where to listen from the element #live:
 * data-stream, and data-source for what people are told. */
extern const char html_style[], html_script[];

/* ---- Pieces of <main>. ---- */

/* The colours that mean something. */
enum html_mood { HTML_PLAIN, HTML_OK, HTML_WARN, HTML_BAD };

/* <h2>, and beside it, smaller; `small` may be NULL. */
void html_heading(FILE *out, const char *name, const char *small_fmt, ...) PRINTF_LIKE(3, 4);

/* A line about something that is to be known. */
void html_note(FILE *out, enum html_mood mood, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* The same, but quietly: small and dim. */
void html_remark(FILE *out, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* A word on a coloured ground. */
void html_pill(FILE *out, enum html_mood mood, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* How much of the whole, 0 to 1, other values are moved there. class: "", or "up" and "down" for the two colours of
 * ways; tip: shown when somebody points at it; or NULL. */
void html_bar(FILE *out, const char *class, double share, const char *tip_text);

/* The run of a value as a small picture: points at equal distances, the last one at the right, NaN is a gap; the
 * height is `most` at least. With fewer than `n_all` points, the left part is empty. class: "", "up", "down". */
void html_spark(FILE *out, const char *class, const double *y, size_t n, size_t n_all, double most);

/* Cards, a number in each: <div class="cards">, then for each html_card, or html_card_begin, whatever there is,
 * html_card_end; then html_cards_end. class: "", "wide", "up", "down", "alarm", also several. */
void html_cards_begin(FILE *out);
void html_cards_end(FILE *out);
void html_card(FILE *out, const char *class, const char *name, const char *value_text, const char *below_fmt, ...)
	PRINTF_LIKE(5, 6);
void html_card_begin(FILE *out, const char *class, const char *name, const char *value_text);
void html_card_below(FILE *out, const char *fmt, ...) PRINTF_LIKE(2, 3); /* a line below the number */
void html_card_end(FILE *out);

/* ---- Tables. ---- */

/* A column. On a phone a row is a card, and `name` stands before each of its cells. */
struct html_column {
	const char *head; /* a newline in it breaks the line */
	const char *name; /* on a phone; NULL: head */
	/* NULL; "n": a number, to the right; "name": may be long; "words": a sentence; "code": as it was typed;
	 * "time"; "id": no wider than it has to be; "up", "down": of the two ways. Also several. */
	const char *class;
};

/* A table that is being written: rows from left to right. Only the functions below touch it. */
struct html_table {
	FILE *out;
	const struct html_column *columns;
	size_t n, at; /* at: the column that comes next; n before the first row */
	bool has_rows;
};

/* heading and all: <table><thead>. */
void html_table_begin(struct html_table *t, FILE *out, const struct html_column *columns, size_t n);
void html_row(struct html_table *t); /* a new row begins; the last one ends, and may be shorter */
void html_cell(struct html_table *t, const char *fmt, ...) PRINTF_LIKE(2, 3);
FILE *html_cell_begin(struct html_table *t); /* whatever comes until html_cell_end */
void html_cell_end(struct html_table *t);
void html_small(FILE *out, const char *fmt, ...) PRINTF_LIKE(2, 3); /* in a cell: a line below, dimmer */
void html_cell_two(struct html_table *t, const char *text, const char *small_text); /* both; small_text may be "" */

/* Without a row: `none` stands there instead ("Nobody is connected."); or NULL. */
void html_table_end(struct html_table *t, const char *none_text);

/* A table of names and values: html_pairs_begin, html_pair for each, html_pairs_end. */
void html_pairs_begin(FILE *out);
void html_pair(FILE *out, const char *name, const char *fmt, ...) PRINTF_LIKE(3, 4);
void html_pairs_end(FILE *out);

/* A grid for charts (svg_inline in svg.h), two beside each other where there is room. */
void html_charts_begin(FILE *out);
void html_charts_end(FILE *out);

#endif
