/* ttcp_wire_test.c - every field there and back, every wrong value refused, strangers recognised, and a million random
 * headers of each kind: what is accepted lies within the documented ranges (docs/wire-formats.md). */
#include "../../tools/ttcp/ttcp.h"

#include "cdefs.h"
#include "check.h"
#include "prng.h"
#include "wire.h"

#include <ctype.h>

enum { MANY = IS_SANITIZED ? 100000 : 1000000 };

/* --- the first eight bytes --------------------------------------------------------------------------------------- */

static struct plan plan;
static const char *why;
static uint32_t hello_len;

static enum first_bytes get(const void *bytes, uint32_t max_length)
{
	plan = (struct plan){ 0 };
	why = NULL;
	hello_len = 0;
	return wire_get_session(bytes, max_length, &plan, &hello_len, &why);
}

static enum first_bytes get_numbers(uint32_t blocks, uint32_t length, uint32_t max_length)
{
	unsigned char bytes[SESSION_LEN];
	wire_put_session(bytes, blocks, length);
	return get(bytes, max_length);
}

static void test_session_bytes(void)
{
	static const unsigned char want[] = { 0x00, 0x00, 0x20, 0x00, 0x00, 0x01, 0x00, 0x00 };
	unsigned char bytes[SESSION_LEN + 1] = { [SESSION_LEN] = 0x55 };
	wire_put_session(bytes, 8192, 65536);
	CHECK_INT(memcmp(bytes, want, sizeof(want)), 0);
	CHECK_INT(bytes[SESSION_LEN], 0x55);
}

static void test_plain_session(void)
{
	static const uint32_t counts[] = { 0, 1, 8192, INT32_MAX }, lengths[] = { 1, 1024, 65536, TTCP_MAX_BLOCK };
	for (size_t c = 0; c < COUNT_OF(counts); c++) {
		for (size_t l = 0; l < COUNT_OF(lengths); l++) {
			CHECK_INT(get_numbers(counts[c], lengths[l], TTCP_MAX_BLOCK), FIRST_PLAIN);
			CHECK_INT(plan.blocks, counts[c]);
			CHECK_INT(plan.length, lengths[l]);
			CHECK(!plan.negotiated && !plan.verify && plan.role == ROLE_SEND && plan.mode == MODE_ACK);
			CHECK(plan.depth == 1 && plan.connections == 1 && plan.time_ns == 0 && plan.omit_ns == 0);
			CHECK_STR(plan.congestion, "");
		}
	}
}

static void test_session_out_of_range(void)
{
	static const struct {
		uint32_t blocks, length, max;
		enum first_bytes want;
	} rows[] = {
		{ 1, 0, TTCP_MAX_BLOCK, FIRST_GARBAGE },
		{ 0, 0, TTCP_MAX_BLOCK, FIRST_GARBAGE },
		{ 0x80000000, 1, TTCP_MAX_BLOCK, FIRST_GARBAGE },
		{ UINT32_MAX, 1, TTCP_MAX_BLOCK, FIRST_GARBAGE },
		{ 1, TTCP_MAX_BLOCK + 1, TTCP_MAX_BLOCK, FIRST_GARBAGE },
		{ 1, 0x80000000, TTCP_MAX_BLOCK, FIRST_GARBAGE },
		{ 1, UINT32_MAX, TTCP_MAX_BLOCK, FIRST_GARBAGE },
		{ 1, 4096, 4096, FIRST_PLAIN },
		{ 1, 4097, 4096, FIRST_GARBAGE },
		{ 1, 1, 1, FIRST_PLAIN },
		{ 1, 2, 1, FIRST_GARBAGE },
		{ INT32_MAX, 1, 1, FIRST_PLAIN },
	};
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		CHECK_INT(get_numbers(rows[i].blocks, rows[i].length, rows[i].max), rows[i].want);
		CHECK((why != NULL) == (rows[i].want == FIRST_GARBAGE));
	}
}

