/* tables.c - see tables.h. A table is a list of columns; a cell is a function of its row. */
#include "tables.h"

#include "mem.h"
#include "screen.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void put_count(char out[static PEN_CELL], uint64_t n)
{
	snprintf(out, PEN_CELL, "%llu", (unsigned long long)n);
}

static void put_value(char out[static PEN_CELL], enum column column, double value)
{
	char text[UNITS_TEXT];
	snprintf(out, PEN_CELL, "%s", column_text(text, column, value));
}

const char *tables_command(const struct watched *w, char out[static PEN_CELL])
{
	size_t len = w->command_len < PEN_CELL - 1 ? w->command_len : PEN_CELL - 1;
	if (w->command == NULL || len == 0) {
		snprintf(out, PEN_CELL, "[%s]", w->name);
		return out;
	}
	while (len > 0 && w->command[len - 1] == '\0')
		len--;
	for (size_t i = 0; i < len; i++)
		out[i] = w->command[i] != '\0' ? w->command[i] : ' ';
	out[len] = '\0';
	return out;
}

/* The column of the PID comes first, and is shown when there are several. */
static void put_table(struct pen *p, const struct watched *w, const struct pen_column *columns, const void **row,
		      size_t n, size_t *first, unsigned keep)
{
	struct pen_list list = {
		.columns = w->n_members > 1 ? columns : columns + 1, .row = row, .n = n, .first = *first, .keep = keep
	};
	pen_table(p, &list);
	*first = list.first;
}

/* --- threads ------------------------------------------------------------------------------------------------------ */

static void thread_pid(char out[static PEN_CELL], const void *row)
{
	put_count(out, (uint64_t)((const struct thread_row *)row)->pid);
}

static void thread_tid(char out[static PEN_CELL], const void *row)
{
	put_count(out, (uint64_t)((const struct thread_row *)row)->tid);
}

static void thread_state(char out[static PEN_CELL], const void *row)
{
	snprintf(out, PEN_CELL, "%c", ((const struct thread_row *)row)->state);
}

static void thread_cpu(char out[static PEN_CELL], const void *row)
{
	put_value(out, COLUMN_CPU, ((const struct thread_row *)row)->cpu_percent);
}

static void thread_waited(char out[static PEN_CELL], const void *row)
{
	put_value(out, COLUMN_WAITED, ((const struct thread_row *)row)->waited_percent);
}

static void thread_voluntary(char out[static PEN_CELL], const void *row)
{
	put_value(out, COLUMN_VOLUNTARY, ((const struct thread_row *)row)->voluntary_per_s);
}

static void thread_involuntary(char out[static PEN_CELL], const void *row)
{
	put_value(out, COLUMN_INVOLUNTARY, ((const struct thread_row *)row)->involuntary_per_s);
}

static void thread_processor(char out[static PEN_CELL], const void *row)
{
	put_count(out, ((const struct thread_row *)row)->processor);
}

static void thread_nice(char out[static PEN_CELL], const void *row)
{
	snprintf(out, PEN_CELL, "%lld", (long long)((const struct thread_row *)row)->nice);
}

static void thread_ran(char out[static PEN_CELL], const void *row)
{
	char text[UNITS_TEXT];
	snprintf(out, PEN_CELL, "%s", units_duration(text, ((const struct thread_row *)row)->ran_ns));
}

static void thread_wchan(char out[static PEN_CELL], const void *row)
{
	const char *wchan = ((const struct thread_row *)row)->wchan;
	snprintf(out, PEN_CELL, "%s", wchan[0] != '\0' ? wchan : "-");
}

static void thread_name(char out[static PEN_CELL], const void *row)
{
	snprintf(out, PEN_CELL, "%s", ((const struct thread_row *)row)->name);
}

static const struct pen_column thread_columns[] = {
	{ .title = "PID", .cell = thread_pid, .leave = 8 },
	{ .title = "TID", .cell = thread_tid, .least = 7 },
	{ .title = "S", .cell = thread_state },
	{ .title = "CPU", .cell = thread_cpu, .least = 7 },
	{ .title = "WAITED", .cell = thread_waited, .least = 7, .leave = 6 },
	{ .title = "RAN", .cell = thread_ran, .least = 7, .leave = 3 },
	{ .title = "VOLUNTARY", .cell = thread_voluntary, .least = 9, .leave = 5 },
	{ .title = "INVOL.", .cell = thread_involuntary, .least = 7, .leave = 4 },
	{ .title = "ON", .cell = thread_processor, .least = 2, .leave = 2 },
	{ .title = "NICE", .cell = thread_nice, .leave = 1 },
	{ .title = "SLEEPS IN", .cell = thread_wchan, .is_left = true, .most = 24, .leave = 7 },
	{ .title = "NAME", .cell = thread_name, .is_left = true },
	{ 0 },
};

