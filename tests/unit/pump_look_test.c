/* pump_look_test.c - a pump whose owner looks: bytes that he changes, and what he lets pass, when, and how it ends then. */
#include "pump.h"

#include "check.h"
#include "pump_kit.h"

/* A flow whose owner changes every byte, and passes what `rule` says. */
struct looked {
	struct pump_shop shop;
	struct flow f;
	struct pump_pass rule[2];                  /* send and drop: at most so many, each time */
	uint64_t changed[2], passed[2], cut_at[2]; /* cut_at 0: never */
	unsigned ends[2], asked[2];
};

static struct looked *looked_of(struct pump *p)
{
	return CONTAINER_OF(p, struct looked, f.pump);
}

enum { CHANGED = 77 }; /* the stream that the peers expect */

static void change(struct pump *p, enum pump_way way, unsigned char *bytes, size_t n)
{
	struct looked *x = looked_of(p);
	CHECK_INT(x->ends[way], 0);
	x->ends[way] += n == 0;
	CHECK_INT(prng_check(way == PUMP_UP ? UP : DOWN, x->changed[way], bytes, n), n);
	prng_fill(CHANGED, x->changed[way], bytes, n);
	x->changed[way] += n;
}

static struct pump_pass rule(struct pump *p, enum pump_way way, size_t waiting)
{
	struct looked *x = looked_of(p);
	struct pump_pass pass = x->rule[way];
	x->asked[way]++;
	if (pass.drop > waiting)
		pass.drop = waiting;
	if (pass.send > waiting - pass.drop)
		pass.send = waiting - pass.drop;
	if (x->cut_at[way] != 0) {
		uint64_t left = x->cut_at[way] - x->passed[way];
		pass.send = pass.send < left ? pass.send : (size_t)left;
		if (pass.send < left)
			pass.cut = PUMP_NO_CUT;
	}
	return pass;
}

static void passed(struct pump *p, enum pump_way way, size_t n)
{
	CHECK(n > 0);
	looked_of(p)->passed[way] += n;
}

static const struct pump_pass everything = { .send = SIZE_MAX, .end = true, .again_ns = CLK_NEVER };

static void looked_open(struct looked *x, struct reactor *r, uint64_t buffer)
{
	static const struct pump_ops ops = {
		.on_done = flow_done, .on_bytes = change, .may_pass = rule, .on_passed = passed
	};
	*x = (struct looked){ .rule = { everything, everything } };
	shop_open(&x->shop, r, (struct pump_options){ .ops = &ops, .high = 50000, .low = 20000 });
	flow_open(&x->f, &x->shop, buffer);
	x->f.a.expects = x->f.b.expects = CHANGED;
	x->f.is_in_call = true;
	pump_look(&x->f.pump, true);
	x->f.is_in_call = false;
}

static void looked_close(struct looked *x)
{
	peer_close(&x->f.a);
	peer_close(&x->f.b);
	CHECK_INT(x->f.dones, 1);
	shop_close(&x->shop);
}

static void ask(struct looked *x)
{
	x->f.is_in_call = true;
	pump_ask(&x->f.pump);
	x->f.is_in_call = false;
}

static void both_send(struct looked *x, uint64_t n)
{
	for (int i = 0; i < 2; i++) {
		peer_sends(flow_peer(&x->f, (enum pump_side)i), n);
		peer_finishes(flow_peer(&x->f, (enum pump_side)i));
	}
}

/* --- bytes -------------------------------------------------------------------------------------------------------- */

static void test_changed(struct reactor *r)
{
	static const uint64_t buffers[] = { 0, SMALL_BUFFER };
	for (size_t i = 0; i < COUNT_OF(buffers); i++) {
		struct looked x;
		looked_open(&x, r, buffers[i]);
		both_send(&x, BULK);
		run(r);
		check_orderly(&x.f);
		for (int way = 0; way < 2; way++) {
			CHECK_INT(x.changed[way], BULK);
			CHECK_INT(x.passed[way], BULK);
			CHECK_INT(x.ends[way], 1);
		}
		looked_close(&x);
	}
}

