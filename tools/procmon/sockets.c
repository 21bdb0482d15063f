/* sockets.c - procmon: a reading of all sockets of a process.
 *
 *	sockets_files.c     which ones there are, and of which protocol
 *	sockets_diag.c      TCP, in the process's network namespace ...
 *	sockets_tables.c    ... or where that is refused from /proc/PID/net; UDP, unix
 *	this file           the reading before: rates and traces; sums; the order
 *
 * A reading is kept until the next one is made. What a connection has moved is told by counters that only grow, so
 * each is compared with itself, and a sum of rates is a sum of differences: it does not fall when a connection
 * ends. */
#include "sockets_rows.h"

#include "clock.h"
#include "mem.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct sockets_memory {
	struct sockets_diag diag;
	struct sockets_rows now, before;
	struct sockets said; /* the reading before, without its rows */
	const struct socket_row **order;
};

const char *socket_kind_name(enum socket_kind kind)
{
	static const char *const names[] = {
		[SOCKET_TCP] = "TCP", [SOCKET_UDP] = "UDP", [SOCKET_UNIX] = "unix", [SOCKET_OTHER] = "other"
	};
	return names[kind];
}

/* --- open and close ----------------------------------------------------------------------------------------------- */

int sockets_open(struct sockets *s, const struct procfs *p, struct net_error *e)
{
	*s = (struct sockets){ .in_Bps = NAN, .out_Bps = NAN, .retransmits_per_s = NAN };
	s->memory = xcalloc(1, sizeof(*s->memory));
	if (sockets_diag_follow(&s->memory->diag, p, e) == 0 || (e->sys != EMFILE && e->sys != ENFILE))
		return 0;
	sockets_close(s);
	return -1;
}

