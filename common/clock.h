/* clock.h - the two clocks and one absolute sleep. Layer 0.
 *
 * Durations and deadlines are CLOCK_MONOTONIC nanoseconds in uint64_t; stamps that are compared across hosts are
 * CLOCK_REALTIME nanoseconds in int64_t. Neither is ever mixed with the other (clock_gettime(2)). */
#ifndef TCPLAB_CLOCK_H
#define TCPLAB_CLOCK_H

#include <stdint.h>

enum { NS_PER_US = 1000, NS_PER_MS = 1000 * 1000, NS_PER_S = 1000 * 1000 * 1000 };

/* A deadline that never comes. */
#define CLK_NEVER UINT64_MAX

uint64_t clk_mono_ns(void);        /* only differences mean something; never send it to another host */
uint64_t clk_mono_coarse_ns(void); /* the same as of the last timer tick, up to 10 ms ago, for a third of the cost */
int64_t clk_real_ns(void);         /* since 1970; may jump when somebody sets the clock */

/* Sleeps until the monotonic clock reads deadline_ns: a loop that adds its period to the deadline keeps the period.
 * Blocks; goes on sleeping after a signal handler ran. */
void clk_sleep_until_ns(uint64_t deadline_ns);

#endif
