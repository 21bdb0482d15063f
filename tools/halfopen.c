/* halfopen - the other end is gone, and nobody says so: how long a connection lives on when nothing arrives any longer.
 *
 * Try:       halfopen write             the cable is cut, then the client sends: well, well, well ...
 *            halfopen write --fixed     three ways to find out, side by side
 *            halfopen wait, halfopen stuck, halfopen hung, halfopen reboot: other ways for a peer to be gone
 *            halfopen alive --fixed     the same ways when nothing is wrong
 *            halfopen -s                a server for another host, and there:
 *            halfopen write HOST --cut 'read -p "pull the cable, press Enter"'
 * Look for:  PITFALL below, twice; and which of the means stays silent in which experiment.
 * Labs:      25-half-open.
 *
 * A connection is nothing but what two hosts remember of it. It is half open when one of them has forgotten (RFC 9293
 * 3.5.1), or cannot be reached. No packet goes over an idle connection, so nobody can notice that none arrives any
 * longer. Who sends is not told either: the kernel sends again and again, for 15 minutes (tcp_retries2 in tcp(7)).
 *
 *     who asks            what is asked                             who answers          what it misses
 *     SO_KEEPALIVE        a probe after idle time                   the peer's kernel    a cable that was written to
 *     TCP_USER_TIMEOUT    how old is what is unacknowledged?        the peer's kernel    a cable that is silent
 *     a heartbeat         a question of our own, in good time       the peer's program   nothing
 *
 * The cable is cut at both ends of a connection over loopback, by pitfall/cable.h: nothing arrives any longer.
 *
 * The chapters: the experiments, the connections, the cable, the client, the watch, options and main; and
 * halfopen/report.c, halfopen/server.c. One thread, in poll(2) all the time; all connections of an experiment are cut
 * at once and watched side by side.
 *
 * LIMIT: on loopback, where the retransmission timeout is the least there is (200 ms). Far away everything takes longer. */
#include "halfopen/halfopen.h"

#include "addr.h"
#include "args.h"
#include "clock.h"
#include "diag.h"
#include "record.h"
#include "sig.h"
#include "sock.h"
#include "sockdiag.h"
#include "tcpinfo.h"

#include "pitfall/cable.h"
#include "pitfall/stage.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { DEFAULT_PORT = 2025, CARES = 5, BEAT_LEN = 5, LOOK_NS = 10 * NS_PER_MS };

/* --- the experiments --------------------------------------------------------------------------------------------- */

/* clang-format off */
static const struct halfopen_experiment experiments[] = {
#define CARE(c) (1u << (c))
	{ "write", "the cable is cut, then the client sends a question", CABLE_CUT, SEND, ETIMEDOUT,
	  CARE(NO_CARE) | CARE(KEEPALIVE), CARE(USER_TIMEOUT) | CARE(BOTH) | CARE(HEARTBEAT),
	  "send(2) was well. The kernel sends again, each time after twice as long, and says nothing for 15 minutes; keepalive\n"
	  "is silent, too: it has nothing to ask as long as there are bytes on their way.",
	  "TCP_USER_TIMEOUT limits for how long the kernel goes on; the heartbeat misses its answer." },
	{ "wait", "the cable is cut, and the client waits for what the server may have to say", CABLE_CUT, WAIT, ETIMEDOUT,
	  CARE(NO_CARE) | CARE(USER_TIMEOUT), CARE(KEEPALIVE) | CARE(BOTH) | CARE(HEARTBEAT),
	  "Nothing is sent, so nothing can fail: this state has no end. TCP_USER_TIMEOUT is about bytes on their way, and\n"
	  "there are none. A server that waits for its client is in the same state.",
	  "Somebody has to ask: the kernel (keepalive) or the program (heartbeat)." },
	{ "stuck", "the server stops reading, the client sends until its kernel takes no more", STOPS_READING, FILL, ETIMEDOUT,
	  CARE(NO_CARE) | CARE(KEEPALIVE), CARE(USER_TIMEOUT) | CARE(BOTH) | CARE(HEARTBEAT),
	  "The window is shut, and the server's kernel answers each probe that asks whether it still is. A blocking send(2)\n"
	  "would not return. Keepalive is silent, for there are bytes to be sent.",
	  "TCP_USER_TIMEOUT ends it though probes are answered; the heartbeat misses its answer." },
	{ "hung", "the server's program hangs, the client sends a question", STOPS_ANSWERING, SEND, ETIMEDOUT,
	  CARE(NO_CARE) | CARE(KEEPALIVE) | CARE(USER_TIMEOUT) | CARE(BOTH), CARE(HEARTBEAT),
	  "The server's kernel has acknowledged the question, and answers every probe. It lives; its program does not.",
	  "Only a question to the program tells that the program does not answer." },
	{ "reboot", "the server's host was started anew and has forgotten the connection; the client waits", REBOOTS, WAIT,
	  ECONNRESET, CARE(NO_CARE) | CARE(USER_TIMEOUT), CARE(KEEPALIVE) | CARE(BOTH) | CARE(HEARTBEAT),
	  "The server's host would say so at once, if somebody asked: any segment is answered with a reset.",
	  "The first segment, of whatever kind, is answered with a reset (RFC 9293 3.5.1): nobody waits for a timeout." },
	{ "alive", "nothing is wrong", UNHARMED, SEND, 0,
	  CARE(NO_CARE), CARE(KEEPALIVE) | CARE(USER_TIMEOUT) | CARE(BOTH) | CARE(HEARTBEAT),
	  "A connection that works, for comparison.",
	  "Whoever takes care must not take a quiet peer for a dead one." },
#undef CARE
};
/* clang-format on */

