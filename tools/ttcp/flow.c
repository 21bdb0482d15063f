/* flow.c - the heart of ttcp: one direction of one connection, moved by blocking calls in the calling thread.
 *
 *     flow_send     image -> send -> (acks) -> ... -> END, my tally, FIN -> the receiver's tally
 *     flow_receive  recv -> walk over blocks -> (acks) -> ... -> the sender's tally -> my tally, FIN
 *
 * Both are plain loops. A stop is looked at between blocks only, so that the format is never broken in the middle; a
 * peer that does not move for timeout_ns, or the abandon flag, ends a blocked call (io.h). Nothing here prints. */
#include "ttcp.h"

#include "clock.h"
#include "diag.h"
#include "mem.h"
#include "prng.h"
#include "wire.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* WHY: the kernel copies each byte from our buffer into a packet, and from the packet into the receiver's buffer. Such a copy is
 * fastest when both lie alike within a page, at least within a cache line. So the buffers begin with a page, a streaming
 * sender writes whole lines, and a receiver reads to that place in a page which the byte has in its stream. Measured on
 * loopback with a queue that outgrows the cache (AMD EPYC, Linux 6.18, reno): 2.8 GB/s when the receiver always reads to the
 * beginning of its buffer, 5.7 with the place in the line, 7.7 with the place in the page. */
enum {
	CACHE_LINE = 64,
	PAGE = 4096,
	PATTERN_LEN = 16,
	LOOK_NS = 20 * NS_PER_MS,  /* how often a sender looks at TCP_INFO and for a STOP, a receiver at its rate */
	STALL_NS = 10 * NS_PER_MS, /* longer than this no read may wait for its low water mark */
};
static const char pattern[PATTERN_LEN + 1] = "0123456789ABCDEF";

/* --- what both directions do ------------------------------------------------------------------------------------- */

/* The state at the beginning of the measured part: the start, or the end of the warm-up. The tally is the difference. */
struct mark {
	uint64_t at_ns;
	uint64_t bytes, blocks, calls, short_calls, ack_wait_ns, source_wait_ns;
	struct os_cpu cpu;
	struct tcpinfo info;
};

/* Counters of a running flow; `flow` publishes two of them for the reporting thread. */
struct counters {
	uint64_t bytes, blocks, calls, short_calls, ack_wait_ns, source_wait_ns;
};

static struct tcpinfo info_of(int fd)
{
	struct tcpinfo info;
	if (tcpinfo_get(fd, &info) < 0)
		tracef("getsockopt(%d, TCP_INFO) = -1 (%s)", fd, errno_name(errno));
	return info;
}

static struct mark mark_now(const struct flow *f, const struct counters *c, uint64_t now_ns)
{
	return (struct mark){
		.at_ns = now_ns,
		.bytes = c->bytes,
		.blocks = c->blocks,
		.calls = c->calls,
		.short_calls = c->short_calls,
		.ack_wait_ns = c->ack_wait_ns,
		.source_wait_ns = c->source_wait_ns,
		.cpu = os_thread_cpu(),
		.info = info_of(f->fd),
	};
}

static void set_tally(struct flow *f, const struct mark *from, const struct mark *to)
{
	f->mine = (struct tally){
		.bytes = to->bytes - from->bytes,
		.blocks = to->blocks - from->blocks,
		.elapsed_ns = to->at_ns - from->at_ns,
		.calls = to->calls - from->calls,
		.short_calls = to->short_calls - from->short_calls,
		.cpu = { to->cpu.user_ns - from->cpu.user_ns, to->cpu.sys_ns - from->cpu.sys_ns,
			 to->cpu.waited_ns - from->cpu.waited_ns },
		.retransmits = to->info.retransmits - from->info.retransmits,
		.rtt_ns = to->info.rtt_ns,
		.min_rtt_ns = to->info.min_rtt_ns,
		.busy_ns = to->info.busy_ns - from->info.busy_ns,
		.rwnd_limited_ns = to->info.rwnd_limited_ns - from->info.rwnd_limited_ns,
		.sndbuf_limited_ns = to->info.sndbuf_limited_ns - from->info.sndbuf_limited_ns,
		.cwnd_bytes = to->info.cwnd * to->info.mss,
		.pacing_Bps = to->info.pacing_Bps,
		.bad_offset = f->mine.bad_offset,
	};
	f->ack_wait_ns = to->ack_wait_ns - from->ack_wait_ns;
	f->source_wait_ns = to->source_wait_ns - from->source_wait_ns;
	f->send_window = to->info.send_window;
	f->send_buffer = sock_send_buffer(f->fd);
	f->receive_buffer = sock_receive_buffer(f->fd);
	tcpinfo_congestion(f->fd, f->mine.congestion);
}

