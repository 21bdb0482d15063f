/* conn_flow_test.c - what a connection holds back, keeps and owes: marks and stalled peers, input that is not used,
 * pauses, relays, fairness, many connections, and hundreds of random lives. The life itself is in conn_test.c. */
#include "conn.h"

#include "acceptor.h"
#include "check.h"
#include "conn_side.h"
#include "io.h"
#include "loopback.h"
#include "os.h"

#include <sys/ioctl.h>

enum { MANY_BYTES = 5 * 1000 * 1000, LIVES = 40 };

/* --- output: marks ----------------------------------------------------------------------------------------------- */

static void finish_in_low(struct conn *c)
{
	note_low(c);
	CHECK(conn_queued(c) <= (c->extra != NULL ? c->extra->low : CONN_LOW));
	conn_finish(c);
}

/* A stalled peer, and a producer that obeys: the queue ends with the piece that reached the mark, nobody is woken up
 * while nothing can be done, and one on_low comes when there is room. */
static void test_marks(struct reactor *r)
{
	static const struct conn_ops ops = { note_data, note_eof, finish_in_low, note_closed };
	struct side s;
	side_open(&s, r, &ops, SMALL_BUFFER);
	conn_set_marks(&s.conn, 20000, 100000);
	peer_reads(&s.peer, false);
	s.to_write = UINT64_MAX;
	produce(&s.conn);
	CHECK_INT(s.peak, conn_queued(&s.conn));
	CHECK(s.peak >= 100000 && s.peak < 100000 + PIECE);
	CHECK_INT(s.written, s.conn.bytes_out + s.peak); /* the last piece is queued, too */
	RUN_UNTIL(r, !is_ready(s.fd, POLLOUT));
	CHECK(rounds_in(r, 10 * NS_PER_MS) <= FEW);
	CHECK_INT(s.lows, 0);
	peer_reads(&s.peer, true);
	run(r);
	check_closed(&s, 0);
	CHECK_INT(s.lows, 1);
	CHECK_INT(s.peer.received, s.written);
}

static void toggle(struct timer *t)
{
	struct side *s = CONTAINER_OF(t, struct side, timer);
	peer_reads(&s->peer, !s->peer.is_reading);
	if (watch_is_started(&s->peer.watch))
		reactor_timer_start(s->r, t, reactor_now_ns(s->r) + NS_PER_MS / 4, toggle);
}

/* The peer reads now and then only; the queue stays within a piece of its mark all the time. */
static void test_producer_and_halting_peer(struct reactor *r)
{
	static const struct conn_ops ops = { note_data, note_eof, produce, note_closed };
	struct side s;
	side_open(&s, r, &ops, SMALL_BUFFER);
	s.to_write = MANY_BYTES;
	produce(&s.conn);
	toggle(&s.timer);
	run(r);
	check_closed(&s, 0);
	CHECK_INT(s.peer.received, MANY_BYTES);
	CHECK(s.peak >= CONN_HIGH && s.peak < CONN_HIGH + PIECE);
}

static void offer(struct conn *c)
{
	static unsigned char bytes[100000];
	struct side *s = side_of(c);
	uint64_t left = s->to_write - s->written;
	size_t n = left < sizeof(bytes) ? (size_t)left : sizeof(bytes);
	prng_fill(HERE, s->written, bytes, n);
	s->lows++;
	s->written += conn_offer(c, bytes, n);
	CHECK_INT(conn_queued(c), 0);
	CHECK(c->out.mem == NULL);
	if (s->written == s->to_write)
		conn_finish(c);
}

/* Who offers queues nothing, ever, and hears of room each time. */
static void test_offer(struct reactor *r)
{
	static const struct conn_ops ops = { note_data, note_eof, offer, note_closed };
	struct side s;
	side_open(&s, r, &ops, SMALL_BUFFER);
	s.to_write = MANY_BYTES;
	offer(&s.conn);
	CHECK_INT(s.lows, 1); /* a callback never comes in the call that asks for it */
	toggle(&s.timer);
	run(r);
	check_closed(&s, 0);
	CHECK_INT(s.peer.received, MANY_BYTES);
}

