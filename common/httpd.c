/* httpd.c - see httpd.h. A connection is a visit, and goes through these phases:
 *
 *	       first byte          request is whole          answered            all has left
 *	IDLE -------------> HEAD -------------------> BUSY ------------> LEAVING -------------+
 *	  ^                                           STREAM                                  |
 *	  +------------------------------------------------------ kept -----------------------+
 *	                                                                                      |
 *	                     our FIN is out, what still comes is dropped      CLOSING <-------+ not kept, or refused
 *
 * GONE is what the server itself has ended, in any phase; the connection is freed at the end of the round.
 *
 * From BUSY to LEAVING it does not read: what a client sends meanwhile waits in the kernel, and its window closes. So
 * there is one exchange at most on a connection, and answers come in the order of the questions.
 *
 * WHY no station.h: a station is what its loop belongs to (reactor_user), and a page is a guest on the loop of
 * others. */
#include "httpd.h"

#include "acceptor.h"
#include "clock.h"
#include "conn.h"
#include "mem.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum phase { IDLE, HEAD, BUSY, STREAM, LEAVING, CLOSING, GONE };

struct visit {
	struct conn conn;
	struct visit *next, **link;
	struct httpd *h;
	struct timer timer;
	uint64_t moved;  /* conn.bytes_out when the timer was started */
	uint64_t served; /* requests */
	enum phase phase;
	bool is_routing; /* a route's function runs */
	bool is_lingering;
	struct http_request request;
	struct http_exchange x;
	struct http_hold *hold;
};

struct httpd {
	struct reactor *r;
	struct httpd_options o;
	struct acceptor acceptor;
	int listen_fd;
	bool is_stopped;
	struct visit *visits; /* the latest first */
	struct httpd_tally tally;
};

static void on_timer(struct timer *t);

static struct visit *visit_of(struct conn *c)
{
	return CONTAINER_OF(c, struct visit, conn);
}

static struct visit *visit_of_exchange(struct http_exchange *x)
{
	return CONTAINER_OF(x, struct visit, x);
}

/* --- time --------------------------------------------------------------------------------------------------------- */

static void start_timer(struct visit *v, uint64_t after_ns)
{
	v->moved = v->conn.bytes_out;
	reactor_timer_start(v->h->r, &v->timer, reactor_now_ns(v->h->r) + after_ns, on_timer);
}

/* Something waits to go out: the client has to take some of it every now and then. */
static void watch_stall(struct visit *v)
{
	if (!timer_is_armed(&v->timer))
		start_timer(v, v->h->o.stall_ns);
}

/* --- the end of a connection -------------------------------------------------------------------------------------- */

/* Our FIN after what is queued; then a while in which the client reads, and may still write. */
static void close_in_order(struct visit *v)
{
	v->phase = CLOSING;
	conn_finish(&v->conn);
	conn_resume(&v->conn);
	v->is_lingering = conn_queued(&v->conn) == 0;
	start_timer(v, v->is_lingering ? v->h->o.linger_ns : v->h->o.stall_ns);
}

static bool is_exchange(const struct visit *v)
{
	return v->phase == BUSY || v->phase == STREAM;
}

/* At once. */
static void end_visit(struct visit *v, int err)
{
	if (is_exchange(v))
		v->h->tally.exchanges--;
	v->phase = GONE;
	if (err == 0)
		conn_close(&v->conn, 0);
	else
		conn_abort(&v->conn, err);
}

/* --- the end of an exchange --------------------------------------------------------------------------------------- */

/* A request, or the place of one: to the next. */
static void begin_idle(struct visit *v)
{
	v->phase = IDLE;
	v->request = (struct http_request){ 0 };
	start_timer(v, v->h->o.idle_ns);
	conn_resume(&v->conn);
}

static void release_hold(struct visit *v)
{
	if (v->hold != NULL)
		v->hold->x = NULL;
	v->hold = NULL;
}

