/* tables.h - procmon: threads, descriptors, sockets and the tree of processes as tables of text, for --once and
 * --tui. */
#ifndef PROCMON_TABLES_H
#define PROCMON_TABLES_H

#include "pen.h"
#include "procmon.h"

/* Each begins at row *first and leaves `keep` lines of the pen's free (pen_table). Threads: the busiest first. */
void tables_threads(struct pen *p, const struct watched *w, size_t *first, unsigned keep);
void tables_files(struct pen *p, const struct watched *w, size_t *first, unsigned keep);
void tables_sockets(struct pen *p, const struct watched *w, size_t *first, unsigned keep);
void tables_members(struct pen *p, const struct watched *w, size_t *first, unsigned keep);

/* One line about all of it: "12 of at most 1024: 4 files, 3 sockets". */
void tables_files_sum(struct pen *p, const struct watched *w);
void tables_sockets_sum(struct pen *p, const struct watched *w);

/* Its words with blanks between them; of a kernel thread, which has none, "[name]". */
const char *tables_command(const struct watched *w, char out[static PEN_CELL]);

/* The soft limit of that name ("Max open files"); 0: there is none, or it is not known. */
uint64_t tables_limit(const struct watched *w, const char *name);

#endif
