#include "report.h"

#include "clock.h"
#include "os.h"
#include "record.h"
#include "side.h"
#include "units.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { CELL = 24, NEAR_PERCENT = 2 }; /* what is not nearer to what was asked for is explained */

double report_load_percent(double cpu_ns, uint64_t elapsed_ns)
{
	return elapsed_ns > 0 ? 100 * cpu_ns / (double)elapsed_ns : 0;
}

/* --- the other loads ---------------------------------------------------------------------------------------------- */

/* What an amount is at the end, what a rate was on average. */
static double side_figure(const struct side *s, double from, double to, uint64_t elapsed_ns)
{
	if (!s->ops->is_rate)
		return to;
	return elapsed_ns > 0 ? (to - from) * NS_PER_S / (double)elapsed_ns : 0;
}

static const char *side_text(const struct side_ops *ops, char out[static UNITS_TEXT], double value)
{
	if (ops->unit == SIDE_BYTES && ops->is_rate)
		return units_rate(out, value);
	if (ops->unit == SIDE_BYTES)
		return units_size(out, (uint64_t)value);
	snprintf(out, UNITS_TEXT, "%.0f%s", value, ops->is_rate ? "/s" : "");
	return out;
}

static void json_side(struct json *j, const struct side_ops *ops, const char *what, double value)
{
	char key[64];
	const char *unit = ops->unit == SIDE_BYTES ? ops->is_rate ? "_Bps" : "_bytes" : ops->is_rate ? "_per_s" : "";
	snprintf(key, sizeof(key), "%s%s%s", ops->name, what, unit);
	if (ops->is_rate)
		json_f64(j, key, value);
	else
		json_u64(j, key, (uint64_t)value);
}

static void json_sides(struct json *j, const struct run *run, const struct sample *from, const struct sample *to)
{
	uint64_t elapsed_ns = to->at_ns - from->at_ns;
	for (int i = 0; i < SIDE_KINDS; i++) {
		const struct side *s = &run->side[i];
		if (!side_is_on(s))
			continue;
		json_side(j, s->ops, "_asked", side_figure(s, from->asked[i], to->asked[i], elapsed_ns));
		json_side(j, s->ops, "", side_figure(s, from->count[i], to->count[i], elapsed_ns));
	}
}

static void print_sides(const struct run *run, const struct sample *from, const struct sample *to)
{
	char text[UNITS_TEXT];
	uint64_t elapsed_ns = to->at_ns - from->at_ns;
	for (int i = 0; i < SIDE_KINDS; i++) {
		const struct side *s = &run->side[i];
		if (side_is_on(s))
			printf("  %13s",
			       side_text(s->ops, text, side_figure(s, from->count[i], to->count[i], elapsed_ns)));
	}
}

/* --- the beginning ------------------------------------------------------------------------------------------------ */

static void json_start(const struct options *o, int64_t start_real_ns)
{
	struct json j;
	record_begin(&j, "start");
	json_u64(&j, "pid", (uint64_t)getpid());
	json_str(&j, "shape", shape_name(o->shape.kind));
	json_f64(&j, "percent", o->shape.peak);
	json_f64(&j, "low_percent", o->shape.kind == SHAPE_FIXED ? o->shape.peak : o->shape.low);
	json_u64(&j, "threads", o->threads);
	json_u64(&j, "processors", os_cpu_count());
	json_u64(&j, "period_ns", o->shape.kind == SHAPE_FIXED ? 0 : o->shape.period_ns);
	json_u64(&j, "phase_ns", o->shape.phase_ns);
	json_u64(&j, "slice_ns", SLICE_NS);
	json_bool(&j, "follow", o->follow);
	if (start_real_ns != 0)
		json_i64(&j, "start_unix_ns", start_real_ns);
	for (int i = 0; i < SIDE_KINDS; i++)
		if (o->amount[i] != 0)
			json_side(&j, side_ops_of((enum side_kind)i), "_asked", (double)o->amount[i]);
	json_end(&j);
}

static void print_shape(const struct options *o)
{
	char period[UNITS_TEXT];
	const struct shape *s = &o->shape;
	units_duration(period, s->period_ns);
	printf("pid %d: %s, ", (int)getpid(), shape_name(s->kind));
	if (s->kind == SHAPE_FIXED)
		printf("%g %%", s->peak);
	else if (s->kind == SHAPE_STEPS)
		printf("%zu of them, %g to %g %%, %s%s", s->n_steps, s->low, s->peak,
		       s->repeats ? "again and again every " : "for ", period);
	else
		printf("%g to %g %%, every %s", s->low, s->peak, period);
	printf(", in %s", o->threads == 1 ? "1 thread" : "each of ");
	if (o->threads > 1)
		printf("%llu threads", (unsigned long long)o->threads);
	printf(" (100 %% is one processor; here are %u)\n", os_cpu_count());
}

