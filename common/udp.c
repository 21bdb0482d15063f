#include "udp.h"

#include "clock.h"
#include "diag.h"
#include "guard.h"
#include "mem.h"
#include "pktinfo.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>

struct datagram {
	struct iovec iov;
	_Alignas(struct cmsghdr) unsigned char control[PKTINFO_LEN];
	unsigned char bytes[UDP_LEN_MAX];
};

/* 2 MiB, of which only the pages that datagrams really filled are ever backed by memory. */
struct udp_batch {
	bool is_busy, is_stopped; /* inside on_readable; and udp_stop was called there */
	unsigned n_answers;
	struct addr from[UDP_BATCH];
	struct mmsghdr in[UDP_BATCH], out[UDP_BATCH];
	struct datagram question[UDP_BATCH], answer[UDP_BATCH];
	struct guard guard;
};

/* --- who asked, and where ---------------------------------------------------------------------------------------- */

/* Ports at which nobody can have asked: those of the system's services, of the course's, and our own. */
static bool is_service_port(const struct udp *u, uint16_t port)
{
	static const uint16_t services[] = { 2007, 2009, 2013, 2019, 2037 };
	for (size_t i = 0; i < COUNT_OF(services); i++)
		if (port == services[i])
			return true;
	return port < 1024 || port == u->own_port;
}

/* --- a batch ----------------------------------------------------------------------------------------------------- */

static void set_message(struct msghdr *m, struct addr *peer, struct datagram *d)
{
	d->iov = (struct iovec){ .iov_base = d->bytes, .iov_len = sizeof(d->bytes) };
	*m = (struct msghdr){
		.msg_name = &peer->u,
		.msg_namelen = sizeof(peer->u),
		.msg_iov = &d->iov,
		.msg_iovlen = 1,
		.msg_control = d->control,
		.msg_controllen = sizeof(d->control),
	};
}

static int receive(struct udp_batch *b, int fd)
{
	/* The kernel writes into each what it received: set them up afresh. */
	for (int i = 0; i < UDP_BATCH; i++)
		set_message(&b->in[i].msg_hdr, &b->from[i], &b->question[i]);
	/* No timeout: that of recvmmsg is looked at only when a datagram comes (recvmmsg(2), BUGS). */
	int n = recvmmsg(fd, b->in, UDP_BATCH, MSG_DONTWAIT, NULL);
	if (diag_trace)
		tracef("recvmmsg(%d, %d) = %d", fd, UDP_BATCH, n);
	return n;
}

/* The counter that tells why question i is not answered, NULL when it may be. Makes the answer's header ready. */
static uint64_t *why_not(struct udp *u, struct udp_batch *b, int i, struct msghdr *answer)
{
	struct msghdr *question = &b->in[i].msg_hdr;
	const struct addr *from = &b->from[i];
	set_message(answer, &b->from[i], &b->answer[b->n_answers]);
	answer->msg_namelen = question->msg_namelen;
	if (question->msg_flags & (MSG_TRUNC | MSG_CTRUNC))
		return &u->truncated;
	if (u->on_question == NULL)
		return &u->silent;
	if (is_service_port(u, addr_port(from)))
		return &u->refused_port;
	if (!pktinfo_answer(question, answer))
		return &u->refused_group;
	if (!guard_allow(&b->guard, addr_source(from), reactor_now_ns(u->watch.r)))
		return &u->refused_rate;
	return NULL;
}

static void take_question(struct udp *u, struct udp_batch *b, int i)
{
	size_t n = b->in[i].msg_len;
	struct mmsghdr *out = &b->out[b->n_answers];
	struct datagram *answer = &b->answer[b->n_answers];
	u->received++;
	u->bytes_in += n;
	uint64_t *counter = why_not(u, b, i, &out->msg_hdr);
	if (counter != NULL) {
		++*counter;
		return;
	}
	ssize_t len = u->on_question(u, b->question[i].bytes, n, answer->bytes);
	if (b->is_stopped)
		return; /* and u may be gone */
	assert(len <= UDP_LEN_MAX);
	if (len < 0) {
		u->silent++;
	} else if ((size_t)len > n && (size_t)len > u->may_exceed) {
		u->refused_long++;
	} else {
		answer->iov.iov_len = (size_t)len;
		b->n_answers++;
	}
}

