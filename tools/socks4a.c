/* socks4a - a SOCKS server (versions 4, 4a and 5) that says what is so, and never lets one client wait for another.
 *
 * Try:       socks4a -v                                      and curl --socks5-hostname localhost http://example.net/
 *            socks4a --top --deny 10.0.0.0/8 --deny :25      no mail, nobody in the inner network, and a live table
 *            ttcp -t HOST --socks localhost                  what a proxy costs, beside the same without it
 * Look for:  "granted" comes after the connection stands, and its opposite says why it does not; a name that nobody
 *            answers for delays its own client only.
 * Labs:      52-socks.
 *
 *	client --- greeting, [password], request ---> where to? -----> connect -----> reply, and a pump both ways
 *	           socks_parse.c                      targets.c        resolver.c,    pump.c, as in tcprelay
 *	                                                               connector.c
 *
 * This file is the dialogue, CONNECT, and the command line. The chapters in tools/socks4a/: socks4a.h what they share;
 * targets.c where clients may go; users.c who they are; bind.c and associate.c the two other commands. Those in
 * tools/relay/ are a relay of any kind (relay.h has the map). */
#include "args.h"
#include "clock.h"
#include "diag.h"
#include "io.h"
#include "mem.h"
#include "relay/options.h"
#include "sock.h"
#include "socks.h"
#include "socks4a/socks4a.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAMES_KEPT = 256 };
static const uint64_t KEEP_FAILED_NS = 5 * (uint64_t)NS_PER_S;

static struct {
	struct relay_options relay;
	struct relay_said said;
	struct arg_list targets;
	const char *bind, *users_path;
	uint64_t port, greeting_ns, dns_keep_ns;
	bool no_bind, no_udp;
} opt = {
	.relay = RELAY_DEFAULTS,
	.port = SOCKS_PORT,
	.greeting_ns = 10 * (uint64_t)NS_PER_S,
	.dns_keep_ns = 30 * (uint64_t)NS_PER_S,
};

struct socks_options socks = { .bind_ns = 60 * (uint64_t)NS_PER_S };

static atomic_ullong n_granted, n_rejected;

/* --- what the lists say ------------------------------------------------------------------------------------------- */

bool socks_may_go(const char *name, const struct addr *a)
{
	return socks.targets == NULL || targets_allow(socks.targets, name, a);
}

bool socks_may_ask(const char *name, uint16_t port)
{
	return socks.targets == NULL || targets_may_allow(socks.targets, name, port);
}

static void warn_of_readers(bool is_open)
{
	if (is_open)
		warnf("warning: others than you can read the passwords: chmod 600 %s", opt.users_path);
}

/* Whoever reaches an open proxy speaks in its name. */
static void on_listen(const struct relay *relay)
{
	char text[ADDR_TEXT];
	if (socks.users == NULL && opt.said.clients.n == 0 && !addr_is_loopback(&relay->bound))
		warnf("warning: whoever reaches %s can use this server: --users or --allow-client",
		      addr_text(&relay->bound, text));
}

static void on_reload(struct relay *relay)
{
	(void)relay;
	char why[TARGETS_WHY + USERS_WHY];
	bool is_open = false;
	if (socks.targets != NULL && !targets_reload(socks.targets, why))
		warnf("SIGHUP: the old rules stay: %s", why);
	if (socks.users != NULL && !users_reload(socks.users, &is_open, why))
		warnf("SIGHUP: the old users stay: %s", why);
	warn_of_readers(is_open);
}

/* --- replies ------------------------------------------------------------------------------------------------------ */

void socks_end_dialogue(struct socks_flow *f)
{
	if (f->dialogue != NULL)
		buf_free(&f->dialogue->head);
	free(f->dialogue);
	f->dialogue = NULL;
}

/* WHY one send(2), and nothing that waits: the client has read all that came before, or it is a handful of bytes; a
 * socket's buffer has room for a reply. False: the client is gone. */
static bool tell(struct socks_flow *f, const void *words, size_t n)
{
	return send(f->relay.client_fd, words, n, MSG_NOSIGNAL) == (ssize_t)n;
}

static size_t put_reply(unsigned char out[static SOCKS_REPLY_MAX], struct socks_flow *f, enum socks_reply reply,
			const struct addr *bound)
{
	struct socks_place place = { .kind = SOCKS_IPV4 };
	if (bound != NULL)
		socks_place_of_addr(bound, &place);
	f->reply = (uint8_t)reply;
	f->has_replied = true;
	return socks_put_reply(out, f->version, reply, &place);
}

