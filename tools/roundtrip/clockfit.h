/* clockfit.h - from a timeline to two figures with their bounds: how far away is the other clock, and how much faster
 * does it go? Memory only.
 *
 * OFFSET. That of the sample with the shortest RTT of all, +- half of that RTT (and the resolution of the stamps).
 * The bound holds whatever the network did, as long as clocks only run: a path that is slower one way than the other
 * cannot be seen from the ends, but it cannot do more than that.
 *
 * DRIFT, ppm. A straight line through the best samples of the cells, those with the shortest RTT counting most. Its
 * bound supposes that the *shortest* path stays as it is, with whatever asymmetry. Then the offset of a sample is off
 * by half of what its RTT exceeds the shortest one at most, a band around it; the steepest and the flattest line that
 * pass through all the bands are the bound. The shortest one that came is a bit longer than the shortest that there
 * is, so every band is a bit wider: by what the stamps resolve, and half of what the best RTTs of the cells usually
 * are above the best of all, more of it if there are few cells.
 *
 *	offset |            |                      |  a band: what the offset can have been
 *	       |      |     +     |      __--      +  its middle: the sample's offset
 *	       |  |   +     |  __-+--
 *	       |  + __|-----   |  |
 *	       |__-|           |
 *	       +---------------------------> time  */
#ifndef TCPLAB_ROUNDTRIP_CLOCKFIT_H
#define TCPLAB_ROUNDTRIP_CLOCKFIT_H

#include "timeline.h"

struct clockfit {
	bool has_offset;
	int64_t offset_ns;        /* server's clock minus ours */
	uint64_t offset_bound_ns; /* the true one is within +- this, at the time at_ns */
	uint64_t at_ns;           /* since the beginning of the run */

	bool has_drift;   /* at least three cells */
	double drift_ppm; /* positive: the server's clock gains on ours */
	double drift_bound_ppm;
	bool is_straight; /* false: no line passes through all bands - a clock was set, or steered, or the path changed - and
				     the bands were widened until one did: the bound is of little worth */
	int64_t end_offset_ns; /* where the line is at the best sample of the last cell; offset_ns without a drift */
};

/* Takes up to some milliseconds: once for each report, not for each answer. All zero for an empty timeline. LIMIT:
 * with three or four samples of a noisy path the drift's bound fails now and then (in 3 of 100 runs, with uniform
 * jitter); with ten it did not. */

struct clockfit clockfit_of(const struct timeline *t);

#endif
