/* sample.c - procmon: one look at a process: what it has counted becomes rates, and what is due of the rest is read.
 *
 * PACE  threads, files, sockets, PSS and the memory map cost as much as the process is large. So each is read at most
 *   so often that it takes a certain share of the time: while somebody looks a fiftieth. Otherwise a thousandth and
 *   not more than once in IDLE_S, so that there is something to show when the process has ended; threads, from which
 *   the context switches come, without that bound. PSS and the map not at all (but for --children and --report): to
 *   read them holds up the process itself, which waits for its map's lock meanwhile. */
#include "tree.h"

#include "clock.h"

#include <math.h>
#include <poll.h>
#include <string.h>
#include <time.h>

enum { LOOK_S = 10, IDLE_S = 10, SHARE_LOOKED = 50, SHARE_IDLE = 1000 };

const char *source_name(enum source source)
{
	static const char *const names[SOURCES] = {
		[SOURCE_THREADS] = "threads", [SOURCE_FILES] = "files", [SOURCE_SOCKETS] = "sockets",
		[SOURCE_PSS] = "pss",         [SOURCE_MAPS] = "maps",
	};
	return names[source];
}

/* --- the parts that cost more ------------------------------------------------------------------------------------- */

bool sample_is_late(const struct watched *w)
{
	struct pollfd p = { .fd = w->member[0].proc.pid_fd, .events = POLLIN };
	return p.fd >= 0 && poll(&p, 1, 0) > 0;
}

static void read_threads(struct watched *w)
{
	bool with_wchan = w->source[SOURCE_THREADS].looked_ns != 0;
	threads_clear(&w->threads, clk_mono_ns());
	for (size_t i = 0; i < w->n_members; i++)
		threads_read(&w->threads, &w->member[i].proc, with_wchan);
	struct threads_sums sums = threads_sum(&w->threads);
	if (sums.is_rate) {
		w->value[COLUMN_WAITED] = sums.waited_percent;
		w->value[COLUMN_VOLUNTARY] = sums.voluntary_per_s;
		w->value[COLUMN_INVOLUNTARY] = sums.involuntary_per_s;
	}
}

static void read_files(struct watched *w)
{
	bool with_info = w->source[SOURCE_FILES].looked_ns != 0;
	files_clear(&w->files, clk_mono_ns());
	for (size_t i = 0; i < w->n_members; i++)
		files_read(&w->files, &w->member[i].proc, with_info);
}

/* Which sockets it has stands among its files. */
static void read_sockets(struct watched *w)
{
	if (w->files.at_ns < w->at_ns) {
		read_files(w);
		if (sample_is_late(w))
			files_undo(&w->files);
	}
	sockets_read(&w->sockets, &w->files, &w->member[0].proc, clk_mono_ns());
	if (!w->sockets.is_known || w->files.n_more > 0)
		return; /* the sums would be of a part */
	w->value[COLUMN_SOCKETS] = (double)w->sockets.n_tcp;
	w->value[COLUMN_RECV_QUEUE] = (double)w->sockets.recv_queue;
	w->value[COLUMN_SEND_QUEUE] = (double)w->sockets.send_queue;
	w->value[COLUMN_TCP_IN] = w->sockets.in_Bps;
	w->value[COLUMN_TCP_OUT] = w->sockets.out_Bps;
	w->value[COLUMN_RETRANSMITS] = w->sockets.retransmits_per_s;
}

static void add_memory(struct procfs_memory *to, const struct procfs_memory *from)
{
	to->size += from->size;
	to->resident += from->resident;
	to->pss += from->pss;
	to->private_clean += from->private_clean;
	to->private_dirty += from->private_dirty;
	to->shared_clean += from->shared_clean;
	to->shared_dirty += from->shared_dirty;
	to->anonymous += from->anonymous;
	to->swap += from->swap;
	to->swap_pss += from->swap_pss;
}

/* A zombie has no memory and no descriptors; a process of which only the first thread has ended has, but they cannot be
 * seen by way of that one. */
static bool is_zombie(const struct member *b)
{
	return b->stat.state == 'Z' && b->stat.threads <= 1;
}

static bool is_headless(const struct member *b)
{
	return b->stat.state == 'Z' && b->stat.threads > 1;
}

/* A sum without one of them would be wrong, not small: then there is none. */
static void read_pss(struct watched *w)
{
	char text[4096];
	struct procfs_memory sum = { 0 };
	bool is_whole = true;
	for (size_t i = 0; i < w->n_members; i++) {
		struct member *b = &w->member[i];
		ssize_t len = procfs_read(&b->proc, "smaps_rollup", text, sizeof(text));
		bool has_none = is_zombie(b) || (len == 0 && !is_headless(b)); /* a kernel thread */
		b->has_memory = len > 0 && procfs_parse_rollup(&b->memory, text, (size_t)len);
		if (b->has_memory)
			add_memory(&sum, &b->memory);
		else if (!has_none)
			is_whole = false;
	}
	if (sample_is_late(w))
		return;
	w->has_memory = is_whole;
	w->memory = sum;
	if (!is_whole)
		return;
	w->value[COLUMN_PSS] = (double)sum.pss;
	w->value[COLUMN_SWAP] = (double)sum.swap_pss;
}

