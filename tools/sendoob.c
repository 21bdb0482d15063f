/* sendoob - "out-of-band" data of TCP: it is in the band, it is one byte, and the next one takes its place.
 *
 * Try:       sendoob mark                "hello", urgent "abc", "world": what arrives, and where
 *            sendoob twice               two urgent messages, and one of them is none any more
 *            sendoob late, inline, signal, relay, full
 *            sendoob mark --fixed        the same said in another way: a connection of its own for what is urgent
 *            sendoob mark --trace        each system call
 * Look for:  PITFALL below. The mistake is the flag MSG_OOB itself (RFC 6093 5: new programs should not use it).
 * Labs:      16-oob.
 *
 * TCP has an urgent pointer: a place in the stream up to which the other end should read soon (RFC 9293 3.8.5).
 * Berkeley made of it one byte outside of the stream, the last one of what is sent with MSG_OOB, and a mark where it
 * was taken out:
 *
 *     send "hello", MSG_OOB "abc", "world"
 *     on the wire      h e l l o a b c w o r l d       URG, and the pointer behind the c
 *     recv             h e l l o a b | w o r l d       a recv(2) stops at the mark
 *     recv MSG_OOB                   c                 as long as there is no other, and the mark was not passed
 *
 * Both ends of each connection are in this process, and everything has arrived before anybody reads: there is no time
 * in it.
 *
 * The chapters: what is noted, sending, receiving, the experiments, the fix, reports, options and main. */
#include "args.h"
#include "clock.h"
#include "diag.h"
#include "record.h"
#include "sig.h"
#include "tcpinfo.h"
#include "wire.h"

#include "pitfall/stage.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { TEXT_MAX = 64, CONTROL_HEAD = 12, CONTROL_MAX = 16, BULK = 32 * 1024, SMALL_BUFFER = 4096 };

struct options {
	struct stage stage;
	const struct experiment *x;
	bool fixed;
};

/* --- what is noted ----------------------------------------------------------------------------------------------- */

struct run {
	const struct options *o;
	int receiver, sender; /* the two ends of the connection */
	unsigned steps;
	char urgent[TEXT_MAX], stream[TEXT_MAX]; /* what the receiver got; in the stream '|' is the mark */
	uint64_t announced;                      /* how often it was told that there is something urgent */
	uint64_t read_before;                    /* bytes of the stream that had to be read before it came */
};

/* Two texts: what the sender wanted to say urgently and otherwise; and what of it becomes of the mistake. */
static const struct experiment {
	const char *name, *text;
	const char *script[5]; /* what is sent; with '!' in front: urgent */
	const char *urgent, *stream;
	void (*receive)(struct run *r);
} experiments[7];

static _Noreturn void fail(const struct run *r, const char *op, const char *object)
{
	stage_fail_errno(&r->o->stage, op, object);
}

static void append(char text[static TEXT_MAX], const char *more, size_t n)
{
	size_t len = strlen(text);
	n = n < TEXT_MAX - 1 - len ? n : TEXT_MAX - 1 - len;
	memcpy(text + len, more, n);
	text[len + n] = '\0';
}

/* One step of either end, for people and programs; `got` may be NULL. */
static void note(struct run *r, const char *who, const char *call, const char *got, int error)
{
	r->steps++;
	if (!r->o->stage.json) {
		const char *said = error != 0 ? errno_name(error) : got != NULL ? got : "";
		printf("    %-8s  %-13s  %s\n", who, call, said);
		return;
	}
	struct json j;
	record_begin(&j, "step");
	json_u64(&j, "number", r->steps);
	json_str(&j, "end", who);
	json_str(&j, "call", call);
	json_str(&j, "text", error != 0 ? NULL : got);
	json_str(&j, "errno", stage_symbol(error));
	json_end(&j);
}

static void note_number(struct run *r, const char *who, const char *call, uint64_t n)
{
	char text[24];
	snprintf(text, sizeof(text), "%" PRIu64, n);
	note(r, who, call, text, 0);
}

/* --- sending ----------------------------------------------------------------------------------------------------- */

