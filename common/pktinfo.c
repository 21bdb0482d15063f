#include "pktinfo.h"

#include <string.h>

int pktinfo_ask(int fd, int family)
{
	int on = 1;
	if (family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof(on)) < 0)
		return -1;
	/* On an IPv6 socket it is for the IPv4 clients of a dual-stack one. */
	return setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on));
}

/* The answer's only control message: where it leaves from. */
static void put_source(struct msghdr *answer, int level, int type, const void *info, size_t len)
{
	answer->msg_controllen = (socklen_t)CMSG_SPACE(len); /* POSIX says socklen_t, glibc size_t */
	memset(answer->msg_control, 0, CMSG_SPACE(len));     /* the padding, too */
	struct cmsghdr *c = CMSG_FIRSTHDR(answer);
	c->cmsg_level = level;
	c->cmsg_type = type;
	c->cmsg_len = (socklen_t)CMSG_LEN(len);
	memcpy(CMSG_DATA(c), info, len);
}

/* False: a group was asked, so the kernel found another address to answer from (ip(7), ipi_spec_dst). */
static bool use_asked4(const struct cmsghdr *c, struct msghdr *answer)
{
	struct in_pktinfo info;
	memcpy(&info, CMSG_DATA(c), sizeof(info));
	/* WHY 0: otherwise the answer has to take the question's interface, whatever the routing table says. */
	info.ipi_ifindex = 0;
	put_source(answer, IPPROTO_IP, IP_PKTINFO, &info, sizeof(info));
	return info.ipi_addr.s_addr == info.ipi_spec_dst.s_addr;
}

static bool use_asked6(const struct cmsghdr *c, struct msghdr *answer)
{
	struct in6_pktinfo info;
	memcpy(&info, CMSG_DATA(c), sizeof(info));
	if (IN6_IS_ADDR_V4MAPPED(&info.ipi6_addr))
		return true; /* a dual-stack socket: IP_PKTINFO comes, too, and says more */
	if (!IN6_IS_ADDR_LINKLOCAL(&info.ipi6_addr))
		info.ipi6_ifindex = 0; /* as above; a link-local address means nothing without its link (RFC 4007 6) */
	put_source(answer, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof(info));
	return !IN6_IS_ADDR_MULTICAST(&info.ipi6_addr);
}

bool pktinfo_answer(struct msghdr *question, struct msghdr *answer)
{
	bool is_ours = true;
	answer->msg_controllen = 0;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(question); c != NULL; c = CMSG_NXTHDR(question, c)) {
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO)
			is_ours = is_ours && use_asked4(c, answer);
		else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO)
			is_ours = is_ours && use_asked6(c, answer);
	}
	return is_ours;
}
