/* echo - sends back what comes (RFC 862), and the client checks that it all comes back.
 *
 * Try:       echo -s                               in one terminal; then, in another:
 *            nc localhost 2007                     type, end with ^D: the half-close comes back, too
 *            echo localhost --bytes 1G             a gigabyte there and back, every byte checked
 *            echo localhost -c 1000 --time 2       a thousand connections at once
 * Look for:  on_data and on_low of the server, ten lines: what backpressure is.
 * Labs:      15-echo-deadlock shows what happens without it at the client.
 *
 * A client that sends and does not read fills our send buffer, then our queue up to HIGH; from there on we do not read
 * from him, his window closes, and he waits. Nobody else notices. */
#include "args.h"
#include "asker.h"
#include "clock.h"
#include "diag.h"
#include "io.h"
#include "mem.h"
#include "prng.h"
#include "service.h"

#include <stdio.h>
#include <string.h>

enum {
	PORT = 2007,
	LOW = 16 * 1024,
	HIGH = 64 * 1024,   /* bytes queued for a client that does not read */
	CHUNK = 256 * 1024, /* offered to the kernel at once */
	PERIOD = 65521,     /* of the payload; prime, so that a block moved by a round number is seen */
	DATAGRAM = 512,
};

static struct options {
	struct service_options service;
	uint64_t length;
} opt = { .service = { SERVICE_OPTIONS, .port = PORT }, .length = DATAGRAM };

/* --- server ------------------------------------------------------------------------------------------------------ */

static size_t on_data(struct conn *c, const unsigned char *p, size_t n)
{
	if (!conn_write(c, p, n))
		conn_pause(c);
	return n;
}

static void on_low(struct conn *c)
{
	conn_resume(c);
}

/* on_eof is not set: what is queued goes out, then our FIN. That is how a half-close is answered. */
static const struct conn_ops server_ops = { .on_data = on_data, .on_low = on_low, .on_closed = session_closed };

static void on_accept(struct session *s)
{
	conn_set_marks(&s->conn, LOW, HIGH);
}

static ssize_t answer(struct udp *u, const unsigned char *q, size_t n, unsigned char *out)
{
	(void)u;
	memcpy(out, q, n);
	return (ssize_t)n;
}

/* --- client ------------------------------------------------------------------------------------------------------ */

struct flow {
	struct session session;
	uint64_t sent, received;
};

struct findings {
	struct service_station station;
	bool is_wrong;
};

/* Random bytes that repeat after PERIOD, a chunk longer than that. */
static unsigned char *payload;

static void make_payload(void)
{
	payload = xmalloc_pages(PERIOD + CHUNK);
	prng_fill(862, 0, payload, PERIOD);
	for (size_t at = PERIOD; at < PERIOD + CHUNK; at++)
		payload[at] = payload[at - PERIOD];
}

static struct flow *flow_of(struct conn *c)
{
	return (struct flow *)session_of(c);
}

static void send_more(struct conn *c)
{
	struct flow *f = flow_of(c);
	uint64_t left = opt.service.bytes != 0 ? opt.service.bytes - f->sent : CHUNK;
	f->sent += conn_offer(c, payload + f->sent % PERIOD, left < CHUNK ? (size_t)left : CHUNK);
	if (opt.service.bytes != 0 && f->sent == opt.service.bytes)
		conn_finish(c);
}

static void on_begin(struct session *s)
{
	send_more(&s->conn);
}

static void on_time(struct session *s)
{
	conn_finish(&s->conn);
}

static size_t on_echo(struct conn *c, const unsigned char *p, size_t n)
{
	struct flow *f = flow_of(c);
	const unsigned char *wanted = payload + f->received % PERIOD;
	size_t at = 0;
	if (f->received + n > f->sent || memcmp(p, wanted, n) != 0) {
		while (at < n && f->received + at < f->sent && p[at] == wanted[at])
			at++;
		((struct findings *)session_station(&f->session))->is_wrong = true;
		service_wrong(&f->session, "byte %llu of what came back", (unsigned long long)(f->received + at));
		return n;
	}
	f->received += n;
	return n;
}

