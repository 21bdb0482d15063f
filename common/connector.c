#include "connector.h"

#include "clock.h"
#include "mem.h"
#include "prng.h"

#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <stdlib.h>

/* One address and, while its watch is started, the socket that tries it. */
struct attempt {
	struct watch watch;
	struct race *race;
	struct addr to;
};

/* What a connector has while it is busy. Exactly one of these leads on: `begin` is queued, a name is being resolved, or
 * an attempt is on its way. */
struct race {
	struct connector *owner;
	struct reactor *r;
	const struct connect_to *to;
	struct deferred begin;
	struct timer stagger, deadline;
	struct resolve name;
	struct attempt *attempts;
	size_t n, next, n_open; /* attempts; the next to start; those on their way */
	struct net_error error; /* of the last one that failed */
};

static bool on_event(struct watch *w, unsigned events);

/* --- the end ----------------------------------------------------------------------------------------------------- */

/* The socket of an attempt that is on its way; it is the caller's now. */
static int take_socket(struct attempt *a)
{
	int fd = a->watch.fd;
	watch_stop(&a->watch);
	a->race->n_open--;
	return fd;
}

/* WHY abort and not close: nothing was sent, so nothing is lost, and no TIME-WAIT is left behind. */
static void close_attempts(struct race *race)
{
	for (size_t i = 0; i < race->next; i++)
		if (watch_is_started(&race->attempts[i].watch))
			sock_abort(take_socket(&race->attempts[i]));
}

void connector_cancel(struct connector *c)
{
	struct race *race = c->race;
	if (race == NULL)
		return;
	c->race = NULL;
	deferred_cancel(&race->begin);
	reactor_timer_stop(race->r, &race->stagger);
	reactor_timer_stop(race->r, &race->deadline);
	resolver_cancel(&race->name);
	close_attempts(race);
	free(race->attempts);
	free(race);
}

/* The race is over and gone. fd, or -1 with race->error. */
static void finish(struct race *race, int fd)
{
	struct connector *c = race->owner;
	struct net_error error = race->error;
	connector_cancel(c);
	c->on_result(c, fd, fd >= 0 ? NULL : &error);
}

/* --- attempts ---------------------------------------------------------------------------------------------------- */

/* This attempt has won: takes fd. */
static void win(struct attempt *a, int fd)
{
	a->race->owner->reached = a->to;
	finish(a->race, fd);
}

/* The attempt has failed, with errno. Takes fd. */
static void lose(struct attempt *a, const char *op, int fd)
{
	char text[ADDR_TEXT];
	net_fail(&a->race->error, op, addr_text(&a->to, text));
	sock_abort(fd);
}

enum { FAILED, ON_ITS_WAY, WON };

/* A proxy that connects to itself does so again and again, until there are no descriptors left. */
static bool is_loop(struct race *race, const struct attempt *a)
{
	char text[ADDR_TEXT];
	if (race->to->ourselves == NULL || !sock_leads_to(&a->to, race->to->ourselves))
		return false;
	errno = ELOOP;
	net_fail(&race->error, "connect", addr_text(&a->to, text));
	race->error.reason = "it would lead back here";
	return true;
}

/* WON: the race is over, and gone. */
static int start_attempt(struct race *race, struct attempt *a)
{
	if (is_loop(race, a))
		return FAILED;
	int fd = sock_connect_begin(&a->to, race->to->from, &race->to->options, &race->error);
	if (fd < 0)
		return FAILED;
	int connected = sock_connect_try(fd);
	if (connected > 0 &&
	    fd < reactor_fd_limit(race->r)) { /* otherwise nobody could watch it: watch_start says so */
		win(a, fd);
		return WON;
	}
	if (connected < 0 || watch_start(&a->watch, race->r, fd, WATCH_WRITE, on_event) < 0) {
		lose(a, connected < 0 ? "connect" : "watch", fd);
		return FAILED;
	}
	race->n_open++;
	return ON_ITS_WAY;
}

static void on_stagger(struct timer *t);

/* Starts the next attempt; those that fail at once are passed. When one wins at once, or none is left and none on its
 * way, this is the end: the caller must not touch the race any more. */
static void go_on(struct race *race)
{
	reactor_timer_stop(race->r, &race->stagger);
	int how = FAILED;
	while (how == FAILED && race->next < race->n)
		how = start_attempt(race, &race->attempts[race->next++]);
	if (how == WON)
		return;
	if (race->n_open == 0)
		finish(race, -1);
	else if (race->next < race->n)
		reactor_timer_start(race->r, &race->stagger, reactor_now_ns(race->r) + CONNECTOR_STAGGER_NS,
				    on_stagger);
}

static void on_stagger(struct timer *t)
{
	go_on(CONTAINER_OF(t, struct race, stagger));
}

static bool on_event(struct watch *w, unsigned events)
{
	(void)events;
	struct attempt *a = CONTAINER_OF(w, struct attempt, watch);
	struct race *race = a->race;
	int err = sock_connect_result(w->fd) == 0 ? 0 : errno;
	int fd = take_socket(a);
	if (err == 0) {
		win(a, fd);
		return true;
	}
	errno = err;
	lose(a, "connect", fd);
	go_on(race);
	return true;
}

