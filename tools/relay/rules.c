#include "rules.h"

#include "mem.h"
#include "network.h"

#include <stdlib.h>

struct rules {
	struct rulebook *book; /* each rule a struct network */
};

static const char *parse(void *rule, const char *word)
{
	return network_parse(rule, word);
}

static enum rulebook_match match(const void *rule, const void *question)
{
	return network_has(rule, question) ? RULEBOOK_YES : RULEBOOK_NO;
}

static const struct rulebook_kind networks = {
	.plural = "networks",
	.len = sizeof(struct network),
	.parse = parse,
	.match = match,
};

struct rules *rules_new(void)
{
	struct rules *r = xcalloc(1, sizeof(*r));
	r->book = rulebook_new(&networks);
	return r;
}

void rules_free(struct rules *r)
{
	if (r == NULL)
		return;
	rulebook_free(r->book);
	free(r);
}

bool rules_add(struct rules *r, bool allow, const char *text, char why[static RULES_WHY])
{
	return rulebook_add(r->book, allow, text, why);
}

bool rules_reload(struct rules *r, char why[static RULES_WHY])
{
	return rulebook_reload(r->book, why);
}

bool rules_allow(const struct rules *r, const struct addr *a)
{
	struct network_place place = network_place_of(a);
	return rulebook_allows(r->book, &place);
}
