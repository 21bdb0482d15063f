#include "sockdiag.h"

#include "mem.h"
#include "os.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/inet_diag.h>
#include <linux/netlink.h>

enum {
	BUFFER_LEN = 64 * 1024, /* the kernel fills at most 32 KiB in one go (netlink_dump) */
	TRIES = 4,
	THREAD_STACK = 256 * 1024,
	OP_LEN = sizeof(struct inet_diag_bc_op),
	FILTER_LEN = SOCKDIAG_KERNEL_PORTS * 2 * 3 * OP_LEN,
};

/* --- one socket --------------------------------------------------------------------------------------------------- */

/* The kernel's numbers are in host order, its addresses and ports in network order. */
static void take_addr(struct addr *a, int family, const uint32_t ip[static 4], uint16_t port, uint32_t interface)
{
	*a = (struct addr){ 0 };
	struct in6_addr ip6;
	memcpy(&ip6, ip, sizeof(ip6));
	bool is_mapped = family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&ip6);
	if (family == AF_INET || is_mapped) {
		a->len = sizeof(a->u.in4);
		a->u.in4.sin_family = AF_INET;
		a->u.in4.sin_port = port;
		a->u.in4.sin_addr.s_addr = ip[is_mapped ? 3 : 0];
		return;
	}
	a->len = sizeof(a->u.in6);
	a->u.in6.sin6_family = AF_INET6;
	a->u.in6.sin6_port = port;
	a->u.in6.sin6_addr = ip6;
	a->u.in6.sin6_scope_id = IN6_IS_ADDR_LINKLOCAL(&ip6) ? interface : 0;
}

static void take_attribute(struct sockdiag_socket *s, unsigned type, const unsigned char *value, size_t len)
{
	if (type == INET_DIAG_INFO) {
		s->has_info = true;
		tcpinfo_decode(&s->info, value, len);
	} else if (type == INET_DIAG_CONG) {
		memcpy(s->congestion, value, len < TCPINFO_CONGESTION - 1 ? len : TCPINFO_CONGESTION - 1);
	}
}

static void take_message(struct sockdiag_socket *s, const struct inet_diag_msg *m)
{
	take_addr(&s->local, m->idiag_family, m->id.idiag_src, m->id.idiag_sport, m->id.idiag_if);
	take_addr(&s->peer, m->idiag_family, m->id.idiag_dst, m->id.idiag_dport, m->id.idiag_if);
	s->state = m->idiag_state < SOCKDIAG_STATES ? (enum sockdiag_state)m->idiag_state : SOCKDIAG_CLOSED;
	s->interface = m->id.idiag_if;
	s->uid = m->idiag_uid;
	s->inode = m->idiag_inode;
	s->cookie = (uint64_t)m->id.idiag_cookie[1] << 32 | m->id.idiag_cookie[0];
	s->recv_queue = m->idiag_rqueue;
	s->send_queue = m->idiag_wqueue;
	s->timer = m->idiag_timer <= SOCKDIAG_PERSIST ? (enum sockdiag_timer)m->idiag_timer : SOCKDIAG_NO_TIMER;
	s->timer_left_ns = s->timer != SOCKDIAG_NO_TIMER ? (uint64_t)m->idiag_expires * 1000000 : 0;
	s->timer_count = s->timer != SOCKDIAG_NO_TIMER ? m->idiag_retrans : 0;
}

bool sockdiag_decode(struct sockdiag_socket *out, const unsigned char *message, size_t len)
{
	struct inet_diag_msg m;
	*out = (struct sockdiag_socket){ 0 };
	if (len < sizeof(m))
		return false;
	memcpy(&m, message, sizeof(m));
	take_message(out, &m);

	struct nlattr a;
	for (size_t at = NLMSG_ALIGN(sizeof(m)); at + sizeof(a) <= len; at += NLA_ALIGN(a.nla_len)) {
		memcpy(&a, message + at, sizeof(a));
		if (a.nla_len < sizeof(a) || a.nla_len > len - at)
			return false;
		take_attribute(out, a.nla_type & NLA_TYPE_MASK, message + at + sizeof(a), a.nla_len - sizeof(a));
	}
	out->info.send_queue = out->state == SOCKDIAG_LISTEN ? 0 : out->send_queue;
	return true;
}

