/* zerocopy - the ways to send a file over TCP: what each copy costs, and whose bytes they are after the call has
 * returned.
 *
 * Try:       zerocopy speed                       six ways: rate, system calls, processor time
 *            zerocopy speed --way zerocopy        MSG_ZEROCOPY on loopback: each completion says "copied after all"
 *            zerocopy speed --to HOST -p 2009     to any discard server; there it may be another story
 *            zerocopy reuse                       the call has returned: is the buffer ours again?
 *            zerocopy reuse --fixed               wait for the completion; a new file instead of a changed one
 *            zerocopy reuse --trace               each system call
 * Look for:  PITFALL below, twice.
 * Labs:      17-zero-copy.
 *
 * Where the bytes go, from the file in the page cache to the send queue of the socket:
 *
 *     rw        read(2), send(2)      page cache --copy--> our buffer --copy--> socket
 *     mmap      mmap(2), send(2)      page cache, mapped   --copy-------------> socket
 *     memory    send(2)               our memory           --copy-------------> socket
 *     sendfile  sendfile(2)           page cache   . . . . the pages themselves . . . . socket
 *     splice    splice(2), twice      page cache   . . . . by way of a pipe . . . . . . socket
 *     zerocopy  send(MSG_ZEROCOPY)    our memory   . . . . the pages themselves . . . . socket
 *
 * What is not copied is shared: as long as a page waits in a queue, whoever writes to it writes into the stream.
 * sendfile(2) and splice(2) never tell when that is over. MSG_ZEROCOPY does, on the socket's error queue (the kernel's
 * Documentation/networking/msg_zerocopy.rst), and there it also says whether it had to copy after all; on loopback it
 * always has, or the receiver would read the sender's memory.
 *
 * The "file" is a memfd of 8 MiB of prng.h's stream 1, sent from its beginning again and again: no disk is measured.
 *
 * The chapters: the source, the six ways, experiment reuse, options and main here; zerocopy/speed.c, one way measured;
 * zerocopy/report.c. In speed a second thread reads. */
#include "args.h"
#include "clock.h"
#include "diag.h"
#include "io.h"
#include "mem.h"
#include "prng.h"
#include "record.h"
#include "sig.h"

#include "zerocopy/zerocopy.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/errqueue.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

/* --- the source -------------------------------------------------------------------------------------------------- */

static int open_file(const struct zerocopy_options *o, const unsigned char *bytes, size_t len)
{
	int fd = memfd_create("zerocopy", MFD_CLOEXEC);
	if (fd < 0)
		stage_fail_errno(&o->stage, "memfd_create", "a file in memory");
	if (write(fd, bytes, len) != (ssize_t)len)
		stage_fail_errno(&o->stage, "write", "a file in memory");
	return fd;
}

static struct zerocopy_source open_source(const struct zerocopy_options *o, size_t len)
{
	struct zerocopy_source s = { .memory = xmalloc_pages(len), .len = len };
	prng_fill(SEED, 0, s.memory, len);
	s.fd = open_file(o, s.memory, len);
	s.mapped = mmap(NULL, len, PROT_READ, MAP_SHARED, s.fd, 0);
	if (s.mapped == MAP_FAILED)
		stage_fail_errno(&o->stage, "mmap", "a file in memory");
	return s;
}

static void close_source(struct zerocopy_source *s)
{
	munmap(s->mapped, s->len);
	close(s->fd);
	free(s->memory);
}

/* --- the six ways ------------------------------------------------------------------------------------------------ */

/* After a call that failed: is it to be made again? A blocked one returns every 50 ms (io_tick), so that a deadline or
 * a signal ends it. */
static bool again(const struct zerocopy_sending *s)
{
	return !(s->is_nonblocking && errno == EAGAIN) && !io_is_over(&s->until);
}

/* The plain way: the kernel copies, and the buffer is ours again. Bytes, or -1 with errno. */
static ssize_t send_copy(struct zerocopy_sending *s, const void *p, size_t len)
{
	ssize_t n;
	do {
		n = send(s->fd, p, len, MSG_NOSIGNAL);
		s->calls++;
		tracef("send(%d, %zu) = %zd", s->fd, len, n);
	} while (n < 0 && again(s));
	return n;
}

