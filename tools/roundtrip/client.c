/* client.c - when: the schedule, the waiting, the end. */
#include "client.h"

#include "clock.h"
#include "diag.h"
#include "kstamp.h"
#include "mem.h"
#include "os.h"
#include "prng.h"
#include "record.h"
#include "sig.h"
#include "sock.h"

#include <errno.h>
#include <math.h>
#include <netinet/ip.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

enum { ASK_BURST = 64, LOOKS = 64 };
static const uint64_t LIVE_NS = UINT64_C(250) * NS_PER_MS;
static const uint64_t STEER_POLL_NS = NS_PER_S;
static const uint64_t LINGER_NS = UINT64_C(500) * NS_PER_MS; /* for the last answers, at least */
static const uint64_t COPIES_NS = UINT64_C(10) * NS_PER_MS;  /* for a copy of the last answer */
static const uint64_t CONNECT_NS = UINT64_C(10) * NS_PER_S;
static const uint64_t TRY_NS[] = { 100 * NS_PER_MS, 150 * NS_PER_MS, 250 * NS_PER_MS, 250 * NS_PER_MS,
				   250 * NS_PER_MS };

/* --- connecting --------------------------------------------------------------------------------------------------- */

static int connect_to(struct client *c, struct net_error *e)
{
	const struct roundtrip_options *o = c->o;
	struct addr list[ADDR_MAX], peer;
	struct sock_options options = { .nodelay = o->nodelay };
	struct io_until until = { .deadline_ns = clk_mono_ns() + CONNECT_NS, .cancel = sig_flag() };
	struct socks_hop first = socks_first_hop(&o->socks, o->host, (uint16_t)o->port);
	char text[ADDR_TEXT];
	int n = addr_resolve(first.host, first.port, roundtrip_family(o), list, ADDR_MAX, e);
	if (n < 0)
		return -1;
	c->fd = o->tcp ? sock_connect(list, (size_t)n, NULL, &options, &until, e)
		       : sock_connect_udp(list, (size_t)n, NULL, e);
	if (c->fd < 0)
		return -1;
	if (!o->tcp)
		roundtrip_make_room(c->fd);
	if (o->socks.version != 0)
		socks_host_text(o->host, (uint16_t)o->port, c->peer);
	else
		snprintf(c->peer, sizeof(c->peer), "%s",
			 addr_text(addr_of_peer(c->fd, &peer) == 0 ? &peer : &list[0], text));
	return socks_ask(c->fd, &o->socks, o->host, (uint16_t)o->port, &until, e);
}

/* The six bits of RFC 2474 lie above ECN's two. */
static int set_dscp(int fd, uint64_t dscp)
{
	int tos = (int)(dscp << 2);
	struct addr own;
	if (addr_of_socket(fd, &own) == 0 && own.u.sa.sa_family == AF_INET6)
		return setsockopt(fd, IPPROTO_IPV6, IPV6_TCLASS, &tos, sizeof(tos));
	return setsockopt(fd, IPPROTO_IP, IP_TOS, &tos, sizeof(tos));
}

static int set_up(struct client *c, struct net_error *e)
{
	const struct roundtrip_options *o = c->o;
	if (io_tick(c->fd) < 0)
		return net_fail(e, "set", "SO_RCVTIMEO");
	if (o->dscp != 0 && set_dscp(c->fd, o->dscp) < 0)
		return net_fail(e, "set", "DSCP");
	if (o->where && kstamp_ask(c->fd, TALK_STAMPS) < 0)
		return net_fail(e, "set", "SO_TIMESTAMPING");
	return 0;
}

static void set_mode(struct client *c, enum client_mode mode)
{
	const struct roundtrip_options *o = c->o;
	size_t least = EXTENDED_LEN + (c->auth.is_on ? SIGNATURE_LEN : 0);
	c->mode = mode;
	c->len = mode == MODE_PLAIN ? PLAIN_LEN : mode == MODE_NTP ? NTP_LEN : o->size > least ? o->size : least;
}

