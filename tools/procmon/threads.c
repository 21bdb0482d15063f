/* threads.c - the threads of a process: who runs, who waits for a processor, who had to make room. See details.h.
 *
 *	schedstat  how long it ran, and was ready and had to wait, in nanoseconds
 *	stat       name, state, nice, processor, and when it began, which tells two threads of one number apart
 *	status     its switches, which stand nowhere else; in /proc/PID/status they are the first thread's alone
 *
 * status is 60 lines and costs as much as the other two together. A thread that has not run since the last reading has
 * the switches it had, and sleeps where it slept, so for it that file is not read: of a thousand threads most sleep.
 *
 * LIMIT: schedstat's time is that of the thread's last tick or switch, and so up to a tick (1 to 10 ms, by kernel) too
 * early for a thread that runs. Over a second that is a percent at most, and it never adds up. */
#include "details.h"

#include "clock.h"
#include "mem.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
	NAME_BYTES = 48,
	/* status has a mask of 9 bytes for each 32 processors and each 32 memory nodes, and the user's groups. */
	TEXT_BYTES = 16 * 1024,
};

/* Now, as stat's start_ticks counts. */
static uint64_t boot_ticks(void)
{
	struct timespec now;
	uint64_t per_s = (uint64_t)sysconf(_SC_CLK_TCK);
	clock_gettime(CLOCK_BOOTTIME, &now);
	return (uint64_t)now.tv_sec * per_s + (uint64_t)now.tv_nsec / (NS_PER_S / per_s);
}

/* By process and thread. */
static int compare_rows(const void *a, const void *b)
{
	const struct thread_row *x = a, *y = b;
	if (x->pid != y->pid)
		return x->pid < y->pid ? -1 : 1;
	return (x->tid > y->tid) - (x->tid < y->tid);
}

static bool is_sorted(const struct threads *t)
{
	for (size_t i = 1; i < t->n; i++) {
		if (compare_rows(&t->row[i - 1], &t->row[i]) > 0)
			return false;
	}
	return true;
}

void threads_clear(struct threads *t, uint64_t now_ns)
{
	struct threads *before = t->before != NULL ? t->before : xcalloc(1, sizeof(*before));
	struct threads spare = *before;
	*before = *t;
	before->before = NULL;
	*t = (struct threads){ .at_ns = now_ns, .at_ticks = boot_ticks(), .before = before };
	t->row = spare.row;
	t->cap = spare.cap;
	if (!is_sorted(before)) /* of one process they are */
		qsort(before->row, before->n, sizeof(*before->row), compare_rows);
}

void threads_undo(struct threads *t)
{
	assert(t->before != NULL);
	struct threads spare = *t;
	*t = *spare.before;
	t->before = spare.before;
	*t->before = (struct threads){ .row = spare.row, .cap = spare.cap };
}

void threads_free(struct threads *t)
{
	if (t->before != NULL)
		free(t->before->row);
	free(t->before);
	free(t->row);
	*t = (struct threads){ 0 };
}

static ssize_t read_file(const struct procfs *p, int64_t tid, const char *file, char *text, size_t cap)
{
	char name[NAME_BYTES];
	snprintf(name, sizeof(name), "task/%lld/%s", (long long)tid, file);
	return procfs_read(p, name, text, cap);
}

/* A kernel without scheduler statistics has no such file, or nothing in it. */
static void read_schedstat(struct thread_row *row, const struct procfs *p)
{
	char text[TEXT_BYTES];
	struct procfs_schedstat sched;
	ssize_t len = read_file(p, row->tid, "schedstat", text, sizeof(text));
	if (len <= 0 || !procfs_parse_schedstat(&sched, text, (size_t)len) || sched.slices == 0)
		return;
	row->ran_ns = sched.ran_ns;
	row->waited_ns = sched.waited_ns;
	row->slices = sched.slices;
}

static bool read_stat(struct thread_row *row, const struct procfs *p)
{
	char text[TEXT_BYTES];
	struct procfs_stat stat;
	ssize_t len = read_file(p, row->tid, "stat", text, sizeof(text));
	if (len <= 0 || !procfs_parse_stat(&stat, text, (size_t)len))
		return false;
	memcpy(row->name, stat.name, sizeof(row->name));
	row->state = stat.state;
	row->start_ticks = stat.start_ticks;
	row->processor = stat.processor;
	row->nice = stat.nice;
	if (row->slices == 0)
		row->ran_ns = (stat.user_ticks + stat.sys_ticks) * (NS_PER_S / (uint64_t)sysconf(_SC_CLK_TCK));
	return true;
}

static bool read_switches(struct thread_row *row, const struct procfs *p)
{
	char text[TEXT_BYTES];
	struct procfs_status status;
	ssize_t len = read_file(p, row->tid, "status", text, sizeof(text));
	if (len <= 0 || !procfs_parse_status(&status, text, (size_t)len))
		return false;
	row->voluntary = status.voluntary;
	row->involuntary = status.involuntary;
	return true;
}

/* The same thread at the last reading; NULL: it was not read. */
static const struct thread_row *find_before(const struct threads *before, const struct thread_row *row)
{
	if (before->n == 0)
		return NULL;
	const struct thread_row *old = bsearch(row, before->row, before->n, sizeof(*row), compare_rows);
	return old != NULL && old->start_ticks == row->start_ticks ? old : NULL;
}

