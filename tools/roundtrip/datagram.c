#include "datagram.h"

#include "clock.h"
#include "wire.h"

#include <assert.h>
#include <string.h>

/* --- plain ------------------------------------------------------------------------------------------------------- */

/* The course's programs write them as their machines have them in memory, which is little-endian wherever they ran. */
static void le64_put(unsigned char *p, uint64_t v)
{
	for (int i = 0; i < 8; i++)
		p[i] = (unsigned char)(v >> (8 * i));
}

static uint64_t le64_get(const unsigned char *p)
{
	uint64_t v = 0;
	for (int i = 0; i < 8; i++)
		v |= (uint64_t)p[i] << (8 * i);
	return v;
}

void plain_put(unsigned char out[static PLAIN_LEN], struct plain p)
{
	le64_put(out, (uint64_t)p.request_us);
	le64_put(out + 8, (uint64_t)p.response_us);
}

struct plain plain_get(const unsigned char in[static PLAIN_LEN])
{
	return (struct plain){ .request_us = (int64_t)le64_get(in), .response_us = (int64_t)le64_get(in + 8) };
}

/* --- extended ---------------------------------------------------------------------------------------------------- */

/* Where what lies. */
enum {
	AT_MAGIC = 0,
	AT_VERSION = 4,
	AT_KIND = 5,
	AT_FLAGS = 6,
	AT_LEN = 8,
	AT_LIMIT = 12,
	AT_SESSION = 16,
	AT_NUMBER = 24,
	AT_T1 = 32,
	AT_T2 = 40,
	AT_T3 = 48,
	AT_ANSWER = 56,
	AT_UP_RECEIVED = 64,
	AT_UP_NEXT = 72,
	AT_UP_DUPLICATED = 80,
	AT_UP_REORDERED = 84,
	AT_COOKIE = 88,
	AT_ERROR = 96,
	AT_K2 = 104,
	AT_H2 = 112,
	AT_EARLIER = 120,
	AT_K3_SCHED = 128,
	AT_K3_SENT = 136,
	AT_H3 = 144,
	AT_PADDING = EXTENDED_LEN,
};

static const uint32_t MAGIC = 0x746c5254; /* "tlRT" */
enum { VERSION = 1 };

void extended_put(unsigned char *out, const struct extended *x)
{
	assert(x->len >= EXTENDED_LEN);
	be32_put(out + AT_MAGIC, MAGIC);
	out[AT_VERSION] = VERSION;
	out[AT_KIND] = x->kind;
	be16_put(out + AT_FLAGS, x->flags);
	be32_put(out + AT_LEN, x->len);
	be32_put(out + AT_LIMIT, x->limit);
	be64_put(out + AT_SESSION, x->session);
	be64_put(out + AT_NUMBER, x->number);
	be64_put(out + AT_T1, (uint64_t)x->t1);
	be64_put(out + AT_T2, (uint64_t)x->t2);
	be64_put(out + AT_T3, (uint64_t)x->t3);
	be64_put(out + AT_ANSWER, x->answer);
	be64_put(out + AT_UP_RECEIVED, x->up_received);
	be64_put(out + AT_UP_NEXT, x->up_next);
	be32_put(out + AT_UP_DUPLICATED, x->up_duplicated);
	be32_put(out + AT_UP_REORDERED, x->up_reordered);
	be64_put(out + AT_COOKIE, x->cookie);
	be64_put(out + AT_ERROR, x->error_ns);
	be64_put(out + AT_K2, (uint64_t)x->k2);
	be64_put(out + AT_H2, (uint64_t)x->h2);
	be64_put(out + AT_EARLIER, x->earlier);
	be64_put(out + AT_K3_SCHED, (uint64_t)x->k3_sched);
	be64_put(out + AT_K3_SENT, (uint64_t)x->k3_sent);
	be64_put(out + AT_H3, (uint64_t)x->h3);
	memset(out + AT_PADDING, 0, x->len - AT_PADDING);
}

size_t extended_len(const unsigned char in[static EXTENDED_HEAD])
{
	uint32_t len = be32_get(in + AT_LEN);
	if (be32_get(in + AT_MAGIC) != MAGIC || in[AT_VERSION] != VERSION)
		return 0;
	return len >= EXTENDED_LEN && len <= DATAGRAM_MAX ? len : 0;
}

