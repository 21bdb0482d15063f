/* client.c - linkem, last chapter: the commands that speak to a testbed which is up. */
#include "linkem.h"

#include "clock.h"
#include "diag.h"
#include "record.h"
#include "sig.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { END_LIMIT_MS = 10 * 1000 };

/* --- question and answer ------------------------------------------------------------------------------------------ */

struct answer {
	char text[CONTROL_REPLY_LEN + 1];
	char *body; /* what follows "ok\n" */
	int fds[CONTROL_FDS];
	size_t n_fds;
};

static int reach(const struct linkem_options *o, struct net_error *e)
{
	struct addr a;
	if (control_address(&a, o->name, geteuid(), e) < 0)
		return -1;
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return net_fail(e, "open", "a unix socket");
	if (connect(fd, &a.u.sa, a.len) == 0 && control_is_ours(fd))
		return fd;
	net_fail(e, "reach testbed", o->name);
	if (e->sys == ECONNREFUSED)
		e->reason = "none of that name is up ('tcplab net up' makes one)";
	else if (e->sys == 0)
		e->sys = EPERM;
	close(fd);
	return -1;
}

static void take_fds(struct answer *a, struct msghdr *m)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c != NULL; c = CMSG_NXTHDR(m, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		a->n_fds = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		memcpy(a->fds, CMSG_DATA(c), a->n_fds * sizeof(int));
	}
}

/* -1 with *e: no answer. */
static int receive(int fd, struct answer *a, struct net_error *e)
{
	union {
		struct cmsghdr align;
		unsigned char bytes[CMSG_SPACE(sizeof(int) * CONTROL_FDS)];
	} control;
	struct iovec piece = { .iov_base = a->text, .iov_len = CONTROL_REPLY_LEN };
	struct msghdr m = {
		.msg_iov = &piece, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)
	};
	a->n_fds = 0;
	ssize_t n = recvmsg(fd, &m, MSG_CMSG_CLOEXEC);
	if (n <= 0) {
		errno = n == 0 ? ECONNRESET : errno;
		net_fail(e, "hear from", "the testbed");
		if (e->sys == ECONNRESET)
			e->reason = "it has just ended";
		return -1;
	}
	a->text[n] = '\0';
	take_fds(a, &m);
	return 0;
}

/* `op` and `object` say what a refusal was about. */
static int ask(int fd, const char *question, struct answer *a, const char *op, const char *object, struct net_error *e)
{
	if (send(fd, question, strlen(question), MSG_NOSIGNAL) < 0)
		return net_fail(e, "ask", "the testbed");
	if (receive(fd, a, e) < 0)
		return -1;
	if (strncmp(a->text, "ok\n", 3) == 0) {
		a->body = a->text + 3;
		return 0;
	}
	errno = EINVAL;
	net_fail(e, op, object);
	e->reason = a->text + (strncmp(a->text, "error: ", 7) == 0 ? 7 : 0);
	return -1;
}

static int fail(const struct linkem_options *o, const struct net_error *e)
{
	record_error(o->json, e);
	return 1;
}

