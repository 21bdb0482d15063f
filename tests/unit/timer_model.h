/* timer_model.h - a queue of timers against a list that is searched from end to end: random calls, random callbacks, jumps in
 * time from a nanosecond to years. The same for both kinds; what each promises is in `tick_ns`.
 *
 * All randomness comes from prng_word(seed, 0, 1, 2 ...), so a failure comes back with its seed. */
#ifndef TCPLAB_TIMER_MODEL_H
#define TCPLAB_TIMER_MODEL_H

#include "check.h"
#include "clock.h"
#include "prng.h"
#include "timer.h"

#include <stdlib.h>

enum { MODEL_TIMERS = 60 };

struct model_timer {
	struct timer t; /* first: a callback gets its address */
	bool armed;
	bool passed; /* its deadline had passed when it was armed */
	uint64_t deadline_ns;
	uint64_t order; /* of arming */
};

static struct model {
	const struct timer_kind *kind;
	void *q;
	uint64_t tick_ns; /* 1: fires on time and in exact order; otherwise up to a tick late, and in order of ticks */
	uint64_t seed, drawn;
	uint64_t now_ns, orders;
	bool running;
	uint64_t run_order; /* what was armed from here on waits for the next run */
	unsigned fired;
	bool bad; /* a check failed: the rest would only be noise */
	struct model_timer timers[MODEL_TIMERS];
} model;

#define MODEL_CHECK(cond) (model.bad = !CHECK(cond) || model.bad)

static uint64_t model_draw(void)
{
	return prng_word(model.seed, model.drawn++);
}

static uint64_t model_below(uint64_t n)
{
	return model_draw() % n;
}

/* Any magnitude is as likely as any other: up to 2^max_bits ns (57: 4.5 years). */
static uint64_t model_duration(unsigned max_bits)
{
	uint64_t bits = model_below(max_bits);
	return model_draw() >> (63 - bits);
}

/* The time at which the promise is due: the deadline itself, or the end of its tick. CLK_NEVER when time ends before. */
static uint64_t model_due_ns(const struct model_timer *m)
{
	uint64_t late = (model.tick_ns - m->deadline_ns % model.tick_ns) % model.tick_ns;
	return m->passed ? m->deadline_ns : m->deadline_ns > CLK_NEVER - late ? CLK_NEVER : m->deadline_ns + late;
}

static bool model_is_due(const struct model_timer *m)
{
	return m->armed && m->order < model.run_order && model_due_ns(m) <= model.now_ns;
}

/* Must a fire before b? */
static bool model_is_before(const struct model_timer *a, const struct model_timer *b)
{
	if (model.tick_ns > 1)
		return a->passed ? !b->passed : !b->passed && model_due_ns(a) < model_due_ns(b);
	return a->deadline_ns < b->deadline_ns || (a->deadline_ns == b->deadline_ns && a->order < b->order);
}

/* --- the calls ---------------------------------------------------------------------------------------------------- */

static void model_fire(struct timer *t);

static uint64_t model_some_deadline(void)
{
	uint64_t now = model.now_ns, delay = model_duration(57), edge;
	switch (model_below(8)) {
	case 0:
		return now - (delay < now ? delay : now);
	case 1:
		return now;
	case 2: /* close to another one's, or the same */
		return model.timers[model_below(MODEL_TIMERS)].deadline_ns + model_below(3);
	case 3: /* on the edge of a tick, which is the edge of a slot sometimes */
		edge = model.tick_ns << 6 * model_below(4);
		return (now + delay) / edge * edge;
	case 4:
		return model_below(50) == 0 ? CLK_NEVER - model_below(3) : now + model_duration(24);
	default:
		return delay < CLK_NEVER - now ? now + delay : CLK_NEVER;
	}
}

static void model_start(struct model_timer *m)
{
	uint64_t deadline_ns = model_some_deadline();
	model.kind->start(model.q, &m->t, deadline_ns, model_fire);
	m->armed = true;
	m->passed = deadline_ns <= model.now_ns;
	m->order = model.orders++;
	if (m->passed && model.running && model.tick_ns == 1)
		deadline_ns = model.now_ns + 1; /* timerq.h */
	m->deadline_ns = deadline_ns;
	MODEL_CHECK(timer_is_armed(&m->t));
	MODEL_CHECK(m->t.deadline_ns == m->deadline_ns);
}

