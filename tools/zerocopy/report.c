/* report.c - what zerocopy says: a table, or JSON, on standard output. */
#include "zerocopy.h"

#include "clock.h"
#include "record.h"
#include "sig.h"
#include "units.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void zerocopy_report_start(const struct zerocopy_options *o)
{
	if (o->stage.json) {
		struct json j;
		record_begin(&j, "start");
		json_str(&j, "experiment", o->experiment);
		json_str(&j, "host", o->stage.host);
		json_bool(&j, "fixed", o->fixed);
		json_end(&j);
	} else if (strcmp(o->experiment, "reuse") == 0) {
		printf("%-9s %11s %11s %20s\n", "way", "handed over", "arrived", "arrived changed");
	} else {
		printf("%-9s %14s %9s %22s %8s\n", "way", "rate", "calls", "sender's CPU, us/MiB", "reader's");
	}
}

static double per_mib(uint64_t ns, uint64_t bytes)
{
	return bytes > 0 ? (double)ns / ((double)bytes / (1024 * 1024)) : 0;
}

static void put_zerocopy(struct json *j, const struct zerocopy_sending *s)
{
	json_u64(j, "system_calls", s->calls);
	json_u64(j, "zerocopy_sends", s->zerocopy_sends);
	json_u64(j, "plain_sends", s->plain_sends);
	json_u64(j, "completions", s->completions);
	json_u64(j, "copied", s->copied);
}

static void report_row_json(const struct zerocopy_options *o, int way, const struct zerocopy_row *r)
{
	struct json j;
	record_begin(&j, "way");
	json_str(&j, "way", zerocopy_methods[way].name);
	json_u64(&j, "bytes", r->sent.bytes);
	json_u64(&j, "elapsed_ns", r->elapsed_ns);
	json_f64(&j, "rate_Bps", (double)r->sent.bytes * NS_PER_S / (double)(r->elapsed_ns + 1));
	json_u64(&j, "cpu_user_ns", r->user_ns);
	json_u64(&j, "cpu_sys_ns", r->sys_ns);
	json_f64(&j, "cpu_ns_per_MiB", per_mib(r->user_ns + r->sys_ns, r->sent.bytes));
	put_zerocopy(&j, &r->sent);
	if (r->has_reader) {
		json_u64(&j, "received_bytes", r->received);
		json_u64(&j, "reader_cpu_ns", r->reader_ns);
	}
	if (r->has_reader && o->verify)
		json_u64(&j, "right_bytes", r->right);
	json_str(&j, "congestion", r->congestion);
	json_str(&j, "errno", stage_symbol(r->error));
	json_end(&j);
}

void zerocopy_report_row(const struct zerocopy_options *o, int way, const struct zerocopy_row *r)
{
	char rate[UNITS_TEXT];
	const struct zerocopy_sending *s = &r->sent;
	if (o->stage.json) {
		report_row_json(o, way, r);
		return;
	}
	printf("%-9s %14s %9" PRIu64 " %22.0f", zerocopy_methods[way].name,
	       units_rate(rate, (double)s->bytes * NS_PER_S / (double)(r->elapsed_ns + 1)), s->calls,
	       per_mib(r->user_ns + r->sys_ns, s->bytes) / NS_PER_US);
	if (r->has_reader)
		printf(" %8.0f", per_mib(r->reader_ns, s->bytes) / NS_PER_US);
	if (s->completions > 0)
		printf("  %" PRIu64 " completions, %" PRIu64 " of them: copied", s->completions, s->copied);
	if (s->plain_sends > 0)
		printf("  %" PRIu64 " plain sends: too little memory may be locked", s->plain_sends);
	if (o->verify && r->has_reader)
		printf("  %" PRIu64 " bytes right", r->right);
	printf(r->error != 0 ? "  %s\n" : "%s\n", r->error != 0 ? strerror(r->error) : "");
}

static const char *verdict_on(const struct zerocopy_options *o, int way, const struct zerocopy_reuse *r)
{
	if (!zerocopy_methods[way].is_shared)
		return "the kernel has a copy";
	if (r->is_copy)
		return "copied: too little memory may be locked";
	if (o->fixed)
		return way == ZEROCOPY ? "waited for the completion" : "a new file, the old one as it was";
	return way == ZEROCOPY ? "what was still in the send queue" : "all that nobody has read yet";
}

void zerocopy_report_reuse(const struct zerocopy_options *o, int way, const struct zerocopy_reuse *r)
{
	if (!o->stage.json) {
		printf("%-9s %11" PRIu64 " %11" PRIu64 " %20" PRIu64 "  %s\n", zerocopy_methods[way].name, r->handed,
		       r->arrived, r->altered, verdict_on(o, way, r));
		return;
	}
	struct json j;
	record_begin(&j, "way");
	json_str(&j, "way", zerocopy_methods[way].name);
	json_u64(&j, "handed_bytes", r->handed);
	json_u64(&j, "arrived_bytes", r->arrived);
	json_u64(&j, "altered_bytes", r->altered);
	put_zerocopy(&j, &r->sent);
	json_end(&j);
}

void zerocopy_report_total(const struct zerocopy_options *o, unsigned ways, bool as_promised)
{
	if (!o->stage.json)
		return;
	struct json j;
	record_begin(&j, "total");
	json_str(&j, "experiment", o->experiment);
	json_bool(&j, "fixed", o->fixed);
	json_u64(&j, "ways", ways);
	json_bool(&j, "as_promised", as_promised);
	json_bool(&j, "interrupted", sig_pending(NULL) != 0);
	json_end(&j);
}
