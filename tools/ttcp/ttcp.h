/* ttcp.h - what the chapters of ttcp share. Read tools/ttcp.c first; it names the chapters in order. */
#ifndef TCPLAB_TTCP_H
#define TCPLAB_TTCP_H

#include "addr.h"
#include "hist.h"
#include "io.h"
#include "json.h"
#include "meter.h"
#include "os.h"
#include "sock.h"
#include "socks.h"
#include "tcpinfo.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	TTCP_PORT = 5001,
	TTCP_BLOCK = 64 * 1024, /* default length of a block */
	TTCP_MAX_BLOCK = 256 * 1024 * 1024,
	TTCP_MAX_STREAMS = 128,
	TTCP_MAX_DEPTH = 65536,
	TTCP_IO = 1024 * 1024, /* bytes for each system call where the mode lets us choose */
};

enum ttcp_mode { MODE_ACK, MODE_STREAM, MODE_RAW };
enum ttcp_role { ROLE_SEND, ROLE_RECEIVE, ROLE_PROBE }; /* of the client */

/* --- wire.c: the bytes ------------------------------------------------------------------------------------------- */

/* What two ends agree on for one connection. In a negotiated session this is what the hello carries. */
struct plan {
	bool negotiated; /* hello and answer were exchanged: GO before the first block, END and tallies after the last */
	enum ttcp_role role; /* what this end does; in a hello, what the client does */
	enum ttcp_mode mode;
	bool verify;          /* payload comes from `seed` and every byte is checked */
	uint16_t connections; /* how many the whole session has: a receiver with -1 ends after the last of them */
	uint64_t session;     /* ties the connections of one run together; random */
	uint64_t seed;
	uint32_t length;                     /* payload bytes of each block */
	uint32_t depth;                      /* ack mode: blocks in flight before the sender waits */
	uint64_t blocks;                     /* 0: no such limit */
	uint64_t time_ns;                    /* 0: no such limit */
	uint64_t omit_ns;                    /* warm-up, left out of every figure and limit */
	uint64_t rate_Bps;                   /* 0: as fast as it goes; else the sender paces itself */
	uint32_t write_len;                  /* stream and raw: bytes for each system call of the sender */
	char congestion[TCPINFO_CONGESTION]; /* "": as the sender's system has it */
};

/* One end's account of one connection, from the end of the warm-up to the end. Both ends send each other theirs. */
struct tally {
	uint64_t bytes, blocks; /* sender: handed to the kernel (ack mode: acknowledged); receiver: read */
	uint64_t elapsed_ns;
	uint64_t calls, short_calls; /* send, recv and sendfile; those that moved less than was asked for */
	struct os_cpu cpu;           /* of the thread that did it */
	uint64_t retransmits;
	uint64_t rtt_ns, min_rtt_ns, cwnd_bytes, pacing_Bps; /* sender: means over the transfer; min_rtt: the least */
	uint64_t busy_ns, rwnd_limited_ns, sndbuf_limited_ns;
	uint64_t bad_offset; /* receiver with verify: offset of the first wrong byte; TALLY_ALL_GOOD if none */
	char congestion[TCPINFO_CONGESTION];
};
#define TALLY_ALL_GOOD UINT64_MAX

enum {
	SESSION_LEN = 8, /* the course's session header; ours begins with the same two numbers */
	HELLO_LEN = 84,  /* what follows them in a negotiated session ... */
	HELLO_MAX = 256, /* ... and how much a later version may say; what we do not know is passed over */
	ANSWER_LEN = 12,
	HEADER_LEN = 4, /* in front of each block; also GO, END, STOP and each ack */
	TALLY_LEN = 8 * 17 + TCPINFO_CONGESTION,
};
enum answer { ANSWER_OK, ANSWER_VERSION, ANSWER_MALFORMED, ANSWER_TOO_LONG, ANSWER_CONGESTION, ANSWER_N };
/* Words of HEADER_LEN bytes beside the block lengths. */
#define WIRE_GO   1u          /* client: everything is connected, the clock starts */
#define WIRE_END  0u          /* no more blocks; a tally follows */
#define WIRE_STOP 0xFFFFFFFFu /* receiver: please end now */

enum first_bytes { FIRST_PLAIN, FIRST_HELLO, FIRST_GARBAGE };
void wire_put_session(unsigned char out[static SESSION_LEN], uint32_t blocks, uint32_t length);
enum first_bytes wire_get_session(const unsigned char in[static SESSION_LEN], uint32_t max_length, struct plan *out,
				  uint32_t *hello_len, const char **why);