static void read_maps(struct watched *w)
{
	maps_clear(&w->maps, clk_mono_ns());
	for (size_t i = 0; i < w->n_members; i++)
		maps_read(&w->maps, &w->member[i].proc);
}

static void (*const readers[SOURCES])(struct watched *w) = {
	[SOURCE_THREADS] = read_threads, [SOURCE_FILES] = read_files, [SOURCE_SOCKETS] = read_sockets,
	[SOURCE_PSS] = read_pss,         [SOURCE_MAPS] = read_maps,
};

/* What was read of a process that ended meanwhile is of a corpse, without files and memory: what was known before
 * stands again. */
static void undo(struct watched *w, enum source source)
{
	if (source == SOURCE_THREADS) {
		threads_undo(&w->threads);
		w->value[COLUMN_WAITED] = w->value[COLUMN_VOLUNTARY] = w->value[COLUMN_INVOLUNTARY] = NAN;
	} else if (source == SOURCE_FILES) {
		files_undo(&w->files);
	} else if (source == SOURCE_SOCKETS) {
		sockets_undo(&w->sockets);
	} else if (source == SOURCE_MAPS) {
		maps_undo(&w->maps);
	}
}

/* --- the pace ----------------------------------------------------------------------------------------------------- */

static bool is_looked_at(const struct watched *w, enum source source, uint64_t now_ns)
{
	const struct source_state *s = &w->source[source];
	const struct procmon_options *o = w->procmon->o;
	/* Sums over a tree are what --children is for, and of RSS they would be wrong. Who asks for a report will
	 * look. */
	bool always = (source == SOURCE_PSS && (o->with_children || o->report != NULL)) ||
		      (source == SOURCE_SOCKETS && o->report != NULL);
	return always || (s->looked_ns != 0 && now_ns - s->looked_ns < (uint64_t)LOOK_S * NS_PER_S);
}

static bool is_due(const struct watched *w, enum source source, uint64_t now_ns)
{
	const struct source_state *s = &w->source[source];
	bool is_looked = is_looked_at(w, source, now_ns);
	if (w->procmon->o->once)
		return true;
	if (!is_looked && (source == SOURCE_PSS || source == SOURCE_MAPS))
		return false;
	if (s->read_ns == 0)
		return true;
	uint64_t pause_ns = s->cost_ns * (is_looked ? SHARE_LOOKED : SHARE_IDLE);
	/* A look between two samples has read it: a rate over the moment since would be a spike that nobody had. */
	uint64_t least_ns = is_looked || source == SOURCE_THREADS ? w->procmon->o->interval_ns / 2
								  : (uint64_t)IDLE_S * NS_PER_S;
	return now_ns - s->read_ns >= (pause_ns > least_ns ? pause_ns : least_ns);
}

