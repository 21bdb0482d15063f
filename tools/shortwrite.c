/* shortwrite - write(2) may take less than it was given; who does not look loses the rest, in the middle of the stream.
 *
 * Try:       shortwrite socket            a non-blocking socket, 8 MiB; what write(2) returned is not looked at
 *            shortwrite socket --spin     looked at, and tried again at once: nothing is lost but a processor
 *            shortwrite socket --fixed    keeps the rest, and waits for POLLOUT
 *            shortwrite pipe              the same; and again with --block 4K, which a pipe takes as a whole or not at all
 *            shortwrite timeout, shortwrite signal     blocking sockets do it, too
 *            shortwrite socket --trace    each system call
 * Look for:  PITFALL below, twice; and "right": after so many bytes the receiver reads something else.
 * Labs:      19-short-write.
 *
 *     the sender's blocks      |  block 1  |  block 2  |  block 3  |  block 4  |        believed
 *     what the kernel took     |  block 1  |  bloc     |           |  b        |        taken
 *     what the receiver reads  |  block 1  |  bloc| b  |                                received = taken
 *                                             right -> |
 *
 * The sender is the main thread, the receiver another one that reads slowly. It begins when the sender meets a full buffer for
 * the first time (or is done), so that there is one. Each byte is one of prng.h's stream, from its place in what the sender
 * believes to have sent; so the receiver finds the place from which on the two disagree. (One byte in 256 agrees by accident.)
 *
 * The chapters: the receiver, the sender, the four kinds of descriptors, reports, options and main. */
#include "args.h"
#include "clock.h"
#include "diag.h"
#include "mem.h"
#include "os.h"
#include "prng.h"
#include "record.h"
#include "sig.h"

#include "pitfall/stage.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum { SEED = 1, READ_LEN = 64 * 1024, BUFFER_LEN = 64 * 1024, STACK_LEN = 256 * 1024, TICK_US = 5000 };

/* What the sender does with write(2)'s answer. */
enum manner { IGNORES, SPINS, KEEPS };
static const char *const manner_names[] = { "ignore", "spin", "keep" };
static const char *const manner_texts[] = { "what write(2) returns is not looked at", "tries again at once",
					    "keeps the rest, and waits for room" };

struct options {
	struct stage stage; /* of this only --json */
	const struct experiment *x;
	bool fixed, spin;
	enum manner manner;
	uint64_t bytes, block_len, gap_ns, pause_ns;
};

/* --- the receiver ------------------------------------------------------------------------------------------------ */

/* A thread; what stands below `begin` is its own until it is joined. */
struct receiver {
	int fd;
	uint64_t pause_ns;
	atomic_bool begin; /* raised by the sender */
	uint64_t received_bytes;
	uint64_t right_bytes; /* from the beginning: as they should be */
	int error;
};

static void *receive_all(void *arg)
{
	struct receiver *r = arg;
	unsigned char *buffer = xmalloc(READ_LEN);
	ssize_t n;
	while (!atomic_load(&r->begin))
		clk_sleep_until_ns(clk_mono_ns() + NS_PER_MS);
	while ((n = read(r->fd, buffer, READ_LEN)) > 0) {
		if (r->right_bytes == r->received_bytes)
			r->right_bytes += prng_check(SEED, r->right_bytes, buffer, (size_t)n);
		r->received_bytes += (uint64_t)n;
		clk_sleep_until_ns(clk_mono_ns() + r->pause_ns);
	}
	r->error = n < 0 ? errno : 0;
	free(buffer);
	return NULL;
}

/* --- the sender -------------------------------------------------------------------------------------------------- */

struct sender {
	const struct options *o;
	struct receiver *receiver;
	int fd;
	uint64_t believed_bytes, taken_bytes; /* taken: the sum of what write(2) returned */
	uint64_t first_cut;                   /* taken_bytes when a block was cut for the first time; or UINT64_MAX */
	uint64_t writes, short_writes, refused, waits; /* refused: EAGAIN */
	uint64_t elapsed_ns, cpu_ns;
};

/* One write(2): how many bytes it took, maybe none. -1 with errno when the connection is over. */
static ssize_t write_some(struct sender *s, const unsigned char *p, size_t len)
{
	ssize_t n = write(s->fd, p, len);
	tracef("write(%d, %zu) = %zd%s%s", s->fd, len, n, n < 0 ? " " : "", n < 0 ? errno_name(errno) : "");
	if (n < 0 && errno != EAGAIN && errno != EINTR)
		return -1;
	s->writes++;
	s->refused += n < 0;
	s->short_writes += n >= 0 && (size_t)n < len;
	n = n < 0 ? 0 : n;
	s->taken_bytes += (uint64_t)n;
	if ((size_t)n < len) {
		if (s->first_cut == UINT64_MAX)
			s->first_cut = s->taken_bytes;
		atomic_store(&s->receiver->begin, true);
	}
	return n;
}

