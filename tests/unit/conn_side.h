/* conn_side.h - what the two tests of conn.h share: a connection that notes what it is told, and its peer. */
#ifndef TCPLAB_CONN_SIDE_H
#define TCPLAB_CONN_SIDE_H

#include "conn.h"
#include "loopback.h"

enum { SMALL_BUFFER = 16 * 1024 }; /* of the kernel, for those who want to see a connection wait */

struct side {
	struct conn conn;
	struct peer peer;
	struct reactor *r;
	int fd;
	uint64_t received, written, to_write;
	unsigned datas, eofs, lows, closes;
	int err;
	size_t peak; /* the most that was queued */
	struct timer timer;
	struct deferred later;
	bool timer_fired;
};

static inline struct side *side_of(struct conn *c)
{
	return CONTAINER_OF(c, struct side, conn);
}

static inline size_t note_data(struct conn *c, const unsigned char *p, size_t n)
{
	struct side *s = side_of(c);
	CHECK(n > 0 && s->closes == 0 && s->eofs == 0);
	CHECK_INT(prng_check(THERE, s->received, p, n), n);
	s->received += n;
	s->datas++;
	return n;
}

static inline void note_eof(struct conn *c)
{
	side_of(c)->eofs++;
}

static inline void note_low(struct conn *c)
{
	side_of(c)->lows++;
}

/* The descriptor is closed by now: nobody else opened one meanwhile. */
static inline void note_closed(struct conn *c, int err)
{
	struct side *s = side_of(c);
	s->closes++;
	s->err = err;
	CHECK_INT(fcntl(s->fd, F_GETFD), -1);
	CHECK_INT(errno, EBADF);
}

static const struct conn_ops notes = { note_data, note_eof, note_low, note_closed };

static inline void side_open(struct side *s, struct reactor *r, const struct conn_ops *ops, uint64_t buffer)
{
	int there;
	*s = (struct side){ .r = r };
	loopback_pair(&s->fd, &there, buffer);
	peer_start(&s->peer, r, there);
	CHECK_INT(conn_start(&s->conn, r, s->fd, ops), 0);
}

/* Both ends are over, with this error at ours. */
static inline void check_closed(const struct side *s, int err)
{
	CHECK_INT(s->closes, 1);
	CHECK_INT(s->err, err);
	CHECK_INT(s->conn.bytes_in, s->received);
	CHECK(!watch_is_started(&s->peer.watch));
}

enum { PIECE = 30000 };

/* Writes up to to_write bytes in pieces as long as it may, then our FIN. */
static inline void produce(struct conn *c)
{
	static unsigned char bytes[PIECE];
	struct side *s = side_of(c);
	for (bool more = true; more && s->written < s->to_write;) {
		uint64_t left = s->to_write - s->written;
		size_t n = left < sizeof(bytes) ? (size_t)left : sizeof(bytes);
		prng_fill(HERE, s->written, bytes, n);
		s->written += n;
		more = conn_write(c, bytes, n);
		s->peak = conn_queued(c) > s->peak ? conn_queued(c) : s->peak;
	}
	if (s->written == s->to_write)
		conn_finish(c);
}

#endif
