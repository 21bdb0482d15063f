/* linkem_spec_test.c - each word and what it refuses, text and spec there and back for many random specs, and texts
 * damaged byte by byte: what is refused changes nothing and says why in one printable line. */
#include "../../tools/linkem/spec.h"

#include "cdefs.h"
#include "check.h"
#include "prng.h"

#include <ctype.h>
#include <stdlib.h>

enum { MANY = 20000 };

/* No memcmp of structs: padding has no value. */
static bool is_same(const struct spec *a, const struct spec *b)
{
	return a->delay_ns == b->delay_ns && a->jitter_ns == b->jitter_ns && a->rate_Bps == b->rate_Bps &&
	       a->queue_len == b->queue_len && a->aqm == b->aqm && a->loss == b->loss && a->burst == b->burst &&
	       a->has_ge == b->has_ge && a->ge_p == b->ge_p && a->ge_r == b->ge_r && a->ge_bad == b->ge_bad &&
	       a->ge_good == b->ge_good && a->every == b->every && a->drop_kind == b->drop_kind &&
	       a->drop_number == b->drop_number && a->blackhole_len == b->blackhole_len && a->is_down == b->is_down &&
	       a->down_ns == b->down_ns && a->duplicate == b->duplicate && a->reorder == b->reorder &&
	       a->reorder_ns == b->reorder_ns && a->corrupt == b->corrupt && a->swap == b->swap && a->seed == b->seed;
}

static bool is_printable_line(const char *why)
{
	size_t len = strnlen(why, SPEC_WHY);
	for (size_t i = 0; i < len; i++)
		if (!isprint((unsigned char)why[i]))
			return false;
	return len > 0 && len < SPEC_WHY;
}

/* From a perfect link, or *s. */
static struct spec from(const char *text)
{
	struct spec s = spec_default();
	char why[SPEC_WHY] = "";
	if (!CHECK(spec_apply(&s, text, why)))
		fprintf(stderr, "    %s\n", why);
	return s;
}

static void apply(struct spec *s, const char *text)
{
	char why[SPEC_WHY] = "";
	if (!CHECK(spec_apply(s, text, why)))
		fprintf(stderr, "    %s\n", why);
}

/* --- words -------------------------------------------------------------------------------------------------------- */

static void test_times_and_rates(void)
{
	CHECK_INT(from("delay=10ms").delay_ns, 10000000);
	CHECK_INT(from("delay=60s").delay_ns, INT64_C(60000000000));
	CHECK_INT(from("delay=0").delay_ns, 0);
	CHECK_INT(from("jitter=2.5ms").jitter_ns, 2500000);
	CHECK_INT(from("rate=10mbit").rate_Bps, 1250000);
	CHECK_INT(from("rate=100kB/s").rate_Bps, 100000);
	CHECK_INT(from("rate=8bit").rate_Bps, 1);
	CHECK_INT(from("rate=8000gbit").rate_Bps, INT64_C(1000000000000));
	CHECK_INT(from("queue=64K").queue_len, 65536);
	CHECK_INT(from("queue=1").queue_len, 1);
	CHECK_INT(from("blackhole=1400").blackhole_len, 1400);

	struct spec s = from("rate=10mbit queue=64K blackhole=1400 delay=1s jitter=1s");
	apply(&s, "rate=none queue=auto blackhole=off delay=0 jitter=0");
	struct spec perfect = spec_default();
	CHECK(is_same(&s, &perfect));
}

static void test_shares(void)
{
	CHECK(from("loss=1%").loss == 0.01);
	CHECK(from("loss=0.01").loss == 0.01);
	CHECK(from("loss=.5").loss == 0.5);
	CHECK(from("loss=1e-3").loss == 0.001);
	CHECK(from("loss=100%").loss == 1);
	CHECK(from("loss=0").loss == 0);
	CHECK(from("loss=0%").loss == 0);
	CHECK(from("dup=2%").duplicate == 0.02);
	CHECK(from("corrupt=3%").corrupt == 0.03);
	CHECK(from("swap=4%").swap == 0.04);
	struct spec s = from("reorder=5%");
	CHECK(s.reorder == 0.05 && s.reorder_ns == 1000000);
	s = from("reorder=5%:20ms");
	CHECK(s.reorder == 0.05 && s.reorder_ns == 20000000);
	apply(&s, "reorder=6%");
	CHECK(s.reorder == 0.06 && s.reorder_ns == 20000000);
}

