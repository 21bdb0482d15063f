/* sock_test.c - real sockets on loopback: every option reaches the kernel or is named in the error; listening on one
 * address, all of them, or a taken one; connecting past refusals and silence, but never to oneself. The same for UDP. */
#include "sock.h"

#include "check.h"
#include "child.h"
#include "clock.h"
#include "netns.h"
#include "os.h"
#include "peers.h"
#include "rtnl.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/time.h>
#include <unistd.h>

static const struct sock_options no_options;

static const struct io_until for_ever = { .deadline_ns = CLK_NEVER };

/* For what must happen at once: a generous time. */
static const struct io_until *soon(void)
{
	static struct io_until until;
	until.deadline_ns = clk_mono_ns() + UINT64_C(10) * NS_PER_S;
	return &until;
}

static int option_of(int fd, int level, int option)
{
	int value = -1;
	socklen_t len = sizeof(value);
	return getsockopt(fd, level, option, &value, &len) == 0 ? value : -1;
}

/* sock_serve that must succeed. */
static int serve(const char *host, int family, const struct sock_options *o, struct addr *bound)
{
	struct net_error e = { .op = "?" };
	char text[NET_ERROR_TEXT];
	int fd = sock_serve(host, 0, family, o, bound, &e);
	if (!CHECK(fd >= 0))
		fprintf(stderr, "    %s\n", net_error_text(&e, text));
	return fd;
}

/* SO_RCVBUF as the kernel counts it, 0 for a bad descriptor. */
static uint64_t receive_buffer(int fd)
{
	int value = 0;
	socklen_t len = sizeof(value);
	return getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &value, &len) == 0 ? (uint64_t)value : 0;
}

/* sock_connect that must succeed. */
static int reach(const struct addr *to)
{
	struct net_error e = { .op = "?" };
	char text[NET_ERROR_TEXT];
	int fd = sock_connect(to, 1, NULL, &no_options, soon(), &e);
	if (!CHECK(fd >= 0))
		fprintf(stderr, "    %s\n", net_error_text(&e, text));
	return fd;
}

/* --- options ----------------------------------------------------------------------------------------------------- */

static void test_options_are_set(void)
{
	int fd = tcp_socket();
	struct net_error e;
	struct sock_options o = {
		.send_buffer = 20000,
		.receive_buffer = 30000,
		.receive_low_water = 5000,
		.pacing_Bps = 123456,
		.congestion = "reno",
		.nodelay = true,
		.cork = true,
		.user_timeout_ns = 2500000001, /* not a whole number of milliseconds */
		.keepalive = true,
	};
	CHECK_INT(sock_set(fd, &o, &e), 0);
	CHECK_INT(option_of(fd, SOL_SOCKET, SO_SNDBUF), 40000);
	CHECK_INT(option_of(fd, SOL_SOCKET, SO_RCVBUF), 60000);
	CHECK_INT(sock_send_buffer(fd), 40000);
	CHECK_INT(receive_buffer(fd), 60000);
	CHECK_INT(option_of(fd, SOL_SOCKET, SO_RCVLOWAT), 5000);
	CHECK_INT(option_of(fd, SOL_SOCKET, SO_MAX_PACING_RATE), 123456);
	CHECK_INT(option_of(fd, IPPROTO_TCP, TCP_NODELAY), 1);
	CHECK_INT(option_of(fd, IPPROTO_TCP, TCP_CORK), 1);
	CHECK_INT(option_of(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), 2501);
	CHECK_INT(option_of(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
	CHECK_INT(option_of(fd, IPPROTO_TCP, TCP_KEEPIDLE) +
			  option_of(fd, IPPROTO_TCP, TCP_KEEPINTVL) * option_of(fd, IPPROTO_TCP, TCP_KEEPCNT),
		  25);
	char name[16] = "";
	socklen_t len = sizeof(name);
	CHECK_INT(getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, &len), 0);
	CHECK_STR(name, "reno");
	close(fd);
}

static void test_defaults_are_left_alone(void)
{
	int fd = tcp_socket(), same = tcp_socket();
	struct net_error e;
	CHECK_INT(sock_set(fd, &no_options, &e), 0);
	CHECK_INT(sock_send_buffer(fd), sock_send_buffer(same));
	CHECK_INT(receive_buffer(fd), receive_buffer(same));
	CHECK_INT(option_of(fd, IPPROTO_TCP, TCP_NODELAY), 0);
	CHECK_INT(option_of(fd, IPPROTO_TCP, TCP_CORK), 0);
	CHECK_INT(option_of(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), 0);
	CHECK_INT(option_of(fd, SOL_SOCKET, SO_KEEPALIVE), 0);
	CHECK_INT(option_of(fd, SOL_SOCKET, SO_RCVLOWAT), 1);
	close(fd);
	close(same);
}

/* No option is forgotten, and none fails in silence. */
static void test_each_option_reports_its_error(void)
{
	static const struct {
		struct sock_options o;
		const char *text;
	} rows[] = {
		{ { .send_buffer = 4096 }, "set send buffer 4096: " },
		{ { .receive_buffer = 4096 }, "set receive buffer 4096: " },
		{ { .mss = 1000 }, "set mss 1000: " },
		{ { .pacing_Bps = 7 }, "set pacing rate" },
		{ { .receive_low_water = 9 }, "set receive low water 9: " },
		{ { .congestion = "reno" }, "set congestion control reno: " },
		{ { .nodelay = true }, "set nodelay" },
		{ { .cork = true }, "set cork" },
		{ { .user_timeout_ns = 1 }, "set user timeout in ms 1: " },
		{ { .keepalive = true }, "set keepalive" },
	};
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct net_error e = { 0 };
		char text[NET_ERROR_TEXT];
		CHECK_INT(sock_set(-1, &rows[i].o, &e), -1);
		CHECK_INT(e.sys, EBADF);
		if (!CHECK(strncmp(net_error_text(&e, text), rows[i].text, strlen(rows[i].text)) == 0))
			fprintf(stderr, "    said \"%s\", not \"%s\"\n", text, rows[i].text);
	}
	CHECK_INT(sock_send_buffer(-1), 0);
	CHECK_INT(receive_buffer(-1), 0);
}

