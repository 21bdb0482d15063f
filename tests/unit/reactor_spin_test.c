/* reactor_spin_test.c - the loop names whoever makes it spin: a watch that fires round after round and never does
 * anything is reported once, with its descriptor and its peer, and nobody else is. */
#include "reactor.h"

#include "addr.h"
#include "diag.h"
#include "loop_kit.h"

#include <sys/mman.h>

/* --- what stands on stderr --------------------------------------------------------------------------------------- */

static char said[4096];
static int real_stderr, captured;

static void listen_begin(void)
{
	captured = memfd_create("stderr", MFD_CLOEXEC);
	real_stderr = dup(STDERR_FILENO);
	if (captured < 0 || real_stderr < 0 || dup2(captured, STDERR_FILENO) < 0)
		abort();
}

static void listen_end(void)
{
	dup2(real_stderr, STDERR_FILENO);
	ssize_t n = pread(captured, said, sizeof(said) - 1, 0);
	said[n > 0 ? n : 0] = '\0';
	close(captured);
	close(real_stderr);
}

static unsigned lines_said(void)
{
	unsigned n = 0;
	for (const char *p = said; *p != '\0'; p++)
		n += *p == '\n';
	return n;
}

/* --- spinning ---------------------------------------------------------------------------------------------------- */

/* Rounds with nobody sleeping: what stood on stderr is in `said`, and the count of spins agrees with it. */
static void spin(struct reactor *r, unsigned rounds)
{
	uint64_t spins = reactor_stats(r)->spins;
	listen_begin();
	loop_run_rounds(r, rounds);
	listen_end();
	CHECK_INT(reactor_stats(r)->spins - spins, lines_said());
}

static void open_spinner(struct actor *a, struct reactor *r, void (*act)(struct actor *a))
{
	int fd[2];
	open_tcp_pair(fd);
	*a = actor_new(r, 's', act);
	a->does_nothing = true;
	a->fd = fd[0];
	a->peer = fd[1];
	actor_stand_ready(a);
	CHECK_INT(poll(&(struct pollfd){ .fd = a->fd, .events = POLLIN }, 1, -1), 1);
}

/* "tool: busy loop: fd 7 (127.0.0.1:5001) is readable, and in 1000 rounds nobody did anything about it\n" */
static void check_said(const struct actor *a, const char *what)
{
	char want[256], peer[ADDR_TEXT] = "no socket";
	struct addr addr;
	if (addr_of_peer(a->fd, &addr) == 0)
		addr_text(&addr, peer);
	snprintf(want, sizeof(want), "%s: busy loop: fd %d (%s) is %s, and in %d rounds nobody did anything about it\n",
		 diag_tool, a->fd, peer, what, SPIN_ROUNDS);
	CHECK_STR(said, want);
}

/* Not before SPIN_ROUNDS; then; and never again. */
static void test_reported_once(struct reactor *r)
{
	struct actor a;
	open_spinner(&a, r, NULL);
	spin(r, SPIN_ROUNDS - 1);
	CHECK_STR(said, "");
	spin(r, 1);
	check_said(&a, "readable");
	spin(r, 3 * SPIN_ROUNDS);
	CHECK_STR(said, "");
	CHECK_INT(a.times, 4 * SPIN_ROUNDS);
	CHECK_INT(reactor_stats(r)->spins, 1);
	actor_shut(&a);
}

/* Once for a watch, also when it gets over it and spins again: a flood of lines would help nobody. */
static void test_reported_once_with_breaks(struct reactor *r)
{
	struct actor a;
	open_spinner(&a, r, NULL);
	spin(r, SPIN_ROUNDS);
	CHECK_INT(lines_said(), 1);
	a.does_nothing = false;
	spin(r, 1);
	a.does_nothing = true;
	spin(r, 2 * SPIN_ROUNDS);
	CHECK_STR(said, "");
	watch_want(&a.watch, 0);
	watch_want(&a.watch, WATCH_READ);
	spin(r, 2 * SPIN_ROUNDS);
	CHECK_STR(said, "");
	actor_shut(&a);
}

/* A new watch, of the same descriptor or of another with the same number, begins anew. */
static void test_reported_again_for_another(struct reactor *r)
{
	struct actor a;
	open_spinner(&a, r, NULL);
	spin(r, SPIN_ROUNDS);
	watch_stop(&a.watch);
	actor_watch(&a, WATCH_READ);
	spin(r, SPIN_ROUNDS - 1);
	CHECK_STR(said, "");
	spin(r, 1);
	check_said(&a, "readable");
	CHECK_INT(reactor_stats(r)->spins, 2);
	actor_shut(&a);
}

static void stop_in_time(struct actor *a)
{
	if (a->times == SPIN_ROUNDS)
		watch_stop(&a->watch);
}

static void hand_over_in_time(struct actor *a)
{
	if (a->times != SPIN_ROUNDS)
		return;
	watch_stop(&a->watch);
	CHECK_INT(watch_start(&a->other->watch, a->r, a->fd, WATCH_READ, actor_on_event), 0);
}

/* Who is gone at the last moment is not reported, nor is whoever has its number now. */
static void test_gone_in_time(struct reactor *r)
{
	struct actor a, b = actor_new(r, 'b', NULL);
	open_spinner(&a, r, stop_in_time);
	spin(r, 2 * SPIN_ROUNDS);
	CHECK_STR(said, "");
	actor_shut(&a);
	open_spinner(&a, r, hand_over_in_time);
	a.other = &b;
	b.does_nothing = true;
	spin(r, 2 * SPIN_ROUNDS - 1);
	CHECK_STR(said, "");
	CHECK_INT(b.times, SPIN_ROUNDS - 1);
	watch_stop(&b.watch);
	actor_shut(&a);
}

