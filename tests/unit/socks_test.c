/* socks_test.c - what a user may type as a proxy; places, errors and replies there and back; and the dialogue with
 * servers that grant, refuse, speak slowly, stop in the middle, talk nonsense or say nothing. The server is a thread
 * with a script. */
#include "socks.h"

#include "check.h"
#include "clock.h"
#include "peers.h"
#include "sock.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#define BYTES(text) (text), sizeof(text) - 1

static const char text_255[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
			       "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
			       "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
			       "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde";

/* --- what the user typed ------------------------------------------------------------------------------------------ */

static const struct typed {
	const char *text;
	int version;
	const char *host;
	uint16_t port;
	const char *user, *password;
} typed[] = {
	{ "127.0.0.1", 5, "127.0.0.1", 1080, "", "" },
	{ "127.0.0.1:1", 5, "127.0.0.1", 1, "", "" },
	{ "example.net:65535", 5, "example.net", 65535, "", "" },
	{ "[::1]", 5, "::1", 1080, "", "" },
	{ "[fe80::1%eth0]:9050", 5, "fe80::1%eth0", 9050, "", "" },
	{ "socks5://localhost", 5, "localhost", 1080, "", "" },
	{ "SOCKS5H://localhost:2", 5, "localhost", 2, "", "" },
	{ "socks4://bob@localhost:3", 4, "localhost", 3, "bob", "" },
	{ "socks4a://[::1]:4", 4, "::1", 4, "", "" },
	{ "alice@h", 5, "h", 1080, "alice", "" },
	{ "alice:@h", 5, "h", 1080, "alice", "" },
	{ "alice:secret@h:5", 5, "h", 5, "alice", "secret" },
	{ "a:b:c@d@h:5", 5, "h", 5, "a", "b:c@d" },
	{ "a:%40@[::1]:5", 5, "::1", 5, "a", "%40" },
	{ "socks5://alice:se://cret@h:5", 5, "h", 5, "alice", "se://cret" },
	{ "1080.example.net", 5, "1080.example.net", 1080, "", "" },
};

static const struct {
	const char *text, *why;
} mistyped[] = {
	{ "", "no name" },
	{ ":1080", "no name" },
	{ "alice@", "no name" },
	{ "[]:1080", "no name" },
	{ "a b", "no name" },
	{ "h\n", "no name" },
	{ "h\xc3\xa4", "no name" },
	{ "1080", "which host" },
	{ "h:", "a port is" },
	{ "h:0", "a port is" },
	{ "h:65536", "a port is" },
	{ "h:-1", "a port is" },
	{ "h:80x", "a port is" },
	{ "h:18446744073709551617", "a port is" }, /* 2^64 + 1 */
	{ "[::1]x", "a port is" },
	{ "[::1", "not closed" },
	{ "::1", "in brackets" },
	{ "::1:1080", "in brackets" },
	{ "http://h", "scheme" },
	{ "://h", "scheme" },
	{ "socks://h", "scheme" },
	{ "socks5a://h", "scheme" },
	{ "socks4://a:b@h", "no password" },
	{ "@h", "no user" },
	{ ":secret@h", "no user" },
};

static void test_typed(void)
{
	for (size_t i = 0; i < COUNT_OF(typed); i++) {
		const struct typed *t = &typed[i];
		struct socks_proxy p;
		char why[SOCKS_WHY] = "";
		if (!CHECK(socks_proxy_parse(t->text, &p, why)))
			fprintf(stderr, "    %s: %s\n", t->text, why);
		CHECK_INT(p.version, t->version);
		CHECK_STR(p.host, t->host);
		CHECK_INT(p.port, t->port);
		CHECK_STR(p.user, t->user);
		CHECK_STR(p.password, t->password);
	}
	for (size_t i = 0; i < COUNT_OF(mistyped); i++) {
		struct socks_proxy p;
		char why[SOCKS_WHY] = "";
		CHECK(!socks_proxy_parse(mistyped[i].text, &p, why));
		if (!CHECK(strstr(why, mistyped[i].why) != NULL && strstr(why, "HOST[:PORT]") != NULL))
			fprintf(stderr, "    %s: %s\n", mistyped[i].text, why);
		CHECK(strstr(why, "secret") == NULL);
	}
}

/* 255 bytes are allowed, 256 are not: of a user, a password, a host. */
static void test_typed_lengths(void)
{
	struct socks_proxy p;
	char text[1100], why[SOCKS_WHY];
	snprintf(text, sizeof(text), "%s:%s@%s:7", text_255, text_255, text_255);
	CHECK(socks_proxy_parse(text, &p, why));
	CHECK_STR(p.user, text_255);
	CHECK_STR(p.password, text_255);
	CHECK_STR(p.host, text_255);
	static const char *const formats[] = { "%sx@h", "a:%sx@h", "%sx" };
	for (size_t i = 0; i < COUNT_OF(formats); i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		snprintf(text, sizeof(text), formats[i], text_255);
#pragma GCC diagnostic pop
		CHECK(!socks_proxy_parse(text, &p, why));
	}
}

static void test_host_text(void)
{
	char out[SOCKS_PLACE_TEXT];
	CHECK_STR(socks_host_text("127.0.0.1", 1080, out), "127.0.0.1:1080");
	CHECK_STR(socks_host_text("::1", 80, out), "[::1]:80");
	CHECK_STR(socks_host_text("example.net", 65535, out), "example.net:65535");
	CHECK_INT(strlen(socks_host_text(text_255, 65535, out)), 255 + 6);
}

/* Without a proxy the way leads to the host itself, and there is nothing to say and to do. */
static void test_no_proxy(void)
{
	static const struct socks_proxy none, one = { .version = 5, .host = "::1", .port = 1080, .user = "alice" };
	struct io_until until = { .deadline_ns = 0 };
	struct net_error e = { .op = "?" };
	char text[SOCKS_PLACE_TEXT], through[SOCKS_THROUGH_TEXT];
	struct socks_hop first = socks_first_hop(&none, "example.net", 80);
	CHECK_STR(first.host, "example.net");
	CHECK_INT(first.port, 80);
	CHECK(socks_proxy_text(&none, text) == NULL);
	CHECK_STR(socks_through_text(&none, through), "");
	CHECK_INT(socks_ask(-1, &none, "example.net", 80, &until, &e), 0);
	CHECK_STR(e.op, "?");
	first = socks_first_hop(&one, "example.net", 80);
	CHECK_STR(first.host, "::1");
	CHECK_INT(first.port, 1080);
	CHECK_STR(socks_proxy_text(&one, text), "[::1]:1080");
	CHECK_STR(socks_through_text(&one, through), " through [::1]:1080");
}

/* --- places ------------------------------------------------------------------------------------------------------- */

static void test_places(void)
{
	static const struct {
		const char *host;
		enum socks_place_kind kind;
		const char *ip, *name;
	} rows[] = {
		{ "10.0.0.2", SOCKS_IPV4, "\12\0\0\2", "" },
		{ "::1", SOCKS_IPV6, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1", "" },
		{ "::ffff:10.0.0.2", SOCKS_IPV4, "\12\0\0\2", "" },
		{ "example.net", SOCKS_NAME, NULL, "example.net" },
		{ "10.0.0.256", SOCKS_NAME, NULL, "10.0.0.256" },
		{ "fe80::1%lo", SOCKS_NAME, NULL, "fe80::1%lo" },
	};
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct socks_place p;
		CHECK(socks_place_of(rows[i].host, 8080, &p));
		CHECK_INT(p.kind, rows[i].kind);
		CHECK_INT(p.port, 8080);
		CHECK_STR(p.name, rows[i].name);
		if (rows[i].ip != NULL)
			CHECK(memcmp(p.ip, rows[i].ip, p.kind == SOCKS_IPV4 ? 4 : 16) == 0);
	}
	struct socks_place p;
	char longer[257] = { 0 };
	memset(longer, 'x', 256);
	CHECK(!socks_place_of(longer, 1, &p) && !socks_place_of("", 1, &p) && !socks_place_of("a b", 1, &p));
	CHECK(socks_place_of(longer + 1, 1, &p));
}

static void test_places_there_and_back(void)
{
	static const char *const hosts[] = { "10.0.0.2", "255.255.255.255", "::", "2001:db8::1234" };
	for (size_t i = 0; i < COUNT_OF(hosts); i++) {
		struct addr a = literal(hosts[i], (uint16_t)(50000 + i)), b;
		struct socks_place p;
		socks_place_of_addr(&a, &p);
		CHECK(socks_addr_of_place(&p, &b));
		CHECK(addr_equal(&a, &b));
		CHECK_INT(a.len, b.len);
	}
	struct addr a;
	CHECK(!socks_addr_of_place(&(struct socks_place){ .kind = SOCKS_NAME, .name = "::1" }, &a));
}

static void test_replies_and_errors(void)
{
	static const struct {
		int error;
		enum socks_reply reply;
		int back;
	} rows[] = {
		{ 0, SOCKS_OK, 0 },
		{ ECONNREFUSED, SOCKS_REFUSED, ECONNREFUSED },
		{ ENETUNREACH, SOCKS_NET_UNREACHABLE, ENETUNREACH },
		{ EHOSTUNREACH, SOCKS_HOST_UNREACHABLE, EHOSTUNREACH },
		{ ETIMEDOUT, SOCKS_HOST_UNREACHABLE, EHOSTUNREACH },
		{ EACCES, SOCKS_NOT_ALLOWED, EACCES },
		{ EPERM, SOCKS_NOT_ALLOWED, EACCES },
		{ ELOOP, SOCKS_NOT_ALLOWED, EACCES },
		{ EAFNOSUPPORT, SOCKS_BAD_ADDRESS, EAFNOSUPPORT },
		{ EMFILE, SOCKS_FAILED, EIO },
		{ ECONNRESET, SOCKS_FAILED, EIO },
		{ EADDRNOTAVAIL, SOCKS_FAILED, EIO },
	};
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct net_error e = { .sys = rows[i].error };
		CHECK_INT(socks_reply_of(&e), rows[i].reply);
		CHECK_INT(socks_errno_of(rows[i].reply), rows[i].back);
	}
	CHECK_INT(socks_reply_of(&(struct net_error){ .gai = -2 }), SOCKS_HOST_UNREACHABLE);
	CHECK_INT(socks_errno_of(SOCKS_TTL_EXPIRED), EHOSTUNREACH);
	CHECK_INT(socks_errno_of(SOCKS_BAD_COMMAND), EOPNOTSUPP);
	CHECK_INT(socks_errno_of((enum socks_reply)99), EIO);
}

