/* service_test.c - what a command line may say, and what follows from it. Whole runs of servers and clients are in crew_test.c and
 * in the tests of the tools. */
#include "service.h"

#include "check.h"
#include "clock.h"
#include "diag.h"

#include <fcntl.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* service_check ends the process when it finds misuse: with which status. */
static int status_of(struct service_options o, const char *host, bool check_limits)
{
	char *operands[] = { (char *)(uintptr_t)host, NULL };
	fflush(NULL);
	pid_t pid = fork();
	if (pid == 0) {
		dup2(open("/dev/null", O_WRONLY), STDERR_FILENO);
		service_check(&o, operands);
		if (check_limits)
			service_check_limits(&o, false);
		_exit(0);
	}
	int status = 0;
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static const struct service_options client = { SERVICE_OPTIONS, .port = 7 };
static const struct service_options server = { SERVICE_OPTIONS, .port = 7, .server = true };

#define WITH(base, ...) with((base), &(struct service_options){ __VA_ARGS__ })
static struct service_options with(struct service_options base, const struct service_options *more)
{
	base.udp |= more->udp;
	base.ipv4 |= more->ipv4;
	base.ipv6 |= more->ipv6;
	base.bytes |= more->bytes;
	base.time_ns |= more->time_ns;
	if (more->bind != NULL)
		base.bind = more->bind;
	if (more->connections != 0)
		base.connections = more->connections;
	return base;
}

static void test_misuse(void)
{
	CHECK_INT(status_of(client, "h", true), 0);
	CHECK_INT(status_of(server, NULL, true), 0);
	CHECK_INT(status_of(client, NULL, false), 2);
	CHECK_INT(status_of(server, "h", false), 2);
	CHECK_INT(status_of(WITH(client, .ipv4 = true, .ipv6 = true), "h", false), 2);
	CHECK_INT(status_of(WITH(client, .bind = "::1"), "h", false), 2);
	CHECK_INT(status_of(WITH(server, .udp = true), NULL, false), 2);
	CHECK_INT(status_of(WITH(server, .time_ns = 1), NULL, false), 2);
	CHECK_INT(status_of(WITH(server, .connections = 2), NULL, false), 2);
	CHECK_INT(status_of(WITH(server, .bytes = 1), NULL, true), 2);
	CHECK_INT(status_of(WITH(server, .bytes = 1), NULL, false), 0);
	struct service_options no_port = client;
	no_port.port = 0;
	CHECK_INT(status_of(no_port, "h", false), 2);
}

static void test_defaults(void)
{
	char host[] = "h", *operands[] = { host, NULL }, *none[] = { NULL };
	struct service_options o = client;
	CHECK(service_check(&o, operands) == host);
	CHECK_INT(o.timeout_ns, UINT64_C(30) * NS_PER_S);
	service_check_limits(&o, false);
	CHECK_INT(o.time_ns, UINT64_C(10) * NS_PER_S);
	o = WITH(client, .bytes = 5);
	service_check_limits(&o, false);
	CHECK_INT(o.time_ns, 0);
	o = server;
	CHECK(service_check(&o, none) == NULL);
	CHECK_INT(o.timeout_ns, 0);
	service_check_limits(&o, true);
	CHECK_INT(o.time_ns, 0);
}

static void test_family(void)
{
	struct service_options v4 = WITH(client, .ipv4 = true), v6 = WITH(client, .ipv6 = true);
	CHECK_INT(service_family(&client), AF_UNSPEC);
	CHECK_INT(service_family(&v4), AF_INET);
	CHECK_INT(service_family(&v6), AF_INET6);
}

int main(void)
{
	diag_tool = "service_test";
	test_misuse();
	test_defaults();
	test_family();
	return check_done();
}
