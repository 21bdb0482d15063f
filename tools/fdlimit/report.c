/* report.c - what fdlimit says: text or JSON on standard output, errors on standard error as well. */
#include "fdlimit.h"

#include "diag.h"
#include "json.h"
#include "sig.h"
#include "units.h"

#include <stdio.h>

static void record_open(struct json *j, const char *record)
{
	json_begin(j, stdout);
	json_str(j, "schema", "tcplab.fdlimit/1");
	json_str(j, "record", record);
}

static const char *way_name(const struct fdlimit_options *o)
{
	return o->fixed ? "fixed" : o->pause ? "pause" : "naive";
}

int fdlimit_fail(const struct fdlimit_options *o, const struct net_error *e)
{
	char text[NET_ERROR_TEXT];
	warnf("%s", net_error_text(e, text));
	if (!o->json)
		return 1;
	struct json j;
	record_open(&j, "error");
	json_str(&j, "op", e->op);
	json_str(&j, "object", e->object);
	json_str(&j, "errno", net_error_symbol(e));
	json_str(&j, "message", net_error_reason(e));
	json_end(&j);
	return 1;
}

int fdlimit_fail_errno(const struct fdlimit_options *o, const char *op, const char *object)
{
	struct net_error e = { 0 };
	net_fail(&e, op, object);
	return fdlimit_fail(o, &e);
}

void fdlimit_print_start(const struct fdlimit_options *o, const struct addr *bound, uint64_t limit)
{
	char text[ADDR_TEXT];
	addr_text(bound, text);
	if (!o->json) {
		printf("room for %llu connections (descriptors below %llu), %s\n", (unsigned long long)o->room,
		       (unsigned long long)limit, way_name(o));
		return;
	}
	struct json j;
	record_open(&j, "start");
	json_str(&j, "way", way_name(o));
	json_str(&j, "address", text);
	json_u64(&j, "room", o->room);
	json_u64(&j, "descriptor_limit", limit);
	json_end(&j);
}

void fdlimit_print_interval(const struct fdlimit_options *o, const struct fdlimit_count *d, uint64_t since_ns,
			    uint64_t elapsed_ns)
{
	if (!o->json) {
		printf("  %6.2f-%-6.2f %9llu wakes, %3llu accepted, %9llu failed, %3llu turned away; CPU %3.0f %%\n",
		       (double)since_ns / 1e9, (double)(since_ns + elapsed_ns) / 1e9, (unsigned long long)d->wakes,
		       (unsigned long long)d->accepted, (unsigned long long)d->failed, (unsigned long long)d->kicked,
		       100 * (double)(d->cpu_user_ns + d->cpu_sys_ns) / (double)elapsed_ns);
		return;
	}
	struct json j;
	record_open(&j, "interval");
	json_u64(&j, "start_ns", since_ns);
	json_u64(&j, "elapsed_ns", elapsed_ns);
	json_u64(&j, "wakes", d->wakes);
	json_u64(&j, "accepted", d->accepted);
	json_u64(&j, "failed_accepts", d->failed);
	json_u64(&j, "kicked", d->kicked);
	json_u64(&j, "cpu_user_ns", d->cpu_user_ns);
	json_u64(&j, "cpu_sys_ns", d->cpu_sys_ns);
	json_end(&j);
}

static void print_server(const struct fdlimit_count *c, uint64_t elapsed_ns)
{
	char time[UNITS_TEXT];
	printf("server   %llu wakes: %llu accepted, %llu failed", (unsigned long long)c->wakes,
	       (unsigned long long)c->accepted, (unsigned long long)c->failed);
	if (c->error != 0)
		printf(" (%s)", errno_name(c->error));
	printf("; %llu turned away; CPU %.0f %% of %s\n", (unsigned long long)c->kicked,
	       100 * (double)(c->cpu_user_ns + c->cpu_sys_ns) / (double)elapsed_ns, units_duration(time, elapsed_ns));
}

static void print_clients(const struct fdlimit_sight *c)
{
	char time[UNITS_TEXT];
	printf("clients  %llu greeted, %llu turned away (the slowest answer after %s), %llu heard nothing\n",
	       (unsigned long long)c->greeted, (unsigned long long)c->turned_away,
	       units_duration(time, c->answer_max_ns), (unsigned long long)c->waiting);
}

static void json_server(struct json *j, const struct fdlimit_options *o, const struct fdlimit_count *c)
{
	json_str(j, "way", way_name(o));
	json_u64(j, "wakes", c->wakes);
	json_u64(j, "accepted", c->accepted);
	json_u64(j, "failed_accepts", c->failed);
	json_str(j, "accept_errno", c->error != 0 ? errno_name(c->error) : NULL);
	json_u64(j, "kicked", c->kicked);
	json_u64(j, "cpu_user_ns", c->cpu_user_ns);
	json_u64(j, "cpu_sys_ns", c->cpu_sys_ns);
}

static void json_clients(struct json *j, const struct fdlimit_sight *c)
{
	json_u64(j, "greeted", c->greeted);
	json_u64(j, "turned_away", c->turned_away);
	json_u64(j, "waiting", c->waiting);
	json_u64(j, "answer_max_ns", c->answer_max_ns);
}

void fdlimit_print_total(const struct fdlimit_options *o, const struct fdlimit_count *server,
			 const struct fdlimit_sight *clients, uint64_t elapsed_ns)
{
	if (!o->json) {
		if (server != NULL)
			print_server(server, elapsed_ns);
		if (clients != NULL)
			print_clients(clients);
		return;
	}
	struct json j;
	record_open(&j, "total");
	json_u64(&j, "elapsed_ns", elapsed_ns);
	if (server != NULL)
		json_server(&j, o, server);
	if (clients != NULL)
		json_clients(&j, clients);
	json_bool(&j, "interrupted", sig_pending(NULL) != 0);
	json_end(&j);
}
