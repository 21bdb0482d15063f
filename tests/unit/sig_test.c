/* sig_test.c - signals come in at sig_wait or are taken from a descriptor, each is counted, and none is lost. Every
 * test runs in a child, because sig_open changes the whole process. */
#include "sig.h"

#include "child.h"
#include "clock.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/time.h>

static void nothing_came(void)
{
	int times = -1;
	sig_open();
	CHECK_INT(sig_pending(NULL), 0);
	CHECK_INT(sig_pending(&times), 0);
	CHECK_INT(times, 0);
	CHECK_INT(sig_exit_status(0), 0);
	CHECK_INT(sig_exit_status(3), 3);
}

/* Between sig_open and sig_wait a signal is held back. */
static void interrupt(void)
{
	int times = 0;
	sig_open();
	raise(SIGINT);
	CHECK_INT(sig_pending(NULL), 0);
	CHECK_INT(sig_wait(NULL, 0, CLK_NEVER), 0);
	CHECK_INT(sig_pending(&times), SIGINT);
	CHECK_INT(times, 1);
	CHECK_INT(sig_exit_status(0), 130);
	CHECK_INT(sig_exit_status(1), 130);
}

static void interrupt_twice(void)
{
	int times = 0;
	sig_open();
	for (int i = 1; i <= 2; i++) {
		raise(SIGINT);
		CHECK_INT(sig_wait(NULL, 0, CLK_NEVER), 0);
		CHECK_INT(sig_pending(&times), SIGINT);
		CHECK_INT(times, i);
	}
}

/* While main blocks elsewhere: in at once, and seen in the flag; afterwards held back again. */
static void let_in(void)
{
	int times = 0;
	sig_open();
	CHECK(!atomic_load(sig_flag()));
	sig_let_in(true);
	CHECK_INT(sig_pending(NULL), 0);
	raise(SIGINT);
	CHECK(atomic_load(sig_flag()));
	CHECK_INT(sig_pending(&times), SIGINT);
	CHECK_INT(times, 1);
	sig_let_in(false);
	raise(SIGTERM);
	CHECK_INT(sig_pending(&times), SIGINT);
	CHECK_INT(times, 1);
	CHECK_INT(sig_wait(NULL, 0, CLK_NEVER), 0);
	CHECK_INT(sig_pending(&times), SIGTERM);
	CHECK_INT(times, 2);
}

/* What came while it was held back is let in, too. */
static void let_in_late(void)
{
	sig_open();
	raise(SIGINT);
	CHECK(!atomic_load(sig_flag()));
	sig_let_in(true);
	CHECK(atomic_load(sig_flag()));
}

/* Who does not look is ended by the third: main may sit in a call that cannot be cancelled. */
static void interrupt_thrice(void)
{
	sig_open();
	sig_let_in(true);
	for (int i = 0; i < 3; i++) {
		CHECK(i == 0 || atomic_load(sig_flag()));
		raise(SIGINT);
	}
	exit(1);
}

static void terminate(void)
{
	sig_open();
	raise(SIGTERM);
	CHECK_INT(sig_wait(NULL, 0, CLK_NEVER), 0);
	CHECK_INT(sig_pending(NULL), SIGTERM);
	CHECK_INT(sig_exit_status(0), 143);
}

/* As a shell's background job inherits it, and as a parent that blocks both hands it on. */
static void inherited(void)
{
	sigset_t both;
	sigemptyset(&both);
	sigaddset(&both, SIGINT);
	sigaddset(&both, SIGTERM);
	sigprocmask(SIG_BLOCK, &both, NULL);
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	sig_open();
	int times = 0;
	raise(SIGINT);
	CHECK_INT(sig_wait(NULL, 0, CLK_NEVER), 0);
	CHECK_INT(sig_pending(NULL), SIGINT);
	raise(SIGTERM);
	CHECK_INT(sig_wait(NULL, 0, CLK_NEVER), 0);
	CHECK_INT(sig_pending(&times), SIGTERM);
	CHECK_INT(times, 2);
}

