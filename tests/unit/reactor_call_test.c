/* reactor_call_test.c - what the loop does later: timers, deferred calls, and calls that other threads post. Each once,
 * in its order, and none of them keeps the others waiting. */
#include "reactor.h"

#include "loop_kit.h"
#include "prng.h"

#include <pthread.h>

static const uint64_t LONG_NS = UINT64_C(60) * NS_PER_S; /* longer than a test may last */

/* --- timers ------------------------------------------------------------------------------------------------------ */

static void check_idle_and_due(struct actor *a)
{
	CHECK(!timer_is_armed(&a->timer));
	CHECK(reactor_now_ns(a->r) >= a->timer.deadline_ns);
}

static void test_timer_fires_once(struct reactor *r)
{
	static const uint64_t delays_ns[] = { 0, 1, NS_PER_US, NS_PER_MS - 1, NS_PER_MS, 3 * NS_PER_MS };
	for (size_t i = 0; i < COUNT_OF(delays_ns); i++) {
		struct actor a = actor_new(r, 'a', check_idle_and_due);
		uint64_t due_ns = clk_mono_ns() + delays_ns[i];
		actor_start_timer(&a, due_ns);
		CHECK(timer_is_armed(&a.timer));
		loop_run(r);
		CHECK(clk_mono_ns() >= due_ns);
		CHECK_INT(a.times, 1);
		CHECK_INT(reactor_stats(r)->timers, i + 1);
	}
}

/* It fires at the last time that was said, be it later or sooner. */
static void test_timer_moves(struct reactor *r)
{
	struct actor a = actor_new(r, 'a', check_idle_and_due), b = actor_new(r, 'b', check_idle_and_due);
	uint64_t now_ns = clk_mono_ns();
	actor_start_timer(&a, now_ns);
	actor_start_timer(&a, now_ns + 5 * NS_PER_MS);
	actor_start_timer(&b, now_ns + LONG_NS);
	actor_start_timer(&b, now_ns);
	loop_run(r);
	CHECK_STR(story, "ba");
	CHECK(clk_mono_ns() >= now_ns + 5 * NS_PER_MS);
}

static void test_timer_stops(struct reactor *r)
{
	struct actor a = actor_new(r, 'a', NULL);
	reactor_timer_stop(r, &a.timer);
	actor_start_timer(&a, 0);
	reactor_timer_stop(r, &a.timer);
	reactor_timer_stop(r, &a.timer);
	CHECK(!timer_is_armed(&a.timer));
	loop_run(r);
	CHECK_STR(story, "");
	actor_start_timer(&a, 0);
	loop_run(r);
	CHECK_STR(story, "a");
}

static void stop_others_timer(struct actor *a)
{
	reactor_timer_stop(a->r, &a->other->timer);
	reactor_timer_stop(a->r, &a->timer);
}

/* Both are due in this round; the first stops the second. */
static void test_timer_stops_timer(struct reactor *r)
{
	struct actor a = actor_new(r, 't', stop_others_timer), b = actor_new(r, 't', stop_others_timer);
	a.other = &b;
	b.other = &a;
	actor_start_timer(&a, 0);
	actor_start_timer(&b, 0);
	loop_run(r);
	CHECK_STR(story, "t");
	CHECK_INT(reactor_stats(r)->timers, 1);
}

static void start_again_at_once(struct actor *a)
{
	if (a->times < 5)
		actor_start_timer(a, 0);
}

/* One that is armed by its own callback fires in the next round and not again in this one. */
static void test_timer_once_in_a_round(struct reactor *r)
{
	struct actor a = actor_new(r, 'a', start_again_at_once);
	actor_start_timer(&a, 0);
	for (unsigned i = 1; i <= 5; i++) {
		loop_run_rounds(r, 1);
		CHECK_INT(a.times, i);
	}
	loop_run(r);
	CHECK_INT(a.times, 5);
}

static void start_for_ever(struct actor *a)
{
	actor_start_timer(a, 0);
}

