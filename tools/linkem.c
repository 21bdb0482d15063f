/* linkem - two hosts on one laptop, and any network between them: delay, bandwidth, queue, loss, and more, without
 * root.
 *
 * Try:       linkem --rtt 20ms --rate 10mbit          in one terminal; then, in others:
 *            linkem exec b ttcp -r
 *            linkem exec a ttcp -t b --time 10
 *            linkem set a2b loss=1%                    while it runs
 *            linkem watch                              every packet, when it left and when it arrived
 * Look for:  what the queue does when loss stops TCP from filling it; what TCP does when the queue is deep.
 * Labs:      02-message-size, 18-corruption, 60-slow-start, 61-loss, 62-bufferbloat, 63-window. docs/testbed.md is the
 * guide.
 *
 * Two network namespaces, in each a device whose packets come to this process; from here they go on to the other one,
 * when and if the link lets them. Read on in this order; each chapter is one file in tools/linkem/:
 *     run.c       which processes there are, and who ends with whom
 *     hosts.c     the namespaces and what is in them            port.c   a device's packets, as a descriptor
 *     engine.c    the loop                                      lane.c   one direction of the link: the heart of it
 *     spec.c      "delay=10ms,loss=1%"
 *     control.c   orders from outside                           socket.c, client.c, child.c   those who give them
 *     report.c    counters       diagram.c   a line for each packet       capture.c   pcap files
 * This file has the options and main. */
#include "linkem/linkem.h"

#include "args.h"
#include "clock.h"
#include "diag.h"
#include "record.h"
#include "units.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *const linkem_lane_names[LINKEM_LANES] = { "a2b", "b2a", "r2b", "b2r" };

static const char *const synopsis[] = { "[options]",
					"set [options] [a2b|b2a|r2b|b2r] SPEC...",
					"stat [options]",
					"watch [options]",
					"exec [options] a|b|r CMD [ARGUMENT...]",
					"down [options]",
					NULL };

static const char *const about[] = {
	"linkem makes two hosts, a and b, and a link between them that behaves as it is told: each direction has "
	"its own delay, jitter, rate, queue, loss, and so on. The hosts are network namespaces, so no root is "
	"needed where the kernel lets ordinary users have them. It stays in the foreground until SIGINT; 'tcplab "
	"net up' makes the same in the background.",
	"While it runs, 'linkem exec a CMD' runs a command on host a, 'linkem set' changes the link, 'linkem stat' "
	"tells what passed and what was dropped and why, 'linkem watch' shows each packet, 'linkem down' ends it. "
	"On the hosts the names a and b resolve, by IPv4 and IPv6, and sysctls are their own.",
	"A SPEC is a list: delay=10ms jitter=1ms rate=10mbit queue=50K|auto tail|red|ecn loss=1% burst=5 "
	"ge=P:R[:BAD[:GOOD]] every=N drop=[KIND:]N (KIND: any syn synack data ack fin rst) dup=1% reorder=1%[:D] "
	"corrupt=1% swap=1% blackhole=SIZE seed=N down[=D] up clear. Without a direction 'set' changes both, and "
	"knows rtt=D.",
	"Nothing is left behind when it ends, by whatever signal: hosts, devices and all that runs on them end with "
	"it.",
	NULL,
};

static const struct arg_example examples[] = {
	{ "linkem --rtt 20ms --rate 10mbit",
	  "a link of 10 Mbit/s each way; the queue holds a bandwidth-delay product" },
	{ "linkem --a2b delay=30ms,loss=1% --b2a delay=10ms", "different ways there and back" },
	{ "linkem exec b ttcp -r", "run a server on host b" },
	{ "linkem set a2b queue=1M rate=2mbit", "a deeper queue and less bandwidth, while it runs" },
	{ "linkem set down=2s", "nothing gets through for two seconds" },
	{ "linkem stat --interval 1s", "rate, queue and drops, each second" },
	{ "linkem --rtt 20ms --pcap a.pcap --diagram", "every packet: in a file, and as a line" },
	{ 0 },
};

