/* pipepool_test.c - pipes on loan: how large, how many, and what becomes of them when they come back; and who gets none. */
#include "pipepool.h"

#include "check.h"
#include "child.h"
#include "peers.h"

#include <grp.h>

static bool is_nonblocking(int fd)
{
	return (fcntl(fd, F_GETFL) & O_NONBLOCK) != 0;
}

static void test_one(void)
{
	struct pipepool pool = { 0 };
	int before = count_fds();
	struct pipepool_pipe *pipe = pipepool_take(&pool);
	if (!CHECK(pipe != NULL))
		return;
	CHECK_INT(count_fds(), before + 2);
	CHECK_INT(pool.n_lent, 1);
	CHECK(is_nonblocking(pipe->read_fd) && is_nonblocking(pipe->write_fd));
	CHECK(fcntl(pipe->read_fd, F_GETFD) & FD_CLOEXEC && fcntl(pipe->write_fd, F_GETFD) & FD_CLOEXEC);
	CHECK_INT(fcntl(pipe->write_fd, F_GETPIPE_SZ), PIPEPOOL_LEN);
	char byte = 'x';
	CHECK_INT(write(pipe->write_fd, "y", 1), 1);
	CHECK_INT(read(pipe->read_fd, &byte, 1), 1);
	CHECK_INT(byte, 'y');
	pipepool_give(&pool, pipe, true);
	CHECK_INT(pool.n_lent, 0);
	CHECK_INT(pool.n_idle, 1);
	CHECK_INT(count_fds(), before + 2);
	pipepool_close(&pool);
	CHECK_INT(pool.n_idle, 0);
	CHECK_INT(count_fds(), before);
}

/* One pipe serves all, one after the other. */
static void test_same_again(void)
{
	struct pipepool pool = { 0 };
	struct pipepool_pipe *first = pipepool_take(&pool);
	int fd = first->read_fd;
	pipepool_give(&pool, first, true);
	for (int i = 0; i < 100; i++) {
		struct pipepool_pipe *pipe = pipepool_take(&pool);
		CHECK(pipe == first);
		CHECK_INT(pipe->read_fd, fd);
		pipepool_give(&pool, pipe, true);
	}
	CHECK_INT(pool.n_idle, 1);
	pipepool_close(&pool);
}

/* What somebody left in a pipe must never reach another flow. */
static void test_not_empty(void)
{
	struct pipepool pool = { 0 };
	int before = count_fds();
	struct pipepool_pipe *pipe = pipepool_take(&pool);
	CHECK_INT(write(pipe->write_fd, "left", 4), 4);
	pipepool_give(&pool, pipe, false);
	CHECK_INT(pool.n_lent, 0);
	CHECK_INT(pool.n_idle, 0);
	CHECK_INT(count_fds(), before);
	pipe = pipepool_take(&pool);
	char byte;
	CHECK_INT(read(pipe->read_fd, &byte, 1), -1);
	CHECK_INT(errno, EAGAIN);
	pipepool_give(&pool, pipe, true);
	pipepool_close(&pool);
}

/* More than that are not lent, and only some of those that come back are kept. */
static void test_bounds(void)
{
	struct pipepool pool = { 0 };
	struct pipepool_pipe *pipes[PIPEPOOL_LENT_MAX];
	int before = count_fds();
	for (int i = 0; i < PIPEPOOL_LENT_MAX; i++)
		CHECK((pipes[i] = pipepool_take(&pool)) != NULL);
	CHECK(pipepool_take(&pool) == NULL);
	CHECK_INT(errno, EAGAIN);
	CHECK_INT(pool.n_lent, PIPEPOOL_LENT_MAX);
	CHECK_INT(count_fds(), before + 2 * PIPEPOOL_LENT_MAX);
	for (int i = 0; i < PIPEPOOL_LENT_MAX; i++)
		pipepool_give(&pool, pipes[i], true);
	CHECK_INT(pool.n_lent, 0);
	CHECK_INT(pool.n_idle, PIPEPOOL_KEEP);
	CHECK_INT(count_fds(), before + 2 * PIPEPOOL_KEEP);
	pipepool_close(&pool);
	CHECK_INT(count_fds(), before);
}

/* In a child: it takes away what the whole process has. */
static void take_without_descriptors(void)
{
	struct pipepool pool = { 0 };
	int before = count_fds();
	int lowest = dup(0);
	close(lowest);
	for (int n = 0; n < 2; n++) { /* none left, and one left: a pipe needs two */
		setrlimit(RLIMIT_NOFILE, &(struct rlimit){ (rlim_t)(lowest + n), 4096 });
		CHECK(pipepool_take(&pool) == NULL);
		CHECK_INT(errno, EMFILE);
		CHECK_INT(pool.n_lent, 0);
	}
	setrlimit(RLIMIT_NOFILE, &(struct rlimit){ 4096, 4096 });
	CHECK_INT(count_fds(), before);
	struct pipepool_pipe *pipe = pipepool_take(&pool);
	CHECK(pipe != NULL);
	pipepool_give(&pool, pipe, true);
	pipepool_close(&pool);
}

/* An ordinary user has so many pages of pipes; beyond them a pipe has one page, and that is not worth having. */
static void take_without_pages(void)
{
	enum { MANY = 1500 }; /* of 16 pages each: pipe-user-pages-soft is 16384 unless somebody changed it */
	struct pipepool pool = { 0 };
	setrlimit(RLIMIT_NOFILE, &(struct rlimit){ 4096, 4096 });
	if (getuid() == 0 && (setgroups(0, NULL) < 0 || setgid(54321) < 0 || setuid(54321) < 0))
		return;
	int fds[2], size = 0;
	for (int i = 0; i < MANY && pipe(fds) == 0; i++)
		size = fcntl(fds[0], F_GETPIPE_SZ);
	if (size >= PIPEPOOL_LEN / 16) /* this user may have more of them */
		return;
	int before = count_fds();
	for (int i = 0; i < 3; i++) {
		CHECK(pipepool_take(&pool) == NULL);
		CHECK_INT(errno, EPERM);
	}
	CHECK_INT(pool.n_lent, 0);
	CHECK_INT(count_fds(), before);
	pipepool_close(&pool);
}

int main(void)
{
	test_one();
	test_same_again();
	test_not_empty();
	test_bounds();
	CHECK_INT(in_child(take_without_descriptors), 0);
	CHECK_INT(in_child(take_without_pages), 0);
	return check_done();
}
