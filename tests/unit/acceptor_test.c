/* acceptor_test.c - connections are taken in batches and up to a limit; too many descriptors, real (RLIMIT_NOFILE)
 * and pretended (accept4(2) is replaced in this program): the peers learn it, the loop sleeps, and it goes on when it
 * can. */
#include "acceptor.h"

#include "check.h"
#include "loopback.h"
#include "os.h"

#include <netinet/tcp.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>

enum { CLIENTS_MAX = 200 };

static const struct sock_options no_options;

/* --- accept4, as the kernel has it and otherwise ----------------------------------------------------------------- */

/* The next call fails with each of these in turn; all_fail: all the others, too. */
static int errors[8], n_errors, all_fail;
static unsigned n_calls;

int accept4(int fd, struct sockaddr *restrict peer, socklen_t *restrict len, int flags)
{
	n_calls++;
	int err = n_errors > 0 ? errors[--n_errors] : all_fail;
	if (err == 0)
		return (int)syscall(SYS_accept4, fd, peer, len, flags);
	errno = err;
	return -1;
}

/* --- a server and its clients ------------------------------------------------------------------------------------ */

static struct server {
	struct acceptor acceptor;
	struct reactor *r;
	int listener;
	struct addr bound;
	int client[CLIENTS_MAX], accepted[CLIENTS_MAX];
	struct addr peer[CLIENTS_MAX]; /* as on_accept was told */
	unsigned n_clients, n_accepted;
	unsigned stop_after; /* on_accept stops the acceptor at this connection */
	bool releases;       /* on_accept closes and releases at once */
} server;

static void take(struct acceptor *a, int fd, const struct addr *peer)
{
	CHECK(a == &server.acceptor);
	CHECK(fcntl(fd, F_GETFL) & O_NONBLOCK);
	CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	CHECK(a->max_live == 0 || a->live <= a->max_live);
	server.peer[server.n_accepted] = *peer;
	server.accepted[server.n_accepted++] = fd;
	if (server.releases) {
		close(fd);
		acceptor_release(a);
	}
	if (server.n_accepted == server.stop_after)
		acceptor_stop(a);
}

static void server_open(struct reactor *r, unsigned max_live)
{
	server = (struct server){ .r = r };
	server.listener = loopback_listen(&server.bound, &no_options);
	CHECK_INT(acceptor_start(&server.acceptor, r, server.listener, max_live, take), 0);
	CHECK(fcntl(server.listener, F_GETFL) & O_NONBLOCK);
}

/* How many connections wait in the listener's backlog (inet_diag has the same number as Recv-Q, ss(8)). */
static unsigned backlog(void)
{
	struct tcp_info info = { 0 };
	socklen_t len = sizeof(info);
	CHECK_INT(getsockopt(server.listener, IPPROTO_TCP, TCP_INFO, &info, &len), 0);
	return info.tcpi_unacked;
}

/* They wait in the backlog afterwards. */
static void connect_clients(unsigned n)
{
	unsigned waiting = backlog() + n;
	while (n-- > 0)
		server.client[server.n_clients++] = loopback_connect(&server.bound, &no_options);
	while (backlog() < waiting)
		sched_yield();
}

/* How many of the clients were closed by the server so far; anything else than EOF is a failure. */
static unsigned count_eofs(void)
{
	unsigned n = 0;
	for (unsigned i = 0; i < server.n_clients; i++) {
		char byte;
		ssize_t got = recv(server.client[i], &byte, 1, MSG_PEEK);
		CHECK(got == 0 || (got < 0 && errno == EAGAIN));
		n += got == 0;
	}
	return n;
}

static void hang_up_the_oldest(void)
{
	for (unsigned i = 0; i < server.n_accepted; i++) {
		if (server.accepted[i] < 0)
			continue;
		close(server.accepted[i]);
		server.accepted[i] = -1;
		acceptor_release(&server.acceptor);
		return;
	}
}

static void server_close(void)
{
	acceptor_stop(&server.acceptor);
	acceptor_stop(&server.acceptor);
	CHECK(!timer_is_armed(&server.acceptor.pause));
	CHECK_INT(fcntl(server.listener, F_GETFD), FD_CLOEXEC); /* borrowed: still open */
	close(server.listener);
	for (unsigned i = 0; i < server.n_clients; i++)
		close(server.client[i]);
	for (unsigned i = 0; i < server.n_accepted; i++)
		if (server.accepted[i] >= 0 && !server.releases)
			close(server.accepted[i]);
	run(server.r);
}

