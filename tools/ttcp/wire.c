/* wire.c - the bytes of ttcp: the course's session header, and the hello that turns it into a negotiated session.
 * docs/wire-formats.md has the tables. Everything here is pure: bytes in, values out, nothing allocated, nothing
 * believed: a number from the peer is range-checked before anybody sees it. */
#include "ttcp.h"

#include "wire.h"

#include <ctype.h>
#include <string.h>

/* As the course's int32 count this is negative, and the length behind it small and positive: an old receiver runs its
 * loop zero times and closes in order. No other program begins like this. */
#define HELLO_MAGIC 0xF4545443u /* F4 'T' 'T' 'C' */
enum { WIRE_VERSION = 1, FLAG_VERIFY = 1 };

void wire_put_session(unsigned char out[static SESSION_LEN], uint32_t blocks, uint32_t length)
{
	be32_put(out, blocks);
	be32_put(out + 4, length);
}

/* Programs that share our port, or wander by: how they begin. */
const char *wire_who_is_it(const unsigned char in[static SESSION_LEN])
{
	static const struct {
		const char *first, *name;
	} known[] = {
		{ "GET ", "an HTTP client" },
		{ "POST", "an HTTP client" },
		{ "HEAD", "an HTTP client" },
		{ "HTTP", "an HTTP server" },
		{ "PUT ", "an HTTP client" },
		{ "OPTI", "an HTTP client" },
		{ "SSH-", "an SSH peer" },
		{ "HELO", "nuttcp, or mail" },
		{ "EHLO", "a mail client" },
		{ "\x16\x03", "a TLS client" },
		{ "01234567", "iperf2 or a classic ttcp" },
		{ " !\"#$%&'", "a classic ttcp" },
	};
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (memcmp(in, known[i].first, strlen(known[i].first)) == 0)
			return known[i].name;
	/* iperf 2.1 begins with flags, of which one of the top two is set, and a small number. */
	if ((in[0] & 0xC0) != 0 && in[0] < 0xF0 && in[4] == 0 && in[5] == 0)
		return "iperf2";
	/* iperf3 begins with a cookie of lower-case letters and digits. */
	for (int i = 0; i < SESSION_LEN; i++)
		if (!islower(in[i]) && !isdigit(in[i]))
			return "nobody we know (iperf2 and nuttcp use this port as well)";
	return "iperf3";
}

/* Text and TLS can look like two numbers of a plausible size: four letters and two line ends are half a billion blocks
 * of 200 MB. Nobody means that. */
static bool is_text_or_tls(const unsigned char in[static SESSION_LEN])
{
	bool is_text = be32_get(in + 4) >= 1u << 24;
	for (int i = 0; i < 4; i++)
		is_text = is_text && isprint(in[i]);
	return is_text ||
	       (in[0] == 0x16 && in[1] == 3 && in[5] == 1); /* handshake, version 3.x, ClientHello: RFC 8446 5.1 */
}

/* The first eight bytes of a connection. FIRST_PLAIN: *out is the whole plan. FIRST_HELLO: *hello_len bytes follow,
 * HELLO_LEN to HELLO_MAX. FIRST_GARBAGE: *why says who it may be. */
enum first_bytes wire_get_session(const unsigned char in[static SESSION_LEN], uint32_t max_length, struct plan *out,
				  uint32_t *hello_len, const char **why)
{
	uint32_t count = be32_get(in), length = be32_get(in + 4);
	if (count == HELLO_MAGIC && length >= HELLO_LEN && length <= HELLO_MAX) {
		*hello_len = length;
		return FIRST_HELLO;
	}
	/* A real count and length have their top bits clear; text and foreign headers hardly ever do. */
	if (count <= INT32_MAX && length >= 1 && length <= max_length && !is_text_or_tls(in)) {
		*out = (struct plan){ .role = ROLE_SEND,
				      .mode = MODE_ACK,
				      .length = length,
				      .depth = 1,
				      .connections = 1,
				      .blocks = count };
		return FIRST_PLAIN;
	}
	*why = wire_who_is_it(in);
	return FIRST_GARBAGE;
}

/* --- hello and answer -------------------------------------------------------------------------------------------- */

void wire_put_hello(unsigned char out[static SESSION_LEN + HELLO_LEN], const struct plan *p)
{
	wire_put_session(out, HELLO_MAGIC, HELLO_LEN);
	unsigned char *h = out + SESSION_LEN;
	be16_put(h, WIRE_VERSION);
	h[2] = (unsigned char)p->role;
	h[3] = (unsigned char)p->mode;
	be16_put(h + 4, p->connections);
	be16_put(h + 6, p->verify ? FLAG_VERIFY : 0);
	be64_put(h + 8, p->session);
	be64_put(h + 16, p->seed);
	be32_put(h + 24, p->length);
	be32_put(h + 28, p->depth);
	be64_put(h + 32, p->blocks);
	be64_put(h + 40, p->time_ns);
	be64_put(h + 48, p->omit_ns);
	be64_put(h + 56, p->rate_Bps);
	be32_put(h + 64, p->write_len);
	memcpy(h + 68, p->congestion, sizeof(p->congestion));
}
_Static_assert(HELLO_LEN == 68 + TCPINFO_CONGESTION, "hello layout");