/* --- a server with a script --------------------------------------------------------------------------------------- */

enum act { THE_END, HEAR, SAY, SAY_SLOWLY, FIN, RESET };

struct line {
	enum act act;
	const char *bytes;
	size_t n;
};

enum { LINES_MAX = 8, PATIENCE_S = 10 };

struct server {
	struct line lines[LINES_MAX];
	int listener;
	struct addr bound;
	pthread_t thread;
	bool went_wrong; /* it heard something else than its script says */
};

static bool hear_line(int fd, const struct line *l)
{
	unsigned char bytes[SOCKS_MESSAGE_MAX];
	struct io_until until = { .deadline_ns = clk_mono_ns() + (uint64_t)PATIENCE_S * NS_PER_S };
	return io_read_full(fd, bytes, l->n, &until) == 1 && memcmp(bytes, l->bytes, l->n) == 0;
}

/* A client that has heard enough may have gone meanwhile. */
static bool has_gone(void)
{
	return errno == EPIPE || errno == ECONNRESET || errno == ENOTCONN;
}

static bool say_line(int fd, const struct line *l, size_t each)
{
	for (size_t at = 0; at < l->n; at += each)
		if (send(fd, l->bytes + at, each, MSG_NOSIGNAL) < 0)
			return has_gone();
	return true;
}

