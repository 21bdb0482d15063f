/* html.c - see html.h. What a page looks like is in html_style.c. */
#include "html.h"

#include "mem.h"
#include "svg.h"

#include <assert.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* --- text --------------------------------------------------------------------------------------------------------- */

static void put_text(FILE *out, const char *fmt, va_list args) PRINTF_LIKE(2, 0);
static void put_text(FILE *out, const char *fmt, va_list args)
{
	char small[256], *text = small;
	va_list again;
	va_copy(again, args);
	int len = vsnprintf(small, sizeof(small), fmt, args);
	if (len >= (int)sizeof(small)) {
		text = xmalloc((size_t)len + 1);
		vsnprintf(text, (size_t)len + 1, fmt, again);
	}
	va_end(again);
	if (len >= 0)
		svg_escape(out, text);
	if (text != small)
		free(text);
}

void html_text(FILE *out, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	put_text(out, fmt, args);
	va_end(args);
}

/* Between two tags. */
#define PUT_BETWEEN(out, before, fmt, after) \
	do {                                 \
		va_list args_;               \
		va_start(args_, fmt);        \
		fputs(before, out);          \
		put_text(out, fmt, args_);   \
		fputs(after, out);           \
		va_end(args_);               \
	} while (0)

/* --- the page ----------------------------------------------------------------------------------------------------- */

static void put_head(FILE *out, const struct html_page *page)
{
	fputs("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
	      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n",
	      out);
	if (page->reload_s > 0)
		fprintf(out, "<noscript><meta http-equiv=\"refresh\" content=\"%u\"></noscript>\n", page->reload_s);
	fputs("<title>", out);
	html_text(out, page->what != NULL ? "%s %s" : "%s", page->tool, page->what);
	fputs("</title>", out);
	if (page->icon_href != NULL)
		fprintf(out, "<link rel=\"icon\" href=\"%s\">", page->icon_href);
	fprintf(out, "\n<style>\n%s", html_style);
	svg_inline_style(out);
	fputs("</style></head><body>\n", out);
}

static void put_nav(FILE *out, const struct html_page *page)
{
	if (page->n_nav == 0)
		return;
	fputs("<nav>", out);
	for (size_t i = 0; i < page->n_nav; i++) {
		const struct html_link *link = &page->nav[i];
		bool is_here = page->here != NULL && strcmp(page->here, link->href) == 0;
		fputs("<a href=\"", out);
		html_text(out, "%s", link->href);
		fputs(is_here ? "\" aria-current=\"page\">" : "\">", out);
		html_text(out, "%s", link->name);
		fputs("</a>", out);
	}
	fputs("</nav>\n", out);
}

static void put_live(FILE *out, const struct html_page *page)
{
	if (page->stream == NULL)
		return;
	fputs("<span id=\"live\" data-stream=\"", out);
	html_text(out, "%s", page->stream);
	fputs("\" data-source=\"", out);
	html_text(out, "%s", page->source != NULL ? page->source : page->tool);
	fputs("\"></span>", out);
}

void html_begin(FILE *out, const struct html_page *page)
{
	put_head(out, page);
	fputs("<header>", out);
	if (page->icon_href != NULL)
		fprintf(out, "<img src=\"%s\" alt=\"\">", page->icon_href);
	fputs("<h1>", out);
	html_text(out, "%s", page->tool);
	fputs("</h1>", out);
	if (page->what != NULL) {
		fputs("<code>", out);
		html_text(out, "%s", page->what);
		fputs("</code>", out);
	}
	put_live(out, page);
	fputs("</header>\n", out);
	put_nav(out, page);
	if (page->html_bar != NULL)
		fprintf(out, "<div class=\"tools\">%s</div>\n", page->html_bar);
	fputs("<main>\n", out);
}

void html_end(FILE *out, const struct html_page *page, const char *html)
{
	fputs("</main>\n", out);
	if (html != NULL)
		fprintf(out, "<footer>%s</footer>\n", html);
	if (page->stream != NULL)
		fprintf(out, "<script>\n%s</script>", html_script);
	fputs("</body></html>\n", out);
}

/* --- pieces ------------------------------------------------------------------------------------------------------- */

static const char *class_of(enum html_mood mood)
{
	static const char *const classes[] = { "", " ok", " warn", " bad" };
	return classes[mood];
}

