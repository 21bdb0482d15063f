/* reactor_test.c - the loop's life: how one is chosen and refused, the order of a round, what keeps it running, what
 * ends it, and what must not be left when it goes. Watches are in reactor_watch_test.c, timers and calls in
 * reactor_call_test.c, busy loops in reactor_spin_test.c. */
#include "reactor.h"

#include "child.h"
#include "diag.h"
#include "loop_kit.h"

#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <sys/select.h>
#include <sys/time.h>

static const uint64_t LONG_NS = UINT64_C(60) * NS_PER_S; /* longer than a test may last */

static void set_environment(const char *backend, const char *timers)
{
	if (backend != NULL)
		setenv("TCPLAB_BACKEND", backend, 1);
	else
		unsetenv("TCPLAB_BACKEND");
	if (timers != NULL)
		setenv("TCPLAB_TIMERS", timers, 1);
	else
		unsetenv("TCPLAB_TIMERS");
}

/* --- names ------------------------------------------------------------------------------------------------------- */

/* What the loop is, for these names; or why there is none. */
static const char *made_of(const char *backend, const char *timers)
{
	static char text[NET_ERROR_TEXT];
	struct net_error e;
	struct reactor *r = reactor_new(backend, timers, &e);
	if (r == NULL)
		return net_error_text(&e, text);
	const char *name = reactor_backend_name(r);
	reactor_free(r);
	return name;
}

static void test_names(void)
{
	set_environment(NULL, NULL);
	CHECK_STR(made_of(NULL, NULL), "epoll");
	for (size_t i = 0; i < COUNT_OF(loop_backends); i++) {
		CHECK_STR(made_of(loop_backends[i], NULL), loop_backends[i]);
		CHECK_STR(made_of(loop_backends[i], "wheel"), loop_backends[i]);
		set_environment(loop_backends[i], loop_timers[i % 2]);
		CHECK_STR(made_of(NULL, NULL), loop_backends[i]);
	}
	set_environment("", "");
	CHECK_STR(made_of(NULL, NULL), "epoll");
}

static void test_unknown_names(void)
{
	static const char no_backend[] = "loop kqueue: a backend is epoll, poll or select (TCPLAB_BACKEND) (EINVAL)";
	static const char no_timers[] = "loop sundial: timers are heap or wheel (TCPLAB_TIMERS) (EINVAL)";
	set_environment(NULL, NULL);
	CHECK_STR(made_of("kqueue", NULL), no_backend);
	CHECK_STR(made_of("poll", "sundial"), no_timers);
	set_environment("kqueue", "sundial");
	CHECK_STR(made_of(NULL, "heap"), no_backend);
	CHECK_STR(made_of("poll", NULL), no_timers);
	CHECK_STR(made_of("poll", "heap"), "poll"); /* what is said counts more than the environment */
	set_environment(NULL, NULL);
}

/* --- descriptors that are missing -------------------------------------------------------------------------------- */

static void check_refused(const char *backend, const char *object, int error)
{
	struct net_error e = { .op = "?" };
	CHECK(reactor_new(backend, NULL, &e) == NULL);
	CHECK_STR(e.op, "loop");
	CHECK_STR(e.object, object);
	CHECK_INT(e.sys, error);
}

static void leave_room_for(unsigned n)
{
	struct rlimit limit;
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = (rlim_t)lowest_free() + n;
	setrlimit(RLIMIT_NOFILE, &limit);
}

/* Whichever is the one that is missing: it is named, and what was there already is given back. */
static void no_descriptors(void)
{
	int free_before = lowest_free();
	leave_room_for(0);
	check_refused("epoll", "epoll", EMFILE);
	check_refused("poll", "eventfd", EMFILE);
	check_refused("select", "eventfd", EMFILE);
	leave_room_for(1);
	check_refused("epoll", "eventfd", EMFILE);
	CHECK_STR(made_of("poll", NULL), "poll");
	leave_room_for(2);
	CHECK_STR(made_of("epoll", NULL), "epoll");
	CHECK_INT(lowest_free(), free_before);
}

/* select has no room for the descriptor that the loop itself needs. */
static void all_low_numbers_taken(void)
{
	struct rlimit limit;
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_max <= FD_SETSIZE)
		return;
	while (dup(STDIN_FILENO) < FD_SETSIZE)
		;
	int free_before = lowest_free();
	check_refused("select", "eventfd", ERANGE);
	CHECK_INT(lowest_free(), free_before);
	CHECK_STR(made_of("epoll", NULL), "epoll");
	CHECK_STR(made_of("poll", NULL), "poll");
}

static void test_fd_limit(struct reactor *r)
{
	CHECK_INT(reactor_fd_limit(r), loop_is(r, "select") ? FD_SETSIZE : INT_MAX);
}

