/* guard.h - a rate limit for each source, in fixed memory whatever comes. Layer 1.
 *
 * A UDP service cannot know who asks: source addresses can be forged (RFC 2827), and its answers then hit somebody who
 * never asked. So each source has a token bucket: `burst` answers at once, `rate` each second in the long run.
 *
 *	            debt                a bucket is one number, the time at which it will be full again:
 *	      |<------------>|            an answer    moves it by 1/rate to the right
 *	------+--------------+----> t     time passes  and the debt melts by itself
 *	     now          full_ns         refused      when the debt is more than burst - 1 answers
 *
 * There are as many sources as there are addresses to forge, so the table does not grow: it is GUARD_SETS sets of
 * GUARD_WAYS places, the set chosen by a hash that `seed` makes unpredictable. A newcomer to a full set takes the
 * place of the source that owes least. If that one owes nothing, nothing is lost: a new bucket is full, too.
 *
 * What holds, under a flood as well:
 *   - a source that keeps to its rate is never refused: being forgotten only gives it tokens
 *   - a source that is remembered gets no more than its burst and its rate
 *   - who asks most is forgotten last. To have a victim's empty bucket forgotten, and so send it one more burst, an
 *     attacker must empty buckets all over the table: GUARD_SETS * GUARD_WAYS bursts for one (`forgotten` counts)
 *
 * LIMIT: each source for itself. A flood in which no source comes twice is answered in full, one answer to each: the
 * harm to each of them is the one answer. */
#ifndef TCPLAB_GUARD_H
#define TCPLAB_GUARD_H

#include <stdbool.h>
#include <stdint.h>

enum { GUARD_SETS = 1024, GUARD_WAYS = 8 };

/* 128 KiB, in one piece; the caller's. The counters may be read. */
struct guard {
	uint64_t allowed, refused;
	uint64_t forgotten; /* sources that owed something and had to make room for another one */
	uint64_t interval_ns, debt_max_ns;
	uint64_t seed;
	struct guard_bucket {
		uint64_t key, full_ns;
	} sets[GUARD_SETS][GUARD_WAYS];
};

/* rate_per_s 0: no limit. burst is 1 at least. seed: anything that a sender cannot guess; a test takes a constant. */
void guard_init(struct guard *g, uint32_t rate_per_s, uint32_t burst, uint64_t seed);

/* May the source be answered now? Counts it. key: see addr_source (addr.h). now_ns never goes back. */
bool guard_allow(struct guard *g, uint64_t key, uint64_t now_ns);

#endif
