/* clocks.c - roundtrip --clock: what are this host's clocks worth, before anything is measured with them?
 *
 *	the clocks      how finely each one counts, and what a reading costs: a latency below that is not measured
 *	a sleep         how late it ends: a program that sends at fixed times is late by that
 *	the discipline  does somebody keep the clock right (NTP, PTP), and how far off does the kernel think it can be
 *
 * Nothing is changed: adjtimex(2) only reads, and the timer slack is set in a thread that ends. Takes half a second. */
#include "roundtrip.h"

#include "clock.h"
#include "hist.h"
#include "mem.h"
#include "os.h"
#include "record.h"
#include "units.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

static const struct kind {
	const char *name;
	clockid_t id;
	const char *meaning;
} kinds[] = {
	{ "REALTIME", CLOCK_REALTIME, "since 1970, UTC; somebody may set it" },
	{ "REALTIME_COARSE", CLOCK_REALTIME_COARSE, "the same, as of the last timer tick" },
	{ "TAI", CLOCK_TAI, "the same without leap seconds" },
	{ "MONOTONIC", CLOCK_MONOTONIC, "never set; its speed is steered by NTP" },
	{ "MONOTONIC_COARSE", CLOCK_MONOTONIC_COARSE, "the same, as of the last timer tick" },
	{ "MONOTONIC_RAW", CLOCK_MONOTONIC_RAW, "never set, not steered either" },
	{ "BOOTTIME", CLOCK_BOOTTIME, "MONOTONIC and the time of suspend" },
	{ "PROCESS_CPUTIME_ID", CLOCK_PROCESS_CPUTIME_ID, "processor time of this process" },
	{ "THREAD_CPUTIME_ID", CLOCK_THREAD_CPUTIME_ID, "processor time of this thread" },
};

struct reading {
	bool exists;
	uint64_t resolution_ns; /* clock_getres(2) */
	uint64_t step_ns;       /* the smallest one that was seen; 0: it did not move */
	double cost_ns;
};

enum way { SLEEP_AS_IS, SLEEP_EXACT, SLEEP_TIMERFD, WAYS };

struct clocks {
	uint64_t start_ns;
	char source[64];
	double syscall_ns; /* the cheapest system call there is */
	struct reading readings[COUNT_OF(kinds)];

	unsigned long slack_ns;
	struct hist late[WAYS];
	struct net_error sleep_error; /* op NULL: none */

	int state; /* what adjtimex(2) returned */
	struct timex ntp;
};

static uint64_t ns_of(const struct timespec *t)
{
	return (uint64_t)t->tv_sec * NS_PER_S + (uint64_t)t->tv_nsec;
}

/* --- clocks ------------------------------------------------------------------------------------------------------- */

typedef void costly_fn(clockid_t id);

static void read_clock(clockid_t id)
{
	struct timespec t;
	clock_gettime(id, &t);
}

static void call_kernel(clockid_t id)
{
	(void)id;
	syscall(SYS_getppid);
}

/* The median of several batches: what interrupts one of them does not count. */
static double cost_of(costly_fn *fn, clockid_t id)
{
	enum { BATCHES = 21, CALLS = 250 };
	struct hist batches = { 0 };
	for (int batch = 0; batch < BATCHES; batch++) {
		uint64_t start_ns = clk_mono_ns();
		for (int i = 0; i < CALLS; i++)
			fn(id);
		hist_add(&batches, clk_mono_ns() - start_ns);
	}
	return (double)hist_quantile(&batches, 0.5) / CALLS;
}

/* The smallest difference between two readings that differ. A fine clock is read again before it has moved twice:
 * there it is what a reading takes. A coarse one moves at each tick of the kernel's timer (1 to 10 ms), so it is
 * watched for a few of them. */
