/* procmon_sockets_test.c - this process and its children have sockets in every state, and procmon's chapter tells
 * what they are. In a network of our own, where it may be had. */
#include "../../tools/procmon/sockets.h"

#include "check.h"
#include "child.h"
#include "clock.h"
#include "io.h"
#include "netns.h"
#include "peers.h"
#include "sock.h"

#include <linux/capability.h>
#include <math.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>

static const struct io_until for_ever = { .deadline_ns = CLK_NEVER };
static const struct sock_options plain;
static struct procfs self;
static struct files files;
static struct sockets s;

/* --- readings ----------------------------------------------------------------------------------------------------- */

static uint64_t inode_of(int fd)
{
	struct stat st;
	CHECK_INT(fstat(fd, &st), 0);
	return st.st_ino;
}

static const struct socket_row *row_of(uint64_t inode)
{
	static const struct socket_row none;
	for (size_t i = 0; i < s.n; i++) {
		if (s.row[i].inode == inode)
			return &s.row[i];
	}
	return &none;
}

static const struct socket_row *of(int fd)
{
	return row_of(inode_of(fd));
}

/* Time is what the test says it is. */
static void read_at(const struct procfs *p, uint64_t second)
{
	files_clear(&files, 1);
	files_read(&files, p, false);
	sockets_read(&s, &files, p, second * NS_PER_S);
}

static void start(const struct procfs *p)
{
	struct net_error e;
	CHECK_INT(sockets_open(&s, p, &e), 0);
}

/* Looks anew until it is so, or ten seconds are over. */
static void look_until_state(const struct procfs *p, uint64_t inode, enum sockdiag_state state)
{
	uint64_t give_up_ns = clk_mono_ns() + UINT64_C(10) * NS_PER_S;
	for (read_at(p, 1); row_of(inode)->tcp.state != state && clk_mono_ns() < give_up_ns; read_at(p, 1))
		sched_yield();
	CHECK_INT(row_of(inode)->tcp.state, state);
}

struct pair {
	int server, client, accepted;
	struct addr bound;
};

static struct pair open_pair(const char *host)
{
	struct net_error e;
	struct pair p;
	p.server = sock_serve(host, 0, AF_UNSPEC, &plain, &p.bound, &e);
	struct addr to = host != NULL ? p.bound : literal("127.0.0.1", addr_port(&p.bound));
	p.client = sock_connect(&to, 1, NULL, &plain, &for_ever, &e);
	p.accepted = accept(p.server, NULL, NULL);
	if (!CHECK(p.server >= 0 && p.client >= 0 && p.accepted >= 0))
		abort();
	return p;
}

static void close_pair(const struct pair *p)
{
	close(p->client);
	close(p->accepted);
	close(p->server);
}

static void send_bytes(int fd, size_t n)
{
	static char bytes[100000];
	CHECK_INT(io_write_full(fd, bytes, n, &for_ever), 0);
}

/* Until the peer's kernel has everything: then both ends' counters stand still. */
static void wait_until_acked(int fd)
{
	int queued = 1;
	while (ioctl(fd, TIOCOUTQ, &queued) == 0 && queued > 0)
		sched_yield();
}

/* --- TCP ---------------------------------------------------------------------------------------------------------- */

static void check_ends(int fd)
{
	struct addr local, peer;
	CHECK_INT(addr_of_socket(fd, &local) + addr_of_peer(fd, &peer), 0);
	CHECK(addr_equal(&of(fd)->tcp.local, &local) && addr_equal(&of(fd)->tcp.peer, &peer));
	CHECK_INT(of(fd)->kind, SOCKET_TCP);
	CHECK_INT(of(fd)->tcp.state, SOCKDIAG_ESTABLISHED);
	CHECK_INT(of(fd)->pid, getpid());
	CHECK_INT(of(fd)->fd, fd);
	CHECK_INT(of(fd)->fds, 1);
	CHECK(of(fd)->tcp.has_info && of(fd)->tcp.info.rtt_ns > 0);
}

static void test_pair(const char *host)
{
	struct pair p = open_pair(host);
	start(&self);
	/* The first reading dumps all sockets, the second asks for each. */
	for (uint64_t second = 1; second <= 3; second++) {
		read_at(&self, second);
		check_ends(p.client);
		check_ends(p.accepted);
		CHECK_INT(of(p.server)->tcp.state, SOCKDIAG_LISTEN);
		CHECK(s.row[0].inode == inode_of(p.server));
		CHECK_STR(s.source, "sock_diag");
		CHECK(s.why == NULL && s.is_known);
		CHECK_INT(s.n_tcp, 3);
		CHECK_INT(s.at_ns, second * NS_PER_S);
	}
	CHECK_STR(of(p.client)->protocol, strchr(host, ':') != NULL ? "TCPv6" : "TCP");
	sockets_close(&s);
	close_pair(&p);
}