static void free_text(struct visit *v)
{
	free(v->request.text);
	v->request.text = NULL;
}

/* It has been answered. While the route's function runs it may still read its request. */
static void finish_exchange(struct visit *v)
{
	if (v->is_routing)
		return;
	v->h->tally.exchanges--;
	free_text(v);
	reactor_timer_stop(v->h->r, &v->timer);
	if (!v->request.keeps_alive) {
		close_in_order(v);
	} else if (conn_queued(&v->conn) > 0) {
		watch_stall(v); /* on_low goes on */
	} else {
		begin_idle(v);
	}
}

static void end_exchange(struct visit *v)
{
	v->phase = LEAVING;
	release_hold(v);
	finish_exchange(v);
}

/* --- answers ------------------------------------------------------------------------------------------------------ */

/* default-src 'self': a page brings everything with it, or asks the same server; 'unsafe-inline': one page is one
 * file. Cross-Origin-Resource-Policy: nobody else's page shows ours as a picture or a script. Referrer-Policy:
 * nobody else learns where somebody came from. WHY not no-referrer: a form of ours would then come with "Origin:
 * null", as a stranger's does. */
static const char security_headers[] = "Content-Security-Policy: default-src 'self' 'unsafe-inline'; base-uri 'none'; "
				       "form-action 'self'; frame-ancestors 'none'\r\n"
				       "X-Content-Type-Options: nosniff\r\n"
				       "Referrer-Policy: same-origin\r\n"
				       "Cross-Origin-Resource-Policy: same-origin\r\n"
				       "Cache-Control: no-store\r\n";

static void append_text(struct buf *b, const char *text)
{
	buf_append(b, text, strlen(text));
}

static void append_head(struct buf *b, const struct visit *v, int status, const char *type)
{
	char line[64];
	snprintf(line, sizeof(line), "HTTP/1.1 %d %s\r\n", status, http_status_text(status));
	append_text(b, line);
	if (type != NULL) {
		append_text(b, "Content-Type: ");
		append_text(b, type);
		append_text(b, "\r\n");
	}
	append_text(b, v->request.keeps_alive ? "Connection: keep-alive\r\n" : "Connection: close\r\n");
	append_text(b, security_headers);
}

static bool is_head_only(const struct visit *v)
{
	return v->request.method == HTTP_HEAD;
}

/* One write, so that head and body leave in the same segment when they fit. `more` are further header lines. type
 * NULL: there is no content, and nothing is said of its length (RFC 9110 8.6, for 204). */
static void send_answer(struct visit *v, int status, const char *type, const char *more, const void *body, size_t n)
{
	struct buf b = { 0 };
	char line[64];
	append_head(&b, v, status, type);
	append_text(&b, more);
	snprintf(line, sizeof(line), "Content-Length: %zu\r\n", n);
	append_text(&b, type != NULL ? line : "");
	append_text(&b, "\r\n");
	if (!is_head_only(v))
		buf_append(&b, body, n);
	(void)conn_write(&v->conn, buf_peek(&b), buf_len(&b));
	buf_free(&b);
}

/* "404 Not Found: why": for people, so the reason is there. */
static void send_failure(struct visit *v, int status, const char *more, const char *why)
{
	char text[256];
	int n = snprintf(text, sizeof(text), "%d %s: %s\n", status, http_status_text(status), why);
	send_answer(v, status, HTTP_TEXT, more, text, n < (int)sizeof(text) ? (size_t)n : sizeof(text) - 1);
}

void http_reply(struct http_exchange *x, int status, const char *type, const void *body, size_t n)
{
	if (x == NULL || visit_of_exchange(x)->phase != BUSY)
		return;
	send_answer(visit_of_exchange(x), status, type, "", body, n);
	end_exchange(visit_of_exchange(x));
}

void http_fail(struct http_exchange *x, int status, const char *why)
{
	if (x == NULL || visit_of_exchange(x)->phase != BUSY)
		return;
	send_failure(visit_of_exchange(x), status, "", why);
	end_exchange(visit_of_exchange(x));
}

