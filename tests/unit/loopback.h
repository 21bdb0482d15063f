/* loopback.h - what the tests of everything that lives on a loop share: each kind of loop, TCP connections to
 * ourselves, and a peer that is made of plain system calls, so that a mistake in conn.c cannot hide behind the same
 * mistake at the other end.
 *
 * Connection under test and peer run on one loop, in one thread: what happens is the same in each run but for the
 * kernel's timing. A test is a function of the loop; it returns with nothing armed (reactor_free asserts that). */
#ifndef TCPLAB_LOOPBACK_H
#define TCPLAB_LOOPBACK_H

#include "check.h"
#include "clock.h"
#include "prng.h"
#include "reactor.h"
#include "sock.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { HERE = 1, THERE = 2 }; /* the streams (prng.h): what the side under test sends, and what the peer sends */

/* --- loops ------------------------------------------------------------------------------------------------------- */

/* The same before and after a test, unless a descriptor was left open. */
static inline unsigned count_open_fds(void)
{
	unsigned n = 0;
	DIR *dir = opendir("/proc/self/fd");
	while (dir != NULL && readdir(dir) != NULL)
		n++;
	if (dir != NULL)
		closedir(dir);
	return n;
}

typedef void loop_test(struct reactor *r);

static inline void on_one_loop(loop_test *test, const char *name, const char *backend, const char *timers)
{
	struct net_error e;
	unsigned long bad = check_bad;
	unsigned open = count_open_fds();
	struct reactor *r = reactor_new(backend, timers, &e);
	if (!CHECK(r != NULL))
		abort();
	test(r);
	CHECK_INT(reactor_stats(r)->spins, 0);
	reactor_free(r);
	CHECK_INT(count_open_fds(), open);
	if (check_bad != bad)
		fprintf(stderr, "    in %s with %s and %s\n", name, backend, timers);
}

static const char *const loop_backends[] = { "epoll", "poll", "select" }, *const loop_timers[] = { "heap", "wheel" };

/* Runs the test on each kind of loop; on each backend only, for what arms no timer and takes long. */
#define ON_EACH_LOOP(test)    on_each_loop((test), #test, 2)
#define ON_EACH_BACKEND(test) on_each_loop((test), #test, 1)
static inline void on_each_loop(loop_test *test, const char *name, size_t n_timers)
{
	for (size_t i = 0; i < COUNT_OF(loop_backends); i++)
		for (size_t k = 0; k < n_timers; k++)
			on_one_loop(test, name, loop_backends[i], loop_timers[k]);
}

enum { LOOP_PATIENCE_S = 60 }; /* what is lost may let a child wait for ever: then SIGALRM ends it */

/* On each backend in a child, all at the same time: for what consists of waiting. WHY exit and not _exit: before it a sanitizer
 * looks for leaks. */
#define ON_EACH_BACKEND_AT_ONCE(test) on_each_backend_at_once((test), #test)
static inline void on_each_backend_at_once(loop_test *test, const char *name)
{
	pid_t pid[COUNT_OF(loop_backends)];
	fflush(NULL);
	for (size_t i = 0; i < COUNT_OF(loop_backends); i++) {
		pid[i] = fork();
		if (pid[i] == 0) {
			alarm(LOOP_PATIENCE_S);
			on_one_loop(test, name, loop_backends[i], loop_timers[0]);
			exit(check_bad != 0);
		}
	}
	for (size_t i = 0; i < COUNT_OF(loop_backends); i++) {
		int status = -1;
		CHECK_INT(waitpid(pid[i], &status, 0), pid[i]);
		CHECK_INT(status, 0);
	}
}

static inline bool loop_is(const struct reactor *r, const char *backend)
{
	return strcmp(reactor_backend_name(r), backend) == 0;
}

/* Until nothing is left that could happen. */
static inline void run(struct reactor *r)
{
	CHECK_INT(reactor_run(r), 0);
}

struct one_round {
	struct deferred end;
	struct reactor *r;
};

static inline void on_end_of_round(struct deferred *d)
{
	reactor_stop(CONTAINER_OF(d, struct one_round, end)->r);
}

static inline void one_round(struct reactor *r)
{
	struct one_round o = { .r = r };
	reactor_defer(r, &o.end, on_end_of_round);
	run(r);
}

/* Rounds without sleep until the condition holds: for what must happen. The runner's time limit ends a wait in vain. */
#define RUN_UNTIL(r, condition) \
	do                      \
		one_round(r);   \
	while (!(condition))

struct stop_at {
	struct timer timer;
	struct reactor *r;
};

static inline void on_stop_at(struct timer *t)
{
	reactor_stop(CONTAINER_OF(t, struct stop_at, timer)->r);
}

/* For so long, or until nothing is left: how many rounds that took. For what must not happen, or not often, while a
 * loop waits: nothing that must happen may depend on how long it is. A loop that spins makes hundreds in a
 * millisecond, one that waits wakes up a FEW times. */
enum { FEW = 20 };
static inline uint64_t rounds_in(struct reactor *r, uint64_t ns)
{
	struct stop_at s = { .r = r };
	uint64_t before = reactor_stats(r)->rounds;
	reactor_timer_start(r, &s.timer, clk_mono_ns() + ns, on_stop_at);
	run(r);
	reactor_timer_stop(r, &s.timer);
	return reactor_stats(r)->rounds - before;
}

/* --- connections ------------------------------------------------------------------------------------------------- */

static inline void set_nonblocking(int fd)
{
	CHECK_INT(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK), 0);
}

static inline int loopback_listen(struct addr *bound, const struct sock_options *o)
{
	struct net_error e;
	int fd = sock_serve("127.0.0.1", 0, AF_INET, o, bound, &e);
	if (!CHECK(fd >= 0))
		abort();
	return fd;
}

