/* svg.h - line charts as one self-contained SVG file: no script, no font, no other file. Layer 1.
 *
 * It brings its own background, light or dark as the viewer prefers, and tells series apart by colours that the
 * colour-blind can distinguish and by the shape of the points. The same chart gives the same bytes on every run, so
 * that a test can compare. */
#ifndef TCPLAB_SVG_H
#define TCPLAB_SVG_H

#include "chart.h"

#include <stdio.h>

/* Draw the chart as an SVG document (UTF-8, 720 units wide, about 430 high, more if the legend needs it). The text of
 * the chart is escaped, never interpreted. A chart without any point says "no data". Output errors stay with the
 * stream: check ferror(3). LIMIT: text that is not valid UTF-8 makes a file that viewers refuse. */
void svg_chart(FILE *out, const struct chart *c);

/* The same with several charts (at least one) under each other in one document, their y axes one below the other. */
void svg_charts(FILE *out, const struct chart *const charts[], size_t n);

/* A series with many more points than the plot is wide is drawn by the least and the greatest of them in each unit
 * of its width: no spike is lost, and the picture is not larger than it needs to be. */

/* ---- In a page. ---- */

/* The chart as an <svg class="chart"> element for an HTML page: it has no style sheet of its own and no id, so that
 * there may be several, and it is as wide as the page lets it be. Made for a chart that says its width and height:
 * text is 12 units high. Its looks come from svg_inline_style, which the page writes once into its <style>
 * (html_begin does). */
void svg_inline(FILE *out, const struct chart *c);
void svg_inline_style(FILE *out);

/* ---- For other pictures (heatmap.c). ---- */

/* The beginning of a document of this size, with its title (NULL: none) for those who read it aloud. The caller goes
 * on with <style>, and ends it with </svg>. */
void svg_open(FILE *out, double width, double height, const char *title);

/* Text as XML: what has a meaning there is escaped, control characters become blanks. */
void svg_escape(FILE *out, const char *text);

#endif
