/* procfs_test.c - against real processes: own children that live, end in every way, have children, threads and
 * descriptors, and belong to somebody else; and older kernels, as far as a forbidden system call or a /proc of our own
 * can pretend to be one. */
#include "procfs.h"

#include "check.h"
#include "child.h"
#include "clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>

#if defined(__SANITIZE_THREAD__)
#define HAS_OTHER_THREADS 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define HAS_OTHER_THREADS 1
#endif
#endif
#ifndef HAS_OTHER_THREADS
#define HAS_OTHER_THREADS 0
#endif

enum { NOBODY = 65534 };

/* TSan has threads of its own. */
static bool is_thread_count(uint64_t got, uint64_t want)
{
	return HAS_OTHER_THREADS ? got >= want : got == want;
}

/* --- children of ours --------------------------------------------------------------------------------------------- */

/* A child that runs body and then waits for its end, until let_go. */
struct child {
	pid_t pid;
	int ready[2], gate[2];
};

static void wait_at(int fd)
{
	char byte;
	while (read(fd, &byte, 1) < 0 && errno == EINTR)
		;
}

static struct child start(void (*body)(void))
{
	struct child c;
	if (!CHECK(pipe(c.ready) == 0 && pipe(c.gate) == 0))
		abort();
	fflush(NULL);
	c.pid = fork();
	if (c.pid == 0) {
		alarm(CHILD_PATIENCE_S);
		close(c.gate[1]);
		close(c.ready[0]);
		body();
		close(c.ready[1]);
		wait_at(c.gate[0]);
		_exit(3);
	}
	close(c.ready[1]);
	close(c.gate[0]);
	wait_at(c.ready[0]); /* EOF: body is done */
	return c;
}

static void nothing(void)
{
}

static void let_go(struct child *c)
{
	close(c->gate[1]);
	c->gate[1] = -1;
}

static int reap(struct child *c)
{
	int status = -1;
	if (c->gate[1] >= 0)
		let_go(c);
	close(c->ready[0]);
	waitpid(c->pid, &status, 0);
	return status;
}

/* Until it is a zombie, and stays one. */
static void wait_for_zombie(pid_t pid)
{
	siginfo_t info;
	waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT);
}

static struct procfs opened(pid_t pid)
{
	struct procfs p;
	struct net_error e;
	char text[NET_ERROR_TEXT];
	if (!CHECK_INT(procfs_open(&p, pid, &e), 0)) {
		fprintf(stderr, "    %s\n", net_error_text(&e, text));
		abort();
	}
	return p;
}

static struct procfs_stat stat_of(const struct procfs *p)
{
	char text[4096];
	struct procfs_stat stat = { 0 };
	ssize_t n = procfs_read(p, "stat", text, sizeof(text));
	CHECK(n > 0 && procfs_parse_stat(&stat, text, (size_t)n));
	return stat;
}

static void become_nobody(void)
{
	CHECK(setgid(NOBODY) == 0 && setuid(NOBODY) == 0);
}

static void close_files_from(int fd)
{
	for (; fd < 1024; fd++)
		close(fd);
}

/* --- open and read ------------------------------------------------------------------------------------------------ */

/* All parsers find this kernel's files to be what they expect. */
static void test_all_files(void)
{
	struct procfs p = opened(getpid());
	char text[1 << 16];
	ssize_t n = procfs_read(&p, "stat", text, sizeof(text));
	struct procfs_stat stat;
	CHECK(procfs_parse_stat(&stat, text, (size_t)n));
	CHECK(stat.pid == getpid() && stat.ppid == getppid() && stat.start_ticks == p.start_ticks);
	CHECK_STR(stat.name, "procfs_test");
	n = procfs_read(&p, "status", text, sizeof(text));
	struct procfs_status status;
	CHECK(procfs_parse_status(&status, text, (size_t)n));
	CHECK(status.uid == getuid() && status.egid == getegid() && status.has_memory &&
	      status.threads == stat.threads);
	CHECK_STR(status.name, "procfs_test");
	n = procfs_read(&p, "io", text, sizeof(text));
	struct procfs_io io;
	CHECK(procfs_parse_io(&io, text, (size_t)n) && io.read_calls > 0);
	n = procfs_read(&p, "schedstat", text, sizeof(text));
	struct procfs_schedstat sched;
	CHECK(procfs_parse_schedstat(&sched, text, (size_t)n));
	n = procfs_read(&p, "smaps_rollup", text, sizeof(text));
	struct procfs_memory memory;
	CHECK(procfs_parse_rollup(&memory, text, (size_t)n));
	CHECK(memory.pss > 0 && memory.pss <= memory.resident && memory.private_dirty > 0);
	n = procfs_read(&p, "fdinfo/0", text, sizeof(text));
	struct procfs_fdinfo fdinfo;
	CHECK(procfs_parse_fdinfo(&fdinfo, text, (size_t)n));
	procfs_close(&p);
}

