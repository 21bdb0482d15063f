/* hold-connections.c - for scripts/bench/loop: idle connections that a server has already served once.
 *
 *     hold-connections PORT N
 *
 * Connects N times to PORT on the loopback, and on each connection sends 16 bytes and reads them back, so that whatever a
 * server makes on first use has been made. Then prints "holding N" and keeps them open until its standard input ends. */
#include "clock.h"
#include "diag.h"
#include "io.h"
#include "os.h"
#include "sock.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { MESSAGE = 16 };

/* The connection stays open: nobody has to remember it. */
static void bounce_one(const struct addr *to)
{
	char message[MESSAGE] = "0123456789abcdef", text[NET_ERROR_TEXT];
	struct io_until until = { .deadline_ns = clk_mono_ns() + UINT64_C(10) * NS_PER_S };
	struct net_error e;
	int fd = sock_connect(to, 1, NULL, &(struct sock_options){ .nodelay = true }, &until, &e);
	if (fd < 0)
		die("%s", net_error_text(&e, text));
	if (io_tick(fd) < 0 || io_write_full(fd, message, MESSAGE, &until) < 0 ||
	    io_read_full(fd, message, MESSAGE, &until) != 1)
		die_errno("no echo");
}

int main(int argc, char **argv)
{
	diag_tool = "hold-connections";
	if (argc != 3)
		die("usage: hold-connections PORT N");
	struct addr to = { .len = sizeof(to.u.in4) };
	to.u.in4.sin_family = AF_INET;
	to.u.in4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	to.u.in4.sin_port = htons((uint16_t)atoi(argv[1]));
	int n = atoi(argv[2]);
	os_raise_fd_limit();
	for (int i = 0; i < n; i++)
		bounce_one(&to);
	printf("holding %d\n", n);
	fflush(stdout);
	char c;
	while (read(STDIN_FILENO, &c, 1) > 0)
		;
	return 0;
}
