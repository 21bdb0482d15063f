/* metrics.h - figures in the text format that Prometheus reads, version 0.0.4 (HTTP_METRICS in httpd.h is its type).
 * Layer 1.
 *
 *	struct metrics m;
 *	metrics_begin(&m, out, "tcprelay");
 *	metrics_head(&m, "bytes_total", METRICS_COUNTER, "Bytes delivered to the server (up), to the client (down).");
 *	metrics_u64(&m, 4096, "way", "up", NULL);
 *	metrics_u64(&m, 12, "way", "down", NULL);
 *
 *	# HELP tcprelay_bytes_total Bytes delivered to the server (up), to the client (down).
 *	# TYPE tcprelay_bytes_total counter
 *	tcprelay_bytes_total{way="up"} 4096
 *	tcprelay_bytes_total{way="down"} 12
 *
 * The values of a metric follow its head, so that they stand together as the format demands. Names are the program's
 * own: letters, digits and _ (asserted). Values of labels are anybody's: they are escaped, and a control character,
 * which a terminal might obey, or a byte that is no UTF-8 becomes U+FFFD. LIMIT: no histograms, no time stamps.
 *
 * Units are base units and in the name: _seconds, _bytes; what only grows ends with _total. */
#ifndef TCPLAB_METRICS_H
#define TCPLAB_METRICS_H

#include <stdint.h>
#include <stdio.h>

enum metrics_type { METRICS_COUNTER, METRICS_GAUGE };

/* Owned by the caller, usually on the stack; only the functions below touch the fields. */
struct metrics {
	FILE *out;                 /* borrowed */
	const char *prefix, *name; /* borrowed: prefix always, name until the next head */
};

void metrics_begin(struct metrics *m, FILE *out, const char *prefix);

/* Each metric once. help: a sentence. */
void metrics_head(struct metrics *m, const char *name, enum metrics_type type, const char *help);

/* A value of it; then its labels, name and value in turn, and NULL. Each set of labels once. */
void metrics_u64(const struct metrics *m, uint64_t value, ...) __attribute__((sentinel));

/* Written with as few digits as read back to the same double; NaN, +Inf, -Inf as the format has them. */
void metrics_f64(const struct metrics *m, double value, ...) __attribute__((sentinel));

#endif
