/* report_text.c - the report of the end for a human who wants to understand: first the numbers, in a table, then what
 * they mean and how far they can be trusted, a paragraph each. */
#include "report.h"

#include "os.h"
#include "termhist.h"
#include "units.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { LABEL = 12, COLUMN = 9, PARAGRAPH = 1024 };

/* --- numbers ----------------------------------------------------------------------------------------------------- */

struct unit {
	const char *name;
	double ns;
};

static struct unit unit_for(double ns)
{
	static const struct unit units[] = { { "ns", 1 }, { "us", 1e3 }, { "ms", 1e6 }, { "s", 1e9 } };
	size_t i = 0;

	while (i + 1 < COUNT_OF(units) && fabs(ns) >= 999.5 * units[i].ns)
		i++;
	return units[i];
}

/* How many decimals a number needs to show three digits; at most nine. */
static int decimals_for(double v)
{
	int decimals = 0;

	for (v = fabs(v); decimals < 9 && v < 99.95; v *= 10)
		decimals++;
	return decimals;
}

/* What is rounded to 0 has no sign: "-0" would say that it is known to be less. */
static double unsigned_zero(double v, int decimals)
{
	return fabs(v) * pow(10, decimals) < 0.5 ? 0 : v;
}

/* The digits are those of the bound: what is smaller is noise. */
const char *roundtrip_text_bounded(char out[static BOUNDED_TEXT], int64_t ns, uint64_t bound_ns)
{
	struct unit unit = unit_for(fmax(fabs((double)ns), (double)bound_ns));
	int decimals = unit.ns > 1 ? decimals_for((double)bound_ns / unit.ns) : 0;

	snprintf(out, BOUNDED_TEXT, "%+.*f +- %.*f %s", decimals, unsigned_zero((double)ns / unit.ns, decimals),
		 decimals, (double)bound_ns / unit.ns, unit.name);
	return out;
}

static int ppm_decimals(double bound_ppm)
{
	return bound_ppm < 1 ? 2 : bound_ppm < 10 ? 1 : 0;
}

const char *roundtrip_text_drift(char out[static BOUNDED_TEXT], double ppm, double bound_ppm)
{
	int decimals = ppm_decimals(bound_ppm);

	snprintf(out, BOUNDED_TEXT, "%+.*f +- %.*f ppm", decimals, unsigned_zero(ppm, decimals), decimals, bound_ppm);
	return out;
}

static double percent(uint64_t part, uint64_t whole)
{
	return whole > 0 ? 100.0 * (double)part / (double)whole : 0;
}

/* --- paragraphs -------------------------------------------------------------------------------------------------- */

/* A text that grows. What does not fit is left out; PARAGRAPH is longer than any of them. */
struct text {
	size_t len;
	char chars[PARAGRAPH];
};

PRINTF_LIKE(2, 3)
static void add(struct text *t, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	int n = vsnprintf(t->chars + t->len, sizeof(t->chars) - t->len, fmt, args);
	va_end(args);
	t->len += n > 0 ? (size_t)n : 0;
	if (t->len >= sizeof(t->chars))
		t->len = sizeof(t->chars) - 1;
}

/* "  label       text, broken between words, later lines indented like the first". */
static void print_paragraph(const char *label, struct text *t)
{
	size_t width = os_terminal_columns(110), column = 2 + LABEL;

	printf("  %-*s", LABEL, label);
	for (char *rest = t->chars, *word; (word = strsep(&rest, " ")) != NULL; column += strlen(word)) {
		if (column > 2 + LABEL && column + 1 + strlen(word) > width) {
			printf("\n%*s", 2 + LABEL, "");
			column = 2 + LABEL;
		} else if (column > 2 + LABEL) {
			putchar(' ');
			column++;
		}
		fputs(word, stdout);
	}
	putchar('\n');
}

/* --- the table of durations -------------------------------------------------------------------------------------- */

enum { QUANTILES = 6 };
static const double quantiles[QUANTILES] = { 0, 0.5, 0.9, 0.99, 0.999, 1 };

static void print_titles(void)
{
	static const char *const titles[] = { "min", "p50", "p90", "p99", "p99.9", "max", "mean" };

	printf("  %-*s", LABEL, "");
	for (size_t i = 0; i < COUNT_OF(titles); i++)
		printf("%*s", COLUMN, titles[i]);
	printf("    %*s\n", COLUMN, "jitter");
}

/* One unit for a line, that of the median, so that the numbers can be compared; `more_ns` is added to all but the
 * jitter. */