static void gone_peer(void)
{
	int fds[2];
	sig_open();
	CHECK_INT(pipe(fds), 0);
	close(fds[0]);
	CHECK_INT(write(fds[1], "x", 1), -1);
	CHECK_INT(errno, EPIPE);
}

/* --- waiting ----------------------------------------------------------------------------------------------------- */

static void deadline(void)
{
	int fds[2];
	sig_open();
	CHECK_INT(pipe(fds), 0);
	struct pollfd silent = { .fd = fds[0], .events = POLLIN };
	uint64_t deadline_ns = clk_mono_ns() + 20 * NS_PER_MS;
	CHECK_INT(sig_wait(&silent, 1, deadline_ns), 0);
	CHECK(clk_mono_ns() >= deadline_ns);
	CHECK_INT(sig_wait(&silent, 1, 0), 0);
	CHECK_INT(sig_wait(&silent, 1, deadline_ns), 0);
	CHECK_INT(sig_pending(NULL), 0);
}

static void ready_descriptor(void)
{
	int fds[2];
	sig_open();
	CHECK_INT(pipe(fds), 0);
	CHECK_INT(write(fds[1], "x", 1), 1);
	struct pollfd list[] = { { .fd = -1, .events = POLLIN }, { .fd = fds[0], .events = POLLIN } };
	CHECK_INT(sig_wait(list, 2, CLK_NEVER), 1);
	CHECK_INT(list[0].revents, 0);
	CHECK_INT(list[1].revents, POLLIN);
	CHECK_INT(sig_wait(list, 2, 0), 1);
}

static void bad_call(void)
{
	sig_open();
	CHECK_INT(sig_wait(NULL, 1, 0), -1);
	CHECK_INT(errno, EFAULT);
}

static void one_descriptor(void)
{
	int fds[2];
	sig_open();
	CHECK_INT(pipe(fds), 0);
	uint64_t begin_ns = clk_mono_ns();
	CHECK_INT(sig_wait_fd(fds[0], POLLIN, 20 * NS_PER_MS), -1);
	CHECK_INT(errno, ETIMEDOUT);
	CHECK_INT(sig_wait_fd(-1, 0, 20 * NS_PER_MS), -1);
	CHECK_INT(errno, ETIMEDOUT);
	CHECK(clk_mono_ns() - begin_ns >= 40 * NS_PER_MS);
	CHECK_INT(sig_wait_fd(fds[1], POLLOUT, 0), 0);
	CHECK_INT(write(fds[1], "x", 1), 1);
	CHECK_INT(sig_wait_fd(fds[0], POLLIN, CLK_NEVER), 0);
	/* A signal comes first, ready or not; and one that came before is remembered. */
	raise(SIGTERM);
	for (int i = 0; i < 2; i++) {
		CHECK_INT(sig_wait_fd(fds[0], POLLIN, CLK_NEVER), -1);
		CHECK_INT(errno, ECANCELED);
		CHECK_INT(sig_wait_fd(-1, 0, CLK_NEVER), -1);
		CHECK_INT(errno, ECANCELED);
	}
}

static void on_alarm(int number)
{
	(void)number;
}

/* Somebody else's timer: the waiting goes on. */
static void one_descriptor_and_other_signals(void)
{
	struct itimerval ticks = { .it_interval.tv_usec = 2000, .it_value.tv_usec = 2000 };
	int fds[2];
	sig_open();
	signal(SIGALRM, on_alarm);
	CHECK_INT(pipe(fds), 0);
	CHECK_INT(setitimer(ITIMER_REAL, &ticks, NULL), 0);
	uint64_t begin_ns = clk_mono_ns();
	CHECK_INT(sig_wait_fd(fds[0], POLLIN, 30 * NS_PER_MS), -1);
	CHECK_INT(errno, ETIMEDOUT);
	CHECK(clk_mono_ns() - begin_ns >= 30 * NS_PER_MS);
	CHECK_INT(setitimer(ITIMER_REAL, &(struct itimerval){ 0 }, NULL), 0);
}

