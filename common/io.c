#include "io.h"

#include "clock.h"
#include "diag.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <unistd.h>

int io_tick(int fd)
{
	struct timeval tick = { .tv_usec = IO_TICK_MS * 1000 };
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tick, sizeof(tick)) < 0)
		return -1;
	return setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tick, sizeof(tick));
}

bool io_is_over(const struct io_until *until)
{
	if (errno != EINTR && errno != EAGAIN)
		return true;
	if (until->cancel != NULL && atomic_load_explicit(until->cancel, memory_order_relaxed)) {
		errno = ECANCELED;
		return true;
	}
	if (until->deadline_ns != CLK_NEVER && clk_mono_ns() >= until->deadline_ns) {
		errno = ETIMEDOUT;
		return true;
	}
	return false;
}

int io_read_full(int fd, void *p, size_t n, const struct io_until *until)
{
	size_t got = 0;
	while (got < n) {
		ssize_t r = recv(fd, (unsigned char *)p + got, n - got, MSG_WAITALL);
		tracef("recv(%d, %zu) = %zd", fd, n - got, r);
		if (r == 0) {
			errno = EPROTO;
			return got == 0 ? 0 : -1;
		}
		if (r > 0)
			got += (size_t)r;
		else if (io_is_over(until))
			return -1;
		/* A peer that sends a byte now and then never lets recv fail: look at the deadline after bytes, too. */
		errno = EAGAIN;
		if (got < n && io_is_over(until))
			return -1;
	}
	return 1;
}

int io_write_full(int fd, const void *p, size_t n, const struct io_until *until)
{
	size_t put = 0;
	while (put < n) {
		ssize_t w = send(fd, (const unsigned char *)p + put, n - put, MSG_NOSIGNAL);
		tracef("send(%d, %zu) = %zd", fd, n - put, w);
		if (w >= 0)
			put += (size_t)w;
		else if (io_is_over(until))
			return -1;
		/* The same for a peer that makes room for a few bytes now and then. */
		errno = EAGAIN;
		if (put < n && io_is_over(until))
			return -1;
	}
	return 0;
}

ssize_t io_fill(struct buf *b, int fd)
{
	unsigned char spill[IO_CHUNK];
	size_t room = buf_free_len(b) < IO_CHUNK ? buf_free_len(b) : IO_CHUNK;
	struct iovec parts[] = {
		{ .iov_base = buf_at(b, b->tail), .iov_len = room },
		{ .iov_base = spill, .iov_len = IO_CHUNK - room },
	};
	ssize_t n;
	do
		n = readv(fd, parts, COUNT_OF(parts));
	while (n < 0 && errno == EINTR);
	tracef("readv(%d, %zu + %zu) = %zd", fd, room, IO_CHUNK - room, n);
	if (n <= 0)
		return n;
	size_t direct = (size_t)n < room ? (size_t)n : room;
	buf_commit(b, direct);
	buf_append(b, spill, (size_t)n - direct);
	return n;
}

ssize_t io_drop(int fd)
{
	ssize_t n;
	do /* WHY by number: the sanitizers' recv takes NULL for a buffer that gets written */
		n = syscall(SYS_recvfrom, fd, NULL, (size_t)IO_DROP, MSG_TRUNC, NULL, NULL);
	while (n < 0 && errno == EINTR);
	return n;
}

ssize_t io_drain(struct buf *b, int fd)
{
	ssize_t n;
	do
		n = send(fd, buf_peek(b), buf_len(b), MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	tracef("send(%d, %zu) = %zd", fd, buf_len(b), n);
	if (n > 0)
		buf_consume(b, (size_t)n);
	return n;
}
