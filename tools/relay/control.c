/* control.c - the relay's family: orders through a unix socket (--status PATH). orders.c is the other end; so is `nc -U PATH`.
 *
 *	request   a line: stat | stat json | top [COLUMNS [LINES]] | set [up|down] WORD... | drain | help
 *	answer    lines, and then an empty one; a first line "error: ..." says why not
 *
 *	stat      sums and a table; with `json` one record
 *	top       the same with rates: since the last `top` on this connection
 *	set       changes the impairment (impair.h) of all flows, now and to come; the answer is what is in force
 *	drain     as SIGTERM: accept nobody any more, and end when all have ended
 *
 * WHY a stream and lines: one can type them. An answer may be megabytes long, and is sent as the client takes it; one that does
 * not read gets no second answer before it has taken the first, and is ended after ANSWER_LIMIT_NS without any progress. A
 * client that has finished (FIN) gets its answer and is finished, too: `echo stat | nc -U PATH` works. */
#include "relay.h"

#include "clock.h"
#include "conn.h"
#include "diag.h"
#include "mem.h"
#include "units.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CLIENTS = 32 /* at a time; the others wait */, SIZE_MAX_ASKED = 10000 /* columns, lines */ };
#define ANSWER_LIMIT_NS ((uint64_t)10 * NS_PER_S)

enum question { ASKED_NOTHING, ASKED_STAT, ASKED_JSON, ASKED_TOP };

struct client {
	struct client *next, **link;
	struct relay_control *control;
	struct conn conn;
	struct relay_ask ask;
	enum question question; /* that the census under way will answer */
	unsigned columns, lines;
	bool is_finished; /* it will ask no more */
	bool is_too_long; /* the request that is coming in */
	struct relay_view view;
	size_t n;
	char request[RELAY_CONTROL_LEN];
};

struct relay_control {
	struct relay *relay; /* NULL: stopped, and freed with the last client */
	struct relay_place place;
	struct acceptor acceptor;
	int listen_fd;
	struct client *clients;
};

/* --- answers ------------------------------------------------------------------------------------------------------- */

/* Takes no request while an answer is on its way: on_low comes when it is gone. */
static void send_answer(struct client *k, const char *text, size_t len)
{
	conn_write(&k->conn, text, len);
	if (len > 0 && text[len - 1] != '\n')
		conn_write(&k->conn, "\n", 1);
	bool is_gone = conn_write(&k->conn, "\n", 1);
	if (k->is_finished)
		conn_finish(&k->conn);
	if (conn_queued(&k->conn) > 0)
		conn_set_idle(&k->conn, ANSWER_LIMIT_NS);
	if (!is_gone)
		conn_pause(&k->conn);
}

static void refuse(struct client *k, const char *why)
{
	char text[IMPAIR_WHY + 16];
	snprintf(text, sizeof(text), "error: %s", why);
	send_answer(k, text, strlen(text));
}

static void on_census(struct relay_ask *ask, const struct relay_census *c)
{
	struct client *k = CONTAINER_OF(ask, struct client, ask);
	const struct relay *relay = k->control->relay;
	enum question question = k->question;
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	if (out == NULL) {
		conn_abort(&k->conn, errno);
		return;
	}
	if (question == ASKED_JSON)
		relay_census_json(out, relay, c);
	else if (question == ASKED_TOP)
		relay_view_text(out, relay, c, &k->view, k->columns, k->lines);
	else
		relay_census_text(out, relay, c, k->columns);
	fclose(out);
	k->question = ASKED_NOTHING;
	conn_resume(&k->conn);
	send_answer(k, text, len);
	free(text);
}

static void ask(struct client *k, enum question question)
{
	k->question = question;
	conn_pause(&k->conn); /* one at a time */
	relay_census_ask(k->control->relay, &k->ask, on_census);
}

/* --- requests ------------------------------------------------------------------------------------------------------ */

/* All words for one way, or both, at once: impair_apply says when one comes twice. */
static bool apply(struct impair_spec spec[2], unsigned ways, const char *words, char why[static IMPAIR_WHY])
{
	for (unsigned way = 0; way < 2; way++) {
		if ((ways & 1U << way) && !impair_apply(&spec[way], words, why))
			return false;
	}
	return true;
}

static bool is_way(const char *word, unsigned *ways)
{
	static const char *const names[] = { NULL, "up", "down", "both" };
	for (unsigned i = 1; i < COUNT_OF(names); i++) {
		if (strcmp(word, names[i]) != 0)
			continue;
		*ways = i; /* a bit for each way */
		return true;
	}
	return false;
}

