/* guard.c - the token bucket as virtual scheduling, a form of the generic cell rate algorithm (ITU-T I.371): one stamp
 * for each source, and nothing has to be refilled. See guard.h. */
#include "guard.h"

#include "prng.h"

#include <assert.h>
#include <string.h>

enum { SECOND_NS = 1000 * 1000 * 1000 };

void guard_init(struct guard *g, uint32_t rate_per_s, uint32_t burst, uint64_t seed)
{
	assert(burst >= 1 && rate_per_s <= SECOND_NS);
	memset(g, 0, sizeof(*g)); /* a bucket of zeros is full */
	g->seed = seed;
	g->interval_ns = rate_per_s > 0 ? SECOND_NS / rate_per_s : 0;
	g->debt_max_ns = (burst - 1) * g->interval_ns;
}

/* The source's place; if it has none, that of the source in its set that owes least. */
static struct guard_bucket *find(struct guard *g, uint64_t key)
{
	struct guard_bucket *set = g->sets[prng_word(g->seed, key) % GUARD_SETS], *least = set;
	for (int i = 0; i < GUARD_WAYS; i++) {
		if (set[i].key == key)
			return &set[i];
		if (set[i].full_ns < least->full_ns)
			least = &set[i];
	}
	return least;
}

bool guard_allow(struct guard *g, uint64_t key, uint64_t now_ns)
{
	struct guard_bucket *b = find(g, key);
	if (b->key != key) {
		g->forgotten += b->full_ns > now_ns;
		*b = (struct guard_bucket){ .key = key };
	}
	uint64_t full_ns = b->full_ns > now_ns ? b->full_ns : now_ns;
	if (full_ns - now_ns > g->debt_max_ns) {
		g->refused++;
		return false;
	}
	b->full_ns = full_ns + g->interval_ns;
	g->allowed++;
	return true;
}