/* By whole percents, so that threads of about the same load keep their places. */
static int by_cpu(const void *a, const void *b)
{
	const struct thread_row *x = *(const struct thread_row *const *)a, *y = *(const struct thread_row *const *)b;
	double cpu_x = isnan(x->cpu_percent) ? 0 : round(x->cpu_percent);
	double cpu_y = isnan(y->cpu_percent) ? 0 : round(y->cpu_percent);
	if (cpu_x != cpu_y)
		return cpu_x < cpu_y ? 1 : -1;
	return (x->tid > y->tid) - (x->tid < y->tid);
}

void tables_threads(struct pen *p, const struct watched *w, size_t *first, unsigned keep)
{
	const struct threads *t = &w->threads;
	const void **row = xcalloc(t->n + 1, sizeof(*row));
	for (size_t i = 0; i < t->n; i++)
		row[i] = &t->row[i];
	qsort(row, t->n, sizeof(*row), by_cpu);
	put_table(p, w, thread_columns, row, t->n, first, keep);
	free(row);
}

/* --- descriptors -------------------------------------------------------------------------------------------------- */

uint64_t tables_limit(const struct watched *w, const char *name)
{
	for (size_t i = 0; i < w->limits.n && i < PROCFS_LIMITS; i++) {
		const struct procfs_limit *l = &w->limits.row[i];
		if (strcmp(l->name, name) == 0)
			return l->soft == PROCFS_UNLIMITED ? 0 : l->soft;
	}
	return 0;
}

static void file_pid(char out[static PEN_CELL], const void *row)
{
	put_count(out, (uint64_t)((const struct file_row *)row)->pid);
}

static void file_fd(char out[static PEN_CELL], const void *row)
{
	put_count(out, ((const struct file_row *)row)->fd);
}

static void file_kind(char out[static PEN_CELL], const void *row)
{
	snprintf(out, PEN_CELL, "%s", file_kind_name(((const struct file_row *)row)->kind));
}

static void file_flags(char out[static PEN_CELL], const void *row)
{
	const struct file_row *f = row;
	char text[96];
	snprintf(out, PEN_CELL, "%s", f->has_info ? file_flags_text(text, f->flags) : "-");
}

static void file_position(char out[static PEN_CELL], const void *row)
{
	const struct file_row *f = row;
	if (f->has_info && f->kind == FILE_REGULAR)
		put_count(out, f->position);
	else
		snprintf(out, PEN_CELL, "-");
}

static void file_target(char out[static PEN_CELL], const void *row)
{
	const struct file_row *f = row;
	snprintf(out, PEN_CELL, "%.*s%s", PROCFS_PATH, f->target, f->is_deleted ? " (deleted)" : "");
}

static const struct pen_column file_columns[] = {
	{ .title = "PID", .cell = file_pid, .leave = 5 },
	{ .title = "FD", .cell = file_fd, .least = 4 },
	{ .title = "KIND", .cell = file_kind, .is_left = true, .least = 7, .leave = 4 },
	{ .title = "POSITION", .cell = file_position, .leave = 3 },
	{ .title = "FLAGS", .cell = file_flags, .is_left = true, .least = 10, .most = 36, .leave = 2 },
	{ .title = "LEADS TO", .cell = file_target, .is_left = true },
	{ 0 },
};

void tables_files(struct pen *p, const struct watched *w, size_t *first, unsigned keep)
{
	const struct files *f = &w->files;
	const void **row = xcalloc(f->n + 1, sizeof(*row));
	for (size_t i = 0; i < f->n; i++)
		row[i] = &f->row[i];
	put_table(p, w, file_columns, row, f->n, first, keep);
	free(row);
}

void tables_files_sum(struct pen *p, const struct watched *w)
{
	char text[UNITS_TEXT];
	uint64_t limit = tables_limit(w, "Max open files");
	const char *between = ": ";
	pen_put(p, "%s", column_text(text, COLUMN_FILES, w->known[COLUMN_FILES]));
	if (limit > 0)
		pen_put(p, " of at most %llu%s", (unsigned long long)limit, w->n_members > 1 ? " for each" : "");
	for (unsigned i = 0; i < FILE_KINDS && w->files.at_ns > 0; i++) {
		if (w->files.kinds[i] == 0)
			continue;
		pen_put(p, "%s%s %llu", between, file_kind_name(i), (unsigned long long)w->files.kinds[i]);
		between = ", ";
	}
}

/* --- sockets ------------------------------------------------------------------------------------------------------ */

