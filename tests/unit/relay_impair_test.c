/* relay_impair_test.c - the words, there and back and damaged; then streams through a bad link in simulated time, up to hours of
 * it: nothing lost, nothing overtaken, nobody early, nobody later than he may be, a rate that is kept in any window, a cut after
 * exactly so many bytes. */
#include "../../tools/relay/impair.h"

#include "cdefs.h"
#include "check.h"
#include "clock.h"
#include "prng.h"

#include <ctype.h>
#include <stdlib.h>

#define MS     ((uint64_t)NS_PER_MS)
#define SECOND ((uint64_t)NS_PER_S)
#define START  (1000 * SECOND)

/* --- words -------------------------------------------------------------------------------------------------------- */

/* No memcmp of structs: padding has no value. */
static bool is_same(const struct impair_spec *a, const struct impair_spec *b)
{
	return a->delay_ns == b->delay_ns && a->jitter_ns == b->jitter_ns && a->rate_Bps == b->rate_Bps &&
	       a->chunk == b->chunk && a->stall_at == b->stall_at && a->cut_at == b->cut_at && a->cut == b->cut &&
	       a->corrupt_at == b->corrupt_at && a->blackhole == b->blackhole && a->seed == b->seed;
}

static bool is_printable_line(const char *why)
{
	size_t len = strnlen(why, IMPAIR_WHY);
	for (size_t i = 0; i < len; i++)
		if (!isprint((unsigned char)why[i]))
			return false;
	return len > 0 && len < IMPAIR_WHY;
}

static struct impair_spec changed(struct impair_spec s, const char *text)
{
	char why[IMPAIR_WHY] = "";
	if (!CHECK(impair_apply(&s, text, why)))
		fprintf(stderr, "    %s: %s\n", text, why);
	return s;
}

static struct impair_spec spec_of(const char *text)
{
	return changed(impair_default(), text);
}

static void check_text(const char *text, const char *want)
{
	struct impair_spec s = spec_of(text), again;
	char out[IMPAIR_TEXT];
	CHECK_STR(impair_text(out, &s), want);
	again = spec_of(out);
	CHECK(is_same(&s, &again));
}

static void test_words(void)
{
	struct impair_spec s = impair_default();
	CHECK(impair_is_nothing(&s));
	s = spec_of(
		"delay=10ms jitter=2.5ms,rate=8mbit chunk=1K stall-at=5000,cut-at=64K:fin corrupt-at=0 blackhole seed=7");
	CHECK_INT(s.delay_ns, 10 * MS);
	CHECK_INT(s.jitter_ns, 2500000);
	CHECK_INT(s.rate_Bps, 1000000);
	CHECK_INT(s.chunk, 1024);
	CHECK_INT(s.stall_at, 5000);
	CHECK_INT(s.cut_at, 65536);
	CHECK_INT(s.cut, IMPAIR_CUT_FIN);
	CHECK_INT(s.corrupt_at, 0);
	CHECK(s.blackhole);
	CHECK_INT(s.seed, 7);
	struct impair_spec cleared = changed(s, "clear"), only_seed = spec_of("seed=7");
	CHECK(is_same(&cleared, &only_seed));
	CHECK(impair_is_nothing(&cleared));
	s = changed(s, "rate=none,chunk=off,stall-at=off,cut-at=off,corrupt-at=off,no-blackhole,delay=0,jitter=0");
	CHECK(is_same(&s, &cleared));
	CHECK_INT(spec_of("cut-at=1").cut, IMPAIR_CUT_RST);
	CHECK_INT(spec_of("cut-at=1:rst").cut, IMPAIR_CUT_RST);
	CHECK_INT(spec_of("cut-at=0:fin").cut_at, 0);
	s = changed(spec_of("delay=1s,chunk=9"), "clear delay=5ms");
	CHECK_INT(s.delay_ns, 5 * MS);
	CHECK_INT(s.chunk, 0);
}

/* Each word alone makes it something. */
static void test_is_nothing(void)
{
	static const char *const words[] = { "delay=1ns",  "jitter=1ns", "rate=8bit",    "chunk=1",
					     "stall-at=0", "cut-at=0",   "corrupt-at=0", "blackhole" };
	for (size_t i = 0; i < COUNT_OF(words); i++) {
		struct impair_spec s = spec_of(words[i]);
		CHECK(!impair_is_nothing(&s));
		check_text(words[i], words[i]);
	}
}