/* --- the connections --------------------------------------------------------------------------------------------- */

/* All of it is set before anything goes wrong. */
void halfopen_take_care(const struct halfopen_options *o, int fd, enum care care)
{
	int on = 1, idle = (int)o->idle_s, interval = (int)o->interval_s, probes = (int)o->probes;
	unsigned limit_ms = (unsigned)(o->user_timeout_ns / NS_PER_MS);
	int rc = 0;
	/* PITFALL: a connection with none of this. Whoever waits in recv(2) waits until the program ends, and whoever
	 * sends learns after 15 minutes that his bytes have not arrived (RFC 9293 3.8.3, tcp_retries2 in tcp(7)). */
	if (care == KEEPALIVE || care == BOTH)
		rc = setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on)) |
		     setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle)) |
		     setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof(interval)) |
		     setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof(probes));
	/* PITFALL: one of the two alone. Keepalive is silent as long as anything is unacknowledged, and a user timeout
	 * as long as nothing is. And when the kernel at the other end still answers, both find everything in order. */
	if (care == USER_TIMEOUT || care == BOTH)
		rc |= setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &limit_ms, sizeof(limit_ms));
	if (rc < 0)
		stage_fail_errno(&o->stage, "set", halfopen_care_names[care]);
}

/* One message there and back: from here on both ends know of each other, and have acknowledged it. */
static void greet(const struct halfopen_options *o, struct halfopen_client *c)
{
	char text[BEAT_LEN];
	struct net_error e = { 0 };
	uint64_t sent = 0;
	ssize_t n = stage_send_all(&o->stage, c->fd, "hello", BEAT_LEN, &sent) < 0 ? -1 : 0;
	if (n == 0 && c->peer_fd >= 0) {
		n = stage_recv(&o->stage, c->peer_fd, text, sizeof(text));
		n = n < 0 ? -1 : stage_send_all(&o->stage, c->peer_fd, "hello", BEAT_LEN, &sent);
	}
	for (size_t got = 0; n >= 0 && got < BEAT_LEN; got += (size_t)n) {
		n = stage_recv(&o->stage, c->fd, text, sizeof(text) - got);
		if (n == 0)
			errno = ECONNRESET;
		n = n == 0 ? -1 : n;
	}
	if (n >= 0 && c->peer_fd >= 0)
		n = stage_wait_acknowledged(&o->stage, c->peer_fd);
	if (n >= 0 || errno == ECANCELED)
		return;
	net_fail(&e, "exchange", "the first message");
	stage_fail(&o->stage, &e);
}

