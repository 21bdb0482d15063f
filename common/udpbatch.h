/* udpbatch.h - questions and answers of a UDP service, a batch at a time: nothing in it that an attacker could use.
 * Layer 2.
 *
 *	udpbatch_open(&b, fd, 0, 0);
 *	while (udpbatch_receive(&b, MSG_WAITFORONE) >= 0) {
 *		struct udp_question q;
 *		while (udpbatch_next(&b, clk_mono_ns(), &q))
 *			udpbatch_answer(&b, put_answer(q.bytes, q.len, q.room));
 *		udpbatch_send(&b, 0);
 *	}
 *
 * Datagrams come and go in batches (recvmmsg(2), sendmmsg(2)). An answer leaves from the address that was asked, also
 * when the socket is bound to all of them (IP_PKTINFO, IPV6_PKTINFO; ip(7)); its way back is what the routing table
 * says. Memory is fixed at udpbatch_open.
 *
 * No answer is given
 *   - to a source port below 1024 or to one that is a service's itself: two echo servers would talk to each other for
 *     ever (CERT CA-1996-01)
 *   - to a question that was sent to a broadcast or multicast address: one forged question, and a whole network answers
 *     (CERT CA-1998-01)
 *   - to a source that has asked too often lately (guard.h)
 *   - that is longer than the question, unless `may_exceed` allows it: whoever forges a source address gains nothing
 *   - that the kernel does not take: a full send queue drops it, as the network would
 * The source sees silence in each case, and a counter says which it was. */
#ifndef TCPLAB_UDPBATCH_H
#define TCPLAB_UDPBATCH_H

#include "addr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

enum {
	UDP_BATCH = 16, /* datagrams at a time */
	UDP_LEN_MAX = 65535,
	UDP_RATE = 100, /* answers each second for one source, and as many at once */
};

/* Each question received is in exactly one of those from `answered` on. */
struct udp_counters {
	uint64_t received, bytes_in, bytes_out;

	uint64_t answered;
	uint64_t silent; /* the service did not want to answer */
	uint64_t refused_port, refused_group, refused_rate, refused_long;
	uint64_t truncated; /* longer than UDP_LEN_MAX (RFC 2675), or more came with it than there is room for */
	uint64_t dropped;   /* the kernel did not take the answer */
};

/* A question that may be answered; all of it is borrowed until the next udpbatch_receive. */
struct udp_question {
	const unsigned char *bytes;
	size_t len;
	const struct addr *from;
	struct msghdr *header; /* its control messages (kstamp.h) */

	unsigned char *room;   /* where the answer is to be written: UDP_LEN_MAX bytes */
	struct msghdr *answer; /* control messages may be appended to it, as much as more_control has room for */
};

/* Lives in its owner. Read the counters freely. */
struct udpbatch {
	struct udp_counters count;
	size_t may_exceed; /* answers up to this length may be longer than their question */
	bool is_mute;      /* nobody is answered: all count as silent */
	bool is_local_free; /* sources 127.0.0.0/8 and ::1 may ask as often as they like: nobody forges those from outside */
	bool is_bare; /* nothing comes with a datagram: not from which address to answer (loopback has one), no stamps. Who asks the
		       * kernel for those sets it to false */
	uint16_t own_port;
	int fd;
	struct udpbatch_store *store;
};

/* fd: a bound UDP socket, borrowed. rate_per_s 0: UDP_RATE; at most 10^9. more_control: room in bytes for what the
 * caller has asked the kernel to tell with each datagram, and for what it is to be told with an answer, beside the
 * addresses; at most UDP_MORE_CONTROL. 0, or -1 with errno. */
enum { UDP_MORE_CONTROL = 128 };
MUST_USE int udpbatch_open(struct udpbatch *b, int fd, uint32_t rate_per_s, size_t more_control);

/* The fd stays open. */
void udpbatch_close(struct udpbatch *b);

/* What there is, in one call; flags as for recvmmsg(2). How many, or -1 with errno. BLOCKS unless MSG_DONTWAIT is
 * given. The batch before is over. */
MUST_USE int udpbatch_receive(struct udpbatch *b, int flags);

/* The next question of the batch that may be answered; false: there are no more. Without an answer it counts as
 * silent. */
MUST_USE bool udpbatch_next(struct udpbatch *b, uint64_t now_ns, struct udp_question *q);

/* The answer to that question is in its room, so long. False: it is longer than its question, and will not be sent. */
bool udpbatch_answer(struct udpbatch *b, size_t len);

/* Sends the answers of this batch; flags 0 or MSG_DONTWAIT. BLOCKS without, if the send buffer is full. */
void udpbatch_send(struct udpbatch *b, int flags);

#endif
