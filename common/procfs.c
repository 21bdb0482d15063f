#include "procfs.h"

#include "clock.h"
#include "mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { SMALL_FILE = 4096, PATH_LEN = 64 };

/* Keeps errno: clean-up does not change what is reported. */
static void close_quietly(int fd)
{
	int saved = errno;
	close(fd);
	errno = saved;
}

static bool parse_u32(const char *digits, uint32_t *out)
{
	char *end;
	if (digits[0] < '0' || digits[0] > '9')
		return false;
	errno = 0;
	unsigned long value = strtoul(digits, &end, 10);
	*out = (uint32_t)value;
	return errno == 0 && *end == '\0' && value <= UINT32_MAX;
}

/* --- open and close ----------------------------------------------------------------------------------------------- */

/* By number, since glibc has the function from 2.36 on and musl not yet. */
static int open_pidfd(pid_t pid)
{
	return (int)syscall(SYS_pidfd_open, pid, 0);
}

/* Where /proc is another pid namespace's, its numbers are of other processes than ours for kill(2) and clocks. */
static bool is_proc_ours(void)
{
	char link[16];
	uint32_t self;
	ssize_t n = readlink("/proc/self", link, sizeof(link) - 1);
	link[n > 0 ? n : 0] = '\0';
	return parse_u32(link, &self) && self == (uint32_t)getpid();
}

static int fail(struct procfs *p, struct net_error *e, const char *object, int error, const char *reason)
{
	errno = error;
	net_fail(e, "watch", object);
	e->reason = reason;
	procfs_close(p);
	return -1;
}

/* With hidepid (proc(5)) the folder is missing, or nothing in it can be read; kill(2) tells the truth. */
static int fail_to_see(struct procfs *p, struct net_error *e, const char *object)
{
	int seen = errno;
	if (seen != ENOENT && seen != EPERM && seen != EACCES)
		return fail(p, e, object, seen, NULL);
	if (kill(p->pid, 0) < 0 && errno != EPERM)
		return fail(p, e, object, ESRCH, NULL);
	return fail(p, e, object, EACCES, "/proc hides it (hidepid, proc(5))");
}

/* A thread has a folder, too, which readdir(3) does not show. */
static bool is_thread(const struct procfs *p)
{
	char text[SMALL_FILE];
	struct procfs_status status;
	ssize_t n = procfs_read(p, "status", text, sizeof(text));
	return n >= 0 && procfs_parse_status(&status, text, (size_t)n) && status.tgid != (uint64_t)p->pid;
}

/* The order matters: what is read last comes by way of the folder, so the folder's process is still there, and has had
 * the number all the time; the pidfd in between can be no other's. */
static int open_both(struct procfs *p, struct net_error *e, const char *object)
{
	char path[PATH_LEN], text[SMALL_FILE];
	struct procfs_stat stat;
	snprintf(path, sizeof(path), "/proc/%ld", (long)p->pid);
	p->dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (p->dir_fd < 0)
		return fail_to_see(p, e, object);
	if (is_thread(p))
		return fail(p, e, object, ESRCH, "it is a thread, not a process");
	p->pid_fd = open_pidfd(p->pid);
	if (p->pid_fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM))
		return fail(p, e, object, errno, NULL);
	ssize_t n = procfs_read(p, "stat", text, sizeof(text));
	if (n < 0)
		return fail_to_see(p, e, object);
	if (!procfs_parse_stat(&stat, text, (size_t)n))
		return fail(p, e, object, EPROTO, "its stat is not as proc_pid_stat(5) has it");
	p->start_ticks = stat.start_ticks;
	return 0;
}

int procfs_open(struct procfs *p, pid_t pid, struct net_error *e)
{
	char object[PATH_LEN];
	*p = (struct procfs){ .pid = pid, .dir_fd = -1, .pid_fd = -1 };
	snprintf(object, sizeof(object), "process %ld", (long)pid);
	if (pid <= 0)
		return fail(p, e, object, ESRCH, NULL);
	if (!is_proc_ours())
		return fail(p, e, object, ESRCH, "/proc is not mounted, or belongs to another pid namespace");
	return open_both(p, e, object);
}

void procfs_close(struct procfs *p)
{
	if (p->dir_fd >= 0)
		close_quietly(p->dir_fd);
	if (p->pid_fd >= 0)
		close_quietly(p->pid_fd);
	p->dir_fd = p->pid_fd = -1;
}

/* --- files -------------------------------------------------------------------------------------------------------- */

static int open_file(const struct procfs *p, const char *name)
{
	return openat(p->dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOCTTY);
}