static void publish(struct flow *f, const struct counters *c)
{
	atomic_store_explicit(&f->moved, c->bytes, memory_order_relaxed);
	atomic_store_explicit(&f->calls_now, c->calls, memory_order_relaxed);
}

static int fail(struct flow *f, const char *op)
{
	if (f->error == 0) {
		f->error = errno;
		f->failed_op = op;
	}
	return -1;
}

static int fail_as(struct flow *f, int error, const char *op)
{
	errno = error;
	return fail(f, op);
}

static int set_tcp(struct flow *f, int option, int value, const char *op)
{
	return setsockopt(f->fd, IPPROTO_TCP, option, &value, sizeof(value)) < 0 ? fail(f, op) : 0;
}

static bool is_told(const atomic_bool *flag)
{
	return atomic_load_explicit(flag, memory_order_relaxed);
}

/* A blocked call may last until the peer has been silent for the flow's timeout. */
static struct io_until patience(const struct flow *f, uint64_t now_ns)
{
	uint64_t deadline_ns = f->timeout_ns == CLK_NEVER ? CLK_NEVER : now_ns + f->timeout_ns;
	return (struct io_until){ .deadline_ns = deadline_ns, .cancel = f->abandon };
}

static void begin(struct flow *f)
{
	f->mine.bad_offset = TALLY_ALL_GOOD;
	clockid_t clock;
	if (pthread_getcpuclockid(pthread_self(), &clock) == 0) {
		atomic_store(&f->cpu_clock, clock);
		atomic_store(&f->running, true);
	}
	if (io_tick(f->fd) < 0)
		fail(f, "set timeout");
}

static void end(struct flow *f)
{
	atomic_store(&f->running, false); /* before the thread, and with it its clock, is gone */
	atomic_store(&f->finished, true);
}

/* States of the path change from moment to moment: their mean says more than the last of them. */
struct path_mean {
	double n, rtt_ns, cwnd_bytes, pacing_Bps;
};

static void add_sample(struct path_mean *m, const struct tcpinfo *info)
{
	m->n++;
	m->rtt_ns += (double)info->rtt_ns;
	m->cwnd_bytes += (double)(info->cwnd * info->mss);
	m->pacing_Bps += (double)info->pacing_Bps;
}

static void set_means(struct tally *t, const struct path_mean *m)
{
	if (m->n == 0)
		return; /* a short run: the last values stand */
	t->rtt_ns = (uint64_t)(m->rtt_ns / m->n);
	t->cwnd_bytes = (uint64_t)(m->cwnd_bytes / m->n);
	if (t->pacing_Bps != UINT64_MAX)
		t->pacing_Bps = (uint64_t)(m->pacing_Bps / m->n);
}

/* --- sending ----------------------------------------------------------------------------------------------------- */

/* Prepare some bytes in the image, send them one system call at a time, look around after each: that is the sender.
 *
 *     image   [ header | payload | header | payload | ... ]      whole blocks, at most TTCP_IO of payload
 *                        ^at                          ^end       what is prepared and not yet sent
 *
 * A block longer than TTCP_IO is prepared in several parts, and raw mode has no headers. The pattern repeats every 16 bytes,
 * so that the image serves any block; only --verify and --file fill it anew each time. */
struct sender {
	struct flow *f;
	struct counters c;
	struct mark from;
	uint64_t now_ns, moved_at_ns, look_at_ns;
	bool warming_up, told_to_stop, source_ended;
	unsigned char *image;
	size_t at, end;
	size_t block;          /* bytes of a block on the wire: header and payload; raw: 1 */
	size_t image_blocks;   /* whole blocks that fit into the image; 0: a block is longer than that */
	int image_fd;          /* for sendfile: the image, or the file that the user named; else -1 */
	int source_fd;         /* raw: where payload is read from, or -1 */
	uint64_t wire_bytes;   /* sent so far */
	uint64_t *sent_at_ns;  /* ack mode: a ring of `depth` stamps */
	unsigned char acks[1024];
	size_t acks_len;
	struct path_mean path;
};

