/* diag_test.c - what stands on stderr, byte for byte, and that errno is untouched. stderr is a datagram socket while a
 * message is made: each write(2) is one datagram, so a line in two pieces would be seen. */
#include "diag.h"

#include "check.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LINE_LIMIT = 1023, THREADS = 4, LINES = 100 };

static char said[4096]; /* all datagrams, one behind the other */
static int pieces;      /* how many there were */
static int errno_after;

/* Calls body with its stderr in our hands. */
static void listen_to(void (*body)(void))
{
	int pair[2], real = dup(STDERR_FILENO);
	if (socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) < 0 || dup2(pair[1], STDERR_FILENO) < 0)
		abort();
	body();
	errno_after = errno;
	dup2(real, STDERR_FILENO);
	size_t len = 0;
	ssize_t n;
	for (pieces = 0; (n = recv(pair[0], said + len, sizeof(said) - 1 - len, MSG_DONTWAIT)) >= 0; pieces++)
		len += (size_t)n;
	said[len] = '\0';
	close(pair[0]);
	close(pair[1]);
	close(real);
}

static void say_plain(void)
{
	errno = ECONNREFUSED;
	warnf("%s %d", "one", 2);
}

static void say_errno(void)
{
	errno = ECONNREFUSED;
	warnf_errno("connect %s", "there");
}

static void say_unknown_errno(void)
{
	errno = 4000;
	warnf_errno("odd");
}

static void say_empty(void)
{
	warnf("%s", "");
}

static void test_lines(void)
{
	listen_to(say_plain);
	CHECK_STR(said, "diagtest: one 2\n");
	CHECK_INT(pieces, 1);
	CHECK_INT(errno_after, ECONNREFUSED);
	listen_to(say_errno);
	CHECK_STR(said, "diagtest: connect there: Connection refused (ECONNREFUSED)\n");
	CHECK_INT(pieces, 1);
	CHECK_INT(errno_after, ECONNREFUSED);
	listen_to(say_unknown_errno);
	CHECK(strstr(said, "diagtest: odd: ") == said && strstr(said, " (E?)\n") != NULL);
	CHECK_INT(errno_after, 4000);
	listen_to(say_empty);
	CHECK_STR(said, "diagtest: \n");
}

static void trace_something(void)
{
	errno = EINTR;
	tracef("send(%d) = %d", 3, 4);
}

static void test_trace(void)
{
	diag_trace = false;
	listen_to(trace_something);
	CHECK_INT(pieces, 0);
	CHECK_INT(errno_after, EINTR);
	diag_trace = true;
	listen_to(trace_something);
	CHECK_STR(said, "diagtest: [trace] send(3) = 4\n");
	CHECK_INT(pieces, 1);
	CHECK_INT(errno_after, EINTR);
	diag_trace = false;
}

/* --- too long ---------------------------------------------------------------------------------------------------- */

static char text[5000];

static void say_text(void)
{
	errno = EPIPE;
	warnf("%s", text);
}

static void say_text_errno(void)
{
	errno = EPIPE;
	warnf_errno("%s", text);
}

/* "diagtest: " is ten bytes: lines of every length around the limit, each with exactly one newline, at its end. */
static void test_long_lines(void)
{
	for (size_t len = LINE_LIMIT - 60; len < LINE_LIMIT + 60; len++) {
		memset(text, 'x', len);
		text[len] = '\0';
		size_t want = 10 + len + 1 < LINE_LIMIT ? 10 + len + 1 : LINE_LIMIT;
		listen_to(say_text);
		if (!CHECK_INT(strlen(said), want) || !CHECK_INT(strcspn(said, "\n"), want - 1) ||
		    !CHECK_INT(pieces, 1))
			return;
		listen_to(say_text_errno);
		if (!CHECK(strlen(said) <= LINE_LIMIT) || !CHECK_INT(strcspn(said, "\n"), strlen(said) - 1) ||
		    !CHECK_INT(pieces, 1) || !CHECK_INT(errno_after, EPIPE))
			return;
	}
	memset(text, 'y', sizeof(text) - 1);
	listen_to(say_text_errno);
	CHECK_INT(strlen(said), LINE_LIMIT);
}

