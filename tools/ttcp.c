/* ttcp - how fast does TCP carry bytes from one host to another, and what holds it up?
 *
 * Try:       ttcp -r                                   on one host
 *            ttcp -t HOST --mode stream                on the other: as fast as it goes
 *            ttcp -t HOST -l 1K                        stop-and-wait with small blocks: see the rate fall
 *            ttcp -t HOST --sweep                      the whole curve
 * Look for:  the line "limited by ..." and the figures behind it.
 * Labs:      01-bandwidth, 02-message-size.
 *
 * A run without options speaks, byte for byte, the format of the ttcp in Shuo Chen's course: a header, blocks, and an
 * ack for each block before the next is sent. Everything else is negotiated first (docs/wire-formats.md).
 *
 * Read on in this order; each chapter is one file in tools/ttcp/:
 *     wire.c      the bytes: session header, hello, tally
 *     flow.c      the heart, with send.c and receive.c: two plain loops
 *     client.c    one run: connect, agree, a thread for each connection, signals
 *     server.c    the receiver: a thread for each client, refusing what is not ttcp
 *     verdict.c   what limited the transfer
 *     probe.c     latency beside the bulk
 *     sweep.c     the table over block sizes and depths
 *     report.c    text and JSON
 * This file has the options and main. */
#include "ttcp/ttcp.h"

#include "args.h"
#include "clock.h"
#include "diag.h"
#include "record.h"
#include "sig.h"

#include <stdio.h>
#include <unistd.h>

static const char *const mode_choices[] = { "ack", "stream", "raw", NULL };

static const char *const synopsis[] = {
	"-r [-1] [-p PORT] [options]",
	"-t HOST [-p PORT] [-l LEN] [-n BLOCKS] [options]",
	NULL,
};

static const char *const about[] = {
	"ttcp measures how fast TCP carries bytes between two hosts and says what limited it: the application, the send buffer, "
	"the receive window, the network, pacing, waiting for answers, or a processor, with the figures that show it.",
	"Without options it speaks the format of the ttcp of Shuo Chen's course \"Practical Network Programming\" byte for byte: "
	"8192 blocks of 64 KiB, each acknowledged by the receiver before the next is sent. --mode stream sends without waiting; "
	"--mode raw sends bare bytes to any discard server. What the course's format cannot carry is agreed on first; a receiver "
	"that knows only the course's format is recognised.",
	"Figures: bytes and time are what the receiver confirmed having read, from the end of the warm-up (--omit) to the end, "
	"the drain of the send buffer included. MiB are 1048576 bytes, Mbit/s are decimal.",
	NULL,
};

static const struct arg_example examples[] = {
	{ "ttcp -r", "receive: serve any number of clients until SIGINT" },
	{ "ttcp -t 192.0.2.7", "the course's run: 8192 blocks of 64 KiB, stop-and-wait" },
	{ "ttcp -t 192.0.2.7 --mode stream --time 5 -i 1", "five seconds as fast as it goes, a line each second" },
	{ "ttcp -t 192.0.2.7 -l 4K --depth 16 --time 2", "sixteen small blocks in flight" },
	{ "ttcp -t 192.0.2.7 --mode stream --probe", "how much does bulk traffic delay a small request?" },
	{ "ttcp -t 192.0.2.7 --sweep --svg sweep.svg", "rate over block size and depth, as table and chart" },
	{ "dd if=/dev/zero bs=1M count=1000 | ttcp -t 192.0.2.7 --mode raw --file -",
	  "whatever comes on standard input" },
	{ 0 },
};

static const struct arg_example statuses[] = {
	{ "3", "the data arrived, but --verify found a wrong byte" },
	{ 0 },
};

static struct arg_host transmit;
static struct options opt = {
	.port = TTCP_PORT,
	.length = TTCP_BLOCK,
	.depth = 1,
	.streams = 1,
	.timeout_ns = UINT64_C(30) * NS_PER_S,
	.max_length = TTCP_MAX_BLOCK,
	.max_clients = 1000,
	.probe_interval_ns = 2 * NS_PER_MS,
};

