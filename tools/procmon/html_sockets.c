/* html_sockets.c - procmon: the page of sockets: what the kernel knows of each TCP connection of the process. */
#include "pages.h"

#include "cdefs.h"

#include <math.h>

enum {
	ROWS_SHOWN = 300,
	LEAST_QUEUE = 64 * 1024 /* a bar that is full means this much, or the fullest queue of all */
};

static unsigned long long llu(uint64_t n)
{
	return n;
}

static const char *duration(char out[static UNITS_TEXT], uint64_t ns)
{
	return ns > 0 ? units_duration(out, ns) : "-";
}

/* The descriptor that leads to it, and how many more do; with a tree, of which process. */
static void put_descriptor(struct html_table *t, const struct watched *w, const struct socket_row *row)
{
	char fd[UNITS_TEXT], more[2 * UNITS_TEXT] = "";
	snprintf(fd, sizeof(fd), "%u", (unsigned)row->fd);
	if (w->n_members > 1)
		snprintf(more, sizeof(more), "of %lld", (long long)row->pid);
	else if (row->fds > 1)
		snprintf(more, sizeof(more), "and %u more", (unsigned)row->fds - 1);
	html_cell_two(t, fd, more);
}

static enum html_mood mood_of(enum sockdiag_state state)
{
	switch (state) {
	case SOCKDIAG_ESTABLISHED:
		return HTML_OK;
	case SOCKDIAG_LISTEN:
		return HTML_PLAIN;
	case SOCKDIAG_CLOSE_WAIT:
		return HTML_BAD; /* the peer has finished, and the program has not noticed */
	default:
		return HTML_WARN;
	}
}

/* --- TCP ---------------------------------------------------------------------------------------------------------- */

static const struct html_column tcp_columns[] = {
	{ "Fd", "Descriptor", "n id" },
	{ "State", NULL, NULL },
	{ "Local, peer", NULL, "name" },
	{ "To be read", NULL, "n" },
	{ "Not\nacknowledged", "Not acknowledged", "n" },
	{ "RTT,\nvariation", "RTT, variation", "n" },
	{ "cwnd,\nMSS", "cwnd, MSS", "n" },
	{ "Sent\nagain", "Sent again", "n" },
	{ "Out", NULL, "n up" },
	{ "In", NULL, "n down" },
	{ "Last minute", NULL, NULL },
	{ "Remarks", NULL, "words" },
};

static double fullest_queue(const struct sockets *s)
{
	double most = LEAST_QUEUE;
	for (size_t i = 0; i < s->n; i++) {
		const struct sockdiag_socket *tcp = &s->row[i].tcp;
		if (s->row[i].kind == SOCKET_TCP && tcp->state != SOCKDIAG_LISTEN)
			most = fmax(most, fmax((double)tcp->recv_queue, (double)tcp->send_queue));
	}
	return most;
}

static void put_queue(struct html_table *t, uint64_t bytes, double fullest, const char *class)
{
	char text[UNITS_TEXT];
	FILE *out = html_cell_begin(t);
	html_text(out, "%s", units_size(text, bytes));
	html_bar(out, class, (double)bytes / fullest, NULL);
	html_cell_end(t);
}

/* Of a listener the queue is of connections, and its length the backlog. */
static void put_backlog(struct html_table *t, const struct sockdiag_socket *s)
{
	FILE *out = html_cell_begin(t);
	html_text(out, "%llu wait", llu(s->recv_queue));
	html_bar(out, "", s->send_queue > 0 ? (double)s->recv_queue / (double)s->send_queue : 0, "of the backlog");
	html_cell_end(t);
	html_cell(t, "of %llu", llu(s->send_queue));
}

static void put_path(struct html_table *t, const struct sockdiag_socket *s)
{
	char rtt[UNITS_TEXT], more[UNITS_TEXT], cwnd[UNITS_TEXT];
	html_cell_two(t, duration(rtt, s->info.rtt_ns), duration(more, s->info.rtt_var_ns));
	snprintf(cwnd, sizeof(cwnd), "%llu", llu(s->info.cwnd));
	html_cell_two(t, cwnd, units_size(more, s->info.mss));
}