static uint64_t sent_blocks(const struct sender *s)
{
	return s->wire_bytes / s->block;
}

static void fill_pattern(unsigned char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (unsigned char)pattern[i % PATTERN_LEN];
}

/* How many blocks one system call may carry: in ack mode as many as may be in flight, else what --write says. Sixteen blocks
 * of any length that is a multiple of 4 fill whole cache lines, headers and all. */
static size_t blocks_for_a_call(const struct plan *p, size_t block)
{
	size_t most = (p->mode == MODE_ACK ? TTCP_IO : p->write_len) / block, lines = CACHE_LINE / HEADER_LEN;
	if (most == 0 && p->length <= TTCP_IO)
		return 1;
	if (p->mode == MODE_STREAM && most >= lines / 2)
		return (most + lines / 2) / lines * lines;
	return p->mode == MODE_ACK && most > p->depth ? p->depth : most;
}

static int make_image(struct sender *s)
{
	const struct plan *p = &s->f->plan;
	size_t len = p->write_len;
	s->block = 1;
	if (p->mode == MODE_RAW) {
		s->image = xmalloc_pages(len);
		fill_pattern(s->image, len);
	} else {
		s->block = HEADER_LEN + p->length;
		s->image_blocks = blocks_for_a_call(p, s->block);
		len = s->image_blocks > 0 ? s->image_blocks * s->block : HEADER_LEN + TTCP_IO;
		s->image = xmalloc_pages(len);
		for (size_t at = 0; at < len; at += s->block) {
			be32_put(s->image + at, p->length);
			fill_pattern(s->image + at + HEADER_LEN, s->image_blocks > 0 ? p->length : TTCP_IO);
		}
	}
	if (!s->f->sendfile || s->source_fd >= 0)
		return 0;
	s->image_fd = memfd_create("ttcp-image", MFD_CLOEXEC);
	if (s->image_fd < 0 || write(s->image_fd, s->image, len) != (ssize_t)len)
		return fail(s->f, "make memory file");
	return 0;
}

static int open_source(struct sender *s)
{
	if (s->f->file == NULL)
		return 0;
	s->source_fd = strcmp(s->f->file, "-") == 0 ? STDIN_FILENO : open(s->f->file, O_RDONLY | O_CLOEXEC);
	if (s->source_fd < 0)
		return fail(s->f, "open");
	if (s->f->sendfile)
		s->image_fd = s->source_fd;
	return 0;
}

static uint64_t blocks_left(const struct sender *s)
{
	uint64_t limit = s->f->plan.blocks, counted = sent_blocks(s) - s->from.blocks;
	if (limit == 0 || s->warming_up)
		return UINT64_MAX;
	return limit > counted ? limit - counted : 0;
}

static uint64_t raw_bytes_left(const struct sender *s)
{
	uint64_t limit = s->f->raw_bytes, counted = s->c.bytes - s->from.bytes;
	if (limit == 0 || s->warming_up)
		return UINT64_MAX;
	return limit > counted ? limit - counted : 0;
}

static void prepare_blocks(struct sender *s)
{
	const struct plan *p = &s->f->plan;
	uint64_t first = sent_blocks(s), n = blocks_left(s);
	n = n < s->image_blocks ? n : s->image_blocks;
	if (p->mode == MODE_ACK && n > p->depth - (first - s->c.blocks))
		n = p->depth - (first - s->c.blocks);
	for (uint64_t i = 0; i < n; i++) {
		if (p->mode == MODE_ACK)
			s->sent_at_ns[(first + i) % p->depth] = s->now_ns;
		if (p->verify)
			prng_fill(p->seed, (first + i) * p->length, s->image + i * s->block + HEADER_LEN, p->length);
	}
	s->at = 0;
	s->end = (size_t)n * s->block;
}

/* The next part of one long block: the first has the header in front. */
static void prepare_long_block(struct sender *s)
{
	const struct plan *p = &s->f->plan;
	uint64_t sent = s->wire_bytes % s->block, payload = sent > 0 ? sent - HEADER_LEN : 0;
	size_t n = p->length - payload < TTCP_IO ? (size_t)(p->length - payload) : TTCP_IO;
	if (sent == 0 && p->mode == MODE_ACK)
		s->sent_at_ns[sent_blocks(s) % p->depth] = s->now_ns;
	if (p->verify)
		prng_fill(p->seed, sent_blocks(s) * p->length + payload, s->image + HEADER_LEN, n);
	s->at = sent == 0 ? 0 : HEADER_LEN;
	s->end = HEADER_LEN + n;
}