static void test_text(void)
{
	check_text("clear", "clear");
	check_text("seed=1", "clear");
	check_text("seed=18446744073709551615", "seed=18446744073709551615");
	check_text("delay=0.010 jitter=1500us", "delay=10ms,jitter=1500us");
	check_text("delay=60s", "delay=60s");
	check_text("rate=10mbit", "rate=10mbit");
	check_text("rate=1MB/s", "rate=8mbit");
	check_text("rate=17B/s", "rate=136bit");
	check_text("rate=800gbit", "rate=800gbit");
	check_text("cut-at=65536:rst", "cut-at=64K");
	check_text("cut-at=100:fin", "cut-at=100:fin");
	check_text("stall-at=1024T", "stall-at=1024T");
	char out[IMPAIR_TEXT];
	struct impair_spec longest = spec_of(
		"delay=59999999999ns,jitter=59999999999ns,rate=799999999992bit,"
		"chunk=1125899906842623,stall-at=1125899906842623,cut-at=1125899906842623:fin,"
		"corrupt-at=1125899906842623,blackhole,seed=18446744073709551615");
	CHECK_STR(impair_text(out, &longest),
		  "delay=59999999999ns,jitter=59999999999ns,rate=799999999992bit,chunk=1125899906842623,"
		  "stall-at=1125899906842623,cut-at=1125899906842623:fin,corrupt-at=1125899906842623,blackhole,"
		  "seed=18446744073709551615");
	struct impair_spec again = spec_of(out);
	CHECK(is_same(&longest, &again));
}

static void check_refused(const char *text, const char *want)
{
	struct impair_spec s = spec_of("delay=7ms,cut-at=9:fin,seed=3"), before = s;
	char why[IMPAIR_WHY] = "";
	if (!CHECK(!impair_apply(&s, text, why)))
		fprintf(stderr, "    taken: %s\n", text);
	CHECK(is_same(&s, &before));
	CHECK_STR(why, want);
}

static void test_refused_words(void)
{
	static const char all[] =
		"not one of delay jitter rate chunk stall-at cut-at corrupt-at blackhole no-blackhole seed clear";
	char want[IMPAIR_WHY];
	snprintf(want, sizeof(want), "speed=3: %s", all);
	check_refused("speed=3", want);
	snprintf(want, sizeof(want), "dela=3: %s", all);
	check_refused("dela=3", want);
	check_refused("", ": nothing is said");
	check_refused(" , ,", " , ,: nothing is said");
	check_refused("delay", "delay: it needs a value, after a =");
	check_refused("blackhole=1", "blackhole=1: it takes no value");
	check_refused("clear=", "clear=: it takes no value");
	check_refused("delay=1ms,delay=2ms", "delay=2ms: this was said already, in the same breath");
	check_refused("blackhole no-blackhole", "no-blackhole: this was said already, in the same breath");
	check_refused("chunk=3 clear", "clear: it would take back what stands before it: put it first");
	check_refused("clear clear", "clear: this was said already, in the same breath");
	check_refused("chunk=3,delay=1x", "delay=1x: a time is wanted, such as 10ms");
	check_refused("delay=", "delay=: a time is wanted, such as 10ms");
	check_refused("delay=-1ms", "delay=-1ms: a time is wanted, such as 10ms");
	check_refused("delay=100", "delay=100: 60s is the most (10 is 10s, say 10ms)");
	check_refused("jitter=61s", "jitter=61s: 60s is the most (10 is 10s, say 10ms)");
	check_refused("rate=0", "rate=0: 8bit is the least (or say none)");
	check_refused("rate=fast", "rate=fast: a rate is wanted, such as 10mbit or 100kB/s, or none");
	check_refused("rate=801gbit", "rate=801gbit: 800gbit is the most");
	check_refused("chunk=0", "chunk=0: 1 byte is the least (or say off)");
	check_refused("chunk=x", "chunk=x: a size is wanted, such as 100 or 1K, or off");
	check_refused("chunk=1025T", "chunk=1025T: 1024T is the most");
	check_refused("stall-at=x", "stall-at=x: a number of bytes is wanted, such as 1000 or 64K, or off");
	check_refused("stall-at=1025T", "stall-at=1025T: 1024T is the most");
	check_refused("cut-at=1:syn", "cut-at=1:syn: a number of bytes, and perhaps :fin or :rst, or off");
	check_refused("cut-at=1:", "cut-at=1:: a number of bytes, and perhaps :fin or :rst, or off");
	check_refused("cut-at=off:fin", "cut-at=off:fin: a number of bytes, and perhaps :fin or :rst, or off");
	check_refused("cut-at=:fin", "cut-at=:fin: a number of bytes is wanted, such as 1000 or 64K, or off");
	check_refused("seed=-1", "seed=-1: a whole number is wanted");
	check_refused("\x1b[2J\xff", "?[2J?: not one of delay jitter rate chunk stall-at cut-at corrupt-at blackhole "
				     "no-blackhole seed clear");
	check_refused("delay=0000000000000000000000000000000000000000000000000000000000001",
		      "delay=000000000000000000...: too long");
}

static uint64_t random_below(uint64_t *luck, uint64_t n)
{
	return prng_word(99, (*luck)++) % n;
}

