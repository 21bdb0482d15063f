/* side_sockets.c - TCP connections of the process to itself, on 127.0.0.1 only, and bytes that go over them. */
#include "side.h"

#include "clock.h"
#include "mem.h"
#include "sock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SEND_LEN = 64 * 1024 };

struct crowd {
	struct pair {
		int from, to; /* -1: not open */
	} * pairs;
	uint64_t n, next;
	unsigned char *bytes;
};

/* Somebody else may have found the port first: it is the connection that we began which counts. */
static int accept_own(int listener, int from)
{
	struct addr own, peer;
	if (addr_of_socket(from, &own) < 0)
		return -1;
	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
			continue;
		if (fd < 0 || (addr_of_peer(fd, &peer) == 0 && addr_equal(&own, &peer)))
			return fd;
		close(fd);
	}
}

/* Small pieces are not to wait for the acknowledgement of others (Nagle, RFC 9293 3.7.4). */
static int open_pair(struct pair *p, int listener, const struct addr *where, struct net_error *e)
{
	static const struct sock_options options = { .nodelay = true };
	struct io_until until = { .deadline_ns = clk_mono_ns() + 10 * (uint64_t)NS_PER_S };
	p->from = sock_connect(where, 1, NULL, &options, &until, e);
	if (p->from < 0)
		return -1;
	p->to = accept_own(listener, p->from);
	return p->to >= 0 ? 0 : net_fail(e, "accept", "");
}

static int open_pairs(struct crowd *c, struct net_error *e)
{
	struct addr where;
	int listener = sock_serve("127.0.0.1", 0, AF_INET, &(struct sock_options){ 0 }, &where, e);
	if (listener < 0)
		return -1;
	for (uint64_t i = 0; i < c->n; i++) {
		if (open_pair(&c->pairs[i], listener, &where, e) < 0) {
			snprintf(e->object, sizeof(e->object), "connection %llu of %llu (--sockets)",
				 (unsigned long long)i + 1, (unsigned long long)c->n);
			close(listener);
			return -1;
		}
	}
	close(listener);
	return 0;
}

static int sockets_open(struct side *s, struct net_error *e)
{
	struct crowd *c = xcalloc(1, sizeof(*c));
	s->state = c;
	c->n = s->amount;
	c->pairs = xcalloc(c->n, sizeof(*c->pairs));
	c->bytes = xcalloc(1, SEND_LEN);
	if (open_pairs(c, e) < 0)
		return -1;
	atomic_store(&s->done, c->n);
	return 0;
}

/* By a reset, or thousands of ports would stay in TIME-WAIT for a minute. */
static void sockets_close(struct side *s)
{
	struct crowd *c = s->state;
	for (uint64_t i = 0; i < c->n; i++) {
		sock_abort(c->pairs[i].from);
		close(c->pairs[i].to);
	}
	free(c->pairs);
	free(c->bytes);
	free(c);
}

const struct side_ops side_sockets_ops = {
	.name = "sockets",
	.open = sockets_open,
	.close = sockets_close,
};

/* --- traffic ------------------------------------------------------------------------------------------------------ */

static int traffic_open(struct side *s, struct net_error *e)
{
	(void)e;
	s->state = s->run->side[SIDE_SOCKETS].state;
	return 0;
}

/* Nothing to send to or to read from at the moment is no failure. */
static ssize_t unless_again(ssize_t n)
{
	return n < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : n;
}

/* One connection after the other gets a piece, which is read at its other end at once. It is there by then: on
 * loopback, send(2) itself brings it up to the receiver's queue. What is not is read the next time. */
static int traffic_do(struct side *s, uint64_t n, uint64_t until_ns, struct net_error *e)
{
	struct crowd *c = s->state;
	while (n > 0 && clk_mono_ns() < until_ns) {
		const struct pair *p = &c->pairs[c->next++ % c->n];
		size_t len = n < SEND_LEN ? (size_t)n : SEND_LEN;
		ssize_t sent = unless_again(send(p->from, c->bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL));
		if (sent < 0)
			return net_fail(e, "send", "a connection to ourselves (--traffic)");
		ssize_t got = unless_again(recv(p->to, c->bytes, SEND_LEN, MSG_DONTWAIT));
		if (got < 0)
			return net_fail(e, "receive", "a connection to ourselves (--traffic)");
		if (sent == 0 && got == 0)
			return 0;
		n -= (uint64_t)sent;
		atomic_fetch_add(&s->done, (unsigned long long)got);
	}
	return 0;
}

const struct side_ops side_traffic_ops = {
	.name = "traffic",
	.unit = SIDE_BYTES,
	.is_rate = true,
	.can_follow = true,
	.open = traffic_open,
	.act = traffic_do,
};
