/* io.h - reading and writing: all of something on a blocking socket, or what there is on a non-blocking one. Layer 2.
 *
 * The only place where the policy on EINTR and short counts is written down. A blocking call that waits for a peer must
 * end some day: io_tick makes the socket wake up regularly, and at each tick these functions look at the deadline and
 * at the flag that another thread may raise. */
#ifndef TCPLAB_IO_H
#define TCPLAB_IO_H

#include "buf.h"
#include "cdefs.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* When to stop waiting. cancel may be NULL; deadline_ns may be CLK_NEVER. Borrowed for the call. */
struct io_until {
	uint64_t deadline_ns;
	const atomic_bool *cancel;
};

enum { IO_TICK_MS = 50 };

/* Makes a blocked recv or send on fd return with EAGAIN every IO_TICK_MS (SO_RCVTIMEO, SO_SNDTIMEO; socket(7)); what it
 * has moved so far is returned first. 0, or -1 with errno. */
MUST_USE int io_tick(int fd);

/* After a recv or send that returned -1: must the caller give up? False for EINTR, and for EAGAIN as long as neither the
 * deadline has come (else errno is ETIMEDOUT) nor the flag is up (else ECANCELED). */
MUST_USE bool io_is_over(const struct io_until *until);

/* Exactly n bytes, BLOCKS. 1: all read. 0: the peer's FIN before the first byte. -1: errno; EPROTO means a FIN inside. */
MUST_USE int io_read_full(int fd, void *p, size_t n, const struct io_until *until);

/* Exactly n bytes, BLOCKS; never raises SIGPIPE. 0, or -1 with errno (EPIPE, ECONNRESET: the peer is gone). */
MUST_USE int io_write_full(int fd, const void *p, size_t n, const struct io_until *until);

/* One event moves so much at most, however much is there: it keeps a queue within a chunk of its mark, and one busy
 * connection from starving the others. */
enum { IO_CHUNK = 64 * 1024 };

/* Reads what there is, at most IO_CHUNK, to the end of b: into its free space first, and what does not fit there by way of the
 * stack (readv(2)), so that b grows by what came and not by what might have come. > 0 bytes, 0 EOF, -1 with errno (EAGAIN). */
MUST_USE ssize_t io_fill(struct buf *b, int fd);

/* Throws away what there is, at most IO_DROP: the kernel drops it and copies nothing (MSG_TRUNC on TCP, tcp(7)), which is why
 * it may be more than IO_CHUNK. > 0 bytes, 0 EOF, -1 with errno (EAGAIN). TCP only. */
enum { IO_DROP = 1024 * 1024 };
MUST_USE ssize_t io_drop(int fd);

/* Sends from the front of b what the kernel takes, in one call; never raises SIGPIPE. > 0 bytes, -1 with errno (EAGAIN). b must
 * not be empty. */
MUST_USE ssize_t io_drain(struct buf *b, int fd);

#endif
