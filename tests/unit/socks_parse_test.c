/* socks_parse_test.c - what each message says; that the answer does not depend on how the bytes were cut; and
 * whatever a stranger may send: each prefix, each single byte changed, and millions of mutations. The bytes lie at
 * the end of memory of their own, so that ASan sees a read of one too many. */
#include "socks_parse.h"

#include "check.h"
#include "mem.h"
#include "prng.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* How often socks_parse is called with what nobody would send. */
enum { FUZZ_RUNS = IS_SANITIZED ? 300000 : 10000000 };

/* Bytes with zeros in them, as a string constant. */
#define BYTES(text) ((const unsigned char *)(text)), sizeof(text) - 1

static const char text_255[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
			       "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
			       "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
			       "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde";
_Static_assert(sizeof(text_255) - 1 == SOCKS_TEXT_MAX, "");

/* --- a page, and behind it nothing -------------------------------------------------------------------------------- */

static unsigned char *page_end; /* what lies right before it ends where memory does */

static void make_page(void)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	unsigned char *pages = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (!CHECK(pages != MAP_FAILED) || !CHECK_INT(mprotect(pages + page, page, PROT_NONE), 0))
		abort();
	page_end = pages + page;
}

static const unsigned char *at_end(const unsigned char *bytes, size_t n)
{
	return memcpy(page_end - n, bytes, n);
}

/* --- one message -------------------------------------------------------------------------------------------------- */

/* A client of SOCKS 5 that has said what comes before. */
static struct socks_parser expecting(enum socks_step next)
{
	struct socks_parser p = { 0 };
	if (next == SOCKS_MORE)
		return p;
	CHECK_INT(socks_parse(&p, BYTES("\5\2\0\2")), SOCKS_METHODS);
	socks_parser_choose(&p, next == SOCKS_LOGIN ? SOCKS_PASSWORD : SOCKS_NO_LOGIN);
	return p;
}

/* Twice: in a block of the heap that has just this size, and before the end of memory. */
static enum socks_step parse(struct socks_parser *p, const unsigned char *bytes, size_t n)
{
	struct socks_parser again = *p;
	unsigned char *copy = xmalloc(n > 0 ? n : 1);
	memcpy(copy, bytes, n);
	enum socks_step step = socks_parse(p, copy, n);
	free(copy);
	CHECK_INT(socks_parse(&again, at_end(bytes, n), n), step);
	return step;
}

static bool is_same_place(const struct socks_place *a, const struct socks_place *b)
{
	return a->kind == b->kind && a->port == b->port && memcmp(a->ip, b->ip, sizeof(a->ip)) == 0 &&
	       strcmp(a->name, b->name) == 0;
}

static bool is_same(const struct socks_parser *a, const struct socks_parser *b)
{
	return a->version == b->version && a->knows_no_login == b->knows_no_login &&
	       a->knows_password == b->knows_password && strcmp(a->user, b->user) == 0 &&
	       strcmp(a->password, b->password) == 0 && a->command == b->command &&
	       is_same_place(&a->place, &b->place) && a->why == b->why && a->refusal == b->refusal &&
	       a->next == b->next;
}

/* --- what is right ------------------------------------------------------------------------------------------------ */

/* Messages that are as they should be, each for itself; those with long texts are made by long_messages. */
enum { MESSAGES_MAX = 32 };
static struct message {
	enum socks_step next; /* at which step */
	enum socks_step what; /* and what it is */
	size_t len;
	unsigned char bytes[SOCKS_MESSAGE_MAX];
} messages[MESSAGES_MAX];
static size_t n_messages;

static struct message *add(enum socks_step next, enum socks_step what, const unsigned char *bytes, size_t len)
{
	struct message *m = &messages[n_messages++];
	*m = (struct message){ next, what, len };
	if (bytes != NULL)
		memcpy(m->bytes, bytes, len);
	return m;
}

static void long_messages(void)
{
	struct socks_place place = { .kind = SOCKS_NAME, .port = 65535 };
	memcpy(place.name, text_255, sizeof(text_255));
	struct message *m = add(SOCKS_MORE, SOCKS_REQUEST, NULL, 0);
	m->len = socks_put_request(m->bytes, 4, SOCKS_CONNECT, &place, text_255);
	CHECK_INT(m->len, SOCKS_MESSAGE_MAX);
	m = add(SOCKS_REQUEST, SOCKS_REQUEST, NULL, 0);
	m->len = socks_put_request(m->bytes, 5, SOCKS_CONNECT, &place, NULL);
	CHECK_INT(m->len, 3 + 1 + 1 + 255 + 2);
	m = add(SOCKS_LOGIN, SOCKS_LOGIN, NULL, 0);
	m->len = socks_put_user(m->bytes, text_255, text_255);
	CHECK_INT(m->len, 513);
	m = add(SOCKS_MORE, SOCKS_METHODS, BYTES("\5\377"));
	memset(m->bytes + 2, 0x80, 255);
	m->len = 257;
}

