#include "rtnl.h"

#include "clock.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <linux/ethtool.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <linux/veth.h>

enum {
	QUESTION_LEN = 512,    /* the longest here needs about 150 */
	ANSWER_LEN = 8 * 1024, /* what the kernel tells about a device is about 1500 bytes */
	LIMIT_S = 2,
	ERRNO_MAX = 4095, /* include/linux/err.h */
	OPERSTATE_UP = 6, /* IF_OPER_UP of linux/if.h, which cannot be included beside net/if.h */
};

/* --- the question ------------------------------------------------------------------------------------------------- */

/* A header, a fixed part which depends on the type, and attributes. An attribute can hold attributes. Each of these
 * begins at a multiple of 4. */
struct question {
	struct nlmsghdr header;
	unsigned char body[QUESTION_LEN];
	size_t len; /* of the body */
};

static void put(struct question *q, const void *data, size_t len)
{
	assert(NLMSG_ALIGN(len) <= sizeof(q->body) - q->len);
	if (len > 0)
		memcpy(q->body + q->len, data, len);
	q->len += NLMSG_ALIGN(len); /* the body was zero */
}

static struct question question(uint16_t type, uint16_t flags, const void *fixed, size_t len)
{
	struct question q = { .header = { .nlmsg_type = type, .nlmsg_flags = NLM_F_REQUEST | flags } };
	put(&q, fixed, len);
	return q;
}

static void add(struct question *q, uint16_t type, const void *data, size_t len)
{
	struct nlattr a = { .nla_type = type, .nla_len = (uint16_t)(sizeof(a) + len) };
	put(q, &a, sizeof(a));
	put(q, data, len);
}

static void add_u32(struct question *q, uint16_t type, uint32_t value)
{
	add(q, type, &value, sizeof(value));
}

static void add_text(struct question *q, uint16_t type, const char *text)
{
	add(q, type, text, strlen(text) + 1);
}

/* What is added from here to end_nest() lies in the attribute. */
static size_t begin_nest(struct question *q, uint16_t type)
{
	size_t at = q->len;
	add(q, type, NULL, 0);
	return at;
}

static void end_nest(struct question *q, size_t at)
{
	uint16_t len = (uint16_t)(q->len - at);
	memcpy(q->body + at + offsetof(struct nlattr, nla_len), &len, sizeof(len));
}

/* --- the answer --------------------------------------------------------------------------------------------------- */

/* Nothing in it is believed but what lies within its length. */
struct answer {
	struct nlmsghdr header;
	unsigned char body[ANSWER_LEN];
	size_t len; /* of the body */
};

/* Waits for the message that answers the last question. What others send, and the late answer to a question that was
 * given up, are passed over. 0, or an errno value. */
