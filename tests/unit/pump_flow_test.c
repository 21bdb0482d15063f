/* pump_flow_test.c - the pump under pressure: marks, what is counted, pipes that are lent and given back, many flows, and no
 * descriptor left for a pipe. How a flow ends is in pump_test.c. */
#include "pump.h"

#include "check.h"
#include "pump_kit.h"

#include <sys/resource.h>

/* --- marks -------------------------------------------------------------------------------------------------------- */

enum { LOW = 10000, HIGH = 40000 };
static const struct pump_options tight = { .low = LOW, .high = HIGH };

/* What may wait in a lane: one splice takes what the socket has, as far as the pipe holds it. */
static size_t most_waiting(void)
{
	return kit_path == PUMP_PATH_COPY ? HIGH : PIPEPOOL_LEN;
}

/* Runs until b has everything; after each round the books balance, and the lane is within its bounds. */
static void watch_lane(struct reactor *r, struct alone *x, uint64_t until)
{
	while (x->f.b.received < until) {
		one_round(r);
		check_books(&x->f.pump);
		CHECK(pump_waiting(&x->f.pump.lane[PUMP_UP]) <= most_waiting());
	}
}

static void test_marks(struct reactor *r)
{
	struct alone x;
	alone_open(&x, r, SMALL_BUFFER, tight);
	const struct pump_lane *lane = &x.f.pump.lane[PUMP_UP];
	peer_reads(&x.f.b, false);
	peer_sends(&x.f.a, BULK);
	until_stalled(r, lane);
	CHECK(x.f.a.sent < BULK); /* the source feels it */
	CHECK(pump_waiting(lane) > 0);
	CHECK(lane->pauses > 0);
	CHECK_INT(x.f.pump.lane[PUMP_DOWN].pauses, 0);
	CHECK_INT(x.f.pump.lane[PUMP_DOWN].peak, 0);
	peer_reads(&x.f.b, true);
	watch_lane(r, &x, BULK);
	CHECK(lane->peak <= most_waiting());
	CHECK(lane->blocked_ns >= 20 * NS_PER_MS);
	CHECK_INT(lane->blocked_at_ns, 0);
	peer_finishes(&x.f.a);
	peer_finishes(&x.f.b);
	run(r);
	check_orderly(&x.f);
	alone_close(&x);
}

/* Reads again at `low`, and not before. By copying only: what is in a pipe is not counted by marks. */
static void test_low_mark(struct reactor *r)
{
	if (kit_path != PUMP_PATH_COPY)
		return;
	struct alone x;
	alone_open(&x, r, SMALL_BUFFER, tight);
	const struct pump_lane *lane = &x.f.pump.lane[PUMP_UP];
	peer_reads(&x.f.b, false);
	peer_sends(&x.f.a, BULK);
	RUN_UNTIL(r, lane->is_paused);
	CHECK_INT(pump_waiting(lane), HIGH);
	peer_reads(&x.f.b, true);
	uint64_t in = lane->bytes_in;
	while (lane->is_paused) {
		CHECK_INT(lane->bytes_in, in);
		one_round(r);
	}
	CHECK(lane->bytes_out >= in - LOW);
	peer_finishes(&x.f.a);
	peer_finishes(&x.f.b);
	run(r);
	check_orderly(&x.f);
	alone_close(&x);
}

/* A stalled lane does not hold up the other one, nor another flow. */
static void test_stalled_alone(struct reactor *r)
{
	struct pump_shop shop;
	struct flow stalled, free;
	shop_open(&shop, r, tight);
	flow_open(&stalled, &shop, SMALL_BUFFER);
	flow_open(&free, &shop, SMALL_BUFFER);
	peer_reads(&stalled.b, false);
	peer_sends(&stalled.a, BULK);
	RUN_UNTIL(r, stalled.pump.lane[PUMP_UP].is_paused);
	peer_sends(&stalled.b, BULK);
	peer_sends(&free.a, BULK);
	peer_sends(&free.b, BULK);
	peer_finishes(&free.a);
	peer_finishes(&free.b);
	RUN_UNTIL(r, stalled.a.received == BULK && free.dones == 1);
	check_orderly(&free);
	CHECK(stalled.pump.lane[PUMP_UP].is_paused);
	peer_reads(&stalled.b, true);
	peer_finishes(&stalled.a);
	peer_finishes(&stalled.b);
	run(r);
	check_orderly(&stalled);
	shop_close(&shop);
}

/* An idle flow, after bulk both ways: it owns neither memory nor a pipe. */
static void test_idle_owns_nothing(struct reactor *r)
{
	struct alone x;
	alone_open(&x, r, 0, (struct pump_options){ 0 });
	peer_sends(&x.f.a, BULK);
	peer_sends(&x.f.b, BULK);
	RUN_UNTIL(r, x.f.a.received == BULK && x.f.b.received == BULK);
	CHECK(rounds_in(r, 5 * NS_PER_MS) <= FEW);
	for (int i = 0; i < 2; i++) {
		const struct pump_lane *lane = &x.f.pump.lane[i];
		CHECK(lane->queue.mem == NULL && lane->pipe == NULL);
		CHECK_INT(lane->bytes_in, BULK);
		CHECK_INT(lane->bytes_out, BULK);
		CHECK_INT(lane->dropped, 0);
		CHECK(!lane->is_paused);
	}
	CHECK_INT(x.shop.pipes.n_lent, 0);
	peer_finishes(&x.f.a);
	peer_finishes(&x.f.b);
	run(r);
	check_orderly(&x.f);
	alone_close(&x);
}

