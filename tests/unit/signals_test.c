/* signals_test.c - SIGINT and SIGTERM as events of a loop, of every kind of loop. Every test runs in a child, because
 * sig_open changes the whole process. */
#include "signals.h"

#include "child.h"
#include "loop_kit.h"
#include "sig.h"

#include <pthread.h>
#include <signal.h>
#include <sys/select.h>

/* The kind of loop under test. */
static const char *backend, *timers;

static const uint64_t LONG_NS = UINT64_C(60) * NS_PER_S; /* longer than a test may last */

/* What a tool has: a loop, its signals, and something that keeps it running. */
struct tool {
	struct reactor *r;
	struct signals signals;
	struct actor work;
	int numbers[4];
	int n;
};

static void tool_open(struct tool *t, signals_fn *fn)
{
	sig_open();
	*t = (struct tool){ .r = loop_new(backend, timers) };
	t->work = actor_new(t->r, 'w', NULL);
	CHECK_INT(signals_start(&t->signals, t->r, fn), 0);
	actor_start_timer(&t->work, clk_mono_ns() + LONG_NS);
}

static void tool_close(struct tool *t)
{
	signals_stop(&t->signals);
	reactor_timer_stop(t->r, &t->work.timer);
	reactor_free(t->r);
}

static void take_signal(struct signals *s, int number)
{
	struct tool *t = CONTAINER_OF(s, struct tool, signals);
	t->numbers[t->n++] = number;
	reactor_stop(t->r);
}

static int reloaded;

static void take_reload(struct signals *s, int number)
{
	(void)s;
	reloaded = number;
}

/* --- one, two, three --------------------------------------------------------------------------------------------- */

/* What came before signals_start waits for it. */
static void came_before(void)
{
	struct tool t;
	sig_open();
	raise(SIGTERM);
	tool_open(&t, take_signal);
	CHECK_INT(sig_pending(NULL), 0);
	loop_run(t.r);
	CHECK_INT(t.n, 1);
	CHECK_INT(t.numbers[0], SIGTERM);
	CHECK_INT(sig_exit_status(0), 143);
	tool_close(&t);
}

static void two_of_them(void)
{
	struct tool t;
	int times = 0;
	tool_open(&t, take_signal);
	raise(SIGINT);
	CHECK_INT(t.n, 0);
	CHECK_INT(sig_pending(NULL), 0);
	loop_run(t.r);
	CHECK_INT(sig_pending(&times), SIGINT);
	CHECK_INT(times, 1);
	CHECK(atomic_load(sig_flag()));
	raise(SIGTERM);
	loop_run(t.r);
	CHECK_INT(sig_pending(&times), SIGTERM);
	CHECK_INT(times, 2);
	CHECK_INT(t.n, 2);
	CHECK_INT(t.numbers[0], SIGINT);
	CHECK_INT(t.numbers[1], SIGTERM);
	tool_close(&t);
}

/* Both wait at once: one event each. */
static void both_at_once(void)
{
	struct tool t;
	tool_open(&t, take_signal);
	raise(SIGTERM);
	raise(SIGINT);
	loop_run(t.r);
	loop_run(t.r);
	CHECK_INT(t.n, 2);
	CHECK_INT(t.numbers[0] + t.numbers[1], SIGINT + SIGTERM);
	tool_close(&t);
}

static void ignore_it(struct signals *s, int number)
{
	(void)s;
	raise(number);
}

/* Whoever does not end is ended by the third, with a shell's status for it. */
static void three_of_them(void)
{
	struct tool t;
	tool_open(&t, ignore_it);
	raise(SIGINT);
	loop_run(t.r);
	exit(1);
}

/* --- the loop ---------------------------------------------------------------------------------------------------- */

/* Signals alone keep no loop running. */
static void background(void)
{
	struct tool t;
	tool_open(&t, take_signal);
	reactor_timer_stop(t.r, &t.work.timer);
	loop_run(t.r);
	CHECK_INT(reactor_stats(t.r)->rounds, 0);
	tool_close(&t);
}

static void raise_once(struct actor *a)
{
	if (a->times == 3)
		raise(SIGINT);
}

/* A loop that always has something to do sees it all the same. */
static void busy_loop(void)
{
	struct tool t;
	tool_open(&t, take_signal);
	struct actor busy = actor_new(t.r, 'b', raise_once);
	actor_watch(&busy, WATCH_WRITE);
	loop_run(t.r);
	CHECK_INT(t.n, 1);
	CHECK(busy.times < 10);
	actor_shut(&busy);
	tool_close(&t);
}

static void stop_for_good(struct signals *s, int number)
{
	struct tool *t = CONTAINER_OF(s, struct tool, signals);
	t->numbers[t->n++] = number;
	signals_stop(s);
	memset(s, 0xff, sizeof(*s)); /* whoever looks at it now is wrong */
	*s = (struct signals){ 0 };
	reactor_timer_stop(t->r, &t->work.timer);
}

/* In the middle of its own callback, twice, and never started. */
static void stop_in_callback(void)
{
	struct tool t;
	struct signals never = { 0 };
	tool_open(&t, stop_for_good);
	int taken = t.signals.watch.fd;
	raise(SIGINT);
	loop_run(t.r);
	CHECK_INT(t.n, 1);
	CHECK_INT(lowest_free(), taken); /* its descriptor is closed */
	signals_stop(&t.signals);
	signals_stop(&never);
	tool_close(&t);
}

