/* answer.c - a question in, an answer out: for datagrams and for connections. */
#include "server.h"

#include "clock.h"

#include <math.h>
#include <string.h>

/* The kernel is asked so often what its synchronisation is worth. */
static const uint64_t SYNC_AGE_NS = NS_PER_S;

/* What --skew and --drift add to the real time now. */
static int64_t wrong_by_ns(const struct server *s)
{
	const struct roundtrip_options *o = s->o;
	double drift_ns = o->drift_ppm == 0 ? 0 : o->drift_ppm * 1e-6 * (double)(clk_mono_ns() - s->start_ns);
	return o->skew_ns + llround(drift_ns);
}

int64_t server_now_ns(const struct server *s)
{
	return clk_real_ns() + wrong_by_ns(s);
}

/* By the server's clock; 0 stays "not there". */
static int64_t as_server(int64_t real_ns, int64_t by_ns)
{
	return real_ns == 0 ? 0 : real_ns + by_ns;
}

/* --- extended ---------------------------------------------------------------------------------------------------- */

/* A clock that is wrong on purpose is not synchronised. */
static void put_sync(struct server *s, uint64_t now_ns, struct extended *a)
{
	if (s->sync_at_ns == 0 || now_ns - s->sync_at_ns > SYNC_AGE_NS) {
		s->sync = clocks_synchronised();
		s->sync_at_ns = now_ns;
	}
	if (!s->sync.is_known)
		return;
	a->flags |= EXTENDED_SYNC;
	if (!s->sync.is_synchronised || s->o->skew_ns != 0 || s->o->drift_ppm != 0)
		return;
	a->flags |= EXTENDED_IN_SYNC;
	a->error_ns = s->sync.error_ns;
}

static void put_stamps(const struct server *s, const struct asked *how, const struct visitor *v, struct extended *a)
{
	int64_t by_ns = wrong_by_ns(s);
	a->flags |= EXTENDED_WHERE;
	a->k2 = as_server(how->kernel.software_ns, by_ns);
	a->h2 = how->kernel.hardware_ns;
	if (v->sent_ns == 0)
		return;
	a->flags |= EXTENDED_EARLIER;
	a->earlier = v->stamped_number;
	a->k3_sched = as_server(v->sched_ns, by_ns);
	a->k3_sent = as_server(v->sent_ns, by_ns);
	a->h3 = v->hardware_ns;
}

static void finish(struct server *s, struct extended *a, unsigned char *out)
{
	a->t3 = server_now_ns(s);
	extended_put(out, a);
	if (s->auth.is_on)
		auth_sign(&s->auth, out, a->len);
}

/* The visitor who asks; NULL: no room. */
static struct visitor *visitor_of(struct server *s, const struct asked *how, const struct extended *q)
{
	uint64_t now_ns = how->now_ns;
	struct visitor *v = visitors_find(s->visitors, q->session, how->source);
	if (v == NULL)
		v = visitors_add(s->visitors, q->session, how->source, now_ns, s->auth.is_on ? AUTH_KEEP_NS : 0);
	if (v != NULL)
		v->last_ns = now_ns;
	return v;
}

static size_t answer_extended(struct server *s, const struct asked *how, const struct extended *q, unsigned char *out)
{
	struct extended a = { .kind = EXTENDED_ANSWER,
			      .len = q->len,
			      .limit = how->limit,
			      .session = q->session,
			      .number = q->number,
			      .t1 = q->t1,
			      .t2 = how->t2 };
	if (s->auth.is_on) {
		a.flags |= EXTENDED_SIGNED;
		a.cookie = auth_cookie(&s->auth, q->session, how->source, how->now_ns);
		if (!auth_is_cookie(&s->auth, q->cookie, q->session, how->source, how->now_ns)) {
			a.kind = EXTENDED_CHALLENGE;
			s->answered.challenges++;
			finish(s, &a, out);
			return a.len;
		}
	}
	struct visitor *v = visitor_of(s, how, q);
	if (v == NULL) {
		s->answered.crowded++;
		return 0;
	}
	enum track_result result = track_see(&v->questions, q->number);
	if (s->auth.is_on && (result == TRACK_DUPLICATE || result == TRACK_TOO_OLD)) {
		s->answered.replayed++;
		return 0;
	}
	a.answer = v->answers++;
	a.up_received = v->questions.received;
	a.up_next = v->questions.next;
	a.up_duplicated = (uint32_t)v->questions.duplicated;
	a.up_reordered = (uint32_t)v->questions.reordered;
	put_sync(s, how->now_ns, &a);
	if (q->flags & EXTENDED_WHERE)
		put_stamps(s, how, v, &a);
	s->answered.extended++;
	finish(s, &a, out);
	return a.len;
}

/* --- plain ------------------------------------------------------------------------------------------------------- */

/* The client's time goes back as it came, whatever its bytes mean. */
static size_t answer_plain(struct server *s, const unsigned char *q, unsigned char *out)
{
	struct plain p = plain_get(q);
	p.response_us = server_now_ns(s) / NS_PER_US;
	plain_put(out, p);
	s->answered.plain++;
	return PLAIN_LEN;
}

/* --- all --------------------------------------------------------------------------------------------------------- */

size_t answer_question(struct server *s, const struct asked *how, const unsigned char *q, size_t n, unsigned char *out)
{
	struct extended x;
	if (n == PLAIN_LEN && !s->auth.is_on)
		return answer_plain(s, q, out);
	if (n != PLAIN_LEN && (!extended_get(q, n, &x) || x.kind != EXTENDED_QUESTION)) {
		s->answered.garbage++;
		return 0;
	}
	if (s->auth.is_on && (n == PLAIN_LEN || !(x.flags & EXTENDED_SIGNED) || !auth_verify(&s->auth, q, n))) {
		s->answered.unauthorised++;
		return 0;
	}
	return answer_extended(s, how, &x, out);
}
