/* tree.h - procmon: between watched.c, sample.c and tree.c. */
#ifndef PROCMON_TREE_H
#define PROCMON_TREE_H

#include "procmon.h"

/* Brings w->member up to date: with --children, who has come and who has gone; then the counters of each. False: the process
 * itself has ended and been waited for. */
MUST_USE bool tree_read(struct watched *w);
void tree_close(struct watched *w);

/* One sample of w, now, with what is due of the sources. is_last: it has ended, and only what it has counted is left of it; there
 * are no rates then if the last sample was a moment ago: a rate of three calls in a millisecond would be a spike that
 * nobody had. False: see tree_read. */
MUST_USE bool sample_take(struct watched *w, bool is_last);

/* Has it ended already? Then a sample would be of a corpse; its pidfd says so in a moment. */
bool sample_is_late(const struct watched *w);

/* Reads these sources now, if their pace allows it. */
void sample_sources(struct watched *w, unsigned sources);

#endif
