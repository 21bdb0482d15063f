/* spec.c - the words in which people say what a link does, there and back. See spec.h.
 *
 * One table has all the words (vocab.h). Each changes a copy of the spec, and only when all of them were right does the
 * copy become the spec. */
#include "spec.h"

#include "units.h"
#include "vocab.h"

#include <assert.h>
#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_DELAY_NS       UINT64_C(60000000000)
#define MAX_OUTAGE_NS      UINT64_C(3600000000000)
#define MAX_RATE_BPS       UINT64_C(1000000000000)
#define MAX_SIZE           UINT64_C(1099511627776) /* 1T; lane.h has its own limit of what is really kept */
#define MAX_BURST          1e6
#define DEFAULT_REORDER_NS UINT64_C(1000000)

enum { WORD_LEN = VOCAB_LEN }; /* the longest word, and a NUL */

static const char *const kind_names[] = {
	[SPEC_ANY] = "any", [SPEC_SYN] = "syn", [SPEC_SYNACK] = "synack", [SPEC_DATA] = "data",
	[SPEC_ACK] = "ack", [SPEC_FIN] = "fin", [SPEC_RST] = "rst",
};

struct spec spec_default(void)
{
	return (struct spec){ .reorder_ns = DEFAULT_REORDER_NS, .seed = 1 };
}

/* --- values -------------------------------------------------------------------------------------------------------
 * Each returns NULL, or what is wrong. They may write before they find that: it is a copy. */

/* A number without a sign, as strtod(3) reads it, but no "inf" and no hexadecimal. */
static bool parse_number(const char *text, double *out, const char **rest)
{
	if (!isdigit((unsigned char)text[0]) && text[0] != '.')
		return false;
	if (text[0] == '0' && tolower((unsigned char)text[1]) == 'x')
		return false;
	char *end;
	*out = strtod(text, &end);
	*rest = end;
	return end != text;
}

/* WHY 1 is refused: netem takes "loss 1" for 1 %, and whoever comes from there does not want to lose everything. */
static const char *parse_share(const char *text, double *out)
{
	double value;
	const char *rest;
	if (!parse_number(text, &value, &rest))
		return "a share is wanted, such as 1% or 0.01";
	if (strcmp(rest, "%") == 0)
		value /= 100;
	else if (*rest != '\0')
		return "a share is wanted, such as 1% or 0.01";
	else if (value == 1)
		return "1% or 100%? Say it with the %";
	else if (value > 1)
		return "a number above 1 needs a %, as in 5%";
	if (value > 1)
		return "more than 100%";
	*out = value;
	return NULL;
}

static const char *parse_time(const char *text, uint64_t min_ns, uint64_t max_ns, uint64_t *out)
{
	if (!units_parse_duration(text, out))
		return "a time is wanted, such as 10ms";
	if (*out < min_ns)
		return "too short";
	if (*out > max_ns)
		return max_ns == MAX_DELAY_NS ? "60s is the most (10 is 10s, say 10ms)" : "1h is the most";
	return NULL;
}

static const char *parse_count(const char *text, uint64_t *out)
{
	if (!units_parse_count(text, out))
		return "a whole number is wanted";
	return *out == 0 ? "1 is the least (or say off)" : NULL;
}

/* `none`: the word for zero. */
static const char *parse_size(const char *text, const char *none, uint64_t *out)
{
	if (strcmp(text, none) == 0) {
		*out = 0;
		return NULL;
	}
	if (!units_parse_size(text, out))
		return "a size is wanted, such as 64K";
	if (*out == 0)
		return strcmp(none, "auto") == 0 ? "1 byte is the least (or say auto)"
						 : "1 byte is the least (or say off)";
	return *out > MAX_SIZE ? "1T is the most" : NULL;
}

/* --- words --------------------------------------------------------------------------------------------------------
 * What they say is at `arg` in the spec, for those that share a function. value is NULL where none was given. */