static void make_messages(void)
{
	add(SOCKS_MORE, SOCKS_METHODS, BYTES("\5\1\0"));
	add(SOCKS_MORE, SOCKS_METHODS, BYTES("\5\1\2"));
	add(SOCKS_MORE, SOCKS_METHODS, BYTES("\5\3\0\1\2"));
	add(SOCKS_MORE, SOCKS_METHODS, BYTES("\5\1\1"));
	add(SOCKS_MORE, SOCKS_REQUEST, BYTES("\4\1\0\120\177\0\0\1\0"));
	add(SOCKS_MORE, SOCKS_REQUEST, BYTES("\4\2\0\120\177\0\0\1bob\0"));
	add(SOCKS_MORE, SOCKS_REQUEST, BYTES("\4\1\0\120\0\0\0\0\0")); /* 0.0.0.0 is an address */
	add(SOCKS_MORE, SOCKS_REQUEST, BYTES("\4\1\0\120\0\0\0\1bob\0example.net\0"));
	add(SOCKS_MORE, SOCKS_REQUEST, BYTES("\4\1\0\120\0\0\0\377\0x\0"));
	add(SOCKS_LOGIN, SOCKS_LOGIN, BYTES("\1\5alice\6secret"));
	add(SOCKS_LOGIN, SOCKS_LOGIN, BYTES("\1\1a\1b"));
	add(SOCKS_LOGIN, SOCKS_LOGIN, BYTES("\1\0\0"));
	add(SOCKS_LOGIN, SOCKS_LOGIN, BYTES("\1\3\xc3\xa4 \1\377"));
	add(SOCKS_REQUEST, SOCKS_REQUEST, BYTES("\5\1\0\1\177\0\0\1\0\120"));
	add(SOCKS_REQUEST, SOCKS_REQUEST, BYTES("\5\2\0\1\0\0\0\0\0\0"));
	add(SOCKS_REQUEST, SOCKS_REQUEST, BYTES("\5\3\0\1\0\0\0\0\0\0"));
	add(SOCKS_REQUEST, SOCKS_REQUEST, BYTES("\5\1\0\3\13example.net\0\120"));
	add(SOCKS_REQUEST, SOCKS_REQUEST, BYTES("\5\1\0\3\1x\0\120"));
	add(SOCKS_REQUEST, SOCKS_REQUEST, BYTES("\5\1\0\4\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1\1\273"));
	long_messages();
}

/* What is found in a whole message, with bytes behind it that are not its own. */
static void test_whole(void)
{
	for (size_t i = 0; i < n_messages; i++) {
		const struct message *m = &messages[i];
		unsigned char more[SOCKS_MESSAGE_MAX + 8];
		memcpy(more, m->bytes, m->len);
		memset(more + m->len, 0, 8);
		struct socks_parser p = expecting(m->next), q = expecting(m->next);
		CHECK_INT(parse(&p, m->bytes, m->len), m->what);
		CHECK_INT(p.used, m->len);
		CHECK_INT(parse(&q, more, m->len + 8), m->what);
		CHECK_INT(q.used, m->len);
		CHECK(is_same(&p, &q));
		CHECK(p.why == NULL);
	}
}

static struct socks_parser parsed(enum socks_step next, const unsigned char *bytes, size_t n)
{
	struct socks_parser p = expecting(next);
	CHECK(parse(&p, bytes, n) != SOCKS_BAD);
	CHECK_INT(p.used, n);
	return p;
}

static void test_methods(void)
{
	struct socks_parser p = parsed(SOCKS_MORE, BYTES("\5\3\1\2\0"));
	CHECK(p.version == 5 && p.knows_no_login && p.knows_password);
	p = parsed(SOCKS_MORE, BYTES("\5\1\0"));
	CHECK(p.knows_no_login && !p.knows_password);
	p = parsed(SOCKS_MORE, BYTES("\5\2\2\1"));
	CHECK(!p.knows_no_login && p.knows_password);
	/* One behind the list is not in it. */
	p = expecting(SOCKS_MORE);
	CHECK_INT(parse(&p, BYTES("\5\1\1\0\2")), SOCKS_METHODS);
	CHECK(p.used == 3 && !p.knows_no_login && !p.knows_password);
	socks_parser_choose(&p, SOCKS_NO_METHOD);
	CHECK_INT(parse(&p, BYTES("\5\1\0\1\177\0\0\1\0\120")), SOCKS_BAD);
	CHECK(p.why != NULL);
}

static void test_login(void)
{
	struct socks_parser p = parsed(SOCKS_LOGIN, BYTES("\1\5alice\6secret"));
	CHECK_STR(p.user, "alice");
	CHECK_STR(p.password, "secret");
	p = parsed(SOCKS_LOGIN, BYTES("\1\0\0"));
	CHECK_STR(p.user, "");
	CHECK_STR(p.password, "");
	p = parsed(SOCKS_LOGIN, BYTES("\1\3 \n\377\2\1\x7f")); /* any byte but zero */
	CHECK_STR(p.user, " \n\377");
	CHECK_STR(p.password, "\1\x7f");
}

static void test_request5(void)
{
	struct socks_parser p = parsed(SOCKS_REQUEST, BYTES("\5\1\0\1\12\0\0\2\37\220"));
	CHECK(p.version == 5 && p.command == SOCKS_CONNECT && p.place.kind == SOCKS_IPV4);
	CHECK(memcmp(p.place.ip, "\12\0\0\2", 4) == 0);
	CHECK_INT(p.place.port, 8080);
	CHECK_STR(p.place.name, "");
	p = parsed(SOCKS_REQUEST, BYTES("\5\2\0\3\13example.net\1\273"));
	CHECK(p.command == SOCKS_BIND && p.place.kind == SOCKS_NAME && p.place.port == 443);
	CHECK_STR(p.place.name, "example.net");
	p = parsed(SOCKS_REQUEST, BYTES("\5\3\0\4\0\1\2\3\4\5\6\7\10\11\12\13\14\15\16\17\377\376"));
	CHECK(p.command == SOCKS_UDP && p.place.kind == SOCKS_IPV6 && p.place.port == 65534);
	CHECK(memcmp(p.place.ip, "\0\1\2\3\4\5\6\7\10\11\12\13\14\15\16\17", 16) == 0);
}

