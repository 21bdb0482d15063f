/* roundtrip - how far away is the other clock, and how long does a packet take?
 *
 * Try:       roundtrip -s                                  in one terminal; then, in another:
 *            roundtrip localhost                           ten seconds, a hundred questions each
 *            roundtrip localhost --where                   where the time goes: most of it is waking up
 *            roundtrip --same-core                         what it costs to wake another processor
 *            roundtrip -s --skew 250ms --drift 50          a server whose clock is wrong, and gets worse
 *            roundtrip --clock                             the clocks of this machine
 *            roundtrip --ntp pool.ntp.org                  the same question to an NTP server
 * Look for:  the bound beside the offset: half of the shortest round trip, whatever the network did.
 * Labs:      03-clock, 04-udp, 05-timekeeping.
 *
 *	our clock       t1 ------------------------------------> t4      rtt    = (t4 - t1) - (t3 - t2)
 *	                  \                                    /         offset = ((t2 - t1) + (t3 - t4)) / 2
 *	its clock           t2 ------------------------------> t3
 *
 * The chapters, in reading order: roundtrip/sample.h, clockfit.h, track.h, measure.h - what the figures are; client.h,
 * client.c, talk.c - when and what is asked; server.h, server.c, answer.c, tcp.c - who answers; datagram.h - the
 * bytes. */
#include "roundtrip/roundtrip.h"

#include "clock.h"
#include "diag.h"
#include "mem.h"
#include "roundtrip/datagram.h"
#include "units.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { INTERVAL_NS = 10 * NS_PER_MS, TIMEOUT_NS = NS_PER_S, RATE = 20000, CONNECTIONS = 100, NTP_COUNT = 4 };
static const uint64_t TIME_NS = UINT64_C(10) * NS_PER_S, NTP_INTERVAL_NS = UINT64_C(2) * NS_PER_S;

static const char *const wire_names[] = { "auto", "plain", "extended", NULL };

static struct roundtrip_options opt = { .port = ROUNDTRIP_PORT,
					.interval_ns = INTERVAL_NS,
					.timeout_ns = TIMEOUT_NS,
					.seed = 1,
					.udp_rate = RATE,
					.max_conn = CONNECTIONS };

static const char *const synopsis[] = { "-s [-p PORT] [options]",
					"HOST [-n COUNT] [--time D] [-i INTERVAL] [options]",
					"--ntp HOST [options]",
					"--clock",
					"--same-core",
					NULL };

static const char *const about[] = {
	"roundtrip sends a datagram with the time in it, gets it back with the time of the other end, and does so again and again: how long is "
	"the way, how does that vary, how much do the two clocks differ, and how fast do they run apart? Each figure has its bound.",
	"It sends by a fixed schedule, whether answers come or not, so that a stall of the network is measured and not avoided. Between "
	"two of these programs datagrams are numbered and carry four stamps; with an old one at the other end they are the 16 bytes of Shuo "
	"Chen's course \"Practical Network Programming\".",
	"Without -n and --time it runs for 10 s. The server listens on all addresses unless --bind says otherwise, by UDP and TCP.",
	NULL,
};

static const struct arg_example examples[] = {
	{ "roundtrip -s", "serve on port 3123 of every address" },
	{ "roundtrip 10.0.0.2 --time 60 --svg run.svg", "a minute: also the drift is told well; as a picture" },
	{ "roundtrip 10.0.0.2 -i 100us --busy-poll -n 100000", "ten thousand a second, without ever sleeping" },
	{ "roundtrip localhost --where", "where the time of a round trip goes" },
	{ "roundtrip --ntp ntp.example.org", "the offset of our clock from an NTP server" },
	{ 0 },
};