static uint64_t *number_at(struct spec *s, size_t arg)
{
	return (uint64_t *)(void *)((char *)s + arg);
}

static double *share_at(struct spec *s, size_t arg)
{
	return (double *)(void *)((char *)s + arg);
}

static const char *take_delay(struct spec *s, size_t arg, const char *value)
{
	return parse_time(value, 0, MAX_DELAY_NS, number_at(s, arg));
}

static const char *take_share(struct spec *s, size_t arg, const char *value)
{
	return parse_share(value, share_at(s, arg));
}

static const char *take_rate(struct spec *s, size_t arg, const char *value)
{
	(void)arg;
	if (strcmp(value, "none") == 0) {
		s->rate_Bps = 0;
		return NULL;
	}
	if (!units_parse_rate(value, &s->rate_Bps))
		return "a rate is wanted, such as 10mbit or 100kB/s";
	if (s->rate_Bps == 0)
		return "8bit is the least (or say none)";
	return s->rate_Bps > MAX_RATE_BPS ? "8000gbit is the most" : NULL;
}

static const char *take_queue(struct spec *s, size_t arg, const char *value)
{
	return parse_size(value, "auto", number_at(s, arg));
}

static const char *take_blackhole(struct spec *s, size_t arg, const char *value)
{
	return parse_size(value, "off", number_at(s, arg));
}

static const char *take_aqm(struct spec *s, size_t arg, const char *value)
{
	(void)value;
	s->aqm = (enum spec_aqm)arg;
	return NULL;
}

static void forget_ge(struct spec *s)
{
	s->has_ge = false;
	s->ge_p = s->ge_r = s->ge_bad = s->ge_good = 0;
}

static const char *take_loss(struct spec *s, size_t arg, const char *value)
{
	(void)arg;
	forget_ge(s);
	return parse_share(value, &s->loss);
}

static const char *take_burst(struct spec *s, size_t arg, const char *value)
{
	(void)arg;
	const char *rest;
	forget_ge(s);
	s->burst = 0;
	if (strcmp(value, "off") == 0)
		return NULL;
	if (!parse_number(value, &s->burst, &rest) || *rest != '\0')
		return "a number of packets is wanted, such as 5";
	if (!(s->burst >= 1 && s->burst <= MAX_BURST))
		return "1 to 1000000 packets, or off";
	return NULL;
}

/* P:R[:BAD[:GOOD]] */
static const char *take_ge(struct spec *s, size_t arg, const char *value)
{
	(void)arg;
	s->loss = s->burst = 0;
	forget_ge(s);
	if (strcmp(value, "off") == 0)
		return NULL;
	double *const parts[] = { &s->ge_p, &s->ge_r, &s->ge_bad, &s->ge_good };
	char copy[WORD_LEN], *rest = copy, *part;
	snprintf(copy, sizeof(copy), "%s", value);
	s->has_ge = true;
	s->ge_bad = 1;
	size_t n = 0;
	for (; (part = strsep(&rest, ":")) != NULL; n++) {
		if (n == COUNT_OF(parts))
			return "four shares are the most: P:R:BAD:GOOD";
		const char *wrong = parse_share(part, parts[n]);
		if (wrong != NULL)
			return wrong;
	}
	return n < 2 ? "two shares at least: good to bad and back, as in 1%:20%" : NULL;
}

static const char *take_every(struct spec *s, size_t arg, const char *value)
{
	(void)arg;
	s->every = 0;
	return strcmp(value, "off") == 0 ? NULL : parse_count(value, &s->every);
}

