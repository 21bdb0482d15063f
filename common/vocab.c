#include "vocab.h"

#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>

bool vocab_complain(char why[static VOCAB_WHY], const char *text, const char *wrong)
{
	enum { SHOWN_LEN = 24 };
	char shown[SHOWN_LEN + 1];
	size_t n = strnlen(text, SHOWN_LEN);
	for (size_t i = 0; i < n; i++)
		shown[i] = isprint((unsigned char)text[i]) ? text[i] : '?';
	shown[n] = '\0';
	snprintf(why, VOCAB_WHY, "%s%s: %s", shown, text[n] != '\0' ? "..." : "", wrong);
	return false;
}

static const struct vocab_row *row_at(const struct vocab *w, size_t i)
{
	return (const void *)((const char *)w->rows + i * w->stride);
}

/* Which row has that name; n: none. */
static size_t find(const struct vocab *w, const char *name, size_t len)
{
	size_t i = 0;
	while (i < w->n && (strlen(row_at(w, i)->name) != len || memcmp(row_at(w, i)->name, name, len) != 0))
		i++;
	return i;
}

static const char *take_word(const struct vocab *w, const char *text, void *into, unsigned *said)
{
	size_t len = strcspn(text, "="), i = find(w, text, len);
	const char *value = text[len] == '=' ? text + len + 1 : NULL;
	if (i == w->n)
		return w->all;
	const struct vocab_row *row = row_at(w, i);
	if (value == NULL && row->value == VOCAB_VALUE)
		return "it needs a value, after a =";
	if (value != NULL && row->value == VOCAB_NO_VALUE)
		return "it takes no value";
	if (*said & row->topic)
		return "this was said already, in the same breath";
	if (row->topic == w->takes_back && *said != 0)
		return "it would take back what stands before it: put it first";
	*said |= row->topic;
	return w->take(into, i, value);
}

bool vocab_apply(const struct vocab *w, const char *text, void *into, unsigned *said, char why[static VOCAB_WHY])
{
	static const char separators[] = ", \t\r\n";
	assert(w->room <= VOCAB_LEN);
	*said = 0;
	for (const char *at = text + strspn(text, separators); *at != '\0'; at += strspn(at, separators)) {
		char word[VOCAB_LEN];
		size_t len = strcspn(at, separators);
		if (len >= w->room)
			return vocab_complain(why, at, "too long");
		snprintf(word, sizeof(word), "%.*s", (int)len, at);
		const char *wrong = take_word(w, word, into, said);
		if (wrong != NULL)
			return vocab_complain(why, word, wrong);
		at += len;
	}
	return *said != 0 || vocab_complain(why, text, "nothing is said");
}