/* The kernel has room again, but bytes are still queued: nothing is sent ahead of them. */
static void test_nothing_overtakes_the_queue(struct reactor *r)
{
	static const struct conn_ops ops = { note_data, note_eof, finish_in_low, note_closed };
	struct side s;
	unsigned char byte;
	side_open(&s, r, &ops, SMALL_BUFFER);
	s.to_write = UINT64_MAX;
	produce(&s.conn);
	while (!is_ready(s.fd, POLLOUT))
		peer_read(&s.peer);
	size_t queued = conn_queued(&s.conn);
	CHECK_INT(conn_offer(&s.conn, "overtaking", 10), 0);
	CHECK_INT(conn_queued(&s.conn), queued);
	prng_fill(HERE, s.written++, &byte, 1);
	CHECK(!conn_write(&s.conn, &byte, 1));
	CHECK_INT(conn_queued(&s.conn), queued + 1);
	run(r);
	check_closed(&s, 0);
	CHECK_INT(s.lows, 1);
	CHECK_INT(s.peer.received, s.written);
}

/* --- input: what is not used ------------------------------------------------------------------------------------- */

enum { RECORD = 1000, MORSEL = 333, MORSELS = 90 };

/* Uses whole records only, and calls for the next morsel. What was left comes again, each time with more behind it. */
static size_t use_records(struct conn *c, const unsigned char *p, size_t n)
{
	struct side *s = side_of(c);
	size_t used = n - n % RECORD;
	CHECK(n > s->written); /* here: what the last call left */
	CHECK_INT(prng_check(THERE, s->received, p, n), n);
	CHECK(c->in.cap < IO_CHUNK / 8); /* grown by what came, not by what might have come */
	s->received += used;
	s->written = n - used;
	if (++s->datas < MORSELS)
		peer_sends(&s->peer, MORSEL);
	else
		peer_finishes(&s->peer);
	return used;
}

static void test_kept_with_more(struct reactor *r)
{
	static const struct conn_ops ops = { use_records, .on_closed = note_closed };
	struct side s;
	side_open(&s, r, &ops, 0);
	peer_sends(&s.peer, MORSEL);
	run(r);
	CHECK_INT(s.closes, 1);
	CHECK_INT(s.err, 0);
	CHECK_INT(s.datas, MORSELS);
	CHECK_INT(s.conn.bytes_in, MORSELS * MORSEL);
	CHECK_INT(s.received, MORSELS * MORSEL / RECORD * RECORD);
}

static void resume_in_timer(struct timer *t)
{
	conn_resume(&CONTAINER_OF(t, struct side, timer)->conn);
}

static void resume_in_call(struct deferred *d)
{
	conn_resume(&CONTAINER_OF(d, struct side, later)->conn);
}

/* Uses one byte, and pauses until it is resumed by a deferred call, by a timer, or at once: as a handler of requests
 * does that has its answer sooner or later. */
static size_t use_one_byte(struct conn *c, const unsigned char *p, size_t n)
{
	struct side *s = side_of(c);
	note_data(c, p, n);
	s->received -= n - 1;
	conn_pause(c);
	if (s->datas % 3 == 1)
		conn_resume(c);
	else if (s->datas % 3 == 2)
		reactor_defer(s->r, &s->later, resume_in_call);
	else
		reactor_timer_start(s->r, &s->timer, 1, resume_in_timer);
	return 1;
}

/* After a pause what was kept is shown again although nothing came; and EOF comes after it, be it there before. */
static void test_kept_until_resumed(struct reactor *r)
{
	static const struct conn_ops ops = { use_one_byte, note_eof, note_low, note_closed };
	struct side s;
	side_open(&s, r, &ops, 0);
	peer_sends_now(&s.peer, 20);
	peer_finishes(&s.peer);
	RUN_UNTIL(r, s.eofs == 1);
	CHECK_INT(s.received, 20);
	CHECK_INT(s.datas, 20);
	CHECK(s.conn.in.mem == NULL);
	conn_finish(&s.conn);
	run(r);
	CHECK_INT(s.closes, 1);
	CHECK_INT(s.err, 0);
}

