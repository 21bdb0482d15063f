/* receive.c - the receiving direction of a flow: read, walk over the blocks, check and answer them. */
#include "flow.h"

#include "diag.h"
#include "mem.h"
#include "prng.h"
#include "wire.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* Longer than this no read may wait for its low water mark. */
enum { STALL_NS = 10 * NS_PER_MS };

/* Where the walk over the incoming bytes stands: in a header, or `left` payload bytes before the end of a block. */
struct receiver {
	struct flow *f;
	struct flow_counters c;
	struct flow_mark from;
	uint64_t now_ns;
	bool warming_up, ended, asked_to_stop;
	unsigned char *buffer; /* cap bytes, and room for a page in front */
	size_t cap;
	uint64_t wire_bytes; /* received so far */
	unsigned char header[HEADER_LEN];
	size_t header_len;
	uint64_t left;
	size_t acks_due;                    /* blocks that are complete and not yet answered */
	uint64_t low_water, low_water_most; /* as set; and as far as it may rise */
	uint64_t look_at_ns, look_bytes;
	unsigned char tally[TALLY_LEN];
	size_t tally_len;
};

static int send_words(struct receiver *r, uint32_t word, size_t n)
{
	unsigned char bytes[256 * HEADER_LEN];
	while (n > 0) {
		size_t now = n < 256 ? n : 256;
		for (size_t i = 0; i < now; i++)
			be32_put(bytes + i * HEADER_LEN, word);
		struct io_until until = flow_patience(r->f, r->now_ns);
		r->c.calls++;
		if (io_write_full(r->f->fd, bytes, now * HEADER_LEN, &until) < 0)
			return flow_fail(r->f, "send ack");
		n -= now;
	}
	return 0;
}

/* Remembers the first byte that is not what the sender must have sent: the seed's stream, or in a plain session the
 * pattern, which starts anew in each block. */
static void check(struct receiver *r, const unsigned char *p, size_t n)
{
	struct flow *f = r->f;
	if (!f->plan.verify || f->mine.bad_offset != TALLY_ALL_GOOD)
		return;
	size_t good = 0;
	if (f->plan.negotiated) {
		good = prng_check(f->plan.seed, r->c.bytes, p, n);
	} else {
		uint64_t at = f->plan.length - r->left;
		while (good < n && p[good] == (unsigned char)PATTERN[(at + good) % PATTERN_LEN])
			good++;
	}
	if (good < n)
		f->mine.bad_offset = r->c.bytes + good;
}

static void walk_payload(struct receiver *r, const unsigned char *p, size_t n)
{
	check(r, p, n);
	r->c.bytes += n;
	r->left -= n;
	if (r->left > 0)
		return;
	r->c.blocks++;
	r->acks_due++;
	r->ended = !r->f->plan.negotiated && r->c.blocks == r->f->plan.blocks;
}

static int walk_header(struct receiver *r)
{
	uint32_t length = be32_get(r->header);
	r->header_len = 0;
	if (length == WIRE_END && r->f->plan.negotiated)
		r->ended = true;
	else if (length != r->f->plan.length)
		return flow_fail_as(r->f, EPROTO, "check block header");
	r->left = length;
	return 0;
}

/* n bytes have come: through headers and payloads to the end of them, or to the END and into the sender's tally. */
static int walk(struct receiver *r, const unsigned char *p, size_t n)
{
	while (n > 0 && !r->ended) {
		size_t take = r->left > 0                      ? r->left < n ? (size_t)r->left : n
			      : HEADER_LEN - r->header_len < n ? HEADER_LEN - r->header_len
							       : n;
		int rc = 0;
		if (r->left > 0) {
			walk_payload(r, p, take);
		} else {
			memcpy(r->header + r->header_len, p, take);
			r->header_len += take;
			if (r->header_len == HEADER_LEN)
				rc = walk_header(r);
		}
		if (rc < 0)
			return -1;
		p += take;
		n -= take;
	}
	if (n > TALLY_LEN || (n > 0 && !r->f->plan.negotiated))
		return flow_fail_as(r->f, EPROTO, "check the end");
	memcpy(r->tally, p, n);
	r->tally_len = n;
	return 0;
}

static bool is_stop_and_wait(const struct flow *f)
{
	return f->plan.mode == MODE_ACK && f->plan.depth == 1;
}

/* Stop-and-wait reads exactly to the end of the block, in one call; the others take what is there, up to the buffer. */
static size_t wanted(const struct receiver *r)
{
	if (!is_stop_and_wait(r->f))
		return r->cap;
	uint64_t rest = r->left > 0 ? r->left : HEADER_LEN - r->header_len + (uint64_t)r->f->plan.length;
	return rest < r->cap ? (size_t)rest : r->cap;
}

static int on_fin(struct receiver *r)
{
	if (r->f->plan.mode != MODE_RAW)
		return flow_fail_as(r->f, ECONNRESET, "receive: the sender ended in the middle");
	r->ended = true;
	return 0;
}

static int on_bytes(struct receiver *r, const unsigned char *p, size_t n)
{
	if (r->f->plan.mode == MODE_RAW) {
		r->c.bytes += n;
		return 0;
	}
	if (walk(r, p, n) < 0)
		return -1;
	size_t acks = r->f->plan.mode == MODE_ACK ? r->acks_due : 0;
	r->acks_due = 0;
	return send_words(r, r->f->plan.length, acks);
}

