/* control.c - linkem, fourth chapter: orders from outside. Whoever sends them is a program of the same user, but may be
 * wrong in any way: each request is bounded, and a client that does not read its answers loses them. */
#include "control.h"

#include "clock.h"
#include "mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct control_client {
	struct control_client *next;
	struct control *control;
	struct acceptor *acceptor; /* that it came from */
	struct watch watch;
	bool is_watching;
	uint64_t missed; /* lines that it did not read in time */
	struct counters before;
};

/* --- answers ------------------------------------------------------------------------------------------------------ */

/* With descriptors, if n > 0. What does not fit into the socket is lost: the client does not read. */
static void answer_with(struct control_client *k, const char *text, size_t len, const int *fds, size_t n)
{
	union {
		struct cmsghdr align;
		unsigned char bytes[CMSG_SPACE(sizeof(int) * CONTROL_FDS)];
	} control = { .bytes = { 0 } };
	struct iovec piece = { .iov_base = (void *)text, .iov_len = len };
	struct msghdr m = { .msg_iov = &piece, .msg_iovlen = 1 };
	if (n > 0) {
		m.msg_control = &control;
		m.msg_controllen = (socklen_t)CMSG_SPACE(sizeof(int) * n);
		struct cmsghdr *c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = (socklen_t)CMSG_LEN(sizeof(int) * n);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * n);
	}
	(void)!sendmsg(k->watch.fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void answer(struct control_client *k, const char *text)
{
	answer_with(k, text, strlen(text), NULL, 0);
}

static void refuse(struct control_client *k, const char *why)
{
	char text[SPEC_WHY + 16];
	snprintf(text, sizeof(text), "error: %s", why);
	answer(k, text);
}

/* "ok" and counters. */
static void answer_counters(struct control_client *k, const struct counters *now, const struct counters *before,
			    bool json)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	if (out == NULL)
		return;
	fputs("ok\n", out);
	if (before == NULL)
		linkem_report_total(out, now, json);
	else if (before->n > 0)
		linkem_report_interval(out, now, before, json);
	fclose(out);
	answer_with(k, text, len, NULL, 0);
	free(text);
}

/* --- requests ----------------------------------------------------------------------------------------------------- */

static void on_stat(struct control_client *k, bool json)
{
	struct counters now;
	engine_count(k->control->engine, &now);
	answer_counters(k, &now, NULL, json);
}

/* The first question has nothing to compare with: its answer is empty. */
static void on_interval(struct control_client *k, bool json)
{
	struct counters now;
	engine_count_interval(k->control->engine, &now);
	answer_counters(k, &now, &k->before, json);
	k->before = now;
}

static void on_set(struct control_client *k, char *words)
{
	struct engine *g = k->control->engine;
	struct spec specs[LINKEM_LANES];
	char why[SPEC_WHY], text[LINKEM_LANES * (SPEC_TEXT + 8) + 8] = "ok\n", *rest = NULL;
	int lane = -1;
	engine_specs(g, specs);
	for (char *word = strtok_r(words, " \n", &rest); word != NULL; word = strtok_r(NULL, " \n", &rest)) {
		if (!linkem_change(specs, &lane, word, why)) {
			refuse(k, why);
			return;
		}
		if (lane >= (int)g->n_ways) {
			refuse(k, "the hop between r and b is not emulated (linkem --r2b, --b2r)");
			return;
		}
	}
	engine_change(g, specs);
	for (unsigned i = 0; i < g->n_ways; i++) {
		char spec[SPEC_TEXT];
		size_t len = strlen(text);
		snprintf(text + len, sizeof(text) - len, "%s  %s\n", linkem_lane_names[i], spec_text(spec, &specs[i]));
	}
	answer(k, text);
}

static void on_join(struct control_client *k, const char *name)
{
	const struct hosts *h = k->control->engine->hosts;
	static const char *const names[LINKEM_HOSTS] = { "a", "b", "r" };
	for (unsigned i = 0; i < LINKEM_HOSTS; i++) {
		if (strcmp(name, names[i]) != 0)
			continue;
		if (h->netns[i] < 0)
			break;
		const int fds[CONTROL_FDS] = { h->mounts, h->pids, h->netns[i], k->control->users };
		answer_with(k, "ok\n", 3, fds, k->control->users < 0 ? 3 : 4);
		return;
	}
	refuse(k, strcmp(name, "r") == 0 ? "there is no router (linkem --router)" : "a host is a, b or r");
}

static void on_down(struct control_client *k, bool json)
{
	on_stat(k, json);
	reactor_stop(k->control->engine->reactor);
}

