/* pump_test.c - how a flow ends: FIN in each order, half-closed for a while, a reset of either side in every situation, and
 * what had been sent before it. Each on every backend, by copying and by splicing. Pressure and counters are in
 * pump_flow_test.c, bytes that are looked at in pump_look_test.c, what takes time in pump_time_test.c. */
#include "pump.h"

#include "check.h"
#include "pump_kit.h"

/* --- in order ----------------------------------------------------------------------------------------------------- */

static void test_both_ways(struct reactor *r)
{
	struct alone x;
	alone_open(&x, r, 0, (struct pump_options){ 0 });
	peer_sends(&x.f.a, BULK);
	peer_sends(&x.f.b, BULK + 1);
	peer_finishes(&x.f.a);
	peer_finishes(&x.f.b);
	run(r);
	check_orderly(&x.f);
	alone_close(&x);
}

static void test_nothing_sent(struct reactor *r)
{
	struct alone x;
	alone_open(&x, r, 0, (struct pump_options){ 0 });
	peer_finishes(&x.f.a);
	peer_finishes(&x.f.b);
	run(r);
	check_orderly(&x.f);
	CHECK_INT(x.f.a.received + x.f.b.received, 0);
	alone_close(&x);
}

/* A question, its end, and the answer after that. */
static void ask_and_answer(struct reactor *r, enum pump_side who, uint64_t question, uint64_t answer, uint64_t buffer)
{
	struct alone x;
	alone_open(&x, r, buffer, (struct pump_options){ 0 });
	struct peer *asks = flow_peer(&x.f, who);
	struct peer *answers = flow_peer(&x.f, who == PUMP_A ? PUMP_B : PUMP_A);
	answers->answers = true;
	peer_sends(answers, answer);
	peer_finishes(answers);
	peer_sends(asks, question);
	peer_finishes(asks);
	run(r);
	check_orderly(&x.f);
	CHECK_INT(asks->received, answer);
	alone_close(&x);
}

static void test_client_ends_first(struct reactor *r)
{
	ask_and_answer(r, PUMP_A, 1000, BULK, 0);
	ask_and_answer(r, PUMP_A, BULK, 100000, SMALL_BUFFER);
	ask_and_answer(r, PUMP_A, 0, 1, 0);
}

static void test_server_ends_first(struct reactor *r)
{
	ask_and_answer(r, PUMP_B, 100, BULK, 0);
	ask_and_answer(r, PUMP_B, 0, 100000, SMALL_BUFFER);
}

/* The FIN goes on at once, although nothing else happens; and the other lane stays open for as long as one likes. */
static void test_half_closed(struct reactor *r)
{
	struct alone x;
	alone_open(&x, r, 0, (struct pump_options){ 0 });
	x.f.b.stays = true;
	peer_finishes(&x.f.a);
	RUN_UNTIL(r, x.f.b.saw_eof);
	CHECK_INT(x.f.dones, 0);
	CHECK(rounds_in(r, 20 * NS_PER_MS) <= FEW);
	CHECK_INT(x.f.dones, 0);
	for (unsigned i = 1; i <= 5; i++) {
		peer_sends(&x.f.b, 10);
		RUN_UNTIL(r, x.f.a.received == 10 * i);
	}
	CHECK(!x.f.a.saw_eof);
	x.f.b.stays = false;
	peer_finishes(&x.f.b);
	run(r);
	check_orderly(&x.f);
	alone_close(&x);
}

/* The FIN waits its turn: a reader who starts late has every byte, and then the end. */
static void test_fin_behind_bytes(struct reactor *r)
{
	struct alone x;
	alone_open(&x, r, SMALL_BUFFER, (struct pump_options){ 0 });
	peer_reads(&x.f.b, false);
	x.f.b.stays = true;
	peer_sends(&x.f.a, 200000);
	peer_finishes(&x.f.a);
	RUN_UNTIL(r, pump_waiting(&x.f.pump.lane[PUMP_UP]) > 0);
	rounds_in(
		r,
		20 * NS_PER_MS); /* by copying, the FIN waits in the pump; a pipe holds less, and it waits before it */
	CHECK(!x.f.pump.lane[PUMP_UP].is_shut);
	peer_reads(&x.f.b, true);
	RUN_UNTIL(r, x.f.b.saw_eof);
	CHECK_INT(x.f.b.received, 200000);
	CHECK_INT(x.f.dones, 0);
	x.f.b.stays = false;
	peer_finishes(&x.f.b);
	run(r);
	check_orderly(&x.f);
	alone_close(&x);
}

