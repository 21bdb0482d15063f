/* run.c - linkem, first chapter: the processes, and who ends with whom.
 *
 *	in the foreground:   the caller's shell -- linkem (waits) -- emulator, process 1
 *	--background:        the caller's shell -- emulator, process 1            and linkem ends when that is ready
 *
 * Killed, with whatever signal:
 *	the emulator    the kernel kills all that runs on the hosts: it was process 1 of their PID namespace
 *	linkem          the emulator has its parent-death signal (PR_SET_PDEATHSIG)
 *	the shell       the emulator holds a descriptor of it (--while PID, pidfd_open(2)) that becomes readable
 *
 * Either way the last process inside is gone, and with it the last reference to the namespaces. */
#include "control.h"

#include "clock.h"
#include "diag.h"
#include "netns.h"
#include "record.h"
#include "sig.h"
#include "signals.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* What the emulator gets from the process that made it. */
struct inheritance {
	int outside; /* the control socket where we were called; has its name, does not listen yet */
	int holder;  /* the process that we end with; -1 */
	int ready;   /* to be written to when everything stands */
	bool has_users;
};

struct emulator {
	const struct linkem_options *o;
	struct hosts hosts;
	struct engine engine;
	struct control control;
	struct signals signals;
	struct watch holder;
	struct timer interval, end;
	struct counters before;
};

/* --- the emulator ------------------------------------------------------------------------------------------------- */

static void on_signal(struct signals *s, int number)
{
	(void)number;
	reactor_stop(s->watch.r);
}

static bool on_holder_gone(struct watch *w, unsigned events)
{
	(void)events;
	reactor_stop(w->r);
	watch_stop(w);
	return true;
}

static void on_end(struct timer *t)
{
	struct emulator *m = CONTAINER_OF(t, struct emulator, end);
	reactor_stop(m->engine.reactor);
}

static void on_interval(struct timer *t)
{
	struct emulator *m = CONTAINER_OF(t, struct emulator, interval);
	struct counters now;
	engine_count_interval(&m->engine, &now);
	linkem_report_interval(stdout, &now, &m->before, m->o->json);
	m->before = now;
	reactor_timer_start(m->engine.reactor, t, t->deadline_ns + m->o->interval_ns, on_interval);
}

static int start(struct emulator *m, struct reactor *r, const struct inheritance *from, struct net_error *e)
{
	int users = -1;
	if (from->has_users) {
		users = open("/proc/self/ns/user", O_RDONLY | O_CLOEXEC);
		if (users < 0)
			return net_fail(e, "open", "/proc/self/ns/user");
	}
	if (engine_start(&m->engine, r, &m->hosts, m->o, e) < 0 ||
	    control_start(&m->control, &m->engine, from->outside, users, e) < 0)
		return -1;
	if (signals_start(&m->signals, r, on_signal) < 0)
		return net_fail(e, "watch", "signals");
	if (from->holder >= 0 && watch_start(&m->holder, r, from->holder, WATCH_READ, on_holder_gone) < 0)
		return net_fail(e, "watch", "the process of --while");
	if (m->o->time_ns != 0)
		reactor_timer_start(r, &m->end, clk_mono_ns() + m->o->time_ns, on_end);
	if (m->o->interval_ns != 0)
		reactor_timer_start(r, &m->interval, clk_mono_ns() + m->o->interval_ns, on_interval);
	engine_count(&m->engine, &m->before);
	return 0;
}

/* A shell that called us may wait for the end of our output; and no terminal's hang-up is meant for us. */
static void go_to_background(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	for (int fd = 0; fd <= 2 && null >= 0; fd++)
		dup2(null, fd);
	if (null > 2)
		close(null);
	if (chdir("/") < 0)
		tracef("chdir(\"/\"): %s", errno_name(errno));
}

static int run_loop(struct emulator *m, struct reactor *r, const struct inheritance *from)
{
	linkem_report_ready(m->o, m->hosts.is_tun, m->hosts.has_ipv6);
	if (m->o->background)
		go_to_background();
	if (write(from->ready, "", 1) < 0)
		return 1; /* who waited for it is gone */
	close(from->ready);
	struct net_error e;
	int result = reactor_run(r) < 0 ? net_fail(&e, "wait", "the loop") : 0;
	struct counters last;
	engine_count(&m->engine, &last);
	for (unsigned i = 0; i < COUNT_OF(m->engine.captures); i++) {
		if (capture_close(&m->engine.captures[i], &e) < 0)
			result = -1;
	}
	/* As text the counters come first; of the records the last one says how it ended. */
	if (result == 0 || !m->o->json)
		linkem_report_total(stdout, &last, m->o->json);
	if (result < 0) {
		record_error(m->o->json, &e);
		return record_finish(1);
	}
	return sig_exit_status(record_finish(0));
}

