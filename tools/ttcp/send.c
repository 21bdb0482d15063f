/* send.c - the sending direction of a flow: prepare some bytes, send them one system call at a time, look around after
 * each. */
#include "flow.h"

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
#include <unistd.h>

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

/* Prepare some bytes in the image, send them one system call at a time, look around after each: that is the sender.
 *
 *     image   [ header | payload | header | payload | ... ]      whole blocks, at most TTCP_IO of payload
 *                        ^at                          ^end       what is prepared and not yet sent
 *
 * A block longer than TTCP_IO is prepared in several parts, and raw mode has no headers. The pattern repeats every 16
 * bytes, so that the image serves any block; only --verify and --file fill it anew each time. */
struct sender {
	struct flow *f;
	struct flow_counters c;
	struct flow_mark from;
	uint64_t now_ns, moved_at_ns, look_at_ns;
	bool warming_up, told_to_stop, source_ended;
	unsigned char *image;
	size_t at, end;
	size_t block;         /* bytes of a block on the wire: header and payload; raw: 1 */
	size_t image_blocks;  /* whole blocks that fit into the image; 0: a block is longer than that */
	int image_fd;         /* for sendfile: the image, or the file that the user named; else -1 */
	int source_fd;        /* raw: where payload is read from, or -1 */
	uint64_t wire_bytes;  /* sent so far */
	uint64_t *sent_at_ns; /* ack mode: a ring of `depth` stamps */
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
		p[i] = (unsigned char)PATTERN[i % PATTERN_LEN];
}

/* How many blocks one system call may carry: in ack mode as many as may be in flight, else what --write says. Sixteen
 * blocks of any length that is a multiple of 4 fill whole cache lines, headers and all. */
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
		return flow_fail(s->f, "make memory file");
	return 0;
}

static int open_source(struct sender *s)
{
	if (s->f->file == NULL)
		return 0;
	s->source_fd = strcmp(s->f->file, "-") == 0 ? STDIN_FILENO : open(s->f->file, O_RDONLY | O_CLOEXEC);
	if (s->source_fd < 0)
		return flow_fail(s->f, "open");
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
			return flow_fail(s->f, "read");
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
		struct io_until until = flow_patience(f, s->moved_at_ns);
		return io_is_over(&until) ? flow_fail(f, "send") : 0;
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

/* One recv for the acks that are there; when there is none, the tick of io.h ends the wait and the next round looks
 * again. */
static int take_acks(struct sender *s)
{
	struct flow *f = s->f;
	ssize_t n = recv(f->fd, s->acks + s->acks_len, sizeof(s->acks) - s->acks_len, 0);
	tracef("recv(%d, acks) = %zd", f->fd, n);
	s->c.calls++;
	uint64_t now_ns = clk_mono_ns();
	s->c.ack_wait_ns += now_ns - s->now_ns;
	if (n < 0) {
		struct io_until until = flow_patience(f, s->moved_at_ns);
		return io_is_over(&until) ? flow_fail(f, "receive ack") : 0;
	}
	if (n == 0)
		return flow_fail_as(f, ECONNRESET, "receive ack: the receiver ended in the middle");
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
			return flow_fail_as(f, EPROTO, "check ack");
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
	struct tcpinfo info = flow_info(s->f->fd);
	add_sample(&s->path, &info);
	if (s->f->plan.mode != MODE_STREAM)
		return 0;
	unsigned char word[HEADER_LEN];
	ssize_t n = recv(s->f->fd, word, sizeof(word), MSG_DONTWAIT);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : flow_fail(s->f, "send");
	if (n != sizeof(word) || be32_get(word) != WIRE_STOP)
		return flow_fail_as(s->f, ECONNRESET, "send: the receiver ended in the middle");
	s->told_to_stop = true;
	return 0;
}

/* What follows every system call: the clock, the published counters, the end of the warm-up, a look around. */
static int look_around(struct sender *s)
{
	s->now_ns = clk_mono_ns();
	flow_publish(s->f, &s->c);
	if (s->warming_up && s->now_ns >= s->from.at_ns + s->f->plan.omit_ns) {
		s->warming_up = false;
		s->from = flow_mark(s->f, &s->c, s->now_ns);
		s->path = (struct path_mean){ 0 };
		memset(&s->f->block_rtt, 0, sizeof(s->f->block_rtt));
	}
	return look(s);
}

static bool is_over(const struct sender *s)
{
	uint64_t limit_ns = s->f->plan.time_ns;
	return s->told_to_stop || s->source_ended || flow_is_told(s->f->stop) || blocks_left(s) == 0 ||
	       raw_bytes_left(s) == 0 || (limit_ns != 0 && !s->warming_up && s->now_ns - s->from.at_ns >= limit_ns);
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
	struct io_until until = flow_patience(f, clk_mono_ns());
	for (;;) {
		ssize_t n = recv(f->fd, sink, sizeof(sink), 0);
		if (n == 0)
			return 0;
		if (n < 0 && io_is_over(&until))
			return flow_fail(f, "wait for the receiver's FIN");
	}
}

/* After the last block: the tallies change hands. A STOP that crossed our END is passed over. */
static int settle(struct flow *f)
{
	unsigned char bytes[TALLY_LEN];
	uint32_t word;
	if (flow_write_tally(f) < 0)
		return -1;
	do {
		struct io_until until = flow_patience(f, clk_mono_ns());
		int got = io_read_full(f->fd, bytes, HEADER_LEN, &until);
		if (got <= 0)
			return got == 0 ? flow_fail_as(f, ECONNRESET, "receive tally") : flow_fail(f, "receive tally");
		word = be32_get(bytes);
	} while (word == WIRE_STOP);
	return word == WIRE_END ? flow_read_tally(f, bytes, 0) : flow_fail_as(f, EPROTO, "receive tally");
}

/* Blocks in flight that wait for each other's ACK would not be in flight (Nagle, RFC 9293 3.7.4): depth needs nodelay.
 * And a paced sender must not hide seconds of data in its send buffer: a tenth of a second has to do. */
static int tune_sender(struct flow *f)
{
	const struct plan *p = &f->plan;
	uint64_t tenth = p->rate_Bps / 10 > 16384 ? p->rate_Bps / 10 : 16384;
	if (p->mode == MODE_ACK && p->depth > 1 && flow_set_tcp(f, TCP_NODELAY, 1, "set nodelay") < 0)
		return -1;
	if (p->rate_Bps == 0 || tenth > TTCP_IO)
		return 0;
	return flow_set_tcp(f, TCP_NOTSENT_LOWAT, (int)tenth, "set unsent low water");
}

void flow_send(struct flow *f)
{
	struct sender s = { .f = f, .image_fd = -1, .source_fd = -1, .warming_up = f->plan.omit_ns != 0 };
	flow_begin(f);
	s.sent_at_ns = xcalloc(f->plan.depth, sizeof(s.sent_at_ns[0]));
	if (f->error == 0 && tune_sender(f) == 0 && open_source(&s) == 0 && make_image(&s) == 0) {
		s.now_ns = s.moved_at_ns = clk_mono_ns();
		s.from = flow_mark(f, &s.c, s.now_ns);
		s.look_at_ns = s.now_ns + LOOK_NS;
		int rc = send_all(&s);
		if (rc == 0 && f->plan.mode == MODE_RAW)
			rc = shutdown(f->fd, SHUT_WR) < 0 ? flow_fail(f, "shut down") : wait_for_fin(f);
		s.now_ns = clk_mono_ns();
		struct flow_mark to = flow_mark(f, &s.c, s.now_ns);
		flow_set_tally(f, &s.from, &to);
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
	flow_end(f);
}
