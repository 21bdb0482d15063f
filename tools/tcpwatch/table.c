/* table.c - what is watched: the lives of sockets, found by their addresses, and the numbers that connections get.
 *
 * Two hash tables with chains. The lives also hang in a list in the order in which they were first seen, which is the
 * order of the reports; those that are gone move to a second list, of which the oldest are forgotten. */
#include "tcpwatch.h"

#include "mem.h"

#include <stdlib.h>
#include <string.h>

enum { SLOTS_MIN = 256, PAIRS_MIN = 4096 };

/* --- hashing ------------------------------------------------------------------------------------------------------- */

/* FNV-1a, http://www.isthe.com/chongo/tech/comp/fnv/ */
static uint32_t hash_bytes(uint32_t h, const void *p, size_t n)
{
	const unsigned char *bytes = p;
	for (size_t i = 0; i < n; i++)
		h = (h ^ bytes[i]) * 16777619u;
	return h;
}

static uint32_t hash_addr(const struct addr *a)
{
	uint16_t port = addr_port(a);
	uint32_t h = hash_bytes(2166136261u, &port, sizeof(port));
	if (a->u.sa.sa_family == AF_INET)
		return hash_bytes(h, &a->u.in4.sin_addr, sizeof(a->u.in4.sin_addr));
	return hash_bytes(h, &a->u.in6.sin6_addr, sizeof(a->u.in6.sin6_addr));
}

/* The same for both directions of a connection. */
static uint32_t hash_ends(const struct addr *a, const struct addr *b)
{
	return hash_addr(a) + hash_addr(b);
}

static size_t slot_of(const struct tcpwatch_table *t, const struct sockdiag_socket *s)
{
	return hash_ends(&s->local, &s->peer) & (t->n_slots - 1);
}

/* --- start, stop --------------------------------------------------------------------------------------------------- */

void tcpwatch_table_start(struct tcpwatch_table *t)
{
	*t = (struct tcpwatch_table){ .n_slots = SLOTS_MIN, .n_pair_slots = PAIRS_MIN };
	t->slot = xcalloc(t->n_slots, sizeof(*t->slot));
	t->pair_slot = xcalloc(t->n_pair_slots, sizeof(*t->pair_slot));
	t->last = &t->first;
	t->last_gone = &t->gone;
}

static void free_lives(struct tcpwatch_life *l)
{
	while (l != NULL) {
		struct tcpwatch_life *next = l->next;
		free(l);
		l = next;
	}
}

void tcpwatch_table_stop(struct tcpwatch_table *t)
{
	free_lives(t->first);
	free_lives(t->gone);
	for (size_t i = 0; i < t->n_pair_slots; i++) {
		while (t->pair_slot[i] != NULL) {
			struct tcpwatch_pair *p = t->pair_slot[i];
			t->pair_slot[i] = p->next_in_slot;
			free(p);
		}
	}
	free(t->slot);
	free(t->pair_slot);
	*t = (struct tcpwatch_table){ 0 };
}

/* --- lives --------------------------------------------------------------------------------------------------------- */

/* Two listeners may have the same address (SO_REUSEPORT); two connections cannot have the same two. */
static bool is_of(const struct tcpwatch_life *l, const struct addr *local, const struct addr *peer,
		  const struct sockdiag_socket *s)
{
	if (l->now.interface != s->interface || !addr_equal(&l->now.local, local) || !addr_equal(&l->now.peer, peer))
		return false;
	bool listens = s->state == SOCKDIAG_LISTEN;
	return (l->now.state == SOCKDIAG_LISTEN) == listens && (!listens || l->now.cookie == s->cookie);
}

static struct tcpwatch_life *find(const struct tcpwatch_table *t, const struct addr *local, const struct addr *peer,
				  const struct sockdiag_socket *s)
{
	struct tcpwatch_life *l = t->slot[slot_of(t, s)];
	while (l != NULL && !is_of(l, local, peer, s))
		l = l->next_in_slot;
	return l;
}

struct tcpwatch_life *tcpwatch_find(const struct tcpwatch_table *t, const struct sockdiag_socket *s)
{
	return find(t, &s->local, &s->peer, s);
}

struct tcpwatch_life *tcpwatch_find_reverse(const struct tcpwatch_table *t, const struct tcpwatch_life *l)
{
	return find(t, &l->now.peer, &l->now.local, &l->now);
}

static void grow(struct tcpwatch_table *t)
{
	free(t->slot);
	t->n_slots *= 2;
	t->slot = xcalloc(t->n_slots, sizeof(*t->slot));
	for (struct tcpwatch_life *l = t->first; l != NULL; l = l->next) {
		size_t slot = slot_of(t, &l->now);
		l->next_in_slot = t->slot[slot];
		t->slot[slot] = l;
	}
}

void tcpwatch_begin_anew(struct tcpwatch_table *t, struct tcpwatch_pair *p)
{
	p->number = ++t->numbers;
	p->had_lives = false;
	p->flow = (struct packet_flow){ 0 };
	p->end_flag = 0;
}

/* A connection that had sockets before and has none now, or whose socket has been replaced, is another one with the same
 * addresses; unless its other end, or its SYN, has been the first to show that. */
static struct tcpwatch_pair *pair_of(struct tcpwatch_table *t, const struct sockdiag_socket *s, unsigned replaced,
				     uint64_t now_ns)
{
	unsigned direction;
	struct tcpwatch_pair *p = tcpwatch_pair(t, &s->local, &s->peer, now_ns, &direction);
	if ((p->had_lives && p->n_lives == 0) || p->number == replaced)
		tcpwatch_begin_anew(t, p);
	p->had_lives = true;
	p->n_lives++;
	return p;
}