/* An IPv6 listener's connection over IPv4 is found, too, when it is asked for by its addresses. */
static void test_mapped(void)
{
	struct pair p = open_pair(NULL);
	start(&self);
	for (uint64_t second = 1; second <= 2; second++) {
		read_at(&self, second);
		CHECK_INT(of(p.accepted)->tcp.local.u.sa.sa_family, AF_INET);
		CHECK_INT(of(p.accepted)->tcp.state, SOCKDIAG_ESTABLISHED);
		CHECK(addr_equal(&of(p.accepted)->tcp.local, &of(p.client)->tcp.peer));
	}
	sockets_close(&s);
	close_pair(&p);
}

/* The reader has stopped: bytes wait on both sides, as many as the kernel tells the owners. */
static void test_queues(void)
{
	static char bytes[65536];
	struct pair p = open_pair("127.0.0.1");
	start(&self);
	read_at(&self, 1);
	int here, there, before = -1;
	fcntl(p.client, F_SETFL, O_NONBLOCK);
	while (send(p.client, bytes, sizeof(bytes), 0) > 0 || errno != EAGAIN)
		;
	/* Full, and nothing moves any more. */
	for (here = 0; here != before; sched_yield()) {
		before = here;
		CHECK_INT(ioctl(p.client, TIOCOUTQ, &here) + ioctl(p.accepted, FIONREAD, &there), 0);
	}
	read_at(&self, 2);
	CHECK_INT(ioctl(p.client, TIOCOUTQ, &here) + ioctl(p.accepted, FIONREAD, &there), 0);
	CHECK(here > 0 && there > 0);
	CHECK_INT(of(p.client)->tcp.send_queue, here);
	CHECK_INT(of(p.accepted)->tcp.recv_queue, there);
	CHECK_INT(s.send_queue, here);
	CHECK_INT(s.recv_queue, there);
	sockets_close(&s);
	close_pair(&p);
}

/* What waits for accept(2) are connections, no bytes. */
static void test_backlog(void)
{
	struct pair p = open_pair("127.0.0.1"), waits[2];
	struct net_error e;
	for (int i = 0; i < 2; i++)
		waits[i].client = sock_connect(&p.bound, 1, NULL, &plain, &for_ever, &e);
	start(&self);
	look_until_state(&self, inode_of(waits[1].client), SOCKDIAG_ESTABLISHED);
	for (uint64_t second = 1; second < 10000 && of(p.server)->tcp.recv_queue != 2; second++)
		read_at(&self, second);
	CHECK_INT(of(p.server)->tcp.recv_queue, 2);
	CHECK(of(p.server)->tcp.send_queue > 0);
	CHECK_INT(s.recv_queue, 0);
	CHECK_INT(s.send_queue, 0);
	CHECK_INT(s.n_tcp, 5);
	sockets_close(&s);
	close_pair(&p);
	close(waits[0].client);
	close(waits[1].client);
}

static void test_closing(void)
{
	struct pair p = open_pair("127.0.0.1");
	start(&self);
	read_at(&self, 1);
	shutdown(p.client, SHUT_WR);
	look_until_state(&self, inode_of(p.client), SOCKDIAG_FIN_WAIT_2);
	look_until_state(&self, inode_of(p.accepted), SOCKDIAG_CLOSE_WAIT);
	CHECK_INT(of(p.accepted)->tcp.recv_queue, 0); /* the FIN is no byte */
	CHECK_INT(of(p.accepted)->tcp.info.bytes_received, 0);
	sock_abort(p.accepted);
	look_until_state(&self, inode_of(p.client), SOCKDIAG_CLOSED);
	CHECK_INT(of(p.client)->kind, SOCKET_TCP);
	CHECK(!of(p.client)->tcp.has_info);
	CHECK_INT(s.n_tcp, 1);
	sockets_close(&s);
	close(p.client);
	close(p.server);
}

static int connect_from(uint16_t port, const struct addr *to)
{
	struct addr from = literal("127.0.0.1", port);
	int fd = tcp_socket();
	CHECK_INT(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int)), 0);
	CHECK_INT(bind(fd, &from.u.sa, from.len) + connect(fd, &to->u.sa, to->len), 0);
	return fd;
}

