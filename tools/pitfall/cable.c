/* cable.c - see cable.h. */
#include "cable.h"

#include "diag.h"
#include "netns.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

int cable_filter(int fd, struct sock_filter *program, unsigned short len, struct net_error *e)
{
	struct sock_fprog filter = { .len = len, .filter = program };
	int rc = setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter));
	tracef("setsockopt(%d, SO_ATTACH_FILTER) = %d", fd, rc);
	if (rc == 0)
		return 0;
	net_fail(e, "set", "SO_ATTACH_FILTER");
	if (e->sys == EPERM)
		e->reason = "this kernel wants CAP_NET_ADMIN for a filter on a TCP socket";
	return -1;
}

int cable_cut(int fd, struct net_error *e)
{
	struct sock_filter keep_nothing[] = { BPF_STMT(BPF_RET | BPF_K, 0) };
	return cable_filter(fd, keep_nothing, COUNT_OF(keep_nothing), e);
}

int cable_mend(int fd, struct net_error *e)
{
	int unused = 0;
	int rc = setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &unused, sizeof(unused));
	tracef("setsockopt(%d, SO_DETACH_FILTER) = %d", fd, rc);
	return rc < 0 ? net_fail(e, "set", "SO_DETACH_FILTER") : 0;
}

int cable_prepare(struct net_error *e)
{
	const unsigned steps = NETNS_BIT(NETNS_USER) | NETNS_BIT(NETNS_IDS) | NETNS_BIT(NETNS_NET) |
			       NETNS_BIT(NETNS_LOOPBACK);
	struct netns_failure why;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return net_fail(e, "socket", "for TCP");
	int rc = cable_cut(fd, e);
	close(fd);
	if (rc == 0 || e->sys != EPERM)
		return rc;
	rc = netns_enter(steps, &why);
	tracef("a network of our own: %s", rc == 0 ? "yes" : netns_step_name(why.step));
	if (rc < 0)
		e->reason =
			"this kernel wants CAP_NET_ADMIN for a filter on a TCP socket, and gives us no network of our own";
	return rc;
}