const char *wire_who_is_it(const unsigned char in[static SESSION_LEN]);
void wire_put_hello(unsigned char out[static SESSION_LEN + HELLO_LEN], const struct plan *p);
enum answer wire_get_hello(const unsigned char in[static HELLO_LEN], uint32_t max_length, struct plan *out);
void wire_put_answer(unsigned char out[static ANSWER_LEN], enum answer a);
bool wire_get_answer(const unsigned char in[static ANSWER_LEN], enum answer *out);
const char *wire_answer_text(enum answer a);
void wire_put_tally(unsigned char out[static TALLY_LEN], const struct tally *t);
void wire_get_tally(const unsigned char in[static TALLY_LEN], struct tally *out);

/* --- flow.c, send.c, receive.c: one direction of one connection --------------------------------------------------- */

/* Owned by whoever runs it. The thread that runs flow_send or flow_receive writes it; the atomics may be read by the
 * reporting thread at any time, the rest only after that thread has ended. */
struct flow {
	int fd; /* borrowed: stays open after the flow has ended, for a last look at TCP_INFO */
	struct plan plan;
	uint64_t timeout_ns; /* give up when nothing moved for so long; CLK_NEVER: wait for ever */
	const char *file;    /* raw: payload from this file, "-" is standard input; NULL: from memory */
	bool sendfile;
	uint64_t raw_bytes;         /* raw: stop after so many; 0: no such limit */
	uint64_t low_water;         /* receiver: SO_RCVLOWAT, 0 picks what suits the mode */
	bool has_header;            /* receiver: the header of the first block has been read, and was right */
	const atomic_bool *stop;    /* finish the block, then end in order */
	const atomic_bool *abandon; /* end at once */

	_Atomic uint64_t moved; /* payload bytes so far, warm-up included: sent (ack mode: acknowledged), or read */
	_Atomic uint64_t calls_now;
	atomic_bool running, finished;
	_Atomic clockid_t cpu_clock; /* valid while running */

	struct tally mine, theirs;
	bool have_theirs;
	struct hist block_rtt; /* ack mode, sender: from the send to the ack */
	uint64_t ack_wait_ns, source_wait_ns;
	uint64_t send_buffer, send_window; /* at the end */
	int error;                         /* errno that ended it early, 0 if none; EPROTO: the peer broke the format */
	const char *failed_op;             /* "send", "receive", ...: what error belongs to */
};

/* The flow's low water mark by the user's options: who sets the size of the buffer gets each wake-up, unless he says
 * more. */
static inline uint64_t low_water(const struct sock_options *o)
{
	return o->receive_low_water != 0 ? o->receive_low_water : o->receive_buffer != 0 ? 1 : 0;
}

void flow_send(struct flow *f);
void flow_receive(struct flow *f);

/* --- verdict.c: what limited the transfer (pure) ------------------------------------------------------------------ */

enum limit {
	LIMIT_UNKNOWN,
	LIMIT_APPLICATION,
	LIMIT_SEND_BUFFER,
	LIMIT_RECEIVE_WINDOW,
	LIMIT_NETWORK,
	LIMIT_PACING,
	LIMIT_STOP_AND_WAIT,
	LIMIT_CPU,
	LIMIT_N
};

/* Everything the judge looks at, for one sending end. Shares are of the elapsed time, 0 to 1; below 0: unknown. */
struct evidence {
	enum ttcp_mode mode;
	uint64_t length, depth, streams;
	double rate_Bps;
	uint64_t elapsed_ns;
	double sender_cpu, receiver_cpu;       /* of one stream's thread: 1 is a whole processor */
	double sender_waited, receiver_waited; /* ready to run, but others had the processor */
	double ack_wait, source_wait;
	bool has_source; /* payload is read from a file or a pipe */
	double busy, rwnd_limited, sndbuf_limited;
	uint64_t rtt_ns, min_rtt_ns, cwnd_bytes, pacing_Bps, retransmits;
	uint64_t send_buffer, send_window, rate_cap_Bps;
	const char *congestion;
};

enum { VERDICT_TEXT = 512 };
enum limit verdict(const struct evidence *e, char why[static VERDICT_TEXT]);
const char *limit_name(enum limit l);                   /* as in JSON: "stop_and_wait" */
const char *limit_title(enum limit l);                  /* for people: "stop-and-wait" */
double verdict_predicted_Bps(const struct evidence *e); /* depth x block / RTT; 0 without an RTT */

