#include "sig.h"

#include "clock.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum { PATIENCE = 3 };

static volatile sig_atomic_t caught_signal, caught_times;
static atomic_bool flag; /* lock-free, and so fit for a handler (C11 7.14.1.1) */
static sigset_t mask_before;

static void on_signal(int number)
{
	caught_signal = number;
	caught_times++;
	atomic_store(&flag, true);
	if (caught_times >= PATIENCE)
		_exit(128 + number);
}

const atomic_bool *sig_flag(void)
{
	return &flag;
}

static sigset_t both(void)
{
	sigset_t ends;
	sigemptyset(&ends);
	sigaddset(&ends, SIGINT);
	sigaddset(&ends, SIGTERM);
	return ends;
}

void sig_let_in(bool in)
{
	sigset_t ends = both();
	pthread_sigmask(in ? SIG_UNBLOCK : SIG_BLOCK, &ends, NULL);
}

int sig_open_fd(void)
{
	sigset_t ends = both();
	return signalfd(-1, &ends, SFD_NONBLOCK | SFD_CLOEXEC);
}

int sig_open_reload_fd(void)
{
	sigset_t reload;
	sigemptyset(&reload);
	sigaddset(&reload, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &reload, NULL);
	return signalfd(-1, &reload, SFD_NONBLOCK | SFD_CLOEXEC);
}

int sig_take(int fd)
{
	struct signalfd_siginfo info;
	if (read(fd, &info, sizeof(info)) != sizeof(info))
		return 0;
	if (info.ssi_signo != SIGHUP)
		on_signal((int)info.ssi_signo);
	return (int)info.ssi_signo;
}

void sig_open(void)
{
	static const int numbers[] = { SIGINT, SIGTERM };
	struct sigaction action = { .sa_handler = on_signal };
	sigset_t ends = both();
	/* WHY first: a signal between handler and mask would run the handler, and an event loop, which asks its descriptor
	 * (sig_open_fd) and not us, would never know. */
	sigprocmask(SIG_BLOCK, &ends, &mask_before);
	/* A shell starts background commands with SIGINT ignored and nohup blocks nothing: make sure ours come through. */
	for (size_t i = 0; i < COUNT_OF(numbers); i++) {
		sigaction(numbers[i], &action, NULL);
		sigdelset(&mask_before, numbers[i]);
	}
	action.sa_handler = SIG_IGN;
	sigaction(SIGPIPE, &action, NULL);
}

int sig_wait(struct pollfd *fds, unsigned n, uint64_t deadline_ns)
{
	uint64_t now = clk_mono_ns();
	uint64_t left_ns = deadline_ns > now ? deadline_ns - now : 0;
	struct timespec left = { .tv_sec = (time_t)(left_ns / NS_PER_S), .tv_nsec = (long)(left_ns % NS_PER_S) };
	int ready = ppoll(fds, n, deadline_ns == CLK_NEVER ? NULL : &left, &mask_before);
	if (ready > 0) {
		/* WHY: when a descriptor is ready at once, ppoll(2) does not stop for a signal; a busy server would never see it. */
		sigset_t mask;
		pthread_sigmask(SIG_SETMASK, &mask_before, &mask);
		pthread_sigmask(SIG_SETMASK, &mask, NULL);
	}
	return ready < 0 && errno == EINTR ? 0 : ready;
}

int sig_wait_fd(int fd, short events, uint64_t limit_ns)
{
	struct pollfd p = { .fd = fd, .events = events };
	uint64_t deadline_ns = limit_ns == CLK_NEVER ? CLK_NEVER : clk_mono_ns() + limit_ns;
	for (;;) {
		int n = caught_signal != 0 ? 0 : sig_wait(&p, 1, deadline_ns);
		if (n < 0)
			return -1;
		errno = ECANCELED;
		if (caught_signal != 0)
			return -1;
		if (n > 0)
			return 0;
		/* Another signal than ours ends the poll as well, and is none of our business. */
		errno = ETIMEDOUT;
		if (clk_mono_ns() >= deadline_ns)
			return -1;
	}
}

int sig_pending(int *times)
{
	if (times != NULL)
		*times = caught_times;
	return caught_signal;
}

int sig_exit_status(int otherwise)
{
	return caught_signal != 0 ? 128 + caught_signal : otherwise;
}
