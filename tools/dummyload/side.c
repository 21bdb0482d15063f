#include "side.h"

#include "clock.h"
#include "os.h"

#include <errno.h>

static const struct side_ops *const all_ops[SIDE_KINDS] = {
	[SIDE_MEMORY] = &side_memory_ops,   [SIDE_FILES] = &side_files_ops,     [SIDE_IDLE] = &side_idle_ops,
	[SIDE_SOCKETS] = &side_sockets_ops, [SIDE_TRAFFIC] = &side_traffic_ops, [SIDE_SWITCHES] = &side_switches_ops,
	[SIDE_FAULTS] = &side_faults_ops,   [SIDE_IO] = &side_io_ops,
};

const struct side_ops *side_ops_of(enum side_kind kind)
{
	return all_ops[kind];
}

bool side_is_following(const struct side *s)
{
	return s->run->o->follow && s->ops->can_follow && s->run->o->shape.peak > 0;
}

/* What the shape's height is now, as a part of its peak; and the sum of that over time, ns. */
static double level(const struct side *s, uint64_t t_ns)
{
	const struct shape *shape = &s->run->o->shape;
	return side_is_following(s) ? shape_percent(shape, t_ns) / shape->peak : 1;
}

static double level_sum_ns(const struct side *s, uint64_t t_ns)
{
	const struct shape *shape = &s->run->o->shape;
	return side_is_following(s) ? shape_cpu_ns(shape, t_ns) / shape->peak * 100 : (double)t_ns;
}

double side_asked(const struct side *s, uint64_t t_ns)
{
	double so_much = s->ops->is_rate ? level_sum_ns(s, t_ns) / NS_PER_S : level(s, t_ns);
	return so_much * (double)s->amount;
}

static uint64_t count_now(const struct side *s)
{
	return s->ops->count != NULL ? s->ops->count(s) : atomic_load(&s->done);
}

double side_count(const struct side *s)
{
	uint64_t now = count_now(s);
	return now > s->first_count ? (double)(now - s->first_count) : 0;
}

void side_start(struct run *run)
{
	for (int i = 0; i < SIDE_KINDS; i++) {
		struct side *s = &run->side[i];
		if (side_is_on(s) && s->ops->is_rate)
			s->first_count = count_now(s);
	}
}

static int act(struct side *s, uint64_t end_ns, struct net_error *e)
{
	double asked = side_asked(s, end_ns - s->run->start_ns);
	if (s->ops->is_rate)
		asked = account_debt(&s->account, asked, side_count(s));
	else
		asked += 0.5; /* to the nearest: the peak is reached */
	if (s->ops->is_rate && asked < 1)
		return 0;
	return s->ops->act(s, (uint64_t)asked, end_ns, e);
}

static void *go(void *arg)
{
	struct side *s = arg;
	struct net_error e = { 0 };
	run_begin_thread(s->ops->name);
	run_wait(s->run, RUN_GOES);
	while (!atomic_load(&s->run->is_over)) {
		uint64_t end_ns = run_slice_end(s->run, clk_mono_ns());
		if (act(s, end_ns, &e) < 0) {
			run_fail(s->run, &e);
			return NULL;
		}
		clk_sleep_until_ns(end_ns);
	}
	return NULL;
}

static int open_one(struct side *s, struct net_error *e)
{
	if (s->ops->open(s, e) < 0)
		return -1;
	if (!s->ops->is_rate && !side_is_following(s))
		return 0;
	s->account.most = (double)s->amount * (double)run_catch_up_ns(s->run) / NS_PER_S;
	if (s->account.most < 1)
		s->account.most = 1; /* or a rate of 1 each second would never be due */
	errno = os_thread_start(&s->thread, LOAD_STACK, go, s);
	if (errno != 0)
		return net_fail(e, "start thread", s->ops->name);
	s->has_thread = true;
	return 0;
}

int side_open_all(struct run *run, struct net_error *e)
{
	if (run->o->amount[SIDE_FILES] != 0 || run->o->amount[SIDE_SOCKETS] != 0)
		os_raise_fd_limit();
	for (int i = 0; i < SIDE_KINDS; i++) {
		struct side *s = &run->side[i];
		s->ops = all_ops[i];
		s->run = run;
		s->amount = run->o->amount[i];
		if (side_is_on(s) && open_one(s, e) < 0)
			return -1;
	}
	return 0;
}

void side_close_all(struct run *run)
{
	for (int i = 0; i < SIDE_KINDS; i++) {
		struct side *s = &run->side[i];
		if (s->has_thread)
			pthread_join(s->thread, NULL);
	}
	for (int i = SIDE_KINDS - 1; i >= 0; i--) {
		struct side *s = &run->side[i];
		if (side_is_on(s) && s->ops->close != NULL)
			s->ops->close(s);
	}
}
