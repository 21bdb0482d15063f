/* html_test.c - what a stranger says stays text wherever it stands, tags come in pairs, and the pieces are what a
 * reader of the page would expect. What it looks like only an eye can test. */
#include "check.h"
#include "html.h"

#include <math.h>
#include <stdlib.h>

static char *text;
static size_t len;

static FILE *begin(void)
{
	return open_memstream(&text, &len);
}

static unsigned count(const char *what)
{
	unsigned n = 0;
	for (const char *at = text; (at = strstr(at, what)) != NULL; at += strlen(what))
		n++;
	return n;
}

static void end(FILE *out, const char *want)
{
	fclose(out);
	CHECK_STR(text, want);
	free(text);
}

static void test_text(void)
{
	FILE *out = begin();
	html_text(out, "<b a='%s'>&%d", "\"\x01\x7f\t\n\xff\xc3\xa9\xc2\x9b\xed\xa0\x80", 7);
	end(out, "&lt;b a=&#39;&quot;    \xef\xbf\xbd\xc3\xa9 \xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd&#39;&gt;&amp;7");

	enum { LONG = 100000 };
	char *much = malloc(LONG + 1);
	memset(much, '<', LONG);
	much[LONG] = '\0';
	out = begin();
	html_text(out, "%s!", much);
	fclose(out);
	CHECK_INT(len, 4 * LONG + 1);
	CHECK_INT(text[len - 1], '!');
	free(text);
	free(much);
}

static const struct html_link nav[] = { { "/?a=1&b=2", "over<view" }, { "/files", "files" } };

static const struct html_page live = {
	.tool = "tool",
	.what = "<script>alert(1)</script>",
	.icon_href = "/icon.svg",
	.nav = nav,
	.n_nav = 2,
	.here = "/files",
	.stream = "/stream?as=html&page=\"x",
	.reload_s = 5,
};

/* A tag for a tag, in the whole document. */
static void check_pairs(void)
{
	static const char *const tags[] = {
		"html", "head", "body", "main", "style", "header", "nav", "script", "title",
		"h1",   "h2",   "div",  "span", "table", "thead",  "tr",  "td",     "small"
	};
	for (size_t i = 0; i < sizeof(tags) / sizeof(tags[0]); i++) {
		char plain[16], open[16], close[16];
		snprintf(plain, sizeof(plain), "<%s>", tags[i]);
		snprintf(open, sizeof(open), "<%s ", tags[i]);
		snprintf(close, sizeof(close), "</%s>", tags[i]);
		if (!CHECK_INT(count(plain) + count(open), count(close)))
			fprintf(stderr, "    the tag is %s\n", tags[i]);
	}
}

static void test_page(void)
{
	FILE *out = begin();
	html_begin(out, &live);
	html_end(out, &live, "<i>foot</i>");
	fclose(out);
	check_pairs();
	CHECK(strncmp(text, "<!doctype html>\n", 16) == 0);
	CHECK_INT(count("<script>"), 1);
	CHECK_INT(count("&lt;script&gt;alert(1)&lt;/script&gt;"), 2); /* the title, the header */
	CHECK_INT(count("<a href=\"/?a=1&amp;b=2\">over&lt;view</a><a href=\"/files\" aria-current=\"page\">files</a>"),
		  1);
	CHECK_INT(count("data-stream=\"/stream?as=html&amp;page=&quot;x\" data-source=\"tool\""), 1);
	CHECK_INT(count("content=\"5\""), 1);
	CHECK_INT(count("<footer><i>foot</i></footer>"), 1);
	CHECK_INT(count("http://") + count("https://"), 0); /* nothing comes from elsewhere */
	free(text);
}

/* A report: nothing that asks, loads again or runs. */
static void test_still_page(void)
{
	const struct html_page page = { .tool = "tool" };
	FILE *out = begin();
	html_begin(out, &page);
	html_end(out, &page, NULL);
	fclose(out);
	check_pairs();
	CHECK_INT(count("<script") + count("refresh") + count("<nav") + count("id=\"live\"") + count("href") +
			  count("<code>"),
		  0);
	free(text);
}

static const struct html_column columns[] = { { "A\nb", "Ab", "n" }, { "<C>", NULL, NULL } };

