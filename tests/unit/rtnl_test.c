/* rtnl_test.c - hosts and links made of namespaces, and what travels over them; what fails, and how; and a kernel that
 * talks nonsense, played by us. What needs namespaces is run as whoever we are, then by root as an ordinary user. */
#include "rtnl.h"

#include "check.h"
#include "child.h"
#include "netns.h"
#include "peers.h"

#include <grp.h>
#include <limits.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/time.h>

enum { NOBODY = 65534, PATIENCE_MS = 10000 };

static struct net_error e;
static bool is_second_time; /* as another user: what takes long is left out */

static void must(int result)
{
	char text[NET_ERROR_TEXT];
	if (!CHECK_INT(result, 0))
		fprintf(stderr, "    %s\n", net_error_text(&e, text));
}

static void check_failure(int result, int error, const char *object)
{
	CHECK_INT(result, -1);
	CHECK_INT(e.sys, error);
	size_t len = strlen(object);
	if (!CHECK(strncmp(e.object, object, len) == 0 && (e.object[len] == '\0' || e.object[len] == ' ')))
		fprintf(stderr, "    \"%s\" is not \"%s\"\n", e.object, object);
}

static struct addr ip(const char *text)
{
	return literal(text, 0);
}

/* --- hosts -------------------------------------------------------------------------------------------------------- */

/* A network namespace, and a socket that belongs to it. */
struct host {
	int netns;
	struct rtnl r;
};

static struct host a, b, r;

/* False for the root of a user namespace in which there is nobody else. */
static bool become_ordinary(void)
{
	if (setgroups(0, NULL) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0 || setresuid(NOBODY, NOBODY, NOBODY) < 0)
		return false;
	prctl(PR_SET_DUMPABLE, 1); /* or /proc/self would still be root's */
	return true;
}

static int enter_user(void)
{
	struct netns_failure why;
	return geteuid() == 0 ? 0 : netns_enter(NETNS_BIT(NETNS_USER) | NETNS_BIT(NETNS_IDS), &why);
}

static void make_host(struct host *h)
{
	struct netns_failure why;
	CHECK_INT(netns_enter(NETNS_BIT(NETNS_NET) | NETNS_BIT(NETNS_LOOPBACK), &why), 0);
	h->netns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	must(rtnl_open(&h->r, &e));
}

static void go_to(const struct host *h)
{
	CHECK_INT(setns(h->netns, CLONE_NEWNET), 0);
}

static void make_hosts(void)
{
	CHECK_INT(enter_user(), 0);
	make_host(&a);
	make_host(&b);
	make_host(&r);
}

static void set_up(struct host *h, const char *name, const struct rtnl_device *d, const char *ip4, unsigned bits4,
		   const char *ip6, unsigned bits6)
{
	struct addr addr4 = ip(ip4), addr6 = ip(ip6);
	must(rtnl_set(&h->r, name, d, &e));
	must(rtnl_add_address(&h->r, name, &addr4, bits4, &e));
	must(rtnl_add_address(&h->r, name, &addr6, bits6, &e));
}

/* Both ends are up. */
static void wait_for(struct host *x, const char *name_x, struct host *y, const char *name_y)
{
	must(rtnl_wait_link(&x->r, name_x, &e));
	must(rtnl_wait_link(&y->r, name_y, &e));
}

static void route(struct host *h, const char *name, const char *to, unsigned bits, const char *via)
{
	struct addr target = ip(to), router = ip(via != NULL ? via : "::");
	must(rtnl_add_route(&h->r, name, &target, bits, via != NULL ? &router : NULL, &e));
}

/* --- what travels ------------------------------------------------------------------------------------------------- */

/* A socket of the host, bound to one of its addresses: which an IPv6 address that is still being checked refuses. */
static int udp_at(const struct host *h, const char *address, struct addr *bound)
{
	*bound = ip(address);
	go_to(h);
	int fd = socket(bound->u.sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	CHECK_INT(bind(fd, &bound->u.sa, bound->len), 0);
	CHECK_INT(addr_of_socket(fd, bound), 0);
	return fd;
}

static bool arrives(int fd, int patience_ms)
{
	return poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, patience_ms) == 1;
}

static void check_one_way(int from, int to, const struct addr *there)
{
	char text[8] = "";
	CHECK_INT(sendto(from, "hello", 5, 0, &there->u.sa, there->len), 5);
	if (CHECK(arrives(to, PATIENCE_MS)))
		CHECK_INT(recv(to, text, sizeof(text) - 1, 0), 5);
	CHECK_STR(text, "hello");
}

static void check_both_ways(const struct host *x, const char *ip_x, const struct host *y, const char *ip_y)
{
	struct addr at_x, at_y;
	int fd_x = udp_at(x, ip_x, &at_x), fd_y = udp_at(y, ip_y, &at_y);
	check_one_way(fd_x, fd_y, &at_y);
	check_one_way(fd_y, fd_x, &at_x);
	close(fd_x);
	close(fd_y);
}

