/* hmac.c - SHA-256 as FIPS 180-4 writes it down, and HMAC around it. See hmac.h.
 *
 * A message is cut into blocks of 64 bytes; each one stirs the state of 256 bits, and the last state is the digest:
 *
 *	begin --> state --block--> state --block--> ... --the rest, 0x80, zeros, length--> state = digest
 *
 * HMAC hashes twice, because a plain hash of key and message can be continued by somebody who has only the digest: it
 * is the state, and from there the message goes on ("length extension").
 *
 *	inner = SHA-256(key ^ 0x36..., message)      code = SHA-256(key ^ 0x5c..., inner)
 *
 * How long all this takes depends on lengths alone: no bit of a key or a message decides where a branch goes or where
 * a table is read.
 *
 * LIMIT: plain C, one block after the other; a processor's own SHA instructions are several times as fast. */
#include "hmac.h"

#include "wire.h"

#include <string.h>

enum { ROUNDS = 64, LENGTH_LEN = 8 };

/* FIPS 180-4 4.2.2: the first 32 bits of the fractional parts of the cube roots of the first 64 primes. */
static const uint32_t round_constants[ROUNDS] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
	0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
	0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
	0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
	0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
	0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
	0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

/* --- SHA-256 ------------------------------------------------------------------------------------------------------ */

static uint32_t rotate_right(uint32_t x, unsigned n)
{
	return x >> n | x << (32 - n);
}

/* FIPS 180-4 6.2.2 step 1: the block's 16 words, and 48 more made of them. */
static void schedule(uint32_t w[static ROUNDS], const unsigned char *block)
{
	for (int t = 0; t < 16; t++)
		w[t] = be32_get(block + 4 * t);
	for (int t = 16; t < ROUNDS; t++) {
		uint32_t far = w[t - 15], near = w[t - 2];
		uint32_t sigma0 = rotate_right(far, 7) ^ rotate_right(far, 18) ^ far >> 3;
		uint32_t sigma1 = rotate_right(near, 17) ^ rotate_right(near, 19) ^ near >> 10;
		w[t] = sigma1 + w[t - 7] + sigma0 + w[t - 16];
	}
}

/* FIPS 180-4 6.2.2 steps 2 to 4, with its names. */
static void stir(uint32_t state[static 8], const unsigned char *block)
{
	uint32_t w[ROUNDS];
	schedule(w, block);
	uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
	uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
	for (int t = 0; t < ROUNDS; t++) {
		uint32_t sum1 = rotate_right(e, 6) ^ rotate_right(e, 11) ^ rotate_right(e, 25);
		uint32_t choice = (e & f) ^ (~e & g);
		uint32_t t1 = h + sum1 + choice + round_constants[t] + w[t];
		uint32_t sum0 = rotate_right(a, 2) ^ rotate_right(a, 13) ^ rotate_right(a, 22);
		uint32_t majority = (a & b) ^ (a & c) ^ (b & c);
		uint32_t t2 = sum0 + majority;
		h = g;
		g = f;
		f = e;
		e = d + t1;
		d = c;
		c = b;
		b = a;
		a = t1 + t2;
	}
	const uint32_t stirred[8] = { a, b, c, d, e, f, g, h };
	for (int i = 0; i < 8; i++)
		state[i] += stirred[i];
}

void sha256_begin(struct sha256 *s)
{
	/* FIPS 180-4 5.3.3: the same of the square roots of the first eight primes. */
	*s = (struct sha256){
		.state = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab,
			   0x5be0cd19 },
	};
}

void sha256_add(struct sha256 *s, const void *p, size_t n)
{
	const unsigned char *in = p;
	while (n > 0) {
		size_t used = s->len % SHA256_BLOCK, room = SHA256_BLOCK - used;
		size_t len = n < room ? n : room;
		memcpy(s->block + used, in, len);
		if (len == room)
			stir(s->state, s->block);
		s->len += len;
		in += len;
		n -= len;
	}
}

/* FIPS 180-4 5.1.1: a one bit, zeros, and the length in bits at the very end of a block. */
void sha256_end(struct sha256 *s, unsigned char out[static SHA256_LEN])
{
	enum { LENGTH_AT = SHA256_BLOCK - LENGTH_LEN };
	unsigned char padding[SHA256_BLOCK + LENGTH_LEN] = { 0x80 };
	size_t used = s->len % SHA256_BLOCK;
	size_t n = (used < LENGTH_AT ? LENGTH_AT : SHA256_BLOCK + LENGTH_AT) -
		   used; /* at least the byte with the bit */
	be64_put(padding + n, s->len * 8);
	sha256_add(s, padding, n + LENGTH_LEN);
	for (int i = 0; i < 8; i++)
		be32_put(out + 4 * i, s->state[i]);
}

/* --- HMAC --------------------------------------------------------------------------------------------------------- */

static void begin_with_pad(struct sha256 *s, const unsigned char key[static SHA256_BLOCK], unsigned char pad)
{
	unsigned char block[SHA256_BLOCK];
	for (int i = 0; i < SHA256_BLOCK; i++)
		block[i] = key[i] ^ pad;
	sha256_begin(s);
	sha256_add(s, block, sizeof(block));
}

void hmac_set_key(struct hmac_key *k, const void *key, size_t n)
{
	unsigned char block[SHA256_BLOCK] = { 0 };
	if (n > sizeof(block)) { /* RFC 2104 2: a longer key is hashed first */
		struct sha256 s;
		sha256_begin(&s);
		sha256_add(&s, key, n);
		sha256_end(&s, block);
	} else if (n > 0) {
		memcpy(block, key, n);
	}
	begin_with_pad(&k->inner, block, 0x36);
	begin_with_pad(&k->outer, block, 0x5c);
}

void hmac_sign(const struct hmac_key *k, const void *p, size_t n, unsigned char out[static SHA256_LEN])
{
	struct sha256 inner = k->inner, outer = k->outer;
	unsigned char digest[SHA256_LEN];
	sha256_add(&inner, p, n);
	sha256_end(&inner, digest);
	sha256_add(&outer, digest, sizeof(digest));
	sha256_end(&outer, out);
	explicit_bzero(&inner, sizeof(inner)); /* the key, in effect, and the message's last bytes */
	explicit_bzero(&outer, sizeof(outer));
}

bool hmac_equal(const void *a, const void *b, size_t n)
{
	const unsigned char *x = a, *y = b;
	/* WHY volatile: a compiler that sees what is asked in the end may leave the loop at the first difference, as
	 * memcmp(3) does. Accesses to a volatile object happen all of them, one by one (C11 5.1.2.3). */
	volatile unsigned char differences = 0;
	for (size_t i = 0; i < n; i++)
		differences = (unsigned char)(differences | (x[i] ^ y[i]));
	return differences == 0;
}
