/* report.h - what was asked for and what came of it, as text or JSON. */
#ifndef TCPLAB_DUMMYLOAD_REPORT_H
#define TCPLAB_DUMMYLOAD_REPORT_H

#include "dummyload.h"

/* The state of the run at a moment; all are sums since the start. What lies between two of them is an interval. */
struct sample {
	uint64_t at_ns; /* since the start */
	double target_cpu_ns;
	uint64_t cpu_ns, waited_ns;
	double asked[SIDE_KINDS], count[SIDE_KINDS];
};

/* Over all intervals but a last one that was cut short: of a few milliseconds a slice decides. */
struct errors {
	unsigned n;
	uint64_t elapsed_ns;
	double missed_ns; /* the sum of the differences, whichever way, of processor time */
	double worst;     /* percent of one processor */
};

void report_load_start(const struct run *run);
void report_load_interval(const struct run *run, const struct sample *from, const struct sample *to);
void report_load_total(const struct run *run, const struct sample *from, const struct sample *to,
		       const struct errors *errors, bool was_interrupted);

/* --target: the same start and intervals without a run. */
void report_load_plan(const struct options *o);

/* Percent of one processor. */
double report_load_percent(double cpu_ns, uint64_t elapsed_ns);

#endif
