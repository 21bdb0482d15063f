/* portrange.h - which source ports the kernel gives to a connect(2), and so which ports can be connected to themselves. A
 * chapter of selfconnect.
 *
 * TCP, measured and as the kernel's inet_hashtables.c has it: connect(2) takes ports of the parity of the range's lower end
 * (since Linux 4.2), and bind(2) to port 0 those of the other one, so that they do not get into each other's way. Of a
 * range of an odd length connect leaves out the last port. From one try to the next, to the same destination, it goes on
 * by 1 to 8 candidates at random (since 5.18): it steps over most of them in each round. UDP takes any port, and so does TCP
 * when the socket has a range of its own (IP_LOCAL_PORT_RANGE, ip(7)).
 *
 * LIMIT: ports that are taken are not looked at. With all of one parity taken connect(2) turns to the other one. */
#ifndef TCPLAB_SELFCONNECT_PORTRANGE_H
#define TCPLAB_SELFCONNECT_PORTRANGE_H

#include "addr.h"

#include <stdbool.h>

enum { PORTRANGE_ALL = 65536 };

/* The candidates are low, low + step, ... below end, without the reserved ones: n of them. */
struct portrange {
	unsigned low, high; /* net.ipv4.ip_local_port_range, of IPv6 as well */
	unsigned step, end, n;
	bool is_reserved[PORTRANGE_ALL]; /* net.ipv4.ip_local_reserved_ports */
};

/* From the texts of the two sysctls, "32768 60999" and "8080,9000-9010"; by_parity: a TCP connect(2) that takes its
 * port from the sysctl's range. -1: the range is no range. */
MUST_USE int portrange_parse(struct portrange *p, const char *range, const char *reserved, bool by_parity);

/* The same from /proc. -1 with *e. */
MUST_USE int portrange_read(struct portrange *p, bool by_parity, struct net_error *e);

bool portrange_has(const struct portrange *p, unsigned port); /* is it a candidate? */

/* Why it is none: "outside of ip_local_port_range" and the like, after "the port is"; NULL: it is one. */
const char *portrange_why_not(const struct portrange *p, unsigned port);

/* The nearest candidate, other than the port itself; 0: there is none. */
unsigned portrange_nearest(const struct portrange *p, unsigned port);

#endif
