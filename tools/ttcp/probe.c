/* probe.c - latency beside the bulk: a request of 64 bytes and its echo on a connection of their own, on a fixed
 * schedule.
 *
 * Each round trip counts from the time at which its request was due, not from when it left: when an answer is late, the
 * requests that it held up are late too, and leaving that out would flatter the loaded figures ("coordinated omission",
 * Gil Tene). The schedule has one request under way at most, so a stall of n intervals shows as n late ones. */
#include "ttcp.h"

#include "clock.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

void probe_measure(struct probe *p)
{
	unsigned char bytes[PROBE_LEN] = { 0 };
	uint64_t due_ns = clk_mono_ns();
	while (!atomic_load(p->stop)) {
		struct io_until until = { .deadline_ns = CLK_NEVER, .cancel = p->abandon };
		bool loaded = atomic_load(p->loaded_now);
		clk_sleep_until_ns(due_ns);
		if (io_write_full(p->fd, bytes, sizeof(bytes), &until) < 0 ||
		    io_read_full(p->fd, bytes, sizeof(bytes), &until) != 1) {
			p->error = errno;
			return;
		}
		hist_add(loaded ? &p->loaded : &p->idle, clk_mono_ns() - due_ns);
		due_ns += p->interval_ns;
	}
}

/* 0 after the client's FIN, or -1 with errno. */
int probe_echo(int fd, const struct io_until *until)
{
	unsigned char bytes[PROBE_LEN];
	for (;;) {
		int got = io_read_full(fd, bytes, sizeof(bytes), until);
		if (got <= 0)
			return got;
		if (io_write_full(fd, bytes, sizeof(bytes), until) < 0)
			return -1;
	}
}