/* Whoever is recognised is named: `part` of what is said about each. Nobody else is taken for ttcp. */
static void test_strangers(void)
{
	static const struct {
		const char *bytes, *part;
	} rows[] = {
		{ "GET / HTTP/1.1\r\n", "HTTP client" },
		{ "POST /x ", "HTTP client" },
		{ "HEAD /x ", "HTTP client" },
		{ "PUT /x H", "HTTP client" },
		{ "OPTIONS ", "HTTP client" },
		{ "HTTP/1.1", "HTTP server" },
		{ "SSH-2.0-OpenSSH", "SSH" },
		{ "EHLO me\r\n", "mail" },
		{ "HELO there", "nuttcp" },
		{ "01234567890123456789", "iperf2" },
		{ " !\"#$%&'()", "classic ttcp" },
		{ "abcdefgh234567ij", "iperf3" },
		{ "zzzzzzzz", "iperf3" },
		{ "2345672a", "iperf3" },
		{ "\x16\x03\x01\x02\x8d\x01\x00\x02\x89", "TLS" },
		{ "\0\0\0\0\0\0\0\0", "" },
		{ "\x80\0\0\0\0\0\0\1", "" },
		{ "\xff\xff\xff\xff\xff\xff\xff\xff", "" },
		{ "\0\0\0\1\0\0\0\0", "" },
	};
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		if (!CHECK_INT(get(rows[i].bytes, TTCP_MAX_BLOCK), FIRST_GARBAGE) ||
		    !CHECK(strstr(why, rows[i].part) != NULL))
			fprintf(stderr, "    %.8s: %s\n", rows[i].bytes, why != NULL ? why : "(taken for ttcp)");
	}
}

/* Commands of other protocols, a line each: four letters and a line end are two numbers of a plausible size. */
static void test_typed_lines(void)
{
	static const char *const lines[] = {
		"HELP\r\n\r\n", "QUIT\r\nQUIT\r\n", "PING\r\nPING\r\n", "EHLO\r\n\r\n", "STAT\n\n\n\n", "GET \r\n\r\n",
	};
	for (size_t i = 0; i < COUNT_OF(lines); i++)
		if (!CHECK_INT(get(lines[i], TTCP_MAX_BLOCK), FIRST_GARBAGE))
			fprintf(stderr, "    \"%.4s\" and a line end: taken for %llu blocks of %u bytes\n", lines[i],
				(unsigned long long)plan.blocks, (unsigned)plan.length);
}

/* A TLS client, whatever the length of its ClientHello (RFC 8446 4, 5.1): type 22, version, record length, then type 1
 * and the message's length, four less. Read as two numbers, a record of 512 bytes is many blocks of 65537 bytes. */
static void test_tls_of_any_length(void)
{
	for (uint32_t len = 64; len < 16384; len++) {
		unsigned char bytes[SESSION_LEN + 1] = { 0x16, 3, 1, 0, 0, 1 };
		be16_put(bytes + 3, (uint16_t)len);
		be16_put(bytes + 7, (uint16_t)(len - 4));
		bytes[6] = 0;
		if (!CHECK_INT(get(bytes, TTCP_MAX_BLOCK), FIRST_GARBAGE)) {
			fprintf(stderr, "    record of %u bytes: taken for %llu blocks of %u bytes\n", (unsigned)len,
				(unsigned long long)plan.blocks, (unsigned)plan.length);
			return;
		}
		CHECK_STR(why, "a TLS client");
	}
}

static void test_hello_is_recognised(void)
{
	unsigned char bytes[SESSION_LEN + HELLO_LEN];
	wire_put_hello(bytes, &(struct plan){ 0 });
	CHECK_INT(get(bytes, 1), FIRST_HELLO); /* our own limit is nobody's length here */
	CHECK_INT(hello_len, HELLO_LEN);
	CHECK(be32_get(bytes) > INT32_MAX); /* an old receiver's loop runs zero times */
	CHECK(be32_get(bytes + 4) > 0 && be32_get(bytes + 4) <= INT32_MAX);
	for (uint32_t len = 0; len < 2000; len++) {
		be32_put(bytes + 4, len);
		bool fits = len >= HELLO_LEN && len <= HELLO_MAX;
		if (!CHECK_INT(get(bytes, TTCP_MAX_BLOCK), fits ? FIRST_HELLO : FIRST_GARBAGE) ||
		    !CHECK(!fits || hello_len == len))
			return;
	}
	be32_put(bytes + 4, 0x80000000 + HELLO_LEN);
	CHECK_INT(get(bytes, TTCP_MAX_BLOCK), FIRST_GARBAGE);
	/* Each flipped bit of the first four bytes makes it something else. */
	for (int bit = 0; bit < 32; bit++) {
		wire_put_hello(bytes, &(struct plan){ 0 });
		bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
		CHECK(get(bytes, TTCP_MAX_BLOCK) != FIRST_HELLO);
	}
}