static void add_word(char words[static RELAY_CONTROL_LEN], const char *word)
{
	size_t len = strlen(words);
	snprintf(words + len, RELAY_CONTROL_LEN - len, "%s%s", len > 0 ? "," : "", word);
}

bool relay_set_words(struct impair_spec spec[2], const char *text, char why[static IMPAIR_WHY])
{
	struct impair_spec changed[2] = { spec[0], spec[1] };
	char copy[RELAY_CONTROL_LEN], words[RELAY_CONTROL_LEN] = "", *rest = NULL;
	unsigned ways = 1U << PUMP_UP | 1U << PUMP_DOWN;
	bool is_anything = false;
	snprintf(copy, sizeof(copy), "%s", text);
	for (char *word = strtok_r(copy, " \t", &rest); word != NULL; word = strtok_r(NULL, " \t", &rest)) {
		unsigned before = ways;
		if (!is_way(word, &ways)) {
			add_word(words, word);
			is_anything = true;
			continue;
		}
		if (words[0] != '\0' && !apply(changed, before, words, why))
			return false;
		words[0] = '\0';
	}
	if (!is_anything) {
		snprintf(why, IMPAIR_WHY, "nothing to set: up, down, delay=50ms, rate=1mbit, clear ...");
		return false;
	}
	if (words[0] != '\0' && !apply(changed, ways, words, why))
		return false;
	memcpy(spec, changed, sizeof(changed));
	return true;
}

static void on_set(struct client *k, const char *words)
{
	struct relay *relay = k->control->relay;
	struct impair_spec spec[2] = { relay->loop[0].impair[PUMP_UP], relay->loop[0].impair[PUMP_DOWN] };
	char why[IMPAIR_WHY], up[IMPAIR_TEXT], down[IMPAIR_TEXT], text[2 * IMPAIR_TEXT + 32];
	if (!relay_set_words(spec, words, why)) {
		refuse(k, why);
		return;
	}
	relay_set_impair(relay, spec);
	snprintf(text, sizeof(text), "up %s\ndown %s\n", impair_text(up, &spec[PUMP_UP]),
		 impair_text(down, &spec[PUMP_DOWN]));
	send_answer(k, text, strlen(text));
}

static void on_top(struct client *k, const char *rest)
{
	k->columns = k->lines = 0;
	if (sscanf(rest, "%5u %5u", &k->columns, &k->lines) < 0 && *rest != '\0') {
		refuse(k, "top COLUMNS LINES: two numbers");
		return;
	}
	if (k->columns > SIZE_MAX_ASKED)
		k->columns = SIZE_MAX_ASKED;
	ask(k, ASKED_TOP);
}

static void on_stat(struct client *k, const char *rest)
{
	k->columns = 0;
	if (*rest == '\0')
		ask(k, ASKED_STAT);
	else if (strcmp(rest, "json") == 0)
		ask(k, ASKED_JSON);
	else if (sscanf(rest, "%5u", &k->columns) == 1)
		ask(k, ASKED_STAT);
	else
		refuse(k, "stat, stat json, or stat COLUMNS");
}

/* The answer first: the relay may end at once. */
static void on_drain(struct client *k)
{
	struct relay *relay = k->control->relay;
	char text[128], limit[UNITS_TEXT];
	snprintf(text, sizeof(text), "draining: %u live, and %s for them to end\n", relay->acceptor.live,
		 units_duration(limit, relay->o->drain_ns));
	send_answer(k, text, strlen(text));
	relay_begin_drain(relay);
}

static void on_help(struct client *k)
{
	static const char text[] =
		"stat | stat json | stat COLUMNS   what there is\n"
		"top [COLUMNS [LINES]]             the same, with rates since the last time\n"
		"set [up|down] WORD...             impair the flows: delay=50ms rate=1mbit clear ...\n"
		"drain                             accept nobody any more, end when all have ended\n";
	send_answer(k, text, strlen(text));
}

static void obey(struct client *k, char *request)
{
	char *rest = request + strcspn(request, " \t");
	if (*rest != '\0')
		*rest++ = '\0';
	rest += strspn(rest, " \t");
	if (strcmp(request, "stat") == 0)
		on_stat(k, rest);
	else if (strcmp(request, "top") == 0)
		on_top(k, rest);
	else if (strcmp(request, "set") == 0)
		on_set(k, rest);
	else if (strcmp(request, "drain") == 0)
		on_drain(k);
	else if (strcmp(request, "help") == 0)
		on_help(k);
	else
		refuse(k, "a request is stat, top, set, drain or help");
}

/* --- clients ------------------------------------------------------------------------------------------------------- */