void html_heading(FILE *out, const char *name, const char *small_fmt, ...)
{
	fputs("<h2>", out);
	html_text(out, "%s", name);
	if (small_fmt != NULL)
		PUT_BETWEEN(out, " <small>", small_fmt, "</small>");
	fputs("</h2>\n", out);
}

void html_note(FILE *out, enum html_mood mood, const char *fmt, ...)
{
	fprintf(out, "<p class=\"note%s\">", class_of(mood));
	PUT_BETWEEN(out, "", fmt, "</p>\n");
}

void html_remark(FILE *out, const char *fmt, ...)
{
	PUT_BETWEEN(out, "<p class=\"remark\">", fmt, "</p>\n");
}

void html_pill(FILE *out, enum html_mood mood, const char *fmt, ...)
{
	fprintf(out, "<span class=\"pill%s\">", class_of(mood));
	PUT_BETWEEN(out, "", fmt, "</span>");
}

void html_bar(FILE *out, const char *class, double share, const char *tip_text)
{
	double percent = share > 0 ? fmin(share, 1) * 100 : 0; /* this way round a NaN is nothing */
	fprintf(out, "<span class=\"bar %s\"", class);
	if (tip_text != NULL) {
		fputs(" title=\"", out);
		html_text(out, "%s", tip_text);
		fputs("\"", out);
	}
	fprintf(out, "><i style=\"width:%.1f%%\"></i></span>", percent);
}

/* --- a small picture ---------------------------------------------------------------------------------------------- */

enum { SPARK_HEIGHT = 20, SPARK_TOP = 1, SPARK_BOTTOM = 19 };

static double greatest(const double *y, size_t n, double most)
{
	for (size_t i = 0; i < n; i++)
		most = isfinite(y[i]) && y[i] > most ? y[i] : most;
	return most;
}

/* The points from `from` to the next gap. WHY relative moves: they are shorter, and there are many. */
static size_t put_piece(FILE *out, const double *y, size_t n, size_t from, double right, double most)
{
	size_t i = from;
	for (; i < n && isfinite(y[i]); i++) {
		double level = SPARK_BOTTOM - fmax(0, y[i] / most) * (SPARK_BOTTOM - SPARK_TOP);
		double x = right - (double)(n - 1 - i);
		if (i == from)
			fprintf(out, "M%g,%dV%.1f", x, SPARK_HEIGHT + 1, level);
		else
			fprintf(out, "L%g,%.1f", x, level);
	}
	fprintf(out, "h%sV%dz", i == from + 1 ? ".6" : "0", SPARK_HEIGHT + 1);
	return i;
}

void html_spark(FILE *out, const char *class, const double *y, size_t n, size_t n_all, double most)
{
	double right = (double)(n_all > n ? n_all : n) - 1;
	most = greatest(y, n, most);
	fprintf(out,
		"<svg class=\"spark %s\" viewBox=\"0 0 %g %d\" preserveAspectRatio=\"none\" aria-hidden=\"true\">"
		"<path fill=\"currentColor\" fill-opacity=\".2\" stroke=\"currentColor\" "
		"vector-effect=\"non-scaling-stroke\" d=\"",
		class, right > 0 ? right : 1, SPARK_HEIGHT);
	for (size_t i = 0; i < n && most > 0;) {
		if (isfinite(y[i]))
			i = put_piece(out, y, n, i, right, most);
		else
			i++;
	}
	fputs("\"/></svg>", out);
}

/* --- cards -------------------------------------------------------------------------------------------------------- */

void html_cards_begin(FILE *out)
{
	fputs("<div class=\"cards\">\n", out);
}

void html_cards_end(FILE *out)
{
	fputs("</div>\n", out);
}

void html_card_begin(FILE *out, const char *class, const char *name, const char *value_text)
{
	fprintf(out, "<div class=\"card%s%s\"><span>", class[0] != '\0' ? " " : "", class);
	html_text(out, "%s", name);
	fputs("</span><b>", out);
	html_text(out, "%s", value_text);
	fputs("</b>", out);
}

void html_card_below(FILE *out, const char *fmt, ...)
{
	PUT_BETWEEN(out, "<span>", fmt, "</span>");
}

void html_card_end(FILE *out)
{
	fputs("</div>\n", out);
}

