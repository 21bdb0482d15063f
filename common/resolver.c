/* resolver.c - each name that is asked for is one object, in one table, and in one list, which says where it stands:
 *
 *	        begin()            on_looked_up()          forget()
 *	waiting -------> running ------------------> kept ---------> gone, as soon as its last asker has his answer
 *	   |                \-- not to be remembered ---------------^
 *	   +-- take back: its last asker has gone
 *
 * A literal and a refusal are names that are known at once and never kept. See resolver.h. */
#include "resolver.h"

#include "mem.h"
#include "reactor.h"
#include "workpool.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>

/* Chains of the table. Collisions can be made, but the names are few: at worst all are looked through. */
enum { CHAINS = 256 };

enum state { WAITING, RUNNING, KNOWN };

struct resolver_name {
	struct resolver_link link;     /* in the list of its state; KNOWN: if it is kept */
	struct resolver_name *chained; /* in the table: all but those that are KNOWN and not kept */
	struct resolver_state *st;
	struct resolver_link asks; /* those that have had no answer yet */
	enum state state;
	bool is_kept;
	bool is_answering; /* on_answer still needs it */
	uint64_t source;   /* RUNNING: whose thread it is */
	uint64_t known_ns;
	struct deferred answer;

	struct work work;
	struct addr *found; /* these three belong to the thread while it is RUNNING */
	size_t n;
	struct net_error error;
	int family; /* never changes, nor does host */
	char host[];
};

struct resolver_state {
	struct resolver *rs;
	struct reactor *r;
	struct resolver_options o;
	struct workpool pool;
	struct resolver_link waiting, running, kept;   /* kept: the one that was used last is the last */
	unsigned n_running, n_kept, n_asks, n_waiting; /* n_waiting: of the asks */
	struct resolver_name *table[CHAINS];
};

/* --- lists ------------------------------------------------------------------------------------------------------- */

static void make_empty(struct resolver_link *list)
{
	list->next = list->prev = list;
}

static bool is_empty(const struct resolver_link *list)
{
	return list->next == list;
}

static void put_last(struct resolver_link *list, struct resolver_link *l)
{
	l->next = list;
	l->prev = list->prev;
	l->prev->next = list->prev = l;
}

static void take_out(struct resolver_link *l)
{
	l->prev->next = l->next;
	l->next->prev = l->prev;
}

static void move_all(struct resolver_link *to, struct resolver_link *from)
{
	put_last(from, to); /* into the same ring; and then the old head out of it */
	take_out(from);
	make_empty(from);
}

static struct resolver_name *name_of(struct resolver_link *l)
{
	return CONTAINER_OF(l, struct resolver_name, link);
}

static struct resolve *ask_of(struct resolver_link *l)
{
	return CONTAINER_OF(l, struct resolve, link);
}

/* --- the table --------------------------------------------------------------------------------------------------- */

/* FNV-1a. */
static struct resolver_name **chain_of(struct resolver_state *st, const char *host)
{
	uint32_t hash = 2166136261u;
	for (; *host != '\0'; host++)
		hash = (hash ^ (unsigned char)*host) * 16777619u;
	return &st->table[hash % CHAINS];
}

static struct resolver_name *find(struct resolver_state *st, const char *host, int family)
{
	struct resolver_name *name = *chain_of(st, host);
	while (name != NULL && (name->family != family || strcmp(name->host, host) != 0))
		name = name->chained;
	return name;
}

static void enter(struct resolver_name *name)
{
	struct resolver_name **chain = chain_of(name->st, name->host);
	name->chained = *chain;
	*chain = name;
}

static void strike(struct resolver_name *name)
{
	struct resolver_name **at = chain_of(name->st, name->host);
	while (*at != name)
		at = &(*at)->chained;
	*at = name->chained;
}

/* --- what is known ----------------------------------------------------------------------------------------------- */

static struct resolver_name *new_name(struct resolver_state *st, const char *host, int family)
{
	struct resolver_name *name = xcalloc(1, sizeof(*name) + strlen(host) + 1);
	name->st = st;
	name->family = family;
	strcpy(name->host, host);
	make_empty(&name->asks);
	return name;
}