static void on_deadline(struct timer *t)
{
	struct race *race = CONTAINER_OF(t, struct race, deadline);
	char text[ADDR_TEXT];
	size_t latest = race->next > 0 ? race->next - 1 : 0;
	errno = ETIMEDOUT;
	if (resolve_is_busy(&race->name))
		net_fail(&race->error, "resolve", race->to->host);
	else if (race->n > 0)
		net_fail(&race->error, "connect", addr_text(&race->attempts[latest].to, text));
	finish(race, -1); /* without any address the error is there already */
}

/* --- the list ---------------------------------------------------------------------------------------------------- */

static int family_of(const struct addr *a)
{
	return a->u.sa.sa_family;
}

static bool has_wanted_family(const struct race *race, const struct addr *a)
{
	const struct addr *from = race->to->from;
	return from == NULL || family_of(from) == family_of(a);
}

static bool may_try(const struct race *race, const struct addr *a)
{
	const struct connect_to *to = race->to;
	return has_wanted_family(race, a) && (to->may_connect == NULL || to->may_connect(to, a));
}

/* The next address at or after *at that may be tried and whose family is the wanted one, or is not. NULL: no more. */
static const struct addr *next_of(const struct race *race, const struct addr *list, size_t n, size_t *at, int family,
				  bool is_wanted)
{
	while (*at < n) {
		const struct addr *a = &list[(*at)++];
		if (may_try(race, a) && (family_of(a) == family) == is_wanted)
			return a;
	}
	return NULL;
}

static void append(struct race *race, const struct addr *to)
{
	if (to != NULL)
		race->attempts[race->n++] = (struct attempt){ .race = race, .to = *to };
}

/* There is nothing to try: if it is for the rules, the first address that they forbid is named. */
static void set_nothing(struct race *race, const struct addr *list, size_t n)
{
	char text[ADDR_TEXT];
	errno = EAFNOSUPPORT;
	net_fail(&race->error, "connect", "no address of the wanted family");
	for (size_t i = 0; i < n && race->error.sys != EACCES; i++) {
		if (!has_wanted_family(race, &list[i]))
			continue;
		errno = EACCES;
		net_fail(&race->error, "connect", addr_text(&list[i], text));
		race->error.reason = "the rules do not allow it";
	}
}

/* In the order of RFC 8305 4: one of the first address's family, one of the other, and so on. */
static void set_list(struct race *race, const struct addr *list, size_t n)
{
	size_t first = 0;
	while (first < n && !may_try(race, &list[first]))
		first++;
	if (first == n) {
		set_nothing(race, list, n);
		return;
	}
	int family = family_of(&list[first]);
	race->attempts = xcalloc(n, sizeof(*race->attempts));
	for (size_t i = first, this = first, other = first; i < n; i++) {
		append(race, next_of(race, list, n, &this, family, true));
		append(race, next_of(race, list, n, &other, family, false));
	}
}

/* --- names ------------------------------------------------------------------------------------------------------- */

static void on_resolved(struct resolve *name, const struct addr *list, size_t n, const struct net_error *e)
{
	struct race *race = CONTAINER_OF(name, struct race, name);
	race->owner->resolved_ns = clk_mono_ns();
	if (n > 0)
		set_list(race, list, n);
	else
		race->error = *e;
	go_on(race);
}

/* --- the start --------------------------------------------------------------------------------------------------- */

static void on_begin(struct deferred *d)
{
	go_on(CONTAINER_OF(d, struct race, begin));
}

static struct race *start_race(struct connector *c, struct reactor *r, const struct connect_to *to, connect_fn *fn)
{
	assert(c->race == NULL);
	struct race *race = xcalloc(1, sizeof(*race));
	*race = (struct race){ .owner = c, .r = r, .to = to };
	*c = (struct connector){ .race = race, .on_result = fn };
	if (to->deadline_ns != CLK_NEVER)
		reactor_timer_start(r, &race->deadline, to->deadline_ns, on_deadline);
	return race;
}

void connector_start(struct connector *c, struct reactor *r, struct resolver *names, const struct connect_to *to,
		     connect_fn *fn)
{
	struct race *race = start_race(c, r, to, fn);
	struct addr literal;
	if (addr_literal(to->host, to->port, to->family, &literal, &race->error) == 0) {
		set_list(race, &literal, 1);
	} else if (names != NULL) {
		resolver_ask(names, &race->name, to->host, to->port, to->family, to->source, on_resolved);
		return;
	}
	reactor_defer(r, &race->begin, on_begin);
}

void connector_start_list(struct connector *c, struct reactor *r, const struct addr *list, size_t n,
			  const struct connect_to *to, connect_fn *fn)
{
	struct race *race = start_race(c, r, to, fn);
	set_list(race, list, n);
	reactor_defer(r, &race->begin, on_begin);
}

/* --- trying again ------------------------------------------------------------------------------------------------ */

uint64_t backoff_next_ns(struct backoff *b)
{
	uint64_t most_ns = b->first_ns;
	for (unsigned i = 0; i < b->tries && most_ns < b->most_ns; i++)
		most_ns = most_ns <= UINT64_MAX / 2 ? most_ns * 2 : UINT64_MAX;
	if (most_ns > b->most_ns)
		most_ns = b->most_ns;
	b->tries++;
	uint64_t word = prng_word(b->seed, b->drawn++);
	return most_ns > 0 ? word % most_ns : 0;
}
