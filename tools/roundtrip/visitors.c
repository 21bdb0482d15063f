#include "visitors.h"

#include "prng.h"

#include <stddef.h>
#include <string.h>

static struct visitor *set_of(struct visitors *v, uint64_t session, uint64_t source)
{
	return v->sets[prng_word(v->seed ^ session, source) % VISITOR_SETS];
}

struct visitor *visitors_find(struct visitors *v, uint64_t session, uint64_t source)
{
	struct visitor *set = set_of(v, session, source);
	for (int i = 0; i < VISITOR_WAYS; i++)
		if (set[i].last_ns != 0 && set[i].session == session && set[i].source == source)
			return &set[i];
	return NULL;
}

struct visitor *visitors_add(struct visitors *v, uint64_t session, uint64_t source, uint64_t now_ns, uint64_t keep_ns)
{
	struct visitor *set = set_of(v, session, source), *oldest = &set[0];
	for (int i = 1; i < VISITOR_WAYS; i++)
		if (set[i].last_ns < oldest->last_ns)
			oldest = &set[i];
	if (oldest->last_ns != 0 && now_ns - oldest->last_ns < keep_ns)
		return NULL;
	v->came++;
	v->forgotten += oldest->last_ns != 0;
	memset(oldest, 0, sizeof(*oldest));
	oldest->session = session;
	oldest->source = source;
	oldest->last_ns = now_ns;
	return oldest;
}
