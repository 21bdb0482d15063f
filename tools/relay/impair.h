/* impair.h - a bad link on one way of a flow: late, slow, in small pieces, stalled, cut, or wrong. Memory only: time is an
 * argument, chance is a seed.
 *
 *	bytes come --> impair_arrive: when is each due? is one to be wrong? --> the pump's queue --> impair_pass: how many may go?
 *	                                                                                                 impair_left: they went
 *
 * What a stream can show of a bad link is when its bytes come and how it ends. Nothing overtakes, and nothing is lost in the
 * middle: TCP would have repaired it (for packets there is linkem). One thing breaks that rule: what comes while there is a black
 * hole is lost for good.
 *
 * RATE  is a transmitter: a byte begins to leave when it is due and the one before it is through, and takes 1/rate. What is through
 *   is sent in pieces of IMPAIR_PIECE_NS, so 1 kB/s is 5 bytes every 5 ms, not 1000 each second. Nothing is rounded: after an
 *   hour not a byte is missing. Who asks late gets what should have gone meanwhile, but never more than IMPAIR_LATE_NS of it: a
 *   timer that fires late costs nothing, and a sink that was full for a minute is not flooded afterwards. Over any time, then:
 *   at most rate x (time + IMPAIR_LATE_NS) and a piece; if asked on time, rate x time and a piece.
 * ORDER  A byte is never due before the one that came before it. With a jitter that is larger than the time between two pieces
 *   most of them therefore wait for a late one, and the average delay is nearer to delay + jitter than to delay.
 *
 * LIMIT: 16 bytes for each piece that waits for its time. The pump's high mark bounds them, and with it delay x throughput. */
#ifndef RELAY_IMPAIR_H
#define RELAY_IMPAIR_H

#include "pump.h"
#include "vocab.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum impair_cut { IMPAIR_NO_CUT, IMPAIR_CUT_FIN, IMPAIR_CUT_RST };

#define IMPAIR_NEVER UINT64_MAX /* a place in the stream that does not come */

enum {
	IMPAIR_PIECE_NS = 5 * 1000 * 1000, /* how much a rate sends at once, but ... */
	IMPAIR_PIECE_MAX = 64 * 1024,      /* ... not more than so many bytes, and not less than one */
	IMPAIR_LATE_NS = 100 * 1000 * 1000,
	IMPAIR_TEXT = 256,
	IMPAIR_WHY = VOCAB_WHY,
};

/* For one way. impair_default() is a link on which nothing happens. Places are offsets in the stream of this way: 0 is the
 * first byte. */
struct impair_spec {
	uint64_t delay_ns,
		jitter_ns; /* a byte that came at t leaves at t + delay +- jitter, evenly spread, never before t */
	uint64_t rate_Bps; /* 0: no limit */
	uint64_t
		chunk; /* the most that is sent at once; 0: no limit. Each is a segment of its own if TCP can help it */
	uint64_t stall_at;   /* the bytes before this place go, and nothing after them, until it is changed */
	uint64_t cut_at;     /* the bytes before this place go, and then the flow ends, like this: */
	enum impair_cut cut; /* IMPAIR_NO_CUT if, and only if, cut_at is IMPAIR_NEVER */
	uint64_t corrupt_at; /* the byte at this place has all its bits turned over */
	bool blackhole;      /* everything is received and nothing is sent, not even the end */
	uint64_t seed;       /* of the jitter */
};

struct impair_spec impair_default(void);
bool impair_is_nothing(const struct impair_spec *s); /* but for the seed */

/* Changes in *s what `text` names and nothing else; words are separated by commas or blanks:
 *
 *	delay=D jitter=D rate=R|none chunk=SIZE|off stall-at=N|off cut-at=N[:fin|rst]|off corrupt-at=N|off blackhole no-blackhole
 *	seed=N clear
 *
 * D, R, SIZE (and N, which is a size) as in units.h; cut-at without a kind is a reset. `clear`, which comes first, takes all back
 * but the seed. False with a line for people in `why` when it is wrong, says nothing, or says a thing twice; *s is as before
 * then. */
MUST_USE bool impair_apply(struct impair_spec *s, const char *text, char why[static IMPAIR_WHY]);

/* The shortest text that makes *s out of impair_default(); "clear" when it is that. */
const char *impair_text(char out[static IMPAIR_TEXT], const struct impair_spec *s);

struct impair; /* the state of one way of one flow */

/* The caller's, until impair_free.
 * number: of the flow and way, so that not all have the same luck.
 * came: how many bytes of the stream have come before: the next byte to arrive has this place. Places below it do not come.
 * ahead: how many bytes wait at the moment; they are due now. They may be the stream's own, or something put in front of it,
 * which has no place (a PROXY head). */
MUST_USE struct impair *impair_new(const struct impair_spec *s, uint64_t number, uint64_t came, size_t ahead,
				   uint64_t now_ns);
void impair_free(struct impair *m); /* or NULL */

/* From now on. What is under way keeps the time it was given; a black hole, rate, chunk, stall and cut concern what leaves. A
 * place that has gone by does not come any more; for corrupt_at that is when the byte has come, for the others when it has gone. */
void impair_change(struct impair *m, const struct impair_spec *s, uint64_t now_ns);

/* n bytes came in (n 0: the end of this way); one of them may be changed. In all calls: now_ns never goes back. */
void impair_arrive(struct impair *m, unsigned char *bytes, size_t n, uint64_t now_ns);

/* What may happen to the `waiting` bytes that have come and not gone. The caller does it, as far as the sink takes it, tells
 * impair_left, and asks again. An end that impair_arrive was not told of (a reset) may pass as soon as everything has gone. */
struct pump_pass impair_pass(const struct impair *m, size_t waiting, uint64_t now_ns);

/* So many bytes were sent, or dropped, just now. */
void impair_left(struct impair *m, size_t n, uint64_t now_ns);

#endif