static ssize_t by_rw(struct zerocopy_sending *s, size_t at, size_t len)
{
	ssize_t n = pread(s->from->fd, s->buffer, len, (off_t)at);
	s->calls++;
	tracef("pread(%d, %zu) = %zd", s->from->fd, len, n);
	return n < 0 ? -1 : send_copy(s, s->buffer, (size_t)n);
}

static ssize_t by_mmap(struct zerocopy_sending *s, size_t at, size_t len)
{
	return send_copy(s, s->from->mapped + at, len);
}

static ssize_t by_memory(struct zerocopy_sending *s, size_t at, size_t len)
{
	return send_copy(s, s->from->memory + at, len);
}

static ssize_t by_sendfile(struct zerocopy_sending *s, size_t at, size_t len)
{
	off_t offset = (off_t)at;
	ssize_t n;
	do {
		n = sendfile(s->fd, s->from->fd, &offset, len);
		s->calls++;
		tracef("sendfile(%d, %d, %zu) = %zd", s->fd, s->from->fd, len, n);
	} while (n < 0 && again(s));
	return n;
}

/* What is in the pipe has to get out of it, or the next block would follow on the wrong one. */
static ssize_t by_splice(struct zerocopy_sending *s, size_t at, size_t len)
{
	off_t offset = (off_t)at;
	ssize_t in = splice(s->from->fd, &offset, s->pipe[1], NULL, len, SPLICE_F_NONBLOCK), out = 0;
	s->calls++;
	tracef("splice(%d, pipe, %zu) = %zd", s->from->fd, len, in);
	while (in > 0 && out < in) {
		ssize_t n = splice(s->pipe[0], NULL, s->fd, NULL, (size_t)(in - out), SPLICE_F_MOVE);
		s->calls++;
		tracef("splice(pipe, %d, %zd) = %zd", s->fd, in - out, n);
		if (n < 0 && !again(s))
			return out > 0 ? out : -1;
		out += n > 0 ? n : 0;
	}
	return in < 0 ? -1 : out;
}

/* One message of the error queue, if there is one: it tells about a range of sends (ip(7), IP_RECVERR). */
static bool take_completion(struct zerocopy_sending *s)
{
	union {
		char bytes[CMSG_SPACE(sizeof(struct sock_extended_err) + sizeof(struct sockaddr_in6))];
		struct cmsghdr aligned;
	} control;
	struct msghdr m = { .msg_control = &control, .msg_controllen = sizeof(control) };
	ssize_t n = recvmsg(s->fd, &m, MSG_ERRQUEUE | MSG_DONTWAIT);
	s->calls++;
	struct cmsghdr *c = n < 0 ? NULL : CMSG_FIRSTHDR(&m);
	if (c == NULL)
		return false;
	struct sock_extended_err e;
	memcpy(&e, CMSG_DATA(c), sizeof(e));
	if (e.ee_origin != SO_EE_ORIGIN_ZEROCOPY)
		return true;
	uint64_t sends = e.ee_data - e.ee_info + UINT64_C(1);
	s->completions += sends;
	s->copied += e.ee_code & SO_EE_CODE_ZEROCOPY_COPIED ? sends : 0;
	tracef("recvmsg(%d, MSG_ERRQUEUE): sends %u to %u are done%s", s->fd, e.ee_info, e.ee_data,
	       e.ee_code & SO_EE_CODE_ZEROCOPY_COPIED ? ", copied" : "");
	return true;
}

/* Until all but so many sends are done. 0, or -1 with errno: ETIMEDOUT when the peer reads nothing. */
int zerocopy_await(struct zerocopy_sending *s, uint64_t outstanding)
{
	while (s->zerocopy_sends - s->completions > outstanding) {
		if (take_completion(s))
			continue;
		s->calls++;
		/* The error queue makes it readable as an error, which poll(2) tells unasked. */
		if (sig_wait_fd(s->fd, 0, s->o->stage.timeout_ns) < 0)
			return -1;
	}
	return 0;
}

