/* os_test.c - processor time that grows for the thread that works and for no other, names cut to what the kernel keeps,
 * files folded into a line, and limits that go up to the hard one. */
#include "os.h"

#include "check.h"
#include "clock.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static char path[] = "/tmp/os_test.XXXXXX";

static int in_child(void (*body)(void))
{
	fflush(NULL);
	pid_t pid = fork();
	if (pid == 0) {
		check_bad = 0;
		body();
		_exit(check_bad != 0);
	}
	int status = 0;
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* --- processor time ---------------------------------------------------------------------------------------------- */

static uint64_t used_ns(void)
{
	struct os_cpu cpu = os_thread_cpu();
	return cpu.user_ns + cpu.sys_ns;
}

static void burn_ns(uint64_t ns)
{
	uint64_t start_ns = used_ns();
	while (used_ns() - start_ns < ns)
		;
}

/* Working and waiting together are no more than the time that went by: nanoseconds, not another unit, and not the same
 * figure twice. (The kernel counts in ticks: some slack.) */
static void test_burning_counts(void)
{
	uint64_t start_ns = clk_mono_ns(), before_ns = used_ns(), waited_before_ns = os_thread_cpu().waited_ns;
	burn_ns(100 * NS_PER_MS);
	uint64_t spent_ns = used_ns() - before_ns, waited_ns = os_thread_cpu().waited_ns - waited_before_ns;
	CHECK(spent_ns >= 100 * NS_PER_MS);
	CHECK(spent_ns + waited_ns <= clk_mono_ns() - start_ns + 20 * NS_PER_MS);
}

/* Computing is user time, asking the kernel is system time. */
static void test_user_and_system(void)
{
	struct os_cpu before = os_thread_cpu(), now = before;
	volatile unsigned x = 1;
	while (now.user_ns - before.user_ns < 20 * NS_PER_MS) {
		for (unsigned i = 0; i < 1000000; i++)
			x = x * 3 + i;
		now = os_thread_cpu();
	}
	CHECK(now.sys_ns - before.sys_ns < now.user_ns - before.user_ns);
	while (now.sys_ns - before.sys_ns < 5 * NS_PER_MS) {
		for (int i = 0; i < 1000; i++)
			(void)getppid();
		now = os_thread_cpu();
	}
	CHECK(now.sys_ns > before.sys_ns);
}

static void *burner(void *spent_ns)
{
	uint64_t before_ns = used_ns();
	burn_ns(100 * NS_PER_MS);
	*(uint64_t *)spent_ns = used_ns() - before_ns;
	return NULL;
}

static void test_other_threads_do_not_count(void)
{
	pthread_t thread;
	uint64_t theirs_ns = 0, before_ns = used_ns();
	if (!CHECK_INT(pthread_create(&thread, NULL, burner, &theirs_ns), 0))
		return;
	pthread_join(thread, NULL);
	CHECK(theirs_ns >= 100 * NS_PER_MS);
	CHECK(used_ns() - before_ns < theirs_ns / 2);
}

/* Two busy threads on one processor: each must wait for the other. */
static void starve(void)
{
	char line[96];
	cpu_set_t set, one;
	pthread_t thread;
	uint64_t theirs_ns;
	sched_getaffinity(0, sizeof(set), &set);
	CPU_ZERO(&one);
	for (int i = 0; i < CPU_SETSIZE && CPU_COUNT(&one) == 0; i++)
		if (CPU_ISSET(i, &set))
			CPU_SET(i, &one);
	CHECK_INT(sched_setaffinity(0, sizeof(one), &one), 0);
	CHECK_INT(os_cpu_count(), 1);
	uint64_t before_ns = os_thread_cpu().waited_ns;
	if (!CHECK_INT(pthread_create(&thread, NULL, burner, &theirs_ns), 0))
		return;
	burn_ns(100 * NS_PER_MS);
	pthread_join(thread, NULL);
	uint64_t waited_ns = os_thread_cpu().waited_ns - before_ns;
	if (os_read_line("/proc/thread-self/schedstat", line, sizeof(line)) == 0)
		CHECK(waited_ns > 0);
	else
		CHECK_INT(waited_ns, 0);
}

/* --- threads and processors -------------------------------------------------------------------------------------- */

enum { NAME_CAP = 64 };

/* Names the calling thread and reads the name back; "" where the system does not show it. */
static void rename_to(const char *name, char read_back[static NAME_CAP])
{
	os_thread_name(name);
	if (os_read_line("/proc/thread-self/comm", read_back, NAME_CAP) < 0)
		read_back[0] = '\0';
}

static void check_name(const char *read_back, const char *want)
{
	CHECK(read_back[0] == '\0' || strcmp(read_back, want) == 0);
}

static void *name_thread(void *read_back)
{
	rename_to("worker", read_back);
	return NULL;
}

static void test_thread_names(void)
{
	static const char *const rows[][2] = {
		{ "short", "short" },
		{ "exactly15chars.", "exactly15chars." },
		{ "sixteen chars ..", "sixteen chars ." },
		{ "a name that is far too long for the kernel", "a name that is" },
		{ "os_test", "os_test" },
	};
	char line[NAME_CAP];
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		rename_to(rows[i][0], line);
		check_name(line, rows[i][1]);
	}
	pthread_t thread;
	int error = pthread_create(&thread, NULL, name_thread, line);
	if (error == 0)
		pthread_join(thread, NULL);
	if (CHECK_INT(error, 0))
		check_name(line, "worker");
	if (os_read_line("/proc/self/comm", line, sizeof(line)) == 0)
		CHECK_STR(line, "os_test");
}