static int take_answer(const struct rtnl *r, struct answer *a)
{
	for (;;) {
		struct sockaddr_nl from = { 0 };
		struct iovec pieces[] = { { &a->header, sizeof(a->header) }, { a->body, sizeof(a->body) } };
		struct msghdr m = {
			.msg_name = &from, .msg_namelen = sizeof(from), .msg_iov = pieces, .msg_iovlen = 2
		};
		ssize_t n = recvmsg(r->fd, &m, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? ETIMEDOUT : errno;
		if (from.nl_pid != 0) /* the kernel is 0, netlink(7) */
			continue;
		if ((size_t)n < sizeof(a->header) || a->header.nlmsg_len < sizeof(a->header) ||
		    a->header.nlmsg_len > (size_t)n || m.msg_flags & MSG_TRUNC)
			return EBADMSG;
		a->len = a->header.nlmsg_len - sizeof(a->header);
		if (a->header.nlmsg_seq == r->sequence)
			return 0;
	}
}

/* Puts the question. 0 with the answer, or an errno value. */
static int exchange(struct rtnl *r, struct question *q, struct answer *a)
{
	struct iovec pieces[] = { { &q->header, sizeof(q->header) }, { q->body, q->len } };
	struct msghdr m = { .msg_iov = pieces, .msg_iovlen = 2 };
	q->header.nlmsg_len = (uint32_t)(sizeof(q->header) + q->len);
	q->header.nlmsg_seq = ++r->sequence;
	return sendmsg(r->fd, &m, MSG_NOSIGNAL) < 0 ? errno : take_answer(r, a);
}

/* The first attribute of this type from `at` on: its value and how long that is. NULL: there is none. */
static const unsigned char *find(const struct answer *a, size_t at, unsigned type, size_t *len)
{
	struct nlattr part;
	for (; at + sizeof(part) <= a->len; at += NLA_ALIGN((size_t)part.nla_len)) {
		memcpy(&part, a->body + at, sizeof(part));
		if (part.nla_len < sizeof(part) || part.nla_len > a->len - at)
			return NULL;
		*len = part.nla_len - sizeof(part);
		if ((part.nla_type & NLA_TYPE_MASK) == type)
			return a->body + at + sizeof(part);
	}
	return NULL;
}

/* The kernel's own words, which lie behind the errno value and, unless that is left out, the question repeated. NULL:
 * there are none. */
static const char *find_words(const struct answer *a, const struct nlmsgerr *verdict, size_t *len)
{
	size_t at = sizeof(*verdict);
	if (!(a->header.nlmsg_flags & NLM_F_ACK_TLVS))
		return NULL;
	if (!(a->header.nlmsg_flags & NLM_F_CAPPED) && verdict->msg.nlmsg_len > sizeof(verdict->msg))
		at += NLMSG_ALIGN((size_t)verdict->msg.nlmsg_len - sizeof(verdict->msg));
	return (const char *)find(a, at, NLMSGERR_ATTR_MSG, len);
}

static int fail(struct net_error *e, int error, const char *op, const char *object)
{
	errno = error;
	return net_fail(e, op, object);
}

/* 0, or -1 with *e: "add route 10.9.9.9/16 on left (Nexthop has invalid gateway): Network is unreachable ...". */
static int take_verdict(const struct answer *a, const char *op, const char *object, struct net_error *e)
{
	struct nlmsgerr verdict;
	if (a->header.nlmsg_type != NLMSG_ERROR || a->len < sizeof(verdict))
		return fail(e, EBADMSG, op, object);
	memcpy(&verdict, a->body, sizeof(verdict));
	if (verdict.error == 0)
		return 0;
	if (verdict.error > 0 || verdict.error < -ERRNO_MAX)
		return fail(e, EBADMSG, op, object);
	size_t len = 0;
	const char *words = find_words(a, &verdict, &len);
	fail(e, -verdict.error, op, object);
	if (words != NULL)
		snprintf(e->object, sizeof(e->object), "%s (%.*s)", object, (int)len, words); /* cut at a zero, too */
	return -1;
}

/* A question that is answered by yes or no: 0, or -1 with *e. */
static int ask(struct rtnl *r, struct question *q, const char *op, const char *object, struct net_error *e)
{
	struct answer a;
	q->header.nlmsg_flags |= NLM_F_ACK;
	int error = exchange(r, q, &a);
	return error != 0 ? fail(e, error, op, object) : take_verdict(&a, op, object, e);
}

int rtnl_open(struct rtnl *r, struct net_error *e)
{
	int on = 1;
	*r = (struct rtnl){ .fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE) };
	if (r->fd < 0)
		return net_fail(e, "open", "rtnetlink");
	setsockopt(r->fd, SOL_SOCKET, SO_RCVTIMEO, &(struct timeval){ .tv_sec = LIMIT_S }, sizeof(struct timeval));
	/* Kernels before 4.12 have no words, and do not leave out the question: nothing is lost. */
	setsockopt(r->fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof(on));
	setsockopt(r->fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof(on));
	return 0;
}

void rtnl_close(struct rtnl *r)
{
	if (r->fd >= 0)
		close(r->fd);
	r->fd = -1;
}

/* --- devices ------------------------------------------------------------------------------------------------------ */

/* WHY: for the kernel an empty name means "choose one". */
static int check_name(const char *name, const char *op, struct net_error *e)
{
	size_t len = strlen(name);
	if (len > 0 && len < IFNAMSIZ)
		return 0;
	return fail(e, len == 0 ? EINVAL : ENAMETOOLONG, op, name);
}

int rtnl_veth(struct rtnl *r, const char *name, const char *peer, int netns_fd, struct net_error *e)
{
	static const char op[] = "make veth";
	struct ifinfomsg fixed = { .ifi_family = AF_UNSPEC };
	if (check_name(name, op, e) < 0 || check_name(peer, op, e) < 0)
		return -1;
	struct question q = question(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &fixed, sizeof(fixed));
	add_text(&q, IFLA_IFNAME, name);
	size_t info = begin_nest(&q, IFLA_LINKINFO);
	add_text(&q, IFLA_INFO_KIND, "veth");
	size_t data = begin_nest(&q, IFLA_INFO_DATA);
	size_t other = begin_nest(&q, VETH_INFO_PEER); /* described like a device of its own */
	put(&q, &fixed, sizeof(fixed));
	add_text(&q, IFLA_IFNAME, peer);
	if (netns_fd >= 0)
		add_u32(&q, IFLA_NET_NS_FD, (uint32_t)netns_fd);
	end_nest(&q, other);
	end_nest(&q, data);
	end_nest(&q, info);
	char both[2 * IFNAMSIZ + 8];
	snprintf(both, sizeof(both), "%s and %s", name, peer);
	return ask(r, &q, op, both, e);
}

