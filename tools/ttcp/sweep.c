/* sweep.c - the same transfer at each block size and depth: the table that shows what waiting for an answer costs.
 *
 * Each cell is one short session with the same receiver. When all are measured, a straight line through the smallest
 * and the largest block at the first depth splits the time of a block into a fixed part and a part for each byte:
 *
 *     time of a block = T0 + block / B        rate predicted = depth x block / (T0 + block / B), up to the best cell
 *
 * T0 is what a round trip costs, B is how fast bytes move once they do. */
#include "ttcp.h"

#include "chart.h"
#include "clock.h"
#include "diag.h"
#include "mem.h"
#include "record.h"
#include "sig.h"
#include "sort.h"
#include "svg.h"
#include "termchart.h"
#include "units.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LIST_MAX = 32 };
static const char DEFAULT_SIZES[] = "1K,2K,4K,8K,16K,32K,64K,128K,256K,512K,1M", DEFAULT_DEPTHS[] = "1,4,16";

struct cell {
	bool measured;
	uint64_t length, depth;
	double predicted_Bps;
	struct summary sum;
};

struct sweep {
	const struct options *o;
	uint64_t sizes[LIST_MAX], depths[LIST_MAX];
	size_t n_sizes, n_depths;
	struct cell *cells;   /* n_sizes rows of n_depths */
	double fixed_ns, Bps; /* T0 and B; 0 when they could not be found */
	double best_Bps;
};

static struct cell *cell_at(const struct sweep *s, size_t size, size_t depth)
{
	return &s->cells[size * s->n_depths + depth];
}

/* --- measuring --------------------------------------------------------------------------------------------------- */

/* A comma-separated list in ascending order; what is no number in the range is wrong usage. */
static size_t parse_list(const char *option, const char *text, uint64_t max, uint64_t out[static LIST_MAX])
{
	char word[32];
	size_t n = 0;
	do {
		size_t len = strcspn(text, ",");
		snprintf(word, sizeof(word), "%.*s", (int)len, text);
		if (n == LIST_MAX || !units_parse_size(word, &out[n]) || out[n] == 0 || out[n] > max) {
			warnf("%s: '%s' does not fit (at most %d numbers, each 1 to %llu)", option, word, LIST_MAX,
			      (unsigned long long)max);
			exit(2);
		}
		n++;
		text += len + (text[len] == ',');
	} while (*text != '\0');
	sort_u64(out, n);
	return n;
}

/* 0, or -1 when the run failed; the error has been reported. */
static int measure(struct sweep *s, const struct plan *common, struct cell *c)
{
	struct run r;
	struct plan plan = *common;
	plan.length = (uint32_t)c->length;
	plan.depth = (uint32_t)c->depth;
	int rc = run_open(&r, s->o, &plan);
	if (rc == 0)
		run_go(&r);
	if (run_failed(&r)) {
		record_error(s->o->json, &r.error);
		rc = -1;
	} else {
		struct summary both[2];
		summarize(&r, both);
		c->sum = both[0];
		c->measured = sig_pending(NULL) == 0;
	}
	run_close(&r);
	return rc;
}

/* A line on a terminal that is overwritten by the next, and wiped out at the end. */
static void show_progress(const struct sweep *s, size_t done)
{
	size_t n = s->n_sizes * s->n_depths;
	if (!isatty(STDERR_FILENO))
		return;
	if (done < n)
		fprintf(stderr, "\r%zu of %zu cells ", done, n);
	else
		fprintf(stderr, "\r%*s\r", 24, "");
}

static int measure_all(struct sweep *s)
{
	size_t n = s->n_sizes * s->n_depths;
	struct plan plan = client_plan(s->o);
	plan.connections = (uint16_t)(n *
				      s->o->streams); /* one session, so that a receiver with -1 stays for all of it */
	for (size_t i = 0; i < n && sig_pending(NULL) == 0; i++) {
		struct cell *c = &s->cells[i];
		c->length = s->sizes[i / s->n_depths];
		c->depth = s->depths[i % s->n_depths];
		show_progress(s, i);
		if (measure(s, &plan, c) < 0)
			return -1;
	}
	show_progress(s, n);
	return 0;
}

/* --- the model --------------------------------------------------------------------------------------------------- */

static double block_ns(const struct cell *c)
{
	return c->sum.rate_Bps > 0 ? (double)c->depth * (double)c->length * 1e9 / c->sum.rate_Bps : 0;
}

