/* fdlimit.h - what the chapters of fdlimit share. */
#ifndef FDLIMIT_H
#define FDLIMIT_H

#include "addr.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum {
	FDLIMIT_PORT = 2012,
	FDLIMIT_MANY = 1000, /* connections or clients at most */
};

struct fdlimit_options {
	bool server, fixed, pause, json, ipv4, ipv6;
	uint64_t port, room, clients, time_ns, interval_ns;
	const char *bind, *host;
};

/* What the server counted; all but the last are numbers of events. */
struct fdlimit_count {
	uint64_t wakes; /* how often poll reported the listener */
	uint64_t accepted, failed, kicked;
	uint64_t cpu_user_ns, cpu_sys_ns;
	int error; /* of the last accept that failed; 0: none */
};

/* What the clients saw. */
struct fdlimit_sight {
	uint64_t greeted;
	uint64_t turned_away; /* EOF or a reset instead of the greeting */
	uint64_t waiting;     /* still without any answer at the end */
	uint64_t answer_max_ns;
	struct net_error error; /* op NULL: none */
};

/* --- clients.c ---------------------------------------------------------------------------------------------------- */

/* All clients in this process, for --time: BLOCKS. Their connections stay open until the process ends. */
struct fdlimit_sight fdlimit_visit(const struct fdlimit_options *o, const struct addr *list, size_t n);

/* The same in a child, with a server that listens on *bound. Returns a descriptor that becomes readable when the
 * child has seen enough, and in *pid the child; -1 with errno. The child closes listen_fd, its copy of the server's. */
MUST_USE int fdlimit_start_clients(const struct fdlimit_options *o, const struct addr *bound, int listen_fd,
				   pid_t *pid);

/* Takes fd and the child: the report, with both gone afterwards. BLOCKS for 3 s at most. 0, or -1 with errno. */
MUST_USE int fdlimit_end_clients(int fd, pid_t pid, struct fdlimit_sight *sight);

/* --- report.c ----------------------------------------------------------------------------------------------------- */

/* An error as a line on stderr, and as a record. Always 1, for `return fdlimit_fail(...)`. */
int fdlimit_fail(const struct fdlimit_options *o, const struct net_error *e);
int fdlimit_fail_errno(const struct fdlimit_options *o, const char *op, const char *object);

void fdlimit_print_start(const struct fdlimit_options *o, const struct addr *bound, uint64_t limit);
void fdlimit_print_interval(const struct fdlimit_options *o, const struct fdlimit_count *d, uint64_t since_ns,
			    uint64_t elapsed_ns);

/* Either may be NULL, for the role that has only the other. */
void fdlimit_print_total(const struct fdlimit_options *o, const struct fdlimit_count *server,
			 const struct fdlimit_sight *clients, uint64_t elapsed_ns);

#endif
