/* relay.h - what the programs that stand between a client and a server share: tcprelay and socks4a.
 *
 * A flow is one client and, later, the server that it is connected with:
 *
 *	accept --> GREETING ------> CONNECTING ------> OPEN (pump.h) ------> ended: a log line, a record, a row among the recent
 *	           relay_tool:      relay_connect      relay_open
 *	           on_client  \     or relay_wait
 *	                       +--> SERVING: the tool serves it itself    relay_serve
 *
 * Until it is OPEN only the client's errors are watched for (a client that resets is not connected for), and what it
 * sends stays in the kernel. A flow that ends before it is open ends for the client as a server that refuses does: by a
 * reset; or, where the tool has something to say first, PARTING, in order (relay_part).
 *
 *	loop 0: acceptor, signals, control socket, pages, reports        loop 1, 2, ...
 *	  struct relay_loop: flows, pump_shop                              struct relay_loop
 *	       |                    ^ tallies and rows (census), by post      ^
 *	       +---- a new flow for the next loop, by post ------------------+
 *
 * The chapters, in reading order: flow.c a flow's life; run.c listening, loops, signals, draining; options.c the
 * options that all relays have; log.c what is said of a flow that has ended, and the total; dump.c the bytes
 * themselves; print.c why no report ever holds up a flow; census.c what all loops have to tell, as one; status.c the
 * same for people (table.c its lines, words.c what they say); control.c orders through a unix socket (control_socket.c
 * where it is, orders.c the other end of it); page.c the same for a browser; top.c the same for a terminal. Pure:
 * rules.c who may come (network.c), sources.c how often, impair.c a bad link. */
#ifndef RELAY_RELAY_H
#define RELAY_RELAY_H

#include "acceptor.h"
#include "connector.h"
#include "json.h"
#include "loops.h"
#include "pump.h"
#include "resolver.h"
#include "signals.h"
#include "units.h"

#include <stdatomic.h>
#include <stdio.h>

#include "impair.h"
#include "rules.h"
#include "sources.h"

enum {
	RELAY_TARGET = 300 /* "name:port" and its zero: a name has at most 253 characters (RFC 1035 3.1) */,
	RELAY_NOTE = 64,
	RELAY_RECENT = 32
};
#define RELAY_PART_NS ((uint64_t)2 * NS_PER_S)

struct relay;
struct relay_loop;
struct relay_flow;

/* --- what a program says of itself ------------------------------------------------------------------------------- */

/* Constant. Callbacks come on the flow's loop, unless another is named. */
struct relay_tool {
	const char *name;
	size_t flow_len; /* what the tool keeps for a flow, with struct relay_flow at the front */

	/* A client that the rules let in. The tool finds out where it wants to go: relay_connect, now or later; or
	 * relay_refuse. */
	void (*on_client)(struct relay_flow *f);
	/* The connect was tried, fd < 0: it failed with *e. The tool says relay_open (takes fd), or, without one,
	 * relay_connect again or relay_refuse. */
	void (*on_connected)(struct relay_flow *f, int fd, const struct net_error *e);
	/* May the flow go to this address? It is asked of each that a name has. NULL: yes. */
	bool (*may_connect)(struct relay_flow *f, const struct addr *a);
	/* The flow is about to be freed; whatever state it was in. Or NULL. */
	void (*on_end)(struct relay_flow *f);
	/* On loop 0, once it listens: relay->bound. Or NULL. */
	void (*on_listen)(const struct relay *relay);
	/* SIGHUP, on loop 0: read again what can be read again. Or NULL. */
	void (*on_reload)(struct relay *relay);
	/* More for `stat` and the page, on loop 0: a line for each upstream; into j, or as text when j is NULL. Or
	 * NULL. */
	void (*report)(struct relay *relay, struct json *j, FILE *out);
	/* What there is to say of a flow in the log and the table, "SOCKS5 connect, user alice" (what is not plain
	 * ASCII becomes a question mark); more for its record. On its loop. More for the total, on loop 0: into j, or
	 * as text when j is NULL. Each may be NULL. */
	void (*note)(const struct relay_flow *f, char out[static RELAY_NOTE]);
	void (*describe)(const struct relay_flow *f, struct json *j);
	void (*total)(const struct relay *relay, struct json *j, FILE *out);
};