/* False: a reset ended it. */
static bool perform(struct server *s, int fd)
{
	for (const struct line *l = s->lines; l->act != THE_END; l++) {
		if (l->act == RESET)
			sock_abort(fd);
		if (l->act == RESET)
			return false;
		if (l->act == HEAR  ? !hear_line(fd, l)
		    : l->act == FIN ? shutdown(fd, SHUT_WR) < 0 && !has_gone()
				    : !say_line(fd, l, l->act == SAY ? l->n : 1))
			s->went_wrong = true;
	}
	return true;
}

static void *serve_one(void *arg)
{
	struct server *s = arg;
	struct timeval patience = { .tv_sec = PATIENCE_S };
	int fd = accept(s->listener, NULL, NULL), on = 1;
	char byte;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (!perform(s, fd))
		return NULL;
	if (recv(fd, &byte, 1, 0) > 0) /* the client has said more than it should */
		s->went_wrong = true;
	close(fd);
	return NULL;
}

static int reach_server(struct server *s)
{
	static const struct sock_options none;
	struct io_until until = { .deadline_ns = clk_mono_ns() + (uint64_t)PATIENCE_S * NS_PER_S };
	struct net_error e;
	s->listener = sock_serve("127.0.0.1", 0, AF_INET, &none, &s->bound, &e);
	if (!CHECK(s->listener >= 0) || !CHECK_INT(pthread_create(&s->thread, NULL, serve_one, s), 0))
		abort();
	int fd = sock_connect(&s->bound, 1, NULL, &none, &until, &e);
	CHECK(fd >= 0);
	return fd;
}

