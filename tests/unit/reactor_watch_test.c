/* reactor_watch_test.c - descriptors on the loop: who gets which event when watches are stopped, restarted and replaced
 * inside a callback, what a watch may want, what cannot be watched, and that all get their turn. */
#include "reactor.h"

#include "child.h"
#include "loop_kit.h"
#include "prng.h"

#include <limits.h>
#include <sys/select.h>

/* More of them stand ready than one test needs: whichever comes first acts on all the others. */
enum { CROWD = 6 };
static struct actor crowd[CROWD];

static void crowd_stand_ready(struct reactor *r, void (*act)(struct actor *a))
{
	for (int i = 0; i < CROWD; i++) {
		crowd[i] = actor_new(r, 'o', act);
		actor_stand_ready(&crowd[i]);
	}
}

static void crowd_shut(void)
{
	for (int i = 0; i < CROWD; i++)
		actor_shut(&crowd[i]);
}

/* --- stale events ------------------------------------------------------------------------------------------------ */

/* Closes both ends and opens a new connection under the same number. */
static void reopen_number(struct actor *a)
{
	int pair[2], number = a->fd;
	close(a->fd);
	close(a->peer);
	open_pair(pair);
	if (pair[0] != number) {
		int moved = pair[1] == number ? dup(pair[1]) : pair[1]; /* the other end must not stand in the way */
		CHECK_INT(dup3(pair[0], number, O_CLOEXEC), number);
		close(pair[0]);
		pair[1] = moved;
	}
	a->fd = number;
	a->peer = pair[1];
}

static struct actor newcomers[CROWD];

static void replace_all(struct actor *a)
{
	for (int i = 0; i < CROWD; i++) {
		watch_stop(&crowd[i].watch);
		reopen_number(&crowd[i]);
		newcomers[i] = actor_new(a->r, 'n', take_byte);
		newcomers[i].fd = crowd[i].fd;
		newcomers[i].peer = crowd[i].peer;
		crowd[i].fd = crowd[i].peer = -1;
		actor_watch(&newcomers[i], WATCH_READ);
	}
}

/* The first callback of a batch replaces all others, and itself, by new connections with the same numbers: the events
 * that are left reach nobody. The newcomers get what is theirs, and only that. */
static void test_numbers_used_again(struct reactor *r)
{
	crowd_stand_ready(r, replace_all);
	loop_run_rounds(r, 1);
	CHECK_STR(story, "o");
	CHECK_INT(reactor_stats(r)->stale, CROWD - 1);
	loop_run_rounds(r, 1);
	CHECK_STR(story, "o");
	for (int i = 0; i < CROWD; i++)
		feed(newcomers[i].peer);
	loop_run_rounds(r, 2);
	CHECK_STR(story, "onnnnnn");
	CHECK_INT(reactor_stats(r)->stale, CROWD - 1);
	CHECK_INT(reactor_stats(r)->events, 1 + CROWD);
	for (int i = 0; i < CROWD; i++)
		actor_shut(&newcomers[i]);
}

static void reopen_all_in_place(struct actor *a)
{
	(void)a;
	for (int i = 0; i < CROWD; i++) {
		watch_stop(&crowd[i].watch);
		reopen_number(&crowd[i]);
		crowd[i].act = take_byte;
		actor_stand_ready(&crowd[i]);
	}
}

/* The same with the same struct watch, and with connections that have bytes to read at once: one event each, in the
 * next round. */
static void test_watches_used_again(struct reactor *r)
{
	crowd_stand_ready(r, reopen_all_in_place);
	loop_run_rounds(r, 1);
	CHECK_STR(story, "o");
	CHECK_INT(reactor_stats(r)->stale, CROWD - 1);
	loop_run_rounds(r, 2);
	CHECK_STR(story, "ooooooo");
	for (int i = 0; i < CROWD; i++)
		CHECK(crowd[i].times >= 1);
	crowd_shut();
}

static void stop_all(struct actor *a)
{
	(void)a;
	for (int i = 0; i < CROWD; i++)
		watch_stop(&crowd[i].watch);
}

static void test_stop_siblings(struct reactor *r)
{
	crowd_stand_ready(r, stop_all);
	loop_run(r);
	CHECK_STR(story, "o");
	CHECK_INT(reactor_stats(r)->stale, CROWD - 1);
	CHECK_INT(reactor_stats(r)->events, 1);
	crowd_shut();
}