/* --- bytes that were there before ---------------------------------------------------------------------------------- */

static void prime(struct flow *f, enum pump_way way, uint64_t seed, size_t n)
{
	static unsigned char bytes[BULK];
	prng_fill(seed, 0, bytes, n);
	f->is_in_call = true;
	pump_prime(&f->pump, way, bytes, n);
	f->is_in_call = false;
}

/* They go before all others; more of them than `high` as well. */
static void primed(struct reactor *r, size_t n, uint64_t buffer)
{
	struct alone x;
	shop_open(&x.shop, r, tight);
	flow_connect(&x.f, r, buffer);
	x.f.a.sent = x.f.a.to_send = n; /* they were the peers' */
	x.f.b.sent = x.f.b.to_send = n;
	peer_sends(&x.f.a, 100000);
	peer_sends(&x.f.b, 100000);
	flow_start(&x.f, &x.shop);
	prime(&x.f, PUMP_UP, UP, n);
	prime(&x.f, PUMP_DOWN, DOWN, n);
	peer_finishes(&x.f.a);
	peer_finishes(&x.f.b);
	run(r);
	check_orderly(&x.f);
	CHECK_INT(x.f.b.received, n + 100000);
	alone_close(&x);
}

static void test_primed(struct reactor *r)
{
	primed(r, 1, 0);
	primed(r, 30000, SMALL_BUFFER);
	primed(r, HIGH + 1, SMALL_BUFFER);
	primed(r, BULK, SMALL_BUFFER);
}

/* Into a side that is dead already. */
static void test_primed_into_the_dead(struct reactor *r)
{
	struct alone x;
	shop_open(&x.shop, r, tight);
	flow_connect(&x.f, r, 0);
	peer_abort(&x.f.b);
	flow_start(&x.f, &x.shop);
	prime(&x.f, PUMP_UP, UP, 50000);
	CHECK_INT(x.f.dones, 0);
	run(r);
	CHECK_INT(x.f.pump.end, PUMP_RESET);
	CHECK_INT(x.f.pump.side, PUMP_B);
	check_saw_reset(&x.f.a);
	alone_close(&x);
}

/* --- pipes -------------------------------------------------------------------------------------------------------- */

enum { MANY = 70 }; /* more than there are pipes to lend */

static void open_many(struct flow *flows, struct pump_shop *shop)
{
	for (int i = 0; i < MANY; i++)
		flow_open(&flows[i], shop, SMALL_BUFFER);
}

/* All of them stalled in the middle: the last ones have no pipe and copy. */
static void test_more_flows_than_pipes(struct reactor *r)
{
	static struct flow flows[MANY];
	struct pump_shop shop;
	unsigned paused = 0, most = 0;
	shop_open(&shop, r, tight);
	open_many(flows, &shop);
	for (int i = 0; i < MANY; i++) {
		peer_reads(&flows[i].b, false);
		peer_sends(&flows[i].a, 150000);
		peer_finishes(&flows[i].a);
	}
	while (paused < MANY || (kit_path == PUMP_PATH_SPLICE && most < PIPEPOOL_LENT_MAX)) {
		one_round(r);
		CHECK(shop.pipes.n_lent <= PIPEPOOL_LENT_MAX);
		most = shop.pipes.n_lent > most ? shop.pipes.n_lent : most;
		paused = 0;
		for (int i = 0; i < MANY; i++)
			paused += flows[i].pump.lane[PUMP_UP].pauses > 0;
	}
	for (int i = 0; i < MANY; i++) {
		peer_reads(&flows[i].b, true);
		peer_finishes(&flows[i].b);
	}
	run(r);
	for (int i = 0; i < MANY; i++)
		check_orderly(&flows[i]);
	CHECK_INT(shop.pipes.n_lent, 0);
	CHECK(shop.pipes.n_idle <= PIPEPOOL_KEEP);
	shop_close(&shop);
}

/* Flows that end while their bytes are in a pipe: it does not come back to serve others with what is left in it. */
static void test_reset_with_a_full_pipe(struct reactor *r)
{
	struct pump_shop shop;
	shop_open(&shop, r, tight);
	for (int i = 0; i < 6; i++) {
		struct flow lost, next;
		flow_open(&lost, &shop, SMALL_BUFFER);
		peer_reads(&lost.b, false);
		peer_sends(&lost.a, BULK);
		RUN_UNTIL(r, lost.pump.lane[PUMP_UP].is_paused);
		peer_abort(&lost.b);
		RUN_UNTIL(r, lost.dones == 1 && !watch_is_started(&lost.a.watch));
		CHECK(lost.pump.lane[PUMP_UP].dropped > 0);
		flow_open(&next, &shop, SMALL_BUFFER);
		peer_sends(&next.a, 100000);
		peer_finishes(&next.a);
		peer_finishes(&next.b);
		run(r);
		check_orderly(&next);
	}
	shop_close(&shop);
}