/* The request is there as a whole. */
static void take_request(struct client *k)
{
	size_t n = k->n;
	bool is_too_long = k->is_too_long;
	k->n = 0;
	k->is_too_long = false;
	while (n > 0 && (k->request[n - 1] == '\r' || k->request[n - 1] == ' '))
		n--;
	k->request[n] = '\0';
	if (is_too_long)
		refuse(k, "a request has less than 4096 bytes");
	else if (memchr(k->request, '\0', n) != NULL)
		refuse(k, "a request is text");
	else if (n > 0)
		obey(k, k->request);
}

/* Takes bytes up to the end of a line; what is too long is not kept, but its end is looked for. Returns how many. */
static size_t take_bytes(struct client *k, const unsigned char *p, size_t n)
{
	const unsigned char *end = memchr(p, '\n', n);
	size_t len = end != NULL ? (size_t)(end - p) : n;
	if (k->n + len >= sizeof(k->request))
		k->is_too_long = true;
	if (!k->is_too_long) {
		memcpy(k->request + k->n, p, len);
		k->n += len;
	}
	if (end == NULL)
		return n;
	take_request(k);
	return len + 1;
}

/* May another request be taken? Otherwise we are paused, and what is left is shown again after that. */
static bool is_free(const struct client *k)
{
	return k->question == ASKED_NOTHING && conn_queued(&k->conn) == 0 && k->control->relay != NULL;
}

static size_t on_data(struct conn *c, const unsigned char *p, size_t n)
{
	struct client *k = CONTAINER_OF(c, struct client, conn);
	size_t used = 0;
	while (used < n && is_free(k))
		used += take_bytes(k, p + used, n - used);
	return used;
}

static void on_eof(struct conn *c)
{
	struct client *k = CONTAINER_OF(c, struct client, conn);
	k->is_finished = true;
	if (k->n > 0 || k->is_too_long)
		take_request(k);
	if (k->question == ASKED_NOTHING)
		conn_finish(c);
}

static void on_low(struct conn *c)
{
	conn_set_idle(c, 0);
	conn_resume(c);
}

static void free_if_over(struct relay_control *control)
{
	if (control->relay == NULL && control->clients == NULL)
		free(control);
}

static void on_closed(struct conn *c, int err)
{
	(void)err;
	struct client *k = CONTAINER_OF(c, struct client, conn);
	struct relay_control *control = k->control;
	*k->link = k->next;
	if (k->next != NULL)
		k->next->link = k->link;
	if (control->relay != NULL) {
		relay_census_cancel(control->relay, &k->ask);
		acceptor_release(&control->acceptor);
	}
	relay_view_free(&k->view);
	free(k);
	free_if_over(control);
}

static const struct conn_ops ops = {
	.on_data = on_data,
	.on_eof = on_eof,
	.on_low = on_low,
	.on_closed = on_closed,
};

static void on_accept(struct acceptor *a, int fd, const struct addr *peer)
{
	(void)peer;
	struct relay_control *control = CONTAINER_OF(a, struct relay_control, acceptor);
	if (!relay_place_is_allowed(fd)) {
		close(fd);
		acceptor_release(a);
		return;
	}
	struct client *k = xcalloc(1, sizeof(*k));
	if (conn_start(&k->conn, a->watch.r, fd, &ops) < 0) {
		free(k);
		acceptor_release(a);
		return;
	}
	k->control = control;
	k->next = control->clients;
	k->link = &control->clients;
	if (k->next != NULL)
		k->next->link = &k->next;
	control->clients = k;
	/* Paused at once by any answer that the kernel does not take as a whole. */
	conn_set_marks(&k->conn, 0, 1);
}

int relay_control_start(struct relay *relay, const char *path, struct net_error *e)
{
	struct relay_control *control = xcalloc(1, sizeof(*control));
	control->relay = relay;
	control->listen_fd = relay_place_bind(&control->place, path, e);
	if (control->listen_fd < 0) {
		free(control);
		return -1;
	}
	struct reactor *r = loops_get(&relay->loops, 0);
	if (acceptor_start(&control->acceptor, r, control->listen_fd, CLIENTS, on_accept) < 0) {
		net_fail(e, "listen on", path);
		relay_place_remove(&control->place);
		close(control->listen_fd);
		free(control);
		return -1;
	}
	relay->control = control;
	return 0;
}

void relay_control_stop(struct relay *relay)
{
	struct relay_control *control = relay->control;
	if (control == NULL)
		return;
	relay->control = NULL;
	acceptor_stop(&control->acceptor);
	relay_place_remove(&control->place);
	close(control->listen_fd);
	for (struct client *k = control->clients; k != NULL; k = k->next) {
		relay_census_cancel(relay, &k->ask);
		k->question = ASKED_NOTHING;
		conn_close(&k->conn, 0);
	}
	control->relay = NULL;
	free_if_over(control);
}
