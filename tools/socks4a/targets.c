/* targets.c - rules for destinations. See targets.h. */
#include "targets.h"

#include "mem.h"
#include "../relay/network.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_MAX_LEN = 253 /* RFC 1035 3.1 */, LABEL_MAX_LEN = 63 };

struct target {
	struct network network; /* all, if there is a name */
	char *name;             /* in lower case, without a dot at either end; or NULL */
	size_t name_len;
	bool is_suffix; /* the name, and what ends in it behind a dot */
	uint16_t first_port, last_port;
};

struct question {
	const char *name; /* "": it is not asked for by name */
	size_t name_len;  /* without a dot at its end */
	uint16_t port;
	bool has_place; /* false: what addresses the name has is not known yet */
	struct network_place place;
};

struct targets {
	struct rulebook *book; /* each rule a struct target */
};

/* Without the dot that makes a name absolute (RFC 1034 3.1): it is the same name for whoever connects to it. */
static size_t name_length(const char *name)
{
	size_t len = strlen(name);
	return len > 0 && name[len - 1] == '.' ? len - 1 : len;
}

/* --- from text to rule -------------------------------------------------------------------------------------------- */

static bool parse_port(const char *text, size_t len, uint16_t *out)
{
	if (len < 1 || len > 5 || strspn(text, "0123456789") < len)
		return false;
	unsigned long port = strtoul(text, NULL, 10);
	*out = (uint16_t)port;
	return port <= UINT16_MAX;
}

/* "80", "8000-8999". */
static const char *parse_ports(struct target *t, const char *text)
{
	size_t len = strcspn(text, "-");
	const char *last = text[len] == '-' ? text + len + 1 : text;
	if (!parse_port(text, len, &t->first_port) || !parse_port(last, strlen(last), &t->last_port))
		return "a port is a number from 0 to 65535";
	return t->first_port <= t->last_port ? NULL : "the range of ports runs backwards";
}

/* Whether the resolver would take it for an address in one of the ways of inet_aton(3): its last part is a number, in
 * decimal, octal or hexadecimal. No top level domain is (RFC 3696 2). */
static bool ends_in_number(const char *name, size_t len)
{
	size_t at = len;
	while (at > 0 && name[at - 1] != '.')
		at--;
	const char *digits = "0123456789";
	if (len - at >= 2 && strncasecmp(name + at, "0x", 2) == 0) {
		at += 2;
		digits = "0123456789abcdefABCDEF";
	}
	return len > at && strspn(name + at, digits) >= len - at;
}

/* Lower case letters, digits, - and _ between dots. */
static bool is_name(const char *name, size_t len)
{
	size_t label = 0;
	for (size_t i = 0; i < len; i++) {
		if (name[i] == '.' ? label == 0 : strchr("abcdefghijklmnopqrstuvwxyz0123456789-_", name[i]) == NULL)
			return false;
		label = name[i] == '.' ? 0 : label + 1;
		if (label > LABEL_MAX_LEN)
			return false;
	}
	return label > 0 && len <= NAME_MAX_LEN;
}

static const char *parse_name(struct target *t, const char *text)
{
	t->is_suffix = text[0] == '.';
	text += t->is_suffix;
	t->name = xstrdup(text);
	t->name_len = name_length(text);
	for (char *c = t->name; *c != '\0'; c++)
		*c = *c >= 'A' && *c <= 'Z' ? (char)(*c - 'A' + 'a') : *c;
	if (is_name(t->name, t->name_len))
		return NULL;
	free(t->name);
	return "no network, and no name of letters, digits, - and _ (others are written xn--...)";
}

static const char *parse_where(struct target *t, const char *where)
{
	if (where[0] == '\0' || strcasecmp(where, "all") == 0)
		return network_parse(&t->network, "all");
	if (strpbrk(where, ":/") != NULL || ends_in_number(where, name_length(where)))
		return network_parse(&t->network, where);
	return parse_name(t, where);
}

