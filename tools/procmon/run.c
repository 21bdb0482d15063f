/* run.c - procmon as a whole: what is opened, what happens, and how it ends.
 *
 *	SIGINT, SIGTERM, --time, q in --tui, --until-exit and all have ended
 *	   |
 *	   +-- a command that we have started still runs: SIGTERM, and END_S for it to end
 *	   |
 *	   +-- the report, the total, the exit status */
#include "procmon.h"
#include "routes.h"
#include "tui.h"

#include "clock.h"
#include "diag.h"
#include "mem.h"
#include "os.h"
#include "record.h"
#include "sig.h"
#include "sock.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { END_S = 2 };

/* --- the command -------------------------------------------------------------------------------------------------- */

/* It gets signals as a shell would start it. Where our standard output is for records or the screen its own goes
 * elsewhere. */
static int spawn(const struct procmon_options *o, pid_t *pid)
{
	posix_spawnattr_t attributes;
	posix_spawn_file_actions_t actions;
	sigset_t defaults, none;
	sigemptyset(&none);
	sigemptyset(&defaults);
	sigaddset(&defaults, SIGPIPE);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
	posix_spawnattr_setsigdefault(&attributes, &defaults);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawn_file_actions_init(&actions);
	if (o->tui) {
		posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
		posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
		posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO);
	} else if (o->json) {
		posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);
	}
	int err = posix_spawnp(pid, o->command[0], &actions, &attributes, o->command, environ);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attributes);
	return err;
}

static int start_command(struct procmon *m, struct net_error *e)
{
	pid_t pid;
	uint64_t began_ns = clk_mono_ns();
	signal(SIGCHLD, SIG_DFL); /* or the kernel would throw its status away, if we were started with that ignored */
	errno = spawn(m->o, &pid);
	if (errno != 0)
		return net_fail(e, "run", m->o->command[0]);
	if (watched_open(m, pid, m->o->name, began_ns, e) == 0)
		return 0;
	kill(pid, SIGTERM);
	return -1;
}

static int open_processes(struct procmon *m, struct net_error *e)
{
	if (m->o->command != NULL)
		return start_command(m, e);
	for (unsigned i = 0; i < m->o->n_pids; i++) {
		if (watched_open(m, m->o->pid[i], m->o->name, 0, e) < 0)
			return -1;
	}
	return 0;
}

/* --- what happens ------------------------------------------------------------------------------------------------- */

/* CLOCK_BOOTTIME is the clock that nobody sets and that goes on while the machine sleeps (clock_gettime(2)). */
static int64_t boot_ns(void)
{
	struct timespec t = { 0 };
	clock_gettime(CLOCK_BOOTTIME, &t);
	return (int64_t)t.tv_sec * NS_PER_S + t.tv_nsec;
}

int64_t procmon_real_ns(const struct procmon *m, uint64_t mono_ns)
{
	return m->start_real_ns + (boot_ns() - m->start_boot_ns) - (int64_t)(clk_mono_ns() - mono_ns);
}

void procmon_sampled(struct procmon *m, struct watched *w)
{
	if (m->is_started && (m->o->json || m->o->verbose) && !m->o->once && !m->o->tui)
		print_sample(w);
}

void procmon_ticked(struct procmon *m)
{
	if (ferror(stdout) && !m->is_ending) {
		procmon_stop(m); /* nobody reads the records any more; record_finish says so */
		return;
	}
	if (m->routes != NULL)
		routes_sampled(m->routes);
	if (m->tui != NULL)
		tui_sampled(m->tui);
	if (m->o->once && !m->is_ending) {
		print_once(m);
		procmon_stop(m);
	}
}

void procmon_ended(struct procmon *m, struct watched *w)
{
	if (!m->o->once && !m->o->tui)
		print_end(w);
	if (m->routes != NULL)
		routes_sampled(m->routes);
	if (m->tui != NULL)
		tui_sampled(m->tui);
	if (m->n_live == 0 && (m->o->until_exit || m->o->once || m->is_ending))
		reactor_stop(m->reactor);
}

void procmon_mark(struct procmon *m, const char *label)
{
	char plain[4 * MARK_LABEL];
	size_t n = 0;
	for (; label[n] != '\0' && n < sizeof(plain) - 1; n++)
		plain[n] = (unsigned char)label[n] < ' ' || label[n] == 0x7f ? ' ' : label[n];
	plain[n] = '\0';
	marks_add(&m->marks, procmon_real_ns(m, clk_mono_ns()), plain);
	if (m->o->json)
		print_mark(m, &m->marks.mark[m->marks.n - 1]);
}

/* --- the end ------------------------------------------------------------------------------------------------------ */

/* With --children all of them: what is watched as one ends as one. */
static void end_command(const struct watched *w)
{
	for (size_t i = 0; i < w->n_members; i++) {
		procfs_signal(&w->member[i].proc, SIGTERM);
		procfs_signal(&w->member[i].proc, SIGCONT); /* or a stopped one would not see it */
	}
}

static void on_patience_over(struct timer *t)
{
	struct procmon *m = CONTAINER_OF(t, struct procmon, end_timer);
	warnf("process %d has not ended %d s after SIGTERM, and is left running", (int)m->first->pid, END_S);
	reactor_stop(m->reactor);
}