static ssize_t by_zerocopy(struct zerocopy_sending *s, size_t at, size_t len)
{
	if (zerocopy_await(s, OUTSTANDING_MAX) < 0)
		return -1;
	for (;;) {
		ssize_t n = send(s->fd, s->from->memory + at, len, MSG_ZEROCOPY | MSG_NOSIGNAL);
		s->calls++;
		tracef("send(%d, %zu, MSG_ZEROCOPY) = %zd", s->fd, len, n);
		if (n >= 0) {
			s->zerocopy_sends++;
			return n;
		}
		/* Pages in flight are locked memory, and that is limited for ordinary users (RLIMIT_MEMLOCK): wait for
		 * completions, and if there are none to wait for, copy. */
		if (errno == ENOBUFS && s->zerocopy_sends == s->completions) {
			s->plain_sends++;
			return send_copy(s, s->from->memory + at, len);
		}
		if (errno == ENOBUFS ? zerocopy_await(s, 0) < 0 : !again(s))
			return -1;
	}
}

const struct zerocopy_method zerocopy_methods[WAYS] = {
	[RW] = { "rw", false, by_rw },
	[MMAP] = { "mmap", false, by_mmap },
	[MEMORY] = { "memory", false, by_memory },
	[SENDFILE] = { "sendfile", true, by_sendfile },
	[SPLICE] = { "splice", true, by_splice },
	[ZEROCOPY] = { "zerocopy", true, by_zerocopy },
};

void zerocopy_begin(struct zerocopy_sending *s, const struct zerocopy_options *o, const struct zerocopy_source *from,
		    int way, int fd)
{
	int on = 1;
	*s = (struct zerocopy_sending){
		.o = o, .from = from, .fd = fd, .buffer = xmalloc_pages(BLOCK_MAX), .pipe = { -1, -1 }
	};
	s->until = (struct io_until){ .deadline_ns = CLK_NEVER, .cancel = sig_flag() };
	if (way == ZEROCOPY && setsockopt(fd, SOL_SOCKET, SO_ZEROCOPY, &on, sizeof(on)) < 0)
		stage_fail_errno(&o->stage, "setsockopt", "SO_ZEROCOPY");
	if (way == SPLICE && pipe2(s->pipe, O_CLOEXEC) < 0)
		stage_fail_errno(&o->stage, "pipe2", "a pipe to splice by");
	if (way == SPLICE)
		fcntl(s->pipe[1], F_SETPIPE_SZ, BLOCK_MAX); /* as large as we may; else smaller pieces */
}

void zerocopy_end(struct zerocopy_sending *s)
{
	free(s->buffer);
	for (int i = 0; i < 2; i++) {
		if (s->pipe[i] >= 0)
			close(s->pipe[i]);
	}
}

/* --- experiment reuse -------------------------------------------------------------------------------------------- */

/* Both ends in this thread: nothing is read before we say so. The buffer of the receiver is smaller than what is
 * sent. */
static void open_quiet_pair(const struct zerocopy_options *o, int fds[static 2])
{
	struct sock_options server = { .receive_buffer = 64 * 1024 }, client = { .send_buffer = 2 * REUSE_LEN };
	struct net_error e = { 0 };
	if (stage_pair(stage_family(&o->stage), &server, &client, fds, &e) < 0)
		stage_fail(&o->stage, &e);
	if (fcntl(fds[1], F_SETFL, O_NONBLOCK) < 0)
		stage_fail_errno(&o->stage, "fcntl", "O_NONBLOCK");
}

/* The new contents: each byte is another one than it was. */
static void put_other_bytes(const struct zerocopy_options *o, int fd, unsigned char *memory, const unsigned char *old,
			    size_t len)
{
	unsigned char *other = xmalloc(len);
	for (size_t i = 0; i < len; i++)
		other[i] = (unsigned char)~old[i];
	if (memory != NULL)
		memcpy(memory, other, len);
	else if (pwrite(fd, other, len, 0) != (ssize_t)len)
		stage_fail_errno(&o->stage, "pwrite", "the file");
	tracef(memory != NULL ? "the buffer is used again" : "pwrite(%d, %zu): the file has changed", fd, len);
	free(other);
}

