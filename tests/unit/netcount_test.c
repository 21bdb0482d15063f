/* The kernel's counters by name: what a file of /proc/net has to look like, and that a real event moves the right one. */
#include "netcount.h"

#include "check.h"
#include "clock.h"
#include "sock.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static struct netcounts c;

static int parse(const char *text)
{
	c.n = 0;
	return netcount_parse(&c, text);
}

static void pairs_of_lines(void)
{
	uint64_t value = 7;
	CHECK_INT(parse("Tcp: MaxConn InSegs\nTcp: -1 18446744073709551615\nTcpExt: A B\nTcpExt: 1 2\n"), 0);
	CHECK_INT(c.n, 3);
	CHECK(netcount_find(&c, "TcpInSegs", &value));
	CHECK(value == UINT64_MAX);
	CHECK(netcount_find(&c, "TcpExtB", &value));
	CHECK_INT(value, 2);
	CHECK(netcount_find(&c, "TcpExtA", NULL));
	CHECK(!netcount_find(&c, "TcpMaxConn", &value));
	CHECK(!netcount_find(&c, "TcpExt", &value));
	CHECK_INT(value, 2);
	CHECK_INT(parse(""), 0);
	CHECK_INT(c.n, 0);
	CHECK_INT(parse("Tcp:\nTcp:\n"), 0);
}

static void what_is_not_of_that_form(void)
{
	static const char *const wrong[] = {
		"Tcp: A\n",                            /* no values */
		"Tcp: A\nTcp: 1",                      /* cut off: perhaps in the middle of a number */
		"Tcp: A\nUdp: 1\n",                    /* another group's */
		"Tcp: A B\nTcp: 1\n",                  /* a value is missing */
		"Tcp: A\nTcp: 1 2\n",                  /* a name is */
		"Tcp: A\nTcp: 1x\n",                   /* no number */
		"Tcp: A\nTcp: 18446744073709551616\n", /* too large */
		"Tcp: A\nTcp: 1111111111111111111111111\n",
		"Tcp A\nTcp 1\n",
		"\n\n",
		"Tcp: A234567890123456789012345678901234567890123456789\nTcp: 1\n", /* longer than any name */
	};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		if (!CHECK_INT(parse(wrong[i]), -1) || !CHECK_INT(c.n, 0))
			fprintf(stderr, "    \"%s\"\n", wrong[i]);
	}
	/* what was there stays */
	CHECK_INT(parse("Tcp: A\nTcp: 1\n"), 0);
	CHECK_INT(netcount_parse(&c, "Udp: A B\nUdp: 2\n"), -1);
	CHECK_INT(c.n, 1);
}

static void more_than_there_is_room_for(void)
{
	char *text = malloc(20 * (size_t)(NETCOUNT_MAX + 1)), *end = text;
	c.n = 0;
	for (int i = 0; i < NETCOUNT_MAX; i++) {
		sprintf(end, "G: c%d\nG: %d\n", i, i);
		CHECK_INT(netcount_parse(&c, end), 0);
		end += strlen(end);
	}
	CHECK_INT(c.n, NETCOUNT_MAX);
	CHECK_INT(netcount_parse(&c, "G: one\nG: 1\n"), -1);
	CHECK_INT(c.n, NETCOUNT_MAX);
	free(text);
}

static void connect_to_ourselves(int fds[static 2])
{
	struct net_error e = { 0 };
	struct addr bound;
	struct sock_options none = { 0 };
	struct io_until until = { .deadline_ns = CLK_NEVER };
	int listen_fd = sock_serve("127.0.0.1", 0, AF_INET, &none, &bound, &e);
	fds[0] = sock_connect(&bound, 1, NULL, &none, &until, &e);
	fds[1] = accept(listen_fd, NULL, NULL);
	CHECK(listen_fd >= 0 && fds[0] >= 0 && fds[1] >= 0);
	close(listen_fd);
}

/* Closing with something unread: the kernel resets, and counts why. */
static void a_reason_is_counted(void)
{
	static struct netcounts before, after;
	struct net_error e = { 0 };
	int fds[2];
	connect_to_ourselves(fds);
	CHECK_INT(netcount_read(&before, &e), 0);
	CHECK_INT(send(fds[0], "x", 1, 0), 1);
	char byte;
	CHECK_INT(recv(fds[1], &byte, 1, MSG_PEEK), 1);
	close(fds[1]);
	CHECK_INT(recv(fds[0], &byte, 1, 0), -1);
	CHECK_INT(errno, ECONNRESET);
	close(fds[0]);
	CHECK_INT(netcount_read(&after, &e), 0);
	CHECK(before.n > 100);
	CHECK(netcount_since(&before, &after, "TcpExtTCPAbortOnClose") >= 1);
	CHECK(netcount_since(&before, &after, "TcpOutRsts") >= 1);
	CHECK_INT(netcount_since(&after, &before, "TcpOutRsts"), 0);
	CHECK_INT(netcount_since(&before, &after, "TcpNothing"), 0);
}

int main(void)
{
	pairs_of_lines();
	what_is_not_of_that_form();
	more_than_there_is_room_for();
	a_reason_is_counted();
	return check_done();
}