/* To the nanosecond: and it ran some before each switch. */
static bool has_not_run_since(const struct thread_row *row, const struct thread_row *old)
{
	return row->slices != 0 && row->slices == old->slices && row->ran_ns == old->ran_ns &&
	       row->waited_ns == old->waited_ns;
}

static double growth(uint64_t now, uint64_t before)
{
	return now > before ? (double)(now - before) : 0;
}

/* old may be NULL: if it began since then, it was nothing before; else it is not known what it was. */
static void set_rates(struct thread_row *row, const struct thread_row *old, const struct threads *before)
{
	static const struct thread_row nothing;
	row->cpu_percent = row->waited_percent = row->voluntary_per_s = row->involuntary_per_s = NAN;
	if (before->at_ns == 0 || (old == NULL && row->start_ticks < before->at_ticks))
		return;
	uint64_t since_ns = old != NULL ? old->read_ns : before->at_ns;
	if (row->read_ns <= since_ns)
		return;
	if (old == NULL)
		old = &nothing;
	double ns = (double)(row->read_ns - since_ns), s = ns / NS_PER_S;
	row->cpu_percent = 100 * growth(row->ran_ns, old->ran_ns) / ns;
	if (row->slices != 0)
		row->waited_percent = 100 * growth(row->waited_ns, old->waited_ns) / ns;
	row->voluntary_per_s = growth(row->voluntary, old->voluntary) / s;
	row->involuntary_per_s = growth(row->involuntary, old->involuntary) / s;
}

/* False: it has ended. */
static bool read_thread(struct threads *t, struct thread_row *row, const struct procfs *p, uint32_t tid)
{
	*row = (struct thread_row){ .pid = p->pid, .tid = tid, .read_ns = clk_mono_ns() };
	read_schedstat(row, p); /* without it, times are in ticks */
	if (!read_stat(row, p))
		return false;
	const struct thread_row *old = find_before(t->before, row);
	if (old != NULL && has_not_run_since(row, old)) {
		row->voluntary = old->voluntary;
		row->involuntary = old->involuntary;
		if (row->state != 'R') /* woken, and not there yet */
			memcpy(row->wchan, old->wchan, sizeof(row->wchan));
	} else if (!read_switches(row, p)) {
		return false;
	}
	set_rates(row, old, t->before);
	return true;
}

/* Who may not see it reads "0", as if nobody slept: whether we may, another file that needs the same right tells. */
static bool may_see_wchan(struct threads *t, const struct procfs *p)
{
	char exe[2];
	if (procfs_link(p, "exe", exe, sizeof(exe)) == 0 || errno == ENOENT || errno == ESRCH)
		return true;
	details_note(&t->why, p, errno);
	return false;
}

static void read_wchans(struct threads *t, const struct procfs *p, size_t first)
{
	if (!may_see_wchan(t, p))
		return;
	t->has_wchan = true;
	for (size_t i = first; i < t->n; i++) {
		struct thread_row *row = &t->row[i];
		if (row->state == 'R' || row->wchan[0] != 0)
			continue;
		ssize_t len = read_file(p, row->tid, "wchan", row->wchan, sizeof(row->wchan));
		if (len <= 0 || strcmp(row->wchan, "0") == 0)
			row->wchan[0] = 0;
	}
}

void threads_read(struct threads *t, const struct procfs *p, bool with_wchan)
{
	assert(t->before != NULL);
	uint32_t *tids = NULL;
	size_t first = t->n, room = DETAILS_THREADS - t->n;
	ssize_t found = procfs_numbers(p, "task", room, &tids);
	if (found < 0) {
		details_note(&t->why, p, errno);
		return;
	}
	size_t n = (size_t)found < room ? (size_t)found : room;
	t->n_more += (size_t)found - n;
	if (t->n + n > t->cap) {
		t->cap = t->n + n;
		t->row = xrealloc(t->row, t->cap * sizeof(*t->row));
	}
	for (size_t i = 0; i < n; i++) {
		if (read_thread(t, &t->row[t->n], p, tids[i]))
			t->n++;
	}
	free(tids);
	if (with_wchan)
		read_wchans(t, p, first);
}

static double plus(double sum, double rate)
{
	return isnan(rate) ? sum : sum + rate;
}

struct threads_sums threads_sum(const struct threads *t)
{
	struct threads_sums sums = { .is_rate = t->before != NULL && t->before->at_ns != 0 };
	for (size_t i = 0; i < t->n; i++) {
		const struct thread_row *row = &t->row[i];
		sums.ran_ns += row->ran_ns;
		sums.waited_ns += row->waited_ns;
		sums.voluntary += row->voluntary;
		sums.involuntary += row->involuntary;
		sums.cpu_percent = plus(sums.cpu_percent, row->cpu_percent);
		sums.waited_percent = plus(sums.waited_percent, row->waited_percent);
		sums.voluntary_per_s = plus(sums.voluntary_per_s, row->voluntary_per_s);
		sums.involuntary_per_s = plus(sums.involuntary_per_s, row->involuntary_per_s);
	}
	return sums;
}
