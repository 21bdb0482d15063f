/* report.c - what footprint says: a few lines, or JSON, on standard output. */
#include "footprint.h"

#include "diag.h"
#include "record.h"
#include "sig.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* By how much it grew for each connection; less than nothing when others gave something back. */
static double each(const struct footprint *story, uint64_t before, uint64_t after)
{
	return story->opened > 0 ? ((double)after - (double)before) / (double)story->opened : 0;
}

double footprint_server_each(const struct footprint *story)
{
	return each(story, story->before.server_pss, story->idle.server_pss);
}

static uint64_t objects_of(const struct footprint_snapshot *s, const char *name)
{
	for (size_t i = 0; i < s->n; i++) {
		if (strcmp(s->caches[i].name, name) == 0)
			return s->caches[i].objects;
	}
	return 0;
}

/* The caches of which every connection has taken something: calls show for each of them. Bytes of all together; -1: not
 * readable. */
static double slabs_each(const struct footprint *story,
			 void (*show)(const struct footprint *story, const struct footprint_cache *c, double objects))
{
	const struct footprint_snapshot *before = &story->before, *after = &story->idle;
	double sum = 0;
	for (size_t i = 0; i < after->n; i++) {
		const struct footprint_cache *c = &after->caches[i];
		double objects = each(story, objects_of(before, c->name), c->objects);
		if (objects < 0.5)
			continue;
		sum += objects * (double)c->object_bytes;
		show(story, c, objects);
	}
	return after->n > 0 && before->n > 0 ? sum : -1;
}

static void show_cache(const struct footprint *story, const struct footprint_cache *c, double objects)
{
	if (!story->o->stage.json) {
		printf("  %-30s %9.0f bytes: %.2f of %" PRIu64 "\n", c->name, objects * (double)c->object_bytes,
		       objects, c->object_bytes);
		return;
	}
	struct json j;
	record_begin(&j, "cache");
	json_str(&j, "name", c->name);
	json_f64(&j, "objects_per_connection", objects);
	json_u64(&j, "object_bytes", c->object_bytes);
	json_end(&j);
}

static void report_step(const struct footprint *story, const char *name, const struct footprint_snapshot *s)
{
	if (!story->o->stage.json)
		return;
	struct json j;
	record_begin(&j, "step");
	json_str(&j, "step", name);
	json_u64(&j, "tcp_sockets", s->inuse);
	json_u64(&j, "tcp_memory_bytes", s->memory);
	json_u64(&j, "available_bytes", s->available);
	json_u64(&j, "unreclaimable_slab_bytes", s->unreclaimable);
	json_u64(&j, "kernel_stack_bytes", s->stacks);
	json_u64(&j, "page_table_bytes", s->page_tables);
	json_u64(&j, "server_pss_bytes", s->server_pss);
	json_u64(&j, "client_pss_bytes", s->client_pss);
	if (s->has_queues) {
		json_u64(&j, "receive_queue_bytes", s->received);
		json_u64(&j, "send_queue_bytes", s->queued);
		json_u64(&j, "reserved_bytes", s->ahead);
	}
	json_end(&j);
}

void footprint_report_start(const struct footprint_options *o)
{
	if (!o->stage.json)
		return;
	struct json j;
	record_begin(&j, "start");
	json_u64(&j, "number", o->number);
	json_str(&j, "serve", footprint_serving_names[o->serving]);
	json_bool(&j, "fixed", o->fixed);
	json_u64(&j, "unread_bytes", o->unread);
	json_end(&j);
}

static void put_each(struct json *j, const char *key, bool is_known, double value)
{
	if (is_known)
		json_f64(j, key, value);
	else
		json_null(j, key);
}

static void report_total(const struct footprint *s, bool as_promised)
{
	const struct footprint_snapshot *a = &s->before, *b = &s->idle, *c = &s->unread_there;
	double slabs = slabs_each(s, show_cache);
	struct json j;
	record_begin(&j, "total");
	json_str(&j, "serve", footprint_serving_names[s->o->serving]);
	json_bool(&j, "fixed", s->o->fixed);
	json_u64(&j, "number", s->o->number);
	json_u64(&j, "opened", s->opened);
	json_u64(&j, "processes", 2 * s->n);
	json_str(&j, "limited_by", s->limit);
	json_str(&j, "errno", stage_symbol(s->error));
	put_each(&j, "sockets_per_connection", s->opened > 0, each(s, a->inuse, b->inuse));
	put_each(&j, "slab_bytes_per_connection", slabs >= 0, slabs);
	json_f64(&j, "unreclaimable_bytes_per_connection", each(s, a->unreclaimable, b->unreclaimable));
	json_f64(&j, "kernel_stack_bytes_per_connection", each(s, a->stacks, b->stacks));
	json_f64(&j, "page_table_bytes_per_connection", each(s, a->page_tables, b->page_tables));
	json_f64(&j, "server_bytes_per_connection", footprint_server_each(s));
	json_f64(&j, "client_bytes_per_connection", each(s, a->client_pss, b->client_pss));
	put_each(&j, "unread_bytes_per_connection", s->opened > 0, each(s, 0, s->unread));
	put_each(&j, "queue_bytes_per_connection", c->has_queues,
		 each(s, b->received + b->ahead, c->received + c->ahead));
	json_bool(&j, "as_promised", as_promised);
	json_bool(&j, "interrupted", sig_pending(NULL) != 0);
	json_end(&j);
}

static void report_text(const struct footprint *s)
{
	const struct footprint_snapshot *a = &s->before, *b = &s->idle, *c = &s->unread_there;
	printf("%" PRIu64 " of %" PRIu64 " connections, their ends in %zu processes", s->opened, s->o->number,
	       2 * s->n);
	if (s->limit != NULL)
		printf("; %s allows no more", s->limit);
	printf(s->error != 0 ? ": %s\n" : "\n", errno_name(s->error));
	printf("the kernel, for each connection, both ends:\n");
	double slabs = slabs_each(s, show_cache);
	if (slabs >= 0)
		printf("  %-30s %9.0f bytes\n", "these caches together", slabs);
	else
		printf("  what it is made of: not readable (/proc/slabinfo is root's)\n");
	printf("  %-30s %9.0f bytes\n", "SUnreclaim (whole machine)", each(s, a->unreclaimable, b->unreclaimable));
	printf("  %-30s %9.0f bytes\n", "stacks (whole machine)", each(s, a->stacks, b->stacks));
	printf("  %-30s %9.0f bytes\n", "page tables (whole machine)", each(s, a->page_tables, b->page_tables));
	if (s->o->unread > 0 && c->has_queues)
		printf("  %-30s %9.0f bytes, for %.0f unread\n", "receive queue", each(s, b->received, c->received),
		       each(s, 0, s->unread));
	printf("the programs, for each connection:\n");
	printf("  %-30s %9.0f bytes\n", "server", footprint_server_each(s));
	printf("  %-30s %9.0f bytes\n", "client", each(s, a->client_pss, b->client_pss));
}

void footprint_report(const struct footprint *s, bool as_promised)
{
	report_step(s, "before", &s->before);
	report_step(s, "idle", &s->idle);
	if (s->o->unread > 0)
		report_step(s, "unread", &s->unread_there);
	if (s->o->stage.json)
		report_total(s, as_promised);
	else
		report_text(s);
}
