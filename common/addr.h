/* addr.h - socket addresses, names, and what went wrong with one. Layer 2. */
#ifndef TCPLAB_ADDR_H
#define TCPLAB_ADDR_H

#include "cdefs.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

/* An IPv4, IPv6 or unix socket address by value. */
struct addr {
	socklen_t len;
	union {
		struct sockaddr sa;
		struct sockaddr_in in4;
		struct sockaddr_in6 in6;
		struct sockaddr_un un;
		struct sockaddr_storage storage;
	} u;
};

enum { ADDR_TEXT = 128, ADDR_MAX = 16, NET_ERROR_TEXT = 256 };

/* A failed step on the way to a connection: "connect 10.0.0.2:5001: Connection refused (ECONNREFUSED)".
 * `resolve` failures carry the resolver's code, all others an errno. */
struct net_error {
	const char *op;     /* "resolve", "connect", "bind" ...; a string constant */
	char object[128];   /* what it was done to: an address, a name, an option */
	const char *reason; /* a string constant that says more than strerror(sys) would; NULL: strerror says it */
	int sys;            /* errno, or 0 */
	int gai;            /* EAI_ code of getaddrinfo(3), or 0 */
};

/* Fills *e from errno. `object` is cut at 127 characters. Always returns -1, for `return net_fail(...)`. */
int net_fail(struct net_error *e, const char *op, const char *object);

const char *net_error_reason(const struct net_error *e); /* "Connection refused"; valid until the next strerror() */
const char *net_error_symbol(const struct net_error *e); /* "ECONNREFUSED", "EAI_NONAME"; a static string */
const char *net_error_text(const struct net_error *e, char out[static NET_ERROR_TEXT]);

/* Names and literals to addresses, in the order of getaddrinfo(3) (RFC 6724). BLOCKS, and cannot be interrupted.
 * host NULL: the wildcard addresses, for listening. family AF_INET, AF_INET6 or AF_UNSPEC.
 * Returns how many addresses were written to out (at most max), or -1 with *e. */
MUST_USE int addr_resolve(const char *host, uint16_t port, int family, struct addr *out, size_t max,
			  struct net_error *e);

/* The same for a literal ("10.0.0.1", "fe80::1%eth0"); never blocks. 0, or -1 with *e: EAI_NONAME for a name. */
MUST_USE int addr_literal(const char *host, uint16_t port, int family, struct addr *out, struct net_error *e);

/* The path of a unix socket, "@name" for one in the abstract namespace (unix(7)). 0, or -1 with *e: ENAMETOOLONG, or
 * ENOENT for an empty path. */
MUST_USE int addr_unix(const char *path, struct addr *out, struct net_error *e);

/* "127.0.0.1:5001", "[::1]:5001"; an IPv4-mapped address is shown as the IPv4 address that it is (RFC 4291 2.5.5.2). A
 * unix socket's path, "@name", or "(unnamed)". */
const char *addr_text(const struct addr *a, char out[static ADDR_TEXT]);

uint16_t addr_port(const struct addr *a);
/* Family, address and port; two unix sockets without a name are never equal. */
bool addr_equal(const struct addr *a, const struct addr *b);

/* Who is behind an address, as far as that can be told: the IPv4 address, or the first 64 bits of the IPv6 address,
 * since whoever has one of a network's addresses has them all (RFC 4291 2.5.4). The port does not count. */
uint64_t addr_source(const struct addr *a);

/* 127.0.0.0/8 or ::1, IPv4-mapped, too: nobody comes from there but this host itself. */
bool addr_is_loopback(const struct addr *a);

int addr_of_socket(int fd, struct addr *out); /* getsockname(2): 0, or -1 with errno */
int addr_of_peer(int fd, struct addr *out);   /* getpeername(2): 0, or -1 with errno (ENOTCONN after a reset) */

#endif
