/* io_test.c - all or nothing over a real connection: bytes in any pieces, a FIN before or inside, a reset, silence
 * until the deadline, and a peer that is merely slow. Peers are threads; none of them is waited for by sleeping. Then
 * what there is, into and out of a queue: from pipes, because with a pipe a test knows what is in it. */
#include "io.h"

#include "check.h"
#include "clock.h"
#include "prng.h"
#include "sock.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/time.h>
#include <unistd.h>

enum { BIG = 1 << 20 };

static const struct io_until for_ever = { .deadline_ns = CLK_NEVER };

/* Both ends of a TCP connection; `here` is under test and ticks. Small buffers, so that a writer has to wait. */
struct pair {
	int here, peer;
	atomic_bool quit; /* asks the peer's thread to end */
	atomic_bool cancel;
	uint64_t moved; /* by the peer's thread; read after it has ended */
};

static void pair_open(struct pair *p)
{
	struct sock_options o = { .send_buffer = 16384, .receive_buffer = 16384, .nodelay = true };
	struct addr bound;
	struct net_error e;
	int server = sock_serve("127.0.0.1", 0, AF_UNSPEC, &o, &bound, &e);
	*p = (struct pair){ .here = sock_connect(&bound, 1, NULL, &o, &for_ever, &e) };
	p->peer = accept(server, NULL, NULL);
	close(server);
	if (!CHECK(p->here >= 0 && p->peer >= 0) || !CHECK_INT(io_tick(p->here), 0))
		abort();
}

static void pair_close(struct pair *p)
{
	close(p->here);
	if (p->peer >= 0)
		close(p->peer);
}

static void wait_readable(const struct pair *p)
{
	struct pollfd here = { .fd = p->here, .events = POLLIN };
	CHECK_INT(poll(&here, 1, -1), 1);
}

/* The peer's thread, with all signals blocked: those of test_interrupted are for us. */
static pthread_t start(void *(*body)(void *), struct pair *p)
{
	pthread_t thread;
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	if (!CHECK_INT(pthread_create(&thread, NULL, body, p), 0))
		abort();
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return thread;
}

/* --- bytes in pieces --------------------------------------------------------------------------------------------- */

static void *send_big(void *arg)
{
	struct pair *p = arg;
	unsigned char bytes[5000];
	size_t n = 0;
	for (uint64_t at = 0; at < BIG; at += n) {
		n = 1 + prng_word(5, at) % sizeof(bytes);
		n = n < BIG - at ? n : BIG - at;
		prng_fill(1, at, bytes, n);
		if (write(p->peer, bytes, n) != (ssize_t)n)
			break;
	}
	return NULL;
}

static unsigned char big[BIG];

static void test_read_in_pieces(void)
{
	struct pair p;
	pair_open(&p);
	pthread_t thread = start(send_big, &p);
	CHECK_INT(io_read_full(p.here, big, BIG, &for_ever), 1);
	CHECK_INT(prng_check(1, 0, big, BIG), BIG);
	pthread_join(thread, NULL);
	pair_close(&p);
}

static void *send_single_bytes(void *arg)
{
	struct pair *p = arg;
	unsigned char byte;
	for (uint64_t at = 0; at < 3000; at++) {
		prng_fill(2, at, &byte, 1);
		if (write(p->peer, &byte, 1) != 1)
			break;
	}
	return NULL;
}

static void test_a_byte_at_a_time(void)
{
	struct pair p;
	pair_open(&p);
	pthread_t thread = start(send_single_bytes, &p);
	for (uint64_t at = 0; at < 3000; at += 10) {
		unsigned char bytes[10];
		if (!CHECK_INT(io_read_full(p.here, bytes, 10, &for_ever), 1) ||
		    !CHECK_INT(prng_check(2, at, bytes, 10), 10))
			break;
	}
	pthread_join(thread, NULL);
	pair_close(&p);
}

static void *take_big(void *arg)
{
	struct pair *p = arg;
	unsigned char bytes[3000];
	ssize_t n;
	while ((n = read(p->peer, bytes, sizeof(bytes))) > 0 && prng_check(3, p->moved, bytes, (size_t)n) == (size_t)n)
		p->moved += (uint64_t)n;
	return NULL;
}