/* A busy server always has a descriptor that is ready: Ctrl-C must end it all the same. */
static void signal_beside_ready_descriptor(void)
{
	int fds[2];
	sig_open();
	CHECK_INT(pipe(fds), 0);
	CHECK_INT(write(fds[1], "x", 1), 1);
	raise(SIGINT);
	for (int i = 0; i < 3; i++) {
		struct pollfd ready = { .fd = fds[0], .events = POLLIN };
		CHECK(sig_wait(&ready, 1, CLK_NEVER) >= 0);
	}
	CHECK_INT(sig_pending(NULL), SIGINT);
}

/* --- by a descriptor --------------------------------------------------------------------------------------------- */

static bool is_readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	return poll(&p, 1, 0) == 1;
}

static int open_fd(void)
{
	int fd = sig_open_fd();
	CHECK(fd >= 0);
	CHECK_INT(fcntl(fd, F_GETFD), FD_CLOEXEC);
	CHECK(fcntl(fd, F_GETFL) & O_NONBLOCK);
	CHECK(!is_readable(fd));
	CHECK_INT(sig_take(fd), 0);
	return fd;
}

/* Readable while one waits; counted when it is taken, as if it had come in at sig_wait. */
static void by_descriptor(void)
{
	int times = -1;
	sig_open();
	int fd = open_fd();
	CHECK_INT(sig_pending(NULL), 0);
	raise(SIGINT);
	CHECK(is_readable(fd));
	CHECK_INT(sig_pending(&times), 0);
	CHECK(!atomic_load(sig_flag()));
	CHECK_INT(sig_take(fd), SIGINT);
	CHECK(!is_readable(fd));
	CHECK_INT(sig_take(fd), 0);
	CHECK_INT(sig_pending(&times), SIGINT);
	CHECK_INT(times, 1);
	CHECK(atomic_load(sig_flag()));
	raise(SIGTERM);
	CHECK_INT(sig_take(fd), SIGTERM);
	CHECK_INT(sig_pending(&times), SIGTERM);
	CHECK_INT(times, 2);
	CHECK_INT(sig_exit_status(0), 143);
	close(fd);
}

/* What waits before the descriptor is opened, both at once, and a signal that is none of ours. */
static void by_descriptor_late(void)
{
	sig_open();
	raise(SIGTERM);
	raise(SIGINT);
	int fd = sig_open_fd();
	CHECK(is_readable(fd));
	int first = sig_take(fd), second = sig_take(fd);
	CHECK_INT(first + second, SIGINT + SIGTERM);
	CHECK(first != second);
	sigset_t other;
	sigemptyset(&other);
	sigaddset(&other, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &other, NULL);
	raise(SIGUSR1);
	CHECK(!is_readable(fd));
	CHECK_INT(sig_take(fd), 0);
	close(fd);
}

/* Each signal comes in once, be it here or there: who mixes the two ways loses none. */
static void by_both_ways(void)
{
	int times = 0;
	sig_open();
	int fd = open_fd();
	raise(SIGINT);
	CHECK_INT(sig_wait(NULL, 0, CLK_NEVER), 0);
	CHECK_INT(sig_pending(&times), SIGINT);
	CHECK_INT(times, 1);
	CHECK(!is_readable(fd));
	CHECK_INT(sig_take(fd), 0);
	raise(SIGINT);
	CHECK_INT(sig_take(fd), SIGINT);
	CHECK_INT(sig_wait(NULL, 0, 0), 0);
	CHECK_INT(sig_pending(&times), SIGINT);
	CHECK_INT(times, 2);
	close(fd);
}

