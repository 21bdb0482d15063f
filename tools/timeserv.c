/* timeserv - says what time it is, in four bytes (RFC 868); the client says how wrong the local clock is.
 *
 * Try:       timeserv -s                           in one terminal; then, in another:
 *            nc localhost 2037 | xxd               seconds since 1900, big-endian
 *            timeserv localhost                    and what that says about our clock
 *            timeserv -s --epoch 1970 -p 2038      as the program of Shuo Chen's course counts
 * Look for:  "+- 0.5 s": whole seconds cannot tell more. roundtrip can.
 *
 * 32 bits of seconds since 1900 are used up on 7 February 2036; the client takes the number for the instant nearest to
 * its own clock, so it survives that day (RFC 868 does not). */
#include "args.h"
#include "asker.h"
#include "clock.h"
#include "diag.h"
#include "json.h"
#include "service.h"
#include "units.h"
#include "wire.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { PORT = 2037, WIRE_LEN = 4 };
static const int64_t FROM_1900_TO_1970_S = 2208988800;    /* RFC 868 */
static const uint64_t LEAVE_NS = UINT64_C(10) * NS_PER_S; /* for a client to close, after our FIN */

enum epoch { AUTO, SINCE_1900, SINCE_1970 };
static const char *const epoch_names[] = { "auto", "1900", "1970", NULL };

static struct options {
	struct service_options service;
	int epoch;
} opt = { .service = { SERVICE_OPTIONS, .port = PORT } };

/* --- the wire ---------------------------------------------------------------------------------------------------- */

static int64_t epoch_s(enum epoch epoch)
{
	return epoch == SINCE_1970 ? 0 : -FROM_1900_TO_1970_S;
}

static void put_time(unsigned char out[static WIRE_LEN])
{
	int64_t now_s = clk_real_ns() / NS_PER_S;
	be32_put(out, (uint32_t)(now_s - epoch_s((enum epoch)opt.epoch)));
}

/* Seconds since 1970 of the instant that `wire` names in this epoch: of all that are 2^32 s apart, the one nearest to now_s. */
static int64_t nearest_s(uint32_t wire, enum epoch epoch, int64_t now_s)
{
	uint32_t ahead = wire - (uint32_t)(now_s - epoch_s(epoch));
	return now_s + (int32_t)ahead;
}

/* --- server ------------------------------------------------------------------------------------------------------ */

static void on_accept(struct session *s)
{
	unsigned char wire[WIRE_LEN];
	put_time(wire);
	conn_write(&s->conn, wire, sizeof(wire));
	conn_finish(&s->conn);
	conn_set_idle(&s->conn, LEAVE_NS);
}

static const struct conn_ops server_ops = { .on_closed = session_closed };

static ssize_t answer(struct udp *u, const unsigned char *q, size_t n, unsigned char *out)
{
	(void)u, (void)q, (void)n;
	put_time(out);
	return WIRE_LEN;
}

/* --- client ------------------------------------------------------------------------------------------------------ */

/* What one answer says. The server's clock showed the whole second server_s at some time between our asking and our hearing. */
struct reading {
	bool is_there;
	enum epoch epoch;
	int64_t server_s;
	double offset_s, bound_s; /* server's clock minus ours */
};

static struct reading reading; /* the last one */
static int64_t asked_real_ns;

static void read_clock(const unsigned char wire[static WIRE_LEN])
{
	int64_t heard_ns = clk_real_ns(), now_s = heard_ns / NS_PER_S;
	uint32_t value = be32_get(wire);
	struct reading r = { .is_there = true, .epoch = (enum epoch)opt.epoch };
	if (r.epoch == AUTO) {
		int64_t by_1900 = llabs(nearest_s(value, SINCE_1900, now_s) - now_s);
		int64_t by_1970 = llabs(nearest_s(value, SINCE_1970, now_s) - now_s);
		r.epoch = by_1970 < by_1900 ? SINCE_1970 : SINCE_1900;
	}
	r.server_s = nearest_s(value, r.epoch, now_s);
	/* True time was in [server_s, server_s + 1), by our clock somewhere in [asked, heard]. */
	double least_s = (double)r.server_s - (double)heard_ns / 1e9;
	double most_s = (double)r.server_s + 1 - (double)asked_real_ns / 1e9;
	r.offset_s = (least_s + most_s) / 2;
	r.bound_s = (most_s - least_s) / 2;
	reading = r;
}

static void print_reading(void)
{
	char date[64];
	time_t t = (time_t)reading.server_s;
	struct tm tm;
	localtime_r(&t, &tm);
	strftime(date, sizeof(date), "%Y-%m-%d %H:%M:%S %z", &tm);
	printf("%s (epoch %s); its clock is %+.1f s from ours, +- %.1f s\n", date, epoch_names[reading.epoch],
	       reading.offset_s, reading.bound_s);
}

