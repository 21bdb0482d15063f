/* conn.h - a buffered TCP connection on a loop, with two directions that end independently. Layer 4.
 *
 *	input    OPEN ---- the peer's FIN ----------> EOF
 *	output   OPEN -- conn_finish --> DRAINING -- queue empty --> SHUT (our FIN is out)
 *
 *	It ends when input is EOF and output is SHUT; or with the first error; or by conn_close.
 *
 * LIFETIME  a struct conn lives in its owner's object. on_closed comes exactly once, at the end of a round, never inside a
 *   conn_* call; the descriptor is closed by then, and the owner may free the object. Between the end and on_closed every
 *   conn_* call is a harmless no-op, and no other callback comes. Nothing is counted.
 * PRESSURE  conn_write returns false once `high` bytes are queued (these bytes are queued, too): stop producing until
 *   on_low, which comes when `low` or less are left. Who does not want to queue at all uses conn_offer.
 * INPUT  what on_data does not use is kept and shown again: with more behind it, or after conn_pause and conn_resume, be it
 *   inside of on_data. EOF comes after that. As long as everything is used no connection has a buffer of its own: an idle
 *   one costs sizeof(struct conn).
 * FAIRNESS  one event reads IO_CHUNK bytes at most, however much is there. */
#ifndef TCPLAB_CONN_H
#define TCPLAB_CONN_H

#include "buf.h"
#include "reactor.h"

enum {
	CONN_LOW = 16 * 1024,
	CONN_HIGH = 256 * 1024,
	CONN_KEEP_MAX = 1024 * 1024, /* on_data may leave so much unused; more ends the connection with EMSGSIZE */
};

struct conn;

/* NULL where nobody cares: input is dropped inside the kernel (MSG_TRUNC, tcp(7)), EOF finishes the output (conn_finish). on_closed
 * is required. */
struct conn_ops {
	/* n > 0 bytes at p, valid during the call. Returns how many were used up. */
	size_t (*on_data)(struct conn *c, const unsigned char *p, size_t n);
	void (*on_eof)(struct conn *c);             /* the peer will not send any more; we still may */
	void (*on_low)(struct conn *c);             /* room again after conn_write said false, or after conn_offer */
	void (*on_closed)(struct conn *c, int err); /* err 0: both directions ended in order, or conn_close(c, 0) */
};

/* What only some connections have, allocated when it is asked for: with ten thousand idle ones each byte counts. */
struct conn_extra {
	struct conn *conn;
	uint32_t low, high;
	struct timer idle;
	uint64_t idle_ns, active_ns; /* how long nothing may move; when something last moved */
};

/* Read freely `watch.r`, `watch.fd`, `bytes_in`, `bytes_out`; the rest belongs to conn.c. */
struct conn {
	struct watch watch;
	const struct conn_ops *ops;
	struct buf in, out;
	uint64_t bytes_in, bytes_out; /* what recv and send have moved */
	struct deferred turn;         /* what has to wait for the end of the round */
	struct conn_extra *extra;     /* or NULL */
	int err;
	uint8_t input : 2, output : 2; /* the two states above */
	bool is_paused : 1, wants_low : 1, is_ending : 1, is_aborted : 1;
};

/* Takes fd, which has to be connected and non-blocking, whatever the result. 0, or -1 with errno (of watch_start), and then
 * nothing was started and no callback comes. */
MUST_USE int conn_start(struct conn *c, struct reactor *r, int fd, const struct conn_ops *ops);

/* Sends, and queues what the kernel does not take now. False: that is enough for now. */
bool conn_write(struct conn *c, const void *p, size_t n);

/* Sends what the kernel takes now and returns how much; queues nothing. on_low comes when there is room for more, be it at once.
 * Nothing is taken while anything is queued. */
MUST_USE size_t conn_offer(struct conn *c, const void *p, size_t n);

static inline size_t conn_queued(const struct conn *c) /* bytes not yet sent */
{
	return buf_len(&c->out);
}

void conn_finish(struct conn *c);            /* our FIN, after what is queued; input goes on */
bool conn_is_finished(const struct conn *c); /* conn_finish was called */

/* No more on_data and on_eof, until resume: the peer's window closes. A reset is still seen. */
void conn_pause(struct conn *c);
void conn_resume(struct conn *c);

/* Ends it; what is queued is dropped. on_closed gets err. */
void conn_close(struct conn *c, int err);
void conn_abort(struct conn *c, int err); /* the same with a reset (SO_LINGER 0, RFC 9293 3.10.5) */

/* CONN_LOW and CONN_HIGH unless this says otherwise. */
void conn_set_marks(struct conn *c, uint32_t low, uint32_t high);

/* Nothing moved in either direction for so long: ends it with ETIMEDOUT. 0: never. Costs nothing while bytes move: the timer is
 * armed once, and looks at the time of the last movement when it fires. */
void conn_set_idle(struct conn *c, uint64_t idle_ns);

#endif