static bool is_plain_plan(uint32_t max_length)
{
	return plan.blocks <= INT32_MAX && plan.length >= 1 && plan.length <= max_length && plan.depth == 1 &&
	       plan.role == ROLE_SEND && plan.mode == MODE_ACK && !plan.negotiated;
}

/* Random bytes, many of them near what is valid: the top bits are cleared in some, the length is small in others. */
static void test_random_sessions(void)
{
	static const uint32_t limits[] = { 1, 100, 65536, TTCP_MAX_BLOCK };
	unsigned long plain = 0;
	for (uint64_t i = 0; i < MANY; i++) {
		unsigned char bytes[SESSION_LEN];
		be64_put(bytes, prng_word(11, i) >> (i % 3 == 0 ? i % 64 : 0));
		if (i % 5 == 0)
			be32_put(bytes + 4, (uint32_t)(prng_word(12, i) >> (32 + i % 32)));
		uint32_t max = limits[i % COUNT_OF(limits)];
		enum first_bytes kind = get(bytes, max);
		plain += kind == FIRST_PLAIN;
		bool ok = kind == FIRST_PLAIN   ? is_plain_plan(max)
			  : kind == FIRST_HELLO ? hello_len >= HELLO_LEN && hello_len <= HELLO_MAX
						: why != NULL && why[0] != '\0';
		if (!CHECK(ok))
			return;
	}
	CHECK(plain > MANY / 100 && plain < MANY);
}

/* --- hello ------------------------------------------------------------------------------------------------------- */

static struct plan some_plan(void)
{
	return (struct plan){
		.negotiated = true,
		.role = ROLE_RECEIVE,
		.mode = MODE_STREAM,
		.verify = true,
		.connections = 0x0102,
		.session = UINT64_C(0x0304050607080910),
		.seed = UINT64_C(0xf112131415161718),
		.length = 0x00212223,
		.depth = 0x3132,
		.blocks = UINT64_C(0x4142434445464748),
		.time_ns = UINT64_C(0x0152535455565758),
		.omit_ns = UINT64_C(0x0162636465666768),
		.rate_Bps = UINT64_C(0x7172737475767778),
		.write_len = 0x00018283,
		.congestion = "bbr_2-x",
	};
}

/* The plan as bytes, changed at `at`, is answered so. */
static enum answer answer_to(struct plan p, uint32_t max_length)
{
	unsigned char bytes[SESSION_LEN + HELLO_LEN];
	struct plan back;
	wire_put_hello(bytes, &p);
	return wire_get_hello(bytes + SESSION_LEN, max_length, &back);
}

static void check_same(const struct plan *a, const struct plan *b)
{
	CHECK_INT(a->negotiated, b->negotiated);
	CHECK_INT(a->role, b->role);
	CHECK_INT(a->mode, b->mode);
	CHECK_INT(a->verify, b->verify);
	CHECK_INT(a->connections, b->connections);
	CHECK(a->session == b->session);
	CHECK(a->seed == b->seed);
	CHECK_INT(a->length, b->length);
	CHECK_INT(a->depth, b->depth);
	CHECK(a->blocks == b->blocks);
	CHECK(a->time_ns == b->time_ns);
	CHECK(a->omit_ns == b->omit_ns);
	CHECK(a->rate_Bps == b->rate_Bps);
	CHECK_INT(a->write_len, b->write_len);
	CHECK_STR(a->congestion, b->congestion);
}

static void test_hello_round_trips(void)
{
	static const enum ttcp_role roles[] = { ROLE_SEND, ROLE_RECEIVE, ROLE_PROBE };
	static const enum ttcp_mode all_modes[] = { MODE_ACK, MODE_STREAM };
	unsigned char bytes[SESSION_LEN + HELLO_LEN + 1];
	for (unsigned i = 0; i < 24; i++) {
		struct plan p = some_plan(), back;
		p.role = roles[i % 3];
		p.mode = all_modes[i / 3 % 2];
		p.verify = i / 6 % 2;
		p.congestion[i < 12 ? 0 : 15] = '\0';
		bytes[SESSION_LEN + HELLO_LEN] = 0x55;
		wire_put_hello(bytes, &p);
		CHECK_INT(bytes[SESSION_LEN + HELLO_LEN], 0x55);
		memset(&back, 0x55, sizeof(back));
		CHECK_INT(wire_get_hello(bytes + SESSION_LEN, TTCP_MAX_BLOCK, &back), ANSWER_OK);
		check_same(&back, &p);
	}
}