static void open_pair(const struct run *r, const struct sock_options *receiver, int *receiver_fd, int *sender_fd)
{
	struct net_error e = { 0 };
	int fds[2];
	if (stage_pair(stage_family(&r->o->stage), receiver, NULL, fds, &e) < 0)
		stage_fail(&r->o->stage, &e);
	*receiver_fd = fds[0];
	*sender_fd = fds[1];
}

/* SIGINT and SIGTERM are blocked until main lets them in; this one looks for them. */
static bool is_to_end(void)
{
	sigset_t pending;
	return sig_pending(NULL) != 0 ||
	       (sigpending(&pending) == 0 && (sigismember(&pending, SIGINT) || sigismember(&pending, SIGTERM)));
}

/* Until the other kernel has everything: nothing of what follows depends on time. WHY not stage_wait_acknowledged: it
 * lets signals in while it waits, and a SIGURG would be gone before it was counted. */
static void settle(const struct run *r, int fd)
{
	struct tcpinfo info;
	uint64_t deadline_ns = clk_mono_ns() + r->o->stage.timeout_ns;
	while (tcpinfo_get(fd, &info) == 0 && info.send_queue > 0 && clk_mono_ns() < deadline_ns && !is_to_end())
		clk_sleep_until_ns(clk_mono_ns() + 100 * NS_PER_US);
	if (info.send_queue == 0 || is_to_end())
		return;
	errno = ETIMEDOUT;
	fail(r, "wait for", "bytes sent over loopback");
}

static void send_part(struct run *r, int fd, const char *text, int flags)
{
	size_t len = strlen(text);
	ssize_t n = send(fd, text, len, flags | MSG_NOSIGNAL);
	tracef("send(%d, \"%s\", %s) = %zd", fd, text, flags & MSG_OOB ? "MSG_OOB" : "0", n);
	if (n != (ssize_t)len)
		fail(r, "send", text);
	note(r, "sender", flags & MSG_OOB ? "send MSG_OOB" : "send", text, 0);
}

static void send_script(struct run *r)
{
	for (const char *const *part = r->o->x->script; *part != NULL; part++) {
		/* PITFALL: MSG_OOB in the belief that the message is urgent, and goes ahead of the others. Only its
		 * last byte is, it goes nowhere but to its place in the stream, and what comes next overwrites it. */
		if (**part == '!')
			send_part(r, r->sender, *part + 1, MSG_OOB);
		else
			send_part(r, r->sender, *part, 0);
	}
	settle(r, r->sender);
}

/* --- receiving --------------------------------------------------------------------------------------------------- */

/* The urgent byte. 0, or an errno: EINVAL, there is none; EAGAIN, it was announced and is not here. */
static int take_urgent(struct run *r)
{
	char byte[2] = "";
	ssize_t n = recv(r->receiver, byte, 1, MSG_OOB | MSG_DONTWAIT);
	int error = n < 0 ? errno : 0;
	tracef("recv(%d, 1, MSG_OOB) = %zd", r->receiver, n);
	if (n > 0)
		append(r->urgent, byte, 1);
	note(r, "receiver", "recv MSG_OOB", byte, error);
	return error;
}

/* What one recv(2) gives: it stops at the mark, whatever comes behind it. */
static void take_some(struct run *r, int fd)
{
	char text[TEXT_MAX] = "";
	ssize_t n = recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT);
	tracef("recv(%d, %zu) = %zd", fd, sizeof(text) - 1, n);
	if (n < 0)
		fail(r, "recv", "what has arrived");
	append(r->stream, text, (size_t)n);
	note(r, "receiver", "recv", text, 0);
}

static void look_for_mark(struct run *r)
{
	int is_there = sockatmark(r->receiver);
	tracef("sockatmark(%d) = %d", r->receiver, is_there);
	if (is_there > 0)
		append(r->stream, "|", 1);
	note(r, "receiver", "sockatmark", is_there > 0 ? "1" : "0", is_there < 0 ? errno : 0);
}

/* The stream up to the mark, and what is behind it. */
static void take_to_the_end(struct run *r)
{
	take_some(r, r->receiver);
	look_for_mark(r);
	take_some(r, r->receiver);
}

