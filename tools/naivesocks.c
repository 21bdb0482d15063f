/* naivesocks - a SOCKS 4a server that makes one of three mistakes, each of which is in servers that people use.
 *
 * Try:       naivesocks --mistake dns            asks for a name in its loop, and everybody waits with it
 *            naivesocks --mistake grant          says "granted" before there is a connection
 *            naivesocks --mistake segment        takes what one recv(2) brings for the request, and for nothing else
 *            each of them with --fixed, and with -v to look on; a client: curl --socks4a localhost:1080 http://...
 * Look for:  PITFALL below, four times.
 * Lab:       52-socks.
 *
 *	client                                  naivesocks                         target
 *	   ------ connect --------------------------->
 *	   ------ 4 1 port 0.0.0.1 user 0 name 0 ---->
 *	                                          name -> addresses
 *	                                               ------ connect ------------->
 *	   <----- 0 90, 6 more: granted --------------                                (0 91: rejected, and the end)
 *	   <=========== from now on whatever comes, both ways ======================>
 *
 * The name is 4a's; plain SOCKS 4 has an address at the place of 0.0.0.1. A client may send what it has for the target
 * right behind the request (early data): TCP is a stream of bytes and knows no messages.
 *
 * One thread, in poll(2); everything is non-blocking, and names are asked for by threads beside the loop. Apart from
 * the mistake that was chosen all is right.
 *
 * This file is the server: how it ends; the target; the name; the request; bytes; the loop; options and main. What a
 * client is made of stands in naivesocks/naivesocks.h, what is said of it in naivesocks/report.c.
 *
 * LIMIT: CONNECT only. Addresses are tried one after another. A reset does not wait for bytes that came before it. */
#include "naivesocks/naivesocks.h"

#include "args.h"
#include "clock.h"
#include "diag.h"
#include "os.h"
#include "record.h"
#include "sig.h"
#include "sock.h"
#include "units.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { DEFAULT_PORT = 1080, CLIENTS = 64 /* at a time; the others wait in the backlog */, QUEUE = 64 * 1024 };
enum { RESOLVER_STACK = 256 * 1024 };

static const uint64_t REQUEST_NS = UINT64_C(10) * NS_PER_S; /* for the request to come */
static const uint64_t CONNECT_NS = UINT64_C(10) * NS_PER_S; /* for each address */
static const uint64_t PARTING_NS = UINT64_C(2) * NS_PER_S;  /* for a client to read what it was told */
static const struct sock_options socket_options = { .nodelay = true };

const char *const naivesocks_mistakes[] = { "dns", "grant", "segment", NULL };

static struct naivesocks_options opt = { .mistake = -1, .port = DEFAULT_PORT };
static struct naivesocks_totals total;
static struct client clients[CLIENTS];
static int listen_fd;
static int answers[2]; /* a pipe: the clients for whose names a thread has asked */
static uint64_t start_ns;

static bool makes(enum naivesocks_mistake mistake)
{
	return opt.mistake == (int)mistake && !opt.fixed;
}

static uint64_t now_ns(void)
{
	return clk_mono_ns() - start_ns;
}

static int family(void)
{
	return opt.ipv4 ? AF_INET : opt.ipv6 ? AF_INET6 : AF_UNSPEC;
}

/* --- how it ends ------------------------------------------------------------------------------------------------- */

/* Both connections are over, and the place is free. A FIN for those who have everything, a reset for all others. */
static void finish(struct client *c, bool in_order, const char *end)
{
	c->end = c->end != NULL ? c->end : end;
	c->ended_ns = now_ns();
	naivesocks_report_connection(&opt, c);
	for (unsigned i = 0; i < 2; i++) {
		buf_free(&c->way[i].queue);
		if (c->fd[i] >= 0 && in_order)
			close(c->fd[i]);
		else if (c->fd[i] >= 0)
			sock_abort(c->fd[i]);
	}
	memset(c, 0, sizeof(*c));
}

/* The first bytes of a connection always find room, and here they are eight. That a client is gone is noticed later. */
static void reply(struct client *c, enum socks_reply code)
{
	unsigned char out[SOCKS_REPLY_MAX];
	size_t n = socks_put_reply(out, 4, code, NULL);
	ssize_t sent = send(c->fd[CLIENT], out, n, MSG_NOSIGNAL);
	tracef("send(%d, %s) = %zd", c->fd[CLIENT], code == SOCKS_OK ? "granted" : "rejected", sent);
	c->replied_ns = now_ns();
	c->is_granted = code == SOCKS_OK;
	total.granted += c->is_granted;
	total.rejected += !c->is_granted;
}

