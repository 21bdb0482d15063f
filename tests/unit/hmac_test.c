/* hmac_test.c - the vectors of those who made SHA-256 and HMAC; the same digest however the bytes come in pieces; and
 * lengths around the edges of a block. */
#include "hmac.h"

#include "check.h"
#include "prng.h"

#include <stdlib.h>

/* --- hexadecimal text --------------------------------------------------------------------------------------------- */

enum { HEX_TEXT = 2 * SHA256_LEN + 1 };

static const char *hex(char out[static HEX_TEXT], const unsigned char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		snprintf(out + 2 * i, 3, "%02x", p[i]);
	return out;
}

static const char *sha256_hex(char out[static HEX_TEXT], const void *p, size_t n)
{
	unsigned char digest[SHA256_LEN];
	struct sha256 s;
	sha256_begin(&s);
	sha256_add(&s, p, n);
	sha256_end(&s, digest);
	return hex(out, digest, sizeof(digest));
}

/* --- SHA-256 ------------------------------------------------------------------------------------------------------ */

/* The examples of FIPS 180-2 appendix B, and NIST's of one byte, no byte and 896 bits. */
static void test_sha256(void)
{
	static const struct {
		const char *message, *digest;
	} rows[] = {
		{ "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
		{ "\xbd", "68325720aabd7c82f30f554b313d0570c95accbb7dc4b5aae11204c08ffe732b" },
		{ "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
		{ "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
		  "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1" },
		{ "abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrst"
		  "nopqrstu",
		  "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1" },
	};
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		char text[HEX_TEXT];
		CHECK_STR(sha256_hex(text, rows[i].message, strlen(rows[i].message)), rows[i].digest);
	}
}

static void test_a_million(void)
{
	enum { MILLION = 1000 * 1000 };
	char text[HEX_TEXT], *message = malloc(MILLION);
	if (!CHECK(message != NULL))
		return;
	memset(message, 'a', MILLION);
	CHECK_STR(sha256_hex(text, message, MILLION),
		  "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
	free(message);
}

/* In three pieces, cut at every two positions: none, part and all of a block are left over each time. */
static void test_in_pieces(void)
{
	enum { LEN = 3 * SHA256_BLOCK + 1 };
	unsigned char message[LEN], whole[SHA256_LEN], pieces[SHA256_LEN];
	struct sha256 s;
	prng_fill(1, 0, message, LEN);
	sha256_begin(&s);
	sha256_add(&s, message, LEN);
	sha256_end(&s, whole);
	for (size_t first = 0; first <= LEN; first++) {
		for (size_t second = first; second <= LEN; second++) {
			sha256_begin(&s);
			sha256_add(&s, message, first);
			sha256_add(&s, message + first, second - first);
			sha256_add(&s, message + second, LEN - second);
			sha256_end(&s, pieces);
			if (!CHECK(memcmp(pieces, whole, SHA256_LEN) == 0)) {
				fprintf(stderr, "    cut at %zu and %zu\n", first, second);
				return;
			}
		}
	}
}

/* Each length from 0 to 200: the padding takes one byte to 64. The digests, one after the other, are hashed again;
 * the result is that of Python's hashlib. */
static void test_all_lengths(void)
{
	unsigned char message[200], digest[SHA256_LEN];
	char text[HEX_TEXT];
	struct sha256 all;
	for (size_t i = 0; i < sizeof(message); i++)
		message[i] = (unsigned char)i;
	sha256_begin(&all);
	for (size_t len = 0; len <= sizeof(message); len++) {
		struct sha256 s;
		sha256_begin(&s);
		sha256_add(&s, message, len);
		sha256_end(&s, digest);
		sha256_add(&all, digest, sizeof(digest));
	}
	sha256_end(&all, digest);
	CHECK_STR(hex(text, digest, sizeof(digest)),
		  "64ef7c229fce2408b5336b6a542fea0e078c3a87d2da85cb3fc52e2008b65021");
}

/* The length in bits is written in 64 bits. WHY this way: to hash 2^29 bytes, the first of which it needs more than
 * 32, takes seconds. So a state pretends to have seen them, and the digests are those of a second SHA-256, written
 * for this in Python. */
static void test_length_field(void)
{
	static const struct {
		uint64_t len;
		const char *digest;
	} rows[] = {
		{ UINT64_C(1) << 29, "0631d34041c92e76b584f8922943526982f9053a1b7895aeae06f641df905370" },
		{ UINT64_C(0x123456789abcc00) / 8, "7db9e1ddf4bef803f7754de95a713367f5d786e44d324db58488ded5a3e8ecf4" },
	};
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		unsigned char digest[SHA256_LEN];
		char text[HEX_TEXT];
		struct sha256 s;
		sha256_begin(&s);
		s.len = rows[i].len;
		sha256_end(&s, digest);
		CHECK_STR(hex(text, digest, sizeof(digest)), rows[i].digest);
	}
}

/* No bytes may have no address. */
static void test_nothing(void)
{
	char text[HEX_TEXT];
	unsigned char code[SHA256_LEN];
	struct hmac_key k;
	CHECK_STR(sha256_hex(text, NULL, 0), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	hmac_set_key(&k, NULL, 0);
	hmac_sign(&k, NULL, 0, code);
	CHECK_STR(hex(text, code, sizeof(code)), "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

/* --- HMAC --------------------------------------------------------------------------------------------------------- */

struct bytes {
	unsigned char p[160];
	size_t len;
};

static struct bytes repeated(unsigned char byte, size_t n)
{
	struct bytes b = { .len = n };
	memset(b.p, byte, n);
	return b;
}

static struct bytes text_of(const char *text)
{
	struct bytes b = { .len = strlen(text) };
	memcpy(b.p, text, b.len);
	return b;
}

/* Compares as many bytes of the code as are given. */
static void check_code(const struct bytes *key, const struct bytes *data, const char *want)
{
	unsigned char code[SHA256_LEN];
	char text[HEX_TEXT];
	struct hmac_key k;
	hmac_set_key(&k, key->p, key->len);
	hmac_sign(&k, data->p, data->len, code);
	CHECK_STR(hex(text, code, strlen(want) / 2), want);
}

/* RFC 4231 4.2 to 4.8. */
static void test_rfc4231(void)
{
	struct bytes counted = { .len = 25 };
	for (unsigned i = 0; i < 25; i++)
		counted.p[i] = (unsigned char)(i + 1);
	const struct {
		struct bytes key, data;
		const char *code;
	} cases[] = {
		{ repeated(0x0b, 20), text_of("Hi There"),
		  "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7" },
		{ text_of("Jefe"), text_of("what do ya want for nothing?"),
		  "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843" },
		{ repeated(0xaa, 20), repeated(0xdd, 50),
		  "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe" },
		{ counted, repeated(0xcd, 50), "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b" },
		{ repeated(0x0c, 20), text_of("Test With Truncation"), "a3b6167473100ee06e0c796c2955552b" },
		{ repeated(0xaa, 131), text_of("Test Using Larger Than Block-Size Key - Hash Key First"),
		  "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54" },
		{ repeated(0xaa, 131),
		  text_of("This is a test using a larger than block-size key and a larger than block-size data. The key "
			  "needs to be hashed before being used by the HMAC algorithm."),
		  "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2" },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		check_code(&cases[i].key, &cases[i].data, cases[i].code);
}

/* A key is used as it is up to a block, and hashed from there on. Python's hmac computed the codes. */
static void test_key_lengths(void)
{
	static const struct {
		size_t len;
		const char *code;
	} rows[] = {
		{ 1, "faa85bcde05665ab475034b214f0e34907941b265af210518313bf105584a6ca" },
		{ 63, "3763c2633663c6089361e9366926a41bc7fccc729797453621c83c715ac8302b" },
		{ 64, "3273e5df571b2587fb6d0e9d2a8094a9e244fe7158b5a1426b693760c482886f" },
		{ 65, "2b0632cb34e0342514864d2a666e0ad7a6ca2579092b8d873a176220b02aa9b7" },
		{ 128, "98cea9c7b7d52c22497a8a31bdd13c37f3c91fb9f41f1d2e4ecdebb6e7d958b4" },
	};
	struct bytes data = text_of("tcplab");
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct bytes key = repeated('k', rows[i].len);
		check_code(&key, &data, rows[i].code);
	}
}

/* A prepared key is not used up. */
static void test_key_again(void)
{
	unsigned char first[SHA256_LEN], other[SHA256_LEN], again[SHA256_LEN];
	struct hmac_key k;
	hmac_set_key(&k, "secret", 6);
	const struct hmac_key before = k;
	hmac_sign(&k, "one", 3, first);
	hmac_sign(&k, "two", 3, other);
	hmac_sign(&k, "one", 3, again);
	CHECK(memcmp(first, again, SHA256_LEN) == 0);
	CHECK(memcmp(first, other, SHA256_LEN) != 0);
	CHECK(memcmp(&before, &k, sizeof(k)) == 0);
}

/* --- comparison --------------------------------------------------------------------------------------------------- */

/* Each single bit of each byte counts, and so do two that would cancel out if they were added or XORed. */
static void test_equal(void)
{
	unsigned char a[SHA256_LEN], b[SHA256_LEN];
	prng_fill(2, 0, a, sizeof(a));
	memcpy(b, a, sizeof(b));
	CHECK(hmac_equal(a, b, sizeof(a)));
	CHECK(hmac_equal(a, b, 0));
	CHECK(hmac_equal(NULL, NULL, 0));
	for (size_t bit = 0; bit < 8 * sizeof(b); bit++) {
		b[bit / 8] = (unsigned char)(b[bit / 8] ^ 1u << bit % 8);
		CHECK(!hmac_equal(a, b, sizeof(a)));
		CHECK(hmac_equal(a, b, bit / 8)); /* before it they are the same */
		b[bit / 8] = a[bit / 8];
	}
	b[3] ^= 0x80;
	b[7] ^= 0x80;
	CHECK(!hmac_equal(a, b, sizeof(a)));
}

int main(void)
{
	test_sha256();
	test_a_million();
	test_in_pieces();
	test_all_lengths();
	test_length_field();
	test_nothing();
	test_rfc4231();
	test_key_lengths();
	test_key_again();
	test_equal();
	return check_done();
}