static void end_server(struct server *s, int fd)
{
	close(fd);
	pthread_join(s->thread, NULL);
	close(s->listener);
	CHECK(!s->went_wrong);
}

/* --- dialogues ---------------------------------------------------------------------------------------------------- */

#define HELLO                         \
	{                             \
		HEAR, BYTES("\5\1\0") \
	}
#define HELLO_USER                      \
	{                               \
		HEAR, BYTES("\5\2\0\2") \
	}
#define LOGIN                                    \
	{                                        \
		HEAR, BYTES("\1\5alice\6secret") \
	}
#define REQUEST                                             \
	{                                                   \
		HEAR, BYTES("\5\1\0\3\13example.net\0\120") \
	}
#define REQUEST4                                                 \
	{                                                        \
		HEAR, BYTES("\4\1\0\120\0\0\0\1\0example.net\0") \
	}
#define WELCOME                    \
	{                          \
		SAY, BYTES("\5\0") \
	}
#define GRANTED                                        \
	{                                              \
		SAY, BYTES("\5\0\0\1\12\0\0\1\37\220") \
	}
#define ANSWER(text)             \
	{                        \
		SAY, BYTES(text) \
	}

static const struct play {
	const char *proxy, *host;
	struct line lines[LINES_MAX];
	int error;          /* 0: it works */
	const char *reason; /* a part of what is said of it */
} plays[] = {
	/* What works: each kind of name, of login, of server's address; in one piece or byte by byte. */
	{ "h", "example.net", { HELLO, WELCOME, REQUEST, GRANTED } },
	{ "h", "10.0.0.2", { HELLO, WELCOME, { HEAR, BYTES("\5\1\0\1\12\0\0\2\0\120") }, GRANTED } },
	{ "h", "::1", { HELLO, WELCOME, { HEAR, BYTES("\5\1\0\4\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\0\120") }, GRANTED } },
	{ "h",
	  "example.net",
	  { HELLO, { SAY_SLOWLY, BYTES("\5\0") }, REQUEST, { SAY_SLOWLY, BYTES("\5\0\0\3\3abc\0\1") } } },
	{ "h", "example.net", { HELLO, WELCOME, REQUEST, ANSWER("\5\0\0\4\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\0\1") } },
	{ "alice:secret@h", "example.net", { HELLO_USER, ANSWER("\5\2"), LOGIN, ANSWER("\1\0"), REQUEST, GRANTED } },
	{ "alice:secret@h", "example.net", { HELLO_USER, WELCOME, REQUEST, GRANTED } }, /* it does not ask */
	{ "alice@h",
	  "example.net",
	  { HELLO_USER, ANSWER("\5\2"), { HEAR, BYTES("\1\5alice\0") }, ANSWER("\1\0"), REQUEST, GRANTED } },
	{ "socks4://h", "example.net", { REQUEST4, ANSWER("\0\x5a\0\0\0\0\0\0") } },
	{ "socks4://h", "example.net", { REQUEST4, { SAY_SLOWLY, BYTES("\0\x5a\0\120\12\0\0\2") } } },
	{ "socks4a://bob@h",
	  "10.0.0.2",
	  { { HEAR, BYTES("\4\1\0\120\12\0\0\2bob\0") }, ANSWER("\0\x5a\0\0\0\0\0\0") } },

	/* Each refusal; two bytes of it are enough. */
	{ "h", "example.net", { HELLO, WELCOME, REQUEST, ANSWER("\5\1\0\1\0\0\0\0\0\0") }, EIO, "it failed" },
	{ "h", "example.net", { HELLO, WELCOME, REQUEST, ANSWER("\5\2\0\1\0\0\0\0\0\0") }, EACCES, "not allowed" },
	{ "h", "example.net", { HELLO, WELCOME, REQUEST, ANSWER("\5\3") }, ENETUNREACH, "network unreachable" },
	{ "h", "example.net", { HELLO, WELCOME, REQUEST, ANSWER("\5\4"), { FIN } }, EHOSTUNREACH, "host unreachable" },
	{ "h",
	  "example.net",
	  { HELLO, WELCOME, REQUEST, ANSWER("\5\5\0\0") },
	  ECONNREFUSED,
	  "says: connection refused" },
	{ "h", "example.net", { HELLO, WELCOME, REQUEST, ANSWER("\5\6") }, EHOSTUNREACH, "time to live" },
	{ "h", "example.net", { HELLO, WELCOME, REQUEST, ANSWER("\5\7") }, EOPNOTSUPP, "command" },
	{ "h", "example.net", { HELLO, WELCOME, REQUEST, ANSWER("\5\10") }, EAFNOSUPPORT, "address type" },
	{ "h", "example.net", { HELLO, WELCOME, REQUEST, ANSWER("\5\11") }, EIO, "it failed" },
	{ "socks4://h", "example.net", { REQUEST4, ANSWER("\0\x5b\0\0\0\0\0\0") }, EIO, "SOCKS 4 has no word" },
	{ "socks4://h", "example.net", { REQUEST4, ANSWER("\0\x5d") }, EACCES, "not allowed" },

	/* Logging in. */
	{ "h", "example.net", { HELLO, ANSWER("\5\377") }, EACCES, "wants a user" },
	{ "alice:secret@h", "example.net", { HELLO_USER, ANSWER("\5\377") }, EACCES, "neither" },
	{ "alice:secret@h",
	  "example.net",
	  { HELLO_USER, ANSWER("\5\2"), LOGIN, ANSWER("\1\1") },
	  EACCES,
	  "does not take" },
	{ "h", "example.net", { HELLO, ANSWER("\5\2") }, EPROTO, "not offered" },
	{ "h", "example.net", { HELLO, ANSWER("\5\1") }, EPROTO, "not offered" },

	/* No SOCKS server, or one of the other version. */
	{ "h", "example.net", { HELLO, ANSWER("HTTP/1.1 400 Bad Request\r\n\r\n") }, EPROTO, "no SOCKS server" },
	{ "h", "example.net", { HELLO, ANSWER("\0\x5b\0\0\0\0\0\0") }, EPROTO, "SOCKS 4 and not 5" },
	{ "socks4://h", "example.net", { REQUEST4, ANSWER("\5\377") }, EPROTO, "SOCKS 5 and not 4" },
	{ "h", "example.net", { HELLO, WELCOME, REQUEST, ANSWER("\0") }, EPROTO, "begin with 5" },
	{ "h", "example.net", { HELLO, WELCOME, REQUEST, ANSWER("\5\0\0\2") }, EPROTO, "type of the address" },
	{ "alice:secret@h",
	  "example.net",
	  { HELLO_USER, ANSWER("\5\2"), LOGIN, ANSWER("\5\0") },
	  EPROTO,
	  "begin with 1" },

	/* The end in the middle: at each place. */
	{ "h", "example.net", { HELLO, { FIN } }, EPROTO, "without an answer" },
	{ "h", "example.net", { HELLO, ANSWER("\5"), { FIN } }, EPROTO, "without an answer" },
	{ "h", "example.net", { HELLO, WELCOME, REQUEST, { FIN } }, EPROTO, "without an answer" },
	{ "h", "example.net", { HELLO, WELCOME, REQUEST, ANSWER("\5\0\0\1\12\0\0\1\37"), { FIN } }, EPROTO, "without" },
	{ "alice:secret@h",
	  "example.net",
	  { HELLO_USER, ANSWER("\5\2"), LOGIN, ANSWER("\1"), { FIN } },
	  EPROTO,
	  "without" },
	{ "socks4://h", "example.net", { REQUEST4, ANSWER("\0"), { FIN } }, EPROTO, "without an answer" },
	{ "h", "example.net", { HELLO, { RESET } }, ECONNRESET, "reset the connection" },
	{ "h", "example.net", { HELLO, WELCOME, REQUEST, { RESET } }, ECONNRESET, "reset the connection" },

	/* What cannot be said: nothing is sent at all. */
	{ "socks4://h", "::1", { { FIN } }, EAFNOSUPPORT, "SOCKS 4 cannot say" },
	{ "socks4://h", "0.0.0.9", { { FIN } }, EAFNOSUPPORT, "SOCKS 4 cannot say" },
	{ "h", "a b", { { FIN } }, EINVAL, "no name" },
};

