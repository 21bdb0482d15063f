/* sniff.c - packets as they pass, from a packet socket (packet(7)), and the file they go to.
 *
 * One socket sees all devices. It is of type SOCK_DGRAM: the kernel takes away whatever header the device has, and all
 * packets begin with IP, on Ethernet, loopback and TUN alike. A filter in the kernel (the classic BPF, socket(7)
 * SO_ATTACH_FILTER) lets through TCP only, and of each packet no more than the headers: bulk data is not copied.
 *
 * WHY it drops what the loopback device sends: there each packet passes twice, once on its way out and once on its way
 * in. On other devices one of the two is at the other host, so both directions are needed. */
#include "tcpwatch.h"

#include "clock.h"
#include "mem.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/filter.h>
#include <linux/if_arp.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>

enum { QUEUE_LEN = 32 * 1024 * 1024 };

static int attach_filter(int fd, uint32_t snap_len)
{
	const uint32_t ancillary = (uint32_t)SKF_AD_OFF; /* negative: not in the packet, but what is known of it */
	struct sock_filter code[] = {
		/*  0 */ BPF_STMT(BPF_LD | BPF_W | BPF_ABS, ancillary + SKF_AD_HATYPE),
		/*  1 */ BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARPHRD_LOOPBACK, 0, 2),
		/*  2 */ BPF_STMT(BPF_LD | BPF_W | BPF_ABS, ancillary + SKF_AD_PKTTYPE),
		/*  3 */ BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PACKET_OUTGOING, 13, 0),
		/*  4 */ BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0), /* IP's version */
		/*  5 */ BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0xf0),
		/*  6 */ BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x40, 0, 2),
		/*  7 */ BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 9), /* IPv4: protocol */
		/*  8 */ BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PACKET_TCP, 7, 8),
		/*  9 */ BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x60, 0, 7),
		/* 10 */ BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 6), /* IPv6: next header */
		/* 11 */ BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PACKET_TCP, 4, 0),
		/* 12 */
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 3, 0), /* extension headers: packet_decode sees what follows */
		/* 13 */ BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 43, 2, 0), /* routing */
		/* 14 */ BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 44, 1, 0), /* fragment */
		/* 15 */ BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 60, 0, 1), /* destination options */
		/* 16 */ BPF_STMT(BPF_RET | BPF_K, snap_len),
		/* 17 */ BPF_STMT(BPF_RET | BPF_K, 0),
	};
	struct sock_fprog program = { COUNT_OF(code), code };
	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program));
}

/* Nothing may come in before the filter is in place: so the socket is made deaf (protocol 0), and bound last. */
static int prepare(int fd, const struct tcpwatch_options *o)
{
	int on = 1, queue_len = QUEUE_LEN;
	if (attach_filter(fd, (uint32_t)o->snap_len) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof(on)) < 0 ||
	    setsockopt(fd, SOL_PACKET, PACKET_AUXDATA, &on, sizeof(on)) < 0)
		return -1;
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &queue_len, sizeof(queue_len)) < 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &queue_len, sizeof(queue_len));
	struct sockaddr_ll all = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL) };
	return bind(fd, (struct sockaddr *)&all, sizeof(all));
}

static int fail_open(struct net_error *e)
{
	net_fail(e, "open", "a packet socket");
	if (e->sys == EPERM || e->sys == EACCES)
		e->reason = "packets are shown to root only: be root, or watch in a private network as the labs do "
			    "(by hand: unshare -Urn)";
	return -1;
}

static int open_file(struct tcpwatch_sniff *s, const struct tcpwatch_options *o, struct net_error *e)
{
	unsigned char header[PACKET_PCAP_HEADER];
	s->file = fopen(o->pcap, "we");
	if (s->file == NULL)
		return net_fail(e, "open", o->pcap);
	packet_pcap_header(header, PACKET_RAW, o->snap_len);
	fwrite(header, 1, sizeof(header), s->file);
	return 0;
}

int tcpwatch_sniff_open(struct tcpwatch_sniff *s, const struct tcpwatch_options *o, struct net_error *e)
{
	*s = (struct tcpwatch_sniff){ .fd = -1, .snap_len = o->snap_len };
	if (!o->packets && o->pcap == NULL)
		return 0;
	s->fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (s->fd < 0)
		return fail_open(e);
	s->buffer = xmalloc(s->snap_len);
	int result = 0;
	if (prepare(s->fd, o) < 0)
		result = net_fail(e, "prepare", "a packet socket");
	else if (o->pcap != NULL)
		result = open_file(s, o, e);
	if (result < 0) {
		free(s->buffer);
		close(s->fd);
		s->fd = -1;
	}
	return result;
}

static void take_control(struct tcpwatch_sniff *s, struct msghdr *m)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c != NULL; c = CMSG_NXTHDR(m, c)) {
		struct timespec stamp;
		struct tpacket_auxdata more;
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_TIMESTAMPNS) {
			memcpy(&stamp, CMSG_DATA(c), sizeof(stamp));
			s->real_ns = (int64_t)stamp.tv_sec * NS_PER_S + stamp.tv_nsec;
		} else if (c->cmsg_level == SOL_PACKET && c->cmsg_type == PACKET_AUXDATA) {
			memcpy(&more, CMSG_DATA(c), sizeof(more));
			s->len = more.tp_len; /* before the filter cut it */
		}
	}
}

/* False: none is waiting. */
static bool receive(struct tcpwatch_sniff *s)
{
	union {
		struct cmsghdr align;
		unsigned char bytes[256];
	} control;
	struct iovec piece = { .iov_base = s->buffer, .iov_len = s->snap_len };
	struct msghdr m = {
		.msg_iov = &piece, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)
	};
	ssize_t n = recvmsg(s->fd, &m, MSG_DONTWAIT);
	if (n < 0)
		return false;
	s->captured = s->len = (size_t)n;
	s->real_ns = clk_real_ns();
	take_control(s, &m);
	return true;
}

bool tcpwatch_sniff_next(struct tcpwatch_sniff *s, int64_t until_real_ns)
{
	if (s->fd < 0 || (!s->is_held && !receive(s)))
		return false;
	s->is_held = s->real_ns > until_real_ns;
	return !s->is_held;
}

void tcpwatch_sniff_keep(struct tcpwatch_sniff *s)
{
	unsigned char header[PACKET_PCAP_RECORD];
	s->packets++;
	if (s->file == NULL)
		return;
	packet_pcap_record(header, s->real_ns, s->captured, s->len);
	fwrite(header, 1, sizeof(header), s->file);
	fwrite(s->buffer, 1, s->captured, s->file);
}

void tcpwatch_sniff_count(struct tcpwatch_sniff *s)
{
	struct tpacket_stats stats = { 0 };
	socklen_t len = sizeof(stats);
	if (s->fd >= 0 && getsockopt(s->fd, SOL_PACKET, PACKET_STATISTICS, &stats, &len) == 0)
		s->dropped += stats.tp_drops; /* since it was last read */
}

int tcpwatch_sniff_close(struct tcpwatch_sniff *s, const struct tcpwatch_options *o, struct net_error *e)
{
	int result = 0;
	if (s->fd >= 0) {
		close(s->fd);
		free(s->buffer);
		s->fd = -1;
	}
	if (s->file != NULL) {
		bool is_bad = ferror(s->file);
		if (fclose(s->file) != 0 || is_bad)
			result = net_fail(e, "write", o->pcap);
		s->file = NULL;
	}
	return result;
}
