/* print.c - the relay's family: what is written must not hold up what is relayed.
 *
 * Somebody who stops reading a report (a pager, a terminal after ^S) fills a pipe, and a write(2) would wait for him: no
 * flow would move, and no signal be seen. So it is asked before whether there is room; what finds none is left out, and
 * counted. When poll(2) says that a pipe can be written it promises a page (pipe(7)); a line is shorter. */
#include "relay.h"

#include <limits.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

enum { PATIENCE_MS = 100 /* in the middle of something longer */ };

static bool has_room(int fd, int patience_ms)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	return poll(&p, 1, patience_ms) != 0; /* an error, too: it is the write that tells which */
}

bool relay_may_print(struct relay *relay, FILE *out)
{
	if (has_room(fileno(out), 0))
		return true;
	atomic_fetch_add(&relay->n_unread, 1);
	return false;
}

void relay_print(struct relay *relay, FILE *out, const char *text, size_t len)
{
	if (!relay_may_print(relay, out))
		return;
	flockfile(out);
	while (len > 0) {
		size_t n = len < PIPE_BUF ? len : PIPE_BUF;
		if (fwrite(text, 1, n, out) < n || fflush(out) != 0)
			break; /* the stream remembers it (record_finish) */
		text += n;
		len -= n;
		if (len > 0 && !has_room(fileno(out), PATIENCE_MS)) {
			atomic_fetch_add(&relay->n_unread, 1);
			break;
		}
	}
	funlockfile(out);
}
