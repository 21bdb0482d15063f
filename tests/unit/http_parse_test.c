/* http_parse_test.c - what is a request, what is none and why; that the answer does not depend on how the bytes were
 * cut; and then whatever a stranger may send: each prefix, each single byte changed, and noise. The bytes lie at the
 * end of memory of their own, so that ASan sees a read of one too many. */
#include "http_parse.h"

#include "check.h"
#include "prng.h"

#include <stdlib.h>

static struct http_request q;
static char settled[HTTP_HEAD_MAX + HTTP_BODY_MAX + 1];

static enum http_step parse_bytes(const void *p, size_t n)
{
	q = (struct http_request){ 0 };
	return http_parse(&q, p, n);
}

/* A whole request; its strings are in q. */
static bool is_whole(const char *text)
{
	size_t n = strlen(text);
	if (!CHECK_INT(parse_bytes(text, n), HTTP_DONE) || !CHECK_INT(q.len, n)) {
		fprintf(stderr, "    %d %s, of %s", q.status, q.why, text);
		return false;
	}
	memcpy(settled, text, n);
	http_request_settle(&q, settled);
	return true;
}

/* What is wrong, as its status; 0: nothing. */
static int status_of(const char *text)
{
	enum http_step step = parse_bytes(text, strlen(text));
	CHECK((step == HTTP_BAD) == (q.status != 0) && (q.why != NULL) == (q.status != 0));
	CHECK(strcmp(http_status_text(q.status), "Unknown") != 0 || q.status == 0);
	return step == HTTP_BAD ? q.status : 0;
}

#define HOST "Host: localhost\r\n"

/* --- requests ----------------------------------------------------------------------------------------------------- */

static void test_request(void)
{
	if (!is_whole("GET /a%20b/%c3%A4?x=1&y=%20 HTTP/1.1\r\nHost: [::1]:8080\r\nAccept: */*\r\n"
		      "X-Empty:\r\nx-empty: \t2\t \r\n\r\n"))
		return;
	CHECK_INT(q.method, HTTP_GET);
	CHECK_INT(q.minor, 1);
	CHECK(q.keeps_alive);
	CHECK_STR(q.path, "/a b/\xc3\xa4");
	CHECK_STR(q.query, "x=1&y=%20");
	CHECK_STR(q.host, "[::1]:8080");
	CHECK_STR(http_request_header(&q, "aCCEPT"), "*/*");
	CHECK_STR(http_request_header(&q, "X-Empty"), "");
	CHECK_STR(http_request_header(&q, "host"), "[::1]:8080");
	CHECK(http_request_header(&q, "Accep") == NULL);
	CHECK_INT(q.n_headers, 4);
	CHECK_INT(q.body_len, 0);
}

static void test_old_request(void)
{
	is_whole("\r\n\r\nHEAD / HTTP/1.0\r\n\r\n");
	CHECK_INT(q.method, HTTP_HEAD);
	CHECK_INT(q.minor, 0);
	CHECK(!q.keeps_alive && q.host == NULL && q.query == NULL);
	CHECK_STR(q.path, "/");
}

static void test_body(void)
{
	is_whole("POST /mark? HTTP/1.1\r\n" HOST "Content-Length: 05\r\n\r\na\r\n\r\n");
	CHECK_INT(q.method, HTTP_POST);
	CHECK_STR(q.query, "");
	CHECK_INT(q.body_len, 5);
	CHECK(memcmp(q.body, "a\r\n\r\n", 5) == 0);
	CHECK_INT(status_of("POST / HTTP/1.1\r\n" HOST "Content-Length: 4096\r\n\r\n"), 0);
	CHECK_INT(status_of("POST / HTTP/1.1\r\n" HOST "Content-Length: 4097\r\n\r\n"), 413);
	CHECK_INT(status_of("POST / HTTP/1.1\r\n" HOST "Content-Length: 99999999999999999999999999\r\n\r\n"), 413);
	CHECK_INT(status_of("POST / HTTP/1.1\r\n" HOST "Content-Length: 18446744073709551616\r\n\r\n"), 413); /* 2^64 */
}

