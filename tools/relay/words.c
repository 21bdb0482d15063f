/* words.c - the relay's family: what there is to say of a flow, in words; memory only. */
#include "relay.h"

#include "clock.h"
#include "units.h"

#include <stdarg.h>
#include <string.h>

#define WAITS_NS ((uint64_t)20 * NS_PER_MS) /* bytes that have waited for less are on their way */

/* As units_duration, but for what may last: "2m 13s", "5h 02m", "3d 04h". */
const char *relay_time_text(char out[static UNITS_TEXT], uint64_t ns)
{
	unsigned long long s = ns / NS_PER_S;
	if (s < 100)
		units_duration(out, ns);
	else if (s < 3600)
		snprintf(out, UNITS_TEXT, "%llum %02llus", s / 60, s % 60);
	else if (s < 24 * 3600)
		snprintf(out, UNITS_TEXT, "%lluh %02llum", s / 3600, s / 60 % 60);
	else
		snprintf(out, UNITS_TEXT, "%llud %02lluh", s / (24 * 3600), s / 3600 % 24);
	return out;
}

/* What there is to say, one thing after the other. */
struct words {
	char *text;
	size_t len;
};

/* One more thing to say. */
static void say(struct words *w, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void say(struct words *w, const char *fmt, ...)
{
	va_list args;
	if (w->len > 0 && w->len + 2 < RELAY_WORDS)
		w->len += (size_t)snprintf(w->text + w->len, RELAY_WORDS - w->len, "; ");
	va_start(args, fmt);
	int n = vsnprintf(w->text + w->len, RELAY_WORDS - w->len, fmt, args);
	va_end(args);
	w->len += n > 0 ? (size_t)n : 0;
	if (w->len >= RELAY_WORDS)
		w->len = RELAY_WORDS - 1;
}

static const char *const side_names[2] = { "client", "server" };

static void say_waiting(struct words *w, const struct relay_lane_row *l, enum pump_way way)
{
	char size[UNITS_TEXT], time[UNITS_TEXT], since[UNITS_TEXT + 8] = "";
	const char *source = side_names[way], *sink = side_names[!way];
	/* Bytes that wait although the sink would take them wait for us. */
	bool is_held = l->is_impaired && l->waiting > 0 && l->waiting_ns == 0;
	if (!l->is_paused && !is_held && (l->waiting == 0 || l->waiting_ns < WAITS_NS))
		return;
	if (l->waiting_ns > 0)
		snprintf(since, sizeof(since), " for %s", relay_time_text(time, l->waiting_ns));
	units_size(size, l->waiting);
	if (is_held)
		say(w, "held back by impairment: %s wait%s", size, since);
	else
		say(w, "%s too slow: %s wait%s", sink, size, since);
	if (l->is_paused && w->len + 32 < RELAY_WORDS)
		w->len += (size_t)snprintf(w->text + w->len, RELAY_WORDS - w->len, ", %s paused", source);
}

static void say_finished(struct words *w, const struct relay_row *row, enum pump_way way)
{
	const struct relay_lane_row *l = &row->lane[way];
	if (l->is_shut && !row->lane[!way].is_eof)
		say(w, "%s has finished (FIN), %s goes on", side_names[way], side_names[!way]);
	else if (l->is_eof && !l->is_shut)
		say(w, "%s has finished, its last bytes wait", side_names[way]);
}

static void say_past(struct words *w, const struct relay_lane_row *l, enum pump_way way)
{
	char time[UNITS_TEXT], waited[UNITS_TEXT + 16] = "";
	if (l->blocked_ns > 0)
		snprintf(waited, sizeof(waited), ", bytes waited %s", relay_time_text(time, l->blocked_ns));
	if (l->pauses > 0)
		say(w, "%s was paused %u time%s%s", side_names[way], l->pauses, l->pauses == 1 ? "" : "s", waited);
}

static void say_open(struct words *w, const struct relay_row *row)
{
	for (enum pump_way way = PUMP_UP; way <= PUMP_DOWN; way++)
		say_waiting(w, &row->lane[way], way);
	for (enum pump_way way = PUMP_UP; way <= PUMP_DOWN; way++)
		say_finished(w, row, way);
	for (enum pump_way way = PUMP_UP; way <= PUMP_DOWN && w->len == 0; way++)
		say_past(w, &row->lane[way], way);
}

static void say_note(struct words *w, const struct relay_row *row)
{
	if (row->note[0] != '\0')
		say(w, "%s", row->note);
}

const char *relay_row_words(char out[static RELAY_WORDS], const struct relay_row *row)
{
	struct words w = { .text = out };
	out[0] = '\0';
	switch (row->state) {
	case RELAY_GREETING:
		say(&w, "client has not said yet where to go");
		break;
	case RELAY_CONNECTING:
		say(&w, "being connected with the server");
		break;
	case RELAY_OPEN:
		say_open(&w, row);
		break;
	case RELAY_SERVING: /* the note says what */
		break;
	case RELAY_PARTING:
		say(&w, "%s; it has been told, and may leave", relay_end_text(row->end));
		break;
	case RELAY_ENDED:
		say(&w, "%s", relay_end_text(row->end));
		break;
	}
	say_note(&w, row);
	return out;
}