/* Connected, and with small buffers where they are to be filled. False: a signal came. */
static bool open_client(const struct halfopen_options *o, struct halfopen_client *c, bool small)
{
	static const struct sock_options little = { .send_buffer = 16384, .receive_buffer = 8192 };
	struct net_error e = { 0 };
	struct tcpinfo info;
	int fds[2] = { -1, -1 };
	const struct sock_options *so = small ? &little : NULL;
	if (o->stage.host != NULL)
		fds[1] = stage_connect(&o->stage, so, &e);
	else if (stage_pair(o->stage.ipv6 ? AF_INET6 : AF_INET, so, so, fds, &e) < 0)
		fds[1] = -1;
	if (fds[1] < 0 && e.sys != ECANCELED)
		stage_fail(&o->stage, &e);
	if (fds[1] < 0)
		return false;
	c->fd = fds[1];
	c->peer_fd = fds[0];
	greet(o, c);
	halfopen_take_care(o, c->fd, c->care);
	if (addr_of_socket(c->fd, &c->local) < 0 || addr_of_peer(c->fd, &c->peer) < 0)
		stage_fail_errno(&o->stage, "ask", "the names of a connection");
	c->first_rto_ns = tcpinfo_get(c->fd, &info) == 0 ? info.rto_ns : 0;
	return sig_pending(NULL) == 0;
}

/* --- the cable --------------------------------------------------------------------------------------------------- */

static void cut(const struct halfopen_options *o, int fd)
{
	struct net_error e;
	if (cable_cut(fd, &e) < 0)
		stage_fail(&o->stage, &e);
}

/* How many segments were lost at this socket so far (SO_MEMINFO, Linux 4.12). */
static uint64_t dropped(int fd)
{
	uint32_t values[16] = { 0 };
	socklen_t len = sizeof(values);
	enum { SO_MEMINFO_NUMBER = 55, DROPS = 8 };
	return getsockopt(fd, SOL_SOCKET, SO_MEMINFO_NUMBER, values, &len) < 0 ? 0 : values[DROPS];
}

/* The peer's host forgets: its reset is the last thing that is lost on the way. Then the cable is as new. */
static void reboot(const struct halfopen_options *o, struct halfopen_client *c)
{
	struct net_error e;
	cut(o, c->fd);
	sock_abort(c->peer_fd);
	c->peer_fd = -1;
	for (int ms = 0; ms < 2000 && dropped(c->fd) == 0; ms++)
		clk_sleep_until_ns(clk_mono_ns() + NS_PER_MS);
	if (cable_mend(c->fd, &e) < 0)
		stage_fail(&o->stage, &e);
}

