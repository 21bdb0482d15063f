/* relay_sources_test.c - random takes and give-backs against a plain array, sources that collide, the bound, and memory
 * that comes back. */
#include "../../tools/relay/sources.h"

#include "check.h"
#include "prng.h"

#include <stdlib.h>

static uint64_t luck;

static uint64_t draw(uint64_t below)
{
	return prng_word(11, luck++) % below;
}

/* --- against a model ---------------------------------------------------------------------------------------------- */

enum { MODEL = 600 };

struct model {
	uint64_t taken[MODEL];
	size_t n; /* those that have any */
};

/* Addresses as they come: neighbours, networks, and the ends of the range. */
static uint64_t number_of(size_t i)
{
	return i % 3 == 0 ? i : i % 3 == 1 ? (uint64_t)i << 40 : UINT64_MAX - i;
}

static bool take(struct sources *s, struct model *m, size_t i, uint64_t most)
{
	bool may = m->taken[i] < most;
	bool ok = CHECK_INT(sources_take(s, number_of(i), most), may);
	if (may && m->taken[i]++ == 0)
		m->n++;
	return ok && CHECK_INT(sources_count(s), m->n);
}

static bool give_back(struct sources *s, struct model *m, size_t i)
{
	if (m->taken[i] == 0)
		return true;
	if (--m->taken[i] == 0)
		m->n--;
	sources_give_back(s, number_of(i));
	return CHECK_INT(sources_count(s), m->n);
}

/* Each has what the model says: a bound of just that much refuses, and one more lets in. */
static bool check_all(struct sources *s, struct model *m)
{
	for (size_t i = 0; i < MODEL; i++)
		if (!take(s, m, i, m->taken[i]) || !take(s, m, i, m->taken[i] + 1) || !give_back(s, m, i))
			return false;
	return CHECK(sources_capacity(s) >= 2 * sources_count(s)) &&
	       CHECK(sources_capacity(s) <= 16 || sources_capacity(s) <= 8 * sources_count(s));
}

/* A tide: for a while more come than go, then more go than come. */
static void test_model(void)
{
	for (uint64_t seed = 0; seed < 20; seed++) {
		struct sources *s = sources_new(seed);
		struct model m = { .n = 0 };
		bool ok = true;
		for (int step = 0; ok && step < 20000; step++) {
			size_t i = draw(MODEL);
			bool is_flood = step / 2000 % 2 == 0;
			if (draw(10) < (is_flood ? 7 : 1))
				ok = take(s, &m, i, 1 + draw(4));
			else
				ok = give_back(s, &m, i);
			if (ok && step % 2000 == 1999)
				ok = check_all(s, &m);
		}
		for (size_t i = 0; ok && i < MODEL;)
			if (m.taken[i] > 0)
				ok = give_back(s, &m, i);
			else
				i++;
		CHECK_INT(sources_count(s), 0);
		CHECK_INT(sources_capacity(s), 16);
		sources_free(s);
	}
}

/* Few places, so that the sources stand in each other's way all the time, and round the end of the table. */
static void test_crowded(void)
{
	for (uint64_t seed = 0; seed < 200; seed++) {
		struct sources *s = sources_new(seed);
		struct model m = { .n = 0 };
		bool ok = true;
		for (int step = 0; ok && step < 300; step++) {
			size_t i = draw(40);
			ok = m.n < 8 && draw(2) == 0 ? take(s, &m, i, 2) : give_back(s, &m, i);
			for (size_t k = 0; ok && k < 40; k++)
				ok = take(s, &m, k, m.taken[k]);
			ok = ok && CHECK_INT(sources_capacity(s), 16);
		}
		sources_free(s);
	}
}

/* --- one at a time ------------------------------------------------------------------------------------------------ */

static void test_bound(void)
{
	struct sources *s = sources_new(1);
	CHECK(!sources_take(s, 7, 0)); /* none at all */
	CHECK_INT(sources_count(s), 0);
	CHECK(sources_take(s, 7, 2));
	CHECK(sources_take(s, 7, 2));
	CHECK(!sources_take(s, 7, 2));
	CHECK(!sources_take(s, 7, 1)); /* it has more than that already */
	CHECK(sources_take(s, 8, 2));  /* another one is not held to account */
	CHECK(sources_take(s, 0, 1));  /* 0.0.0.0 is a number like others */
	CHECK(!sources_take(s, 0, 1));
	CHECK(sources_take(s, UINT64_MAX, UINT64_MAX));
	CHECK_INT(sources_count(s), 4);
	sources_give_back(s, 7);
	CHECK(sources_take(s, 7, 2));
	CHECK(!sources_take(s, 7, 2));
	sources_free(s);
	sources_free(NULL);
}

static void test_many(void)
{
	enum { MANY = 100000 };
	struct sources *s = sources_new(2);
	for (uint64_t i = 0; i < MANY; i++)
		if (!CHECK(sources_take(s, i << 32, 1)) || !CHECK(!sources_take(s, i << 32, 1)))
			break;
	CHECK_INT(sources_count(s), MANY);
	CHECK_INT(sources_capacity(s), 262144);
	for (uint64_t i = 0; i < MANY; i += 2) /* every other one goes; the others are still known */
		sources_give_back(s, i << 32);
	for (uint64_t i = 0; i < MANY; i++)
		if (!CHECK_INT(sources_take(s, i << 32, 1), i % 2 == 0))
			break;
	for (uint64_t i = 0; i < MANY; i++)
		sources_give_back(s, i << 32);
	CHECK_INT(sources_count(s), 0);
	CHECK_INT(sources_capacity(s), 16);
	sources_free(s);
}

int main(void)
{
	test_model();
	test_crowded();
	test_bound();
	test_many();
	return check_done();
}
