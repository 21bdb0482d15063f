/* watch.c - the loop: poll the kernel's sockets, compare with the last poll, tell what is different.
 *
 *	     +--> wait for the next poll; meanwhile packets, when asked for, are printed as they come
 *	     |    dump     all sockets; the clock is read when the dump is over, that is the time of the poll
 *	     |    packets  that passed before that time: what caused a change stands above it
 *	     |    compare  each socket of the dump with what it was: appeared, another state, other figures
 *	     +--- missing  sockets that were in the last dump and are not in this one: gone
 *
 * A poll that costs more than half of the interval, in processor time, is a reason to poll less often: see mind_cost(). */
#include "tcpwatch.h"

#include "clock.h"
#include "diag.h"
#include "record.h"
#include "sig.h"

#include <poll.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
	HOT_POLLS = 3, /* one dear poll may be chance */
	STRETCH = 4,   /* a stretched interval leaves three quarters of the processor to others */
	RELAX = 16,    /* and is given up when a poll takes less than this part of it */
};

struct watch {
	struct tcpwatch_options *o;
	struct sockdiag diag;
	struct tcpwatch_table table;
	struct tcpwatch_sniff sniff;
	struct tcpwatch_effort effort;
	struct sockdiag_filter filter;
	uint16_t ports[TCPWATCH_OPERANDS];
	uint64_t start_ns, end_ns; /* by the clock; all other times count from start_ns */
	uint64_t last_poll_ns, last_told_ns;
	unsigned hot, cool;
	bool is_unheard; /* standard output leads nowhere */
	struct net_error error;
};

/* --- who is watched ------------------------------------------------------------------------------------------------ */

static bool is_address(const struct tcpwatch_target *t, const struct addr *a)
{
	for (size_t i = 0; i < t->n_addr; i++) {
		if (addr_equal(&t->addr[i], a))
			return true;
	}
	return false;
}

static bool is_target(const struct tcpwatch_target *t, const struct addr *here, const struct addr *there)
{
	if (t->kind == TARGET_PORT)
		return addr_port(here) == t->port || addr_port(there) == t->port;
	return t->kind == TARGET_ADDRESS && (is_address(t, here) || is_address(t, there));
}

static bool is_family(const struct tcpwatch_options *o, const struct addr *a)
{
	return !(o->ipv4 && a->u.sa.sa_family != AF_INET) && !(o->ipv6 && a->u.sa.sa_family != AF_INET6);
}

bool tcpwatch_is_wanted(const struct tcpwatch_options *o, const struct sockdiag_socket *s, uint64_t poll)
{
	if (!is_family(o, &s->local) || (s->state == SOCKDIAG_LISTEN && !o->listeners))
		return false;
	for (size_t i = 0; i < o->n_targets; i++) {
		const struct tcpwatch_target *t = &o->target[i];
		if (t->kind == TARGET_PROCESS ? tcpwatch_process_has(t->process, s->inode, poll)
					      : is_target(t, &s->local, &s->peer))
			return true;
	}
	return o->n_targets == 0;
}

struct sockdiag_filter tcpwatch_filter(const struct tcpwatch_options *o, uint16_t ports[static TCPWATCH_OPERANDS])
{
	struct sockdiag_filter f = { .ports = ports };
	for (size_t i = 0; i < o->n_targets; i++) {
		if (o->target[i].kind == TARGET_PROCESS)
			return (struct sockdiag_filter){ 0 };
		ports[f.n_ports++] = o->target[i].port;
	}
	return f;
}

/* --- packets ------------------------------------------------------------------------------------------------------- */

static struct addr addr_of(const struct packet *p, const struct packet_end *end)
{
	struct addr a = { 0 };
	if (p->version == 4) {
		a.len = sizeof(a.u.in4);
		a.u.in4 = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(end->port) };
		memcpy(&a.u.in4.sin_addr, end->ip, sizeof(a.u.in4.sin_addr));
	} else {
		a.len = sizeof(a.u.in6);
		a.u.in6 = (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_port = htons(end->port) };
		memcpy(&a.u.in6.sin6_addr, end->ip, sizeof(a.u.in6.sin6_addr));
	}
	return a;
}

