/* watched.c - procmon: the processes that are watched, from the first look to the last.
 *
 *	watched_open     who is it; its pidfd is watched
 *	each interval    a sample (sample.c), which goes into its history
 *	the pidfd        it has ended: a last sample while it is a zombie, then how it ended. Nothing of it is read any
 *	                 more, and all that is known of it stays */
#include "tree.h"

#include "clock.h"
#include "mem.h"
#include "os.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { IDENTITY_S = 10, LIMITS_TEXT = 4096, STATUS_TRIES = 20, STATUS_PAUSE_MS = 50 };

/* --- who it is ---------------------------------------------------------------------------------------------------- */

static void read_words(const struct procfs *p, const char *name, size_t most, char **out, size_t *len)
{
	char *text;
	ssize_t n = procfs_read_all(p, name, most, &text);
	if (n < 0)
		return; /* what was known stays */
	free(*out);
	*out = text;
	*len = (size_t)n;
}

static void read_user(struct watched *w)
{
	char buffer[1024];
	struct passwd record, *found = NULL;
	if (getpwuid_r(w->status.euid, &record, buffer, sizeof(buffer), &found) == 0 && found != NULL)
		snprintf(w->user, sizeof(w->user), "%s", record.pw_name);
	else
		snprintf(w->user, sizeof(w->user), "uid %u", w->status.euid);
}

/* The first file that may not be read says which right is missing; the others need the same. */
static void read_links(struct watched *w)
{
	const struct procfs *p = &w->member[0].proc;
	char exe[PROCFS_PATH], cwd[PROCFS_PATH];
	w->why = NULL;
	if (procfs_link(p, "exe", exe, sizeof(exe)) == 0)
		snprintf(w->exe, sizeof(w->exe), "%s", exe);
	else if (errno == EACCES || errno == EPERM)
		w->why = procfs_why(p, errno);
	if (procfs_link(p, "cwd", cwd, sizeof(cwd)) == 0)
		snprintf(w->cwd, sizeof(w->cwd), "%s", cwd);
}

static void read_identity(struct watched *w)
{
	char text[LIMITS_TEXT];
	const struct procfs *p = &w->member[0].proc;
	struct procfs_limits limits;
	snprintf(w->name, sizeof(w->name), "%s", w->stat.name);
	snprintf(w->label, sizeof(w->label), "%s", w->given_label != NULL ? w->given_label : w->name);
	read_links(w);
	read_words(p, "cmdline", PROCMON_COMMAND, &w->command, &w->command_len);
	if (w->procmon->o->allow_environ)
		read_words(p, "environ", PROCMON_ENVIRON, &w->environ, &w->environ_len);
	ssize_t len = procfs_read(p, "limits", text, sizeof(text));
	if (len >= 0 && procfs_parse_limits(&limits, text, (size_t)len))
		w->limits = limits;
	read_user(w);
	w->identity_ns = clk_mono_ns();
}

/* exec changes the name, most of the time. */
static bool is_identity_old(const struct watched *w)
{
	return strcmp(w->name, w->stat.name) != 0 || w->at_ns - w->identity_ns > (uint64_t)IDENTITY_S * NS_PER_S;
}

/* --- samples ------------------------------------------------------------------------------------------------------ */

static void remember(struct watched *w)
{
	w->samples++;
	history_add(w->history, w->at_real_ns, w->value);
	procmon_sampled(w->procmon, w);
}

/* False: it has ended; the pidfd tells when (or told it in this very round), but there is none before Linux 5.3. */
static bool take(struct watched *w)
{
	switch (sample_is_late(w) ? LOOK_TOO_LATE : sample_take(w, false)) {
	case LOOK_TOO_LATE:
		return false;
	case LOOK_MISSED:
		w->procmon->missed++;
		return true;
	case LOOK_DONE:
		break;
	}
	if (is_identity_old(w))
		read_identity(w);
	remember(w);
	return true;
}

static void read_own_cost(struct procmon *m)
{
	char text[256];
	struct rusage r;
	unsigned long long resident = 0;
	uint64_t now_ns = clk_mono_ns();
	getrusage(RUSAGE_SELF, &r);
	uint64_t cpu_ns = (uint64_t)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) * NS_PER_S +
			  (uint64_t)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) * NS_PER_US;
	bool is_rate = m->own.at_ns != 0 && now_ns > m->own.at_ns;
	m->own.cpu_percent = is_rate ? 100.0 * (double)(cpu_ns - m->own.cpu_ns) / (double)(now_ns - m->own.at_ns) : NAN;
	m->own.cpu_ns = cpu_ns;
	m->own.at_ns = now_ns;
	if (os_read_line("/proc/self/statm", text, sizeof(text)) == 0 && sscanf(text, "%*u %llu", &resident) == 1)
		m->own.resident_bytes = resident * m->system.page_bytes;
}

/* --- the end ------------------------------------------------------------------------------------------------------ */

