/* check.h - the whole unit test framework: a failed check tells its story and the program goes on to the next one.
 *
 * A test is a C program named MODULE_test.c with one main(), which calls its test functions and ends with
 * `return check_done();`. It prints nothing when all is well but the last line, "N checks, 0 failed". */
#ifndef TCPLAB_CHECK_H
#define TCPLAB_CHECK_H

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Under a sanitizer everything takes ten times as long: there a test tries a tenth of what it tries otherwise. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define IS_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define IS_SANITIZED 1
#endif
#endif
#ifndef IS_SANITIZED
#define IS_SANITIZED 0
#endif

static unsigned long check_n, check_bad;

static inline int check_report(int ok, const char *file, int line, const char *what)
{
	check_n++;
	if (!ok) {
		check_bad++;
		fprintf(stderr, "%s:%d: FAILED: %s\n", file, line, what);
	}
	return ok;
}

/* CHECK(cond): cond holds. Like all checks it yields whether it held, so that a loop can stop at the first failure. */
#define CHECK(cond) check_report(!!(cond), __FILE__, __LINE__, #cond)

/* CHECK_INT(got, want): two integers are equal; both are shown when they are not. */
#define CHECK_INT(got, want) check_int((intmax_t)(got), (intmax_t)(want), __FILE__, __LINE__, #got " == " #want)
static inline int check_int(intmax_t got, intmax_t want, const char *file, int line, const char *what)
{
	int ok = check_report(got == want, file, line, what);
	if (!ok)
		fprintf(stderr, "    got  %" PRIdMAX "\n    want %" PRIdMAX "\n", got, want);
	return ok;
}

/* CHECK_STR(got, want): two strings are equal; both are shown when they are not. */
#define CHECK_STR(got, want) check_str((got), (want), __FILE__, __LINE__, #got " == " #want)
static inline int check_str(const char *got, const char *want, const char *file, int line, const char *what)
{
	int ok = check_report(got != NULL && strcmp(got, want) == 0, file, line, what);
	if (!ok)
		fprintf(stderr, "    got  \"%s\"\n    want \"%s\"\n", got != NULL ? got : "(null)", want);
	return ok;
}

static inline int check_done(void)
{
	printf("%lu checks, %lu failed\n", check_n, check_bad);
	return check_bad != 0;
}

#endif