/* --- oneself ----------------------------------------------------------------------------------------------------- */

static void test_stop_oneself(struct reactor *r)
{
	struct actor a = actor_new(r, 'a', stop_watch);
	actor_stand_ready(&a);
	loop_run(r);
	CHECK_STR(story, "a");
	CHECK(!watch_is_started(&a.watch));
	watch_stop(&a.watch);
	actor_shut(&a);
}

static void restart_or_stop(struct actor *a)
{
	watch_stop(&a->watch);
	if (a->times < 3)
		actor_watch(a, WATCH_READ);
}

/* Once in a round, however often it is started in it. */
static void test_restart_oneself(struct reactor *r)
{
	struct actor a = actor_new(r, 'a', restart_or_stop);
	actor_stand_ready(&a);
	for (unsigned i = 1; i <= 3; i++) {
		loop_run_rounds(r, 1);
		CHECK_INT(a.times, i);
	}
	loop_run(r);
	CHECK_STR(story, "aaa");
	actor_shut(&a);
}

/* The owner of a watch may go in its callback. */
static void free_oneself(struct actor *a)
{
	actor_shut(a);
	memset(a, 0xff, sizeof(*a));
	free(a);
}

static bool on_event_then_free(struct watch *w, unsigned events)
{
	(void)events;
	struct actor *a = CONTAINER_OF(w, struct actor, watch);
	bool said = a->name == 'y';
	tell(a->name);
	free_oneself(a);
	return said;
}

static void test_free_oneself(struct reactor *r)
{
	static const char names[] = "yn";
	for (int i = 0; i < 2; i++) {
		struct actor *a = malloc(sizeof(*a));
		int fd[2];
		open_pair(fd);
		*a = actor_new(r, names[i], NULL);
		a->fd = fd[0];
		a->peer = fd[1];
		CHECK_INT(watch_start(&a->watch, r, a->fd, WATCH_WRITE, on_event_then_free), 0);
		loop_run(r);
	}
	CHECK_STR(story, names);
}

/* --- what is wanted ---------------------------------------------------------------------------------------------- */

static void want_nothing_more(struct actor *a)
{
	(void)a;
	for (int i = 0; i < CROWD; i++)
		watch_want(&crowd[i].watch, 0);
}

/* Who is paused by a callback before it in the same batch is not called any more. */
static void test_pause_siblings(struct reactor *r)
{
	crowd_stand_ready(r, want_nothing_more);
	loop_run_rounds(r, 2);
	CHECK_STR(story, "o");
	CHECK_INT(reactor_stats(r)->events, 1);
	for (int i = 0; i < CROWD; i++) {
		crowd[i].act = stop_watch;
		watch_want(&crowd[i].watch, WATCH_READ);
	}
	loop_run(r);
	CHECK_STR(story, "ooooooo");
	crowd_shut();
}

static void want_writing(struct actor *a)
{
	(void)a;
	for (int i = 0; i < CROWD; i++) {
		watch_want(&crowd[i].watch, WATCH_WRITE);
		crowd[i].act = stop_watch;
	}
}

/* They were readable; one of them wants all to write: of the events of this batch nothing is left for them, those of
 * the next are what they want. */
static void test_change_siblings(struct reactor *r)
{
	crowd_stand_ready(r, want_writing);
	loop_run_rounds(r, 1);
	CHECK_STR(story, "o");
	loop_run(r);
	CHECK_STR(story, "ooooooo");
	for (int i = 0; i < CROWD; i++)
		CHECK_INT(crowd[i].events, WATCH_WRITE);
	crowd_shut();
}

static void test_level_triggered(struct reactor *r)
{
	struct actor a = actor_new(r, 'a', NULL);
	actor_stand_ready(&a);
	loop_run_rounds(r, 3);
	CHECK_STR(story, "aaa");
	CHECK_INT(a.events, WATCH_READ);
	drain(a.fd);
	loop_run_rounds(r, 3);
	CHECK_STR(story, "aaa");
	actor_shut(&a);
}

/* Readable, writable, both; full and no longer writable; room again. */
/* Under another function from now on: also for an event that is on its way in this very round. */
static bool take_as_other(struct watch *w, unsigned events)
{
	(void)w;
	(void)events;
	tell('b');
	watch_stop(w);
	return true;
}

