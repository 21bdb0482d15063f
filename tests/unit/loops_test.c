/* loops_test.c - a loop for each thread: who runs what, in which order, how turns are dealt, and that the end leaves no
 * call, no thread and no descriptor behind. Every test runs on every kind of loop, chosen as a user does: by the
 * environment. */
#include "loops.h"

#include "child.h"
#include "loop_kit.h"

#include <dirent.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

enum { SIZES_MAX = 8 };
static const unsigned sizes[] = { 1, 2, SIZES_MAX };

static void start(struct loops *l, unsigned n)
{
	struct net_error e;
	char text[NET_ERROR_TEXT];
	if (!CHECK_INT(loops_start(l, n, &e), 0)) {
		fprintf(stderr, "    %s\n", net_error_text(&e, text));
		abort();
	}
	CHECK_INT(l->n, n);
}

static void stop(struct loops *l)
{
	loops_join(l);
	loops_free(l);
	CHECK_INT(l->n, 0);
}

static unsigned entries(const char *folder)
{
	unsigned n = 0;
	DIR *dir = opendir(folder);
	while (readdir(dir) != NULL)
		n++;
	closedir(dir);
	return n;
}

/* Loop 0 runs until all others have said that they are through; then the end. */
struct meeting {
	struct loops loops;
	unsigned expected;
};

static void arrive(struct reactor *r, unsigned i, void *arg)
{
	struct meeting *m = arg;
	CHECK_INT(i, 0);
	if (--m->expected == 0)
		reactor_release(r);
}

static void meeting_begin(struct meeting *m, unsigned n, unsigned expected)
{
	start(&m->loops, n);
	m->expected = expected;
	reactor_hold(loops_get(&m->loops, 0));
}

static void meeting_end(struct meeting *m)
{
	loop_run(loops_get(&m->loops, 0));
	CHECK_INT(m->expected, 0);
	stop(&m->loops);
}

/* --- each on its own thread -------------------------------------------------------------------------------------- */

static struct meeting here;

struct visit {
	pthread_t thread;
	struct reactor *r;
	char name[16];
	unsigned times, strays; /* strays: on another thread, or with another loop */
	bool all_blocked;
};
static struct visit visits[SIZES_MAX];

static void visit(struct reactor *r, unsigned i, void *arg)
{
	struct visit *v = &((struct visit *)arg)[i];
	sigset_t mask;
	pthread_sigmask(SIG_BLOCK, NULL, &mask);
	v->all_blocked = sigismember(&mask, SIGINT) == 1 && sigismember(&mask, SIGALRM) == 1;
	v->thread = pthread_self();
	v->r = r;
	v->times++;
	prctl(PR_GET_NAME, v->name, 0, 0, 0);
	loops_post(&here.loops, 0, arrive, &here);
}

/* Each loop is visited once, on a thread of its own that bears its name; loop 0 at once, on ours. */
static void test_each(void)
{
	for (size_t s = 0; s < COUNT_OF(sizes); s++) {
		unsigned n = sizes[s];
		meeting_begin(&here, n, n);
		memset(visits, 0, sizeof(visits));
		loops_each(&here.loops, visit, visits);
		CHECK_INT(visits[0].times, 1);
		meeting_end(&here);
		CHECK(pthread_equal(visits[0].thread, pthread_self()));
		for (unsigned i = 1; i < n; i++) {
			char name[16];
			snprintf(name, sizeof(name), "loop %u", i);
			CHECK_STR(visits[i].name, name);
			CHECK_INT(visits[i].times, 1);
			CHECK(visits[i].all_blocked);
			for (unsigned k = 0; k < i; k++)
				CHECK(visits[k].r != visits[i].r && !pthread_equal(visits[k].thread, visits[i].thread));
		}
	}
}

static void visit_again(struct reactor *r, unsigned i, void *arg)
{
	struct visit *v = &((struct visit *)arg)[i];
	v->strays += v->r != r || !pthread_equal(v->thread, pthread_self());
	loops_post(&here.loops, 0, arrive, &here);
}

static void visit_then_again(struct reactor *r, unsigned i, void *arg)
{
	visit(r, i, arg);
	for (int times = 0; times < 10; times++)
		loops_post(&here.loops, i, visit_again, arg);
}

/* It stays the same thread. */
static void test_same_thread(void)
{
	meeting_begin(&here, SIZES_MAX, 11 * SIZES_MAX);
	memset(visits, 0, sizeof(visits));
	loops_each(&here.loops, visit_then_again, visits);
	meeting_end(&here);
	for (unsigned i = 0; i < SIZES_MAX; i++)
		CHECK_INT(visits[i].strays, 0);
}

/* --- posting ----------------------------------------------------------------------------------------------------- */

