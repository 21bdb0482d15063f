/* socket.c - linkem, between control.c and client.c: where the control socket is, and whom to trust there.
 *
 * It is an abstract unix socket (unix(7)): it has no file, and so nothing is left of it when its process is killed. It
 * belongs to the network namespace in which it was bound; there is one where linkem was called, and one on each
 * host. */
#include "linkem.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

int control_address(struct addr *a, const char *name, uid_t uid, struct net_error *e)
{
	char text[sizeof(a->u.un.sun_path)];
	int n = snprintf(text, sizeof(text), "@tcplab-net-%u-%s", (unsigned)uid, name);
	if (n >= (int)sizeof(text)) {
		errno = ENAMETOOLONG;
		return net_fail(e, "name testbed", name);
	}
	return addr_unix(text, a, e);
}

int control_bind(const char *name, struct net_error *e)
{
	struct addr a;
	if (control_address(&a, name, geteuid(), e) < 0)
		return -1;
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd >= 0 && bind(fd, &a.u.sa, a.len) == 0)
		return fd;
	net_fail(e, "make testbed", name);
	if (e->sys == EADDRINUSE)
		e->reason = "there is one of that name already (linkem down ends it)";
	if (fd >= 0)
		close(fd);
	return -1;
}

bool control_is_ours(int fd)
{
	struct ucred who;
	socklen_t len = sizeof(who);
	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) == 0 && who.uid == geteuid();
}
