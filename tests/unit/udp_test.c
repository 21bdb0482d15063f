/* udp_test.c - real questions over loopback, on each backend: the answer comes from where it was asked; nobody is
 * answered whom an attacker could have named; a flood starves nobody, and no error ends the service. */
#include "udp.h"

#include "check.h"
#include "clock.h"
#include "netns.h"
#include "prng.h"
#include "sock.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <net/route.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MUCH = 1000 * 1000 * 1000, LINE = 20 };

static const char *backend;

/* --- a service and its clients ----------------------------------------------------------------------------------- */

struct service {
	struct reactor *r;
	struct udp u;
	struct addr bound;
	int fd;
	struct deferred check;
	struct timer nap;
	uint64_t wanted, deadline_ns;
};

static void service_start(struct service *s, const char *host, int family, uint32_t rate, udp_answer_fn *fn)
{
	struct net_error e = { .op = "?" };
	char text[NET_ERROR_TEXT];
	*s = (struct service){ .r = reactor_new(backend, NULL, &e) };
	s->fd = sock_serve_udp(host, 0, family, &s->bound, &e);
	if (!CHECK(s->r != NULL && s->fd >= 0)) {
		fprintf(stderr, "    %s\n", net_error_text(&e, text));
		abort();
	}
	CHECK_INT(udp_start(&s->u, s->r, s->fd, rate, fn), 0);
	CHECK(fcntl(s->fd, F_GETFL) & O_NONBLOCK);
}

/* Each question went into exactly one counter. */
static void service_stop(struct service *s)
{
	const struct udp *u = &s->u;
	CHECK_INT(u->batch.count.received, u->batch.count.answered + u->batch.count.silent +
						   u->batch.count.refused_port + u->batch.count.refused_group +
						   u->batch.count.refused_rate + u->batch.count.refused_long +
						   u->batch.count.truncated + u->batch.count.dropped);
	udp_stop(&s->u);
	udp_stop(&s->u);
	CHECK_INT(reactor_stats(s->r)->spins, 0);
	reactor_free(s->r);
	CHECK(fcntl(s->fd, F_GETFD) >= 0);
	close(s->fd);
}

static void on_check(struct deferred *d)
{
	struct service *s = CONTAINER_OF(d, struct service, check);
	if (s->u.batch.count.received >= s->wanted || clk_mono_ns() >= s->deadline_ns)
		reactor_stop(s->r);
	else
		reactor_defer(s->r, d, on_check);
}

/* Runs the loop until the service has received n questions in all; they have been answered by then. */
static bool serve_until(struct service *s, uint64_t n)
{
	s->wanted = n;
	s->deadline_ns = clk_mono_ns() + UINT64_C(10) * NS_PER_S;
	reactor_defer(s->r, &s->check, on_check);
	CHECK_INT(reactor_run(s->r), 0);
	return CHECK_INT(s->u.batch.count.received, n);
}

static struct addr literal(const char *host, uint16_t port)
{
	struct addr a = { 0 };
	struct net_error e;
	CHECK_INT(addr_resolve(host, port, AF_UNSPEC, &a, 1, &e), 1);
	return a;
}

/* Where the service is asked: at its port, on any of its addresses. */
static struct addr service_at(const struct service *s, const char *host)
{
	return literal(host, addr_port(&s->bound));
}

