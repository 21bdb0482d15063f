/* html_words.c - procmon: the pages of what a process was given when it began: limits, command line, environment. */
#include "pages.h"

#include "cdefs.h"

#include <string.h>

/* --- limits ------------------------------------------------------------------------------------------------------- */

static void put_limit(struct html_table *t, const struct procfs_limit *limit, uint64_t value)
{
	char text[UNITS_TEXT];
	if (value == PROCFS_UNLIMITED)
		html_cell(t, "unlimited");
	else if (strcmp(limit->unit, "bytes") == 0)
		html_cell(t, "%s", units_size(text, value));
	else
		html_cell(t, "%llu", (unsigned long long)value);
}

/* What is used of it, where we know. */
static void put_used(struct html_table *t, const struct watched *w, const struct procfs_limit *limit)
{
	char text[UNITS_TEXT];
	double used = strcmp(limit->name, "Max open files") == 0      ? w->known[COLUMN_FILES]
		      : strcmp(limit->name, "Max address space") == 0 ? (double)w->status.virtual_bytes
								      : -1;
	bool is_bytes = strcmp(limit->unit, "bytes") == 0;
	if (!(used >= 0)) /* this way round a NaN is not known, either */
		html_cell(t, "%s", "");
	else
		page_put_share(t, is_bytes ? units_size(text, (uint64_t)used) : column_text(text, COLUMN_FILES, used),
			       limit->soft != PROCFS_UNLIMITED && limit->soft > 0 ? used / (double)limit->soft : 0);
}

void page_put_limits(FILE *out, const struct watched *w)
{
	static const struct html_column columns[] = { { "Limit", NULL, NULL },
						      { "Used", NULL, "n" },
						      { "Soft", NULL, "n" },
						      { "Hard", NULL, "n" },
						      { "Unit", NULL, NULL } };
	struct html_table t;
	html_heading(out, "Limits", "setrlimit(2): soft is what holds, and the process may raise it up to hard");
	html_table_begin(&t, out, columns, COUNT_OF(columns));
	for (size_t i = 0; i < w->limits.n; i++) {
		const struct procfs_limit *limit = &w->limits.row[i];
		html_row(&t);
		html_cell(&t, "%s", limit->name);
		put_used(&t, w, limit);
		put_limit(&t, limit, limit->soft);
		put_limit(&t, limit, limit->hard);
		html_cell(&t, "%s", limit->unit);
	}
	html_table_end(&t, "They may not be read.");
}

/* --- words -------------------------------------------------------------------------------------------------------- */

void page_put_command(FILE *out, const struct watched *w)
{
	static const struct html_column columns[] = { { "Number", NULL, "n id" }, { "Word", NULL, "code" } };
	struct html_table t;
	size_t at = 0, n = 0;
	html_heading(out, "Command line", "a word in each row, as the program got it");
	html_table_begin(&t, out, columns, COUNT_OF(columns));
	for (const char *word; (word = page_next_word(w->command, w->command_len, &at)) != NULL; n++) {
		html_row(&t);
		html_cell(&t, "%zu", n);
		if (word[0] != '\0')
			html_cell(&t, "%s", word);
		else
			html_small(html_cell_begin(&t), "(empty)"), html_cell_end(&t);
	}
	html_table_end(&t, "It has none: a part of the kernel, or it has ended before it could be read.");
	if (w->command_len >= PROCMON_COMMAND - 1)
		html_remark(out, "cut off after %d bytes", PROCMON_COMMAND);
}

/* "NAME=value": cut at the first equals sign. */
static void put_variable(struct html_table *t, const char *word)
{
	size_t name = strcspn(word, "=");
	html_row(t);
	html_cell(t, "%.*s", (int)name, word);
	html_cell(t, "%s", word[name] == '=' ? word + name + 1 : "");
}

void page_put_environ(FILE *out, const struct watched *w)
{
	static const struct html_column columns[] = { { "Name", NULL, "code" }, { "Value", NULL, "code" } };
	struct html_table t;
	size_t at = 0;
	html_heading(out, "Environment", "as it was when the program began; what it has changed since is not seen");
	html_table_begin(&t, out, columns, COUNT_OF(columns));
	for (const char *word; w->environ != NULL && (word = page_next_word(w->environ, w->environ_len, &at)) != NULL;)
		put_variable(&t, word);
	html_table_end(&t, "It is empty, or may not be read.");
	if (w->environ_len >= PROCMON_ENVIRON - 1)
		html_remark(out, "cut off after %d bytes", PROCMON_ENVIRON);
}
