/* prng.c - splitmix64 as a function of the position instead of a state that runs along. See prng.h.
 *
 * Fill and check do the ragged ends byte by byte and the bulk between them in whole words of the stream:
 *
 *	stream  | word 0 | word 1 | word 2 | word 3 |
 *	slice         bbb|wwwwwwww|wwwwwwww|bb            */
#include "prng.h"

#include <endian.h>
#include <string.h>

enum { WORD = sizeof(uint64_t) };

/* The constants are the paper's: 2^64 divided by the golden ratio (made odd), and the two multipliers of its variant
 * 13 of the MurmurHash3 finisher, found by David Stafford. */
uint64_t prng_word(uint64_t seed, uint64_t index)
{
	uint64_t z = seed + (index + 1) * 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

static unsigned char byte_at(uint64_t seed, uint64_t offset)
{
	return (unsigned char)(prng_word(seed, offset / WORD) >> 8 * (offset % WORD));
}

/* The word that starts at offset (a multiple of WORD), its bytes in the order of the stream. */
static uint64_t wire_word(uint64_t seed, uint64_t offset)
{
	return htole64(prng_word(seed, offset / WORD));
}

void prng_fill(uint64_t seed, uint64_t offset, void *p, size_t n)
{
	unsigned char *out = p;
	size_t i = 0;

	for (; i < n && (offset + i) % WORD != 0; i++)
		out[i] = byte_at(seed, offset + i);
	for (; n - i >= WORD; i += WORD) {
		uint64_t word = wire_word(seed, offset + i);
		memcpy(out + i, &word, WORD);
	}
	for (; i < n; i++)
		out[i] = byte_at(seed, offset + i);
}

size_t prng_check(uint64_t seed, uint64_t offset, const void *p, size_t n)
{
	const unsigned char *in = p;
	size_t i = 0;

	for (; i < n && (offset + i) % WORD != 0; i++)
		if (in[i] != byte_at(seed, offset + i))
			return i;
	for (; n - i >= WORD; i += WORD) {
		uint64_t word = wire_word(seed, offset + i);
		if (memcmp(in + i, &word, WORD) != 0)
			break;
	}
	/* The tail, or the word that differs: which byte of it? */
	for (; i < n; i++)
		if (in[i] != byte_at(seed, offset + i))
			return i;
	return n;
}
