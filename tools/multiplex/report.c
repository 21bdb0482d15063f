/* report.c - what multiplex says: a table and a chart, or JSON, on standard output. */
#include "multiplex.h"

#include "addr.h"
#include "chart.h"
#include "diag.h"
#include "json.h"
#include "os.h"
#include "sig.h"
#include "termchart.h"
#include "units.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *multiplex_method_name(enum multiplex_method m)
{
	static const char *const names[] = { "select", "poll", "epoll" };
	return names[m];
}

static void record_open(struct json *j, const char *record)
{
	json_begin(j, stdout);
	json_str(j, "schema", "tcplab.multiplex/1");
	json_str(j, "record", record);
}

void multiplex_print_start(const struct multiplex_options *o, const struct multiplex_table *t)
{
	if (!o->json) {
		printf("one round, to wait and to find the %llu that %s ready; %s, median\n",
		       (unsigned long long)o->active, o->active == 1 ? "is" : "are",
		       o->kind == MULTIPLEX_TCP ? "TCP connections" : "eventfds");
		printf("%10s %12s %12s %12s\n", "idle", multiplex_method_name(MULTIPLEX_SELECT),
		       multiplex_method_name(MULTIPLEX_POLL), multiplex_method_name(MULTIPLEX_EPOLL));
		return;
	}
	struct json j;
	record_open(&j, "start");
	json_str(&j, "kind", o->kind == MULTIPLEX_TCP ? "tcp" : "eventfd");
	json_u64(&j, "active", o->active);
	json_u64(&j, "descriptor_limit", t->fd_limit);
	json_end(&j);
}

static void print_cell(uint64_t n_idle, enum multiplex_method m, const struct multiplex_cell *c)
{
	struct json j;
	record_open(&j, "cell");
	json_u64(&j, "idle", n_idle);
	json_str(&j, "method", multiplex_method_name(m));
	if (c->round.n > 0) {
		json_u64(&j, "round_p50_ns", hist_quantile(&c->round, 0.5));
		json_u64(&j, "round_p99_ns", hist_quantile(&c->round, 0.99));
		json_u64(&j, "round_min_ns", c->round.min);
	} else {
		json_null(&j, "round_p50_ns");
		json_null(&j, "round_p99_ns");
		json_null(&j, "round_min_ns");
	}
	json_u64(&j, "rounds", c->round.n);
	json_str(&j, "why_not", c->why_not[0] != '\0' ? c->why_not : NULL);
	json_end(&j);
}

void multiplex_print_row(const struct multiplex_options *o, const struct multiplex_table *t, size_t row)
{
	char text[UNITS_TEXT];
	if (!o->json)
		printf("%10llu", (unsigned long long)t->counts[row]);
	for (enum multiplex_method m = 0; m < MULTIPLEX_METHODS; m++) {
		const struct multiplex_cell *c = &t->cells[row][m];
		if (o->json)
			print_cell(t->counts[row], m, c);
		else
			printf(" %12s", c->round.n > 0 ? units_duration(text, hist_quantile(&c->round, 0.5)) : "-");
	}
	if (!o->json)
		printf("\n");
}

/* What a "-" in the table means. */
static void print_reasons(const struct multiplex_table *t)
{
	for (size_t i = 0; i < t->n_counts; i++) {
		for (enum multiplex_method m = 0; m < MULTIPLEX_METHODS; m++) {
			const struct multiplex_cell *c = &t->cells[i][m];
			/* The first of a row speaks for the others when there were no connections at all. */
			if (c->why_not[0] != '\0' && (m == 0 || strcmp(c->why_not, t->cells[i][0].why_not) != 0))
				printf("not shown: %s with %llu idle: %s\n", multiplex_method_name(m),
				       (unsigned long long)t->counts[i], c->why_not);
		}
	}
}

static void draw(const struct multiplex_table *t)
{
	double x[MULTIPLEX_COUNTS], y[MULTIPLEX_METHODS][MULTIPLEX_COUNTS];
	struct chart_series series[MULTIPLEX_METHODS];
	for (enum multiplex_method m = 0; m < MULTIPLEX_METHODS; m++) {
		for (size_t i = 0; i < t->n_counts; i++) {
			const struct hist *h = &t->cells[i][m].round;
			x[i] = (double)t->counts[i];
			y[m][i] = h->n > 0 ? (double)hist_quantile(h, 0.5) / 1e3 : (double)NAN;
		}
		series[m] = (struct chart_series){
			.label = multiplex_method_name(m), .x = x, .y = y[m], .n = t->n_counts
		};
	}
	struct chart chart = { .title = "One round over the number of idle connections",
			       .x_label = "idle connections",
			       .y_label = "us",
			       .log_x = true,
			       .log_y = true,
			       .series = series,
			       .n_series = MULTIPLEX_METHODS };
	printf("\n");
	termchart_draw(stdout, &chart, os_terminal_columns(100), 16, os_is_utf8());
}

size_t multiplex_count_measured(const struct multiplex_table *t)
{
	size_t n = 0;
	for (size_t i = 0; i < t->n_counts * MULTIPLEX_METHODS; i++)
		n += t->cells[i / MULTIPLEX_METHODS][i % MULTIPLEX_METHODS].round.n > 0;
	return n;
}

void multiplex_print_total(const struct multiplex_options *o, const struct multiplex_table *t, uint64_t elapsed_ns)
{
	if (!o->json) {
		print_reasons(t);
		if (t->n_counts > 1)
			draw(t);
		return;
	}
	struct json j;
	record_open(&j, "total");
	json_u64(&j, "elapsed_ns", elapsed_ns);
	json_u64(&j, "cells", t->n_counts * MULTIPLEX_METHODS);
	json_u64(&j, "measured", multiplex_count_measured(t));
	json_bool(&j, "interrupted", sig_pending(NULL) != 0);
	json_end(&j);
}

int multiplex_fail(const struct multiplex_options *o, const char *op, const char *object)
{
	struct net_error e = { 0 };
	char text[NET_ERROR_TEXT];
	net_fail(&e, op, object);
	warnf("%s", net_error_text(&e, text));
	if (!o->json)
		return 1;
	struct json j;
	record_open(&j, "error");
	json_str(&j, "op", e.op);
	json_str(&j, "object", e.object);
	json_str(&j, "errno", net_error_symbol(&e));
	json_str(&j, "message", net_error_reason(&e));
	json_end(&j);
	return 1;
}
