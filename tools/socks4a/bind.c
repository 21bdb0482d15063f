/* bind.c - BIND: a connection to the client, through the server (RFC 1928 4; the SOCKS 4 memo, "BIND").
 *
 *	client                     here                                   visitor
 *	  request: who will come -> a listening socket
 *	     <-- first reply: where
 *	  (tells the visitor, by a way of its own: FTP's PORT)
 *	                              <------------------------------ connects
 *	     <-- second reply: who came; from now on a pump, the visitor being the server
 *
 * The socket listens on the address at which the client's connection arrived, which is one that the client can hand
 * on, and never 0.0.0.0; or on --from. It takes one visitor.
 *
 * WHO MAY COME  the host that was named, from any port: a client of FTP names the port of the server that it talks
 *   with, 21, and the visitor comes from 20. A request for 0.0.0.0 or :: means anybody. And the rules must allow
 *   going there. Everybody else is reset, and waiting goes on. The SOCKS 4 memo would end it at the first stranger:
 *   then whoever scans ports ends it. */
#include "socks4a.h"

#include "acceptor.h"
#include "mem.h"
#include "sock.h"
#include "socks.h"

#include "place.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* From the request until the visitor is there. */
struct visitor {
	struct socks_flow *flow;
	struct addr here;    /* where we listen */
	struct resolve name; /* of the one who is expected */
	struct addr expected[ADDR_MAX];
	size_t n_expected; /* 0: anybody */
	int listen_fd;     /* -1: not yet */
	struct acceptor door;
	int fd; /* of the visitor; -1: nobody came yet */
	struct addr who;
	struct deferred entry;
};

static struct reactor *loop_of(const struct visitor *v)
{
	return v->flow->relay.loop->r;
}

static const struct socks_place *asked_for(const struct socks_flow *f)
{
	return &f->dialogue->parser.place;
}

static void stop_listening(struct visitor *v)
{
	if (v->listen_fd < 0)
		return;
	acceptor_stop(&v->door);
	close(v->listen_fd);
	v->listen_fd = -1;
}

void socks_bind_end(struct socks_flow *f)
{
	struct visitor *v = f->visitor;
	if (v == NULL)
		return;
	resolver_cancel(&v->name);
	deferred_cancel(&v->entry);
	stop_listening(v);
	if (v->fd >= 0)
		sock_abort(v->fd);
	free(v);
	f->visitor = NULL;
}

/* WHY "TTL expired": of the codes of RFC 1928 6 it is the only one that speaks of time, and clients show it as that.
 * "General failure" would blame the server, and "host unreachable" a host that nobody has tried to reach. */
static void on_late(struct relay_flow *f)
{
	struct socks_flow *sf = socks_flow_of(f);
	socks_bind_end(sf);
	socks_reject(sf, RELAY_END_CONNECT, SOCKS_TTL_EXPIRED, "nobody came in time");
}

static void reject(struct visitor *v, enum relay_end end, enum socks_reply reply, const char *reason)
{
	struct socks_flow *f = v->flow;
	socks_bind_end(f);
	socks_reject(f, end, reply, reason);
}

/* An error says more than a reason of ours. */
static void reject_for(struct visitor *v, enum socks_reply reply, const struct net_error *e)
{
	struct relay_flow *f = &v->flow->relay;
	f->why = xmalloc(sizeof(*f->why));
	*f->why = *e;
	reject(v, RELAY_END_CONNECT, reply, NULL);
}

/* --- the visitor -------------------------------------------------------------------------------------------------- */

/* WHY the rules are asked about the port that was named, where one was: the visitor's own is any. "--allow :21" is
 * for FTP, with all that belongs to it. */
static bool is_expected(const struct visitor *v, const struct addr *who)
{
	const struct socks_place *place = asked_for(v->flow);
	struct addr host = *who;
	bool is_known = v->n_expected == 0;
	for (size_t i = 0; i < v->n_expected && !is_known; i++)
		is_known = place_is_same_host(&v->expected[i], who);
	if (place->port != 0)
		place_set_port(&host, place->port);
	return is_known && socks_may_go(place->name, &host);
}

/* At the end of the round: the acceptor has done with the socket, and the flow may end in here. */
static void on_entry(struct deferred *d)
{
	struct visitor *v = CONTAINER_OF(d, struct visitor, entry);
	struct socks_flow *f = v->flow;
	int fd = v->fd;
	v->fd = -1;
	f->relay.server = v->who;
	socks_bind_end(f);
	if (socks_grant(f, &f->relay.server)) {
		socks_open(f, fd);
	} else {
		sock_abort(fd);
		relay_refuse(&f->relay, RELAY_END_CLIENT_LEFT, NULL);
	}
}

