/* upstreams.c - a list of servers, and the next one. See upstreams.h.
 *
 * A server is on the list, or gone with flows that still go on; its numbers are its own and survive a new list. The lock guards all
 * but the sources, which belong to whoever adds and reloads: files are read without it. */
#include "upstreams.h"

#include "mem.h"
#include "prng.h"
#include "units.h"

#include <arpa/inet.h>
#include <assert.h>
#include <ctype.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const upstreams_balance_choices[] = { "rr", "least", "hash", "first", NULL };

enum { HOST_LEN = 254 /* a name has at most 253 characters (RFC 1035 3.1) */ };

struct server {
	struct upstream pub;
	uint32_t number; /* from 1; never given to another one */
	uint64_t hash;   /* of the text */
	char host[HOST_LEN], text[UPSTREAM_TEXT];

	uint64_t picked, connected, failed, live;
	uint64_t backoff_ns;      /* of the last failure; 0: it is well, as far as is known */
	uint64_t passed_until_ns; /* with backoff_ns */
	bool is_probed;           /* a flow was sent there to see */
	bool is_gone;
	struct server *next_gone;
};

struct list {
	struct server **servers;
	size_t n;
};

struct upstreams {
	enum upstreams_balance balance;
	char **sources; /* as they were given */
	size_t n_sources;

	pthread_mutex_t lock;
	/* Guarded by it: */
	struct list list;
	struct server *gone;
	size_t turn; /* where the next search begins */
	uint32_t n_numbered;
};

struct upstreams *upstreams_new(enum upstreams_balance balance)
{
	struct upstreams *u = xcalloc(1, sizeof(*u));
	u->balance = balance;
	pthread_mutex_init(&u->lock, NULL);
	return u;
}

void upstreams_free(struct upstreams *u)
{
	if (u == NULL)
		return;
	assert(u->gone == NULL);
	for (size_t i = 0; i < u->list.n; i++) {
		assert(u->list.servers[i]->live == 0);
		free(u->list.servers[i]);
	}
	for (size_t i = 0; i < u->n_sources; i++)
		free(u->sources[i]);
	free(u->list.servers);
	free(u->sources);
	pthread_mutex_destroy(&u->lock);
	free(u);
}

static struct server *server_of(struct upstream *up)
{
	return CONTAINER_OF(up, struct server, pub);
}

/* --- from text to server ------------------------------------------------------------------------------------------ */

/* FNV-1a (G. Fowler, L. C. Noll, K.-P. Vo), and then mixed: it must not matter that two names differ in the last digit only. */
static uint64_t hash_of(const char *text)
{
	uint64_t hash = UINT64_C(14695981039346656037);
	for (; *text != '\0'; text++)
		hash = (hash ^ (unsigned char)*text) * UINT64_C(1099511628211);
	return prng_word(hash, 0);
}

static bool is_ip6(const char *text)
{
	unsigned char ip[16];
	char address[INET6_ADDRSTRLEN];
	size_t len = strcspn(text, "%"); /* fe80::1%eth0 */
	if (len >= sizeof(address))
		return false;
	memcpy(address, text, len);
	address[len] = '\0';
	return inet_pton(AF_INET6, address, ip) == 1;
}

static const char *check_host(const char *host)
{
	if (*host == '\0')
		return "there is no host before the port";
	for (; *host != '\0'; host++)
		if (!isgraph((unsigned char)*host) || strchr("/[]@", *host) != NULL)
			return "that is no name and no address";
	return NULL;
}

/* NULL, or what is wrong. */
static const char *parse_server(struct server *s, const char *word)
{
	const char *colon = strrchr(word, ':'), *host = colon != NULL ? word : "127.0.0.1";
	size_t len = colon != NULL ? (size_t)(colon - word) : strlen(host);
	bool is_bracketed = len >= 2 && host[0] == '[' && host[len - 1] == ']';
	uint64_t port;
	if (!units_parse_count(colon != NULL ? colon + 1 : word, &port) || port < 1 || port > UINT16_MAX)
		return "HOST:PORT is wanted, with a port from 1 to 65535";
	if (is_bracketed) {
		host++;
		len -= 2;
	}
	if (len >= HOST_LEN)
		return "a name has at most 253 characters";
	*s = (struct server){ .pub = { .port = (uint16_t)port } };
	snprintf(s->host, sizeof(s->host), "%.*s", (int)len, host);
	if (is_bracketed && !is_ip6(s->host))
		return "no IPv6 address is in the brackets";
	if (!is_bracketed && strchr(s->host, ':') != NULL)
		return "an IPv6 address needs brackets: [::1]:80";
	snprintf(s->text, sizeof(s->text), is_bracketed ? "[%s]:%u" : "%s:%u", s->host, (unsigned)port);
	s->hash = hash_of(s->text);
	return check_host(s->host);
}