/* --- a round ----------------------------------------------------------------------------------------------------- */

static uint64_t time_of_round;

static void note_time(struct actor *a)
{
	CHECK(time_of_round == 0 || reactor_now_ns(a->r) == time_of_round);
	time_of_round = reactor_now_ns(a->r);
}

/* Whatever the order in which they were armed. */
static void test_order_of_a_round(struct reactor *r)
{
	struct actor call = actor_new(r, 'c', note_time), timer = actor_new(r, 't', note_time);
	struct actor event = actor_new(r, 'e', note_time);
	uint64_t before_ns = clk_mono_ns();
	time_of_round = 0;
	actor_defer(&call);
	actor_start_timer(&timer, 0);
	actor_stand_ready(&event);
	loop_run_rounds(r, 1);
	CHECK_STR(story, "etc");
	CHECK_INT(reactor_stats(r)->rounds, 1);
	CHECK(time_of_round >= before_ns && time_of_round <= clk_mono_ns());
	actor_shut(&event);
}

/* What an event arms comes later in the same round, if it is due. */
static void arm_what_is_due(struct actor *a)
{
	actor_defer(a->other);
	actor_start_timer(a->other, 0);
	take_byte(a);
}

static void test_what_an_event_arms(struct reactor *r)
{
	struct actor armed = actor_new(r, 'a', NULL), event = actor_new(r, 'e', arm_what_is_due);
	event.other = &armed;
	actor_stand_ready(&event);
	loop_run_rounds(r, 1);
	CHECK_STR(story, "eaa");
	actor_shut(&event);
}

/* Arms everything there is, and says when it is through. */
static void arm_all(struct actor *a)
{
	watch_stop(&a->watch);
	actor_defer(a->other);
	actor_start_timer(a->other, 0);
	actor_stand_ready(a->other);
	watch_want(&a->other->watch, WATCH_READ | WATCH_WRITE);
	tell(')');
}

static void check_not_inside(struct reactor *r, void (*arm)(struct actor *first))
{
	struct actor first = actor_new(r, '(', arm_all), other = actor_new(r, 'x', NULL);
	first.other = &other;
	story_begin();
	arm(&first);
	CHECK_STR(story, "");
	loop_run_rounds(r, 3);
	CHECK(other.times >= 3);
	CHECK(strncmp(story, "()", 2) == 0); /* never "(x": nothing ran inside the call that armed it */
	actor_shut(&first);
	actor_shut(&other);
}

static void arm_timer(struct actor *a)
{
	actor_start_timer(a, 0);
}

static void test_never_inside(struct reactor *r)
{
	check_not_inside(r, actor_stand_ready);
	check_not_inside(r, arm_timer);
	check_not_inside(r, actor_defer);
	check_not_inside(r, actor_post);
}

/* --- now --------------------------------------------------------------------------------------------------------- */

/* Whoever sets a timer before the loop runs, or between two runs, must not count from an old time. */
static void test_now_outside_a_round(struct reactor *r)
{
	for (int run = 0; run < 2; run++) {
		uint64_t later_ns = clk_mono_ns() + NS_PER_MS;
		clk_sleep_until_ns(later_ns);
		CHECK(reactor_now_ns(r) >= later_ns);
		loop_run_rounds(r, 1);
	}
}

/* --- what keeps it running --------------------------------------------------------------------------------------- */

static void test_nothing_to_do(struct reactor *r)
{
	loop_run(r);
	CHECK_INT(reactor_stats(r)->rounds, 0);
}

/* Each of them keeps the loop running until its turn has come, and no longer. */
static void test_what_keeps_it(struct reactor *r)
{
	struct actor a = actor_new(r, 'a', NULL);
	actor_start_timer(&a, clk_mono_ns() + NS_PER_MS);
	loop_run(r);
	actor_defer(&a);
	loop_run(r);
	actor_post(&a);
	loop_run(r);
	CHECK_INT(a.times, 3);
	a.act = stop_watch;
	actor_stand_ready(&a);
	loop_run(r);
	CHECK_INT(a.times, 4);
	loop_run(r);
	CHECK_INT(a.times, 4);
	actor_shut(&a);
}

/* What was armed and taken back keeps nothing. */
static void test_what_was_taken_back(struct reactor *r)
{
	struct actor a = actor_new(r, 'a', NULL);
	actor_start_timer(&a, clk_mono_ns() + LONG_NS);
	actor_start_timer(&a, clk_mono_ns() + 2 * LONG_NS);
	actor_defer(&a);
	actor_watch(&a, WATCH_READ);
	watch_want(&a.watch, 0);
	deferred_cancel(&a.call);
	watch_stop(&a.watch);
	reactor_timer_stop(r, &a.timer);
	loop_run(r);
	CHECK_INT(a.times, 0);
	actor_shut(&a);
}