static size_t count_maps(const struct procfs *p, const char *name, bool *has_stack)
{
	char *text;
	ssize_t len = procfs_read_all(p, name, 1 << 22, &text);
	struct procfs_map map;
	size_t n = 0, at = 0;
	int more = -1;
	while (len >= 0 && (more = procfs_parse_map(&map, text, (size_t)len, &at)) == 1) {
		n++;
		*has_stack |= strcmp(map.path, "[stack]") == 0;
	}
	CHECK_INT(more, 0);
	free(text);
	return n;
}

static void test_maps_and_limits(void)
{
	struct procfs p = opened(getpid());
	bool has_stack = false;
	CHECK(count_maps(&p, "maps", &has_stack) > 5 && has_stack);
	has_stack = false;
	CHECK(count_maps(&p, "smaps", &has_stack) > 5 && has_stack);
	char text[8192];
	ssize_t n = procfs_read(&p, "limits", text, sizeof(text));
	struct procfs_limits limits;
	struct rlimit files;
	bool is_found = false;
	CHECK(procfs_parse_limits(&limits, text, (size_t)n));
	CHECK_INT(limits.n, 16);
	getrlimit(RLIMIT_NOFILE, &files);
	for (size_t i = 0; i < limits.n; i++)
		if (strcmp(limits.row[i].name, "Max open files") == 0)
			is_found = limits.row[i].soft == files.rlim_cur && limits.row[i].hard == files.rlim_max;
	CHECK(is_found);
	procfs_close(&p);
}

/* However small the room is, a zero stands behind what was read, and no byte is missing in between. */
static void test_read_sizes(void)
{
	struct procfs p = opened(getpid());
	char whole[8192], *all;
	ssize_t len = procfs_read(&p, "limits", whole, sizeof(whole));
	CHECK(len > 1000);
	for (size_t cap = 1; cap < 1500; cap += 37) {
		char part[1536];
		memset(part, 'x', sizeof(part));
		ssize_t want = (size_t)len < cap ? len : (ssize_t)cap - 1;
		if (!CHECK_INT(procfs_read(&p, "limits", part, cap), want) ||
		    !CHECK(memcmp(part, whole, (size_t)want) == 0 && part[want] == '\0' && part[want + 1] == 'x'))
			break;
		CHECK_INT(procfs_read_all(&p, "limits", cap, &all), (size_t)len < cap ? len : (ssize_t)cap);
		CHECK(memcmp(all, whole, strlen(all)) == 0);
		free(all);
	}
	CHECK_INT(procfs_read_all(&p, "limits", 0, &all), 0);
	CHECK_STR(all, "");
	free(all);
	procfs_close(&p);
}

/* A text that is longer than what is first asked for. */
static void test_read_all(void)
{
	char path[] = "/tmp/procfs_test.XXXXXX", *all;
	int fd = mkstemp(path);
	enum { LEN = 4096 * 5 + 3 };
	static char want[LEN];
	for (size_t i = 0; i < LEN; i++)
		want[i] = (char)('a' + i % 23);
	CHECK_INT(write(fd, want, LEN), LEN);
	struct procfs p = { .dir_fd = AT_FDCWD };
	CHECK_INT(procfs_read_all(&p, path, 1 << 20, &all), LEN);
	CHECK(memcmp(all, want, LEN) == 0 && all[LEN] == '\0');
	free(all);
	CHECK_INT(procfs_read_all(&p, path, 4096 * 3 + 1, &all), 4096 * 3 + 1);
	CHECK(memcmp(all, want, 4096 * 3 + 1) == 0);
	free(all);
	CHECK(procfs_read_all(&p, "/nowhere", 4096, &all) == -1 && errno == ENOENT && all == NULL);
	CHECK(procfs_read_all(&p, "/proc", 4096, &all) == -1 && errno == EISDIR && all == NULL);
	close(fd);
	unlink(path);
}

