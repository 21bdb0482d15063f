/* network.h - a network as people write it, and the question whether an address is in it. Memory only.
 *
 * An IPv4-mapped IPv6 address or network is the IPv4 one: "::/0" is every IPv6 address and no IPv4 one. */
#ifndef RELAY_NETWORK_H
#define RELAY_NETWORK_H

#include "addr.h"

#include <stdbool.h>
#include <stdint.h>

/* An address as 128 bits: IPv4 as it is written in IPv6 (RFC 4291 2.5.5.2). */
struct network_bits {
	uint64_t high, low;
};

struct network {
	struct network_bits first, mask;
	int family; /* AF_INET, AF_INET6; AF_UNSPEC: "all" */
};

/* "10.0.0.0/8", "2001:db8::/32", an address alone, "all". NULL; or what is wrong, for people, a static string. */
MUST_USE const char *network_parse(struct network *net, const char *text);

/* An address, made ready to be asked about: there may be many networks. Of a unix socket: only "all" has it. The port
 * does not count, nor does an interface (fe80::1%eth0). */
struct network_place {
	struct network_bits bits;
	int family; /* of an IPv4-mapped address AF_INET */
};
struct network_place network_place_of(const struct addr *a);

static inline bool network_has(const struct network *net, const struct network_place *p)
{
	uint64_t high = (p->bits.high ^ net->first.high) & net->mask.high;
	uint64_t low = (p->bits.low ^ net->first.low) & net->mask.low;
	return net->family == AF_UNSPEC || (net->family == p->family && (high | low) == 0);
}

#endif
