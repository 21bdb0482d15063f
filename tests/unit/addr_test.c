/* addr_test.c - literals and unix names there and back, the resolver's errors by name, and which addresses are the
 * same. Nothing here asks a name server: names are literals of the wrong family, or "localhost". */
#include "addr.h"

#include "check.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <unistd.h>

static struct addr literal(const char *host, uint16_t port)
{
	struct addr a = { 0 };
	struct net_error e = { 0 };
	char text[NET_ERROR_TEXT];
	if (!CHECK_INT(addr_resolve(host, port, AF_UNSPEC, &a, 1, &e), 1))
		fprintf(stderr, "    %s\n", net_error_text(&e, text));
	return a;
}

static void test_literals(void)
{
	static const struct {
		const char *host;
		uint16_t port;
		const char *text;
		int family;
	} rows[] = {
		{ "127.0.0.1", 5001, "127.0.0.1:5001", AF_INET },
		{ "0.0.0.0", 0, "0.0.0.0:0", AF_INET },
		{ "255.255.255.255", 65535, "255.255.255.255:65535", AF_INET },
		{ "::1", 5001, "[::1]:5001", AF_INET6 },
		{ "::", 0, "[::]:0", AF_INET6 },
		{ "2001:db8:0:0:0:0:0:1", 443, "[2001:db8::1]:443", AF_INET6 },
		{ "2001:db8:1111:2222:3333:4444:5555:6666", 65535, "[2001:db8:1111:2222:3333:4444:5555:6666]:65535",
		  AF_INET6 },
		{ "::ffff:192.0.2.7", 80, "192.0.2.7:80", AF_INET6 },
	};
	char text[ADDR_TEXT];
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct addr a = literal(rows[i].host, rows[i].port);
		CHECK_STR(addr_text(&a, text), rows[i].text);
		CHECK_INT(addr_port(&a), rows[i].port);
		CHECK_INT(a.u.sa.sa_family, rows[i].family);
		CHECK_INT(a.len, rows[i].family == AF_INET ? sizeof(a.u.in4) : sizeof(a.u.in6));
	}
}

/* The longest text that there is fits, and an address of no family is not read as one. */
static void test_text_edges(void)
{
	char text[ADDR_TEXT];
	struct addr a = literal("fe80:1111:2222:3333:4444:5555:6666:7777", 65535);
	a.u.in6.sin6_scope_id = UINT32_MAX;
	CHECK_STR(addr_text(&a, text), "[fe80:1111:2222:3333:4444:5555:6666:7777%4294967295]:65535");
	a = (struct addr){ 0 };
	CHECK_STR(addr_text(&a, text), "(no address)");
	CHECK_INT(addr_port(&a), 0);
}

static void test_wildcards(void)
{
	struct addr list[ADDR_MAX], any4 = literal("0.0.0.0", 7), any6 = literal("::", 7);
	struct net_error e;
	CHECK_INT(addr_resolve(NULL, 7, AF_INET, list, ADDR_MAX, &e), 1);
	CHECK(addr_equal(&list[0], &any4));
	int n = addr_resolve(NULL, 7, AF_INET6, list, ADDR_MAX, &e);
	if (n == 1)
		CHECK(addr_equal(&list[0], &any6));
	else
		printf("no IPv6 wildcard address here: skipped\n");
}

/* One answer for each address, not one for each socket type; never more than there is room for. */
static void test_localhost(void)
{
	struct addr list[ADDR_MAX], guard;
	struct net_error e = { 0 };
	char text[ADDR_TEXT];
	CHECK_INT(addr_resolve("localhost", 5001, AF_INET, list, ADDR_MAX, &e), 1);
	CHECK_STR(addr_text(&list[0], text), "127.0.0.1:5001");
	int all = addr_resolve("localhost", 5001, AF_UNSPEC, list, ADDR_MAX, &e);
	CHECK(all >= 1 && all <= 4);
	for (int max = 0; max <= all; max++) {
		memset(list, 0x55, sizeof(list));
		guard = list[max];
		CHECK_INT(addr_resolve("localhost", 5001, AF_UNSPEC, list, (size_t)max, &e), max);
		CHECK_INT(memcmp(&list[max], &guard, sizeof(guard)), 0);
	}
}

