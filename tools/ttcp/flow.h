/* flow.h - what the two directions of a flow share; for flow.c, send.c and receive.c only. */
#ifndef TCPLAB_TTCP_FLOW_H
#define TCPLAB_TTCP_FLOW_H

#include "ttcp.h"

#include "clock.h"

/* WHY: the kernel copies each byte from our buffer into a packet, and from the packet into the receiver's buffer. Such
 * a copy is fastest when both lie alike within a page, at least within a cache line. So the buffers begin with a page,
 * a streaming sender writes whole lines, and a receiver reads to that place in a page which the byte has in its stream.
 * Measured on loopback with a queue that outgrows the cache (AMD EPYC, Linux 6.18, reno): 2.8 GB/s when the receiver
 * always reads to the beginning of its buffer, 5.7 with the place in the line, 7.7 with the place in the page. */
enum {
	CACHE_LINE = 64,
	PAGE = 4096,
	LOOK_NS = 20 * NS_PER_MS, /* how often a sender looks at TCP_INFO and for a STOP, a receiver at its rate */
};

/* The payload of plain blocks, again and again. */
#define PATTERN "0123456789ABCDEF"
enum { PATTERN_LEN = sizeof(PATTERN) - 1 };

/* The state at the beginning of the measured part: the start, or the end of the warm-up. The tally is the
 * difference. */
struct flow_mark {
	uint64_t at_ns;
	uint64_t bytes, blocks, calls, short_calls, ack_wait_ns, source_wait_ns;
	struct os_cpu cpu;
	struct tcpinfo info;
};

/* Counters of a running flow; `flow` publishes two of them for the reporting thread. */
struct flow_counters {
	uint64_t bytes, blocks, calls, short_calls, ack_wait_ns, source_wait_ns;
};

struct tcpinfo flow_info(int fd);
struct flow_mark flow_mark(const struct flow *f, const struct flow_counters *c, uint64_t now_ns);
void flow_set_tally(struct flow *f, const struct flow_mark *from, const struct flow_mark *to);
void flow_publish(struct flow *f, const struct flow_counters *c);
void flow_begin(struct flow *f); /* first and last in the thread that runs the flow */
void flow_end(struct flow *f);

/* The first error of a flow is the one that is reported. Both return -1: errno, or the error given. */
int flow_fail(struct flow *f, const char *op);
int flow_fail_as(struct flow *f, int error, const char *op);
int flow_set_tcp(struct flow *f, int option, int value, const char *op); /* a TCP socket option; 0, or -1 */

bool flow_is_told(const atomic_bool *flag);
struct io_until flow_patience(const struct flow *f, uint64_t now_ns);

int flow_write_tally(struct flow *f); /* END, my tally, FIN: the last bytes of either end; 0, or -1 */
int flow_read_tally(struct flow *f, unsigned char bytes[static TALLY_LEN], size_t have);

#endif