/* Everything that is on the host's devices, in both directions. */
static int capture(const struct host *h)
{
	go_to(h);
	int on = 1, fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, htons(ETH_P_IP));
	if (!CHECK(fd >= 0))
		abort();
	CHECK_INT(setsockopt(fd, SOL_PACKET, PACKET_AUXDATA, &on, sizeof(on)), 0);
	return fd;
}

/* --- devices ------------------------------------------------------------------------------------------------------ */

static struct ifreq ask_device(const struct host *h, const char *name, unsigned long question)
{
	struct ifreq q = { 0 };
	go_to(h);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	snprintf(q.ifr_name, sizeof(q.ifr_name), "%s", name);
	CHECK_INT(ioctl(fd, (int)question, &q), 0);
	close(fd);
	return q;
}

static short flags_of(const struct host *h, const char *name)
{
	return (short)(ask_device(h, name, SIOCGIFFLAGS).ifr_flags & (IFF_UP | IFF_NOARP | IFF_MULTICAST));
}

static void test_figures(void)
{
	make_hosts();
	must(rtnl_veth(&a.r, "left", "right", b.netns, &e));
	CHECK_INT(flags_of(&a, "left"), IFF_MULTICAST);
	CHECK_INT(flags_of(&b, "right"), IFF_MULTICAST);
	must(rtnl_set(&a.r, "left", &(struct rtnl_device){ .mtu = 1400, .tx_queue_len = 77 }, &e));
	CHECK_INT(ask_device(&a, "left", SIOCGIFMTU).ifr_mtu, 1400);
	CHECK_INT(ask_device(&a, "left", SIOCGIFTXQLEN).ifr_qlen, 77);
	CHECK_INT(flags_of(&a, "left"), IFF_MULTICAST);
	must(rtnl_set(&a.r, "left", &(struct rtnl_device){ .is_up = true }, &e));
	CHECK_INT(ask_device(&a, "left", SIOCGIFMTU).ifr_mtu, 1400);
	CHECK_INT(ask_device(&a, "left", SIOCGIFTXQLEN).ifr_qlen, 77);
	CHECK_INT(flags_of(&a, "left"), IFF_MULTICAST | IFF_UP);
	must(rtnl_set(&a.r, "left", &(struct rtnl_device){ .no_arp = true, .no_auto_address = true }, &e));
	CHECK_INT(flags_of(&a, "left"), IFF_NOARP | IFF_UP);
	CHECK_INT(flags_of(&b, "right"), IFF_MULTICAST);
	/* Too small for IPv6: there is no way of making addresses that could be switched off. */
	must(rtnl_set(&b.r, "right", &(struct rtnl_device){ .mtu = 1000, .no_auto_address = true, .is_up = true }, &e));
	CHECK_INT(ask_device(&b, "right", SIOCGIFMTU).ifr_mtu, 1000);

	must(rtnl_veth(&a.r, "near", "far", -1, &e));
	go_to(&a);
	CHECK_INT(rtnl_index(&a.r, "near", &e), if_nametoindex("near"));
	CHECK_INT(rtnl_index(&a.r, "far", &e), if_nametoindex("far"));
	CHECK_INT(rtnl_index(&a.r, "lo", &e), 1);
	CHECK(rtnl_index(&a.r, "near", &e) != rtnl_index(&a.r, "far", &e));
}

/* Wherever its process is, the socket is where it was opened. */
static void test_namespace_of_socket(void)
{
	make_hosts();
	go_to(&b);
	must(rtnl_veth(&a.r, "left", "right", r.netns, &e));
	CHECK(rtnl_index(&a.r, "left", &e) > 0);
	CHECK(rtnl_index(&r.r, "right", &e) > 0);
	CHECK_INT(rtnl_index(&b.r, "left", &e), 0);
	CHECK_INT(e.sys, ENODEV);
	rtnl_close(&b.r);
	CHECK_INT(b.r.fd, -1);
	must(rtnl_open(&b.r, &e));
	CHECK_INT(rtnl_index(&b.r, "left", &e), 0);
}

/* --- links -------------------------------------------------------------------------------------------------------- */

/* Addresses are usable at once. */
static void test_link(void)
{
	const struct rtnl_device plain = { .is_up = true }, quiet = { .no_auto_address = true, .is_up = true };
	make_hosts();
	must(rtnl_veth(&a.r, "left", "right", b.netns, &e));
	set_up(&a, "left", &plain, "10.1.1.1", 24, "fd01::1", 64);
	set_up(&b, "right", &quiet, "10.1.1.2", 24, "fd01::2", 64);
	wait_for(&a, "left", &b, "right");
	check_both_ways(&a, "10.1.1.1", &b, "10.1.1.2");
	check_both_ways(&a, "fd01::1", &b, "fd01::2");
}

/* The far end comes up last, and the first packet is on its way at once: the kernel must be ready for it at both ends.
 * Where nobody waits about every second one gets lost. */