/* What is written as an address, and nothing that would have to be looked up. */
static void test_literal(void)
{
	static const char *const names[] = { "localhost", "",          "127.0.0.1.",  "1.2.3.4.5",
					     "::1::",     "256.0.0.1", "fe80::1%none" };
	struct addr a, same;
	struct net_error e = { 0 };
	CHECK_INT(addr_literal("127.0.0.1", 7, AF_UNSPEC, &a, &e), 0);
	same = literal("127.0.0.1", 7);
	CHECK(addr_equal(&a, &same));
	CHECK_INT(a.len, same.len);
	CHECK_INT(addr_literal("::1", 7, AF_INET6, &a, &e), 0);
	same = literal("::1", 7);
	CHECK(addr_equal(&a, &same));
	CHECK_INT(addr_literal("::1", 7, AF_INET, &a, &e), -1);
	CHECK_STR(e.object, "::1");
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		e = (struct net_error){ 0 };
		if (!CHECK_INT(addr_literal(names[i], 7, AF_UNSPEC, &a, &e), -1))
			fprintf(stderr, "    \"%s\"\n", names[i]);
		CHECK_STR(e.op, "resolve");
		CHECK_STR(e.object, names[i]);
		CHECK_STR(net_error_symbol(&e), "EAI_NONAME");
	}
}

/* --- unix sockets ------------------------------------------------------------------------------------------------ */

static struct addr unix_addr(const char *path)
{
	struct addr a = { 0 };
	struct net_error e = { 0 };
	char text[NET_ERROR_TEXT];
	if (!CHECK_INT(addr_unix(path, &a, &e), 0))
		fprintf(stderr, "    %s\n", net_error_text(&e, text));
	return a;
}

/* As bind(2) and connect(2) want it: a path with its terminating zero, an abstract name without one. */
static void test_unix(void)
{
	struct addr path = unix_addr("/run/x"), name = unix_addr("@x");
	char text[ADDR_TEXT];
	CHECK_INT(path.u.sa.sa_family, AF_UNIX);
	CHECK_INT(path.len, offsetof(struct sockaddr_un, sun_path) + sizeof("/run/x"));
	CHECK_STR(path.u.un.sun_path, "/run/x");
	CHECK_STR(addr_text(&path, text), "/run/x");
	CHECK_INT(addr_port(&path), 0);
	CHECK_INT(name.len, offsetof(struct sockaddr_un, sun_path) + 2);
	CHECK_INT(name.u.un.sun_path[0], '\0');
	CHECK_INT(name.u.un.sun_path[1], 'x');
	CHECK_STR(addr_text(&name, text), "@x");
}

/* 107 characters and a zero fit (unix(7)), in either kind of name; one more does not. */
static void test_unix_edges(void)
{
	char path[200], text[ADDR_TEXT];
	struct addr a;
	struct net_error e = { 0 };
	memset(path, 'p', sizeof(path));
	path[108] = '\0';
	CHECK_INT(addr_unix(path, &a, &e), -1);
	CHECK_STR(net_error_symbol(&e), "ENAMETOOLONG");
	CHECK_STR(e.object, path);
	path[107] = '\0';
	a = unix_addr(path);
	CHECK_INT(a.len, sizeof(struct sockaddr_un));
	CHECK_STR(addr_text(&a, text), path);
	path[0] = '@';
	a = unix_addr(path);
	CHECK_INT(a.len, sizeof(struct sockaddr_un) - 1);
	CHECK_STR(addr_text(&a, text), path);
	CHECK_INT(addr_unix("", &a, &e), -1);
	CHECK_STR(net_error_symbol(&e), "ENOENT");
	CHECK_STR(e.op, "resolve");
	/* The kernel fills all 108 bytes of a path without a zero at the end when it was bound so. */
	a = (struct addr){ .len = sizeof(struct sockaddr_un), .u.un.sun_family = AF_UNIX };
	memset(a.u.un.sun_path, 'p', sizeof(a.u.un.sun_path));
	CHECK_INT(strlen(addr_text(&a, text)), sizeof(a.u.un.sun_path));
	/* What getsockname(2) says of a socket without a name. */
	a = (struct addr){ .len = sizeof(sa_family_t), .u.sa.sa_family = AF_UNIX };
	CHECK_STR(addr_text(&a, text), "(unnamed)");
}

static void test_unix_equal(void)
{
	struct addr path = unix_addr("/run/x"), same = unix_addr("/run/x"), longer = unix_addr("/run/xy");
	struct addr name = unix_addr("@run/x"), same_name = unix_addr("@run/x"), longer_name = unix_addr("@run/xy");
	struct addr unnamed = { .len = sizeof(sa_family_t), .u.sa.sa_family = AF_UNIX }, four = literal("127.0.0.1", 0);
	CHECK(addr_equal(&path, &same));
	CHECK(addr_equal(&name, &same_name));
	CHECK(!addr_equal(&path, &longer));
	CHECK(!addr_equal(&longer, &path));
	CHECK(!addr_equal(&name, &longer_name));
	CHECK(!addr_equal(&path, &name));
	CHECK(!addr_equal(&unnamed, &unnamed));
	CHECK(!addr_equal(&unnamed, &path));
	CHECK(!addr_equal(&path, &unnamed));
	CHECK(!addr_equal(&path, &four));
	CHECK(!addr_equal(&four, &path));
	/* What lies behind the name does not count. */
	memset(same.u.un.sun_path + sizeof("/run/x"), 0x55, 20);
	CHECK(addr_equal(&path, &same));
}

