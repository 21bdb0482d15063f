/* procfs_parse.h - the texts under /proc/PID, as values. Layer 1.
 *
 * Memory only: a text goes in (len bytes; a zero behind them is not needed), a struct comes out. procfs.h reads the
 * files. Nothing in them is trusted more than a peer's bytes: a process names itself as it likes, with blanks,
 * parentheses and newlines, and a file may be cut off anywhere.
 *
 * Each parser returns true, and has then set every member of *out, to 0 where the kernel has no such line (older
 * kernels have fewer); or false, when the text is not what proc_pid_*(5) describes, with *out all zero. A number that
 * does not fit makes it false, not wrong; and so does a last line without its newline, since it was cut off: perhaps in
 * the middle of a number. Only a text that was cut off right behind a line may look whole. */
#ifndef TCPLAB_PROCFS_PARSE_H
#define TCPLAB_PROCFS_PARSE_H

#include "cdefs.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	PROCFS_NAME = 64,   /* a thread's name has 15 bytes at most; a kernel worker's is longer (the zero counts) */
	PROCFS_PATH = 256,  /* of a mapping or a descriptor, cut off when it is longer */
	PROCFS_LIMITS = 24, /* rows of /proc/PID/limits; Linux has 16 */
	PROCFS_LIMIT_NAME = 32,
};

/* stat, of a process or of a thread: proc_pid_stat(5). Times in clock ticks (sysconf(_SC_CLK_TCK)). */
struct procfs_stat {
	int64_t pid, ppid, group, session;
	char name[PROCFS_NAME]; /* between the first "(" and the last ")": it may have both inside */
	char state;             /* R S D Z T t X I */
	uint64_t minor_faults, child_minor_faults, major_faults, child_major_faults;
	uint64_t user_ticks, sys_ticks, child_user_ticks, child_sys_ticks; /* child_: those that it has waited for */
	int64_t priority, nice;
	uint64_t threads;
	uint64_t start_ticks; /* since boot: tells two processes of one pid apart */
	uint64_t virtual_bytes;
	uint64_t resident_pages;
	uint64_t processor;   /* it ran on last */
	uint64_t blkio_ticks; /* waited for disks */
	int64_t exit_code;    /* as waitpid(2) gives it; only in a zombie, and 0 for who may not look */
};
MUST_USE bool procfs_parse_stat(struct procfs_stat *out, const char *text, size_t len);

/* status: proc_pid_status(5). Memory in bytes; 0 in a kernel thread and in a zombie, which have none. */
struct procfs_status {
	char name[PROCFS_NAME]; /* with the kernel's escapes (\n, \\) undone */
	char state;
	uint64_t pid, tgid, ppid, tracer;
	uint32_t uid, euid, gid, egid;
	uint64_t peak_bytes, virtual_bytes, high_water_bytes, resident_bytes;
	uint64_t anon_bytes, file_bytes, shared_bytes, swap_bytes, data_bytes, stack_bytes, page_table_bytes;
	uint64_t threads;
	uint64_t voluntary, involuntary; /* context switches: of this thread alone, also in /proc/PID/status */
	uint64_t effective_caps;
	bool has_memory; /* there were Vm lines */
	bool no_new_privs;
	unsigned seccomp;
	char cpus[64]; /* Cpus_allowed_list, "0-1" */
};
MUST_USE bool procfs_parse_status(struct procfs_status *out, const char *text, size_t len);

/* io: proc_pid_io(5). chars: what read(2) and write(2) and the like moved, from wherever; bytes: what disks did. */
struct procfs_io {
	uint64_t read_chars, written_chars, read_calls, write_calls;
	uint64_t disk_read_bytes, disk_written_bytes, cancelled_bytes;
};
MUST_USE bool procfs_parse_io(struct procfs_io *out, const char *text, size_t len);

/* schedstat, of a thread (of the first one, also in /proc/PID): Documentation/scheduler/sched-stats in the kernel. */
struct procfs_schedstat {
	uint64_t ran_ns, waited_ns; /* waited: ready to run, and others had the processor */
	uint64_t slices;
};
MUST_USE bool procfs_parse_schedstat(struct procfs_schedstat *out, const char *text, size_t len);

/* smaps_rollup, and each mapping of smaps: proc_pid_smaps(5). Bytes. pss: proportional, a page that n processes share
 * counts 1/n, so that sums over processes are right. size: what is mapped; 0 for a rollup. */
struct procfs_memory {
	uint64_t size, resident, pss, private_clean, private_dirty, shared_clean, shared_dirty, anonymous, swap,
		swap_pss;
};
MUST_USE bool procfs_parse_rollup(struct procfs_memory *out, const char *text, size_t len);

/* smaps or maps, mapping by mapping: *at, 0 at first, walks through the text. 1: *out is the next one (of maps:
 * memory has nothing but its size). 0: that was all. -1: what follows is not such a text, or was cut off. */
struct procfs_map {
	uint64_t begin, end, offset, inode;
	char rights[5];         /* "r-xp" */
	char path[PROCFS_PATH]; /* "/usr/lib/libc.so.6", "[heap]", "" for anonymous memory; \012 has become a newline */
	struct procfs_memory memory;
};
MUST_USE int procfs_parse_map(struct procfs_map *out, const char *text, size_t len, size_t *at);

/* limits: proc_pid_limits(5). PROCFS_UNLIMITED for "unlimited". */
#define PROCFS_UNLIMITED UINT64_MAX
struct procfs_limits {
	size_t n;
	struct procfs_limit {
		char name[PROCFS_LIMIT_NAME]; /* "Max open files" */
		char unit[16];                /* "files", "" */
		uint64_t soft, hard;
	} row[PROCFS_LIMITS];
};
MUST_USE bool procfs_parse_limits(struct procfs_limits *out, const char *text, size_t len);

/* fdinfo/N: proc_pid_fdinfo(5). */
struct procfs_fdinfo {
	uint64_t position; /* of /proc/PID/mem and the like it may be above 2^63 */
	uint32_t flags;    /* as open(2) has them */
};
MUST_USE bool procfs_parse_fdinfo(struct procfs_fdinfo *out, const char *text, size_t len);

/* A line of /proc/PID/net/{tcp,tcp6,udp,udp6,unix}, without its newline: proc_pid_net(5). The head line gives false. */
struct procfs_inet {
	uint8_t local[16], peer[16]; /* in network order; IPv4 uses the first four */
	uint16_t local_port, peer_port;
	bool is_v6;
	unsigned state;                                             /* numbered as in sockdiag.h */
	uint64_t send_queue, recv_queue, retransmits, inode, drops; /* drops: of UDP; retransmits: in a row, of TCP */
	uint32_t uid;
};
MUST_USE bool procfs_parse_inet(struct procfs_inet *out, const char *line, size_t len);

struct procfs_unix {
	uint64_t inode;
	unsigned type, state; /* SOCK_STREAM ...; 1 unconnected (or listening), 3 connected */
	bool is_listening;
	char path[PROCFS_PATH]; /* "@name" for an abstract one, "" for none */
};
MUST_USE bool procfs_parse_unix(struct procfs_unix *out, const char *line, size_t len);

/* The number in "socket:[123]" and "pipe:[123]"; false for another text. */
MUST_USE bool procfs_parse_inode(uint64_t *out, const char *kind, const char *target);

#endif
