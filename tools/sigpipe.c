/* sigpipe - writing to somebody who is gone: the first time nobody minds, the second time the program is dead.
 *
 * Try:       sigpipe closed              the peer has closed: one send(2) is well, the next one kills
 *            sigpipe closed --fixed      three writers that live, and the third one writes nothing in vain
 *            sigpipe reset, sigpipe unread, sigpipe pipe
 *            sigpipe exec                the opposite mistake: a program started by one that ignores SIGPIPE
 *            sigpipe closed --trace      each system call
 * Look for:  PITFALL below, twice; and a program that a signal ends without a word.
 * Labs:      26-sigpipe.
 *
 * A write that nobody can ever read raises SIGPIPE, and the default is death (signal(7), write(2)). For `yes | head -1` that is
 * what ends yes. For a server it is the end of all its other connections. What a connection says, and when:
 *
 *     the peer ...            first send     then comes    second send          recv(2)
 *     has closed              all is well    its reset     EPIPE and SIGPIPE    0, before any send
 *     has reset               ECONNRESET                   EPIPE and SIGPIPE    ECONNRESET, then 0
 *     closed, with our bytes unread: as if it had reset
 *
 * The writers are child processes, since they may die, and note each step in memory that they share with us. Nobody waits
 * for time to pass: the peer is gone before the writer begins, and for its reset the writer waits in poll(2).
 *
 * The chapters: steps, the peer, the writers, the program that is executed, reports, options and main. */
#include "args.h"
#include "diag.h"
#include "record.h"
#include "sig.h"
#include "sock.h"

#include "pitfall/stage.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PATIENCE_MS = 5000, CHILD_LIFE_S = 10, STEPS_MAX = 8, SAID_MAX = 200 };

/* How a writer takes care of itself. */
enum care { NO_CARE, IGNORE, NOSIGNAL, LOOK };
static const char *const care_names[] = { "none", "ignore", "nosignal", "look" };
static const char *const care_texts[] = { "as it is", "SIGPIPE ignored", "MSG_NOSIGNAL", "reads before it writes" };

struct options {
	struct stage stage; /* of this only --json */
	const struct experiment *x;
	bool fixed;
};

/* --- steps ------------------------------------------------------------------------------------------------------- */

/* What a writer did, in memory shared with its parent: a writer that is killed leaves its last step unfinished. */
struct diary {
	unsigned n;
	struct step {
		const char *call; /* a string constant: at the same address in parent and child */
		bool is_finished;
		ssize_t result;
		int error;
	} steps[STEPS_MAX];
};

static void begin_step(struct diary *d, const char *call)
{
	if (d->n == STEPS_MAX)
		_exit(1);
	d->steps[d->n++].call = call;
}

static ssize_t end_step(struct diary *d, ssize_t result)
{
	struct step *s = &d->steps[d->n - 1];
	s->error = result < 0 ? errno : 0;
	s->result = result;
	s->is_finished = true;
	tracef("%s = %zd%s%s", s->call, result, result < 0 ? " " : "", result < 0 ? errno_name(s->error) : "");
	return result;
}

/* --- the peer, which goes away ----------------------------------------------------------------------------------- */

/* Two ends of a connection on loopback. */
static void open_connection(const struct options *o, int *ours, int *peers)
{
	struct net_error e = { 0 };
	int fds[2];
	if (stage_pair(AF_INET, NULL, NULL, fds, &e) < 0)
		stage_fail(&o->stage, &e);
	*peers = fds[0];
	*ours = fds[1];
}

/* Until poll(2) reports one of these of fd; POLLERR and POLLHUP are reported in any case. */
static void await(const struct options *o, int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };
	if (poll(&p, 1, PATIENCE_MS) == 1)
		return;
	errno = ETIMEDOUT;
	stage_fail_errno(&o->stage, "wait for", "the peer's end");
}