struct relay_options {
	const char *bind;
	uint64_t port, threads, max_conn, max_conn_source;
	bool ipv4, ipv6, json, verbose, top;
	const char *status_path, *http; /* control socket; [ADDR:]PORT of the page */
	uint64_t linger_ns, idle_ns, drain_ns, connect_ns, user_timeout_ns, buffer_len, interval_ns;
	bool keepalive, nagle;
	const char *congestion, *from;
	uint64_t send_buffer, receive_buffer;
	int path; /* enum pump_path */
	struct resolver_options names;
	struct rules *rules;          /* who may come; or NULL: everybody. Loop 0 asks, and reads them again */
	int dump;                     /* enum relay_dump */
	struct impair_spec impair[2]; /* for each way */
};
enum relay_dump { RELAY_DUMP_NONE, RELAY_DUMP_HEX, RELAY_DUMP_TEXT };
extern const char *const relay_dump_choices[];
extern const char *const relay_path_choices[];

/* Runs until it is told to end and everything is drained, or --drain is over. The exit status. */
int relay_run(const struct relay_tool *tool, const struct relay_options *o);

/* --- a flow ------------------------------------------------------------------------------------------------------- */

enum relay_state { RELAY_GREETING, RELAY_CONNECTING, RELAY_OPEN, RELAY_SERVING, RELAY_PARTING, RELAY_ENDED };

/* Who or what ended a flow: for the log, the table and the records. */
enum relay_end {
	RELAY_END_NONE,
	RELAY_END_ORDERLY, /* both ends said FIN */
	RELAY_END_CLIENT_RESET,
	RELAY_END_SERVER_RESET,
	RELAY_END_CLIENT_FAILED,
	RELAY_END_SERVER_FAILED, /* with an errno: ETIMEDOUT */
	RELAY_END_LINGER,
	RELAY_END_IDLE,
	RELAY_END_CUT,
	RELAY_END_DRAINED,     /* the relay ended, and did not wait any longer */
	RELAY_END_CLIENT_LEFT, /* reset or error before the server was connected */
	RELAY_END_CONNECT,     /* no server could be reached */
	RELAY_END_REFUSED,     /* by the tool: a greeting that was wrong, or came too late */
	RELAY_END_DENIED,      /* by the rules for clients, or --max-conn-source; never became a flow */
};
const char *relay_end_text(enum relay_end end);   /* "server reset" */
const char *relay_end_symbol(enum relay_end end); /* "server_reset": for records */

/* What is known of a flow while it is being connected; gone once it is open. */
struct relay_dial;

struct relay_flow {
	struct relay_loop *loop;
	struct relay_flow *next, **link;
	uint64_t id; /* counted from 1 */
	struct addr client;
	int client_fd; /* the flow's until it is open; then the pump's, which ends it */
	enum relay_state state;
	enum relay_end end;
	int err;               /* errno of a failed end */
	struct net_error *why; /* of a connect that failed, or NULL */
	const char *reason;    /* static: why it was refused; or NULL */
	struct timer deadline; /* of the greeting; of what the tool waits for; of silence while it serves; of parting */
	void (*on_late)(struct relay_flow *f); /* relay_wait */
	uint64_t asker;                        /* addr_source of whoever connected to us */
	struct relay_dial *dial;
	char *target;       /* "name:port" as the tool said it; or NULL */
	struct addr server; /* once connected */
	/* Monotonic, 0: not yet. Of several tries the latest counts; resolved_ns stays 0 when there is no name. */
	uint64_t accepted_ns, dialled_ns, resolved_ns, connected_ns, ended_ns;
	struct pump pump;
	uint32_t own_len;         /* bytes of the way up that are not the client's */
	struct impair *impair[2]; /* or NULL: nothing is to happen */
};