/* The table of docs/wire-formats.md, by its offsets. */
static void test_hello_bytes(void)
{
	static const unsigned char want[SESSION_LEN + HELLO_LEN] = {
		0xf4,        'T',  'T',  'C',  0,           0,    0,    84,   0,           1,    1,    1,
		0x01,        0x02, 0,    1,    [16] = 0x03, 0x04, 0x05, 0x06, 0x07,        0x08, 0x09, 0x10,
		0xf1,        0x12, 0x13, 0x14, 0x15,        0x16, 0x17, 0x18, [32] = 0x00, 0x21, 0x22, 0x23,
		0x00,        0x00, 0x31, 0x32, 0x41,        0x42, 0x43, 0x44, 0x45,        0x46, 0x47, 0x48,
		[48] = 0x01, 0x52, 0x53, 0x54, 0x55,        0x56, 0x57, 0x58, 0x01,        0x62, 0x63, 0x64,
		0x65,        0x66, 0x67, 0x68, [64] = 0x71, 0x72, 0x73, 0x74, 0x75,        0x76, 0x77, 0x78,
		0x00,        0x01, 0x82, 0x83, [76] = 'b',  'b',  'r',  '_',  '2',         '-',  'x',
	};
	unsigned char bytes[SESSION_LEN + HELLO_LEN];
	struct plan p = some_plan();
	wire_put_hello(bytes, &p);
	for (size_t i = 0; i < sizeof(want); i++)
		if (!CHECK_INT(bytes[i], want[i]))
			fprintf(stderr, "    at offset %zu\n", i);
}

static void test_hello_edges(void)
{
	struct plan p = some_plan();
	p.connections = 1, p.length = 1, p.depth = 1, p.write_len = 0;
	p.blocks = p.time_ns = p.omit_ns = p.rate_Bps = 0;
	CHECK_INT(answer_to(p, 1), ANSWER_OK);
	p.connections = UINT16_MAX, p.length = TTCP_MAX_BLOCK, p.depth = TTCP_MAX_DEPTH, p.write_len = TTCP_IO;
	p.blocks = p.rate_Bps = UINT64_MAX;
	p.time_ns = p.omit_ns = UINT64_C(3155760000) * 1000000000;
	CHECK_INT(answer_to(p, TTCP_MAX_BLOCK), ANSWER_OK);
	CHECK_INT(answer_to(p, TTCP_MAX_BLOCK - 1), ANSWER_TOO_LONG);
	p.length = UINT32_MAX;
	CHECK_INT(answer_to(p, TTCP_MAX_BLOCK), ANSWER_TOO_LONG);
}

/* One field wrong at a time. */
static void test_hello_out_of_range(void)
{
	struct plan p[9];
	for (size_t i = 0; i < COUNT_OF(p); i++)
		p[i] = some_plan();
	p[0].connections = 0;
	p[1].length = 0;
	p[2].depth = 0;
	p[3].depth = TTCP_MAX_DEPTH + 1;
	p[4].depth = UINT32_MAX;
	p[5].write_len = TTCP_IO + 1;
	p[6].time_ns = UINT64_C(3155760000) * 1000000000 + 1;
	p[7].omit_ns = UINT64_MAX;
	memset(p[8].congestion, 'x', sizeof(p[8].congestion));
	for (size_t i = 0; i < COUNT_OF(p); i++)
		if (!CHECK_INT(answer_to(p[i], TTCP_MAX_BLOCK), ANSWER_MALFORMED))
			fprintf(stderr, "    row %zu\n", i);
}

/* The byte at `at` of the whole hello, with this value, gets this answer. */
static void check_byte(size_t at, unsigned char value, enum answer want)
{
	unsigned char bytes[SESSION_LEN + HELLO_LEN];
	struct plan p = some_plan(), back;
	wire_put_hello(bytes, &p);
	bytes[at] = value;
	if (!CHECK_INT(wire_get_hello(bytes + SESSION_LEN, TTCP_MAX_BLOCK, &back), want))
		fprintf(stderr, "    offset %zu, value %u\n", at, value);
}