static uint64_t smallest_step_ns(clockid_t id)
{
	enum { STEPS = 1000, READINGS = 100, WATCH_NS = 40 * NS_PER_MS };
	struct timespec t;
	uint64_t least_ns = UINT64_MAX, end_ns = clk_mono_ns() + WATCH_NS;
	clock_gettime(id, &t);
	uint64_t last_ns = ns_of(&t);
	for (int steps = 0; steps < STEPS && clk_mono_ns() < end_ns;) {
		for (int i = 0; i < READINGS; i++) {
			clock_gettime(id, &t);
			uint64_t now_ns = ns_of(&t);
			if (now_ns > last_ns && now_ns - last_ns < least_ns) /* not where somebody has set it back */
				least_ns = now_ns - last_ns;
			steps += now_ns != last_ns;
			last_ns = now_ns;
		}
	}
	return least_ns != UINT64_MAX ? least_ns : 0;
}

static struct reading measure_clock(clockid_t id)
{
	struct timespec resolution;
	if (clock_getres(id, &resolution) < 0)
		return (struct reading){ .exists = false };
	return (struct reading){
		.exists = true,
		.resolution_ns = ns_of(&resolution),
		.step_ns = smallest_step_ns(id),
		.cost_ns = cost_of(read_clock, id),
	};
}

/* A reading that costs less than the cheapest system call cannot be one: the kernel lends the program a page with the
 * clock and the code that reads it (vdso(7)). One that costs as much may be one, or a slow clock: nothing is said
 * then. */
static bool is_user_space(const struct clocks *c, const struct reading *r)
{
	return r->cost_ns < c->syscall_ns * 0.8;
}

static void measure_clocks(struct clocks *c)
{
	static const char path[] = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
	if (os_read_line(path, c->source, sizeof(c->source)) < 0)
		c->source[0] = '\0';
	c->syscall_ns = cost_of(call_kernel, 0);
	for (size_t i = 0; i < COUNT_OF(kinds); i++)
		c->readings[i] = measure_clock(kinds[i].id);
}

/* --- sleeps ------------------------------------------------------------------------------------------------------- */

enum { SLEEP_NS = NS_PER_MS, SLEEPS = 100 };

static void sleep_by_kernel(int fd, uint64_t until_ns)
{
	(void)fd;
	clk_sleep_until_ns(until_ns);
}

static void sleep_by_timerfd(int fd, uint64_t until_ns)
{
	uint64_t expirations;
	struct itimerspec at = { .it_value = { (time_t)(until_ns / NS_PER_S), (long)(until_ns % NS_PER_S) } };
	if (timerfd_settime(fd, TFD_TIMER_ABSTIME, &at, NULL) == 0)
		while (read(fd, &expirations, sizeof(expirations)) < 0 && errno == EINTR)
			;
}

static void measure_sleeps(struct hist *late, void (*sleep_until)(int fd, uint64_t until_ns), int fd)
{
	for (int i = 0; i < SLEEPS; i++) {
		uint64_t until_ns = clk_mono_ns() + SLEEP_NS;
		sleep_until(fd, until_ns);
		uint64_t now_ns = clk_mono_ns();
		hist_add(late, now_ns > until_ns ? now_ns - until_ns : 0);
	}
}

/* A thread of its own: the slack is a property of the thread, and ends with it (prctl(2) PR_SET_TIMERSLACK). */
static void *run_sleeps(void *arg)
{
	struct clocks *c = arg;
	int slack_ns = prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0), fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	if (fd < 0) {
		net_fail(&c->sleep_error, "timerfd_create", "CLOCK_MONOTONIC");
		return NULL;
	}
	c->slack_ns = slack_ns > 0 ? (unsigned long)slack_ns : 0;
	measure_sleeps(&c->late[SLEEP_AS_IS], sleep_by_kernel, -1);
	measure_sleeps(&c->late[SLEEP_TIMERFD], sleep_by_timerfd, fd);
	if (prctl(PR_SET_TIMERSLACK, 1UL, 0, 0, 0) == 0)
		measure_sleeps(&c->late[SLEEP_EXACT], sleep_by_kernel, -1);
	else
		net_fail(&c->sleep_error, "prctl", "PR_SET_TIMERSLACK");
	close(fd);
	return NULL;
}