static const struct arg_example exit_statuses[] = {
	{ "any", "exec: the command's own; 126 and 127 when it cannot be run or is not found, 128 + N after signal N" },
	{ 0 },
};

static struct linkem_options opt = { .mtu = 1500, .name = "net" };
static struct {
	uint64_t rtt_ns, rate_Bps, seed;
	const char *loss, *lanes[LINKEM_LANES];
} said;

static const char *const devices[] = { "auto", "tun", "veth", NULL };

/* clang-format off */
static const struct arg rows[] = {
	{ .help = "The link:\n"
	  "  A SPEC is a list such as delay=10ms,loss=1%, of the words\n"
	  "    delay=D jitter=D rate=R|none queue=SIZE|auto tail red ecn\n"
	  "    loss=P burst=N ge=P:R[:BAD[:GOOD]] every=N drop=[KIND:]N blackhole=SIZE\n"
	  "    dup=P reorder=P[:D] corrupt=P swap=P seed=N down[=D] up clear\n"
	  "  with P a share such as 1%, KIND any, syn, synack, data, ack, fin or rst. Without a direction 'set'\n"
	  "  changes both, and knows rtt=D." },
	{ '\0', "rtt", ARG_DURATION, &said.rtt_ns, 0, UINT64_C(120) * NS_PER_S, "D", "round-trip time: half of it as delay each way" },
	{ '\0', "rate", ARG_RATE, &said.rate_Bps, 1, 0, "RATE", "bandwidth each way" },
	{ '\0', "loss", ARG_STR, &said.loss, .value_name = "P", .help = "share of the packets that is lost each way, such as 1%" },
	{ '\0', "a2b", ARG_STR, &said.lanes[LANE_A2B], .value_name = "SPEC", .help = "from a to b" },
	{ '\0', "b2a", ARG_STR, &said.lanes[LANE_B2A], .value_name = "SPEC", .help = "from b to a" },
	{ '\0', "seed", ARG_COUNT, &said.seed, 0, 0, "N", "of all chance: the same seed and the same packets give the same losses" },
	{ .help = "The hosts:" },
	{ '\0', "router", ARG_FLAG, &opt.has_router, .help = "a router r between the link and b; the hop r - b delays nothing" },
	{ '\0', "r2b", ARG_STR, &said.lanes[LANE_R2B], .value_name = "SPEC", .help = "from r to b: a second bottleneck (implies --router)" },
	{ '\0', "b2r", ARG_STR, &said.lanes[LANE_B2R], .value_name = "SPEC", .help = "from b to r" },
	{ '\0', "mtu", ARG_COUNT, &opt.mtu, 1280, 65535, "BYTES", "of the link" },
	{ '\0', "device", ARG_CHOICE, &opt.device, .value_name = "KIND", .help = "TUN devices, or veth pairs and packet sockets where /dev/net/tun is "
	  "closed to us", .choices = devices },
	{ .help = "Watching:" },
	{ '\0', "diagram", ARG_FLAG, &opt.diagram, .help = "a line for each packet on standard output, as 'linkem watch' prints them" },
	{ 'w', "pcap", ARG_FILE, &opt.pcap[0], .value_name = "FILE", .help = "what is seen at a, for tcpdump and Wireshark" },
	{ '\0', "pcap-b", ARG_FILE, &opt.pcap[1], .value_name = "FILE", .help = "what is seen at the other end of the link" },
	{ 'i', "interval", ARG_DURATION, &opt.interval_ns, NS_PER_MS, 0, "D", "rate, queue and drops so often; 1 s on a terminal, otherwise never" },
	{ .help = "The run:" },
	{ 'n', "name", ARG_STR, &opt.name, .value_name = "NAME", .help = "of the testbed, for several at once; $TCPLAB_NET if that is set" },
	{ '\0', "time", ARG_DURATION, &opt.time_ns, 1, 0, "D", "end after so long" },
	{ '\0', "background", ARG_FLAG, &opt.background, .help = "return as soon as it is up; 'linkem down' ends it" },
	{ '\0', "while", ARG_COUNT, &opt.while_pid, 1, INT32_MAX, "PID", "end with this process" },
	{ 'v', "verbose", ARG_FLAG, &opt.verbose, .help = "after set: how the link is now" },
	{ '\0', "json", ARG_FLAG, &opt.json, .help = "one JSON object for each interval and for the totals" },
	{ 0 },
};
/* clang-format on */