/* The connection is gone and another socket has its addresses now; the one that had them is still open. */
static void test_same_addresses(void)
{
	struct addr bound, local;
	struct net_error e;
	int server = sock_serve("127.0.0.1", 0, AF_INET, &plain, &bound, &e), first = connect_from(0, &bound);
	int accepted = accept(server, NULL, NULL);
	CHECK_INT(addr_of_socket(first, &local), 0);
	start(&self);
	read_at(&self, 1);
	CHECK_INT(of(first)->tcp.state, SOCKDIAG_ESTABLISHED);
	sock_abort(accepted);
	int second = connect_from(addr_port(&local), &bound);
	/* As if the new one were another process's: it is not among our files, and only `first` is asked for. */
	files_clear(&files, 1);
	files_read(&files, &self, false);
	for (size_t i = 0; i < files.n; i++)
		files.row[i].inode = (int)files.row[i].fd == second ? 0 : files.row[i].inode;
	sockets_read(&s, &files, &self, UINT64_C(2) * NS_PER_S);
	CHECK_INT(of(first)->tcp.state, SOCKDIAG_CLOSED);
	read_at(&self, 3);
	CHECK_INT(of(first)->tcp.state, SOCKDIAG_CLOSED);
	CHECK_INT(of(second)->tcp.state, SOCKDIAG_ESTABLISHED);
	sockets_close(&s);
	close(first);
	close(second);
	close(server);
}

/* A listener becomes a client. */
static void test_listens_no_more(void)
{
	struct pair p = open_pair("127.0.0.1"), q = open_pair("127.0.0.1");
	start(&self);
	read_at(&self, 1);
	CHECK_INT(shutdown(p.server, SHUT_RDWR) + connect(p.server, &q.bound.u.sa, q.bound.len), 0);
	read_at(&self, 2);
	CHECK_INT(of(p.server)->tcp.state, SOCKDIAG_ESTABLISHED);
	sockets_close(&s);
	close_pair(&p);
	close_pair(&q);
}

/* --- rates -------------------------------------------------------------------------------------------------------- */

static void check_rates(int fd, double out, double in)
{
	CHECK_INT(of(fd)->out_Bps, out);
	CHECK_INT(of(fd)->in_Bps, in);
	CHECK_INT(of(fd)->retransmits_per_s, 0);
}

static void check_sums(double out, double in)
{
	CHECK_INT(s.out_Bps, out);
	CHECK_INT(s.in_Bps, in);
	CHECK_INT(s.retransmits_per_s, 0);
}

static void test_rates(void)
{
	struct pair p = open_pair("127.0.0.1");
	send_bytes(p.client, 5000);
	wait_until_acked(p.client);
	start(&self);
	CHECK(isnan(s.in_Bps));
	read_at(&self, 1);
	CHECK(isnan(of(p.client)->out_Bps) && isnan(of(p.client)->in_Bps) && isnan(of(p.client)->retransmits_per_s));
	CHECK(isnan(s.out_Bps) && isnan(s.in_Bps) && isnan(s.retransmits_per_s));

	send_bytes(p.client, 8000);
	send_bytes(p.accepted, 600);
	wait_until_acked(p.client);
	wait_until_acked(p.accepted);
	read_at(&self, 3); /* two seconds later */
	check_rates(p.client, 4000, 300);
	check_rates(p.accepted, 300, 4000);
	check_sums(4300, 4300);

	/* One that is new counts from 0; nothing was sent over it, and the SYN is no byte. */
	struct pair q = open_pair("127.0.0.1"), idle = open_pair("127.0.0.1");
	send_bytes(q.client, 700);
	wait_until_acked(q.client);
	read_at(&self, 4);
	check_rates(p.client, 0, 0);
	check_rates(q.client, 700, 0);
	check_rates(idle.client, 0, 0);
	check_sums(700, 700);
	CHECK_INT(of(q.server)->trace_Bps[SOCKETS_TRACE - 1], 0);

	/* Those that have ended take nothing away. */
	close_pair(&p);
	close_pair(&q);
	send_bytes(idle.client, 50);
	wait_until_acked(idle.client);
	read_at(&self, 5);
	check_sums(50, 50);
	CHECK_INT(s.n_tcp, 3);
	close_pair(&idle);
	read_at(&self, 6);
	check_sums(0, 0);
	CHECK_INT(s.n_tcp, 0);
	sockets_close(&s);
}

/* A reading without counters in between: no connection is new because of it. */
static void test_gap(void)
{
	struct pair p = open_pair("127.0.0.1");
	send_bytes(p.client, 5000);
	wait_until_acked(p.client);
	int fd = dup(p.client), null = open("/dev/null", O_RDONLY);
	close(fd);
	close(null);
	start(&self); /* so this is sock_diag's */
	read_at(&self, 1);
	CHECK_INT(open("/dev/null", O_RDONLY), null);
	CHECK_INT(dup2(null, fd), fd);
	read_at(&self, 2);
	CHECK_STR(s.source, "/proc/PID/net/tcp");
	CHECK(isnan(s.out_Bps));
	read_at(&self, 3);
	CHECK_STR(s.source, "sock_diag");
	CHECK(isnan(s.out_Bps) && isnan(of(p.client)->out_Bps));
	read_at(&self, 4);
	check_rates(p.client, 0, 0);
	sockets_close(&s);
	close(null);
	close_pair(&p);
}

