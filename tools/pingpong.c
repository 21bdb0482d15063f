/* pingpong - how many messages a second go to and fro, on one connection or on ten thousand?
 *
 * Try:       pingpong -s                                  in one terminal; then, in another:
 *            pingpong localhost --time 3                  one message, all the time under way
 *            pingpong localhost -c 1000 --time 3          a thousand of them
 *            pingpong localhost --busy-poll --time 3      what the sleeping costs
 *            TCPLAB_BACKEND=poll pingpong localhost -c 1000 --time 3
 * Look for:  messages/s against connections; the median against the number of connections divided by the rate
 *            (Little's law).
 * Lab:       40-multiplexing.
 *
 * Each connection has one message on its way: the client sends it, the server sends it back, the client sends the next one.
 * So this measures the loop, and not the network: muduo's pingpong does the same. */
#include "args.h"
#include "clock.h"
#include "diag.h"
#include "hist.h"
#include "mem.h"
#include "service.h"
#include "units.h"

#include <stdio.h>
#include <string.h>

enum { PORT = 2008, LEN = 64, LEN_MAX = 16 * 1024 * 1024 };

static struct options {
	struct service_options service;
	uint64_t len;
} opt = { .service = { SERVICE_OPTIONS, .port = PORT }, .len = LEN };

/* --- server ------------------------------------------------------------------------------------------------------ */

static size_t on_question(struct conn *c, const unsigned char *p, size_t n)
{
	if (!conn_write(c, p, n))
		conn_pause(c);
	return n;
}

static void on_low(struct conn *c)
{
	conn_resume(c);
}

static const struct conn_ops server_ops = { .on_data = on_question, .on_low = on_low, .on_closed = session_closed };

/* --- client ------------------------------------------------------------------------------------------------------ */

struct flow {
	struct session session;
	uint64_t sent_ns; /* when the message that is under way was sent */
	uint64_t missing; /* bytes of it that have not come back */
};

struct measure {
	struct service_station station;
	bool is_over; /* --time: what is still under way comes home, and does not count */
	uint64_t messages;
	struct hist rtt;
};

static unsigned char *message;

static struct measure *measure_of(struct session *s)
{
	return (struct measure *)session_station(s);
}

static void send_message(struct session *s, uint64_t now_ns)
{
	struct flow *f = (struct flow *)s;
	f->sent_ns = now_ns;
	f->missing = opt.len;
	conn_write(&s->conn, message, opt.len);
}

static size_t on_answer(struct conn *c, const unsigned char *p, size_t n)
{
	(void)p;
	struct session *s = session_of(c);
	struct flow *f = (struct flow *)s;
	struct measure *m = measure_of(s);
	if (n > f->missing) {
		service_broken(s, "more came back than was sent");
		return n;
	}
	f->missing -= n;
	if (f->missing > 0)
		return n;
	uint64_t now_ns = clk_mono_ns();
	if (!m->is_over) {
		hist_add(&m->rtt, now_ns - f->sent_ns);
		m->messages++;
	}
	if (m->is_over || (opt.service.bytes != 0 && c->bytes_in >= opt.service.bytes))
		conn_finish(c);
	else
		send_message(s, now_ns);
	return n;
}

static void on_client_eof(struct conn *c)
{
	if (!conn_is_finished(c))
		service_broken(session_of(c), "the server ended the connection");
}

static void on_begin(struct session *s)
{
	send_message(s, clk_mono_ns());
}

static const struct conn_ops client_ops = { .on_data = on_answer,
					    .on_eof = on_client_eof,
					    .on_closed = session_closed };

static void on_time(struct session *s)
{
	measure_of(s)->is_over = true;
}