static void test_links(void)
{
	struct procfs p = opened(getpid());
	char link[256], cwd[256], cut[5];
	CHECK_INT(procfs_link(&p, "cwd", link, sizeof(link)), 0);
	CHECK_STR(link, getcwd(cwd, sizeof(cwd)));
	CHECK_INT(procfs_link(&p, "exe", link, sizeof(link)), 0);
	CHECK(strstr(link, "/procfs_test") != NULL);
	CHECK_INT(procfs_link(&p, "exe", cut, sizeof(cut)), 0);
	CHECK(strlen(cut) == 4 && strncmp(cut, link, 4) == 0);
	CHECK(procfs_link(&p, "fd/99999", link, sizeof(link)) == -1 && errno == ENOENT && link[0] == '\0');
	procfs_close(&p);
}

static void test_no_such(void)
{
	struct procfs p;
	struct net_error e;
	static const pid_t bad[] = { 0, -1, -77, INT32_MAX };
	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		CHECK_INT(procfs_open(&p, bad[i], &e), -1);
		CHECK_INT(e.sys, ESRCH);
		CHECK(p.dir_fd == -1 && p.pid_fd == -1);
		procfs_close(&p);
	}
	char text[NET_ERROR_TEXT];
	CHECK_STR(net_error_text(&e, text), "watch process 2147483647: No such process (ESRCH)");
}

/* --- numbers ------------------------------------------------------------------------------------------------------ */

static void open_many(void)
{
	for (int fd = 0; fd < 500; fd++)
		if (dup(STDERR_FILENO) < 0)
			_exit(1);
}

