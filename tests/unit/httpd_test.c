/* httpd_test.c - a server and its clients on one loop; the clients are plain sockets, and say what a browser never
 * would. */
#include "httpd.h"

#include "loopback.h"

/* --- the server under test ---------------------------------------------------------------------------------------- */

enum { BIG = 3 * 1024 * 1024, MEDIUM = 200 * 1024, SMALL_BUFFER = 16 * 1024, FILL = 10000 };

static struct server {
	struct reactor *r;
	struct httpd *h;
	struct addr at;
	struct http_hold hold; /* of /late and /stream */
	unsigned routed, gone, lows;
	char label[32];
	int label_result;
	size_t big; /* of /big */
	bool drops_in_route, stops_in_route;
} server;

static void on_hello(struct http_exchange *x)
{
	CHECK(x->user == &server);
	server.routed++;
	http_reply(x, 200, HTTP_TEXT, "hello\n", 6);
	CHECK_STR(x->request->path, "/hello"); /* readable until the function returns */
	http_reply(x, 500, HTTP_TEXT, "twice\n", 6);
	http_stream_begin(x, HTTP_TEXT);
	CHECK(!http_stream_write(x, "more", 4));
	http_stream_end(x);
}

/* The query back, between brackets. */
static void on_echo(struct http_exchange *x)
{
	char text[256];
	server.routed++;
	int n = snprintf(text, sizeof(text), "[%s]", x->request->query);
	http_reply(x, 200, HTTP_TEXT, text, (size_t)n);
}

static void on_mark(struct http_exchange *x)
{
	server.label_result = http_query(x->request->query, "label", server.label, sizeof(server.label));
	http_reply(x, 200, HTTP_TEXT, x->request->body, x->request->body_len);
}

static void on_big(struct http_exchange *x)
{
	char *body = malloc(server.big);
	memset(body, 'b', server.big);
	server.routed++;
	http_reply(x, 200, HTTP_TEXT, body, server.big);
	free(body);
}

static void on_gone(struct http_hold *hold)
{
	CHECK(hold == &server.hold && hold->x == NULL);
	server.gone++;
	http_reply(hold->x, 200, HTTP_TEXT, "nobody", 6);
}

static void on_low(struct http_hold *hold)
{
	CHECK(hold == &server.hold && hold->x != NULL);
	server.lows++;
}

static void on_late(struct http_exchange *x)
{
	server.routed++;
	http_hold(x, &server.hold, on_gone, NULL);
	if (server.drops_in_route)
		http_drop(&server.hold);
	if (server.stops_in_route)
		httpd_stop(server.h);
}

static void on_stream(struct http_exchange *x)
{
	server.routed++;
	http_stream_begin(x, HTTP_EVENTS);
	(void)http_stream_write(x, "", 0);
	(void)http_stream_write(x, "one\n", 4);
	http_hold(x, &server.hold, on_gone, on_low);
	if (server.drops_in_route)
		http_drop(&server.hold);
}

static void on_short_stream(struct http_exchange *x)
{
	http_stream_begin(x, HTTP_CSV);
	(void)http_stream_write(x, "1,2\n", 4);
	(void)http_stream_write(x, "0123456789abcdef0123456789abcdef", 32);
	http_stream_end(x);
	CHECK(!http_stream_write(x, "late", 4));
}

static void on_events(struct http_exchange *x)
{
	http_stream_begin(x, HTTP_EVENTS);
	(void)http_stream_event(x, "one");
	(void)http_stream_event(x, "two\nlines\r\nand\rmore\n\n.");
	(void)http_stream_event(x, "");
	http_stream_end(x);
	CHECK(!http_stream_event(x, "late"));
}

static void on_nothing(struct http_exchange *x)
{
	http_no_content(x);
	http_redirect(x, "/twice");
}

static void on_form(struct http_exchange *x)
{
	http_redirect(x, "/hello?from=form");
	http_no_content(x);
}

static const struct http_route routes[] = {
	{ "/empty", HTTP_POST, on_nothing },     { "/form", HTTP_POST, on_form },
	{ "/hello", HTTP_GET, on_hello },        { "/echo", HTTP_GET | HTTP_POST, on_echo },
	{ "/mark", HTTP_POST, on_mark },         { "/big", HTTP_GET, on_big },
	{ "/late", HTTP_GET, on_late },          { "/stream", HTTP_GET, on_stream },
	{ "/short", HTTP_GET, on_short_stream }, { "/events", HTTP_GET, on_events },
};

/* With routes, user and names; the rest of `o` is the test's. */
static void serve(struct reactor *r, struct httpd_options o, uint64_t buffer)
{
	static const char *const names[] = { "box.example", NULL };
	struct sock_options so = { .send_buffer = buffer };
	server = (struct server){ .r = r, .big = BIG };
	o.routes = routes;
	o.n_routes = COUNT_OF(routes);
	o.names = names;
	o.user = &server;
	int fd = loopback_listen(&server.at, &so);
	server.h = httpd_start(r, fd, &o);
	if (!CHECK(server.h != NULL))
		abort();
}

