/* heatmap.h - a matrix of numbers as coloured cells, into an SVG file or a terminal: who to whom, and how much. Layer 1.
 *
 *	static const char *const hosts[] = { "pc1", "pc2" };
 *	static const double rate[] = { NAN, 941, 938, NAN };
 *	const struct heatmap map = { .title = "Mbit/s", .rows = hosts, .n_rows = 2, .columns = hosts, .n_columns = 2,
 *		.value = rate };
 *	heatmap_svg(file, "From the host at the left to the host above", &map, 1);
 *
 * The number stands in each cell, and the colour is the same number again: a hue that grows stronger, from 0 (or the least, if
 * that is below 0) to the greatest; on a logarithmic scale from the least when the greatest is 20 times as much or more. So hosts
 * that are nearly alike look alike. Everything is borrowed; text is UTF-8, one line, NULL is none. */
#ifndef TCPLAB_HEATMAP_H
#define TCPLAB_HEATMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* value[r * n_columns + c] belongs to rows[r] and columns[c]. NaN or infinite: an empty cell. */
struct heatmap {
	const char *title;
	const char *const *rows, *const *columns;
	size_t n_rows, n_columns;
	const double *value;
};

/* Draw the maps below one another as one SVG document that brings its own background, light or dark as the viewer prefers. The
 * same maps give the same bytes. Output errors stay with the stream: check ferror(3). */
void heatmap_svg(FILE *out, const char *title, const struct heatmap *maps, size_t n);

/* The map as lines of text: columns are as wide as they have to be. With utf8 each number has its shade in front of it. */
void heatmap_print(FILE *out, const struct heatmap *map, bool utf8);

/* ---- For those who draw: the scale. ---- */

enum { HEATMAP_LABEL_SIZE = 24 };

struct heatmap_scale {
	double lo, hi; /* lo <= hi */
	bool log;
	bool empty; /* no number at all; lo and hi are 0 */
};

struct heatmap_scale heatmap_scale(const struct heatmap *map);

/* 0 at lo, 1 at hi; 1 also when they are the same. NaN for an empty cell. */
double heatmap_place(const struct heatmap_scale *s, double v);

/* Three significant digits, and every digit before the point: 0.0123, 9.41, 941, 12345; beyond a million 1.23e+06. "" for an empty
 * cell. Written to `out` and returned. */
const char *heatmap_label(double v, char out[static HEATMAP_LABEL_SIZE]);

#endif
