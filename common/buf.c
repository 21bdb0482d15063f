#include "buf.h"

#include "mem.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { LEAST = 512 };

void *buf_reserve(struct buf *b, size_t n)
{
	if (buf_free_len(b) >= n)
		return buf_at(b, b->tail);
	size_t len = buf_len(b);
	/* Moving pays only when there is less to move than was used up: otherwise a long queue is moved again and again. */
	if (b->cap >= len + n && len <= b->head) {
		memcpy(b->mem, b->mem + b->head, len);
	} else {
		size_t cap = b->cap > 0 ? 2 * b->cap : LEAST;
		while (cap < len + n)
			cap *= 2;
		unsigned char *mem = xmalloc(cap);
		if (len > 0)
			memcpy(mem, b->mem + b->head, len);
		free(b->mem);
		b->mem = mem;
		b->cap = cap;
	}
	b->head = 0;
	b->tail = len;
	return b->mem + b->tail;
}

void buf_commit(struct buf *b, size_t n)
{
	assert(n <= buf_free_len(b));
	b->tail += n;
}

void buf_append(struct buf *b, const void *p, size_t n)
{
	if (n == 0)
		return;
	memcpy(buf_reserve(b, n), p, n);
	b->tail += n;
}

void buf_consume(struct buf *b, size_t n)
{
	assert(n <= buf_len(b));
	b->head += n;
	if (b->head == b->tail)
		b->head = b->tail = 0;
}

ssize_t buf_find(const struct buf *b, const void *pat, size_t n, size_t from)
{
	size_t len = buf_len(b);
	if (from > len || n > len - from)
		return -1;
	if (n == 0)
		return (ssize_t)from;
	const unsigned char *hit = memmem(buf_peek(b) + from, len - from, pat, n);
	return hit != NULL ? hit - buf_peek(b) : -1;
}

void buf_trim(struct buf *b)
{
	size_t len = buf_len(b);
	if (len == 0) {
		buf_free(b);
		return;
	}
	if (b->cap <= 2 * len || b->cap <= LEAST)
		return;
	memmove(b->mem, b->mem + b->head, len);
	b->mem = xrealloc(b->mem, len);
	*b = (struct buf){ .mem = b->mem, .tail = len, .cap = len };
}

void buf_free(struct buf *b)
{
	free(b->mem);
	*b = (struct buf){ 0 };
}
