/* relay_page_test.c - the page and the figures of a census made by hand: what a stranger says stays text, long things
 * end somewhere, and a rate is what was moved between two looks. */
#include "../../tools/relay/page.h"

#include "check.h"
#include "clock.h"

#include <stdlib.h>

enum { FLOWS = 1000 };

static const struct relay_tool tool = { .name = "tool" };
static struct relay_loop loop;
static struct relay relay = { .tool = &tool, .loop = &loop };
static struct relay_row rows[FLOWS];
static struct relay_visit visit;

/* What stands on the page. The caller frees it. */
static char *page_of(const struct relay_census *c,
		     void (*put)(FILE *, const struct relay *, const struct relay_census *, struct relay_visit *))
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);
	put(out, &relay, c, &visit);
	fclose(out);
	return text;
}

static bool shows(const struct relay_census *c, const char *what)
{
	char *text = page_of(c, relay_page_main);
	bool found = strstr(text, what) != NULL;
	free(text);
	return found;
}

static unsigned count(const char *text, const char *what)
{
	unsigned n = 0;
	while ((text = strstr(text, what)) != NULL) {
		n++;
		text += strlen(what);
	}
	return n;
}

static struct relay_census census_of(size_t n, uint64_t now_ns)
{
	for (size_t i = 0; i < n; i++)
		rows[i] = (struct relay_row){ .id = i + 1, .state = RELAY_OPEN, .age_ns = 5 * (uint64_t)NS_PER_S };
	return (struct relay_census){
		.now_ns = now_ns, .rows = rows, .n_rows = n, .tally.live = n, .tally.connections = n
	};
}

/* A SOCKS client may ask for any name. */
static void test_stranger(void)
{
	struct relay_census c = census_of(1, NS_PER_S);
	snprintf(rows[0].target, sizeof(rows[0].target), "%s", "<script>alert(1)</script>\"'&\x01\xff:80");
	c.recent = rows;
	c.n_recent = 1;
	for (int i = 0; i < 2; i++) {
		char *text = page_of(&c, i == 0 ? relay_page_main : relay_page_html);
		CHECK(strstr(text, "<script>alert") == NULL && strchr(text, '\x01') == NULL);
		CHECK_INT(count(text, "&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;&amp; "
				      "\xef\xbf\xbd:80"),
			  2);
		CHECK_INT(count(text, "<script>"), i);
		free(text);
	}
}

static void test_long_target(void)
{
	struct relay_census c = census_of(1, NS_PER_S);
	memset(rows[0].target, '<', sizeof(rows[0].target) - 1);
	char *text = page_of(&c, relay_page_main);
	CHECK_INT(count(text, "&lt;"), RELAY_TARGET - 1);
	free(text);
}

static void test_many(void)
{
	struct relay_census c = census_of(FLOWS, NS_PER_S);
	rows[FLOWS - 1].lane[PUMP_UP].is_paused = true;
	char *text = page_of(&c, relay_page_main);
	CHECK_INT(count(text, "<tr><td class=\"n\" data-name=\"#\">"), RELAY_PAGE_ROWS);
	CHECK(strstr(text, "and 800 more") != NULL);
	CHECK(strstr(text, ">client paused<") != NULL); /* that one is worth showing */
	free(text);
}

static void test_rates(void)
{
	relay_visit_free(&visit);
	visit = (struct relay_visit){ 0 };
	struct relay_census c = census_of(1, NS_PER_S);
	CHECK(!shows(&c, "bit/s"));
	c = census_of(1, 3 * (uint64_t)NS_PER_S);
	rows[0].lane[PUMP_DOWN].bytes_out = c.tally.bytes_down = 2000000;
	CHECK(shows(&c, "8.00 Mbit/s</b>"));
	c.now_ns += NS_PER_S;
	CHECK(shows(&c, "<b>0</b>"));
	CHECK_INT(visit.n_rates, 2);
	for (int i = 0; i < 3 * RELAY_TRACE; i++) { /* the ring */
		c.now_ns += NS_PER_S;
		c.tally.bytes_down += 125000;
		CHECK(shows(&c, "1.00 Mbit/s</b>"));
	}
	char *text = page_of(&c, relay_page_main);
	CHECK_INT(count(text, "NaN") + count(text, "nan") + count(text, "inf"), 0);
	free(text);
}

static void test_state(void)
{
	struct relay_census c = census_of(1, NS_PER_S);
	CHECK(shows(&c, ">open<"));
	rows[0].lane[PUMP_DOWN].is_shut = true;
	CHECK(shows(&c, ">half closed<"));
	rows[0].lane[PUMP_DOWN].is_paused = true;
	CHECK(shows(&c, ">server paused<"));
	rows[0].lane[PUMP_UP].is_paused = true;
	CHECK(shows(&c, ">both paused<"));
	rows[0].state = RELAY_CONNECTING;
	CHECK(shows(&c, ">connecting<"));
	c = census_of(0, NS_PER_S);
	CHECK(shows(&c, "Nobody is connected."));
	c.tally.ends[RELAY_END_CONNECT] = 7;
	CHECK(shows(&c, "no server could be reached</span><td class=\"n\">7</tr>"));
	relay.is_draining = true;
	CHECK(shows(&c, "Draining"));
	relay.is_draining = false;
}

static void test_metrics(void)
{
	struct relay_census c = census_of(0, 1500 * (uint64_t)NS_PER_MS);
	char *text = NULL;
	size_t len;
	c.tally.bytes_up = UINT64_MAX;
	c.tally.ends[RELAY_END_CUT] = 3;
	FILE *out = open_memstream(&text, &len);
	relay_page_metrics(out, &relay, &c);
	fclose(out);
	CHECK(strstr(text, "\ntool_bytes_total{way=\"up\"} 18446744073709551615\n") != NULL);
	CHECK(strstr(text, "\ntool_ended_total{reason=\"cut\"} 3\n") != NULL);
	CHECK(strstr(text, "\ntool_uptime_seconds 1.5\n") != NULL);
	CHECK_INT(count(text, "# HELP "), count(text, "# TYPE "));
	free(text);
}

int main(void)
{
	loop.impair[PUMP_UP] = loop.impair[PUMP_DOWN] = impair_default();
	loop.shop.o.high = 65536;
	test_stranger();
	test_long_target();
	test_many();
	test_rates();
	test_state();
	test_metrics();
	relay_visit_free(&visit);
	return check_done();
}