/* Broken. */
static int send_block_ignoring(struct sender *s, const unsigned char *p, size_t len)
{
	/* PITFALL: whatever write(2) returned, the block is taken for sent. But it returns how many bytes it took: of a
	 * non-blocking descriptor what there was room for; of a blocking one what it had taken when a signal or the
	 * timeout came (write(2), signal(7)). The rest is lost, and the next block comes right behind the cut. On a desk,
	 * with small blocks and a quick reader, there is always room. */
	return write_some(s, p, len) < 0 ? -1 : 0;
}

/* Loses nothing, at a price. */
static int send_block_spinning(struct sender *s, const unsigned char *p, size_t len)
{
	for (size_t at = 0; at < len && sig_pending(NULL) == 0;) {
		/* PITFALL: EAGAIN says "not now"; this loop asks again, some hundred thousand times a second, and takes the
		 * processor from the very reader that would make room. */
		ssize_t n = write_some(s, p + at, len - at);
		if (n < 0)
			return -1;
		at += (size_t)n;
	}
	return 0;
}

/* Fixed. */
static int send_block_keeping(struct sender *s, const unsigned char *p, size_t len)
{
	for (size_t at = 0; at < len && sig_pending(NULL) == 0;) {
		ssize_t n = write_some(s, p + at, len - at);
		if (n < 0)
			return -1;
		at += (size_t)n;
		if (at == len)
			break;
		s->waits++;
		if (sig_wait_fd(s->fd, POLLOUT, CLK_NEVER) < 0 && errno != ECANCELED)
			return -1;
	}
	return 0;
}

/* Everything, block by block. 0, or -1 with errno. */
static int send_all(struct sender *s)
{
	static int (*const send_block[])(struct sender *, const unsigned char *,
					 size_t) = { send_block_ignoring, send_block_spinning, send_block_keeping };
	const struct options *o = s->o;
	unsigned char *block = xmalloc(o->block_len);
	struct os_cpu before = os_thread_cpu();
	uint64_t begin_ns = clk_mono_ns(), next_ns = begin_ns;
	int rc = 0;
	while (rc == 0 && s->believed_bytes < o->bytes && sig_pending(NULL) == 0) {
		uint64_t left = o->bytes - s->believed_bytes;
		size_t len = left < o->block_len ? (size_t)left : o->block_len;
		clk_sleep_until_ns(next_ns);
		next_ns += o->gap_ns;
		prng_fill(SEED, s->believed_bytes, block, len);
		rc = send_block[o->manner](s, block, len);
		s->believed_bytes += len;
	}
	struct os_cpu after = os_thread_cpu();
	s->elapsed_ns = clk_mono_ns() - begin_ns;
	s->cpu_ns = after.user_ns + after.sys_ns - before.user_ns - before.sys_ns;
	free(block);
	return rc;
}

/* --- four kinds of descriptors that take less than they are given ------------------------------------------------ */

struct ends {
	int to_write, to_read;
};

static void make_non_blocking(const struct options *o, int fd)
{
	if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		stage_fail_errno(&o->stage, "fcntl", "O_NONBLOCK");
}

/* A blocking connection on loopback, with small buffers. */
static struct ends open_connection(const struct options *o)
{
	struct sock_options small = { .send_buffer = BUFFER_LEN, .receive_buffer = BUFFER_LEN };
	struct net_error e = { 0 };
	int fds[2];
	if (stage_pair(AF_INET, &small, &small, fds, &e) < 0)
		stage_fail(&o->stage, &e);
	return (struct ends){ .to_write = fds[1], .to_read = fds[0] };
}

static struct ends open_socket(const struct options *o)
{
	struct ends ends = open_connection(o);
	make_non_blocking(o, ends.to_write);
	return ends;
}

static struct ends open_pipe(const struct options *o)
{
	int fds[2];
	if (pipe2(fds, O_CLOEXEC) < 0)
		stage_fail_errno(&o->stage, "pipe2", "two ends");
	make_non_blocking(o, fds[1]);
	return (struct ends){ .to_write = fds[1], .to_read = fds[0] };
}