static void test_request4(void)
{
	struct socks_parser p = parsed(SOCKS_MORE, BYTES("\4\1\37\220\12\0\0\2bob\0"));
	CHECK(p.version == 4 && p.command == SOCKS_CONNECT && p.place.kind == SOCKS_IPV4 && p.place.port == 8080);
	CHECK(memcmp(p.place.ip, "\12\0\0\2", 4) == 0);
	CHECK_STR(p.user, "bob");
	p = parsed(SOCKS_MORE, BYTES("\4\2\0\1\0\0\0\377\0example.net\0"));
	CHECK(p.command == SOCKS_BIND && p.place.kind == SOCKS_NAME && p.place.port == 1);
	CHECK_STR(p.place.name, "example.net");
	CHECK_STR(p.user, "");
	p = parsed(SOCKS_MORE, BYTES("\4\1\0\1\0\0\1\1\0")); /* 0.0.1.1 is an address, and no 4a */
	CHECK_INT(p.place.kind, SOCKS_IPV4);
	CHECK(memcmp(p.place.ip, "\0\0\1\1", 4) == 0);
}

/* Every port, since a wrong byte order is right for some. */
static void test_ports(void)
{
	for (unsigned port = 0; port < 65536; port++) {
		unsigned char bytes[SOCKS_MESSAGE_MAX];
		struct socks_place place = { .kind = SOCKS_IPV4, .port = (uint16_t)port, .ip = { 127, 0, 0, 1 } };
		struct socks_parser p = { 0 };
		size_t n = socks_put_request(bytes, 4, SOCKS_CONNECT, &place, "");
		if (socks_parse(&p, bytes, n) != SOCKS_REQUEST || p.place.port != port) {
			CHECK_INT(p.place.port, port);
			return;
		}
	}
}

/* --- pieces ------------------------------------------------------------------------------------------------------- */

/* Each prefix is MORE, and leaves the parser as if nothing had come. */
static void test_truncated(void)
{
	for (size_t i = 0; i < n_messages; i++) {
		const struct message *m = &messages[i];
		struct socks_parser p = expecting(m->next), whole = expecting(m->next);
		for (size_t n = 0; n < m->len; n++)
			if (!CHECK_INT(parse(&p, m->bytes, n), SOCKS_MORE) || !CHECK(p.why == NULL)) {
				fprintf(stderr, "    message %zu, %zu of %zu bytes\n", i, n, m->len);
				break;
			}
		CHECK_INT(parse(&p, m->bytes, m->len), m->what);
		CHECK_INT(parse(&whole, m->bytes, m->len), m->what);
		CHECK(is_same(&p, &whole));
	}
}

enum { DIALOGUE_MAX = 2048 };
static struct dialogue {
	size_t len;
	unsigned char bytes[DIALOGUE_MAX];
} dialogues[MESSAGES_MAX];
static size_t n_dialogues;

/* Whole dialogues: each request in the words of its version, and the client's first bytes right behind it. */
static void make_dialogues(void)
{
	for (size_t i = 0; i < n_messages; i++) {
		struct dialogue *d = &dialogues[n_dialogues];
		bool needs_login = n_dialogues % 2 == 0;
		if (messages[i].what != SOCKS_REQUEST)
			continue;
		if (messages[i].next == SOCKS_REQUEST) {
			d->len += socks_put_methods(d->bytes, needs_login);
			d->len += needs_login ? socks_put_user(d->bytes + d->len, "alice", i % 3 ? "secret" : text_255)
					      : 0;
		}
		memcpy(d->bytes + d->len, messages[i].bytes, messages[i].len);
		d->len += messages[i].len;
		memcpy(d->bytes + d->len, "GET", 3);
		d->len += 3;
		n_dialogues++;
	}
}

/* What a server makes of a dialogue. */
struct outcome {
	enum socks_step last; /* SOCKS_MORE: the client has not said all; SOCKS_REQUEST; SOCKS_BAD */
	size_t used;          /* by whole messages */
	struct socks_parser p;
};

/* More has come: n bytes in all. */
static void hear(struct outcome *o, const unsigned char *bytes, size_t n)
{
	while (o->last != SOCKS_REQUEST && o->last != SOCKS_BAD) {
		o->last = socks_parse(&o->p, bytes + o->used, n - o->used);
		if (o->last == SOCKS_MORE || o->last == SOCKS_BAD)
			return;
		o->used += o->p.used;
		if (o->last == SOCKS_METHODS)
			socks_parser_choose(&o->p, o->p.knows_password   ? SOCKS_PASSWORD
						   : o->p.knows_no_login ? SOCKS_NO_LOGIN
									 : SOCKS_NO_METHOD);
	}
}

static bool is_same_outcome(const struct outcome *a, const struct outcome *b)
{
	return a->last == b->last && a->used == b->used && is_same(&a->p, &b->p);
}

static void check_cut(const struct dialogue *d, size_t cut, const struct outcome *want)
{
	struct outcome o = { 0 };
	hear(&o, at_end(d->bytes, cut), cut);
	hear(&o, at_end(d->bytes, d->len), d->len);
	if (!CHECK(is_same_outcome(&o, want)))
		fprintf(stderr, "    a dialogue of %zu bytes, cut at %zu\n", d->len, cut);
}

/* In one, in any two pieces, byte by byte. */
static void test_pieces(void)
{
	CHECK(n_dialogues > 8);
	for (size_t i = 0; i < n_dialogues; i++) {
		const struct dialogue *d = &dialogues[i];
		struct outcome whole = { 0 }, bytewise = { 0 };
		hear(&whole, at_end(d->bytes, d->len), d->len);
		CHECK_INT(whole.last, SOCKS_REQUEST);
		CHECK_INT(whole.used, d->len - 3);
		for (size_t cut = 0; cut <= d->len; cut++)
			check_cut(d, cut, &whole);
		for (size_t n = 0; n <= d->len; n++)
			hear(&bytewise, at_end(d->bytes, n), n);
		CHECK(is_same_outcome(&bytewise, &whole));
	}
}

/* --- what is wrong ------------------------------------------------------------------------------------------------ */