/* Cuts the ports off; or NULL: there are none. Several colons without brackets are not a port's. */
static char *cut_ports(char *where)
{
	char *close = strchr(where, ']');
	char *colon = strchr(close != NULL ? close : where, ':');
	if (colon == NULL || strchr(colon + 1, ':') != NULL)
		return NULL;
	*colon = '\0';
	return colon + 1;
}

/* "[::1]" becomes "::1", "[2001:db8::]/32" becomes "2001:db8::/32". */
static const char *cut_brackets(char *where)
{
	char *close = strchr(where, ']');
	if (where[0] != '[')
		return strchr(where, ':') == NULL || strchr(where, '/') != NULL
			       ? NULL
			       : "an IPv6 address stands in brackets, for the port's sake: [2001:db8::1]";
	if (close == NULL || (close[1] != '\0' && close[1] != '/') || memchr(where, ':', close - where) == NULL)
		return "in brackets stands an IPv6 address: [2001:db8::1], [2001:db8::]/32";
	memmove(close, close + 1, strlen(close));
	memmove(where, where + 1, strlen(where));
	return NULL;
}

static const char *parse_target(void *rule, const char *word)
{
	struct target *t = rule;
	char where[WORDLIST_WORD];
	memcpy(where, word, strlen(word) + 1);
	*t = (struct target){ .first_port = 0, .last_port = UINT16_MAX };
	const char *ports = cut_ports(where);
	const char *wrong = ports != NULL ? parse_ports(t, ports) : NULL;
	if (wrong == NULL)
		wrong = cut_brackets(where);
	return wrong != NULL ? wrong : parse_where(t, where);
}

/* --- the question ------------------------------------------------------------------------------------------------- */

static bool has_name(const struct target *t, const struct question *q)
{
	if (q->name_len < t->name_len)
		return false;
	size_t before = q->name_len - t->name_len;
	if (before > 0 && (!t->is_suffix || q->name[before - 1] != '.'))
		return false;
	return strncasecmp(q->name + before, t->name, t->name_len) == 0;
}

static enum rulebook_match match_target(const void *rule, const void *question)
{
	const struct target *t = rule;
	const struct question *q = question;
	if (q->port < t->first_port || q->port > t->last_port)
		return RULEBOOK_NO;
	if (t->name != NULL)
		return has_name(t, q) ? RULEBOOK_YES : RULEBOOK_NO;
	if (!q->has_place && t->network.family != AF_UNSPEC)
		return RULEBOOK_PERHAPS;
	return network_has(&t->network, &q->place) ? RULEBOOK_YES : RULEBOOK_NO;
}

static void clear_target(void *rule)
{
	struct target *t = rule;
	free(t->name);
}

static const struct rulebook_kind rules_for_targets = {
	.plural = "rules",
	.len = sizeof(struct target),
	.parse = parse_target,
	.match = match_target,
	.clear = clear_target,
};

struct targets *targets_new(void)
{
	struct targets *t = xcalloc(1, sizeof(*t));
	t->book = rulebook_new(&rules_for_targets);
	return t;
}

void targets_free(struct targets *t)
{
	if (t == NULL)
		return;
	rulebook_free(t->book);
	free(t);
}

bool targets_add(struct targets *t, bool allow, const char *text, char why[static TARGETS_WHY])
{
	return rulebook_add(t->book, allow, text, why);
}

bool targets_reload(struct targets *t, char why[static TARGETS_WHY])
{
	return rulebook_reload(t->book, why);
}

/* 0.0.0.0 or ::. */
static bool is_wildcard(const struct network_place *p)
{
	return p->family == AF_INET ? (uint32_t)p->bits.low == INADDR_ANY : (p->bits.high | p->bits.low) == 0;
}

bool targets_allow(const struct targets *t, const char *name, const struct addr *a)
{
	struct question q = { .name = name != NULL ? name : "", .port = addr_port(a), .has_place = true };
	q.name_len = name_length(q.name);
	q.place = network_place_of(a);
	return !is_wildcard(&q.place) && rulebook_allows(t->book, &q);
}

bool targets_may_allow(const struct targets *t, const char *name, uint16_t port)
{
	struct question q = { .name = name, .name_len = name_length(name), .port = port };
	return rulebook_allows(t->book, &q);
}
