/* page.c - the relay's family: the census in a browser, and for programs that speak HTTP (--http).
 *
 *	/            the page: complete without a script; with one it listens to /stream?as=html
 *	/json        one census, the record of `stat --json`
 *	/metrics     the sums, as Prometheus reads them
 *	/stream      a census each second, as server-sent events: the record of /json, or what changes on the page
 *
 * Somebody who looks is a `look`, from his request to the answer, or until his stream ends. A census is taken when
 * somebody looks, and one each second for all streams together; never when nobody does. A stream whose reader is slow
 * misses some. */
#include "page.h"

#include "clock.h"
#include "diag.h"
#include "httpd.h"
#include "mem.h"
#include "options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { FORGET_S = 10 };

struct look {
	struct relay_pages *pages;
	struct look *next, **link; /* among the streams */
	struct http_hold hold;
	struct relay_ask ask;
	const struct kind *kind;
	struct relay_visit visit;
	bool is_full; /* what was written last has not left yet */
};

struct relay_pages {
	struct relay *relay;
	struct httpd *httpd;
	struct look *streams;
	struct timer tick;
	struct relay_ask ask;     /* for all streams */
	struct relay_visit visit; /* of whoever asks for / again and again, without a script */
};

/* What somebody wants to see. */
struct kind {
	const char *type;
	bool is_stream, sums_only;
	void (*put)(FILE *out, const struct look *look, const struct relay_census *c, struct relay_visit *visit);
};

static struct look *look_of(struct http_hold *hold)
{
	return CONTAINER_OF(hold, struct look, hold);
}

/* --- what is shown ------------------------------------------------------------------------------------------------ */

static void put_json(FILE *out, const struct look *look, const struct relay_census *c, struct relay_visit *visit)
{
	(void)visit;
	relay_census_json(out, look->pages->relay, c);
}

static void put_metrics(FILE *out, const struct look *look, const struct relay_census *c, struct relay_visit *visit)
{
	(void)visit;
	relay_page_metrics(out, look->pages->relay, c);
}

/* A rate needs two looks: of those who have no stream the last one counts, whoever it was, unless it is too long
 * ago. */
static void put_page(FILE *out, const struct look *look, const struct relay_census *c, struct relay_visit *visit)
{
	visit = &look->pages->visit;
	if (c->now_ns - visit->view.now_ns > (uint64_t)FORGET_S * NS_PER_S) {
		relay_visit_free(visit);
		*visit = (struct relay_visit){ 0 };
	}
	relay_page_html(out, look->pages->relay, c, visit);
}

static void put_main(FILE *out, const struct look *look, const struct relay_census *c, struct relay_visit *visit)
{
	relay_page_main(out, look->pages->relay, c, visit);
}

static const struct kind page_kind = { HTTP_HTML, false, false, put_page };
static const struct kind json_kind = { HTTP_JSON, false, false, put_json };
static const struct kind metrics_kind = { HTTP_METRICS, false, true, put_metrics };
static const struct kind json_stream_kind = { HTTP_EVENTS, true, false, put_json };
static const struct kind html_stream_kind = { HTTP_EVENTS, true, false, put_main };

/* The caller frees it. */
static char *show(struct look *look, const struct relay_census *c, size_t *len)
{
	char *text = NULL;
	*len = 0;
	FILE *out = open_memstream(&text, len);
	if (out == NULL)
		return NULL;
	look->kind->put(out, look, c, &look->visit);
	fclose(out);
	return text;
}

/* --- who looks ---------------------------------------------------------------------------------------------------- */

static void free_look(struct look *look)
{
	struct relay_pages *pages = look->pages;
	relay_census_cancel(pages->relay, &look->ask);
	if (look->link != NULL) {
		*look->link = look->next;
		if (look->next != NULL)
			look->next->link = look->link;
	}
	if (pages->streams == NULL) {
		reactor_timer_stop(pages->relay->loop[0].r, &pages->tick);
		relay_census_cancel(pages->relay, &pages->ask);
	}
	relay_visit_free(&look->visit);
	free(look);
}

static void on_gone(struct http_hold *hold)
{
	free_look(look_of(hold));
}

static void on_low(struct http_hold *hold)
{
	look_of(hold)->is_full = false;
}

static void write_event(struct look *look, const struct relay_census *c)
{
	size_t len;
	char *text = show(look, c, &len);
	if (text != NULL)
		look->is_full = !http_stream_event(look->hold.x, text);
	free(text);
}

static void on_tick(struct timer *t);

static void start_tick(struct relay_pages *pages)
{
	struct reactor *r = pages->relay->loop[0].r;
	reactor_timer_start(r, &pages->tick, reactor_now_ns(r) + NS_PER_S, on_tick);
}