static void test_table(void)
{
	struct html_table t;
	FILE *out = begin();
	html_table_begin(&t, out, columns, 2);
	html_row(&t);
	html_cell(&t, "%d", 1);
	html_cell(&t, "<%s>", "x");
	html_row(&t); /* a short one */
	html_small(html_cell_begin(&t), "&");
	html_cell_end(&t);
	html_table_end(&t, "none");
	end(out,
	    "<div class=\"scroll\"><table class=\"rows\"><thead><tr><th class=\"n\">A<br>b</th>"
	    "<th>&lt;C&gt;</th></tr></thead>"
	    "<tbody>\n"
	    "<tr><td class=\"n\" data-name=\"Ab\">1</td><td data-name=\"&lt;C&gt;\">&lt;x&gt;</td></tr>\n"
	    "<tr><td class=\"n\" data-name=\"Ab\"><span><small>&amp;</small></span></td><td colspan=\"1\"></td></tr>\n"
	    "</tbody></table></div>\n");

	out = begin();
	html_table_begin(&t, out, columns, 2);
	html_table_end(&t, "nobody & nothing");
	end(out, "<div class=\"scroll\"><p class=\"none\">nobody &amp; nothing</p></div>\n");
}

static void test_pieces(void)
{
	FILE *out = begin();
	html_heading(out, "<a>", "%d<", 2);
	html_heading(out, "b", NULL);
	html_note(out, HTML_WARN, "%s", "<");
	html_pill(out, HTML_PLAIN, "%s", ">");
	html_pair(out, "n&", "%s", "v<");
	end(out, "<h2>&lt;a&gt; <small>2&lt;</small></h2>\n<h2>b</h2>\n<p class=\"note warn\">&lt;</p>\n"
		 "<span class=\"pill\">&gt;</span><tr><th scope=\"row\">n&amp;</th><td>v&lt;</td></tr>\n");

	out = begin();
	html_cards_begin(out);
	html_card(out, "", "name<", "1<", "below %s", "<");
	html_card_begin(out, "wide up", "n", "v");
	html_card_below(out, "<");
	html_card_end(out);
	html_cards_end(out);
	end(out, "<div class=\"cards\">\n"
		 "<div class=\"card\"><span>name&lt;</span><b>1&lt;</b><span>below &lt;</span></div>\n"
		 "<div class=\"card wide up\"><span>n</span><b>v</b><span>&lt;</span></div>\n</div>\n");
}

static void test_bar(void)
{
	static const double shares[] = { -1, 0.5, 2, NAN };
	static const char *const widths[] = { "0.0%", "50.0%", "100.0%", "0.0%" };
	for (size_t i = 0; i < 4; i++) {
		FILE *out = begin();
		html_bar(out, "up", shares[i], i == 0 ? "\"tip\"" : NULL);
		fclose(out);
		CHECK(strstr(text, widths[i]) != NULL);
		CHECK_INT(count("title=\"&quot;tip&quot;\""), i == 0);
		free(text);
	}
}

/* Points come from the right; a gap ends a piece, and a lone point is a piece, too. */
static void test_spark(void)
{
	static const double y[] = { 1, 2, NAN, 4, INFINITY, -1, 2 };
	FILE *out = begin();
	html_spark(out, "up", y, 7, 10, 0);
	fclose(out);
	CHECK(strstr(text, "viewBox=\"0 0 9 20\"") != NULL);
	CHECK(strstr(text, " d=\"M3,21V14.5L4,10.0h0V21zM6,21V1.0h.6V21zM8,21V19.0L9,10.0h0V21z\"/></svg>") != NULL);
	free(text);
	for (size_t n = 0; n < 3; n++) { /* nothing, one, all gaps */
		static const double gaps[] = { NAN, NAN };
		out = begin();
		html_spark(out, "", n == 1 ? y : gaps, n, 0, 1);
		fclose(out);
		CHECK_INT(count("nan") + count("inf"), 0);
		CHECK_INT(count("M"), n == 1);
		free(text);
	}
}

int main(void)
{
	test_text();
	test_page();
	test_still_page();
	test_table();
	test_pieces();
	test_bar();
	test_spark();
	return check_done();
}
