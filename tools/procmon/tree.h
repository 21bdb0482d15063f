/* tree.h - procmon: between watched.c, sample.c and tree.c. */
#ifndef PROCMON_TREE_H
#define PROCMON_TREE_H

#include "procmon.h"

/* What became of a look at the process. LOOK_MISSED: it could not be read this time (no descriptor free for it), and
 * nothing has changed. LOOK_TOO_LATE: it has ended, and its parent has waited for it. */
enum look { LOOK_DONE, LOOK_MISSED, LOOK_TOO_LATE };

/* Brings w->member up to date: with --children, who has come and who has gone; then the counters of each. */
MUST_USE enum look tree_read(struct watched *w);
void tree_close(struct watched *w);

/* One sample of w, now, with what is due of the sources. is_last: it has ended, and only what it has counted is left of
 * it; there are no rates then if the last sample was a moment ago: a rate of three calls in a millisecond would be a
 * spike that nobody had. */
MUST_USE enum look sample_take(struct watched *w, bool is_last);

/* Has it ended already? Then a sample would be of a corpse; its pidfd says so in a moment. */
bool sample_is_late(const struct watched *w);

/* Reads these sources now, if their pace allows it. */
void sample_sources(struct watched *w, unsigned sources);

#endif