static void end_others_timer(struct actor *a)
{
	a->other->act = NULL;
	watch_stop(&a->watch);
}

/* A timer that is always due leaves room for events, and for calls. */
static void test_timer_starves_nobody(struct reactor *r)
{
	struct actor timer = actor_new(r, 't', start_for_ever), event = actor_new(r, 'e', end_others_timer);
	struct actor call = actor_new(r, 'c', NULL);
	event.other = &timer;
	actor_start_timer(&timer, 0);
	actor_watch(&event, WATCH_READ);
	loop_run_rounds(r, 10);
	feed(event.peer);
	actor_defer(&call);
	loop_run(r);
	CHECK_INT(event.times, 1);
	CHECK_INT(call.times, 1);
	actor_shut(&event);
}

static void stop_all_of_it(struct actor *a)
{
	reactor_timer_stop(a->r, &a->timer);
	watch_stop(&a->watch);
}

/* A deadline that never comes does not make the wait end early, and not overflow. */
static void test_timer_far_away(struct reactor *r)
{
	static const uint64_t deadlines_ns[] = { CLK_NEVER, CLK_NEVER - 1, CLK_NEVER / 2, UINT64_C(1) << 62 };
	for (size_t i = 0; i < COUNT_OF(deadlines_ns); i++) {
		struct actor a = actor_new(r, 'a', stop_all_of_it), soon = actor_new(r, 's', NULL);
		actor_start_timer(&a, deadlines_ns[i]);
		actor_watch(&a, WATCH_READ);
		actor_start_timer(&soon, clk_mono_ns() + NS_PER_MS);
		loop_run_rounds(r, 2);
		feed(a.peer);
		loop_run(r);
		CHECK_INT(a.times, 1);
		CHECK_INT(a.events, WATCH_READ);
		reactor_timer_stop(r, &soon.timer);
		actor_shut(&a);
	}
}

enum { TIMERS = 200, MOVES = 2000 };
static struct actor crowd[TIMERS];
static uint64_t rolled;

static unsigned roll(unsigned sides)
{
	return (unsigned)(prng_word(7, rolled++) % sides);
}

static void disturb_timers(struct actor *a)
{
	CHECK(!timer_is_armed(&a->timer));
	for (unsigned n = roll(3); n > 0 && rolled < MOVES; n--) {
		struct actor *other = &crowd[roll(TIMERS)];
		if (roll(4) == 0)
			reactor_timer_stop(a->r, &other->timer);
		else
			actor_start_timer(other, reactor_now_ns(a->r) + roll(4) * NS_PER_MS / 4);
	}
}

/* The loop's own count of what is armed is right, whatever is armed, moved and stopped in callbacks: it ends when the
 * last one has fired and not before. */
static void test_timers_at_random(struct reactor *r)
{
	rolled = 0;
	for (int i = 0; i < TIMERS; i++) {
		crowd[i] = actor_new(r, 'r', disturb_timers);
		actor_start_timer(&crowd[i], clk_mono_ns() + roll(8) * NS_PER_MS / 4);
	}
	loop_run(r);
	uint64_t fired = 0;
	for (int i = 0; i < TIMERS; i++) {
		fired += crowd[i].times;
		CHECK(!timer_is_armed(&crowd[i].timer));
	}
	CHECK(fired >= TIMERS / 2);
	CHECK_INT(reactor_stats(r)->timers, fired);
}

/* --- deferred calls ---------------------------------------------------------------------------------------------- */

static void test_deferred_in_order(struct reactor *r)
{
	struct actor a = actor_new(r, 'a', NULL), b = actor_new(r, 'b', NULL), c = actor_new(r, 'c', NULL);
	actor_defer(&b);
	actor_defer(&a);
	actor_defer(&c);
	loop_run(r);
	CHECK_STR(story, "bac");
	CHECK_INT(reactor_stats(r)->rounds, 1);
}