/* The peer closes in order. */
static int peer_closes(const struct options *o)
{
	int ours, peers;
	open_connection(o, &ours, &peers);
	close(peers);
	await(o, ours, POLLRDHUP);
	return ours;
}

/* The peer gives up: linger 0, the way of a process in trouble. */
static int peer_resets(const struct options *o)
{
	int ours, peers;
	open_connection(o, &ours, &peers);
	sock_abort(peers);
	await(o, ours, 0);
	return ours;
}

/* The peer closes, and has not read what we sent: its kernel says so with a reset (RFC 1122 4.2.2.13, RFC 2525 2.17). */
static int peer_closes_unread(const struct options *o)
{
	int ours, peers;
	open_connection(o, &ours, &peers);
	if (send(ours, "unread", 6, MSG_NOSIGNAL) != 6)
		stage_fail_errno(&o->stage, "send", "to the peer");
	await(o, peers, POLLIN);
	close(peers);
	await(o, ours, 0);
	return ours;
}

static int reader_closes(const struct options *o)
{
	int ends[2];
	if (pipe2(ends, O_CLOEXEC) < 0)
		stage_fail_errno(&o->stage, "pipe2", "two ends");
	close(ends[0]);
	return ends[1];
}

/* --- the writers: each in a process of its own ------------------------------------------------------------------- */

static ssize_t read_step(struct diary *d, int fd)
{
	char byte;
	begin_step(d, "recv");
	return end_step(d, recv(fd, &byte, 1, MSG_DONTWAIT));
}

/* Has the peer ended, one way or the other? EAGAIN means that it is there, and has nothing to say. */
static bool has_ended(struct diary *d, int fd)
{
	return read_step(d, fd) <= 0 && d->steps[d->n - 1].error != EAGAIN;
}

static ssize_t send_step(struct diary *d, int fd, enum care care)
{
	begin_step(d, "send");
	return end_step(d, send(fd, "data", 4, care == NOSIGNAL ? MSG_NOSIGNAL : 0));
}

/* Writes two messages and looks at nothing else, as a program that only sends does. */
static void write_twice(const struct options *o, struct diary *d, int fd, enum care care)
{
	/* Whoever reads, too, is told in time. */
	if (care == LOOK && has_ended(d, fd))
		return;
	/* PITFALL: a send(2) that was well is taken for a message that arrived, and the next one for as harmless. But the peer
	 * has closed. It answers what it gets with a reset, which we see at the next call; and that one raises SIGPIPE
	 * unless somebody said that it should not. */
	send_step(d, fd, care);
	await(o, fd, 0);
	send_step(d, fd, care);
}

/* A server in the middle of a conversation: reads, and answers whatever it read. */
static void read_and_write(const struct options *o, struct diary *d, int fd, enum care care)
{
	(void)o;
	/* An error is told once: the second recv(2) says 0, as if the peer had ended in order. */
	if (has_ended(d, fd) && care == LOOK)
		return;
	read_step(d, fd);
	send_step(d, fd, care);
}

/* Pipes are the same, a step shorter. There is no MSG_NOSIGNAL for write(2), and nothing to be read: poll(2) tells. */
static void write_to_pipe(const struct options *o, struct diary *d, int fd, enum care care)
{
	(void)o;
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	if (care == LOOK) {
		begin_step(d, "poll");
		end_step(d, poll(&p, 1, 0));
		if (p.revents & POLLERR)
			return;
	}
	begin_step(d, "write");
	end_step(d, write(fd, "data", 4));
}

static const struct experiment {
	const char *name, *text;
	int (*open)(const struct options *o);
	void (*write)(const struct options *o, struct diary *d, int fd, enum care care);
	enum care fixes[3]; /* NO_CARE: none */
} experiments[] = {
	{ "closed", "the peer has closed the connection", peer_closes, write_twice, { IGNORE, NOSIGNAL, LOOK } },
	{ "reset", "the peer has reset the connection", peer_resets, write_twice, { IGNORE, NOSIGNAL, LOOK } },
	{ "unread",
	  "the peer has closed, and had not read what we sent",
	  peer_closes_unread,
	  read_and_write,
	  { IGNORE, NOSIGNAL, LOOK } },
	{ "pipe", "the reader of a pipe has closed it", reader_closes, write_to_pipe, { IGNORE, LOOK } },
	{ "exec", "a program writes to a pipe, and its reader has closed it", NULL, NULL, { NO_CARE } },
};