void html_card(FILE *out, const char *class, const char *name, const char *value_text, const char *below_fmt, ...)
{
	html_card_begin(out, class, name, value_text);
	PUT_BETWEEN(out, "<span>", below_fmt, "</span>");
	html_card_end(out);
}

/* --- tables ------------------------------------------------------------------------------------------------------- */

static void put_class(FILE *out, const struct html_column *column)
{
	if (column->class != NULL)
		fprintf(out, " class=\"%s\"", column->class);
}

static void put_column_head(FILE *out, const struct html_column *column)
{
	fputs("<th", out);
	put_class(out, column);
	fputs(">", out);
	for (const char *line = column->head; *line != '\0'; line += strcspn(line, "\n"), line += *line == '\n') {
		int len = (int)strcspn(line, "\n");
		html_text(out, "%.*s", len, line);
		fputs(line[len] == '\n' ? "<br>" : "", out);
	}
	fputs("</th>", out);
}

void html_table_begin(struct html_table *t, FILE *out, const struct html_column *columns, size_t n)
{
	*t = (struct html_table){ .out = out, .columns = columns, .n = n, .at = n };
	fputs("<div class=\"scroll\">", out);
}

static void put_table_head(const struct html_table *t)
{
	fputs("<table class=\"rows\"><thead><tr>", t->out);
	for (size_t i = 0; i < t->n; i++)
		put_column_head(t->out, &t->columns[i]);
	fputs("</tr></thead><tbody>\n", t->out);
}

/* An empty cell takes the place of those that are not there. */
static void end_row(const struct html_table *t)
{
	if (t->at < t->n)
		fprintf(t->out, "<td colspan=\"%zu\"></td>", t->n - t->at);
	fputs("</tr>\n", t->out);
}

void html_row(struct html_table *t)
{
	if (t->has_rows)
		end_row(t);
	else
		put_table_head(t);
	fputs("<tr>", t->out);
	t->has_rows = true;
	t->at = 0;
}

static void open_cell(struct html_table *t)
{
	assert(t->at < t->n && "more cells than columns, or no row yet");
	const struct html_column *column = &t->columns[t->at++];
	fputs("<td", t->out);
	put_class(t->out, column);
	fputs(" data-name=\"", t->out);
	html_text(t->out, "%s", column->name != NULL ? column->name : column->head);
	fputs("\">", t->out);
}

void html_cell(struct html_table *t, const char *fmt, ...)
{
	open_cell(t);
	PUT_BETWEEN(t->out, "", fmt, "</td>");
}

/* WHY a span: on a phone a cell is a flexible box, and what is in it has to be one item of it. */
FILE *html_cell_begin(struct html_table *t)
{
	open_cell(t);
	fputs("<span>", t->out);
	return t->out;
}

void html_cell_end(struct html_table *t)
{
	fputs("</span></td>", t->out);
}

void html_small(FILE *out, const char *fmt, ...)
{
	PUT_BETWEEN(out, "<small>", fmt, "</small>");
}

void html_cell_two(struct html_table *t, const char *text, const char *small_text)
{
	FILE *out = html_cell_begin(t);
	html_text(out, "%s", text);
	if (small_text[0] != '\0')
		html_small(out, "%s", small_text);
	html_cell_end(t);
}

void html_table_end(struct html_table *t, const char *none_text)
{
	if (t->has_rows) {
		end_row(t);
		fputs("</tbody></table>", t->out);
	} else if (none_text != NULL) {
		fputs("<p class=\"none\">", t->out);
		html_text(t->out, "%s", none_text);
		fputs("</p>", t->out);
	}
	fputs("</div>\n", t->out);
}

void html_pairs_begin(FILE *out)
{
	fputs("<div class=\"scroll\"><table class=\"pairs\"><tbody>\n", out);
}

void html_pair(FILE *out, const char *name, const char *fmt, ...)
{
	fputs("<tr><th scope=\"row\">", out);
	html_text(out, "%s", name);
	PUT_BETWEEN(out, "</th><td>", fmt, "</td></tr>\n");
}

void html_pairs_end(FILE *out)
{
	fputs("</tbody></table></div>\n", out);
}

void html_charts_begin(FILE *out)
{
	fputs("<div class=\"charts\">\n", out);
}

void html_charts_end(FILE *out)
{
	fputs("</div>\n", out);
}