/* clang-format off */
static const struct arg rows[] = {
	{ .help = "Role:" },
	{ 'r', "recv", ARG_FLAG, &opt.receiver, .help = "receive: listen and serve clients, many at once" },
	{ 't', "trans", ARG_HOST, &transmit, .value_name = "HOST", .help = "transmit to HOST (or: -t and HOST as the operand)" },
	{ 'p', "port", ARG_PORT, &opt.port, .value_name = "PORT", .help = "the receiver's port; 0 with -r takes a free one" },
	{ 'B', "bind", ARG_STR, &opt.bind, .value_name = "ADDR", .help = "local address (with -r: listen there only)" },
	{ '4', "ipv4", ARG_FLAG, &opt.ipv4, .help = "IPv4 only" },
	{ '6', "ipv6", ARG_FLAG, &opt.ipv6, .help = "IPv6 only" },
	{ '\0', "socks", ARG_STR, &opt.socks_text, .value_name = "PROXY", .help = "transmit through a SOCKS server, which looks HOST "
	  "up: [socks5://][USER[:PASSWORD]@]HOST[:PORT], or socks4://" },
	{ .help = "What to send:" },
	{ 'm', "mode", ARG_CHOICE, &opt.mode, .value_name = "MODE", .help = "ack: the receiver answers each block. stream: nobody "
	  "waits. raw: bare bytes until EOF, without any format (with -r too)", .choices = mode_choices },
	{ 'l', "length", ARG_SIZE, &opt.length, 1, TTCP_MAX_BLOCK, "LEN", "bytes in a block" },
	{ 'n', "number", ARG_COUNT, &opt.blocks, 1, 0, "BLOCKS", "stop after so many blocks on each stream; without any limit ack "
	  "mode sends 8192 and the others run for 10 s" },
	{ 'b', "bytes", ARG_SIZE, &opt.bytes, 1, 0, "SIZE", "stop after so many bytes on each stream, rounded up to whole blocks "
	  "(raw: exact)" },
	{ '\0', "time", ARG_DURATION, &opt.time_ns, 1, 0, "D", "stop after so long" },
	{ 'O', "omit", ARG_DURATION, &opt.omit_ns, 1, 0, "D", "warm up for so long first; limits and figures begin after it" },
	{ '\0', "depth", ARG_COUNT, &opt.depth, 1, TTCP_MAX_DEPTH, "N", "ack mode: blocks in flight before waiting" },
	{ 'w', "write", ARG_SIZE, &opt.write_len, 1, TTCP_IO, "SIZE", "stream and raw: bytes for each system call, at least one "
	  "block (1M unless given)" },
	{ 'P', "parallel", ARG_COUNT, &opt.streams, 1, TTCP_MAX_STREAMS, "N", "streams, a thread and a connection each" },
	{ 'R', "reverse", ARG_FLAG, &opt.reverse, .help = "the receiver sends and we receive" },
	{ '\0', "bidir", ARG_FLAG, &opt.bidir, .help = "both directions at once, on connections of their own" },
	{ '\0', "verify", ARG_FLAG, &opt.verify, .help = "payload from a seed, every byte checked by the receiver; with -r: check "
	  "the pattern of plain senders too" },
	{ '\0', "seed", ARG_COUNT, &opt.seed, .value_name = "N", .help = "the seed for --verify (random unless given)" },
	{ 'F', "file", ARG_FILE, &opt.file, .value_name = "FILE", .help = "raw: send FILE to its end; - is standard input" },
	{ 'Z', "sendfile", ARG_FLAG, &opt.sendfile, .help = "send with sendfile(2): no copy into the kernel" },
	{ .help = "Reports:" },
	{ 'i', "interval", ARG_DURATION, &opt.interval_ns, NS_PER_MS, 0, "D", "a line for each interval (1 s on a terminal)" },
	{ 'v', "verbose", ARG_FLAG, &opt.verbose, .help = "ask the receiver for its side of the report also in a plain run" },
	{ '\0', "probe", ARG_FLAG, &opt.probe, .help = "measure request/response latency beside the bulk, idle and loaded" },
	{ '\0', "probe-interval", ARG_DURATION, &opt.probe_interval_ns, 100 * NS_PER_US, 0, "D", "a probe every so often" },
	{ '\0', "sweep", ARG_FLAG, &opt.sweep, .help = "measure each block size and depth (--time for each cell, 300 ms unless "
	  "given): table and chart" },
	{ '\0', "sizes", ARG_STR, &opt.sizes, .value_name = "LIST", .help = "block sizes for --sweep (1K,2K,4K ... 1M unless given)" },
	{ '\0', "depths", ARG_STR, &opt.depths, .value_name = "LIST", .help = "depths for --sweep (1,4,16 unless given)" },
	{ '\0', "csv", ARG_FLAG, &opt.csv, .help = "--sweep as CSV" },
	{ '\0', "svg", ARG_FILE, &opt.svg, .value_name = "FILE", .help = "draw --sweep into an SVG file" },
	{ '\0', "json", ARG_FLAG, &opt.json, .help = "one JSON object a line on standard output" },
	{ .help = "Knobs:" },
	{ 'D', "nodelay", ARG_FLAG, &opt.socket.nodelay, .help = "TCP_NODELAY: small segments do not wait (Nagle off)" },
	{ '\0', "cork", ARG_FLAG, &opt.socket.cork, .help = "TCP_CORK: part-filled segments wait, up to 200 ms" },
	{ '\0', "sndbuf", ARG_SIZE, &opt.socket.send_buffer, 1, 1 << 30, "SIZE", "SO_SNDBUF of this end" },
	{ '\0', "rcvbuf", ARG_SIZE, &opt.socket.receive_buffer, 1, 1 << 30, "SIZE", "SO_RCVBUF of this end" },
	{ '\0', "rcvlowat", ARG_SIZE, &opt.socket.receive_low_water, 1, 1 << 30, "SIZE", "SO_RCVLOWAT of this end when it receives "
	  "in stream or raw mode (1M unless given)" },
	{ 'C', "congestion", ARG_STR, &opt.socket.congestion, .value_name = "NAME", .help = "congestion control of the sender" },
	{ 'M', "mss", ARG_SIZE, &opt.socket.mss, 88, 32767, "SIZE", "largest segment (TCP_MAXSEG)" },
	{ '\0', "rate", ARG_RATE, &opt.socket.pacing_Bps, 1, 0, "RATE", "pace each stream (SO_MAX_PACING_RATE)" },
	{ '\0', "timeout", ARG_DURATION, &opt.timeout_ns, 0, 0, "D", "give up when nothing moves for so long; 0: never" },
	{ .help = "Receiver:" },
	{ '1', "one-off", ARG_FLAG, &opt.one_off, .help = "serve one session with all its streams, then end" },
	{ '\0', "max-length", ARG_SIZE, &opt.max_length, 1, TTCP_MAX_BLOCK, "SIZE", "refuse longer blocks" },
	{ '\0', "max-clients", ARG_COUNT, &opt.max_clients, 1, 100000, "N", "connections served at once; more wait in the backlog" },
	{ 0 },
};
/* clang-format on */

