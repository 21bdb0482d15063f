/* termchart.h - a line chart for a terminal or a log: plain text, no colours, no cursor movement. Layer 1. */
#ifndef TCPLAB_TERMCHART_H
#define TCPLAB_TERMCHART_H

#include "chart.h"

#include <stdio.h>

/* Draw the chart as `height` lines of at most `width` columns. Both are bounded (40..240 by 12..80), and a long
 * legend adds lines rather than squeeze the plot below 4. With utf8 the lines are drawn in Braille dots, 2 by 4 to a
 * character; without, in ASCII.
 *
 * Series are told apart by the marks on their points; where two series meet, the mark of the earlier one wins. A
 * dashed series has no line, only marks; of a band both edges are drawn. Output errors stay with the stream: check ferror(3). */
void termchart_draw(FILE *out, const struct chart *c, unsigned width, unsigned height, bool utf8);

#endif
