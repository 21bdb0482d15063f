/* buf_test.c - random operations beside a naive queue that moves everything each time, and what buf.h promises of
 * memory: none before the first byte, no more than a small multiple of what was in it, and all of it back. */
#include "buf.h"

#include "check.h"
#include "prng.h"

#include <stdlib.h>

enum { MODEL_MAX = 1024 * 1024 };

/* --- the naive queue --------------------------------------------------------------------------------------------- */

static unsigned char model[MODEL_MAX];
static size_t model_len;

static void model_append(const void *p, size_t n)
{
	memcpy(model + model_len, p, n);
	model_len += n;
}

static void model_consume(size_t n)
{
	memmove(model, model + n, model_len - n);
	model_len -= n;
}

static ssize_t model_find(const void *pat, size_t n, size_t from)
{
	for (size_t i = from; i + n <= model_len; i++)
		if (memcmp(model + i, pat, n) == 0)
			return (ssize_t)i;
	return -1;
}

static int check_same(const struct buf *b)
{
	return CHECK(b->head <= b->tail && b->tail <= b->cap) && CHECK_INT(buf_len(b), model_len) &&
	       CHECK_INT(buf_free_len(b), b->cap - b->tail) &&
	       CHECK(model_len == 0 || memcmp(buf_peek(b), model, model_len) == 0);
}

/* --- random operations ------------------------------------------------------------------------------------------- */

/* Few different bytes, so that patterns are found now and then. */
static void fill_random(unsigned char *p, size_t n, uint64_t seed)
{
	prng_fill(seed, 0, p, n);
	for (size_t i = 0; i < n; i++)
		p[i] = "ab\r\n"[p[i] % 4];
}

static void step(struct buf *b, uint64_t seed, uint64_t i, size_t max)
{
	static unsigned char bytes[MODEL_MAX];
	uint64_t r = prng_word(seed, i);
	size_t n = (size_t)(prng_word(seed + 1, i) % max);
	switch (r % 8) {
	case 0:
	case 1:
		fill_random(bytes, n, r);
		buf_append(b, bytes, n);
		model_append(bytes, n);
		break;
	case 2: { /* more room than is used in the end */
		unsigned char *room = buf_reserve(b, n);
		CHECK(buf_free_len(b) >= n);
		check_same(b);
		n = n > 0 ? (size_t)(r >> 8) % n : 0;
		if (n > 0) {
			fill_random(room, n, r);
			model_append(room, n);
		}
		buf_commit(b, n);
		break;
	}
	case 3:
	case 4:
	case 5:
		n = n < model_len ? n : model_len;
		buf_consume(b, n);
		model_consume(n);
		break;
	case 6: {
		unsigned char pat[4];
		size_t len = (size_t)(r >> 8) % 5, from = (size_t)(r >> 16) % (model_len + 3);
		fill_random(pat, len, r);
		CHECK_INT(buf_find(b, pat, len, from), from > model_len ? -1 : model_find(pat, len, from));
		break;
	}
	default:
		if ((r >> 8) % 8 == 0)
			buf_trim(b);
	}
}

static void test_random(void)
{
	static const size_t sizes[] = { 3, 100, 5000, 50000 };
	for (uint64_t seed = 1; seed <= 20; seed++) {
		struct buf b = { 0 };
		size_t max = sizes[seed % COUNT_OF(sizes)], most = 0;
		model_len = 0;
		for (uint64_t i = 0; i < 500 && model_len + max < MODEL_MAX; i++) {
			step(&b, 1000 * seed, i, max);
			most = model_len > most ? model_len : most;
			if (!check_same(&b)) {
				fprintf(stderr, "    seed %" PRIu64 ", step %" PRIu64 "\n", seed, i);
				break;
			}
			CHECK(b.cap <= 512 || b.cap <= 4 * (most + max));
		}
		buf_free(&b);
		CHECK(b.mem == NULL && b.head == 0 && b.tail == 0 && b.cap == 0);
	}
}

/* --- memory ------------------------------------------------------------------------------------------------------ */

