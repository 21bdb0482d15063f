/* netcat.h - what the three netcats share: options, opening a connection, moving one piece, and the closing report.
 *
 * What they do not share is the loop that decides when to move which piece: that is the lesson, and each of
 * tools/netcat-blocking.c, netcat-threaded.c and netcat-nonblocking.c has its own. A connection and its four places:
 *
 *	                      up                              down
 *	standard input ----------------> network  network ----------------> standard output
 *	  nc_read_input     nc_send                 nc_receive   nc_write_output
 *
 * Each of the four functions makes one system call, counts, traces, and answers in the same way:
 *
 *	> 0   so many bytes were moved
 *	  0   nothing will ever move here again: the end of the file, the peer's FIN, or an error, which is on record
 *	 -1   nothing now: a non-blocking call would have had to wait, a blocking one came to its tick (io.h)
 *
 * The chapters, in reading order: netcat.c options and the way through a run; open.c names, sockets, accept; move.c the
 * four places, the ends, the clocks; report.c what is said; scan.c -z. */
#ifndef NETCAT_NETCAT_H
#define NETCAT_NETCAT_H

#include "addr.h"
#include "pktinfo.h"
#include "sock.h"
#include "socks.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct nc;

/* What one of the three programs is. `run` moves bytes until both directions have ended or nc_is_over says so. */
struct nc_engine {
	const char *tool;
	const char *one_line; /* for --help and the man page */
	const char *about;    /* a paragraph for the same */
	bool is_nonblocking;  /* its socket is; the others' have a tick (io_tick) */
	void (*run)(struct nc *nc);
};

/* A netcat's main(): parses, opens, runs, reports. Returns the exit status. */
int nc_main(int argc, char **argv, const struct nc_engine *engine);

/* What happens on the network when the input has ended. */
enum nc_close_mode {
	NC_CLOSE_HALF,   /* FIN, and read on to the peer's: the right way */
	NC_CLOSE_CLOSE,  /* close(2) at once: what the peer still has to say is lost */
	NC_CLOSE_RST,    /* SO_LINGER 0: a reset, and what was not sent yet is lost */
	NC_CLOSE_UNREAD, /* never read, and close when something unread is here: the kernel makes it a reset */
};

struct nc_options {
	const struct nc_engine *engine;
	bool listen, keep_open, udp, is_unix, scan, numeric, no_input, ipv4, ipv6, half_close;
	bool verbose, json, hexdump;
	const char *host;         /* a name, an address, the path of a unix socket; NULL with -l: every address */
	uint16_t port, last_port; /* last_port: the end of the range for -z */
	const char *source;       /* -s, or NULL */
	uint16_t source_port;
	const char *quit_text;
	uint64_t timeout_ns, quit_ns, interval_ns; /* 0: none; quit_ns CLK_NEVER: none */
	int close_mode;
	const char *socks_text; /* as typed; parsed: */
	struct socks_proxy socks;
	uint64_t read_Bps, write_Bps, stop_after; /* 0: no limit */
	struct sock_options socket;
};

/* A direction with a speed limit: a bucket of 10 ms that fills at the rate. One thread uses it. */
struct nc_pace {
	uint64_t rate_Bps; /* 0: no limit */
	uint64_t last_ns;  /* when `credit` was right */
	double credit;     /* bytes that may move now */
};

enum nc_side { NC_NOBODY, NC_LOCAL, NC_PEER };
enum nc_end { NC_END_NONE, NC_END_FIN, NC_END_RST };

/* One connection (or a UDP socket and whoever it talks with). */
struct nc {
	const struct nc_options *o;
	int net;           /* the socket; ours */
	int input, output; /* 0 and 1, or descriptors that the engine opened in their place */
	bool is_stream;    /* false: datagrams, which have no end */
	bool is_tcp;
	bool is_listener; /* -l */
	struct addr local;
	/* Of a datagram listener whoever wrote last, then it is under the lock; or the SOCKS server. */
	struct addr peer;
	uint64_t start_ns;
	struct nc_pace read_pace, write_pace;

	/* After the peer's FIN the input is not waited for: what is there goes out, and then it is enough. But a pipe
	 * is often empty for a moment while its writer works, and so it is silent only when nothing has come for a
	 * while. */
	uint64_t patience_ns; /* 0 for files and terminals */

	/* Any thread. */
	atomic_uint_least64_t sent, received; /* bytes that the kernel took from us, that it gave us */
	atomic_uint_least64_t last_ns;        /* when something moved; kept only where -w or -q asks for it */
	atomic_uint_least64_t silent_from_ns; /* the peer's FIN, or the latest byte of input after it; 0: no FIN yet */
	atomic_bool is_over;                  /* stop at once, wherever you are */
	atomic_bool net_failed;               /* the connection is dead: only what is here already can still be read */
	atomic_bool input_ended;              /* and all of it is sent */

	/* Under the lock: two directions may end at once, and the first one counts. */
	pthread_mutex_t lock;
	enum nc_side closed_first;
	enum nc_end peer_end;
	bool has_failed, is_fin_sent;
	struct net_error error;
	unsigned char control[PKTINFO_LEN]; /* a datagram listener's: from which address the answer leaves */
	size_t control_len;

