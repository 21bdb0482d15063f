/* report.c - what closewait says: a few lines, or JSON, on standard output. */
#include "closewait.h"

#include "clock.h"
#include "record.h"
#include "sig.h"

#include <inttypes.h>
#include <stdio.h>

void closewait_report_ended(const struct closewait_server *s, int fd)
{
	struct addr peer;
	char text[ADDR_TEXT];
	const char *who = addr_of_peer(fd, &peer) == 0 ? addr_text(&peer, text) : "?";
	if (!s->o->stage.json) {
		printf("%s has ended: descriptor %d is %s; %" PRIu64 " are gone and still held\n", who, fd,
		       s->o->fixed ? "closed" : "forgotten", s->held);
		return;
	}
	struct json j;
	record_begin(&j, "ended");
	json_str(&j, "peer", who);
	json_u64(&j, "held", s->held);
	json_end(&j);
}

void closewait_report_served(const struct closewait_server *s)
{
	if (!s->o->stage.json) {
		printf("%" PRIu64 " clients, %" PRIu64 " have ended, %" PRIu64
		       " of them still held; accept(2) failed %" PRIu64 " times\n",
		       s->accepted, s->ended, s->held, s->accept_failures);
		if (s->held > 0)
			printf("goodbye: %" PRIu64 " of %" PRIu64 " sends were well; of the second ones %" PRIu64
			       " are told EPIPE\n",
			       s->late_ok, s->held, s->late_epipe);
		return;
	}
	struct json j;
	record_begin(&j, "total");
	json_str(&j, "role", "server");
	json_bool(&j, "fixed", s->o->fixed);
	json_u64(&j, "connections", s->accepted);
	json_u64(&j, "answered", s->answered);
	json_u64(&j, "ended", s->ended);
	json_u64(&j, "held", s->held);
	json_u64(&j, "descriptors", s->limit);
	json_u64(&j, "descriptors_free", s->free);
	json_u64(&j, "accept_failures", s->accept_failures);
	json_u64(&j, "late_sends_ok", s->late_ok);
	json_u64(&j, "late_sends_epipe", s->late_epipe);
	json_bool(&j, "interrupted", sig_pending(NULL) != 0);
	json_end(&j);
}

static void report_text(const struct closewait_visits *v)
{
	const struct closewait_census *c = &v->at_once;
	printf("visits:       %" PRIu64 " of %" PRIu64 " answered", v->answered, v->o->visits);
	printf(v->silent > 0 ? ", then silence: connected, and nobody accepts\n" : "\n");
	if (v->failed != NULL)
		printf("              then %s\n", v->failed);
	if (v->is_same_host)
		printf("their end:    %" PRIu64 " in CLOSE-WAIT (and %" PRIu64 " that were never accepted)\n",
		       c->close_wait, c->not_accepted);
	printf("our end:      %" PRIu64 " in FIN-WAIT-2, %" PRIu64 " in TIME-WAIT\n", c->fin_wait, c->time_wait);
	if (v->watched_ns > 0)
		printf("after %5.2f s: %" PRIu64 " in CLOSE-WAIT, %" PRIu64 " in FIN-WAIT-2\n",
		       (double)v->watched_ns / NS_PER_S, v->later.close_wait, v->later.fin_wait);
}

static void put_their_end(struct json *j, const struct closewait_visits *v, const char *key, uint64_t value)
{
	if (v->is_same_host)
		json_u64(j, key, value);
	else
		json_null(j, key);
}

void closewait_report_visits(const struct closewait_visits *v)
{
	if (!v->o->stage.json) {
		report_text(v);
		return;
	}
	struct json j;
	record_begin(&j, "total");
	json_str(&j, "role", "client");
	json_bool(&j, "fixed", v->o->fixed);
	json_u64(&j, "visits", v->o->visits);
	json_u64(&j, "answered", v->answered);
	json_u64(&j, "silent", v->silent);
	json_str(&j, "errno", v->failed);
	json_u64(&j, "held", v->held);
	put_their_end(&j, v, "close_wait", v->at_once.close_wait);
	put_their_end(&j, v, "not_accepted", v->at_once.not_accepted);
	json_u64(&j, "fin_wait", v->at_once.fin_wait);
	json_u64(&j, "time_wait", v->at_once.time_wait);
	json_u64(&j, "watched_ns", v->watched_ns);
	put_their_end(&j, v, "close_wait_after", v->later.close_wait);
	json_u64(&j, "fin_wait_after", v->later.fin_wait);
	if (v->gone_after_ns > 0)
		json_u64(&j, "fin_wait_gone_after_ns", v->gone_after_ns);
	else
		json_null(&j, "fin_wait_gone_after_ns");
	json_bool(&j, "interrupted", sig_pending(NULL) != 0);
	json_end(&j);
}
