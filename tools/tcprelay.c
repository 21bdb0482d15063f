/* tcprelay - stands between clients and servers, and keeps every promise of TCP: bytes, order, and how it ends.
 *
 * Try:       tcprelay -v 8080 example.net:80                    and http://127.0.0.1:8080 in a browser
 *            tcprelay --top --delay 100ms --rate 1mbit 2022 somehost:22      a long and thin line, without root
 *            tcprelay --status r.sock 7000 localhost:7001,localhost:7002     and, elsewhere: tcprelay top r.sock
 * Look for:  who ended a connection, and how (-v); who is paused because the other one is too slow (--top).
 * Labs:      50-relay-backpressure, 51-relay-close, 53-relay-race.
 *
 *	client ---accept--> [PROXY head] ---> which server? ---connect---> pump, both ways ---> a line in the log
 *	                     proxyhead.c       upstreams.c                  common/pump.c
 *
 * This file is what makes a tcprelay of a relay: where a client is to be connected to, and the command line. The
 * chapters in tools/relay/ are a relay of any kind (relay.h has the map), those in tools/tcprelay/ this one's. */
#include "args.h"
#include "clock.h"
#include "diag.h"
#include "mem.h"
#include "relay/relay.h"
#include "sock.h"
#include "tcprelay/proxyhead.h"
#include "tcprelay/upstreams.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HEAD_LIMIT_S = 10 }; /* for a PROXY head to come */

static const char *const proxy_out_choices[] = { "none", "v1", "v2", NULL };

static struct {
	struct relay_options relay;
	struct upstreams *upstreams;
	struct arg_list rules;
	int balance, proxy_out;
	bool proxy_in, nodelay, blackhole;
	const char *delay, *jitter, *rate, *chunk, *stall_at, *cut_at, *corrupt_at, *seed, *up, *down;
} opt = {
	.relay = {
		.threads = 1,
		.linger_ns = 30 * (uint64_t)NS_PER_S,
		.drain_ns = 10 * (uint64_t)NS_PER_S,
		.connect_ns = 10 * (uint64_t)NS_PER_S,
	},
};

/* --- a flow: whose turn is it? ------------------------------------------------------------------------------------ */

struct flow {
	struct relay_flow relay;
	struct upstream *server; /* picked, and not yet given back */
	struct upstream_try tries;
	struct buf head; /* --proxy-in: what has come of it; then what came behind it */
	struct addr
		via; /* the address that the client connected to, as a PROXY head says it; len 0: as the socket does */
};

static struct flow *flow_of(struct relay_flow *f)
{
	return CONTAINER_OF(f, struct flow, relay);
}

static void connect_to_next(struct flow *f)
{
	f->server = upstreams_pick(opt.upstreams, &f->relay.client, &f->tries, clk_mono_ns());
	if (f->server == NULL)
		relay_refuse(&f->relay, RELAY_END_CONNECT, NULL);
	else
		relay_connect(&f->relay, f->server->host, f->server->port);
}

/* What the server reads first: the PROXY head that we were asked to send, and what came from the client too early. */
static void open_with_head(struct flow *f, int fd)
{
	unsigned char head[PROXYHEAD_PUT];
	size_t n = 0;
	if (opt.proxy_out != 0) {
		if (f->via.len == 0 && addr_of_socket(f->relay.client_fd, &f->via) < 0)
			f->via = (struct addr){ 0 };
		n = proxyhead_put(head, (unsigned)opt.proxy_out, &f->relay.client, &f->via);
	}
	struct buf early = f->head; /* relay_open may end the flow */
	f->head = (struct buf){ 0 };
	relay_open(&f->relay, fd, head, n, buf_peek(&early), buf_len(&early));
	buf_free(&early);
}

static void on_connected(struct relay_flow *relay, int fd, const struct net_error *e)
{
	(void)e;
	struct flow *f = flow_of(relay);
	if (fd >= 0) {
		upstreams_connected(opt.upstreams, f->server);
		open_with_head(f, fd);
		return;
	}
	upstreams_failed(opt.upstreams, f->server, clk_mono_ns());
	f->server = NULL;
	connect_to_next(f);
}