bool socks_grant(struct socks_flow *f, const struct addr *bound)
{
	unsigned char words[SOCKS_REPLY_MAX];
	size_t n = put_reply(words, f, SOCKS_OK, bound);
	f->is_granted = tell(f, words, n);
	return f->is_granted;
}

void socks_reject(struct socks_flow *f, enum relay_end end, enum socks_reply reply, const char *reason)
{
	unsigned char words[SOCKS_REPLY_MAX];
	size_t n = put_reply(words, f, reply, NULL);
	f->is_granted = false; /* BIND's first reply may have said otherwise */
	relay_part(&f->relay, end, reason, words, n);
}

/* --- CONNECT ------------------------------------------------------------------------------------------------------ */

static const char *host_text(const struct socks_place *place, char out[static INET6_ADDRSTRLEN])
{
	if (place->kind == SOCKS_NAME)
		return place->name;
	return inet_ntop(place->kind == SOCKS_IPV4 ? AF_INET : AF_INET6, place->ip, out, INET6_ADDRSTRLEN);
}

static bool may_connect(struct relay_flow *relay, const struct addr *a)
{
	return socks_may_go(socks_flow_of(relay)->dialogue->parser.place.name, a);
}

static void on_connected(struct relay_flow *relay, int fd, const struct net_error *e)
{
	struct socks_flow *f = socks_flow_of(relay);
	struct addr bound;
	if (fd < 0) {
		bool is_denied = e->sys == EACCES;
		socks_reject(f, is_denied ? RELAY_END_REFUSED : RELAY_END_CONNECT, socks_reply_of(e), NULL);
		return;
	}
	if (addr_of_socket(fd, &bound) < 0 || !socks_grant(f, &bound)) {
		sock_abort(fd);
		relay_refuse(relay, RELAY_END_CLIENT_LEFT, NULL);
		return;
	}
	socks_open(f, fd);
}

void socks_open(struct socks_flow *f, int fd)
{
	struct dialogue *d = f->dialogue;
	f->dialogue = NULL; /* relay_open may end the flow */
	relay_open(&f->relay, fd, NULL, 0, buf_peek(&d->head), buf_len(&d->head));
	buf_free(&d->head);
	free(d);
}

/* --- the dialogue ------------------------------------------------------------------------------------------------- */

static const char *command_text(unsigned command)
{
	return command == SOCKS_CONNECT ? "connect"
	       : command == SOCKS_BIND  ? "bind"
	       : command == SOCKS_UDP   ? "udp"
					: NULL;
}

static void remember_request(struct socks_flow *f, const struct socks_parser *p)
{
	f->is_name = p->place.kind == SOCKS_NAME;
	f->command = (uint8_t)p->command;
	if (p->user[0] != '\0')
		f->user = xstrdup(p->user);
}

/* It is not even tried. */
static void turn_down(struct socks_flow *f, enum socks_reply reply, const char *reason)
{
	const struct socks_place *place = &f->dialogue->parser.place;
	char host[INET6_ADDRSTRLEN];
	relay_name_target(&f->relay, host_text(place, host), place->port);
	socks_reject(f, RELAY_END_REFUSED, reply, reason);
}

static void on_request(struct socks_flow *f)
{
	const struct socks_parser *p = &f->dialogue->parser;
	char host[INET6_ADDRSTRLEN];
	remember_request(f, p);
	if (p->version == 4 && socks.users != NULL)
		turn_down(f, SOCKS_NOT_ALLOWED, "SOCKS 4 has no password");
	else if ((p->command == SOCKS_BIND && opt.no_bind) || (p->command == SOCKS_UDP && opt.no_udp))
		turn_down(f, SOCKS_BAD_COMMAND, "this command is switched off");
	else if (p->command == SOCKS_UDP)
		socks_associate(f);
	else if (p->place.kind == SOCKS_NAME && !socks_may_ask(p->place.name, p->place.port))
		turn_down(f, SOCKS_NOT_ALLOWED, "the rules do not allow it");
	else if (p->command == SOCKS_BIND)
		socks_bind(f);
	else
		relay_connect(&f->relay, host_text(&p->place, host), p->place.port);
}

/* False: the client is gone, and so is f. */
static bool answer(struct socks_flow *f, const unsigned char *words, size_t n)
{
	bool is_told = tell(f, words, n);
	if (!is_told)
		relay_refuse(&f->relay, RELAY_END_CLIENT_LEFT, NULL);
	return is_told;
}

