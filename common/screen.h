/* screen.h - a terminal that is drawn over again and again, as top(1) does. Layer 2.
 *
 * It is drawn on the terminal's other screen, and at the end gets back what stood there before. Standard output that is
 * no terminal (a pipe, a file) gets one text after the other instead, with an empty line behind each.
 *
 * Drawing never blocks: a terminal that is stopped (Ctrl-S) or slow must not hold up who is measuring. It is opened
 * anew, non-blocking, by its name, since that flag belongs to the open file and not to the descriptor (fcntl(2)), and
 * the shell's would change with ours. A frame that does not get through as a whole is followed by a complete one the
 * next time.
 *
 * One thread. Who ends by a signal has to come to screen_close first (sig.h, signals.h). */
#ifndef TCPLAB_SCREEN_H
#define TCPLAB_SCREEN_H

#include "cdefs.h"

#include <stdbool.h>
#include <stddef.h>

/* Attributes in a text for screen_show. They take no column, end with their line, and reach only a terminal. */
#define SCREEN_BOLD   "\033[1m"
#define SCREEN_DIM    "\033[2m"
#define SCREEN_INVERT "\033[7m"
#define SCREEN_RED    "\033[31m"
#define SCREEN_GREEN  "\033[32m"
#define SCREEN_YELLOW "\033[33m"
#define SCREEN_BLUE   "\033[36m" /* cyan: blue is hard to read on black */
#define SCREEN_PLAIN  "\033[0m"

struct screen;

/* Standard output. The caller's, until screen_close. */
MUST_USE struct screen *screen_open(void);

/* Restores the terminal, and the keyboard; may wait a second for a terminal that is stopped. Or NULL. */
void screen_close(struct screen *s);

bool screen_is_terminal(const struct screen *s);

/* 0 and 0 when it is no terminal: as wide and as long as it likes. Of `lines` the last one stays empty. Ask each time:
 * people change the size. */
void screen_size(const struct screen *s, unsigned *columns, unsigned *lines);

/* Shows `len` bytes of UTF-8, lines that end with a newline. A terminal shows what has room: lines are cut at the last
 * column, between characters. What could steer a terminal (a control character but the attributes above) becomes '?',
 * and a byte that is no UTF-8 U+FFFD. Does not block on a terminal; on anything else as write(2) does. */
void screen_show(struct screen *s, const char *text, size_t len);

/* From now on keys come at once and are not shown, until screen_close. The descriptor to watch, the screen's own and
 * non-blocking: read(2) gives the bytes of the keys; 0 or EIO: the terminal has gone. -1: there is no keyboard (it is
 * no terminal, or standard input is not one). Ctrl-Z and Ctrl-\ come as keys, since what they do would leave the
 * terminal as we have made it; Ctrl-C sends SIGINT as ever. */
MUST_USE int screen_take_keys(struct screen *s);

/* The terminal is another's for a while (a job that is stopped), and ours again. screen_resume may be called at any
 * time: whoever was stopped without a warning (SIGSTOP) finds the terminal as somebody else has left it. */
void screen_suspend(struct screen *s);
void screen_resume(struct screen *s);

#endif
