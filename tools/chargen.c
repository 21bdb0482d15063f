/* chargen - the character generator (RFC 864): sends a pattern without end, and the client checks every byte of it.
 *
 * Try:       chargen -s                           in one terminal; then, in another:
 *            nc localhost 2019 | head -n 5        what it looks like
 *            chargen localhost --time 3           how fast, and did every byte arrive?
 *            chargen -s --rate 1mbit              a slow source
 *            chargen -s --stall-after 1M          a server that falls silent and keeps the connection
 * Look for:  "every byte is right"; or the offset of the first one that was lost or changed.
 * Lab:       13-slow-reader has a source that sends to readers of different speed.
 *
 * Nothing is ever queued: the pattern lies in memory once, and each connection knows how far it is (conn_offer). So a
 * client that does not read costs its place in the kernel's send buffer, and nothing here. */
#include "args.h"
#include "asker.h"
#include "clock.h"
#include "diag.h"
#include "io.h"
#include "mem.h"
#include "service.h"

#include <stdio.h>
#include <string.h>

enum {
	PORT = 2019,
	LINE = 72,           /* characters, in both dialects */
	CHUNK = 1024 * 1024, /* offered to the kernel at once */
	ANSWER_MAX = 512,    /* UDP, RFC 864 */
	TICK_NS = 10 * 1000 * 1000,
};

/* RFC 864 shows lines of the 95 printable characters, ended by CR LF; the program of Shuo Chen's course leaves out the blank and ends
 * lines with LF. Each line begins one character later, so the pattern repeats after 95 or 94 lines. */
enum dialect { AUTO, RFC, COURSE };
static const char *const dialect_names[] = { "auto", "rfc", "course", NULL };
static const struct shape {
	unsigned char first;
	unsigned letters;
	const char *end;
} shapes[] = {
	[RFC] = { ' ', 95, "\r\n" },
	[COURSE] = { '!', 94, "\n" },
};

static struct options {
	struct service_options service;
	int dialect;
	uint64_t rate_Bps, stall_after;
} opt = { .service = { SERVICE_OPTIONS, .port = PORT } };

/* --- the pattern ------------------------------------------------------------------------------------------------- */

/* The pattern over and over, a chunk longer than its period: from any place in the period a whole chunk follows. Made
 * before the first connection, and then only read. */
static struct pattern {
	unsigned char *bytes;
	size_t period;
} patterns[COUNT_OF(shapes)];

static void make_pattern(enum dialect dialect)
{
	const struct shape *shape = &shapes[dialect];
	struct pattern *p = &patterns[dialect];
	size_t end_len = strlen(shape->end);
	p->period = shape->letters * (LINE + end_len);
	p->bytes = xmalloc_pages(p->period + CHUNK + p->period);
	size_t at = 0;
	for (unsigned line = 0; at < p->period + CHUNK; line++) {
		for (unsigned i = 0; i < LINE; i++)
			p->bytes[at++] = (unsigned char)(shape->first + (line + i) % shape->letters);
		memcpy(p->bytes + at, shape->end, end_len);
		at += end_len;
	}
}

/* What stands at `offset` of the stream, and a chunk after it. */
static const unsigned char *pattern_at(enum dialect dialect, uint64_t offset)
{
	return patterns[dialect].bytes + offset % patterns[dialect].period;
}

/* --- server ------------------------------------------------------------------------------------------------------ */

struct flow {
	struct session session;
	uint64_t offset; /* sent or received so far */
	uint64_t start_ns;
	struct timer pace;
	enum dialect dialect;
};

static struct flow *flow_of(struct conn *c)
{
	return (struct flow *)session_of(c);
}

static uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* How much may be sent now: up to the limits, and as the rate allows. */
static uint64_t allowance(const struct flow *f)
{
	uint64_t end = UINT64_MAX;
	if (opt.service.bytes != 0)
		end = opt.service.bytes;
	if (opt.stall_after != 0)
		end = min_u64(end, opt.stall_after);
	if (opt.rate_Bps != 0) {
		uint64_t run_ns = reactor_now_ns(f->session.conn.watch.r) - f->start_ns + TICK_NS;
		end = min_u64(end, (uint64_t)((double)opt.rate_Bps * (double)run_ns / 1e9));
	}
	return end > f->offset ? end - f->offset : 0;
}

static bool has_stalled(const struct flow *f)
{
	return opt.stall_after != 0 && f->offset >= opt.stall_after;
}

static void send_more(struct conn *c);

static void on_tick(struct timer *t)
{
	send_more(&CONTAINER_OF(t, struct flow, pace)->session.conn);
}

