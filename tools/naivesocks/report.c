/* naivesocks/report.c - what naivesocks says, as text and as records. */
#include "naivesocks.h"

#include "diag.h"
#include "record.h"
#include "sig.h"
#include "units.h"

#include <stdio.h>

void naivesocks_report_start(const struct naivesocks_options *o, const char *where)
{
	if (!o->json) {
		printf("the mistake: %s%s\n", naivesocks_mistakes[o->mistake], o->fixed ? ", but not made" : "");
		return;
	}
	struct json j;
	record_begin(&j, "start");
	json_str(&j, "listening", where);
	json_str(&j, "mistake", naivesocks_mistakes[o->mistake]);
	json_bool(&j, "fixed", o->fixed);
	json_end(&j);
}

void naivesocks_report_request(const struct naivesocks_options *o, const struct client *c)
{
	if (o->verbose)
		warnf("%s asks for %s", c->peer, c->target);
	if (!o->json)
		return;
	struct json j;
	record_begin(&j, "request");
	json_str(&j, "peer", c->peer);
	json_str(&j, "target", c->target);
	json_u64(&j, "asked_ns", c->asked_ns);
	json_end(&j);
}

static const char *reply_name(const struct client *c)
{
	return c->replied_ns == 0 ? NULL : c->is_granted ? "granted" : "rejected";
}

static const char *null_if_empty(const char *text)
{
	return *text != '\0' ? text : NULL;
}

static void print_connection(const struct client *c)
{
	char answer[64] = "no reply", took[UNITS_TEXT], up[UNITS_TEXT], down[UNITS_TEXT];
	if (c->replied_ns != 0)
		snprintf(answer, sizeof(answer), "%s after %s", reply_name(c),
			 units_duration(took, c->replied_ns - c->accepted_ns));
	warnf("%s to %s: %s; %s up, %s down; %s", c->peer, *c->target != '\0' ? c->target : "(nowhere yet)", answer,
	      units_size(up, c->way[CLIENT].sent), units_size(down, c->way[TARGET].sent),
	      *c->why != '\0' ? c->why : c->end);
}

static void put_time(struct json *j, const char *key, uint64_t ns)
{
	if (ns != 0)
		json_u64(j, key, ns);
	else
		json_null(j, key);
}

void naivesocks_report_connection(const struct naivesocks_options *o, const struct client *c)
{
	if (o->verbose)
		print_connection(c);
	if (!o->json)
		return;
	struct json j;
	record_begin(&j, "connection");
	json_str(&j, "peer", c->peer);
	json_str(&j, "target", null_if_empty(c->target));
	json_str(&j, "reply", reply_name(c));
	json_str(&j, "end", c->end);
	json_str(&j, "why", null_if_empty(c->why));
	json_u64(&j, "bytes_up", c->way[CLIENT].sent);
	json_u64(&j, "bytes_down", c->way[TARGET].sent);
	json_u64(&j, "accepted_ns", c->accepted_ns);
	put_time(&j, "asked_ns", c->asked_ns);
	put_time(&j, "resolved_ns", c->resolved_ns);
	put_time(&j, "replied_ns", c->replied_ns);
	json_u64(&j, "ended_ns", c->ended_ns);
	json_end(&j);
}

void naivesocks_report_total(const struct naivesocks_options *o, const struct naivesocks_totals *t)
{
	if (!o->json) {
		printf("connections %llu, granted %llu, rejected %llu\n", (unsigned long long)t->connections,
		       (unsigned long long)t->granted, (unsigned long long)t->rejected);
		return;
	}
	struct json j;
	record_begin(&j, "total");
	json_u64(&j, "connections", t->connections);
	json_u64(&j, "granted", t->granted);
	json_u64(&j, "rejected", t->rejected);
	json_bool(&j, "interrupted", sig_pending(NULL) != 0);
	json_end(&j);
}
