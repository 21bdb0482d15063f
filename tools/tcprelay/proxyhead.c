#include "proxyhead.h"

#include "wire.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>
#include <string.h>

static const unsigned char v1_start[] = "PROXY ";
static const unsigned char v2_start[] = "\r\n\r\n\0\r\nQUIT\n"; /* no text protocol begins like this */

enum {
	V1_START_LEN = sizeof(v1_start) - 1,
	V2_START_LEN = sizeof(v2_start) - 1,
	IP4_LEN = 4,
	IP6_LEN = 16,
	PORT_LEN = 2,
	UNIX_LEN = 108,
};

/* Byte 13 of version 2: the version and the command. Byte 14: the family and the kind of socket. */
enum { V2_LOCAL = 0x20, V2_PROXY = 0x21 };
enum v2_family { V2_UNSPEC = 0x00, V2_TCP4 = 0x11, V2_UDP4, V2_TCP6 = 0x21, V2_UDP6, V2_STREAM = 0x31, V2_DGRAM };

/* The ip stands at the same place of either family's own struct. */
static struct addr make_addr(int family, const void *ip, uint16_t port)
{
	struct addr a = { .len = sizeof(a.u.in4) };
	a.u.sa.sa_family = (sa_family_t)family;
	if (family == AF_INET) {
		a.u.in4.sin_port = htons(port);
		memcpy(&a.u.in4.sin_addr, ip, IP4_LEN);
		return a;
	}
	a.len = sizeof(a.u.in6);
	a.u.in6.sin6_port = htons(port);
	memcpy(&a.u.in6.sin6_addr, ip, IP6_LEN);
	return a;
}

/* --- version 1: "PROXY TCP4 192.0.2.1 192.0.2.2 40000 80\r\n" ----------------------------------------------------- */

/* 0 to 65535, without a sign or a leading zero. */
static bool parse_port(const char *text, uint16_t *port)
{
	unsigned value = 0;
	size_t len = strlen(text);
	if (len < 1 || len > 5 || strspn(text, "0123456789") != len || (len > 1 && text[0] == '0'))
		return false;
	for (; *text != '\0'; text++)
		value = value * 10 + (unsigned)(*text - '0');
	*port = (uint16_t)value;
	return value <= UINT16_MAX;
}

static bool parse_address(struct addr *a, int family, const char *ip_text, const char *port_text)
{
	unsigned char ip[IP6_LEN];
	uint16_t port;
	if (inet_pton(family, ip_text, ip) != 1 || !parse_port(port_text, &port))
		return false;
	*a = make_addr(family, ip, port);
	return true;
}

/* `line`: what stands behind "PROXY ", without CR LF; it is taken apart. One blank between two words, no more. */
static bool parse_line(struct proxyhead *h, char *line)
{
	char *words[5];
	for (size_t i = 0; i < 5; i++) {
		words[i] = strsep(&line, " ");
		if (strcmp(words[0], "UNKNOWN") ==
		    0) { /* "the receiver must ignore anything presented before the CRLF" */
			h->is_local = true;
			return true;
		}
		if ((line == NULL) != (i == 4))
			return false;
	}
	bool is_4 = strcmp(words[0], "TCP4") == 0;
	int family = is_4 ? AF_INET : AF_INET6;
	return (is_4 || strcmp(words[0], "TCP6") == 0) && parse_address(&h->client, family, words[1], words[3]) &&
	       parse_address(&h->server, family, words[2], words[4]);
}

static enum proxyhead_result get_line(struct proxyhead *h, const unsigned char *p, size_t n, const char **why)
{
	char line[PROXYHEAD_V1_MAX];
	const unsigned char *lf = memchr(p, '\n', n < PROXYHEAD_V1_MAX ? n : PROXYHEAD_V1_MAX);
	if (lf == NULL && n < PROXYHEAD_V1_MAX)
		return PROXYHEAD_MORE;
	*why = "a PROXY line that does not end";
	if (lf == NULL || lf[-1] != '\r')
		return PROXYHEAD_BAD;
	size_t len = (size_t)(lf - 1 - p) - V1_START_LEN;
	memcpy(line, p + V1_START_LEN, len);
	line[len] = '\0';
	struct proxyhead found = { .version = 1, .len = (size_t)(lf + 1 - p) };
	*why = "a PROXY line that is wrong";
	if (strlen(line) != len || !parse_line(&found, line))
		return PROXYHEAD_BAD;
	*h = found;
	return PROXYHEAD_DONE;
}