struct tcpwatch_life *tcpwatch_add(struct tcpwatch_table *t, const struct sockdiag_socket *s, unsigned replaced,
				   uint64_t now_ns)
{
	if (t->n >= t->n_slots)
		grow(t);
	struct tcpwatch_life *l = xcalloc(1, sizeof(*l));
	size_t slot = slot_of(t, s);
	l->now = l->told = *s;
	l->first_ns = l->since_ns = now_ns;
	l->seen_states = SOCKDIAG_BIT(s->state);
	l->pair = s->state != SOCKDIAG_LISTEN ? pair_of(t, s, replaced, now_ns) : NULL;
	l->number = l->pair != NULL ? l->pair->number : ++t->numbers;
	l->next_in_slot = t->slot[slot];
	t->slot[slot] = l;
	*t->last = l;
	t->last = &l->next;
	t->n++;
	return l;
}

static void forget_oldest(struct tcpwatch_table *t)
{
	struct tcpwatch_life *oldest = t->gone;
	t->gone = oldest->next;
	if (t->gone == NULL)
		t->last_gone = &t->gone;
	free(oldest);
	t->n_gone--;
	t->n_forgotten++;
}

void tcpwatch_retire(struct tcpwatch_table *t, struct tcpwatch_life **link)
{
	struct tcpwatch_life *l = *link, **chain = &t->slot[slot_of(t, &l->now)];
	while (*chain != l)
		chain = &(*chain)->next_in_slot;
	*chain = l->next_in_slot;
	*link = l->next;
	if (t->last == &l->next)
		t->last = link;
	t->n--;
	if (l->pair != NULL)
		l->pair->n_lives--;
	l->pair = NULL;

	l->next = NULL;
	*t->last_gone = l;
	t->last_gone = &l->next;
	if (++t->n_gone > TCPWATCH_KEPT)
		forget_oldest(t);
}

/* --- connections --------------------------------------------------------------------------------------------------- */

/* Packets make pairs that no poll ever sees alive. When there are many, those go that have been silent. */
static void sweep(struct tcpwatch_table *t, uint64_t now_ns)
{
	static const uint64_t silence_ns = UINT64_C(2000000000);
	for (size_t i = 0; i < t->n_pair_slots; i++) {
		struct tcpwatch_pair **link = &t->pair_slot[i];
		while (*link != NULL) {
			struct tcpwatch_pair *p = *link;
			if (p->n_lives > 0 || now_ns - p->used_ns < silence_ns) {
				link = &p->next_in_slot;
				continue;
			}
			*link = p->next_in_slot;
			free(p);
			t->n_pairs--;
		}
	}
}

/* Few are left after a sweep, or else there must be more room, or the next one would come too soon. */
static void make_room(struct tcpwatch_table *t, uint64_t now_ns)
{
	sweep(t, now_ns);
	if (t->n_pairs < t->n_pair_slots / 2)
		return;
	size_t n = t->n_pair_slots * 2;
	struct tcpwatch_pair **slot = xcalloc(n, sizeof(struct tcpwatch_pair *));
	for (size_t i = 0; i < t->n_pair_slots; i++) {
		while (t->pair_slot[i] != NULL) {
			struct tcpwatch_pair *p = t->pair_slot[i];
			size_t to = hash_ends(&p->end[0], &p->end[1]) & (n - 1);
			t->pair_slot[i] = p->next_in_slot;
			p->next_in_slot = slot[to];
			slot[to] = p;
		}
	}
	free(t->pair_slot);
	t->pair_slot = slot;
	t->n_pair_slots = n;
}

struct tcpwatch_pair *tcpwatch_find_pair(const struct tcpwatch_table *t, const struct addr *from, const struct addr *to,
					 unsigned *direction)
{
	struct tcpwatch_pair *p = t->pair_slot[hash_ends(from, to) & (t->n_pair_slots - 1)];
	for (; p != NULL; p = p->next_in_slot) {
		*direction = !addr_equal(&p->end[0], from);
		if (addr_equal(&p->end[*direction], from) && addr_equal(&p->end[!*direction], to))
			break;
	}
	return p;
}

static struct tcpwatch_pair *add_pair(struct tcpwatch_table *t, const struct addr *from, const struct addr *to,
				      uint64_t now_ns)
{
	if (t->n_pairs >= t->n_pair_slots)
		make_room(t, now_ns);
	struct tcpwatch_pair **slot = &t->pair_slot[hash_ends(from, to) & (t->n_pair_slots - 1)];
	struct tcpwatch_pair *p = xcalloc(1, sizeof(*p));
	p->end[0] = *from;
	p->end[1] = *to;
	p->number = ++t->numbers;
	p->next_in_slot = *slot;
	*slot = p;
	t->n_pairs++;
	return p;
}

struct tcpwatch_pair *tcpwatch_pair(struct tcpwatch_table *t, const struct addr *from, const struct addr *to,
				    uint64_t now_ns, unsigned *direction)
{
	struct tcpwatch_pair *p = tcpwatch_find_pair(t, from, to, direction);
	if (p == NULL) {
		p = add_pair(t, from, to, now_ns);
		*direction = 0;
	}
	p->used_ns = now_ns;
	return p;
}