/* What the kernel says of a device: first its number, type and flags, then attributes. */
static int ask_about(struct rtnl *r, const char *name, struct ifinfomsg *link, struct answer *a, struct net_error *e)
{
	static const char op[] = "find device";
	struct ifinfomsg fixed = { .ifi_family = AF_UNSPEC };
	if (check_name(name, op, e) < 0)
		return -1;
	struct question q = question(RTM_GETLINK, 0, &fixed, sizeof(fixed));
	add_text(&q, IFLA_IFNAME, name);
	int error = exchange(r, &q, a);
	if (error != 0)
		return fail(e, error, op, name);
	if (a->header.nlmsg_type == NLMSG_ERROR && take_verdict(a, op, name, e) < 0)
		return -1;
	if (a->header.nlmsg_type != RTM_NEWLINK || a->len < sizeof(*link))
		return fail(e, EBADMSG, op, name);
	memcpy(link, a->body, sizeof(*link));
	return link->ifi_index > 0 ? 0 : fail(e, EBADMSG, op, name);
}

static int look_up(struct rtnl *r, const char *name, struct ifinfomsg *out, struct net_error *e)
{
	struct answer a;
	return ask_about(r, name, out, &a, e);
}

unsigned rtnl_index(struct rtnl *r, const char *name, struct net_error *e)
{
	struct ifinfomsg link;
	return look_up(r, name, &link, e) < 0 ? 0 : (unsigned)link.ifi_index;
}

static struct question change(const struct ifinfomsg *link, unsigned flags_on, unsigned flags_off)
{
	struct ifinfomsg fixed = {
		.ifi_family = AF_UNSPEC,
		.ifi_index = link->ifi_index,
		.ifi_flags = flags_on,
		.ifi_change = flags_on | flags_off,
	};
	return question(RTM_SETLINK, 0, &fixed, sizeof(fixed));
}

/* Everything that needs no order. */
static int set_figures(struct rtnl *r, const char *name, const struct ifinfomsg *link, const struct rtnl_device *d,
		       struct net_error *e)
{
	/* WHY: without neighbour discovery the kernel takes the device's own address for everybody else's as well
	 * (arp_constructor, ndisc_constructor), and a frame for another address than its own is dropped by who gets it.
	 * So all have the same one. 02: not a manufacturer's (RFC 9542 2.1). A TUN device has none. */
	static const unsigned char same_for_all[] = { 0x02, 0, 0, 0, 0, 0x01 };
	struct question q = change(link, d->no_arp ? IFF_NOARP : 0, d->no_auto_address ? IFF_MULTICAST : 0);
	if (d->mtu > 0)
		add_u32(&q, IFLA_MTU, d->mtu);
	if (d->tx_queue_len > 0)
		add_u32(&q, IFLA_TXQLEN, d->tx_queue_len);
	if (d->no_arp && link->ifi_type == ARPHRD_ETHER)
		add(&q, IFLA_ADDRESS, same_for_all, sizeof(same_for_all));
	return ask(r, &q, "set", name, e);
}

/* Where the device has no IPv6 (neither has the kernel, or the MTU is below 1280) there is nothing to do. */
static int set_no_auto_address(struct rtnl *r, const char *name, const struct ifinfomsg *link, struct net_error *e)
{
	unsigned char mode = IN6_ADDR_GEN_MODE_NONE;
	struct question q = change(link, 0, 0);
	size_t spec = begin_nest(&q, IFLA_AF_SPEC), inet6 = begin_nest(&q, AF_INET6);
	add(&q, IFLA_INET6_ADDR_GEN_MODE, &mode, sizeof(mode));
	end_nest(&q, inet6);
	end_nest(&q, spec);
	return ask(r, &q, "set", name, e) == 0 || e->sys == EAFNOSUPPORT ? 0 : -1;
}

int rtnl_set(struct rtnl *r, const char *name, const struct rtnl_device *d, struct net_error *e)
{
	struct ifinfomsg link;
	if (look_up(r, name, &link, e) < 0 || set_figures(r, name, &link, d, e) < 0)
		return -1;
	if (d->no_auto_address && set_no_auto_address(r, name, &link, e) < 0)
		return -1;
	/* Last, in a question of its own: the kernel would put the device up before it gets to the rest. */
	struct question q = change(&link, IFF_UP, 0);
	return d->is_up ? ask(r, &q, "set up", name, e) : 0;
}

