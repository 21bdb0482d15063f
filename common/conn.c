#include "conn.h"

#include "diag.h"
#include "io.h"
#include "mem.h"
#include "sock.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { INPUT_OPEN, INPUT_EOF };
enum { OUTPUT_OPEN, OUTPUT_DRAINING, OUTPUT_SHUT };

static bool on_event(struct watch *w, unsigned events);

static void touch(struct conn *c)
{
	if (c->extra != NULL)
		c->extra->active_ns = reactor_now_ns(c->watch.r);
}

static struct conn_extra *extra_of(struct conn *c)
{
	if (c->extra == NULL) {
		c->extra = xcalloc(1, sizeof(*c->extra));
		*c->extra = (struct conn_extra){ .conn = c, .low = CONN_LOW, .high = CONN_HIGH };
		touch(c);
	}
	return c->extra;
}

static uint32_t low_mark(const struct conn *c)
{
	return c->extra != NULL ? c->extra->low : CONN_LOW;
}

static uint32_t high_mark(const struct conn *c)
{
	return c->extra != NULL ? c->extra->high : CONN_HIGH;
}

/* --- the end ----------------------------------------------------------------------------------------------------- */

static void deliver_kept(struct conn *c);

static void on_turn(struct deferred *d)
{
	struct conn *c = CONTAINER_OF(d, struct conn, turn);
	if (!c->is_ending) {
		deliver_kept(c);
		return;
	}
	if (c->is_aborted)
		sock_abort(c->watch.fd);
	else
		close(c->watch.fd);
	c->watch.fd = -1;
	buf_free(&c->in);
	buf_free(&c->out);
	free(c->extra);
	c->extra = NULL;
	c->ops->on_closed(c, c->err);
}

static void end(struct conn *c, int err)
{
	if (c->is_ending)
		return;
	c->is_ending = true;
	c->err = err;
	watch_stop(&c->watch);
	if (c->extra != NULL)
		reactor_timer_stop(c->watch.r, &c->extra->idle);
	reactor_defer(c->watch.r, &c->turn, on_turn);
}

static void end_if_both_are_over(struct conn *c)
{
	if (c->input == INPUT_EOF && c->output == OUTPUT_SHUT)
		end(c, 0);
}

void conn_close(struct conn *c, int err)
{
	end(c, err);
}

void conn_abort(struct conn *c, int err)
{
	c->is_aborted |= !c->is_ending;
	end(c, err);
}

/* --- what to wait for -------------------------------------------------------------------------------------------- */

static void update_want(struct conn *c)
{
	if (c->is_ending)
		return;
	unsigned want = 0;
	if (c->input == INPUT_OPEN && !c->is_paused)
		want |= WATCH_READ;
	if (buf_len(&c->out) > 0 || c->wants_low)
		want |= WATCH_WRITE;
	if (watch_is_started(&c->watch))
		watch_want(&c->watch, want);
	else if (want != 0 && watch_start(&c->watch, c->watch.r, c->watch.fd, want, on_event) < 0)
		end(c, errno);
}

int conn_start(struct conn *c, struct reactor *r, int fd, const struct conn_ops *ops)
{
	*c = (struct conn){ .ops = ops };
	if (watch_start(&c->watch, r, fd, WATCH_READ, on_event) < 0) {
		int saved = errno;
		close(fd);
		errno = saved;
		return -1;
	}
	return 0;
}

void conn_pause(struct conn *c)
{
	c->is_paused = true;
	update_want(c);
}

void conn_resume(struct conn *c)
{
	if (!c->is_paused)
		return;
	c->is_paused = false;
	if (!c->is_ending) /* also inside on_data, before we know what it leaves over */
		reactor_defer(c->watch.r, &c->turn, on_turn);
	update_want(c);
}

void conn_set_marks(struct conn *c, uint32_t low, uint32_t high)
{
	assert(low < high);
	if (c->is_ending)
		return;
	extra_of(c)->low = low;
	extra_of(c)->high = high;
}