/* A file of /proc says how long it is only by ending; one read(2) gives a page or what the kernel has ready. */
static ssize_t read_to_end(int fd, char *out, size_t cap)
{
	size_t len = 0;
	while (len < cap) {
		ssize_t n = read(fd, out + len, cap - len);
		if (n < 0)
			return -1;
		if (n == 0)
			break;
		len += (size_t)n;
	}
	return (ssize_t)len;
}

ssize_t procfs_read(const struct procfs *p, const char *name, char *out, size_t cap)
{
	out[0] = '\0';
	int fd = open_file(p, name);
	if (fd < 0)
		return -1;
	ssize_t n = read_to_end(fd, out, cap - 1);
	close_quietly(fd);
	out[n > 0 ? n : 0] = '\0';
	return n;
}

ssize_t procfs_read_all(const struct procfs *p, const char *name, size_t most, char **out)
{
	*out = NULL;
	int fd = open_file(p, name);
	if (fd < 0)
		return -1;
	size_t len = 0, cap = 0;
	ssize_t n;
	do {
		cap = cap == 0 ? SMALL_FILE : 2 * cap;
		cap = cap < most ? cap : most;
		*out = xrealloc(*out, cap + 1);
		n = read_to_end(fd, *out + len, cap - len);
		len += n > 0 ? (size_t)n : 0;
	} while (n > 0 && len == cap && cap < most);
	close_quietly(fd);
	if (n < 0) {
		free(*out);
		*out = NULL;
		return -1;
	}
	(*out)[len] = '\0';
	return (ssize_t)len;
}

int procfs_link(const struct procfs *p, const char *name, char *out, size_t cap)
{
	ssize_t n = readlinkat(p->dir_fd, name, out, cap - 1);
	out[n > 0 ? n : 0] = '\0';
	return n < 0 ? -1 : 0;
}

static int compare_u32(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return (x > y) - (x < y);
}

struct numbers {
	uint32_t *at;
	size_t n, cap, most; /* n: all that were seen; at most `most` are kept */
};

static void add_number(struct numbers *all, uint32_t number)
{
	if (all->n < all->most) {
		if (all->n == all->cap) {
			all->cap = all->cap == 0 ? 64 : 2 * all->cap;
			all->at = xrealloc(all->at, all->cap * sizeof(*all->at));
		}
		all->at[all->n] = number;
	}
	all->n++;
}

/* Takes the descriptor. */
static ssize_t read_numbers(int fd, size_t most, uint32_t **out)
{
	struct numbers all = { .most = most };
	DIR *folder = fdopendir(fd);
	if (folder == NULL) {
		close_quietly(fd);
		return -1;
	}
	struct dirent *entry;
	uint32_t number;
	for (errno = 0; (entry = readdir(folder)) != NULL; errno = 0)
		if (parse_u32(entry->d_name, &number))
			add_number(&all, number);
	int failed = errno;
	closedir(folder);
	if (failed != 0) {
		free(all.at);
		errno = failed == ENOENT ? ESRCH : failed; /* it ended between open and here */
		return -1;
	}
	if (all.n > 0 && all.at != NULL)
		qsort(all.at, all.n < most ? all.n : most, sizeof(*all.at), compare_u32);
	*out = all.at;
	return (ssize_t)all.n;
}

