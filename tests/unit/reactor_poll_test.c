/* reactor_poll_test.c - what is true of poll alone: numbers of any height in any order, a set that shrinks and grows,
 * regular files, and a descriptor that was closed behind its back. */
#include "reactor_backend.h"

#include "loop_kit.h"

enum { READING = BACKEND_PRESENT | WATCH_READ, WRITING = BACKEND_PRESENT | WATCH_WRITE, MAX = 1000 };
static struct ready ready[MAX];

/* High before low, with nothing in between: the table of places has holes. */
static void test_any_number(void *set)
{
	static const int numbers[] = { 700, 5, 300, 999, 6, 64, 63, 65 };
	int fd[2], at[COUNT_OF(numbers)];
	open_pair(fd);
	for (size_t i = 0; i < COUNT_OF(numbers); i++) {
		at[i] = fcntl(fd[0], F_DUPFD_CLOEXEC, numbers[i]);
		CHECK_INT(reactor_poll.update(set, at[i], (uint32_t)i, 0, WRITING), 0);
	}
	CHECK_INT(reactor_poll.wait(set, ready, MAX, 0), COUNT_OF(numbers));
	for (size_t i = 0; i < COUNT_OF(numbers); i++) {
		CHECK_INT(ready[i].fd, at[ready[i].gen]);
		CHECK_INT(reactor_poll.update(set, at[i], (uint32_t)i, WRITING, 0), 0);
		close(at[i]);
	}
	CHECK_INT(reactor_poll.wait(set, ready, MAX, 0), 0);
	close(fd[0]);
	close(fd[1]);
}

/* Full, empty, full again; where it went on to look is no place any more. */
static void test_shrinks_and_grows(void *set)
{
	enum { PAIRS = 100 };
	int fd[2 * PAIRS];
	for (int i = 0; i < PAIRS; i++)
		open_pair(&fd[2 * i]);
	for (int turn = 0; turn < 3; turn++) {
		for (int i = 0; i < 2 * PAIRS; i++)
			CHECK_INT(reactor_poll.update(set, fd[i], (uint32_t)i, 0, WRITING), 0);
		CHECK_INT(reactor_poll.wait(set, ready, 2 * PAIRS - 1, 0), 2 * PAIRS - 1);
		for (int i = 2; i < 2 * PAIRS; i++)
			CHECK_INT(reactor_poll.update(set, fd[i], (uint32_t)i, WRITING, 0), 0);
		CHECK_INT(reactor_poll.wait(set, ready, MAX, 0), 2);
		for (int i = 0; i < 2; i++)
			CHECK_INT(reactor_poll.update(set, fd[i], (uint32_t)i, WRITING, 0), 0);
		CHECK_INT(reactor_poll.wait(set, ready, MAX, 0), 0);
	}
	for (int i = 0; i < 2 * PAIRS; i++)
		close(fd[i]);
}

static void test_regular_file(void *set)
{
	FILE *file = tmpfile();
	if (!CHECK(file != NULL))
		return;
	CHECK_INT(reactor_poll.update(set, fileno(file), 1, 0, READING), 0);
	CHECK_INT(reactor_poll.wait(set, ready, MAX, CLK_NEVER), 1);
	CHECK_INT(ready[0].events, WATCH_READ);
	CHECK_INT(reactor_poll.update(set, fileno(file), 1, READING, 0), 0);
	fclose(file);
}

/* Closed without a word: an error (POLLNVAL, poll(2)), so that somebody looks. */
static void test_closed_behind_its_back(void *set)
{
	int fd[2];
	open_pair(fd);
	CHECK_INT(reactor_poll.update(set, fd[0], 1, 0, READING), 0);
	close(fd[0]);
	CHECK_INT(reactor_poll.wait(set, ready, MAX, CLK_NEVER), 1);
	CHECK_INT(ready[0].events, WATCH_ERR);
	CHECK_INT(reactor_poll.update(set, fd[0], 1, READING, 0), 0);
	CHECK_INT(reactor_poll.wait(set, ready, MAX, 0), 0);
	close(fd[1]);
}

int main(void)
{
	static void (*const tests[])(void *set) = { test_any_number, test_shrinks_and_grows, test_regular_file,
						    test_closed_behind_its_back };
	alarm(60);
	for (size_t i = 0; i < COUNT_OF(tests); i++) {
		void *set = reactor_poll.open();
		tests[i](set);
		reactor_poll.close(set);
	}
	return check_done();
}
