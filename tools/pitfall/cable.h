/* cable.h - cuts a cable that is none: a connection over loopback on which nothing arrives any longer.
 *
 * A socket filter (SO_ATTACH_FILTER, socket(7)) looks at each segment that arrives at a socket, before TCP does. One that keeps 0
 * bytes of everything is a dead cable: no ACK, no reset, nothing. With a filter at both ends the connection is cut; with one at a
 * listener, what is to be connected is lost on the way.
 *
 * Anybody could do that to his own sockets, until Linux (commit 5d39580f68e6, and stable versions of 2026 with it) asked for
 * CAP_NET_ADMIN over the network where the socket is of TCP. Who does not have it makes himself a network where he has:
 * cable_prepare does that. */
#ifndef TCPLAB_PITFALL_CABLE_H
#define TCPLAB_PITFALL_CABLE_H

#include "addr.h"

#include <linux/filter.h>

/* Before the first socket is made, in a process of one thread: where filters are refused, this process goes into a user and a network
 * namespace of its own, for good (netns.h): loopback is another one there. 0, or -1 with *e: that is refused as well. */
MUST_USE int cable_prepare(struct net_error *e);

/* Nothing arrives at this socket from now on. 0, or -1 with *e. */
MUST_USE int cable_cut(int fd, struct net_error *e);

/* The same with a classic BPF program of your own, which sees the segment from its TCP header on. */
MUST_USE int cable_filter(int fd, struct sock_filter *program, unsigned short len, struct net_error *e);

/* Everything arrives again; what was lost stays so. 0, or -1 with *e. */
MUST_USE int cable_mend(int fd, struct net_error *e);

#endif