static const struct arg_spec spec = {
	.tool = "ttcp",
	.one_line = "measures TCP bandwidth between two hosts and says what limits it",
	.synopsis = synopsis,
	.about = about,
	.args = rows,
	.examples = examples,
	.exit_statuses = statuses,
	.see_also = "tcplab(1), tcp(7), socket(7). The bytes on the wire: docs/wire-formats.md. Each figure explained: "
		    "docs/tools/ttcp.md.",
};

static void check_receiver(void)
{
	if (opt.host != NULL || transmit.given)
		args_misuse("-r and -t exclude each other: one end receives, the other transmits");
	if (opt.mode == MODE_STREAM || opt.reverse || opt.bidir || opt.sweep || opt.probe || opt.depth != 1 ||
	    opt.blocks != 0 || opt.bytes != 0 || opt.time_ns != 0 || opt.seed != 0 || opt.file != NULL ||
	    opt.streams != 1)
		args_misuse(
			"with -r the sender chooses mode, limits and direction (only --mode raw must be said at both ends)");
	if (opt.mode == MODE_RAW && opt.verify)
		args_misuse("--mode raw has no format and so nothing to --verify");
	if (opt.socks_text != NULL)
		args_misuse("--socks is for -t: who receives is reached, and does not go anywhere");
}

