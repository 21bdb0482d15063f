/* hosts.h - the hosts and the devices between them.
 *
 *	without a router:   a [link0] ===== emulated ===== [link0] b
 *	with one:           a [link0] ===== emulated ===== [to-a] r [to-b] ---- veth, or emulated, too ---- [link0] b
 *
 *	a  10.9.1.1  fd09:1::1     r  10.9.1.254  fd09:1::fe  (to-a)     b  10.9.2.1  fd09:2::1
 *	                              10.9.2.254  fd09:2::fe  (to-b)
 *
 * Nothing is on the link but what a program on a host sends: no ARP, no neighbour or router solicitation, no group
 * report. */
#ifndef TCPLAB_LINKEM_HOSTS_H
#define TCPLAB_LINKEM_HOSTS_H

#include "linkem.h"
#include "port.h"

struct hosts {
	int netns[LINKEM_HOSTS];         /* -1: there is no router */
	int mounts, pids;                /* the other namespaces that a program on a host is in */
	int listeners[LINKEM_HOSTS];     /* the control socket of each host, bound; -1 */
	struct port ports[LINKEM_LANES]; /* lane i comes in at port i and goes out at port i ^ 1 */
	unsigned n_ports;                /* 2 or 4 */
	bool is_tun, has_ipv6;
};

/* Makes all of it. The caller is process 1 of a PID namespace, in a mount namespace of his own, with a single thread
 * and root of the network namespaces to come; he is in one of them afterwards. 0, or -1 with *e; what was made ends
 * with the process. */
MUST_USE int hosts_make(struct hosts *h, const struct linkem_options *o, struct net_error *e);

/* "10.9.1.1", "fd09:1::1" */
const char *hosts_address(enum linkem_host host, int family);

#endif