static void print_asked_sides(const struct options *o)
{
	char text[UNITS_TEXT];
	const char *separator = "beside that: ";
	for (int i = 0; i < SIDE_KINDS; i++) {
		const struct side_ops *ops = side_ops_of((enum side_kind)i);
		if (o->amount[i] == 0)
			continue;
		printf("%s%s %s", separator, ops->name, side_text(ops, text, (double)o->amount[i]));
		separator = ", ";
	}
	if (strcmp(separator, ", ") == 0)
		printf("%s\n", o->follow ? " (at the peak)" : "");
}

static void print_head(const struct run *run)
{
	printf("      time    asked      got    error   waited");
	for (int i = 0; i < SIDE_KINDS; i++)
		if (side_is_on(&run->side[i]))
			printf("  %13s", run->side[i].ops->name);
	printf("\n");
}

void report_load_start(const struct run *run)
{
	if (run->o->json) {
		json_start(run->o, run->start_real_ns);
		return;
	}
	print_shape(run->o);
	print_asked_sides(run->o);
	if (run->o->interval_ns != 0)
		print_head(run);
}

/* --- intervals ---------------------------------------------------------------------------------------------------- */

/* What an interval and the total say of the processor. */
struct figures {
	uint64_t elapsed_ns, waited_ns;
	double target_cpu_ns, cpu_ns;
	double target, cpu, error, waited; /* percent of one processor */
};

static struct figures between(const struct sample *from, const struct sample *to)
{
	struct figures f = {
		.elapsed_ns = to->at_ns - from->at_ns,
		.waited_ns = to->waited_ns - from->waited_ns,
		.target_cpu_ns = to->target_cpu_ns - from->target_cpu_ns,
		.cpu_ns = (double)(to->cpu_ns - from->cpu_ns),
	};
	f.target = report_load_percent(f.target_cpu_ns, f.elapsed_ns);
	f.cpu = report_load_percent(f.cpu_ns, f.elapsed_ns);
	f.error = f.cpu - f.target;
	f.waited = report_load_percent((double)f.waited_ns, f.elapsed_ns);
	return f;
}

static void json_figures(struct json *j, const struct figures *f)
{
	json_f64(j, "target_percent", f->target);
	json_f64(j, "cpu_percent", f->cpu);
	json_f64(j, "error_percent", f->error);
	json_f64(j, "waited_percent", f->waited);
	json_u64(j, "target_cpu_ns", (uint64_t)f->target_cpu_ns);
	json_u64(j, "cpu_ns", (uint64_t)f->cpu_ns);
	json_u64(j, "waited_ns", f->waited_ns);
}

static void json_interval(const struct run *run, const struct sample *from, const struct sample *to)
{
	struct json j;
	struct figures f = between(from, to);
	record_begin(&j, "interval");
	json_u64(&j, "elapsed_ns", to->at_ns);
	json_u64(&j, "interval_ns", f.elapsed_ns);
	json_i64(&j, "unix_ns", run->start_real_ns + (int64_t)to->at_ns);
	json_figures(&j, &f);
	if (run->o->shape.kind == SHAPE_STEPS)
		json_str(&j, "label", shape_label(&run->o->shape, from->at_ns));
	json_sides(&j, run, from, to);
	json_end(&j);
}

void report_load_interval(const struct run *run, const struct sample *from, const struct sample *to)
{
	if (run->o->json) {
		json_interval(run, from, to);
		return;
	}
	struct figures f = between(from, to);
	printf("%8.3f s  %6.1f%%  %6.1f%%  %+6.1f%%  %6.1f%%", (double)to->at_ns / NS_PER_S, f.target, f.cpu, f.error,
	       f.waited);
	print_sides(run, from, to);
	const char *label = shape_label(&run->o->shape, from->at_ns);
	printf("%s%s\n", *label != '\0' ? "  " : "", label);
}

/* --- the end ------------------------------------------------------------------------------------------------------ */