/* Process 1. Whatever it leaves undone the kernel does when it ends. */
static int emulate(const struct linkem_options *o, const struct inheritance *from)
{
	static struct emulator m; /* too large for a stack */
	struct net_error e;
	m.o = o;
	signal(SIGCHLD, SIG_IGN);    /* orphans of the hosts become our children: nobody else buries them */
	prctl(PR_SET_TIMERSLACK, 1); /* precision is the product: by default a timer may be 50 us late */
	prctl(PR_SET_NAME, "linkem-link");
	if (o->background)
		setsid();
	struct reactor *r = NULL;
	if (hosts_make(&m.hosts, o, &e) < 0 || (r = reactor_new(NULL, NULL, &e)) == NULL ||
	    start(&m, r, from, &e) < 0) {
		record_error(o->json, &e);
		return 1;
	}
	return run_loop(&m, r, from);
}

/* --- the process that was called ---------------------------------------------------------------------------------- */

static int open_holder(const struct linkem_options *o, int *fd, struct net_error *e)
{
	char text[24];
	*fd = -1;
	if (o->while_pid == 0)
		return 0;
	*fd = (int)syscall(SYS_pidfd_open, (pid_t)o->while_pid, 0);
	snprintf(text, sizeof(text), "%llu", (unsigned long long)o->while_pid);
	return *fd < 0 ? net_fail(e, "watch process", text) : 0;
}

/* Root of new network namespaces: as we are, or in a user namespace. False: *e says what was refused. */
static int enter(bool *has_users, struct net_error *e)
{
	struct netns_failure why;
	const unsigned steps = NETNS_BIT(NETNS_MOUNT) | NETNS_BIT(NETNS_PID);
	const unsigned users = NETNS_BIT(NETNS_USER) | NETNS_BIT(NETNS_IDS);
	*has_users = false;
	if (geteuid() == 0 && netns_enter(steps, &why) == 0)
		return 0;
	*has_users = true;
	if (netns_enter(users | steps, &why) == 0)
		return 0;
	errno = why.error;
	net_fail(e, "make", netns_step_name(why.step));
	if (why.error == EPERM || why.error == EACCES)
		e->reason = "forbidden here, by a container, a chroot or a security module (tcplab doctor tells more)";
	return -1;
}

/* The emulator's last words have been printed by itself. */
static int wait_until_ready(int ready, pid_t pid)
{
	char byte;
	ssize_t n;
	do
		n = read(ready, &byte, 1);
	while (n < 0 && errno == EINTR);
	if (n == 1)
		return 0;
	return child_wait(pid, true);
}

static int start_emulator(const struct linkem_options *o, struct inheritance *from, struct net_error *e)
{
	int ready[2];
	if (pipe2(ready, O_CLOEXEC) < 0)
		return net_fail(e, "make", "a pipe");
	from->ready = ready[1];
	fflush(NULL);
	child_prepare();
	pid_t pid = fork();
	if (pid < 0)
		return net_fail(e, "fork", "the emulator");
	if (pid == 0) {
		close(ready[0]); /* so that the write fails if our parent has gone before it could be told */
		if (!o->background)
			prctl(PR_SET_PDEATHSIG, SIGKILL);
		child_reset();
		int status = emulate(o, from);
		fflush(NULL);
		_exit(status);
	}
	close(ready[1]);
	close(from->outside); /* or the name would be taken for as long as we live */
	int status = wait_until_ready(ready[0], pid);
	if (status == 0 && !o->background)
		status = child_wait(pid, true);
	close(ready[0]);
	return status;
}

int linkem_run(const struct linkem_options *o)
{
	struct net_error e;
	struct inheritance from = { .outside = -1 };
	int status = -1;
	sig_open();
	from.outside = control_bind(o->name, &e);
	if (from.outside >= 0 && open_holder(o, &from.holder, &e) == 0 && enter(&from.has_users, &e) == 0)
		status = start_emulator(o, &from, &e);
	if (status < 0) {
		record_error(o->json, &e);
		return 1;
	}
	return status;
}
