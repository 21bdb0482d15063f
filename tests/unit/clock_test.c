/* clock_test.c - the clocks go forward, and a sleep never ends before its deadline: not by a signal, not by a deadline
 * that never comes. How much later it ends is the machine's business and is not asked. */
#include "clock.h"

#include "check.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void on_alarm(int number)
{
	(void)number;
}

/* SIGALRM every 2 ms until stop_alarms. */
static void start_alarms(void)
{
	struct sigaction action = { .sa_handler = on_alarm };
	struct itimerval every = { .it_interval.tv_usec = 2000, .it_value.tv_usec = 2000 };
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &every, NULL);
}

static void stop_alarms(void)
{
	setitimer(ITIMER_REAL, &(struct itimerval){ 0 }, NULL);
}

/* As of the last tick: never ahead, and not far behind. A tick is 10 ms at most; a second is for a machine that stands still. */
static void test_coarse(void)
{
	uint64_t coarse_ns = clk_mono_coarse_ns(), fine_ns = clk_mono_ns();
	CHECK(coarse_ns > 0 && coarse_ns <= fine_ns && fine_ns - coarse_ns < NS_PER_S);
}

static void test_mono(void)
{
	uint64_t last = clk_mono_ns(), first = last;
	CHECK(last > 0);
	for (int i = 0; i < 100000; i++) {
		uint64_t now = clk_mono_ns();
		if (!CHECK(now >= last))
			return;
		last = now;
	}
	CHECK(last > first);
}

/* It is CLOCK_MONOTONIC in nanoseconds, not another clock or another unit. */
static void test_mono_is_that_clock(void)
{
	struct timespec before, after;
	clock_gettime(CLOCK_MONOTONIC, &before);
	uint64_t now = clk_mono_ns();
	clock_gettime(CLOCK_MONOTONIC, &after);
	CHECK(now >= (uint64_t)before.tv_sec * 1000000000 + (uint64_t)before.tv_nsec);
	CHECK(now <= (uint64_t)after.tv_sec * 1000000000 + (uint64_t)after.tv_nsec);
}

/* LIMIT: fails if somebody sets the clock between these lines. */
static void test_real(void)
{
	struct timespec before, after;
	clock_gettime(CLOCK_REALTIME, &before);
	int64_t now = clk_real_ns();
	clock_gettime(CLOCK_REALTIME, &after);
	CHECK(now >= (int64_t)before.tv_sec * 1000000000 + before.tv_nsec);
	CHECK(now <= (int64_t)after.tv_sec * 1000000000 + after.tv_nsec);
}

static void test_sleep(void)
{
	uint64_t deadline_ns = clk_mono_ns();
	for (int i = 0; i < 5; i++) {
		deadline_ns += 3 * NS_PER_MS;
		clk_sleep_until_ns(deadline_ns);
		CHECK(clk_mono_ns() >= deadline_ns);
	}
}

/* These end at once: a hanging test is the failure. */
static void test_past_deadlines(void)
{
	clk_sleep_until_ns(0);
	clk_sleep_until_ns(1);
	clk_sleep_until_ns(clk_mono_ns());
	CHECK(1);
}

static void test_sleep_goes_on_after_a_signal(void)
{
	start_alarms();
	uint64_t deadline_ns = clk_mono_ns() + 30 * NS_PER_MS;
	clk_sleep_until_ns(deadline_ns);
	CHECK(clk_mono_ns() >= deadline_ns);
	stop_alarms();
}

/* A child that sleeps for ever through its signals: for a while nothing is heard of it, and only SIGKILL ends it. */
static void test_never(void)
{
	int pipe_fds[2], status = 0;
	if (!CHECK_INT(pipe(pipe_fds), 0))
		return;
	fflush(NULL);
	pid_t pid = fork();
	if (pid == 0) {
		start_alarms();
		clk_sleep_until_ns(CLK_NEVER);
		_exit(1);
	}
	close(pipe_fds[1]);
	struct pollfd end_of_child = { .fd = pipe_fds[0], .events = POLLIN };
	CHECK_INT(poll(&end_of_child, 1, 50), 0);
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	close(pipe_fds[0]);
}

int main(void)
{
	test_mono();
	test_coarse();
	test_mono_is_that_clock();
	test_real();
	test_sleep();
	test_past_deadlines();
	test_sleep_goes_on_after_a_signal();
	test_never();
	return check_done();
}