static void check_play(const struct play *p, size_t number)
{
	struct server s = { 0 };
	struct socks_proxy proxy;
	struct net_error e = { 0 };
	char why[SOCKS_WHY], text[NET_ERROR_TEXT];
	struct io_until until = { .deadline_ns = clk_mono_ns() + (uint64_t)PATIENCE_S * NS_PER_S };
	unsigned long bad = check_bad;
	memcpy(s.lines, p->lines, sizeof(s.lines));
	CHECK(socks_proxy_parse(p->proxy, &proxy, why));
	int fd = reach_server(&s), rc = socks_ask(fd, &proxy, p->host, 80, &until, &e);
	CHECK_INT(rc, p->error == 0 ? 0 : -1);
	if (rc < 0) {
		CHECK_INT(e.sys, p->error);
		CHECK_STR(e.op, "connect");
		CHECK(e.reason != NULL && p->reason != NULL && strstr(e.reason, p->reason) != NULL);
		CHECK(strstr(e.object, p->host) != NULL && strstr(e.object, " through h:1080") != NULL);
	}
	end_server(&s, fd);
	if (check_bad != bad)
		fprintf(stderr, "    play %zu, %s to %s: %s\n", number, p->proxy, p->host,
			rc < 0 ? net_error_text(&e, text) : "connected");
}

