/* report.c - linkem: counters as text and as records; it only looks at them. */
#include "report.h"

#include "clock.h"
#include "diag.h"
#include "hosts.h"
#include "json.h"
#include "record.h"
#include "units.h"

#include <inttypes.h>
#include <string.h>

void linkem_report_ready(const struct linkem_options *o, bool is_tun, bool has_ipv6)
{
	static const char *const names[] = { "a", "b", "r" };
	struct json j;
	char text[256] = "";
	for (unsigned i = 0; i < LINKEM_HOSTS; i++) {
		if (i == HOST_R && !o->has_router)
			continue;
		size_t len = strlen(text);
		snprintf(text + len, sizeof(text) - len, "%s%s %s", i > 0 ? ", " : "", names[i],
			 hosts_address(i, AF_INET));
		len = strlen(text);
		if (has_ipv6)
			snprintf(text + len, sizeof(text) - len, " %s", hosts_address(i, AF_INET6));
	}
	warnf("up: %s (%s)", text, is_tun ? "TUN devices" : "veth and packet sockets");
	if (!o->json)
		return;
	record_begin(&j, "start");
	json_str(&j, "name", o->name);
	json_str(&j, "device", is_tun ? "tun" : "veth");
	json_bool(&j, "router", o->has_router);
	json_bool(&j, "ipv6", has_ipv6);
	json_u64(&j, "mtu", o->mtu);
	for (unsigned i = 0; i < LINKEM_LANES; i++) {
		char spec[SPEC_TEXT];
		if (i < LANE_R2B || o->has_second_link)
			json_str(&j, linkem_lane_names[i], spec_text(spec, &o->lanes[i]));
	}
	json_end(&j);
}

/* --- records ------------------------------------------------------------------------------------------------------ */

static void put_drops(struct json *j, const struct lane_counters *l, const struct lane_counters *before)
{
	for (unsigned i = LANE_LOSS; i < LANE_FATES; i++) {
		char key[32];
		snprintf(key, sizeof(key), "dropped_%s", lane_fate_name(i));
		json_u64(j, key, l->stats.dropped[i] - before->stats.dropped[i]);
	}
	json_u64(j, "dropped_device", l->device_drops - before->device_drops);
}

static void put_lane(struct json *j, const char *name, const struct lane_counters *l,
		     const struct lane_counters *before, uint64_t elapsed_ns)
{
	char spec[SPEC_TEXT];
	const struct lane_stats *s = &l->stats, *b = &before->stats;
	json_object(j, name);
	json_str(j, "spec", spec_text(spec, &l->spec));
	json_u64(j, "packets", s->packets - b->packets);
	json_u64(j, "bytes", s->bytes - b->bytes);
	json_f64(j, "rate_Bps", elapsed_ns > 0 ? (double)(s->bytes - b->bytes) * 1e9 / (double)elapsed_ns : 0);
	json_u64(j, "offered_packets", s->offered_packets - b->offered_packets);
	json_u64(j, "offered_bytes", s->offered_bytes - b->offered_bytes);
	put_drops(j, l, before);
	json_u64(j, "duplicated", s->duplicated - b->duplicated);
	json_u64(j, "reordered", s->reordered - b->reordered);
	json_u64(j, "corrupted", s->corrupted - b->corrupted);
	json_u64(j, "swapped", s->swapped - b->swapped);
	json_u64(j, "marked", s->marked - b->marked);
	json_u64(j, "queue_bytes", s->queue_len);
	json_u64(j, "queue_packets", s->queue_packets);
	json_u64(j, "queue_peak_bytes", s->queue_peak_len);
	json_u64(j, "queue_limit_bytes", l->limit_len);
	json_close(j);
}

static void put_record(FILE *out, const char *record, const struct counters *c, const struct counters *before)
{
	struct json j;
	json_begin(&j, out);
	json_str(&j, "schema", "tcplab.linkem/1");
	json_str(&j, "record", record);
	json_u64(&j, "elapsed_ns", c->now_ns - before->now_ns);
	for (unsigned i = 0; i < c->n; i++)
		put_lane(&j, linkem_lane_names[i], &c->lanes[i], &before->lanes[i], c->now_ns - before->now_ns);
	json_end(&j);
}