static void test_no_memory_before_the_first_byte(void)
{
	struct buf b = { 0 };
	CHECK_INT(buf_len(&b), 0);
	CHECK_INT(buf_free_len(&b), 0);
	CHECK(buf_peek(&b) == NULL);
	CHECK(buf_reserve(&b, 0) == NULL);
	buf_commit(&b, 0);
	buf_append(&b, NULL, 0);
	buf_consume(&b, 0);
	CHECK_INT(buf_find(&b, "x", 1, 0), -1);
	CHECK_INT(buf_find(&b, "", 0, 0), 0);
	buf_trim(&b);
	buf_free(&b);
	buf_free(&b);
	CHECK(b.mem == NULL && b.cap == 0);
}

/* Room: there already, or made by moving when there is less to move than was used up, or by doubling. */
static void test_reserve_moves_or_grows(void)
{
	static unsigned char bytes[4096];
	struct buf b = { 0 };
	prng_fill(1, 0, bytes, sizeof(bytes));
	buf_append(&b, bytes, 1000);
	CHECK_INT(b.cap, 1024);
	unsigned char *mem = b.mem;
	CHECK(buf_reserve(&b, 24) == mem + 1000);
	CHECK_INT(b.cap, 1024);

	buf_consume(&b, 600);
	CHECK(buf_reserve(&b, 100) == mem + 400); /* 400 to move, 600 used up */
	CHECK(b.mem == mem && b.head == 0 && b.tail == 400 && b.cap == 1024);
	CHECK_INT(prng_check(1, 600, buf_peek(&b), 400), 400);

	buf_append(&b, bytes, 600);
	buf_consume(&b, 100);
	CHECK(buf_reserve(&b, 50) != NULL); /* 900 to move for 50: that would be so again soon */
	CHECK(b.head == 0 && b.tail == 900 && b.cap == 2048);
	CHECK_INT(prng_check(1, 700, buf_peek(&b), 300), 300);
	CHECK_INT(prng_check(1, 0, buf_peek(&b) + 300, 600), 600);

	CHECK(buf_reserve(&b, 100000) != NULL);
	CHECK(b.cap >= 100900 && b.cap <= 2 * 100900);
	buf_free(&b);
}

/* What comes and goes in the same measure moves into the same memory for ever. */
static void test_steady_flow_does_not_grow(void)
{
	static unsigned char bytes[700];
	struct buf b = { 0 };
	buf_append(&b, bytes, sizeof(bytes));
	for (int i = 0; i < 100000; i++) {
		buf_append(&b, bytes, sizeof(bytes));
		buf_consume(&b, sizeof(bytes));
	}
	CHECK(b.cap <= 4096);
	buf_free(&b);
}

/* More than a megabyte, byte for byte, written and read in pieces that do not match. */
static void test_big(void)
{
	enum { BIG = 5 * 1000 * 1000 + 7 };
	static unsigned char bytes[70000];
	struct buf b = { 0 };
	for (uint64_t at = 0; at < BIG;) {
		size_t n = BIG - at < sizeof(bytes) ? (size_t)(BIG - at) : sizeof(bytes);
		prng_fill(3, at, bytes, n);
		buf_append(&b, bytes, n);
		at += n;
	}
	CHECK_INT(buf_len(&b), BIG);
	for (uint64_t at = 0; at < BIG;) {
		size_t n = buf_len(&b) < 33333 ? buf_len(&b) : 33333;
		if (!CHECK_INT(prng_check(3, at, buf_peek(&b), n), n))
			break;
		buf_consume(&b, n);
		at += n;
	}
	CHECK_INT(buf_len(&b), 0);
	buf_free(&b);
}

