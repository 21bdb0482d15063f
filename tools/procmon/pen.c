/* pen.c - see pen.h. */
#include "pen.h"

#include "clock.h"
#include "mem.h"
#include "screen.h"

#include <math.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

/* --- characters --------------------------------------------------------------------------------------------------- */

/* Letters that take one column on every terminal, and of which UTF-8 makes two bytes: Latin, Greek, Cyrillic,
 * without the soft hyphen and the accents that join the letter before. */
static bool is_letter(unsigned code)
{
	return (code >= 0xa1 && code < 0x300 && code != 0xad) || (code >= 0x370 && code < 0x483) ||
	       (code >= 0x48a && code < 0x530);
}

static bool is_continuation(char c)
{
	return ((unsigned char)c & 0xc0) == 0x80;
}

/* Takes one character off the text; out: what may be shown for it, one column. */
static void take_plain(const char **text, bool utf8, char out[static 3])
{
	const char *at = *text;
	unsigned char c = (unsigned char)*at++;
	unsigned len = 1;
	memcpy(out, "?", 2);
	if (c >= ' ' && c < 0x7f)
		out[0] = (char)c;
	for (; c >= 0xc0 && len < 4 && is_continuation(*at); at++)
		len++;
	if (utf8 && len == 2 && c < 0xe0 && is_letter((c & 0x1fu) << 6 | ((unsigned char)at[-1] & 0x3fu)))
		snprintf(out, 3, "%.2s", *text);
	*text = at;
}

unsigned pen_columns(const char *text)
{
	char ignored[3];
	unsigned n = 0;
	for (; *text != '\0'; n++)
		take_plain(&text, false, ignored);
	return n;
}

/* --- lines -------------------------------------------------------------------------------------------------------- */

unsigned pen_room(const struct pen *p)
{
	return p->lines > 0 && p->at < p->columns ? p->columns - p->at : 0;
}

/* One column, by a character that is known to be good. */
static void put_glyph(struct pen *p, const char *glyph)
{
	if (pen_room(p) == 0)
		return;
	fputs(glyph, p->out);
	p->at++;
}

void pen_to(struct pen *p, unsigned column)
{
	while (p->at < column && pen_room(p) > 0)
		put_glyph(p, " ");
}

void pen_light(struct pen *p, const char *light)
{
	if (!p->has_attributes || p->lines == 0)
		return;
	fputs(light, p->out);
	p->is_lit = strcmp(light, SCREEN_PLAIN) != 0;
}

void pen_end(struct pen *p)
{
	if (p->lines == 0)
		return;
	if (p->is_lit)
		pen_light(p, SCREEN_PLAIN);
	putc('\n', p->out);
	p->at = 0;
	if (p->lines != PEN_NO_LIMIT)
		p->lines--;
}

void pen_plain(struct pen *p, unsigned most, const char *text)
{
	unsigned room = pen_room(p), columns = pen_columns(text);
	char glyph[3];
	if (room > most)
		room = most;
	for (unsigned n = columns > room && room > 0 ? room - 1 : columns; n > 0 && pen_room(p) > 0; n--) {
		take_plain(&text, p->utf8, glyph);
		put_glyph(p, glyph);
	}
	if (columns > room && room > 0)
		put_glyph(p, p->utf8 ? "…" : "~");
}

/* A comma stays where it is, for which one column is kept free, and what follows it begins the next line. */
static const char *wrap(struct pen *p, const char *text)
{
	if (p->wrap == 0 || p->at <= p->wrap || pen_columns(text) < pen_room(p))
		return text;
	if (*text == ',' || *text == ';')
		pen_plain(p, 1, (char[]){ *text++, '\0' });
	pen_end(p);
	pen_to(p, p->wrap);
	return text + strspn(text, " ");
}

void pen_put(struct pen *p, const char *fmt, ...)
{
	char text[PEN_CELL];
	va_list args;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	pen_plain(p, PEN_NO_LIMIT, wrap(p, text));
}

void pen_right(struct pen *p, unsigned width, const char *text)
{
	unsigned columns = pen_columns(text);
	if (columns < width)
		pen_to(p, p->at + width - columns);
	pen_plain(p, width, text);
}

/* --- paragraphs --------------------------------------------------------------------------------------------------- */