/* raw: from memory, from the user's file, or (sendfile) without touching the bytes. */
static int prepare_raw(struct sender *s)
{
	uint64_t left = raw_bytes_left(s);
	size_t n = left < s->f->plan.write_len ? (size_t)left : s->f->plan.write_len;
	if (s->source_fd >= 0 && s->image_fd < 0) {
		ssize_t r = read(s->source_fd, s->image, n);
		s->c.source_wait_ns += clk_mono_ns() - s->now_ns;
		if (r < 0 && errno != EINTR && errno != EAGAIN)
			return fail(s->f, "read");
		s->source_ended = r == 0;
		n = r > 0 ? (size_t)r : 0;
		s->moved_at_ns = clk_mono_ns(); /* a slow source is not a silent peer */
	}
	s->at = 0;
	s->end = n;
	return 0;
}

static int prepare(struct sender *s)
{
	if (s->f->plan.mode == MODE_RAW)
		return prepare_raw(s);
	if (s->image_blocks > 0)
		prepare_blocks(s);
	else
		prepare_long_block(s);
	return 0;
}

/* Payload handed to the kernel; in ack mode take_acks counts instead. */
static void count_sent(struct sender *s, size_t n)
{
	uint64_t partial;
	s->wire_bytes += n;
	switch (s->f->plan.mode) {
	case MODE_RAW:
		s->c.bytes += n;
		break;
	case MODE_STREAM:
		partial = s->wire_bytes % s->block;
		s->c.blocks = sent_blocks(s);
		s->c.bytes = s->c.blocks * s->f->plan.length + (partial > HEADER_LEN ? partial - HEADER_LEN : 0);
		break;
	default:
		break;
	}
}

/* One system call for all that is prepared. What it did not take is left for the next round. */
static int send_prepared(struct sender *s)
{
	struct flow *f = s->f;
	size_t n = s->end - s->at;
	off_t offset = (off_t)s->at;
	bool own_file = s->source_fd >= 0;
	ssize_t w = s->image_fd < 0 ? send(f->fd, s->image + s->at, n, MSG_NOSIGNAL)
				    : sendfile(f->fd, s->image_fd, own_file ? NULL : &offset, n);
	tracef("%s(%d, %zu) = %zd", s->image_fd < 0 ? "send" : "sendfile", f->fd, n, w);
	s->c.calls++;
	if (w < 0) {
		struct io_until until = patience(f, s->moved_at_ns);
		return io_is_over(&until) ? fail(f, "send") : 0;
	}
	if (w == 0 && own_file) {
		s->source_ended = true;
		s->at = s->end;
		return 0;
	}
	s->c.short_calls += (size_t)w < n;
	s->moved_at_ns = s->now_ns;
	s->at += (size_t)w;
	count_sent(s, (size_t)w);
	return 0;
}

/* The end has come while something is prepared: of that only the rest of the block under way is sent. */
static void drop_unneeded(struct sender *s)
{
	size_t begun = (size_t)(s->wire_bytes % s->block), rest = begun > 0 ? s->block - begun : 0;
	if (rest < s->end - s->at)
		s->end = s->at + rest;
}

/* One recv for the acks that are there; when there is none, the tick of io.h ends the wait and the next round looks again. */
static int take_acks(struct sender *s)
{
	struct flow *f = s->f;
	ssize_t n = recv(f->fd, s->acks + s->acks_len, sizeof(s->acks) - s->acks_len, 0);
	tracef("recv(%d, acks) = %zd", f->fd, n);
	s->c.calls++;
	uint64_t now_ns = clk_mono_ns();
	s->c.ack_wait_ns += now_ns - s->now_ns;
	if (n < 0) {
		struct io_until until = patience(f, s->moved_at_ns);
		return io_is_over(&until) ? fail(f, "receive ack") : 0;
	}
	if (n == 0)
		return fail_as(f, ECONNRESET, "receive ack: the receiver ended in the middle");
	s->moved_at_ns = now_ns;
	s->acks_len += (size_t)n;

	size_t used = 0;
	for (; s->acks_len - used >= HEADER_LEN; used += HEADER_LEN) {
		uint32_t ack = be32_get(s->acks + used);
		if (ack == WIRE_STOP && f->plan.negotiated) {
			s->told_to_stop = true;
			continue;
		}
		if (ack != f->plan.length || s->c.blocks == sent_blocks(s))
			return fail_as(f, EPROTO, "check ack");
		hist_add(&f->block_rtt, now_ns - s->sent_at_ns[s->c.blocks % f->plan.depth]);
		s->c.blocks++;
		s->c.bytes += f->plan.length;
	}
	memmove(s->acks, s->acks + used, s->acks_len - used);
	s->acks_len -= used;
	return 0;
}

