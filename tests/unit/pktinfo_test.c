/* pktinfo_test.c - the answer leaves from the address that was asked: two addresses of loopback, one socket on the
 * wildcard address, IPv4, IPv6 and both on one; groups; and a question that does not tell. */
#include "addr.h"
#include "pktinfo.h"

#include "check.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdalign.h>
#include <unistd.h>

/* --- a server and its clients ------------------------------------------------------------------------------------ */

static struct addr literal(const char *host, uint16_t port)
{
	struct addr a = { 0 };
	struct net_error e = { 0 };
	char text[NET_ERROR_TEXT];
	if (!CHECK_INT(addr_literal(host, port, AF_UNSPEC, &a, &e), 0))
		fprintf(stderr, "    %s\n", net_error_text(&e, text));
	return a;
}

/* -1 where the system does not have that family. */
static int open_bound(const char *host, bool both_families, uint16_t *port)
{
	struct addr where = literal(host, 0), bound;
	int only_v6 = !both_families;
	int fd = socket(where.u.sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	if (where.u.sa.sa_family == AF_INET6)
		CHECK_INT(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only_v6, sizeof(only_v6)), 0);
	if (bind(fd, &where.u.sa, where.len) < 0) {
		close(fd);
		return -1;
	}
	CHECK_INT(addr_of_socket(fd, &bound), 0);
	*port = addr_port(&bound);
	return fd;
}

/* A question as the kernel gives it, and the answer that goes back. */
struct talk {
	struct addr from;
	char bytes[16];
	struct iovec iov;
	alignas(struct cmsghdr) unsigned char asked[PKTINFO_LEN];
	alignas(struct cmsghdr) unsigned char answered[PKTINFO_LEN];
	struct msghdr question, answer;
};

static void receive(int server, struct talk *t)
{
	*t = (struct talk){ 0 };
	t->iov = (struct iovec){ .iov_base = t->bytes, .iov_len = sizeof(t->bytes) };
	t->question = (struct msghdr){
		.msg_name = &t->from.u,
		.msg_namelen = sizeof(t->from.u),
		.msg_iov = &t->iov,
		.msg_iovlen = 1,
		.msg_control = t->asked,
		.msg_controllen = sizeof(t->asked),
	};
	ssize_t n = recvmsg(server, &t->question, 0);
	CHECK_INT(n, 4);
	CHECK_INT(t->question.msg_flags & MSG_CTRUNC, 0); /* PKTINFO_LEN is enough */
	t->from.len = t->question.msg_namelen;
	t->iov.iov_len = n > 0 ? (size_t)n : 0;
	t->answer = (struct msghdr){
		.msg_name = &t->from.u,
		.msg_namelen = t->from.len,
		.msg_iov = &t->iov,
		.msg_iovlen = 1,
		.msg_control = t->answered,
		.msg_controllen = sizeof(t->answered),
	};
}

/* A client, bound to `own`, asks `asked` and gets its answer from there. */
static void ask(int server, uint16_t port, const char *own, const char *asked)
{
	struct addr to = literal(asked, port), from = { .len = sizeof(from.u) };
	uint16_t client_port;
	char bytes[16], text[ADDR_TEXT];
	struct talk t;
	int client = open_bound(own, false, &client_port);
	if (!CHECK(client >= 0))
		return;
	CHECK_INT(sendto(client, "ping", 4, 0, &to.u.sa, to.len), 4);
	receive(server, &t);
	CHECK(pktinfo_answer(&t.question, &t.answer));
	CHECK(t.answer.msg_controllen > 0 && t.answer.msg_controllen <= PKTINFO_LEN);
	CHECK_INT(sendmsg(server, &t.answer, 0), 4);
	CHECK_INT(recvfrom(client, bytes, sizeof(bytes), 0, &from.u.sa, &from.len), 4);
	if (!CHECK(addr_equal(&from, &to)))
		fprintf(stderr, "    asked %s, answered by %s\n", asked, addr_text(&from, text));
	close(client);
}

/* --- from the address that was asked ----------------------------------------------------------------------------- */

static void test_ipv4(void)
{
	uint16_t port;
	int server = open_bound("0.0.0.0", false, &port);
	CHECK_INT(pktinfo_ask(server, AF_INET), 0);
	ask(server, port, "127.0.0.1", "127.0.0.1");
	ask(server, port, "127.0.0.1", "127.0.0.2");
	ask(server, port, "127.0.0.3", "127.0.0.2");
	close(server);
}

static void test_ipv6(void)
{
	uint16_t port;
	int server = open_bound("::", false, &port), probe = open_bound("::1", false, &(uint16_t){ 0 });
	if (server < 0 || probe < 0) {
		printf("no IPv6 here: skipped\n");
	} else {
		CHECK_INT(pktinfo_ask(server, AF_INET6), 0);
		ask(server, port, "::1", "::1");
	}
	close(probe);
	close(server);
}

/* IPv4 clients of an IPv6 socket: the kernel tells twice, and it is the IPv4 address that counts. */
static void test_both(void)
{
	uint16_t port;
	int server = open_bound("::", true, &port), probe = open_bound("::1", false, &(uint16_t){ 0 });
	if (server < 0 || probe < 0) {
		printf("no IPv6 here: skipped\n");
	} else {
		CHECK_INT(pktinfo_ask(server, AF_INET6), 0);
		ask(server, port, "127.0.0.1", "127.0.0.1");
		ask(server, port, "127.0.0.1", "127.0.0.2");
		ask(server, port, "::1", "::1");
	}
	close(probe);
	close(server);
}

