/* routes.c - procmon: what it answers over HTTP.
 *
 *	/ /threads /files /sockets /maps /limits /cmdline /environ     pages (html_*.c)
 *	/cpu.svg ...                                                   a chart each
 *	/json /metrics /csv                                            for programs
 *	/stream                                                        after each sample: /json, or what changes on a page
 *	POST /mark                                                     a mark on all charts
 *
 *	?pid=N          of several processes this one, else the first
 *	?span=10m|2h    of charts, pages and /csv
 *
 * Whoever looks is noted (watched_look), so that what is expensive is read while he does. A stream whose reader is slow
 * misses some events. */
#include "routes.h"

#include "clock.h"
#include "httpd.h"
#include "json.h"
#include "mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { HTML_EVERY_MS = 500 /* a page changes twice a second at most, however short the interval */ };

/* What a request chose. */
struct choice {
	struct watched *w;
	enum span span;
	enum page page;
	unsigned with;
};

/* A stream. */
struct viewer {
	struct routes *routes;
	struct viewer *next, **link;
	struct http_hold hold;
	struct choice choice;
	bool as_html;
	bool is_full; /* what was written last has not left yet */
	uint64_t sent_ns;
};

struct routes {
	struct procmon *m;
	struct httpd *httpd;
	struct viewer *viewers;
};

static struct procmon *procmon_of(const struct http_exchange *x)
{
	const struct routes *routes = x->user;
	return routes->m;
}

/* --- what was asked for ------------------------------------------------------------------------------------------- */

/* The value of one of these words; -1: it is none of them, and the client has been told. Without the parameter: the
 * first. */
static int choose(struct http_exchange *x, const char *name, const char *const words[], const char *complaint)
{
	char value[32];
	int found = http_query(x->request->query, name, value, sizeof(value));
	for (int i = 0; found >= 0 && words[i] != NULL; i++) {
		if (found == 0 || strcmp(value, words[i]) == 0)
			return i;
	}
	http_fail(x, 400, complaint);
	return -1;
}

static bool choose_process(struct http_exchange *x, struct watched **w)
{
	char value[16];
	uint64_t pid;
	int found = http_query(x->request->query, "pid", value, sizeof(value));
	*w = procmon_of(x)->first;
	if (found == 0)
		return true;
	if (found < 0 || !units_parse_count(value, &pid)) {
		http_fail(x, 400, "pid is a number");
		return false;
	}
	*w = pid <= INT32_MAX ? watched_find(procmon_of(x), (pid_t)pid) : NULL;
	if (*w == NULL)
		http_fail(x, 404, "this process is not watched");
	return *w != NULL;
}

/* "threads,sockets": what a record is to have besides. */
static bool choose_with(struct http_exchange *x, unsigned *with)
{
	char value[128], *rest = value, *word;
	int found = http_query(x->request->query, "with", value, sizeof(value));
	*with = 0;
	while (found > 0 && (word = strsep(&rest, ",")) != NULL) {
		unsigned bit = strcmp(word, "limits") == 0 ? WITH_LIMITS : 0;
		for (enum source source = 0; source < SOURCES; source++) {
			if (strcmp(word, source_name(source)) == 0)
				bit = SOURCE_BIT(source);
		}
		*with |= bit;
		found = bit != 0 ? 1 : -1;
	}
	if (found < 0)
		http_fail(x, 400, "with is a list of threads, files, sockets, pss, maps, limits");
	return found >= 0;
}

static bool choose_all(struct http_exchange *x, struct choice *c)
{
	static const char *const spans[] = { "10m", "2h", NULL };
	int span = choose_process(x, &c->w) ? choose(x, "span", spans, "span is 10m or 2h") : -1;
	c->span = (enum span)span;
	return span >= 0 && choose_with(x, &c->with);
}

/* --- text --------------------------------------------------------------------------------------------------------- */

/* A text that grows while it is written; the caller frees it. */
struct text {
	char *p;
	size_t len;
	FILE *out;
};

static void begin_text(struct text *t)
{
	*t = (struct text){ 0 };
	t->out = xmemstream(&t->p, &t->len);
}

static void answer(struct http_exchange *x, const char *type, struct text *t)
{
	fclose(t->out);
	http_reply(x, 200, type, t->p, t->len);
	free(t->p);
}

static void put_record(FILE *out, const struct choice *c)
{
	struct json j;
	const struct procmon *m = c->w->procmon;
	json_begin(&j, out);
	json_str(&j, "schema", "tcplab.procmon/1");
	json_str(&j, "record", "process");
	watched_json(&j, c->w, c->with);
	json_array(&j, "others");
	for (const struct watched *w = m->first; w != NULL; w = w->next) {
		if (w != c->w)
			json_i64(&j, NULL, w->pid);
	}
	json_close(&j);
	procmon_json_marks(&j, m);
	procmon_json_self(&j, m);
	json_end(&j);
}