/* Nobody wants to know of EOF: what is kept is not lost to it. */
static void test_kept_before_an_eof_that_finishes(struct reactor *r)
{
	static const struct conn_ops ops = { use_one_byte, .on_closed = note_closed };
	struct side s;
	side_open(&s, r, &ops, 0);
	peer_sends_now(&s.peer, 20);
	peer_finishes(&s.peer);
	run(r);
	check_closed(&s, 0);
	CHECK_INT(s.received, 20);
}

static void send_and_resume(struct deferred *d)
{
	struct side *s = CONTAINER_OF(d, struct side, later);
	peer_sends_now(&s->peer, 10);
	wait_for(s->fd, POLLIN);
	conn_resume(&s->conn);
}

static size_t use_nothing(struct conn *c, const unsigned char *p, size_t n)
{
	struct side *s = side_of(c);
	note_data(c, p, n);
	s->received -= n;
	if (s->datas == 1) {
		conn_pause(c);
		reactor_defer(s->r, &s->later, send_and_resume);
	}
	return 0;
}

/* More came in the moment of the resume: one call shows all of it, and there is no second one with nothing new. */
static void test_resumed_with_more(struct reactor *r)
{
	static const struct conn_ops ops = { use_nothing, note_eof, note_low, note_closed };
	struct side s;
	side_open(&s, r, &ops, 0);
	peer_sends_now(&s.peer, 10);
	RUN_UNTIL(r, s.datas >= 2);
	one_round(r);
	one_round(r);
	CHECK_INT(s.datas, 2);
	CHECK_INT(buf_len(&s.conn.in), 20);
	conn_resume(&s.conn); /* it is not paused: no reason to show anything */
	one_round(r);
	one_round(r);
	CHECK_INT(s.datas, 2);
	conn_pause(&s.conn);
	conn_resume(&s.conn);
	conn_pause(&s.conn);
	one_round(r);
	one_round(r);
	CHECK_INT(s.datas, 2);
	conn_close(&s.conn, 0);
	run(r);
	CHECK_INT(s.closes, 1);
}

static size_t use_when_all_is_there(struct conn *c, const unsigned char *p, size_t n)
{
	(void)p;
	struct side *s = side_of(c);
	s->peak = n;
	return n == s->to_write ? n : 0;
}

/* As much as CONN_KEEP_MAX may be kept; more is an error of the peer's. */
static void test_keep_max(struct reactor *r)
{
	static const struct conn_ops ops = { use_when_all_is_there, .on_closed = note_closed };
	for (unsigned more = 0; more < 2; more++) {
		struct side s;
		side_open(&s, r, &ops, 0);
		s.to_write = more ? UINT64_MAX : CONN_KEEP_MAX;
		peer_sends(&s.peer, CONN_KEEP_MAX + more);
		peer_finishes(&s.peer);
		run(r);
		CHECK_INT(s.closes, 1);
		CHECK_INT(s.err, more ? EMSGSIZE : 0);
		CHECK_INT(s.peak, CONN_KEEP_MAX + more);
		CHECK_INT(s.conn.bytes_in, CONN_KEEP_MAX + more);
	}
}

/* After traffic with kept input and queued output a connection at rest owns no memory. */
static void test_at_rest_it_owns_nothing(struct reactor *r)
{
	static const struct conn_ops ops = { use_when_all_is_there, note_eof, note_low, note_closed };
	static unsigned char bytes[500000];
	struct side s;
	side_open(&s, r, &ops, SMALL_BUFFER);
	CHECK(s.conn.in.mem == NULL && s.conn.out.mem == NULL);
	prng_fill(HERE, 0, bytes, sizeof(bytes));
	(void)conn_write(&s.conn, bytes, sizeof(bytes));
	s.to_write = 300000;
	peer_sends(&s.peer, s.to_write);
	bool had_in = false, had_out = false;
	while (s.peer.received < sizeof(bytes) || s.peak < s.to_write) {
		one_round(r);
		had_in |= s.conn.in.mem != NULL;
		had_out |= s.conn.out.mem != NULL;
	}
	CHECK(had_in && had_out);
	CHECK(s.conn.in.mem == NULL && s.conn.out.mem == NULL);
	conn_close(&s.conn, 0);
	run(r);
	CHECK_INT(s.closes, 1);
}

