/* reactor_epoll_test.c - what is true of epoll alone: regular files are refused, a set that a duplicate descriptor has
 * left behind is noticed, a batch has its limit, and a kernel without epoll_pwait2 (before 5.11) still wakes nobody
 * early. */
#include "reactor_backend.h"

#include "child.h"
#include "clock.h"
#include "loop_kit.h"

#include <sys/syscall.h>
#include <sys/timerfd.h>

enum { READING = BACKEND_PRESENT | WATCH_READ, MAX = 1000 };
static struct ready ready[MAX];

static void test_regular_file(void *set)
{
	FILE *file = tmpfile();
	if (!CHECK(file != NULL))
		return;
	CHECK_INT(reactor_epoll.update(set, fileno(file), 1, 0, READING), -1);
	CHECK_INT(errno, EPERM);
	fclose(file);
}

/* Why watch_stop comes before close (epoll(7), question 6): what was duplicated stays in the set, and goes on being
 * reported under the number that it had. The generation is what tells the old one from the new. */
static void test_closed_too_early(void *set)
{
	int old[2], new[2];
	open_pair(old);
	CHECK_INT(reactor_epoll.update(set, old[0], 1, 0, READING), 0);
	int copy = dup(old[0]);
	close(old[0]);
	feed(old[1]);
	open_pair(new);
	CHECK_INT(new[0], old[0]);
	CHECK_INT(reactor_epoll.update(set, new[0], 2, 0, READING), 0);
	CHECK_INT(reactor_epoll.wait(set, ready, MAX, 0), 1);
	CHECK_INT(ready[0].fd, new[0]);
	CHECK_INT(ready[0].gen, 1);
	CHECK_INT(reactor_epoll.update(set, new[0], 2, READING, 0), 0);
	close(copy); /* the last one: now it is gone */
	CHECK_INT(reactor_epoll.wait(set, ready, MAX, 0), 0);
	close(old[1]);
	close(new[0]);
	close(new[1]);
}

static void test_already_there(void *set)
{
	int fd[2];
	open_pair(fd);
	CHECK_INT(reactor_epoll.update(set, fd[0], 1, 0, READING), 0);
	CHECK_INT(reactor_epoll.update(set, fd[0], 2, 0, READING), -1);
	CHECK_INT(errno, EEXIST);
	CHECK_INT(reactor_epoll.update(set, fd[1], 1, READING, 0), -1);
	CHECK_INT(errno, ENOENT);
	close(fd[0]);
	close(fd[1]);
}

/* More ready than the backend takes in one call, and more room than that: no more than fits. */
static void test_batch(void *set)
{
	enum { PAIRS = 200 };
	int fd[PAIRS][2];
	for (int i = 0; i < PAIRS; i++) {
		open_pair(fd[i]);
		for (int end = 0; end < 2; end++)
			CHECK_INT(reactor_epoll.update(set, fd[i][end], 1, 0, BACKEND_PRESENT | WATCH_WRITE), 0);
	}
	int n = reactor_epoll.wait(set, ready, MAX, 0);
	CHECK(n > 0 && n <= 2 * PAIRS);
	CHECK_INT(reactor_epoll.wait(set, ready, 10, 0), 10);
	for (int i = 0; i < PAIRS; i++) {
		close(fd[i][0]);
		close(fd[i][1]);
	}
}

static bool is_inherited(int fd)
{
	return fcntl(fd, F_GETFD) == 0;
}

/* The set itself must not leak into programs that are run: it would be shared with them. */
static void test_close_on_exec(void *set)
{
	(void)set;
	int next = dup(STDIN_FILENO);
	close(next);
	void *other = reactor_epoll.open();
	CHECK(other != NULL);
	CHECK(!is_inherited(next));
	reactor_epoll.close(other);
	CHECK_INT(fcntl(next, F_GETFD), -1);
}

/* --- without epoll_pwait2 ---------------------------------------------------------------------------------------- */

/* In whole milliseconds, and rounded up: never early, and no round for nothing. */
static void wait_in_milliseconds(unsigned error)
{
	static const uint64_t delays_ns[] = { 1, NS_PER_MS - 1, NS_PER_MS, NS_PER_MS + 1, 2500 * NS_PER_US };
	if (!child_forbid(SYS_epoll_pwait2, error))
		return;
	CHECK_INT(syscall(SYS_epoll_pwait2, -1, NULL, 0, NULL, NULL, 0), -1);
	CHECK_INT(errno, error);
	struct reactor *r = loop_new("epoll", "heap");
	for (size_t i = 0; i < COUNT_OF(delays_ns); i++) {
		struct actor a = actor_new(r, 'a', NULL);
		uint64_t due_ns = clk_mono_ns() + delays_ns[i], rounds = reactor_stats(r)->rounds;
		actor_start_timer(&a, due_ns);
		loop_run(r);
		CHECK_INT(a.times, 1);
		CHECK(clk_mono_ns() >= due_ns);
		CHECK(reactor_stats(r)->rounds - rounds <= 2);
	}
	reactor_free(r);
}

/* More milliseconds than an int can hold: it sleeps until the event, and not for what is left of them modulo 2^32. */
static void wait_for_weeks(void)
{
	static const uint64_t delays_ms[] = { UINT64_C(1) << 31, UINT64_C(1) << 32, UINT64_C(1) << 43 };
	struct reactor *r = loop_new("epoll", "heap");
	for (size_t i = 0; i < COUNT_OF(delays_ms); i++) {
		struct actor event = actor_new(r, 'e', stop_loop), far = actor_new(r, 'f', NULL);
		uint64_t rounds = reactor_stats(r)->rounds;
		event.fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
		CHECK_INT(timerfd_settime(event.fd, 0, &(struct itimerspec){ .it_value.tv_nsec = 3 * NS_PER_MS }, NULL),
			  0);
		actor_watch(&event, WATCH_READ);
		actor_start_timer(&far, clk_mono_ns() + delays_ms[i] * NS_PER_MS);
		loop_run(r);
		CHECK_INT(event.times, 1);
		CHECK_INT(reactor_stats(r)->rounds - rounds, 1);
		reactor_timer_stop(r, &far.timer);
		actor_shut(&event);
	}
	reactor_free(r);
}

/* A kernel before 5.11. */
static void old_kernel(void)
{
	wait_in_milliseconds(ENOSYS);
	wait_for_weeks();
}

/* A container whose filter was written before 5.11, and refuses what it does not know. */
static void old_container(void)
{
	wait_in_milliseconds(EPERM);
}

int main(void)
{
	static void (*const tests[])(void *set) = { test_regular_file, test_closed_too_early, test_already_there,
						    test_batch, test_close_on_exec };
	alarm(60);
	for (size_t i = 0; i < COUNT_OF(tests); i++) {
		void *set = reactor_epoll.open();
		if (!CHECK(set != NULL))
			break;
		tests[i](set);
		reactor_epoll.close(set);
	}
	CHECK_INT(in_child(old_kernel), 0);
	CHECK_INT(in_child(old_container), 0);
	return check_done();
}
