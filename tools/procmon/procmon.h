/* procmon.h - what the chapters of procmon share: the watched processes, and what is known of them.
 *
 *	/proc ---> watched.c: a sample each interval ---> history.c ---> charts.c ---> pages, SVG
 *	  |                                                  |
 *	  |                                                  +--> csv, stream, json, metrics, --tui
 *	  +------> details.h, sockets.h: when somebody looks ---> pages, json
 *
 * One thread, one loop. A `watched` is one process that the user named (with --children: it and its descendants, as
 * one). Everybody reads it; only watched.c writes. */
#ifndef PROCMON_H
#define PROCMON_H

#include "args.h"
#include "details.h"
#include "history.h"
#include "signals.h"
#include "sockets.h"

#include <stdio.h>

enum { PROCMON_PIDS = 32, PROCMON_TREE = 1024, PROCMON_LABEL = 64, PROCMON_COMMAND = 4096, PROCMON_ENVIRON = 65536 };
enum { WATCHED_END_TEXT = 128 };

/* What is read only while somebody looks, and paced: it may take 2 % of the time then. The others: 0.1 %, and not
 * more than once in 10 s, so that there is something to show when the process has ended. */
enum source {
	SOURCE_THREADS, /* others, too */
	SOURCE_FILES,   /* others, too */
	SOURCE_SOCKETS, /* others, too */
	SOURCE_PSS,
	SOURCE_MAPS,
	SOURCES
};
#define SOURCE_BIT(source) (1u << (source))
#define WITH_LIMITS        SOURCE_BIT(SOURCES) /* beside the sources, of watched_json */
const char *source_name(enum source source);   /* "threads", "pss" */

/* What only grows. In a tree it moves from a child to its parent when that one has waited for it. */
enum counter {
	COUNTER_CPU_NS, /* exact; the ticks below tell user from system */
	COUNTER_USER_TICKS,
	COUNTER_SYS_TICKS,
	COUNTER_MINOR,
	COUNTER_MAJOR,
	COUNTER_READ, /* from here on of /proc/PID/io */
	COUNTER_WRITTEN,
	COUNTER_READ_CALLS,
	COUNTER_WRITE_CALLS,
	COUNTER_DISK_READ,
	COUNTER_DISK_WRITTEN,
	COUNTERS,
	COUNTER_FIRST_IO = COUNTER_READ
};

/* One of the tree; the first is the process itself. */
struct member {
	struct procfs proc;
	struct procfs_stat stat;
	uint64_t counter[COUNTERS]; /* since it began; with --children, of those that it has waited for, too */
	uint64_t cpu_ns, at_ns;     /* its own alone, and when that was read */
	double cpu_percent;         /* NaN at its first reading */
	uint64_t resident_bytes;
	struct procfs_memory memory;
	bool has_io, has_memory; /* memory: SOURCE_PSS was read */

	uint64_t before_cpu_ns, before_ns; /* tree.c only */
	bool is_seen;
};

struct watched {
	struct watched *next;
	struct procmon *procmon;
	pid_t pid;
	const char *given_label; /* what the user calls it; NULL: it follows the name */
	char label[PROCMON_LABEL];

	/* Who it is; read at the beginning, and again when the name changes (exec). UTF-8 is not promised. */
	char name[PROCFS_NAME], exe[PROCFS_PATH], cwd[PROCFS_PATH], user[64];
	char *command; /* its words, each ended by a zero byte, as /proc/PID/cmdline has them; command_len of them */
	size_t command_len;
	char *environ; /* the same; NULL unless --allow-environ */
	size_t environ_len;
	struct procfs_limits limits;
	int64_t start_real_ns; /* CLOCK_REALTIME */

	/* The latest sample. */
	uint64_t samples;
	uint64_t at_ns, took_ns; /* CLOCK_MONOTONIC; how long it took to read */
	int64_t at_real_ns;
	double value[COLUMNS];           /* after its end: known[] */
	double most[COLUMNS];            /* of all samples; NaN: none had it */
	double known[COLUMNS];           /* the latest that was read of each */
	uint64_t first_ns, first_cpu_ns; /* where the mean processor time begins */
	struct procfs_stat stat;
	struct procfs_status status;
	uint64_t total[COUNTERS]; /* since it began: of a tree, see tree.c */
	uint64_t user_ns, sys_ns; /* COUNTER_CPU_NS, shared out by the ticks */
	bool has_io;
	struct member *member; /* [n_members], the tree; without --children one */
	size_t n_members, n_more;
	const char *why; /* what cannot be read and which right is missing; NULL: nothing */