/* Of a process only the connections are known that a poll has found. */
static bool is_packet_wanted(const struct tcpwatch_options *o, const struct addr *from, const struct addr *to,
			     const struct tcpwatch_pair *pair)
{
	if (!is_family(o, from))
		return false;
	if (o->n_targets == 0 || (pair != NULL && pair->n_lives > 0))
		return true;
	for (size_t i = 0; i < o->n_targets; i++) {
		if (is_target(&o->target[i], from, to))
			return true;
	}
	return false;
}

/* A SYN with another number than the last one, or on a connection that was there before we saw packets. */
static bool begins_anew(const struct tcpwatch_pair *pair, unsigned direction, const struct packet *p)
{
	const struct packet_flow *f = &pair->flow;
	if ((p->tcp.flags & (PACKET_SYN | PACKET_ACK)) != PACKET_SYN)
		return false;
	if (!f->is_known[0] && !f->is_known[1])
		return pair->had_lives;
	return f->is_known[direction] && f->base[direction] != p->tcp.seq;
}

/* Packets tell for sure what states leave open: who ended it, and how. */
static void note_end(struct tcpwatch_pair *pair, unsigned direction, const struct packet *p)
{
	if (pair->end_flag != 0)
		return;
	pair->end_flag = p->tcp.flags & (PACKET_RST | PACKET_FIN);
	pair->end_direction = direction;
}

/* By how much the time of day is ahead of the monotonic clock. Between two looks we may have to wait for a processor:
 * of a few pairs the closest counts. */
static int64_t real_minus_mono_ns(void)
{
	int64_t found_ns = 0;
	uint64_t least_ns = UINT64_MAX;
	for (int i = 0; i < 3; i++) {
		uint64_t before_ns = clk_mono_ns();
		int64_t real_ns = clk_real_ns();
		uint64_t took_ns = clk_mono_ns() - before_ns;
		if (took_ns >= least_ns)
			continue;
		least_ns = took_ns;
		found_ns = real_ns - (int64_t)(before_ns + took_ns / 2);
	}
	return found_ns;
}

/* No earlier than what was told before: the difference of the clocks is known to some nanoseconds only. */
static uint64_t time_of_packet(struct watch *w, int64_t ahead_ns)
{
	uint64_t passed_ns = (uint64_t)(w->sniff.real_ns - ahead_ns);
	uint64_t now_ns = passed_ns > w->start_ns ? passed_ns - w->start_ns : 0;
	if (now_ns > w->last_told_ns)
		w->last_told_ns = now_ns;
	return w->last_told_ns;
}

static void take_packet(struct watch *w, int64_t ahead_ns)
{
	struct tcpwatch_sniff *s = &w->sniff;
	struct packet p;
	if (!packet_decode(&p, PACKET_RAW, s->buffer, s->captured, s->len) || p.protocol != PACKET_TCP || !p.has_header)
		return;
	struct addr from = addr_of(&p, &p.from), to = addr_of(&p, &p.to);
	uint64_t now_ns = time_of_packet(w, ahead_ns);
	unsigned direction;
	if (!is_packet_wanted(w->o, &from, &to, tcpwatch_find_pair(&w->table, &from, &to, &direction)))
		return;
	struct tcpwatch_pair *pair = tcpwatch_pair(&w->table, &from, &to, now_ns, &direction);
	if (begins_anew(pair, direction, &p))
		tcpwatch_begin_anew(&w->table, pair);
	packet_flow_see(&pair->flow, direction, &p);
	note_end(pair, direction, &p);
	tcpwatch_sniff_keep(s);
	if (w->o->packets)
		tcpwatch_print_packet(w->o, pair, direction, &p, s, now_ns);
}