static bool has_addresses(const struct socket_row *s)
{
	return s->kind == SOCKET_TCP || s->kind == SOCKET_UDP;
}

static bool has_info(const struct socket_row *s)
{
	return s->kind == SOCKET_TCP && s->tcp.has_info && s->tcp.state != SOCKDIAG_LISTEN;
}

static void socket_pid(char out[static PEN_CELL], const void *row)
{
	put_count(out, (uint64_t)((const struct socket_row *)row)->pid);
}

static void socket_fd(char out[static PEN_CELL], const void *row)
{
	put_count(out, ((const struct socket_row *)row)->fd);
}

static void socket_state(char out[static PEN_CELL], const void *row)
{
	const struct socket_row *s = row;
	snprintf(out, PEN_CELL, "%s",
		 s->kind == SOCKET_TCP ? sockdiag_state_name(s->tcp.state) : socket_kind_name(s->kind));
}

static void socket_local(char out[static PEN_CELL], const void *row)
{
	const struct socket_row *s = row;
	char text[ADDR_TEXT];
	snprintf(out, PEN_CELL, "%s", has_addresses(s) ? addr_text(&s->tcp.local, text) : "-");
}

/* Of a unix socket, what it is; of a listener, where it is to be found, also when there is no room for its address. */
static void socket_peer(char out[static PEN_CELL], const void *row)
{
	const struct socket_row *s = row;
	char text[ADDR_TEXT];
	if (!has_addresses(s))
		snprintf(out, PEN_CELL, "%.*s", SOCKET_TEXT, s->path);
	else if (s->kind == SOCKET_TCP && s->tcp.state == SOCKDIAG_LISTEN)
		snprintf(out, PEN_CELL, "port %u", addr_port(&s->tcp.local));
	else if (addr_port(&s->tcp.peer) != 0)
		snprintf(out, PEN_CELL, "%s", addr_text(&s->tcp.peer, text));
	else
		snprintf(out, PEN_CELL, "-");
}

static void put_queue(char out[static PEN_CELL], const struct socket_row *s, uint64_t len)
{
	char text[UNITS_TEXT];
	if (!has_addresses(s))
		snprintf(out, PEN_CELL, "-");
	else if (s->kind == SOCKET_TCP && s->tcp.state == SOCKDIAG_LISTEN)
		put_count(out, len);
	else
		snprintf(out, PEN_CELL, "%s", units_size(text, len));
}

static void socket_recv_queue(char out[static PEN_CELL], const void *row)
{
	const struct socket_row *s = row;
	put_queue(out, s, s->tcp.recv_queue);
}

static void socket_send_queue(char out[static PEN_CELL], const void *row)
{
	const struct socket_row *s = row;
	put_queue(out, s, s->tcp.send_queue);
}

static void socket_rtt(char out[static PEN_CELL], const void *row)
{
	const struct socket_row *s = row;
	char text[UNITS_TEXT];
	bool is_known = has_info(s) && s->tcp.info.rtt_ns > 0;
	snprintf(out, PEN_CELL, "%s", is_known ? units_duration(text, s->tcp.info.rtt_ns) : "-");
}

static void put_info(char out[static PEN_CELL], const struct socket_row *s, uint64_t value)
{
	if (has_info(s))
		put_count(out, value);
	else
		snprintf(out, PEN_CELL, "-");
}

static void socket_cwnd(char out[static PEN_CELL], const void *row)
{
	const struct socket_row *s = row;
	put_info(out, s, s->tcp.info.cwnd);
}

static void socket_retransmits(char out[static PEN_CELL], const void *row)
{
	const struct socket_row *s = row;
	put_info(out, s, s->tcp.info.retransmits);
}

static void socket_in(char out[static PEN_CELL], const void *row)
{
	const struct socket_row *s = row;
	put_value(out, COLUMN_TCP_IN, has_info(s) ? s->in_Bps : NAN);
}

static void socket_out(char out[static PEN_CELL], const void *row)
{
	const struct socket_row *s = row;
	put_value(out, COLUMN_TCP_OUT, has_info(s) ? s->out_Bps : NAN);
}

static const double *socket_trace(const void *row, unsigned *n)
{
	*n = SOCKETS_TRACE;
	return ((const struct socket_row *)row)->trace_Bps;
}