static void learn_status(struct watched *w)
{
	int status;
	if (w->is_child)
		w->is_status_known = waitpid(w->pid, &w->exit_status, WNOHANG) == w->pid;
	else if (procfs_exit_status(&w->member[0].proc, &status)) {
		w->exit_status = status;
		w->is_status_known = true;
	}
}

/* A process that its parent has not waited for yet tells us nothing (but see procfs_exit_status), so we ask again for a
 * while. Afterwards each tick does. */
static void ask_status(struct watched *w);

static void on_status_timer(struct timer *t)
{
	ask_status(CONTAINER_OF(t, struct watched, status_timer));
}

static void ask_status(struct watched *w)
{
	struct reactor *r = w->procmon->reactor;
	learn_status(w);
	if (!w->is_status_known && w->status_tries++ < STATUS_TRIES) {
		reactor_timer_start(r, &w->status_timer, reactor_now_ns(r) + (uint64_t)STATUS_PAUSE_MS * NS_PER_MS,
				    on_status_timer);
		return;
	}
	w->procmon->n_live--;
	procmon_ended(w->procmon, w);
}

static void end(struct watched *w)
{
	struct procmon *m = w->procmon;
	if (watch_is_started(&w->exit_watch))
		watch_stop(&w->exit_watch);
	w->has_ended = true;
	w->ended_ns = clk_mono_ns();
	w->ended_real_ns = procmon_real_ns(m, w->ended_ns);
	/* A zombie: what it has counted is still there. */
	if (sample_take(w, true) == LOOK_DONE && !isnan(w->value[COLUMN_CPU]))
		remember(w);
	memcpy(w->value, w->known, sizeof(w->value)); /* the last that was seen of everything */
	ask_status(w);
}

static bool on_exit_event(struct watch *watch, unsigned events)
{
	(void)events;
	end(CONTAINER_OF(watch, struct watched, exit_watch));
	return true;
}

/* --- the tick ----------------------------------------------------------------------------------------------------- */

static void on_tick(struct timer *t);

static void start_tick(struct procmon *m)
{
	reactor_timer_start(m->reactor, &m->tick, m->due_ns, on_tick);
}

/* The deadlines are a grid, so that late ones do not add up; one that was missed altogether is counted, not made up
 * for. */
static void advance(struct procmon *m)
{
	uint64_t now_ns = clk_mono_ns(), late_ns = now_ns > m->due_ns ? now_ns - m->due_ns : 0;
	m->late_ns = late_ns > m->late_ns ? late_ns : m->late_ns;
	m->missed += late_ns / m->o->interval_ns;
	m->due_ns += (late_ns / m->o->interval_ns + 1) * m->o->interval_ns;
}

static void on_tick(struct timer *t)
{
	struct procmon *m = CONTAINER_OF(t, struct procmon, tick);
	advance(m);
	for (struct watched *w = m->first; w != NULL; w = w->next) {
		if (!w->has_ended && !take(w))
			end(w);
		else if (w->has_ended && !w->is_status_known)
			learn_status(w); /* its parent may have waited for it meanwhile */
	}
	read_own_cost(m);
	start_tick(m);
	procmon_ticked(m);
}

void watched_start(struct procmon *m)
{
	m->due_ns = clk_mono_ns() + m->o->interval_ns;
	read_own_cost(m);
	start_tick(m);
}

void watched_stop(struct procmon *m)
{
	reactor_timer_stop(m->reactor, &m->tick);
}

/* --- begin and end of watching ------------------------------------------------------------------------------------ */

static void free_watched(struct watched *w)
{
	if (watch_is_started(&w->exit_watch))
		watch_stop(&w->exit_watch);
	reactor_timer_stop(w->procmon->reactor, &w->status_timer);
	tree_close(w);
	threads_free(&w->threads);
	files_free(&w->files);
	maps_free(&w->maps);
	sockets_close(&w->sockets);
	history_free(w->history);
	free(w->command);
	free(w->environ);
	free(w);
}

static int watch_exit(struct watched *w)
{
	int fd = w->member[0].proc.pid_fd;
	return fd < 0 ? 0
		      : watch_start(&w->exit_watch, w->procmon->reactor, fd, WATCH_READ | WATCH_BACKGROUND,
				    on_exit_event);
}

/* Of a child that we have just started the first sample is the first interval; of another process it is what there is
 * now. */
static int first_look(struct watched *w, uint64_t began_ns, struct net_error *e)
{
	const struct procfs_system *s = &w->procmon->system;
	if (sample_take(w, false) != LOOK_DONE) {
		errno = ESRCH;
		return net_fail(e, "watch process", w->object);
	}
	read_identity(w);
	w->start_real_ns = s->boot_real_ns + (int64_t)(w->stat.start_ticks * (NS_PER_S / s->ticks_per_s));
	w->first_ns = w->is_child ? began_ns : w->at_ns;
	if (!w->is_child) {
		w->first_cpu_ns = w->total[COUNTER_CPU_NS];
		remember(w);
		return 0;
	}
	w->before_ns = began_ns;
	memset(w->before, 0, sizeof(w->before));
	memset(w->total, 0, sizeof(w->total));
	return 0;
}

