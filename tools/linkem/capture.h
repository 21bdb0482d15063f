/* capture.h - the packets that are seen at one end of the link, in a file for tcpdump(8) and Wireshark. */
#ifndef TCPLAB_LINKEM_CAPTURE_H
#define TCPLAB_LINKEM_CAPTURE_H

#include "addr.h"
#include "cdefs.h"
#include "reactor.h"

#include <stdio.h>

struct capture {
	FILE *file; /* NULL: none */
	const char *path;
	struct reactor *reactor;
	struct deferred flush; /* at the end of a round: who reads along is not kept waiting */
};

/* path NULL: captures nothing. 0, or -1 with *e. */
MUST_USE int capture_open(struct capture *c, struct reactor *r, const char *path, struct net_error *e);

void capture_packet(struct capture *c, const unsigned char *bytes, size_t len);

/* 0, or -1 with *e: not everything could be written. */
MUST_USE int capture_close(struct capture *c, struct net_error *e);

#endif