struct client *roundtrip_client_open(const struct roundtrip_options *o)
{
	struct client *c = xcalloc(1, sizeof(*c));
	struct net_error e = { 0 };
	*c = (struct client){ .o = o, .fd = -1, .session = os_random() };
	if (o->key_file != NULL && !(c->auth.is_on = roundtrip_read_key(o, &c->auth.key))) {
		free(c);
		return NULL;
	}
	set_mode(c, o->ntp ? MODE_NTP : o->wire == WIRE_PLAIN ? MODE_PLAIN : MODE_EXTENDED);
	sig_let_in(true);
	int opened = connect_to(c, &e);
	sig_let_in(false);
	if (opened < 0 || set_up(c, &e) < 0) {
		if (sig_pending(NULL) == 0)
			record_error(o->json, &e);
		roundtrip_client_close(c);
		return NULL;
	}
	/* Precision is the product: by default a timer may be 50 us late (PR_SET_TIMERSLACK in prctl(2)). */
	prctl(PR_SET_TIMERSLACK, 1);
	c->m.here = clocks_synchronised();
	c->start_ns = clk_mono_ns();
	return c;
}

void roundtrip_client_close(struct client *c)
{
	if (c == NULL)
		return;
	if (c->fd >= 0)
		close(c->fd);
	free(c);
}

/* --- waiting ----------------------------------------------------------------------------------------------------- */

static uint64_t now_of(const struct client *c)
{
	return clk_mono_ns() - c->start_ns;
}

static bool is_closed_loop(const struct client *c)
{
	return c->o->interval_ns == 0;
}

/* Must signals be let in? Otherwise they come where we wait. */
static bool is_let_in(const struct client *c)
{
	return is_closed_loop(c) || c->o->busy_poll;
}

/* Waits for an answer until deadline_ns, and takes what has come by then. 0, or an errno. */
static int hear_until(struct client *c, uint64_t deadline_ns)
{
	struct pollfd p = { .fd = c->fd, .events = POLLIN };
	if (is_closed_loop(c) && !c->o->busy_poll && !c->is_ending) {
		if (talk_hear(c, 0) >= 0 || errno == EAGAIN || errno == EINTR)
			return 0;
		return errno;
	}
	if (!c->o->busy_poll) {
		int n = sig_wait(&p, 1, deadline_ns == CLK_NEVER ? CLK_NEVER : c->start_ns + deadline_ns);
		if (n <= 0)
			return n < 0 ? errno : 0;
	}
	/* WHY: what lies between two looks, an answer waits for. In an open loop the schedule is looked at, too. */
	int looks = c->o->busy_poll && is_closed_loop(c) ? LOOKS : 1, heard;
	do
		heard = talk_hear(c, MSG_DONTWAIT);
	while (heard < 0 && errno == EAGAIN && --looks > 0);
	if (heard >= 0)
		return 0;
	if (errno != EAGAIN && errno != EINTR)
		return errno;
	if (c->o->where)
		talk_take_stamps(c); /* poll says POLLERR as long as they wait */
	return 0;
}

/* --- reports ------------------------------------------------------------------------------------------------------ */

struct ticks {
	uint64_t report_ns, live_ns; /* the next ones, since start */
};

static struct ticks ticks_of(const struct client *c)
{
	const struct roundtrip_options *o = c->o;
	bool is_live = c->about != NULL && o->report_ns == 0 && !o->json && isatty(STDERR_FILENO);
	return (struct ticks){ .report_ns = c->about != NULL && o->report_ns > 0 ? o->report_ns : CLK_NEVER,
			       .live_ns = is_live ? LIVE_NS : CLK_NEVER };
}