/* As sock_diag tells it, the same socket connected twice: the counters have begun again. */
static void test_connected_again(void)
{
	struct net_error e;
	struct addr bound;
	int server = sock_serve("127.0.0.1", 0, AF_INET, &plain, &bound, &e), client = tcp_socket(), accepted;
	start(&self);
	read_at(&self, 1);
	CHECK_INT(of(client)->tcp.state, SOCKDIAG_CLOSED);
	for (uint64_t second = 2; second <= 3; second++) {
		CHECK_INT(connect(client, &bound.u.sa, bound.len), 0);
		accepted = accept(server, NULL, NULL);
		send_bytes(client, second * 100);
		wait_until_acked(client);
		read_at(&self, second);
		check_rates(client, (double)second * 100, 0);
		CHECK_INT(connect(client, &(struct sockaddr){ .sa_family = AF_UNSPEC }, sizeof(struct sockaddr)), 0);
		close(accepted);
	}
	sockets_close(&s);
	close(client);
	close(server);
}

static void test_trace(void)
{
	struct pair p = open_pair("127.0.0.1");
	const double *trace;
	start(&self);
	for (uint64_t second = 1; second <= SOCKETS_TRACE + 2; second++) {
		send_bytes(p.client, second);
		wait_until_acked(p.client);
		read_at(&self, second);
	}
	trace = of(p.client)->trace_Bps;
	for (size_t i = 0; i < SOCKETS_TRACE; i++)
		CHECK_INT(trace[i], i + 3);
	int later = tcp_socket(); /* has no past */
	read_at(&self, SOCKETS_TRACE + 3);
	CHECK(isnan(of(later)->trace_Bps[0]) && isnan(of(later)->trace_Bps[SOCKETS_TRACE - 1]));
	CHECK_INT(of(p.client)->trace_Bps[SOCKETS_TRACE - 2], SOCKETS_TRACE + 2);
	sockets_close(&s);
	close(later);
	close_pair(&p);
}

/* What moved most comes first after the listeners, then what has moved ever. */
static void test_order(void)
{
	struct pair p = open_pair("127.0.0.1"), q = open_pair("127.0.0.1");
	int other = socket(AF_NETLINK, SOCK_RAW, 0), local = socket(AF_UNIX, SOCK_STREAM, 0),
	    udp = socket(AF_INET, SOCK_DGRAM, 0);
	send_bytes(p.client, 10000);
	wait_until_acked(p.client);
	start(&self);
	read_at(&self, 1);
	CHECK(s.row[2].inode == inode_of(p.client) || s.row[2].inode == inode_of(p.accepted));
	send_bytes(q.client, 10);
	wait_until_acked(q.client);
	read_at(&self, 2);
	CHECK(s.row[0].tcp.state == SOCKDIAG_LISTEN && s.row[1].tcp.state == SOCKDIAG_LISTEN);
	CHECK(s.row[2].inode == inode_of(q.client) || s.row[2].inode == inode_of(q.accepted));
	CHECK(s.row[6].inode == inode_of(udp));
	CHECK(s.row[7].inode == inode_of(local));
	for (size_t i = 8; i < s.n; i++)
		CHECK_INT(s.row[i].kind, SOCKET_OTHER);
	sockets_close(&s);
	close(other);
	close(local);
	close(udp);
	close_pair(&p);
	close_pair(&q);
}

/* --- other protocols ---------------------------------------------------------------------------------------------- */

static void check_udp(int fd, int connected, uint64_t drops)
{
	struct addr local, peer;
	CHECK_INT(addr_of_socket(fd, &local), 0);
	CHECK_INT(of(fd)->kind, SOCKET_UDP);
	CHECK(addr_equal(&of(fd)->tcp.local, &local));
	CHECK_INT(of(fd)->tcp.state, connected ? SOCKDIAG_ESTABLISHED : SOCKDIAG_CLOSED);
	if (connected && CHECK_INT(addr_of_peer(fd, &peer), 0))
		CHECK(addr_equal(&of(fd)->tcp.peer, &peer));
	CHECK_INT(of(fd)->drops, drops);
	CHECK_INT(of(fd)->tcp.uid, getuid());
	CHECK(isnan(of(fd)->out_Bps));
}