static const struct wrong {
	enum socks_step next;
	enum socks_reply refusal;
	const char *why; /* a part of it */
	const unsigned char *bytes;
	size_t n;
} wrongs[] = {
	{ SOCKS_MORE, SOCKS_FAILED, "neither SOCKS 4 nor 5", BYTES("\0") },
	{ SOCKS_MORE, SOCKS_FAILED, "neither SOCKS 4 nor 5", BYTES("\6\1\0") },
	{ SOCKS_MORE, SOCKS_FAILED, "HTTP", BYTES("CONNECT ") },
	{ SOCKS_MORE, SOCKS_FAILED, "HTTP", BYTES("G") },
	{ SOCKS_MORE, SOCKS_FAILED, "TLS", BYTES("\26\3\1") },
	{ SOCKS_MORE, SOCKS_FAILED, "no method", BYTES("\5\0") },
	{ SOCKS_MORE, SOCKS_BAD_COMMAND, "command", BYTES("\4\0") },
	{ SOCKS_MORE, SOCKS_BAD_COMMAND, "command", BYTES("\4\3") }, /* UDP is of SOCKS 5 */
	{ SOCKS_MORE, SOCKS_FAILED, "name is empty", BYTES("\4\1\0\120\0\0\0\1\0\0") },
	{ SOCKS_MORE, SOCKS_FAILED, "no name has", BYTES("\4\1\0\120\0\0\0\1\0a b\0") },
	{ SOCKS_MORE, SOCKS_FAILED, "no name has", BYTES("\4\1\0\120\0\0\0\1\0a\n") }, /* at once */
	{ SOCKS_MORE, SOCKS_FAILED, "no name has", BYTES("\4\1\0\120\0\0\0\1\0\x7f") },
	{ SOCKS_MORE, SOCKS_FAILED, "no name has", BYTES("\4\1\0\120\0\0\0\1\0\xc3\xa4\0") },
	{ SOCKS_LOGIN, SOCKS_FAILED, "begin with 1", BYTES("\5\1a\1b") },
	{ SOCKS_LOGIN, SOCKS_FAILED, "zero byte", BYTES("\1\2a\0\1b") },
	{ SOCKS_LOGIN, SOCKS_FAILED, "zero byte", BYTES("\1\1a\2\0") },
	{ SOCKS_REQUEST, SOCKS_FAILED, "begin with 5", BYTES("\4\1\0\1\177\0\0\1\0\120") },
	{ SOCKS_REQUEST, SOCKS_BAD_COMMAND, "command", BYTES("\5\0") },
	{ SOCKS_REQUEST, SOCKS_BAD_COMMAND, "command", BYTES("\5\4") },
	{ SOCKS_REQUEST, SOCKS_BAD_COMMAND, "command", BYTES("\5\377\1") },
	{ SOCKS_REQUEST, SOCKS_FAILED, "reserved", BYTES("\5\1\1") },
	{ SOCKS_REQUEST, SOCKS_BAD_ADDRESS, "type of the address", BYTES("\5\1\0\0") },
	{ SOCKS_REQUEST, SOCKS_BAD_ADDRESS, "type of the address", BYTES("\5\1\0\2") },
	{ SOCKS_REQUEST, SOCKS_BAD_ADDRESS, "type of the address", BYTES("\5\1\0\5") },
	{ SOCKS_REQUEST, SOCKS_FAILED, "name is empty", BYTES("\5\1\0\3\0") },
	{ SOCKS_REQUEST, SOCKS_FAILED, "no name has", BYTES("\5\1\0\3\13example\0") },
	{ SOCKS_REQUEST, SOCKS_FAILED, "no name has", BYTES("\5\1\0\3\3a b\0\120") },
	{ SOCKS_REQUEST, SOCKS_FAILED, "no name has", BYTES("\5\1\0\3\3ab\x80") },
	{ SOCKS_REQUEST, SOCKS_FAILED, "no name has", BYTES("\5\1\0\3\1\37") },
};

/* Refused at the last of these bytes and not before; and it stays so. */
static void test_wrong(void)
{
	for (size_t i = 0; i < COUNT_OF(wrongs); i++) {
		const struct wrong *w = &wrongs[i];
		struct socks_parser p = expecting(w->next);
		enum socks_step step = SOCKS_MORE;
		for (size_t n = 0; n <= w->n && step == SOCKS_MORE; n++)
			step = parse(&p, w->bytes, n);
		struct socks_parser whole = expecting(w->next);
		CHECK_INT(parse(&whole, w->bytes, w->n), SOCKS_BAD);
		CHECK_INT(parse(&whole, w->bytes, 0), SOCKS_BAD);
		CHECK_INT(step, SOCKS_BAD);
		CHECK(is_same(&p, &whole));
		CHECK_INT(whole.refusal, w->refusal);
		if (!CHECK(whole.why != NULL && strstr(whole.why, w->why) != NULL))
			fprintf(stderr, "    case %zu: %s\n", i, whole.why);
	}
}

/* In the words of the step; nothing for who speaks neither version. */
static void test_refusals(void)
{
	unsigned char out[SOCKS_REPLY_MAX];
	struct socks_parser p = expecting(SOCKS_MORE);
	CHECK_INT(parse(&p, BYTES("GET /")), SOCKS_BAD);
	CHECK_INT(socks_put_refusal(out, &p), 0);
	p = expecting(SOCKS_MORE);
	CHECK_INT(parse(&p, BYTES("\5\0")), SOCKS_BAD);
	CHECK(socks_put_refusal(out, &p) == 2 && memcmp(out, "\5\377", 2) == 0);
	p = expecting(SOCKS_MORE);
	CHECK_INT(parse(&p, BYTES("\4\7")), SOCKS_BAD);
	CHECK(socks_put_refusal(out, &p) == 8 && memcmp(out, "\0\x5b\0\0\0\0\0\0", 8) == 0);
	p = expecting(SOCKS_LOGIN);
	CHECK_INT(parse(&p, BYTES("\5")), SOCKS_BAD);
	CHECK(socks_put_refusal(out, &p) == 2 && memcmp(out, "\1\1", 2) == 0);
	p = expecting(SOCKS_REQUEST);
	CHECK_INT(parse(&p, BYTES("\5\1\0\11")), SOCKS_BAD);
	CHECK(socks_put_refusal(out, &p) == 10 && memcmp(out, "\5\10\0\1\0\0\0\0\0\0", 10) == 0);
}

