#include "tcpinfo.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <linux/sockios.h>

/* The kernel's struct tcp_info (include/uapi/linux/tcp.h of Linux 6.7), field by field. Its layout is ABI: fields are
 * only ever appended. The assertions below pin the offsets that we rely on. */
struct kernel_tcp_info {
	uint8_t state, ca_state, retransmits, probes, backoff, options, wscale, flags;
	uint32_t rto, ato, snd_mss, rcv_mss;
	uint32_t unacked, sacked, lost, retrans, fackets;
	uint32_t last_data_sent, last_ack_sent, last_data_recv, last_ack_recv;
	uint32_t pmtu, rcv_ssthresh, rtt, rttvar, snd_ssthresh, snd_cwnd, advmss, reordering;
	uint32_t rcv_rtt, rcv_space, total_retrans;
	uint64_t pacing_rate, max_pacing_rate, bytes_acked, bytes_received;
	uint32_t segs_out, segs_in, notsent_bytes, min_rtt, data_segs_in, data_segs_out;
	uint64_t delivery_rate, busy_time, rwnd_limited, sndbuf_limited;
	uint32_t delivered, delivered_ce;
	uint64_t bytes_sent, bytes_retrans;
	uint32_t dsack_dups, reord_seen, rcv_ooopack, snd_wnd, rcv_wnd, rehash;
};
_Static_assert(offsetof(struct kernel_tcp_info, rto) == 8, "struct tcp_info");
_Static_assert(offsetof(struct kernel_tcp_info, lost) == 32, "struct tcp_info");
_Static_assert(offsetof(struct kernel_tcp_info, rtt) == 68, "struct tcp_info");
_Static_assert(offsetof(struct kernel_tcp_info, total_retrans) == 100, "struct tcp_info");
_Static_assert(offsetof(struct kernel_tcp_info, pacing_rate) == 104, "struct tcp_info");
_Static_assert(offsetof(struct kernel_tcp_info, notsent_bytes) == 144, "struct tcp_info");
_Static_assert(offsetof(struct kernel_tcp_info, data_segs_out) == 156, "struct tcp_info");
_Static_assert(offsetof(struct kernel_tcp_info, delivery_rate) == 160, "struct tcp_info");
_Static_assert(offsetof(struct kernel_tcp_info, sndbuf_limited) == 184, "struct tcp_info");
_Static_assert(offsetof(struct kernel_tcp_info, bytes_sent) == 200, "struct tcp_info");
_Static_assert(offsetof(struct kernel_tcp_info, rcv_wnd) == 232, "struct tcp_info");

static uint64_t ns_of_us(uint64_t us)
{
	return us * 1000;
}

void tcpinfo_decode(struct tcpinfo *out, const void *kernel_info, size_t len)
{
	struct kernel_tcp_info k;
	memset(&k, 0, sizeof(k));
	memcpy(&k, kernel_info, len < sizeof(k) ? len : sizeof(k));
	*out = (struct tcpinfo){
		.rtt_ns = ns_of_us(k.rtt),
		.rtt_var_ns = ns_of_us(k.rttvar),
		.min_rtt_ns = k.min_rtt == UINT32_MAX ? 0 : ns_of_us(k.min_rtt),
		.mss = k.snd_mss,
		.cwnd = k.snd_cwnd,
		.unacked = k.unacked,
		.retransmits = k.total_retrans,
		.data_segments = k.data_segs_out,
		.not_sent = k.notsent_bytes,
		.send_window = k.snd_wnd,
		.receive_window = k.rcv_wnd,
		.receive_rtt_ns = ns_of_us(k.rcv_rtt),
		.pacing_Bps = k.pacing_rate,
		.delivery_Bps = k.delivery_rate,
		.bytes_acked = k.bytes_acked,
		.bytes_received = k.bytes_received,
		.busy_ns = ns_of_us(k.busy_time),
		.rwnd_limited_ns = ns_of_us(k.rwnd_limited),
		.sndbuf_limited_ns = ns_of_us(k.sndbuf_limited),
		.bytes_sent = k.bytes_sent,
		.bytes_resent = k.bytes_retrans,
		.lost = k.lost,
		.sacked = k.sacked,
		.reordering = k.reordering,
		.ssthresh = k.snd_ssthresh,
		.rto_ns = ns_of_us(k.rto),
		.timeouts = k.retransmits,
		.probes = k.probes,
	};
}

int tcpinfo_get(int fd, struct tcpinfo *out)
{
	struct kernel_tcp_info k;
	*out = (struct tcpinfo){ 0 };
	socklen_t len = sizeof(k);
	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &k, &len) < 0)
		return -1;
	tcpinfo_decode(out, &k, len);
	int queued = 0;
	if (ioctl(fd, SIOCOUTQ, &queued) == 0 && queued > 0)
		out->send_queue = (uint64_t)queued;
	return 0;
}

const char *tcpinfo_congestion(int fd, char out[static TCPINFO_CONGESTION])
{
	socklen_t len = TCPINFO_CONGESTION - 1;
	memset(out, 0, TCPINFO_CONGESTION);
	if (getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, out, &len) < 0)
		out[0] = '\0';
	return out;
}