static struct impair_spec random_spec(uint64_t *luck)
{
	struct impair_spec s = impair_default();
	uint64_t which = random_below(luck, 1024), scale = UINT64_C(1) << random_below(luck, 50);
	if (which & 1)
		s.delay_ns = random_below(luck, 60 * SECOND + 1);
	if (which & 2)
		s.jitter_ns = 1 + random_below(luck, 60) * SECOND;
	if (which & 4)
		s.rate_Bps = 1 + random_below(luck, scale < 100000000000 ? scale : 100000000000);
	if (which & 8)
		s.chunk = 1 + random_below(luck, scale);
	if (which & 16)
		s.stall_at = random_below(luck, scale);
	if (which & 32)
		s.cut_at = random_below(luck, scale);
	if (which & 32)
		s.cut = which & 512 ? IMPAIR_CUT_FIN : IMPAIR_CUT_RST;
	if (which & 64)
		s.corrupt_at = random_below(luck, scale);
	s.blackhole = which & 128;
	if (which & 256)
		s.seed = prng_word(5, *luck);
	return s;
}

/* Text and back for many specs; each text damaged in one place: it never crashes, and what it refuses changes nothing. */
static void test_random_words(void)
{
	uint64_t luck = 0;
	for (int i = 0; i < 20000; i++) {
		struct impair_spec s = random_spec(&luck), again, other = s, before = s;
		char text[IMPAIR_TEXT], why[IMPAIR_WHY] = "";
		again = spec_of(impair_text(text, &s));
		if (!CHECK(is_same(&s, &again)))
			fprintf(stderr, "    %s\n", text);
		text[random_below(&luck, strlen(text))] = (char)(1 + random_below(&luck, 255));
		if (!impair_apply(&other, text, why) && !CHECK(is_printable_line(why) && is_same(&other, &before)))
			fprintf(stderr, "    %s: %s\n", text, why);
	}
}

/* --- a stream ------------------------------------------------------------------------------------------------------
 * Time goes from event to event: a piece is offered, or impair_pass wanted to be asked. */

enum { MOST = 4096 };

struct gone {
	uint64_t at_ns;
	size_t n;
};

struct stream {
	struct impair *m;
	uint64_t now_ns;
	uint64_t in, out, dropped;
	size_t waiting;
	uint64_t again_ns;
	bool has_end, is_ended;
	enum pump_cut cut;
	uint64_t sink_room; /* how much the sink takes at once */
	uint64_t late_ns;   /* how late this asker is */
	struct gone *log;   /* what was sent */
	size_t n_log, capacity;
};

static struct stream begin(const char *text)
{
	struct impair_spec s = spec_of(text);
	return (struct stream){
		.m = impair_new(&s, 1, 0, 0, START), .now_ns = START, .again_ns = CLK_NEVER, .sink_room = UINT64_MAX
	};
}

static void end(struct stream *s)
{
	impair_free(s->m);
	free(s->log);
}

static void note(struct stream *s, size_t n)
{
	if (s->n_log == s->capacity) {
		s->capacity = 2 * s->capacity + 64;
		s->log = realloc(s->log, s->capacity * sizeof(*s->log));
	}
	s->log[s->n_log++] = (struct gone){ s->now_ns, n };
}

/* As the pump does it. */
static void ask(struct stream *s)
{
	while (s->cut == PUMP_NO_CUT) {
		struct pump_pass pass = impair_pass(s->m, s->waiting, s->now_ns);
		s->again_ns = pass.again_ns;
		CHECK(pass.drop + pass.send <= s->waiting);
		CHECK(pass.again_ns > s->now_ns);
		size_t n = pass.send < s->sink_room ? pass.send : (size_t)s->sink_room;
		if (pass.drop > 0)
			impair_left(s->m, pass.drop, s->now_ns);
		if (n > 0) {
			impair_left(s->m, n, s->now_ns);
			note(s, n);
		}
		s->dropped += pass.drop;
		s->out += n;
		s->waiting -= pass.drop + n;
		s->cut = pass.cut;
		if (s->waiting == 0 && s->has_end && pass.end)
			s->is_ended = true;
		if (pass.drop + n == 0 || n < pass.send)
			return;
	}
}

/* Lets time go by. */
static void go_until(struct stream *s, uint64_t until_ns)
{
	while (s->again_ns != CLK_NEVER && s->again_ns + s->late_ns <= until_ns) {
		s->now_ns = s->again_ns + s->late_ns;
		ask(s);
	}
	s->now_ns = until_ns;
}

static void go(struct stream *s, uint64_t for_ns)
{
	go_until(s, s->now_ns + for_ns);
}

static void give_bytes(struct stream *s, unsigned char *bytes, size_t n)
{
	impair_arrive(s->m, bytes, n, s->now_ns);
	s->in += n;
	s->waiting += n;
	ask(s);
}

static void give(struct stream *s, size_t n)
{
	static unsigned char nothing[MOST];
	give_bytes(s, nothing, n);
}

static void give_end(struct stream *s)
{
	impair_arrive(s->m, NULL, 0, s->now_ns);
	s->has_end = true;
	ask(s);
}

static void change(struct stream *s, const char *text)
{
	struct impair_spec spec = spec_of(text);
	impair_change(s->m, &spec, s->now_ns);
	ask(s);
}

