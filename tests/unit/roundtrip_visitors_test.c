/* roundtrip_visitors_test.c - who is found, who makes room for whom, and that nobody has to who was here lately. */
#include "../../tools/roundtrip/visitors.h"

#include "check.h"
#include "prng.h"

enum { PLACES = VISITOR_SETS * VISITOR_WAYS, SECOND = 1000 * 1000 * 1000 };

static struct visitors v;

static void start(uint64_t seed)
{
	memset(&v, 0, sizeof(v));
	v.seed = seed;
}

static void test_find(void)
{
	start(1);
	CHECK(visitors_find(&v, 0, 0) == NULL); /* a free place is nobody's */
	struct visitor *a = visitors_add(&v, 7, 1, 100, 0);
	CHECK(a != NULL);
	CHECK(a->session == 7 && a->source == 1 && a->last_ns == 100 && a->answers == 0);
	CHECK(visitors_find(&v, 7, 1) == a);
	/* The same session from elsewhere is somebody else: he guesses, or plays back. */
	CHECK(visitors_find(&v, 7, 2) == NULL);
	CHECK(visitors_find(&v, 8, 1) == NULL);
	CHECK_INT(v.came, 1);
	CHECK_INT(v.forgotten, 0);
}

/* Adds n visitors at times that ascend, from `first` on. */
static void crowd(uint64_t n, uint64_t first)
{
	for (uint64_t i = 0; i < n; i++)
		if (!CHECK(visitors_add(&v, prng_word(99, first + i), i, 1 + first + i, 0) != NULL))
			return;
}

static void test_memory_is_fixed(void)
{
	start(2);
	crowd(20 * PLACES, 0);
	CHECK_INT(v.came, 20 * PLACES);
	CHECK(v.forgotten >= 19 * PLACES && v.forgotten < 20 * PLACES);
	uint64_t used = 0;
	for (int i = 0; i < VISITOR_SETS; i++)
		for (int k = 0; k < VISITOR_WAYS; k++)
			used += v.sets[i][k].last_ns != 0;
	CHECK_INT(used, v.came - v.forgotten);
	CHECK(used > PLACES * 9 / 10);
}

/* A set of VISITOR_WAYS of them; sources that fall into it are searched. */
static void sources_of_one_set(uint64_t out[], size_t n)
{
	struct visitor *set = NULL;
	size_t found = 0;
	for (uint64_t source = 0; found < n; source++) {
		struct visitor *at = visitors_add(&v, 5, source, 1, 0);
		struct visitor *first = &v.sets[0][0] + (at - &v.sets[0][0]) / VISITOR_WAYS * VISITOR_WAYS;
		memset(first, 0, VISITOR_WAYS * sizeof(*first));
		if (set == NULL)
			set = first;
		if (first == set)
			out[found++] = source;
	}
	v.came = v.forgotten = 0;
}

static void test_who_makes_room(void)
{
	uint64_t source[VISITOR_WAYS + 1];
	start(3);
	sources_of_one_set(source, VISITOR_WAYS + 1);
	for (uint64_t i = 0; i < VISITOR_WAYS; i++)
		CHECK(visitors_add(&v, 5, source[i], 100 + i, 0) != NULL);
	struct visitor *second = visitors_find(&v, 5, source[1]), *first = visitors_find(&v, 5, source[0]);
	first->last_ns = 200; /* it asked again: now the second one has been silent longest */
	second->answers = 17;
	second->sent_ns = 5;
	second->questions.received = 3;
	struct visitor *late = visitors_add(&v, 5, source[VISITOR_WAYS], 300, 0);
	CHECK(late == second);
	CHECK(late->answers == 0 && late->sent_ns == 0 && late->questions.received == 0 && late->questions.next == 0);
	CHECK(visitors_find(&v, 5, source[1]) == NULL);
	CHECK(visitors_find(&v, 5, source[0]) == first);
	CHECK_INT(v.forgotten, 1);
	CHECK_INT(v.came, VISITOR_WAYS + 1);
}

/* With keep_ns the recordings of somebody who was here lately find him. */
static void test_keep(void)
{
	uint64_t source[VISITOR_WAYS + 1], keep_ns = UINT64_C(120) * SECOND, t = UINT64_C(1000) * SECOND;
	start(4);
	sources_of_one_set(source, VISITOR_WAYS + 1);
	for (int i = 0; i < VISITOR_WAYS; i++)
		CHECK(visitors_add(&v, 5, source[i], t + (uint64_t)i, keep_ns) != NULL);
	CHECK(visitors_add(&v, 5, source[VISITOR_WAYS], t + keep_ns - 1, keep_ns) == NULL);
	CHECK_INT(v.came, VISITOR_WAYS);
	CHECK_INT(v.forgotten, 0);
	for (int i = 0; i < VISITOR_WAYS; i++)
		CHECK(visitors_find(&v, 5, source[i]) != NULL);
	CHECK(visitors_add(&v, 5, source[VISITOR_WAYS], t + keep_ns, keep_ns) != NULL);
	CHECK(visitors_find(&v, 5, source[0]) == NULL);
	CHECK_INT(v.forgotten, 1);
}

/* Who does not know the seed cannot choose sessions that meet in one set. */
static void test_seed_matters(void)
{
	uint64_t source[VISITOR_WAYS * 4];
	start(5);
	sources_of_one_set(source, VISITOR_WAYS * 4);
	start(6);
	for (size_t i = 0; i < VISITOR_WAYS * 4; i++)
		CHECK(visitors_add(&v, 5, source[i], 1 + i, 0) != NULL);
	CHECK_INT(v.forgotten, 0);
}

int main(void)
{
	test_find();
	test_memory_is_fixed();
	test_who_makes_room();
	test_keep();
	test_seed_matters();
	return check_done();
}