static void test_hello_single_bytes(void)
{
	for (unsigned v = 0; v < 256; v++) {
		check_byte(8, (unsigned char)v, v == 0 ? ANSWER_OK : ANSWER_VERSION);
		check_byte(9, (unsigned char)v, v == 1 ? ANSWER_OK : ANSWER_VERSION);
		check_byte(10, (unsigned char)v, v <= ROLE_PROBE ? ANSWER_OK : ANSWER_MALFORMED);
		check_byte(11, (unsigned char)v, v <= MODE_STREAM ? ANSWER_OK : ANSWER_MALFORMED);
		check_byte(15, (unsigned char)v, ANSWER_OK);
		check_byte(91, (unsigned char)v, v == 0 ? ANSWER_OK : ANSWER_MALFORMED);
	}
}

/* Another version is told so even if the rest makes no sense to us. */
static void test_version_comes_first(void)
{
	unsigned char bytes[HELLO_LEN];
	struct plan back;
	memset(bytes, 0xff, sizeof(bytes));
	CHECK_INT(wire_get_hello(bytes, TTCP_MAX_BLOCK, &back), ANSWER_VERSION);
	memset(bytes, 0, sizeof(bytes));
	CHECK_INT(wire_get_hello(bytes, TTCP_MAX_BLOCK, &back), ANSWER_VERSION);
}

static bool is_within_ranges(const struct plan *p, uint32_t max)
{
	uint64_t century_ns = UINT64_C(3155760000) * 1000000000;
	return p->negotiated && p->role <= ROLE_PROBE && p->mode <= MODE_STREAM && p->connections >= 1 &&
	       p->length >= 1 && p->length <= max && p->depth >= 1 && p->depth <= TTCP_MAX_DEPTH &&
	       p->time_ns <= century_ns && p->omit_ns <= century_ns && p->write_len <= TTCP_IO &&
	       memchr(p->congestion, '\0', sizeof(p->congestion)) != NULL;
}

/* A valid hello with up to eight random bytes in it, and now and then nothing but random bytes. */
static void test_random_hellos(void)
{
	unsigned char bytes[SESSION_LEN + HELLO_LEN];
	struct plan p = some_plan(), back;
	unsigned long answers[ANSWER_N] = { 0 };
	for (uint64_t i = 0; i < MANY; i++) {
		uint64_t word = prng_word(21, i), where = prng_word(22, i);
		wire_put_hello(bytes, &p);
		for (uint64_t k = 0; k < i % 9; k++)
			bytes[SESSION_LEN + (where >> 8 * k & 0xff) % HELLO_LEN] = (unsigned char)(word >> 8 * k);
		if (i % 16 == 15)
			prng_fill(23, i * HELLO_LEN, bytes + SESSION_LEN, HELLO_LEN);
		enum answer a = wire_get_hello(bytes + SESSION_LEN, 4 << 20, &back);
		if (!CHECK(a <= ANSWER_TOO_LONG) || !CHECK(a != ANSWER_OK || is_within_ranges(&back, 4 << 20)))
			return;
		answers[a]++;
	}
	for (int a = ANSWER_OK; a <= ANSWER_TOO_LONG; a++)
		CHECK(answers[a] > 0);
}

/* --- answer ------------------------------------------------------------------------------------------------------ */

static void test_answers(void)
{
	static const unsigned char want[ANSWER_LEN] = { 0xf4, 'T', 'T', 'C', 0, 0, 0, 4, 0, 1, 0, 3 };
	unsigned char bytes[ANSWER_LEN + 1] = { [ANSWER_LEN] = 0x55 };
	wire_put_answer(bytes, ANSWER_TOO_LONG);
	CHECK_INT(memcmp(bytes, want, sizeof(want)), 0);
	CHECK_INT(bytes[ANSWER_LEN], 0x55);
	for (enum answer a = ANSWER_OK; a < ANSWER_N; a++) {
		enum answer back = ANSWER_N;
		wire_put_answer(bytes, a);
		CHECK(wire_get_answer(bytes, &back));
		CHECK_INT(back, a);
		CHECK(strlen(wire_answer_text(a)) > 3);
	}
	/* A code of a later version is no agreement. */
	for (unsigned code = ANSWER_N; code <= UINT16_MAX; code++) {
		enum answer back = ANSWER_OK;
		be16_put(bytes + 10, (uint16_t)code);
		if (!CHECK(wire_get_answer(bytes, &back)) || !CHECK_INT(back, ANSWER_MALFORMED))
			return;
	}
}

