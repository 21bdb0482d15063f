/* process.c - the sockets of a process: /proc/PID/fd has a link "socket:[INODE]" for each (proc_pid_fd(5)).
 *
 * To read the folder costs more than to poll the sockets, so it is only done when a poll finds an inode that is new. An
 * inode that is not there is believed to be another's after two polls: between accept(2) making a socket and its
 * descriptor being in the table is an instant. */
#include "tcpwatch.h"

#include "mem.h"
#include "sort.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { OTHERS = 16384 };

struct tcpwatch_process {
	int dir_fd;      /* /proc/PID: stays with this process even if its number is given to another */
	uint64_t *inode; /* ascending */
	size_t n, cap;
	uint64_t read_in; /* the poll for which the folder was read */
	struct other {
		uint64_t inode, poll;
	} other[OTHERS]; /* one for each remainder of the inode; when two meet the later one is kept */
};

static bool is_known(const struct tcpwatch_process *p, uint64_t inode)
{
	return sort_has_u64(p->inode, p->n, inode);
}

static void take_link(struct tcpwatch_process *p, int fd, const char *name)
{
	char target[64];
	unsigned long long inode;
	ssize_t n = readlinkat(fd, name, target, sizeof(target) - 1);
	if (n < 0)
		return;
	target[n] = '\0';
	if (sscanf(target, "socket:[%llu]", &inode) != 1)
		return;
	if (p->n == p->cap) {
		p->cap = p->cap > 0 ? 2 * p->cap : 64;
		p->inode = xrealloc(p->inode, p->cap * sizeof(*p->inode));
	}
	p->inode[p->n++] = inode;
}

/* 0, or -1 with errno. */
static int read_folder(struct tcpwatch_process *p)
{
	p->n = 0;
	int fd = openat(p->dir_fd, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	if (dir == NULL) {
		int saved = errno;
		if (fd >= 0)
			close(fd);
		errno = saved;
		return -1;
	}
	for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
		take_link(p, fd, entry->d_name);
	closedir(dir);
	sort_u64(p->inode, p->n);
	return 0;
}

/* Sockets of another network namespace would never be found. 0 when it is ours, or when nobody can tell. */
static int check_network(struct tcpwatch_process *p, struct net_error *e, const char *object)
{
	char ours[64] = "", theirs[64] = "";
	if (readlink("/proc/self/ns/net", ours, sizeof(ours) - 1) < 0 ||
	    readlinkat(p->dir_fd, "ns/net", theirs, sizeof(theirs) - 1) < 0 || strcmp(ours, theirs) == 0)
		return 0;
	errno = EXDEV;
	net_fail(e, "watch", object);
	e->reason = "it lives in another network namespace: run tcpwatch in there (nsenter -t PID -n, as root)";
	return -1;
}

static int fail(struct net_error *e, const char *object)
{
	net_fail(e, "watch", object);
	if (e->sys == ENOENT || e->sys == ESRCH) {
		e->sys = ESRCH;
		e->reason = "there is no such process (a port is written :5001)";
	} else if (e->sys == EACCES || e->sys == EPERM) {
		e->reason = "the descriptors of a process are shown to its own user only: be that user, or root";
	}
	return -1;
}

int tcpwatch_process_open(struct tcpwatch_process **out, pid_t pid, struct net_error *e)
{
	char path[32], object[32];
	snprintf(path, sizeof(path), "/proc/%d", (int)pid);
	snprintf(object, sizeof(object), "process %d", (int)pid);
	struct tcpwatch_process *p = xcalloc(1, sizeof(*p));
	*out = p;
	p->dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int result = p->dir_fd < 0 || read_folder(p) < 0 ? fail(e, object) : check_network(p, e, object);
	if (result < 0) {
		tcpwatch_process_close(p);
		*out = NULL;
	}
	return result;
}

void tcpwatch_process_close(struct tcpwatch_process *p)
{
	if (p == NULL)
		return;
	if (p->dir_fd >= 0)
		close(p->dir_fd);
	free(p->inode);
	free(p);
}

bool tcpwatch_process_has(struct tcpwatch_process *p, uint64_t inode, uint64_t poll)
{
	if (inode == 0)
		return false;
	if (is_known(p, inode))
		return true;
	struct other *o = &p->other[inode % OTHERS];
	if (o->inode != inode)
		*o = (struct other){ .inode = inode, .poll = poll };
	else if (poll > o->poll + 1)
		return false;
	if (p->read_in != poll) {
		p->read_in = poll;
		(void)read_folder(p); /* of a process that has ended: no sockets */
	}
	return is_known(p, inode);
}

/* A process that has ended but was not waited for has a folder still; its state says so ("Z", proc_pid_stat(5)). */
bool tcpwatch_process_lives(const struct tcpwatch_process *p)
{
	char text[512];
	int fd = openat(p->dir_fd, "stat", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	ssize_t n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return false;
	text[n] = '\0';
	const char *state = strrchr(text, ')'); /* the name before it may have any character in it */
	return state == NULL || strlen(state) < 3 || (state[2] != 'Z' && state[2] != 'X');
}
