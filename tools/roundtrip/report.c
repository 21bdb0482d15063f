/* report.c - what a client tells while it runs: the start, the intervals, the live line, and who tells the rest:
 * report_text.c and report_json.c the end, report_csv.c each answer, report_svg.c the picture. Keys and meanings of all
 * figures are in docs/tools/roundtrip.md. */
#include "report.h"

#include "clock.h"
#include "diag.h"
#include "json.h"
#include "os.h"
#include "record.h"
#include "units.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* What was already told when the last interval ended. */
static struct told {
	uint64_t at_ns, sent, duplicated, reordered, missing;
	struct hist rtt, corrected;
	bool has_title; /* of the table of intervals */
	bool is_live;   /* the cursor is in a live line */
} told;

/* --- the figures ------------------------------------------------------------------------------------------------- */

static double jitter_of(double sum_ns, uint64_t n)
{
	return n > 0 ? sum_ns / (double)n : (double)NAN;
}

/* No way takes less than nothing, whatever the clocks are off by. */
static bool can_be(int64_t up_ns, int64_t down_ns, uint64_t error_ns)
{
	double shortest_ns = (double)(up_ns < down_ns ? up_ns : down_ns);

	return shortest_ns + (double)error_ns >= 0;
}

struct figures roundtrip_figures(const struct measure *m)
{
	bool here = m->here.is_known && m->here.is_synchronised, there = m->there.is_known && m->there.is_synchronised;
	uint64_t error_ns;
	if (__builtin_add_overflow(m->here.error_ns, m->there.error_ns, &error_ns))
		error_ns = UINT64_MAX;
	bool is_refuted = here && there && !can_be(m->up_min_ns, m->down_min_ns, error_ns);

	return (struct figures){
		.m = m,
		.received = m->rtt.n,
		.losses = measure_losses(m),
		.fit = clockfit_of(&m->timeline),
		.kernel_fit = clockfit_of(&m->kernel),
		.rtt_jitter_ns = jitter_of(m->rtt_jitter_ns, m->n_jitter),
		.up_jitter_ns = jitter_of(m->up_jitter_ns, m->n_jitter),
		.down_jitter_ns = jitter_of(m->down_jitter_ns, m->n_jitter),
		.is_absolute = here && there && !is_refuted,
		.one_way_error_ns = error_ns,
		.is_refuted = is_refuted,
	};
}

/* --- the start --------------------------------------------------------------------------------------------------- */

static void json_start(const struct report_about *a)
{
	struct json j;
	char socks[SOCKS_PLACE_TEXT];
	record_begin(&j, "start");
	json_str(&j, "role", "client");
	json_str(&j, "peer", a->peer);
	json_str(&j, "socks", socks_proxy_text(&a->o->socks, socks));
	json_str(&j, "transport", a->transport);
	json_str(&j, "wire", a->wire);
	json_u64(&j, "size", a->len);
	json_u64(&j, "interval_ns", a->o->interval_ns);
	json_bool(&j, "poisson", a->o->poisson);
	json_bool(&j, "naive", a->o->naive);
	json_bool(&j, "busy_poll", a->o->busy_poll);
	json_i64(&j, "started_real_ns", clk_real_ns());
	json_end(&j);
}

/* The text begins with the first interval or with the report: until an answer came nobody knows what the server
 * speaks. */
void roundtrip_report_start(const struct report_about *a)
{
	memset(&told, 0, sizeof(told));
	if (a->o->json)
		json_start(a);
}

/* --- intervals --------------------------------------------------------------------------------------------------- */

/* What is new since the last interval. */
struct news {
	uint64_t from_ns, to_ns, sent, duplicated, reordered;
	int64_t missing; /* overtaken by answers to later questions; below 0 when some came after all */
	struct hist rtt, corrected;
};

