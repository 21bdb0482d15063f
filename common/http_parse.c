/* http_parse.c - see http_parse.h. Bytes to lines, lines to slices; what the head says as a whole is decided at the
 * empty line; slices become strings in http_request_settle, when the bytes do not move any more. */
#include "http_parse.h"

#include <assert.h>
#include <string.h>
#include <strings.h>

static enum http_step bad(struct http_request *q, int status, const char *why)
{
	q->status = status;
	q->why = why;
	return HTTP_BAD;
}

static bool is_bad(const struct http_request *q)
{
	return q->status != 0;
}

static bool is_digit(unsigned char c)
{
	return c >= '0' && c <= '9';
}

static bool is_alnum(unsigned char c)
{
	return is_digit(c) || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
}

/* RFC 9110 5.6.2. */
static bool is_token(const unsigned char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!is_alnum(p[i]) && (p[i] == '\0' || strchr("!#$%&'*+-.^_`|~", p[i]) == NULL))
			return false;
	return n > 0;
}

static bool is_text(const unsigned char *p, size_t n, const char *text)
{
	return n == strlen(text) && memcmp(p, text, n) == 0;
}

static bool is_word(const unsigned char *p, size_t n, const char *word) /* in any case */
{
	return n == strlen(word) && strncasecmp((const char *)p, word, n) == 0;
}

static struct http_slice slice(size_t from, size_t to)
{
	return (struct http_slice){ (uint16_t)from, (uint16_t)(to - from) };
}

/* --- percent-encoding (RFC 3986 2.1) ------------------------------------------------------------------------------ */

static int hex_value(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10 : -1;
}

/* The byte at *p, decoded, and *p past it; -1 for a % without two hexadecimal digits. */
static int next_decoded(const char **p, const char *end)
{
	char c = *(*p)++;
	if (c != '%')
		return (unsigned char)c;
	if (end - *p < 2 || hex_value((*p)[0]) < 0 || hex_value((*p)[1]) < 0)
		return -1;
	int value = hex_value((*p)[0]) * 16 + hex_value((*p)[1]);
	*p += 2;
	return value;
}

/* A zero would end the string early: what is compared would not be what was sent. */
static bool is_decodable(const char *p, const char *end)
{
	while (p < end)
		if (next_decoded(&p, end) <= 0)
			return false;
	return true;
}

/* --- the request line (RFC 9112 3) -------------------------------------------------------------------------------- */

static enum http_method method_of(const unsigned char *p, size_t n)
{
	static const struct {
		const char *name;
		enum http_method method;
	} known[] = { { "GET", HTTP_GET },       { "HEAD", HTTP_HEAD },    { "POST", HTTP_POST },
		      { "PUT", HTTP_OTHER },     { "DELETE", HTTP_OTHER }, { "CONNECT", HTTP_OTHER },
		      { "OPTIONS", HTTP_OTHER }, { "TRACE", HTTP_OTHER },  { "PATCH", HTTP_OTHER } };
	for (size_t i = 0; i < COUNT_OF(known); i++)
		if (is_text(p, n, known[i].name))
			return known[i].method;
	return 0;
}

static void take_version(struct http_request *q, const unsigned char *p, size_t n)
{
	if (n != 8 || memcmp(p, "HTTP/", 5) != 0 || !is_digit(p[5]) || p[6] != '.' || !is_digit(p[7]))
		bad(q, 400, "the request line does not end with a version of HTTP");
	else if (p[5] != '1')
		bad(q, 505, "HTTP/1.0 and HTTP/1.1 are spoken here");
	else
		q->minor = p[7] - '0';
}

/* "http://name:port/path": what a proxy is asked with, and every server must understand (RFC 9112 3.2.2). It outweighs
 * Host. Where the path begins. */
static size_t take_authority(struct http_request *q, const unsigned char *p, size_t from, size_t to)
{
	static const size_t scheme = sizeof("http://") - 1;
	if (to - from < scheme || !is_word(p + from, scheme, "http://")) {
		bad(q, 400, "the target is neither a path nor a http URL");
		return to;
	}
	size_t end = from + scheme;
	while (end < to && p[end] != '/' && p[end] != '?')
		end++;
	q->is_absolute = true;
	q->host_value = slice(from + scheme, end);
	return end;
}

