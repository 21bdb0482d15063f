/* measure.h - everything that a client learns, from the first answer to the last, in fixed memory. Memory only: no
 * clock, no system call.
 *
 *	exchange --> sample --+--> histograms of the RTT: raw, and from the intended send time
 *	                      +--> histograms of each way, above the shortest that was seen
 *	                      +--> timeline --> clockfit: offset, drift
 *	                      +--> tracks: lost, duplicated, reordered, and on which way
 *	                      +--> stages: where the time goes (--where) */
#ifndef TCPLAB_ROUNDTRIP_MEASURE_H
#define TCPLAB_ROUNDTRIP_MEASURE_H

#include "hist.h"
#include "timeline.h"
#include "track.h"

/* Stamps of one question and its answer; t.., k.., h.. 0: there is no such stamp. t1 to t4 as in sample.h; k..: by
 * the kernel of the same end (kstamp.h), by the same clock; h..: by the card's own clock.
 *
 * The client reads the monotonic clock before the other one when it sends, and after it when it receives: then the
 * RTT may come out too long by what lies between two calls, but never too short, and what is said to bound something
 * does. */
struct exchange {
	uint64_t intended_ns, sent_ns, received_ns; /* monotonic clock, since the beginning of the run */
	int64_t t1, t2, t3, t4;
	uint64_t resolution_ns; /* of the stamps, see sample.h */
	int64_t k1_sched, k1_sent, k2, k3_sched, k3_sent, k4;
	int64_t h1, h2, h3, h4;
};

/* Where the time goes: the way of a datagram, cut at every stamp. */
enum stage {
	STAGE_ASK_QUEUE,     /* t1 -> k1_sched: send(2), routing, to the queue discipline */
	STAGE_ASK_DEVICE,    /* k1_sched -> k1_sent: in the queue, to the driver */
	STAGE_WIRE,          /* both ways together, kernel to kernel: (k4 - k1_sent) - (k3_sent - k2) */
	STAGE_SERVER_WAKE,   /* k2 -> t2: until the server's recv(2) has returned */
	STAGE_SERVER_WORK,   /* t2 -> t3 */
	STAGE_ANSWER_QUEUE,  /* t3 -> k3_sched */
	STAGE_ANSWER_DEVICE, /* k3_sched -> k3_sent */
	STAGE_WAKE,          /* k4 -> t4 */
	STAGE_WIRE_HARDWARE, /* (h4 - h1) - (h3 - h2): between the cards; not a part of the sum */
	STAGES,
};
extern const char *const stage_names[STAGES]; /* "ask_queue" ...: for JSON */

/* What the server said last of the questions that it has received. */
struct uplink {
	bool is_known; /* false: a plain server cannot tell, or it has forgotten us on the way */
	uint64_t next, received, duplicated, reordered; /* as in track.h */
};

/* What the synchronisation of a clock is worth, by its own kernel (adjtimex(2)). */
struct synchronised {
	bool is_known, is_synchronised;
	uint64_t error_ns; /* at most, if it is */
};

struct measure {
	uint64_t sent;       /* questions that count */
	uint64_t elapsed_ns; /* so far */
	uint64_t garbage;    /* datagrams that were no answer to a question of ours */
	uint64_t late;       /* answers that came after --timeout: their questions count as lost */
	uint64_t refused;    /* ICMP: nobody listens there */
	uint64_t unsent;     /* the kernel did not take the question */

	/* The client itself calls track_see on these two: */
	struct track trip; /* questions that were answered in time */
	struct track down; /* the server's answers, if it numbers them; the late ones, too */
	struct uplink up;

	struct hist rtt, corrected;
	/* One way: above the shortest one so far; and that itself, with the clocks' difference. */
	struct hist up_excess, down_excess;
	int64_t up_min_ns, down_min_ns;
	uint64_t n_jitter;
	uint64_t last_rtt_ns;
	int64_t last_up_ns, last_down_ns;
	double rtt_jitter_ns, up_jitter_ns, down_jitter_ns; /* sums of |difference to the one before| (RFC 3393) */

	struct timeline timeline;
	struct timeline kernel; /* the same from k1_sent, k2, k3_sent, k4 (--where) */
	struct hist stages[STAGES];

	struct synchronised here, there;
};

/* The sample of an exchange, by the programs' stamps. The server says how long the answer took it, t3 - t2; what
 * cannot be (less than nothing, more than all the time from question to answer) is not believed, and the RTT is then
 * all of that time. */
struct sample sample_of(const struct exchange *x);

/* The same by the kernels' own stamps k1_sent, k2, k3_sent, k4. False if one is missing, or if our clock was set on
 * the way. */
bool sample_of_kernels(const struct exchange *x, struct sample *out);

/* A question was answered for the first time, in time. (Copies are for the tracks only.) Not the stages: */
void measure_add(struct measure *m, const struct exchange *x);

/* The stages of an exchange, and its sample by the kernels' stamps. Some stamps come later than the answer that they
 * belong to: call this once for each exchange, when no more of them will come. What is missing is left out. */
void measure_add_stages(struct measure *m, const struct exchange *x);

/* What became of the questions; whatever the server says, lost <= sent. If the directions are known, lost = up + down
 * + unknown. */
struct losses {
	uint64_t lost; /* no answer in time */
	bool has_directions;
	uint64_t up;   /* the server did not see them, but later ones */
	uint64_t down; /* answers that are missing between those that came */
	/* Sent after the last one of which the server told; answered too late, or by the server's choice not at all. */
	uint64_t unknown;
};
struct losses measure_losses(const struct measure *m);

#endif
