/* stage.h - what stands around the lesson in the pitfall tools: listening, accepting, connecting, waiting, failing.
 *
 * The lesson itself, the wrong call and the right one, is in each tool's own file and calls the system directly. What is here
 * is done in the same way by all of them and is nothing to learn from.
 *
 *	struct options { struct stage stage; bool fixed; } o = { .stage = { .port = 2022, STAGE_DEFAULTS } };
 *	const struct arg rows[] = { STAGE_ROWS(o.stage), ... };
 *	stage_check(&o.stage, argv + args_parse(&spec, argc, argv));
 *	sig_open();
 *
 * One thread, main's. Each wait ends with a signal, too (sig.h): errno is ECANCELED then. */
#ifndef TCPLAB_PITFALL_STAGE_H
#define TCPLAB_PITFALL_STAGE_H

#include "addr.h"
#include "args.h"
#include "cdefs.h"
#include "clock.h"
#include "sock.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* What every client and server is told. Strings are borrowed from argv. */
struct stage {
	const char *host; /* whom to connect to; NULL for a server */
	const char *bind; /* where a server listens; NULL: on loopback */
	bool server, one_off, ipv4, ipv6, json;
	uint64_t port, timeout_ns;
};

#define STAGE_DEFAULTS .timeout_ns = UINT64_C(10) * NS_PER_S
#define STAGE_DAY_NS   (UINT64_C(24) * 3600 * NS_PER_S)

/* clang-format off */
#define STAGE_ROLE_ROWS(s) \
	{ 's', "server", ARG_FLAG, &(s).server, .help = "serve; without it: be a client of HOST" }, \
	{ 'p', "port", ARG_PORT, &(s).port, .value_name = "PORT", .help = "the server's port; 0 with -s takes a free one" }, \
	{ 'B', "bind", ARG_STR, &(s).bind, .value_name = "ADDR", .help = "server: listen there; 127.0.0.1 or ::1 unless given" }, \
	{ '1', "one-off", ARG_FLAG, &(s).one_off, .help = "server: one client, then end" }

#define STAGE_COMMON_ROWS(s) \
	{ '4', "ipv4", ARG_FLAG, &(s).ipv4, .help = "IPv4 only" }, \
	{ '6', "ipv6", ARG_FLAG, &(s).ipv6, .help = "IPv6 only" }, \
	{ '\0', "timeout", ARG_DURATION, &(s).timeout_ns, 1, STAGE_DAY_NS, "D", "give up when nothing moves for so long" }, \
	{ '\0', "json", ARG_FLAG, &(s).json, .help = "one JSON object a line on standard output" }
/* clang-format on */

/* What no row can express, for a tool with the rows above whose only operand is HOST: misuse ends with status 2. */
void stage_check(struct stage *s, char **operands);

/* -4 and -6 are misuse together; stage_check has looked already. */
void stage_check_family(const struct stage *s);

/* The only operand names an experiment, one of n rows, each `stride` bytes long and beginning with its name
 * (const char *): which row. Misuse names them all, in 128 bytes, and ends with status 2. */
size_t stage_choose(char **operands, const void *rows, size_t stride, size_t n);
#define STAGE_CHOOSE(operands, table) (&(table)[stage_choose(operands, table, sizeof(*(table)), COUNT_OF(table))])

int stage_family(const struct stage *s); /* AF_UNSPEC, AF_INET, AF_INET6 */

/* --- a server ---------------------------------------------------------------------------------------------------- */

/* A non-blocking listening socket on --bind and `port`, and the line "listening on"; its address as text in `text`. -1 when it
 * could not be made, which has been reported then. The caller closes it. */
MUST_USE int stage_listen(const struct stage *s, uint64_t port, const struct sock_options *so,
			  char text[static ADDR_TEXT]);

/* The next client's descriptor, a blocking one, which is the caller's; or -1: a signal came. BLOCKS. Is there no descriptor
 * left (EMFILE), it says so and tries again. */
MUST_USE int stage_accept(int listen_fd, struct addr *peer);

/* One client after another, or with --one-off one alone: calls serve, which takes fd. How many. BLOCKS until a signal. */
uint64_t stage_serve(const struct stage *s, int listen_fd, void (*serve)(void *context, int fd, const char *peer),
		     void *context);

/* With --json the last record of a server that has nothing else to count. The exit status: 0, or that of a signal. */
int stage_report_served(const struct stage *s, const char *role, uint64_t connections);

/* --- a client, and both ------------------------------------------------------------------------------------------ */

/* A blocking connection to HOST, and it is the caller's; or -1 with *e (ECANCELED, ETIMEDOUT). BLOCKS. */
MUST_USE int stage_connect(const struct stage *s, const struct sock_options *so, struct net_error *e);

/* Both ends of a connection over loopback, blocking: fds[0] as a server has it, fds[1] as a client. Options may be NULL. 0, or
 * -1 with *e. */
MUST_USE int stage_pair(int family, const struct sock_options *server, const struct sock_options *client,
			int fds[static 2], struct net_error *e);

/* recv(2) once there is something: bytes, 0 at the peer's FIN, -1 with errno (ETIMEDOUT: nothing moved for --timeout). */
MUST_USE ssize_t stage_recv(const struct stage *s, int fd, void *p, size_t room);

/* Bytes that have arrived and that nobody has read (SIOCINQ, tcp(7)); 0 also where the kernel does not tell. */
uint64_t stage_unread(int fd);

/* All of it. How much the kernel took is added to *taken, whatever comes of it. 0, or -1 with errno. Never raises SIGPIPE. */
MUST_USE int stage_send_all(const struct stage *s, int fd, const void *p, size_t len, uint64_t *taken);

/* After our FIN (shutdown(2)): until the peer's kernel has acknowledged everything and the FIN. 0, or -1 with errno: what
 * the connection died of, or ETIMEDOUT. BLOCKS. */
MUST_USE int stage_wait_acknowledged(const struct stage *s, int fd);

/* --- the end ----------------------------------------------------------------------------------------------------- */

/* This machine does not give what the experiment needs: reports it (record.h), and ends the program with status 1. */
_Noreturn void stage_fail(const struct stage *s, const struct net_error *e);
_Noreturn void stage_fail_errno(const struct stage *s, const char *op, const char *object);

/* For json_str: "ECONNRESET", or NULL for 0. */
const char *stage_symbol(int error);

#endif
