/* run.c - one run: everything is opened first, and begins at one moment; main sleeps from interval to interval. */
#include "dummyload.h"

#include "clock.h"
#include "mem.h"
#include "os.h"
#include "record.h"
#include "report.h"
#include "side.h"
#include "sig.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>

/* --- for the threads ---------------------------------------------------------------------------------------------- */

void run_wait(struct run *run, enum run_stage stage)
{
	pthread_mutex_lock(&run->lock);
	while (run->stage < stage)
		pthread_cond_wait(&run->moved, &run->lock);
	pthread_mutex_unlock(&run->lock);
}

static void move_to(struct run *run, enum run_stage stage)
{
	pthread_mutex_lock(&run->lock);
	run->stage = stage;
	pthread_cond_broadcast(&run->moved);
	pthread_mutex_unlock(&run->lock);
}

void run_say_ready(struct run *run)
{
	pthread_mutex_lock(&run->lock);
	run->n_ready++;
	pthread_cond_broadcast(&run->moved);
	pthread_mutex_unlock(&run->lock);
}

void run_wait_ready(struct run *run, unsigned n)
{
	pthread_mutex_lock(&run->lock);
	while (run->n_ready < n)
		pthread_cond_wait(&run->moved, &run->lock);
	pthread_mutex_unlock(&run->lock);
}

void run_begin_thread(const char *name)
{
	os_thread_name(name);
	prctl(PR_SET_TIMERSLACK, 1); /* by default a sleep may be 50 us too long, for each slice again */
}

uint64_t run_catch_up_ns(const struct run *run)
{
	const struct shape *s = &run->o->shape;
	bool is_wave = s->kind != SHAPE_FIXED && s->kind != SHAPE_STEPS;
	return is_wave && s->period_ns / CATCH_UP_PART < CATCH_UP_NS ? s->period_ns / CATCH_UP_PART : CATCH_UP_NS;
}

uint64_t run_slice_end(const struct run *run, uint64_t now_ns)
{
	return run->start_ns + ((now_ns - run->start_ns) / SLICE_NS + 1) * SLICE_NS;
}

void run_fail(struct run *run, const struct net_error *e)
{
	uint64_t one = 1;
	pthread_mutex_lock(&run->lock);
	if (!run->has_failed)
		run->error = *e;
	run->has_failed = true;
	pthread_mutex_unlock(&run->lock);
	if (write(run->wake_fd, &one, sizeof(one)) < 0)
		abort(); /* the counter of an eventfd is full after 2^64 of these */
}

/* --- main's part -------------------------------------------------------------------------------------------------- */

static void look(const struct run *run, struct sample *s)
{
	uint64_t now_ns = clk_mono_ns();
	s->at_ns = now_ns - run->start_ns;
	s->cpu_ns = burn_process_cpu_ns(run) - run->first_cpu_ns;
	s->target_cpu_ns = shape_cpu_ns(&run->o->shape, s->at_ns) * (double)run->o->threads;
	s->waited_ns = burn_waited_ns(run);
	for (int i = 0; i < SIDE_KINDS; i++) {
		if (!side_is_on(&run->side[i]))
			continue;
		s->asked[i] = side_asked(&run->side[i], s->at_ns);
		s->count[i] = side_count(&run->side[i]);
	}
}

static uint64_t interval_ns(const struct run *run)
{
	return run->o->interval_ns != 0 ? run->o->interval_ns : NS_PER_S;
}

static void count_error(const struct run *run, struct errors *errors, const struct sample *from,
			const struct sample *to)
{
	uint64_t elapsed_ns = to->at_ns - from->at_ns;
	double missed_ns = fabs((double)(to->cpu_ns - from->cpu_ns) - (to->target_cpu_ns - from->target_cpu_ns));
	double percent = report_load_percent(missed_ns, elapsed_ns);
	if (errors->n > 0 && elapsed_ns < interval_ns(run) / 2)
		return;
	errors->n++;
	errors->elapsed_ns += elapsed_ns;
	errors->missed_ns += missed_ns;
	if (percent > errors->worst)
		errors->worst = percent;
}

/* The end of the interval that has begun, or of the run. */
static uint64_t next_look_ns(const struct run *run, uint64_t at_ns, uint64_t end_ns)
{
	uint64_t next_ns = (at_ns / interval_ns(run) + 1) * interval_ns(run);
	return next_ns < end_ns ? next_ns : end_ns;
}

/* False: the run is over before that: a signal, or a failure. */
static bool sleep_until(const struct run *run, uint64_t at_ns)
{
	struct pollfd failure = { .fd = run->wake_fd, .events = POLLIN };
	int n = 0;
	while (n == 0 && sig_pending(NULL) == 0 && clk_mono_ns() < run->start_ns + at_ns)
		n = sig_wait(&failure, 1, run->start_ns + at_ns);
	return n == 0 && sig_pending(NULL) == 0;
}

/* Every interval, until the end; a last one that is cut short counts, too. A report that nobody reads is no reason to
 * keep a processor busy. */
static void watch(const struct run *run, uint64_t end_ns, const struct sample *first, struct sample *last,
		  struct errors *errors)
{
	bool goes_on = true;
	*last = *first;
	while (goes_on && last->at_ns < end_ns && !ferror(stdout)) {
		struct sample now = { 0 };
		goes_on = sleep_until(run, next_look_ns(run, last->at_ns, end_ns));
		look(run, &now);
		count_error(run, errors, last, &now);
		if (run->o->interval_ns != 0)
			report_load_interval(run, last, &now);
		*last = now;
	}
}

static _Noreturn void fail_early(const struct run *run, const struct net_error *e)
{
	record_error(run->o->json, e);
	exit(1); /* the threads that are there wait for a run that does not begin */
}

static void prepare(struct run *run)
{
	struct net_error e = { 0 };
	pthread_mutex_init(&run->lock, NULL);
	pthread_cond_init(&run->moved, NULL);
	run->wake_fd = eventfd(0, EFD_CLOEXEC);
	if (run->wake_fd < 0) {
		net_fail(&e, "eventfd", "");
		fail_early(run, &e);
	}
	if (side_open_all(run, &e) < 0 || burn_start(run, &e) < 0)
		fail_early(run, &e);
	run_begin_thread("dummyload");
}

static void begin(struct run *run)
{
	side_start(run);
	run->first_cpu_ns = burn_process_cpu_ns(run);
	run->start_real_ns = clk_real_ns();
	run->start_ns = clk_mono_ns();
	move_to(run, RUN_GOES);
}

static void end(struct run *run)
{
	atomic_store(&run->is_over, true);
	move_to(run, RUN_IS_OVER);
	burn_join(run);
	side_close_all(run);
	close(run->wake_fd);
	pthread_cond_destroy(&run->moved);
	pthread_mutex_destroy(&run->lock);
}

int run_dummyload(const struct options *o)
{
	struct run run = { .o = o };
	struct sample first = { 0 }, last;
	struct errors errors = { 0 };
	uint64_t end_ns = shape_end_ns(&o->shape);
	if (o->time_ns != 0 && o->time_ns < end_ns)
		end_ns = o->time_ns;
	prepare(&run);
	begin(&run);
	first.waited_ns = burn_waited_ns(&run);
	report_load_start(&run);
	watch(&run, end_ns, &first, &last, &errors);
	end(&run);
	if (run.has_failed) {
		record_error(o->json, &run.error);
		return 1;
	}
	report_load_total(&run, &first, &last, &errors, sig_pending(NULL) != 0);
	return record_finish(sig_exit_status(0));
}
