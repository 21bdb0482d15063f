/* report.c - what the watching finds, as lines for people or records for programs.
 *
 * A line has the time since the beginning, the connection, the port of the socket it is about, and what happened to
 * that socket. Lines are broken at COLUMNS, so that they can be shown to a class. */
#include "tcpwatch.h"

#include "diag.h"
#include "mem.h"
#include "record.h"
#include "sig.h"
#include "units.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COLUMNS = 99 }; /* and a comma */

static const char *size_text(uint64_t bytes, char out[static UNITS_TEXT])
{
	return units_size(out, bytes);
}

static const char *time_text(uint64_t ns, char out[static UNITS_TEXT])
{
	return units_duration(out, ns);
}

/* What it means to have come into a state (RFC 9293 3.3.2), for the socket that the line is about. */
static const char *meaning(enum sockdiag_state state)
{
	static const char *const texts[SOCKDIAG_STATES] = {
		[SOCKDIAG_ESTABLISHED] = "both sides agreed",
		[SOCKDIAG_SYN_SENT] = "SYN sent, no answer yet",
		[SOCKDIAG_SYN_RECEIVED] = "SYN answered, the ACK is missing",
		[SOCKDIAG_FIN_WAIT_1] = "closed here, FIN not yet acked",
		[SOCKDIAG_FIN_WAIT_2] = "our FIN is acked, theirs is to come",
		[SOCKDIAG_TIME_WAIT] = "both FINs done, the port rests 60 s",
		[SOCKDIAG_CLOSE_WAIT] = "the peer closed, the program has not",
		[SOCKDIAG_LAST_ACK] = "closed here, too, FIN not yet acked",
		[SOCKDIAG_LISTEN] = "waits for connections",
		[SOCKDIAG_CLOSING] = "both closed at once, FIN not yet acked",
		[SOCKDIAG_CLOSED] = "",
	};
	return texts[state] != NULL ? texts[state] : "";
}

static const char *closer_name(enum tcpwatch_closer c)
{
	static const char *const names[] = {
		[CLOSER_UNKNOWN] = NULL,
		[CLOSER_LOCAL] = "local",
		[CLOSER_PEER] = "peer",
		[CLOSER_BOTH] = "both",
	};
	return names[c];
}

static const char *closer_text(const struct tcpwatch_life *l)
{
	static const char *const texts[] = {
		[CLOSER_UNKNOWN] = "nobody was seen closing: a reset, or too quick for the polls",
		[CLOSER_LOCAL] = "closed first here",
		[CLOSER_PEER] = "closed first by the peer",
		[CLOSER_BOTH] = "closed by both at once",
	};
	bool is_begun = l->seen_states & ~SOCKDIAG_BIT(SOCKDIAG_SYN_SENT);
	if (l->resetter != CLOSER_UNKNOWN)
		return l->resetter == CLOSER_PEER ? "reset by the peer" : "reset from here";
	return is_begun ? texts[l->closer] : "refused, or given up";
}

/* --- lines --------------------------------------------------------------------------------------------------------- */

/* A line to which one item is added after the other, separated by commas, with a break where it gets too long. */
struct line {
	size_t column, indent;
	bool has_items;
};

static struct line begin_line(const struct tcpwatch_options *o, uint64_t now_ns, unsigned number, const char *subject)
{
	int n = o->packets ? printf("%11.6f  #%-2u %-13s  ", (double)now_ns / 1e9, number, subject)
			   : printf("%8.3f  #%-2u %-6s  ", (double)now_ns / 1e9, number, subject);
	return (struct line){ .column = n > 0 ? (size_t)n : 0, .indent = n > 0 ? (size_t)n : 0 };
}

static struct line begin_life(const struct tcpwatch_options *o, const struct tcpwatch_life *l, uint64_t now_ns)
{
	char port[8];
	snprintf(port, sizeof(port), ":%u", addr_port(&l->now.local));
	return begin_line(o, now_ns, l->number, port);
}

