/* sockdiag_test.c - the kernel's table against sockets that we have made ourselves. What other programs do
 * meanwhile on this machine is left out by asking for our ports only. */
#include "sockdiag.h"

#include "check.h"
#include "child.h"
#include "clock.h"
#include "io.h"
#include "peers.h"
#include "netns.h"
#include "sock.h"

#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>

static const struct io_until for_ever = { .deadline_ns = CLK_NEVER };
static struct sockdiag d;
static int server, client, accepted;
static struct addr bound;

static void open_pair(const char *host, int family)
{
	struct net_error e;
	server = sock_serve(host, 0, family, &(struct sock_options){ 0 }, &bound, &e);
	if (!CHECK(server >= 0))
		abort();
	struct addr to = bound.u.sa.sa_family == AF_INET6 && host == NULL ? literal("127.0.0.1", addr_port(&bound))
									  : bound;
	client = sock_connect(&to, 1, NULL, &(struct sock_options){ 0 }, &for_ever, &e);
	accepted = accept(server, NULL, NULL);
	if (!CHECK(client >= 0 && accepted >= 0))
		abort();
}

static void close_all(void)
{
	sock_abort(client);
	close(accepted);
	close(server);
}

/* All sockets of the port at either end. */
static void dump(uint32_t states)
{
	uint16_t port = addr_port(&bound);
	struct net_error e;
	CHECK_INT(sockdiag_dump(&d, &(struct sockdiag_filter){ .states = states, .ports = &port, .n_ports = 1 }, &e),
		  0);
	CHECK(!d.is_torn);
}

static uint64_t inode_of(int fd)
{
	struct stat st;
	CHECK_INT(fstat(fd, &st), 0);
	return st.st_ino;
}

static const struct sockdiag_socket *of(int fd)
{
	static const struct sockdiag_socket none;
	uint64_t inode = inode_of(fd);
	for (size_t i = 0; i < d.n; i++) {
		if (d.sockets[i].inode == inode)
			return &d.sockets[i];
	}
	return &none;
}

/* Dumps until the socket is in this state, or ten seconds are over. */
static const struct sockdiag_socket *wait_for(int fd, enum sockdiag_state state)
{
	uint64_t give_up_ns = clk_mono_ns() + UINT64_C(10) * NS_PER_S;
	dump(0);
	while (of(fd)->state != state && clk_mono_ns() < give_up_ns) {
		sched_yield();
		dump(0);
	}
	CHECK_INT(of(fd)->state, state);
	return of(fd);
}

/* --- what is known of a socket ------------------------------------------------------------------------------------- */

static void check_ends(const struct sockdiag_socket *s, int fd)
{
	struct addr local, peer;
	CHECK_INT(addr_of_socket(fd, &local) + addr_of_peer(fd, &peer), 0);
	CHECK(addr_equal(&s->local, &local) && addr_equal(&s->peer, &peer));
	CHECK_INT(s->inode, inode_of(fd));
	CHECK_INT(s->uid, getuid());
	CHECK(s->cookie != 0);
	CHECK(s->has_info);
}

static void test_pair(const char *host)
{
	open_pair(host, AF_UNSPEC);
	dump(0);
	CHECK_INT(d.n, 3);
	check_ends(of(client), client);
	check_ends(of(accepted), accepted);
	CHECK_INT(of(client)->state, SOCKDIAG_ESTABLISHED);
	CHECK_INT(of(server)->state, SOCKDIAG_LISTEN);
	CHECK_INT(of(server)->inode, inode_of(server));
	char name[TCPINFO_CONGESTION];
	CHECK_STR(of(client)->congestion, tcpinfo_congestion(client, name));
	close_all();
}

/* Both ends spell an IPv4-mapped address as the IPv4 address that it is, or the two would not look like a pair. */
static void test_mapped(void)
{
	open_pair(NULL, AF_UNSPEC);
	dump(0);
	const struct sockdiag_socket *there = of(accepted), *here = of(client);
	CHECK_INT(there->local.u.sa.sa_family, AF_INET);
	CHECK(addr_equal(&here->local, &there->peer) && addr_equal(&here->peer, &there->local));
	close_all();
}

