/* reactor_backend.h - what epoll, poll and select have to do for the reactor. Layer 3.
 *
 * Every backend is compiled always; the reactor takes one by name. */
#ifndef TCPLAB_REACTOR_BACKEND_H
#define TCPLAB_REACTOR_BACKEND_H

#include "cdefs.h"

#include <stdint.h>

/* Beside the bits of reactor.h: the descriptor is in the kernel's set. Alone it means errors only; 0 means absent. */
enum { BACKEND_PRESENT = 32 };

/* What the kernel reported; events in the bits of reactor.h. */
struct ready {
	int fd;
	uint32_t gen;
	unsigned events;
};

struct reactor_backend {
	const char *name;
	int fd_limit;

	void *(*open)(void); /* NULL with errno */
	void (*close)(void *b);

	/* From what it was to what it is to be. 0, or -1 with errno. */
	int (*update)(void *b, int fd, uint32_t gen, unsigned was, unsigned is);

	/* At most max events: how many; 0 also after a signal. timeout_ns is CLK_NEVER or a duration. -1 with errno. */
	int (*wait)(void *b, struct ready *out, int max, uint64_t timeout_ns);
};

extern const struct reactor_backend reactor_epoll, reactor_poll, reactor_select;

#endif