static void on_streams_census(struct relay_ask *ask, const struct relay_census *c)
{
	struct relay_pages *pages = CONTAINER_OF(ask, struct relay_pages, ask);
	for (struct look *look = pages->streams; look != NULL; look = look->next) {
		if (!look->is_full)
			write_event(look, c);
	}
	start_tick(pages);
}

static void on_tick(struct timer *t)
{
	struct relay_pages *pages = CONTAINER_OF(t, struct relay_pages, tick);
	relay_census_ask(pages->relay, &pages->ask, on_streams_census);
}

static void join_streams(struct look *look)
{
	struct relay_pages *pages = look->pages;
	if (pages->streams == NULL)
		start_tick(pages);
	look->next = pages->streams;
	look->link = &pages->streams;
	if (look->next != NULL)
		look->next->link = &look->next;
	pages->streams = look;
}

static void on_census(struct relay_ask *ask, const struct relay_census *c)
{
	struct look *look = CONTAINER_OF(ask, struct look, ask);
	if (look->kind->is_stream) {
		write_event(look, c);
		join_streams(look);
		return;
	}
	size_t len;
	char *text = show(look, c, &len);
	http_reply(look->hold.x, 200, look->kind->type, text, len);
	free(text);
	free_look(look);
}

static void begin_look(struct http_exchange *x, const struct kind *kind)
{
	struct relay_pages *pages = x->user;
	struct look *look = xcalloc(1, sizeof(*look));
	*look = (struct look){ .pages = pages, .kind = kind, .ask.sums_only = kind->sums_only };
	if (kind->is_stream)
		http_stream_begin(x, kind->type);
	http_hold(x, &look->hold, on_gone, on_low);
	if (look->hold.x != NULL)
		relay_census_ask(pages->relay, &look->ask, on_census);
	else
		free(look); /* HEAD: the stream is over already */
}

/* --- routes ------------------------------------------------------------------------------------------------------- */

static void on_page(struct http_exchange *x)
{
	begin_look(x, &page_kind);
}

static void on_json(struct http_exchange *x)
{
	begin_look(x, &json_kind);
}

static void on_metrics(struct http_exchange *x)
{
	begin_look(x, &metrics_kind);
}

static void on_stream(struct http_exchange *x)
{
	char as[8];
	int found = http_query(x->request->query, "as", as, sizeof(as));
	if (found == 0 || (found > 0 && strcmp(as, "json") == 0))
		begin_look(x, &json_stream_kind);
	else if (found > 0 && strcmp(as, "html") == 0)
		begin_look(x, &html_stream_kind);
	else
		http_fail(x, 400, "as is json or html");
}

static void on_icon(struct http_exchange *x)
{
	http_reply(x, 200, HTTP_SVG, relay_page_icon, strlen(relay_page_icon));
}

static const struct http_route routes[] = {
	{ "/", HTTP_GET, on_page },         { "/json", HTTP_GET, on_json },     { "/metrics", HTTP_GET, on_metrics },
	{ "/stream", HTTP_GET, on_stream }, { "/icon.svg", HTTP_GET, on_icon },
};

/* --- start and stop ----------------------------------------------------------------------------------------------- */

static int listen_at(const char *where, int family, struct addr *bound, struct net_error *e)
{
	static const struct sock_options no_options = { .nodelay = true };
	char host[RELAY_TARGET];
	uint16_t port;
	if (!relay_parse_place(where, host, &port)) {
		*e = (struct net_error){ .op = "serve http on", .reason = "it is [ADDR:]PORT", .sys = EINVAL };
		snprintf(e->object, sizeof(e->object), "%s", where);
		return -1;
	}
	return sock_serve(host[0] != '\0'      ? host
			  : family == AF_INET6 ? "::1"
					       : "127.0.0.1",
			  port, family, &no_options, bound, e);
}

int relay_pages_start(struct relay *relay, const char *where, struct net_error *e)
{
	struct addr bound;
	char text[ADDR_TEXT];
	int fd = listen_at(where, relay->family, &bound, e);
	if (fd < 0)
		return -1;
	struct relay_pages *pages = xcalloc(1, sizeof(*pages));
	struct httpd_options o = { .routes = routes, .n_routes = COUNT_OF(routes), .user = pages };
	pages->relay = relay;
	pages->httpd = httpd_start(relay->loop[0].r, fd, &o);
	if (pages->httpd == NULL) {
		net_fail(e, "serve http on", where);
		free(pages);
		return -1;
	}
	relay->pages = pages;
	fprintf(stderr, "%s: http on %s\n", diag_tool, addr_text(&bound, text));
	return 0;
}

void relay_pages_stop(struct relay *relay)
{
	struct relay_pages *pages = relay->pages;
	if (pages == NULL)
		return;
	httpd_stop(pages->httpd); /* whoever looks is gone */
	relay_visit_free(&pages->visit);
	free(pages);
	relay->pages = NULL;
}