/* --- what the answer's control message says ---------------------------------------------------------------------- */

static void test_without_ask(void)
{
	uint16_t port, client_port;
	int server = open_bound("0.0.0.0", false, &port), client = open_bound("127.0.0.1", false, &client_port);
	struct addr to = literal("127.0.0.1", port);
	struct talk t;
	CHECK_INT(sendto(client, "ping", 4, 0, &to.u.sa, to.len), 4);
	receive(server, &t);
	CHECK_INT(t.question.msg_controllen, 0);
	CHECK(pktinfo_answer(&t.question, &t.answer));
	CHECK_INT(t.answer.msg_controllen, 0);
	/* It goes out all the same, from wherever the kernel likes. */
	CHECK_INT(sendmsg(server, &t.answer, 0), 4);
	close(client);
	close(server);
}

/* A question with one control message, as the kernel would tell it. */
static void tell(struct talk *t, int level, int type, const void *info, size_t len)
{
	*t = (struct talk){ 0 };
	t->question = (struct msghdr){ .msg_control = t->asked, .msg_controllen = (socklen_t)CMSG_SPACE(len) };
	t->answer = (struct msghdr){ .msg_control = t->answered, .msg_controllen = sizeof(t->answered) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&t->question);
	c->cmsg_level = level;
	c->cmsg_type = type;
	c->cmsg_len = (socklen_t)CMSG_LEN(len); /* POSIX says socklen_t, glibc size_t */
	memcpy(CMSG_DATA(c), info, len);
}

static struct in_pktinfo told4(const char *asked, const char *own, int interface)
{
	struct in_pktinfo info = { .ipi_ifindex = interface };
	CHECK_INT(inet_pton(AF_INET, asked, &info.ipi_addr), 1);
	CHECK_INT(inet_pton(AF_INET, own, &info.ipi_spec_dst), 1);
	return info;
}

/* The route decides over the interface, not the question: whoever has two links would answer on the wrong one. */
static void test_no_interface(void)
{
	struct in_pktinfo info = told4("192.0.2.7", "192.0.2.7", 5);
	struct talk t;
	tell(&t, IPPROTO_IP, IP_PKTINFO, &info, sizeof(info));
	CHECK(pktinfo_answer(&t.question, &t.answer));
	CHECK_INT(t.answer.msg_controllen, CMSG_SPACE(sizeof(info)));
	struct cmsghdr *c = CMSG_FIRSTHDR(&t.answer);
	CHECK_INT(c->cmsg_level, IPPROTO_IP);
	CHECK_INT(c->cmsg_type, IP_PKTINFO);
	memcpy(&info, CMSG_DATA(c), sizeof(info));
	CHECK_INT(info.ipi_ifindex, 0);
	CHECK_INT(info.ipi_spec_dst.s_addr, inet_addr("192.0.2.7"));
}

static void test_groups4(void)
{
	struct in_pktinfo multicast = told4("224.0.0.1", "192.0.2.7", 5),
			  broadcast = told4("192.0.2.255", "192.0.2.7", 5);
	struct talk t;
	tell(&t, IPPROTO_IP, IP_PKTINFO, &multicast, sizeof(multicast));
	CHECK(!pktinfo_answer(&t.question, &t.answer));
	tell(&t, IPPROTO_IP, IP_PKTINFO, &broadcast, sizeof(broadcast));
	CHECK(!pktinfo_answer(&t.question, &t.answer));
}

static void test_told6(void)
{
	static const struct {
		const char *asked;
		bool is_ours;
		unsigned interface; /* in the answer; a link-local address needs its link */
		bool has_control;
	} rows[] = {
		{ "2001:db8::7", true, 0, true },
		{ "fe80::7", true, 5, true },
		{ "ff02::1", false, 0, true },
		{ "::ffff:192.0.2.7", true, 0, false },
	};
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct in6_pktinfo info = { .ipi6_ifindex = 5 };
		struct talk t;
		CHECK_INT(inet_pton(AF_INET6, rows[i].asked, &info.ipi6_addr), 1);
		tell(&t, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof(info));
		if (!CHECK_INT(pktinfo_answer(&t.question, &t.answer), rows[i].is_ours))
			fprintf(stderr, "    %s\n", rows[i].asked);
		CHECK_INT(t.answer.msg_controllen > 0, rows[i].has_control);
		if (!rows[i].has_control || !rows[i].is_ours)
			continue;
		memcpy(&info, CMSG_DATA(CMSG_FIRSTHDR(&t.answer)), sizeof(info));
		CHECK_INT(info.ipi6_ifindex, rows[i].interface);
	}
}

/* Something else that comes with a datagram is passed over. */
static void test_other_messages(void)
{
	int ttl = 64;
	struct talk t;
	tell(&t, IPPROTO_IP, IP_TTL, &ttl, sizeof(ttl));
	CHECK(pktinfo_answer(&t.question, &t.answer));
	CHECK_INT(t.answer.msg_controllen, 0);
}

static void test_no_socket(void)
{
	CHECK_INT(pktinfo_ask(-1, AF_INET), -1);
	CHECK_INT(errno, EBADF);
	CHECK_INT(pktinfo_ask(-1, AF_INET6), -1);
	CHECK_INT(errno, EBADF);
}

int main(void)
{
	test_ipv4();
	test_ipv6();
	test_both();
	test_without_ask();
	test_no_interface();
	test_groups4();
	test_told6();
	test_other_messages();
	test_no_socket();
	return check_done();
}
