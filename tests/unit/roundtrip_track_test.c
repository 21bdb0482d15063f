/* roundtrip_track_test.c - the ring against a table that remembers every number. */
#include "../../tools/roundtrip/track.h"

#include "check.h"
#include "prng.h"

static struct track t;

static void test_empty(void)
{
	t = (struct track){ 0 };
	CHECK_INT(track_missing(&t), 0);
	CHECK_INT(track_ask(&t, 0), TRACK_NEW);
	CHECK_INT(track_ask(&t, UINT64_MAX), TRACK_TOO_OLD);
	CHECK_INT(t.next + t.received + t.too_old, 0);
}

static void test_in_order(void)
{
	t = (struct track){ 0 };
	for (uint64_t i = 0; i < 5000; i++)
		CHECK_INT(track_see(&t, i), TRACK_NEW);
	CHECK_INT(t.next, 5000);
	CHECK_INT(t.received, 5000);
	CHECK_INT(t.duplicated + t.reordered + t.too_old + track_missing(&t), 0);
}

static void test_loss_copy_late(void)
{
	t = (struct track){ 0 };
	CHECK_INT(track_see(&t, 2), TRACK_NEW); /* 0 and 1 are missing */
	CHECK_INT(track_missing(&t), 2);
	CHECK_INT(track_see(&t, 2), TRACK_DUPLICATE);
	CHECK_INT(track_see(&t, 0), TRACK_LATE);
	CHECK_INT(track_see(&t, 0), TRACK_DUPLICATE); /* the copy of a late one is a copy */
	CHECK_INT(track_see(&t, 3), TRACK_NEW);
	CHECK_INT(t.next, 4);
	CHECK_INT(t.received, 3);
	CHECK_INT(t.duplicated, 2);
	CHECK_INT(t.reordered, 1);
	CHECK_INT(t.too_old, 0);
	CHECK_INT(track_missing(&t), 1);
}

/* The last of the window is known, the one before it is not. */
static void test_window(void)
{
	t = (struct track){ 0 };
	track_see(&t, 5);
	track_see(&t, TRACK_WINDOW + 5); /* the window: 6 .. TRACK_WINDOW + 5 */
	CHECK_INT(track_see(&t, 5), TRACK_TOO_OLD);
	CHECK_INT(track_see(&t, 6), TRACK_LATE);
	CHECK_INT(track_see(&t, 6), TRACK_DUPLICATE);
	CHECK_INT(t.too_old, 1);
	CHECK_INT(t.received, 3);

	t = (struct track){ 0 };
	track_see(&t, 5);
	track_see(&t, TRACK_WINDOW + 4); /* now 5 is the last one in it */
	CHECK_INT(track_see(&t, 5), TRACK_DUPLICATE);
	CHECK_INT(track_see(&t, 4), TRACK_TOO_OLD);
}

/* What is jumped over is not taken for what stood in the ring before; jumps of one ring less one, one ring, one
 * more. */
static void test_jumps(void)
{
	for (uint64_t jump = TRACK_WINDOW - 1; jump <= TRACK_WINDOW + 1; jump++) {
		t = (struct track){ 0 };
		for (uint64_t i = 0; i < TRACK_WINDOW; i++)
			track_see(&t, i);
		uint64_t number = TRACK_WINDOW - 1 + jump;
		CHECK_INT(track_see(&t, number), TRACK_NEW);
		for (uint64_t i = number - 1; i >= TRACK_WINDOW && number - i < TRACK_WINDOW; i--)
			if (!CHECK_INT(track_ask(&t, i), TRACK_LATE))
				break;
		CHECK_INT(track_missing(&t), jump - 1);
	}
}

static void test_ends(void)
{
	t = (struct track){ 0 };
	CHECK_INT(track_see(&t, UINT64_MAX), TRACK_TOO_OLD);
	CHECK_INT(t.next, 0);
	CHECK_INT(track_see(&t, UINT64_MAX - 1), TRACK_NEW);
	CHECK(t.next == UINT64_MAX);
	CHECK_INT(track_see(&t, UINT64_MAX - 1), TRACK_DUPLICATE);
	CHECK_INT(track_see(&t, UINT64_MAX - 2), TRACK_LATE);
	CHECK_INT(track_see(&t, UINT64_MAX), TRACK_TOO_OLD);
	CHECK_INT(track_see(&t, 0), TRACK_TOO_OLD);
	CHECK_INT(t.too_old, 3);
	CHECK(track_missing(&t) == UINT64_MAX - 2);
}

/* --- any order ---------------------------------------------------------------------------------------------------- */

enum { NUMBERS = 100000 };

static bool came[NUMBERS];

static enum track_result expected(uint64_t next, uint64_t number)
{
	if (number >= next)
		return TRACK_NEW;
	if (number + TRACK_WINDOW < next)
		return TRACK_TOO_OLD;
	return came[number] ? TRACK_DUPLICATE : TRACK_LATE;
}

static void test_any_order(void)
{
	uint64_t next = 0, n[4] = { 0 };
	t = (struct track){ 0 };
	memset(came, 0, sizeof(came));
	for (uint64_t i = 0; i < 200000; i++) {
		uint64_t word = prng_word(7, i), back = word % (word >> 32 & 1 ? 20 : TRACK_WINDOW + TRACK_WINDOW / 12);
		uint64_t number = next + 3 > back ? next + 3 - back : 0;
		if ((word >> 40) % 5000 == 0)
			number = next + TRACK_WINDOW - 24 + word % 100;
		if (number >= NUMBERS)
			break;
		enum track_result want = expected(next, number);
		n[want]++;
		if (!CHECK_INT(track_ask(&t, number), want) || !CHECK_INT(track_see(&t, number), want))
			return;
		if (want == TRACK_NEW || want == TRACK_LATE)
			came[number] = true;
		if (number >= next)
			next = number + 1;
	}
	CHECK(n[TRACK_NEW] > 100 && n[TRACK_LATE] > 100 && n[TRACK_DUPLICATE] > 100 && n[TRACK_TOO_OLD] > 100);
	CHECK_INT(t.next, next);
	CHECK_INT(t.received, n[TRACK_NEW] + n[TRACK_LATE]);
	CHECK_INT(t.reordered, n[TRACK_LATE]);
	CHECK_INT(t.duplicated, n[TRACK_DUPLICATE]);
	CHECK_INT(t.too_old, n[TRACK_TOO_OLD]);
	CHECK_INT(track_missing(&t), next - t.received);
}

int main(void)
{
	test_empty();
	test_in_order();
	test_loss_copy_late();
	test_window();
	test_jumps();
	test_ends();
	test_any_order();
	return check_done();
}