/* A stop ends a plain or raw session at once; in a negotiated one the sender is asked, and sends END soon. */
static int look_at_stop(struct receiver *r)
{
	if (!flow_is_told(r->f->stop) || r->asked_to_stop || r->ended)
		return 0;
	if (!r->f->plan.negotiated) {
		r->ended = true;
		return 0;
	}
	r->asked_to_stop = true;
	return send_words(r, WIRE_STOP, 1);
}

/* Bulk wakes the reader for a lot or not at all (SO_RCVLOWAT): on a fast path that saves most of the wake-ups, and it
 * is what they cost that limits the receiver. A reader that waits for more than the sender will send before an ACK
 * would stall both, so the mark follows the rate (what comes in 1 ms) and is halved for good when a read had to wait
 * long. */
static int set_low_water(struct receiver *r, uint64_t bytes)
{
	int value = bytes > 1 ? (int)bytes : 1;
	r->low_water = bytes;
	if (setsockopt(r->f->fd, SOL_SOCKET, SO_RCVLOWAT, &value, sizeof(value)) < 0)
		return flow_fail(r->f, "set receive low water");
	return 0;
}

static int adapt_low_water(struct receiver *r, uint64_t waited_ns)
{
	bool stalled = r->low_water > 1 && waited_ns > STALL_NS;
	if (stalled)
		r->low_water_most = r->low_water / 2;
	if (!stalled && r->now_ns < r->look_at_ns)
		return 0;
	uint64_t period_ns = r->now_ns - (r->look_at_ns - LOOK_NS);
	uint64_t in_1_ms = (r->c.bytes - r->look_bytes) * NS_PER_MS / (period_ns > 0 ? period_ns : 1);
	r->look_at_ns = r->now_ns + LOOK_NS;
	r->look_bytes = r->c.bytes;
	uint64_t wanted = in_1_ms < r->low_water_most ? in_1_ms : r->low_water_most;
	return wanted == r->low_water ? 0 : set_low_water(r, wanted);
}

/* The options of this end of the connection. Acks are small and somebody waits for each: never hold one back (Nagle,
 * RFC 9293 3.7.4). */
static int tune_receiver(struct receiver *r)
{
	struct flow *f = r->f;
	if (f->plan.mode == MODE_ACK)
		return flow_set_tcp(f, TCP_NODELAY, 1, "set nodelay");
	if (f->low_water != 0)
		return set_low_water(r, f->low_water);
	r->low_water_most = f->plan.verify ? 0 : TTCP_IO;
	return 0;
}

static int receive_all(struct receiver *r)
{
	struct flow *f = r->f;
	int flags = is_stop_and_wait(f) ? MSG_WAITALL : 0;
	struct io_until until = flow_patience(f, r->now_ns);
	r->ended = !f->plan.negotiated && f->plan.mode == MODE_ACK && f->plan.blocks == 0;
	while (!r->ended) {
		size_t want = wanted(r);
		unsigned char *to = r->buffer + r->wire_bytes % PAGE;
		ssize_t n = recv(f->fd, to, want, flags);
		tracef("recv(%d, %zu) = %zd", f->fd, want, n);
		r->c.calls++;
		if (n < 0 && io_is_over(&until))
			return flow_fail(f, "receive");
		uint64_t began_ns = r->now_ns;
		r->now_ns = clk_mono_ns();
		if (n >= 0)
			until = flow_patience(f, r->now_ns);
		if ((n == 0 && on_fin(r) < 0) || (n > 0 && on_bytes(r, to, (size_t)n) < 0))
			return -1;
		r->wire_bytes += n > 0 ? (size_t)n : 0;
		r->c.short_calls += n > 0 && (size_t)n < want && !r->ended;
		flow_publish(f, &r->c);
		if (r->warming_up && r->now_ns >= r->from.at_ns + f->plan.omit_ns) {
			r->warming_up = false;
			r->from = flow_mark(f, &r->c, r->now_ns);
		}
		if (look_at_stop(r) < 0 || (r->low_water_most > 0 && adapt_low_water(r, r->now_ns - began_ns) < 0))
			return -1;
	}
	return 0;
}

void flow_receive(struct flow *f)
{
	uint64_t block = HEADER_LEN + (uint64_t)f->plan.length;
	struct receiver r = { .f = f, .warming_up = f->plan.omit_ns != 0, .left = f->has_header ? f->plan.length : 0 };
	r.cap = is_stop_and_wait(f) && block < TTCP_IO ? (size_t)block : TTCP_IO;
	r.buffer = xmalloc_pages(PAGE + r.cap); /* at most TTCP_IO, whatever length the peer announced */
	flow_begin(f);
	if (f->error == 0 && tune_receiver(&r) == 0) {
		r.now_ns = clk_mono_ns();
		r.look_at_ns = r.now_ns + LOOK_NS;
		r.from = flow_mark(f, &r.c, r.now_ns);
		int rc = receive_all(&r);
		struct flow_mark to = flow_mark(f, &r.c, r.now_ns);
		flow_set_tally(f, &r.from, &to);
		if (rc == 0 && f->plan.negotiated && flow_read_tally(f, r.tally, r.tally_len) == 0)
			flow_write_tally(f);
	}
	free(r.buffer);
	flow_end(f);
}
