#include "pipepool.h"

#include "diag.h"
#include "mem.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

static void destroy(struct pipepool_pipe *pipe)
{
	close(pipe->read_fd);
	close(pipe->write_fd);
	free(pipe);
}

/* WHY not content with what there is: beyond the user's limit the kernel grants one page, and copying is faster than
 * that. */
static struct pipepool_pipe *create(void)
{
	int fds[2];
	if (pipe2(fds, O_NONBLOCK | O_CLOEXEC) < 0)
		return NULL;
	struct pipepool_pipe *pipe = xmalloc(sizeof(*pipe));
	*pipe = (struct pipepool_pipe){ .read_fd = fds[0], .write_fd = fds[1] };
	int rc = fcntl(fds[1], F_SETPIPE_SZ, PIPEPOOL_LEN);
	tracef("pipe2() = %d, %d; fcntl(F_SETPIPE_SZ) = %d", fds[0], fds[1], rc);
	if (rc >= 0)
		return pipe;
	int saved = errno;
	destroy(pipe);
	errno = saved;
	return NULL;
}

struct pipepool_pipe *pipepool_take(struct pipepool *pool)
{
	struct pipepool_pipe *pipe = pool->idle;
	errno = EAGAIN;
	if (pool->n_lent == PIPEPOOL_LENT_MAX)
		return NULL;
	if (pipe != NULL) {
		pool->idle = pipe->next;
		pool->n_idle--;
	} else {
		pipe = create();
	}
	pool->n_lent += pipe != NULL;
	return pipe;
}

void pipepool_give(struct pipepool *pool, struct pipepool_pipe *pipe, bool is_empty)
{
	assert(pool->n_lent > 0);
	pool->n_lent--;
	if (!is_empty || pool->n_idle == PIPEPOOL_KEEP) {
		destroy(pipe);
		return;
	}
	pipe->next = pool->idle;
	pool->idle = pipe;
	pool->n_idle++;
}

void pipepool_close(struct pipepool *pool)
{
	assert(pool->n_lent == 0);
	while (pool->idle != NULL) {
		struct pipepool_pipe *pipe = pool->idle;
		pool->idle = pipe->next;
		destroy(pipe);
	}
	pool->n_idle = 0;
}