static void tick(struct client *c, struct ticks *t, uint64_t now_ns)
{
	c->m.elapsed_ns = now_ns;
	if (now_ns >= t->report_ns) {
		roundtrip_report_interval(c->about, &c->m);
		t->report_ns += c->o->report_ns;
	}
	if (now_ns >= t->live_ns) {
		roundtrip_report_live(c->about, &c->m);
		t->live_ns = now_ns + LIVE_NS;
	}
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* --- the schedule ------------------------------------------------------------------------------------------------- */

/* When the question after this one should be sent. Poisson: gaps are exponential, and a pattern of the network with a
 * period of its own cannot hide between them (RFC 2330 11.1.1). */
static uint64_t next_of(const struct client *c, uint64_t intended_ns)
{
	if (!c->o->poisson)
		return intended_ns + c->o->interval_ns;
	double u = ((double)(prng_word(c->o->seed, c->next_number) >> 11) + 1) /
		   9007199254740993.0; /* (0, 1) in steps of 2^-53 */
	return intended_ns + (uint64_t)(-log(u) * (double)c->o->interval_ns);
}

static bool is_enough(const struct client *c, uint64_t now_ns)
{
	const struct roundtrip_options *o = c->o;
	uint64_t tried = c->m.sent + c->m.unsent;
	return sig_pending(NULL) != 0 || (o->count != 0 && tried >= o->count) ||
	       (o->time_ns != 0 && now_ns >= o->time_ns);
}

static bool is_answered(const struct client *c, uint64_t number)
{
	const struct question *q = &c->ring[number % CLIENT_RING];
	return q->number == number && q->state >= QUESTION_ANSWERED;
}

/* Closed loop: the answer to the last one is there, or will not come. */
static bool is_due(const struct client *c, uint64_t now_ns)
{
	if (!is_closed_loop(c))
		return now_ns >= c->next_ns;
	return c->next_number == 0 || is_answered(c, c->next_number - 1) ||
	       now_ns >= c->last_sent_ns + c->o->timeout_ns;
}

/* All that is due, however late it is: a schedule that waits for the network measures when it suits the network. */
static int ask_due(struct client *c, uint64_t now_ns)
{
	for (int i = 0; i < ASK_BURST && is_due(c, now_ns) && !is_enough(c, c->next_ns); i++) {
		uint64_t intended_ns = is_closed_loop(c) ? now_ns : c->next_ns;
		if (talk_ask(c, intended_ns) < 0)
			return errno;
		c->next_ns = is_closed_loop(c) ? now_ns : next_of(c, intended_ns);
	}
	return 0;
}

/* Somebody who limits himself to fewer answers than we shall ask for: that is no loss of the network. */
static void warn_of_limit(struct client *c, bool *has_warned)
{
	if (*has_warned || c->limit == 0 || is_closed_loop(c))
		return;
	*has_warned = true;
	if (c->limit < NS_PER_S / c->o->interval_ns && c->about != NULL)
		warnf("%s answers one source %u times a second at most (its --udp-rate): expect losses", c->peer,
		      (unsigned)c->limit);
}

static int ask_and_hear(struct client *c)
{
	struct ticks t = ticks_of(c);
	bool has_warned = false;
	for (bool has_heard = false;; has_heard = c->unaccounted != NULL) {
		/* WHY not read again after an answer: a clock costs 30 ns, and an answer by loopback 4000. */
		uint64_t now_ns = has_heard ? c->now_ns : now_of(c);
		int error = ask_due(c, now_ns);
		talk_account(c);
		if (error != 0)
			return error;
		/* In a closed loop the time is that of now; otherwise the schedule's. */
		if (is_enough(c, is_closed_loop(c) ? now_ns : c->next_ns))
			return 0;
		error = hear_until(c, earlier(earlier(c->next_ns, t.report_ns), t.live_ns));
		if (error != 0)
			return error;
		warn_of_limit(c, &has_warned);
		tick(c, &t, now_ns);
	}
}

static bool is_complete(const struct client *c)
{
	return c->m.trip.received + c->m.late >= c->m.sent;
}

/* For those that are still under way; and when they are all there, a moment for copies of them. WHY the looks after that:
 * what has come by then is not lost, also when a busy machine did not let us look in time. */
static int hear_the_last(struct client *c)
{
	uint64_t patience_ns = 4 * c->m.rtt.max;
	if (patience_ns < LINGER_NS)
		patience_ns = LINGER_NS;
	if (patience_ns > c->o->timeout_ns || c->m.rtt.n == 0)
		patience_ns = c->o->timeout_ns;
	int signals = 0;
	c->is_ending = true;
	sig_let_in(c->o->busy_poll);
	uint64_t end_ns = c->last_sent_ns + patience_ns, copies_ns = CLK_NEVER;
	while (signals < 2 && now_of(c) < earlier(end_ns, copies_ns)) {
		if (copies_ns == CLK_NEVER && is_complete(c))
			copies_ns = now_of(c) + (c->o->tcp ? 0 : COPIES_NS);
		int error = hear_until(c, earlier(end_ns, copies_ns));
		if (error != 0)
			return error;
		sig_pending(&signals);
	}
	for (int i = 0; i < LOOKS && signals < 2 && talk_hear(c, MSG_DONTWAIT) >= 0; i++)
		;
	return 0;
}

/* --- naive -------------------------------------------------------------------------------------------------------- */

/* The client that everybody writes first: it asks, waits for the answer, sleeps. A lost datagram, and it waits for
 * ever. */
static int naive(struct client *c)
{
	struct ticks t = ticks_of(c);
	for (uint64_t now_ns = now_of(c); !is_enough(c, now_ns); now_ns = now_of(c)) {
		uint64_t number = c->next_number;
		if (talk_ask(c, now_ns) < 0)
			return errno;
		while (number != c->next_number && !is_answered(c, number)) {
			if (sig_wait_fd(c->fd, POLLIN, CLK_NEVER) < 0) {
				if (c->about != NULL)
					warnf("waited %.1f s for the answer to question %llu",
					      (double)(now_of(c) - c->last_sent_ns) / 1e9, (unsigned long long)number);
				return 0;
			}
			if (talk_hear(c, MSG_DONTWAIT) < 0 && errno != EAGAIN)
				return errno;
		}
		talk_account(c);
		tick(c, &t, now_of(c));
		if (!is_enough(c, now_of(c)) && sig_wait_fd(-1, 0, c->o->interval_ns) < 0 && errno == ECANCELED)
			return 0;
	}
	return 0;
}

/* --- which wire? -------------------------------------------------------------------------------------------------- */

/* The course's programs do not understand us: from here on as they do, and what was before does not count. */
static void go_on_plain(struct client *c)
{
	warnf("%s: no answer to %zu extended questions; going on as the course's programs speak, with plain ones",
	      c->peer, COUNT_OF(TRY_NS));
	memset(c->ring, 0, sizeof(c->ring));
	c->m.sent = c->next_number = 0;
	c->start_ns = clk_mono_ns();
	set_mode(c, MODE_PLAIN);
}

/* Extended questions to begin with, each with some patience for its answer. They count if there is one, as far as -n
 * goes; beyond that the last one is repeated. */
static int negotiate_udp(struct client *c)
{
	for (size_t i = 0; i < COUNT_OF(TRY_NS) && sig_pending(NULL) == 0; i++) {
		uint64_t now_ns = now_of(c), until_ns = now_ns + TRY_NS[i];
		bool is_new = c->o->count == 0 || c->m.sent + c->m.unsent < c->o->count;
		if (!is_new && c->m.sent == 0)
			return 0; /* the kernel took none: there is nothing to repeat */
		if ((is_new ? talk_ask(c, now_ns) : talk_ask_again(c)) < 0)
			return errno;
		while (!c->has_answer && now_of(c) < until_ns && sig_pending(NULL) == 0) {
			int error = hear_until(c, until_ns);
			if (error != 0)
				return error;
		}
		if (c->has_answer)
			return 0;
	}
	if (c->m.refused + 1 >= COUNT_OF(TRY_NS))
		return ECONNREFUSED;
	if (sig_pending(NULL) == 0 && c->m.sent > 0)
		go_on_plain(c);
	return 0;
}

/* On a connection: see PLAIN_MAY_WE. */
static int negotiate_tcp(struct client *c)
{
	unsigned char bytes[PLAIN_LEN];
	struct io_until until = { .deadline_ns = clk_mono_ns() + c->o->timeout_ns, .cancel = sig_flag() };
	plain_put(bytes, (struct plain){ clk_real_ns() / NS_PER_US, PLAIN_MAY_WE });
	sig_let_in(true);
	int got = io_write_full(c->fd, bytes, sizeof(bytes), &until);
	if (got == 0)
		got = io_read_full(c->fd, bytes, sizeof(bytes), &until);
	int error = got < 0 ? errno : got == 0 ? EPROTO : 0;
	sig_let_in(is_let_in(c));
	if (error == 0 && plain_get(bytes).response_us != PLAIN_YES)
		set_mode(c, MODE_PLAIN);
	c->start_ns = clk_mono_ns();
	return error;
}

static int negotiate(struct client *c)
{
	if (c->mode != MODE_EXTENDED || c->o->wire != WIRE_AUTO || c->auth.is_on)
		return 0;
	return c->o->tcp ? negotiate_tcp(c) : negotiate_udp(c);
}

/* --- run ---------------------------------------------------------------------------------------------------------- */

static const char *mode_name(const struct client *c)
{
	static const char *const names[] = { [MODE_EXTENDED] = "extended", [MODE_PLAIN] = "plain", [MODE_NTP] = "ntp" };
	return names[c->mode];
}

static int run(struct client *c)
{
	int error = negotiate(c);
	if (error != 0)
		return error;
	if (c->o->verbose)
		warnf("%s: %s, questions of %zu bytes", c->peer, mode_name(c), c->len);
	/* The questions of a negotiation were before the schedule; the first of the schedule is now. */
	c->next_ns = now_of(c);
	if (c->next_number > 0)
		c->next_ns += c->o->interval_ns;
	if (c->o->naive)
		return naive(c);
	error = ask_and_hear(c);
	c->m.elapsed_ns = now_of(c);
	if (error == 0)
		error = hear_the_last(c);
	if (c->now_ns > c->m.elapsed_ns) /* without the time in which nothing came any more */
		c->m.elapsed_ns = c->now_ns;
	return error;
}

int roundtrip_client_run(struct client *c)
{
	steer_init(&c->steer, STEER_POLL_NS);
	sig_let_in(is_let_in(c));
	int error = run(c);
	sig_let_in(false);
	if (c->m.elapsed_ns == 0 || c->o->naive)
		c->m.elapsed_ns = now_of(c);
	talk_account(c);
	if (c->o->where)
		talk_last_stamps(c);
	if (c->about != NULL && c->o->report_ns > 0)
		roundtrip_report_interval(c->about, &c->m); /* the rest, so that the intervals are the whole */
	return error;
}

static int run_and_report(struct client *c)
{
	const struct roundtrip_options *o = c->o;
	struct report_about about = {
		.o = o, .peer = c->peer, .transport = o->tcp ? "tcp" : "udp", .wire = mode_name(c), .len = c->len
	};
	c->about = &about;
	roundtrip_report_start(&about);
	int error = roundtrip_client_run(c);
	about.wire = mode_name(c);
	about.len = c->len;
	about.ntp = c->mode == MODE_NTP && c->m.rtt.n > 0 ? &c->ntp : NULL;
	roundtrip_report_live(&about, NULL);
	bool is_written = roundtrip_report_total(&about, &c->m);
	if (error != 0 && error != ECANCELED) {
		struct net_error e;
		errno = error;
		net_fail(&e, "ask", c->peer);
		if (error == EPROTO)
			e.reason = "the server ended the connection";
		record_error(o->json, &e);
		return 1;
	}
	if (sig_pending(NULL) != 0)
		return sig_exit_status(0);
	if (c->m.rtt.n == 0)
		warnf("%s: no answer", c->peer);
	return c->m.rtt.n == 0 || !is_written ? 1 : 0;
}

int roundtrip_client(struct roundtrip_options *o)
{
	sig_open();
	struct client *c = roundtrip_client_open(o);
	if (c == NULL)
		return sig_exit_status(1);
	int status = 1;
	if (o->csv_file != NULL && roundtrip_csv_open(o->csv_file, o->where) < 0) {
		struct net_error e;
		net_fail(&e, "write", o->csv_file);
		record_error(o->json, &e);
	} else {
		status = run_and_report(c);
	}
	roundtrip_client_close(c);
	return record_finish(status);
}
