/* impair.c - when each byte of a stream may leave. See impair.h.
 *
 * First the words in which people say what is to happen, there and back. Then the state. Bytes are counted, never kept: `in`
 * have come, `out` have gone, and what is between them waits in the pump. Bytes that came together are due together, so there
 * is a mark where they end. Marks are sorted by both, since nothing overtakes:
 *
 *	        out                                  in
 *	---------|------------|-------|--------------|
 *	  gone     due 10:01    10:04      10:04       */
#include "impair.h"

#include "clock.h"
#include "mem.h"
#include "prng.h"
#include "units.h"
#include "vocab.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_DELAY_NS UINT64_C(60000000000)
#define MAX_RATE_BPS UINT64_C(100000000000)
#define MAX_SIZE     UINT64_C(1125899906842624) /* 1024T: a double is exact so far, and so are sizes (units.h) */

enum { WORD_LEN = 64 }; /* the longest word, and a NUL */

struct impair_spec impair_default(void)
{
	return (struct impair_spec){
		.stall_at = IMPAIR_NEVER, .cut_at = IMPAIR_NEVER, .corrupt_at = IMPAIR_NEVER, .seed = 1
	};
}

bool impair_is_nothing(const struct impair_spec *s)
{
	return s->delay_ns == 0 && s->jitter_ns == 0 && s->rate_Bps == 0 && s->chunk == 0 &&
	       s->stall_at == IMPAIR_NEVER && s->cut_at == IMPAIR_NEVER && s->corrupt_at == IMPAIR_NEVER &&
	       !s->blackhole;
}

/* --- from words --------------------------------------------------------------------------------------------------
 * Each takes what stands behind the "=", or NULL where nothing does, and returns NULL or what is wrong. They may write
 * before they find that: it is a copy. */

static const char *take_time(uint64_t *out, const char *value)
{
	if (!units_parse_duration(value, out))
		return "a time is wanted, such as 10ms";
	return *out > MAX_DELAY_NS ? "60s is the most (10 is 10s, say 10ms)" : NULL;
}

static const char *take_delay(struct impair_spec *s, const char *value)
{
	return take_time(&s->delay_ns, value);
}

static const char *take_jitter(struct impair_spec *s, const char *value)
{
	return take_time(&s->jitter_ns, value);
}

static const char *take_rate(struct impair_spec *s, const char *value)
{
	s->rate_Bps = 0;
	if (strcmp(value, "none") == 0)
		return NULL;
	if (!units_parse_rate(value, &s->rate_Bps))
		return "a rate is wanted, such as 10mbit or 100kB/s, or none";
	if (s->rate_Bps == 0)
		return "8bit is the least (or say none)";
	return s->rate_Bps > MAX_RATE_BPS ? "800gbit is the most" : NULL;
}

static const char *take_chunk(struct impair_spec *s, const char *value)
{
	s->chunk = 0;
	if (strcmp(value, "off") == 0)
		return NULL;
	if (!units_parse_size(value, &s->chunk))
		return "a size is wanted, such as 100 or 1K, or off";
	if (s->chunk == 0)
		return "1 byte is the least (or say off)";
	return s->chunk > MAX_SIZE ? "1024T is the most" : NULL;
}

static const char *take_place(uint64_t *out, const char *value)
{
	*out = IMPAIR_NEVER;
	if (strcmp(value, "off") == 0)
		return NULL;
	if (!units_parse_size(value, out))
		return "a number of bytes is wanted, such as 1000 or 64K, or off";
	return *out > MAX_SIZE ? "1024T is the most" : NULL;
}

static const char *take_stall(struct impair_spec *s, const char *value)
{
	return take_place(&s->stall_at, value);
}

static const char *take_corrupt(struct impair_spec *s, const char *value)
{
	return take_place(&s->corrupt_at, value);
}