static struct server *find(struct server *const *servers, size_t n, const struct server *like)
{
	for (size_t i = 0; i < n; i++)
		if (servers[i]->hash == like->hash && strcmp(servers[i]->text, like->text) == 0)
			return servers[i];
	return NULL;
}

static bool add_server(void *owner, const char *word, char why[static WORDLIST_WHY])
{
	struct list *list = owner;
	struct server s;
	const char *wrong = parse_server(&s, word);
	if (wrong == NULL && list->n == UPSTREAMS_MAX)
		wrong = "more than 1024 servers";
	if (wrong == NULL && find(list->servers, list->n, &s) != NULL)
		wrong = "it is on the list already";
	if (wrong != NULL) {
		snprintf(why, WORDLIST_WHY, "%.100s: %s", word, wrong);
		return false;
	}
	struct server *copy = xmalloc(sizeof(*copy));
	*copy = s;
	copy->pub.host = copy->host;
	copy->pub.text = copy->text;
	list->servers = xrealloc(list->servers, (list->n + 1) * sizeof(struct server *));
	list->servers[list->n++] = copy;
	return true;
}

static void free_list(struct list *list)
{
	for (size_t i = 0; i < list->n; i++)
		free(list->servers[i]);
	free(list->servers);
}

/* --- a new list --------------------------------------------------------------------------------------------------- */

/* Takes it off the list of those that are gone. NULL: it is not one of them. */
static struct server *bring_back(struct upstreams *u, const struct server *like)
{
	for (struct server **at = &u->gone; *at != NULL; at = &(*at)->next_gone) {
		struct server *s = *at;
		if (find(&s, 1, like) == NULL)
			continue;
		*at = s->next_gone;
		s->is_gone = false;
		return s;
	}
	return NULL;
}

static void retire(struct upstreams *u, struct server *s)
{
	if (s->live == 0) {
		free(s);
		return;
	}
	s->is_gone = true;
	s->next_gone = u->gone;
	u->gone = s;
}

/* Puts the fresh list in the place of the old one. Who is on both is the old one. */
static void replace(struct upstreams *u, struct list *fresh)
{
	struct list old = u->list;
	for (size_t i = 0; i < fresh->n; i++) {
		struct server *s = fresh->servers[i], *known = find(old.servers, old.n, s);
		if (known == NULL)
			known = bring_back(u, s);
		if (known == NULL) {
			s->number = ++u->n_numbered;
			continue;
		}
		free(s);
		fresh->servers[i] = known;
	}
	for (size_t i = 0; i < old.n; i++)
		if (find(fresh->servers, fresh->n, old.servers[i]) == NULL)
			retire(u, old.servers[i]);
	free(old.servers);
	u->list = *fresh;
}

/* All sources, and `more` unless it is NULL. */
static bool make_list(struct upstreams *u, const char *more, char why[static UPSTREAMS_WHY])
{
	struct list fresh = { .n = 0 };
	bool ok = true;
	for (size_t i = 0; i < u->n_sources && ok; i++)
		ok = wordlist_each(u->sources[i], add_server, &fresh, why);
	if (ok && more != NULL)
		ok = wordlist_each(more, add_server, &fresh, why);
	if (ok && fresh.n == 0) {
		snprintf(why, UPSTREAMS_WHY, "%.200s: no server is in it", more != NULL ? more : u->sources[0]);
		ok = false;
	}
	if (!ok) {
		free_list(&fresh);
		return false;
	}
	pthread_mutex_lock(&u->lock);
	replace(u, &fresh);
	pthread_mutex_unlock(&u->lock);
	return true;
}

bool upstreams_add(struct upstreams *u, const char *text, char why[static UPSTREAMS_WHY])
{
	if (!make_list(u, text, why))
		return false;
	u->sources = xrealloc(u->sources, (u->n_sources + 1) * sizeof(char *));
	u->sources[u->n_sources++] = xstrdup(text);
	return true;
}

bool upstreams_reload(struct upstreams *u, char why[static UPSTREAMS_WHY])
{
	return u->n_sources == 0 || make_list(u, NULL, why);
}

/* --- the next one -------------------------------------------------------------------------------------------------- */

static bool is_tried(const struct upstream_try *t, const struct server *s)
{
	for (uint32_t i = 0; i < t->n; i++)
		if (t->numbers[i] == s->number)
			return true;
	return false;
}

static bool is_passed_over(const struct server *s, uint64_t now_ns)
{
	return s->backoff_ns != 0 && now_ns < s->passed_until_ns;
}

