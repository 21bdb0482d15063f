/* linkem.h - what the chapters of linkem share.
 *
 *	     the caller                   process 1 of a PID namespace: the emulator
 *	     linkem  ---- fork -------->  hosts.c   makes the hosts (network namespaces) and the devices
 *	     waits, passes signals on     engine.c  packets from a port into a lane, and out at the other end
 *	     (--background: ends)         control.c answers set, stat, join, watch, down
 *	                                          ^
 *	     linkem set, stat, exec ... --client.c+   through an abstract unix socket
 *
 * Everything that is made belongs to that one process: when it ends, by whatever signal, the kernel ends all that runs
 * on the hosts, and with the last of them go the namespaces and their devices (pid_namespaces(7)). */
#ifndef TCPLAB_LINKEM_H
#define TCPLAB_LINKEM_H

#include "addr.h"
#include "cdefs.h"
#include "spec.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum linkem_host { HOST_A, HOST_B, HOST_R, LINKEM_HOSTS };

/* The four directions. The last two only where the hop between r and b is emulated, too. */
enum linkem_lane { LANE_A2B, LANE_B2A, LANE_R2B, LANE_B2R, LINKEM_LANES };
extern const char *const linkem_lane_names[LINKEM_LANES]; /* "a2b" ... */

enum linkem_device { DEVICE_AUTO, DEVICE_TUN, DEVICE_VETH };

struct linkem_options {
	struct spec lanes[LINKEM_LANES];
	bool has_router;      /* a - r - b */
	bool has_second_link; /* r - b is emulated; otherwise a veth pair, which delays nothing */
	uint64_t mtu;
	int device;           /* enum linkem_device */
	const char *name;     /* of the testbed */
	const char *pcap[2];  /* what is seen at either end of the first link; NULL: not kept */
	bool diagram;         /* a line for each packet on standard output */
	uint64_t interval_ns; /* 0: no interval lines */
	uint64_t time_ns;     /* 0: until a signal comes */
	bool background;      /* return when it is ready */
	uint64_t while_pid;   /* ends with this process; 0: no such condition */
	bool json, verbose;
};

/* --- linkem.c: words of the command line, for set as well --------------------------------------------------------- */

/* Changes lanes by one operand of `set`: "a2b", "b2a", "r2b", "b2r" makes it the one that follows (*lane), anything
 * else is a SPEC for it, or for both lanes of the first link when none was named (*lane is -1), where "rtt=D" is known,
 * too. False with a line in `why`; then nothing is changed. */
MUST_USE bool linkem_change(struct spec lanes[LINKEM_LANES], int *lane, const char *word, char why[static SPEC_WHY]);

/* --- run.c: the processes ----------------------------------------------------------------------------------------- */

/* The exit status. */
int linkem_run(const struct linkem_options *o);

/* --- client.c: the other commands; each returns the exit status --------------------------------------------------- */

int linkem_set(const struct linkem_options *o, char *const words[], int n);
int linkem_stat(const struct linkem_options *o);
int linkem_watch(const struct linkem_options *o);
int linkem_down(const struct linkem_options *o);
int linkem_exec(const struct linkem_options *o, const char *host, char *const command[]);

/* --- child.c ------------------------------------------------------------------------------------------------------ */

/* Before the fork: from now on the signals that may come wait for child_wait. The child takes them in again by
 * child_reset. */
void child_prepare(void);
void child_reset(void);

/* Waits for the end of the child, and passes signals on to it. What a terminal sends goes to the whole process group,
 * so the child has it already. The status as a shell counts it. BLOCKS. */
int child_wait(pid_t pid, bool is_emulator);

/* --- socket.c ----------------------------------------------------------------------------------------------------- */

/* The address of the testbed `name` as seen by the user `uid` of this place: an abstract unix socket belongs to a
 * network namespace, so there is one outside and one on each host. */
MUST_USE int control_address(struct addr *a, const char *name, uid_t uid, struct net_error *e);

/* A non-blocking socket that has this address, in the network namespace of the caller, who closes it. It does not
 * listen yet: to those who connect, the process that called listen(2) is the one at the other end. -1 with *e. */
MUST_USE int control_bind(const char *name, struct net_error *e);

/* Is the process at the other end one of the same user? Anybody can connect to, or listen on, such an address. */
bool control_is_ours(int fd);

enum { CONTROL_LEN = 4096, CONTROL_REPLY_LEN = 16 * 1024, CONTROL_FDS = 4 };

#endif
