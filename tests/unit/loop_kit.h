/* loop_kit.h - what the tests of the loop share: every kind of loop in turn, actors that tell a story, both ends of a
 * connection, and a number of rounds.
 *
 * An ACTOR watches a descriptor, has a timer and can be called later. Each time its turn comes it adds its name to the
 * story and then does what `act` says. So a test reads as: who stands ready, what they do to each other, and the story
 * that comes of it. */
#ifndef TCPLAB_LOOP_KIT_H
#define TCPLAB_LOOP_KIT_H

#include "check.h"
#include "clock.h"
#include "reactor.h"
#include "sock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static const char *const loop_backends[] = { "epoll", "poll", "select" };
static const char *const loop_timers[] = { "heap", "wheel" };

/* --- the story --------------------------------------------------------------------------------------------------- */

static char story[256];
static size_t story_len;

static inline void tell(char what)
{
	if (story_len < sizeof(story) - 1)
		story[story_len++] = what;
	story[story_len] = '\0';
}

static inline void story_begin(void)
{
	story_len = 0;
	story[0] = '\0';
}

/* --- every kind of loop ------------------------------------------------------------------------------------------ */

static inline struct reactor *loop_new(const char *backend, const char *timers)
{
	struct net_error e;
	char text[NET_ERROR_TEXT];
	struct reactor *r = reactor_new(backend, timers, &e);
	if (!CHECK(r != NULL)) {
		fprintf(stderr, "    %s\n", net_error_text(&e, text));
		abort();
	}
	story_begin();
	return r;
}

/* A rule of the loop holds whatever waits for events, and whatever keeps the timers. */
static inline void loop_each(const char *name, void (*test)(struct reactor *r))
{
	for (size_t b = 0; b < COUNT_OF(loop_backends); b++)
		for (size_t t = 0; t < COUNT_OF(loop_timers); t++) {
			unsigned long bad = check_bad;
			struct reactor *r = loop_new(loop_backends[b], loop_timers[t]);
			test(r);
			reactor_free(r);
			if (check_bad != bad)
				fprintf(stderr, "    in %s: %s, %s\n", name, loop_backends[b], loop_timers[t]);
		}
}
#define ON_EACH_LOOP(test) loop_each(#test, test)

static inline bool loop_is(const struct reactor *r, const char *backend)
{
	return strcmp(reactor_backend_name(r), backend) == 0;
}

static inline void loop_run(struct reactor *r)
{
	CHECK_INT(reactor_run(r), 0);
}

struct loop_limit {
	struct deferred call;
	struct reactor *r;
	unsigned left;
};

static inline void loop_limit_reached(struct deferred *d)
{
	struct loop_limit *limit = CONTAINER_OF(d, struct loop_limit, call);
	if (--limit->left > 0)
		reactor_defer(limit->r, d, loop_limit_reached);
	else
		reactor_stop(limit->r);
}

/* n rounds that do not sleep: a call that is queued keeps the loop awake. */
static inline void loop_run_rounds(struct reactor *r, unsigned n)
{
	struct loop_limit limit = { .r = r, .left = n };
	reactor_defer(r, &limit.call, loop_limit_reached);
	loop_run(r);
	CHECK_INT(limit.left, 0);
}

/* --- descriptors ------------------------------------------------------------------------------------------------- */

/* The number that the next descriptor will get. */
static inline int lowest_free(void)
{
	int fd = 0;
	while (fcntl(fd, F_GETFD) >= 0)
		fd++;
	return fd;
}

/* Both ends of a connection. */
static inline void open_pair(int fd[2])
{
	if (!CHECK_INT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd), 0))
		abort();
}

static inline void open_tcp_pair(int fd[2])
{
	static const struct io_until for_ever = { .deadline_ns = CLK_NEVER };
	static const struct sock_options no_options;
	struct addr bound;
	struct net_error e;
	int server = sock_serve("127.0.0.1", 0, AF_INET, &no_options, &bound, &e);
	fd[0] = sock_connect(&bound, 1, NULL, &no_options, &for_ever, &e);
	fd[1] = accept4(server, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	close(server);
	if (!CHECK(fd[0] >= 0 && fd[1] >= 0) || !CHECK_INT(fcntl(fd[0], F_SETFL, O_NONBLOCK), 0))
		abort();
}

static inline void feed(int fd)
{
	CHECK_INT(write(fd, "x", 1), 1);
}

static inline void drain(int fd)
{
	char byte;
	CHECK_INT(read(fd, &byte, 1), 1);
}

/* --- actors ------------------------------------------------------------------------------------------------------ */

struct actor {
	struct watch watch;
	struct timer timer;
	struct deferred call;
	struct reactor *r;
	void (*act)(struct actor *a); /* or NULL */
	struct actor *other;          /* on whom it acts */
	unsigned events;              /* of the last time */
	unsigned times;
	int fd, peer; /* both ends; -1: none */
	char name;
	bool does_nothing; /* as far as it tells the loop */
};

static inline void actor_play(struct actor *a)
{
	tell(a->name);
	a->times++;
	if (a->act != NULL)
		a->act(a);
}

static inline bool actor_on_event(struct watch *w, unsigned events)
{
	struct actor *a = CONTAINER_OF(w, struct actor, watch);
	bool did_something = !a->does_nothing;
	a->events = events;
	actor_play(a);
	return did_something;
}

static inline void actor_on_timer(struct timer *t)
{
	actor_play(CONTAINER_OF(t, struct actor, timer));
}

static inline void actor_on_call(struct deferred *d)
{
	actor_play(CONTAINER_OF(d, struct actor, call));
}

static inline struct actor actor_new(struct reactor *r, char name, void (*act)(struct actor *a))
{
	return (struct actor){ .r = r, .name = name, .act = act, .fd = -1, .peer = -1 };
}

static inline void actor_watch(struct actor *a, unsigned want)
{
	if (a->fd < 0) {
		int fd[2];
		open_pair(fd);
		a->fd = fd[0];
		a->peer = fd[1];
	}
	CHECK_INT(watch_start(&a->watch, a->r, a->fd, want, actor_on_event), 0);
}

/* Watches a descriptor that is readable. */
static inline void actor_stand_ready(struct actor *a)
{
	actor_watch(a, WATCH_READ);
	feed(a->peer);
}

static inline void actor_start_timer(struct actor *a, uint64_t deadline_ns)
{
	reactor_timer_start(a->r, &a->timer, deadline_ns, actor_on_timer);
}

static inline void actor_defer(struct actor *a)
{
	reactor_defer(a->r, &a->call, actor_on_call);
}

static inline void actor_post(struct actor *a)
{
	reactor_post(a->r, &a->call, actor_on_call);
}

static inline void actor_shut(struct actor *a)
{
	watch_stop(&a->watch);
	if (a->fd >= 0)
		close(a->fd);
	if (a->peer >= 0)
		close(a->peer);
	a->fd = a->peer = -1;
}

/* For `act`. */
static inline void take_byte(struct actor *a)
{
	drain(a->fd);
}

static inline void take_byte_and_stop(struct actor *a)
{
	drain(a->fd);
	reactor_stop(a->r);
}

static inline void stop_watch(struct actor *a)
{
	watch_stop(&a->watch);
}

static inline void stop_loop(struct actor *a)
{
	reactor_stop(a->r);
}

#endif