/* [KIND:]N|KIND|off */
static const char *take_drop(struct spec *s, size_t arg, const char *value)
{
	(void)arg;
	s->drop_kind = SPEC_ANY;
	s->drop_number = 0;
	s->said.drop = true;
	if (strcmp(value, "off") == 0)
		return NULL;
	if (isdigit((unsigned char)*value))
		return parse_count(value, &s->drop_number);
	size_t len = strcspn(value, ":");
	for (size_t i = 0; i < COUNT_OF(kind_names); i++) {
		if (strlen(kind_names[i]) != len || strncmp(value, kind_names[i], len) != 0)
			continue;
		s->drop_kind = (enum spec_kind)i;
		s->drop_number = 1;
		return value[len] == ':' ? parse_count(value + len + 1, &s->drop_number) : NULL;
	}
	return "any, syn, synack, data, ack, fin or rst, and :N for the Nth, or off";
}

/* P[:D] */
static const char *take_reorder(struct spec *s, size_t arg, const char *value)
{
	(void)arg;
	char share[WORD_LEN];
	size_t len = strcspn(value, ":");
	snprintf(share, sizeof(share), "%.*s", (int)len, value);
	const char *wrong = parse_share(share, &s->reorder);
	if (wrong != NULL || value[len] == '\0')
		return wrong;
	return parse_time(value + len + 1, 1, MAX_DELAY_NS, &s->reorder_ns);
}

static const char *take_seed(struct spec *s, size_t arg, const char *value)
{
	(void)arg;
	s->said.seed = true;
	return units_parse_count(value, &s->seed) ? NULL : "a whole number is wanted";
}

static const char *take_down(struct spec *s, size_t arg, const char *value)
{
	(void)arg;
	s->is_down = s->said.down = true;
	s->down_ns = 0;
	return value == NULL ? NULL : parse_time(value, 1, MAX_OUTAGE_NS, &s->down_ns);
}

static const char *take_up(struct spec *s, size_t arg, const char *value)
{
	(void)arg;
	(void)value;
	s->is_down = s->said.down = false;
	s->down_ns = 0;
	return NULL;
}

static const char *take_clear(struct spec *s, size_t arg, const char *value)
{
	(void)arg;
	(void)value;
	uint64_t seed = s->seed;
	*s = spec_default();
	s->seed = seed;
	return NULL;
}

/* What a word is about: no text says two things about one of these. */
enum topic {
	DELAY = 1 << 0,
	JITTER = 1 << 1,
	RATE = 1 << 2,
	QUEUE = 1 << 3,
	AQM = 1 << 4,
	LOSS = 1 << 5,
	BURST = 1 << 6,
	GE = 1 << 7,
	EVERY = 1 << 8,
	DROP = 1 << 9,
	BLACKHOLE = 1 << 10,
	DUP = 1 << 11,
	REORDER = 1 << 12,
	CORRUPT = 1 << 13,
	SWAP = 1 << 14,
	SEED = 1 << 15,
	DOWN = 1 << 16,
	CLEAR = 1 << 17,
};

