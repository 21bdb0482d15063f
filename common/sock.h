/* sock.h - making TCP sockets: listen, connect with a deadline, and the options; and UDP sockets. Layer 2.
 *
 * Descriptors are close-on-exec, and blocking where nothing else is said. A function that makes one gives it to the
 * caller, who closes it. */
#ifndef TCPLAB_SOCK_H
#define TCPLAB_SOCK_H

#include "addr.h"
#include "io.h"

#include <stdbool.h>
#include <stdint.h>

/* Socket options by name; zero or NULL leaves the system's default. They are set before connect and listen, because
 * the window scale and the MSS are agreed on in the handshake (RFC 7323 2.2); accepted sockets inherit them. */
struct sock_options {
	uint64_t send_buffer,
		receive_buffer;     /* bytes as given to SO_SNDBUF, SO_RCVBUF; the kernel doubles them, socket(7) */
	uint64_t mss;               /* bytes, TCP_MAXSEG */
	uint64_t pacing_Bps;        /* SO_MAX_PACING_RATE: the kernel's own pacing, no qdisc needed */
	uint64_t receive_low_water; /* bytes, SO_RCVLOWAT: do not wake the reader for less */
	const char *congestion;     /* TCP_CONGESTION, for example "reno" */
	bool nodelay;               /* TCP_NODELAY */
	bool cork;                  /* TCP_CORK: hold back part-filled segments, up to 200 ms (tcp(7)) */
	bool reuse_port;            /* SO_REUSEPORT: several listeners on one port, the kernel deals connections out */
	uint64_t user_timeout_ns;   /* TCP_USER_TIMEOUT: how long what was sent may go unacknowledged; milliseconds, rounded up */
	bool keepalive;             /* a vanished peer is noticed after about 25 s of silence */
};

/* 0, or -1 with *e naming the option ("set congestion bbr2: No such file or directory (ENOENT)"). */
MUST_USE int sock_set(int fd, const struct sock_options *o, struct net_error *e);

/* A listening socket on `where`. On the IPv6 wildcard address it takes IPv4 as well when both_families is true.
 * SO_REUSEADDR is set, so that a restarted server gets its port back (tcp(7)). A descriptor, or -1 with *e. */
MUST_USE int sock_listen(const struct addr *where, bool both_families, const struct sock_options *o,
			 struct net_error *e);

/* Listens where --bind, -p and -4/-6 say: `host` NULL means every address, on one dual-stack socket where the system
 * has IPv6. *bound is the address with the port that was taken. Resolves, so it BLOCKS. A descriptor, or -1 with *e. */
MUST_USE int sock_serve(const char *host, uint16_t port, int family, const struct sock_options *o, struct addr *bound,
			struct net_error *e);

/* Connects to the first of n addresses that answers, each with a fresh socket, all before the deadline. `from` is the
 * local address or NULL; addresses of another family than `from` are passed over. BLOCKS. A connection to itself (the
 * same port at both ends, RFC 9293 3.5 simultaneous open) counts as refused. A descriptor, or -1 with *e of the last
 * attempt (ETIMEDOUT when the deadline came, ECANCELED); *e is touched only then. */
MUST_USE int sock_connect(const struct addr *list, size_t n, const struct addr *from, const struct sock_options *o,
			  const struct io_until *until, struct net_error *e);

/* The two halves of a connection, for a loop that does not wait (connector.h); sock_connect is made of them.
 *
 * begin: a fresh socket, its options, bind to `from` unless that is NULL, and connect(2). Never blocks. A descriptor,
 * here a non-blocking one, on its way; or -1 with *e.
 * result: once the descriptor is writable, what became of it. 0, or -1 with errno; a connection to itself is
 * ECONNREFUSED. Then end it with sock_abort: a plain close would leave TIME-WAIT on the port of a server to come. */
MUST_USE int sock_connect_begin(const struct addr *to, const struct addr *from, const struct sock_options *o,
				struct net_error *e);
MUST_USE int sock_connect_result(int fd);

/* Just after begin: is there nothing to wait for? On loopback it is nearly always connected at once. 1: it is; 0: it is
 * on its way, or has failed, which waiting tells; -1 with errno: it is connected to itself. */
MUST_USE int sock_connect_try(int fd);

/* What has gone wrong with a socket unasked, and forgets it (SO_ERROR, socket(7)): an errno, 0 for nothing. */
int sock_take_error(int fd);

/* Would a connection to `to` arrive at a socket of this host that listens on `bound`? */
bool sock_leads_to(const struct addr *to, const struct addr *bound);

/* How many bytes the send buffer may hold now, as the kernel accounts them (SO_SNDBUF); 0 unknown. */
uint64_t sock_send_buffer(int fd);

/* SO_LINGER with time 0, then close: the peer sees a reset, unsent bytes are dropped (socket(7)). Takes fd. */
void sock_abort(int fd);

/* --- UDP --------------------------------------------------------------------------------------------------------- */

/* A UDP socket bound as sock_serve binds, on one dual-stack socket where that is possible; but a port belongs to one
 * server alone (no SO_REUSEADDR). Resolves, so it BLOCKS. A descriptor, or -1 with *e (EADDRINUSE: somebody has it). */
MUST_USE int sock_serve_udp(const char *host, uint16_t port, int family, struct addr *bound, struct net_error *e);

/* A UDP socket connected to the first of n addresses to which there is a route. Nothing is sent, so this does not tell
 * whether anybody is there; but from then on a later send or recv hears it when nobody is (ECONNREFUSED, an ICMP port
 * unreachable; udp(7)), and what others send is not received. `from`, the connection to itself and *e as for
 * sock_connect. A descriptor, or -1 with *e of the last attempt. */
MUST_USE int sock_connect_udp(const struct addr *list, size_t n, const struct addr *from, struct net_error *e);

#endif