static void test_udp(const char *host)
{
	enum { SENT = 50 };
	static const char bytes[1000];
	struct addr a = literal(host, 0);
	int to = socket(a.u.sa.sa_family, SOCK_DGRAM, 0), from = socket(a.u.sa.sa_family, SOCK_DGRAM, 0);
	int unbound = socket(a.u.sa.sa_family, SOCK_DGRAM, 0);
	CHECK_INT(setsockopt(to, SOL_SOCKET, SO_RCVBUF, &(int){ 4096 }, sizeof(int)), 0);
	CHECK_INT(bind(to, &a.u.sa, a.len) + addr_of_socket(to, &a) + connect(from, &a.u.sa, a.len), 0);
	for (int i = 0; i < SENT; i++)
		CHECK_INT(send(from, bytes, sizeof(bytes), 0), sizeof(bytes));
	start(&self);
	read_at(&self, 1);
	unsigned arrived = 0;
	uint64_t waiting = of(to)->tcp.recv_queue;
	check_udp(from, 1, 0);
	while (recv(to, &(char){ 0 }, 1, MSG_DONTWAIT) >= 0)
		arrived++;
	check_udp(to, 0, SENT - arrived);
	CHECK(arrived < SENT && waiting >= arrived * sizeof(bytes)); /* the kernel counts its own overhead as well */
	CHECK_INT(of(unbound)->kind, SOCKET_UDP);
	CHECK_INT(of(unbound)->tcp.local.len, 0);
	CHECK(s.source == NULL);
	CHECK_INT(s.n_tcp, 0);
	CHECK_INT(s.recv_queue, 0);
	sockets_close(&s);
	close(to);
	close(from);
	close(unbound);
}

static int unix_socket(int type, const char *path, bool listens)
{
	struct addr a;
	struct net_error e;
	int fd = socket(AF_UNIX, type, 0);
	if (path != NULL)
		CHECK_INT(addr_unix(path, &a, &e) + bind(fd, &a.u.sa, a.len), 0);
	if (listens)
		CHECK_INT(listen(fd, 1), 0);
	return fd;
}

static void test_unix(void)
{
	char folder[] = "/tmp/procmon_sockets_XXXXXX", path[64], want[96];
	struct addr a;
	struct net_error e;
	int pair[2];
	CHECK(mkdtemp(folder) != NULL);
	snprintf(path, sizeof(path), "%s/a socket", folder);
	int server = unix_socket(SOCK_STREAM, path, true), client = unix_socket(SOCK_STREAM, NULL, false);
	int datagram = unix_socket(SOCK_DGRAM, "@procmon test", false);
	CHECK_INT(addr_unix(path, &a, &e) + connect(client, &a.u.sa, a.len), 0);
	CHECK_INT(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	start(&self);
	read_at(&self, 1);
	snprintf(want, sizeof(want), "listening %s", path);
	CHECK_STR(of(server)->path, want);
	CHECK_STR(of(client)->path, "connected");
	CHECK_STR(of(datagram)->path, "unconnected datagram @procmon test");
	CHECK_STR(of(pair[0])->path, "connected seqpacket");
	CHECK_INT(of(server)->kind, SOCKET_UNIX);
	CHECK(isnan(of(server)->trace_Bps[SOCKETS_TRACE - 1]));
	sockets_close(&s);
	close(server);
	close(client);
	close(datagram);
	close(pair[0]);
	close(pair[1]);
	unlink(path);
	rmdir(folder);
}

static void test_others(void)
{
	int netlink = socket(AF_NETLINK, SOCK_RAW, 0), tcp = tcp_socket();
	char text[ADDR_TEXT];
	start(&self);
	read_at(&self, 1);
	CHECK_INT(of(netlink)->kind, SOCKET_OTHER);
	CHECK_STR(of(netlink)->path, "netlink");
	CHECK_INT(of(tcp)->kind, SOCKET_TCP);
	CHECK_INT(of(tcp)->tcp.state, SOCKDIAG_CLOSED);
	CHECK_STR(addr_text(&of(tcp)->tcp.local, text), "(no address)");
	CHECK_INT(s.n_tcp, 0);
	CHECK_STR(socket_kind_name(SOCKET_TCP), "TCP");
	CHECK_STR(socket_kind_name(SOCKET_OTHER), "other");
	sockets_close(&s);
	close(netlink);
	close(tcp);
}

/* --- descriptors -------------------------------------------------------------------------------------------------- */

/* A child that waits until it is killed. */
static pid_t start_child(void (*body)(int ready), int *ready)
{
	int ends[2];
	char byte;
	CHECK_INT(pipe(ends), 0);
	pid_t pid = fork();
	if (pid == 0) {
		alarm(CHILD_PATIENCE_S);
		close(ends[0]);
		body(ends[1]);
		for (;;)
			pause();
	}
	close(ends[1]);
	CHECK_INT(read(ends[0], &byte, 1), 1);
	*ready = ends[0];
	return pid;
}

static void end_child(pid_t pid, int ready)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	close(ready);
}

static void only_tell(int ready)
{
	CHECK_INT(write(ready, "", 1), 1);
}

