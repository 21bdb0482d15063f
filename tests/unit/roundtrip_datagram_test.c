/* roundtrip_datagram_test.c - golden bytes there and back, every truncation, every changed byte of the head, random bytes, and the
 * eras of NTP. */
#include "../../tools/roundtrip/datagram.h"

#include "check.h"
#include "clock.h"
#include "prng.h"
#include "wire.h"

/* --- plain ------------------------------------------------------------------------------------------------------- */

static void test_plain(void)
{
	static const unsigned char golden[PLAIN_LEN] = { 0x08, 0x07, 0x06, 0x05, 0x04, 0x03, 0x02, 0x01,
							 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
	static const int64_t edges[] = { INT64_MIN, INT64_MAX, 0, -1, 1, PLAIN_MAY_WE, PLAIN_YES };
	unsigned char bytes[PLAIN_LEN];
	plain_put(bytes, (struct plain){ INT64_C(0x0102030405060708), -2 });
	CHECK_INT(memcmp(bytes, golden, PLAIN_LEN), 0);
	for (size_t i = 0; i < COUNT_OF(edges); i++) {
		plain_put(bytes, (struct plain){ edges[i], edges[COUNT_OF(edges) - 1 - i] });
		struct plain p = plain_get(bytes);
		CHECK_INT(p.request_us, edges[i]);
		CHECK_INT(p.response_us, edges[COUNT_OF(edges) - 1 - i]);
	}
}

/* --- extended ---------------------------------------------------------------------------------------------------- */

/* Each field has bytes of its own: 0x10 0x11 .. as docs/wire-formats.md has them one after the other. */
static const struct extended golden = {
	.kind = EXTENDED_ANSWER,
	.flags = 0x0605,
	.len = EXTENDED_LEN,
	.limit = 0x0c0d0e0f,
	.session = 0x1011121314151617,
	.number = 0x18191a1b1c1d1e1f,
	.t1 = 0x2021222324252627,
	.t2 = 0x28292a2b2c2d2e2f,
	.t3 = 0x3031323334353637,
	.answer = 0x38393a3b3c3d3e3f,
	.up_received = 0x4041424344454647,
	.up_next = 0x48494a4b4c4d4e4f,
	.up_duplicated = 0x50515253,
	.up_reordered = 0x54555657,
	.cookie = 0x58595a5b5c5d5e5f,
	.error_ns = 0x6061626364656667,
	.k2 = 0x68696a6b6c6d6e6f,
	.h2 = 0x7071727374757677,
	.earlier = 0x78797a7b7c7d7e7f,
	.k3_sched = (int64_t)0x8081828384858687,
	.k3_sent = (int64_t)0x88898a8b8c8d8e8f,
	.h3 = (int64_t)0x9091929394959697,
};

static bool is_same(const struct extended *a, const struct extended *b)
{
	return a->kind == b->kind && a->flags == b->flags && a->len == b->len && a->limit == b->limit &&
	       a->session == b->session && a->number == b->number && a->t1 == b->t1 && a->t2 == b->t2 &&
	       a->t3 == b->t3 && a->answer == b->answer && a->up_received == b->up_received &&
	       a->up_next == b->up_next && a->up_duplicated == b->up_duplicated && a->up_reordered == b->up_reordered &&
	       a->cookie == b->cookie && a->error_ns == b->error_ns && a->k2 == b->k2 && a->h2 == b->h2 &&
	       a->earlier == b->earlier && a->k3_sched == b->k3_sched && a->k3_sent == b->k3_sent && a->h3 == b->h3;
}

static void test_golden(void)
{
	static const unsigned char head[16] = { 't', 'l', 'R', 'T', 1, 2, 6, 5, 0, 0, 0, EXTENDED_LEN, 12, 13, 14, 15 };
	unsigned char bytes[EXTENDED_LEN + 8];
	struct extended back;
	memset(bytes, 0xee, sizeof(bytes));
	extended_put(bytes, &golden);
	CHECK_INT(memcmp(bytes, head, sizeof(head)), 0);
	for (size_t i = sizeof(head); i < EXTENDED_LEN; i++)
		if (!CHECK_INT(bytes[i], i))
			break;
	CHECK_INT(bytes[EXTENDED_LEN], 0xee);
	CHECK(extended_get(bytes, EXTENDED_LEN, &back));
	CHECK(is_same(&back, &golden));
}

static void test_padding(void)
{
	static const uint32_t lens[] = { EXTENDED_LEN, EXTENDED_LEN + 1, EXTENDED_LEN + SIGNATURE_LEN, 1400,
					 DATAGRAM_MAX };
	static unsigned char bytes[DATAGRAM_MAX + 1];
	for (size_t i = 0; i < COUNT_OF(lens); i++) {
		struct extended x = golden, back;
		x.len = lens[i];
		memset(bytes, 0xee, sizeof(bytes));
		extended_put(bytes, &x);
		for (size_t at = EXTENDED_LEN; at < lens[i]; at++)
			if (bytes[at] != 0) {
				CHECK(false && "padding");
				break;
			}
		CHECK_INT(bytes[lens[i]], 0xee);
		CHECK_INT(extended_len(bytes), lens[i]);
		CHECK(extended_get(bytes, lens[i], &back));
		CHECK(is_same(&back, &x));
		CHECK(!extended_get(bytes, lens[i] - 1, &back));
		CHECK(!extended_get(bytes, lens[i] + 1, &back));
	}
}

/* In a block of its own size, so that a sanitizer sees a byte that is read too far. */
static bool get_exactly(const unsigned char *bytes, size_t n, struct extended *x)
{
	unsigned char copy[256];
	unsigned char *end = copy + sizeof(copy) - n;
	memcpy(end, bytes, n);
	return extended_get(end, n, x);
}

static void test_truncations(void)
{
	unsigned char bytes[EXTENDED_LEN + SIGNATURE_LEN];
	struct extended x = golden, back;
	x.len = sizeof(bytes);
	extended_put(bytes, &x);
	for (size_t n = 0; n < sizeof(bytes); n++)
		CHECK(!get_exactly(bytes, n, &back));
	CHECK(get_exactly(bytes, sizeof(bytes), &back));
}

/* A length that the datagram does not have, or that nothing has. */
static void test_lengths(void)
{
	static const uint32_t wrong[] = { 0, 16, EXTENDED_LEN - 1, EXTENDED_LEN + 1, DATAGRAM_MAX + 1, UINT32_MAX };
	unsigned char bytes[EXTENDED_LEN];
	struct extended back;
	extended_put(bytes, &golden);
	for (size_t i = 0; i < COUNT_OF(wrong); i++) {
		be32_put(bytes + 8, wrong[i]);
		CHECK(!extended_get(bytes, sizeof(bytes), &back));
		CHECK_INT(extended_len(bytes), wrong[i] == EXTENDED_LEN + 1 ? wrong[i] : 0);
	}
}

/* Of all single changes those of magic, version and length make it no datagram of ours; SIGNED needs room for the signature. */
static void test_changed_bytes(void)
{
	unsigned char bytes[EXTENDED_LEN];
	struct extended x = golden, back;
	x.flags = 0;
	for (size_t at = 0; at < EXTENDED_LEN; at++)
		for (unsigned change = 1; change < 256; change++) {
			extended_put(bytes, &x);
			bytes[at] ^= (unsigned char)change;
			bool is_head = at < 5 || (at >= 8 && at < 12);
			bool is_signed = at == 7 && (change & EXTENDED_SIGNED);
			if (!CHECK_INT(extended_get(bytes, EXTENDED_LEN, &back), !is_head && !is_signed))
				return;
		}
}

static void test_signed_needs_room(void)
{
	unsigned char bytes[EXTENDED_LEN + SIGNATURE_LEN];
	struct extended x = golden, back;
	x.flags = EXTENDED_SIGNED;
	for (x.len = EXTENDED_LEN; x.len <= sizeof(bytes); x.len++) {
		extended_put(bytes, &x);
		CHECK_INT(extended_get(bytes, x.len, &back), x.len == sizeof(bytes));
	}
}

/* Whatever passes is what was put; whatever does not pass is not looked at. */
static void test_random_bytes(void)
{
	enum { TRIES = 50000 };
	unsigned char bytes[256];
	struct extended x;
	struct ntp ntp;
	unsigned passed = 0;
	for (uint64_t i = 0; i < TRIES; i++) {
		size_t n = prng_word(1, i) % 200;
		prng_fill(2, i * sizeof(bytes), bytes, sizeof(bytes));
		if (i % 2 == 0) { /* a right head */
			be32_put(bytes, 0x746c5254);
			bytes[4] = 1;
			be32_put(bytes + 8, (uint32_t)n);
		}
		passed += get_exactly(bytes, n, &x);
		const char *wrong = ntp_get(bytes, n, INT64_MAX / 2, &ntp);
		if (!CHECK(wrong == NULL || wrong[0] != '\0'))
			return;
	}
	CHECK(passed > 100 && passed < TRIES / 2);
}

/* --- NTP --------------------------------------------------------------------------------------------------------- */

static const int64_t FROM_1900_S = INT64_C(25567) * 86400; /* 70 years, 17 of them leap years */

/* An answer of stratum 2 with these two times, in seconds since 1900 (and 2^32 of them are an era) and fractions. */
static void put_answer(unsigned char out[static NTP_LEN], uint64_t receive, uint64_t transmit)
{
	memset(out, 0, NTP_LEN);
	out[0] = 4 << 3 | 4;
	out[1] = 2;
	out[3] = (unsigned char)-20;
	be32_put(out + 4, 0x00018000); /* 1.5 s */
	be32_put(out + 8, 0x00004000); /* 0.25 s */
	memcpy(out + 12, "\x0a\x01\x02\x03", 4);
	be64_put(out + 24, UINT64_C(0x1122334455667788));
	be64_put(out + 32, receive);
	be64_put(out + 40, transmit);
}

static uint64_t stamp(int64_t unix_s, uint32_t fraction)
{
	return (uint64_t)(uint32_t)(unix_s + FROM_1900_S) << 32 | fraction;
}

static void test_ntp_question(void)
{
	unsigned char q[NTP_LEN];
	memset(q, 0xee, sizeof(q));
	ntp_put(q, UINT64_C(0xa1a2a3a4a5a6a7a8));
	CHECK_INT(q[0], 0x23); /* no leap second is known, version 4, client */
	for (size_t i = 1; i < 40; i++)
		CHECK_INT(q[i], 0);
	CHECK(be64_get(q + 40) == UINT64_C(0xa1a2a3a4a5a6a7a8));
}

static void test_ntp_answer(void)
{
	unsigned char bytes[NTP_LEN];
	struct ntp a;
	const int64_t now_s = 1700000000;
	put_answer(bytes, stamp(now_s, 0x80000000), stamp(now_s + 1, 0x40000000));
	CHECK(ntp_get(bytes, sizeof(bytes), now_s * NS_PER_S, &a) == NULL);
	CHECK_INT(a.t2, now_s * NS_PER_S + 500000000);
	CHECK_INT(a.t3, (now_s + 1) * NS_PER_S + 250000000);
	CHECK_INT(a.stratum, 2);
	CHECK_INT(a.version, 4);
	CHECK_INT(a.leap, 0);
	CHECK_INT(a.precision, -20);
	CHECK_INT(a.root_delay_ns, 1500000000);
	CHECK_INT(a.root_dispersion_ns, 250000000);
	CHECK(a.origin == UINT64_C(0x1122334455667788));
}

/* The seconds go round in February 2036: what they mean is what is nearest to our own clock, up to 68 years away. */
static void test_ntp_eras(void)
{
	const int64_t round_s = (INT64_C(1) << 32) - FROM_1900_S; /* 2036-02-07T06:28:16Z */
	const int64_t years_s = 31556952;
	static const int64_t away_s[] = { 0, 1, -1, 86400, -86400 };
	const int64_t nows_s[] = { 0, 1, 1700000000, round_s - 1, round_s, round_s + 1, round_s + 100 * years_s };
	unsigned char bytes[NTP_LEN];
	struct ntp a;
	CHECK_INT(round_s, 2085978496);
	for (size_t i = 0; i < COUNT_OF(nows_s); i++)
		for (size_t k = 0; k < COUNT_OF(away_s) + 2; k++) {
			int64_t ahead_s = k < COUNT_OF(away_s) ? away_s[k] : (k % 2 == 0 ? 67 : -67) * years_s;
			int64_t there_s = nows_s[i] + ahead_s;
			put_answer(bytes, stamp(there_s, 0), stamp(there_s, 0x80000000));
			if (be64_get(bytes + 40) == 0)
				continue;
			CHECK(ntp_get(bytes, sizeof(bytes), nows_s[i] * NS_PER_S, &a) == NULL);
			CHECK_INT(a.t2, there_s * NS_PER_S);
			CHECK_INT(a.t3, there_s * NS_PER_S + NS_PER_S / 2);
		}
}

static void test_ntp_refused(void)
{
	unsigned char bytes[NTP_LEN];
	struct ntp a;
	const int64_t now_ns = INT64_C(1700000000) * NS_PER_S;
	uint64_t now = stamp(1700000000, 1);
	for (size_t n = 0; n < NTP_LEN; n++) {
		put_answer(bytes, now, now);
		unsigned char *end = bytes + sizeof(bytes) - n;
		memmove(end, bytes, n);
		CHECK(ntp_get(end, n, now_ns, &a) != NULL);
		CHECK_INT(a.t2 + a.t3 + a.stratum, 0);
	}
	for (unsigned mode = 0; mode < 8; mode++) {
		put_answer(bytes, now, now);
		bytes[0] = (unsigned char)(4 << 3 | mode);
		CHECK_INT(ntp_get(bytes, sizeof(bytes), now_ns, &a) == NULL, mode == 4);
	}
	put_answer(bytes, now, 0);
	CHECK(ntp_get(bytes, sizeof(bytes), now_ns, &a) != NULL);
}

static void test_ntp_kiss(void)
{
	unsigned char bytes[NTP_LEN];
	struct ntp a;
	put_answer(bytes, 1, 1);
	bytes[1] = 0;
	memcpy(bytes + 12, "RATE", 4);
	CHECK(ntp_get(bytes, sizeof(bytes), 0, &a) != NULL);
	CHECK_INT(a.stratum, 0);
	CHECK_STR(a.reference, "RATE");
	CHECK(a.origin == UINT64_C(0x1122334455667788));
	/* What would play games with a terminal is not handed on. */
	memcpy(bytes + 12, "\x1b[2J", 4);
	CHECK(ntp_get(bytes, sizeof(bytes), 0, &a) != NULL);
	for (size_t i = 0; i < sizeof(a.reference); i++)
		CHECK(a.reference[i] == '\0' || (a.reference[i] > ' ' && a.reference[i] < 127));
}

int main(void)
{
	test_plain();
	test_golden();
	test_padding();
	test_truncations();
	test_lengths();
	test_changed_bytes();
	test_signed_needs_room();
	test_random_bytes();
	test_ntp_question();
	test_ntp_answer();
	test_ntp_eras();
	test_ntp_refused();
	test_ntp_kiss();
	return check_done();
}
