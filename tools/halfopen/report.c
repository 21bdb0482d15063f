/* report.c - what halfopen tells of an experiment. See halfopen.h. */
#include "halfopen.h"

#include "clock.h"
#include "diag.h"
#include "record.h"
#include "sig.h"
#include "units.h"

#include <inttypes.h>
#include <stdio.h>

const char *const halfopen_care_names[] = { "none", "keepalive", "user-timeout", "both", "heartbeat" };

bool halfopen_as_promised(const struct halfopen_options *o, const struct halfopen_client *c)
{
	bool finds_out = o->fixed && o->experiment->fate != UNHARMED;
	return finds_out ? c->noticed_ns != 0 && c->error == o->experiment->error : c->noticed_ns == 0;
}

void halfopen_report_start(const struct halfopen_options *o)
{
	struct json j;
	if (!o->stage.json) {
		printf("%s: %s\n", o->experiment->name, o->experiment->text);
		return;
	}
	record_begin(&j, "start");
	json_str(&j, "experiment", o->experiment->name);
	json_bool(&j, "fixed", o->fixed);
	json_str(&j, "host", o->stage.host);
	json_u64(&j, "keepalive_idle_ns", o->idle_s * (uint64_t)NS_PER_S);
	json_u64(&j, "keepalive_interval_ns", o->interval_s * (uint64_t)NS_PER_S);
	json_u64(&j, "keepalive_probes", o->probes);
	json_u64(&j, "user_timeout_ns", o->user_timeout_ns);
	json_u64(&j, "heartbeat_ns", o->heartbeat_ns);
	json_u64(&j, "watch_ns", o->watch_ns);
	json_end(&j);
}

static const char *care_text(const struct halfopen_options *o, enum care care, char out[static 2 * UNITS_TEXT])
{
	char limit[UNITS_TEXT];
	if (care == USER_TIMEOUT || care == HEARTBEAT)
		snprintf(out, 2 * UNITS_TEXT, "%s %s", care == HEARTBEAT ? "heartbeat" : "user timeout",
			 units_duration(limit, care == HEARTBEAT ? o->heartbeat_ns : o->user_timeout_ns));
	else
		snprintf(out, 2 * UNITS_TEXT,
			 care == NO_CARE ? "as it is"
			 : care == BOTH  ? "both"
					 : "keepalive %u/%u/%u",
			 o->idle_s, o->interval_s, o->probes);
	return out;
}

static void print_client(const struct halfopen_options *o, const struct halfopen_client *c, uint64_t watched_ns)
{
	char care[2 * UNITS_TEXT], text[UNITS_TEXT];
	printf("  %-22s ", care_text(o, c->care, care));
	if (c->noticed_ns != 0)
		printf("%s after %s\n", c->error == 0 ? "the server's end" : errno_name(c->error),
		       units_duration(text, c->noticed_ns));
	else
		printf("no error in %s; %s, %" PRIu64 " bytes unacknowledged\n", units_duration(text, watched_ns),
		       c->has_ours ? sockdiag_state_name(c->ours.state) : "state unknown",
		       c->has_ours ? c->ours.send_queue : 0);
	if (c->resent > 0) {
		printf("  %-22s sent again after", "");
		for (uint64_t i = 0; i < c->resent && i < HALFOPEN_RESENT_MAX; i++)
			printf(" %.2f", (double)c->resent_at_ns[i] / NS_PER_S);
		printf(" s%s\n", c->resent > HALFOPEN_RESENT_MAX ? " ..." : "");
	}
	if (c->has_theirs)
		printf("  %-22s the other end: %s\n", "", sockdiag_state_name(c->theirs.state));
}

/* What the kernel says of an end of it; null when there is none any more. */
static void put_known(struct json *j, const char *key, bool is_known, uint64_t value)
{
	if (is_known)
		json_u64(j, key, value);
	else
		json_null(j, key);
}

void halfopen_report_client(const struct halfopen_options *o, const struct halfopen_client *c, uint64_t watched_ns)
{
	struct json j;
	if (!o->stage.json) {
		print_client(o, c, watched_ns);
		return;
	}
	record_begin(&j, "client");
	json_str(&j, "care", halfopen_care_names[c->care]);
	json_u64(&j, "sent_bytes", c->sent_bytes);
	json_bool(&j, "noticed", c->noticed_ns != 0);
	json_str(&j, "errno", stage_symbol(c->error));
	put_known(&j, "noticed_ns", c->noticed_ns != 0, c->noticed_ns);
	json_u64(&j, "watched_ns", watched_ns);
	json_u64(&j, "first_rto_ns", c->first_rto_ns);
	json_u64(&j, "resent", c->resent);
	json_array(&j, "resent_at_ns");
	for (uint64_t i = 0; i < c->resent && i < HALFOPEN_RESENT_MAX; i++)
		json_u64(&j, NULL, c->resent_at_ns[i]);
	json_close(&j);
	json_u64(&j, "lost_segments", c->lost_segments);
	json_str(&j, "state", c->has_ours ? sockdiag_state_name(c->ours.state) : NULL);
	put_known(&j, "unacknowledged_bytes", c->has_ours, c->ours.send_queue);
	put_known(&j, "rto_ns", c->has_ours, c->ours.info.rto_ns);
	json_str(&j, "peer_state", c->has_theirs ? sockdiag_state_name(c->theirs.state) : NULL);
	put_known(&j, "peer_unread_bytes", c->has_theirs, c->theirs.recv_queue);
	json_bool(&j, "as_promised", halfopen_as_promised(o, c));
	json_end(&j);
}

void halfopen_report_total(const struct halfopen_options *o, const struct halfopen_client *clients, size_t n,
			   bool all_right)
{
	struct json j;
	size_t noticed = 0;
	if (!o->stage.json) {
		printf("%s\n", o->fixed ? o->experiment->why_fixed : o->experiment->why_broken);
		return;
	}
	for (size_t i = 0; i < n; i++)
		noticed += clients[i].noticed_ns != 0;
	record_begin(&j, "total");
	json_str(&j, "role", "client");
	json_str(&j, "experiment", o->experiment->name);
	json_bool(&j, "fixed", o->fixed);
	json_u64(&j, "clients", n);
	json_u64(&j, "noticed", noticed);
	json_bool(&j, "as_promised", all_right);
	json_bool(&j, "interrupted", sig_pending(NULL) != 0);
	json_end(&j);
}