	struct history *history;

	/* Details: the latest that were read. */
	struct threads threads;
	struct files files;
	struct sockets sockets;
	struct maps maps;
	struct procfs_memory memory; /* SOURCE_PSS: sums over the tree */
	bool has_memory;
	struct source_state {
		uint64_t looked_ns;        /* somebody looked last; 0: nobody */
		uint64_t read_ns, cost_ns; /* read last, and what it took; 0: never */
	} source[SOURCES];

	/* The end. */
	bool has_ended;
	uint64_t ended_ns;
	int64_t ended_real_ns;
	bool is_status_known;
	int exit_status; /* as waitpid(2) gives it */
	bool is_child;   /* we started it: the status is always known */

	/* watched.c only. */
	struct watch exit_watch;
	uint64_t before[COUNTERS], before_ns; /* the sums of the sample before, and when; 0: none */
	uint64_t identity_ns;                 /* read last */
	char object[16];                      /* the pid, for messages */
	struct timer status_timer;
	unsigned status_tries;
};

/* What procmon itself costs. */
struct own_cost {
	double cpu_percent; /* in the last interval; NaN before */
	uint64_t cpu_ns, resident_bytes;
	uint64_t at_ns;
};

/* The command line. */
struct procmon_options {
	const char *bind, *name, *report;
	struct arg_list hosts; /* --allow-host */
	uint64_t port, interval_ns, time_ns;
	bool has_port, ipv4, ipv6, with_children, allow_environ, once, tui, json, verbose, until_exit;
	pid_t pid[PROCMON_PIDS];
	unsigned n_pids;
	char **command; /* NULL: none is to be started */
};

struct procmon {
	const struct procmon_options *o;
	struct reactor *reactor;
	struct watched *first; /* in the order of the command line */
	unsigned n_watched, n_live;
	int64_t start_real_ns, start_boot_ns; /* CLOCK_REALTIME, CLOCK_BOOTTIME */
	struct procfs_system system;
	struct marks marks;
	struct own_cost own;
	uint64_t late_ns, missed; /* the most by which samples came too late; intervals without one */
	const char *host;         /* "127.0.0.1:3000"; NULL without pages */

	/* watched.c only. */
	struct timer tick;
	uint64_t due_ns;

	/* run.c only. */
	struct signals signals;
	struct timer end_timer;
	struct routes *routes;
	struct tui *tui;
	bool is_started, is_ending;
	char bound[ADDR_TEXT];
};

/* run.c: opens everything, watches until the end, and closes everything. The exit status. */
int procmon_run(const struct procmon_options *o);

/* The time of day of a CLOCK_MONOTONIC time: as if nobody had set the clock since procmon began, so that a
 * chart never runs backwards. */
int64_t procmon_real_ns(const struct procmon *m, uint64_t mono_ns);

/* What run.c does with what watched.c sees. */
void procmon_sampled(struct procmon *m, struct watched *w); /* one sample more */
void procmon_ticked(struct procmon *m);                     /* after the samples of all */
void procmon_ended(struct procmon *m,
		   struct watched *w); /* after its last sample; how it ended is known, or will not be soon */

/* A mark on all charts, now. What is no printable character becomes a blank. */
void procmon_mark(struct procmon *m, const char *label);

/* The end of procmon: as if SIGTERM had come, but with status 0. */
void procmon_stop(struct procmon *m);

/* --- watching (watched.c) ----------------------------------------------------------------------------------------- */

/* Adds a process, in the order of the calls. label: borrowed; NULL: its name. began_ns: 0, or it is our child, which we
 * began to start at that time (CLOCK_MONOTONIC), and watched.c waits for it. 0, or -1 with *e. */
MUST_USE int watched_open(struct procmon *m, pid_t pid, const char *label, uint64_t began_ns, struct net_error *e);
void watched_close_all(struct procmon *m);