static void test_queues_and_figures(void)
{
	static char bytes[10000];
	open_pair("127.0.0.1", AF_INET);
	CHECK_INT(io_write_full(client, bytes, sizeof(bytes), &for_ever), 0);
	wait_for(client, SOCKDIAG_ESTABLISHED);
	for (int i = 0; i < 1000000 && (of(accepted)->recv_queue != sizeof(bytes) || of(client)->send_queue != 0); i++)
		dump(0);
	CHECK_INT(of(accepted)->recv_queue, sizeof(bytes));
	CHECK_INT(of(client)->send_queue, 0);
	struct tcpinfo i;
	CHECK_INT(tcpinfo_get(client, &i), 0);
	const struct tcpinfo *seen = &of(client)->info;
	CHECK_INT(seen->bytes_acked, i.bytes_acked);
	CHECK_INT(seen->mss, i.mss);
	CHECK_INT(seen->bytes_sent, i.bytes_sent);
	CHECK(seen->bytes_sent >= sizeof(bytes));
	CHECK_INT(seen->ssthresh, i.ssthresh);
	CHECK_INT(seen->reordering, i.reordering);
	CHECK(seen->rto_ns >= seen->rtt_ns && seen->rto_ns < UINT64_C(100) * NS_PER_S);
	CHECK_INT(of(accepted)->info.bytes_received, sizeof(bytes));
	close_all();
}

/* Two connections wait for accept(2); they have no descriptor and so no inode. */
static void test_accept_queue(void)
{
	struct net_error e;
	int waits[2];
	open_pair("127.0.0.1", AF_INET);
	for (int i = 0; i < 2; i++)
		waits[i] = sock_connect(&bound, 1, NULL, &(struct sock_options){ 0 }, &for_ever, &e);
	dump(SOCKDIAG_BIT(SOCKDIAG_LISTEN));
	CHECK_INT(d.n, 1);
	for (int i = 0; i < 1000000 && of(server)->recv_queue != 2; i++)
		dump(SOCKDIAG_BIT(SOCKDIAG_LISTEN));
	CHECK_INT(of(server)->recv_queue, 2);
	CHECK(of(server)->send_queue > 0);
	dump(SOCKDIAG_BIT(SOCKDIAG_ESTABLISHED));
	size_t without_inode = 0;
	for (size_t i = 0; i < d.n; i++)
		without_inode += d.sockets[i].inode == 0;
	CHECK_INT(d.n, 6);
	CHECK_INT(without_inode, 2);
	close(waits[0]);
	close(waits[1]);
	close_all();
}

/* --- states and timers --------------------------------------------------------------------------------------------- */

static void test_closing(void)
{
	open_pair("127.0.0.1", AF_INET);
	struct addr local, peer;
	struct sockdiag_socket s;
	struct net_error e;
	CHECK_INT(addr_of_socket(client, &local) + addr_of_peer(client, &peer), 0);
	shutdown(client, SHUT_WR);
	CHECK(wait_for(client, SOCKDIAG_FIN_WAIT_2)->has_info);
	CHECK(wait_for(accepted, SOCKDIAG_CLOSE_WAIT)->has_info);
	close(accepted);
	close(client);
	int found = sockdiag_find(&d, &local, &peer, 0, &s, &e);
	for (int i = 0; i < 1000000 && found == 1 && s.state != SOCKDIAG_TIME_WAIT; i++)
		found = sockdiag_find(&d, &local, &peer, 0, &s, &e);
	CHECK_INT(found, 1);
	CHECK_INT(s.state, SOCKDIAG_TIME_WAIT);
	CHECK_INT(s.timer, SOCKDIAG_TIMEWAIT);
	CHECK(s.timer_left_ns > 0 && s.timer_left_ns <= UINT64_C(61) * NS_PER_S);
	CHECK(!s.has_info && s.inode == 0);
	close(server);
}

