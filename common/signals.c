#include "signals.h"

#include "sig.h"

#include <errno.h>
#include <unistd.h>

static bool on_readable(struct watch *w, unsigned events)
{
	(void)events;
	struct signals *s = CONTAINER_OF(w, struct signals, watch);
	int number = sig_take(w->fd);
	if (number != 0)
		s->on_signal(s, number);
	return number != 0;
}

/* Takes fd, or the errno of not having it. */
static int start(struct signals *s, struct reactor *r, int fd, signals_fn *fn)
{
	*s = (struct signals){ .on_signal = fn };
	if (fd < 0)
		return -1;
	if (watch_start(&s->watch, r, fd, WATCH_READ | WATCH_BACKGROUND, on_readable) < 0) {
		int saved = errno;
		close(fd);
		errno = saved;
		return -1;
	}
	return 0;
}

int signals_start(struct signals *s, struct reactor *r, signals_fn *fn)
{
	return start(s, r, sig_open_fd(), fn);
}

int signals_start_reload(struct signals *s, struct reactor *r, signals_fn *fn)
{
	return start(s, r, sig_open_reload_fd(), fn);
}

void signals_stop(struct signals *s)
{
	if (!watch_is_started(&s->watch))
		return;
	int fd = s->watch.fd;
	watch_stop(&s->watch);
	close(fd);
}
