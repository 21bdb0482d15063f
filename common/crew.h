/* crew.h - the stations of all loops, as one run of a service: its end, its failures, its reports. Layer 5.
 *
 * What service_serve and service_connect share; a tool sees service.h only.
 *
 *	loop 0: signals, interval lines, acceptor        loop 1, 2, ...
 *	  station                                          station
 *	     ^-------- tallies, "I am through" (loops_post) --+
 *
 * THE END  crew_fail, a signal, or (a client) the last session asks every station to stop, on its own loop. A station that is
 *   through says so to loop 0, after everything else that it had to say there; when all have, nothing is left on loop 0,
 *   and crew_work returns. */
#ifndef TCPLAB_CREW_H
#define TCPLAB_CREW_H

#include "acceptor.h"
#include "connector.h"
#include "meter.h"
#include "service.h"
#include "signals.h"

#include <pthread.h>

/* A connect under way. */
struct opener {
	struct connector connector;
	struct service_station *station;
};

/* What a loop has beside its sessions; touched on that loop only. */
struct part {
	struct service_station *station;
	unsigned index;
	bool is_stopping, has_begun, is_over;
	uint64_t first_ns, last_ns; /* when the first session began and the last one ended */
	struct tally shown;         /* for the interval line */

	int listen_fd, udp_fd; /* of a server; -1: none */
	struct acceptor acceptor;
	struct udp udp;

	struct opener *openers; /* of a client */
	unsigned n_openers, n_to_open, n_opening;
	struct timer deadline;
	struct tally at_deadline;
};

/* On the stack of service_serve or service_connect. Constant once the loops run, but for what is said. */
struct crew {
	const struct service *what;
	const struct service_options *o;
	bool is_server;
	struct loops loops;
	unsigned char *stations; /* one behind the other, what->station_len each */
	uint64_t start_ns;       /* of a client: when all connections stood */
	struct addr target[ADDR_MAX];
	size_t n_targets;
	struct connect_to to;

	/* For loop 0 only. n_*: stations that have still to send their tally; that stand ready; that are through. */
	struct signals signals;
	struct timer interval;
	struct meter meter;
	unsigned n_asked, n_ready, n_over;

	pthread_mutex_t lock; /* guards the rest */
	int status;           /* the first failure, and what there is to say of it */
	struct net_error error;
};

/* n loops with a station each, whose sessions report their end to on_end. 0, or -1 with *e. */
MUST_USE int crew_open(struct crew *crew, unsigned n, void (*on_end)(struct station *, struct session *, int),
		       struct net_error *e);
void crew_close(struct crew *crew); /* after crew_work, or instead of it */

struct service_station *crew_station_of(struct reactor *r);
struct part *crew_part_of(struct reactor *r);

/* session_open for a tool's session of `len` bytes. With --verbose it remembers the peer, and log_end says what became of it. */
MUST_USE struct session *crew_open_session(struct service_station *ss, int fd, const struct conn_ops *ops, size_t len);
void crew_log_end(struct service_station *ss, struct session *s, int err);

/* From any loop. Keeps the first failure and ends everything. */
void crew_fail(struct crew *crew, int status, const struct net_error *e);

/* Is anything left for this station to do? Call it when something may have been the last. */
void crew_check_over(struct service_station *ss);

void crew_start_intervals(struct crew *crew);

/* Runs loop 0 and with it all of them to the end, then reports. BLOCKS. The exit status. */
MUST_USE int crew_work(struct crew *crew);

#endif