static size_t count_own_files(void)
{
	size_t n = 0;
	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void test_numbers(void)
{
	size_t own = count_own_files();
	struct child c = start(open_many);
	struct procfs p = opened(c.pid);
	uint32_t *fds;
	/* In the child: what we had, and the two ends of the pipes that it kept, one of which it has closed by now. */
	ssize_t n = procfs_numbers(&p, "fd", 1000, &fds);
	CHECK_INT(n, own + 1 + 500);
	for (ssize_t i = 1; i < n; i++)
		if (!CHECK(fds[i - 1] < fds[i]))
			break;
	free(fds);
	CHECK_INT(procfs_count_files(&p), n);
	CHECK_INT(procfs_numbers(&p, "fd", 100, &fds), n);
	CHECK(fds[0] == 0 && fds[99] >= 99);
	free(fds);
	CHECK_INT(procfs_numbers(&p, "fd", 0, &fds), n);
	free(fds);
	CHECK(is_thread_count((uint64_t)procfs_numbers(&p, "task", 10, &fds), 1));
	CHECK_INT(fds[0], c.pid);
	free(fds);
	CHECK(procfs_numbers(&p, "nothing", 10, &fds) == -1 && errno == ENOENT && fds == NULL);
	CHECK(procfs_numbers(&p, "stat", 10, &fds) == -1 && errno == ENOTDIR);
	procfs_close(&p);
	reap(&c);
}

/* fstatat(2) without flags fails; with them it is what fdopendir(3) is made of. */
static bool forbid_stat(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_newfstatat, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[3])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { COUNT_OF(code), code };
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/* On a kernel before 6.2, where the folder's size says nothing. */
static void count_without_stat(void)
{
	struct procfs p = opened(getpid());
	if (!forbid_stat())
		return;
	struct stat folder;
	CHECK(fstatat(p.dir_fd, "fd", &folder, 0) < 0);
	CHECK_INT(procfs_count_files(&p), count_own_files() + 1); /* with the one that counts */
	procfs_close(&p);
}

/* 6.2 and later. */
static bool knows_folder_size(void)
{
	struct stat own;
	return stat("/proc/self/fd", &own) == 0 && own.st_size > 0;
}

/* --- threads ------------------------------------------------------------------------------------------------------ */

static void *sleep_on(void *unused)
{
	pause();
	return unused;
}

static void start_three_threads(void)
{
	pthread_t t;
	for (int i = 0; i < 3; i++)
		if (pthread_create(&t, NULL, sleep_on, NULL) != 0)
			_exit(1);
}

static void test_threads(void)
{
	struct child c = start(start_three_threads);
	struct procfs p = opened(c.pid), q;
	struct net_error e;
	uint32_t *threads;
	ssize_t n = procfs_numbers(&p, "task", 10, &threads);
	CHECK(is_thread_count((uint64_t)n, 4));
	CHECK_INT(stat_of(&p).threads, n);
	/* A thread has a folder in /proc, too, which ls(1) does not show. */
	CHECK_INT(procfs_open(&q, (pid_t)threads[3], &e), -1);
	CHECK_INT(e.sys, ESRCH);
	CHECK(strstr(net_error_reason(&e), "thread") != NULL);
	free(threads);
	procfs_close(&p);
	reap(&c);
}

/* --- processor time ----------------------------------------------------------------------------------------------- */

static uint64_t own_cpu_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

static void *burn(void *unused)
{
	uint64_t until = own_cpu_ns() + 20 * NS_PER_MS;
	while (own_cpu_ns() < until)
		;
	return unused;
}

/* In a thread that has ended before anybody looks. */
static void burn_in_a_thread(void)
{
	pthread_t t;
	if (pthread_create(&t, NULL, burn, NULL) != 0 || pthread_join(t, NULL) != 0)
		_exit(1);
}

static void test_cpu(void)
{
	struct child c = start(burn_in_a_thread);
	struct procfs p = opened(c.pid);
	uint64_t ns, at_end;
	struct rusage usage;
	CHECK(procfs_cpu_ns(&p, &ns) == 0 && ns >= 20 * NS_PER_MS);
	let_go(&c);
	wait_for_zombie(c.pid);
	CHECK(procfs_cpu_ns(&p, &at_end) == 0 && at_end >= ns); /* a zombie's stands still, and can still be read */
	close(c.ready[0]);
	wait4(c.pid, NULL, 0, &usage);
	uint64_t told = (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * NS_PER_S +
			(uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * NS_PER_US;
	/* wait4 rounds both of its parts down to microseconds. */
	CHECK(told <= at_end && at_end - told <= 2 * NS_PER_US);
	CHECK(procfs_cpu_ns(&p, &ns) == -1 && errno == ESRCH && ns == 0);
	procfs_close(&p);
}

/* --- the end ------------------------------------------------------------------------------------------------------ */

static bool has_exit_info(void)
{
	struct child c = start(nothing);
	struct procfs p = opened(c.pid);
	reap(&c);
	int status;
	bool is_known = procfs_exit_status(&p, &status);
	procfs_close(&p);
	return is_known;
}

static bool knows_ends; /* this kernel tells of a process that is gone: 6.15 */

static void end_0(void)
{
	_exit(0);
}

static void end_3(void)
{
	_exit(3);
}

static void end_255(void)
{
	_exit(255);
}

static void end_killed(void)
{
	kill(getpid(), SIGKILL);
	pause();
}

static void end_terminated(void)
{
	signal(SIGTERM, SIG_DFL);
	kill(getpid(), SIGTERM);
	pause();
}

static void *exit_5(void *unused)
{
	(void)unused;
	_exit(5);
}

/* The first thread is gone long before the process ends, and had another status. */
static void end_by_thread(void)
{
	pthread_t t;
	if (pthread_create(&t, NULL, exit_5, NULL) != 0)
		_exit(1);
	syscall(SYS_exit, 9);
}

/* Runs until we have it open: it ends by way of `end` only then. */
static pid_t start_gated(int *gate, void (*end)(void))
{
	int ends[2];
	if (!CHECK(pipe(ends) == 0))
		abort();
	fflush(NULL);
	pid_t pid = fork();
	if (pid == 0) {
		close(ends[1]);
		wait_at(ends[0]);
		end();
		_exit(99);
	}
	close(ends[0]);
	*gate = ends[1];
	return pid;
}

static void check_end(void (*end)(void), int want)
{
	int gate, status = -1, waited;
	pid_t pid = start_gated(&gate, end);
	struct procfs p = opened(pid);
	CHECK(!procfs_exit_status(&p, &status)); /* it runs */
	close(gate);
	wait_for_zombie(pid);
	struct pollfd ended = { .fd = p.pid_fd, .events = POLLIN };
	CHECK(p.pid_fd < 0 || poll(&ended, 1, -1) == 1);
	CHECK(procfs_exit_status(&p, &status)); /* as a zombie, for its own user */
	CHECK_INT(status, want);
	waitpid(pid, &waited, 0);
	CHECK_INT(waited, want);
	CHECK_INT(procfs_exit_status(&p, &status), knows_ends);
	CHECK_INT(status, knows_ends ? want : 0);
	procfs_close(&p);
}

static void test_ends(void)
{
	knows_ends = has_exit_info();
	check_end(end_0, 0);
	check_end(end_3, 3 << 8);
	check_end(end_255, 255 << 8);
	check_end(end_killed, SIGKILL);
	check_end(end_terminated, SIGTERM);
	check_end(end_by_thread, 5 << 8);
}

/* Everything fails alike when the process is gone, and what has the number now does not matter. */
static void test_gone(void)
{
	struct child c = start(nothing);
	struct procfs p = opened(c.pid), q;
	struct net_error e;
	reap(&c);
	char text[64], *all;
	uint32_t *numbers;
	uint64_t ns;
	CHECK(procfs_read(&p, "stat", text, sizeof(text)) == -1 && errno == ESRCH && text[0] == '\0');
	CHECK(procfs_read_all(&p, "maps", 1000, &all) == -1 && errno == ESRCH && all == NULL);
	CHECK(procfs_link(&p, "exe", text, sizeof(text)) == -1 && errno == ESRCH);
	CHECK(procfs_numbers(&p, "fd", 10, &numbers) == -1 && errno == ESRCH);
	CHECK(procfs_count_files(&p) == -1 && errno == ESRCH);
	CHECK(procfs_cpu_ns(&p, &ns) == -1 && errno == ESRCH);
	CHECK_STR(procfs_why(&p, ESRCH), "the process has ended");
	CHECK(procfs_open(&q, c.pid, &e) == -1 && e.sys == ESRCH);
	procfs_close(&p);
}

/* A process whose first thread has ended is no zombie, though its state says so. */
static void end_first_thread(void)
{
	start_three_threads();
	syscall(SYS_exit, 9);
}

static void test_headless(void)
{
	int gate, status;
	pid_t pid = start_gated(&gate, end_first_thread);
	struct procfs p = opened(pid);
	close(gate);
	for (uint64_t end = clk_mono_ns() + 10ull * NS_PER_S; stat_of(&p).state != 'Z' && clk_mono_ns() < end;)
		sched_yield();
	struct procfs_stat stat = stat_of(&p);
	CHECK(stat.state == 'Z' && is_thread_count(stat.threads, 4));
	CHECK(!procfs_exit_status(&p, &status));
	int pid_fd = p.pid_fd;
	p.pid_fd = -1; /* as on a kernel without */
	CHECK(!procfs_exit_status(&p, &status));
	p.pid_fd = pid_fd;
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	procfs_close(&p);
}

static void test_signal(void)
{
	struct child c = start(nothing);
	struct procfs p = opened(c.pid);
	int pid_fd = p.pid_fd, status;
	p.pid_fd = -1;
	procfs_signal(&p, SIGKILL); /* nothing */
	p.pid_fd = pid_fd;
	procfs_signal(&p, SIGUSR1);
	if (pid_fd < 0)
		let_go(&c);
	waitpid(c.pid, &status, 0);
	CHECK_INT(status, pid_fd >= 0 ? SIGUSR1 : 3 << 8);
	procfs_signal(&p, SIGKILL); /* gone: nothing */
	reap(&c);
	procfs_close(&p);
}

/* --- older kernels ------------------------------------------------------------------------------------------------ */

static void watch_without_pidfd(void)
{
	if (!child_forbid(SYS_pidfd_open, ENOSYS))
		return;
	struct child c = start(nothing);
	struct procfs p = opened(c.pid);
	int status;
	CHECK(p.pid_fd == -1 && !procfs_exit_status(&p, &status));
	let_go(&c);
	wait_for_zombie(c.pid);
	CHECK(procfs_exit_status(&p, &status) && WEXITSTATUS(status) == 3);
	CHECK_INT(reap(&c), 3 << 8);
	CHECK(!procfs_exit_status(&p, &status));
	procfs_close(&p);
}

static void watch_without_info(void)
{
	struct child c = start(nothing);
	struct procfs p = opened(c.pid);
	int status;
	if (!child_forbid(SYS_ioctl, ENOTTY))
		return;
	let_go(&c);
	wait_for_zombie(c.pid);
	CHECK(procfs_exit_status(&p, &status) && WEXITSTATUS(status) == 3);
	reap(&c);
	CHECK(!procfs_exit_status(&p, &status));
	procfs_close(&p);
}

static void run_out_of_descriptors(void)
{
	struct procfs p;
	struct net_error e;
	close_files_from(3);
	struct rlimit few = { .rlim_cur = count_own_files(), .rlim_max = 1024 };
	for (int left = 0; left < 3; left++, few.rlim_cur++) {
		CHECK_INT(setrlimit(RLIMIT_NOFILE, &few), 0);
		CHECK(procfs_open(&p, getppid(), &e) == -1 && e.sys == EMFILE);
		CHECK(p.dir_fd == -1 && p.pid_fd == -1);
	}
	CHECK_INT(setrlimit(RLIMIT_NOFILE, &few), 0);
	CHECK(procfs_open(&p, getppid(), &e) == 0);
	procfs_close(&p);
	CHECK_INT(count_own_files(), few.rlim_cur - 3);
}

/* --- somebody else's ---------------------------------------------------------------------------------------------- */

static void check_forbidden(const struct procfs *p, const char *name)
{
	char text[4096];
	if (!CHECK(procfs_read(p, name, text, sizeof(text)) == -1 && errno == EACCES))
		fprintf(stderr, "    %s\n", name);
}

static pid_t of_root;

static void watch_as_nobody(void)
{
	become_nobody();
	struct procfs p = opened(of_root);
	char text[4096];
	uint32_t *numbers;
	uint64_t ns;
	/* For everybody. */
	CHECK_INT(stat_of(&p).pid, of_root);
	CHECK(procfs_read(&p, "status", text, sizeof(text)) > 0);
	CHECK(procfs_read(&p, "schedstat", text, sizeof(text)) > 0);
	CHECK(procfs_read(&p, "cmdline", text, sizeof(text)) > 0);
	CHECK(procfs_read(&p, "limits", text, sizeof(text)) > 0);
	CHECK(is_thread_count((uint64_t)procfs_numbers(&p, "task", 10, &numbers), 1));
	free(numbers);
	CHECK_INT(procfs_cpu_ns(&p, &ns), 0);
	/* Not. */
	static const char *const names[] = { "io", "environ", "maps", "smaps", "smaps_rollup", "fdinfo/0" };
	for (size_t i = 0; i < COUNT_OF(names); i++)
		check_forbidden(&p, names[i]);
	CHECK(procfs_link(&p, "exe", text, sizeof(text)) == -1 && errno == EACCES);
	CHECK(procfs_numbers(&p, "fd", 10, &numbers) == -1 && errno == EACCES);
	CHECK_STR(procfs_why(&p, EACCES), "it belongs to another user; needs the same user or CAP_SYS_PTRACE");
	CHECK_STR(procfs_why(&p, EPERM), procfs_why(&p, EACCES));
	procfs_close(&p);
}

/* A zombie's status is 0 to those who may not see it, whatever it is: then it is not known, rather than 0. */
static void watch_zombie_as_nobody(void)
{
	become_nobody();
	struct procfs p = opened(of_root);
	int status = 7;
	CHECK_INT(stat_of(&p).state, 'Z');
	CHECK_INT(stat_of(&p).exit_code, 0);
	CHECK(!procfs_exit_status(&p, &status));
	CHECK_INT(status, 0);
	if (knows_folder_size()) /* else it is forbidden to count */
		CHECK_INT(procfs_count_files(&p), 0);
	procfs_close(&p);
}

/* Its own child, but it has been root before: its files stay root's until it runs another program. */
static void watch_changed_identity(void)
{
	become_nobody();
	struct child c = start(nothing);
	struct procfs p = opened(c.pid);
	char text[64];
	CHECK(procfs_read(&p, "io", text, sizeof(text)) == -1 && errno == EACCES);
	CHECK(strstr(procfs_why(&p, EACCES), "changed its identity") != NULL);
	reap(&c);
	procfs_close(&p);
}

static void test_rights(void)
{
	if (geteuid() != 0)
		return; /* it takes two users */
	struct child c = start(nothing);
	of_root = c.pid;
	CHECK_INT(in_child(watch_as_nobody), 0);
	let_go(&c);
	wait_for_zombie(c.pid);
	CHECK_INT(in_child(watch_zombie_as_nobody), 0);
	reap(&c);
	CHECK_INT(in_child(watch_changed_identity), 0);
}

/* --- the tree ----------------------------------------------------------------------------------------------------- */

static void have_two_children(void)
{
	for (int i = 0; i < 2; i++)
		if (fork() == 0) {
			close_files_from(3); /* our pipes have no other readers and writers than us */
			if (i == 1 && fork() == 0)
				pause(); /* a grandchild */
			pause();
		}
}

static bool is_in(const pid_t *pids, size_t n, pid_t pid)
{
	for (size_t i = 0; i < n; i++)
		if (pids[i] == pid)
			return true;
	return false;
}

static void kill_descendants(pid_t pid)
{
	pid_t *pids;
	size_t n = procfs_tree(pid, 10, &pids);
	for (size_t i = 1; i < n; i++)
		kill(pids[i], SIGKILL);
	free(pids);
}

static void test_tree(void)
{
	struct child c = start(have_two_children);
	pid_t *pids;
	size_t n = 0;
	for (uint64_t end = clk_mono_ns() + 10ull * NS_PER_S; n < 4 && clk_mono_ns() < end; sched_yield()) {
		n = procfs_tree(c.pid, 10, &pids);
		if (n < 4)
			free(pids);
	}
	if (!CHECK_INT(n, 4))
		abort();
	CHECK_INT(pids[0], c.pid);
	CHECK(!is_in(pids, n, getpid()) && !is_in(pids + 1, 3, c.pid) && !is_in(pids + 2, 2, pids[1]));
	free(pids);
	CHECK_INT(procfs_tree(c.pid, 2, &pids), 2);
	CHECK_INT(pids[0], c.pid);
	free(pids);
	n = procfs_tree(getpid(), 10, &pids);
	CHECK(n == 5 && pids[0] == getpid() && pids[1] == c.pid);
	free(pids);
	CHECK_INT(procfs_tree(c.pid, 0, &pids), 0);
	free(pids);
	kill_descendants(c.pid);
	reap(&c);
	CHECK_INT(procfs_tree(c.pid, 10, &pids), 1); /* itself, though it is gone */
	free(pids);
}

/* A /proc of our own, of files. */
static void make_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (!CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text)))
		_exit(1);
	close(fd);
}