/* WHY not IFF_RUNNING alone: a veth device has it from the beginning, until the kernel first looks at its link. Others,
 * TUN and loopback, have no link, and stay "unknown". */
static bool has_link(const struct ifinfomsg *link, const struct answer *a)
{
	size_t len = 0;
	const unsigned char *state = find(a, NLMSG_ALIGN(sizeof(*link)), IFLA_OPERSTATE, &len);
	if (link->ifi_type != ARPHRD_ETHER || state == NULL || len < 1)
		return link->ifi_flags & IFF_RUNNING;
	return *state == OPERSTATE_UP;
}

int rtnl_wait_link(struct rtnl *r, const char *name, struct net_error *e)
{
	struct ifinfomsg link;
	struct answer a;
	uint64_t now = clk_mono_ns(), deadline_ns = now + (uint64_t)LIMIT_S * NS_PER_S;
	for (; now < deadline_ns; now = clk_mono_ns()) {
		if (ask_about(r, name, &link, &a, e) < 0)
			return -1;
		if (has_link(&link, &a))
			return 0;
		clk_sleep_until_ns(now + NS_PER_MS);
	}
	return fail(e, ETIMEDOUT, "wait for the link of", name);
}

int rtnl_add_qdisc(struct rtnl *r, const char *name, const char *kind, const void *options, size_t len,
		   struct net_error *e)
{
	struct ifinfomsg link;
	if (look_up(r, name, &link, e) < 0)
		return -1;
	struct tcmsg fixed = { .tcm_family = AF_UNSPEC, .tcm_ifindex = link.ifi_index, .tcm_parent = TC_H_ROOT };
	struct question q = question(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, &fixed, sizeof(fixed));
	add_text(&q, TCA_KIND, kind);
	add(&q, TCA_OPTIONS, options, len);
	return ask(r, &q, "add queue to", name, e);
}

/* --- addresses and routes ----------------------------------------------------------------------------------------- */

/* The bytes of an address, and the device it is for. */
struct network {
	unsigned char bytes[sizeof(struct in6_addr)];
	size_t len;
	unsigned prefix_len;
	struct ifinfomsg link;
	char text[INET6_ADDRSTRLEN + IFNAMSIZ + 16]; /* "10.9.1.1/24 on left" */
};

/* 0, or an errno value. */
static int take_bytes(const struct addr *a, unsigned char out[static sizeof(struct in6_addr)], size_t *len)
{
	switch (a->u.sa.sa_family) {
	case AF_INET:
		*len = sizeof(a->u.in4.sin_addr);
		memcpy(out, &a->u.in4.sin_addr, *len);
		return 0;
	case AF_INET6:
		*len = sizeof(a->u.in6.sin6_addr);
		memcpy(out, &a->u.in6.sin6_addr, *len);
		return 0;
	default:
		return EAFNOSUPPORT;
	}
}

static int take_network(struct rtnl *r, struct network *n, const char *op, const char *name, const struct addr *a,
			unsigned prefix_len, struct net_error *e)
{
	char ip[INET6_ADDRSTRLEN] = "?";
	*n = (struct network){ .prefix_len = prefix_len };
	int error = take_bytes(a, n->bytes, &n->len);
	if (error == 0)
		inet_ntop(a->u.sa.sa_family, n->bytes, ip, sizeof(ip));
	snprintf(n->text, sizeof(n->text), "%s/%u on %.*s", ip, prefix_len, IFNAMSIZ - 1, name);
	if (error == 0 && prefix_len > 8 * n->len)
		error = EINVAL;
	return error != 0 ? fail(e, error, op, n->text) : look_up(r, name, &n->link, e);
}

/* What comes for this address is for us: the kernel has the route that says so. */
static bool is_local(struct rtnl *r, const struct network *n)
{
	struct rtmsg route = { .rtm_family = AF_INET6, .rtm_dst_len = (unsigned char)(8 * n->len) };
	struct question q = question(RTM_GETROUTE, 0, &route, sizeof(route));
	struct answer a;
	add(&q, RTA_DST, n->bytes, n->len);
	if (exchange(r, &q, &a) != 0 || a.header.nlmsg_type != RTM_NEWROUTE || a.len < sizeof(route))
		return false;
	memcpy(&route, a.body, sizeof(route));
	return route.rtm_type == RTN_LOCAL;
}

