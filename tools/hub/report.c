/* report.c - what hub says: text or JSON on standard output, errors on standard error as well. */
#include "hub.h"

#include "diag.h"
#include "json.h"
#include "sig.h"
#include "units.h"

#include <stdio.h>

static void record_open(struct json *j, const char *record)
{
	json_begin(j, stdout);
	json_str(j, "schema", "tcplab.hub/1");
	json_str(j, "record", record);
}

static const char *policy_name(const struct hub_options *o)
{
	static const char *const names[] = { [HUB_DROP] = "drop", [HUB_KICK] = "kick", [HUB_WAIT] = "wait" };
	return o->fixed ? names[o->policy] : "none";
}

const char *hub_end_name(enum hub_end end)
{
	static const char *const names[] = {
		[HUB_LIVES] = "lives",
		[HUB_COMPLETE] = "complete",
		[HUB_RESET] = "reset",
		[HUB_KICKED] = "kicked",
		[HUB_STUCK] = "stuck",
		[HUB_FIN] = "fin",
		[HUB_INTERRUPTED] = "interrupted",
		[HUB_GARBAGE] = "garbage",
	};
	return names[end];
}

int hub_fail(const struct hub_options *o, const struct net_error *e)
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

/* --- the hub ------------------------------------------------------------------------------------------------------ */

void hub_print_start(const struct hub_options *o, const struct addr *bound)
{
	char text[ADDR_TEXT], rate[UNITS_TEXT], length[UNITS_TEXT], high[UNITS_TEXT];
	addr_text(bound, text);
	if (!o->json) {
		printf("%s each, in blocks of %s", units_rate(rate, (double)o->rate_Bps),
		       units_size(length, o->length));
		if (o->fixed)
			printf("; at most %s queued for a client, then %s\n", units_size(high, o->high),
			       policy_name(o));
		else
			printf("; whatever a client does not take is queued\n");
		if (o->interval_ns != 0)
			printf("%14s %8s %8s %11s %11s %8s\n", "seconds", "clients", "blocks", "queued", "memory",
			       "dropped");
		return;
	}
	struct json j;
	record_open(&j, "start");
	json_str(&j, "role", "hub");
	json_str(&j, "address", text);
	json_bool(&j, "fixed", o->fixed);
	json_str(&j, "policy", policy_name(o));
	json_u64(&j, "rate_Bps", o->rate_Bps);
	json_u64(&j, "length", o->length);
	json_u64(&j, "high_bytes", o->high);
	json_u64(&j, "cap_bytes", o->cap);
	json_u64(&j, "clients", o->clients);
	json_end(&j);
}

void hub_print_interval(const struct hub_options *o, const struct hub_totals *t, uint64_t since_ns, uint64_t elapsed_ns)
{
	char queued[UNITS_TEXT];
	if (!o->json) {
		printf("%7.2f-%-6.2f %8llu %8llu %11s %+7.1f MiB %8llu\n", (double)since_ns / 1e9,
		       (double)(since_ns + elapsed_ns) / 1e9, (unsigned long long)t->live,
		       (unsigned long long)t->blocks, units_size(queued, t->queued),
		       ((double)t->rss - (double)t->rss_start) / 1048576, (unsigned long long)t->dropped);
		return;
	}
	struct json j;
	record_open(&j, "interval");
	json_u64(&j, "start_ns", since_ns);
	json_u64(&j, "elapsed_ns", elapsed_ns);
	json_u64(&j, "clients", t->live);
	json_u64(&j, "blocks", t->blocks);
	json_u64(&j, "queued_bytes", t->queued);
	json_u64(&j, "rss_bytes", t->rss);
	json_u64(&j, "dropped_blocks", t->dropped);
	json_end(&j);
}

