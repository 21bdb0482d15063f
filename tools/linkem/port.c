/* port.c - linkem: the two kinds of device, behind the same calls. */
#include "port.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { RECEIVE_LEN = 16 * 1024 * 1024 };

static void close_all(struct port *p)
{
	int saved = errno;
	if (p->fd >= 0)
		close(p->fd);
	if (p->counters_fd >= 0)
		close(p->counters_fd);
	p->fd = p->counters_fd = -1;
	errno = saved;
}

static int fail_open(struct port *p, struct net_error *e, const char *op, const char *object)
{
	net_fail(e, op, object);
	close_all(p);
	return -1;
}

/* --- TUN (Documentation/networking/tuntap.rst of the kernel) ------------------------------------------------------ */

int port_open_tun(struct port *p, const char *device, struct net_error *e)
{
	*p = (struct port){ .fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC), .counters_fd = -1 };
	if (p->fd < 0)
		return fail_open(p, e, "open", "/dev/net/tun");
	/* IFF_NO_PI: nothing in front of the IP header. The device belongs to the namespace that we are in now. */
	struct ifreq request = { .ifr_flags = IFF_TUN | IFF_NO_PI };
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", device);
	snprintf(p->device, sizeof(p->device), "%s", device);
	if (ioctl(p->fd, TUNSETIFF, &request) < 0)
		return fail_open(p, e, "make TUN device", device);
	p->counters_fd = open("/proc/thread-self/net/dev", O_RDONLY | O_CLOEXEC);
	if (p->counters_fd < 0)
		return fail_open(p, e, "open", "/proc/thread-self/net/dev");
	return 0;
}

/* "link0: 0 0 0 ...": bytes, packets, errors, dropped, and four more that were received; then the same of what was sent
 * (proc(5)). */
static uint64_t read_counter(const struct port *p)
{
	char text[4096], name[32];
	ssize_t n = pread(p->counters_fd, text, sizeof(text) - 1, 0);
	text[n > 0 ? n : 0] = '\0';
	int len = snprintf(name, sizeof(name), "%s:", p->device);
	const char *line = strstr(text, name);
	unsigned long long dropped = 0;
	if (line == NULL || sscanf(line + len, "%*u %*u %*u %*u %*u %*u %*u %*u %*u %*u %*u %llu", &dropped) != 1)
		return 0;
	return dropped;
}

/* --- packet socket (packet(7)) ------------------------------------------------------------------------------------ */

static int find_device(struct port *p, const char *name, struct net_error *e)
{
	struct ifreq request = { 0 };
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	if (ioctl(p->fd, SIOCGIFINDEX, &request) < 0)
		return net_fail(e, "find device", name);
	p->to = (struct sockaddr_ll){ .sll_family = AF_PACKET,
				      .sll_ifindex = request.ifr_ifindex,
				      .sll_halen = ETH_ALEN };
	/* WHY not to the broadcast address: TCP takes only what was sent to it alone. */
	if (ioctl(p->fd, SIOCGIFHWADDR, &request) < 0)
		return net_fail(e, "find the address of", name);
	memcpy(p->to.sll_addr, request.ifr_hwaddr.sa_data, ETH_ALEN);
	return 0;
}

static int prepare_packet(struct port *p, struct net_error *e)
{
	int on = 1, len = RECEIVE_LEN;
	if (setsockopt(p->fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on)) < 0)
		return net_fail(e, "set option", "PACKET_IGNORE_OUTGOING");
	/* An ordinary user gets what net.core.rmem_max allows. */
	if (setsockopt(p->fd, SOL_SOCKET, SO_RCVBUFFORCE, &len, sizeof(len)) < 0)
		(void)setsockopt(p->fd, SOL_SOCKET, SO_RCVBUF, &len, sizeof(len));
	struct sockaddr_ll here = p->to;
	here.sll_protocol = htons(ETH_P_ALL);
	if (bind(p->fd, (struct sockaddr *)&here, sizeof(here)) < 0)
		return net_fail(e, "bind", "a packet socket");
	return 0;
}

int port_open_packet(struct port *p, const char *device, const char *other_half, struct net_error *e)
{
	*p = (struct port){ .counters_fd = -1 };
	snprintf(p->device, sizeof(p->device), "%s", device);
	/* Protocol 0: deaf until it is bound to its device. SOCK_DGRAM: without the Ethernet header. */
	p->fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (p->fd < 0)
		return fail_open(p, e, "open", "a packet socket");
	if (find_device(p, other_half, e) < 0 || prepare_packet(p, e) < 0) {
		close_all(p);
		return -1;
	}
	return 0;
}

static uint64_t read_statistics(struct port *p)
{
	struct tpacket_stats stats = { 0 };
	socklen_t len = sizeof(stats);
	if (getsockopt(p->fd, SOL_PACKET, PACKET_STATISTICS, &stats, &len) == 0)
		p->dropped += stats.tp_drops; /* since it was last read */
	return p->dropped;
}

/* --- either ------------------------------------------------------------------------------------------------------- */

ssize_t port_read(struct port *p, unsigned char *bytes, size_t cap)
{
	return read(p->fd, bytes, cap);
}

bool port_write(struct port *p, const unsigned char *bytes, size_t len)
{
	if (p->counters_fd >= 0)
		return write(p->fd, bytes, len) == (ssize_t)len;
	bool is_ipv6 = len > 0 && bytes[0] >> 4 == 6;
	p->to.sll_protocol = htons(is_ipv6 ? ETH_P_IPV6 : ETH_P_IP);
	return sendto(p->fd, bytes, len, 0, (struct sockaddr *)&p->to, sizeof(p->to)) == (ssize_t)len;
}

uint64_t port_dropped(struct port *p)
{
	return p->counters_fd >= 0 ? read_counter(p) : read_statistics(p);
}