enum { POSTS = 1000 };
static unsigned seen, in_order; /* on the one loop that gets letters; the others look at it when that one is through */
static unsigned letters[POSTS];

static void take_letter(struct reactor *r, unsigned i, void *arg)
{
	(void)r;
	(void)i;
	in_order += *(unsigned *)arg == seen++;
	if (seen == POSTS)
		loops_post(&here.loops, 0, arrive, &here);
}

/* Never at once; in the order in which they were posted. */
static void test_posts_in_order(void)
{
	for (unsigned i = 0; i < SIZES_MAX; i++) {
		meeting_begin(&here, SIZES_MAX, 1);
		seen = in_order = 0;
		for (unsigned n = 0; n < POSTS; n++) {
			letters[n] = n;
			loops_post(&here.loops, i, take_letter, &letters[n]);
		}
		CHECK(i != 0 || seen == 0);
		meeting_end(&here);
		CHECK_INT(seen, POSTS);
		CHECK_INT(in_order, POSTS);
	}
}

/* --- dealing ----------------------------------------------------------------------------------------------------- */

/* In turn, whatever the number of loops: after k rounds each had k. */
static void test_deal(void)
{
	for (size_t s = 0; s < COUNT_OF(sizes); s++) {
		struct loops l;
		unsigned dealt[SIZES_MAX] = { 0 };
		start(&l, sizes[s]);
		for (unsigned turn = 1; turn <= 5; turn++) {
			for (unsigned i = 0; i < sizes[s]; i++)
				dealt[loops_deal(&l)]++;
			for (unsigned i = 0; i < sizes[s]; i++)
				CHECK_INT(dealt[i], turn);
		}
		stop(&l);
	}
}

/* --- the end ----------------------------------------------------------------------------------------------------- */

static bool is_loop_thread(const char *task)
{
	char path[64], name[16] = "";
	snprintf(path, sizeof(path), "/proc/self/task/%.20s/comm", task);
	FILE *comm = fopen(path, "re");
	if (comm == NULL)
		return false;
	bool is_loop = fgets(name, sizeof(name), comm) != NULL && strncmp(name, "loop ", 5) == 0;
	fclose(comm);
	return is_loop;
}

static unsigned loop_threads(void)
{
	unsigned n = 0;
	DIR *dir = opendir("/proc/self/task");
	for (struct dirent *task; (task = readdir(dir)) != NULL;)
		n += is_loop_thread(task->d_name);
	closedir(dir);
	return n;
}

static void test_leaves_nothing(void)
{
	unsigned fds = entries("/proc/self/fd");
	for (size_t s = 0; s < COUNT_OF(sizes); s++) {
		struct loops l;
		start(&l, sizes[s]);
		stop(&l);
		CHECK_INT(entries("/proc/self/fd"), fds);
		while (loop_threads() > 0) /* one that was joined is seen for a moment longer */
			sched_yield();
	}
}

static atomic_uint finished;

static void finish(struct timer *t)
{
	free(t);
	atomic_fetch_add(&finished, 1);
}

static void begin_something_long(struct reactor *r, unsigned i, void *arg)
{
	(void)i;
	(void)arg;
	reactor_timer_start(r, calloc(1, sizeof(struct timer)), reactor_now_ns(r) + 5 * NS_PER_MS, finish);
}

/* The end waits for what is left on the others. */
static void test_stop_waits(void)
{
	struct loops l;
	atomic_store(&finished, 0);
	start(&l, SIZES_MAX);
	for (unsigned i = 1; i < SIZES_MAX; i++)
		loops_post(&l, i, begin_something_long, NULL);
	stop(&l);
	CHECK_INT(atomic_load(&finished), SIZES_MAX - 1);
}

enum { HOPS = 4 };
static struct loops ending;
static unsigned late_calls; /* made by the thread that ends the loops */

struct rumour {
	struct timer timer;
	unsigned hops;
};

/* Passed on to the loop before this one: whoever goes through them once, upwards, does not get them all. */
static void pass_on(struct reactor *r, unsigned i, void *arg)
{
	struct rumour *rumour = arg;
	CHECK(r == loops_get(&ending, i));
	late_calls++;
	if (--rumour->hops > 0)
		loops_post(&ending, (i + ending.n - 1) % ending.n, pass_on, rumour);
	else
		free(rumour);
}

static void on_last_moment(struct timer *t)
{
	loops_post(&ending, 0, pass_on, CONTAINER_OF(t, struct rumour, timer));
}

static void wait_for_last_moment(struct reactor *r, unsigned i, void *arg)
{
	(void)i;
	(void)arg;
	struct rumour *rumour = calloc(1, sizeof(*rumour));
	rumour->hops = HOPS;
	reactor_timer_start(r, &rumour->timer, reactor_now_ns(r) + NS_PER_MS, on_last_moment);
}

