/* guard_test.c - against buckets that are really refilled and a table that may grow; then under floods of forged
 * sources, where memory ends: who keeps to his rate is served, who does not is held, and nobody else's bucket is
 * given away. */
#include "guard.h"

#include "check.h"
#include "cdefs.h"
#include "prng.h"

enum { SOURCES = 64, PLACES = GUARD_SETS * GUARD_WAYS };

static const uint64_t second = 1000000000;

/* Both ends are watched: nothing beside the table is touched. */
static struct {
	uint64_t before;
	struct guard g;
	uint64_t after;
} room = { .before = 0x5555, .after = 0x5555 };

static struct guard *fresh(uint32_t rate_per_s, uint32_t burst, uint64_t seed)
{
	guard_init(&room.g, rate_per_s, burst, seed);
	return &room.g;
}

/* --- one source -------------------------------------------------------------------------------------------------- */

/* How many of n questions at once are answered. */
static unsigned ask(struct guard *g, uint64_t key, unsigned n, uint64_t now_ns)
{
	unsigned answers = 0;
	for (unsigned i = 0; i < n; i++)
		answers += guard_allow(g, key, now_ns);
	return answers;
}

static void test_burst_and_rate(void)
{
	struct guard *g = fresh(10, 5, 1);
	uint64_t now = 7 * second;
	CHECK_INT(ask(g, 42, 20, now), 5);
	CHECK_INT(ask(g, 42, 20, now + second / 10 - 1), 0);
	CHECK_INT(ask(g, 42, 20, now + second / 10), 1);
	CHECK_INT(ask(g, 42, 20, now + second / 2), 4);
	CHECK_INT(ask(g, 42, 20, now + 1000 * second), 5); /* more than the burst is not saved up */
	CHECK_INT(g->allowed, 15);
	CHECK_INT(g->refused, 85);
	CHECK_INT(g->forgotten, 0);
}

static void test_burst_of_one(void)
{
	struct guard *g = fresh(1, 1, 1);
	CHECK_INT(ask(g, 42, 2, 0), 1);
	CHECK_INT(ask(g, 42, 2, second - 1), 0);
	CHECK_INT(ask(g, 42, 2, second), 1);
}

static void test_sources_are_apart(void)
{
	struct guard *g = fresh(1, 3, 1);
	for (uint64_t key = 0; key < SOURCES; key++)
		CHECK_INT(ask(g, key << 32 | key, 10, second), 3);
	CHECK_INT(g->forgotten, 0);
}

static void test_no_limit(void)
{
	struct guard *g = fresh(0, 1, 1);
	CHECK_INT(ask(g, 42, 100000, second), 100000);
	CHECK_INT(g->refused, 0);
}

/* The largest numbers that are allowed do not wrap around. */
static void test_extremes(void)
{
	struct guard *g = fresh(1, UINT32_MAX, 1);
	CHECK_INT(ask(g, 42, 100000, UINT64_MAX / 2), 100000);
	g = fresh(1000000000, 1, 1);
	for (uint64_t now = 0; now < 1000; now++)
		CHECK_INT(ask(g, 42, 2, now), 1);
}

/* --- against a model --------------------------------------------------------------------------------------------- */

/* The bucket as it is described: tokens that come in, up to the burst. interval_ns parts make one of them. */
struct bucket {
	uint64_t parts, at_ns;
};

static bool model_allows(struct bucket *b, uint64_t interval_ns, uint64_t burst, uint64_t now_ns)
{
	b->parts += now_ns - b->at_ns;
	b->at_ns = now_ns;
	if (b->parts > burst * interval_ns)
		b->parts = burst * interval_ns;
	if (b->parts < interval_ns)
		return false;
	b->parts -= interval_ns;
	return true;
}

static void check_model(uint32_t rate, uint32_t burst, uint64_t seed)
{
	struct guard *g = fresh(rate, burst, seed);
	struct bucket model[SOURCES];
	uint64_t interval_ns = second / rate, now = 0, allowed = 0;
	for (size_t i = 0; i < SOURCES; i++)
		model[i] = (struct bucket){ .parts = burst * interval_ns };
	for (uint64_t i = 0; i < 200000; i++) {
		uint64_t dice = prng_word(seed, i), who = dice % SOURCES;
		/* Some sources ask often and some seldom, and now and then nothing comes for a while. */
		who = who % (1 + dice / SOURCES % SOURCES);
		now += dice >> 32 & 0xff ? (dice >> 40) % (interval_ns / 16 + 2) : interval_ns * (dice >> 40 & 0xf);
		bool want = model_allows(&model[who], interval_ns, burst, now);
		allowed += want;
		if (!CHECK_INT(guard_allow(g, prng_word(99, who), now), want))
			return;
	}
	CHECK_INT(g->allowed, allowed);
	CHECK_INT(g->refused, 200000 - allowed);
	CHECK(allowed > 1000 && allowed < 199000);
	CHECK_INT(g->forgotten, 0);
}

static void test_model(void)
{
	check_model(100, 100, 1);
	check_model(1, 1, 2);
	check_model(3, 7, 3);
	check_model(30000000, 10, 4);
}

/* --- floods ------------------------------------------------------------------------------------------------------ */

