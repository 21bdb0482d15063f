#include "wordlist.h"

#include "diag.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char blanks[] = " \t\r\n\f\v";

/* The word in text[0, len), without the blanks around it. False: it is too long. */
static bool copy_word(char out[static WORDLIST_WORD], const char *text, size_t len)
{
	size_t skip = strspn(
		text, blanks); /* not more than len: what stands there is no blank, but a comma, a # or the end */
	while (len > skip && strchr(blanks, text[len - 1]) != NULL)
		len--;
	if (len - skip >= WORDLIST_WORD)
		return false;
	memcpy(out, text + skip, len - skip);
	out[len - skip] = '\0';
	return true;
}

/* A line is longer than the longest word, or has a zero byte in it, when it does not end where it should. */
static bool is_whole(const char *line, FILE *file)
{
	return strchr(line, '\n') != NULL || feof(file);
}

static bool each_line(FILE *file, const char *path, wordlist_fn *fn, void *owner, char why[static WORDLIST_WHY])
{
	char line[WORDLIST_WORD], word[WORDLIST_WORD], wrong[WORDLIST_WHY] = "a line that is too long, or no text";
	for (unsigned number = 1; fgets(line, sizeof(line), file) != NULL; number++) {
		bool is_right = is_whole(line, file) && copy_word(word, line, strcspn(line, "#"));
		if (is_right && word[0] != '\0')
			is_right = fn(owner, word, wrong);
		if (!is_right) {
			snprintf(why, WORDLIST_WHY, "%.200s:%u: %.180s", path, number, wrong);
			return false;
		}
	}
	if (!ferror(file))
		return true;
	int err = errno;
	snprintf(why, WORDLIST_WHY, "read %.200s: %s (%s)", path, strerror(err), errno_name(err));
	return false;
}

static bool each_in_file(const char *path, wordlist_fn *fn, void *owner, char why[static WORDLIST_WHY])
{
	FILE *file = fopen(path, "re");
	if (file == NULL) {
		int err = errno;
		snprintf(why, WORDLIST_WHY, "open %.200s: %s (%s)", path, strerror(err), errno_name(err));
		return false;
	}
	bool ok = each_line(file, path, fn, owner, why);
	fclose(file);
	return ok;
}

static bool each_between_commas(const char *text, wordlist_fn *fn, void *owner, char why[static WORDLIST_WHY])
{
	for (const char *at = text;; at++) {
		char word[WORDLIST_WORD];
		size_t len = strcspn(at, ",");
		bool is_short = copy_word(word, at, len);
		if (!is_short || word[0] == '\0') {
			snprintf(why, WORDLIST_WHY, "%.60s: %s", text,
				 is_short ? "an empty word" : "a word that is too long");
			return false;
		}
		if (!(word[0] == '@' ? each_in_file(word + 1, fn, owner, why) : fn(owner, word, why)))
			return false;
		at += len;
		if (*at == '\0')
			return true;
	}
}

bool wordlist_each(const char *text, wordlist_fn *fn, void *owner, char why[static WORDLIST_WHY])
{
	if (each_between_commas(text, fn, owner, why))
		return true;
	for (char *c = why; *c != '\0'; c++) /* a word may hold anything, and this goes to a terminal */
		if (!isprint((unsigned char)*c))
			*c = '?';
	return false;
}