/* Those that passed until then; a later one is for the next time: what a poll tells comes first. WHY two clocks:
 * packets are stamped with the time of day, everything else here is monotonic; the difference is taken afresh each
 * time, so that setting the clock does no lasting harm. */
static void take_packets(struct watch *w, uint64_t until_ns)
{
	if (w->sniff.fd < 0)
		return;
	int64_t ahead_ns = real_minus_mono_ns();
	while (tcpwatch_sniff_next(&w->sniff, (int64_t)(w->start_ns + until_ns) + ahead_ns))
		take_packet(w, ahead_ns);
	w->last_told_ns = until_ns;
}

/* --- one socket ---------------------------------------------------------------------------------------------------- */

/* Who sent the first FIN, as far as states tell (RFC 9293 3.6). */
static enum tcpwatch_closer closer_of(enum sockdiag_state state)
{
	switch (state) {
	case SOCKDIAG_FIN_WAIT_1:
	case SOCKDIAG_FIN_WAIT_2:
	case SOCKDIAG_TIME_WAIT:
		return CLOSER_LOCAL;
	case SOCKDIAG_CLOSE_WAIT:
	case SOCKDIAG_LAST_ACK:
		return CLOSER_PEER;
	case SOCKDIAG_CLOSING:
		return CLOSER_BOTH;
	default:
		return CLOSER_UNKNOWN;
	}
}

/* The first state that tells is right, but for CLOSING: that comes after FIN-WAIT-1 and says more. */
static void note_closer(struct tcpwatch_life *l)
{
	enum tcpwatch_closer c = closer_of(l->now.state);
	if (c == CLOSER_BOTH || l->closer == CLOSER_UNKNOWN)
		l->closer = c;
}

static void note_end_of_packets(struct tcpwatch_life *l)
{
	const struct tcpwatch_pair *pair = l->pair;
	if (pair == NULL || pair->end_flag == 0)
		return;
	bool is_ours = addr_equal(&pair->end[pair->end_direction], &l->now.local);
	enum tcpwatch_closer who = is_ours ? CLOSER_LOCAL : CLOSER_PEER;
	if (pair->end_flag & PACKET_RST)
		l->resetter = who;
	else if (l->closer == CLOSER_UNKNOWN)
		l->closer = who;
}

static void appear(struct watch *w, const struct sockdiag_socket *s, unsigned replaced, uint64_t now_ns)
{
	struct tcpwatch_life *l = tcpwatch_add(&w->table, s, replaced, now_ns);
	l->poll = w->effort.polls;
	l->was_there = w->effort.polls == 1;
	l->is_quiet = l->was_there && s->state == SOCKDIAG_TIME_WAIT;
	note_closer(l);
	if (l->is_quiet)
		return;
	if (!l->was_there) /* what it has moved already is news */
		l->told = (struct sockdiag_socket){ 0 };
	w->effort.appeared++;
	tcpwatch_print_appeared(w->o, l, now_ns);
}

static void disappear(struct watch *w, struct tcpwatch_life **link, uint64_t now_ns)
{
	struct tcpwatch_life *l = *link, *other = tcpwatch_find_reverse(&w->table, l);
	l->in_state_ns[l->now.state] += now_ns - l->since_ns;
	l->gone_ns = now_ns;
	/* Where both ends are here and one was too quick, the other one knows. */
	if (l->closer == CLOSER_UNKNOWN && other != NULL && other->closer == CLOSER_LOCAL)
		l->closer = CLOSER_PEER;
	note_end_of_packets(l);
	tcpwatch_retire(&w->table, link);
	if (l->is_quiet)
		return;
	w->effort.gone++;
	tcpwatch_print_gone(w->o, l, now_ns);
}

/* In TIME-WAIT, and in FIN-WAIT-2 after close(2), the kernel keeps a note with another cookie instead of the socket. */
static bool is_note(const struct sockdiag_socket *s)
{
	return !s->has_info && (s->state == SOCKDIAG_TIME_WAIT || s->state == SOCKDIAG_FIN_WAIT_2);
}

