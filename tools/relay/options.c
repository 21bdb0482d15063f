/* options.c - the relay's family: from options to what they mean. */
#include "options.h"

#include <string.h>

bool relay_parse_place(const char *text, char host[static RELAY_TARGET], uint16_t *port)
{
	const char *colon = strrchr(text, ':'), *begin = text, *end = colon;
	uint64_t number;
	host[0] = '\0';
	if (!units_parse_count(colon != NULL ? colon + 1 : text, &number) || number > UINT16_MAX)
		return false;
	*port = (uint16_t)number;
	if (colon == NULL)
		return true;
	if (*begin == '[' && end[-1] == ']') {
		begin++;
		end--;
	} else if (memchr(begin, ':', (size_t)(end - begin)) != NULL) {
		return false; /* an IPv6 address without brackets: where would it end? */
	}
	if (end <= begin || end - begin >= RELAY_TARGET)
		return false;
	memcpy(host, begin, (size_t)(end - begin));
	host[end - begin] = '\0';
	return true;
}

void relay_read_place(struct relay_options *o, const char *text)
{
	static char host[RELAY_TARGET];
	uint16_t port;
	if (!relay_parse_place(text, host, &port))
		args_misuse("where to listen is [ADDR:]PORT, not %s", text);
	o->port = port;
	o->bind = host[0] != '\0' ? host : o->ipv6 ? "::1" : "127.0.0.1";
}

static void read_rules(struct relay_options *o, const struct arg_list *list)
{
	char why[RULES_WHY];
	if (list->n > 0)
		o->rules = rules_new();
	for (unsigned i = 0; i < list->n; i++) {
		const struct arg_said *said = &list->said[i];
		if (!rules_add(o->rules, strncmp(said->option, "allow", 5) == 0, said->value, why))
			args_misuse("--%s: %s", said->option, why);
	}
}

static void impair(struct relay_options *o, int way, const char *option, const char *text)
{
	char why[IMPAIR_WHY];
	if (!impair_apply(&o->impair[way], text, why))
		args_misuse("--%s: %s", option, why);
}

static void read_impairments(struct relay_options *o, const struct relay_said *w)
{
	const struct {
		const char *name, *value;
	} both[] = {
		{ "delay", w->delay },           { "jitter", w->jitter },     { "rate", w->rate },
		{ "chunk", w->chunk },           { "stall-at", w->stall_at }, { "cut-at", w->cut_at },
		{ "corrupt-at", w->corrupt_at }, { "seed", w->seed },
	};
	for (int way = PUMP_UP; way <= PUMP_DOWN; way++) {
		o->impair[way] = impair_default();
		for (size_t i = 0; i < COUNT_OF(both); i++) {
			char text[IMPAIR_TEXT];
			snprintf(text, sizeof(text), "%s=%s", both[i].name, both[i].value != NULL ? both[i].value : "");
			if (both[i].value != NULL)
				impair(o, way, both[i].name, text);
		}
		if (w->blackhole)
			impair(o, way, "blackhole", "blackhole");
	}
	if (w->up != NULL)
		impair(o, PUMP_UP, "up", w->up);
	if (w->down != NULL)
		impair(o, PUMP_DOWN, "down", w->down);
	if (o->buffer_len == 0 && (o->impair[PUMP_UP].delay_ns | o->impair[PUMP_DOWN].delay_ns) != 0)
		o->buffer_len = 4 * 1024 * 1024; /* what is under way on a long line has to be somewhere */
}

void relay_read_options(struct relay_options *o, const struct relay_said *w)
{
	if (o->ipv4 && o->ipv6)
		args_misuse("-4 and -6 exclude each other");
	if (w->nodelay && o->nagle)
		args_misuse("--nodelay and --nagle exclude each other");
	if (o->top + o->json + (o->dump != RELAY_DUMP_NONE) > 1)
		args_misuse("--top, --json and --dump all want standard output: one of them");
	read_rules(o, &w->clients);
	read_impairments(o, w);
}

bool relay_is_order(const char *word)
{
	static const char *const orders[] = { "stat", "set", "top", "drain" };
	for (size_t i = 0; word != NULL && i < COUNT_OF(orders); i++) {
		if (strcmp(word, orders[i]) == 0)
			return true;
	}
	return false;
}
