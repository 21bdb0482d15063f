/* csv.c - procmon: a history as a table (RFC 4180), for a spreadsheet or a plot: the time, the columns, the marks. An
 * empty field is what was not read. */
#include "procmon.h"

#include <math.h>

/* RFC 4180 2.5 to 2.7. */
static void put_text(FILE *out, const char *text)
{
	putc('"', out);
	for (; *text != '\0'; text++) {
		if (*text == '"')
			putc('"', out);
		putc(*text, out);
	}
	putc('"', out);
}

/* The marks that were put after `from`, until `to`. */
static void put_marks(FILE *out, const struct marks *marks, int64_t from_real_ns, int64_t to_real_ns)
{
	char text[4 * MARK_LABEL];
	size_t len = 0;
	for (size_t i = 0; i < marks->n; i++) {
		const struct mark *mark = &marks->mark[i];
		if (mark->at_real_ns > from_real_ns && mark->at_real_ns <= to_real_ns &&
		    len < sizeof(text) - MARK_LABEL - 2)
			len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s", len > 0 ? "; " : "",
						mark->label);
	}
	if (len > 0)
		put_text(out, text);
}

void watched_csv(FILE *out, const struct watched *w, enum span span)
{
	int64_t before_real_ns = w->start_real_ns;
	fputs("time_ns", out);
	for (size_t i = 0; i < COLUMNS; i++)
		fprintf(out, ",%s", column_info[i].name);
	fputs(",mark\n", out);
	for (size_t i = 0, n = history_rows(w->history, span); i < n; i++) {
		struct history_row row = history_row(w->history, span, i);
		fprintf(out, "%lld", (long long)row.at_real_ns);
		for (size_t c = 0; c < COLUMNS; c++) {
			if (isnan(row.mean[c]))
				putc(',', out);
			else
				fprintf(out, ",%.10g", row.mean[c]);
		}
		putc(',', out);
		put_marks(out, &w->procmon->marks, before_real_ns, row.at_real_ns);
		putc('\n', out);
		before_real_ns = row.at_real_ns;
	}
}
