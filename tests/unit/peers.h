/* peers.h - peers on loopback for tests of connecting: one that refuses, one that keeps silent; and who forgot a
 * descriptor. */
#ifndef TCPLAB_PEERS_H
#define TCPLAB_PEERS_H

#include "addr.h"
#include "check.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

static inline int tcp_socket(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	CHECK(fd >= 0);
	return fd;
}

static inline struct addr literal(const char *host, uint16_t port)
{
	struct addr a = { 0 };
	struct net_error e;
	CHECK_INT(addr_resolve(host, port, AF_UNSPEC, &a, 1, &e), 1);
	return a;
}

/* An address that refuses: the port is ours, and nobody listens. *fd holds it until it is closed. */
static inline struct addr refusing(int *fd)
{
	struct addr a = literal("127.0.0.1", 0);
	*fd = tcp_socket();
	CHECK_INT(bind(*fd, &a.u.sa, a.len), 0);
	CHECK_INT(addr_of_socket(*fd, &a), 0);
	return a;
}

/* An address that keeps silent: its accept queue is full, so the kernel drops each further SYN (listen(2)). */
static inline struct addr silent(int *server, int fill[static 4])
{
	struct addr a = refusing(server);
	CHECK_INT(listen(*server, 0), 0);
	for (int i = 0; i < 4; i++) {
		fill[i] = tcp_socket();
		fcntl(fill[i], F_SETFL, O_NONBLOCK);
		if (connect(fill[i], &a.u.sa, a.len) < 0)
			CHECK_INT(errno, EINPROGRESS);
	}
	CHECK_INT(poll(&(struct pollfd){ .fd = fill[0], .events = POLLOUT }, 1, 10000), 1);
	return a;
}

static inline void close_silent(int server, const int fill[static 4])
{
	close(server);
	for (int i = 0; i < 4; i++)
		close(fill[i]);
}

/* How many descriptors are open. */
static inline int count_fds(void)
{
	int n = -1; /* the one that reads the folder */
	DIR *dir = opendir("/proc/self/fd");
	CHECK(dir != NULL);
	for (struct dirent *d; dir != NULL && (d = readdir(dir)) != NULL;)
		n += d->d_name[0] != '.';
	if (dir != NULL)
		closedir(dir);
	return n;
}

#endif