/* --- version 2: the start, version and command, family, 16 bits of length, addresses, ports, TLVs ------------------ */

/* How long the addresses are, or -1: no such family. */
static int addresses_len(enum v2_family family)
{
	switch (family) {
	case V2_UNSPEC:
		return 0;
	case V2_TCP4:
	case V2_UDP4:
		return 2 * (IP4_LEN + PORT_LEN);
	case V2_TCP6:
	case V2_UDP6:
		return 2 * (IP6_LEN + PORT_LEN);
	case V2_STREAM:
	case V2_DGRAM:
		return 2 * UNIX_LEN;
	}
	return -1;
}

static void get_addresses(struct proxyhead *h, enum v2_family v2, const unsigned char *p)
{
	if (v2 != V2_TCP4 && v2 != V2_TCP6)
		return;
	int family = v2 == V2_TCP4 ? AF_INET : AF_INET6;
	size_t ip_len = v2 == V2_TCP4 ? IP4_LEN : IP6_LEN;
	h->client = make_addr(family, p, be16_get(p + 2 * ip_len));
	h->server = make_addr(family, p + ip_len, be16_get(p + 2 * ip_len + PORT_LEN));
}

/* NULL: nothing, so far. Of LOCAL the family and what follows is to be ignored. */
static const char *what_is_wrong(unsigned command, enum v2_family family, size_t len)
{
	int least = command == V2_LOCAL ? 0 : addresses_len(family);
	if (command >> 4 != 2)
		return "a PROXY head of a version that is unknown";
	if (command != V2_LOCAL && command != V2_PROXY)
		return "a PROXY head with a command that is unknown";
	if (least < 0)
		return "a PROXY head with a family that is unknown";
	if (len < (size_t)least)
		return "a PROXY head that is too short for its addresses";
	return len > PROXYHEAD_TAKES - PROXYHEAD_V2_MIN ? "a PROXY head that is too long" : NULL;
}

static enum proxyhead_result get_binary(struct proxyhead *h, const unsigned char *p, size_t n, const char **why)
{
	if (n < PROXYHEAD_V2_MIN)
		return PROXYHEAD_MORE;
	unsigned command = p[12];
	enum v2_family family = (enum v2_family)p[13];
	size_t len = be16_get(p + 14);
	const char *wrong = what_is_wrong(command, family, len);
	if (wrong != NULL) {
		*why = wrong;
		return PROXYHEAD_BAD;
	}
	if (n - PROXYHEAD_V2_MIN < len)
		return PROXYHEAD_MORE;
	*h = (struct proxyhead){ .version = 2, .len = PROXYHEAD_V2_MIN + len, .is_local = command == V2_LOCAL };
	if (!h->is_local)
		get_addresses(h, family, p + PROXYHEAD_V2_MIN);
	return PROXYHEAD_DONE;
}

/* --- either ------------------------------------------------------------------------------------------------------- */

/* As far as they go, are the bytes those? */
static bool begins_like(const unsigned char *p, size_t n, const unsigned char *start, size_t len)
{
	return memcmp(p, start, n < len ? n : len) == 0;
}

enum proxyhead_result proxyhead_get(struct proxyhead *h, const unsigned char *p, size_t n, const char **why)
{
	if (n == 0)
		return PROXYHEAD_MORE;
	if (begins_like(p, n, v1_start, V1_START_LEN))
		return n < V1_START_LEN ? PROXYHEAD_MORE : get_line(h, p, n, why);
	if (begins_like(p, n, v2_start, V2_START_LEN))
		return get_binary(h, p, n, why);
	*why = "no PROXY head";
	return PROXYHEAD_BAD;
}