static bool is_same(const struct sockdiag_socket *before, const struct sockdiag_socket *now)
{
	return before->cookie == now->cookie || (is_note(now) && !is_note(before));
}

static void change_state(struct watch *w, struct tcpwatch_life *l, const struct sockdiag_socket *s, uint64_t now_ns)
{
	enum sockdiag_state before = l->now.state;
	uint64_t after_ns = now_ns - l->since_ns;
	l->in_state_ns[before] += after_ns;
	l->since_ns = now_ns;
	l->seen_states |= SOCKDIAG_BIT(s->state);
	l->now.state = s->state;
	note_closer(l);
	w->effort.changes++;
	tcpwatch_print_state(w->o, l, before, after_ns, now_ns);
}

/* What a note does not know is what the socket knew last. */
static void take_figures(struct tcpwatch_life *l, const struct sockdiag_socket *s)
{
	struct sockdiag_socket before = l->now;
	l->now = *s;
	if (s->has_info)
		return;
	l->now.info = before.info;
	if (s->inode == 0)
		l->now.inode = before.inode;
	if (is_note(s))
		l->now.uid = before.uid;
}

static bool has_news(const struct tcpwatch_life *l)
{
	const struct sockdiag_socket *now = &l->now, *told = &l->told;
	return now->recv_queue != told->recv_queue || now->send_queue != told->send_queue ||
	       now->info.bytes_acked != told->info.bytes_acked ||
	       now->info.bytes_received != told->info.bytes_received ||
	       now->info.retransmits != told->info.retransmits ||
	       (now->timer == SOCKDIAG_PERSIST) != (told->timer == SOCKDIAG_PERSIST);
}

/* One more timeout without an answer: that is told at once; the kernel waits twice as long each time. */
static bool has_timeout(const struct tcpwatch_life *l, unsigned count_before)
{
	return l->now.timer_count > count_before;
}

static void compare(struct watch *w, struct tcpwatch_life *l, const struct sockdiag_socket *s, uint64_t now_ns)
{
	unsigned count_before = l->now.timer_count;
	l->poll = w->effort.polls;
	if (s->state != l->now.state)
		change_state(w, l, s, now_ns);
	take_figures(l, s);
	if (is_note(s))
		return;
	bool is_due = l->told_ns == 0 || now_ns - l->told_ns >= w->o->report_ns;
	if (!has_timeout(l, count_before) && !(is_due && has_news(l)))
		return;
	tcpwatch_print_info(w->o, l, now_ns);
	l->told = l->now;
	l->told_ns = now_ns;
}

/* --- one poll ------------------------------------------------------------------------------------------------------ */

static struct tcpwatch_life **link_of(struct tcpwatch_table *t, const struct tcpwatch_life *l)
{
	struct tcpwatch_life **link = &t->first;
	while (*link != l)
		link = &(*link)->next;
	return link;
}

static void take_socket(struct watch *w, const struct sockdiag_socket *s, uint64_t now_ns)
{
	struct tcpwatch_life *l = tcpwatch_find(&w->table, s);
	if (l != NULL && is_same(&l->now, s)) {
		compare(w, l, s, now_ns);
		return;
	}
	/* The same addresses, but another socket: the old one ended between two polls. */
	unsigned replaced = l != NULL ? l->number : 0;
	if (l != NULL)
		disappear(w, link_of(&w->table, l), now_ns);
	if (tcpwatch_is_wanted(w->o, s, w->effort.polls))
		appear(w, s, replaced, now_ns);
}

