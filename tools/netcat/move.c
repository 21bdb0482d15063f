#include "netcat.h"

#include "clock.h"
#include "diag.h"
#include "sig.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* --- who ended first, and what failed ---------------------------------------------------------------------------- */

void nc_fail(struct nc *nc, const char *op, const char *object)
{
	int saved = errno;
	pthread_mutex_lock(&nc->lock);
	if (!nc->has_failed) {
		errno = saved;
		net_fail(&nc->error, op, object);
	}
	nc->has_failed = true;
	pthread_mutex_unlock(&nc->lock);
}

static void note_end(struct nc *nc, enum nc_side side, enum nc_end peer_end)
{
	if (peer_end == NC_END_FIN)
		atomic_store(&nc->silent_from_ns, clk_mono_ns());
	pthread_mutex_lock(&nc->lock);
	if (nc->closed_first == NC_NOBODY)
		nc->closed_first = side;
	if (peer_end > nc->peer_end)
		nc->peer_end = peer_end; /* a reset after a FIN says more than the FIN did */
	pthread_mutex_unlock(&nc->lock);
}

const char *nc_peer_text(struct nc *nc, char out[static NC_PEER_TEXT])
{
	if (nc->o->socks.version != 0)
		return socks_host_text(nc->o->host, nc->o->port, out);
	pthread_mutex_lock(&nc->lock); /* of a datagram listener the peer may change at any time */
	addr_text(&nc->peer, out);
	pthread_mutex_unlock(&nc->lock);
	return out;
}

/* The connection is dead. Of a datagram socket this is said, too: nobody listens there (ECONNREFUSED, by ICMP). */
static void fail_net(struct nc *nc, const char *op)
{
	char text[NC_PEER_TEXT];
	int saved = errno;
	nc_peer_text(nc, text);
	errno = saved;
	/* WHY EPIPE: the reset was reported to an earlier call (tcp(7)). Of a unix socket it says that the peer has
	 * closed. */
	bool is_reset = errno == ECONNRESET || (errno == EPIPE && nc->is_tcp);
	nc_fail(nc, op, text);
	if (nc->is_stream)
		note_end(nc, NC_PEER, is_reset ? NC_END_RST : NC_END_NONE);
	atomic_store(&nc->net_failed, true);
	if (!nc->is_stream)
		atomic_store(&nc->is_over, true);
}

/* Has the peer's FIN come already, though nobody has read up to it? When it is over nobody can tell: our own shutdown,
 * which wakes a reader, looks the same. */
static bool is_fin_here(struct nc *nc)
{
	struct pollfd p = { .fd = nc->net, .events = POLLRDHUP };
	return !nc_is_over(nc) && poll(&p, 1, 0) > 0 && (p.revents & POLLRDHUP) != 0;
}

static bool would_wait(void)
{
	return errno == EAGAIN || errno == EINTR;
}

/* --- the four places --------------------------------------------------------------------------------------------- */

ssize_t nc_read_input(struct nc *nc, void *p, size_t n)
{
	if (!nc->is_stream && n > NC_DATAGRAM)
		n = NC_DATAGRAM;
	ssize_t r = read(nc->input, p, n);
	if (diag_trace)
		tracef("read(%d, %zu) = %zd", nc->input, n, r);
	if (r > 0 && atomic_load(&nc->silent_from_ns) != 0)
		atomic_store(&nc->silent_from_ns, clk_mono_ns());
	if (r >= 0)
		return r;
	if (would_wait())
		return -1;
	nc_fail(nc, "read", "standard input");
	return 0;
}

/* A datagram of a listener, to whoever wrote last, from the address that he wrote to. */
static ssize_t send_answer(struct nc *nc, const void *p, size_t n)
{
	struct iovec iov = { .iov_base = (void *)p, .iov_len = n };
	_Alignas(struct cmsghdr) unsigned char control[PKTINFO_LEN];
	pthread_mutex_lock(&nc->lock);
	struct addr to = nc->peer;
	struct msghdr m = { .msg_name = &to.u, .msg_namelen = to.len, .msg_iov = &iov, .msg_iovlen = 1 };
	if (nc->control_len > 0) {
		memcpy(control, nc->control, nc->control_len);
		m.msg_control = control;
		m.msg_controllen = (socklen_t)nc->control_len;
	}
	pthread_mutex_unlock(&nc->lock);
	return sendmsg(nc->net, &m, MSG_NOSIGNAL);
}

