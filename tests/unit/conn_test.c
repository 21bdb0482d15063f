/* conn_test.c - the life of a connection: two directions that end each in its own time, one end that comes exactly
 * once and in its place, errors, resets, silence. How bytes are held back and kept is in conn_flow_test.c. */
#include "conn.h"

#include "check.h"
#include "conn_side.h"
#include "io.h"
#include "loopback.h"
#include "os.h"

#include <signal.h>
#include <sys/syscall.h>
#include <time.h>

enum { ANSWER = 5 * 1000 * 1000 };

/* --- two directions ---------------------------------------------------------------------------------------------- */

static void finish_at_eof(struct conn *c)
{
	note_eof(c);
	conn_finish(c);
	CHECK_INT(side_of(c)->closes, 0); /* the last step of both directions, and yet it comes later */
}

static const struct conn_ops finishing = { note_data, finish_at_eof, note_low, note_closed };

static void test_peer_ends_first(struct reactor *r)
{
	struct side s;
	side_open(&s, r, &finishing, 0);
	peer_sends(&s.peer, 100000);
	peer_finishes(&s.peer);
	run(r);
	check_closed(&s, 0);
	CHECK_INT(s.received, 100000);
	CHECK_INT(s.eofs, 1);
	CHECK(s.peer.saw_eof);
}

static void test_we_end_first(struct reactor *r)
{
	struct side s;
	side_open(&s, r, &notes, 0);
	s.peer.stays = true;
	conn_finish(&s.conn);
	conn_finish(&s.conn);
	RUN_UNTIL(r, s.peer.saw_eof);
	CHECK_INT(s.closes, 0); /* input is still open */
	CHECK(!conn_write(&s.conn, "x", 1));
	CHECK_INT(conn_offer(&s.conn, "x", 1), 0);
	s.peer.stays = false;
	peer_sends(&s.peer, ANSWER);
	run(r);
	check_closed(&s, 0);
	CHECK_INT(s.received, ANSWER);
	CHECK_INT(s.eofs, 1);
	CHECK_INT(s.peer.received, 0);
}

static void produce_at_eof(struct conn *c)
{
	note_eof(c);
	produce(c);
}

/* The peer's FIN is the end of the question only: the answer is sent after it, 5 MB through small buffers. */
static void test_answer_after_eof(struct reactor *r)
{
	static const struct conn_ops answering = { note_data, produce_at_eof, produce, note_closed };
	struct side s;
	side_open(&s, r, &answering, SMALL_BUFFER);
	s.to_write = ANSWER;
	peer_sends(&s.peer, 1000);
	peer_finishes(&s.peer);
	run(r);
	check_closed(&s, 0);
	CHECK_INT(s.received, 1000);
	CHECK_INT(s.eofs, 1);
	CHECK_INT(s.peer.received, ANSWER);
	CHECK_INT(s.conn.bytes_out, ANSWER);
}

static void write_all_and_finish(struct conn *c)
{
	static unsigned char bytes[ANSWER];
	prng_fill(HERE, 0, bytes, sizeof(bytes));
	CHECK(!conn_write(c, bytes, sizeof(bytes)));
	CHECK(conn_queued(c) > 0 && conn_queued(c) == ANSWER - c->bytes_out);
	conn_finish(c);
	size_t queued = conn_queued(c);
	CHECK(!conn_write(c, "late", 4));
	CHECK_INT(conn_offer(c, "late", 4), 0);
	CHECK_INT(conn_queued(c), queued);
}

/* conn_finish sends our FIN after what is queued, and nothing written later. */
static void test_finish_drains(struct reactor *r)
{
	struct side s;
	side_open(&s, r, &finishing, SMALL_BUFFER);
	write_all_and_finish(&s.conn);
	CHECK(!s.peer.saw_eof);
	run(r);
	check_closed(&s, 0);
	CHECK_INT(s.peer.received, ANSWER);
	CHECK(s.peer.saw_eof);
	CHECK_INT(s.lows, 0); /* after conn_finish nobody waits for room */
}

