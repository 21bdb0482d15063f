/* zerocopy.h - what the chapters of zerocopy share. */
#ifndef ZEROCOPY_H
#define ZEROCOPY_H

#include "../pitfall/stage.h"
#include "io.h"
#include "tcpinfo.h"

enum {
	FILE_LEN = 8 * 1024 * 1024,
	BLOCK_MAX = 1024 * 1024,
	REUSE_LEN = 256 * 1024,
	SEED = 1,
	DISCARD_PORT = 2009,
	OUTSTANDING_MAX = 64, /* sends without a completion before we look for some */
};

enum zerocopy_way { RW, MMAP, MEMORY, SENDFILE, SPLICE, ZEROCOPY, WAYS };

struct zerocopy_options {
	struct stage stage;
	const char *experiment, *congestion;
	int way; /* enum zerocopy_way; -1: all of them */
	bool fixed, verify;
	uint64_t bytes, block, rounds;
};

/* The same bytes as a file, as its mapping, and as memory of our own. */
struct zerocopy_source {
	int fd;
	unsigned char *mapped, *memory;
	size_t len;
};

/* One connection on which one of the ways sends. */
struct zerocopy_sending {
	const struct zerocopy_options *o;
	const struct zerocopy_source *from;
	int fd, pipe[2];
	bool is_nonblocking; /* then EAGAIN is not waited out */
	struct io_until until;
	unsigned char *buffer;                /* of rw */
	uint64_t bytes, calls;                /* taken by the socket; all system calls that it took */
	uint64_t zerocopy_sends, plain_sends; /* of way zerocopy; plain: the kernel would not pin more pages */
	uint64_t completions, copied;         /* told on the error queue; of them, copied after all */
};

struct zerocopy_method {
	const char *name;
	bool is_shared;                                                     /* the queue has the pages themselves */
	ssize_t (*move)(struct zerocopy_sending *s, size_t at, size_t len); /* bytes, or -1 with errno */
};
extern const struct zerocopy_method zerocopy_methods[WAYS];

void zerocopy_begin(struct zerocopy_sending *s, const struct zerocopy_options *o, const struct zerocopy_source *from,
		    int way, int fd);
void zerocopy_end(struct zerocopy_sending *s);

/* Until all but so many sends are done. 0, or -1 with errno: ETIMEDOUT when the peer reads nothing. */
MUST_USE int zerocopy_await(struct zerocopy_sending *s, uint64_t outstanding);

struct zerocopy_reuse {
	struct zerocopy_sending sent;
	uint64_t handed, arrived, altered;
	bool is_copy; /* zerocopy was not to be had (RLIMIT_MEMLOCK) */
};

/* --- speed.c ------------------------------------------------------------------------------------------------------ */

/* One way, one run; of several the one that took the sender the least processor time, and the least time: others can only
 * make it longer. */
struct zerocopy_row {
	struct zerocopy_sending sent; /* its counters */
	bool has_reader;
	uint64_t elapsed_ns, user_ns, sys_ns, reader_ns, received, right;
	int error;
	char congestion[TCPINFO_CONGESTION];
};

struct zerocopy_row zerocopy_run_way(const struct zerocopy_options *o, const struct zerocopy_source *from, int way);

/* --- report.c ----------------------------------------------------------------------------------------------------- */

void zerocopy_report_start(const struct zerocopy_options *o);
void zerocopy_report_row(const struct zerocopy_options *o, int way, const struct zerocopy_row *r);
void zerocopy_report_reuse(const struct zerocopy_options *o, int way, const struct zerocopy_reuse *r);
void zerocopy_report_total(const struct zerocopy_options *o, unsigned ways, bool as_promised);

#endif
