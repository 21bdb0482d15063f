/* history.c - procmon's memory: rings of samples, and the marks. */
#include "history.h"

#include "cdefs.h"
#include "clock.h"
#include "mem.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Oldest at `first`. */
struct ring {
	size_t cap, first, n;
	int64_t *at_real_ns;
	double *mean, *least, *most; /* [cap][COLUMNS]; in the fine ring all three are the same array */
};

struct history {
	struct ring fine, coarse;

	/* The row of the coarse ring that is being filled. */
	int64_t period_end_ns, latest_real_ns;
	bool has_period;
	double mean[COLUMNS], least[COLUMNS], most[COLUMNS];
	unsigned n[COLUMNS];
};

/* --- rings -------------------------------------------------------------------------------------------------------- */

static void start_ring(struct ring *ring, size_t cap, bool is_fine)
{
	ring->cap = cap;
	ring->at_real_ns = xcalloc(cap, sizeof(*ring->at_real_ns));
	ring->mean = xcalloc(cap * COLUMNS, sizeof(*ring->mean));
	ring->least = is_fine ? ring->mean : xcalloc(cap * COLUMNS, sizeof(*ring->least));
	ring->most = is_fine ? ring->mean : xcalloc(cap * COLUMNS, sizeof(*ring->most));
}

static void free_ring(struct ring *ring)
{
	if (ring->least != ring->mean) {
		free(ring->least);
		free(ring->most);
	}
	free(ring->mean);
	free(ring->at_real_ns);
}

/* The place of one more row; the oldest gives way. */
static size_t push(struct ring *ring, int64_t at_real_ns)
{
	size_t at = (ring->first + ring->n) % ring->cap;
	if (ring->n == ring->cap)
		ring->first = (ring->first + 1) % ring->cap;
	else
		ring->n++;
	ring->at_real_ns[at] = at_real_ns;
	return at * COLUMNS;
}

/* --- the coarse ring ---------------------------------------------------------------------------------------------- */

static void begin_period(struct history *h, int64_t at_real_ns)
{
	const int64_t period_ns = (int64_t)HISTORY_COARSE_S * NS_PER_S;
	h->period_end_ns = at_real_ns - at_real_ns % period_ns + period_ns;
	h->has_period = true;
	for (size_t i = 0; i < COLUMNS; i++) {
		h->n[i] = 0;
		h->mean[i] = h->least[i] = h->most[i] = NAN;
	}
}

static void end_period(struct history *h)
{
	size_t at = push(&h->coarse, h->period_end_ns);
	memcpy(h->coarse.mean + at, h->mean, sizeof(h->mean));
	memcpy(h->coarse.least + at, h->least, sizeof(h->least));
	memcpy(h->coarse.most + at, h->most, sizeof(h->most));
}

static void add_to_period(struct history *h, const double value[static COLUMNS])
{
	for (size_t i = 0; i < COLUMNS; i++) {
		if (isnan(value[i]))
			continue;
		h->n[i]++;
		h->mean[i] = h->n[i] == 1 ? value[i] : h->mean[i] + (value[i] - h->mean[i]) / h->n[i];
		h->least[i] = fmin(h->least[i], value[i]); /* of a number and a NaN: the number */
		h->most[i] = fmax(h->most[i], value[i]);
	}
}

/* --- interface ---------------------------------------------------------------------------------------------------- */

struct history *history_new(uint64_t interval_ns)
{
	struct history *h = xcalloc(1, sizeof(*h));
	uint64_t rows = interval_ns > 0 ? (uint64_t)HISTORY_FINE_S * NS_PER_S / interval_ns : HISTORY_FINE_MAX;
	size_t cap = rows + 1 < HISTORY_FINE_MAX ? (size_t)rows + 1 : HISTORY_FINE_MAX;
	start_ring(&h->fine, cap > 2 ? cap : 2, true);
	start_ring(&h->coarse, HISTORY_COARSE, false);
	return h;
}

void history_free(struct history *h)
{
	if (h == NULL)
		return;
	free_ring(&h->fine);
	free_ring(&h->coarse);
	free(h);
}

void history_add(struct history *h, int64_t at_real_ns, const double value[static COLUMNS])
{
	size_t at = push(&h->fine, at_real_ns);
	memcpy(h->fine.mean + at, value, COLUMNS * sizeof(*value));
	if (h->has_period && at_real_ns >= h->period_end_ns) {
		end_period(h);
		h->has_period = false;
	}
	if (!h->has_period)
		begin_period(h, at_real_ns);
	add_to_period(h, value);
	h->latest_real_ns = at_real_ns;
}

static const struct ring *ring_of(const struct history *h, enum span span)
{
	return span == SPAN_2_HOURS ? &h->coarse : &h->fine;
}

/* The period that is not over yet is the last row: a chart of two hours should not be 12 s behind. */
static bool has_open_row(const struct history *h, enum span span)
{
	return span == SPAN_2_HOURS && h->has_period;
}

size_t history_rows(const struct history *h, enum span span)
{
	return ring_of(h, span)->n + has_open_row(h, span);
}

struct history_row history_row(const struct history *h, enum span span, size_t i)
{
	const struct ring *ring = ring_of(h, span);
	if (i >= ring->n)
		return (struct history_row){ h->latest_real_ns, h->mean, h->least, h->most };
	size_t at = (ring->first + i) % ring->cap;
	return (struct history_row){ ring->at_real_ns[at], ring->mean + at * COLUMNS, ring->least + at * COLUMNS,
				     ring->most + at * COLUMNS };
}

int64_t history_end_ns(const struct history *h)
{
	return h->latest_real_ns;
}

int64_t history_span_ns(enum span span)
{
	return (span == SPAN_2_HOURS ? (int64_t)HISTORY_COARSE * HISTORY_COARSE_S : HISTORY_FINE_S) * NS_PER_S;
}

/* --- marks -------------------------------------------------------------------------------------------------------- */

/* Cut off before the character that does not fit (RFC 3629: its first byte is not 10xxxxxx). */
static void copy_text(char *out, size_t cap, const char *text)
{
	size_t len = strlen(text);
	if (len >= cap) {
		len = cap - 1;
		while (len > 0 && ((unsigned char)text[len] & 0xc0) == 0x80)
			len--;
	}
	memcpy(out, text, len);
	out[len] = '\0';
}

void marks_add(struct marks *marks, int64_t at_real_ns, const char *label)
{
	if (marks->n == MARKS_MAX)
		memmove(marks->mark, marks->mark + 1, --marks->n * sizeof(*marks->mark));
	struct mark *mark = &marks->mark[marks->n++];
	mark->at_real_ns = at_real_ns;
	copy_text(mark->label, sizeof(mark->label), label);
	marks->total++;
}
