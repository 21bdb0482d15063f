/* netns.h - private namespaces: a network of one's own, without root where the kernel allows it. Layer 2.
 *
 * A process that enters them can do to its own loopback, sysctls, queues and devices what otherwise only root may do to
 * the machine's, and all of it is gone when the last process inside ends. An ordinary user must enter a user namespace
 * first, in which he is root; whoever is root already does without it.
 *
 *	struct netns_failure why;
 *	unsigned steps = NETNS_BIT(NETNS_NET) | NETNS_BIT(NETNS_LOOPBACK);
 *	if (geteuid() != 0)
 *		steps |= NETNS_BIT(NETNS_USER) | NETNS_BIT(NETNS_IDS);
 *	if (netns_enter(steps, &why) < 0)
 *		die("%s: %s", netns_step_name(why.step), errno_name(why.error));
 *
 * There is no way back out, and what succeeded before a failure stays: enter in a child process, or for good. Where it
 * is forbidden the step says so: EPERM by a security module or in a chroot (on Ubuntu 24.04 the user namespace can be
 * entered and the steps after it fail), ENOSPC where user.max_user_namespaces is 0 (user_namespaces(7)). */
#ifndef TCPLAB_NETNS_H
#define TCPLAB_NETNS_H

#include "cdefs.h"

/* In the order in which they are done. */
enum netns_step {
	NETNS_USER,     /* a user namespace; only a process with a single thread may enter one */
	NETNS_IDS,      /* the caller's user and group become root in it; needs NETNS_USER */
	NETNS_MOUNT,    /* mounts made from here on are seen by nobody else */
	NETNS_PID,      /* for children: the next one forked is process 1, and all end when it ends */
	NETNS_NET,      /* a network with nothing in it but a loopback device that is down */
	NETNS_LOOPBACK, /* the loopback device up: 127.0.0.1 and ::1 answer */
	NETNS_STEPS
};

#define NETNS_BIT(step) (1u << (step))

struct netns_failure {
	enum netns_step step;
	int error; /* an errno value */
};

/* Does the steps whose bits are set, in their order. 0, or -1 at the first that fails: *why says which and the error,
 * and errno is the same. Does not block. */
MUST_USE int netns_enter(unsigned steps, struct netns_failure *why);

/* "user namespace", "loopback up": for messages. */
const char *netns_step_name(enum netns_step step);

#endif
