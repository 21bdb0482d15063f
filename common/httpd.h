/* httpd.h - a small HTTP server on a loop: the pages that a tool shows of itself. Layer 5.
 *
 * HTTP/1.0 and 1.1, kept connections, pipelined requests in order, answers at once, later, or as a stream. Not a server
 * for strangers: it listens on loopback unless somebody says otherwise, has no TLS and no files. It does not trust its
 * clients all the same; what it refuses, and why, is in http_parse.h, and its limits are below.
 *
 *	static void on_json(struct http_exchange *x)        a route's function does one of these before it returns:
 *	{
 *		http_reply(x, 200, HTTP_JSON, text, n);     answer at once
 *		http_hold(x, &mine->hold, on_gone, NULL);   or keep it, and answer later
 *		http_stream_begin(x, HTTP_EVENTS);          or begin a stream; and end it at once, or hold it, too
 *	}
 *
 * LIFETIME  x is valid while the route's function runs, not longer. Who answers later has a struct http_hold in his own
 *   object: hold.x is the exchange as long as somebody waits for the answer, and NULL from then on: it was given, or
 *   the client has left, and then on_gone comes, once. To answer NULL is harmless, so the owner need not know. An owner
 *   who goes first says http_drop.
 * WHO HAS LEFT  a client that resets, or to which nothing can be sent any more, has left. A FIN alone says nothing (RFC
 *   9112 9.6: it may still read, `nc -N` does), so who left in order is known after the next two writes: a stream
 *   should say something now and then.
 * SLOW READERS  what the kernel does not take is queued, once: a connection's next request waits until the answer
 *   before it has left; http_stream_write says false, and on_low comes when all has left. A stream that goes on all the
 *   same is ended once HTTPD_QUEUE_MAX bytes wait; and so is a client that takes nothing for HTTPD_STALL_S.
 * DNS REBINDING  a page of a stranger's site may make a name of its own point to 127.0.0.1, and then its scripts read
 *   what is served there. So Host has to be an IP address, localhost, or one of `names`; else 421. And a POST that
 *   another site's page sends (Origin, RFC 6454) is refused with 403. */
#ifndef TCPLAB_HTTPD_H
#define TCPLAB_HTTPD_H

#include "http_parse.h"
#include "reactor.h"

enum {
	HTTPD_CONNECTIONS = 128,       /* at once; one more: the oldest of which no request has come gives way */
	HTTPD_EXCHANGES = 64,          /* at once, streams count; one more: 503 */
	HTTPD_BATCH = 16,              /* pipelined requests of one connection before others have their turn */
	HTTPD_QUEUE_MAX = 1024 * 1024, /* bytes that may wait on a stream */
	HTTPD_HEAD_S = 10,  /* for a request to be whole: from its first byte; for the first one, from the connection */
	HTTPD_IDLE_S = 60,  /* between two requests */
	HTTPD_STALL_S = 30, /* something has to go out, and the client takes nothing */
	HTTPD_LINGER_S = 2, /* what comes after the last answer is dropped: a reset could overtake it (RFC 9112 9.6) */
};

#define HTTP_HTML   "text/html; charset=utf-8"
#define HTTP_TEXT   "text/plain; charset=utf-8"
#define HTTP_JSON   "application/json"
#define HTTP_CSV    "text/csv; charset=utf-8"
#define HTTP_SVG    "image/svg+xml"
#define HTTP_EVENTS "text/event-stream" /* server-sent events: lines "data: ..." and an empty one (HTML standard 9.2) */
/* Prometheus text format, as metrics.h writes it */
#define HTTP_METRICS "text/plain; version=0.0.4; charset=utf-8"

struct httpd;
struct http_exchange;

typedef void http_route_fn(struct http_exchange *x);

/* A route takes HTTP_GET, HTTP_POST or both. Who takes GET takes HEAD: it is answered as GET is, and the server leaves
 * the body out. */
struct http_route {
	const char *path; /* all of it, as it is after decoding */
	unsigned methods;
	http_route_fn *fn;
};

/* Borrowed until httpd_stop, with all that it points to. Zero: as above. */
struct httpd_options {
	const struct http_route *routes;
	size_t n_routes;
	const char *const *names; /* what Host may say besides addresses and localhost; ends with NULL; or NULL */
	void *user;
	unsigned connections, exchanges;
	uint64_t head_ns, idle_ns, stall_ns, linger_ns;
};

/* One request and its answer. Read freely. */
struct http_exchange {
	const struct http_request *request; /* settled */
	void *user;                         /* of the options */
};

/* Lives in its owner; all zero is one that holds nothing. Read `x`. */
struct http_hold {
	struct http_exchange *x;
	void (*on_gone)(struct http_hold *hold); /* the client has left; x is NULL */
	void (*on_low)(struct http_hold *hold);  /* a stream: all that was written has left; or NULL */
};

/* Takes listen_fd, whatever the result. NULL with errno. */
MUST_USE struct httpd *httpd_start(struct reactor *r, int listen_fd, const struct httpd_options *o);

/* Ends every exchange (on_gone comes inside this call, for each that is held) and every connection. Nothing of `o` is
 * used any more; the memory frees itself at the end of the round, so the loop has to run once more. */
void httpd_stop(struct httpd *h);

struct httpd_tally {
	uint64_t connections, requests, refused; /* refused: the server itself said 4xx or 5xx */
	uint64_t live, exchanges;                /* connections and exchanges now */
};
struct httpd_tally httpd_tally(const struct httpd *h);

/* The answer: copies body. `type` is a constant. */
void http_reply(struct http_exchange *x, int status, const char *type, const void *body, size_t n);

/* Done, and there is nothing to say: 204. */
void http_no_content(struct http_exchange *x);

/* After a form: "see this page of ours" (303). path: what begins with one slash. */
void http_redirect(struct http_exchange *x, const char *path);

/* The same with a line of text: "404 Not Found: why". */
void http_fail(struct http_exchange *x, int status, const char *why);

/* The answer comes later, or is a stream that goes on. `hold` must hold nothing. */
void http_hold(struct http_exchange *x, struct http_hold *hold, void (*on_gone)(struct http_hold *hold),
	       void (*on_low)(struct http_hold *hold));

/* The owner of `hold` goes: the client gets 503, or sees its stream end early. May hold nothing. */
void http_drop(struct http_hold *hold);

/* An answer whose length is not known: chunked, for HTTP/1.0 until the connection ends. */
void http_stream_begin(struct http_exchange *x, const char *type);

/* False: enough for now (these bytes are queued, too), or nobody listens. */
bool http_stream_write(struct http_exchange *x, const void *p, size_t n);

/* The same for a server-sent event: `text`, which may have several lines, as its data. On a stream of HTTP_EVENTS. */
bool http_stream_event(struct http_exchange *x, const char *text);
void http_stream_end(struct http_exchange *x);

#endif