/* Everything is over, and nothing stays armed. */
static void end_server(void)
{
	struct httpd_tally t = httpd_tally(server.h);
	CHECK(t.exchanges <= t.live && t.live <= t.connections);
	httpd_stop(server.h);
	run(server.r);
}

/* --- clients ------------------------------------------------------------------------------------------------------ */

struct client {
	int fd, err;
	bool is_over; /* end of file, or err */
	size_t n;
	char text[FILL + 1]; /* what has come, the beginning of it */
	uint64_t received;
};

static void client_open(struct client *c, uint64_t buffer)
{
	struct sock_options o = { .receive_buffer = buffer, .nodelay = true };
	*c = (struct client){ .fd = loopback_connect(&server.at, &o) };
}

static void client_send(struct client *c, const char *text)
{
	CHECK_INT(send(c->fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static bool client_pull(struct client *c)
{
	static char block[256 * 1024];
	ssize_t n = c->is_over ? -1 : recv(c->fd, block, sizeof(block), 0);
	if (n < 0) {
		c->err = c->is_over || errno == EAGAIN ? c->err : errno;
		c->is_over |= c->err != 0;
		return false;
	}
	size_t room = FILL - c->n, keep = (size_t)n < room ? (size_t)n : room;
	memcpy(c->text + c->n, block, keep);
	c->n += keep;
	c->received += (uint64_t)n;
	c->is_over = n == 0;
	return n > 0;
}

static bool client_has(struct client *c, const char *text)
{
	client_pull(c);
	return strstr(c->text, text) != NULL;
}

static bool client_is_over(struct client *c)
{
	client_pull(c);
	return c->is_over;
}

static void client_close(struct client *c)
{
	close(c->fd);
}

/* What comes back until the server closes, which it must do in order. */
static const char *ask(const char *request)
{
	static struct client c;
	client_open(&c, 0);
	client_send(&c, request);
	RUN_UNTIL(server.r, client_is_over(&c));
	CHECK_INT(c.err, 0);
	client_close(&c);
	return c.text;
}

static const char *asked; /* for the story of a failure */

static bool answers(const char *request, const char *begin, const char *end)
{
	asked = ask(request);
	size_t n = strlen(asked), m = strlen(end);
	bool is_right = strncmp(asked, begin, strlen(begin)) == 0 && n >= m && strcmp(asked + n - m, end) == 0;
	if (!is_right)
		fprintf(stderr, "    to %.200s    came\n%s\n", request, asked);
	return is_right;
}

static bool said(const char *text)
{
	return strstr(asked, text) != NULL;
}

static unsigned count(const char *in, const char *text)
{
	unsigned n = 0;
	while ((in = strstr(in, text)) != NULL) {
		n++;
		in += strlen(text);
	}
	return n;
}

#define H_CLOSE "Host: localhost\r\nConnection: close\r\n\r\n"
#define H_KEEP  "Host: localhost\r\n\r\n"

/* --- answers at once ---------------------------------------------------------------------------------------------- */

static void test_answer(struct reactor *r)
{
	serve(r, (struct httpd_options){ 0 }, 0);
	CHECK(answers("GET /hello HTTP/1.1\r\n" H_CLOSE, "HTTP/1.1 200 OK\r\n", "\r\n\r\nhello\n"));
	CHECK(said("\r\nContent-Length: 6\r\n") && said("\r\nConnection: close\r\n"));
	CHECK(said("\r\nContent-Type: text/plain; charset=utf-8\r\n") && said("\r\nCache-Control: no-store\r\n"));
	CHECK(said("\r\nContent-Security-Policy: default-src 'self' 'unsafe-inline'"));
	CHECK(said("\r\nX-Content-Type-Options: nosniff\r\n") && said("\r\nReferrer-Policy: same-origin\r\n"));
	CHECK(answers("HEAD /hello HTTP/1.1\r\n" H_CLOSE, "HTTP/1.1 200 OK\r\n", "\r\n\r\n"));
	CHECK(said("\r\nContent-Length: 6\r\n") && !said("hello"));
	CHECK(answers("GET /hello HTTP/1.0\r\n\r\n", "HTTP/1.1 200 OK\r\n", "hello\n"));
	CHECK(said("\r\nConnection: close\r\n"));
	CHECK(answers("GET http://127.0.0.1/echo?x%20 HTTP/1.0\r\n\r\n", "HTTP/1.1 200 OK\r\n", "[x%20]"));
	CHECK_INT(httpd_tally(server.h).requests, 4);
	CHECK_INT(httpd_tally(server.h).refused, 0);
	CHECK_INT(server.routed, 4);
	end_server();
}

/* Without content there is no length either (RFC 9110 8.6), and the next answer on the connection follows right
 * behind. */
static void test_no_content(struct reactor *r)
{
	serve(r, (struct httpd_options){ 0 }, 0);
	CHECK(answers("POST /empty HTTP/1.1\r\n" H_KEEP "GET /echo?next HTTP/1.1\r\n" H_CLOSE,
		      "HTTP/1.1 204 No Content\r\n", "\r\n\r\n[next]"));
	CHECK_INT(count(asked, "HTTP/1.1 "), 2);
	CHECK_INT(count(asked, "Content-Length"), 1);
	CHECK_INT(count(asked, "Content-Type: "), 1);
	CHECK(answers("POST /form HTTP/1.1\r\n" H_CLOSE, "HTTP/1.1 303 See Other\r\n", "see /hello?from=form\n"));
	CHECK(said("\r\nLocation: /hello?from=form\r\n") && said("\r\nContent-Length: 21\r\n"));
	end_server();
}

static void test_methods(struct reactor *r)
{
	serve(r, (struct httpd_options){ 0 }, 0);
	CHECK(answers("GET /nothing HTTP/1.1\r\n" H_CLOSE, "HTTP/1.1 404 Not Found\r\n", "no such page\n"));
	CHECK(answers("HEAD /nothing HTTP/1.1\r\n" H_CLOSE, "HTTP/1.1 404 Not Found\r\n", "\r\n\r\n"));
	CHECK(answers("POST /hello HTTP/1.1\r\n" H_CLOSE, "HTTP/1.1 405 ", "this method\n"));
	CHECK(said("\r\nAllow: GET, HEAD\r\n"));
	CHECK(answers("DELETE /echo HTTP/1.1\r\n" H_CLOSE, "HTTP/1.1 405 ", "this method\n"));
	CHECK(said("\r\nAllow: GET, HEAD, POST\r\n"));
	CHECK(answers("GET /mark HTTP/1.1\r\n" H_CLOSE, "HTTP/1.1 405 ", "this method\n"));
	CHECK(said("\r\nAllow: POST\r\n"));
	CHECK(answers("POST /mark?label=a%20b HTTP/1.1\r\nContent-Length: 3\r\n" H_CLOSE "xyz", "HTTP/1.1 200 ",
		      "\r\n\r\nxyz"));
	CHECK_STR(server.label, "a b");
	CHECK(answers("POST /mark HTTP/1.1\r\n" H_CLOSE, "HTTP/1.1 200 ", "\r\n\r\n"));
	CHECK_INT(server.label_result, 0);
	CHECK_INT(httpd_tally(server.h).refused, 5);
	end_server();
}

/* A page of another site can reach us by a name that it made point to us; and can make a browser POST. */
static void test_strangers(struct reactor *r)
{
	static const char *const ours[] = { "localhost", "LOCALHOST:80", "127.0.0.1:3000",
					    "[::1]:1",   "192.0.2.1",    "Box.Example:1" };
	static const char *const strange[] = {
		"evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "x:y", "", "[::1"
	};
	char request[256];
	serve(r, (struct httpd_options){ 0 }, 0);
	for (size_t i = 0; i < COUNT_OF(ours); i++) {
		snprintf(request, sizeof(request), "GET /hello HTTP/1.1\r\nConnection: close\r\nHost: %s\r\n\r\n",
			 ours[i]);
		CHECK(answers(request, "HTTP/1.1 200 ", "hello\n"));
	}
	for (size_t i = 0; i < COUNT_OF(strange); i++) {
		snprintf(request, sizeof(request), "GET /hello HTTP/1.1\r\nConnection: close\r\nHost: %s\r\n\r\n",
			 strange[i]);
		CHECK(answers(request, "HTTP/1.1 421 ", "\n") && !said("hello"));
	}
	CHECK(answers("GET http://evil.example/hello HTTP/1.1\r\n" H_CLOSE, "HTTP/1.1 421 ", "\n"));
	CHECK(answers("POST /mark HTTP/1.1\r\nOrigin: http://localhost\r\n" H_CLOSE, "HTTP/1.1 200 ", ""));
	CHECK(answers("POST /mark HTTP/1.1\r\nOrigin: http://localhost:1\r\n" H_CLOSE, "HTTP/1.1 403 ", ""));
	CHECK(answers("POST /mark HTTP/1.1\r\nOrigin: http://evil.example\r\n" H_CLOSE, "HTTP/1.1 403 ", ""));
	CHECK(answers("POST /mark HTTP/1.1\r\nOrigin: null\r\n" H_CLOSE, "HTTP/1.1 403 ", ""));
	CHECK(answers("GET /hello HTTP/1.1\r\nOrigin: http://evil.example\r\n" H_CLOSE, "HTTP/1.1 200 ", ""));
	end_server();
}

/* --- connections that are kept ------------------------------------------------------------------------------------ */

static void test_kept(struct reactor *r)
{
	struct client c;
	serve(r, (struct httpd_options){ 0 }, 0);
	client_open(&c, 0);
	client_send(&c, "GET /echo?1 HTTP/1.1\r\n" H_KEEP);
	RUN_UNTIL(r, client_has(&c, "[1]"));
	CHECK(client_has(&c, "\r\nConnection: keep-alive\r\n"));
	client_send(&c, "HEAD /echo?2 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
	RUN_UNTIL(r, client_has(&c, "Length: 3\r\nHTTP") || count(c.text, "HTTP/1.1") == 2);
	client_send(&c, "GET /nothing HTTP/1.1\r\n" H_KEEP);
	RUN_UNTIL(r, client_has(&c, "no such page"));
	client_send(&c, "GET /echo?3 HTTP/1.0\r\n\r\n");
	RUN_UNTIL(r, client_is_over(&c));
	CHECK_INT(c.err, 0);
	CHECK(strstr(c.text, "[3]") != NULL && strstr(c.text, "[2]") == NULL);
	CHECK_INT(httpd_tally(server.h).connections, 1);
	client_close(&c);
	end_server();
}

enum { PIPELINED = 100 };

static size_t write_requests(char *text, unsigned n)
{
	size_t len = 0;
	for (unsigned i = 0; i < n; i++)
		len += (size_t)sprintf(text + len, "GET /echo?%u HTTP/1.1\r\n%s", i, i + 1 == n ? H_CLOSE : H_KEEP);
	return len;
}

/* Each answer, in order. */
static void check_answers(const char *text, unsigned n)
{
	char body[32];
	CHECK_INT(count(text, "HTTP/1.1 200 OK\r\n"), n);
	for (unsigned i = 0; i < n && text != NULL; i++) {
		snprintf(body, sizeof(body), "\r\n\r\n[%u]", i);
		text = strstr(text, body);
		CHECK(text != NULL);
	}
}

static void test_pipelined(struct reactor *r)
{
	static char text[PIPELINED * 80], answer[PIPELINED * 600];
	struct client c;
	size_t len = write_requests(text, PIPELINED), n = 0;
	serve(r, (struct httpd_options){ 0 }, 0);
	client_open(&c, 0);
	CHECK_INT(send(c.fd, text, len, 0), len);
	RUN_UNTIL(r, client_pull(&c) || server.routed > 0);
	CHECK(server.routed <=
	      2 * HTTPD_BATCH); /* one in the event, one at the end of the round; then others have their turn */
	while (!c.is_over) {
		memcpy(answer + n, c.text, c.n);
		n += c.n;
		c.n = 0;
		client_pull(&c);
		one_round(r);
	}
	answer[n] = '\0';
	CHECK_INT(c.err, 0);
	check_answers(answer, PIPELINED);
	client_close(&c);
	end_server();
}

/* Sent in pieces of any length, the loop running between them. */
static void test_pieces(struct reactor *r)
{
	static char text[20 * 80];
	static uint64_t random_index;
	serve(r, (struct httpd_options){ 0 }, 0);
	for (int times = 0; times < 20; times++) {
		static struct client c;
		size_t len = write_requests(text, 10);
		client_open(&c, 0);
		for (size_t at = 0, n; at < len; at += n) {
			n = 1 + (size_t)(prng_word(5, random_index++) % (times < 2 ? 1 : 60));
			n = n < len - at ? n : len - at;
			CHECK_INT(send(c.fd, text + at, n, 0), n);
			one_round(r);
		}
		RUN_UNTIL(r, client_is_over(&c));
		check_answers(c.text, 10);
		client_close(&c);
	}
	end_server();
}

/* An answer that the client does not read keeps the next request waiting, and no more than it is held in memory. */
static void read_slowly(struct reactor *r, size_t big)
{
	struct client c;
	serve(r, (struct httpd_options){ .linger_ns = 5 * NS_PER_MS }, SMALL_BUFFER);
	server.big = big;
	client_open(&c, SMALL_BUFFER);
	client_send(&c, "GET /big HTTP/1.1\r\n" H_KEEP "GET /big HTTP/1.1\r\n" H_KEEP "GET /big HTTP/1.1\r\n" H_CLOSE);
	CHECK(rounds_in(r, 20 * NS_PER_MS) < 200);
	CHECK_INT(server.routed, 1);
	RUN_UNTIL(r, (client_pull(&c), server.routed == 3));
	(void)rounds_in(r, 20 * NS_PER_MS); /* longer than the server waits when all has left, which it has not */
	RUN_UNTIL(r, client_is_over(&c));
	CHECK_INT(c.err, 0);
	CHECK(c.received > 3 * (uint64_t)big && c.received < 3 * (uint64_t)big + 3000);
	client_close(&c);
	end_server();
}

static void test_slow_reader(struct reactor *r)
{
	read_slowly(r, BIG);
	read_slowly(r, MEDIUM);
}

/* --- refusals ----------------------------------------------------------------------------------------------------- */

/* The client gets to read why, although it still sends: no reset overtakes the answer. */
static void test_refusal_arrives(struct reactor *r)
{
	static char junk[100 * 1024];
	struct client c;
	serve(r, (struct httpd_options){ .linger_ns = CLK_NEVER / 2 }, 0);
	for (int times = 0; times < 5; times++) {
		client_open(&c, 0);
		memset(junk, 'x', sizeof(junk));
		client_send(&c, "GET /\n");
		CHECK_INT(send(c.fd, junk, sizeof(junk), MSG_NOSIGNAL), sizeof(junk));
		RUN_UNTIL(r, client_has(&c, "LF alone"));
		for (size_t sent = 0; sent < 3000 * 1000;) { /* more than a connection would keep */
			ssize_t n = send(c.fd, junk, sizeof(junk), MSG_NOSIGNAL);
			sent += n > 0 ? (size_t)n : 0;
			if (!CHECK(n > 0 || errno == EAGAIN))
				break;
			one_round(r);
		}
		RUN_UNTIL(r, client_is_over(&c));
		CHECK_INT(c.err, 0);
		CHECK(strncmp(c.text, "HTTP/1.1 400 Bad Request\r\n", 26) == 0);
		client_close(&c);
		RUN_UNTIL(r, httpd_tally(server.h).live == 0); /* the client's end ends it */
	}
	CHECK_INT(server.routed, 0);
	CHECK_INT(httpd_tally(server.h).refused, 5);
	end_server();
}

static void test_refusals(struct reactor *r)
{
	static char request[10000];
	serve(r, (struct httpd_options){ 0 }, 0);
	CHECK(answers("GET /hello HTTP/1.1\r\n\r\nGET /hello HTTP/1.1\r\n" H_KEEP, "HTTP/1.1 400 ", "say Host\n"));
	CHECK(answers("POST /mark HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" H_KEEP "0\r\n\r\n", "HTTP/1.1 501 ",
		      "\n"));
	CHECK(answers("POST /mark HTTP/1.1\r\nContent-Length: 4097\r\n" H_KEEP, "HTTP/1.1 413 ", "\n"));
	CHECK(answers("GET / HTTP/3.0\r\n", "HTTP/1.1 505 ", "\n"));
	CHECK(answers("BREW / HTTP/1.1\r\n", "HTTP/1.1 501 ", "\n"));
	memset(request, 'a', sizeof(request) - 1);
	CHECK(answers(request, "HTTP/1.1 414 ", "\n"));
	memcpy(request, "GET /", 5);
	CHECK(answers(request, "HTTP/1.1 414 ", "\n"));
	memcpy(request, "GET / HTTP/1.0\r\nA:", 18);
	CHECK(answers(request, "HTTP/1.1 431 ", "\n"));
	CHECK_INT(server.routed, 0);
	CHECK_INT(httpd_tally(server.h).requests, 0);
	end_server();
}

/* Our own end comes first: in the middle of a head that is a mistake, after it the answer is still wanted. */
static void test_half_closed(struct reactor *r)
{
	struct client c;
	serve(r, (struct httpd_options){ 0 }, 0);
	client_open(&c, 0);
	client_send(&c, "GET /hello HTTP/1.1\r\n");
	shutdown(c.fd, SHUT_WR);
	RUN_UNTIL(r, client_is_over(&c));
	CHECK(strstr(c.text, "in the middle") != NULL && c.err == 0);
	client_close(&c);
	client_open(&c, 0);
	client_send(&c, "GET /echo?1 HTTP/1.1\r\n" H_KEEP "GET /echo?2 HTTP/1.1\r\n" H_KEEP);
	shutdown(c.fd, SHUT_WR);
	RUN_UNTIL(r, client_is_over(&c));
	CHECK(strstr(c.text, "[2]") != NULL && c.err == 0);
	client_close(&c);
	client_open(&c, 0);
	shutdown(c.fd, SHUT_WR);
	RUN_UNTIL(r, client_is_over(&c));
	CHECK(c.received == 0 && c.err == 0);
	client_close(&c);
	end_server();
}

/* --- later -------------------------------------------------------------------------------------------------------- */

static void open_late(struct client *c, const char *path)
{
	char request[128];
	unsigned routed = server.routed;
	client_open(c, 0);
	snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\n" H_KEEP, path);
	client_send(c, request);
	RUN_UNTIL(server.r, server.routed > routed);
}

static void test_late(struct reactor *r)
{
	struct client c;
	serve(r, (struct httpd_options){ .linger_ns = CLK_NEVER / 2 }, 0);
	open_late(&c, "/late");
	client_send(&c, "GET /echo?next HTTP/1.1\r\n" H_KEEP);
	CHECK(rounds_in(r, 5 * NS_PER_MS) < FEW);
	CHECK(server.hold.x != NULL && !client_has(&c, "H"));
	CHECK_STR(server.hold.x->request->path, "/late");
	CHECK_INT(httpd_tally(server.h).exchanges, 1);
	http_reply(server.hold.x, 200, HTTP_TEXT, "late", 4);
	CHECK(server.hold.x == NULL);
	http_reply(server.hold.x, 200, HTTP_TEXT, "twice", 5);
	http_drop(&server.hold);
	RUN_UNTIL(r, client_has(&c, "[next]"));
	CHECK(strstr(c.text, "\r\n\r\nlateHTTP/1.1 200") != NULL && strstr(c.text, "twice") == NULL);
	CHECK_INT(httpd_tally(server.h).exchanges, 0);
	CHECK_INT(server.gone, 0);
	client_close(&c);
	client_open(&c, 0); /* the last answer, given late: the server reads again, to see the client's end */
	client_send(&c, "GET /late HTTP/1.1\r\n" H_CLOSE);
	RUN_UNTIL(r, server.hold.x != NULL);
	http_reply(server.hold.x, 200, HTTP_TEXT, "last", 4);
	RUN_UNTIL(r, client_is_over(&c));
	client_close(&c);
	RUN_UNTIL(r, httpd_tally(server.h).live == 0);
	end_server();
}

/* The client leaves, or the owner does. */
static void test_gone(struct reactor *r)
{
	struct client c;
	serve(r, (struct httpd_options){ 0 }, 0);
	open_late(&c, "/late");
	sock_abort(c.fd);
	RUN_UNTIL(r, server.gone == 1);
	CHECK_INT(httpd_tally(server.h).exchanges, 0);
	open_late(&c, "/late");
	http_drop(&server.hold);
	CHECK(server.hold.x == NULL);
	RUN_UNTIL(r, client_has(&c, "HTTP/1.1 503 "));
	client_close(&c);
	server.drops_in_route = true;
	open_late(&c, "/late");
	RUN_UNTIL(r, client_has(&c, "HTTP/1.1 503 "));
	client_close(&c);
	open_late(&c, "/stream");
	RUN_UNTIL(r, client_is_over(&c));
	CHECK_INT(c.err, ECONNRESET);
	client_close(&c);
	CHECK_INT(server.gone, 1);
	CHECK_INT(httpd_tally(server.h).exchanges, 0);
	end_server();
}

/* --- streams ------------------------------------------------------------------------------------------------------ */

static void test_stream(struct reactor *r)
{
	struct client c;
	serve(r, (struct httpd_options){ 0 }, 0);
	CHECK(answers("GET /short HTTP/1.1\r\n" H_CLOSE, "HTTP/1.1 200 ",
		      "\r\n\r\n4\r\n1,2\n\r\n20\r\n0123456789abcdef0123456789abcdef\r\n0\r\n\r\n"));
	CHECK(said("\r\nTransfer-Encoding: chunked\r\n") && !said("Content-Length"));
	CHECK(answers("GET /short HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "HTTP/1.1 200 ",
		      "\r\n\r\n1,2\n0123456789abcdef0123456789abcdef"));
	CHECK(said("\r\nConnection: close\r\n") && !said("chunked"));
	CHECK(answers("GET /events HTTP/1.0\r\n\r\n", "HTTP/1.1 200 ",
		      "\r\n\r\ndata: one\n\ndata: two\ndata: lines\ndata: and\ndata: more\ndata: \ndata: .\n\n\n"));
	CHECK(answers("HEAD /short HTTP/1.1\r\n" H_CLOSE, "HTTP/1.1 200 ", "chunked\r\n\r\n"));
	CHECK(answers("HEAD /stream HTTP/1.1\r\n" H_CLOSE, "HTTP/1.1 200 ", "chunked\r\n\r\n"));
	CHECK(server.hold.x == NULL);
	open_late(&c, "/stream");
	RUN_UNTIL(r, client_has(&c, "chunked\r\n\r\n4\r\none\n\r\n"));
	CHECK(http_stream_write(server.hold.x, "two\n", 4));
	RUN_UNTIL(r, client_has(&c, "4\r\ntwo\n\r\n"));
	http_reply(server.hold.x, 200, HTTP_TEXT, "wrong", 5); /* it is a stream: nothing happens */
	client_send(&c, "GET /echo?after HTTP/1.1\r\n" H_CLOSE);
	http_stream_end(server.hold.x);
	CHECK(server.hold.x == NULL && !http_stream_write(server.hold.x, "x", 1));
	RUN_UNTIL(r, client_is_over(&c));
	CHECK(strstr(c.text, "\r\n0\r\n\r\nHTTP/1.1 200 OK") != NULL && strstr(c.text, "[after]") != NULL);
	client_close(&c);
	CHECK_INT(server.gone, 0);
	end_server();
}

static void fill_stream(void)
{
	static const char piece[1000];
	while (http_stream_write(server.hold.x, piece, sizeof(piece)))
		;
}

/* A reader that stops is told nothing more; when it goes on, so does the stream. */
static void test_stream_pressure(struct reactor *r)
{
	struct client c;
	serve(r, (struct httpd_options){ 0 }, SMALL_BUFFER);
	open_late(&c, "/stream");
	unsigned lows;
	do { /* the client's kernel takes some of it */
		lows = server.lows;
		fill_stream();
		CHECK(rounds_in(r, 10 * NS_PER_MS) < FEW);
	} while (server.lows > lows);
	CHECK(server.hold.x != NULL);
	for (int i = 0; i < 3; i++, lows = server.lows) {
		RUN_UNTIL(r, (client_pull(&c), server.lows > lows));
		fill_stream();
	}
	sock_abort(c.fd);
	RUN_UNTIL(r, (fill_stream(), server.gone == 1));
	end_server();
}

/* One that does not listen to "enough" is ended before it fills the memory; and a client that takes nothing, after a
 * while. */
static void test_stream_limits(struct reactor *r)
{
	static char piece[100000];
	struct client c;
	serve(r, (struct httpd_options){ .stall_ns = 20 * NS_PER_MS }, SMALL_BUFFER);
	open_late(&c, "/stream");
	for (size_t n = 0; n < 50 * sizeof(piece); n += sizeof(piece))
		(void)http_stream_write(server.hold.x, piece, sizeof(piece));
	one_round(r);
	CHECK_INT(server.gone, 1);
	client_close(&c);
	open_late(&c, "/stream");
	RUN_UNTIL(r, (fill_stream(), server.gone == 2));
	client_close(&c);
	client_open(&c, SMALL_BUFFER);
	client_send(&c, "GET /big HTTP/1.1\r\n" H_CLOSE);
	RUN_UNTIL(r, server.routed == 3);
	RUN_UNTIL(r, httpd_tally(server.h).live == 0);
	client_close(&c);
	end_server();
}

/* --- limits ------------------------------------------------------------------------------------------------------- */

static void test_slow_head(struct reactor *r)
{
	struct client c;
	serve(r, (struct httpd_options){ .head_ns = 30 * NS_PER_MS, .idle_ns = 10 * NS_PER_MS, .linger_ns = NS_PER_S },
	      0);
	client_open(&c, 0); /* a byte now and then does not help */
	for (const char *p = "GET /hello HTTP/1.1\r\nA: a long time"; *p != '\0' && !c.is_over; p++) {
		(void)send(c.fd, p, 1, MSG_NOSIGNAL);
		(void)rounds_in(r, 2 * NS_PER_MS);
		client_pull(&c);
	}
	CHECK(strncmp(c.text, "HTTP/1.1 408 ", 13) == 0);
	RUN_UNTIL(r, client_is_over(&c));
	CHECK_INT(c.err, 0);
	client_close(&c);
	client_open(&c, 0); /* one that says nothing is told nothing */
	RUN_UNTIL(r, client_is_over(&c));
	CHECK(c.received == 0 && c.err == 0);
	client_close(&c);
	client_open(&c, 0); /* kept, and then nothing more: the limit is another one; and a second head has its time */
	client_send(&c, "GET /hello HTTP/1.1\r\n" H_KEEP);
	RUN_UNTIL(r, client_is_over(&c));
	CHECK(strstr(c.text, "hello") != NULL && strstr(c.text, "408") == NULL && c.err == 0);
	client_close(&c);
	client_open(&c, 0);
	client_send(&c, "GET /hello HTTP/1.1\r\n" H_KEEP "GET");
	RUN_UNTIL(r, client_is_over(&c));
	CHECK(strstr(c.text, "hello") != NULL && strstr(c.text, "HTTP/1.1 408 ") != NULL && c.err == 0);
	client_close(&c);
	end_server();
}

/* After a refusal the server waits for the client's end, but not for ever. */
static void test_linger(struct reactor *r)
{
	struct client c;
	serve(r, (struct httpd_options){ .linger_ns = 10 * NS_PER_MS }, 0);
	client_open(&c, 0);
	client_send(&c, "\x16");
	RUN_UNTIL(r, client_is_over(&c));
	CHECK_INT(httpd_tally(server.h).live, 1);
	RUN_UNTIL(r, httpd_tally(server.h).live == 0);
	client_close(&c);
	end_server();
}

/* Who came first and asks nothing makes room; who waits for an answer does not. */
static void test_too_many_connections(struct reactor *r)
{
	enum { LIMIT = 4 };
	static struct client late, c[LIMIT + 1];
	serve(r, (struct httpd_options){ .connections = LIMIT }, 0);
	open_late(&late, "/late");
	for (unsigned i = 1; i < LIMIT; i++) {
		client_open(&c[i], 0);
		client_send(&c[i], i == 1 ? "GET" : "");
		RUN_UNTIL(r, httpd_tally(server.h).live >= i + 1 || client_is_over(&c[1]));
	}
	RUN_UNTIL(r, client_is_over(&c[1]));
	CHECK(answers("GET /hello HTTP/1.1\r\n" H_CLOSE, "HTTP/1.1 200 ", "hello\n"));
	http_reply(server.hold.x, 200, HTTP_TEXT, "late", 4);
	RUN_UNTIL(r, client_has(&late, "late"));
	CHECK(!client_is_over(&c[LIMIT - 1]));
	for (unsigned i = 1; i < LIMIT; i++)
		client_close(&c[i]);
	client_close(&late);
	end_server();
}

static void test_too_many_exchanges(struct reactor *r)
{
	struct client c;
	serve(r, (struct httpd_options){ .exchanges = 1 }, 0);
	CHECK(answers("GET /hello HTTP/1.1\r\n" H_CLOSE, "HTTP/1.1 200 ", "hello\n"));
	open_late(&c, "/stream");
	CHECK(answers("GET /hello HTTP/1.1\r\n" H_CLOSE, "HTTP/1.1 503 ", "at once\n"));
	http_stream_end(server.hold.x);
	CHECK(answers("GET /hello HTTP/1.1\r\n" H_CLOSE, "HTTP/1.1 200 ", "hello\n"));
	client_close(&c);
	end_server();
}

/* --- the end ------------------------------------------------------------------------------------------------------ */

static void test_stop(struct reactor *r)
{
	struct client c[3];
	serve(r, (struct httpd_options){ 0 }, 0);
	open_late(&c[0], "/late");
	client_open(&c[1], 0);
	client_send(&c[1], "GET /hel");
	RUN_UNTIL(r, httpd_tally(server.h).live == 2);
	httpd_stop(server.h);
	CHECK(server.gone == 1 && server.hold.x == NULL);
	run(r);
	for (int i = 0; i < 2; i++) {
		RUN_UNTIL(r, client_is_over(&c[i]));
		client_close(&c[i]);
	}
	serve(r, (struct httpd_options){ 0 }, 0); /* in a route, nobody being connected but who asks */
	server.stops_in_route = true;
	open_late(&c[2], "/late");
	CHECK_INT(server.gone, 1);
	run(r);
	client_close(&c[2]);
	serve(r, (struct httpd_options){ 0 }, 0); /* nobody at all */
	end_server();
}

static void test_no_listener(struct reactor *r)
{
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	if (loop_is(r, "epoll"))
		CHECK(httpd_start(r, fd, &(struct httpd_options){ 0 }) == NULL && errno == EPERM);
	else
		close(fd);
	CHECK_INT(fcntl(fd, F_GETFD), -1);
}

/* --- whatever may come -------------------------------------------------------------------------------------------- */

static uint64_t random_index;

static size_t random_below(size_t n)
{
	return (size_t)(prng_word(6, random_index++) % n);
}

/* Requests with bytes changed, in pieces, and clients that leave at any time in any way: nothing but that the server
 * goes on. */
static void test_noise(struct reactor *r)
{
	static const char seed[] = "GET /echo?a HTTP/1.1\r\n" H_KEEP
				   "HEAD /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
				   "POST /mark HTTP/1.1\r\nContent-Length: 4\r\n" H_KEEP "body"
				   "GET /short HTTP/1.1\r\n" H_KEEP "GET /stream HTTP/1.1\r\n" H_CLOSE;
	serve(r, (struct httpd_options){ 0 }, 0);
	for (int times = 0; times < 300; times++) {
		static struct client c;
		char text[sizeof(seed)];
		memcpy(text, seed, sizeof(seed));
		for (size_t i = random_below(4); i > 0; i--)
			text[random_below(sizeof(seed) - 1)] = (char)random_below(256);
		size_t len = 1 + random_below(sizeof(seed) - 1), at = 0;
		client_open(&c, 0);
		while (at < len && !c.is_over) {
			size_t n = 1 + random_below(len - at);
			(void)send(c.fd, text + at, n, MSG_NOSIGNAL);
			at += n;
			one_round(r);
			client_pull(&c);
			http_drop(&server.hold);
		}
		if (random_below(2))
			sock_abort(c.fd);
		else
			client_close(&c);
		one_round(r);
		http_drop(&server.hold);
	}
	RUN_UNTIL(r, httpd_tally(server.h).live == 0);
	CHECK_INT(httpd_tally(server.h).exchanges, 0);
	CHECK(answers("GET /hello HTTP/1.1\r\n" H_CLOSE, "HTTP/1.1 200 ", "hello\n"));
	end_server();
}

int main(void)
{
	ON_EACH_LOOP(test_answer);
	ON_EACH_LOOP(test_no_content);
	ON_EACH_BACKEND(test_methods);
	ON_EACH_BACKEND(test_strangers);
	ON_EACH_LOOP(test_kept);
	ON_EACH_BACKEND(test_pipelined);
	ON_EACH_BACKEND(test_pieces);
	ON_EACH_BACKEND(test_slow_reader);
	ON_EACH_BACKEND(test_refusal_arrives);
	ON_EACH_BACKEND(test_refusals);
	ON_EACH_BACKEND(test_half_closed);
	ON_EACH_LOOP(test_late);
	ON_EACH_BACKEND(test_gone);
	ON_EACH_BACKEND(test_stream);
	ON_EACH_BACKEND(test_stream_pressure);
	ON_EACH_LOOP(test_stream_limits);
	ON_EACH_LOOP(test_slow_head);
	ON_EACH_LOOP(test_linger);
	ON_EACH_BACKEND(test_too_many_connections);
	ON_EACH_BACKEND(test_too_many_exchanges);
	ON_EACH_LOOP(test_stop);
	ON_EACH_BACKEND(test_no_listener);
	ON_EACH_BACKEND(test_noise);
	return check_done();
}