static void test_shared(void)
{
	struct pair p = open_pair("127.0.0.1");
	struct procfs child;
	struct net_error e;
	int again = dup(p.client), ready;
	pid_t pid = start_child(only_tell, &ready);
	CHECK_INT(procfs_open(&child, pid, &e), 0);
	start(&self);
	files_clear(&files, 1);
	files_read(&files, &self, false);
	files_read(&files, &child, false);
	sockets_read(&s, &files, &self, NS_PER_S);
	CHECK_INT(of(p.client)->fds, 4); /* twice in each */
	CHECK_INT(of(p.client)->fd, p.client);
	CHECK_INT(of(p.client)->pid, getpid());
	CHECK_INT(of(p.server)->fds, 2);
	CHECK_INT(s.n_tcp, 3);
	sockets_close(&s);
	procfs_close(&child);
	end_child(pid, ready);
	close(again);
	close_pair(&p);
}

/* Inodes that nobody has: so many of them are shown, after those of which something is known. */
static void test_many(void)
{
	enum { MANY = SOCKETS_MAX + 100 };
	struct pair p = open_pair("127.0.0.1");
	struct files many = { .row = calloc(MANY + 1, sizeof(*many.row)), .n = MANY + 1 };
	for (size_t i = 0; i < MANY; i++)
		many.row[i] = (struct file_row){ .pid = 0, .fd = (uint32_t)i, .kind = FILE_SOCKET, .inode = i + 1 };
	many.row[MANY] = (struct file_row){ .pid = getpid(), .fd = (uint32_t)p.server, .kind = FILE_SOCKET };
	many.row[MANY].inode = inode_of(p.server);
	start(&self);
	sockets_read(&s, &many, &self, NS_PER_S);
	CHECK_INT(s.n, SOCKETS_MAX);
	CHECK_INT(s.n + s.n_more, MANY + 1);
	CHECK_INT(s.row[0].inode, inode_of(p.server)); /* and not one of those that nothing is known of */
	CHECK_INT(s.n_tcp, 1);
	CHECK(s.is_known);
	many.n_more = 1;
	sockets_read(&s, &many, &self, NS_PER_S);
	CHECK(!s.is_known && s.why != NULL);
	many.n_more = 0;

	many.n = 0;
	for (size_t i = 0; i < 3; i++) { /* not sockets, or of unknown inode */
		many.row[i].kind = i == 0 ? FILE_PIPE : FILE_SOCKET;
		many.row[i].inode = i == 1 ? 0 : inode_of(p.server);
		many.n++;
	}
	sockets_read(&s, &many, &self, UINT64_C(2) * NS_PER_S);
	CHECK_INT(s.n, 1);
	CHECK_INT(s.row[0].tcp.state, SOCKDIAG_LISTEN);
	CHECK_INT(s.n_more, 0);
	sockets_close(&s);
	free(many.row);
	close_pair(&p);
}

/* Which are the process's sockets is not known: that is not the same as having none. */
static void test_unknown(void)
{
	struct files none = { .why = "another user's" };
	start(&self);
	sockets_read(&s, &none, &self, NS_PER_S);
	CHECK(!s.is_known);
	CHECK_STR(s.why, "another user's");
	none.why = NULL;
	sockets_read(&s, &none, &self, UINT64_C(2) * NS_PER_S);
	CHECK(s.is_known && s.why == NULL && s.n == 0);
	CHECK_INT(s.in_Bps, 0); /* no connections, no bytes */
	sockets_close(&s);
}

/* It ended while it was read: what was known stands again, and the next reading is compared with that. */
static void test_undo(void)
{
	struct pair p = open_pair("127.0.0.1");
	const struct files none = { 0 };
	start(&self);
	read_at(&self, 1);
	read_at(&self, 2);
	sockets_read(&s, &none, &self, UINT64_C(3) * NS_PER_S);
	CHECK_INT(s.n_tcp, 0);
	sockets_undo(&s);
	CHECK_INT(s.n_tcp, 3);
	CHECK_INT(s.at_ns, UINT64_C(2) * NS_PER_S);
	CHECK_STR(s.source, "sock_diag");
	check_ends(p.client);
	send_bytes(p.client, 6000);
	wait_until_acked(p.client);
	read_at(&self, 4);
	check_rates(p.client, 3000, 0);
	sockets_close(&s);
	close_pair(&p);
}

/* --- other networks ----------------------------------------------------------------------------------------------- */

/* A network of its own, a connection in it with 1000 bytes that nobody reads; then it tells. */
static void live_elsewhere(int ready)
{
	struct netns_failure why;
	if (netns_enter(NETNS_BIT(NETNS_NET) | NETNS_BIT(NETNS_LOOPBACK), &why) == 0) {
		struct pair p = open_pair("127.0.0.1");
		send_bytes(p.client, 1000);
		wait_until_acked(p.client);
	}
	only_tell(ready);
}

static struct procfs elsewhere;

static void drop_rights(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { 0 };
	CHECK_INT(syscall(SYS_capget, &head, data), 0);
	data[CAP_SYS_ADMIN / 32].effective &= ~(1u << CAP_SYS_ADMIN % 32);
	CHECK_INT(syscall(SYS_capset, &head, data), 0);
}

