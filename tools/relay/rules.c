/* rules.c - networks, one after the other. See rules.h.
 *
 * What was given is kept as it was (struct source), and what follows from it beside it (struct table), so that reading again is
 * making a second table, and the first is thrown away only when that has worked. */
#include "rules.h"

#include "mem.h"
#include "wire.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* An address as 128 bits: IPv4 as it is written in IPv6 (RFC 4291 2.5.5.2). */
struct bits {
	uint64_t high, low;
};

struct network {
	struct bits first, mask;
	int family; /* AF_INET, AF_INET6; AF_UNSPEC: "all" */
	bool allow;
};

/* What was given at once. */
struct source {
	bool allow;
	char *text;
};

struct table {
	struct network *list;
	size_t n, capacity;
};

struct rules {
	struct source *sources;
	size_t n_sources;
	bool has_allow;
	struct table table;
};

struct rules *rules_new(void)
{
	return xcalloc(1, sizeof(struct rules));
}

void rules_free(struct rules *r)
{
	if (r == NULL)
		return;
	for (size_t i = 0; i < r->n_sources; i++)
		free(r->sources[i].text);
	free(r->sources);
	free(r->table.list);
	free(r);
}

/* --- from text to network ----------------------------------------------------------------------------------------- */

static struct bits get_bits(const unsigned char ip[static 16])
{
	return (struct bits){ be64_get(ip), be64_get(ip + 8) };
}

static bool is_mapped(struct bits b)
{
	return b.high == 0 && b.low >> 32 == 0xffff;
}

static struct bits mask_of(unsigned prefix)
{
	return (struct bits){
		.high = prefix == 0   ? 0
			: prefix < 64 ? ~(UINT64_MAX >> prefix)
				      : UINT64_MAX,
		.low = prefix <= 64   ? 0
		       : prefix < 128 ? ~(UINT64_MAX >> (prefix - 64))
				      : UINT64_MAX,
	};
}

/* "10.0.0.0" or "2001:db8::"; how many bits it has, or 0: it is neither. */
static unsigned parse_address(const char *text, struct bits *out)
{
	unsigned char ip[16] = { [10] = 0xff, [11] = 0xff };
	unsigned len = inet_pton(AF_INET, text, ip + 12) == 1 ? 32 : inet_pton(AF_INET6, text, ip) == 1 ? 128 : 0;
	*out = get_bits(ip);
	return len;
}

/* At most `most`. */
static bool parse_prefix(const char *text, unsigned most, unsigned *out)
{
	size_t len = strlen(text);
	if (len < 1 || len > 3 || strspn(text, "0123456789") != len)
		return false;
	*out = (unsigned)strtoul(text, NULL, 10);
	return *out <= most;
}

/* NULL, or what is wrong. */
static const char *parse_network(struct network *net, const char *text)
{
	char address[64];
	size_t len = strcspn(text, "/");
	bool has_prefix = text[len] == '/';
	*net = (struct network){ .family = AF_UNSPEC };
	if (strcmp(text, "all") == 0)
		return NULL;
	snprintf(address, sizeof(address), "%.*s", (int)(len < sizeof(address) ? len : sizeof(address) - 1), text);
	unsigned most = parse_address(address, &net->first), prefix = most;
	if (most == 0 || len >= sizeof(address))
		return "no address, network or \"all\"";
	if (has_prefix && !parse_prefix(text + len + 1, most, &prefix))
		return most == 32 ? "the prefix is a number from 0 to 32" : "the prefix is a number from 0 to 128";
	net->mask = mask_of(prefix + 128 - most);
	net->family = is_mapped(net->first) ? AF_INET : AF_INET6;
	if ((net->first.high & ~net->mask.high) != 0 || (net->first.low & ~net->mask.low) != 0)
		return "there are bits beyond the prefix";
	return NULL;
}

/* --- tables ------------------------------------------------------------------------------------------------------- */

struct filling {
	struct table *table;
	bool allow;
};

static bool add_network(void *owner, const char *word, char why[static WORDLIST_WHY])
{
	struct filling *f = owner;
	struct table *t = f->table;
	struct network net;
	const char *wrong = t->n == RULES_MAX ? "more than 65536 networks" : parse_network(&net, word);
	if (wrong != NULL) {
		snprintf(why, WORDLIST_WHY, "%.60s: %s", word, wrong);
		return false;
	}
	if (t->n == t->capacity) {
		t->capacity = t->capacity == 0 ? 8 : 2 * t->capacity;
		t->list = xrealloc(t->list, t->capacity * sizeof(*t->list));
	}
	net.allow = f->allow;
	t->list[t->n++] = net;
	return true;
}

static bool fill(struct table *t, const struct source *s, char why[static RULES_WHY])
{
	return wordlist_each(s->text, add_network, &(struct filling){ t, s->allow }, why);
}

bool rules_add(struct rules *r, bool allow, const char *text, char why[static RULES_WHY])
{
	size_t before = r->table.n;
	struct source s = { .allow = allow, .text = xstrdup(text) };
	if (!fill(&r->table, &s, why)) {
		r->table.n = before;
		free(s.text);
		return false;
	}
	r->sources = xrealloc(r->sources, (r->n_sources + 1) * sizeof(*r->sources));
	r->sources[r->n_sources++] = s;
	r->has_allow |= allow;
	return true;
}

bool rules_reload(struct rules *r, char why[static RULES_WHY])
{
	struct table fresh = { .list = NULL };
	for (size_t i = 0; i < r->n_sources; i++) {
		if (!fill(&fresh, &r->sources[i], why)) {
			free(fresh.list);
			return false;
		}
	}
	free(r->table.list);
	r->table = fresh;
	return true;
}

/* --- the question ------------------------------------------------------------------------------------------------- */

bool rules_allow(const struct rules *r, const struct addr *a)
{
	unsigned char ip[16] = { [10] = 0xff, [11] = 0xff };
	int family = a->u.sa.sa_family;
	if (family == AF_INET)
		memcpy(ip + 12, &a->u.in4.sin_addr, 4);
	else if (family == AF_INET6)
		memcpy(ip, &a->u.in6.sin6_addr, 16);
	struct bits b = get_bits(ip);
	if (family == AF_INET6 && is_mapped(b))
		family = AF_INET;
	for (size_t i = 0; i < r->table.n; i++) {
		const struct network *net = &r->table.list[i];
		if (net->family != AF_UNSPEC && net->family != family)
			continue;
		if ((((b.high ^ net->first.high) & net->mask.high) | ((b.low ^ net->first.low) & net->mask.low)) == 0)
			return net->allow;
	}
	return !r->has_allow;
}
