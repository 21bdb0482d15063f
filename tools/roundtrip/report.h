/* report.h - what the chapters of the report share: one struct of figures feeds the text and the JSON, so that they
 * cannot disagree. Where a figure is not known it is NAN, or the flag beside it is false; nobody prints a 0 for it. */
#ifndef TCPLAB_ROUNDTRIP_REPORT_H
#define TCPLAB_ROUNDTRIP_REPORT_H

#include "clockfit.h"
#include "datagram.h"
#include "roundtrip.h"

struct figures {
	const struct measure *m;
	uint64_t received; /* answers that count */
	struct losses losses;
	struct clockfit fit, kernel_fit; /* by the programs' stamps, by the kernels' */
	double rtt_jitter_ns, up_jitter_ns, down_jitter_ns;
	bool is_absolute; /* both clocks are synchronised, so one way is a duration, +- one_way_error_ns */
	uint64_t one_way_error_ns;
	bool is_refuted; /* they say they are, but then a way would take less than nothing */
};

struct figures roundtrip_figures(const struct measure *m);

/* Without one there is nothing to correct: the next question is sent when the answer to this one is there. */
static inline bool roundtrip_has_schedule(const struct report_about *a)
{
	return a->o->interval_ns > 0 && !a->o->naive;
}

/* What an NTP server says that its own clock may be off by (RFC 5905 11.2, root distance), if it is synchronised at
 * all. */
static inline bool roundtrip_is_synchronised(const struct ntp *ntp)
{
	return ntp->leap != 3 && ntp->stratum < 16;
}

static inline uint64_t roundtrip_root_distance_ns(const struct ntp *ntp)
{
	return ntp->root_delay_ns / 2 + ntp->root_dispersion_ns;
}

/* Is there anything to say of each way? That a single answer is not above itself is none. */
static inline bool roundtrip_has_ways(const struct figures *f)
{
	return f->m->up_excess.n > (f->is_absolute ? 0 : 1);
}

/* report_text.c, report_json.c: the report of the end. */
void roundtrip_text_total(const struct report_about *a, const struct figures *f);
void roundtrip_json_total(const struct report_about *a, const struct figures *f);

/* What both use for intervals: a member with a figure, or null. */
struct json;
void roundtrip_json_clock(struct json *j, const struct clockfit *fit);
void roundtrip_json_hist(struct json *j, const char *name, const char *suffix, const struct hist *h, bool is_known);

/* report_text.c: "+12.3 +- 10.1 ms", both with the digits that the bound makes sense of. */
enum { BOUNDED_TEXT = 96 };
const char *roundtrip_text_bounded(char out[static BOUNDED_TEXT], int64_t ns, uint64_t bound_ns);
const char *roundtrip_text_drift(char out[static BOUNDED_TEXT], double ppm, double bound_ppm);

/* report_svg.c, report_csv.c: false when the file could not be written, which has been said. */
bool roundtrip_svg_write(const struct report_about *a, const struct figures *f);
bool roundtrip_csv_close(void); /* true if none is open */

#endif