static void look_for_events(struct run *r)
{
	struct pollfd p = { .fd = r->receiver, .events = POLLIN | POLLPRI };
	if (poll(&p, 1, 0) < 0)
		fail(r, "poll", "the receiver");
	r->announced += (p.revents & POLLPRI) != 0;
	note(r, "receiver", "poll",
	     p.revents & POLLPRI  ? "POLLIN and POLLPRI"
	     : p.revents & POLLIN ? "POLLIN"
				  : "nothing",
	     0);
}

/* --- the experiments --------------------------------------------------------------------------------------------- */

/* EINVAL before there is anything urgent, and EINVAL when it has been taken. */
static void receive_mark(struct run *r)
{
	take_urgent(r);
	send_script(r);
	look_for_events(r);
	take_urgent(r);
	take_urgent(r);
	take_to_the_end(r);
}

/* Who reads on has passed the mark, and the byte is gone: EINVAL a third time. */
static void receive_late(struct run *r)
{
	send_script(r);
	take_to_the_end(r);
	take_urgent(r);
}

/* The byte stays in the stream, and only sockatmark(3), asked in front of each recv(2), tells it from the others. */
static void receive_inline(struct run *r)
{
	int on = 1;
	if (setsockopt(r->receiver, SOL_SOCKET, SO_OOBINLINE, &on, sizeof(on)) < 0)
		fail(r, "set", "SO_OOBINLINE");
	send_script(r);
	look_for_events(r);
	take_urgent(r);
	take_to_the_end(r);
}

/* SIGURG for urgent data of this socket (socket(7), F_SETOWN in fcntl(2)). It stays pending, so that it can be
 * counted. */
static void ask_for_signals(struct run *r)
{
	sigset_t urgent;
	sigemptyset(&urgent);
	sigaddset(&urgent, SIGURG);
	sigprocmask(SIG_BLOCK, &urgent, NULL);
	if (fcntl(r->receiver, F_SETOWN, getpid()) < 0)
		fail(r, "set", "the owner of the receiver");
}

/* How often it came by now, or, if it did not yet, in the next millisecond. */
static uint64_t take_signals(void)
{
	sigset_t urgent;
	uint64_t n = 0;
	sigemptyset(&urgent);
	sigaddset(&urgent, SIGURG);
	while (sigtimedwait(&urgent, NULL, &(struct timespec){ .tv_nsec = n == 0 ? NS_PER_MS : 0 }) == SIGURG)
		n++;
	return n;
}

static void receive_signal(struct run *r)
{
	ask_for_signals(r);
	send_script(r);
	r->announced = take_signals();
	note_number(r, "receiver", "SIGURG, times", r->announced);
	take_urgent(r);
	take_to_the_end(r);
}