static void become_all(struct actor *a)
{
	(void)a;
	for (int i = 0; i < CROWD; i++)
		watch_become(&crowd[i].watch, WATCH_READ, take_as_other);
}

static void test_become(struct reactor *r)
{
	crowd_stand_ready(r, become_all);
	loop_run(r);
	CHECK_STR(story, "obbbbbb");
	CHECK_INT(reactor_stats(r)->stale, 0);
	crowd_shut();
}

static void test_read_and_write(struct reactor *r)
{
	static const char block[4096];
	struct actor a = actor_new(r, 'a', stop_loop);
	char bin[sizeof(block)];
	actor_watch(&a, WATCH_READ | WATCH_WRITE);
	loop_run(r);
	CHECK_INT(a.events, WATCH_WRITE);
	feed(a.peer);
	loop_run(r);
	CHECK_INT(a.events, WATCH_READ | WATCH_WRITE);
	while (write(a.fd, block, sizeof(block)) > 0)
		;
	loop_run(r);
	CHECK_INT(a.events, WATCH_READ);
	watch_want(&a.watch, WATCH_WRITE);
	a.times = 0;
	loop_run_rounds(r, 2);
	CHECK_INT(a.times, 0);
	while (read(a.peer, bin, sizeof(bin)) > 0)
		;
	loop_run(r);
	CHECK_INT(a.events, WATCH_WRITE);
	actor_shut(&a);
}

static void watch_tcp(struct actor *a, unsigned want)
{
	int fd[2];
	open_tcp_pair(fd);
	a->fd = fd[0];
	a->peer = fd[1];
	actor_watch(a, want);
}

/* That the peer's FIN stands behind what can be read is told beside it, but by select, which does not know; and not to
 * a watch that does not read. */
static void test_last(struct reactor *r)
{
	bool is_select = strcmp(reactor_backend_name(r), "select") == 0;
	struct actor a = actor_new(r, 'a', stop_watch);
	watch_tcp(&a, WATCH_READ);
	feed(a.peer);
	loop_run(r);
	CHECK_INT(a.events, WATCH_READ);
	CHECK_INT(shutdown(a.peer, SHUT_WR), 0);
	struct pollfd fin = { .fd = a.fd, .events = POLLRDHUP };
	CHECK_INT(poll(&fin, 1, -1), 1);
	actor_watch(&a, WATCH_READ);
	loop_run(r);
	CHECK_INT(a.events, is_select ? WATCH_READ : WATCH_READ | WATCH_LAST);
	actor_watch(&a, WATCH_WRITE);
	loop_run(r);
	CHECK_INT(a.events, WATCH_WRITE);
	actor_shut(&a);
}

/* --- errors only ------------------------------------------------------------------------------------------------- */

static void reset_by_peer(struct actor *a)
{
	sock_abort(a->peer);
	a->peer = -1;
}

static void wait_for_reset(const struct actor *a)
{
	struct pollfd p = { .fd = a->fd };
	CHECK_INT(poll(&p, 1, -1), 1);
}

/* A flow that is paused: bytes and the peer's FIN wait, a reset is seen. */
static void test_errors_only(struct reactor *r)
{
	struct actor a = actor_new(r, 'a', stop_watch), timer = actor_new(r, 't', NULL);
	watch_tcp(&a, 0);
	feed(a.peer);
	actor_start_timer(&timer, clk_mono_ns() + 2 * NS_PER_MS);
	loop_run_rounds(r, 2);
	CHECK_INT(shutdown(a.peer, SHUT_WR), 0);
	loop_run_rounds(r, 2);
	CHECK_INT(a.times, 0);
	reset_by_peer(&a);
	loop_run(r);
	CHECK_INT(a.times, 1);
	CHECK(a.events & (WATCH_ERR | WATCH_HUP));
	CHECK_INT(a.events & (WATCH_READ | WATCH_WRITE), 0);
	actor_shut(&a);
}