/* --- starting threads -------------------------------------------------------------------------------------------- */

enum { STACK = 300 * 1024 };

struct seen {
	sigset_t mask;
	size_t stack_len;
};

static void *look_around(void *seen)
{
	struct seen *s = seen;
	pthread_attr_t attr;
	pthread_sigmask(SIG_SETMASK, NULL, &s->mask);
	if (pthread_getattr_np(pthread_self(), &attr) == 0) {
		pthread_attr_getstacksize(&attr, &s->stack_len);
		pthread_attr_destroy(&attr);
	}
	return seen;
}

static void test_start_thread(void)
{
	pthread_t thread;
	struct seen seen = { 0 };
	sigset_t ours;
	void *result = NULL;
	CHECK_INT(os_thread_start(&thread, STACK, look_around, &seen), 0);
	CHECK_INT(pthread_join(thread, &result), 0);
	CHECK(result == &seen);
	CHECK(sigismember(&seen.mask, SIGINT) && sigismember(&seen.mask, SIGTERM) && sigismember(&seen.mask, SIGUSR1));
	/* A sanitizer adds something for itself. musl's default would be less, glibc's is 8 MiB. */
	CHECK(seen.stack_len >= STACK && seen.stack_len < 2048 * 1024);
	pthread_sigmask(SIG_SETMASK, NULL, &ours);
	CHECK(!sigismember(&ours, SIGINT) && !sigismember(&ours, SIGUSR1));
}

static void *say_so(void *said)
{
	sem_post(said);
	return NULL;
}

/* Nobody joins it, and the sanitizers do not miss it. */
static void test_start_detached(void)
{
	sem_t said;
	sem_init(&said, 0, 0);
	CHECK_INT(os_thread_start(NULL, STACK, say_so, &said), 0);
	while (sem_wait(&said) < 0)
		CHECK_INT(errno, EINTR);
}

static void test_cpu_count(void)
{
	CHECK(os_cpu_count() >= 1);
	CHECK((long)os_cpu_count() <= sysconf(_SC_NPROCESSORS_CONF));
}

/* --- files ------------------------------------------------------------------------------------------------------- */

static void write_file(const char *text)
{
	FILE *f = fopen(path, "w");
	if (!CHECK(f != NULL))
		return;
	fputs(text, f);
	CHECK_INT(fclose(f), 0);
}

static void test_folding(void)
{
	static const char *const rows[][2] = {
		{ "4096\t131072\t6291456\n", "4096 131072 6291456" },
		{ "reno cubic\n", "reno cubic" },
		{ "no newline", "no newline" },
		{ "  \t leading\n", "leading" },
		{ "trailing \t \n", "trailing" },
		{ "a \t\t  b\r\n", "a b" },
		{ "first\nsecond\n", "first" },
		{ "\nsecond\n", "" },
		{ " \n", "" },
		{ "", "" },
		{ "x", "x" },
	};
	char out[64];
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		memset(out, '#', sizeof(out));
		write_file(rows[i][0]);
		CHECK_INT(os_read_line(path, out, sizeof(out)), 0);
		CHECK_STR(out, rows[i][1]);
	}
}

/* Whatever the room, the text ends within it and the byte behind is not touched. */
static void test_small_room(void)
{
	static const char text[] = "0123456789";
	char out[16];
	write_file(text);
	for (size_t cap = 1; cap < sizeof(out); cap++) {
		memset(out, '#', sizeof(out));
		CHECK_INT(os_read_line(path, out, cap), 0);
		CHECK_INT(strlen(out), cap - 1 < 10 ? cap - 1 : 10);
		CHECK_INT(strncmp(out, text, cap - 1), 0);
		CHECK_INT(out[cap], '#');
	}
}

static void test_unreadable(void)
{
	char out[16] = "old";
	CHECK_INT(os_read_line("/tmp/os_test.no.such.file", out, sizeof(out)), -1);
	CHECK_INT(errno, ENOENT);
	CHECK_STR(out, "");
	strcpy(out, "old");
	CHECK_INT(os_read_line("/tmp", out, sizeof(out)), -1);
	CHECK_INT(errno, EISDIR);
	CHECK_STR(out, "");
}

