/* station.h - the TCP connections of one loop, as one thing that can be counted and ended. Layer 5.
 *
 * A program with several loops has a station on each. A session is a connection that belongs to a station; a tool embeds it at the
 * front of what it keeps for a connection:
 *
 *	struct flow { struct session session; uint64_t sent; };
 *
 * Everything here is called on the station's own loop, but station_tally once the loop is over. */
#ifndef TCPLAB_STATION_H
#define TCPLAB_STATION_H

#include "conn.h"

struct station;

/* One connection; allocated by session_open and freed after its end. */
struct session {
	struct conn conn;
	struct session *next, **link;
};

/* What all connections of a station have done so far. */
struct tally {
	uint64_t connections; /* that were opened */
	uint64_t live;
	uint64_t failed; /* that ended with an error: reset, timeout */
	uint64_t bytes_in, bytes_out;
};

/* Lives in its owner; all zero but r is an empty one. `on_empty` is called when the last session ended (NULL: nobody). */
struct station {
	struct reactor *r;
	struct session *sessions;
	struct tally ended; /* what sessions that are gone have done; `live` counts those that are here */
	int first_error;    /* errno of the first session that failed */
	void (*on_end)(struct station *st, struct session *s, int err); /* a session is about to be freed; or NULL */
	void (*on_empty)(struct station *st);
};

/* Takes fd. `len` bytes are allocated, all zero, a struct session at the front. NULL with errno. ops->on_closed has to be
 * session_closed, and reactor_user(r) to be the station. */
MUST_USE struct session *session_open(struct station *st, int fd, const struct conn_ops *ops, size_t len);

struct station *session_station(const struct session *s);

/* The on_closed of every session. */
void session_closed(struct conn *c, int err);

static inline struct session *session_of(struct conn *c)
{
	return CONTAINER_OF(c, struct session, conn);
}

struct tally station_tally(const struct station *st);
void tally_add(struct tally *to, const struct tally *t);

/* Calls fn for each session; fn may close it. */
void station_each(struct station *st, void (*fn)(struct session *s));

#endif