/* --- pauses ------------------------------------------------------------------------------------------------------ */

/* Nothing is read while we are paused: what the peer can send is what the kernel's two buffers hold. */
static void test_pause_closes_the_window(struct reactor *r)
{
	struct side s;
	side_open(&s, r, &notes, SMALL_BUFFER);
	conn_pause(&s.conn);
	peer_sends(&s.peer, MANY_BYTES);
	peer_finishes(&s.peer);
	rounds_in(r, 10 * NS_PER_MS);
	CHECK_INT(s.datas + s.eofs, 0);
	CHECK(s.peer.sent < MANY_BYTES / 10);
	conn_resume(&s.conn);
	conn_finish(&s.conn);
	run(r);
	check_closed(&s, 0);
	CHECK_INT(s.received, MANY_BYTES);
	CHECK_INT(s.eofs, 1);
}

static size_t pause_in_data(struct conn *c, const unsigned char *p, size_t n)
{
	conn_pause(c);
	return note_data(c, p, n);
}

/* Both sides have sent their FIN, and much is unread: epoll(7) and poll(2) report HUP then in each round, wanted or
 * not. We read a chunk, pause, and so on: each pause is quiet, and in the end everything has come. */
static void test_hangup_while_paused(struct reactor *r)
{
	static const struct conn_ops ops = { pause_in_data, note_eof, note_low, note_closed };
	struct side s;
	side_open(&s, r, &ops, 200000);
	conn_pause(&s.conn);
	conn_finish(&s.conn);
	peer_sends(&s.peer, 3 * IO_CHUNK);
	peer_finishes(&s.peer);
	while (watch_is_started(&s.peer.watch))
		one_round(r);
	for (unsigned i = 0; s.eofs == 0; i++) {
		CHECK_INT(s.datas, i);
		CHECK_INT(s.closes, 0);
		CHECK(rounds_in(r, 3 * NS_PER_MS) <= FEW);
		conn_resume(&s.conn);
		RUN_UNTIL(r, s.datas > i || s.eofs > 0);
	}
	run(r);
	check_closed(&s, 0);
	CHECK_INT(s.received, 3 * IO_CHUNK);
	CHECK(s.datas >= 3); /* one event, one chunk */
}

/* The same connection, ended in all other ways while it is quiet. */
static void test_end_after_hangup(struct reactor *r)
{
	for (int how = 0; how < 3; how++) {
		struct side s;
		side_open(&s, r, &notes, 0);
		conn_pause(&s.conn);
		conn_finish(&s.conn);
		peer_sends_now(&s.peer, 1000);
		peer_finishes(&s.peer);
		while (watch_is_started(&s.peer.watch))
			one_round(r);
		one_round(r);
		one_round(r);
		if (how == 0)
			conn_close(&s.conn, EINTR);
		else if (how == 1)
			conn_abort(&s.conn, EINTR);
		else
			conn_set_idle(&s.conn, NS_PER_MS);
		run(r);
		CHECK_INT(s.closes, 1);
		CHECK_INT(s.err, how == 2 ? ETIMEDOUT : EINTR);
		CHECK_INT(s.datas + s.eofs, 0);
	}
}

/* --- relays ------------------------------------------------------------------------------------------------------ */

/* Two connections back to back, as a proxy has them: the smallest program that obeys all rules. */
struct relay_side {
	struct conn conn;
	struct relay_side *other;
	struct peer peer;
	size_t peak;
	unsigned closes;
	int err;
};

