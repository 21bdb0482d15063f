/* tui.h - procmon --tui: the processes live in a terminal.
 *
 *	q quit       1-4, Tab   page           j k, arrows, space, b   scroll       h l, left, right   process
 *	s span       p pause    m mark         Ctrl-Z stops it as a shell's jobs are stopped, fg brings it back
 *
 * Standard output that is no terminal gets one frame after the other, plain text. The page that is shown decides what
 * of each process is looked at. Nothing here waits for a terminal, but its end (screen.h). */
#ifndef PROCMON_TUI_H
#define PROCMON_TUI_H

#include "procmon.h"

struct tui;

/* SIGWINCH, SIGTSTP, SIGCONT and SIGHUP are the tui's from now on, until tui_stop: a child that is started meanwhile
 * has to set its signal mask right. What others write to the terminal meanwhile is drawn over. procmon_stop is
 * called when somebody types q, or nobody can see it any more: the terminal has gone, the pipe is closed. The
 * caller's, until tui_stop; NULL with *e. */
MUST_USE struct tui *tui_start(struct procmon *m, struct net_error *e);

/* There is something new to show. */
void tui_sampled(struct tui *t);

/* Gives the terminal back as it was; may wait a second for one that is stopped. May be NULL. */
void tui_stop(struct tui *t);

#endif