void http_no_content(struct http_exchange *x)
{
	if (x == NULL || visit_of_exchange(x)->phase != BUSY)
		return;
	send_answer(visit_of_exchange(x), 204, NULL, "", "", 0);
	end_exchange(visit_of_exchange(x));
}

void http_redirect(struct http_exchange *x, const char *path)
{
	char more[256], text[256];
	if (x == NULL || visit_of_exchange(x)->phase != BUSY)
		return;
	assert(path[0] == '/' && path[1] != '/' && strpbrk(path, "\r\n") == NULL);
	snprintf(more, sizeof(more), "Location: %.200s\r\n", path);
	int n = snprintf(text, sizeof(text), "see %.200s\n", path);
	send_answer(visit_of_exchange(x), 303, HTTP_TEXT, more, text, (size_t)n);
	end_exchange(visit_of_exchange(x));
}

/* The server itself says no, before there is an exchange. After a request that could not be read nothing more can
 * be. */
static void refuse_and_close(struct visit *v, int status, const char *why)
{
	v->h->tally.refused++;
	v->request.keeps_alive = false;
	send_failure(v, status, "", why);
	close_in_order(v);
}

/* --- streams ------------------------------------------------------------------------------------------------------ */

static bool is_chunked(const struct visit *v)
{
	return v->request.minor > 0;
}

void http_stream_begin(struct http_exchange *x, const char *type)
{
	if (x == NULL || visit_of_exchange(x)->phase != BUSY)
		return;
	struct visit *v = visit_of_exchange(x);
	struct buf b = { 0 };
	if (!is_chunked(v))
		v->request.keeps_alive = false;
	append_head(&b, v, 200, type);
	append_text(&b, is_chunked(v) ? "Transfer-Encoding: chunked\r\n\r\n" : "\r\n");
	(void)conn_write(&v->conn, buf_peek(&b), buf_len(&b));
	buf_free(&b);
	if (is_head_only(v))
		end_exchange(v);
	else
		v->phase = STREAM;
}

static bool write_stream(struct visit *v, const void *p, size_t n)
{
	if (conn_queued(&v->conn) > HTTPD_QUEUE_MAX)
		conn_abort(&v->conn, ENOBUFS);
	bool more = conn_write(&v->conn, p, n);
	if (!more)
		watch_stall(v);
	return more;
}

bool http_stream_write(struct http_exchange *x, const void *p, size_t n)
{
	if (x == NULL || visit_of_exchange(x)->phase != STREAM)
		return false;
	struct visit *v = visit_of_exchange(x);
	if (n == 0) /* a chunk without bytes would be the last one (RFC 9112 7.1) */
		return conn_queued(&v->conn) == 0;
	if (!is_chunked(v))
		return write_stream(v, p, n);
	struct buf b = { 0 };
	char line[32];
	snprintf(line, sizeof(line), "%zx\r\n", n);
	append_text(&b, line);
	buf_append(&b, p, n);
	append_text(&b, "\r\n");
	bool more = write_stream(v, buf_peek(&b), buf_len(&b));
	buf_free(&b);
	return more;
}

/* Each line of an event begins with "data: ", and an empty line ends it. A carriage return would end a line, too. */
bool http_stream_event(struct http_exchange *x, const char *text)
{
	struct buf b = { 0 };
	while (*text != '\0') {
		size_t n = strcspn(text, "\r\n");
		append_text(&b, "data: ");
		buf_append(&b, text, n);
		append_text(&b, "\n");
		text += n;
		text += text[0] == '\r' && text[1] == '\n' ? 2 : text[0] != '\0';
	}
	append_text(&b, "\n");
	bool more = http_stream_write(x, buf_peek(&b), buf_len(&b));
	buf_free(&b);
	return more;
}

