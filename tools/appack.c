/* appack - an acknowledgment of the kernel is none of the program: "it arrived" is not "it is done".
 *
 * Try:       appack -s --crash-at 11            in one terminal: a server that dies with the 11th record in its hands
 *            appack localhost                   in another: 30 records, all of them acknowledged; 10 are done
 *            appack localhost --drain           the same, with a safe close; and again all seems well
 *            appack localhost --fixed           the program answers each record; what is in doubt is sent again
 *            appack -s --crash-at 11 --after    it dies later: done, and not answered. And then it is sent again
 *            appack -s --crash-at 11 --after --fixed    a server that knows
 * Look for:  PITFALL below, three times.
 * Labs:      28-app-ack.
 *
 * TCP acknowledges what has reached the receive buffer of the other kernel (RFC 793 2.6: "does not
 * guarantee that the data has been delivered to the end user"). What the program there makes of it, TCP does not know:
 *
 *     client              its kernel            server's kernel         server's program
 *     send: 100     --->  data           --->   has it
 *                         <--- ACK
 *     close: 0            "all is well"         has it            --->  reads it, and dies
 *
 * Only the program can say that it is done. Then three things can be said of each record when the connection breaks:
 * done, not sent, and, of those sent and not answered, in doubt. These may be done or not, and nobody on this side can
 * find out (J. Saltzer, D. Reed, D. Clark, "End-to-End Arguments in System Design", 1984). To send them again is right
 * only if the server knows what it has done before: a number in each record, and a memory that outlives the crash.
 *
 * The chapters: records, the server's worker, the server, the client without answers, the client with them, reports,
 * options and main. The server's parent only holds the listening socket, and starts a worker again that has died.
 *
 * LIMIT: what is done is a counter in memory, shared by the workers: it stands for a database, and dies with the
 * parent. */
#include "args.h"
#include "clock.h"
#include "diag.h"
#include "prng.h"
#include "record.h"
#include "sig.h"
#include "tcpinfo.h"
#include "wire.h"

#include "pitfall/stage.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { DEFAULT_PORT = 2028, RECORD_LEN = 100, HEAD_LEN = 24, ANSWER_LEN = 16, MAGIC = 0x61636b31, SEED = 1 };
enum { CHUNK = 64 * 1024, CLIENTS_MAX = 64, WINDOW_MAX = 1000 };
enum { WANTS_ANSWERS = 1 };         /* a record's flags */
enum { DONE_NOW = 1, DONE_BEFORE }; /* what an answer says */

struct options {
	struct stage stage;
	bool fixed, drain, give_up, after;
	uint64_t crash_at, records, id, window;
};

/* --- records ----------------------------------------------------------------------------------------------------- */

/* magic, flags (32 bits each), the client's number, the record's, from 1 on (64 bits each); the rest is there to be
 * checked. */
struct record {
	bool wants_answers;
	uint64_t id, number;
};

static void encode(const struct record *r, unsigned char p[static RECORD_LEN])
{
	be32_put(p, MAGIC);
	be32_put(p + 4, r->wants_answers ? WANTS_ANSWERS : 0);
	be64_put(p + 8, r->id);
	be64_put(p + 16, r->number);
	prng_fill(SEED, r->number % UINT32_MAX * RECORD_LEN, p + HEAD_LEN, RECORD_LEN - HEAD_LEN);
}

static bool decode(struct record *r, const unsigned char p[static RECORD_LEN])
{
	const size_t rest = RECORD_LEN - HEAD_LEN;
	r->wants_answers = (be32_get(p + 4) & WANTS_ANSWERS) != 0;
	r->id = be64_get(p + 8);
	r->number = be64_get(p + 16);
	return be32_get(p) == MAGIC && r->number != 0 &&
	       prng_check(SEED, r->number % UINT32_MAX * RECORD_LEN, p + HEAD_LEN, rest) == rest;
}

/* --- the server's worker ----------------------------------------------------------------------------------------- */

/* What is done, and by whom it was asked for: in memory that outlives a worker. Records of a client come in their
 * order, so that one number says which of them are done. */
struct ledger {
	uint64_t connections, done, done_twice, known, crashes;
	uint64_t clock; /* for the client that has been away longest, to make room for another */
	struct account {
		uint64_t id, last, used;
	} accounts[CLIENTS_MAX];
};

