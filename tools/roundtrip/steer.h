/* steer.h - what an NTP client would do with these samples, on paper: nobody's clock is touched. Memory only.
 *
 * POLL. A span of the run; a real client sends one question in it, ours chooses the one with the shortest RTT.
 *
 * CLOCK FILTER, at the end of each poll (RFC 5905 10). Of the last STEER_FILTER polls' samples the one counts that
 * says most about the clocks now: rtt / 2, as far as it can be wrong, plus 15 ppm of its age, as far as a clock may
 * have run away since (RFC 5905 PHI). If that is one that has been used before, nothing happens: STEER_NONE. So a
 * sample that waited in a queue is passed over for as long as there is a better one.
 *
 * DISCIPLINE (RFC 5905 11.3). The sample's offset, less what has been steered already:
 *
 *	|rest| > STEER_STEP_NS   set the clock, forget all older samples, leave the frequency alone
 *	else, a PI controller    phase:     half of the rest until the next poll
 *	                         frequency: changes by 1/16 of what would make up for the rest since the last decision
 *
 * With these two (critically damped) the rest shrinks to three quarters with each poll: twenty polls make 1 ms of 50.
 *
 * SIGN. All that is said here is added to the local clock: a positive correction puts it forward, and a positive
 * frequency_ppm makes it faster. A server that gains 50 ppm on us brings frequency_ppm to +50.
 *
 * LIMIT: RFC 5905's loop is made for polls of 64 s and more and takes hours; adjtime(3) slews by 500 ppm only, ours as
 * fast as the controller wants. There is no panic threshold (1000 s), and a step is taken at once instead of after 900
 * s of doubt. */
#ifndef TCPLAB_ROUNDTRIP_STEER_H
#define TCPLAB_ROUNDTRIP_STEER_H

#include "sample.h"

#include <stddef.h>

enum {
	STEER_FILTER = 8,
	STEER_STEP_NS = 128 * 1000 * 1000, /* RFC 5905 STEPT: 0.128 s */
	STEER_MAX_PPM = 500,               /* RFC 5905 MAXFREQ: the frequency correction goes no further */
};

enum steer_action { STEER_NONE /* no new sample */, STEER_STEP, STEER_SLEW };

struct steer_decision {
	enum steer_action action;
	uint64_t at_ns;        /* the end of the poll */
	int64_t offset_ns;     /* of the chosen sample, less what has been steered: how wrong the steered clock is */
	uint64_t rtt_ns;       /* of the chosen sample */
	int64_t correction_ns; /* what would be stepped, or slewed until the next poll; 0: STEER_NONE */
	double frequency_ppm;  /* the frequency correction from now on */
};

/* Begin with steer_init. */
struct steer {
	uint64_t poll_ns, poll_end_ns;
	bool has_best;
	struct sample best; /* of the poll that is going on */
	size_t n_filter;
	struct sample filter[STEER_FILTER]; /* the latest first */
	bool was_used;
	uint64_t used_until_ns; /* samples up to here were acted upon, or are older than one that was */
	int64_t phase_ns;       /* steered so far, at the time phase_at_ns; goes on with frequency_ppm */
	uint64_t phase_at_ns;   /* of the last decision */
	uint64_t acted_at_ns;   /* of the last one that was not STEER_NONE */
	double frequency_ppm;
};

/* poll_ns > 0: a second or so. */
void steer_init(struct steer *s, uint64_t poll_ns);

/* Adds a sample; at_ns does not go back. True: a poll ended before it, and *d says what would be done at that end.
 * Polls without a sample are skipped. */
bool steer_add(struct steer *s, const struct sample *sample, struct steer_decision *d);

#endif