/* What an old receiver may send instead: nothing that begins like an ack, a banner or a hello is an answer. */
static void test_no_answers(void)
{
	static const char *const others[] = {
		"\0\0\x20\0\0\0\x20\0\0\0\x20\0",
		"HTTP/1.1 400",
		"SSH-2.0-Open",
		"\0\0\0\0\0\0\0\0\0\0\0\0",
	};
	unsigned char bytes[SESSION_LEN + HELLO_LEN];
	enum answer back;
	for (size_t i = 0; i < COUNT_OF(others); i++)
		CHECK(!wire_get_answer((const unsigned char *)others[i], &back));
	wire_put_hello(bytes, &(struct plan){ 0 });
	CHECK(!wire_get_answer(bytes, &back));
	for (int bit = 0; bit < 64; bit++) {
		wire_put_answer(bytes, ANSWER_OK);
		bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
		CHECK(!wire_get_answer(bytes, &back));
	}
}

/* --- tally ------------------------------------------------------------------------------------------------------- */

/* The numbers in wire order, as the page on the formats lists them. */
static void list_numbers(const struct tally *t, uint64_t out[static 17])
{
	const uint64_t list[17] = {
		t->bytes,           t->blocks,
		t->elapsed_ns,      t->calls,
		t->short_calls,     t->cpu.user_ns,
		t->cpu.sys_ns,      t->cpu.waited_ns,
		t->retransmits,     t->rtt_ns,
		t->min_rtt_ns,      t->busy_ns,
		t->rwnd_limited_ns, t->sndbuf_limited_ns,
		t->cwnd_bytes,      t->pacing_Bps,
		t->bad_offset,
	};
	memcpy(out, list, sizeof(list));
}

static void test_tally_order_and_round_trip(void)
{
	unsigned char in[TALLY_LEN], back[TALLY_LEN + 1] = { [TALLY_LEN] = 0x55 };
	struct tally t;
	uint64_t numbers[17];
	for (uint64_t i = 0; i < 17; i++)
		be64_put(in + 8 * i, prng_word(31, i));
	memset(in + 136, 0, TCPINFO_CONGESTION);
	memcpy(in + 136, "cubic", 5);
	memset(&t, 0x55, sizeof(t));
	wire_get_tally(in, &t);
	list_numbers(&t, numbers);
	for (uint64_t i = 0; i < 17; i++)
		if (!CHECK(numbers[i] == prng_word(31, i)))
			fprintf(stderr, "    number %d\n", (int)i);
	CHECK_STR(t.congestion, "cubic");
	wire_put_tally(back, &t);
	CHECK_INT(memcmp(back, in, TALLY_LEN), 0);
	CHECK_INT(back[TALLY_LEN], 0x55);
}

/* It goes to a terminal: whatever bytes came, only harmless ones are left, and they end. */
static void test_tally_names(void)
{
	unsigned char in[TALLY_LEN];
	struct tally t;
	memset(in, 0xff, sizeof(in));
	memcpy(in + 136, "\x1b[31mred\a\r\n%s\x7f", 14);
	wire_get_tally(in, &t);
	CHECK_STR(t.congestion, "??31mred????s??");
	for (uint64_t i = 0; i < 100000; i++) {
		prng_fill(32, i * TALLY_LEN, in, TALLY_LEN);
		memset(&t, 0x55, sizeof(t));
		wire_get_tally(in, &t);
		if (!CHECK(memchr(t.congestion, '\0', sizeof(t.congestion)) != NULL))
			return;
		for (const char *c = t.congestion; *c != '\0'; c++)
			if (!CHECK(isalnum((unsigned char)*c) || strchr("_-?", *c) != NULL))
				return;
	}
	memcpy(in + 136, "dctcp_v2-x\0\0\0\0\0", 16);
	wire_get_tally(in, &t);
	CHECK_STR(t.congestion, "dctcp_v2-x");
}

int main(void)
{
	test_session_bytes();
	test_plain_session();
	test_session_out_of_range();
	test_strangers();
	test_typed_lines();
	test_tls_of_any_length();
	test_hello_is_recognised();
	test_random_sessions();
	test_hello_round_trips();
	test_hello_bytes();
	test_hello_edges();
	test_hello_out_of_range();
	test_hello_single_bytes();
	test_version_comes_first();
	test_random_hellos();
	test_answers();
	test_no_answers();
	test_tally_order_and_round_trip();
	test_tally_names();
	return check_done();
}