/* A blocked write(2) ends after the tick: with what it took, or with EAGAIN if that was nothing (socket(7)). */
static struct ends open_with_timeout(const struct options *o)
{
	struct ends ends = open_connection(o);
	struct timeval tick = { .tv_usec = TICK_US };
	if (setsockopt(ends.to_write, SOL_SOCKET, SO_SNDTIMEO, &tick, sizeof(tick)) < 0)
		stage_fail_errno(&o->stage, "set", "SO_SNDTIMEO");
	return ends;
}

static void on_tick(int number)
{
	(void)number;
}

/* A signal every tick, as a program with a timer or with children has them. SA_RESTART starts a write(2) anew only as long as
 * it has taken nothing (signal(7)). */
static struct ends open_with_signals(const struct options *o)
{
	struct sigaction action = { .sa_handler = on_tick, .sa_flags = SA_RESTART };
	struct itimerval ticks = { .it_interval.tv_usec = TICK_US, .it_value.tv_usec = TICK_US };
	struct ends ends = open_connection(o);
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &ticks, NULL);
	return ends;
}

static const struct experiment {
	const char *name, *text;
	bool blocks;
	struct ends (*open)(const struct options *o);
} experiments[] = {
	{ "socket", "a non-blocking socket", false, open_socket },
	{ "pipe", "a non-blocking pipe", false, open_pipe },
	{ "timeout", "a blocking socket with a send timeout", true, open_with_timeout },
	{ "signal", "a blocking socket, and a signal now and then", true, open_with_signals },
};

/* --- reports ----------------------------------------------------------------------------------------------------- */

static void report_start(const struct options *o)
{
	if (!o->stage.json) {
		printf("%s: %s; the sender: %s\n", o->x->name, o->x->text, manner_texts[o->manner]);
		return;
	}
	struct json j;
	record_begin(&j, "start");
	json_str(&j, "experiment", o->x->name);
	json_str(&j, "manner", manner_names[o->manner]);
	json_u64(&j, "bytes", o->bytes);
	json_u64(&j, "block_bytes", o->block_len);
	json_end(&j);
}

static void report_total(const struct options *o, const struct sender *s, const struct receiver *r)
{
	const struct figure {
		const char *key, *text;
		uint64_t value;
	} figures[] = {
		{ "believed_bytes", "bytes sent, as the sender believes", s->believed_bytes },
		{ "taken_bytes", "bytes that write(2) took", s->taken_bytes },
		{ "received_bytes", "bytes received", r->received_bytes },
		{ "missing_bytes", "bytes missing", s->believed_bytes - r->received_bytes },
		{ "right_bytes", "bytes right, from the beginning on", r->right_bytes },
		{ "first_cut_bytes", "bytes taken before the first that was not", s->first_cut },
		{ "writes", "calls of write(2)", s->writes },
		{ "short_writes", "of them took a part", s->short_writes },
		{ "refused", "of them took nothing: EAGAIN", s->refused },
		{ "waits", "waits for room", s->waits },
		{ "elapsed_ns", "ns", s->elapsed_ns },
		{ "cpu_ns", "ns of them on the processor", s->cpu_ns },
	};
	struct json j;
	if (o->stage.json) {
		record_begin(&j, "total");
		json_str(&j, "experiment", o->x->name);
		json_str(&j, "manner", manner_names[o->manner]);
	}
	for (size_t i = 0; i < COUNT_OF(figures); i++) {
		bool is_known = figures[i].value != UINT64_MAX;
		if (o->stage.json && is_known)
			json_u64(&j, figures[i].key, figures[i].value);
		else if (o->stage.json)
			json_null(&j, figures[i].key);
		else if (is_known)
			printf("%12" PRIu64 "  %s\n", figures[i].value, figures[i].text);
	}
	if (o->stage.json) {
		json_bool(&j, "interrupted", sig_pending(NULL) != 0);
		json_end(&j);
	}
}

/* The mistake is to lose bytes, and these alone; the other two senders are to lose none. */
static bool is_as_promised(const struct options *o, const struct sender *s, const struct receiver *r)
{
	bool is_whole = r->received_bytes == s->believed_bytes && r->right_bytes == r->received_bytes;
	if (r->received_bytes != s->taken_bytes)
		return false;
	return o->manner == IGNORES ? !is_whole : is_whole;
}