static struct arg_spec spec = {
	.tool = "linkem",
	.one_line = "emulates a network link between two hosts on this machine, without root",
	.synopsis = synopsis,
	.about = about,
	.args = rows,
	.examples = examples,
	.exit_statuses = exit_statuses,
	.see_also = "tcplab(1), network_namespaces(7), pid_namespaces(7), tc-netem(8). The guide: docs/testbed.md; "
		    "the link's words and the records: docs/tools/linkem.md.",
};

/* --- what the link is to do --------------------------------------------------------------------------------------- */

static bool change_both(struct spec lanes[LINKEM_LANES], const char *text, char why[static SPEC_WHY])
{
	struct spec there = lanes[LANE_A2B], back = lanes[LANE_B2A];
	if (!spec_apply(&there, text, why) || !spec_apply(&back, text, why))
		return false;
	lanes[LANE_A2B] = there;
	lanes[LANE_B2A] = back;
	return true;
}

static bool change_rtt(struct spec lanes[LINKEM_LANES], const char *value, char why[static SPEC_WHY])
{
	uint64_t rtt_ns;
	char text[64];
	if (!units_parse_duration(value, &rtt_ns)) {
		snprintf(why, SPEC_WHY, "rtt=%.40s: not a duration such as 20ms", value);
		return false;
	}
	snprintf(text, sizeof(text), "delay=%lluns", (unsigned long long)(rtt_ns / 2));
	return change_both(lanes, text, why);
}

bool linkem_change(struct spec lanes[LINKEM_LANES], int *lane, const char *word, char why[static SPEC_WHY])
{
	for (int i = 0; i < LINKEM_LANES; i++) {
		if (strcmp(word, linkem_lane_names[i]) == 0) {
			*lane = i;
			return true;
		}
	}
	if (*lane >= 0)
		return spec_apply(&lanes[*lane], word, why);
	if (strncmp(word, "rtt=", 4) != 0)
		return change_both(lanes, word, why);
	char value[64];
	size_t len = strcspn(word + 4, ", \t\r\n");
	const char *rest = word + 4 + len;
	snprintf(value, sizeof(value), "%.*s", (int)len, word + 4);
	struct spec before[] = { lanes[LANE_A2B], lanes[LANE_B2A] };
	if (change_rtt(lanes, value, why) && (*rest == '\0' || change_both(lanes, rest, why)))
		return true;
	lanes[LANE_A2B] = before[0];
	lanes[LANE_B2A] = before[1];
	return false;
}

/* The options that speak of the link, in this order: those for both directions, then those for one. */
static void take_link(struct linkem_options *o)
{
	char why[SPEC_WHY], text[160];
	bool is_right = true;
	if (said.rtt_ns != 0) {
		snprintf(text, sizeof(text), "%lluns", (unsigned long long)said.rtt_ns);
		is_right = change_rtt(o->lanes, text, why);
	}
	if (is_right && said.rate_Bps != 0)
		o->lanes[LANE_A2B].rate_Bps = o->lanes[LANE_B2A].rate_Bps = said.rate_Bps;
	if (is_right && said.loss != NULL) {
		snprintf(text, sizeof(text), "loss=%.100s", said.loss);
		is_right = change_both(o->lanes, text, why);
	}
	for (unsigned i = 0; i < LINKEM_LANES && is_right; i++) {
		if (said.seed != 0)
			o->lanes[i].seed = said.seed;
		if (said.lanes[i] != NULL)
			is_right = spec_apply(&o->lanes[i], said.lanes[i], why);
	}
	if (!is_right)
		args_misuse("%s", why);
	o->has_second_link = said.lanes[LANE_R2B] != NULL || said.lanes[LANE_B2R] != NULL;
	o->has_router = o->has_router || o->has_second_link;
}