/* Every LOOK_NS: how the path is, and (in a stream, where nothing else is read) whether the receiver sent a STOP or is
 * gone. */
static int look(struct sender *s)
{
	if (s->now_ns < s->look_at_ns)
		return 0;
	s->look_at_ns = s->now_ns + LOOK_NS;
	struct tcpinfo info = info_of(s->f->fd);
	add_sample(&s->path, &info);
	if (s->f->plan.mode != MODE_STREAM)
		return 0;
	unsigned char word[HEADER_LEN];
	ssize_t n = recv(s->f->fd, word, sizeof(word), MSG_DONTWAIT);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : fail(s->f, "send");
	if (n != sizeof(word) || be32_get(word) != WIRE_STOP)
		return fail_as(s->f, ECONNRESET, "send: the receiver ended in the middle");
	s->told_to_stop = true;
	return 0;
}

/* What follows every system call: the clock, the published counters, the end of the warm-up, a look around. */
static int look_around(struct sender *s)
{
	s->now_ns = clk_mono_ns();
	publish(s->f, &s->c);
	if (s->warming_up && s->now_ns >= s->from.at_ns + s->f->plan.omit_ns) {
		s->warming_up = false;
		s->from = mark_now(s->f, &s->c, s->now_ns);
		s->path = (struct path_mean){ 0 };
		memset(&s->f->block_rtt, 0, sizeof(s->f->block_rtt));
	}
	return look(s);
}

static bool is_over(const struct sender *s)
{
	uint64_t limit_ns = s->f->plan.time_ns;
	return s->told_to_stop || s->source_ended || is_told(s->f->stop) || blocks_left(s) == 0 || raw_bytes_left(s) == 0 ||
	       (limit_ns != 0 && !s->warming_up && s->now_ns - s->from.at_ns >= limit_ns);
}

enum step { SEND, PREPARE, TAKE_ACKS, DONE };

static enum step next_step(struct sender *s)
{
	const struct plan *p = &s->f->plan;
	bool over = is_over(s), in_block = s->wire_bytes % s->block != 0;
	if (over)
		drop_unneeded(s);
	if (s->at < s->end)
		return SEND;
	if (in_block)
		return PREPARE; /* the next part of a long one */
	uint64_t unanswered = p->mode == MODE_ACK ? sent_blocks(s) - s->c.blocks : 0;
	if (!over && (p->mode != MODE_ACK || unanswered < p->depth))
		return PREPARE;
	return unanswered > 0 ? TAKE_ACKS : DONE;
}

static int send_all(struct sender *s)
{
	for (;;) {
		int rc = 0;
		switch (next_step(s)) {
		case SEND:
			rc = send_prepared(s);
			break;
		case PREPARE:
			rc = prepare(s);
			break;
		case TAKE_ACKS:
			rc = take_acks(s);
			break;
		case DONE:
			return 0;
		}
		if (rc < 0 || look_around(s) < 0)
			return -1;
	}
}

/* raw: the receiver's FIN after ours is all the confirmation there is. Bytes that come before it are not for us. */
static int wait_for_fin(struct flow *f)
{
	char sink[4096];
	struct io_until until = patience(f, clk_mono_ns());
	for (;;) {
		ssize_t n = recv(f->fd, sink, sizeof(sink), 0);
		if (n == 0)
			return 0;
		if (n < 0 && io_is_over(&until))
			return fail(f, "wait for the receiver's FIN");
	}
}