int watched_open(struct procmon *m, pid_t pid, const char *label, uint64_t began_ns, struct net_error *e)
{
	struct watched *w = xcalloc(1, sizeof(*w)), **link = &m->first;
	*w = (struct watched){
		.procmon = m, .pid = pid, .given_label = label, .is_child = began_ns != 0, .n_members = 1
	};
	w->member = xcalloc(1, sizeof(*w->member));
	w->member[0].proc = (struct procfs){ .dir_fd = -1, .pid_fd = -1 };
	snprintf(w->object, sizeof(w->object), "%d", (int)pid);
	for (size_t i = 0; i < COLUMNS; i++)
		w->most[i] = w->known[i] = NAN;
	w->history = history_new(m->o->interval_ns);
	if (procfs_open(&w->member[0].proc, pid, e) < 0 || sockets_open(&w->sockets, &w->member[0].proc, e) < 0 ||
	    first_look(w, began_ns, e) < 0) {
		free_watched(w);
		return -1;
	}
	if (watch_exit(w) < 0) {
		net_fail(e, "watch process", w->object);
		free_watched(w);
		return -1;
	}
	while (*link != NULL)
		link = &(*link)->next;
	*link = w;
	m->n_watched++;
	m->n_live++;
	return 0;
}

void watched_close_all(struct procmon *m)
{
	struct watched *next;
	for (struct watched *w = m->first; w != NULL; w = next) {
		next = w->next;
		free_watched(w);
	}
	m->first = NULL;
}

/* --- for those who look ------------------------------------------------------------------------------------------- */

struct watched *watched_find(const struct procmon *m, pid_t pid)
{
	struct watched *w = m->first;
	while (w != NULL && w->pid != pid)
		w = w->next;
	return w;
}

void watched_look(struct watched *w, unsigned sources)
{
	uint64_t now_ns = clk_mono_ns();
	unsigned old = 0;
	if (w->has_ended)
		return;
	for (enum source source = 0; source < SOURCES; source++) {
		struct source_state *s = &w->source[source];
		if (!(sources & SOURCE_BIT(source)))
			continue;
		if (s->looked_ns == 0)
			s->read_ns = 0; /* for the first look it is read now: it has more than what was read unseen */
		if (now_ns - s->read_ns > w->procmon->o->interval_ns)
			old |= SOURCE_BIT(source);
		s->looked_ns = now_ns;
	}
	sample_sources(w, old);
}

uint64_t watched_age_ns(const struct watched *w)
{
	int64_t until_ns = w->has_ended ? w->ended_real_ns : procmon_real_ns(w->procmon, clk_mono_ns());
	return until_ns > w->start_real_ns ? (uint64_t)(until_ns - w->start_real_ns) : 0;
}

int watched_exit_status(const struct watched *w)
{
	if (!w->is_status_known)
		return -1;
	return WIFSIGNALED(w->exit_status) ? 128 + WTERMSIG(w->exit_status) : WEXITSTATUS(w->exit_status);
}

/* sigabbrev_np(3) is glibc's alone. */
const char *watched_exit_signal(const struct watched *w)
{
	static const char *const names[] = {
		[SIGHUP] = "SIGHUP",   [SIGINT] = "SIGINT",   [SIGQUIT] = "SIGQUIT", [SIGILL] = "SIGILL",
		[SIGTRAP] = "SIGTRAP", [SIGABRT] = "SIGABRT", [SIGBUS] = "SIGBUS",   [SIGFPE] = "SIGFPE",
		[SIGKILL] = "SIGKILL", [SIGUSR1] = "SIGUSR1", [SIGSEGV] = "SIGSEGV", [SIGUSR2] = "SIGUSR2",
		[SIGPIPE] = "SIGPIPE", [SIGALRM] = "SIGALRM", [SIGTERM] = "SIGTERM", [SIGXCPU] = "SIGXCPU",
		[SIGXFSZ] = "SIGXFSZ", [SIGSYS] = "SIGSYS",
	};
	if (!w->is_status_known || !WIFSIGNALED(w->exit_status))
		return NULL;
	size_t number = (size_t)WTERMSIG(w->exit_status);
	return number < COUNT_OF(names) && names[number] != NULL ? names[number] : "a signal";
}

const char *watched_end_text(const struct watched *w, char out[static WATCHED_END_TEXT])
{
	const char *signal = watched_exit_signal(w);
	if (signal != NULL)
		snprintf(out, WATCHED_END_TEXT, "killed by %s (%d)%s", signal, WTERMSIG(w->exit_status),
			 WCOREDUMP(w->exit_status) ? ", core dumped" : "");
	else if (w->is_status_known)
		snprintf(out, WATCHED_END_TEXT, "exit status %d", WEXITSTATUS(w->exit_status));
	else if (faccessat(w->member[0].proc.dir_fd, "stat", F_OK, 0) == 0)
		snprintf(out, WATCHED_END_TEXT, "exit status not known yet: its parent has not asked for it");
	else
		snprintf(out, WATCHED_END_TEXT, "exit status unknown: this kernel tells it to the parent only");
	return out;
}
