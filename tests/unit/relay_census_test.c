/* A census of several loops: everything once, askers share it, and nobody is told who has cancelled. */
#include "../../tools/relay/relay.h"

#include "check.h"

#include <stdlib.h>

enum { LOOPS = 3, FLOWS = 5 /* on each */ };

static struct relay_options options;
static struct relay_tool tool = { .name = "tcprelay" };
static struct relay_loop loop[LOOPS];
static struct relay_flow flows[LOOPS][FLOWS];
static struct relay relay = { .tool = &tool, .o = &options, .loop = loop, .n_denied = 4 };

/* The flows are not connected yet, but two: no descriptor is looked at for the others. */
static void set_up(void)
{
	for (unsigned i = 0; i < LOOPS; i++) {
		loop[i].relay = &relay;
		loop[i].index = i;
		loop[i].tally = (struct relay_tally){ .connections = 10, .live = FLOWS, .bytes_up = 100 };
		loop[i].n_recent = i * 20; /* 0, 20, 40: the ring of the last one has gone round */
		for (uint64_t k = 0; k < loop[i].n_recent; k++)
			loop[i].recent[k % RELAY_RECENT] = (struct relay_row){ .id = 1000 + k, .ended_ns = 2 * k + i };
		for (unsigned k = 0; k < FLOWS; k++) {
			struct relay_flow *f = &flows[i][k];
			*f = (struct relay_flow){ .loop = &loop[i],
						  .id = 1 + k * LOOPS + i,
						  .state = RELAY_CONNECTING };
			f->next = loop[i].flows;
			loop[i].flows = f;
		}
	}
	for (unsigned i = 1; i < LOOPS; i++) {
		struct relay_flow *f = &flows[i][0];
		f->state = RELAY_OPEN;
		f->pump.watch[0].fd = f->pump.watch[1].fd = -1;
		f->pump.lane[PUMP_UP].bytes_out = 7;
		f->pump.lane[PUMP_DOWN].bytes_out = 9;
		f->pump.lane[PUMP_DOWN].is_paused = i == 2;
	}
}

/* --- who asks ----------------------------------------------------------------------------------------------------- */

struct asker {
	struct relay_ask ask;
	unsigned n_told;
	const struct relay_row *rows;
	size_t n_rows;
	struct asker *cancels; /* when it is told */
	bool asks_again, ends;
};

static void check_sums(const struct relay_census *c)
{
	CHECK_INT(c->tally.connections, 10 * LOOPS);
	CHECK_INT(c->tally.live, FLOWS * LOOPS);
	CHECK_INT(c->tally.denied, 4);
	CHECK_INT(c->tally.bytes_up, 100 * LOOPS + 14);
	CHECK_INT(c->tally.bytes_down, 18);
	CHECK_INT(c->n_paused, 1);
}

static void check_rows(const struct relay_census *c)
{
	CHECK_INT(c->n_rows, FLOWS * LOOPS);
	for (size_t i = 0; i < c->n_rows; i++)
		CHECK_INT(c->rows[i].id, i + 1);
	CHECK_INT(c->n_recent, RELAY_RECENT);
	for (size_t i = 1; i < c->n_recent; i++)
		CHECK(c->recent[i].ended_ns <= c->recent[i - 1].ended_ns);
	CHECK_INT(c->recent[0].ended_ns, 2 * 39 + 2);
}

static void on_census(struct relay_ask *ask, const struct relay_census *c)
{
	struct asker *a = CONTAINER_OF(ask, struct asker, ask);
	a->n_told++;
	a->rows = c->rows;
	a->n_rows = c->n_rows;
	check_sums(c);
	if (a->cancels != NULL)
		relay_census_cancel(&relay, &a->cancels->ask);
	if (a->asks_again) {
		a->asks_again = false;
		relay_census_ask(&relay, ask, on_census);
		CHECK_INT(a->n_told, 1); /* not inside the call */
	} else if (a->ends) {
		reactor_release(loops_get(&relay.loops, 0));
	}
}

static void ask(struct asker *a)
{
	relay_census_ask(&relay, &a->ask, on_census);
	CHECK_INT(a->n_told, 0);
}

/* With loops of its own; until an asker with `ends` has been told. */
static void play(void (*act)(void))
{
	struct net_error e;
	int rc = loops_start(&relay.loops, LOOPS, &e);
	CHECK_INT(rc, 0);
	reactor_hold(loops_get(&relay.loops, 0));
	act();
	CHECK_INT(reactor_run(loops_get(&relay.loops, 0)), 0);
	loops_join(&relay.loops);
	loops_free(&relay.loops);
	CHECK(relay.count == NULL && relay.asks == NULL);
}

/* --- the plays ---------------------------------------------------------------------------------------------------- */

static struct asker a, b, c;

static void on_rows(struct relay_ask *ask, const struct relay_census *census)
{
	check_rows(census);
	on_census(ask, census);
}

static void ask_once(void)
{
	a = (struct asker){ .ends = true };
	relay_census_ask(&relay, &a.ask, on_rows);
	CHECK_INT(a.n_told, 0);
}

/* The first begins a census; the two that come while it is under way share the next one. */
static void ask_thrice(void)
{
	a = b = (struct asker){ 0 };
	c = (struct asker){ .ends = true };
	ask(&a);
	ask(&c);
	ask(&b);
}

static void ask_for_sums(void)
{
	a = (struct asker){ .ends = true, .ask.sums_only = true };
	ask(&a);
}

static void ask_again(void)
{
	a = (struct asker){ .ends = true, .asks_again = true };
	ask(&a);
}

/* a's census is under way, b and c wait for the next one; b is told first. */
static void cancel_others(void)
{
	a = (struct asker){ 0 };
	b = (struct asker){ .cancels = &c, .ends = true };
	c = (struct asker){ 0 };
	ask(&a);
	ask(&c);
	ask(&b);
	relay_census_cancel(&relay, &a.ask);
	relay_census_cancel(&relay, &a.ask); /* it asks no more: nothing happens */
}

static void cancel_and_end(void)
{
	a = (struct asker){ 0 };
	ask(&a);
	relay_census_cancel(&relay, &a.ask);
	reactor_release(loops_get(&relay.loops, 0));
}

int main(void)
{
	set_up();
	play(ask_once);
	CHECK_INT(a.n_told, 1);
	play(ask_thrice);
	CHECK_INT(a.n_told + b.n_told + c.n_told, 3);
	CHECK(b.rows == c.rows);
	play(ask_for_sums);
	CHECK_INT(a.n_rows, 0);
	play(ask_again);
	CHECK_INT(a.n_told, 2);
	play(cancel_others);
	CHECK_INT(a.n_told, 0);
	CHECK_INT(b.n_told, 1);
	CHECK_INT(c.n_told, 0);
	play(cancel_and_end);
	CHECK_INT(a.n_told, 0);
	return check_done();
}
