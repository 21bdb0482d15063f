/* relay-ends.c - the two ends for scripts/bench/relay and scripts/bench/socks: a server, and clients that reach it
 * through what is measured.
 *
 *     relay-ends serve [BLOCK [RCVBUF]]          a free port of 127.0.0.1; serves until it is killed
 *     relay-ends bulk PORT FLOWS SECONDS BLOCK   sends as fast as it goes: "bytes ns"
 *     relay-ends short PORT CLIENTS SECONDS      connect, ask, answer, FIN, FIN, again: "connections ns p50 p99 failed"
 *     relay-ends begin PORT CLIENTS SECONDS      the same, but p50 and p99 are of the time until the question can go
 *     relay-ends ask PORT CONNS SECONDS          question and answer on kept connections: "answers ns p50 p99"
 *     relay-ends hold PORT CONNS                 idle ones that were used once: "holding N", until the end of its input
 *     relay-ends cpu PID...                      nanoseconds on a processor, all threads, those that have ended, too
 *
 * PORT is the relay's, and the relay knows where the server is; or it is 5:PORT:SERVER (4:...), and a SOCKS server of
 * that version is there, which every connection has to tell the server's port.
 *
 * A connection begins with a question of 64 bytes, the first of which says what for; the server answers with the same
 * bytes. After `short` it closes. Then, for `bulk`, the client sends units of 64 KiB until the first byte of one is
 * LAST; when the whole of that has come, the server says how many bytes it got. So the time counts until the last byte
 * has arrived, and no relay needs to know of a half-close. The question may also be an HTTP client's, "GET /N": N bytes
 * come. Everything is one thread and one epoll set. */
#include "clock.h"
#include "diag.h"
#include "hist.h"
#include "mem.h"
#include "os.h"
#include "sock.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { QUESTION = 64, HEAD = 4096, UNIT = 64 * 1024, MOST = 1024 * 1024, EVENTS = 64, LAST = 1 };
enum { BULK = 'b', SHORT = 's', ASK = 'a', GET = 'G' };

struct conn {
	int fd;
	unsigned char kind;
	uint64_t bytes;    /* server: of units, so far; client: of its answer */
	uint64_t ends_at;  /* bulk: there is a unit with LAST in it, and this is where it ends */
	size_t left;       /* bulk, client: of the block that is being sent; GET: of all */
	bool is_last;      /* bulk, client: and it is the last */
	uint64_t begin_ns; /* short: connect; ask: question */
	uint64_t asked_ns; /* short: the question goes */
	unsigned step;     /* short: what is to be said, or was said */
	bool is_said;
};

/* What a client says, and how much it then hears: from a SOCKS server, if there is one, and at last the question. A
 * SOCKS server says in its second byte whether it agrees. */
struct words {
	unsigned char say[QUESTION];
	size_t say_len, hear_len;
	unsigned char agreed;
};
static struct words words[3];
static unsigned n_words; /* without the question, which is words[n_words] */

static unsigned char *buffer, *last_unit; /* MOST bytes that are read into, or zeroes; and a unit with LAST in it */
static int epoll_fd;
static struct addr target;
static const struct sock_options nodelay = { .nodelay = true };

static _Noreturn void fail(const struct net_error *e)
{
	char text[NET_ERROR_TEXT];
	die("%s", net_error_text(e, text));
}

static void watch(int op, struct conn *c, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = c };
	if (epoll_ctl(epoll_fd, op, c->fd, &event) < 0)
		die_errno("epoll_ctl");
}

/* --- server ------------------------------------------------------------------------------------------------------ */

static void drop(struct conn *c)
{
	close(c->fd);
	free(c);
}

static void put(struct conn *c, size_t block)
{
	ssize_t n = send(c->fd, buffer, c->left < block ? c->left : block, MSG_NOSIGNAL);
	if (n < 0 && errno == EAGAIN)
		return;
	c->left -= n > 0 ? (size_t)n : 0;
	if (n < 0 || c->left == 0)
		drop(c);
}

/* LIMIT: the head has to come in one piece. */
static void begin_put(struct conn *c, const unsigned char *head, size_t n)
{
	char text[HEAD + 1];
	memcpy(text, head, n);
	text[n] = '\0';
	c->kind = GET;
	c->left = strncmp(text, "GET /", 5) == 0 ? strtoull(text + 5, NULL, 10) : 0;
	int len = snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n",
			   c->left);
	if (c->left == 0 || send(c->fd, text, (size_t)len, MSG_NOSIGNAL) != len)
		drop(c);
	else
		watch(EPOLL_CTL_MOD, c, EPOLLOUT);
}

