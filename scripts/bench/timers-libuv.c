/* timers-libuv.c - libuv's timers (a binary heap of linked nodes) for scripts/bench/timers. */
#include <stddef.h>
#include <uv.h>

static const char *const peer_name = "libuv";
static const size_t peer_size = sizeof(uv_timer_t);

#include "timers-peer.h"

static uv_loop_t *loop;

static void on_timer(uv_timer_t *t)
{
	(void)t;
	peer_count();
}

static void peer_open(void)
{
	loop = uv_default_loop();
}

static void peer_init(void *timer)
{
	uv_timer_init(loop, timer);
}

static void peer_start(void *timer, int ms)
{
	uv_timer_start(timer, on_timer, (uint64_t)ms, 0);
}

static void peer_stop(void *timer)
{
	uv_timer_stop(timer);
}

static void peer_run(void)
{
	uv_update_time(loop);
	uv_run(loop, UV_RUN_NOWAIT);
}