/* --- asking ------------------------------------------------------------------------------------------------------- */

/* WHY the older of the two kinds of question (TCPDIAG_GETSOCK, not SOCK_DIAG_BY_FAMILY): its dump has both
 * families. The walk through the kernel's hash table, which has as many slots as the machine has memory for, is
 * what a dump of few sockets costs; so it is walked once and not twice. */
struct question {
	struct nlmsghdr header;
	struct inet_diag_req request;
	struct nlattr filter_header;
	unsigned char filter[FILTER_LEN];
};

static size_t put_op(unsigned char *out, unsigned code, size_t yes, size_t no)
{
	struct inet_diag_bc_op op = { .code = (unsigned char)code,
				      .yes = (unsigned char)yes,
				      .no = (unsigned short)no };
	memcpy(out, &op, sizeof(op));
	return sizeof(op);
}

/* A program for the kernel: one of these ports at one of the ends. A step is "port equal? yes: on to the jump that
 * leads to the end, which means accept; no: over it to the next step"; the last one's no leads 4 bytes beyond the end,
 * which means refuse (net/ipv4/inet_diag.c). How long it is. */
static size_t put_filter(unsigned char out[static FILTER_LEN], const struct sockdiag_filter *f)
{
	size_t n = 2 * f->n_ports, len = n * 3 * OP_LEN - OP_LEN, at = 0;
	for (size_t i = 0; i < n; i++) {
		at += put_op(out + at, i % 2 == 0 ? INET_DIAG_BC_S_EQ : INET_DIAG_BC_D_EQ, 2 * OP_LEN, 3 * OP_LEN);
		at += put_op(out + at, INET_DIAG_BC_NOP, 0, f->ports[i / 2]); /* the number to compare with */
		if (at < len)
			at += put_op(out + at, INET_DIAG_BC_JMP, OP_LEN, len - at);
	}
	return len;
}

static struct question question(const struct sockdiag_filter *f, bool in_kernel)
{
	struct question q = {
		.header.nlmsg_type = TCPDIAG_GETSOCK,
		.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP,
		.header.nlmsg_len = offsetof(struct question, filter_header),
		.request.idiag_ext = 1 << (INET_DIAG_INFO - 1) | 1 << (INET_DIAG_CONG - 1),
		.request.idiag_states = f->states != 0 ? f->states : SOCKDIAG_BIT(SOCKDIAG_STATES) - 1,
	};
	if (in_kernel && f->n_ports > 0 && f->n_ports <= SOCKDIAG_KERNEL_PORTS) {
		q.filter_header.nla_type = INET_DIAG_REQ_BYTECODE;
		q.filter_header.nla_len = (unsigned short)(sizeof(q.filter_header) + put_filter(q.filter, f));
		q.header.nlmsg_len += q.filter_header.nla_len;
	}
	return q;
}

static int ask(struct sockdiag *d, struct question *q)
{
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	q->header.nlmsg_seq = ++d->sequence;
	ssize_t n = sendto(d->fd, q, q->header.nlmsg_len, 0, (struct sockaddr *)&kernel, sizeof(kernel));
	return n < 0 ? -1 : 0;
}

/* --- the answer ---------------------------------------------------------------------------------------------------- */

struct answer {
	bool is_over, is_torn;
	int error;
	void (*take)(struct sockdiag *d, void *context, const struct sockdiag_socket *s);
	void *context;
};