static void check_refused_option(struct sock_options o, int error, const char *object)
{
	int fd = tcp_socket();
	struct net_error e = { 0 };
	CHECK_INT(sock_set(fd, &o, &e), -1);
	CHECK_STR(e.op, "set");
	CHECK_STR(e.object, object);
	CHECK_INT(e.sys, error);
	close(fd);
}

static void test_refused_options(void)
{
	check_refused_option((struct sock_options){ .congestion = "no-such-thing" }, ENOENT,
			     "congestion control no-such-thing");
	check_refused_option((struct sock_options){ .congestion = "a name much longer than sixteen bytes" }, ENOENT,
			     "congestion control a name much longer than sixteen bytes");
	check_refused_option((struct sock_options){ .mss = 1 }, EINVAL, "mss 1");
	check_refused_option((struct sock_options){ .mss = 1000000 }, EINVAL, "mss 1000000");
	/* Cut to an int this would be a small number that the kernel takes. */
	check_refused_option((struct sock_options){ .send_buffer = (UINT64_C(1) << 40) + 4096 }, EINVAL,
			     "send buffer 1099511631872");
	check_refused_option((struct sock_options){ .receive_buffer = UINT64_MAX }, EINVAL,
			     "receive buffer 18446744073709551615");
	check_refused_option((struct sock_options){ .user_timeout_ns = UINT64_MAX }, EINVAL,
			     "user timeout in ms 18446744073710");
}

/* What is agreed on in the handshake is set before it, on both sides; accepted sockets inherit. */
static void test_options_before_the_handshake(void)
{
	struct sock_options mine = { .receive_buffer = 20000, .mss = 900 };
	struct sock_options yours = { .send_buffer = 10000, .nodelay = true };
	struct addr bound;
	struct net_error e;
	int server = serve("127.0.0.1", AF_UNSPEC, &mine, &bound);
	int client = sock_connect(&bound, 1, NULL, &yours, soon(), &e);
	int accepted = accept(server, NULL, NULL);
	CHECK_INT(receive_buffer(accepted), 40000);
	CHECK_INT(sock_send_buffer(client), 20000);
	CHECK_INT(option_of(client, IPPROTO_TCP, TCP_NODELAY), 1);
	CHECK(option_of(client, IPPROTO_TCP, TCP_MAXSEG) <= 900);
	close(accepted);
	close(client);
	close(server);
}

/* --- listening --------------------------------------------------------------------------------------------------- */

static bool is_reachable(const char *host, uint16_t port)
{
	struct addr to = literal(host, port);
	struct net_error e;
	int fd = sock_connect(&to, 1, NULL, &no_options, soon(), &e);
	if (fd >= 0)
		close(fd);
	else
		CHECK_INT(e.sys, ECONNREFUSED);
	return fd >= 0;
}

static bool has_ipv6(void)
{
	struct addr a = literal("::1", 0);
	int fd = socket(AF_INET6, SOCK_STREAM, 0);
	bool ok = fd >= 0 && bind(fd, &a.u.sa, a.len) == 0;
	if (fd >= 0)
		close(fd);
	return ok;
}