static void test_long_tool_name(void)
{
	const char *name = diag_tool;
	static char long_name[3000];
	memset(long_name, 'n', sizeof(long_name) - 1);
	strcpy(text, "hello");
	diag_tool = long_name;
	listen_to(say_text);
	diag_tool = name;
	CHECK(strlen(said) <= LINE_LIMIT);
	CHECK_INT(said[strlen(said) - 1], '\n');
}

/* --- the end of the process --------------------------------------------------------------------------------------- */

static int status_of(void (*body)(void))
{
	int status = 0;
	fflush(NULL);
	pid_t pid = fork();
	if (pid == 0) {
		body();
		_exit(77);
	}
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int status_seen;

static void die_plainly(void)
{
	die("gone: %d", 5);
}

static void die_with_errno(void)
{
	errno = EADDRINUSE;
	die_errno("bind %s", "it");
}

static void run_die(void)
{
	status_seen = status_of(die_plainly);
}

static void run_die_errno(void)
{
	status_seen = status_of(die_with_errno);
}

static void test_die(void)
{
	listen_to(run_die);
	CHECK_STR(said, "diagtest: gone: 5\n");
	CHECK_INT(status_seen, 1);
	listen_to(run_die_errno);
	CHECK(strstr(said, "diagtest: bind it: ") == said && strstr(said, " (EADDRINUSE)\n") != NULL);
	CHECK_INT(status_seen, 1);
}

/* Without a stderr the message is lost, but neither errno nor the program. */
static void speak_into_nothing(void)
{
	close(STDERR_FILENO);
	errno = EAGAIN;
	warnf("nobody hears this");
	if (errno != EAGAIN)
		_exit(1);
	warnf_errno("nor this");
	_exit(errno == EAGAIN ? 0 : 2);
}

/* --- threads ------------------------------------------------------------------------------------------------------ */

static void *speaker(void *name)
{
	for (int i = 0; i < LINES; i++)
		warnf("%s%s%s", (char *)name, (char *)name, (char *)name);
	return NULL;
}

static void speak_together(void)
{
	static char names[THREADS][2] = { "a", "b", "c", "d" };
	pthread_t threads[THREADS];
	for (int i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, speaker, names[i]);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
}

/* Into a pipe, which holds them all: each line is of one thread. */
static void test_threads_do_not_mix(void)
{
	static char all[THREADS * LINES * 14 + 1];
	int pipe_fds[2], real = dup(STDERR_FILENO);
	if (!CHECK_INT(pipe(pipe_fds), 0))
		return;
	dup2(pipe_fds[1], STDERR_FILENO);
	speak_together();
	dup2(real, STDERR_FILENO);
	close(real);
	close(pipe_fds[1]);
	ssize_t n = 0;
	for (ssize_t more = 1; more > 0; n += more)
		more = read(pipe_fds[0], all + n, sizeof(all) - 1 - (size_t)n);
	close(pipe_fds[0]);
	CHECK_INT(n, sizeof(all) - 1);
	for (const char *line = all; *line != '\0'; line += 14)
		if (!CHECK(strncmp(line, "diagtest: ", 10) == 0) || !CHECK(line[10] == line[11]) ||
		    !CHECK(line[11] == line[12]) || !CHECK_INT(line[13], '\n'))
			return;
}

/* --- errno_name --------------------------------------------------------------------------------------------------- */

static void test_errno_names(void)
{
	CHECK_STR(errno_name(EAGAIN), "EAGAIN");
	CHECK_STR(errno_name(EWOULDBLOCK), "EAGAIN");
	CHECK_STR(errno_name(ECONNREFUSED), "ECONNREFUSED");
	CHECK_STR(errno_name(ETIMEDOUT), "ETIMEDOUT");
	CHECK_STR(errno_name(EPROTO), "EPROTO");
	CHECK_STR(errno_name(0), "E?");
	CHECK_STR(errno_name(-1), "E?");
	CHECK_STR(errno_name(100000), "E?");
#ifdef __GLIBC__
	for (int error = 1; error < 134; error++) {
		const char *theirs = strerrorname_np(error), *ours = errno_name(error);
		if (theirs != NULL && strcmp(ours, "E?") != 0 && error != EOPNOTSUPP)
			CHECK_STR(ours, theirs);
	}
#endif
}

int main(void)
{
	diag_tool = "diagtest";
	test_lines();
	test_trace();
	test_long_lines();
	test_long_tool_name();
	test_die();
	CHECK_INT(status_of(speak_into_nothing), 0);
	test_threads_do_not_mix();
	test_errno_names();
	return check_done();
}