static void test_nothing(void)
{
	struct stream s = begin("clear");
	ask(&s);
	CHECK_INT(s.again_ns, CLK_NEVER);
	give(&s, 100);
	give(&s, 1);
	CHECK_INT(s.out, 101);
	CHECK_INT(s.n_log, 2);
	CHECK(!s.is_ended);
	give_end(&s);
	CHECK(s.is_ended);
	CHECK_INT(s.again_ns, CLK_NEVER);
	end(&s);
}

/* --- delay and jitter --------------------------------------------------------------------------------------------- */

static void test_delay(void)
{
	struct stream s = begin("delay=10ms");
	give(&s, 100);
	go(&s, 3 * MS);
	give(&s, 50);
	give_end(&s);
	CHECK_INT(s.out, 0);
	CHECK_INT(s.again_ns, START + 10 * MS);
	go(&s, 7 * MS - 1);
	CHECK_INT(s.out, 0);
	go(&s, 1);
	CHECK_INT(s.out, 100);
	CHECK_INT(s.again_ns, START + 13 * MS);
	go(&s, 3 * MS);
	CHECK_INT(s.out, 150);
	CHECK(s.is_ended);
	end(&s);
}

/* The end has its own delay, when it comes later than the last byte. */
static void test_delayed_end(void)
{
	struct stream s = begin("delay=10ms");
	give(&s, 1);
	go(&s, 20 * MS);
	CHECK_INT(s.out, 1);
	give_end(&s);
	CHECK(!s.is_ended);
	CHECK_INT(s.again_ns, s.now_ns + 10 * MS);
	go(&s, 10 * MS - 1);
	CHECK(!s.is_ended);
	go(&s, 1);
	CHECK(s.is_ended);
	end(&s);
}

/* For an hour: a piece at random times. Each byte leaves within its bounds, all of them leave, and (checked by how they are logged)
 * in order. The arrivals are kept so that each departure finds the arrival of its bytes. */
static void check_bounds(const char *text, uint64_t least_ns, uint64_t most_ns, uint64_t gap_ns)
{
	enum { PIECES = 20000 };
	static struct gone came[PIECES];
	struct stream s = begin(text);
	uint64_t luck = 0, lowest = UINT64_MAX, highest = 0;
	for (int i = 0; i < PIECES; i++) {
		go(&s, random_below(&luck, gap_ns));
		came[i] = (struct gone){ s.now_ns, 1 + random_below(&luck, 50) };
		give(&s, came[i].n);
	}
	give_end(&s);
	go(&s, most_ns);
	CHECK(s.is_ended);
	CHECK_INT(s.out, s.in);
	size_t at = 0, rest = came[0].n;
	for (size_t i = 0; i < s.n_log; i++) {
		for (size_t n = s.log[i].n; n > 0;) {
			size_t step = n < rest ? n : rest;
			uint64_t took_ns = s.log[i].at_ns - came[at].at_ns;
			lowest = took_ns < lowest ? took_ns : lowest;
			highest = took_ns > highest ? took_ns : highest;
			n -= step;
			rest -= step;
			if (rest == 0 && ++at < PIECES)
				rest = came[at].n;
		}
	}
	CHECK(lowest >= least_ns && highest <= most_ns);
	CHECK(highest >= most_ns - (most_ns - least_ns) / 20);
	CHECK(gap_ns < most_ns ||
	      lowest <= least_ns + (most_ns - least_ns) / 20); /* else there is mostly a late one to wait for */
	end(&s);
}

static void test_jitter(void)
{
	check_bounds("delay=10ms,jitter=3ms", 7 * MS, 13 * MS, 360 * MS); /* an hour; they do not disturb each other */
	check_bounds("delay=10ms,jitter=10ms", 0, 20 * MS, MS);           /* they do */
	check_bounds("delay=2ms,jitter=5ms", 0, 7 * MS, 360 * MS);        /* nobody leaves before he has come */
	check_bounds("delay=200ms,jitter=1ns", 200 * MS - 1, 200 * MS + 1, 10 * MS);
	check_bounds("delay=10ms,jitter=5ms,rate=100gbit,chunk=1", 5 * MS, 15 * MS + 100, 360 * MS);
}

/* Evenly: of single pieces a quarter in each quarter of the range. */
static void test_jitter_is_even(void)
{
	enum { PIECES = 40000 };
	struct stream s = begin("delay=10ms,jitter=4ms");
	unsigned quarters[4] = { 0 };
	for (int i = 0; i < PIECES; i++) {
		uint64_t came_ns = s.now_ns;
		give(&s, 1);
		go(&s, 20 * MS);
		if (!CHECK_INT(s.n_log, i + 1))
			break;
		uint64_t took_ns = s.log[i].at_ns - came_ns - 6 * MS;
		quarters[took_ns * 4 / (8 * MS + 1)]++;
	}
	for (int i = 0; i < 4; i++)
		CHECK(quarters[i] > PIECES / 4 - PIECES / 50 && quarters[i] < PIECES / 4 + PIECES / 50);
	end(&s);
}

