/* pipepool.h - large pipes, lent out for as long as they hold bytes: the workshop of splice(2). Layer 2.
 *
 *	socket A --splice--> pipe --splice--> socket B
 *
 * splice moves references to pages, not bytes, but one end has to be a pipe. A pipe of 1 MiB moves twice as much for
 * each second of processor time as one of the usual 64 KiB; and it is 256 pages of memory and two descriptors. So a
 * flow borrows one while bytes are in it and gives it back empty: as a rule the same pipe serves all flows of a loop,
 * one after the other. An ordinary user may have 64 MiB of pipes (pipe-user-pages-soft, pipe(7)); who gets none copies.
 *
 * One thread uses a pool: each loop has its own. */
#ifndef TCPLAB_PIPEPOOL_H
#define TCPLAB_PIPEPOOL_H

#include "cdefs.h"

#include <stdbool.h>

enum {
	PIPEPOOL_LEN = 1024 * 1024, /* what a pipe holds, when the pages in it are full */
	PIPEPOOL_LENT_MAX = 64,     /* at once: more flows than that are stalled in the middle, and they can copy */
	PIPEPOOL_KEEP = 4,          /* idle ones; the others are closed */
};

struct pipepool_pipe {
	struct pipepool_pipe *next;
	int read_fd, write_fd;
};

/* All zero is an empty pool. */
struct pipepool {
	struct pipepool_pipe *idle;
	unsigned n_idle, n_lent;
};

/* An empty pipe, both ends non-blocking; the caller's until pipepool_give. NULL: there is none to be had now (errno:
 * EMFILE, EPERM when the kernel grants none of this size, EAGAIN when PIPEPOOL_LENT_MAX are out). */
MUST_USE struct pipepool_pipe *pipepool_take(struct pipepool *pool);

/* Back again. is_empty false: it still holds bytes that nobody wants, so it is closed. */
void pipepool_give(struct pipepool *pool, struct pipepool_pipe *pipe, bool is_empty);

void pipepool_close(struct pipepool *pool); /* none may be lent (asserted) */

#endif