/* clang-format off */
static const struct arg rows[] = {
	{ .help = "Role:" },
	{ 's', "server", ARG_FLAG, &opt.server, .help = "serve; without it: be a client of HOST" },
	{ 'p', "port", ARG_PORT, &opt.port, .value_name = "PORT", .help = "the server's port (with --ntp 123); 0 with -s takes a free one" },
	{ '\0', "ntp", ARG_FLAG, &opt.ntp, .help = "HOST is an NTP server (RFC 5905): four questions, 2 s apart" },
	{ '\0', "clock", ARG_FLAG, &opt.clock, .help = "what this machine's clocks are worth, and what its kernel says of their synchronisation" },
	{ '\0', "same-core", ARG_FLAG, &opt.same_core, .help = "a server of our own, first on another processor, then on the same: what "
	  "waking up costs" },
	{ '4', "ipv4", ARG_FLAG, &opt.ipv4, .help = "IPv4 only" },
	{ '6', "ipv6", ARG_FLAG, &opt.ipv6, .help = "IPv6 only" },
	{ .help = "Server:" },
	{ 'B', "bind", ARG_STR, &opt.bind, .value_name = "ADDR", .help = "listen on ADDR only" },
	{ '\0', "skew", ARG_STR, &opt.skew, .value_name = "D", .help = "a clock that is wrong by D: 250ms, -2s" },
	{ '\0', "drift", ARG_STR, &opt.drift, .value_name = "PPM", .help = "a clock that gains so many microseconds each second, from the start "
	  "on; negative: it loses" },
	{ '\0', "udp-rate", ARG_COUNT, &opt.udp_rate, 1, 100000000, "N", "answers each second for one source; loopback is free" },
	{ '\0', "max-conn", ARG_COUNT, &opt.max_conn, 1, 10000, "N", "TCP connections at once; more wait in the backlog" },
	{ .help = "Client:" },
	{ 'n', "count", ARG_COUNT, &opt.count, 1, 0, "COUNT", "so many questions" },
	{ '\0', "time", ARG_DURATION, &opt.time_ns, 1, 0, "D", "ask for so long" },
	{ 'i', "interval", ARG_DURATION, &opt.interval_ns, 0, UINT64_C(3600) * NS_PER_S, "D", "between two questions; 0: the next when the answer is there "
	  "(a closed loop)" },
	{ '\0', "poisson", ARG_FLAG, &opt.poisson, .help = "at random instead, --interval on average: sees what is periodic" },
	{ '\0', "seed", ARG_COUNT, &opt.seed, .value_name = "N", .help = "of --poisson: the same gaps again" },
	{ 'l', "size", ARG_SIZE, &opt.size, EXTENDED_LEN, DATAGRAM_MAX, "SIZE", "bytes of a question, and of its answer (152 unless given, 184 with "
	  "--key; plain ones have 16)" },
	{ '\0', "timeout", ARG_DURATION, &opt.timeout_ns, NS_PER_MS, UINT64_C(60) * NS_PER_S, "D", "an answer that takes longer counts as lost" },
	{ '\0', "dscp", ARG_COUNT, &opt.dscp, 0, 63, "N", "mark our packets (RFC 2474): 46 is EF" },
	{ '\0', "wire", ARG_CHOICE, &opt.wire, .value_name = "WIRE", .help = "auto: extended, and plain if nobody answers; or one of them", .choices = wire_names },
	{ '\0', "tcp", ARG_FLAG, &opt.tcp, .help = "on a TCP connection" },
	{ 'D', "nodelay", ARG_FLAG, &opt.nodelay, .help = "with --tcp: TCP_NODELAY" },
	{ '\0', "socks", ARG_STR, &opt.socks_text, .value_name = "PROXY", .help = "with --tcp: through a SOCKS server, which looks HOST "
	  "up: [socks5://][USER[:PASSWORD]@]HOST[:PORT], or socks4://" },
	{ '\0', "naive", ARG_FLAG, &opt.naive, .help = "ask, wait for the answer, sleep: hangs when a datagram is lost" },
	{ .help = "Both:" },
	{ '\0', "busy-poll", ARG_FLAG, &opt.busy_poll, .help = "never sleep while waiting: a whole processor for less latency" },
	{ '\0', "key", ARG_FILE, &opt.key_file, .value_name = "FILE", .help = "sign and check datagrams with the key in FILE (HMAC-SHA-256); the server answers nobody "
	  "else" },
	{ .help = "Reports:" },
	{ '\0', "where", ARG_FLAG, &opt.where, .help = "where the time goes: the kernels' stamps of each datagram (UDP)" },
	{ '\0', "steer", ARG_FLAG, &opt.steer, .help = "what an NTP client would do with its clock; ours is not touched" },
	{ '\0', "report", ARG_DURATION, &opt.report_ns, NS_PER_MS, 0, "D", "a line for each interval (a live one on a terminal)" },
	{ '\0', "histogram", ARG_FLAG, &opt.histogram, .help = "draw the distribution of the round trips" },
	{ '\0', "csv", ARG_FILE, &opt.csv_file, .value_name = "FILE", .help = "a line for each answer" },
	{ '\0', "svg", ARG_FILE, &opt.svg_file, .value_name = "FILE", .help = "RTT and offset over time, as a picture" },
	{ 'v', "verbose", ARG_FLAG, &opt.verbose, .help = "on stderr: what was agreed on; a server names each new client" },
	{ '\0', "json", ARG_FLAG, &opt.json, .help = "one JSON object a line on standard output" },
	{ 0 },
};
/* clang-format on */

static const struct arg_spec spec = {
	.tool = "roundtrip",
	.one_line = "measures round trips and how far away the other clock is",
	.synopsis = synopsis,
	.about = about,
	.args = rows,
	.examples = examples,
	.see_also = "tcplab-pingpong(1), tcplab-timeserv(1), tcplab-linkem(1), adjtimex(2). RFC 5905.",
};

/* --- what no row can express -------------------------------------------------------------------------------------- */

static int64_t parse_skew(const char *text)
{
	bool is_negative = text[0] == '-';
	uint64_t ns;
	if (!units_parse_duration(text + (is_negative || text[0] == '+'), &ns) || ns > INT64_MAX / 4)
		args_misuse("--skew %s is no duration such as 250ms or -2s", text);
	return is_negative ? -(int64_t)ns : (int64_t)ns;
}