/* --- text --------------------------------------------------------------------------------------------------------- */

static uint64_t sum_drops(const struct lane_counters *l)
{
	uint64_t sum = l->device_drops;
	for (unsigned i = LANE_LOSS; i < LANE_FATES; i++)
		sum += l->stats.dropped[i];
	return sum;
}

static void add_count(FILE *out, const char **lead, uint64_t n, const char *name)
{
	if (n == 0)
		return;
	fprintf(out, "%s%s %" PRIu64, *lead, name, n);
	*lead = ", ";
}

static void print_lane(FILE *out, const char *name, const struct lane_counters *l, double seconds)
{
	char spec[SPEC_TEXT], a[UNITS_TEXT], b[UNITS_TEXT], c[UNITS_TEXT];
	const struct lane_stats *s = &l->stats;
	fprintf(out, "%s  %s\n", name, spec_text(spec, &l->spec));
	fprintf(out, "     offered    %9" PRIu64 " packets  %s\n", s->offered_packets, units_size(a, s->offered_bytes));
	fprintf(out, "     delivered  %9" PRIu64 " packets  %s  %s\n", s->packets, units_size(a, s->bytes),
		units_rate(b, seconds > 0 ? (double)s->bytes / seconds : 0));
	if (l->limit_len != 0)
		fprintf(out, "     queue      %s of %s, at most %s\n", units_size(a, s->queue_len),
			units_size(b, l->limit_len), units_size(c, s->queue_peak_len));
	const char *lead = "     dropped    ";
	for (unsigned i = LANE_LOSS; i < LANE_FATES; i++)
		add_count(out, &lead, s->dropped[i], lane_fate_name(i));
	add_count(out, &lead, l->device_drops, "by a device");
	if (*lead == ',')
		fputc('\n', out);
	lead = "     changed    ";
	add_count(out, &lead, s->duplicated, "duplicated");
	add_count(out, &lead, s->reordered, "reordered");
	add_count(out, &lead, s->corrupted, "corrupted");
	add_count(out, &lead, s->swapped, "words swapped");
	add_count(out, &lead, s->marked, "marked");
	if (*lead == ',')
		fputc('\n', out);
}

void linkem_report_total(FILE *out, const struct counters *c, bool json)
{
	struct counters none = { .now_ns = c->start_ns };
	if (json) {
		put_record(out, "total", c, &none);
		return;
	}
	double seconds = (double)(c->now_ns - c->start_ns) / NS_PER_S;
	fprintf(out, "%.1f s\n", seconds);
	for (unsigned i = 0; i < c->n; i++)
		print_lane(out, linkem_lane_names[i], &c->lanes[i], seconds);
}

void linkem_report_interval(FILE *out, const struct counters *c, const struct counters *before, bool json)
{
	if (json) {
		put_record(out, "interval", c, before);
		return;
	}
	double elapsed = (double)(c->now_ns - before->now_ns) / NS_PER_S;
	fprintf(out, "%7.1f s", (double)(c->now_ns - c->start_ns) / NS_PER_S);
	for (unsigned i = 0; i < c->n; i++) {
		char rate[UNITS_TEXT], queue[UNITS_TEXT];
		const struct lane_counters *l = &c->lanes[i], *b = &before->lanes[i];
		fprintf(out, "  %s %12s %7.0f/s  queue %9s  drops %-5" PRIu64, linkem_lane_names[i],
			units_rate(rate, elapsed > 0 ? (double)(l->stats.bytes - b->stats.bytes) / elapsed : 0),
			elapsed > 0 ? (double)(l->stats.packets - b->stats.packets) / elapsed : 0,
			units_size(queue, l->stats.queue_peak_len), sum_drops(l) - sum_drops(b));
	}
	fputc('\n', out);
}
