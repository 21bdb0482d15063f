/* simopen - two programs connect to each other, and nobody listens: simultaneous open, and simultaneous close.
 *
 * Try:       simopen b -p 2028 --local-port 2027 --at TIME      on host a, over a link with some delay
 *            simopen a -p 2027 --local-port 2028 --at TIME      on host b, the same TIME: they get one connection
 *            ... --skew 100ms                                   at one of them: too late, and both are refused
 *            ... --skew 100ms --fixed                           at both: who is refused asks again
 *            simopen 127.0.0.1 -p 2028 --local-port 2027 --how deaf     on plain loopback, in one terminal,
 *            simopen 127.0.0.1 -p 2027 --local-port 2028 --how deaf     and, within ten seconds, in another
 * Look for:  PITFALL below; and the states: SYN-RECEIVED at an end that has connected, CLOSING at both.
 * Labs:      27-simultaneous-open.
 *
 * TCP has no servers and clients. It has two ends, and each may begin (RFC 9293 3.5, figure 7):
 *
 *     a  SYN-SENT      ---SYN--\  /--SYN---      SYN-SENT  b     each has sent its SYN before the other's came: it
 *     a  SYN-RECEIVED  <-------/  \------->  SYN-RECEIVED  b     agrees to that, too, and both are connected
 *     a                --SYN,ACK\/SYN,ACK--                b
 *     a  ESTABLISHED   <-------/  \------->  ESTABLISHED   b
 *
 * But a SYN that arrives where no socket waits for it yet is answered with a reset: "connection refused". So the two
 * must begin within the time that a packet is under way. The same at the end: FINs that cross lead through CLOSING (3.6,
 * figure 13).
 *
 * This is how two hosts behind address translation meet ("hole punching", RFC 5382 REQ-2): there the routers in the path
 * drop a SYN that comes too early, and nobody is refused. --how deaf does the same with a socket filter
 * (SO_ATTACH_FILTER, pitfall/cable.h; Linux of 2026 wants CAP_NET_ADMIN for it).
 *
 * The chapters: time, the open, the exchange and the close, a round, reports, options and main. One thread, in poll(2).
 *
 * LIMIT: the states are looked at every half millisecond; one that is shorter is missed. On loopback a SYN is answered
 * before connect(2) returns, so there the two meet by chance only, unless they are deaf. A pair of ports that was used
 * is in TIME-WAIT for 60 s. */
#include "addr.h"
#include "args.h"
#include "clock.h"
#include "diag.h"
#include "netcount.h"
#include "record.h"
#include "sig.h"
#include "sock.h"
#include "sockdiag.h"
#include "units.h"

#include "pitfall/cable.h"
#include "pitfall/stage.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PEER_PORT = 2027, LOOK_NS = NS_PER_MS / 2, STATES_MAX = 8, HELLO_LEN = 16, ROUNDS_MAX = 1000 };

enum how { ONCE, RETRY, DEAF };
static const char *const hows[] = { "once", "retry", "deaf", NULL };

struct options {
	struct stage stage;
	int how;
	bool fixed;
	const char *at;
	int64_t at_ns; /* the real time at which the first round begins; 0: at once */
	uint64_t local_port, skew_ns, rounds, every_ns;
};

/* What became of one round. */
struct round {
	unsigned number;
	struct addr here, there;
	uint64_t tries, connect_ns;
	bool connected, met, to_itself; /* met: the other one said hello, and we read it to its end */
	int error;                      /* 0: it went well */
	unsigned states[STATES_MAX];    /* that this end was seen in, in order */
	size_t n_states;
	const char *end_state; /* what is left of it when we have closed; NULL: not known */
};

/* --- time -------------------------------------------------------------------------------------------------------- */