/* The peer ends while we drain: both ends are over only when the queue is empty. */
static void test_eof_while_draining(struct reactor *r)
{
	struct side s;
	side_open(&s, r, &finishing, SMALL_BUFFER);
	peer_reads(&s.peer, false);
	write_all_and_finish(&s.conn);
	peer_finishes(&s.peer);
	RUN_UNTIL(r, s.eofs == 1);
	CHECK_INT(s.closes, 0);
	peer_reads(&s.peer, true);
	run(r);
	check_closed(&s, 0);
	CHECK_INT(s.peer.received, ANSWER);
}

/* Callbacks that nobody cares about: input is dropped, EOF finishes the output, after what is queued. */
static void test_no_callbacks(struct reactor *r)
{
	static const struct conn_ops bare = { .on_closed = note_closed };
	static unsigned char bytes[200000];
	struct side s;
	prng_fill(HERE, 0, bytes, sizeof(bytes));
	side_open(&s, r, &bare, SMALL_BUFFER);
	peer_sends(&s.peer, ANSWER);
	peer_finishes(&s.peer);
	conn_set_marks(&s.conn, 1000, 100000);
	CHECK(conn_write(&s.conn, "", 0));
	CHECK(!conn_write(&s.conn, bytes, sizeof(bytes)));
	run(r);
	CHECK_INT(s.conn.bytes_in, ANSWER);
	CHECK_INT(s.peer.received, sizeof(bytes));
	CHECK_INT(s.closes, 1);
	CHECK_INT(s.err, 0);
}

/* --- one end, in its place --------------------------------------------------------------------------------------- */

static void on_side_timer(struct timer *t)
{
	CONTAINER_OF(t, struct side, timer)->timer_fired = true;
}

static size_t close_in_data(struct conn *c, const unsigned char *p, size_t n)
{
	struct side *s = side_of(c);
	note_data(c, p, n);
	reactor_timer_start(s->r, &s->timer, 1, on_side_timer);
	conn_close(c, EPROTO);
	CHECK_INT(s->closes, 0);
	return 0; /* what is left over does not matter any more */
}

static void check_after_timers(struct conn *c, int err)
{
	CHECK(side_of(c)->timer_fired);
	note_closed(c, err);
}

/* A round is events, timers, deferred calls: a timer that is long due fires in the round of the close, before
 * on_closed. */
static void test_closed_at_the_end_of_the_round(struct reactor *r)
{
	static const struct conn_ops closing = { close_in_data, note_eof, note_low, check_after_timers };
	struct side s;
	side_open(&s, r, &closing, 0);
	peer_sends(&s.peer, 1000000);
	peer_finishes(&s.peer);
	run(r);
	check_closed(&s, EPROTO);
	CHECK_INT(s.datas, 1);
	CHECK_INT(s.eofs, 0);
}

static size_t close_with_a_queue(struct conn *c, const unsigned char *p, size_t n)
{
	struct side *s = side_of(c);
	conn_close(c, EPROTO);
	s->written = c->bytes_out; /* here: what was sent until the end */
	return note_data(c, p, n);
}

/* What is queued at the end is dropped, although the event that brought the end says that there is room. */
static void test_close_drops_the_queue(struct reactor *r)
{
	static const struct conn_ops closing = { close_with_a_queue, note_eof, note_low, note_closed };
	struct side s;
	side_open(&s, r, &closing, SMALL_BUFFER);
	s.to_write = UINT64_MAX;
	produce(&s.conn);
	while (!is_ready(s.fd, POLLOUT))
		peer_read(&s.peer);
	peer_sends_now(&s.peer, 10);
	wait_for(s.fd, POLLIN);
	run(r);
	check_closed(&s, EPROTO);
	CHECK_INT(s.conn.bytes_out, s.written);
	CHECK_INT(s.peer.received, s.written);
	CHECK_INT(s.lows, 0);
}

static void close_in_eof(struct conn *c)
{
	note_eof(c);
	conn_close(c, EPROTO);
	CHECK_INT(side_of(c)->closes, 0);
}

static void close_in_low(struct conn *c)
{
	note_low(c);
	conn_close(c, EPROTO);
	CHECK_INT(side_of(c)->closes, 0);
}