static void item(struct line *l, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void item(struct line *l, const char *fmt, ...)
{
	char text[192];
	va_list args;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	size_t len = strlen(text);
	if (l->has_items && l->column + 2 + len > COLUMNS) {
		printf(",\n%*s", (int)l->indent, "");
		l->column = l->indent;
	} else if (l->has_items) {
		printf(", ");
		l->column += 2;
	}
	fputs(text, stdout);
	l->column += len;
	l->has_items = true;
}

static void end_line(void)
{
	putchar('\n');
}

/* --- records ------------------------------------------------------------------------------------------------------- */

static const char *timer_name(enum sockdiag_timer t)
{
	static const char *const names[] = {
		[SOCKDIAG_NO_TIMER] = NULL,         [SOCKDIAG_RETRANSMIT] = "retransmit",
		[SOCKDIAG_KEEPALIVE] = "keepalive", [SOCKDIAG_TIMEWAIT] = "time-wait",
		[SOCKDIAG_PERSIST] = "persist",
	};
	return names[t];
}

static void json_ends(struct json *j, const struct sockdiag_socket *s)
{
	char local[ADDR_TEXT], peer[ADDR_TEXT];
	json_str(j, "local", addr_text(&s->local, local));
	json_str(j, "peer", addr_text(&s->peer, peer));
	json_str(j, "state", sockdiag_state_name(s->state));
}

static void json_info(struct json *j, const struct tcpinfo *i)
{
	json_u64(j, "bytes_acked", i->bytes_acked);
	json_u64(j, "bytes_received", i->bytes_received);
	json_u64(j, "bytes_sent", i->bytes_sent);
	json_u64(j, "bytes_resent", i->bytes_resent);
	json_u64(j, "not_sent_bytes", i->not_sent);
	json_u64(j, "retransmits", i->retransmits);
	json_u64(j, "timeouts", i->timeouts);
	json_u64(j, "probes", i->probes);
	json_u64(j, "lost_segments", i->lost);
	json_u64(j, "sacked_segments", i->sacked);
	json_u64(j, "reordering_segments", i->reordering);
	json_u64(j, "in_flight_segments", i->unacked);
	json_u64(j, "cwnd_segments", i->cwnd);
	if (i->ssthresh == TCPINFO_NO_SSTHRESH)
		json_null(j, "ssthresh_segments");
	else
		json_u64(j, "ssthresh_segments", i->ssthresh);
	json_u64(j, "mss_bytes", i->mss);
	json_u64(j, "rtt_ns", i->rtt_ns);
	json_u64(j, "rtt_var_ns", i->rtt_var_ns);
	json_u64(j, "min_rtt_ns", i->min_rtt_ns);
	json_u64(j, "rto_ns", i->rto_ns);
	json_u64(j, "send_window_bytes", i->send_window);
	json_u64(j, "receive_window_bytes", i->receive_window);
	json_u64(j, "busy_ns", i->busy_ns);
	json_u64(j, "rwnd_limited_ns", i->rwnd_limited_ns);
	json_u64(j, "sndbuf_limited_ns", i->sndbuf_limited_ns);
	json_u64(j, "pacing_Bps", i->pacing_Bps == UINT64_MAX ? 0 : i->pacing_Bps);
	json_u64(j, "delivery_Bps", i->delivery_Bps);
}

void tcpwatch_json_socket(struct json *j, const struct sockdiag_socket *s)
{
	bool listens = s->state == SOCKDIAG_LISTEN;
	json_ends(j, s);
	json_u64(j, "uid", s->uid);
	json_u64(j, "inode", s->inode);
	json_u64(j, listens ? "accept_queue" : "recv_queue_bytes", s->recv_queue);
	json_u64(j, listens ? "backlog" : "send_queue_bytes", s->send_queue);
	json_str(j, "timer", timer_name(s->timer));
	json_u64(j, "timer_left_ns", s->timer_left_ns);
	json_u64(j, "timer_count", s->timer_count);
	json_str(j, "congestion", s->congestion[0] != '\0' ? s->congestion : NULL);
	if (s->has_info && !listens)
		json_info(j, &s->info);
}

static void begin_record(struct json *j, const char *record, const struct tcpwatch_life *l, uint64_t now_ns)
{
	record_begin(j, record);
	json_u64(j, "time_ns", now_ns);
	json_u64(j, "connection", l->number);
}

/* --- the beginning ------------------------------------------------------------------------------------------------- */

static void name_targets(const struct tcpwatch_options *o, char *out, size_t cap)
{
	size_t len = 0;
	snprintf(out, cap, "all TCP connections of this network namespace");
	for (size_t i = 0; i < o->n_targets && len < cap; i++) {
		const char *kind = o->target[i].kind == TARGET_PROCESS ? "process " : "";
		int n = snprintf(out + len, cap - len, "%s%s%s", i > 0 ? ", " : "", kind, o->target[i].text);
		len += n > 0 ? (size_t)n : 0;
	}
}

void tcpwatch_print_start(const struct tcpwatch_options *o, int64_t real_ns)
{
	char targets[256];
	if (!o->json)
		return;
	name_targets(o, targets, sizeof(targets));
	struct json j;
	record_begin(&j, "start");
	json_str(&j, "watches", targets);
	json_i64(&j, "real_ns", real_ns);
	json_u64(&j, "interval_ns", o->interval_ns);
	json_u64(&j, "report_ns", o->report_ns);
	json_bool(&j, "listeners", o->listeners);
	json_bool(&j, "packets", o->packets);
	json_str(&j, "pcap", o->pcap);
	json_end(&j);
}

void tcpwatch_announce(const struct tcpwatch_options *o)
{
	char targets[256], time[UNITS_TEXT];
	name_targets(o, targets, sizeof(targets));
	warnf("watching %s, every %s%s", targets, time_text(o->interval_ns, time),
	      o->packets ? ", and packets as they pass" : "");
}

void tcpwatch_print_stretch(const struct tcpwatch_options *o, uint64_t poll_ns, uint64_t interval_ns, size_t sockets)
{
	char cost[UNITS_TEXT], time[UNITS_TEXT];
	warnf("a poll of %zu sockets takes %s of processor time: from now on one every %s", sockets,
	      time_text(poll_ns, cost), time_text(interval_ns, time));
	if (!o->json)
		return;
	struct json j;
	record_begin(&j, "stretch");
	json_u64(&j, "sockets", sockets);
	json_u64(&j, "poll_cpu_ns", poll_ns);
	json_u64(&j, "interval_ns", interval_ns);
	json_end(&j);
}

/* --- lives --------------------------------------------------------------------------------------------------------- */

void tcpwatch_print_appeared(const struct tcpwatch_options *o, const struct tcpwatch_life *l, uint64_t now_ns)
{
	if (o->json) {
		struct json j;
		begin_record(&j, "appeared", l, now_ns);
		json_bool(&j, "was_there", l->was_there);
		tcpwatch_json_socket(&j, &l->now);
		json_end(&j);
		return;
	}
	char local[ADDR_TEXT], peer[ADDR_TEXT];
	struct line line = begin_life(o, l, now_ns);
	item(&line, "%s %s", l->was_there ? "is there:" : "appears:", sockdiag_state_name(l->now.state));
	if (l->now.state == SOCKDIAG_LISTEN)
		item(&line, "%s", addr_text(&l->now.local, local));
	else
		item(&line, "%s -> %s", addr_text(&l->now.local, local), addr_text(&l->now.peer, peer));
	if (o->verbose)
		item(&line, "uid %u, inode %llu", l->now.uid, (unsigned long long)l->now.inode);
	end_line();
}

void tcpwatch_print_state(const struct tcpwatch_options *o, const struct tcpwatch_life *l, enum sockdiag_state before,
			  uint64_t after_ns, uint64_t now_ns)
{
	if (o->json) {
		struct json j;
		begin_record(&j, "state", l, now_ns);
		json_ends(&j, &l->now);
		json_str(&j, "from", sockdiag_state_name(before));
		json_u64(&j, "after_ns", after_ns);
		json_end(&j);
		return;
	}
	char time[UNITS_TEXT];
	struct line line = begin_life(o, l, now_ns);
	item(&line, "%s -> %s after %s", sockdiag_state_name(before), sockdiag_state_name(l->now.state),
	     time_text(after_ns, time));
	item(&line, "%s", meaning(l->now.state));
	end_line();
}

/* --- figures ------------------------------------------------------------------------------------------------------- */

/* A timer that waits for an answer in vain; the one that is on whenever data is under way says nothing. */
static void add_timer(struct line *line, const struct sockdiag_socket *s)
{
	char left[UNITS_TEXT];
	time_text(s->timer_left_ns, left);
	if (s->timer == SOCKDIAG_PERSIST)
		item(line, "the peer's window is shut, probes sent: %u, the next in %s", s->timer_count, left);
	else if (s->timer == SOCKDIAG_RETRANSMIT && s->timer_count > 0)
		item(line, "retransmissions without an answer: %u, the next in %s", s->timer_count, left);
	else if (s->timer == SOCKDIAG_KEEPALIVE && s->timer_count > 0)
		item(line, "keepalive probes without an answer: %u, the next in %s", s->timer_count, left);
}

static void add_moved(struct line *line, const struct tcpinfo *now, const struct tcpinfo *told)
{
	char size[UNITS_TEXT];
	if (now->bytes_acked > told->bytes_acked)
		item(line, "+%s acked", size_text(now->bytes_acked - told->bytes_acked, size));
	if (now->bytes_received > told->bytes_received)
		item(line, "+%s received", size_text(now->bytes_received - told->bytes_received, size));
	if (now->retransmits > told->retransmits)
		item(line, "+%llu retransmits", (unsigned long long)(now->retransmits - told->retransmits));
}

/* A queue is told while it has something in it, and when it has become empty. */
static void add_queues(struct line *line, const struct sockdiag_socket *now, const struct sockdiag_socket *told)
{
	char size[UNITS_TEXT];
	if (now->recv_queue > 0 || told->recv_queue > 0)
		item(line, "Recv-Q %s", size_text(now->recv_queue, size));
	if (now->send_queue > 0 || told->send_queue > 0)
		item(line, "Send-Q %s", size_text(now->send_queue, size));
}

static void add_path(struct line *line, const struct tcpwatch_life *l, uint64_t now_ns)
{
	const struct tcpinfo *now = &l->now.info, *told = &l->told.info;
	char size[UNITS_TEXT];
	uint64_t since_ns = l->told_ns != 0 ? l->told_ns : l->first_ns;
	uint64_t limited_ns = now->rwnd_limited_ns - told->rwnd_limited_ns;
	if (now->bytes_acked > told->bytes_acked || now->unacked > 0)
		item(line, "cwnd %llu, in flight %llu", (unsigned long long)now->cwnd,
		     (unsigned long long)now->unacked);
	if (now->bytes_acked > told->bytes_acked && now->rtt_ns > 0)
		item(line, "rtt %s", time_text(now->rtt_ns, size));
	if (limited_ns > 0 && now_ns > since_ns)
		item(line, "held up by the peer's window %.0f %% of the time",
		     limited_ns < now_ns - since_ns ? 100 * (double)limited_ns / (double)(now_ns - since_ns) : 100.0);
	if (now->lost > 0)
		item(line, "%llu taken for lost", (unsigned long long)now->lost);
}

void tcpwatch_print_info(const struct tcpwatch_options *o, const struct tcpwatch_life *l, uint64_t now_ns)
{
	if (o->json) {
		struct json j;
		begin_record(&j, "info", l, now_ns);
		tcpwatch_json_socket(&j, &l->now);
		json_end(&j);
		return;
	}
	struct line line = begin_life(o, l, now_ns);
	if (l->now.state == SOCKDIAG_LISTEN) {
		item(&line, "%llu connections wait for accept, of at most %llu", (unsigned long long)l->now.recv_queue,
		     (unsigned long long)l->now.send_queue + 1);
	} else {
		add_timer(&line, &l->now);
		add_moved(&line, &l->now.info, &l->told.info);
		add_queues(&line, &l->now, &l->told);
		add_path(&line, l, now_ns);
		if (!line.has_items)
			item(&line, "an answer came");
	}
	end_line();
}

/* --- the end of a life --------------------------------------------------------------------------------------------- */

static uint64_t time_in(const struct tcpwatch_life *l, enum sockdiag_state state, uint64_t now_ns)
{
	bool is_present = l->gone_ns == 0 && l->now.state == state;
	return l->in_state_ns[state] + (is_present ? now_ns - l->since_ns : 0);
}

/* In the order in which a connection goes through them. */
static const enum sockdiag_state course[] = {
	SOCKDIAG_LISTEN,     SOCKDIAG_SYN_SENT,   SOCKDIAG_SYN_RECEIVED, SOCKDIAG_ESTABLISHED,
	SOCKDIAG_FIN_WAIT_1, SOCKDIAG_FIN_WAIT_2, SOCKDIAG_CLOSING,      SOCKDIAG_TIME_WAIT,
	SOCKDIAG_CLOSE_WAIT, SOCKDIAG_LAST_ACK,   SOCKDIAG_CLOSED,
};

static void json_life(const struct tcpwatch_life *l, const char *record, uint64_t now_ns)
{
	struct json j;
	begin_record(&j, record, l, now_ns);
	json_ends(&j, &l->now);
	json_bool(&j, "was_there", l->was_there);
	json_bool(&j, "gone", l->gone_ns != 0);
	json_u64(&j, "lifetime_ns", (l->gone_ns != 0 ? l->gone_ns : now_ns) - l->first_ns);
	json_str(&j, "closed_first", closer_name(l->closer));
	json_str(&j, "reset_by", closer_name(l->resetter));
	json_object(&j, "states_ns");
	for (size_t i = 0; i < COUNT_OF(course); i++) {
		if (l->seen_states & SOCKDIAG_BIT(course[i]))
			json_u64(&j, sockdiag_state_name(course[i]), time_in(l, course[i], now_ns));
	}
	json_close(&j);
	json_u64(&j, "bytes_acked", l->now.info.bytes_acked);
	json_u64(&j, "bytes_received", l->now.info.bytes_received);
	json_u64(&j, "retransmits", l->now.info.retransmits);
	json_end(&j);
}

void tcpwatch_print_gone(const struct tcpwatch_options *o, const struct tcpwatch_life *l, uint64_t now_ns)
{
	if (o->json) {
		json_life(l, "gone", now_ns);
		return;
	}
	char time[UNITS_TEXT];
	struct line line = begin_life(o, l, now_ns);
	item(&line, "gone after %s in %s", time_text(now_ns - l->since_ns, time), sockdiag_state_name(l->now.state));
	if (l->now.state != SOCKDIAG_LISTEN)
		item(&line, "%s", closer_text(l));
	end_line();
}

static void print_course(const struct tcpwatch_life *l, uint64_t now_ns)
{
	char time[UNITS_TEXT];
	struct line line = { .column = 6, .indent = 6 };
	printf("      ");
	for (size_t i = 0; i < COUNT_OF(course); i++) {
		if (l->seen_states & SOCKDIAG_BIT(course[i]))
			item(&line, "%s %s", sockdiag_state_name(course[i]),
			     time_text(time_in(l, course[i], now_ns), time));
	}
	end_line();
}

static void print_life(const struct tcpwatch_life *l, uint64_t now_ns)
{
	char local[ADDR_TEXT], peer[ADDR_TEXT], acked[UNITS_TEXT], received[UNITS_TEXT];
	struct line line = { .column = 6, .indent = 6 };
	if (l->now.state == SOCKDIAG_LISTEN) {
		printf("#%-3u  %s, listener\n", l->number, addr_text(&l->now.local, local));
		return;
	}
	printf("#%-3u  %s -> %s, %s\n", l->number, addr_text(&l->now.local, local), addr_text(&l->now.peer, peer),
	       l->gone_ns != 0 ? "gone" : sockdiag_state_name(l->now.state));
	print_course(l, now_ns);
	printf("      ");
	item(&line, "%s acked", size_text(l->now.info.bytes_acked, acked));
	item(&line, "%s received", size_text(l->now.info.bytes_received, received));
	item(&line, "%llu retransmits", (unsigned long long)l->now.info.retransmits);
	if (l->gone_ns != 0 || l->closer != CLOSER_UNKNOWN)
		item(&line, "%s", closer_text(l));
	end_line();
}

/* By connection, and the end that was seen first in front. */
static int compare_lives(const void *a, const void *b)
{
	const struct tcpwatch_life *x = *(const struct tcpwatch_life *const *)a;
	const struct tcpwatch_life *y = *(const struct tcpwatch_life *const *)b;
	if (x->number != y->number)
		return x->number < y->number ? -1 : 1;
	return x->first_ns < y->first_ns ? -1 : x->first_ns > y->first_ns;
}

static size_t collect(const struct tcpwatch_life **out, const struct tcpwatch_life *l)
{
	size_t n = 0;
	for (; l != NULL; l = l->next) {
		if (!l->is_quiet)
			out[n++] = l;
	}
	return n;
}

static void print_sorted(const struct tcpwatch_table *t, uint64_t now_ns)
{
	const struct tcpwatch_life **all = xcalloc(t->n + t->n_gone + 1, sizeof(const struct tcpwatch_life *));
	size_t n = collect(all, t->gone);
	n += collect(all + n, t->first);
	qsort(all, n, sizeof(const struct tcpwatch_life *), compare_lives);
	if (n > 0)
		printf("\n");
	if (t->n_forgotten > 0)
		printf("%zu more sockets, gone before those below\n", t->n_forgotten);
	for (size_t i = 0; i < n; i++)
		print_life(all[i], now_ns);
	free(all);
}

void tcpwatch_print_lives(const struct tcpwatch_options *o, const struct tcpwatch_table *t, uint64_t now_ns)
{
	if (!o->json) {
		print_sorted(t, now_ns);
		return;
	}
	/* Those that are gone had their record. */
	for (const struct tcpwatch_life *l = t->first; l != NULL; l = l->next) {
		if (!l->is_quiet)
			json_life(l, "alive", now_ns);
	}
}

/* --- packets ------------------------------------------------------------------------------------------------------- */

static void json_packet(const struct tcpwatch_pair *pair, unsigned direction, const struct packet *p,
			const struct tcpwatch_sniff *s, uint64_t now_ns)
{
	char from[ADDR_TEXT], to[ADDR_TEXT], text[PACKET_TEXT];
	const struct packet_tcp *t = &p->tcp;
	struct json j;
	record_begin(&j, "packet");
	json_u64(&j, "time_ns", now_ns);
	json_i64(&j, "real_ns", s->real_ns);
	json_u64(&j, "connection", pair->number);
	json_str(&j, "from", addr_text(&pair->end[direction], from));
	json_str(&j, "to", addr_text(&pair->end[!direction], to));
	json_str(&j, "text", packet_text(text, p, &pair->flow, direction, PACKET_EVERYTHING));
	text[strcspn(text, " ")] = '\0';
	json_str(&j, "flags", text);
	json_u64(&j, "seq", t->seq - pair->flow.base[direction]);
	json_u64(&j, "ack", t->flags & PACKET_ACK ? t->ack - pair->flow.base[!direction] : 0);
	json_u64(&j, "payload_bytes", p->payload_len);
	json_u64(&j, "window", t->window);
	json_u64(&j, "ttl", p->ttl);
	json_u64(&j, "ecn", p->ecn);
	json_end(&j);
}

void tcpwatch_print_packet(const struct tcpwatch_options *o, const struct tcpwatch_pair *pair, unsigned direction,
			   const struct packet *p, const struct tcpwatch_sniff *s, uint64_t now_ns)
{
	if (o->json) {
		json_packet(pair, direction, p, s, now_ns);
		return;
	}
	char text[PACKET_TEXT], ports[16];
	snprintf(ports, sizeof(ports), "%u > %u", p->from.port, p->to.port);
	begin_line(o, now_ns, pair->number, ports);
	puts(packet_text(text, p, &pair->flow, direction, o->verbose ? PACKET_EVERYTHING : 0));
}

/* --- the end ------------------------------------------------------------------------------------------------------- */

static uint64_t mean(uint64_t sum, uint64_t n)
{
	return n > 0 ? sum / n : 0;
}

static void json_total(const struct tcpwatch_effort *e, const struct tcpwatch_sniff *s, uint64_t now_ns)
{
	struct json j;
	record_begin(&j, "total");
	json_u64(&j, "elapsed_ns", now_ns);
	json_u64(&j, "appeared", e->appeared);
	json_u64(&j, "gone", e->gone);
	json_u64(&j, "alive", e->appeared - e->gone);
	json_u64(&j, "state_changes", e->changes);
	json_u64(&j, "polls", e->polls);
	json_u64(&j, "torn_polls", e->torn);
	json_u64(&j, "interval_ns", e->interval_ns);
	json_u64(&j, "gap_max_ns", e->gap_max_ns);
	json_u64(&j, "stretched", e->stretched);
	json_u64(&j, "sockets_max", e->sockets_max);
	json_u64(&j, "poll_cpu_ns", mean(e->cpu_ns, e->polls - 1));
	json_u64(&j, "poll_cpu_max_ns", e->cpu_max_ns);
	json_u64(&j, "packets", s->packets);
	json_u64(&j, "packets_dropped", s->dropped);
	json_bool(&j, "interrupted", sig_pending(NULL) != 0);
	json_end(&j);
}

void tcpwatch_print_total(const struct tcpwatch_options *o, const struct tcpwatch_effort *e,
			  const struct tcpwatch_sniff *s, uint64_t now_ns)
{
	if (o->json) {
		json_total(e, s, now_ns);
		return;
	}
	char time[UNITS_TEXT], gap[UNITS_TEXT], cost[UNITS_TEXT];
	printf("\n%s: %llu sockets seen, %llu gone, %llu changes of state\n", time_text(now_ns, time),
	       (unsigned long long)e->appeared, (unsigned long long)e->gone, (unsigned long long)e->changes);
	printf("%llu polls, %s of processor time each, the longest gap %s: what was shorter may be missing\n",
	       (unsigned long long)e->polls, time_text(mean(e->cpu_ns, e->polls - 1), cost),
	       time_text(e->gap_max_ns, gap));
	if (e->torn > 0)
		printf("%llu polls while the kernel's table changed: sockets may be missing there\n",
		       (unsigned long long)e->torn);
	if (o->packets || o->pcap != NULL)
		printf("%llu packets; %llu more were dropped for want of room\n", (unsigned long long)s->packets,
		       (unsigned long long)s->dropped);
}
