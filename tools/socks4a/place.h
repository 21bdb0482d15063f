/* place.h - what BIND and UDP ASSOCIATE decide about addresses. Memory only, so that it can be tested without a
 * network. */
#ifndef SOCKS4A_PLACE_H
#define SOCKS4A_PLACE_H

#include "addr.h"
#include "socks_parse.h"

#include <stdbool.h>

/* An IPv4-mapped address as the IPv4 one that it is (RFC 4291 2.5.5.2); all others as they are. A dual-stack socket
 * has such, and a client may name such. */
struct addr place_unmapped(const struct addr *a);

struct addr place_everywhere(int family, uint16_t port); /* 0.0.0.0 or :: */
void place_set_port(struct addr *a, uint16_t port);
bool place_is_nowhere(const struct addr *a); /* 0.0.0.0 or ::, whatever the port */

/* The same host, whatever the ports; of link-local addresses on the same interface, where both name one. */
bool place_is_same_host(const struct addr *a, const struct addr *b);

/* --- datagrams ---------------------------------------------------------------------------------------------------- */

/* Whence datagrams are taken, for a client whose connection comes from `peer` and which named `place` in its request.
 * The port is 0 as long as it is not known: the first datagram tells.
 *
 * WHY peer's address and not the one that was named: who may name any address could have answers sent to anybody. A
 * client behind a NAT names an address that we never see, and then its port means nothing to us, either. */
struct addr place_source(const struct addr *peer, const struct socks_place *place);

bool place_is_source(const struct addr *source, const struct addr *from); /* is it the client's? */

/* May a datagram go there, whatever the rules say? Port 0 is nobody's (RFC 768). Many would answer what goes to a group
 * (multicast, broadcast): the server would multiply what its clients send (CERT CA-1998-01). A network's own broadcast
 * address looks like any other one; the kernel refuses it (EACCES, ip(7)). */
bool place_takes_datagrams(const struct addr *to);

enum { PLACE_HEAD = 4 + 16 + 2 /* the longest head that we put: with an IPv6 address */ };

/* Writes the head of a datagram that came `from` there (RFC 1928 7) right in front of its payload, where there is
 * room for PLACE_HEAD bytes. Where it begins. */
unsigned char *place_put_head(unsigned char *payload, const struct addr *from);

#endif