struct server {
	const struct options *o;
	struct ledger *ledger;
	int listen_fd;
};

struct inbox {
	unsigned char data[CHUNK];
	size_t at, len;
};

static struct account *find_account(struct ledger *l, uint64_t id)
{
	struct account *oldest = &l->accounts[0];
	l->clock++;
	for (unsigned i = 0; i < CLIENTS_MAX; i++) {
		struct account *a = &l->accounts[i];
		if (a->id == id && a->used != 0) {
			a->used = l->clock;
			return a;
		}
		oldest = a->used < oldest->used ? a : oldest;
	}
	*oldest = (struct account){ .id = id, .used = l->clock };
	return oldest;
}

/* The next record's bytes. 1; 0 at the client's end; -1 with errno: EPROTO, it ended within a record. */
static int next_record(const struct server *s, int fd, struct inbox *in, unsigned char p[static RECORD_LEN])
{
	while (in->len - in->at < RECORD_LEN) {
		memmove(in->data, in->data + in->at, in->len - in->at);
		in->len -= in->at;
		in->at = 0;
		ssize_t n = stage_recv(&s->o->stage, fd, in->data + in->len, CHUNK - in->len);
		if (n == 0 && in->len > 0)
			errno = EPROTO;
		if (n <= 0)
			return n < 0 || in->len > 0 ? -1 : 0;
		in->len += (size_t)n;
	}
	memcpy(p, in->data + in->at, RECORD_LEN);
	in->at += RECORD_LEN;
	return 1;
}

/* As the kernel ends a program that needs too much memory: nothing is written any more, nobody is told. The kernel
 * closes what was open, in order, for it does not know better. */
static void crash(const struct server *s, int fd, bool answers)
{
	unsigned char rest[CHUNK];
	/* A client that expects no answer has its time: all of what it sent has been read when the program dies, or
	 * waited in its memory, which is the same. So it does not depend on who was faster what the client sees. */
	while (!answers && stage_recv(&s->o->stage, fd, rest, sizeof(rest)) > 0)
		;
	s->ledger->crashes++;
	fflush(stdout);
	raise(SIGKILL);
}

/* Does what the record asks for; what the answer is to be. */
static uint64_t process(const struct server *s, int fd, const struct record *r)
{
	struct account *a = find_account(s->ledger, r->id);
	bool is_known = r->number <= a->last;
	bool is_end = r->number == s->o->crash_at && s->ledger->crashes == 0;
	if (is_end && !s->o->after)
		crash(s, fd, r->wants_answers);
	if (is_known && s->o->fixed) {
		s->ledger->known++;
		return DONE_BEFORE;
	}
	/* PITFALL: doing whatever comes. A client that got no answer sends again, as it should; and then this is done
	 * twice. The fix is in the lines above: the number of what was done last. It has to be kept together with what
	 * is done, in one step (here it is; in a database it is one transaction), or a crash between the two brings the
	 * doubt back. */
	s->ledger->done++;
	s->ledger->done_twice += is_known;
	a->last = r->number > a->last ? r->number : a->last;
	if (is_end)
		crash(s, fd, r->wants_answers);
	return DONE_NOW;
}

static int answer(const struct server *s, int fd, const struct record *r, uint64_t what)
{
	unsigned char p[ANSWER_LEN];
	uint64_t taken = 0;
	be64_put(p, r->number);
	be64_put(p + 8, what);
	return stage_send_all(&s->o->stage, fd, p, sizeof(p), &taken);
}

/* One record. 1; 0 at the client's end; -1 with errno: EPROTO, it is none of ours, or one is missing before it. */
static int serve_record(const struct server *s, int fd, struct inbox *in, struct record *r)
{
	unsigned char p[RECORD_LEN];
	int rc = next_record(s, fd, in, p);
	if (rc <= 0)
		return rc;
	if (!decode(r, p) || r->number > find_account(s->ledger, r->id)->last + 1) {
		errno = EPROTO;
		return -1;
	}
	uint64_t what = process(s, fd, r);
	return r->wants_answers && answer(s, fd, r, what) < 0 ? -1 : 1;
}

