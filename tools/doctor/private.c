/* private.c - doctor, second chapter: how far the chain of private namespaces goes here, and what can be built inside.
 *
 *	doctor --fork--> child: enters step by step, tries devices and queues, ends   (everything it made ends with it)
 *	       --fork--> child: gives up root first; can an ordinary user do the same?
 *
 * The kernel has no question for "may I": each thing is tried. A child that does not end in time is killed. */
#include "report.h"

#include "clock.h"
#include "diag.h"
#include "netns.h"
#include "rtnl.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/if_ether.h>
#include <linux/if_tun.h>
#include <linux/pkt_sched.h>
#include <net/if.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { NOBODY = 65534, LIMIT_S = 5 };

/* The names of the steps in the report. */
static const char *const step_probes[NETNS_STEPS] = {
	[NETNS_USER] = "user_namespace", [NETNS_IDS] = "id_maps",           [NETNS_MOUNT] = "mount_namespace",
	[NETNS_PID] = "pid_namespace",   [NETNS_NET] = "network_namespace", [NETNS_LOOPBACK] = "loopback_up",
};

/* Not every step: root enters no user namespace. */
static unsigned steps_for(uid_t uid)
{
	unsigned all = NETNS_BIT(NETNS_STEPS) - 1;
	return uid == 0 ? all & ~(NETNS_BIT(NETNS_USER) | NETNS_BIT(NETNS_IDS)) : all;
}

static const char *advice(int error)
{
	switch (error) {
	case EPERM:
	case EACCES:
		return ": forbidden by a container, a chroot or a security module";
	case ENOSPC:
		return ": user.max_user_namespaces is used up or 0";
	case EINVAL:
		return ": not built into this kernel";
	default:
		return "";
	}
}

/* --- the link probes: the caller is in a private network namespace ------------------------------------------------ */

static void note_result(struct report *r, const char *name, int error, const char *value, const char *absent)
{
	tracef("%s: %s", name, error == 0 ? "0" : errno_name(error));
	if (error == 0)
		report_note(r, LINKS, name, true, "%s", value);
	else
		report_note(r, LINKS, name, false, "%s: %s", errno_name(error), absent);
}

/* The device goes when the descriptor is closed. 0 or an errno value, as for all these. */
static int try_tun(void)
{
	int error = 0, fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return errno;
	struct ifreq request = { .ifr_name = "doctor%d", .ifr_flags = IFF_TUN | IFF_NO_PI };
	if (ioctl(fd, TUNSETIFF, &request) < 0)
		error = errno;
	close(fd);
	return error;
}

static int try_packet_socket(void)
{
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL));
	if (fd < 0)
		return errno;
	close(fd);
	return 0;
}

static int try_veth(void)
{
	struct rtnl r;
	struct net_error e = { 0 };
	int result = rtnl_open(&r, &e);
	if (result == 0)
		result = rtnl_veth(&r, "doctor-left", "doctor-right", -1, &e);
	rtnl_close(&r);
	return result < 0 ? e.sys : 0;
}

/* The kernel's own delay and loss, as a queue on the loopback device: what `tc qdisc add dev lo root netem` does. */
static int try_netem(void)
{
	struct tc_netem_qopt options = { .limit = 1000 };
	struct rtnl r;
	struct net_error e = { 0 };
	int result = rtnl_open(&r, &e);
	if (result == 0)
		result = rtnl_add_qdisc(&r, "lo", "netem", &options, sizeof(options), &e);
	rtnl_close(&r);
	return result < 0 ? e.sys : 0;
}

static void probe_links(struct report *r)
{
	note_result(r, "private_tun", try_tun(), "a TUN device can be made", "no TUN device");
	note_result(r, "private_veth", try_veth(), "a veth pair can be made", "no veth pair");
	note_result(r, "private_packet", try_packet_socket(), "AF_PACKET can be opened", "no AF_PACKET");
	note_result(r, "private_netem", try_netem(), "a netem queue can be added",
		    "absent, no delay or loss by the kernel");
	doctor_probe_congestion(r, TCP, "congestion_private");
}

/* --- the chain: in a child ---------------------------------------------------------------------------------------- */