/* A forged source that did not come before. */
static uint64_t forged(uint64_t i)
{
	return prng_word(0xf00d, i);
}

enum { FLOOD = 100 * PLACES };

/* A million forged sources each second, each of them once, is more than there are places for; among them comes one
 * that asks at exactly its rate. */
static void test_honest_source_in_a_flood(void)
{
	struct guard *g = fresh(100, 1, 5);
	uint64_t now = second, next = now;
	unsigned asked = 0, answered = 0;
	for (uint64_t i = 0; i < FLOOD; i++, now += 1000) {
		CHECK(guard_allow(g, forged(i), now));
		if (now < next)
			continue;
		next = now + second / 100;
		asked++;
		answered += guard_allow(g, 42, now);
	}
	CHECK(asked > 50);
	CHECK_INT(answered, asked);
	CHECK(g->forgotten > 0);
}

/* The same flood does not make anybody forget who asks too often: his bucket is the emptiest of his set. */
static void test_abuser_in_a_flood(void)
{
	enum { RATE = 100, BURST = 20 };
	struct guard *g = fresh(RATE, BURST, 6);
	uint64_t start = second, now = start;
	unsigned answered = 0;
	for (uint64_t i = 0; i < FLOOD; i++, now += 1000) {
		CHECK(guard_allow(g, forged(i), now));
		answered += guard_allow(g, 42, now);
	}
	CHECK(g->forgotten > 0);
	CHECK_INT(answered, BURST + (now - 1000 - start) * RATE / second);
}

/* The attack that would help: buckets emptied all over the table until the victim's is forgotten. It takes about as
 * many answers to others as the head of guard.h says before the victim gets any beyond its due. */
static void test_price_of_being_forgotten(void)
{
	enum { BURST = 4 };
	struct guard *g = fresh(1, BURST, 7);
	CHECK_INT(ask(g, 42, 2 * BURST, 0), BURST);
	uint64_t spent = 0;
	for (uint64_t i = 0; !guard_allow(g, 42, 0) && i < 100 * PLACES; i++)
		spent += ask(g, forged(i), BURST, 0);
	CHECK(spent > PLACES * BURST / 8);
	CHECK(spent < PLACES * BURST * 8);
}

/* A set that has room gives nothing away: who owes nothing any more goes first. */
static void test_full_buckets_go_first(void)
{
	struct guard *g = fresh(1, 2, 8);
	for (uint64_t i = 0; i < PLACES / 16; i++) /* some sets get more than others, but none too many */
		CHECK_INT(ask(g, forged(i), 3, second), 2);
	CHECK_INT(g->forgotten, 0);
	for (uint64_t i = 0; i < 16; i++) /* all of them have paid before the next ones come */
		for (uint64_t k = 0; k < PLACES / 16; k++)
			CHECK_INT(ask(g, forged(i * PLACES + k), 3, (10 + 10 * i) * second), 2);
	CHECK_INT(g->forgotten, 0);
}

/* --- the seed ---------------------------------------------------------------------------------------------------- */

/* How many of these sources are forgotten when each of them asks once. */
static unsigned forgotten_with(uint64_t seed, const uint64_t *keys, size_t n)
{
	struct guard *g = fresh(1, 1, seed);
	for (size_t i = 0; i < n; i++)
		guard_allow(g, keys[i], second);
	return (unsigned)g->forgotten;
}

/* Sources that share a set under one seed, as somebody who knew it would choose them, and under no other. */
static void test_seed(void)
{
	enum { N = 4 * GUARD_WAYS };
	uint64_t keys[N];
	size_t n = 0;
	for (uint64_t i = 0; n < N; i++)
		if (prng_word(1, forged(i)) % GUARD_SETS == 0)
			keys[n++] = forged(i);
	CHECK_INT(forgotten_with(1, keys, N), N - GUARD_WAYS);
	CHECK_INT(forgotten_with(1, keys, N), N - GUARD_WAYS);
	for (uint64_t seed = 2; seed < 100; seed++)
		CHECK_INT(forgotten_with(seed, keys, N), 0);
}

/* Addresses one after the other, as in a network, spread over the sets like random ones. */
static void test_neighbours_spread(void)
{
	static const unsigned shifts[] = { 0, 8, 16, 32, 48 };
	for (size_t s = 0; s < COUNT_OF(shifts); s++) {
		unsigned in_set[GUARD_SETS] = { 0 }, most = 0;
		for (uint64_t i = 0; i < PLACES; i++) {
			unsigned *n = &in_set[prng_word(11, i << shifts[s]) % GUARD_SETS];
			most = ++*n > most ? *n : most;
		}
		CHECK(most < 4 * GUARD_WAYS);
	}
}

int main(void)
{
	test_burst_and_rate();
	test_burst_of_one();
	test_sources_are_apart();
	test_no_limit();
	test_extremes();
	test_model();
	test_honest_source_in_a_flood();
	test_abuser_in_a_flood();
	test_price_of_being_forgotten();
	test_full_buckets_go_first();
	test_seed();
	test_neighbours_spread();
	CHECK_INT(room.before, 0x5555);
	CHECK_INT(room.after, 0x5555);
	return check_done();
}
