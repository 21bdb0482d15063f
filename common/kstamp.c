/* kstamp.c - see kstamp.h.
 *
 * SO_TIMESTAMPING is a word of flags, of two kinds: who makes stamps (RX_..., TX_...) and what of it is handed out
 * (SOFTWARE, RAW_HARDWARE, OPT_...). A control message of the same name asks for the first kind, for one datagram.
 *
 *	OPT_ID       a stamp of a sent datagram carries its number
 *	OPT_TSONLY   and not the datagram itself, which takes no memory, and no right (sysctl net.core.tstamp_allow_data)
 *	OPT_TX_SWHW  the driver's stamp is made also when the card makes one
 *
 * A stamp comes as three timespecs: by the system's clock, an obsolete one, and by the card's clock.
 *
 * LIMIT: made for a 64-bit system. On a 32-bit one it depends on the libc's time_t which of the two layouts of
 * SO_TIMESTAMPING comes; both are the libc's own timespec, but that was never tried. */
#include "kstamp.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdalign.h>
#include <string.h>

#include <linux/errqueue.h>
#include <linux/net_tstamp.h>

/* A message of the error queue: the stamp, the extended error with the offender's address, and what else the socket
 * was made to tell (pktinfo.h, for instance). */
enum { ERROR_LEN = 512 };

enum { SOFTWARE_STAMP = 0, HARDWARE_STAMP = 2 };

/* --- asking ------------------------------------------------------------------------------------------------------- */

static uint32_t flags_of_sent(unsigned what)
{
	return SOF_TIMESTAMPING_TX_SCHED | SOF_TIMESTAMPING_TX_SOFTWARE |
	       ((what & KSTAMP_HARDWARE) != 0 ? SOF_TIMESTAMPING_TX_HARDWARE : 0);
}

int kstamp_ask(int fd, unsigned what)
{
	uint32_t flags = SOF_TIMESTAMPING_SOFTWARE | SOF_TIMESTAMPING_OPT_ID | SOF_TIMESTAMPING_OPT_TSONLY;
	if ((what & KSTAMP_RECEIVED) != 0)
		flags |= SOF_TIMESTAMPING_RX_SOFTWARE;
	if ((what & KSTAMP_SENT) != 0)
		flags |= flags_of_sent(what);
	if ((what & KSTAMP_HARDWARE) != 0)
		flags |= SOF_TIMESTAMPING_RAW_HARDWARE | SOF_TIMESTAMPING_OPT_TX_SWHW;
	if ((what & KSTAMP_HARDWARE) != 0 && (what & KSTAMP_RECEIVED) != 0)
		flags |= SOF_TIMESTAMPING_RX_HARDWARE;
	struct kstamp_sent old;
	uint32_t none = 0; /* the count begins when OPT_ID goes on, not when it is on already */
	if (setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPING, &none, sizeof(none)) < 0)
		return -1;
	while (kstamp_take(fd, &old) == 1)
		;
	return setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPING, &flags, sizeof(flags));
}

void kstamp_ask_one(struct msghdr *m, unsigned what)
{
	uint32_t flags = flags_of_sent(what);
	struct cmsghdr c = { 0 };
	unsigned char *at = (unsigned char *)m->msg_control + m->msg_controllen;
	assert(m->msg_controllen == CMSG_ALIGN(m->msg_controllen));
	c.cmsg_level = SOL_SOCKET;
	c.cmsg_type = SO_TIMESTAMPING;
	c.cmsg_len = (socklen_t)CMSG_LEN(sizeof(flags)); /* POSIX says socklen_t, glibc size_t */
	memset(at, 0, KSTAMP_ASK_LEN);
	memcpy(at, &c, sizeof(c));
	memcpy(at + CMSG_LEN(0), &flags, sizeof(flags));
	m->msg_controllen += KSTAMP_ASK_LEN;
}

/* --- what came ---------------------------------------------------------------------------------------------------- */

/* Copies the n bytes of a control message. False: it is another one, or it was cut off (MSG_CTRUNC). */
static bool get(const struct cmsghdr *c, int level, int type, void *out, size_t n)
{
	if (c->cmsg_level != level || c->cmsg_type != type || c->cmsg_len < CMSG_LEN(n))
		return false;
	memcpy(out, CMSG_DATA(c), n);
	return true;
}

static bool get_stamps(const struct cmsghdr *c, struct scm_timestamping *out)
{
	return get(c, SOL_SOCKET, SCM_TIMESTAMPING, out, sizeof(*out));
}

static int64_t ns_of(const struct timespec *t)
{
	return (int64_t)t->tv_sec * 1000000000 + t->tv_nsec;
}

struct kstamp_received kstamp_received(struct msghdr *m)
{
	struct kstamp_received r = { 0 };
	struct scm_timestamping stamps;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c != NULL; c = CMSG_NXTHDR(m, c)) {
		if (!get_stamps(c, &stamps))
			continue;
		r.software_ns = ns_of(&stamps.ts[SOFTWARE_STAMP]);
		r.hardware_ns = ns_of(&stamps.ts[HARDWARE_STAMP]);
	}
	return r;
}

/* Of which datagram, and when on its way? False: not a stamp, or one that we have not asked for (ACK). */
static bool get_event(const struct sock_extended_err *e, const struct scm_timestamping *stamps, struct kstamp_sent *out)
{
	int64_t software_ns = ns_of(&stamps->ts[SOFTWARE_STAMP]), hardware_ns = ns_of(&stamps->ts[HARDWARE_STAMP]);
	if (e->ee_origin != SO_EE_ORIGIN_TIMESTAMPING)
		return false;
	if (e->ee_info == SCM_TSTAMP_SCHED)
		*out = (struct kstamp_sent){ e->ee_data, KSTAMP_SCHED, software_ns };
	else if (e->ee_info == SCM_TSTAMP_SND && hardware_ns == 0)
		*out = (struct kstamp_sent){ e->ee_data, KSTAMP_SND, software_ns };
	else if (e->ee_info == SCM_TSTAMP_SND)
		*out = (struct kstamp_sent){ e->ee_data, KSTAMP_SND_HARDWARE, hardware_ns };
	else
		return false;
	return out->ns != 0;
}

bool kstamp_sent(struct msghdr *m, struct kstamp_sent *out)
{
	struct sock_extended_err error = { 0 }; /* of no origin */
	struct scm_timestamping stamps = { 0 };
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c != NULL; c = CMSG_NXTHDR(m, c)) {
		if (!get_stamps(c, &stamps) && !get(c, IPPROTO_IP, IP_RECVERR, &error, sizeof(error)))
			(void)get(c, IPPROTO_IPV6, IPV6_RECVERR, &error, sizeof(error));
	}
	return get_event(&error, &stamps, out);
}

int kstamp_take(int fd, struct kstamp_sent *out)
{
	for (;;) {
		alignas(struct cmsghdr) unsigned char control[ERROR_LEN];
		struct msghdr m = { .msg_control = control, .msg_controllen = sizeof(control) };
		if (recvmsg(fd, &m, MSG_ERRQUEUE | MSG_DONTWAIT) < 0)
			return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -1;
		if (kstamp_sent(&m, out))
			return 1;
	}
}