/* Nobody looks at first, and no more in the end; what lies between is changed. */
static void test_look_on_and_off(struct reactor *r)
{
	struct looked x;
	looked_open(&x, r, 0);
	pump_look(&x.f.pump, false);
	x.f.b.expects = UP;
	peer_sends(&x.f.a, 100000);
	RUN_UNTIL(r, x.f.b.received == 100000);
	CHECK_INT(x.changed[PUMP_UP], 0);
	pump_look(&x.f.pump, true);
	x.changed[PUMP_UP] = 100000;
	x.f.b.expects = CHANGED;
	peer_sends(&x.f.a, 100000);
	RUN_UNTIL(r, x.f.b.received == 200000);
	CHECK_INT(x.changed[PUMP_UP], 200000);
	pump_look(&x.f.pump, false);
	x.f.a.expects = DOWN;
	x.f.b.expects = UP;
	both_send(&x, 100000);
	run(r);
	check_orderly(&x.f);
	CHECK_INT(x.changed[PUMP_UP], 200000);
	CHECK_INT(x.ends[PUMP_UP] + x.ends[PUMP_DOWN], 0);
	looked_close(&x);
}

/* --- what may pass --------------------------------------------------------------------------------------------------- */

static void test_dropped(struct reactor *r)
{
	struct looked x;
	looked_open(&x, r, 0);
	x.rule[PUMP_UP] = (struct pump_pass){ .drop = SIZE_MAX, .end = true, .again_ns = CLK_NEVER };
	both_send(&x, BULK);
	run(r);
	CHECK_INT(x.f.pump.end, PUMP_ORDERLY);
	CHECK_INT(x.f.b.received, 0);
	CHECK(x.f.b.saw_eof);
	CHECK_INT(x.f.a.received, BULK);
	CHECK_INT(x.f.pump.lane[PUMP_UP].dropped, BULK);
	CHECK_INT(x.f.pump.lane[PUMP_UP].bytes_out, 0);
	CHECK_INT(x.passed[PUMP_UP], BULK);
	looked_close(&x);
}

/* In pieces, each in a call of its own. */
static void test_pieces(struct reactor *r)
{
	struct looked x;
	looked_open(&x, r, SMALL_BUFFER);
	x.rule[PUMP_UP].send = 7;
	x.rule[PUMP_DOWN].send = 999;
	both_send(&x, 20000);
	run(r);
	check_orderly(&x.f);
	CHECK(x.asked[PUMP_UP] >= 20000 / 7);
	looked_close(&x);
}

/* Nothing may pass, and then it may: the bytes wait, the source feels it, the FIN comes behind them. */
static void test_held_back(struct reactor *r)
{
	struct looked x;
	looked_open(&x, r, SMALL_BUFFER);
	x.rule[PUMP_UP] = (struct pump_pass){ .again_ns = CLK_NEVER };
	both_send(&x, 200000);
	RUN_UNTIL(r, x.f.a.received == 200000 && pump_waiting(&x.f.pump.lane[PUMP_UP]) == 50000);
	CHECK(rounds_in(r, 20 * NS_PER_MS) <= 2 * FEW);
	CHECK_INT(x.f.b.received, 0);
	CHECK(x.f.pump.lane[PUMP_UP].is_paused);
	x.rule[PUMP_UP].send = SIZE_MAX;
	ask(&x);
	RUN_UNTIL(r, x.f.b.received == 200000);
	rounds_in(r, 10 * NS_PER_MS);
	CHECK(!x.f.b.saw_eof); /* the end may not pass yet */
	x.rule[PUMP_UP].end = true;
	ask(&x);
	run(r);
	check_orderly(&x.f);
	looked_close(&x);
}

/* Asked again at the time it named. */
static void test_again(struct reactor *r)
{
	struct looked x;
	looked_open(&x, r, 0);
	uint64_t at = clk_mono_ns() + 30 * NS_PER_MS;
	x.rule[PUMP_UP] = (struct pump_pass){ .again_ns = at };
	both_send(&x, 1000);
	RUN_UNTIL(r, x.f.a.received == 1000);
	while (clk_mono_ns() < at) {
		CHECK_INT(x.f.b.received, 0);
		CHECK(rounds_in(r, 5 * NS_PER_MS) <= FEW);
		if (reactor_now_ns(r) + 5 * NS_PER_MS >= at)
			x.rule[PUMP_UP] = everything;
	}
	x.rule[PUMP_UP] = everything;
	run(r);
	check_orderly(&x.f);
	looked_close(&x);
}