static void take_target(struct http_request *q, const unsigned char *p, size_t from, size_t to)
{
	for (size_t i = from; i < to; i++)
		if (p[i] >= 0x7f || p[i] == '#' || p[i] == '\t') {
			bad(q, 400, "the target contains what has to be percent-encoded");
			return;
		}
	if (q->method == HTTP_OTHER && p[from] != '/') { /* OPTIONS *, CONNECT name:port */
		bad(q, 501, "this method is not known here");
		return;
	}
	if (p[from] != '/')
		from = take_authority(q, p, from, to);
	const unsigned char *mark = memchr(p + from, '?', to - from);
	size_t end = mark != NULL ? (size_t)(mark - p) : to;
	q->target_path = slice(from, end);
	q->has_query = mark != NULL;
	if (mark != NULL)
		q->target_query = slice(end + 1, to);
	if (!is_decodable((const char *)p + from, (const char *)p + end))
		bad(q, 400, "the path has a % that encodes nothing");
}

static void take_request_line(struct http_request *q, const unsigned char *p, size_t from, size_t to)
{
	const unsigned char *one = memchr(p + from, ' ', to - from);
	size_t target = one != NULL ? (size_t)(one - p) + 1 : to;
	const unsigned char *two = memchr(p + target, ' ', to - target);
	size_t version = two != NULL ? (size_t)(two - p) + 1 : to;
	if (one == NULL || two == NULL || version - 1 == target || !is_token(p + from, target - 1 - from)) {
		bad(q, 400, "the request line is not METHOD TARGET VERSION");
		return;
	}
	q->has_line = true;
	take_version(q, p + version, to - version);
	if (is_bad(q))
		return;
	q->method = method_of(p + from, target - 1 - from);
	if (q->method == 0)
		bad(q, 501, "this method is not known here");
	else
		take_target(q, p, target, version - 1);
}

/* --- headers (RFC 9112 5) ----------------------------------------------------------------------------------------- */

static void take_length(struct http_request *q, const unsigned char *p, size_t n)
{
	if (q->has_length || n == 0) {
		bad(q, 400, "there is more than one Content-Length, or it is empty");
		return;
	}
	q->has_length = true;
	for (size_t i = 0; i < n && !is_bad(q); i++) {
		if (!is_digit(p[i]))
			bad(q, 400, "Content-Length is not a number");
		else if (q->body_len <= HTTP_BODY_MAX) /* else it is too much already, and may not overflow */
			q->body_len = q->body_len * 10 + (size_t)(p[i] - '0');
	}
}

/* The tokens of a list "a, b": what concerns us is close and keep-alive (RFC 9112 9.3). */
static void take_connection(const unsigned char *p, size_t n, bool *closes, bool *keeps)
{
	for (size_t i = 0; i < n;) {
		size_t from = i;
		while (i < n && p[i] != ',' && p[i] != ' ' && p[i] != '\t')
			i++;
		*closes |= is_word(p + from, i - from, "close");
		*keeps |= is_word(p + from, i - from, "keep-alive");
		i += i < n;
	}
}

static bool is_host(const unsigned char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] <= ' ' || p[i] >= 0x7f || strchr("/\\@,?#", p[i]) != NULL)
			return false;
	return true;
}

static void take_host(struct http_request *q, const unsigned char *p, struct http_slice value)
{
	if (q->has_host || !is_host(p + value.at, value.len)) {
		bad(q, 400, q->has_host ? "there is more than one Host" : "Host is not a name");
		return;
	}
	q->has_host = true;
	if (!q->is_absolute)
		q->host_value = value;
}

/* What some headers say to the parser itself. */
static void take_meaning(struct http_request *q, const unsigned char *p, const struct http_header *h)
{
	const unsigned char *name = p + h->name.at;
	if (is_word(name, h->name.len, "Content-Length"))
		take_length(q, p + h->value.at, h->value.len);
	else if (is_word(name, h->name.len, "Transfer-Encoding"))
		bad(q, 501, "a Transfer-Encoding is not understood here");
	else if (is_word(name, h->name.len, "Expect"))
		bad(q, 417, "send the body without being asked for it");
	else if (is_word(name, h->name.len, "Host"))
		take_host(q, p, h->value);
}

