/* tcpwatch.h - what the chapters of tcpwatch share: the options, what is watched, and the calls. */
#ifndef TCPWATCH_H
#define TCPWATCH_H

#include "addr.h"
#include "packet.h"
#include "sockdiag.h"

#include <stdio.h>
#include <sys/types.h>

enum {
	TCPWATCH_OPERANDS = 32,
	TCPWATCH_KEPT = 1000, /* connections that are gone and still stand in the final report */
};

/* --- the options --------------------------------------------------------------------------------------------------- */

enum tcpwatch_target_kind { TARGET_PORT, TARGET_ADDRESS, TARGET_PROCESS };

/* One operand. */
struct tcpwatch_target {
	enum tcpwatch_target_kind kind;
	const char *text; /* as it was typed */
	uint16_t port;
	struct addr addr[ADDR_MAX]; /* of a name there may be several */
	size_t n_addr;
	struct tcpwatch_process *process;
};

struct tcpwatch_options {
	bool json, once, listeners, ipv4, ipv6, verbose, packets, until_closed;
	uint64_t interval_ns, report_ns, time_ns, snap_len;
	const char *pcap;
	struct tcpwatch_target target[TCPWATCH_OPERANDS];
	size_t n_targets; /* 0: everything */
};

/* --- what is watched: table.c -------------------------------------------------------------------------------------- */

enum tcpwatch_closer { CLOSER_UNKNOWN, CLOSER_LOCAL, CLOSER_PEER, CLOSER_BOTH };

struct tcpwatch_pair;

/* One socket, from when it was first seen. A loopback connection has two. Lives in the table. */
struct tcpwatch_life {
	struct tcpwatch_life *next_in_slot, *next; /* next: all of them, oldest first */
	struct tcpwatch_pair *pair;                /* the connection; NULL for a listener, and when it is gone */
	unsigned number;                           /* of the connection: "#3"; both its sockets have the same */
	struct sockdiag_socket now;                /* as the last poll saw it */
	uint64_t poll;                             /* the number of that poll */
	uint64_t first_ns, since_ns, gone_ns;      /* since_ns: in this state. gone_ns 0: it lives */
	uint64_t in_state_ns[SOCKDIAG_STATES];     /* without the present one */
	unsigned seen_states;                      /* bits */
	enum tcpwatch_closer closer;               /* of the two FINs */
	enum tcpwatch_closer resetter;             /* known only when packets are watched */
	bool was_there;                            /* before we began to watch */
	bool is_quiet;                             /* in TIME-WAIT before we began: not worth a word */

	struct sockdiag_socket told; /* as it was when a line of figures was last printed */
	uint64_t told_ns;            /* 0: not yet */
};

/* A connection: a pair of ends, whichever of them are sockets of this namespace. */
struct tcpwatch_pair {
	struct tcpwatch_pair *next_in_slot;
	struct addr end[2];
	unsigned number;
	unsigned n_lives; /* that are watched */
	bool had_lives;
	uint64_t used_ns; /* when a socket or a packet of it was last found */
	struct packet_flow flow;
	uint8_t end_flag;       /* of the first FIN or RST that passed, 0: none so far ... */
	unsigned end_direction; /* ... and which way */
};

struct tcpwatch_table {
	struct tcpwatch_life **slot, *first, **last;
	size_t n_slots, n; /* n: that live */
	struct tcpwatch_life *gone, **last_gone;
	size_t n_gone, n_forgotten; /* gone: kept for the final report, and no longer */
	struct tcpwatch_pair **pair_slot;
	size_t n_pair_slots, n_pairs;
	unsigned numbers;
};

void tcpwatch_table_start(struct tcpwatch_table *t);
void tcpwatch_table_stop(struct tcpwatch_table *t);

/* The life of this socket, or NULL. */
struct tcpwatch_life *tcpwatch_find(const struct tcpwatch_table *t, const struct sockdiag_socket *s);
struct tcpwatch_life *tcpwatch_find_reverse(const struct tcpwatch_table *t, const struct tcpwatch_life *l);

/* replaced: the number of the connection whose socket had these addresses until now, or 0. */
struct tcpwatch_life *tcpwatch_add(struct tcpwatch_table *t, const struct sockdiag_socket *s, unsigned replaced,
				   uint64_t now_ns);

/* Takes the life out of the living: *link is where the chain of all points to it. The object may be read until the next call. */
void tcpwatch_retire(struct tcpwatch_table *t, struct tcpwatch_life **link);

/* The connection between two ends, in either order, or NULL. *direction: 0 when `from` is its end[0], otherwise 1. */
struct tcpwatch_pair *tcpwatch_find_pair(const struct tcpwatch_table *t, const struct addr *from, const struct addr *to,
					 unsigned *direction);

