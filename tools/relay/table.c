/* table.c - the relay's family: the lines of flows; memory only.
 *
 *	 id  client           target          age     up         down     RTT client  RTT server
 *	  7  127.0.0.1:41234  localhost:5001  3.20 s  1.50 MiB  12 KiB       41.0 us     52.1 ms  server too slow: 256 KiB wait ...
 *
 * A column is as wide as its widest cell. Where that is too much for the terminal columns are left out, in the order of what
 * one can do without, and last of all the words are cut. Everything is one byte a column: what is not plain ASCII in a name (a
 * SOCKS client's may be anything) becomes a question mark, so that nobody can send orders to the terminal. */
#include "table.h"

#include "clock.h"
#include "mem.h"
#include "units.h"

#include <stdlib.h>
#include <string.h>

enum {
	CELL = 64,
	WORDS_MIN = 22, /* columns for them, before other columns are left out */
	BAR = 8,
};
#define WAITS_NS ((uint64_t)20 * NS_PER_MS) /* bytes that have waited for less are on their way */

/* --- columns ------------------------------------------------------------------------------------------------------ */

struct relay_column {
	const char *title;
	bool is_left;
	unsigned leave; /* left out in this order when it is narrow; 0: never */
	void (*put)(char out[static CELL], const struct relay_line *line, const struct relay *relay);
};

static void put_id(char out[static CELL], const struct relay_line *line, const struct relay *relay)
{
	(void)relay;
	snprintf(out, CELL, "%llu", (unsigned long long)line->row->id);
}

static void put_client(char out[static CELL], const struct relay_line *line, const struct relay *relay)
{
	char text[ADDR_TEXT];
	(void)relay;
	snprintf(out, CELL, "%.*s", CELL - 1, addr_text(&line->row->client, text));
}

static void put_target(char out[static CELL], const struct relay_line *line, const struct relay *relay)
{
	(void)relay;
	snprintf(out, CELL, "%.*s", CELL / 2, line->row->target[0] != '\0' ? line->row->target : "-");
}

static void put_age(char out[static CELL], const struct relay_line *line, const struct relay *relay)
{
	char text[UNITS_TEXT];
	(void)relay;
	snprintf(out, CELL, "%s", relay_time_text(text, line->row->age_ns));
}

static void put_bytes(char out[static CELL], const struct relay_line *line, enum pump_way way)
{
	char text[UNITS_TEXT];
	snprintf(out, CELL, "%s", units_size(text, line->row->lane[way].bytes_out));
}

static void put_up(char out[static CELL], const struct relay_line *line, const struct relay *relay)
{
	(void)relay;
	put_bytes(out, line, PUMP_UP);
}

static void put_down(char out[static CELL], const struct relay_line *line, const struct relay *relay)
{
	(void)relay;
	put_bytes(out, line, PUMP_DOWN);
}

static void put_rtt(char out[static CELL], uint64_t rtt_ns)
{
	char text[UNITS_TEXT];
	snprintf(out, CELL, "%s", rtt_ns != 0 ? units_duration(text, rtt_ns) : "-");
}

static void put_client_rtt(char out[static CELL], const struct relay_line *line, const struct relay *relay)
{
	(void)relay;
	put_rtt(out, line->row->rtt_ns[PUMP_A]);
}

static void put_server_rtt(char out[static CELL], const struct relay_line *line, const struct relay *relay)
{
	(void)relay;
	put_rtt(out, line->row->rtt_ns[PUMP_B]);
}

static void put_rate(char out[static CELL], double rate_Bps)
{
	char text[UNITS_TEXT];
	snprintf(out, CELL, "%s", rate_Bps > 0 ? units_rate(text, rate_Bps) : "-");
}

static void put_rate_up(char out[static CELL], const struct relay_line *line, const struct relay *relay)
{
	(void)relay;
	put_rate(out, line->rate_Bps[PUMP_UP]);
}

static void put_rate_down(char out[static CELL], const struct relay_line *line, const struct relay *relay)
{
	(void)relay;
	put_rate(out, line->rate_Bps[PUMP_DOWN]);
}

/* What waits in the relay, as a part of what may (--buffer): ">[#####...]" on the way up, "<[" on the way down. */
static void put_bar(char out[static CELL], const struct relay_line *line, const struct relay *relay)
{
	const struct relay_lane_row *lane = line->row->lane;
	enum pump_way way = lane[PUMP_DOWN].waiting > lane[PUMP_UP].waiting ? PUMP_DOWN : PUMP_UP;
	uint64_t most = relay->loop[0].shop.o.high, waiting = lane[way].waiting;
	unsigned full = waiting >= most ? BAR : (unsigned)((waiting * BAR + most - 1) / most);
	if (waiting == 0)
		snprintf(out, CELL, " [%*s]", BAR, "");
	else
		snprintf(out, CELL, "%c[%.*s%*s]", way == PUMP_UP ? '>' : '<', (int)full, "########", (int)(BAR - full),
			 "");
}

static const struct relay_column status_columns[] = {
	{ "id", false, 0, put_id },
	{ "client", true, 0, put_client },
	{ "target", true, 4, put_target },
	{ "age", false, 3, put_age },
	{ "up", false, 0, put_up },
	{ "down", false, 0, put_down },
	{ "RTT client", false, 1, put_client_rtt },
	{ "RTT server", false, 2, put_server_rtt },
	{ 0 },
};