static const struct socket_row *row_in_state(enum sockdiag_state state, uint64_t recv_queue)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.row[i].tcp.state == state && s.row[i].tcp.recv_queue == recv_queue)
			return &s.row[i];
	}
	return row_of(0);
}

static void check_elsewhere(bool has_info)
{
	const struct socket_row *client = row_in_state(SOCKDIAG_ESTABLISHED, 0),
				*accepted = row_in_state(SOCKDIAG_ESTABLISHED, 1000);
	CHECK_INT(s.n_tcp, 3);
	CHECK_INT(s.recv_queue, 1000);
	CHECK(addr_port(&client->tcp.local) != 0);
	CHECK(addr_equal(&client->tcp.local, &accepted->tcp.peer) &&
	      addr_equal(&client->tcp.peer, &accepted->tcp.local));
	CHECK_INT(row_in_state(SOCKDIAG_LISTEN, 0)->kind, SOCKET_TCP);
	CHECK_INT(client->tcp.has_info, has_info);
	CHECK_INT(isnan(client->out_Bps) != 0, !has_info);
	CHECK_INT(isnan(s.out_Bps) != 0, !has_info);
	CHECK_INT(client->tcp.info.bytes_acked, has_info ? 1000 : 0);
	CHECK_INT(isnan(client->trace_Bps[SOCKETS_TRACE - 1]) != 0, !has_info);
}

static void with_rights(void)
{
	uint64_t ours = inode_of(open("/proc/self/ns/net", O_RDONLY));
	start(&elsewhere);
	for (uint64_t second = 1; second <= 3; second++)
		read_at(&elsewhere, second);
	CHECK_STR(s.source, "sock_diag");
	CHECK(s.why == NULL);
	check_elsewhere(true);
	CHECK_INT(inode_of(open("/proc/self/ns/net", O_RDONLY)), ours);
	sockets_close(&s);
}

static void without_rights(void)
{
	drop_rights();
	start(&elsewhere);
	for (uint64_t second = 1; second <= 3; second++)
		read_at(&elsewhere, second);
	CHECK_STR(s.source, "/proc/PID/net/tcp");
	CHECK(s.why != NULL && strstr(s.why, "CAP_SYS_ADMIN") != NULL);
	check_elsewhere(false);
	sockets_close(&s);
}

/* It moves while it is watched: at SIGUSR1 into a second network, with a socket of its own there. */
static void move_when_told(int ready)
{
	struct netns_failure why;
	struct net_error e;
	struct addr bound;
	sigset_t set;
	int got;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	only_tell(ready);
	sigwait(&set, &got);
	if (netns_enter(NETNS_BIT(NETNS_NET) | NETNS_BIT(NETNS_LOOPBACK), &why) == 0)
		CHECK(sock_serve("127.0.0.1", 0, AF_INET, &plain, &bound, &e) >= 0);
}

static void test_move(void)
{
	struct net_error e;
	int ready;
	pid_t pid = start_child(move_when_told, &ready);
	CHECK_INT(procfs_open(&elsewhere, pid, &e), 0);
	start(&elsewhere);
	read_at(&elsewhere, 1);
	CHECK_INT(s.n_tcp, 0);
	kill(pid, SIGUSR1);
	for (uint64_t i = 0; s.n_tcp == 0 && i < 100000; i++)
		read_at(&elsewhere, 2);
	CHECK_INT(s.n_tcp, 1);
	CHECK_STR(s.source, "sock_diag");
	CHECK_INT(row_in_state(SOCKDIAG_LISTEN, 0)->tcp.cookie != 0, 1);
	sockets_close(&s);
	procfs_close(&elsewhere);
	end_child(pid, ready);
}

static void test_elsewhere(void)
{
	struct net_error e;
	int ready;
	pid_t pid = start_child(live_elsewhere, &ready);
	CHECK_INT(procfs_open(&elsewhere, pid, &e), 0);
	CHECK_INT(in_child(with_rights), 0);
	CHECK_INT(in_child(without_rights), 0);
	procfs_close(&elsewhere);
	end_child(pid, ready);
	test_move();
}

static void look_at_ourselves(void)
{
	struct net_error e;
	procfs_close(&self);
	CHECK_INT(procfs_open(&self, getpid(), &e), 0);
}

/* --- where it cannot be had --------------------------------------------------------------------------------------- */

