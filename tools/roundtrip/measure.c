/* measure.c - from the stamps of an exchange to a sample, and from samples to everything that is reported. See
 * measure.h.
 *
 * Half of the stamps are a stranger's. None of them can make a figure undefined: differences stop at the ends of
 * int64_t (ns_minus), and what cannot be is not believed. */
#include "measure.h"

const char *const stage_names[STAGES] = {
	[STAGE_ASK_QUEUE] = "ask_queue",
	[STAGE_ASK_DEVICE] = "ask_device",
	[STAGE_WIRE] = "wire",
	[STAGE_SERVER_WAKE] = "server_wake",
	[STAGE_SERVER_WORK] = "server_work",
	[STAGE_ANSWER_QUEUE] = "answer_queue",
	[STAGE_ANSWER_DEVICE] = "answer_device",
	[STAGE_WAKE] = "wake",
	[STAGE_WIRE_HARDWARE] = "wire_hardware",
};

/* --- samples ------------------------------------------------------------------------------------------------------ */

static uint64_t span(uint64_t from_ns, uint64_t to_ns)
{
	return to_ns > from_ns ? to_ns - from_ns : 0;
}

/* From question to answer, by the clock that nobody sets. Nothing else of the exchange can take longer. */
static uint64_t elapsed_of(const struct exchange *x)
{
	return span(x->sent_ns, x->received_ns);
}

/* (a + b) / 2, off by half a nanosecond at most, where a + b may be too large for 64 bits. */
static int64_t mean(int64_t a, int64_t b)
{
	return a / 2 + b / 2 + (a % 2 + b % 2) / 2;
}

/* `all_ns` lie between the stamps 1 and 4. */
static struct sample sample_from(const struct exchange *x, const int64_t stamp[4], uint64_t all_ns)
{
	int64_t up_ns = ns_minus(stamp[1], stamp[0]), down_ns = ns_minus(stamp[3], stamp[2]);
	int64_t dwell_ns = ns_minus(stamp[2], stamp[1]);
	bool is_credible = dwell_ns >= 0 && (uint64_t)dwell_ns <= all_ns;
	uint64_t rtt_ns = is_credible ? all_ns - (uint64_t)dwell_ns : all_ns;

	return (struct sample){
		.at_ns = x->received_ns,
		.rtt_ns = rtt_ns,
		.corrected_ns = rtt_ns + span(x->intended_ns, x->sent_ns),
		.offset_ns = mean(up_ns, ns_minus(stamp[2], stamp[3])),
		.up_ns = up_ns,
		.down_ns = down_ns,
		.resolution_ns = x->resolution_ns,
	};
}

struct sample sample_of(const struct exchange *x)
{
	return sample_from(x, (const int64_t[]){ x->t1, x->t2, x->t3, x->t4 }, elapsed_of(x));
}

bool sample_of_kernels(const struct exchange *x, struct sample *out)
{
	if (x->k1_sent == 0 || x->k2 == 0 || x->k3_sent == 0 || x->k4 == 0)
		return false;

	int64_t all_ns = ns_minus(x->k4, x->k1_sent);
	if (all_ns < 0 || (uint64_t)all_ns > elapsed_of(x))
		return false;
	*out = sample_from(x, (const int64_t[]){ x->k1_sent, x->k2, x->k3_sent, x->k4 }, (uint64_t)all_ns);
	return true;
}

/* --- answers ------------------------------------------------------------------------------------------------------ */

/* A difference of int64_t fits into uint64_t, always. */
static uint64_t above(int64_t v, int64_t floor)
{
	return (uint64_t)v - (uint64_t)floor;
}

static double distance(int64_t a, int64_t b)
{
	return (double)(a > b ? above(a, b) : above(b, a));
}

/* One way: only how much longer than the shortest is known. A shorter one than all makes all before it longer. */
static void add_way(struct hist *excess, int64_t *min_ns, int64_t way_ns)
{
	if (excess->n == 0)
		*min_ns = way_ns;
	if (way_ns < *min_ns) {
		hist_move(excess, above(*min_ns, way_ns));
		*min_ns = way_ns;
	}
	hist_add(excess, above(way_ns, *min_ns));
}

