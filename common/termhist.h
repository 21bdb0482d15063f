/* termhist.h - a histogram as text: a line for each range of values: where it begins, a bar, how many values lie in it, and
 * which share of all lies below its end. Layer 1.
 *
 *	  40.0 us |########                    |  1210  12.100 %
 *	  45.0 us |############################|  4300  55.100 %
 *	  ...
 *
 * A range is a number of cells of the histogram (hist.h), the same for each line, so the ranges are about equal steps
 * of the logarithm and the tail of a latency distribution is seen beside its body. Ranges without any value are left out at
 * both ends and drawn in between. */
#ifndef TCPLAB_TERMHIST_H
#define TCPLAB_TERMHIST_H

#include "hist.h"

#include <stdbool.h>
#include <stdio.h>

/* At most `height` lines (4..60) of at most `width` columns (40..240; numbers of more than 12 digits and durations of months take more). With utf8 the
 * bars have eighths of a character; without, a '.' is less than half a '#'. No bar at all means no value at all. Values are ns.
 * A histogram without a value says "no data". Output errors stay with the stream. */
void termhist_draw(FILE *out, const struct hist *h, unsigned width, unsigned height, bool utf8);

#endif
