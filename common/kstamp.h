/* kstamp.h - when a datagram passed through the kernel: SO_TIMESTAMPING. Layer 2.
 *
 *	send(2)        sched              sent                received           recv(2) returns
 *	   |             |                  |                     |                     |
 *	program --> queue discipline --> driver --> ... wire --> driver --> socket --> program
 *
 * All software stamps are CLOCK_REALTIME, ns since 1970, so they compare with clk_real_ns of the same host. The
 * stamps of a received datagram come with it, as a control message. Those of a sent one come later, in the socket's
 * error queue, and tell by a number which one they are about: the kernel counts the datagrams for which stamps were
 * asked, from 0 on. While one waits there, poll(2) says POLLERR, whether it was asked to or not. No right is needed.
 * Where the card has a clock of its own and somebody has switched it on (hwstamp_ctl(8)), its stamps come, too; that
 * clock is not set by anybody, so only differences between stamps of one card mean something.
 *
 * Source: Documentation/networking/timestamping.rst of the Linux kernel. */
#ifndef TCPLAB_KSTAMP_H
#define TCPLAB_KSTAMP_H

#include "cdefs.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <time.h>

enum kstamp_what {
	KSTAMP_RECEIVED = 1 << 0, /* with each datagram received */
	KSTAMP_SENT = 1 << 1,     /* of each datagram sent: SCHED and SND */
	KSTAMP_HARDWARE = 1 << 2, /* those of the card as well, for the directions that are asked for */
};

enum {
	/* Room for one datagram's stamps in msg_control, beside what else was asked for. */
	KSTAMP_LEN = CMSG_SPACE(3 * sizeof(struct timespec)),
	/* Room for the control message that asks for the stamps of one datagram. */
	KSTAMP_ASK_LEN = CMSG_SPACE(sizeof(uint32_t)),
};

/* From now on; `what` is of enum kstamp_what. Without KSTAMP_SENT the stamps of single datagrams can still be asked
 * for, by kstamp_ask_one. 0, or -1 with errno.
 *
 * Each call begins the count of sent datagrams at 0, and drops the stamps that wait in the error queue. So call it again
 * after a send(2) that failed: whether that one was counted depends on who refused it (a firewall does so after the
 * count) and on the kernel (before Linux 6.9). The first datagrams that come after the call may have no stamp: the kernel switches its stamps on a little later, for all sockets at once; and
 * for that reason stamps may come to a socket that has asked for none, so KSTAMP_LEN of room is always needed after
 * this call. */
MUST_USE int kstamp_ask(int fd, unsigned what);

/* Asks for SCHED and SND of this one datagram: appends a control message; m->msg_control has KSTAMP_ASK_LEN bytes of
 * room behind m->msg_controllen, which is the sum of the CMSG_SPACEs of those before it, if any (pktinfo.h). `what`:
 * KSTAMP_HARDWARE, or 0. kstamp_ask was called before, with KSTAMP_HARDWARE if it is wanted here. */
void kstamp_ask_one(struct msghdr *m, unsigned what);

/* What came with a datagram, after recvmsg(2). Zero: no such stamp. */
struct kstamp_received {
	int64_t software_ns, hardware_ns;
};
struct kstamp_received kstamp_received(struct msghdr *m);

struct kstamp_sent {
	uint32_t number; /* of the datagram, among those for which stamps were asked */
	enum kstamp_event { KSTAMP_SCHED, KSTAMP_SND, KSTAMP_SND_HARDWARE } event;
	int64_t ns;
};

/* Takes the next stamp of a sent datagram from the error queue. 1; 0: there is none (now); -1 with errno. What else
 * is in the queue (ICMP errors, which lie there only with IP_RECVERR, ip(7)) is skipped, and gone. Never blocks.
 *
 * Stamps lie in the receive buffer, 832 bytes each: 255 fill the usual one (SO_RCVBUF, socket(7)). Then further stamps
 * are lost, and it has room for one datagram instead of some 250. Whoever asks for stamps takes them. */
MUST_USE int kstamp_take(int fd, struct kstamp_sent *out);

/* The same for somebody who has read the error queue himself. False: the message is about something else. */
MUST_USE bool kstamp_sent(struct msghdr *m, struct kstamp_sent *out);

#endif