void procmon_stop(struct procmon *m)
{
	struct watched *w = m->first;
	if (m->is_ending) {
		reactor_stop(m->reactor);
		return;
	}
	m->is_ending = true;
	if (!w->is_child || w->has_ended) {
		reactor_stop(m->reactor);
		return;
	}
	end_command(w);
	reactor_timer_start(m->reactor, &m->end_timer, reactor_now_ns(m->reactor) + (uint64_t)END_S * NS_PER_S,
			    on_patience_over);
}

static void on_signal(struct signals *s, int number)
{
	(void)number;
	procmon_stop(CONTAINER_OF(s, struct procmon, signals));
}

static void on_time(struct timer *t)
{
	procmon_stop(CONTAINER_OF(t, struct procmon, end_timer));
}

/* Nothing was lost on the way to the disk: that is known only after the last byte. */
static int write_report(struct procmon *m, FILE *out, struct net_error *e)
{
	for (struct watched *w = m->first; w != NULL; w = w->next)
		watched_look(w, ~0u); /* those that live: everything as it is now */
	report_html(out, m);
	int failed = ferror(out);
	if (fclose(out) != 0 || failed)
		return net_fail(e, "write report", m->o->report);
	return 0;
}

/* --- all of it ---------------------------------------------------------------------------------------------------- */

static bool has_pages(const struct procmon_options *o)
{
	return !o->once && (!o->tui || o->has_port);
}

static int start_pages(struct procmon *m, struct net_error *e)
{
	static const char *names[ARG_LIST_MAX + 1];
	static const struct sock_options sock = { .nodelay = true };
	const struct procmon_options *o = m->o;
	struct addr bound;
	int family = o->ipv4 ? AF_INET : o->ipv6 ? AF_INET6 : AF_UNSPEC;
	const char *host = o->bind != NULL ? o->bind : o->ipv6 ? "::1" : "127.0.0.1";
	int fd = sock_serve(host, (uint16_t)o->port, family, &sock, &bound, e);
	if (fd < 0)
		return -1;
	for (unsigned i = 0; i < o->hosts.n; i++)
		names[i] = o->hosts.said[i].value;
	m->host = addr_text(&bound, m->bound);
	m->routes = routes_start(m, fd, names);
	if (m->routes == NULL)
		return net_fail(e, "serve http on", m->host);
	if (!addr_is_loopback(&bound))
		warnf("whoever can reach %s sees what is watched", m->host);
	return 0;
}

static void start_watching(struct procmon *m)
{
	if (m->host != NULL)
		fprintf(stderr, "%s: listening on %s\n", diag_tool, m->host);
	print_start(m);
	m->is_started = true;
	for (struct watched *w = m->first; w != NULL; w = w->next) {
		if (w->samples > 0)
			procmon_sampled(m, w); /* the first one, which was taken before all were open */
		if (m->o->once)
			watched_look(w, ~0u);
	}
	if (m->o->time_ns != 0)
		reactor_timer_start(m->reactor, &m->end_timer, reactor_now_ns(m->reactor) + m->o->time_ns, on_time);
	watched_start(m);
}

/* Opens all there is to open; what is open when it fails is closed by close_up. */
static int open_up(struct procmon *m, FILE **report, struct net_error *e)
{
	m->reactor = reactor_new(NULL, NULL, e);
	if (m->reactor == NULL)
		return -1;
	if (signals_start(&m->signals, m->reactor, on_signal) < 0)
		return net_fail(e, "watch", "signals");
	if (m->o->report != NULL && (*report = fopen(m->o->report, "we")) == NULL)
		return net_fail(e, "open report", m->o->report);
	if (has_pages(m->o) && start_pages(m, e) < 0)
		return -1;
	if (open_processes(m, e) < 0)
		return -1;
	os_raise_fd_limit(); /* after the command was started: its limit is not ours to raise */
	return 0;
}

static int close_up(struct procmon *m, int status)
{
	if (m->reactor == NULL)
		return status;
	if (m->first != NULL && m->first->is_child && !m->first->has_ended && !m->is_ending)
		end_command(m->first); /* something failed after it was started */
	watched_stop(m);
	tui_stop(m->tui);
	routes_stop(m->routes);
	reactor_timer_stop(m->reactor, &m->end_timer);
	signals_stop(&m->signals);
	watched_close_all(m);
	if (reactor_run(m->reactor) < 0) /* once more: connections free themselves */
		status = 1;
	reactor_free(m->reactor);
	return status;
}

static int watch(struct procmon *m, FILE **report, struct net_error *e)
{
	start_watching(m);
	if (m->o->tui && (m->tui = tui_start(m, e)) == NULL)
		return -1;
	if (reactor_run(m->reactor) < 0)
		return net_fail(e, "wait", "for events");
	watched_stop(m);
	tui_stop(m->tui);
	m->tui = NULL;
	if (*report != NULL && write_report(m, *report, e) < 0) {
		*report = NULL;
		return -1;
	}
	*report = NULL;
	if (!m->o->once)
		print_total(m);
	else if (!m->is_ending) /* all have ended before the interval was over */
		print_once(m);
	return 0;
}

int procmon_run(const struct procmon_options *o)
{
	struct procmon m = {
		.o = o, .start_real_ns = clk_real_ns(), .start_boot_ns = boot_ns(), .system = procfs_system()
	};
	struct net_error e;
	FILE *report = NULL;
	int status = 0;
	if (open_up(&m, &report, &e) < 0 || watch(&m, &report, &e) < 0) {
		record_error(o->json, &e);
		status = 1;
	}
	if (report != NULL)
		fclose(report);
	return record_finish(close_up(&m, status));
}