/* 0, or -1 with *e. */
static int measure_late(struct clocks *c, struct net_error *e)
{
	enum { STACK_LEN = 256 * 1024 };
	pthread_t thread;
	errno = os_thread_start(&thread, STACK_LEN, run_sleeps, c);
	if (errno != 0)
		return net_fail(e, "pthread_create", "sleeps");
	pthread_join(thread, NULL);
	*e = c->sleep_error;
	return e->op == NULL ? 0 : -1;
}

/* --- the kernel's clock discipline -------------------------------------------------------------------------------- */

static bool is_synchronised(int state, const struct timex *t)
{
	return state >= 0 && state != TIME_ERROR && (t->status & STA_UNSYNC) == 0;
}

/* What the NTP or PTP program told the kernel last. The kernel adds 500 us to the error each second from then on, and
 * at 16 s it says that the clock is not synchronised (kernel/time/ntp.c, second_overflow). */
struct synchronised clocks_synchronised(void)
{
	struct timex t = { .modes = 0 }; /* only reads, which needs no right */
	int state = adjtimex(&t);
	bool ok = is_synchronised(state, &t);
	return (struct synchronised){
		.is_known = state >= 0,
		.is_synchronised = ok,
		.error_ns = ok ? (uint64_t)t.maxerror * NS_PER_US : 0,
	};
}

/* What is still to be slewed away. */
static int64_t offset_ns(const struct timex *t)
{
	return (int64_t)t->offset * ((t->status & STA_NANO) != 0 ? 1 : NS_PER_US);
}

static double frequency_ppm(const struct timex *t)
{
	return (double)t->freq / 65536; /* adjtimex(2) */
}

static const char *leap_word(int status)
{
	return (status & STA_INS) != 0 ? "insert" : (status & STA_DEL) != 0 ? "delete" : "none";
}

static const struct status {
	int bit;
	const char *word, *meaning;
} statuses[] = {
	{ STA_PLL, "PLL", "steered by a phase-locked loop" },
	{ STA_FLL, "FLL", "steered by a frequency-locked loop" },
	{ STA_FREQHOLD, "FREQHOLD", "the frequency is held" },
	{ STA_PPSFREQ, "PPSFREQ", "the frequency comes from a pulse each second" },
	{ STA_PPSTIME, "PPSTIME", "the phase comes from a pulse each second" },
	{ STA_PPSSIGNAL, "PPSSIGNAL", "there is a pulse each second" },
	{ STA_PPSJITTER, "PPSJITTER", "the pulse jitters too much" },
	{ STA_PPSWANDER, "PPSWANDER", "the pulse wanders too much" },
	{ STA_PPSERROR, "PPSERROR", "the pulse could not be calibrated" },
	{ STA_CLOCKERR, "CLOCKERR", "the hardware clock has failed" },
	{ STA_INS, "INS", "a leap second is inserted at the end of the day" },
	{ STA_DEL, "DEL", "a leap second is left out at the end of the day" },
	{ STA_UNSYNC, "UNSYNC", "nobody keeps it right" },
};

/* --- text --------------------------------------------------------------------------------------------------------- */

static const char *duration(char out[static UNITS_TEXT], uint64_t ns)
{
	if (ns == 0)
		snprintf(out, UNITS_TEXT, "-");
	else
		units_duration(out, ns);
	return out;
}

static void print_clocks(const struct clocks *c)
{
	char a[UNITS_TEXT], b[UNITS_TEXT], d[UNITS_TEXT];
	printf("clock source   %-8s where the time comes from\n", c->source[0] != '\0' ? c->source : "unknown");
	printf("system call    %-8s the cheapest one (getppid)\n", units_duration(a, (uint64_t)(c->syscall_ns + 0.5)));
	printf("\n%-20s%10s %10s %10s\n", "clock", "resolution", "step", "reading");
	for (size_t i = 0; i < COUNT_OF(kinds); i++) {
		const struct reading *r = &c->readings[i];
		if (!r->exists) {
			printf("%-20s%10s %10s %10s   this kernel does not have it\n", kinds[i].name, "-", "-", "-");
			continue;
		}
		printf("%-20s%10s %10s %10s %c %s\n", kinds[i].name, duration(a, r->resolution_ns),
		       duration(b, r->step_ns), units_duration(d, (uint64_t)(r->cost_ns + 0.5)),
		       is_user_space(c, r) ? '*' : ' ', kinds[i].meaning);
	}
	printf("  resolution: what the kernel promises; reading: what it costs\n"
	       "  step: the smallest that was seen between two readings; of a fine clock it is what a reading takes\n"
	       "  * costs less than a system call: read in user space, from a page of the kernel (vdso(7))\n");
}