/* What a reading costs is processor time: that others had the processor meanwhile is not its fault. */
static uint64_t own_cpu_ns(void)
{
	struct timespec t = { 0 };
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

void sample_sources(struct watched *w, unsigned sources)
{
	for (enum source source = 0; source < SOURCES; source++) {
		struct source_state *s = &w->source[source];
		uint64_t now_ns = clk_mono_ns();
		if (!(sources & SOURCE_BIT(source)) || !is_due(w, source, now_ns))
			continue;
		if (!is_looked_at(w, source, now_ns))
			s->looked_ns = 0;
		uint64_t began_ns = own_cpu_ns();
		readers[source](w);
		if (sample_is_late(w))
			undo(w, source);
		s->read_ns = now_ns;
		s->cost_ns = own_cpu_ns() - began_ns;
	}
}

/* --- a sample ----------------------------------------------------------------------------------------------------- */

static double grown(struct watched *w, const uint64_t sum[static COUNTERS], enum counter counter)
{
	uint64_t grown = sum[counter] > w->before[counter] ? sum[counter] - w->before[counter] : 0;
	w->total[counter] += grown;
	return (double)grown;
}

/* user and system: the processor time is exact, its shares come in ticks. Without a tick in between: as from the
 * beginning. */
static void split_cpu(struct watched *w, double user, double sys)
{
	if (user + sys < 1) {
		user = (double)w->total[COUNTER_USER_TICKS];
		sys = (double)w->total[COUNTER_SYS_TICKS];
	}
	double share = user + sys > 0 ? user / (user + sys) : 1;
	w->value[COLUMN_USER] = w->value[COLUMN_CPU] * share;
	w->value[COLUMN_SYSTEM] = w->value[COLUMN_CPU] - w->value[COLUMN_USER];
}

/* What was there at the first sample was counted before anybody looked: there are no rates, but for a process that we
 * have started. And none over an interval that is not longer than least_ns. */
static void fill_rates(struct watched *w, const uint64_t sum[static COUNTERS], uint64_t least_ns)
{
	double by[COUNTERS], s = (double)(w->at_ns - w->before_ns) / NS_PER_S;
	for (enum counter c = 0; c < COUNTERS; c++)
		by[c] = grown(w, sum, c);
	if (w->before_ns == 0 || w->at_ns - w->before_ns <= least_ns)
		return;
	w->value[COLUMN_CPU] = by[COUNTER_CPU_NS] / NS_PER_S / s * 100;
	split_cpu(w, by[COUNTER_USER_TICKS], by[COUNTER_SYS_TICKS]);
	w->value[COLUMN_MINOR] = by[COUNTER_MINOR] / s;
	w->value[COLUMN_MAJOR] = by[COUNTER_MAJOR] / s;
	if (!w->has_io)
		return;
	w->value[COLUMN_READ] = by[COUNTER_READ] / s;
	w->value[COLUMN_WRITTEN] = by[COUNTER_WRITTEN] / s;
	w->value[COLUMN_CALLS] = (by[COUNTER_READ_CALLS] + by[COUNTER_WRITE_CALLS]) / s;
	w->value[COLUMN_DISK_READ] = by[COUNTER_DISK_READ] / s;
	w->value[COLUMN_DISK_WRITTEN] = by[COUNTER_DISK_WRITTEN] / s;
}

static void fill_totals(struct watched *w)
{
	uint64_t user = w->total[COUNTER_USER_TICKS], sys = w->total[COUNTER_SYS_TICKS];
	double share = user + sys > 0 ? (double)user / (double)(user + sys) : 1;
	w->user_ns = (uint64_t)((double)w->total[COUNTER_CPU_NS] * share);
	w->sys_ns = w->total[COUNTER_CPU_NS] - w->user_ns;
}

static void fill_memory(struct watched *w)
{
	char text[8192];
	double resident = 0;
	ssize_t len = procfs_read(&w->member[0].proc, "status", text, sizeof(text));
	struct procfs_status status;
	if (len < 0 || !procfs_parse_status(&status, text, (size_t)len))
		return;
	w->status = status;
	if (!status.has_memory)
		return;
	for (size_t i = 0; i < w->n_members; i++)
		resident += (double)w->member[i].resident_bytes;
	/* Of one process the status file is exact; stat's figure may be behind by some pages (proc_pid_stat(5),
	 * rss). */
	w->value[COLUMN_RESIDENT] = w->n_members == 1 ? (double)w->status.resident_bytes : resident;
	if (w->n_members == 1)
		w->value[COLUMN_SWAP] = (double)w->status.swap_bytes;
}

static void fill_counts(struct watched *w)
{
	double threads = 0, files = 0;
	for (size_t i = 0; i < w->n_members; i++) {
		const struct member *b = &w->member[i];
		int64_t n = is_zombie(b) ? 0 : is_headless(b) ? -1 : procfs_count_files(&b->proc);
		threads += (double)b->stat.threads;
		files = n < 0 ? NAN : files + (double)n;
	}
	w->value[COLUMN_THREADS] = threads;
	w->value[COLUMN_FILES] = files;
	w->value[COLUMN_PROCESSES] = (double)(w->n_members + w->n_more);
}

/* It ended in the middle: no memory and no descriptors are not what it had. */
static void forget_gauges(struct watched *w)
{
	for (size_t i = 0; i < COLUMNS; i++) {
		if (column_info[i].unit == UNIT_BYTES || column_info[i].unit == UNIT_COUNT)
			w->value[i] = NAN;
	}
}

static void note_extremes(struct watched *w)
{
	for (size_t i = 0; i < COLUMNS; i++) {
		w->most[i] = fmax(w->most[i], w->value[i]); /* of a number and a NaN: the number */
		w->known[i] = isnan(w->value[i]) ? w->known[i] : w->value[i];
	}
}

enum look sample_take(struct watched *w, bool is_last)
{
	uint64_t sum[COUNTERS] = { 0 }, begin_ns = clk_mono_ns();
	enum look look = tree_read(w);
	if (look != LOOK_DONE)
		return look;
	w->at_ns = w->member[0].at_ns;
	w->at_real_ns = procmon_real_ns(w->procmon, w->at_ns);
	w->stat = w->member[0].stat;
	w->has_io = w->member[0].has_io;
	for (size_t i = 0; i < w->n_members; i++) {
		for (size_t c = 0; c < COUNTERS; c++)
			sum[c] += w->member[i].counter[c];
	}
	for (size_t i = 0; i < COLUMNS; i++)
		w->value[i] = NAN;
	fill_rates(w, sum, is_last && w->samples > 0 ? w->procmon->o->interval_ns / 2 : 0);
	fill_totals(w);
	if (!is_last) {
		fill_memory(w);
		fill_counts(w);
		sample_sources(w, ~0u);
		if (sample_is_late(w))
			forget_gauges(w);
	}
	note_extremes(w);
	memcpy(w->before, sum, sizeof(w->before));
	w->before_ns = w->at_ns;
	w->took_ns = clk_mono_ns() - begin_ns;
	return LOOK_DONE;
}