static const struct relay_column view_columns[] = {
	{ "id", false, 0, put_id },
	{ "client", true, 0, put_client },
	{ "target", true, 4, put_target },
	{ "age", false, 3, put_age },
	{ "up/s", false, 0, put_rate_up },
	{ "down/s", false, 0, put_rate_down },
	{ " waiting", true, 5, put_bar },
	{ "RTT client", false, 1, put_client_rtt },
	{ "RTT server", false, 2, put_server_rtt },
	{ 0 },
};

/* --- the table ----------------------------------------------------------------------------------------------------- */

static void measure(struct relay_table *t)
{
	char cell[CELL];
	for (unsigned i = 0; t->columns[i].put != NULL; i++) {
		size_t width = strlen(t->columns[i].title);
		for (size_t k = 0; k < t->n_shown; k++) {
			t->columns[i].put(cell, &t->lines[k], t->relay);
			width = strlen(cell) > width ? strlen(cell) : width;
		}
		t->width[i] = (unsigned)width;
	}
}

static unsigned width_of(const struct relay_table *t)
{
	unsigned sum = 0;
	for (unsigned i = 0; t->columns[i].put != NULL; i++)
		sum += t->width[i] > 0 ? t->width[i] + 2 : 0;
	return sum;
}

/* Leaves out columns until the words have room. */
static void squeeze(struct relay_table *t, unsigned columns)
{
	for (unsigned turn = 1; turn < RELAY_COLUMNS && columns > 0 && width_of(t) + WORDS_MIN > columns; turn++) {
		for (unsigned i = 0; t->columns[i].put != NULL; i++) {
			if (t->columns[i].leave == turn)
				t->width[i] = 0;
		}
	}
}

/* A target is a stranger's word. */
void relay_put_plain(FILE *out, const char *text)
{
	for (; *text != '\0'; text++)
		putc(*text >= ' ' && *text <= '~' ? *text : '?', out);
}

static void put_cell(FILE *out, const struct relay_column *column, unsigned width, const char *cell)
{
	int blanks = (int)width - (int)strlen(cell);
	fprintf(out, "%*s", column->is_left ? 0 : blanks, "");
	relay_put_plain(out, cell);
	fprintf(out, "%*s  ", column->is_left ? blanks : 0, "");
}

static void put_table(FILE *out, const struct relay_table *t)
{
	char cell[CELL], words[RELAY_WORDS];
	for (unsigned i = 0; t->columns[i].put != NULL; i++) {
		if (t->width[i] > 0)
			put_cell(out, &t->columns[i], t->width[i], t->columns[i].title);
	}
	putc('\n', out);
	for (size_t k = 0; k < t->n_shown; k++) {
		for (unsigned i = 0; t->columns[i].put != NULL; i++) {
			if (t->width[i] == 0)
				continue;
			t->columns[i].put(cell, &t->lines[k], t->relay);
			put_cell(out, &t->columns[i], t->width[i], cell);
		}
		fprintf(out, "%s\n", relay_row_words(words, t->lines[k].row));
	}
	if (t->n_shown < t->n)
		fprintf(out, "... and %zu more, about which there is less to say\n", t->n - t->n_shown);
}

/* Who is paused comes first, then where bytes wait, then those not open yet; among equals those that move more, and
 * then the younger. */
static uint64_t score_of(const struct relay_line *line)
{
	const struct relay_row *r = line->row;
	uint64_t class = 0, moved = 0;
	for (unsigned i = 0; i < 2; i++) {
		const struct relay_lane_row *l = &r->lane[i];
		uint64_t of_lane = l->is_paused ? 3 : l->waiting > 0 && l->waiting_ns >= WAITS_NS ? 2 : 0;
		class = of_lane > class ? of_lane : class;
		moved += (uint64_t)line->rate_Bps[i];
	}
	if (class == 0 && r->state != RELAY_OPEN && r->state != RELAY_SERVING)
		class = 1;
	return class << 60 | (moved >> 32 ? UINT32_MAX : moved) << 28 | (r->id & 0xfffffff);
}

static int by_score(const void *a, const void *b)
{
	uint64_t x = ((const struct relay_line *)a)->score, y = ((const struct relay_line *)b)->score;
	return (x < y) - (x > y);
}

static int by_id(const void *a, const void *b)
{
	uint64_t x = ((const struct relay_line *)a)->row->id, y = ((const struct relay_line *)b)->row->id;
	return (x > y) - (x < y);
}

/* The most interesting ones, in the order of their numbers, so that a line keeps its place as long as it can. */
void relay_table_choose(struct relay_table *t, size_t most)
{
	t->n_shown = t->n;
	if (t->n <= most)
		return;
	for (size_t i = 0; i < t->n; i++)
		t->lines[i].score = score_of(&t->lines[i]);
	qsort(t->lines, t->n, sizeof(*t->lines), by_score);
	qsort(t->lines, most, sizeof(*t->lines), by_id);
	t->n_shown = most;
}

struct relay_table relay_table_of(const struct relay *relay, const struct relay_census *c, bool with_rates)
{
	struct relay_table t = { .relay = relay,
				 .columns = with_rates ? view_columns : status_columns,
				 .n = c->n_rows };
	t.lines = xcalloc(t.n + 1, sizeof(*t.lines));
	for (size_t i = 0; i < t.n; i++)
		t.lines[i].row = &c->rows[i];
	return t;
}

void relay_table_put(FILE *out, struct relay_table *t, unsigned columns, size_t most)
{
	relay_table_choose(t, most);
	measure(t);
	squeeze(t, columns);
	if (t->n > 0)
		put_table(out, t);
}
