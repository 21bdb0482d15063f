/* sort_test.c - numbers of 64 bits, also those whose difference does not fit into an int. */
#include "sort.h"

#include "cdefs.h"
#include "check.h"

static void test_ascending(void)
{
	uint64_t v[] = { 7, UINT64_MAX, 0, UINT64_C(1) << 32, 7, UINT64_C(1) << 63, 1 };
	const uint64_t want[] = { 0, 1, 7, 7, UINT64_C(1) << 32, UINT64_C(1) << 63, UINT64_MAX };
	sort_u64(v, COUNT_OF(v));
	for (size_t i = 0; i < COUNT_OF(v); i++)
		CHECK_INT(v[i], want[i]);
}

static void test_none_and_one(void)
{
	uint64_t one = 5;
	sort_u64(NULL, 0);
	sort_u64(&one, 1);
	CHECK_INT(one, 5);
	CHECK(!sort_has_u64(NULL, 0, 0));
	CHECK(sort_has_u64(&one, 1, 5));
	CHECK(!sort_has_u64(&one, 1, 4));
}

static void test_found_or_not(void)
{
	const uint64_t v[] = { 2, 3, UINT64_C(1) << 32, UINT64_MAX };
	for (size_t i = 0; i < COUNT_OF(v); i++) {
		CHECK(sort_has_u64(v, COUNT_OF(v), v[i]));
		CHECK(!sort_has_u64(v, COUNT_OF(v), v[i] ^ UINT64_C(1) << 40));
	}
	CHECK(!sort_has_u64(v, COUNT_OF(v) - 1, UINT64_MAX));
}

int main(void)
{
	test_ascending();
	test_none_and_one();
	test_found_or_not();
	return check_done();
}
