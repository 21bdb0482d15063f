/* vocab.h - "delay=10ms,loss=1%,clear": a text of words, each looked up and given to whom it concerns. Layer 0.
 *
 *	static const char *take(void *spec, size_t i, const char *value) { return rows[i].take(spec, value); }
 *	static const struct vocab words = { rows, sizeof(*rows), COUNT_OF(rows), "not one of delay loss", 64, CLEAR, take };
 *
 *	struct spec changed = *s;
 *	if (vocab_apply(&words, text, &changed, &said, why))
 *		*s = changed;
 *
 * Words are separated by commas or blanks; each is a name, or a name, "=" and a value. A text says only one thing about
 * a topic. Memory only; the text may hold anything, and what is said of it fits a line of a terminal. */
#ifndef TCPLAB_VOCAB_H
#define TCPLAB_VOCAB_H

#include "cdefs.h"

#include <stdbool.h>
#include <stddef.h>

enum { VOCAB_WHY = 160, VOCAB_LEN = 192 };

enum vocab_value { VOCAB_NO_VALUE, VOCAB_VALUE, VOCAB_PERHAPS };

/* What each row of a caller's table begins with. */
struct vocab_row {
	const char *name;
	enum vocab_value value;
	unsigned topic; /* a bit */
};

struct vocab {
	const void *rows;
	size_t stride, n;    /* a row's size, and how many there are */
	const char *all;     /* what to say of a word that is none of them */
	size_t room;         /* a word is shorter than this; VOCAB_LEN at most */
	unsigned takes_back; /* the topic that takes back what stands before it, and so must come first */
	/* NULL, or what is wrong. The value may be NULL, and is there during the call only. */
	const char *(*take)(void *into, size_t row, const char *value);
};

/* Calls take for each word, in their order. *said: the topics of all of them. False with a line in `why`: a word is
 * wrong, or there is none; `into` may have been changed by then. */
MUST_USE bool vocab_apply(const struct vocab *w, const char *text, void *into, unsigned *said,
			  char why[static VOCAB_WHY]);

/* "TEXT: wrong" in `why`, of a long text its beginning only. False. */
bool vocab_complain(char why[static VOCAB_WHY], const char *text, const char *wrong);

#endif
