/* reactor_select_test.c - what is true of select alone: the last descriptor it can hold, no names for errors, and the
 * probe that sees a reset for those who want nothing else. */
#include "reactor_backend.h"

#include "loop_kit.h"

#include <sys/select.h>

enum { READING = BACKEND_PRESENT | WATCH_READ, WRITING = BACKEND_PRESENT | WATCH_WRITE, MAX = 1000 };
static struct ready ready[MAX];

static void update(void *set, int fd, unsigned was, unsigned is)
{
	CHECK_INT(reactor_select.update(set, fd, 1, was, is), 0);
}

/* All bits are used, and none behind them. */
static void test_last_number(void *set)
{
	int fd[2];
	open_pair(fd);
	int last = fcntl(fd[0], F_DUPFD_CLOEXEC, FD_SETSIZE - 1);
	if (!CHECK_INT(last, FD_SETSIZE - 1))
		return;
	update(set, last, 0, WRITING);
	update(set, fd[0], 0, WRITING);
	CHECK_INT(reactor_select.wait(set, ready, MAX, CLK_NEVER), 2);
	CHECK_INT(ready[0].fd + ready[1].fd, fd[0] + last);
	update(set, last, WRITING, 0);
	CHECK_INT(reactor_select.wait(set, ready, MAX, CLK_NEVER), 1);
	CHECK_INT(ready[0].fd, fd[0]);
	close(last);
	close(fd[0]);
	close(fd[1]);
}

/* The wait for ever is a wait until the next probe as long as somebody wants errors only. */
static void test_wait_with_probe(void *set)
{
	int fd[2];
	open_pair(fd);
	update(set, fd[0], 0, BACKEND_PRESENT);
	CHECK_INT(reactor_select.wait(set, ready, MAX, CLK_NEVER), 0);
	uint64_t begin_ns = clk_mono_ns();
	CHECK_INT(reactor_select.wait(set, ready, MAX, NS_PER_MS), 0); /* a shorter one stays as it is */
	CHECK(clk_mono_ns() - begin_ns >= NS_PER_MS);
	update(set, fd[0], BACKEND_PRESENT, READING);
	update(set, fd[0], READING, BACKEND_PRESENT);
	close(fd[1]);
	CHECK_INT(reactor_select.wait(set, ready, MAX, CLK_NEVER), 1);
	CHECK_INT(ready[0].events, WATCH_HUP);
	update(set, fd[0], BACKEND_PRESENT, 0);
	begin_ns = clk_mono_ns(); /* nobody is left to look at: longer than the 100 ms between two probes */
	CHECK_INT(reactor_select.wait(set, ready, MAX, 150 * NS_PER_MS), 0);
	CHECK(clk_mono_ns() - begin_ns >= 150 * NS_PER_MS);
	close(fd[0]);
}

/* Who stands ready is not kept waiting by those who only want errors, and they are looked at all the same. */
static void test_probe_beside_events(void *set)
{
	int quiet[2], busy[2];
	open_pair(quiet);
	open_pair(busy);
	update(set, quiet[0], 0, BACKEND_PRESENT);
	update(set, busy[0], 0, WRITING);
	CHECK_INT(reactor_select.wait(set, ready, MAX, CLK_NEVER), 1);
	CHECK_INT(ready[0].fd, busy[0]);
	close(quiet[1]);
	CHECK_INT(reactor_select.wait(set, ready, MAX, CLK_NEVER), 2);
	close(quiet[0]);
	close(busy[0]);
	close(busy[1]);
}

/* A reset is an error to poll; to select it is something to read, or room to write. */
static void test_reset(void *set)
{
	static const unsigned wants[] = { WATCH_READ, WATCH_WRITE, WATCH_READ | WATCH_WRITE };
	for (size_t i = 0; i < COUNT_OF(wants); i++) {
		int fd[2];
		open_tcp_pair(fd);
		sock_abort(fd[1]);
		CHECK_INT(poll(&(struct pollfd){ .fd = fd[0] }, 1, -1), 1);
		update(set, fd[0], 0, BACKEND_PRESENT | wants[i]);
		CHECK_INT(reactor_select.wait(set, ready, MAX, CLK_NEVER), 1);
		CHECK_INT(ready[0].events, wants[i]);
		update(set, fd[0], BACKEND_PRESENT | wants[i], 0);
		close(fd[0]);
	}
}

/* Closed without a word: no wait is possible any more, and the loop ends with the reason (select(2): EBADF). */
static void test_closed_behind_its_back(void *set)
{
	struct reactor *r = loop_new("select", NULL);
	struct actor a = actor_new(r, 'a', NULL);
	(void)set;
	actor_watch(&a, WATCH_READ);
	close(a.fd);
	CHECK_INT(reactor_run(r), -1);
	CHECK_INT(errno, EBADF);
	watch_stop(&a.watch);
	a.fd = -1;
	actor_shut(&a);
	reactor_free(r);
}

int main(void)
{
	static void (*const tests[])(void *set) = { test_last_number, test_wait_with_probe, test_probe_beside_events,
						    test_reset, test_closed_behind_its_back };
	alarm(60);
	for (size_t i = 0; i < COUNT_OF(tests); i++) {
		void *set = reactor_select.open();
		tests[i](set);
		reactor_select.close(set);
	}
	return check_done();
}