/* The server ends after it has seen our FIN and sent everything back. */
static void on_client_eof(struct conn *c)
{
	struct flow *f = flow_of(c);
	if (!conn_is_finished(c) || f->received < f->sent)
		service_broken(&f->session, "the server ended before everything had come back");
}

static const struct conn_ops client_ops = {
	.on_data = on_echo,
	.on_eof = on_client_eof,
	.on_low = send_more,
	.on_closed = session_closed,
};

static void report(struct crew *crew, struct json *j)
{
	const struct findings *found;
	bool is_wrong = false;
	if (crew_is_server(crew))
		return;
	for (unsigned i = 0; (found = (struct findings *)crew_station(crew, i)) != NULL; i++)
		is_wrong |= found->is_wrong;
	if (j != NULL)
		json_bool(j, "verified", !is_wrong);
	else if (!is_wrong)
		printf("every byte came back\n");
}

static size_t ask(unsigned char *q, uint64_t number)
{
	memcpy(q, payload + number % PERIOD, opt.length);
	return opt.length;
}

static const char *check(const unsigned char *q, size_t n, const unsigned char *a, size_t len)
{
	return len == n && memcmp(q, a, n) == 0 ? NULL : "it is not the question";
}

/* --- main -------------------------------------------------------------------------------------------------------- */

static const struct service echo = {
	.name = "echo",
	.server_len = sizeof(struct session),
	.client_len = sizeof(struct flow),
	.station_len = sizeof(struct findings),
	.server = &server_ops,
	.on_accept = on_accept,
	.answer = answer,
	.client = &client_ops,
	.on_begin = on_begin,
	.on_time = on_time,
	.report = report,
};

static const char *const synopsis[] = { "-s [-p PORT] [options]", "HOST [-p PORT] [--bytes SIZE | --time D] [options]",
					NULL };

static const char *const about[] = {
	"echo sends back whatever comes (RFC 862). A client that does not read is not read from either; one that half-closes gets "
	"the rest and then the server's end. As a client it sends as fast as it goes and checks every byte that comes back.",
	"By UDP each datagram is sent back, but not to ports below 1024 or to sources that ask too often. The server listens on "
	"127.0.0.1 unless --bind says otherwise.",
	NULL,
};

static const struct arg_example examples[] = {
	{ "echo -s", "serve on port 2007 of 127.0.0.1, TCP and UDP" },
	{ "echo localhost --bytes 1G", "a gigabyte there and back, verified" },
	{ "echo -u localhost -n 10 --length 1400", "ten datagrams" },
	{ 0 },
};

static const struct arg_example statuses[] = {
	{ "3", "something else came back" },
	{ 0 },
};

/* clang-format off */
static const struct arg rows[] = {
	SERVICE_ROLE_ROWS(opt.service),
	SERVICE_SERVER_ROWS(opt.service),
	SERVICE_CLIENT_ROWS(opt.service),
	SERVICE_UDP_ROWS(opt.service),
	{ 'l', "length", ARG_SIZE, &opt.length, 0, 65507, "LEN", "UDP: bytes in a datagram" },
	SERVICE_COMMON_ROWS(opt.service),
	{ 0 },
};
/* clang-format on */

static const struct arg_spec spec = {
	.tool = "echo",
	.one_line = "sends back what comes, and checks it (RFC 862)",
	.synopsis = synopsis,
	.about = about,
	.args = rows,
	.examples = examples,
	.exit_statuses = statuses,
	.see_also = "tcplab-pingpong(1), tcplab-discard(1). RFC 862.",
};

int main(int argc, char **argv)
{
	diag_tool = "echo";
	setvbuf(stdout, NULL, _IOLBF, 0);
	int first = args_parse(&spec, argc, argv);
	const char *host = service_check(&opt.service, argv + first);
	service_check_limits(&opt.service, false);
	make_payload();
	if (opt.service.server)
		return service_serve(&echo, &opt.service);
	return opt.service.udp ? asker_run(&opt.service, host, ask, check, NULL)
			       : service_connect(&echo, &opt.service, host);
}