static void test_first_packet(const char *here, const char *there, unsigned bits)
{
	const struct rtnl_device d = { .no_arp = true }, up = { .no_arp = true, .is_up = true };
	struct addr at_a = ip(here), at_b = ip(there);
	make_hosts();
	must(rtnl_veth(&a.r, "left", "right", b.netns, &e));
	must(rtnl_set(&a.r, "left", &up, &e));
	must(rtnl_set(&b.r, "right", &d, &e));
	must(rtnl_add_address(&b.r, "right", &at_b, bits, &e)); /* on a device that is down yet */
	must(rtnl_add_address(&a.r, "left", &at_a, bits, &e));
	int to = udp_at(&b, there, &at_b), from = udp_at(&a, here, &at_a);
	must(rtnl_set(&b.r, "right", &up, &e));
	wait_for(&a, "left", &b, "right");
	check_one_way(from, to, &at_b);
	close(from);
	close(to);
}

static void test_first_packets(void)
{
	for (int i = 0; i < 10 && check_bad == 0; i++) {
		test_first_packet("10.1.1.1", "10.1.1.2", 24);
		test_first_packet("fd01::1", "fd01::2", 64);
	}
}

/* With a far end that is down there is none, and lo needs none. */
static void test_no_link(void)
{
	make_hosts();
	must(rtnl_wait_link(&a.r, "lo", &e));
	if (is_second_time)
		return;
	must(rtnl_veth(&a.r, "left", "right", b.netns, &e));
	must(rtnl_set(&a.r, "left", &(struct rtnl_device){ .is_up = true }, &e));
	check_failure(rtnl_wait_link(&a.r, "left", &e), ETIMEDOUT, "left");
}

/* Addresses that share no network, and routes that lead straight to the other end. */
static void test_routes_to_device(void)
{
	const struct rtnl_device d = { .no_arp = true, .no_auto_address = true, .is_up = true };
	make_hosts();
	must(rtnl_veth(&a.r, "left", "right", b.netns, &e));
	set_up(&a, "left", &d, "10.1.1.1", 32, "fd01::1", 128);
	set_up(&b, "right", &d, "10.2.2.2", 32, "fd02::2", 128);
	wait_for(&a, "left", &b, "right");
	route(&a, "left", "0.0.0.0", 0, NULL);
	route(&a, "left", "::", 0, NULL);
	route(&b, "right", "10.1.255.255", 16, NULL); /* the bits behind the prefix do not matter */
	route(&b, "right", "fd01::ffff", 64, NULL);
	check_both_ways(&a, "10.1.1.1", &b, "10.2.2.2");
	check_both_ways(&a, "fd01::1", &b, "fd02::2");
}

static bool forwards(const struct host *h)
{
	static const char *const switches[] = { "/proc/sys/net/ipv4/ip_forward",
						"/proc/sys/net/ipv6/conf/all/forwarding" };
	bool is_on = true;
	go_to(h);
	for (size_t i = 0; i < COUNT_OF(switches); i++) {
		int fd = open(switches[i], O_WRONLY | O_CLOEXEC);
		is_on &= fd >= 0 && write(fd, "1", 1) == 1;
		close(fd);
	}
	return is_on;
}

static void test_router(void)
{
	const struct rtnl_device d = { .mtu = 1500, .no_arp = true, .no_auto_address = true, .is_up = true };
	make_hosts();
	must(rtnl_veth(&r.r, "to-a", "link", a.netns, &e));
	must(rtnl_veth(&b.r, "link", "to-b", r.netns, &e));
	set_up(&a, "link", &d, "10.1.1.1", 24, "fd01::1", 64);
	set_up(&r, "to-a", &d, "10.1.1.254", 24, "fd01::fe", 64);
	set_up(&r, "to-b", &d, "10.1.2.254", 24, "fd02::fe", 64);
	set_up(&b, "link", &d, "10.1.2.1", 24, "fd02::1", 64);
	wait_for(&a, "link", &r, "to-a");
	wait_for(&b, "link", &r, "to-b");
	route(&a, "link", "0.0.0.0", 0, "10.1.1.254");
	route(&a, "link", "::", 0, "fd01::fe");
	route(&b, "link", "10.1.1.0", 24, "10.1.2.254");
	route(&b, "link", "fd01::", 64, "fd02::fe");
	if (!forwards(&r))
		return; /* where /proc/sys may not be written to */
	check_both_ways(&a, "10.1.1.1", &b, "10.1.2.1");
	check_both_ways(&a, "fd01::1", &b, "fd02::1");
}

/* --- silence ------------------------------------------------------------------------------------------------------ */

/* What a device sends by itself it sends in the first second (RFC 4861 6.3.7, RFC 3810 9.11). */
enum { SILENCE_MS = 1500 };

