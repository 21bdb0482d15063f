/* wire.h - numbers on the wire, big-endian (RFC 1700 "network byte order"), by construction. Layer 0.
 *
 * Byte by byte, so that no cast of a buffer to a struct, no packed struct and no alignment is involved; the compiler
 * turns each of these into one instruction. The caller has checked that the bytes are there. */
#ifndef TCPLAB_WIRE_H
#define TCPLAB_WIRE_H

#include <stdint.h>

static inline void be16_put(unsigned char *p, uint16_t v)
{
	p[0] = (unsigned char)(v >> 8);
	p[1] = (unsigned char)v;
}

static inline uint16_t be16_get(const unsigned char *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static inline void be32_put(unsigned char *p, uint32_t v)
{
	be16_put(p, (uint16_t)(v >> 16));
	be16_put(p + 2, (uint16_t)v);
}

static inline uint32_t be32_get(const unsigned char *p)
{
	return (uint32_t)be16_get(p) << 16 | be16_get(p + 2);
}

static inline void be64_put(unsigned char *p, uint64_t v)
{
	be32_put(p, (uint32_t)(v >> 32));
	be32_put(p + 4, (uint32_t)v);
}

static inline uint64_t be64_get(const unsigned char *p)
{
	return (uint64_t)be32_get(p) << 32 | be32_get(p + 4);
}

#endif