/* "My last connection has ended", posted to loop 0 when that one has already been run to its end; and what comes of it.
 * Each call that was posted is made. */
static void test_late_posts(void)
{
	late_calls = 0;
	start(&ending, SIZES_MAX);
	for (unsigned i = 1; i < SIZES_MAX; i++)
		loops_post(&ending, i, wait_for_last_moment, NULL);
	/* Loop 0 has nothing to do, and so is not run: what is posted to it comes too late. */
	stop(&ending);
	CHECK_INT(late_calls, HOPS * (SIZES_MAX - 1));
}

/* --- room for a connection --------------------------------------------------------------------------------------- */

/* More than a connection needs that reads, and than musl gives a thread by itself; not much more, because
 * ThreadSanitizer takes most of a small stack. */
static void use_stack(struct reactor *r, unsigned i, void *arg)
{
	volatile unsigned char block[160 * 1024];
	(void)r;
	(void)arg;
	for (size_t at = 0; at < sizeof(block); at += 1024)
		block[at] = (unsigned char)i;
	loops_post(&here.loops, 0, arrive, &here);
}

static void test_stack(void)
{
	meeting_begin(&here, 2, 1);
	loops_post(&here.loops, 1, use_stack, NULL);
	meeting_end(&here);
}

/* --- errors ------------------------------------------------------------------------------------------------------ */

static void check_fails(unsigned n, const char *why)
{
	struct loops l;
	struct net_error e;
	char text[NET_ERROR_TEXT];
	CHECK_INT(loops_start(&l, n, &e), -1);
	CHECK_STR(net_error_text(&e, text), why);
	CHECK_INT(l.n, 0);
}

static void unknown_backend(void)
{
	setenv("TCPLAB_BACKEND", "kqueue", 1);
	check_fails(3, "loop kqueue: a backend is epoll, poll or select (TCPLAB_BACKEND) (EINVAL)");
}

/* Some loops can be had, but not all: those that run already end again, and give back what they had. */
static void no_descriptors(void)
{
	struct rlimit limit;
	int first = lowest_free();
	getrlimit(RLIMIT_NOFILE, &limit);
	for (rlim_t room = 0; room < 6; room++) {
		struct loops l;
		struct net_error e;
		limit.rlim_cur = (rlim_t)first + room;
		setrlimit(RLIMIT_NOFILE, &limit);
		CHECK_INT(loops_start(&l, SIZES_MAX, &e), -1);
		CHECK_INT(e.sys, EMFILE);
		CHECK_STR(e.op, "loop");
		CHECK_INT(l.n, 0);
	}
	CHECK_INT(lowest_free(), first);
}

static void no_threads(void)
{
	unsigned fds = entries("/proc/self/fd");
	if (!child_forbid(SYS_clone, EAGAIN) || !child_forbid(SYS_clone3, EAGAIN))
		return;
	check_fails(3, "start thread: Resource temporarily unavailable (EAGAIN)");
	CHECK_INT(entries("/proc/self/fd"), fds);
	struct loops l;
	start(&l, 1); /* needs none */
	stop(&l);
}

static void too_many(void)
{
	struct loops l;
	struct net_error e;
	if (loops_start(&l, LOOPS_MAX + 1, &e) == 0)
		stop(&l);
}

static void none(void)
{
	struct loops l;
	struct net_error e;
	if (loops_start(&l, 0, &e) == 0)
		stop(&l);
}

static void test_errors(void)
{
	CHECK_INT(in_child(unknown_backend), 0);
	CHECK_INT(in_child(no_descriptors), 0);
	CHECK_INT(in_child(no_threads), 0);
	CHECK_INT(in_quiet_child(too_many), 128 + SIGABRT);
	CHECK_INT(in_quiet_child(none), 128 + SIGABRT);
}

int main(void)
{
	static void (*const tests[])(void) = { test_errors,         test_each,       test_same_thread,
					       test_posts_in_order, test_deal,       test_leaves_nothing,
					       test_stop_waits,     test_late_posts, test_stack };
	alarm(60);
	for (size_t b = 0; b < COUNT_OF(loop_backends); b++)
		for (size_t t = 0; t < COUNT_OF(loop_timers); t++) {
			unsigned long bad = check_bad;
			setenv("TCPLAB_BACKEND", loop_backends[b], 1);
			setenv("TCPLAB_TIMERS", loop_timers[t], 1);
			for (size_t i = 0; i < COUNT_OF(tests); i++)
				tests[i]();
			if (check_bad != bad)
				fprintf(stderr, "    on %s, %s\n", loop_backends[b], loop_timers[t]);
		}
	return check_done();
}
