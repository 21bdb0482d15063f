/* sample.h - one round trip, as its stamps tell it.
 *
 *	our clock       t1 ------------------------------------> t4     all four: ns since 1970, each by
 *	                  \                                   /          the clock of its end (RFC 5905 8)
 *	                   \  up                       down  /
 *	its clock           t2 -----------------------> t3
 *
 *	rtt    = (t4 - t1) - (t3 - t2)         no clock is compared with the other
 *	offset = ((t2 - t1) + (t3 - t4)) / 2   its clock minus ours, if both ways took equally long
 *
 * However long each way took, the true offset lies within offset +- rtt / 2: were one way nothing and the other
 * everything, it would be at the edge. */
#ifndef TCPLAB_ROUNDTRIP_SAMPLE_H
#define TCPLAB_ROUNDTRIP_SAMPLE_H

#include <stdbool.h>
#include <stdint.h>

struct sample {
	uint64_t at_ns;        /* when the answer came, since the beginning of the run, by the monotonic clock */
	uint64_t rtt_ns;       /* from the real sending on; t4 - t1 is by the monotonic clock, which nobody sets */
	uint64_t corrected_ns; /* the same from the time at which it should have been sent */
	int64_t offset_ns;
	int64_t up_ns, down_ns; /* t2 - t1, t4 - t3: a way, and what the clocks differ by */
	uint64_t resolution_ns; /* of the coarser clock: 1000 for the course's stamps; widens the bound */
};

/* Stamps come from strangers, and a stranger may say INT64_MIN. Differences and sums stop at the ends of what 64 bits
 * hold. */
static inline int64_t ns_minus(int64_t a, int64_t b)
{
	int64_t difference;
	return __builtin_sub_overflow(a, b, &difference) ? (a < b ? INT64_MIN : INT64_MAX) : difference;
}

static inline int64_t ns_plus(int64_t a, int64_t b)
{
	int64_t sum;
	return __builtin_add_overflow(a, b, &sum) ? (a < 0 ? INT64_MIN : INT64_MAX) : sum;
}

/* Rounded to the nearest; not for NaN. */
static inline int64_t ns_from_double(double ns)
{
	if (ns >= 0x1p63)
		return INT64_MAX;
	if (ns < -0x1p63)
		return INT64_MIN;
	return (int64_t)(ns < 0 ? ns - 0.5 : ns + 0.5);
}

#endif