/* One question on a fresh connection. The descriptor, or -1 with *e. */
static int ask_once(const struct linkem_options *o, const char *question, struct answer *a, const char *op,
		    const char *object, struct net_error *e)
{
	int fd = reach(o, e);
	if (fd >= 0 && ask(fd, question, a, op, object, e) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

/* --- the commands ------------------------------------------------------------------------------------------------- */

static struct answer answer;

int linkem_set(const struct linkem_options *o, char *const words[], int n)
{
	struct net_error e;
	char question[CONTROL_LEN] = "set";
	for (int i = 0; i < n; i++) {
		size_t len = strlen(question);
		if (snprintf(question + len, sizeof(question) - len, " %s", words[i]) >=
		    (int)(sizeof(question) - len)) {
			warnf("set: too long");
			return 2;
		}
	}
	int fd = ask_once(o, question, &answer, "change", question + 4, &e);
	if (fd < 0)
		return fail(o, &e);
	close(fd);
	if (o->verbose)
		fputs(answer.body, stdout);
	return record_finish(0);
}

/* Until a signal comes, or the testbed goes. */
static int print_intervals(const struct linkem_options *o, int fd, struct net_error *e)
{
	uint64_t next_ns = clk_mono_ns();
	sig_open();
	do {
		if (ask(fd, o->json ? "interval json" : "interval", &answer, "watch", "the link", e) < 0)
			return -1;
		fputs(answer.body, stdout);
		next_ns += o->interval_ns;
		uint64_t now_ns = clk_mono_ns();
		(void)!sig_wait_fd(-1, 0, next_ns > now_ns ? next_ns - now_ns : 0);
	} while (sig_pending(NULL) == 0);
	return 0;
}

int linkem_stat(const struct linkem_options *o)
{
	struct net_error e;
	int fd = reach(o, &e), result = fd < 0 ? -1 : 0;
	if (result == 0 && o->interval_ns != 0)
		result = print_intervals(o, fd, &e);
	if (result == 0)
		result = ask(fd, o->json ? "stat json" : "stat", &answer, "count", "packets", &e);
	if (result == 0)
		fputs(answer.body, stdout);
	if (fd >= 0)
		close(fd);
	return result < 0 ? fail(o, &e) : sig_exit_status(record_finish(0));
}

int linkem_watch(const struct linkem_options *o)
{
	struct net_error e;
	int fd = ask_once(o, "watch", &answer, "watch", "packets", &e);
	if (fd < 0)
		return fail(o, &e);
	sig_open();
	while (sig_wait_fd(fd, POLLIN, CLK_NEVER) == 0 && receive(fd, &answer, &e) == 0)
		fputs(answer.text, stdout);
	close(fd);
	return sig_exit_status(record_finish(0));
}

/* Process 1 of a PID namespace ends after all others in it (pid_namespaces(7)): then everything is gone. The end of the
 * connection comes earlier. -1 with *e. */
static int wait_for_end(int fd, struct net_error *e)
{
	struct ucred who = { 0 };
	socklen_t len = sizeof(who);
	getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len);
	struct pollfd p = { .fd = (int)syscall(SYS_pidfd_open, who.pid, 0), .events = POLLIN };
	if (p.fd < 0)
		return errno == ESRCH ? 0 : net_fail(e, "wait for", "the end of the testbed");
	int n = poll(&p, 1, END_LIMIT_MS);
	close(p.fd);
	if (n > 0)
		return 0;
	errno = n == 0 ? ETIMEDOUT : errno;
	return net_fail(e, "wait for", "the end of the testbed");
}

int linkem_down(const struct linkem_options *o)
{
	struct net_error e;
	int fd = ask_once(o, o->json ? "down json" : "down", &answer, "end", "the testbed", &e);
	if (fd < 0)
		return fail(o, &e);
	fputs(answer.body, stdout);
	int result = wait_for_end(fd, &e);
	close(fd);
	return result < 0 ? fail(o, &e) : record_finish(0);
}

/* --- exec --------------------------------------------------------------------------------------------------------- */

/* The descriptors of mount, PID, network and perhaps user namespace, in this order. The user namespace comes first: it
 * gives us the right to enter the others. Whoever is in it already may not enter it again. */
static int enter(const struct answer *a, struct net_error *e)
{
	static const int kinds[] = { CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWNET };
	struct stat there, here;
	char directory[4096];
	if (a->n_fds < 3)
		return errno = EPROTO, net_fail(e, "enter", "a host");
	bool has_directory = getcwd(directory, sizeof(directory)) != NULL;
	if (a->n_fds == 4 && fstat(a->fds[3], &there) == 0 && stat("/proc/self/ns/user", &here) == 0 &&
	    there.st_ino != here.st_ino && setns(a->fds[3], CLONE_NEWUSER) < 0)
		return net_fail(e, "enter", "the user namespace of a host");
	for (unsigned i = 0; i < COUNT_OF(kinds); i++) {
		if (setns(a->fds[i], kinds[i]) < 0)
			return net_fail(e, "enter", "a namespace of a host");
	}
	/* The new mount namespace has put us into its root. */
	if (has_directory && chdir(directory) < 0)
		tracef("chdir(\"%s\"): %s", directory, errno_name(errno));
	return 0;
}

/* The child: sees the host's own devices in /sys, and has its name, so that a shell shows where it is. Not to have
 * these is no reason to fail. */
static void look_like(const char *host)
{
	if (unshare(CLONE_NEWNS | CLONE_NEWUTS) < 0 || sethostname(host, strlen(host)) < 0)
		return;
	(void)umount2("/sys", MNT_DETACH);
	(void)mount("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
}

/* alive: the writing end of a pipe that our parent reads. WHY not getppid(2): from another PID namespace it is 0. */
static _Noreturn void become(const char *host, char *const command[], int alive)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL); /* if we are killed, the command does not live on */
	struct pollfd parent = { .fd = alive };
	if (poll(&parent, 1, 0) > 0)
		_exit(1); /* POLLERR: it has been killed before it could be watched */
	child_reset();
	signal(SIGPIPE, SIG_DFL); /* a shell script's trap may have passed on that it is ignored */
	look_like(host);
	execvp(command[0], command);
	int error = errno;
	warnf_errno("run %s", command[0]);
	_exit(error == ENOENT ? 127 : 126);
}

int linkem_exec(const struct linkem_options *o, const char *host, char *const command[])
{
	struct net_error e;
	char question[64];
	snprintf(question, sizeof(question), "join %.32s", host);
	int fd = ask_once(o, question, &answer, "enter host", host, &e);
	if (fd < 0)
		return fail(o, &e);
	close(fd);
	if (enter(&answer, &e) < 0)
		return fail(o, &e);
	setenv("TCPLAB_NET", o->name, 1); /* for a linkem there */
	int alive[2];
	if (pipe2(alive, O_CLOEXEC) < 0)
		return net_fail(&e, "make", "a pipe"), fail(o, &e);
	child_prepare();
	pid_t pid = fork();
	if (pid < 0)
		return net_fail(&e, "fork", command[0]), fail(o, &e);
	if (pid == 0) {
		close(alive[0]);
		become(host, command, alive[1]);
	}
	close(alive[1]);
	return child_wait(pid, false);
}
