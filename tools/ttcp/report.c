/* report.c - what people and programs read of a run: the intervals while it goes, the totals of both ends and the
 * verdict after it. One struct summary feeds the text and the JSON, so that they cannot disagree. Keys and meanings of
 * the records are in docs/tools/ttcp.md. */
#include "ttcp.h"

#include "clock.h"
#include "diag.h"
#include "json.h"
#include "mem.h"
#include "meter.h"
#include "record.h"
#include "sig.h"
#include "units.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char *const mode_names[] = { "ack", "stream", "raw" };

/* --- the summary ------------------------------------------------------------------------------------------------- */

static uint64_t max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static double share_of(uint64_t part_ns, uint64_t whole_ns)
{
	return whole_ns > 0 ? (double)part_ns / (double)whole_ns : 0;
}

static double cpu_share(const struct tally *t)
{
	return share_of(t->cpu.user_ns + t->cpu.sys_ns, t->elapsed_ns);
}

/* Adds one stream's account: counts are summed, time is the longest; states of the path are summed too, for a mean. */
static void add_tally(struct tally *to, const struct tally *t)
{
	to->bytes += t->bytes;
	to->blocks += t->blocks;
	to->elapsed_ns = max_u64(to->elapsed_ns, t->elapsed_ns);
	to->calls += t->calls;
	to->short_calls += t->short_calls;
	to->cpu.user_ns += t->cpu.user_ns;
	to->cpu.sys_ns += t->cpu.sys_ns;
	to->cpu.waited_ns += t->cpu.waited_ns;
	to->retransmits += t->retransmits;
	to->rtt_ns += t->rtt_ns;
	if (to->min_rtt_ns == 0 || (t->min_rtt_ns != 0 && t->min_rtt_ns < to->min_rtt_ns))
		to->min_rtt_ns = t->min_rtt_ns; /* 0: not known */
	to->busy_ns += t->busy_ns;
	to->rwnd_limited_ns += t->rwnd_limited_ns;
	to->sndbuf_limited_ns += t->sndbuf_limited_ns;
	to->cwnd_bytes += t->cwnd_bytes;
	if (to->pacing_Bps == 0 || t->pacing_Bps < to->pacing_Bps)
		to->pacing_Bps = t->pacing_Bps; /* the slowest; "not paced" is the largest number there is */
	memcpy(to->congestion, t->congestion, sizeof(to->congestion));
}

/* What is a state and not an amount: a sum of `times` becomes the mean of n. */
static void scale_states(struct tally *t, uint64_t times, uint64_t n)
{
	uint64_t *const states[] = { &t->rtt_ns, &t->busy_ns, &t->rwnd_limited_ns, &t->sndbuf_limited_ns,
				     &t->cwnd_bytes };
	for (size_t i = 0; n > 0 && i < COUNT_OF(states); i++)
		*states[i] = *states[i] * times / n;
}

/* One account more to those of which *to is the mean. */
static void merge_tally(struct tally *to, const struct tally *t, uint64_t n_before)
{
	scale_states(to, n_before, 1);
	add_tally(to, t);
	scale_states(to, 1, n_before + 1);
}

void summary_add(struct summary *s, const struct flow *f)
{
	bool sending = f->plan.role == ROLE_SEND;
	const struct tally *theirs = f->have_theirs ? &f->theirs : NULL;
	const struct tally *sender = sending ? &f->mine : theirs, *receiver = sending ? theirs : &f->mine;
	if (s->streams++ == 0) {
		s->sending = sending;
		s->plan = f->plan;
		s->have_sender = s->have_receiver = s->confirmed = true;
		s->bad_offset = TALLY_ALL_GOOD;
	}
	if (sender != NULL)
		add_tally(&s->sender, sender);
	if (receiver != NULL)
		add_tally(&s->receiver, receiver);
	if (receiver != NULL && receiver->bad_offset < s->bad_offset)
		s->bad_offset = receiver->bad_offset;
	s->have_sender = s->have_sender && sender != NULL;
	s->have_receiver = s->have_receiver && receiver != NULL;
	/* Only the receiver knows what was read; but it says so by its acks, too, and in raw mode by its FIN. */
	s->confirmed = s->confirmed && f->error == 0 && (receiver != NULL || f->plan.mode != MODE_STREAM);
	hist_merge(&s->block_rtt, &f->block_rtt);
	s->ack_wait_ns += f->ack_wait_ns;
	s->source_wait_ns += f->source_wait_ns;
	s->send_buffer = f->send_buffer;
	s->send_window = f->send_window;
	s->has_source = f->file != NULL;
}

