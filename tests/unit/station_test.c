/* station_test.c - sessions are counted while they live and after, each is freed once, and any of them may end in any callback. */
#include "station.h"

#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { N = 20 };

static unsigned n_ended, n_empty, stop_at;
static int last_error;

static void on_end(struct station *st, struct session *s, int err)
{
	CHECK(st->sessions != s);
	last_error = err;
	if (++n_ended == stop_at)
		reactor_stop(st->r);
}

static void on_empty(struct station *st)
{
	CHECK(st->sessions == NULL);
	n_empty++;
}

static size_t drop(struct conn *c, const unsigned char *p, size_t n)
{
	(void)c, (void)p;
	return n;
}

static const struct conn_ops ops = { .on_data = drop, .on_closed = session_closed };

/* A station on a new loop, and N sessions whose peers are in peer[]. */
static struct station *begin(int peer[static N])
{
	struct net_error e;
	static struct station st;
	st = (struct station){ .r = reactor_new(NULL, NULL, &e), .on_end = on_end, .on_empty = on_empty };
	reactor_set_user(st.r, &st);
	n_ended = n_empty = 0;
	for (int i = 0; i < N; i++) {
		int ends[2];
		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) < 0)
			abort();
		peer[i] = ends[0];
		struct session *s = session_open(&st, ends[1], &ops, sizeof(*s));
		if (!CHECK(s != NULL))
			abort();
		CHECK(session_station(s) == &st);
		CHECK(session_of(&s->conn) == s);
	}
	return &st;
}

static void run_until_ended(struct station *st, unsigned n)
{
	stop_at = n;
	CHECK_INT(reactor_run(st->r), 0);
	CHECK_INT(n_ended, n);
}

static void finish(struct station *st)
{
	stop_at = 0;
	CHECK_INT(reactor_run(st->r), 0);
	CHECK_INT(n_ended, N);
	CHECK_INT(n_empty, 1);
	reactor_free(st->r);
}

static void test_counts(void)
{
	int peer[N];
	struct station *st = begin(peer);
	CHECK_INT(station_tally(st).connections, N);
	CHECK_INT(station_tally(st).live, N);
	for (int i = 0; i < N; i++)
		CHECK_INT(write(peer[i], "12345", 5), 5);
	for (int i = 0; i < N; i += 2)
		close(peer[i]);
	/* Those whose peer has closed end; what all have read counts, of those that are gone, too. */
	run_until_ended(st, N / 2);
	struct tally t = station_tally(st);
	CHECK_INT(t.connections, N);
	CHECK_INT(t.live, N / 2);
	CHECK_INT(t.failed, 0);
	CHECK_INT(t.bytes_in, 5 * N);
	CHECK_INT(n_empty, 0);
	for (int i = 1; i < N; i += 2)
		close(peer[i]);
	finish(st);
}

static void close_it(struct session *s)
{
	conn_close(&s->conn, EPIPE);
}

/* All of them ended by hand, while the list is walked; an error is counted, and the first one kept. */
static void test_each(void)
{
	int peer[N];
	struct station *st = begin(peer);
	station_each(st, close_it);
	CHECK_INT(n_ended, 0); /* an end comes at the end of the round */
	finish(st);
	CHECK_INT(last_error, EPIPE);
	CHECK_INT(st->first_error, EPIPE);
	CHECK_INT(station_tally(st).failed, N);
	for (int i = 0; i < N; i++)
		close(peer[i]);
}

static void test_no_such_fd(void)
{
	struct net_error e;
	struct station st = { .r = reactor_new("epoll", NULL, &e) };
	reactor_set_user(st.r, &st);
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC), file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	close(fd);
	CHECK(session_open(&st, file, &ops, sizeof(struct session)) == NULL); /* a regular file */
	CHECK_INT(errno, EPERM);
	CHECK_INT(fcntl(file, F_GETFD), -1); /* taken all the same */
	CHECK_INT(station_tally(&st).connections, 0);
	reactor_free(st.r);
}

static void test_add(void)
{
	struct tally a = { 1, 2, 3, 4, 5 }, b = { 10, 20, 30, 40, 50 };
	tally_add(&a, &b);
	CHECK(a.connections == 11 && a.live == 22 && a.failed == 33 && a.bytes_in == 44 && a.bytes_out == 55);
}

int main(void)
{
	test_counts();
	test_each();
	test_no_such_fd();
	test_add();
	return check_done();
}
