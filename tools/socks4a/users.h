/* users.h - who may come in with which password: a file with a line "user:password" for each.
 *
 * Neither how long a password is nor where a wrong one differs can be read off the clock: what is kept of a line is a
 * digest under a key that nobody knows, and a login's digest is compared with all of them, each as a whole. A user that
 * does not exist takes as long as one that does. Passwords themselves are not kept: their bytes are cleared as soon as
 * the digest is made.
 *
 * LIMIT: so a login takes about 0.5 ms with the most users there may be, and 2 us with a few. In the file passwords are
 * readable, and so they are on the way: RFC 1929 sends them as they are. */
#ifndef SOCKS4A_USERS_H
#define SOCKS4A_USERS_H

#include "cdefs.h"

#include <stdbool.h>

enum { USERS_WHY = 400, USERS_MAX = 4096, USERS_TEXT_MAX = 255 /* bytes of a user, of a password: RFC 1929 2 */ };

struct users;

/* Reads the file, which BLOCKS. A line that begins with # is a comment, empty ones are passed over, lines may end with
 * CR LF. What is in front of the first colon is the user, without blanks around it; all that follows is the password,
 * in which blanks and colons count. No user twice. NULL with a line for people in why ("users.txt:3: ..."; never with
 * what stands there). is_open_to_others: others than its owner may read or change it (not 0600); or NULL. The caller's,
 * until users_free. */
MUST_USE struct users *users_read(const char *path, bool *is_open_to_others, char why[static USERS_WHY]);
void users_free(struct users *u); /* or NULL */

/* Reads the same file again. All or nothing: false, and *u is as before. Other threads may ask meanwhile. */
MUST_USE bool users_reload(struct users *u, bool *is_open_to_others, char why[static USERS_WHY]);

/* Any thread. */
MUST_USE bool users_know(struct users *u, const char *user, const char *password);
size_t users_count(struct users *u);

#endif
