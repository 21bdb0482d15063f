/* side_threads.c - threads that sleep, and threads that wake each other. */
#include "side.h"

#include "clock.h"
#include "mem.h"
#include "os.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

/* --- sleeping ----------------------------------------------------------------------------------------------------- */

struct sleeper {
	struct run *run;
	unsigned number;
	pthread_t thread;
};

static void *sleep_to_the_end(void *arg)
{
	struct sleeper *s = arg;
	char name[16];
	snprintf(name, sizeof(name), "idle %u", s->number);
	os_thread_name(name);
	run_wait(s->run, RUN_IS_OVER);
	return NULL;
}

static int idle_open(struct side *s, struct net_error *e)
{
	struct sleeper *all = xcalloc(s->amount, sizeof(*all));
	char what[64];
	s->state = all;
	for (unsigned i = 0; i < s->amount; i++) {
		all[i].run = s->run;
		all[i].number = i + 1;
		int err = os_thread_start(&all[i].thread, LOAD_STACK, sleep_to_the_end, &all[i]);
		if (err != 0) {
			snprintf(what, sizeof(what), "thread %u of %llu (--idle-threads)", i + 1,
				 (unsigned long long)s->amount);
			errno = err;
			return net_fail(e, "start", what);
		}
		atomic_store(&s->done, i + 1);
	}
	return 0;
}

static void idle_close(struct side *s)
{
	struct sleeper *all = s->state;
	for (unsigned i = 0; i < s->amount; i++)
		pthread_join(all[i].thread, NULL);
	free(all);
}

const struct side_ops side_idle_ops = {
	.name = "idle_threads",
	.open = idle_open,
	.close = idle_close,
};

/* --- switching ---------------------------------------------------------------------------------------------------- */

/* Two threads, of which one always waits for the other: a round trip is two voluntary context switches, one of each. */
struct couple {
	int there, back; /* eventfds */
	pthread_t partner;
	atomic_bool is_over;
};

static int wake(int fd)
{
	uint64_t one = 1;
	return write(fd, &one, sizeof(one)) == sizeof(one) ? 0 : -1;
}

static int wait_for(int fd)
{
	uint64_t times;
	return read(fd, &times, sizeof(times)) == sizeof(times) ? 0 : -1;
}

static void *answer(void *arg)
{
	struct couple *c = arg;
	os_thread_name("switches, too");
	while (wait_for(c->there) == 0 && !atomic_load(&c->is_over) && wake(c->back) == 0)
		;
	return NULL;
}

static int switches_open(struct side *s, struct net_error *e)
{
	struct couple *c = xcalloc(1, sizeof(*c));
	s->state = c;
	c->there = eventfd(0, EFD_CLOEXEC);
	c->back = eventfd(0, EFD_CLOEXEC);
	if (c->there < 0 || c->back < 0)
		return net_fail(e, "eventfd", "(--switches)");
	errno = os_thread_start(&c->partner, LOAD_STACK, answer, c);
	return errno == 0 ? 0 : net_fail(e, "start thread", "switches, too");
}

static int switches_do(struct side *s, uint64_t n, uint64_t until_ns, struct net_error *e)
{
	struct couple *c = s->state;
	for (; n >= 2 && clk_mono_ns() < until_ns; n -= 2)
		if (wake(c->there) < 0 || wait_for(c->back) < 0)
			return net_fail(e, "wake", "switches, too");
	return 0;
}

/* Of the whole process (ru_nvcsw in getrusage(2)): each sleep at the end of a slice is one, too. */
static uint64_t switches_count(const struct side *s)
{
	struct rusage usage;
	(void)s;
	getrusage(RUSAGE_SELF, &usage);
	return (uint64_t)usage.ru_nvcsw;
}

static void switches_close(struct side *s)
{
	struct couple *c = s->state;
	atomic_store(&c->is_over, true);
	if (wake(c->there) == 0)
		pthread_join(c->partner, NULL);
	close(c->there);
	close(c->back);
	free(c);
}

const struct side_ops side_switches_ops = {
	.name = "switches",
	.is_rate = true,
	.can_follow = true,
	.open = switches_open,
	.act = switches_do,
	.count = switches_count,
	.close = switches_close,
};
