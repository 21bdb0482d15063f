/* talk.c - a question out, an answer in: from stamps and bytes to an exchange. */
#include "client.h"

#include "clock.h"
#include "diag.h"
#include "kstamp.h"
#include "prng.h"
#include "sig.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

enum { NTP_LOOK_BACK = 64 };

static struct question *question_at(struct client *c, uint64_t number)
{
	return &c->ring[number % CLIENT_RING];
}

static uint64_t since_start(const struct client *c)
{
	return clk_mono_ns() - c->start_ns;
}

/* --- out --------------------------------------------------------------------------------------------------------- */

static uint64_t ntp_nonce(const struct client *c, uint64_t number)
{
	return prng_word(c->session, number);
}

/* The course's clients count us; for us each time is the name of its question, too. */
static int64_t plain_name(struct client *c, uint64_t number, int64_t t1)
{
	int64_t us = t1 / NS_PER_US;
	const struct question *before = number > 0 ? question_at(c, number - 1) : NULL;
	if (before != NULL && before->number == number - 1 && us <= before->x.t1 / NS_PER_US)
		us = before->x.t1 / NS_PER_US + 1;
	return us * NS_PER_US;
}

static void put_question(struct client *c, struct question *q)
{
	const struct roundtrip_options *o = c->o;
	struct extended x = { .kind = EXTENDED_QUESTION,
			      .flags = (uint16_t)((o->where ? EXTENDED_WHERE : 0) |
						  (c->auth.is_on ? EXTENDED_SIGNED : 0)),
			      .len = (uint32_t)c->len,
			      .session = c->session,
			      .number = q->number,
			      .t1 = q->x.t1,
			      .cookie = c->cookie };
	switch (c->mode) {
	case MODE_EXTENDED:
		extended_put(c->out, &x);
		if (c->auth.is_on)
			auth_sign(&c->auth, c->out, c->len);
		break;
	case MODE_PLAIN:
		plain_put(c->out, (struct plain){ .request_us = q->x.t1 / NS_PER_US });
		break;
	case MODE_NTP:
		ntp_put(c->out, ntp_nonce(c, q->number));
		break;
	}
}

static bool is_about_nobody(int error)
{
	return error == ECONNREFUSED;
}

/* ICMP said that an earlier question met nobody: that is all that UDP ever hears of it (udp(7)). Returns as if nothing
 * had come. */
static int count_refusal(struct client *c)
{
	c->m.refused++;
	if (!c->has_warned && c->about != NULL)
		warnf("%s: nobody listens there (ECONNREFUSED)", c->peer);
	c->has_warned = true;
	errno = EAGAIN;
	return -1;
}

/* After a send(2) that failed. On a connection a server that does not read makes us wait, but not for ever. */
static bool may_try_again(const struct client *c, uint64_t limit_ns)
{
	if (errno == EINTR)
		return true;
	if (!c->o->tcp || errno != EAGAIN)
		return false;
	uint64_t now_ns = since_start(c);
	return sig_wait_fd(c->fd, POLLOUT, now_ns < limit_ns ? limit_ns - now_ns : 0) == 0;
}

static int send_question(struct client *c)
{
	ssize_t n;
	size_t at = 0;
	uint64_t limit_ns = since_start(c) + c->o->timeout_ns;
	do {
		n = send(c->fd, c->out + at, c->len - at, MSG_NOSIGNAL);
		if (diag_trace)
			tracef("send(%d, %zu) = %zd", c->fd, c->len - at, n);
		if (n < 0 && is_about_nobody(errno) && !c->o->tcp)
			count_refusal(c); /* of one before; this one is still to be sent */
		else if (n < 0 && !may_try_again(c, limit_ns))
			return -1;
		else if (n > 0)
			at += (size_t)n;
	} while (at < c->len);
	return 0;
}

/* All stamps of an exchange that will ever be there are there. */
static void add_stages(struct client *c, struct question *q)
{
	if (!q->awaits_stamps)
		return;
	q->awaits_stamps = false;
	measure_add_stages(&c->m, &q->x);
	if (c->o->csv_file != NULL) {
		struct sample s = sample_of(&q->x);
		roundtrip_csv_add(q->number, &q->x, &s);
	}
}

