/* kstamp_test.c - the kernel's stamps of datagrams over loopback: in the order of their way, of the datagrams that
 * were asked about and of no others, past what else lies in the error queue; and control messages that are cut off,
 * or of a card that this machine does not have. Each way of sending is tried with IPv4, IPv6, and IPv4 on an IPv6
 * socket. */
#include "addr.h"
#include "clock.h"
#include "kstamp.h"
#include "pktinfo.h"

#include "check.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdalign.h>
#include <unistd.h>

#include <linux/errqueue.h>

static const uint64_t limit_ns = UINT64_C(10) * NS_PER_S; /* waits for what must come end then, in vain */

/* --- two sockets -------------------------------------------------------------------------------------------------- */

/* The ways to have UDP: the family of the sockets, and the address to which is sent. */
static const struct way {
	const char *name;
	int family;
	const char *host;
} ways[] = {
	{ "IPv4", AF_INET, "127.0.0.1" },
	{ "IPv6", AF_INET6, "::1" },
	{ "IPv4 on an IPv6 socket", AF_INET6, "::ffff:127.0.0.1" },
};

static struct addr address(const struct way *w, uint16_t port)
{
	struct addr a = { 0 };
	if (w->family == AF_INET) {
		a.len = sizeof(a.u.in4);
		a.u.in4.sin_family = AF_INET;
		a.u.in4.sin_port = htons(port);
		CHECK_INT(inet_pton(AF_INET, w->host, &a.u.in4.sin_addr), 1);
	} else {
		a.len = sizeof(a.u.in6);
		a.u.in6.sin6_family = AF_INET6;
		a.u.in6.sin6_port = htons(port);
		CHECK_INT(inet_pton(AF_INET6, w->host, &a.u.in6.sin6_addr), 1);
	}
	return a;
}

/* A UDP socket on the loopback address and a free port. -1 where the system does not have that family. */
static int open_bound(const struct way *w, struct addr *bound)
{
	struct addr where = address(w, 0);
	int off = 0, fd = socket(w->family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -1;
	if (w->family == AF_INET6)
		CHECK_INT(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)), 0);
	if (bind(fd, &where.u.sa, where.len) < 0) {
		close(fd);
		return -1;
	}
	CHECK_INT(addr_of_socket(fd, bound), 0);
	return fd;
}

struct pair {
	int from, to;
	struct addr to_addr, from_addr;
	bool connected;
};

static bool open_pair(struct pair *p, const struct way *w, bool connected)
{
	p->connected = connected;
	p->from = open_bound(w, &p->from_addr);
	p->to = open_bound(w, &p->to_addr);
	if (p->from < 0 || p->to < 0) {
		printf("no %s here: skipped\n", w->name);
		return false;
	}
	if (connected)
		CHECK_INT(connect(p->from, &p->to_addr.u.sa, p->to_addr.len), 0);
	return true;
}

static void close_pair(struct pair *p)
{
	close(p->from);
	close(p->to);
}

/* One datagram; with `ask` its stamps are asked for by a control message. */
static void send_one(const struct pair *p, bool ask)
{
	alignas(struct cmsghdr) unsigned char control[KSTAMP_ASK_LEN];
	struct iovec iov = { .iov_base = (char[]){ "ping" }, .iov_len = 4 };
	struct addr to = p->to_addr;
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
	if (!p->connected) {
		m.msg_name = &to.u;
		m.msg_namelen = to.len;
	}
	if (ask) {
		m.msg_control = control;
		kstamp_ask_one(&m, 0);
		CHECK_INT(m.msg_controllen, KSTAMP_ASK_LEN);
	}
	CHECK_INT(sendmsg(p->from, &m, 0), 4);
}

static bool wait_for(int fd, short events)
{
	struct pollfd f = { .fd = fd, .events = events };
	return CHECK(poll(&f, 1, (int)(limit_ns / NS_PER_MS)) == 1);
}

static struct kstamp_received receive_one(const struct pair *p)
{
	alignas(struct cmsghdr) unsigned char control[KSTAMP_LEN];
	char bytes[16];
	struct iovec iov = { .iov_base = bytes, .iov_len = sizeof(bytes) };
	struct msghdr m = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)
	};
	wait_for(p->to, POLLIN);
	CHECK_INT(recvmsg(p->to, &m, 0), 4);
	CHECK_INT(m.msg_flags & MSG_CTRUNC, 0); /* KSTAMP_LEN is enough */
	return kstamp_received(&m);
}