/* A short message into an empty send buffer: it is taken whole, or the connection is over. */
static void answer(struct conn *c, const void *p, size_t n)
{
	if (send(c->fd, p, n, MSG_NOSIGNAL) != (ssize_t)n || c->kind == SHORT)
		drop(c);
}

static void count_units(struct conn *c, size_t n)
{
	for (uint64_t at = (c->bytes + UNIT - 1) / UNIT * UNIT; at < c->bytes + n; at += UNIT)
		if (buffer[at - c->bytes] == LAST)
			c->ends_at = at + UNIT;
	c->bytes += n;
	if (c->bytes == c->ends_at)
		answer(c, &c->bytes, sizeof(c->bytes));
}

static void serve_one(struct conn *c, size_t block)
{
	if (c->kind == GET) {
		put(c, block);
		return;
	}
	ssize_t n = recv(c->fd, buffer, c->kind == BULK ? block : HEAD, 0);
	if (n <= 0) {
		if (n == 0 || errno != EAGAIN)
			drop(c);
		return;
	}
	if (c->kind == BULK) {
		count_units(c, (size_t)n);
		return;
	}
	if (c->kind == 0)
		c->kind = buffer[0];
	if (c->kind == GET)
		begin_put(c, buffer, (size_t)n);
	else
		answer(c, buffer, (size_t)n); /* a question in pieces is answered in pieces */
}

