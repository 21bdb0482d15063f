/* socks_parse.h - the words of SOCKS 4, 4a and 5, as bytes, for both ends. Layer 1.
 *
 *	client                                   server                      SOCKS 5 (RFC 1928)
 *	  methods    05 02 00 02 ------------->  socks_parse: SOCKS_METHODS
 *	             <------------- 05 02        socks_put_method, socks_parser_choose
 *	  login      01 05 alice 06 secret --->  SOCKS_LOGIN                 user and password (RFC 1929)
 *	             <------------- 01 00        socks_put_login
 *	  request    05 01 00 03 ... --------->  SOCKS_REQUEST               SOCKS 4 and 4a begin, and end, here
 *	             <------------- 05 00 ...    socks_put_reply
 *	  the client's bytes, perhaps right behind its request, without waiting for the reply
 *
 *	struct socks_parser p = { 0 };
 *	switch (socks_parse(&p, bytes, n)) {     all bytes that have come and were not used yet
 *	case SOCKS_MORE: wait for more
 *	case SOCKS_BAD:  p.why says what is wrong; the connection is of no use any more
 *	default:         the first p.used bytes were a whole message; what follows belongs to the next step
 *
 * The decision is the same however the bytes were cut into pieces, and a message has at most SOCKS_MESSAGE_MAX
 * bytes, so that a peer can make nobody keep more.
 *
 * STRICT  A name may only have printable ASCII, without blanks: a zero byte in it would be another name to whoever
 *   reads it as a string. A user id or password may have any byte but zero, and may be empty: that is for whoever
 *   compares it to judge. A reserved byte is zero. The first byte that cannot be right is BAD at once, without waiting
 *   for the rest. */
#ifndef TCPLAB_SOCKS_PARSE_H
#define TCPLAB_SOCKS_PARSE_H

#include "cdefs.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	SOCKS_TEXT_MAX =
		255, /* a user id, a password, a name: by the length byte of SOCKS 5; for SOCKS 4 it is our limit */
	SOCKS_MESSAGE_MAX = 8 + 2 * (SOCKS_TEXT_MAX + 1), /* the longest: a request of SOCKS 4a. A login has 513 */
	SOCKS_REPLY_MAX = 4 + 1 + SOCKS_TEXT_MAX + 2,
};

enum socks_command { SOCKS_CONNECT = 1, SOCKS_BIND = 2, SOCKS_UDP = 3 /* UDP ASSOCIATE, SOCKS 5 only */ };

/* RFC 1928 6; in SOCKS 4 everything but SOCKS_OK is "rejected or failed" (0x5b). */
enum socks_reply {
	SOCKS_OK,
	SOCKS_FAILED,
	SOCKS_NOT_ALLOWED,
	SOCKS_NET_UNREACHABLE,
	SOCKS_HOST_UNREACHABLE,
	SOCKS_REFUSED,
	SOCKS_TTL_EXPIRED,
	SOCKS_BAD_COMMAND,
	SOCKS_BAD_ADDRESS,
};
const char *socks_reply_symbol(enum socks_reply reply); /* "refused": for records */

/* RFC 1928 3. */
enum socks_method { SOCKS_NO_LOGIN = 0, SOCKS_PASSWORD = 2, SOCKS_NO_METHOD = 0xff };

enum socks_place_kind { SOCKS_IPV4 = 1, SOCKS_NAME = 3, SOCKS_IPV6 = 4 };

/* Where to, or from where. */
struct socks_place {
	enum socks_place_kind kind;
	unsigned char ip[16];          /* IPv4: the first four */
	char name[SOCKS_TEXT_MAX + 1]; /* "" unless kind is SOCKS_NAME */
	uint16_t port;
};

/* May this be sent, or looked up, as a name? 1 to SOCKS_TEXT_MAX bytes, all of them printable. */
bool socks_is_name(const char *name);

enum socks_step { SOCKS_MORE, SOCKS_METHODS, SOCKS_LOGIN, SOCKS_REQUEST, SOCKS_BAD };