/* Both have said all they had to say, and neither reads: the flow waits, without spinning, and loses nothing. */
static void test_stuck_both_ways(struct reactor *r)
{
	struct alone x;
	alone_open(&x, r, SMALL_BUFFER, (struct pump_options){ .high = 30000, .low = 10000 });
	for (int i = 0; i < 2; i++) {
		struct peer *p = flow_peer(&x.f, (enum pump_side)i);
		peer_reads(p, false);
		peer_sends(p, 200000);
		peer_finishes(p);
	}
	RUN_UNTIL(r, pump_waiting(&x.f.pump.lane[PUMP_UP]) > 0 && pump_waiting(&x.f.pump.lane[PUMP_DOWN]) > 0);
	rounds_in(r, 20 * NS_PER_MS);
	CHECK(rounds_in(r, 30 * NS_PER_MS) <= FEW);
	CHECK_INT(x.f.dones, 0);
	peer_reads(&x.f.a, true);
	RUN_UNTIL(r, x.f.a.received == x.f.b.to_send && x.f.a.saw_eof);
	CHECK(rounds_in(r, 10 * NS_PER_MS) <= FEW);
	peer_reads(&x.f.b, true);
	run(r);
	check_orderly(&x.f);
	alone_close(&x);
}

/* One byte at a time, each in a segment of its own. */
static void test_crumbs(struct reactor *r)
{
	struct alone x;
	alone_open(&x, r, 0, (struct pump_options){ 0 });
	for (unsigned i = 1; i <= 200; i++) {
		peer_sends(&x.f.a, 1);
		RUN_UNTIL(r, x.f.b.received == i);
		peer_sends(&x.f.b, 1);
		RUN_UNTIL(r, x.f.a.received == i);
	}
	peer_finishes(&x.f.a);
	peer_finishes(&x.f.b);
	run(r);
	check_orderly(&x.f);
	alone_close(&x);
}

/* --- by a reset --------------------------------------------------------------------------------------------------- */

static void reset_when_idle(struct reactor *r, enum pump_side who)
{
	struct alone x;
	alone_open(&x, r, 0, (struct pump_options){ 0 });
	peer_sends(&x.f.a, 5000);
	peer_sends(&x.f.b, 7000);
	RUN_UNTIL(r, x.f.a.received == 7000 && x.f.b.received == 5000);
	peer_abort(flow_peer(&x.f, who));
	run(r);
	check_reset_by(&x.f, who);
	alone_close(&x);
}

static void test_reset(struct reactor *r)
{
	reset_when_idle(r, PUMP_A);
	reset_when_idle(r, PUMP_B);
}

/* Before a byte was sent; before the loop has run; before there was a pump. */
static void test_reset_at_once(struct reactor *r)
{
	for (int who = PUMP_A; who <= PUMP_B; who++) {
		struct alone x;
		alone_open(&x, r, 0, (struct pump_options){ 0 });
		peer_abort(flow_peer(&x.f, (enum pump_side)who));
		run(r);
		check_reset_by(&x.f, (enum pump_side)who);
		alone_close(&x);

		shop_open(&x.shop, r, (struct pump_options){ 0 });
		flow_connect(&x.f, r, 0);
		peer_abort(flow_peer(&x.f, (enum pump_side)who));
		flow_start(&x.f, &x.shop);
		run(r);
		check_reset_by(&x.f, (enum pump_side)who);
		alone_close(&x);
	}
}

/* In the same instant: over, once. */
static void test_reset_by_both(struct reactor *r)
{
	struct alone x;
	alone_open(&x, r, 0, (struct pump_options){ 0 });
	peer_sends_now(&x.f.a, 1000);
	peer_sends_now(&x.f.b, 1000);
	peer_abort(&x.f.a);
	peer_abort(&x.f.b);
	run(r);
	CHECK_INT(x.f.dones, 1);
	CHECK_INT(x.f.pump.end, PUMP_RESET);
	alone_close(&x);
}

