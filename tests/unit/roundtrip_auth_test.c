/* roundtrip_auth_test.c - a signature fits its bytes and its key only, and a cookie its session, source and time. */
#include "../../tools/roundtrip/auth.h"
#include "../../tools/roundtrip/datagram.h"

#include "check.h"
#include "prng.h"

enum { LEN = EXTENDED_LEN + SIGNATURE_LEN };

static struct auth make(const char *key, const char *secret)
{
	struct auth a = { .is_on = true };
	hmac_set_key(&a.key, key, strlen(key));
	hmac_set_key(&a.secret, secret, strlen(secret));
	return a;
}

static void put_question(unsigned char *out, size_t n)
{
	extended_put(out,
		     &(struct extended){
			     .kind = EXTENDED_QUESTION, .flags = EXTENDED_SIGNED, .len = (uint32_t)n, .number = 3 });
}

static void test_sign(void)
{
	static const size_t lens[] = { LEN, LEN + 1, 1400, DATAGRAM_MAX };
	static unsigned char bytes[DATAGRAM_MAX + 1], other[SHA256_LEN];
	struct auth a = make("a key of sixteen", "x");
	for (size_t i = 0; i < COUNT_OF(lens); i++) {
		size_t n = lens[i];
		bytes[n] = 0xee;
		put_question(bytes, n);
		auth_sign(&a, bytes, n);
		CHECK(auth_verify(&a, bytes, n));
		hmac_sign(&a.key, bytes, n - SIGNATURE_LEN, other); /* all before the signature, no more */
		CHECK_INT(memcmp(bytes + n - SIGNATURE_LEN, other, SIGNATURE_LEN), 0);
		CHECK_INT(bytes[n], 0xee);
		CHECK(!auth_verify(&a, bytes, n - 1));
		CHECK(!auth_verify(&a, bytes, n + 1));
	}
}

static void test_every_bit(void)
{
	unsigned char bytes[LEN];
	struct auth a = make("a key of sixteen", "x");
	put_question(bytes, LEN);
	auth_sign(&a, bytes, LEN);
	for (size_t i = 0; i < 8 * LEN; i++) {
		unsigned char bit = (unsigned char)(1 << i % 8);
		bytes[i / 8] ^= bit;
		if (!CHECK(!auth_verify(&a, bytes, LEN)))
			return;
		bytes[i / 8] ^= bit;
	}
	CHECK(auth_verify(&a, bytes, LEN));
}

static void test_other_keys(void)
{
	unsigned char bytes[LEN];
	struct auth a = make("a key of sixteen", "x"), b = make("a key of sixteeM", "x"),
		    longer = make("a key of sixteen ", "x");
	put_question(bytes, LEN);
	CHECK(!auth_verify(&a, bytes, LEN)); /* a signature of zeros */
	auth_sign(&a, bytes, LEN);
	CHECK(!auth_verify(&b, bytes, LEN));
	CHECK(!auth_verify(&longer, bytes, LEN));
	/* The secret is for cookies: it signs nothing. */
	struct auth same_key = make("a key of sixteen", "y");
	CHECK(auth_verify(&same_key, bytes, LEN));
}

static void test_too_short(void)
{
	unsigned char bytes[LEN] = { 0 };
	struct auth a = make("a key of sixteen", "x");
	for (size_t n = 0; n < LEN; n++)
		CHECK(!auth_verify(&a, bytes, n));
}

/* Good in its slot and in the next one, so for AUTH_SLOT_NS at least and twice that at most: never longer than a session is kept. */
static void test_cookie_time(void)
{
	struct auth a = make("k", "secret");
	CHECK(2 * AUTH_SLOT_NS <= AUTH_KEEP_NS);
	static const uint64_t slots[] = { 0, 1, 2, 1000, UINT64_C(1) << 26 };
	for (size_t i = 0; i < COUNT_OF(slots); i++) {
		uint64_t begin = slots[i] * AUTH_SLOT_NS, end = begin + AUTH_SLOT_NS - 1;
		uint64_t cookie = auth_cookie(&a, 1, 2, begin);
		CHECK(auth_cookie(&a, 1, 2, end) == cookie);
		CHECK(auth_cookie(&a, 1, 2, end + 1) != cookie);
		CHECK(auth_is_cookie(&a, cookie, 1, 2, begin));
		CHECK(auth_is_cookie(&a, cookie, 1, 2, end));
		CHECK(auth_is_cookie(&a, cookie, 1, 2, end + AUTH_SLOT_NS));
		CHECK(!auth_is_cookie(&a, cookie, 1, 2, end + AUTH_SLOT_NS + 1));
		if (slots[i] > 0)
			CHECK(!auth_is_cookie(&a, cookie, 1, 2, begin - 1)); /* nobody has one from the future */
	}
}

static void test_cookie_whose(void)
{
	struct auth a = make("k", "secret"), other = make("k", "secres");
	uint64_t now_ns = 77 * AUTH_SLOT_NS, cookie = auth_cookie(&a, 1, 2, now_ns);
	CHECK(!auth_is_cookie(&a, cookie, 2, 2, now_ns));
	CHECK(!auth_is_cookie(&a, cookie, 1, 1, now_ns));
	CHECK(!auth_is_cookie(&a, cookie, 2, 1, now_ns)); /* the two are not the same mixed up */
	CHECK(!auth_is_cookie(&other, cookie, 1, 2, now_ns));
	CHECK(!auth_is_cookie(&a, 0, 1, 2, now_ns)); /* what a first question has */
	for (uint64_t i = 0; i < 10000; i++)
		if (!CHECK(!auth_is_cookie(&a, prng_word(1, i), 1, 2, now_ns)))
			return;
}

int main(void)
{
	test_sign();
	test_every_bit();
	test_other_keys();
	test_too_short();
	test_cookie_time();
	test_cookie_whose();
	return check_done();
}