static struct relay_side *relay_side_of(struct conn *c)
{
	return CONTAINER_OF(c, struct relay_side, conn);
}

static size_t relay_data(struct conn *c, const unsigned char *p, size_t n)
{
	struct relay_side *to = relay_side_of(c)->other;
	CHECK(n <= IO_CHUNK);
	if (!conn_write(&to->conn, p, n))
		conn_pause(c);
	to->peak = conn_queued(&to->conn) > to->peak ? conn_queued(&to->conn) : to->peak;
	return n;
}

static void relay_eof(struct conn *c)
{
	conn_finish(&relay_side_of(c)->other->conn);
}

static void relay_low(struct conn *c)
{
	conn_resume(&relay_side_of(c)->other->conn);
}

static void relay_closed(struct conn *c, int err)
{
	struct relay_side *s = relay_side_of(c);
	s->closes++;
	s->err = err;
	if (err != 0)
		conn_abort(&s->other->conn, err);
}

static const struct conn_ops relay_ops = { relay_data, relay_eof, relay_low, relay_closed };

/* The peer of side[0] sends `question` bytes; that of side[1] answers with `answer` bytes when all of it has come. */
static void relay_open(struct relay_side side[2], struct reactor *r, uint64_t question, uint64_t answer,
		       uint64_t buffer)
{
	for (int i = 0; i < 2; i++) {
		int here, there;
		side[i] = (struct relay_side){ .other = &side[1 - i] };
		loopback_pair(&here, &there, buffer);
		peer_start(&side[i].peer, r, there);
		CHECK_INT(conn_start(&side[i].conn, r, here, &relay_ops), 0);
	}
	side[0].peer.seed = side[1].peer.expects = prng_word(HERE, question);
	side[1].peer.seed = side[0].peer.expects = prng_word(THERE, answer);
	side[1].peer.answers = true;
	peer_sends(&side[0].peer, question);
	peer_sends(&side[1].peer, answer);
	for (int i = 0; i < 2; i++)
		peer_finishes(&side[i].peer);
}

static void relay_check(const struct relay_side side[2], uint64_t question, uint64_t answer)
{
	CHECK_INT(side[1].peer.received, question);
	CHECK_INT(side[0].peer.received, answer);
	for (int i = 0; i < 2; i++) {
		CHECK_INT(side[i].closes, 1);
		CHECK_INT(side[i].err, 0);
		CHECK(side[i].peak <= CONN_HIGH + IO_CHUNK);
	}
}

enum { STREAMS = 8, QUESTION = 8 * 1024 * 1024, REPLY = 1024 * 1024 };

/* Eight proxied streams at once, each a long question, a half-close and an answer. */
static void test_relayed_streams(struct reactor *r)
{
	static struct relay_side streams[STREAMS][2];
	for (unsigned i = 0; i < STREAMS; i++)
		relay_open(streams[i], r, QUESTION + i, REPLY + i, 0);
	run(r);
	for (unsigned i = 0; i < STREAMS; i++)
		relay_check(streams[i], QUESTION + i, REPLY + i);
}

struct halting {
	struct timer timer;
	struct reactor *r;
	struct relay_side *side;
	unsigned left;
};

static void halt_or_go(struct timer *t)
{
	struct halting *h = CONTAINER_OF(t, struct halting, timer);
	peer_reads(&h->side->peer, h->left % 2 == 0);
	if (h->left-- > 0)
		reactor_timer_start(h->r, t, reactor_now_ns(h->r) + NS_PER_MS, halt_or_go);
}

/* A fast source and a sink that halts: what the relay holds is the mark and one chunk, whatever the source could
 * send. */
static void test_relay_to_a_halting_sink(struct reactor *r)
{
	struct relay_side side[2];
	relay_open(side, r, MANY_BYTES, 1, SMALL_BUFFER);
	struct halting h = { .r = r, .side = &side[1], .left = 9 };
	peer_reads(&side[1].peer, false);
	RUN_UNTIL(r, side[0].conn.is_paused);
	halt_or_go(&h.timer);
	run(r);
	relay_check(side, MANY_BYTES, 1);
	CHECK(side[1].peak >= CONN_HIGH);
}

