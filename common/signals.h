/* signals.h - SIGINT and SIGTERM as events of a loop. Layer 4.
 *
 * They come through a signalfd(2), so a loop that always has something to do sees them, too (compare sig_wait). sig_open (sig.h)
 * comes first; sig_pending and sig_exit_status know what came. The third signal ends the process at once. */
#ifndef TCPLAB_SIGNALS_H
#define TCPLAB_SIGNALS_H

#include "reactor.h"

struct signals;
typedef void signals_fn(struct signals *s, int number);

struct signals {
	struct watch watch;
	signals_fn *on_signal;
};

/* Does not keep the loop running. 0, or -1 with errno. */
MUST_USE int signals_start(struct signals *s, struct reactor *r, signals_fn *fn);

/* The same for SIGHUP (sig_open_reload_fd). */
MUST_USE int signals_start_reload(struct signals *s, struct reactor *r, signals_fn *fn);

void signals_stop(struct signals *s);

#endif
