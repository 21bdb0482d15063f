/* os.h - what differs between operating systems, and what only the kernel can tell. Layer 2.
 *
 * The only module with a platform #ifdef: elsewhere than on Linux a call does the nearest thing or says ENOTSUP. */
#ifndef TCPLAB_OS_H
#define TCPLAB_OS_H

#include "cdefs.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Processor time, ns: in user space, in the kernel on our behalf (getrusage(2)), and what we did not get: ready to run
 * while others had the processor (/proc/thread-self/schedstat, proc(5); 0 where the kernel does not count it). */
struct os_cpu {
	uint64_t user_ns, sys_ns, waited_ns;
};
struct os_cpu os_thread_cpu(void); /* of the calling thread (of the process where the system cannot tell) */

/* Starts a thread that no signal is delivered to (sig.h), with a stack of so many bytes: musl's own
 * choice is 128 KiB. It is the caller's to join; with out NULL it is detached. 0, or the error of pthread_create(3). */
MUST_USE int os_thread_start(pthread_t *out, size_t stack_len, void *(*fn)(void *), void *arg);

/* Names the calling thread for top -H and gdb; at most 15 characters are kept (pthread_setname_np(3)). */
void os_thread_name(const char *name);

unsigned os_cpu_count(void); /* processors that we may run on, at least 1 */

/* Reads one small file such as /proc/sys/net/ipv4/tcp_rmem, its blanks folded to single spaces, no newline at the end.
 * 0, or -1 with errno (ENOENT where the kernel has no such file) and an empty text. */
MUST_USE int os_read_line(const char *path, char *out, size_t cap);

/* "Linux 6.18.44" */
const char *os_kernel(char out[static 64]);

/* For drawings on standard output: the columns of the terminal, at most `most` (80 when it is none), and whether the locale
 * says that characters are UTF-8 (LC_ALL, LC_CTYPE, LANG: locale(7)). */
unsigned os_terminal_columns(unsigned most);
bool os_is_utf8(void);

/* A number that nobody can guess (getrandom(2)); if the kernel has no random numbers yet, just after booting, the time. Not
 * for keys. Never blocks. */
uint64_t os_random(void);

/* Raises the soft limit of open descriptors to the hard one and returns it. */
uint64_t os_raise_fd_limit(void);

#endif