void http_stream_end(struct http_exchange *x)
{
	if (x == NULL || visit_of_exchange(x)->phase != STREAM)
		return;
	struct visit *v = visit_of_exchange(x);
	if (is_chunked(v))
		(void)conn_write(&v->conn, "0\r\n\r\n", 5);
	end_exchange(v);
}

/* --- later -------------------------------------------------------------------------------------------------------- */

void http_hold(struct http_exchange *x, struct http_hold *hold, void (*on_gone)(struct http_hold *hold),
	       void (*on_low)(struct http_hold *hold))
{
	struct visit *v = x != NULL ? visit_of_exchange(x) : NULL;
	assert(hold->x == NULL && on_gone != NULL);
	if (v == NULL || !is_exchange(v)) /* HEAD: the stream is over already */
		return;
	assert(v->hold == NULL);
	*hold = (struct http_hold){ .x = x, .on_gone = on_gone, .on_low = on_low };
	v->hold = hold;
}

void http_drop(struct http_hold *hold)
{
	if (hold->x == NULL)
		return;
	struct visit *v = visit_of_exchange(hold->x);
	if (v->phase == BUSY) {
		http_fail(hold->x, 503, "this will not be answered any more");
		return;
	}
	release_hold(v);
	end_visit(v, ECANCELED); /* WHY a reset: to HTTP/1.0 a FIN would say that this was all */
}

static void say_gone(struct visit *v)
{
	struct http_hold *hold = v->hold;
	release_hold(v);
	if (hold != NULL)
		hold->on_gone(hold);
}

/* --- routing ------------------------------------------------------------------------------------------------------ */

static bool is_own_name(const struct httpd *h, const char *host)
{
	char name[256]; /* RFC 1035 3.1 */
	struct addr a;
	struct net_error e;
	if (!http_host_name(host, name, sizeof(name)))
		return false;
	for (size_t i = 0; h->o.names != NULL && h->o.names[i] != NULL; i++)
		if (strcasecmp(name, h->o.names[i]) == 0)
			return true;
	return strcasecmp(name, "localhost") == 0 || addr_literal(name, 0, AF_UNSPEC, &a, &e) == 0;
}

/* "http://HOST" with the HOST that was asked: a page of ours. "null" is nobody's. */
static bool is_own_origin(const struct http_request *q)
{
	const char *origin = http_request_header(q, "Origin");
	const char *host = origin != NULL ? strstr(origin, "://") : NULL;
	return origin == NULL || (host != NULL && q->host != NULL && strcasecmp(host + 3, q->host) == 0);
}

static const struct http_route *find_route(const struct httpd *h, const char *path)
{
	for (size_t i = 0; i < h->o.n_routes; i++)
		if (strcmp(h->o.routes[i].path, path) == 0)
			return &h->o.routes[i];
	return NULL;
}

static unsigned methods_of(const struct http_route *route)
{
	return route->methods | (route->methods & HTTP_GET ? HTTP_HEAD : 0u);
}

static const char *allow_line(unsigned methods)
{
	return !(methods & HTTP_POST) ? "Allow: GET, HEAD\r\n"
	       : methods & HTTP_GET   ? "Allow: GET, HEAD, POST\r\n"
				      : "Allow: POST\r\n";
}

/* The server's own answer to a request that could be read: the connection may go on. */
static void refuse(struct visit *v, int status, const char *more, const char *why)
{
	v->h->tally.refused++;
	send_failure(v, status, more, why);
	v->phase = LEAVING;
}

static void route(struct visit *v)
{
	const struct http_request *q = &v->request;
	const struct http_route *found = find_route(v->h, q->path);
	if (q->host != NULL && !is_own_name(v->h, q->host))
		refuse(v, 421, "", "Host is neither an address nor a name of this server");
	else if (found == NULL)
		refuse(v, 404, "", "there is no such page");
	else if (!(methods_of(found) & q->method))
		refuse(v, 405, allow_line(found->methods), "this page does not take this method");
	else if (q->method == HTTP_POST && !is_own_origin(q))
		refuse(v, 403, "", "this comes from a page of another site");
	else if (v->h->tally.exchanges > v->h->o.exchanges)
		refuse(v, 503, "Retry-After: 5\r\n", "too many requests at once");
	else
		found->fn(&v->x);
}

