#include "udpbatch.h"

#include "diag.h"
#include "guard.h"
#include "mem.h"
#include "os.h"
#include "pktinfo.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

enum { LOOK_FOR_MORE = 16 }; /* every so many batches of one */

struct datagram {
	struct iovec iov;
	_Alignas(struct cmsghdr) unsigned char control[PKTINFO_LEN + UDP_MORE_CONTROL];
	unsigned char bytes[UDP_LEN_MAX];
};

/* 2 MiB, of which only the pages that datagrams really filled are ever backed by memory. */
struct udpbatch_store {
	size_t control_len;
	int n_used;       /* messages of `in` into which the kernel has written */
	int n_in, at;     /* questions; the next one to look at */
	unsigned n_alone; /* batches of one that came in a row */
	bool is_open;     /* question at - 1 is neither answered nor refused yet */
	unsigned n_answers;
	struct addr from[UDP_BATCH];
	struct mmsghdr in[UDP_BATCH], out[UDP_BATCH];
	struct datagram question[UDP_BATCH], answer[UDP_BATCH];
	struct guard guard;
};

/* --- open and close ---------------------------------------------------------------------------------------------- */

int udpbatch_open(struct udpbatch *b, int fd, uint32_t rate_per_s, size_t more_control)
{
	struct addr own;
	*b = (struct udpbatch){ .fd = fd };
	if (addr_of_socket(fd, &own) < 0)
		return -1;
	/* On loopback there is one address to answer from, and no group. Elsewhere the socket's own may be that of a
	 * group. */
	b->is_bare = addr_is_loopback(&own);
	if (!b->is_bare && pktinfo_ask(fd, own.u.sa.sa_family) < 0)
		return -1;
	b->own_port = addr_port(&own);
	assert(b->own_port != 0); /* not bound */
	assert(more_control <= UDP_MORE_CONTROL);
	uint32_t rate = rate_per_s != 0 ? rate_per_s : UDP_RATE;
	/* WHY not xcalloc: the bytes are not read before they are written. */
	struct udpbatch_store *s = xmalloc(sizeof(*s));
	b->store = s;
	s->control_len = PKTINFO_LEN + more_control;
	s->n_used = UDP_BATCH;
	s->n_in = s->at = 0;
	s->n_alone = 0;
	s->is_open = false;
	s->n_answers = 0;
	guard_init(&s->guard, rate, rate, os_random()); /* so that nobody can choose sources that meet in its table */
	return 0;
}

void udpbatch_close(struct udpbatch *b)
{
	free(b->store);
	b->store = NULL;
}

/* --- who asked, and where ---------------------------------------------------------------------------------------- */

/* Ports at which nobody can have asked: those of the system's services, of the course's, and our own. */
static bool is_service_port(const struct udpbatch *b, uint16_t port)
{
	static const uint16_t services[] = { 2007, 2009, 2013, 2019, 2037 };
	for (size_t i = 0; i < COUNT_OF(services); i++)
		if (port == services[i])
			return true;
	return port < 1024 || port == b->own_port;
}

/* --- a batch ----------------------------------------------------------------------------------------------------- */

static void set_message(struct msghdr *m, struct addr *peer, struct datagram *d, size_t control_len)
{
	d->iov = (struct iovec){ .iov_base = d->bytes, .iov_len = sizeof(d->bytes) };
	*m = (struct msghdr){
		.msg_name = &peer->u,
		.msg_namelen = sizeof(peer->u),
		.msg_iov = &d->iov,
		.msg_iovlen = 1,
		.msg_control = d->control,
		.msg_controllen = (socklen_t)control_len, /* POSIX says socklen_t, glibc size_t */
	};
}

/* No timeout: that of recvmmsg is looked at only when a datagram comes (recvmmsg(2), BUGS). */
static int receive_many(struct udpbatch *b, int flags)
{
	int n = recvmmsg(b->fd, b->store->in, UDP_BATCH, flags, NULL);
	if (diag_trace)
		tracef("recvmmsg(%d, %d) = %d", b->fd, UDP_BATCH, n);
	return n;
}

/* WHY: a batch that is not full costs the kernel one look in vain, about 0.5 us of the 10 us that question and answer take on
 * loopback. Where datagrams come one by one, several are asked for now and then only; and msghdr costs 0.3 us in each
 * direction, so it is used only if there is something in it. */
static int receive_one(struct udpbatch *b, int flags)
{
	struct mmsghdr *m = &b->store->in[0];
	struct addr *from = &b->store->from[0];
	ssize_t n;
	flags &= ~MSG_WAITFORONE;
	if (b->is_bare) {
		socklen_t len = sizeof(from->u);
		n = recvfrom(b->fd, b->store->question[0].bytes, UDP_LEN_MAX, flags, &from->u.sa, &len);
		m->msg_hdr.msg_namelen = len;
		m->msg_hdr.msg_controllen = 0;
	} else {
		n = recvmsg(b->fd, &m->msg_hdr, flags);
	}
	if (diag_trace)
		tracef("recvmsg(%d) = %zd", b->fd, n);
	m->msg_len = n > 0 ? (unsigned)n : 0;
	return n < 0 ? -1 : 1;
}