static void on_idle(struct timer *t)
{
	struct conn_extra *extra = CONTAINER_OF(t, struct conn_extra, idle);
	struct reactor *r = extra->conn->watch.r;
	uint64_t due_ns = extra->active_ns + extra->idle_ns;
	if (reactor_now_ns(r) >= due_ns)
		end(extra->conn, ETIMEDOUT);
	else
		reactor_timer_start(r, t, due_ns, on_idle);
}

void conn_set_idle(struct conn *c, uint64_t idle_ns)
{
	if (c->is_ending || (idle_ns == 0 && c->extra == NULL))
		return;
	struct conn_extra *extra = extra_of(c);
	extra->idle_ns = idle_ns;
	if (idle_ns == 0)
		reactor_timer_stop(c->watch.r, &extra->idle);
	else
		reactor_timer_start(c->watch.r, &extra->idle, extra->active_ns + idle_ns, on_idle);
}

/* --- output ------------------------------------------------------------------------------------------------------ */

static void shut_output(struct conn *c)
{
	if (shutdown(c->watch.fd, SHUT_WR) < 0) {
		int err = errno, cause = sock_take_error(c->watch.fd);
		end(c, cause != 0 ? cause : err); /* WHY: after a reset shutdown says ENOTCONN only */
		return;
	}
	tracef("shutdown(%d, SHUT_WR)", c->watch.fd);
	c->output = OUTPUT_SHUT;
	end_if_both_are_over(c);
}

/* Sends now what the kernel takes: how much. 0 also when it failed, and then this is the end. */
static size_t send_now(struct conn *c, const void *p, size_t n)
{
	ssize_t sent = send(c->watch.fd, p, n, MSG_NOSIGNAL);
	if (diag_trace)
		tracef("send(%d, %zu) = %zd", c->watch.fd, n, sent);
	if (sent < 0) {
		if (errno != EAGAIN && errno != EINTR)
			end(c, errno);
		return 0;
	}
	c->bytes_out += (size_t)sent;
	touch(c);
	return (size_t)sent;
}

bool conn_write(struct conn *c, const void *p, size_t n)
{
	if (c->is_ending || c->output != OUTPUT_OPEN)
		return false;
	size_t sent = buf_len(&c->out) == 0 && n > 0 ? send_now(c, p, n) : 0;
	if (sent == n || c->is_ending)
		return !c->is_ending;
	buf_append(&c->out, (const unsigned char *)p + sent, n - sent);
	bool enough = buf_len(&c->out) >= high_mark(c);
	c->wants_low |= enough;
	update_want(c);
	return !enough;
}

size_t conn_offer(struct conn *c, const void *p, size_t n)
{
	if (c->is_ending || c->output != OUTPUT_OPEN)
		return 0;
	size_t sent = buf_len(&c->out) == 0 && n > 0 ? send_now(c, p, n) : 0;
	c->wants_low = true;
	update_want(c);
	return sent;
}

void conn_finish(struct conn *c)
{
	if (c->is_ending || c->output != OUTPUT_OPEN)
		return;
	c->output = OUTPUT_DRAINING;
	c->wants_low = false;
	if (buf_len(&c->out) == 0)
		shut_output(c);
	update_want(c);
}

bool conn_is_finished(const struct conn *c)
{
	return c->output != OUTPUT_OPEN;
}

/* The socket has room again. */
static void go_on_writing(struct conn *c)
{
	if (buf_len(&c->out) > 0)
		buf_consume(&c->out, send_now(c, buf_peek(&c->out), buf_len(&c->out)));
	if (buf_len(&c->out) == 0) {
		buf_free(&c->out); /* an idle connection owns none */
		if (c->output == OUTPUT_DRAINING)
			shut_output(c);
	}
	if (c->wants_low && buf_len(&c->out) <= low_mark(c) && !c->is_ending) {
		c->wants_low = false;
		if (c->ops->on_low != NULL)
			c->ops->on_low(c);
	}
	update_want(c);
}