static void model_stop(struct model_timer *m)
{
	model.kind->stop(model.q, &m->t);
	m->armed = false;
	MODEL_CHECK(!timer_is_armed(&m->t));
}

/* The one that fired must be due, and nobody else's turn; then it does what callbacks do, to itself and to others. */
static void model_fire(struct timer *t)
{
	struct model_timer *me = (struct model_timer *)t;
	model.fired++;
	MODEL_CHECK(model.running && model_is_due(me) && me->deadline_ns <= model.now_ns);
	MODEL_CHECK(!timer_is_armed(t));
	for (unsigned i = 0; i < MODEL_TIMERS; i++) {
		struct model_timer *other = &model.timers[i];
		if (other != me && model_is_due(other))
			MODEL_CHECK(!model_is_before(other, me));
	}
	me->armed = false;
	for (uint64_t n = model_below(3); n > 0; n--) {
		struct model_timer *some = model_below(3) == 0 ? me : &model.timers[model_below(MODEL_TIMERS)];
		if (model_below(3) == 0)
			model_stop(some);
		else
			model_start(some);
	}
}

/* To the time at which the queue wants to run, or by a jump, or not at all. */
static void model_run(void)
{
	uint64_t next_ns = model.kind->next_ns(model.q), jump_ns = model_duration(57);
	uint64_t how = model_below(4);
	if (how < 2 && next_ns > model.now_ns && next_ns != CLK_NEVER)
		model.now_ns = next_ns;
	else if (how == 2 && jump_ns < CLK_NEVER - model.now_ns)
		model.now_ns += jump_ns;

	model.running = true;
	model.run_order = model.orders;
	model.fired = 0;
	unsigned fired = model.kind->run(model.q, model.now_ns);
	MODEL_CHECK(fired == model.fired);
	for (unsigned i = 0; i < MODEL_TIMERS; i++)
		MODEL_CHECK(!model_is_due(&model.timers[i]));
	model.running = false;
	model.run_order = UINT64_MAX;
}

/* --- what holds between the calls --------------------------------------------------------------------------------- */

static void model_check_next(void)
{
	uint64_t first_ns = CLK_NEVER, next_ns = model.kind->next_ns(model.q);
	bool any = false, any_passed = false;
	for (unsigned i = 0; i < MODEL_TIMERS; i++) {
		const struct model_timer *m = &model.timers[i];
		if (m->armed && model_due_ns(m) < first_ns)
			first_ns = model_due_ns(m);
		any = any || m->armed;
		any_passed = any_passed || (m->armed && m->passed);
	}
	MODEL_CHECK(next_ns <= first_ns || (any_passed && next_ns <= model.now_ns));
	if (model.tick_ns == 1 || !any)
		MODEL_CHECK(next_ns == first_ns);
	else if (!any_passed) /* otherwise a loop that asks after each run would spin */
		MODEL_CHECK(next_ns > model.now_ns);
}

/* One queue from open to close. */
static void model_live(uint64_t begin_ns, unsigned steps)
{
	model.now_ns = begin_ns;
	model.run_order = UINT64_MAX;
	model.q = model.kind->open(begin_ns);
	for (unsigned i = 0; i < steps && !model.bad; i++) {
		struct model_timer *some = &model.timers[model_below(MODEL_TIMERS)];
		uint64_t what = model_below(16);
		if (what < 8)
			model_start(some);
		else if (what < 11)
			model_stop(some);
		else
			model_run();
		if (!model.bad)
			model_check_next();
	}
	if (model.bad) /* the queue may be broken: do not touch it any more */
		return;
	for (unsigned i = 0; i < MODEL_TIMERS; i++)
		model_stop(&model.timers[i]);
	MODEL_CHECK(model.kind->next_ns(model.q) == CLK_NEVER);
	model.kind->close(model.q);
}

/* Many lives that begin anywhere in the 584 years that a clock can show, the last second of them included. */
static void model_test(const struct timer_kind *kind, uint64_t tick_ns, unsigned lives, unsigned steps)
{
	for (unsigned life = 0; life < lives && !model.bad; life++) {
		model = (struct model){ .kind = kind, .tick_ns = tick_ns, .seed = life };
		uint64_t at = model_duration(63);
		model_live(life % 4 == 0 ? CLK_NEVER - 1 - (at >> 20) : at, steps);
		if (model.bad)
			fprintf(stderr, "    %s, seed %u, %" PRIu64 " numbers drawn\n", kind->name, life, model.drawn);
	}
}

#endif