static void fit(struct sweep *s)
{
	const struct cell *least = cell_at(s, 0, 0), *most = cell_at(s, s->n_sizes - 1, 0);
	for (size_t i = 0; i < s->n_sizes * s->n_depths; i++)
		s->best_Bps = fmax(s->best_Bps, s->cells[i].measured ? s->cells[i].sum.rate_Bps : 0);
	double more_ns = block_ns(most) - block_ns(least), more_bytes = (double)(most->length - least->length);
	if (!least->measured || !most->measured || more_ns <= 0 || more_bytes <= 0)
		return;
	s->Bps = more_bytes * 1e9 / more_ns;
	s->fixed_ns = fmax(0, block_ns(least) - (double)least->length * 1e9 / s->Bps);
	for (size_t i = 0; i < s->n_sizes * s->n_depths; i++) {
		struct cell *c = &s->cells[i];
		double ns = s->fixed_ns + (double)c->length * 1e9 / s->Bps;
		c->predicted_Bps = fmin((double)c->depth * (double)c->length * 1e9 / ns, s->best_Bps);
	}
}

/* --- table, CSV, JSON -------------------------------------------------------------------------------------------- */

static void print_table(const struct sweep *s)
{
	char size[UNITS_TEXT], title[32];
	printf("%9s", "");
	for (size_t d = 0; d < s->n_depths; d++) {
		snprintf(title, sizeof(title), "depth %llu", (unsigned long long)s->depths[d]);
		printf("  %-20s", title);
	}
	printf("\n%9s", "block");
	for (size_t d = 0; d < s->n_depths; d++)
		printf("  %9s %10s", "MiB/s", "predicted");
	printf("\n");
	for (size_t i = 0; i < s->n_sizes; i++) {
		printf("%9s", units_size_short(size, s->sizes[i]));
		for (size_t d = 0; d < s->n_depths; d++) {
			const struct cell *c = cell_at(s, i, d);
			if (!c->measured)
				printf("  %9s %10s", "-", "-");
			else if (s->Bps == 0)
				printf("  %9.1f %10s", c->sum.rate_Bps / 1048576, "-");
			else
				printf("  %9.1f %10.1f", c->sum.rate_Bps / 1048576, c->predicted_Bps / 1048576);
		}
		printf("\n");
	}
	char fixed[UNITS_TEXT], rate[UNITS_TEXT];
	if (s->Bps > 0)
		printf("predicted: depth x block / (%s + block / %s), at most the best cell\n",
		       units_duration(fixed, (uint64_t)s->fixed_ns), units_rate(rate, s->Bps));
}

static void print_csv(const struct sweep *s)
{
	printf("length,depth,rate_Bps,predicted_Bps,bytes,blocks,elapsed_ns,rtt_ns,block_rtt_p50_ns,block_rtt_p99_ns,"
	       "retransmits,limited_by\n");
	for (size_t i = 0; i < s->n_sizes * s->n_depths; i++) {
		const struct cell *c = &s->cells[i];
		const struct summary *m = &c->sum;
		if (c->measured)
			printf("%llu,%llu,%.0f,%.0f,%llu,%llu,%llu,%llu,%llu,%llu,%llu,%s\n",
			       (unsigned long long)c->length, (unsigned long long)c->depth, m->rate_Bps,
			       c->predicted_Bps, (unsigned long long)m->bytes, (unsigned long long)m->blocks,
			       (unsigned long long)m->elapsed_ns, (unsigned long long)m->sender.rtt_ns,
			       (unsigned long long)hist_quantile(&m->block_rtt, 0.5),
			       (unsigned long long)hist_quantile(&m->block_rtt, 0.99),
			       (unsigned long long)m->sender.retransmits, limit_name(m->limited_by));
	}
}

static void print_json(const struct sweep *s)
{
	struct json j;
	char socks[SOCKS_PLACE_TEXT];
	struct summary all = { 0 };
	for (size_t i = 0; i < s->n_sizes * s->n_depths; i++) {
		const struct cell *c = &s->cells[i];
		if (!c->measured)
			continue;
		record_begin(&j, "cell");
		json_u64(&j, "length", c->length);
		json_u64(&j, "depth", c->depth);
		json_f64(&j, "rate_Bps", c->sum.rate_Bps);
		json_f64(&j, "predicted_Bps", s->Bps > 0 ? c->predicted_Bps : (double)NAN);
		json_u64(&j, "bytes", c->sum.bytes);
		json_u64(&j, "blocks", c->sum.blocks);
		json_u64(&j, "elapsed_ns", c->sum.elapsed_ns);
		json_u64(&j, "rtt_ns", c->sum.sender.rtt_ns);
		json_or_null(&j, "block_rtt_p50_ns", c->sum.block_rtt.n > 0, hist_quantile(&c->sum.block_rtt, 0.5));
		json_or_null(&j, "block_rtt_p99_ns", c->sum.block_rtt.n > 0, hist_quantile(&c->sum.block_rtt, 0.99));
		json_u64(&j, "retransmits", c->sum.sender.retransmits);
		json_str(&j, "limited_by", limit_name(c->sum.limited_by));
		json_end(&j);
		summary_merge(&all, &c->sum);
	}
	record_begin(&j, "total");
	report_json_summary(&j, &all);
	json_str(&j, "socks", socks_proxy_text(&s->o->socks, socks));
	json_bool(&j, "interrupted", sig_pending(NULL) != 0);
	json_f64(&j, "fixed_ns", s->Bps > 0 ? s->fixed_ns : (double)NAN);
	json_f64(&j, "bandwidth_Bps", s->Bps > 0 ? s->Bps : (double)NAN);
	json_end(&j);
}