static void test_close_in_eof_and_in_low(struct reactor *r)
{
	static const struct conn_ops in_eof = { note_data, close_in_eof, note_low, note_closed },
				     in_low = { note_data, note_eof, close_in_low, note_closed };
	struct side s;
	side_open(&s, r, &in_eof, 0);
	peer_sends(&s.peer, 10);
	peer_finishes(&s.peer);
	run(r);
	check_closed(&s, EPROTO);
	CHECK_INT(s.eofs, 1);

	side_open(&s, r, &in_low, 0);
	CHECK_INT(conn_offer(&s.conn, "", 0), 0); /* on_low comes when there is room: at once */
	CHECK_INT(s.lows, 0);
	run(r);
	check_closed(&s, EPROTO);
	CHECK_INT(s.lows, 1);
}

static void close_in_timer(struct timer *t)
{
	struct side *s = CONTAINER_OF(t, struct side, timer);
	conn_close(&s->conn, 1);
	CHECK_INT(s->closes, 0);
}

static void close_in_call(struct deferred *d)
{
	struct side *s = CONTAINER_OF(d, struct side, later);
	conn_close(&s->conn, 2);
	CHECK_INT(s->closes, 0);
}

/* From outside of the connection: a timer, a deferred call, and before the loop runs. */
static void test_close_from_elsewhere(struct reactor *r)
{
	struct side s;
	side_open(&s, r, &notes, 0);
	reactor_timer_start(r, &s.timer, clk_mono_ns(), close_in_timer);
	run(r);
	check_closed(&s, 1);

	side_open(&s, r, &notes, 0);
	reactor_defer(r, &s.later, close_in_call);
	run(r);
	check_closed(&s, 2);

	side_open(&s, r, &notes, 0);
	conn_close(&s.conn, 0);
	CHECK_INT(s.closes, 0);
	run(r);
	check_closed(&s, 0);
}

/* Everything there is, after the end. */
static void poke(struct conn *c)
{
	CHECK(!conn_write(c, "x", 1));
	CHECK_INT(conn_offer(c, "x", 1), 0);
	conn_pause(c);
	conn_resume(c);
	conn_set_marks(c, 1, 2);
	conn_set_idle(c, 1);
	CHECK(c->extra == NULL || !timer_is_armed(&c->extra->idle));
	conn_finish(c);
	conn_close(c, EIO);
	conn_abort(c, EIO);
	conn_abort(c, EIO);
}

static size_t close_and_poke(struct conn *c, const unsigned char *p, size_t n)
{
	note_data(c, p, n);
	conn_close(c, 77);
	poke(c);
	return n;
}

static size_t abort_and_poke(struct conn *c, const unsigned char *p, size_t n)
{
	note_data(c, p, n);
	conn_abort(c, 78);
	poke(c);
	return n;
}

static void poke_in_closed(struct conn *c, int err)
{
	note_closed(c, err);
	poke(c);
}

/* Between the end and on_closed every call does nothing: the first end counts, with its error and its manner. */
static void test_calls_after_the_end(struct reactor *r)
{
	static const struct conn_ops closing = { close_and_poke, note_eof, note_low, poke_in_closed },
				     aborting = { abort_and_poke, note_eof, note_low, poke_in_closed };
	struct side s;
	side_open(&s, r, &closing, 0);
	peer_sends(&s.peer, 1);
	run(r);
	check_closed(&s, 77);
	CHECK(s.peer.saw_eof);
	CHECK_INT(s.peer.received + s.eofs + s.lows, 0);

	side_open(&s, r, &aborting, 0);
	peer_sends(&s.peer, 1);
	run(r);
	check_closed(&s, 78);
	CHECK_INT(s.peer.err, ECONNRESET);
	CHECK_INT(s.peer.received + s.eofs + s.lows, 0);
}

static struct side *rival[2];

static size_t close_the_other(struct conn *c, const unsigned char *p, size_t n)
{
	struct side *other = rival[side_of(c) == rival[0]];
	note_data(c, p, n);
	conn_close(&other->conn, ECANCELED);
	return n;
}

