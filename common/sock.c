#include "sock.h"

#include "clock.h"
#include "diag.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* --- options ----------------------------------------------------------------------------------------------------- */

static int fail_set(struct net_error *e, const char *name, const char *value)
{
	char object[128];
	int saved = errno;
	snprintf(object, sizeof(object), "%s %s", name, value);
	errno = saved;
	return net_fail(e, "set", object);
}

static int set_number(int fd, int level, int option, uint64_t value, const char *name, struct net_error *e)
{
	char text[24];
	snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	int number = (int)value;
	errno = EINVAL;
	if (value > INT_MAX || setsockopt(fd, level, option, &number, sizeof(number)) < 0)
		return fail_set(e, name, text);
	tracef("setsockopt(%d, %s, %s)", fd, name, text);
	return 0;
}

static int set_pacing(int fd, uint64_t Bps, struct net_error *e)
{
	unsigned long rate = (unsigned long)Bps; /* 64 bits since Linux 4.20 */
	if (setsockopt(fd, SOL_SOCKET, SO_MAX_PACING_RATE, &rate, sizeof(rate)) < 0)
		return fail_set(e, "pacing rate", "");
	return 0;
}

static int set_congestion(int fd, const char *name, struct net_error *e)
{
	if (setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, (socklen_t)strlen(name)) < 0)
		return fail_set(e, "congestion control", name);
	return 0;
}

/* RFC 5482, tcp(7). It bounds the keepalive probes, too. Rounded up: 0 would be the system's default. */
static int set_user_timeout(int fd, uint64_t timeout_ns, struct net_error *e)
{
	uint64_t ms = timeout_ns / NS_PER_MS + (timeout_ns % NS_PER_MS != 0);
	return set_number(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, ms, "user timeout in ms", e);
}

static int set_keepalive(int fd, struct net_error *e)
{
	/* Silent for 10 s, then three probes 5 s apart: 25 s in all. */
	if (set_number(fd, SOL_SOCKET, SO_KEEPALIVE, 1, "keepalive", e) < 0 ||
	    set_number(fd, IPPROTO_TCP, TCP_KEEPIDLE, 10, "keepalive idle", e) < 0 ||
	    set_number(fd, IPPROTO_TCP, TCP_KEEPINTVL, 5, "keepalive interval", e) < 0)
		return -1;
	return set_number(fd, IPPROTO_TCP, TCP_KEEPCNT, 3, "keepalive count", e);
}

int sock_set(int fd, const struct sock_options *o, struct net_error *e)
{
	if (o->send_buffer != 0 && set_number(fd, SOL_SOCKET, SO_SNDBUF, o->send_buffer, "send buffer", e) < 0)
		return -1;
	if (o->receive_buffer != 0 && set_number(fd, SOL_SOCKET, SO_RCVBUF, o->receive_buffer, "receive buffer", e) < 0)
		return -1;
	if (o->receive_low_water != 0 &&
	    set_number(fd, SOL_SOCKET, SO_RCVLOWAT, o->receive_low_water, "receive low water", e) < 0)
		return -1;
	if (o->mss != 0 && set_number(fd, IPPROTO_TCP, TCP_MAXSEG, o->mss, "mss", e) < 0)
		return -1;
	if (o->pacing_Bps != 0 && set_pacing(fd, o->pacing_Bps, e) < 0)
		return -1;
	if (o->congestion != NULL && set_congestion(fd, o->congestion, e) < 0)
		return -1;
	if (o->nodelay && set_number(fd, IPPROTO_TCP, TCP_NODELAY, 1, "nodelay", e) < 0)
		return -1;
	if (o->cork && set_number(fd, IPPROTO_TCP, TCP_CORK, 1, "cork", e) < 0)
		return -1;
	if (o->reuse_port && set_number(fd, SOL_SOCKET, SO_REUSEPORT, 1, "reuse port", e) < 0)
		return -1;
	if (o->user_timeout_ns != 0 && set_user_timeout(fd, o->user_timeout_ns, e) < 0)
		return -1;
	return o->keepalive ? set_keepalive(fd, e) : 0;
}