/* From now on a sample of each process at each interval. */
void watched_start(struct procmon *m);
void watched_stop(struct procmon *m);

/* One of them by its pid; NULL: there is none. */
struct watched *watched_find(const struct procmon *m, pid_t pid);

/* Somebody looks: at these sources, as bits, of w. Those that are older than an interval are read at once. */
void watched_look(struct watched *w, unsigned sources);

/* "exit status 3", "killed by SIGSEGV (core dumped)", "exit status unknown: ..."; only after its end. */
const char *watched_end_text(const struct watched *w, char out[static WATCHED_END_TEXT]);
/* As a shell has it: 0..255, 128 + the signal; -1: not known. The signal's name without a number, or NULL. */
int watched_exit_status(const struct watched *w);
const char *watched_exit_signal(const struct watched *w);

/* How old it is, or became: since its start. */
uint64_t watched_age_ns(const struct watched *w);

/* --- charts ------------------------------------------------------------------------------------------------------ */

enum chart_id {
	CHART_CPU,      /* "cpu" */
	CHART_MEMORY,   /* "memory" */
	CHART_THREADS,  /* "threads": threads and descriptors */
	CHART_SWITCHES, /* "switches" */
	CHART_FAULTS,   /* "faults" */
	CHART_IO,       /* "io" */
	CHART_SOCKETS,  /* "sockets": what moves over TCP */
	CHART_QUEUES,   /* "queues": bytes that wait in sockets */
	CHARTS
};
const char *chart_name(enum chart_id id); /* as in /cpu.svg */
unsigned chart_sources(enum chart_id id); /* what has to be looked at for it */

/* With the marks. is_inline: for a page, else a document. of_all: a line for each watched process (its first column)
 * instead of all columns of w. */
void chart_write(FILE *out, const struct watched *w, enum chart_id id, enum span span, bool is_inline, bool of_all);

/* --- records (record chapter) ------------------------------------------------------------------------------------- */

struct json;
/* Members of an open object: identity, end, value, totals; `with`: SOURCE_ bits of tables to add ("threads": [...]). */
void watched_json(struct json *j, const struct watched *w, unsigned with);
void watched_json_end(struct json *j, const struct watched *w); /* of it: whether and how it has ended */
void procmon_json_marks(struct json *j, const struct procmon *m);
void procmon_json_self(struct json *j, const struct procmon *m); /* what it costs, and how punctual it is */

void procmon_metrics(FILE *out, const struct procmon *m); /* Prometheus text format 0.0.4, all processes */
void watched_csv(FILE *out, const struct watched *w,
		 enum span span); /* a head line, a row each, marks in the last column */

/* --- standard output and standard error (print.c) ----------------------------------------------------------------- */

void print_start(const struct procmon *m);
void print_sample(const struct watched *w); /* --json, -v */
void print_mark(const struct procmon *m, const struct mark *mark);
void print_end(const struct watched *w);
void print_once(const struct procmon *m);
void print_total(const struct procmon *m);

/* --- text --------------------------------------------------------------------------------------------------------- */

/* --once: everything about w, for people; columns 0: lines as long as they need to be. */
void watched_text(FILE *out, const struct watched *w, unsigned columns, bool utf8);
/* --- pages -------------------------------------------------------------------------------------------------------- */

enum page {
	PAGE_OVERVIEW,
	PAGE_THREADS,
	PAGE_FILES,
	PAGE_SOCKETS,
	PAGE_MAPS,
	PAGE_LIMITS,
	PAGE_COMMAND, /* /cmdline */
	PAGE_ENVIRON,
	PAGES
};
const char *page_path(enum page page); /* "/threads" */
unsigned page_sources(enum page page); /* what has to be looked at for it */
bool page_is_live(enum page page);     /* does it change? */

extern const char page_icon[]; /* SVG */

/* The whole document, or what is inside of <main>, which is all that changes. */
void page_html(FILE *out, const struct watched *w, enum page page, enum span span);
void page_main(FILE *out, const struct watched *w, enum page page, enum span span);
/* --report: one file with everything, for reading without procmon. */
void report_html(FILE *out, const struct procmon *m);

#endif