/* What most relays, proxies and tunnels do. A byte that is not in the stream is not in what they read. */
static void relay(struct run *r, int from, int to)
{
	char bytes[TEXT_MAX];
	ssize_t n;
	while ((n = recv(from, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0) {
		tracef("recv(%d, %zu) = %zd", from, sizeof(bytes), n);
		note_number(r, "relay", "bytes passed", (uint64_t)n);
		if (send(to, bytes, (size_t)n, MSG_NOSIGNAL) != n)
			fail(r, "send", "through the relay");
	}
	settle(r, to);
}

/* PITFALL: between the two is a program that knows nothing of urgent data, and the byte falls off the edge: it is
 * neither urgent nor in the stream, and nobody is told. */
static void receive_behind_relay(struct run *r)
{
	int behind[2];
	send_script(r);
	open_pair(r, NULL, &behind[0], &behind[1]);
	relay(r, r->receiver, behind[1]);
	close(r->receiver);
	r->receiver = behind[0];
	look_for_events(r);
	take_urgent(r);
	take_some(r, r->receiver);
	close(behind[1]);
}

/* The receiver's window is shut, and the urgent byte waits behind everything else. What comes is only the announcement:
 * with a window probe (RFC 9293 3.8.6.1), as a signal; poll(2) does not report what cannot be had. */
static void receive_full(struct run *r)
{
	char bulk[BULK];
	memset(bulk, '.', sizeof(bulk));
	ask_for_signals(r);
	if (send(r->sender, bulk, sizeof(bulk), MSG_NOSIGNAL | MSG_DONTWAIT) != BULK)
		fail(r, "send", "more than the receiver has room for");
	note_number(r, "sender", "send, bytes", BULK);
	send_part(r, r->sender, "!", MSG_OOB);
	uint64_t deadline_ns = clk_mono_ns() + r->o->stage.timeout_ns;
	while ((r->announced = take_signals()) == 0 && clk_mono_ns() < deadline_ns && !is_to_end())
		;
	note_number(r, "receiver", "SIGURG, times", r->announced);
	look_for_events(r);
	if (take_urgent(r) == 0)
		return;
	ssize_t n;
	while (r->read_before < BULK && (n = stage_recv(&r->o->stage, r->receiver, bulk, sizeof(bulk))) > 0)
		r->read_before += (uint64_t)n;
	note_number(r, "receiver", "recv, bytes", r->read_before);
	settle(r, r->sender);
	take_urgent(r);
}

/* clang-format off */
static const struct experiment experiments[] = {
	{ "mark", "three bytes sent as urgent",
	  { "hello", "!abc", "world" }, "c", "helloab|world", receive_mark },
	{ "twice", "two urgent messages",
	  { "hello", "!a", "!b", "world" }, "b", "helloa|world", receive_mark },
	{ "late", "the receiver reads what is there, and asks for what is urgent then",
	  { "hello", "!abc", "world" }, "", "helloab|world", receive_late },
	{ "inline", "the urgent byte is left in the stream",
	  { "hello", "!abc", "world" }, "", "helloab|cworld", receive_inline },
	{ "signal", "two urgent messages, and a signal for them",
	  { "hello", "!a", "!b", "world" }, "b", "helloa|world", receive_signal },
	{ "relay", "a relay stands between the two",
	  { "hello", "!abc", "world" }, "", "helloabworld", receive_behind_relay },
	{ "full", "the receiver has not read for a while",
	  { "!!" }, "!", "", receive_full },
};
/* clang-format on */

/* --- the fix ----------------------------------------------------------------------------------------------------- */

/* A message of its own on a connection of its own: where in the stream it belongs (64 bits), how long it is (32), and
 * it. */
static void send_control(struct run *r, int fd, const char *text, uint64_t at)
{
	unsigned char p[CONTROL_HEAD + CONTROL_MAX];
	size_t len = strlen(text);
	uint64_t taken = 0;
	be64_put(p, at);
	be32_put(p + 8, (uint32_t)len);
	memcpy(p + CONTROL_HEAD, text, len);
	if (stage_send_all(&r->o->stage, fd, p, CONTROL_HEAD + len, &taken) < 0)
		fail(r, "send", "a control message");
	note(r, "sender", "send, control", text, 0);
}

static void send_script_by_two(struct run *r, int control_fd)
{
	uint64_t at = 0;
	for (const char *const *part = r->o->x->script; *part != NULL; part++) {
		if (**part == '!') {
			send_control(r, control_fd, *part + 1, at);
			continue;
		}
		send_part(r, r->sender, *part, 0);
		at += strlen(*part);
	}
	settle(r, control_fd);
}

/* The next control message: where in the stream it belongs, or UINT64_MAX: there is none. */
static uint64_t take_control(struct run *r, int fd)
{
	unsigned char head[CONTROL_HEAD];
	char text[CONTROL_MAX + 1] = "";
	if (recv(fd, head, sizeof(head), MSG_DONTWAIT) != CONTROL_HEAD)
		return UINT64_MAX;
	uint32_t len = be32_get(head + 8);
	if (len > CONTROL_MAX || recv(fd, text, len, MSG_DONTWAIT) != (ssize_t)len)
		return UINT64_MAX;
	append(r->urgent, text, len);
	r->announced++;
	note(r, "receiver", "control", text, 0);
	return be64_get(head);
}

/* The stream, with marks where the messages say: who has the place needs nothing from the kernel to find it. */
static void take_stream(struct run *r, const uint64_t marks[], unsigned n)
{
	char text[TEXT_MAX] = "";
	ssize_t len = recv(r->receiver, text, sizeof(text) - 1, MSG_DONTWAIT);
	uint64_t at = 0;
	for (unsigned i = 0; len > 0 && i < n && marks[i] >= at && marks[i] <= (uint64_t)len; i++) {
		append(r->stream, text + at, (size_t)(marks[i] - at));
		append(r->stream, "|", 1);
		at = marks[i];
	}
	append(r->stream, text + at, len > 0 ? (size_t)len - (size_t)at : 0);
	note(r, "receiver", "recv", text, 0);
}

/* One way for all of them: nobody has to read a byte of the stream first, every message is whole, none is overwritten
 * or too late, a relay passes it on, and poll(2) says when there is one. */
static void receive_fixed(struct run *r)
{
	int control[2], behind[4];
	uint64_t marks[4] = { 0 };
	unsigned n = 0;
	open_pair(r, NULL, &control[0], &control[1]);
	bool is_relayed = r->o->x->receive == receive_behind_relay, is_full = r->o->x->receive == receive_full;
	if (is_full) {
		static const char bulk[BULK];
		if (send(r->sender, bulk, BULK, MSG_NOSIGNAL | MSG_DONTWAIT) != BULK)
			fail(r, "send", "more than the receiver has room for");
		note_number(r, "sender", "send, bytes", BULK);
	}
	send_script_by_two(r, control[1]);
	if (!is_full)
		settle(r, r->sender);
	if (is_relayed) {
		open_pair(r, NULL, &behind[0], &behind[1]);
		open_pair(r, NULL, &behind[2], &behind[3]);
		relay(r, control[0], behind[1]);
		relay(r, r->receiver, behind[3]);
		control[0] = behind[0];
		r->receiver = behind[2];
	}
	while (n < COUNT_OF(marks) && (marks[n] = take_control(r, control[0])) != UINT64_MAX)
		n++;
	if (!is_full)
		take_stream(r, marks, n);
}

/* --- reports ----------------------------------------------------------------------------------------------------- */

/* What the sender meant, from its script. */
static void put_wanted(const struct experiment *x, char urgent[static TEXT_MAX], char stream[static TEXT_MAX])
{
	for (const char *const *part = x->script; *part != NULL; part++) {
		bool is_urgent = **part == '!';
		append(is_urgent ? urgent : stream, *part + is_urgent, strlen(*part) - is_urgent);
		if (is_urgent && x->receive != receive_full)
			append(stream, "|", 1);
	}
}

static void report_start(const struct options *o, const struct experiment *x)
{
	if (!o->stage.json) {
		printf("%s: %s%s\n", x->name, x->text, o->fixed ? "; a connection of its own for what is urgent" : "");
		return;
	}
	struct json j;
	record_begin(&j, "start");
	json_str(&j, "experiment", x->name);
	json_bool(&j, "fixed", o->fixed);
	json_end(&j);
}

static void report_total(const struct run *r, const char *urgent, const char *stream, bool as_promised)
{
	if (!r->o->stage.json) {
		printf("  urgent:  meant \"%s\", got \"%s\"\n", urgent, r->urgent);
		if (r->o->x->receive == receive_full)
			printf("           after %" PRIu64 " other bytes\n", r->read_before);
		else
			printf("  stream:  meant \"%s\", got \"%s\" (| is the mark)\n", stream, r->stream);
		return;
	}
	struct json j;
	record_begin(&j, "total");
	json_str(&j, "experiment", r->o->x->name);
	json_bool(&j, "fixed", r->o->fixed);
	json_str(&j, "urgent_meant", urgent);
	json_str(&j, "urgent_got", r->urgent);
	json_str(&j, "stream_meant", stream);
	json_str(&j, "stream_got", r->stream);
	json_u64(&j, "announced", r->announced);
	json_u64(&j, "read_before_bytes", r->read_before);
	json_bool(&j, "as_promised", as_promised);
	json_bool(&j, "interrupted", sig_pending(NULL) != 0);
	json_end(&j);
}

/* Did the mistake do what it does, or the fix what was meant? */
static bool is_as_promised(const struct run *r, const char *urgent, const char *stream)
{
	bool is_full = r->o->x->receive == receive_full;
	if (r->o->fixed)
		return strcmp(r->urgent, urgent) == 0 && strcmp(r->stream, stream) == 0 && r->read_before == 0;
	return strcmp(r->urgent, r->o->x->urgent) == 0 && strcmp(r->stream, r->o->x->stream) == 0 &&
	       (!is_full || (r->announced == 1 && r->read_before == BULK)) &&
	       (r->o->x->receive != receive_signal || r->announced == 1);
}

/* --- options and main -------------------------------------------------------------------------------------------- */

static const char *const synopsis[] = {
	"mark|twice|late|inline|signal|relay|full [--fixed] [options]",
	NULL,
};

static const char *const about[] = {
	"sendoob shows what TCP's urgent data is: one byte, the last one of what was sent with MSG_OOB, taken out of "
	"the stream or left in it; the next one takes its place. With --fixed the same is said by messages on a "
	"connection of their own, which name their place in the stream.",
	"mark: three bytes are sent as urgent. twice: two messages. late: the receiver reads the stream first. "
	"inline: SO_OOBINLINE. signal: SIGURG for two messages. relay: a program in between that knows nothing of it. "
	"full: the receiver's window is shut, and what is urgent waits behind everything else.",
	"Both ends are in this process. There is no time in it: what is shown is the same in each run.",
	NULL,
};

static const struct arg_example examples[] = {
	{ "sendoob mark", "what becomes of \"abc\"" },
	{ "sendoob twice --fixed", "two messages on a connection of their own" },
	{ "sendoob full --trace", "SIGURG, and nothing to be had" },
	{ "sendoob relay --json", "the byte that nobody gets, as records" },
	{ 0 },
};

static const struct arg_example statuses[] = {
	{ "3", "what was sent as urgent came in another way than shown here, or with --fixed not as it was meant" },
	{ 0 },
};

static struct options parse_options(int argc, char **argv)
{
	struct options o = { .stage = { STAGE_DEFAULTS } };
	/* clang-format off */
	const struct arg rows[] = {
		{ '\0', "fixed", ARG_FLAG, &o.fixed, .help = "a connection of its own for what is urgent" },
		STAGE_COMMON_ROWS(o.stage),
		{ 0 },
	};
	/* clang-format on */
	const struct arg_spec spec = {
		.tool = "sendoob",
		.one_line = "shows what TCP's urgent data is, and what it is not",
		.synopsis = synopsis,
		.about = about,
		.args = rows,
		.examples = examples,
		.exit_statuses = statuses,
		.see_also = "tcplab(1), send(2), recv(2), sockatmark(3), tcp(7). Each figure explained: "
			    "docs/tools/sendoob.md.",
	};
	o.x = STAGE_CHOOSE(argv + args_parse(&spec, argc, argv), experiments);
	stage_check_family(&o.stage);
	return o;
}

int main(int argc, char **argv)
{
	diag_tool = "sendoob";
	setvbuf(stdout, NULL, _IOLBF, 0);
	struct options o = parse_options(argc, argv);
	struct run r = { .o = &o };
	struct sock_options small = { .receive_buffer = SMALL_BUFFER };
	char urgent[TEXT_MAX] = "", stream[TEXT_MAX] = "";
	sig_open();

	report_start(&o, o.x);
	open_pair(&r, o.x->receive == receive_full ? &small : NULL, &r.receiver, &r.sender);
	(o.fixed ? receive_fixed : o.x->receive)(&r);
	put_wanted(o.x, urgent, stream);
	bool as_promised = is_as_promised(&r, urgent, stream);
	sig_let_in(true); /* who asked us to end meanwhile is told so */
	report_total(&r, urgent, stream, as_promised);
	return record_finish(sig_exit_status(as_promised ? 0 : 3));
}