/* There will be no connection. Whoever was told that there is one cannot be told any more that there is none: all that
 * is left is an end. The FIN goes now, the rest when the client has read it: close(2) with something unread sends a
 * reset (RFC 9293 3.6.1), and the client might see that instead of the reply. */
static void reject(struct client *c, const char *why)
{
	snprintf(c->why, sizeof(c->why), "%s", why);
	if (!c->is_granted)
		reply(c, SOCKS_FAILED);
	c->end = c->is_granted ? "nowhere" : "rejected";
	c->stage = PARTING;
	c->give_up_ns = clk_mono_ns() + PARTING_NS;
	shutdown(c->fd[CLIENT], SHUT_WR);
}

static void wait_for_end(struct client *c)
{
	char nobody_wants[4096];
	ssize_t n = recv(c->fd[CLIENT], nobody_wants, sizeof(nobody_wants), 0);
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		finish(c, true, c->end);
}

/* --- the target -------------------------------------------------------------------------------------------------- */

/* To the first address that was not tried yet. */
static void connect_next(struct client *c)
{
	char text[NET_ERROR_TEXT];
	while (c->tried < c->n_list) {
		c->fd[TARGET] = sock_connect_begin(&c->list[c->tried++], NULL, &socket_options, &c->error);
		if (c->fd[TARGET] < 0)
			continue;
		c->stage = CONNECTION;
		c->give_up_ns = clk_mono_ns() + CONNECT_NS;
		return;
	}
	reject(c, net_error_text(&c->error, text));
}

/* By errno. */
static void connect_failed(struct client *c)
{
	char text[ADDR_TEXT];
	net_fail(&c->error, "connect", addr_text(&c->list[c->tried - 1], text));
	sock_abort(c->fd[TARGET]);
	c->fd[TARGET] = -1;
	connect_next(c);
}

/* The socket can be written: it is connected, or it never will be (connect(2), EINPROGRESS). */
static void connect_done(struct client *c)
{
	if (sock_connect_result(c->fd[TARGET]) < 0) {
		connect_failed(c);
		return;
	}
	if (!makes(NAIVESOCKS_GRANT))
		reply(c, SOCKS_OK);
	c->stage = OPEN;
	c->give_up_ns = CLK_NEVER;
}

/* --- the name ---------------------------------------------------------------------------------------------------- */

static void look_up(struct client *c)
{
	const struct socks_place *to = &c->parser.place;
	c->n_list = addr_resolve(to->name, to->port, family(), c->list, ADDR_MAX, &c->error);
	tracef("getaddrinfo(%s): %d addresses", to->name, c->n_list);
}

static void looked_up(struct client *c)
{
	c->resolved_ns = now_ns();
	connect_next(c);
}

/* A thread for this name alone. It gives the client back through the pipe: so few bytes go as a whole (pipe(7),
 * PIPE_BUF). */
static void *look_up_beside(void *arg)
{
	struct client *c = arg;
	look_up(c);
	if (write(answers[1], &c, sizeof(c)) != sizeof(c))
		die_errno("write");
	return NULL;
}

static void find_addresses(struct client *c)
{
	c->stage = NAME;
	c->give_up_ns = CLK_NEVER;
	/* PITFALL: getaddrinfo(3) returns when it has an answer. Mostly that takes a millisecond, and looks like any
	 * other call. When the resolver is silent it takes 5 s, twice, for each server in resolv.conf(5), and for so
	 * long nobody is accepted, no byte is moved, no signal is heard: there is one thread. That all sockets are
	 * non-blocking does not help. The fix lets somebody wait who has nothing else to do. */
	if (makes(NAIVESOCKS_DNS)) {
		look_up(c);
		looked_up(c);
		return;
	}
	int error = os_thread_start(NULL, RESOLVER_STACK, look_up_beside, c);
	if (error != 0)
		reject(c, strerror(error));
}

static void take_answers(void)
{
	struct client *c;
	while (read(answers[0], &c, sizeof(c)) == sizeof(c))
		looked_up(c);
}

/* --- the request ------------------------------------------------------------------------------------------------- */