/* Once for each event, so that no connection keeps the others waiting. */
static void send_more(struct conn *c)
{
	struct flow *f = flow_of(c);
	size_t n = (size_t)min_u64(allowance(f), CHUNK);
	if (n > 0)
		f->offset += conn_offer(c, pattern_at(f->dialect, f->offset), n);
	if (opt.service.bytes != 0 && f->offset >= opt.service.bytes)
		conn_finish(c);
	else if (opt.rate_Bps != 0 && n == 0 && !has_stalled(f))
		reactor_timer_start(c->watch.r, &f->pace, reactor_now_ns(c->watch.r) + TICK_NS, on_tick);
}

static void on_accept(struct session *s)
{
	struct flow *f = (struct flow *)s;
	f->dialect = opt.dialect == AUTO ? RFC : (enum dialect)opt.dialect;
	f->start_ns = reactor_now_ns(s->conn.watch.r);
	send_more(&s->conn);
}

/* "The service continues until the user closes": who has finished sending may still want to read. */
static void on_server_eof(struct conn *c)
{
	(void)c;
}

static void on_server_closed(struct conn *c, int err)
{
	reactor_timer_stop(c->watch.r, &flow_of(c)->pace);
	session_closed(c, err);
}

static const struct conn_ops server_ops = {
	.on_eof = on_server_eof,
	.on_low = send_more,
	.on_closed = on_server_closed,
};

/* RFC 864 allows any length up to 512; we never send more than was asked with. */
static ssize_t answer(struct udp *u, const unsigned char *q, size_t n, unsigned char *out)
{
	(void)q;
	size_t len = n < ANSWER_MAX ? n : ANSWER_MAX;
	enum dialect dialect = opt.dialect == AUTO ? RFC : (enum dialect)opt.dialect;
	memcpy(out, pattern_at(dialect, u->batch.count.answered * (LINE + strlen(shapes[dialect].end))), len);
	return (ssize_t)len;
}

/* --- client ------------------------------------------------------------------------------------------------------ */

/* What a station's sessions have found. */
struct findings {
	struct service_station station;
	bool is_wrong;
	uint64_t wrong_offset;
	enum dialect dialect;
};

static size_t first_difference(const unsigned char *a, const unsigned char *b, size_t n)
{
	size_t i = 0;
	while (i < n && a[i] == b[i])
		i++;
	return i;
}

static void found_wrong(struct flow *f, uint64_t offset, int got, int wanted)
{
	struct findings *found = (struct findings *)session_station(&f->session);
	if (!found->is_wrong)
		found->wrong_offset = offset;
	found->is_wrong = true;
	service_wrong(&f->session, "byte %llu is 0x%02x, and the pattern has 0x%02x there", (unsigned long long)offset,
		      (unsigned)got, (unsigned)wanted);
}

static size_t on_pattern(struct conn *c, const unsigned char *p, size_t n)
{
	struct flow *f = flow_of(c);
	if (f->dialect == AUTO) {
		f->dialect = opt.dialect != AUTO            ? (enum dialect)opt.dialect
			     : p[0] == shapes[COURSE].first ? COURSE
							    : RFC;
		((struct findings *)session_station(&f->session))->dialect = f->dialect;
	}
	const unsigned char *wanted = pattern_at(f->dialect, f->offset);
	if (memcmp(p, wanted, n) != 0) {
		size_t at = first_difference(p, wanted, n);
		found_wrong(f, f->offset + at, p[at], wanted[at]);
		return n;
	}
	f->offset += n;
	if (opt.service.bytes != 0 && f->offset >= opt.service.bytes)
		conn_close(c, 0);
	return n;
}

static void on_client_eof(struct conn *c)
{
	struct flow *f = flow_of(c);
	if (opt.service.bytes != 0 && f->offset < opt.service.bytes)
		service_broken(&f->session, "the server ended the stream too early");
	conn_finish(c);
}

static const struct conn_ops client_ops = {
	.on_data = on_pattern,
	.on_eof = on_client_eof,
	.on_closed = session_closed,
};

static void report(struct crew *crew, struct json *j)
{
	const struct findings *found, *wrong = NULL;
	enum dialect dialect = AUTO;
	if (crew_is_server(crew))
		return;
	for (unsigned i = 0; (found = (struct findings *)crew_station(crew, i)) != NULL; i++) {
		if (found->is_wrong && wrong == NULL)
			wrong = found;
		if (found->dialect != AUTO)
			dialect = found->dialect;
	}
	if (j != NULL) {
		json_bool(j, "verified", wrong == NULL);
		if (wrong != NULL)
			json_u64(j, "first_wrong_offset", wrong->wrong_offset);
		else
			json_null(j, "first_wrong_offset");
		json_str(j, "dialect", dialect_names[dialect]);
	} else if (wrong == NULL && dialect != AUTO) {
		printf("every byte is right (dialect: %s)\n", dialect_names[dialect]);
	}
}