static void test_handshake(void)
{
	int fill[4];
	bound = silent(&server, fill);
	const struct sockdiag_socket *s = wait_for(fill[3], SOCKDIAG_SYN_SENT);
	CHECK_INT(s->timer, SOCKDIAG_RETRANSMIT);
	CHECK(s->timer_left_ns <= UINT64_C(130) * NS_PER_S);
	close_silent(server, fill);
}

/* --- finding one --------------------------------------------------------------------------------------------------- */

static void test_find(const char *host)
{
	open_pair(host, AF_UNSPEC);
	struct addr local, peer;
	struct sockdiag_socket s;
	struct net_error e;
	CHECK_INT(addr_of_socket(accepted, &local) + addr_of_peer(accepted, &peer), 0);
	CHECK_INT(sockdiag_find(&d, &local, &peer, 0, &s, &e), 1);
	check_ends(&s, accepted);
	sock_abort(client);
	close(accepted);
	/* The listener is there still, and is what the kernel finds. */
	CHECK_INT(sockdiag_find(&d, &local, &peer, 0, &s, &e), 0);
	close(server);
	CHECK_INT(sockdiag_find(&d, &local, &peer, 0, &s, &e), 0);
}

/* --- many ---------------------------------------------------------------------------------------------------------- */

enum { MANY = 200 };

/* More than fit into one message. The kernel filters, and we do when there are too many ports for it: same result. */
static void test_many(void)
{
	struct net_error e;
	int fds[MANY];
	uint16_t ports[SOCKDIAG_KERNEL_PORTS + 1];
	for (size_t i = 0; i < COUNT_OF(ports); i++)
		ports[i] = 1;
	open_pair("127.0.0.1", AF_INET);
	for (int i = 0; i < MANY; i++) {
		fds[i] = sock_connect(&bound, 1, NULL, &(struct sock_options){ 0 }, &for_ever, &e);
		CHECK(fds[i] >= 0);
	}
	for (size_t n = 1; n <= COUNT_OF(ports); n += COUNT_OF(ports) / 4) {
		ports[n - 1] = addr_port(&bound); /* at the end of the list, then also before it */
		struct sockdiag_filter f = { .ports = ports, .n_ports = n };
		CHECK_INT(sockdiag_dump(&d, &f, &e), 0);
		CHECK_INT(d.n, 2 * (MANY + 1) + 1);
	}
	ports[0] = 1;
	CHECK_INT(sockdiag_dump(&d, &(struct sockdiag_filter){ .ports = ports, .n_ports = 1 }, &e), 0);
	CHECK_INT(d.n, 0);
	CHECK_INT(sockdiag_dump(&d, &(struct sockdiag_filter){ 0 }, &e), 0);
	CHECK(d.n >= 2 * (MANY + 1) + 1);
	for (int i = 0; i < MANY; i++)
		sock_abort(fds[i]);
	close_all();
}

/* --- those that somebody wants ------------------------------------------------------------------------------------ */

static bool is_the_server(const struct sockdiag_socket *s, void *context)
{
	return s->inode == *(const uint64_t *)context;
}

/* In addition to the ports. */
static void test_wants(void)
{
	struct net_error e;
	open_pair("127.0.0.1", AF_INET);
	uint16_t port = addr_port(&bound), none = 1;
	uint64_t inode = inode_of(server);
	struct sockdiag_filter f = { .wants = is_the_server, .context = &inode, .ports = &port, .n_ports = 1 };
	CHECK_INT(sockdiag_dump(&d, &f, &e), 0);
	CHECK_INT(d.n, 1);
	CHECK_INT(of(server)->state, SOCKDIAG_LISTEN);
	f.ports = &none;
	CHECK_INT(sockdiag_dump(&d, &f, &e), 0);
	CHECK_INT(d.n, 0);
	close_all();
}

