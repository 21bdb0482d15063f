/* client.c - one who listens to a hub: reads block after block, checks each byte, counts what it did not get.
 *
 * It can stop reading: no recv, nothing else. Its kernel goes on to take what comes until the receive buffer is
 * full, and then tells the other side that the window is closed. That is all that a peer ever learns of a program
 * that is suspended, stuck, or just slow. */
#include "hub.h"

#include "clock.h"
#include "diag.h"
#include "io.h"
#include "mem.h"
#include "prng.h"
#include "sig.h"
#include "sock.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

static const uint64_t CONNECT_NS = UINT64_C(10) * NS_PER_S;

struct visit {
	const struct hub_options *o;
	int fd;
	struct io_until until;
	unsigned char *payload;
	uint64_t next; /* the sequence that should come now */
	struct hub_sight s;
};

/* --stop-for, or until the hub ends the connection: its FIN or a reset is seen without reading (POLLRDHUP, POLLHUP;
 * poll(2)). */
static void stop_reading(struct visit *v)
{
	struct pollfd p = { .fd = v->fd, .events = POLLRDHUP };
	uint64_t go_on_ns = v->o->stop_for_ns != 0 ? clk_mono_ns() + v->o->stop_for_ns : CLK_NEVER;
	v->s.stopped = true;
	sig_let_in(false);
	while (clk_mono_ns() < go_on_ns && sig_pending(NULL) == 0) {
		if (sig_wait(&p, 1, go_on_ns) != 0)
			break;
	}
	sig_let_in(true);
}

/* A hub may leave blocks out; it may not send one twice, nor out of order, nor with another content. */
static void check_block(struct visit *v, uint64_t sequence, uint32_t length)
{
	if (v->s.blocks == 0)
		v->s.first = v->next = sequence;
	if (sequence < v->next || prng_check(HUB_SEED, sequence * length, v->payload, length) != length)
		v->s.bad++;
	if (sequence > v->next)
		v->s.lost += sequence - v->next;
	v->next = sequence + 1;
	v->s.blocks++;
	v->s.bytes += length;
}

/* After a read that did not give all: errno says more, for the message. */
static enum hub_end why_it_ended(int got)
{
	if (got == 0)
		errno = EPROTO;
	return errno == EPROTO ? HUB_FIN : errno == ECANCELED ? HUB_INTERRUPTED : HUB_RESET;
}

static enum hub_end read_stream(struct visit *v)
{
	unsigned char header[HUB_HEADER_LEN];
	uint32_t length;
	uint64_t sequence;
	for (;;) {
		/* WHY: a read that never has to wait does not look at the flag. */
		if (sig_pending(NULL) != 0) {
			errno = ECANCELED;
			return HUB_INTERRUPTED;
		}
		int got = io_read_full(v->fd, header, sizeof(header), &v->until);
		if (got <= 0)
			return why_it_ended(got);
		errno = EBADMSG;
		if (!hub_get_header(header, &length, &sequence))
			return HUB_GARBAGE;
		if (length == 0) {
			v->s.lost += v->s.blocks > 0 && sequence > v->next ? sequence - v->next : 0;
			return HUB_COMPLETE;
		}
		got = io_read_full(v->fd, v->payload, length, &v->until);
		if (got <= 0)
			return why_it_ended(got);
		check_block(v, sequence, length);
		if (v->o->stop_after != 0 && v->s.bytes >= v->o->stop_after && !v->s.stopped)
			stop_reading(v);
	}
}

static int connect_to_hub(struct visit *v, struct net_error *e)
{
	struct addr list[ADDR_MAX];
	int family = v->o->ipv4 ? AF_INET : v->o->ipv6 ? AF_INET6 : AF_UNSPEC;
	struct sock_options plain = { 0 };
	int n = addr_resolve(v->o->host, (uint16_t)v->o->port, family, list, COUNT_OF(list), e);
	if (n < 0)
		return -1;
	v->until.deadline_ns = clk_mono_ns() + CONNECT_NS;
	v->fd = sock_connect(list, (size_t)n, NULL, &plain, &v->until, e);
	v->until.deadline_ns = CLK_NEVER; /* a hub may be silent for long */
	if (v->fd >= 0 && io_tick(v->fd) < 0)
		return net_fail(e, "set timeout", v->o->host);
	return v->fd < 0 ? -1 : 0;
}

int hub_visit(const struct hub_options *o)
{
	struct visit v = { .o = o, .until = { .cancel = sig_flag() } };
	struct net_error e = { 0 };
	sig_let_in(true);
	if (connect_to_hub(&v, &e) < 0)
		return hub_fail(o, &e);
	v.payload = xmalloc_pages(HUB_LENGTH_MAX);
	uint64_t start_ns = clk_mono_ns();
	v.s.end = read_stream(&v);
	int error = errno;
	v.s.elapsed_ns = clk_mono_ns() - start_ns;
	close(v.fd);
	free(v.payload);
	hub_print_sight(o, &v.s);
	if (v.s.end != HUB_COMPLETE)
		warnf("%s before the last block: %s (%s)", hub_end_name(v.s.end), strerror(error), errno_name(error));
	return v.s.bad > 0 ? 3 : v.s.end == HUB_COMPLETE ? 0 : 1;
}