	bool is_in_use; /* by a thread that could not be ended: no further connection, and the process ends */

	/* nc_look's alone */
	uint64_t shown_ns, shown_sent, shown_received, quit_from_ns;
};

/* --- move.c: the four places ------------------------------------------------------------------------------------- */

enum { NC_DATAGRAM = 16 * 1024 }; /* -u: at most so much of the input becomes one datagram */

MUST_USE ssize_t nc_read_input(struct nc *nc, void *p, size_t n);
MUST_USE ssize_t nc_send(struct nc *nc, const void *p, size_t n);
MUST_USE ssize_t nc_receive(struct nc *nc, void *p, size_t n);
MUST_USE ssize_t nc_write_output(struct nc *nc, const void *p, size_t n);

/* The input has ended and every byte of it was sent: does what --close-mode says. */
void nc_end_input(struct nc *nc);

/* After the peer's FIN: until when the input is waited for. */
uint64_t nc_last_call_ns(const struct nc *nc);

/* How many bytes may be sent or received now: at most `want`; 0 while --write-rate or --read-rate says wait. Of
 * datagrams it is all or nothing: they cannot be cut. */
size_t nc_may_send(struct nc *nc, size_t want);
size_t nc_may_receive(struct nc *nc, size_t want);

/* --stop-after has come, or --close-mode unread: nobody reads any more. What is left to see of the peer is its end.
 * Wait with poll(2) for nc_stopped_events; when they come nc_has_peer_ended says whether that was it, FIN or RST. */
bool nc_has_stopped_reading(const struct nc *nc);
short nc_stopped_events(const struct nc *nc);
bool nc_has_peer_ended(struct nc *nc);

/* Who is at the other end: an address, or what the user calls it where a SOCKS server is between. */
enum { NC_PEER_TEXT = SOCKS_PLACE_TEXT };
const char *nc_peer_text(struct nc *nc, char out[static NC_PEER_TEXT]);

/* Puts a failed call on record, the first one only: errno is read. */
void nc_fail(struct nc *nc, const char *op, const char *object);

/* --- move.c: the clocks ------------------------------------------------------------------------------------------ */

/* When nc_look wants to be called at the latest; for the main thread, which calls it after each wait. It looks after
 * signals, -w, -q and -i. True: it is over. */
uint64_t nc_deadline_ns(const struct nc *nc);
uint64_t nc_pace_ready_ns(const struct nc_pace *p); /* until when a direction is held back by its speed limit */
uint64_t nc_wake_ns(const struct nc *nc, bool up_is_held, bool down_is_held); /* the earliest of them: for one thread */
bool nc_look(struct nc *nc);
static inline bool nc_is_over(struct nc *nc)
{
	return atomic_load_explicit(&nc->is_over, memory_order_relaxed);
}

uint64_t nc_unread(const struct nc *nc);  /* the peer's bytes that are here and that nobody has read; 0 unknown */
uint64_t nc_unacked(const struct nc *nc); /* ours that the peer's kernel has not confirmed; 0 unknown */

/* --- open.c ------------------------------------------------------------------------------------------------------ */

MUST_USE int nc_connect(const struct nc_options *o, struct nc *nc, struct net_error *e);
MUST_USE int nc_listen(const struct nc_options *o, struct addr *bound, struct net_error *e);
MUST_USE int nc_accept(const struct nc_options *o, int listener, struct nc *nc, struct net_error *e);
void nc_unlisten(const struct nc_options *o, int listener);
MUST_USE int nc_resolve(const struct nc_options *o, uint16_t port, struct addr out[static ADDR_MAX],
			struct net_error *e);

/* How it went, for the report; of one connection, or with -k of all (then the ends are those of the last). */
struct nc_result {
	uint64_t connections, elapsed_ns, sent, received, unacked, unread;
	enum nc_side closed_first;
	enum nc_end peer_end;
};

/* Waits until all that was sent is confirmed, for 5 s or -w after the last progress; then closes as --close-mode
 * says. */
void nc_close(struct nc *nc, struct nc_result *r);

/* --- report.c ---------------------------------------------------------------------------------------------------- */

void nc_report_listening(const struct nc_options *o, const struct addr *bound);
void nc_report_start(struct nc *nc);
void nc_report_interval(struct nc *nc, uint64_t now_ns);
void nc_report_blocked(struct nc *nc, uint64_t in_write_ns); /* netcat-blocking: who waits for whom */
void nc_report_error(const struct nc_options *o, const struct net_error *e);
void nc_report_end(const struct nc_options *o, const struct nc_result *r);                        /* -v */
void nc_report_result(const struct nc_options *o, const char *record, const struct nc_result *r); /* --json */
void nc_report_port(const struct nc_options *o, const char *object, uint16_t port, int error);    /* -z: 0 is open */
void nc_report_scan(const struct nc_options *o, uint64_t n_open, uint64_t n_closed, int last_error);
void nc_trace_poll(const struct pollfd *fds, int n, int ready); /* --trace */
void nc_hexdump(char direction, uint64_t offset, const void *p, size_t n);

/* --- scan.c ------------------------------------------------------------------------------------------------------ */

int nc_scan(const struct nc_options *o); /* the exit status */

#endif