/* A reset waits, too, for what is held back; and when that is let go it comes behind it. */
static void test_reset_behind_what_is_held(struct reactor *r)
{
	struct looked x;
	looked_open(&x, r, 0);
	x.rule[PUMP_UP] = (struct pump_pass){ .again_ns = CLK_NEVER };
	peer_sends_now(&x.f.a, 30000);
	RUN_UNTIL(r, pump_waiting(&x.f.pump.lane[PUMP_UP]) == 30000);
	peer_abort(&x.f.a);
	RUN_UNTIL(r, x.f.pump.end != PUMP_LIVES);
	rounds_in(r, 20 * NS_PER_MS);
	CHECK_INT(x.f.dones, 0);
	CHECK_INT(x.f.b.err, 0);
	x.rule[PUMP_UP] = everything;
	ask(&x);
	run(r);
	check_reset_by(&x.f, PUMP_A);
	CHECK_INT(x.f.b.received, 30000);
	looked_close(&x);
}

/* What is held back towards a side that dies: it is lost, and counted; whoever held it is not asked for more than there is. */
static void test_dead_sink_of_what_is_held(struct reactor *r)
{
	struct looked x;
	looked_open(&x, r, 0);
	x.rule[PUMP_DOWN] = (struct pump_pass){ .again_ns = CLK_NEVER };
	peer_sends_now(&x.f.b, 30000);
	RUN_UNTIL(r, pump_waiting(&x.f.pump.lane[PUMP_DOWN]) == 30000);
	peer_abort(&x.f.a);
	run(r);
	check_reset_by(&x.f, PUMP_A);
	CHECK_INT(x.f.pump.lane[PUMP_DOWN].dropped, 30000);
	looked_close(&x);
}

/* --- cuts ------------------------------------------------------------------------------------------------------------ */

enum { CUT_AT = 12345 };

/* After so many bytes it looks like an end in order, to both. */
static void cut_in_order(struct reactor *r, enum pump_way way, uint64_t n)
{
	struct looked x;
	looked_open(&x, r, 0);
	x.cut_at[way] = CUT_AT;
	x.rule[way].cut = PUMP_CUT_FIN;
	struct peer *from = flow_peer(&x.f, (enum pump_side)way), *to = flow_peer(&x.f, (enum pump_side) !way);
	peer_sends(from, n);
	RUN_UNTIL(r, from->saw_eof && to->saw_eof);
	CHECK_INT(to->received, CUT_AT);
	CHECK_INT(from->err, 0);
	CHECK_INT(to->err, 0);
	peer_finishes(from);
	peer_finishes(to);
	run(r);
	CHECK_INT(x.f.pump.end, PUMP_CUT);
	CHECK_INT(from->err, 0);
	CHECK_INT(to->err, 0);
	CHECK_INT(x.passed[way], CUT_AT);
	looked_close(&x);
}

static void test_cut_in_order(struct reactor *r)
{
	cut_in_order(r, PUMP_UP, CUT_AT);
	cut_in_order(r, PUMP_UP, 60000);
	cut_in_order(r, PUMP_DOWN, BULK);
}

/* After so many bytes, which all come, both are reset. */
static void cut_by_reset(struct reactor *r, enum pump_way way, uint64_t n)
{
	struct looked x;
	looked_open(&x, r, 0);
	x.cut_at[way] = CUT_AT;
	x.rule[way].cut = PUMP_CUT_RST;
	struct peer *from = flow_peer(&x.f, (enum pump_side)way), *to = flow_peer(&x.f, (enum pump_side) !way);
	peer_sends(from, n);
	run(r);
	CHECK_INT(x.f.pump.end, PUMP_CUT);
	CHECK_INT(to->received, CUT_AT);
	check_saw_reset(to);
	CHECK(!from->saw_eof && is_reset_error(from->err));
	looked_close(&x);
}

static void test_cut_by_reset(struct reactor *r)
{
	cut_by_reset(r, PUMP_UP, CUT_AT);
	cut_by_reset(r, PUMP_UP, BULK);
	cut_by_reset(r, PUMP_DOWN, 60000);
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN);
	ON_EACH_PATH(test_changed);
	ON_EACH_PATH(test_look_on_and_off);
	ON_EACH_BACKEND(test_dropped);
	ON_EACH_BACKEND(test_pieces);
	ON_EACH_BACKEND(test_held_back);
	ON_EACH_LOOP(test_again);
	ON_EACH_BACKEND(test_reset_behind_what_is_held);
	ON_EACH_BACKEND(test_dead_sink_of_what_is_held);
	ON_EACH_BACKEND(test_cut_in_order);
	ON_EACH_BACKEND(test_cut_by_reset);
	return check_done();
}