static int run(const struct options *o)
{
	struct ends ends = o->x->open(o);
	struct receiver r = { .fd = ends.to_read, .pause_ns = o->pause_ns };
	struct sender s = { .o = o, .receiver = &r, .fd = ends.to_write, .first_cut = UINT64_MAX };
	pthread_t thread;
	sig_let_in(true); /* while a write(2) blocks */
	errno = os_thread_start(&thread, STACK_LEN, receive_all, &r);
	if (errno != 0)
		stage_fail_errno(&o->stage, "start", "a thread");
	if (send_all(&s) < 0)
		stage_fail_errno(&o->stage, "write", "to the receiver");
	atomic_store(&r.begin, true);
	close(ends.to_write);
	pthread_join(thread, NULL);
	close(ends.to_read);
	if (r.error != 0) {
		errno = r.error;
		stage_fail_errno(&o->stage, "read", "from the sender");
	}
	report_total(o, &s, &r);
	return sig_exit_status(is_as_promised(o, &s, &r) ? 0 : 3);
}

/* --- options and main -------------------------------------------------------------------------------------------- */

static const char *const synopsis[] = {
	"socket|pipe|timeout|signal [--fixed | --spin] [options]",
	NULL,
};

static const char *const about[] = {
	"shortwrite shows that write(2) may take less than it was given. The sender as it is first does not look at what "
	"write(2) returns, and loses the rest; with --spin it tries again at once, and loses a processor; with --fixed it "
	"keeps the rest and waits until there is room. The receiver checks each byte.",
	"socket: a non-blocking socket. pipe: a non-blocking pipe, which takes up to 4096 bytes as a whole or not at all "
	"(pipe(7)). timeout: a blocking socket with SO_SNDTIMEO. signal: a blocking socket in a program that gets signals.",
	"What write(2) took is what the receiver gets, to the byte, in every run; how much that is depends on buffers and "
	"speed.",
	NULL,
};

static const struct arg_example examples[] = {
	{ "shortwrite socket", "lose the rest of each block for which there was no room" },
	{ "shortwrite socket --spin", "lose nothing, and ask 100000 times" },
	{ "shortwrite socket --fixed", "lose nothing" },
	{ "shortwrite pipe --block 4K", "a pipe takes a small block as a whole or not at all" },
	{ "shortwrite signal --fixed --json", "a record for programs" },
	{ 0 },
};

static const struct arg_example statuses[] = {
	{ "3", "with the mistake nothing was lost, or --spin or --fixed lost something" },
	{ 0 },
};

static struct options parse_options(int argc, char **argv)
{
	struct options o = {
		.bytes = 8 * 1024 * 1024,
		.block_len = 512 * 1024,
		.gap_ns = 5 * NS_PER_MS,
		.pause_ns = NS_PER_MS,
	};
	/* clang-format off */
	const struct arg rows[] = {
		{ '\0', "fixed", ARG_FLAG, &o.fixed, .help = "keep the rest, wait for room (POLLOUT)" },
		{ '\0', "spin", ARG_FLAG, &o.spin, .help = "socket, pipe: keep the rest, and try again at once" },
		{ '\0', "bytes", ARG_SIZE, &o.bytes, 1, UINT64_C(1) << 40, "SIZE", "how many to send" },
		{ '\0', "block", ARG_SIZE, &o.block_len, 1, 1 << 30, "SIZE", "how many with one write(2)" },
		{ '\0', "gap", ARG_DURATION, &o.gap_ns, 0, UINT64_C(60) * NS_PER_S, "D", "the sender: a block every so often" },
		{ '\0', "pause", ARG_DURATION, &o.pause_ns, 0, UINT64_C(60) * NS_PER_S, "D", "the receiver: for so long after each "
		  "read(2) of up to 64K" },
		{ '\0', "json", ARG_FLAG, &o.stage.json, .help = "one JSON object a line on standard output" },
		{ 0 },
	};
	/* clang-format on */
	const struct arg_spec spec = {
		.tool = "shortwrite",
		.one_line = "shows that write(2) may take less than it was given, and what becomes of the rest",
		.synopsis = synopsis,
		.about = about,
		.args = rows,
		.examples = examples,
		.exit_statuses = statuses,
		.see_also = "tcplab(1), write(2), pipe(7), poll(2). Each figure explained: docs/tools/shortwrite.md.",
	};
	o.x = STAGE_CHOOSE(argv + args_parse(&spec, argc, argv), experiments);
	if (o.fixed && o.spin)
		args_misuse("--fixed and --spin exclude each other");
	if (o.spin && o.x->blocks)
		args_misuse("--spin is for socket and pipe: the others block");
	o.manner = o.fixed ? KEEPS : o.spin ? SPINS : IGNORES;
	return o;
}

int main(int argc, char **argv)
{
	diag_tool = "shortwrite";
	setvbuf(stdout, NULL, _IOLBF, 0);
	struct options o = parse_options(argc, argv);
	sig_open();
	report_start(&o);
	return record_finish(run(&o));
}