static void serve(void *context, int fd, const char *peer)
{
	const struct server *s = context;
	static struct inbox in; /* static: large, and the worker serves one client after another */
	struct record r = { 0 };
	uint64_t records = 0;
	int rc;
	s->ledger->connections++;
	in.at = in.len = 0;
	while ((rc = serve_record(s, fd, &in, &r)) > 0)
		records++;
	int error = rc < 0 ? errno : 0;
	close(fd);
	if (!s->o->stage.json) {
		printf("%s: %" PRIu64 " records%s%s\n", peer, records, error != 0 ? ", " : "",
		       error != 0 ? strerror(error) : "");
		return;
	}
	struct json j;
	record_begin(&j, "connection");
	json_str(&j, "peer", peer);
	json_u64(&j, "records", records);
	json_str(&j, "errno", stage_symbol(error));
	json_end(&j);
}

/* --- the server -------------------------------------------------------------------------------------------------- */

static _Noreturn void be_worker(struct server *s, pid_t parent)
{
	/* Whoever ends the parent with kill -9 ends the worker, too. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	stage_serve(&s->o->stage, s->listen_fd, serve, s);
	fflush(stdout);
	_exit(0);
}

/* Starts a worker, and waits for its end. Has it died? */
static bool run_worker(struct server *s)
{
	int alive[2], status = 0;
	fflush(stdout);
	if (pipe(alive) < 0)
		stage_fail_errno(&s->o->stage, "pipe", "to the worker");
	pid_t parent = getpid(), pid = fork();
	if (pid < 0)
		stage_fail_errno(&s->o->stage, "fork", "a worker");
	if (pid == 0) {
		close(alive[0]);
		be_worker(s, parent); /* alive[1] stays open for as long as it lives */
	}
	close(alive[1]);
	if (sig_wait_fd(alive[0], POLLIN, CLK_NEVER) < 0)
		kill(pid, SIGTERM);
	close(alive[0]);
	if (waitpid(pid, &status, 0) < 0)
		stage_fail_errno(&s->o->stage, "waitpid", "the worker");
	tracef("worker %d: status %#x", (int)pid, (unsigned)status);
	return WIFSIGNALED(status);
}

static void report_crash(const struct server *s)
{
	if (!s->o->stage.json) {
		printf("the worker died with record %" PRIu64 " in its hands; %" PRIu64 " done\n", s->o->crash_at,
		       s->ledger->done);
		return;
	}
	struct json j;
	record_begin(&j, "crash");
	json_u64(&j, "record_in_hand", s->o->crash_at);
	json_u64(&j, "done", s->ledger->done);
	json_end(&j);
}

static void report_server(const struct server *s)
{
	const struct ledger *l = s->ledger;
	if (!s->o->stage.json) {
		printf("done: %" PRIu64 ", of it a second time: %" PRIu64 "; known, and not done again: %" PRIu64 "\n",
		       l->done, l->done_twice, l->known);
		return;
	}
	struct json j;
	record_begin(&j, "total");
	json_str(&j, "role", "server");
	json_u64(&j, "connections", l->connections);
	json_u64(&j, "crashes", l->crashes);
	json_u64(&j, "done", l->done);
	json_u64(&j, "done_twice", l->done_twice);
	json_u64(&j, "known", l->known);
	json_bool(&j, "interrupted", sig_pending(NULL) != 0);
	json_end(&j);
}

static int run_server(const struct options *o)
{
	char text[ADDR_TEXT];
	struct json j;
	struct server s = { .o = o };
	s.ledger = mmap(NULL, sizeof(*s.ledger), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (s.ledger == MAP_FAILED)
		stage_fail_errno(&o->stage, "mmap", "a ledger");
	s.listen_fd = stage_listen(&o->stage, o->stage.port, NULL, text);
	if (s.listen_fd < 0)
		return 1;
	if (o->stage.json) {
		record_begin(&j, "start");
		json_str(&j, "role", "server");
		json_str(&j, "listening", text);
		json_bool(&j, "fixed", o->fixed);
		json_end(&j);
	}
	bool has_died;
	do {
		has_died = run_worker(&s);
		if (has_died)
			report_crash(&s);
		/* Who waits to be served meanwhile does so in the queue of the listening socket, which is the
		 * parent's. */
	} while (has_died && !o->stage.one_off && sig_pending(NULL) == 0);
	report_server(&s);
	return sig_exit_status(o->crash_at != 0 && s.ledger->crashes == 0 ? 3 : 0);
}

/* --- the client without answers ---------------------------------------------------------------------------------- */

/* What a client knows. The first group is the kernel's word, the second the server's program's. */
struct report {
	uint64_t sent, kernel_acked, send_queue;
	const char *server_end; /* fin, rst; none: we did not wait for it */
	int close_result;

	uint64_t done, again, done_before, breaks, connections;
};

static int send_record(const struct options *o, int fd, uint64_t number, struct report *r)
{
	unsigned char p[RECORD_LEN];
	uint64_t taken = 0;
	encode(&(struct record){ o->fixed, o->id, number }, p);
	if (stage_send_all(&o->stage, fd, p, RECORD_LEN, &taken) < 0)
		return -1;
	r->again += number <= r->sent;
	r->sent = number > r->sent ? number : r->sent;
	return 0;
}

/* The safe close: our FIN, and then the server's (lab 21-lost-tail). */
static int drain(const struct options *o, int fd, struct report *r)
{
	unsigned char chunk[CHUNK];
	ssize_t n;
	int rc = shutdown(fd, SHUT_WR);
	tracef("shutdown(%d, SHUT_WR) = %d", fd, rc);
	while ((n = stage_recv(&o->stage, fd, chunk, sizeof(chunk))) > 0)
		;
	r->server_end = n == 0 ? "fin" : errno == ECONNRESET ? "rst" : "none";
	return n < 0 ? -1 : 0;
}

/* 0, or -1 with errno. */
static int send_and_hope(const struct options *o, int fd, struct report *r)
{
	struct tcpinfo info;
	for (uint64_t i = 1; i <= o->records; i++) {
		if (send_record(o, fd, i, r) < 0)
			return -1;
	}
	if (stage_wait_acknowledged(&o->stage, fd) < 0)
		return -1;
	if (tcpinfo_get(fd, &info) < 0)
		return -1;
	r->kernel_acked = info.bytes_acked > 0 ? info.bytes_acked - 1 : 0; /* without our SYN */
	r->send_queue = info.send_queue;
	/* PITFALL: each send(2) was well, the other kernel has acknowledged every byte, close(2) is well: so it is
	 * done. It is not: it has arrived in a kernel. There is nothing else that TCP could say, however long we
	 * ask. */
	return o->drain ? drain(o, fd, r) : 0;
}

static int be_hopeful(const struct options *o, struct report *r)
{
	struct net_error e = { 0 };
	int fd = stage_connect(&o->stage, NULL, &e);
	if (fd < 0 && e.sys != ECANCELED)
		stage_fail(&o->stage, &e);
	if (fd < 0)
		return ECANCELED;
	r->connections = 1;
	int error = send_and_hope(o, fd, r) < 0 ? errno : 0;
	r->close_result = close(fd);
	tracef("close(%d) = %d", fd, r->close_result);
	return error;
}

/* --- the client with answers ------------------------------------------------------------------------------------- */

/* The server's program says that the next one is done. 0, or -1 with errno: EPIPE, it ended; EPROTO, it talks
 * nonsense. */
static int take_answer(const struct options *o, int fd, struct report *r)
{
	unsigned char p[ANSWER_LEN];
	size_t have = 0;
	while (have < ANSWER_LEN) {
		ssize_t n = stage_recv(&o->stage, fd, p + have, ANSWER_LEN - have);
		if (n < 0)
			return -1;
		if (n == 0) {
			errno = EPIPE;
			return -1;
		}
		have += (size_t)n;
	}
	uint64_t what = be64_get(p + 8);
	if (be64_get(p) != r->done + 1 || (what != DONE_NOW && what != DONE_BEFORE)) {
		errno = EPROTO;
		return -1;
	}
	r->done++;
	r->done_before += what == DONE_BEFORE;
	return 0;
}

/* What is not known to be done is sent (again), --window of them without an answer at most. 0, or -1 with errno. */
static int send_and_listen(const struct options *o, int fd, struct report *r)
{
	uint64_t next = r->done + 1;
	while (r->done < o->records) {
		while (next <= o->records && next - r->done <= o->window) {
			if (send_record(o, fd, next, r) < 0)
				return -1;
			next++;
		}
		if (take_answer(o, fd, r) < 0)
			return -1;
	}
	return 0;
}

static void report_break(const struct options *o, const struct report *r, int error)
{
	uint64_t in_doubt = r->sent - r->done, not_sent = o->records - r->sent;
	if (!o->stage.json) {
		printf("the connection broke (%s): %" PRIu64 " are done, %" PRIu64 " in doubt, %" PRIu64 " not sent\n",
		       errno_name(error), r->done, in_doubt, not_sent);
		return;
	}
	struct json j;
	record_begin(&j, "break");
	json_u64(&j, "done", r->done);
	json_u64(&j, "in_doubt", in_doubt);
	json_u64(&j, "not_sent", not_sent);
	json_str(&j, "errno", stage_symbol(error));
	json_end(&j);
}

static bool is_worth_another_try(int error)
{
	return error == EPIPE || error == ECONNRESET || error == ECONNREFUSED;
}

/* 0, or the errno of what ended it. PITFALL: "in doubt" taken for "not done". To send again is the only way to find
 * out, and right only with a server that knows each record by its number: --fixed there. */
static int be_careful(const struct options *o, struct report *r)
{
	struct net_error e = { 0 };
	uint64_t give_up_ns = clk_mono_ns() + o->stage.timeout_ns;
	for (;;) {
		int fd = stage_connect(&o->stage, NULL, &e), error = e.sys;
		if (fd < 0 && r->connections == 0 && error != ECANCELED)
			stage_fail(&o->stage, &e);
		if (fd >= 0) {
			r->connections++;
			error = send_and_listen(o, fd, r) < 0 ? errno : 0;
			r->close_result = close(fd);
		}
		if (error == 0)
			return 0;
		r->breaks++;
		report_break(o, r, error);
		if (o->give_up || !is_worth_another_try(error) || clk_mono_ns() > give_up_ns)
			return error;
		/* A server that dies at once should not keep us busy. */
		if (r->breaks > 1 && sig_wait_fd(-1, 0, 10 * NS_PER_MS) < 0 && errno == ECANCELED)
			return ECANCELED;
	}
}

/* --- the client's report ----------------------------------------------------------------------------------------- */

static void report_text(const struct options *o, const struct report *r, int error)
{
	printf("%" PRIu64 " of %" PRIu64 " records sent%s%s\n", r->sent, o->records, error != 0 ? "; " : "",
	       error != 0 ? strerror(error) : "");
	if (o->fixed)
		printf("the server's program: %" PRIu64 " are done; sent again: %" PRIu64
		       ", of these known to it: %" PRIu64 "\n",
		       r->done, r->again, r->done_before);
	else
		printf("the server's kernel: %" PRIu64 " bytes acknowledged, %" PRIu64
		       " in the send queue; close(2): %d; its end: %s\n"
		       "the server's program: nothing is known\n",
		       r->kernel_acked, r->send_queue, r->close_result, r->server_end);
}

static void put_known(struct json *j, const char *key, bool is_known, uint64_t value)
{
	if (is_known)
		json_u64(j, key, value);
	else
		json_null(j, key);
}

static void report_client(const struct options *o, const struct report *r, int error)
{
	struct json j;
	if (!o->stage.json) {
		report_text(o, r, error);
		return;
	}
	record_begin(&j, "total");
	json_str(&j, "role", "client");
	json_bool(&j, "fixed", o->fixed);
	json_u64(&j, "records", o->records);
	json_u64(&j, "sent", r->sent);
	put_known(&j, "kernel_acked_bytes", !o->fixed, r->kernel_acked);
	put_known(&j, "send_queue_bytes", !o->fixed, r->send_queue);
	json_i64(&j, "close_result", r->close_result);
	json_str(&j, "server_end", r->server_end);
	put_known(&j, "done", o->fixed, r->done);
	put_known(&j, "in_doubt", o->fixed, r->sent - r->done);
	put_known(&j, "not_sent", o->fixed, o->records - r->sent);
	json_u64(&j, "sent_again", r->again);
	json_u64(&j, "done_before", r->done_before);
	json_u64(&j, "connections", r->connections);
	json_str(&j, "errno", stage_symbol(error));
	json_bool(&j, "interrupted", sig_pending(NULL) != 0);
	json_end(&j);
}

static int run_client(const struct options *o)
{
	struct report r = { .server_end = "none" };
	int error = o->fixed ? be_careful(o, &r) : be_hopeful(o, &r);
	report_client(o, &r, error);
	/* The mistake is to show that everything seems well, the fixed twin that everything is done. */
	bool seems_well = error == 0 && r.sent == o->records && r.kernel_acked == o->records * RECORD_LEN;
	return sig_exit_status((o->fixed ? error == 0 && r.done == o->records : seems_well) ? 0 : 3);
}

/* --- options and main -------------------------------------------------------------------------------------------- */

static const char *const synopsis[] = {
	"-s [-p PORT] [--crash-at N [--after]] [--fixed] [options]",
	"HOST [-p PORT] [--fixed [--give-up] | --drain] [--records N] [options]",
	NULL,
};

static const char *const about[] = {
	"appack shows that data which TCP has acknowledged need not be processed. The server dies in the middle of "
	"its work; a client for whom send(2), the acknowledgments and close(2) were all well has no way to know. With "
	"--fixed the server's program answers each record: the client knows which are done, which are in doubt, and "
	"sends those again.",
	"A server with --fixed knows what it has done before a crash, so that nothing is done twice; as it is first, "
	"it does whatever comes.",
	NULL,
};

static const struct arg_example examples[] = {
	{ "appack -s --crash-at 11", "a server that dies with the 11th record in its hands" },
	{ "appack localhost", "30 records; all seems well" },
	{ "appack localhost --fixed --give-up", "what is known when the connection breaks" },
	{ "appack localhost --fixed", "the same, and what is in doubt is sent again" },
	{ "appack -s --crash-at 11 --after", "it dies after doing it: the 11th is done twice; not with --fixed" },
	{ 0 },
};

static const struct arg_example statuses[] = {
	{ "3", "a client without answers that noticed something, one with --fixed to which not all was confirmed, "
	       "or a server that never came to its crash" },
	{ 0 },
};

static struct options parse_options(int argc, char **argv)
{
	struct options o = {
		.stage = { .port = DEFAULT_PORT, STAGE_DEFAULTS },
		.records = 30,
		.window = 1,
		.id = (uint64_t)clk_real_ns() ^ (uint64_t)getpid() << 48,
	};
	/* clang-format off */
	const struct arg rows[] = {
		{ .help = "Server:" },
		STAGE_ROLE_ROWS(o.stage),
		{ '\0', "crash-at", ARG_COUNT, &o.crash_at, 1, UINT32_MAX, "N", "die, once, with record N in hand, before it is done" },
		{ '\0', "after", ARG_FLAG, &o.after, .help = "... when it is done, and not answered yet" },
		{ .help = "Client:" },
		{ '\0', "records", ARG_COUNT, &o.records, 1, UINT32_MAX, "N", "send so many, of 100 bytes" },
		{ '\0', "drain", ARG_FLAG, &o.drain, .help = "end with shutdown(2), and wait for the server's end" },
		{ '\0', "window", ARG_COUNT, &o.window, 1, WINDOW_MAX, "N", "with --fixed: so many may wait for an answer" },
		{ '\0', "give-up", ARG_FLAG, &o.give_up, .help = "with --fixed: do not connect and send again" },
		{ .help = "Both:" },
		{ '\0', "fixed", ARG_FLAG, &o.fixed, .help = "client: wait for the program's answers; server: do nothing twice" },
		STAGE_COMMON_ROWS(o.stage),
		{ 0 },
	};
	/* clang-format on */
	const struct arg_spec spec = {
		.tool = "appack",
		.one_line = "shows that what TCP has acknowledged need not be done",
		.synopsis = synopsis,
		.about = about,
		.args = rows,
		.examples = examples,
		.exit_statuses = statuses,
		.see_also = "tcplab(1), tcp(7), send(2), close(2). Each figure explained: docs/tools/appack.md.",
	};
	stage_check(&o.stage, argv + args_parse(&spec, argc, argv));
	if (o.stage.server ? o.drain || o.give_up : o.crash_at != 0 || o.after)
		args_misuse(o.stage.server ? "--drain and --give-up are for a client"
					   : "--crash-at and --after are for the server (-s)");
	if (o.after && o.crash_at == 0)
		args_misuse("--after needs --crash-at");
	if ((o.drain && o.fixed) || (o.give_up && !o.fixed))
		args_misuse("--drain is for a client without --fixed, --give-up for one with it");
	return o;
}

int main(int argc, char **argv)
{
	diag_tool = "appack";
	setvbuf(stdout, NULL, _IOLBF, 0);
	struct options o = parse_options(argc, argv);
	sig_open();

	return record_finish(o.stage.server ? run_server(&o) : run_client(&o));
}
