/* pingpong-libuv.c - a peer for scripts/bench/loop: the same ping-pong on libuv, both roles.
 *
 * As its users write it: one loop, a uv_tcp_t for each connection, one receive buffer for all of them (what has been read is
 * used up in the callback), uv_try_write first and uv_write for what the kernel did not take. */
#include "pingpong-peer.h"

#include "clock.h"
#include "diag.h"
#include "mem.h"

#include <stdlib.h>
#include <string.h>
#include <uv.h>

static _Alignas(4096) char buffer[PEER_BUFFER], message[PEER_BUFFER]; /* WHY aligned: see xmalloc_pages */
static struct peer_options options;
static struct peer_run run;

/* A connection of the server is a bare uv_tcp_t. */
struct client {
	uv_tcp_t tcp; /* the first member: one pointer for both */
	size_t got;
	uint64_t sent_ns;
};

/* What uv_try_write left over. */
struct rest {
	uv_write_t request;
	char bytes[];
};

static void must(int result, const char *what)
{
	if (result < 0)
		die("%s: %s", what, uv_strerror(result));
}

static void lend_buffer(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
	(void)handle, (void)suggested;
	*buf = uv_buf_init(buffer, sizeof(buffer));
}

static void drop(uv_handle_t *handle)
{
	free(handle);
}

static void on_written(uv_write_t *request, int status)
{
	if (status < 0 && !uv_is_closing((uv_handle_t *)request->handle))
		uv_close((uv_handle_t *)request->handle, drop);
	free(CONTAINER_OF(request, struct rest, request));
}

static void send_bytes(uv_stream_t *stream, const char *p, size_t n)
{
	uv_buf_t buf = uv_buf_init((char *)p, (unsigned)n);
	int done = uv_try_write(stream, &buf, 1);
	if (done == (int)n)
		return;
	size_t left = n - (done > 0 ? (size_t)done : 0);
	struct rest *rest = xmalloc(sizeof(*rest) + left);
	memcpy(rest->bytes, p + n - left, left);
	buf = uv_buf_init(rest->bytes, (unsigned)left);
	must(uv_write(&rest->request, stream, &buf, 1, on_written), "uv_write");
}

/* --- server ------------------------------------------------------------------------------------------------------ */

static void echo(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	if (n > 0)
		send_bytes(stream, buf->base, (size_t)n);
	else if (n < 0 && !uv_is_closing((uv_handle_t *)stream))
		uv_close((uv_handle_t *)stream, drop);
}

static void on_connection(uv_stream_t *listener, int status)
{
	must(status, "accept");
	uv_tcp_t *tcp = xmalloc(sizeof(*tcp));
	uv_tcp_init(listener->loop, tcp);
	must(uv_accept(listener, (uv_stream_t *)tcp), "uv_accept");
	must(uv_read_start((uv_stream_t *)tcp, lend_buffer, echo), "uv_read_start");
}

static void serve(uv_loop_t *loop)
{
	static uv_tcp_t listener;
	uv_tcp_init(loop, &listener);
	must(uv_tcp_open(&listener, peer_listen(&options)), "uv_tcp_open");
	must(uv_listen((uv_stream_t *)&listener, SOMAXCONN, on_connection), "uv_listen");
	uv_run(loop, UV_RUN_DEFAULT);
}

/* --- client ------------------------------------------------------------------------------------------------------ */

static void on_answer(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	struct client *c = (struct client *)stream;
	(void)buf;
	if (n < 0)
		die("read: %s", uv_strerror((int)n));
	c->got += (size_t)n;
	if (c->got < options.len)
		return;
	c->got = 0;
	c->sent_ns = peer_count(&run, c->sent_ns);
	send_bytes(stream, message, options.len);
}

static void bounce(uv_loop_t *loop)
{
	struct client *clients = xcalloc(options.conns, sizeof(*clients));
	for (unsigned i = 0; i < options.conns; i++) {
		uv_tcp_init(loop, &clients[i].tcp);
		must(uv_tcp_open(&clients[i].tcp, peer_connect(&options)), "uv_tcp_open");
		must(uv_read_start((uv_stream_t *)&clients[i].tcp, lend_buffer, on_answer), "uv_read_start");
	}
	peer_start(&run, &options);
	for (unsigned i = 0; i < options.conns; i++) {
		clients[i].sent_ns = clk_mono_ns();
		send_bytes((uv_stream_t *)&clients[i].tcp, message, options.len);
	}
	uv_run(loop, UV_RUN_DEFAULT);
}

int main(int argc, char **argv)
{
	options = peer_parse("pingpong-libuv", uv_version_string(), argc, argv);
	if (options.server)
		serve(uv_default_loop());
	else
		bounce(uv_default_loop());
	return 1;
}