/* --- pages -------------------------------------------------------------------------------------------------------- */

static bool is_allowed(const struct procmon *m, enum page page)
{
	return page != PAGE_ENVIRON || m->o->allow_environ;
}

static enum page page_of(const char *path)
{
	enum page page = 0;
	while (page < PAGES && strcmp(page_path(page), path) != 0)
		page++;
	return page;
}

static void on_page(struct http_exchange *x)
{
	struct choice c;
	struct text t;
	enum page page = page_of(x->request->path);
	if (!is_allowed(procmon_of(x), page)) {
		http_fail(x, 403, "the environment may hold secrets: it is shown only with --allow-environ");
		return;
	}
	if (!choose_all(x, &c))
		return;
	watched_look(c.w, page_sources(page));
	begin_text(&t);
	page_html(t.out, c.w, page, c.span);
	answer(x, HTTP_HTML, &t);
}

static void on_icon(struct http_exchange *x)
{
	http_reply(x, 200, HTTP_SVG, page_icon, strlen(page_icon));
}

static void on_chart(struct http_exchange *x)
{
	static const char *const alls[] = { "0", "1", NULL };
	struct choice c;
	struct text t;
	size_t len = strcspn(x->request->path + 1, ".");
	enum chart_id id = 0;
	while (id < CHARTS - 1 &&
	       (strlen(chart_name(id)) != len || strncmp(chart_name(id), x->request->path + 1, len) != 0))
		id++;
	int of_all = choose_all(x, &c) ? choose(x, "all", alls, "all is 0 or 1") : -1;
	if (of_all < 0)
		return;
	watched_look(c.w, chart_sources(id));
	begin_text(&t);
	chart_write(t.out, c.w, id, c.span, false, of_all == 1);
	answer(x, HTTP_SVG, &t);
}

/* --- for programs ------------------------------------------------------------------------------------------------- */

static void on_json(struct http_exchange *x)
{
	struct choice c;
	struct text t;
	if (!choose_all(x, &c))
		return;
	watched_look(c.w, c.with & ~WITH_LIMITS);
	begin_text(&t);
	put_record(t.out, &c);
	answer(x, HTTP_JSON, &t);
}

static void on_metrics(struct http_exchange *x)
{
	struct procmon *m = procmon_of(x);
	struct text t;
	unsigned with;
	if (!choose_with(x, &with))
		return;
	for (struct watched *w = m->first; w != NULL; w = w->next)
		watched_look(w, with & ~WITH_LIMITS);
	begin_text(&t);
	procmon_metrics(t.out, m);
	answer(x, HTTP_METRICS, &t);
}

static void on_csv(struct http_exchange *x)
{
	struct choice c;
	struct text t;
	if (!choose_all(x, &c))
		return;
	begin_text(&t);
	watched_csv(t.out, c.w, c.span);
	answer(x, HTTP_CSV, &t);
}

/* --- streams ------------------------------------------------------------------------------------------------------ */

static struct viewer *viewer_of(struct http_hold *hold)
{
	return CONTAINER_OF(hold, struct viewer, hold);
}

static void on_gone(struct http_hold *hold)
{
	struct viewer *v = viewer_of(hold);
	*v->link = v->next;
	if (v->next != NULL)
		v->next->link = v->link;
	free(v);
}

static void on_low(struct http_hold *hold)
{
	viewer_of(hold)->is_full = false;
}

static void send_event(struct viewer *v)
{
	struct text t;
	begin_text(&t);
	if (v->as_html)
		page_main(t.out, v->choice.w, v->choice.page, v->choice.span);
	else
		put_record(t.out, &v->choice);
	fclose(t.out);
	v->is_full = !http_stream_event(v->hold.x, t.p);
	v->sent_ns = clk_mono_ns();
	free(t.p);
}

static unsigned sources_of(const struct viewer *v)
{
	return v->as_html ? page_sources(v->choice.page) : v->choice.with & ~WITH_LIMITS;
}

static bool is_too_soon(const struct viewer *v)
{
	return v->as_html && clk_mono_ns() - v->sent_ns < (uint64_t)HTML_EVERY_MS * NS_PER_MS;
}

void routes_sampled(struct routes *routes)
{
	struct viewer *next;
	for (struct viewer *v = routes->viewers; v != NULL; v = next) {
		next = v->next;
		watched_look(v->choice.w, sources_of(v));
		if (!v->is_full && !is_too_soon(v))
			send_event(v);
	}
}

static void begin_stream(struct http_exchange *x, const struct choice *c, bool as_html)
{
	struct routes *routes = x->user;
	struct viewer *v = xcalloc(1, sizeof(*v));
	*v = (struct viewer){ .routes = routes, .choice = *c, .as_html = as_html, .next = routes->viewers };
	http_stream_begin(x, HTTP_EVENTS);
	http_hold(x, &v->hold, on_gone, on_low);
	if (v->hold.x == NULL) { /* HEAD: it is over already */
		free(v);
		return;
	}
	v->link = &routes->viewers;
	if (v->next != NULL)
		v->next->link = &v->next;
	routes->viewers = v;
	watched_look(v->choice.w, sources_of(v));
	send_event(v);
}

