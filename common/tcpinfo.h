/* tcpinfo.h - what the kernel knows of a TCP connection: TCP_INFO and the send queue, in our units. Layer 2.
 *
 * WHY an own copy of the kernel's struct (in tcpinfo.c): glibc's ends before the fields that matter, and linux/tcp.h cannot
 * be included together with netinet/tcp.h. Newer kernels append fields and older ones return fewer bytes; what the
 * kernel did not return reads as zero. */
#ifndef TCPLAB_TCPINFO_H
#define TCPLAB_TCPINFO_H

#include "cdefs.h"

#include <stddef.h>
#include <stdint.h>

struct tcpinfo {
	uint64_t rtt_ns; /* smoothed (RFC 6298), with the variation beside it */
	uint64_t rtt_var_ns;
	uint64_t min_rtt_ns;     /* the least seen in the kernel's window */
	uint64_t mss;            /* bytes a segment may carry */
	uint64_t cwnd;           /* congestion window, segments */
	uint64_t unacked;        /* segments in flight */
	uint64_t retransmits;    /* segments sent again, in all */
	uint64_t data_segments;  /* segments with data that left, those sent again included; 0 on kernels before 4.6 */
	uint64_t not_sent;       /* bytes in the send queue that have never left */
	uint64_t send_window;    /* bytes the peer's receive window allows; 0 on kernels before 6.2 */
	uint64_t receive_window; /* bytes our own receive window allows; 0 on kernels before 6.2 */
	uint64_t receive_rtt_ns; /* round trip as the receiver estimates it */
	uint64_t pacing_Bps; /* computed for every congestion control, but only bbr and SO_MAX_PACING_RATE act on it */
	uint64_t delivery_Bps; /* the latest delivery rate sample */
	uint64_t bytes_acked;  /* ours that the peer's kernel has; Linux counts the SYN of the connecting end as one */
	uint64_t bytes_received;    /* the peer's that our kernel has */
	uint64_t busy_ns;           /* time with data to send or in flight ... */
	uint64_t rwnd_limited_ns;   /* ... of it: held up by the receive window */
	uint64_t sndbuf_limited_ns; /* ... of it: held up by the send buffer */
	uint64_t bytes_sent;        /* ours that left, those sent again included; 0 on kernels before 4.19 */
	uint64_t bytes_resent;      /* ... of it: sent again; 0 on kernels before 4.19 */
	uint64_t lost,
		sacked;      /* segments in flight that are taken for lost; that the peer has out of order (RFC 2018) */
	uint64_t reordering; /* segments that may overtake each other before one counts as lost */
	uint64_t
		ssthresh; /* segments: slow start below, congestion avoidance above; TCPINFO_NO_SSTHRESH: no loss yet */
	uint64_t rto_ns;  /* retransmission timeout (RFC 6298), backoff included */
	uint64_t timeouts, probes; /* retransmissions, zero-window or keepalive probes in a row without an answer */
	uint64_t send_queue;       /* bytes not yet acknowledged (SIOCOUTQ, tcp(7)); a FIN counts as one */
};

enum { TCPINFO_CONGESTION = 16, TCPINFO_NO_SSTHRESH = 0x7fffffff };

/* What a struct tcp_info of the kernel says, of which it returned `len` bytes: for whoever got it otherwise (sockdiag.h).
 * send_queue is not in it and becomes 0. Memory only. */
void tcpinfo_decode(struct tcpinfo *out, const void *kernel_info, size_t len);

/* 0, or -1 with errno (ENOTSUP where there is no TCP_INFO) and an all-zero *out. fd is borrowed; any thread may call. */
MUST_USE int tcpinfo_get(int fd, struct tcpinfo *out);

/* The congestion control in use, "bbr"; "" when the system cannot tell. */
const char *tcpinfo_congestion(int fd, char out[static TCPINFO_CONGESTION]);

#endif
