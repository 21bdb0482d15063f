/* socks.h - a connection through a SOCKS server, for a client that may wait. Layer 2.
 *
 *	struct socks_proxy proxy = { 0 };                                              no proxy
 *	if (!socks_proxy_parse("127.0.0.1:1080", &proxy, why)) ...
 *	struct socks_hop first = socks_first_hop(&proxy, "example.net", 80);           whom to connect to: as ever
 *	... addr_resolve(first.host, first.port, ...), fd = sock_connect(...) ...
 *	if (socks_ask(fd, &proxy, "example.net", 80, &until, &e) < 0) ...              without a proxy: nothing to do
 *
 *	client                     SOCKS server                 example.net:80
 *	  connect ------------------->                                             one round trip, to the server
 *	  methods ------------------->                                             SOCKS 5 only: one more
 *	  user and password --------->                                             only where it wants them: one more
 *	  connect to example.net:80 ->  resolve, connect ------->                  one more, with the server's own in it
 *	             <---------------- granted
 *	  bytes <--------------------------------------------------> bytes
 *
 * The name goes to the server as it is: it is the server that resolves it (SOCKS 5 and 4a). */
#ifndef TCPLAB_SOCKS_H
#define TCPLAB_SOCKS_H

#include "addr.h"
#include "io.h"
#include "socks_parse.h"

enum {
	SOCKS_WHY = 160,
	SOCKS_PORT = 1080,
	SOCKS_PLACE_TEXT = SOCKS_TEXT_MAX + 9, /* brackets, colon, port */
	SOCKS_THROUGH_TEXT = SOCKS_PLACE_TEXT + 9,
};

/* All zero: there is none. */
struct socks_proxy {
	int version; /* 4 (and 4a), 5; 0: no proxy */
	char host[SOCKS_TEXT_MAX + 1];
	uint16_t port;
	char user[SOCKS_TEXT_MAX + 1], password[SOCKS_TEXT_MAX + 1]; /* "": none */
};

/* "[SCHEME://][USER[:PASSWORD]@]HOST[:PORT]", as curl has it: SCHEME socks5 (also socks5h) or socks4 (also socks4a),
 * socks5 unless it is given; an IPv6 HOST in brackets; PORT 1080. The first colon and the last @ divide, so a
 * password may have both; nothing is percent-encoded. False with a line for people in why. */
MUST_USE bool socks_proxy_parse(const char *text, struct socks_proxy *out, char why[static SOCKS_WHY]);

/* "127.0.0.1:1080", "[::1]:1080", "example.net:80": without user and password, so that it can be shown. */
const char *socks_host_text(const char *host, uint16_t port, char out[static SOCKS_PLACE_TEXT]);

/* The same of a proxy; NULL without one. */
const char *socks_proxy_text(const struct socks_proxy *proxy, char out[static SOCKS_PLACE_TEXT]);

/* " through 127.0.0.1:1080": what follows the peer's name in a report; "" without a proxy. */
const char *socks_through_text(const struct socks_proxy *proxy, char out[static SOCKS_THROUGH_TEXT]);

/* Who has to be connected with first: the server; without a proxy it is host itself. Borrows both. */
struct socks_hop {
	const char *host;
	uint16_t port;
};
static inline struct socks_hop socks_first_hop(const struct socks_proxy *proxy, const char *host, uint16_t port)
{
	return proxy->version != 0 ? (struct socks_hop){ proxy->host, proxy->port } : (struct socks_hop){ host, port };
}

/* fd is connected with the server: asks it for a connection to host:port. All that comes after it is host's: not a
 * byte more than the server's answers is read. Gives fd a tick (io_tick). BLOCKS, until the deadline at most. 0; or
 * -1 with *e, and fd is of no use any more, which is the caller's to close: what the server refuses has the errno
 * that its reply stands for (ECONNREFUSED, EHOSTUNREACH, EACCES ...), and net_error.reason says that it was the
 * server that said so. EPROTO: it is no SOCKS server. Without a proxy: 0, and nothing happens. */
MUST_USE int socks_ask(int fd, const struct socks_proxy *proxy, const char *host, uint16_t port,
		       const struct io_until *until, struct net_error *e);

/* The places of socks_parse.h, and names and addresses. socks_place_of: a literal becomes an address, all else a
 * name; false: it cannot be a name (socks_is_name). An IPv4-mapped address is the IPv4 address that it is; one with
 * a zone ("fe80::1%eth0") is a name, since a zone means something on the host that looks at it only. */
MUST_USE bool socks_place_of(const char *host, uint16_t port, struct socks_place *out);
void socks_place_of_addr(const struct addr *a, struct socks_place *out);              /* IPv4 or IPv6 */
MUST_USE bool socks_addr_of_place(const struct socks_place *place, struct addr *out); /* false for a name */

/* Which reply an error deserves, and which errno a reply stands for (RFC 1928 6). */
enum socks_reply socks_reply_of(const struct net_error *e);
int socks_errno_of(enum socks_reply reply);

#endif
