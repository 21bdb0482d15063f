#include "netcat.h"

#include "clock.h"
#include "diag.h"
#include "sig.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	SETTLE_S = 5,      /* without one of our last bytes confirmed, unless -w says less */
	PATIENCE_MS = 500, /* for an input to go on after the peer's FIN */
};

/* --- names ------------------------------------------------------------------------------------------------------- */

static int family_of(const struct nc_options *o)
{
	return o->ipv4 ? AF_INET : o->ipv6 ? AF_INET6 : AF_UNSPEC;
}

int nc_resolve(const struct nc_options *o, uint16_t port, struct addr out[static ADDR_MAX], struct net_error *e)
{
	struct socks_hop first = socks_first_hop(&o->socks, o->host, port);
	if (o->is_unix)
		return addr_unix(o->host, &out[0], e) < 0 ? -1 : 1;
	if (o->numeric && addr_literal(o->host, port, AF_UNSPEC, &out[0], e) < 0)
		return -1; /* -n is for the host behind a SOCKS server, too */
	if (o->numeric)
		return addr_literal(first.host, first.port, family_of(o), &out[0], e) < 0 ? -1 : 1;
	return addr_resolve(first.host, first.port, family_of(o), out, ADDR_MAX, e);
}

/* -s and -p of a client: where its end is bound. *from is the address, of the family of `to`; NULL where neither was
 * given. */
static int resolve_source(const struct nc_options *o, const struct addr *to, struct addr *room,
			  const struct addr **from, struct net_error *e)
{
	int family = to->u.sa.sa_family;
	static const struct addr anywhere4 = { .len = sizeof(struct sockaddr_in), .u.in4.sin_family = AF_INET };
	static const struct addr anywhere6 = { .len = sizeof(struct sockaddr_in6), .u.in6.sin6_family = AF_INET6 };
	*from = NULL;
	if (o->is_unix && o->udp) {
		/* An empty name makes the kernel find one (unix(7), autobind): without a name nobody can answer. */
		*room = (struct addr){ .len = sizeof(sa_family_t), .u.sa.sa_family = AF_UNIX };
		if (o->source != NULL && addr_unix(o->source, room, e) < 0)
			return -1;
	} else if (o->source != NULL) {
		if ((o->numeric ? addr_literal(o->source, o->source_port, family, room, e)
				: addr_resolve(o->source, o->source_port, family, room, 1, e)) < 0)
			return -1;
	} else if (o->source_port != 0) {
		*room = family == AF_INET ? anywhere4 : anywhere6;
		room->u.in4.sin_port = htons(o->source_port); /* at the same place in both (RFC 3493 3.3) */
	} else {
		return 0;
	}
	*from = room;
	return 0;
}

/* --- a connection is there --------------------------------------------------------------------------------------- */

/* How long an input that yields nothing is not yet called silent (netcat.h). */
static uint64_t patience_ns(int input)
{
	struct stat st;
	bool has_writer = fstat(input, &st) == 0 && (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode));
	return has_writer ? (uint64_t)PATIENCE_MS * NS_PER_MS : 0;
}

/* Makes fd ready for the engine and *nc for its life. Takes fd, also when it fails. */
static int begin(const struct nc_options *o, int fd, const struct addr *peer, struct nc *nc, struct net_error *e)
{
	uint64_t now = clk_mono_ns();
	*nc = (struct nc){
		.o = o,
		.net = fd,
		.output = STDOUT_FILENO,
		.input = o->no_input ? -1 : STDIN_FILENO,
		.is_stream = !o->udp,
		.is_tcp = !o->udp && !o->is_unix,
		.is_listener = o->listen,
		.peer = *peer,
		.start_ns = now,
		.shown_ns = now,
		.patience_ns = o->no_input ? 0 : patience_ns(STDIN_FILENO),
		.read_pace = { .rate_Bps = o->read_Bps, .last_ns = now },
		.write_pace = { .rate_Bps = o->write_Bps, .last_ns = now },
		.lock = PTHREAD_MUTEX_INITIALIZER,
	};
	atomic_store(&nc->last_ns, now);
	int rc = addr_of_socket(fd, &nc->local);
	int flags = fcntl(fd, F_GETFL);
	if (rc == 0)
		rc = o->engine->is_nonblocking ? fcntl(fd, F_SETFL, flags | O_NONBLOCK) : io_tick(fd);
	if (rc < 0) {
		net_fail(e, "set up", "the connection");
		close(fd);
	}
	return rc < 0 ? -1 : 0;
}

