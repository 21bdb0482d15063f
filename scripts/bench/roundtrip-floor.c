/* roundtrip-floor.c - the floor for scripts/bench/roundtrip: a question, its answer, the next question, and nothing around them.
 * One clock reading for each round trip; no number, no check, nothing that survives a loss (then it is the alarm that ends it).
 *
 *     roundtrip-floor -s [--tcp] [--busy-poll]              a free port of 127.0.0.1; serves until it is killed
 *     roundtrip-floor PORT LEN SECONDS [--tcp] [--busy-poll]
 *
 * --busy-poll: spins in recv(2) instead of sleeping there. The toolkit's sockets, clock and histogram are around the loop, so that
 * all percentiles are cut alike; the client's report has the names that roundtrip's has. */
#include "clock.h"
#include "diag.h"
#include "hist.h"
#include "sock.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST = 65536 };

static unsigned char bytes[MOST];
static int recv_flags; /* MSG_DONTWAIT: spin */
static const struct sock_options nodelay = { .nodelay = true };

static _Noreturn void fail(const struct net_error *e)
{
	char text[NET_ERROR_TEXT];
	die("%s", net_error_text(e, text));
}

static void announce(const struct addr *bound)
{
	char text[ADDR_TEXT];
	warnf("listening on %s", addr_text(bound, text));
}

/* The socket is not connected: this is what it costs a server to answer anybody. */
static _Noreturn void serve_udp(void)
{
	struct net_error e;
	struct addr bound;
	int fd = sock_serve_udp("127.0.0.1", 0, AF_INET, &bound, &e);
	if (fd < 0)
		fail(&e);
	announce(&bound);
	for (;;) {
		struct sockaddr_in from;
		socklen_t len = sizeof(from);
		ssize_t n = recvfrom(fd, bytes, sizeof(bytes), recv_flags, (struct sockaddr *)&from, &len);
		if (n >= 0)
			(void)sendto(fd, bytes, (size_t)n, 0, (struct sockaddr *)&from, len);
		else if (errno != EAGAIN)
			die_errno("recvfrom");
	}
}

static void echo(int fd)
{
	for (;;) {
		ssize_t n = recv(fd, bytes, sizeof(bytes), recv_flags);
		if (n == 0 || (n < 0 && errno != EAGAIN))
			break;
		if (n > 0 && send(fd, bytes, (size_t)n, MSG_NOSIGNAL) != n)
			break;
	}
	close(fd);
}

static _Noreturn void serve_tcp(void)
{
	struct net_error e;
	struct addr bound;
	int listener = sock_serve("127.0.0.1", 0, AF_INET, &nodelay, &bound, &e);
	if (listener < 0)
		fail(&e);
	announce(&bound);
	for (;;) {
		int fd = accept(listener, NULL, NULL); /* it inherits TCP_NODELAY */
		if (fd < 0)
			die_errno("accept");
		echo(fd);
	}
}

static int open_client(uint16_t port, bool tcp)
{
	struct net_error e;
	struct addr to;
	struct io_until until = { .deadline_ns = clk_mono_ns() + UINT64_C(5) * NS_PER_S };
	if (addr_resolve("127.0.0.1", port, AF_INET, &to, 1, &e) < 0)
		fail(&e);
	int fd = tcp ? sock_connect(&to, 1, NULL, &nodelay, &until, &e) : sock_connect_udp(&to, 1, NULL, &e);
	if (fd < 0)
		fail(&e);
	return fd;
}

/* A whole answer: on TCP it may come in pieces. */
static void await(int fd, size_t len)
{
	for (size_t have = 0; have < len;) {
		ssize_t n = recv(fd, bytes, len - have, recv_flags);
		if (n > 0)
			have += (size_t)n;
		else if (n == 0 || errno != EAGAIN)
			die_errno("recv");
	}
}

static void ask(int fd, size_t len, uint64_t for_ns)
{
	static struct hist rtt;
	uint64_t begin_ns = clk_mono_ns(), sent_ns = begin_ns;
	while (sent_ns - begin_ns < for_ns) {
		if (send(fd, bytes, len, 0) != (ssize_t)len)
			die_errno("send");
		await(fd, len);
		uint64_t now_ns = clk_mono_ns();
		hist_add(&rtt, now_ns - sent_ns);
		sent_ns = now_ns;
	}
	printf("{\"schema\":\"tcplab.bench/1\",\"record\":\"total\",\"size\":%zu,\"elapsed_ns\":%" PRIu64
	       ",\"received\":%" PRIu64 ",\"rtt_p50_ns\":%" PRIu64 ",\"rtt_p99_ns\":%" PRIu64 "}\n",
	       len, sent_ns - begin_ns, rtt.n, hist_quantile(&rtt, 0.5), hist_quantile(&rtt, 0.99));
}

/* Takes --WORD off the end of the command line if it is there. */
static bool take_word(int *argc, char **argv, const char *word)
{
	for (int i = 1; i < *argc; i++) {
		if (strcmp(argv[i], word) == 0) {
			memmove(argv + i, argv + i + 1, (size_t)(*argc - i) * sizeof(*argv));
			--*argc;
			return true;
		}
	}
	return false;
}

int main(int argc, char **argv)
{
	diag_tool = "roundtrip-floor";
	bool tcp = take_word(&argc, argv, "--tcp");
	if (take_word(&argc, argv, "--busy-poll"))
		recv_flags = MSG_DONTWAIT;
	if (argc == 2 && strcmp(argv[1], "-s") == 0) {
		if (tcp)
			serve_tcp();
		serve_udp();
	}
	size_t len = argc == 4 ? (size_t)atol(argv[2]) : 0;
	double seconds = argc == 4 ? atof(argv[3]) : 0;
	if (len == 0 || len > MOST || seconds <= 0)
		die("usage: see the head of roundtrip-floor.c");
	alarm((unsigned)seconds + 5);
	ask(open_client((uint16_t)atoi(argv[1]), tcp), len, (uint64_t)(seconds * NS_PER_S));
	return 0;
}