static void test_plays(void)
{
	for (size_t i = 0; i < COUNT_OF(plays); i++)
		check_play(&plays[i], i);
}

/* The longest of everything. */
static void test_longest(void)
{
	static char login[513], request[3 + 2 + 255 + 2], proxy_text[1100];
	struct server s = { .lines = { HELLO_USER,
				       ANSWER("\5\2"),
				       { HEAR, login, sizeof(login) },
				       ANSWER("\1\0"),
				       { HEAR, request, sizeof(request) },
				       GRANTED } };
	struct socks_proxy proxy;
	struct net_error e;
	char why[SOCKS_WHY];
	struct io_until until = { .deadline_ns = clk_mono_ns() + (uint64_t)PATIENCE_S * NS_PER_S };
	snprintf(proxy_text, sizeof(proxy_text), "%s:%s@h", text_255, text_255);
	CHECK(socks_proxy_parse(proxy_text, &proxy, why));
	memcpy(login, "\1\377", 2);
	memcpy(login + 2, text_255, 255);
	login[257] = '\377';
	memcpy(login + 258, text_255, 255);
	memcpy(request, "\5\1\0\3\377", 5);
	memcpy(request + 5, text_255, 255);
	memcpy(request + 260, "\0\120", 2);
	int fd = reach_server(&s);
	CHECK_INT(socks_ask(fd, &proxy, text_255, 80, &until, &e), 0);
	end_server(&s, fd);
}

