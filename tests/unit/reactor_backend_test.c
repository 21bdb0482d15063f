/* reactor_backend_test.c - what reactor_backend.h promises, from each of epoll, poll and select, without a loop around
 * it. What is true of one of them only is in the test of its own. */
#include "reactor_backend.h"

#include "check.h"
#include "clock.h"
#include "prng.h"
#include "reactor.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

static const struct reactor_backend *const backends[] = { &reactor_epoll, &reactor_poll, &reactor_select };

/* The one under test. */
static const struct reactor_backend *backend;
static void *set;

enum { MAX = 64 };
static struct ready ready[MAX];

static int wait_at_most(int max, uint64_t timeout_ns)
{
	int n = backend->wait(set, ready, max, timeout_ns);
	CHECK(n >= 0 && n <= max);
	return n;
}

static int wait_now(void)
{
	return wait_at_most(MAX, 0);
}

static void update(int fd, uint32_t gen, unsigned was, unsigned is)
{
	CHECK_INT(backend->update(set, fd, gen, was, is), 0);
}

static void open_pair(int fd[2])
{
	if (!CHECK_INT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0))
		abort();
}

static void close_pair(const int fd[2])
{
	close(fd[0]);
	close(fd[1]);
}

static void check_ready(const struct ready *what, int fd, uint32_t gen, unsigned events)
{
	CHECK_INT(what->fd, fd);
	CHECK_INT(what->gen, gen);
	CHECK_INT(what->events, events);
}

static void test_names_and_limits(void)
{
	CHECK_STR(reactor_epoll.name, "epoll");
	CHECK_STR(reactor_poll.name, "poll");
	CHECK_STR(reactor_select.name, "select");
	CHECK_INT(reactor_epoll.fd_limit, INT_MAX);
	CHECK_INT(reactor_poll.fd_limit, INT_MAX);
	CHECK_INT(reactor_select.fd_limit, FD_SETSIZE);
}

/* --- the set ----------------------------------------------------------------------------------------------------- */

/* A descriptor that is always writable and has a byte to read: what is reported is what is wanted, from each state to
 * each. */
static void test_states(void)
{
	static const unsigned states[] = { 0, BACKEND_PRESENT, BACKEND_PRESENT | WATCH_READ,
					   BACKEND_PRESENT | WATCH_WRITE, BACKEND_PRESENT | WATCH_READ | WATCH_WRITE };
	int fd[2];
	unsigned was = 0;
	open_pair(fd);
	CHECK_INT(write(fd[1], "x", 1), 1);
	CHECK_INT(wait_now(), 0);
	for (size_t from = 0; from < COUNT_OF(states); from++)
		for (size_t to = 0; to < COUNT_OF(states); to++) {
			const unsigned steps[] = { states[from], states[to] };
			for (size_t i = 0; i < COUNT_OF(steps); i++) {
				if (was != 0 || steps[i] != 0)
					update(fd[0], 7, was, steps[i]);
				was = steps[i];
				unsigned due = was & (WATCH_READ | WATCH_WRITE);
				CHECK_INT(wait_now(), due != 0);
				if (due != 0)
					check_ready(&ready[0], fd[0], 7, due);
			}
		}
	update(fd[0], 7, was, 0);
	close_pair(fd);
}

/* The generation is the one of the last start. */
static void test_generation(void)
{
	static const uint32_t gens[] = { 1, 2, 0x7fffffff, 0x80000000, UINT32_MAX, 0 };
	int fd[2];
	open_pair(fd);
	for (size_t i = 0; i < COUNT_OF(gens); i++) {
		update(fd[0], gens[i], 0, BACKEND_PRESENT | WATCH_READ);
		update(fd[0], gens[i], BACKEND_PRESENT | WATCH_READ, BACKEND_PRESENT | WATCH_WRITE);
		CHECK_INT(wait_now(), 1);
		check_ready(&ready[0], fd[0], gens[i], WATCH_WRITE);
		update(fd[0], gens[i], BACKEND_PRESENT | WATCH_WRITE, 0);
		CHECK_INT(wait_now(), 0);
	}
	close_pair(fd);
}

/* Both ends are gone: seen with nothing but errors wanted. */
static void test_errors_only(void)
{
	int fd[2];
	open_pair(fd);
	update(fd[0], 3, 0, BACKEND_PRESENT);
	CHECK_INT(wait_now(), 0);
	close(fd[1]);
	CHECK_INT(wait_now(), 1);
	check_ready(&ready[0], fd[0], 3, WATCH_HUP);
	CHECK_INT(wait_now(), 1);
	update(fd[0], 3, BACKEND_PRESENT, 0);
	CHECK_INT(wait_now(), 0);
	close(fd[0]);
}

