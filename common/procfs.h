/* procfs.h - a process as the kernel shows it: files under /proc/PID, its pidfd, its exit. Layer 2.
 *
 *	struct procfs p;
 *	if (procfs_open(&p, pid, &e) < 0)
 *		...                                          ESRCH: no such process
 *	ssize_t n = procfs_read(&p, "stat", text, sizeof(text));
 *	procfs_close(&p);
 *
 * SAME PROCESS  everything is read by way of a descriptor of /proc/PID, and that belongs to the process, not to the
 *   number: once it has ended the files are gone (ESRCH), whoever has the pid now. procfs_open makes sure that the
 *   pidfd and the folder are of one and the same. Where processes are remembered by number (children), the start time
 *   tells two of one number apart (procfs_stat.start_ticks).
 * RIGHTS  stat, status, schedstat, limits, cmdline, comm, the thread list, the number of descriptors (from 6.2 on) and
 *   the processor time may be read by everybody; io, fd, fdinfo, maps, smaps, environ, exe, cwd only by who might trace
 *   it (ptrace(2), PTRACE_MODE_READ: the same user, and it has not changed its own identity; or CAP_SYS_PTRACE): for
 *   others EACCES, but wchan then just says "0", and a zombie's exit code 0. procfs_why says this of an errno. With
 *   hidepid (proc(5)) others are not seen at all: procfs_open fails with EACCES and says so.
 * THE END  has three steps: the process ends (pid_fd becomes readable, state Z: a zombie; its processor time and status
 *   are still there, memory and descriptors are not); its parent waits for it (pid_fd reports POLLHUP, too; all files
 *   ESRCH); the number may be used again. When only the first thread has ended, the state is Z as well, without memory
 *   and descriptors; but pid_fd is not readable, stat counts the other threads, and "task/TID/smaps_rollup" of one of
 *   these has what the process has. */
#ifndef TCPLAB_PROCFS_H
#define TCPLAB_PROCFS_H

#include "addr.h"
#include "procfs_parse.h"

#include <sys/types.h>

struct procfs {
	pid_t pid;
	int dir_fd; /* /proc/PID; -1: not open */
	int pid_fd; /* readable once it has ended (pidfd_open(2)); -1 where the kernel has none (before 5.3) */
	uint64_t start_ticks;
};

/* 0, or -1 with *e: ESRCH (also for a thread, and where /proc is another pid namespace's); EACCES: hidden; EMFILE. A
 * zombie can be opened. Does not block. */
MUST_USE int procfs_open(struct procfs *p, pid_t pid, struct net_error *e);
void procfs_close(struct procfs *p); /* may be closed already; keeps errno */

/* The whole file, at most cap - 1 bytes of it, and a zero behind; cap is at least 1. Bytes read, or -1 with errno
 * (ESRCH: the process has ended, or has no memory any more; EACCES, EPERM: procfs_why) and an empty text. name may
 * be "task/123/stat" and the like. 4096 bytes are enough for each of stat, io, limits, schedstat and smaps_rollup,
 * and for status unless its user is in hundreds of groups. */
MUST_USE ssize_t procfs_read(const struct procfs *p, const char *name, char *out, size_t cap);

/* The same for a file of any length, at most `most` bytes; the caller frees *out (NULL after -1). */
MUST_USE ssize_t procfs_read_all(const struct procfs *p, const char *name, size_t most, char **out);

/* Where a link leads ("exe", "cwd", "fd/3"), cut off at cap - 1. 0, or -1 with errno (ENOENT: a kernel thread or a
 * zombie has no program) and an empty text. */
MUST_USE int procfs_link(const struct procfs *p, const char *name, char *out, size_t cap);

/* Numbers that are names in a folder ("task", "fd"), ascending; of more than `most` the first ones are kept that the
 * kernel tells. How many there are (may be more than `most`), or -1 with errno. The caller frees *out. */
MUST_USE ssize_t procfs_numbers(const struct procfs *p, const char *folder, size_t most, uint32_t **out);

/* How many descriptors it has open: without walking through them, and for every user's process, where the kernel can
 * tell (from 6.2 on, the size of the folder); else counted. -1 with errno. */
MUST_USE int64_t procfs_count_files(const struct procfs *p);

/* Processor time of all its threads, those that ended included, to the nanosecond (clock_getcpuclockid(3)): stat's
 * is rounded to ticks. 0, or -1 with errno. Any user's process, and a zombie. */
MUST_USE int procfs_cpu_ns(const struct procfs *p, uint64_t *out);

/* `pid` first, and then those that have it as an ancestor, children before their children; at most `most`. How many.
 * From /proc/PID/task/TID/children, or where the kernel has none, from every process's stat. The caller frees *out.
 * LIMIT: no snapshot. What begins or ends meanwhile may be missing, and a child whose parent has ended is another's. */
MUST_USE size_t procfs_tree(pid_t pid, size_t most, pid_t **out);

/* kill(2) for this process and no other, also when its number is another's by now. Where the kernel has no pidfd
 * nothing is sent. */
void procfs_signal(const struct procfs *p, int number);

/* How it ended. True: *status is as waitpid(2) gives it (WIFEXITED ...). Of a zombie whoever may trace it learns
 * that (RIGHTS); once its parent has waited, everybody on kernels from 6.15 on (PIDFD_GET_INFO). False, and *status
 * 0: it runs; or it is another user's zombie, then ask again later (pid_fd reports POLLHUP when its parent has
 * waited); or the kernel never tells. */
MUST_USE bool procfs_exit_status(const struct procfs *p, int *status);

/* Why a file of it cannot be read, in a sentence: "it belongs to another user; needs the same user or CAP_SYS_PTRACE".
 * Static text; never NULL. */
const char *procfs_why(const struct procfs *p, int error);

/* The system: ticks each second, bytes of a page, processors that are on, memory, and the boot as CLOCK_REALTIME ns
 * (start_ticks count from there). */
struct procfs_system {
	uint64_t ticks_per_s, page_bytes, memory_bytes;
	unsigned processors;
	int64_t boot_real_ns;
};
struct procfs_system procfs_system(void);

#endif
