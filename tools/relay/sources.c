/* sources.c - a hash table with linear probing. See sources.h.
 *
 * A source stands at its home, which a hash says, or as near behind it as there was a free place; so whoever looks for
 * it goes from its home to the next free place. Where one leaves, those behind it are moved up, and no place is ever
 * marked "was here": what is looked at does not grow with what has been. D. E. Knuth, The Art of Computer Programming,
 * volume 3, 6.4, algorithms L and R. */
#include "sources.h"

#include "mem.h"
#include "prng.h"

#include <assert.h>
#include <stdlib.h>

enum { LEAST_CAPACITY = 16 };

struct place {
	uint64_t source;
	uint64_t taken; /* 0: the place is free */
};

/* At most half of the places are in use, and at least an eighth, unless there are few. */
struct sources {
	uint64_t seed;
	struct place *places;
	size_t capacity; /* a power of two */
	size_t n;
};

struct sources *sources_new(uint64_t seed)
{
	struct sources *s = xcalloc(1, sizeof(*s));
	s->seed = seed;
	s->capacity = LEAST_CAPACITY;
	s->places = xcalloc(s->capacity, sizeof(*s->places));
	return s;
}

void sources_free(struct sources *s)
{
	if (s == NULL)
		return;
	free(s->places);
	free(s);
}

static size_t home_of(const struct sources *s, uint64_t source)
{
	return prng_word(s->seed, source) & (s->capacity - 1);
}

/* Where it stands; or the free place where it would. */
static size_t find(const struct sources *s, uint64_t source)
{
	size_t i = home_of(s, source);
	while (s->places[i].taken > 0 && s->places[i].source != source)
		i = (i + 1) & (s->capacity - 1);
	return i;
}

static void resize(struct sources *s, size_t capacity)
{
	struct place *old = s->places;
	size_t n = s->capacity;
	s->places = xcalloc(capacity, sizeof(*s->places));
	s->capacity = capacity;
	for (size_t i = 0; i < n; i++)
		if (old[i].taken > 0)
			s->places[find(s, old[i].source)] = old[i];
	free(old);
}

/* Place i becomes free, unless one behind it may move up. It may not when that would be before its home: when there are
 * fewer places from its home to where it stands than from i. */
static void vacate(struct sources *s, size_t i)
{
	size_t mask = s->capacity - 1;
	for (size_t k = (i + 1) & mask; s->places[k].taken > 0; k = (k + 1) & mask) {
		size_t from_home = (k - home_of(s, s->places[k].source)) & mask;
		if (from_home < ((k - i) & mask))
			continue;
		s->places[i] = s->places[k];
		i = k;
	}
	s->places[i].taken = 0;
}

bool sources_take(struct sources *s, uint64_t source, uint64_t most)
{
	struct place *p = &s->places[find(s, source)];
	if (p->taken >= most)
		return false;
	p->source = source;
	s->n += p->taken++ == 0;
	if (s->n > s->capacity / 2)
		resize(s, 2 * s->capacity);
	return true;
}

void sources_give_back(struct sources *s, uint64_t source)
{
	size_t i = find(s, source);
	assert(s->places[i].taken > 0);
	if (--s->places[i].taken > 0)
		return;
	s->n--;
	vacate(s, i);
	if (s->capacity > LEAST_CAPACITY && s->n < s->capacity / 8)
		resize(s, s->capacity / 2);
}

size_t sources_count(const struct sources *s)
{
	return s->n;
}

size_t sources_capacity(const struct sources *s)
{
	return s->capacity;
}
