/* footprint.h - what the chapters of footprint share. */
#ifndef FOOTPRINT_H
#define FOOTPRINT_H

#include "../pitfall/stage.h"

enum { FOOTPRINT_PAIRS = 16, FOOTPRINT_CACHES = 512 };

enum serving { BUFFERS, THREADS, PROCESSES };
extern const char *const footprint_serving_names[]; /* ends with NULL */

struct footprint_options {
	struct stage stage;
	bool fixed;
	int serving; /* enum serving */
	uint64_t number, unread, hold_ns;
};

/* --- kernel.c: what the kernel tells ------------------------------------------------------------------------------ */

struct footprint_snapshot {
	uint64_t available, unreclaimable, stacks, page_tables; /* bytes, of the whole machine */
	uint64_t inuse, memory;                                 /* TCP sockets of this network; bytes of all buffers */
	uint64_t server_pss, client_pss;                        /* bytes, of our processes */
	uint64_t received, queued, ahead; /* bytes: SO_MEMINFO, the server's sockets together; ahead: reserved */
	bool has_queues;
	size_t n; /* 0: slabinfo is not for us */
	struct footprint_cache {
		char name[32];
		uint64_t objects, object_bytes;
	} caches[FOOTPRINT_CACHES];
};

void footprint_look_at_slabs(struct footprint_snapshot *s);   /* root's; others get n == 0 */
void footprint_look_at_machine(struct footprint_snapshot *s); /* what cannot be read stays 0 */

/* Bytes that a process and its children have; a page that several of them share is divided among these. */
uint64_t footprint_look_at_process(pid_t pid);

/* --- the story ---------------------------------------------------------------------------------------------------- */

struct footprint_child {
	pid_t pid;
	int control;
};

struct footprint_pair {
	struct footprint_child server, client;
	uint64_t room, opened;
};

struct footprint {
	const struct footprint_options *o;
	struct footprint_pair pairs[FOOTPRINT_PAIRS];
	size_t n;
	uint64_t wanted, opened, unread; /* wanted: as far as the limits allow it; unread: bytes, in all */
	const char *limit;               /* why it is not as many as were asked for; NULL: it is */
	int error;                       /* the same, when a system call says why */
	struct footprint_snapshot before, idle, unread_there;
};

/* --- report.c ----------------------------------------------------------------------------------------------------- */

/* Bytes of the server's programs for each connection. */
double footprint_server_each(const struct footprint *story);

void footprint_report_start(const struct footprint_options *o);
void footprint_report(const struct footprint *s, bool as_promised);

#endif