/* Nothing leaves but the datagram that we send in the end, which shows that we would have seen it. */
static void test_silence(void)
{
	const struct rtnl_device d = { .no_arp = true, .no_auto_address = true, .is_up = true };
	struct sockaddr_ll bound = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL) };
	struct addr at_a, at_b;
	make_hosts();
	int seen = capture(&a);
	CHECK_INT(bind(seen, (struct sockaddr *)&bound, sizeof(bound)), 0);
	must(rtnl_veth(&a.r, "left", "right", b.netns, &e));
	set_up(&a, "left", &d, "10.1.1.1", 24, "fd01::1", 64);
	set_up(&b, "right", &d, "10.1.1.2", 24, "fd01::2", 64);
	wait_for(&a, "left", &b, "right");
	forwards(&a);
	forwards(&b);
	CHECK(!arrives(seen, is_second_time ? 0 : SILENCE_MS));
	int from = udp_at(&a, "fd01::1", &at_a), to = udp_at(&b, "fd01::2", &at_b);
	check_one_way(from, to, &at_b);
	CHECK(arrives(seen, PATIENCE_MS));
}

static void test_tun(void)
{
	struct ifreq request = { .ifr_name = "link0", .ifr_flags = IFF_TUN | IFF_NO_PI };
	const struct rtnl_device d = { .mtu = 1280, .no_arp = true, .no_auto_address = true, .is_up = true };
	unsigned char packet[2000] = { 0 };
	struct addr at, to = literal("fd01::2", 9);
	make_hosts();
	go_to(&a);
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	if (fd < 0 || ioctl(fd, TUNSETIFF, &request) < 0)
		return; /* a container without the device */
	set_up(&a, "link0", &d, "10.1.1.1", 24, "fd01::1", 64);
	must(rtnl_plain_packets("link0", &e));
	must(rtnl_wait_link(&a.r, "link0", &e));
	CHECK_INT(flags_of(&a, "link0"), IFF_UP | IFF_NOARP);
	CHECK(!arrives(fd, is_second_time ? 0 : SILENCE_MS));
	int from = udp_at(&a, "fd01::1", &at);
	CHECK_INT(sendto(from, "hello", 5, 0, &to.u.sa, to.len), 5);
	CHECK_INT(read(fd, packet, sizeof(packet)), 40 + 8 + 5);
	CHECK_INT(packet[0], 0x60);
}

/* --- what is on the device ---------------------------------------------------------------------------------------- */

struct seen {
	size_t longest;
	unsigned n, n_unfinished; /* a checksum was left to hardware that is not there */
};

static struct seen look_at(int fd)
{
	struct seen s = { 0 };
	for (;;) {
		union {
			char bytes[CMSG_SPACE(sizeof(struct tpacket_auxdata))];
			struct cmsghdr aligned;
		} control;
		struct tpacket_auxdata aux = { 0 };
		struct iovec nothing = { 0 };
		struct msghdr m = {
			.msg_iov = &nothing, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)
		};
		if (recvmsg(fd, &m, 0) < 0)
			return s;
		if (CMSG_FIRSTHDR(&m) != NULL)
			memcpy(&aux, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(aux));
		s.longest = aux.tp_len > s.longest ? aux.tp_len : s.longest;
		s.n_unfinished += (aux.tp_status & TP_STATUS_CSUMNOTREADY) != 0;
		s.n++;
	}
}

/* Over one TCP connection from a to b, as it is on the device of b. */
static struct seen transfer(void)
{
	static char bytes[20000];
	struct addr server = ip("10.1.1.2");
	int packets = capture(&b);
	int listener = tcp_socket();
	CHECK_INT(bind(listener, &server.u.sa, server.len) | listen(listener, 1), 0);
	CHECK_INT(addr_of_socket(listener, &server), 0);
	go_to(&a);
	int client = tcp_socket();
	CHECK_INT(connect(client, &server.u.sa, server.len), 0);
	int accepted = accept(listener, NULL, NULL);
	CHECK_INT(send(client, bytes, sizeof(bytes), 0), sizeof(bytes));
	CHECK_INT(recv(accepted, bytes, sizeof(bytes), MSG_WAITALL), sizeof(bytes));
	struct seen s = look_at(packets);
	close(client);
	close(accepted);
	close(listener);
	close(packets);
	return s;
}

static void test_plain_packets(void)
{
	const struct rtnl_device d = { .no_arp = true, .mtu = 1400, .is_up = true };
	make_hosts();
	must(rtnl_veth(&a.r, "left", "right", b.netns, &e));
	set_up(&a, "left", &d, "10.1.1.1", 24, "fd01::1", 64);
	set_up(&b, "right", &d, "10.1.1.2", 24, "fd01::2", 64);
	wait_for(&a, "left", &b, "right");
	struct seen before = transfer();
	CHECK(before.longest > 1400 + ETH_HLEN);
	CHECK(before.n_unfinished > 0);
	int fds = count_fds();
	go_to(&a);
	must(rtnl_plain_packets("left", &e));
	go_to(&b);
	must(rtnl_plain_packets("right", &e));
	CHECK_INT(count_fds(), fds);
	struct seen after = transfer();
	CHECK_INT(after.longest, 1400 + ETH_HLEN);
	CHECK_INT(after.n_unfinished, 0);
	CHECK(after.n > 20000 / 1400);
}