/* --- taking ------------------------------------------------------------------------------------------------------ */

/* Each client once, with its address, a batch in each round. */
static void test_takes_all(struct reactor *r)
{
	server_open(r, 0);
	connect_clients(100);
	RUN_UNTIL(r, server.n_accepted > 0);
	CHECK_INT(server.n_accepted, ACCEPTOR_BATCH);
	RUN_UNTIL(r, server.n_accepted == 100);
	CHECK_INT(server.acceptor.accepted, 100);
	CHECK_INT(server.acceptor.live, 100);
	CHECK_INT(server.acceptor.shed, 0);
	for (unsigned i = 0; i < 100; i++) {
		struct addr client;
		CHECK_INT(addr_of_socket(server.client[i], &client), 0);
		CHECK(addr_equal(&client, &server.peer[i])); /* a backlog is a queue */
	}
	CHECK(rounds_in(r, 5 * NS_PER_MS) <= FEW);
	server_close();
}

/* At max_live the others wait in the backlog, unharmed, and nobody is woken up for them; each release lets one more
 * in. */
static void test_max_live(struct reactor *r)
{
	server_open(r, 3);
	connect_clients(10);
	RUN_UNTIL(r, server.n_accepted == 3);
	CHECK(rounds_in(r, 5 * NS_PER_MS) <= FEW);
	CHECK_INT(server.n_accepted, 3);
	CHECK_INT(count_eofs(), 0);
	for (unsigned n = 3; n < 10; n++) {
		hang_up_the_oldest();
		RUN_UNTIL(r, server.n_accepted == n + 1);
		one_round(r);
		CHECK_INT(server.acceptor.live, 3);
		CHECK_INT(server.n_accepted, n + 1);
	}
	CHECK_INT(server.acceptor.accepted, 10);
	CHECK_INT(server.acceptor.shed, 0);
	server_close();
}

/* The place is free again before on_accept returns: the limit is no obstacle. */
static void test_released_in_on_accept(struct reactor *r)
{
	server_open(r, 1);
	server.releases = true;
	connect_clients(20);
	RUN_UNTIL(r, server.n_accepted == 20);
	CHECK_INT(server.acceptor.live, 0);
	server_close();
}

/* In the middle of a batch. The others stay in the backlog for whoever listens next. */
static void test_stop_in_on_accept(struct reactor *r)
{
	server_open(r, 0);
	server.stop_after = 4;
	connect_clients(10);
	run(r); /* ends: nothing is left on the loop */
	CHECK_INT(server.n_accepted, 4);
	CHECK_INT(server.acceptor.live, 4);
	acceptor_release(&server.acceptor); /* connections outlive the acceptor */
	CHECK_INT(server.acceptor.live, 3);
	server.stop_after = 0;
	CHECK_INT(acceptor_start(&server.acceptor, r, server.listener, 0, take), 0);
	RUN_UNTIL(r, server.n_accepted == 10);
	CHECK_INT(server.acceptor.live, 6);
	server_close();
}

static void check_start_fails(struct reactor *r, int fd, int want)
{
	struct acceptor a;
	unsigned open = count_open_fds();
	CHECK_INT(acceptor_start(&a, r, fd, 0, take), -1);
	CHECK_INT(errno, want);
	acceptor_stop(&a);
	CHECK_INT(count_open_fds(), open);
}

static void test_start_fails(struct reactor *r)
{
	struct addr bound;
	int listener = loopback_listen(&bound, &no_options);
	check_start_fails(r, -1, EBADF);
	if (loop_is(r, "select") && os_raise_fd_limit() > (uint64_t)reactor_fd_limit(r)) {
		int high = fcntl(listener, F_DUPFD_CLOEXEC, reactor_fd_limit(r));
		check_start_fails(r, high, ERANGE);
		close(high);
	}
	close(listener);
}

/* --- stderr, read back ------------------------------------------------------------------------------------------- */

static int stderr_fd, log_fd;
static unsigned long bad_before;

static void begin_log(void)
{
	FILE *file = tmpfile();
	bad_before = check_bad;
	log_fd = dup(fileno(file));
	fclose(file);
	stderr_fd = dup(STDERR_FILENO);
	dup2(log_fd, STDERR_FILENO);
}

/* What was written since, at most 1023 bytes, in text; how many lines that is. Failed checks among them are passed
 * on. */