/* Waits for the next stamp: that of this datagram, and of this event. Its time; 0 if it is another. */
static int64_t take_one(int fd, uint32_t number, enum kstamp_event event)
{
	struct kstamp_sent s = { 0 };
	wait_for(fd, 0); /* for POLLERR, which comes without being asked for */
	if (!CHECK_INT(kstamp_take(fd, &s), 1) || !CHECK_INT(s.number, number) || !CHECK_INT(s.event, event))
		return 0;
	return s.ns;
}

static void take_two(int fd, uint32_t number)
{
	int64_t sched_ns = take_one(fd, number, KSTAMP_SCHED), sent_ns = take_one(fd, number, KSTAMP_SND);
	CHECK(sched_ns > 0 && sched_ns <= sent_ns);
}

static void take_none(int fd)
{
	struct kstamp_sent s;
	CHECK_INT(kstamp_take(fd, &s), 0);
}

/* Receiving stamps are switched on a little after they were asked for: sends until one comes. How many were sent. */
static uint32_t warm_up(const struct pair *p)
{
	uint64_t end_ns = clk_mono_ns() + limit_ns;
	for (uint32_t n = 1;; n++) {
		send_one(p, false);
		if (receive_one(p).software_ns != 0)
			return n;
		if (!CHECK(clk_mono_ns() < end_ns))
			return n;
		sched_yield();
	}
}

/* --- the way of a datagram ---------------------------------------------------------------------------------------- */

/* LIMIT: fails if somebody sets the clock between these lines. */
static void test_order(const struct way *w, bool connected)
{
	struct pair p;
	if (!open_pair(&p, w, connected))
		return;
	CHECK_INT(kstamp_ask(p.to, KSTAMP_RECEIVED), 0);
	warm_up(&p);
	CHECK_INT(kstamp_ask(p.from, KSTAMP_SENT), 0);
	take_none(p.from);
	for (uint32_t number = 0; number < 3; number++) {
		int64_t before_ns = clk_real_ns();
		send_one(&p, false);
		struct kstamp_received r = receive_one(&p);
		int64_t after_ns = clk_real_ns(), sched_ns = take_one(p.from, number, KSTAMP_SCHED),
			sent_ns = take_one(p.from, number, KSTAMP_SND);
		CHECK(before_ns <= sched_ns && sched_ns <= sent_ns && sent_ns <= r.software_ns &&
		      r.software_ns <= after_ns);
		CHECK_INT(r.hardware_ns, 0); /* loopback has no card */
	}
	take_none(p.from);
	take_none(p.to);
	close_pair(&p);
}

/* The stamps of several datagrams wait in the queue, in the order of sending. */
static void test_queue(const struct way *w)
{
	enum { N = 20 };
	struct pair p;
	if (!open_pair(&p, w, true))
		return;
	CHECK_INT(kstamp_ask(p.from, KSTAMP_SENT), 0);
	for (uint32_t number = 0; number < N; number++)
		send_one(&p, false);
	for (uint32_t number = 0; number < N; number++)
		take_two(p.from, number);
	take_none(p.from);
	close_pair(&p);
}

/* The queue holds stamps and no datagrams. */
static void test_stamp_only(const struct way *w)
{
	alignas(struct cmsghdr) unsigned char control[512];
	char bytes[16];
	struct iovec iov = { .iov_base = bytes, .iov_len = sizeof(bytes) };
	struct msghdr m = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)
	};
	struct kstamp_sent s;
	struct pair p;
	if (!open_pair(&p, w, true))
		return;
	CHECK_INT(kstamp_ask(p.from, KSTAMP_SENT), 0);
	send_one(&p, false);
	wait_for(p.from, 0);
	CHECK_INT(recvmsg(p.from, &m, MSG_ERRQUEUE), 0);
	CHECK(kstamp_sent(&m, &s));
	CHECK_INT(s.event, KSTAMP_SCHED);
	close_pair(&p);
}

/* --- single ones -------------------------------------------------------------------------------------------------- */

/* Only those that were asked about have stamps, and numbers. */
static void test_ask_one(const struct way *w, bool connected)
{
	struct pair p;
	if (!open_pair(&p, w, connected))
		return;
	CHECK_INT(kstamp_ask(p.from, 0), 0);
	for (uint32_t number = 0; number < 3; number++) {
		send_one(&p, false);
		take_none(p.from);
		send_one(&p, true);
		take_two(p.from, number);
	}
	send_one(&p, false);
	take_none(p.from);
	close_pair(&p);
}