/* Both are readable in the same round, and the first to be called ends the other: its event finds nobody. */
static void test_close_one_that_is_ready(struct reactor *r)
{
	static const struct conn_ops closing = { close_the_other, note_eof, note_low, note_closed };
	struct side s[2];
	for (int i = 0; i < 2; i++) {
		rival[i] = &s[i];
		side_open(&s[i], r, &closing, 0);
		peer_sends_now(&s[i].peer, 1);
	}
	for (int i = 0; i < 2; i++)
		wait_for(s[i].fd, POLLIN);
	RUN_UNTIL(r, s[0].closes + s[1].closes > 0);
	CHECK_INT(s[0].datas + s[1].datas, 1);
	CHECK_INT(s[0].closes + s[1].closes, 1);
	CHECK(s[0].err == ECANCELED || s[1].err == ECANCELED);
	for (int i = 0; i < 2; i++)
		conn_close(&s[i].conn, 0);
	run(r);
	CHECK_INT(s[0].closes + s[1].closes, 2);
}

/* --- the owner's memory ------------------------------------------------------------------------------------------ */

/* An object of its own on the heap, freed in on_closed: the address sanitizer sees whoever looks at it afterwards. */
struct owner {
	struct conn conn;
	unsigned *closes;
	char close_in; /* 'd', 'e', 'l': in which callback */
};

static size_t owner_data(struct conn *c, const unsigned char *p, size_t n)
{
	(void)p;
	if (CONTAINER_OF(c, struct owner, conn)->close_in == 'd')
		conn_close(c, 0);
	return n / 2; /* the rest would be kept */
}

static void owner_eof(struct conn *c)
{
	if (CONTAINER_OF(c, struct owner, conn)->close_in == 'e')
		conn_close(c, 0);
	conn_finish(c);
}

static void owner_low(struct conn *c)
{
	if (CONTAINER_OF(c, struct owner, conn)->close_in == 'l')
		conn_close(c, 0);
}

static void owner_closed(struct conn *c, int err)
{
	(void)err;
	struct owner *o = CONTAINER_OF(c, struct owner, conn);
	++*o->closes;
	free(o);
}

/* How it comes to its end: in one of the callbacks; by silence; in order; by a reset, at rest or with a full queue. */
static void free_one(struct reactor *r, char how)
{
	static const struct conn_ops ops = { owner_data, owner_eof, owner_low, owner_closed };
	static unsigned char bytes[400000];
	unsigned closes = 0;
	struct peer peer;
	int here, there;
	loopback_pair(&here, &there, SMALL_BUFFER);
	peer_start(&peer, r, there);
	struct owner *o = calloc(1, sizeof(*o));
	*o = (struct owner){ .closes = &closes, .close_in = how };
	CHECK_INT(conn_start(&o->conn, r, here, &ops), 0);
	peer_reads(&peer, how != 'q');
	if (how == 'l' || how == 'q') {
		prng_fill(HERE, 0, bytes, sizeof(bytes));
		CHECK(!conn_write(&o->conn, bytes, sizeof(bytes)));
	}
	if (how == 's')
		conn_set_idle(&o->conn, NS_PER_MS);
	else
		peer_sends(&peer, 5000);
	if (how == 'e' || how == 'o')
		peer_finishes(&peer);
	if (how == 'r' || how == 'q') {
		one_round(r);
		peer_abort(&peer);
	}
	run(r);
	CHECK_INT(closes, 1);
}

static void test_freed_in_closed(struct reactor *r)
{
	for (const char *how = "delsorq"; *how != '\0'; how++)
		free_one(r, *how);
}

/* note_data and its like insist on one life. */
static size_t anew_data(struct conn *c, const unsigned char *p, size_t n)
{
	(void)p;
	side_of(c)->received += n;
	return n;
}

static void anew_eof(struct conn *c)
{
	conn_finish(c);
}

static struct peer successor[2];

static void start_again(struct conn *c, int err)
{
	struct side *s = side_of(c);
	note_closed(c, err);
	CHECK_INT(err, 0);
	if (s->closes > COUNT_OF(successor))
		return;
	struct peer *p = &successor[s->closes - 1];
	int there;
	loopback_pair(&s->fd, &there, 0);
	peer_start(p, s->r, there);
	CHECK_INT(conn_start(c, s->r, s->fd, c->ops), 0);
	s->received = 0;
	peer_sends(p, 500);
	peer_finishes(p);
}