static void note_moved(struct nc *nc)
{
	if (nc->o->timeout_ns != 0 || nc->o->quit_ns != CLK_NEVER)
		atomic_store(&nc->last_ns, clk_mono_ns());
}

ssize_t nc_send(struct nc *nc, const void *p, size_t n)
{
	if (atomic_load(&nc->net_failed))
		return 0;
	ssize_t w = nc->is_stream || !nc->is_listener ? send(nc->net, p, n, MSG_NOSIGNAL) : send_answer(nc, p, n);
	if (diag_trace)
		tracef("send(%d, %zu) = %zd%s%s", nc->net, n, w, w < 0 ? " " : "", w < 0 ? errno_name(errno) : "");
	if (w < 0 && (would_wait() || errno == ENOBUFS))
		return -1;
	if (w < 0) {
		fail_net(nc, "send to");
		return 0;
	}
	if (nc->o->hexdump)
		nc_hexdump('>', atomic_load(&nc->sent), p, (size_t)w);
	note_moved(nc);
	nc->write_pace.credit -= (double)w;
	atomic_fetch_add_explicit(&nc->sent, (uint64_t)w, memory_order_relaxed);
	return w;
}

/* A datagram listener talks with whoever wrote first, with -k with everybody: then the latest one gets what is typed.
 * WHY not connect(2) to the first one: a socket on the wildcard address would then hear only what is sent to the
 * address that the routing table prefers, and not to the one that was asked. */
static ssize_t receive_from_anybody(struct nc *nc, void *p, size_t n)
{
	struct iovec iov = { .iov_base = p, .iov_len = n };
	_Alignas(struct cmsghdr) unsigned char question[PKTINFO_LEN], answer[PKTINFO_LEN];
	struct addr from = { 0 };
	struct msghdr m = { .msg_name = &from.u,
			    .msg_namelen = sizeof(from.u),
			    .msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = question,
			    .msg_controllen = sizeof(question) };
	struct msghdr back = { .msg_control = answer, .msg_controllen = sizeof(answer) };
	ssize_t r = recvmsg(nc->net, &m, 0);
	if (r < 0)
		return r;
	from.len = m.msg_namelen;
	pktinfo_answer(&m, &back);
	bool has_name = from.len > sizeof(sa_family_t); /* a unix client need not */
	if (!nc->o->keep_open && has_name && !addr_equal(&from, &nc->peer)) {
		errno = EAGAIN;
		return -1;
	}
	pthread_mutex_lock(&nc->lock);
	nc->peer = from;
	nc->control_len = back.msg_controllen;
	memcpy(nc->control, answer, nc->control_len);
	pthread_mutex_unlock(&nc->lock);
	return r;
}

ssize_t nc_receive(struct nc *nc, void *p, size_t n)
{
	ssize_t r = nc->is_listener && !nc->is_stream ? receive_from_anybody(nc, p, n) : recv(nc->net, p, n, 0);
	if (diag_trace)
		tracef("recv(%d, %zu) = %zd%s%s", nc->net, n, r, r < 0 ? " " : "", r < 0 ? errno_name(errno) : "");
	if (r < 0 && would_wait())
		return atomic_load(&nc->net_failed) ? 0 : -1;
	if (r < 0) {
		fail_net(nc, "receive from");
		return 0;
	}
	if (r == 0 && !nc->is_stream)
		return -1; /* an empty datagram is not an end */
	if (r == 0) {
		/* After a failed send, or after we shut the socket to wake its reader, this 0 is no FIN. */
		if (!atomic_load(&nc->net_failed) && !nc_is_over(nc))
			note_end(nc, NC_PEER, NC_END_FIN);
		return 0;
	}
	if (nc->o->hexdump)
		nc_hexdump('<', atomic_load(&nc->received), p, (size_t)r);
	note_moved(nc);
	nc->read_pace.credit -= (double)r;
	atomic_fetch_add_explicit(&nc->received, (uint64_t)r, memory_order_relaxed);
	return r;
}