static struct resolver_name *new_waiting(struct resolver_state *st, const char *host, int family)
{
	struct resolver_name *name = new_name(st, host, family);
	enter(name);
	put_last(&st->waiting, &name->link);
	return name;
}

static void free_name(struct resolver_name *name)
{
	free(name->found);
	free(name);
}

static void free_unless_needed(struct resolver_name *name)
{
	if (!name->is_kept && !name->is_answering && is_empty(&name->asks))
		free_name(name);
}

static void forget(struct resolver_name *name)
{
	strike(name);
	take_out(&name->link);
	name->st->n_kept--;
	name->is_kept = false;
	free_unless_needed(name);
}

/* Our own shortage says nothing of the name. */
static bool is_worth_keeping(const struct resolver_name *name)
{
	const struct net_error *e = &name->error;
	return name->n > 0 || (e->gai != EAI_MEMORY && (e->gai != EAI_SYSTEM || e->sys != ENOMEM));
}

static bool is_fresh(const struct resolver_name *name)
{
	const struct resolver_options *o = &name->st->o;
	uint64_t keep_ns = name->n > 0 ? o->keep_ns : o->keep_failed_ns;
	return reactor_now_ns(name->st->r) - name->known_ns < keep_ns;
}

/* --- answers ----------------------------------------------------------------------------------------------------- */

/* The question is its owner's again. */
static void let_go(struct resolve *ask)
{
	struct resolver_state *st = ask->name->st;
	take_out(&ask->link);
	ask->name = NULL;
	st->n_asks--;
	reactor_release(st->r);
}

static void set_port(struct addr *a, uint16_t port)
{
	if (a->u.sa.sa_family == AF_INET6)
		a->u.in6.sin6_port = htons(port);
	else
		a->u.in4.sin_port = htons(port);
}

/* WHY a list of its own: who asks again when he has his answer belongs to the next round. And any of them may cancel
 * the others, or stop the resolver: after a call nothing is touched but the name and this list. */
static void on_answer(struct deferred *d)
{
	struct resolver_name *name = CONTAINER_OF(d, struct resolver_name, answer);
	struct addr list[ADDR_MAX];
	struct resolver_link due;
	move_all(&due, &name->asks);
	name->is_answering = true;
	while (!is_empty(&due)) {
		struct resolve *ask = ask_of(due.next);
		let_go(ask);
		for (size_t i = 0; i < name->n; i++) {
			list[i] = name->found[i];
			set_port(&list[i], ask->port);
		}
		ask->fn(ask, list, name->n, name->n > 0 ? NULL : &name->error);
	}
	name->is_answering = false;
	free_unless_needed(name);
}

/* Gives a question to a name whose answer is known, or will be. */
static void join(struct resolve *ask, struct resolver_name *name)
{
	struct resolver_state *st = name->st;
	ask->name = name;
	put_last(&name->asks, &ask->link);
	st->n_asks++;
	reactor_hold(st->r);
	if (name->state == WAITING)
		st->n_waiting++;
	else if (name->state == KNOWN)
		reactor_defer(st->r, &name->answer, on_answer);
}

/* It is known now. */
static void settle(struct resolver_name *name, bool keep)
{
	struct resolver_state *st = name->st;
	name->state = KNOWN;
	name->known_ns = reactor_now_ns(st->r);
	if (!is_empty(&name->asks))
		reactor_defer(st->r, &name->answer, on_answer);
	if (!keep || st->o.max_kept == 0 || !is_fresh(name)) {
		strike(name);
		free_unless_needed(name);
		return;
	}
	name->is_kept = true;
	put_last(&st->kept, &name->link);
	if (++st->n_kept > st->o.max_kept)
		forget(name_of(st->kept.next));
}

/* --- lookups ----------------------------------------------------------------------------------------------------- */

/* The larger half: of one there is one. */
static unsigned half_of(unsigned n)
{
	return n / 2 + n % 2;
}

static unsigned threads_of(const struct resolver_state *st, uint64_t source)
{
	unsigned n = 0;
	for (struct resolver_link *l = st->running.next; l != &st->running; l = l->next)
		n += name_of(l)->source == source;
	return n;
}

