/* prng.h - an endless, reproducible byte stream that can be read from any offset: payload that both ends of a
 * connection know without telling each other, so that the receiver finds the first byte that was lost, doubled,
 * swapped or changed. Layer 1.
 *
 * Word i of the stream is splitmix64 of (seed, i): G. Steele, D. Lea, C. Flood, "Fast Splittable Pseudorandom Number
 * Generators", OOPSLA 2014. On the wire each 64-bit word is little-endian on every host, so the stream is the same
 * everywhere.
 *
 * LIMIT: not for secrets; whoever sees 8 bytes can compute the rest. Offsets end at 2^64 - 1. */
#ifndef TCPLAB_PRNG_H
#define TCPLAB_PRNG_H

#include <stddef.h>
#include <stdint.h>

/* Word `index` of the seed's stream: 64 bits that look random, always the same ones. */
uint64_t prng_word(uint64_t seed, uint64_t index);

/* Write bytes [offset, offset + n) of the seed's stream to p. */
void prng_fill(uint64_t seed, uint64_t offset, void *p, size_t n);

/* Compare the n bytes at p with bytes [offset, offset + n) of the seed's stream.
 * Returns the index of the first byte that differs, n when all are equal. */
size_t prng_check(uint64_t seed, uint64_t offset, const void *p, size_t n);

#endif
