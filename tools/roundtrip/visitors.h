/* visitors.h - what the server keeps of its clients: a fixed table, whoever comes. Memory only.
 *
 * A visitor is a session: the random number that a client drew for its run, together with where it comes from. The
 * table is VISITOR_SETS sets of VISITOR_WAYS places, the set chosen by a hash that a seed makes unpredictable. Who
 * comes to a full set takes the place of the one who has been silent longest: that one's counters begin again, which
 * its client notices, and nothing else.
 *
 * Nothing is kept of plain questions: each stands for itself. */
#ifndef TCPLAB_ROUNDTRIP_VISITORS_H
#define TCPLAB_ROUNDTRIP_VISITORS_H

#include "track.h"

enum { VISITOR_SETS = 256, VISITOR_WAYS = 4 };

struct visitor {
	uint64_t session, source; /* source: addr_source (addr.h) */
	uint64_t last_ns;         /* when it asked last; 0: a free place */
	uint64_t answers;
	struct track questions;

	/* An answer of which the kernel has told when it left (--where); sent_ns 0: of none. */
	uint64_t stamped_number;
	int64_t sched_ns, sent_ns, hardware_ns;
};

struct visitors {
	uint64_t seed;
	uint64_t came, forgotten; /* sessions in all; those that had to make room */
	struct visitor sets[VISITOR_SETS][VISITOR_WAYS];
};

/* The visitor, or NULL: not here. */
struct visitor *visitors_find(struct visitors *v, uint64_t session, uint64_t source);

/* Makes room for one who is not here: never NULL, unless every place in its set was used within the last keep_ns. */
struct visitor *visitors_add(struct visitors *v, uint64_t session, uint64_t source, uint64_t now_ns, uint64_t keep_ns);

#endif