static void send_answers(struct udp *u, struct udp_batch *b)
{
	for (unsigned at = 0; at < b->n_answers;) {
		int sent = sendmmsg(u->watch.fd, &b->out[at], b->n_answers - at, MSG_DONTWAIT);
		if (diag_trace)
			tracef("sendmmsg(%d, %u) = %d", u->watch.fd, b->n_answers - at, sent);
		if (sent < 0 && (errno == EAGAIN || errno == ENOBUFS)) {
			u->dropped += b->n_answers - at;
			return;
		}
		if (sent <= 0) { /* it concerns the first of them only (EMSGSIZE, ENETUNREACH) */
			u->dropped++;
			at++;
			continue;
		}
		for (; sent > 0; sent--, at++) {
			u->answered++;
			u->bytes_out += b->out[at].msg_len;
		}
	}
}

/* What ICMP said about earlier answers, should the owner have asked for it (IP_RECVERR; ip(7)): left in the queue it
 * would be reported in every round, and fill the receive buffer. Returns whether there was any. */
static bool drop_errors(int fd)
{
	struct msghdr nothing = { 0 };
	int n = 0;
	while (n < UDP_BATCH && recvmsg(fd, &nothing, MSG_ERRQUEUE | MSG_DONTWAIT) >= 0)
		n++;
	return n > 0;
}

static bool on_readable(struct watch *w, unsigned events)
{
	(void)events;
	struct udp *u = CONTAINER_OF(w, struct udp, watch);
	struct udp_batch *b = u->batch;
	/* An error of recvmmsg tells of an answer that did not arrive: that ends nothing, the next round reads on. */
	int n = receive(b, w->fd);
	bool had_errors = n < 0 && drop_errors(w->fd);
	b->n_answers = 0;
	b->is_busy = true;
	for (int i = 0; i < n && !b->is_stopped; i++)
		take_question(u, b, i);
	b->is_busy = false;
	if (b->is_stopped)
		free(b);
	else
		send_answers(u, b);
	return n > 0 || had_errors;
}

/* --- start and stop ---------------------------------------------------------------------------------------------- */

/* Sources that meet in the guard's table cannot be chosen without knowing this. */
static uint64_t random_seed(void)
{
	uint64_t seed;
	return getrandom(&seed, sizeof(seed), GRND_NONBLOCK) == sizeof(seed) ? seed : clk_mono_ns();
}

int udp_start(struct udp *u, struct reactor *r, int fd, uint32_t rate_per_s, udp_answer_fn *fn)
{
	struct addr own;
	*u = (struct udp){ .on_question = fn };
	int flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 || addr_of_socket(fd, &own) < 0 ||
	    pktinfo_ask(fd, own.u.sa.sa_family) < 0)
		return -1;
	u->own_port = addr_port(&own);
	assert(u->own_port != 0); /* not bound */
	if (watch_start(&u->watch, r, fd, WATCH_READ, on_readable) < 0)
		return -1;
	uint32_t rate = rate_per_s != 0 ? rate_per_s : UDP_RATE;
	u->batch = xmalloc(sizeof(*u->batch)); /* WHY not xcalloc: nothing here is read before it is written */
	u->batch->is_busy = u->batch->is_stopped = false;
	guard_init(&u->batch->guard, rate, rate, random_seed());
	return 0;
}

void udp_stop(struct udp *u)
{
	if (!watch_is_started(&u->watch))
		return;
	watch_stop(&u->watch);
	if (u->batch->is_busy)
		u->batch->is_stopped = true; /* on_readable, which called us, frees it */
	else
		free(u->batch);
	u->batch = NULL;
}