/* --- put ---------------------------------------------------------------------------------------------------------- */

/* An address as 16 bytes: an IPv4 one is IPv4-mapped (RFC 4291 2.5.5.2). False: it is neither. */
static bool get_mapped(const struct addr *a, unsigned char ip[static IP6_LEN])
{
	static const unsigned char prefix[12] = { [10] = 0xff, [11] = 0xff };
	if (a->len == 0 || (a->u.sa.sa_family != AF_INET && a->u.sa.sa_family != AF_INET6))
		return false;
	if (a->u.sa.sa_family == AF_INET6) {
		memcpy(ip, &a->u.in6.sin6_addr, IP6_LEN);
		return true;
	}
	memcpy(ip, prefix, sizeof(prefix));
	memcpy(ip + sizeof(prefix), &a->u.in4.sin_addr, IP4_LEN);
	return true;
}

static bool is_mapped(const unsigned char ip[static IP6_LEN])
{
	struct in6_addr in6;
	memcpy(&in6, ip, sizeof(in6));
	return IN6_IS_ADDR_V4MAPPED(&in6);
}

/* What both versions say: two addresses of one family, without the twelve bytes that an IPv4 one has in front of it here. */
struct both {
	int family; /* AF_UNSPEC: nothing is known */
	unsigned char ip[2][IP6_LEN];
	uint16_t port[2];
};

static size_t put_line(unsigned char *out, const struct both *b)
{
	char line[PROXYHEAD_V1_MAX + 1], from[INET6_ADDRSTRLEN], to[INET6_ADDRSTRLEN];
	size_t skip = b->family == AF_INET ? IP6_LEN - IP4_LEN : 0;
	snprintf(line, sizeof(line), "PROXY UNKNOWN\r\n");
	if (b->family != AF_UNSPEC)
		snprintf(line, sizeof(line), "PROXY TCP%c %s %s %u %u\r\n", b->family == AF_INET ? '4' : '6',
			 inet_ntop(b->family, b->ip[0] + skip, from, sizeof(from)),
			 inet_ntop(b->family, b->ip[1] + skip, to, sizeof(to)), b->port[0], b->port[1]);
	size_t len = strlen(line);
	memcpy(out, line, len);
	return len;
}

static size_t put_binary(unsigned char *out, const struct both *b)
{
	size_t ip_len = b->family == AF_INET ? IP4_LEN : IP6_LEN, skip = IP6_LEN - ip_len;
	unsigned char *ips = out + PROXYHEAD_V2_MIN, *ports = ips + 2 * ip_len;
	bool is_local = b->family == AF_UNSPEC;
	size_t len = is_local ? 0 : 2 * (ip_len + PORT_LEN);
	memcpy(out, v2_start, V2_START_LEN);
	out[12] = is_local ? V2_LOCAL : V2_PROXY;
	out[13] = is_local ? V2_UNSPEC : b->family == AF_INET ? V2_TCP4 : V2_TCP6;
	be16_put(out + 14, (uint16_t)len);
	if (is_local)
		return PROXYHEAD_V2_MIN;
	memcpy(ips, b->ip[0] + skip, ip_len);
	memcpy(ips + ip_len, b->ip[1] + skip, ip_len);
	be16_put(ports, b->port[0]);
	be16_put(ports + PORT_LEN, b->port[1]);
	return PROXYHEAD_V2_MIN + len;
}

size_t proxyhead_put(unsigned char out[static PROXYHEAD_PUT], unsigned version, const struct addr *client,
		     const struct addr *server)
{
	struct both b = { .family = AF_UNSPEC };
	assert(version == 1 || version == 2);
	if (get_mapped(client, b.ip[0]) && get_mapped(server, b.ip[1])) {
		b.family = is_mapped(b.ip[0]) && is_mapped(b.ip[1]) ? AF_INET : AF_INET6;
		b.port[0] = addr_port(client);
		b.port[1] = addr_port(server);
	}
	return version == 1 ? put_line(out, &b) : put_binary(out, &b);
}