/* Stamps it and sends it. 0, or -1 with errno. */
static int ask(struct client *c, struct question *q)
{
	q->x.sent_ns = since_start(c);
	q->x.t1 = clk_real_ns();
	if (c->mode == MODE_PLAIN)
		q->x.t1 = plain_name(c, q->number, q->x.t1);
	put_question(c, q);
	c->last_sent_ns = q->x.sent_ns;
	if (send_question(c) < 0) {
		int saved = errno;
		if (c->o->where && kstamp_ask(c->fd, TALK_STAMPS) == 0)
			c->n_stamped = 0;
		errno = saved;
		return -1;
	}
	if (c->o->where)
		c->stamped[c->n_stamped++ % CLIENT_STAMPS] = q->number;
	return 0;
}

int talk_ask(struct client *c, uint64_t intended_ns)
{
	struct question *q = question_at(c, c->next_number);
	if (c->unaccounted == q)
		talk_account(c);
	add_stages(c, q); /* of the one whose place this is going to be */
	*q = (struct question){ .number = c->next_number, .state = QUESTION_SENT, .x.intended_ns = intended_ns };
	if (ask(c, q) < 0) {
		q->state = QUESTION_NONE;
		if (c->o->tcp)
			return -1;
		c->m.unsent++;
		tracef("not sent: %s", errno_name(errno));
		return 0;
	}
	c->next_number++;
	c->m.sent++;
	return 0;
}

int talk_ask_again(struct client *c)
{
	struct question *q = question_at(c, c->next_number - 1);
	q->x.intended_ns = since_start(c);
	return ask(c, q) == 0 || !c->o->tcp ? 0 : -1;
}

/* --- what the kernels say ---------------------------------------------------------------------------------------- */

void talk_take_stamps(struct client *c)
{
	struct kstamp_sent stamp;
	while (kstamp_take(c->fd, &stamp) == 1) {
		uint64_t number = c->stamped[stamp.number % CLIENT_STAMPS];
		struct question *q = question_at(c, number);
		if (c->n_stamped - stamp.number > CLIENT_STAMPS || q->number != number)
			continue;
		switch (stamp.event) {
		case KSTAMP_SCHED:
			q->x.k1_sched = stamp.ns;
			break;
		case KSTAMP_SND:
			q->x.k1_sent = stamp.ns;
			break;
		case KSTAMP_SND_HARDWARE:
			q->x.h1 = stamp.ns;
			break;
		}
	}
}

/* An answer tells when an earlier one had left. */
static void take_earlier(struct client *c, const struct extended *a)
{
	struct question *q = question_at(c, a->earlier);
	if (c->unaccounted == q)
		talk_account(c);
	if (!(a->flags & EXTENDED_EARLIER) || q->number != a->earlier || !q->awaits_stamps)
		return;
	q->x.k3_sched = a->k3_sched;
	q->x.k3_sent = a->k3_sent;
	q->x.h3 = a->h3;
	add_stages(c, q);
}

void talk_last_stamps(struct client *c)
{
	talk_take_stamps(c);
	talk_account(c);
	for (size_t i = 0; i < CLIENT_RING; i++)
		add_stages(c, &c->ring[i]);
}

/* --- in ---------------------------------------------------------------------------------------------------------- */

/* How and when a datagram came. */
struct heard {
	uint64_t at_ns;
	int64_t t4;
	struct kstamp_received kernel;
};

static bool garbage(struct client *c)
{
	c->m.garbage++;
	return false;
}

void talk_account(struct client *c)
{
	struct question *q = c->unaccounted;
	struct steer_decision d;
	if (q == NULL)
		return;
	c->unaccounted = NULL;
	measure_add(&c->m, &q->x);
	q->awaits_stamps = c->o->where;
	if (!c->o->steer && (c->o->csv_file == NULL || c->o->where))
		return;
	struct sample s = sample_of(&q->x);
	if (c->o->csv_file != NULL && !c->o->where)
		roundtrip_csv_add(q->number, &q->x, &s);
	if (c->o->steer && steer_add(&c->steer, &s, &d) && c->about != NULL)
		roundtrip_report_steer(c->about, &d);
}

