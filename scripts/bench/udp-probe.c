/* udp-probe - the bare floor of what a link can be measured with: datagrams there and back, or as many as go.
 *
 *	udp-probe echo PORT                 sends each datagram back; says "listening" first
 *	udp-probe sink PORT                 takes them and does nothing
 *	udp-probe ping ADDR PORT N          one at a time, 64 bytes: prints min, median, 95 % and max in ms
 *	udp-probe send ADDR PORT N          N datagrams of 64 bytes, 50 us apart
 *	udp-probe flood ADDR PORT MS LEN    as fast as it goes, for so long */
#include "clock.h"
#include "diag.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>

enum { LEN = 64, BATCH = 64, MOST = 65000 };

static unsigned char bytes[MOST];

static struct sockaddr_in address(const char *host, const char *port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port)) };
	if (inet_pton(AF_INET, host, &a.sin_addr) != 1)
		die("%s: not an IPv4 address", host);
	return a;
}

static int open_socket(void)
{
	int fd = socket(AF_INET, SOCK_DGRAM, 0), len = 4 * 1024 * 1024;
	if (fd < 0)
		die_errno("socket");
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &len, sizeof(len));
	return fd;
}

static int connected(const char *host, const char *port)
{
	struct sockaddr_in a = address(host, port);
	int fd = open_socket();
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		die_errno("connect");
	return fd;
}

static int serve(const char *port)
{
	struct sockaddr_in a = address("0.0.0.0", port);
	int fd = open_socket();
	if (bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		die_errno("bind");
	warnf("listening on 0.0.0.0:%s", port);
	return fd;
}

static void echo(int fd)
{
	for (;;) {
		struct sockaddr_in a;
		socklen_t len = sizeof(a);
		ssize_t n = recvfrom(fd, bytes, sizeof(bytes), 0, (struct sockaddr *)&a, &len);
		if (n >= 0)
			(void)sendto(fd, bytes, (size_t)n, 0, (struct sockaddr *)&a, len);
	}
}

/* Many at a time, so that as little as possible of the processor is the measurement's own. */
static void sink(int fd)
{
	struct iovec piece = { .iov_base = bytes, .iov_len = sizeof(bytes) };
	struct mmsghdr m[BATCH];
	memset(m, 0, sizeof(m));
	for (int i = 0; i < BATCH; i++)
		m[i].msg_hdr = (struct msghdr){ .msg_iov = &piece, .msg_iovlen = 1 };
	for (;;)
		(void)recvmmsg(fd, m, BATCH, MSG_WAITFORONE, NULL);
}

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static void ping(int fd, int n)
{
	struct timeval limit = { .tv_sec = 2 };
	double *ms = calloc((size_t)n, sizeof(*ms));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	for (int i = 0; i < n; i++) {
		uint64_t from_ns = clk_mono_ns();
		if (send(fd, bytes, LEN, 0) < 0 || recv(fd, bytes, sizeof(bytes), 0) < 0)
			die_errno("ping");
		ms[i] = (double)(clk_mono_ns() - from_ns) / NS_PER_MS;
	}
	qsort(ms, (size_t)n, sizeof(*ms), ascending);
	printf("%.3f %.3f %.3f %.3f\n", ms[0], ms[n / 2], ms[n * 95 / 100], ms[n - 1]);
	free(ms);
}

static void send_paced(int fd, int n)
{
	uint64_t next_ns = clk_mono_ns();
	for (int i = 0; i < n; i++) {
		if (send(fd, bytes, LEN, 0) < 0 && errno != ECONNREFUSED)
			die_errno("send");
		next_ns += 50 * NS_PER_US;
		clk_sleep_until_ns(next_ns);
	}
}

static void flood(int fd, int ms, size_t len)
{
	struct mmsghdr m[BATCH];
	struct iovec piece = { .iov_base = bytes, .iov_len = len };
	memset(m, 0, sizeof(m));
	for (int i = 0; i < BATCH; i++)
		m[i].msg_hdr = (struct msghdr){ .msg_iov = &piece, .msg_iovlen = 1 };
	for (uint64_t end_ns = clk_mono_ns() + (uint64_t)ms * NS_PER_MS; clk_mono_ns() < end_ns;)
		(void)sendmmsg(fd, m, BATCH, 0);
}

int main(int argc, char **argv)
{
	diag_tool = "udp-probe";
	prctl(PR_SET_TIMERSLACK, 1);
	if (argc == 3 && strcmp(argv[1], "echo") == 0)
		echo(serve(argv[2]));
	else if (argc == 3 && strcmp(argv[1], "sink") == 0)
		sink(serve(argv[2]));
	else if (argc == 5 && strcmp(argv[1], "ping") == 0)
		ping(connected(argv[2], argv[3]), atoi(argv[4]));
	else if (argc == 5 && strcmp(argv[1], "send") == 0)
		send_paced(connected(argv[2], argv[3]), atoi(argv[4]));
	else if (argc == 6 && strcmp(argv[1], "flood") == 0)
		flood(connected(argv[2], argv[3]), atoi(argv[4]), (size_t)atoi(argv[5]) % MOST);
	else
		die("usage: see the head of udp-probe.c");
	return 0;
}
