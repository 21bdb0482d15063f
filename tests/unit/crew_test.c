/* crew_test.c - runs from beginning to end, on one loop and on several: connections begin together, the first failure is the one
 * that is reported, a signal ends everything, and nothing is left. The server of all of them is a thread with plain sockets. */
#include "crew.h"

#include "check.h"
#include "clock.h"
#include "diag.h"
#include "os.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MESSAGE = 1000, ECHO_STACK = 256 * 1024 };

/* --- the other side ---------------------------------------------------------------------------------------------- */

static int listen_fd;
static uint16_t port;
static atomic_int n_accepted;

/* Accepts for ever. How it treats connection number i is in `manner`. */
enum { ECHO, ECHO_THEN_RESET };
static atomic_int manner;

static void *echo(void *arg)
{
	int fd = (int)(intptr_t)arg;
	char b[MESSAGE];
	ssize_t n;
	while ((n = recv(fd, b, sizeof(b), 0)) > 0 && send(fd, b, (size_t)n, MSG_NOSIGNAL) == n)
		if (manner == ECHO_THEN_RESET)
			break;
	if (manner == ECHO_THEN_RESET)
		sock_abort(fd);
	else
		close(fd);
	return NULL;
}

static void *serve(void *arg)
{
	(void)arg;
	for (;;) {
		int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
		if (fd < 0)
			return NULL;
		atomic_fetch_add(&n_accepted, 1);
		/* WHY not pthread_detach(3): glibc's looks at the thread once more, which may have ended by then (its bug 19951). */
		if (os_thread_start(NULL, ECHO_STACK, echo, (void *)(intptr_t)fd) != 0)
			close(fd);
	}
}

/* --- a client ---------------------------------------------------------------------------------------------------- */

struct station_under_test {
	struct service_station base;
	unsigned begun, ended;
};

static atomic_int begun, begun_early; /* early: while connections were still missing */
static int wanted;

static void on_begin(struct session *s)
{
	static const char message[MESSAGE];
	atomic_fetch_add(&begun, 1);
	atomic_fetch_add(&begun_early, atomic_load(&n_accepted) < wanted);
	((struct station_under_test *)session_station(s))->begun++;
	conn_write(&s->conn, message, sizeof(message));
}

static size_t on_data(struct conn *c, const unsigned char *p, size_t n)
{
	(void)p;
	if (c->bytes_in == MESSAGE)
		conn_finish(c);
	return n;
}

static size_t on_data_wrong(struct conn *c, const unsigned char *p, size_t n)
{
	(void)p;
	service_wrong(session_of(c), "byte %d", 7);
	return n;
}

static size_t on_data_broken(struct conn *c, const unsigned char *p, size_t n)
{
	(void)p;
	service_broken(session_of(c), "we do not like it");
	return n;
}

static size_t on_data_for_ever(struct conn *c, const unsigned char *p, size_t n)
{
	conn_write(c, p, n);
	return n;
}

static unsigned reported_begun, reported_stations;

static void report(struct crew *crew, struct json *j)
{
	struct station_under_test *st;
	(void)j;
	reported_begun = reported_stations = 0;
	CHECK(!crew_is_server(crew));
	CHECK(crew_elapsed_ns(crew) > 0);
	for (unsigned i = 0; (st = (struct station_under_test *)crew_station(crew, i)) != NULL; i++) {
		reported_begun += st->begun;
		reported_stations++;
	}
}

/* A run of a client with these callbacks; what it prints is not shown. */
static int run_client(size_t (*data)(struct conn *, const unsigned char *, size_t), unsigned connections,
		      unsigned threads, uint64_t time_ns)
{
	const struct conn_ops ops = { .on_data = data, .on_closed = session_closed };
	const struct service what = { .name = "crew_test",
				      .client_len = sizeof(struct session),
				      .station_len = sizeof(struct station_under_test),
				      .client = &ops,
				      .on_begin = on_begin,
				      .report = report };
	const struct service_options o = { SERVICE_OPTIONS, .port = port, .time_ns = time_ns,
					   .timeout_ns = UINT64_C(20) * NS_PER_S, .interval_ns = 10 * NS_PER_MS };
	struct service_options with = o;
	with.connections = connections;
	with.threads = threads;
	atomic_store(&begun, 0);
	atomic_store(&begun_early, 0);
	atomic_store(&n_accepted, 0);
	wanted = (int)connections;
	fflush(NULL);
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC), out = dup(STDOUT_FILENO), err = dup(STDERR_FILENO);
	dup2(null, STDOUT_FILENO);
	dup2(null, STDERR_FILENO);
	int status = service_connect(&what, &with, "127.0.0.1");
	fflush(NULL);
	dup2(out, STDOUT_FILENO);
	dup2(err, STDERR_FILENO);
	close(null);
	close(out);
	close(err);
	return status;
}

static void test_in_order(void)
{
	manner = ECHO;
	for (unsigned threads = 1; threads <= 4; threads += 3) {
		CHECK_INT(run_client(on_data, 30, threads, 0), 0);
		CHECK_INT(atomic_load(&begun), 30);
		CHECK_INT(reported_begun, 30);
		CHECK_INT(reported_stations, threads);
	}
	/* More threads than connections: no station without one. */
	CHECK_INT(run_client(on_data, 2, 8, 0), 0);
	CHECK_INT(reported_stations, 2);
	/* An end by time, with everything under way. */
	CHECK_INT(run_client(on_data_for_ever, 10, 2, 50 * NS_PER_MS), 0);
}

static void test_failures(void)
{
	manner = ECHO;
	CHECK_INT(run_client(on_data_wrong, 30, 3, 0), 3);
	CHECK_INT(run_client(on_data_broken, 30, 3, 0), 1);
	manner = ECHO_THEN_RESET;
	CHECK_INT(run_client(on_data_for_ever, 30, 3, 0), 1);
	/* Nobody there: nothing begins. */
	uint16_t good = port;
	port = 1;
	CHECK_INT(run_client(on_data, 30, 3, 0), 1);
	CHECK_INT(atomic_load(&begun), 0);
	port = good;
}

static void *interrupt(void *arg)
{
	(void)arg;
	while (atomic_load(&begun) == 0)
		clk_sleep_until_ns(clk_mono_ns() + NS_PER_MS);
	kill(getpid(), SIGINT);
	return NULL;
}

/* The last test: from then on a signal has come. */
static void test_signal(void)
{
	pthread_t thread;
	sigset_t ends;
	sigemptyset(&ends);
	sigaddset(&ends, SIGINT);
	pthread_sigmask(SIG_BLOCK, &ends, NULL);
	atomic_store(&begun, 0);
	manner = ECHO;
	CHECK_INT(pthread_create(&thread, NULL, interrupt, NULL), 0);
	CHECK_INT(run_client(on_data_for_ever, 10, 3, 0), 130);
	pthread_join(thread, NULL);
}

int main(void)
{
	diag_tool = "crew_test";
	alarm(50); /* a run that does not end is a failure, too */
	const struct sock_options none = { 0 };
	struct net_error e;
	struct addr bound;
	listen_fd = sock_serve("127.0.0.1", 0, AF_INET, &none, &bound, &e);
	if (!CHECK(listen_fd >= 0))
		return check_done();
	port = addr_port(&bound);
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	pthread_t server;
	CHECK_INT(pthread_create(&server, NULL, serve, NULL), 0);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	test_in_order();
	test_failures();
	test_signal();
	shutdown(listen_fd, SHUT_RDWR);
	pthread_join(server, NULL);
	close(listen_fd);
	return check_done();
}
