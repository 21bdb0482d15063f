/* wire_test.c - the bytes are big-endian on every host, at every alignment, and nothing beside them is touched. */
#include "wire.h"

#include "check.h"
#include "prng.h"

static void test_golden(void)
{
	static const unsigned char want[] = { 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef };
	unsigned char got[8] = { 0 };

	be64_put(got, UINT64_C(0x0123456789abcdef));
	CHECK_INT(memcmp(got, want, 8), 0);
	memset(got, 0, sizeof(got));
	be32_put(got, 0x01234567);
	CHECK_INT(memcmp(got, want, 4), 0);
	CHECK_INT(got[4], 0);
	memset(got, 0, sizeof(got));
	be16_put(got, 0x0123);
	CHECK_INT(memcmp(got, want, 2), 0);
	CHECK_INT(got[2], 0);

	CHECK(be16_get(want + 6) == 0xcdef);
	CHECK(be32_get(want + 4) == 0x89abcdef);
	CHECK(be64_get(want) == UINT64_C(0x0123456789abcdef));
}

/* With the top bit set a byte that is promoted to int would be negative: 0xff << 24 must not spread to the left. */
static void test_top_bits(void)
{
	static const unsigned char ones[8] = { 255, 255, 255, 255, 255, 255, 255, 255 };
	static const unsigned char top[8] = { 0x80, 0, 0, 0, 0x80, 0, 0, 0 };

	CHECK(be16_get(ones) == UINT16_MAX);
	CHECK(be32_get(ones) == UINT32_MAX);
	CHECK(be64_get(ones) == UINT64_MAX);
	CHECK(be16_get(top) == 0x8000);
	CHECK(be32_get(top) == 0x80000000);
	CHECK(be64_get(top) == UINT64_C(0x8000000080000000));
}

/* A guard byte at both ends, and every offset from an aligned address. */
static int survives(unsigned char *p, uint64_t v)
{
	memset(p, 0x55, 10);
	be16_put(p + 1, (uint16_t)v);
	if (!CHECK(be16_get(p + 1) == (uint16_t)v) || !CHECK(p[0] == 0x55 && p[3] == 0x55))
		return 0;
	be32_put(p + 1, (uint32_t)v);
	if (!CHECK(be32_get(p + 1) == (uint32_t)v) || !CHECK(p[0] == 0x55 && p[5] == 0x55))
		return 0;
	be64_put(p + 1, v);
	return CHECK(be64_get(p + 1) == v) && CHECK(p[0] == 0x55 && p[9] == 0x55);
}

static void test_round_trips(void)
{
	static unsigned char buffer[32];
	for (uint64_t i = 0; i < 10000; i++)
		if (!survives(buffer + i % 16, prng_word(1, i) >> i % 64))
			return;
}

int main(void)
{
	test_golden();
	test_top_bits();
	test_round_trips();
	return check_done();
}