/* A reset of one end becomes a reset of the other, also while the relay is paused in this direction. */
static void test_relayed_reset(struct reactor *r)
{
	for (int from = 0; from < 2; from++) {
		struct relay_side side[2];
		relay_open(side, r, MANY_BYTES, 1, SMALL_BUFFER);
		peer_reads(&side[1].peer, false);
		RUN_UNTIL(r, side[0].conn.is_paused);
		peer_abort(&side[from].peer);
		peer_reads(&side[1].peer, true);
		run(r);
		CHECK_INT(side[0].closes + side[1].closes, 2);
		CHECK_INT(side[0].err, ECONNRESET);
		CHECK_INT(side[1].err, ECONNRESET);
		CHECK_INT(side[1 - from].peer.err, ECONNRESET);
	}
}

/* --- fairness ---------------------------------------------------------------------------------------------------- */

enum { QUIET = 10 };

/* One connection has more to read than an event may move, ten others have one byte: one round serves each of them
 * once. */
static void test_flood_and_trickles(struct reactor *r)
{
	struct side s[QUIET + 1], *flood = &s[QUIET];
	int waiting = 0;
	for (int i = 0; i <= QUIET; i++) {
		side_open(&s[i], r, &notes, 200000);
		peer_sends_now(&s[i].peer, &s[i] == flood ? IO_CHUNK : 1);
	}
	peer_sends_now(&flood->peer, IO_CHUNK);
	for (int i = 0; i <= QUIET; i++)
		wait_for(s[i].fd, POLLIN);
	while (waiting < 2 * IO_CHUNK)
		CHECK_INT(ioctl(flood->fd, FIONREAD, &waiting), 0);
	one_round(r);
	for (int i = 0; i <= QUIET; i++)
		CHECK_INT(s[i].datas, 1);
	CHECK_INT(flood->received, IO_CHUNK);
	for (int i = 0; i <= QUIET; i++)
		conn_close(&s[i].conn, 0);
	run(r);
}

/* --- many connections -------------------------------------------------------------------------------------------- */

enum { MANY = 5000, AT_A_TIME = 100, HELLO = 100 };

static struct crowd {
	struct acceptor acceptor;
	struct reactor *r;
	struct peer client[MANY];
	struct conn server[MANY];
	unsigned n, closes, errors;
	uint64_t received;
} crowd;

static size_t echo(struct conn *c, const unsigned char *p, size_t n)
{
	crowd.received += n;
	CHECK(conn_write(c, p, n));
	return n;
}

static void count_closed(struct conn *c, int err)
{
	(void)c;
	crowd.closes++;
	crowd.errors += err != 0;
	acceptor_release(&crowd.acceptor);
}

static void accept_one(struct acceptor *a, int fd, const struct addr *peer)
{
	static const struct conn_ops ops = { .on_data = echo, .on_closed = count_closed };
	(void)peer;
	CHECK_INT(conn_start(&crowd.server[a->live - 1], crowd.r, fd, &ops), 0);
}

/* As many clients as the descriptors allow, all of them connected at the same time. */
static void open_crowd(struct reactor *r, unsigned n, int listener, const struct addr *bound)
{
	static const struct sock_options no_options;
	memset(&crowd, 0, sizeof(crowd));
	crowd.r = r;
	crowd.n = n;
	CHECK_INT(acceptor_start(&crowd.acceptor, r, listener, 0, accept_one), 0);
	for (unsigned i = 0; i < n; i++) {
		struct peer *p = &crowd.client[i];
		peer_start(p, r, loopback_connect(bound, &no_options));
		p->expects = p->seed; /* an echo */
		peer_sends(p, HELLO);
		if (i % AT_A_TIME == AT_A_TIME - 1 || i == n - 1)
			RUN_UNTIL(r, crowd.acceptor.accepted == i + 1);
	}
}