/* In GREETING or after a failed connect: goes to host:port. `from` is the relay's --from. */
void relay_connect(struct relay_flow *f, const char *host, uint16_t port);
/* In GREETING: the client's bytes are wanted: fn when it is readable or at its end; deadline_ns from now it is
 * refused. */
void relay_greet(struct relay_flow *f, watch_fn *fn, uint64_t limit_ns);
struct relay_flow *relay_flow_of_watch(struct watch *w);
/* In GREETING: where it wants to go, for the log, if that is not tried at all. */
void relay_name_target(struct relay_flow *f, const char *host, uint16_t port);
/* Connected: takes fd. The server first gets `own`, the relay's own words (a PROXY head), then `early`, what the client
 * sent right behind its greeting; each may be empty. */
void relay_open(struct relay_flow *f, int fd, const void *own, size_t own_len, const void *early, size_t early_len);
/* In GREETING: CONNECTING, but it is the tool that waits, for a server that comes by itself: until relay_open, and no
 * longer than limit_ns; then *late is called. `target`: who is expected. False: f is gone. */
MUST_USE bool relay_wait(struct relay_flow *f, const char *target, uint64_t limit_ns,
			 void (*late)(struct relay_flow *f));
/* In GREETING: the tool serves it without a pump. Its end is the client's (FIN or reset), or --idle. What the client
 * sends is thrown away. The tool counts by relay_count. */
void relay_serve(struct relay_flow *f, const char *target);
void relay_count(struct relay_flow *f, enum pump_way way, uint64_t bytes_in, uint64_t bytes_out);
/* Not open: these last words go to the client, and then a FIN; what it still sends is thrown away until its own FIN, or
 * until RELAY_PART_NS is over. WHY: with a close at once bytes that were not read become a reset (RFC 9293 3.10.4; 2525
 * 2.17), and a reset may overtake the words. */
void relay_part(struct relay_flow *f, enum relay_end end, const char *reason, const void *words, size_t len);
/* Not open: the client gets a reset. `reason` is static. */
void relay_refuse(struct relay_flow *f, enum relay_end end, const char *reason);
struct relay *relay_of(const struct relay_flow *f);

/* --- for the chapters --------------------------------------------------------------------------------------------- */

struct relay_tally {
	uint64_t connections, live, denied, failed; /* failed: never connected */
	uint64_t bytes_up, bytes_down;              /* delivered to the server, to the client */
	uint64_t ends[RELAY_END_DENIED + 1];
};

void relay_tally_add(struct relay_tally *to, const struct relay_tally *t);

/* A line of the table; a copy that owns nothing. */
struct relay_row {
	uint64_t id;
	enum relay_state state;
	enum relay_end end;
	int err, gai;               /* errno, or an EAI_ code: of what failed */
	struct addr client, server; /* server.len 0: not connected */
	char target[RELAY_TARGET], note[RELAY_NOTE];
	uint64_t age_ns;                 /* since accept; of one that has ended: until then */
	uint64_t resolve_ns, connect_ns; /* what the name and the connect took; 0: there was none */
	uint64_t ended_ns;               /* monotonic; 0: it lives */
	struct relay_lane_row {
		uint64_t bytes_in, bytes_out, dropped, blocked_ns;
		uint64_t waiting_ns; /* how long bytes have been waiting now, without a moment in which none did */
		size_t waiting, peak;
		uint32_t pauses;
		bool is_paused, is_eof, is_shut;
		bool is_impaired; /* then it is not, or not only, the sink that bytes wait for */
	} lane[2];
	uint64_t rtt_ns[2]; /* of the client's side, the server's; 0 unknown */
};

struct relay_loop {
	struct relay *relay;
	struct reactor *r;
	unsigned index;
	struct pump_shop shop;
	struct resolver names;
	struct relay_flow *flows;
	struct relay_tally tally; /* of flows that have ended; but connections and live, which are of all */
	struct relay_row recent[RELAY_RECENT]; /* those that ended last, as a ring */
	uint64_t n_recent;                     /* ever */
	struct impair_spec impair[2];          /* for flows to come */
	bool is_aborting;                      /* --drain is over: end every flow */
};

