/* stage.c - see stage.h. */
#include "stage.h"

#include "diag.h"
#include "record.h"
#include "sig.h"
#include "tcpinfo.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static const struct sock_options as_they_come;

void stage_check(struct stage *s, char **operands)
{
	s->host = *operands;
	if (s->host != NULL && operands[1] != NULL)
		args_misuse("'%s' is too much", operands[1]);
	stage_check_family(s);
	if (s->server == (s->host != NULL))
		args_misuse("say -s to serve, or the HOST of the server to be its client");
	if (!s->server && (s->one_off || s->bind != NULL))
		args_misuse("%s is for the server (-s)", s->one_off ? "-1" : "--bind");
	if (!s->server && s->port == 0)
		args_misuse("--port 0 is for the server (-s)");
}

void stage_check_family(const struct stage *s)
{
	if (s->ipv4 && s->ipv6)
		args_misuse("-4 and -6 exclude each other");
}

size_t stage_choose(char **operands, const void *rows, size_t stride, size_t n)
{
	char all[128] = "";
	if (operands[0] != NULL && operands[1] != NULL)
		args_misuse("'%s' is too much", operands[1]);
	for (size_t i = 0; i < n; i++) {
		const char *name = *(const char *const *)((const char *)rows + i * stride);
		size_t len = strlen(all);
		if (operands[0] != NULL && strcmp(operands[0], name) == 0)
			return i;
		snprintf(all + len, sizeof(all) - len, "%s%s", i == 0 ? "" : i + 1 < n ? ", " : " or ", name);
	}
	args_misuse("say which experiment: %s", all);
}

int stage_family(const struct stage *s)
{
	return s->ipv4 ? AF_INET : s->ipv6 ? AF_INET6 : AF_UNSPEC;
}

/* --- a server ---------------------------------------------------------------------------------------------------- */

int stage_listen(const struct stage *s, uint64_t port, const struct sock_options *so, char text[static ADDR_TEXT])
{
	struct net_error e = { 0 };
	struct addr bound;
	const char *where = s->bind != NULL ? s->bind : s->ipv6 ? "::1" : "127.0.0.1";
	int fd = sock_serve(where, (uint16_t)port, stage_family(s), so != NULL ? so : &as_they_come, &bound, &e);
	/* WHY: a client may be gone between poll and accept, and a blocking accept would wait for the next one. */
	if (fd >= 0 && fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		die_errno("fcntl");
	if (fd < 0) {
		record_error(s->json, &e);
		return -1;
	}
	warnf("listening on %s", addr_text(&bound, text));
	return fd;
}

int stage_accept(int listen_fd, struct addr *peer)
{
	enum { PAUSE_NS = 100 * NS_PER_MS };
	while (sig_wait_fd(listen_fd, POLLIN, CLK_NEVER) == 0) {
		peer->len = sizeof(peer->u);
		int fd = accept4(listen_fd, &peer->u.sa, &peer->len, SOCK_CLOEXEC);
		tracef("accept4(%d) = %d", listen_fd, fd);
		if (fd >= 0)
			return fd;
		if (errno != EAGAIN && errno != ECONNABORTED && errno != EPROTO) {
			/* EMFILE and the like: the client still waits, and without a pause we would spin. */
			warnf_errno("accept");
			clk_sleep_until_ns(clk_mono_ns() + PAUSE_NS);
		}
	}
	return -1;
}

uint64_t stage_serve(const struct stage *s, int listen_fd, void (*serve)(void *context, int fd, const char *peer),
		     void *context)
{
	struct addr peer;
	char text[ADDR_TEXT];
	uint64_t connections = 0;
	int fd;
	while ((connections == 0 || !s->one_off) && (fd = stage_accept(listen_fd, &peer)) >= 0) {
		serve(context, fd, addr_text(&peer, text));
		connections++;
	}
	return connections;
}

int stage_report_served(const struct stage *s, const char *role, uint64_t connections)
{
	if (s->json) {
		struct json j;
		record_begin(&j, "total");
		json_str(&j, "role", role);
		json_u64(&j, "connections", connections);
		json_bool(&j, "interrupted", sig_pending(NULL) != 0);
		json_end(&j);
	}
	return sig_exit_status(0);
}

/* --- a client, and both ------------------------------------------------------------------------------------------ */

static int connect_until(const struct addr *list, size_t n, const struct sock_options *so, uint64_t timeout_ns,
			 struct net_error *e)
{
	struct io_until until = { .deadline_ns = clk_mono_ns() + timeout_ns, .cancel = sig_flag() };
	sig_let_in(true);
	int fd = sock_connect(list, n, NULL, so != NULL ? so : &as_they_come, &until, e);
	sig_let_in(false);
	return fd;
}

int stage_connect(const struct stage *s, const struct sock_options *so, struct net_error *e)
{
	struct addr list[ADDR_MAX];
	int n = addr_resolve(s->host, (uint16_t)s->port, stage_family(s), list, ADDR_MAX, e);
	return n < 0 ? -1 : connect_until(list, (size_t)n, so, s->timeout_ns, e);
}

int stage_pair(int family, const struct sock_options *server, const struct sock_options *client, int fds[static 2],
	       struct net_error *e)
{
	const uint64_t patience_ns = UINT64_C(10) * NS_PER_S;
	struct addr bound;
	const char *where = family == AF_INET6 ? "::1" : "127.0.0.1";
	int listen_fd = sock_serve(where, 0, family, server != NULL ? server : &as_they_come, &bound, e);
	if (listen_fd < 0)
		return -1;
	fds[1] = connect_until(&bound, 1, client, patience_ns, e);
	fds[0] = fds[1] < 0 ? -1 : accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC); /* connected: so it is in the queue */
	if (fds[1] >= 0 && fds[0] < 0) {
		net_fail(e, "accept", "a connection over loopback");
		close(fds[1]);
	}
	close(listen_fd);
	return fds[0] < 0 ? -1 : 0;
}

