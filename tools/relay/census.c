/* census.c - the relay's family, fourth chapter: what all loops know, as one.
 *
 *	relay_census_ask --> asks                        loop 0           loop 1, 2, ...
 *	                       |  begin_count              |                 |
 *	                       +--- a post to each loop --> count_loop       count_loop     each copies its flows, on its own thread
 *	                                                   |  <---- post ----+
 *	                                            the last one: merge, and tell all who asked
 *
 * No lock is held by anybody: a flow is looked at by its own loop only. The parts are not of the same instant, but of the same few
 * milliseconds. */
#include "relay.h"

#include "clock.h"
#include "mem.h"

#include <stdlib.h>
#include <string.h>

/* The round trip times cost two system calls for each flow, in which the loop moves nothing. */
enum { RTT_FLOWS = 2000 };

/* What one loop has to tell. */
struct part {
	struct relay_tally tally;
	uint64_t n_paused, n_waiting;
	struct relay_row *rows;
	size_t n_rows;
	struct relay_row recent[RELAY_RECENT];
	size_t n_recent;
};

struct relay_count {
	struct relay *relay;
	struct relay_ask *asks; /* for whom */
	bool sums_only;
	unsigned n_missing; /* loops that have not told yet; for loop 0 */
	struct part *parts; /* one for each loop, written there */
};

/* --- on each loop -------------------------------------------------------------------------------------------------- */

static void count_flow(struct part *part, const struct relay_flow *f)
{
	bool is_paused = false, is_waiting = false;
	for (unsigned i = 0; i < 2; i++) {
		const struct pump_lane *l = &f->pump.lane[i];
		is_paused = is_paused || l->is_paused;
		is_waiting = is_waiting || pump_waiting(l) > 0;
	}
	part->tally.bytes_up += f->pump.lane[PUMP_UP].bytes_out;
	part->tally.bytes_down += f->pump.lane[PUMP_DOWN].bytes_out;
	part->n_paused += is_paused;
	part->n_waiting += is_waiting;
}

static void copy_recent(struct part *part, const struct relay_loop *loop)
{
	uint64_t n = loop->n_recent < RELAY_RECENT ? loop->n_recent : RELAY_RECENT;
	for (uint64_t i = 0; i < n; i++)
		part->recent[i] = loop->recent[(loop->n_recent - 1 - i) % RELAY_RECENT];
	part->n_recent = n;
}

static void copy_rows(struct part *part, const struct relay_loop *loop, size_t n, uint64_t now_ns)
{
	part->rows = xcalloc(n + 1, sizeof(*part->rows));
	for (struct relay_flow *f = loop->flows; f != NULL; f = f->next) {
		relay_flow_row(f, now_ns, part->n_rows < RTT_FLOWS, &part->rows[part->n_rows]);
		part->n_rows++;
	}
	copy_recent(part, loop);
}

static void take_part(struct reactor *r, unsigned i, void *arg);

static void count_loop(struct reactor *r, unsigned i, void *arg)
{
	(void)r;
	struct relay_count *count = arg;
	const struct relay_loop *loop = &count->relay->loop[i];
	struct part *part = &count->parts[i];
	size_t n = 0;
	part->tally = loop->tally;
	for (const struct relay_flow *f = loop->flows; f != NULL; f = f->next, n++)
		count_flow(part, f);
	if (!count->sums_only)
		copy_rows(part, loop, n, clk_mono_ns());
	loops_post(&count->relay->loops, 0, take_part, count);
}

/* --- on loop 0 ----------------------------------------------------------------------------------------------------- */

static void begin_count(struct relay *relay)
{
	struct relay_count *count = xcalloc(1, sizeof(*count));
	*count = (struct relay_count){
		.relay = relay, .asks = relay->asks, .sums_only = true, .n_missing = relay->loops.n
	};
	count->parts = xcalloc(count->n_missing, sizeof(*count->parts));
	for (const struct relay_ask *a = count->asks; a != NULL; a = a->next)
		count->sums_only = count->sums_only && a->sums_only;
	relay->asks = NULL;
	relay->count = count;
	for (unsigned i = 0; i < relay->loops.n; i++)
		loops_post(&relay->loops, i, count_loop, count);
}

static int by_id(const void *a, const void *b)
{
	uint64_t x = ((const struct relay_row *)a)->id, y = ((const struct relay_row *)b)->id;
	return (x > y) - (x < y);
}

static int by_end(const void *a, const void *b)
{
	uint64_t x = ((const struct relay_row *)a)->ended_ns, y = ((const struct relay_row *)b)->ended_ns;
	return (x < y) - (x > y);
}

