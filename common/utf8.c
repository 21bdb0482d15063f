/* utf8.c - see utf8.h. */
#include "utf8.h"

size_t utf8_len(const char *text)
{
	const unsigned char *s = (const unsigned char *)text;
	unsigned char lead = s[0];
	size_t n = lead < 0x80 ? 1 : lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0;
	if (n < 2)
		return n;

	unsigned char low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
	unsigned char high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
	if (s[1] < low || s[1] > high)
		return 0;
	for (size_t i = 2; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	return n;
}

/* Of a character, or of a byte that is none. */
static size_t step(const char *text)
{
	size_t n = utf8_len(text);
	return n > 0 ? n : 1;
}

size_t utf8_columns(const char *text)
{
	size_t n = 0;
	for (; text != NULL && *text != '\0'; text += step(text))
		n++;
	return n;
}

size_t utf8_cut(const char *text, size_t columns)
{
	const char *end = text;
	for (; columns > 0 && *end != '\0'; columns--)
		end += step(end);
	return (size_t)(end - text);
}