/* --- what fails --------------------------------------------------------------------------------------------------- */

static void test_names(void)
{
	make_hosts();
	check_failure(rtnl_veth(&a.r, "longer-than-15-b", "x", -1, &e), ENAMETOOLONG, "longer-than-15-b");
	check_failure(rtnl_veth(&a.r, "x", "longer-than-15-b", -1, &e), ENAMETOOLONG, "longer-than-15-b");
	check_failure(rtnl_veth(&a.r, "", "x", -1, &e), EINVAL, "");
	check_failure(rtnl_veth(&a.r, "x", "", -1, &e), EINVAL, "");
	must(rtnl_veth(&a.r, "fifteen-bytes-1", "fifteen-bytes-2", -1, &e));
	CHECK(rtnl_index(&a.r, "fifteen-bytes-2", &e) > 0);
	CHECK_INT(rtnl_index(&a.r, "", &e), 0);
	CHECK_INT(e.sys, EINVAL);
	go_to(&a);
	check_failure(rtnl_plain_packets("longer-than-15-b", &e), ENAMETOOLONG, "longer-than-15-b");
}

static void test_no_device(void)
{
	const struct addr to = ip("10.1.0.0");
	make_hosts();
	CHECK_INT(rtnl_index(&a.r, "none", &e), 0);
	check_failure(-1, ENODEV, "none");
	check_failure(rtnl_set(&a.r, "none", &(struct rtnl_device){ .is_up = true }, &e), ENODEV, "none");
	check_failure(rtnl_wait_link(&a.r, "none", &e), ENODEV, "none");
	check_failure(rtnl_add_address(&a.r, "none", &to, 24, &e), ENODEV, "none");
	check_failure(rtnl_add_route(&a.r, "none", &to, 24, NULL, &e), ENODEV, "none");
	check_failure(rtnl_add_qdisc(&a.r, "none", "pfifo", NULL, 0, &e), ENODEV, "none");
	go_to(&a);
	check_failure(rtnl_plain_packets("none", &e), ENODEV, "none");
}

static void test_refused(void)
{
	const struct addr ip4 = ip("10.1.1.1"), ip6 = ip("fd01::1"), near = ip("10.1.1.2"), far = ip("10.9.9.9"),
			  strange = { 0 };
	make_hosts();
	int fds = count_fds();
	must(rtnl_veth(&a.r, "left", "right", b.netns, &e));
	check_failure(rtnl_veth(&a.r, "left", "other", b.netns, &e), EEXIST, "left and other");
	check_failure(rtnl_veth(&a.r, "other", "right", b.netns, &e), EEXIST, "other and right");
	CHECK_INT(rtnl_index(&a.r, "other", &e), 0); /* both or none */
	CHECK_INT(rtnl_veth(&a.r, "other", "right", 1000, &e), -1);
	CHECK(e.sys != 0);

	CHECK_INT(rtnl_add_route(&a.r, "left", &ip4, 24, NULL, &e), -1);
	CHECK_INT(e.sys, ENETDOWN);
	set_up(&a, "left", &(struct rtnl_device){ .is_up = true }, "10.1.1.1", 24, "fd01::1", 64);
	check_failure(rtnl_add_address(&a.r, "left", &ip4, 24, &e), EEXIST, "10.1.1.1/24 on left");
	check_failure(rtnl_add_address(&a.r, "left", &ip6, 64, &e), EEXIST, "fd01::1/64 on left");
	check_failure(rtnl_add_address(&a.r, "left", &ip4, 33, &e), EINVAL, "10.1.1.1/33 on left");
	check_failure(rtnl_add_address(&a.r, "left", &ip6, 129, &e), EINVAL, "fd01::1/129 on left");
	check_failure(rtnl_add_address(&a.r, "left", &ip4, 256 + 8, &e), EINVAL, "10.1.1.1/264 on left");
	check_failure(rtnl_add_address(&a.r, "left", &strange, 0, &e), EAFNOSUPPORT, "?/0 on left");
	check_failure(rtnl_add_route(&a.r, "left", &far, 16, &ip6, &e), EAFNOSUPPORT, "10.9.9.9/16 on left");
	check_failure(rtnl_add_route(&a.r, "left", &far, 16, &strange, &e), EAFNOSUPPORT, "10.9.9.9/16 on left");
	check_failure(rtnl_add_route(&a.r, "left", &far, 16, &far, &e), ENETUNREACH, "10.9.9.9/16 on left");
	route(&a, "left", "10.9.9.9", 16, "10.1.1.2");
	check_failure(rtnl_add_route(&a.r, "left", &far, 16, &near, &e), EEXIST, "10.9.9.9/16 on left");
	CHECK_INT(rtnl_set(&a.r, "left", &(struct rtnl_device){ .mtu = 1000000 }, &e), -1);
	CHECK_INT(e.sys, EINVAL);
	CHECK_INT(count_fds(), fds);
}