static uint64_t first_delay(const char *text, uint64_t number)
{
	struct impair_spec spec = spec_of(text);
	struct impair *m = impair_new(&spec, number, 0, 0, START);
	unsigned char byte = 0;
	impair_arrive(m, &byte, 1, START);
	uint64_t again_ns = impair_pass(m, 1, START).again_ns;
	impair_free(m);
	return again_ns - START;
}

static void test_luck(void)
{
	CHECK_INT(first_delay("delay=1s,jitter=1s", 1), first_delay("delay=1s,jitter=1s", 1));
	CHECK(first_delay("delay=1s,jitter=1s", 1) != first_delay("delay=1s,jitter=1s", 2));
	CHECK(first_delay("delay=1s,jitter=1s", 1) != first_delay("delay=1s,jitter=1s,seed=2", 1));
}

/* --- rate --------------------------------------------------------------------------------------------------------- */

/* In any window that begins before a piece and ends with one: never more than rate x time and one piece; and over the whole
 * (there was always something to send) never less, but for one piece. */
static void check_rate_log(const struct stream *s, uint64_t rate_Bps, uint64_t begin_ns, uint64_t late_ns)
{
	uint64_t piece = rate_Bps / 200 < 1 ? 1 : rate_Bps / 200 > IMPAIR_PIECE_MAX ? IMPAIR_PIECE_MAX : rate_Bps / 200;
	long double rate = (long double)rate_Bps / NS_PER_S, sum = 0, least = 0;
	long double most = (long double)piece + (long double)(late_ns + 1) * rate +
			   1; /* a nanosecond and a byte for rounding */
	for (size_t i = 0; i < s->n_log; i++) {
		/* sum - rate x time, against the lowest it has been: that is the window with the most in it. */
		long double now = sum - rate * (long double)(s->log[i].at_ns - begin_ns);
		least = now < least || i == 0 ? now : least;
		sum += s->log[i].n;
		now += s->log[i].n;
		if (!CHECK(now - least <= most))
			return;
		if (!CHECK(now <= 0.001L && now >= -most))
			return;
	}
	CHECK(s->n_log > 100);
}

static void check_rate(const char *text, uint64_t rate_Bps, uint64_t time_ns, size_t piece, uint64_t late_ns)
{
	struct stream s = begin(text);
	s.late_ns = late_ns;
	uint64_t luck = 0;
	while (s.now_ns < START + time_ns) {
		while (s.waiting < 256 * 1024) /* always enough to send */
			give(&s, piece != 0 ? piece : 1 + random_below(&luck, MOST));
		go_until(&s, s.again_ns + late_ns);
	}
	check_rate_log(&s, rate_Bps, START, late_ns);
	end(&s);
}

static void test_rate(void)
{
	check_rate("rate=1MB/s", 1000000, 60 * SECOND, 0, 0);
	check_rate("rate=999983B/s", 999983, 1200 * SECOND, MOST, 0); /* a prime: no piece takes whole nanoseconds */
	check_rate("rate=1000B/s", 1000, 600 * SECOND, 0, 0);
	check_rate("rate=3B/s", 3, 10 * 3600 * SECOND, 0, 0);
	check_rate("rate=100gbit", UINT64_C(12500000000), SECOND / 10, MOST, 0);
	check_rate("rate=1MB/s,chunk=7", 1000000, 10 * SECOND, 0, 0);
	check_rate("rate=777777B/s,delay=1ns", 777777, 10 * SECOND, 1500, 0);
}

/* Who asks late does not make it slower. */
static void test_rate_with_late_timers(void)
{
	check_rate("rate=1MB/s", 1000000, 600 * SECOND, MOST, 3 * MS);
	check_rate("rate=1MB/s", 1000000, 600 * SECOND, MOST, 90 * MS);
	check_rate("rate=1000B/s", 1000, 3600 * SECOND, MOST, 50 * MS);
	check_rate("rate=3B/s", 3, 3600 * SECOND, MOST, 99 * MS);
	check_rate("rate=800gbit", UINT64_C(100000000000), SECOND / 50, MOST, 1000);
}

/* A small piece that comes to a free link leaves when it is through, and there is no credit for the time before. */
static void test_rate_when_idle(void)
{
	struct stream s = begin("rate=1000B/s");
	go(&s, 3600 * SECOND);
	for (int i = 0; i < 100; i++) {
		uint64_t before_ns = s.now_ns;
		size_t before = s.n_log;
		give(&s, 3);
		CHECK_INT(s.again_ns, before_ns + 3 * MS);
		go(&s, SECOND);
		if (CHECK_INT(s.n_log, before + 1))
			CHECK_INT(s.log[before].at_ns, before_ns + 3 * MS);
	}
	give(&s, 100); /* 100 ms, in pieces of 5 ms */
	uint64_t before_ns = s.now_ns;
	give_end(&s);
	go(&s, 50 * MS);
	CHECK_INT(s.in - s.out, 50);
	CHECK_INT(s.again_ns, before_ns + 55 * MS);
	CHECK(!s.is_ended);
	go(&s, 50 * MS);
	CHECK_INT(s.out, s.in);
	CHECK(s.is_ended);
	end(&s);
}