static void accept_all(int listen_fd)
{
	for (int fd; (fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
		struct conn *c = xcalloc(1, sizeof(*c));
		c->fd = fd;
		watch(EPOLL_CTL_ADD, c, EPOLLIN);
	}
}

static _Noreturn void serve(size_t block, uint64_t receive_buffer)
{
	struct sock_options o = { .nodelay = true, .receive_buffer = receive_buffer };
	struct epoll_event event[EVENTS];
	struct conn listener = { 0 };
	struct net_error e;
	struct addr bound;
	char where[ADDR_TEXT];
	listener.fd = sock_serve("127.0.0.1", 0, AF_INET, &o, &bound, &e);
	if (listener.fd < 0)
		fail(&e);
	if (fcntl(listener.fd, F_SETFL, O_NONBLOCK) < 0)
		die_errno("fcntl");
	watch(EPOLL_CTL_ADD, &listener, EPOLLIN);
	warnf("listening on %s", addr_text(&bound, where));
	for (;;) {
		int n = epoll_wait(epoll_fd, event, EVENTS, -1);
		for (int i = 0; i < n; i++) {
			struct conn *c = event[i].data.ptr;
			if (c == &listener)
				accept_all(listener.fd);
			else
				serve_one(c, block);
		}
	}
}

/* --- clients ----------------------------------------------------------------------------------------------------- */

/* The words for a SOCKS server of this version, which is to connect with that port of 127.0.0.1 (RFC 1928 3, 4, 6;
 * SOCKS 4 has the port in front, and a user id, which is empty here). */
static void speak_socks(int version, uint16_t port)
{
	unsigned char high = (unsigned char)(port >> 8), low = (unsigned char)port;
	if (version == 5) {
		words[n_words++] = (struct words){ { 5, 1, 0 }, 3, 2, 0 };
		words[n_words++] = (struct words){ { 5, 1, 0, 1, 127, 0, 0, 1, high, low }, 10, 10, 0 };
	} else {
		words[n_words++] = (struct words){ { 4, 1, high, low, 127, 0, 0, 1, 0 }, 9, 8, 0x5a };
	}
}

static void set_question(unsigned char kind)
{
	words[n_words] = (struct words){ { kind }, QUESTION, QUESTION, 0 };
}

/* Connected, and the first question answered; non-blocking from now on. */
static struct conn *open_one(void)
{
	struct io_until until = { .deadline_ns = clk_mono_ns() + UINT64_C(10) * NS_PER_S };
	struct conn *c = xcalloc(1, sizeof(*c));
	unsigned char heard[QUESTION];
	struct net_error e;
	c->fd = sock_connect(&target, 1, NULL, &nodelay, &until, &e);
	if (c->fd < 0)
		fail(&e);
	if (io_tick(c->fd) < 0)
		die_errno("io_tick");
	for (const struct words *w = words; w <= &words[n_words]; w++) {
		if (io_write_full(c->fd, w->say, w->say_len, &until) < 0 ||
		    io_read_full(c->fd, heard, w->hear_len, &until) != 1)
			die_errno("the first question");
		if (heard[1] != w->agreed)
			die("the SOCKS server refuses: %d", heard[1]);
	}
	if (fcntl(c->fd, F_SETFL, O_NONBLOCK) < 0)
		die_errno("fcntl");
	return c;
}

/* True as soon as the block is sent. */
static bool send_block(struct conn *c, size_t block)
{
	const unsigned char *end = c->is_last ? last_unit + UNIT : buffer + block;
	ssize_t n = send(c->fd, end - c->left, c->left, 0);
	if (n < 0 && errno != EAGAIN)
		die_errno("send");
	c->left -= n > 0 ? (size_t)n : 0;
	return c->left == 0;
}

static void feed(struct conn *c, size_t block, uint64_t until_ns)
{
	if (c->left > 0 && !send_block(c, block))
		return;
	if (c->is_last) {
		watch(EPOLL_CTL_MOD, c, EPOLLIN);
		return;
	}
	c->is_last = clk_mono_ns() >= until_ns;
	c->left = c->is_last ? UNIT : block;
}

static void run_bulk(unsigned flows, uint64_t for_ns, size_t block)
{
	struct epoll_event event[EVENTS];
	for (unsigned i = 0; i < flows; i++)
		watch(EPOLL_CTL_ADD, open_one(), EPOLLOUT);
	uint64_t begin_ns = clk_mono_ns(), sum = 0, bytes;
	while (flows > 0) {
		int n = epoll_wait(epoll_fd, event, EVENTS, -1);
		for (int i = 0; i < n; i++) {
			struct conn *c = event[i].data.ptr;
			if (event[i].events != EPOLLIN) {
				feed(c, block, begin_ns + for_ns);
				continue;
			}
			if (recv(c->fd, &bytes, sizeof(bytes), 0) != sizeof(bytes))
				die_errno("no word of how much has arrived");
			sum += bytes;
			flows--;
			drop(c);
		}
	}
	printf("%" PRIu64 " %" PRIu64 "\n", sum, clk_mono_ns() - begin_ns);
}

static struct hist took;

static void report(uint64_t elapsed_ns, uint64_t failed)
{
	printf("%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", took.n, elapsed_ns,
	       hist_quantile(&took, 0.5), hist_quantile(&took, 0.99), failed);
}

/* False: it would have to wait. */
static bool say(struct conn *c)
{
	const struct words *w = &words[c->step];
	if (c->step == n_words)
		c->asked_ns = clk_mono_ns();
	c->bytes = 0;
	c->is_said = send(c->fd, w->say, w->say_len, MSG_NOSIGNAL) == (ssize_t)w->say_len;
	return c->is_said;
}

/* A new connection; the first words go at once when the connection stands already, as it does on the loopback. */
static void begin_short(struct conn *c)
{
	struct net_error e;
	*c = (struct conn){ .begin_ns = clk_mono_ns() };
	c->fd = sock_connect_begin(&target, NULL, &nodelay, &e);
	if (c->fd < 0)
		fail(&e);
	watch(EPOLL_CTL_ADD, c, say(c) ? EPOLLIN : EPOLLOUT);
}

/* Each event is one step. True when the connection has ended, well or not. */
static bool go_on_short(struct conn *c, bool *well)
{
	*well = false;
	if (!c->is_said) {
		if (say(c))
			watch(EPOLL_CTL_MOD, c, EPOLLIN);
		return !c->is_said;
	}
	ssize_t n = recv(c->fd, buffer, QUESTION, 0);
	*well = n == 0 && c->step > n_words;
	if (n <= 0)
		return true;
	if (c->step > n_words)
		return true; /* nothing may come behind the answer */
	c->bytes += (uint64_t)n;
	if (c->bytes < words[c->step].hear_len)
		return false;
	if (c->bytes == (uint64_t)n && buffer[1] != words[c->step].agreed)
		return true;
	return c->step++ < n_words && !say(c);
}

static void run_short(unsigned clients, uint64_t for_ns, bool only_begin)
{
	struct epoll_event event[EVENTS];
	struct conn *all = xcalloc(clients, sizeof(*all));
	uint64_t begin_ns = clk_mono_ns(), now_ns = begin_ns, failed = 0;
	for (unsigned i = 0; i < clients; i++)
		begin_short(&all[i]);
	while (now_ns - begin_ns < for_ns) {
		int n = epoll_wait(epoll_fd, event, EVENTS, 1000);
		now_ns = clk_mono_ns();
		for (int i = 0; i < n; i++) {
			struct conn *c = event[i].data.ptr;
			bool well;
			if (!go_on_short(c, &well))
				continue;
			close(c->fd);
			if (well)
				hist_add(&took, (only_begin ? c->asked_ns : now_ns) - c->begin_ns);
			failed += !well;
			begin_short(c);
		}
	}
	report(now_ns - begin_ns, failed);
}

static void ask(struct conn *c)
{
	static const unsigned char question[QUESTION] = { ASK };
	c->bytes = 0;
	c->begin_ns = clk_mono_ns();
	if (send(c->fd, question, QUESTION, 0) != QUESTION)
		die_errno("send");
}

static void run_ask(unsigned conns, uint64_t for_ns)
{
	struct epoll_event event[EVENTS];
	struct conn **all = xcalloc(conns, sizeof(*all));
	for (unsigned i = 0; i < conns; i++) {
		all[i] = open_one();
		watch(EPOLL_CTL_ADD, all[i], EPOLLIN);
	}
	uint64_t begin_ns = clk_mono_ns(), now_ns = begin_ns;
	for (unsigned i = 0; i < conns; i++)
		ask(all[i]);
	while (now_ns - begin_ns < for_ns) {
		int n = epoll_wait(epoll_fd, event, EVENTS, -1);
		for (int i = 0; i < n; i++) {
			struct conn *c = event[i].data.ptr;
			ssize_t got = recv(c->fd, buffer, QUESTION - c->bytes, 0);
			if (got <= 0)
				die_errno("recv");
			c->bytes += (uint64_t)got;
			if (c->bytes < QUESTION)
				continue;
			now_ns = clk_mono_ns();
			hist_add(&took, now_ns - c->begin_ns);
			ask(c);
		}
	}
	report(now_ns - begin_ns, 0);
}

static void hold(unsigned conns)
{
	for (unsigned i = 0; i < conns; i++)
		open_one();
	printf("holding %u\n", conns);
	fflush(stdout);
	for (char c; read(STDIN_FILENO, &c, 1) > 0;)
		;
}

/* clock_getcpuclockid(3): unlike /proc/PID/task, it knows of threads that have ended. Of a process that is gone it
 * knows nothing. */
static void print_cpu(int n, char **pid)
{
	uint64_t sum = 0;
	for (int i = 0; i < n; i++) {
		clockid_t clock;
		struct timespec t;
		if (clock_getcpuclockid((pid_t)atoi(pid[i]), &clock) == 0 && clock_gettime(clock, &t) == 0)
			sum += (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
	}
	printf("%" PRIu64 "\n", sum);
}

/* PORT, 4:PORT:SERVER or 5:PORT:SERVER. */
static void read_target(const char *text)
{
	unsigned version = 0, port, server = 0;
	struct net_error e;
	if (sscanf(text, "%u:%u:%u", &version, &port, &server) != 3)
		port = (unsigned)strtoul(text, NULL, 10);
	else
		speak_socks((int)version, (uint16_t)server);
	if (addr_resolve("127.0.0.1", (uint16_t)port, AF_INET, &target, 1, &e) < 0)
		fail(&e);
}

int main(int argc, char **argv)
{
	diag_tool = "relay-ends";
	const char *what = argc > 1 ? argv[1] : "";
	unsigned long value[4] = { 0 };
	for (int i = 2; i < argc && i < 6; i++)
		value[i - 2] = strtoul(argv[i], NULL, 10);
	uint64_t for_ns = argc > 4 ? (uint64_t)(atof(argv[4]) * NS_PER_S) : 0;
	if (strcmp(what, "cpu") == 0) {
		print_cpu(argc - 2, argv + 2);
		return 0;
	}
	if ((epoll_fd = epoll_create1(EPOLL_CLOEXEC)) < 0)
		die_errno("epoll_create1");
	os_raise_fd_limit();
	buffer = xmalloc_pages(MOST);
	memset(buffer, 0, MOST);
	last_unit = xmalloc_pages(UNIT);
	memset(last_unit, 0, UNIT);
	last_unit[0] = LAST;
	if (strcmp(what, "serve") == 0)
		serve(argc > 2 ? value[0] : UNIT, value[1]);
	if (argc < 4)
		die("usage: see the head of relay-ends.c");
	read_target(argv[2]);
	bool only_begin = strcmp(what, "begin") == 0;
	set_question(only_begin || strcmp(what, "short") == 0 ? SHORT : strcmp(what, "bulk") == 0 ? BULK : ASK);
	if (strcmp(what, "bulk") == 0 && argc == 6 && value[3] % UNIT == 0 && value[3] > 0 && value[3] <= MOST)
		run_bulk((unsigned)value[1], for_ns, value[3]);
	else if ((only_begin || strcmp(what, "short") == 0) && argc == 5)
		run_short((unsigned)value[1], for_ns, only_begin);
	else if (strcmp(what, "ask") == 0 && argc == 5)
		run_ask((unsigned)value[1], for_ns);
	else if (strcmp(what, "hold") == 0 && argc == 4)
		hold((unsigned)value[1]);
	else
		die("usage: see the head of relay-ends.c");
	return 0;
}