static void never_call(struct deferred *d)
{
	(void)d;
	tell('!');
}

/* Deferred twice is once, in the first one's place and with its function. */
static void test_deferred_twice(struct reactor *r)
{
	struct actor a = actor_new(r, 'a', NULL), b = actor_new(r, 'b', NULL);
	actor_defer(&a);
	actor_defer(&b);
	actor_defer(&a);
	reactor_defer(r, &a.call, never_call);
	loop_run(r);
	CHECK_STR(story, "ab");
	actor_defer(&a);
	loop_run(r);
	CHECK_STR(story, "aba");
}

static void defer_again(struct actor *a)
{
	if (a->times < 3)
		actor_defer(a);
	if (a->other != NULL)
		actor_defer(a->other);
}

/* What a call defers, itself or another, comes in the next round, without sleeping in between. */
static void test_deferred_defers(struct reactor *r)
{
	struct actor a = actor_new(r, 'a', defer_again), b = actor_new(r, 'b', NULL), event = actor_new(r, 'e', NULL);
	a.other = &b;
	actor_watch(&event, WATCH_READ);
	feed(event.peer);
	event.act = take_byte;
	actor_defer(&a);
	loop_run_rounds(r, 1);
	CHECK_STR(story, "ea");
	watch_stop(&event.watch);
	loop_run(r);
	CHECK_STR(story, "eaabab");
	CHECK_INT(reactor_stats(r)->rounds, 4);
	actor_shut(&event);
}

static void cancel_other(struct actor *a)
{
	deferred_cancel(&a->other->call);
	deferred_cancel(&a->call);
}

/* Two of one batch: the first takes the second back. */
static void test_deferred_cancels(struct reactor *r)
{
	struct actor a = actor_new(r, 'a', cancel_other), b = actor_new(r, 'b', NULL), c = actor_new(r, 'c', NULL);
	a.other = &b;
	deferred_cancel(&a.call);
	actor_defer(&a);
	actor_defer(&b);
	actor_defer(&c);
	loop_run(r);
	CHECK_STR(story, "ac");
	actor_defer(&a);
	actor_defer(&b);
	deferred_cancel(&a.call);
	loop_run(r);
	CHECK_STR(story, "acb");
	actor_defer(&c);
	deferred_cancel(&c.call);
	loop_run(r);
	CHECK_STR(story, "acb");
	CHECK_INT(reactor_stats(r)->rounds, 2);
}

static void cancel_and_defer_other(struct actor *a)
{
	deferred_cancel(&a->other->call);
	actor_defer(a->other);
}

/* Taken out of this batch and deferred anew: the next round's. */
static void test_deferred_moves_on(struct reactor *r)
{
	struct actor a = actor_new(r, 'a', cancel_and_defer_other), b = actor_new(r, 'b', NULL);
	a.other = &b;
	actor_defer(&a);
	actor_defer(&b);
	loop_run_rounds(r, 1);
	CHECK_STR(story, "a");
	loop_run(r);
	CHECK_STR(story, "ab");
}

static void free_caller(struct deferred *d)
{
	struct actor *a = CONTAINER_OF(d, struct actor, call);
	tell(a->name);
	memset(a, 0xff, sizeof(*a));
	free(a);
}

/* The owner of a call may go in it. */
static void test_deferred_frees_itself(struct reactor *r)
{
	for (char name = 'a'; name <= 'c'; name++) {
		struct actor *a = malloc(sizeof(*a));
		*a = actor_new(r, name, NULL);
		reactor_defer(r, &a->call, free_caller);
	}
	loop_run(r);
	CHECK_STR(story, "abc");
}

/* --- posted calls ------------------------------------------------------------------------------------------------ */

static void test_posted_before(struct reactor *r)
{
	struct actor a = actor_new(r, 'a', NULL), b = actor_new(r, 'b', NULL), c = actor_new(r, 'c', NULL);
	actor_defer(&a);
	actor_post(&b);
	actor_post(&c);
	loop_run(r);
	CHECK_STR(story, "abc");
}

