#include "place.h"

#include "socks.h"

#include <string.h>

struct addr place_unmapped(const struct addr *a)
{
	const struct sockaddr_in6 *in6 = &a->u.in6;
	if (a->u.sa.sa_family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr))
		return *a;
	struct addr plain = place_everywhere(AF_INET, ntohs(in6->sin6_port));
	memcpy(&plain.u.in4.sin_addr, &in6->sin6_addr.s6_addr[12], sizeof(plain.u.in4.sin_addr));
	return plain;
}

struct addr place_everywhere(int family, uint16_t port)
{
	if (family == AF_INET)
		return (struct addr){ .len = sizeof(struct sockaddr_in),
				      .u.in4 = { .sin_family = AF_INET, .sin_port = htons(port) } };
	return (struct addr){ .len = sizeof(struct sockaddr_in6),
			      .u.in6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) } };
}

void place_set_port(struct addr *a, uint16_t port)
{
	if (a->u.sa.sa_family == AF_INET)
		a->u.in4.sin_port = htons(port);
	else
		a->u.in6.sin6_port = htons(port);
}

bool place_is_nowhere(const struct addr *a)
{
	return a->u.sa.sa_family == AF_INET ? a->u.in4.sin_addr.s_addr == INADDR_ANY
					    : IN6_IS_ADDR_UNSPECIFIED(&a->u.in6.sin6_addr);
}

bool place_is_same_host(const struct addr *a, const struct addr *b)
{
	struct addr one = place_unmapped(a), other = place_unmapped(b);
	if (one.u.sa.sa_family != other.u.sa.sa_family)
		return false;
	if (one.u.sa.sa_family == AF_INET)
		return one.u.in4.sin_addr.s_addr == other.u.in4.sin_addr.s_addr;
	uint32_t scope = one.u.in6.sin6_scope_id, other_scope = other.u.in6.sin6_scope_id;
	return IN6_ARE_ADDR_EQUAL(&one.u.in6.sin6_addr, &other.u.in6.sin6_addr) &&
	       (scope == other_scope || scope == 0 || other_scope == 0);
}

/* --- datagrams ---------------------------------------------------------------------------------------------------- */

struct addr place_source(const struct addr *peer, const struct socks_place *place)
{
	struct addr source = place_unmapped(peer), named;
	bool is_known = socks_addr_of_place(place, &named) &&
			(place_is_nowhere(&named) || place_is_same_host(&named, &source));
	place_set_port(&source, is_known ? place->port : 0);
	return source;
}

bool place_is_source(const struct addr *source, const struct addr *from)
{
	return place_is_same_host(source, from) && (addr_port(source) == 0 || addr_port(source) == addr_port(from));
}

static bool is_group(const struct addr *to)
{
	if (to->u.sa.sa_family == AF_INET6)
		return IN6_IS_ADDR_MULTICAST(&to->u.in6.sin6_addr);
	in_addr_t ip = ntohl(to->u.in4.sin_addr.s_addr);
	return IN_MULTICAST(ip) || ip == INADDR_BROADCAST;
}

bool place_takes_datagrams(const struct addr *to)
{
	return addr_port(to) != 0 && !is_group(to);
}

unsigned char *place_put_head(unsigned char *payload, const struct addr *from)
{
	unsigned char head[SOCKS_DATAGRAM_HEAD];
	struct socks_place place;
	socks_place_of_addr(from, &place);
	size_t len = socks_put_datagram(head, &place);
	memcpy(payload - len, head, len);
	return payload - len;
}
