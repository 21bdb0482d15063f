/* rules.h - who may come: lists of networks that are allowed or denied. Memory only, but for the files that are read
 * again.
 *
 * The rules are tried in the order they were given, and the first that matches decides. If none does: without any
 * `allow` everybody is let in, otherwise nobody; so an allow list that has become empty lets nobody in (rulebook.h).
 *
 * LIMIT: they are tried one by one: 65,536 of them take about 0.3 ms for each client. */
#ifndef RELAY_RULES_H
#define RELAY_RULES_H

#include "addr.h"
#include "rulebook.h"

enum { RULES_WHY = RULEBOOK_WHY, RULES_MAX = RULEBOOK_MAX /* networks in all */ };

struct rules;

MUST_USE struct rules *rules_new(void); /* the caller's, until rules_free; empty: everybody may come */
void rules_free(struct rules *r);       /* or NULL */

/* `text`: networks (network.h) separated by commas, "10.0.0.0/8", "2001:db8::/32", an address alone, "all", "@FILE": a
 * network on each line, # begins a comment. The file is read now, which BLOCKS. False with a line for people in why
 * ("10.0.0.1/8: there are bits beyond the prefix"; "rules.txt:3: ..."); *r is as before then. Before any other thread
 * asks. */
MUST_USE bool rules_add(struct rules *r, bool allow, const char *text, char why[static RULES_WHY]);

/* Reads every @FILE again. All or nothing: false, and *r is as before. */
MUST_USE bool rules_reload(struct rules *r, char why[static RULES_WHY]);

/* An IPv4-mapped IPv6 address or network is the IPv4 one: "::/0" is every IPv6 address and no IPv4 one. The port does
 * not count. Any thread. */
MUST_USE bool rules_allow(const struct rules *r, const struct addr *a);

#endif