static const struct how {
	const char *word, *text, *meaning;
} hows[WAYS] = {
	[SLEEP_AS_IS] = { "as_is", "as we are", "the slack lets the kernel wake several sleepers at once" },
	[SLEEP_EXACT] = { "slack_1ns", "slack 1 ns", "prctl(2), PR_SET_TIMERSLACK" },
	[SLEEP_TIMERFD] = { "timerfd", "timerfd", "timerfd_create(2); has no slack" },
};

static void print_sleeps(const struct clocks *c)
{
	char a[UNITS_TEXT], b[UNITS_TEXT], d[UNITS_TEXT];
	printf("\n%-20s%10s %10s %10s   timer slack as we are: %s\n", "1 ms of sleep ends", "p50 late", "p99", "max",
	       duration(a, c->slack_ns));
	for (int i = 0; i < WAYS; i++) {
		const struct hist *h = &c->late[i];
		printf("%-20s%10s %10s %10s   %s\n", hows[i].text, units_duration(a, hist_quantile(h, 0.5)),
		       units_duration(b, hist_quantile(h, 0.99)), units_duration(d, h->max), hows[i].meaning);
	}
}

static void print_row(const char *name, const char *value, const char *meaning)
{
	printf("%-14s %-17s  %s\n", name, value, meaning);
}

static void print_ntp(const struct timex *t, int state)
{
	char text[UNITS_TEXT], value[UNITS_TEXT + 1];
	bool ok = is_synchronised(state, t);
	int64_t offset = offset_ns(t);
	printf("\nthe kernel's clock discipline\n");
	print_row("synchronised", ok ? "yes" : "no",
		  ok ? "a program keeps the clock right (NTP, PTP)" : "nobody vouches for this clock");
	snprintf(value, sizeof(value), "%s%s", offset < 0 ? "-" : "",
		 units_duration(text, offset < 0 ? -(uint64_t)offset : (uint64_t)offset));
	print_row("offset", value, "still to be slewed away");
	snprintf(value, sizeof(value), "%+.3f ppm", frequency_ppm(t));
	print_row("frequency", value, "correction of the clock's speed");
	print_row("maximum error", units_duration(text, (uint64_t)t->maxerror * NS_PER_US),
		  ok ? "grows by 500 us each second until the next correction" : "as good as unknown");
	print_row("estimated", units_duration(text, (uint64_t)t->esterror * NS_PER_US),
		  ok ? "error, as that program believes" : "the same");
	snprintf(value, sizeof(value), "%d s", t->tai);
	print_row("TAI - UTC", value,
		  t->tai != 0 ? "leap seconds so far" : "nobody has told the kernel of leap seconds");
	print_row("tick", units_duration(text, (uint64_t)t->tick * NS_PER_US),
		  "10 ms, unless adjtimex(8) has changed it");
	for (size_t i = 0; i < COUNT_OF(statuses); i++) {
		if ((t->status & statuses[i].bit) != 0)
			print_row("status", statuses[i].word, statuses[i].meaning);
	}
}

/* --- JSON --------------------------------------------------------------------------------------------------------- */

static void json_start(const struct clocks *c)
{
	char kernel[64];
	struct json j;
	record_begin(&j, "start");
	json_str(&j, "role", "clock");
	json_str(&j, "kernel", os_kernel(kernel));
	json_str(&j, "clock_source", c->source[0] != '\0' ? c->source : NULL);
	json_f64(&j, "syscall_ns", c->syscall_ns);
	json_u64(&j, "timer_slack_ns", c->slack_ns);
	json_end(&j);
}