static void test_write_in_pieces(void)
{
	struct pair p;
	pair_open(&p);
	prng_fill(3, 0, big, BIG);
	pthread_t thread = start(take_big, &p);
	CHECK_INT(io_write_full(p.here, big, BIG, &for_ever), 0);
	shutdown(p.here, SHUT_WR);
	pthread_join(thread, NULL);
	CHECK_INT(p.moved, BIG);
	pair_close(&p);
}

static void test_nothing_to_move(void)
{
	CHECK_INT(io_read_full(-1, NULL, 0, &for_ever), 1);
	CHECK_INT(io_write_full(-1, NULL, 0, &for_ever), 0);
}

/* What has come already is read even when the deadline is long past. */
static void test_late_but_there(void)
{
	struct pair p;
	char bytes[4];
	struct io_until past = { .deadline_ns = 1 };
	pair_open(&p);
	CHECK_INT(write(p.peer, "abcd", 4), 4);
	wait_readable(&p);
	CHECK_INT(io_read_full(p.here, bytes, 4, &past), 1);
	CHECK_INT(memcmp(bytes, "abcd", 4), 0);
	CHECK_INT(io_write_full(p.here, "abcd", 4, &past), 0);
	pair_close(&p);
}

/* --- the peer ends ----------------------------------------------------------------------------------------------- */

static void test_fin(void)
{
	for (size_t sent = 0; sent <= 8; sent++) {
		struct pair p;
		char bytes[8];
		pair_open(&p);
		CHECK_INT(write(p.peer, "12345678", sent), sent);
		shutdown(p.peer, SHUT_WR);
		errno = 0;
		CHECK_INT(io_read_full(p.here, bytes, 8, &for_ever), sent == 0 ? 0 : sent == 8 ? 1 : -1);
		if (sent > 0 && sent < 8)
			CHECK_INT(errno, EPROTO);
		CHECK_INT(memcmp(bytes, "12345678", sent), 0);
		pair_close(&p);
	}
}

static void test_reset(void)
{
	for (size_t sent = 0; sent < 8; sent += 4) {
		struct pair p;
		char bytes[8];
		pair_open(&p);
		CHECK_INT(write(p.peer, "12345678", sent), sent);
		sock_abort(p.peer);
		p.peer = -1;
		CHECK_INT(io_read_full(p.here, bytes, 8, &for_ever), -1);
		CHECK_INT(errno, ECONNRESET);
		pair_close(&p);
	}
}

/* SIGPIPE has its default action here: raised, it would end this program. */
static void test_write_to_a_gone_peer(void)
{
	struct pair p;
	pair_open(&p);
	sock_abort(p.peer);
	p.peer = -1;
	wait_readable(&p);
	CHECK_INT(io_write_full(p.here, big, BIG, &for_ever), -1);
	CHECK(errno == ECONNRESET || errno == EPIPE);
	CHECK_INT(io_write_full(p.here, big, BIG, &for_ever), -1);
	CHECK_INT(errno, EPIPE);
	pair_close(&p);
}

static void test_bad_descriptor(void)
{
	char byte;
	CHECK_INT(io_tick(-1), -1);
	CHECK_INT(errno, EBADF);
	CHECK_INT(io_read_full(-1, &byte, 1, &for_ever), -1);
	CHECK_INT(errno, EBADF);
	CHECK_INT(io_write_full(-1, "x", 1, &for_ever), -1);
	CHECK_INT(errno, EBADF);
}

/* --- silence ----------------------------------------------------------------------------------------------------- */

static void test_tick(void)
{
	struct pair p;
	struct timeval in = { 0 }, out = { 0 };
	socklen_t len = sizeof(in);
	char byte;
	pair_open(&p);
	CHECK_INT(getsockopt(p.here, SOL_SOCKET, SO_RCVTIMEO, &in, &len), 0);
	CHECK_INT(getsockopt(p.here, SOL_SOCKET, SO_SNDTIMEO, &out, &len), 0);
	CHECK(in.tv_sec == 0 && in.tv_usec > 0 && in.tv_usec <= 2 * IO_TICK_MS * 1000);
	CHECK(out.tv_sec == 0 && out.tv_usec > 0 && out.tv_usec <= 2 * IO_TICK_MS * 1000);
	CHECK_INT(recv(p.here, &byte, 1, 0), -1);
	CHECK_INT(errno, EAGAIN);
	pair_close(&p);
}