int sock_take_error(int fd)
{
	int error = 0;
	socklen_t len = sizeof(error);
	return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0 ? errno : error;
}

static bool is_wildcard(const struct addr *a)
{
	return a->u.sa.sa_family == AF_INET ? a->u.in4.sin_addr.s_addr == INADDR_ANY
					    : IN6_IS_ADDR_UNSPECIFIED(&a->u.in6.sin6_addr);
}

static bool is_same_host(const struct addr *a, const struct addr *b)
{
	if (a->u.sa.sa_family != b->u.sa.sa_family)
		return false;
	if (a->u.sa.sa_family == AF_INET6)
		return IN6_ARE_ADDR_EQUAL(&a->u.in6.sin6_addr, &b->u.in6.sin6_addr);
	return a->u.in4.sin_addr.s_addr == b->u.in4.sin_addr.s_addr;
}

/* Is this an address of this host? Then the kernel would let a datagram to it leave from the very same address. Nothing is
 * sent. */
static bool is_local(const struct addr *a)
{
	struct addr here;
	if (addr_is_loopback(a) || is_wildcard(a))
		return true;
	int fd = socket(a->u.sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool is_same = fd >= 0 && connect(fd, &a->u.sa, a->len) == 0 && addr_of_socket(fd, &here) == 0 &&
		       is_same_host(&here, a);
	if (fd >= 0)
		close(fd);
	return is_same;
}

bool sock_leads_to(const struct addr *to, const struct addr *bound)
{
	if (addr_port(to) != addr_port(bound))
		return false;
	/* To connect to the wildcard address is to connect to this host (Linux; RFC 1122 3.2.1.3 forbids it on the wire). */
	if (is_wildcard(bound))
		return is_local(to);
	return addr_equal(to, bound) || (is_wildcard(to) && addr_is_loopback(bound));
}

uint64_t sock_send_buffer(int fd)
{
	int value = 0;
	socklen_t len = sizeof(value);
	return getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &value, &len) == 0 && value > 0 ? (uint64_t)value : 0;
}

void sock_abort(int fd)
{
	struct linger now = { .l_onoff = 1, .l_linger = 0 };
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(fd);
}

