/* upstreams.h - the servers behind the relay, and which one is next. Memory only, but for the files that are read again; time
 * is an argument. Any thread may call: a lock guards it.
 *
 *	upstreams_pick --> an upstream ---> connected:  upstreams_connected ... the flow ends: upstreams_ended
 *	                                \-> failed:     upstreams_failed, and pick again with the same upstream_try
 *
 * BACK-OFF  An upstream to which a connect failed is passed over for UPSTREAM_BACKOFF_NS. Then one flow is sent there to see, and
 *   the others go on passing it over until that one is connected, or has failed; then it is twice as long, up to
 *   UPSTREAM_BACKOFF_MAX_NS. When all are in that state the one whose time comes first is tried: a relay that knows only dead
 *   servers still knocks. */
#ifndef TCPRELAY_UPSTREAMS_H
#define TCPRELAY_UPSTREAMS_H

#include "addr.h"
#include "clock.h"
#include "../relay/wordlist.h"

#include <stdbool.h>
#include <stdint.h>

enum upstreams_balance {
	UPSTREAMS_RR,    /* each in turn */
	UPSTREAMS_LEAST, /* the one with the fewest flows, connects under way included; in turn among equals */
	UPSTREAMS_HASH, /* by the client's address (addr_source): the same client, the same server, as long as it is well; and when
	                    one is not, or goes, only its clients move (rendezvous hashing: D. G. Thaler, C. V. Ravishankar, 1998) */
	UPSTREAMS_FIRST, /* the first that is well: the others are spare */
};
extern const char *const upstreams_balance_choices[]; /* as typed, in this order; NULL at the end */

enum { UPSTREAMS_MAX = 1024, UPSTREAMS_WHY = WORDLIST_WHY, UPSTREAM_TEXT = 300, UPSTREAM_TRIES = 15 };
#define UPSTREAM_BACKOFF_NS     ((uint64_t)NS_PER_S)
#define UPSTREAM_BACKOFF_MAX_NS (30 * (uint64_t)NS_PER_S)

struct upstreams;

/* One server; read only. Lives until it is released and no list has it any more. */
struct upstream {
	const char *host; /* a name or a literal, without brackets */
	const char *text; /* "name:port", "[::1]:80" */
	uint16_t port;
};

MUST_USE struct upstreams *upstreams_new(enum upstreams_balance balance);
void upstreams_free(struct upstreams *u); /* or NULL; nothing may be picked and not released (asserted) */

/* `text`: HOST:PORT, [ADDR]:PORT, a PORT alone (of 127.0.0.1), or @FILE (one of these on each line, # begins a comment); several
 * are separated by commas. The same one twice is refused. False with a line for people in why; *u is as before then. BLOCKS on
 * the file. add and reload are for one thread at a time. */
MUST_USE bool upstreams_add(struct upstreams *u, const char *text, char why[static UPSTREAMS_WHY]);

/* Reads every @FILE again. Servers that stay keep their counts and their back-off; those that went are not picked any more, and
 * their flows go on. All or nothing: false, and *u is as before; so it is when none would be left. */
MUST_USE bool upstreams_reload(struct upstreams *u, char why[static UPSTREAMS_WHY]);

/* What was picked for one client; all zero at first. Each server has a number of its own for ever, so that nothing goes wrong when
 * the list is another one at the next try. */
struct upstream_try {
	uint32_t n;
	uint32_t numbers[UPSTREAM_TRIES];
};

/* The next server for this client, another one each time. NULL: all have been tried, or UPSTREAM_TRIES have, or there are none.
 * The pick counts as a flow until upstreams_failed or upstreams_ended. */
MUST_USE struct upstream *upstreams_pick(struct upstreams *u, const struct addr *client, struct upstream_try *t,
					 uint64_t now_ns);

void upstreams_connected(struct upstreams *u, struct upstream *up);
void upstreams_failed(struct upstreams *u, struct upstream *up, uint64_t now_ns); /* and released */
void upstreams_ended(struct upstreams *u, struct upstream *up); /* after picked or connected: released */

/* For the table. */
struct upstream_row {
	char text[UPSTREAM_TEXT];
	uint64_t picked, connected, failed; /* ever */
	uint64_t live;                      /* flows now */
	uint64_t backoff_ns;                /* how long it is still passed over; 0: it is not */
	bool is_gone;                       /* taken off the list, but flows go on */
};
/* Those on the list in its order, then those that are gone; how many, at most max. */
size_t upstreams_rows(struct upstreams *u, struct upstream_row *out, size_t max, uint64_t now_ns);

#endif