/* --proxy-in: the client is itself a relay, and says first whom it speaks for. */
static bool on_head(struct watch *w, unsigned events)
{
	(void)events;
	struct flow *f = flow_of(relay_flow_of_watch(w));
	struct proxyhead head;
	const char *why = "the client ended before its PROXY head was complete";
	ssize_t n = io_fill(&f->head, w->fd);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	enum proxyhead_result result = n > 0 ? proxyhead_get(&head, buf_peek(&f->head), buf_len(&f->head), &why)
					     : PROXYHEAD_BAD;
	if (result == PROXYHEAD_BAD)
		relay_refuse(&f->relay, RELAY_END_REFUSED, why);
	if (result != PROXYHEAD_DONE)
		return true;
	buf_consume(&f->head, head.len);
	if (!head.is_local && head.client.len > 0) {
		f->relay.client = head.client;
		f->via = head.server;
	}
	connect_to_next(f);
	return true;
}

static void on_client(struct relay_flow *relay)
{
	if (opt.proxy_in)
		relay_greet(relay, on_head, HEAD_LIMIT_S * (uint64_t)NS_PER_S);
	else
		connect_to_next(flow_of(relay));
}

static void on_end(struct relay_flow *relay)
{
	struct flow *f = flow_of(relay);
	if (f->server != NULL)
		upstreams_ended(opt.upstreams, f->server);
	buf_free(&f->head);
}

/* --- the servers -------------------------------------------------------------------------------------------------- */

static void on_reload(struct relay *relay)
{
	(void)relay;
	char why[UPSTREAMS_WHY];
	if (!upstreams_reload(opt.upstreams, why))
		warnf("SIGHUP: the old servers stay: %s", why);
}

static void json_upstream(struct json *j, const struct upstream_row *row)
{
	json_object(j, NULL);
	json_str(j, "target", row->text);
	json_u64(j, "live", row->live);
	json_u64(j, "picked", row->picked);
	json_u64(j, "connected", row->connected);
	json_u64(j, "failed", row->failed);
	json_u64(j, "backoff_ns", row->backoff_ns);
	json_bool(j, "gone", row->is_gone);
	json_close(j);
}

static void print_upstream(FILE *out, const struct upstream_row *row)
{
	fprintf(out, "%s: %llu live, %llu connected, %llu failed", row->text, (unsigned long long)row->live,
		(unsigned long long)row->connected, (unsigned long long)row->failed);
	if (row->is_gone)
		fprintf(out, ", taken off the list");
	else if (row->backoff_ns > 0)
		fprintf(out, ", passed over for %.1f s", (double)row->backoff_ns / 1e9);
	fprintf(out, "\n");
}

static void report(struct relay *relay, struct json *j, FILE *out)
{
	(void)relay;
	struct upstream_row *rows = xcalloc(UPSTREAMS_MAX, sizeof(*rows));
	size_t n = upstreams_rows(opt.upstreams, rows, UPSTREAMS_MAX, clk_mono_ns());
	if (j != NULL)
		json_array(j, "upstreams");
	for (size_t i = 0; i < n; i++) {
		if (j != NULL)
			json_upstream(j, &rows[i]);
		else
			print_upstream(out, &rows[i]);
	}
	if (j != NULL)
		json_close(j);
	free(rows);
}

static const struct relay_tool tcprelay = {
	.name = "tcprelay",
	.flow_len = sizeof(struct flow),
	.on_client = on_client,
	.on_connected = on_connected,
	.on_end = on_end,
	.on_reload = on_reload,
	.report = report,
};

/* --- the command line --------------------------------------------------------------------------------------------- */

static const char *const synopsis[] = {
	"[options] [ADDR:]PORT TARGET[,TARGET...]",
	"[options] HOST PORT LISTEN_PORT",
	"stat|top|drain PATH [--json]",
	"set PATH [up|down] WORD...",
	NULL,
};

static const char *const about[] = {
	"tcprelay accepts connections and passes each on to a TARGET (HOST:PORT, or @FILE with one on each line): bytes, "
	"half-close, reset and backpressure, in both directions. A server that refuses looks like one that refuses. It listens on "
	"127.0.0.1 unless ADDR is given.",
	"It shows what goes on (--top, --http, --status, -v), and can be a bad link on purpose, without root: late, slow, in small "
	"pieces, stalled, cut, wrong. up is from client to server, down from server to client.",
	"SIGTERM and SIGINT: no new connections, the others have --drain to end. SIGHUP: @FILEs are read again.",
	"stat, top, set and drain are orders to a running relay, through its --status PATH. The words of set are those of --up and "
	"--down.",
	NULL,
};