static void test_silent_sender(void)
{
	struct pair p;
	char bytes[8];
	pair_open(&p);
	for (size_t sent = 0; sent < 8; sent += 4) {
		CHECK_INT(write(p.peer, "12345678", sent), sent);
		struct io_until until = { .deadline_ns = clk_mono_ns() + 120 * NS_PER_MS };
		CHECK_INT(io_read_full(p.here, bytes, 8, &until), -1);
		CHECK_INT(errno, ETIMEDOUT);
		CHECK(clk_mono_ns() >= until.deadline_ns);
	}
	pair_close(&p);
}

static void test_silent_receiver(void)
{
	struct pair p;
	pair_open(&p);
	struct io_until until = { .deadline_ns = clk_mono_ns() + 120 * NS_PER_MS };
	CHECK_INT(io_write_full(p.here, big, BIG, &until), -1);
	CHECK_INT(errno, ETIMEDOUT);
	CHECK(clk_mono_ns() >= until.deadline_ns);
	pair_close(&p);
}

static void *raise_cancel(void *arg)
{
	struct pair *p = arg;
	atomic_store(&p->cancel, true);
	return NULL;
}

static void test_cancel(void)
{
	struct pair p;
	char byte;
	pair_open(&p);
	struct io_until until = { .deadline_ns = CLK_NEVER, .cancel = &p.cancel };
	pthread_t thread = start(raise_cancel, &p);
	CHECK_INT(io_read_full(p.here, &byte, 1, &until), -1);
	CHECK_INT(errno, ECANCELED);
	pthread_join(thread, NULL);

	atomic_store(&p.cancel, false);
	thread = start(raise_cancel, &p);
	CHECK_INT(io_write_full(p.here, big, BIG, &until), -1);
	CHECK_INT(errno, ECANCELED);
	pthread_join(thread, NULL);
	pair_close(&p);
}

/* --- a peer that is merely slow ---------------------------------------------------------------------------------- */

/* Waits 2 ms, or until quit: the peer's pace, so that many of its bytes fall into each tick. */
static bool paced(const struct pair *p)
{
	clk_sleep_until_ns(clk_mono_ns() + 2 * NS_PER_MS);
	return !atomic_load(&p->quit);
}

static void *trickle(void *arg)
{
	struct pair *p = arg;
	while (paced(p) && write(p->peer, "x", 1) == 1)
		p->moved++;
	return NULL;
}

/* recv never fails here, each returns some bytes: the deadline must count all the same. The peer goes on until then. */
static void test_trickling_sender(void)
{
	struct pair p;
	pair_open(&p);
	pthread_t thread = start(trickle, &p);
	struct io_until until = { .deadline_ns = clk_mono_ns() + 200 * NS_PER_MS };
	CHECK_INT(io_read_full(p.here, big, BIG, &until), -1);
	CHECK_INT(errno, ETIMEDOUT);
	CHECK(clk_mono_ns() >= until.deadline_ns);
	atomic_store(&p.quit, true);
	pthread_join(thread, NULL);
	pair_close(&p);
}

static void *sip(void *arg)
{
	struct pair *p = arg;
	char bytes[2000];
	ssize_t n;
	while (paced(p) && (n = read(p->peer, bytes, sizeof(bytes))) > 0)
		p->moved += (uint64_t)n;
	return NULL;
}

/* The same for send: 1 MiB takes this reader at least 1 s, and it never lets send fail. It is not the time that shows
 * whether the deadline counted but the result: without it everything is sent in the end. */