bool extended_get(const unsigned char *in, size_t n, struct extended *x)
{
	if (n < EXTENDED_LEN || extended_len(in) != n)
		return false;
	*x = (struct extended){
		.kind = in[AT_KIND],
		.flags = be16_get(in + AT_FLAGS),
		.len = (uint32_t)n,
		.limit = be32_get(in + AT_LIMIT),
		.session = be64_get(in + AT_SESSION),
		.number = be64_get(in + AT_NUMBER),
		.t1 = (int64_t)be64_get(in + AT_T1),
		.t2 = (int64_t)be64_get(in + AT_T2),
		.t3 = (int64_t)be64_get(in + AT_T3),
		.answer = be64_get(in + AT_ANSWER),
		.up_received = be64_get(in + AT_UP_RECEIVED),
		.up_next = be64_get(in + AT_UP_NEXT),
		.up_duplicated = be32_get(in + AT_UP_DUPLICATED),
		.up_reordered = be32_get(in + AT_UP_REORDERED),
		.cookie = be64_get(in + AT_COOKIE),
		.error_ns = be64_get(in + AT_ERROR),
		.k2 = (int64_t)be64_get(in + AT_K2),
		.h2 = (int64_t)be64_get(in + AT_H2),
		.earlier = be64_get(in + AT_EARLIER),
		.k3_sched = (int64_t)be64_get(in + AT_K3_SCHED),
		.k3_sent = (int64_t)be64_get(in + AT_K3_SENT),
		.h3 = (int64_t)be64_get(in + AT_H3),
	};
	return (x->flags & EXTENDED_SIGNED) == 0 || n >= EXTENDED_LEN + SIGNATURE_LEN;
}

/* --- NTP --------------------------------------------------------------------------------------------------------- */

enum { NTP_VERSION = 4, NTP_CLIENT = 3, NTP_SERVER = 4 };
static const int64_t FROM_1900_TO_1970_S = 2208988800;
enum {
	NTP_AT_ROOT_DELAY = 4,
	NTP_AT_ROOT_DISPERSION = 8,
	NTP_AT_REFERENCE = 12,
	NTP_AT_ORIGIN = 24,
	NTP_AT_RECEIVE = 32,
	NTP_AT_TRANSMIT = 40
};

void ntp_put(unsigned char out[static NTP_LEN], uint64_t nonce)
{
	memset(out, 0, NTP_LEN);
	out[0] = NTP_VERSION << 3 | NTP_CLIENT;
	be64_put(out + NTP_AT_TRANSMIT, nonce);
}

/* 32 bits of seconds since 1900, which go round every 136 years, and 32 bits of fraction: the instant nearest to
 * now. */
static int64_t ntp_time_ns(const unsigned char *p, int64_t now_ns)
{
	int64_t now_s = now_ns / NS_PER_S;
	int32_t ahead_s = (int32_t)(be32_get(p) - (uint32_t)(now_s + FROM_1900_TO_1970_S));
	uint64_t fraction_ns = (uint64_t)be32_get(p + 4) * NS_PER_S >> 32;
	return (now_s + ahead_s) * NS_PER_S + (int64_t)fraction_ns;
}

/* 16 bits of seconds and 16 of fraction (RFC 5905 6, short format). */
static uint64_t ntp_short_ns(const unsigned char *p)
{
	return (uint64_t)be32_get(p) * NS_PER_S >> 16;
}

const char *ntp_get(const unsigned char *in, size_t n, int64_t now_ns, struct ntp *out)
{
	*out = (struct ntp){ 0 };
	if (n < NTP_LEN)
		return "it is shorter than 48 bytes";
	if ((in[0] & 7) != NTP_SERVER)
		return "it is not from a server (mode 4)";
	*out = (struct ntp){
		.leap = in[0] >> 6,
		.version = in[0] >> 3 & 7,
		.stratum = in[1],
		.precision = (int8_t)in[3],
		.root_delay_ns = ntp_short_ns(in + NTP_AT_ROOT_DELAY),
		.root_dispersion_ns = ntp_short_ns(in + NTP_AT_ROOT_DISPERSION),
		.origin = be64_get(in + NTP_AT_ORIGIN),
		.t2 = ntp_time_ns(in + NTP_AT_RECEIVE, now_ns),
		.t3 = ntp_time_ns(in + NTP_AT_TRANSMIT, now_ns),
	};
	for (int i = 0; i < 4; i++) {
		unsigned char c = in[NTP_AT_REFERENCE + i];
		out->reference[i] = (char)(c > ' ' && c < 127 ? c : '\0');
	}
	if (out->stratum == 0)
		return "it does not want to be asked (a kiss)";
	return be64_get(in + NTP_AT_TRANSMIT) == 0 ? "it has no transmit time" : NULL;
}
