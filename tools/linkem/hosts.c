/* hosts.c - linkem, second chapter: network namespaces and what is in them.
 *
 * Wherever the process is when it opens a socket, a TUN device or /proc/sys, there these things belong; afterwards they
 * can be used from anywhere. So it goes from namespace to namespace (setns(2)), makes what is needed there, and comes
 * out with the descriptors: nothing has to be handed over, and no other program runs. */
#include "hosts.h"

#include "netns.h"
#include "rtnl.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

/* Where a device is and which addresses it has. */
struct place {
	enum linkem_host host;
	const char *device, *ipv4, *ipv6;
};
enum { ON_A, ON_B, R_TO_A, R_TO_B };
static const struct place places[] = {
	[ON_A] = { HOST_A, "link0", "10.9.1.1", "fd09:1::1" },
	[ON_B] = { HOST_B, "link0", "10.9.2.1", "fd09:2::1" },
	[R_TO_A] = { HOST_R, "to-a", "10.9.1.254", "fd09:1::fe" },
	[R_TO_B] = { HOST_R, "to-b", "10.9.2.254", "fd09:2::fe" },
};

const char *hosts_address(enum linkem_host host, int family)
{
	const struct place *p = &places[host == HOST_A ? ON_A : host == HOST_B ? ON_B : R_TO_A];
	return family == AF_INET ? p->ipv4 : p->ipv6;
}

/* --- files -------------------------------------------------------------------------------------------------------- */

static int write_file(const char *path, int flags, const char *text, struct net_error *e)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC | flags, 0644);
	if (fd < 0)
		return net_fail(e, "open", path);
	ssize_t n = write(fd, text, strlen(text));
	int saved = errno;
	close(fd);
	errno = saved;
	return n < 0 ? net_fail(e, "write", path) : 0;
}

/* A file of our own in the place of one of the machine's. */
static int replace(const char *file, const char *with, const char *text, struct net_error *e)
{
	if (write_file(with, O_CREAT, text, e) < 0)
		return -1;
	return mount(with, file, NULL, MS_BIND, NULL) < 0 ? net_fail(e, "bind", file) : 0;
}

/* The names of the hosts; and no name server, which nobody there could reach: a question to it would only be one more
 * packet on the link, and a wait. A file system of our own holds the two files just as long as it takes to bind them
 * over the machine's: the bindings keep it alive, and nobody outside ever sees it. */
