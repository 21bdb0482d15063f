/* tcpwatch - what happens to TCP connections, seen from outside the programs that have them.
 *
 * Try:       tcpwatch :5001                            and, elsewhere: ttcp -r; ttcp -t 127.0.0.1
 *            tcpwatch --once                           one look, as a table
 *            tcpwatch $$                               the connections of a process
 *            unshare -Urn tcpwatch --packets           packets, too, in a network of one's own
 * Look for:  who goes to FIN-WAIT-1 and who to CLOSE-WAIT; which queue fills; what a timer waits for.
 * Labs:      every lab that says what TCP did uses it as evidence.
 *
 * It asks the kernel for its table of sockets every 10 ms (sock_diag(7)) and says what is different from the last time.
 * No right is needed for that. What is shorter than the interval it cannot see: a connection that comes and goes
 * between two polls, or a state that lasts a microsecond. --packets does see those, and needs root in its network.
 *
 * Read on in this order; each chapter is one file in tools/tcpwatch/:
 *     watch.c     the loop: poll, compare, tell
 *     table.c     the sockets that are watched, and the connections they belong to
 *     process.c   the sockets of a process
 *     sniff.c     packets from the kernel, and into a file
 *     report.c    lines and records
 *     once.c      --once
 * Beneath them are common/sockdiag.c, which asks the kernel, and common/packet.c, which reads packets. This file has the
 * options and main. */
#include "tcpwatch/tcpwatch.h"

#include "args.h"
#include "clock.h"
#include "diag.h"
#include "record.h"
#include "sig.h"
#include "units.h"

#include <stdlib.h>
#include <string.h>

static const char *const synopsis[] = { "[options] [:PORT | ADDR:PORT | PID]...",
					"--once [options] [:PORT | ADDR:PORT | PID]...", NULL };

static const char *const about[] = {
	"tcpwatch prints what happens to TCP connections: they appear, change their state, their queues fill and empty, timers "
	"wait for answers, and they go. It polls the kernel's table of sockets and needs no right for that. Without an operand "
	"it watches all connections of this network namespace; several operands add up.",
	"A loopback connection has two sockets, and both are told of: the connection has a number, and each line names the port "
	"of the socket it is about.",
	"Polling cannot see what is shorter than the interval: short states, and connections that come and go between two polls. "
	"The last line says how long the longest gap was. --packets shows every packet, in the notation of packetdrill with "
	"sequence numbers counted from 0, but only to root, or in a private network.",
	NULL,
};

static const struct arg_example examples[] = {
	{ "tcpwatch :5001", "the lives of all connections from or to port 5001" },
	{ "tcpwatch --once --listen", "every TCP socket, as a table" },
	{ "tcpwatch --once --json | jq .recv_queue_bytes", "the same for programs" },
	{ "tcpwatch --until-closed --json :5001 >lives.json",
	  "evidence for a lab: ends when the connections have ended" },
	{ "tcpwatch 4711", "the connections of process 4711" },
	{ "unshare -Urn bash -c 'ip link set lo up; tcpwatch --packets --pcap all.pcap'",
	  "with packets, in a private network" },
	{ 0 },
};

static struct tcpwatch_options opt = {
	.interval_ns = 10 * NS_PER_MS,
	.report_ns = 500 * NS_PER_MS,
	.snap_len = 256,
};

/* clang-format off */
static const struct arg rows[] = {
	{ .help = "What to watch:" },
	{ 'l', "listen", ARG_FLAG, &opt.listeners, .help = "listening sockets, too: who waits in their accept queues" },
	{ '4', "ipv4", ARG_FLAG, &opt.ipv4, .help = "IPv4 only" },
	{ '6', "ipv6", ARG_FLAG, &opt.ipv6, .help = "IPv6 only" },
	{ '1', "once", ARG_FLAG, &opt.once, .help = "one look: a table of the sockets as they are now" },
	{ .help = "How, and for how long:" },
	{ 'i', "interval", ARG_DURATION, &opt.interval_ns, 100 * NS_PER_US, UINT64_C(60) * NS_PER_S, "D", "between two polls" },
	{ 'r', "report", ARG_DURATION, &opt.report_ns, 1, 0, "D", "bytes, queues and windows of a socket at most so often; states "
	  "and timeouts are always told at once" },
	{ '\0', "time", ARG_DURATION, &opt.time_ns, 1, 0, "D", "stop after so long" },
	{ '\0', "until-closed", ARG_FLAG, &opt.until_closed, .help = "stop when there were connections and all are gone or in "
	  "TIME-WAIT, or the processes have ended" },
	{ .help = "Packets (root, or a private network):" },
	{ '\0', "packets", ARG_FLAG, &opt.packets, .help = "a line for each TCP packet, merged with the rest by time" },
	{ 'w', "pcap", ARG_FILE, &opt.pcap, .value_name = "FILE", .help = "write the packets to FILE, for tcpdump and Wireshark" },
	{ '\0', "snap", ARG_SIZE, &opt.snap_len, 128, 262144, "SIZE", "keep so many bytes of each packet, from the IP header on" },
	{ .help = "Output:" },
	{ 'v', "verbose", ARG_FLAG, &opt.verbose, .help = "owner and inode; all options of packets" },
	{ '\0', "json", ARG_FLAG, &opt.json, .help = "one JSON object for each event" },
	{ 0 },
};
/* clang-format on */