/* Whoever takes them and goes on all the same is ended by the third. */
static void take_three(void)
{
	sig_open();
	int fd = open_fd();
	for (int i = 0; i < 3; i++) {
		CHECK_INT(sig_pending(NULL), i > 0 ? SIGTERM : 0);
		raise(SIGTERM);
		if (sig_take(fd) == 0)
			exit(2);
	}
	exit(1);
}

static void no_descriptor(void)
{
	sig_open();
	struct rlimit none = { 0, 0 };
	setrlimit(RLIMIT_NOFILE, &none);
	CHECK_INT(sig_open_fd(), -1);
	CHECK_INT(errno, EMFILE);
	CHECK_INT(sig_take(-1), 0);
}

/* --- other processes, other threads ------------------------------------------------------------------------------ */

static void wait_for_parent(int ready_fd)
{
	alarm(CHILD_PATIENCE_S);
	sig_open();
	if (write(ready_fd, "x", 1) != 1)
		_exit(1);
	while (sig_pending(NULL) == 0)
		if (sig_wait(NULL, 0, CLK_NEVER) < 0)
			_exit(2);
	_exit(sig_exit_status(0));
}

/* The signal finds the child before, in, or on its way into sig_wait: none of these loses it. */
static void test_from_another_process(void)
{
	for (int i = 0; i < 50; i++) {
		int fds[2], status = 0;
		char byte;
		if (!CHECK_INT(pipe(fds), 0))
			return;
		fflush(NULL);
		pid_t pid = fork();
		if (pid == 0)
			wait_for_parent(fds[1]);
		CHECK_INT(read(fds[0], &byte, 1), 1);
		kill(pid, i % 2 == 0 ? SIGINT : SIGTERM);
		waitpid(pid, &status, 0);
		CHECK(WIFEXITED(status));
		CHECK_INT(WEXITSTATUS(status), i % 2 == 0 ? 130 : 143);
		close(fds[0]);
		close(fds[1]);
	}
}

static void *look_at_mask(void *both_blocked)
{
	sigset_t mask;
	pthread_sigmask(SIG_BLOCK, NULL, &mask);
	*(bool *)both_blocked = sigismember(&mask, SIGINT) == 1 && sigismember(&mask, SIGTERM) == 1;
	return NULL;
}

static void threads_have_them_blocked(void)
{
	pthread_t thread;
	bool both_blocked = false;
	sig_open();
	if (CHECK_INT(pthread_create(&thread, NULL, look_at_mask, &both_blocked), 0))
		pthread_join(thread, NULL);
	CHECK(both_blocked);
}

int main(void)
{
	CHECK_INT(in_child(nothing_came), 0);
	CHECK_INT(in_child(interrupt), 0);
	CHECK_INT(in_child(interrupt_twice), 0);
	CHECK_INT(in_child(interrupt_thrice), 130);
	CHECK_INT(in_child(let_in), 0);
	CHECK_INT(in_child(let_in_late), 0);
	CHECK_INT(in_child(terminate), 0);
	CHECK_INT(in_child(inherited), 0);
	CHECK_INT(in_child(gone_peer), 0);
	CHECK_INT(in_child(deadline), 0);
	CHECK_INT(in_child(ready_descriptor), 0);
	CHECK_INT(in_child(one_descriptor), 0);
	CHECK_INT(in_child(one_descriptor_and_other_signals), 0);
	CHECK_INT(in_child(bad_call), 0);
	CHECK_INT(in_child(signal_beside_ready_descriptor), 0);
	CHECK_INT(in_child(by_descriptor), 0);
	CHECK_INT(in_child(by_descriptor_late), 0);
	CHECK_INT(in_child(by_both_ways), 0);
	CHECK_INT(in_child(take_three), 143);
	CHECK_INT(in_child(no_descriptor), 0);
	test_from_another_process();
	CHECK_INT(in_child(threads_have_them_blocked), 0);
	return check_done();
}