static void test_queue_kinds(void)
{
	CHECK_INT(from("red").aqm, SPEC_RED);
	CHECK_INT(from("ecn").aqm, SPEC_ECN);
	struct spec s = from("ecn");
	apply(&s, "tail");
	CHECK_INT(s.aqm, SPEC_TAIL);
}

static void test_bursts(void)
{
	struct spec s = from("loss=1%,burst=5");
	CHECK(s.loss == 0.01 && s.burst == 5 && !s.has_ge);
	apply(&s, "ge=1%:20%");
	CHECK(s.has_ge && s.ge_p == 0.01 && s.ge_r == 0.2 && s.ge_bad == 1 && s.ge_good == 0);
	CHECK(s.loss == 0 && s.burst == 0);
	apply(&s, "ge=1%:20%:0.5:0.1%");
	CHECK(s.ge_bad == 0.5 && s.ge_good == 0.001);
	apply(&s, "loss=2%");
	CHECK(!s.has_ge && s.ge_p == 0 && s.ge_r == 0 && s.ge_bad == 0 && s.ge_good == 0 && s.loss == 0.02);
	s = from("ge=1%:20%");
	apply(&s, "burst=3");
	CHECK(!s.has_ge && s.ge_p == 0 && s.burst == 3);
	apply(&s, "burst=off");
	CHECK(s.burst == 0);
	s = from("ge=1%:20%");
	apply(&s, "ge=off");
	struct spec perfect = spec_default();
	CHECK(is_same(&s, &perfect));
	CHECK(from("loss=50%,burst=1").loss == 0.5);
	CHECK(from("loss=100%,burst=4").loss == 1);
}

static void test_chosen(void)
{
	static const struct {
		const char *text;
		enum spec_kind kind;
		uint64_t number;
	} rows[] = {
		{ "drop=5", SPEC_ANY, 5 },           { "drop=any", SPEC_ANY, 1 },     { "drop=any:7", SPEC_ANY, 7 },
		{ "drop=syn", SPEC_SYN, 1 },         { "drop=syn:2", SPEC_SYN, 2 },   { "drop=synack", SPEC_SYNACK, 1 },
		{ "drop=synack:3", SPEC_SYNACK, 3 }, { "drop=data:4", SPEC_DATA, 4 }, { "drop=ack", SPEC_ACK, 1 },
		{ "drop=fin", SPEC_FIN, 1 },         { "drop=rst", SPEC_RST, 1 },     { "drop=off", SPEC_ANY, 0 },
	};
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct spec s = from(rows[i].text);
		CHECK_INT(s.drop_kind, rows[i].kind);
		CHECK_INT(s.drop_number, rows[i].number);
		CHECK(s.said.drop && !s.said.seed && !s.said.down);
	}
	CHECK_INT(from("every=10").every, 10);
	struct spec s = from("every=10");
	apply(&s, "every=off");
	CHECK_INT(s.every, 0);
}

static void test_up_and_down(void)
{
	struct spec s = from("down");
	CHECK(s.is_down && s.down_ns == 0 && s.said.down);
	apply(&s, "up");
	CHECK(!s.is_down && !s.said.down);
	apply(&s, "down=2s");
	CHECK(s.is_down && s.down_ns == 2000000000);
	apply(&s, "down");
	CHECK(s.is_down && s.down_ns == 0);
	apply(&s, "down=1ns");
	apply(&s, "up");
	CHECK(!s.is_down && s.down_ns == 0);
}