/* Texts without end: 255 bytes are MORE, and the 256th is the end. */
static void test_endless(void)
{
	unsigned char bytes[SOCKS_MESSAGE_MAX + 100];
	memset(bytes, 'x', sizeof(bytes));
	memcpy(bytes, "\4\1\0\120\177\0\0\1", 8);
	struct socks_parser p = { 0 };
	CHECK_INT(parse(&p, bytes, 8 + 255), SOCKS_MORE);
	CHECK_INT(parse(&p, bytes, 8 + 256), SOCKS_BAD);
	CHECK(strstr(p.why, "user id") != NULL);
	bytes[8 + 255] = 0; /* a user of 255 */
	p = (struct socks_parser){ 0 };
	CHECK_INT(parse(&p, bytes, sizeof(bytes)), SOCKS_REQUEST);
	CHECK_INT(strlen(p.user), 255);
	bytes[4] = 0; /* and then a name */
	p = (struct socks_parser){ 0 };
	CHECK_INT(parse(&p, bytes, 8 + 256 + 255), SOCKS_MORE);
	CHECK_INT(parse(&p, bytes, 8 + 256 + 256), SOCKS_BAD);
	CHECK(strstr(p.why, "name") != NULL);
	bytes[8 + 256 + 255] = 0;
	p = (struct socks_parser){ 0 };
	CHECK_INT(parse(&p, bytes, sizeof(bytes)), SOCKS_REQUEST);
	CHECK_INT(p.used, SOCKS_MESSAGE_MAX);
	CHECK_INT(strlen(p.place.name), 255);
}

/* Every byte that may be in a name, and no other, in both versions. */
static void test_bytes_of_names(void)
{
	for (unsigned c = 0; c < 256; c++) {
		unsigned char five[] = { 5, 1, 0, 3, 3, 'a', (unsigned char)c, 'b', 0, 80 };
		unsigned char four[] = { 4, 1, 0, 80, 0, 0, 0, 1, 0, 'a', (unsigned char)c, 'b', 0 };
		struct socks_parser p = expecting(SOCKS_REQUEST), q = { 0 };
		bool is_good = c > 0x20 && c < 0x7f;
		CHECK_INT(parse(&p, five, sizeof(five)), is_good ? SOCKS_REQUEST : SOCKS_BAD);
		enum socks_step step = parse(&q, four, sizeof(four));
		if (c == 0)
			CHECK(step == SOCKS_REQUEST && strcmp(q.place.name, "a") == 0 && q.used == sizeof(four) - 2);
		else
			CHECK_INT(step, is_good ? SOCKS_REQUEST : SOCKS_BAD);
		char name[] = { 'a', (char)c, 'b', 0 };
		CHECK_INT(socks_is_name(name), is_good || c == 0);
	}
	char longer[257] = { 0 };
	memset(longer, 'x', 256);
	CHECK(!socks_is_name(longer) && socks_is_name(longer + 1) && !socks_is_name(""));
}

/* --- whatever may come -------------------------------------------------------------------------------------------- */

static bool is_text(const char *text)
{
	return memchr(text, 0, SOCKS_TEXT_MAX + 1) != NULL;
}

static bool is_good_place(const struct socks_place *place)
{
	if (place->kind == SOCKS_NAME)
		return is_text(place->name) && socks_is_name(place->name);
	return (place->kind == SOCKS_IPV4 || place->kind == SOCKS_IPV6) && place->name[0] == '\0';
}

/* What holds after each call, whatever the bytes were. */
static bool is_sound(const struct socks_parser *p, enum socks_step step, size_t n)
{
	if ((step == SOCKS_BAD) != (p->why != NULL) || !is_text(p->user) || !is_text(p->password))
		return false;
	switch (step) {
	case SOCKS_MORE:
		return n < SOCKS_MESSAGE_MAX && (n == 0 || p->version == 4 || p->version == 5);
	case SOCKS_BAD:
		return p->refusal > SOCKS_OK && p->refusal <= SOCKS_BAD_ADDRESS;
	case SOCKS_REQUEST:
		return p->used > 0 && p->used <= n && p->used <= SOCKS_MESSAGE_MAX && is_good_place(&p->place) &&
		       p->command >= SOCKS_CONNECT && p->command <= (p->version == 4 ? SOCKS_BIND : SOCKS_UDP);
	default:
		return p->used > 0 && p->used <= n && p->used <= SOCKS_MESSAGE_MAX && p->version == 5;
	}
}

/* Each byte of each message, changed to each other value. */
static void test_single_bytes(void)
{
	for (size_t i = 0; i < n_messages; i++) {
		const struct message *m = &messages[i];
		unsigned char *bytes = page_end - m->len;
		memcpy(bytes, m->bytes, m->len);
		for (size_t k = 0; k < m->len; k++)
			for (unsigned flip = 1; flip < 256; flip++) {
				struct socks_parser p = expecting(m->next);
				bytes[k] = (unsigned char)(m->bytes[k] ^ flip);
				enum socks_step step = socks_parse(&p, bytes, m->len);
				if (!is_sound(&p, step, m->len)) {
					fprintf(stderr, "    message %zu, byte %zu is %u\n", i, k, bytes[k]);
					CHECK(is_sound(&p, step, m->len));
					return;
				}
				bytes[k] = m->bytes[k];
			}
	}
	CHECK(true);
}