/* Asking again begins the count again, and drops what waits; and asking for nothing ends the stamps. */
static void test_ask_again(const struct way *w)
{
	struct pair p;
	if (!open_pair(&p, w, true))
		return;
	CHECK_INT(kstamp_ask(p.from, KSTAMP_SENT), 0);
	send_one(&p, false);
	take_two(p.from, 0);
	send_one(&p, false);
	wait_for(p.from, 0);
	CHECK_INT(kstamp_ask(p.from, KSTAMP_SENT | KSTAMP_RECEIVED), 0);
	take_none(p.from);
	send_one(&p, true); /* asked for twice, stamped once */
	take_two(p.from, 0);
	CHECK_INT(kstamp_ask(p.from, KSTAMP_RECEIVED), 0);
	send_one(&p, false);
	take_none(p.from);
	send_one(&p, true);
	take_two(p.from, 0);
	take_none(p.from);
	close_pair(&p);
}

/* A server: the question's control messages tell the address asked and the time; the answer's say where it leaves
 * from, and that its stamps are wanted. */
static void test_with_pktinfo(const struct way *w)
{
	alignas(struct cmsghdr) unsigned char asked[PKTINFO_LEN + KSTAMP_LEN], answered[PKTINFO_LEN + KSTAMP_ASK_LEN];
	char bytes[16];
	struct iovec iov = { .iov_base = bytes, .iov_len = sizeof(bytes) };
	struct pair p;
	if (!open_pair(&p, w, true))
		return;
	CHECK_INT(kstamp_ask(p.to, KSTAMP_RECEIVED), 0);
	warm_up(&p);
	CHECK_INT(pktinfo_ask(p.to, w->family), 0);
	send_one(&p, false);
	struct msghdr q = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = asked, .msg_controllen = sizeof(asked) };
	wait_for(p.to, POLLIN);
	CHECK_INT(recvmsg(p.to, &q, 0), 4);
	CHECK_INT(q.msg_flags & MSG_CTRUNC, 0);
	CHECK(kstamp_received(&q).software_ns > 0);

	iov.iov_len = 4;
	struct msghdr a = {
		.msg_name = &p.from_addr.u, .msg_namelen = p.from_addr.len, .msg_iov = &iov, .msg_iovlen = 1
	};
	a.msg_control = answered;
	CHECK(pktinfo_answer(&q, &a));
	size_t len = a.msg_controllen;
	CHECK(len > 0);
	kstamp_ask_one(&a, 0);
	CHECK_INT(a.msg_controllen, len + KSTAMP_ASK_LEN);
	CHECK_INT(sendmsg(p.to, &a, 0), 4);
	take_two(p.to, 0);
	take_none(p.to);
	wait_for(p.from, POLLIN);
	CHECK_INT(recv(p.from, bytes, sizeof(bytes), 0), 4);
	close_pair(&p);
}

/* --- other things in the queue ------------------------------------------------------------------------------------ */

/* The ICMP error that the last datagram brought back is in the queue when the socket has an error, too (ip(7)). */
static void wait_for_error(int fd)
{
	uint64_t end_ns = clk_mono_ns() + limit_ns;
	int error = 0;
	while (error == 0 && CHECK(clk_mono_ns() < end_ns)) {
		socklen_t len = sizeof(error);
		CHECK_INT(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len), 0);
		sched_yield();
	}
	CHECK_INT(error, ECONNREFUSED);
}

/* Whoever is connected to somebody else does not hear us: for us his port is closed, and nobody can take it
 * meanwhile. */
static void test_icmp(const struct way *w, bool connected)
{
	struct pair p, deaf;
	int on = 1;
	bool is_six = w->family == AF_INET6;
	if (!open_pair(&p, w, connected) || !open_pair(&deaf, w, true))
		return;
	CHECK_INT(setsockopt(p.from, IPPROTO_IP, IP_RECVERR, &on, sizeof(on)), 0);
	if (is_six)
		CHECK_INT(setsockopt(p.from, IPPROTO_IPV6, IPV6_RECVERR, &on, sizeof(on)), 0);
	CHECK_INT(kstamp_ask(p.from, KSTAMP_SENT), 0);
	struct pair closed = { .from = p.from, .to_addr = deaf.from_addr, .connected = connected };
	if (connected)
		CHECK_INT(connect(p.from, &closed.to_addr.u.sa, closed.to_addr.len), 0);
	send_one(&closed, false);
	wait_for_error(p.from);
	send_one(&closed, false);
	wait_for_error(p.from);
	take_two(p.from, 0);
	take_two(p.from, 1);
	take_none(p.from); /* the second error lay at the end */
	close_pair(&p);
	close_pair(&deaf);
}

/* Nothing is in the way of a socket that has not asked for anything. */
static void test_not_asked(const struct way *w)
{
	struct pair p;
	if (!open_pair(&p, w, false))
		return;
	send_one(&p, false);
	take_none(p.from);
	receive_one(&p);
	close_pair(&p);
}

