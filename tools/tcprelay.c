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
#include "relay/options.h"
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
	struct relay_said said;
	struct upstreams *upstreams;
	int balance, proxy_out;
	bool proxy_in;
} opt = { .relay = RELAY_DEFAULTS };

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
	RELAY_ROWS_FAMILIES(opt.relay),
	{ .help = "Who may come:" },
	{ '\0', "allow", ARG_LIST, &opt.said.clients, .value_name = "NET", .help = "networks (10.0.0.0/8,::1 or @FILE); the first rule that matches "
	  "decides, and with an --allow nobody else is let in" },
	{ '\0', "deny", ARG_LIST, &opt.said.clients, .value_name = "NET", .help = "networks that are not let in" },
	RELAY_ROWS_CROWD(opt.relay),
	RELAY_ROWS_TIMES(opt.relay),
	RELAY_ROWS_SOCKETS(opt.relay, opt.said),
	RELAY_ROWS_BAD_LINK(opt.said),
	RELAY_ROWS_SEEING(opt.relay),
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

static void parse_operands(char **operands)
{
	char target[RELAY_TARGET];
	unsigned n = 0;
	while (operands[n] != NULL)
		n++;
	opt.upstreams = upstreams_new((enum upstreams_balance)opt.balance);
	if (n == 2) {
		relay_read_place(&opt.relay, operands[0]);
		add_targets(operands[1]);
	} else if (n == 3) {
		bool is_v6 = strchr(operands[0], ':') != NULL;
		snprintf(target, sizeof(target), "%s%s%s:%s", is_v6 ? "[" : "", operands[0], is_v6 ? "]" : "",
			 operands[1]);
		relay_read_place(&opt.relay, operands[2]);
		add_targets(target);
	} else {
		args_misuse("say where to listen, and where to connect to");
	}
}

int main(int argc, char **argv)
{
	diag_tool = "tcprelay";
	setvbuf(stdout, NULL, _IOLBF, 0);
	int first = args_parse(&spec, argc, argv);
	if (relay_is_order(argv[first]))
		return relay_control_main(argv[first], argc - first - 1, argv + first + 1, opt.relay.json);
	parse_operands(argv + first);
	relay_read_options(&opt.relay, &opt.said);
	int status = relay_run(&tcprelay, &opt.relay);
	rules_free(opt.relay.rules);
	upstreams_free(opt.upstreams);
	return status;
}