static void test_qdisc(void)
{
	const struct tc_fifo_qopt limit = { .limit = 10 };
	make_hosts();
	check_failure(rtnl_add_qdisc(&a.r, "lo", "pfifo", &limit, 1, &e), EINVAL, "lo");
	check_failure(rtnl_add_qdisc(&a.r, "lo", "no such", &limit, sizeof(limit), &e), ENOENT, "lo");
	must(rtnl_add_qdisc(&a.r, "lo", "pfifo", &limit, sizeof(limit), &e));
	check_failure(rtnl_add_qdisc(&a.r, "lo", "pfifo", &limit, sizeof(limit), &e), EEXIST, "lo");
}

/* Without CAP_NET_ADMIN one may look, but not touch. */
static void test_no_right(void)
{
	const struct addr ip4 = ip("10.1.1.1");
	must(rtnl_open(&a.r, &e));
	if (geteuid() == 0 && !become_ordinary())
		return;
	CHECK(rtnl_index(&a.r, "lo", &e) > 0);
	check_failure(rtnl_veth(&a.r, "left", "right", -1, &e), EPERM, "left and right");
	check_failure(rtnl_set(&a.r, "lo", &(struct rtnl_device){ .tx_queue_len = 1000 }, &e), EPERM, "lo");
	check_failure(rtnl_add_address(&a.r, "lo", &ip4, 32, &e), EPERM, "10.1.1.1/32 on lo");
	CHECK_INT(rtnl_plain_packets("lo", &e), -1);
	CHECK_INT(e.sys, EPERM);
}

static void test_no_socket(void)
{
	if (!child_forbid(SYS_socket, EMFILE))
		return;
	check_failure(rtnl_open(&a.r, &e), EMFILE, "rtnetlink");
	CHECK_INT(a.r.fd, -1);
	rtnl_close(&a.r);
	CHECK_INT(rtnl_plain_packets("lo", &e), -1);
	CHECK_INT(e.sys, EMFILE);
}

/* --- a kernel that talks nonsense --------------------------------------------------------------------------------- */

static int kernel; /* our end of the socket that rtnl.c takes for one to the kernel */

static void play_kernel(void)
{
	int ends[2];
	CHECK_INT(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, ends), 0);
	CHECK_INT(setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &(struct timeval){ .tv_usec = 50000 },
			     sizeof(struct timeval)),
		  0);
	kernel = ends[1];
	a.r = (struct rtnl){ .fd = ends[0], .sequence = 6 };
}

static void stop_kernel(void)
{
	rtnl_close(&a.r);
	close(kernel);
}

/* Says it before it is asked. The header announces `len` bytes of body, and `given` of them are there. */
static void say_part(uint16_t type, uint16_t flags, uint32_t sequence, const void *body, size_t len, size_t given)
{
	unsigned char message[16 * 1024] = { 0 };
	struct nlmsghdr h = { .nlmsg_type = type,
			      .nlmsg_flags = flags,
			      .nlmsg_seq = sequence,
			      .nlmsg_len = (uint32_t)(sizeof(h) + len) };
	memcpy(message, &h, sizeof(h));
	memcpy(message + sizeof(h), body, given);
	CHECK_INT(send(kernel, message, sizeof(h) + given, 0), sizeof(h) + given);
}

static void say(uint16_t type, uint16_t flags, uint32_t sequence, const void *body, size_t len)
{
	say_part(type, flags, sequence, body, len, len);
}

/* What rtnl_index makes of what was said: 0, or an errno value. */
static int understood(unsigned index)
{
	e = (struct net_error){ 0 };
	unsigned got = rtnl_index(&a.r, "left", &e);
	int error = got == 0 ? e.sys : 0;
	if (error == 0)
		CHECK_INT(got, index);
	else
		CHECK(strncmp(e.object, "left", 4) == 0);
	stop_kernel();
	return error;
}

static void test_answer_cut_off(void)
{
	const struct ifinfomsg link = { .ifi_index = 42 };
	for (size_t len = 0; len <= sizeof(link); len++) {
		play_kernel();
		say(RTM_NEWLINK, 0, 7, &link, len);
		CHECK_INT(understood(42), len < sizeof(link) ? EBADMSG : 0);
		play_kernel();
		say_part(RTM_NEWLINK, 0, 7, &link, sizeof(link), len);
		CHECK_INT(understood(42), len < sizeof(link) ? EBADMSG : 0);
	}
	for (size_t len = 0; len < sizeof(struct nlmsghdr); len++) {
		play_kernel();
		CHECK_INT(send(kernel, &(struct nlmsghdr){ .nlmsg_seq = 7, .nlmsg_len = (uint32_t)len }, len, 0), len);
		CHECK_INT(understood(0), EBADMSG);
	}
	play_kernel();
	CHECK_INT(send(kernel, &(struct nlmsghdr){ .nlmsg_seq = 7, .nlmsg_len = 15 }, 16, 0), 16);
	CHECK_INT(understood(0), EBADMSG);
	static const unsigned char long_body[12 * 1024] = { [4] = 42 };
	play_kernel();
	say(RTM_NEWLINK, 0, 7, long_body, sizeof(long_body));
	CHECK_INT(understood(0), EBADMSG);
	play_kernel();
	say_part(RTM_NEWLINK, 0, 7, long_body, 100,
		 sizeof(long_body)); /* our buffer was too short, and who knows for what */
	CHECK_INT(understood(0), EBADMSG);
}