/* --- options, and the roles -------------------------------------------------------------------------------------- */

struct options {
	bool receiver, one_off, verify, reverse, bidir, sweep, probe, json, csv, verbose, ipv4, ipv6, sendfile;
	const char *host, *bind, *file, *svg, *sizes, *depths;
	const char *socks_text; /* as typed; parsed: */
	struct socks_proxy socks;
	uint64_t port, length, blocks, bytes, time_ns, omit_ns, depth, streams, interval_ns, write_len;
	uint64_t timeout_ns, max_length, max_clients, seed, probe_interval_ns;
	int mode;
	struct sock_options socket;
};

int server_run(const struct options *o); /* both return the exit status */
int client_run(const struct options *o);
int sweep_run(const struct options *o);

/* --- client.c: one run of one session ----------------------------------------------------------------------------- */

/* The result of one run: the flows in both directions, and the probe's two histograms. */
struct run {
	const struct options *o;
	struct plan plan;
	struct addr first_hop[ADDR_MAX]; /* whom we connect with: the receiver, or a SOCKS server */
	size_t n_first_hop;
	char peer[SOCKS_PLACE_TEXT]; /* the receiver: its address, or behind a SOCKS server what the user calls it */
	struct flow *flows;          /* n_flows of them, with their connections open */
	size_t n_flows;
	pthread_t *threads;
	struct probe *probe; /* NULL without --probe */
	int event_fd;        /* becomes readable when a flow ends */
	atomic_bool stop, abandon;
	bool fell_back;         /* the receiver speaks only the plain format */
	struct net_error error; /* op is NULL if the run has connected */
};

struct plan client_plan(const struct options *o);
int run_open(struct run *r, const struct options *o, const struct plan *plan); /* connects; 0, or -1 with r->error */
void run_go(struct run *r);                                                    /* BLOCKS until all has ended */
bool run_failed(struct run *r);                                                /* then r->error says what */
void run_close(struct run *r);

/* --- probe.c: latency beside the bulk ----------------------------------------------------------------------------- */

struct probe {
	int fd;
	uint64_t interval_ns;
	struct hist idle, loaded;
	const atomic_bool *loaded_now, *stop, *abandon;
	int error;
};
enum { PROBE_LEN = 64 };
void probe_measure(struct probe *p);                  /* client: until *stop */
int probe_echo(int fd, const struct io_until *until); /* server: until the client's FIN */

/* --- report.c: what people and programs read --------------------------------------------------------------------- */

/* The sum over the flows of one direction. All zero, then summary_add for each flow, then summary_judge. */
struct summary {
	bool sending;     /* this end is the sender */
	struct plan plan; /* of the first flow */
	uint64_t streams;
	uint64_t merged; /* runs of which it is made, summary_merge */
	uint64_t bytes, blocks, elapsed_ns;
	double rate_Bps, predicted_Bps;
	bool confirmed;                /* the receiver said that it has read these bytes */
	struct tally sender, receiver; /* sums; rtt, windows and the limited times are means over the streams */
	bool have_sender, have_receiver;
	uint64_t ack_wait_ns, source_wait_ns, send_buffer, send_window;
	bool has_source;
	struct evidence evidence;
	enum limit limited_by;
	char why[VERDICT_TEXT];
	struct hist block_rtt;
	uint64_t bad_offset;
};
void summary_add(struct summary *s, const struct flow *f);
void summary_judge(struct summary *s, uint64_t rate_cap_Bps);
void summary_merge(struct summary *s, const struct summary *more);   /* counts only; in the order of time */
size_t summarize(const struct run *r, struct summary out[static 2]); /* 1, or 2 with both directions */

struct interval;
struct interval *interval_start(const struct run *r);
void interval_tick(struct interval *v, const struct run *r);
void interval_free(struct interval *v);

void json_or_null(struct json *j, const char *key, bool known, uint64_t value);
void report_start(const struct run *r);
bool report_total(const struct run *r); /* false: a verified byte was wrong */
void report_summary(const struct summary *s);
void report_json_summary(struct json *j, const struct summary *s);

void report_server_start(const struct options *o, const char *where);
void report_server_interval(const struct options *o, const struct meter_rate *m, uint64_t start_ns, size_t connections);
void report_connection(const struct options *o, const char *peer, const struct summary *s, int error);
void report_server_total(const struct options *o, const struct summary *s, uint64_t connections, uint64_t refused);

#endif