/* END, my tally, FIN: the last bytes of either end. */
static int write_tally(struct flow *f)
{
	unsigned char bytes[HEADER_LEN + TALLY_LEN];
	be32_put(bytes, WIRE_END);
	wire_put_tally(bytes + HEADER_LEN, &f->mine);
	struct io_until until = patience(f, clk_mono_ns());
	if (io_write_full(f->fd, bytes, sizeof(bytes), &until) < 0)
		return fail(f, "send tally");
	return shutdown(f->fd, SHUT_WR) < 0 ? fail(f, "shut down") : 0;
}

/* The peer's tally, of which the first `have` bytes are in `bytes` already. */
static int read_tally(struct flow *f, unsigned char bytes[static TALLY_LEN], size_t have)
{
	struct io_until until = patience(f, clk_mono_ns());
	int got = have < TALLY_LEN ? io_read_full(f->fd, bytes + have, TALLY_LEN - have, &until) : 1;
	if (got <= 0)
		return got == 0 ? fail_as(f, ECONNRESET, "receive tally") : fail(f, "receive tally");
	wire_get_tally(bytes, &f->theirs);
	f->have_theirs = true;
	return 0;
}

/* After the last block: the tallies change hands. A STOP that crossed our END is passed over. */
static int settle(struct flow *f)
{
	unsigned char bytes[TALLY_LEN];
	uint32_t word;
	if (write_tally(f) < 0)
		return -1;
	do {
		struct io_until until = patience(f, clk_mono_ns());
		int got = io_read_full(f->fd, bytes, HEADER_LEN, &until);
		if (got <= 0)
			return got == 0 ? fail_as(f, ECONNRESET, "receive tally") : fail(f, "receive tally");
		word = be32_get(bytes);
	} while (word == WIRE_STOP);
	return word == WIRE_END ? read_tally(f, bytes, 0) : fail_as(f, EPROTO, "receive tally");
}

/* Blocks in flight that wait for each other's ACK would not be in flight (Nagle, RFC 9293 3.7.4): depth needs nodelay.
 * And a paced sender must not hide seconds of data in its send buffer: a tenth of a second has to do. */
static int tune_sender(struct flow *f)
{
	const struct plan *p = &f->plan;
	uint64_t tenth = p->rate_Bps / 10 > 16384 ? p->rate_Bps / 10 : 16384;
	if (p->mode == MODE_ACK && p->depth > 1 && set_tcp(f, TCP_NODELAY, 1, "set nodelay") < 0)
		return -1;
	if (p->rate_Bps == 0 || tenth > TTCP_IO)
		return 0;
	return set_tcp(f, TCP_NOTSENT_LOWAT, (int)tenth, "set unsent low water");
}

void flow_send(struct flow *f)
{
	struct sender s = { .f = f, .image_fd = -1, .source_fd = -1, .warming_up = f->plan.omit_ns != 0 };
	begin(f);
	s.sent_at_ns = xcalloc(f->plan.depth, sizeof(s.sent_at_ns[0]));
	if (f->error == 0 && tune_sender(f) == 0 && open_source(&s) == 0 && make_image(&s) == 0) {
		s.now_ns = s.moved_at_ns = clk_mono_ns();
		s.from = mark_now(f, &s.c, s.now_ns);
		s.look_at_ns = s.now_ns + LOOK_NS;
		int rc = send_all(&s);
		if (rc == 0 && f->plan.mode == MODE_RAW)
			rc = shutdown(f->fd, SHUT_WR) < 0 ? fail(f, "shut down") : wait_for_fin(f);
		s.now_ns = clk_mono_ns();
		struct mark to = mark_now(f, &s.c, s.now_ns);
		set_tally(f, &s.from, &to);
		set_means(&f->mine, &s.path);
		if (rc == 0 && f->plan.negotiated)
			settle(f);
	}
	if (s.image_fd >= 0 && s.image_fd != s.source_fd)
		close(s.image_fd);
	if (s.source_fd > STDERR_FILENO)
		close(s.source_fd);
	free(s.image);
	free(s.sent_at_ns);
	end(f);
}

/* --- receiving --------------------------------------------------------------------------------------------------- */

