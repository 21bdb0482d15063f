/* pktinfo.h - from which of our addresses a datagram's answer leaves: from the one that was asked. Layer 2.
 *
 * A UDP socket on the wildcard address answers from whatever address the routing table prefers. On a host with several
 * the client then gets an answer from somebody whom it did not ask, and drops it. So the kernel is made to tell with
 * each datagram to which address it was sent, and is told the same for the answer (ip(7), RFC 3542 6).
 *
 *	pktinfo_ask(fd)            once
 *	recvmsg with control       PKTINFO_LEN bytes of room in msg_control
 *	pktinfo_answer(&q, &a)     fills a.msg_control, then sendmsg(2) */
#ifndef TCPLAB_PKTINFO_H
#define TCPLAB_PKTINFO_H

#include "cdefs.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>

/* Room for what the kernel tells with each datagram: on a dual-stack socket it tells both. Align it as a cmsghdr. */
enum { PKTINFO_LEN = CMSG_SPACE(sizeof(struct in_pktinfo)) + CMSG_SPACE(sizeof(struct in6_pktinfo)) };

/* From now on each datagram comes with the address that it was sent to. 0, or -1 with errno. */
MUST_USE int pktinfo_ask(int fd, int family);

/* Makes the answer leave from the address that the question was sent to. answer->msg_control has room for
 * PKTINFO_LEN bytes; its msg_controllen is set, to 0 when the question does not tell. False: a group was asked (multicast,
 * broadcast), so others were, too, and it is for the kernel to find the address. */
bool pktinfo_answer(struct msghdr *question, struct msghdr *answer);

#endif
