#include "netns.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

static int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	ssize_t n = write(fd, text, strlen(text));
	int saved = errno;
	close(fd);
	errno = saved;
	return n < 0 ? -1 : 0;
}

/* Inside a user namespace that has no map yet every id reads as 65534, so the outer ids must be known from before. */
static int map_ids(uid_t outer_uid, gid_t outer_gid)
{
	char map[64];
	/* WHY: without this the kernel refuses gid_map: who drops a group could pass a rule that denies the group. */
	if (write_file("/proc/self/setgroups", "deny") < 0)
		return -1;
	snprintf(map, sizeof(map), "0 %u 1", (unsigned)outer_uid);
	if (write_file("/proc/self/uid_map", map) < 0)
		return -1;
	snprintf(map, sizeof(map), "0 %u 1", (unsigned)outer_gid);
	return write_file("/proc/self/gid_map", map);
}

static int own_mounts(void)
{
	/* The copy still hands mounts on to where it was copied from, until the whole tree is made private. */
	if (unshare(CLONE_NEWNS) < 0)
		return -1;
	return mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL);
}

static int loopback_up(void)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	struct ifreq request = { .ifr_name = "lo" };
	int result = ioctl(fd, SIOCGIFFLAGS, &request);
	if (result == 0) {
		request.ifr_flags |= IFF_UP;
		result = ioctl(fd, SIOCSIFFLAGS, &request);
	}
	int saved = errno;
	close(fd);
	errno = saved;
	return result;
}

static int do_step(enum netns_step step, uid_t outer_uid, gid_t outer_gid)
{
	switch (step) {
	case NETNS_USER:
		return unshare(CLONE_NEWUSER);
	case NETNS_IDS:
		return map_ids(outer_uid, outer_gid);
	case NETNS_MOUNT:
		return own_mounts();
	case NETNS_PID:
		return unshare(CLONE_NEWPID);
	case NETNS_NET:
		return unshare(CLONE_NEWNET);
	default:
		return loopback_up();
	}
}

int netns_enter(unsigned steps, struct netns_failure *why)
{
	uid_t outer_uid = geteuid();
	gid_t outer_gid = getegid();
	for (enum netns_step step = 0; step < NETNS_STEPS; step++) {
		if (!(steps & NETNS_BIT(step)) || do_step(step, outer_uid, outer_gid) == 0)
			continue;
		*why = (struct netns_failure){ .step = step, .error = errno };
		return -1;
	}
	return 0;
}

const char *netns_step_name(enum netns_step step)
{
	static const char *const names[NETNS_STEPS] = {
		[NETNS_USER] = "user namespace", [NETNS_IDS] = "id maps",           [NETNS_MOUNT] = "mount namespace",
		[NETNS_PID] = "PID namespace",   [NETNS_NET] = "network namespace", [NETNS_LOOPBACK] = "loopback up",
	};
	return step < NETNS_STEPS ? names[step] : "?";
}