static void test_no_socket(void)
{
	struct kstamp_sent s;
	int pipe_fds[2];
	CHECK_INT(kstamp_ask(-1, KSTAMP_SENT), -1);
	CHECK_INT(errno, EBADF);
	CHECK_INT(kstamp_take(-1, &s), -1);
	CHECK_INT(errno, EBADF);
	CHECK_INT(pipe2(pipe_fds, O_CLOEXEC), 0);
	CHECK_INT(kstamp_take(pipe_fds[0], &s), -1);
	CHECK_INT(errno, ENOTSOCK);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
}

/* --- control messages made by hand -------------------------------------------------------------------------------- */

struct control {
	alignas(struct cmsghdr) unsigned char bytes[512];
	struct msghdr m;
};

static void begin(struct control *c)
{
	*c = (struct control){ 0 };
	c->m.msg_control = c->bytes;
}

/* Appends a message of which only the first `given` of `len` bytes are there, as the kernel cuts it when room is
 * short. */
static void tell_cut(struct control *c, int level, int type, const void *p, size_t len, size_t given)
{
	struct cmsghdr h = { 0 };
	h.cmsg_level = level;
	h.cmsg_type = type;
	h.cmsg_len = (socklen_t)CMSG_LEN(given); /* POSIX says socklen_t, glibc size_t */
	unsigned char *at = c->bytes + c->m.msg_controllen;
	memcpy(at, &h, sizeof(h));
	memcpy(at + CMSG_LEN(0), p, given);
	memset(at + CMSG_LEN(given), 0xee, len - given); /* must not be taken for the rest of it */
	c->m.msg_controllen += (socklen_t)(given == len ? CMSG_SPACE(len) : CMSG_LEN(given));
}

static void tell(struct control *c, int level, int type, const void *p, size_t len)
{
	tell_cut(c, level, type, p, len, len);
}

/* 3.000000004 s by the system's clock, 5.000000006 s by the card's; between them the obsolete one. */
static const struct scm_timestamping software = { .ts = { { 3, 4 } } }, hardware = { .ts = { [2] = { 5, 6 } } },
				     both = { .ts = { { 3, 4 }, { 9, 9 }, { 5, 6 } } }, none = { .ts = { { 0, 0 } } };

static void tell_stamps(struct control *c, const struct scm_timestamping *s)
{
	tell(c, SOL_SOCKET, SCM_TIMESTAMPING, s, sizeof(*s));
}

static void test_received_by_hand(void)
{
	static const struct {
		const struct scm_timestamping *stamps;
		int64_t software_ns, hardware_ns;
	} rows[] = {
		{ &software, 3000000004, 0 },
		{ &hardware, 0, 5000000006 },
		{ &both, 3000000004, 5000000006 },
		{ &none, 0, 0 },
	};
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct control c;
		begin(&c);
		tell(&c, IPPROTO_IP, IP_TTL, &(int){ 64 }, sizeof(int));
		tell_stamps(&c, rows[i].stamps);
		tell(&c, IPPROTO_IP, IP_TOS, &(int){ 1 }, 1);
		struct kstamp_received r = kstamp_received(&c.m);
		CHECK_INT(r.software_ns, rows[i].software_ns);
		CHECK_INT(r.hardware_ns, rows[i].hardware_ns);
	}
}

/* Messages of another level or type with the same bytes; and none at all. */
static void test_received_others(void)
{
	struct control c;
	begin(&c);
	CHECK_INT(kstamp_received(&c.m).software_ns, 0);
	tell(&c, SOL_SOCKET, SCM_TIMESTAMPNS, &both, sizeof(both));
	tell(&c, IPPROTO_IP, SCM_TIMESTAMPING, &both, sizeof(both));
	CHECK_INT(kstamp_received(&c.m).software_ns, 0);
	CHECK_INT(kstamp_received(&c.m).hardware_ns, 0);
}

/* However much of it is missing, the stamp does not count. */
static void test_received_cut(void)
{
	for (size_t given = 0; given < sizeof(both); given++) {
		struct control c;
		begin(&c);
		tell_cut(&c, SOL_SOCKET, SCM_TIMESTAMPING, &both, sizeof(both), given);
		struct kstamp_received r = kstamp_received(&c.m);
		if (!CHECK(r.software_ns == 0 && r.hardware_ns == 0))
			fprintf(stderr, "    with %zu bytes\n", given);
	}
}