/* The answer to q, with q->x.t2 and t3, is there. True: it is the first one, and in time. */
static bool answered(struct client *c, struct question *q, const struct heard *h)
{
	if (q->state == QUESTION_ANSWERED)
		track_see(&c->m.trip, q->number);
	if (q->state != QUESTION_SENT)
		return false;
	if (h->at_ns - q->x.sent_ns > c->o->timeout_ns || track_see(&c->m.trip, q->number) == TRACK_TOO_OLD) {
		q->state = QUESTION_TOO_LATE;
		c->m.late++;
		return false;
	}
	q->state = QUESTION_ANSWERED;
	q->x.received_ns = h->at_ns;
	q->x.t4 = h->t4;
	q->x.k4 = h->kernel.software_ns;
	q->x.h4 = h->kernel.hardware_ns;
	talk_account(c);
	c->unaccounted = q;
	return true;
}

static struct question *find(struct client *c, uint64_t number)
{
	struct question *q = question_at(c, number);
	return number < c->next_number && q->number == number && q->state != QUESTION_NONE ? q : NULL;
}

/* Answers are numbered in the order in which they left, and with them what the server has received can only grow. */
static void take_uplink(struct client *c, const struct extended *a)
{
	struct uplink *up = &c->m.up;
	bool is_old = a->answer < c->m.down.next;
	if (is_old ? a->up_next > up->next : a->up_next < up->next || a->up_received < up->received) {
		tracef("the server has forgotten us: it does not know any more what it received");
		c->is_forgotten = true;
	}
	if (c->is_forgotten) {
		up->is_known = false;
		return;
	}
	track_see(&c->m.down, a->answer);
	if (!is_old)
		*up = (struct uplink){ .is_known = true,
				       .next = a->up_next,
				       .received = a->up_received,
				       .duplicated = a->up_duplicated,
				       .reordered = a->up_reordered };
}

/* The server wants to see that we are here, now: the question again, with its cookie. What it took until then is no
 * measurement. */
static bool take_challenge(struct client *c, const struct extended *a)
{
	struct question *q = find(c, a->number);
	if (q == NULL || q->state != QUESTION_SENT || a->t1 != q->x.t1)
		return garbage(c);
	c->cookie = a->cookie;
	if (ask(c, q) < 0)
		tracef("not sent: %s", errno_name(errno));
	q->x.intended_ns = q->x.sent_ns;
	return false;
}

static bool hear_extended(struct client *c, const unsigned char *in, size_t n, const struct heard *h)
{
	struct extended a;
	if (!extended_get(in, n, &a) || a.session != c->session ||
	    (c->auth.is_on && (!(a.flags & EXTENDED_SIGNED) || !auth_verify(&c->auth, in, n))))
		return garbage(c);
	if (a.kind == EXTENDED_CHALLENGE && c->auth.is_on)
		return take_challenge(c, &a);
	struct question *q = find(c, a.number);
	if (a.kind != EXTENDED_ANSWER || q == NULL || a.t1 != q->x.t1)
		return garbage(c);
	if (c->auth.is_on)
		c->cookie = a.cookie;
	c->limit = a.limit;
	c->m.there = (struct synchronised){ .is_known = a.flags & EXTENDED_SYNC,
					    .is_synchronised = a.flags & EXTENDED_IN_SYNC,
					    .error_ns = a.error_ns };
	c->has_answer = true;
	take_uplink(c, &a);
	take_earlier(c, &a);
	if (q->state == QUESTION_SENT) {
		q->x.t2 = a.t2;
		q->x.t3 = a.t3;
		q->x.k2 = a.k2;
		q->x.h2 = a.h2;
		q->x.resolution_ns = 1;
	}
	return answered(c, q, h);
}

/* Times ascend with the numbers: look from the newest back. */
static struct question *find_plain(struct client *c, int64_t t1)
{
	for (uint64_t n = c->next_number; n > 0 && c->next_number - n < CLIENT_RING; n--) {
		struct question *q = find(c, n - 1);
		if (q == NULL || q->x.t1 < t1)
			return NULL;
		if (q->x.t1 == t1)
			return q;
	}
	return NULL;
}

static bool hear_plain(struct client *c, const unsigned char *in, size_t n, const struct heard *h)
{
	if (n != PLAIN_LEN)
		return garbage(c);
	struct plain p = plain_get(in);
	int64_t limit_us = INT64_MAX / NS_PER_US;
	if (p.request_us < 0 || p.request_us > limit_us || p.response_us < -limit_us || p.response_us > limit_us)
		return garbage(c);
	struct question *q = find_plain(c, p.request_us * NS_PER_US);
	if (q == NULL)
		return garbage(c);
	if (q->state == QUESTION_SENT) {
		q->x.t2 = q->x.t3 = p.response_us * NS_PER_US;
		q->x.resolution_ns = NS_PER_US;
	}
	return answered(c, q, h);
}

