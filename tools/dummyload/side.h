/* side.h - the loads beside the processor's: memory, descriptors, sleeping threads, sockets and what goes over them,
 * context switches, page faults, writing to a file.
 *
 * Two sorts. An *amount* is held: so many bytes, so many descriptors. A *rate* is done again and again: so much each
 * second. A rate has a thread, which compares in each slice what was asked for so far with what was counted
 * (account.h); an amount has one only if it follows the shape.
 *
 * Processor time that they take is the process's, so the burners use so much less (burn.c). */
#ifndef TCPLAB_DUMMYLOAD_SIDE_H
#define TCPLAB_DUMMYLOAD_SIDE_H

#include "dummyload.h"

enum side_unit { SIDE_NUMBER, SIDE_BYTES };

struct side_ops {
	const char *name; /* also of its thread and of its keys in JSON */
	enum side_unit unit;
	bool is_rate, can_follow;

	/* Before the start: an amount that does not follow is there when it returns. 0, or -1 with *e. */
	int (*open)(struct side *s, struct net_error *e);

	/* A rate: do so much more. An amount: hold so much. Less is no failure; until_ns is when to stop trying. From
	 * the side's thread only. 0, or -1 with *e. */
	int (*act)(struct side *s, uint64_t n, uint64_t until_ns, struct net_error *e);

	/* A rate: so much so far. An amount: held now. NULL: it is s->done. From any thread. */
	uint64_t (*count)(const struct side *s);

	void (*close)(struct side *s); /* after its thread has ended */
};

extern const struct side_ops side_memory_ops, side_files_ops, side_idle_ops, side_sockets_ops, side_traffic_ops,
	side_switches_ops, side_faults_ops, side_io_ops;

const struct side_ops *side_ops_of(enum side_kind kind);

/* Opens what was asked for and starts its threads, which wait for the run to begin. 0, or -1 with *e. */
MUST_USE int side_open_all(struct run *run, struct net_error *e);
void side_close_all(struct run *run); /* once the run is over */

static inline bool side_is_on(const struct side *s)
{
	return s->amount != 0;
}

/* It goes up and down with the shape (--follow). */
bool side_is_following(const struct side *s);

/* The counts from which the figures are measured: call it when the run begins. */
void side_start(struct run *run);

/* A rate: asked for up to the moment t, and done. An amount: asked for at that moment, and held. */
double side_asked(const struct side *s, uint64_t t_ns);
double side_count(const struct side *s);

#endif
