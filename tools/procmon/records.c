/* records.c - procmon: what is known of a process, as JSON. Absent is what may not be read; null is what was not read
 * this time. */
#include "procmon.h"

#include "json.h"

#include <math.h>
#include <string.h>

/* --- tables ------------------------------------------------------------------------------------------------------- */

static void put_threads(struct json *j, const struct watched *w)
{
	json_array(j, "thread_table");
	for (size_t i = 0; i < w->threads.n; i++) {
		const struct thread_row *row = &w->threads.row[i];
		char state[2] = { row->state, '\0' };
		json_object(j, NULL);
		json_i64(j, "pid", row->pid);
		json_i64(j, "tid", row->tid);
		json_str(j, "name", row->name);
		json_str(j, "state", state);
		json_f64(j, "cpu_percent", row->cpu_percent);
		json_f64(j, "waited_percent", row->waited_percent);
		json_f64(j, "voluntary_per_s", row->voluntary_per_s);
		json_f64(j, "involuntary_per_s", row->involuntary_per_s);
		json_u64(j, "ran_ns", row->ran_ns);
		json_u64(j, "waited_ns", row->waited_ns);
		json_u64(j, "voluntary", row->voluntary);
		json_u64(j, "involuntary", row->involuntary);
		json_u64(j, "processor", row->processor);
		json_i64(j, "nice", row->nice);
		json_str(j, "wchan", row->wchan[0] != '\0' ? row->wchan : NULL);
		json_close(j);
	}
	json_close(j);
}

static void put_files(struct json *j, const struct watched *w)
{
	char flags[FILE_FLAGS_TEXT];
	json_array(j, "file_table");
	for (size_t i = 0; i < w->files.n; i++) {
		const struct file_row *row = &w->files.row[i];
		json_object(j, NULL);
		json_i64(j, "pid", row->pid);
		json_u64(j, "fd", row->fd);
		json_str(j, "kind", file_kind_name(row->kind));
		json_str(j, "target", row->target);
		json_bool(j, "deleted", row->is_deleted);
		if (row->inode != 0)
			json_u64(j, "inode", row->inode);
		if (row->has_info) {
			json_u64(j, "position", row->position);
			json_str(j, "flags", file_flags_text(flags, row->flags));
		}
		json_close(j);
	}
	json_close(j);
}

static void put_tcp(struct json *j, const struct socket_row *row)
{
	char text[ADDR_TEXT];
	const struct sockdiag_socket *s = &row->tcp;
	json_str(j, "local", addr_text(&s->local, text));
	json_str(j, "peer", addr_text(&s->peer, text));
	json_str(j, "state", sockdiag_state_name(s->state));
	if (s->state == SOCKDIAG_LISTEN) {
		json_u64(j, "waiting_connections", s->recv_queue);
		json_u64(j, "backlog", s->send_queue);
		return;
	}
	json_u64(j, "receive_queue_bytes", s->recv_queue);
	json_u64(j, "send_queue_bytes", s->send_queue);
	if (!s->has_info)
		return;
	json_u64(j, "rtt_ns", s->info.rtt_ns);
	json_u64(j, "cwnd", s->info.cwnd);
	json_u64(j, "mss", s->info.mss);
	json_u64(j, "retransmits", s->info.retransmits);
	json_u64(j, "bytes_acked", s->info.bytes_acked);
	json_u64(j, "bytes_received", s->info.bytes_received);
	json_u64(j, "rwnd_limited_ns", s->info.rwnd_limited_ns);
	json_str(j, "congestion", s->congestion);
	json_f64(j, "out_Bps", row->out_Bps);
	json_f64(j, "in_Bps", row->in_Bps);
	json_f64(j, "retransmits_per_s", row->retransmits_per_s);
}

static void put_sockets(struct json *j, const struct watched *w)
{
	json_array(j, "socket_table");
	for (size_t i = 0; i < w->sockets.n; i++) {
		const struct socket_row *row = &w->sockets.row[i];
		json_object(j, NULL);
		json_i64(j, "pid", row->pid);
		json_u64(j, "fd", row->fd);
		json_u64(j, "fds", row->fds);
		json_u64(j, "inode", row->inode);
		json_str(j, "kind", socket_kind_name(row->kind));
		if (row->kind == SOCKET_TCP || row->kind == SOCKET_UDP)
			put_tcp(j, row);
		if (row->kind == SOCKET_UDP)
			json_u64(j, "drops", row->drops);
		if (row->kind == SOCKET_UNIX)
			json_str(j, "path", row->path);
		json_close(j);
	}
	json_close(j);
	json_str(j, "socket_source", w->sockets.source);
}

static void put_memory(struct json *j, const struct procfs_memory *m)
{
	json_u64(j, "size_bytes", m->size);
	json_u64(j, "resident_bytes", m->resident);
	json_u64(j, "pss_bytes", m->pss);
	json_u64(j, "private_bytes", m->private_clean + m->private_dirty);
	json_u64(j, "swap_bytes", m->swap);
}

static void put_maps(struct json *j, const struct watched *w)
{
	json_array(j, "map_table");
	for (size_t i = 0; i < w->maps.n; i++) {
		const struct map_row *row = &w->maps.row[i];
		json_object(j, NULL);
		json_str(j, "what", row->what);
		json_u64(j, "mappings", row->mappings);
		put_memory(j, &row->memory);
		json_close(j);
	}
	json_close(j);
}