/* Which of the ways that the client knows. */
static bool choose_method(struct socks_flow *f)
{
	struct socks_parser *p = &f->dialogue->parser;
	unsigned char words[2];
	enum socks_method method = socks.users == NULL && p->knows_no_login ? SOCKS_NO_LOGIN
				   : p->knows_password                      ? SOCKS_PASSWORD
									    : SOCKS_NO_METHOD;
	size_t n = socks_put_method(words, method);
	socks_parser_choose(p, method);
	if (method == SOCKS_NO_METHOD) {
		relay_part(&f->relay, RELAY_END_REFUSED,
			   socks.users != NULL ? "the client knows no way to tell a password"
					       : "the client wants a way to log in that we do not know",
			   words, n);
		return false;
	}
	return answer(f, words, n);
}

/* Without --users a client that wants to log in may be anybody. */
static bool check_login(struct socks_flow *f)
{
	struct socks_parser *p = &f->dialogue->parser;
	unsigned char words[2];
	bool is_right = socks.users == NULL || users_know(socks.users, p->user, p->password);
	explicit_bzero(p->password, sizeof(p->password));
	size_t n = socks_put_login(words, is_right);
	if (!is_right) {
		relay_part(&f->relay, RELAY_END_REFUSED, "wrong user or password", words, n);
		return false;
	}
	return answer(f, words, n);
}

static void on_bad(struct socks_flow *f)
{
	const struct socks_parser *p = &f->dialogue->parser;
	unsigned char words[SOCKS_REPLY_MAX];
	size_t n = socks_put_refusal(words, p);
	if (n == 0) {
		relay_refuse(&f->relay, RELAY_END_REFUSED, p->why);
		return;
	}
	f->reply = (uint8_t)p->refusal;
	f->has_replied = n > 2; /* and not a word about methods or a login */
	relay_part(&f->relay, RELAY_END_REFUSED, p->why, words, n);
}

/* All that has come, as far as it is complete. True: there is more to come; otherwise the dialogue is over, and f may
 * be gone. */
static bool go_on(struct socks_flow *f)
{
	struct dialogue *d = f->dialogue;
	for (;;) {
		enum socks_step step = socks_parse(&d->parser, buf_peek(&d->head), buf_len(&d->head));
		f->version = (uint8_t)d->parser.version;
		if (step == SOCKS_MORE)
			return true;
		if (step == SOCKS_BAD) {
			on_bad(f);
			return false;
		}
		if (step == SOCKS_LOGIN)
			explicit_bzero(buf_at(&d->head, d->head.head), d->parser.used); /* a password */
		buf_consume(&d->head, d->parser.used);
		if (step == SOCKS_REQUEST) {
			on_request(f);
			return false;
		}
		if (!(step == SOCKS_METHODS ? choose_method(f) : check_login(f)))
			return false;
	}
}

/* Reads once. WHY not until there is nothing more: after an answer the client's next words are hardly ever here yet,
 * and the loop says when they are. True: there is more to come. */
static bool read_on(struct socks_flow *f)
{
	ssize_t n = io_fill(&f->dialogue->head, f->relay.client_fd);
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return true;
	if (n < 0) {
		relay_refuse(&f->relay, RELAY_END_CLIENT_LEFT, NULL);
		return false;
	}
	if (n == 0) {
		relay_refuse(&f->relay, RELAY_END_REFUSED, "the client ended before it had said where to go");
		return false;
	}
	return go_on(f);
}

static bool on_words(struct watch *w, unsigned events)
{
	(void)events;
	read_on(socks_flow_of(relay_flow_of_watch(w)));
	return true;
}

/* WHY read before anything is waited for: a client speaks first, and its words are often here when accept(2)
 * returns. */
static void on_client(struct relay_flow *relay)
{
	struct socks_flow *f = socks_flow_of(relay);
	f->dialogue = xcalloc(1, sizeof(*f->dialogue));
	if (read_on(f))
		relay_greet(relay, on_words, opt.greeting_ns);
}

static void on_end(struct relay_flow *relay)
{
	struct socks_flow *f = socks_flow_of(relay);
	socks_bind_end(f);
	socks_associate_end(f);
	socks_end_dialogue(f);
	free(f->user);
	if (f->is_granted)
		n_granted++;
	else
		n_rejected++;
}

/* --- what is said ------------------------------------------------------------------------------------------------- */

static void note(const struct relay_flow *relay, char out[static RELAY_NOTE])
{
	const struct socks_flow *f = (const struct socks_flow *)relay;
	if (f->command != 0)
		snprintf(out, RELAY_NOTE, "SOCKS%d%s %s%s%s", f->version, f->version == 4 && f->is_name ? "a" : "",
			 command_text(f->command), f->user != NULL ? ", user " : "", f->user != NULL ? f->user : "");
}