/* All zero is a client that has said nothing. */
struct socks_parser {
	size_t used;              /* bytes of the message that was found */
	const char *why;          /* SOCKS_BAD; static */
	enum socks_reply refusal; /* SOCKS_BAD: what the client should be told, by socks_put_refusal */

	int version;                         /* 4 or 5; 0: not a byte has come. 4 is 4a, too: place.kind tells */
	bool knows_no_login, knows_password; /* SOCKS_METHODS */
	char user[SOCKS_TEXT_MAX + 1];       /* SOCKS_LOGIN; SOCKS 4: with the request */
	char password[SOCKS_TEXT_MAX + 1];   /* SOCKS_LOGIN */
	enum socks_command command;          /* SOCKS_REQUEST */
	struct socks_place place;

	enum socks_step next; /* what is expected, SOCKS_MORE: the first message; leave it to socks_parse.c */
};

/* What has come, n bytes of it: see above. SOCKS_BAD stays so; after SOCKS_REQUEST it must not be called again,
 * after SOCKS_METHODS socks_parser_choose comes first. */
MUST_USE enum socks_step socks_parse(struct socks_parser *p, const unsigned char *bytes, size_t n);

/* After SOCKS_METHODS: a login is expected, or the request; or with SOCKS_NO_METHOD nothing any more. */
void socks_parser_choose(struct socks_parser *p, enum socks_method method);

/* The server's words; how many bytes were written. */
size_t socks_put_method(unsigned char out[static 2], enum socks_method method);
size_t socks_put_login(unsigned char out[static 2], bool is_right);
/* bound NULL: 0.0.0.0:0. SOCKS 4 has room for an IPv4 address only: another one becomes 0.0.0.0. */
size_t socks_put_reply(unsigned char out[static SOCKS_REPLY_MAX], int version, enum socks_reply reply,
		       const struct socks_place *bound);
/* After SOCKS_BAD: p->refusal in the words that the client waits for at this step, which are not always those of a
 * reply. 0: it speaks neither version, and would not understand any. */
size_t socks_put_refusal(unsigned char out[static SOCKS_REPLY_MAX], const struct socks_parser *p);

/* The client's words. user and password have SOCKS_TEXT_MAX bytes at most. */
size_t socks_put_methods(unsigned char out[static 4], bool has_password);
size_t socks_put_user(unsigned char out[static SOCKS_MESSAGE_MAX], const char *user, const char *password);
/* Version 4: a name makes it 4a, `user` may be ""; 0 where the place has no room in it, which is an IPv6 address, or
 * 0.0.0.x: that is how 4a says that a name follows. Version 5 has no room for a user, who has logged in. */
size_t socks_put_request(unsigned char out[static SOCKS_MESSAGE_MAX], int version, enum socks_command command,
			 const struct socks_place *place, const char *user);

/* The server's words, as the client reads them: SOCKS_MORE; SOCKS_BAD with *why; else they are the answer, which has
 * 2, 2 and *used bytes. A refusal is an answer as soon as its code is there, since some servers end with it; one
 * without a name of its own in RFC 1928 is SOCKS_FAILED. *bound is set with SOCKS_OK only. */
MUST_USE enum socks_step socks_get_method(const unsigned char *bytes, size_t n, enum socks_method *method,
					  const char **why);
MUST_USE enum socks_step socks_get_login(const unsigned char *bytes, size_t n, bool *is_right, const char **why);
MUST_USE enum socks_step socks_get_reply(const unsigned char *bytes, size_t n, int version, enum socks_reply *reply,
					 struct socks_place *bound, size_t *used, const char **why);

/* The head of a datagram that goes through a server (RFC 1928 7); what follows *used bytes is what was sent, and may
 * be nothing. False: there is none, or it is a fragment; *why. */
MUST_USE bool socks_get_datagram(const unsigned char *bytes, size_t n, struct socks_place *place, size_t *used,
				 const char **why);
enum { SOCKS_DATAGRAM_HEAD = 4 + 1 + SOCKS_TEXT_MAX + 2 };
size_t socks_put_datagram(unsigned char out[static SOCKS_DATAGRAM_HEAD], const struct socks_place *place);

#endif