/* p: a whole request. */
static void serve(struct visit *v, const unsigned char *p)
{
	char *text = xmalloc(v->request.len + 1);
	memcpy(text, p, v->request.len);
	http_request_settle(&v->request, text);
	v->x = (struct http_exchange){ .request = &v->request, .user = v->h->o.user };
	v->phase = BUSY;
	v->served++;
	v->h->tally.requests++;
	v->h->tally.exchanges++;
	reactor_timer_stop(v->h->r, &v->timer);
	v->is_routing = true;
	route(v);
	v->is_routing = false;
	if (v->phase == LEAVING)
		finish_exchange(v);
	else
		assert((v->hold != NULL || v->phase == GONE) && "a route has to answer, or to hold");
}

/* --- a connection ------------------------------------------------------------------------------------------------- */

static void begin_head(struct visit *v)
{
	if (v->phase == IDLE && v->served > 0) /* the first request's time runs since the connection began */
		start_timer(v, v->h->o.head_ns);
	v->phase = HEAD;
}

static bool wants_requests(const struct visit *v)
{
	return v->phase == IDLE || v->phase == HEAD;
}

/* One request of what has come: how many bytes are used up. 0: it is not whole. */
static size_t take_request(struct visit *v, const unsigned char *p, size_t n)
{
	enum http_step step = http_parse(&v->request, p, n);
	size_t len = v->request.len;
	begin_head(v);
	if (step == HTTP_BAD)
		refuse_and_close(v, v->request.status, v->request.why);
	else if (step == HTTP_DONE)
		serve(v, p);
	return step == HTTP_DONE ? len : 0;
}

static size_t on_data(struct conn *c, const unsigned char *p, size_t n)
{
	struct visit *v = visit_of(c);
	size_t used = 0, taken = 1;
	int turns = 0;
	while (used < n && taken > 0 && wants_requests(v) && turns < HTTPD_BATCH) {
		taken = take_request(v, p + used, n - used);
		used += taken;
		turns += taken > 0;
	}
	if (v->phase == CLOSING)
		return n;
	if (turns == HTTPD_BATCH || !wants_requests(v))
		conn_pause(c);
	if (turns == HTTPD_BATCH && wants_requests(v))
		conn_resume(c); /* what is left is shown again when others have had their turn */
	return used;
}

static void on_eof(struct conn *c)
{
	struct visit *v = visit_of(c);
	if (v->phase == HEAD)
		refuse_and_close(v, 400, "the request ends in the middle");
	else if (v->phase == IDLE)
		conn_finish(c);
}

static void on_low(struct conn *c)
{
	struct visit *v = visit_of(c);
	if (v->phase == LEAVING)
		begin_idle(v);
	else if (v->phase == STREAM && v->hold != NULL && v->hold->on_low != NULL)
		v->hold->on_low(v->hold);
}

static void on_timer(struct timer *t)
{
	struct visit *v = CONTAINER_OF(t, struct visit, timer);
	bool waits = conn_queued(&v->conn) > 0;
	if (v->phase == HEAD) {
		refuse_and_close(v, 408, "the request took too long to come");
	} else if (v->phase == IDLE || (v->phase == CLOSING && v->is_lingering)) {
		end_visit(v, 0);
	} else if (waits && v->moved == v->conn.bytes_out) {
		conn_abort(&v->conn, ETIMEDOUT);
	} else if (v->phase == CLOSING) {
		v->is_lingering = !waits;
		start_timer(v, waits ? v->h->o.stall_ns : v->h->o.linger_ns);
	} else if (waits) {
		watch_stall(v);
	}
}

