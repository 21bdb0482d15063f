/* dualstack - "localhost" is two addresses: what a server binds to, who gets in, and how long a client waits.
 *
 * Try:       dualstack bind               a socket for each family on one port: the second bind(2) fails
 *            dualstack reach              servers of one family, and who is refused
 *            dualstack acl                a list of those who may not come in, and somebody who does
 *            dualstack race               IPv6 leads nowhere: the client waits before it tries IPv4
 *            each with --fixed
 *            dualstack race --host www.example.org -p 80 --fixed      a real one
 * Look for:  PITFALL below, four times.
 * Labs:      30-dual-stack.
 *
 * The wildcard address of IPv6 means both families unless somebody says IPV6_V6ONLY (ipv6(7), RFC 3493 5.3). A client
 * of IPv4 then has an IPv6 address, too: the mapped one (RFC 4291 2.5.5.2).
 *
 *     a socket bound to     takes                 and its clients are called
 *     127.0.0.1             IPv4, on loopback     127.0.0.1
 *     0.0.0.0               IPv4                  127.0.0.1
 *     ::1                   IPv6, on loopback     ::1
 *     ::                    both                  ::1 and ::ffff:127.0.0.1
 *     :: with V6ONLY        IPv6                  ::1
 *
 * Both ends are in this process, and everything is on loopback. "Leads nowhere" is a listening socket with a packet
 * filter of one instruction (pitfall/cable.h): whatever arrives is thrown away, as by a broken tunnel.
 *
 * The chapters: sockets, bind, reach, acl, race, reports, options and main. */
#include "args.h"
#include "clock.h"
#include "diag.h"
#include "record.h"
#include "sig.h"
#include "units.h"

#include "pitfall/cable.h"
#include "pitfall/stage.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BACKLOG = 16, PORT_TRIES = 20 };

struct options {
	struct stage stage;
	const char *experiment;
	bool fixed, refused;
	uint64_t stagger_ns;
};

/* --- sockets ----------------------------------------------------------------------------------------------------- */

/* What a server can bind to. */
enum kind { LOOP4, ANY4, LOOP6, DUAL, ONLY6, KINDS };
static const struct {
	const char *name, *address;
	int v6only; /* -1: not said */
} kinds[KINDS] = {
	[LOOP4] = { "127.0.0.1", "127.0.0.1", -1 },
	[ANY4] = { "0.0.0.0", "0.0.0.0", -1 },
	[LOOP6] = { "::1", "::1", -1 },
	[DUAL] = { "::", "::", 0 },
	[ONLY6] = { ":: V6ONLY", "::", 1 },
};

static const char *error_word(int error)
{
	return error == 0 ? "ok" : errno_name(error);
}

static struct addr address_of(const char *text, uint16_t port)
{
	struct addr a;
	struct net_error e;
	if (addr_literal(text, port, AF_UNSPEC, &a, &e) < 0)
		die("'%s' is no address", text);
	return a;
}

/* A listening socket there. *port 0 becomes the one that it got. Without SO_REUSEADDR, so that nothing is glossed
 * over. The descriptor, or -1 with errno. */
static int listen_on(const struct addr *where, int v6only, uint16_t *port)
{
	struct addr bound;
	int fd = socket(where->u.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	if ((v6only >= 0 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, sizeof(v6only)) < 0) ||
	    bind(fd, &where->u.sa, where->len) < 0 || listen(fd, BACKLOG) < 0 || addr_of_socket(fd, &bound) < 0) {
		int error = errno;
		tracef("bind and listen: %s", errno_name(error));
		close(fd);
		errno = error;
		return -1;
	}
	*port = addr_port(&bound);
	return fd;
}

static int listen_as(enum kind kind, uint16_t *port)
{
	struct addr where = address_of(kinds[kind].address, *port);
	return listen_on(&where, kinds[kind].v6only, port);
}

/* The same, where it must succeed: this machine has no IPv6, or no port. */
static int must_listen(const struct options *o, enum kind kind, uint16_t *port)
{
	int fd = listen_as(kind, port);
	if (fd < 0)
		stage_fail_errno(&o->stage, "bind", kinds[kind].name);
	return fd;
}