/* The program goes on, and writes other bytes where the sent ones were. */
static void use_again(const struct zerocopy_options *o, struct zerocopy_source *from, int way, const unsigned char *old,
		      size_t len)
{
	bool is_memory = way == MEMORY || way == ZEROCOPY;
	/* PITFALL: "the call has returned, so my bytes are sent, and what I do with them now is my own business." For
	 * send(2) that is so: it has copied. sendfile(2) and splice(2) have put the pages of the file into the queue,
	 * and whoever changes the file now changes what is on its way. They never tell when that is over, not even by
	 * an acknowledgement: so a file that is sent is not changed in place. The fix is a new one, which takes the
	 * name of the old one by rename(2). */
	if (o->fixed && zerocopy_methods[way].is_shared && !is_memory) {
		close(from->fd);
		from->fd = open_file(o, from->memory, from->len);
	}
	put_other_bytes(o, from->fd, is_memory ? from->memory : NULL, old, len);
}

/* What has come by now, behind what came before. */
static void receive(struct zerocopy_reuse *r, int fd, unsigned char *into)
{
	ssize_t n = recv(fd, into + r->arrived, REUSE_LEN - r->arrived, MSG_DONTWAIT);
	r->arrived += n > 0 ? (uint64_t)n : 0;
}

/* The receiver reads on, and the error queue tells when the kernel needs our pages no more. */
static void read_until_complete(const struct zerocopy_options *o, struct zerocopy_reuse *r, int fd, unsigned char *into)
{
	uint64_t deadline_ns = clk_mono_ns() + o->stage.timeout_ns;
	while (r->sent.completions < r->sent.zerocopy_sends && clk_mono_ns() < deadline_ns && sig_pending(NULL) == 0) {
		receive(r, fd, into);
		if (!take_completion(&r->sent) && sig_wait_fd(r->sent.fd, 0, NS_PER_MS) < 0 && errno == ECANCELED)
			return;
	}
}

static void read_the_rest(const struct zerocopy_options *o, struct zerocopy_reuse *r, int fd, unsigned char *into)
{
	while (r->arrived < r->handed && sig_wait_fd(fd, POLLIN, o->stage.timeout_ns) == 0)
		receive(r, fd, into);
}

static struct zerocopy_reuse run_reuse(const struct zerocopy_options *o, int way)
{
	struct zerocopy_reuse r = { 0 };
	struct zerocopy_source from = open_source(o, REUSE_LEN);
	unsigned char *old = xmalloc(REUSE_LEN), *into = xcalloc(1, REUSE_LEN);
	int fds[2];
	memcpy(old, from.memory, REUSE_LEN);
	open_quiet_pair(o, fds);
	zerocopy_begin(&r.sent, o, &from, way, fds[1]);
	r.sent.is_nonblocking = true;

	ssize_t n = zerocopy_methods[way].move(&r.sent, 0, REUSE_LEN);
	if (n <= 0)
		stage_fail_errno(&o->stage, "send", zerocopy_methods[way].name);
	r.handed = (uint64_t)n;
	/* PITFALL: the same with MSG_ZEROCOPY, and that one does tell. The fix is to wait until it has. */
	if (o->fixed)
		read_until_complete(o, &r, fds[0], into);
	use_again(o, &from, way, old, (size_t)n);
	read_the_rest(o, &r, fds[0], into);
	if (r.arrived == r.handed)
		read_until_complete(o, &r, fds[0], into);
	for (size_t i = 0; i < r.arrived; i++)
		r.altered += into[i] != old[i];
	r.is_copy = r.sent.plain_sends > 0;

	zerocopy_end(&r.sent);
	close(fds[0]);
	close(fds[1]);
	close_source(&from);
	free(old);
	free(into);
	return r;
}

