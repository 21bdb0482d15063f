/* meter.h - rates of a growing counter: bytes per second in the last interval and since the start. Layer 1.
 *
 * Time is an argument, so that a meter can be tested without waiting. Take it from a monotonic clock.
 * A counter that went back (the process behind it restarted) or a clock that did shows as 0, never as a huge number. */
#ifndef TCPLAB_METER_H
#define TCPLAB_METER_H

#include <stdint.h>

/* Owned by whoever embeds it; only the functions below touch the fields. */
struct meter {
	uint64_t start_ns, start_total;
	uint64_t last_ns, last_total;
};

/* What happened in an interval. */
struct meter_rate {
	uint64_t elapsed_ns;
	uint64_t delta; /* growth of the counter, in its own unit */
	double per_s;   /* delta per second; 0 when no time passed */
};

/* Start measuring: the counter stands at `total` now. */
void meter_start(struct meter *m, uint64_t now_ns, uint64_t total);

/* What happened since the last tick (the first time: since the start); the next interval begins now. */
struct meter_rate meter_tick(struct meter *m, uint64_t now_ns, uint64_t total);

/* What happened since the start. Any time, does not disturb the ticks. */
struct meter_rate meter_total(const struct meter *m, uint64_t now_ns, uint64_t total);

#endif