struct relay_intervals; /* log.c */
struct relay_count;     /* census.c */
struct relay_control;   /* control.c */
struct relay_pages;     /* page.c */
struct relay_top;       /* top.c */

struct relay {
	const struct relay_tool *tool;
	const struct relay_options *o;
	struct loops loops;
	struct relay_loop *loop;    /* loops.n of them */
	struct sock_options socket; /* for both sides */
	int family;
	struct addr from;
	bool has_from;
	uint64_t start_ns;
	atomic_ulong n_unread; /* lines and pieces that found no room (print.c) */

	/* For loop 0 only. */
	int listen_fd;
	struct addr bound;
	struct acceptor acceptor;
	struct sources *sources; /* with --max-conn-source; or NULL */
	struct signals signals, reload;
	uint64_t n_flows, n_denied;
	bool is_draining, is_aborting, is_over;
	bool is_drained; /* of its own accord: no flow had to be ended */
	int terminal_fd; /* by which we talk to somebody; -1: by none */
	struct timer drain;
	struct relay_ask *asks;    /* for the next census */
	struct relay_count *count; /* the census under way, or NULL */
	struct relay_intervals *intervals;
	struct relay_control *control;
	struct relay_pages *pages;
	struct relay_top *top;
};

/* flow.c; each on the flow's loop. */
void relay_flow_begin(struct relay_flow *f);
void relay_flow_row(struct relay_flow *f, uint64_t now_ns, bool with_rtt, struct relay_row *out);
void relay_flow_impair(struct relay_flow *f, const struct impair_spec spec[2]);
void relay_flow_abort(struct relay_flow *f); /* the relay ends */
extern const struct pump_ops relay_pump_ops;

/* run.c; on loop 0. */
void relay_set_impair(struct relay *relay, const struct impair_spec spec[2]); /* for all flows, now and to come */
void relay_begin_drain(struct relay *relay);
void relay_flow_released(struct relay_flow *f); /* it has ended, and left its loop; frees it */

/* log.c. relay_log_end comes on the flow's loop, all others on loop 0. */
void relay_log_end(struct relay_flow *f, const struct relay_row *row);
void relay_log_denied(struct relay *relay, const struct addr *client, const char *why);
void relay_report_total(struct relay *relay, const struct relay_tally *t);
void relay_intervals_start(struct relay *relay);                  /* -i, if it was given: a line each interval_ns */
void relay_intervals_stop(struct relay *relay);                   /* it may not be started */
void relay_json_row(struct json *j, const struct relay_row *row); /* the members of a record, or of an object */
void relay_json_tally(struct json *j, const struct relay_tally *t);

/* print.c, on any loop. Whether there is room for a line; if not, it is to be left out, and is counted. */
MUST_USE bool relay_may_print(struct relay *relay, FILE *out);
/* Several lines as a whole, or as many as find room; whole lines are not promised then. */
void relay_print(struct relay *relay, FILE *out, const char *text, size_t len);

/* dump.c, on the flow's loop. `offset`: of the first of these bytes in the stream of this way. */
void relay_dump_bytes(struct relay_flow *f, enum pump_way way, uint64_t offset, const unsigned char *p, size_t n);
void relay_dump_end(struct relay_flow *f, const struct relay_row *row);

/* census.c: what all loops know, collected on loop 0. */
struct relay_census {
	uint64_t now_ns;
	struct relay_tally tally;     /* the bytes of live flows, too */
	uint64_t n_paused, n_waiting; /* live flows of which one side is paused; in which bytes wait */
	struct relay_row *rows;       /* live ones, by id; none when all who asked wanted sums_only */
	size_t n_rows;
	struct relay_row *recent; /* ended ones, the latest first */
	size_t n_recent;
};
struct relay_ask {
	struct relay_ask *next;
	void (*on_census)(struct relay_ask *ask, const struct relay_census *c); /* c is borrowed for the call */
	bool sums_only; /* set before asking: rows are not looked at, which cost a microsecond or two each */
};