static void test_clear(void)
{
	struct spec s = from("seed=7,delay=1s,loss=5%,burst=9,reorder=1%:5ms,red,down,drop=5"),
		    perfect = spec_default();
	apply(&s, "clear,loss=1%");
	CHECK(s.loss == 0.01 && s.burst == 0 && s.delay_ns == 0 && s.aqm == SPEC_TAIL && !s.is_down);
	CHECK_INT(s.seed, 7);
	apply(&s, "clear seed=1");
	CHECK(is_same(&s, &perfect));
	s = from("delay=1s");
	apply(&s, "perfect");
	CHECK(is_same(&s, &perfect));
}

static void test_seed(void)
{
	struct spec s = from("seed=18446744073709551615");
	CHECK(s.seed == UINT64_MAX && s.said.seed && !s.said.drop);
	CHECK_INT(from("seed=0").seed, 0);
}

/* Nothing but what is named changes; words may be parted by all that looks like a gap. */
static void test_several(void)
{
	struct spec s = from("delay=10ms, rate=10mbit\tloss=1%,,seed=3\n ");
	CHECK(s.delay_ns == 10000000 && s.rate_Bps == 1250000 && s.loss == 0.01 && s.seed == 3);
	apply(&s, " ,delay=5ms");
	CHECK(s.delay_ns == 5000000 && s.rate_Bps == 1250000 && s.loss == 0.01 && s.seed == 3);
}

/* --- refusals ----------------------------------------------------------------------------------------------------- */

static void check_refused(const char *text, const char *part)
{
	struct spec s = from("delay=3ms,loss=2%,drop=syn:4,seed=9"), before = s;
	s.said.seed = s.said.drop = false;
	char why[SPEC_WHY] = "";
	bool is_right = CHECK(!spec_apply(&s, text, why)) && CHECK(is_same(&s, &before)) &&
			CHECK(is_printable_line(why)) && CHECK(strstr(why, part) != NULL) &&
			CHECK(!s.said.seed && !s.said.drop && !s.said.down);
	if (!is_right)
		fprintf(stderr, "    %.60s: %s\n", text, why);
}