static void json_clock(const struct clocks *c, const char *name, const struct reading *r)
{
	struct json j;
	record_begin(&j, "clock");
	json_str(&j, "name", name);
	json_u64(&j, "resolution_ns", r->resolution_ns);
	if (r->step_ns > 0)
		json_u64(&j, "step_ns", r->step_ns);
	else
		json_null(&j, "step_ns");
	json_f64(&j, "cost_ns", r->cost_ns);
	if (is_user_space(c, r))
		json_bool(&j, "user_space", true);
	else
		json_null(&j, "user_space"); /* cannot be told */
	json_end(&j);
}

static void json_sleep(const char *how, const struct hist *late)
{
	struct json j;
	record_begin(&j, "sleep");
	json_str(&j, "how", how);
	json_u64(&j, "sleep_ns", SLEEP_NS);
	json_u64(&j, "n", late->n);
	json_u64(&j, "p50_ns", hist_quantile(late, 0.5));
	json_u64(&j, "p99_ns", hist_quantile(late, 0.99));
	json_u64(&j, "max_ns", late->max);
	json_end(&j);
}

static void json_ntp(const struct timex *t, int state)
{
	struct json j;
	record_begin(&j, "ntp");
	json_bool(&j, "synchronised", is_synchronised(state, t));
	json_i64(&j, "offset_ns", offset_ns(t));
	json_f64(&j, "frequency_ppm", frequency_ppm(t));
	json_u64(&j, "max_error_ns", (uint64_t)t->maxerror * NS_PER_US);
	json_u64(&j, "est_error_ns", (uint64_t)t->esterror * NS_PER_US);
	json_i64(&j, "tai_offset_s", t->tai);
	json_u64(&j, "tick_ns", (uint64_t)t->tick * NS_PER_US);
	json_str(&j, "leap", leap_word(t->status));
	json_array(&j, "status");
	for (size_t i = 0; i < COUNT_OF(statuses); i++) {
		if ((t->status & statuses[i].bit) != 0)
			json_str(&j, NULL, statuses[i].word);
	}
	json_close(&j);
	json_end(&j);
}

static void json_total(const struct clocks *c)
{
	uint64_t n = 0;
	for (size_t i = 0; i < COUNT_OF(kinds); i++)
		n += c->readings[i].exists;
	struct json j;
	record_begin(&j, "total");
	json_str(&j, "role", "clock");
	json_u64(&j, "clocks", n);
	json_bool(&j, "synchronised", is_synchronised(c->state, &c->ntp));
	json_u64(&j, "elapsed_ns", clk_mono_ns() - c->start_ns);
	json_end(&j);
}

static void print_json(const struct clocks *c)
{
	json_start(c);
	for (size_t i = 0; i < COUNT_OF(kinds); i++) {
		if (c->readings[i].exists)
			json_clock(c, kinds[i].name, &c->readings[i]);
	}
	for (int i = 0; i < WAYS; i++)
		json_sleep(hows[i].word, &c->late[i]);
	if (c->state >= 0) {
		json_ntp(&c->ntp, c->state);
		json_total(c);
	}
}

/* --- all of it ---------------------------------------------------------------------------------------------------- */

static void print_text(const struct clocks *c)
{
	print_clocks(c);
	print_sleeps(c);
	if (c->state >= 0)
		print_ntp(&c->ntp, c->state);
}

/* Where a sandbox forbids adjtimex(2), all else is told, and then the error. 0, or -1 with *e. */
static int tell_all(struct clocks *c, bool json, struct net_error *e)
{
	c->start_ns = clk_mono_ns();
	measure_clocks(c);
	if (measure_late(c, e) < 0)
		return -1;
	c->state = adjtimex(&c->ntp);
	if (c->state < 0)
		net_fail(e, "adjtimex", "read");
	if (json)
		print_json(c);
	else
		print_text(c);
	return c->state < 0 ? -1 : 0;
}

int roundtrip_clocks(const struct roundtrip_options *o)
{
	struct clocks *c = xcalloc(1, sizeof(*c));
	struct net_error e;
	int status = 0;
	if (tell_all(c, o->json, &e) < 0) {
		record_error(o->json, &e);
		status = 1;
	}
	free(c);
	return record_finish(status);
}
