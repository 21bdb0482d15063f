/* workpool_test.c - on every kind of loop: jobs run elsewhere and their results come home, in order; a full pool
 * refuses; and a job may be cancelled, or the pool stopped, at any point of its way. Gates hold a job where the test
 * wants it. */
#include "workpool.h"

#include "cdefs.h"
#include "check.h"
#include "clock.h"
#include "mem.h"
#include "os.h"
#include "prng.h"
#include "reactor.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

static const char *const backends[] = { "epoll", "poll", "select" }, *const kinds[] = { "heap", "wheel" };

/* --- a job that can be held -------------------------------------------------------------------------------------- */

/* What happened to a job; it outlives the job. */
struct fate {
	atomic_int run, done, drop;
	unsigned run_order, done_order;
};

struct job {
	struct work work;
	struct fate *fate;
	sem_t *begun, *gate; /* NULL: does not say, does not wait */
	void (*on_done)(struct job *j);
};

static struct reactor *loop;
static struct workpool pool;
static pthread_t loop_thread;
static atomic_uint n_run;
static unsigned n_done;
static sem_t begun, gate, dropped;

static void wait_for(sem_t *s)
{
	while (sem_wait(s) < 0)
		CHECK_INT(errno, EINTR);
}

static void run_job(struct work *w)
{
	struct job *j = CONTAINER_OF(w, struct job, work);
	j->fate->run_order = atomic_fetch_add(&n_run, 1);
	if (j->begun != NULL)
		sem_post(j->begun);
	if (j->gate != NULL)
		wait_for(j->gate);
	atomic_fetch_add(&j->fate->run, 1);
}

static void job_done(struct work *w)
{
	struct job *j = CONTAINER_OF(w, struct job, work);
	CHECK(pthread_equal(pthread_self(), loop_thread));
	j->fate->done_order = n_done++;
	atomic_fetch_add(&j->fate->done, 1);
	if (j->on_done != NULL)
		j->on_done(j);
	free(j);
}

static void drop_job(struct work *w)
{
	struct job *j = CONTAINER_OF(w, struct job, work);
	atomic_fetch_add(&j->fate->drop, 1);
	free(j);
	sem_post(&dropped);
}

static struct job *new_job(struct fate *fate)
{
	struct job *j = xcalloc(1, sizeof(*j));
	*j = (struct job){ .fate = fate };
	return j;
}

static int submit(struct job *j)
{
	return workpool_submit(&pool, &j->work, run_job, job_done, drop_job);
}

static struct job *submit_new(struct fate *fate)
{
	struct job *j = new_job(fate);
	CHECK_INT(submit(j), 0);
	return j;
}

/* A job that says when it begins, and waits until the gate lets it pass. */
static struct job *submit_held(struct fate *fate)
{
	struct job *j = new_job(fate);
	j->begun = &begun;
	j->gate = &gate;
	CHECK_INT(submit(j), 0);
	return j;
}

static void check_fate(const struct fate *f, int run, int done, int drop)
{
	CHECK_INT(atomic_load(&f->run), run);
	CHECK_INT(atomic_load(&f->done), done);
	CHECK_INT(atomic_load(&f->drop), drop);
}

static void run_loop(void)
{
	CHECK_INT(reactor_run(loop), 0);
}

/* --- ordinary life ----------------------------------------------------------------------------------------------- */

/* One thread: jobs run, and their results come, in the order of submission. */
static void test_order(void)
{
	enum { N = 100 };
	struct fate fates[N] = { 0 };
	workpool_start(&pool, loop, 1, N);
	atomic_store(&n_run, 0);
	n_done = 0;
	for (int i = 0; i < N; i++)
		submit_new(&fates[i]);
	run_loop();
	for (unsigned i = 0; i < N; i++) {
		check_fate(&fates[i], 1, 1, 0);
		CHECK_INT(fates[i].run_order, i);
		CHECK_INT(fates[i].done_order, i);
	}
	workpool_stop(&pool);
}

struct look {
	struct work work;
	pthread_t thread;
	sigset_t mask;
};

static void look_around(struct work *w)
{
	struct look *l = CONTAINER_OF(w, struct look, work);
	l->thread = pthread_self();
	pthread_sigmask(SIG_SETMASK, NULL, &l->mask);
}

static void has_looked(struct work *w)
{
	struct look *l = CONTAINER_OF(w, struct look, work);
	CHECK(!pthread_equal(l->thread, loop_thread));
	CHECK(sigismember(&l->mask, SIGINT) && sigismember(&l->mask, SIGTERM) && sigismember(&l->mask, SIGUSR1));
	free(l);
}

static void never(struct work *w)
{
	(void)w;
	CHECK(false);
}

