/* buf.h - a flat queue of bytes: what was read and not yet used, or written and not yet sent. Layer 1.
 *
 *	      mem                head                tail             cap
 *	       |   used up        |   readable        |   free         |
 *	       +------------------+-------------------+----------------+
 *	                           buf_peek, buf_len    buf_reserve
 *
 * 0 <= head <= tail <= cap. No memory is allocated before the first byte comes. All zero is an empty queue; it belongs to
 * whoever embeds it. A pointer from buf_peek or buf_reserve is valid until the next call that is not a const one. */
#ifndef TCPLAB_BUF_H
#define TCPLAB_BUF_H

#include "cdefs.h"

#include <stddef.h>
#include <sys/types.h>

struct buf {
	unsigned char *mem;
	size_t head, tail, cap;
};

static inline size_t buf_len(const struct buf *b)
{
	return b->tail - b->head;
}

/* NULL when there is no memory yet: NULL + 0 is undefined in C (C11 6.5.6). */
static inline unsigned char *buf_at(const struct buf *b, size_t place)
{
	return b->mem != NULL ? b->mem + place : NULL;
}

static inline const unsigned char *buf_peek(const struct buf *b)
{
	return buf_at(b, b->head);
}

static inline size_t buf_free_len(const struct buf *b)
{
	return b->cap - b->tail;
}

/* Copies n bytes to the end. */
void buf_append(struct buf *b, const void *p, size_t n);

/* Room for n bytes at the end: moves what is readable to the front when that is enough and less than was used up, otherwise at
 * least doubles cap. Write there, then buf_commit what was used. */
MUST_USE void *buf_reserve(struct buf *b, size_t n);
void buf_commit(struct buf *b, size_t n);

/* Drops n <= buf_len bytes (asserted) from the front. */
void buf_consume(struct buf *b, size_t n);

/* Where the n bytes at `pat` begin, at or after offset `from`, or -1. A parser passes as `from` what it has searched
 * before (less n - 1), so that no byte is searched twice. */
ssize_t buf_find(const struct buf *b, const void *pat, size_t n, size_t from);

/* Gives memory back after a burst: all of it when the queue is empty. */
void buf_trim(struct buf *b);

void buf_free(struct buf *b); /* empty afterwards */

#endif