/* Absolute form: its host is what counts, and the path may be missing. */
static void test_url(void)
{
	is_whole("GET http://a.example:80/x?y HTTP/1.1\r\n" HOST "\r\n");
	CHECK_STR(q.host, "a.example:80");
	CHECK_STR(q.path, "/x");
	CHECK_STR(q.query, "y");
	is_whole("GET HTTP://b HTTP/1.1\r\n" HOST "\r\n");
	CHECK_STR(q.host, "b");
	CHECK_STR(q.path, "/");
	is_whole("GET http://b?q HTTP/1.1\r\nHost:\r\n\r\n");
	CHECK_STR(q.host, "b");
	CHECK_STR(q.path, "/");
	CHECK_STR(q.query, "q");
	is_whole("GET http:///x HTTP/1.0\r\n\r\n");
	CHECK_STR(q.host, "");
	CHECK_STR(q.path, "/x");
}

static bool keeps(const char *version, const char *connection)
{
	char text[256];
	snprintf(text, sizeof(text), "GET / HTTP/%s\r\n" HOST "%s\r\n", version, connection);
	return is_whole(text) && q.keeps_alive;
}

static void test_connection(void)
{
	CHECK(keeps("1.1", ""));
	CHECK(keeps("1.9", ""));
	CHECK(!keeps("1.1", "Connection: close\r\n"));
	CHECK(!keeps("1.1", "Connection: Upgrade, CLOSE\r\n"));
	CHECK(!keeps("1.1", "Connection: keep-alive\r\nconnection:\tx ,,close\r\n"));
	CHECK(keeps("1.1", "Connection: closed, disclose\r\n"));
	CHECK(!keeps("1.0", ""));
	CHECK(keeps("1.0", "Connection: Keep-Alive\r\n"));
	CHECK(!keeps("1.0", "Connection: keep-alive, close\r\n"));
}

/* What follows is the next request's, and not looked at. */
static void test_pipelined(void)
{
	static const char two[] = "GET /1 HTTP/1.1\r\n" HOST "\r\n\x01garbage";
	CHECK_INT(parse_bytes(two, sizeof(two) - 1), HTTP_DONE);
	CHECK_INT(q.len, sizeof(two) - 1 - 8);
}

/* --- refusals ----------------------------------------------------------------------------------------------------- */