/* The same moment at both hosts, as far as their clocks agree; the later one is late by --skew. False: a signal came. */
static bool wait_for(const struct options *o, unsigned number)
{
	int64_t left_ns = 0;
	if (o->at_ns != 0)
		left_ns = o->at_ns + (int64_t)(number * o->every_ns + o->skew_ns) - clk_real_ns();
	else if (number == 0)
		left_ns = (int64_t)o->skew_ns;
	/* WHY in two parts: a long sleep ends up to a millisecond late, a short one much less. */
	if (left_ns > 2 * NS_PER_MS && sig_wait_fd(-1, 0, (uint64_t)left_ns - NS_PER_MS) < 0 && errno == ECANCELED)
		return false;
	if (o->at_ns != 0)
		while (clk_real_ns() < o->at_ns + (int64_t)(number * o->every_ns + o->skew_ns) &&
		       sig_pending(NULL) == 0)
			continue;
	return sig_pending(NULL) == 0;
}

/* --- the open ---------------------------------------------------------------------------------------------------- */

/* In which state is our end? Noted when it is another one than before. */
static unsigned look(int fd, struct round *r)
{
	struct tcp_info info = { 0 };
	socklen_t len = sizeof(info);
	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0)
		return 0;
	unsigned state = info.tcpi_state;
	if (state != 0 && r->n_states < STATES_MAX && (r->n_states == 0 || r->states[r->n_states - 1] != state)) {
		r->states[r->n_states++] = state;
		tracef("state %s", sockdiag_state_name((enum sockdiag_state)state));
	}
	return state;
}

/* Resets that arrive at this socket are lost: a byte of the TCP header, the 14th, has the flags (RFC 9293 3.1). */
static int drop_resets(int fd, struct net_error *e)
{
	struct sock_filter program[] = {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 13),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 0x04, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 0),
		BPF_STMT(BPF_RET | BPF_K, 0xffffffff),
	};
	return cable_filter(fd, program, COUNT_OF(program), e);
}

/* A port of our own, as a server has it; but it does not listen. Where that fails, all rounds would. */
static int make_socket(const struct options *o, const struct round *r)
{
	char text[ADDR_TEXT];
	struct net_error e;
	int on = 1, fd = socket(r->here.u.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		stage_fail_errno(&o->stage, "socket", "for TCP");
	/* WHY: the port may be in TIME-WAIT with other peers. With this one it must not be. */
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, &r->here.u.sa, r->here.len) < 0)
		stage_fail_errno(&o->stage, "bind", addr_text(&r->here, text));
	if (o->how == DEAF && drop_resets(fd, &e) < 0)
		stage_fail(&o->stage, &e);
	return fd;
}

/* Until it is connected, or has failed, or time is up: 0, or an errno. */
static int await_connection(int fd, struct round *r, uint64_t deadline_ns)
{
	for (;;) {
		int rc = sig_wait_fd(fd, POLLOUT, LOOK_NS), error = rc < 0 ? errno : 0;
		look(fd, r);
		if (rc == 0)
			return sock_take_error(fd);
		if (error == ECANCELED || clk_mono_ns() >= deadline_ns)
			return error;
	}
}

/* connect(2) itself says no: not the peer, but this host. */
static _Noreturn void fail_to_connect(const struct options *o, const struct round *r)
{
	char text[ADDR_TEXT];
	struct net_error e = { 0 };
	net_fail(&e, "connect", addr_text(&r->there, text));
	if (e.sys == EADDRNOTAVAIL)
		e.reason = "this pair of ports was used within the last minute, and is in TIME-WAIT: take others";
	stage_fail(&o->stage, &e);
}

/* One connect(2). A descriptor, or -1 with r->error. */
static int try_once(const struct options *o, struct round *r, uint64_t deadline_ns)
{
	int fd = make_socket(o, r);
	r->tries++;
	r->n_states = 0;
	int rc = connect(fd, &r->there.u.sa, r->there.len);
	tracef("connect(%d) = %d%s%s", fd, rc, rc < 0 ? " " : "", rc < 0 ? errno_name(errno) : "");
	if (rc < 0 && errno != EINPROGRESS && errno != ECONNREFUSED)
		fail_to_connect(o, r);
	r->error = rc < 0 && errno == ECONNREFUSED ? ECONNREFUSED : 0;
	look(fd, r);
	if (r->error == 0)
		r->error = await_connection(fd, r, deadline_ns);
	if (r->error == 0)
		return fd;
	close(fd);
	return -1;
}