/* Its events come as long as something else keeps the loop running. */
static void test_background(struct reactor *r)
{
	struct actor background = actor_new(r, 'b', take_byte), timer = actor_new(r, 't', NULL);
	actor_watch(&background, WATCH_READ | WATCH_BACKGROUND);
	watch_want(&background.watch, WATCH_READ | WATCH_WRITE | WATCH_BACKGROUND);
	watch_want(&background.watch, WATCH_READ | WATCH_BACKGROUND);
	loop_run(r);
	CHECK_INT(reactor_stats(r)->rounds, 0);
	feed(background.peer);
	loop_run(r);
	CHECK_STR(story, "");
	actor_start_timer(&timer, clk_mono_ns() + NS_PER_MS);
	loop_run(r);
	CHECK_STR(story, "bt");
	CHECK_INT(background.events, WATCH_READ);
	actor_shut(&background);
}

static void release(struct actor *a)
{
	reactor_release(a->r);
}

static void *post_release(void *actor)
{
	actor_post(actor);
	return NULL;
}

/* Two holds want two releases; the last comes from another thread while the loop sleeps. */
static void test_hold(struct reactor *r)
{
	struct actor first = actor_new(r, '1', release), last = actor_new(r, '2', release);
	pthread_t thread;
	reactor_hold(r);
	reactor_hold(r);
	actor_defer(&first);
	if (!CHECK_INT(pthread_create(&thread, NULL, post_release, &last), 0))
		return;
	loop_run(r);
	pthread_join(thread, NULL);
	CHECK_INT(first.times, 1);
	CHECK_INT(last.times, 1);
	loop_run(r);
}

/* --- what ends it ------------------------------------------------------------------------------------------------ */

/* The first of two events stops the loop: the round goes on to its end, and what is armed waits for the next run. */
static void test_stop(struct reactor *r)
{
	struct actor one = actor_new(r, 'e', take_byte_and_stop), two = actor_new(r, 'e', take_byte_and_stop);
	struct actor timer = actor_new(r, 't', NULL), call = actor_new(r, 'c', NULL), later = actor_new(r, 'l', NULL);
	actor_stand_ready(&one);
	actor_stand_ready(&two);
	actor_start_timer(&timer, 0);
	actor_start_timer(&later, clk_mono_ns() + 100 * NS_PER_MS); /* later than the first round of a busy machine */
	actor_defer(&call);
	loop_run(r);
	CHECK(strncmp(story, "eetc", 4) == 0);
	watch_stop(&one.watch);
	watch_stop(&two.watch);
	loop_run(r);
	CHECK_STR(story, "eetcl");
	actor_shut(&one);
	actor_shut(&two);
}

static volatile sig_atomic_t alarms;

static void on_alarm(int number)
{
	(void)number;
	alarms++;
}

static void wait_for_alarms(struct actor *a)
{
	if (alarms < 5)
		actor_start_timer(a, reactor_now_ns(a->r) + 2 * NS_PER_MS);
}

/* A signal handler that runs while the loop waits is no error, and fires no timer early. */
static void test_interrupted(struct reactor *r)
{
	struct sigaction before, action = { .sa_handler = on_alarm };
	struct itimerval every_ms = { { 0, 1000 }, { 0, 1000 } }, never = { 0 };
	struct actor a = actor_new(r, 'a', wait_for_alarms);
	uint64_t due_ns = clk_mono_ns() + 10 * NS_PER_MS;
	alarms = 0;
	sigaction(SIGALRM, &action, &before);
	setitimer(ITIMER_REAL, &every_ms, NULL);
	actor_start_timer(&a, due_ns);
	loop_run(r);
	setitimer(ITIMER_REAL, &never, NULL);
	sigaction(SIGALRM, &before, NULL);
	CHECK(a.times > 0);
	CHECK(clk_mono_ns() >= due_ns);
	CHECK(alarms >= 5);
}

/* --- busy poll --------------------------------------------------------------------------------------------------- */

/* How many rounds a timer of 20 ms takes. */
static uint64_t rounds_of_a_timer(struct reactor *r)
{
	struct actor a = actor_new(r, 'a', NULL);
	uint64_t before = reactor_stats(r)->rounds;
	actor_start_timer(&a, clk_mono_ns() + 20 * NS_PER_MS);
	loop_run(r);
	return reactor_stats(r)->rounds - before;
}

/* A loop that sleeps wakes up for the timer (a wheel may want a few steps); one that polls goes round and round. A
 * loaded machine may not let it run for all of the 20 ms: then it tries again. */