/* Undoes what our parent, and whoever started that, may have left behind (signal(7), execve(2)). */
static void reset_signals(void (*sigpipe)(int))
{
	sigset_t none;
	sigemptyset(&none);
	signal(SIGPIPE, sigpipe);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* One writer, from its peer's end to its own. The wait status. */
static int run_writer(const struct options *o, const struct experiment *x, enum care care, struct diary *d)
{
	int status = 0, fd = x->open(o);
	memset(d, 0, sizeof(*d));
	pid_t pid = fork();
	if (pid < 0)
		stage_fail_errno(&o->stage, "fork", "a writer");
	if (pid == 0) {
		alarm(CHILD_LIFE_S);
		reset_signals(care == IGNORE ? SIG_IGN : SIG_DFL);
		x->write(o, d, fd, care);
		_exit(0);
	}
	close(fd);
	if (waitpid(pid, &status, 0) < 0)
		stage_fail_errno(&o->stage, "waitpid", "a writer");
	return status;
}

/* --- the program that is executed -------------------------------------------------------------------------------- */

/* In the child: yes(1), its output and complaints to us. */
static _Noreturn void become_yes(const struct options *o, int out_fd, int error_fd)
{
	dup2(out_fd, STDOUT_FILENO);
	dup2(error_fd, STDERR_FILENO);
	alarm(CHILD_LIFE_S);
	/* PITFALL: a handler does not survive exec, but "ignored" does, and so does the mask (execve(2)). This program ignores
	 * SIGPIPE, as every network program should; so does, without a word, whatever it starts. yes(1) notices the error
	 * and complains. A program that does not look at what write(2) returns would go on for ever. */
	if (o->fixed)
		reset_signals(SIG_DFL);
	execlp("yes", "yes", (char *)NULL);
	_exit(127);
}

/* yes | head -1: reads one line, closes, and waits for the end. `said` is what came on its standard error. */
static int run_yes(const struct options *o, char said[static SAID_MAX])
{
	int out[2], complaints[2], status = 0;
	char line[2];
	if (pipe2(out, O_CLOEXEC) < 0 || pipe2(complaints, O_CLOEXEC) < 0)
		stage_fail_errno(&o->stage, "pipe2", "two ends");
	pid_t pid = fork();
	if (pid < 0)
		stage_fail_errno(&o->stage, "fork", "yes");
	if (pid == 0)
		become_yes(o, out[1], complaints[1]);
	close(out[1]);
	close(complaints[1]);
	ssize_t n = read(out[0], line, sizeof(line));
	tracef("read(%d) = %zd", out[0], n);
	close(out[0]);
	size_t len = 0;
	while (len < SAID_MAX - 1 && (n = read(complaints[0], said + len, SAID_MAX - 1 - len)) > 0)
		len += (size_t)n;
	said[len] = '\0';
	said[strcspn(said, "\n")] = '\0';
	close(complaints[0]);
	if (waitpid(pid, &status, 0) < 0)
		stage_fail_errno(&o->stage, "waitpid", "yes");
	if (WIFEXITED(status) && WEXITSTATUS(status) == 127) {
		errno = ENOENT;
		stage_fail_errno(&o->stage, "exec", "yes");
	}
	return status;
}

static bool is_sigpipe(int status)
{
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGPIPE;
}

/* --- reports ----------------------------------------------------------------------------------------------------- */

struct tally {
	unsigned writers, killed, lived; /* killed: by SIGPIPE; lived: to their end, with status 0 */
	unsigned sends_well;             /* that nobody ever read */
};

static void report_start(const struct options *o, const struct experiment *x)
{
	if (!o->stage.json) {
		printf("%s: %s\n", x->name, x->text);
		return;
	}
	struct json j;
	record_begin(&j, "start");
	json_str(&j, "experiment", x->name);
	json_bool(&j, "fixed", o->fixed);
	json_end(&j);
}

static void report_step(const struct options *o, enum care care, unsigned number, const struct step *s)
{
	if (!o->stage.json) {
		printf("    %u  %s: ", number, s->call);
		if (!s->is_finished)
			printf("never returned\n");
		else if (s->error != 0)
			printf("%s\n", errno_name(s->error));
		else
			printf("%zd\n", s->result);
		return;
	}
	struct json j;
	record_begin(&j, "step");
	json_str(&j, "writer", care_names[care]);
	json_u64(&j, "number", number);
	json_str(&j, "call", s->call);
	if (s->is_finished)
		json_i64(&j, "result", s->result);
	else
		json_null(&j, "result");
	json_str(&j, "errno", s->error != 0 ? errno_name(s->error) : NULL);
	json_end(&j);
}

/* How a child ended; what a shell would show as its status (bash(1): 128 and the signal). */
static void report_end(const struct options *o, const char *who, int status, const char *said)
{
	int signal_number = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
	int shown = signal_number != 0 ? 128 + signal_number : WEXITSTATUS(status);
	if (o->stage.json) {
		struct json j;
		record_begin(&j, "end");
		json_str(&j, "writer", who);
		json_u64(&j, "signal", (uint64_t)signal_number);
		json_u64(&j, "status", (uint64_t)shown);
		json_str(&j, "said", said);
		json_end(&j);
	} else if (signal_number != 0) {
		printf("    killed by signal %d%s; in a shell: status %d\n", signal_number,
		       signal_number == SIGPIPE ? " (SIGPIPE)" : "", shown);
	} else {
		printf("    lived to its end: status %d%s%s\n", shown, said != NULL ? ", and said: " : "",
		       said != NULL ? said : "");
	}
}

static void report_total(const struct options *o, const struct experiment *x, const struct tally *t, bool as_promised)
{
	if (!o->stage.json)
		return;
	struct json j;
	record_begin(&j, "total");
	json_str(&j, "experiment", x->name);
	json_bool(&j, "fixed", o->fixed);
	json_u64(&j, "writers", t->writers);
	json_u64(&j, "killed", t->killed);
	json_u64(&j, "lived", t->lived);
	json_u64(&j, "sends_well", t->sends_well);
	json_bool(&j, "as_promised", as_promised);
	json_bool(&j, "interrupted", sig_pending(NULL) != 0);
	json_end(&j);
}

static void try_writer(const struct options *o, const struct experiment *x, enum care care, struct tally *t)
{
	struct diary *d = mmap(NULL, sizeof(*d), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (d == MAP_FAILED)
		stage_fail_errno(&o->stage, "mmap", "a diary");
	int status = run_writer(o, x, care, d);
	if (!o->stage.json)
		printf("  %s\n", care_texts[care]);
	for (unsigned i = 0; i < d->n; i++) {
		report_step(o, care, i + 1, &d->steps[i]);
		t->sends_well += d->steps[i].is_finished && d->steps[i].result > 0 &&
				 strcmp(d->steps[i].call, "send") == 0;
	}
	report_end(o, care_names[care], status, NULL);
	t->writers++;
	t->killed += is_sigpipe(status);
	t->lived += WIFEXITED(status) && WEXITSTATUS(status) == 0;
	munmap(d, sizeof(*d));
}

/* As it is, or each of its fixes. Did the mistake kill, and the fixes save? */
static bool run_writers(const struct options *o, const struct experiment *x, struct tally *t)
{
	if (!o->fixed)
		try_writer(o, x, NO_CARE, t);
	for (size_t i = 0; o->fixed && i < COUNT_OF(x->fixes) && x->fixes[i] != NO_CARE; i++)
		try_writer(o, x, x->fixes[i], t);
	return (o->fixed ? t->lived : t->killed) == t->writers;
}

/* Here it is the other way about: SIGPIPE should have ended it. */
static bool run_exec(const struct options *o, struct tally *t)
{
	char said[SAID_MAX];
	int status = run_yes(o, said);
	if (!o->stage.json)
		printf("  yes, started with SIGPIPE %s\n", o->fixed ? "as the system has it" : "ignored");
	report_end(o, "yes", status, said[0] != '\0' ? said : NULL);
	t->writers = 1;
	t->killed = is_sigpipe(status);
	t->lived = WIFEXITED(status);
	return t->killed == o->fixed;
}

/* --- options and main -------------------------------------------------------------------------------------------- */

static const char *const synopsis[] = {
	"closed|reset|unread|pipe|exec [--fixed] [--json]",
	NULL,
};

static const char *const about[] = {
	"sigpipe shows what becomes of a program that writes to somebody who is gone: at the first send(2) often nothing, at "
	"the second one EPIPE and the signal SIGPIPE, of which it dies. With --fixed the same is done by writers that "
	"ignore the signal, ask for none (MSG_NOSIGNAL), or read before they write and so know better than to write.",
	"closed: the peer has closed. reset: it has reset the connection. unread: it has closed and had not read everything. "
	"pipe: the same for a pipe. exec: a program that was started by one which ignores SIGPIPE, and ignores it too.",
	"Each writer is a process of its own; both ends are on this machine. There is no time in it: what is shown is the "
	"same in each run.",
	NULL,
};

static const struct arg_example examples[] = {
	{ "sigpipe closed", "one send is well, the next one kills" },
	{ "sigpipe closed --fixed", "three ways to stay alive" },
	{ "sigpipe unread", "the peer's kernel tells that our bytes were not read" },
	{ "sigpipe exec --json", "a program that cannot die in a pipeline, as records" },
	{ "yes | head -1; echo ${PIPESTATUS[0]}", "in bash: 141, which is 128 and SIGPIPE" },
	{ 0 },
};

static const struct arg_example statuses[] = {
	{ "3", "SIGPIPE did not kill where it should, or killed where it should not" },
	{ 0 },
};

static struct options parse_options(int argc, char **argv)
{
	struct options o = { 0 };
	/* clang-format off */
	const struct arg rows[] = {
		{ '\0', "fixed", ARG_FLAG, &o.fixed, .help = "without the mistake, in each way there is" },
		{ '\0', "json", ARG_FLAG, &o.stage.json, .help = "one JSON object a line on standard output" },
		{ 0 },
	};
	/* clang-format on */
	const struct arg_spec spec = {
		.tool = "sigpipe",
		.one_line = "shows what becomes of a program that writes to somebody who is gone",
		.synopsis = synopsis,
		.about = about,
		.args = rows,
		.examples = examples,
		.exit_statuses = statuses,
		.see_also = "tcplab(1), send(2), signal(7), pipe(7). Each figure explained: docs/tools/sigpipe.md.",
	};
	o.x = STAGE_CHOOSE(argv + args_parse(&spec, argc, argv), experiments);
	return o;
}

int main(int argc, char **argv)
{
	diag_tool = "sigpipe";
	setvbuf(stdout, NULL, _IOLBF, 0);
	struct options o = parse_options(argc, argv);
	const struct experiment *x = o.x;
	struct tally t = { 0 };
	sig_open(); /* this program ignores SIGPIPE; the writers decide for themselves */

	report_start(&o, x);
	fflush(stdout); /* a child must not inherit what is not written yet */
	bool as_promised = x->open != NULL ? run_writers(&o, x, &t) : run_exec(&o, &t);
	report_total(&o, x, &t, as_promised);
	sig_let_in(true); /* who asked us to end meanwhile is told so */
	return record_finish(sig_exit_status(as_promised ? 0 : 3));
}