/* How many bytes of the text make a line of `room` columns: up to a blank, or all of it, or cut where there is none. */
static size_t line_len(const char *text, unsigned room)
{
	const char *at = text, *blank = NULL;
	char ignored[3];
	for (unsigned n = 0; n < room && *at != '\0'; n++) {
		if (*at == ' ')
			blank = at;
		take_plain(&at, false, ignored);
	}
	if (*at == '\0' || *at == ' ' || blank == NULL || blank == text)
		return (size_t)(at - text);
	return (size_t)(blank - text);
}

void pen_words(struct pen *p, unsigned indent, unsigned most, const char *text)
{
	char glyph[3];
	for (unsigned line = 1; p->lines > 0; line++) {
		pen_to(p, indent);
		unsigned room = pen_room(p);
		if (room == 0 || line == most) {
			pen_plain(p, PEN_NO_LIMIT, text);
			text = "";
		}
		for (const char *end = text + line_len(text, room); text < end;) {
			take_plain(&text, p->utf8, glyph);
			put_glyph(p, glyph);
		}
		text += strspn(text, " ");
		pen_end(p);
		if (*text == '\0')
			return;
	}
}

/* --- drawings ----------------------------------------------------------------------------------------------------- */

static const char *const eighths_across[] = { " ", "▏", "▎", "▍", "▌", "▋", "▊", "▉", "█" };
static const char *const eighths_up[] = { " ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█" };
/* The same ladder in ASCII: the more ink the more. */
static const char *const ink[] = { " ", "_", ".", ":", "-", "=", "+", "*", "#" };
/* In a chart of several lines ink would lie above ink: there it is empty, low, high, full. */
static const char *const ink_up[] = { " ", ".", ".", ".", ":", ":", ":", "#", "#" };

static double share_of(double value, double whole)
{
	double share = whole > 0 ? value / whole : 0;
	return isnan(share) || share < 0 ? 0 : share > 1 ? 1 : share;
}

void pen_bar(struct pen *p, unsigned width, const double *share, unsigned n)
{
	static const char *const light[] = { SCREEN_GREEN, SCREEN_RED, SCREEN_YELLOW };
	static const char *const fill[] = { "█", "▓", "▒" }, *const ascii[] = { "#", "+", "=" };
	if (width < 3)
		return;
	unsigned inner = (width - 2) * 8, begin = p->at + 1, drawn = 0;
	double sum = 0;
	put_glyph(p, "[");
	for (unsigned i = 0; i < n && i < COUNT_OF(fill); i++) {
		sum += share_of(share[i], 1);
		unsigned end = (unsigned)lround(share_of(sum, 1) * inner);
		pen_light(p, light[i]);
		for (; drawn + 8 <= end; drawn += 8)
			put_glyph(p, p->utf8 ? fill[i] : ascii[i]);
		if (i + 1 == n && end > drawn)
			put_glyph(p, p->utf8 ? eighths_across[end - drawn] : end - drawn >= 4 ? ascii[i] : ".");
	}
	pen_light(p, SCREEN_PLAIN);
	pen_to(p, begin + width - 2);
	put_glyph(p, "]");
}

/* In eighths of a line, from 1 to 8 * height; 0 is a gap. */
static unsigned height_of(double value, double top, unsigned height)
{
	if (isnan(value))
		return 0;
	unsigned eighths = (unsigned)lround(share_of(value, top) * 8 * height);
	unsigned least = value > 0 ? 2 : 1;
	return eighths < least ? least : eighths;
}

void pen_trace_row(struct pen *p, const double *value, unsigned n, double top, unsigned height, unsigned row)
{
	const char *const *ladder = p->utf8 ? eighths_up : height > 1 ? ink_up : ink;
	unsigned below = (height - 1 - row) * 8;
	for (unsigned i = 0; i < n; i++) {
		unsigned h = height_of(value[i], top, height);
		unsigned here = h <= below ? 0 : h - below;
		put_glyph(p, ladder[here < 8 ? here : 8]);
	}
}

void pen_trace(struct pen *p, const double *value, unsigned n, double top)
{
	pen_trace_row(p, value, n, top, 1, 0);
}

/* --- tables ------------------------------------------------------------------------------------------------------- */

enum { COLUMNS_MAX = 16, GAP = 2, LAST_LEAST = 12, MARGIN = 1 };

struct widths {
	unsigned of[COLUMNS_MAX]; /* 0: left out */
	unsigned n;
};