static void put_limits(struct json *j, const struct watched *w)
{
	json_array(j, "limit_table");
	for (size_t i = 0; i < w->limits.n; i++) {
		const struct procfs_limit *row = &w->limits.row[i];
		json_object(j, NULL);
		json_str(j, "name", row->name);
		if (row->soft == PROCFS_UNLIMITED)
			json_null(j, "soft");
		else
			json_u64(j, "soft", row->soft);
		if (row->hard == PROCFS_UNLIMITED)
			json_null(j, "hard");
		else
			json_u64(j, "hard", row->hard);
		json_str(j, "unit", row->unit);
		json_close(j);
	}
	json_close(j);
}

/* --- the process -------------------------------------------------------------------------------------------------- */

static void put_command(struct json *j, const struct watched *w)
{
	json_array(j, "command");
	for (size_t at = 0; at < w->command_len; at += strlen(w->command + at) + 1)
		json_str(j, NULL, w->command + at);
	json_close(j);
}

static void put_identity(struct json *j, const struct watched *w)
{
	char state[2] = { w->stat.state, '\0' };
	json_i64(j, "pid", w->pid);
	json_str(j, "label", w->label);
	json_str(j, "name", w->name);
	put_command(j, w);
	json_str(j, "exe", w->exe[0] != '\0' ? w->exe : NULL);
	json_str(j, "cwd", w->cwd[0] != '\0' ? w->cwd : NULL);
	json_str(j, "user", w->user);
	json_u64(j, "uid", w->status.euid);
	json_i64(j, "ppid", w->stat.ppid);
	json_str(j, "state", w->has_ended ? NULL : state);
	json_i64(j, "start_time_ns", w->start_real_ns);
	json_u64(j, "uptime_ns", watched_age_ns(w));
	if (w->why != NULL)
		json_str(j, "unreadable", w->why);
}

void watched_json_end(struct json *j, const struct watched *w)
{
	int status = watched_exit_status(w);
	json_bool(j, "exited", w->has_ended);
	if (status < 0)
		json_null(j, "exit_status");
	else
		json_i64(j, "exit_status", status);
	json_str(j, "exit_signal", watched_exit_signal(w));
	if (w->has_ended)
		json_i64(j, "exit_time_ns", w->ended_real_ns);
}

static void put_totals(struct json *j, const struct watched *w)
{
	const uint64_t *total = w->total;
	json_u64(j, "cpu_ns", total[COUNTER_CPU_NS]);
	json_u64(j, "user_ns", w->user_ns);
	json_u64(j, "system_ns", w->sys_ns);
	json_u64(j, "minor_faults", total[COUNTER_MINOR]);
	json_u64(j, "major_faults", total[COUNTER_MAJOR]);
	if (!w->has_io)
		return;
	json_u64(j, "read_bytes", total[COUNTER_READ]);
	json_u64(j, "written_bytes", total[COUNTER_WRITTEN]);
	json_u64(j, "disk_read_bytes", total[COUNTER_DISK_READ]);
	json_u64(j, "disk_written_bytes", total[COUNTER_DISK_WRITTEN]);
}

static void put_members(struct json *j, const struct watched *w)
{
	json_array(j, "tree");
	for (size_t i = 0; i < w->n_members; i++) {
		const struct member *b = &w->member[i];
		json_object(j, NULL);
		json_i64(j, "pid", b->proc.pid);
		json_i64(j, "ppid", b->stat.ppid);
		json_str(j, "name", b->stat.name);
		json_f64(j, "cpu_percent", b->cpu_percent);
		json_u64(j, "resident_bytes", b->resident_bytes);
		if (b->has_memory)
			json_u64(j, "pss_bytes", b->memory.pss);
		json_close(j);
	}
	json_close(j);
}

void watched_json(struct json *j, const struct watched *w, unsigned with)
{
	put_identity(j, w);
	watched_json_end(j, w);
	json_u64(j, "samples", w->samples);
	json_i64(j, "time_ns", w->at_real_ns);
	for (size_t i = 0; i < COLUMNS; i++)
		json_f64(j, column_info[i].name, w->value[i]);
	put_totals(j, w);
	if (w->procmon->o->with_children)
		put_members(j, w);
	if (with & SOURCE_BIT(SOURCE_THREADS))
		put_threads(j, w);
	if (with & SOURCE_BIT(SOURCE_FILES))
		put_files(j, w);
	if (with & SOURCE_BIT(SOURCE_SOCKETS))
		put_sockets(j, w);
	if (with & SOURCE_BIT(SOURCE_MAPS))
		put_maps(j, w);
	if (with & WITH_LIMITS)
		put_limits(j, w);
}

void procmon_json_self(struct json *j, const struct procmon *m)
{
	json_object(j, "self");
	json_f64(j, "cpu_percent", m->own.cpu_percent);
	json_u64(j, "cpu_ns", m->own.cpu_ns);
	json_u64(j, "resident_bytes", m->own.resident_bytes);
	json_u64(j, "interval_ns", m->o->interval_ns);
	json_u64(j, "late_ns", m->late_ns);
	json_u64(j, "missed", m->missed);
	json_close(j);
}

void procmon_json_marks(struct json *j, const struct procmon *m)
{
	json_array(j, "marks");
	for (size_t i = 0; i < m->marks.n; i++) {
		json_object(j, NULL);
		json_i64(j, "time_ns", m->marks.mark[i].at_real_ns);
		json_str(j, "label", m->marks.mark[i].label);
		json_close(j);
	}
	json_close(j);
}