/* No descriptor left in the middle of a flow: it copies. */
static void test_no_descriptor_for_a_pipe(struct reactor *r)
{
	enum { LIMIT = 200 };
	struct rlimit before;
	struct alone x;
	int all[LIMIT], n = 0;
	alone_open(&x, r, 0, (struct pump_options){ 0 });
	getrlimit(RLIMIT_NOFILE, &before);
	setrlimit(RLIMIT_NOFILE, &(struct rlimit){ LIMIT, before.rlim_max });
	while ((all[n] = dup(0)) >= 0)
		n++;
	CHECK_INT(errno, EMFILE);
	peer_sends(&x.f.a, BULK);
	peer_sends(&x.f.b, BULK);
	peer_finishes(&x.f.a);
	RUN_UNTIL(r, x.f.b.saw_eof);
	while (n > 0)
		close(all[--n]);
	setrlimit(RLIMIT_NOFILE, &before);
	peer_finishes(&x.f.b);
	run(r);
	check_orderly(&x.f);
	alone_close(&x);
}

/* --- urgent bytes --------------------------------------------------------------------------------------------------- */

/* splice(2) does not get past an urgent mark: it says EAGAIN for ever, and after a FIN it says 0. Whatever becomes of the
 * urgent byte itself (it is not in the stream, RFC 6093), nothing behind it is lost, and nothing spins. */
static void test_urgent(struct reactor *r)
{
	struct alone x;
	alone_open(&x, r, 0, (struct pump_options){ 0 });
	peer_sends(&x.f.a, BULK); /* large pieces: it splices now, if it may */
	RUN_UNTIL(r, x.f.b.received == BULK);
	CHECK_INT(send(x.f.a.watch.fd, "!", 1, MSG_OOB), 1);
	CHECK(rounds_in(r, 20 * NS_PER_MS) <= FEW);
	peer_sends(&x.f.a, 500);
	RUN_UNTIL(r, x.f.b.received == BULK + 500);
	CHECK_INT(send(x.f.a.watch.fd, "?", 1, MSG_OOB), 1);
	peer_sends(&x.f.a, 700);
	peer_finishes(&x.f.a);
	peer_finishes(&x.f.b);
	run(r);
	CHECK_INT(x.f.b.received, BULK + 1200);
	CHECK_INT(x.f.pump.end, PUMP_ORDERLY);
	alone_close(&x);
}

/* --- many ----------------------------------------------------------------------------------------------------------- */

/* One does this, the next that: each ends as it should, and exactly once. */
static void start_one_of_many(struct flow *f, int i)
{
	uint64_t n = (uint64_t)(i * i * 37 % 200000 + 1);
	peer_sends(&f->a, n);
	peer_sends(&f->b, 2 * n);
	f->b.answers = i % 3 == 0;
	f->a.answers = i % 3 == 1;
	if (i % 5 != 4 || f->b.answers)
		peer_finishes(&f->a);
	if (i % 5 != 4 || f->a.answers)
		peer_finishes(&f->b);
}

static void test_many(struct reactor *r)
{
	static struct flow flows[MANY];
	struct pump_shop shop;
	shop_open(&shop, r, (struct pump_options){ 0 });
	open_many(flows, &shop);
	for (int i = 0; i < MANY; i++)
		start_one_of_many(&flows[i], i);
	for (int i = 0; i < 20; i++)
		one_round(r);
	for (int i = 4; i < MANY; i += 5) { /* those that are still open, if only half */
		if (i % 3 == 2)
			peer_abort(i % 2 == 0 ? &flows[i].a : &flows[i].b);
		else if (i % 3 == 0)
			peer_finishes(&flows[i].b);
		else
			peer_finishes(&flows[i].a);
	}
	run(r);
	for (int i = 0; i < MANY; i++) {
		if (i % 5 == 4 && i % 3 == 2) {
			CHECK_INT(flows[i].dones, 1);
			CHECK_INT(flows[i].pump.end, PUMP_RESET);
			CHECK_INT(flows[i].pump.side, i % 2 == 0 ? PUMP_A : PUMP_B);
		} else {
			check_orderly(&flows[i]);
		}
	}
	shop_close(&shop);
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN); /* splice(2) has no MSG_NOSIGNAL */
	ON_EACH_PATH(test_marks);
	ON_EACH_PATH(test_low_mark);
	ON_EACH_PATH(test_stalled_alone);
	ON_EACH_PATH(test_idle_owns_nothing);
	ON_EACH_PATH(test_primed);
	ON_EACH_PATH(test_primed_into_the_dead);
	ON_EACH_PATH(test_more_flows_than_pipes);
	ON_EACH_PATH(test_reset_with_a_full_pipe);
	ON_EACH_PATH(test_no_descriptor_for_a_pipe);
	ON_EACH_PATH(test_urgent);
	ON_EACH_PATH(test_many);
	return check_done();
}