static unsigned widest(const struct pen_column *c, const void *const *row, size_t n)
{
	char cell[PEN_CELL];
	unsigned width = pen_columns(c->title);
	width = width > c->least ? width : c->least;
	for (size_t i = 0; i < n && c->cell != NULL; i++) {
		cell[0] = '\0';
		c->cell(cell, row[i]);
		unsigned columns = pen_columns(cell);
		width = columns > width ? columns : width;
	}
	return c->most > 0 && width > c->most ? c->most : width;
}

/* All of them, the last with LAST_LEAST. */
static unsigned sum_of(const struct widths *w)
{
	unsigned sum = MARGIN + LAST_LEAST;
	for (unsigned i = 0; i + 1 < w->n; i++)
		sum += w->of[i] > 0 ? w->of[i] + GAP : 0;
	return sum;
}

static struct widths measure(const struct pen *p, const struct pen_column *columns, const void *const *row, size_t n)
{
	struct widths w = { 0 };
	for (; w.n < COLUMNS_MAX && columns[w.n].title != NULL; w.n++)
		w.of[w.n] = widest(&columns[w.n], row, n);
	for (unsigned turn = 1; turn <= COLUMNS_MAX && sum_of(&w) > p->columns; turn++) {
		for (unsigned i = 0; i + 1 < w.n; i++) {
			if (columns[i].leave == turn)
				w.of[i] = 0;
		}
	}
	return w;
}

static void put_trace(struct pen *p, const struct pen_column *c, const void *row, unsigned width)
{
	unsigned n;
	const double *value = c->trace(row, &n);
	double top = 0;
	if (n > width) {
		value += n - width;
		n = width;
	}
	for (unsigned i = 0; i < n; i++)
		top = value[i] > top ? value[i] : top;
	pen_trace(p, value, n, top);
}

/* A row, or with row NULL the head. */
static void put_row(struct pen *p, const struct pen_column *columns, const struct widths *w, const void *row)
{
	char cell[PEN_CELL];
	unsigned at = p->at;
	for (unsigned i = 0; i < w->n; i++) {
		bool is_last = i + 1 == w->n;
		if (w->of[i] == 0)
			continue;
		pen_to(p, at);
		unsigned width = is_last ? pen_room(p) : w->of[i];
		snprintf(cell, sizeof(cell), "%s", row == NULL ? columns[i].title : "");
		if (row != NULL && columns[i].cell != NULL)
			columns[i].cell(cell, row);
		if (row != NULL && columns[i].trace != NULL)
			put_trace(p, &columns[i], row, width);
		else if (columns[i].is_left || is_last)
			pen_plain(p, width, cell);
		else
			pen_right(p, width, cell);
		at += width + GAP;
	}
}

void pen_table(struct pen *p, struct pen_list *list)
{
	size_t room = p->lines > list->keep + 1 ? p->lines - list->keep - 1 : 0;
	size_t shown = list->n < room ? list->n : room;
	if (list->first > list->n - shown)
		list->first = list->n - shown;
	const void *const *row = list->row + list->first;
	struct widths w = measure(p, list->columns, row, shown);
	pen_light(p, SCREEN_DIM);
	pen_to(p, MARGIN);
	put_row(p, list->columns, &w, NULL);
	pen_end(p);
	for (size_t i = 0; i < shown; i++) {
		bool is_lit = row[i] == list->lit;
		pen_light(p, is_lit ? SCREEN_INVERT : SCREEN_PLAIN);
		pen_put(p, "%s", is_lit ? ">" : "");
		pen_to(p, MARGIN);
		put_row(p, list->columns, &w, row[i]);
		pen_to(p, is_lit ? p->columns : 0);
		pen_end(p);
	}
}

/* --- times -------------------------------------------------------------------------------------------------------- */

const char *pen_age(char out[static 32], uint64_t ns)
{
	unsigned long long s = ns / NS_PER_S;
	if (s < 60)
		snprintf(out, 32, "%llu s", s);
	else if (s < 3600)
		snprintf(out, 32, "%llu min %llu s", s / 60, s % 60);
	else if (s < 86400)
		snprintf(out, 32, "%llu h %llu min", s / 3600, s / 60 % 60);
	else
		snprintf(out, 32, "%llu d %llu h", s / 86400, s / 3600 % 24);
	return out;
}

const char *pen_clock(char out[static 32], int64_t real_ns, bool is_date)
{
	time_t s = (time_t)(real_ns / NS_PER_S);
	struct tm t;
	if (localtime_r(&s, &t) == NULL || strftime(out, 32, is_date ? "%Y-%m-%d %H:%M:%S" : "%H:%M:%S", &t) == 0)
		snprintf(out, 32, "-");
	return out;
}
