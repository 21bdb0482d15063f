#include "report.h"

#include "selfline.h"

#include "diag.h"
#include "record.h"
#include "sig.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

const char *const selfconnect_ways[] = { "natural", "range", "bind", NULL };

const char *selfconnect_why_not(const struct selfconnect_options *o, const struct portrange *p)
{
	return o->by == BIND ? NULL : portrange_why_not(p, (unsigned)o->port);
}

static const char *transport(const struct selfconnect_options *o)
{
	return o->udp ? "udp" : "tcp";
}

static void record_start(const struct selfconnect_options *o, const struct portrange *p, const char *where,
			 const char *predicted, const char *why)
{
	struct json j;
	record_begin(&j, "start");
	json_str(&j, "address", where);
	json_str(&j, "by", selfconnect_ways[o->by]);
	json_str(&j, "transport", transport(o));
	json_bool(&j, "fixed", o->fixed);
	json_u64(&j, "range_low", p->low);
	json_u64(&j, "range_high", p->high);
	json_u64(&j, "candidates", p->n);
	json_str(&j, "predicted", predicted);
	json_str(&j, "why", why);
	if (strcmp(predicted, "impossible") == 0)
		json_null(&j, "expected_tries");
	else
		json_u64(&j, "expected_tries", o->by == NATURAL ? p->n : 1);
	json_u64(&j, "nearest_port", portrange_nearest(p, (unsigned)o->port));
	json_u64(&j, "max_tries", o->tries);
	json_end(&j);
}

void selfconnect_predict(const struct selfconnect_options *o, const struct portrange *p, const struct addr *to,
			 bool is_taken)
{
	char where[ADDR_TEXT];
	const char *why = selfconnect_why_not(o, p);
	const char *predicted = why != NULL ? "impossible" : is_taken ? "doubtful" : "possible";
	addr_text(to, where);
	if (o->json) {
		record_start(o, p, where, predicted, why == NULL && is_taken ? "taken" : why);
		return;
	}
	printf("a client of %s, %s, by %s; its server is away\n", where, transport(o), selfconnect_ways[o->by]);
	if (o->by == NATURAL)
		printf("  the kernel chooses among  %u ports: those of %u-%u %s\n", p->n, p->low, p->high,
		       p->step == 2 ? "with the parity of the lower end" : "that are not reserved");
	printf("  predicted                 ");
	if (why != NULL)
		printf("impossible: the port is %s (%u would do)\n", why, portrange_nearest(p, (unsigned)o->port));
	else if (is_taken)
		printf("doubtful: somebody has the port, or it is in TIME-WAIT\n");
	else if (o->by == NATURAL)
		printf("possible: 1 of %u at each try, about as many tries\n", p->n);
	else
		printf("at the first try\n");
}

void selfconnect_report_connected(const struct selfconnect_options *o, const struct selfconnect_findings *f)
{
	struct json j;
	if (!o->json)
		return;
	record_begin(&j, "connected");
	json_u64(&j, "port", o->port);
	json_str(&j, "local", f->local);
	json_str(&j, "peer", f->peer);
	json_end(&j);
}

static void put_errno(struct json *j, const char *key, int error)
{
	json_str(j, key, error == 0 ? NULL : errno_name(error));
}

void selfconnect_report_total(const struct selfconnect_options *o, const struct selfconnect_findings *f)
{
	struct json j;
	if (!o->json)
		return;
	record_begin(&j, "total");
	json_u64(&j, "tries", f->tries);
	json_u64(&j, "port", o->port);
	json_bool(&j, "self_connected", f->itself);
	json_u64(&j, "elapsed_ns", f->elapsed_ns);
	json_bool(&j, "noticed", f->noticed);
	json_str(&j, "local", f->local[0] != '\0' ? f->local : NULL);
	json_str(&j, "peer", f->peer[0] != '\0' ? f->peer : NULL);
	json_u64(&j, "lines", f->lines);
	json_u64(&j, "echoed_bytes", f->echoed);
	put_errno(&j, "bind_while_errno", f->bind_while);
	json_str(&j, "state_after", f->state_after != 0 ? selfline_state_name(f->state_after) : NULL);
	put_errno(&j, "bind_after_errno", f->bind_after);
	json_bool(&j, "server_reached", f->reached);
	json_bool(&j, "interrupted", sig_pending(NULL) != 0);
	json_end(&j);
}