static void tell_error(struct control *c, int level, uint8_t origin, uint32_t info, uint32_t number)
{
	struct {
		struct sock_extended_err error;
		struct sockaddr_in6 offender;
	} told = { .error = { .ee_errno = ENOMSG, .ee_origin = origin, .ee_info = info, .ee_data = number } };
	tell(c, level, level == IPPROTO_IP ? IP_RECVERR : IPV6_RECVERR, &told, sizeof(told));
}

static void test_sent_by_hand(void)
{
	enum { STAMP = SO_EE_ORIGIN_TIMESTAMPING };
	static const struct {
		const struct scm_timestamping *stamps;
		int level;
		uint8_t origin;
		uint32_t info;
		bool is_one;
		struct kstamp_sent want;
	} rows[] = {
		{ &software, IPPROTO_IP, STAMP, SCM_TSTAMP_SCHED, true, { 7, KSTAMP_SCHED, 3000000004 } },
		{ &software, IPPROTO_IP, STAMP, SCM_TSTAMP_SND, true, { 7, KSTAMP_SND, 3000000004 } },
		{ &hardware, IPPROTO_IP, STAMP, SCM_TSTAMP_SND, true, { 7, KSTAMP_SND_HARDWARE, 5000000006 } },
		{ &software, IPPROTO_IPV6, STAMP, SCM_TSTAMP_SND, true, { 7, KSTAMP_SND, 3000000004 } },
		{ &hardware, IPPROTO_IPV6, STAMP, SCM_TSTAMP_SND, true, { 7, KSTAMP_SND_HARDWARE, 5000000006 } },
		{ &software, IPPROTO_IP, STAMP, SCM_TSTAMP_ACK, false, { 0 } },
		{ &software, IPPROTO_IP, SO_EE_ORIGIN_ICMP, SCM_TSTAMP_SND, false, { 0 } },
		{ &none, IPPROTO_IP, STAMP, SCM_TSTAMP_SND, false, { 0 } },
		{ &hardware, IPPROTO_IP, STAMP, SCM_TSTAMP_SCHED, false, { 0 } },
	};
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		for (int error_first = 0; error_first < 2; error_first++) {
			struct kstamp_sent s = { .ns = 1 };
			struct control c;
			begin(&c);
			if (error_first)
				tell_error(&c, rows[i].level, rows[i].origin, rows[i].info, 7);
			tell_stamps(&c, rows[i].stamps);
			if (!error_first)
				tell_error(&c, rows[i].level, rows[i].origin, rows[i].info, 7);
			if (!CHECK_INT(kstamp_sent(&c.m, &s), rows[i].is_one))
				fprintf(stderr, "    row %zu\n", i);
			if (!rows[i].is_one)
				continue;
			CHECK_INT(s.number, rows[i].want.number);
			CHECK_INT(s.event, rows[i].want.event);
			CHECK_INT(s.ns, rows[i].want.ns);
		}
	}
}

/* A half is not a stamp. */
static void test_sent_halves(void)
{
	struct sock_extended_err error = { .ee_origin = SO_EE_ORIGIN_TIMESTAMPING, .ee_info = SCM_TSTAMP_SND };
	struct kstamp_sent s;
	struct control c;
	begin(&c);
	CHECK(!kstamp_sent(&c.m, &s));
	tell_stamps(&c, &software);
	CHECK(!kstamp_sent(&c.m, &s));
	begin(&c);
	tell_error(&c, IPPROTO_IP, SO_EE_ORIGIN_TIMESTAMPING, SCM_TSTAMP_SND, 7);
	CHECK(!kstamp_sent(&c.m, &s));
	for (size_t given = 0; given < sizeof(error); given++) {
		begin(&c);
		tell_stamps(&c, &software);
		tell_cut(&c, IPPROTO_IP, IP_RECVERR, &error, sizeof(error), given);
		CHECK(!kstamp_sent(&c.m, &s));
	}
}

int main(void)
{
	for (size_t i = 0; i < COUNT_OF(ways); i++) {
		unsigned long bad = check_bad;
		for (int connected = 0; connected < 2; connected++) {
			test_order(&ways[i], connected);
			test_ask_one(&ways[i], connected);
			test_icmp(&ways[i], connected);
		}
		test_queue(&ways[i]);
		test_stamp_only(&ways[i]);
		test_ask_again(&ways[i]);
		test_with_pktinfo(&ways[i]);
		test_not_asked(&ways[i]);
		if (check_bad != bad)
			fprintf(stderr, "    with %s\n", ways[i].name);
	}
	test_no_socket();
	test_received_by_hand();
	test_received_others();
	test_received_cut();
	test_sent_by_hand();
	test_sent_halves();
	return check_done();
}