/* PITFALL: memcpy and qsort must not get NULL, even for 0 bytes (C11 7.24.1, 7.22.5). */
static void merge_rows(struct relay_census *c, const struct relay_count *count)
{
	size_t n = 0, n_recent = 0;
	for (unsigned i = 0; i < count->relay->loops.n; i++) {
		n += count->parts[i].n_rows;
		n_recent += count->parts[i].n_recent;
	}
	c->rows = xcalloc(n + 1, sizeof(*c->rows));
	c->recent = xcalloc(n_recent + 1, sizeof(*c->recent));
	for (unsigned i = 0; i < count->relay->loops.n; i++) {
		const struct part *part = &count->parts[i];
		if (part->n_rows > 0)
			memcpy(&c->rows[c->n_rows], part->rows, part->n_rows * sizeof(*c->rows));
		memcpy(&c->recent[c->n_recent], part->recent, part->n_recent * sizeof(*c->recent));
		c->n_rows += part->n_rows;
		c->n_recent += part->n_recent;
	}
	qsort(c->rows, c->n_rows, sizeof(*c->rows), by_id);
	qsort(c->recent, c->n_recent, sizeof(*c->recent), by_end);
	if (c->n_recent > RELAY_RECENT)
		c->n_recent = RELAY_RECENT;
}

static void free_count(struct relay_count *count)
{
	for (unsigned i = 0; i < count->relay->loops.n; i++)
		free(count->parts[i].rows);
	free(count->parts);
	free(count);
}

static void tell(struct relay_count *count)
{
	struct relay *relay = count->relay;
	struct relay_census c = { .now_ns = clk_mono_ns() };
	for (unsigned i = 0; i < relay->loops.n; i++) {
		const struct part *part = &count->parts[i];
		relay_tally_add(&c.tally, &part->tally);
		c.n_paused += part->n_paused;
		c.n_waiting += part->n_waiting;
	}
	c.tally.denied = relay->n_denied;
	merge_rows(&c, count);
	/* An answer may cancel another one that is still to come: so the list is read anew each time. */
	while (count->asks != NULL) {
		struct relay_ask *ask = count->asks;
		count->asks = ask->next;
		ask->next = NULL;
		ask->on_census(ask, &c);
	}
	free(c.rows);
	free(c.recent);
}

static void take_part(struct reactor *r, unsigned i, void *arg)
{
	(void)r;
	(void)i;
	struct relay_count *count = arg;
	struct relay *relay = count->relay;
	if (--count->n_missing > 0)
		return;
	tell(count);
	free_count(count);
	relay->count = NULL;
	if (relay->asks != NULL)
		begin_count(relay);
}

void relay_census_ask(struct relay *relay, struct relay_ask *ask,
		      void (*fn)(struct relay_ask *ask, const struct relay_census *c))
{
	ask->on_census = fn;
	ask->next = relay->asks;
	relay->asks = ask;
	if (relay->count == NULL)
		begin_count(relay);
}

static void take_out(struct relay_ask **list, const struct relay_ask *ask)
{
	while (*list != NULL && *list != ask)
		list = &(*list)->next;
	if (*list != NULL)
		*list = ask->next;
}

/* A count that nobody waits for any more ends all the same: its posts are under way. */
void relay_census_cancel(struct relay *relay, struct relay_ask *ask)
{
	take_out(&relay->asks, ask);
	if (relay->count != NULL)
		take_out(&relay->count->asks, ask);
	ask->next = NULL;
}

/* --- JSON ---------------------------------------------------------------------------------------------------------- */

static void json_rows(struct json *j, const char *key, const struct relay_row *rows, size_t n, uint64_t now_ns)
{
	json_array(j, key);
	for (size_t i = 0; i < n; i++) {
		json_object(j, NULL);
		relay_json_row(j, &rows[i]);
		if (rows[i].ended_ns != 0)
			json_u64(j, "ended_ago_ns", now_ns > rows[i].ended_ns ? now_ns - rows[i].ended_ns : 0);
		json_close(j);
	}
	json_close(j);
}

static void json_impairments(struct json *j, const struct relay *relay)
{
	char text[IMPAIR_TEXT];
	json_object(j, "impairments");
	json_str(j, "up", impair_text(text, &relay->loop[0].impair[PUMP_UP]));
	json_str(j, "down", impair_text(text, &relay->loop[0].impair[PUMP_DOWN]));
	json_close(j);
}

void relay_census_json(FILE *out, const struct relay *relay, const struct relay_census *c)
{
	char schema[64], where[ADDR_TEXT];
	struct json j;
	snprintf(schema, sizeof(schema), "tcplab.%s/1", relay->tool->name);
	json_begin(&j, out);
	json_str(&j, "schema", schema);
	json_str(&j, "record", "status");
	json_str(&j, "listening", addr_text(&relay->bound, where));
	json_u64(&j, "elapsed_ns", c->now_ns - relay->start_ns);
	json_bool(&j, "is_draining", relay->is_draining);
	relay_json_tally(&j, &c->tally);
	json_u64(&j, "paused", c->n_paused);
	json_u64(&j, "waiting", c->n_waiting);
	json_u64(&j, "buffer_bytes", relay->loop[0].shop.o.high);
	json_impairments(&j, relay);
	if (relay->tool->report != NULL)
		relay->tool->report((struct relay *)relay, &j, NULL);
	json_rows(&j, "flows", c->rows, c->n_rows, c->now_ns);
	json_rows(&j, "recent", c->recent, c->n_recent, c->now_ns);
	json_end(&j);
}
