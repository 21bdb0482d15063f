/* report.h - the counters of a run, for people and as records. */
#ifndef TCPLAB_LINKEM_REPORT_H
#define TCPLAB_LINKEM_REPORT_H

#include "lane.h"
#include "linkem.h"

#include <stdio.h>

struct lane_counters {
	struct spec spec;
	struct lane_stats stats;
	uint64_t limit_len;    /* of the queue; 0: there is none */
	uint64_t device_drops; /* packets lost on the way into the emulator, or out of it */
};

struct counters {
	uint64_t start_ns, now_ns; /* monotonic */
	unsigned n;
	struct lane_counters lanes[LINKEM_LANES];
};

/* Where the hosts are and how the link is: once, when it stands. */
void linkem_report_ready(const struct linkem_options *o, bool is_tun, bool has_ipv6);

/* Everything since the start: a paragraph for each direction, or a `total` record. */
void linkem_report_total(FILE *out, const struct counters *c, bool json);

/* What happened since `before`: a line, or an `interval` record. */
void linkem_report_interval(FILE *out, const struct counters *c, const struct counters *before, bool json);

#endif