static void test_refusals(void)
{
	static const struct {
		const char *text, *part;
	} rows[] = {
		{ "", "nothing is said" },
		{ " ,, \t", "nothing is said" },
		{ "=", "not one of delay" },
		{ "=1", "not one of" },
		{ "dealy=1ms", "dealy=1ms: not one of" },
		{ "Delay=1ms", "not one of" },
		{ "delay", "it needs a value" },
		{ "delay=", "a time is wanted" },
		{ "delay=x", "a time is wanted" },
		{ "delay=-1ms", "a time is wanted" },
		{ "delay=1ms=2ms", "a time is wanted" },
		{ "delay=61s", "60s is the most" },
		{ "delay=60000000001ns", "60s is the most" },
		{ "jitter=100000h", "60s is the most" },
		{ "delay=99999999999999999999999999h", "a time is wanted" },
		{ "rate=0", "8bit is the least" },
		{ "rate=1bit", "8bit is the least" },
		{ "rate=fast", "a rate is wanted" },
		{ "rate=8001gbit", "8000gbit is the most" },
		{ "queue=0", "or say auto" },
		{ "queue=none", "a size is wanted" },
		{ "queue=2T", "1T is the most" },
		{ "blackhole=0", "or say off" },
		{ "blackhole=auto", "a size is wanted" },
		{ "loss=1", "1% or 100%?" },
		{ "loss=1.0", "1% or 100%?" },
		{ "dup=1", "1% or 100%?" },
		{ "loss=5", "needs a %" },
		{ "loss=101%", "more than 100%" },
		{ "loss=100.00001%", "more than 100%" },
		{ "loss=-1%", "a share is wanted" },
		{ "loss=nan", "a share is wanted" },
		{ "loss=inf%", "a share is wanted" },
		{ "loss=0x1p-3", "a share is wanted" },
		{ "loss=1e999%", "more than 100%" },
		{ "loss=%", "a share is wanted" },
		{ "loss=1%%", "a share is wanted" },
		{ "loss=.", "a share is wanted" },
		{ "burst=0", "1 to 1000000" },
		{ "burst=0.5", "1 to 1000000" },
		{ "burst=1e7", "1 to 1000000" },
		{ "burst=x", "a number of packets" },
		{ "loss=60%,burst=1", "longer bursts" },
		{ "loss=90% burst=8", "longer bursts" },
		{ "ge=1%", "two shares at least" },
		{ "ge=", "a share is wanted" },
		{ "ge=1%:", "a share is wanted" },
		{ "ge=1%:1", "1% or 100%?" },
		{ "ge=1%:2%:3%:4%:5%", "four shares are the most" },
		{ "ge=1%:2%,loss=1%", "only one of them" },
		{ "burst=3 ge=1%:2%", "only one of them" },
		{ "every=0", "or say off" },
		{ "every=x", "a whole number" },
		{ "every=99999999999999999999", "a whole number" },
		{ "drop=0", "or say off" },
		{ "drop=x", "any, syn" },
		{ "drop=", "any, syn" },
		{ "drop=sy", "any, syn" },
		{ "drop=synx:3", "any, syn" },
		{ "drop=syn:", "a whole number" },
		{ "drop=syn:0", "1 is the least" },
		{ "drop=5x", "a whole number" },
		{ "reorder=1%:", "a time is wanted" },
		{ "reorder=1%:0", "too short" },
		{ "reorder=1%:61s", "60s is the most" },
		{ "reorder=:1ms", "a share is wanted" },
		{ "seed=-1", "a whole number" },
		{ "seed=", "a whole number" },
		{ "down=", "a time is wanted" },
		{ "down=0", "too short" },
		{ "down=61m", "1h is the most" },
		{ "up=1s", "it takes no value" },
		{ "red=", "it takes no value" },
		{ "clear=1", "it takes no value" },
		{ "delay=1ms,delay=2ms", "said already" },
		{ "red ecn", "said already" },
		{ "down up", "said already" },
		{ "clear perfect", "said already" },
		{ "delay=1ms,clear", "put it first" },
		{ "delay=1ms,loss=1", "loss=1: 1%" },
		{ "seed=4,drop=fin,down,x", "x: not one of" },
		{ "delay=1ms;loss=2%", "a time is wanted" },
		{ "\x1b[31mred", "?[31mred: not one of" },
		{ "\xff\xfe", "??: not one of" },
	};
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		check_refused(rows[i].text, rows[i].part);
}

static void test_huge(void)
{
	size_t len = 10 * 1000 * 1000;
	char *text = malloc(len + 1);
	memset(text, 'x', len);
	text[len] = '\0';
	check_refused(text, "xxx...: too long");
	memset(text, '1', len);
	memcpy(text, "delay=", 6);
	check_refused(text, "too long");
	memset(text, ',', len);
	check_refused(text, "nothing is said");
	memcpy(text + len - 9, "delay=1ms", 9);
	CHECK_INT(from(text).delay_ns, 1000000);
	free(text);
}

/* Words about as long as the longest that is read; zeros in front do not make a number greater. */
static void test_long_words(void)
{
	for (size_t len = 10; len < 400; len++) {
		char text[401] = "";
		memset(text, '0', len);
		memcpy(text, "seed=", 5);
		text[len - 1] = '7';
		struct spec s = spec_default();
		char why[SPEC_WHY] = "";
		bool is_right = spec_apply(&s, text, why);
		if (!CHECK(is_right ? s.seed == 7 && len < 192 : len >= 192 && strstr(why, "too long") != NULL))
			return;
	}
}

/* The list of words in the complaint is cut off neither by its own length nor by a long word in front of it. */
static void test_complaint_fits(void)
{
	struct spec s = spec_default();
	char why[SPEC_WHY];
	CHECK(!spec_apply(&s, "abcdefghijklmnopqrstuvwxyzabcdefgh=1", why));
	CHECK(strstr(why, "abcdefghijklmnopqrstuvwx...: ") == why);
	CHECK_STR(why + strlen(why) - 13, "down up clear");
}

/* --- text --------------------------------------------------------------------------------------------------------- */