static void print_row(const char *label, const struct hist *h, int64_t more_ns, double jitter_ns)
{
	double median = (double)hist_quantile(h, 0.5) + (double)more_ns;
	double typical = median != 0 ? median : (double)h->max;
	struct unit unit = unit_for(typical);
	int decimals = unit.ns > 1 ? decimals_for(typical / unit.ns) : 0;

	printf("  %-*s", LABEL, label);
	for (size_t i = 0; i < QUANTILES; i++)
		printf("%*.*f", COLUMN, decimals, ((double)hist_quantile(h, quantiles[i]) + (double)more_ns) / unit.ns);
	char jitter[UNITS_TEXT] = "-";
	if (!isnan(jitter_ns))
		units_duration(jitter, (uint64_t)jitter_ns);
	printf("%*.*f %-2s %*s\n", COLUMN, decimals, (hist_mean(h) + (double)more_ns) / unit.ns, unit.name, COLUMN,
	       jitter);
}

/* The largest relative difference of the quantiles of two histograms. */
static double difference(const struct hist *a, const struct hist *b)
{
	double most = 0;

	for (size_t i = 0; i < QUANTILES; i++) {
		double x = (double)hist_quantile(a, quantiles[i]), y = (double)hist_quantile(b, quantiles[i]);
		most = fmax(most, fabs(x - y) / fmax(fmax(x, y), 1));
	}
	return most;
}

/* Below this the two are told by one line. A cell of a histogram is 1/64 wide, so less says little. */
static const double same = 0.05;

static void print_corrected_note(const struct report_about *a, const struct figures *f)
{
	struct text t = { 0 };
	double most = difference(&f->m->rtt, &f->m->corrected);

	if (!roundtrip_has_schedule(a))
		add(&t,
		    "nothing: there is no schedule. While an answer is late nobody asks, and nobody knows what he would "
		    "have met");
	else if (most < same)
		add(&t, "the same within %.1f %%: the questions left when they should", ceil(most * 1000) / 10);
	else
		add(&t, "from the times at which the questions should have left: some left late (this machine was "
			"busy, or slow to wake up), and the RTT leaves that out");
	print_paragraph("corrected", &t);
}

static void print_durations(const struct report_about *a, const struct figures *f)
{
	const struct measure *m = f->m;

	print_titles();
	print_row("RTT", &m->rtt, 0, f->rtt_jitter_ns);
	if (roundtrip_has_schedule(a) && difference(&m->rtt, &m->corrected) >= same)
		print_row("corrected", &m->corrected, 0, NAN);
	if (!roundtrip_has_ways(f))
		return;
	print_row("there", &m->up_excess, f->is_absolute ? m->up_min_ns : 0, f->up_jitter_ns);
	print_row("back", &m->down_excess, f->is_absolute ? m->down_min_ns : 0, f->down_jitter_ns);
}

/* The ways are measured with two clocks; what these gain on each other during the run looks like delay. */
static void add_drift_note(struct text *t, const struct figures *f)
{
	double drifted_ns = fabs(f->fit.drift_ppm) * 1e-6 * (double)f->m->elapsed_ns;
	char duration[UNITS_TEXT];

	if (f->fit.has_drift && fabs(f->fit.drift_ppm) > f->fit.drift_bound_ppm &&
	    drifted_ns > (double)hist_quantile(&f->m->up_excess, 0.5) / 10)
		add(t, "; the drift of the clocks is in them, too: %s during the run",
		    units_duration(duration, (uint64_t)drifted_ns));
}

static void print_one_way_note(const struct figures *f)
{
	struct text t = { 0 };
	char error[UNITS_TEXT];

	if (!roundtrip_has_ways(f))
		return;
	if (f->is_absolute) {
		add(&t, "both clocks say that they are synchronised: each way is a duration, +- %s",
		    units_duration(error, f->one_way_error_ns));
		if (f->one_way_error_ns > f->m->rtt.min)
			add(&t, ", which is more than the whole round trip takes");
	} else {
		if (f->is_refuted)
			add(&t,
			    "both clocks say that they are synchronised, to %s together, but then a way would take less "
			    "than nothing: one of them is wrong. So ",
			    units_duration(error, f->one_way_error_ns));
		add(&t,
		    "above the shortest one of each way; what the shortest itself took cannot be known without synchronised "
		    "clocks");
	}
	add_drift_note(&t, f);
	print_paragraph("there, back", &t);
}

/* --- the clock --------------------------------------------------------------------------------------------------- */