void hub_print_account(const struct hub_options *o, const struct hub_account *a)
{
	char bytes[UNITS_TEXT], peak[UNITS_TEXT];
	if (!o->json) {
		printf("%s: %s: %llu blocks, %s sent, %llu dropped, %s queued at most\n", a->peer, hub_end_name(a->end),
		       (unsigned long long)a->blocks, units_size(bytes, a->bytes), (unsigned long long)a->dropped,
		       units_size(peak, a->queued_peak));
		return;
	}
	struct json j;
	record_open(&j, "client");
	json_str(&j, "peer", a->peer);
	json_str(&j, "end", hub_end_name(a->end));
	json_u64(&j, "blocks", a->blocks);
	json_u64(&j, "bytes", a->bytes);
	json_u64(&j, "dropped_blocks", a->dropped);
	json_u64(&j, "queued_bytes", a->queued);
	json_u64(&j, "queued_peak_bytes", a->queued_peak);
	json_end(&j);
}

void hub_print_total(const struct hub_options *o, const struct hub_totals *t)
{
	char time[UNITS_TEXT], peak[UNITS_TEXT];
	uint64_t growth = t->rss_peak - t->rss_start;
	if (!o->json) {
		printf("%s: %llu blocks for %llu clients; most queued for one %s, memory +%.1f MiB at most; "
		       "blocks dropped %llu, clients kicked %llu%s\n",
		       units_duration(time, t->elapsed_ns), (unsigned long long)t->blocks,
		       (unsigned long long)t->clients, units_size(peak, t->queued_peak), (double)growth / 1048576,
		       (unsigned long long)t->dropped, (unsigned long long)t->kicked,
		       t->capped ? "; ended by --cap" : "");
		if (o->fixed && o->policy == HUB_WAIT)
			printf("the source was held up for %s\n", units_duration(time, t->held_ns));
		return;
	}
	struct json j;
	record_open(&j, "total");
	json_u64(&j, "elapsed_ns", t->elapsed_ns);
	json_u64(&j, "blocks", t->blocks);
	json_u64(&j, "bytes", t->bytes);
	json_u64(&j, "clients", t->clients);
	json_u64(&j, "refused", t->refused);
	json_u64(&j, "dropped_blocks", t->dropped);
	json_u64(&j, "kicked", t->kicked);
	json_u64(&j, "held_ns", t->held_ns);
	json_u64(&j, "queued_peak_bytes", t->queued_peak);
	json_u64(&j, "rss_start_bytes", t->rss_start);
	json_u64(&j, "rss_peak_bytes", t->rss_peak);
	json_u64(&j, "rss_growth_bytes", growth);
	json_bool(&j, "capped", t->capped);
	json_bool(&j, "interrupted", sig_pending(NULL) != 0);
	json_end(&j);
}

/* --- a client ----------------------------------------------------------------------------------------------------- */

void hub_print_sight(const struct hub_options *o, const struct hub_sight *s)
{
	char time[UNITS_TEXT], bytes[UNITS_TEXT], rate[UNITS_TEXT];
	double rate_Bps = s->elapsed_ns > 0 ? (double)s->bytes * 1e9 / (double)s->elapsed_ns : 0;
	if (!o->json) {
		printf("%s: %llu blocks (%s) in %s, %s; %llu lost, %llu wrong\n", hub_end_name(s->end),
		       (unsigned long long)s->blocks, units_size(bytes, s->bytes), units_duration(time, s->elapsed_ns),
		       units_rate(rate, rate_Bps), (unsigned long long)s->lost, (unsigned long long)s->bad);
		return;
	}
	struct json j;
	record_open(&j, "total");
	json_str(&j, "role", "client");
	json_str(&j, "end", hub_end_name(s->end));
	json_u64(&j, "blocks", s->blocks);
	json_u64(&j, "bytes", s->bytes);
	json_u64(&j, "first", s->first);
	json_u64(&j, "lost", s->lost);
	json_u64(&j, "bad", s->bad);
	json_bool(&j, "stopped", s->stopped);
	json_u64(&j, "elapsed_ns", s->elapsed_ns);
	json_f64(&j, "rate_Bps", rate_Bps);
	json_end(&j);
}