static void make_process(int pid, int parent)
{
	char path[64], text[256];
	snprintf(path, sizeof(path), "/proc/%d", pid);
	mkdir(path, 0700);
	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	snprintf(text, sizeof(text), "%d (x) S %d 1 1 0 0 0 0 0 0 0 0 0 0 0 0 0 1 0 1 1 1 1\n", pid, parent);
	make_file(path, text);
}

static bool has_own_proc(const char *type, const char *options)
{
	return unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
	       mount("none", "/proc", type, 0, options) == 0;
}

/* Folders of ramfs have the size 0, like those of /proc before Linux 6.2; and they show the youngest first. */
static void check_count_by_names(void)
{
	static const char *const names[] = { "2", "10", "0", "x", "1", "1x", "4294967296", "-1", "+1", " 1" };
	struct procfs p = { .dir_fd = open("/proc/10", O_RDONLY | O_DIRECTORY | O_CLOEXEC) };
	uint32_t *fds;
	CHECK_INT(mkdir("/proc/10/fd", 0700), 0);
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		char path[64];
		snprintf(path, sizeof(path), "/proc/10/fd/%s", names[i]);
		make_file(path, "");
	}
	CHECK_INT(procfs_count_files(&p), 4);
	CHECK_INT(procfs_numbers(&p, "fd", 10, &fds), 4);
	CHECK(fds[0] == 0 && fds[1] == 1 && fds[2] == 2 && fds[3] == 10);
	free(fds);
	close(p.dir_fd);
}

