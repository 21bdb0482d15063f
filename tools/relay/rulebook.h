/* rulebook.h - rules that allow or deny, one after the other, whatever they are about: what rules.h (who may come) and
 * socks4a's targets.h (where to) have in common. Memory only, but for the files that are read again.
 *
 * The rules are tried in the order they were given, and the first that matches decides. If none does: without any
 * `allow` everything is allowed, otherwise nothing; so an allow list that has become empty allows nothing.
 *
 * Any thread may ask, also while another one reads again: a lock guards the rules, and files are read without it. */
#ifndef RELAY_RULEBOOK_H
#define RELAY_RULEBOOK_H

#include "wordlist.h"

#include <stdbool.h>

enum { RULEBOOK_WHY = WORDLIST_WHY, RULEBOOK_MAX = 65536 /* rules in all */ };

enum rulebook_match {
	RULEBOOK_NO,
	RULEBOOK_YES,
	RULEBOOK_PERHAPS, /* the question leaves it open: an allow then allows, and a deny decides nothing */
};

/* What a rule is. */
struct rulebook_kind {
	const char *plural; /* "networks" */
	size_t len;         /* of a rule, which is moved about in memory */
	/* Sets all of *rule. NULL; or what is wrong, a static string, and then nothing is to be cleared. */
	const char *(*parse)(void *rule, const char *word);
	enum rulebook_match (*match)(const void *rule, const void *question);
	void (*clear)(void *rule); /* frees what parse allocated; or NULL */
};

struct rulebook;

MUST_USE struct rulebook *rulebook_new(const struct rulebook_kind *kind); /* the caller's, until rulebook_free */
void rulebook_free(struct rulebook *b);                                   /* or NULL */

/* `text`: words separated by commas, or @FILE (wordlist.h). The file is read now, which BLOCKS. False with a line for
 * people in why ("rules.txt:3: 10.0.0.1/8: there are bits beyond the prefix"); *b is as before then. Before any other
 * thread asks. */
MUST_USE bool rulebook_add(struct rulebook *b, bool allow, const char *text, char why[static RULEBOOK_WHY]);

/* Reads every @FILE again. All or nothing: false, and *b is as before. */
MUST_USE bool rulebook_reload(struct rulebook *b, char why[static RULEBOOK_WHY]);

MUST_USE bool rulebook_allows(struct rulebook *b, const void *question);

#endif
