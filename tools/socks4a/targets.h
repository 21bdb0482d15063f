/* targets.h - where clients may go: rules for names, networks and ports. Memory only, but for the files that are read
 * again.
 *
 * The rules are tried in the order they were given, and the first that matches decides. If none does: without any
 * `allow` everything is allowed, otherwise nothing (rulebook.h). A rule is WHERE, WHERE:PORT, WHERE:PORT-PORT, or :PORT
 * and :PORT-PORT alone; ports go from 0 to 65535. WHERE is
 *
 *	10.0.0.0/8   192.0.2.7                   an IPv4 network, an address
 *	[2001:db8::]/32   [2001:db8::/32]        an IPv6 network; without brackets, too, if no port follows: 2001:db8::/32
 *	[2001:db8::1]                            an IPv6 address, in brackets always: 2001:db8::1:80 could be read in two ways
 *	example.net                              this name
 *	.example.net                             this name, and all that end in it
 *	all                                      everything
 *
 * NAMES A name is a name: a rule for one says nothing of its addresses, and does not match a client that asks for the
 *   address. Upper case is lower case, and a dot at the end is none. What ends in a number is no name ("10.0.0",
 *   "0x7f.1"): a rule that says so is refused, since the resolver makes an address of it (inet_aton(3)).
 * NETWORKS A network says what every address is in, that of a name, too: whoever may not go to 127.0.0.1 does not get
 *   there by a name that has this address, nor by "127.1". An IPv4-mapped IPv6 address is the IPv4 one (network.h).
 * THIS HOST 0.0.0.0 and :: are never allowed: Linux takes a connect to them for one to 127.0.0.1 or ::1, or to the
 *   address that the socket is bound to, and so there is no rule that could say what they are.
 *
 * LIMIT: they are tried one by one: 65,536 of them take a few 0.1 ms for each question. */
#ifndef SOCKS4A_TARGETS_H
#define SOCKS4A_TARGETS_H

#include "addr.h"
#include "../relay/rulebook.h"

enum { TARGETS_WHY = RULEBOOK_WHY, TARGETS_MAX = RULEBOOK_MAX /* rules in all */ };

struct targets;

MUST_USE struct targets *targets_new(void); /* the caller's, until targets_free; empty: no rules */
void targets_free(struct targets *t);       /* or NULL */

/* `text`: rules separated by commas, or @FILE: a rule on each line, # begins a comment. The file is read now, which
 * BLOCKS. False with a line for people in why; *t is as before then. Before any other thread asks. */
MUST_USE bool targets_add(struct targets *t, bool allow, const char *text, char why[static TARGETS_WHY]);

/* Reads every @FILE again. All or nothing: false, and *t is as before. Other threads may ask meanwhile. */
MUST_USE bool targets_reload(struct targets *t, char why[static TARGETS_WHY]);

/* May this address be gone to, which was asked for as `name` (NULL or "": as an address)? The port is the address's.
 * Any thread. */
MUST_USE bool targets_allow(const struct targets *t, const char *name, const struct addr *a);

/* Before a name is resolved: could there be an address with which it is allowed? False: there is none, and it need not
 * be looked up. True promises nothing. Any thread. */
MUST_USE bool targets_may_allow(const struct targets *t, const char *name, uint16_t port);

#endif
