/* port.h - one end of a link: a device on a host, and the descriptor through which its packets come to the emulator.
 *
 *	      host's network namespace            the emulator
 *
 *	tun:  link0 (a TUN device) <-----------> /dev/net/tun, attached to it
 *	veth: link0 <--veth--> its other half <-> a packet socket
 *
 * With either the bytes begin with the IP header. */
#ifndef TCPLAB_LINKEM_PORT_H
#define TCPLAB_LINKEM_PORT_H

#include "addr.h"
#include "cdefs.h"

#include <linux/if_packet.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct port {
	int fd;                /* non-blocking */
	char device[16];       /* on the host */
	int counters_fd;       /* /proc/net/dev of the host, for the drops of a TUN device; -1: a packet socket */
	struct sockaddr_ll to; /* packet socket: where to send */
	uint64_t dropped;      /* packet socket: so far */
};

enum { PORT_PACKET_LEN = 65535, PORT_QUEUE = 10000 /* packets */ };

/* Makes the TUN device in the network namespace that the caller is in; it goes with the process. 0, or -1 with *e. */
MUST_USE int port_open_tun(struct port *p, const char *device, struct net_error *e);

/* The other half of a veth pair, in the caller's network namespace; both halves have the same hardware address (rtnl.h,
 * no_arp). */
MUST_USE int port_open_packet(struct port *p, const char *device, const char *other_half, struct net_error *e);

/* One packet that the host sends: its length, or -1 with errno (EAGAIN: none). */
MUST_USE ssize_t port_read(struct port *p, unsigned char *bytes, size_t cap);

/* Hands a packet to the host. False: it did not take it. */
MUST_USE bool port_write(struct port *p, const unsigned char *bytes, size_t len);

/* Packets that the host wanted to send and that were lost before they came here: we were too slow. */
uint64_t port_dropped(struct port *p);

#endif
