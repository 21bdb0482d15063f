/* hmac.h - SHA-256 and HMAC-SHA-256: was this datagram written by somebody who has the key? Layer 1.
 *
 * Sources: FIPS 180-4 (SHA-256), RFC 2104 and FIPS 198-1 (HMAC); test vectors of RFC 4231 and of NIST. */
#ifndef TCPLAB_HMAC_H
#define TCPLAB_HMAC_H

#include "cdefs.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SHA256_LEN = 32, SHA256_BLOCK = 64 };

/* Bytes in pieces; the digest at the end. */
struct sha256 {
	uint32_t state[8];
	uint64_t len;
	unsigned char block[SHA256_BLOCK];
};
void sha256_begin(struct sha256 *s);
void sha256_add(struct sha256 *s, const void *p, size_t n);
void sha256_end(struct sha256 *s, unsigned char out[static SHA256_LEN]);

/* A key, prepared once: the states after its two blocks, so that each message costs two blocks less. Plain data; holds the key in
 * effect, so treat it as one. */
struct hmac_key {
	struct sha256 inner, outer;
};
void hmac_set_key(struct hmac_key *k, const void *key, size_t n);

/* The code of n bytes at p. */
void hmac_sign(const struct hmac_key *k, const void *p, size_t n, unsigned char out[static SHA256_LEN]);

/* Are the n bytes the same? Takes equally long whatever they are, so that nobody finds a code byte by byte by the clock. */
MUST_USE bool hmac_equal(const void *a, const void *b, size_t n);

#endif