static void test_closed_descriptor(void)
{
	int fd[2];
	open_pair(fd);
	close_pair(fd);
	errno = 0;
	CHECK_INT(backend->update(set, fd[0], 1, 0, BACKEND_PRESENT | WATCH_READ), -1);
	CHECK_INT(errno, EBADF);
	CHECK_INT(wait_now(), 0);
}

enum { ENDS = 20 };
static int ends[ENDS];

static void open_ends(void)
{
	for (int i = 0; i < ENDS; i += 2)
		open_pair(&ends[i]);
	for (int i = 0; i < ENDS; i++)
		update(ends[i], (uint32_t)i, 0, BACKEND_PRESENT | WATCH_WRITE);
}

static void close_ends(void)
{
	for (int i = 0; i < ENDS; i++)
		close(ends[i]);
}

/* Wherever in the set one is taken out, the others stay as they are. */
static void test_take_out(void)
{
	static const int order[] = { 9, 0, 19, 10, 18, 1, 8, 2, 17, 3, 16, 4, 15, 5, 14, 6, 13, 7, 12, 11 };
	bool is_there[ENDS];
	open_ends();
	for (int i = 0; i < ENDS; i++)
		is_there[i] = true;
	for (int taken = 0; taken < ENDS; taken++) {
		update(ends[order[taken]], (uint32_t)order[taken], BACKEND_PRESENT | WATCH_WRITE, 0);
		is_there[order[taken]] = false;
		int n = wait_now();
		CHECK_INT(n, ENDS - 1 - taken);
		for (int i = 0; i < n; i++) {
			uint32_t who = ready[i].gen;
			CHECK(who < ENDS && is_there[who] && ends[who] == ready[i].fd);
		}
	}
	close_ends();
}

/* More are ready than there is room: nobody is reported twice before all were, nor forgotten. */
static void test_turns(void)
{
	static const int rooms[] = { 1, 3, 7, ENDS - 1, ENDS };
	for (size_t i = 0; i < COUNT_OF(rooms); i++) {
		int times[ENDS] = { 0 };
		open_ends();
		for (int total = 0; total < 3 * ENDS * rooms[i]; total += rooms[i]) {
			CHECK_INT(wait_at_most(rooms[i], CLK_NEVER), rooms[i]);
			for (int k = 0; k < rooms[i]; k++)
				times[ready[k].gen]++;
		}
		for (int k = 0; k < ENDS; k++)
			CHECK_INT(times[k], 3 * rooms[i]);
		for (int k = 0; k < ENDS; k++)
			update(ends[k], (uint32_t)k, BACKEND_PRESENT | WATCH_WRITE, 0);
		close_ends();
	}
}

/* --- at random --------------------------------------------------------------------------------------------------- */

enum { STEPS = 4000 };

static uint64_t rolled;

static unsigned roll(unsigned sides)
{
	return (unsigned)(prng_word(23, rolled++) % sides);
}

/* What poll(2) says of one descriptor, asked alone. */
static unsigned events_of(int fd, unsigned want)
{
	struct pollfd p = { .fd = fd,
			    .events = (short)((want & WATCH_READ ? POLLIN : 0) | (want & WATCH_WRITE ? POLLOUT : 0)) };
	if (want == 0 || poll(&p, 1, 0) <= 0)
		return 0;
	return (p.revents & POLLIN ? WATCH_READ : 0u) | (p.revents & POLLOUT ? WATCH_WRITE : 0u);
}

static void check_against_poll(const unsigned *wants)
{
	unsigned reported[ENDS] = { 0 };
	int n = wait_now();
	for (int i = 0; i < n; i++) {
		uint32_t who = ready[i].gen;
		if (!CHECK(who < ENDS && ends[who] == ready[i].fd && reported[who] == 0))
			return;
		reported[who] = ready[i].events;
	}
	for (int i = 0; i < ENDS; i++)
		CHECK_INT(reported[i], events_of(ends[i], wants[i]));
}

