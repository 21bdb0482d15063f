/* child.h - a test in a process of its own: because it changes the whole process, or because it has to end it. */
#ifndef TCPLAB_CHILD_H
#define TCPLAB_CHILD_H

#include "check.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* What is lost may let a child wait for ever: then SIGALRM ends it. */
enum { CHILD_PATIENCE_S = 20 };

/* The child's exit status, 1 when one of its checks failed; 128 + N when signal N ended it. */
static inline int child_run(void (*body)(void), int is_quiet)
{
	fflush(NULL);
	pid_t pid = fork();
	if (pid == 0) {
		alarm(CHILD_PATIENCE_S);
		if (is_quiet) {
			setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
			dup2(open("/dev/null", O_WRONLY), STDERR_FILENO);
		}
		check_bad = 0;
		body();
		_exit(check_bad != 0);
	}
	int status = 0;
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static inline int in_child(void (*body)(void))
{
	return child_run(body, 0);
}

/* For a body that is meant to die of an assertion: what that prints is not shown, and no core is left. */
static inline int in_quiet_child(void (*body)(void))
{
	return child_run(body, 1);
}

/* In a child: from now on the system call fails with this errno, as if the kernel were older or out of something
 * (seccomp(2)). False where that cannot be had. */
static inline bool child_forbid(unsigned syscall_number, unsigned error)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, syscall_number, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof(code) / sizeof(code[0]), code };
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

#endif