/* N[:fin|rst]|off */
static const char *take_cut(struct impair_spec *s, const char *value)
{
	char place[WORD_LEN];
	size_t len = strcspn(value, ":");
	snprintf(place, sizeof(place), "%.*s", (int)len, value);
	const char *kind = value[len] == ':' ? value + len + 1 : "rst", *wrong = take_place(&s->cut_at, place);
	bool is_fin = strcmp(kind, "fin") == 0;
	if (wrong != NULL)
		return wrong;
	if ((!is_fin && strcmp(kind, "rst") != 0) || (s->cut_at == IMPAIR_NEVER && value[len] == ':'))
		return "a number of bytes, and perhaps :fin or :rst, or off";
	s->cut = s->cut_at == IMPAIR_NEVER ? IMPAIR_NO_CUT : is_fin ? IMPAIR_CUT_FIN : IMPAIR_CUT_RST;
	return NULL;
}

static const char *take_blackhole(struct impair_spec *s, const char *value)
{
	(void)value;
	s->blackhole = true;
	return NULL;
}

static const char *take_no_blackhole(struct impair_spec *s, const char *value)
{
	(void)value;
	s->blackhole = false;
	return NULL;
}

static const char *take_seed(struct impair_spec *s, const char *value)
{
	return units_parse_count(value, &s->seed) ? NULL : "a whole number is wanted";
}

static const char *take_clear(struct impair_spec *s, const char *value)
{
	(void)value;
	uint64_t seed = s->seed;
	*s = impair_default();
	s->seed = seed;
	return NULL;
}

/* What a word is about: no text says two things about one of these. */
enum topic {
	DELAY = 1 << 0,
	JITTER = 1 << 1,
	RATE = 1 << 2,
	CHUNK = 1 << 3,
	STALL = 1 << 4,
	CUT = 1 << 5,
	CORRUPT = 1 << 6,
	BLACKHOLE = 1 << 7,
	SEED = 1 << 8,
	CLEAR = 1 << 9,
};

/* clang-format off */
static const struct word {
	struct vocab_row word;
	const char *(*take)(struct impair_spec *s, const char *value);
} words[] = {
	{ { "delay",        VOCAB_VALUE,    DELAY },     take_delay },
	{ { "jitter",       VOCAB_VALUE,    JITTER },    take_jitter },
	{ { "rate",         VOCAB_VALUE,    RATE },      take_rate },
	{ { "chunk",        VOCAB_VALUE,    CHUNK },     take_chunk },
	{ { "stall-at",     VOCAB_VALUE,    STALL },     take_stall },
	{ { "cut-at",       VOCAB_VALUE,    CUT },       take_cut },
	{ { "corrupt-at",   VOCAB_VALUE,    CORRUPT },   take_corrupt },
	{ { "blackhole",    VOCAB_NO_VALUE, BLACKHOLE }, take_blackhole },
	{ { "no-blackhole", VOCAB_NO_VALUE, BLACKHOLE }, take_no_blackhole },
	{ { "seed",         VOCAB_VALUE,    SEED },      take_seed },
	{ { "clear",        VOCAB_NO_VALUE, CLEAR },     take_clear },
};
/* clang-format on */

static const char all_words[] = "not one of delay jitter rate chunk stall-at cut-at corrupt-at blackhole no-blackhole "
				"seed clear";

static const char *take_word(void *spec, size_t i, const char *value)
{
	return words[i].take(spec, value);
}

bool impair_apply(struct impair_spec *s, const char *text, char why[static IMPAIR_WHY])
{
	static const struct vocab vocabulary = { words, sizeof(words[0]), COUNT_OF(words), all_words, WORD_LEN,
						 CLEAR, take_word };
	struct impair_spec changed = *s;
	unsigned said;
	if (!vocab_apply(&vocabulary, text, &changed, &said, why))
		return false;
	*s = changed;
	return true;
}

/* --- back to words ------------------------------------------------------------------------------------------------ */

struct text {
	char *out;
	size_t len;
};

