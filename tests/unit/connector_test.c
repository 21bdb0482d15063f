/* connector_test.c - on every kind of loop, with real sockets on loopback: addresses that answer, refuse and keep
 * silent; names (names.h: no server is asked); what the rules forbid; a deadline; and an end at any moment. */
#include "connector.h"

#include "check.h"
#include "clock.h"
#include "mem.h"
#include "names.h"
#include "os.h"
#include "peers.h"
#include "prng.h"

#include <netdb.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/select.h>

static const char *const backends[] = { "epoll", "poll", "select" }, *const kinds[] = { "heap", "wheel" };

static struct reactor *loop;
static struct resolver resolver;
static sem_t gate;
static bool has_room; /* for a great many descriptors */
static const struct connect_to no_hurry = { .deadline_ns = CLK_NEVER };

const struct name_row names[] = {
	{ "localhost", "::1 127.0.0.1" },
	{ "three", "127.0.0.1 127.0.0.2 127.0.0.3" },
	{ "held", .gai = EAI_AGAIN, .gate = &gate },
	{ "", .gai = EAI_NONAME },
};

static void start_names(unsigned threads, unsigned max_waiting, unsigned max_kept)
{
	names_forget_story();
	resolver_start(
		&resolver, loop,
		&(struct resolver_options){
			.threads = threads, .max_waiting = max_waiting, .max_kept = max_kept, .keep_ns = UINT64_MAX });
}

/* A connector and what came of it. */
struct client {
	struct connector connector;
	unsigned results;
	int fd;
	struct net_error error;
	void (*then)(struct client *c);
};

static void on_result(struct connector *connector, int fd, const struct net_error *e)
{
	struct client *c = CONTAINER_OF(connector, struct client, connector);
	CHECK(!connector_is_busy(connector));
	CHECK((fd >= 0) == (e == NULL));
	c->results++;
	c->fd = fd;
	if (e != NULL)
		c->error = *e;
	if (c->then != NULL)
		c->then(c);
}

static void run_loop(void)
{
	CHECK_INT(reactor_run(loop), 0);
}

static void start_list(struct client *c, const struct addr *list, size_t n, const struct connect_to *to)
{
	connector_start_list(&c->connector, loop, list, n, to, on_result);
	CHECK_INT(c->results, 0);
}

static void start_name(struct client *c, struct resolver *rs, const struct connect_to *to)
{
	connector_start(&c->connector, loop, rs, to, on_result);
	CHECK_INT(c->results, 0);
}