static void report(struct crew *crew, struct json *j)
{
	struct hist all = { 0 };
	const struct measure *m;
	uint64_t messages = 0;
	if (crew_is_server(crew))
		return;
	for (unsigned i = 0; (m = (struct measure *)crew_station(crew, i)) != NULL; i++) {
		hist_merge(&all, &m->rtt);
		messages += m->messages;
	}
	uint64_t p50 = hist_quantile(&all, 0.5), p99 = hist_quantile(&all, 0.99);
	double per_s = (double)messages * 1e9 / (double)crew_elapsed_ns(crew);
	if (j != NULL) {
		json_u64(j, "messages", messages);
		json_f64(j, "messages_per_s", per_s);
		json_u64(j, "length", opt.len);
		json_u64(j, "rtt_min_ns", all.min);
		json_u64(j, "rtt_p50_ns", p50);
		json_u64(j, "rtt_p90_ns", hist_quantile(&all, 0.9));
		json_u64(j, "rtt_p99_ns", p99);
		json_u64(j, "rtt_max_ns", all.max);
		json_f64(j, "rtt_mean_ns", hist_mean(&all));
		return;
	}
	char least[UNITS_TEXT], median[UNITS_TEXT], late[UNITS_TEXT], most[UNITS_TEXT];
	printf("%llu messages of %llu bytes: %.0f messages/s; there and back: min %s, p50 %s, p99 %s, max %s\n",
	       (unsigned long long)messages, (unsigned long long)opt.len, per_s, units_duration(least, all.min),
	       units_duration(median, p50), units_duration(late, p99), units_duration(most, all.max));
}

/* --- main -------------------------------------------------------------------------------------------------------- */

static const struct service pingpong = {
	.name = "pingpong",
	.server_len = sizeof(struct session),
	.client_len = sizeof(struct flow),
	.station_len = sizeof(struct measure),
	.server = &server_ops,
	.client = &client_ops,
	.on_begin = on_begin,
	.on_time = on_time,
	.stops_at_time = true,
	.report = report,
};

static const char *const synopsis[] = { "-s [-p PORT] [options]", "HOST [-c CONNS] [-l LEN] [--time D] [options]",
					NULL };

static const char *const about[] = {
	"pingpong sends a message on each of its connections, waits until the server has sent it back, and sends the next: a "
	"measure of what a loop costs for each message, with any number of connections.",
	"It prints messages and MiB each second and percentiles of the time there and back. The clock starts when all connections stand. "
	"The server listens on 127.0.0.1 unless --bind says otherwise; any echo server will do.",
	NULL,
};

static const struct arg_example examples[] = {
	{ "pingpong -s", "serve on port 2008 of 127.0.0.1" },
	{ "pingpong localhost -c 1000 -l 4K --time 5", "a thousand connections, 4 KiB each" },
	{ "pingpong localhost --busy-poll", "never sleep: the least latency" },
	{ 0 },
};

/* clang-format off */
static const struct arg rows[] = {
	SERVICE_ROLE_ROWS(opt.service),
	{ 'l', "length", ARG_SIZE, &opt.len, 1, LEN_MAX, "LEN", "bytes in a message" },
	{ '\0', "busy-poll", ARG_FLAG, &opt.service.busy_poll, .help = "never sleep while waiting (both roles): a whole processor for less latency" },
	SERVICE_SERVER_ROWS(opt.service),
	SERVICE_CLIENT_ROWS(opt.service),
	SERVICE_COMMON_ROWS(opt.service),
	{ 0 },
};
/* clang-format on */

static const struct arg_spec spec = {
	.tool = "pingpong",
	.one_line = "counts messages that go to and fro, on many connections",
	.synopsis = synopsis,
	.about = about,
	.args = rows,
	.examples = examples,
	.see_also = "tcplab-echo(1), tcplab-roundtrip(1).",
};

int main(int argc, char **argv)
{
	diag_tool = "pingpong";
	setvbuf(stdout, NULL, _IOLBF, 0);
	int first = args_parse(&spec, argc, argv);
	const char *host = service_check(&opt.service, argv + first);
	service_check_limits(&opt.service, false);
	if (opt.service.server)
		return service_serve(&pingpong, &opt.service);
	message = xcalloc(1, opt.len);
	return service_connect(&pingpong, &opt.service, host);
}