static void test_answer_of_others(void)
{
	const struct ifinfomsg wrong = { .ifi_index = 41 }, right = { .ifi_index = 42 };
	play_kernel();
	say(RTM_NEWLINK, 0, 6, &wrong, sizeof(wrong));
	say(RTM_NEWLINK, 0, 8, &wrong, sizeof(wrong));
	say(NLMSG_ERROR, 0, 0, &(struct nlmsgerr){ .error = -EIO }, sizeof(struct nlmsgerr));
	say(RTM_NEWLINK, 0, 7, &right, sizeof(right));
	CHECK_INT(understood(42), 0);
	play_kernel();
	say(RTM_NEWLINK, 0, 6, &wrong, sizeof(wrong));
	CHECK_INT(understood(0), ETIMEDOUT);
}

/* Anybody may write to a netlink socket of this protocol; our questions go to a second one. */
static void test_answer_of_a_process(void)
{
	struct sockaddr_nl at = { .nl_family = AF_NETLINK };
	socklen_t len = sizeof(at);
	int stranger = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_USERSOCK);
	play_kernel();
	close(kernel);
	close(a.r.fd);
	a.r.fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_USERSOCK);
	kernel = stranger;
	CHECK_INT(bind(stranger, (struct sockaddr *)&at, len), 0);
	CHECK_INT(getsockname(stranger, (struct sockaddr *)&at, &len), 0);
	CHECK_INT(connect(a.r.fd, (struct sockaddr *)&at, len), 0);
	CHECK_INT(getsockname(a.r.fd, (struct sockaddr *)&at, &len), 0);
	CHECK_INT(connect(stranger, (struct sockaddr *)&at, len), 0);
	setsockopt(a.r.fd, SOL_SOCKET, SO_RCVTIMEO, &(struct timeval){ .tv_usec = 50000 }, sizeof(struct timeval));
	say(RTM_NEWLINK, 0, 7, &(struct ifinfomsg){ .ifi_index = 42 }, sizeof(struct ifinfomsg));
	CHECK(arrives(a.r.fd, PATIENCE_MS));
	CHECK_INT(understood(0), ETIMEDOUT);
}

static void test_verdict_nonsense(void)
{
	static const int errors[] = { 0, 1, INT_MAX, INT_MIN, -4096 };
	for (size_t i = 0; i < COUNT_OF(errors); i++) {
		play_kernel();
		say(NLMSG_ERROR, 0, 7, &(struct nlmsgerr){ .error = errors[i] }, sizeof(struct nlmsgerr));
		CHECK_INT(understood(0), EBADMSG);
	}
	for (size_t len = 0; len <= sizeof(struct nlmsgerr); len++) {
		play_kernel();
		say(NLMSG_ERROR, 0, 7, &(struct nlmsgerr){ .error = -ENODEV }, len);
		CHECK_INT(understood(0), len < sizeof(struct nlmsgerr) ? EBADMSG : ENODEV);
	}
	play_kernel();
	say(RTM_NEWADDR, 0, 7, &(struct ifinfomsg){ .ifi_index = 42 }, sizeof(struct ifinfomsg));
	CHECK_INT(understood(0), EBADMSG);
	play_kernel();
	say(RTM_NEWLINK, 0, 7, &(struct ifinfomsg){ .ifi_index = -1 }, sizeof(struct ifinfomsg));
	CHECK_INT(understood(0), EBADMSG);
	play_kernel();
	say(RTM_NEWLINK, 0, 7, &(struct ifinfomsg){ .ifi_index = 42 }, sizeof(struct ifinfomsg));
	check_failure(rtnl_veth(&a.r, "left", "right", -1, &e), EBADMSG, "left and right"); /* no verdict */
	stop_kernel();
}

/* About a device of this type, which is "running", and of which the state of its link is said. */
static void say_link(uint32_t sequence, unsigned short type, unsigned char state)
{
	struct {
		struct ifinfomsg link;
		struct nlattr part;
		unsigned char state;
	} body = {
		.link = { .ifi_index = 42, .ifi_type = type, .ifi_flags = IFF_RUNNING },
		.part = { .nla_len = sizeof(body.part) + 1, .nla_type = IFLA_OPERSTATE },
		.state = state,
	};
	say(RTM_NEWLINK, 0, sequence, &body, offsetof(__typeof__(body), state) + 1);
}