/* A kernel without CONFIG_PROC_CHILDREN: every process is asked for its parent. */
static void tree_without_children_files(void)
{
	static const int family[][2] = { { 10, 1 },  { 11, 10 },     { 12, 11 }, { 4, 12 }, { 20, 1 },
					 { 21, 20 }, { 4194304, 4 }, { 30, 31 }, { 31, 30 } };
	if (!has_own_proc("ramfs", NULL))
		return;
	for (size_t i = 0; i < COUNT_OF(family); i++)
		make_process(family[i][0], family[i][1]);
	check_count_by_names();
	mkdir("/proc/net", 0700);
	mkdir("/proc/13", 0700); /* ended just now */
	pid_t *pids;
	CHECK_INT(procfs_tree(10, 100, &pids), 5);
	CHECK(pids[0] == 10 && pids[1] == 11 && pids[2] == 12 && pids[3] == 4 && pids[4] == 4194304);
	free(pids);
	CHECK_INT(procfs_tree(10, 3, &pids), 3);
	free(pids);
	CHECK_INT(procfs_tree(30, 100, &pids), 2); /* round in a circle */
	free(pids);
	struct procfs p;
	struct net_error e;
	CHECK(procfs_open(&p, 10, &e) == -1 && strstr(net_error_reason(&e), "/proc") != NULL);
}