/* UDP: a datagram asks, and the answer has to be a piece of the pattern. */
static size_t ask(unsigned char *q, uint64_t number)
{
	(void)number;
	memset(q, '?', ANSWER_MAX);
	return ANSWER_MAX;
}

static const char *check(const unsigned char *q, size_t n, const unsigned char *a, size_t len)
{
	(void)q;
	if (len == 0)
		return "it is empty";
	if (len > n)
		return "it is longer than the question";
	for (int d = RFC; d <= COURSE; d++)
		if (memmem(patterns[d].bytes, patterns[d].period + len, a, len) != NULL)
			return NULL;
	return "it is no piece of the pattern";
}

/* --- main -------------------------------------------------------------------------------------------------------- */

static const struct service chargen = {
	.name = "chargen",
	.server_len = sizeof(struct flow),
	.client_len = sizeof(struct flow),
	.station_len = sizeof(struct findings),
	.server = &server_ops,
	.on_accept = on_accept,
	.answer = answer,
	.client = &client_ops,
	.report = report,
};

static const char *const synopsis[] = { "-s [-p PORT] [options]", "HOST [-p PORT] [--bytes SIZE | --time D] [options]",
					NULL };

static const char *const about[] = {
	"chargen sends lines of printable characters, each beginning one character later than the line before (RFC 864), to "
	"whoever connects, until he closes. As a client it checks every byte and names the first one that was lost or changed.",
	"By UDP the answer is as long as the question, at most 512 bytes; ports below 1024 and sources that ask too often get "
	"none. The server listens on 127.0.0.1 unless --bind says otherwise: an open chargen is a gift to attackers.",
	NULL,
};

static const struct arg_example examples[] = {
	{ "chargen -s", "serve on port 2019 of 127.0.0.1, TCP and UDP" },
	{ "chargen localhost --time 3", "receive and verify for three seconds" },
	{ "chargen -s --dialect course --rate 1MB/s", "the course's pattern, slowly" },
	{ 0 },
};

static const struct arg_example statuses[] = {
	{ "3", "a byte was lost or changed" },
	{ 0 },
};

/* clang-format off */
static const struct arg rows[] = {
	SERVICE_ROLE_ROWS(opt.service),
	{ '\0', "dialect", ARG_CHOICE, &opt.dialect, .value_name = "NAME", .help = "rfc: 95 characters, CR LF. course: 94 characters, LF. "
	  "auto: a server sends rfc, a client takes what comes", .choices = dialect_names },
	SERVICE_SERVER_ROWS(opt.service),
	{ '\0', "rate", ARG_RATE, &opt.rate_Bps, 1, 0, "RATE", "send so much each second on each connection" },
	{ '\0', "stall-after", ARG_SIZE, &opt.stall_after, 1, 0, "SIZE", "then send nothing more, and keep the connection" },
	SERVICE_CLIENT_ROWS(opt.service),
	SERVICE_UDP_ROWS(opt.service),
	SERVICE_COMMON_ROWS(opt.service),
	{ 0 },
};
/* clang-format on */

static const struct arg_spec spec = {
	.tool = "chargen",
	.one_line = "sends a pattern without end, and checks it (RFC 864)",
	.synopsis = synopsis,
	.about = about,
	.args = rows,
	.examples = examples,
	.exit_statuses = statuses,
	.see_also = "discard, echo: tcplab-discard(1), tcplab-echo(1). RFC 864.",
};

int main(int argc, char **argv)
{
	diag_tool = "chargen";
	setvbuf(stdout, NULL, _IOLBF, 0);
	int first = args_parse(&spec, argc, argv);
	const char *host = service_check(&opt.service, argv + first);
	if (!opt.service.server && (opt.rate_Bps != 0 || opt.stall_after != 0))
		args_misuse("--rate and --stall-after are for -s");
	service_check_limits(&opt.service, true);
	make_pattern(RFC);
	make_pattern(COURSE);
	if (opt.service.server)
		return service_serve(&chargen, &opt.service);
	return opt.service.udp ? asker_run(&opt.service, host, ask, check, NULL)
			       : service_connect(&chargen, &opt.service, host);
}