/* A sink that took nothing for a minute does not get a minute's bytes at once. */
static void test_rate_after_a_full_sink(void)
{
	struct stream s = begin("rate=100000B/s");
	for (int i = 0; i < 64; i++)
		give(&s, MOST);
	s.sink_room = 0;
	go(&s, 60 * SECOND);
	CHECK_INT(s.out, 0);
	s.sink_room = UINT64_MAX;
	ask(&s);
	CHECK_INT(s.out, 10500); /* 105 ms: IMPAIR_LATE_NS and a piece */
	go(&s, SECOND);
	CHECK_INT(s.out, 110500);
	end(&s);
}

/* A sink that takes a few bytes at a time: no credit is lost or won. */
static void test_rate_into_a_narrow_sink(void)
{
	struct stream s = begin("rate=100000B/s");
	s.sink_room = 33;
	for (int i = 0; i < 64; i++)
		give(&s, MOST);
	for (uint64_t t = 0; t < SECOND; t += MS / 10) { /* the sink has room again */
		go(&s, MS / 10);
		ask(&s);
	}
	CHECK(s.out <= 100000 && s.out >= 100000 - 500);
	end(&s);
}

static void test_change_of_rate(void)
{
	struct stream s = begin("rate=1000B/s");
	give(&s, MOST);
	give(&s, MOST);
	go(&s, SECOND);
	CHECK_INT(s.out, 1000);
	change(&s, "rate=2000B/s");
	CHECK_INT(s.out, 1000);
	go(&s, SECOND);
	CHECK_INT(s.out, 3000);
	change(&s, "rate=2000B/s,delay=1ms"); /* the same rate: nothing begins anew */
	go(&s, SECOND);
	CHECK_INT(s.out, 5000);
	change(&s, "clear");
	CHECK_INT(s.out, s.in);
	give(&s, 100);
	change(&s, "rate=1000B/s"); /* and no credit from before */
	give(&s, 100);
	CHECK_INT(s.in - s.out, 100);
	go(&s, 100 * MS);
	CHECK_INT(s.out, s.in);
	s.sink_room = 0;
	change(&s, "clear");
	give(&s, 100); /* these wait for the sink, not for a rate */
	go(&s, 60 * SECOND);
	s.sink_room = UINT64_MAX;
	change(&s, "rate=1000B/s");
	CHECK_INT(s.in - s.out, 100);
	end(&s);
}

/* --- chunk -------------------------------------------------------------------------------------------------------- */

static void test_chunk(void)
{
	struct stream s = begin("chunk=7");
	give(&s, 100);
	give(&s, 5);
	CHECK_INT(s.out, 105);
	CHECK_INT(s.n_log, 16);
	for (size_t i = 0; i < s.n_log; i++)
		CHECK_INT(s.log[i].n, i == 14 ? 2 : i == 15 ? 5 : 7);
	change(&s, "chunk=1");
	give(&s, 3);
	CHECK_INT(s.n_log, 19);
	end(&s);
}

/* --- places ------------------------------------------------------------------------------------------------------- */

static void test_stall(void)
{
	for (uint64_t at = 0; at <= 30; at++) {
		char text[64];
		snprintf(text, sizeof(text), "stall-at=%d", (int)at);
		struct stream s = begin(text);
		give(&s, 10);
		give(&s, 10);
		give_end(&s);
		CHECK_INT(s.out, at < 20 ? at : 20);
		CHECK_INT(s.is_ended, at > 20); /* at 20 the end stands behind the place, too */
		CHECK_INT(s.again_ns, CLK_NEVER);
		go(&s, 3600 * SECOND);
		CHECK_INT(s.is_ended, at > 20);
		change(&s, "clear");
		CHECK_INT(s.out, 20);
		CHECK(s.is_ended);
		end(&s);
	}
}

/* A cut after exactly so many bytes, whatever else is on; a stream that is shorter ends as it ends. */
static void check_cut(const char *more, uint64_t at, enum pump_cut want)
{
	char text[128];
	snprintf(text, sizeof(text), "cut-at=%d:%s%s", (int)at, want == PUMP_CUT_FIN ? "fin" : "rst", more);
	struct stream s = begin(text);
	ask(&s);
	for (int i = 0; i < 4; i++) {
		if (s.cut == PUMP_NO_CUT)
			give(&s, 5);
		go(&s, MS);
	}
	if (s.cut == PUMP_NO_CUT)
		give_end(&s);
	go(&s, 3600 * SECOND);
	CHECK_INT(s.out, at < 20 ? at : 20);
	CHECK_INT(s.cut, at <= 20 ? want : PUMP_NO_CUT);
	CHECK_INT(s.is_ended, at > 20);
	end(&s);
}

