/* columns.h - procmon, first chapter: what is charted, each thing once. One row of the table gives its name in /json,
 * /csv and --json, its place on a chart, and how people read it. Memory only. */
#ifndef PROCMON_COLUMNS_H
#define PROCMON_COLUMNS_H

#include "units.h"

enum column {
	COLUMN_CPU,    /* percent of ONE processor: two busy threads are 200 */
	COLUMN_USER,   /* ... of it in user space */
	COLUMN_SYSTEM, /* ... and in the kernel on its behalf */
	COLUMN_WAITED, /* percent: its threads were ready to run, and others had the processors */
	COLUMN_RESIDENT,
	COLUMN_PSS, /* what it would free if it ended: a page that n processes share counts 1/n */
	COLUMN_SWAP,
	COLUMN_THREADS,
	COLUMN_FILES,       /* open descriptors */
	COLUMN_VOLUNTARY,   /* context switches a second: it waited for something ... */
	COLUMN_INVOLUNTARY, /* ... or had to make room for another */
	COLUMN_MINOR,       /* page faults a second without, */
	COLUMN_MAJOR,       /* and with a disk */
	COLUMN_READ,        /* bytes a second by read(2) and the like; recv(2), send(2) and splice(2) are not counted */
	COLUMN_WRITTEN,
	COLUMN_CALLS, /* of those calls, a second */
	COLUMN_DISK_READ,
	COLUMN_DISK_WRITTEN,
	COLUMN_SOCKETS,    /* TCP connections and listeners */
	COLUMN_RECV_QUEUE, /* bytes that wait in its sockets for it to read */
	COLUMN_SEND_QUEUE, /* bytes that it has written and the peer has not acknowledged */
	COLUMN_TCP_IN,     /* bytes a second over its TCP connections */
	COLUMN_TCP_OUT,
	COLUMN_RETRANSMITS, /* segments a second sent again */
	COLUMN_PROCESSES,   /* itself, and with --children its descendants */
	COLUMNS
};

enum column_unit { UNIT_PERCENT, UNIT_BYTES, UNIT_COUNT, UNIT_PER_S, UNIT_BPS };

struct column_info {
	const char *name;  /* "cpu_percent": in records and files */
	const char *label; /* "CPU": for people */
	enum column_unit unit;
	const char *help; /* one sentence */
};
extern const struct column_info column_info[COLUMNS];

/* "12.3 %", "64.0 MiB", "17", "1.2 k/s", "10.5 MiB/s"; "-" for NaN: not read. */
const char *column_text(char out[static UNITS_TEXT], enum column column, double value);

#endif