/* Stopped, started again: what came in between waits. */
static void start_again(void)
{
	struct tool t;
	tool_open(&t, take_signal);
	signals_stop(&t.signals);
	raise(SIGINT);
	reactor_timer_stop(t.r, &t.work.timer);
	loop_run(t.r);
	CHECK_INT(t.n, 0);
	actor_start_timer(&t.work, clk_mono_ns() + LONG_NS);
	CHECK_INT(signals_start(&t.signals, t.r, take_signal), 0);
	loop_run(t.r);
	CHECK_INT(t.n, 1);
	tool_close(&t);
}

/* --- errors ------------------------------------------------------------------------------------------------------ */

static void no_descriptor(void)
{
	struct reactor *r = loop_new(backend, timers);
	struct signals s;
	struct rlimit none = { (rlim_t)lowest_free(), (rlim_t)lowest_free() };
	setrlimit(RLIMIT_NOFILE, &none);
	CHECK_INT(signals_start(&s, r, take_signal), -1);
	CHECK_INT(errno, EMFILE);
	signals_stop(&s);
	reactor_free(r);
}

/* All numbers that select can hold are taken: it says so, and the descriptor that it cannot watch is closed. */
static void no_low_number(void)
{
	struct rlimit limit;
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	struct reactor *r = loop_new("select", timers);
	struct signals s;
	for (int last = 0; last >= 0 && last < FD_SETSIZE - 1;)
		last = dup(STDIN_FILENO);
	int next = lowest_free();
	if (next >= FD_SETSIZE) {
		CHECK_INT(signals_start(&s, r, take_signal), -1);
		CHECK_INT(errno, ERANGE);
		CHECK_INT(lowest_free(), next);
		signals_stop(&s);
	}
	reactor_free(r);
}

/* --- other threads, other processes ------------------------------------------------------------------------------ */

/* Until there is something to read. */
static void *wait_for_byte(void *fd)
{
	char byte;
	return read(*(int *)fd, &byte, 1) == 1 ? fd : NULL;
}

/* It comes to the loop whichever threads there are: they all have it blocked. */
static void beside_threads(void)
{
	struct tool t;
	pthread_t thread;
	void *got = NULL;
	int fds[2];
	tool_open(&t, take_signal);
	CHECK_INT(pipe(fds), 0);
	if (!CHECK_INT(pthread_create(&thread, NULL, wait_for_byte, &fds[0]), 0))
		return;
	kill(getpid(), SIGINT);
	loop_run(t.r);
	CHECK_INT(t.n, 1);
	feed(fds[1]);
	pthread_join(thread, &got);
	CHECK(got != NULL);
	tool_close(&t);
}

static int ready_fd;

static void say_ready_and_wait(void)
{
	struct tool t;
	tool_open(&t, take_signal);
	CHECK_INT(write(ready_fd, "x", 1), 1);
	loop_run(t.r);
	tool_close(&t);
	_exit(sig_exit_status(0));
}

/* On its way into the wait, in it, or before: no signal is lost. */
static void from_another_process(void)
{
	for (int i = 0; i < 20; i++) {
		int fds[2], status = 0;
		char byte;
		if (!CHECK_INT(pipe(fds), 0))
			return;
		ready_fd = fds[1];
		fflush(NULL);
		pid_t pid = fork();
		if (pid == 0) {
			alarm(CHILD_PATIENCE_S);
			say_ready_and_wait();
		}
		CHECK_INT(read(fds[0], &byte, 1), 1);
		kill(pid, i % 2 == 0 ? SIGINT : SIGTERM);
		waitpid(pid, &status, 0);
		CHECK(WIFEXITED(status));
		CHECK_INT(WEXITSTATUS(status), i % 2 == 0 ? 130 : 143);
		close(fds[0]);
		close(fds[1]);
	}
}

/* SIGHUP comes as an event, beside the others, and is no reason to end. */
static void reload(void)
{
	struct tool t;
	struct signals hup;
	tool_open(&t, take_signal);
	CHECK_INT(signals_start_reload(&hup, t.r, take_reload), 0);
	reloaded = 0;
	raise(SIGHUP);
	loop_run_rounds(t.r, 1);
	CHECK_INT(reloaded, SIGHUP);
	CHECK_INT(sig_pending(NULL), 0);
	raise(SIGHUP);
	raise(SIGTERM);
	loop_run(t.r);
	CHECK_INT(t.n, 1);
	CHECK_INT(t.numbers[0], SIGTERM);
	signals_stop(&hup);
	tool_close(&t);
}

int main(void)
{
	static const struct {
		void (*body)(void);
		int status;
	} tests[] = {
		{ came_before, 0 },   { two_of_them, 0 },   { both_at_once, 0 },     { three_of_them, 130 },
		{ background, 0 },    { busy_loop, 0 },     { stop_in_callback, 0 }, { start_again, 0 },
		{ no_descriptor, 0 }, { no_low_number, 0 }, { beside_threads, 0 },   { from_another_process, 0 },
		{ reload, 0 },
	};
	for (size_t b = 0; b < COUNT_OF(loop_backends); b++)
		for (size_t i = 0; i < COUNT_OF(tests); i++) {
			backend = loop_backends[b];
			timers = loop_timers[(b + i) % 2];
			if (!CHECK_INT(in_child(tests[i].body), tests[i].status))
				fprintf(stderr, "    in test %zu on %s, %s\n", i, backend, timers);
		}
	return check_done();
}