static void print_offset(const struct clockfit *fit, const char *label, const char *what)
{
	struct text t = { 0 };
	char offset[BOUNDED_TEXT];
	bool may_be_same = fabs((double)fit->offset_ns) <= (double)fit->offset_bound_ns;

	add(&t, "%s%s: ", roundtrip_text_bounded(offset, fit->offset_ns, fit->offset_bound_ns), what);
	if (may_be_same)
		add(&t, "the two may well show the same; the bound is half of the shortest round trip");
	else
		add(&t, "the server's is %s; the bound is half of the shortest round trip",
		    fit->offset_ns > 0 ? "ahead" : "behind");
	if (fit->has_drift && fabs(fit->drift_ppm) > fit->drift_bound_ppm &&
	    fabs((double)fit->end_offset_ns - (double)fit->offset_ns) > (double)fit->offset_bound_ns / 10)
		add(&t, ". That was after %.1f s; at the end, with the drift, %s", (double)fit->at_ns / 1e9,
		    roundtrip_text_bounded(offset, fit->end_offset_ns, fit->offset_bound_ns));
	print_paragraph(label, &t);
}

static void print_drift(const struct clockfit *fit)
{
	struct text t = { 0 };
	char drift[BOUNDED_TEXT];

	roundtrip_text_drift(drift, fit->drift_ppm, fit->drift_bound_ppm);
	if (!fit->has_drift)
		add(&t, "not known: the run was too short");
	else if (!fit->is_straight)
		add(&t, "%s, with reserve: not a straight line. A clock was set or steered, or the path changed",
		    drift);
	else if (fabs(fit->drift_ppm) <= fit->drift_bound_ppm)
		add(&t, "%s: cannot be told from nothing; a longer run would tell more", drift);
	else
		add(&t, "%s: the server's clock %s %.3g s a day, if the shortest path stayed as it was", drift,
		    fit->drift_ppm > 0 ? "gains" : "loses", fabs(fit->drift_ppm) * 0.0864);
	print_paragraph("drift", &t);
}

static void print_clock(const struct figures *f)
{
	if (!f->fit.has_offset)
		return;
	print_offset(&f->fit, "clock", "");
	if (f->kernel_fit.has_offset)
		print_offset(&f->kernel_fit, "", " by the kernels' stamps");
	print_drift(&f->fit);
}

static void print_ntp(const struct ntp *ntp)
{
	struct text t = { 0 };
	char distance[UNITS_TEXT];

	add(&t, "stratum %u", (unsigned)ntp->stratum);
	if (ntp->stratum == 1 && ntp->reference[0] != '\0')
		add(&t, " (%s)", ntp->reference);
	if (roundtrip_is_synchronised(ntp))
		add(&t, "; says that its own clock is right within %s, which comes on top of the bound",
		    units_duration(distance, roundtrip_root_distance_ns(ntp)));
	else
		add(&t,
		    "; says that its own clock is not synchronised: the offset is from a clock that nobody vouches for");
	print_paragraph("server", &t);
}

/* --- what became of the questions -------------------------------------------------------------------------------- */

static unsigned long long ull(uint64_t v)
{
	return v;
}

static void print_losses(const struct figures *f)
{
	const struct losses *l = &f->losses;
	struct text t = { 0 };

	add(&t, "%llu of %llu", ull(l->lost), ull(f->m->sent));
	if (l->lost > 0)
		add(&t, " (%.3g %%)", percent(l->lost, f->m->sent));
	if (l->lost > 0 && l->has_directions)
		add(&t, ": %llu on the way there, %llu on the way back", ull(l->up), ull(l->down));
	if (l->lost > 0 && l->has_directions && l->unknown > 0)
		add(&t, ", %llu nobody knows where", ull(l->unknown));
	if (l->lost > 0 && !l->has_directions)
		add(&t, "; on which way, this server cannot tell");
	print_paragraph("lost", &t);
}

static void add_ways(struct text *t, const struct figures *f, uint64_t up, uint64_t down)
{
	if (f->losses.has_directions && up + down > 0)
		add(t, " (%llu on the way there, %llu on the way back)", ull(up), ull(down));
}

static void print_order(const struct figures *f)
{
	const struct measure *m = f->m;
	struct text t = { 0 };

	add(&t, "duplicated %llu", ull(m->trip.duplicated));
	add_ways(&t, f, m->up.duplicated, m->down.duplicated);
	add(&t, ", overtaken by later ones %llu", ull(m->trip.reordered));
	add_ways(&t, f, m->up.reordered, m->down.reordered);
	print_paragraph("order", &t);
}

/* Only what happened. */
static void print_mishap(uint64_t n, const char *one, const char *many)
{
	struct text t = { 0 };

	if (n == 0)
		return;
	add(&t, "%llu %s", ull(n), n == 1 ? one : many);
	print_paragraph("besides", &t);
}