/* clang-format off */
static const struct word {
	struct vocab_row word;
	const char *(*take)(struct spec *s, size_t arg, const char *value);
	size_t arg;
} words[] = {
	{ { "delay",     VOCAB_VALUE,    DELAY },     take_delay,     offsetof(struct spec, delay_ns) },
	{ { "jitter",    VOCAB_VALUE,    JITTER },    take_delay,     offsetof(struct spec, jitter_ns) },
	{ { "rate",      VOCAB_VALUE,    RATE },      take_rate,      0 },
	{ { "queue",     VOCAB_VALUE,    QUEUE },     take_queue,     offsetof(struct spec, queue_len) },
	{ { "tail",      VOCAB_NO_VALUE, AQM },       take_aqm,       SPEC_TAIL },
	{ { "red",       VOCAB_NO_VALUE, AQM },       take_aqm,       SPEC_RED },
	{ { "ecn",       VOCAB_NO_VALUE, AQM },       take_aqm,       SPEC_ECN },
	{ { "loss",      VOCAB_VALUE,    LOSS },      take_loss,      0 },
	{ { "burst",     VOCAB_VALUE,    BURST },     take_burst,     0 },
	{ { "ge",        VOCAB_VALUE,    GE },        take_ge,        0 },
	{ { "every",     VOCAB_VALUE,    EVERY },     take_every,     0 },
	{ { "drop",      VOCAB_VALUE,    DROP },      take_drop,      0 },
	{ { "blackhole", VOCAB_VALUE,    BLACKHOLE }, take_blackhole, offsetof(struct spec, blackhole_len) },
	{ { "dup",       VOCAB_VALUE,    DUP },       take_share,     offsetof(struct spec, duplicate) },
	{ { "reorder",   VOCAB_VALUE,    REORDER },   take_reorder,   0 },
	{ { "corrupt",   VOCAB_VALUE,    CORRUPT },   take_share,     offsetof(struct spec, corrupt) },
	{ { "swap",      VOCAB_VALUE,    SWAP },      take_share,     offsetof(struct spec, swap) },
	{ { "seed",      VOCAB_VALUE,    SEED },      take_seed,      0 },
	{ { "down",      VOCAB_PERHAPS,  DOWN },      take_down,      0 },
	{ { "up",        VOCAB_NO_VALUE, DOWN },      take_up,        0 },
	{ { "clear",     VOCAB_NO_VALUE, CLEAR },     take_clear,     0 },
	{ { "perfect",   VOCAB_NO_VALUE, CLEAR },     take_clear,     0 },
};
/* clang-format on */

static const char all_words[] =
	"not one of delay jitter rate queue tail red ecn loss burst ge every drop blackhole dup reorder "
	"corrupt swap seed down up clear";

static const char *take_word(void *spec, size_t i, const char *value)
{
	return words[i].take(spec, words[i].arg, value);
}

/* --- a whole text ------------------------------------------------------------------------------------------------- */

/* What is wrong with the whole, though each word is right. */
static const char *find_contradiction(const struct spec *s, unsigned said)
{
	if ((said & GE) && (said & (LOSS | BURST)))
		return "ge and loss or burst: only one of them";
	/* Two runs of losses have a packet between them that is not lost: of N + 1 packets N are lost at the most. */
	if (s->burst > 0 && s->loss < 1 && s->loss > s->burst / (s->burst + 1))
		return "so much loss comes in longer bursts than that";
	return NULL;
}

bool spec_apply(struct spec *s, const char *text, char why[static SPEC_WHY])
{
	static const struct vocab vocabulary = { words, sizeof(words[0]), COUNT_OF(words), all_words, WORD_LEN,
						 CLEAR, take_word };
	struct spec changed = *s;
	unsigned said;
	if (!vocab_apply(&vocabulary, text, &changed, &said, why))
		return false;
	const char *wrong = find_contradiction(&changed, said);
	if (wrong != NULL)
		return vocab_complain(why, text, wrong);
	*s = changed;
	return true;
}

/* --- back to text ------------------------------------------------------------------------------------------------- */

struct text {
	char *out;
	size_t len;
};