/* The object belongs to its owner again when on_closed comes: it may become the next connection. */
static void test_started_anew_in_closed(struct reactor *r)
{
	static const struct conn_ops ops = { anew_data, anew_eof, note_low, start_again };
	struct side s;
	side_open(&s, r, &ops, 0);
	peer_finishes(&s.peer);
	run(r);
	CHECK_INT(s.closes, 1 + COUNT_OF(successor));
	CHECK_INT(s.received, 500);
	CHECK_INT(s.conn.bytes_in, 500);
}

/* conn_start takes the descriptor even when it fails, and then nothing was started. */
static void test_start_fails(struct reactor *r)
{
	struct side s = { .r = r };
	int fd, want;
	if (loop_is(r, "epoll")) {
		fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
		want = EPERM;
	} else if (loop_is(r, "select") && os_raise_fd_limit() > (uint64_t)reactor_fd_limit(r)) {
		int low = open("/dev/null", O_RDONLY | O_CLOEXEC);
		fd = fcntl(low, F_DUPFD_CLOEXEC, reactor_fd_limit(r));
		close(low);
		want = ERANGE;
	} else {
		return; /* poll(2) takes whatever it is given, and here there may be no number beyond select's limit */
	}
	if (!CHECK(fd >= 0))
		return;
	CHECK_INT(conn_start(&s.conn, r, fd, &notes), -1);
	CHECK_INT(errno, want);
	CHECK_INT(fcntl(fd, F_GETFD), -1);
	run(r);
	CHECK_INT(s.closes, 0);
}

/* --- errors ------------------------------------------------------------------------------------------------------ */

enum moment {
	AT_REST,
	READING,
	PAUSED,
	PAUSED_AND_QUEUED,
	PAUSED_AND_OFFERED,
	QUEUED,
	DRAINING,
	AFTER_OUR_FIN,
	AFTER_EOF,
	MOMENTS
};

static void bring_to(struct side *s, enum moment m)
{
	static unsigned char bytes[1000000];
	prng_fill(HERE, 0, bytes, sizeof(bytes));
	if (m == PAUSED || m == PAUSED_AND_QUEUED || m == PAUSED_AND_OFFERED)
		conn_pause(&s->conn);
	if (m == QUEUED || m == PAUSED_AND_QUEUED || m == DRAINING) {
		peer_reads(&s->peer, false);
		CHECK(!conn_write(&s->conn, bytes, sizeof(bytes)));
	}
	if (m == PAUSED_AND_OFFERED) { /* little is queued, and it waits for room */
		peer_reads(&s->peer, false);
		while (conn_queued(&s->conn) == 0)
			CHECK(conn_write(&s->conn, bytes, 100));
		CHECK_INT(conn_offer(&s->conn, bytes, 100), 0);
	}
	s->peer.stays = true;
	if (m == DRAINING || m == AFTER_OUR_FIN)
		conn_finish(&s->conn);
	if (m == AFTER_EOF)
		peer_finishes(&s->peer);
}

/* A reset ends the connection at once, whatever it waits for, with or without interest in input. */
static void test_reset(struct reactor *r)
{
	for (enum moment m = 0; m < MOMENTS; m++) {
		struct side s;
		side_open(&s, r, &notes, SMALL_BUFFER);
		bring_to(&s, m);
		RUN_UNTIL(r, (m != AFTER_EOF || s.eofs == 1) && (m != AFTER_OUR_FIN || s.peer.saw_eof));
		CHECK_INT(s.closes, 0);
		if (m == READING || m == PAUSED)
			peer_sends_now(&s.peer, 5000);
		unsigned lows = s.lows;
		peer_abort(&s.peer);
		run(r);
		/* In CLOSE-WAIT Linux calls it a broken pipe. */
		check_closed(&s, m == AFTER_EOF ? EPIPE : ECONNRESET);
		CHECK_INT(s.lows, lows);
		CHECK_INT(s.eofs, m == AFTER_EOF);
		CHECK_INT(s.datas, m == READING); /* what came before the reset is delivered, unless we are paused */
	}
}