/* Nobody has more than are free: the first source may have half of them, the second a quarter, and so on. */
static bool may_have_one_more(const struct resolver_state *st, uint64_t source, unsigned n)
{
	unsigned n_free = st->o.threads - st->n_running;
	return n_free > 0 && (source == 0 || n < n_free);
}

static bool may_have_thread(const struct resolver_state *st, uint64_t source)
{
	return may_have_one_more(st, source, threads_of(st, source));
}

/* The question before which every other one has to stand back: that of the source with the fewest threads, and of these
 * the eldest. NULL: none may have a thread. */
static struct resolve *next_turn(const struct resolver_state *st)
{
	struct resolve *best = NULL;
	unsigned fewest = UINT_MAX;
	for (struct resolver_link *at = st->waiting.next; at != &st->waiting; at = at->next) {
		const struct resolver_link *asks = &name_of(at)->asks;
		for (struct resolver_link *l = asks->next; l != asks; l = l->next) {
			uint64_t source = ask_of(l)->source;
			unsigned n = threads_of(st, source);
			if (n >= fewest || !may_have_one_more(st, source, n))
				continue;
			best = ask_of(l);
			fewest = n;
		}
	}
	return best;
}

/* On a thread of the pool. */
static void look_up(struct work *w)
{
	struct resolver_name *name = CONTAINER_OF(w, struct resolver_name, work);
	struct addr found[ADDR_MAX];
	int n = addr_resolve(name->host, 0, name->family, found, COUNT_OF(found), &name->error);
	if (n <= 0)
		return;
	name->n = (size_t)n;
	name->found = xmalloc(name->n * sizeof(*found));
	memcpy(name->found, found, name->n * sizeof(*found));
}

static void drop(struct work *w)
{
	free_name(CONTAINER_OF(w, struct resolver_name, work));
}

static void serve_waiting(struct resolver_state *st);

static void on_looked_up(struct work *w)
{
	struct resolver_name *name = CONTAINER_OF(w, struct resolver_name, work);
	struct resolver_state *st = name->st;
	take_out(&name->link);
	st->n_running--;
	st->rs->n_failed += name->n == 0;
	settle(name, is_worth_keeping(name));
	serve_waiting(st);
}

static void begin(struct resolver_name *name, uint64_t source)
{
	struct resolver_state *st = name->st;
	take_out(&name->link);
	for (struct resolver_link *l = name->asks.next; l != &name->asks; l = l->next)
		st->n_waiting--;
	if (workpool_submit(&st->pool, &name->work, look_up, on_looked_up, drop) < 0) {
		net_fail(&name->error, "resolve", name->host); /* there is no thread at all */
		settle(name, false);
		return;
	}
	name->state = RUNNING;
	name->source = source;
	put_last(&st->running, &name->link);
	st->n_running++;
	st->rs->n_looked_up++;
}

static void serve_waiting(struct resolver_state *st)
{
	struct resolve *ask;
	while (st->n_running < st->o.threads && (ask = next_turn(st)) != NULL)
		begin(ask->name, ask->source);
}

/* --- questions --------------------------------------------------------------------------------------------------- */

/* How many questions of this source wait for a thread. */
static unsigned places_of(const struct resolver_state *st, uint64_t source)
{
	unsigned n = 0;
	for (struct resolver_link *at = st->waiting.next; at != &st->waiting; at = at->next) {
		const struct resolver_link *asks = &name_of(at)->asks;
		for (struct resolver_link *l = asks->next; l != asks; l = l->next)
			n += ask_of(l)->source == source;
	}
	return n;
}

/* As long as half of the places are free nobody can have more than that: nothing has to be counted. */
static bool has_place(const struct resolver_state *st, uint64_t source)
{
	unsigned half = half_of(st->o.max_waiting);
	return st->n_waiting < half ||
	       (st->n_waiting < st->o.max_waiting && (source == 0 || places_of(st, source) < half));
}

/* A name whose answer is there, and which is not to be kept. */
static struct resolver_name *known(struct resolver_state *st, const struct addr *a)
{
	struct resolver_name *name = new_name(st, "", AF_UNSPEC);
	name->state = KNOWN;
	if (a != NULL) {
		name->found = xmalloc(sizeof(*a));
		*name->found = *a;
		name->n = 1;
	}
	return name;
}

