/* shape.h - how busy a thread is to be at each moment, and how much processor time that makes up to then. Pure: time is
 * an argument, counted from the start of the run.
 *
 *	cosine  --      --   triangle   /\    /\   sawtooth   /|  /|  /   square  ---   ---   peak
 *	          \    /               /  \  /  \            / | / | /            |   |   |
 *	           \  /               /    \/    \          /  |/  |/             |   |   |
 *	            --               /            \        /   '   '                  -----    low
 *
 * Cosine and square begin at their peak, triangle and sawtooth at their trough. The integrals are exact but for
 * rounding, so that the mean over any stretch of time is that of the curve and not that of some samples of it. */
#ifndef TCPLAB_DUMMYLOAD_SHAPE_H
#define TCPLAB_DUMMYLOAD_SHAPE_H

#include "cdefs.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum shape_kind { SHAPE_FIXED, SHAPE_COSINE, SHAPE_TRIANGLE, SHAPE_SAWTOOTH, SHAPE_SQUARE, SHAPE_STEPS };

enum {
	SHAPE_LABEL = 32,
	SHAPE_STEPS_MAX = 10000,
	SHAPE_DAYS_MAX =
		100, /* a list of steps may last so long: beyond it a double would not count nanoseconds any more */
	SHAPE_WHY = 96,
};

/* One line of a list. */
struct shape_step {
	uint64_t length_ns;
	double percent;
	char label[SHAPE_LABEL]; /* "": none */

	/* shape.c's own: what was before it. */
	uint64_t begin_ns;
	double before; /* percent times ns */
};

/* All zero is a valid shape: fixed, 0 percent. Owned by whoever embeds it; shape_free releases the steps. */
struct shape {
	enum shape_kind kind;
	double low, peak; /* percent of one processor; with steps the least and the most of the list */
	uint64_t period_ns, phase_ns;

	struct shape_step *steps;
	size_t n_steps, room;
	bool repeats; /* else there is nothing to do after the last step */
};

/* "cosine", or its first letter as in the course: f c t z s, where z is sawtooth and s is square. False: there is no
 * such shape. */
MUST_USE bool shape_parse(const char *text, enum shape_kind *out);
const char *shape_name(enum shape_kind kind);

/* "40", "12.5": 0 to 100. */
MUST_USE bool shape_parse_percent(const char *text, double *out);

/* One line of a list of steps, "DURATION PERCENT [LABEL]", is appended; nothing is for an empty line or a comment (#).
 * A wrong line changes nothing and says why. The line is changed. */
MUST_USE bool shape_add_step(struct shape *s, char *line, char why[static SHAPE_WHY]);
void shape_free(struct shape *s);

/* When a list without repetition is over; CLK_NEVER for everything else. */
uint64_t shape_end_ns(const struct shape *s);

/* At the moment t. */
double shape_percent(const struct shape *s, uint64_t t_ns);
const char *shape_label(const struct shape *s, uint64_t t_ns); /* "": none */

/* The processor time that one thread was to use from the start to t, ns. */
double shape_cpu_ns(const struct shape *s, uint64_t t_ns);

/* The mean over [from, to), percent; at a single moment its value. */
double shape_mean(const struct shape *s, uint64_t from_ns, uint64_t to_ns);

#endif
