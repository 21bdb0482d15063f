/* daytime - says what time it is, in words (RFC 867).
 *
 * Try:       daytime -s                  in one terminal; then, in another:
 *            nc localhost 2013           or: daytime localhost; or: daytime -u localhost
 * Look for:  who closes first, and so keeps TIME-WAIT: the server (`ss -tan | grep 2013`).
 *
 * The shortest server there is: a line, and the end. */
#include "args.h"
#include "asker.h"
#include "clock.h"
#include "diag.h"
#include "service.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum {
	PORT = 2013,
	LINE_MAX = 64,
	REPLY_MAX = 1024, /* what a client is ready to print */
};
static const uint64_t LEAVE_NS = UINT64_C(10) * NS_PER_S; /* for a client to close, after our FIN */

static struct service_options opt = { SERVICE_OPTIONS, .port = PORT };

/* RFC 867 leaves the form open; everybody sends what asctime(3) writes, ended by CR LF. */
static size_t make_line(char line[static LINE_MAX])
{
	time_t now = (time_t)(clk_real_ns() / NS_PER_S);
	struct tm tm;
	localtime_r(&now, &tm);
	return strftime(line, LINE_MAX, "%a %b %e %H:%M:%S %Y\r\n", &tm);
}

/* --- server ------------------------------------------------------------------------------------------------------ */

static void on_accept(struct session *s)
{
	char line[LINE_MAX];
	conn_write(&s->conn, line, make_line(line));
	conn_finish(&s->conn);
	conn_set_idle(&s->conn, LEAVE_NS);
}

/* What the client sends is dropped, and when it closes that is the end. */
static const struct conn_ops server_ops = { .on_closed = session_closed };

static ssize_t answer(struct udp *u, const unsigned char *q, size_t n, unsigned char *out)
{
	(void)u, (void)q, (void)n;
	char line[LINE_MAX];
	size_t len = make_line(line);
	memcpy(out, line, len);
	return (ssize_t)len;
}

/* --- client ------------------------------------------------------------------------------------------------------ */

/* A stranger's bytes go to a terminal: nothing but printable characters and the end of the line. */
static void print_clean(const unsigned char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (isprint(p[i]) || p[i] == '\n')
			putchar(p[i]);
		else if (p[i] != '\r')
			putchar('?');
}

static size_t on_line(struct conn *c, const unsigned char *p, size_t n)
{
	if (c->bytes_in > REPLY_MAX)
		service_broken(session_of(c), "it sends more than a line");
	else if (!opt.json)
		print_clean(p, n);
	return n;
}

static void on_client_eof(struct conn *c)
{
	if (c->bytes_in == 0)
		service_broken(session_of(c), "it closed without a word");
	conn_finish(c);
}

static const struct conn_ops client_ops = { .on_data = on_line, .on_eof = on_client_eof, .on_closed = session_closed };

static size_t ask(unsigned char *q, uint64_t number)
{
	(void)q, (void)number;
	return 0; /* RFC 867: any datagram asks, be it empty */
}

static const char *check(const unsigned char *q, size_t n, const unsigned char *a, size_t len)
{
	(void)q, (void)n;
	if (len == 0 || len > REPLY_MAX)
		return "it is no line";
	if (!opt.json)
		print_clean(a, len);
	return NULL;
}

/* --- main -------------------------------------------------------------------------------------------------------- */

static const struct service daytime = {
	.name = "daytime",
	.server_len = sizeof(struct session),
	.client_len = sizeof(struct session),
	.station_len = sizeof(struct service_station),
	.server = &server_ops,
	.on_accept = on_accept,
	.answer = answer,
	.answer_may_exceed = LINE_MAX,
	.client = &client_ops,
	.speaks_itself = true,
};

static const char *const synopsis[] = { "-s [-p PORT] [options]", "HOST [-p PORT] [-u] [options]", NULL };

static const char *const about[] = {
	"daytime sends the date and the time as a line of text to whoever connects, and closes (RFC 867). By UDP it answers any "
	"datagram with the same line, but not to ports below 1024 or to sources that ask too often.",
	"As a client it prints the line. The server listens on 127.0.0.1 unless --bind says otherwise.",
	NULL,
};

static const struct arg_example examples[] = {
	{ "daytime -s", "serve on port 2013 of 127.0.0.1, TCP and UDP" },
	{ "daytime localhost", "what time is it there?" },
	{ 0 },
};

/* clang-format off */
static const struct arg rows[] = {
	SERVICE_ROLE_ROWS(opt),
	SERVICE_SERVER_ROWS(opt),
	{ .help = "Client:" },
	SERVICE_UDP_ROWS(opt),
	SERVICE_COMMON_ROWS(opt),
	{ 0 },
};
/* clang-format on */

static const struct arg_spec spec = {
	.tool = "daytime",
	.one_line = "says what time it is, in words (RFC 867)",
	.synopsis = synopsis,
	.about = about,
	.args = rows,
	.examples = examples,
	.see_also = "tcplab-timeserv(1). RFC 867.",
};

int main(int argc, char **argv)
{
	diag_tool = "daytime";
	setvbuf(stdout, NULL, _IOLBF, 0);
	int first = args_parse(&spec, argc, argv);
	const char *host = service_check(&opt, argv + first);
	if (opt.server)
		return service_serve(&daytime, &opt);
	return opt.udp ? asker_run(&opt, host, ask, check, NULL) : service_connect(&daytime, &opt, host);
}
