/* io_test.c - all or nothing over a real connection: bytes in any pieces, a FIN before or inside, a reset, silence
 * until the deadline, and a peer that is merely slow. Peers are threads; none of them is waited for by sleeping. */
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

int main(void)
{
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
	return check_done();
}