static void add(struct text *t, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void add(struct text *t, const char *fmt, ...)
{
	va_list args;
	if (t->len > 0)
		t->out[t->len++] = ',';
	va_start(args, fmt);
	int n = vsnprintf(t->out + t->len, IMPAIR_TEXT - t->len, fmt, args);
	va_end(args);
	assert(n >= 0 &&
	       (size_t)n < IMPAIR_TEXT - t->len); /* the longest of all together are shorter: relay_impair_test */
	t->len += (size_t)n;
}

static void add_time(struct text *t, const char *name, uint64_t ns)
{
	char text[UNITS_TEXT];
	if (ns != 0)
		add(t, "%s=%s", name, units_duration_short(text, ns));
}

static void add_rate(struct text *t, uint64_t Bps)
{
	char text[UNITS_TEXT];
	if (Bps != 0)
		add(t, "rate=%s", units_rate_short(text, Bps));
}

/* none: what is said by saying nothing. */
static void add_size(struct text *t, const char *name, uint64_t n, uint64_t none, const char *more)
{
	char size[UNITS_TEXT];
	if (n != none)
		add(t, "%s=%s%s", name, units_size_short(size, n), more);
}

const char *impair_text(char out[static IMPAIR_TEXT], const struct impair_spec *s)
{
	struct text t = { .out = out };
	add_time(&t, "delay", s->delay_ns);
	add_time(&t, "jitter", s->jitter_ns);
	add_rate(&t, s->rate_Bps);
	add_size(&t, "chunk", s->chunk, 0, "");
	add_size(&t, "stall-at", s->stall_at, IMPAIR_NEVER, "");
	add_size(&t, "cut-at", s->cut_at, IMPAIR_NEVER, s->cut == IMPAIR_CUT_FIN ? ":fin" : "");
	add_size(&t, "corrupt-at", s->corrupt_at, IMPAIR_NEVER, "");
	if (s->blackhole)
		add(&t, "blackhole");
	if (s->seed != impair_default().seed)
		add(&t, "seed=%" PRIu64, s->seed);
	if (t.len == 0)
		add(&t, "clear");
	return out;
}

/* --- the state ---------------------------------------------------------------------------------------------------- */

struct mark {
	uint64_t end; /* of the bytes before it, as a count of `in` */
	uint64_t due_ns;
};

struct impair {
	struct impair_spec spec;
	uint64_t number;
	uint64_t origin, ahead; /* the byte that came after `ahead` others has the place `origin` in the stream */
	uint64_t in, out;
	struct mark *marks; /* [first, n) are of bytes that wait */
	size_t first, n, capacity;
	uint64_t last_due_ns; /* of all that came */
	uint64_t end_due_ns;  /* of the end; CLK_NEVER: it has not come */
	uint64_t n_drawn;     /* random numbers */
	uint64_t free_ns;     /* when the transmitter is through with what it has sent, rounded down ... */
	uint64_t free_part;   /* ... by this many parts of a nanosecond, of which there are rate_Bps */
};

static uint64_t smaller(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t larger(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* --- marks -------------------------------------------------------------------------------------------------------- */

static void make_room(struct impair *m)
{
	if (m->n < m->capacity)
		return;
	if (m->first > m->capacity / 2) {
		m->n -= m->first;
		memmove(m->marks, m->marks + m->first, m->n * sizeof(*m->marks));
		m->first = 0;
		return;
	}
	m->capacity = m->capacity == 0 ? 16 : 2 * m->capacity;
	m->marks = xrealloc(m->marks, m->capacity * sizeof(*m->marks));
}

/* WHY two marks become one when both are due: without a delay there is never more than one. */
static void add_mark(struct impair *m, uint64_t due_ns, uint64_t now_ns)
{
	struct mark *last = m->n > m->first ? &m->marks[m->n - 1] : NULL;
	if (last != NULL && (last->due_ns == due_ns || due_ns <= now_ns)) {
		last->end = m->in;
		return;
	}
	make_room(m);
	m->marks[m->n++] = (struct mark){ .end = m->in, .due_ns = due_ns };
}

static void drop_marks(struct impair *m)
{
	while (m->first < m->n && m->marks[m->first].end <= m->out)
		m->first++;
	if (m->first < m->n)
		return;
	free(m->marks); /* nothing waits, perhaps for a long time */
	m->marks = NULL;
	m->first = m->n = m->capacity = 0;
}

/* How many bytes, counted as `in`, are due at now_ns. There may be a mark for each byte, hence the halving. */
static uint64_t due_until(const struct impair *m, uint64_t now_ns)
{
	size_t from = m->first, to = m->n;
	while (from < to) {
		size_t middle = from + (to - from) / 2;
		if (m->marks[middle].due_ns <= now_ns)
			from = middle + 1;
		else
			to = middle;
	}
	return from > m->first ? m->marks[from - 1].end : m->out;
}

/* --- when, and where ---------------------------------------------------------------------------------------------- */

/* Evenly between delay - jitter and delay + jitter, but not before it has come, nor before what came earlier. */
static uint64_t draw_due_ns(struct impair *m, uint64_t now_ns)
{
	const struct impair_spec *s = &m->spec;
	uint64_t delay_ns = s->delay_ns;
	if (s->jitter_ns != 0) {
		uint64_t luck = prng_word(prng_word(s->seed, m->number), m->n_drawn++);
		uint64_t most_ns = s->delay_ns + s->jitter_ns, back_ns = luck % (2 * s->jitter_ns + 1);
		delay_ns = most_ns > back_ns ? most_ns - back_ns : 0;
	}
	m->last_due_ns = larger(m->last_due_ns, now_ns + delay_ns);
	return m->last_due_ns;
}

/* A place in the stream, as a count of `in`. */
static uint64_t position_of(const struct impair *m, uint64_t place)
{
	return place == IMPAIR_NEVER || place < m->origin ? IMPAIR_NEVER : place - m->origin + m->ahead;
}

/* The same for a place that nothing may pass: IMPAIR_NEVER when it has gone by. */
static uint64_t barrier_of(const struct impair *m, uint64_t place)
{
	uint64_t position = position_of(m, place);
	return position < m->out ? IMPAIR_NEVER : position;
}

/* --- rate --------------------------------------------------------------------------------------------------------- */

static uint64_t piece_len(uint64_t rate_Bps)
{
	uint64_t len = rate_Bps / (NS_PER_S / IMPAIR_PIECE_NS);
	return len < 1 ? 1 : smaller(len, IMPAIR_PIECE_MAX);
}

/* When the first of the bytes that wait began to leave, as far as whoever asks at now_ns gets credit for it. */
static uint64_t began_ns(const struct impair *m, uint64_t now_ns)
{
	uint64_t rate_Bps = m->spec.rate_Bps;
	uint64_t late_ns = IMPAIR_LATE_NS + piece_len(rate_Bps) * NS_PER_S / rate_Bps;
	uint64_t begin_ns = larger(m->free_ns, m->marks[m->first].due_ns);
	return now_ns > late_ns ? larger(begin_ns, now_ns - late_ns) : begin_ns;
}

/* The rest of a nanosecond belongs to the moment at which the transmitter became free, and to no other. */
static uint64_t part_at(const struct impair *m, uint64_t begin_ns)
{
	return begin_ns == m->free_ns ? m->free_part : 0;
}

/* How many of n bytes that are due are through. 0: not even a piece is, and *again_ns says when one will be. */
static uint64_t transmitted(const struct impair *m, uint64_t n, uint64_t now_ns, uint64_t *again_ns)
{
	uint64_t rate_Bps = m->spec.rate_Bps, begin_ns = began_ns(m, now_ns), part = part_at(m, begin_ns);
	uint64_t piece = smaller(n, piece_len(rate_Bps));
	uint64_t through_ns = begin_ns + (piece * NS_PER_S + part + rate_Bps - 1) / rate_Bps;
	if (through_ns > now_ns) {
		*again_ns = through_ns;
		return 0;
	}
	/* began_ns bounds the time, and MAX_RATE_BPS the rate, so that this fits into 64 bits. */
	return smaller(n, ((now_ns - begin_ns) * rate_Bps - part) / NS_PER_S);
}

static void note_transmitted(struct impair *m, uint64_t n, uint64_t now_ns)
{
	uint64_t begin_ns = began_ns(m, now_ns);
	uint64_t parts = n * NS_PER_S + part_at(m, begin_ns);
	m->free_ns = begin_ns + parts / m->spec.rate_Bps;
	m->free_part = parts % m->spec.rate_Bps;
}

/* --- a life ------------------------------------------------------------------------------------------------------- */

struct impair *impair_new(const struct impair_spec *s, uint64_t number, uint64_t came, size_t ahead, uint64_t now_ns)
{
	struct impair *m = xmalloc(sizeof(*m));
	*m = (struct impair){
		.spec = *s,
		.number = number,
		.origin = came,
		.ahead = ahead,
		.in = ahead,
		.end_due_ns = CLK_NEVER,
		.last_due_ns = now_ns,
		.free_ns = now_ns,
	};
	if (ahead > 0)
		add_mark(m, now_ns, now_ns);
	return m;
}

void impair_free(struct impair *m)
{
	if (m != NULL)
		free(m->marks);
	free(m);
}

void impair_change(struct impair *m, const struct impair_spec *s, uint64_t now_ns)
{
	if (s->rate_Bps != m->spec.rate_Bps) {
		m->free_ns = now_ns; /* the piece on the transmitter begins anew */
		m->free_part = 0;
	}
	if (s->seed != m->spec.seed)
		m->n_drawn = 0;
	m->spec = *s;
}

void impair_arrive(struct impair *m, unsigned char *bytes, size_t n, uint64_t now_ns)
{
	uint64_t due_ns = draw_due_ns(m, now_ns);
	if (n == 0) {
		m->end_due_ns = due_ns;
		return;
	}
	uint64_t wrong = position_of(m, m->spec.corrupt_at);
	if (wrong >= m->in && wrong - m->in < n)
		bytes[wrong - m->in] ^= 0xff;
	m->in += n;
	add_mark(m, due_ns, now_ns);
}

/* Of the bytes that are due and before the barrier. */
static uint64_t sendable(const struct impair *m, uint64_t barrier, uint64_t now_ns, uint64_t *again_ns)
{
	uint64_t until = smaller(due_until(m, now_ns), barrier), n = until - m->out;
	if (m->out == m->in || m->out == barrier)
		return 0;
	if (n == 0) {
		*again_ns = m->marks[m->first].due_ns;
		return 0;
	}
	if (m->spec.chunk != 0)
		n = smaller(n, m->spec.chunk);
	return m->spec.rate_Bps != 0 ? transmitted(m, n, now_ns, again_ns) : n;
}

struct pump_pass impair_pass(const struct impair *m, size_t waiting, uint64_t now_ns)
{
	struct pump_pass pass = { .again_ns = CLK_NEVER };
	assert(waiting == m->in - m->out);
	if (m->spec.blackhole) {
		pass.drop = waiting;
		return pass;
	}
	uint64_t cut = barrier_of(m, m->spec.cut_at), barrier = smaller(cut, barrier_of(m, m->spec.stall_at));
	if (cut == m->out) {
		pass.cut = m->spec.cut == IMPAIR_CUT_FIN ? PUMP_CUT_FIN : PUMP_CUT_RST;
		return pass;
	}
	pass.send = (size_t)sendable(m, barrier, now_ns, &pass.again_ns);
	if (m->out == m->in && barrier > m->in) {
		bool is_end_late = m->end_due_ns != CLK_NEVER && m->end_due_ns > now_ns;
		pass.end = !is_end_late;
		pass.again_ns = is_end_late ? m->end_due_ns : CLK_NEVER;
	}
	return pass;
}

void impair_left(struct impair *m, size_t n, uint64_t now_ns)
{
	assert(n <= m->in - m->out);
	if (n == 0)
		return;
	if (m->spec.rate_Bps != 0 && !m->spec.blackhole)
		note_transmitted(m, n, now_ns);
	m->out += n;
	drop_marks(m);
}
