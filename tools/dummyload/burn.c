/* burn.c - the threads that keep processors busy, each so much and no more.
 *
 *	  asked    the integral of the shape from the start to the end of this slice      (shape.c)
 *	- used     the thread's own processor time, and its part of what the process used beside
 *	= debt     bounded (account.h)
 *
 * In each slice a thread works until its debt is paid or the slice is over, and sleeps for the rest. Whether it got the
 * processor meanwhile makes no difference: what it did not get is still owed in the next slice. */
#include "dummyload.h"

#include "clock.h"
#include "mem.h"
#include "os.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum {
	SPINS = 10000
}; /* between two looks at the clocks: some 10 us, far less than a slice and far more than a look */

static uint64_t read_clock(clockid_t clock)
{
	struct timespec t;
	if (clock_gettime(clock, &t) < 0)
		return 0;
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

/* A multiplication has to wait for the one before it, and `volatile` keeps the compiler from leaving them out. */
static void spin(void)
{
	static _Thread_local volatile uint64_t sink;
	uint64_t x = sink + 1;
	for (int i = 0; i < SPINS; i++)
		x = x * UINT64_C(6364136223846793005) + 1442695040888963407;
	sink = x;
}

static void work(double debt_ns, uint64_t until_ns)
{
	if (debt_ns <= 0)
		return;
	uint64_t enough_ns = read_clock(CLOCK_THREAD_CPUTIME_ID) + (uint64_t)debt_ns;
	while (read_clock(CLOCK_THREAD_CPUTIME_ID) < enough_ns && clk_mono_ns() < until_ns)
		spin();
}

/* WHY the threads' clocks first: reading one brings the kernel's books of a running thread up to date; the clock of the
 * process adds the books up as they stand, and they may be a timer tick old. */
static uint64_t burners_cpu_ns(const struct run *run)
{
	uint64_t sum_ns = 0;
	for (unsigned i = 0; i < run->o->threads; i++)
		sum_ns += read_clock(run->burners[i].clock);
	return sum_ns;
}

uint64_t burn_process_cpu_ns(const struct run *run)
{
	burners_cpu_ns(run);
	return read_clock(CLOCK_PROCESS_CPUTIME_ID);
}

/* What the process uses beside the burners is theirs to make up for, so that the whole of it is as busy as was asked.
 * The first one looks, all of them share. */
static double used_ns(struct burner *b)
{
	struct run *run = b->run;
	if (b->index == 0) {
		int64_t burners_ns = (int64_t)burners_cpu_ns(run);
		int64_t process_ns = (int64_t)(read_clock(CLOCK_PROCESS_CPUTIME_ID) - run->first_cpu_ns);
		atomic_store(&run->beside_ns, process_ns - burners_ns);
	}
	double part_ns = (double)atomic_load(&run->beside_ns) / (double)run->o->threads;
	return (double)read_clock(CLOCK_THREAD_CPUTIME_ID) + part_ns;
}

static void *burn(void *arg)
{
	struct burner *b = arg;
	struct run *run = b->run;
	char name[16];
	snprintf(name, sizeof(name), "load %u", b->index + 1);
	run_begin_thread(name);
	b->tid = (pid_t)syscall(SYS_gettid);
	run_say_ready(run);
	run_wait(run, RUN_GOES);
	while (!atomic_load(&run->is_over)) {
		uint64_t end_ns = run_slice_end(run, clk_mono_ns());
		double asked_ns = shape_cpu_ns(&run->o->shape, end_ns - run->start_ns);
		work(account_debt(&b->account, asked_ns, used_ns(b)), end_ns);
		clk_sleep_until_ns(end_ns);
	}
	return NULL;
}

int burn_start(struct run *run, struct net_error *e)
{
	char what[64];
	unsigned n = (unsigned)run->o->threads;
	run->burners = xcalloc(n, sizeof(*run->burners));
	for (unsigned i = 0; i < n; i++) {
		struct burner *b = &run->burners[i];
		*b = (struct burner){ .run = run, .index = i, .account.most = (double)run_catch_up_ns(run) };
		errno = os_thread_start(&b->thread, LOAD_STACK, burn, b);
		if (errno == 0)
			errno = pthread_getcpuclockid(b->thread, &b->clock);
		if (errno != 0) {
			snprintf(what, sizeof(what), "thread %u of %u", i + 1, n);
			return net_fail(e, "start", what);
		}
	}
	run_wait_ready(run, n);
	return 0;
}

void burn_join(struct run *run)
{
	for (unsigned i = 0; i < run->o->threads; i++)
		pthread_join(run->burners[i].thread, NULL);
	free(run->burners);
	run->burners = NULL;
}

uint64_t burn_waited_ns(const struct run *run)
{
	uint64_t sum_ns = 0;
	for (unsigned i = 0; i < run->o->threads; i++) {
		char path[64], line[96];
		unsigned long long ran_ns, waited_ns;
		snprintf(path, sizeof(path), "/proc/self/task/%d/schedstat", (int)run->burners[i].tid);
		if (os_read_line(path, line, sizeof(line)) == 0 && sscanf(line, "%llu %llu", &ran_ns, &waited_ns) == 2)
			sum_ns += waited_ns;
	}
	return sum_ns;
}
