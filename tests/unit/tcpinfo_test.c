/* tcpinfo_test.c - the kernel's figures against what we know has happened on a loopback connection. What the kernel
 * counts only after an ack came, or in steps of a few ms, is asked for until it is there or a generous time is over. */
#include "tcpinfo.h"

#include "check.h"
#include "clock.h"
#include "io.h"
#include "sock.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { SENT = 100000 };

static const struct io_until for_ever = { .deadline_ns = CLK_NEVER };
static char bytes[SENT];
static int client, accepted;

static void open_pair(const struct sock_options *o)
{
	struct addr bound;
	struct net_error e;
	int server = sock_serve("127.0.0.1", 0, AF_UNSPEC, o, &bound, &e);
	client = sock_connect(&bound, 1, NULL, o, &for_ever, &e);
	accepted = accept(server, NULL, NULL);
	close(server);
	if (!CHECK(client >= 0 && accepted >= 0))
		abort();
}

static void close_pair(void)
{
	close(client);
	close(accepted);
}

static struct tcpinfo info_of(int fd)
{
	struct tcpinfo i;
	memset(&i, 0x55, sizeof(i));
	CHECK_INT(tcpinfo_get(fd, &i), 0);
	return i;
}

/* Asks until holds() or ten seconds are over. */
static struct tcpinfo wait_for(int fd, bool (*holds)(const struct tcpinfo *))
{
	uint64_t give_up_ns = clk_mono_ns() + UINT64_C(10) * NS_PER_S;
	struct tcpinfo i = info_of(fd);
	while (!holds(&i) && clk_mono_ns() < give_up_ns) {
		sched_yield();
		i = info_of(fd);
	}
	CHECK(holds(&i));
	return i;
}

static bool all_acked(const struct tcpinfo *i)
{
	return i->send_queue == 0;
}

/* PITFALL: at the end that connected, the kernel counts the SYN as one acknowledged byte. */
static void check_moved(const struct tcpinfo *sender, const struct tcpinfo *receiver, uint64_t want)
{
	CHECK(sender->bytes_acked >= want && sender->bytes_acked <= want + 1);
	CHECK_INT(receiver->bytes_received, want);
	CHECK_INT(sender->not_sent, 0);
	CHECK_INT(sender->unacked, 0);
	CHECK(sender->retransmits < 100); /* nothing is lost on loopback, but on a busy host a timer may be early */
	CHECK(sender->delivery_Bps > 0);
}

static void test_counts(void)
{
	open_pair(&(struct sock_options){ 0 });
	CHECK_INT(info_of(accepted).bytes_received, 0);
	CHECK_INT(io_write_full(client, bytes, SENT, &for_ever), 0);
	CHECK_INT(io_read_full(accepted, bytes, SENT, &for_ever), 1);
	struct tcpinfo here = wait_for(client, all_acked), there = info_of(accepted);
	check_moved(&here, &there, SENT);

	CHECK_INT(io_write_full(accepted, bytes, SENT / 2, &for_ever), 0);
	CHECK_INT(io_read_full(client, bytes, SENT / 2, &for_ever), 1);
	there = wait_for(accepted, all_acked);
	here = info_of(client);
	check_moved(&there, &here, SENT / 2);
	CHECK_INT(there.bytes_received, SENT);
	close_pair();
}

/* An RTT on loopback lies between a nanosecond and some seconds: microseconds taken for ns or ms would not. */
static void test_times_and_windows(void)
{
	open_pair(&(struct sock_options){ 0 });
	CHECK_INT(io_write_full(client, bytes, SENT, &for_ever), 0);
	CHECK_INT(io_read_full(accepted, bytes, SENT, &for_ever), 1);
	struct tcpinfo i = wait_for(client, all_acked);
	CHECK(i.rtt_ns >= 1000 && i.rtt_ns < UINT64_C(5) * NS_PER_S);
	CHECK(i.min_rtt_ns >= 1000 && i.min_rtt_ns < UINT64_C(5) * NS_PER_S);
	CHECK_INT(i.rtt_ns % 1000 + i.min_rtt_ns % 1000 + i.rtt_var_ns % 1000, 0);
	CHECK(i.mss >= 500 && i.mss <= 65535);
	CHECK(i.cwnd >= 1 && i.cwnd < 1000000);
	CHECK(i.send_window == 0 || (i.send_window >= 1000 && i.send_window < UINT64_C(1) << 30));
	CHECK(i.receive_window == 0 || (i.receive_window >= 1000 && i.receive_window < UINT64_C(1) << 30));
	CHECK(i.pacing_Bps > 0 && i.pacing_Bps < UINT64_MAX);
	close_pair();
}

/* Values that we chose ourselves, at the offsets where we read them. */
static void test_values_of_ours(void)
{
	open_pair(&(struct sock_options){ .mss = 800, .pacing_Bps = 1000000, .congestion = "reno" });
	CHECK_INT(io_write_full(client, bytes, 2000, &for_ever), 0);
	CHECK_INT(io_read_full(accepted, bytes, 2000, &for_ever), 1);
	struct tcpinfo i = wait_for(client, all_acked);
	CHECK(i.mss <= 800 && i.mss > 700); /* the timestamp option takes twelve of them */
	CHECK_INT(i.data_segments, 3 + i.retransmits);
	CHECK_INT(info_of(accepted).data_segments, 0);
	CHECK(i.pacing_Bps > 0 && i.pacing_Bps <= 1000000);
	char name[TCPINFO_CONGESTION];
	CHECK_STR(tcpinfo_congestion(client, name), "reno");
	close_pair();
}