static void take_news(struct news *n, const struct measure *m)
{
	uint64_t missing = track_missing(&m->trip);

	*n = (struct news){
		.from_ns = told.at_ns,
		.to_ns = m->elapsed_ns,
		.sent = m->sent - told.sent,
		.duplicated = m->trip.duplicated - told.duplicated,
		.reordered = m->trip.reordered - told.reordered,
		.missing = (int64_t)(missing - told.missing),
		.rtt = m->rtt,
		.corrected = m->corrected,
	};
	hist_since(&n->rtt, &told.rtt);
	hist_since(&n->corrected, &told.corrected);

	told.at_ns = m->elapsed_ns;
	told.sent = m->sent;
	told.duplicated = m->trip.duplicated;
	told.reordered = m->trip.reordered;
	told.missing = missing;
	told.rtt = m->rtt;
	told.corrected = m->corrected;
}

static void json_interval(const struct report_about *a, const struct news *n, const struct clockfit *fit)
{
	struct json j;
	record_begin(&j, "interval");
	json_u64(&j, "start_ns", n->from_ns);
	json_u64(&j, "end_ns", n->to_ns);
	json_u64(&j, "sent", n->sent);
	json_u64(&j, "received", n->rtt.n);
	json_i64(&j, "missing", n->missing);
	json_u64(&j, "duplicated", n->duplicated);
	json_u64(&j, "reordered", n->reordered);
	roundtrip_json_hist(&j, "rtt", "", &n->rtt, true);
	roundtrip_json_hist(&j, "rtt", "_corrected", &n->corrected, roundtrip_has_schedule(a));
	roundtrip_json_clock(&j, fit);
	json_end(&j);
}

static void print_interval_clock(const struct clockfit *fit)
{
	char offset[BOUNDED_TEXT] = "-", drift[BOUNDED_TEXT] = "-";

	if (fit->has_offset)
		roundtrip_text_bounded(offset, fit->offset_ns, fit->offset_bound_ns);
	if (fit->has_drift)
		roundtrip_text_drift(drift, fit->drift_ppm, fit->drift_bound_ppm);
	printf("  %-22s  %s\n", offset, drift);
}

static void print_interval(const struct news *n, const struct clockfit *fit)
{
	char min[UNITS_TEXT] = "-", p50[UNITS_TEXT] = "-", p99[UNITS_TEXT] = "-", max[UNITS_TEXT] = "-";

	if (!told.has_title)
		printf("  %-13s %7s %7s %7s %9s %9s %9s %9s  %-22s  %s\n", "  seconds", "sent", "back", "missing",
		       "RTT min", "p50", "p99", "max", "clock (whole run)", "drift");
	told.has_title = true;
	if (n->rtt.n > 0) {
		units_duration(min, n->rtt.min);
		units_duration(p50, hist_quantile(&n->rtt, 0.5));
		units_duration(p99, hist_quantile(&n->rtt, 0.99));
		units_duration(max, n->rtt.max);
	}
	printf("%7.2f-%-7.2f %7llu %7llu %7lld %9s %9s %9s %9s", (double)n->from_ns / 1e9, (double)n->to_ns / 1e9,
	       (unsigned long long)n->sent, (unsigned long long)n->rtt.n, (long long)n->missing, min, p50, p99, max);
	print_interval_clock(fit);
}

void roundtrip_report_interval(const struct report_about *a, const struct measure *m)
{
	static struct news n; /* 60 KB: not on the stack */
	struct clockfit fit = clockfit_of(&m->timeline);

	roundtrip_report_live(a, NULL);
	take_news(&n, m);
	if (a->o->json)
		json_interval(a, &n, &fit);
	else
		print_interval(&n, &fit);
}

/* --- the live line ----------------------------------------------------------------------------------------------- */

enum { LIVE_TEXT = 240 };