static void gather_evidence(struct summary *s, uint64_t rate_cap_Bps)
{
	double n = (double)s->streams;
	const struct tally *t = &s->sender;
	s->evidence = (struct evidence){
		.mode = s->plan.mode,
		.length = s->plan.length,
		.depth = s->plan.depth,
		.streams = s->streams,
		.rate_Bps = s->rate_Bps,
		.elapsed_ns = s->elapsed_ns,
		.sender_cpu = s->have_sender ? cpu_share(&s->sender) / n : -1,
		.receiver_cpu = s->have_receiver ? cpu_share(&s->receiver) / n : -1,
		.sender_waited = share_of(t->cpu.waited_ns, t->elapsed_ns) / n,
		.receiver_waited = share_of(s->receiver.cpu.waited_ns, s->receiver.elapsed_ns) / n,
		.ack_wait = share_of(s->ack_wait_ns, t->elapsed_ns) / n,
		.source_wait = share_of(s->source_wait_ns, t->elapsed_ns) / n,
		.has_source = s->has_source,
		.busy = s->have_sender ? share_of(t->busy_ns, t->elapsed_ns) : -1,
		.rwnd_limited = share_of(t->rwnd_limited_ns, t->elapsed_ns),
		.sndbuf_limited = share_of(t->sndbuf_limited_ns, t->elapsed_ns),
		.rtt_ns = t->rtt_ns,
		.min_rtt_ns = t->min_rtt_ns,
		.cwnd_bytes = t->cwnd_bytes,
		.pacing_Bps = t->pacing_Bps,
		.retransmits = t->retransmits,
		.congestion = t->congestion,
		.send_buffer = s->send_buffer,
		.send_window = s->send_window,
		.rate_cap_Bps = rate_cap_Bps,
	};
	/* Seen from the other end: a sender with acks to wait for does that, or works. */
	if (!s->sending && s->plan.mode == MODE_ACK && s->have_sender)
		s->evidence.ack_wait = 1 - s->evidence.sender_cpu;
}

void summary_judge(struct summary *s, uint64_t rate_cap_Bps)
{
	scale_states(&s->sender, 1, s->streams);
	scale_states(&s->receiver, 1, s->streams);
	/* Acks are counted where they arrive; everything else where it was read, if that is known. */
	bool at_sender = !s->have_receiver || (s->sending && s->plan.mode == MODE_ACK);
	const struct tally *t = at_sender ? &s->sender : &s->receiver;
	s->bytes = t->bytes;
	s->blocks = t->blocks;
	s->elapsed_ns = t->elapsed_ns;
	s->rate_Bps = t->elapsed_ns > 0 ? (double)t->bytes * 1e9 / (double)t->elapsed_ns : 0;
	gather_evidence(s, rate_cap_Bps);
	s->predicted_Bps = verdict_predicted_Bps(&s->evidence);
	s->limited_by = verdict(&s->evidence, s->why);
}

