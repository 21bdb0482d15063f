/* procmon_kit.h - a watched process that nobody has to start: made-up samples and hostile names, for what shows
 * them. */
#ifndef TCPLAB_PROCMON_KIT_H
#define TCPLAB_PROCMON_KIT_H

#include "../../tools/procmon/procmon.h"

#include "clock.h"

#include <arpa/inet.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A title for the terminal, a cleared screen, a bell, a newline; a combining accent, a change of the direction of
 * writing, a wide character, no UTF-8 at all. */
#define HOSTILE "\033]0;x\007\033[2J\n\te\xcc\x81\xe2\x80\xae\xe6\x97\xa5\xff\xc2\x9b\x7f<b>"

enum { KIT_END_S = 1700000000, KIT_THREADS = 30, KIT_FILES = 40, KIT_SOCKETS = 12 };

static inline void kit_value(double value[static COLUMNS], unsigned i, bool has_gaps)
{
	for (unsigned c = 0; c < COLUMNS; c++)
		value[c] = has_gaps && (i + c) % 7 < 3 ? NAN
						       : (i * 37 + c * 11) % 100 * (c == COLUMN_RESIDENT ? 1e6 : 1.25);
	value[COLUMN_USER] = 0.6 * value[COLUMN_CPU];
	value[COLUMN_SYSTEM] = 0.4 * value[COLUMN_CPU];
}

static inline void kit_samples(struct watched *w, unsigned n, bool has_gaps)
{
	for (unsigned i = 0; i < n; i++) {
		kit_value(w->value, i, has_gaps);
		w->at_real_ns = ((int64_t)KIT_END_S - (int64_t)n + i + 1) * NS_PER_S;
		history_add(w->history, w->at_real_ns, w->value);
		for (unsigned c = 0; c < COLUMNS; c++)
			w->known[c] = isnan(w->value[c]) ? w->known[c] : w->value[c];
	}
	w->samples = n;
	w->at_ns = 1000 * (uint64_t)NS_PER_S;
}

static inline void kit_threads(struct watched *w, const char *name)
{
	w->threads = (struct threads){ .n = KIT_THREADS, .n_more = 3, .at_ns = w->at_ns, .has_wchan = true };
	w->threads.row = calloc(KIT_THREADS, sizeof(*w->threads.row));
	for (unsigned i = 0; i < KIT_THREADS; i++) {
		struct thread_row *t = &w->threads.row[i];
		*t = (struct thread_row){ .pid = w->pid,
					  .tid = w->pid + i,
					  .state = 'S',
					  .ran_ns = i * 1234567890ull,
					  .cpu_percent = i % 5 == 0 ? NAN : i * 3.3,
					  .waited_percent = NAN,
					  .voluntary_per_s = i * 1000,
					  .involuntary_per_s = 0.25 };
		snprintf(t->name, sizeof(t->name), "%s %u", name, i);
		snprintf(t->wchan, sizeof(t->wchan), "%s", i % 2 ? "ep_poll" : "");
	}
}

static inline void kit_files(struct watched *w, const char *name)
{
	w->files = (struct files){ .n = KIT_FILES,
				   .at_ns = w->at_ns,
				   .kinds = { [FILE_REGULAR] = 30, [FILE_SOCKET] = 10 } };
	w->files.row = calloc(KIT_FILES, sizeof(*w->files.row));
	for (unsigned i = 0; i < KIT_FILES; i++) {
		struct file_row *f = &w->files.row[i];
		*f = (struct file_row){ .pid = w->pid,
					.fd = i,
					.kind = i < 30 ? FILE_REGULAR : FILE_SOCKET,
					.position = i * 77777,
					.flags = 02 | 02000,
					.has_info = i % 3 > 0,
					.is_deleted = i % 9 == 0 };
		snprintf(f->target, sizeof(f->target), "/var/lib/%s/%u", name, i);
	}
}

static inline void kit_address(struct addr *a, bool is_v6, uint16_t port)
{
	a->len = is_v6 ? sizeof(a->u.in6) : sizeof(a->u.in4);
	if (is_v6) {
		a->u.in6 = (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_port = htons(port) };
		memset(&a->u.in6.sin6_addr, 0xfd, sizeof(a->u.in6.sin6_addr));
	} else {
		a->u.in4 = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(port) };
		a->u.in4.sin_addr.s_addr = htonl(0x0a000001u);
	}
}

