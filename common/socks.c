/* socks.c - see socks.h. The words are socks_parse.h's; here they are sent, and waited for. */
#include "socks.h"

#include "units.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* --- what the user typed ------------------------------------------------------------------------------------------ */

const char *socks_host_text(const char *host, uint16_t port, char out[static SOCKS_PLACE_TEXT])
{
	bool has_colon = strchr(host, ':') != NULL;
	snprintf(out, SOCKS_PLACE_TEXT, has_colon ? "[%.255s]:%u" : "%.255s:%u", host, port);
	return out;
}

const char *socks_proxy_text(const struct socks_proxy *proxy, char out[static SOCKS_PLACE_TEXT])
{
	return proxy->version != 0 ? socks_host_text(proxy->host, proxy->port, out) : NULL;
}

const char *socks_through_text(const struct socks_proxy *proxy, char out[static SOCKS_THROUGH_TEXT])
{
	char text[SOCKS_PLACE_TEXT];
	bool has_proxy = socks_proxy_text(proxy, text) != NULL;
	snprintf(out, SOCKS_THROUGH_TEXT, "%s%s", has_proxy ? " through " : "", has_proxy ? text : "");
	return out;
}

/* The first len bytes of text, if they fit. */
static bool copy_part(char out[static SOCKS_TEXT_MAX + 1], const char *text, size_t len)
{
	if (len > SOCKS_TEXT_MAX)
		return false;
	memcpy(out, text, len);
	out[len] = '\0';
	return true;
}

static int version_of(const char *scheme, size_t len)
{
	static const struct {
		const char *name;
		int version;
	} known[] = { { "socks5", 5 }, { "socks5h", 5 }, { "socks4", 4 }, { "socks4a", 4 } };
	for (size_t i = 0; i < COUNT_OF(known); i++)
		if (strlen(known[i].name) == len && strncasecmp(known[i].name, scheme, len) == 0)
			return known[i].version;
	return 0;
}

/* USER[:PASSWORD], len bytes. NULL, or what is wrong with it. */
static const char *take_login(struct socks_proxy *out, const char *text, size_t len)
{
	const char *colon = memchr(text, ':', len);
	size_t user_len = colon != NULL ? (size_t)(colon - text) : len;
	if (!copy_part(out->user, text, user_len) ||
	    (colon != NULL && !copy_part(out->password, colon + 1, len - user_len - 1)))
		return "user and password have 255 bytes each at most";
	if (out->user[0] == '\0')
		return "there is no user before the @";
	return out->version == 4 && colon != NULL ? "SOCKS 4 has a user, but no password" : NULL;
}

/* HOST[:PORT]. NULL, or what is wrong with it. */
static const char *take_host(struct socks_proxy *out, const char *text)
{
	bool is_bracketed = text[0] == '[';
	const char *begin = text + is_bracketed, *end = begin + strcspn(begin, is_bracketed ? "]" : ":");
	const char *rest = end + (is_bracketed && *end == ']');
	uint64_t port = SOCKS_PORT;
	if (is_bracketed && *end != ']')
		return "the bracket before the address is not closed";
	if (*rest == ':' && strchr(rest + 1, ':') != NULL)
		return "an IPv6 address stands in brackets";
	if (*rest != '\0' && (*rest != ':' || !units_parse_count(rest + 1, &port) || port < 1 || port > 65535))
		return "a port is a number from 1 to 65535";
	out->port = (uint16_t)port;
	if (!copy_part(out->host, begin, (size_t)(end - begin)) || !socks_is_name(out->host))
		return "it has no name or address of a host";
	/* WHY: getaddrinfo(3) would take it for the address 0.0.4.56. */
	return strspn(out->host, "0123456789") == strlen(out->host) ? "a port alone does not say which host" : NULL;
}

bool socks_proxy_parse(const char *text, struct socks_proxy *out, char why[static SOCKS_WHY])
{
	*out = (struct socks_proxy){ .version = 5 };
	const char *scheme_end = strstr(text, "://"), *rest = scheme_end != NULL ? scheme_end + 3 : text;
	const char *at = strrchr(rest, '@'), *wrong = NULL;
	if (scheme_end != NULL)
		out->version = version_of(text, (size_t)(scheme_end - text));
	if (out->version == 0)
		wrong = "the scheme is socks5, socks5h, socks4 or socks4a";
	if (wrong == NULL && at != NULL)
		wrong = take_login(out, rest, (size_t)(at - rest));
	if (wrong == NULL)
		wrong = take_host(out, at != NULL ? at + 1 : rest);
	/* The user's own words may have a password in them: they are not repeated. */
	if (wrong != NULL)
		snprintf(why, SOCKS_WHY, "%s: [SCHEME://][USER[:PASSWORD]@]HOST[:PORT]", wrong);
	return wrong == NULL;
}

