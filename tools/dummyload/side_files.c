/* side_files.c - open descriptors, and bytes written to a file. */
#include "side.h"

#include "clock.h"
#include "mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
	FILE_LEN = 16 * 1024 * 1024, /* then it is overwritten from its beginning */
	WRITE_LEN = 64 * 1024,
};

/* --- descriptors -------------------------------------------------------------------------------------------------- */

static int files_hold(struct side *s, uint64_t n, uint64_t until_ns, struct net_error *e)
{
	int *fds = s->state;
	char what[64];
	uint64_t held = atomic_load(&s->done);
	for (; held < n && clk_mono_ns() < until_ns; held++) {
		fds[held] = open("/dev/null", O_RDONLY | O_CLOEXEC);
		if (fds[held] < 0) {
			int err = errno;
			snprintf(what, sizeof(what), "/dev/null, %llu of %llu times (--files)",
				 (unsigned long long)held + 1, (unsigned long long)s->amount);
			errno = err;
			return net_fail(e, "open", what);
		}
		atomic_store(&s->done, held + 1);
	}
	for (; held > n; held--) {
		close(fds[held - 1]);
		atomic_store(&s->done, held - 1);
	}
	return 0;
}

static int files_open(struct side *s, struct net_error *e)
{
	s->state = xcalloc(s->amount, sizeof(int));
	return side_is_following(s) ? 0 : files_hold(s, s->amount, CLK_NEVER, e);
}

static void files_close(struct side *s)
{
	struct net_error not_needed;
	files_hold(s, 0, CLK_NEVER, &not_needed);
	free(s->state);
}

const struct side_ops side_files_ops = {
	.name = "files",
	.can_follow = true,
	.open = files_open,
	.act = files_hold,
	.close = files_close,
};

/* --- writing ------------------------------------------------------------------------------------------------------ */

struct file {
	int fd;
	char folder[64]; /* for errors */
	off_t at;
	unsigned char *bytes;
};

static int file_fail(const struct file *f, const char *op, struct net_error *e)
{
	int err = errno;
	char what[128];
	snprintf(what, sizeof(what), "a file in %s (--io)", f->folder);
	errno = err;
	return net_fail(e, op, what);
}

/* In $TMPDIR, without a name: it is gone with the process, however that ends. */
static int io_open(struct side *s, struct net_error *e)
{
	const char *folder = getenv("TMPDIR");
	char path[512];
	struct file *f = xcalloc(1, sizeof(*f));
	s->state = f;
	folder = folder != NULL && folder[0] != '\0' ? folder : "/tmp";
	snprintf(f->folder, sizeof(f->folder), "%s", folder);
	int n = snprintf(path, sizeof(path), "%s/dummyload.XXXXXX", folder);
	errno = ENAMETOOLONG;
	f->fd = n < (int)sizeof(path) ? mkostemp(path, O_CLOEXEC) : -1;
	if (f->fd < 0)
		return file_fail(f, "make", e);
	unlink(path);
	f->bytes = xcalloc(1, WRITE_LEN);
	return 0;
}

static int io_do(struct side *s, uint64_t n, uint64_t until_ns, struct net_error *e)
{
	struct file *f = s->state;
	while (n > 0 && clk_mono_ns() < until_ns) {
		size_t len = n < WRITE_LEN ? (size_t)n : WRITE_LEN;
		len = len < (size_t)(FILE_LEN - f->at) ? len : (size_t)(FILE_LEN - f->at);
		ssize_t written = pwrite(f->fd, f->bytes, len, f->at);
		if (written < 0)
			return file_fail(f, "write", e);
		f->at = (f->at + written) % FILE_LEN;
		n -= (uint64_t)written;
		atomic_fetch_add(&s->done, (unsigned long long)written);
	}
	return 0;
}

static void io_close(struct side *s)
{
	struct file *f = s->state;
	close(f->fd);
	free(f->bytes);
	free(f);
}

const struct side_ops side_io_ops = {
	.name = "io",
	.unit = SIDE_BYTES,
	.is_rate = true,
	.can_follow = true,
	.open = io_open,
	.act = io_do,
	.close = io_close,
};