/* In SOCKS 4 all that is no name is an IPv4 address. */
static void take_address(struct client *c, const struct socks_place *to)
{
	struct addr *a = &c->list[0];
	a->len = sizeof(a->u.in4);
	a->u.in4.sin_family = AF_INET;
	a->u.in4.sin_port = htons(to->port);
	memcpy(&a->u.in4.sin_addr, to->ip, sizeof(a->u.in4.sin_addr));
	c->n_list = 1;
}

static void begin(struct client *c, const struct socks_place *to)
{
	c->asked_ns = now_ns();
	if (to->kind == SOCKS_NAME) {
		snprintf(c->target, sizeof(c->target), "%s:%u", to->name, (unsigned)to->port);
	} else {
		take_address(c, to);
		addr_text(&c->list[0], c->target);
	}
	naivesocks_report_request(&opt, c);
	/* PITFALL: "granted" says that the connection stands. Here it is said before anybody knows whether the name
	 * exists and whether somebody listens, because then all that follows is only bytes. But there is no second
	 * reply: a client whose connection fails was told that it has one, and sees it end, as if the target had
	 * nothing to say. The fix replies when connect(2) is done. */
	if (makes(NAIVESOCKS_GRANT))
		reply(c, SOCKS_OK);
	if (to->kind == SOCKS_NAME)
		find_addresses(c);
	else
		connect_next(c);
}

static void read_request(struct client *c)
{
	size_t room = sizeof(c->request) - c->n_request;
	ssize_t n = recv(c->fd[CLIENT], c->request + c->n_request, room, 0);
	tracef("recv(%d, %zu) = %zd", c->fd[CLIENT], room, n);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		finish(c, n == 0, n == 0 ? "left" : "reset");
		return;
	}
	c->n_request += (size_t)n;
	const struct socks_parser *p = &c->parser;
	enum socks_step step = socks_parse(&c->parser, c->request, c->n_request);
	/* PITFALL: "what one send(2) sent is what one recv(2) brings." Mostly so. But TCP cuts where it likes (RFC 9293
	 * 3.8: a stream of bytes), and a client may write its version, its port and its name one by one. The fix keeps
	 * what has come, and waits for the rest. */
	if (step == SOCKS_MORE && !makes(NAIVESOCKS_SEGMENT))
		return;
	if (step != SOCKS_REQUEST || p->version != 4 || p->command != SOCKS_CONNECT) {
		reject(c, step == SOCKS_MORE ? "half a request" : step == SOCKS_BAD ? p->why : "no CONNECT of SOCKS 4");
		return;
	}
	/* PITFALL: the same the other way round. What stands behind the request is for the target, and will not come
	 * again. The fix is to queue it. */
	if (!makes(NAIVESOCKS_SEGMENT))
		buf_append(&c->way[CLIENT].queue, c->request + p->used, c->n_request - p->used);
	begin(c, &p->place);
}

/* --- bytes ------------------------------------------------------------------------------------------------------- */

/* How many of the source we want now. Who sends faster than the other side takes shall feel it. */
static size_t room_for(const struct way *w)
{
	return w->is_eof || buf_len(&w->queue) >= QUEUE ? 0 : QUEUE - buf_len(&w->queue);
}

/* False: the source is gone. */
static bool take(struct client *c, unsigned side)
{
	struct way *w = &c->way[side];
	size_t room = room_for(w);
	if (room == 0)
		return true;
	ssize_t n = recv(c->fd[side], buf_reserve(&w->queue, room), room, 0);
	tracef("recv(%d, %zu) = %zd", c->fd[side], room, n);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	buf_commit(&w->queue, (size_t)n);
	w->is_eof = n == 0;
	return true;
}

/* As far as the kernel takes it. Behind it the end of this direction; the other one goes on (RFC 9293 3.6). False: the
 * sink is gone. */
static bool give(struct client *c, unsigned side)
{
	struct way *w = &c->way[side];
	while (buf_len(&w->queue) > 0) {
		ssize_t n = send(c->fd[!side], buf_peek(&w->queue), buf_len(&w->queue), MSG_NOSIGNAL);
		tracef("send(%d, %zu) = %zd", c->fd[!side], buf_len(&w->queue), n);
		if (n < 0)
			return errno == EAGAIN || errno == EINTR;
		buf_consume(&w->queue, (size_t)n);
		w->sent += (uint64_t)n;
	}
	if (w->is_eof && !w->is_shut)
		shutdown(c->fd[!side], SHUT_WR);
	w->is_shut = w->is_eof;
	return true;
}