static void take_header(struct http_request *q, const unsigned char *p, size_t from, size_t to)
{
	if (p[from] == ' ' || p[from] == '\t') {
		bad(q, 400, "a header goes on in the next line");
		return;
	}
	const unsigned char *colon = memchr(p + from, ':', to - from);
	if (colon == NULL || !is_token(p + from, (size_t)(colon - p) - from)) {
		bad(q, 400, "a header is not NAME: VALUE");
		return;
	}
	if (q->n_headers == HTTP_HEADERS_MAX) {
		bad(q, 431, "too many headers");
		return;
	}
	size_t begin = (size_t)(colon - p) + 1;
	while (begin < to && (p[begin] == ' ' || p[begin] == '\t'))
		begin++;
	while (to > begin && (p[to - 1] == ' ' || p[to - 1] == '\t'))
		to--;
	struct http_header *h = &q->header[q->n_headers++];
	*h = (struct http_header){ slice(from, (size_t)(colon - p)), slice(begin, to) };
	take_meaning(q, p, h);
}

/* --- the whole ---------------------------------------------------------------------------------------------------- */

/* The empty line: what the head says as a whole. */
static void take_end(struct http_request *q, const unsigned char *p)
{
	bool closes = false, keeps = false;
	q->has_head = true;
	for (size_t i = 0; i < q->n_headers; i++)
		if (is_word(p + q->header[i].name.at, q->header[i].name.len, "Connection"))
			take_connection(p + q->header[i].value.at, q->header[i].value.len, &closes, &keeps);
	q->keeps_alive = !closes && (q->minor > 0 || keeps);
	q->len = q->seen + 1 + q->body_len;
	if (q->minor > 0 && !q->has_host)
		bad(q, 400, "HTTP/1.1 has to say Host");
	else if (q->body_len > HTTP_BODY_MAX)
		bad(q, 413, "the body is too long");
}

static void take_line(struct http_request *q, const unsigned char *p, size_t from, size_t to)
{
	if (!q->has_line && from == to)
		return; /* an empty line before the request is forgiven (RFC 9112 2.2) */
	if (!q->has_line)
		take_request_line(q, p, from, to);
	else if (from < to)
		take_header(q, p, from, to);
	else
		take_end(q, p);
}

static void take_byte(struct http_request *q, const unsigned char *p, unsigned char c)
{
	bool follows_cr = q->seen > 0 && p[q->seen - 1] == '\r';
	if (c == '\n' && follows_cr) {
		take_line(q, p, q->line, q->seen - 1);
		q->line = q->seen + 1;
	} else if (c == '\n') {
		bad(q, 400, "a line ends with CR LF, and not with LF alone");
	} else if (follows_cr || c == 0x7f || (c < ' ' && c != '\t' && c != '\r')) {
		bad(q, 400, "there is a control character in the head");
	}
}

enum http_step http_parse(struct http_request *q, const unsigned char *p, size_t n)
{
	while (!is_bad(q) && !q->has_head && q->seen < n) {
		if (q->seen == HTTP_HEAD_MAX)
			bad(q, q->has_line ? 431 : 414,
			    q->has_line ? "the head is too long" : "the target is too long");
		else
			take_byte(q, p, p[q->seen]);
		q->seen++;
	}
	if (is_bad(q))
		return HTTP_BAD;
	return q->has_head && n >= q->len ? HTTP_DONE : HTTP_MORE;
}

/* --- strings ------------------------------------------------------------------------------------------------------ */

/* What follows a slice is a separator that is not needed any more. */
static char *string_of(const struct http_request *q, struct http_slice s)
{
	q->text[s.at + s.len] = '\0';
	return q->text + s.at;
}

static void decode_in_place(char *text)
{
	const char *from = text, *end = text + strlen(text);
	while (from < end)
		*text++ = (char)next_decoded(&from, end);
	*text = '\0';
}