static int open_connection(const struct options *o, struct round *r)
{
	uint64_t start_ns = clk_mono_ns(), deadline_ns = start_ns + o->stage.timeout_ns;
	struct net_error e;
	int fd = try_once(o, r, deadline_ns);
	/* PITFALL: one connect(2) each, at the time agreed upon. Whose SYN comes before the other one is there is refused,
	 * and has given up when the other one's SYN comes, who is refused as well. Nobody has done anything wrong but
	 * to be late. Fixed: who is refused asks again, at once; so there is always a socket for a SYN to find. */
	while (fd < 0 && r->error == ECONNREFUSED && o->how == RETRY && clk_mono_ns() < deadline_ns &&
	       sig_pending(NULL) == 0)
		fd = try_once(o, r, deadline_ns);
	r->connect_ns = clk_mono_ns() - start_ns;
	r->connected = fd >= 0;
	if (fd >= 0 && o->how == DEAF && cable_mend(fd, &e) < 0)
		stage_fail(&o->stage, &e);
	return fd;
}

/* --- the exchange, and the close --------------------------------------------------------------------------------- */

/* "hello from 2027\n", filled up with zeros. */
static void make_hello(char out[static HELLO_LEN + 1], const struct addr *from)
{
	memset(out, 0, HELLO_LEN + 1);
	snprintf(out, HELLO_LEN + 1, "hello from %u", (unsigned)addr_port(from));
}

/* Both say who they are, at the same time, and end as soon as they know who the other one is. 0, or an errno. */
static int exchange(const struct options *o, int fd, struct round *r)
{
	char ours[HELLO_LEN + 1], wanted[HELLO_LEN + 1], got[HELLO_LEN + 1] = "";
	uint64_t sent = 0;
	size_t len = 0;
	make_hello(ours, &r->here);
	make_hello(wanted, &r->there);
	if (stage_send_all(&o->stage, fd, ours, HELLO_LEN, &sent) < 0)
		return errno;
	while (len < HELLO_LEN) {
		ssize_t n = stage_recv(&o->stage, fd, got + len, HELLO_LEN - len);
		if (n <= 0)
			return n == 0 ? EPROTO : errno;
		len += (size_t)n;
	}
	r->met = memcmp(got, wanted, HELLO_LEN) == 0;
	return r->met ? 0 : EPROTO;
}

/* Our FIN, and then until both have gone both ways. Afterwards the kernel keeps the connection without us: as TIME-WAIT. */
static int close_and_watch(const struct options *o, int fd, struct round *r)
{
	uint64_t deadline_ns = clk_mono_ns() + o->stage.timeout_ns;
	char byte;
	int rc = shutdown(fd, SHUT_WR), error = rc < 0 ? errno : 0;
	tracef("shutdown(%d, SHUT_WR) = %d", fd, rc);
	while (error == 0 && look(fd, r) != SOCKDIAG_CLOSED) {
		ssize_t n = recv(fd, &byte, 1, MSG_DONTWAIT);
		if (n > 0 || (n < 0 && errno != EAGAIN))
			error = n > 0 ? EPROTO : errno;
		else if (sig_wait_fd(-1, 0, LOOK_NS) < 0 && errno == ECANCELED)
			error = ECANCELED;
		else if (clk_mono_ns() >= deadline_ns)
			error = ETIMEDOUT;
	}
	return error;
}

static void look_for_rest(struct round *r)
{
	struct sockdiag d;
	struct sockdiag_socket s;
	struct net_error e;
	if (sockdiag_open(&d, &e) < 0)
		return;
	int rc = sockdiag_find(&d, &r->here, &r->there, 0, &s, &e);
	r->end_state = rc == 1 ? sockdiag_state_name(s.state) : rc == 0 ? "none" : NULL;
	sockdiag_close(&d);
}

/* --- a round ----------------------------------------------------------------------------------------------------- */

