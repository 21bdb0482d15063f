/* sockets_tables.c - procmon: sockets as /proc/PID/net has them, a line each: proc_pid_net(5). The tables are
 * those of the process's network namespace, and everybody may read them. */
#include "sockets_rows.h"

#include "os.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TABLE_BYTES = 32 * 1024 * 1024 /* about 200 000 sockets */ };

/* --- a line ------------------------------------------------------------------------------------------------------- */

/* IPv4-mapped addresses become IPv4 addresses, as in sockdiag.h. */
static struct addr addr_of(const struct procfs_inet *t, const uint8_t ip[static 16], uint16_t port)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	bool is_mapped = t->is_v6 && memcmp(ip, mapped, sizeof(mapped)) == 0;
	struct addr a = { 0 };
	if (t->is_v6 && !is_mapped) {
		a.len = sizeof(a.u.in6);
		a.u.in6.sin6_family = AF_INET6;
		a.u.in6.sin6_port = htons(port);
		memcpy(&a.u.in6.sin6_addr, ip, 16);
		return a;
	}
	a.len = sizeof(a.u.in4);
	a.u.in4.sin_family = AF_INET;
	a.u.in4.sin_port = htons(port);
	memcpy(&a.u.in4.sin_addr, is_mapped ? ip + 12 : ip, 4);
	return a;
}

/* In the queue of one that listens /proc counts connections, too. */
static void take_inet(struct sockets_rows *rows, enum socket_kind kind, const char *line, size_t len)
{
	struct procfs_inet t;
	if (!procfs_parse_inet(&t, line, len))
		return; /* the head line */
	struct socket_row *r = sockets_find(rows, t.inode);
	if (r == NULL)
		return;
	r->kind = kind;
	r->drops = t.drops;
	r->tcp = (struct sockdiag_socket){
		.local = addr_of(&t, t.local, t.local_port),
		.peer = addr_of(&t, t.peer, t.peer_port),
		.state = t.state < SOCKDIAG_STATES ? (enum sockdiag_state)t.state : SOCKDIAG_CLOSED,
		.uid = t.uid,
		.inode = t.inode,
		.recv_queue = t.recv_queue,
		.send_queue = t.send_queue,
		.timer_count = (unsigned)t.retransmits,
	};
	if (kind == SOCKET_TCP)
		sockdiag_leave_out_syn_fin(&r->tcp);
}

/* "listening /run/x", "connected", "unconnected datagram @name" */
static void take_unix(struct sockets_rows *rows, enum socket_kind kind, const char *line, size_t len)
{
	enum { CONNECTED = 3 /* SS_CONNECTED of include/uapi/linux/net.h */, UNIX_PATH = 108 /* unix(7) */ };
	struct procfs_unix t;
	if (!procfs_parse_unix(&t, line, len))
		return;
	struct socket_row *r = sockets_find(rows, t.inode);
	if (r == NULL)
		return;
	r->kind = kind;
	snprintf(r->path, sizeof(r->path), "%s%s%s%.*s",
		 t.is_listening         ? "listening"
		 : t.state == CONNECTED ? "connected"
					: "unconnected",
		 t.type == SOCK_DGRAM       ? " datagram"
		 : t.type == SOCK_SEQPACKET ? " seqpacket"
					    : "",
		 t.path[0] != '\0' ? " " : "", UNIX_PATH, t.path);
}

/* --- a table ------------------------------------------------------------------------------------------------------ */

static const struct table {
	const char *name[2]; /* of both families */
	void (*take)(struct sockets_rows *rows, enum socket_kind kind, const char *line, size_t len);
} tables[] = {
	[SOCKET_TCP] = { { "net/tcp", "net/tcp6" }, take_inet },
	[SOCKET_UDP] = { { "net/udp", "net/udp6" }, take_inet },
	[SOCKET_UNIX] = { { "net/unix" }, take_unix },
};

/* LIMIT: a unix socket's path may have a newline in it, and then stands on two lines. What begins with a newline
 * and looks like a line of the table is believed. */
static void take_lines(struct sockets_rows *rows, enum socket_kind kind, const char *text, size_t len)
{
	const char *end = text + len;
	while (text < end) {
		const char *newline = memchr(text, '\n', (size_t)(end - text));
		const char *line_end = newline != NULL ? newline : end;
		tables[kind].take(rows, kind, text, (size_t)(line_end - text));
		text = line_end + 1;
	}
}

static int read_one(struct sockets_rows *rows, enum socket_kind kind, const char *name, const struct procfs *p)
{
	char *text;
	ssize_t n = procfs_read_all(p, name, TABLE_BYTES, &text);
	if (n < 0)
		return -1;
	take_lines(rows, kind, text, (size_t)n);
	free(text);
	errno = EFBIG;
	return n == TABLE_BYTES ? -1 : 0;
}

int sockets_read_table(struct sockets_rows *rows, enum socket_kind kind, const struct procfs *p)
{
	for (size_t i = 0; i < COUNT_OF(tables[kind].name) && tables[kind].name[i] != NULL; i++) {
		/* A kernel without IPv6 has no second table. */
		if (read_one(rows, kind, tables[kind].name[i], p) < 0 && !(errno == ENOENT && i > 0))
			return -1;
	}
	return 0;
}