/* Where the walk over the incoming bytes stands: in a header, or `left` payload bytes before the end of a block. */
struct receiver {
	struct flow *f;
	struct counters c;
	struct mark from;
	uint64_t now_ns;
	bool warming_up, ended, asked_to_stop;
	unsigned char *buffer; /* cap bytes, and room for a page in front */
	size_t cap;
	uint64_t wire_bytes;   /* received so far */
	unsigned char header[HEADER_LEN];
	size_t header_len;
	uint64_t left;
	size_t acks_due;         /* blocks that are complete and not yet answered */
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
		struct io_until until = patience(r->f, r->now_ns);
		r->c.calls++;
		if (io_write_full(r->f->fd, bytes, now * HEADER_LEN, &until) < 0)
			return fail(r->f, "send ack");
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
		while (good < n && p[good] == (unsigned char)pattern[(at + good) % PATTERN_LEN])
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
		return fail_as(r->f, EPROTO, "check block header");
	r->left = length;
	return 0;
}

/* n bytes have come: through headers and payloads to the end of them, or to the END and into the sender's tally. */
static int walk(struct receiver *r, const unsigned char *p, size_t n)
{
	while (n > 0 && !r->ended) {
		size_t take = r->left > 0 ? r->left < n ? (size_t)r->left : n
			      : HEADER_LEN - r->header_len < n ? HEADER_LEN - r->header_len : n;
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
		return fail_as(r->f, EPROTO, "check the end");
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
		return fail_as(r->f, ECONNRESET, "receive: the sender ended in the middle");
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
	if (!is_told(r->f->stop) || r->asked_to_stop || r->ended)
		return 0;
	if (!r->f->plan.negotiated) {
		r->ended = true;
		return 0;
	}
	r->asked_to_stop = true;
	return send_words(r, WIRE_STOP, 1);
}

/* Bulk wakes the reader for a lot or not at all (SO_RCVLOWAT): on a fast path that saves most of the wake-ups, and it is
 * what they cost that limits the receiver. A reader that waits for more than the sender will send before an ACK would
 * stall both, so the mark follows the rate (what comes in 1 ms) and is halved for good when a read had to wait long. */
static int set_low_water(struct receiver *r, uint64_t bytes)
{
	int value = bytes > 1 ? (int)bytes : 1;
	r->low_water = bytes;
	if (setsockopt(r->f->fd, SOL_SOCKET, SO_RCVLOWAT, &value, sizeof(value)) < 0)
		return fail(r->f, "set receive low water");
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
		return set_tcp(f, TCP_NODELAY, 1, "set nodelay");
	if (f->low_water != 0)
		return set_low_water(r, f->low_water);
	r->low_water_most = f->plan.verify ? 0 : TTCP_IO;
	return 0;
}

static int receive_all(struct receiver *r)
{
	struct flow *f = r->f;
	int flags = is_stop_and_wait(f) ? MSG_WAITALL : 0;
	struct io_until until = patience(f, r->now_ns);
	r->ended = !f->plan.negotiated && f->plan.mode == MODE_ACK && f->plan.blocks == 0;
	while (!r->ended) {
		size_t want = wanted(r);
		unsigned char *to = r->buffer + r->wire_bytes % PAGE;
		ssize_t n = recv(f->fd, to, want, flags);
		tracef("recv(%d, %zu) = %zd", f->fd, want, n);
		r->c.calls++;
		if (n < 0 && io_is_over(&until))
			return fail(f, "receive");
		uint64_t began_ns = r->now_ns;
		r->now_ns = clk_mono_ns();
		if (n >= 0)
			until = patience(f, r->now_ns);
		if ((n == 0 && on_fin(r) < 0) || (n > 0 && on_bytes(r, to, (size_t)n) < 0))
			return -1;
		r->wire_bytes += n > 0 ? (size_t)n : 0;
		r->c.short_calls += n > 0 && (size_t)n < want && !r->ended;
		publish(f, &r->c);
		if (r->warming_up && r->now_ns >= r->from.at_ns + f->plan.omit_ns) {
			r->warming_up = false;
			r->from = mark_now(f, &r->c, r->now_ns);
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
	begin(f);
	if (f->error == 0 && tune_receiver(&r) == 0) {
		r.now_ns = clk_mono_ns();
		r.look_at_ns = r.now_ns + LOOK_NS;
		r.from = mark_now(f, &r.c, r.now_ns);
		int rc = receive_all(&r);
		struct mark to = mark_now(f, &r.c, r.now_ns);
		set_tally(f, &r.from, &to);
		if (rc == 0 && f->plan.negotiated && read_tally(f, r.tally, r.tally_len) == 0)
			write_tally(f);
	}
	free(r.buffer);
	end(f);
}