/* Kernels before 6.8 call a veth device running that they have not looked at yet: state 0, unknown; 6 is up. */
static void test_link_unknown(void)
{
	play_kernel();
	say_link(7, ARPHRD_ETHER, 0);
	say_link(8, ARPHRD_ETHER, 6);
	must(rtnl_wait_link(&a.r, "left", &e));
	CHECK_INT(a.r.sequence, 8);
	say_link(9, ARPHRD_NONE, 0);
	must(rtnl_wait_link(&a.r, "left", &e));
	CHECK_INT(a.r.sequence, 9);
	stop_kernel();
}

/* A verdict, `repeated` bytes of our question, and an attribute that announces `len` bytes. */
static void say_words(uint16_t flags, size_t repeated, uint32_t repeated_len, uint16_t type, const char *words,
		      size_t len)
{
	unsigned char body[1024] = { 0 };
	struct nlmsgerr verdict = { .error = -ENODEV, .msg.nlmsg_len = repeated_len };
	struct nlattr part = { .nla_len = (uint16_t)len, .nla_type = type };
	size_t at = sizeof(verdict) + repeated;
	memcpy(body, &verdict, sizeof(verdict));
	memcpy(body + at, &part, sizeof(part));
	memcpy(body + at + sizeof(part), words, strlen(words));
	play_kernel();
	say(NLMSG_ERROR, flags, 7, body, at + sizeof(part) + strlen(words));
	CHECK_INT(understood(0), ENODEV);
}

static void test_words(void)
{
	enum { CAPPED = NLM_F_CAPPED | NLM_F_ACK_TLVS, WHOLE = NLM_F_ACK_TLVS, MSG = NLMSGERR_ATTR_MSG };
	say_words(CAPPED, 0, 48, MSG, "Gone", 4 + 4);
	CHECK_STR(e.object, "left (Gone)");
	say_words(WHOLE, 32, 48, MSG, "Gone", 4 + 4);
	CHECK_STR(e.object, "left (Gone)");
	say_words(WHOLE, 0, 0, MSG, "Gone", 4 + 4);
	CHECK_STR(e.object, "left (Gone)");
	say_words(CAPPED, 0, 48, MSG, "Gone for good", 4 + 4);
	CHECK_STR(e.object, "left (Gone)");
	say_words(0, 0, 48, MSG, "Gone", 4 + 4);
	CHECK_STR(e.object, "left");
	say_words(CAPPED, 0, 48, NLMSGERR_ATTR_OFFS, "Gone", 4 + 4);
	CHECK_STR(e.object, "left");
	static const size_t lies[] = { 0, 1, 3, 4 + 5, 100, UINT16_MAX };
	for (size_t i = 0; i < COUNT_OF(lies); i++) {
		say_words(CAPPED, 0, 48, MSG, "Gone", lies[i]);
		CHECK_STR(e.object, "left");
	}
	static const uint32_t far[] = { 40, 60, 10000, UINT32_MAX };
	for (size_t i = 0; i < COUNT_OF(far); i++) {
		say_words(WHOLE, 32, far[i], MSG, "Gone", 4 + 4);
		CHECK_STR(e.object, "left");
	}
	static const char x[301] = { [0 ... 299] = 'x' };
	say_words(CAPPED, 0, 48, MSG, x, 4 + 300);
	CHECK_INT(strlen(e.object), sizeof(e.object) - 1);
}

/* --- all of it ---------------------------------------------------------------------------------------------------- */

static void test_can_enter(void)
{
	struct netns_failure why;
	if (enter_user() < 0 || netns_enter(NETNS_BIT(NETNS_NET), &why) < 0)
		_exit(2);
}

static void in_namespaces(void)
{
	static void (*const tests[])(void) = {
		test_figures,       test_namespace_of_socket,
		test_link,          test_no_link,
		test_first_packets, test_routes_to_device,
		test_router,        test_silence,
		test_tun,           test_plain_packets,
		test_names,         test_no_device,
		test_refused,       test_qdisc,
	};
	/* Where the kernel, a container or a sanitizer forbids it, that is doctor's business and not this test's. */
	if (in_child(test_can_enter) != 0)
		return;
	for (size_t i = 0; i < COUNT_OF(tests); i++)
		CHECK_INT(in_child(tests[i]), 0);
}

static void as_ordinary_user(void)
{
	if (!become_ordinary())
		return;
	is_second_time = true;
	alarm(0); /* each of the tests has its own patience */
	in_namespaces();
}

int main(void)
{
	test_answer_cut_off();
	test_answer_of_others();
	test_answer_of_a_process();
	test_verdict_nonsense();
	test_words();
	test_link_unknown();
	CHECK_INT(in_child(test_no_socket), 0);
	CHECK_INT(in_child(test_no_right), 0);
	in_namespaces();
	if (geteuid() == 0)
		CHECK_INT(in_child(as_ordinary_user), 0);
	return check_done();
}