/* ps and a lab's clean-up need a /proc that shows the PID namespace: its process 1, a child of ours, must mount it. */
static int try_private_proc(void)
{
	pid_t pid = fork();
	if (pid < 0)
		return errno;
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		_exit(mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) == 0 ? 0 : errno);
	}
	int status = 0;
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : EINTR;
}

static void probe_chain(struct report *r)
{
	struct netns_failure why = { .step = NETNS_STEPS };
	unsigned steps = steps_for(geteuid());
	int entered = netns_enter(steps, &why);
	for (enum netns_step step = 0; step < why.step; step++) {
		if (steps & NETNS_BIT(step))
			report_note(r, NAMESPACES, step_probes[step], true, "yes");
	}
	if (entered < 0) {
		report_note(r, NAMESPACES, step_probes[why.step], false, "%s%s", errno_name(why.error),
			    advice(why.error));
		return;
	}
	int error = try_private_proc();
	if (error == 0)
		report_note(r, NAMESPACES, "private_proc", true, "yes");
	else
		report_note(r, NAMESPACES, "private_proc", false, "%s%s", errno_name(error), advice(error));
	probe_links(r);
}

/* Only root's child comes here: the same chain after giving up root. */
static void probe_ordinary_user(struct report *r)
{
	static const char name[] = "ordinary_user";
	if (setgroups(0, NULL) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0 || setresuid(NOBODY, NOBODY, NOBODY) < 0) {
		report_note(r, NAMESPACES, name, false, "cannot become one to try: %s", errno_name(errno));
		return;
	}
	/* WHY: after a change of user /proc/self belongs to root, and with it the id maps, until the process says that
	 * it keeps no secrets. For somebody who logged in, the exec of his shell did that (PR_SET_DUMPABLE(2const)). */
	prctl(PR_SET_DUMPABLE, 1);
	struct netns_failure why;
	int error = 0;
	if (netns_enter(steps_for(NOBODY), &why) < 0)
		report_note(r, NAMESPACES, name, false, "%s: %s%s", netns_step_name(why.step), errno_name(why.error),
			    advice(why.error));
	else if ((error = try_private_proc()) != 0)
		report_note(r, NAMESPACES, name, false, "private /proc: %s%s", errno_name(error), advice(error));
	else
		report_note(r, NAMESPACES, name, true, "could do the same");
}

/* --- the parent --------------------------------------------------------------------------------------------------- */

/* Runs body in a child, at most LIMIT_S. Everything the child started ends with it. */
static void in_child(struct report *r, void (*body)(struct report *))
{
	pid_t pid = fork();
	if (pid < 0)
		return; /* what is missing in the report is noted as not reached */
	if (pid == 0) {
		body(r);
		_exit(0);
	}
	uint64_t now = clk_mono_ns(), deadline = now + (uint64_t)LIMIT_S * NS_PER_S;
	while (waitpid(pid, NULL, WNOHANG) == 0) {
		if (now > deadline) {
			kill(pid, SIGKILL);
			waitpid(pid, NULL, 0);
			return;
		}
		clk_sleep_until_ns(now + 2 * NS_PER_MS);
		now = clk_mono_ns();
	}
}

static void note_missing(struct report *r, enum section section, const char *name)
{
	if (report_find(r, name) == NULL)
		report_note(r, section, name, false, "not reached");
}

static void probe_tun_here(struct report *r)
{
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	note_result(r, "tun", fd < 0 ? errno : 0, "/dev/net/tun can be opened", "/dev/net/tun cannot be opened");
	if (fd >= 0)
		close(fd);
}

void doctor_probe_private(struct report *r)
{
	probe_tun_here(r);
	in_child(r, probe_chain);
	if (geteuid() == 0) {
		in_child(r, probe_ordinary_user);
		note_missing(r, NAMESPACES, "ordinary_user");
	}
	for (enum netns_step step = 0; step < NETNS_STEPS; step++) {
		if (steps_for(geteuid()) & NETNS_BIT(step))
			note_missing(r, NAMESPACES, step_probes[step]);
	}
	note_missing(r, NAMESPACES, "private_proc");
	note_missing(r, LINKS, "private_tun");
	note_missing(r, LINKS, "private_veth");
	note_missing(r, LINKS, "private_packet");
	note_missing(r, LINKS, "private_netem");
	note_missing(r, TCP, "congestion_private");
}
