/* flow.c - the heart of ttcp: one direction of one connection, moved by blocking calls in the calling thread.
 *
 *     flow_send     image -> send -> (acks) -> ... -> END, my tally, FIN -> the receiver's tally         send.c
 *     flow_receive  recv -> walk over blocks -> (acks) -> ... -> the sender's tally -> my tally, FIN     receive.c
 *
 * Both are plain loops. A stop is looked at between blocks only, so that the format is never broken in the middle; a
 * peer that does not move for timeout_ns, or the abandon flag, ends a blocked call (io.h). Nothing here prints. This
 * file has what both directions do: the account, errors, patience, and the tallies that change hands at the end. */
#include "flow.h"

#include "clock.h"
#include "diag.h"
#include "wire.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

struct tcpinfo flow_info(int fd)
{
	struct tcpinfo info;
	if (tcpinfo_get(fd, &info) < 0)
		tracef("getsockopt(%d, TCP_INFO) = -1 (%s)", fd, errno_name(errno));
	return info;
}

struct flow_mark flow_mark(const struct flow *f, const struct flow_counters *c, uint64_t now_ns)
{
	return (struct flow_mark){
		.at_ns = now_ns,
		.bytes = c->bytes,
		.blocks = c->blocks,
		.calls = c->calls,
		.short_calls = c->short_calls,
		.ack_wait_ns = c->ack_wait_ns,
		.source_wait_ns = c->source_wait_ns,
		.cpu = os_thread_cpu(),
		.info = flow_info(f->fd),
	};
}

void flow_set_tally(struct flow *f, const struct flow_mark *from, const struct flow_mark *to)
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
	tcpinfo_congestion(f->fd, f->mine.congestion);
}

void flow_publish(struct flow *f, const struct flow_counters *c)
{
	atomic_store_explicit(&f->moved, c->bytes, memory_order_relaxed);
	atomic_store_explicit(&f->calls_now, c->calls, memory_order_relaxed);
}

int flow_fail(struct flow *f, const char *op)
{
	if (f->error == 0) {
		f->error = errno;
		f->failed_op = op;
	}
	return -1;
}

int flow_fail_as(struct flow *f, int error, const char *op)
{
	errno = error;
	return flow_fail(f, op);
}

int flow_set_tcp(struct flow *f, int option, int value, const char *op)
{
	return setsockopt(f->fd, IPPROTO_TCP, option, &value, sizeof(value)) < 0 ? flow_fail(f, op) : 0;
}

bool flow_is_told(const atomic_bool *flag)
{
	return atomic_load_explicit(flag, memory_order_relaxed);
}

/* A blocked call may last until the peer has been silent for the flow's timeout. */
struct io_until flow_patience(const struct flow *f, uint64_t now_ns)
{
	uint64_t deadline_ns = f->timeout_ns == CLK_NEVER ? CLK_NEVER : now_ns + f->timeout_ns;
	return (struct io_until){ .deadline_ns = deadline_ns, .cancel = f->abandon };
}

void flow_begin(struct flow *f)
{
	f->mine.bad_offset = TALLY_ALL_GOOD;
	clockid_t clock;
	if (pthread_getcpuclockid(pthread_self(), &clock) == 0) {
		atomic_store(&f->cpu_clock, clock);
		atomic_store(&f->running, true);
	}
	if (io_tick(f->fd) < 0)
		flow_fail(f, "set timeout");
}

void flow_end(struct flow *f)
{
	atomic_store(&f->running, false); /* before the thread, and with it its clock, is gone */
	atomic_store(&f->finished, true);
}

/* END, my tally, FIN: the last bytes of either end. */
int flow_write_tally(struct flow *f)
{
	unsigned char bytes[HEADER_LEN + TALLY_LEN];
	be32_put(bytes, WIRE_END);
	wire_put_tally(bytes + HEADER_LEN, &f->mine);
	struct io_until until = flow_patience(f, clk_mono_ns());
	if (io_write_full(f->fd, bytes, sizeof(bytes), &until) < 0)
		return flow_fail(f, "send tally");
	return shutdown(f->fd, SHUT_WR) < 0 ? flow_fail(f, "shut down") : 0;
}

/* The peer's tally, of which the first `have` bytes are in `bytes` already. */
int flow_read_tally(struct flow *f, unsigned char bytes[static TALLY_LEN], size_t have)
{
	struct io_until until = flow_patience(f, clk_mono_ns());
	int got = have < TALLY_LEN ? io_read_full(f->fd, bytes + have, TALLY_LEN - have, &until) : 1;
	if (got <= 0)
		return got == 0 ? flow_fail_as(f, ECONNRESET, "receive tally") : flow_fail(f, "receive tally");
	wire_get_tally(bytes, &f->theirs);
	f->have_theirs = true;
	return 0;
}