ssize_t stage_recv(const struct stage *s, int fd, void *p, size_t room)
{
	if (sig_wait_fd(fd, POLLIN, s->timeout_ns) < 0)
		return -1;
	ssize_t n = recv(fd, p, room, 0);
	tracef("recv(%d, %zu) = %zd", fd, room, n);
	return n;
}

uint64_t stage_unread(int fd)
{
	int n = 0;
	return ioctl(fd, FIONREAD, &n) == 0 && n > 0 ? (uint64_t)n : 0;
}

int stage_send_all(const struct stage *s, int fd, const void *p, size_t len, uint64_t *taken)
{
	for (size_t at = 0; at < len;) {
		if (sig_wait_fd(fd, POLLOUT, s->timeout_ns) < 0)
			return -1;
		ssize_t n = send(fd, (const unsigned char *)p + at, len - at, MSG_DONTWAIT | MSG_NOSIGNAL);
		tracef("send(%d, %zu) = %zd", fd, len - at, n);
		if (n < 0 && errno != EAGAIN)
			return -1;
		at += n > 0 ? (size_t)n : 0;
		*taken += n > 0 ? (uint64_t)n : 0;
	}
	return 0;
}

int stage_wait_acknowledged(const struct stage *s, int fd)
{
	struct tcpinfo info;
	uint64_t deadline_ns = clk_mono_ns() + s->timeout_ns;
	while (sig_pending(NULL) == 0 && clk_mono_ns() < deadline_ns) {
		int rc = tcpinfo_get(fd, &info);
		int error = sock_take_error(fd);
		if (error != 0) {
			errno = error;
			return -1;
		}
		if (rc < 0 || info.send_queue == 0)
			return 0;
		/* The kernel has no event for "acknowledged": look again in a millisecond. */
		if (sig_wait_fd(-1, 0, NS_PER_MS) < 0 && errno == ECANCELED)
			return -1;
	}
	errno = sig_pending(NULL) != 0 ? ECANCELED : ETIMEDOUT;
	return -1;
}

/* --- the end ----------------------------------------------------------------------------------------------------- */

_Noreturn void stage_fail(const struct stage *s, const struct net_error *e)
{
	record_error(s->json, e);
	exit(1);
}

_Noreturn void stage_fail_errno(const struct stage *s, const char *op, const char *object)
{
	struct net_error e = { 0 };
	net_fail(&e, op, object);
	stage_fail(s, &e);
}

const char *stage_symbol(int error)
{
	return error != 0 ? errno_name(error) : NULL;
}