void summary_merge(struct summary *s, const struct summary *more)
{
	if (s->streams == 0)
		*s = (struct summary){ .sending = more->sending,
				       .plan = more->plan,
				       .confirmed = true,
				       .have_sender = true,
				       .have_receiver = true,
				       .bad_offset = TALLY_ALL_GOOD };
	s->streams = more->streams;
	s->bytes += more->bytes;
	s->blocks += more->blocks;
	s->elapsed_ns += more->elapsed_ns;
	s->rate_Bps = s->elapsed_ns > 0 ? (double)s->bytes * 1e9 / (double)s->elapsed_ns : 0;
	s->have_sender = s->have_sender && more->have_sender;
	s->have_receiver = s->have_receiver && more->have_receiver;
	s->confirmed = s->confirmed && more->confirmed;
	merge_tally(&s->sender, &more->sender, s->merged);
	merge_tally(&s->receiver, &more->receiver, s->merged);
	s->merged++;
	hist_merge(&s->block_rtt, &more->block_rtt);
	s->limited_by = more->limited_by; /* of the last, which says the same of all or nothing of any */
}

size_t summarize(const struct run *r, struct summary out[static 2])
{
	size_t n = 0;
	memset(out, 0, 2 * sizeof(out[0]));
	for (int sending = 1; sending >= 0; sending--) {
		for (size_t i = 0; i < r->n_flows; i++)
			if ((r->flows[i].plan.role == ROLE_SEND) == sending)
				summary_add(&out[n], &r->flows[i]);
		if (out[n].streams > 0)
			summary_judge(&out[n++], r->o->socket.pacing_Bps);
	}
	return n;
}

/* --- start and error --------------------------------------------------------------------------------------------- */

void report_start(const struct run *r)
{
	const struct options *o = r->o;
	char length[UNITS_TEXT], socks[SOCKS_THROUGH_TEXT];
	if (r->fell_back)
		warnf("%s speaks only the course's plain format: its side of the report is missing", r->peer);
	if (o->csv)
		return;
	if (!o->json) {
		printf("%s %s%s, mode %s, ",
		       o->bidir     ? "to and from"
		       : o->reverse ? "from"
				    : "to",
		       r->peer, socks_through_text(&o->socks, socks), mode_names[o->mode]);
		if (o->mode == MODE_RAW)
			printf("%s at a time", units_size(length, o->write_len));
		else
			printf("blocks of %s", units_size(length, o->length));
		if (o->mode == MODE_ACK)
			printf(", depth %llu", (unsigned long long)o->depth);
		if (o->streams > 1)
			printf(", %llu streams", (unsigned long long)o->streams);
		printf("\n");
		return;
	}
	struct json j;
	record_begin(&j, "start");
	json_str(&j, "role", o->reverse ? "receiver" : "sender");
	json_str(&j, "peer", r->peer);
	json_str(&j, "socks", socks_proxy_text(&o->socks, socks));
	json_str(&j, "mode", mode_names[o->mode]);
	json_bool(&j, "negotiated", r->plan.negotiated);
	json_u64(&j, "length", o->length);
	json_u64(&j, "depth", o->depth);
	json_u64(&j, "streams", o->streams);
	json_bool(&j, "reverse", o->reverse);
	json_bool(&j, "bidir", o->bidir);
	json_bool(&j, "verify", o->verify);
	json_i64(&j, "started_real_ns", clk_real_ns());
	json_end(&j);
}

/* --- intervals --------------------------------------------------------------------------------------------------- */

/* One line's worth: of a stream, or of their sum. */
struct row {
	bool sending;
	uint64_t start_ns, elapsed_ns, bytes, retransmits;
	double rate_Bps;
	uint64_t rtt_ns, cwnd_bytes, send_queue, window;
	struct evidence evidence;
	bool warming_up;
};

struct watched {
	struct meter meter;
	struct tcpinfo info;
	uint64_t cpu_ns, done;
	char congestion[TCPINFO_CONGESTION];
};

struct interval {
	uint64_t start_ns;
	size_t n;
	struct watched *watched; /* one for each flow */
	struct row *rows;
	bool titled;
};

/* Payload that has left our hands for good: read by us, or acknowledged by the peer's kernel. The queue is looked at a
 * moment after the counter, and has block headers in it: never let the difference go back. */