/* From reading to errors only and back: as if it had been so from the beginning. */
static void test_pause_and_resume(struct reactor *r)
{
	struct actor a = actor_new(r, 'a', stop_watch);
	watch_tcp(&a, WATCH_READ);
	watch_want(&a.watch, 0);
	feed(a.peer);
	loop_run_rounds(r, 2);
	CHECK_INT(a.times, 0);
	watch_want(&a.watch, WATCH_READ);
	loop_run(r);
	CHECK_INT(a.events, WATCH_READ);
	actor_watch(&a, WATCH_READ);
	watch_want(&a.watch, 0);
	reset_by_peer(&a);
	loop_run(r);
	CHECK_INT(a.times, 2);
	CHECK(a.events & (WATCH_ERR | WATCH_HUP));
	actor_shut(&a);
}

/* Who wants something hears of a reset, too; under select as readable or writable, which is all that it can say. */
static void test_reset_while_wanting(struct reactor *r)
{
	static const unsigned wants[] = { WATCH_READ, WATCH_WRITE, WATCH_READ | WATCH_WRITE };
	for (size_t i = 0; i < COUNT_OF(wants); i++) {
		struct actor a = actor_new(r, 'a', stop_watch);
		watch_tcp(&a, wants[i]);
		reset_by_peer(&a);
		wait_for_reset(&a);
		loop_run(r);
		CHECK(a.events & (loop_is(r, "select") ? wants[i] : WATCH_ERR | WATCH_HUP));
		actor_shut(&a);
	}
}

/* The end of a pipe is no byte to read but a hang-up (pipe(7), poll(2)): seen, whatever it is called. */
static void test_end_of_pipe(struct reactor *r)
{
	struct actor a = actor_new(r, 'a', stop_watch);
	int fd[2];
	CHECK_INT(pipe2(fd, O_NONBLOCK | O_CLOEXEC), 0);
	close(fd[1]);
	a.fd = fd[0];
	actor_watch(&a, WATCH_READ);
	loop_run(r);
	CHECK_INT(a.events, loop_is(r, "select") ? WATCH_READ : WATCH_HUP);
	actor_shut(&a);
}

/* The third interest: none at all. */
static void test_stopped(struct reactor *r)
{
	struct actor a = actor_new(r, 'a', NULL), timer = actor_new(r, 't', NULL);
	watch_tcp(&a, WATCH_READ);
	watch_stop(&a.watch);
	feed(a.peer);
	reset_by_peer(&a);
	wait_for_reset(&a);
	actor_start_timer(&timer, clk_mono_ns() + 2 * NS_PER_MS);
	loop_run(r);
	CHECK_STR(story, "t");
	CHECK_INT(reactor_stats(r)->stale, 0);
	actor_shut(&a);
}

static void test_stop_what_never_was(struct reactor *r)
{
	struct watch none = { 0 };
	CHECK(!watch_is_started(&none));
	watch_stop(&none);
	loop_run(r);
}

/* --- what cannot be watched -------------------------------------------------------------------------------------- */

static void check_refused(struct reactor *r, int fd, int error)
{
	struct watch w = { 0 };
	errno = 0;
	CHECK_INT(watch_start(&w, r, fd, WATCH_READ, actor_on_event), -1);
	CHECK_INT(errno, error);
	CHECK(!watch_is_started(&w));
	watch_stop(&w);
	loop_run(r); /* nothing is left of it that would keep the loop */
}

static void test_bad_descriptor(struct reactor *r)
{
	int fd[2];
	open_pair(fd);
	close(fd[0]);
	close(fd[1]);
	check_refused(r, -1, EBADF);
	check_refused(r, fd[1], EBADF);
}

/* It never blocks, and epoll says so; the others find it readable always. */
static void test_regular_file(struct reactor *r)
{
	FILE *file = tmpfile();
	if (!CHECK(file != NULL))
		return;
	struct actor a = actor_new(r, 'a', stop_watch);
	a.fd = dup(fileno(file));
	fclose(file);
	if (loop_is(r, "epoll")) {
		check_refused(r, a.fd, EPERM);
	} else {
		actor_watch(&a, WATCH_READ);
		loop_run(r);
		CHECK_INT(a.events, WATCH_READ);
	}
	actor_shut(&a);
}