static int name_hosts(bool has_router, struct net_error *e)
{
	static const char shelter[] = "/tmp";
	char text[512];
	snprintf(text, sizeof(text), "127.0.0.1 localhost\n::1 localhost ip6-localhost\n%s a\n%s a\n%s b\n%s b\n",
		 places[ON_A].ipv4, places[ON_A].ipv6, places[ON_B].ipv4, places[ON_B].ipv6);
	size_t len = strlen(text);
	if (has_router)
		snprintf(text + len, sizeof(text) - len, "%s r\n%s r\n", places[R_TO_A].ipv4, places[R_TO_A].ipv6);
	if (mount("tmpfs", shelter, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=64k") < 0)
		return net_fail(e, "mount a file system on", shelter);
	int result = replace("/etc/hosts", "/tmp/hosts", text, e);
	if (result == 0 && access("/etc/resolv.conf", F_OK) == 0)
		result = replace("/etc/resolv.conf", "/tmp/resolv.conf", "", e);
	if (umount2(shelter, MNT_DETACH) < 0 && result == 0)
		result = net_fail(e, "unmount", shelter);
	return result;
}

static int keep_namespaces(struct hosts *h, struct net_error *e)
{
	h->mounts = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
	h->pids = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
	if (h->mounts < 0 || h->pids < 0)
		return net_fail(e, "open", "/proc/self/ns");
	return 0;
}

/* --- a host ------------------------------------------------------------------------------------------------------- */

static int go_to(const struct hosts *h, enum linkem_host host, struct net_error *e)
{
	return setns(h->netns[host], CLONE_NEWNET) < 0 ? net_fail(e, "enter", "a network namespace") : 0;
}

/* WHY no_metrics_save: the kernel remembers of a connection how far its window could grow, and starts the next one to
 * the same host with that. Of two runs of an experiment the second would measure the first. */
static int make_host(struct hosts *h, enum linkem_host host, const struct linkem_options *o, struct net_error *e)
{
	struct netns_failure why;
	if (netns_enter(NETNS_BIT(NETNS_NET) | NETNS_BIT(NETNS_LOOPBACK), &why) < 0)
		return net_fail(e, "make", netns_step_name(why.step));
	h->netns[host] = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	if (h->netns[host] < 0)
		return net_fail(e, "open", "/proc/thread-self/ns/net");
	if (write_file("/proc/sys/net/ipv4/tcp_no_metrics_save", 0, "1", e) < 0)
		return -1;
	h->listeners[host] = control_bind(o->name, e);
	return h->listeners[host] < 0 ? -1 : 0;
}

/* --- devices ------------------------------------------------------------------------------------------------------ */

/* The addresses of a device, and on a and b the way to everybody else: through r, or whoever is at the other end. */
static int address(const struct hosts *h, struct rtnl *r, unsigned at, int family, struct net_error *e)
{
	const struct place *p = &places[at];
	unsigned prefix_len = family == AF_INET ? 24 : 64;
	struct addr here, router, everything;
	const struct place *to = &places[at == ON_A ? R_TO_A : R_TO_B];
	if (addr_literal(family == AF_INET ? p->ipv4 : p->ipv6, 0, family, &here, e) < 0 ||
	    addr_literal(family == AF_INET ? to->ipv4 : to->ipv6, 0, family, &router, e) < 0 ||
	    addr_literal(family == AF_INET ? "0.0.0.0" : "::", 0, family, &everything, e) < 0 ||
	    rtnl_add_address(r, p->device, &here, prefix_len, e) < 0)
		return -1;
	if (p->host == HOST_R)
		return 0;
	return rtnl_add_route(r, p->device, &everything, 0, h->netns[HOST_R] >= 0 ? &router : NULL, e);
}

/* Sets up the device of places[at], which exists. The caller is in its namespace. */
static int set_up(const struct hosts *h, unsigned at, const struct rtnl_device *d, struct net_error *e)
{
	struct rtnl r;
	if (rtnl_open(&r, e) < 0)
		return -1;
	int result = rtnl_set(&r, places[at].device, d, e);
	if (result == 0)
		result = address(h, &r, at, AF_INET, e);
	if (result == 0 && h->has_ipv6)
		result = address(h, &r, at, AF_INET6, e);
	rtnl_close(&r);
	return result;
}

/* A pair: `name` where the caller is, `peer` on `host`. */
static int make_veth(const struct hosts *h, const char *name, enum linkem_host host, const char *peer,
		     struct net_error *e)
{
	struct rtnl r;
	if (rtnl_open(&r, e) < 0)
		return -1;
	int result = rtnl_veth(&r, name, peer, h->netns[host], e);
	rtnl_close(&r);
	return result;
}

/* --- ports -------------------------------------------------------------------------------------------------------- */

static const struct rtnl_device quiet = {
	.tx_queue_len = PORT_QUEUE, .no_arp = true, .no_auto_address = true, .is_up = true
};

static int make_tun_port(struct hosts *h, struct port *p, unsigned at, uint64_t mtu, struct net_error *e)
{
	struct rtnl_device d = quiet;
	d.mtu = (unsigned)mtu;
	if (go_to(h, places[at].host, e) < 0 || port_open_tun(p, places[at].device, e) < 0)
		return -1;
	return set_up(h, at, &d, e);
}

/* The halves that are not on a host are in a namespace of their own, `middle`, together with the packet sockets. */
static int make_veth_port(struct hosts *h, struct port *p, unsigned at, uint64_t mtu, int middle, struct net_error *e)
{
	char half[16];
	struct rtnl r;
	struct rtnl_device d = quiet;
	d.mtu = (unsigned)mtu;
	snprintf(half, sizeof(half), "half%u", at);
	if (setns(middle, CLONE_NEWNET) < 0)
		return net_fail(e, "enter", "a network namespace");
	if (make_veth(h, half, places[at].host, places[at].device, e) < 0 || rtnl_open(&r, e) < 0)
		return -1;
	int result = rtnl_set(&r, half, &d, e);
	rtnl_close(&r);
	if (result < 0 || rtnl_plain_packets(half, e) < 0 || port_open_packet(p, places[at].device, half, e) < 0)
		return -1;
	if (go_to(h, places[at].host, e) < 0 || rtnl_plain_packets(places[at].device, e) < 0)
		return -1;
	return set_up(h, at, &d, e);
}

/* Which place each port is at. */
static unsigned port_place(const struct hosts *h, unsigned port)
{
	static const unsigned direct[] = { ON_A, ON_B }, routed[] = { ON_A, R_TO_A, R_TO_B, ON_B };
	return h->netns[HOST_R] < 0 ? direct[port] : routed[port];
}

static int make_ports(struct hosts *h, const struct linkem_options *o, struct net_error *e)
{
	int middle = -1, result = 0;
	if (!h->is_tun) {
		if (unshare(CLONE_NEWNET) < 0)
			return net_fail(e, "make", "a network namespace");
		middle = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
		if (middle < 0)
			return net_fail(e, "open", "/proc/thread-self/ns/net");
	}
	for (unsigned i = 0; i < h->n_ports && result == 0; i++) {
		unsigned at = port_place(h, i);
		result = h->is_tun ? make_tun_port(h, &h->ports[i], at, o->mtu, e)
				   : make_veth_port(h, &h->ports[i], at, o->mtu, middle, e);
	}
	if (middle >= 0)
		close(middle);
	return result;
}

/* WHY at the end, when both ends of each pair are up: until the kernel has looked at a link it drops what is sent. */
static int wait_for_links(const struct hosts *h, struct net_error *e)
{
	for (unsigned at = 0; at < COUNT_OF(places); at++) {
		struct rtnl r;
		if (places[at].host == HOST_R && h->netns[HOST_R] < 0)
			continue;
		if (go_to(h, places[at].host, e) < 0 || rtnl_open(&r, e) < 0)
			return -1;
		int result = rtnl_wait_link(&r, places[at].device, e);
		rtnl_close(&r);
		if (result < 0)
			return -1;
	}
	return 0;
}

/* r and b joined directly, by what the kernel has for that. */
static int join_router(struct hosts *h, const struct linkem_options *o, struct net_error *e)
{
	struct rtnl_device d = quiet;
	d.mtu = (unsigned)o->mtu;
	if (go_to(h, HOST_R, e) < 0 || make_veth(h, places[R_TO_B].device, HOST_B, places[ON_B].device, e) < 0 ||
	    set_up(h, R_TO_B, &d, e) < 0)
		return -1;
	if (go_to(h, HOST_B, e) < 0)
		return -1;
	return set_up(h, ON_B, &d, e);
}

/* Last of all: a device of a host that forwards joins groups, and would report that when it comes up. */
static int start_forwarding(const struct hosts *h, struct net_error *e)
{
	if (go_to(h, HOST_R, e) < 0 || write_file("/proc/sys/net/ipv4/ip_forward", 0, "1", e) < 0)
		return -1;
	return h->has_ipv6 ? write_file("/proc/sys/net/ipv6/conf/all/forwarding", 0, "1", e) : 0;
}

/* May we make TUN devices? To open the file is what is refused, if anything. */
static bool choose_tun(int wanted)
{
	if (wanted != DEVICE_AUTO)
		return wanted == DEVICE_TUN;
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

int hosts_make(struct hosts *h, const struct linkem_options *o, struct net_error *e)
{
	*h = (struct hosts){ .n_ports = o->has_second_link ? 4 : 2, .is_tun = choose_tun(o->device) };
	for (unsigned i = 0; i < LINKEM_HOSTS; i++)
		h->netns[i] = h->listeners[i] = -1;
	for (unsigned i = 0; i < LINKEM_LANES; i++)
		h->ports[i].fd = h->ports[i].counters_fd = -1;
	h->has_ipv6 = access("/proc/net/if_inet6", F_OK) == 0;
	/* A container may refuse a /proc of our own; then ps(1) on a host shows more than it should, and the rest
	 * works. */
	(void)mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
	if (name_hosts(o->has_router, e) < 0 || keep_namespaces(h, e) < 0)
		return -1;
	for (unsigned i = 0; i < LINKEM_HOSTS; i++) {
		if ((i != HOST_R || o->has_router) && make_host(h, i, o, e) < 0)
			return -1;
	}
	if (make_ports(h, o, e) < 0 || (o->has_router && !o->has_second_link && join_router(h, o, e) < 0))
		return -1;
	if (wait_for_links(h, e) < 0)
		return -1;
	return o->has_router ? start_forwarding(h, e) : 0;
}
