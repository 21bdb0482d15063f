/* wordlist.h - a list as people give it: "a,b,c"; and "@FILE" stands for the words in a file, one on each line.
 *
 * LIMIT: no comma in the name of a file. */
#ifndef RELAY_WORDLIST_H
#define RELAY_WORDLIST_H

#include "cdefs.h"

#include <stdbool.h>
#include <stddef.h>

enum { WORDLIST_WORD = 512 /* the longest word and its zero */, WORDLIST_WHY = 400 };

/* A word, without blanks around it, and not empty. False with `why`: it is wrong, and the list with it. */
typedef bool wordlist_fn(void *owner, const char *word, char why[static WORDLIST_WHY]);

/* Gives each word to fn. In a file # begins a comment, lines may end with CR LF, and empty ones are passed over; between commas
 * there must be something. A file is read now, which BLOCKS; it may be empty. False with a line for people in `why`: what fn said,
 * behind the file's name and the number of the line; or that the file cannot be read. */
MUST_USE bool wordlist_each(const char *text, wordlist_fn *fn, void *owner, char why[static WORDLIST_WHY]);

#endif