/* A client's socket, not connected: it sees from where an answer comes. -1 with errno. */
static int client_bind(const char *host, uint16_t port)
{
	struct addr from = literal(host, port);
	int fd = socket(from.u.sa.sa_family, SOCK_DGRAM, 0);
	if (bind(fd, &from.u.sa, from.len) == 0)
		return fd;
	int saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

static int client(const char *host)
{
	int fd = client_bind(host, 0);
	CHECK(fd >= 0);
	return fd;
}

static bool ask(int fd, const struct addr *to, const void *p, size_t n)
{
	return CHECK_INT(sendto(fd, p, n, 0, &to->u.sa, to->len), n);
}

/* The next answer: n bytes as at p, from the address `from`. */
static bool is_answered(int fd, const struct addr *from, const void *p, size_t n)
{
	static unsigned char bytes[UDP_LEN_MAX];
	char want[ADDR_TEXT], got[ADDR_TEXT];
	struct addr source = { .len = sizeof(source.u) };
	struct pollfd readable = { .fd = fd, .events = POLLIN };
	if (!CHECK_INT(poll(&readable, 1, 10000), 1))
		return false;
	ssize_t len = recvfrom(fd, bytes, sizeof(bytes), 0, &source.u.sa, &source.len);
	return CHECK_INT(len, n) && CHECK(n == 0 || memcmp(bytes, p, n) == 0) &&
	       CHECK_STR(addr_text(&source, got), addr_text(from, want));
}

/* Nothing has come. The counters are the better witness: this cannot see what is late. */
static bool is_silent(int fd)
{
	char byte;
	ssize_t n = recv(fd, &byte, 1, MSG_DONTWAIT);
	return CHECK_INT(n, -1) && CHECK_INT(errno, EAGAIN);
}

static bool has_ipv6(void)
{
	int fd = client_bind("::1", 0);
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

/* --- what a service may say -------------------------------------------------------------------------------------- */

static ssize_t echo(struct udp *u, const unsigned char *q, size_t n, unsigned char *answer)
{
	(void)u;
	if (n > 0)
		memcpy(answer, q, n);
	return (ssize_t)n;
}

static ssize_t twice(struct udp *u, const unsigned char *q, size_t n, unsigned char *answer)
{
	echo(u, q, n, answer);
	return (ssize_t)n + echo(u, q, n, answer + n);
}

static ssize_t half(struct udp *u, const unsigned char *q, size_t n, unsigned char *answer)
{
	return echo(u, q, n / 2, answer);
}

static ssize_t line(struct udp *u, const unsigned char *q, size_t n, unsigned char *answer)
{
	(void)u;
	(void)q;
	(void)n;
	memset(answer, 'x', LINE);
	return LINE;
}

static ssize_t nothing(struct udp *u, const unsigned char *q, size_t n, unsigned char *answer)
{
	(void)u;
	(void)q;
	(void)n;
	(void)answer;
	return -1;
}

/* --- answers ----------------------------------------------------------------------------------------------------- */

static void check_echo(const char *host, size_t longest)
{
	static unsigned char bytes[UDP_LEN_MAX];
	const size_t lengths[] = { 0, 1, 1472, 0, longest, 9000, longest, 2 };
	struct service s;
	uint64_t sum = 0;
	service_start(&s, host, AF_UNSPEC, 0, echo);
	struct addr to = service_at(&s, host);
	int fd = client(host);
	for (size_t i = 0; i < COUNT_OF(lengths); i++) {
		prng_fill(i, 0, bytes, lengths[i]);
		ask(fd, &to, bytes, lengths[i]);
		if (!serve_until(&s, i + 1) || !is_answered(fd, &to, bytes, lengths[i]))
			break;
		sum += lengths[i];
	}
	CHECK_INT(s.u.batch.count.answered, COUNT_OF(lengths));
	CHECK_INT(s.u.batch.count.bytes_in, sum);
	CHECK_INT(s.u.batch.count.bytes_out, sum);
	close(fd);
	service_stop(&s);
}

static void test_echo(void)
{
	check_echo("127.0.0.1", 65507); /* 65535 less 20 bytes of IPv4 and 8 of UDP */
	if (has_ipv6())
		check_echo("::1", 65527); /* IPv6 does not count its header */
}

/* More than fit into one batch: all are answered, each to its own client and in its order. */
static void test_many_clients(void)
{
	enum { CLIENTS = 3, EACH = 30 };
	struct service s;
	int fds[CLIENTS];
	service_start(&s, "127.0.0.1", AF_UNSPEC, MUCH, echo);
	for (int i = 0; i < CLIENTS; i++)
		fds[i] = client("127.0.0.1");
	for (int k = 0; k < EACH; k++)
		for (int i = 0; i < CLIENTS; i++)
			ask(fds[i], &s.bound, (unsigned char[]){ (unsigned char)i, (unsigned char)k }, 2);
	serve_until(&s, (uint64_t)CLIENTS * EACH);
	for (int i = 0; i < CLIENTS; i++) {
		for (int k = 0; k < EACH; k++)
			if (!is_answered(fds[i], &s.bound, (unsigned char[]){ (unsigned char)i, (unsigned char)k }, 2))
				break;
		close(fds[i]);
	}
	CHECK_INT(s.u.batch.count.answered, (uint64_t)CLIENTS * EACH);
	service_stop(&s);
}

/* Asked at each of its addresses in one batch: each answer comes from the address that was asked. */
static void check_source(const char *bind_to, int family, const char *from, const char *const *asked, size_t n)
{
	struct service s;
	service_start(&s, bind_to, family, 0, echo);
	int fd = client(from);
	for (size_t i = 0; i < n; i++) {
		struct addr to = service_at(&s, asked[i]);
		ask(fd, &to, &i, sizeof(i));
	}
	serve_until(&s, n);
	for (size_t i = 0; i < n; i++) {
		struct addr to = service_at(&s, asked[i]);
		is_answered(fd, &to, &i, sizeof(i));
	}
	CHECK_INT(s.u.batch.count.answered, n);
	close(fd);
	service_stop(&s);
}

static const char *const asked4[] = { "127.0.0.2", "127.0.0.1", "127.1.2.3", "127.0.0.2" };

static void test_source_of_the_answer(void)
{
	check_source(NULL, AF_INET, "127.0.0.1", asked4, COUNT_OF(asked4));
	check_source(NULL, AF_UNSPEC, "127.0.0.1", asked4, COUNT_OF(asked4)); /* dual-stack: IPv4-mapped */
	check_source("127.0.0.2", AF_UNSPEC, "127.0.0.1", asked4, 1);
	if (has_ipv6())
		check_source(NULL, AF_UNSPEC, "::1", (const char *const[]){ "::1" }, 1);
}

/* A client that is connected, as most are, hears nothing but an answer from the address that it asked. */
static void test_connected_client(void)
{
	struct service s;
	struct net_error e;
	service_start(&s, NULL, AF_UNSPEC, 0, echo);
	struct addr to = service_at(&s, "127.0.0.2"), from = literal("127.0.0.1", 0);
	int fd = sock_connect_udp(&to, 1, &from, &e);
	CHECK_INT(send(fd, "hello", 5, 0), 5);
	serve_until(&s, 1);
	is_answered(fd, &to, "hello", 5);
	close(fd);
	service_stop(&s);
}

/* --- who is not answered ----------------------------------------------------------------------------------------- */

/* From this port, on whichever loopback address it is free; -1: on none, or only root may. */
static int client_at_port(uint16_t port)
{
	for (int i = 2; i < 20; i++) {
		char host[24];
		snprintf(host, sizeof(host), "127.0.0.%d", i);
		int fd = client_bind(host, port);
		if (fd >= 0)
			return fd;
		if (errno != EADDRINUSE)
			break;
	}
	CHECK(errno == EADDRINUSE || errno == EACCES);
	return -1;
}

static void test_source_ports(void)
{
	static const struct {
		uint16_t port;
		bool refused;
	} rows[] = {
		{ 1, true },     { 7, true },     { 19, true },    { 1023, true }, { 1024, false },
		{ 2006, false }, { 2007, true },  { 2008, false }, { 2009, true }, { 2010, false },
		{ 2013, true },  { 2018, false }, { 2019, true },  { 2037, true }, { 2038, false },
	};
	struct service s;
	uint64_t asked = 0, refused = 0;
	service_start(&s, "127.0.0.1", AF_UNSPEC, MUCH, echo);
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		int fd = client_at_port(rows[i].port);
		if (fd < 0)
			continue;
		ask(fd, &s.bound, "x", 1);
		serve_until(&s, ++asked);
		refused += rows[i].refused;
		if (!CHECK_INT(s.u.batch.count.refused_port, refused) ||
		    !CHECK_INT(s.u.batch.count.answered, asked - refused))
			fprintf(stderr, "    source port %u\n", rows[i].port);
		if (rows[i].refused)
			is_silent(fd);
		else
			is_answered(fd, &s.bound, "x", 1);
		close(fd);
	}
	CHECK(asked >= 4); /* of the ports that everybody may have, somebody else holds a few at most */
	service_stop(&s);
}

/* Another service on the same port of another host: the two would never end. */
static void test_own_port(void)
{
	struct service s;
	for (int attempt = 0; attempt < 20; attempt++) {
		service_start(&s, "127.0.0.1", AF_UNSPEC, 0, echo);
		int fd = client_bind("127.0.0.2", addr_port(&s.bound));
		if (fd >= 0) {
			ask(fd, &s.bound, "x", 1);
			serve_until(&s, 1);
			CHECK_INT(s.u.batch.count.refused_port, 1);
			is_silent(fd);
			close(fd);
		}
		service_stop(&s);
		if (fd >= 0)
			return;
	}
	CHECK(false && "a port that is free twice");
}

/* A question to everybody on a network is not answered, one to us from the same client is. */
static void check_group(const char *host, int family, const char *from, const char *group, const char *ours)
{
	struct service s;
	int on = 1;
	service_start(&s, host, family, 0, echo);
	struct addr all = service_at(&s, group), to = service_at(&s, ours);
	int fd = client(from);
	setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &on, sizeof(on));
	ask(fd, &all, "all", 3);
	ask(fd, &to, "one", 3);
	serve_until(&s, 2);
	CHECK_INT(s.u.batch.count.refused_group, 1);
	is_answered(fd, &to, "one", 3);
	is_silent(fd);
	close(fd);
	service_stop(&s);
}

