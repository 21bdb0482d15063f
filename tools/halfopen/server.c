/* server.c - the server of halfopen: sends back what it gets, and waits for more. See halfopen.h.
 *
 * It serves many at once, because its lesson is how many of them it keeps that are long gone. With --fixed each
 * connection has keepalive and a user timeout, and those that are gone are noticed. */
#include "halfopen.h"

#include "clock.h"
#include "diag.h"
#include "record.h"
#include "sig.h"
#include "units.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { GUESTS_MAX = 64 };

/* One of its connections. */
struct guest {
	int fd;
	char peer[ADDR_TEXT];
	uint64_t since_ns, heard_ns, bytes;
};

static void report_guest(const struct halfopen_options *o, const struct guest *g, int error)
{
	uint64_t now_ns = clk_mono_ns();
	char text[UNITS_TEXT];
	struct json j;
	if (!o->stage.json) {
		printf("%s: %" PRIu64 " bytes; %s, %s after the last of them\n", g->peer, g->bytes,
		       error == 0 ? "its end" : strerror(error), units_duration(text, now_ns - g->heard_ns));
		return;
	}
	record_begin(&j, "connection");
	json_str(&j, "peer", g->peer);
	json_u64(&j, "bytes", g->bytes);
	json_u64(&j, "elapsed_ns", now_ns - g->since_ns);
	json_u64(&j, "silent_ns", now_ns - g->heard_ns);
	json_str(&j, "errno", stage_symbol(error));
	json_end(&j);
}

/* Sends back what there is. A guest that does not take it is as good as gone: nothing is kept for it. */
static void serve_guest(const struct halfopen_options *o, struct guest *g)
{
	char buffer[4096];
	ssize_t n = recv(g->fd, buffer, sizeof(buffer), MSG_DONTWAIT);
	tracef("recv(%d) = %zd", g->fd, n);
	if (n > 0) {
		g->heard_ns = clk_mono_ns();
		g->bytes += (uint64_t)n;
		n = send(g->fd, buffer, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL) == n ? n : -1;
	}
	int error = n < 0 ? errno : 0;
	if (n > 0)
		return;
	report_guest(o, g, error);
	if (error != 0)
		sock_abort(g->fd);
	else
		close(g->fd);
	g->fd = -1;
}

static void welcome(const struct halfopen_options *o, int listen_fd, struct guest *guests)
{
	struct addr peer = { .len = sizeof(peer.u) };
	int fd = accept4(listen_fd, &peer.u.sa, &peer.len, SOCK_CLOEXEC);
	tracef("accept4(%d) = %d", listen_fd, fd);
	if (fd < 0) {
		if (errno != EAGAIN && errno != ECONNABORTED)
			warnf_errno("accept");
		clk_sleep_until_ns(clk_mono_ns() + NS_PER_MS);
		return;
	}
	struct guest *g = guests;
	while (g->fd >= 0)
		g++;
	*g = (struct guest){ .fd = fd, .since_ns = clk_mono_ns(), .heard_ns = clk_mono_ns() };
	addr_text(&peer, g->peer);
	halfopen_take_care(o, fd, o->fixed ? BOTH : NO_CARE);
}

/* Until a signal comes; with -1 also when nobody is left. How many came; how many are left, as far as it knows, in
 * *left. */
static uint64_t serve_guests(const struct halfopen_options *o, int listen_fd, struct guest *guests, unsigned *left)
{
	struct pollfd fds[GUESTS_MAX + 1];
	uint64_t connections = 0;
	for (;;) {
		*left = 0;
		for (size_t i = 0; i < GUESTS_MAX; i++) {
			fds[i] = (struct pollfd){ .fd = guests[i].fd, .events = POLLIN };
			*left += guests[i].fd >= 0;
		}
		if (o->stage.one_off && connections > 0 && *left == 0)
			return connections;
		fds[GUESTS_MAX] = (struct pollfd){ .fd = *left < GUESTS_MAX ? listen_fd : -1, .events = POLLIN };
		int n = sig_wait(fds, GUESTS_MAX + 1, CLK_NEVER);
		if (n <= 0 && sig_pending(NULL) != 0)
			return connections;
		for (size_t i = 0; i < GUESTS_MAX; i++)
			if (guests[i].fd >= 0 && fds[i].revents != 0)
				serve_guest(o, &guests[i]);
		if (fds[GUESTS_MAX].revents != 0) {
			welcome(o, listen_fd, guests);
			connections++;
		}
	}
}

int halfopen_serve(const struct halfopen_options *o)
{
	struct guest guests[GUESTS_MAX];
	char text[ADDR_TEXT];
	unsigned left = 0;
	struct json j;
	for (size_t i = 0; i < GUESTS_MAX; i++)
		guests[i].fd = -1;
	int listen_fd = stage_listen(&o->stage, o->stage.port, NULL, text);
	if (listen_fd < 0)
		return 1;
	if (o->stage.json) {
		record_begin(&j, "start");
		json_str(&j, "role", "server");
		json_str(&j, "listening", text);
		json_bool(&j, "fixed", o->fixed);
		json_end(&j);
	}
	uint64_t connections = serve_guests(o, listen_fd, guests, &left);
	if (!o->stage.json) {
		printf("%" PRIu64 " clients in all, %u of them are still here as far as this host knows\n", connections,
		       left);
	} else {
		record_begin(&j, "total");
		json_str(&j, "role", "server");
		json_u64(&j, "connections", connections);
		json_u64(&j, "still_open", left);
		json_bool(&j, "interrupted", sig_pending(NULL) != 0);
		json_end(&j);
	}
	return sig_exit_status(0);
}
