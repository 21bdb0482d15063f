/* sig.h - the end of a program by SIGINT or SIGTERM, without a handler that does anything. Layer 2.
 *
 * sig_open blocks both signals, so every thread started later has them blocked too; they are let in only while the main
 * thread waits in sig_wait. So no system call is ever interrupted in the middle of the work, and main decides in one
 * place what the end means. Call these from the main thread only. */
#ifndef TCPLAB_SIG_H
#define TCPLAB_SIG_H

#include "cdefs.h"

#include <poll.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Blocks SIGINT and SIGTERM and ignores SIGPIPE (a gone peer is an error of the write, not the end of the process).
 * LIMIT: an ignored SIGPIPE is inherited over exec; whoever runs another program sets it back. */
void sig_open(void);

/* ppoll(2) that also ends when SIGINT or SIGTERM came: the number of ready descriptors, 0 at the deadline (CLK_NEVER:
 * none) or after a signal, -1 with errno. BLOCKS. */
MUST_USE int sig_wait(struct pollfd *fds, unsigned n, uint64_t deadline_ns);

/* The same for one descriptor: until it is ready for these events, limit_ns at most (CLK_NEVER: no limit). 0, or -1 with errno:
 * ECANCELED (a signal came, now or before), ETIMEDOUT. fd -1 only lets time pass. BLOCKS. */
MUST_USE int sig_wait_fd(int fd, short events, uint64_t limit_ns);

/* For a stage in which main blocks elsewhere than in sig_wait (connecting): let the signals in, and hand sig_flag() to the
 * calls that can be cancelled (io.h, sock.h). Who does not look at the flag is ended by the third signal. */
void sig_let_in(bool in);
const atomic_bool *sig_flag(void); /* true once a signal came */

/* For an event loop: a descriptor that is readable when a signal waits (signalfd(2)); the caller closes it. -1 with errno. */
MUST_USE int sig_open_fd(void);

/* The same for SIGHUP, by which a server is told to read its lists again; it is blocked from now on. */
MUST_USE int sig_open_reload_fd(void);

/* Takes one signal from either: its number, or 0 when none waits. SIGINT and SIGTERM count as if they had come in at
 * sig_wait. */
int sig_take(int fd);

/* The signal that asked us to end, or 0. How often one came so far is in *times, unless it is NULL. */
int sig_pending(int *times);

/* What a shell expects of a program that a signal ended: 130 for SIGINT, 143 for SIGTERM; `otherwise` if none came. */
int sig_exit_status(int otherwise);

#endif