/* In the middle of bulk both ways. */
static void reset_in_flight(struct reactor *r, enum pump_side who, uint64_t buffer)
{
	struct alone x;
	alone_open(&x, r, buffer, (struct pump_options){ 0 });
	peer_sends(&x.f.a, BULK);
	peer_sends(&x.f.b, BULK);
	RUN_UNTIL(r, x.f.a.received > BULK / 4 && x.f.b.received > BULK / 4);
	peer_abort(flow_peer(&x.f, who));
	run(r);
	CHECK_INT(x.f.dones, 1);
	CHECK_INT(x.f.pump.end, PUMP_RESET);
	CHECK_INT(x.f.pump.side, who);
	const struct peer *other = flow_peer(&x.f, who == PUMP_A ? PUMP_B : PUMP_A);
	CHECK(!other->saw_eof && is_reset_error(other->err));
	alone_close(&x);
}

static void test_reset_in_flight(struct reactor *r)
{
	for (int who = PUMP_A; who <= PUMP_B; who++) {
		reset_in_flight(r, (enum pump_side)who, 0);
		reset_in_flight(r, (enum pump_side)who, SMALL_BUFFER);
	}
}

/* What it had sent before, and the pump's kernel has acknowledged, comes first: all of it. */
static void reset_after_bytes(struct reactor *r, enum pump_side who, uint64_t n)
{
	struct alone x;
	alone_open(&x, r, 0, (struct pump_options){ 0 });
	struct peer *resets = flow_peer(&x.f, who);
	struct peer *other = flow_peer(&x.f, who == PUMP_A ? PUMP_B : PUMP_A);
	peer_sends_now(resets, n);
	while (peer_unacked(resets) > 0)
		; /* the kernel's business: the loop does not run */
	peer_abort(resets);
	run(r);
	check_reset_by(&x.f, who);
	CHECK_INT(other->received, n);
	CHECK_INT(x.f.pump.lane[who].bytes_out, n);
	CHECK_INT(x.f.pump.lane[who].dropped, 0);
	alone_close(&x);
}

static void test_bytes_before_reset(struct reactor *r)
{
	for (int who = PUMP_A; who <= PUMP_B; who++) {
		reset_after_bytes(r, (enum pump_side)who, 1);
		reset_after_bytes(r, (enum pump_side)who, 60000);
	}
}

/* The same, and the sink has been stalled: the lane is paused when the reset comes, and there are bytes at every station: in
 * the pump, in both of its kernel's buffers. The reset is seen at once; the reader who starts again has them all. */
static void reset_while_paused(struct reactor *r, enum pump_side who)
{
	struct alone x;
	alone_open(&x, r, SMALL_BUFFER, (struct pump_options){ .high = 20000, .low = 5000 });
	struct pump *p = &x.f.pump;
	struct peer *resets = flow_peer(&x.f, who);
	struct peer *other = flow_peer(&x.f, who == PUMP_A ? PUMP_B : PUMP_A);
	peer_reads(other, false);
	peer_sends(resets, BULK);
	until_stalled(r, &p->lane[who]);
	uint64_t in_pump = p->lane[who].bytes_in;
	CHECK(is_ready(x.f.fd[who], POLLIN)); /* the kernel has more of it */
	peer_abort(resets);
	RUN_UNTIL(r, p->end != PUMP_LIVES);
	CHECK_INT(x.f.dones, 0);
	CHECK_INT(p->side, who);
	peer_reads(other, true);
	run(r);
	check_reset_by(&x.f, who);
	CHECK(other->received > in_pump);
	CHECK_INT(other->received, p->lane[who].bytes_in);
	CHECK_INT(p->lane[who].dropped, 0);
	alone_close(&x);
}

static void test_reset_while_paused(struct reactor *r)
{
	reset_while_paused(r, PUMP_A);
	reset_while_paused(r, PUMP_B);
}

/* A sink that resets while the source is stalled by it. */
static void reset_of_the_sink(struct reactor *r, enum pump_side source)
{
	struct alone x;
	alone_open(&x, r, SMALL_BUFFER, (struct pump_options){ .high = 20000, .low = 5000 });
	enum pump_side who = source == PUMP_A ? PUMP_B : PUMP_A;
	struct peer *sends = flow_peer(&x.f, source);
	peer_reads(flow_peer(&x.f, who), false);
	peer_sends(sends, BULK);
	RUN_UNTIL(r, x.f.pump.lane[source].is_paused);
	peer_abort(flow_peer(&x.f, who));
	run(r);
	CHECK_INT(x.f.pump.end, PUMP_RESET);
	CHECK_INT(x.f.pump.side, who);
	CHECK(!sends->saw_eof && is_reset_error(sends->err));
	CHECK(x.f.pump.lane[source].dropped > 0);
	alone_close(&x);
}

