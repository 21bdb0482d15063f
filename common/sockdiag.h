/* sockdiag.h - every TCP socket of this network namespace, as the kernel sees it: sock_diag(7). Layer 2.
 *
 * What ss(8) shows, and from the same source. No right is needed, not even for the sockets of other users. Sockets of
 * another network namespace are not seen: for those there is sockdiag_open_in, which needs rights.
 *
 *	struct sockdiag d;
 *	struct net_error e;
 *	if (sockdiag_open(&d, &e) < 0 || sockdiag_dump(&d, &(struct sockdiag_filter){ 0 }, &e) < 0)
 *		die("%s", net_error_text(&e, text));
 *	for (size_t i = 0; i < d.n; i++)
 *		print(&d.sockets[i]);
 *	sockdiag_close(&d);
 *
 * LIMIT: a dump is no snapshot. The kernel hands the table over in pieces of about 30 KB, and what changes between two
 * of them may be missing or stand there twice. sockdiag_find asks for a single socket and is exact. */
#ifndef TCPLAB_SOCKDIAG_H
#define TCPLAB_SOCKDIAG_H

#include "addr.h"
#include "tcpinfo.h"

/* The numbers are the kernel's (include/net/tcp_states.h) and ABI. */
enum sockdiag_state {
	SOCKDIAG_ESTABLISHED = 1,
	SOCKDIAG_SYN_SENT,
	SOCKDIAG_SYN_RECEIVED,
	SOCKDIAG_FIN_WAIT_1,
	SOCKDIAG_FIN_WAIT_2,
	SOCKDIAG_TIME_WAIT,
	SOCKDIAG_CLOSED,
	SOCKDIAG_CLOSE_WAIT,
	SOCKDIAG_LAST_ACK,
	SOCKDIAG_LISTEN,
	SOCKDIAG_CLOSING,
	SOCKDIAG_STATES
};
#define SOCKDIAG_BIT(state) (1u << (state))

enum sockdiag_timer {
	SOCKDIAG_NO_TIMER,
	SOCKDIAG_RETRANSMIT, /* a segment is out: retransmission or loss probe (RFC 6298, RFC 8985) */
	SOCKDIAG_KEEPALIVE,  /* also: a handshake to be completed, an orphan in FIN-WAIT-2 */
	SOCKDIAG_TIMEWAIT,
	SOCKDIAG_PERSIST, /* the peer's window is shut: zero-window probes (RFC 9293 3.8.6.1) */
};

/* Plain data. IPv4-mapped addresses have become IPv4 addresses, so that both ends of a connection spell them alike. */
struct sockdiag_socket {
	struct addr local, peer; /* peer of a listener: the wildcard address, port 0 */
	enum sockdiag_state state;
	uint32_t interface; /* the socket is bound to, or 0 */
	uint32_t uid;       /* owner; 0 in TIME-WAIT, which has none */
	uint64_t inode; /* as in "socket:[N]" of /proc/PID/fd; 0: no descriptor leads to it (not accepted, or closed) */
	uint64_t cookie;     /* never used twice; that of a connection in TIME-WAIT is a new one */
	uint64_t recv_queue; /* bytes that wait for the program; listener: connections that wait for accept(2) */
	uint64_t send_queue; /* bytes not yet acknowledged; listener: the backlog */

	enum sockdiag_timer timer;
	uint64_t timer_left_ns;
	unsigned timer_count; /* retransmissions or probes in a row without an answer */

	bool has_info; /* false in TIME-WAIT and SYN-RECEIVED, which are but a note of the kernel's */
	struct tcpinfo info;
	char congestion[TCPINFO_CONGESTION]; /* "" if the kernel does not say */
};

/* All zero: everything. */
struct sockdiag_filter {
	uint32_t states; /* SOCKDIAG_BIT of those that are wanted */

	/* At either end; borrowed for the call. Up to SOCKDIAG_KERNEL_PORTS of them the kernel does the filtering: then
	 * those that are not wanted cost next to nothing. */
	const uint16_t *ports;
	size_t n_ports;

	/* Keeps a socket or drops it, so that memory is spent on those that are wanted, however many there are.
	 * NULL: all. */
	bool (*wants)(const struct sockdiag_socket *s, void *context);
	void *context;
};
enum { SOCKDIAG_KERNEL_PORTS = 64 };

/* Lives in its owner, one thread. Read sockets[0..n) until the next call. */
struct sockdiag {
	struct sockdiag_socket *sockets;
	size_t n;
	bool is_torn; /* the kernel said at each of several tries that its table changed under the dump */

	size_t cap;
	int fd, netns_fd; /* netns_fd -1: our own network */
	uint32_t sequence;
	unsigned char *buffer;
};

/* 0, or -1 with *e: EPROTONOSUPPORT where the kernel has no sock_diag. */
MUST_USE int sockdiag_open(struct sockdiag *d, struct net_error *e);

/* The same inside of another network namespace: netns_fd is a descriptor of /proc/PID/ns/net; borrowed for the
 * call. Needs CAP_SYS_ADMIN over that namespace and over our own (setns(2)): EPERM without. The caller stays where
 * it is. */
MUST_USE int sockdiag_open_in(struct sockdiag *d, int netns_fd, struct net_error *e);

void sockdiag_close(struct sockdiag *d);

/* Fills d->sockets. The kernel answers at once; it takes about two microseconds for each socket. 0, or -1 with *e
 * (and n is 0): ENOENT where the kernel cannot tell about TCP (inet_diag, tcp_diag). */
MUST_USE int sockdiag_dump(struct sockdiag *d, const struct sockdiag_filter *f, struct net_error *e);

/* One connection. 1: found, in *out. 0: there is none. -1: *e. d->sockets is left as it is. */
MUST_USE int sockdiag_find(struct sockdiag *d, const struct addr *local, const struct addr *peer, uint32_t interface,
			   struct sockdiag_socket *out, struct net_error *e);

/* SYN and FIN have a sequence number each (RFC 9293 3.4), and so the kernel counts them as bytes: a connection
 * over which nothing was sent has acknowledged one, and a FIN that the program has not seen yet is one in its
 * receive queue. People do not count that way: takes them out of the queues and of info. The state tells where
 * there is a FIN; the SYN is found by what was sent. LIMIT: as long as not everything is acknowledged the SYN is
 * in bytes_acked still; and kernels before 4.19 do not know what was sent. */
void sockdiag_leave_out_syn_fin(struct sockdiag_socket *s);

/* The names of RFC 9293 3.3.2: "SYN-SENT", "ESTABLISHED". */
const char *sockdiag_state_name(enum sockdiag_state state);

/* One answer of the kernel, without the netlink header: for the test, which cuts it off anywhere. False: too short. */
MUST_USE bool sockdiag_decode(struct sockdiag_socket *out, const unsigned char *message, size_t len);

#endif