static void test_sipping_receiver(void)
{
	struct pair p;
	pair_open(&p);
	pthread_t thread = start(sip, &p);
	struct io_until until = { .deadline_ns = clk_mono_ns() + 200 * NS_PER_MS };
	CHECK_INT(io_write_full(p.here, big, BIG, &until), -1);
	CHECK_INT(errno, ETIMEDOUT);
	CHECK(clk_mono_ns() >= until.deadline_ns);
	atomic_store(&p.quit, true);
	pthread_join(thread, NULL);
	pair_close(&p);
}

/* --- signals and the rule itself --------------------------------------------------------------------------------- */

static void on_alarm(int number)
{
	(void)number;
}

/* A handler without SA_RESTART every 2 ms: EINTR is nobody's business but io's. */
static void test_interrupted(void)
{
	struct pair p;
	struct sigaction action = { .sa_handler = on_alarm };
	struct itimerval every = { .it_interval.tv_usec = 2000, .it_value.tv_usec = 2000 };
	pair_open(&p);
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &every, NULL);
	struct io_until until = { .deadline_ns = clk_mono_ns() + 60 * NS_PER_MS };
	char byte;
	CHECK_INT(io_read_full(p.here, &byte, 1, &until), -1);
	CHECK_INT(errno, ETIMEDOUT);
	CHECK(clk_mono_ns() >= until.deadline_ns);
	pthread_t thread = start(send_big, &p);
	CHECK_INT(io_read_full(p.here, big, BIG, &for_ever), 1);
	CHECK_INT(prng_check(1, 0, big, BIG), BIG);
	pthread_join(thread, NULL);
	setitimer(ITIMER_REAL, &(struct itimerval){ 0 }, NULL);
	pair_close(&p);
}

static void check_over(int error, uint64_t deadline_ns, bool cancelled, bool want, int want_errno)
{
	atomic_bool flag = cancelled;
	struct io_until until = { .deadline_ns = deadline_ns, .cancel = &flag };
	errno = error;
	CHECK_INT(io_is_over(&until), want);
	if (want)
		CHECK_INT(errno, want_errno);
}

static void test_is_over(void)
{
	check_over(EINTR, CLK_NEVER, false, false, 0);
	check_over(EAGAIN, CLK_NEVER, false, false, 0);
	check_over(EAGAIN, clk_mono_ns() + UINT64_C(3600) * NS_PER_S, false, false, 0);
	check_over(EAGAIN, clk_mono_ns(), false, true, ETIMEDOUT);
	check_over(EINTR, 0, false, true, ETIMEDOUT);
	check_over(EAGAIN, CLK_NEVER, true, true, ECANCELED);
	check_over(EINTR, CLK_NEVER, true, true, ECANCELED);
	check_over(ECONNRESET, CLK_NEVER, false, true, ECONNRESET);
	check_over(EPIPE, CLK_NEVER, true, true, EPIPE);
	errno = EAGAIN;
	CHECK_INT(io_is_over(&for_ever), false);
}

/* --- what there is, into a queue --------------------------------------------------------------------------------- */

/* A pipe that holds n bytes of stream 6, non-blocking at both ends; 1 MiB is the most (pipe(7)). */
static void open_pipe(int fds[2], size_t n)
{
	if (!CHECK_INT(pipe2(fds, O_NONBLOCK | O_CLOEXEC), 0))
		abort();
	CHECK(fcntl(fds[1], F_SETPIPE_SZ, 1 << 20) >= 0);
	prng_fill(6, 0, big, n);
	CHECK_INT(write(fds[1], big, n), n);
}

static void close_pipe(int fds[2])
{
	close(fds[0]);
	if (fds[1] >= 0)
		close(fds[1]);
}

static int check_filled(const struct buf *b, size_t len)
{
	return CHECK_INT(buf_len(b), len) && CHECK_INT(prng_check(6, 0, buf_peek(b), len), len);
}

