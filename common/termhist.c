/* termhist.c - see termhist.h. The widest bar is that of the fullest range; the others are in proportion. */
#include "termhist.h"

#include "units.h"

enum {
	WIDTH_MIN = 40,
	WIDTH_MAX = 240,
	HEIGHT_MIN = 4,
	HEIGHT_MAX = 60,
	LABEL = 9,  /* "  1.25 ms" */
	SHARE = 11, /* "  55.100 %" and a blank before it */
	FRAME = 3,  /* " |" and "|" */
};

/* How the lines divide the cells of the histogram. */
struct ranges {
	const struct hist *h;
	size_t first, cells; /* the cell where the first line begins, and how many cells a line has */
	size_t n;            /* lines */
	uint64_t fullest;
};

static unsigned clamp(unsigned v, unsigned min, unsigned max)
{
	return v < min ? min : v > max ? max : v;
}

static uint64_t count_of(const struct ranges *r, size_t line)
{
	size_t from = r->first + line * r->cells;
	uint64_t n = 0;

	for (size_t i = from; i < from + r->cells && i < HIST_CELLS; i++)
		n += r->h->cells[i];
	return n;
}

static struct ranges divide(const struct hist *h, size_t height)
{
	struct ranges r = { .h = h };
	size_t end = HIST_CELLS;

	while (h->cells[r.first] == 0)
		r.first++;
	while (h->cells[end - 1] == 0)
		end--;
	size_t used = end - r.first;
	r.cells = (used + height - 1) / height;
	r.n = (used + r.cells - 1) / r.cells;
	for (size_t line = 0; line < r.n; line++)
		if (count_of(&r, line) > r.fullest)
			r.fullest = count_of(&r, line);
	return r;
}

/* U+2588 is a full block, U+2589 to U+258F are seven to one eighths of it. */
static void write_bar_utf8(FILE *out, double columns, unsigned width)
{
	unsigned eighths = (unsigned)(columns * 8 + 0.5), full, rest;

	eighths = eighths > 0 ? eighths : 1;
	full = eighths / 8;
	rest = eighths % 8;
	for (unsigned i = 0; i < full; i++)
		fputs("\xe2\x96\x88", out);
	if (rest > 0)
		fprintf(out, "\xe2\x96%c", (int)(0x90 - rest));
	fprintf(out, "%*s", (int)(width - full - (rest > 0)), "");
}

static void write_bar_ascii(FILE *out, double columns, unsigned width)
{
	unsigned full = (unsigned)(columns + 0.5);

	if (full == 0)
		fputc('.', out);
	for (unsigned i = 0; i < full; i++)
		fputc('#', out);
	fprintf(out, "%*s", (int)(width - (full > 0 ? full : 1)), "");
}

static void write_bar(FILE *out, double share, unsigned width, bool utf8)
{
	if (!(share > 0))
		fprintf(out, "%*s", (int)width, "");
	else if (utf8)
		write_bar_utf8(out, share * width, width);
	else
		write_bar_ascii(out, share * width, width);
}

/* How many characters the largest number has. */
static unsigned digits_of(uint64_t n)
{
	unsigned digits = 1;

	for (; n >= 10; n /= 10)
		digits++;
	return digits;
}

void termhist_draw(FILE *out, const struct hist *h, unsigned width, unsigned height, bool utf8)
{
	if (h->n == 0) {
		fputs("no data\n", out);
		return;
	}
	struct ranges r = divide(h, clamp(height, HEIGHT_MIN, HEIGHT_MAX));
	unsigned digits = digits_of(r.fullest), others = LABEL + FRAME + 1 + digits + SHARE;
	width = clamp(width, WIDTH_MIN, WIDTH_MAX);
	unsigned bar = width > others + 4 ? width - others : 4;

	uint64_t seen = 0;
	for (size_t line = 0; line < r.n; line++) {
		char label[UNITS_TEXT];
		uint64_t n = count_of(&r, line), begin = hist_cell_min(r.first + line * r.cells);
		seen += n;
		fprintf(out, "%*s |", LABEL, units_duration(label, begin > h->min ? begin : h->min));
		write_bar(out, (double)n / (double)r.fullest, bar, utf8);
		fprintf(out, "| %*llu  %7.3f %%\n", (int)digits, (unsigned long long)n,
			100.0 * (double)seen / (double)h->n);
	}
}