/* --- one number, two processes ------------------------------------------------------------------------------------ */

/* The next child gets this number. */
static bool choose_next(pid_t pid)
{
	char text[16];
	int fd = open("/proc/sys/kernel/ns_last_pid", O_WRONLY), n = snprintf(text, sizeof(text), "%d", pid - 1);
	bool is_done = fd >= 0 && write(fd, text, (size_t)n) == n;
	close(fd);
	return is_done;
}

/* In a pid namespace, where nobody else takes the number. */
static void reuse_number(void)
{
	struct child first = start(nothing);
	struct procfs old = opened(first.pid);
	reap(&first);
	if (!choose_next(first.pid))
		return;
	struct child second = start(nothing);
	CHECK_INT(second.pid, first.pid);
	struct procfs new = opened(second.pid);
	char text[4096];
	uint64_t ns;
	int status;
	CHECK(procfs_read(&old, "stat", text, sizeof(text)) == -1 && errno == ESRCH);
	CHECK(procfs_cpu_ns(&old, &ns) == -1 && errno == ESRCH && ns == 0);
	CHECK(procfs_count_files(&old) == -1 && errno == ESRCH);
	CHECK(procfs_exit_status(&old, &status) == knows_ends);
	CHECK_INT(status, knows_ends ? 3 << 8 : 0);
	CHECK(!procfs_exit_status(&new, &status));
	procfs_signal(&old, SIGKILL); /* the new one lives on, and ends with its 3 */
	CHECK(stat_of(&new).start_ticks == new.start_ticks &&new.start_ticks >= old.start_ticks);
	CHECK_INT(procfs_cpu_ns(&new, &ns), 0);
	CHECK_INT(reap(&second), 3 << 8);
	procfs_close(&old);
	procfs_close(&new);
}