static void obey(struct control_client *k, char *request)
{
	char *rest = request + strcspn(request, " ");
	bool json = strcmp(rest, " json") == 0;
	if (*rest != '\0')
		*rest++ = '\0';
	if (strcmp(request, "stat") == 0)
		on_stat(k, json);
	else if (strcmp(request, "interval") == 0)
		on_interval(k, json);
	else if (strcmp(request, "set") == 0)
		on_set(k, rest);
	else if (strcmp(request, "join") == 0)
		on_join(k, rest);
	else if (strcmp(request, "down") == 0)
		on_down(k, json);
	else
		refuse(k, "a request is stat, interval, set, join, watch or down");
}

/* --- watchers ----------------------------------------------------------------------------------------------------- */

static void tell_one(struct control_client *k, const char *line, size_t len)
{
	if (k->missed > 0) {
		char text[64];
		int n = snprintf(text, sizeof(text), "(%llu lines were not read in time)\n",
				 (unsigned long long)k->missed);
		if (send(k->watch.fd, text, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
			k->missed++;
			return;
		}
		k->missed = 0;
	}
	if (send(k->watch.fd, line, len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		k->missed++;
}

static void tell_all(void *owner, const char *line, size_t len)
{
	struct control *c = owner;
	if (c->prints)
		fwrite(line, 1, len, stdout);
	for (struct control_client *k = c->clients; k != NULL; k = k->next) {
		if (k->is_watching)
			tell_one(k, line, len);
	}
}

/* Nobody watches: then no packet is decoded for it. */
static void set_watching(struct control *c, int more)
{
	struct diagram *d = &c->engine->diagram;
	c->n_watching += (unsigned)more;
	bool is_wanted = c->prints || c->n_watching > 0;
	if (!is_wanted)
		*d = (struct diagram){ 0 };
	d->tell = is_wanted ? tell_all : NULL;
	d->owner = c;
	d->has_router = c->engine->o->has_router;
}

/* --- clients ------------------------------------------------------------------------------------------------------ */

static void end_client(struct control_client *k)
{
	struct control *c = k->control;
	struct control_client **at = &c->clients;
	int fd = k->watch.fd;
	while (*at != k)
		at = &(*at)->next;
	*at = k->next;
	if (k->is_watching)
		set_watching(c, -1);
	watch_stop(&k->watch);
	close(fd);
	acceptor_release(k->acceptor);
	free(k);
}

static bool on_request(struct watch *w, unsigned events)
{
	(void)events;
	struct control_client *k = CONTAINER_OF(w, struct control_client, watch);
	char request[CONTROL_LEN + 1];
	ssize_t n = recv(w->fd, request, sizeof(request), MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n <= 0) {
		end_client(k);
	} else if (n > CONTROL_LEN || memchr(request, '\0', (size_t)n) != NULL) {
		refuse(k, "a request is text of at most 4096 bytes");
	} else {
		request[n] = '\0';
		if (strcmp(request, "watch") != 0) {
			obey(k, request);
		} else if (!k->is_watching) {
			answer(k, "ok\n");
			k->is_watching = true;
			set_watching(k->control, 1);
		}
	}
	return true;
}

static void on_accept(struct acceptor *a, int fd, const struct addr *peer)
{
	(void)peer;
	struct control *c = reactor_user(a->watch.r);
	struct control_client *k = xcalloc(1, sizeof(*k));
	*k = (struct control_client){ .next = c->clients, .control = c, .acceptor = a };
	if (!control_is_ours(fd) ||
	    watch_start(&k->watch, a->watch.r, fd, WATCH_READ | WATCH_BACKGROUND, on_request) < 0) {
		close(fd);
		free(k);
		acceptor_release(a);
		return;
	}
	c->clients = k;
}

int control_start(struct control *c, struct engine *g, int outside, int users, struct net_error *e)
{
	*c = (struct control){ .engine = g, .users = users, .prints = g->o->diagram };
	reactor_set_user(g->reactor, c);
	for (unsigned i = 0; i < COUNT_OF(c->acceptors); i++) {
		int fd = i == 0 ? outside : g->hosts->listeners[i - 1];
		if (fd < 0)
			continue;
		if (listen(fd, SOMAXCONN) < 0 ||
		    acceptor_start(&c->acceptors[i], g->reactor, fd, CONTROL_CLIENTS, on_accept) < 0)
			return net_fail(e, "listen on", "the control socket");
	}
	set_watching(c, 0);
	return 0;
}
