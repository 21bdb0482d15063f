/* once.c - one look: the sockets as they are, in a table, and what the columns mean. */
#include "tcpwatch.h"

#include "diag.h"
#include "record.h"
#include "units.h"

#include <stdio.h>

struct count {
	uint64_t sockets, listeners, bytes_queued;
};

/* --- text ---------------------------------------------------------------------------------------------------------- */

/* "64 KiB" takes room that a table has not: "64K", or the number as it is. */
static const char *queue_text(uint64_t n, char out[static UNITS_TEXT])
{
	snprintf(out, UNITS_TEXT, "%llu", (unsigned long long)n);
	return out;
}

static const char *timer_text(const struct sockdiag_socket *s, char *out, size_t cap)
{
	static const char *const names[] = { "", "retransmit", "keepalive", "time-wait", "persist" };
	char left[UNITS_TEXT], count[32] = "";
	if (s->timer_count > 0)
		snprintf(count, sizeof(count), ", %u in vain", s->timer_count);
	if (s->timer == SOCKDIAG_NO_TIMER)
		out[0] = '\0';
	else
		snprintf(out, cap, "%s in %s%s", names[s->timer], units_duration(left, s->timer_left_ns), count);
	return out;
}

static void print_path(const struct tcpinfo *i, const char *congestion)
{
	char rtt[UNITS_TEXT], rto[UNITS_TEXT], min[UNITS_TEXT];
	printf("              %s cwnd %llu", congestion[0] != '\0' ? congestion : "congestion control unknown,",
	       (unsigned long long)i->cwnd);
	if (i->ssthresh != TCPINFO_NO_SSTHRESH)
		printf(", ssthresh %llu", (unsigned long long)i->ssthresh);
	printf(", mss %llu, rtt %s (least %s), rto %s\n", (unsigned long long)i->mss, units_duration(rtt, i->rtt_ns),
	       units_duration(min, i->min_rtt_ns), units_duration(rto, i->rto_ns));
}

static void print_moved(const struct tcpinfo *i)
{
	char acked[UNITS_TEXT], received[UNITS_TEXT];
	printf("              acked %s, received %s, in flight %llu\n", units_size(acked, i->bytes_acked),
	       units_size(received, i->bytes_received), (unsigned long long)i->unacked);
}

/* What holds it up, or did: one line, or none. */
static void print_trouble(const struct tcpinfo *i)
{
	char text[UNITS_TEXT];
	const char *lead = "              ";
	if (i->not_sent > 0) {
		printf("%snot sent yet %s", lead, units_size(text, i->not_sent));
		lead = ", ";
	}
	if (i->retransmits > 0) {
		printf("%sretransmits %llu", lead, (unsigned long long)i->retransmits);
		lead = ", ";
	}
	if (i->lost + i->sacked > 0) {
		printf("%slost %llu, sacked %llu", lead, (unsigned long long)i->lost, (unsigned long long)i->sacked);
		lead = ", ";
	}
	if (i->rwnd_limited_ns > 0) {
		printf("%sheld up by the peer's window for %s", lead, units_duration(text, i->rwnd_limited_ns));
		lead = ", ";
	}
	if (*lead == ',')
		printf("\n");
}

static void print_socket(const struct sockdiag_socket *s)
{
	char local[ADDR_TEXT], peer[ADDR_TEXT], in[UNITS_TEXT], out[UNITS_TEXT], timer[80];
	printf("%-12s %8s %8s  %-22s %-22s %s\n", sockdiag_state_name(s->state), queue_text(s->recv_queue, in),
	       queue_text(s->send_queue, out), addr_text(&s->local, local),
	       s->state == SOCKDIAG_LISTEN ? "-" : addr_text(&s->peer, peer), timer_text(s, timer, sizeof(timer)));
	if (!s->has_info || s->state == SOCKDIAG_LISTEN)
		return;
	print_path(&s->info, s->congestion);
	print_moved(&s->info);
	print_trouble(&s->info);
}

static void print_legend(const struct tcpwatch_options *o)
{
	puts("\nRecv-Q  bytes that came and wait for the program to read them");
	puts("Send-Q  bytes that the program wrote and the peer has not acknowledged");
	if (o->listeners)
		puts("        of a listener: connections that wait for accept, and the backlog, how many may (plus one)");
	puts("cwnd, ssthresh, in flight, lost, sacked count segments of at most mss bytes; rto: the retransmission timeout");
}

/* --- records ------------------------------------------------------------------------------------------------------- */

static void print_record(const struct sockdiag_socket *s)
{
	struct json j;
	record_begin(&j, "socket");
	tcpwatch_json_socket(&j, s);
	json_end(&j);
}

static void print_total(const struct tcpwatch_options *o, const struct count *c)
{
	if (!o->json) {
		printf("%s%llu sockets, %llu of them listeners\n", c->sockets > 0 ? "\n" : "",
		       (unsigned long long)c->sockets, (unsigned long long)c->listeners);
		return;
	}
	struct json j;
	record_begin(&j, "total");
	json_u64(&j, "sockets", c->sockets);
	json_u64(&j, "listeners", c->listeners);
	json_bool(&j, "interrupted", false);
	json_end(&j);
}

/* ------------------------------------------------------------------------------------------------------------------- */

static void print_all(const struct tcpwatch_options *o, struct sockdiag *d)
{
	struct count c = { 0 };
	for (size_t i = 0; i < d->n; i++) {
		struct sockdiag_socket *s = &d->sockets[i];
		if (!tcpwatch_is_wanted(o, s, 1))
			continue;
		sockdiag_leave_out_syn_fin(s);
		if (c.sockets == 0 && !o->json)
			printf("%-12s %8s %8s  %-22s %-22s %s\n", "state", "Recv-Q", "Send-Q", "local", "peer",
			       "timer");
		c.sockets++;
		c.listeners += s->state == SOCKDIAG_LISTEN;
		if (o->json)
			print_record(s);
		else
			print_socket(s);
	}
	if (!o->json && c.sockets > 0)
		print_legend(o);
	print_total(o, &c);
}

int tcpwatch_once(struct tcpwatch_options *o)
{
	struct sockdiag d;
	struct net_error e;
	uint16_t ports[TCPWATCH_OPERANDS];
	struct sockdiag_filter f = tcpwatch_filter(o, ports);
	if (sockdiag_open(&d, &e) < 0 || sockdiag_dump(&d, &f, &e) < 0) {
		sockdiag_close(&d);
		record_error(o->json, &e);
		return 1;
	}
	if (d.is_torn)
		warnf("the kernel's table changed while it was read: sockets may be missing");
	print_all(o, &d);
	sockdiag_close(&d);
	return 0;
}
