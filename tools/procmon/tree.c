/* tree.c - procmon: the process, with --children those that descend from it, and what each of them has counted.
 *
 * SUMS  a child's counters move to its parent when that one waits for it (the child_ members of procfs_stat;
 *   /proc/PID/io does so by itself). So the sum over all that live, of what each has counted itself and of those that
 *   it has waited for, goes on when a child ends, and has the children that lived and died between two samples. LIMIT:
 *   what nobody waits for (SIGCHLD ignored, an orphan) takes its counts with it, and the sum falls. */
#include "tree.h"

#include "clock.h"
#include "mem.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PASSES = 3 /* until nobody ends in the middle of one */ };

/* --- one process -------------------------------------------------------------------------------------------------- */

static uint64_t ticks_ns(const struct watched *w, uint64_t ticks)
{
	return ticks * (NS_PER_S / w->procmon->system.ticks_per_s);
}

static void read_io(struct member *b)
{
	char text[1024];
	struct procfs_io io;
	ssize_t len = procfs_read(&b->proc, "io", text, sizeof(text));
	b->has_io = len >= 0 && procfs_parse_io(&io, text, (size_t)len);
	if (!b->has_io)
		return;
	b->counter[COUNTER_READ] = io.read_chars;
	b->counter[COUNTER_WRITTEN] = io.written_chars;
	b->counter[COUNTER_READ_CALLS] = io.read_calls;
	b->counter[COUNTER_WRITE_CALLS] = io.write_calls;
	b->counter[COUNTER_DISK_READ] = io.disk_read_bytes;
	b->counter[COUNTER_DISK_WRITTEN] = io.disk_written_bytes;
}

static void count(const struct watched *w, struct member *b, uint64_t cpu_ns)
{
	const struct procfs_stat *s = &b->stat;
	bool with_children = w->procmon->o->with_children;
	b->counter[COUNTER_CPU_NS] = cpu_ns;
	b->counter[COUNTER_USER_TICKS] = s->user_ticks;
	b->counter[COUNTER_SYS_TICKS] = s->sys_ticks;
	b->counter[COUNTER_MINOR] = s->minor_faults;
	b->counter[COUNTER_MAJOR] = s->major_faults;
	if (with_children) {
		b->counter[COUNTER_CPU_NS] += ticks_ns(w, s->child_user_ticks + s->child_sys_ticks);
		b->counter[COUNTER_USER_TICKS] += s->child_user_ticks;
		b->counter[COUNTER_SYS_TICKS] += s->child_sys_ticks;
		b->counter[COUNTER_MINOR] += s->child_minor_faults;
		b->counter[COUNTER_MAJOR] += s->child_major_faults;
	}
}

/* The clock before stat: that stat can be read proves that the pid was still its own when the clock was. */
static enum look read_member(struct watched *w, struct member *b)
{
	char text[4096];
	uint64_t cpu_ns = 0, at_ns = clk_mono_ns();
	bool is_exact = procfs_cpu_ns(&b->proc, &cpu_ns) == 0;
	ssize_t len = procfs_read(&b->proc, "stat", text, sizeof(text));
	if (len < 0)
		return errno == ESRCH || errno == ENOENT ? LOOK_TOO_LATE : LOOK_MISSED;
	if (!procfs_parse_stat(&b->stat, text, (size_t)len))
		return LOOK_MISSED;
	if (!is_exact)
		cpu_ns = ticks_ns(w, b->stat.user_ticks + b->stat.sys_ticks);
	bool is_rate = b->before_ns != 0 && at_ns > b->before_ns && cpu_ns >= b->before_cpu_ns;
	b->cpu_percent = is_rate ? 100.0 * (double)(cpu_ns - b->before_cpu_ns) / (double)(at_ns - b->before_ns) : NAN;
	b->cpu_ns = cpu_ns;
	b->at_ns = at_ns;
	b->resident_bytes = b->stat.resident_pages * w->procmon->system.page_bytes;
	count(w, b, cpu_ns);
	read_io(b);
	return LOOK_DONE;
}

/* --- who belongs to it -------------------------------------------------------------------------------------------- */

static struct member *find(const struct watched *w, pid_t pid)
{
	for (size_t i = 0; i < w->n_members; i++) {
		if (w->member[i].proc.pid == pid)
			return &w->member[i];
	}
	return NULL;
}

static void add(struct watched *w, pid_t pid)
{
	struct member b = { .cpu_percent = NAN, .is_seen = true };
	struct net_error e;
	if (procfs_open(&b.proc, pid, &e) < 0)
		return; /* gone already, or we have too many open: n_more says that not all are counted */
	w->member = xrealloc(w->member, (w->n_members + 1) * sizeof(*w->member));
	w->member[w->n_members++] = b;
}

/* A pid that is another process's now is one that has gone, and one that has come: its files say ESRCH. */
static void find_members(struct watched *w)
{
	pid_t *pids;
	size_t n = procfs_tree(w->pid, PROCMON_TREE, &pids);
	for (size_t i = 1; i < w->n_members; i++)
		w->member[i].is_seen = false;
	for (size_t i = 0; i < n; i++) {
		struct member *b = find(w, pids[i]);
		if (b != NULL)
			b->is_seen = true;
		else if (pids[i] != w->pid)
			add(w, pids[i]);
	}
	w->n_more = n > w->n_members ? n - w->n_members : 0;
	free(pids);
}

static void drop(struct watched *w, size_t i)
{
	procfs_close(&w->member[i].proc);
	memmove(&w->member[i], &w->member[i + 1], (w->n_members - i - 1) * sizeof(*w->member));
	w->n_members--;
}

/* --- interface ---------------------------------------------------------------------------------------------------- */

/* False: somebody ended in the middle of it. Then the pass has missed what he counted: he was not there any more, and
 * his parent had been read before. */
static bool read_descendants(struct watched *w)
{
	bool is_whole = true;
	for (size_t i = 1; i < w->n_members;) {
		struct member *b = &w->member[i];
		if (b->is_seen && read_member(w, b) != LOOK_TOO_LATE) {
			i++;
			continue;
		}
		is_whole = is_whole && !b->is_seen;
		drop(w, i);
	}
	return is_whole;
}

enum look tree_read(struct watched *w)
{
	for (size_t i = 0; i < w->n_members; i++) {
		w->member[i].before_cpu_ns = w->member[i].cpu_ns;
		w->member[i].before_ns = w->member[i].at_ns;
	}
	enum look look = LOOK_DONE;
	for (unsigned pass = 0; pass < PASSES; pass++) {
		look = read_member(w, &w->member[0]);
		if (look != LOOK_DONE || !w->procmon->o->with_children)
			break;
		find_members(w);
		if (read_descendants(w))
			break;
	}
	return look;
}

void tree_close(struct watched *w)
{
	for (size_t i = 0; i < w->n_members; i++)
		procfs_close(&w->member[i].proc);
	free(w->member);
	w->member = NULL;
	w->n_members = 0;
}
