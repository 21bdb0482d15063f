/* closewait.h - what the chapters of closewait share. */
#ifndef CLOSEWAIT_H
#define CLOSEWAIT_H

#include "../pitfall/stage.h"

#include <poll.h>

struct closewait_options {
	struct stage stage;
	bool fixed;
	uint64_t descriptors;                      /* server; 0: as many as we may have */
	uint64_t visits, fin_timeout_ns, watch_ns; /* client */
};

struct closewait_server {
	const struct closewait_options *o;
	/* fds[0] listens, the others are clients. poll(2) passes over a negative one, and so ~fd is a descriptor that
	 * is open, and that nobody looks at any more. */
	struct pollfd *fds;
	size_t n, room;
	uint64_t limit, free; /* descriptors we may have; of them, not in use before the first client */
	uint64_t accepted, answered, ended, held, accept_failures;
	uint64_t late_ok, late_epipe; /* of goodbye: the first send(2), and the one after it */
	uint64_t paused_until_ns;     /* 0: listening */
};

/* In which states both ends of our connections are. */
struct closewait_census {
	uint64_t close_wait, not_accepted; /* the server's: with a descriptor, and without one yet */
	uint64_t fin_wait, time_wait;      /* ours */
	uint64_t moving;                   /* of both: on their way to another state */
};

struct closewait_visits {
	const struct closewait_options *o;
	bool *ours;         /* by local port */
	bool is_same_host;  /* so that we see the other ends, too */
	const char *failed; /* why the last one had no answer, other than silence: a symbol */
	uint64_t answered, silent, held;
	uint64_t last_ns; /* when the last one was over */
	struct closewait_census at_once, later;
	uint64_t watched_ns, gone_after_ns; /* 0: our ends are there still */
};

/* --- report.c ----------------------------------------------------------------------------------------------------- */

void closewait_report_ended(const struct closewait_server *s, int fd); /* a client; fd is open still */
void closewait_report_served(const struct closewait_server *s);
void closewait_report_visits(const struct closewait_visits *v);

#endif