/* --- a full pipe ------------------------------------------------------------------------------------------------- */

static uint64_t written;

static uint64_t readable(int fd)
{
	int n = 0;
	CHECK_INT(ioctl(fd, FIONREAD, &n), 0);
	return (uint64_t)n;
}

/* Everything written lies in one of the two queues, and the peer's is full. */
static bool has_settled(const struct tcpinfo *i)
{
	return i->send_queue + readable(accepted) == written && i->unacked == 0;
}

static bool was_rwnd_limited(const struct tcpinfo *i)
{
	return i->rwnd_limited_ns > 0;
}

static bool has_fin_queued(const struct tcpinfo *i)
{
	return i->send_queue + readable(accepted) == written + 1;
}

static void test_full_pipe(void)
{
	open_pair(&(struct sock_options){ .send_buffer = 100000, .receive_buffer = 10000 });
	fcntl(client, F_SETFL, O_NONBLOCK);
	written = 0;
	struct pollfd room = { .fd = client, .events = POLLOUT };
	/* The peer never reads: we are done when there has been no room for a while. */
	for (ssize_t n = 0; n >= 0 || poll(&room, 1, 100) == 1;) {
		n = write(client, bytes, 5000);
		written += n > 0 ? (uint64_t)n : 0;
	}
	struct tcpinfo i = wait_for(client, has_settled);
	CHECK(i.send_queue > 0 && i.not_sent > 0);
	CHECK(i.not_sent <= i.send_queue);
	CHECK_INT(info_of(accepted).bytes_received, readable(accepted));
	i = wait_for(client, was_rwnd_limited);
	CHECK(i.busy_ns >= i.rwnd_limited_ns && i.busy_ns < UINT64_C(60) * NS_PER_S);
	shutdown(client, SHUT_WR);
	wait_for(client, has_fin_queued);
	close_pair();
}

/* --- without a connection ---------------------------------------------------------------------------------------- */

static void check_error(int fd, int error, int other)
{
	static const struct tcpinfo zeros;
	struct tcpinfo i;
	char name[TCPINFO_CONGESTION];
	memset(&i, 0x55, sizeof(i));
	memset(name, 0x55, sizeof(name));
	CHECK_INT(tcpinfo_get(fd, &i), -1);
	CHECK(errno == error || errno == other);
	CHECK_INT(memcmp(&i, &zeros, sizeof(i)), 0);
	CHECK_STR(tcpinfo_congestion(fd, name), "");
}

static void test_no_tcp(void)
{
	int pipe_fds[2], udp = socket(AF_INET, SOCK_DGRAM, 0), local = socket(AF_UNIX, SOCK_STREAM, 0);
	CHECK_INT(pipe(pipe_fds), 0);
	check_error(-1, EBADF, EBADF);
	check_error(pipe_fds[0], ENOTSOCK, ENOTSOCK);
	check_error(udp, ENOPROTOOPT, EOPNOTSUPP);
	check_error(local, ENOPROTOOPT, EOPNOTSUPP);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
	close(udp);
	close(local);
}

/* A socket that has not moved anything: no rtt out of nothing (the kernel's "none yet" is all ones), and not paced. */
static void test_fresh_socket(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	struct tcpinfo i = info_of(fd);
	CHECK_INT(i.rtt_ns, 0);
	CHECK_INT(i.min_rtt_ns, 0);
	CHECK_INT(i.bytes_acked + i.bytes_received + i.send_queue + i.retransmits, 0);
	CHECK(i.pacing_Bps == UINT64_MAX);
	close(fd);
}

/* What an older kernel returned ends anywhere; what a newer one appended is not looked at. */
static void test_decode(void)
{
	enum { RTO = 8, LOST = 32, RTT = 68, SSTHRESH = 76, BYTES_SENT = 200, LONGER = 400 };
	unsigned char whole[LONGER];
	const uint32_t four = 4;
	const uint64_t eight = 8;
	memset(whole, 0xff, sizeof(whole));
	memcpy(whole + RTO, &four, sizeof(four));
	memcpy(whole + LOST, &four, sizeof(four));
	memcpy(whole + RTT, &four, sizeof(four));
	memcpy(whole + SSTHRESH, &four, sizeof(four));
	memcpy(whole + BYTES_SENT, &eight, sizeof(eight));
	for (size_t len = 0; len <= sizeof(whole); len += 4) {
		unsigned char *exact = malloc(len + !len);
		struct tcpinfo i;
		memset(&i, 0x55, sizeof(i));
		memcpy(exact, whole, len);
		tcpinfo_decode(&i, exact, len);
		CHECK_INT(i.rto_ns, len >= RTO + 4 ? 4000 : 0);
		CHECK_INT(i.lost, len >= LOST + 4 ? 4 : 0);
		CHECK_INT(i.rtt_ns, len >= RTT + 4 ? 4000 : 0);
		CHECK_INT(i.ssthresh, len >= SSTHRESH + 4 ? 4 : 0);
		CHECK_INT(i.bytes_sent, len < BYTES_SENT + 4 ? 0 : 8);
		CHECK_INT(i.send_queue, 0);
		free(exact);
	}
}

int main(void)
{
	test_decode();
	test_counts();
	test_times_and_windows();
	test_values_of_ours();
	test_full_pipe();
	test_no_tcp();
	test_fresh_socket();
	return check_done();
}