/* --- options and main -------------------------------------------------------------------------------------------- */

static bool is_wanted(const struct zerocopy_options *o, int way)
{
	return (o->way < 0 || o->way == way) && sig_pending(NULL) == 0;
}

static uint64_t cpu_ns(const struct zerocopy_row *r)
{
	return r->user_ns + r->sys_ns;
}

static void take_best(struct zerocopy_row *best, const struct zerocopy_row *r)
{
	uint64_t elapsed_ns = best->elapsed_ns == 0 || r->elapsed_ns < best->elapsed_ns ? r->elapsed_ns
											: best->elapsed_ns;
	if (best->elapsed_ns == 0 || cpu_ns(r) < cpu_ns(best))
		*best = *r;
	best->elapsed_ns = elapsed_ns;
}

/* Did every byte arrive, and the right one? */
static bool is_complete(const struct zerocopy_options *o, const struct zerocopy_row *r)
{
	return r->error == 0 && r->sent.bytes == o->bytes && (!r->has_reader || r->received == o->bytes) &&
	       (!r->has_reader || !o->verify || r->right == o->bytes);
}

/* Every way, and then every way again, so that what else goes on here meets all of them. */
static bool measure_speed(const struct zerocopy_options *o, unsigned *ways)
{
	struct zerocopy_source from = open_source(o, FILE_LEN);
	struct zerocopy_row best[WAYS] = { 0 };
	bool as_promised = true;
	for (uint64_t run = 0; run < o->rounds * WAYS && as_promised; run++) {
		int way = (int)(run % WAYS);
		if (!is_wanted(o, way))
			continue;
		struct zerocopy_row r = zerocopy_run_way(o, &from, way);
		as_promised = is_complete(o, &r);
		if (as_promised)
			take_best(&best[way], &r);
		else
			best[way] = r;
	}
	for (int way = 0; way < WAYS; way++) {
		*ways += best[way].elapsed_ns != 0;
		if (best[way].elapsed_ns != 0)
			zerocopy_report_row(o, way, &best[way]);
	}
	close_source(&from);
	return as_promised;
}

/* Promised: what is copied arrives as it was; what is shared arrives changed, unless --fixed. */
static bool measure_reuse(const struct zerocopy_options *o, unsigned *ways)
{
	bool as_promised = true;
	for (int way = 0; way < WAYS; way++) {
		if (!is_wanted(o, way))
			continue;
		struct zerocopy_reuse r = run_reuse(o, way);
		bool is_shared = zerocopy_methods[way].is_shared && !o->fixed && !r.is_copy;
		as_promised = as_promised && r.arrived == r.handed && (r.altered > 0) == is_shared;
		zerocopy_report_reuse(o, way, &r);
		*ways += 1;
	}
	return as_promised;
}

static const char *const synopsis[] = {
	"speed [--way WAY] [--bytes SIZE] [--to HOST [-p PORT]] [options]",
	"reuse [--way WAY] [--fixed] [options]",
	NULL,
};

static const char *const about[] = {
	"zerocopy sends a file in six ways: read and send, a mapping and send, send from memory, sendfile(2), "
	"splice(2), and "
	"send with MSG_ZEROCOPY. speed: what each of them costs. reuse: the call has returned, and the program changes "
	"the bytes that it has sent; what arrives?",
	"reuse as it is first changes them at once: those that were not copied arrive changed. With --fixed it waits "
	"for the "
	"completion that MSG_ZEROCOPY promises, and writes a new file instead of changing one that is on its way.",
	"Both ends are on loopback in this process, unless --to names a host with a server that reads and discards. "
	"The file is in "
	"memory, and small: no disk is measured.",
	NULL,
};

static const struct arg_example examples[] = {
	{ "zerocopy speed", "all ways beside each other" },
	{ "zerocopy speed --rounds 5 --congestion reno", "the best of five, without the pacing of bbr" },
	{ "zerocopy speed --way zerocopy --json", "completions, and how many of them say: copied" },
	{ "zerocopy speed --verify", "the reader looks at every byte; its time is no measure then" },
	{ "zerocopy reuse", "whose bytes are they?" },
	{ "zerocopy reuse --fixed", "the right way for each" },
	{ 0 },
};