/* --- the chart --------------------------------------------------------------------------------------------------- */

/* One line for each depth, and the prediction for the first. The arrays belong to the caller. */
static size_t make_series(const struct sweep *s, struct chart_series *series, double *x, double *y,
			  char labels[static LIST_MAX][32])
{
	size_t n = 0;
	for (size_t d = 0; d <= s->n_depths; d++) {
		bool is_model = d == s->n_depths;
		if (is_model && s->Bps == 0)
			break;
		for (size_t i = 0; i < s->n_sizes; i++) {
			const struct cell *c = cell_at(s, i, is_model ? 0 : d);
			x[d * s->n_sizes + i] = (double)c->length;
			double Bps = !c->measured ? (double)NAN : is_model ? c->predicted_Bps : c->sum.rate_Bps;
			y[d * s->n_sizes + i] = Bps / 1e6;
		}
		snprintf(labels[n], 32, is_model ? "predicted, depth %llu" : "depth %llu",
			 (unsigned long long)s->depths[is_model ? 0 : d]);
		series[n] = (struct chart_series){ .label = labels[n],
						   .x = &x[d * s->n_sizes],
						   .y = &y[d * s->n_sizes],
						   .n = s->n_sizes,
						   .dashed = is_model };
		n++;
	}
	return n;
}

static int draw_svg(const char *path, const struct chart *chart)
{
	FILE *out = fopen(path, "w");
	if (out != NULL)
		svg_chart(out, chart);
	if (out == NULL || fflush(out) != 0 || ferror(out)) {
		warnf_errno("write %s", path);
		if (out != NULL)
			fclose(out);
		return -1;
	}
	return fclose(out);
}

static int draw(const struct sweep *s)
{
	struct chart_series series[LIST_MAX + 1];
	char labels[LIST_MAX + 1][32];
	double *x = xcalloc((s->n_depths + 1) * s->n_sizes, sizeof(*x));
	double *y = xcalloc((s->n_depths + 1) * s->n_sizes, sizeof(*y));
	struct chart chart = { .title = "ttcp: throughput over block size",
			       .x_label = "block size (bytes)",
			       .y_label = "MB/s",
			       .log_x = true,
			       .log_y = true,
			       .x_is_size = true,
			       .series = series };
	chart.n_series = make_series(s, series, x, y, labels);
	int rc = 0;
	if (!s->o->json && !s->o->csv) {
		printf("\n");
		termchart_draw(stdout, &chart, os_terminal_columns(120), 20, os_is_utf8());
	}
	if (s->o->svg != NULL)
		rc = draw_svg(s->o->svg, &chart);
	free(x);
	free(y);
	return rc;
}

int sweep_run(const struct options *o)
{
	struct sweep s = { .o = o };
	s.n_sizes = parse_list("--sizes", o->sizes != NULL ? o->sizes : DEFAULT_SIZES, o->max_length, s.sizes);
	s.n_depths = parse_list("--depths",
				o->depths != NULL     ? o->depths
				: o->mode == MODE_ACK ? DEFAULT_DEPTHS
						      : "1",
				TTCP_MAX_DEPTH, s.depths);
	if (s.n_sizes * s.n_depths * o->streams > UINT16_MAX) {
		warnf("--sweep: %zu cells of %llu streams are too many connections", s.n_sizes * s.n_depths,
		      (unsigned long long)o->streams);
		return 2;
	}
	s.cells = xcalloc(s.n_sizes * s.n_depths + 1, sizeof(s.cells[0]));
	int status = measure_all(&s) < 0 ? 1 : 0;
	if (status == 0) {
		fit(&s);
		if (o->json)
			print_json(&s);
		else if (o->csv)
			print_csv(&s);
		else
			print_table(&s);
		status = draw(&s) < 0 ? 1 : 0;
	}
	free(s.cells);
	return sig_exit_status(status);
}
