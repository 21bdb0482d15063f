/* netcount.h - what the kernel counts of this network: /proc/net/snmp and /proc/net/netstat. Layer 2.
 *
 * The counters tell which of its rules the kernel applied: that a reset left because somebody closed without having read
 * (TcpExtTCPAbortOnClose), that a connection was refused for a full queue (TcpExtListenOverflows). They are named as nstat(8) names
 * them, group and counter in one word, and described in the kernel's Documentation/networking/snmp_counter.rst.
 *
 *	struct netcounts before, after;
 *	if (netcount_read(&before, &e) < 0) ...
 *	(the experiment)
 *	if (netcount_read(&after, &e) < 0) ...
 *	uint64_t aborted = netcount_since(&before, &after, "TcpExtTCPAbortOnClose");
 *
 * LIMIT: they belong to the whole network namespace. Whatever else goes on in it is counted, too. */
#ifndef TCPLAB_NETCOUNT_H
#define TCPLAB_NETCOUNT_H

#include "addr.h"

enum { NETCOUNT_MAX = 512, NETCOUNT_NAME = 48 };

/* Lives in its owner (about 28 KB). Counters that are negative ("MaxConn -1") are left out. */
struct netcounts {
	size_t n;
	struct netcount {
		char name[NETCOUNT_NAME]; /* "TcpExtListenOverflows" */
		uint64_t value;
	} counter[NETCOUNT_MAX];
};

/* 0, or -1 with *e. Does not block. Any thread. */
MUST_USE int netcount_read(struct netcounts *out, struct net_error *e);

/* Adds what such a file's text says: pairs of lines, names and values. 0, or -1: it is not of that form, or has more counters
 * than there is room for; what was there before stays. Memory only. */
MUST_USE int netcount_parse(struct netcounts *out, const char *text);

/* Does this kernel have such a counter? Its value in *value (NULL: not wanted). */
bool netcount_find(const struct netcounts *c, const char *name, uint64_t *value);

/* By how much it grew; 0 when the kernel has no such counter (netcount_find tells). */
uint64_t netcount_since(const struct netcounts *before, const struct netcounts *after, const char *name);

#endif