static void on_visitor(struct acceptor *door, int fd, const struct addr *who)
{
	struct visitor *v = CONTAINER_OF(door, struct visitor, door);
	if (!is_expected(v, who)) {
		acceptor_release(door);
		sock_abort(fd);
		return;
	}
	v->fd = fd;
	v->who = *who;
	stop_listening(v); /* all others who wait in the backlog are reset by that */
	reactor_defer(loop_of(v), &v->entry, on_entry);
}

/* --- listening ---------------------------------------------------------------------------------------------------- */

/* With the relay's options, which an accepted socket inherits. */
static void listen_for(struct visitor *v)
{
	struct socks_flow *f = v->flow;
	struct net_error e;
	struct addr bound;
	int fd = sock_listen(&v->here, false, &relay_of(&f->relay)->socket, &e);
	if (fd >= 0 &&
	    (addr_of_socket(fd, &bound) < 0 || acceptor_start(&v->door, loop_of(v), fd, 0, on_visitor) < 0)) {
		net_fail(&e, "listen", "BIND");
		close(fd);
		fd = -1;
	}
	v->listen_fd = fd;
	if (fd < 0)
		reject_for(v, SOCKS_FAILED, &e);
	else if (!socks_grant(f, &bound))
		relay_refuse(&f->relay, RELAY_END_CLIENT_LEFT, NULL);
}

/* Where the connection of the client arrived, or at --from, if that is an address that can be told; any free port. */
static bool choose_place(struct visitor *v)
{
	const struct relay_flow *f = &v->flow->relay;
	const struct relay *relay = relay_of(f);
	struct addr arrived;
	if (addr_of_socket(f->client_fd, &arrived) < 0)
		return false;
	v->here = relay->has_from && !place_is_nowhere(&relay->from) ? relay->from : place_unmapped(&arrived);
	place_set_port(&v->here, 0);
	return true;
}

/* --- who is expected ---------------------------------------------------------------------------------------------- */

/* Those that the rules allow, and that can come here at all. */
static void expect(struct visitor *v, const struct addr *list, size_t n)
{
	const char *name = asked_for(v->flow)->name;
	bool is_denied = false;
	for (size_t i = 0; i < n && v->n_expected < ADDR_MAX; i++) {
		struct addr who = place_unmapped(&list[i]);
		if (!socks_may_go(name, &who))
			is_denied = true;
		else if (who.u.sa.sa_family == v->here.u.sa.sa_family)
			v->expected[v->n_expected++] = who;
	}
	if (v->n_expected > 0)
		listen_for(v);
	else if (is_denied)
		reject(v, RELAY_END_REFUSED, SOCKS_NOT_ALLOWED, "denied by the rules");
	else
		reject(v, RELAY_END_CONNECT, SOCKS_BAD_ADDRESS,
		       "the visitor has no address of the family that listens");
}

static void on_resolved(struct resolve *ask, const struct addr *list, size_t n, const struct net_error *e)
{
	struct visitor *v = CONTAINER_OF(ask, struct visitor, name);
	if (n > 0)
		expect(v, list, n);
	else
		reject_for(v, SOCKS_HOST_UNREACHABLE, e);
}

static void find_expected(struct visitor *v)
{
	struct relay_flow *f = &v->flow->relay;
	const struct socks_place *place = asked_for(v->flow);
	struct addr named;
	if (!socks_addr_of_place(place, &named))
		resolver_ask(&f->loop->names, &v->name, place->name, place->port, AF_UNSPEC, f->asker, on_resolved);
	else if (place_is_nowhere(&named))
		listen_for(v);
	else
		expect(v, &named, 1);
}

static void name_expected(const struct socks_place *place, char out[static RELAY_TARGET])
{
	char text[ADDR_TEXT];
	struct addr named;
	if (socks_addr_of_place(place, &named))
		snprintf(out, RELAY_TARGET, "%s", addr_text(&named, text));
	else
		snprintf(out, RELAY_TARGET, "%s:%u", place->name, place->port);
}

void socks_bind(struct socks_flow *f)
{
	struct visitor *v = f->visitor = xcalloc(1, sizeof(*v));
	char expected[RELAY_TARGET];
	v->flow = f;
	v->listen_fd = v->fd = -1;
	name_expected(asked_for(f), expected);
	if (!relay_wait(&f->relay, expected, socks.bind_ns, on_late))
		return;
	if (!choose_place(v))
		reject(v, RELAY_END_CONNECT, SOCKS_FAILED, "the client's connection has no address");
	else if (f->dialogue->parser.version == 4 && v->here.u.sa.sa_family != AF_INET)
		reject(v, RELAY_END_CONNECT, SOCKS_BAD_ADDRESS, "SOCKS 4 has no words for an IPv6 address");
	else
		find_expected(v);
}