/* A source of small random numbers. */
struct dice {
	uint64_t seed, i;
};

static size_t roll(struct dice *d, size_t sides)
{
	return (size_t)((prng_word(d->seed, d->i++) >> 11) % sides);
}

/* A few bytes changed, some left out, some doubled. */
static size_t mutate(struct dice *dice, const struct dialogue *from, unsigned char out[static 2 * DIALOGUE_MAX])
{
	static const unsigned char likely[] = { 0, 1, 2, 3, 4, 5, 0x20, 0x7f, 0x80, 0xff };
	size_t n = from->len;
	memcpy(out, from->bytes, n);
	for (size_t times = roll(dice, 4); times > 0; times--) {
		size_t at = roll(dice, n < 24 || roll(dice, 4) == 0 ? n : 24), len = 1 + roll(dice, 4);
		switch (roll(dice, 8)) {
		case 0: /* out */
			len = len < n - at ? len : n - at - 1;
			memmove(out + at, out + at + len, n - at - len);
			n -= len;
			break;
		case 1: /* twice */
			memmove(out + at + len, out + at, n - at);
			n += len;
			break;
		case 2:
			out[at] = (unsigned char)roll(dice, 256);
			break;
		default:
			out[at] = likely[roll(dice, sizeof(likely))];
		}
	}
	return n;
}

/* In random pieces, as a server hears it; each call checked. Its outcome, and how often socks_parse was called. */
static struct outcome hear_mutant(struct dice *dice, const unsigned char *bytes, size_t n, unsigned long *runs)
{
	struct outcome o = { 0 };
	for (size_t come = 0; o.last != SOCKS_REQUEST && o.last != SOCKS_BAD;) {
		o.last = socks_parse(&o.p, bytes + o.used, come - o.used);
		(*runs)++;
		if (!is_sound(&o.p, o.last, come - o.used)) {
			CHECK(is_sound(&o.p, o.last, come - o.used));
			fprintf(stderr, "    run %lu\n", *runs);
			abort();
		}
		if (o.last == SOCKS_MORE && come == n)
			break;
		if (o.last == SOCKS_MORE)
			come += 1 + roll(dice, n - come);
		else if (o.last != SOCKS_BAD)
			o.used += o.p.used;
		if (o.last == SOCKS_METHODS)
			socks_parser_choose(&o.p, o.p.knows_password ? SOCKS_PASSWORD : SOCKS_NO_LOGIN);
	}
	return o;
}

/* The same in one piece has the same outcome. */
static bool is_cut_independent(const unsigned char *bytes, size_t n, const struct outcome *want, unsigned long *runs)
{
	struct outcome o = { 0 };
	do {
		o.last = socks_parse(&o.p, bytes + o.used, n - o.used);
		(*runs)++;
		if (o.last != SOCKS_MORE && o.last != SOCKS_BAD)
			o.used += o.p.used;
		if (o.last == SOCKS_METHODS)
			socks_parser_choose(&o.p, o.p.knows_password ? SOCKS_PASSWORD : SOCKS_NO_LOGIN);
	} while (o.last == SOCKS_METHODS || o.last == SOCKS_LOGIN);
	return is_same_outcome(&o, want);
}

static void test_fuzz(void)
{
	static unsigned char scratch[2 * DIALOGUE_MAX];
	struct dice dice = { .seed = 1928 };
	unsigned long runs = 0, ends[SOCKS_BAD + 1] = { 0 };
	while (runs < FUZZ_RUNS) {
		size_t n = mutate(&dice, &dialogues[roll(&dice, n_dialogues)], scratch);
		n -= roll(&dice, 4) == 0 ? roll(&dice, n) : 0;
		const unsigned char *bytes = at_end(scratch, n);
		struct outcome o = hear_mutant(&dice, bytes, n, &runs);
		ends[o.last]++;
		if (!is_cut_independent(bytes, n, &o, &runs)) {
			CHECK_STR("otherwise", "the same bytes in one piece have the same outcome");
			fprintf(stderr, "    run %lu\n", runs);
			return;
		}
	}
	/* It is no fuzzing if all are refused at once, or none. */
	CHECK(ends[SOCKS_MORE] > runs / 100 && ends[SOCKS_REQUEST] > runs / 100 && ends[SOCKS_BAD] > runs / 100);
	printf("fuzz: %lu runs of socks_parse; the dialogues: %lu requests, %lu refused, %lu cut off\n", runs,
	       ends[SOCKS_REQUEST], ends[SOCKS_BAD], ends[SOCKS_MORE]);
}

/* --- put and get ------------------------------------------------------------------------------------------------- */

static const struct socks_place places[] = {
	{ .kind = SOCKS_IPV4, .ip = { 10, 0, 0, 2 }, .port = 8080 },
	{ .kind = SOCKS_IPV4, .port = 0 },
	{ .kind = SOCKS_IPV6, .ip = { 0xfe, 0x80, [15] = 1 }, .port = 1 },
	{ .kind = SOCKS_NAME, .name = "example.net", .port = 443 },
	{ .kind = SOCKS_NAME, .name = "x", .port = 65535 },
};

