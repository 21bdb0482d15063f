/* page.h - between page.c and what it shows: page_html.c, page_metrics.c. */
#ifndef RELAY_PAGE_H
#define RELAY_PAGE_H

#include "relay.h"

enum { RELAY_PAGE_ROWS = 200 /* the most interesting ones, when there are more */, RELAY_TRACE = 60 };

/* What one visitor has seen: so that he is shown rates, and how they have changed. All zero at first. */
struct relay_visit {
	struct relay_view view;
	double rate_Bps[2][RELAY_TRACE]; /* a ring: the latest is at (n_rates - 1) % RELAY_TRACE */
	uint64_t n_rates;
};

void relay_visit_free(struct relay_visit *visit);

/* A document, or only what changes in it. */
void relay_page_html(FILE *out, const struct relay *relay, const struct relay_census *c, struct relay_visit *visit);
void relay_page_main(FILE *out, const struct relay *relay, const struct relay_census *c, struct relay_visit *visit);
extern const char relay_page_icon[]; /* SVG */

/* Prometheus text format, version 0.0.4. Of the census only the sums are used. */
void relay_page_metrics(FILE *out, const struct relay *relay, const struct relay_census *c);

#endif
