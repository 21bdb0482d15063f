/* speed.c - one way of sending, measured: the sender in main's thread, the reader in one of its own, or elsewhere. */
#include "zerocopy.h"

#include "clock.h"
#include "mem.h"
#include "os.h"
#include "prng.h"
#include "sig.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* The other end, when it is ours. */
struct reader {
	pthread_t thread;
	int fd;
	bool verify;
	uint64_t bytes, right; /* right: up to the first wrong byte */
	uint64_t cpu_ns;
};

static void *read_all(void *arg)
{
	struct reader *r = arg;
	unsigned char *p = xmalloc_pages(BLOCK_MAX);
	ssize_t n;
	while ((n = recv(r->fd, p, BLOCK_MAX, 0)) > 0) {
		for (size_t at = 0, len; r->verify && at < (size_t)n && r->right == r->bytes + at; at += len) {
			size_t offset = (r->bytes + at) % FILE_LEN;
			len = FILE_LEN - offset < (size_t)n - at ? FILE_LEN - offset : (size_t)n - at;
			r->right += prng_check(SEED, offset, p + at, len);
		}
		r->bytes += (uint64_t)n;
	}
	struct os_cpu cpu = os_thread_cpu();
	r->cpu_ns = cpu.user_ns + cpu.sys_ns;
	free(p);
	return NULL;
}

static int send_everything(struct zerocopy_sending *s, ssize_t (*move)(struct zerocopy_sending *, size_t, size_t))
{
	const struct zerocopy_options *o = s->o;
	if (io_tick(s->fd) < 0)
		stage_fail_errno(&o->stage, "setsockopt", "SO_SNDTIMEO");
	while (s->bytes < o->bytes) {
		size_t at = (size_t)(s->bytes % s->from->len), len = s->from->len - at;
		len = len < o->block ? len : (size_t)o->block;
		len = len < o->bytes - s->bytes ? len : (size_t)(o->bytes - s->bytes);
		s->until.deadline_ns = clk_mono_ns() + o->stage.timeout_ns;
		ssize_t n = move(s, at, len);
		if (n == 0) /* the file is shorter than it was: nobody but us has it */
			errno = EIO;
		if (n <= 0)
			return -1;
		s->bytes += (uint64_t)n;
	}
	return 0;
}

/* Both ends, or ours to the HOST of --to. */
static int open_connection(const struct zerocopy_options *o, struct reader *r)
{
	struct sock_options so = { .congestion = o->congestion };
	struct net_error e = { 0 };
	int fds[2], fd;
	if (o->stage.host != NULL) {
		if ((fd = stage_connect(&o->stage, &so, &e)) < 0)
			stage_fail(&o->stage, &e);
		return fd;
	}
	if (stage_pair(stage_family(&o->stage), &so, &so, fds, &e) < 0)
		stage_fail(&o->stage, &e);
	*r = (struct reader){ .fd = fds[0], .verify = o->verify };
	if ((errno = os_thread_start(&r->thread, 256 * 1024, read_all, r)) != 0)
		stage_fail_errno(&o->stage, "pthread_create", "a reader");
	return fds[1];
}

struct zerocopy_row zerocopy_run_way(const struct zerocopy_options *o, const struct zerocopy_source *from, int way)
{
	struct zerocopy_row row = { .has_reader = o->stage.host == NULL };
	struct reader reader = { 0 };
	struct zerocopy_sending *s = &row.sent;
	int fd = open_connection(o, &reader);
	zerocopy_begin(s, o, from, way, fd);
	tcpinfo_congestion(fd, row.congestion);

	struct os_cpu before = os_thread_cpu();
	uint64_t began_ns = clk_mono_ns();
	sig_let_in(true);
	int rc = send_everything(s, zerocopy_methods[way].move);
	sig_let_in(false);
	row.error = rc < 0 ? errno : 0;
	shutdown(fd, SHUT_WR);
	if (row.has_reader)
		pthread_join(reader.thread, NULL);
	else if (rc == 0 && stage_wait_acknowledged(&o->stage, fd) < 0)
		row.error = errno;
	row.elapsed_ns = clk_mono_ns() - began_ns;
	if (row.error == 0 && zerocopy_await(s, 0) < 0)
		row.error = errno;
	struct os_cpu after = os_thread_cpu();

	row.user_ns = after.user_ns - before.user_ns;
	row.sys_ns = after.sys_ns - before.sys_ns;
	row.reader_ns = reader.cpu_ns;
	row.received = reader.bytes;
	row.right = reader.right;
	zerocopy_end(s);
	close(fd);
	if (row.has_reader)
		close(reader.fd);
	return row;
}
