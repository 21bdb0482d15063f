/* proxyhead.h - the PROXY protocol, versions 1 and 2: a relay tells the server who the client is. Memory only.
 * Specification: haproxy's doc/proxy-protocol.txt (section 2.1 the line, 2.2 the binary header).
 *
 * LIMIT: what may be appended to version 2 (TLVs) is passed over unread, so its checksum is not looked at. There is no place
 * for the zone of a link-local address. */
#ifndef TCPRELAY_PROXYHEAD_H
#define TCPRELAY_PROXYHEAD_H

#include "addr.h"

#include <stdbool.h>
#include <stddef.h>

enum {
	PROXYHEAD_V1_MAX = 107, /* of a line, CR LF included */
	PROXYHEAD_V2_MIN = 16,
	PROXYHEAD_TAKES = 16 + 4096, /* the longest that is taken; version 2 could say up to 16 + 65535 */
	PROXYHEAD_PUT = PROXYHEAD_V1_MAX,
};

enum proxyhead_result { PROXYHEAD_MORE, PROXYHEAD_DONE, PROXYHEAD_BAD };

struct proxyhead {
	unsigned version;
	size_t len;    /* bytes of the head */
	bool is_local; /* LOCAL or UNKNOWN: a health check of the relay itself, or a client that it does not know */
	/* Source and destination; len 0 when is_local, or when it is neither TCP4 nor TCP6. */
	struct addr client, server;
};

/* Looks at the first n bytes of a connection. MORE: they may be the beginning of a head, and then *h and *why are left alone. BAD
 * with *why, a static string. Never looks beyond n; what stands behind the head is not its business. */
enum proxyhead_result proxyhead_get(struct proxyhead *h, const unsigned char *p, size_t n, const char **why);

/* Writes a head of version 1 or 2 for a connection from client to server (the address that the client connected to): how many
 * bytes. An IPv4-mapped address is the IPv4 address; of one IPv4 and one IPv6 address the first is written as a mapped one.
 * If either is neither (len 0): UNKNOWN, LOCAL. */
size_t proxyhead_put(unsigned char out[static PROXYHEAD_PUT], unsigned version, const struct addr *client,
		     const struct addr *server);

#endif