/* --- commands ----------------------------------------------------------------------------------------------------- */

/* It becomes part of an address, and of messages. */
static void check_name(const char *name)
{
	for (const char *c = name; *c != '\0'; c++) {
		if (!isgraph((unsigned char)*c))
			args_misuse("--name: letters, digits and signs only");
	}
	if (*name == '\0')
		args_misuse("--name: no name");
}

static void check_words(char *const words[], int n)
{
	struct spec lanes[LINKEM_LANES];
	char why[SPEC_WHY];
	int lane = -1, n_changes = 0;
	for (int i = 0; i < LINKEM_LANES; i++)
		lanes[i] = spec_default();
	for (int i = 0; i < n; i++) {
		int before = lane;
		if (!linkem_change(lanes, &lane, words[i], why))
			args_misuse("%s", why);
		n_changes += lane == before;
	}
	if (n_changes == 0)
		args_misuse("set: what? For example: linkem set a2b delay=50ms");
}

static int set(char *const words[], int n)
{
	check_words(words, n);
	return linkem_set(&opt, words, n);
}

static int exec(char *const words[], int n)
{
	if (n < 2)
		args_misuse("exec: which host, and which command? For example: linkem exec b ttcp -r");
	return linkem_exec(&opt, words[0], words + 1);
}

static int command(const char *name, int argc, char **argv)
{
	spec.stops_at_operand = strcmp(name, "exec") == 0;
	int first = args_parse(&spec, argc, argv), n = argc - first;
	char **words = argv + first;
	check_name(opt.name);
	if (strcmp(name, "set") == 0)
		return set(words, n);
	if (strcmp(name, "exec") == 0)
		return exec(words, n);
	if (n > 0)
		args_misuse("%s: takes no '%s'", name, words[0]);
	if (strcmp(name, "stat") == 0)
		return linkem_stat(&opt);
	if (strcmp(name, "watch") == 0)
		return linkem_watch(&opt);
	return linkem_down(&opt);
}

static bool is_command(const char *word)
{
	static const char *const commands[] = { "set", "stat", "exec", "watch", "down" };
	for (size_t i = 0; i < COUNT_OF(commands); i++) {
		if (strcmp(word, commands[i]) == 0)
			return true;
	}
	return false;
}

static int run(int argc, char **argv)
{
	int first = args_parse(&spec, argc, argv);
	check_name(opt.name);
	if (first < argc)
		args_misuse("'%s'? Commands come first: set, stat, exec, watch, down", argv[first]);
	if (opt.background && (opt.diagram || opt.interval_ns != 0))
		args_misuse("--background is silent: 'linkem watch' and 'linkem stat -i' show the same");
	take_link(&opt);
	if (opt.interval_ns == 0 && isatty(STDOUT_FILENO) && !opt.background && !opt.diagram && !opt.json)
		opt.interval_ns = NS_PER_S;
	return linkem_run(&opt);
}

int main(int argc, char **argv)
{
	diag_tool = "linkem";
	setvbuf(stdout, NULL, _IOLBF, 0);
	const char *name = getenv("TCPLAB_NET");
	if (name != NULL && name[0] != '\0')
		opt.name = name;
	for (unsigned i = 0; i < LINKEM_LANES; i++)
		opt.lanes[i] = spec_default();
	int status = argc > 1 && is_command(argv[1]) ? command(argv[1], argc - 1, argv + 1) : run(argc, argv);
	fflush(stdout);
	/* WHY not return: LeakSanitizer starts a thread at exit, and waits for it for ever in a process whose children
	 * belong to another PID namespace, which may have none (clone(2), EINVAL). */
	_exit(status);
}
