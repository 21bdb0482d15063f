/* naiverelay.h - what the chapters of naiverelay share: the options, and a connection on its way through. */
#ifndef NAIVERELAY_H
#define NAIVERELAY_H

#include "addr.h"
#include "buf.h"

#include <stdbool.h>
#include <stdint.h>

enum { NAIVERELAY_HOST = 256, NAIVERELAY_CALLS = 4 };

enum naiverelay_mistake { NAIVERELAY_MEMORY, NAIVERELAY_CLOSE, NAIVERELAY_RACE };
extern const char *const naiverelay_mistakes[]; /* ends with NULL */

struct naiverelay_place {
	char host[NAIVERELAY_HOST]; /* "": not said */
	uint64_t port;
};

struct naiverelay_options {
	int mistake;
	bool fixed, one_off, ipv4, ipv6, json;
	uint64_t high, cap, send_buffer, receive_buffer, interval_ns;
	struct naiverelay_place listen, target;
};

enum { UP, DOWN };

/* way[i] leads from side i to side !i; side 0 is the client, side 1 the server. */
struct way {
	struct buf queue;        /* has been received, and not yet been sent */
	uint64_t received, sent; /* bytes */
	uint64_t queued_peak;
	bool is_eof, is_reset; /* how the source ended: in order, or not */
	bool is_shut;          /* nothing more goes to the sink: it has our FIN, or is gone itself */
	bool is_paused;        /* race: the source is not read before "write complete" */
	bool is_done_looking;  /* race: once is enough; did the round come? */
	bool has_round_come;
	uint64_t looking_away_ns; /* race: since then; 0: not yet */
};

/* One connection. */
struct relay {
	const struct naiverelay_options *o;
	const char *peer;
	int fd[2];
	bool is_hung_up[2]; /* by a reset, or after both FINs; poll(2) would go on saying so */
	bool has_failed[2]; /* by a reset: whatever recv(2) says at the end is no end in order */
	struct way way[2];

	struct call { /* race: deferred to the end of the round, in this order */
		void (*fn)(struct relay *r, struct way *w);
		struct way *w;
	} calls[NAIVERELAY_CALLS];
	unsigned n_calls;

	const char *end; /* once it is over: complete, reset, closed, capped, interrupted */
	bool is_stuck;
	uint64_t give_up_ns; /* when a reset will wait no longer */
	uint64_t start_ns, rss_start, rss_peak;
};

struct naiverelay_totals {
	uint64_t connections, refused, stuck, capped;
};

/* What the kernel has of a connection: received, and not yet read by us (SIOCINQ); written by us, and not yet acknowledged, where
 * a FIN counts as one byte (SIOCOUTQ; both tcp(7)). */
uint64_t naiverelay_unread(int fd);
uint64_t naiverelay_unacked(int fd);

/* --- report.c ----------------------------------------------------------------------------------------------------- */

void naiverelay_look_at_memory(struct relay *r); /* the first time is the beginning */
void naiverelay_report_start(const struct naiverelay_options *o, const char *where);
void naiverelay_report(struct relay *r, const char *record); /* an interval, "stuck", or the end of a connection */
void naiverelay_report_total(const struct naiverelay_options *o, const struct naiverelay_totals *t);

#endif