void sockets_close(struct sockets *s)
{
	if (s->memory != NULL) {
		sockets_diag_close(&s->memory->diag);
		free(s->memory->now.row);
		free(s->memory->before.row);
		free(s->memory->order);
		free(s->memory);
	}
	free(s->row);
	*s = (struct sockets){ 0 };
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

static const char *reason_of(const struct net_error *e)
{
	return e->reason != NULL ? e->reason : "sock_diag does not answer: no round trip, window and rates";
}

static void read_tcp(struct sockets *s, const struct procfs *p)
{
	struct sockets_memory *m = s->memory;
	struct net_error e;
	s->source = "sock_diag";
	if (sockets_diag_follow(&m->diag, p, &e) == 0 && sockets_diag_read(&m->diag, &m->now, &m->before, &e) == 0)
		return;
	s->source = "/proc/PID/net/tcp";
	s->why = reason_of(&e);
	if (sockets_read_table(&m->now, SOCKET_TCP, p) < 0)
		s->why = procfs_why(p, errno);
}

/* Sockets of this kind, or such as may be. */
static bool has_kind(const struct sockets_rows *rows, enum socket_kind kind)
{
	for (size_t i = 0; i < rows->n; i++) {
		if (rows->row[i].kind == kind ||
		    (rows->row[i].kind == SOCKET_OTHER && rows->row[i].protocol[0] == '\0'))
			return true;
	}
	return false;
}

static void read_kinds(struct sockets *s, const struct procfs *p)
{
	static const enum socket_kind tables[] = { SOCKET_UDP, SOCKET_UNIX };
	struct sockets_rows *now = &s->memory->now;
	s->source = NULL;
	now->is_complete = true;
	if (has_kind(now, SOCKET_TCP)) {
		now->is_complete = false;
		read_tcp(s, p);
	}
	for (size_t i = 0; i < COUNT_OF(tables); i++) {
		if (has_kind(now, tables[i]) && sockets_read_table(now, tables[i], p) < 0)
			s->why = procfs_why(p, errno);
	}
}

/* --- what has changed since the reading before -------------------------------------------------------------------- */

/* connect(2) may have been called again on the same socket: then its counters have begun again. */
static bool is_same_connection(const struct sockdiag_socket *a, const struct sockdiag_socket *b)
{
	return a->cookie == b->cookie && addr_equal(&a->local, &b->local) && addr_equal(&a->peer, &b->peer);
}

/* A counter never falls; if one does (TCP_REPAIR, tcp(7)) there is no negative rate. */
static double per_second(uint64_t now, uint64_t before, uint64_t interval_ns)
{
	return now <= before ? 0 : (double)(now - before) * NS_PER_S / (double)interval_ns;
}

/* interval_ns 0: there is nothing to compare with. */
static void put_rates(struct socket_row *r, const struct socket_row *before, uint64_t interval_ns)
{
	static const struct tcpinfo from_zero;
	r->out_Bps = r->in_Bps = r->retransmits_per_s = NAN;
	if (interval_ns == 0 || r->kind != SOCKET_TCP || !r->tcp.has_info)
		return;
	const struct tcpinfo *now = &r->tcp.info, *then = &from_zero;
	if (before != NULL && before->tcp.has_info && is_same_connection(&before->tcp, &r->tcp))
		then = &before->tcp.info;
	r->out_Bps = per_second(now->bytes_acked, then->bytes_acked, interval_ns);
	r->in_Bps = per_second(now->bytes_received, then->bytes_received, interval_ns);
	r->retransmits_per_s = per_second(now->retransmits, then->retransmits, interval_ns);
}

/* The trace before, or none, moved on by one place. */
static void put_trace(struct socket_row *r, const struct socket_row *before)
{
	for (size_t i = 0; i + 1 < SOCKETS_TRACE; i++)
		r->trace_Bps[i] = before != NULL ? before->trace_Bps[i + 1] : NAN;
	r->trace_Bps[SOCKETS_TRACE - 1] = r->in_Bps + r->out_Bps;
}

/* How long it is since the reading before; 0: there is none to compare with. */
static uint64_t interval_of(const struct sockets_memory *m)
{
	/* Where the reading before did not know the counters, all connections would seem to be new. */
	if (m->before.at_ns == 0 || !m->before.is_complete || !m->now.is_complete)
		return 0;
	return m->now.at_ns > m->before.at_ns ? m->now.at_ns - m->before.at_ns : 0;
}

/* --- sums --------------------------------------------------------------------------------------------------------- */

static void add(struct sockets *s, const struct socket_row *r)
{
	if (r->kind != SOCKET_TCP || r->tcp.state == SOCKDIAG_CLOSED)
		return;
	s->n_tcp++;
	if (r->tcp.state != SOCKDIAG_LISTEN) {
		s->recv_queue += r->tcp.recv_queue;
		s->send_queue += r->tcp.send_queue;
	}
	if (!r->tcp.has_info)
		return;
	s->retransmits += r->tcp.info.retransmits;
	s->in_Bps += r->in_Bps;
	s->out_Bps += r->out_Bps;
	s->retransmits_per_s += r->retransmits_per_s;
}

static void compare_and_sum(struct sockets *s)
{
	struct sockets_memory *m = s->memory;
	uint64_t interval_ns = interval_of(m);
	s->n_tcp = s->recv_queue = s->send_queue = s->retransmits = 0;
	s->in_Bps = s->out_Bps = s->retransmits_per_s = interval_ns != 0 ? 0 : NAN;
	for (size_t i = 0; i < m->now.n; i++) {
		struct socket_row *r = &m->now.row[i];
		const struct socket_row *before = sockets_find(&m->before, r->inode);
		put_rates(r, before, interval_ns);
		put_trace(r, before);
		add(s, r);
	}
}

/* --- order -------------------------------------------------------------------------------------------------------- */

static int rank(const struct socket_row *r)
{
	return r->kind == SOCKET_TCP ? r->tcp.state != SOCKDIAG_LISTEN : 1 + (int)r->kind;
}

/* What moves now; what has moved ever; what waits. */
static double weight(const struct socket_row *r, unsigned which)
{
	switch (which) {
	case 0:
		return isnan(r->in_Bps) ? (double)r->drops : r->in_Bps + r->out_Bps;
	case 1:
		return (double)r->tcp.info.bytes_acked + (double)r->tcp.info.bytes_received;
	default:
		return (double)r->tcp.recv_queue + (r->tcp.state != SOCKDIAG_LISTEN ? (double)r->tcp.send_queue : 0);
	}
}

static int compare_rows(const void *a, const void *b)
{
	const struct socket_row *x = *(const struct socket_row *const *)a, *y = *(const struct socket_row *const *)b;
	if (rank(x) != rank(y))
		return rank(x) - rank(y);
	for (unsigned which = 0; which < 3; which++) {
		double more = weight(x, which), less = weight(y, which);
		if (more != less)
			return more > less ? -1 : 1;
	}
	return x->inode < y->inode ? -1 : x->inode > y->inode;
}

/* The rows themselves are large and stay where they are. */
static void show(struct sockets *s)
{
	struct sockets_memory *m = s->memory;
	m->order = xrealloc(m->order, (m->now.n + 1) * sizeof(*m->order));
	for (size_t i = 0; i < m->now.n; i++)
		m->order[i] = &m->now.row[i];
	qsort(m->order, m->now.n, sizeof(*m->order), compare_rows);

	s->n = m->now.n < SOCKETS_MAX ? m->now.n : SOCKETS_MAX;
	s->n_more = m->now.n - s->n;
	s->row = xrealloc(s->row, (s->n + 1) * sizeof(*s->row));
	for (size_t i = 0; i < s->n; i++)
		s->row[i] = *m->order[i];
}

/* --- a reading ---------------------------------------------------------------------------------------------------- */

static void swap_readings(struct sockets_memory *m)
{
	struct sockets_rows before = m->before;
	m->before = m->now;
	m->now = before;
}

void sockets_read(struct sockets *s, const struct files *files, const struct procfs *p, uint64_t now_ns)
{
	struct sockets_memory *m = s->memory;
	swap_readings(m);
	m->said = *s;

	m->now.at_ns = s->at_ns = now_ns;
	s->why = files->n_more > 0 ? "it has more descriptors than are looked at, and may have more sockets"
				   : files->why;
	s->is_known = files->n_more == 0 && (files->n > 0 || files->why == NULL);
	sockets_take_files(&m->now, files, &m->before);
	read_kinds(s, p);
	compare_and_sum(s);
	show(s);
}

void sockets_undo(struct sockets *s)
{
	struct socket_row *row = s->row; /* may have moved */
	swap_readings(s->memory);
	*s = s->memory->said;
	s->row = row;
	show(s);
}