/* Is s, which comes later in the turn, to be taken rather than `best`? */
static bool is_better(const struct upstreams *u, const struct server *s, const struct server *best, uint64_t client,
		      uint64_t now_ns)
{
	bool s_waits = is_passed_over(s, now_ns), best_waits = is_passed_over(best, now_ns);
	if (s_waits || best_waits)
		return !s_waits || (best_waits && s->passed_until_ns < best->passed_until_ns);
	if (u->balance == UPSTREAMS_LEAST)
		return s->live < best->live;
	if (u->balance == UPSTREAMS_HASH)
		return prng_word(s->hash, client) > prng_word(best->hash, client);
	return false;
}

static struct server *choose(struct upstreams *u, uint64_t client, const struct upstream_try *t, uint64_t now_ns)
{
	size_t n = u->list.n, from = u->balance == UPSTREAMS_RR || u->balance == UPSTREAMS_LEAST ? u->turn : 0;
	struct server *best = NULL;
	for (size_t i = 0; i < n; i++) {
		struct server *s = u->list.servers[(from + i) % n];
		if (is_tried(t, s) || (best != NULL && !is_better(u, s, best, client, now_ns)))
			continue;
		best = s;
		u->turn = (from + i) % n + 1;
	}
	return best;
}

struct upstream *upstreams_pick(struct upstreams *u, const struct addr *client, struct upstream_try *t, uint64_t now_ns)
{
	if (t->n == UPSTREAM_TRIES)
		return NULL;
	uint64_t source = addr_source(client);
	pthread_mutex_lock(&u->lock);
	struct server *s = choose(u, source, t, now_ns);
	if (s != NULL) {
		t->numbers[t->n++] = s->number;
		s->picked++;
		s->live++;
		if (s->backoff_ns != 0) {
			s->is_probed = true;
			s->passed_until_ns = now_ns + s->backoff_ns;
		}
	}
	pthread_mutex_unlock(&u->lock);
	return s != NULL ? &s->pub : NULL;
}

/* --- what became of it -------------------------------------------------------------------------------------------- */

static void release(struct upstreams *u, struct server *s)
{
	assert(s->live > 0);
	s->live--;
	if (s->live > 0 || !s->is_gone)
		return;
	bring_back(u, s);
	free(s);
}

void upstreams_connected(struct upstreams *u, struct upstream *up)
{
	struct server *s = server_of(up);
	pthread_mutex_lock(&u->lock);
	s->connected++;
	s->backoff_ns = 0;
	s->is_probed = false;
	pthread_mutex_unlock(&u->lock);
}

/* WHY not each failure doubles it: when a server dies with a hundred connects under way, that is one failure. */
void upstreams_failed(struct upstreams *u, struct upstream *up, uint64_t now_ns)
{
	struct server *s = server_of(up);
	pthread_mutex_lock(&u->lock);
	s->failed++;
	if (s->is_probed || !is_passed_over(s, now_ns)) {
		uint64_t longer_ns = s->backoff_ns == 0 ? UPSTREAM_BACKOFF_NS : 2 * s->backoff_ns;
		s->backoff_ns = longer_ns < UPSTREAM_BACKOFF_MAX_NS ? longer_ns : UPSTREAM_BACKOFF_MAX_NS;
		s->passed_until_ns = now_ns + s->backoff_ns;
		s->is_probed = false;
	}
	release(u, s);
	pthread_mutex_unlock(&u->lock);
}

void upstreams_ended(struct upstreams *u, struct upstream *up)
{
	pthread_mutex_lock(&u->lock);
	release(u, server_of(up));
	pthread_mutex_unlock(&u->lock);
}

/* --- the table ---------------------------------------------------------------------------------------------------- */

static struct upstream_row row_of(const struct server *s, uint64_t now_ns)
{
	struct upstream_row row = {
		.picked = s->picked,
		.connected = s->connected,
		.failed = s->failed,
		.live = s->live,
		.is_gone = s->is_gone,
		.backoff_ns = is_passed_over(s, now_ns) ? s->passed_until_ns - now_ns : 0,
	};
	snprintf(row.text, sizeof(row.text), "%s", s->text);
	return row;
}

size_t upstreams_rows(struct upstreams *u, struct upstream_row *out, size_t max, uint64_t now_ns)
{
	size_t n = 0;
	pthread_mutex_lock(&u->lock);
	for (size_t i = 0; i < u->list.n && n < max; i++)
		out[n++] = row_of(u->list.servers[i], now_ns);
	for (const struct server *s = u->gone; s != NULL && n < max; s = s->next_gone)
		out[n++] = row_of(s, now_ns);
	pthread_mutex_unlock(&u->lock);
	return n;
}