static void test_reset_of_the_sink(struct reactor *r)
{
	reset_of_the_sink(r, PUMP_A);
	reset_of_the_sink(r, PUMP_B);
}

/* First a FIN, which goes on; then a reset, while the other one still sends. */
static void reset_after_fin(struct reactor *r, enum pump_side who)
{
	struct alone x;
	alone_open(&x, r, SMALL_BUFFER, (struct pump_options){ 0 });
	struct peer *resets = flow_peer(&x.f, who);
	struct peer *other = flow_peer(&x.f, who == PUMP_A ? PUMP_B : PUMP_A);
	peer_sends(resets, 1000);
	peer_finishes(resets);
	peer_sends(other, BULK);
	RUN_UNTIL(r, other->saw_eof && resets->received > 0);
	peer_abort(resets);
	run(r);
	CHECK_INT(x.f.dones, 1);
	CHECK_INT(x.f.pump.end, PUMP_RESET);
	CHECK_INT(x.f.pump.side, who);
	CHECK_INT(other->received, 1000);
	CHECK(is_reset_error(other->err));
	alone_close(&x);
}

static void test_reset_after_fin(struct reactor *r)
{
	reset_after_fin(r, PUMP_A);
	reset_after_fin(r, PUMP_B);
}

/* Half-closed, both peers silent, then the one that still could send resets. */
static void reset_of_the_half_closed(struct reactor *r, enum pump_side fin, enum pump_side who)
{
	struct alone x;
	alone_open(&x, r, 0, (struct pump_options){ 0 });
	struct peer *closes = flow_peer(&x.f, fin), *other = flow_peer(&x.f, fin == PUMP_A ? PUMP_B : PUMP_A);
	other->stays = true;
	peer_sends(closes, 10);
	peer_finishes(closes);
	RUN_UNTIL(r, other->saw_eof);
	CHECK(rounds_in(r, 5 * NS_PER_MS) <= FEW);
	peer_abort(flow_peer(&x.f, who));
	run(r);
	CHECK_INT(x.f.dones, 1);
	CHECK_INT(x.f.pump.end, PUMP_RESET);
	CHECK_INT(x.f.pump.side, who);
	const struct peer *victim = flow_peer(&x.f, who == PUMP_A ? PUMP_B : PUMP_A);
	CHECK(is_reset_error(victim->err));
	alone_close(&x);
}

static void test_reset_of_the_half_closed(struct reactor *r)
{
	for (int fin = PUMP_A; fin <= PUMP_B; fin++)
		for (int who = PUMP_A; who <= PUMP_B; who++)
			reset_of_the_half_closed(r, (enum pump_side)fin, (enum pump_side)who);
}

/* close(2) with bytes that were not read is a reset, too: the common one. */
static void test_close_with_unread_bytes(struct reactor *r)
{
	struct alone x;
	alone_open(&x, r, 0, (struct pump_options){ 0 });
	peer_reads(&x.f.a, false);
	peer_sends(&x.f.b, 1000);
	wait_for(x.f.b.watch.fd, POLLOUT);
	RUN_UNTIL(r, is_ready(x.f.a.watch.fd, POLLIN));
	peer_close(&x.f.a);
	run(r);
	check_reset_by(&x.f, PUMP_A);
	alone_close(&x);
}

/* --- ended from outside -------------------------------------------------------------------------------------------- */

static void abort_now(struct flow *f, enum pump_end end, int err)
{
	f->is_in_call = true;
	pump_abort(&f->pump, end, err);
	pump_abort(&f->pump, PUMP_LINGER, 1); /* what was said first holds */
	f->is_in_call = false;
	CHECK_INT(f->dones, 0);
}