/* --- places ------------------------------------------------------------------------------------------------------- */

bool socks_place_of(const char *host, uint16_t port, struct socks_place *out)
{
	struct addr a;
	struct net_error e;
	if (strchr(host, '%') == NULL && addr_literal(host, port, AF_UNSPEC, &a, &e) == 0) {
		socks_place_of_addr(&a, out);
		return true;
	}
	*out = (struct socks_place){ .kind = SOCKS_NAME, .port = port };
	return socks_is_name(host) && copy_part(out->name, host, strlen(host));
}

void socks_place_of_addr(const struct addr *a, struct socks_place *out)
{
	const unsigned char *ip6 = a->u.in6.sin6_addr.s6_addr;
	*out = (struct socks_place){ .kind = SOCKS_IPV4, .port = addr_port(a) };
	if (a->u.sa.sa_family == AF_INET) {
		memcpy(out->ip, &a->u.in4.sin_addr, 4);
	} else if (IN6_IS_ADDR_V4MAPPED(&a->u.in6.sin6_addr)) {
		memcpy(out->ip, ip6 + 12, 4);
	} else {
		out->kind = SOCKS_IPV6;
		memcpy(out->ip, ip6, 16);
	}
}

bool socks_addr_of_place(const struct socks_place *place, struct addr *out)
{
	if (place->kind == SOCKS_IPV4) {
		*out = (struct addr){ .len = sizeof(out->u.in4), .u.in4 = { .sin_family = AF_INET } };
		memcpy(&out->u.in4.sin_addr, place->ip, 4);
	} else if (place->kind == SOCKS_IPV6) {
		*out = (struct addr){ .len = sizeof(out->u.in6), .u.in6 = { .sin6_family = AF_INET6 } };
		memcpy(&out->u.in6.sin6_addr, place->ip, 16);
	} else {
		return false;
	}
	out->u.in4.sin_port = htons(place->port); /* at the same place in both (RFC 3493 3.3) */
	return true;
}

/* --- errors and replies ------------------------------------------------------------------------------------------- */

enum socks_reply socks_reply_of(const struct net_error *e)
{
	if (e->gai != 0)
		return SOCKS_HOST_UNREACHABLE;
	switch (e->sys) {
	case 0:
		return SOCKS_OK;
	case ECONNREFUSED:
		return SOCKS_REFUSED;
	case ENETUNREACH:
		return SOCKS_NET_UNREACHABLE;
	case EHOSTUNREACH:
	case ETIMEDOUT:
		return SOCKS_HOST_UNREACHABLE;
	case EACCES:
	case EPERM: /* this host's own packet filter (connect(2)) */
	case ELOOP:
		return SOCKS_NOT_ALLOWED;
	case EAFNOSUPPORT:
		return SOCKS_BAD_ADDRESS;
	default:
		return SOCKS_FAILED;
	}
}

static const struct meaning {
	int error;
	const char *reason;
} meanings[] = {
	[SOCKS_OK] = { 0, NULL },
	[SOCKS_FAILED] = { EIO, "the SOCKS server says: it failed" },
	[SOCKS_NOT_ALLOWED] = { EACCES, "the SOCKS server says: not allowed" },
	[SOCKS_NET_UNREACHABLE] = { ENETUNREACH, "the SOCKS server says: network unreachable" },
	[SOCKS_HOST_UNREACHABLE] = { EHOSTUNREACH, "the SOCKS server says: host unreachable" },
	[SOCKS_REFUSED] = { ECONNREFUSED, "the SOCKS server says: connection refused" },
	/* What Linux makes of an ICMP time exceeded (icmp(7)). */
	[SOCKS_TTL_EXPIRED] = { EHOSTUNREACH, "the SOCKS server says: the packet's time to live expired" },
	[SOCKS_BAD_COMMAND] = { EOPNOTSUPP, "the SOCKS server says: command not supported" },
	[SOCKS_BAD_ADDRESS] = { EAFNOSUPPORT, "the SOCKS server says: address type not supported" },
};

int socks_errno_of(enum socks_reply reply)
{
	return reply < COUNT_OF(meanings) ? meanings[reply].error : EIO;
}

/* --- the dialogue ------------------------------------------------------------------------------------------------- */

struct dialogue {
	int fd;
	const struct socks_proxy *proxy;
	struct socks_place place;
	const struct io_until *until;
	unsigned char answer[SOCKS_REPLY_MAX];
	size_t n;           /* bytes of the answer that is being read */
	const char *reason; /* why it failed, unless errno says it all */
};

static int fail(struct dialogue *d, int error, const char *reason)
{
	d->reason = reason;
	errno = error;
	return -1;
}

