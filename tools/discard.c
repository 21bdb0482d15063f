/* discard - reads and throws away (RFC 863), as fast as it can or as slowly as you like; the client sends.
 *
 * Try:       discard -s                           in one terminal; then, in another:
 *            discard localhost --time 3           how fast?
 *            discard -s --rate 1MB/s --rcvbuf 64K a slow reader: watch its window close with `ss -ti`
 *            ttcp -t localhost -p 2009 --mode raw any sender of bare bytes will do
 * Look for:  the rate; and with --rate how the sender is held back by the window (zero window, RFC 9293 3.8.6).
 * Lab:       13-slow-reader.
 *
 * Nobody looks at the bytes, so they are dropped inside the kernel and never copied (conn.h: no on_data). */
#include "args.h"
#include "asker.h"
#include "clock.h"
#include "diag.h"
#include "service.h"

#include <stdio.h>
#include <string.h>

enum {
	PORT = 2009,
	CHUNK = 1024 * 1024, /* offered to the kernel at once */
	DATAGRAM = 512,
};

static struct options {
	struct service_options service;
	uint64_t rate_Bps;
} opt = { .service = { SERVICE_OPTIONS, .port = PORT } };

struct flow {
	struct session session;
	uint64_t start_ns;
	uint64_t offset; /* the client: sent so far */
	struct timer pace;
};

static struct flow *flow_of(struct conn *c)
{
	return (struct flow *)session_of(c);
}

/* --- server ------------------------------------------------------------------------------------------------------ */

static const struct conn_ops fast_ops = { .on_closed = session_closed };

static void on_due(struct timer *t)
{
	conn_resume(&CONTAINER_OF(t, struct flow, pace)->session.conn);
}

/* With --rate: after each read wait until the clock has caught up. Meanwhile nobody reads, and the window closes. */
static size_t on_data_slow(struct conn *c, const unsigned char *p, size_t n)
{
	(void)p;
	struct flow *f = flow_of(c);
	uint64_t due_ns = f->start_ns + (uint64_t)((double)c->bytes_in * 1e9 / (double)opt.rate_Bps);
	if (due_ns > reactor_now_ns(c->watch.r)) {
		conn_pause(c);
		reactor_timer_start(c->watch.r, &f->pace, due_ns, on_due);
	}
	return n;
}

static void on_slow_closed(struct conn *c, int err)
{
	reactor_timer_stop(c->watch.r, &flow_of(c)->pace);
	session_closed(c, err);
}

static const struct conn_ops slow_ops = { .on_data = on_data_slow, .on_closed = on_slow_closed };

static void on_accept(struct session *s)
{
	((struct flow *)s)->start_ns = reactor_now_ns(s->conn.watch.r);
}

static ssize_t no_answer(struct udp *u, const unsigned char *q, size_t n, unsigned char *out)
{
	(void)u, (void)q, (void)n, (void)out;
	return -1;
}

/* --- client ------------------------------------------------------------------------------------------------------ */

static unsigned char payload[CHUNK];

static void send_more(struct conn *c)
{
	struct flow *f = flow_of(c);
	uint64_t left = opt.service.bytes != 0 ? opt.service.bytes - f->offset : CHUNK;
	f->offset += conn_offer(c, payload, left < CHUNK ? (size_t)left : CHUNK);
	if (opt.service.bytes != 0 && f->offset == opt.service.bytes)
		conn_finish(c);
}

static void on_begin(struct session *s)
{
	send_more(&s->conn);
}

/* Our FIN, and then the server's: so we know that all of it was read. */
static void on_time(struct session *s)
{
	conn_finish(&s->conn);
}

/* A server that ends first has not read everything. */
static void on_client_eof(struct conn *c)
{
	if (!conn_is_finished(c))
		service_broken(session_of(c), "the server ended before we had sent everything");
}

static const struct conn_ops client_ops = {
	.on_eof = on_client_eof,
	.on_low = send_more,
	.on_closed = session_closed,
};

static size_t ask(unsigned char *q, uint64_t number)
{
	(void)number;
	memcpy(q, payload, DATAGRAM);
	return DATAGRAM;
}

/* --- main -------------------------------------------------------------------------------------------------------- */

static struct service discard = {
	.name = "discard",
	.server_len = sizeof(struct flow),
	.client_len = sizeof(struct flow),
	.station_len = sizeof(struct service_station),
	.server_counts_in = true,
	.client_counts_out = true,
	.server = &fast_ops,
	.on_accept = on_accept,
	.answer = no_answer,
	.client = &client_ops,
	.on_begin = on_begin,
	.on_time = on_time,
};

static const char *const synopsis[] = { "-s [-p PORT] [options]", "HOST [-p PORT] [--bytes SIZE | --time D] [options]",
					NULL };

static const char *const about[] = {
	"discard reads whatever comes and throws it away (RFC 863): the other end of a bandwidth test. As a client it sends as fast "
	"as it can, for a time or a number of bytes, and then waits until the server has read all of it.",
	"--rate makes the server a slow reader: its receive buffer fills, its window closes, and the sender has to wait. It listens on "
	"127.0.0.1 unless --bind says otherwise. Datagrams are read and never answered.",
	NULL,
};

static const struct arg_example examples[] = {
	{ "discard -s", "serve on port 2009 of 127.0.0.1, TCP and UDP" },
	{ "discard localhost --time 3 -c 4", "send on four connections for three seconds" },
	{ "discard -s --rate 1MB/s --rcvbuf 64K", "a slow reader with a small window" },
	{ 0 },
};

/* clang-format off */
static const struct arg rows[] = {
	SERVICE_ROLE_ROWS(opt.service),
	SERVICE_SERVER_ROWS(opt.service),
	{ '\0', "rate", ARG_RATE, &opt.rate_Bps, 1, 0, "RATE", "read so much each second from each connection" },
	SERVICE_CLIENT_ROWS(opt.service),
	SERVICE_UDP_ROWS(opt.service),
	SERVICE_COMMON_ROWS(opt.service),
	{ 0 },
};
/* clang-format on */

static const struct arg_spec spec = {
	.tool = "discard",
	.one_line = "reads and throws away, fast or slowly (RFC 863)",
	.synopsis = synopsis,
	.about = about,
	.args = rows,
	.examples = examples,
	.see_also = "tcplab-chargen(1), tcplab-ttcp(1). RFC 863.",
};

int main(int argc, char **argv)
{
	diag_tool = "discard";
	setvbuf(stdout, NULL, _IOLBF, 0);
	int first = args_parse(&spec, argc, argv);
	const char *host = service_check(&opt.service, argv + first);
	if (!opt.service.server && opt.rate_Bps != 0)
		args_misuse("--rate is for -s");
	service_check_limits(&opt.service, false);
	if (opt.rate_Bps != 0)
		discard.server = &slow_ops;
	memset(payload, '.', sizeof(payload));
	if (opt.service.server)
		return service_serve(&discard, &opt.service);
	return opt.service.udp ? asker_run(&opt.service, host, ask, NULL, NULL)
			       : service_connect(&discard, &opt.service, host);
}
