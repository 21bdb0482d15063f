/* prng_test.c - the stream is the published one, every slice of it fits, and no damage goes unseen. */
#include "check.h"
#include "prng.h"

enum { BIG = 200 };

/* The published first outputs of splitmix64. */
static void test_golden(void)
{
	CHECK(prng_word(0, 0) == 0xe220a8397b1dcdaf);
	CHECK(prng_word(1234567, 0) == 6457827717110365317U);
	CHECK(prng_word(1234567, 1) == 3203168211198807973U);
	CHECK(prng_word(1234567, 2) == 9817491932198370423U);
	CHECK(prng_word(1234567, 3) == 4593380528125082431U);
	CHECK(prng_word(1234567, 4) == 16408922859458223821U);
}

/* Bytes on the wire, not words in memory: the same on a big-endian host. */
static void test_byte_order(void)
{
	static const unsigned char want[] = { 0xaf, 0xcd, 0x1d, 0x7b, 0x39, 0xa8, 0x20, 0xe2 };
	unsigned char got[8];

	prng_fill(0, 0, got, 8);
	CHECK_INT(memcmp(got, want, 8), 0);
	prng_fill(0, 3, got, 2);
	CHECK_INT(memcmp(got, want + 3, 2), 0);
}

static void test_slices(void)
{
	unsigned char all[BIG], slice[BIG + 2];

	prng_fill(42, 1000, all, BIG);
	for (size_t from = 0; from <= BIG; from++) {
		for (size_t n = 0; n <= BIG - from; n++) {
			memset(slice, 0x55, sizeof(slice));
			prng_fill(42, 1000 + from, slice + 1, n);
			if (!CHECK_INT(memcmp(slice + 1, all + from, n), 0) || !CHECK_INT(slice[0], 0x55) ||
			    !CHECK_INT(slice[n + 1], 0x55) || !CHECK_INT(prng_check(42, 1000 + from, all + from, n), n))
				return;
		}
	}
}

static void test_every_flipped_bit_is_found(void)
{
	unsigned char data[BIG];

	for (size_t offset = 0; offset < 9; offset++) {
		prng_fill(7, offset, data, BIG);
		for (size_t bit = 0; bit < BIG * 8; bit++) {
			data[bit / 8] ^= (unsigned char)(1 << bit % 8);
			if (!CHECK_INT(prng_check(7, offset, data, BIG), bit / 8))
				return;
			data[bit / 8] ^= (unsigned char)(1 << bit % 8);
		}
	}
}

/* The damage that the Internet checksum cannot see (RFC 1071): it adds 16-bit words, and a sum does not know their
 * order. */
static void test_swapped_words_are_found(void)
{
	unsigned char data[BIG], pair[2];

	prng_fill(7, 0, data, BIG);
	for (size_t i = 0; i + 4 <= BIG; i += 2) {
		memcpy(pair, data + i, 2);
		memmove(data + i, data + i + 2, 2);
		memcpy(data + i + 2, pair, 2);
		size_t found = prng_check(7, 0, data, BIG);
		CHECK(found == i || found == i + 1);
		prng_fill(7, 0, data, BIG);
	}
}

/* The first of several errors counts; a lost or doubled byte shifts the rest. */
static void test_first_difference(void)
{
	unsigned char data[BIG];

	prng_fill(9, 5, data, BIG);
	data[30] ^= 1;
	data[90] ^= 1;
	CHECK_INT(prng_check(9, 5, data, BIG), 30);

	prng_fill(9, 5, data, BIG);
	memmove(data + 50, data + 51, BIG - 51);
	size_t lost_at = prng_check(9, 5, data, BIG);
	CHECK(lost_at >= 50 && lost_at < 54);
}

static void test_seeds_and_far_offsets(void)
{
	unsigned char data[64];

	prng_fill(1, 0, data, 64);
	CHECK(prng_check(2, 0, data, 64) < 4);
	CHECK(prng_check(1, 8, data, 64) < 4);

	uint64_t far = UINT64_MAX - 100;
	prng_fill(1, far, data, 64);
	CHECK_INT(prng_check(1, far, data, 64), 64);
	CHECK_INT(prng_check(1, far + 13, data + 13, 51), 51);
}

int main(void)
{
	test_golden();
	test_byte_order();
	test_slices();
	test_every_flipped_bit_is_found();
	test_swapped_words_are_found();
	test_first_difference();
	test_seeds_and_far_offsets();
	return check_done();
}