static void use_high_numbers(struct reactor *r)
{
	for (int number = FD_SETSIZE - 1; number <= FD_SETSIZE; number++) {
		struct actor a = actor_new(r, 'a', stop_watch);
		int fd[2];
		open_pair(fd);
		a.fd = fcntl(fd[0], F_DUPFD_CLOEXEC, number);
		close(fd[0]);
		a.peer = fd[1];
		CHECK_INT(a.fd, number);
		if (a.fd < reactor_fd_limit(r)) {
			actor_stand_ready(&a);
			loop_run(r);
			CHECK_INT(a.times, 1);
		} else {
			check_refused(r, a.fd, ERANGE);
		}
		actor_shut(&a);
	}
}

static void raise_limit_and_use_high_numbers(void)
{
	struct rlimit limit;
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_max > FD_SETSIZE)
		ON_EACH_LOOP(use_high_numbers);
}

/* The table of descriptors grows while one of them has its turn. */
static void start_far_away(struct actor *a)
{
	struct actor *far = a->other;
	far->fd = fcntl(a->peer, F_DUPFD_CLOEXEC, 900);
	CHECK(far->fd >= 900);
	actor_watch(far, WATCH_WRITE);
	watch_stop(&a->watch);
}

static void test_table_grows(struct reactor *r)
{
	struct actor near = actor_new(r, 'n', start_far_away), far = actor_new(r, 'f', stop_watch);
	near.other = &far;
	near.does_nothing = true;
	actor_stand_ready(&near);
	loop_run(r);
	CHECK_STR(story, "nf");
	actor_shut(&near);
	actor_shut(&far);
}

/* --- fairness ---------------------------------------------------------------------------------------------------- */

/* More than a round takes (256), and not a multiple of it. */
enum { MANY = 600, ENOUGH_ROUNDS = 3 };
static struct actor many[MANY];

/* Both ends of a connection stand ready, always: there is room to write. */
static void many_stand_ready(struct reactor *r, void (*act)(struct actor *a))
{
	for (int i = 0; i < MANY; i += 2) {
		int fd[2];
		open_pair(fd);
		for (int end = 0; end < 2; end++) {
			many[i + end] = actor_new(r, 'm', act);
			many[i + end].fd = fd[end];
			actor_watch(&many[i + end], WATCH_WRITE);
		}
	}
}

/* Nobody has had more than one turn more than another. */
static void check_turns(unsigned at_least)
{
	unsigned least = UINT_MAX, most = 0;
	for (int i = 0; i < MANY; i++) {
		least = many[i].times < least ? many[i].times : least;
		most = many[i].times > most ? many[i].times : most;
	}
	CHECK(least >= at_least);
	CHECK(most - least <= 1);
}

static void test_all_get_their_turn(struct reactor *r)
{
	many_stand_ready(r, NULL);
	loop_run_rounds(r, ENOUGH_ROUNDS);
	check_turns(1);
	loop_run_rounds(r, 9 * ENOUGH_ROUNDS);
	check_turns(10);
	for (int i = 0; i < MANY; i++)
		actor_shut(&many[i]);
}

/* The set changes under the hands of whoever goes through it: each stops itself in its turn. */
static void test_all_get_their_turn_once(struct reactor *r)
{
	many_stand_ready(r, stop_watch);
	loop_run_rounds(r, ENOUGH_ROUNDS);
	for (int i = 0; i < MANY; i++) {
		CHECK_INT(many[i].times, 1);
		actor_shut(&many[i]);
	}
	CHECK_INT(reactor_stats(r)->stale, 0);
}

/* A timer and a posted call get through, too. */
static void test_no_one_is_starved(struct reactor *r)
{
	struct actor timer = actor_new(r, 't', NULL), call = actor_new(r, 'c', NULL);
	many_stand_ready(r, NULL);
	actor_start_timer(&timer, 0);
	actor_post(&call);
	loop_run_rounds(r, ENOUGH_ROUNDS);
	CHECK_INT(timer.times, 1);
	CHECK_INT(call.times, 1);
	for (int i = 0; i < MANY; i++)
		actor_shut(&many[i]);
}

/* --- at random --------------------------------------------------------------------------------------------------- */

enum { PLAYERS = 40, TURNS = 500, CENSUS_EVERY = 10 };
static struct actor players[PLAYERS];
static uint64_t rolled;

static unsigned roll(unsigned sides)
{
	return (unsigned)(prng_word(42, rolled++) % sides);
}

static bool is_readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	return poll(&p, 1, 0) == 1 && p.revents & POLLIN;
}

