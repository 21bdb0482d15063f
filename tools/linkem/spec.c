/* spec.c - the words in which people say what a link does, there and back. See spec.h.
 *
 * One table has all the words. A text is taken apart at commas and blanks; each word is looked up and changes a copy
 * of the spec, and only when all of them were right does the copy become the spec. */
#include "spec.h"

#include "units.h"

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

enum { WORD_LEN = 192, SHOWN_LEN = 24 }; /* the longest word; how much of one is repeated in a message */

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

enum value { NO_VALUE, A_VALUE, PERHAPS };

/* clang-format off */
static const struct word {
	const char *name;
	enum value value;
	const char *(*take)(struct spec *s, size_t arg, const char *value);
	size_t arg;
	enum topic topic;
} words[] = {
	{ "delay",     A_VALUE,  take_delay,     offsetof(struct spec, delay_ns),      DELAY },
	{ "jitter",    A_VALUE,  take_delay,     offsetof(struct spec, jitter_ns),     JITTER },
	{ "rate",      A_VALUE,  take_rate,      0,                                    RATE },
	{ "queue",     A_VALUE,  take_queue,     offsetof(struct spec, queue_len),     QUEUE },
	{ "tail",      NO_VALUE, take_aqm,       SPEC_TAIL,                            AQM },
	{ "red",       NO_VALUE, take_aqm,       SPEC_RED,                             AQM },
	{ "ecn",       NO_VALUE, take_aqm,       SPEC_ECN,                             AQM },
	{ "loss",      A_VALUE,  take_loss,      0,                                    LOSS },
	{ "burst",     A_VALUE,  take_burst,     0,                                    BURST },
	{ "ge",        A_VALUE,  take_ge,        0,                                    GE },
	{ "every",     A_VALUE,  take_every,     0,                                    EVERY },
	{ "drop",      A_VALUE,  take_drop,      0,                                    DROP },
	{ "blackhole", A_VALUE,  take_blackhole, offsetof(struct spec, blackhole_len), BLACKHOLE },
	{ "dup",       A_VALUE,  take_share,     offsetof(struct spec, duplicate),     DUP },
	{ "reorder",   A_VALUE,  take_reorder,   0,                                    REORDER },
	{ "corrupt",   A_VALUE,  take_share,     offsetof(struct spec, corrupt),       CORRUPT },
	{ "swap",      A_VALUE,  take_share,     offsetof(struct spec, swap),          SWAP },
	{ "seed",      A_VALUE,  take_seed,      0,                                    SEED },
	{ "down",      PERHAPS,  take_down,      0,                                    DOWN },
	{ "up",        NO_VALUE, take_up,        0,                                    DOWN },
	{ "clear",     NO_VALUE, take_clear,     0,                                    CLEAR },
	{ "perfect",   NO_VALUE, take_clear,     0,                                    CLEAR },
};
/* clang-format on */

static const char all_words[] =
	"not one of delay jitter rate queue tail red ecn loss burst ge every drop blackhole dup reorder "
	"corrupt swap seed down up clear";

static const struct word *find_word(const char *name)
{
	for (size_t i = 0; i < COUNT_OF(words); i++)
		if (strcmp(name, words[i].name) == 0)
			return &words[i];
	return NULL;
}

/* --- a whole text ------------------------------------------------------------------------------------------------- */

/* `text` may hold anything and go to a terminal. */
static bool complain(char why[static SPEC_WHY], const char *text, const char *wrong)
{
	char shown[SHOWN_LEN + 4] = "";
	size_t n = strnlen(text, SHOWN_LEN);
	for (size_t i = 0; i < n; i++)
		shown[i] = isprint((unsigned char)text[i]) ? text[i] : '?';
	snprintf(shown + n, sizeof(shown) - n, "%s", text[n] != '\0' ? "..." : "");
	snprintf(why, SPEC_WHY, "%s: %s", shown, wrong);
	return false;
}

/* "name=value" or "name". `said` collects what the text was about so far. */
static const char *take_word(struct spec *s, const char *text, unsigned *said)
{
	char name[WORD_LEN];
	size_t len = strcspn(text, "=");
	snprintf(name, sizeof(name), "%.*s", (int)len, text);
	const struct word *w = find_word(name);
	const char *value = text[len] == '=' ? text + len + 1 : NULL;
	if (w == NULL)
		return all_words;
	if (value == NULL && w->value == A_VALUE)
		return "it needs a value, after a =";
	if (value != NULL && w->value == NO_VALUE)
		return "it takes no value";
	if (*said & w->topic)
		return "this was said already, in the same breath";
	if (w->topic == CLEAR && *said != 0)
		return "it would take back what stands before it: put it first";
	*said |= w->topic;
	return w->take(s, w->arg, value);
}

/* What is wrong with the whole, though each word is right. */
static const char *find_contradiction(const struct spec *s, unsigned said)
{
	if (said == 0)
		return "nothing is said";
	if ((said & GE) && (said & (LOSS | BURST)))
		return "ge and loss or burst: only one of them";
	/* Two runs of losses have a packet between them that is not lost: of N + 1 packets N are lost at the most. */
	if (s->burst > 0 && s->loss < 1 && s->loss > s->burst / (s->burst + 1))
		return "so much loss comes in longer bursts than that";
	return NULL;
}

static const char separators[] = ", \t\r\n";

bool spec_apply(struct spec *s, const char *text, char why[static SPEC_WHY])
{
	struct spec changed = *s;
	unsigned said = 0;
	const char *wrong;
	for (const char *at = text + strspn(text, separators); *at != '\0'; at += strspn(at, separators)) {
		char word[WORD_LEN];
		size_t len = strcspn(at, separators);
		if (len >= sizeof(word))
			return complain(why, at, "too long");
		memcpy(word, at, len);
		word[len] = '\0';
		wrong = take_word(&changed, word, &said);
		if (wrong != NULL)
			return complain(why, word, wrong);
		at += len;
	}
	wrong = find_contradiction(&changed, said);
	if (wrong != NULL)
		return complain(why, text, wrong);
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

/* In the largest unit that is exact. */
static void add_time_value(struct text *t, uint64_t ns)
{
	static const struct {
		uint64_t ns;
		const char *name;
	} units[] = { { 1000000000, "s" }, { 1000000, "ms" }, { 1000, "us" }, { 1, "ns" } };
	size_t i = 0;
	while (ns % units[i].ns != 0)
		i++;
	add(t, "%" PRIu64 "%s", ns / units[i].ns, units[i].name);
}

static void add_time(struct text *t, const char *name, uint64_t ns)
{
	if (ns == 0)
		return;
	add_name(t, name);
	add_time_value(t, ns);
}

static void add_rate(struct text *t, uint64_t Bps)
{
	static const struct {
		uint64_t bits;
		const char *name;
	} units[] = { { 1000000000, "gbit" }, { 1000000, "mbit" }, { 1000, "kbit" }, { 1, "bit" } };
	size_t i = 0;
	if (Bps == 0)
		return;
	while (Bps * 8 % units[i].bits != 0)
		i++;
	add_name(t, "rate");
	add(t, "%" PRIu64 "%s", Bps * 8 / units[i].bits, units[i].name);
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
	add_share(t, "dup", s->duplicate);
	if (s->reorder != 0 || s->reorder_ns != DEFAULT_REORDER_NS) {
		add_name(t, "reorder");
		add_share_value(t, s->reorder);
		add(t, "%s", s->reorder_ns != DEFAULT_REORDER_NS ? ":" : "");
		if (s->reorder_ns != DEFAULT_REORDER_NS)
			add_time_value(t, s->reorder_ns);
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