/* RFC 3393: how much a delay differs from the one before it. */
static void add_jitter(struct measure *m, const struct sample *s)
{
	if (m->rtt.n > 0) {
		m->n_jitter++;
		m->rtt_jitter_ns += (double)(s->rtt_ns > m->last_rtt_ns ? s->rtt_ns - m->last_rtt_ns
									: m->last_rtt_ns - s->rtt_ns);
		m->up_jitter_ns += distance(s->up_ns, m->last_up_ns);
		m->down_jitter_ns += distance(s->down_ns, m->last_down_ns);
	}
	m->last_rtt_ns = s->rtt_ns;
	m->last_up_ns = s->up_ns;
	m->last_down_ns = s->down_ns;
}

void measure_add(struct measure *m, const struct exchange *x)
{
	struct sample s = sample_of(x);

	add_jitter(m, &s);
	hist_add(&m->rtt, s.rtt_ns);
	hist_add(&m->corrected, s.corrected_ns);
	add_way(&m->up_excess, &m->up_min_ns, s.up_ns);
	add_way(&m->down_excess, &m->down_min_ns, s.down_ns);
	timeline_add(&m->timeline, &s);
}

/* --- stages ------------------------------------------------------------------------------------------------------- */

/* WHY not counted when it cannot be: less than nothing, or more than the whole exchange, means that a clock was set
 * on the way. How long the stage took is then not known, and a 0 in its place would be a minimum that nobody saw. */
static void add_stage(struct hist *h, int64_t took_ns, uint64_t elapsed_ns)
{
	if (took_ns >= 0 && (uint64_t)took_ns <= elapsed_ns)
		hist_add(h, (uint64_t)took_ns);
}

/* A piece between two stamps of one clock. */
static void add_piece(struct measure *m, enum stage stage, int64_t from, int64_t to, uint64_t elapsed_ns)
{
	if (from != 0 && to != 0)
		add_stage(&m->stages[stage], ns_minus(to, from), elapsed_ns);
}

/* Both ways together: what was outside of us, less what was inside of the server. */
static void add_wire(struct measure *m, enum stage stage, const int64_t stamp[4], uint64_t elapsed_ns)
{
	if (stamp[0] == 0 || stamp[1] == 0 || stamp[2] == 0 || stamp[3] == 0)
		return;
	int64_t outside_ns = ns_minus(stamp[3], stamp[0]), inside_ns = ns_minus(stamp[2], stamp[1]);
	if (inside_ns >= 0)
		add_stage(&m->stages[stage], ns_minus(outside_ns, inside_ns), elapsed_ns);
}

void measure_add_stages(struct measure *m, const struct exchange *x)
{
	uint64_t elapsed_ns = elapsed_of(x);

	add_piece(m, STAGE_ASK_QUEUE, x->t1, x->k1_sched, elapsed_ns);
	add_piece(m, STAGE_ASK_DEVICE, x->k1_sched, x->k1_sent, elapsed_ns);
	add_wire(m, STAGE_WIRE, (const int64_t[]){ x->k1_sent, x->k2, x->k3_sent, x->k4 }, elapsed_ns);
	add_piece(m, STAGE_SERVER_WAKE, x->k2, x->t2, elapsed_ns);
	add_piece(m, STAGE_SERVER_WORK, x->t2, x->t3, elapsed_ns);
	add_piece(m, STAGE_ANSWER_QUEUE, x->t3, x->k3_sched, elapsed_ns);
	add_piece(m, STAGE_ANSWER_DEVICE, x->k3_sched, x->k3_sent, elapsed_ns);
	add_piece(m, STAGE_WAKE, x->k4, x->t4, elapsed_ns);
	add_wire(m, STAGE_WIRE_HARDWARE, (const int64_t[]){ x->h1, x->h2, x->h3, x->h4 }, elapsed_ns);

	struct sample s;
	if (sample_of_kernels(x, &s))
		timeline_add(&m->kernel, &s);
}

/* --- losses ------------------------------------------------------------------------------------------------------- */

static uint64_t at_most(uint64_t v, uint64_t limit)
{
	return v < limit ? v : limit;
}

/* Each share is what is known of it, at most what is left: a question that the server missed when it last told, and
 * that was answered afterwards, is in no share. */
struct losses measure_losses(const struct measure *m)
{
	struct losses l = { .lost = m->sent - at_most(m->trip.received, m->sent), .has_directions = m->up.is_known };
	if (!l.has_directions)
		return l;

	uint64_t told = at_most(m->up.next, m->sent);
	uint64_t left = l.lost - at_most(m->sent - told, l.lost);
	l.up = at_most(told - at_most(m->up.received, told), left);
	l.down = at_most(track_missing(&m->down), left - l.up);
	l.unknown = l.lost - l.up - l.down;
	return l;
}