/* One of the things that may happen to anybody in anybody's turn. */
static void disturb(struct actor *a)
{
	static const unsigned wants[] = { 0, WATCH_READ, WATCH_WRITE, WATCH_READ | WATCH_WRITE };
	bool is_started = watch_is_started(&a->watch);
	switch (roll(5)) {
	case 0:
		watch_stop(&a->watch);
		break;
	case 1:
		watch_stop(&a->watch);
		reopen_number(a);
		actor_watch(a, wants[roll(4)]);
		break;
	case 2:
		if (!is_started)
			actor_watch(a, wants[roll(4)]);
		break;
	case 3:
		if (is_started)
			watch_want(&a->watch, wants[roll(4)]);
		break;
	default:
		if (!is_readable(a->fd))
			feed(a->peer);
	}
}

static void disturb_others(struct actor *a)
{
	CHECK(watch_is_started(&a->watch));
	CHECK(a->events != 0 && (a->events & ~a->watch.want) == 0);
	CHECK((a->events & WATCH_READ) == 0 || is_readable(a->fd)); /* else it was another's event */
	if (a->events & WATCH_READ && roll(2) == 0)
		drain(a->fd);
	for (unsigned n = roll(4); n > 0; n--)
		disturb(&players[roll(PLAYERS)]);
}

/* One quiet round: each that has something gets it, once, and nobody else. */
static void take_census(struct reactor *r)
{
	for (int i = 0; i < PLAYERS; i++) {
		players[i].act = NULL;
		players[i].times = players[i].events = 0;
	}
	loop_run_rounds(r, 1);
	for (int i = 0; i < PLAYERS; i++) {
		struct actor *a = &players[i];
		unsigned due = watch_is_started(&a->watch) ? a->watch.want : 0;
		if (!is_readable(a->fd))
			due &= ~(unsigned)WATCH_READ;
		CHECK_INT(a->events, due);
		CHECK_INT(a->times, due != 0);
		a->act = disturb_others;
	}
}

static void test_at_random(struct reactor *r)
{
	rolled = 0;
	for (int i = 0; i < PLAYERS; i++) {
		players[i] = actor_new(r, 'p', disturb_others);
		actor_watch(&players[i], WATCH_READ | WATCH_WRITE);
	}
	for (int turn = 0; turn < TURNS; turn++) {
		disturb(&players[roll(PLAYERS)]);
		loop_run_rounds(r, 1);
		if (turn % CENSUS_EVERY == 0)
			take_census(r);
	}
	CHECK(reactor_stats(r)->events > TURNS);
	CHECK(reactor_stats(r)->stale > TURNS / 10);
	for (int i = 0; i < PLAYERS; i++)
		actor_shut(&players[i]);
}

int main(void)
{
	alarm(60);
	ON_EACH_LOOP(test_numbers_used_again);
	ON_EACH_LOOP(test_watches_used_again);
	ON_EACH_LOOP(test_stop_siblings);
	ON_EACH_LOOP(test_stop_oneself);
	ON_EACH_LOOP(test_restart_oneself);
	ON_EACH_LOOP(test_free_oneself);
	ON_EACH_LOOP(test_pause_siblings);
	ON_EACH_LOOP(test_change_siblings);
	ON_EACH_LOOP(test_level_triggered);
	ON_EACH_LOOP(test_become);
	ON_EACH_LOOP(test_read_and_write);
	ON_EACH_LOOP(test_last);
	ON_EACH_LOOP(test_errors_only);
	ON_EACH_LOOP(test_pause_and_resume);
	ON_EACH_LOOP(test_reset_while_wanting);
	ON_EACH_LOOP(test_end_of_pipe);
	ON_EACH_LOOP(test_stopped);
	ON_EACH_LOOP(test_stop_what_never_was);
	ON_EACH_LOOP(test_bad_descriptor);
	ON_EACH_LOOP(test_regular_file);
	CHECK_INT(in_child(raise_limit_and_use_high_numbers), 0);
	ON_EACH_LOOP(test_table_grows);
	ON_EACH_LOOP(test_all_get_their_turn);
	ON_EACH_LOOP(test_all_get_their_turn_once);
	ON_EACH_LOOP(test_no_one_is_starved);
	ON_EACH_LOOP(test_at_random);
	return check_done();
}