static void compose_live(char line[static LIVE_TEXT], const struct measure *m)
{
	struct clockfit fit = clockfit_of(&m->timeline);
	char text[BOUNDED_TEXT];
	size_t len = (size_t)snprintf(line, LIVE_TEXT, "%6.1f s  %llu of %llu  ", (double)m->elapsed_ns / 1e9,
				      (unsigned long long)m->rtt.n, (unsigned long long)m->sent);

	if (m->rtt.n > 0) {
		char last[UNITS_TEXT], p50[UNITS_TEXT], p99[UNITS_TEXT];
		len += (size_t)snprintf(line + len, LIVE_TEXT - len, "RTT %s, p50 %s, p99 %s",
					units_duration(last, m->last_rtt_ns),
					units_duration(p50, hist_quantile(&m->rtt, 0.5)),
					units_duration(p99, hist_quantile(&m->rtt, 0.99)));
	}
	if (fit.has_offset && len < LIVE_TEXT)
		len += (size_t)snprintf(line + len, LIVE_TEXT - len, "  clock %s",
					roundtrip_text_bounded(text, fit.offset_ns, fit.offset_bound_ns));
	if (fit.has_drift && len < LIVE_TEXT)
		snprintf(line + len, LIVE_TEXT - len, "  drift %s",
			 roundtrip_text_drift(text, fit.drift_ppm, fit.drift_bound_ppm));
}

/* WHY one column less than the terminal has: a character in the last one would move the cursor to the next line. */
void roundtrip_report_live(const struct report_about *a, const struct measure *m)
{
	char line[LIVE_TEXT];
	int columns = (int)os_terminal_columns(LIVE_TEXT) - 1;

	if (m == NULL) {
		if (told.is_live)
			fputc('\n', stderr);
		told.is_live = false;
		return;
	}
	if (!isatty(STDERR_FILENO) || a->o->json)
		return;
	compose_live(line, m);
	fprintf(stderr, "\r%-*.*s", columns, columns, line);
	told.is_live = true;
}

/* --- steering ---------------------------------------------------------------------------------------------------- */

static const char *const action_names[] = { [STEER_NONE] = "none", [STEER_STEP] = "step", [STEER_SLEW] = "slew" };

static void json_steer(const struct steer_decision *d)
{
	struct json j;
	record_begin(&j, "steer");
	json_u64(&j, "at_ns", d->at_ns);
	json_str(&j, "action", action_names[d->action]);
	if (d->action == STEER_NONE) {
		json_null(&j, "offset_ns");
		json_null(&j, "rtt_ns");
		json_null(&j, "correction_ns");
	} else {
		json_i64(&j, "offset_ns", d->offset_ns);
		json_u64(&j, "rtt_ns", d->rtt_ns);
		json_i64(&j, "correction_ns", d->correction_ns);
	}
	json_f64(&j, "frequency_ppm", d->frequency_ppm);
	json_end(&j);
}

void roundtrip_report_steer(const struct report_about *a, const struct steer_decision *d)
{
	char rtt[UNITS_TEXT];

	roundtrip_report_live(a, NULL);
	if (a->o->json) {
		json_steer(d);
		return;
	}
	printf("steer %7.1f s: ", (double)d->at_ns / 1e9);
	if (d->action == STEER_NONE)
		printf("no better sample than the one used last: nothing would be done");
	else
		printf("offset %+.3f ms (RTT %s): would %s the clock by %+.3f ms", (double)d->offset_ns / 1e6,
		       units_duration(rtt, d->rtt_ns), action_names[d->action], (double)d->correction_ns / 1e6);
	printf(", frequency %+.3f ppm\n", d->frequency_ppm);
}

/* --- the end ----------------------------------------------------------------------------------------------------- */

bool roundtrip_report_total(const struct report_about *a, const struct measure *m)
{
	struct figures f = roundtrip_figures(m);

	roundtrip_report_live(a, NULL);
	if (a->o->json)
		roundtrip_json_total(a, &f);
	else
		roundtrip_text_total(a, &f);
	bool csv_written = roundtrip_csv_close();
	return (a->o->svg_file == NULL || roundtrip_svg_write(a, &f)) && csv_written;
}
