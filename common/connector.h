/* connector.h - connects without blocking: resolves, races the addresses, gives up at a deadline. Layer 4.
 *
 *	start --> literal or list ------------+--> attempts, each a fresh socket --> the first that succeeds
 *	     \--> name: resolver.h -----------+      the next after CONNECTOR_STAGGER_NS,
 *	                                             or as soon as one has failed
 *
 * The addresses are tried as RFC 8305 describes it: those of the two families in turn, beginning with the resolver's
 * first. The first that succeeds wins and the others are closed. Success means writable, SO_ERROR 0, and NOT
 * connected to itself (RFC 9293 3.5: the same port at both ends). The result comes exactly once, from the loop, never
 * inside connector_start. */
#ifndef TCPLAB_CONNECTOR_H
#define TCPLAB_CONNECTOR_H

#include "reactor.h"
#include "resolver.h"
#include "sock.h"

enum { CONNECTOR_STAGGER_NS = 250 * 1000 * 1000 }; /* RFC 8305 5: the recommended delay */

struct connector;

/* Takes fd when it is >= 0: connected, non-blocking, close-on-exec; e is NULL then. Otherwise -1, and *e says why the
 * last attempt failed (ETIMEDOUT when the deadline came first). The connector is idle again and may be started anew,
 * or freed. */
typedef void connect_fn(struct connector *c, int fd, const struct net_error *e);

/* What to connect to; borrowed, with all it points to, until the result comes or connector_cancel. Many connectors
 * may share one. */
struct connect_to {
	const char *host; /* a name or a literal */
	uint16_t port;
	int family;                   /* AF_UNSPEC, AF_INET, AF_INET6 */
	const struct addr *from;      /* local address, or NULL; addresses of another family are passed over */
	const struct addr *ourselves; /* where the caller listens, or NULL: an address that leads there is ELOOP */
	/* Which addresses may be tried at all, those of a name, too; the others are EACCES. NULL: all. */
	bool (*may_connect)(const struct connect_to *to, const struct addr *a);
	uint64_t source; /* for whom it is: see resolver.h; 0: nobody in particular */
	struct sock_options options;
	uint64_t deadline_ns; /* CLK_NEVER: as long as the kernel tries */
};

/* Lives in its owner. All zero is an idle connector. */
struct connector {
	struct race *race; /* NULL: idle */
	connect_fn *on_result;
	/* Read freely when the result comes. */
	uint64_t resolved_ns; /* when the name was known; 0: there was none to resolve, or it is not known yet */
	struct addr reached;  /* the address that was connected to */
};

/* names may be NULL: then only literals are understood (EAI_NONAME). It must not be stopped before the result or
 * connector_cancel. */
void connector_start(struct connector *c, struct reactor *r, struct resolver *names, const struct connect_to *to,
		     connect_fn *fn);

/* The same with addresses that are known: to->host, port and family are not looked at; the list is copied. */
void connector_start_list(struct connector *c, struct reactor *r, const struct addr *list, size_t n,
			  const struct connect_to *to, connect_fn *fn);

static inline bool connector_is_busy(const struct connector *c)
{
	return c->race != NULL;
}

/* No result will come, and every socket is closed; it may be idle. */
void connector_cancel(struct connector *c);

/* How long to wait before the next try: doubling from `first_ns` up to `most_ns`, each a random time between nothing
 * and that ("full jitter"), so that a thousand clients of a server that was restarted do not all come back in the
 * same instant. After a success set `tries` to 0. */
struct backoff {
	uint64_t first_ns, most_ns;
	uint64_t seed; /* any number, different for each client */
	unsigned tries;
	uint64_t drawn; /* random numbers so far: the client does not repeat itself after a success */
};
uint64_t backoff_next_ns(struct backoff *b);

#endif