static inline void kit_socket(struct socket_row *s, unsigned i, const char *name)
{
	*s = (struct socket_row){ .pid = 4711,
				  .fd = 5 + i,
				  .fds = 1,
				  .kind = i < 9 ? SOCKET_TCP : SOCKET_UDP + i % 3,
				  .out_Bps = i * 1e6,
				  .in_Bps = NAN,
				  .retransmits_per_s = 0 };
	s->tcp.state = i == 0 ? SOCKDIAG_LISTEN : SOCKDIAG_ESTABLISHED;
	s->tcp.recv_queue = i * 1000;
	s->tcp.has_info = i > 0;
	s->tcp.info = (struct tcpinfo){ .rtt_ns = i * 100000ull, .cwnd = 10, .retransmits = i };
	kit_address(&s->tcp.local, i % 2, 3000);
	kit_address(&s->tcp.peer, i % 2, i == 0 ? 0 : (uint16_t)(40000 + i));
	snprintf(s->path, sizeof(s->path), "listening /run/%s", name);
	for (unsigned k = 0; k < SOCKETS_TRACE; k++)
		s->trace_Bps[k] = k % 4 > 0 ? (double)(k * i) : NAN;
}

static inline void kit_sockets(struct watched *w, const char *name)
{
	w->sockets = (struct sockets){ .n = KIT_SOCKETS, .n_tcp = 9, .at_ns = w->at_ns, .is_known = true };
	w->sockets.row = calloc(KIT_SOCKETS, sizeof(*w->sockets.row));
	for (unsigned i = 0; i < KIT_SOCKETS; i++)
		kit_socket(&w->sockets.row[i], i, name);
}

static inline void kit_tree(struct watched *w, size_t n, const char *name)
{
	free(w->member);
	w->member = calloc(n, sizeof(*w->member));
	w->n_members = n;
	for (size_t i = 0; i < n; i++) {
		w->member[i].stat = (struct procfs_stat){ .pid = w->pid + (int64_t)i, .state = 'S' };
		snprintf(w->member[i].stat.name, PROCFS_NAME, "%s %zu", name, i);
		w->member[i].cpu_percent = (double)i;
	}
}

/* name: of everything about it that a process may choose. */
static inline struct watched *kit_watched(struct procmon *m, pid_t pid, const char *name)
{
	struct watched *w = calloc(1, sizeof(*w));
	*w = (struct watched){
		.procmon = m, .pid = pid, .n_members = 0, .start_real_ns = (KIT_END_S - 800) * (int64_t)NS_PER_S
	};
	w->stat = (struct procfs_stat){ .pid = pid, .ppid = 1, .state = 'S' };
	w->history = history_new(m->o->interval_ns);
	w->limits.n = 1;
	w->limits.row[0] = (struct procfs_limit){ .name = "Max open files", .soft = 128, .hard = PROCFS_UNLIMITED };
	snprintf(w->label, sizeof(w->label), "%s", name);
	snprintf(w->name, sizeof(w->name), "%s", name);
	snprintf(w->exe, sizeof(w->exe), "/usr/bin/%s", name);
	snprintf(w->cwd, sizeof(w->cwd), "/home/%s", name);
	snprintf(w->user, sizeof(w->user), "%s", name);
	w->command_len = strlen(name) + sizeof(" -s\0-p\0003000");
	w->command = calloc(1, w->command_len);
	memcpy(w->command, name, strlen(name));
	memcpy(w->command + strlen(name), "\0-s\0-p\0003000", sizeof("\0-s\0-p\0003000"));
	kit_tree(w, 1, name);
	for (unsigned c = 0; c < COLUMNS; c++)
		w->value[c] = w->known[c] = NAN;
	w->next = m->first;
	m->first = w;
	m->n_watched++;
	return w;
}

static inline void kit_free(struct procmon *m)
{
	while (m->first != NULL) {
		struct watched *w = m->first;
		m->first = w->next;
		history_free(w->history);
		free(w->threads.row);
		free(w->files.row);
		free(w->sockets.row);
		free(w->member);
		free(w->command);
		free(w);
	}
	m->n_watched = 0;
}

#endif
