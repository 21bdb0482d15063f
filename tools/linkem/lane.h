/* lane.h - one direction of a link: what happens to a packet between two hosts. Memory only: time is an argument,
 * chance is a seed.
 *
 *	            offered                                                                        delivered
 *	lane_send ----+--> [ queue ] --> transmitter --> wire -------------------------------> lane_receive
 *	              |    drops when    one packet at   delay, jitter; some are held back
 *	              |    it is full    a time: rate    and overtaken (reorder)
 *	              v
 *	  never gets in: down, black hole, loss; or gets in twice, or changed
 *
 * The bytes that wait for the transmitter, the one on it included, are the queue. Without a rate there is none.
 *
 * CHANCE  The nth packet offered has its own random numbers, one for each question (lost? doubled? changed?), made of
 *   seed, n and the question. So the same seed and the same packets give the same fate, whatever else is switched on.
 * CHANGES  take effect on what comes after: a new rate on the packets that wait, a new delay on those that leave the
 *   transmitter from now on; going down loses all packets that are under way. */
#ifndef TCPLAB_LINKEM_LANE_H
#define TCPLAB_LINKEM_LANE_H

#include "cdefs.h"
#include "spec.h"

#include <stddef.h>
#include <stdint.h>

/* From malloc (lane_packet_new): the lane owns it from lane_send on, the caller from lane_receive on. */
struct lane_packet {
	struct lane_packet *next, *prev;
	uint64_t number;     /* 1: the first offered since the seed was set; a copy has its original's number */
	uint64_t offered_ns; /* when */
	uint64_t due_ns;     /* when it arrives, or on the way, when its transmission ends */
	bool is_copy;        /* made by the lane (duplication) */
	bool is_marked, is_corrupted; /* ECN; a bit or two words changed */
	bool is_held, is_overtaken;   /* held back; a later one arrived before it */
	uint64_t order;               /* in which it left the transmitter */
	uint64_t luck;                /* lane.c's own: the seed of its random numbers */
	size_t len;
	unsigned char bytes[];
};

/* Room for len bytes, to be filled by the caller. */
struct lane_packet *lane_packet_new(size_t len);

/* What became of a packet. All but the first are reasons for a drop. */
enum lane_fate {
	LANE_PASSED,    /* under way */
	LANE_LOSS,      /* loss, burst, ge */
	LANE_CHOSEN,    /* every, drop */
	LANE_QUEUE,     /* the queue was full */
	LANE_RED,       /* dropped early */
	LANE_BLACKHOLE, /* too long */
	LANE_DOWN,      /* the link was down, or went down while it was under way */
	LANE_MEMORY,    /* LANE_MEMORY_LEN bytes, bookkeeping included, are under way already */
	LANE_FATES
};

enum { LANE_MEMORY_LEN = 64 * 1024 * 1024 };

/* Counters only grow. At any time offered_packets + duplicated = packets + all that were dropped + those under way. */
struct lane_stats {
	uint64_t offered_packets, offered_bytes;
	uint64_t packets, bytes; /* delivered */
	uint64_t dropped[LANE_FATES];
	uint64_t duplicated, reordered, corrupted, swapped, marked; /* reordered: really overtaken by another */
	uint64_t queue_len, queue_packets;                          /* now */
	uint64_t queue_peak_len;                                    /* since the start */
	uint64_t on_wire_len;                                       /* now: transmitted and not yet delivered */
};

struct lane_list {
	struct lane_packet *first, *last;
	uint64_t len; /* bytes */
	uint64_t n;
};

/* Owned by whoever embeds it; read `spec` and `stats` freely. */
struct lane {
	struct spec spec; /* what holds now: an outage, or a chosen drop, that is over is no longer in it */
	struct lane_stats stats;
	uint64_t limit_len; /* of the queue: spec.queue_len, or the automatic one */

	/* lane.c's own */
	unsigned number;          /* which lane this is */
	uint64_t seed;            /* of this direction */
	uint64_t n_numbered;      /* packets since the seed was set */
	uint64_t n_chosen;        /* of the kind of spec.drop_kind, since it was set */
	bool is_bad;              /* Gilbert-Elliott */
	uint64_t up_again_ns;     /* end of an outage; CLK_NEVER: when we are told; 0: not known yet */
	double red_average;       /* bytes */
	uint64_t red_at_ns;       /* when it was computed */
	uint64_t red_since_hit;   /* packets that passed since RED hit one */
	uint64_t sent_until_ns;   /* when the transmitter is free, rounded down ... */
	uint64_t sent_remainder;  /* ... by this many parts of a nanosecond, of which there are rate_Bps */
	uint64_t last_due_ns;     /* of what was put on the wire in order */
	uint64_t recent_peak_len; /* of the queue, since lane_take_peak */
	struct lane_list queue;   /* the first is being transmitted; its due_ns is the end of that */
	struct lane_list wire;    /* sorted by due_ns, as is ... */
	struct lane_list held;    /* ... what is held back on it, so that it can be overtaken */
	uint64_t n_left;          /* packets that left the transmitter */
	uint64_t latest_order;    /* of those that arrived */
};

/* number: which lane of how many, so that two lanes with one seed do not have the same luck.
 * An automatic queue takes the other direction's delay to be the same until lane_change tells; a timed outage begins
 * with the first call that says how late it is. */
void lane_open(struct lane *l, const struct spec *s, unsigned number);
void lane_close(struct lane *l); /* frees what is under way */

/* s: lane.spec as it is now, changed (spec_apply); may be it. rtt_ns: both delays of the link together. An automatic
 * queue is one bandwidth-delay product, at least 64 KiB: call this also when only the other direction's delay changed.
 * A new seed or a new `drop` starts counting again; `down` loses what is under way (counted as LANE_DOWN). A smaller
 * queue keeps what is in it. */
void lane_change(struct lane *l, const struct spec *s, uint64_t rtt_ns, uint64_t now_ns);

/* A packet comes in; takes it. now_ns never goes back. */
enum lane_fate lane_send(struct lane *l, struct lane_packet *p, uint64_t now_ns);

/* The next packet that has arrived, in the order of arrival, or NULL; free(3) it. `due_ns`: when it really was due. */
struct lane_packet *lane_receive(struct lane *l, uint64_t now_ns);

/* When to call lane_receive next: before that it has nothing. CLK_NEVER (clock.h): nothing is under way. */
uint64_t lane_next_ns(const struct lane *l);

/* The longest queue since the last call, in bytes; from now on it is counted again. */
uint64_t lane_take_peak(struct lane *l);

/* "loss", "queue": the names in texts and in records (dropped_loss). */
const char *lane_fate_name(enum lane_fate fate);

#endif