static void set_port(struct addr *a, uint16_t port)
{
	if (a->u.sa.sa_family == AF_INET6)
		a->u.in6.sin6_port = htons(port);
	else
		a->u.in4.sin_port = htons(port);
}

/* Each round has ports of its own: those of the last one are in TIME-WAIT. */
static void run_round(const struct options *o, const struct addr *peer, struct round *r)
{
	r->there = *peer;
	set_port(&r->there, (uint16_t)(o->stage.port + r->number));
	r->here = (struct addr){ .len = peer->len };
	r->here.u.sa.sa_family = peer->u.sa.sa_family;
	set_port(&r->here, (uint16_t)(o->local_port + r->number));
	int fd = open_connection(o, r);
	if (fd < 0)
		return;
	if (addr_of_socket(fd, &r->here) < 0)
		r->error = errno;
	r->to_itself = addr_equal(&r->here, &r->there);
	if (r->error == 0)
		r->error = exchange(o, fd, r);
	if (r->error == 0)
		r->error = close_and_watch(o, fd, r);
	if (r->error != 0)
		sock_abort(fd);
	else
		close(fd);
	look_for_rest(r);
}

static bool has_seen(const struct round *r, enum sockdiag_state state)
{
	for (size_t i = 0; i < r->n_states; i++)
		if (r->states[i] == state)
			return true;
	return false;
}

/* --- reports ----------------------------------------------------------------------------------------------------- */

struct tally {
	unsigned rounds, met, refused, crossed_open, crossed_close, time_wait;
	uint64_t tries;
	struct netcounts before, after;
	bool has_counts;
};

static void count(struct tally *t, const struct round *r)
{
	t->rounds++;
	t->tries += r->tries;
	t->met += r->met && r->error == 0;
	t->refused += r->error == ECONNREFUSED;
	t->crossed_open += has_seen(r, SOCKDIAG_SYN_RECEIVED);
	t->crossed_close += has_seen(r, SOCKDIAG_CLOSING);
	t->time_wait += r->end_state != NULL && strcmp(r->end_state, "TIME-WAIT") == 0;
}

static void report_start(const struct options *o, const struct addr *peer)
{
	struct json j;
	char text[ADDR_TEXT];
	if (!o->stage.json)
		return;
	record_begin(&j, "start");
	json_str(&j, "peer", addr_text(peer, text));
	json_u64(&j, "local_port", o->local_port);
	json_str(&j, "how", hows[o->how]);
	json_u64(&j, "rounds", o->rounds);
	json_u64(&j, "skew_ns", o->skew_ns);
	json_end(&j);
}

static void print_round(const struct round *r)
{
	char here[ADDR_TEXT], there[ADDR_TEXT], text[UNITS_TEXT];
	printf("%s and %s: %s%s, at try %" PRIu64 ", after %s%s%s\n", addr_text(&r->here, here),
	       addr_text(&r->there, there), r->connected ? "connected" : strerror(r->error),
	       r->to_itself ? " to itself" : "", r->tries, units_duration(text, r->connect_ns),
	       r->connected && r->error != 0 ? "; then: " : "",
	       r->connected && r->error != 0 ? strerror(r->error) : "");
	printf("    seen here:");
	for (size_t i = 0; i < r->n_states; i++)
		printf(" %s", sockdiag_state_name((enum sockdiag_state)r->states[i]));
	printf("%s%s\n", r->end_state != NULL ? "; now " : "", r->end_state != NULL ? r->end_state : "");
}

static void report_round(const struct options *o, const struct round *r)
{
	struct json j;
	char text[ADDR_TEXT];
	if (!o->stage.json) {
		print_round(r);
		return;
	}
	record_begin(&j, "round");
	json_u64(&j, "number", r->number);
	json_str(&j, "local", addr_text(&r->here, text));
	json_str(&j, "peer", addr_text(&r->there, text));
	json_bool(&j, "connected", r->connected);
	json_bool(&j, "met", r->met);
	json_bool(&j, "to_itself", r->to_itself);
	json_str(&j, "errno", stage_symbol(r->error));
	json_u64(&j, "tries", r->tries);
	json_u64(&j, "connect_ns", r->connect_ns);
	json_array(&j, "states");
	for (size_t i = 0; i < r->n_states; i++)
		json_str(&j, NULL, sockdiag_state_name((enum sockdiag_state)r->states[i]));
	json_close(&j);
	json_str(&j, "end_state", r->end_state);
	json_end(&j);
}