static const struct arg_example examples[] = {
	{ "tcprelay -v 8080 example.net:80", "a relay to one server, with a line for each connection" },
	{ "tcprelay --top --delay 50ms --jitter 10ms 2022 host:22",
	  "100 ms more for each round trip, and a live table" },
	{ "tcprelay --down cut-at=1M:rst 8080 localhost:80", "each answer breaks off after 1 MiB" },
	{ "tcprelay --balance least 8080 a:80,b:80,c:80", "three servers, each connection to the one with the fewest" },
	{ "tcprelay set r.sock down rate=1mbit", "from now on, slowly" },
	{ 0 },
};

static const struct arg_example statuses[] = {
	{ "0", "after SIGTERM or SIGINT: every connection ended by itself" },
	{ "1", "some had to be reset when --drain was over; or it could not start" },
	{ 0 },
};

/* clang-format off */
static const struct arg rows[] = {
	{ .help = "Where to:" },
	{ '\0', "balance", ARG_CHOICE, &opt.balance, .value_name = "HOW", .help = "which TARGET is next. rr: each in turn. least: the one with "
	  "the fewest connections. hash: the same client, the same server. first: the first that works", .choices = upstreams_balance_choices },
	{ '\0', "connect-timeout", ARG_DURATION, &opt.relay.connect_ns, .value_name = "D", .help = "for name and connection of one TARGET; "
	  "then the next one is tried (0: as long as the kernel tries)" },
	{ '\0', "from", ARG_STR, &opt.relay.from, .value_name = "ADDR", .help = "connect from this local address" },
	{ '\0', "proxy-in", ARG_FLAG, &opt.proxy_in, .help = "clients begin with a PROXY head (version 1 or 2), else they are refused" },
	{ '\0', "proxy-out", ARG_CHOICE, &opt.proxy_out, .value_name = "V", .help = "tell servers who the client is: none, v1 or v2",
	  .choices = proxy_out_choices },
	{ '4', "ipv4", ARG_FLAG, &opt.relay.ipv4, .help = "IPv4 only" },
	{ '6', "ipv6", ARG_FLAG, &opt.relay.ipv6, .help = "IPv6 only" },
	{ .help = "Who may come:" },
	{ '\0', "allow", ARG_LIST, &opt.rules, .value_name = "NET", .help = "networks (10.0.0.0/8,::1 or @FILE); the first rule that matches "
	  "decides, and with an --allow nobody else is let in" },
	{ '\0', "deny", ARG_LIST, &opt.rules, .value_name = "NET", .help = "networks that are not let in" },
	{ '\0', "max-conn", ARG_COUNT, &opt.relay.max_conn, .value_name = "N", .help = "connections at once; more wait in the backlog "
	  "(0: as many as there are descriptors)" },
	{ 'T', "threads", ARG_COUNT, &opt.relay.threads, 1, LOOPS_MAX, "N", "so many loops, a thread each" },
	{ .help = "How long:" },
	{ '\0', "linger", ARG_DURATION, &opt.relay.linger_ns, .value_name = "D", .help = "a half-closed connection in which nothing moves "
	  "(0: for ever)" },
	{ '\0', "idle", ARG_DURATION, &opt.relay.idle_ns, .value_name = "D", .help = "any connection in which nothing moves (0: for ever)" },
	{ '\0', "drain", ARG_DURATION, &opt.relay.drain_ns, .value_name = "D", .help = "after SIGTERM, for connections to end" },
	{ '\0', "keepalive", ARG_FLAG, &opt.relay.keepalive, .help = "a peer that vanished is noticed after 25 s of silence" },
	{ '\0', "user-timeout", ARG_DURATION, &opt.relay.user_timeout_ns, .value_name = "D", .help = "bytes that nobody acknowledges "
	  "(TCP_USER_TIMEOUT)" },
	{ .help = "Sockets, both sides:" },
	{ '\0', "nodelay", ARG_FLAG, &opt.nodelay, .help = "small pieces go on at once: so it is anyway" },
	{ '\0', "nagle", ARG_FLAG, &opt.relay.nagle, .help = "they may be held back (no TCP_NODELAY)" },
	{ '\0', "congestion", ARG_STR, &opt.relay.congestion, .value_name = "NAME", .help = "congestion control" },
	{ '\0', "sndbuf", ARG_SIZE, &opt.relay.send_buffer, 1, 1 << 30, "SIZE", "SO_SNDBUF" },
	{ '\0', "rcvbuf", ARG_SIZE, &opt.relay.receive_buffer, 1, 1 << 30, "SIZE", "SO_RCVBUF" },
	{ '\0', "buffer", ARG_SIZE, &opt.relay.buffer_len, 4096, 1 << 30, "SIZE", "of each direction (256K when bytes are copied, 4M with "
	  "--delay, 1M when they are spliced)" },
	{ '\0', "path", ARG_CHOICE, &opt.relay.path, .value_name = "HOW", .help = "copy, splice, or auto: what suits the bytes",
	  .choices = relay_path_choices },
	{ .help = "A bad link (each direction):" },
	{ '\0', "delay", ARG_STR, &opt.delay, .value_name = "D", .help = "so much later" },
	{ '\0', "jitter", ARG_STR, &opt.jitter, .value_name = "D", .help = "and up to so much more or less, in order" },
	{ '\0', "rate", ARG_STR, &opt.rate, .value_name = "RATE", .help = "no faster than that" },
	{ '\0', "chunk", ARG_STR, &opt.chunk, .value_name = "SIZE", .help = "in pieces of at most so many bytes" },
	{ '\0', "stall-at", ARG_STR, &opt.stall_at, .value_name = "N", .help = "nothing more after N bytes" },
	{ '\0', "cut-at", ARG_STR, &opt.cut_at, .value_name = "N[:HOW]", .help = "the end after N bytes, fin or rst" },
	{ '\0', "corrupt-at", ARG_STR, &opt.corrupt_at, .value_name = "N", .help = "the byte at offset N is wrong" },
	{ '\0', "blackhole", ARG_FLAG, &opt.blackhole, .help = "everything is taken and nothing comes out" },
	{ '\0', "seed", ARG_STR, &opt.seed, .value_name = "N", .help = "of the jitter" },
	{ '\0', "up", ARG_STR, &opt.up, .value_name = "SPEC", .help = "from client to server only: delay=D,rate=RATE,cut-at=N:fin,..." },
	{ '\0', "down", ARG_STR, &opt.down, .value_name = "SPEC", .help = "from server to client only" },
	{ .help = "Seeing it:" },
	{ '\0', "top", ARG_FLAG, &opt.relay.top, .help = "a live table" },
	{ '\0', "http", ARG_STR, &opt.relay.http, .value_name = "PLACE", .help = "the same as a page: [ADDR:]PORT, 127.0.0.1 unless given" },
	{ '\0', "status", ARG_FILE, &opt.relay.status_path, .value_name = "PATH", .help = "take orders through this unix socket" },
	{ '\0', "dump", ARG_CHOICE, &opt.relay.dump, .value_name = "HOW", .help = "every byte on standard output: hex, text",
	  .choices = relay_dump_choices },
	{ 'i', "interval", ARG_DURATION, &opt.relay.interval_ns, NS_PER_MS, 0, "D", "a line for each interval" },
	{ 'v', "verbose", ARG_FLAG, &opt.relay.verbose, .help = "a line on stderr for each connection that has ended" },
	{ '\0', "json", ARG_FLAG, &opt.relay.json, .help = "one JSON object a line on standard output" },
	{ 0 },
};
/* clang-format on */