/* A thousand reads leave no descriptor behind. */
static void test_no_descriptor_leaks(void)
{
	char out[16];
	int before = dup(0);
	close(before);
	for (int i = 0; i < 1000; i++) {
		CHECK_INT(os_read_line(path, out, sizeof(out)), 0);
		CHECK_INT(os_read_line("/tmp", out, sizeof(out)), -1);
	}
	int after = dup(0);
	close(after);
	CHECK_INT(after, before);
}

/* --- the rest ---------------------------------------------------------------------------------------------------- */

static void test_kernel(void)
{
	char out[64], release[64], want[80];
	os_kernel(out);
	CHECK(strchr(out, ' ') != NULL && strlen(out) < 64);
	if (os_read_line("/proc/sys/kernel/osrelease", release, sizeof(release)) == 0) {
		snprintf(want, sizeof(want), "Linux %.40s", release);
		CHECK_STR(out, want);
	}
}

/* The first that says anything counts. */
static void test_is_utf8(void)
{
	static const struct {
		const char *all, *ctype, *lang;
		bool expected;
	} cases[] = {
		{ NULL, NULL, NULL, false },
		{ NULL, NULL, "C", false },
		{ NULL, NULL, "de_CH.UTF-8", true },
		{ NULL, NULL, "en_US.utf8", true },
		{ "", "", "C.UTF-8", true },
		{ NULL, "C", "C.UTF-8", false },
		{ "POSIX", "C.UTF-8", "C.UTF-8", false },
		{ "C.UTF-8", NULL, NULL, true },
	};
	static const char *const names[] = { "LC_ALL", "LC_CTYPE", "LANG" };
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *const values[] = { cases[i].all, cases[i].ctype, cases[i].lang };
		for (size_t n = 0; n < 3; n++) {
			if (values[n] != NULL)
				setenv(names[n], values[n], 1);
			else
				unsetenv(names[n]);
		}
		if (!CHECK_INT(os_is_utf8(), cases[i].expected))
			fprintf(stderr, "    case %zu\n", i);
	}
}

/* In a child, whose standard output becomes first a pipe and then a terminal of 55 columns. */
static void measure_terminal(void)
{
	int fds[2];
	CHECK_INT(pipe(fds), 0);
	CHECK_INT(dup2(fds[1], STDOUT_FILENO), STDOUT_FILENO);
	CHECK_INT(os_terminal_columns(120), 80);
	CHECK_INT(os_terminal_columns(60), 60);

	int terminal = posix_openpt(O_RDWR | O_NOCTTY);
	if (!CHECK(terminal >= 0))
		return;
	CHECK_INT(unlockpt(terminal), 0);
	CHECK_INT(ioctl(terminal, TIOCSWINSZ, &(struct winsize){ .ws_row = 20, .ws_col = 55 }), 0);
	int other_end = open(ptsname(terminal), O_RDWR | O_NOCTTY);
	CHECK(other_end >= 0);
	CHECK_INT(dup2(other_end, STDOUT_FILENO), STDOUT_FILENO);
	CHECK_INT(os_terminal_columns(120), 55);
	CHECK_INT(os_terminal_columns(50), 50);
}

static void raise_limit(void)
{
	struct rlimit limit;
	CHECK_INT(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = 32;
	limit.rlim_max = limit.rlim_max < 500 ? limit.rlim_max : 500;
	CHECK_INT(setrlimit(RLIMIT_NOFILE, &limit), 0);
	CHECK(os_raise_fd_limit() == limit.rlim_max);
	struct rlimit now;
	CHECK_INT(getrlimit(RLIMIT_NOFILE, &now), 0);
	CHECK(now.rlim_cur == limit.rlim_max && now.rlim_max == limit.rlim_max);
	CHECK(os_raise_fd_limit() == limit.rlim_max);
}

static void test_random(void)
{
	uint64_t ored = 0, anded = UINT64_MAX, last = os_random();
	for (int i = 0; i < 100; i++) {
		uint64_t number = os_random();
		CHECK(number != last);
		ored |= number;
		anded &= number;
		last = number;
	}
	CHECK(ored == UINT64_MAX && anded == 0); /* each bit was 0, and 1 */
}

int main(void)
{
	int fd = mkstemp(path);
	if (!CHECK(fd >= 0))
		return check_done();
	close(fd);
	test_burning_counts();
	test_user_and_system();
	test_other_threads_do_not_count();
	CHECK_INT(in_child(starve), 0);
	test_thread_names();
	test_start_thread();
	test_start_detached();
	test_cpu_count();
	test_folding();
	test_small_room();
	test_unreadable();
	test_no_descriptor_leaks();
	test_kernel();
	test_is_utf8();
	CHECK_INT(in_child(measure_terminal), 0);
	CHECK_INT(in_child(raise_limit), 0);
	unlink(path);
	test_random();
	return check_done();
}