static void post_again(struct actor *a)
{
	if (a->times < 3)
		actor_post(a);
}

/* From the loop's own thread: later, too. */
static void test_posted_by_itself(struct reactor *r)
{
	struct actor a = actor_new(r, 'a', post_again);
	actor_post(&a);
	for (unsigned i = 1; i <= 3; i++) {
		loop_run_rounds(r, 1);
		CHECK_INT(a.times, i);
	}
	loop_run(r);
	CHECK_STR(story, "aaa");
}

static void unpost_other(struct actor *a)
{
	reactor_unpost(a->r, &a->other->call);
	reactor_unpost(a->r, &a->call); /* it is running: nothing to take back */
}

/* Taken back before the loop has seen it, from any place in the queue; and then it may be posted again. */
static void test_unpost(struct reactor *r)
{
	for (unsigned taken_back = 0; taken_back < 3; taken_back++) {
		struct actor a[3];
		for (unsigned i = 0; i < 3; i++)
			a[i] = actor_new(r, (char)('a' + i), NULL);
		reactor_unpost(r, &a[0].call);
		for (unsigned i = 0; i < 3; i++)
			actor_post(&a[i]);
		reactor_unpost(r, &a[taken_back].call);
		loop_run(r);
		for (unsigned i = 0; i < 3; i++)
			CHECK_INT(a[i].times, i != taken_back);
		actor_post(&a[taken_back]);
		loop_run(r);
		CHECK_INT(a[taken_back].times, 1);
		reactor_unpost(r, &a[taken_back].call);
	}
	CHECK_STR(story, "bcaacbabc");
}

/* By a call before it of the same round: the loop has it in its own queue already. */
static void test_unpost_sibling(struct reactor *r)
{
	struct actor a = actor_new(r, 'a', unpost_other), b = actor_new(r, 'b', NULL), c = actor_new(r, 'c', NULL);
	a.other = &b;
	actor_post(&a);
	actor_post(&b);
	actor_post(&c);
	loop_run(r);
	CHECK_STR(story, "ac");
}

/* Nothing is left of the only one: it does not keep the loop running. */
static void test_unpost_all(struct reactor *r)
{
	struct actor a = actor_new(r, 'a', NULL);
	actor_post(&a);
	reactor_unpost(r, &a.call);
	loop_run(r);
	CHECK_INT(reactor_stats(r)->rounds, 0);
	loop_run_rounds(r, 2);
	CHECK_STR(story, "");
}

enum { POSTERS = 8, POSTS = 10000 };

struct poster {
	pthread_t thread;
	struct reactor *r;
	struct post *posts;
	int arrived;
	bool in_order;
};

struct post {
	struct deferred call;
	struct poster *poster;
	int number, times;
};

static int still_posting;

static void on_post(struct deferred *d)
{
	struct post *post = CONTAINER_OF(d, struct post, call);
	struct poster *p = post->poster;
	post->times++;
	p->in_order &= post->number == p->arrived;
	if (++p->arrived == POSTS && --still_posting == 0)
		reactor_release(p->r);
}

static void *post_all(void *poster)
{
	struct poster *p = poster;
	for (int i = 0; i < POSTS; i++) {
		p->posts[i] = (struct post){ .poster = p, .number = i };
		reactor_post(p->r, &p->posts[i].call, on_post);
	}
	return NULL;
}