static void take_part(struct sockdiag *d, struct answer *a, const struct nlmsghdr *h, const unsigned char *body)
{
	struct sockdiag_socket s;
	int error = 0;
	size_t len = h->nlmsg_len - sizeof(*h);
	a->is_torn |= (h->nlmsg_flags & NLM_F_DUMP_INTR) != 0;
	switch (h->nlmsg_type) {
	case NLMSG_ERROR: /* and NLMSG_DONE: an errno, negative, comes first */
	case NLMSG_DONE:
		a->is_over = true;
		if (len >= sizeof(error))
			memcpy(&error, body, sizeof(error));
		a->error = -error;
		return;
	case TCPDIAG_GETSOCK:
		if (!sockdiag_decode(&s, body, len))
			a->error = EBADMSG;
		else
			a->take(d, a->context, &s);
		/* The single answer to a single question has no end mark. */
		a->is_over |= !(h->nlmsg_flags & NLM_F_MULTI);
	}
}

static void take_parts(struct sockdiag *d, struct answer *a, size_t n)
{
	struct nlmsghdr h;
	for (size_t at = 0; at + sizeof(h) <= n && !a->is_over; at += NLMSG_ALIGN(h.nlmsg_len)) {
		memcpy(&h, d->buffer + at, sizeof(h));
		if (h.nlmsg_len < sizeof(h) || h.nlmsg_len > n - at) {
			a->error = EBADMSG;
			a->is_over = true;
			return;
		}
		if (h.nlmsg_seq == d->sequence) /* not the rest of an answer that was given up */
			take_part(d, a, &h, d->buffer + at + sizeof(h));
	}
}