/* The reset has come, but the loop has not told us yet: whichever call meets it first, the error is the same. */
static void test_reset_met_by_a_call(struct reactor *r)
{
	for (int call = 0; call < 4; call++) {
		struct side s;
		side_open(&s, r, &notes, 0);
		peer_abort(&s.peer);
		wait_for(s.fd, POLLHUP);
		if (call == 0)
			CHECK(!conn_write(&s.conn, "x", 1));
		else if (call == 1)
			CHECK_INT(conn_offer(&s.conn, "x", 1), 0);
		else if (call == 2)
			conn_finish(&s.conn);
		else
			conn_pause(&s.conn);
		CHECK_INT(s.closes, 0);
		run(r);
		check_closed(&s, ECONNRESET);
	}
}

/* The peer has closed, not merely finished: our first bytes bring a reset, the next ones an error, and no signal
 * although SIGPIPE has its default action here. */
static void test_write_to_a_gone_peer(struct reactor *r)
{
	static const struct conn_ops ops = { note_data, produce_at_eof, produce, note_closed };
	struct side s;
	side_open(&s, r, &ops, SMALL_BUFFER);
	s.to_write = 100 * ANSWER;
	peer_close(&s.peer);
	run(r);
	CHECK(s.err == EPIPE || s.err == ECONNRESET);
	check_closed(&s, s.err);
	CHECK_INT(s.eofs, 1);
}

/* conn_close says FIN, conn_abort says RST. */
static void test_close_and_abort(struct reactor *r)
{
	struct side s;
	side_open(&s, r, &notes, 0);
	conn_close(&s.conn, ENOENT);
	run(r);
	check_closed(&s, ENOENT);
	CHECK(s.peer.saw_eof);
	CHECK_INT(s.peer.err, 0);

	side_open(&s, r, &notes, SMALL_BUFFER);
	bring_to(&s, QUEUED);
	conn_abort(&s.conn, ENOENT);
	run(r);
	check_closed(&s, ENOENT);
	CHECK_INT(s.peer.err, ECONNRESET);
}

/* --- silence ----------------------------------------------------------------------------------------------------- */

/* The clock of this program: the real one until a test takes it into its own hands. A machine that stands still for a
 * while changes nothing then, and an hour passes in a moment. */
static uint64_t own_time_ns;

int clock_gettime(clockid_t id, struct timespec *t)
{
	if (own_time_ns == 0 || id != CLOCK_MONOTONIC)
		return (int)syscall(SYS_clock_gettime, id, t);
	*t = (struct timespec){ .tv_sec = (time_t)(own_time_ns / NS_PER_S), .tv_nsec = (long)(own_time_ns % NS_PER_S) };
	return 0;
}

enum { MESSAGES = 10000 };
static const uint64_t MESSAGE_NS = 10 * NS_PER_MS;

/* Each message takes MESSAGE_NS; after the last an hour passes. Whether another one is due. */
static bool message_is_over(unsigned n)
{
	own_time_ns += n < MESSAGES ? MESSAGE_NS : UINT64_C(3600) * NS_PER_S;
	return n < MESSAGES;
}

static size_t call_for_more(struct conn *c, const unsigned char *p, size_t n)
{
	struct side *s = side_of(c);
	note_data(c, p, n);
	if (message_is_over(s->datas))
		peer_sends(&s->peer, 1);
	return n;
}

static void write_more(struct conn *c)
{
	struct side *s = side_of(c);
	unsigned char byte;
	note_low(c);
	prng_fill(HERE, s->written++, &byte, 1);
	CHECK(conn_write(c, &byte, 1));
	if (message_is_over(s->lows))
		CHECK_INT(conn_offer(c, "", 0), 0); /* for another on_low */
}

/* 10,000 messages in 100 s, with a timeout of 1 s: the timer is not touched by each, it fires once a second and
 * looks. */
static void check_idle(struct reactor *r, bool is_input)
{
	static const struct conn_ops ops = { call_for_more, note_eof, write_more, note_closed };
	struct side s;
	uint64_t seconds = MESSAGES * MESSAGE_NS / NS_PER_S, before = reactor_stats(r)->timers;
	own_time_ns = clk_mono_ns();
	side_open(&s, r, &ops, 0);
	conn_set_idle(&s.conn, NS_PER_S);
	if (is_input)
		peer_sends(&s.peer, 1);
	else
		CHECK_INT(conn_offer(&s.conn, "", 0), 0);
	run(r);
	own_time_ns = 0;
	check_closed(&s, ETIMEDOUT);
	CHECK_INT(s.received + s.written, MESSAGES);
	CHECK(reactor_stats(r)->timers - before >= seconds / 2);
	CHECK(reactor_stats(r)->timers - before <= seconds + 2);
}