static uint64_t progress(const struct flow *f, struct watched *w)
{
	uint64_t moved = atomic_load_explicit(&f->moved, memory_order_relaxed);
	bool sends_ahead = f->plan.role == ROLE_SEND && f->plan.mode != MODE_ACK;
	uint64_t queue = sends_ahead ? w->info.send_queue : 0;
	w->done = max_u64(w->done, moved > queue ? moved - queue : 0);
	return w->done;
}

/* Processor time of the flow's thread so far; 0 once it has ended. */
static uint64_t cpu_of(const struct flow *f)
{
	struct timespec t = { 0 };
	if (!atomic_load(&f->running) || clock_gettime(atomic_load(&f->cpu_clock), &t) < 0)
		return 0;
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

static void look(const struct flow *f, struct tcpinfo *info)
{
	if (tcpinfo_get(f->fd, info) < 0)
		memset(info, 0, sizeof(*info));
}

struct interval *interval_start(const struct run *r)
{
	struct interval *v = xcalloc(1, sizeof(*v));
	*v = (struct interval){ .start_ns = clk_mono_ns(), .n = r->n_flows };
	v->watched = xcalloc(v->n, sizeof(v->watched[0]));
	v->rows = xcalloc(v->n, sizeof(v->rows[0]));
	for (size_t i = 0; i < v->n; i++) {
		look(&r->flows[i], &v->watched[i].info);
		tcpinfo_congestion(r->flows[i].fd, v->watched[i].congestion);
		meter_start(&v->watched[i].meter, v->start_ns, progress(&r->flows[i], &v->watched[i]));
	}
	return v;
}

void interval_free(struct interval *v)
{
	if (v == NULL)
		return;
	free(v->watched);
	free(v->rows);
	free(v);
}

static struct row take_row(const struct interval *v, struct watched *w, const struct flow *f, uint64_t now_ns)
{
	struct tcpinfo before = w->info;
	look(f, &w->info);
	uint64_t cpu_ns = cpu_of(f), cpu_before_ns = w->cpu_ns;
	w->cpu_ns = cpu_ns;
	struct meter_rate m = meter_tick(&w->meter, now_ns, progress(f, w));
	bool sending = f->plan.role == ROLE_SEND;
	const struct tcpinfo *i = &w->info;
	struct row row = {
		.sending = sending,
		.start_ns = now_ns - m.elapsed_ns - v->start_ns,
		.elapsed_ns = m.elapsed_ns,
		.bytes = m.delta,
		.rate_Bps = m.per_s,
		.retransmits = i->retransmits - before.retransmits,
		.rtt_ns = sending || i->receive_rtt_ns == 0 ? i->rtt_ns : i->receive_rtt_ns,
		.cwnd_bytes = i->cwnd * i->mss,
		.send_queue = i->send_queue,
		.window = sending ? i->send_window : i->receive_window,
		.warming_up = now_ns - v->start_ns <= f->plan.omit_ns,
	};
	row.evidence = (struct evidence){
		.mode = f->plan.mode,
		.length = f->plan.length,
		.depth = f->plan.depth,
		.streams = 1,
		.rate_Bps = m.per_s,
		.elapsed_ns = m.elapsed_ns,
		.sender_cpu = cpu_ns > cpu_before_ns ? share_of(cpu_ns - cpu_before_ns, m.elapsed_ns) : -1,
		.receiver_cpu = -1,
		.ack_wait = -1,
		.source_wait = -1,
		.has_source = f->file != NULL,
		.busy = share_of(i->busy_ns - before.busy_ns, m.elapsed_ns),
		.rwnd_limited = share_of(i->rwnd_limited_ns - before.rwnd_limited_ns, m.elapsed_ns),
		.sndbuf_limited = share_of(i->sndbuf_limited_ns - before.sndbuf_limited_ns, m.elapsed_ns),
		.rtt_ns = i->rtt_ns,
		.min_rtt_ns = i->min_rtt_ns,
		.cwnd_bytes = row.cwnd_bytes,
		.pacing_Bps = i->pacing_Bps,
		.retransmits = row.retransmits,
		.send_buffer = 0,
		.send_window = i->send_window,
		.rate_cap_Bps = f->plan.rate_Bps,
		.congestion = w->congestion,
	};
	/* In ack mode what is not work is waiting for acks. */
	if (f->plan.mode == MODE_ACK && row.evidence.sender_cpu >= 0)
		row.evidence.ack_wait = 1 - row.evidence.sender_cpu;
	return row;
}

static void add_row(struct row *sum, const struct row *row)
{
	sum->bytes += row->bytes;
	sum->rate_Bps += row->rate_Bps;
	sum->retransmits += row->retransmits;
	sum->send_queue += row->send_queue;
	sum->cwnd_bytes += row->cwnd_bytes;
	sum->rtt_ns = max_u64(sum->rtt_ns, row->rtt_ns);
	sum->window += row->window;
}

static const char *row_limit(const struct row *row, bool title)
{
	char why[VERDICT_TEXT];
	if (!row->sending)
		return NULL; /* the sender's end knows */
	enum limit l = verdict(&row->evidence, why);
	if (!title)
		return limit_name(l);
	return l == LIMIT_UNKNOWN ? "-" : limit_title(l); /* the total says more */
}

static void print_row(const struct row *row, const char *who)
{
	char bytes[UNITS_TEXT], rate[UNITS_TEXT], rtt[UNITS_TEXT], cwnd[UNITS_TEXT], queue[UNITS_TEXT],
		window[UNITS_TEXT];
	const char *limit = row->warming_up ? "(warm-up)" : row_limit(row, true);
	printf("%4s %7.2f-%-7.2f %9s %12s %8s %9s %5llu %9s %9s  %s\n", who, (double)row->start_ns / 1e9,
	       (double)(row->start_ns + row->elapsed_ns) / 1e9, units_size(bytes, row->bytes),
	       units_rate(rate, row->rate_Bps), units_duration(rtt, row->rtt_ns), units_size(cwnd, row->cwnd_bytes),
	       (unsigned long long)row->retransmits, units_size(queue, row->send_queue),
	       units_size(window, row->window), limit != NULL ? limit : "");
}

static void json_row(struct json *j, const struct row *row)
{
	json_str(j, "role", row->sending ? "sender" : "receiver");
	json_u64(j, "bytes", row->bytes);
	json_f64(j, "rate_Bps", row->rate_Bps);
	json_u64(j, "rtt_ns", row->rtt_ns);
	json_u64(j, "cwnd_bytes", row->cwnd_bytes);
	json_u64(j, "retransmits", row->retransmits);
	json_u64(j, "send_queue_bytes", row->send_queue);
	json_u64(j, "window_bytes", row->window);
	json_str(j, "limited_by", row_limit(row, false));
}

static void json_interval(const struct interval *v, const struct row *sum)
{
	struct json j;
	record_begin(&j, "interval");
	json_u64(&j, "start_ns", sum->start_ns);
	json_u64(&j, "end_ns", sum->start_ns + sum->elapsed_ns);
	json_bool(&j, "warming_up", sum->warming_up);
	json_row(&j, sum);
	if (v->n > 1) {
		json_array(&j, "streams");
		for (size_t i = 0; i < v->n; i++) {
			json_object(&j, NULL);
			json_row(&j, &v->rows[i]);
			json_close(&j);
		}
		json_close(&j);
	}
	json_end(&j);
}

void interval_tick(struct interval *v, const struct run *r)
{
	uint64_t now_ns = clk_mono_ns();
	for (size_t i = 0; i < v->n; i++)
		v->rows[i] = take_row(v, &v->watched[i], &r->flows[i], now_ns);
	struct row sum = v->rows[0];
	for (size_t i = 1; i < v->n; i++)
		add_row(&sum, &v->rows[i]);
	if (r->o->json) {
		json_interval(v, &sum);
		return;
	}
	if (!v->titled)
		printf("%4s %-15s %9s %12s %8s %9s %5s %9s %9s  %s\n", "", " seconds", "bytes", "rate", "RTT", "cwnd",
		       "retr", "in queue", "window", "limited by");
	v->titled = true;
	char who[24];
	for (size_t i = 0; i < v->n && v->n > 1; i++) {
		snprintf(who, sizeof(who), "%zu%s", i + 1, v->rows[i].sending ? ">" : "<");
		print_row(&v->rows[i], who);
	}
	print_row(&sum, v->n > 1 ? "sum" : "");
}

/* --- the total --------------------------------------------------------------------------------------------------- */

static void print_end(const char *name, const struct tally *t, bool is_sender)
{
	char each[UNITS_TEXT];
	printf("  %-10s %llu system calls, %s each, %llu %s; CPU %.0f %% (user %.0f, system %.0f; waited %.0f)\n", name,
	       (unsigned long long)t->calls, units_size(each, t->calls > 0 ? t->bytes / t->calls : 0),
	       (unsigned long long)t->short_calls, is_sender ? "short writes" : "short reads", cpu_share(t) * 100,
	       share_of(t->cpu.user_ns, t->elapsed_ns) * 100, share_of(t->cpu.sys_ns, t->elapsed_ns) * 100,
	       share_of(t->cpu.waited_ns, t->elapsed_ns) * 100);
}

static void print_path(const struct summary *s)
{
	const struct tally *t = s->have_sender ? &s->sender : &s->receiver;
	char rtt[UNITS_TEXT], least[UNITS_TEXT], cwnd[UNITS_TEXT];
	printf("  %-10s RTT %s (least %s), cwnd %s, %llu retransmits, %s\n", "path", units_duration(rtt, t->rtt_ns),
	       units_duration(least, t->min_rtt_ns), units_size(cwnd, t->cwnd_bytes),
	       (unsigned long long)t->retransmits,
	       t->congestion[0] != '\0' ? t->congestion : "congestion control unknown");
}

static void print_hist(const char *name, const struct hist *h)
{
	char p50[UNITS_TEXT], p99[UNITS_TEXT], most[UNITS_TEXT];
	printf("%s p50 %s, p99 %s, max %s (%llu)", name, units_duration(p50, hist_quantile(h, 0.5)),
	       units_duration(p99, hist_quantile(h, 0.99)), units_duration(most, h->max), (unsigned long long)h->n);
}

static void print_verify(const struct summary *s)
{
	if (!s->plan.verify || !s->have_receiver)
		return;
	if (s->bad_offset == TALLY_ALL_GOOD)
		printf("  %-10s every byte is as it was sent (seed %llu)\n", "verified",
		       (unsigned long long)s->plan.seed);
	else
		printf("  %-10s FAILED: the first wrong byte is at offset %llu (seed %llu)\n", "verified",
		       (unsigned long long)s->bad_offset, (unsigned long long)s->plan.seed);
}

void report_summary(const struct summary *s)
{
	char bytes[UNITS_TEXT], time[UNITS_TEXT], rate[UNITS_TEXT], length[UNITS_TEXT];
	printf("%s %s in %s: %s (%.1f MiB/s)%s\n", s->sending ? "sent" : "received", units_size(bytes, s->bytes),
	       units_duration(time, s->elapsed_ns), units_rate(rate, s->rate_Bps), s->rate_Bps / 1048576,
	       s->confirmed ? "" : ", not confirmed by the receiver");
	if (s->plan.mode != MODE_RAW)
		printf("  %-10s %llu of %s", "blocks", (unsigned long long)s->blocks,
		       units_size(length, s->plan.length));
	if (s->block_rtt.n > 0)
		print_hist("; send to ack", &s->block_rtt);
	if (s->plan.mode != MODE_RAW)
		printf("\n");
	if (s->have_sender)
		print_end("sender", &s->sender, true);
	if (s->have_receiver)
		print_end("receiver", &s->receiver, false);
	print_path(s);
	print_verify(s);
	if (!s->have_sender)
		return; /* the sender's end knows what held it up */
	printf("limited by %s%s%s\n", limit_title(s->limited_by), s->why[0] != '\0' ? ": " : "", s->why);
}

void json_or_null(struct json *j, const char *key, bool known, uint64_t value)
{
	if (known)
		json_u64(j, key, value);
	else
		json_null(j, key);
}

static void json_verify(struct json *j, const struct summary *s)
{
	bool checked = s->plan.verify && s->have_receiver;
	if (checked)
		json_bool(j, "verified", s->bad_offset == TALLY_ALL_GOOD);
	else
		json_null(j, "verified");
	json_or_null(j, "bad_offset", checked && s->bad_offset != TALLY_ALL_GOOD, s->bad_offset);
}

void report_json_summary(struct json *j, const struct summary *s)
{
	const struct tally *local = s->sending ? &s->sender : &s->receiver;
	const struct tally *remote = s->sending ? &s->receiver : &s->sender;
	bool have_remote = s->sending ? s->have_receiver : s->have_sender;
	const struct tally *path = s->have_sender ? &s->sender : &s->receiver;
	json_str(j, "role", s->sending ? "sender" : "receiver");
	json_str(j, "mode", mode_names[s->plan.mode]);
	json_u64(j, "bytes", s->bytes);
	json_u64(j, "blocks", s->blocks);
	json_u64(j, "elapsed_ns", s->elapsed_ns);
	json_f64(j, "rate_Bps", s->rate_Bps);
	json_u64(j, "syscalls", local->calls);
	json_u64(j, "bytes_per_call", local->calls > 0 ? local->bytes / local->calls : 0);
	json_or_null(j, "short_writes", s->have_sender, s->sender.short_calls);
	json_u64(j, "retransmits", path->retransmits);
	json_u64(j, "rtt_ns", path->rtt_ns);
	json_u64(j, "min_rtt_ns", path->min_rtt_ns);
	json_u64(j, "cwnd_bytes", path->cwnd_bytes);
	json_str(j, "congestion", path->congestion);
	json_u64(j, "cpu_user_ns", local->cpu.user_ns);
	json_u64(j, "cpu_sys_ns", local->cpu.sys_ns);
	json_u64(j, "cpu_waited_ns", local->cpu.waited_ns);
	json_str(j, "limited_by", limit_name(s->limited_by));
	json_str(j, "why", s->why);
	json_f64(j, "predicted_Bps", s->predicted_Bps > 0 ? s->predicted_Bps : (double)NAN);
	json_bool(j, "confirmed", s->confirmed);
	json_verify(j, s);
	json_u64(j, "length", s->plan.length);
	json_u64(j, "depth", s->plan.depth);
	json_u64(j, "streams", s->streams);
	json_or_null(j, "block_rtt_p50_ns", s->block_rtt.n > 0, hist_quantile(&s->block_rtt, 0.5));
	json_or_null(j, "block_rtt_p99_ns", s->block_rtt.n > 0, hist_quantile(&s->block_rtt, 0.99));
	json_or_null(j, "remote_syscalls", have_remote, remote->calls);
	json_or_null(j, "remote_cpu_user_ns", have_remote, remote->cpu.user_ns);
	json_or_null(j, "remote_cpu_sys_ns", have_remote, remote->cpu.sys_ns);
	json_or_null(j, "remote_cpu_waited_ns", have_remote, remote->cpu.waited_ns);
	json_or_null(j, "busy_ns", s->have_sender, s->sender.busy_ns);
	json_or_null(j, "rwnd_limited_ns", s->have_sender, s->sender.rwnd_limited_ns);
	json_or_null(j, "sndbuf_limited_ns", s->have_sender, s->sender.sndbuf_limited_ns);
	json_or_null(j, "pacing_Bps", s->have_sender && path->pacing_Bps < UINT64_MAX - 2, path->pacing_Bps);
}

static void json_probe(struct json *j, const struct probe *p)
{
	json_u64(j, "probe_idle_n", p->idle.n);
	json_or_null(j, "probe_idle_p50_ns", p->idle.n > 0, hist_quantile(&p->idle, 0.5));
	json_or_null(j, "probe_idle_p99_ns", p->idle.n > 0, hist_quantile(&p->idle, 0.99));
	json_u64(j, "probe_loaded_n", p->loaded.n);
	json_or_null(j, "probe_loaded_p50_ns", p->loaded.n > 0, hist_quantile(&p->loaded, 0.5));
	json_or_null(j, "probe_loaded_p99_ns", p->loaded.n > 0, hist_quantile(&p->loaded, 0.99));
}

static void print_probe(const struct probe *p)
{
	print_hist("latency    idle", &p->idle);
	print_hist("\n           loaded", &p->loaded);
	printf("\n");
}

/* True unless a byte was found wrong. */
bool report_total(const struct run *r)
{
	struct summary sums[2];
	size_t n = summarize(r, sums);
	if (r->o->json) {
		struct json j;
		char socks[SOCKS_PLACE_TEXT];
		record_begin(&j, "total");
		report_json_summary(&j, &sums[0]);
		json_str(&j, "socks", socks_proxy_text(&r->o->socks, socks));
		json_bool(&j, "interrupted", sig_pending(NULL) != 0);
		if (r->probe != NULL)
			json_probe(&j, r->probe);
		if (n > 1) {
			json_object(&j, "reverse");
			report_json_summary(&j, &sums[1]);
			json_close(&j);
		}
		json_end(&j);
	} else {
		for (size_t i = 0; i < n; i++)
			report_summary(&sums[i]);
		if (r->probe != NULL)
			print_probe(r->probe);
	}
	return sums[0].bad_offset == TALLY_ALL_GOOD && (n < 2 || sums[1].bad_offset == TALLY_ALL_GOOD);
}

/* --- the receiver's side ----------------------------------------------------------------------------------------- */

void report_connection(const struct options *o, const char *peer, const struct summary *s, int error)
{
	if (!o->json) {
		printf("%s: ", peer);
		report_summary(s);
		return;
	}
	struct json j;
	record_begin(&j, "connection");
	json_str(&j, "peer", peer);
	json_str(&j, "errno", error != 0 ? errno_name(error) : NULL);
	report_json_summary(&j, s);
	json_end(&j);
}

void report_server_start(const struct options *o, const char *where)
{
	struct json j;
	if (!o->json)
		return;
	record_begin(&j, "start");
	json_str(&j, "role", "receiver");
	json_str(&j, "listening", where);
	json_i64(&j, "started_real_ns", clk_real_ns());
	json_end(&j);
}

void report_server_interval(const struct options *o, const struct meter_rate *m, uint64_t start_ns, size_t connections)
{
	char bytes[UNITS_TEXT], rate[UNITS_TEXT];
	if (!o->json) {
		printf("%7.2f-%-7.2f %9s %12s, %zu connections\n", (double)start_ns / 1e9,
		       (double)(start_ns + m->elapsed_ns) / 1e9, units_size(bytes, m->delta),
		       units_rate(rate, m->per_s), connections);
		return;
	}
	struct json j;
	record_begin(&j, "interval");
	json_u64(&j, "start_ns", start_ns);
	json_u64(&j, "end_ns", start_ns + m->elapsed_ns);
	json_u64(&j, "bytes", m->delta);
	json_f64(&j, "rate_Bps", m->per_s);
	json_u64(&j, "connections", connections);
	json_end(&j);
}

void report_server_total(const struct options *o, const struct summary *s, uint64_t connections, uint64_t refused)
{
	char bytes[UNITS_TEXT];
	if (!o->json) {
		printf("%llu connections served, %llu refused, %s in all\n", (unsigned long long)connections,
		       (unsigned long long)refused, units_size(bytes, s->bytes));
		return;
	}
	struct json j;
	record_begin(&j, "total");
	report_json_summary(&j, s);
	json_u64(&j, "connections", connections);
	json_u64(&j, "refused", refused);
	json_bool(&j, "interrupted", sig_pending(NULL) != 0);
	json_end(&j);
}