static void test_many(struct reactor *r)
{
	struct addr bound;
	static const struct sock_options no_options;
	uint64_t fds = os_raise_fd_limit();
	fds = fds < (uint64_t)reactor_fd_limit(r) ? fds : (uint64_t)reactor_fd_limit(r);
	unsigned n = fds > 2 * MANY + 100 ? MANY : (unsigned)(fds - 100) / 2;
	int listener = loopback_listen(&bound, &no_options);
	open_crowd(r, n, listener, &bound);
	for (unsigned i = 0; i < n; i++)
		while (crowd.client[i].received < HELLO)
			one_round(r);
	CHECK_INT(crowd.received, n * HELLO);
	CHECK_INT(crowd.acceptor.live, n);
	acceptor_stop(&crowd.acceptor);
	for (unsigned i = 0; i < n; i++) {
		CHECK(crowd.server[i].in.mem == NULL && crowd.server[i].out.mem == NULL);
		conn_finish(&crowd.server[i]);
	}
	run(r);
	CHECK_INT(crowd.closes, n);
	CHECK_INT(crowd.errors, 0);
	CHECK_INT(crowd.acceptor.live, 0);
	close(listener);
}

/* --- random lives ------------------------------------------------------------------------------------------------ */

/* Two connections, one at each end, that do all that is legal in any order: write and offer in any sizes, halt, use
 * any part of what they are shown, pause and come back by a timer or a deferred call. Whatever they do every byte
 * arrives once, in its place, and both end in order; or one is closed in the middle, and both end. */
struct random_side {
	struct conn conn;
	struct reactor *r;
	struct random_side *other;
	struct timer timer;
	struct deferred later;
	uint64_t seed, step;
	uint64_t to_write, written, received;
	uint64_t ends_at_step; /* 0: in order */
	unsigned eofs, closes;
	int err;
};

static uint64_t rnd(struct random_side *s, uint64_t below)
{
	if (++s->step == s->ends_at_step) {
		if (s->step % 2)
			conn_close(&s->conn, ECANCELED);
		else
			conn_abort(&s->conn, ECANCELED);
	}
	return prng_word(s->seed, s->step) % below;
}

static void random_write(struct conn *c)
{
	static unsigned char bytes[100000];
	struct random_side *s = CONTAINER_OF(c, struct random_side, conn);
	bool more = true;
	while (more && s->written < s->to_write) {
		size_t n = 1 + rnd(s, rnd(s, 4) == 0 ? sizeof(bytes) : 2000);
		n = n < s->to_write - s->written ? n : (size_t)(s->to_write - s->written);
		prng_fill(s->seed, s->written, bytes, n);
		if (rnd(s, 2) == 0) {
			more = conn_write(c, bytes, n);
			s->written += n;
		} else {
			size_t taken = conn_offer(c, bytes, n);
			more = taken == n;
			s->written += taken;
		}
	}
	if (s->written == s->to_write)
		conn_finish(c);
}

static void come_back(struct random_side *s)
{
	conn_resume(&s->conn);
	if (rnd(s, 3) == 0)
		random_write(&s->conn);
	if (rnd(s, 4) == 0)
		conn_pause(&s->conn);
	if (rnd(s, 2) == 0)
		conn_resume(&s->conn);
}

static void random_timer(struct timer *t)
{
	struct random_side *s = CONTAINER_OF(t, struct random_side, timer);
	come_back(s);
	if (s->conn.is_paused)
		conn_resume(&s->conn);
}

static void random_call(struct deferred *d)
{
	struct random_side *s = CONTAINER_OF(d, struct random_side, later);
	come_back(s);
	if (s->conn.is_paused)
		reactor_timer_start(s->r, &s->timer, 1, random_timer);
}

