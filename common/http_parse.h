/* http_parse.h - the head of an HTTP request, as it comes in pieces. Layer 1.
 *
 *	struct http_request q = { 0 };
 *	switch (http_parse(&q, p, n)) {     all bytes since the request began: again from the front each time
 *	case HTTP_MORE: wait for more
 *	case HTTP_BAD:  answer q.status, say q.why, and close: where the next request would begin is not known
 *	case HTTP_DONE: q.len bytes are the request, its body is with them; what follows is the next one
 *
 * STRICT  whoever reads a head more generously than another reader of the same bytes sees another request (RFC 9112
 *   11.2, request smuggling). So: lines end with CR LF, an LF alone is refused (RFC 9112 2.2 allows both); one blank
 *   where the grammar has one; no blank before a colon, no folded line (5.1, 5.2); one Content-Length, of digits (6.3);
 *   a Transfer-Encoding is refused, whatever it says (501); one Host, in HTTP/1.1 for sure (3.2).
 * The decision falls at the same byte however the bytes were cut into pieces, and each byte is looked at once. */
#ifndef TCPLAB_HTTP_PARSE_H
#define TCPLAB_HTTP_PARSE_H

#include "cdefs.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	HTTP_HEAD_MAX = 8192, /* bytes from the request line to the empty line; more: 414 or 431 */
	HTTP_HEADERS_MAX = 64,
	HTTP_BODY_MAX = 4096, /* more: 413 */
};

/* As bits: a route names those that it takes. Those of RFC 9110 9.3 and RFC 5789 that are not named here are
 * HTTP_OTHER, what nobody knows is 501. */
enum http_method { HTTP_GET = 1, HTTP_HEAD = 2, HTTP_POST = 4, HTTP_OTHER = 8 };

enum http_step { HTTP_MORE, HTTP_DONE, HTTP_BAD };

/* A piece of the head; as offsets, since the bytes may move between two calls. */
struct http_slice {
	uint16_t at, len;
};

/* All zero is a request of which nothing has come. Read the first two groups; the rest belongs to http_parse.c. */
struct http_request {
	/* HTTP_BAD */
	int status;
	const char *why; /* static */

	/* HTTP_DONE */
	enum http_method method;
	int minor; /* of HTTP/1.minor */
	bool keeps_alive;
	size_t len, body_len;

	/* After http_request_settle: strings, and `body`, which may contain any byte. path is decoded; query is not
	 * (http_query), and NULL without a question mark; host has its port, and is NULL when HTTP/1.0 did not say
	 * any. */
	const char *path, *query, *host, *body;

	char *text;
	size_t seen, line; /* bytes looked at; where the line begins that is being read */
	struct http_slice target_path, target_query, host_value;
	struct http_header {
		struct http_slice name, value;
	} header[HTTP_HEADERS_MAX];
	uint8_t n_headers;
	bool has_line, has_head, has_query, has_length, is_absolute, has_host;
};

/* p: the n bytes that have come since the request began. Bytes after its end are not touched. */
MUST_USE enum http_step http_parse(struct http_request *q, const unsigned char *p, size_t n);

/* After HTTP_DONE: `text` is a copy of the q->len bytes, with room for a zero behind them; it is borrowed as long as q
 * is read, and written to: each part of it becomes a string. */
void http_request_settle(struct http_request *q, char *text);

/* After http_request_settle. The value of the first header of this name (in any case), or NULL. */
const char *http_request_header(const struct http_request *q, const char *name);

/* "name=value&..." with %41 and + for a blank, as HTML forms write it. 1: found, `out` is the value, decoded, with its
 * zero. 0: no such name (`out` is ""). -1: there, but longer than cap - 1, or with a % that is none, or with a zero
 * byte. query may be NULL. */
MUST_USE int http_query(const char *query, const char *name, char *out, size_t cap);

/* The name or address in "name", "name:port", "[::1]:port", without port and brackets. False: it is none of these, or
 * longer than cap - 1. */
MUST_USE bool http_host_name(const char *host, char *out, size_t cap);

/* "Not Found"; "Unknown" for one that is not used here. */
const char *http_status_text(int status);

#endif