/* Closes fd without touching the error that is on its way to the caller. */
static int give_up(int fd)
{
	int saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

/* --- listening --------------------------------------------------------------------------------------------------- */

int sock_listen(const struct addr *where, bool both_families, const struct sock_options *o, struct net_error *e)
{
	char text[ADDR_TEXT];
	addr_text(where, text);
	int fd = socket(where->u.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return net_fail(e, "socket", text);
	int on = 1, only_v6 = !both_families;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (where->u.sa.sa_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only_v6, sizeof(only_v6));
	if (sock_set(fd, o, e) < 0)
		return give_up(fd);
	if (bind(fd, &where->u.sa, where->len) < 0) {
		net_fail(e, "bind", text);
		return give_up(fd);
	}
	/* WHY not SOMAXCONN: with musl that is 128. The kernel cuts the number to net.core.somaxconn (listen(2)). */
	if (listen(fd, INT_MAX) < 0) {
		net_fail(e, "listen", text);
		return give_up(fd);
	}
	tracef("listen(%d, %s)", fd, text);
	return fd;
}

typedef int open_fn(const struct addr *where, bool both_families, const struct sock_options *o, struct net_error *e);

/* What sock_serve and sock_serve_udp have in common; `open` binds the socket. */
static int serve(open_fn *open, const char *host, uint16_t port, int family, const struct sock_options *o,
		 struct addr *bound, struct net_error *e)
{
	struct addr list[ADDR_MAX];
	int fd = -1;
	bool everywhere = host == NULL && family == AF_UNSPEC;
	/* "Every address" is one IPv6 socket that takes IPv4 too, or a plain IPv4 one where there is no IPv6. */
	int families[] = { everywhere ? AF_INET6 : family, AF_INET };
	for (int i = 0; i < (everywhere ? 2 : 1) && fd < 0; i++) {
		int n = addr_resolve(host, port, families[i], list, COUNT_OF(list), e);
		for (int k = 0; k < n && fd < 0; k++)
			fd = open(&list[k], everywhere, o, e);
		if (fd < 0 && e->sys == EADDRINUSE)
			break; /* another family would hide that somebody has the port */
	}
	if (fd >= 0 && addr_of_socket(fd, bound) < 0) {
		net_fail(e, "getsockname", host != NULL ? host : "*");
		return give_up(fd);
	}
	return fd;
}

int sock_serve(const char *host, uint16_t port, int family, const struct sock_options *o, struct addr *bound,
	       struct net_error *e)
{
	return serve(sock_listen, host, port, family, o, bound, e);
}

/* --- connecting -------------------------------------------------------------------------------------------------- */

static int bind_from(int fd, const struct addr *from, struct net_error *e)
{
	char text[ADDR_TEXT];
	int on = 1;
	/* WHY: a port taken here is taken for every destination; left to connect, it is for this one alone (ip(7)). */
	if (addr_port(from) == 0)
		setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
	return bind(fd, &from->u.sa, from->len) == 0 ? 0 : net_fail(e, "bind", addr_text(from, text));
}

/* Names the operation and the place it was for. */
static int fail_at(struct net_error *e, const char *op, const struct addr *where)
{
	int err = errno;
	char text[ADDR_TEXT];
	addr_text(where, text);
	errno = err;
	return net_fail(e, op, text);
}

int sock_connect_begin(const struct addr *to, const struct addr *from, const struct sock_options *o,
		       struct net_error *e)
{
	int fd = socket(to->u.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return fail_at(e, "socket", to);
	if (sock_set(fd, o, e) < 0 || (from != NULL && bind_from(fd, from, e) < 0))
		return give_up(fd);
	if (connect(fd, &to->u.sa, to->len) < 0 && errno != EINPROGRESS) {
		fail_at(e, "connect", to);
		return give_up(fd);
	}
	if (diag_trace) {
		char text[ADDR_TEXT];
		tracef("connect(%d, %s)", fd, addr_text(to, text));
	}
	return fd;
}

static bool is_connected_to_itself(int fd)
{
	struct addr here, there;
	return addr_of_socket(fd, &here) == 0 && addr_of_peer(fd, &there) == 0 && addr_equal(&here, &there);
}

int sock_connect_try(int fd)
{
	struct addr here, there;
	if (addr_of_peer(fd, &there) < 0)
		return 0; /* ENOTCONN: the cheapest question there is */
	errno = ECONNREFUSED;
	return addr_of_socket(fd, &here) == 0 && addr_equal(&here, &there) ? -1 : 1;
}

int sock_connect_result(int fd)
{
	int error = sock_take_error(fd);
	if (error == 0 && is_connected_to_itself(fd))
		error = ECONNREFUSED;
	tracef("connect(%d): %s", fd, error == 0 ? "connected" : errno_name(error));
	errno = error;
	return error == 0 ? 0 : -1;
}

/* Until fd is writable: 0, or -1 with ETIMEDOUT, ECANCELED or the reason why it cannot be waited for. */
static int wait_writable(int fd, const struct io_until *until)
{
	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLOUT };
		int n = poll(&p, 1, IO_TICK_MS);
		if (n > 0)
			return 0;
		if (n == 0)
			errno = EAGAIN;
		if (io_is_over(until))
			return -1;
	}
}

static int make_blocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);
	return flags < 0 ? -1 : fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
}

