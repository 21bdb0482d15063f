/* halfopen.h - what the chapters of halfopen share. Read tools/halfopen.c first. */
#ifndef TCPLAB_HALFOPEN_HALFOPEN_H
#define TCPLAB_HALFOPEN_HALFOPEN_H

#include "../pitfall/stage.h"

#include "addr.h"
#include "sockdiag.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HALFOPEN_RESENT_MAX = 6 };

/* How a client takes care to find out. */
enum care { NO_CARE, KEEPALIVE, USER_TIMEOUT, BOTH, HEARTBEAT };
extern const char *const halfopen_care_names[]; /* "none", "keepalive", ... */

/* What happens to the peer, and what the client does then. */
enum fate { UNHARMED, CABLE_CUT, STOPS_READING, STOPS_ANSWERING, REBOOTS };
enum deed { SEND, WAIT, FILL };

struct halfopen_experiment {
	const char *name, *text;
	enum fate fate;
	enum deed deed;
	int error;              /* as which the fixes find out */
	unsigned broken, fixes; /* sets of cares */
	const char *why_broken, *why_fixed;
};

struct halfopen_options {
	struct stage stage;
	const char *cut, *keepalive; /* a command; "IDLE/INTERVAL/COUNT" as typed */
	const struct halfopen_experiment *experiment;
	bool fixed;
	unsigned idle_s, interval_s, probes;
	uint64_t user_timeout_ns, heartbeat_ns, watch_ns;
};

/* One connection, and what became of it. */
struct halfopen_client {
	enum care care;
	int fd, peer_fd; /* peer_fd -1: on another host, or gone; fd -1: it has found out, and closed */
	struct addr local, peer;

	uint64_t sent_bytes, first_rto_ns, resent, resent_at_ns[HALFOPEN_RESENT_MAX]; /* times: since the cut */
	uint64_t beat_ns, answer_due_ns; /* heartbeat: the next one; until when the last must be answered, 0: it was */
	uint64_t noticed_ns;             /* 0: it never found out */
	int error;                       /* by which; 0 with noticed_ns: the peer's FIN */
	uint64_t lost_segments;          /* in the cable: at the filters of both ends */
	struct sockdiag_socket ours, theirs;
	bool has_ours, has_theirs;
};

/* tools/halfopen.c: what is set on a connection before anything goes wrong. Ends the program when that fails. */
void halfopen_take_care(const struct halfopen_options *o, int fd, enum care care);

/* server.c: many clients at once, until a signal comes. The exit status. */
int halfopen_serve(const struct halfopen_options *o);

/* report.c: did it go as the experiment promises? Without the right care nobody finds out, with it everybody, by the
 * error that was expected; on a cable that works nobody may. */
bool halfopen_as_promised(const struct halfopen_options *o, const struct halfopen_client *c);
void halfopen_report_start(const struct halfopen_options *o);
void halfopen_report_client(const struct halfopen_options *o, const struct halfopen_client *c, uint64_t watched_ns);
void halfopen_report_total(const struct halfopen_options *o, const struct halfopen_client *clients, size_t n,
			   bool all_right);

#endif