static unsigned end_log(char text[static 1024])
{
	unsigned lines = 0;
	dup2(stderr_fd, STDERR_FILENO);
	close(stderr_fd);
	ssize_t n = pread(log_fd, text, 1023, 0);
	close(log_fd);
	text[n > 0 ? n : 0] = '\0';
	for (const char *p = text; (p = strchr(p, '\n')) != NULL; p++)
		lines++;
	if (check_bad != bad_before)
		fputs(text, stderr);
	return lines;
}

/* --- too many descriptors ---------------------------------------------------------------------------------------- */

/* The descriptor that the next open(2) would get. */
static int lowest_free_fd(void)
{
	int fd = dup(STDERR_FILENO);
	close(fd);
	return fd;
}

/* Leaves n descriptors to open: the numbers below the lowest free one are all taken. */
static void leave_descriptors(unsigned n)
{
	struct rlimit limit;
	CHECK_INT(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = (rlim_t)lowest_free_fd() + n;
	CHECK_INT(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

/* Asleep until so many were accepted and shed, which takes a pause. Returns how many rounds there were. */
static uint64_t sleep_until(struct reactor *r, uint64_t accepted, uint64_t shed)
{
	uint64_t rounds = 0;
	while (server.acceptor.accepted < accepted || server.acceptor.shed < shed)
		rounds += rounds_in(r, 50 * NS_PER_MS);
	return rounds;
}

/* 100 clients, 10 descriptors: ten are served, the first batch of the others sees EOF at once, the rest after a
 * pause. */
static void starve(struct reactor *r)
{
	connect_clients(100);
	leave_descriptors(10);
	RUN_UNTIL(r, server.acceptor.shed > 0);
	CHECK_INT(server.n_accepted, 10);
	CHECK_INT(server.acceptor.shed, ACCEPTOR_BATCH);
	for (unsigned i = 10; i < 10 + ACCEPTOR_BATCH; i++)
		wait_for(server.client[i], POLLIN);
	CHECK_INT(count_eofs(), ACCEPTOR_BATCH);
	CHECK(timer_is_armed(&server.acceptor.pause));
	CHECK(server.acceptor.pause.deadline_ns <= clk_mono_ns() + ACCEPTOR_PAUSE_NS);
	CHECK(sleep_until(r, 10, 90) < 50);
	CHECK_INT(server.n_accepted, 10);
	CHECK_INT(server.acceptor.shed, 90);
	for (unsigned i = 10; i < 100; i++)
		wait_for(server.client[i], POLLIN);
	CHECK_INT(count_eofs(), 90);
}

static void test_emfile(struct reactor *r)
{
	char text[1024];
	uint64_t begin_ns = clk_mono_ns();
	begin_log();
	server_open(r, 0);
	starve(r);
	os_raise_fd_limit(); /* there are descriptors again: whoever comes now is served after the pause */
	connect_clients(20);
	sleep_until(r, 30, 90);
	CHECK_INT(server.acceptor.accepted, 30);
	CHECK_INT(server.acceptor.live, 30);
	CHECK_INT(server.acceptor.shed, 90);
	unsigned lines = end_log(text);
	CHECK(lines >= 1 && lines <= 1 + (clk_mono_ns() - begin_ns) / NS_PER_S);
	CHECK(strstr(text, "EMFILE") != NULL);
	CHECK(strstr(text, "10 connections stand, 64 were closed at once") != NULL);
	server_close();
}

/* Another thread took the reserve's number in the moment it was free. There is nothing to do then but to wait; but as
 * soon as there are descriptors again there is a reserve again, too. */
static void test_reserve_comes_back(struct reactor *r)
{
	char text[1024];
	begin_log();
	server_open(r, 0);
	close(server.acceptor.reserve_fd);
	server.acceptor.reserve_fd = -1;
	connect_clients(2);
	leave_descriptors(0);
	RUN_UNTIL(r, timer_is_armed(&server.acceptor.pause));
	CHECK_INT(server.n_accepted + server.acceptor.shed, 0);
	CHECK_INT(count_eofs(), 0);
	os_raise_fd_limit();
	sleep_until(r, 2, 0);
	connect_clients(1);
	leave_descriptors(0);
	RUN_UNTIL(r, timer_is_armed(&server.acceptor.pause));
	if (CHECK_INT(server.acceptor.shed, 1))
		wait_for(server.client[2], POLLIN);
	CHECK_INT(count_eofs(), 1);
	os_raise_fd_limit();
	end_log(text);
	server_close();
}

/* select(2) ends at FD_SETSIZE: three numbers are left below it, and the clients whose connections would get a higher
 * one are told at once. */
static void test_numbers_beyond_the_limit(struct reactor *r)
{
	static int filler[4096];
	char text[1024];
	int n = 0, limit = reactor_fd_limit(r);
	if (limit > (int)COUNT_OF(filler) || os_raise_fd_limit() < (uint64_t)limit + 100)
		return;
	server_open(r, 0);
	connect_clients(20);
	begin_log();
	while (lowest_free_fd() < limit - 3)
		filler[n++] = dup(server.listener);
	RUN_UNTIL(r, server.acceptor.shed > 0);
	CHECK_INT(server.n_accepted, 3);
	CHECK_INT(server.acceptor.shed, 17);
	CHECK(timer_is_armed(&server.acceptor.pause));
	for (unsigned i = 3; i < 3 + server.acceptor.shed; i++)
		wait_for(server.client[i], POLLIN);
	CHECK_INT(count_eofs(), 17);
	connect_clients(1);
	hang_up_the_oldest();
	sleep_until(r, 4, 17);
	while (n > 0)
		close(filler[--n]);
	CHECK_INT(end_log(text), 1);
	CHECK(strstr(text, "ERANGE") != NULL);
	server_close();
}

/* --- errors that are not easily had ------------------------------------------------------------------------------ */

/* It concerns one connection: on to the next one, in the same event. */
static void test_errors_of_one_connection(struct reactor *r)
{
	static const int of_one[] = { ECONNABORTED, EPROTO, EINTR, EPERM, ENETDOWN, EHOSTUNREACH, EOPNOTSUPP };
	server_open(r, 0);
	connect_clients(5);
	for (size_t i = 0; i < COUNT_OF(of_one); i++)
		errors[n_errors++] = of_one[i];
	one_round(r);
	CHECK_INT(server.n_accepted, 5);
	CHECK_INT(n_errors, 0);
	CHECK(!timer_is_armed(&server.acceptor.pause));
	server_close();
}

/* The system is short of something: no more than one try in each pause, nobody is sent away, and a release does not
 * end the pause. */
static void test_errors_of_the_system(struct reactor *r)
{
	static const int of_system[] = { ENFILE, ENOBUFS, ENOMEM };
	char text[1024];
	begin_log();
	server_open(r, 0);
	connect_clients(1);
	RUN_UNTIL(r, server.n_accepted == 1);
	connect_clients(5);
	for (size_t i = 0; i < COUNT_OF(of_system); i++) {
		acceptor_stop(&server.acceptor);
		CHECK_INT(acceptor_start(&server.acceptor, r, server.listener, 0, take), 0);
		all_fail = of_system[i];
		n_calls = 0;
		RUN_UNTIL(r, timer_is_armed(&server.acceptor.pause));
		CHECK_INT(n_calls, 1);
	}
	server.acceptor.live = 1;
	hang_up_the_oldest();
	one_round(r);
	one_round(r);
	CHECK(n_calls == 1 || !timer_is_armed(&server.acceptor.pause));
	all_fail = 0;
	while (server.n_accepted < 6)
		rounds_in(r, 20 * NS_PER_MS);
	CHECK_INT(server.acceptor.shed, 0);
	CHECK_INT(count_eofs(), 1); /* the one that was hung up */
	CHECK_INT(end_log(text), 3);
	CHECK(strstr(text, "ENFILE") != NULL && strstr(text, "ENOBUFS") != NULL && strstr(text, "ENOMEM") != NULL);
	server_close();
}

/* Ended in the pause: nothing is left armed. */
static void test_stop_in_the_pause(struct reactor *r)
{
	char text[1024];
	begin_log();
	server_open(r, 0);
	connect_clients(1);
	all_fail = ENFILE;
	RUN_UNTIL(r, timer_is_armed(&server.acceptor.pause));
	all_fail = 0;
	end_log(text);
	server_close();
}

int main(void)
{
	os_raise_fd_limit();
	ON_EACH_LOOP(test_takes_all);
	ON_EACH_LOOP(test_max_live);
	ON_EACH_LOOP(test_released_in_on_accept);
	ON_EACH_LOOP(test_stop_in_on_accept);
	ON_EACH_LOOP(test_start_fails);
	ON_EACH_BACKEND(test_emfile);
	on_one_loop(test_emfile, "test_emfile", "epoll", "wheel");
	ON_EACH_BACKEND(test_reserve_comes_back);
	ON_EACH_BACKEND(test_numbers_beyond_the_limit);
	ON_EACH_LOOP(test_errors_of_one_connection);
	ON_EACH_BACKEND(test_errors_of_the_system);
	ON_EACH_LOOP(test_stop_in_the_pause);
	return check_done();
}