static void check_raw(void)
{
	if (opt.reverse || opt.bidir || opt.verify || opt.probe || opt.sweep || opt.depth != 1)
		args_misuse(
			"--mode raw is bare bytes to anybody: no --reverse, --bidir, --verify, --probe, --sweep, --depth");
	if (opt.file != NULL && opt.streams > 1)
		args_misuse("--file goes to one stream");
	if (opt.blocks > UINT64_MAX / opt.length)
		args_misuse("%llu blocks: more bytes than can be counted", (unsigned long long)opt.blocks);
	if (opt.blocks != 0)
		opt.bytes = opt.blocks * opt.length;
	opt.blocks = 0;
}

static void check_sender(void)
{
	char why[SOCKS_WHY];
	if (opt.socks_text != NULL && !socks_proxy_parse(opt.socks_text, &opt.socks, why))
		args_misuse("--socks: %s", why);
	if (opt.host == NULL)
		args_misuse("-t needs a host, or use -r to receive");
	if (opt.one_off)
		args_misuse("-1 is for -r");
	if (opt.reverse && opt.bidir)
		args_misuse("--bidir has both directions already: leave out --reverse");
	if (opt.mode == MODE_STREAM && opt.depth != 1)
		args_misuse("--depth is for --mode ack: in a stream nobody waits");
	if (opt.verify && opt.sendfile)
		args_misuse("--verify needs fresh bytes for each block, and --sendfile sends the same pages again");
	if (opt.mode != MODE_RAW && opt.file != NULL)
		args_misuse("--file needs --mode raw");
	if (!opt.sweep && (opt.csv || opt.svg != NULL || opt.sizes != NULL || opt.depths != NULL))
		args_misuse("--csv, --svg, --sizes and --depths are for --sweep");
	if (opt.sweep && (opt.bidir || opt.probe || opt.verify))
		args_misuse("--sweep does not go together with --bidir, --probe or --verify");
	if (opt.blocks != 0 && opt.bytes != 0)
		args_misuse("--number and --bytes both say how much: give one");
	if (opt.mode == MODE_RAW)
		check_raw();
}

/* What follows from what was said: sizes in blocks, and the limits that were not given. */
static void complete(void)
{
	if (opt.mode != MODE_RAW && opt.bytes != 0)
		opt.blocks = opt.bytes / opt.length + (opt.bytes % opt.length != 0);
	if (opt.sweep && opt.time_ns == 0 && opt.blocks == 0)
		opt.time_ns = 300 * NS_PER_MS;
	if (opt.blocks == 0 && opt.bytes == 0 && opt.time_ns == 0 && opt.file == NULL) {
		if (opt.mode == MODE_ACK)
			opt.blocks = 8192;
		else
			opt.time_ns = UINT64_C(10) * NS_PER_S;
	}
	if (opt.blocks > INT32_MAX)
		args_misuse("%llu blocks: the format ends at %d", (unsigned long long)opt.blocks, INT32_MAX);
	if (opt.write_len == 0)
		opt.write_len = TTCP_IO;
	/* A paced sender that writes more than a tenth of a second at once would not notice the end of its time. */
	uint64_t tenth = opt.socket.pacing_Bps / 10;
	if (opt.socket.pacing_Bps != 0 && tenth < opt.write_len)
		opt.write_len = tenth > 0 ? tenth : 1;
	if (opt.interval_ns == 0 && isatty(STDOUT_FILENO) && !opt.receiver && !opt.json)
		opt.interval_ns = NS_PER_S;
}

int main(int argc, char **argv)
{
	diag_tool = "ttcp";
	setvbuf(stdout, NULL, _IOLBF, 0);
	int first = args_parse(&spec, argc, argv);
	opt.host = transmit.host;
	if (transmit.given && opt.host == NULL && first < argc)
		opt.host = argv[first++];
	if (first < argc)
		args_misuse("'%s' is too much", argv[first]);
	if (opt.ipv4 && opt.ipv6)
		args_misuse("-4 and -6 exclude each other");
	if (!opt.receiver && !transmit.given)
		args_misuse("say -r to receive or -t HOST to transmit");
	if (opt.receiver)
		check_receiver();
	else
		check_sender();
	complete();
	sig_open();

	int status = opt.receiver ? server_run(&opt) : opt.sweep ? sweep_run(&opt) : client_run(&opt);
	return record_finish(status);
}