ssize_t nc_write_output(struct nc *nc, const void *p, size_t n)
{
	ssize_t w = write(nc->output, p, n);
	if (diag_trace)
		tracef("write(%d, %zu) = %zd%s%s", nc->output, n, w, w < 0 ? " " : "", w < 0 ? errno_name(errno) : "");
	if (w > 0)
		return w;
	if (w < 0 && would_wait())
		return -1;
	nc_fail(nc, "write", "standard output");
	atomic_store(&nc->is_over, true);
	return 0;
}

/* --- the ends ---------------------------------------------------------------------------------------------------- */

static void send_fin(struct nc *nc)
{
	int rc = shutdown(nc->net, SHUT_WR);
	tracef("shutdown(%d, SHUT_WR) = %d", nc->net, rc);
	pthread_mutex_lock(&nc->lock);
	nc->is_fin_sent = rc == 0; /* ENOTCONN: a reset has come, and the next call will say so */
	pthread_mutex_unlock(&nc->lock);
}

void nc_end_input(struct nc *nc)
{
	if (nc->is_stream && !atomic_load(&nc->net_failed) && !nc_is_over(nc)) {
		bool is_second = is_fin_here(nc);
		note_end(nc, is_second ? NC_PEER : NC_LOCAL, is_second ? NC_END_FIN : NC_END_NONE);
		if (nc->o->close_mode == NC_CLOSE_HALF)
			send_fin(nc);
		else if (nc->o->close_mode != NC_CLOSE_UNREAD || nc_unread(nc) > 0 || is_fin_here(nc))
			atomic_store(&nc->is_over, true);
	}
	atomic_store(&nc->input_ended, true);
}

uint64_t nc_last_call_ns(const struct nc *nc)
{
	return atomic_load(&nc->silent_from_ns) + nc->patience_ns;
}

bool nc_has_stopped_reading(const struct nc *nc)
{
	const struct nc_options *o = nc->o;
	return (o->stop_after != 0 && atomic_load(&nc->received) >= o->stop_after) ||
	       (o->close_mode == NC_CLOSE_UNREAD && nc->is_stream);
}

short nc_stopped_events(const struct nc *nc)
{
	bool wants_unread = nc->o->close_mode == NC_CLOSE_UNREAD && atomic_load(&nc->input_ended);
	return wants_unread ? POLLIN | POLLRDHUP : POLLRDHUP;
}

bool nc_has_peer_ended(struct nc *nc)
{
	int error = 0;
	socklen_t len = sizeof(error);
	if (getsockopt(nc->net, SOL_SOCKET, SO_ERROR, &error, &len) == 0 && error != 0) {
		errno = error;
		fail_net(nc, "receive from");
		return true;
	}
	bool is_fin = is_fin_here(nc);
	if (is_fin)
		note_end(nc, NC_PEER, NC_END_FIN);
	if (nc->o->close_mode == NC_CLOSE_UNREAD && atomic_load(&nc->input_ended))
		atomic_store(&nc->is_over, true); /* something unread is here: that was waited for */
	return is_fin;
}

/* --- speed limits ------------------------------------------------------------------------------------------------ */

/* How much the bucket holds: 10 ms of the rate, so that a limited flow looks even, but at least a byte. */
static double bucket(const struct nc_pace *p)
{
	double bytes = (double)p->rate_Bps / 100;
	return bytes > 1 ? bytes : 1;
}

static size_t take(struct nc_pace *p, size_t want, bool is_stream)
{
	if (p->rate_Bps == 0)
		return want;
	uint64_t now = clk_mono_ns();
	double full = bucket(p);
	p->credit += (double)(now - p->last_ns) * (double)p->rate_Bps / 1e9;
	p->last_ns = now;
	if (p->credit > full)
		p->credit = full;
	if (p->credit < 1)
		return 0;
	return is_stream && p->credit < (double)want ? (size_t)p->credit : want; /* a datagram goes into debt */
}

size_t nc_may_send(struct nc *nc, size_t want)
{
	return take(&nc->write_pace, want, nc->is_stream);
}