static void test_two_spin(struct reactor *r)
{
	struct actor a, b;
	open_spinner(&a, r, NULL);
	open_spinner(&b, r, NULL);
	spin(r, 2 * SPIN_ROUNDS);
	CHECK_INT(lines_said(), 2);
	actor_shut(&a);
	actor_shut(&b);
}

static void test_writable(struct reactor *r)
{
	struct actor a;
	open_spinner(&a, r, NULL);
	watch_want(&a.watch, WATCH_WRITE);
	spin(r, SPIN_ROUNDS);
	check_said(&a, "writable");
	actor_shut(&a);
}

/* No peer, and a hang-up that nobody looks at (select has nothing to say but "readable"). */
static void test_at_its_end(struct reactor *r)
{
	struct actor a = actor_new(r, 'a', NULL);
	int fd[2];
	CHECK_INT(pipe2(fd, O_NONBLOCK | O_CLOEXEC), 0);
	close(fd[1]);
	a.fd = fd[0];
	a.does_nothing = true;
	actor_watch(&a, WATCH_READ);
	spin(r, SPIN_ROUNDS);
	check_said(&a, loop_is(r, "select") ? "readable" : "at its end");
	actor_shut(&a);

	a = actor_new(r, 'a', NULL);
	CHECK_INT(pipe2(fd, O_NONBLOCK | O_CLOEXEC), 0);
	close(fd[1]);
	a.fd = fd[0];
	a.does_nothing = true;
	actor_watch(&a, 0);
	spin(r, SPIN_ROUNDS);
	check_said(&a, "at its end");
	actor_shut(&a);
}

/* --- not spinning ------------------------------------------------------------------------------------------------ */

static void do_something_at_times(struct actor *a)
{
	a->does_nothing = (a->times + 1) % SPIN_ROUNDS != 0;
}

static void change_want_at_times(struct actor *a)
{
	if (a->times % (SPIN_ROUNDS - 1) != 0)
		return;
	watch_want(&a->watch, a->watch.want ^ WATCH_WRITE);
}

static void restart_at_times(struct actor *a)
{
	if (a->times % SPIN_ROUNDS != 0)
		return;
	watch_stop(&a->watch);
	actor_watch(a, WATCH_READ);
}

/* Before SPIN_ROUNDS are full it does something, or changes what it wants, or begins anew: no reproach. */
static void test_something_at_times(struct reactor *r)
{
	static void (*const acts[])(struct actor * a) = { do_something_at_times, change_want_at_times,
							  restart_at_times };
	for (size_t i = 0; i < COUNT_OF(acts); i++) {
		struct actor a;
		open_spinner(&a, r, acts[i]);
		spin(r, 5 * SPIN_ROUNDS);
		CHECK_STR(said, "");
		CHECK_INT(a.times, 5 * SPIN_ROUNDS);
		actor_shut(&a);
	}
}

static void feed_every_other_round(struct actor *a)
{
	if (a->times % 2 == 0)
		feed(a->other->peer);
}

/* It is quiet in between: that is no loop, even if it never says that it did something. */
static void test_quiet_rounds(struct reactor *r)
{
	struct actor a, driver = actor_new(r, 'd', feed_every_other_round);
	open_spinner(&a, r, take_byte);
	driver.other = &a;
	actor_watch(&driver, WATCH_WRITE);
	spin(r, 4 * SPIN_ROUNDS);
	CHECK_STR(said, "");
	CHECK(a.times > SPIN_ROUNDS && a.times < 4 * SPIN_ROUNDS);
	actor_shut(&a);
	actor_shut(&driver);
}

/* The loop remembers rounds modulo 65536: a spin over that edge is one like any other. */
static void test_over_the_edge(void)
{
	struct reactor *r = loop_new("epoll", "heap");
	struct actor a;
	loop_run_rounds(r, 65536 - SPIN_ROUNDS / 2);
	open_spinner(&a, r, NULL);
	spin(r, SPIN_ROUNDS - 1);
	CHECK_STR(said, "");
	spin(r, 1);
	check_said(&a, "readable");
	actor_shut(&a);
	reactor_free(r);
}

/* --- the trace --------------------------------------------------------------------------------------------------- */

/* --trace shows what the loop sees. */
static void test_trace(struct reactor *r)
{
	struct actor a;
	char want[256];
	open_spinner(&a, r, NULL);
	watch_want(&a.watch, WATCH_READ | WATCH_WRITE);
	diag_trace = true;
	listen_begin();
	loop_run_rounds(r, 1);
	listen_end();
	diag_trace = false;
	snprintf(want, sizeof(want), "%s: [trace] loop: %s: 1 ready\n%s: [trace] loop: fd %d is readable writable\n",
		 diag_tool, reactor_backend_name(r), diag_tool, a.fd);
	CHECK_STR(said, want);
	actor_shut(&a);
}

int main(void)
{
	alarm(60);
	ON_EACH_LOOP(test_reported_once);
	ON_EACH_LOOP(test_reported_once_with_breaks);
	ON_EACH_LOOP(test_reported_again_for_another);
	ON_EACH_LOOP(test_gone_in_time);
	ON_EACH_LOOP(test_two_spin);
	ON_EACH_LOOP(test_writable);
	ON_EACH_LOOP(test_at_its_end);
	ON_EACH_LOOP(test_something_at_times);
	ON_EACH_LOOP(test_quiet_rounds);
	test_over_the_edge();
	ON_EACH_LOOP(test_trace);
	return check_done();
}