/* After a burst: what is left keeps its bytes in memory of its own size; nothing left, no memory. */
static void test_trim(void)
{
	static unsigned char bytes[100000];
	struct buf b = { 0 };
	prng_fill(4, 0, bytes, sizeof(bytes));
	buf_append(&b, bytes, sizeof(bytes));
	buf_trim(&b);
	CHECK(b.cap >= sizeof(bytes));
	buf_consume(&b, sizeof(bytes) - 900);
	buf_trim(&b);
	CHECK(b.cap >= 900 && b.cap <= 1800);
	CHECK_INT(prng_check(4, sizeof(bytes) - 900, buf_peek(&b), buf_len(&b)), 900);
	buf_append(&b, bytes, 1000);
	CHECK_INT(prng_check(4, 0, buf_peek(&b) + 900, 1000), 1000);
	buf_consume(&b, 1900);
	CHECK(b.mem != NULL);
	CHECK_INT(buf_free_len(&b), b.cap); /* empty: all of it is free again, without a move */
	buf_trim(&b);
	CHECK(b.mem == NULL && b.cap == 0);
	buf_append(&b, "again", 5);
	CHECK_INT(memcmp(buf_peek(&b), "again", 5), 0);
	buf_free(&b);
}

/* --- search ------------------------------------------------------------------------------------------------------ */

static void test_find(void)
{
	struct buf b = { 0 };
	buf_append(&b, "xxGET / HTTP/1.1\r\n\r\n", 20);
	buf_consume(&b, 2); /* offsets count from what is readable */
	CHECK_INT(buf_find(&b, "GET", 3, 0), 0);
	CHECK_INT(buf_find(&b, "GET", 3, 1), -1);
	CHECK_INT(buf_find(&b, "\r\n", 2, 0), 14);
	CHECK_INT(buf_find(&b, "\r\n", 2, 14), 14);
	CHECK_INT(buf_find(&b, "\r\n", 2, 15), 16);
	CHECK_INT(buf_find(&b, "\r\n", 2, 17), -1);
	CHECK_INT(buf_find(&b, "\r\n\r\n", 4, 0), 14);
	CHECK_INT(buf_find(&b, "\n", 1, 17), 17); /* the last byte */
	CHECK_INT(buf_find(&b, "\n", 1, 18), -1);
	CHECK_INT(buf_find(&b, "\n", 1, 19), -1);
	CHECK_INT(buf_find(&b, "\n", 1, SIZE_MAX), -1);
	CHECK_INT(buf_find(&b, "xx", 2, 0), -1); /* used up */
	CHECK_INT(buf_find(&b, "GET / HTTP/1.1\r\n\r\n.", 19, 0), -1);
	CHECK_INT(buf_find(&b, "", 0, 18), 18);
	CHECK_INT(buf_find(&b, "", 0, 19), -1);
	buf_free(&b);
}

/* A terminator that comes byte by byte: each search goes on n - 1 bytes before the end of what was searched. */
static void test_find_goes_on(void)
{
	struct buf b = { 0 };
	size_t searched = 0;
	const char *text = "Host: a\r\nX: \r\r\n\n\r\n\r\nrest";
	for (size_t i = 0; text[i] != '\0'; i++) {
		buf_append(&b, &text[i], 1);
		ssize_t at = buf_find(&b, "\r\n\r\n", 4, searched);
		CHECK_INT(at, i >= 19 && at >= 0 ? 16 : -1);
		if (i == 19)
			CHECK_INT(at, 16);
		if (at >= 0)
			break;
		searched = buf_len(&b) > 3 ? buf_len(&b) - 3 : 0;
	}
	CHECK_INT(buf_len(&b), 20);
	buf_free(&b);
}

/* What was written past the end once is not found again (memory that was used up and reused). */
static void test_find_sees_only_what_is_readable(void)
{
	struct buf b = { 0 };
	buf_append(&b, "needle", 6);
	buf_consume(&b, 6);
	buf_append(&b, "need", 4);
	CHECK_INT(buf_find(&b, "needle", 6, 0), -1);
	CHECK_INT(buf_find(&b, "ee", 2, 0), 1);
	buf_free(&b);
}

int main(void)
{
	test_random();
	test_no_memory_before_the_first_byte();
	test_reserve_moves_or_grows();
	test_steady_flow_does_not_grow();
	test_big();
	test_trim();
	test_find();
	test_find_goes_on();
	test_find_sees_only_what_is_readable();
	return check_done();
}