/* Any state after any other, bytes come and go: the set as a whole says what poll(2) says of each. */
static void test_at_random(void)
{
	unsigned wants[ENDS];
	char byte;
	rolled = 0;
	open_ends();
	for (int i = 0; i < ENDS; i++)
		wants[i] = BACKEND_PRESENT | WATCH_WRITE;
	for (int step = 0; step < STEPS; step++) {
		unsigned who = roll(ENDS), want = roll(4) | BACKEND_PRESENT;
		if (want != wants[who] && roll(3) == 0)
			want = 0;
		if (want != wants[who])
			update(ends[who], who, wants[who], want);
		wants[who] = want;
		who = roll(ENDS);
		if (read(ends[who], &byte, 1) < 0 && write(ends[who ^ 1u], "x", 1) < 0)
			CHECK_INT(errno, 0);
		check_against_poll(wants);
	}
	for (unsigned i = 0; i < ENDS; i++)
		if (wants[i] != 0)
			update(ends[i], i, wants[i], 0);
	CHECK_INT(wait_now(), 0);
	close_ends();
}

/* --- waiting ----------------------------------------------------------------------------------------------------- */

static void test_never_early(void)
{
	static const uint64_t timeouts_ns[] = { 1,         999,           NS_PER_US,       NS_PER_MS - 1,
						NS_PER_MS, NS_PER_MS + 1, 2500 * NS_PER_US };
	for (size_t i = 0; i < COUNT_OF(timeouts_ns); i++) {
		uint64_t begin_ns = clk_mono_ns();
		CHECK_INT(wait_at_most(MAX, timeouts_ns[i]), 0);
		CHECK(clk_mono_ns() - begin_ns >= timeouts_ns[i]);
	}
}

static void *write_a_byte(void *fd)
{
	if (write(*(int *)fd, "x", 1) != 1)
		abort();
	return NULL;
}

/* An event ends every wait, be it for ever or nearly so. */
static void test_event_ends_wait(void)
{
	static const uint64_t timeouts_ns[] = { CLK_NEVER, CLK_NEVER - 1, CLK_NEVER / 2, UINT64_C(1) << 61,
						UINT64_C(100) * NS_PER_S };
	for (size_t i = 0; i < COUNT_OF(timeouts_ns); i++) {
		int fd[2];
		pthread_t thread;
		open_pair(fd);
		update(fd[0], 5, 0, BACKEND_PRESENT | WATCH_READ);
		if (!CHECK_INT(pthread_create(&thread, NULL, write_a_byte, &fd[1]), 0))
			abort();
		CHECK_INT(wait_at_most(MAX, timeouts_ns[i]), 1);
		pthread_join(thread, NULL);
		check_ready(&ready[0], fd[0], 5, WATCH_READ);
		update(fd[0], 5, BACKEND_PRESENT | WATCH_READ, 0);
		close_pair(fd);
	}
}

static void ignore_alarm(int number)
{
	(void)number;
}

/* A signal that was handled ends the wait, with nothing. */
static void test_signal_ends_wait(void)
{
	struct sigaction before, action = { .sa_handler = ignore_alarm };
	struct itimerval every_ms = { { 0, 1000 }, { 0, 1000 } }, never = { 0 };
	int fd[2];
	open_pair(fd);
	update(fd[0], 5, 0, BACKEND_PRESENT | WATCH_READ);
	sigaction(SIGALRM, &action, &before);
	setitimer(ITIMER_REAL, &every_ms, NULL);
	CHECK_INT(wait_at_most(MAX, CLK_NEVER), 0);
	CHECK_INT(wait_at_most(MAX, UINT64_C(100) * NS_PER_S), 0);
	setitimer(ITIMER_REAL, &never, NULL);
	sigaction(SIGALRM, &before, NULL);
	update(fd[0], 5, BACKEND_PRESENT | WATCH_READ, 0);
	close_pair(fd);
}

int main(void)
{
	static void (*const tests[])(void) = {
		test_states, test_generation, test_errors_only, test_closed_descriptor, test_take_out,
		test_turns,  test_at_random,  test_never_early, test_event_ends_wait,   test_signal_ends_wait,
	};
	test_names_and_limits();
	for (size_t b = 0; b < COUNT_OF(backends); b++)
		for (size_t i = 0; i < COUNT_OF(tests); i++) {
			unsigned long bad = check_bad;
			backend = backends[b];
			set = backend->open();
			alarm(60); /* a wait that nothing ends */
			if (CHECK(set != NULL)) {
				tests[i]();
				backend->close(set);
			}
			if (check_bad != bad)
				fprintf(stderr, "    in test %zu of %s\n", i, backend->name);
		}
	return check_done();
}