static void test_cut(void)
{
	static const char *const more[] = { "", ",delay=7ms", ",rate=100B/s", ",chunk=3",
					    ",delay=5ms,jitter=5ms,chunk=4,rate=1MB/s" };
	for (size_t i = 0; i < COUNT_OF(more); i++) {
		for (uint64_t at = 0; at <= 22; at++) {
			check_cut(more[i], at, PUMP_CUT_FIN);
			check_cut(more[i], at, PUMP_CUT_RST);
		}
	}
	struct stream s = begin("cut-at=8,stall-at=5"); /* what comes first happens */
	give(&s, 10);
	CHECK_INT(s.out, 5);
	CHECK_INT(s.cut, PUMP_NO_CUT);
	change(&s, "cut-at=8");
	CHECK_INT(s.out, 8);
	CHECK_INT(s.cut, PUMP_CUT_RST);
	end(&s);
}

/* A sink that has no room for the bytes before: not yet. */
static void test_cut_waits_for_its_bytes(void)
{
	struct stream s = begin("cut-at=8:fin");
	s.sink_room = 3;
	give(&s, 10);
	CHECK_INT(s.out, 3);
	CHECK_INT(s.cut, PUMP_NO_CUT);
	ask(&s);
	ask(&s);
	CHECK_INT(s.out, 8);
	ask(&s);
	CHECK_INT(s.cut, PUMP_CUT_FIN);
	end(&s);
}

static void test_corrupt(void)
{
	for (uint64_t at = 0; at < 40; at++) {
		char text[64];
		snprintf(text, sizeof(text), "corrupt-at=%d", (int)at);
		struct stream s = begin(text);
		unsigned char bytes[30], whole[30];
		size_t n_wrong = 0;
		prng_fill(1, 0, whole, sizeof(whole));
		for (size_t i = 0; i < 30; i += 10) {
			memcpy(bytes + i, whole + i, 10);
			give_bytes(&s, bytes + i, 10);
		}
		for (size_t i = 0; i < 30; i++)
			n_wrong += bytes[i] != whole[i];
		CHECK_INT(n_wrong, at < 30);
		if (at < 30)
			CHECK_INT(bytes[at], whole[at] ^ 0xff);
		CHECK_INT(s.out, 30);
		end(&s);
	}
}

/* Places that have gone by do not come; the one that is next does. */
static void test_late_places(void)
{
	unsigned char byte = 1;
	struct stream s = begin("delay=1ms");
	give(&s, 10);
	go(&s, MS);
	give(&s, 10); /* 10 are gone, 10 wait */
	change(&s, "stall-at=9,cut-at=9,corrupt-at=19,delay=1ms");
	go(&s, MS);
	CHECK_INT(s.out, 20);
	give_bytes(&s, &byte, 1);
	go(&s, MS);
	CHECK_INT(byte, 1);
	CHECK_INT(s.out, 21);
	change(&s, "corrupt-at=21");
	give_bytes(&s, &byte, 1);
	CHECK_INT(byte, 0xfe);
	change(&s, "stall-at=22");
	give(&s, 1);
	CHECK_INT(s.out, 22);
	change(&s, "cut-at=22:fin");
	CHECK_INT(s.cut, PUMP_CUT_FIN);
	end(&s);
}

/* Begun in the middle of a stream: what waits then goes as it would have gone, and places count from the stream's first byte. */
static void test_begun_later(void)
{
	struct impair_spec spec = spec_of("delay=10ms,cut-at=1010,corrupt-at=1003,stall-at=999");
	struct stream s = {
		.m = impair_new(&spec, 1, 1000, 50, START), .now_ns = START, .waiting = 50, .sink_room = UINT64_MAX
	};
	unsigned char bytes[20] = { 0 };
	ask(&s);
	CHECK_INT(s.out, 50);
	give_bytes(&s, bytes, 20);
	CHECK_INT(bytes[3], 0xff);
	go(&s, 10 * MS);
	CHECK_INT(s.out, 60);
	CHECK_INT(s.cut, PUMP_CUT_RST);
	end(&s);
	spec = spec_of("rate=1000B/s,stall-at=1000"); /* no credit for what waited before */
	s = (struct stream){
		.m = impair_new(&spec, 1, 1000, 50, START), .now_ns = START, .waiting = 50, .sink_room = UINT64_MAX
	};
	ask(&s);
	give(&s, 10);
	go(&s, 25 * MS);
	CHECK_INT(s.out, 25);
	go(&s, SECOND);
	CHECK_INT(s.out, 50);
	end(&s);
}

/* --- black hole, and changes -------------------------------------------------------------------------------------- */