static void describe(const struct relay_flow *relay, struct json *j)
{
	const struct socks_flow *f = (const struct socks_flow *)relay;
	if (f->version != 0)
		json_u64(j, "version", f->version);
	else
		json_null(j, "version");
	json_str(j, "command", command_text(f->command));
	json_str(j, "user", f->user);
	const struct socks_datagrams *d = socks_associate_count(f);
	if (d != NULL) {
		json_u64(j, "datagrams_up", d->up);
		json_u64(j, "datagrams_down", d->down);
		json_u64(j, "datagrams_dropped", d->dropped);
		json_u64(j, "datagrams_strangers", d->strangers);
	}
	json_str(j, "reply", f->has_replied ? socks_reply_symbol((enum socks_reply)f->reply) : NULL);
}

static void total(const struct relay *relay, struct json *j, FILE *out)
{
	(void)relay;
	unsigned long long granted = n_granted, rejected = n_rejected;
	if (j != NULL) {
		json_u64(j, "granted", granted);
		json_u64(j, "rejected", rejected);
	} else {
		fprintf(out, "%8llu  granted\n%8llu  rejected\n", granted, rejected);
	}
}

/* --- the command line --------------------------------------------------------------------------------------------- */

static const struct relay_tool socks4a = {
	.name = "socks4a",
	.flow_len = sizeof(struct socks_flow),
	.on_client = on_client,
	.on_connected = on_connected,
	.may_connect = may_connect,
	.on_end = on_end,
	.on_listen = on_listen,
	.on_reload = on_reload,
	.note = note,
	.describe = describe,
	.total = total,
};

static const char *const synopsis[] = {
	"[options] [[ADDR:]PORT]",
	"stat|top|drain PATH [--json]",
	"set PATH [up|down] WORD...",
	NULL,
};

static const char *const about[] = {
	"socks4a is a SOCKS server: a client tells it where to go, and it connects the two. Versions 4, 4a and 5 on one port, CONNECT, "
	"BIND and UDP ASSOCIATE. It listens on 127.0.0.1, port 1080, unless told otherwise.",
	"The reply comes when the connection stands, or says why it does not. Names are resolved beside the loop: one that nobody answers "
	"for delays its own client only. Half-close, reset and backpressure are passed on as tcprelay does it.",
	"SIGTERM and SIGINT: no new connections, the others have --drain to end. SIGHUP: --users and @FILEs are read again.",
	"stat, top, set and drain are orders to a running server, through its --status PATH. The words of set are those of --up and --down.",
	NULL,
};

static const struct arg_example examples[] = {
	{ "socks4a -v", "a server for this host, with a line for each connection" },
	{ "curl --socks5-hostname localhost http://example.net/", "through it; the server resolves the name" },
	{ "socks4a --bind 0.0.0.0 --users users.txt", "for other hosts, with a password" },
	{ "socks4a --deny 127.0.0.0/8,[::1],10.0.0.0/8 --deny :25", "everywhere but there" },
	{ "socks4a --allow .example.net:80-443", "nowhere but there" },
	{ 0 },
};

static const struct arg_example statuses[] = {
	{ "0", "after SIGTERM or SIGINT: every connection ended by itself" },
	{ "1", "some had to be reset when --drain was over; or it could not start" },
	{ 0 },
};