static void add(struct text *t, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void add(struct text *t, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	int n = vsnprintf(t->out + t->len, SPEC_TEXT - t->len, fmt, args);
	va_end(args);
	assert(n >= 0 && (size_t)n < SPEC_TEXT - t->len); /* the longest of each together are shorter: spec_test */
	t->len += (size_t)n;
}

/* ",name=" */
static void add_name(struct text *t, const char *name)
{
	add(t, "%s%s=", t->len > 0 ? "," : "", name);
}

static void add_flag(struct text *t, const char *name)
{
	add(t, "%s%s", t->len > 0 ? "," : "", name);
}

/* As few digits as give the same number again. Not every share has a decimal of a percentage: 17 digits do for all. */
static void add_share_value(struct text *t, double share)
{
	char text[UNITS_TEXT];
	for (int digits = 3; digits <= 17; digits++) {
		snprintf(text, sizeof(text), "%.*g", digits, share * 100);
		if (strtod(text, NULL) / 100 == share) {
			add(t, "%s%%", text);
			return;
		}
	}
	add(t, "%.17g", share);
}

static void add_share(struct text *t, const char *name, double share)
{
	if (share == 0)
		return;
	add_name(t, name);
	add_share_value(t, share);
}

static void add_time(struct text *t, const char *name, uint64_t ns)
{
	char text[UNITS_TEXT];
	if (ns == 0)
		return;
	add_name(t, name);
	add(t, "%s", units_duration_short(text, ns));
}

static void add_rate(struct text *t, uint64_t Bps)
{
	char text[UNITS_TEXT];
	if (Bps == 0)
		return;
	add_name(t, "rate");
	add(t, "%s", units_rate_short(text, Bps));
}

static void add_size(struct text *t, const char *name, uint64_t len)
{
	char size[UNITS_TEXT];
	if (len == 0)
		return;
	add_name(t, name);
	add(t, "%s", units_size_short(size, len));
}

static void add_ge(struct text *t, const struct spec *s)
{
	const double parts[] = { s->ge_p, s->ge_r, s->ge_bad, s->ge_good };
	size_t n = s->ge_good != 0 ? 4 : s->ge_bad != 1 ? 3 : 2;
	if (!s->has_ge)
		return;
	add_name(t, "ge");
	for (size_t i = 0; i < n; i++) {
		add(t, "%s", i > 0 ? ":" : "");
		add_share_value(t, parts[i]);
	}
}

static void add_lost(struct text *t, const struct spec *s)
{
	add_share(t, "loss", s->loss);
	if (s->burst != 0) {
		add_name(t, "burst");
		add(t, s->burst == nearbyint(s->burst) ? "%.0f" : "%.17g", s->burst);
	}
	add_ge(t, s);
	if (s->every != 0) {
		add_name(t, "every");
		add(t, "%" PRIu64, s->every);
	}
	if (s->drop_number != 0) {
		add_name(t, "drop");
		if (s->drop_kind != SPEC_ANY)
			add(t, "%s%s", kind_names[s->drop_kind], s->drop_number != 1 ? ":" : "");
		if (s->drop_kind == SPEC_ANY || s->drop_number != 1)
			add(t, "%" PRIu64, s->drop_number);
	}
	add_size(t, "blackhole", s->blackhole_len);
}

static void add_changed(struct text *t, const struct spec *s)
{
	char text[UNITS_TEXT];
	add_share(t, "dup", s->duplicate);
	if (s->reorder != 0 || s->reorder_ns != DEFAULT_REORDER_NS) {
		add_name(t, "reorder");
		add_share_value(t, s->reorder);
		if (s->reorder_ns != DEFAULT_REORDER_NS)
			add(t, ":%s", units_duration_short(text, s->reorder_ns));
	}
	add_share(t, "corrupt", s->corrupt);
	add_share(t, "swap", s->swap);
}

const char *spec_text(char out[static SPEC_TEXT], const struct spec *s)
{
	struct text t = { .out = out };
	out[0] = '\0';
	add_time(&t, "delay", s->delay_ns);
	add_time(&t, "jitter", s->jitter_ns);
	add_rate(&t, s->rate_Bps);
	add_size(&t, "queue", s->queue_len);
	if (s->aqm != SPEC_TAIL)
		add_flag(&t, s->aqm == SPEC_RED ? "red" : "ecn");
	add_lost(&t, s);
	add_changed(&t, s);
	if (s->seed != spec_default().seed) {
		add_name(&t, "seed");
		add(&t, "%" PRIu64, s->seed);
	}
	if (s->is_down && s->down_ns == 0)
		add_flag(&t, "down");
	else if (s->is_down)
		add_time(&t, "down", s->down_ns);
	if (t.len == 0)
		add_flag(&t, "perfect");
	return out;
}