/* A connection over which nothing was sent has moved nothing, and a FIN is no byte. */
static void test_syn_fin(void)
{
	open_pair("127.0.0.1", AF_INET);
	shutdown(client, SHUT_WR);
	struct sockdiag_socket s = *wait_for(client, SOCKDIAG_FIN_WAIT_2);
	CHECK(s.info.bytes_acked > 0);
	sockdiag_leave_out_syn_fin(&s);
	CHECK_INT(s.info.bytes_acked, 0);
	s = *wait_for(accepted, SOCKDIAG_CLOSE_WAIT);
	CHECK_INT(s.recv_queue, 1);
	CHECK_INT(s.info.bytes_received, 1);
	sockdiag_leave_out_syn_fin(&s);
	CHECK_INT(s.recv_queue, 0);
	CHECK_INT(s.info.bytes_received, 0);
	s = (struct sockdiag_socket){ .state = SOCKDIAG_LAST_ACK, .send_queue = 11, .info.bytes_acked = 5 };
	s.info.bytes_sent = 15;
	sockdiag_leave_out_syn_fin(&s);
	CHECK_INT(s.send_queue, 10);
	CHECK_INT(s.info.bytes_acked, 5);
	close_all();
}

static void check_failure(const struct net_error *e, int error, const char *word)
{
	char text[NET_ERROR_TEXT];
	CHECK_INT(e->sys, error);
	CHECK(strstr(net_error_text(e, text), word) != NULL);
}

/* --- another network ---------------------------------------------------------------------------------------------- */

static int theirs;

/* A listener of theirs is seen and none of ours, also on the fresh socket after an error; and we are still here. */
static void look_there(void)
{
	struct sockdiag there;
	struct net_error e;
	uint64_t here = inode_of(open("/proc/self/ns/net", O_RDONLY));
	int before = count_fds();
	if (!CHECK_INT(sockdiag_open_in(&there, theirs, &e), 0))
		return;
	CHECK_INT(sockdiag_dump(&there, &(struct sockdiag_filter){ 0 }, &e), 0);
	CHECK_INT(there.n, 1);
	if (there.n == 1)
		CHECK_INT(there.sockets[0].state, SOCKDIAG_LISTEN);
	CHECK_INT(inode_of(open("/proc/self/ns/net", O_RDONLY)), here);
	sockdiag_close(&there);
	CHECK_INT(count_fds(), before + 1);
	CHECK_INT(sockdiag_open_in(&there, -1, &e), -1);
	CHECK_INT(e.sys, EBADF);
}

static void look_without_rights(void)
{
	struct sockdiag there;
	struct net_error e;
	int before = count_fds();
	if (!child_forbid(SYS_setns, EPERM))
		return;
	CHECK_INT(sockdiag_open_in(&there, theirs, &e), -1);
	check_failure(&e, EPERM, "CAP_SYS_ADMIN");
	CHECK_INT(count_fds(), before);
}