static void print_mishaps(const struct measure *m)
{
	print_mishap(m->late, "answer came after --timeout: its question counts as lost",
		     "answers came after --timeout: their questions count as lost");
	print_mishap(m->garbage, "datagram was no answer to a question of ours",
		     "datagrams were no answer to a question of ours");
	print_mishap(m->refused, "time the host said that nobody listens there (ICMP)",
		     "times the host said that nobody listens there (ICMP)");
	print_mishap(m->unsent, "question was not sent: the kernel did not take it",
		     "questions were not sent: the kernel did not take them");
}

/* --- where the time goes ----------------------------------------------------------------------------------------- */

static const char *const stage_texts[STAGES] = {
	[STAGE_ASK_QUEUE] = "send(2), routing, into the queue",
	[STAGE_ASK_DEVICE] = "in the queue, to the card's driver",
	[STAGE_WIRE] = "between the kernels, there and back",
	[STAGE_SERVER_WAKE] = "server: waking up, recv(2)",
	[STAGE_SERVER_WORK] = "server: its work (not in the RTT)",
	[STAGE_ANSWER_QUEUE] = "server: send(2), into the queue",
	[STAGE_ANSWER_DEVICE] = "server: in the queue, to the driver",
	[STAGE_WAKE] = "waking up, recv(2)",
	[STAGE_WIRE_HARDWARE] = "between the cards, by their own clocks",
};

/* Are these parts of what the RTT is the sum of? */
static bool is_part_of_rtt(size_t stage)
{
	return stage != STAGE_SERVER_WORK && stage != STAGE_WIRE_HARDWARE;
}

static void print_stage(size_t stage, const struct hist *h)
{
	char min[UNITS_TEXT] = "-", p50[UNITS_TEXT] = "-", p99[UNITS_TEXT] = "-";

	if (h->n > 0) {
		units_duration(min, h->min);
		units_duration(p50, hist_quantile(h, 0.5));
		units_duration(p99, hist_quantile(h, 0.99));
	}
	printf("  %-40s%8llu %9s %9s %9s\n", stage_texts[stage], ull(h->n), min, p50, p99);
}

static void print_stages(const struct figures *f)
{
	char sum[UNITS_TEXT], rtt[UNITS_TEXT];
	uint64_t sum_ns = 0;
	size_t missing = 0;

	printf("\n  %-40s%8s %9s %9s %9s\n", "where the time goes", "n", "min", "p50", "p99");
	for (size_t i = 0; i < STAGES; i++) {
		const struct hist *h = &f->m->stages[i];
		if (i == STAGE_WIRE_HARDWARE && h->n == 0)
			continue; /* most cards have no clock */
		print_stage(i, h);
		sum_ns += is_part_of_rtt(i) ? hist_quantile(h, 0.5) : 0;
		missing += is_part_of_rtt(i) && h->n == 0;
	}
	units_duration(rtt, hist_quantile(&f->m->rtt, 0.5));
	if (missing == 0)
		printf("  %-48s %9s %9s  (of the RTT: %s)\n", "the medians together", "", units_duration(sum, sum_ns),
		       rtt);
	else
		printf("  %zu of the stages have no stamps, so there is no sum; median of the RTT: %s\n", missing, rtt);
}

/* --- the report -------------------------------------------------------------------------------------------------- */

static void print_head(const struct report_about *a, const struct figures *f)
{
	char elapsed[UNITS_TEXT], socks[SOCKS_THROUGH_TEXT];

	printf("roundtrip to %s%s (%s, %s): %llu question%s of %llu bytes", a->peer,
	       socks_through_text(&a->o->socks, socks), a->transport, a->wire, ull(f->m->sent),
	       f->m->sent == 1 ? "" : "s", ull(a->len));
	if (f->m->elapsed_ns > 0)
		printf(" in %s", units_duration(elapsed, f->m->elapsed_ns));
}

void roundtrip_text_total(const struct report_about *a, const struct figures *f)
{
	print_head(a, f);
	if (f->received == 0) {
		printf(": nothing came back\n");
		print_mishaps(f->m);
		return;
	}
	putchar('\n');
	print_durations(a, f);
	print_corrected_note(a, f);
	print_one_way_note(f);
	print_clock(f);
	if (a->ntp != NULL)
		print_ntp(a->ntp);
	print_losses(f);
	print_order(f);
	print_mishaps(f->m);
	if (a->o->where)
		print_stages(f);
	if (a->o->histogram) {
		putchar('\n');
		termhist_draw(stdout, &f->m->rtt, os_terminal_columns(100), 20, os_is_utf8());
	}
}