/* A dump may leave out a socket while the table changes (sockdiag.h): ask for it by name before it is called gone. */
static bool is_really_gone(struct watch *w, struct tcpwatch_life *l, uint64_t now_ns)
{
	struct sockdiag_socket s;
	if (l->now.state == SOCKDIAG_LISTEN)
		return true;
	if (sockdiag_find(&w->diag, &l->now.local, &l->now.peer, l->now.interface, &s, &w->error) != 1)
		return true;
	if (!is_same(&l->now, &s))
		return true;
	sockdiag_leave_out_syn_fin(&s);
	compare(w, l, &s, now_ns);
	return false;
}

static void take_missing(struct watch *w, uint64_t now_ns)
{
	struct tcpwatch_life **link = &w->table.first;
	while (*link != NULL) {
		if ((*link)->poll != w->effort.polls && is_really_gone(w, *link, now_ns))
			disappear(w, link, now_ns);
		else
			link = &(*link)->next;
	}
}

static uint64_t cpu_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

/* LIMIT: the processor time is that of this thread; what the kernel does elsewhere on behalf of a dump is nothing. */
static void mind_cost(struct watch *w, uint64_t spent_ns)
{
	struct tcpwatch_effort *e = &w->effort;
	if (e->polls == 1) /* mostly the printing of all that is there */
		return;
	e->cpu_ns += spent_ns;
	if (spent_ns > e->cpu_max_ns)
		e->cpu_max_ns = spent_ns;
	w->hot = spent_ns > e->interval_ns / 2 ? w->hot + 1 : 0;
	w->cool = e->interval_ns > w->o->interval_ns && spent_ns < e->interval_ns / RELAX ? w->cool + 1 : 0;
	if (w->hot < HOT_POLLS && w->cool < HOT_POLLS)
		return;
	e->stretched += w->hot == HOT_POLLS;
	w->hot = w->cool = 0;
	e->interval_ns = STRETCH * spent_ns > w->o->interval_ns ? STRETCH * spent_ns : w->o->interval_ns;
	tcpwatch_print_stretch(w->o, spent_ns, e->interval_ns, w->diag.n);
}

static void note_gap(struct watch *w, uint64_t now_ns)
{
	struct tcpwatch_effort *e = &w->effort;
	uint64_t gap_ns = now_ns - w->last_poll_ns;
	if (e->polls > 1 && gap_ns > e->gap_max_ns)
		e->gap_max_ns = gap_ns;
	w->last_poll_ns = now_ns;
}

/* 0, or -1 with w->error. */
static int poll_once(struct watch *w)
{
	uint64_t before_ns = cpu_ns();
	if (sockdiag_dump(&w->diag, &w->filter, &w->error) < 0)
		return -1;
	uint64_t spent_ns = cpu_ns() - before_ns, now_ns = clk_mono_ns() - w->start_ns;
	tracef("sockdiag_dump() = %zu sockets in %llu ns", w->diag.n, (unsigned long long)spent_ns);
	take_packets(w, now_ns);
	before_ns = cpu_ns();
	w->effort.polls++;
	w->effort.torn += w->diag.is_torn;
	if (w->diag.n > w->effort.sockets_max)
		w->effort.sockets_max = w->diag.n;
	note_gap(w, now_ns);
	for (size_t i = 0; i < w->diag.n; i++) {
		sockdiag_leave_out_syn_fin(&w->diag.sockets[i]);
		take_socket(w, &w->diag.sockets[i], now_ns);
	}
	take_missing(w, now_ns);
	mind_cost(w, spent_ns + cpu_ns() - before_ns);
	return 0;
}

/* --- from beginning to end ----------------------------------------------------------------------------------------- */

/* In TIME-WAIT nothing happens any more that one could wait for; listeners do not end. */
static bool has_open_connections(const struct tcpwatch_table *t)
{
	for (const struct tcpwatch_life *l = t->first; l != NULL; l = l->next) {
		if (l->now.state != SOCKDIAG_TIME_WAIT && l->now.state != SOCKDIAG_LISTEN)
			return true;
	}
	return false;
}