static void test_groups(void)
{
	check_group(NULL, AF_INET, "127.0.0.1", "127.255.255.255", "127.0.0.1");
	check_group(NULL, AF_UNSPEC, "127.0.0.1", "127.255.255.255", "127.0.0.1");
}

/* Reads what has come; how many. */
static uint64_t count_answers(int fd)
{
	uint64_t n = 0;
	char byte;
	while (recv(fd, &byte, 1, MSG_DONTWAIT) >= 0)
		n++;
	return n;
}

/* One source asks without end, from several ports: it gets its burst and what the rate adds meanwhile. Another is
 * served as if nothing were. */
static void check_rate(uint32_t rate, uint32_t rate_means)
{
	enum { QUESTIONS = 1000, PORTS = 4, AT_ONCE = 25 };
	struct service s;
	uint64_t got = 0, asked = 0;
	int fds[PORTS], other = client("127.0.0.3");
	service_start(&s, "127.0.0.1", AF_UNSPEC, rate, echo);
	for (int i = 0; i < PORTS; i++)
		fds[i] = client("127.0.0.2");
	uint64_t start_ns = clk_mono_ns();
	while (asked < QUESTIONS) {
		for (int k = 0; k < AT_ONCE; k++, asked++)
			ask(fds[asked % PORTS], &s.bound, "me", 2);
		if (!serve_until(&s, asked))
			break;
		for (int i = 0; i < PORTS; i++)
			got += count_answers(fds[i]);
	}
	uint64_t refill = (clk_mono_ns() - start_ns) * rate_means / NS_PER_S + 1;
	CHECK(s.u.batch.count.answered >= rate_means);
	CHECK(s.u.batch.count.answered <= rate_means + refill);
	CHECK(got <= s.u.batch.count.answered);
	CHECK_INT(s.u.batch.count.refused_rate, QUESTIONS - s.u.batch.count.answered);
	for (uint32_t i = 0; i < rate_means; i++) {
		ask(other, &s.bound, &i, sizeof(i));
		if (!serve_until(&s, ++asked) || !is_answered(other, &s.bound, &i, sizeof(i)))
			break;
	}
	for (int i = 0; i < PORTS; i++)
		close(fds[i]);
	close(other);
	service_stop(&s);
}

