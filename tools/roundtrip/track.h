/* track.h - numbers that should come one after the other: which of them came, came again, came late, never came.
 * Memory only.
 *
 * The server keeps one for the questions of each client, the client one for the server's answers and one for the whole
 * round trip: that is how a loss has a direction.
 *
 * A number is told from a copy of it as long as it is among the last TRACK_WINDOW ones; an older one counts as
 * `too_old`, and as received by nobody. */
#ifndef TCPLAB_ROUNDTRIP_TRACK_H
#define TCPLAB_ROUNDTRIP_TRACK_H

#include <stdbool.h>
#include <stdint.h>

enum { TRACK_WINDOW = 4096 };

/* All zero: nothing came yet. Read the counters freely. */
struct track {
	uint64_t next;       /* one more than the highest number that came; 0: none came */
	uint64_t received;   /* different numbers */
	uint64_t duplicated; /* came again */
	uint64_t reordered;  /* came for the first time, but after a higher one (RFC 4737 3) */
	uint64_t too_old;
	uint64_t seen[TRACK_WINDOW / 64];
};

enum track_result { TRACK_NEW, TRACK_LATE /* new, too, but reordered */, TRACK_DUPLICATE, TRACK_TOO_OLD };

/* Counts a number. From 0 on; UINT64_MAX is too old always. */
enum track_result track_see(struct track *t, uint64_t number);

/* What track_see would say; counts nothing. */
enum track_result track_ask(const struct track *t, uint64_t number);

/* How many of 0 .. next - 1 are missing. */
uint64_t track_missing(const struct track *t);

#endif