/* What the kernel says of such sockets reads as what was asked for. */
static void test_unix_sockets(void)
{
	char wanted[64], text[ADDR_TEXT];
	struct addr here, there;
	snprintf(wanted, sizeof(wanted), "@tcplab-addr-test-%ld", (long)getpid());
	struct addr bound = unix_addr(wanted);
	int server = socket(AF_UNIX, SOCK_STREAM, 0), client = socket(AF_UNIX, SOCK_STREAM, 0);
	CHECK_INT(bind(server, &bound.u.sa, bound.len), 0);
	CHECK_INT(listen(server, 1), 0);
	CHECK_INT(connect(client, &bound.u.sa, bound.len), 0);
	CHECK_INT(addr_of_peer(client, &there), 0);
	CHECK(addr_equal(&there, &bound));
	CHECK_STR(addr_text(&there, text), wanted);
	CHECK_INT(addr_of_socket(client, &here), 0);
	CHECK_STR(addr_text(&here, text), "(unnamed)");
	close(client);
	close(server);
}

/* --- errors ------------------------------------------------------------------------------------------------------ */

static void test_resolver_error(void)
{
	struct addr a;
	struct net_error e = { .sys = 1 };
	char text[NET_ERROR_TEXT], want[NET_ERROR_TEXT];
	CHECK_INT(addr_resolve("::1", 1, AF_INET, &a, 1, &e), -1);
	CHECK_STR(e.op, "resolve");
	CHECK_STR(e.object, "::1");
	CHECK(e.gai != 0);
	CHECK_STR(net_error_reason(&e), gai_strerror(e.gai));
	CHECK(strncmp(net_error_symbol(&e), "EAI_", 4) == 0 && strcmp(net_error_symbol(&e), "EAI_?") != 0);
	snprintf(want, sizeof(want), "resolve ::1: %s (%s)", gai_strerror(e.gai), net_error_symbol(&e));
	CHECK_STR(net_error_text(&e, text), want);
	CHECK_INT(addr_resolve("127.0.0.1", 1, AF_INET6, &a, 1, &e), -1);
	CHECK(e.gai != 0);
	CHECK_INT(addr_resolve(NULL, 1, 12345, &a, 1, &e), -1);
	CHECK_STR(e.object, "*");
	CHECK_STR(net_error_symbol(&e), "EAI_FAMILY");
}

static void test_symbols(void)
{
	struct net_error e = { .op = "resolve", .sys = ENOMEM, .gai = EAI_SYSTEM };
	CHECK_STR(net_error_symbol(&e), "ENOMEM");
	CHECK_STR(net_error_reason(&e), strerror(ENOMEM));
	e.gai = EAI_NONAME;
	CHECK_STR(net_error_symbol(&e), "EAI_NONAME");
	e.gai = EAI_AGAIN;
	CHECK_STR(net_error_symbol(&e), "EAI_AGAIN");
	e.gai = EAI_FAIL;
	CHECK_STR(net_error_symbol(&e), "EAI_FAIL");
	e.gai = EAI_MEMORY;
	CHECK_STR(net_error_symbol(&e), "EAI_MEMORY");
	e.gai = EAI_SERVICE;
	CHECK_STR(net_error_symbol(&e), "EAI_SERVICE");
	e.gai = -9999;
	CHECK_STR(net_error_symbol(&e), "EAI_?");
}

static void test_net_fail(void)
{
	struct net_error e = { .gai = EAI_FAIL };
	char text[NET_ERROR_TEXT], want[NET_ERROR_TEXT], object[1000];
	errno = ECONNREFUSED;
	CHECK_INT(net_fail(&e, "connect", "10.0.0.2:5001"), -1);
	CHECK_INT(e.gai, 0);
	CHECK_INT(e.sys, ECONNREFUSED);
	CHECK_STR(net_error_symbol(&e), "ECONNREFUSED");
	snprintf(want, sizeof(want), "connect 10.0.0.2:5001: %s (ECONNREFUSED)", strerror(ECONNREFUSED));
	CHECK_STR(net_error_text(&e, text), want);
	memset(object, 'o', sizeof(object) - 1);
	object[sizeof(object) - 1] = '\0';
	net_fail(&e, "connect", object);
	CHECK_INT(strlen(e.object), 127);
	CHECK(strlen(net_error_text(&e, text)) < NET_ERROR_TEXT);
}

