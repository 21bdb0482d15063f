/* selfconnect_selfline_test.c - finding a connection to itself among the kernel's lines: those of other connections, of the same
 * port, and of another address are none; and a real one, in both families. */
#include "../../tools/selfconnect/selfline.h"

#include "check.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static struct selfline find_in(const char *text, unsigned port)
{
	char name[] = "/tmp/selfline_test.XXXXXX";
	int fd = mkstemp(name);
	CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	struct selfline found = selfline_find(name, port);
	close(fd);
	unlink(name);
	return found;
}

#define HEADING "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
#define REST    " 00000000:00000000 00:00000000 00000000     0        0 1234 1 0000000000000000 20 4 30 10 -1\n"

static void test_lines(void)
{
	CHECK_INT(find_in("", 40000).n, 0);
	CHECK_INT(find_in(HEADING, 40000).n, 0);
	struct selfline one = find_in(HEADING "   0: 0100007F:9C40 0100007F:9C40 01" REST, 40000);
	CHECK_INT(one.n, 1);
	CHECK_INT(one.state, TCP_ESTABLISHED);
	one = find_in(HEADING "   0: 0100007F:0016 00000000:0000 0A" REST "1234: 0100007F:9C40 0100007F:9C40 06" REST
			      "   2: 0100007F:9C41 0100007F:9C41 01" REST,
		      40000);
	CHECK_INT(one.n, 1);
	CHECK_INT(one.state, TCP_TIME_WAIT);
	/* One end only, another address, nobody at the other end. */
	CHECK_INT(find_in("   0: 0100007F:9C40 0100007F:9C42 01" REST, 40000).n, 0);
	CHECK_INT(find_in("   0: 0100007F:9C42 0100007F:9C40 01" REST, 40000).n, 0);
	CHECK_INT(find_in("   0: 0100007F:9C40 0200007F:9C40 01" REST, 40000).n, 0);
	CHECK_INT(find_in("   0: 0100007F:9C40 00000000:0000 0A" REST, 40000).n, 0);
	one = find_in("   0: 00000000000000000000000001000000:9C40 00000000000000000000000001000000:9C40 01" REST,
		      40000);
	CHECK_INT(one.n, 1);
}

static void test_no_file(void)
{
	CHECK_INT(selfline_find("/proc/no/such/file", 40000).n, 0);
	CHECK_INT(selfline_find("/proc/no/such/file", 40000).state, 0);
}

static void test_names(void)
{
	CHECK_STR(selfline_state_name(0), "none");
	CHECK_STR(selfline_state_name(TCP_ESTABLISHED), "ESTABLISHED");
	CHECK_STR(selfline_state_name(TCP_TIME_WAIT), "TIME-WAIT");
	CHECK_STR(selfline_state_name(TCP_CLOSING), "CLOSING");
	CHECK_STR(selfline_state_name(12), "unknown");
	CHECK_STR(selfline_file(false, false), "/proc/net/tcp");
	CHECK_STR(selfline_file(false, true), "/proc/net/tcp6");
	CHECK_STR(selfline_file(true, false), "/proc/net/udp");
	CHECK_STR(selfline_file(true, true), "/proc/net/udp6");
}

/* UDP, because it leaves nothing behind. */
static void test_real(int family, const char *file)
{
	struct sockaddr_storage where = { .ss_family = (sa_family_t)family };
	struct sockaddr_in *in4 = (struct sockaddr_in *)&where;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&where;
	socklen_t len = sizeof(where);
	if (family == AF_INET)
		in4->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	else
		in6->sin6_addr = in6addr_loopback;
	int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&where, family == AF_INET ? sizeof(*in4) : sizeof(*in6)) < 0) {
		CHECK(family == AF_INET6); /* it may be switched off */
		return;
	}
	CHECK_INT(getsockname(fd, (struct sockaddr *)&where, &len), 0);
	unsigned port = ntohs(in4->sin_port); /* at the same place in both */
	CHECK_INT(selfline_find(file, port).n, 0);
	CHECK_INT(connect(fd, (struct sockaddr *)&where, len), 0);
	CHECK_INT(selfline_find(file, port).n, 1);
	CHECK_INT(selfline_find(file, port).state, TCP_ESTABLISHED);
	close(fd);
	CHECK_INT(selfline_find(file, port).n, 0);
}

int main(void)
{
	test_lines();
	test_no_file();
	test_names();
	test_real(AF_INET, "/proc/net/udp");
	test_real(AF_INET6, "/proc/net/udp6");
	return check_done();
}