/* --cut: whatever it takes to cut the cable to another host. */
static void run_command(const struct halfopen_options *o)
{
	int status = 0;
	/* WHY: what we have just acknowledged must have arrived, or it would be sent again. Nobody tells us when. */
	if (sig_wait_fd(-1, 0, 200 * NS_PER_MS) < 0 && errno == ECANCELED)
		return;
	pid_t pid = fork();
	if (pid == 0) {
		sigset_t none;
		sigemptyset(&none);
		signal(SIGPIPE, SIG_DFL); /* lab 26: "ignored" would be inherited */
		sigprocmask(SIG_SETMASK, &none, NULL);
		execl("/bin/sh", "sh", "-c", o->cut, (char *)NULL);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		stage_fail_errno(&o->stage, "run", o->cut);
	if (status == 0)
		return;
	struct net_error e = { 0 };
	errno = ECHILD;
	net_fail(&e, "run", o->cut);
	e.reason = "the command that was to cut the cable failed";
	stage_fail(&o->stage, &e);
}

static void let_it_happen(const struct halfopen_options *o, enum fate fate, struct halfopen_client *clients, size_t n)
{
	if (o->cut != NULL)
		run_command(o);
	for (size_t i = 0; i < n && o->cut == NULL; i++) {
		if (fate == REBOOTS)
			reboot(o, &clients[i]);
		if (fate == CABLE_CUT) {
			cut(o, clients[i].fd);
			cut(o, clients[i].peer_fd);
		}
	}
}

/* --- the client -------------------------------------------------------------------------------------------------- */

/* It has found out: notes how, and lets go. */
static void notice(struct halfopen_client *c, uint64_t since_cut_ns, int error)
{
	c->noticed_ns = since_cut_ns != 0 ? since_cut_ns : 1;
	c->error = error;
	c->lost_segments = c->peer_fd >= 0 ? dropped(c->fd) : 0;
	sock_abort(c->fd); /* there is nobody to say goodbye to */
	c->fd = -1;
}

static void send_some(struct halfopen_client *c, const char *p, size_t len, uint64_t now_ns)
{
	ssize_t n = send(c->fd, p, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	int error = errno;
	tracef("%s: send(%d, %zu) = %zd", halfopen_care_names[c->care], c->fd, len, n);
	if (n > 0)
		c->sent_bytes += (uint64_t)n;
	else if (error != EAGAIN)
		notice(c, now_ns, error);
}

/* Until the kernel takes no more: a blocking send(2) would not return from here. */
static void fill(struct halfopen_client *c, uint64_t now_ns)
{
	static const char zeros[4096];
	uint64_t before;
	do {
		before = c->sent_bytes;
		send_some(c, zeros, sizeof(zeros), now_ns);
	} while (c->fd >= 0 && c->sent_bytes > before);
}

/* What there is to read: an answer, an end, or the error that the kernel keeps for us. */
static void hear(struct halfopen_client *c, uint64_t now_ns)
{
	char buffer[4096];
	ssize_t n = recv(c->fd, buffer, sizeof(buffer), MSG_DONTWAIT);
	int error = errno;
	tracef("%s: recv(%d) = %zd%s%s", halfopen_care_names[c->care], c->fd, n, n < 0 ? " " : "",
	       n < 0 ? errno_name(error) : "");
	if (n > 0)
		c->answer_due_ns = 0;
	else if (n == 0 || error != EAGAIN)
		notice(c, now_ns, n == 0 ? 0 : error);
}

/* A question each --heartbeat, and an answer within another one. Only this asks the program at the other end. */
static void beat(const struct halfopen_options *o, struct halfopen_client *c, uint64_t now_ns)
{
	/* WHY look once more: on a busy machine it may be we who are late, and the answer has been there for long. */
	if (c->answer_due_ns != 0 && now_ns >= c->answer_due_ns)
		hear(c, now_ns);
	if (c->fd >= 0 && c->answer_due_ns != 0 && now_ns >= c->answer_due_ns)
		notice(c, now_ns, ETIMEDOUT);
	if (c->fd < 0)
		return;
	if (c->answer_due_ns != 0 || now_ns < c->beat_ns)
		return;
	c->beat_ns = now_ns + o->heartbeat_ns;
	c->answer_due_ns = c->beat_ns;
	send_some(c, "beat\n", BEAT_LEN, now_ns);
}

static void act(const struct halfopen_options *o, struct halfopen_client *c, enum deed deed)
{
	if (c->care == HEARTBEAT)
		c->beat_ns = deed == SEND ? 0 : o->heartbeat_ns;
	else if (deed == SEND)
		send_some(c, "beat\n", BEAT_LEN, 0);
	if (deed == FILL)
		fill(c, 0);
}

/* --- the watch --------------------------------------------------------------------------------------------------- */

/* When was it sent again? */
static void look(struct halfopen_client *c, uint64_t now_ns)
{
	struct tcpinfo info;
	if (tcpinfo_get(c->fd, &info) < 0)
		return;
	for (; c->resent < info.retransmits; c->resent++)
		if (c->resent < HALFOPEN_RESENT_MAX)
			c->resent_at_ns[c->resent] = now_ns;
}

/* The peer's program, if it is here: sends back what it gets. */
static void answer(const struct halfopen_client *c)
{
	char buffer[4096];
	ssize_t n = recv(c->peer_fd, buffer, sizeof(buffer), MSG_DONTWAIT);
	if (n > 0 && send(c->peer_fd, buffer, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL) != n)
		tracef("the answer does not fit");
}

static size_t fill_pollfds(struct pollfd *fds, const struct halfopen_client *clients, size_t n, enum fate fate)
{
	for (size_t i = 0; i < n; i++) {
		bool answers = fate == UNHARMED && clients[i].peer_fd >= 0;
		fds[2 * i] = (struct pollfd){ .fd = clients[i].fd, .events = POLLIN };
		fds[2 * i + 1] = (struct pollfd){ .fd = answers ? clients[i].peer_fd : -1, .events = POLLIN };
	}
	return 2 * n;
}

/* Until all have found out, or the watch is over; since when, in ns. */
static uint64_t watch(const struct halfopen_options *o, struct halfopen_client *clients, size_t n, uint64_t cut_ns)
{
	struct pollfd fds[2 * CARES];
	uint64_t now_ns = 0;
	size_t left = n;
	while (left > 0 && now_ns < o->watch_ns && sig_pending(NULL) == 0) {
		unsigned n_fds = (unsigned)fill_pollfds(fds, clients, n, o->experiment->fate);
		if (sig_wait(fds, n_fds, clk_mono_ns() + LOOK_NS) < 0)
			stage_fail_errno(&o->stage, "poll", "the connections");
		now_ns = clk_mono_ns() - cut_ns;
		left = 0;
		for (size_t i = 0; i < n; i++) {
			struct halfopen_client *c = &clients[i];
			if (fds[2 * i + 1].revents != 0)
				answer(c);
			if (c->fd >= 0)
				look(c, now_ns);
			if (c->fd >= 0 && fds[2 * i].revents != 0)
				hear(c, now_ns);
			if (c->fd >= 0 && c->care == HEARTBEAT)
				beat(o, c, now_ns);
			left += c->fd >= 0;
		}
	}
	return now_ns;
}

/* Of a cable that is cut at our filters: what has been lost there. (Other drops are none of it: the kernel counts a probe that it
 * has answered as dropped, too.) */
static void count_lost(const struct halfopen_options *o, struct halfopen_client *c, uint64_t now_ns)
{
	if (c->fd >= 0)
		look(c, now_ns);
	if (o->experiment->fate != CABLE_CUT || o->cut != NULL)
		c->lost_segments = 0;
	else
		c->lost_segments += dropped(c->peer_fd) + (c->fd >= 0 ? dropped(c->fd) : 0);
}

/* What the kernel thinks of both ends, as ss(8) would show it. Without sock_diag: nothing. */
static void look_at_ends(struct halfopen_client *clients, size_t n)
{
	struct sockdiag d;
	struct net_error e;
	if (sockdiag_open(&d, &e) < 0)
		return;
	for (size_t i = 0; i < n; i++) {
		struct halfopen_client *c = &clients[i];
		c->has_ours = c->fd >= 0 && sockdiag_find(&d, &c->local, &c->peer, 0, &c->ours, &e) == 1;
		c->has_theirs = c->peer_fd >= 0 && sockdiag_find(&d, &c->peer, &c->local, 0, &c->theirs, &e) == 1;
	}
	sockdiag_close(&d);
}

/* An experiment from its connections to its verdict: the exit status. */
static int run_experiment(const struct halfopen_options *o)
{
	struct halfopen_client clients[CARES] = { 0 };
	size_t n = 0;
	unsigned cares = o->fixed ? o->experiment->fixes : o->experiment->broken;
	bool all_right = true;
	struct net_error e;
	bool cuts = o->cut == NULL && (o->experiment->fate == CABLE_CUT || o->experiment->fate == REBOOTS);
	halfopen_report_start(o);
	if (cuts && cable_prepare(&e) < 0)
		stage_fail(&o->stage, &e);
	for (unsigned care = NO_CARE; care < CARES && sig_pending(NULL) == 0; care++) {
		if ((cares & 1u << care) == 0)
			continue;
		clients[n].care = (enum care)care;
		if (!open_client(o, &clients[n], o->experiment->deed == FILL))
			break;
		n++;
	}
	let_it_happen(o, o->experiment->fate, clients, n);
	uint64_t cut_ns = clk_mono_ns();
	for (size_t i = 0; i < n; i++)
		act(o, &clients[i], o->experiment->deed);
	uint64_t watched_ns = watch(o, clients, n, cut_ns);
	look_at_ends(clients, n);
	for (size_t i = 0; i < n; i++) {
		count_lost(o, &clients[i], watched_ns);
		halfopen_report_client(o, &clients[i], watched_ns);
		all_right = all_right && halfopen_as_promised(o, &clients[i]);
	}
	halfopen_report_total(o, clients, n, all_right);
	return sig_exit_status(all_right ? 0 : 3);
}

/* --- options and main -------------------------------------------------------------------------------------------- */

static const char *const synopsis[] = {
	"EXPERIMENT [--fixed] [options]",
	"EXPERIMENT HOST --cut COMMAND [-p PORT] [--fixed] [options]",
	"-s [-p PORT] [--fixed] [options]",
	NULL,
};

static const char *const about[] = {
	"halfopen shows that a connection does not notice when the other end is gone. An EXPERIMENT opens some "
	"connections over loopback, lets the other end go, and watches for how long nobody finds out; with --fixed the "
	"connections take care, each in a way of its own. The experiments: write (the cable is cut, then the client "
	"sends), wait (it waits), stuck (the server stops reading), hung (it stops answering), reboot (its host forgets "
	"the connection), alive (nothing is wrong).",
	"The cable is cut by a socket filter that drops whatever arrives at either end. Who may not set one (Linux of 2026) "
	"gets a network of his own for it, if the kernel lets him. With HOST the server is another one, halfopen -s or any "
	"that sends back what it gets, and COMMAND cuts the cable, or does "
	"to the server what is to be done; so for write, wait, stuck and hung.",
	NULL,
};

static const struct arg_example examples[] = {
	{ "halfopen write", "send into a cable that is cut" },
	{ "halfopen wait --fixed", "find out: keepalive, with a user timeout as well, a heartbeat" },
	{ "halfopen hung", "the kernel at the other end lives, its program does not" },
	{ "halfopen wait --keepalive 2/1/3 --fixed", "idle for 2 s, then 3 probes, 1 s apart" },
	{ "halfopen -s --bind 0.0.0.0", "a server for clients of other hosts" },
	{ "halfopen write 192.0.2.7 --cut 'read -p \"pull the cable, press Enter\"'", "a cable that is one" },
	{ 0 },
};

static const struct arg_example statuses[] = {
	{ "3", "a mistake that was noticed within --watch, or a fix that did not notice, or with alive one that did" },
	{ 0 },
};

static void parse_keepalive(struct halfopen_options *o)
{
	unsigned idle, interval, probes;
	int end = 0;
	if (sscanf(o->keepalive, "%5u/%5u/%3u%n", &idle, &interval, &probes, &end) != 3 || o->keepalive[end] != '\0' ||
	    idle < 1 || interval < 1 || probes < 1 || idle > 32767 || interval > 32767 || probes > 127)
		args_misuse(
			"--keepalive is IDLE/INTERVAL/COUNT, such as 1/1/2, in seconds; the kernel allows 32767/32767/127");
	o->idle_s = idle;
	o->interval_s = interval;
	o->probes = probes;
}

/* Two seconds longer than the slowest of the means. */
static uint64_t long_enough_ns(const struct halfopen_options *o)
{
	uint64_t longest_ns = (o->idle_s + (uint64_t)o->interval_s * o->probes) * NS_PER_S;
	if (longest_ns < o->user_timeout_ns)
		longest_ns = o->user_timeout_ns;
	if (longest_ns < 2 * o->heartbeat_ns)
		longest_ns = 2 * o->heartbeat_ns;
	return longest_ns + 2 * (uint64_t)NS_PER_S;
}

static void check_options(struct halfopen_options *o, char **operands)
{
	const char *name = *operands;
	stage_check_family(&o->stage);
	if (o->stage.server && name != NULL)
		args_misuse("-s serves, and has no operand");
	if (!o->stage.server && name == NULL)
		args_misuse("say which EXPERIMENT: write, wait, stuck, hung, reboot or alive; or -s");
	for (size_t i = 0; name != NULL && i < COUNT_OF(experiments); i++)
		if (strcmp(name, experiments[i].name) == 0)
			o->experiment = &experiments[i];
	if (name != NULL && o->experiment == NULL)
		args_misuse("'%s' is none of the experiments: write, wait, stuck, hung, reboot, alive", name);
	o->stage.host = name != NULL ? operands[1] : NULL;
	if (o->stage.host != NULL && operands[2] != NULL)
		args_misuse("'%s' is too much", operands[2]);
	if ((o->stage.host != NULL) != (o->cut != NULL))
		args_misuse("HOST and --cut COMMAND belong together");
	if (o->stage.host != NULL && (o->experiment->fate == REBOOTS || o->experiment->fate == UNHARMED))
		args_misuse("%s is for loopback: leave out HOST", name);
	if (!o->stage.server && (o->stage.one_off || o->stage.bind != NULL))
		args_misuse("%s is for the server (-s)", o->stage.one_off ? "-1" : "--bind");
	if (!o->stage.server && o->stage.port == 0)
		args_misuse("--port 0 is for the server (-s)");
	parse_keepalive(o);
	if (o->watch_ns == 0)
		o->watch_ns = long_enough_ns(o);
}

static struct halfopen_options parse_options(int argc, char **argv)
{
	struct halfopen_options o = {
		.stage = { .port = DEFAULT_PORT, STAGE_DEFAULTS },
		.keepalive = "1/1/2",
		.user_timeout_ns = NS_PER_S,
		.heartbeat_ns = NS_PER_S / 2,
	};
	/* clang-format off */
	const struct arg rows[] = {
		{ .help = "Experiment:" },
		{ '\0', "fixed", ARG_FLAG, &o.fixed, .help = "take care, in each way that helps; server: in both the kernel has" },
		{ '\0', "keepalive", ARG_STR, &o.keepalive, .value_name = "I/J/N",
		  .help = "idle for I seconds, then N probes, J seconds apart" },
		{ '\0', "user-timeout", ARG_DURATION, &o.user_timeout_ns, NS_PER_MS, STAGE_DAY_NS, "D",
		  "how long the kernel sends again" },
		{ '\0', "heartbeat", ARG_DURATION, &o.heartbeat_ns, 10 * NS_PER_MS, STAGE_DAY_NS, "D",
		  "ask so often, and expect the answer within as long" },
		{ '\0', "watch", ARG_DURATION, &o.watch_ns, 1, STAGE_DAY_NS, "D",
		  "watch for so long; unless given, 2 s longer than the slowest of the above takes" },
		{ '\0', "cut", ARG_STR, &o.cut, .value_name = "COMMAND", .help = "with HOST: what cuts the cable, a line for sh(1)" },
		{ .help = "Server:" },
		{ 's', "server", ARG_FLAG, &o.stage.server, .help = "send back what comes, to many clients at once" },
		{ 'p', "port", ARG_PORT, &o.stage.port, .value_name = "PORT",
		  .help = "the server's port; 0 with -s takes a free one" },
		{ 'B', "bind", ARG_STR, &o.stage.bind, .value_name = "ADDR",
		  .help = "listen there; 127.0.0.1 or ::1 unless given" },
		{ '1', "one-off", ARG_FLAG, &o.stage.one_off, .help = "end when the last client has gone" },
		{ .help = "All:" },
		STAGE_COMMON_ROWS(o.stage),
		{ 0 },
	};
	/* clang-format on */
	const struct arg_spec spec = {
		.tool = "halfopen",
		.one_line = "shows that a connection does not notice when the other end is gone, and what does",
		.synopsis = synopsis,
		.about = about,
		.args = rows,
		.examples = examples,
		.exit_statuses = statuses,
		.see_also = "tcplab(1), tcp(7), socket(7). Each figure explained: docs/tools/halfopen.md.",
	};
	check_options(&o, argv + args_parse(&spec, argc, argv));
	return o;
}

int main(int argc, char **argv)
{
	diag_tool = "halfopen";
	setvbuf(stdout, NULL, _IOLBF, 0);
	struct halfopen_options o = parse_options(argc, argv);
	sig_open();
	return record_finish(o.stage.server ? halfopen_serve(&o) : run_experiment(&o));
}
