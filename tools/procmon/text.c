/* text.c - procmon --once: everything that matters about a process, in one screen of text. */
#include "clock.h"
#include "tables.h"

#include <math.h>
#include <string.h>

enum { KEY = 14, TOP_THREADS = 5, TOP_SOCKETS = 10, TOP_MEMBERS = 10, NEAR_PERCENT = 80 };

static void begin(struct pen *p, const char *key)
{
	pen_put(p, "%s", key);
	pen_to(p, KEY);
}

/* "user 8.1 %", without a blank behind it. */
static void put_value(struct pen *p, const struct watched *w, enum column column, const char *label)
{
	char text[UNITS_TEXT];
	pen_put(p, "%s %s", label, column_text(text, column, w->known[column]));
}

static void put_bytes(struct pen *p, const char *label, uint64_t bytes)
{
	char text[UNITS_TEXT];
	pen_put(p, "%s %s", label, units_size(text, bytes));
}

/* --- who it is ---------------------------------------------------------------------------------------------------- */

static void put_path(struct pen *p, const char *key, const char *path)
{
	begin(p, key);
	pen_words(p, KEY, 3, path[0] != '\0' ? path : "-");
}

static void put_state(struct pen *p, const struct watched *w)
{
	char clock[32], age[32], how[WATCHED_END_TEXT], text[PEN_CELL];
	begin(p, "started");
	pen_put(p, "%s, by %s, parent %lld", pen_clock(clock, w->start_real_ns, true), w->user,
		(long long)w->stat.ppid);
	pen_end(p);
	begin(p, w->has_ended ? "ended" : "age");
	if (w->has_ended)
		snprintf(text, sizeof(text), "%s, after %s: %s", pen_clock(clock, w->ended_real_ns, true),
			 pen_age(age, watched_age_ns(w)), watched_end_text(w, how));
	else
		snprintf(text, sizeof(text), "%s; state %c, nice %lld, on processor %llu of %s",
			 pen_age(age, watched_age_ns(w)), w->stat.state != '\0' ? w->stat.state : '-',
			 (long long)w->stat.nice, (unsigned long long)w->stat.processor,
			 w->status.cpus[0] != '\0' ? w->status.cpus : "-");
	pen_words(p, KEY, 3, text);
}

static void put_identity(struct pen *p, const struct watched *w)
{
	char command[PEN_CELL], clock[32];
	pen_put(p, "%s (%d)", w->label, (int)w->pid);
	if (strcmp(w->label, w->name) != 0)
		pen_put(p, ", which calls itself %s", w->name);
	if (w->at_real_ns != 0)
		pen_put(p, ", at %s", pen_clock(clock, w->at_real_ns, true));
	pen_end(p);
	put_path(p, "command", tables_command(w, command));
	put_path(p, "executable", w->exe);
	put_path(p, "folder", w->cwd);
	put_state(p, w);
}

/* --- processor and memory ----------------------------------------------------------------------------------------- */

static void put_processor(struct pen *p, const struct watched *w)
{
	char cpu[UNITS_TEXT], user[UNITS_TEXT], sys[UNITS_TEXT];
	unsigned n = w->procmon->system.processors;
	begin(p, "processor");
	pen_put(p, "%s of one:", column_text(cpu, COLUMN_CPU, w->known[COLUMN_CPU]));
	put_value(p, w, COLUMN_USER, " user");
	put_value(p, w, COLUMN_SYSTEM, ", system");
	put_value(p, w, COLUMN_WAITED, "; waited for one");
	pen_end(p);
	begin(p, "");
	pen_put(p, "since its start %s: user %s, system %s", units_duration(cpu, w->total[COUNTER_CPU_NS]),
		units_duration(user, w->user_ns), units_duration(sys, w->sys_ns));
	pen_put(p, "; this machine has %u", n);
	pen_end(p);
}