int udpbatch_receive(struct udpbatch *b, int flags)
{
	struct udpbatch_store *s = b->store;
	/* The kernel writes into each what it received: set those up afresh. */
	for (int i = 0; i < s->n_used; i++)
		set_message(&s->in[i].msg_hdr, &s->from[i], &s->question[i], s->control_len);
	int n = s->n_alone % LOOK_FOR_MORE == 0 ? receive_many(b, flags) : receive_one(b, flags);
	if (n > 0)
		s->n_alone = n == 1 ? s->n_alone + 1 : 0;
	s->n_used = s->n_in = n > 0 ? n : 0;
	s->at = 0;
	s->is_open = false;
	s->n_answers = 0;
	return n;
}

/* The counter that tells why question i is not answered, NULL when it may be. Makes the answer's header ready. */
static uint64_t *why_not(struct udpbatch *b, int i, uint64_t now_ns, struct msghdr *answer)
{
	struct udpbatch_store *s = b->store;
	struct msghdr *question = &s->in[i].msg_hdr;
	const struct addr *from = &s->from[i];
	set_message(answer, &s->from[i], &s->answer[s->n_answers], s->control_len);
	answer->msg_namelen = question->msg_namelen;
	if (question->msg_flags & (MSG_TRUNC | MSG_CTRUNC))
		return &b->count.truncated;
	if (b->is_mute)
		return &b->count.silent;
	if (is_service_port(b, addr_port(from)))
		return &b->count.refused_port;
	if (!pktinfo_answer(question, answer))
		return &b->count.refused_group;
	if (!(b->is_local_free && addr_is_loopback(from)) && !guard_allow(&s->guard, addr_source(from), now_ns))
		return &b->count.refused_rate;
	return NULL;
}

bool udpbatch_next(struct udpbatch *b, uint64_t now_ns, struct udp_question *q)
{
	struct udpbatch_store *s = b->store;
	if (s->is_open)
		b->count.silent++;
	s->is_open = false;
	while (s->at < s->n_in) {
		int i = s->at++;
		struct msghdr *answer = &s->out[s->n_answers].msg_hdr;
		b->count.received++;
		b->count.bytes_in += s->in[i].msg_len;
		uint64_t *counter = why_not(b, i, now_ns, answer);
		if (counter != NULL) {
			++*counter;
			continue;
		}
		s->is_open = true;
		*q = (struct udp_question){ .bytes = s->question[i].bytes,
					    .len = s->in[i].msg_len,
					    .from = &s->from[i],
					    .header = &s->in[i].msg_hdr,
					    .room = s->answer[s->n_answers].bytes,
					    .answer = answer };
		return true;
	}
	return false;
}

bool udpbatch_answer(struct udpbatch *b, size_t len)
{
	struct udpbatch_store *s = b->store;
	assert(s->is_open && len <= UDP_LEN_MAX);
	s->is_open = false;
	if (len > s->in[s->at - 1].msg_len && len > b->may_exceed) {
		b->count.refused_long++;
		return false;
	}
	s->answer[s->n_answers++].iov.iov_len = len;
	return true;
}

/* As sendmmsg: how many of the answers from `at` on. */
static int send_some(struct udpbatch *b, unsigned at, int flags)
{
	struct udpbatch_store *s = b->store;
	unsigned n = s->n_answers - at;
	int sent;
	if (n > 1) {
		sent = sendmmsg(b->fd, &s->out[at], n, flags);
	} else {
		struct msghdr *m = &s->out[at].msg_hdr;
		ssize_t len = m->msg_controllen == 0 ? sendto(b->fd, m->msg_iov->iov_base, m->msg_iov->iov_len, flags,
							      m->msg_name, m->msg_namelen)
						     : sendmsg(b->fd, m, flags);
		s->out[at].msg_len = len > 0 ? (unsigned)len : 0;
		sent = len < 0 ? -1 : 1;
	}
	if (diag_trace)
		tracef("sendmmsg(%d, %u) = %d", b->fd, n, sent);
	return sent;
}

void udpbatch_send(struct udpbatch *b, int flags)
{
	struct udpbatch_store *s = b->store;
	for (unsigned at = 0; at < s->n_answers;) {
		int sent = send_some(b, at, flags);
		if (sent < 0 && (errno == EAGAIN || errno == ENOBUFS)) {
			b->count.dropped += s->n_answers - at;
			break;
		}
		if (sent <= 0) { /* it concerns the first of them only (EMSGSIZE, ENETUNREACH) */
			b->count.dropped++;
			at++;
			continue;
		}
		for (; sent > 0; sent--, at++) {
			b->count.answered++;
			b->count.bytes_out += s->out[at].msg_len;
		}
	}
	s->n_answers = 0;
}