/* Another thread, which no signal disturbs; ours stays as it was. */
static void test_where_jobs_run(void)
{
	struct look *l = xcalloc(1, sizeof(*l));
	sigset_t mask;
	workpool_start(&pool, loop, 1, 0);
	CHECK_INT(workpool_submit(&pool, &l->work, look_around, has_looked, never), 0);
	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	CHECK(!sigismember(&mask, SIGINT) && !sigismember(&mask, SIGUSR1));
	run_loop();
	workpool_stop(&pool);
}

static bool is_of_pool(const char *tid)
{
	char path[320], name[16] = "";
	snprintf(path, sizeof(path), "/proc/self/task/%s/comm", tid);
	return os_read_line(path, name, sizeof(name)) == 0 && strcmp(name, "workpool") == 0;
}

static int count_threads(void)
{
	int n = -1; /* ours, see main */
	DIR *dir = opendir("/proc/self/task");
	CHECK(dir != NULL);
	for (struct dirent *d; dir != NULL && (d = readdir(dir)) != NULL;)
		n += d->d_name[0] != '.' && is_of_pool(d->d_name);
	if (dir != NULL)
		closedir(dir);
	return n;
}

/* Threads of pools that were stopped end by themselves. */
static void wait_for_no_threads(void)
{
	while (count_threads() != 0)
		clk_sleep_until_ns(clk_mono_ns() + NS_PER_MS);
}

/* None without work, one for one job after the other, and as many as there are jobs at the same time. */
static void test_threads_on_demand(void)
{
	enum { N = 3 };
	struct fate fates[N] = { 0 };
	wait_for_no_threads();
	workpool_start(&pool, loop, N, 10);
	CHECK_INT(count_threads(), 0);
	for (int i = 0; i < 5; i++) {
		struct fate one = { 0 };
		submit_held(&one);
		wait_for(&begun);
		CHECK_INT(count_threads(), 1);
		sem_post(&gate);
		run_loop();
		check_fate(&one, 1, 1, 0);
	}
	for (int i = 0; i < N; i++)
		submit_held(&fates[i]);
	for (int i = 0; i < N; i++)
		wait_for(&begun); /* with fewer than N threads the last one would never begin */
	CHECK_INT(count_threads(), N);
	for (int i = 0; i < N; i++)
		sem_post(&gate);
	run_loop();
	for (int i = 0; i < N; i++)
		check_fate(&fates[i], 1, 1, 0);
	workpool_stop(&pool);
	wait_for_no_threads();
}

static void submit_again(struct job *j)
{
	static struct fate second;
	if (j->fate == &second)
		return;
	second = (struct fate){ 0 };
	struct job *next = submit_new(&second);
	next->on_done = submit_again;
}

/* All threads busy and max_queued jobs waiting: no more. Every job that ends makes room for one. */
static void test_bounds(void)
{
	enum { THREADS = 2, QUEUED = 3 };
	struct fate fates[THREADS + QUEUED] = { 0 }, refused = { 0 };
	struct job *surplus = new_job(&refused);
	workpool_start(&pool, loop, THREADS, QUEUED);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < THREADS + QUEUED; i++)
			submit_held(&fates[i]);
		CHECK_INT(submit(surplus), -1);
		CHECK_INT(errno, EAGAIN);
		for (int i = 0; i < THREADS + QUEUED; i++)
			sem_post(&gate);
		run_loop();
		for (int i = 0; i < THREADS + QUEUED; i++) {
			check_fate(&fates[i], round + 1, round + 1, 0);
			wait_for(&begun);
		}
	}
	check_fate(&refused, 0, 0, 0);
	surplus->on_done = submit_again;
	CHECK_INT(submit(surplus), 0);
	run_loop();
	check_fate(&refused, 1, 1, 0);
	workpool_stop(&pool);
}

static void stop_at_done(struct job *j)
{
	(void)j;
	reactor_stop(loop);
}

/* Such a job keeps no loop going, whether it waits, runs, is cancelled or left to a pool that stops; when the loop goes
 * on for another reason its result comes as any other. */
static void test_background(void)
{
	struct fate fates[4] = { 0 };
	struct job *jobs[4];
	workpool_start(&pool, loop, 1, 4);
	workpool_set_background(&pool);
	for (int i = 0; i < 4; i++)
		jobs[i] = submit_held(&fates[i]);
	wait_for(&begun);
	run_loop();
	check_fate(&fates[0], 0, 0, 0);
	CHECK(workpool_cancel(&pool, &jobs[3]->work));
	free(jobs[3]);
	jobs[1]->on_done = stop_at_done;
	sem_post(&gate);
	sem_post(&gate);
	reactor_hold(loop);
	run_loop();
	reactor_release(loop);
	check_fate(&fates[0], 1, 1, 0);
	check_fate(&fates[1], 1, 1, 0);
	wait_for(&begun);
	wait_for(&begun); /* the third one */
	workpool_stop(&pool);
	run_loop();
	sem_post(&gate);
	wait_for(&dropped);
	check_fate(&fates[2], 1, 0, 1);
}

