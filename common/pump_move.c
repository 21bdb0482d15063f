/* pump_move.c - how bytes get from one side of a pump to the other. None of these functions waits; what they find out (an
 * end, an error, a sink that is full) is noted in the lane, and settle() in pump.c draws the conclusions. */
#include "pump.h"

#include "clock.h"
#include "diag.h"
#include "io.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>

enum {
	LARGE = 64 * 1024,   /* pieces from this size on are worth a pipe ... */
	SMALL = 16 * 1024,   /* ... and below this one they are not: a pipe costs two more system calls */
	HOT = 2,             /* so many large pieces in a row, and the lane splices */
	PASSES_AT_ONCE = 64, /* answers of may_pass in one event */
};

static int source_fd(const struct pump *p, enum pump_way way)
{
	return p->watch[way].fd;
}

/* --- what has moved ----------------------------------------------------------------------------------------------- */

void pump_note_moved(struct pump *p)
{
	p->moved_ns = pump_now_ns(p);
	if (p->end != PUMP_CUT)
		p->ending_ns = p->moved_ns;
}

static void note_in(struct pump *p, struct pump_lane *lane, size_t n)
{
	lane->bytes_in += n;
	pump_note_moved(p);
}

static void note_out(struct pump *p, struct pump_lane *lane, size_t n)
{
	if (lane->bytes_out == 0)
		lane->first_ns = pump_now_ns(p);
	lane->bytes_out += n;
	pump_note_moved(p);
}

static void note_peak(struct pump_lane *lane)
{
	size_t waiting = pump_waiting(lane);
	if (waiting > lane->peak)
		lane->peak = (uint32_t)waiting;
}

/* How a call for `asked` bytes went: > 0 bytes, 0 for none. The sink is full, or it is dead. */
static size_t take_sent(struct pump *p, enum pump_way way, ssize_t n, size_t asked)
{
	struct pump_lane *lane = &p->lane[way];
	if (n < 0 && errno != EAGAIN && errno != EINTR) {
		pump_fail_side(p, (enum pump_side) !way, errno);
		return 0;
	}
	size_t sent = n > 0 ? (size_t)n : 0;
	if (sent > 0)
		note_out(p, lane, sent);
	if (sent == asked)
		pump_unblock(p, lane);
	else if (lane->blocked_at_ns == 0)
		lane->blocked_at_ns = pump_now_ns(p);
	return sent;
}

static size_t send_now(struct pump *p, enum pump_way way, const void *bytes, size_t n, int flags)
{
	ssize_t sent = send(pump_sink_fd(p, way), bytes, n, MSG_NOSIGNAL | flags);
	if (diag_trace)
		tracef("send(%d, %zu) = %zd", pump_sink_fd(p, way), n, sent);
	return take_sent(p, way, sent, n);
}

/* --- out: from a lane to its sink --------------------------------------------------------------------------------- */