/* NULL: there is nothing to explain. */
static const char *why_not(const struct run *run, const struct figures *f)
{
	double processors = 100.0 * os_cpu_count();
	if (f->error > NEAR_PERCENT)
		return "the other loads took more than that by themselves";
	if (f->error >= -NEAR_PERCENT)
		return NULL;
	if (f->target > processors)
		return "it was asked for more than there is";
	if (2 * f->waited >= -f->error || run->o->threads > os_cpu_count())
		return "the processors were busy with others";
	return "it was stopped for a time, or may not have more (cgroup)";
}

static void json_total(const struct run *run, const struct sample *from, const struct sample *to,
		       const struct errors *errors, bool was_interrupted)
{
	struct json j;
	struct figures f = between(from, to);
	record_begin(&j, "total");
	json_u64(&j, "elapsed_ns", f.elapsed_ns);
	json_figures(&j, &f);
	json_u64(&j, "intervals", errors->n);
	json_f64(&j, "mean_abs_error_percent", report_load_percent(errors->missed_ns, errors->elapsed_ns));
	json_f64(&j, "worst_error_percent", errors->worst);
	json_str(&j, "why_not", why_not(run, &f));
	json_sides(&j, run, from, to);
	json_bool(&j, "interrupted", was_interrupted);
	json_end(&j);
}

static void print_side_totals(const struct run *run, const struct sample *from, const struct sample *to)
{
	char asked[UNITS_TEXT], got[UNITS_TEXT];
	uint64_t elapsed_ns = to->at_ns - from->at_ns;
	for (int i = 0; i < SIDE_KINDS; i++) {
		const struct side *s = &run->side[i];
		if (side_is_on(s))
			printf("%s: asked %s, got %s\n", s->ops->name,
			       side_text(s->ops, asked, side_figure(s, from->asked[i], to->asked[i], elapsed_ns)),
			       side_text(s->ops, got, side_figure(s, from->count[i], to->count[i], elapsed_ns)));
	}
}

void report_load_total(const struct run *run, const struct sample *from, const struct sample *to,
		       const struct errors *errors, bool was_interrupted)
{
	char elapsed[UNITS_TEXT], cpu[UNITS_TEXT];
	if (run->o->json) {
		json_total(run, from, to, errors, was_interrupted);
		return;
	}
	struct figures f = between(from, to);
	const char *why = why_not(run, &f);
	printf("asked %.1f %%, got %.1f %%", f.target, f.cpu);
	if (why != NULL)
		printf(": %s (waited %.0f %%)", why, f.waited);
	printf("\n%s of processor time in %s; in %u interval%s off by %.2f points on average, by %.2f at worst\n",
	       units_duration(cpu, (uint64_t)f.cpu_ns), units_duration(elapsed, f.elapsed_ns), errors->n,
	       errors->n == 1 ? "" : "s", report_load_percent(errors->missed_ns, errors->elapsed_ns), errors->worst);
	print_side_totals(run, from, to);
}

/* --- a plan ------------------------------------------------------------------------------------------------------- */

static void plan_interval(const struct options *o, uint64_t from_ns, uint64_t to_ns)
{
	struct json j;
	double target = shape_mean(&o->shape, from_ns, to_ns) * (double)o->threads;
	if (!o->json) {
		printf("%.6g, %.6g\n", (double)to_ns / NS_PER_S, target);
		return;
	}
	record_begin(&j, "interval");
	json_u64(&j, "elapsed_ns", to_ns);
	json_u64(&j, "interval_ns", to_ns - from_ns);
	json_f64(&j, "target_percent", target);
	json_end(&j);
}

void report_load_plan(const struct options *o)
{
	if (o->json)
		json_start(o, 0);
	else
		printf("s, percent\n");
	for (uint64_t from_ns = 0, to_ns; from_ns < o->time_ns; from_ns = to_ns) {
		to_ns = o->time_ns - from_ns > o->interval_ns ? from_ns + o->interval_ns : o->time_ns;
		plan_interval(o, from_ns, to_ns);
	}
	if (!o->json)
		return;
	struct json j;
	double cpu_ns = shape_cpu_ns(&o->shape, o->time_ns) * (double)o->threads;
	record_begin(&j, "total");
	json_u64(&j, "elapsed_ns", o->time_ns);
	json_f64(&j, "target_percent", report_load_percent(cpu_ns, o->time_ns));
	json_u64(&j, "target_cpu_ns", (uint64_t)cpu_ns);
	json_end(&j);
}