static void put_count(struct json *j, const char *key, const struct tally *t, const char *name)
{
	if (t->has_counts && netcount_find(&t->after, name, NULL))
		json_u64(j, key, netcount_since(&t->before, &t->after, name));
	else
		json_null(j, key);
}

static void report_total(const struct options *o, const struct tally *t)
{
	struct json j;
	if (!o->stage.json) {
		printf("%u of %u met, %u refused; tries: %" PRIu64 "; SYNs seen to cross: %u, FINs: %u\n", t->met,
		       t->rounds, t->refused, t->tries, t->crossed_open, t->crossed_close);
		if (t->has_counts)
			printf("opened in this network meanwhile: %" PRIu64 " by connect (actively), %" PRIu64
			       " by a listener (passively)\n",
			       netcount_since(&t->before, &t->after, "TcpActiveOpens"),
			       netcount_since(&t->before, &t->after, "TcpPassiveOpens"));
		return;
	}
	record_begin(&j, "total");
	json_str(&j, "how", hows[o->how]);
	json_u64(&j, "rounds", t->rounds);
	json_u64(&j, "met", t->met);
	json_u64(&j, "refused", t->refused);
	json_u64(&j, "tries", t->tries);
	json_u64(&j, "crossed_open", t->crossed_open);
	json_u64(&j, "crossed_close", t->crossed_close);
	json_u64(&j, "time_wait", t->time_wait);
	put_count(&j, "active_opens", t, "TcpActiveOpens");
	put_count(&j, "passive_opens", t, "TcpPassiveOpens");
	json_bool(&j, "interrupted", sig_pending(NULL) != 0);
	json_end(&j);
}

/* The exit status. */
static int run_rounds(const struct options *o, const struct addr *peer)
{
	static struct tally t; /* large for a stack */
	struct net_error e;
	t.has_counts = netcount_read(&t.before, &e) == 0;
	report_start(o, peer);
	for (unsigned i = 0; i < o->rounds && wait_for(o, i); i++) {
		struct round r = { .number = i };
		run_round(o, peer, &r);
		if (r.error == ECANCELED)
			break;
		count(&t, &r);
		report_round(o, &r);
	}
	t.has_counts = t.has_counts && netcount_read(&t.after, &e) == 0;
	report_total(o, &t);
	return sig_exit_status(t.met == o->rounds ? 0 : 3);
}

/* --- options and main -------------------------------------------------------------------------------------------- */

static const char *const synopsis[] = { "PEER -p PORT --local-port PORT [--at TIME] [--fixed] [options]", NULL };

static const char *const about[] = {
	"simopen takes a port of its own and connects to a PORT of PEER, where another simopen does the same the other way "
	"round. Nobody listens. When each has sent its SYN before the other's arrives, both get connected, and that is one "
	"connection (simultaneous open). When one of them is late, by more than a packet is under way, both are refused.",
	"Once connected they say who they are, and close at the same time. Every state that was seen is reported.",
	NULL,
};

static const struct arg_example examples[] = {
	{ "simopen b -p 2028 --local-port 2027 --at $(($(date +%s) + 5))", "meet in five seconds" },
	{ "simopen b -p 2028 --local-port 2027 --fixed", "ask again and again, until --timeout" },
	{ "simopen 127.0.0.1 -p 2028 --local-port 2027 --how deaf", "do not hear that nobody is there" },
	{ "simopen 127.0.0.1 -p 2027 --local-port 2027", "meet oneself (lab 20-self-connect)" },
	{ 0 },
};

static const struct arg_example statuses[] = {
	{ "3", "the two did not meet in each round" },
	{ 0 },
};

