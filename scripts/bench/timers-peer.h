/* timers-peer.h - the passes of cost_round() in tools/timers.c for a library that brings its own timers and its own clock: the same
 * timeouts in the same random order, timed in the same laps. A peer defines the six functions declared here.
 *
 *     timers-NAME N...        a line for each N: NAME N, then the ns to start, re-arm, stop, fire (medians)
 *
 * The library's clock is ours: clock_gettime(2) is defined here and comes before libc's. So a minute of timeouts passes at once,
 * and reading the clock, which libevent does in each call, costs it next to nothing. Built with libtcplab.a for the random
 * numbers and the histogram; no check that a real tool needs. */
#include "hist.h"
#include "mem.h"
#include "prng.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static void peer_open(void);                  /* a loop; it lives to the end of the process */
static void peer_init(void *timer);           /* once, before the first start */
static void peer_start(void *timer, int ms);  /* arms it, or moves it, to so long after `now` */
static void peer_stop(void *timer);
static void peer_run(void);                   /* `now` has changed: fires what is due; each calls peer_count() */

/* --- the clock ---------------------------------------------------------------------------------------------------- */

static struct timespec now = { .tv_sec = 1000 };

int clock_gettime(clockid_t id, struct timespec *t)
{
	(void)id;
	*t = now;
	return 0;
}

static uint64_t real_ns(void)
{
	static int (*real)(clockid_t, struct timespec *);
	struct timespec t;
	if (real == NULL)
		*(void **)&real = dlsym(RTLD_NEXT, "clock_gettime");
	real(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* --- the passes --------------------------------------------------------------------------------------------------- */

enum { LAP = 1000, ROUND_CALLS = 1000000, MIN_ROUNDS = 1 };

static struct hist starts, rearms, stops, fires, not_reported;
static size_t n, fired;
static char *timers;
static unsigned *order;
static int *timeouts_ms;
static uint64_t drawn, clock_cost_ns;

static void peer_count(void)
{
	fired++;
}

static uint64_t draw_below(uint64_t limit)
{
	return prng_word(1, drawn++) % limit;
}

static void end_lap(struct hist *into, uint64_t began_ns, size_t calls)
{
	uint64_t elapsed_ns = real_ns() - began_ns;
	elapsed_ns = elapsed_ns > clock_cost_ns ? elapsed_ns - clock_cost_ns : 0;
	hist_add(into, elapsed_ns * 1000 / calls);
}

static void shuffle(void)
{
	for (size_t i = n - 1; i > 0; i--) {
		size_t k = draw_below(i + 1);
		unsigned other = order[k];
		order[k] = order[i];
		order[i] = other;
	}
}

static size_t lap_end(size_t begin)
{
	return n - begin > LAP ? begin + LAP : n;
}

static void start_all(struct hist *into)
{
	shuffle();
	for (size_t i = 0; i < n; i++)
		timeouts_ms[i] = 30000 + (int)(draw_below(30000000000) / 1000000);
	for (size_t begin = 0, end; begin < n; begin = end) {
		end = lap_end(begin);
		uint64_t began_ns = real_ns();
		for (size_t i = begin; i < end; i++)
			peer_start(timers + order[i] * peer_size, timeouts_ms[i]);
		end_lap(into, began_ns, end - begin);
	}
}

static void stop_all(struct hist *into)
{
	shuffle();
	for (size_t begin = 0, end; begin < n; begin = end) {
		end = lap_end(begin);
		uint64_t began_ns = real_ns();
		for (size_t i = begin; i < end; i++)
			peer_stop(timers + order[i] * peer_size);
		end_lap(into, began_ns, end - begin);
	}
}

static void fire_all(struct hist *into)
{
	fired = 0;
	now.tv_sec += 61;
	uint64_t began_ns = real_ns();
	peer_run();
	end_lap(into, began_ns, n);
	if (fired != n)
		exit(1);
}

static void cost_round(void)
{
	start_all(&starts);
	now.tv_sec += 5;
	peer_run();
	start_all(&rearms);
	stop_all(&stops);
	start_all(&not_reported);
	fire_all(&fires);
}

static void measure_clock(void)
{
	struct hist h = { 0 };
	for (int i = 0; i < 1000; i++) {
		uint64_t before_ns = real_ns();
		hist_add(&h, real_ns() - before_ns);
	}
	clock_cost_ns = hist_quantile(&h, 0.5);
}

static double median_ns(const struct hist *h)
{
	return (double)hist_quantile(h, 0.5) / 1000;
}

static void measure(void)
{
	starts = rearms = stops = fires = (struct hist){ 0 };
	timers = xcalloc(n, peer_size);
	order = xcalloc(n, sizeof(*order));
	timeouts_ms = xcalloc(n, sizeof(*timeouts_ms));
	for (size_t i = 0; i < n; i++) {
		order[i] = (unsigned)i;
		peer_init(timers + i * peer_size);
	}
	size_t rounds = ROUND_CALLS / n > MIN_ROUNDS ? ROUND_CALLS / n : MIN_ROUNDS;
	for (size_t i = 0; i < rounds; i++)
		cost_round();
	printf("%s %zu %.1f %.1f %.1f %.1f\n", peer_name, n, median_ns(&starts), median_ns(&rearms), median_ns(&stops),
	       median_ns(&fires));
	free(order);
	free(timeouts_ms);
	/* Not the timers: libuv keeps its handles in a list until they are closed, in a later round of the loop. */
}

int main(int argc, char **argv)
{
	measure_clock();
	peer_open();
	for (int i = 1; i < argc; i++) {
		n = (size_t)atol(argv[i]);
		measure();
	}
	return 0;
}