static void test_blackhole(void)
{
	struct stream s = begin("delay=10ms");
	give(&s, 100);
	change(&s, "blackhole,delay=10ms,cut-at=3");
	CHECK_INT(s.dropped, 100);
	give(&s, 50);
	give(&s, 50);
	CHECK_INT(s.dropped, 200);
	give_end(&s);
	go(&s, 3600 * SECOND);
	CHECK(!s.is_ended);
	CHECK_INT(s.out, 0);
	CHECK_INT(s.cut, PUMP_NO_CUT);
	change(&s, "clear"); /* what was lost is lost, but the end is known to have come */
	CHECK(s.is_ended);
	CHECK_INT(s.out, 0);
	end(&s);
	s = begin("blackhole,rate=1000B/s"); /* what vanishes takes no time on the link */
	give(&s, MOST);
	change(&s, "rate=1000B/s");
	give(&s, 5);
	go(&s, 5 * MS);
	CHECK_INT(s.out, 5);
	end(&s);
	s = begin("blackhole");
	give(&s, 100);
	change(&s, "stall-at=150");
	give(&s, 100);
	CHECK_INT(s.dropped, 100);
	CHECK_INT(s.out, 50); /* places count what came, not what went */
	end(&s);
}

/* What is under way keeps the time it was given, and nothing overtakes it. */
static void test_change_of_delay(void)
{
	struct stream s = begin("delay=100ms");
	give(&s, 10);
	change(&s, "clear");
	give(&s, 10);
	give_end(&s);
	CHECK_INT(s.out, 0);
	go(&s, 100 * MS - 1);
	CHECK_INT(s.out, 0);
	CHECK(!s.is_ended);
	go(&s, 1);
	CHECK_INT(s.out, 20);
	CHECK(s.is_ended);
	end(&s);
	s = begin("clear");
	give(&s, 1);
	change(&s, "delay=5ms");
	give(&s, 1);
	CHECK_INT(s.out, 1);
	go(&s, 5 * MS);
	CHECK_INT(s.out, 2);
	end(&s);
}

/* An end of which nobody told (a reset) passes behind the bytes. */
static void test_untold_end(void)
{
	struct stream s = begin("delay=10ms");
	CHECK(impair_pass(s.m, 0, s.now_ns).end);
	give(&s, 10);
	CHECK(!impair_pass(s.m, s.waiting, s.now_ns).end);
	go(&s, 10 * MS);
	CHECK(impair_pass(s.m, 0, s.now_ns).end);
	end(&s);
}

/* Changes at random moments, for simulated days: whatever they were, all bytes went or were dropped, and then the end. */
static void test_random_life(void)
{
	uint64_t luck = 1000;
	for (int life = 0; life < 300; life++) {
		struct stream s = begin("clear");
		struct impair_spec spec;
		for (int i = 0; i < 100 && s.cut == PUMP_NO_CUT; i++) {
			spec = random_spec(&luck);
			if (random_below(&luck, 4) != 0)
				spec.cut_at = IMPAIR_NEVER, spec.cut = IMPAIR_NO_CUT;
			impair_change(s.m, &spec, s.now_ns);
			ask(&s);
			s.sink_room = 1 + random_below(&luck, 5000);
			if (s.cut == PUMP_NO_CUT && s.in < 100 * 1024)
				give(&s, 1 + random_below(&luck, MOST));
			go(&s, random_below(&luck, 100 * SECOND));
			CHECK_INT(s.in, s.out + s.dropped + s.waiting);
		}
		s.sink_room = UINT64_MAX;
		spec = impair_default();
		impair_change(s.m, &spec, s.now_ns);
		if (s.cut == PUMP_NO_CUT)
			give_end(&s);
		go(&s, 200 * SECOND);
		CHECK(s.cut != PUMP_NO_CUT || (s.is_ended && s.waiting == 0));
		end(&s);
	}
}

/* A byte at a time into a long delay, and out of it while the sink is slow: a mark each, and yet it takes no time. */
static void test_many_marks(void)
{
	enum { BYTES = 256 * 1024 };
	struct stream s = begin("delay=60s");
	for (int i = 0; i < BYTES; i++) {
		give(&s, 1);
		go(&s, 1000);
	}
	s.sink_room = 0;
	go(&s, 61 * SECOND);
	CHECK_INT(s.out, 0);
	s.sink_room = 1;
	for (int i = 0; i < 1000; i++)
		ask(&s);
	CHECK_INT(s.out, 1000);
	s.sink_room = UINT64_MAX;
	ask(&s);
	CHECK_INT(s.out, BYTES);
	end(&s);
}

int main(void)
{
	test_words();
	test_is_nothing();
	test_text();
	test_refused_words();
	test_random_words();
	test_nothing();
	test_delay();
	test_delayed_end();
	test_jitter();
	test_jitter_is_even();
	test_luck();
	test_rate();
	test_rate_with_late_timers();
	test_rate_when_idle();
	test_rate_after_a_full_sink();
	test_rate_into_a_narrow_sink();
	test_change_of_rate();
	test_chunk();
	test_stall();
	test_cut();
	test_cut_waits_for_its_bytes();
	test_corrupt();
	test_late_places();
	test_begun_later();
	test_blackhole();
	test_change_of_delay();
	test_untold_end();
	test_random_life();
	test_many_marks();
	return check_done();
}