/* --- which are the same ------------------------------------------------------------------------------------------ */

static void test_equal(void)
{
	struct addr four = literal("127.0.0.1", 1), six = literal("::1", 1), same;
	CHECK(addr_equal(&four, &four));
	CHECK(addr_equal(&six, &six));
	CHECK(!addr_equal(&four, &six));
	same = literal("127.0.0.1", 2);
	CHECK(!addr_equal(&four, &same));
	same = literal("127.0.0.2", 1);
	CHECK(!addr_equal(&four, &same));
	same = literal("::1", 2);
	CHECK(!addr_equal(&six, &same));
	same = literal("::2", 1);
	CHECK(!addr_equal(&six, &same));
	/* Only family, address and port count, not what else is in the structure. */
	same = four;
	memset(same.u.in4.sin_zero, 0x55, sizeof(same.u.in4.sin_zero));
	CHECK(addr_equal(&four, &same));
	same = six;
	same.u.in6.sin6_flowinfo = 7;
	CHECK(addr_equal(&six, &same));
}

static uint64_t source(const char *host)
{
	struct addr a = literal(host, 1), other_port = literal(host, 2);
	CHECK(addr_source(&a) == addr_source(&other_port));
	return addr_source(&a);
}

static void test_source(void)
{
	CHECK(source("192.0.2.7") == 0xc0000207);
	CHECK(source("255.255.255.255") == 0xffffffff);
	CHECK(source("::ffff:192.0.2.7") == source("192.0.2.7"));
	CHECK(source("2001:db8:1:2::1") == UINT64_C(0x20010db800010002));
	CHECK(source("2001:db8:1:2:3:4:5:6") == source("2001:db8:1:2::1"));
	CHECK(source("2001:db8:1:3::1") != source("2001:db8:1:2::1"));
}

static bool is_loopback(const char *host)
{
	struct addr a = literal(host, 1);
	return addr_is_loopback(&a);
}

static void test_loopback(void)
{
	static const char *const ours[] = { "127.0.0.1", "127.0.0.0",        "127.255.255.255",
					    "::1",       "::ffff:127.0.0.1", "::ffff:127.9.8.7" };
	static const char *const others[] = {
		"126.255.255.255",  "128.0.0.0", "0.0.0.0",    "10.0.0.127", "192.0.2.1",
		"255.255.255.255",  "::",        "::2",        "1::1",       "::127.0.0.1",
		"::ffff:128.0.0.1", "fe80::1",   "2001:db8::1"
	};
	for (size_t i = 0; i < COUNT_OF(ours); i++)
		if (!CHECK(is_loopback(ours[i])))
			fprintf(stderr, "    %s\n", ours[i]);
	for (size_t i = 0; i < COUNT_OF(others); i++)
		if (!CHECK(!is_loopback(others[i])))
			fprintf(stderr, "    %s\n", others[i]);
	/* What has no IP address is not taken for one. */
	struct addr path = unix_addr("/run/x"), none = { 0 };
	CHECK(!addr_is_loopback(&path));
	CHECK(!addr_is_loopback(&none));
}

/* --- sockets ----------------------------------------------------------------------------------------------------- */

static void test_sockets(void)
{
	struct addr here, there, bound = literal("127.0.0.1", 0);
	int server = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0);
	CHECK_INT(bind(server, &bound.u.sa, bound.len), 0);
	CHECK_INT(listen(server, 1), 0);
	CHECK_INT(addr_of_socket(server, &bound), 0);
	CHECK(addr_port(&bound) != 0);
	CHECK_INT(bound.len, sizeof(bound.u.in4));
	CHECK_INT(addr_of_peer(client, &there), -1);
	CHECK_INT(errno, ENOTCONN);

	CHECK_INT(connect(client, &bound.u.sa, bound.len), 0);
	int accepted = accept(server, NULL, NULL);
	CHECK_INT(addr_of_peer(client, &there), 0);
	CHECK(addr_equal(&there, &bound));
	CHECK_INT(addr_of_socket(client, &here), 0);
	CHECK_INT(addr_of_peer(accepted, &there), 0);
	CHECK(addr_equal(&here, &there));
	close(accepted);
	close(client);
	close(server);
	CHECK_INT(addr_of_socket(-1, &here), -1);
	CHECK_INT(errno, EBADF);
}

int main(void)
{
	test_literals();
	test_text_edges();
	test_wildcards();
	test_localhost();
	test_literal();
	test_unix();
	test_unix_edges();
	test_unix_equal();
	test_unix_sockets();
	test_resolver_error();
	test_symbols();
	test_net_fail();
	test_equal();
	test_source();
	test_loopback();
	test_sockets();
	return check_done();
}