static const struct arg_spec spec = {
	.tool = "tcprelay",
	.one_line = "passes TCP connections on, shows what happens to them, and spoils them on request",
	.synopsis = synopsis,
	.about = about,
	.args = rows,
	.examples = examples,
	.exit_statuses = statuses,
	.see_also =
		"tcpwatch, linkem, ttcp: tcplab-tcpwatch(1), tcplab-linkem(1), tcplab-ttcp(1). splice(2), tcp(7). RFC 9293.",
};

static void add_targets(const char *text)
{
	char why[UPSTREAMS_WHY];
	if (!upstreams_add(opt.upstreams, text, why))
		args_misuse("%s", why);
}

static void parse_place(const char *text)
{
	static char host[RELAY_TARGET];
	uint16_t port;
	if (!relay_parse_place(text, host, &port))
		args_misuse("where to listen is [ADDR:]PORT, not %s", text);
	opt.relay.port = port;
	opt.relay.bind = host[0] != '\0' ? host : opt.relay.ipv6 ? "::1" : "127.0.0.1";
}

static void parse_operands(char **operands)
{
	char target[RELAY_TARGET];
	unsigned n = 0;
	while (operands[n] != NULL)
		n++;
	opt.upstreams = upstreams_new((enum upstreams_balance)opt.balance);
	if (n == 2) {
		parse_place(operands[0]);
		add_targets(operands[1]);
	} else if (n == 3) {
		bool is_v6 = strchr(operands[0], ':') != NULL;
		snprintf(target, sizeof(target), "%s%s%s:%s", is_v6 ? "[" : "", operands[0], is_v6 ? "]" : "",
			 operands[1]);
		parse_place(operands[2]);
		add_targets(target);
	} else {
		args_misuse("say where to listen, and where to connect to");
	}
}