static void test_texts(void)
{
	/* What is said, and the shortest way to say it. */
	static const struct {
		const char *said, *want;
	} rows[] = {
		{ "clear", "perfect" },
		{ "seed=1", "perfect" },
		{ "delay=0.01,jitter=1500us", "delay=10ms,jitter=1500us" },
		{ "delay=1min", "delay=60s" },
		{ "delay=1000001ns", "delay=1000001ns" },
		{ "rate=10000000", "rate=10mbit" },
		{ "rate=1500kbit", "rate=1500kbit" },
		{ "rate=1gbit", "rate=1gbit" },
		{ "rate=1B/s", "rate=8bit" },
		{ "queue=65536 red", "queue=64K,red" },
		{ "queue=1000,ecn", "queue=1000,ecn" },
		{ "loss=0.01", "loss=1%" },
		{ "loss=0.125 burst=4", "loss=12.5%,burst=4" },
		{ "loss=100%", "loss=100%" },
		{ "loss=0.1%", "loss=0.1%" },
		{ "loss=0.012345", "loss=1.2345%" },
		{ "ge=1%:0.25:100%:0", "ge=1%:25%" },
		{ "ge=0.01:0.25:0.5:0", "ge=1%:25%:50%" },
		{ "ge=1%:25%:100%:1%", "ge=1%:25%:100%:1%" },
		{ "every=100", "every=100" },
		{ "drop=any:5", "drop=5" },
		{ "drop=any", "drop=1" },
		{ "drop=data:1", "drop=data" },
		{ "drop=data:12", "drop=data:12" },
		{ "blackhole=1400", "blackhole=1400" },
		{ "reorder=0.25:1ms", "reorder=25%" },
		{ "reorder=25%:5ms", "reorder=25%:5ms" },
		{ "dup=1%,corrupt=2%,swap=3%", "dup=1%,corrupt=2%,swap=3%" },
		{ "seed=42", "seed=42" },
		{ "down", "down" },
		{ "down=2000ms", "down=2s" },
	};
	char text[SPEC_TEXT];
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct spec s = from(rows[i].said);
		CHECK_STR(spec_text(text, &s), rows[i].want);
	}
}

static bool goes_there_and_back(const struct spec *s)
{
	char text[SPEC_TEXT], why[SPEC_WHY] = "";
	struct spec back = spec_default();
	bool is_right = CHECK(spec_apply(&back, spec_text(text, s), why)) && CHECK(is_same(&back, s));
	if (!is_right)
		fprintf(stderr, "    %s: %s\n", text, why);
	return is_right;
}

static uint64_t n_drawn;

static uint64_t draw(void)
{
	return prng_word(77, n_drawn++);
}

/* Up to max, of any magnitude, often 0. */
static uint64_t any_number(uint64_t max)
{
	uint64_t word = draw(), shift = draw() % 64;
	return word % 3 == 0 ? 0 : (draw() >> shift) % max + 1;
}

/* Any double from 0 to 1, some of them round. */
static double any_share(void)
{
	double share = (double)(draw() >> 11) * 0x1p-53;
	switch (draw() % 5) {
	case 0:
		return 0;
	case 1:
		return (double)(draw() % 1001) / 1000;
	case 2:
		return share / 1e9;
	default:
		return share;
	}
}

static void draw_losses(struct spec *s)
{
	if (draw() % 2) {
		s->has_ge = true;
		s->ge_p = any_share();
		s->ge_r = any_share();
		s->ge_bad = draw() % 2 ? 1 : any_share();
		s->ge_good = any_share();
		return;
	}
	s->burst = draw() % 2 ? 0 : draw() % 2 ? (double)(draw() % 100 + 1) : 1 + any_share() * 100;
	s->loss = any_share();
	if (s->burst > 0 && s->loss > s->burst / (s->burst + 1))
		s->loss = 1;
}