static void put_memory(struct pen *p, const struct watched *w)
{
	begin(p, "memory");
	put_value(p, w, COLUMN_RESIDENT, "RSS");
	put_value(p, w, COLUMN_PSS, ", PSS");
	put_value(p, w, COLUMN_SWAP, ", swap");
	if (w->n_members <= 1 && w->status.has_memory) {
		put_bytes(p, "; most RSS", w->status.high_water_bytes);
		pen_end(p);
		begin(p, "");
		put_bytes(p, "anonymous", w->status.anon_bytes);
		put_bytes(p, ", of files", w->status.file_bytes);
		put_bytes(p, ", shared", w->status.shared_bytes);
		put_bytes(p, "; addresses", w->status.virtual_bytes);
	}
	pen_end(p);
}

/* --- threads, descriptors, switches, faults, input and output ----------------------------------------------------- */

static void put_activity(struct pen *p, const struct watched *w)
{
	begin(p, "switches");
	put_value(p, w, COLUMN_VOLUNTARY, "voluntary");
	put_value(p, w, COLUMN_INVOLUNTARY, ", involuntary");
	pen_end(p);
	begin(p, "page faults");
	put_value(p, w, COLUMN_MINOR, "minor");
	put_value(p, w, COLUMN_MAJOR, ", major");
	pen_put(p, "; since its start %llu and %llu", (unsigned long long)w->total[COUNTER_MINOR],
		(unsigned long long)w->total[COUNTER_MAJOR]);
	pen_end(p);
}

/* The kernel counts what passes the file layer: recv(2), send(2) and their like do not (proc_pid_io(5)). */
static void put_io(struct pen *p, const struct watched *w)
{
	begin(p, "read, write");
	put_value(p, w, COLUMN_READ, "read");
	put_value(p, w, COLUMN_WRITTEN, ", written");
	put_value(p, w, COLUMN_CALLS, ", calls");
	pen_put(p, " (recv and send do not count)");
	pen_end(p);
	begin(p, "");
	put_value(p, w, COLUMN_DISK_READ, "from disk");
	put_value(p, w, COLUMN_DISK_WRITTEN, ", to disk");
	pen_end(p);
	if (!w->has_io)
		return;
	begin(p, "");
	put_bytes(p, "since its start read", w->total[COUNTER_READ]);
	put_bytes(p, ", written", w->total[COUNTER_WRITTEN]);
	put_bytes(p, ", from disk", w->total[COUNTER_DISK_READ]);
	put_bytes(p, ", to disk", w->total[COUNTER_DISK_WRITTEN]);
	pen_end(p);
}

/* A few rows of a table, indented by the caller's pen. */
static void put_rows(struct pen *p, const struct watched *w, size_t n, unsigned most,
		     void (*put)(struct pen *p, const struct watched *w, size_t *first, unsigned keep))
{
	struct pen some = *p;
	some.wrap = 0;
	size_t first = 0;
	if (n == 0)
		return;
	some.lines = most + 1;
	put(&some, w, &first, 0);
	if (n > most) {
		pen_put(p, " ... and %zu more", n - most);
		pen_end(p);
	}
}

static void put_threads(struct pen *p, const struct watched *w)
{
	char text[UNITS_TEXT];
	begin(p, "threads");
	pen_put(p, "%s", column_text(text, COLUMN_THREADS, w->known[COLUMN_THREADS]));
	if (w->threads.n > TOP_THREADS)
		pen_put(p, ", the busiest:");
	pen_end(p);
	if (w->threads.n > 1)
		put_rows(p, w, w->threads.n, TOP_THREADS, tables_threads);
}

static void put_files(struct pen *p, const struct watched *w)
{
	begin(p, "descriptors");
	tables_files_sum(p, w);
	pen_end(p);
}

static void put_sockets(struct pen *p, const struct watched *w)
{
	begin(p, "sockets");
	tables_sockets_sum(p, w);
	pen_end(p);
	if (w->sockets.n_tcp > 0) {
		begin(p, "");
		put_value(p, w, COLUMN_TCP_IN, "in");
		put_value(p, w, COLUMN_TCP_OUT, ", out");
		put_value(p, w, COLUMN_RETRANSMITS, "; segments sent again");
		pen_end(p);
		begin(p, "");
		put_value(p, w, COLUMN_RECV_QUEUE, "to be read");
		put_value(p, w, COLUMN_SEND_QUEUE, ", not acknowledged");
		pen_end(p);
	}
	put_rows(p, w, w->sockets.n, TOP_SOCKETS, tables_sockets);
}