static void test_abort(struct reactor *r)
{
	struct alone x;
	alone_open(&x, r, 0, (struct pump_options){ 0 });
	abort_now(&x.f, PUMP_ABORTED, ECANCELED);
	run(r);
	check_both_reset(&x.f, PUMP_ABORTED);
	CHECK_INT(x.f.pump.err, ECANCELED);
	alone_close(&x);

	alone_open(&x, r, SMALL_BUFFER, (struct pump_options){ 0 });
	peer_reads(&x.f.b, false);
	peer_sends(&x.f.a, BULK);
	RUN_UNTIL(r, pump_waiting(&x.f.pump.lane[PUMP_UP]) > 0);
	abort_now(&x.f, PUMP_IDLE, 0);
	run(r);
	check_both_reset(&x.f, PUMP_IDLE);
	CHECK(x.f.pump.lane[PUMP_UP].dropped > 0);
	alone_close(&x);
}

/* While a reset waits for the bytes before it. */
static void test_abort_while_resetting(struct reactor *r)
{
	struct alone x;
	alone_open(&x, r, SMALL_BUFFER, (struct pump_options){ .high = 20000, .low = 5000 });
	peer_reads(&x.f.b, false);
	peer_sends(&x.f.a, BULK);
	RUN_UNTIL(r, x.f.pump.lane[PUMP_UP].is_paused);
	peer_abort(&x.f.a);
	RUN_UNTIL(r, x.f.pump.end != PUMP_LIVES);
	CHECK_INT(x.f.dones, 0);
	x.f.is_in_call = true;
	pump_abort(&x.f.pump, PUMP_ABORTED, 0);
	x.f.is_in_call = false;
	run(r);
	CHECK_INT(x.f.dones, 1);
	check_saw_reset(&x.f.b);
	alone_close(&x);
}

/* watch_start fails: both are reset, and nobody is told but the caller. */
static void refused_start(struct reactor *r, bool is_second)
{
	if (!loop_is(r, "epoll")) /* the others watch a file like anything else */
		return;
	struct pump_shop shop;
	struct flow f;
	shop_open(&shop, r, (struct pump_options){ 0 });
	flow_connect(&f, r, 0);
	int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	int kept = f.fd[is_second];
	f.fd[is_second] = file;
	errno = 0;
	CHECK_INT(pump_start(&f.pump, &shop, f.fd[PUMP_A], f.fd[PUMP_B]), -1);
	CHECK_INT(errno, EPERM);
	CHECK_INT(fcntl(file, F_GETFD), -1);
	CHECK_INT(fcntl(f.fd[!is_second], F_GETFD), -1);
	struct peer *other = flow_peer(&f, is_second ? PUMP_A : PUMP_B);
	RUN_UNTIL(r, !watch_is_started(&other->watch));
	CHECK_INT(other->err, ECONNRESET);
	CHECK_INT(f.dones, 0);
	close(kept);
	run(r);
	peer_close(&f.a);
	peer_close(&f.b);
	shop_close(&shop);
}

static void test_refused_start(struct reactor *r)
{
	refused_start(r, false);
	refused_start(r, true);
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN); /* splice(2) has no MSG_NOSIGNAL */
	ON_EACH_PATH(test_both_ways);
	ON_EACH_PATH_TIMERS(test_nothing_sent);
	ON_EACH_PATH(test_client_ends_first);
	ON_EACH_PATH(test_server_ends_first);
	ON_EACH_PATH(test_half_closed);
	ON_EACH_PATH(test_fin_behind_bytes);
	ON_EACH_PATH(test_stuck_both_ways);
	ON_EACH_PATH(test_crumbs);
	ON_EACH_PATH_TIMERS(test_reset);
	ON_EACH_PATH(test_reset_at_once);
	ON_EACH_PATH(test_reset_by_both);
	ON_EACH_PATH(test_reset_in_flight);
	ON_EACH_PATH_TIMERS(test_bytes_before_reset);
	ON_EACH_PATH(test_reset_while_paused);
	ON_EACH_PATH(test_reset_of_the_sink);
	ON_EACH_PATH(test_reset_after_fin);
	ON_EACH_PATH(test_reset_of_the_half_closed);
	ON_EACH_PATH(test_close_with_unread_bytes);
	ON_EACH_PATH(test_abort);
	ON_EACH_PATH(test_abort_while_resetting);
	ON_EACH_PATH(test_refused_start);
	return check_done();
}