/* On loop 0. fn comes later, never inside this call, with what was so after it: who asks while a census is under way
 * waits for the next one. The ask is the caller's, and must not be asking already. */
void relay_census_ask(struct relay *relay, struct relay_ask *ask,
		      void (*fn)(struct relay_ask *ask, const struct relay_census *c));
void relay_census_cancel(struct relay *relay, struct relay_ask *ask); /* any time; it may not be asking */

/* One JSON record. */
void relay_census_json(FILE *out, const struct relay *relay, const struct relay_census *c);

/* words.c */
enum { RELAY_WORDS = 160 };
/* What there is to say of a flow: "server too slow: 256 KiB wait for 3.20 s, client paused". */
const char *relay_row_words(char out[static RELAY_WORDS], const struct relay_row *row);
/* As units_duration, but for what may last: "2m 13s", "5h 02m", "3d 04h". */
const char *relay_time_text(char out[static UNITS_TEXT], uint64_t ns);

/* status.c: text for people. Lines, of which none is empty, `columns` wide (0: as wide as they want). */
enum { RELAY_TABLE_ROWS = 100 /* of relay_census_text: the most interesting ones, when there are more */ };
void relay_census_text(FILE *out, const struct relay *relay, const struct relay_census *c, unsigned columns);
const char *relay_state_symbol(enum relay_state state);        /* "open": for records */
void relay_impair_words(FILE *out, const struct relay *relay); /* a line for each way that is impaired */

/* What somebody saw last, so that the next look can show rates. All zero at first. */
struct relay_view {
	uint64_t now_ns;
	struct relay_seen {
		uint64_t id, bytes[2];
	} * seen; /* by id */
	size_t n;
	uint64_t bytes[2];
};
void relay_view_text(FILE *out, const struct relay *relay, const struct relay_census *c, struct relay_view *view,
		     unsigned columns, unsigned lines /* 0: RELAY_TABLE_ROWS flows */);
void relay_view_free(struct relay_view *view);

/* control.c, page.c, top.c. start: 0, or -1 with *e. stop: on loop 0 while it runs; it may not be started. */
MUST_USE int relay_control_start(struct relay *relay, const char *path, struct net_error *e);
void relay_control_stop(struct relay *relay);
MUST_USE int relay_pages_start(struct relay *relay, const char *where, struct net_error *e);
void relay_pages_stop(struct relay *relay);
MUST_USE int relay_top_start(struct relay *relay, struct net_error *e);
void relay_top_stop(struct relay *relay);

/* control_socket.c: the place of the control socket. */
enum { RELAY_CONTROL_LEN = 4096 /* the longest request */ };
struct relay_place {
	struct addr addr;
	uint64_t device, inode; /* of our socket file: another one is not ours to remove */
};
MUST_USE int relay_place_bind(struct relay_place *place, const char *path,
			      struct net_error *e); /* the listening descriptor */
/* If the file there is still ours. Before the descriptor is closed: until then nobody else's file has its inode
 * number. */
void relay_place_remove(const struct relay_place *place);
MUST_USE int relay_place_connect(const char *path, struct net_error *e);
bool relay_place_is_allowed(int fd); /* the peer is of this user, or root */

/* orders.c: `tcprelay VERB PATH [WORD...]`, VERB being stat, set, top or drain; argv begins with PATH. The exit status.
 * Ends the process with status 2 when it is called wrongly. */
int relay_control_main(const char *verb, int argc, char **argv, bool json);

/* Changes both specs by words of `set`: "up" or "down" says for which way the words after it are, otherwise they are
 * for both. False with a line in why; nothing is changed then. */
MUST_USE bool relay_set_words(struct impair_spec spec[2], const char *words, char why[static IMPAIR_WHY]);

#endif