/* The same, made when it is new. */
struct tcpwatch_pair *tcpwatch_pair(struct tcpwatch_table *t, const struct addr *from, const struct addr *to,
				    uint64_t now_ns, unsigned *direction);

/* A new connection between the same ends: it gets a number of its own. */
void tcpwatch_begin_anew(struct tcpwatch_table *t, struct tcpwatch_pair *p);

/* --- the sockets of a process: process.c --------------------------------------------------------------------------- */

/* 0, or -1 with *e: no such process, no right to look, or its network is another one. */
MUST_USE int tcpwatch_process_open(struct tcpwatch_process **out, pid_t pid, struct net_error *e);
void tcpwatch_process_close(struct tcpwatch_process *p);

/* Does a descriptor of the process lead to the socket? /proc is read only when the inode is new. */
bool tcpwatch_process_has(struct tcpwatch_process *p, uint64_t inode, uint64_t poll);
bool tcpwatch_process_lives(const struct tcpwatch_process *p);

/* --- packets: sniff.c ---------------------------------------------------------------------------------------------- */

struct tcpwatch_sniff {
	int fd;     /* -1: not asked for */
	FILE *file; /* NULL: no --pcap */
	uint64_t packets, dropped;

	/* The packet at hand. */
	unsigned char *buffer;
	size_t snap_len, captured, len;
	int64_t real_ns; /* when it passed, by the kernel's clock */
	bool is_held;    /* it is for the next call */
};

/* 0, or -1 with *e: EPERM without the right to see packets. */
MUST_USE int tcpwatch_sniff_open(struct tcpwatch_sniff *s, const struct tcpwatch_options *o, struct net_error *e);

/* The next packet that passed until then. False: none has. */
bool tcpwatch_sniff_next(struct tcpwatch_sniff *s, int64_t until_real_ns);

void tcpwatch_sniff_keep(struct tcpwatch_sniff *s);  /* counts it, and writes it to the file if there is one */
void tcpwatch_sniff_count(struct tcpwatch_sniff *s); /* asks the kernel how many it had to drop */

/* 0, or -1 with *e when the file could not be written. */
MUST_USE int tcpwatch_sniff_close(struct tcpwatch_sniff *s, const struct tcpwatch_options *o, struct net_error *e);

/* --- the loop: watch.c --------------------------------------------------------------------------------------------- */

/* What the total says of the watching itself. */
struct tcpwatch_effort {
	uint64_t polls, torn, interval_ns, gap_max_ns, cpu_ns, cpu_max_ns, stretched, sockets_max;
	uint64_t appeared, gone, changes;
};

/* The exit status. */
int tcpwatch_watch(struct tcpwatch_options *o);

bool tcpwatch_is_wanted(const struct tcpwatch_options *o, const struct sockdiag_socket *s, uint64_t poll);
struct sockdiag_filter tcpwatch_filter(const struct tcpwatch_options *o, uint16_t ports[static TCPWATCH_OPERANDS]);

/* --- lines and records: report.c, once.c --------------------------------------------------------------------------- */

void tcpwatch_print_start(const struct tcpwatch_options *o, int64_t real_ns);
void tcpwatch_announce(const struct tcpwatch_options *o); /* on stderr: from now on nothing is missed */
void tcpwatch_print_appeared(const struct tcpwatch_options *o, const struct tcpwatch_life *l, uint64_t now_ns);
void tcpwatch_print_state(const struct tcpwatch_options *o, const struct tcpwatch_life *l, enum sockdiag_state before,
			  uint64_t after_ns, uint64_t now_ns);
void tcpwatch_print_info(const struct tcpwatch_options *o, const struct tcpwatch_life *l, uint64_t now_ns);
void tcpwatch_print_gone(const struct tcpwatch_options *o, const struct tcpwatch_life *l, uint64_t now_ns);
void tcpwatch_print_packet(const struct tcpwatch_options *o, const struct tcpwatch_pair *pair, unsigned direction,
			   const struct packet *p, const struct tcpwatch_sniff *s, uint64_t now_ns);
void tcpwatch_print_stretch(const struct tcpwatch_options *o, uint64_t poll_ns, uint64_t interval_ns, size_t sockets);
void tcpwatch_print_lives(const struct tcpwatch_options *o, const struct tcpwatch_table *t, uint64_t now_ns);
void tcpwatch_print_total(const struct tcpwatch_options *o, const struct tcpwatch_effort *e,
			  const struct tcpwatch_sniff *s, uint64_t now_ns);

/* --once: the exit status. */
int tcpwatch_once(struct tcpwatch_options *o);

/* A socket's addresses, state, queues, timer and TCP_INFO as members of a record. */
struct json;
void tcpwatch_json_socket(struct json *j, const struct sockdiag_socket *s);

#endif
