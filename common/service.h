/* service.h - what the small services share: a server and a client with any number of connections, on one loop or on several.
 * Layer 5.
 *
 * A tool says in a struct service what happens on a connection, fills a struct service_options from its command line (the rows
 * below), and calls service_serve or service_connect, which run until the end and return the exit status.
 *
 *	service_serve     listens (TCP, and UDP on the same number), deals connections out to the loops
 *	service_connect   connects; when all connections stand, the clock starts and they all begin at once; the end is --bytes
 *	                  or --time or the server's; or SIGINT
 *
 * How the loops work together is in crew.h. */
#ifndef TCPLAB_SERVICE_H
#define TCPLAB_SERVICE_H

#include "args.h"
#include "json.h"
#include "loops.h"
#include "station.h"
#include "udp.h"

enum accept_by { ACCEPT_DEAL, ACCEPT_REUSEPORT };
extern const char *const service_accept_choices[];

struct service_options {
	bool server, udp, ipv4, ipv6, json, verbose, busy_poll;
	const char *bind;
	uint64_t port, threads, max_conn, udp_rate;
	int accept;
	uint64_t connections, bytes, time_ns, count;
	uint64_t interval_ns, timeout_ns, send_buffer, receive_buffer;
};

/* The defaults; a tool adds its port. */
#define SERVICE_OPTIONS .threads = 1, .connections = 1, .count = 1, .udp_rate = UDP_RATE

/* clang-format off */
#define SERVICE_ROLE_ROWS(o) \
	{ .help = "Role:" }, \
	{ 's', "server", ARG_FLAG, &(o).server, .help = "serve; without it: be a client of HOST" }, \
	{ 'p', "port", ARG_PORT, &(o).port, .value_name = "PORT", .help = "the server's port; 0 with -s takes a free one" }, \
	{ 'B', "bind", ARG_STR, &(o).bind, .value_name = "ADDR", .help = "listen on ADDR (127.0.0.1 unless given; 0.0.0.0 or :: is every " \
	  "address)" }, \
	{ '4', "ipv4", ARG_FLAG, &(o).ipv4, .help = "IPv4 only" }, \
	{ '6', "ipv6", ARG_FLAG, &(o).ipv6, .help = "IPv6 only" }

#define SERVICE_SERVER_ROWS(o) \
	{ .help = "Server:" }, \
	{ 'T', "threads", ARG_COUNT, &(o).threads, 1, LOOPS_MAX, "N", "so many loops, a thread each (client, too)" }, \
	{ '\0', "accept", ARG_CHOICE, &(o).accept, .value_name = "HOW", .help = "how threads share connections. deal: one accepts, each " \
	  "gets its turn. reuseport: each has a listening socket, the kernel chooses", .choices = service_accept_choices }, \
	{ '\0', "max-conn", ARG_COUNT, &(o).max_conn, .value_name = "N", .help = "connections at once; more wait in the backlog (0: as " \
	  "many as there are descriptors)" }, \
	{ '\0', "udp-rate", ARG_COUNT, &(o).udp_rate, 1, 1000000, "N", "UDP: answers each second for one source" }

#define SERVICE_CLIENT_ROWS(o) \
	{ .help = "Client:" }, \
	{ 'c', "connections", ARG_COUNT, &(o).connections, 1, 1000000, "N", "so many connections at once; the clock starts when all stand" }, \
	{ 'b', "bytes", ARG_SIZE, &(o).bytes, 1, 0, "SIZE", "on each connection; then end it in order" }, \
	{ '\0', "time", ARG_DURATION, &(o).time_ns, 1, 0, "D", "stop after so long (10 s unless given, and no --bytes)" }

#define SERVICE_UDP_ROWS(o) \
	{ 'u', "udp", ARG_FLAG, &(o).udp, .help = "ask by UDP: a datagram, and wait for the answer (three tries of a second)" }, \
	{ 'n', "count", ARG_COUNT, &(o).count, 1, 0, "N", "UDP: so many questions" }

#define SERVICE_COMMON_ROWS(o) \
	{ '\0', "timeout", ARG_DURATION, &(o).timeout_ns, .value_name = "D", .help = "end a connection on which nothing moves for so " \
	  "long (30 s for a client, never for a server, unless given)" }, \
	{ '\0', "sndbuf", ARG_SIZE, &(o).send_buffer, 1, 1 << 30, "SIZE", "SO_SNDBUF" }, \
	{ '\0', "rcvbuf", ARG_SIZE, &(o).receive_buffer, 1, 1 << 30, "SIZE", "SO_RCVBUF" }, \
	{ .help = "Reports:" }, \
	{ 'i', "interval", ARG_DURATION, &(o).interval_ns, NS_PER_MS, 0, "D", "a line for each interval (1 s on a terminal)" }, \
	{ 'v', "verbose", ARG_FLAG, &(o).verbose, .help = "a line on stderr for each connection that has ended: who, how much, how" }, \
	{ '\0', "json", ARG_FLAG, &(o).json, .help = "one JSON object a line on standard output" }
/* clang-format on */

struct crew;

/* What a tool is; constant. */
struct service {
	const char *name;
	/* What a tool keeps for a connection and for a loop, with struct session and struct service_station at the front. */
	size_t server_len, client_len, station_len;
	bool server_counts_in, client_counts_out; /* which direction is "bytes"; false: server out, client in */
	bool stops_at_time;                       /* what happens after --time is over does not count */
	bool speaks_itself; /* the client prints what it has to say: no line about bytes and rate */

	const struct conn_ops *server;
	void (*on_accept)(struct session *s); /* a client is there */
	udp_answer_fn *answer;
	size_t answer_may_exceed;

	const struct conn_ops *client;
	void (*on_begin)(struct session *s); /* all connections stand */
	void (*on_time)(struct session *s);  /* --time is over: finish in order. NULL: conn_close */

	/* More for the total: figures into j, or text on stdout when j is NULL. May be NULL. */
	void (*report)(struct crew *crew, struct json *j);
};

/* A station as it belongs to a crew (crew.h). */
struct service_station {
	struct station station;
	struct crew *crew;
	struct part *part;
};

int service_serve(const struct service *what, const struct service_options *o);
int service_connect(const struct service *what, const struct service_options *o, const char *host);

/* What no row can express: misuse ends with status 2. Fills in the defaults that depend on the role. The host to talk to, NULL
 * for a server. */
const char *service_check(struct service_options *o, char **operands);

/* For a service without an end: a client that was given neither --bytes nor --time stops after 10 s. */
void service_check_limits(struct service_options *o, bool server_takes_bytes);

int service_family(const struct service_options *o); /* AF_UNSPEC, AF_INET, AF_INET6 */

/* A session found that its peer is wrong. The first such finding is reported, and the exit status is 3. Ends the session. */
void service_wrong(struct session *s, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* A session cannot do what was asked for: `reason`, a static string, is reported, and the exit status is 1. Ends the session. */
void service_broken(struct session *s, const char *reason);

/* For `report`, when all loops are over. */
struct service_station *crew_station(struct crew *crew, unsigned i); /* NULL past the last one */
bool crew_is_server(const struct crew *crew);
uint64_t crew_elapsed_ns(struct crew *crew); /* at least 1 */

#endif
