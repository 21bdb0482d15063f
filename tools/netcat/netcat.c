#include "netcat.h"

#include "args.h"
#include "clock.h"
#include "diag.h"
#include "sig.h"
#include "units.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- options ----------------------------------------------------------------------------------------------------- */

static struct nc_options opt = { .quit_ns = CLK_NEVER };
static const char *own_port; /* -p */

static const char *const close_modes[] = { "half", "close", "rst", "unread", NULL };

/* clang-format off */
static const struct arg rows[] = {
	{ .help = "What to do:" },
	{ 'l', "listen", ARG_FLAG, &opt.listen, .help = "wait for a connection instead of making one; [ADDR] PORT, or -p PORT" },
	{ 'k', "keep-open", ARG_FLAG, &opt.keep_open, .help = "with -l: after a connection the next one, until SIGINT; with -u: "
	  "datagrams from everybody, answers to the latest" },
	{ 'u', "udp", ARG_FLAG, &opt.udp, .help = "datagrams: what one read of the input yields, at most 16 KiB, becomes one" },
	{ 'U', "unix", ARG_FLAG, &opt.is_unix, .help = "a unix socket; the operand is its path, or @NAME in the abstract namespace" },
	{ 'z', "scan", ARG_FLAG, &opt.scan, .help = "only try whether the port, or each of PORT-PORT, is open; -v prints which; status 0 "
	  "if any is" },
	{ .help = "Addresses:" },
	{ '4', "ipv4", ARG_FLAG, &opt.ipv4, .help = "IPv4 only" },
	{ '6', "ipv6", ARG_FLAG, &opt.ipv6, .help = "IPv6 only" },
	{ 'n', "numeric", ARG_FLAG, &opt.numeric, .help = "no names: hosts are addresses, ports are numbers" },
	{ 's', "source", ARG_STR, &opt.source, .value_name = "ADDR", .help = "our own address; with -l where to listen" },
	{ '\0', "bind", ARG_STR, &opt.source, .value_name = "ADDR", .help = "the same" },
	{ 'p', "port", ARG_STR, &own_port, .value_name = "PORT", .help = "our own port; with -l where to listen" },
	{ '\0', "socks", ARG_STR, &opt.socks_text, .value_name = "PROXY", .help = "through a SOCKS server, which looks HOST up: "
	  "[socks5://][USER[:PASSWORD]@]HOST[:PORT], or socks4://" },
	{ .help = "The end:" },
	{ 'w', "timeout", ARG_DURATION, &opt.timeout_ns, 0, 0, "D", "fail when connecting, waiting for a client, or a time without a "
	  "byte either way lasts longer" },
	{ 'q', "quit", ARG_STR, &opt.quit_text, .value_name = "D", .help = "once the input has ended, end after so long without a byte "
	  "from the peer; -1: never (-u without -l: 1s unless given)" },
	{ 'N', "half-close", ARG_FLAG, &opt.half_close, .help = "FIN at the end of the input: always so, accepted for those who are used "
	  "to typing it" },
	{ 'd', "no-input", ARG_FLAG, &opt.no_input, .help = "do not touch standard input, nor end because of it" },
	{ .help = "Reports, all on standard error:" },
	{ 'v', "verbose", ARG_FLAG, &opt.verbose, .help = "who is connected with whom, and how it ended: who closed, FIN or RST, was it "
	  "delivered" },
	{ 'i', "interval", ARG_DURATION, &opt.interval_ns, NS_PER_MS, 0, "D", "a line for each interval" },
	{ '\0', "json", ARG_FLAG, &opt.json, .help = "the same as JSON, one object a line" },
	{ '\0', "hexdump", ARG_FLAG, &opt.hexdump, .help = "every byte sent (>) and received (<)" },
	{ .help = "To demonstrate something:" },
	{ '\0', "close-mode", ARG_CHOICE, &opt.close_mode, .value_name = "MODE", .help = "what the end of the input does: half-close; close "
	  "at once; reset; never read and close on unread data", .choices = close_modes },
	{ '\0', "read-rate", ARG_RATE, &opt.read_Bps, 1, 0, "RATE", "read from the network no faster" },
	{ '\0', "write-rate", ARG_RATE, &opt.write_Bps, 1, 0, "RATE", "write to the network no faster" },
	{ '\0', "stop-after", ARG_SIZE, &opt.stop_after, 1, 0, "SIZE", "after so many bytes from the network read no more, and stay" },
	{ '\0', "sndbuf", ARG_SIZE, &opt.socket.send_buffer, 1, 1 << 30, "SIZE", "SO_SNDBUF" },
	{ '\0', "rcvbuf", ARG_SIZE, &opt.socket.receive_buffer, 1, 1 << 30, "SIZE", "SO_RCVBUF" },
	{ 0 },
};
/* clang-format on */

static const char *const synopsis[] = {
	"[OPTION]... HOST PORT",
	"-l [OPTION]... [ADDR] PORT",
	"-z [OPTION]... HOST PORT[-PORT]",
	"-U [-l] [OPTION]... PATH",
	NULL,
};