/* WHY: the kernel leaves the end of duplicate address detection to a thread of its own, also where there is nothing to
 * detect (addrconf_dad_work). Until then the address can be bound to, and what is sent to it gets lost. */
static int wait_local(struct rtnl *r, const struct network *n, const char *op, struct net_error *e)
{
	uint64_t now = clk_mono_ns(), deadline_ns = now + (uint64_t)LIMIT_S * NS_PER_S;
	while (!is_local(r, n)) {
		if (now > deadline_ns)
			return fail(e, ETIMEDOUT, op, n->text);
		clk_sleep_until_ns(now + NS_PER_MS);
		now = clk_mono_ns();
	}
	return 0;
}

int rtnl_add_address(struct rtnl *r, const char *name, const struct addr *a, unsigned prefix_len, struct net_error *e)
{
	static const char op[] = "add address";
	struct network n;
	if (take_network(r, &n, op, name, a, prefix_len, e) < 0)
		return -1;
	struct ifaddrmsg fixed = {
		.ifa_family = (unsigned char)a->u.sa.sa_family,
		.ifa_prefixlen = (unsigned char)prefix_len,
		.ifa_flags = a->u.sa.sa_family == AF_INET6 ? IFA_F_NODAD : 0,
		.ifa_scope = RT_SCOPE_UNIVERSE,
		.ifa_index = (unsigned)n.link.ifi_index,
	};
	struct question q = question(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, &fixed, sizeof(fixed));
	add(&q, IFA_LOCAL, n.bytes, n.len);
	add(&q, IFA_ADDRESS, n.bytes, n.len); /* another one would be that of the far end */
	if (ask(r, &q, op, n.text, e) < 0)
		return -1;
	return fixed.ifa_family == AF_INET6 && n.link.ifi_flags & IFF_UP ? wait_local(r, &n, op, e) : 0;
}

/* The kernel insists on zeros behind the prefix, for IPv4. */
static void clear_host_part(struct network *n)
{
	for (unsigned bit = n->prefix_len; bit < 8 * n->len; bit++)
		n->bytes[bit / 8] &= (unsigned char)~(0x80 >> bit % 8);
}

int rtnl_add_route(struct rtnl *r, const char *name, const struct addr *to, unsigned prefix_len, const struct addr *via,
		   struct net_error *e)
{
	static const char op[] = "add route";
	struct network n;
	unsigned char router[sizeof(struct in6_addr)];
	size_t router_len = 0;
	if (take_network(r, &n, op, name, to, prefix_len, e) < 0)
		return -1;
	if (via != NULL && (take_bytes(via, router, &router_len) != 0 || router_len != n.len))
		return fail(e, EAFNOSUPPORT, op, n.text);
	clear_host_part(&n);
	struct rtmsg fixed = {
		.rtm_family = (unsigned char)to->u.sa.sa_family,
		.rtm_dst_len = (unsigned char)prefix_len,
		.rtm_table = RT_TABLE_MAIN,
		.rtm_protocol = RTPROT_STATIC,
		.rtm_scope = via != NULL ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK, /* IPv6 does not look at it */
		.rtm_type = RTN_UNICAST,
	};
	struct question q = question(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, &fixed, sizeof(fixed));
	if (prefix_len > 0)
		add(&q, RTA_DST, n.bytes, n.len);
	if (via != NULL)
		add(&q, RTA_GATEWAY, router, router_len);
	add_u32(&q, RTA_OIF, (uint32_t)n.link.ifi_index);
	return ask(r, &q, op, n.text, e);
}

/* --- offloads ----------------------------------------------------------------------------------------------------- */

int rtnl_plain_packets(const char *name, struct net_error *e)
{
	static const char op[] = "switch off offloads of";
	static const uint32_t commands[] = { ETHTOOL_SGRO, ETHTOOL_SGSO, ETHTOOL_STSO, ETHTOOL_STXCSUM,
					     ETHTOOL_SRXCSUM };
	if (check_name(name, op, e) < 0)
		return -1;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return net_fail(e, op, name);
	int result = 0;
	for (size_t i = 0; i < COUNT_OF(commands) && result == 0; i++) {
		struct ethtool_value off = { .cmd = commands[i] };
		struct ifreq request = { .ifr_data = (void *)&off };
		memcpy(request.ifr_name, name, strlen(name));
		if (ioctl(fd, SIOCETHTOOL, &request) < 0 && errno != EOPNOTSUPP)
			result = net_fail(e, op, name);
	}
	close(fd);
	return result;
}