/* clang-format off */
static const struct arg rows[] = {
	{ .help = "Where it listens, and from where it connects:" },
	{ 'p', "port", ARG_PORT, &opt.port, .value_name = "PORT", .help = "the same as the operand" },
	{ '\0', "bind", ARG_STR, &opt.bind, .value_name = "ADDR", .help = "listen on this address (127.0.0.1)" },
	{ '\0', "from", ARG_STR, &opt.relay.from, .value_name = "ADDR", .help = "connect from this local address" },
	RELAY_ROWS_FAMILIES(opt.relay),
	{ .help = "Who may come, and where to:" },
	{ '\0', "users", ARG_FILE, &opt.users_path, .value_name = "FILE", .help = "only those: a line user:password for each (SOCKS 5; it is "
	  "sent in clear)" },
	{ '\0', "allow-client", ARG_LIST, &opt.said.clients, .value_name = "NET", .help = "networks (10.0.0.0/8,::1 or @FILE); the first rule "
	  "that matches decides, and with an --allow-client nobody else is let in" },
	{ '\0', "deny-client", ARG_LIST, &opt.said.clients, .value_name = "NET", .help = "networks that are not let in" },
	{ '\0', "allow", ARG_LIST, &opt.targets, .value_name = "WHERE", .help = "targets: a network, a name, .name for all below it, each "
	  "with :PORT or :PORT-PORT, or these alone, or @FILE; the first rule that matches decides, and with an --allow everything else is refused" },
	{ '\0', "deny", ARG_LIST, &opt.targets, .value_name = "WHERE", .help = "targets where nobody may go" },
	{ '\0', "no-bind", ARG_FLAG, &opt.no_bind, .help = "no BIND" },
	{ '\0', "no-udp", ARG_FLAG, &opt.no_udp, .help = "no UDP ASSOCIATE" },
	RELAY_ROWS_CROWD(opt.relay),
	RELAY_ROWS_TIMES(opt.relay),
	{ '\0', "greeting-timeout", ARG_DURATION, &opt.greeting_ns, NS_PER_MS, 0, "D", "for a client to say where it wants to go" },
	{ '\0', "connect-timeout", ARG_DURATION, &opt.relay.connect_ns, .value_name = "D", .help = "for name and connection (0: as long as "
	  "the kernel tries)" },
	{ '\0', "bind-timeout", ARG_DURATION, &socks.bind_ns, NS_PER_MS, 0, "D", "for BIND's visitor to come" },
	{ '\0', "dns-keep", ARG_DURATION, &opt.dns_keep_ns, .value_name = "D", .help = "how long the addresses of a name are remembered; that "
	  "there are none 5 s at most (0: not at all)" },
	RELAY_ROWS_SOCKETS(opt.relay, opt.said),
	RELAY_ROWS_BAD_LINK(opt.said),
	RELAY_ROWS_SEEING(opt.relay),
	{ 0 },
};
/* clang-format on */

static const struct arg_spec spec = {
	.tool = "socks4a",
	.one_line = "a SOCKS 4, 4a and 5 server that never lets one client wait for another",
	.synopsis = synopsis,
	.about = about,
	.args = rows,
	.examples = examples,
	.exit_statuses = statuses,
	.see_also =
		"tcprelay, ttcp, naivesocks: tcplab-tcprelay(1), tcplab-ttcp(1), tcplab-naivesocks(1). RFC 1928, RFC 1929, RFC 8305.",
};

static void read_place(char **operands)
{
	opt.relay.port = opt.port;
	opt.relay.bind = opt.bind != NULL ? opt.bind : opt.relay.ipv6 ? "::1" : "127.0.0.1";
	if (operands[0] == NULL)
		return;
	if (operands[1] != NULL)
		args_misuse("one place to listen is enough: [ADDR:]PORT");
	if (opt.bind != NULL && strchr(operands[0], ':') != NULL)
		args_misuse("--bind and ADDR:PORT: one of them");
	relay_read_place(&opt.relay, operands[0]);
	if (opt.bind != NULL)
		opt.relay.bind = opt.bind;
}

static void read_targets(void)
{
	char why[TARGETS_WHY];
	if (opt.targets.n > 0)
		socks.targets = targets_new();
	for (unsigned i = 0; i < opt.targets.n; i++) {
		const struct arg_said *said = &opt.targets.said[i];
		if (!targets_add(socks.targets, strcmp(said->option, "allow") == 0, said->value, why))
			args_misuse("--%s: %s", said->option, why);
	}
}

static void read_passwords(void)
{
	char why[USERS_WHY];
	bool is_open = false;
	if (opt.users_path == NULL)
		return;
	socks.users = users_read(opt.users_path, &is_open, why);
	if (socks.users == NULL)
		args_misuse("--users: %s", why);
	if (users_count(socks.users) == 0)
		warnf("warning: there is nobody in %s: nobody can come in", opt.users_path);
	warn_of_readers(is_open);
}

int main(int argc, char **argv)
{
	diag_tool = "socks4a";
	setvbuf(stdout, NULL, _IOLBF, 0);
	int first = args_parse(&spec, argc, argv);
	if (relay_is_order(argv[first]))
		return relay_control_main(argv[first], argc - first - 1, argv + first + 1, opt.relay.json);
	relay_read_options(&opt.relay, &opt.said);
	read_place(argv + first);
	read_targets();
	read_passwords();
	opt.relay.names = (struct resolver_options){
		.max_kept = opt.dns_keep_ns != 0 ? NAMES_KEPT : 0,
		.keep_ns = opt.dns_keep_ns,
		.keep_failed_ns = opt.dns_keep_ns < KEEP_FAILED_NS ? opt.dns_keep_ns : KEEP_FAILED_NS,
	};
	int status = relay_run(&socks4a, &opt.relay);
	rules_free(opt.relay.rules);
	targets_free(socks.targets);
	users_free(socks.users);
	return status;
}