static void test_rate(void)
{
	check_rate(0, UDP_RATE);
	check_rate(7, 7);
	check_rate(1, 1);
}

/* --- in a network of our own: several IPv6 addresses, and groups ------------------------------------------------- */

static int in_child(int (*body)(void))
{
	fflush(NULL);
	pid_t pid = fork();
	if (pid == 0) {
		check_bad = 0;
		_exit(body());
	}
	int status = 0;
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int enter_network(void)
{
	struct netns_failure why;
	unsigned steps = NETNS_BIT(NETNS_NET) | NETNS_BIT(NETNS_LOOPBACK);
	if (geteuid() != 0)
		steps |= NETNS_BIT(NETNS_USER) | NETNS_BIT(NETNS_IDS);
	return netns_enter(steps, &why) == 0 ? 0 : 1;
}

static bool configure_lo(int request, void *argument)
{
	int fd = socket(AF_INET6, SOCK_DGRAM, 0);
	int rc = ioctl(fd, request, argument);
	close(fd);
	return CHECK_INT(rc, 0);
}

/* One more address for lo (netdevice(7)), and until it can be used: the kernel still says that it is nobody's. */
static bool add_address(const char *host)
{
	struct { /* in6_ifreq of linux/ipv6.h, which does not get on with netinet/in.h */
		struct in6_addr addr;
		uint32_t prefix_len;
		int ifindex;
	} request = { .addr = literal(host, 0).u.in6.sin6_addr,
		      .prefix_len = 128,
		      .ifindex = (int)if_nametoindex("lo") };
	if (!configure_lo(SIOCSIFADDR, &request))
		return false;
	uint64_t deadline_ns = clk_mono_ns() + UINT64_C(10) * NS_PER_S;
	int fd;
	while ((fd = client_bind(host, 0)) < 0 && errno == EADDRNOTAVAIL && clk_mono_ns() < deadline_ns)
		poll(NULL, 0, 1);
	close(fd);
	return CHECK(fd >= 0);
}

/* What is sent to a multicast address comes back on lo, which otherwise has no multicast. */
static bool add_groups(void)
{
	struct in6_rtmsg route = {
		.rtmsg_dst = literal("ff00::", 0).u.in6.sin6_addr,
		.rtmsg_dst_len = 8,
		.rtmsg_metric = 1,
		.rtmsg_flags = RTF_UP | RTF_LOCAL,
		.rtmsg_ifindex = (int)if_nametoindex("lo"),
	};
	return configure_lo(SIOCADDRT, &route);
}

static int with_several_addresses(void)
{
	static const char *const asked[] = { "2001:db8::2", "::1", "2001:db8::1", "fe80::1%lo", "2001:db8::2" };
	CHECK_INT(enter_network(), 0);
	if (!add_address("2001:db8::1") || !add_address("2001:db8::2") || !add_address("fe80::1%lo") || !add_groups())
		return 1;
	check_source(NULL, AF_UNSPEC, "2001:db8::1", asked, COUNT_OF(asked));
	check_source(NULL, AF_INET6, "::1", asked, 3);
	check_source(NULL, AF_UNSPEC, "fe80::1%lo", asked + 3, 1);
	check_group(NULL, AF_UNSPEC, "::1", "ff02::1%lo", "::1");
	check_group(NULL, AF_INET6, "2001:db8::1", "ff02::1%lo", "2001:db8::2");
	return check_bad != 0;
}

static void test_several_ipv6_addresses(void)
{
	/* Where namespaces are forbidden that is doctor's business. */
	if (has_ipv6() && in_child(enter_network) == 0)
		CHECK_INT(in_child(with_several_addresses), 0);
}

/* --- how long an answer may be ----------------------------------------------------------------------------------- */

static void check_length(udp_answer_fn *fn, size_t may_exceed, size_t asked, size_t answered, bool allowed)
{
	static const char bytes[] = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";
	struct service s;
	service_start(&s, "127.0.0.1", AF_UNSPEC, 0, fn);
	s.u.batch.may_exceed = may_exceed;
	int fd = client("127.0.0.1");
	ask(fd, &s.bound, bytes, asked);
	serve_until(&s, 1);
	CHECK_INT(s.u.batch.count.answered, allowed);
	CHECK_INT(s.u.batch.count.refused_long, !allowed);
	CHECK_INT(s.u.batch.count.bytes_out, allowed ? answered : 0);
	if (allowed)
		is_answered(fd, &s.bound, bytes, answered);
	else
		is_silent(fd);
	close(fd);
	service_stop(&s);
}

static void test_no_amplification(void)
{
	check_length(twice, 0, 1, 2, false);
	check_length(twice, 0, 20, 40, false);
	check_length(twice, 0, 0, 0, true);
	check_length(half, 0, 40, 20, true);
	check_length(line, 0, 0, LINE, false);
	check_length(line, 0, LINE - 1, LINE, false);
	check_length(line, 0, LINE, LINE, true);
	check_length(line, LINE, 0, LINE, true);
	check_length(line, LINE - 1, 0, LINE, false);
	check_length(twice, 20, 10, 20, true);
	check_length(twice, 20, 11, 22, false);
}

static void check_silence(udp_answer_fn *fn)
{
	enum { QUESTIONS = 150 };
	struct service s;
	service_start(&s, "127.0.0.1", AF_UNSPEC, MUCH, fn);
	int fd = client("127.0.0.1");
	for (int i = 0; i < QUESTIONS; i++)
		ask(fd, &s.bound, "12345", 5);
	serve_until(&s, QUESTIONS);
	CHECK_INT(s.u.batch.count.silent, QUESTIONS);
	CHECK_INT(s.u.batch.count.answered, 0);
	CHECK_INT(s.u.batch.count.bytes_in, 5 * QUESTIONS);
	is_silent(fd);
	close(fd);
	service_stop(&s);
}

static void test_silence(void)
{
	check_silence(nothing);
	check_silence(NULL);
}

/* --- errors ------------------------------------------------------------------------------------------------------ */

/* "L" asks for more than a datagram over IPv4 can hold. */
static ssize_t too_long_for_ipv4(struct udp *u, const unsigned char *q, size_t n, unsigned char *answer)
{
	if (q[0] != 'L')
		return echo(u, q, n, answer);
	memset(answer, 0, UDP_LEN_MAX);
	return UDP_LEN_MAX;
}

/* What the kernel does not take concerns that answer alone, wherever in the batch it stands. */
static void test_answer_that_cannot_be_sent(void)
{
	struct service s;
	service_start(&s, "127.0.0.1", AF_UNSPEC, 0, too_long_for_ipv4);
	s.u.batch.may_exceed = UDP_LEN_MAX;
	int fd = client("127.0.0.1");
	for (const char *p = "LaLLbL"; *p != '\0'; p++)
		ask(fd, &s.bound, p, 1);
	serve_until(&s, 6);
	CHECK_INT(s.u.batch.count.dropped, 4);
	CHECK_INT(s.u.batch.count.answered, 2);
	CHECK_INT(s.u.batch.count.bytes_out, 2);
	is_answered(fd, &s.bound, "a", 1);
	is_answered(fd, &s.bound, "b", 1);
	close(fd);
	service_stop(&s);
}

static void on_nap_over(struct timer *t)
{
	reactor_stop(CONTAINER_OF(t, struct service, nap)->r);
}

/* Nothing is left to do: the loop must sleep, whatever the backend reports. */
static void check_loop_sleeps(struct service *s)
{
	uint64_t before = reactor_stats(s->r)->events;
	reactor_timer_start(s->r, &s->nap, clk_mono_ns() + 20 * NS_PER_MS, on_nap_over);
	CHECK_INT(reactor_run(s->r), 0);
	CHECK(reactor_stats(s->r)->events - before < 5);
}

/* Clients that are gone when their answers arrive: ICMP says so, and a socket that wants to hear of it (IP_RECVERR;
 * ip(7)) gets it as an error. The next client is served, and the loop sleeps again. */
static void check_gone_clients(const char *host, int level, int option)
{
	enum { GONE = 20 };
	struct service s;
	uint64_t asked = GONE, dropped;
	int on = 1;
	service_start(&s, host, AF_UNSPEC, MUCH, echo);
	if (option != 0)
		CHECK_INT(setsockopt(s.fd, level, option, &on, sizeof(on)), 0);
	for (int i = 0; i < GONE; i++) {
		int fd = client(host);
		ask(fd, &s.bound, "x", 1);
		close(fd);
	}
	serve_until(&s, GONE);
	int fd = client(host);
	do { /* an error that comes late may be reported in place of sending */
		dropped = s.u.batch.count.dropped;
		ask(fd, &s.bound, "still there?", 12);
	} while (serve_until(&s, ++asked) && s.u.batch.count.dropped > dropped && asked < 3 * GONE);
	is_answered(fd, &s.bound, "still there?", 12);
	check_loop_sleeps(&s);
	close(fd);
	service_stop(&s);
}

static void test_gone_clients(void)
{
	check_gone_clients("127.0.0.1", 0, 0);
	check_gone_clients("127.0.0.1", IPPROTO_IP, IP_RECVERR);
	if (has_ipv6())
		check_gone_clients("::1", IPPROTO_IPV6, IPV6_RECVERR);
}

/* The owner asked for more to come with each datagram than there is room for: where it was sent to may be cut off. */
static void test_no_room_for_the_destination(void)
{
	struct service s;
	int on = 1;
	service_start(&s, "127.0.0.1", AF_UNSPEC, 0, echo);
	CHECK_INT(setsockopt(s.fd, SOL_SOCKET, SO_TIMESTAMP, &on, sizeof(on)), 0);
	CHECK_INT(setsockopt(s.fd, IPPROTO_IP, IP_RECVTTL, &on, sizeof(on)), 0);
	CHECK_INT(setsockopt(s.fd, IPPROTO_IP, IP_RECVTOS, &on, sizeof(on)), 0);
	int fd = client("127.0.0.1");
	ask(fd, &s.bound, "x", 1);
	serve_until(&s, 1);
	CHECK_INT(s.u.batch.count.truncated, 1);
	is_silent(fd);
	close(fd);
	service_stop(&s);
}

/* --- on the loop ------------------------------------------------------------------------------------------------- */

struct neighbour {
	struct watch watch;
	struct service *s;
	uint64_t turns, seen, longest_wait; /* questions that were served between two of its turns */
};

static struct service flooded;
static int flood_fd;

/* Each question brings two new ones: there is always more to read. */
static ssize_t feed(struct udp *u, const unsigned char *q, size_t n, unsigned char *answer)
{
	if (u->batch.count.received < 20000) {
		ask(flood_fd, &flooded.bound, q, n);
		ask(flood_fd, &flooded.bound, q, n);
	}
	return nothing(u, q, n, answer);
}

static bool on_turn(struct watch *w, unsigned events)
{
	(void)events;
	struct neighbour *other = CONTAINER_OF(w, struct neighbour, watch);
	uint64_t waited = other->s->u.batch.count.received - other->seen;
	other->seen += waited;
	if (waited > other->longest_wait)
		other->longest_wait = waited;
	if (++other->turns == 100)
		reactor_stop(w->r);
	return true; /* it stays readable, on purpose */
}

/* A service that never comes to the end of its questions; a neighbour on the loop gets its turn in every round. */
static void test_flood_starves_nobody(void)
{
	struct service *s = &flooded;
	service_start(s, "127.0.0.1", AF_UNSPEC, MUCH, feed);
	flood_fd = client("127.0.0.1");
	for (int i = 0; i < 2 * UDP_BATCH; i++)
		ask(flood_fd, &s->bound, "x", 1);
	struct neighbour other = { .s = s };
	int fd = eventfd(1, EFD_NONBLOCK);
	CHECK_INT(watch_start(&other.watch, s->r, fd, WATCH_READ, on_turn), 0);
	CHECK_INT(reactor_run(s->r), 0);
	CHECK_INT(other.turns, 100);
	CHECK(s->u.batch.count.received >= 50 * UDP_BATCH);
	CHECK(other.longest_wait <= 2 * UDP_BATCH); /* last in one round, first in the next, or the other way round */
	watch_stop(&other.watch);
	close(fd);
	close(flood_fd);
	service_stop(s);
}

static int questions_left;

/* Stops its service in the middle of a batch; the owner frees it. */
static ssize_t stop_and_free(struct udp *u, const unsigned char *q, size_t n, unsigned char *answer)
{
	if (--questions_left > 0)
		return echo(u, q, n, answer);
	udp_stop(u);
	free(u);
	return nothing(NULL, q, n, answer);
}

/* The loop ends by itself, since nothing is left on it; the same descriptor serves again afterwards. */
static void test_stop_in_a_callback(void)
{
	struct service s;
	struct udp *u = malloc(sizeof(*u));
	service_start(&s, "127.0.0.1", AF_UNSPEC, 0, echo);
	udp_stop(&s.u);
	CHECK_INT(udp_start(u, s.r, s.fd, 0, stop_and_free), 0);
	questions_left = 3;
	int fd = client("127.0.0.1");
	for (int i = 0; i < 6; i++)
		ask(fd, &s.bound, "x", 1);
	CHECK_INT(reactor_run(s.r), 0);
	CHECK_INT(questions_left, 0);
	is_silent(fd);
	CHECK_INT(udp_start(&s.u, s.r, s.fd, 0, echo), 0);
	ask(fd, &s.bound, "again", 5);
	serve_until(&s, 1);
	is_answered(fd, &s.bound, "again", 5);
	close(fd);
	service_stop(&s);
}

static void check_refused_start(struct reactor *r, int fd, int error)
{
	struct udp u;
	CHECK_INT(udp_start(&u, r, fd, 0, echo), -1);
	CHECK_INT(errno, error);
	udp_stop(&u);
}

static void test_start_failures(void)
{
	struct service s;
	struct rlimit files;
	service_start(&s, "127.0.0.1", AF_UNSPEC, 0, echo);
	check_refused_start(s.r, -1, EBADF);
	int fd = eventfd(0, 0);
	check_refused_start(s.r, fd, ENOTSOCK);
	close(fd);
	fd = reactor_fd_limit(s.r);
	getrlimit(RLIMIT_NOFILE, &files);
	if ((rlim_t)fd < files.rlim_cur && CHECK_INT(dup2(s.fd, fd), fd)) { /* under select */
		check_refused_start(s.r, fd, ERANGE);
		close(fd);
	}
	service_stop(&s);
}

static void test_all(void)
{
	test_echo();
	test_many_clients();
	test_source_of_the_answer();
	test_connected_client();
	test_source_ports();
	test_own_port();
	test_groups();
	test_rate();
	test_several_ipv6_addresses();
	test_no_amplification();
	test_silence();
	test_answer_that_cannot_be_sent();
	test_gone_clients();
	test_no_room_for_the_destination();
	test_flood_starves_nobody();
	test_stop_in_a_callback();
	test_start_failures();
}

int main(void)
{
	static const char *const backends[] = { "epoll", "poll", "select" };
	for (size_t i = 0; i < COUNT_OF(backends); i++) {
		unsigned long bad = check_bad;
		backend = backends[i];
		test_all();
		if (check_bad != bad)
			fprintf(stderr, "    with %s\n", backend);
	}
	return check_done();
}