enum answer wire_get_hello(const unsigned char in[static HELLO_LEN], uint32_t max_length, struct plan *out)
{
	*out = (struct plan){
		.negotiated = true,
		.role = in[2],
		.mode = in[3],
		.connections = be16_get(in + 4),
		.verify = (be16_get(in + 6) & FLAG_VERIFY) != 0,
		.session = be64_get(in + 8),
		.seed = be64_get(in + 16),
		.length = be32_get(in + 24),
		.depth = be32_get(in + 28),
		.blocks = be64_get(in + 32),
		.time_ns = be64_get(in + 40),
		.omit_ns = be64_get(in + 48),
		.rate_Bps = be64_get(in + 56),
		.write_len = be32_get(in + 64),
	};
	memcpy(out->congestion, in + 68, sizeof(out->congestion));
	if (be16_get(in) != WIRE_VERSION)
		return ANSWER_VERSION;
	if (out->role > ROLE_PROBE || out->mode > MODE_STREAM || out->connections == 0 || out->length == 0 ||
	    out->depth == 0 || out->depth > TTCP_MAX_DEPTH || out->write_len > TTCP_IO ||
	    out->congestion[sizeof(out->congestion) - 1] != '\0')
		return ANSWER_MALFORMED;
	/* A century in nanoseconds still adds up without overflow; longer is nonsense. */
	uint64_t century_ns = UINT64_C(3155760000000000000);
	if (out->time_ns > century_ns || out->omit_ns > century_ns)
		return ANSWER_MALFORMED;
	return out->length > max_length ? ANSWER_TOO_LONG : ANSWER_OK;
}

void wire_put_answer(unsigned char out[static ANSWER_LEN], enum answer a)
{
	be32_put(out, HELLO_MAGIC);
	be32_put(out + 4, ANSWER_LEN - SESSION_LEN);
	be16_put(out + 8, WIRE_VERSION);
	be16_put(out + 10, (uint16_t)a);
}

/* False: this is no answer to a hello. */
bool wire_get_answer(const unsigned char in[static ANSWER_LEN], enum answer *out)
{
	if (be32_get(in) != HELLO_MAGIC || be32_get(in + 4) != ANSWER_LEN - SESSION_LEN)
		return false;
	uint16_t a = be16_get(in + 10);
	*out = a < ANSWER_N ? (enum answer)a : ANSWER_MALFORMED;
	return true;
}

const char *wire_answer_text(enum answer a)
{
	static const char *const texts[ANSWER_N] = {
		[ANSWER_OK] = "agreed",
		[ANSWER_VERSION] = "the receiver speaks another version of the protocol",
		[ANSWER_MALFORMED] = "the receiver could not make sense of the request",
		[ANSWER_TOO_LONG] = "the block is longer than the receiver allows (its --max-length)",
		[ANSWER_CONGESTION] = "the other end does not have that congestion control, or may not use it",
	};
	return texts[a];
}

/* --- tallies ----------------------------------------------------------------------------------------------------- */

/* Every number of a tally in wire order; `name` says in docs/wire-formats.md what it is. */
/* clang-format off */
#define TALLY_FIELDS(F) \
	F(bytes) F(blocks) F(elapsed_ns) F(calls) F(short_calls) F(cpu.user_ns) F(cpu.sys_ns) F(cpu.waited_ns) \
	F(retransmits) F(rtt_ns) F(min_rtt_ns) F(busy_ns) F(rwnd_limited_ns) F(sndbuf_limited_ns) F(cwnd_bytes) \
	F(pacing_Bps) F(bad_offset)
/* clang-format on */

void wire_put_tally(unsigned char out[static TALLY_LEN], const struct tally *t)
{
#define PUT(field)               \
	be64_put(out, t->field); \
	out += 8;
	TALLY_FIELDS(PUT)
#undef PUT
	memcpy(out, t->congestion, sizeof(t->congestion));
}

void wire_get_tally(const unsigned char in[static TALLY_LEN], struct tally *out)
{
#define GET(field)                 \
	out->field = be64_get(in); \
	in += 8;
	TALLY_FIELDS(GET)
#undef GET
	memcpy(out->congestion, in, sizeof(out->congestion));
	out->congestion[sizeof(out->congestion) - 1] = '\0';
	for (char *c = out->congestion; *c != '\0'; c++)
		if (!isalnum((unsigned char)*c) && *c != '_' && *c != '-')
			*c = '?'; /* it goes to a terminal */
}