static const struct arg_example examples[] = {
	{ "netcat -l -v 5000", "wait for one connection on port 5000; what comes goes to standard output" },
	{ "netcat -v localhost 5000 < file", "send a file, and see that all of it was delivered" },
	{ "netcat -z -v localhost 1-1024", "which of these ports are open" },
	{ "netcat -u -w 1 localhost 2007", "UDP, to an echo server" },
	{ "netcat --socks localhost:1080 example.net 80", "through a SOCKS server, which looks the name up" },
	{ "netcat --close-mode rst localhost 5000", "a reset where a FIN belongs" },
	{ 0 },
};

/* --- operands ---------------------------------------------------------------------------------------------------- */

static uint16_t parse_port(const char *text)
{
	uint64_t value;
	if (units_parse_count(text, &value)) {
		if (value > UINT16_MAX)
			args_misuse("port %s: 65535 is the last one", text);
		return (uint16_t)value;
	}
	const struct servent *service = opt.numeric ? NULL : getservbyname(text, opt.udp ? "udp" : "tcp");
	if (service == NULL)
		args_misuse("'%s' is no port", text);
	return ntohs((uint16_t)service->s_port);
}

/* "80" or "http" or, with -z, "20-25"; there are services with a dash in their name ("http-alt"). */
static void take_port(const char *text)
{
	char first[32];
	const char *dash = opt.scan && text[strspn(text, "0123456789")] == '-' ? strchr(text, '-') : NULL;
	if (dash == NULL || (size_t)(dash - text) >= sizeof(first)) {
		opt.port = opt.last_port = parse_port(text);
		return;
	}
	memcpy(first, text, (size_t)(dash - text));
	first[dash - text] = '\0';
	opt.port = parse_port(first);
	opt.last_port = parse_port(dash + 1);
	if (opt.last_port < opt.port)
		args_misuse("%s: a range goes upwards", text);
}

/* -l [ADDR] PORT, -l ADDR -p PORT, -l -p PORT: whatever somebody's fingers know. */
static void take_listener(int n, char **words)
{
	bool has_port = own_port != NULL;
	if (n > 2 || (n > 1 && has_port))
		args_misuse("'%s' is too much", words[n - 1]);
	if (n == 0 && !has_port)
		args_misuse("-l needs a port (0 takes a free one)");
	opt.host = n == 2 || (n == 1 && has_port) ? words[0] : opt.source;
	take_port(has_port ? own_port : words[n - 1]);
}

static void take_operands(int n, char **words)
{
	if (opt.is_unix) {
		if (n != 1)
			args_misuse(n < 1 ? "-U needs the path of a socket" : "-U takes one path");
		opt.host = words[0];
	} else if (opt.listen) {
		take_listener(n, words);
	} else {
		if (n != 2)
			args_misuse(n < 2 ? "a host and a port, or -l and a port" : "'%s' is too much",
				    words[n > 2 ? 2 : 0]);
		opt.host = words[0];
		take_port(words[1]);
		if (opt.port == 0)
			args_misuse("port 0: there is nobody (it is for -l, and takes a free one)");
		opt.source_port = own_port != NULL ? parse_port(own_port) : 0;
	}
}

static void check_socks(void)
{
	char why[SOCKS_WHY];
	if (opt.listen || opt.udp || opt.is_unix || opt.scan)
		args_misuse("--socks is for one connection that we make: leave out -l, -u, -U, -z");
	if (opt.source != NULL || own_port != NULL)
		args_misuse("--socks: whom the peer sees is the SOCKS server, so leave out -s and -p");
	if (!socks_proxy_parse(opt.socks_text, &opt.socks, why))
		args_misuse("--socks: %s", why);
}

static void check(void)
{
	if (opt.ipv4 && opt.ipv6)
		args_misuse("-4 and -6 exclude each other");
	if (opt.is_unix && (opt.ipv4 || opt.ipv6 || opt.scan || own_port != NULL))
		args_misuse("-U has no addresses and ports: leave out -4, -6, -p, -z");
	if (opt.is_unix && opt.source != NULL && (opt.listen || !opt.udp))
		args_misuse("-U and -s: only a datagram client (-u) has a path of its own");
	if (opt.keep_open && !opt.listen)
		args_misuse("-k is for -l");
	if (opt.scan && opt.listen)
		args_misuse("-z and -l exclude each other");
	if (opt.udp && opt.close_mode != NC_CLOSE_HALF)
		args_misuse("--close-mode: a datagram socket has nothing to close");
	if (opt.close_mode == NC_CLOSE_UNREAD && opt.stop_after != 0)
		args_misuse("--close-mode unread reads nothing, so --stop-after never comes");
	if (opt.no_input && opt.quit_text != NULL)
		args_misuse("-d and -q exclude each other: without an input it never ends");
	if (opt.socks_text != NULL)
		check_socks();
}