static void put_tree(struct pen *p, const struct watched *w)
{
	char text[UNITS_TEXT];
	if (!w->procmon->o->with_children)
		return;
	begin(p, "processes");
	pen_put(p, "%s", column_text(text, COLUMN_PROCESSES, w->known[COLUMN_PROCESSES]));
	pen_put(p, ", as one");
	pen_end(p);
	if (w->n_members > 1)
		put_rows(p, w, w->n_members, TOP_MEMBERS, tables_members);
}

/* --- what is near its limit --------------------------------------------------------------------------------------- */

struct near_limits {
	struct pen *pen;
	unsigned n;
};

static void compare(struct near_limits *near, const struct watched *w, const char *name, double used, bool is_bytes)
{
	char have[UNITS_TEXT], limit_text[UNITS_TEXT];
	uint64_t limit = tables_limit(w, name);
	if (limit == 0 || isnan(used) || used * 100 < (double)limit * NEAR_PERCENT)
		return;
	begin(near->pen, near->n++ == 0 ? "near a limit" : "");
	enum column unit = is_bytes ? COLUMN_RESIDENT : COLUMN_THREADS;
	pen_put(near->pen, "%s: %s of %s", name, column_text(have, unit, used),
		column_text(limit_text, unit, (double)limit));
	pen_end(near->pen);
}

/* Limits hold for each process alone (setrlimit(2)): a tree has none. */
static void put_limits(struct pen *p, const struct watched *w)
{
	struct near_limits near = { .pen = p };
	if (w->n_members > 1)
		return;
	compare(&near, w, "Max open files", w->known[COLUMN_FILES], false);
	compare(&near, w, "Max cpu time", (double)(w->total[COUNTER_CPU_NS] / NS_PER_S), false);
	compare(&near, w, "Max address space", (double)w->status.virtual_bytes, true);
	compare(&near, w, "Max data size", (double)w->status.data_bytes, true);
	compare(&near, w, "Max stack size", (double)w->status.stack_bytes, true);
}

/* --- what is not known, and how well the rest is ------------------------------------------------------------------ */

static void put_why(struct pen *p, const char *what, const char *why)
{
	char text[PEN_CELL];
	if (why == NULL)
		return;
	begin(p, "not read");
	snprintf(text, sizeof(text), "%s: %s", what, why);
	pen_words(p, KEY, 3, text);
}

static void put_missing(struct pen *p, const struct watched *w)
{
	put_why(p, "executable, folder, input and output", w->why);
	put_why(p, w->threads.n > 0 ? "where threads sleep" : "threads", w->threads.why);
	if (w->files.why != w->why)
		put_why(p, "descriptors", w->files.why);
	put_why(p, "sockets", w->sockets.why);
}

static void put_exactness(struct pen *p, const struct watched *w)
{
	const struct procmon *m = w->procmon;
	char interval[UNITS_TEXT], late[UNITS_TEXT], took[UNITS_TEXT], text[PEN_CELL];
	unsigned long long ticks = m->system.ticks_per_s > 0 ? m->system.ticks_per_s : 100;
	snprintf(text, sizeof(text),
		 "processor time to the nanosecond, user and system by ticks of %llu ms; rates over %s%s, at most %s "
		 "late; the look took %s",
		 1000 / ticks, units_duration(interval, m->o->interval_ns), w->has_ended ? " or less" : "",
		 units_duration(late, m->late_ns), units_duration(took, w->took_ns));
	begin(p, "how exact");
	pen_words(p, KEY, 4, text);
}

void watched_text(FILE *out, const struct watched *w, unsigned columns, bool utf8)
{
	struct pen p = { .out = out,
			 .columns = columns > 0 ? columns : PEN_NO_LIMIT,
			 .lines = PEN_NO_LIMIT,
			 .utf8 = utf8,
			 .wrap = KEY };
	put_identity(&p, w);
	put_processor(&p, w);
	put_memory(&p, w);
	put_threads(&p, w);
	put_activity(&p, w);
	put_io(&p, w);
	put_files(&p, w);
	put_sockets(&p, w);
	put_tree(&p, w);
	put_limits(&p, w);
	put_missing(&p, w);
	put_exactness(&p, w);
}