/* --- cancelling -------------------------------------------------------------------------------------------------- */

/* A job that waits behind another one is the caller's again, and there is room for another. */
static void test_cancel_queued(void)
{
	struct fate first = { 0 }, second[3] = { 0 }, third = { 0 };
	struct job *waiting[3];
	workpool_start(&pool, loop, 1, 3);
	submit_held(&first);
	wait_for(&begun);
	for (int i = 0; i < 3; i++)
		waiting[i] = submit_new(&second[i]);
	/* The middle and the last of the queue; what comes next goes to its end. Then the first. */
	static const int order[] = { 1, 2, 0 };
	for (int i = 0; i < 3; i++) {
		CHECK(workpool_cancel(&pool, &waiting[order[i]]->work));
		free(waiting[order[i]]);
		if (i > 0)
			submit_new(&third);
	}
	submit_new(&third);
	sem_post(&gate);
	run_loop();
	check_fate(&first, 1, 1, 0);
	for (int i = 0; i < 3; i++)
		check_fate(&second[i], 0, 0, 0);
	check_fate(&third, 3, 3, 0);
	workpool_stop(&pool);
}

/* A job that runs: nobody waits for it, and its result is dropped. */
static void test_cancel_running(void)
{
	struct fate fate = { 0 }, next = { 0 };
	workpool_start(&pool, loop, 1, 1);
	struct job *j = submit_held(&fate);
	wait_for(&begun);
	CHECK(!workpool_cancel(&pool, &j->work));
	run_loop(); /* has nothing to wait for any more */
	check_fate(&fate, 0, 0, 0);
	submit_new(&next);
	sem_post(&gate);
	run_loop();
	check_fate(&fate, 1, 0, 1);
	check_fate(&next, 1, 1, 0);
	wait_for(&dropped);
	workpool_stop(&pool);
}

/* A job that is through, but whose result the loop has not yet taken. */
static void test_cancel_result(void)
{
	struct fate fate = { 0 }, next = { 0 }, last = { 0 };
	workpool_start(&pool, loop, 1, 2);
	struct job *j = submit_new(&fate);
	submit_held(&next);
	wait_for(&begun); /* now the first one lies among the results */
	CHECK(workpool_cancel(&pool, &j->work));
	free(j);
	submit_new(&last);
	sem_post(&gate);
	run_loop();
	check_fate(&fate, 1, 0, 0);
	check_fate(&next, 1, 1, 0);
	check_fate(&last, 1, 1, 0);
	workpool_stop(&pool);
}

static struct job *sibling;

static void cancel_sibling(struct job *j)
{
	(void)j;
	CHECK(workpool_cancel(&pool, &sibling->work));
	free(sibling);
}

/* Two results come in one batch, and the first does away with the second. */
static void test_cancel_in_done(void)
{
	struct fate first = { 0 }, second = { 0 }, third = { 0 };
	workpool_start(&pool, loop, 1, 3);
	submit_held(&first)->on_done = cancel_sibling;
	sibling = submit_new(&second);
	submit_held(&third);
	wait_for(&begun);
	sem_post(&gate);
	wait_for(&begun); /* the third has begun: the two before it are through */
	sem_post(&gate);
	run_loop();
	check_fate(&first, 1, 1, 0);
	check_fate(&second, 1, 0, 0);
	check_fate(&third, 1, 1, 0);
	workpool_stop(&pool);
}

/* --- stopping ---------------------------------------------------------------------------------------------------- */

/* One result, one job that runs, two that wait. Then the loop may go at once. */
static void test_stop(bool free_loop)
{
	struct fate through = { 0 }, running = { 0 }, waiting[2] = { 0 };
	struct net_error e;
	struct reactor *r = reactor_new(reactor_backend_name(loop), NULL, &e);
	workpool_start(&pool, r, 1, 10);
	submit_new(&through);
	submit_held(&running);
	submit_new(&waiting[0]);
	submit_new(&waiting[1]);
	wait_for(&begun);
	workpool_stop(&pool);
	workpool_stop(&pool);
	check_fate(&through, 1, 0, 1);
	check_fate(&running, 0, 0, 0);
	check_fate(&waiting[0], 0, 0, 1);
	check_fate(&waiting[1], 0, 0, 1);
	if (!free_loop) {
		CHECK_INT(reactor_run(r), 0); /* nothing holds it, and nothing comes */
		CHECK_INT(reactor_stats(r)->rounds, 0);
	}
	reactor_free(r);
	for (int i = 0; i < 3; i++)
		wait_for(&dropped);
	sem_post(&gate);
	wait_for(&dropped);
	check_fate(&running, 1, 0, 1);
	check_fate(&through, 1, 0, 1);
}