static void check_tables(const struct pair *p, const struct pair *six, const struct pair *mapped)
{
	CHECK_STR(s.source, "/proc/PID/net/tcp");
	CHECK(s.why != NULL);
	CHECK_INT(s.n_tcp, 9);
	CHECK_INT(of(six->client)->tcp.state, SOCKDIAG_ESTABLISHED);
	CHECK_INT(of(six->server)->tcp.state, SOCKDIAG_LISTEN);
	CHECK(addr_equal(&of(six->client)->tcp.local, &of(six->accepted)->tcp.peer));
	CHECK(addr_equal(&of(mapped->client)->tcp.local, &of(mapped->accepted)->tcp.peer));
	CHECK_INT(of(p->accepted)->tcp.state, SOCKDIAG_CLOSE_WAIT);
	CHECK_INT(of(p->accepted)->tcp.recv_queue, 0);
	CHECK(isnan(s.in_Bps) && isnan(of(p->client)->in_Bps));
}

static void with_tables_only(void)
{
	struct pair p = open_pair("127.0.0.1"), six = open_pair("::1"), mapped = open_pair(NULL);
	look_at_ourselves();
	shutdown(p.client, SHUT_WR);
	wait_until_acked(p.client);
	start(&self);
	if (!child_forbid(SYS_sendto, ENOBUFS))
		return;
	for (uint64_t second = 1; second <= 3; second++) { /* the netlink socket that failed is not left behind */
		int before = count_fds();
		read_at(&self, second);
		check_tables(&p, &six, &mapped);
		CHECK(count_fds() <= before);
	}
	sockets_close(&s);
}

static void without_sock_diag(void)
{
	struct pair p = open_pair("127.0.0.1");
	look_at_ourselves();
	if (!child_forbid(SYS_socket, EPROTONOSUPPORT))
		return;
	start(&self);
	read_at(&self, 1);
	CHECK_STR(s.source, "/proc/PID/net/tcp");
	CHECK(s.why != NULL && strstr(s.why, "no sock_diag") != NULL);
	CHECK_INT(of(p.client)->tcp.state, SOCKDIAG_ESTABLISHED);
	CHECK_INT(s.n_tcp, 3);
	sockets_close(&s);
}

/* The kernel does not name the protocol: the tables tell it. */
static void without_protocols(void)
{
	look_at_ourselves();
	struct pair p = open_pair("127.0.0.1");
	int udp = socket(AF_INET, SOCK_DGRAM, 0), local = socket(AF_UNIX, SOCK_STREAM, 0),
	    netlink = socket(AF_NETLINK, SOCK_RAW, 0);
	struct addr a = literal("127.0.0.1", 0);
	CHECK_INT(bind(udp, &a.u.sa, a.len), 0);
	if (!child_forbid(SYS_getxattr, ENOTSUP))
		return;
	start(&self);
	for (uint64_t second = 1; second <= 2; second++)
		read_at(&self, second);
	check_ends(p.client);
	check_sums(0, 0);
	CHECK_INT(of(p.server)->kind, SOCKET_TCP);
	CHECK_INT(of(udp)->kind, SOCKET_UDP);
	CHECK_INT(of(local)->kind, SOCKET_UNIX);
	CHECK_INT(of(netlink)->kind, SOCKET_OTHER);
	CHECK_STR(of(netlink)->path, "");
	sockets_close(&s);
}

static void without_descriptors(void)
{
	struct net_error e;
	struct rlimit none = { 0, 0 };
	CHECK_INT(setrlimit(RLIMIT_NOFILE, &none), 0);
	CHECK_INT(sockets_open(&s, &self, &e), -1);
	CHECK_INT(e.sys, EMFILE);
	sockets_close(&s);
}

static bool leave_others(void)
{
	struct netns_failure why;
	unsigned steps = NETNS_BIT(NETNS_NET) | NETNS_BIT(NETNS_LOOPBACK);
	if (geteuid() != 0)
		steps |= NETNS_BIT(NETNS_USER) | NETNS_BIT(NETNS_IDS);
	bool result = netns_enter(steps, &why) == 0;
	if (!result)
		fprintf(stderr, "  not in a network of our own: %s\n", netns_step_name(why.step));
	return result;
}

int main(void)
{
	bool is_alone = leave_others();
	struct net_error e;
	CHECK_INT(procfs_open(&self, getpid(), &e), 0);
	int before = count_fds();
	test_pair("127.0.0.1");
	test_pair("::1");
	test_mapped();
	test_queues();
	test_backlog();
	test_closing();
	test_same_addresses();
	test_listens_no_more();
	test_rates();
	test_gap();
	test_connected_again();
	test_trace();
	test_order();
	test_udp("127.0.0.1");
	test_udp("::1");
	test_unix();
	test_others();
	test_shared();
	test_many();
	test_unknown();
	test_undo();
	if (is_alone)
		test_elsewhere();
	CHECK_INT(in_child(with_tables_only), 0);
	CHECK_INT(in_child(without_sock_diag), 0);
	CHECK_INT(in_child(without_protocols), 0);
	CHECK_INT(in_child(without_descriptors), 0);
	CHECK_INT(count_fds(), before);
	files_free(&files);
	procfs_close(&self);
	return check_done();
}
