/* udp.h - a UDP service on a loop: questions in, at most one answer for each, nothing an attacker could use. Layer 4.
 *
 * Who is answered, and who is not, is said in udpbatch.h. Memory is fixed at udp_start. */
#ifndef TCPLAB_UDP_H
#define TCPLAB_UDP_H

#include "reactor.h"
#include "udpbatch.h"

#include <sys/types.h>

struct udp;

/* The answer to the n bytes (0 is a question, too) at q: writes at most UDP_LEN_MAX bytes to `answer` and returns how
 * many, or -1 for silence. Called only for what may be answered. */
typedef ssize_t udp_answer_fn(struct udp *u, const unsigned char *q, size_t n, unsigned char *answer);

/* Lives in its owner; read batch.count freely. */
struct udp {
	struct watch watch;
	udp_answer_fn *on_question;
	struct udpbatch batch; /* may_exceed may be set after udp_start */
	bool *is_gone;         /* while on_readable runs: where udp_stop leaves word */
};

/* fd: a bound UDP socket, borrowed, becomes non-blocking; nothing else may be asked to come with its datagrams
 * (SO_TIMESTAMP and the like, cmsg(3)). rate_per_s 0: UDP_RATE; at most 10^9. fn NULL: no question is ever answered
 * (discard), they are only counted. 0, or -1 with errno, and then nothing was started. */
MUST_USE int udp_start(struct udp *u, struct reactor *r, int fd, uint32_t rate_per_s, udp_answer_fn *fn);

/* May be stopped already; fd stays open. Legal in on_question, too: the answers of that batch are not sent any more. */
void udp_stop(struct udp *u);

#endif