/* IO_CHUNK at most in each call, with any room; then the rest, then nothing, then EOF. */
static void test_fill_is_capped(void)
{
	static const size_t rooms[] = { 0, 1, 10000, IO_CHUNK - 1, IO_CHUNK, IO_CHUNK + 1, 500000 };
	for (size_t i = 0; i < COUNT_OF(rooms); i++) {
		struct buf b = { 0 };
		int fds[2];
		open_pipe(fds, 2 * IO_CHUNK + 100);
		if (rooms[i] > 0)
			CHECK(buf_reserve(&b, rooms[i]) != NULL);
		CHECK_INT(io_fill(&b, fds[0]), IO_CHUNK);
		CHECK_INT(io_fill(&b, fds[0]), IO_CHUNK);
		CHECK_INT(io_fill(&b, fds[0]), 100);
		check_filled(&b, 2 * IO_CHUNK + 100);
		size_t cap = b.cap;
		CHECK_INT(io_fill(&b, fds[0]), -1);
		CHECK_INT(errno, EAGAIN);
		close(fds[1]);
		fds[1] = -1;
		CHECK_INT(io_fill(&b, fds[0]), 0);
		check_filled(&b, 2 * IO_CHUNK + 100);
		CHECK_INT(b.cap, cap);
		buf_free(&b);
		close_pipe(fds);
	}
}

/* Nothing came: an empty queue has no memory afterwards. A little came: it has little. */
static void test_fill_grows_by_what_came(void)
{
	struct buf b = { 0 };
	int fds[2];
	char byte;
	open_pipe(fds, 1);
	CHECK_INT(read(fds[0], &byte, 1), 1);
	CHECK_INT(io_fill(&b, fds[0]), -1);
	CHECK_INT(errno, EAGAIN);
	CHECK_INT(io_fill(&b, -1), -1);
	CHECK_INT(errno, EBADF);
	CHECK(b.mem == NULL);
	close_pipe(fds);

	for (size_t n = 1; n <= IO_CHUNK; n *= 4) {
		open_pipe(fds, n);
		CHECK_INT(io_fill(&b, fds[0]), n);
		check_filled(&b, n);
		CHECK(b.cap >= n && b.cap <= (n < 512 ? 512 : 2 * n));
		buf_free(&b);
		close_pipe(fds);
	}
}

/* What fits into the free space goes there, and nothing moves; what does not fit comes behind it. */
static void test_fill_takes_the_free_space_first(void)
{
	for (size_t n = 90; n <= 110; n++) {
		struct buf b = { 0 };
		int fds[2];
		prng_fill(6, 0, big, BIG);
		buf_append(&b, big, 412);
		CHECK_INT(b.cap, 512);
		const unsigned char *mem = b.mem;
		open_pipe(fds, 412 + n);
		char skipped[412];
		CHECK_INT(read(fds[0], skipped, 412), 412);
		CHECK_INT(io_fill(&b, fds[0]), n);
		check_filled(&b, 412 + n);
		if (n <= 100)
			CHECK(b.mem == mem && b.cap == 512);
		else
			CHECK_INT(b.cap, 1024);
		buf_free(&b);
		close_pipe(fds);
	}
}

/* Any sizes in, any sizes out, and the bytes are those of the stream. */
static void test_fill_in_random_pieces(void)
{
	struct buf b = { 0 };
	int fds[2];
	uint64_t put = 0, got = 0;
	open_pipe(fds, 0);
	for (uint64_t i = 0; i < 3000; i++) {
		size_t n = (size_t)(prng_word(7, i) % (i % 10 == 0 ? 300000 : 3000));
		prng_fill(6, put, big, n);
		ssize_t written = write(fds[1], big, n);
		put += written > 0 ? (uint64_t)written : 0;
		ssize_t filled = io_fill(&b, fds[0]);
		CHECK(filled > 0 || errno == EAGAIN);
		CHECK(filled <= IO_CHUNK);
		size_t used = buf_len(&b) > 0 ? (size_t)(prng_word(8, i) % (2 * buf_len(&b))) : 0;
		used = used < buf_len(&b) ? used : buf_len(&b);
		if (!CHECK_INT(prng_check(6, got, buf_peek(&b), used), used))
			break;
		buf_consume(&b, used);
		got += used;
	}
	CHECK(put > 1000000);
	buf_free(&b);
	close_pipe(fds);
}

/* --- and away with it -------------------------------------------------------------------------------------------- */

