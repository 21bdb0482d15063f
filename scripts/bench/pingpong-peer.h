/* pingpong-peer.h - what the peers of scripts/bench/loop have in common, and what is not measured: the command line, the
 * sockets, the clock and the report. A peer adds the part that is: how a library reads, writes and waits.
 *
 *	PEER -s [-p PORT]                                serves until it is killed
 *	PEER HOST -p PORT -c CONNS -l LEN --time SECONDS
 *	PEER --version                                   of the library
 *
 * The same words, the same listening line and the same `total` record as the tool pingpong, and the same histogram: one
 * script drives all of them, and their percentiles are cut alike. */
#ifndef BENCH_PINGPONG_PEER_H
#define BENCH_PINGPONG_PEER_H

#include "hist.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PEER_BUFFER = 64 * 1024 }; /* one receive buffer, shared by all connections */

struct peer_options {
	bool server;
	bool events; /* the second way of pingpong-libevent */
	const char *host;
	uint16_t port;
	unsigned conns;
	size_t len;
	uint64_t time_ns;
};

/* Reads the command line, sets diag_tool and raises the limit of descriptors. Ends the process when it is wrong. */
struct peer_options peer_parse(const char *name, const char *version, int argc, char **argv);

/* Both give a descriptor with TCP_NODELAY, or end the process. peer_listen says on stderr where it listens; what it accepts
 * inherits the option. peer_connect BLOCKS. */
int peer_listen(const struct peer_options *o);
int peer_connect(const struct peer_options *o);

/* A client's run, as the tool's: the clock starts when all connections stand, before the first message. */
struct peer_run {
	const struct peer_options *o;
	uint64_t start_ns;
	struct hist rtt;
};

void peer_start(struct peer_run *run, const struct peer_options *o);

/* One message, sent at sent_ns, has come back whole. Returns the time, which is when the next one is sent. When the run's
 * time is over, prints the record and ends the process, which closes everything. */
uint64_t peer_count(struct peer_run *run, uint64_t sent_ns);

#endif