static bool have_processes_ended(const struct tcpwatch_options *o)
{
	for (size_t i = 0; i < o->n_targets; i++) {
		if (o->target[i].kind != TARGET_PROCESS || tcpwatch_process_lives(o->target[i].process))
			return false;
	}
	return o->n_targets > 0;
}

static bool has_seen_connections(const struct tcpwatch_table *t)
{
	for (const struct tcpwatch_life *l = t->first; l != NULL; l = l->next) {
		if (l->now.state != SOCKDIAG_LISTEN && !l->is_quiet)
			return true;
	}
	for (const struct tcpwatch_life *l = t->gone; l != NULL; l = l->next) {
		if (l->now.state != SOCKDIAG_LISTEN && !l->is_quiet)
			return true;
	}
	return false;
}

static bool is_over(const struct watch *w)
{
	if (sig_pending(NULL) != 0 || clk_mono_ns() >= w->end_ns || w->is_unheard || ferror(stdout))
		return true;
	if (!w->o->until_closed || has_open_connections(&w->table))
		return false;
	return has_seen_connections(&w->table) || have_processes_ended(w->o);
}

/* Also ends when nobody can read what we print any more: a closed pipe reports an error that nobody asked for (poll(2)). */
static void wait_until(struct watch *w, uint64_t deadline_ns)
{
	struct pollfd fds[] = { { .fd = STDOUT_FILENO }, { .fd = w->sniff.fd, .events = POLLIN } };
	while (clk_mono_ns() < deadline_ns && sig_pending(NULL) == 0 && !w->is_unheard) {
		if (sig_wait(fds, COUNT_OF(fds), deadline_ns) <= 0)
			continue;
		w->is_unheard = fds[0].revents != 0;
		take_packets(w, clk_mono_ns() - w->start_ns);
	}
}

static int poll_on(struct watch *w)
{
	uint64_t next_ns = w->start_ns;
	for (;;) {
		if (poll_once(w) < 0)
			return -1;
		if (w->effort.polls == 1)
			tcpwatch_announce(w->o);
		if (is_over(w))
			return 0;
		uint64_t now_ns = clk_mono_ns();
		next_ns += w->effort.interval_ns;
		if (next_ns <= now_ns) /* too late for that one: do not run after it */
			next_ns = now_ns + w->effort.interval_ns;
		wait_until(w, next_ns < w->end_ns ? next_ns : w->end_ns);
	}
}

static int fail(const struct watch *w)
{
	record_error(w->o->json, &w->error);
	return 1;
}

static int finish(struct watch *w, int result)
{
	int status = 0;
	uint64_t now_ns = clk_mono_ns() - w->start_ns;
	tcpwatch_sniff_count(&w->sniff);
	bool is_written = tcpwatch_sniff_close(&w->sniff, w->o, &w->error) == 0;
	if (result == 0)
		tcpwatch_print_lives(w->o, &w->table, now_ns);
	if (result < 0 || !is_written)
		status = fail(w);
	else
		tcpwatch_print_total(w->o, &w->effort, &w->sniff, now_ns);
	return status != 0 ? status : sig_exit_status(0);
}

int tcpwatch_watch(struct tcpwatch_options *o)
{
	struct watch w = { .o = o, .effort.interval_ns = o->interval_ns };
	if (sockdiag_open(&w.diag, &w.error) < 0)
		return fail(&w);
	if (tcpwatch_sniff_open(&w.sniff, o, &w.error) < 0) {
		sockdiag_close(&w.diag);
		return fail(&w);
	}
	w.filter = tcpwatch_filter(o, w.ports);
	w.start_ns = clk_mono_ns();
	w.end_ns = o->time_ns != 0 ? w.start_ns + o->time_ns : CLK_NEVER;
	tcpwatch_table_start(&w.table);
	tcpwatch_print_start(o, clk_real_ns());
	int status = finish(&w, poll_on(&w));
	tcpwatch_table_stop(&w.table);
	sockdiag_close(&w.diag);
	return status;
}
