/* pingpong-libevent.c - a peer for scripts/bench/loop: the same ping-pong on libevent, both roles, in two ways.
 *
 *	(without)   bufferevents: input is moved to output, the library reads and writes
 *	--events    bare events: recv and send in the callback, one receive buffer for all connections
 *
 * The second is what libevent can do, the first is what most of its users write. */
#include "pingpong-peer.h"

#include "clock.h"
#include "diag.h"
#include "mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <event2/listener.h>

static _Alignas(4096) char buffer[PEER_BUFFER], message[PEER_BUFFER]; /* WHY aligned: see xmalloc_pages */
static struct peer_options options;
static struct peer_run run;
static struct event_base *base;

static int connected(void)
{
	int fd = peer_connect(&options);
	evutil_make_socket_nonblocking(fd);
	return fd;
}

/* --- bufferevents ------------------------------------------------------------------------------------------------ */

static void buffer_ended(struct bufferevent *b, short what, void *arg)
{
	(void)what, (void)arg;
	if (!options.server)
		die("a connection has ended");
	bufferevent_free(b);
}

static void buffer_echo(struct bufferevent *b, void *arg)
{
	(void)arg;
	bufferevent_write_buffer(b, bufferevent_get_input(b));
}

static void buffer_answer(struct bufferevent *b, void *arg)
{
	uint64_t *sent_ns = arg;
	struct evbuffer *input = bufferevent_get_input(b);
	while (evbuffer_get_length(input) >= options.len) {
		evbuffer_drain(input, options.len);
		*sent_ns = peer_count(&run, *sent_ns);
		bufferevent_write(b, message, options.len);
	}
}

static struct bufferevent *buffer_start(int fd, bufferevent_data_cb on_data, void *arg)
{
	struct bufferevent *b = bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE);
	if (b == NULL)
		die("bufferevent_socket_new failed");
	bufferevent_setcb(b, on_data, NULL, buffer_ended, arg);
	bufferevent_enable(b, EV_READ | EV_WRITE);
	return b;
}

static void buffer_bounce(void)
{
	struct bufferevent **all = xcalloc(options.conns, sizeof(struct bufferevent *));
	uint64_t *sent_ns = xcalloc(options.conns, sizeof(*sent_ns));
	for (unsigned i = 0; i < options.conns; i++) {
		all[i] = buffer_start(connected(), buffer_answer, &sent_ns[i]);
		bufferevent_setwatermark(all[i], EV_READ, options.len, 0);
	}
	peer_start(&run, &options);
	for (unsigned i = 0; i < options.conns; i++) {
		sent_ns[i] = clk_mono_ns();
		bufferevent_write(all[i], message, options.len);
	}
}

/* --- bare events ------------------------------------------------------------------------------------------------- */

/* One event is armed at a time: readable, or writable while something is left to send. */
struct plain {
	struct event event;
	char *rest; /* what send did not take, or NULL */
	size_t rest_len;
};

struct client {
	struct plain plain; /* the first member: one pointer for both */
	size_t got;
	uint64_t sent_ns;
};

static void plain_readable(evutil_socket_t fd, short what, void *arg);

static void plain_wait(struct plain *p, int fd, short what, event_callback_fn fn)
{
	event_assign(&p->event, base, fd, (short)(what | EV_PERSIST), fn, p);
	if (event_add(&p->event, NULL) < 0)
		die("event_add failed");
}

static void plain_end(struct plain *p, int fd)
{
	if (!options.server)
		die("a connection has ended");
	event_del(&p->event);
	close(fd);
	free(p->rest);
	free(p);
}

static void plain_writable(evutil_socket_t fd, short what, void *arg)
{
	struct plain *p = arg;
	(void)what;
	ssize_t n = send(fd, p->rest, p->rest_len, MSG_NOSIGNAL);
	if (n < 0) {
		if (errno != EAGAIN && errno != EINTR)
			plain_end(p, fd);
		return;
	}
	p->rest_len -= (size_t)n;
	memmove(p->rest, p->rest + n, p->rest_len);
	if (p->rest_len > 0)
		return;
	free(p->rest);
	p->rest = NULL;
	event_del(&p->event);
	plain_wait(p, fd, EV_READ, plain_readable);
}

static void plain_send(struct plain *p, int fd, const char *bytes, size_t len)
{
	ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);
	if (n == (ssize_t)len)
		return;
	if (n < 0 && errno != EAGAIN && errno != EINTR) {
		plain_end(p, fd);
		return;
	}
	p->rest_len = len - (n > 0 ? (size_t)n : 0);
	p->rest = xmalloc(p->rest_len);
	memcpy(p->rest, bytes + len - p->rest_len, p->rest_len);
	event_del(&p->event);
	plain_wait(p, fd, EV_WRITE, plain_writable);
}

static void plain_answer(struct client *c, int fd, size_t n)
{
	c->got += n;
	if (c->got < options.len)
		return;
	c->got = 0;
	c->sent_ns = peer_count(&run, c->sent_ns);
	plain_send(&c->plain, fd, message, options.len);
}

static void plain_readable(evutil_socket_t fd, short what, void *arg)
{
	struct plain *p = arg;
	(void)what;
	ssize_t n = recv(fd, buffer, sizeof(buffer), 0);
	if (n > 0) {
		if (options.server)
			plain_send(p, fd, buffer, (size_t)n);
		else
			plain_answer((struct client *)p, fd, (size_t)n);
	} else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
		plain_end(p, fd);
	}
}

static void plain_bounce(void)
{
	struct client *all = xcalloc(options.conns, sizeof(*all));
	for (unsigned i = 0; i < options.conns; i++)
		plain_wait(&all[i].plain, connected(), EV_READ, plain_readable);
	peer_start(&run, &options);
	for (unsigned i = 0; i < options.conns; i++) {
		all[i].sent_ns = clk_mono_ns();
		plain_send(&all[i].plain, event_get_fd(&all[i].plain.event), message, options.len);
	}
}

/* --- both -------------------------------------------------------------------------------------------------------- */

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *peer, int len, void *arg)
{
	(void)listener, (void)peer, (void)len, (void)arg;
	if (options.events)
		plain_wait(xcalloc(1, sizeof(struct plain)), fd, EV_READ, plain_readable);
	else
		buffer_start(fd, buffer_echo, NULL);
}

int main(int argc, char **argv)
{
	options = peer_parse("pingpong-libevent", event_get_version(), argc, argv);
	base = event_base_new();
	if (base == NULL)
		die("event_base_new failed");
	if (options.server) {
		int fd = peer_listen(&options);
		evutil_make_socket_nonblocking(fd);
		if (evconnlistener_new(base, on_accept, NULL, 0, SOMAXCONN, fd) == NULL)
			die("evconnlistener_new failed");
	} else if (options.events) {
		plain_bounce();
	} else {
		buffer_bounce();
	}
	event_base_dispatch(base);
	return 1;
}