static void test_serve_one_address(void)
{
	struct addr bound;
	char text[ADDR_TEXT];
	int fd = serve("127.0.0.1", AF_UNSPEC, &no_options, &bound);
	CHECK_INT(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	CHECK_INT(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
	CHECK(strncmp(addr_text(&bound, text), "127.0.0.1:", 10) == 0);
	CHECK(addr_port(&bound) != 0);
	CHECK(is_reachable("127.0.0.1", addr_port(&bound)));
	CHECK(!is_reachable("127.0.0.2", addr_port(&bound)));
	close(fd);
}

static void test_serve_ipv4(void)
{
	struct addr bound;
	int fd = serve(NULL, AF_INET, &no_options, &bound);
	CHECK_INT(bound.u.sa.sa_family, AF_INET);
	CHECK(is_reachable("127.0.0.1", addr_port(&bound)));
	CHECK(is_reachable("127.0.0.2", addr_port(&bound)));
	if (has_ipv6())
		CHECK(!is_reachable("::1", addr_port(&bound)));
	close(fd);
}

static void test_serve_ipv6(void)
{
	struct addr bound;
	int fd = serve(NULL, AF_INET6, &no_options, &bound);
	CHECK_INT(bound.u.sa.sa_family, AF_INET6);
	CHECK_INT(option_of(fd, IPPROTO_IPV6, IPV6_V6ONLY), 1);
	CHECK(is_reachable("::1", addr_port(&bound)));
	close(fd);
	fd = serve("::1", AF_UNSPEC, &no_options, &bound);
	CHECK(is_reachable("::1", addr_port(&bound)));
	close(fd);
}

/* The IPv6 half of "everywhere" is taken: serving the other half alone would hide that. */
static void test_port_taken_in_ipv6_only(void)
{
	struct addr bound, second;
	struct net_error e = { 0 };
	int fd = serve(NULL, AF_INET6, &no_options, &bound);
	CHECK_INT(sock_serve(NULL, addr_port(&bound), AF_UNSPEC, &no_options, &second, &e), -1);
	CHECK_STR(e.op, "bind");
	CHECK_INT(e.sys, EADDRINUSE);
	close(fd);
}

/* One socket for both; an IPv4 client's address is shown as such. */
static void test_serve_everywhere(void)
{
	struct addr bound, here, there;
	char here_text[ADDR_TEXT], there_text[ADDR_TEXT];
	int server = serve(NULL, AF_UNSPEC, &no_options, &bound);
	CHECK_INT(bound.u.sa.sa_family, has_ipv6() ? AF_INET6 : AF_INET);
	if (has_ipv6())
		CHECK(is_reachable("::1", addr_port(&bound)));
	if (has_ipv6())
		close(accept(server, NULL, NULL));
	struct addr to = literal("127.0.0.1", addr_port(&bound));
	int client = reach(&to), accepted = accept(server, NULL, NULL);
	CHECK_INT(addr_of_socket(client, &here), 0);
	CHECK_INT(addr_of_peer(accepted, &there), 0);
	CHECK_STR(addr_text(&there, there_text), addr_text(&here, here_text));
	close(accepted);
	close(client);
	close(server);
}

/* A port that somebody has: never a second listener beside him, not of another family either. */
static void test_taken_port(void)
{
	static const char *const holders[] = { "127.0.0.1", "0.0.0.0" };
	for (size_t i = 0; i < COUNT_OF(holders); i++) {
		struct addr bound, second;
		struct net_error e = { 0 };
		int fd = serve(holders[i], AF_UNSPEC, &no_options, &bound);
		CHECK_INT(sock_listen(&bound, false, &no_options, &e), -1);
		CHECK_STR(e.op, "bind");
		CHECK_INT(e.sys, EADDRINUSE);
		e = (struct net_error){ 0 };
		CHECK_INT(sock_serve(holders[i], addr_port(&bound), AF_UNSPEC, &no_options, &second, &e), -1);
		CHECK_INT(e.sys, EADDRINUSE);
		e = (struct net_error){ 0 };
		CHECK_INT(sock_serve(NULL, addr_port(&bound), AF_UNSPEC, &no_options, &second, &e), -1);
		CHECK_INT(e.sys, EADDRINUSE);
		close(fd);
	}
}

static void test_serve_failures(void)
{
	struct addr bound;
	struct net_error e = { 0 };
	char text[NET_ERROR_TEXT];
	CHECK_INT(sock_serve("192.0.2.1", 0, AF_UNSPEC, &no_options, &bound, &e), -1); /* RFC 5737: nobody's */
	CHECK(strncmp(net_error_text(&e, text), "bind 192.0.2.1:0: ", 18) == 0);
	CHECK_INT(e.sys, EADDRNOTAVAIL);
	e = (struct net_error){ 0 };
	CHECK_INT(sock_serve("127.0.0.1", 0, AF_INET6, &no_options, &bound, &e), -1);
	CHECK_STR(e.op, "resolve");
	CHECK(e.gai != 0);
	struct sock_options o = { .congestion = "no-such-thing" };
	CHECK_INT(sock_serve("127.0.0.1", 0, AF_UNSPEC, &o, &bound, &e), -1);
	CHECK_STR(e.op, "set");
	CHECK_INT(e.sys, ENOENT);
	CHECK_INT(sock_serve(NULL, 0, AF_UNSPEC, &o, &bound, &e), -1);
	CHECK_INT(e.sys, ENOENT);
}

/* As many may wait to be accepted as the kernel allows, whatever the C library takes for much. (Of a listening socket
 * TCP_INFO tells the limit here; ss(8) shows it as Send-Q.) */
static void test_backlog(void)
{
	char text[32];
	struct addr bound;
	struct tcp_info info = { 0 };
	socklen_t len = sizeof(info);
	int fd = serve("127.0.0.1", AF_UNSPEC, &no_options, &bound);
	CHECK_INT(os_read_line("/proc/sys/net/core/somaxconn", text, sizeof(text)), 0);
	CHECK_INT(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len), 0);
	CHECK_INT(info.tcpi_sacked, strtoul(text, NULL, 10));
	close(fd);
}

/* The side that closes first keeps the port in TIME-WAIT; the server gets it back all the same. */
static void test_restart(void)
{
	struct addr bound, again;
	struct net_error e;
	char byte;
	int server = serve("127.0.0.1", AF_UNSPEC, &no_options, &bound), client = reach(&bound);
	close(accept(server, NULL, NULL));
	CHECK_INT(read(client, &byte, 1), 0);
	close(client);
	close(server);
	server = sock_serve("127.0.0.1", addr_port(&bound), AF_UNSPEC, &no_options, &again, &e);
	CHECK(server >= 0);
	CHECK(server < 0 || addr_equal(&bound, &again));
	close(server);
}

/* --- connecting -------------------------------------------------------------------------------------------------- */

static void test_connect(void)
{
	struct addr bound, there;
	struct net_error e, untouched;
	memset(&e, 0x5a, sizeof(e));
	untouched = e;
	int server = serve("127.0.0.1", AF_UNSPEC, &no_options, &bound);
	int client = sock_connect(&bound, 1, NULL, &no_options, &for_ever, &e);
	CHECK(client >= 0);
	CHECK_INT(memcmp(&e, &untouched, sizeof(e)), 0);
	CHECK_INT(fcntl(client, F_GETFL) & O_NONBLOCK, 0);
	CHECK_INT(fcntl(client, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	CHECK_INT(addr_of_peer(client, &there), 0);
	CHECK(addr_equal(&there, &bound));
	close(client);
	close(server);
}

static void test_refused(void)
{
	int holder;
	struct addr to = refusing(&holder);
	struct net_error e = { 0 };
	char text[ADDR_TEXT];
	CHECK_INT(sock_connect(&to, 1, NULL, &no_options, soon(), &e), -1);
	CHECK_STR(e.op, "connect");
	CHECK_STR(e.object, addr_text(&to, text));
	CHECK_INT(e.sys, ECONNREFUSED);
	close(holder);
}

static void test_second_answers(void)
{
	int holder;
	struct addr list[2] = { refusing(&holder) }, there;
	struct net_error e, untouched;
	memset(&e, 0x5a, sizeof(e));
	untouched = e;
	int server = serve("127.0.0.1", AF_UNSPEC, &no_options, &list[1]);
	int client = sock_connect(list, 2, NULL, &no_options, &for_ever, &e);
	CHECK(client >= 0);
	CHECK_INT(addr_of_peer(client, &there), 0);
	CHECK(addr_equal(&there, &list[1]));
	CHECK_INT(memcmp(&e, &untouched, sizeof(e)), 0);
	close(client);
	close(server);
	close(holder);
}

static void test_all_refuse(void)
{
	int holders[3];
	struct addr list[3];
	struct net_error e = { 0 };
	char text[ADDR_TEXT];
	for (int i = 0; i < 3; i++)
		list[i] = refusing(&holders[i]);
	CHECK_INT(sock_connect(list, 3, NULL, &no_options, soon(), &e), -1);
	CHECK_INT(e.sys, ECONNREFUSED);
	CHECK_STR(e.object, addr_text(&list[2], text));
	for (int i = 0; i < 3; i++)
		close(holders[i]);
}

static void on_alarm(int number)
{
	(void)number;
}

/* SIGALRM every 2 ms, or no more. */
static void set_alarms(bool on)
{
	struct sigaction action = { .sa_handler = on_alarm };
	struct itimerval every = { .it_interval.tv_usec = on ? 2000 : 0, .it_value.tv_usec = on ? 2000 : 0 };
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &every, NULL);
}

/* Signals end the wait no sooner than the deadline. */
static void test_silence(void)
{
	int server, fill[4];
	struct addr to = silent(&server, fill);
	for (int alarms = 0; alarms < 2; alarms++) {
		struct net_error e = { 0 };
		struct io_until until = { .deadline_ns = clk_mono_ns() + 120 * NS_PER_MS };
		set_alarms(alarms);
		CHECK_INT(sock_connect(&to, 1, NULL, &no_options, &until, &e), -1);
		set_alarms(false);
		CHECK(clk_mono_ns() >= until.deadline_ns);
		CHECK_STR(e.op, "connect");
		CHECK_INT(e.sys, ETIMEDOUT);
	}
	close_silent(server, fill);
}

static void *raise_flag(void *flag)
{
	atomic_store((atomic_bool *)flag, true);
	return NULL;
}

/* Raised while we wait for the first address: the second is not tried any more. */
static void test_cancel(void)
{
	atomic_bool cancel = false;
	struct io_until until = { .deadline_ns = CLK_NEVER, .cancel = &cancel };
	struct net_error e = { 0 };
	pthread_t thread;
	char text[ADDR_TEXT];
	int silent_fd, fill[4];
	struct addr list[2] = { silent(&silent_fd, fill) };
	int server = serve("127.0.0.1", AF_UNSPEC, &no_options, &list[1]);
	if (CHECK_INT(pthread_create(&thread, NULL, raise_flag, &cancel), 0)) {
		CHECK_INT(sock_connect(list, 2, NULL, &no_options, &until, &e), -1);
		CHECK_INT(e.sys, ECANCELED);
		CHECK_STR(e.object, addr_text(&list[0], text));
		pthread_join(thread, NULL);
	}
	close(server);
	close_silent(silent_fd, fill);
}

/* A silent first address takes its share of the time and leaves the rest to the others. */
static void test_silence_then_answer(void)
{
	enum { N = 16 };
	int silent_fd, fill[4];
	struct addr list[N] = { silent(&silent_fd, fill) }, there;
	struct net_error e = { 0 };
	int server = serve("127.0.0.1", AF_UNSPEC, &no_options, &list[1]);
	for (int i = 2; i < N; i++)
		list[i] = list[1];
	struct io_until until = { .deadline_ns = clk_mono_ns() + N * 100 * (uint64_t)NS_PER_MS };
	int client = sock_connect(list, N, NULL, &no_options, &until, &e);
	CHECK(client >= 0);
	CHECK(clk_mono_ns() < until.deadline_ns);
	CHECK_INT(addr_of_peer(client, &there), 0);
	CHECK(addr_equal(&there, &list[1]));
	close(client);
	close(server);
	close_silent(silent_fd, fill);
}

static void test_source_address(void)
{
	struct addr bound, here, from = literal("127.0.0.3", 0), from6 = literal("::1", 0);
	struct addr foreign = literal("192.0.2.1", 0);
	struct net_error e = { 0 };
	int server = serve("127.0.0.1", AF_UNSPEC, &no_options, &bound);
	int client = sock_connect(&bound, 1, &from, &no_options, soon(), &e);
	CHECK(client >= 0);
	CHECK_INT(addr_of_socket(client, &here), 0);
	CHECK(here.u.in4.sin_addr.s_addr == from.u.in4.sin_addr.s_addr);
	CHECK_INT(option_of(client, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT), 1);
	close(client);

	CHECK_INT(sock_connect(&bound, 1, &from6, &no_options, soon(), &e), -1);
	CHECK_STR(e.op, "connect");
	CHECK_INT(e.sys, EAFNOSUPPORT);
	CHECK_INT(sock_connect(&bound, 0, NULL, &no_options, soon(), &e), -1);
	CHECK_INT(e.sys, EAFNOSUPPORT);
	CHECK_INT(sock_connect(&bound, 1, &foreign, &no_options, soon(), &e), -1);
	CHECK_STR(e.op, "bind");
	CHECK_STR(e.object, "192.0.2.1:0");
	CHECK_INT(e.sys, EADDRNOTAVAIL);
	close(server);
}

/* Addresses of the other family are passed over, not counted as failures. */
static void test_other_family_is_passed_over(void)
{
	struct addr list[2] = { literal("::1", 1) }, from = literal("127.0.0.1", 0);
	struct net_error e = { 0 };
	int server = serve("127.0.0.1", AF_UNSPEC, &no_options, &list[1]);
	int client = sock_connect(list, 2, &from, &no_options, soon(), &e);
	CHECK(client >= 0);
	close(client);
	close(server);
}

static void test_connect_with_a_bad_option(void)
{
	struct addr bound;
	struct net_error e = { 0 };
	struct sock_options o = { .congestion = "no-such-thing" };
	int server = serve("127.0.0.1", AF_UNSPEC, &no_options, &bound);
	CHECK_INT(sock_connect(&bound, 1, NULL, &o, soon(), &e), -1);
	CHECK_STR(e.op, "set");
	CHECK_INT(e.sys, ENOENT);
	close(server);
}

/* From a port to the same port: the kernel would connect the socket to itself. Nor may that port be left in TIME-WAIT:
 * a bind without SO_REUSEADDR shows it. Somebody may take the port in between: then another one is tried. */
static void test_never_to_itself(void)
{
	struct net_error e = { .op = "?" };
	struct addr self;
	for (int attempt = 0; attempt < 20; attempt++) {
		int holder;
		self = refusing(&holder);
		close(holder);
		CHECK_INT(sock_connect(&self, 1, &self, &no_options, soon(), &e), -1);
		if (strcmp(e.op, "bind") != 0)
			break;
	}
	CHECK_STR(e.op, "connect");
	CHECK_INT(e.sys, ECONNREFUSED);
	int fd = tcp_socket();
	CHECK_INT(bind(fd, &self.u.sa, self.len), 0);
	close(fd);
}

/* begin and result by themselves: for a loop, with no word on time. */
static void test_two_halves(void)
{
	struct addr bound, there;
	struct net_error e = { 0 };
	int holder, silent_fd, fill[4];
	struct addr deaf = refusing(&holder), mute = silent(&silent_fd, fill), foreign = literal("192.0.2.1", 0);
	int server = serve("127.0.0.1", AF_UNSPEC, &no_options, &bound);
	int fd = sock_connect_begin(&bound, NULL, &no_options, &e);
	CHECK_INT(fcntl(fd, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	CHECK_INT(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	CHECK_INT(poll(&(struct pollfd){ .fd = fd, .events = POLLOUT }, 1, 10000), 1);
	CHECK_INT(sock_connect_try(fd), 1);
	CHECK_INT(sock_connect_result(fd), 0);
	CHECK_INT(addr_of_peer(fd, &there), 0);
	CHECK(addr_equal(&there, &bound));
	close(fd);
	fd = sock_connect_begin(&deaf, NULL, &no_options, &e);
	CHECK_INT(poll(&(struct pollfd){ .fd = fd, .events = POLLOUT }, 1, 10000), 1);
	CHECK_INT(sock_connect_try(fd), 0); /* failed: that is for sock_connect_result to say */
	CHECK_INT(sock_connect_result(fd), -1);
	CHECK_INT(errno, ECONNREFUSED);
	sock_abort(fd);
	fd = sock_connect_begin(&mute, NULL, &no_options, &e);
	CHECK_INT(poll(&(struct pollfd){ .fd = fd, .events = POLLOUT }, 1, 0), 0);
	CHECK_INT(sock_connect_try(fd), 0);
	sock_abort(fd);
	CHECK_INT(sock_connect_begin(&bound, &foreign, &no_options, &e), -1);
	CHECK_STR(e.op, "bind");
	CHECK_INT(e.sys, EADDRNOTAVAIL);
	CHECK_INT(sock_connect_result(-1), -1);
	CHECK_INT(errno, EBADF);
	close(server);
	close(holder);
	close_silent(silent_fd, fill);
}

/* An error is told once; a socket without one has none. */
static void test_take_error(void)
{
	struct addr bound;
	struct net_error e;
	int server = serve("127.0.0.1", AF_UNSPEC, &no_options, &bound);
	int fd = sock_connect_begin(&bound, NULL, &no_options, &e);
	int peer = accept(server, NULL, NULL);
	CHECK_INT(sock_take_error(fd), 0);
	sock_abort(peer);
	CHECK_INT(poll(&(struct pollfd){ .fd = fd }, 1, 10000), 1);
	CHECK_INT(sock_take_error(fd), ECONNRESET);
	CHECK_INT(sock_take_error(fd), 0);
	CHECK_INT(sock_take_error(-1), EBADF);
	close(fd);
	close(server);
}

/* Who would meet himself. (A foreign address with the same port does not lead here.) */
static void test_leads_to(void)
{
	struct addr loopback = literal("127.0.0.1", 80), other = literal("127.0.0.2", 80), any = literal("0.0.0.0", 80);
	struct addr foreign = literal("192.0.2.1", 80), port = literal("127.0.0.1", 81);
	CHECK(sock_leads_to(&loopback, &loopback));
	CHECK(sock_leads_to(&loopback, &any));
	CHECK(sock_leads_to(&other, &any));
	CHECK(sock_leads_to(&any, &loopback));
	CHECK(sock_leads_to(&any, &any));
	CHECK(!sock_leads_to(&other, &loopback));
	CHECK(!sock_leads_to(&foreign, &any));
	CHECK(!sock_leads_to(&foreign, &loopback));
	CHECK(!sock_leads_to(&port, &loopback));
	CHECK(!sock_leads_to(&port, &any));
	if (!has_ipv6())
		return;
	struct addr any6 = literal("::", 80), one = literal("::1", 80), two = literal("::2", 80);
	CHECK(sock_leads_to(&one, &any6));
	CHECK(sock_leads_to(&loopback, &any6)); /* a dual-stack socket takes IPv4, too */
	CHECK(!sock_leads_to(&two, &any6));
}

/* The neighbour in our own /64 is not we. */
static void check_neighbour(void)
{
	struct rtnl r;
	struct net_error e;
	struct netns_failure why;
	struct addr own = literal("2001:db8::1", 80), neighbour = literal("2001:db8::2", 80), any6 = literal("::", 80);
	unsigned steps = NETNS_BIT(NETNS_NET) | NETNS_BIT(NETNS_LOOPBACK);
	if (geteuid() != 0)
		steps |= NETNS_BIT(NETNS_USER) | NETNS_BIT(NETNS_IDS);
	if (netns_enter(steps, &why) < 0) {
		fprintf(stderr, "test_neighbour: skipped, %s: %s\n", netns_step_name(why.step), strerror(why.error));
		return;
	}
	CHECK_INT(rtnl_open(&r, &e), 0);
	CHECK_INT(rtnl_add_address(&r, "lo", &own, 64, &e), 0);
	rtnl_close(&r);
	CHECK(sock_leads_to(&own, &any6));
	CHECK(!sock_leads_to(&neighbour, &any6));
}

static void test_neighbour(void)
{
	if (has_ipv6())
		CHECK_INT(in_child(check_neighbour), 0);
}

/* Bound to its own address and connected to it: RFC 9293 3.5, simultaneous open. */
static void test_try_to_itself(void)
{
	struct addr self = literal("127.0.0.1", 0);
	struct net_error e;
	int holder = sock_listen(&self, false, &no_options, &e);
	CHECK_INT(addr_of_socket(holder, &self), 0); /* a port that is free once it is closed */
	close(holder);
	int fd = sock_connect_begin(&self, &self, &no_options, &e);
	CHECK_INT(poll(&(struct pollfd){ .fd = fd, .events = POLLOUT }, 1, 10000), 1);
	CHECK_INT(sock_connect_try(fd), -1);
	CHECK_INT(errno, ECONNREFUSED);
	sock_abort(fd);
}

/* Failures of every kind, a hundred times: no descriptor is left behind. */
static void test_no_descriptor_leaks(void)
{
	struct sock_options bad = { .congestion = "no-such-thing" };
	struct addr bound, second, foreign = literal("192.0.2.1", 0);
	struct net_error e;
	int holder, server = serve("127.0.0.1", AF_UNSPEC, &no_options, &bound);
	struct addr to = refusing(&holder);
	int before = dup(0); /* the lowest that is free */
	close(before);
	for (int i = 0; i < 100; i++) {
		CHECK_INT(sock_connect(&to, 1, NULL, &no_options, soon(), &e), -1);
		CHECK_INT(sock_connect(&to, 1, NULL, &bad, soon(), &e), -1);
		CHECK_INT(sock_connect(&to, 1, &foreign, &no_options, soon(), &e), -1);
		CHECK_INT(sock_listen(&bound, false, &no_options, &e), -1);
		CHECK_INT(sock_listen(&foreign, false, &bad, &e), -1);
		CHECK_INT(sock_serve(NULL, addr_port(&bound), AF_UNSPEC, &no_options, &second, &e), -1);
	}
	int after = dup(0);
	CHECK_INT(after, before);
	close(after);
	close(holder);
	close(server);
}

/* --- aborting ---------------------------------------------------------------------------------------------------- */

static void test_abort(void)
{
	struct addr bound;
	char byte;
	int server = serve("127.0.0.1", AF_UNSPEC, &no_options, &bound), client = reach(&bound);
	int accepted = accept(server, NULL, NULL);
	sock_abort(accepted);
	CHECK_INT(fcntl(accepted, F_GETFD), -1);
	CHECK_INT(read(client, &byte, 1), -1);
	CHECK_INT(errno, ECONNRESET);
	close(client);
	close(server);
}

/* --- UDP --------------------------------------------------------------------------------------------------------- */

/* sock_serve_udp that must succeed. */
static int serve_udp(const char *host, int family, struct addr *bound)
{
	struct net_error e = { .op = "?" };
	char text[NET_ERROR_TEXT];
	int fd = sock_serve_udp(host, 0, family, bound, &e);
	if (!CHECK(fd >= 0))
		fprintf(stderr, "    %s\n", net_error_text(&e, text));
	return fd;
}

/* sock_connect_udp that must succeed. */
static int reach_udp(const struct addr *to, const struct addr *from)
{
	struct net_error e = { .op = "?" };
	char text[NET_ERROR_TEXT];
	int fd = sock_connect_udp(to, 1, from, &e);
	if (!CHECK(fd >= 0))
		fprintf(stderr, "    %s\n", net_error_text(&e, text));
	return fd;
}

/* Waits for a datagram of one byte: which. */
static int next_byte(int fd)
{
	unsigned char bytes[2];
	struct pollfd readable = { .fd = fd, .events = POLLIN };
	CHECK_INT(poll(&readable, 1, 10000), 1);
	return recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT) == 1 ? bytes[0] : -1;
}

/* What a client sends to this address arrives at the service, which is the port's only one. */
static bool is_heard_at(int server, const char *host, uint16_t port)
{
	struct addr to = literal(host, port);
	int fd = reach_udp(&to, NULL);
	CHECK_INT(send(fd, "?", 1, 0), 1);
	bool heard = next_byte(server) == '?';
	close(fd);
	return heard;
}

static void test_serve_udp(void)
{
	struct addr bound;
	char text[ADDR_TEXT];
	int fd = serve_udp("127.0.0.1", AF_UNSPEC, &bound);
	CHECK_INT(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	CHECK_INT(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
	CHECK_INT(option_of(fd, SOL_SOCKET, SO_TYPE), SOCK_DGRAM);
	CHECK_INT(option_of(fd, SOL_SOCKET, SO_REUSEADDR), 0);
	CHECK(strncmp(addr_text(&bound, text), "127.0.0.1:", 10) == 0);
	CHECK(is_heard_at(fd, "127.0.0.1", addr_port(&bound)));
	close(fd);
	fd = serve_udp(NULL, AF_INET, &bound);
	CHECK_INT(bound.u.sa.sa_family, AF_INET);
	CHECK(is_heard_at(fd, "127.0.0.2", addr_port(&bound)));
	close(fd);
}

static void test_serve_udp_everywhere(void)
{
	struct addr bound;
	int fd = serve_udp(NULL, AF_UNSPEC, &bound);
	CHECK_INT(bound.u.sa.sa_family, has_ipv6() ? AF_INET6 : AF_INET);
	CHECK(is_heard_at(fd, "127.0.0.1", addr_port(&bound)));
	if (has_ipv6())
		CHECK(is_heard_at(fd, "::1", addr_port(&bound)));
	close(fd);
}

/* Bound to IPv6 alone, the port is still there for IPv4. */
static void test_serve_udp_ipv6(void)
{
	struct addr bound, second;
	struct net_error e;
	for (int attempt = 0; attempt < 20; attempt++) {
		int fd = serve_udp(NULL, AF_INET6, &bound);
		CHECK_INT(option_of(fd, IPPROTO_IPV6, IPV6_V6ONLY), 1);
		int other = sock_serve_udp(NULL, addr_port(&bound), AF_INET, &second, &e);
		if (other >= 0) {
			CHECK(is_heard_at(fd, "::1", addr_port(&bound)));
			CHECK(is_heard_at(other, "127.0.0.1", addr_port(&bound)));
			close(other);
		}
		close(fd);
		if (other >= 0)
			return;
		CHECK_INT(e.sys, EADDRINUSE); /* somebody else happens to have that one: another port */
	}
	CHECK(false && "a port that is free in both families");
}

/* Two servers would share it, and one of them would hear nothing: the second is refused. TCP counts its ports itself. */
static void test_taken_udp_port(void)
{
	static const struct {
		const char *host;
		int family;
	} holders[] = { { "127.0.0.1", AF_UNSPEC }, { NULL, AF_INET }, { NULL, AF_UNSPEC } };
	for (size_t i = 0; i < COUNT_OF(holders); i++) {
		struct addr bound, second;
		struct net_error e = { 0 };
		char text[NET_ERROR_TEXT];
		int fd = serve_udp(holders[i].host, holders[i].family, &bound);
		uint16_t port = addr_port(&bound);
		CHECK_INT(sock_serve_udp(holders[i].host, port, holders[i].family, &second, &e), -1);
		CHECK_INT(e.sys, EADDRINUSE);
		CHECK(strncmp(net_error_text(&e, text), "bind ", 5) == 0);
		CHECK_INT(sock_serve_udp(NULL, port, AF_UNSPEC, &second, &e), -1);
		CHECK_INT(e.sys, EADDRINUSE);
		close(fd);
	}
	struct addr bound, same;
	struct net_error e = { .op = "?" };
	int tcp = serve("127.0.0.1", AF_UNSPEC, &no_options, &bound);
	int udp = sock_serve_udp("127.0.0.1", addr_port(&bound), AF_UNSPEC, &same, &e);
	CHECK(udp >= 0 || e.sys == EADDRINUSE); /* by somebody else */
	if (udp >= 0)
		CHECK(addr_equal(&bound, &same));
	close(udp);
	close(tcp);
}

static void test_serve_udp_failures(void)
{
	struct addr bound;
	struct net_error e = { 0 };
	char text[NET_ERROR_TEXT];
	CHECK_INT(sock_serve_udp("192.0.2.1", 0, AF_UNSPEC, &bound, &e), -1); /* RFC 5737: nobody's */
	CHECK(strncmp(net_error_text(&e, text), "bind 192.0.2.1:0: ", 18) == 0);
	CHECK_INT(e.sys, EADDRNOTAVAIL);
	CHECK_INT(sock_serve_udp("127.0.0.1", 0, AF_INET6, &bound, &e), -1);
	CHECK_STR(e.op, "resolve");
}

static void test_connect_udp(void)
{
	struct addr bound, from = literal("127.0.0.3", 0), here, there;
	struct net_error e, untouched;
	memset(&e, 0x5a, sizeof(e));
	untouched = e;
	int server = serve_udp("127.0.0.1", AF_UNSPEC, &bound), stranger = serve_udp("127.0.0.1", AF_UNSPEC, &there);
	int client = sock_connect_udp(&bound, 1, &from, &e);
	CHECK(client >= 0);
	CHECK_INT(memcmp(&e, &untouched, sizeof(e)), 0);
	CHECK_INT(fcntl(client, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	CHECK_INT(fcntl(client, F_GETFL) & O_NONBLOCK, 0);
	CHECK_INT(addr_of_socket(client, &here), 0);
	CHECK(here.u.in4.sin_addr.s_addr == from.u.in4.sin_addr.s_addr);
	CHECK_INT(addr_of_peer(client, &there), 0);
	CHECK(addr_equal(&there, &bound));
	/* A stranger's datagram, sent first, is not received. */
	CHECK_INT(sendto(stranger, "s", 1, 0, &here.u.sa, here.len), 1);
	CHECK_INT(sendto(server, "a", 1, 0, &here.u.sa, here.len), 1);
	CHECK_INT(next_byte(client), 'a');
	close(client);
	close(stranger);
	close(server);
}

/* A port that nobody has. Somebody may take it meanwhile, so the caller tries again. */
static struct addr closed_udp_port(void)
{
	struct addr a;
	close(serve_udp("127.0.0.1", AF_UNSPEC, &a));
	return a;
}

/* Nobody is there: it shows with the first datagram, by the ICMP message that comes back. */
static void test_refused_udp(void)
{
	ssize_t n = 0;
	char byte;
	for (int attempt = 0; attempt < 20 && n >= 0; attempt++) {
		struct addr nobody = closed_udp_port();
		int fd = reach_udp(&nobody, NULL);
		CHECK_INT(send(fd, "?", 1, 0), 1);
		struct pollfd p = { .fd = fd, .events = POLLIN };
		if (poll(&p, 1, 500) == 1)
			n = recv(fd, &byte, 1, MSG_DONTWAIT);
		int saved = errno;
		close(fd);
		errno = saved;
	}
	CHECK_INT(n, -1);
	CHECK_INT(errno, ECONNREFUSED);
}

static void test_connect_udp_failures(void)
{
	struct addr list[2] = { literal("::1", 1) }, from = literal("127.0.0.1", 0), foreign = literal("192.0.2.1", 0);
	struct net_error e = { 0 };
	char text[ADDR_TEXT];
	int server = serve_udp("127.0.0.1", AF_UNSPEC, &list[1]);
	int client = sock_connect_udp(list, 2, &from, &e); /* past the address of the other family */
	CHECK(client >= 0);
	close(client);
	CHECK_INT(sock_connect_udp(list, 1, &from, &e), -1);
	CHECK_INT(e.sys, EAFNOSUPPORT);
	CHECK_INT(sock_connect_udp(list, 0, NULL, &e), -1);
	CHECK_INT(e.sys, EAFNOSUPPORT);
	CHECK_INT(sock_connect_udp(&list[1], 1, &foreign, &e), -1);
	CHECK_STR(e.op, "bind");
	CHECK_STR(e.object, "192.0.2.1:0");
	CHECK_INT(e.sys, EADDRNOTAVAIL);
	/* Broadcast needs a permission (socket(7)): the first fails, the second does. */
	struct addr both[2] = { literal("255.255.255.255", 9), list[1] };
	CHECK_INT(sock_connect_udp(both, 1, NULL, &e), -1);
	CHECK_STR(e.op, "connect");
	CHECK_STR(e.object, addr_text(&both[0], text));
	client = sock_connect_udp(both, 2, NULL, &e);
	CHECK(client >= 0);
	close(client);
	close(server);
}

/* From a port to the same port: such a client would hear itself and take it for the server. */
static void test_udp_never_to_itself(void)
{
	struct net_error e = { .op = "?" };
	for (int attempt = 0; attempt < 20; attempt++) {
		struct addr self = closed_udp_port();
		CHECK_INT(sock_connect_udp(&self, 1, &self, &e), -1);
		if (strcmp(e.op, "bind") != 0)
			break;
	}
	CHECK_STR(e.op, "connect");
	CHECK_INT(e.sys, ECONNREFUSED);
}

static void test_no_udp_descriptor_leaks(void)
{
	struct addr bound, second, foreign = literal("192.0.2.1", 0), all = literal("255.255.255.255", 9);
	struct net_error e;
	int server = serve_udp("127.0.0.1", AF_UNSPEC, &bound);
	int before = dup(0); /* the lowest that is free */
	close(before);
	for (int i = 0; i < 10; i++) {
		CHECK_INT(sock_connect_udp(&bound, 1, &foreign, &e), -1);
		CHECK_INT(sock_connect_udp(&all, 1, NULL, &e), -1);
		CHECK_INT(sock_connect_udp(&foreign, 1, &foreign, &e), -1);
		CHECK_INT(sock_serve_udp(NULL, addr_port(&bound), AF_UNSPEC, &second, &e), -1);
	}
	test_udp_never_to_itself();
	int after = dup(0);
	CHECK_INT(after, before);
	close(after);
	close(server);
}

int main(void)
{
	test_options_are_set();
	test_defaults_are_left_alone();
	test_each_option_reports_its_error();
	test_refused_options();
	test_options_before_the_handshake();
	test_serve_one_address();
	test_serve_ipv4();
	if (has_ipv6()) {
		test_serve_ipv6();
		test_port_taken_in_ipv6_only();
	} else {
		printf("no IPv6 here: its tests are skipped\n");
	}
	test_serve_everywhere();
	test_taken_port();
	test_serve_failures();
	test_backlog();
	test_restart();
	test_connect();
	test_refused();
	test_second_answers();
	test_all_refuse();
	test_silence();
	test_cancel();
	test_silence_then_answer();
	test_source_address();
	test_other_family_is_passed_over();
	test_connect_with_a_bad_option();
	test_never_to_itself();
	test_two_halves();
	test_take_error();
	test_try_to_itself();
	test_leads_to();
	test_neighbour();
	test_no_descriptor_leaks();
	test_abort();
	test_serve_udp();
	test_serve_udp_everywhere();
	if (has_ipv6())
		test_serve_udp_ipv6();
	test_taken_udp_port();
	test_serve_udp_failures();
	test_connect_udp();
	test_refused_udp();
	test_connect_udp_failures();
	test_udp_never_to_itself();
	test_no_udp_descriptor_leaks();
	return check_done();
}