/* What there is goes at once, and no more than IO_DROP; then EAGAIN, EOF, and the error of a peer that is gone. */
static void test_drop(void)
{
	struct pair p;
	pair_open(&p);
	CHECK_INT(fcntl(p.here, F_SETFL, O_NONBLOCK), 0);
	CHECK_INT(io_drop(p.here), -1);
	CHECK_INT(errno, EAGAIN);
	size_t dropped = 0;
	CHECK_INT(send(p.peer, big, 3000, 0), 3000); /* fits into the smallest of buffers */
	while (dropped < 3000) {
		wait_readable(&p);
		ssize_t n = io_drop(p.here);
		if (!CHECK(n > 0 && n <= IO_DROP))
			break;
		dropped += (size_t)n;
	}
	CHECK_INT(dropped, 3000);
	CHECK_INT(send(p.peer, "x", 1, 0), 1);
	shutdown(p.peer, SHUT_WR);
	wait_readable(&p);
	CHECK_INT(io_drop(p.here), 1);
	wait_readable(&p);
	CHECK_INT(io_drop(p.here), 0);
	sock_abort(p.peer);
	p.peer = -1;
	pair_close(&p);
}

/* --- and out of it ----------------------------------------------------------------------------------------------- */

static void fill_stream_3(struct buf *b)
{
	prng_fill(3, 0, big, BIG);
	buf_append(b, big, BIG);
}

/* The kernel takes what it has room for, we keep the rest, and nothing is lost or doubled. */
static void test_drain(void)
{
	struct pair p;
	struct buf b = { 0 };
	pair_open(&p);
	CHECK_INT(fcntl(p.here, F_SETFL, O_NONBLOCK), 0);
	fill_stream_3(&b);
	ssize_t n;
	size_t left = BIG;
	while ((n = io_drain(&b, p.here)) > 0) {
		left -= (size_t)n;
		CHECK_INT(buf_len(&b), left);
	}
	CHECK_INT(errno, EAGAIN);
	CHECK(left > 0 && left < BIG);
	CHECK_INT(buf_len(&b), left);
	pthread_t thread = start(take_big, &p);
	while (buf_len(&b) > 0) {
		struct pollfd here = { .fd = p.here, .events = POLLOUT };
		CHECK_INT(poll(&here, 1, -1), 1);
		if (!CHECK(io_drain(&b, p.here) > 0 || errno == EAGAIN))
			break;
	}
	shutdown(p.here, SHUT_WR);
	pthread_join(thread, NULL);
	CHECK_INT(p.moved, BIG);
	buf_free(&b);
	pair_close(&p);
}

/* SIGPIPE has its default action. What could not be sent is still there. */
static void test_drain_to_a_gone_peer(void)
{
	struct pair p;
	struct buf b = { 0 };
	pair_open(&p);
	sock_abort(p.peer);
	p.peer = -1;
	wait_readable(&p);
	fill_stream_3(&b);
	CHECK_INT(io_drain(&b, p.here), -1);
	CHECK(errno == ECONNRESET || errno == EPIPE);
	CHECK_INT(io_drain(&b, p.here), -1);
	CHECK_INT(errno, EPIPE);
	CHECK_INT(buf_len(&b), BIG);
	CHECK_INT(prng_check(3, 0, buf_peek(&b), BIG), BIG);
	buf_free(&b);
	pair_close(&p);
}

int main(void)
{
	signal(SIGPIPE, SIG_DFL);
	test_read_in_pieces();
	test_a_byte_at_a_time();
	test_write_in_pieces();
	test_nothing_to_move();
	test_late_but_there();
	test_fin();
	test_reset();
	test_write_to_a_gone_peer();
	test_bad_descriptor();
	test_tick();
	test_silent_sender();
	test_silent_receiver();
	test_cancel();
	test_trickling_sender();
	test_sipping_receiver();
	test_interrupted();
	test_is_over();
	test_fill_is_capped();
	test_fill_grows_by_what_came();
	test_fill_takes_the_free_space_first();
	test_fill_in_random_pieces();
	test_drop();
	test_drain();
	test_drain_to_a_gone_peer();
	return check_done();
}