static const struct pen_column socket_columns[] = {
	{ .title = "PID", .cell = socket_pid, .leave = 4 },
	{ .title = "FD", .cell = socket_fd, .leave = 1 },
	{ .title = "STATE", .cell = socket_state, .is_left = true, .most = 12 },
	{ .title = "LOCAL", .cell = socket_local, .is_left = true, .most = 47, .leave = 7 },
	{ .title = "PEER", .cell = socket_peer, .is_left = true, .least = 10, .most = 47 },
	{ .title = "RECV-Q", .cell = socket_recv_queue, .leave = 8 },
	{ .title = "SEND-Q", .cell = socket_send_queue, .leave = 8 },
	{ .title = "IN", .cell = socket_in, .least = 9, .leave = 5 },
	{ .title = "OUT", .cell = socket_out, .least = 9, .leave = 5 },
	{ .title = "RTT", .cell = socket_rtt, .least = 7, .leave = 6 },
	{ .title = "CWND", .cell = socket_cwnd, .leave = 3 },
	{ .title = "RETR", .cell = socket_retransmits, .leave = 2 },
	{ .title = "IN AND OUT", .trace = socket_trace },
	{ 0 },
};

void tables_sockets(struct pen *p, const struct watched *w, size_t *first, unsigned keep)
{
	const struct sockets *s = &w->sockets;
	const void **row = xcalloc(s->n + 1, sizeof(*row));
	for (size_t i = 0; i < s->n; i++)
		row[i] = &s->row[i];
	put_table(p, w, socket_columns, row, s->n, first, keep);
	free(row);
}

/* "3 ESTABLISHED, 1 LISTEN, 2 UDP, 1 unix" */
static void put_states(struct pen *p, const struct sockets *s)
{
	uint64_t states[SOCKDIAG_STATES] = { 0 }, kinds[SOCKET_OTHER + 1] = { 0 };
	const char *between = "";
	for (size_t i = 0; i < s->n; i++) {
		kinds[s->row[i].kind]++;
		if (s->row[i].kind == SOCKET_TCP && s->row[i].tcp.state < SOCKDIAG_STATES)
			states[s->row[i].tcp.state]++;
	}
	for (unsigned i = 0; i < SOCKDIAG_STATES; i++) {
		if (states[i] == 0)
			continue;
		pen_put(p, "%s%llu %s", between, (unsigned long long)states[i], sockdiag_state_name(i));
		between = ", ";
	}
	for (unsigned i = SOCKET_UDP; i <= SOCKET_OTHER; i++) {
		if (kinds[i] == 0)
			continue;
		pen_put(p, "%s%llu %s", between, (unsigned long long)kinds[i], socket_kind_name(i));
		between = ", ";
	}
	if (s->n == 0)
		pen_put(p, "none");
	if (s->n_more > 0)
		pen_put(p, ", %zu more", s->n_more);
}

void tables_sockets_sum(struct pen *p, const struct watched *w)
{
	if (w->sockets.at_ns == 0 || !w->sockets.is_known)
		pen_put(p, w->sockets.at_ns == 0 ? "not read yet" : "not known");
	else
		put_states(p, &w->sockets);
}

/* --- the tree ----------------------------------------------------------------------------------------------------- */

static void member_pid(char out[static PEN_CELL], const void *row)
{
	put_count(out, (uint64_t)((const struct member *)row)->stat.pid);
}

static void member_state(char out[static PEN_CELL], const void *row)
{
	snprintf(out, PEN_CELL, "%c", ((const struct member *)row)->stat.state);
}

static void member_cpu(char out[static PEN_CELL], const void *row)
{
	put_value(out, COLUMN_CPU, ((const struct member *)row)->cpu_percent);
}

static void member_resident(char out[static PEN_CELL], const void *row)
{
	put_value(out, COLUMN_RESIDENT, (double)((const struct member *)row)->resident_bytes);
}

static void member_pss(char out[static PEN_CELL], const void *row)
{
	const struct member *m = row;
	put_value(out, COLUMN_PSS, m->has_memory ? (double)m->memory.pss : NAN);
}

static void member_name(char out[static PEN_CELL], const void *row)
{
	snprintf(out, PEN_CELL, "%s", ((const struct member *)row)->stat.name);
}

static const struct pen_column member_columns[] = {
	{ .title = "PID", .cell = member_pid, .least = 7 },
	{ .title = "S", .cell = member_state },
	{ .title = "CPU", .cell = member_cpu, .least = 7 },
	{ .title = "RESIDENT", .cell = member_resident, .least = 8 },
	{ .title = "PSS", .cell = member_pss, .least = 8, .leave = 1 },
	{ .title = "NAME", .cell = member_name, .is_left = true },
	{ 0 },
};

void tables_members(struct pen *p, const struct watched *w, size_t *first, unsigned keep)
{
	const void **row = xcalloc(w->n_members + 1, sizeof(*row));
	for (size_t i = 0; i < w->n_members; i++)
		row[i] = &w->member[i];
	put_table(p, w, member_columns, row, w->n_members, first, keep);
	free(row);
}
