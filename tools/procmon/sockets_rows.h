/* sockets_rows.h - procmon: a reading of sockets while it is made. For sockets.c and its chapters only. */
#ifndef PROCMON_SOCKETS_ROWS_H
#define PROCMON_SOCKETS_ROWS_H

#include "sockets.h"

/* All sockets of the process, by inode, ascending, each once. */
struct sockets_rows {
	struct socket_row *row;
	size_t n, cap;
	uint64_t at_ns;   /* 0: no such reading */
	bool is_complete; /* sock_diag has been asked, so a TCP row without info has none */
};

/* Its row; NULL: another process's socket. */
struct socket_row *sockets_find(const struct sockets_rows *rows, uint64_t inode);

/* sockets_files.c: rows from the links of the files, each with its protocol, which of an inode that is among
 * `before` is known. */
void sockets_take_files(struct sockets_rows *rows, const struct files *files, const struct sockets_rows *before);

/* sockets_tables.c: what /proc/PID/net tells of the rows of a kind. Those whose protocol is not known take the
 * kind of the table in which they stand. 0, or -1 with errno when the table (tcp or tcp6 ...) cannot be read;
 * EFBIG when it is too long. */
MUST_USE int sockets_read_table(struct sockets_rows *rows, enum socket_kind kind, const struct procfs *p);

/* sockets_diag.c: what sock_diag tells of the TCP rows. before: what it told last. False, with *why, when it must
 * not or cannot be asked. */
struct sockets_diag {
	struct sockdiag diag;
	bool is_open;
	uint64_t netns;      /* the inode of the network namespace it sees; 0: never opened */
	const char *refused; /* this namespace may not be seen: not tried again */
};
/* Follows the process into its network namespace. 0, or -1 with *e: sock_diag is not there. */
MUST_USE int sockets_diag_follow(struct sockets_diag *d, const struct procfs *p, struct net_error *e);
MUST_USE int sockets_diag_read(struct sockets_diag *d, struct sockets_rows *rows, const struct sockets_rows *before,
			       struct net_error *e);
void sockets_diag_close(struct sockets_diag *d);

#endif