/* /proc shows other numbers than those that kill(2) and clocks mean. */
static void watch_by_foreign_proc(void)
{
	struct procfs p;
	struct net_error e;
	CHECK(procfs_open(&p, getpid(), &e) == -1 && e.sys == ESRCH);
	CHECK(strstr(net_error_reason(&e), "another pid namespace") != NULL);
}

static void in_pid_namespace(void)
{
	if (unshare(CLONE_NEWPID) < 0)
		return;
	CHECK_INT(in_child(watch_by_foreign_proc), 0);
}

static void in_pid_namespace_with_proc(void)
{
	if (has_own_proc("proc", NULL))
		reuse_number();
}

static void make_pid_namespace(void)
{
	if (unshare(CLONE_NEWPID) == 0)
		CHECK_INT(in_child(in_pid_namespace_with_proc), 0);
}

/* --- hidden ------------------------------------------------------------------------------------------------------- */

/* What is there, and hidden. */
static void watch_hidden(void)
{
	if (!has_own_proc("proc", "hidepid=2"))
		return;
	become_nobody();
	struct procfs p;
	struct net_error e;
	CHECK(procfs_open(&p, of_root, &e) == -1 && e.sys == EACCES);
	CHECK(strstr(net_error_reason(&e), "hidepid") != NULL);
	CHECK(procfs_open(&p, INT32_MAX, &e) == -1 && e.sys == ESRCH);
}

static void watch_half_hidden(void)
{
	if (!has_own_proc("proc", "hidepid=1"))
		return;
	become_nobody();
	struct procfs p;
	struct net_error e;
	CHECK(procfs_open(&p, of_root, &e) == -1 && e.sys == EACCES);
	CHECK(strstr(net_error_reason(&e), "hidepid") != NULL);
}

static void test_hidden(void)
{
	struct child c = start(nothing);
	of_root = c.pid;
	CHECK_INT(in_child(watch_hidden), 0);
	CHECK_INT(in_child(watch_half_hidden), 0);
	reap(&c);
}

/* --- the system --------------------------------------------------------------------------------------------------- */

static void test_system(void)
{
	struct procfs_system s = procfs_system();
	CHECK(s.ticks_per_s == (uint64_t)sysconf(_SC_CLK_TCK) && s.page_bytes == (uint64_t)sysconf(_SC_PAGESIZE));
	CHECK(s.processors >= 1 && s.memory_bytes > s.page_bytes && s.memory_bytes % s.page_bytes == 0);
	/* Our start, as it tells it: not in the future, nor long ago. */
	struct procfs p = opened(getpid());
	int64_t start = s.boot_real_ns + (int64_t)(p.start_ticks * (NS_PER_S / s.ticks_per_s)), now = clk_real_ns();
	CHECK(start <= now + (int64_t)NS_PER_S && start > now - 3600ll * NS_PER_S);
	procfs_close(&p);
}

int main(void)
{
	alarm(60);
	size_t files = count_own_files();
	test_all_files();
	test_maps_and_limits();
	test_read_sizes();
	test_read_all();
	test_links();
	test_no_such();
	test_numbers();
	CHECK_INT(in_child(count_without_stat), 0);
	test_threads();
	test_cpu();
	test_ends();
	test_gone();
	test_headless();
	test_signal();
	CHECK_INT(in_child(watch_without_pidfd), 0);
	CHECK_INT(in_child(watch_without_info), 0);
	CHECK_INT(in_child(run_out_of_descriptors), 0);
	test_rights();
	test_tree();
	if (geteuid() == 0) {
		CHECK_INT(in_child(tree_without_children_files), 0);
		CHECK_INT(in_child(in_pid_namespace), 0);
		CHECK_INT(in_child(make_pid_namespace), 0);
		test_hidden();
	}
	test_system();
	CHECK_INT(count_own_files(), files);
	return check_done();
}
