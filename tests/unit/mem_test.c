/* mem_test.c - what comes back is usable; what cannot be had ends the process with a line that names the size. */
#include "mem.h"

#include "check.h"
#include "diag.h"

#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* A sanitizer's allocator ends the process by itself unless it is told to return NULL as the real one does. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "allocator_may_return_null=1";
}

const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
	return "allocator_may_return_null=1";
}

static void test_memory_is_ours(void)
{
	unsigned char *p = xmalloc(1000);
	memset(p, 0x77, 1000);
	p = xrealloc(p, 100000);
	for (size_t i = 0; i < 1000; i++)
		if (!CHECK_INT(p[i], 0x77))
			break;
	memset(p, 0x78, 100000);
	free(p);
}

static void test_calloc_is_zero(void)
{
	static const unsigned char zeros[3000];
	for (int i = 0; i < 100; i++) {
		unsigned char *p = xcalloc(1000, 3);
		CHECK_INT(memcmp(p, zeros, 3000), 0);
		memset(p, 0xff, 3000);
		free(p);
	}
}

static void test_strdup(void)
{
	const char *text = "a copy";
	char *copy = xstrdup(text);
	CHECK(copy != text);
	CHECK_STR(copy, "a copy");
	free(copy);
	copy = xstrdup("");
	CHECK_STR(copy, "");
	free(copy);
}

/* Nothing wanted is nothing missing, whether the C library gives NULL for it or not. */
static void test_zero_is_no_failure(void)
{
	free(xmalloc(0));
	free(xcalloc(0, 8));
	free(xcalloc(8, 0));
	free(xcalloc(0, 0));
	free(xrealloc(NULL, 0));
	free(xrealloc(NULL, 10));
}

/* --- out of memory ----------------------------------------------------------------------------------------------- */

/* WHY volatile: a compiler that can see the size refuses to build this. */
static volatile size_t huge = SIZE_MAX / 2;

static void too_much_malloc(void)
{
	free(xmalloc(huge));
}

static void too_much_calloc(void)
{
	free(xcalloc(1, huge));
}

/* The product is 2 when it wraps around: an unchecked one would get its two bytes. */
static void overflowing_calloc(void)
{
	free(xcalloc(huge + 2, 2));
}

/* Here it is 0: neither nothing wanted nor two bytes. */
static void calloc_overflowing_to_zero(void)
{
	free(xcalloc(huge + 1, 2));
}

static void too_much_realloc(void)
{
	free(xrealloc(xmalloc(8), huge));
}

/* Runs body in a child; what it says on stderr goes to text. Returns the signal that ended it, 0 if none did. */
static int signal_of(void (*body)(void), char *text, size_t cap)
{
	int pipe_fds[2], status = 0;
	if (!CHECK_INT(pipe(pipe_fds), 0))
		return -1;
	pid_t pid = fork();
	if (pid == 0) {
		setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
		dup2(pipe_fds[1], STDERR_FILENO);
		body();
		_exit(0);
	}
	close(pipe_fds[1]);
	waitpid(pid, &status, 0);
	ssize_t n = read(pipe_fds[0], text, cap - 1);
	text[n > 0 ? n : 0] = '\0';
	close(pipe_fds[0]);
	return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void test_out_of_memory(void)
{
	static void (*const bodies[])(void) = { too_much_malloc, too_much_calloc, too_much_realloc };
	char text[8192], want[64];
	diag_tool = "memtest";
	snprintf(want, sizeof(want), "memtest: out of memory: %zu bytes wanted\n", huge);
	for (size_t i = 0; i < COUNT_OF(bodies); i++) {
		CHECK_INT(signal_of(bodies[i], text, sizeof(text)), SIGABRT);
		if (!CHECK(strstr(text, want) != NULL))
			fprintf(stderr, "    said \"%s\"\n", text);
	}
	CHECK_INT(signal_of(overflowing_calloc, text, sizeof(text)), SIGABRT);
	CHECK(strstr(text, "memtest: out of memory: ") != NULL);
	CHECK_INT(signal_of(calloc_overflowing_to_zero, text, sizeof(text)), SIGABRT);
	CHECK(strstr(text, "memtest: out of memory: ") != NULL);
}

int main(void)
{
	test_memory_is_ours();
	test_calloc_is_zero();
	test_strdup();
	test_zero_is_no_failure();
	test_out_of_memory();
	return check_done();
}
