/* steer.c - clock filter and discipline of an NTP client, on paper. See steer.h. */
#include "steer.h"

#include <assert.h>
#include <math.h>
#include <string.h>

static const double PHI_PPM = 15; /* RFC 5905 PHI: as much as a clock may run away */

/* Critically damped: INTEGRAL = PROPORTIONAL^2 / 4, so that it neither swings nor creeps. */
static const double PROPORTIONAL = 0.5, INTEGRAL = 0.0625;

void steer_init(struct steer *s, uint64_t poll_ns)
{
	assert(poll_ns > 0);
	*s = (struct steer){ .poll_ns = poll_ns };
}

/* --- clock filter ------------------------------------------------------------------------------------------------- */

static void push(struct steer *s)
{
	memmove(s->filter + 1, s->filter, (STEER_FILTER - 1) * sizeof(s->filter[0]));
	s->filter[0] = s->best;
	if (s->n_filter < STEER_FILTER)
		s->n_filter++;
	s->has_best = false;
}

/* How far the sample may be off at the time now_ns; the clocks' resolution is the same for all of them. */
static double doubt_ns(const struct sample *sample, uint64_t now_ns)
{
	return (double)sample->rtt_ns / 2 + (double)(now_ns - sample->at_ns) * PHI_PPM / 1e6;
}

/* NULL: the best one has been used. */
static const struct sample *choose(const struct steer *s, uint64_t now_ns)
{
	const struct sample *best = &s->filter[0];
	for (size_t i = 1; i < s->n_filter; i++)
		if (doubt_ns(&s->filter[i], now_ns) < doubt_ns(best, now_ns))
			best = &s->filter[i];
	return s->was_used && best->at_ns <= s->used_until_ns ? NULL : best;
}

/* --- discipline --------------------------------------------------------------------------------------------------- */

/* What `ppm` makes in a span. 1 ppm of 1 ns is 1e-6 ns. */
static int64_t drift_ns(double ppm, uint64_t span_ns)
{
	return ns_from_double(ppm * (double)span_ns / 1e6);
}

/* The steered clock's error now, by a sample of a while ago, since when the server's clock has gone on gaining. */
static int64_t rest_ns(const struct steer *s, const struct sample *sample, uint64_t now_ns)
{
	int64_t gained_ns = drift_ns(s->frequency_ppm, now_ns - sample->at_ns);
	return ns_minus(ns_plus(sample->offset_ns, gained_ns), s->phase_ns);
}

static void step(struct steer *s, struct steer_decision *d)
{
	d->action = STEER_STEP;
	d->correction_ns = d->offset_ns;
	s->n_filter = 0; /* the older ones tell about a clock that is no more */
}

static void slew(struct steer *s, struct steer_decision *d)
{
	uint64_t since_ns = s->was_used ? d->at_ns - s->acted_at_ns : s->poll_ns;

	d->action = STEER_SLEW;
	d->correction_ns = ns_from_double(PROPORTIONAL * (double)d->offset_ns);
	double change_ppm = INTEGRAL * (double)d->offset_ns / (double)since_ns * 1e6;
	s->frequency_ppm = fmin(fmax(s->frequency_ppm + change_ppm, -STEER_MAX_PPM), STEER_MAX_PPM);
}

static void discipline(struct steer *s, const struct sample *sample, struct steer_decision *d)
{
	d->rtt_ns = sample->rtt_ns;
	d->offset_ns = rest_ns(s, sample, d->at_ns);
	s->used_until_ns = sample->at_ns;
	if (d->offset_ns > STEER_STEP_NS || d->offset_ns < -STEER_STEP_NS)
		step(s, d);
	else
		slew(s, d);
	s->phase_ns = ns_plus(s->phase_ns, d->correction_ns);
	s->was_used = true;
	s->acted_at_ns = d->at_ns;
}

static void decide(struct steer *s, struct steer_decision *d)
{
	*d = (struct steer_decision){ .action = STEER_NONE, .at_ns = s->poll_end_ns };
	s->phase_ns = ns_plus(s->phase_ns, drift_ns(s->frequency_ppm, d->at_ns - s->phase_at_ns));
	s->phase_at_ns = d->at_ns;

	const struct sample *sample = choose(s, d->at_ns);
	if (sample != NULL)
		discipline(s, sample, d);
	d->frequency_ppm = s->frequency_ppm;
}

bool steer_add(struct steer *s, const struct sample *sample, struct steer_decision *d)
{
	bool has_ended = s->has_best && sample->at_ns >= s->poll_end_ns;
	if (has_ended) {
		push(s);
		decide(s, d);
	}
	if (!s->has_best || sample->rtt_ns < s->best.rtt_ns)
		s->best = *sample;
	if (!s->has_best)
		s->poll_end_ns = (sample->at_ns / s->poll_ns + 1) * s->poll_ns;
	s->has_best = true;
	return has_ended;
}