static struct question *find_ntp(struct client *c, uint64_t origin)
{
	for (uint64_t n = c->next_number; n > 0 && c->next_number - n < NTP_LOOK_BACK; n--)
		if (ntp_nonce(c, n - 1) == origin)
			return find(c, n - 1);
	return NULL;
}

/* The precision is a power of two of seconds (RFC 5905 7.3). */
static uint64_t ntp_resolution_ns(int8_t precision)
{
	double ns = ldexp(1e9, precision);
	return ns < 1 ? 1 : ns > 1e18 ? (uint64_t)1e18 : (uint64_t)ns;
}

static bool hear_ntp(struct client *c, const unsigned char *in, size_t n, const struct heard *h)
{
	struct ntp answer;
	const char *wrong = ntp_get(in, n, h->t4, &answer);
	struct question *q = wrong == NULL || answer.stratum == 0 ? find_ntp(c, answer.origin) : NULL;
	if (q != NULL && wrong != NULL && c->about != NULL) /* it knows our question, so it is nobody else */
		warnf("%s: %s%s%s", c->peer, wrong, answer.reference[0] != '\0' ? ": " : "", answer.reference);
	c->is_kissed = c->is_kissed || (q != NULL && wrong != NULL);
	if (q == NULL || wrong != NULL)
		return garbage(c);
	if (q->state == QUESTION_SENT) {
		c->ntp = answer;
		q->x.t2 = answer.t2;
		q->x.t3 = answer.t3;
		q->x.resolution_ns = ntp_resolution_ns(answer.precision);
	}
	return answered(c, q, h);
}

static bool hear_one(struct client *c, const unsigned char *in, size_t n, const struct heard *h)
{
	switch (c->mode) {
	case MODE_PLAIN:
		return hear_plain(c, in, n, h);
	case MODE_NTP:
		return hear_ntp(c, in, n, h);
	case MODE_EXTENDED:
		break;
	}
	return hear_extended(c, in, n, h);
}

/* --- by datagram ------------------------------------------------------------------------------------------------- */

/* Our times of an answer: the program's now; and the kernel's, which come with a datagram. */
static struct heard heard_now(struct client *c, struct msghdr *m)
{
	struct heard h = { .t4 = clk_real_ns() };
	h.at_ns = c->now_ns = since_start(c); /* the later one: an RTT is rather too long than too short */
	if (m != NULL && c->o->where)
		h.kernel = kstamp_received(m);
	return h;
}

static int hear_datagram(struct client *c, int flags)
{
	_Alignas(struct cmsghdr) unsigned char control[KSTAMP_LEN];
	struct iovec iov = { .iov_base = c->in, .iov_len = sizeof(c->in) };
	struct msghdr m = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)
	};
	ssize_t n = c->o->where ? recvmsg(c->fd, &m, flags) : recv(c->fd, c->in, sizeof(c->in), flags);
	if (diag_trace)
		tracef("recv(%d) = %zd", c->fd, n);
	if (n < 0)
		return is_about_nobody(errno) ? count_refusal(c) : -1;
	struct heard h = heard_now(c, &m);
	if (c->o->where)
		talk_take_stamps(c);
	int answers = hear_one(c, c->in, (size_t)n, &h);
	errno = ECONNREFUSED;
	return c->is_kissed ? -1 : answers;
}

/* --- by connection ----------------------------------------------------------------------------------------------- */

static int hear_stream(struct client *c, int flags)
{
	ssize_t n = recv(c->fd, c->in + c->n_in, sizeof(c->in) - c->n_in, flags);
	if (diag_trace)
		tracef("recv(%d) = %zd", c->fd, n);
	if (n == 0)
		errno = EPROTO;
	if (n <= 0)
		return -1;
	struct heard h = heard_now(c, NULL);
	int answers = 0;
	size_t at = 0;
	c->n_in += (size_t)n;
	for (; c->n_in - at >= c->len; at += c->len)
		answers += hear_one(c, c->in + at, c->len, &h);
	c->n_in -= at;
	memmove(c->in, c->in + at, c->n_in);
	return answers;
}

int talk_hear(struct client *c, int flags)
{
	return c->o->tcp ? hear_stream(c, flags) : hear_datagram(c, flags);
}