static void move_bytes(struct client *c, const short ready[static 2])
{
	bool is_well = true;
	for (unsigned side = 0; side < 2 && is_well; side++)
		is_well = (ready[side] & ~POLLOUT) == 0 || take(c, side);
	for (unsigned side = 0; side < 2 && is_well; side++)
		is_well = give(c, side);
	if (!is_well)
		finish(c, false, "reset");
	else if (c->way[CLIENT].is_shut && c->way[TARGET].is_shut)
		finish(c, true, "complete");
}

/* --- the loop ---------------------------------------------------------------------------------------------------- */

static struct client *free_place(void)
{
	for (unsigned i = 0; i < CLIENTS; i++) {
		if (clients[i].stage == FREE)
			return &clients[i];
	}
	return NULL;
}

static void accept_client(struct client *c)
{
	enum { PAUSE_NS = 100 * NS_PER_MS };
	struct addr from = { .len = sizeof(from.u) };
	int fd = accept4(listen_fd, &from.u.sa, &from.len, SOCK_CLOEXEC | SOCK_NONBLOCK);
	tracef("accept4(%d) = %d", listen_fd, fd);
	if (fd < 0 && errno != EAGAIN && errno != ECONNABORTED && errno != EPROTO) {
		/* EMFILE and the like: the client still waits, and without a pause we would spin. */
		warnf_errno("accept");
		clk_sleep_until_ns(clk_mono_ns() + PAUSE_NS);
	}
	if (fd < 0)
		return;
	*c = (struct client){ .stage = REQUEST, .fd = { fd, -1 }, .accepted_ns = now_ns() };
	c->give_up_ns = clk_mono_ns() + REQUEST_NS;
	addr_text(&from, c->peer);
	total.connections++;
}

/* What is to be heard of one side. */
static short events_for(const struct client *c, unsigned side)
{
	switch (c->stage) {
	case REQUEST:
	case PARTING:
		return side == CLIENT ? POLLIN : 0;
	case CONNECTION:
		return side == TARGET ? POLLOUT : 0;
	case OPEN:
		return (short)((room_for(&c->way[side]) > 0 ? POLLIN : 0) |
			       (buf_len(&c->way[!side].queue) > 0 ? POLLOUT : 0));
	default:
		return 0;
	}
}

static void serve(struct client *c, const short ready[static 2])
{
	switch (c->stage) {
	case REQUEST:
		read_request(c);
		break;
	case CONNECTION:
		connect_done(c);
		break;
	case OPEN:
		move_bytes(c, ready);
		break;
	case PARTING:
		wait_for_end(c);
		break;
	default:
		break;
	}
}

static void lose_patience(struct client *c)
{
	errno = ETIMEDOUT;
	if (c->stage == CONNECTION)
		connect_failed(c);
	else
		finish(c, false, "silent");
}

/* Waits until there is something to do, and does it: for those who are here, for those whose names are known, for a new
 * one. */
static void play_round(void)
{
	struct pollfd fds[2 * CLIENTS + 2];
	struct pollfd *answer = &fds[2 * CLIENTS], *door = answer + 1;
	struct client *place = free_place();
	uint64_t deadline_ns = CLK_NEVER;
	for (unsigned i = 0; i < 2 * CLIENTS; i++) {
		const struct client *c = &clients[i / 2];
		short events = events_for(c, i % 2);
		/* WHY -1: poll(2) would tell of a hangup again and again, wanted or not. */
		fds[i] = (struct pollfd){ .fd = events != 0 ? c->fd[i % 2] : -1, .events = events };
		if (c->stage != FREE && c->give_up_ns < deadline_ns)
			deadline_ns = c->give_up_ns;
	}
	*answer = (struct pollfd){ .fd = answers[0], .events = POLLIN };
	*door = (struct pollfd){ .fd = place != NULL ? listen_fd : -1, .events = POLLIN };
	if (sig_wait(fds, 2 * CLIENTS + 2, deadline_ns) < 0)
		die_errno("poll");
	for (unsigned i = 0; i < CLIENTS; i++) {
		const short ready[2] = { fds[2 * i].revents, fds[2 * i + 1].revents };
		if ((ready[CLIENT] | ready[TARGET]) != 0)
			serve(&clients[i], ready);
		else if (clients[i].stage != FREE && clk_mono_ns() >= clients[i].give_up_ns)
			lose_patience(&clients[i]);
	}
	if (answer->revents != 0)
		take_answers();
	if (door->revents != 0)
		accept_client(place);
}