/* 80,000 calls of 8 threads: each arrives once, and those of a thread in their order. */
static void test_posted_by_many(struct reactor *r)
{
	static struct poster posters[POSTERS];
	still_posting = POSTERS;
	reactor_hold(r);
	for (int i = 0; i < POSTERS; i++) {
		posters[i] = (struct poster){ .r = r, .posts = calloc(POSTS, sizeof(struct post)), .in_order = true };
		if (!CHECK_INT(pthread_create(&posters[i].thread, NULL, post_all, &posters[i]), 0))
			abort();
	}
	loop_run(r);
	for (int i = 0; i < POSTERS; i++) {
		pthread_join(posters[i].thread, NULL);
		CHECK_INT(posters[i].arrived, POSTS);
		CHECK(posters[i].in_order);
		int once = 0;
		for (int n = 0; n < POSTS; n++)
			once += posters[i].posts[n].times == 1;
		CHECK_INT(once, POSTS);
		free(posters[i].posts);
	}
}

/* Two loops throw a ball to each other: while one has it the other one sleeps, and has to be woken each time. */
struct ball {
	struct deferred call;
	struct reactor *here, *there;
	int left;
};
enum { THROWS = 500 };

static void on_ball(struct deferred *d)
{
	struct ball *ball = CONTAINER_OF(d, struct ball, call);
	struct reactor *here = ball->here;
	ball->here = ball->there;
	ball->there = here;
	int left = --ball->left;
	if (left >= 0)
		reactor_post(ball->here, d, on_ball);
	if (left <= 0)
		reactor_release(here);
}

static void *run_other_loop(void *r)
{
	if (reactor_run(r) < 0)
		abort();
	return NULL;
}

static void test_posted_wakes(struct reactor *r)
{
	struct reactor *other = loop_new(reactor_backend_name(r), NULL);
	struct ball ball = { .here = r, .there = other, .left = THROWS };
	pthread_t thread;
	reactor_hold(r);
	reactor_hold(other);
	reactor_post(r, &ball.call, on_ball);
	if (!CHECK_INT(pthread_create(&thread, NULL, run_other_loop, other), 0))
		abort();
	loop_run(r);
	pthread_join(thread, NULL);
	CHECK_INT(ball.left, -1);
	reactor_free(other);
}

/* Posted by a thread that is through long before the loop is: the loop may be freed as soon as the call has come. */
static void *post_one(void *actor)
{
	actor_post(actor);
	return NULL;
}

static void release_hold(struct actor *a)
{
	reactor_release(a->r);
}

static void test_freed_right_after(struct reactor *r)
{
	for (int i = 0; i < 200; i++) {
		struct reactor *brief = loop_new(reactor_backend_name(r), NULL);
		struct actor a = actor_new(brief, 'a', release_hold);
		pthread_t thread;
		reactor_hold(brief);
		if (!CHECK_INT(pthread_create(&thread, NULL, post_one, &a), 0))
			abort();
		loop_run(brief);
		reactor_free(brief);
		pthread_join(thread, NULL);
	}
}

int main(void)
{
	alarm(60);
	ON_EACH_LOOP(test_timer_fires_once);
	ON_EACH_LOOP(test_timer_moves);
	ON_EACH_LOOP(test_timer_stops);
	ON_EACH_LOOP(test_timer_stops_timer);
	ON_EACH_LOOP(test_timer_once_in_a_round);
	ON_EACH_LOOP(test_timer_starves_nobody);
	ON_EACH_LOOP(test_timer_far_away);
	ON_EACH_LOOP(test_timers_at_random);
	ON_EACH_LOOP(test_deferred_in_order);
	ON_EACH_LOOP(test_deferred_twice);
	ON_EACH_LOOP(test_deferred_defers);
	ON_EACH_LOOP(test_deferred_cancels);
	ON_EACH_LOOP(test_deferred_moves_on);
	ON_EACH_LOOP(test_deferred_frees_itself);
	ON_EACH_LOOP(test_posted_before);
	ON_EACH_LOOP(test_posted_by_itself);
	ON_EACH_LOOP(test_unpost);
	ON_EACH_LOOP(test_unpost_sibling);
	ON_EACH_LOOP(test_unpost_all);
	ON_EACH_LOOP(test_posted_by_many);
	ON_EACH_LOOP(test_posted_wakes);
	ON_EACH_LOOP(test_freed_right_after);
	return check_done();
}