size_t nc_may_receive(struct nc *nc, size_t want)
{
	uint64_t stop = nc->o->stop_after;
	if (stop != 0 && nc->is_stream && stop - atomic_load(&nc->received) < want)
		want = (size_t)(stop - atomic_load(&nc->received));
	return take(&nc->read_pace, want, nc->is_stream);
}

uint64_t nc_pace_ready_ns(const struct nc_pace *p)
{
	double missing = bucket(p) - p->credit;
	return p->rate_Bps == 0 || missing <= 0 ? 0 : p->last_ns + (uint64_t)(missing * 1e9 / (double)p->rate_Bps) + 1;
}

/* --- clocks ------------------------------------------------------------------------------------------------------ */

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static bool may_quit(const struct nc *nc)
{
	return nc->o->quit_ns != CLK_NEVER && atomic_load(&nc->input_ended);
}

/* -q: so long after the input's end, or after the last byte that came then, it is enough. */
static uint64_t quiet_ns(const struct nc *nc)
{
	uint64_t last_ns = atomic_load(&nc->last_ns);
	return (last_ns > nc->quit_from_ns ? last_ns : nc->quit_from_ns) + nc->o->quit_ns;
}

uint64_t nc_deadline_ns(const struct nc *nc)
{
	const struct nc_options *o = nc->o;
	uint64_t deadline = CLK_NEVER;
	if (o->timeout_ns != 0 && !may_quit(nc))
		deadline = earlier(deadline, atomic_load(&nc->last_ns) + o->timeout_ns);
	if (o->interval_ns != 0)
		deadline = earlier(deadline, nc->shown_ns + o->interval_ns);
	if (may_quit(nc)) /* not yet noticed by nc_look: at once */
		deadline = earlier(deadline, nc->quit_from_ns == 0 ? 0 : quiet_ns(nc));
	return deadline;
}

uint64_t nc_wake_ns(const struct nc *nc, bool up_is_held, bool down_is_held)
{
	uint64_t wake = nc_deadline_ns(nc);
	if (up_is_held)
		wake = earlier(wake, nc_pace_ready_ns(&nc->write_pace));
	if (down_is_held)
		wake = earlier(wake, nc_pace_ready_ns(&nc->read_pace));
	return wake;
}

bool nc_look(struct nc *nc)
{
	const struct nc_options *o = nc->o;
	if (sig_pending(NULL) != 0)
		atomic_store(&nc->is_over, true);
	if (o->timeout_ns == 0 && o->interval_ns == 0 && o->quit_ns == CLK_NEVER)
		return nc_is_over(nc);
	uint64_t now = clk_mono_ns();
	if (o->interval_ns != 0 && now >= nc->shown_ns + o->interval_ns)
		nc_report_interval(nc, now);
	if (may_quit(nc)) {
		if (nc->quit_from_ns == 0)
			nc->quit_from_ns = now;
		if (now >= quiet_ns(nc))
			atomic_store(&nc->is_over, true);
	} else if (o->timeout_ns != 0 && now >= atomic_load(&nc->last_ns) + o->timeout_ns) {
		char text[NC_PEER_TEXT];
		nc_peer_text(nc, text);
		errno = ETIMEDOUT;
		nc_fail(nc, "nothing moves to or from", text);
		atomic_store(&nc->is_over, true);
	}
	return nc_is_over(nc);
}

/* --- the kernel's queues ----------------------------------------------------------------------------------------- */

uint64_t nc_unread(const struct nc *nc)
{
	int n = 0;
	return nc->is_stream && ioctl(nc->net, FIONREAD, &n) == 0 && n > 0 ? (uint64_t)n : 0;
}

uint64_t nc_unacked(const struct nc *nc)
{
	int n = 0;
	/* A unix socket counts memory here, not bytes. */
	if (!nc->is_tcp || ioctl(nc->net, TIOCOUTQ, &n) < 0 || n <= 0)
		return 0;
	/* Our FIN counts as one byte, and is confirmed last (RFC 9293 3.4). */
	return nc->is_fin_sent ? (uint64_t)n - 1 : (uint64_t)n;
}
