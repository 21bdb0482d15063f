/* units.h - sizes, rates and durations as people type and read them. Layer 0.
 *
 *   size      64K 64Ki 64KiB 1M 1G    bytes; K = Ki = 1024. A bare number is bytes.
 *   rate      10mbit 1.5Gbit/s 100MB/s 8k    decimal; a bare number (or k, M, G alone) is bits each second
 *   duration  250ms 1.5s 100us 20ns 2m 1h    a bare number is seconds
 *
 * Parsing takes the whole text or nothing: true and *out set, or false (not a number, unknown suffix, negative, too
 * large for 64 bits). Text is written into the caller's array and returned.
 *
 * LIMIT: the arithmetic is a double's, so sizes and rates above 2^53 are rounded. */
#ifndef TCPLAB_UNITS_H
#define TCPLAB_UNITS_H

#include "cdefs.h"

#include <stdbool.h>
#include <stdint.h>

enum { UNITS_TEXT = 32 };

MUST_USE bool units_parse_count(const char *text, uint64_t *out); /* decimal digits only */
MUST_USE bool units_parse_size(const char *text, uint64_t *out_bytes);
MUST_USE bool units_parse_rate(const char *text, uint64_t *out_Bps);
MUST_USE bool units_parse_duration(const char *text, uint64_t *out_ns);

const char *units_size(char out[static UNITS_TEXT], uint64_t bytes);       /* "64 KiB", "1.50 GiB", "100 B" */
const char *units_size_short(char out[static UNITS_TEXT], uint64_t bytes); /* as typed: "64K", "1M", "100" */
/* As typed, in the largest unit that is exact: "1500us", "10mbit". A rate is less than 2^61 bytes/s. */
const char *units_duration_short(char out[static UNITS_TEXT], uint64_t ns);
const char *units_rate_short(char out[static UNITS_TEXT], uint64_t Bps);

const char *units_rate(char out[static UNITS_TEXT], double bytes_per_s); /* "941 Mbit/s", "43.5 Gbit/s" */
const char *units_duration(char out[static UNITS_TEXT], uint64_t ns);    /* "1.25 ms", "46.0 us", "10.0 s" */

/* For programs: as few digits as read back to the same double, "0.1", "1000000"; with a point whatever the locale.
 * Finite (asserted). */
const char *units_exact(char out[static UNITS_TEXT], double value);

#endif
