/* sockets_files.c - procmon: which sockets a process has, and what they are.
 *
 * The links in /proc/PID/fd name inodes: two descriptors that lead to one socket (dup(2), fork(2)) name the same,
 * and become one row. Which protocol it is the kernel tells as an extended attribute of the link, so the tables of
 * protocols that the process does not use need not be read. */
#include "sockets_rows.h"

#include "mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

/* A descriptor that leads to a socket. */
struct link {
	uint64_t inode;
	size_t at; /* its place among the files */
};

static int compare_links(const void *a, const void *b)
{
	const struct link *x = a, *y = b;
	if (x->inode != y->inode)
		return x->inode < y->inode ? -1 : 1;
	return x->at < y->at ? -1 : x->at > y->at;
}

/* The caller frees *out. */
static size_t find_links(const struct files *files, struct link **out)
{
	size_t n = 0;
	*out = xcalloc(files->n + 1, sizeof(**out));
	for (size_t i = 0; i < files->n; i++) {
		if (files->row[i].kind == FILE_SOCKET && files->row[i].inode != 0)
			(*out)[n++] = (struct link){ files->row[i].inode, i };
	}
	qsort(*out, n, sizeof(**out), compare_links);
	return n;
}

/* --- protocol ----------------------------------------------------------------------------------------------------- */

static enum socket_kind kind_of(const char *protocol)
{
	static const struct {
		const char *protocol;
		enum socket_kind kind;
	} kinds[] = {
		{ "TCP", SOCKET_TCP },         { "TCPv6", SOCKET_TCP }, { "UDP", SOCKET_UDP },
		{ "UDPv6", SOCKET_UDP },       { "UNIX", SOCKET_UNIX }, { "UNIX-STREAM", SOCKET_UNIX },
		{ "UNIX-DGRAM", SOCKET_UNIX },
	};
	for (size_t i = 0; i < COUNT_OF(kinds); i++) {
		if (strcmp(protocol, kinds[i].protocol) == 0)
			return kinds[i].kind;
	}
	return SOCKET_OTHER;
}

/* "NETLINK" -> "netlink" */
static void put_lower(char *out, size_t cap, const char *text)
{
	size_t n = 0;
	for (; text[n] != '\0' && n < cap - 1; n++)
		out[n] = text[n] >= 'A' && text[n] <= 'Z' ? (char)(text[n] - 'A' + 'a') : text[n];
	out[n] = '\0';
}

/* A descriptor that was closed since leads elsewhere or nowhere: then its row has a wrong protocol or none, and at
 * the next reading there is no such inode any more. */
static void ask_protocol(struct socket_row *r)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%lld/fd/%u", (long long)r->pid, (unsigned)r->fd);
	ssize_t n = getxattr(path, "system.sockprotoname", r->protocol, sizeof(r->protocol) - 1);
	r->protocol[n > 0 ? n : 0] = '\0';
}

static void take_protocol(struct socket_row *r, const struct socket_row *before)
{
	if (before != NULL)
		memcpy(r->protocol, before->protocol, sizeof(r->protocol));
	if (r->protocol[0] == '\0')
		ask_protocol(r);
	r->kind = kind_of(r->protocol);
	if (r->kind == SOCKET_OTHER)
		put_lower(r->path, sizeof(r->path), r->protocol);
	r->tcp.state = SOCKDIAG_CLOSED;
}

/* --- rows --------------------------------------------------------------------------------------------------------- */

static struct socket_row *add_row(struct sockets_rows *rows)
{
	if (rows->n == rows->cap) {
		rows->cap = rows->cap > 0 ? 2 * rows->cap : 16;
		rows->row = xrealloc(rows->row, rows->cap * sizeof(*rows->row));
	}
	struct socket_row *r = &rows->row[rows->n++];
	*r = (struct socket_row){ 0 };
	return r;
}

static void take_link(struct sockets_rows *rows, const struct file_row *file, const struct sockets_rows *before)
{
	struct socket_row *r = add_row(rows);
	r->pid = file->pid;
	r->fd = file->fd;
	r->inode = file->inode;
	take_protocol(r, sockets_find(before, file->inode));
}

void sockets_take_files(struct sockets_rows *rows, const struct files *files, const struct sockets_rows *before)
{
	struct link *links;
	size_t n = find_links(files, &links);
	rows->n = 0;
	for (size_t i = 0; i < n; i++) {
		if (i == 0 || links[i].inode != links[i - 1].inode)
			take_link(rows, &files->row[links[i].at], before);
		rows->row[rows->n - 1].fds++;
	}
	free(links);
}

static int compare_inode(const void *key, const void *row)
{
	uint64_t inode = *(const uint64_t *)key, other = ((const struct socket_row *)row)->inode;
	return inode < other ? -1 : inode > other;
}

struct socket_row *sockets_find(const struct sockets_rows *rows, uint64_t inode)
{
	if (inode == 0 || rows->n == 0)
		return NULL;
	return bsearch(&inode, rows->row, rows->n, sizeof(*rows->row), compare_inode);
}