/* What follows from what was said. */
static void complete(void)
{
	bool is_asking = opt.udp && !opt.listen;
	if (opt.quit_text != NULL && strcmp(opt.quit_text, "-1") != 0 &&
	    !units_parse_duration(opt.quit_text, &opt.quit_ns))
		args_misuse("-q '%s': it takes a duration (as 250ms or 1.5s)", opt.quit_text);
	if (opt.quit_text == NULL && is_asking)
		opt.quit_ns = opt.timeout_ns != 0 ? opt.timeout_ns
						  : NS_PER_S; /* datagrams have no end: silence is one */
	if (opt.scan && opt.timeout_ns == 0)
		opt.timeout_ns = UINT64_C(3) * NS_PER_S;
}

/* --- a run ------------------------------------------------------------------------------------------------------- */

/* WHY: a descriptor that is closed is the next one that socket(2) returns, and then the peer would be our standard
 * output. Standard input becomes an empty one; what is written to the others fails as if they were still closed. */
static void fill_standard_descriptors(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDONLY) != fd)
			_exit(1);
}

static void add(struct nc_result *sum, const struct nc_result *r)
{
	sum->connections += r->connections;
	sum->elapsed_ns += r->elapsed_ns;
	sum->sent += r->sent;
	sum->received += r->received;
	sum->unacked += r->unacked;
	sum->unread += r->unread;
	sum->closed_first = r->closed_first;
	sum->peer_end = r->peer_end;
}

/* One connection from its beginning to its end; its result is added to *sum. 0, or 1 if it failed. */
static int talk(struct nc *nc, struct nc_result *sum)
{
	struct nc_result r;
	nc_report_start(nc);
	nc->o->engine->run(nc);
	nc_close(nc, &r);
	if (nc->has_failed)
		nc_report_error(nc->o, &nc->error);
	nc_report_end(nc->o, &r);
	if (nc->o->keep_open)
		nc_report_result(nc->o, "connection", &r);
	add(sum, &r);
	return nc->has_failed ? 1 : 0;
}

/* Before there was a connection: a signal ends it in peace, everything else is an error. */
static int give_up(const struct nc_options *o, const struct nc_result *sum, const struct net_error *e)
{
	if (sig_pending(NULL) != 0)
		nc_report_result(o, "total", sum);
	else
		nc_report_error(o, e);
	return 1;
}

static int run_client(const struct nc_options *o)
{
	static struct nc nc; /* WHY static: nc->is_in_use */
	struct net_error e = { 0 };
	struct nc_result sum = { 0 };
	if (nc_connect(o, &nc, &e) < 0)
		return give_up(o, &sum, &e);
	int status = talk(&nc, &sum);
	nc_report_result(o, "total", &sum);
	return status;
}

static int run_server(const struct nc_options *o)
{
	static struct nc nc; /* WHY static: nc->is_in_use */
	struct addr bound;
	struct net_error e = { 0 };
	struct nc_result sum = { 0 };
	int status = 0;
	int listener = nc_listen(o, &bound, &e);
	if (listener < 0)
		return give_up(o, &sum, &e);
	nc_report_listening(o, &bound);
	do {
		if (nc_accept(o, listener, &nc, &e) < 0) {
			nc_unlisten(o, listener);
			return give_up(o, &sum, &e);
		}
		if (!o->keep_open)
			nc_unlisten(o, listener);
		status = talk(&nc, &sum);
	} while (o->keep_open && !nc.is_in_use &&
		 sig_pending(NULL) == 0); /* what became of one client does not concern the next */
	if (o->keep_open)
		nc_unlisten(o, listener);
	nc_report_result(o, "total", &sum);
	return status;
}

int nc_main(int argc, char **argv, const struct nc_engine *engine)
{
	/* WHY: a line is one write(2), so that who reads the file meanwhile finds no half of a record. The buffer is ours, as
	 * musl makes none for standard error. */
	static char line[4096];
	fill_standard_descriptors();
	setvbuf(stderr, line, _IOLBF, sizeof(line));
	diag_tool = engine->tool;
	opt.engine = engine;
	const char *const about[] = {
		"Connects standard input and output to the network: what is read from the input is sent, what is received is "
		"written to the output. At the end of the input it half-closes (FIN) and reads on until the peer has ended, too.",
		engine->about,
		NULL,
	};
	struct arg_spec spec = {
		.tool = engine->tool,
		.one_line = engine->one_line,
		.synopsis = synopsis,
		.about = about,
		.args = rows,
		.examples = examples,
		.see_also = "tcplab(1), tcp(7), udp(7), unix(7). The three netcats side by side: docs/tools/netcat.md.",
	};
	int first = args_parse(&spec, argc, argv);
	take_operands(argc - first, argv + first);
	check();
	complete();
	sig_open();
	int status = opt.scan ? nc_scan(&opt) : opt.listen ? run_server(&opt) : run_client(&opt);
	return sig_exit_status(status);
}
