/* mem.h - allocation that cannot fail. Layer 0.
 *
 * Out of memory prints the size and aborts: there is nothing sensible left to do in a small tool. A size that came from
 * a peer must therefore be range-checked before it gets here: that check is the error path, not NULL. The result
 * belongs to the caller and is released with free(3). */
#ifndef TCPLAB_MEM_H
#define TCPLAB_MEM_H

#include "cdefs.h"

#include <stddef.h>
#include <stdio.h>

MUST_USE void *xmalloc(size_t len);
MUST_USE void *xcalloc(size_t n, size_t size); /* zero-filled; n * size is checked for overflow */
MUST_USE void *xrealloc(void *p, size_t len);  /* takes p */
MUST_USE char *xstrdup(const char *s);

/* A stream into memory that grows (open_memstream(3)): *text and *len are set by fflush and fclose; free(3) takes *text. */
MUST_USE FILE *xmemstream(char **text, size_t *len);

/* For a large buffer that the kernel copies from or to: it begins with a page. Measured on loopback (send and recv of 1 MiB,
 * reno): 3.0 GB/s with buffers as malloc(3) gives them, 16 bytes into a page, and 7.9 with these. */
MUST_USE void *xmalloc_pages(size_t len);

#endif
