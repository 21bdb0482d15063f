/* asker_test.c - a question gets its answer; a lost one is asked again; no answer is 1, a wrong one is 3. The server is a child. */
#include "asker.h"

#include "check.h"
#include "diag.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* Echoes every datagram but the first `n_lost`, until it is killed. */
static pid_t start_server(uint16_t *port, int n_lost)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct addr a = { .len = sizeof(a.u.in4),
			  .u.in4 = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } } };
	if (bind(fd, &a.u.sa, a.len) < 0 || addr_of_socket(fd, &a) < 0)
		abort();
	*port = addr_port(&a);
	pid_t pid = fork();
	if (pid != 0) {
		close(fd);
		return pid;
	}
	alarm(30);
	for (int i = 0;; i++) {
		unsigned char q[2048];
		struct addr from = { .len = sizeof(from.u) };
		ssize_t n = recvfrom(fd, q, sizeof(q), 0, &from.u.sa, &from.len);
		if (n >= 0 && i >= n_lost)
			(void)!sendto(fd, q, (size_t)n, 0, &from.u.sa, from.len);
	}
}

static void stop_server(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static uint64_t n_asked, n_checked;

static size_t ask(unsigned char *q, uint64_t number)
{
	n_asked++;
	memset(q, (int)number, 100);
	return 100;
}

static const char *check_same(const unsigned char *q, size_t n, const unsigned char *a, size_t len)
{
	n_checked++;
	return n == len && memcmp(q, a, n) == 0 ? NULL : "other bytes";
}

static const char *check_never(const unsigned char *q, size_t n, const unsigned char *a, size_t len)
{
	(void)q, (void)n, (void)a, (void)len;
	return "never right";
}

/* The exit status; reports are not shown. */
static int run(uint16_t port, uint64_t count, asker_check_fn *check)
{
	const struct service_options o = { .port = port, .count = count, .udp = true, .json = true };
	n_asked = n_checked = 0;
	fflush(NULL);
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC), out = dup(STDOUT_FILENO), err = dup(STDERR_FILENO);
	dup2(null, STDOUT_FILENO);
	dup2(null, STDERR_FILENO);
	int status = asker_run(&o, "127.0.0.1", ask, check, NULL);
	dup2(out, STDOUT_FILENO);
	dup2(err, STDERR_FILENO);
	close(null);
	close(out);
	close(err);
	return status;
}

int main(void)
{
	uint16_t port;
	diag_tool = "asker_test";
	pid_t server = start_server(&port, 0);
	CHECK_INT(run(port, 50, check_same), 0);
	CHECK_INT(n_asked, 50);
	CHECK_INT(n_checked, 50);
	CHECK_INT(run(port, 5, check_never), 3);
	CHECK_INT(n_asked, 1);
	CHECK_INT(run(port, 5, NULL), 0);
	CHECK_INT(n_asked, 5);
	stop_server(server);
	CHECK_INT(run(port, 1, check_same), 1); /* nobody there: ECONNREFUSED */
	server = start_server(&port, ASKER_TRIES - 1);
	CHECK_INT(run(port, 1, check_same), 0); /* lost, lost, answered */
	stop_server(server);
	server = start_server(&port, 1000);
	CHECK_INT(run(port, 1, check_same), 1);
	CHECK_INT(n_checked, 0);
	stop_server(server);
	return check_done();
}