static void push_pipe(struct pump *p, enum pump_way way)
{
	struct pump_lane *lane = &p->lane[way];
	ssize_t n = splice(lane->pipe->read_fd, NULL, pump_sink_fd(p, way), NULL, lane->in_pipe,
			   SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
	if (diag_trace)
		tracef("splice(pipe to %d, %zu) = %zd", pump_sink_fd(p, way), lane->in_pipe, n);
	size_t sent = take_sent(p, way, n, lane->in_pipe);
	if (sent > 0)
		lane->in_pipe -= sent; /* otherwise the sink may be dead, and the pipe gone */
	if (sent > 0 && lane->in_pipe == 0) {
		pipepool_give(&p->shop->pipes, lane->pipe, true);
		lane->pipe = NULL;
	}
}

static void push_queue(struct pump *p, enum pump_way way, size_t most)
{
	struct buf *queue = &p->lane[way].queue;
	size_t n = buf_len(queue) < most ? buf_len(queue) : most;
	size_t sent = send_now(p, way, buf_peek(queue), n, 0);
	if (buf_len(queue) > 0) /* it is gone when the sink is dead */
		buf_consume(queue, sent);
	if (buf_len(queue) == 0)
		buf_free(queue); /* an idle flow owns none */
}

struct pump_pass pump_may_pass(struct pump *p, enum pump_way way)
{
	const struct pump_ops *ops = p->shop->o.ops;
	size_t waiting = buf_len(&p->lane[way].queue);
	struct pump_pass pass = { .send = waiting, .end = true, .again_ns = CLK_NEVER };
	if (p->is_looked_at && ops->may_pass != NULL)
		pass = ops->may_pass(p, way, waiting);
	p->again_ns[way] = pass.again_ns;
	return pass;
}

static void tell_passed(struct pump *p, enum pump_way way, size_t n)
{
	if (p->is_looked_at && p->shop->o.ops->on_passed != NULL && n > 0)
		p->shop->o.ops->on_passed(p, way, n);
}

/* Whether there may be more to do at once. */
static bool do_pass(struct pump *p, enum pump_way way, const struct pump_pass *pass)
{
	struct pump_lane *lane = &p->lane[way];
	uint64_t before = lane->bytes_out;
	if (pass->drop > 0) {
		buf_consume(&lane->queue, pass->drop);
		lane->dropped += pass->drop;
		tell_passed(p, way, pass->drop);
	}
	if (pass->send > 0) {
		push_queue(p, way, pass->send);
		tell_passed(p, way, (size_t)(lane->bytes_out - before));
	}
	if (p->is_over || lane->blocked_at_ns != 0)
		return false;
	if (pass->cut != PUMP_NO_CUT) {
		pump_cut(p, way, pass->cut);
		return false;
	}
	return pass->drop + pass->send > 0;
}

/* Sends what waits, as far as it may pass and the sink takes it. */
void pump_push(struct pump *p, enum pump_way way)
{
	struct pump_lane *lane = &p->lane[way];
	if (lane->in_pipe > 0)
		push_pipe(p, way);
	bool is_to_the_dead = p->is_resetting && p->side != (enum pump_side)way;
	if (p->is_over || is_to_the_dead || lane->in_pipe > 0 || p->end == PUMP_CUT)
		return;
	for (int i = 0; i < PASSES_AT_ONCE; i++) {
		struct pump_pass pass = pump_may_pass(p, way);
		if (!do_pass(p, way, &pass))
			return;
	}
	p->again_ns[way] = pump_now_ns(p); /* the others first */
}

/* --- in: from a source to its lane ------------------------------------------------------------------------------- */

static void take_end(struct pump *p, enum pump_way way)
{
	if (!p->has_fin)
		p->first_fin = (enum pump_side)way;
	p->has_fin = true;
	p->lane[way].is_eof = true;
	if (p->is_looked_at && p->shop->o.ops->on_bytes != NULL)
		p->shop->o.ops->on_bytes(p, way, NULL, 0);
}

/* is_last: the end follows at once, and goes out in the same segment (MSG_MORE, send(2)): one packet less, and the sink wakes
 * up once instead of twice. */
static void take_bytes(struct pump *p, enum pump_way way, unsigned char *bytes, size_t n, bool is_last)
{
	struct pump_lane *lane = &p->lane[way];
	size_t sent = 0;
	note_in(p, lane, n);
	if (p->is_looked_at && p->shop->o.ops->on_bytes != NULL)
		p->shop->o.ops->on_bytes(p, way, bytes, n);
	bool is_free = pump_waiting(lane) == 0 && lane->blocked_at_ns == 0;
	if (is_free && !p->is_looked_at) /* WHY: nearly always all of it goes, and the queue is never needed */
		sent = send_now(p, way, bytes, n, is_last ? MSG_MORE : 0);
	if (p->is_over || (p->is_resetting && p->side != (enum pump_side)way)) { /* the sink is dead */
		lane->dropped += n - sent;
		return;
	}
	if (sent < n) {
		buf_append(&lane->queue, bytes + sent, n - sent);
		note_peak(lane);
	}
	if (p->is_looked_at && lane->blocked_at_ns == 0)
		pump_push(p, way);
}

static void note_piece(struct pump_lane *lane, size_t n)
{
	if (n < SMALL)
		lane->heat = 0;
	else if (n >= LARGE && lane->heat < HOT)
		lane->heat++;
}

/* What a source had: bytes in the scratch, and what stands behind them, if that is known already. */
struct piece {
	size_t n;
	bool is_end;
	int err;
};

/* Reads once, at most `most` bytes; up to the end when that has been announced (WATCH_LAST). */
static struct piece receive(struct pump *p, enum pump_way way, size_t most, bool is_end_near)
{
	struct piece piece = { 0 };
	ssize_t n;
	do {
		n = recv(source_fd(p, way), p->shop->scratch + piece.n, most - piece.n, 0);
		piece.n += n > 0 ? (size_t)n : 0;
	} while (n > 0 && is_end_near && piece.n < most);
	piece.is_end = n == 0;
	piece.err = n < 0 && errno != EAGAIN && errno != EINTR ? errno : 0;
	if (diag_trace)
		tracef("recv(%d) = %zu%s", source_fd(p, way), piece.n,
		       piece.is_end     ? ", and the end"
		       : piece.err != 0 ? errno_name(piece.err)
					: "");
	return piece;
}

/* Through memory. Whether any bytes came. */
bool pump_pull_copy(struct pump *p, enum pump_way way, bool is_end_near)
{
	struct pump_lane *lane = &p->lane[way];
	size_t room = p->shop->o.high - pump_waiting(lane);
	struct piece piece = receive(p, way, room < PUMP_PIECE ? room : PUMP_PIECE, is_end_near);
	if (piece.n > 0) {
		note_piece(lane, piece.n);
		take_bytes(p, way, p->shop->scratch, piece.n, piece.is_end);
	}
	if (piece.is_end)
		take_end(p, way);
	else if (piece.err != 0)
		pump_fail_side(p, (enum pump_side)way, piece.err);
	return piece.n > 0;
}

/* WHY only into an empty lane: when splice says EAGAIN nobody can tell whether the socket is empty or the pipe is full. */
static bool may_splice(const struct pump *p, const struct pump_lane *lane)
{
	enum pump_path path = p->shop->o.path;
	if (p->is_looked_at || path == PUMP_PATH_COPY || lane->blocked_at_ns != 0 || pump_waiting(lane) > 0)
		return false;
	return path == PUMP_PATH_SPLICE || lane->heat == HOT;
}

static void pull_pipe(struct pump *p, enum pump_way way)
{
	struct pump_lane *lane = &p->lane[way];
	lane->pipe = pipepool_take(&p->shop->pipes);
	if (lane->pipe == NULL) {
		pump_pull_copy(p, way, false);
		return;
	}
	ssize_t n = splice(source_fd(p, way), NULL, lane->pipe->write_fd, NULL, p->shop->pipe_len,
			   SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
	int err = n < 0 ? errno : 0;
	if (diag_trace)
		tracef("splice(%d to pipe) = %zd", source_fd(p, way), n);
	if (n > 0) {
		lane->in_pipe = (size_t)n;
		note_piece(lane, (size_t)n);
		note_in(p, lane, (size_t)n);
		push_pipe(p, way);
		note_peak(lane);
		return;
	}
	pipepool_give(&p->shop->pipes, lane->pipe, true);
	lane->pipe = NULL;
	/* WHY not believe EAGAIN and 0: before an urgent mark (tcp(7)) splice says EAGAIN for ever, and 0 after a FIN although
	 * bytes are left behind the mark. recv steps over it, and its 0 is an end. An error it tells once: then it is ours. */
	if (err == 0 || err == EAGAIN || err == EINTR)
		pump_pull_copy(p, way, false);
	else
		pump_fail_side(p, (enum pump_side)way, err);
}

/* After a cut. */
static void pull_drop(struct pump *p, enum pump_way way)
{
	ssize_t n = io_drop(source_fd(p, way));
	if (n > 0) {
		p->lane[way].bytes_in += (size_t)n;
		p->lane[way].dropped += (size_t)n;
	} else if (n == 0) {
		p->lane[way].is_eof = true;
	} else if (errno != EAGAIN && errno != EINTR) {
		pump_fail_side(p, (enum pump_side)way, errno);
	}
}

void pump_pull(struct pump *p, enum pump_way way, bool is_end_near)
{
	if (p->end == PUMP_CUT) /* in order: who is reset is not read from */
		pull_drop(p, way);
	else if (may_splice(p, &p->lane[way]))
		pull_pipe(p, way);
	else
		pump_pull_copy(p, way, is_end_near);
}

void pump_enqueue(struct pump *p, enum pump_way way, const void *bytes, size_t n)
{
	struct pump_lane *lane = &p->lane[way];
	note_in(p, lane, n);
	buf_append(&lane->queue, bytes, n);
	note_peak(lane);
	pump_push(p, way);
}