static size_t random_data(struct conn *c, const unsigned char *p, size_t n)
{
	struct random_side *s = CONTAINER_OF(c, struct random_side, conn);
	CHECK(s->eofs == 0 && s->closes == 0);
	CHECK_INT(prng_check(s->other->seed, s->received, p, n), n);
	bool more_comes = s->received + n < s->other->to_write;
	size_t used = rnd(s, 2) == 0 ? n : rnd(s, n + 1);
	if (rnd(s, 4) == 0 || (used < n && !more_comes)) {
		conn_pause(c);
		if (rnd(s, 2) == 0)
			reactor_timer_start(s->r, &s->timer, reactor_now_ns(s->r) + rnd(s, NS_PER_MS), random_timer);
		else
			reactor_defer(s->r, &s->later, random_call);
	}
	s->received += used;
	return used;
}

static void random_eof(struct conn *c)
{
	CONTAINER_OF(c, struct random_side, conn)->eofs++;
}

static void random_closed(struct conn *c, int err)
{
	struct random_side *s = CONTAINER_OF(c, struct random_side, conn);
	s->closes++;
	s->err = err;
	reactor_timer_stop(s->r, &s->timer);
	deferred_cancel(&s->later);
	if (s->ends_at_step > 0 || s->other->ends_at_step > 0)
		conn_close(&s->other->conn, EIO);
}

static void random_life(struct reactor *r, uint64_t seed)
{
	static const struct conn_ops ops = { random_data, random_eof, random_write, random_closed };
	struct random_side s[2];
	int fd[2];
	loopback_pair(&fd[0], &fd[1], seed % 3 * 8192);
	for (int i = 0; i < 2; i++) {
		s[i] = (struct random_side){ .r = r, .other = &s[1 - i], .seed = 2 * seed + i };
		s[i].to_write = rnd(&s[i], 300000);
		CHECK_INT(conn_start(&s[i].conn, r, fd[i], &ops), 0);
		conn_set_marks(&s[i].conn, (uint32_t)rnd(&s[i], 3000), 3000 + (uint32_t)rnd(&s[i], 100000));
	}
	bool in_order = seed % 4 != 0;
	s[0].ends_at_step = in_order ? 0 : s[0].step + 2 + rnd(&s[0], 100);
	for (int i = 0; i < 2; i++)
		random_write(&s[i].conn);
	run(r);
	bool good = CHECK(s[0].closes == 1 && s[1].closes == 1);
	for (int i = 0; i < 2 && in_order; i++)
		good &= CHECK_INT(s[i].err, 0) && CHECK_INT(s[i].eofs, 1) &&
			CHECK_INT(s[i].received, s[1 - i].to_write);
	if (!good)
		fprintf(stderr, "    in life %" PRIu64 "\n", seed);
}

static void test_random_lives(struct reactor *r)
{
	for (uint64_t seed = 1; seed <= LIVES; seed++)
		random_life(r, seed);
}

int main(void)
{
	os_raise_fd_limit();
	ON_EACH_LOOP(test_marks);
	ON_EACH_LOOP(test_producer_and_halting_peer);
	ON_EACH_LOOP(test_offer);
	ON_EACH_LOOP(test_nothing_overtakes_the_queue);
	ON_EACH_LOOP(test_kept_with_more);
	ON_EACH_LOOP(test_kept_until_resumed);
	ON_EACH_LOOP(test_kept_before_an_eof_that_finishes);
	ON_EACH_LOOP(test_resumed_with_more);
	ON_EACH_LOOP(test_keep_max);
	ON_EACH_LOOP(test_at_rest_it_owns_nothing);
	ON_EACH_LOOP(test_pause_closes_the_window);
	ON_EACH_LOOP(test_hangup_while_paused);
	ON_EACH_LOOP(test_end_after_hangup);
	ON_EACH_BACKEND(test_relayed_streams);
	ON_EACH_LOOP(test_relay_to_a_halting_sink);
	ON_EACH_LOOP(test_relayed_reset);
	ON_EACH_LOOP(test_flood_and_trickles);
	ON_EACH_BACKEND(test_many);
	ON_EACH_LOOP(test_random_lives);
	return check_done();
}
