/* options.h - the options that every relay has, and what follows from them, so that tcprelay and socks4a cannot drift
 * apart.
 *
 *	static struct relay_options relay = RELAY_DEFAULTS;
 *	static struct relay_said said;
 *	static const struct arg rows[] = { ..., RELAY_ROWS_TIMES(relay), RELAY_ROWS_SOCKETS(relay, said), ... };
 *	int first = args_parse(&spec, argc, argv);
 *	relay_read_options(&relay, &said);              misuse ends the process, as in args.h */
#ifndef RELAY_OPTIONS_H
#define RELAY_OPTIONS_H

#include "args.h"
#include "relay.h"

#define RELAY_DEFAULTS                                                                                   \
	{                                                                                                \
		.threads = 1, .linger_ns = 30 * (uint64_t)NS_PER_S, .drain_ns = 10 * (uint64_t)NS_PER_S, \
		.connect_ns = 10 * (uint64_t)NS_PER_S,                                                   \
	}

/* Options that take several steps to understand. */
struct relay_said {
	struct arg_list clients; /* rules for them: options that begin with "allow" or "deny" */
	const char *delay, *jitter, *rate, *chunk, *stall_at, *cut_at, *corrupt_at, *seed, *up, *down;
	bool nodelay, blackhole;
};

/* clang-format off */
#define RELAY_ROWS_FAMILIES(o) \
	{ '4', "ipv4", ARG_FLAG, &(o).ipv4, .help = "IPv4 only" }, \
	{ '6', "ipv6", ARG_FLAG, &(o).ipv6, .help = "IPv6 only" }

#define RELAY_ROWS_CROWD(o) \
	{ '\0', "max-conn", ARG_COUNT, &(o).max_conn, .value_name = "N", .help = "connections at once; more wait in the backlog " \
	  "(0: as many as there are descriptors)" }, \
	{ '\0', "max-conn-source", ARG_COUNT, &(o).max_conn_source, .value_name = "N", .help = "connections at once from one " \
	  "client address; more are reset (0: as many as there may be)" }, \
	{ 'T', "threads", ARG_COUNT, &(o).threads, 1, LOOPS_MAX, "N", "so many loops, a thread each" }

#define RELAY_ROWS_TIMES(o) \
	{ .help = "How long:" }, \
	{ '\0', "linger", ARG_DURATION, &(o).linger_ns, .value_name = "D", .help = "a half-closed connection in which nothing moves " \
	  "(0: for ever)" }, \
	{ '\0', "idle", ARG_DURATION, &(o).idle_ns, .value_name = "D", .help = "any connection in which nothing moves (0: for ever)" }, \
	{ '\0', "drain", ARG_DURATION, &(o).drain_ns, .value_name = "D", .help = "after SIGTERM, for connections to end" }, \
	{ '\0', "keepalive", ARG_FLAG, &(o).keepalive, .help = "a peer that vanished is noticed after 25 s of silence" }, \
	{ '\0', "user-timeout", ARG_DURATION, &(o).user_timeout_ns, .value_name = "D", .help = "bytes that nobody acknowledges " \
	  "(TCP_USER_TIMEOUT)" }

#define RELAY_ROWS_SOCKETS(o, w) \
	{ .help = "Sockets, both sides:" }, \
	{ '\0', "nodelay", ARG_FLAG, &(w).nodelay, .help = "small pieces go on at once: so it is anyway" }, \
	{ '\0', "nagle", ARG_FLAG, &(o).nagle, .help = "they may be held back (no TCP_NODELAY)" }, \
	{ '\0', "congestion", ARG_STR, &(o).congestion, .value_name = "NAME", .help = "congestion control" }, \
	{ '\0', "sndbuf", ARG_SIZE, &(o).send_buffer, 1, 1 << 30, "SIZE", "SO_SNDBUF" }, \
	{ '\0', "rcvbuf", ARG_SIZE, &(o).receive_buffer, 1, 1 << 30, "SIZE", "SO_RCVBUF" }, \
	{ '\0', "buffer", ARG_SIZE, &(o).buffer_len, 4096, 1 << 30, "SIZE", "of each direction (256K when bytes are copied, 4M with " \
	  "--delay, 1M when they are spliced)" }, \
	{ '\0', "path", ARG_CHOICE, &(o).path, .value_name = "HOW", .help = "copy, splice, or auto: what suits the bytes", \
	  .choices = relay_path_choices }