/* --- input ------------------------------------------------------------------------------------------------------- */

/* What on_data leaves over when it ends the connection does not matter any more. */
static size_t use(struct conn *c, const unsigned char *p, size_t n)
{
	size_t used = c->ops->on_data(c, p, n);
	assert(used <= n);
	return c->is_ending ? n : used;
}

static void use_kept(struct conn *c)
{
	deferred_cancel(&c->turn); /* what a resume has promised is done now, with all there is */
	buf_consume(&c->in, use(c, buf_peek(&c->in), buf_len(&c->in)));
	if (buf_len(&c->in) == 0)
		buf_free(&c->in);
}

/* After a pause: what on_data left over is shown again. */
static void deliver_kept(struct conn *c)
{
	if (!c->is_paused && buf_len(&c->in) > 0)
		use_kept(c);
}

static void take_eof(struct conn *c)
{
	c->input = INPUT_EOF;
	if (c->ops->on_eof != NULL)
		c->ops->on_eof(c);
	else
		conn_finish(c);
	end_if_both_are_over(c);
	update_want(c);
}

/* Counts what a read returned; false: there is nothing to hand on. */
static bool has_come(struct conn *c, ssize_t n)
{
	if (diag_trace)
		tracef("read(%d) = %zd", c->watch.fd, n);
	if (n > 0) {
		c->bytes_in += (size_t)n;
		touch(c);
	} else if (n == 0) {
		/* What a resume has promised to show comes before EOF: at the end of this round, and EOF will still be there. */
		if (c->turn.next == NULL)
			take_eof(c);
	} else if (errno != EAGAIN && errno != EINTR) {
		end(c, errno);
	}
	return n > 0;
}

/* Reads once. As long as nothing is kept, the bytes are handed on from the stack and no memory is allocated. */
static void take_input(struct conn *c)
{
	_Alignas(4096) unsigned char block[IO_CHUNK]; /* WHY aligned: see xmalloc_pages */
	if (c->ops->on_data == NULL) {
		(void)has_come(c, io_drop(c->watch.fd));
	} else if (buf_len(&c->in) > 0) {
		if (has_come(c, io_fill(&c->in, c->watch.fd)))
			use_kept(c);
	} else {
		ssize_t n = recv(c->watch.fd, block, sizeof(block), 0);
		if (!has_come(c, n))
			return;
		size_t used = use(c, block, (size_t)n);
		buf_append(&c->in, block + used, (size_t)n - used);
	}
	if (buf_len(&c->in) > CONN_KEEP_MAX)
		end(c, EMSGSIZE);
}

/* Not reading, and yet something happened: a reset, or both directions were shut down while we were paused. */
static void take_hangup(struct conn *c)
{
	int err = sock_take_error(c->watch.fd);
	if (err != 0 || c->input == INPUT_EOF)
		end(c, err != 0 ? err : ECONNRESET);
	else
		watch_stop(&c->watch); /* HUP would be reported in every round: conn_resume starts the watch again */
}

static bool on_event(struct watch *w, unsigned events)
{
	struct conn *c = CONTAINER_OF(w, struct conn, watch);
	uint64_t moved = c->bytes_in + c->bytes_out;
	uint8_t input = c->input;
	bool reads = w->want & WATCH_READ;
	if (reads && events & (WATCH_READ | WATCH_HUP | WATCH_ERR))
		take_input(c);
	else if (events & (WATCH_HUP | WATCH_ERR))
		take_hangup(c);
	if (events & WATCH_WRITE && watch_is_started(w)) /* not when that was the end */
		go_on_writing(c);
	return c->bytes_in + c->bytes_out != moved || c->input != input || !watch_is_started(w);
}
