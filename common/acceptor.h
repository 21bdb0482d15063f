/* acceptor.h - turns a listening socket into connections, and survives having too many. Layer 4.
 *
 * TOO MANY DESCRIPTORS (EMFILE)  a reserve descriptor is given up, so that a batch of waiting connections can be accepted
 *   and closed: their peers learn it at once, instead of hanging in the backlog. Then the reserve is taken again and the
 *   listener is left alone for ACCEPTOR_PAUSE_NS. Without that, a level-triggered loop spins at 100 % (lab 42-emfile).
 *   A descriptor that the loop cannot watch (select): the same, without the reserve. ENFILE, ENOBUFS, ENOMEM: the pause
 *   only. ECONNABORTED and other errors of one connection: on to the next.
 * TOO MANY CONNECTIONS (max_live)  the listener is not polled; the kernel's backlog holds the others.
 * One line a second at most is logged. */
#ifndef TCPLAB_ACCEPTOR_H
#define TCPLAB_ACCEPTOR_H

#include "reactor.h"

enum {
	ACCEPTOR_BATCH = 64, /* connections taken in one event, and shed in one batch */
	ACCEPTOR_PAUSE_NS = 100 * 1000 * 1000,
};

struct acceptor;

/* Takes fd: connected, non-blocking, close-on-exec. It counts as live until acceptor_release. */
typedef void accept_fn(struct acceptor *a, int fd, const struct addr *peer);

/* Lives in its owner; read the counters freely. */
struct acceptor {
	struct watch watch;
	struct timer pause;
	accept_fn *on_accept;
	unsigned live, max_live;
	int reserve_fd;
	uint64_t accepted, shed; /* shed: closed at once for want of descriptors */
	uint64_t logged_ns;
};

/* listen_fd is borrowed and becomes non-blocking. max_live 0: no limit. 0, or -1 with errno. */
MUST_USE int acceptor_start(struct acceptor *a, struct reactor *r, int listen_fd, unsigned max_live, accept_fn *fn);

void acceptor_release(struct acceptor *a); /* one connection has ended */

/* May be stopped already; legal in on_accept, where the object must not be freed. listen_fd stays open. */
void acceptor_stop(struct acceptor *a);

#endif