/* The path that our own end of a unix datagram socket was bound to. */
static void remove_source(const struct nc_options *o)
{
	if (o->is_unix && !o->listen && o->source != NULL && o->source[0] != '@')
		unlink(o->source);
}

/* One address, with a fresh socket, from the source that its family has. */
static int connect_one(const struct nc_options *o, const struct addr *to, uint64_t deadline_ns, struct net_error *e)
{
	struct addr room;
	const struct addr *from;
	struct io_until until = { .deadline_ns = deadline_ns, .cancel = sig_flag() };
	if (resolve_source(o, to, &room, &from, e) < 0)
		return -1;
	if (!o->udp)
		return sock_connect(to, 1, from, &o->socket, &until, e);
	int fd = sock_connect_udp(to, 1, from, e);
	if (fd < 0 && strcmp(e->op, "connect") == 0)
		remove_source(o); /* it was bound, so it is ours */
	if (fd < 0 || sock_set(fd, &o->socket, e) == 0)
		return fd;
	close(fd);
	return -1;
}

/* Each address gets an equal share of the time that is left, so that a silent one leaves some for the next. */
static int connect_any(const struct nc_options *o, const struct addr *list, int n, uint64_t end, struct addr *peer,
		       struct net_error *e)
{
	int fd = -1;
	for (int i = 0; i < n && fd < 0 && sig_pending(NULL) == 0; i++) {
		uint64_t now = clk_mono_ns(), left_ns = end > now ? end - now : 0;
		fd = connect_one(o, &list[i], end == CLK_NEVER ? end : now + left_ns / (uint64_t)(n - i), e);
		*peer = list[i];
	}
	return fd;
}

/* Also what a SOCKS server has to be asked. */
static int reach(const struct nc_options *o, struct addr *peer, struct net_error *e)
{
	struct addr list[ADDR_MAX];
	int n = nc_resolve(o, o->port, list, e);
	uint64_t end = o->timeout_ns != 0 ? clk_mono_ns() + o->timeout_ns : CLK_NEVER;
	struct io_until until = { .deadline_ns = end, .cancel = sig_flag() };
	int fd = n < 0 ? -1 : connect_any(o, list, n, end, peer, e);
	if (fd < 0 || socks_ask(fd, &o->socks, o->host, o->port, &until, e) == 0)
		return fd;
	close(fd);
	return -1;
}

int nc_connect(const struct nc_options *o, struct nc *nc, struct net_error *e)
{
	struct addr peer;
	sig_let_in(true); /* WHY so early: a resolver that waits can be ended by nothing else (sig.h) */
	int fd = reach(o, &peer, e);
	sig_let_in(false);
	return fd < 0 ? -1 : begin(o, fd, &peer, nc, e);
}

/* --- listening --------------------------------------------------------------------------------------------------- */

/* A socket file that nobody serves any more is in the way of a new server: connecting to it is refused. WHY by a type
 * that no netcat serves: a living server answers that with EPROTOTYPE and notices nothing. */
static void remove_stale(const struct addr *where)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct stat st;
	const char *path = where->u.un.sun_path;
	if (fd >= 0 && path[0] != '\0' && stat(path, &st) == 0 && S_ISSOCK(st.st_mode) &&
	    connect(fd, &where->u.sa, where->len) < 0 && errno == ECONNREFUSED)
		unlink(path);
	if (fd >= 0)
		close(fd);
}