static void test_busy_poll(struct reactor *r)
{
	enum { FEW = 20, TRIES = 50 };
	CHECK(rounds_of_a_timer(r) <= FEW);
	reactor_set_busy_poll(r, true);
	int tries = 0;
	while (rounds_of_a_timer(r) <= FEW && tries < TRIES)
		tries++;
	CHECK(tries < TRIES);
	reactor_set_busy_poll(r, false);
	CHECK(rounds_of_a_timer(r) <= FEW);
}

/* --- the end ----------------------------------------------------------------------------------------------------- */

static struct reactor *doomed;
static struct actor survivor;
static const char *doomed_backend, *doomed_timers;
static void (*bug)(void);

static void leave_nothing(void)
{
}

static void leave_watch(void)
{
	actor_watch(&survivor, 0);
}

static void leave_background_watch(void)
{
	actor_watch(&survivor, WATCH_BACKGROUND);
}

static void leave_timer(void)
{
	actor_start_timer(&survivor, CLK_NEVER);
}

static void leave_call(void)
{
	actor_defer(&survivor);
}

static void leave_posted_call(void)
{
	actor_post(&survivor);
}

static void leave_hold(void)
{
	reactor_hold(doomed);
}

static void release_too_often(void)
{
	reactor_release(doomed);
}

static void run_in_callback(struct actor *a)
{
	loop_run(a->r);
}

static void run_inside_run(void)
{
	survivor.act = run_in_callback;
	actor_defer(&survivor);
	loop_run(doomed);
}

static void watch_descriptor_twice(void)
{
	struct actor second = actor_new(doomed, '2', NULL);
	actor_watch(&survivor, WATCH_READ);
	second.fd = survivor.fd;
	actor_watch(&second, WATCH_READ);
	actor_shut(&second);
}

static void start_watch_twice(void)
{
	int fd[2];
	open_pair(fd);
	CHECK_INT(watch_start(&survivor.watch, doomed, fd[0], WATCH_READ, actor_on_event), 0);
	CHECK_INT(watch_start(&survivor.watch, doomed, fd[1], WATCH_READ, actor_on_event), 0);
	watch_stop(&survivor.watch);
}

/* WHY a loop of its own: the child of a fork shares the parent's epoll set, and would change it. */
static void do_bug(void)
{
	doomed = loop_new(doomed_backend, doomed_timers);
	survivor = actor_new(doomed, 's', NULL);
	bug();
	reactor_free(doomed);
}

/* What is a bug ends the process at once, and not some time later in somebody else's memory. */
static void test_assertions(void)
{
	static void (*const bugs[])(void) = {
		leave_watch,       leave_background_watch, leave_timer,
		leave_call,        leave_posted_call,      leave_hold,
		release_too_often, run_inside_run,         watch_descriptor_twice,
		start_watch_twice,
	};
	for (size_t b = 0; b < COUNT_OF(loop_backends); b++) {
		doomed_backend = loop_backends[b];
		doomed_timers = loop_timers[b % 2];
		bug = leave_nothing;
		CHECK_INT(in_quiet_child(do_bug), 0);
		for (size_t i = 0; i < COUNT_OF(bugs); i++) {
			bug = bugs[i];
			if (!CHECK_INT(in_quiet_child(do_bug), 128 + SIGABRT))
				fprintf(stderr, "    bug %zu on %s, %s\n", i, doomed_backend, doomed_timers);
		}
	}
}

/* --- the rest ---------------------------------------------------------------------------------------------------- */

static void test_user_pointer(struct reactor *r)
{
	CHECK(reactor_user(r) == NULL);
	reactor_set_user(r, &survivor);
	CHECK(reactor_user(r) == &survivor);
}

int main(void)
{
	alarm(60);
	test_names();
	test_unknown_names();
	CHECK_INT(in_child(no_descriptors), 0);
	CHECK_INT(in_child(all_low_numbers_taken), 0);
	ON_EACH_LOOP(test_fd_limit);
	ON_EACH_LOOP(test_order_of_a_round);
	ON_EACH_LOOP(test_what_an_event_arms);
	ON_EACH_LOOP(test_never_inside);
	ON_EACH_LOOP(test_now_outside_a_round);
	ON_EACH_LOOP(test_nothing_to_do);
	ON_EACH_LOOP(test_what_keeps_it);
	ON_EACH_LOOP(test_what_was_taken_back);
	ON_EACH_LOOP(test_background);
	ON_EACH_LOOP(test_hold);
	ON_EACH_LOOP(test_stop);
	ON_EACH_LOOP(test_interrupted);
	ON_EACH_LOOP(test_busy_poll);
	ON_EACH_LOOP(test_user_pointer);
	test_assertions();
	return check_done();
}
