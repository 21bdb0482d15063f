/* rtnl.h - network devices, addresses and routes of a network namespace: rtnetlink(7). Layer 2.
 *
 * What ip(8) does, as far as a laboratory needs it: pairs of virtual Ethernet devices, a device up, an address, a
 * route. All but rtnl_index needs CAP_NET_ADMIN in the namespace, which root of a private one has (netns.h).
 *
 *	struct rtnl r;
 *	if (rtnl_open(&r, &e) < 0 || rtnl_veth(&r, "left", "right", other_netns_fd, &e) < 0)
 *		die("%s", net_error_text(&e, text));
 *	rtnl_close(&r);
 *
 * A socket belongs to the network namespace in which it was opened, also when its process goes to another one.
 * Each call asks the kernel, which answers at once; after 2 s without an answer it fails with ETIMEDOUT. 0, or -1 with
 * *e: op, the object (in parentheses what the kernel says about it, if anything), and the errno value: EPERM without
 * the capability, EEXIST for what is there already, ENODEV for a device that is not, ENAMETOOLONG for a name of more
 * than 15 bytes, EBADMSG for an answer that makes no sense. */
#ifndef TCPLAB_RTNL_H
#define TCPLAB_RTNL_H

#include "addr.h"
#include "cdefs.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Lives in its owner, one thread. */
struct rtnl {
	int fd; /* -1: closed */
	uint32_t sequence;
};

MUST_USE int rtnl_open(struct rtnl *r, struct net_error *e);
void rtnl_close(struct rtnl *r); /* also after an open that failed, and twice */

/* A pair of virtual Ethernet devices: `name` here, `peer` in the network namespace of netns_fd (-1: here, too). Both or
 * none; they are down. veth(4). EOPNOTSUPP: this kernel has none. */
MUST_USE int rtnl_veth(struct rtnl *r, const char *name, const char *peer, int netns_fd, struct net_error *e);

/* The number of a device; 0 with *e (ENODEV) when there is none of that name. */
MUST_USE unsigned rtnl_index(struct rtnl *r, const char *name, struct net_error *e);

/* What is 0 or false is left as it is. */
struct rtnl_device {
	unsigned mtu;          /* bytes; below 1280 there is no IPv6 (RFC 8200 5) */
	unsigned tx_queue_len; /* packets */

	/* No neighbour discovery: everything goes to whoever is at the other end. It must be so at both ends: such an
	 * Ethernet device gets a hardware address that is the same for all. */
	bool no_arp;

	/* IPv6: no link-local address and so no router solicitation; with no_arp no report of a group either: nothing
	 * leaves the device but what programs send. Switch IPv6 forwarding on after this, not before: a router's
	 * device joins groups when forwarding comes on, and reports that when it goes up. */
	bool no_auto_address;
	bool is_up; /* done last; see rtnl_wait_link() */
};

/* Makes a device as described. Without an error the device is so when this returns; with one, in part. */
MUST_USE int rtnl_set(struct rtnl *r, const char *name, const struct rtnl_device *d, struct net_error *e);

/* Waits until a device that is up passes packets, at most 2 s (ETIMEDOUT). A veth device does so soon after the other
 * end went up, too, but not at once: the kernel looks at links in a thread of its own. Until then it drops without a
 * word what is sent. */
MUST_USE int rtnl_wait_link(struct rtnl *r, const char *name, struct net_error *e);

/* Puts a queueing discipline at the root of a device, as `tc qdisc add dev NAME root KIND` does; options is the kind's
 * own structure (linux/pkt_sched.h). ENOENT: this kernel has no such kind. */
MUST_USE int rtnl_add_qdisc(struct rtnl *r, const char *name, const char *kind, const void *options, size_t len,
			    struct net_error *e);

/* Gives a device an address, with the network of so many bits. On a device that is up it is usable when this returns,
 * an IPv6 address, too: without duplicate address detection. The port of *a does not matter. EINVAL: more bits than the
 * address has, or IPv6 on a device with an MTU below 1280. */
MUST_USE int rtnl_add_address(struct rtnl *r, const char *name, const struct addr *a, unsigned prefix_len,
			      struct net_error *e);

/* A route to the network of `to` (its bits behind the prefix do not matter): through the router `via`, or with via NULL
 * directly to whoever is at the end of the device. prefix_len 0 is the default route; `to` then only says whether of
 * IPv4 or IPv6. ENETDOWN: the device must be up. ENETUNREACH: no route leads to the router. */
MUST_USE int rtnl_add_route(struct rtnl *r, const char *name, const struct addr *to, unsigned prefix_len,
			    const struct addr *via, struct net_error *e);

/* Switches off what virtual devices leave to hardware: checksums, segmentation (ethtool's ioctl, netdevice(7)). A
 * packet then is on the device as it would be on a wire. What the device does not know of is skipped. The device is in
 * the network namespace of the caller. */
MUST_USE int rtnl_plain_packets(const char *name, struct net_error *e);

#endif