static const struct refusal {
	int status;
	const char *text;
} refusals[] = {
	{ 400, "GET /\r\n\r\n" }, /* HTTP/0.9 */
	{ 400, "GET  / HTTP/1.1\r\n" HOST "\r\n" },
	{ 400, "GET /  HTTP/1.1\r\n" HOST "\r\n" },
	{ 400, "GET / HTTP/1.1 \r\n" HOST "\r\n" },
	{ 400, " GET / HTTP/1.1\r\n" HOST "\r\n" },
	{ 400, "GET\t/\tHTTP/1.1\r\n" HOST "\r\n" },
	{ 400, "GET / http/1.1\r\n" HOST "\r\n" },
	{ 400, "GET / HTTP/11\r\n" HOST "\r\n" },
	{ 400, "G(T / HTTP/1.1\r\n" HOST "\r\n" },
	{ 400, "GET x HTTP/1.1\r\n" HOST "\r\n" },
	{ 400, "GET ftp://x/ HTTP/1.1\r\n" HOST "\r\n" },
	{ 400, "GET /# HTTP/1.1\r\n" HOST "\r\n" },
	{ 400, "GET /\xc3\xa4 HTTP/1.1\r\n" HOST "\r\n" },
	{ 400, "GET /%4 HTTP/1.1\r\n" HOST "\r\n" },
	{ 400, "GET /%4g HTTP/1.1\r\n" HOST "\r\n" },
	{ 400, "GET /a%00b HTTP/1.1\r\n" HOST "\r\n" },
	{ 400, "GET / HTTP/1.1\nHost: x\n\n" },
	{ 400, "GET / HTTP/1.1\r\nHost: x\n\r\n" },
	{ 400, "GET / HTTP/1.1\rHost: x\r\n\r\n" },
	{ 400, "GET / HTTP/1.1\r\r\n" HOST "\r\n" },
	{ 400, "GET / HTTP/1.1\r\n" HOST "A: x\ry\r\n\r\n" },
	{ 400, "GET / HTTP/1.1\r\n" HOST "A: x\r\r\n\r\n" },
	{ 400, "GET / HTTP/1.1\r\n" HOST "A: \x01\r\n\r\n" },
	{ 400, "GET / HTTP/1.1\r\n" HOST "A: \x7f\r\n\r\n" },
	{ 400, "\x16\x03\x01" }, /* a TLS client; at once, it never sends a line */
	{ 400, "GET / HTTP/1.1\r\n\r\n" },
	{ 400, "GET / HTTP/1.1\r\n" HOST HOST "\r\n" },
	{ 400, "GET / HTTP/1.0\r\n" HOST HOST "\r\n" },
	{ 400, "GET / HTTP/1.1\r\nHost: a b\r\n\r\n" },
	{ 400, "GET / HTTP/1.1\r\nHost: a,b\r\n\r\n" },
	{ 400, "GET / HTTP/1.1\r\nHost: a@b\r\n\r\n" },
	{ 400, "GET / HTTP/1.1\r\n" HOST " folded: x\r\n\r\n" },
	{ 400, "GET / HTTP/1.1\r\n folded: x\r\n" HOST "\r\n" },
	{ 400, "GET / HTTP/1.1\r\nHost : x\r\n\r\n" },
	{ 400, "GET / HTTP/1.1\r\n" HOST "no colon\r\n\r\n" },
	{ 400, "GET / HTTP/1.1\r\n" HOST ": x\r\n\r\n" },
	{ 400, "GET / HTTP/1.1\r\n" HOST "a\xff: x\r\n\r\n" },
	{ 400, "POST / HTTP/1.1\r\n" HOST "Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx" },
	{ 400, "POST / HTTP/1.1\r\n" HOST "Content-Length: 1\r\nContent-Length: 1\r\n\r\nx" },
	{ 400, "POST / HTTP/1.1\r\n" HOST "Content-Length: 1, 1\r\n\r\nx" },
	{ 400, "POST / HTTP/1.1\r\n" HOST "Content-Length: +1\r\n\r\nx" },
	{ 400, "POST / HTTP/1.1\r\n" HOST "Content-Length: -1\r\n\r\nx" },
	{ 400, "POST / HTTP/1.1\r\n" HOST "Content-Length: 0x1\r\n\r\nx" },
	{ 400, "POST / HTTP/1.1\r\n" HOST "Content-Length:\r\n\r\nx" },
	{ 417, "POST / HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 1\r\n\r\n" },
	{ 501, "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n" },
	{ 501, "POST / HTTP/1.1\r\n" HOST "Content-Length: 1\r\nTRANSFER-encoding: identity\r\n\r\n" },
	{ 501, "GET / HTTP/1.0\r\nTransfer-Encoding:\r\n\r\n" },
	{ 501, "get / HTTP/1.1\r\n" HOST "\r\n" },
	{ 501, "BREW / HTTP/1.1\r\n" HOST "\r\n" },
	{ 501, "OPTIONS * HTTP/1.1\r\n" HOST "\r\n" },
	{ 501, "CONNECT x:80 HTTP/1.1\r\n" HOST "\r\n" },
	{ 505, "GET / HTTP/2.0\r\n" HOST "\r\n" },
	{ 505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" },
	{ 505, "GET / HTTP/0.9\r\n\r\n" },
};

static void test_refusals(void)
{
	for (size_t i = 0; i < COUNT_OF(refusals); i++)
		if (!CHECK_INT(status_of(refusals[i].text), refusals[i].status))
			fprintf(stderr, "    of %s\n", refusals[i].text);
}

/* Others are read as far as they are known, so that the server can say which methods the page takes. */
static void test_other_methods(void)
{
	static const char *const methods[] = { "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "CONNECT" };
	char text[128];
	for (size_t i = 0; i < COUNT_OF(methods); i++) {
		snprintf(text, sizeof(text), "%s /x HTTP/1.1\r\n" HOST "\r\n", methods[i]);
		is_whole(text);
		CHECK_INT(q.method, HTTP_OTHER);
		CHECK_STR(q.path, "/x");
	}
}

/* --- limits ------------------------------------------------------------------------------------------------------- */

static char big[2 * HTTP_HEAD_MAX];

/* begin, then `fill` often enough that all is len bytes, then end. */
static size_t build(const char *begin, char fill, const char *end, size_t len)
{
	size_t n = strlen(begin), m = strlen(end);
	memcpy(big, begin, n);
	memset(big + n, fill, len - n - m);
	memcpy(big + len - m, end, m);
	return len;
}

static void test_head_limit(void)
{
	static const char begin[] = "GET / HTTP/1.1\r\n" HOST "A: ", end[] = "\r\n\r\n";
	CHECK_INT(parse_bytes(big, build(begin, 'a', end, HTTP_HEAD_MAX)), HTTP_DONE);
	memcpy(settled, big, HTTP_HEAD_MAX);
	http_request_settle(&q, settled);
	CHECK_INT(strlen(http_request_header(&q, "A")), HTTP_HEAD_MAX - sizeof(begin) + 1 - 4);
	CHECK_INT(parse_bytes(big, build(begin, 'a', end, HTTP_HEAD_MAX + 1)), HTTP_BAD);
	CHECK_INT(q.status, 431);
	CHECK_INT(parse_bytes(big, build("GET /", 'a', " HTTP/1.0\r\n\r\n", HTTP_HEAD_MAX)), HTTP_DONE);
	CHECK_INT(parse_bytes(big, build("GET /", 'a', "", HTTP_HEAD_MAX)), HTTP_MORE);
	CHECK_INT(parse_bytes(big, build("GET /", 'a', "", HTTP_HEAD_MAX + 1)), HTTP_BAD);
	CHECK_INT(q.status, 414);
}

static void test_header_limit(void)
{
	for (unsigned n = HTTP_HEADERS_MAX; n <= HTTP_HEADERS_MAX + 1; n++) {
		size_t len = (size_t)sprintf(big, "GET / HTTP/1.0\r\n");
		for (unsigned i = 0; i < n; i++)
			len += (size_t)sprintf(big + len, "h%u: %u\r\n", i, i);
		len += (size_t)sprintf(big + len, "\r\n");
		CHECK_INT(parse_bytes(big, len), n > HTTP_HEADERS_MAX ? HTTP_BAD : HTTP_DONE);
		CHECK_INT(q.status, n > HTTP_HEADERS_MAX ? 431 : 0);
	}
}

/* --- pieces of what was asked ------------------------------------------------------------------------------------- */

static void query_is(const char *query, const char *name, int result, const char *value)
{
	char out[8];
	if (!CHECK_INT(http_query(query, name, out, sizeof(out)), result) || (result == 1 && !CHECK_STR(out, value)))
		fprintf(stderr, "    of %s in %s\n", name, query);
}

static void test_query(void)
{
	query_is("a=1&b=2", "b", 1, "2");
	query_is("a=1&b=2", "a", 1, "1");
	query_is("a=1&b=2", "c", 0, "");
	query_is("ab=1&a=2", "a", 1, "2");
	query_is("a=1&ab=2", "ab", 1, "2");
	query_is("a=1&a=2", "a", 1, "1");
	query_is("l%61bel=x+y%2b", "label", 1, "x y+");
	query_is("a", "a", 1, "");
	query_is("a=", "a", 1, "");
	query_is("&&=&a=%3d=", "a", 1, "==");
	query_is("a=1234567", "a", 1, "1234567");
	query_is("a=12345678", "a", -1, "");
	query_is("a=%", "a", -1, "");
	query_is("a=%4", "a", -1, "");
	query_is("a=%zz", "a", -1, "");
	query_is("a=%00", "a", -1, "");
	query_is("a=x%00", "a", -1, "");
	query_is("%=1&a=2", "a", 1, "2");
	query_is("a%00=1", "a", 0, "");
	query_is("", "a", 0, "");
	query_is(NULL, "a", 0, "");
}

static void host_is(const char *host, const char *name)
{
	char out[12];
	bool is_host = http_host_name(host, out, sizeof(out));
	if (!CHECK_INT(is_host, name != NULL) || (is_host && !CHECK_STR(out, name)))
		fprintf(stderr, "    of %s\n", host);
}

static void test_host(void)
{
	host_is("localhost", "localhost");
	host_is("localhost:80", "localhost");
	host_is("localhost:", "localhost");
	host_is("127.0.0.1:8", "127.0.0.1");
	host_is("[::1]", "::1");
	host_is("[::1]:80", "::1");
	host_is("12345678901", "12345678901");
	host_is("123456789012", NULL);
	host_is("", NULL);
	host_is(":80", NULL);
	host_is("x:80a", NULL);
	host_is("x:80:80", NULL);
	host_is("::1", NULL);
	host_is("[::1", NULL);
	host_is("[::1]x", NULL);
	host_is("[]", NULL);
	host_is("[", NULL);
}

/* --- whatever may come -------------------------------------------------------------------------------------------- */

static uint64_t random_index;
static unsigned long executions;

static size_t random_below(size_t n)
{
	return (size_t)(prng_word(43, random_index++) % n);
}

/* In memory of just this length, in `pieces` pieces cut anywhere; each piece moves what came before it, as in a
 * queue. */
static void parse_in_pieces(const unsigned char *p, size_t n, size_t pieces, struct http_request *out)
{
	enum http_step step = HTTP_MORE;
	size_t have = 0;
	*out = (struct http_request){ 0 };
	for (size_t i = 1; i <= pieces && step == HTTP_MORE; i++) {
		have = i == pieces ? n : have + random_below(n - have + 1);
		unsigned char *copy = malloc(have + (have == 0));
		memcpy(copy, p, have);
		step = http_parse(out, copy, have);
		free(copy);
	}
	executions++;
	CHECK_INT(step == HTTP_BAD, out->status != 0);
}

static bool is_same(const struct http_request *a, const struct http_request *b)
{
	return a->status == b->status && a->why == b->why && a->method == b->method && a->minor == b->minor &&
	       a->keeps_alive == b->keeps_alive && a->seen == b->seen && a->len == b->len &&
	       a->has_head == b->has_head && a->n_headers == b->n_headers &&
	       memcmp(a->header, b->header, sizeof(a->header)) == 0 &&
	       memcmp(&a->target_path, &b->target_path, sizeof(a->target_path)) == 0;
}

static bool is_inside(const char *text, const char *p)
{
	return p == NULL || strcmp(p, "/") == 0 || (p >= text && p + strlen(p) < text + HTTP_HEAD_MAX + HTTP_BODY_MAX);
}

/* What a server does with a whole request. */
static void use_request(struct http_request *r, const unsigned char *p)
{
	char *text = malloc(r->len + 1), out[32];
	memcpy(text, p, r->len);
	http_request_settle(r, text);
	CHECK(r->path[0] == '/' && is_inside(text, r->path) && is_inside(text, r->query) && is_inside(text, r->host));
	CHECK(http_query(r->query, "label", out, sizeof(out)) <= 1 && strlen(out) < sizeof(out));
	CHECK(r->host == NULL || !http_host_name(r->host, out, sizeof(out)) || strlen(out) < sizeof(out));
	(void)http_request_header(r, "Origin");
	CHECK(r->body + r->body_len == text + r->len);
	free(text);
}

/* In one piece, and in several: the same; and what is a request is one that can be used. */
static void try_bytes(const unsigned char *p, size_t n, size_t pieces)
{
	static struct http_request whole, cut;
	parse_in_pieces(p, n, 1, &whole);
	parse_in_pieces(p, n, pieces, &cut);
	if (!CHECK(is_same(&whole, &cut)))
		fprintf(stderr, "    of \"%.*s\"\n", (int)n, (const char *)p);
	if (whole.status == 0 && whole.has_head && n >= whole.len)
		use_request(&whole, p);
}

static const char *const seeds[] = {
	"GET / HTTP/1.1\r\nHost: localhost:3000\r\nUser-Agent: x\r\nAccept: */*\r\n\r\n",
	"GET /json?label=a%20b&x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
	"POST /mark?label=%41+b HTTP/1.1\r\nHost: [::1]:1\r\nContent-Length: 3\r\nOrigin: http://[::1]:1\r\n\r\nabc",
	"HEAD http://127.0.0.1:80/%2e%2e/x?q HTTP/1.1\r\nHost: a\r\nConnection: a, close\r\n\r\n",
	"\r\nDELETE /x HTTP/1.1\r\nhost:\tb \r\nX: \xe4\r\n\r\nGET / HTTP/1.0\r\n\r\n",
};

static void fuzz_prefixes(void)
{
	for (size_t s = 0; s < COUNT_OF(seeds); s++)
		for (size_t n = 0; n <= strlen(seeds[s]); n++)
			try_bytes((const unsigned char *)seeds[s], n, n < 2 ? 2 : n);
}

/* Every byte of every head becomes every other byte. */
static void fuzz_single_bytes(void)
{
	unsigned char bytes[256];
	for (size_t s = 0; s < COUNT_OF(seeds); s++) {
		size_t n = strlen(seeds[s]);
		memcpy(bytes, seeds[s], n);
		for (size_t i = 0; i < n; i++)
			for (unsigned value = 0; value < 256; value++) {
				bytes[i] = (unsigned char)value;
				try_bytes(bytes, n, 3);
				bytes[i] = (unsigned char)seeds[s][i];
			}
	}
}

/* Pieces of heads, repeated, cut out, put elsewhere; and bytes of the kind that heads are made of. */
static size_t mutate(unsigned char *p, size_t n, size_t cap)
{
	static const char common[] = "\r\n\r\n: /?%&=.,[]HTTP/1.1\t\0\x7f\xff";
	size_t at = random_below(n + 1), len = random_below(12);
	switch (random_below(4)) {
	case 0: /* bytes change */
		for (size_t i = at; i < n && i < at + len; i++)
			p[i] = (unsigned char)common[random_below(sizeof(common) - 1)];
		return n;
	case 1: /* bytes go */
		len = len < n - at ? len : n - at;
		memmove(p + at, p + at + len, n - at - len);
		return n - len;
	default: /* bytes come, from elsewhere in it */
		len = len < cap - n ? len : cap - n;
		memmove(p + at + len, p + at, n - at);
		if (n > 0 && len <= n)
			memmove(p + at, p + random_below(n - len + 1), len);
		return n + len;
	}
}

static void fuzz_mutations(unsigned n_runs)
{
	unsigned char bytes[512];
	for (unsigned run = 0; run < n_runs; run++) {
		const char *seed = seeds[random_below(COUNT_OF(seeds))];
		size_t n = strlen(seed);
		memset(bytes, 'x', sizeof(bytes));
		memcpy(bytes, seed, n);
		for (size_t i = 0, times = 1 + random_below(4); i < times; i++)
			n = mutate(bytes, n, sizeof(bytes));
		try_bytes(bytes, n, 1 + random_below(6));
	}
}

static void fuzz_noise(unsigned n_runs)
{
	unsigned char bytes[64];
	for (unsigned run = 0; run < n_runs; run++) {
		size_t n = random_below(sizeof(bytes) + 1);
		prng_fill(44, (uint64_t)run * sizeof(bytes), bytes, n);
		try_bytes(bytes, n, 3);
	}
}

int main(void)
{
	test_request();
	test_old_request();
	test_body();
	test_url();
	test_connection();
	test_pipelined();
	test_refusals();
	test_other_methods();
	test_head_limit();
	test_header_limit();
	test_query();
	test_host();
	fuzz_prefixes();
	fuzz_single_bytes();
	fuzz_mutations(60000);
	fuzz_noise(30000);
	CHECK(executions > 300000);
	return check_done();
}