static struct spec any_spec(void)
{
	struct spec s = spec_default();
	draw_losses(&s);
	s.delay_ns = any_number(60000000000);
	s.jitter_ns = any_number(60000000000) / 1000 * 1000;
	s.rate_Bps = any_number(1000000000000);
	s.queue_len = any_number(UINT64_C(1) << 40);
	s.aqm = (enum spec_aqm)(draw() % 3);
	s.every = any_number(UINT64_MAX - 1);
	s.drop_number = any_number(UINT64_MAX - 1);
	s.drop_kind = s.drop_number != 0 ? (enum spec_kind)(draw() % 7) : SPEC_ANY;
	s.blackhole_len = any_number(UINT64_C(1) << 40);
	s.is_down = draw() % 2;
	s.down_ns = s.is_down ? any_number(UINT64_C(3600000000000)) : 0;
	s.duplicate = any_share();
	s.reorder = any_share();
	s.reorder_ns = draw() % 3 ? 1000000 : any_number(60000000000 - 1) + 1;
	s.corrupt = any_share();
	s.swap = any_share();
	uint64_t shift = draw() % 64;
	s.seed = draw() >> shift;
	return s;
}

static void test_there_and_back(void)
{
	for (int i = 0; i < MANY; i++) {
		struct spec s = any_spec();
		if (!goes_there_and_back(&s))
			return;
	}
}

/* All that can be said, each at its longest. */
static void test_longest_text_fits(void)
{
	double share = 1.2345678901234567e-100;
	struct spec s = {
		.delay_ns = 59999999999,
		.jitter_ns = 59999999999,
		.rate_Bps = 999999999999,
		.queue_len = (UINT64_C(1) << 40) - 1,
		.aqm = SPEC_ECN,
		.has_ge = true,
		.ge_p = share,
		.ge_r = share,
		.ge_bad = share,
		.ge_good = share,
		.every = UINT64_MAX,
		.drop_kind = SPEC_SYNACK,
		.drop_number = UINT64_MAX,
		.blackhole_len = (UINT64_C(1) << 40) - 1,
		.is_down = true,
		.down_ns = 3599999999999,
		.duplicate = share,
		.reorder = share,
		.reorder_ns = 59999999999,
		.corrupt = share,
		.swap = share,
		.seed = UINT64_MAX,
	};
	goes_there_and_back(&s);
}

/* --- damage ------------------------------------------------------------------------------------------------------- */

/* From memory that ends with the text, so that the address sanitizer sees a byte that is read beyond it. */
static bool apply_exactly(struct spec *s, const char *bytes, size_t len, char why[static SPEC_WHY])
{
	char *exact = malloc(len + 1);
	memcpy(exact, bytes, len);
	exact[len] = '\0';
	bool is_right = spec_apply(s, exact, why);
	free(exact);
	return is_right;
}

static size_t damage(char *text, size_t len)
{
	static const char telling[] = "=:,%. -+0123456789eExnmskMK\xff\x01";
	for (uint64_t n = draw() % 4 + 1; n > 0 && len > 0; n--) {
		size_t at = draw() % len;
		if (draw() % 4 == 0)
			len = at;
		else
			text[at] = draw() % 2 ? (char)draw() : telling[draw() % (sizeof(telling) - 1)];
	}
	return len;
}

static void test_damaged_texts(void)
{
	unsigned long accepted = 0;
	for (int i = 0; i < MANY; i++) {
		char text[SPEC_TEXT], why[SPEC_WHY] = "";
		struct spec s = any_spec(), before = s;
		spec_text(text, &s);
		size_t len = damage(text, strlen(text));
		s = before = spec_default();
		bool is_right = apply_exactly(&s, text, len, why);
		accepted += is_right;
		if (is_right ? !goes_there_and_back(&s) : !CHECK(is_printable_line(why) && is_same(&s, &before)))
			return;
	}
	CHECK(accepted > MANY / 100 && accepted < MANY);
}

int main(void)
{
	test_times_and_rates();
	test_shares();
	test_queue_kinds();
	test_bursts();
	test_chosen();
	test_up_and_down();
	test_clear();
	test_seed();
	test_several();
	test_refusals();
	test_huge();
	test_long_words();
	test_complaint_fits();
	test_texts();
	test_there_and_back();
	test_longest_text_fits();
	test_damaged_texts();
	return check_done();
}