static int connect_one(const struct addr *to, const struct addr *from, const struct sock_options *o,
		       const struct io_until *until, struct net_error *e)
{
	char text[ADDR_TEXT];
	int fd = sock_connect_begin(to, from, o, e);
	if (fd < 0)
		return -1;
	if (wait_writable(fd, until) == 0 && sock_connect_result(fd) == 0 && make_blocking(fd) == 0)
		return fd;
	net_fail(e, "connect", addr_text(to, text));
	sock_abort(fd);
	errno = e->sys;
	return -1;
}

int sock_connect(const struct addr *list, size_t n, const struct addr *from, const struct sock_options *o,
		 const struct io_until *until, struct net_error *e)
{
	struct net_error last;
	bool tried = false;
	for (size_t i = 0; i < n; i++) {
		if (from != NULL && from->u.sa.sa_family != list[i].u.sa.sa_family)
			continue;
		/* Each address gets an equal share of what is left, so that a silent one leaves time for the next. */
		uint64_t now = clk_mono_ns();
		uint64_t left_ns = now < until->deadline_ns ? until->deadline_ns - now : 0;
		struct io_until share = { .deadline_ns = now + left_ns / (n - i), .cancel = until->cancel };
		int fd = connect_one(&list[i], from, o, &share, &last);
		if (fd >= 0)
			return fd;
		tried = true;
		if (last.sys == ECANCELED)
			break;
	}
	if (tried) {
		*e = last;
		return -1;
	}
	errno = EAFNOSUPPORT;
	return net_fail(e, "connect", "no address of the wanted family");
}

/* --- UDP --------------------------------------------------------------------------------------------------------- */

static int open_udp(const struct addr *where, bool both_families, const struct sock_options *o, struct net_error *e)
{
	(void)o;
	char text[ADDR_TEXT];
	addr_text(where, text);
	int fd = socket(where->u.sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return net_fail(e, "socket", text);
	/* WHY no SO_REUSEADDR: there is no TIME-WAIT to get past, and two servers that set it share the port: the
	 * later one takes every datagram, and neither is told (socket(7)). */
	int only_v6 = !both_families;
	if (where->u.sa.sa_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only_v6, sizeof(only_v6));
	if (bind(fd, &where->u.sa, where->len) < 0) {
		net_fail(e, "bind", text);
		return give_up(fd);
	}
	tracef("bind(%d, %s) (udp)", fd, text);
	return fd;
}

int sock_serve_udp(const char *host, uint16_t port, int family, struct addr *bound, struct net_error *e)
{
	return serve(open_udp, host, port, family, NULL, bound, e);
}

static int connect_udp(const struct addr *to, const struct addr *from, struct net_error *e)
{
	char text[ADDR_TEXT];
	int fd = socket(to->u.sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return net_fail(e, "socket", addr_text(to, text));
	if (from != NULL && bind(fd, &from->u.sa, from->len) < 0) {
		net_fail(e, "bind", addr_text(from, text));
		return give_up(fd);
	}
	int rc = connect(fd, &to->u.sa, to->len);
	tracef("connect(%d, %s) (udp) = %d", fd, addr_text(to, text), rc);
	if (rc == 0 && !is_connected_to_itself(fd))
		return fd;
	if (rc == 0)
		errno = ECONNREFUSED;
	net_fail(e, "connect", text);
	return give_up(fd);
}

int sock_connect_udp(const struct addr *list, size_t n, const struct addr *from, struct net_error *e)
{
	struct net_error last;
	bool tried = false;
	for (size_t i = 0; i < n; i++) {
		if (from != NULL && from->u.sa.sa_family != list[i].u.sa.sa_family)
			continue;
		int fd = connect_udp(&list[i], from, &last);
		if (fd >= 0)
			return fd;
		tried = true;
	}
	if (tried) {
		*e = last;
		return -1;
	}
	errno = EAFNOSUPPORT;
	return net_fail(e, "connect", "no address of the wanted family");
}
