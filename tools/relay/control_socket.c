/* control_socket.c - the relay's family: where the control socket is, who may use it, and whose file it is.
 *
 * It is a file (unix(7)), since that has an owner, a mode, and a place of the user's choice. A file outlives its process: what
 * a killed relay has left behind is replaced, and what belongs to a living one never is. The difference is whether somebody
 * answers there. Between looking and replacing nobody else may do the same, so both happen under a lock on the folder
 * (flock(2)), and so does our own bind and listen: a socket that is bound and does not listen yet looks like a dead one. */
#include "relay.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CONTROL_BACKLOG = 16 };

static int open_socket(void)
{
	return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

/* The folder that the path is in, locked; closing the descriptor lets go. -1 with errno. */
static int lock_folder(const char *path)
{
	char folder[PATH_MAX];
	const char *slash = strrchr(path, '/');
	size_t len = slash == NULL ? 0 : slash == path ? 1 : (size_t)(slash - path);
	snprintf(folder, sizeof(folder), "%.*s", slash == NULL ? 1 : (int)len, slash == NULL ? "." : path);
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || flock(fd, LOCK_EX) == 0)
		return fd;
	int err = errno;
	close(fd);
	errno = err;
	return -1;
}

/* A socket at which nobody listens. */
static bool is_left_behind(const struct addr *a)
{
	struct stat st;
	if (lstat(a->u.un.sun_path, &st) < 0 || !S_ISSOCK(st.st_mode))
		return false;
	int fd = open_socket();
	/* WHY non-blocking: a living relay with a full backlog would keep us waiting; it says EAGAIN now. */
	bool is_dead = fd >= 0 && fcntl(fd, F_SETFL, O_NONBLOCK) == 0 && connect(fd, &a->u.sa, a->len) < 0 &&
		       errno == ECONNREFUSED;
	if (fd >= 0)
		close(fd);
	return is_dead;
}

/* Bound, listening, and for the owner alone from its first moment: the file takes its mode from the socket. */
static int bind_and_listen(int fd, const struct addr *a)
{
	if (fchmod(fd, S_IRUSR | S_IWUSR) < 0)
		return -1;
	int rc = bind(fd, &a->u.sa, a->len);
	if (rc < 0 && errno == EADDRINUSE) {
		if (!is_left_behind(a)) {
			errno = EADDRINUSE;
			return -1;
		}
		if (unlink(a->u.un.sun_path) < 0)
			return -1;
		rc = bind(fd, &a->u.sa, a->len);
	}
	return rc < 0 ? -1 : listen(fd, CONTROL_BACKLOG);
}

static bool is_known_place(struct relay_place *place)
{
	struct stat st;
	if (lstat(place->addr.u.un.sun_path, &st) < 0)
		return false;
	place->device = st.st_dev;
	place->inode = st.st_ino;
	return true;
}

static int fail(struct net_error *e, const char *op, const char *path, int fd, int lock)
{
	net_fail(e, op, path);
	if (e->sys == EADDRINUSE)
		e->reason = "a relay answers there already, or it is no socket";
	if (fd >= 0)
		close(fd);
	if (lock >= 0)
		close(lock);
	return -1;
}

int relay_place_bind(struct relay_place *place, const char *path, struct net_error *e)
{
	if (path[0] == '@') {
		errno = EINVAL;
		net_fail(e, "make the control socket", path);
		e->reason = "it has to be a file, so that it has an owner and a mode";
		return -1;
	}
	if (addr_unix(path, &place->addr, e) < 0)
		return -1;
	int lock = lock_folder(path);
	if (lock < 0)
		return fail(e, "make the control socket", path, -1, -1);
	int fd = open_socket();
	if (fd < 0 || bind_and_listen(fd, &place->addr) < 0 || !is_known_place(place))
		return fail(e, "make the control socket", path, fd, lock);
	close(lock);
	return fd;
}

void relay_place_remove(const struct relay_place *place)
{
	struct stat st;
	const char *path = place->addr.u.un.sun_path;
	if (lstat(path, &st) == 0 && st.st_dev == place->device && st.st_ino == place->inode)
		unlink(path);
}

int relay_place_connect(const char *path, struct net_error *e)
{
	struct addr a;
	if (addr_unix(path, &a, e) < 0)
		return -1;
	int fd = open_socket();
	if (fd >= 0 && connect(fd, &a.u.sa, a.len) == 0)
		return fd;
	net_fail(e, "reach the relay at", path);
	if (e->sys == ECONNREFUSED)
		e->reason = "nobody is there any more";
	if (fd >= 0)
		close(fd);
	return -1;
}

bool relay_place_is_allowed(int fd)
{
	struct ucred who;
	socklen_t len = sizeof(who);
	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) == 0 && (who.uid == geteuid() || who.uid == 0);
}