static void test_idle_while_bytes_come(struct reactor *r)
{
	check_idle(r, true);
}

static void test_idle_while_bytes_go(struct reactor *r)
{
	check_idle(r, false);
}

static void note_timeout(struct conn *c, int err)
{
	struct side *s = side_of(c);
	CHECK(reactor_now_ns(s->r) >= s->to_write); /* here: when it may end */
	note_closed(c, err);
}

/* Never early, counted from the last byte in either direction. */
static void test_idle_in_real_time(struct reactor *r)
{
	static const struct conn_ops ops = { note_data, note_eof, note_low, note_timeout };
	struct side s;
	side_open(&s, r, &ops, 0);
	s.to_write = clk_mono_ns() + 10 * NS_PER_MS;
	conn_set_idle(&s.conn, 10 * NS_PER_MS);
	run(r);
	check_closed(&s, ETIMEDOUT);
}

/* A timeout that is taken back, and one that is set when a longer one is running. */
static void test_idle_changes(struct reactor *r)
{
	struct side s;
	side_open(&s, r, &notes, 0);
	conn_set_idle(&s.conn, NS_PER_MS);
	conn_set_idle(&s.conn, 0);
	rounds_in(r, 10 * NS_PER_MS);
	CHECK_INT(s.closes, 0);
	CHECK_INT(reactor_stats(r)->timers, 1); /* that of rounds_in */
	conn_set_idle(&s.conn, UINT64_C(3600) * NS_PER_S);
	conn_set_idle(&s.conn, NS_PER_MS);
	run(r);
	check_closed(&s, ETIMEDOUT);
}

/* The loop was made long ago and has not run since: the time that passed meanwhile is not the connection's silence. */
static void test_idle_begins_with_the_connection(struct reactor *r)
{
	struct side s;
	own_time_ns = clk_mono_ns() + UINT64_C(60) * NS_PER_S;
	side_open(&s, r, &notes, 0);
	conn_set_idle(&s.conn, NS_PER_S);
	CHECK(s.conn.extra->idle.deadline_ns >= own_time_ns + NS_PER_S);
	conn_close(&s.conn, 0);
	run(r);
	own_time_ns = 0;
	check_closed(&s, 0);
}

int main(void)
{
	signal(SIGPIPE, SIG_DFL);
	os_raise_fd_limit();
	ON_EACH_LOOP(test_peer_ends_first);
	ON_EACH_LOOP(test_we_end_first);
	ON_EACH_LOOP(test_answer_after_eof);
	ON_EACH_LOOP(test_finish_drains);
	ON_EACH_LOOP(test_eof_while_draining);
	ON_EACH_LOOP(test_no_callbacks);
	ON_EACH_LOOP(test_closed_at_the_end_of_the_round);
	ON_EACH_LOOP(test_close_drops_the_queue);
	ON_EACH_LOOP(test_close_in_eof_and_in_low);
	ON_EACH_LOOP(test_close_from_elsewhere);
	ON_EACH_LOOP(test_calls_after_the_end);
	ON_EACH_LOOP(test_close_one_that_is_ready);
	ON_EACH_LOOP(test_freed_in_closed);
	ON_EACH_LOOP(test_started_anew_in_closed);
	ON_EACH_LOOP(test_start_fails);
	ON_EACH_LOOP(test_reset);
	ON_EACH_LOOP(test_reset_met_by_a_call);
	ON_EACH_LOOP(test_write_to_a_gone_peer);
	ON_EACH_LOOP(test_close_and_abort);
	ON_EACH_BACKEND(test_idle_while_bytes_come);
	ON_EACH_BACKEND(test_idle_while_bytes_go);
	on_one_loop(test_idle_while_bytes_come, "test_idle_while_bytes_come", "epoll", "wheel");
	ON_EACH_LOOP(test_idle_in_real_time);
	ON_EACH_LOOP(test_idle_changes);
	ON_EACH_LOOP(test_idle_begins_with_the_connection);
	return check_done();
}