/* BLOCKS for the kernel's answer. 0, or an errno. */
static int take_answer(struct sockdiag *d, struct answer *a)
{
	while (!a->is_over) {
		struct iovec piece = { .iov_base = d->buffer, .iov_len = BUFFER_LEN };
		struct msghdr m = { .msg_iov = &piece, .msg_iovlen = 1 };
		ssize_t n = recvmsg(d->fd, &m, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno;
		if (m.msg_flags & MSG_TRUNC)
			return EMSGSIZE;
		take_parts(d, a, (size_t)n);
	}
	return a->error;
}

/* --- the calls ---------------------------------------------------------------------------------------------------- */

static int open_here(void)
{
	return socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
}

struct visit {
	int netns_fd, fd, error;
};

static void *visit_main(void *arg)
{
	struct visit *v = arg;
	v->fd = setns(v->netns_fd, CLONE_NEWNET) == 0 ? open_here() : -1;
	v->error = errno;
	return NULL;
}

/* A socket belongs for good to the network in which it was opened; a network namespace is a thread's own matter. So a
 * thread goes there, opens it and ends, and nobody else leaves his own network even for an instant. */
static int open_there(int netns_fd)
{
	struct visit v = { .netns_fd = netns_fd, .fd = -1 };
	pthread_t thread;
	int error = os_thread_start(&thread, THREAD_STACK, visit_main, &v);
	if (error == 0) {
		pthread_join(thread, NULL);
		error = v.error;
	}
	errno = error;
	return v.fd;
}

static int open_socket(struct sockdiag *d)
{
	d->fd = d->netns_fd >= 0 ? open_there(d->netns_fd) : open_here();
	return d->fd < 0 ? -1 : 0;
}

static int fail_to_open(struct sockdiag *d, struct net_error *e)
{
	net_fail(e, "open", "sock_diag");
	if (d->netns_fd >= 0)
		close(d->netns_fd);
	if (e->sys == EPROTONOSUPPORT)
		e->reason = "this kernel was built without sock_diag, and cannot tell about other programs' sockets";
	else if (e->sys == EPERM && d->netns_fd >= 0)
		e->reason = "to look into another network namespace needs CAP_SYS_ADMIN over it, and over our own";
	*d = (struct sockdiag){ 0 };
	return -1;
}

int sockdiag_open(struct sockdiag *d, struct net_error *e)
{
	*d = (struct sockdiag){ .netns_fd = -1 };
	if (open_socket(d) < 0)
		return fail_to_open(d, e);
	d->buffer = xmalloc(BUFFER_LEN);
	return 0;
}

int sockdiag_open_in(struct sockdiag *d, int netns_fd, struct net_error *e)
{
	*d = (struct sockdiag){ .netns_fd = fcntl(netns_fd, F_DUPFD_CLOEXEC, 0) };
	if (d->netns_fd < 0 || open_socket(d) < 0)
		return fail_to_open(d, e);
	d->buffer = xmalloc(BUFFER_LEN);
	return 0;
}

void sockdiag_close(struct sockdiag *d)
{
	if (d->buffer != NULL) {
		close(d->fd);
		if (d->netns_fd >= 0)
			close(d->netns_fd);
	}
	free(d->buffer);
	free(d->sockets);
	*d = (struct sockdiag){ 0 };
}

static bool has_port(const struct sockdiag_filter *f, const struct sockdiag_socket *s)
{
	uint16_t here = addr_port(&s->local), there = addr_port(&s->peer);
	for (size_t i = 0; i < f->n_ports; i++) {
		if (f->ports[i] == here || f->ports[i] == there)
			return true;
	}
	return f->n_ports == 0;
}

static bool is_wanted(const struct sockdiag_filter *f, const struct sockdiag_socket *s)
{
	return has_port(f, s) && (f->wants == NULL || f->wants(s, f->context));
}

static void keep(struct sockdiag *d, void *context, const struct sockdiag_socket *s)
{
	const struct sockdiag_filter *f = context;
	if (!is_wanted(f, s))
		return;
	if (d->n == d->cap) {
		d->cap = d->cap > 0 ? 2 * d->cap : 64;
		d->sockets = xrealloc(d->sockets, d->cap * sizeof(*d->sockets));
	}
	d->sockets[d->n++] = *s;
}

/* 0, or an errno. */
static int dump_once(struct sockdiag *d, const struct sockdiag_filter *f)
{
	int error = 0;
	for (int in_kernel = 1; in_kernel >= 0; in_kernel--) {
		struct question q = question(f, in_kernel);
		struct sockdiag_filter copy = *f;
		struct answer a = { .take = keep, .context = &copy };
		d->n = 0;
		error = ask(d, &q) < 0 ? errno : take_answer(d, &a);
		d->is_torn = a.is_torn;
		/* WHY: a kernel too old for these steps says EINVAL. What it then sends too much, is_wanted() drops. */
		if (error != EINVAL || f->n_ports == 0)
			break;
	}
	return error;
}

/* After an error the rest of the answer may still be on its way: a fresh socket has none. */
static int start_afresh(struct sockdiag *d)
{
	int fd = d->fd;
	if (open_socket(d) < 0) {
		d->fd = fd;
		return -1;
	}
	close(fd);
	return 0;
}

static int fail(struct net_error *e, int error)
{
	errno = error;
	net_fail(e, "ask for the sockets of", "TCP");
	if (error == ENOENT)
		e->reason = "this kernel has no tcp_diag (modprobe tcp_diag) and cannot tell about TCP sockets";
	return -1;
}

int sockdiag_dump(struct sockdiag *d, const struct sockdiag_filter *f, struct net_error *e)
{
	int error = 0;
	for (int i = 0; i < TRIES; i++) {
		error = dump_once(d, f);
		if (error == 0 && !d->is_torn)
			return 0;
		if (error != 0 && error != ENOBUFS && error != EBUSY)
			break;
		if (error != 0 && start_afresh(d) < 0)
			break;
	}
	if (error == 0)
		return 0; /* torn: the caller knows */
	d->n = 0;
	return fail(e, error);
}

/* --- a single one ------------------------------------------------------------------------------------------------- */

static void put_addr(const struct addr *a, uint32_t ip[static 4], uint16_t *port)
{
	if (a->u.sa.sa_family == AF_INET)
		ip[0] = a->u.in4.sin_addr.s_addr;
	else
		memcpy(ip, &a->u.in6.sin6_addr, sizeof(a->u.in6.sin6_addr));
	*port = a->u.sa.sa_family == AF_INET ? a->u.in4.sin_port : a->u.in6.sin6_port;
}

struct found {
	struct sockdiag_socket *out;
	int n;
};

static void take_found(struct sockdiag *d, void *context, const struct sockdiag_socket *s)
{
	(void)d;
	struct found *f = context;
	*f->out = *s;
	f->n++;
}

int sockdiag_find(struct sockdiag *d, const struct addr *local, const struct addr *peer, uint32_t interface,
		  struct sockdiag_socket *out, struct net_error *e)
{
	struct question q = question(&(struct sockdiag_filter){ 0 }, false);
	q.header.nlmsg_flags = NLM_F_REQUEST;
	q.request.idiag_family = (unsigned char)local->u.sa.sa_family;
	put_addr(local, q.request.id.idiag_src, &q.request.id.idiag_sport);
	put_addr(peer, q.request.id.idiag_dst, &q.request.id.idiag_dport);
	q.request.id.idiag_if = interface;
	q.request.id.idiag_cookie[0] = q.request.id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;

	struct found found = { .out = out };
	struct answer a = { .take = take_found, .context = &found };
	int error = ask(d, &q) < 0 ? errno : take_answer(d, &a);
	if (error != 0 && error != ENOENT)
		return fail(e, error);
	/* Where there is no such connection, the kernel names the listener that would take it. */
	return error == 0 && found.n == 1 && addr_equal(&out->local, local) && addr_equal(&out->peer, peer);
}

/* --- reading it --------------------------------------------------------------------------------------------------- */

void sockdiag_leave_out_syn_fin(struct sockdiag_socket *s)
{
	const uint32_t peer_sent_fin = SOCKDIAG_BIT(SOCKDIAG_CLOSE_WAIT) | SOCKDIAG_BIT(SOCKDIAG_LAST_ACK) |
				       SOCKDIAG_BIT(SOCKDIAG_CLOSING);
	const uint32_t fin_or_syn_is_out = SOCKDIAG_BIT(SOCKDIAG_FIN_WAIT_1) | SOCKDIAG_BIT(SOCKDIAG_LAST_ACK) |
					   SOCKDIAG_BIT(SOCKDIAG_CLOSING) | SOCKDIAG_BIT(SOCKDIAG_SYN_SENT);
	struct tcpinfo *i = &s->info;
	if (SOCKDIAG_BIT(s->state) & peer_sent_fin) {
		s->recv_queue -= s->recv_queue > 0;
		i->bytes_received -= i->bytes_received > 0;
	}
	if (SOCKDIAG_BIT(s->state) & fin_or_syn_is_out)
		s->send_queue -= s->send_queue > 0;
	uint64_t sent = i->bytes_sent - i->bytes_resent;
	if (i->bytes_acked > sent && i->bytes_acked <= sent + 2)
		i->bytes_acked = sent;
}

const char *sockdiag_state_name(enum sockdiag_state state)
{
	static const char *const names[SOCKDIAG_STATES] = {
		[SOCKDIAG_ESTABLISHED] = "ESTABLISHED",
		[SOCKDIAG_SYN_SENT] = "SYN-SENT",
		[SOCKDIAG_SYN_RECEIVED] = "SYN-RECEIVED",
		[SOCKDIAG_FIN_WAIT_1] = "FIN-WAIT-1",
		[SOCKDIAG_FIN_WAIT_2] = "FIN-WAIT-2",
		[SOCKDIAG_TIME_WAIT] = "TIME-WAIT",
		[SOCKDIAG_CLOSED] = "CLOSED",
		[SOCKDIAG_CLOSE_WAIT] = "CLOSE-WAIT",
		[SOCKDIAG_LAST_ACK] = "LAST-ACK",
		[SOCKDIAG_LISTEN] = "LISTEN",
		[SOCKDIAG_CLOSING] = "CLOSING",
	};
	return state < SOCKDIAG_STATES && names[state] != NULL ? names[state] : "?";
}
