/* meter.c - see meter.h. */
#include "meter.h"

static uint64_t growth(uint64_t from, uint64_t to)
{
	return to > from ? to - from : 0;
}

static struct meter_rate rate_between(uint64_t from_ns, uint64_t from_total, uint64_t to_ns, uint64_t to_total)
{
	struct meter_rate r = { .elapsed_ns = growth(from_ns, to_ns), .delta = growth(from_total, to_total) };

	if (r.elapsed_ns > 0)
		r.per_s = (double)r.delta * 1e9 / (double)r.elapsed_ns;
	return r;
}

void meter_start(struct meter *m, uint64_t now_ns, uint64_t total)
{
	*m = (struct meter){ .start_ns = now_ns, .start_total = total, .last_ns = now_ns, .last_total = total };
}

struct meter_rate meter_tick(struct meter *m, uint64_t now_ns, uint64_t total)
{
	struct meter_rate r = rate_between(m->last_ns, m->last_total, now_ns, total);

	m->last_ns = now_ns;
	m->last_total = total;
	return r;
}

struct meter_rate meter_total(const struct meter *m, uint64_t now_ns, uint64_t total)
{
	return rate_between(m->start_ns, m->start_total, now_ns, total);
}
