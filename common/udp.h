/* udp.h - a UDP service on a loop: questions in, at most one answer for each, nothing an attacker could use. Layer 4.
 *
 * Datagrams come and go in batches (recvmmsg(2), sendmmsg(2)). An answer leaves from the address that was asked, also
 * when the socket is bound to all of them (IP_PKTINFO, IPV6_PKTINFO; ip(7)); its way back is what the routing table
 * says. Memory is fixed at udp_start.
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
#ifndef TCPLAB_UDP_H
#define TCPLAB_UDP_H

#include "reactor.h"

#include <sys/types.h>

enum {
	UDP_BATCH = 16, /* datagrams in one event */
	UDP_LEN_MAX = 65535,
	UDP_RATE = 100, /* answers each second for one source, and as many at once */
};

struct udp;

/* The answer to the n bytes (0 is a question, too) at q: writes at most UDP_LEN_MAX bytes to `answer` and returns how
 * many, or -1 for silence. Called only for what may be answered. */
typedef ssize_t udp_answer_fn(struct udp *u, const unsigned char *q, size_t n, unsigned char *answer);

/* Lives in its owner; read the counters freely. Each question received is in exactly one of the counters below. */
struct udp {
	struct watch watch;
	udp_answer_fn *on_question;
	size_t may_exceed; /* answers up to this length may be longer than their question; set it after udp_start */
	uint64_t received, bytes_in, bytes_out;

	uint64_t answered;
	uint64_t silent; /* the service did not want to answer */
	uint64_t refused_port, refused_group, refused_rate, refused_long;
	uint64_t truncated; /* longer than UDP_LEN_MAX (RFC 2675), or more came with it than there is room for */
	uint64_t dropped;   /* the kernel did not take the answer */

	uint16_t own_port;
	struct udp_batch *batch;
};

/* fd: a bound UDP socket, borrowed, becomes non-blocking; nothing else may be asked to come with its datagrams
 * (SO_TIMESTAMP and the like, cmsg(3)). rate_per_s 0: UDP_RATE; at most 10^9. fn NULL: no question is ever answered
 * (discard), they are only counted. 0, or -1 with errno, and then nothing was started. */
MUST_USE int udp_start(struct udp *u, struct reactor *r, int fd, uint32_t rate_per_s, udp_answer_fn *fn);

/* May be stopped already; fd stays open. Legal in on_question, too: the answers of that batch are not sent any more. */
void udp_stop(struct udp *u);

#endif