/* What the target says at once, in the same segment as the answer: it is all still there. */
static void check_first_bytes(const char *proxy_text, struct line hello, struct line welcome, struct line asked,
			      struct line granted)
{
	struct server s = { .lines = { hello, welcome, asked, granted, { FIN } } };
	struct socks_proxy proxy;
	struct net_error e;
	char why[SOCKS_WHY], bytes[16] = "";
	struct io_until until = { .deadline_ns = clk_mono_ns() + (uint64_t)PATIENCE_S * NS_PER_S };
	CHECK(socks_proxy_parse(proxy_text, &proxy, why));
	int fd = reach_server(&s);
	CHECK_INT(socks_ask(fd, &proxy, "example.net", 80, &until, &e), 0);
	CHECK_INT(io_read_full(fd, bytes, 5, &until), 1);
	CHECK_STR(bytes, "hello");
	CHECK_INT(io_read_full(fd, bytes, 1, &until), 0);
	end_server(&s, fd);
}

static void test_first_bytes(void)
{
	check_first_bytes("h", (struct line)HELLO, (struct line)WELCOME, (struct line)REQUEST,
			  (struct line)ANSWER("\5\0\0\1\12\0\0\1\37\220hello"));
	check_first_bytes("h", (struct line)HELLO, (struct line)WELCOME, (struct line)REQUEST,
			  (struct line)ANSWER("\5\0\0\3\3abc\37\220hello"));
	check_first_bytes("socks4://h", (struct line)REQUEST4, (struct line){ SAY, "", 0 },
			  (struct line){ HEAR, "", 0 }, (struct line)ANSWER("\0\x5a\0\0\0\0\0\0hello"));
}

/* A server that is silent at each step: the deadline ends it, and so does the flag. */
static void check_silence(const struct line *lines, size_t n, const atomic_bool *cancel)
{
	struct server s = { 0 };
	struct socks_proxy proxy;
	struct net_error e = { 0 };
	char why[SOCKS_WHY];
	memcpy(s.lines, lines, n * sizeof(*lines));
	CHECK(socks_proxy_parse("alice:secret@h", &proxy, why));
	int fd = reach_server(&s);
	uint64_t end_ns = clk_mono_ns() + (cancel != NULL ? PATIENCE_S * (uint64_t)NS_PER_S : 80 * NS_PER_MS);
	struct io_until until = { .deadline_ns = end_ns, .cancel = cancel };
	CHECK_INT(socks_ask(fd, &proxy, "example.net", 80, &until, &e), -1);
	CHECK_INT(e.sys, cancel != NULL ? ECANCELED : ETIMEDOUT);
	CHECK(cancel != NULL ? clk_mono_ns() < end_ns : clk_mono_ns() >= end_ns);
	CHECK(cancel != NULL || (e.reason != NULL && strstr(e.reason, "does not answer") != NULL));
	end_server(&s, fd);
}

static void test_silence(void)
{
	static const atomic_bool cancel = true;
	static const struct line lines[] = { HELLO_USER,     ANSWER("\5\2"), LOGIN,
					     ANSWER("\1\0"), REQUEST,        ANSWER("\5\0\0") };
	for (size_t n = 1; n <= COUNT_OF(lines); n += n == 5 ? 1 : 2) /* behind each thing that the client says */
		check_silence(lines, n, NULL);
	check_silence(lines, 1, &cancel);
	check_silence(lines, 5, &cancel);
}

int main(void)
{
	signal(SIGPIPE, SIG_DFL); /* raised, it would end this program */
	int open_fds = count_fds();
	test_typed();
	test_typed_lengths();
	test_host_text();
	test_no_proxy();
	test_places();
	test_places_there_and_back();
	test_replies_and_errors();
	test_plays();
	test_longest();
	test_first_bytes();
	test_silence();
	CHECK_INT(count_fds(), open_fds);
	return check_done();
}