ssize_t procfs_numbers(const struct procfs *p, const char *folder, size_t most, uint32_t **out)
{
	*out = NULL;
	int fd = openat(p->dir_fd, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -1 : read_numbers(fd, most, out);
}

/* From 6.2 on the size of the folder is the number; before, it is always 0. This process has some for sure. */
static bool is_size_the_number(void)
{
	struct stat own;
	return stat("/proc/self/fd", &own) == 0 && own.st_size > 0;
}

int64_t procfs_count_files(const struct procfs *p)
{
	struct stat folder;
	if (fstatat(p->dir_fd, "fd", &folder, 0) == 0 && (folder.st_size > 0 || is_size_the_number()))
		return folder.st_size;
	uint32_t *none;
	ssize_t n = procfs_numbers(p, "fd", 0, &none);
	free(none);
	return n;
}

/* --- processor time ----------------------------------------------------------------------------------------------- */

/* The clock is found by number: so afterwards, is the number still its own? */
int procfs_cpu_ns(const struct procfs *p, uint64_t *out)
{
	clockid_t clock;
	struct timespec t;
	*out = 0;
	int error = clock_getcpuclockid(p->pid, &clock);
	if (error == 0 && clock_gettime(clock, &t) < 0)
		error = errno;
	if (error != 0) {
		errno = error == EINVAL ? ESRCH : error; /* it is gone: musl's way to say so, and the kernel's */
		return -1;
	}
	if (faccessat(p->dir_fd, "stat", F_OK, 0) < 0)
		return -1;
	*out = (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
	return 0;
}

/* --- the tree ----------------------------------------------------------------------------------------------------- */

struct tree {
	pid_t *pid;
	size_t n, most;
};

/* Each once: while we read, a process may move to another parent, or a number be used again. */
static void add_process(struct tree *tree, pid_t pid)
{
	for (size_t i = 0; i < tree->n; i++)
		if (tree->pid[i] == pid)
			return;
	if (tree->n < tree->most)
		tree->pid[tree->n++] = pid;
}

static ssize_t read_path(const char *path, char *out, size_t cap)
{
	struct procfs anywhere = { .dir_fd = AT_FDCWD };
	return procfs_read(&anywhere, path, out, cap);
}

/* "12 13 45 " */
static void add_children_of_thread(struct tree *tree, pid_t pid, uint32_t thread)
{
	struct procfs anywhere = { .dir_fd = AT_FDCWD };
	char path[PATH_LEN], *text;
	snprintf(path, sizeof(path), "/proc/%ld/task/%lu/children", (long)pid, (unsigned long)thread);
	enum { BYTES_EACH = 12 }; /* ten digits, a blank */
	if (procfs_read_all(&anywhere, path, tree->most * BYTES_EACH, &text) < 0)
		return;
	char *rest;
	for (char *word = strtok_r(text, " \n", &rest); word != NULL; word = strtok_r(NULL, " \n", &rest)) {
		uint32_t child;
		if (parse_u32(word, &child))
			add_process(tree, (pid_t)child);
	}
	free(text);
}

static void add_children(struct tree *tree, pid_t pid)
{
	char path[PATH_LEN];
	uint32_t *threads = NULL;
	snprintf(path, sizeof(path), "/proc/%ld/task", (long)pid);
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	enum { THREADS_MOST = 1 << 16 };
	ssize_t n = fd < 0 ? -1 : read_numbers(fd, THREADS_MOST, &threads);
	for (ssize_t i = 0; i < n && i < THREADS_MOST; i++)
		add_children_of_thread(tree, pid, threads[i]);
	free(threads);
}

/* Without CONFIG_PROC_CHILDREN no process has the file. */
static bool has_children_files(pid_t pid)
{
	char path[PATH_LEN];
	snprintf(path, sizeof(path), "/proc/%ld/task/%ld/children", (long)pid, (long)pid);
	return access(path, F_OK) == 0;
}

struct family {
	pid_t pid, parent;
};

/* Every process with its parent; the caller frees. */
static size_t read_families(struct family **out)
{
	enum { PROCESSES_MOST = 1 << 22 }; /* /proc/sys/kernel/pid_max has no more */
	uint32_t *pids = NULL;
	int fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ssize_t all = fd < 0 ? -1 : read_numbers(fd, PROCESSES_MOST, &pids);
	size_t n = 0;
	*out = xcalloc(all > 0 ? (size_t)all : 1, sizeof(**out));
	for (ssize_t i = 0; i < all && i < PROCESSES_MOST; i++) {
		char path[PATH_LEN], text[SMALL_FILE];
		struct procfs_stat stat;
		snprintf(path, sizeof(path), "/proc/%lu/stat", (unsigned long)pids[i]);
		ssize_t len = read_path(path, text, sizeof(text));
		if (len >= 0 && procfs_parse_stat(&stat, text, (size_t)len))
			(*out)[n++] = (struct family){ (pid_t)stat.pid, (pid_t)stat.ppid };
	}
	free(pids);
	return n;
}

static void add_descendants(struct tree *tree)
{
	struct family *families;
	size_t n = read_families(&families);
	for (size_t i = 0; i < tree->n; i++)
		for (size_t k = 0; k < n; k++)
			if (families[k].parent == tree->pid[i])
				add_process(tree, families[k].pid);
	free(families);
}

size_t procfs_tree(pid_t pid, size_t most, pid_t **out)
{
	struct tree tree = { .pid = xcalloc(most > 0 ? most : 1, sizeof(*tree.pid)), .most = most };
	add_process(&tree, pid);
	if (!has_children_files(pid))
		add_descendants(&tree);
	else
		for (size_t i = 0; i < tree.n; i++) /* n grows: the children's children */
			add_children(&tree, tree.pid[i]);
	*out = tree.pid;
	return tree.n;
}

/* --- the end ------------------------------------------------------------------------------------------------------ */

/* struct pidfd_info of include/uapi/linux/pidfd.h in its first size (64 bytes), which all later kernels accept; the
 * headers of most systems are older. The exit is in it from 6.15 on, and only after the parent has waited: until
 * then it is the parent's to know. */
struct pidfd_info_0 {
	uint64_t mask; /* in: what is wanted; out: what there is */
	uint64_t cgroup;
	uint32_t pid, tgid, ppid;
	uint32_t uid, gid, euid, egid, suid, sgid, fsuid, fsgid;
	int32_t exit_code;
};
_Static_assert(sizeof(struct pidfd_info_0) == 64, "PIDFD_INFO_SIZE_VER0");
_Static_assert(offsetof(struct pidfd_info_0, pid) == 16, "struct pidfd_info");
_Static_assert(offsetof(struct pidfd_info_0, exit_code) == 60, "struct pidfd_info");
#define ASK_PIDFD       _IOWR(0xff, 11, struct pidfd_info_0) /* PIDFD_GET_INFO */
#define PIDFD_WANT_EXIT (UINT64_C(1) << 3)                   /* PIDFD_INFO_EXIT */

static bool ask_pidfd(int pid_fd, int *status)
{
	struct pidfd_info_0 info = { .mask = PIDFD_WANT_EXIT };
	if (pid_fd < 0 || ioctl(pid_fd, ASK_PIDFD, &info) < 0 || (info.mask & PIDFD_WANT_EXIT) == 0)
		return false;
	*status = info.exit_code;
	return true;
}

/* A zombie's status stands in its stat, and 0 for those who may not see it: so a 0 means something only to whoever
 * may. Links are forbidden by the same rule; a zombie has no program any more, which gives ENOENT. */
static bool ask_zombie(const struct procfs *p, int *status)
{
	char text[SMALL_FILE], unused[2];
	struct procfs_stat stat;
	ssize_t n = procfs_read(p, "stat", text, sizeof(text));
	if (n < 0 || !procfs_parse_stat(&stat, text, (size_t)n) || stat.state != 'Z' || stat.threads > 1)
		return false;
	*status = (int)stat.exit_code;
	return stat.exit_code != 0 || procfs_link(p, "exe", unused, sizeof(unused)) == 0 || errno == ENOENT;
}

/* In this order: should its parent wait for it between the two, the second knows. */
bool procfs_exit_status(const struct procfs *p, int *status)
{
	if (ask_zombie(p, status) || ask_pidfd(p->pid_fd, status))
		return true;
	*status = 0;
	return false;
}

void procfs_signal(const struct procfs *p, int number)
{
	if (p->pid_fd >= 0)
		(void)syscall(SYS_pidfd_send_signal, p->pid_fd, number, NULL, 0);
}

/* --- why ---------------------------------------------------------------------------------------------------------- */

static const char *why_forbidden(const struct procfs *p)
{
	struct stat folder;
	if (fstatat(p->dir_fd, ".", &folder, 0) < 0 || folder.st_uid != geteuid())
		return "it belongs to another user; needs the same user or CAP_SYS_PTRACE";
	return "it has changed its identity or has rights that we lack; needs CAP_SYS_PTRACE";
}

const char *procfs_why(const struct procfs *p, int error)
{
	switch (error) {
	case EACCES:
	case EPERM:
		return why_forbidden(p);
	case ESRCH:
		return "the process has ended";
	case ENOENT:
		return "it has no such thing, or the kernel does not tell";
	case EMFILE:
	case ENFILE:
		return "no descriptor is free to read it with";
	default:
		return strerror(error);
	}
}

/* --- the system --------------------------------------------------------------------------------------------------- */

static uint64_t positive(long value, uint64_t otherwise)
{
	return value > 0 ? (uint64_t)value : otherwise;
}

static int64_t clock_ns(clockid_t clock)
{
	struct timespec t = { 0 };
	clock_gettime(clock, &t);
	return (int64_t)t.tv_sec * NS_PER_S + t.tv_nsec;
}

struct procfs_system procfs_system(void)
{
	struct procfs_system s = {
		.ticks_per_s = positive(sysconf(_SC_CLK_TCK), 100),
		.page_bytes = positive(sysconf(_SC_PAGESIZE), 4096),
		.processors = (unsigned)positive(sysconf(_SC_NPROCESSORS_ONLN), 1),
		/* CLOCK_BOOTTIME goes on while the machine sleeps, and so does what start times are counted in. */
		.boot_real_ns = clock_ns(CLOCK_REALTIME) - clock_ns(CLOCK_BOOTTIME),
	};
	s.memory_bytes = positive(sysconf(_SC_PHYS_PAGES), 0) * s.page_bytes;
	return s;
}