void http_request_settle(struct http_request *q, char *text)
{
	assert(q->has_head && !is_bad(q));
	q->text = text;
	text[q->len] = '\0';
	q->body = text + q->len - q->body_len;
	if (q->is_absolute) { /* no separator between host and path: the host moves over the second slash before it */
		memmove(text + q->host_value.at - 1, text + q->host_value.at, q->host_value.len);
		q->host_value.at--;
	}
	if (q->has_query)
		q->query = string_of(q, q->target_query);
	char *path = string_of(q, q->target_path);
	decode_in_place(path);
	q->path = path[0] != '\0' ? path : "/"; /* RFC 9110 4.2.3 */
	for (size_t i = 0; i < q->n_headers; i++) {
		string_of(q, q->header[i].name);
		string_of(q, q->header[i].value);
	}
	if (q->has_host || q->is_absolute)
		q->host = string_of(q, q->host_value);
}

const char *http_request_header(const struct http_request *q, const char *name)
{
	for (size_t i = 0; i < q->n_headers; i++)
		if (strcasecmp(q->text + q->header[i].name.at, name) == 0)
			return q->text + q->header[i].value.at;
	return NULL;
}

static int next_in_form(const char **p, const char *end)
{
	int c = **p == '+' ? ' ' : -1;
	if (c < 0)
		return next_decoded(p, end);
	(*p)++;
	return c;
}

static bool is_name(const char *p, const char *end, const char *name)
{
	while (p < end)
		if (*name == '\0' || next_in_form(&p, end) != (unsigned char)*name++)
			return false;
	return *name == '\0';
}

static int decode_value(const char *p, const char *end, char *out, size_t cap)
{
	size_t n = 0;
	int c = 1;
	while (p < end && c > 0 && n + 1 < cap) {
		c = next_in_form(&p, end);
		if (c > 0)
			out[n++] = (char)c;
	}
	out[n] = '\0';
	return p == end && c > 0 ? 1 : -1;
}

int http_query(const char *query, const char *name, char *out, size_t cap)
{
	assert(cap > 0);
	out[0] = '\0';
	while (query != NULL && *query != '\0') {
		size_t len = strcspn(query, "&");
		const char *end = query + len, *sign = memchr(query, '=', len);
		if (is_name(query, sign != NULL ? sign : end, name))
			return sign != NULL ? decode_value(sign + 1, end, out, cap) : 1;
		query = end + (*end == '&');
	}
	return 0;
}

bool http_host_name(const char *host, char *out, size_t cap)
{
	bool is_bracketed = host[0] == '[';
	const char *begin = host + is_bracketed, *end = begin + strcspn(begin, is_bracketed ? "]" : ":");
	const char *port = end;
	if (is_bracketed && *port++ != ']')
		return false;
	if (*port != '\0' && (*port != ':' || port[1 + strspn(port + 1, "0123456789")] != '\0'))
		return false;
	size_t len = (size_t)(end - begin);
	if (len == 0 || len >= cap)
		return false;
	memcpy(out, begin, len);
	out[len] = '\0';
	return true;
}

const char *http_status_text(int status)
{
	static const struct {
		int status;
		const char *text;
	} known[] = { { 200, "OK" },
		      { 204, "No Content" },
		      { 303, "See Other" },
		      { 400, "Bad Request" },
		      { 403, "Forbidden" },
		      { 404, "Not Found" },
		      { 405, "Method Not Allowed" },
		      { 408, "Request Timeout" },
		      { 409, "Conflict" },
		      { 413, "Content Too Large" },
		      { 414, "URI Too Long" },
		      { 417, "Expectation Failed" },
		      { 421, "Misdirected Request" },
		      { 431, "Request Header Fields Too Large" },
		      { 500, "Internal Server Error" },
		      { 501, "Not Implemented" },
		      { 503, "Service Unavailable" },
		      { 505, "HTTP Version Not Supported" } };
	for (size_t i = 0; i < COUNT_OF(known); i++)
		if (known[i].status == status)
			return known[i].text;
	return "Unknown";
}