#define RELAY_ROWS_BAD_LINK(w) \
	{ .help = "A bad link (each direction):" }, \
	{ '\0', "delay", ARG_STR, &(w).delay, .value_name = "D", .help = "so much later" }, \
	{ '\0', "jitter", ARG_STR, &(w).jitter, .value_name = "D", .help = "and up to so much more or less, in order" }, \
	{ '\0', "rate", ARG_STR, &(w).rate, .value_name = "RATE", .help = "no faster than that" }, \
	{ '\0', "chunk", ARG_STR, &(w).chunk, .value_name = "SIZE", .help = "in pieces of at most so many bytes" }, \
	{ '\0', "stall-at", ARG_STR, &(w).stall_at, .value_name = "N", .help = "nothing more after N bytes" }, \
	{ '\0', "cut-at", ARG_STR, &(w).cut_at, .value_name = "N[:HOW]", .help = "the end after N bytes, fin or rst" }, \
	{ '\0', "corrupt-at", ARG_STR, &(w).corrupt_at, .value_name = "N", .help = "the byte at offset N is wrong" }, \
	{ '\0', "blackhole", ARG_FLAG, &(w).blackhole, .help = "everything is taken and nothing comes out" }, \
	{ '\0', "seed", ARG_STR, &(w).seed, .value_name = "N", .help = "of the jitter" }, \
	{ '\0', "up", ARG_STR, &(w).up, .value_name = "SPEC", .help = "from client to server only: delay=D,rate=RATE,cut-at=N:fin,..." }, \
	{ '\0', "down", ARG_STR, &(w).down, .value_name = "SPEC", .help = "from server to client only" }

#define RELAY_ROWS_SEEING(o) \
	{ .help = "Seeing it:" }, \
	{ '\0', "top", ARG_FLAG, &(o).top, .help = "a live table" }, \
	{ '\0', "http", ARG_STR, &(o).http, .value_name = "PLACE", .help = "the same as a page: [ADDR:]PORT, 127.0.0.1 unless given" }, \
	{ '\0', "status", ARG_FILE, &(o).status_path, .value_name = "PATH", .help = "take orders through this unix socket" }, \
	{ '\0', "dump", ARG_CHOICE, &(o).dump, .value_name = "HOW", .help = "every byte on standard output: hex, text", \
	  .choices = relay_dump_choices }, \
	{ 'i', "interval", ARG_DURATION, &(o).interval_ns, NS_PER_MS, 0, "D", "a line for each interval" }, \
	{ 'v', "verbose", ARG_FLAG, &(o).verbose, .help = "a line on stderr for each connection that has ended" }, \
	{ '\0', "json", ARG_FLAG, &(o).json, .help = "one JSON object a line on standard output" }
/* clang-format on */

/* "[ADDR:]PORT", ADDR in brackets if it is IPv6: where to listen. host becomes "" when there is none. */
MUST_USE bool relay_parse_place(const char *text, char host[static RELAY_TARGET], uint16_t *port);

/* The same as an operand: o->bind and o->port; without an address it is loopback. */
void relay_read_place(struct relay_options *o, const char *text);

/* What the words say goes to *o; and whether the options go together. */
void relay_read_options(struct relay_options *o, const struct relay_said *w);

/* Is it an order to a relay that runs (stat, set, top, drain)? Then relay_control_main is its main. NULL is none. */
bool relay_is_order(const char *word);

#endif