static int listen_unix(const struct nc_options *o, struct addr *bound, struct net_error *e)
{
	if (addr_unix(o->host, bound, e) < 0)
		return -1;
	remove_stale(bound);
	if (!o->udp)
		return sock_listen(bound, false, &o->socket, e);
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return net_fail(e, "socket", o->host);
	if (bind(fd, &bound->u.sa, bound->len) < 0)
		net_fail(e, "bind", o->host);
	else if (sock_set(fd, &o->socket, e) == 0)
		return fd;
	close(fd);
	return -1;
}

static int listen_ip(const struct nc_options *o, struct addr *bound, struct net_error *e)
{
	struct addr literal;
	int family = family_of(o);
	if (o->host != NULL && o->numeric && addr_literal(o->host, o->port, family, &literal, e) < 0)
		return -1;
	if (!o->udp)
		return sock_serve(o->host, o->port, family, &o->socket, bound, e);
	int fd = sock_serve_udp(o->host, o->port, family, bound, e);
	if (fd < 0)
		return -1;
	if (pktinfo_ask(fd, bound->u.sa.sa_family) < 0)
		net_fail(e, "set", "packet information");
	else if (sock_set(fd, &o->socket, e) == 0)
		return fd;
	close(fd);
	return -1;
}

int nc_listen(const struct nc_options *o, struct addr *bound, struct net_error *e)
{
	int fd = o->is_unix ? listen_unix(o, bound, e) : listen_ip(o, bound, e);
	/* WHY: between poll(2) and accept(2) the client may be gone, and accept must not wait for the next one. */
	if (fd >= 0 && fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) < 0) {
		net_fail(e, "set up", "the listening socket");
		close(fd);
		return -1;
	}
	return fd;
}

void nc_unlisten(const struct nc_options *o, int listener)
{
	close(listener);
	if (o->is_unix && o->host[0] != '@')
		unlink(o->host);
}

/* Until somebody is there. 0, or -1 with *e: ETIMEDOUT by -w, ECANCELED by a signal. */
static int wait_for_client(const struct nc_options *o, int fd, struct net_error *e)
{
	uint64_t deadline = o->timeout_ns != 0 ? clk_mono_ns() + o->timeout_ns : CLK_NEVER;
	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		int n = sig_wait(&p, 1, deadline);
		if (n > 0)
			return 0;
		if (n == 0 && sig_pending(NULL) == 0 && clk_mono_ns() < deadline)
			continue;
		if (n == 0)
			errno = sig_pending(NULL) != 0 ? ECANCELED : ETIMEDOUT;
		return net_fail(e, "wait for", "a client");
	}
}

/* The first datagram says who the peer is; it stays in the queue for the engine. */
static int accept_datagrams(const struct nc_options *o, int fd, struct nc *nc, struct net_error *e)
{
	_Alignas(struct cmsghdr) unsigned char question[PKTINFO_LEN], answer[PKTINFO_LEN];
	struct addr from = { 0 };
	struct msghdr m = { .msg_name = &from.u,
			    .msg_namelen = sizeof(from.u),
			    .msg_control = question,
			    .msg_controllen = sizeof(question) };
	struct msghdr back = { .msg_control = answer, .msg_controllen = sizeof(answer) };
	ssize_t r;
	do {
		if (wait_for_client(o, fd, e) < 0)
			return -1;
		r = recvmsg(fd, &m, MSG_PEEK);
	} while (r < 0 && (errno == EAGAIN || errno == EINTR));
	if (r < 0)
		return net_fail(e, "receive from", "a client");
	from.len = m.msg_namelen;
	pktinfo_answer(&m, &back);
	int own = fcntl(fd, F_DUPFD_CLOEXEC, 3); /* the listener is closed by its owner */
	if (own < 0 || fcntl(own, F_SETFL, fcntl(own, F_GETFL) & ~O_NONBLOCK) < 0)
		return net_fail(e, "set up", "the socket");
	if (begin(o, own, &from, nc, e) < 0)
		return -1;
	nc->control_len = back.msg_controllen;
	memcpy(nc->control, answer, nc->control_len);
	if (from.len <= sizeof(sa_family_t) && !o->keep_open)
		nc->input = -1; /* a unix client without a name: there is nobody to answer to */
	return 0;
}