static int run(void)
{
	struct net_error e = { 0 };
	struct addr bound;
	char text[ADDR_TEXT];
	const char *where = opt.bind != NULL ? opt.bind : opt.ipv6 ? "::1" : "127.0.0.1";
	listen_fd = sock_serve(where, (uint16_t)opt.port, family(), &socket_options, &bound, &e);
	if (listen_fd < 0) {
		record_error(opt.json, &e);
		return 1;
	}
	/* WHY: a client may be gone between poll and accept, and a blocking accept would wait for the next one. */
	if (pipe2(answers, O_CLOEXEC) < 0 || fcntl(listen_fd, F_SETFL, O_NONBLOCK) < 0 ||
	    fcntl(answers[0], F_SETFL, O_NONBLOCK) < 0)
		die_errno("pipe");
	start_ns = clk_mono_ns();
	warnf("listening on %s", addr_text(&bound, text));
	naivesocks_report_start(&opt, text);
	while (sig_pending(NULL) == 0)
		play_round();
	for (unsigned i = 0; i < CLIENTS; i++) {
		if (clients[i].stage != FREE &&
		    clients[i].stage != NAME) /* that one is a thread's, which ends with us */
			finish(&clients[i], false, "interrupted");
	}
	naivesocks_report_total(&opt, &total);
	return sig_exit_status(0);
}

/* --- options and main -------------------------------------------------------------------------------------------- */

static const char *const synopsis[] = { "--mistake dns|grant|segment [--fixed] [options] [PORT]", NULL };

static const char *const about[] = {
	"naivesocks connects clients with whom they name (SOCKS 4 and 4a, CONNECT), and makes one mistake: dns asks "
	"for names in the loop that serves everybody; grant says that the connection stands before it does; segment "
	"takes what one recv(2) brings for the request, and for nothing else. With --fixed it is right.",
	"It listens on 127.0.0.1, on PORT; 0 takes a free one.",
	NULL,
};

static const struct arg_example examples[] = {
	{ "naivesocks --mistake grant -v",
	  "then see what becomes of: curl --socks4a localhost:1080 http://localhost:1/" },
	{ "naivesocks --mistake dns --fixed 0", "names are asked for beside the loop" },
	{ 0 },
};

/* clang-format off */
static const struct arg rows[] = {
	{ 'm', "mistake", ARG_CHOICE, &opt.mistake, .value_name = "WHICH",
	  .help = "the one to be made, or with --fixed not to be made: dns, grant, segment",
	  .choices = naivesocks_mistakes },
	{ '\0', "fixed", ARG_FLAG, &opt.fixed, .help = "right" },
	{ 'p', "port", ARG_PORT, &opt.port, .value_name = "PORT", .help = "the same as the operand" },
	{ 'B', "bind", ARG_STR, &opt.bind, .value_name = "ADDR", .help = "listen on ADDR" },
	{ '4', "ipv4", ARG_FLAG, &opt.ipv4, .help = "IPv4 only" },
	{ '6', "ipv6", ARG_FLAG, &opt.ipv6, .help = "IPv6 only" },
	{ 'v', "verbose", ARG_FLAG, &opt.verbose,
	  .help = "a line on stderr for each request, and for each connection that has ended" },
	{ '\0', "json", ARG_FLAG, &opt.json, .help = "one JSON object a line on standard output" },
	{ 0 },
};
/* clang-format on */

static const struct arg_spec spec = {
	.tool = "naivesocks",
	.one_line = "connects clients with whom they name, and makes one of three mistakes",
	.synopsis = synopsis,
	.about = about,
	.args = rows,
	.examples = examples,
	.see_also = "tcplab(1), getaddrinfo(3), connect(2), recv(2). Each figure explained: docs/tools/naivesocks.md.",
};

int main(int argc, char **argv)
{
	diag_tool = "naivesocks";
	setvbuf(stdout, NULL, _IOLBF, 0);
	int first = args_parse(&spec, argc, argv);
	if (argc - first > 1)
		args_misuse("'%s' is too much", argv[first + 1]);
	if (first < argc && (!units_parse_count(argv[first], &opt.port) || opt.port > UINT16_MAX))
		args_misuse("'%s' is no port", argv[first]);
	if (opt.mistake < 0)
		args_misuse("which mistake? --mistake dns, grant or segment");
	if (opt.ipv4 && opt.ipv6)
		args_misuse("-4 and -6 exclude each other");
	sig_open();
	return record_finish(run());
}
