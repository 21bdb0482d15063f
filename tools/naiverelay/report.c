/* naiverelay/report.c - what naiverelay says, as text and as records. */
#include "naiverelay.h"

#include "clock.h"
#include "os.h"
#include "record.h"
#include "sig.h"
#include "units.h"

#include <poll.h>
#include <stdio.h>
#include <unistd.h>

static const char *const way_names[] = { "up", "down" };

static uint64_t rss(void)
{
	char line[128];
	unsigned long long pages = 0;
	if (os_read_line("/proc/self/statm", line, sizeof(line)) < 0 || sscanf(line, "%*s %llu", &pages) != 1)
		return 0;
	return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

void naiverelay_look_at_memory(struct relay *r)
{
	uint64_t now = rss();
	if (r->rss_start == 0)
		r->rss_start = now;
	r->rss_peak = now > r->rss_peak ? now : r->rss_peak;
}

void naiverelay_report_start(const struct naiverelay_options *o, const char *where)
{
	if (!o->json) {
		printf("the mistake: %s%s\n", naiverelay_mistakes[o->mistake], o->fixed ? ", but not made" : "");
		return;
	}
	struct json j;
	record_begin(&j, "start");
	json_str(&j, "listening", where);
	json_str(&j, "mistake", naiverelay_mistakes[o->mistake]);
	json_bool(&j, "fixed", o->fixed);
	json_u64(&j, "high_bytes", o->high);
	json_u64(&j, "cap_bytes", o->cap);
	json_end(&j);
}

static const char *key(char out[static 64], unsigned way, const char *name)
{
	snprintf(out, 64, "%s_%s", way_names[way], name);
	return out;
}

/* One way, with what the kernel says of both its ends at this moment. */
static void put_way(struct json *j, const struct relay *r, unsigned i)
{
	char k[64];
	const struct way *w = &r->way[i];
	struct pollfd ready[2] = { { .fd = r->fd[i], .events = POLLIN }, { .fd = r->fd[!i], .events = POLLOUT } };
	if (poll(ready, 2, 0) < 0)
		ready[0].revents = ready[1].revents = 0;
	json_u64(j, key(k, i, "received_bytes"), w->received);
	json_u64(j, key(k, i, "sent_bytes"), w->sent);
	json_u64(j, key(k, i, "queued_bytes"), buf_len(&w->queue));
	json_u64(j, key(k, i, "queued_peak_bytes"), w->queued_peak);
	json_u64(j, key(k, i, "unread_bytes"), naiverelay_unread(r->fd[i]));
	json_u64(j, key(k, i, "unacked_bytes"), naiverelay_unacked(r->fd[!i]));
	json_bool(j, key(k, i, "source_ready"), (ready[0].revents & POLLIN) != 0);
	json_bool(j, key(k, i, "sink_ready"), (ready[1].revents & POLLOUT) != 0);
	json_bool(j, key(k, i, "paused"), w->is_paused);
	json_bool(j, key(k, i, "round_came"), w->has_round_come);
}

static void print_line(const struct relay *r, const char *what, uint64_t elapsed_ns)
{
	printf("%7.2f s  %-11s", (double)elapsed_ns / 1e9, what);
	for (unsigned i = 0; i < 2; i++) {
		const struct way *w = &r->way[i];
		char received[UNITS_TEXT], sent[UNITS_TEXT], peak[UNITS_TEXT];
		printf(" %s %s, %s sent, at most %s queued%s;", way_names[i], units_size(received, w->received),
		       units_size(sent, w->sent), units_size(peak, w->queued_peak), w->is_paused ? ", paused" : "");
	}
	printf(" memory %+.1f MiB\n", ((double)r->rss_peak - (double)r->rss_start) / 1048576);
}

void naiverelay_report(struct relay *r, const char *record)
{
	uint64_t elapsed_ns = clk_mono_ns() - r->start_ns;
	naiverelay_look_at_memory(r);
	if (!r->o->json) {
		print_line(r, r->end != NULL ? r->end : record, elapsed_ns);
		return;
	}
	struct json j;
	record_begin(&j, record);
	json_str(&j, "peer", r->peer);
	json_str(&j, "end", r->end);
	json_u64(&j, "elapsed_ns", elapsed_ns);
	put_way(&j, r, UP);
	put_way(&j, r, DOWN);
	json_bool(&j, "stuck", r->is_stuck);
	json_u64(&j, "rss_start_bytes", r->rss_start);
	json_u64(&j, "rss_peak_bytes", r->rss_peak);
	json_u64(&j, "rss_growth_bytes", r->rss_peak - r->rss_start);
	json_end(&j);
}

void naiverelay_report_total(const struct naiverelay_options *o, const struct naiverelay_totals *t)
{
	if (!o->json)
		return;
	struct json j;
	record_begin(&j, "total");
	json_u64(&j, "connections", t->connections);
	json_u64(&j, "refused", t->refused);
	json_u64(&j, "stuck", t->stuck);
	json_u64(&j, "capped", t->capped);
	json_bool(&j, "interrupted", sig_pending(NULL) != 0);
	json_end(&j);
}