/* These say that one client is gone already (accept(2)), not that something is wrong with us. */
static bool is_clients_error(int error)
{
	return error == EAGAIN || error == EINTR || error == ECONNABORTED || error == EPROTO || error == ENETDOWN ||
	       error == EHOSTUNREACH || error == ENETUNREACH;
}

int nc_accept(const struct nc_options *o, int listener, struct nc *nc, struct net_error *e)
{
	struct addr peer;
	int fd;
	if (o->udp)
		return accept_datagrams(o, listener, nc, e);
	do {
		if (wait_for_client(o, listener, e) < 0)
			return -1;
		peer = (struct addr){ .len = sizeof(peer.u) };
		fd = accept4(listener, &peer.u.sa, &peer.len, SOCK_CLOEXEC);
		tracef("accept4(%d) = %d", listener, fd);
	} while (fd < 0 && is_clients_error(errno));
	if (fd < 0)
		return net_fail(e, "accept", "a client");
	return begin(o, fd, &peer, nc, e);
}

/* --- the end ----------------------------------------------------------------------------------------------------- */

/* Both directions have ended, and close(2) would let the kernel send the rest in peace; but nobody would learn whether
 * it arrived. No event tells that either (poll says POLLHUP all along), so we look: soon, then ever less often, for as
 * long as some of it does. */
static void settle(struct nc *nc)
{
	uint64_t patience_ns = (uint64_t)SETTLE_S * NS_PER_S, nap_ns = 50 * NS_PER_US;
	uint64_t now = clk_mono_ns(), moved_ns = now, left = nc_unacked(nc);
	if (nc->o->timeout_ns != 0 && nc->o->timeout_ns < patience_ns)
		patience_ns = nc->o->timeout_ns;
	while (left > 0 && !atomic_load(&nc->net_failed) && sig_pending(NULL) == 0) {
		if (now - moved_ns >= patience_ns) {
			char text[NC_PEER_TEXT];
			nc_peer_text(nc, text);
			errno = ETIMEDOUT;
			nc_fail(nc, "deliver to", text);
			return;
		}
		if (sig_wait(NULL, 0, now + nap_ns) < 0)
			return;
		nap_ns = nap_ns < 20 * NS_PER_MS ? 2 * nap_ns : nap_ns;
		now = clk_mono_ns();
		uint64_t before = left;
		left = nc_unacked(nc);
		if (left != before)
			moved_ns = now;
		(void)nc_has_peer_ended(nc); /* a reset ends the wait */
	}
}

void nc_close(struct nc *nc, struct nc_result *r)
{
	if (nc->is_tcp && !nc_is_over(nc))
		settle(nc);
	*r = (struct nc_result){
		.connections = 1,
		.elapsed_ns = clk_mono_ns() - nc->start_ns,
		.sent = atomic_load(&nc->sent),
		.received = atomic_load(&nc->received),
		.unacked = nc_unacked(nc),
		.unread = nc_unread(nc),
		.closed_first = nc->closed_first != NC_NOBODY ? nc->closed_first : NC_LOCAL,
		.peer_end = nc->peer_end,
	};
	remove_source(nc->o);
	if (nc->is_in_use)
		return; /* so is the descriptor: the end of the process, which is near, closes it */
	if (nc->o->close_mode == NC_CLOSE_RST)
		sock_abort(nc->net);
	else
		close(nc->net);
	tracef("close(%d)", nc->net);
	nc->net = -1;
}
