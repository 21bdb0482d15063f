/* details.h - procmon: what costs more to read than one may spend each second: threads, files, memory map. Sockets
 * have a header of their own (sockets.h).
 *
 *	x_clear(&table, now)  begins a reading; the one before is kept
 *	x_read(&table, p)     appends the rows of one process (with --children it is called for each)
 *	x_undo(&table)        takes the whole reading back: the process ended meanwhile, and it is of a corpse. What
 *	                      was known before stands again.
 *
 * What could not be read, and which right is missing, is noted in `why` (a static sentence; NULL: nothing). What ends
 * while it is looked at (a thread, a descriptor, the process) is not a fault: it has no row. Nobody else writes to the
 * tables; the pages and records read them. A table begins as all zero, and is memory only: two readings at most.
 *
 * COST  processor time for each row, measured where a system call takes 0.3 us: a thread 55 us, 25 if it has not run
 *   since; a descriptor 6, with a name 10, 10 more for position and flags; a mapping 7. smaps walks through the page
 *   tables, so each GiB of resident memory is 50 ms more.
 * LIMIT: the map is read under the process's own lock on it (mmap_lock): who looks makes an mmap(2) of the process
 *   wait, and a process that is stuck with the lock held makes us wait. The other files have no such lock.
 * LIMIT: a process whose first thread has ended and whose others go on (pthread_exit(3) in main) shows no files and no
 *   map. */
#ifndef PROCMON_DETAILS_H
#define PROCMON_DETAILS_H

#include "procfs.h"

enum { DETAILS_THREADS = 4096, DETAILS_FILES = 16384, DETAILS_MAPS = 1024, DETAILS_WCHAN = 48 };

/* error, of reading something of p: why that is, to *why if nothing is there yet. Nothing for what has ended. */
void details_note(const char **why, const struct procfs *p, int error);
/* The same where the kernel has not refused, and told nothing. */
void details_note_nothing(const char **why, const struct procfs *p);

/* --- threads ------------------------------------------------------------------------------------------------------ */

struct thread_row {
	int64_t pid, tid;
	uint64_t start_ticks; /* with tid: which one it is */
	uint64_t read_ns;     /* CLOCK_MONOTONIC: with a thousand threads the last one is read 10 ms after the first */
	char name[PROCFS_NAME];
	char state;
	uint64_t processor;
	int64_t nice;
	char wchan[DETAILS_WCHAN]; /* where in the kernel it sleeps, "ep_poll"; "" when it runs, or may not be seen */

	/* Since its start, and each second since the last reading. A rate is NaN where nothing is known to compare
	 * with: at the first reading, and for a thread that was there at the last one but not read. */
	uint64_t ran_ns, waited_ns, voluntary, involuntary;
	uint64_t slices; /* how often it got a processor; 0: not known, ran_ns is in ticks and waited_ns 0 */
	double cpu_percent, waited_percent, voluntary_per_s, involuntary_per_s;
};

struct threads {
	struct thread_row *row; /* process by process; in each in the order of tid */
	size_t n;
	size_t n_more;  /* beyond DETAILS_THREADS: counted, not read */
	uint64_t at_ns; /* CLOCK_MONOTONIC of this reading; 0: never */
	const char *why;
	bool has_wchan; /* it was asked for, and we may see it */

	/* threads.c only. */
	size_t cap;
	uint64_t at_ticks;      /* of the boot clock, as start_ticks is */
	struct threads *before; /* the last reading, by pid and tid */
};

void threads_clear(struct threads *t, uint64_t now_ns); /* begins a reading at now_ns */
/* with_wchan: that, too (a file more for each thread). */
void threads_read(struct threads *t, const struct procfs *p, bool with_wchan);
void threads_undo(struct threads *t); /* after threads_clear, once */
void threads_free(struct threads *t);

/* The sums over all rows of what was done between the last two readings: a thread that began in between counts from its
 * start, one that has ended is lost (the process's own processor time has it, too, and is more exact). */
struct threads_sums {
	bool is_rate; /* there were two readings */
	double cpu_percent, waited_percent, voluntary_per_s, involuntary_per_s;
	uint64_t ran_ns, waited_ns, voluntary, involuntary; /* since their starts: of the threads that live now */
};
struct threads_sums threads_sum(const struct threads *t);

/* --- files -------------------------------------------------------------------------------------------------------- */

enum file_kind {
	FILE_REGULAR,
	FILE_FOLDER,
	FILE_DEVICE,
	FILE_PIPE, /* or a FIFO with a name */
	FILE_SOCKET,
	FILE_EPOLL,
	FILE_EVENT, /* eventfd, timerfd, signalfd, pidfd: something to wait for */
	FILE_OTHER,
	FILE_KINDS
};

struct file_row {
	int64_t pid;
	uint32_t fd;
	enum file_kind kind;
	char target[PROCFS_PATH]; /* "/var/log/x", "socket:[123]", "anon_inode:[eventpoll]" */
	uint64_t inode;           /* of a socket or pipe */
	uint64_t position;
	uint32_t flags;  /* open(2) */
	bool has_info;   /* position and flags are known */
	bool is_deleted; /* its name is gone and its space is not; `target` is the name it had */
};

struct files {
	struct file_row *row; /* process by process; in each in the order of fd */
	size_t n, n_more;     /* n_more: beyond DETAILS_FILES */
	uint64_t at_ns;
	const char *why;
	uint64_t kinds[FILE_KINDS]; /* of all that were read */

	/* files.c only. */
	size_t cap;
	struct files *before;
};
const char *file_kind_name(enum file_kind kind); /* "socket" */
/* "read, write, append, nonblock": the flags of open(2) without O_. */
enum { FILE_FLAGS_TEXT = 96 };
const char *file_flags_text(char out[static FILE_FLAGS_TEXT], uint32_t flags);

void files_clear(struct files *f, uint64_t now_ns);
/* with_info: positions and flags, too (another file for each; not for epoll and its like, whose fdinfo is as long as
 * what they watch). */
void files_read(struct files *f, const struct procfs *p, bool with_info);
void files_undo(struct files *f);
void files_free(struct files *f);

/* --- the memory map, summed up by what is mapped ----------------------------------------------------------------- */

struct map_row {
	char what[PROCFS_PATH]; /* a path, "[heap]", "[stack]", "[anonymous]" */
	unsigned mappings;
	bool is_executable, is_writable; /* any of its mappings */
	struct procfs_memory memory;     /* sums */
};

struct maps {
	struct map_row *row; /* by PSS, the largest first; without PSS by size */
	size_t n;
	size_t n_more;            /* mappings of more than DETAILS_MAPS things: in the sum, and in no row */
	struct procfs_memory sum; /* of all that was read */
	uint64_t at_ns;
	const char *why;
	bool has_pss; /* smaps could be read; else there are only sizes, from maps */

	/* maps.c only. */
	size_t cap;
	uint16_t *index; /* a hash table of row numbers + 1 */
	struct maps *before;
};

void maps_clear(struct maps *m, uint64_t now_ns);
void maps_read(struct maps *m, const struct procfs *p);
void maps_undo(struct maps *m);
void maps_free(struct maps *m);

#endif