static struct resolver_name *refused(struct resolver_state *st, const char *host, int err, int gai)
{
	struct resolver_name *name = known(st, NULL);
	errno = err;
	net_fail(&name->error, "resolve", host);
	name->error.gai = gai;
	return name;
}

/* A name in capitals is the same (RFC 4343 3); only ASCII, whatever the locale says. */
static void lower(char out[static RESOLVER_NAME_MAX + 1], const char *host)
{
	do
		*out++ = (char)(*host >= 'A' && *host <= 'Z' ? *host - 'A' + 'a' : *host);
	while (*host++ != '\0');
}

/* What is remembered, or somebody waits for. NULL: nothing. */
static struct resolver_name *recall(struct resolver_state *st, const char *host, int family)
{
	struct resolver_name *name = find(st, host, family);
	if (name == NULL || name->state != KNOWN)
		return name;
	if (!is_fresh(name)) {
		forget(name);
		return NULL;
	}
	take_out(&name->link); /* this one is used */
	put_last(&st->kept, &name->link);
	return name;
}

/* Whatever will have the answer. */
static struct resolver_name *name_for(struct resolver_state *st, const char *host, int family, uint64_t source)
{
	char lowered[RESOLVER_NAME_MAX + 1];
	struct addr literal;
	struct net_error e;
	if (addr_literal(host, 0, family, &literal, &e) == 0)
		return known(st, &literal);
	if (strlen(host) > RESOLVER_NAME_MAX)
		return refused(st, host, 0, EAI_NONAME);
	lower(lowered, host);
	struct resolver_name *name = recall(st, lowered, family);
	bool needs_thread = name == NULL || name->state == WAITING;
	if (needs_thread && !may_have_thread(st, source) && !has_place(st, source)) {
		st->rs->n_refused++;
		return refused(st, host, EAGAIN, 0);
	}
	if (name == NULL)
		return new_waiting(st, lowered, family);
	st->rs->n_remembered += name->state == KNOWN;
	st->rs->n_shared += name->state != KNOWN;
	return name;
}

void resolver_ask(struct resolver *rs, struct resolve *ask, const char *host, uint16_t port, int family,
		  uint64_t source, resolve_fn *fn)
{
	assert(rs->state != NULL && ask->name == NULL);
	*ask = (struct resolve){ .fn = fn, .source = source, .port = port };
	rs->n_asked++;
	join(ask, name_for(rs->state, host, family, source));
	serve_waiting(rs->state);
}

void resolver_cancel(struct resolve *ask)
{
	struct resolver_name *name = ask->name;
	if (name == NULL)
		return;
	name->st->n_waiting -= name->state == WAITING;
	let_go(ask);
	if (!is_empty(&name->asks) || name->state == RUNNING)
		return;
	deferred_cancel(&name->answer);
	if (name->state == WAITING) {
		take_out(&name->link);
		strike(name);
	}
	free_unless_needed(name);
}

/* --- life -------------------------------------------------------------------------------------------------------- */

void resolver_start(struct resolver *rs, struct reactor *r, const struct resolver_options *o)
{
	struct resolver_state *st = xcalloc(1, sizeof(*st));
	st->rs = rs;
	st->r = r;
	st->o = *o;
	if (st->o.threads == 0)
		st->o.threads = RESOLVER_THREADS;
	if (st->o.max_waiting == 0)
		st->o.max_waiting = RESOLVER_WAITING;
	make_empty(&st->waiting);
	make_empty(&st->running);
	make_empty(&st->kept);
	workpool_start(&st->pool, r, st->o.threads, 0);
	workpool_set_background(&st->pool);
	*rs = (struct resolver){ .state = st };
}

void resolver_forget(struct resolver *rs)
{
	struct resolver_state *st = rs->state;
	while (!is_empty(&st->kept))
		forget(name_of(st->kept.next));
}

void resolver_stop(struct resolver *rs)
{
	struct resolver_state *st = rs->state;
	if (st == NULL)
		return;
	assert(st->n_asks == 0);
	resolver_forget(rs);
	rs->state = NULL;
	workpool_stop(&st->pool); /* nobody waits, and so all that is left runs: drop() */
	free(st);
}