/* Connected to `to`, and the socket is as promised. Closes it. */
static void check_connected(struct client *c, const struct addr *to)
{
	struct addr there;
	char text[NET_ERROR_TEXT];
	CHECK_INT(c->results, 1);
	if (!CHECK(c->fd >= 0)) {
		fprintf(stderr, "    %s\n", net_error_text(&c->error, text));
		return;
	}
	CHECK_INT(fcntl(c->fd, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	CHECK_INT(fcntl(c->fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	CHECK_INT(addr_of_peer(c->fd, &there), 0);
	CHECK(addr_equal(&there, to));
	close(c->fd);
}

/* object NULL: whatever it is. */
static void check_failed(const struct client *c, const char *op, const char *object, int sys)
{
	CHECK_INT(c->results, 1);
	CHECK_INT(c->fd, -1);
	if (c->error.op == NULL)
		return;
	CHECK_STR(c->error.op, op);
	CHECK_INT(c->error.gai, 0);
	CHECK_INT(c->error.sys, sys);
	if (object != NULL)
		CHECK_STR(c->error.object, object);
}

static int serve(const char *host, struct addr *bound)
{
	static const struct sock_options none;
	struct net_error e;
	int fd = sock_serve(host, 0, AF_UNSPEC, &none, bound, &e);
	CHECK(fd >= 0);
	return fd;
}

static bool has_ipv6(void)
{
	static const struct sock_options none;
	struct addr bound;
	struct net_error e;
	int fd = sock_serve("::1", 0, AF_INET6, &none, &bound, &e);
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

/* --- one address ------------------------------------------------------------------------------------------------- */

static void test_literal(void)
{
	struct addr bound;
	int server = serve("127.0.0.1", &bound);
	struct connect_to to = { .host = "127.0.0.1", .port = addr_port(&bound), .deadline_ns = CLK_NEVER };
	struct client c = { 0 };
	start_name(&c, NULL, &to);
	CHECK(connector_is_busy(&c.connector));
	run_loop();
	check_connected(&c, &bound);
	close(server);
}

/* Where the caller listens is no place to connect to: nobody is asked, and another address is tried. */
static void test_not_back_here(void)
{
	struct addr here, there;
	char text[ADDR_TEXT];
	int server = serve("127.0.0.1", &here), other = serve("127.0.0.1", &there);
	struct connect_to to = { .ourselves = &here, .deadline_ns = CLK_NEVER };
	struct client c = { 0 }, second = { 0 };
	start_list(&c, &here, 1, &to);
	run_loop();
	check_failed(&c, "connect", addr_text(&here, text), ELOOP);
	struct pollfd asked = { .fd = server, .events = POLLIN };
	CHECK_INT(poll(&asked, 1, 0), 0);
	start_list(&second, (const struct addr[]){ here, there }, 2, &to);
	run_loop();
	check_connected(&second, &there);
	close(server);
	close(other);
}

/* The same connector again, from inside its own result, as a client does that tries until the server is there. */
static struct addr second_address;

static void try_second(struct client *c)
{
	check_failed(c, "connect", NULL, ECONNREFUSED);
	*c = (struct client){ 0 };
	start_list(c, &second_address, 1, &no_hurry);
}

static void test_start_anew(void)
{
	int holder, server = serve("127.0.0.1", &second_address);
	struct addr to = refusing(&holder);
	struct client c = { .then = try_second };
	start_list(&c, &to, 1, &no_hurry);
	run_loop();
	check_connected(&c, &second_address);
	close(server);
	close(holder);
}

static void test_refused(void)
{
	int holder;
	struct addr to = refusing(&holder);
	struct client c = { 0 };
	char text[ADDR_TEXT];
	start_list(&c, &to, 1, &no_hurry);
	run_loop();
	check_failed(&c, "connect", addr_text(&to, text), ECONNREFUSED);
	close(holder);
}

static void test_options_and_source(void)
{
	struct addr bound, here, from = literal("127.0.0.3", 0), from6 = literal("::1", 0),
				 foreign = literal("192.0.2.1", 0);
	int server = serve("127.0.0.1", &bound), doubled = 0;
	socklen_t len = sizeof(doubled);
	struct connect_to to = { .from = &from, .options = { .receive_buffer = 20000 }, .deadline_ns = CLK_NEVER };
	struct client c = { 0 }, wrong = { 0 }, bad = { 0 };
	start_list(&c, &bound, 1, &to);
	run_loop();
	CHECK_INT(addr_of_socket(c.fd, &here), 0);
	CHECK(here.u.in4.sin_addr.s_addr == from.u.in4.sin_addr.s_addr);
	CHECK_INT(getsockopt(c.fd, SOL_SOCKET, SO_RCVBUF, &doubled, &len), 0);
	CHECK_INT(doubled, 40000);
	check_connected(&c, &bound);

	to.from = &from6;
	start_list(&wrong, &bound, 1, &to);
	run_loop();
	check_failed(&wrong, "connect", NULL, EAFNOSUPPORT);

	to.from = &foreign;
	start_list(&bad, &bound, 1, &to);
	run_loop();
	check_failed(&bad, "bind", "192.0.2.1:0", EADDRNOTAVAIL);
	bad = (struct client){ 0 };
	to = (struct connect_to){ .options = { .congestion = "no-such-thing" }, .deadline_ns = CLK_NEVER };
	start_list(&bad, &bound, 1, &to);
	run_loop();
	check_failed(&bad, "set", NULL, ENOENT);
	bad = (struct client){ 0 };
	start_list(&bad, &bound, 0, &no_hurry);
	run_loop();
	check_failed(&bad, "connect", NULL, EAFNOSUPPORT);
	close(server);
}

/* From a port to the same port the kernel connects the socket to itself. Nor may the port be left in TIME-WAIT: a bind
 * without SO_REUSEADDR shows it. Somebody may take the port in between: then another one is tried. */
static void test_never_to_itself(void)
{
	struct addr self;
	struct client c;
	for (int attempt = 0; attempt < 20; attempt++) {
		int holder;
		self = refusing(&holder);
		close(holder);
		struct connect_to to = { .from = &self, .deadline_ns = CLK_NEVER };
		c = (struct client){ 0 };
		start_list(&c, &self, 1, &to);
		run_loop();
		if (c.error.op == NULL || strcmp(c.error.op, "bind") != 0)
			break;
	}
	check_failed(&c, "connect", NULL, ECONNREFUSED);
	int fd = tcp_socket();
	CHECK_INT(bind(fd, &self.u.sa, self.len), 0);
	close(fd);
}

/* --- several addresses ------------------------------------------------------------------------------------------- */

/* After a failure the next one is tried at once: no timer is waited for. */
static void test_second_answers(void)
{
	int holder;
	struct addr list[2] = { refusing(&holder) };
	int server = serve("127.0.0.1", &list[1]);
	uint64_t timers = reactor_stats(loop)->timers;
	struct client c = { 0 };
	start_list(&c, list, 2, &no_hurry);
	run_loop();
	check_connected(&c, &list[1]);
	CHECK_INT(reactor_stats(loop)->timers, timers);
	close(server);
	close(holder);
}

static void test_all_refuse(void)
{
	enum { N = 5 };
	int holders[N];
	struct addr list[N];
	char text[ADDR_TEXT];
	struct client c = { 0 };
	uint64_t timers = reactor_stats(loop)->timers;
	for (int i = 0; i < N; i++)
		list[i] = refusing(&holders[i]);
	start_list(&c, list, N, &no_hurry);
	run_loop();
	check_failed(&c, "connect", addr_text(&list[N - 1], text), ECONNREFUSED);
	CHECK_INT(reactor_stats(loop)->timers, timers);
	for (int i = 0; i < N; i++)
		close(holders[i]);
}

/* One that keeps silent is overtaken, but not before the stagger; its socket is closed. */
static void test_silence_then_answer(void)
{
	int silent_fd, fill[4];
	struct addr list[2] = { silent(&silent_fd, fill) };
	int server = serve("127.0.0.1", &list[1]), before = count_fds();
	struct client c = { 0 };
	uint64_t start_ns = clk_mono_ns();
	start_list(&c, list, 2, &no_hurry);
	run_loop();
	CHECK(clk_mono_ns() - start_ns >= CONNECTOR_STAGGER_NS);
	CHECK_INT(count_fds(), before + 1);
	check_connected(&c, &list[1]);
	close(server);
	close_silent(silent_fd, fill);
}

/* A listener that is let out of its silence. */
struct waking {
	struct timer timer;
	struct watch watch;
	int fd;
};

static bool on_waiting(struct watch *w, unsigned events)
{
	(void)events;
	int fd = accept(w->fd, NULL, NULL);
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static void on_wake(struct timer *t)
{
	struct waking *k = CONTAINER_OF(t, struct waking, timer);
	CHECK_INT(watch_start(&k->watch, loop, k->fd, WATCH_READ, on_waiting), 0);
}

static struct waking waking;

static void let_sleep(struct client *c)
{
	(void)c;
	watch_stop(&waking.watch);
}

/* Two keep silent; the first wakes up when the second has been asked already, and wins with its second SYN (RFC 6298
 * 2: after a second). So an attempt goes on while others are made. */
static void test_first_wins_late(void)
{
	int silent_fd[2], fill[2][4];
	struct addr list[2] = { silent(&silent_fd[0], fill[0]), silent(&silent_fd[1], fill[1]) };
	int before = count_fds();
	struct client c = { .then = let_sleep };
	waking = (struct waking){ .fd = silent_fd[0] };
	fcntl(waking.fd, F_SETFL, O_NONBLOCK);
	start_list(&c, list, 2, &no_hurry);
	reactor_timer_start(loop, &waking.timer, clk_mono_ns() + 2 * (uint64_t)CONNECTOR_STAGGER_NS, on_wake);
	run_loop();
	CHECK_INT(count_fds(), before + 1);
	check_connected(&c, &list[0]);
	close_silent(silent_fd[0], fill[0]);
	close_silent(silent_fd[1], fill[1]);
}

/* Two of IPv4, then one of IPv6: that one is asked second, and the other IPv4 address not at all. */
static void test_families_take_turns(void)
{
	int holder;
	struct addr list[3] = { refusing(&holder) };
	int four = serve("127.0.0.1", &list[1]), six = serve("::1", &list[2]);
	struct addr from = literal("127.0.0.1", 0);
	struct connect_to to = { .from = &from, .deadline_ns = CLK_NEVER };
	struct client c = { 0 }, d = { 0 }, only_four = { 0 };
	start_list(&c, list, 3, &no_hurry);
	run_loop();
	check_connected(&c, &list[2]);
	/* Beginning with the first one's family, whichever that is. */
	struct addr turned[3] = { list[2], list[1], list[0] };
	start_list(&d, turned, 3, &no_hurry);
	run_loop();
	check_connected(&d, &list[2]);
	start_list(&only_four, list, 3, &to);
	run_loop();
	check_connected(&only_four, &list[1]);
	close(four);
	close(six);
	close(holder);
}

/* --- the deadline ------------------------------------------------------------------------------------------------ */

/* While two attempts are on their way: the younger one is named. */
static void test_deadline(void)
{
	int silent_fd[2], fill[2][4], before;
	struct addr list[2] = { silent(&silent_fd[0], fill[0]), silent(&silent_fd[1], fill[1]) };
	char text[ADDR_TEXT];
	struct client c = { 0 };
	struct connect_to to = { .deadline_ns = clk_mono_ns() + 2 * (uint64_t)CONNECTOR_STAGGER_NS };
	before = count_fds();
	start_list(&c, list, 2, &to);
	run_loop();
	CHECK(clk_mono_ns() >= to.deadline_ns);
	check_failed(&c, "connect", addr_text(&list[1], text), ETIMEDOUT);
	CHECK_INT(count_fds(), before);
	close_silent(silent_fd[0], fill[0]);
	close_silent(silent_fd[1], fill[1]);
}

static void test_deadline_has_passed(void)
{
	int silent_fd, fill[4];
	struct addr mute = silent(&silent_fd, fill);
	char text[ADDR_TEXT];
	struct client c = { 0 }, none = { 0 };
	struct connect_to to = { .deadline_ns = 1 };
	start_list(&c, &mute, 1, &to);
	start_list(&none, &mute, 0, &to);
	run_loop();
	check_failed(&c, "connect", addr_text(&mute, text), ETIMEDOUT);
	check_failed(&none, "connect", NULL, EAFNOSUPPORT);
	close_silent(silent_fd, fill);
}

/* --- names ------------------------------------------------------------------------------------------------------- */

/* Of both families: the server is there for one of them only. */
static void test_name(void)
{
	struct addr bound;
	int server = serve("127.0.0.1", &bound);
	struct connect_to to = { .host = "localhost", .port = addr_port(&bound), .deadline_ns = CLK_NEVER };
	struct client c = { 0 }, only_four = { 0 };
	start_names(2, 10, 0);
	start_name(&c, &resolver, &to);
	run_loop();
	check_connected(&c, &bound);
	to.family = AF_INET;
	start_name(&only_four, &resolver, &to);
	run_loop();
	check_connected(&only_four, &bound);
	resolver_stop(&resolver);
	close(server);
}

/* Names that need no server to be wrong. */
static void test_unknown_names(void)
{
	static const struct connect_to rows[] = {
		{ .host = "::1", .family = AF_INET, .deadline_ns = CLK_NEVER },
		{ .host = "127.0.0.1", .family = AF_INET6, .deadline_ns = CLK_NEVER },
		{ .host = "a-label-of-more-than-sixty-three-letters-is-not-a-name-that-dns-has",
		  .deadline_ns = CLK_NEVER },
		{ .host = "", .deadline_ns = CLK_NEVER },
	};
	for (size_t i = 0; i < 2 * COUNT_OF(rows); i++) {
		struct client c = { 0 };
		const struct connect_to *to = &rows[i / 2];
		start_names(1, 1, 0);
		start_name(&c, i % 2 == 0 ? &resolver : NULL, to);
		run_loop();
		CHECK_INT(c.results, 1);
		CHECK_INT(c.fd, -1);
		CHECK_STR(c.error.op, "resolve");
		CHECK_STR(c.error.object, to->host);
		CHECK(c.error.gai != 0);
		resolver_stop(&resolver);
	}
	struct client c = { 0 };
	struct connect_to to = { .host = "localhost", .deadline_ns = CLK_NEVER };
	start_name(&c, NULL, &to);
	run_loop();
	CHECK_STR(net_error_symbol(&c.error), "EAI_NONAME");
}

static void open_gate(struct client *c)
{
	(void)c;
	sem_post(&gate);
}

/* Full, and too slow: the one thread waits for a server that keeps silent, and a name for the thread, when the deadline
 * comes. */
static void test_busy_resolver(void)
{
	struct client first = { 0 }, second = { .then = open_gate }, surplus = { 0 };
	struct connect_to held = { .host = "held", .deadline_ns = clk_mono_ns() + 20 * NS_PER_MS };
	struct connect_to to = { .host = "localhost", .deadline_ns = held.deadline_ns };
	struct connect_to patient = { .host = "localhost", .deadline_ns = CLK_NEVER };
	start_names(1, 1, 0);
	start_name(&first, &resolver, &held);
	names_wait(&names_begun);
	start_name(&second, &resolver, &to);
	start_name(&surplus, &resolver, &patient);
	run_loop();
	check_failed(&surplus, "resolve", "localhost", EAGAIN);
	check_failed(&first, "resolve", "held", ETIMEDOUT);
	check_failed(&second, "resolve", "localhost", ETIMEDOUT);
	CHECK_INT(second.connector.resolved_ns, 0);
	CHECK_STR(names_story, "held");
	resolver_stop(&resolver);
}

/* When the name was known, from memory, too. A literal has no name. */
static void test_resolved_ns(void)
{
	struct addr bound;
	int server = serve("127.0.0.1", &bound);
	struct connect_to to = { .host = "three", .port = addr_port(&bound), .deadline_ns = CLK_NEVER };
	struct connect_to plain = { .host = "127.0.0.1", .port = addr_port(&bound), .deadline_ns = CLK_NEVER };
	struct client literal = { 0 };
	start_names(1, 1, 1);
	for (int i = 0; i < 2; i++) {
		struct client c = { 0 };
		uint64_t start_ns = clk_mono_ns();
		start_name(&c, &resolver, &to);
		run_loop();
		check_connected(&c, &bound);
		CHECK(c.connector.resolved_ns >= start_ns && c.connector.resolved_ns <= clk_mono_ns());
	}
	CHECK_STR(names_story, "three");
	start_name(&literal, &resolver, &plain);
	run_loop();
	check_connected(&literal, &bound);
	CHECK_INT(literal.connector.resolved_ns, 0);
	resolver_stop(&resolver);
	close(server);
}

/* For whom it is: of a source that holds its threads already another name waits. */
static void test_source(void)
{
	struct addr bound;
	int server = serve("127.0.0.1", &bound);
	struct client dead = { 0 }, same = { 0 }, other = { .then = open_gate };
	struct connect_to held = { .host = "held", .source = 1, .deadline_ns = CLK_NEVER };
	struct connect_to to = {
		.host = "localhost", .port = addr_port(&bound), .source = 1, .deadline_ns = CLK_NEVER
	};
	struct connect_to to_other = {
		.host = "three", .port = addr_port(&bound), .source = 2, .deadline_ns = CLK_NEVER
	};
	start_names(2, 2, 0);
	start_name(&dead, &resolver, &held);
	names_wait(&names_begun);
	start_name(&same, &resolver, &to);
	CHECK_INT(resolver.n_looked_up, 1);
	start_name(&other, &resolver, &to_other);
	CHECK_INT(resolver.n_looked_up, 2);
	run_loop();
	check_connected(&same, &bound);
	check_connected(&other, &bound);
	CHECK_STR(net_error_symbol(&dead.error), "EAI_AGAIN");
	resolver_stop(&resolver);
	close(server);
}

/* --- the rules --------------------------------------------------------------------------------------------------- */

static bool never(const struct connect_to *to, const struct addr *a)
{
	(void)to, (void)a;
	return false;
}

static bool not_1(const struct connect_to *to, const struct addr *a)
{
	CHECK(to->may_connect == not_1);
	return a->u.sa.sa_family != AF_INET || ntohl(a->u.in4.sin_addr.s_addr) != INADDR_LOOPBACK;
}

static void check_forbidden(const struct client *c, const char *object)
{
	check_failed(c, "connect", object, EACCES);
	CHECK_STR(net_error_reason(&c->error), "the rules do not allow it");
}

/* Nobody is asked: not for a literal, not for a list, not for any address of a name. */
static void test_all_forbidden(void)
{
	struct addr bound, list[2];
	char text[ADDR_TEXT];
	int server = serve("0.0.0.0", &bound);
	struct connect_to to = { .port = addr_port(&bound), .may_connect = never, .deadline_ns = CLK_NEVER };
	struct client c[3] = { 0 };
	list[0] = list[1] = literal("127.0.0.1", addr_port(&bound));
	start_names(1, 1, 1);
	to.host = "127.0.0.1";
	start_name(&c[0], NULL, &to);
	start_list(&c[1], list, 2, &to);
	run_loop();
	to.host = "three";
	start_name(&c[2], &resolver, &to);
	run_loop();
	for (int i = 0; i < 3; i++)
		check_forbidden(&c[i], addr_text(&list[0], text));
	struct pollfd asked = { .fd = server, .events = POLLIN };
	CHECK_INT(poll(&asked, 1, 0), 0);
	/* What there was to forbid had the wrong family anyway; and a name that is not there is no matter of rules. */
	struct addr from = literal("::1", 0);
	struct client wrong = { 0 }, nobody = { 0 };
	to.from = &from;
	start_name(&wrong, &resolver, &to);
	run_loop();
	check_failed(&wrong, "connect", NULL, EAFNOSUPPORT);
	to.host = "nobody";
	start_name(&nobody, &resolver, &to);
	run_loop();
	CHECK_STR(net_error_symbol(&nobody.error), "EAI_NONAME");
	resolver_stop(&resolver);
	close(server);
}

/* The others are tried, in their order; and when they fail it is their failure that is told. */
static void test_some_forbidden(void)
{
	struct addr bound, second, mixed[3], list[2] = { literal("127.0.0.2", 1), literal("127.0.0.1", 1) };
	char text[ADDR_TEXT];
	int server = serve("0.0.0.0", &bound);
	struct connect_to to = {
		.host = "three", .port = addr_port(&bound), .may_connect = not_1, .deadline_ns = CLK_NEVER
	};
	struct client c = { 0 }, failed = { 0 };
	start_names(1, 1, 1);
	start_name(&c, &resolver, &to);
	run_loop();
	second = literal("127.0.0.2", addr_port(&bound));
	check_connected(&c, &second);

	start_list(&failed, list, 2, &to); /* port 1: nobody listens there */
	run_loop();
	check_failed(&failed, "connect", addr_text(&list[0], text), ECONNREFUSED);

	/* The first that may be tried begins, and the families take turns from there. */
	if (has_ipv6()) {
		struct client four = { 0 }, six = { 0 };
		int six_server = serve("::1", &mixed[2]);
		mixed[0] = literal("127.0.0.1", addr_port(&bound));
		mixed[1] = second;
		start_list(&four, mixed, 3, &to);
		run_loop();
		check_connected(&four, &mixed[1]);
		mixed[1] = mixed[2];
		mixed[2] = second;
		start_list(&six, mixed, 3, &to);
		run_loop();
		check_connected(&six, &mixed[1]);
		close(six_server);
	}
	resolver_stop(&resolver);
	close(server);
}

/* --- cancelling -------------------------------------------------------------------------------------------------- */

static void test_cancel_at_the_start(void)
{
	int holder, before = count_fds();
	struct addr to = refusing(&holder);
	struct client c = { 0 };
	connector_cancel(&c.connector);
	start_list(&c, &to, 1, &no_hurry);
	connector_cancel(&c.connector);
	connector_cancel(&c.connector);
	CHECK(!connector_is_busy(&c.connector));
	run_loop();
	CHECK_INT(c.results, 0);
	close(holder);
	CHECK_INT(count_fds(), before);
}

/* The name waits for a thread, or has one: it takes nothing along when it goes. */
static void test_cancel_a_name(void)
{
	struct client c[2] = { 0 };
	struct connect_to held = { .host = "held", .deadline_ns = clk_mono_ns() + NS_PER_S };
	struct connect_to to = { .host = "localhost", .deadline_ns = clk_mono_ns() + NS_PER_S };
	start_names(1, 1, 0);
	start_name(&c[0], &resolver, &held);
	names_wait(&names_begun);
	start_name(&c[1], &resolver, &to);
	connector_cancel(&c[1].connector);
	connector_cancel(&c[0].connector);
	open_gate(NULL);
	run_loop();
	CHECK_INT(c[0].results + c[1].results, 0);
	CHECK_INT(resolver.n_looked_up, 1);
	resolver_stop(&resolver);
}

/* Cancels a connector after a while. */
struct canceller {
	struct timer timer;
	struct client *client;
};

static void on_cancel(struct timer *t)
{
	connector_cancel(&CONTAINER_OF(t, struct canceller, timer)->client->connector);
}

/* One attempt is on its way and the stagger runs; then two are on their way, and a deadline is far. */
static void test_cancel_attempts(void)
{
	int silent_fd, fill[4];
	struct addr mute = silent(&silent_fd, fill), list[3] = { mute, mute, mute };
	int before = count_fds();
	static const uint64_t delays_ns[] = { NS_PER_MS, CONNECTOR_STAGGER_NS + 10 * NS_PER_MS };
	for (size_t i = 0; i < COUNT_OF(delays_ns); i++) {
		struct client c = { 0 };
		struct canceller k = { .client = &c };
		struct connect_to to = { .deadline_ns = clk_mono_ns() + 3600 * (uint64_t)NS_PER_S };
		start_list(&c, list, 3, &to);
		reactor_timer_start(loop, &k.timer, clk_mono_ns() + delays_ns[i], on_cancel);
		run_loop();
		CHECK_INT(c.results, 0);
		CHECK_INT(count_fds(), before);
	}
	close_silent(silent_fd, fill);
}

enum { SIBLINGS = 20 };
static struct client siblings[SIBLINGS];

static void cancel_all(struct client *c)
{
	(void)c;
	for (int i = 0; i < SIBLINGS; i++)
		connector_cancel(&siblings[i].connector);
}

/* Refused all together, in one batch of events: whoever hears it first stops the others. */
static void test_cancel_siblings(void)
{
	int holder;
	struct addr to = refusing(&holder);
	unsigned results = 0;
	for (int i = 0; i < SIBLINGS; i++) {
		siblings[i] = (struct client){ .then = cancel_all };
		start_list(&siblings[i], &to, 1, &no_hurry);
	}
	run_loop();
	for (int i = 0; i < SIBLINGS; i++)
		results += siblings[i].results;
	CHECK_INT(results, 1);
	close(holder);
}

static unsigned n_freed;

static void free_client(struct client *c)
{
	if (c->fd >= 0)
		close(c->fd);
	n_freed++;
	free(c);
}

/* The owner goes with the result, whichever it is: nothing touches the connector afterwards. */
static void test_freed_by_the_result(void)
{
	int holder, silent_fd, fill[4];
	struct addr bound, list[3] = { refusing(&holder), silent(&silent_fd, fill) };
	int server = serve("127.0.0.1", &bound);
	list[2] = bound;
	start_names(1, 3, 0);
	struct connect_to to[] = {
		{ .host = "127.0.0.1", .port = addr_port(&list[0]), .deadline_ns = CLK_NEVER },
		{ .host = "127.0.0.1", .port = addr_port(&list[1]), .deadline_ns = clk_mono_ns() + NS_PER_MS },
		{ .host = "localhost", .port = addr_port(&list[2]), .deadline_ns = CLK_NEVER },
		{ .host = "localhost", .port = addr_port(&list[0]), .deadline_ns = CLK_NEVER },
		{ .host = "", .deadline_ns = CLK_NEVER },
	};
	n_freed = 0;
	for (size_t i = 0; i < COUNT_OF(to); i++) {
		struct client *c = xcalloc(1, sizeof(*c));
		c->then = free_client;
		start_name(c, &resolver, &to[i]);
	}
	run_loop();
	CHECK_INT(n_freed, COUNT_OF(to));
	resolver_stop(&resolver);
	close(server);
	close(holder);
	close_silent(silent_fd, fill);
}

/* --- descriptors ------------------------------------------------------------------------------------------------- */

static void set_fd_limit(rlim_t limit)
{
	struct rlimit l;
	CHECK_INT(getrlimit(RLIMIT_NOFILE, &l), 0);
	l.rlim_cur = limit;
	CHECK_INT(setrlimit(RLIMIT_NOFILE, &l), 0);
}

/* The lowest number that is free. */
static int lowest_fd(void)
{
	int fd = dup(0);
	close(fd);
	return fd;
}

static void test_no_descriptor_left(void)
{
	struct addr bound;
	struct client c = { 0 };
	int server = serve("127.0.0.1", &bound);
	uint64_t limit = os_raise_fd_limit();
	start_list(&c, &bound, 1, &no_hurry);
	set_fd_limit((rlim_t)lowest_fd());
	run_loop();
	set_fd_limit(limit);
	check_failed(&c, "socket", NULL, EMFILE);
	close(server);
}

/* A number that select(2) cannot watch is an error there, and nothing special elsewhere. */
static void test_high_descriptor(void)
{
	static int fds[2048];
	struct addr bound;
	struct client c = { 0 };
	char text[ADDR_TEXT];
	int n = 0, server = serve("127.0.0.1", &bound);
	bool too_high = reactor_fd_limit(loop) <= (int)COUNT_OF(fds);
	while (n < (int)COUNT_OF(fds) && lowest_fd() < FD_SETSIZE)
		fds[n++] = dup(0);
	int before = count_fds();
	start_list(&c, &bound, 1, &no_hurry);
	run_loop();
	if (too_high)
		check_failed(&c, "watch", addr_text(&bound, text), ERANGE);
	else
		check_connected(&c, &bound);
	CHECK_INT(count_fds(), before);
	while (n > 0)
		close(fds[--n]);
	close(server);
}

/* --- many -------------------------------------------------------------------------------------------------------- */

enum { MANY = 1000 };

static struct watch sink;
static unsigned n_results;

static bool on_accept(struct watch *w, unsigned events)
{
	(void)events;
	bool accepted = false;
	for (int fd; (fd = accept(w->fd, NULL, NULL)) >= 0; accepted = true)
		close(fd);
	return accepted;
}

static void count_result(struct client *c)
{
	(void)c;
	if (++n_results == MANY)
		watch_stop(&sink);
}

/* A thousand at once, fifty of them by name. (select ends at 1024 descriptors.) */
static void test_a_thousand(void)
{
	enum { NAMES = 50 };
	static struct client clients[MANY];
	int before = count_fds();
	struct addr bound;
	int server = serve("127.0.0.1", &bound);
	struct connect_to to = {
		.host = "localhost", .port = addr_port(&bound), .family = AF_INET, .deadline_ns = CLK_NEVER
	};
	fcntl(server, F_SETFL, O_NONBLOCK);
	CHECK_INT(watch_start(&sink, loop, server, WATCH_READ, on_accept), 0);
	start_names(4, NAMES, 0);
	n_results = 0;
	for (int i = 0; i < MANY; i++) {
		clients[i] = (struct client){ .then = count_result };
		if (i % (MANY / NAMES) == 0)
			start_name(&clients[i], &resolver, &to);
		else
			start_list(&clients[i], &bound, 1, &to);
	}
	run_loop();
	for (int i = 0; i < MANY; i++) {
		CHECK_INT(clients[i].results, 1);
		if (CHECK(clients[i].fd >= 0))
			close(clients[i].fd);
	}
	resolver_stop(&resolver);
	close(server);
	CHECK_INT(count_fds(), before);
}

/* --- at any moment ----------------------------------------------------------------------------------------------- */

enum { CLIENTS = 30, TARGETS = 4 };

static void drop_socket(struct client *c)
{
	if (c->fd >= 0)
		close(c->fd);
}

static void stop_loop(struct deferred *d)
{
	(void)d;
	reactor_stop(loop);
}

/* Starts all, runs a few rounds, cancels about half of them, and lets the others end. */
static void play(const struct connect_to *targets, uint64_t dice)
{
	static struct client clients[CLIENTS];
	struct deferred end = { 0 };
	bool cancelled[CLIENTS] = { false };
	for (int i = 0; i < CLIENTS; i++) {
		clients[i] = (struct client){ .then = drop_socket };
		start_name(&clients[i], &resolver, &targets[prng_word(dice, i) % TARGETS]);
	}
	for (uint64_t rounds = dice % 6; rounds > 0; rounds--) {
		reactor_defer(loop, &end, stop_loop);
		run_loop();
	}
	for (int i = 0; i < CLIENTS; i++) {
		cancelled[i] = clients[i].results == 0 && prng_word(dice + 1, i) & 1;
		if (cancelled[i])
			connector_cancel(&clients[i].connector);
	}
	run_loop();
	for (int i = 0; i < CLIENTS; i++)
		CHECK_INT(clients[i].results, !cancelled[i]);
}

static void test_any_moment(void)
{
	enum { GAMES = 30 };
	int holder, silent_fd, fill[4], before = count_fds();
	struct addr bound, deaf = refusing(&holder), mute = silent(&silent_fd, fill);
	int server = serve("127.0.0.1", &bound);
	start_names(3, CLIENTS, 0);
	for (uint64_t i = 0; i < GAMES; i++) {
		uint64_t soon_ns = clk_mono_ns() + 3 * NS_PER_MS;
		const struct connect_to targets[TARGETS] = {
			{ .host = "127.0.0.1", .port = addr_port(&bound), .deadline_ns = CLK_NEVER },
			{ .host = "127.0.0.1", .port = addr_port(&deaf), .deadline_ns = CLK_NEVER },
			{ .host = "127.0.0.1", .port = addr_port(&mute), .deadline_ns = soon_ns },
			{ .host = "localhost", .port = addr_port(&deaf), .deadline_ns = soon_ns },
		};
		play(targets, prng_word(23, i));
	}
	resolver_stop(&resolver);
	close(server);
	close(holder);
	close_silent(silent_fd, fill);
	CHECK_INT(count_fds(), before);
}

/* --- trying again ------------------------------------------------------------------------------------------------ */

/* Each time between nothing and a bound that doubles, spread over all of that. */
static void test_backoff(void)
{
	enum { SEEDS = 2000, TRIES = 8 };
	static const uint64_t bounds[TRIES] = { 100, 200, 400, 800, 1600, 3000, 3000, 3000 };
	uint64_t sum[TRIES] = { 0 };
	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct backoff b = { .first_ns = 100, .most_ns = 3000, .seed = seed };
		for (int i = 0; i < TRIES; i++) {
			uint64_t wait = backoff_next_ns(&b);
			CHECK(wait < bounds[i]);
			sum[i] += wait;
		}
		CHECK_INT(b.tries, TRIES);
	}
	/* The mean of 2,000 is half the bound, give or take 4 % (6 standard errors). */
	for (int i = 0; i < TRIES; i++)
		CHECK(sum[i] > SEEDS * bounds[i] * 46 / 100 && sum[i] < SEEDS * bounds[i] * 54 / 100);
}

/* After a success it begins with short times again, but not with the same ones. */
static void test_backoff_after_success(void)
{
	struct backoff b = { .first_ns = NS_PER_S, .most_ns = UINT64_MAX, .seed = 7 };
	uint64_t first = backoff_next_ns(&b);
	b.tries = 0;
	uint64_t again = backoff_next_ns(&b);
	CHECK(again < NS_PER_S);
	CHECK(again != first);
	struct backoff other = { .first_ns = NS_PER_S, .most_ns = UINT64_MAX, .seed = 8 };
	CHECK(backoff_next_ns(&other) != first);
}

static void test_backoff_extremes(void)
{
	struct backoff none = { 0 }, small = { .first_ns = 1000, .most_ns = 10 };
	struct backoff large = { .first_ns = 3, .most_ns = UINT64_MAX };
	bool is_large = false;
	for (int i = 0; i < 200; i++) {
		CHECK_INT(backoff_next_ns(&none), 0);
		CHECK(backoff_next_ns(&small) < 10);
		is_large |= backoff_next_ns(&large) > UINT64_MAX / 2;
	}
	CHECK(is_large);
}

/* --- all of it --------------------------------------------------------------------------------------------------- */

static void test_on(const char *backend, const char *kind)
{
	struct net_error e;
	int before = count_fds();
	loop = reactor_new(backend, kind, &e);
	if (!CHECK(loop != NULL))
		return;
	test_literal();
	test_not_back_here();
	test_start_anew();
	test_refused();
	test_options_and_source();
	test_never_to_itself();
	test_second_answers();
	test_all_refuse();
	if (has_ipv6())
		test_families_take_turns();
	test_deadline_has_passed();
	test_name();
	test_unknown_names();
	test_busy_resolver();
	test_resolved_ns();
	test_source();
	test_all_forbidden();
	test_some_forbidden();
	test_cancel_at_the_start();
	test_cancel_a_name();
	test_cancel_siblings();
	test_freed_by_the_result();
	test_no_descriptor_left();
	if (has_room) {
		test_high_descriptor();
		test_a_thousand();
	}
	test_any_moment();
	reactor_free(loop);
	CHECK_INT(count_fds(), before);
}

/* What has to wait for the stagger takes its time: only once on each backend. */
static void test_patiently_on(const char *backend, const char *kind)
{
	struct net_error e;
	loop = reactor_new(backend, kind, &e);
	if (!CHECK(loop != NULL))
		return;
	test_silence_then_answer();
	test_deadline();
	test_cancel_attempts();
	if (strcmp(backend, backends[0]) == 0)
		test_first_wins_late();
	reactor_free(loop);
}

int main(void)
{
	sem_init(&names_begun, 0, 0);
	sem_init(&gate, 0, 0);
	has_room = os_raise_fd_limit() >= 2 * FD_SETSIZE;
	if (!has_room)
		printf("fewer than %d descriptors may be open here: some tests are skipped\n", 2 * FD_SETSIZE);
	if (!has_ipv6())
		printf("no IPv6 here: its tests are skipped\n");
	for (size_t b = 0; b < COUNT_OF(backends); b++)
		for (size_t k = 0; k < COUNT_OF(kinds); k++)
			test_on(backends[b], kinds[k]);
	for (size_t b = 0; b < COUNT_OF(backends); b++)
		test_patiently_on(backends[b], kinds[b % COUNT_OF(kinds)]);
	test_backoff();
	test_backoff_after_success();
	test_backoff_extremes();
	return check_done();
}