static void json_reading(struct json *j)
{
	json_i64(j, "server_s", reading.server_s);
	json_str(j, "epoch", epoch_names[reading.epoch]);
	json_i64(j, "offset_ns", llround(reading.offset_s * 1e9));
	json_i64(j, "offset_bound_ns", llround(reading.bound_s * 1e9));
}

/* Four bytes, perhaps not all at once: until they are there nothing is used. */
static size_t on_time_bytes(struct conn *c, const unsigned char *p, size_t n)
{
	if (n > WIRE_LEN || reading.is_there) {
		service_broken(session_of(c), "it sends more than four bytes");
		return n;
	}
	if (n < WIRE_LEN)
		return 0;
	read_clock(p);
	return n;
}

static void on_client_eof(struct conn *c)
{
	if (!reading.is_there)
		service_broken(session_of(c), "it closed before it had sent four bytes");
	conn_finish(c);
}

static const struct conn_ops client_ops = { .on_data = on_time_bytes,
					    .on_eof = on_client_eof,
					    .on_closed = session_closed };

static void report(struct crew *crew, struct json *j)
{
	if (crew_is_server(crew) || !reading.is_there)
		return;
	if (j != NULL)
		json_reading(j);
	else
		print_reading();
}

static size_t ask(unsigned char *q, uint64_t number)
{
	(void)q, (void)number;
	asked_real_ns = clk_real_ns();
	return 0; /* RFC 868: an empty datagram */
}

static const char *check(const unsigned char *q, size_t n, const unsigned char *a, size_t len)
{
	(void)q, (void)n;
	if (len != WIRE_LEN)
		return len == 8 ? "it has 8 bytes instead of 4, as inetutils' has" : "it does not have four bytes";
	read_clock(a);
	if (!opt.service.json)
		print_reading();
	return NULL;
}

static void report_asked(struct json *j)
{
	if (reading.is_there)
		json_reading(j);
}

/* --- main -------------------------------------------------------------------------------------------------------- */

static const struct service timeserv = {
	.name = "timeserv",
	.server_len = sizeof(struct session),
	.client_len = sizeof(struct session),
	.station_len = sizeof(struct service_station),
	.server = &server_ops,
	.on_accept = on_accept,
	.answer = answer,
	.answer_may_exceed = WIRE_LEN,
	.client = &client_ops,
	.speaks_itself = true,
	.report = report,
};

static const char *const synopsis[] = { "-s [-p PORT] [options]", "HOST [-p PORT] [-u] [options]", NULL };

static const char *const about[] = {
	"timeserv sends the time as four bytes, seconds since 1900 in network order, to whoever connects, and closes (RFC 868). With "
	"--epoch 1970 it counts as the program of Shuo Chen's course \"Practical Network Programming\" does.",
	"As a client it prints the time and the offset of the server's clock against the local one, with its bound. It finds out by itself "
	"which epoch the server counts from. By UDP the question is empty and the answer has four bytes.",
	NULL,
};

static const struct arg_example examples[] = {
	{ "timeserv -s", "serve on port 2037 of 127.0.0.1, TCP and UDP" },
	{ "timeserv localhost", "how wrong is our clock?" },
	{ 0 },
};

/* clang-format off */
static const struct arg rows[] = {
	SERVICE_ROLE_ROWS(opt.service),
	{ '\0', "epoch", ARG_CHOICE, &opt.epoch, .value_name = "YEAR", .help = "count from 1900 (RFC 868) or 1970; auto: a server from 1900, a "
	  "client as the server seems to", .choices = epoch_names },
	SERVICE_SERVER_ROWS(opt.service),
	{ .help = "Client:" },
	SERVICE_UDP_ROWS(opt.service),
	SERVICE_COMMON_ROWS(opt.service),
	{ 0 },
};
/* clang-format on */

static const struct arg_spec spec = {
	.tool = "timeserv",
	.one_line = "says what time it is, in four bytes (RFC 868)",
	.synopsis = synopsis,
	.about = about,
	.args = rows,
	.examples = examples,
	.see_also = "tcplab-daytime(1), tcplab-roundtrip(1). RFC 868.",
};

int main(int argc, char **argv)
{
	diag_tool = "timeserv";
	setvbuf(stdout, NULL, _IOLBF, 0);
	int first = args_parse(&spec, argc, argv);
	const char *host = service_check(&opt.service, argv + first);
	asked_real_ns = clk_real_ns();
	if (opt.service.server)
		return service_serve(&timeserv, &opt.service);
	return opt.service.udp ? asker_run(&opt.service, host, ask, check, report_asked)
			       : service_connect(&timeserv, &opt.service, host);
}