static void test_requests_there_and_back(void)
{
	static const enum socks_command commands[] = { SOCKS_CONNECT, SOCKS_BIND, SOCKS_UDP };
	for (size_t i = 0; i < COUNT_OF(places) * COUNT_OF(commands); i++) {
		unsigned char out[SOCKS_MESSAGE_MAX];
		const struct socks_place *place = &places[i % COUNT_OF(places)];
		enum socks_command command = commands[i / COUNT_OF(places)];
		struct socks_parser p = expecting(SOCKS_REQUEST), q = { 0 };
		size_t n = socks_put_request(out, 5, command, place, NULL);
		CHECK_INT(parse(&p, out, n), SOCKS_REQUEST);
		CHECK(p.used == n && p.command == command && is_same_place(&p.place, place));
		if (command == SOCKS_UDP)
			continue;
		n = socks_put_request(out, 4, command, place, "bob");
		CHECK_INT(n == 0, place->kind == SOCKS_IPV6);
		if (n == 0)
			continue;
		CHECK_INT(parse(&q, out, n), SOCKS_REQUEST);
		CHECK(q.used == n && q.command == command && is_same_place(&q.place, place));
		CHECK_STR(q.user, "bob");
	}
	/* An address that would be read as the beginning of 4a. */
	unsigned char out[SOCKS_MESSAGE_MAX];
	CHECK_INT(socks_put_request(out, 4, SOCKS_CONNECT,
				    &(struct socks_place){ .kind = SOCKS_IPV4, .ip = { [3] = 7 } }, ""),
		  0);
}

static void test_login_there_and_back(void)
{
	unsigned char out[SOCKS_MESSAGE_MAX];
	static const char *const texts[] = { "", "a", "alice", text_255 };
	for (size_t i = 0; i < COUNT_OF(texts) * COUNT_OF(texts); i++) {
		const char *user = texts[i % COUNT_OF(texts)], *password = texts[i / COUNT_OF(texts)];
		struct socks_parser p = expecting(SOCKS_LOGIN);
		size_t n = socks_put_user(out, user, password);
		CHECK_INT(parse(&p, out, n), SOCKS_LOGIN);
		CHECK_INT(p.used, n);
		CHECK_STR(p.user, user);
		CHECK_STR(p.password, password);
	}
	CHECK(socks_put_methods(out, false) == 3 && memcmp(out, "\5\1\0", 3) == 0);
	CHECK(socks_put_methods(out, true) == 4 && memcmp(out, "\5\2\0\2", 4) == 0);
}

/* What a client reads: a whole answer, MORE for each beginning of it. */
static void check_reply(int version, const unsigned char *bytes, size_t len, enum socks_reply want,
			const struct socks_place *place)
{
	enum socks_reply reply;
	struct socks_place bound = { 0 };
	size_t used = 0;
	const char *why = NULL;
	for (size_t n = 0; n < len; n++)
		CHECK_INT(socks_get_reply(at_end(bytes, n), n, version, &reply, &bound, &used, &why), SOCKS_MORE);
	if (!CHECK_INT(socks_get_reply(at_end(bytes, len), len, version, &reply, &bound, &used, &why), SOCKS_REQUEST))
		fprintf(stderr, "    %s\n", why);
	CHECK_INT(reply, want);
	CHECK_INT(used, len);
	CHECK(place == NULL || is_same_place(&bound, place));
}

static void test_replies_there_and_back(void)
{
	static const struct socks_place nowhere = { .kind = SOCKS_IPV4 };
	unsigned char out[SOCKS_REPLY_MAX];
	for (size_t i = 0; i < COUNT_OF(places); i++) {
		size_t n = socks_put_reply(out, 5, SOCKS_OK, &places[i]);
		check_reply(5, out, n, SOCKS_OK, &places[i]);
		n = socks_put_reply(out, 4, SOCKS_OK, &places[i]);
		check_reply(4, out, n, SOCKS_OK, places[i].kind == SOCKS_IPV4 ? &places[i] : &nowhere);
	}
	struct socks_place longest = { .kind = SOCKS_NAME };
	memcpy(longest.name, text_255, sizeof(text_255));
	CHECK_INT(socks_put_reply(out, 5, SOCKS_OK, &longest), SOCKS_REPLY_MAX);
	check_reply(5, out, SOCKS_REPLY_MAX, SOCKS_OK, &longest);
	CHECK_INT(socks_put_reply(out, 5, SOCKS_OK, NULL), 10);
	check_reply(5, out, 10, SOCKS_OK, &nowhere);
	CHECK_INT(socks_put_reply(out, 4, SOCKS_OK, NULL), 8);
	check_reply(4, out, 8, SOCKS_OK, &nowhere);
}

/* Each code; two bytes of a refusal say it all, and what follows is not looked at. */
static void test_refused_replies(void)
{
	enum socks_reply reply;
	struct socks_place bound;
	size_t used;
	const char *why;
	for (unsigned code = 1; code < 256; code++) {
		unsigned char five[10] = { 5, (unsigned char)code };
		check_reply(5, five, 2, code <= SOCKS_BAD_ADDRESS ? code : SOCKS_FAILED, NULL);
		CHECK_INT(socks_get_reply(five, 10, 5, &reply, &bound, &used, &why), SOCKS_REQUEST);
		unsigned char four[8] = { 0, (unsigned char)code };
		if (code > 0x5a && code <= 0x5d)
			check_reply(4, four, 2, code == 0x5b ? SOCKS_FAILED : SOCKS_NOT_ALLOWED, NULL);
		else if (code != 0x5a)
			CHECK_INT(socks_get_reply(four, 8, 4, &reply, &bound, &used, &why), SOCKS_BAD);
	}
	for (enum socks_reply code = SOCKS_FAILED; code <= SOCKS_BAD_ADDRESS; code++) {
		unsigned char out[SOCKS_REPLY_MAX];
		CHECK_INT(socks_put_reply(out, 5, code, NULL), 10);
		CHECK(out[0] == 5 && out[1] == code);
		CHECK_INT(socks_put_reply(out, 4, code, NULL), 8);
		CHECK(out[0] == 0 && out[1] == 0x5b);
		CHECK(strcmp(socks_reply_symbol(code), "unknown") != 0);
	}
	CHECK_STR(socks_reply_symbol(SOCKS_REFUSED), "refused");
	CHECK_STR(socks_reply_symbol((enum socks_reply)99), "unknown");
}

