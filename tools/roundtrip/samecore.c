/* samecore.c - --same-core: what it costs that the other program sleeps on another processor.
 *
 * A server of our own, on loopback, asked in a closed loop: first each on a processor of its own, then both on one.
 * Then nobody has to be woken elsewhere: the answer is ready as soon as we sleep. */
#include "client.h"
#include "server.h"

#include "clock.h"
#include "json.h"
#include "record.h"
#include "sig.h"
#include "units.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static const uint64_t EACH_NS = NS_PER_S;

/* The n-th processor on which we may run, or -1. */
static int processor(int n)
{
	cpu_set_t set;
	if (sched_getaffinity(0, sizeof(set), &set) < 0)
		return -1;
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &set) && n-- == 0)
			return cpu;
	return -1;
}

static int pin_to(int cpu)
{
	cpu_set_t set;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	return sched_setaffinity(0, sizeof(set), &set);
}

/* The server as a process, which does not outlive us. */
static pid_t start_server(struct server *s, int cpu)
{
	pid_t parent = getpid(), pid = fork();
	if (pid != 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent || pin_to(cpu) < 0)
		_exit(1);
	_exit(roundtrip_server_run(s, false));
}

/* Asks the server for a while, from this processor. False after having said why not. */
static bool measure_from(const struct roundtrip_options *o, int cpu, struct hist *rtt)
{
	struct net_error e;
	struct client *c = NULL;
	int error = pin_to(cpu) < 0 ? errno : 0;
	if (error == 0) {
		c = roundtrip_client_open(o);
		if (c == NULL)
			return false;
		error = roundtrip_client_run(c);
	}
	if (error == 0)
		*rtt = c->m.rtt;
	roundtrip_client_close(c);
	if (error == 0 && rtt->n > 0)
		return true;
	errno = error != 0 ? error : ETIMEDOUT;
	net_fail(&e, "ask", "our own server");
	record_error(o->json, &e);
	return false;
}

static void json_placement(const char *name, int server_cpu, int client_cpu, const struct hist *h)
{
	struct json j;
	record_begin(&j, "placement");
	json_str(&j, "placement", name);
	json_i64(&j, "server_cpu", server_cpu);
	json_i64(&j, "client_cpu", client_cpu);
	json_u64(&j, "received", h->n);
	json_u64(&j, "rtt_min_ns", h->min);
	json_u64(&j, "rtt_p50_ns", hist_quantile(h, 0.5));
	json_u64(&j, "rtt_p99_ns", hist_quantile(h, 0.99));
	json_end(&j);
}

static void text_placement(const char *name, const struct hist *h)
{
	char least[UNITS_TEXT], median[UNITS_TEXT], late[UNITS_TEXT];
	printf("%-46s min %9s   p50 %9s   p99 %9s   %llu round trips\n", name, units_duration(least, h->min),
	       units_duration(median, hist_quantile(h, 0.5)), units_duration(late, hist_quantile(h, 0.99)),
	       (unsigned long long)h->n);
}

static void report(const struct roundtrip_options *o, int here, int there, const struct hist *apart,
		   const struct hist *together)
{
	int64_t apart_ns = (int64_t)hist_quantile(apart, 0.5), together_ns = (int64_t)hist_quantile(together, 0.5);
	if (o->json) {
		struct json j;
		json_placement("other_core", here, there, apart);
		json_placement("same_core", here, here, together);
		record_begin(&j, "total");
		json_u64(&j, "received", apart->n + together->n);
		json_i64(&j, "other_core_p50_ns", apart_ns);
		json_i64(&j, "same_core_p50_ns", together_ns);
		json_i64(&j, "wake_ns", (apart_ns - together_ns) / 2);
		json_end(&j);
		return;
	}
	char text[UNITS_TEXT];
	text_placement("the server on another processor", apart);
	text_placement("both on the same processor", together);
	if (apart_ns > together_ns)
		printf("To wake a program on another processor, which sleeps because it has nothing to do, takes about %s\n"
		       "(half of the difference of the medians: it happens once on each way). A program that spins does not sleep: "
		       "--busy-poll.\n",
		       units_duration(text, (uint64_t)(apart_ns - together_ns) / 2));
	else
		printf("Here the other processor costs nothing: it does not sleep deeply, or something else keeps it awake.\n");
}

static int measure_both(struct roundtrip_options *o, struct server *s, int here, int there)
{
	static struct hist apart, together;
	pid_t pid = start_server(s, here);
	if (pid < 0)
		return 1;
	bool is_done = measure_from(o, there, &apart) && measure_from(o, here, &together);
	kill(pid, SIGTERM);
	waitpid(pid, NULL, 0);
	if (is_done)
		report(o, here, there, &apart, &together);
	return sig_exit_status(is_done ? 0 : 1);
}

int roundtrip_same_core(struct roundtrip_options *o)
{
	int here = processor(0), there = processor(1), status = 1;
	struct addr bound;
	struct net_error e;
	sig_open();
	if (here < 0 || there < 0) {
		errno = ENODEV;
		net_fail(&e, "find", "a second processor");
		e.reason = "we may run on one only";
		record_error(o->json, &e);
		return 1;
	}
	o->bind = o->host = "127.0.0.1";
	o->port = 0;
	o->interval_ns = 0;
	if (o->count == 0 && o->time_ns == 0)
		o->time_ns = EACH_NS;
	struct server *s = roundtrip_server_open(o, false);
	if (s == NULL)
		return 1;
	if (addr_of_socket(s->udp_fd, &bound) == 0) {
		o->port = addr_port(&bound);
		status = measure_both(o, s, here, there);
	}
	roundtrip_server_close(s);
	return record_finish(status);
}