static void stop_pool(struct job *j)
{
	(void)j;
	workpool_stop(&pool);
}

/* The first of two results that came in one batch stops the pool. */
static void test_stop_in_done(void)
{
	struct fate first = { 0 }, second = { 0 }, third = { 0 };
	workpool_start(&pool, loop, 1, 3);
	submit_held(&first)->on_done = stop_pool;
	submit_new(&second);
	submit_held(&third);
	wait_for(&begun);
	sem_post(&gate);
	wait_for(&begun);
	run_loop();
	check_fate(&first, 1, 1, 0);
	check_fate(&second, 1, 0, 1);
	check_fate(&third, 0, 0, 0);
	sem_post(&gate);
	wait_for(&dropped);
	wait_for(&dropped);
	check_fate(&third, 1, 0, 1);
}

static void test_stop_without_work(void)
{
	workpool_start(&pool, loop, 4, 4);
	workpool_stop(&pool);
	struct fate fate = { 0 };
	workpool_start(&pool, loop, 4, 4);
	submit_new(&fate);
	run_loop();
	workpool_stop(&pool); /* with a thread that idles */
	check_fate(&fate, 1, 1, 0);
}

/* --- by chance --------------------------------------------------------------------------------------------------- */

static void stop_loop(struct deferred *d)
{
	(void)d;
	reactor_stop(loop);
}

/* Hundreds of pools, each stopped in the middle of something, and the loop gone at once: every job meets exactly one
 * end. For the sanitizers. */
static void test_any_moment(void)
{
	enum { POOLS = 150, JOBS = 12 };
	struct reactor *outer = loop;
	struct net_error e;
	for (uint64_t i = 0; i < POOLS; i++) {
		struct fate fates[JOBS] = { 0 };
		struct job *jobs[JOBS];
		bool taken_back[JOBS] = { false };
		struct deferred end = { 0 };
		uint64_t dice = prng_word(17, i);
		loop = reactor_new(reactor_backend_name(outer), NULL, &e);
		workpool_start(&pool, loop, 1 + dice % 4, JOBS);
		for (int k = 0; k < JOBS; k++)
			jobs[k] = submit_new(&fates[k]);
		for (int k = 0; k < JOBS; k++)
			if (dice >> (8 + k) & 1) {
				taken_back[k] = workpool_cancel(&pool, &jobs[k]->work);
				if (taken_back[k])
					free(jobs[k]);
			}
		for (uint64_t rounds = dice >> 32 & 3; rounds > 0; rounds--) {
			reactor_defer(loop, &end, stop_loop);
			run_loop();
		}
		workpool_stop(&pool);
		reactor_free(loop);
		for (int k = 0; k < JOBS; k++) {
			if (!taken_back[k] && atomic_load(&fates[k].done) == 0)
				wait_for(&dropped);
		}
		for (int k = 0; k < JOBS; k++)
			CHECK_INT(taken_back[k] + atomic_load(&fates[k].done) + atomic_load(&fates[k].drop), 1);
	}
	loop = outer;
}

static void test_on(const char *backend, const char *kind)
{
	struct net_error e;
	char text[NET_ERROR_TEXT];
	loop = reactor_new(backend, kind, &e);
	if (!CHECK(loop != NULL)) {
		fprintf(stderr, "    %s\n", net_error_text(&e, text));
		return;
	}
	test_order();
	test_where_jobs_run();
	test_threads_on_demand();
	test_bounds();
	test_background();
	test_cancel_queued();
	test_cancel_running();
	test_cancel_result();
	test_cancel_in_done();
	test_stop(true);
	test_stop(false);
	test_stop_in_done();
	test_stop_without_work();
	test_any_moment();
	reactor_free(loop);
}

static void *do_nothing(void *arg)
{
	return arg;
}

/* So that a thread of a pool can be told from one that a sanitizer keeps for itself: that one starts with the first
 * of all threads. Those that come after have our name before they give themselves their own. */
static void name_threads(void)
{
	pthread_t thread;
	if (CHECK_INT(pthread_create(&thread, NULL, do_nothing, NULL), 0))
		pthread_join(thread, NULL);
	os_thread_name("workpool");
}

int main(void)
{
	name_threads();
	loop_thread = pthread_self();
	sem_init(&begun, 0, 0);
	sem_init(&gate, 0, 0);
	sem_init(&dropped, 0, 0);
	for (size_t b = 0; b < COUNT_OF(backends); b++)
		for (size_t k = 0; k < COUNT_OF(kinds); k++)
			test_on(backends[b], kinds[k]);
	wait_for_no_threads();
	return check_done();
}
