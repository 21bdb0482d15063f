/* report.h - what selfconnect is asked for, what it finds, the prediction in words, and the records. A chapter. */
#ifndef TCPLAB_SELFCONNECT_REPORT_H
#define TCPLAB_SELFCONNECT_REPORT_H

#include "portrange.h"

#include "addr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum way { NATURAL, RANGE, BIND };
extern const char *const selfconnect_ways[]; /* their names; ends with NULL */

struct selfconnect_options {
	int by;
	bool udp, fixed, ipv4, ipv6, json;
	uint64_t port, tries, time_ns, hold_ns;
};

/* In the order of the story. */
struct selfconnect_findings {
	uint64_t tries, elapsed_ns;
	bool itself, noticed;                   /* noticed: by the fixed client */
	char local[ADDR_TEXT], peer[ADDR_TEXT]; /* "": it did not keep the connection */
	unsigned lines;                         /* in /proc/net/tcp while the connection lived */
	size_t echoed;
	int bind_while, bind_after; /* what the server heard: 0, or an errno */
	unsigned state_after;       /* of the port, when the client had closed */
	bool reached;               /* --fixed: the client's next try got the server */
};

/* Why it cannot happen; NULL: it can. */
const char *selfconnect_why_not(const struct selfconnect_options *o, const struct portrange *p);

/* is_taken: somebody has the port, or it is in TIME-WAIT. */
void selfconnect_predict(const struct selfconnect_options *o, const struct portrange *p, const struct addr *to,
			 bool is_taken);

void selfconnect_report_connected(const struct selfconnect_options *o, const struct selfconnect_findings *f);
void selfconnect_report_total(const struct selfconnect_options *o, const struct selfconnect_findings *f);

#endif
