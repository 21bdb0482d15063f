/* utf8.h - text of which nobody promises that it is UTF-8: where its characters begin, and how many columns it
 * takes. Layer 0.
 *
 * LIMIT: every character is taken to be one column wide, which is wrong for Chinese or for combining accents. */
#ifndef TCPLAB_UTF8_H
#define TCPLAB_UTF8_H

#include <stddef.h>

/* What stands for a byte that is no UTF-8: U+FFFD, the replacement character. */
#define UTF8_REPLACEMENT "\xef\xbf\xbd"

/* The length of the well-formed sequence at `text` (The Unicode Standard, table 3-7: no overlong form, no surrogate,
 * nothing above U+10FFFF); 0 when there is none. Stops at the string's NUL, which is a sequence of one byte itself. */
size_t utf8_len(const char *text);

/* How many characters; a byte that is no UTF-8 is one, since that is how it is shown. 0 for NULL. */
size_t utf8_columns(const char *text);

/* How many bytes the first `columns` characters take: all of them if there are fewer. */
size_t utf8_cut(const char *text, size_t columns);

#endif