static void parse_rules(void)
{
	char why[RULES_WHY];
	if (opt.rules.n > 0)
		opt.relay.rules = rules_new();
	for (unsigned i = 0; i < opt.rules.n; i++) {
		const struct arg_said *said = &opt.rules.said[i];
		if (!rules_add(opt.relay.rules, strcmp(said->option, "allow") == 0, said->value, why))
			args_misuse("--%s: %s", said->option, why);
	}
}

static void impair(int way, const char *option, const char *text)
{
	char why[IMPAIR_WHY];
	if (!impair_apply(&opt.relay.impair[way], text, why))
		args_misuse("--%s: %s", option, why);
}

static void parse_impairments(void)
{
	const struct {
		const char *name, *value;
	} both[] = {
		{ "delay", opt.delay },           { "jitter", opt.jitter },     { "rate", opt.rate },
		{ "chunk", opt.chunk },           { "stall-at", opt.stall_at }, { "cut-at", opt.cut_at },
		{ "corrupt-at", opt.corrupt_at }, { "seed", opt.seed },
	};
	for (int way = PUMP_UP; way <= PUMP_DOWN; way++) {
		opt.relay.impair[way] = impair_default();
		for (size_t i = 0; i < COUNT_OF(both); i++) {
			char text[IMPAIR_TEXT];
			snprintf(text, sizeof(text), "%s=%s", both[i].name, both[i].value != NULL ? both[i].value : "");
			if (both[i].value != NULL)
				impair(way, both[i].name, text);
		}
		if (opt.blackhole)
			impair(way, "blackhole", "blackhole");
	}
	if (opt.up != NULL)
		impair(PUMP_UP, "up", opt.up);
	if (opt.down != NULL)
		impair(PUMP_DOWN, "down", opt.down);
	if (opt.relay.buffer_len == 0 &&
	    (opt.relay.impair[PUMP_UP].delay_ns | opt.relay.impair[PUMP_DOWN].delay_ns) != 0)
		opt.relay.buffer_len = 4 * 1024 * 1024; /* what is under way on a long line has to be somewhere */
}

static bool is_order(const char *word)
{
	static const char *const orders[] = { "stat", "set", "top", "drain" };
	for (size_t i = 0; word != NULL && i < COUNT_OF(orders); i++) {
		if (strcmp(word, orders[i]) == 0)
			return true;
	}
	return false;
}

int main(int argc, char **argv)
{
	diag_tool = "tcprelay";
	setvbuf(stdout, NULL, _IOLBF, 0);
	int first = args_parse(&spec, argc, argv);
	if (is_order(argv[first]))
		return relay_control_main(argv[first], argc - first - 1, argv + first + 1, opt.relay.json);
	if (opt.relay.ipv4 && opt.relay.ipv6)
		args_misuse("-4 and -6 exclude each other");
	if (opt.nodelay && opt.relay.nagle)
		args_misuse("--nodelay and --nagle exclude each other");
	if (opt.relay.top + opt.relay.json + (opt.relay.dump != RELAY_DUMP_NONE) > 1)
		args_misuse("--top, --json and --dump all want standard output: one of them");
	parse_operands(argv + first);
	parse_rules();
	parse_impairments();
	int status = relay_run(&tcprelay, &opt.relay);
	rules_free(opt.relay.rules);
	upstreams_free(opt.upstreams);
	return status;
}