static double parse_drift(const char *text)
{
	char *end;
	double ppm = strtod(text, &end);
	if (end == text || *end != '\0' || !(fabs(ppm) <= 1e5))
		args_misuse("--drift %s is no number of ppm from -100000 to 100000", text);
	return ppm;
}

static void check_client(void)
{
	char why[SOCKS_WHY];
	if (opt.bind != NULL || opt.skew != NULL || opt.drift != NULL || opt.udp_rate != RATE ||
	    opt.max_conn != CONNECTIONS)
		args_misuse("--bind, --skew, --drift, --udp-rate and --max-conn are for a server (-s)");
	if (opt.tcp && opt.ntp)
		args_misuse("--ntp is by UDP, --tcp is not");
	if (opt.tcp && (opt.where || opt.naive))
		args_misuse("--%s is for UDP", opt.where ? "where" : "naive");
	if (opt.nodelay && !opt.tcp)
		args_misuse("--nodelay is for --tcp");
	if (opt.socks_text != NULL && !opt.tcp)
		args_misuse("--socks is for --tcp");
	if (opt.socks_text != NULL && !socks_proxy_parse(opt.socks_text, &opt.socks, why))
		args_misuse("--socks: %s", why);
	if (opt.naive && (opt.busy_poll || opt.poisson))
		args_misuse("--naive sleeps, and waits: no --busy-poll, no --poisson");
	if (opt.poisson && opt.interval_ns == 0)
		args_misuse("--poisson needs an --interval");
	if (opt.ntp && (opt.key_file != NULL || opt.size != 0 || opt.wire != WIRE_AUTO))
		args_misuse("--ntp has a wire of its own: no --key, --size, --wire");
	if (opt.wire == WIRE_PLAIN && (opt.key_file != NULL || opt.size != 0))
		args_misuse("plain questions have 16 bytes, and no --key");
	if (opt.key_file != NULL && opt.size != 0 && opt.size < EXTENDED_LEN + SIGNATURE_LEN)
		args_misuse("with --key a question has %d bytes at least", EXTENDED_LEN + SIGNATURE_LEN);
	if (opt.port == 0)
		args_misuse("port 0 is for a server");
}

static void set_client_defaults(void)
{
	if (opt.count == 0 && opt.time_ns == 0) {
		opt.count = opt.ntp ? NTP_COUNT : 0;
		opt.time_ns = opt.ntp ? 0 : TIME_NS;
	}
}

static void check_server(void)
{
	if (opt.host != NULL)
		args_misuse("a server has no HOST: '%s'", opt.host);
	if (opt.poisson || opt.nodelay || opt.dscp != 0 || opt.interval_ns != INTERVAL_NS ||
	    opt.timeout_ns != TIMEOUT_NS || opt.seed != 1 || opt.ntp || opt.tcp || opt.socks_text != NULL ||
	    opt.naive || opt.where || opt.steer || opt.csv_file != NULL || opt.svg_file != NULL || opt.histogram ||
	    opt.count != 0 || opt.time_ns != 0 || opt.size != 0 || opt.wire != WIRE_AUTO)
		args_misuse("with -s only the options of a server make sense");
	opt.skew_ns = opt.skew != NULL ? parse_skew(opt.skew) : 0;
	opt.drift_ppm = opt.drift != NULL ? parse_drift(opt.drift) : 0;
}

static void set_operands(char *const operands[])
{
	opt.host = operands[0];
	if (opt.host != NULL && operands[1] != NULL)
		args_misuse("one HOST, not '%s' as well", operands[1]);
}

/* --ntp has other defaults than the rest, so with it the line is read again: what stands there still counts. args_parse
 * moves the words about. */
static void parse(int argc, char **argv)
{
	size_t len = (size_t)(argc + 1) * sizeof(*argv);
	char **words = xmalloc(len);
	int first = args_parse(&spec, argc, memcpy(words, argv, len));
	if (opt.ntp) {
		opt.port = NTP_PORT;
		opt.interval_ns = NTP_INTERVAL_NS;
		first = args_parse(&spec, argc, memcpy(words, argv, len));
	}
	set_operands(words + first);
	free(words);
}

int main(int argc, char **argv)
{
	diag_tool = "roundtrip";
	setvbuf(stdout, NULL, _IOLBF, 0);
	parse(argc, argv);
	if (opt.ipv4 && opt.ipv6)
		args_misuse("-4 or -6, not both");
	if (opt.server + opt.clock + opt.same_core + opt.ntp > 1)
		args_misuse("one of -s, --ntp, --clock and --same-core");
	if (opt.server) {
		check_server();
		return roundtrip_serve(&opt);
	}
	check_client();
	if ((opt.clock || opt.same_core) && opt.host != NULL)
		args_misuse("--%s is about this machine: no HOST", opt.clock ? "clock" : "same-core");
	if (opt.clock)
		return roundtrip_clocks(&opt);
	if (opt.same_core)
		return roundtrip_same_core(&opt);
	if (opt.host == NULL)
		args_misuse("whom to ask? HOST, or -s");
	set_client_defaults();
	return roundtrip_client(&opt);
}