static void on_stream(struct http_exchange *x)
{
	static const char *const forms[] = { "json", "html", NULL };
	static const char *const pages[] = { "overview", "threads", "files",   "sockets", "maps",
					     "limits",   "cmdline", "environ", NULL };
	struct choice c;
	if (!choose_all(x, &c))
		return;
	int as = choose(x, "as", forms, "as is json or html");
	int page = as >= 0 ? choose(x, "page", pages, "there is no such page") : -1;
	if (page < 0)
		return;
	c.page = (enum page)page;
	if (is_allowed(procmon_of(x), c.page))
		begin_stream(x, &c, as == 1);
	else
		http_fail(x, 403, "the environment is shown only with --allow-environ");
}

/* --- marks -------------------------------------------------------------------------------------------------------- */

/* Back to where the form was: its hidden fields say which page, which process, which span. */
static void go_back(struct http_exchange *x, const char *form)
{
	char page[16], pid[16], span[8], path[64];
	const char *where = "/";
	for (enum page p = 0; http_query(form, "page", page, sizeof(page)) > 0 && p < PAGES; p++) {
		if (strcmp(page_path(p), page) == 0)
			where = page_path(p);
	}
	bool has_pid = http_query(form, "pid", pid, sizeof(pid)) > 0 && strspn(pid, "0123456789") == strlen(pid);
	bool is_long = http_query(form, "span", span, sizeof(span)) > 0 && strcmp(span, "2h") == 0;
	snprintf(path, sizeof(path), "%s?%s%s%sspan=%s", where, has_pid ? "pid=" : "", has_pid ? pid : "",
		 has_pid ? "&" : "", is_long ? "2h" : "10m");
	http_redirect(x, path);
}

/* A program, which says ?label=, needs no page. */
static void on_mark(struct http_exchange *x)
{
	char label[MARK_LABEL * 4];
	const char *form = x->request->body_len > 0 ? x->request->body : NULL;
	int found = http_query(x->request->query, "label", label, sizeof(label));
	bool is_form = found == 0 && form != NULL;
	if (is_form)
		found = http_query(form, "label", label, sizeof(label));
	if (found <= 0 || label[0] == '\0') {
		http_fail(x, 400,
			  found < 0 ? "the label is too long, or not encoded as %41 and +"
				    : "a mark needs a label: /mark?label=TEXT");
		return;
	}
	procmon_mark(procmon_of(x), label);
	if (is_form)
		go_back(x, form);
	else
		http_no_content(x);
}

/* --- start and stop ----------------------------------------------------------------------------------------------- */

/* clang-format off */
static const struct http_route table[] = {
	{ "/", HTTP_GET, on_page },           { "/threads", HTTP_GET, on_page },     { "/files", HTTP_GET, on_page },
	{ "/sockets", HTTP_GET, on_page },    { "/maps", HTTP_GET, on_page },        { "/limits", HTTP_GET, on_page },
	{ "/cmdline", HTTP_GET, on_page },    { "/environ", HTTP_GET, on_page },     { "/icon.svg", HTTP_GET, on_icon },
	{ "/cpu.svg", HTTP_GET, on_chart },   { "/memory.svg", HTTP_GET, on_chart }, { "/threads.svg", HTTP_GET, on_chart },
	{ "/switches.svg", HTTP_GET, on_chart }, { "/faults.svg", HTTP_GET, on_chart }, { "/io.svg", HTTP_GET, on_chart },
	{ "/sockets.svg", HTTP_GET, on_chart },  { "/queues.svg", HTTP_GET, on_chart },
	{ "/json", HTTP_GET, on_json },       { "/metrics", HTTP_GET, on_metrics },  { "/csv", HTTP_GET, on_csv },
	{ "/stream", HTTP_GET, on_stream },   { "/mark", HTTP_POST, on_mark },
};
/* clang-format on */

struct routes *routes_start(struct procmon *m, int listen_fd, const char *const *names)
{
	struct routes *routes = xcalloc(1, sizeof(*routes));
	struct httpd_options o = { .routes = table, .n_routes = COUNT_OF(table), .names = names, .user = routes };
	routes->m = m;
	routes->httpd = httpd_start(m->reactor, listen_fd, &o);
	if (routes->httpd == NULL) {
		int err = errno;
		free(routes);
		errno = err;
		return NULL;
	}
	return routes;
}

void routes_stop(struct routes *routes)
{
	if (routes == NULL)
		return;
	httpd_stop(routes->httpd); /* whoever looks is gone */
	free(routes);
}