/* One port that both can have, if they can have any: another program may hold it in one family. -1 with errno. */
static int listen_both(const struct options *o, enum kind first, enum kind second, int fds[static 2], uint16_t *port)
{
	for (unsigned i = 0; i < PORT_TRIES; i++) {
		*port = 0;
		fds[0] = must_listen(o, first, port);
		fds[1] = listen_as(second, port);
		if (fds[1] >= 0)
			return 0;
		int error = errno;
		close(fds[0]);
		errno = error;
	}
	return -1;
}

/* A client of `to`, and what the server makes of it: its name as accept(2) tells it, not unmapped. On loopback a
 * connection stands, or has been refused, when connect(2) returns. 0, or the errno of connect(2). */
static int visit(const struct options *o, const struct addr *to, const int *listeners, size_t n, struct addr *seen)
{
	struct pollfd fds[2];
	int fd = socket(to->u.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		stage_fail_errno(&o->stage, "socket", "a client");
	int error = connect(fd, &to->u.sa, to->len) < 0 ? errno : 0;
	tracef("connect(%d) = %s", fd, error_word(error));
	for (size_t i = 0; i < n; i++)
		fds[i] = (struct pollfd){ .fd = listeners[i], .events = POLLIN };
	if (error == 0 && sig_wait(fds, (unsigned)n, clk_mono_ns() + o->stage.timeout_ns) <= 0) {
		errno = sig_pending(NULL) != 0 ? ECANCELED : ETIMEDOUT;
		stage_fail_errno(&o->stage, "accept", "a client");
	}
	for (size_t i = 0; error == 0 && i < n; i++) {
		if (fds[i].revents == 0)
			continue;
		seen->len = sizeof(seen->u);
		int accepted = accept4(listeners[i], &seen->u.sa, &seen->len, SOCK_CLOEXEC);
		if (accepted < 0)
			stage_fail_errno(&o->stage, "accept", "a client");
		close(accepted);
	}
	close(fd);
	return error;
}

/* As a program prints it that does not know of mapped addresses: inet_ntop(3). (addr_text, addr.h, knows.) */
static const char *plain_text(const struct addr *a, char out[static INET6_ADDRSTRLEN])
{
	const void *raw = a->u.sa.sa_family == AF_INET ? (const void *)&a->u.in4.sin_addr : &a->u.in6.sin6_addr;
	return inet_ntop(a->u.sa.sa_family, raw, out, INET6_ADDRSTRLEN);
}

/* --- bind: a socket for each family ------------------------------------------------------------------------------ */

static void report_pair(const struct options *o, const char *first, const char *second, int error)
{
	if (!o->stage.json) {
		printf("  %-10s then %-10s %s\n", first, second, error_word(error));
		return;
	}
	struct json j;
	record_begin(&j, "pair");
	json_str(&j, "first", first);
	json_str(&j, "second", second);
	json_str(&j, "errno", stage_symbol(error));
	json_end(&j);
}

static int try_pair(const struct options *o, enum kind first, enum kind second)
{
	int fds[2];
	uint16_t port;
	if (listen_both(o, first, second, fds, &port) < 0)
		return errno;
	close(fds[0]);
	close(fds[1]);
	return 0;
}

/* Which two sockets may have the same port? The first one is on the left. */
static void try_pairs(const struct options *o)
{
	if (!o->stage.json)
		printf("\n  first, then");
	for (int second = 0; second < KINDS && !o->stage.json; second++)
		printf(second < KINDS - 1 ? "  %-10s" : "  %s", kinds[second].name);
	for (int first = 0; first < KINDS; first++) {
		if (!o->stage.json)
			printf("\n  %-11s", kinds[first].name);
		for (int second = 0; second < KINDS; second++) {
			int error = first == second ? EADDRINUSE : try_pair(o, (enum kind)first, (enum kind)second);
			if (o->stage.json)
				report_pair(o, kinds[first].name, kinds[second].name, error);
			else
				printf(second < KINDS - 1 ? "  %-10s" : "  %s", error_word(error));
		}
	}
	if (!o->stage.json)
		printf("\n");
}

/* A server with a socket for each family, as one writes it after getaddrinfo(3) with AI_PASSIVE. How it went. */
static int serve_each(const struct options *o, const char *first, const char *second)
{
	int error = EADDRINUSE;
	for (unsigned i = 0; i < PORT_TRIES && error == EADDRINUSE; i++) {
		uint16_t port = 0;
		struct addr a = address_of(first, 0);
		/* PITFALL: one of the two addresses is the wildcard of IPv6, and that means IPv4, too: whichever
		 * comes second finds the port taken, by ourselves (unless the sysctl bindv6only says otherwise, and
		 * it rarely does). Programs that then go on with what they have serve one family, and which one
		 * depends on the order of the addresses. The fix: say what is meant. On an IPv4 socket there is
		 * nothing to say. */
		int fd = listen_on(&a, o->fixed && a.u.sa.sa_family == AF_INET6 ? 1 : -1, &port);
		if (fd < 0)
			stage_fail_errno(&o->stage, "bind", first);
		struct addr b = address_of(second, port);
		int other = listen_on(&b, o->fixed && b.u.sa.sa_family == AF_INET6 ? 1 : -1, &port);
		error = other < 0 ? errno : 0;
		if (other >= 0)
			close(other);
		close(fd);
	}
	return error;
}

static bool show_bind(const struct options *o)
{
	int in_order[2] = { serve_each(o, "0.0.0.0", "::"), serve_each(o, "::", "0.0.0.0") };
	if (!o->stage.json)
		printf("bind: a socket for each family%s\n", o->fixed ? ", the IPv6 one with IPV6_V6ONLY" : "");
	report_pair(o, "0.0.0.0", o->fixed ? "only ::" : "just ::", in_order[0]);
	report_pair(o, o->fixed ? "only ::" : "just ::", "0.0.0.0", in_order[1]);
	try_pairs(o);
	int expected = o->fixed ? 0 : EADDRINUSE;
	return in_order[0] == expected && in_order[1] == expected;
}

/* --- reach: who gets in ------------------------------------------------------------------------------------------ */

static void report_visit(const struct options *o, const char *server, const struct addr *to, int error,
			 const struct addr *seen)
{
	char name[INET6_ADDRSTRLEN], peer[INET6_ADDRSTRLEN];
	if (!o->stage.json) {
		printf("  server %-20s client of %-10s %s%s\n", server, plain_text(to, name),
		       error != 0 ? errno_name(error) : "connected; the server sees ",
		       error != 0 ? "" : plain_text(seen, peer));
		return;
	}
	struct json j;
	record_begin(&j, "client");
	json_str(&j, "server", server);
	json_str(&j, "to", plain_text(to, name));
	json_str(&j, "errno", stage_symbol(error));
	json_str(&j, "seen", error != 0 ? NULL : plain_text(seen, peer));
	json_end(&j);
}

/* A client of either family. How many were refused. */
static unsigned visit_both(const struct options *o, const char *server, const int *listeners, size_t n, uint16_t port)
{
	unsigned refused = 0;
	for (int i = 0; i < 2; i++) {
		struct addr seen = { 0 }, to = address_of(i == 0 ? "127.0.0.1" : "::1", port);
		int error = visit(o, &to, listeners, n, &seen);
		refused += error == ECONNREFUSED;
		report_visit(o, server, &to, error, &seen);
	}
	return refused;
}

/* PITFALL: a server that is bound to one family answers one of the two addresses of "localhost". Which of them a
 * client tries first is the resolver's business (RFC 6724), and one that tries no other is refused by a server that
 * is up and well. */
static bool serve_one_family(const struct options *o)
{
	static const enum kind one_family[] = { LOOP4, ANY4, LOOP6, ONLY6 };
	unsigned as_expected = 0;
	for (size_t i = 0; i < COUNT_OF(one_family); i++) {
		uint16_t port = 0;
		int fd = must_listen(o, one_family[i], &port);
		as_expected += visit_both(o, kinds[one_family[i]].name, &fd, 1, port) == 1;
		close(fd);
	}
	return as_expected == COUNT_OF(one_family);
}

/* One socket for both, or one for each. */
static bool serve_both_families(const struct options *o)
{
	uint16_t port = 0;
	int fds[2] = { must_listen(o, DUAL, &port), -1 };
	unsigned refused = visit_both(o, kinds[DUAL].name, fds, 1, port);
	close(fds[0]);
	if (listen_both(o, ANY4, ONLY6, fds, &port) < 0)
		stage_fail_errno(&o->stage, "bind", kinds[ONLY6].name);
	refused += visit_both(o, "0.0.0.0, :: V6ONLY", fds, 2, port);
	close(fds[0]);
	close(fds[1]);
	return refused == 0;
}

static bool show_reach(const struct options *o)
{
	if (!o->stage.json)
		printf("reach: a server of %s, and a client of each of localhost's addresses\n",
		       o->fixed ? "both families" : "one family");
	return o->fixed ? serve_both_families(o) : serve_one_family(o);
}

/* --- acl: who may not come in ------------------------------------------------------------------------------------ */

/* The rule "127.0.0.0/8 may not come in". */
static bool is_banned4(struct in_addr a)
{
	return ntohl(a.s_addr) >> 24 == 127;
}

static bool is_banned(const struct addr *peer, bool fixed)
{
	const struct in6_addr *six = &peer->u.in6.sin6_addr;
	if (peer->u.sa.sa_family == AF_INET)
		return is_banned4(peer->u.in4.sin_addr);
	/* PITFALL: "an IPv6 address is in none of my IPv4 networks." On a socket for both families a client of IPv4
	 * comes as ::ffff:127.0.0.1, and no rule about 127.0.0.0/8 applies: who is banned gets in, and, where the
	 * list says who may come, who is invited does not. A comparison of texts ("127.") misses it as well. The fix:
	 * look behind the mapping (RFC 4291 2.5.5.2), once, where addresses come in; or a socket for each family. */
	if (fixed && IN6_IS_ADDR_V4MAPPED(six)) {
		struct in_addr four;
		memcpy(&four, &six->s6_addr[12], sizeof(four));
		return is_banned4(four);
	}
	return false;
}

static bool show_acl(const struct options *o)
{
	static const enum kind servers[] = { ANY4, DUAL };
	bool was_let_in[COUNT_OF(servers)];
	if (!o->stage.json)
		printf("acl: 127.0.0.0/8 is banned%s\n", o->fixed ? ", and mapped addresses are looked behind" : "");
	for (size_t i = 0; i < COUNT_OF(servers); i++) {
		uint16_t port = 0;
		char name[INET6_ADDRSTRLEN];
		int fd = must_listen(o, servers[i], &port);
		struct addr seen = { 0 }, to = address_of("127.0.0.1", port);
		if (visit(o, &to, &fd, 1, &seen) != 0)
			stage_fail_errno(&o->stage, "connect", "127.0.0.1");
		close(fd);
		was_let_in[i] = !is_banned(&seen, o->fixed);
		if (!o->stage.json) {
			printf("  server %-10s the client is called %-18s %s\n", kinds[servers[i]].name,
			       plain_text(&seen, name), was_let_in[i] ? "let in" : "turned away");
			continue;
		}
		struct json j;
		record_begin(&j, "client");
		json_str(&j, "server", kinds[servers[i]].name);
		json_str(&j, "seen", plain_text(&seen, name));
		json_bool(&j, "let_in", was_let_in[i]);
		json_end(&j);
	}
	return !was_let_in[0] && was_let_in[1] == !o->fixed;
}

/* --- race: a client of a name with two addresses ----------------------------------------------------------------- */

/* One address, and what became of it. */
struct entry {
	struct addr to;
	int fd, error; /* error: the errno; 0: connected, or not known */
	bool was_tried, is_winner;
	uint64_t began_ns, ended_ns; /* since the first one began; ended 0: overtaken */
};

static void begin_entry(struct entry *t, uint64_t zero_ns)
{
	t->was_tried = true;
	t->began_ns = clk_mono_ns() - zero_ns;
	t->fd = socket(t->to.u.sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int rc = t->fd < 0 ? -1 : connect(t->fd, &t->to.u.sa, t->to.len);
	tracef("connect(%d) = %s", t->fd, rc < 0 ? errno_name(errno) : "0");
	if (rc < 0 && errno != EINPROGRESS) {
		t->error = errno;
		t->ended_ns = clk_mono_ns() - zero_ns;
		if (t->fd >= 0)
			close(t->fd);
		t->fd = -1;
	}
}

/* It is writable, or its time is over. */
static void end_entry(struct entry *t, int error, uint64_t zero_ns)
{
	socklen_t len = sizeof(error);
	if (error == 0 && getsockopt(t->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		error = errno;
	t->error = error;
	t->is_winner = error == 0;
	t->ended_ns = clk_mono_ns() - zero_ns;
	close(t->fd);
	t->fd = -1;
}

/* Waits for those under way, until the given time at most. True: one is connected. */
static bool wait_for_entries(struct entry *t, size_t n, uint64_t until_ns, uint64_t zero_ns)
{
	struct pollfd fds[ADDR_MAX];
	for (size_t i = 0; i < n; i++)
		fds[i] = (struct pollfd){ .fd = t[i].was_tried ? t[i].fd : -1, .events = POLLOUT };
	if (sig_wait(fds, (unsigned)n, zero_ns + until_ns) <= 0)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (fds[i].revents == 0)
			continue;
		end_entry(&t[i], 0, zero_ns);
		if (t[i].is_winner)
			return true;
	}
	return false;
}

static bool is_any_under_way(const struct entry *t, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (t[i].was_tried && t[i].fd >= 0)
			return true;
	return false;
}

/* PITFALL: one address after the other, each for as long as it takes. It is what getaddrinfo(3) suggests, and what
 * most clients do. When IPv6 is configured and leads nowhere, each connection begins with a timeout; users say "the
 * network is slow". */
static void connect_in_turn(const struct options *o, struct entry *t, size_t n, uint64_t zero_ns)
{
	for (size_t i = 0; i < n && sig_pending(NULL) == 0; i++) {
		begin_entry(&t[i], zero_ns);
		uint64_t deadline_ns = t[i].began_ns + o->stage.timeout_ns;
		while (t[i].fd >= 0 && clk_mono_ns() - zero_ns < deadline_ns && sig_pending(NULL) == 0)
			if (wait_for_entries(&t[i], 1, deadline_ns, zero_ns))
				return;
		if (t[i].fd >= 0)
			end_entry(&t[i], sig_pending(NULL) != 0 ? ECANCELED : ETIMEDOUT, zero_ns);
	}
}

/* The fix: happy eyeballs (RFC 8305 5). The next address is tried when the one before has failed, or has not answered
 * for --stagger; those before it stay under way; who is first wins. (In common/connector.h there is one for event
 * loops.) */
static void connect_in_race(const struct options *o, struct entry *t, size_t n, uint64_t zero_ns)
{
	size_t begun = 0;
	uint64_t next_ns = 0;
	while (sig_pending(NULL) == 0) {
		uint64_t now_ns = clk_mono_ns() - zero_ns;
		if (begun < n && (now_ns >= next_ns || !is_any_under_way(t, n))) {
			begin_entry(&t[begun++], zero_ns);
			next_ns = now_ns + o->stagger_ns;
			continue;
		}
		uint64_t until_ns = begun < n ? next_ns : t[n - 1].began_ns + o->stage.timeout_ns;
		if (!is_any_under_way(t, n) || wait_for_entries(t, begun, until_ns, zero_ns))
			break;
		if (begun == n && clk_mono_ns() - zero_ns >= until_ns)
			break;
	}
	for (size_t i = 0; i < n; i++) {
		if (!t[i].was_tried || t[i].fd < 0)
			continue;
		bool is_won = false;
		for (size_t k = 0; k < n; k++)
			is_won |= t[k].is_winner;
		if (!is_won)
			end_entry(&t[i], sig_pending(NULL) != 0 ? ECANCELED : ETIMEDOUT, zero_ns);
		else
			close(t[i].fd); /* overtaken */
	}
}

static void report_entry(const struct options *o, const struct entry *t)
{
	char address[ADDR_TEXT], began[UNITS_TEXT], ended[UNITS_TEXT];
	const char *outcome = !t->was_tried   ? "untried"
			      : t->is_winner  ? "connected"
			      : t->error != 0 ? "failed"
					      : "overtaken";
	if (!o->stage.json) {
		printf("  %-24s ", addr_text(&t->to, address));
		if (t->was_tried)
			printf("begun after %s: ", units_duration(began, t->began_ns));
		printf("%s%s", t->error != 0 ? errno_name(t->error) : outcome, t->ended_ns != 0 ? " after " : "\n");
		if (t->ended_ns != 0)
			printf("%s\n", units_duration(ended, t->ended_ns));
		return;
	}
	struct json j;
	record_begin(&j, "attempt");
	json_str(&j, "to", addr_text(&t->to, address));
	json_str(&j, "outcome", outcome);
	json_str(&j, "errno", stage_symbol(t->error));
	json_u64(&j, "began_ns", t->began_ns);
	json_u64(&j, "ended_ns", t->ended_ns);
	json_end(&j);
}

/* Two servers on one port: IPv6 where nothing arrives, or nobody listens, and IPv4 as it should be. */
static uint16_t set_trap(const struct options *o, int fds[static 2])
{
	uint16_t port = 0;
	struct net_error e = { 0 };
	if (!o->refused && cable_prepare(&e) < 0)
		stage_fail(&o->stage, &e);
	if (listen_both(o, LOOP6, LOOP4, fds, &port) < 0)
		stage_fail_errno(&o->stage, "bind", "127.0.0.1 and ::1");
	if (o->refused)
		shutdown(fds[0], SHUT_RDWR); /* bound, and not listening any more */
	else if (cable_cut(fds[0], &e) < 0)
		stage_fail(&o->stage, &e);
	return port;
}

static bool show_race(struct options *o, uint64_t *took_ns, const struct entry **winner)
{
	static struct entry entries[ADDR_MAX];
	struct addr list[ADDR_MAX];
	struct net_error e = { 0 };
	int n = 2, fds[2] = { -1, -1 };
	bool is_ours = o->stage.port == 0;
	if (is_ours)
		o->stage.port = set_trap(o, fds);
	list[0] = address_of("::1", (uint16_t)o->stage.port);
	list[1] = address_of("127.0.0.1", (uint16_t)o->stage.port);
	if (o->stage.host != NULL)
		n = addr_resolve(o->stage.host, (uint16_t)o->stage.port, stage_family(&o->stage), list, ADDR_MAX, &e);
	if (n < 0)
		stage_fail(&o->stage, &e);
	for (int i = 0; i < n; i++)
		entries[i] = (struct entry){ .to = list[i], .fd = -1 };
	if (!o->stage.json)
		printf("race: %d address%s of %s, %s\n", n, n == 1 ? "" : "es",
		       o->stage.host != NULL ? o->stage.host : "localhost",
		       o->fixed ? "racing (RFC 8305)" : "one after the other");
	(o->fixed ? connect_in_race : connect_in_turn)(o, entries, (size_t)n, clk_mono_ns());
	bool first_failed = false;
	for (int i = 0; i < n; i++) {
		report_entry(o, &entries[i]);
		if (entries[i].is_winner)
			*winner = &entries[i];
	}
	*took_ns = *winner != NULL ? (*winner)->ended_ns : 0;
	first_failed = entries[0].error == ETIMEDOUT && entries[0].ended_ns >= o->stage.timeout_ns;
	if (*winner == NULL || !is_ours || o->refused)
		return *winner != NULL;
	return o->fixed ? *took_ns < o->stage.timeout_ns && entries[0].error == 0 : first_failed;
}

/* --- the run ----------------------------------------------------------------------------------------------------- */

static const char *const experiments[] = { "bind", "reach", "acl", "race" };

static int run(struct options *o)
{
	struct json j;
	const struct entry *winner = NULL;
	uint64_t took_ns = 0;
	char text[ADDR_TEXT], duration[UNITS_TEXT];
	if (o->stage.json) {
		record_begin(&j, "start");
		json_str(&j, "experiment", o->experiment);
		json_bool(&j, "fixed", o->fixed);
		json_end(&j);
	}
	bool is_race = strcmp(o->experiment, "race") == 0;
	bool as_promised = is_race                               ? show_race(o, &took_ns, &winner)
			   : strcmp(o->experiment, "bind") == 0  ? show_bind(o)
			   : strcmp(o->experiment, "reach") == 0 ? show_reach(o)
								 : show_acl(o);
	if (!o->stage.json && winner != NULL)
		printf("connected to %s, after %s\n", addr_text(&winner->to, text), units_duration(duration, took_ns));
	if (o->stage.json) {
		record_begin(&j, "total");
		json_str(&j, "experiment", o->experiment);
		json_bool(&j, "fixed", o->fixed);
		if (is_race) {
			json_str(&j, "reached", winner != NULL ? addr_text(&winner->to, text) : NULL);
			json_u64(&j, "took_ns", took_ns);
		}
		json_bool(&j, "as_promised", as_promised);
		json_bool(&j, "interrupted", sig_pending(NULL) != 0);
		json_end(&j);
	}
	return sig_exit_status(as_promised ? 0 : 3);
}

/* --- options and main -------------------------------------------------------------------------------------------- */

static const char *const synopsis[] = {
	"bind|reach|acl [--fixed] [--json]",
	"race [--host NAME] [-p PORT] [--fixed] [options]",
	NULL,
};

static const char *const about[] = {
	"dualstack shows what becomes of servers and clients on a host that has IPv4 and IPv6, as nearly all have: "
	"\"localhost\" is two addresses, and so is the wildcard address; and on the way to a name each address may "
	"lead elsewhere, or nowhere.",
	"bind: a server opens a socket for each family, and the second one fails; with --fixed it says "
	"IPV6_V6ONLY. reach: a server of one family refuses the other; with --fixed it takes both. acl: a client "
	"that is banned gets in, since it has another name on a socket for both families; with --fixed the server "
	"looks behind it. race: IPv6 leads nowhere, and a client waits for it; with --fixed it does not wait for "
	"long (RFC 8305).",
	"Both ends are on this machine, except in a race to a port that is given (-p).",
	NULL,
};

static const struct arg_example examples[] = {
	{ "dualstack bind", "which two sockets may have the same port" },
	{ "dualstack reach --fixed", "one socket for both families, and one for each" },
	{ "dualstack acl", "somebody who is banned gets in" },
	{ "dualstack race --timeout 2", "two seconds, for nothing" },
	{ "dualstack race --fixed", "a quarter of a second" },
	{ "dualstack race --host www.example.org -p 80 --fixed", "which family is first, and by how much" },
	{ 0 },
};

static const struct arg_example statuses[] = {
	{ "3", "the mistake did no harm here, or --fixed did not help; a race that nobody won" },
	{ 0 },
};

static struct options parse_options(int argc, char **argv)
{
	struct options o = {
		.stage = { .timeout_ns = UINT64_C(2) * NS_PER_S },
		.stagger_ns = UINT64_C(250) * NS_PER_MS,
	};
	/* clang-format off */
	const struct arg rows[] = {
		{ '\0', "fixed", ARG_FLAG, &o.fixed, .help = "without the mistake" },
		{ '\0', "host", ARG_STR, &o.stage.host, .value_name = "NAME", .help = "race: to the addresses of NAME, in the resolver's order" },
		{ 'p', "port", ARG_PORT, &o.stage.port, .value_name = "PORT", .help = "race: to this port; 0: to two servers of our own" },
		{ '\0', "refused", ARG_FLAG, &o.refused, .help = "race: our IPv6 server refuses, instead of being silent" },
		{ '\0', "stagger", ARG_DURATION, &o.stagger_ns, NS_PER_MS, STAGE_DAY_NS, "D", "race, fixed: the next address after so long" },
		STAGE_COMMON_ROWS(o.stage),
		{ 0 },
	};
	/* clang-format on */
	const struct arg_spec spec = {
		.tool = "dualstack",
		.one_line = "shows what two address families make of a server, of its clients, and of who may come in",
		.synopsis = synopsis,
		.about = about,
		.args = rows,
		.examples = examples,
		.exit_statuses = statuses,
		.see_also = "tcplab(1), ipv6(7), getaddrinfo(3). Each figure explained: docs/tools/dualstack.md.",
	};
	o.experiment = *STAGE_CHOOSE(argv + args_parse(&spec, argc, argv), experiments);
	return o;
}

static void check_options(const struct options *o)
{
	bool is_race = strcmp(o->experiment, "race") == 0;
	if (!is_race && (o->stage.host != NULL || o->stage.port != 0 || o->refused || o->stage.ipv4 || o->stage.ipv6))
		args_misuse("--host, -p, --refused, -4 and -6 are for a race");
	stage_check_family(&o->stage);
	if (o->stage.host == NULL && (o->stage.ipv4 || o->stage.ipv6 || o->stage.port != 0))
		args_misuse("-p, -4 and -6 need a --host");
	if (o->refused && o->stage.port != 0)
		args_misuse("--refused is for our own servers, without -p");
}

int main(int argc, char **argv)
{
	diag_tool = "dualstack";
	setvbuf(stdout, NULL, _IOLBF, 0);
	struct options o = parse_options(argc, argv);
	check_options(&o);
	sig_open();
	return record_finish(run(&o));
}
