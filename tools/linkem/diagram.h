/* diagram.h - a line for each packet that passed or was lost: a sequence diagram, from top to bottom.
 *
 *	     sent    arrived
 *	    0.000     10.112  a ---> b  40000 > 5001  S 0:0(0) win 64240 <mss 1460,sackOK,wscale 7>
 *	   10.155     20.231  a <--- b  5001 > 40000  S. 0:0(0) ack 1 win 65160 <mss 1460,sackOK,wscale 7>
 *	   20.262          -  a --x  b  40000 > 5001  P. 1:1001(1000) ack 1 win 502  lost: queue
 *
 * Milliseconds since the first packet. Numbers count from the beginning of the connection (packet.h). */
#ifndef TCPLAB_LINKEM_DIAGRAM_H
#define TCPLAB_LINKEM_DIAGRAM_H

#include "lane.h"
#include "packet.h"

enum { DIAGRAM_LINE = PACKET_TEXT + 160, DIAGRAM_FLOWS = 64 };

/* `line` has a newline at its end. */
typedef void diagram_fn(void *owner, const char *line, size_t len);

struct diagram_flow {
	struct packet_end ends[2]; /* smaller one first */
	struct packet_flow flow;
	uint64_t used; /* when last, as a count of packets */
};

/* Owned by whoever embeds it. The owner sets `tell` and `owner` when somebody watches. */
struct diagram {
	diagram_fn *tell; /* NULL: nobody watches, and nothing is done */
	void *owner;
	bool has_router;
	uint64_t zero_ns; /* 0: no packet yet */
	uint64_t n;
	struct diagram_flow flows[DIAGRAM_FLOWS]; /* the one that was used longest ago makes room */
};

void diagram_arrived(struct diagram *d, unsigned lane, const struct lane_packet *p, uint64_t now_ns);
void diagram_dropped(struct diagram *d, unsigned lane, const unsigned char *bytes, size_t len, enum lane_fate fate,
		     uint64_t now_ns);

#endif
