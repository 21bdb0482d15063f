/* timers-libevent.c - libevent's timers (a binary heap in an array) for scripts/bench/timers. */
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stddef.h>

static const char *const peer_name = "libevent";
static const size_t peer_size = sizeof(struct event);

#include "timers-peer.h"

static struct event_base *base;

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what, (void)arg;
	peer_count();
}

static void peer_open(void)
{
	base = event_base_new();
}

static void peer_init(void *timer)
{
	evtimer_assign(timer, base, on_timer, NULL);
}

static void peer_start(void *timer, int ms)
{
	struct timeval timeout = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };
	event_add(timer, &timeout);
}

static void peer_stop(void *timer)
{
	event_del(timer);
}

static void peer_run(void)
{
	event_base_loop(base, EVLOOP_NONBLOCK);
}