/* why: a pointer, since nobody knows which argument is evaluated first. */
static void check_no_answer(enum socks_step step, const char **why, const char *want)
{
	CHECK_INT(step, SOCKS_BAD);
	if (!CHECK(*why != NULL && strstr(*why, want) != NULL))
		fprintf(stderr, "    %s\n", *why);
	*why = NULL;
}

static void test_answers(void)
{
	enum socks_method method = SOCKS_NO_METHOD;
	bool is_right = false;
	const char *why = NULL;
	unsigned char out[2];
	static const enum socks_method methods[] = { SOCKS_NO_LOGIN, SOCKS_PASSWORD, SOCKS_NO_METHOD };
	for (size_t i = 0; i < COUNT_OF(methods); i++) {
		CHECK_INT(socks_put_method(out, methods[i]), 2);
		CHECK_INT(socks_get_method(at_end(out, 0), 0, &method, &why), SOCKS_MORE);
		CHECK_INT(socks_get_method(at_end(out, 1), 1, &method, &why), SOCKS_MORE);
		CHECK_INT(socks_get_method(at_end(out, 2), 2, &method, &why), SOCKS_METHODS);
		CHECK_INT(method, methods[i]);
	}
	for (int right = 0; right < 2; right++) {
		CHECK_INT(socks_put_login(out, right), 2);
		CHECK_INT(socks_get_login(at_end(out, 0), 0, &is_right, &why), SOCKS_MORE);
		CHECK_INT(socks_get_login(at_end(out, 1), 1, &is_right, &why), SOCKS_MORE);
		CHECK_INT(socks_get_login(at_end(out, 2), 2, &is_right, &why), SOCKS_LOGIN);
		CHECK_INT(is_right, right);
	}
	CHECK_INT(socks_get_login(BYTES("\1\377"), &is_right, &why), SOCKS_LOGIN);
	CHECK(!is_right);
	check_no_answer(socks_get_method(BYTES("H"), &method, &why), &why, "no SOCKS server");
	check_no_answer(socks_get_method(BYTES("\0\x5b"), &method, &why), &why, "SOCKS 4 and not 5");
	check_no_answer(socks_get_method(BYTES("\5\1"), &method, &why), &why, "not offered");
	check_no_answer(socks_get_login(BYTES("\2"), &is_right, &why), &why, "begin with 1");
}

static void test_no_replies(void)
{
	enum socks_reply reply;
	struct socks_place bound;
	size_t used;
	const char *why = NULL;
	check_no_answer(socks_get_reply(BYTES("HTTP"), 5, &reply, &bound, &used, &why), &why, "begin with 5");
	check_no_answer(socks_get_reply(BYTES("\5\0\0\2"), 5, &reply, &bound, &used, &why), &why,
			"type of the address");
	check_no_answer(socks_get_reply(BYTES("\5\0\0\3\0"), 5, &reply, &bound, &used, &why), &why, "empty");
	check_no_answer(socks_get_reply(BYTES("\5\0\0\3\1\n"), 5, &reply, &bound, &used, &why), &why, "no name has");
	check_no_answer(socks_get_reply(BYTES("\5\377"), 4, &reply, &bound, &used, &why), &why, "SOCKS 5 and not 4");
	check_no_answer(socks_get_reply(BYTES("HTTP"), 4, &reply, &bound, &used, &why), &why, "no SOCKS server");
}

static void test_datagrams(void)
{
	unsigned char out[SOCKS_DATAGRAM_HEAD + 4];
	struct socks_place place;
	size_t used = 99;
	const char *why = NULL;
	for (size_t i = 0; i < COUNT_OF(places); i++) {
		size_t len = socks_put_datagram(out, &places[i]);
		memcpy(out + len, "data", 4);
		for (size_t n = 0; n < len; n++) {
			CHECK(!socks_get_datagram(at_end(out, n), n, &place, &used, &why));
			CHECK_STR(why, "the head is cut off");
			CHECK_INT(used, 0);
		}
		for (size_t more = 0; more <= 4; more++) {
			CHECK(socks_get_datagram(at_end(out, len + more), len + more, &place, &used, &why));
			CHECK_INT(used, len);
			CHECK(is_same_place(&place, &places[i]));
		}
		out[2] = 1;
		CHECK(!socks_get_datagram(out, len + 4, &place, &used, &why) && strstr(why, "fragment") != NULL);
		out[2] = 0;
		out[1] = 1;
		CHECK(!socks_get_datagram(out, len + 4, &place, &used, &why) && strstr(why, "reserved") != NULL);
		out[1] = 0;
		out[3] = 2;
		CHECK(!socks_get_datagram(out, len + 4, &place, &used, &why) && strstr(why, "type") != NULL);
	}
	struct socks_place longest = { .kind = SOCKS_NAME };
	memcpy(longest.name, text_255, sizeof(text_255));
	CHECK_INT(socks_put_datagram(out, &longest), SOCKS_DATAGRAM_HEAD);
	CHECK(socks_get_datagram(out, SOCKS_DATAGRAM_HEAD, &place, &used, &why) && is_same_place(&place, &longest));
	CHECK(!socks_get_datagram(BYTES("\0\0\0\3\3a\0b\0\120"), &place, &used, &why) &&
	      strstr(why, "no name has") != NULL);
}

int main(void)
{
	make_page();
	make_messages();
	make_dialogues();
	test_whole();
	test_methods();
	test_login();
	test_request5();
	test_request4();
	test_ports();
	test_truncated();
	test_pieces();
	test_wrong();
	test_refusals();
	test_endless();
	test_bytes_of_names();
	test_single_bytes();
	test_fuzz();
	test_requests_there_and_back();
	test_login_there_and_back();
	test_replies_there_and_back();
	test_refused_replies();
	test_answers();
	test_no_replies();
	test_datagrams();
	return check_done();
}
