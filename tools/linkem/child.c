/* child.c - linkem: a parent that only waits, and passes on what it is told. */
#include "linkem.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <sys/wait.h>

static const int passed_on[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2 };
static sigset_t watched, mask_before;

void child_prepare(void)
{
	signal(SIGCHLD,
	       SIG_DFL); /* ignored, as a caller may have left it, a child would vanish without a status (wait(2)) */
	sigemptyset(&watched);
	sigaddset(&watched, SIGCHLD);
	for (size_t i = 0; i < COUNT_OF(passed_on); i++)
		sigaddset(&watched, passed_on[i]);
	sigprocmask(SIG_BLOCK, &watched, &mask_before);
}

void child_reset(void)
{
	sigprocmask(SIG_SETMASK, &mask_before, NULL);
}

/* From a terminal (SI_KERNEL) it went to the whole foreground process group, the child among them, if there was one by
 * then. Process 1 of a PID namespace hears only what it waits for: of the signals that end others the emulator knows
 * these two. */
static void pass_on(pid_t pid, const siginfo_t *info, bool is_emulator, const sigset_t *early)
{
	int number = info->si_signo;
	if (is_emulator && number != SIGINT && number != SIGTERM)
		kill(pid, SIGTERM);
	else if (info->si_code != SI_KERNEL || sigismember(early, number) == 1)
		kill(pid, number);
}

int child_wait(pid_t pid, bool is_emulator)
{
	/* PITFALL: a child does not inherit the signals that wait for its parent (fork(2)). What the terminal sent
	 * before there was a child would be lost. What waits now may be that, and to hear of it twice does no harm. */
	sigset_t early;
	sigpending(&early);
	for (;;) {
		siginfo_t info;
		int status, number = sigwaitinfo(&watched, &info);
		if (number > 0 && number != SIGCHLD)
			pass_on(pid, &info, is_emulator, &early);
		if (waitpid(pid, &status, WNOHANG) != pid)
			continue;
		return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
	}
}
