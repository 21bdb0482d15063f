/* track.c - a ring of bits for the last numbers, and a few counters. See track.h.
 *
 * Bit number % TRACK_WINDOW says whether that number came. The ring holds next - TRACK_WINDOW .. next - 1; a higher
 * number moves it on, and what it moves over has not come yet. */
#include "track.h"

#include <string.h>

static uint64_t *word_of(struct track *t, uint64_t number)
{
	return &t->seen[number % TRACK_WINDOW / 64];
}

static uint64_t bit_of(uint64_t number)
{
	return (uint64_t)1 << number % 64;
}

enum track_result track_ask(const struct track *t, uint64_t number)
{
	if (number == UINT64_MAX) /* there is no `next` after it */
		return TRACK_TOO_OLD;
	if (number >= t->next)
		return TRACK_NEW;
	if (t->next - number > TRACK_WINDOW)
		return TRACK_TOO_OLD;
	bool has_come = t->seen[number % TRACK_WINDOW / 64] & bit_of(number);
	return has_come ? TRACK_DUPLICATE : TRACK_LATE;
}

/* The ring's newest is now `number`; it and what was jumped over are marked as missing. */
static void move_on(struct track *t, uint64_t number)
{
	if (number - t->next >= TRACK_WINDOW)
		memset(t->seen, 0, sizeof(t->seen));
	else
		for (uint64_t i = t->next; i <= number; i++)
			*word_of(t, i) &= ~bit_of(i);
	t->next = number + 1;
}

enum track_result track_see(struct track *t, uint64_t number)
{
	enum track_result result = track_ask(t, number);

	switch (result) {
	case TRACK_TOO_OLD:
		t->too_old++;
		return result;
	case TRACK_DUPLICATE:
		t->duplicated++;
		return result;
	case TRACK_LATE:
		t->reordered++;
		break;
	case TRACK_NEW:
		move_on(t, number);
		break;
	}
	*word_of(t, number) |= bit_of(number);
	t->received++;
	return result;
}

uint64_t track_missing(const struct track *t)
{
	return t->next - t->received;
}