static void free_if_over(struct httpd *h)
{
	if (h->is_stopped && h->visits == NULL)
		free(h);
}

static void on_closed(struct conn *c, int err)
{
	(void)err;
	struct visit *v = visit_of(c);
	struct httpd *h = v->h;
	reactor_timer_stop(h->r, &v->timer);
	if (is_exchange(v))
		h->tally.exchanges--;
	say_gone(v);
	free_text(v);
	*v->link = v->next;
	if (v->next != NULL)
		v->next->link = v->link;
	h->tally.live--;
	acceptor_release(&h->acceptor);
	free(v);
	free_if_over(h);
}

static const struct conn_ops ops = { .on_data = on_data, .on_eof = on_eof, .on_low = on_low, .on_closed = on_closed };

/* --- the server --------------------------------------------------------------------------------------------------- */

/* The connections are used up: of those whose request has not come, or not all of it, the one that came first gives
 * way. Requests take a millisecond to come, so that is one kept for later, or one that means no good. */
static void make_room(struct httpd *h)
{
	struct visit *oldest = NULL;
	for (struct visit *v = h->visits->next; v != NULL; v = v->next)
		if (wants_requests(v))
			oldest = v;
	if (oldest != NULL)
		end_visit(oldest, 0);
}

static void on_accept(struct acceptor *a, int fd, const struct addr *peer)
{
	(void)peer;
	struct httpd *h = CONTAINER_OF(a, struct httpd, acceptor);
	struct visit *v = xcalloc(1, sizeof(*v));
	if (conn_start(&v->conn, h->r, fd, &ops) < 0) {
		acceptor_release(a);
		free(v);
		return;
	}
	conn_set_marks(&v->conn, 0, 1); /* anything that is queued is enough, and low is when nothing is */
	v->h = h;
	v->next = h->visits;
	v->link = &h->visits;
	if (v->next != NULL)
		v->next->link = &v->next;
	h->visits = v;
	h->tally.connections++;
	h->tally.live++;
	start_timer(v, h->o.head_ns);
	if (a->live == a->max_live)
		make_room(h);
}

static uint64_t or_default(uint64_t value, uint64_t otherwise)
{
	return value != 0 ? value : otherwise;
}

struct httpd *httpd_start(struct reactor *r, int listen_fd, const struct httpd_options *o)
{
	struct httpd *h = xcalloc(1, sizeof(*h));
	*h = (struct httpd){ .r = r, .o = *o, .listen_fd = listen_fd };
	h->o.connections = (unsigned)or_default(o->connections, HTTPD_CONNECTIONS);
	h->o.exchanges = (unsigned)or_default(o->exchanges, HTTPD_EXCHANGES);
	h->o.head_ns = or_default(o->head_ns, (uint64_t)HTTPD_HEAD_S * NS_PER_S);
	h->o.idle_ns = or_default(o->idle_ns, (uint64_t)HTTPD_IDLE_S * NS_PER_S);
	h->o.stall_ns = or_default(o->stall_ns, (uint64_t)HTTPD_STALL_S * NS_PER_S);
	h->o.linger_ns = or_default(o->linger_ns, (uint64_t)HTTPD_LINGER_S * NS_PER_S);
	if (acceptor_start(&h->acceptor, r, listen_fd, h->o.connections, on_accept) < 0) {
		int saved = errno;
		close(listen_fd);
		free(h);
		errno = saved;
		return NULL;
	}
	return h;
}

void httpd_stop(struct httpd *h)
{
	acceptor_stop(&h->acceptor);
	close(h->listen_fd);
	h->is_stopped = true;
	for (struct visit *v = h->visits; v != NULL;
	     v = v->next) { /* they end at the end of the round, and stay here meanwhile */
		say_gone(v);
		end_visit(v, 0);
	}
	free_if_over(h);
}

struct httpd_tally httpd_tally(const struct httpd *h)
{
	return h->tally;
}