static void put_sent_again(struct html_table *t, const struct socket_row *row)
{
	char n[UNITS_TEXT], more[UNITS_TEXT] = "";
	snprintf(n, sizeof(n), "%llu", llu(row->tcp.info.retransmits));
	if (row->retransmits_per_s > 0)
		column_text(more, COLUMN_RETRANSMITS, row->retransmits_per_s);
	html_cell_two(t, n, more);
}

/* Since the connection began: which share of the time in which it had something to send. */
static void put_share_of_busy(FILE *out, const struct tcpinfo *info, uint64_t ns, const char *what)
{
	double percent = info->busy_ns > 0 ? (double)ns / (double)info->busy_ns * 100 : 0;
	if (percent >= 1)
		html_text(out, "Held up by %s for %.0f %% of its busy time. ", what, percent);
}

static void put_tcp_remarks(struct html_table *t, const struct sockdiag_socket *s)
{
	char left[UNITS_TEXT], moved[UNITS_TEXT];
	FILE *out = html_cell_begin(t);
	if (s->state == SOCKDIAG_CLOSE_WAIT)
		html_text(out, "The peer has finished, and waits for a close. ");
	if (s->timer == SOCKDIAG_PERSIST)
		html_text(out, "The peer's window is shut; next probe in %s. ", units_duration(left, s->timer_left_ns));
	if (s->timer == SOCKDIAG_RETRANSMIT && s->timer_count > 0)
		html_text(out, "%u timeouts in a row, next in %s. ", s->timer_count,
			  units_duration(left, s->timer_left_ns));
	if (s->has_info) {
		put_share_of_busy(out, &s->info, s->info.rwnd_limited_ns, "the peer's window");
		put_share_of_busy(out, &s->info, s->info.sndbuf_limited_ns, "its own send buffer");
		html_small(out, "%s%sout %s, in %s in all", s->congestion, s->congestion[0] != '\0' ? "; " : "",
			   units_size(left, s->info.bytes_acked), units_size(moved, s->info.bytes_received));
	}
	html_cell_end(t);
}

static void put_empty(struct html_table *t, int n)
{
	while (n-- > 0)
		html_cell(t, "%s", "");
}

static void put_connection(struct html_table *t, const struct socket_row *row, double fullest)
{
	char text[UNITS_TEXT];
	put_queue(t, row->tcp.recv_queue, fullest, "down");
	put_queue(t, row->tcp.send_queue, fullest, "up");
	if (!row->tcp.has_info) {
		put_empty(t, 6);
		put_tcp_remarks(t, &row->tcp);
		return;
	}
	put_path(t, &row->tcp);
	put_sent_again(t, row);
	html_cell(t, "%s", column_text(text, COLUMN_TCP_OUT, row->out_Bps));
	html_cell(t, "%s", column_text(text, COLUMN_TCP_IN, row->in_Bps));
	FILE *out = html_cell_begin(t);
	html_spark(out, "", row->trace_Bps, SOCKETS_TRACE, SOCKETS_TRACE, 1);
	html_cell_end(t);
	put_tcp_remarks(t, &row->tcp);
}

static void put_tcp(struct html_table *t, const struct watched *w, const struct socket_row *row, double fullest)
{
	char local[ADDR_TEXT], peer[ADDR_TEXT];
	bool is_listener = row->tcp.state == SOCKDIAG_LISTEN;
	html_row(t);
	put_descriptor(t, w, row);
	html_pill(html_cell_begin(t), mood_of(row->tcp.state), "%s", sockdiag_state_name(row->tcp.state));
	html_cell_end(t);
	html_cell_two(t, addr_text(&row->tcp.local, local), is_listener ? "" : addr_text(&row->tcp.peer, peer));
	if (is_listener)
		put_backlog(t, &row->tcp);
	else
		put_connection(t, row, fullest);
}

static void put_tcp_cards(FILE *out, const struct sockets *s)
{
	char text[UNITS_TEXT], n[UNITS_TEXT];
	html_cards_begin(out);
	html_card(out, "up", "out", column_text(text, COLUMN_TCP_OUT, s->out_Bps), "acknowledged by the peers");
	html_card(out, "down", "in", column_text(text, COLUMN_TCP_IN, s->in_Bps), "from the peers");
	html_card(out, "", "not acknowledged", units_size(text, s->send_queue), "written, and perhaps not sent");
	html_card(out, "", "to be read", units_size(text, s->recv_queue), "by the process");
	snprintf(n, sizeof(n), "%llu", llu(s->retransmits));
	html_card(out, s->retransmits_per_s > 0 ? "alarm" : "", "sent again", n, "segments; %s",
		  column_text(text, COLUMN_RETRANSMITS, s->retransmits_per_s));
	html_cards_end(out);
}

