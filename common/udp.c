#include "udp.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>

/* What ICMP said about earlier answers, should the owner have asked for it (IP_RECVERR; ip(7)): left in the queue it
 * would be reported in every round, and fill the receive buffer. Returns whether there was any. */
static bool drop_errors(int fd)
{
	struct msghdr nothing = { 0 };
	int n = 0;
	while (n < UDP_BATCH && recvmsg(fd, &nothing, MSG_ERRQUEUE | MSG_DONTWAIT) >= 0)
		n++;
	return n > 0;
}

/* False: the service was stopped, and u may be gone. */
static bool answer_all(struct udp *u)
{
	struct udpbatch batch = u->batch; /* outlives a udp_stop in on_question */
	bool is_gone = false;
	struct udp_question q;
	u->is_gone = &is_gone;
	while (udpbatch_next(&u->batch, reactor_now_ns(u->watch.r), &q)) {
		ssize_t len = u->on_question(u, q.bytes, q.len, q.room);
		if (is_gone) {
			udpbatch_close(&batch);
			return false;
		}
		if (len >= 0)
			udpbatch_answer(&u->batch, (size_t)len);
	}
	u->is_gone = NULL;
	return true;
}

static bool on_readable(struct watch *w, unsigned events)
{
	(void)events;
	struct udp *u = CONTAINER_OF(w, struct udp, watch);
	/* An error tells of an answer that did not arrive: that ends nothing, the next round reads on. */
	int n = udpbatch_receive(&u->batch, MSG_DONTWAIT);
	bool had_errors = n < 0 && drop_errors(w->fd);
	if (n > 0 && answer_all(u))
		udpbatch_send(&u->batch, MSG_DONTWAIT);
	return n > 0 || had_errors;
}

int udp_start(struct udp *u, struct reactor *r, int fd, uint32_t rate_per_s, udp_answer_fn *fn)
{
	*u = (struct udp){ .on_question = fn };
	int flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 || udpbatch_open(&u->batch, fd, rate_per_s, 0) < 0)
		return -1;
	u->batch.is_mute = fn == NULL;
	if (watch_start(&u->watch, r, fd, WATCH_READ, on_readable) < 0) {
		int saved = errno;
		udpbatch_close(&u->batch);
		errno = saved;
		return -1;
	}
	return 0;
}

void udp_stop(struct udp *u)
{
	if (!watch_is_started(&u->watch))
		return;
	watch_stop(&u->watch);
	if (u->is_gone != NULL)
		*u->is_gone = true; /* on_readable, which called us, closes the batch */
	else
		udpbatch_close(&u->batch);
}
