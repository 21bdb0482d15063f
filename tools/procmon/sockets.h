/* sockets.h - procmon: the sockets of a process, with what the kernel knows of each TCP connection.
 *
 *	/proc/PID/fd  ->  "socket:[inode]"  ->  inode -> sock_diag: state, addresses, queues, round trip, cwnd ...
 *	                                                 /proc/PID/net: UDP and unix sockets
 *
 * NETWORK  sock_diag sees the network namespace in which it was opened. For a process in another one it is opened
 *   there, which needs CAP_SYS_ADMIN (sockdiag_open_in); where that is refused /proc/PID/net/tcp tells state,
 *   addresses and queues. A process that moves to another namespace is followed.
 * COST  to ask for all TCP sockets costs as much as the machine has of them, though the process may have ten. So
 *   those that are known are asked for one by one; all of them only when there is a new one, or they are many.
 * LIMIT  what lives and dies between two readings is not seen, nor the last bytes of what has died. With several
 *   processes the first one's network is looked at. Of a socket of another protocol (MPTCP, netlink, packet ...)
 *   only that is known. */
#ifndef PROCMON_SOCKETS_H
#define PROCMON_SOCKETS_H

#include "details.h"
#include "sockdiag.h"

enum {
	SOCKETS_MAX = 2000, /* rows */
	SOCKETS_TRACE = 60,
	SOCKET_TEXT = 144,
	SOCKET_PROTOCOL = 24,
};

enum socket_kind {
	SOCKET_TCP,
	SOCKET_UDP,
	SOCKET_UNIX,
	SOCKET_OTHER, /* netlink, packet ...: only its inode and protocol are known */
};
const char *socket_kind_name(enum socket_kind kind); /* "TCP", "UDP", "unix", "other" */

struct socket_row {
	int64_t pid;
	uint32_t fd;  /* the first one that leads to it ... */
	uint32_t fds; /* ... of so many */
	uint64_t inode;
	enum socket_kind kind;
	char protocol[SOCKET_PROTOCOL]; /* as the kernel names it: "TCPv6", "NETLINK"; "" if it does not */

	/* SOCKET_TCP: all of it, if has_info; else without info. One that is neither connected nor listening is
	 * CLOSED, and its addresses are empty. SOCKET_UDP: addresses, queues, uid, and the state: ESTABLISHED when
	 * it is connected. */
	struct sockdiag_socket tcp;
	uint64_t drops;         /* SOCKET_UDP: datagrams that found its buffer full */
	char path[SOCKET_TEXT]; /* SOCKET_UNIX: "listening /run/x", "connected"; SOCKET_OTHER: "netlink" */

	/* TCP, each second since the last reading: delivered to the peer and acknowledged, received, sent again. A
	 * connection that is new counts from 0. NaN at the first reading, and where there is no info. LIMIT: so
	 * one that another process has handed over brings along, once, what had moved before. */
	double out_Bps, in_Bps, retransmits_per_s;

	/* What moved, in and out, at the latest SOCKETS_TRACE readings, oldest first; NaN where there was none. */
	double trace_Bps[SOCKETS_TRACE];
};

struct sockets {
	struct socket_row *row; /* listeners first, then TCP by what moved, then UDP, unix and others */
	size_t n;
	size_t n_more;      /* have no row: beyond SOCKETS_MAX, those at the end of that order */
	uint64_t at_ns;     /* CLOCK_MONOTONIC of this reading; 0: never */
	const char *why;    /* what could not be read; NULL: nothing */
	const char *source; /* of the TCP rows: "sock_diag", "/proc/PID/net/tcp"; NULL: there was none to ask for */

	/* All sockets of the process are known. False when its descriptors must not be read, or are too many: then
	 * the sums below mean nothing. */
	bool is_known;

	/* Sums over all TCP sockets, those without a row included. Queues in bytes: what waits for the process,
	 * and for the peers; a listener's queue, which counts connections, is not in them. n_tcp: connections and
	 * listeners. retransmits: of the connections there are now. Rates NaN at the first reading and without
	 * sock_diag. */
	uint64_t n_tcp, recv_queue, send_queue, retransmits;
	double in_Bps, out_Bps, retransmits_per_s;

	struct sockets_memory *memory; /* sockets.c only */
};

/* 0, or -1 with *e when there is no descriptor free for it (EMFILE, ENFILE). What is refused or fails later is in
 * `why`. p decides the network namespace. */
MUST_USE int sockets_open(struct sockets *s, const struct procfs *p, struct net_error *e);
void sockets_close(struct sockets *s); /* may be all zero */

/* A new reading: files are those of all watched processes (its socket rows are used). */
void sockets_read(struct sockets *s, const struct files *files, const struct procfs *p, uint64_t now_ns);

/* After sockets_read, once: the process has ended meanwhile, and what was read is of a corpse. The reading before
 * stands again. */
void sockets_undo(struct sockets *s);

#endif