static void put_tcp_heading(FILE *out, const struct watched *w)
{
	const struct sockets *s = &w->sockets;
	char age[PAGE_AGE];
	if (!s->is_known && s->n == 0)
		html_heading(out, "TCP", "which sockets it has is not known%s", page_age_text(age, w, s->at_ns));
	else
		html_heading(out, "TCP", "%llu%s%s%s", llu(s->n_tcp), s->source != NULL ? " from " : "",
			     s->source != NULL ? s->source : "", page_age_text(age, w, s->at_ns));
}

static void put_all_tcp(FILE *out, const struct watched *w)
{
	const struct sockets *s = &w->sockets;
	struct html_table t;
	double fullest = fullest_queue(s);
	size_t shown = 0;
	put_tcp_heading(out, w);
	page_put_why(out, w, s->why);
	if (s->is_known)
		put_tcp_cards(out, s);
	html_table_begin(&t, out, tcp_columns, COUNT_OF(tcp_columns));
	for (size_t i = 0; i < s->n && shown < ROWS_SHOWN; i++) {
		if (s->row[i].kind != SOCKET_TCP)
			continue;
		put_tcp(&t, w, &s->row[i], fullest);
		shown++;
	}
	html_table_end(&t, s->is_known ? "It has no TCP socket." : "None is known.");
	if (s->n_tcp > shown)
		html_remark(out, "and %llu more", llu(s->n_tcp - shown));
}

/* --- the others --------------------------------------------------------------------------------------------------- */

static const struct html_column other_columns[] = {
	{ "Fd", "Descriptor", "n id" }, { "Kind", NULL, NULL },        { "What", NULL, "code" },
	{ "To be read", NULL, "n" },    { "Not sent yet", NULL, "n" }, { "Dropped", NULL, "n" },
};

static void put_other(struct html_table *t, const struct watched *w, const struct socket_row *row)
{
	char local[ADDR_TEXT], peer[ADDR_TEXT], text[UNITS_TEXT];
	html_row(t);
	put_descriptor(t, w, row);
	html_pill(html_cell_begin(t), HTML_PLAIN, "%s", socket_kind_name(row->kind));
	html_cell_end(t);
	if (row->kind == SOCKET_UDP) {
		bool has_peer = row->tcp.peer.len > 0 && addr_port(&row->tcp.peer) != 0;
		html_cell_two(t, addr_text(&row->tcp.local, local), has_peer ? addr_text(&row->tcp.peer, peer) : "");
		html_cell(t, "%s", units_size(text, row->tcp.recv_queue));
		html_cell(t, "%s", units_size(text, row->tcp.send_queue));
		html_cell(t, "%llu", llu(row->drops));
	} else if (row->kind == SOCKET_UNIX) {
		html_cell(t, "%s", row->path);
	} else {
		html_cell(t, "inode %llu", llu(row->inode));
	}
}

static void put_all_others(FILE *out, const struct watched *w)
{
	const struct sockets *s = &w->sockets;
	struct html_table t;
	size_t n = 0;
	for (size_t i = 0; i < s->n; i++)
		n += s->row[i].kind != SOCKET_TCP;
	if (n == 0)
		return;
	html_heading(out, "Others", "%zu", n);
	html_table_begin(&t, out, other_columns, COUNT_OF(other_columns));
	size_t shown = 0;
	for (size_t i = 0; i < s->n && shown < ROWS_SHOWN; i++) {
		if (s->row[i].kind == SOCKET_TCP)
			continue;
		put_other(&t, w, &s->row[i]);
		shown++;
	}
	html_table_end(&t, NULL);
	if (n > shown)
		html_remark(out, "and %zu more", n - shown);
}

void page_put_sockets(FILE *out, const struct watched *w)
{
	put_all_tcp(out, w);
	put_all_others(out, w);
	if (w->sockets.n_more > 0)
		html_remark(out, "and %zu sockets more, which are not read", w->sockets.n_more);
}
