/* spec.h - what is to happen to the packets of one direction, as people write it: "delay=10ms,rate=10mbit,loss=1%".
 * Memory only: no clock, no system call. */
#ifndef TCPLAB_LINKEM_SPEC_H
#define TCPLAB_LINKEM_SPEC_H

#include "cdefs.h"
#include "vocab.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a queue does before it is full. */
enum spec_aqm {
	SPEC_TAIL, /* nothing: it drops what does not fit */
	SPEC_RED,  /* random early detection: drops some, the more the longer the average queue is */
	SPEC_ECN,  /* the same, but packets that say they understand ECN are marked, not dropped (RFC 3168) */
};

/* Which packets `drop=KIND:N` counts. */
enum spec_kind {
	SPEC_ANY,
	SPEC_SYN, /* without ACK */
	SPEC_SYNACK,
	SPEC_DATA, /* of TCP or UDP, with at least one byte of payload */
	SPEC_ACK,  /* nothing but an ACK: no payload, no SYN, FIN or RST */
	SPEC_FIN,
	SPEC_RST,
};

/* Probabilities are 0 to 1. All zero is a perfect link. */
struct spec {
	uint64_t delay_ns, jitter_ns; /* delay +- jitter, evenly spread; never below 0, and the order is kept */
	uint64_t rate_Bps;            /* 0: no limit, and no queue */
	uint64_t queue_len;           /* bytes; 0: automatic, see lane.h */
	enum spec_aqm aqm;

	double loss;              /* the share that is lost */
	double burst;             /* with loss: lost packets come so many at a time, on average; 0: each for itself */
	bool has_ge;              /* Gilbert-Elliott, spelled out, instead of loss and burst: */
	double ge_p, ge_r;        /*   from good to bad, from bad to good, at each packet */
	double ge_bad, ge_good;   /*   share lost in either state */
	uint64_t every;           /* each packet whose number is a multiple; 0: none */
	enum spec_kind drop_kind; /* one chosen packet: */
	uint64_t drop_number;     /*   the Nth of that kind, counted from when this was said; 0: none */
	uint64_t blackhole_len;   /* IP packets longer than so many bytes vanish; 0: none */
	bool is_down;             /* everything vanishes */
	uint64_t down_ns;         /* with is_down: for so long; 0: until "up" */

	double duplicate;
	double reorder;      /* the share that is held back, so that later packets overtake it ... */
	uint64_t reorder_ns; /* ... for so long */
	double corrupt;      /* one bit flipped */
	double swap;         /* two 16-bit words exchanged: the checksum of TCP and UDP cannot see it */
	uint64_t seed;

	/* Said just now, perhaps with the value it had: lane_change begins afresh with it, and takes this back. */
	struct {
		bool seed, drop, down;
	} said;
};

enum { SPEC_TEXT = 512, SPEC_WHY = VOCAB_WHY };

/* What a link begins with: perfect; reorder_ns (1 ms) and seed (1) are not zero. */
struct spec spec_default(void);

/* Changes in *s what `text` names and nothing else; words are separated by commas or blanks:
 *
 *	delay=D jitter=D rate=R|none queue=SIZE|auto tail red ecn
 *	loss=P burst=N|off ge=P:R[:BAD[:GOOD]]|off every=N|off drop=[KIND:]N|KIND|off blackhole=SIZE|off
 *	dup=P reorder=P[:D] corrupt=P swap=P seed=N down[=D] up clear
 *
 * P is "1%", or a probability below 1 ("0.01"); D, R and SIZE as in units.h; KIND is any, syn, synack, data, ack, fin,
 * rst; `clear` (or `perfect`), which comes first, is a perfect link again and leaves only the seed. loss and burst take
 * ge back, and ge takes them back. False with a line for people in `why` when it is wrong, says nothing, or says a
 * thing twice; *s is as before then. */
MUST_USE bool spec_apply(struct spec *s, const char *text, char why[static SPEC_WHY]);

/* The shortest text that makes *s (all but `said`) out of spec_default(): "perfect" when it is that. */
const char *spec_text(char out[static SPEC_TEXT], const struct spec *s);

#endif