/* errno says what happened; whose doing it was is to be said, too. */
static int is_lost(struct dialogue *d)
{
	if (errno == ETIMEDOUT)
		d->reason = "the SOCKS server does not answer";
	if (errno == ECONNRESET || errno == EPIPE)
		d->reason = "the SOCKS server reset the connection";
	return -1;
}

static int say(struct dialogue *d, const unsigned char *bytes, size_t n)
{
	d->n = 0;
	return io_write_full(d->fd, bytes, n, d->until) < 0 ? is_lost(d) : 0;
}

/* One byte more. WHY not more at once: what stands behind the last answer is not ours, and where an answer ends only
 * its bytes tell. */
static int hear(struct dialogue *d)
{
	int got = io_read_full(d->fd, &d->answer[d->n++], 1, d->until);
	if (got == 0)
		return fail(d, EPROTO, "the SOCKS server ended the connection without an answer");
	return got < 0 ? is_lost(d) : 0;
}

static int log_in(struct dialogue *d)
{
	unsigned char out[SOCKS_MESSAGE_MAX];
	enum socks_step step;
	const char *why = NULL;
	bool is_right = false;
	if (say(d, out, socks_put_user(out, d->proxy->user, d->proxy->password)) < 0)
		return -1;
	while ((step = socks_get_login(d->answer, d->n, &is_right, &why)) == SOCKS_MORE)
		if (hear(d) < 0)
			return -1;
	if (step == SOCKS_BAD)
		return fail(d, EPROTO, why);
	return is_right ? 0 : fail(d, EACCES, "the SOCKS server does not take this user and password");
}

/* SOCKS 5: how to log in, and that. */
static int greet(struct dialogue *d)
{
	unsigned char out[4];
	enum socks_method method;
	enum socks_step step;
	const char *why = NULL;
	bool has_user = d->proxy->user[0] != '\0';
	if (say(d, out, socks_put_methods(out, has_user)) < 0)
		return -1;
	while ((step = socks_get_method(d->answer, d->n, &method, &why)) == SOCKS_MORE)
		if (hear(d) < 0)
			return -1;
	if (step == SOCKS_BAD)
		return fail(d, EPROTO, why);
	if (method == SOCKS_NO_METHOD)
		return fail(d, EACCES,
			    has_user ? "the SOCKS server takes neither a password nor nobody"
				     : "the SOCKS server wants a user and a password");
	if (method == SOCKS_PASSWORD && !has_user)
		return fail(d, EPROTO, "the SOCKS server wants a password that was not offered");
	return method == SOCKS_PASSWORD ? log_in(d) : 0;
}

static int request(struct dialogue *d)
{
	unsigned char out[SOCKS_MESSAGE_MAX];
	enum socks_reply reply = SOCKS_FAILED;
	enum socks_step step;
	struct socks_place bound;
	size_t used;
	const char *why = NULL;
	int version = d->proxy->version;
	size_t len = socks_put_request(out, version, SOCKS_CONNECT, &d->place, d->proxy->user);
	if (len == 0)
		return fail(d, EAFNOSUPPORT, "SOCKS 4 cannot say this address");
	if (say(d, out, len) < 0)
		return -1;
	while ((step = socks_get_reply(d->answer, d->n, version, &reply, &bound, &used, &why)) == SOCKS_MORE)
		if (hear(d) < 0)
			return -1;
	if (step == SOCKS_BAD)
		return fail(d, EPROTO, why);
	if (version == 4 && reply == SOCKS_FAILED)
		return fail(d, socks_errno_of(reply), "the SOCKS server says no, and SOCKS 4 has no word for why");
	return reply == SOCKS_OK ? 0 : fail(d, meanings[reply].error, meanings[reply].reason);
}

static int ask(struct dialogue *d, const char *host, uint16_t port)
{
	if (!socks_place_of(host, port, &d->place))
		return fail(d, EINVAL, "this is no name for a SOCKS server");
	if (io_tick(d->fd) < 0 || (d->proxy->version == 5 && greet(d) < 0))
		return -1;
	return request(d);
}

int socks_ask(int fd, const struct socks_proxy *proxy, const char *host, uint16_t port, const struct io_until *until,
	      struct net_error *e)
{
	struct dialogue d = { .fd = fd, .proxy = proxy, .until = until };
	if (proxy->version == 0 || ask(&d, host, port) == 0)
		return 0;
	char there[SOCKS_PLACE_TEXT], through[SOCKS_THROUGH_TEXT], object[SOCKS_PLACE_TEXT + SOCKS_THROUGH_TEXT];
	int saved = errno;
	snprintf(object, sizeof(object), "%s%s", socks_host_text(host, port, there),
		 socks_through_text(proxy, through));
	errno = saved;
	net_fail(e, "connect", object);
	e->reason = d.reason;
	return -1;
}