static const struct arg_example statuses[] = {
	{ "3", "not every byte arrived; or reuse did not show the mistake, or did with --fixed" },
	{ 0 },
};

static struct zerocopy_options parse_options(int argc, char **argv)
{
	static const char *const experiments[] = { "speed", "reuse" };
	static const char *const ways[] = { "rw", "mmap", "memory", "sendfile", "splice", "zerocopy", NULL };
	struct zerocopy_options o = {
		.stage = { .port = DISCARD_PORT, STAGE_DEFAULTS },
		.way = -1,
		.bytes = 128 * 1024 * 1024,
		.block = 256 * 1024,
		.rounds = 1,
	};
	/* clang-format off */
	const struct arg rows[] = {
		{ '\0', "way", ARG_CHOICE, &o.way, .value_name = "WAY", .help = "only this one", .choices = ways },
		{ '\0', "fixed", ARG_FLAG, &o.fixed, .help = "reuse: without the mistake" },
		{ .help = "speed:" },
		{ '\0', "bytes", ARG_SIZE, &o.bytes, 1, UINT64_C(1) << 40, "SIZE", "send so much, each way" },
		{ '\0', "block", ARG_SIZE, &o.block, 1, BLOCK_MAX, "SIZE", "with each call, at most" },
		{ '\0', "rounds", ARG_COUNT, &o.rounds, 1, 1000, "COUNT", "so often; the least time and the least processor time count" },
		{ '\0', "verify", ARG_FLAG, &o.verify, .help = "the reader compares every byte" },
		{ '\0', "congestion", ARG_STR, &o.congestion, .value_name = "NAME", .help = "congestion control, for example reno" },
		{ '\0', "to", ARG_STR, &o.stage.host, .value_name = "HOST", .help = "to a server that discards, instead of a reader of our own" },
		{ 'p', "port", ARG_PORT, &o.stage.port, .value_name = "PORT", .help = "that server's port" },
		{ .help = "Both:" },
		STAGE_COMMON_ROWS(o.stage),
		{ 0 },
	};
	/* clang-format on */
	const struct arg_spec spec = {
		.tool = "zerocopy",
		.one_line = "shows what it costs to send a file in six ways, and whose its bytes are then",
		.synopsis = synopsis,
		.about = about,
		.args = rows,
		.examples = examples,
		.exit_statuses = statuses,
		.see_also =
			"tcplab(1), sendfile(2), splice(2), send(2). Each figure explained: docs/tools/zerocopy.md.",
	};
	o.experiment = *STAGE_CHOOSE(argv + args_parse(&spec, argc, argv), experiments);
	return o;
}

static void check_options(const struct zerocopy_options *o)
{
	bool is_speed = strcmp(o->experiment, "speed") == 0;
	if (is_speed && o->fixed)
		args_misuse("--fixed is for reuse: in speed there is no mistake");
	if (!is_speed && (o->stage.host != NULL || o->verify || o->congestion != NULL || o->rounds != 1))
		args_misuse("--to, --verify, --congestion and --rounds are for speed");
	stage_check_family(&o->stage);
	if (o->stage.host != NULL && (o->verify || o->stage.port == 0))
		args_misuse(o->verify ? "--verify needs a reader of our own, without --to" : "--port 0 is no server");
}

int main(int argc, char **argv)
{
	diag_tool = "zerocopy";
	setvbuf(stdout, NULL, _IOLBF, 0);
	struct zerocopy_options o = parse_options(argc, argv);
	unsigned ways = 0;
	check_options(&o);
	sig_open();

	zerocopy_report_start(&o);
	bool as_promised = strcmp(o.experiment, "speed") == 0 ? measure_speed(&o, &ways) : measure_reuse(&o, &ways);
	zerocopy_report_total(&o, ways, as_promised);
	return record_finish(sig_exit_status(as_promised ? 0 : 3));
}