/* Non-blocking; the kernel has completed the handshake, so it waits in the listener's backlog. */
static inline int loopback_connect(const struct addr *to, const struct sock_options *o)
{
	static const struct io_until for_ever = { .deadline_ns = CLK_NEVER };
	struct net_error e;
	int fd = sock_connect(to, 1, NULL, o, &for_ever, &e);
	if (!CHECK(fd >= 0))
		abort();
	set_nonblocking(fd);
	return fd;
}

/* Both ends of a connection, non-blocking. buffer: SO_SNDBUF and SO_RCVBUF of both; 0: what the system gives. */
static inline void loopback_pair(int *here, int *there, uint64_t buffer)
{
	struct sock_options o = { .send_buffer = buffer, .receive_buffer = buffer, .nodelay = true };
	struct addr bound;
	int listener = loopback_listen(&bound, &o);
	*there = loopback_connect(&bound, &o);
	*here = accept(listener, NULL, NULL);
	close(listener);
	if (!CHECK(*here >= 0))
		abort();
	set_nonblocking(*here);
}

static inline bool is_ready(int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };
	return poll(&p, 1, 0) == 1 && (p.revents & events) != 0;
}

/* Until poll(2) reports these events for fd: what was sent to it has come. */
static inline void wait_for(int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };
	while (poll(&p, 1, -1) != 1 || (p.revents & events) == 0)
		;
}

/* --- the peer ---------------------------------------------------------------------------------------------------- */

/* Sends `to_send` bytes, when it `answers` not before it has seen our FIN; then its own FIN when it `finishes`. Reads
 * while it `is_reading`. It closes when it has seen our FIN and sent everything, unless it `stays`, and with an
 * error. */
struct peer {
	struct watch watch;
	uint64_t to_send, sent, received;
	uint64_t seed, expects; /* the streams it sends and checks */
	bool is_reading, answers, finishes, is_finished, stays, saw_eof;
	int err;
};

static inline void peer_close(struct peer *p)
{
	if (!watch_is_started(&p->watch))
		return;
	watch_stop(&p->watch);
	close(p->watch.fd);
}

static inline void peer_abort(struct peer *p)
{
	CHECK(watch_is_started(&p->watch));
	watch_stop(&p->watch);
	sock_abort(p->watch.fd);
}

static inline bool peer_may_send(const struct peer *p)
{
	return p->sent < p->to_send && (!p->answers || p->saw_eof);
}

static inline void peer_update(struct peer *p)
{
	if (!watch_is_started(&p->watch))
		return;
	if (p->sent == p->to_send && p->finishes && !p->is_finished) {
		p->is_finished = true;
		shutdown(p->watch.fd, SHUT_WR);
	}
	if (p->sent == p->to_send && p->saw_eof && !p->stays)
		peer_close(p);
	else
		watch_want(&p->watch,
			   (p->is_reading && !p->saw_eof ? WATCH_READ : 0u) | (peer_may_send(p) ? WATCH_WRITE : 0u));
}

static inline void peer_fail(struct peer *p, int err)
{
	if (err == EAGAIN)
		return;
	p->err = err;
	peer_close(p);
}

static inline void peer_read(struct peer *p)
{
	static unsigned char bytes[256 * 1024];
	ssize_t n = recv(p->watch.fd, bytes, sizeof(bytes), 0);
	if (n < 0) {
		peer_fail(p, errno);
		return;
	}
	CHECK_INT(prng_check(p->expects, p->received, bytes, (size_t)n), n);
	p->received += (uint64_t)n;
	p->saw_eof = n == 0;
}

static inline void peer_send(struct peer *p)
{
	static unsigned char bytes[64 * 1024];
	uint64_t left = p->to_send - p->sent;
	size_t len = left < sizeof(bytes) ? (size_t)left : sizeof(bytes);
	prng_fill(p->seed, p->sent, bytes, len);
	ssize_t n = send(p->watch.fd, bytes, len, MSG_NOSIGNAL);
	if (n < 0)
		peer_fail(p, errno);
	else
		p->sent += (uint64_t)n;
}

static inline bool peer_on_event(struct watch *w, unsigned events)
{
	struct peer *p = CONTAINER_OF(w, struct peer, watch);
	int err = 0;
	socklen_t len = sizeof(err);
	if (w->want & WATCH_READ && events & (WATCH_READ | WATCH_HUP | WATCH_ERR))
		peer_read(p);
	else if (events & WATCH_ERR && getsockopt(w->fd, SOL_SOCKET, SO_ERROR, &err, &len) == 0)
		peer_fail(p, err);
	if (events & WATCH_WRITE && watch_is_started(w) && peer_may_send(p))
		peer_send(p);
	peer_update(p);
	return true;
}

/* Takes fd. */
static inline void peer_start(struct peer *p, struct reactor *r, int fd)
{
	*p = (struct peer){ .is_reading = true, .seed = THERE, .expects = HERE };
	CHECK_INT(watch_start(&p->watch, r, fd, WATCH_READ, peer_on_event), 0);
}

static inline void peer_sends(struct peer *p, uint64_t n)
{
	p->to_send += n;
	peer_update(p);
}

/* At once, before the loop runs; n is little enough for the kernel. */
static inline void peer_sends_now(struct peer *p, uint64_t n)
{
	p->to_send += n;
	peer_send(p);
	CHECK_INT(p->sent, p->to_send);
	peer_update(p);
}

static inline void peer_finishes(struct peer *p)
{
	p->finishes = true;
	peer_update(p);
}

static inline void peer_reads(struct peer *p, bool on)
{
	p->is_reading = on;
	peer_update(p);
}

#endif