/* The seconds since 1970 as date(1) prints them with +%s or +%s.%N. */
static int64_t parse_at(const char *text)
{
	char *end;
	double seconds = strtod(text, &end);
	double ahead = seconds - (double)clk_real_ns() / NS_PER_S;
	if (end == text || *end != '\0' || !isfinite(seconds) || seconds < 0 || ahead > 86400)
		args_misuse(
			"--at is the time in seconds since 1970, and not more than a day ahead: $(($(date +%%s) + 5))");
	return (int64_t)(seconds * 1e6) * NS_PER_US;
}

static void check_options(struct options *o, char **operands)
{
	o->stage.host = *operands;
	if (o->stage.host == NULL)
		args_misuse("say with which PEER to meet");
	if (operands[1] != NULL)
		args_misuse("'%s' is too much", operands[1]);
	stage_check_family(&o->stage);
	if (o->local_port == 0 || o->stage.port == 0)
		args_misuse("both ports are needed, -p and --local-port: nobody can be met at an unknown one");
	if (o->local_port + o->rounds > 65536 || o->stage.port + o->rounds > 65536)
		args_misuse("each round takes the next ports, and there are none above 65535");
	if (o->fixed && o->how == DEAF)
		args_misuse("--fixed is --how retry");
	if (o->fixed)
		o->how = RETRY;
	if (o->at != NULL)
		o->at_ns = parse_at(o->at);
}

static struct options parse_options(int argc, char **argv)
{
	struct options o = {
		.stage = { .port = PEER_PORT, STAGE_DEFAULTS },
		.local_port = PEER_PORT,
		.rounds = 1,
		.every_ns = NS_PER_S / 2,
	};
	/* clang-format off */
	const struct arg rows[] = {
		{ 'p', "port", ARG_PORT, &o.stage.port, .value_name = "PORT", .help = "the peer's port" },
		{ 'l', "local-port", ARG_PORT, &o.local_port, .value_name = "PORT", .help = "our own port" },
		{ '\0', "at", ARG_STR, &o.at, .value_name = "TIME", .help = "begin then: seconds since 1970, such as date +%s.%N "
		  "prints; unless given, at once" },
		{ '\0', "skew", ARG_DURATION, &o.skew_ns, 0, STAGE_DAY_NS, "D", "begin so much later" },
		{ '\0', "how", ARG_CHOICE, &o.how, .value_name = "HOW", .help = "once: one connect(2); retry: who is refused asks "
		  "again; deaf: does not hear that it was refused", .choices = hows },
		{ '\0', "fixed", ARG_FLAG, &o.fixed, .help = "the same as --how retry" },
		{ 'n', "rounds", ARG_COUNT, &o.rounds, 1, ROUNDS_MAX, "N", "so many times, each with the next ports" },
		{ '\0', "every", ARG_DURATION, &o.every_ns, NS_PER_MS, STAGE_DAY_NS, "D",
		  "with --at: from the beginning of one round to the next" },
		STAGE_COMMON_ROWS(o.stage),
		{ 0 },
	};
	/* clang-format on */
	const struct arg_spec spec = {
		.tool = "simopen",
		.one_line = "connects two programs to each other, without a listener: simultaneous open and close",
		.synopsis = synopsis,
		.about = about,
		.args = rows,
		.examples = examples,
		.exit_statuses = statuses,
		.see_also =
			"tcplab(1), tcp(7), selfconnect, RFC 9293 3.5. Each figure explained: docs/tools/simopen.md.",
	};
	check_options(&o, argv + args_parse(&spec, argc, argv));
	return o;
}

int main(int argc, char **argv)
{
	diag_tool = "simopen";
	setvbuf(stdout, NULL, _IOLBF, 0);
	struct options o = parse_options(argc, argv);
	struct addr peers[ADDR_MAX];
	struct net_error e = { 0 };
	sig_open();
	if (addr_resolve(o.stage.host, (uint16_t)o.stage.port, stage_family(&o.stage), peers, ADDR_MAX, &e) < 0)
		stage_fail(&o.stage, &e);
	return record_finish(run_rounds(&o, &peers[0]));
}