static const struct arg_spec spec = {
	.tool = "tcpwatch",
	.one_line = "prints the lives of TCP connections, as the kernel sees them",
	.synopsis = synopsis,
	.about = about,
	.args = rows,
	.examples = examples,
	.see_also = "tcplab(1), ss(8), sock_diag(7), tcp(7), packet(7). The records: docs/tools/tcpwatch.md.",
};

/* --- operands ------------------------------------------------------------------------------------------------------ */

static uint16_t parse_port(const char *text, const char *operand)
{
	uint64_t port;
	if (!units_parse_count(text, &port) || port == 0 || port > 65535)
		args_misuse("'%s': a port is a number from 1 to 65535", operand);
	return (uint16_t)port;
}

/* "10.0.0.1:80", "[::1]:80", "localhost:80" */
static void parse_address(struct tcpwatch_target *t, const char *colon)
{
	char host[256];
	struct net_error e;
	size_t len = (size_t)(colon - t->text), start = 0;
	t->kind = TARGET_ADDRESS;
	t->port = parse_port(colon + 1, t->text);
	if (t->text[0] == '[' && len >= 2 && t->text[len - 1] == ']') {
		start = 1;
		len -= 2;
	}
	if (len >= sizeof(host))
		args_misuse("'%s': too long for a host", t->text);
	memcpy(host, t->text + start, len);
	host[len] = '\0';
	int n = addr_resolve(host, t->port, AF_UNSPEC, t->addr, ADDR_MAX, &e);
	if (n < 0) {
		record_error(opt.json, &e);
		exit(1);
	}
	t->n_addr = (size_t)n;
}

static void parse_process(struct tcpwatch_target *t)
{
	uint64_t pid;
	struct net_error e;
	if (!units_parse_count(t->text, &pid) || pid == 0 || pid > INT32_MAX)
		args_misuse("'%s' is neither :PORT nor ADDR:PORT nor the number of a process", t->text);
	t->kind = TARGET_PROCESS;
	if (tcpwatch_process_open(&t->process, (pid_t)pid, &e) < 0) {
		record_error(opt.json, &e);
		exit(1);
	}
}

static void parse_operand(const char *text)
{
	if (opt.n_targets == TCPWATCH_OPERANDS)
		args_misuse("more than %d operands", TCPWATCH_OPERANDS);
	struct tcpwatch_target *t = &opt.target[opt.n_targets++];
	const char *colon = strrchr(text, ':');
	t->text = text;
	if (colon == NULL) {
		parse_process(t);
	} else if (colon == text) {
		t->kind = TARGET_PORT;
		t->port = parse_port(text + 1, text);
	} else {
		parse_address(t, colon);
	}
}

static void check_options(void)
{
	if (opt.ipv4 && opt.ipv6)
		args_misuse("-4 and -6 exclude each other");
	if (opt.once && (opt.packets || opt.pcap != NULL || opt.until_closed || opt.time_ns != 0))
		args_misuse("--once is one look: no --packets, --pcap, --until-closed, --time");
}

int main(int argc, char **argv)
{
	diag_tool = "tcpwatch";
	setvbuf(stdout, NULL, _IOLBF, 0);
	int first = args_parse(&spec, argc, argv);
	check_options();
	for (int i = first; i < argc; i++)
		parse_operand(argv[i]);
	sig_open();
	int status = opt.once ? tcpwatch_once(&opt) : tcpwatch_watch(&opt);
	for (size_t i = 0; i < opt.n_targets; i++)
		tcpwatch_process_close(opt.target[i].process);
	return record_finish(status);
}
