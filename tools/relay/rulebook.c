/* rulebook.c - rules, one after the other. See rulebook.h.
 *
 * What was given is kept as it was (struct source), and what follows from it beside it (struct table), so that reading
 * again is making a second table, and the first is thrown away only when that has worked. */
#include "rulebook.h"

#include "mem.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

/* What was given at once. */
struct source {
	bool allow;
	char *text;
};

struct table {
	const struct rulebook_kind *kind;
	size_t n, capacity;
	bool *allow;          /* of rule i */
	unsigned char *rules; /* kind->len bytes each */
};

struct rulebook {
	struct source *sources;
	size_t n_sources;
	bool has_allow;

	pthread_rwlock_t lock;
	struct table table; /* guarded by it */
};

static void *rule_at(const struct table *t, size_t i)
{
	return t->rules + i * t->kind->len;
}

/* The first n rules stay. */
static void cut(struct table *t, size_t n)
{
	while (t->n > n) {
		t->n--;
		if (t->kind->clear != NULL)
			t->kind->clear(rule_at(t, t->n));
	}
}

static void free_table(struct table *t)
{
	cut(t, 0);
	free(t->allow);
	free(t->rules);
}

struct rulebook *rulebook_new(const struct rulebook_kind *kind)
{
	struct rulebook *b = xcalloc(1, sizeof(*b));
	b->table.kind = kind;
	pthread_rwlock_init(&b->lock, NULL);
	return b;
}

void rulebook_free(struct rulebook *b)
{
	if (b == NULL)
		return;
	for (size_t i = 0; i < b->n_sources; i++)
		free(b->sources[i].text);
	free(b->sources);
	free_table(&b->table);
	pthread_rwlock_destroy(&b->lock);
	free(b);
}

/* --- from text to rules ------------------------------------------------------------------------------------------- */

struct filling {
	struct table *table;
	bool allow;
};

static bool add_rule(void *owner, const char *word, char why[static WORDLIST_WHY])
{
	struct filling *f = owner;
	struct table *t = f->table;
	if (t->n == RULEBOOK_MAX) {
		snprintf(why, WORDLIST_WHY, "%.60s: more than %d %s", word, RULEBOOK_MAX, t->kind->plural);
		return false;
	}
	if (t->n == t->capacity) {
		t->capacity = t->capacity == 0 ? 8 : 2 * t->capacity;
		t->allow = xrealloc(t->allow, t->capacity * sizeof(*t->allow));
		t->rules = xrealloc(t->rules, t->capacity * t->kind->len);
	}
	const char *wrong = t->kind->parse(rule_at(t, t->n), word);
	if (wrong != NULL) {
		snprintf(why, WORDLIST_WHY, "%.60s: %s", word, wrong);
		return false;
	}
	t->allow[t->n++] = f->allow;
	return true;
}

static bool fill(struct table *t, const struct source *s, char why[static RULEBOOK_WHY])
{
	return wordlist_each(s->text, add_rule, &(struct filling){ t, s->allow }, why);
}

bool rulebook_add(struct rulebook *b, bool allow, const char *text, char why[static RULEBOOK_WHY])
{
	size_t before = b->table.n;
	struct source s = { .allow = allow, .text = xstrdup(text) };
	if (!fill(&b->table, &s, why)) {
		cut(&b->table, before);
		free(s.text);
		return false;
	}
	b->sources = xrealloc(b->sources, (b->n_sources + 1) * sizeof(*b->sources));
	b->sources[b->n_sources++] = s;
	b->has_allow |= allow;
	return true;
}

bool rulebook_reload(struct rulebook *b, char why[static RULEBOOK_WHY])
{
	struct table fresh = { .kind = b->table.kind };
	for (size_t i = 0; i < b->n_sources; i++) {
		if (!fill(&fresh, &b->sources[i], why)) {
			free_table(&fresh);
			return false;
		}
	}
	pthread_rwlock_wrlock(&b->lock);
	struct table old = b->table;
	b->table = fresh;
	pthread_rwlock_unlock(&b->lock);
	free_table(&old);
	return true;
}

/* --- the question ------------------------------------------------------------------------------------------------- */

static bool decide(const struct table *t, const void *question, bool otherwise)
{
	for (size_t i = 0; i < t->n; i++) {
		enum rulebook_match match = t->kind->match(rule_at(t, i), question);
		if (match == RULEBOOK_YES || (match == RULEBOOK_PERHAPS && t->allow[i]))
			return t->allow[i];
	}
	return otherwise;
}

bool rulebook_allows(struct rulebook *b, const void *question)
{
	pthread_rwlock_rdlock(&b->lock);
	bool allows = decide(&b->table, question, !b->has_allow);
	pthread_rwlock_unlock(&b->lock);
	return allows;
}