static void test_elsewhere(void)
{
	struct net_error e;
	int ends[2];
	char byte = 0;
	CHECK_INT(pipe(ends), 0);
	pid_t pid = fork();
	if (pid == 0) {
		alarm(CHILD_PATIENCE_S);
		struct netns_failure why;
		if (netns_enter(NETNS_BIT(NETNS_NET) | NETNS_BIT(NETNS_LOOPBACK), &why) < 0 ||
		    sock_serve("127.0.0.1", 0, AF_INET, &(struct sock_options){ 0 }, &bound, &e) < 0 ||
		    write(ends[1], "", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(ends[1]);
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)pid);
	if (read(ends[0], &byte, 1) == 1 && CHECK((theirs = open(path, O_RDONLY)) >= 0)) {
		CHECK_INT(in_child(look_there), 0);
		CHECK_INT(in_child(look_without_rights), 0);
		close(theirs);
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	close(ends[0]);
}

/* --- where it cannot be had ---------------------------------------------------------------------------------------- */

static void without_sock_diag(void)
{
	struct sockdiag other;
	struct net_error e;
	if (!child_forbid(SYS_socket, EPROTONOSUPPORT))
		return;
	CHECK_INT(sockdiag_open(&other, &e), -1);
	check_failure(&e, EPROTONOSUPPORT, "sock_diag");
	sockdiag_close(&other); /* harmless */
}

static void without_tcp_diag(void)
{
	struct net_error e;
	if (!child_forbid(SYS_sendto, ENOENT))
		return;
	CHECK_INT(sockdiag_dump(&d, &(struct sockdiag_filter){ 0 }, &e), -1);
	check_failure(&e, ENOENT, "tcp_diag");
	CHECK_INT(d.n, 0);
}

/* The buffer overflows each time: tried again on a fresh socket, a few times, then given up. */
static void with_overflow(void)
{
	struct net_error e;
	int before = count_fds();
	if (!child_forbid(SYS_recvmsg, ENOBUFS))
		return;
	CHECK_INT(sockdiag_dump(&d, &(struct sockdiag_filter){ 0 }, &e), -1);
	CHECK_INT(e.sys, ENOBUFS);
	CHECK_INT(count_fds(), before);
}

/* An answer cut off anywhere: true only where it is whole, and never read beyond. */
static void test_decode(void)
{
	enum { MESSAGE = 72, INFO = 2, CONG = 4 };
	unsigned char whole[MESSAGE + 4 + 16 + 4 + 8] = { AF_INET, SOCKDIAG_ESTABLISHED };
	const uint16_t info[2] = { 4 + 16, INFO }, cong[2] = { 4 + 5, CONG };
	memcpy(whole + MESSAGE, info, 4);
	memset(whole + MESSAGE + 4, 1, 16);
	memcpy(whole + MESSAGE + 20, cong, 4);
	memcpy(whole + MESSAGE + 24, "reno", 5);
	for (size_t n = 0; n <= sizeof(whole); n++) {
		struct sockdiag_socket s;
		unsigned char *exact = malloc(n + !n);
		memcpy(exact, whole, n);
		bool is_cut = n < MESSAGE || (n >= MESSAGE + 4 && n < MESSAGE + 20) ||
			      (n >= MESSAGE + 24 && n < MESSAGE + 29);
		CHECK_INT(sockdiag_decode(&s, exact, n), !is_cut);
		CHECK_INT(s.has_info, n >= MESSAGE + 20);
		if (!is_cut && n >= MESSAGE + 29)
			CHECK_STR(s.congestion, "reno");
		free(exact);
	}
	whole[MESSAGE] = 3; /* an attribute shorter than its own header would never end */
	struct sockdiag_socket s;
	CHECK(!sockdiag_decode(&s, whole, sizeof(whole)));
}

static void test_names(void)
{
	CHECK_STR(sockdiag_state_name(SOCKDIAG_ESTABLISHED), "ESTABLISHED");
	CHECK_STR(sockdiag_state_name(SOCKDIAG_CLOSING), "CLOSING");
	CHECK_STR(sockdiag_state_name(SOCKDIAG_STATES), "?");
	CHECK_STR(sockdiag_state_name(0), "?");
}

/* Where others have sockets, one of theirs may have our port at its other end; in a network of our own nobody has.
 * Where that is forbidden the counts are right nearly always. */
static void leave_others(void)
{
	struct netns_failure why;
	unsigned steps = NETNS_BIT(NETNS_NET) | NETNS_BIT(NETNS_LOOPBACK);
	if (geteuid() != 0)
		steps |= NETNS_BIT(NETNS_USER) | NETNS_BIT(NETNS_IDS);
	if (netns_enter(steps, &why) < 0)
		fprintf(stderr, "  not in a network of our own: %s\n", netns_step_name(why.step));
}

int main(void)
{
	leave_others();
	struct net_error e;
	CHECK_INT(sockdiag_open(&d, &e), 0);
	int before = count_fds();
	test_pair("127.0.0.1");
	test_pair("::1");
	test_mapped();
	test_queues_and_figures();
	test_accept_queue();
	test_closing();
	test_handshake();
	test_find("127.0.0.1");
	test_find("::1");
	test_many();
	test_decode();
	test_names();
	test_wants();
	test_syn_fin();
	test_elsewhere();
	CHECK_INT(in_child(without_sock_diag), 0);
	CHECK_INT(in_child(without_tcp_diag), 0);
	CHECK_INT(in_child(with_overflow), 0);
	CHECK_INT(count_fds(), before);
	sockdiag_close(&d);
	return check_done();
}
