/* metrics.c - procmon: all processes for Prometheus and what else reads its text format. The pid and the label tell
 * them apart; there are no series for threads or connections, which would live in a data base for ever. */
#include "procmon.h"

#include "clock.h"
#include "metrics.h"

#include <math.h>

/* What only grows, in base units. */
/* clang-format off */
static const struct {
	enum counter counter;
	double per_unit;
	const char *name, *help;
} totals[] = {
	{ COUNTER_CPU_NS, NS_PER_S, "cpu_seconds_total", "Processor time, of all threads." },
	{ COUNTER_MINOR, 1, "minor_faults_total", "Page faults that needed no disk." },
	{ COUNTER_MAJOR, 1, "major_faults_total", "Page faults that waited for a disk." },
	{ COUNTER_READ, 1, "read_bytes_total", "Bytes by read(2) and the like, not by recv(2)." },
	{ COUNTER_WRITTEN, 1, "written_bytes_total", "Bytes by write(2) and the like, not by send(2)." },
	{ COUNTER_READ_CALLS, 1, "read_calls_total", "System calls that read, recv(2) left out." },
	{ COUNTER_WRITE_CALLS, 1, "write_calls_total", "System calls that write, send(2) left out." },
	{ COUNTER_DISK_READ, 1, "disk_read_bytes_total", "Bytes that disks had to deliver." },
	{ COUNTER_DISK_WRITTEN, 1, "disk_written_bytes_total", "Bytes that disks have to store." },
};

/* What goes up and down: columns, by their names there. A rate is Prometheus' own business. */
static const enum column gauges[] = {
	COLUMN_RESIDENT, COLUMN_PSS, COLUMN_SWAP, COLUMN_THREADS, COLUMN_FILES, COLUMN_SOCKETS, COLUMN_RECV_QUEUE,
	COLUMN_SEND_QUEUE, COLUMN_PROCESSES,
};
/* clang-format on */

static void put_u64(struct metrics *x, const struct watched *w, uint64_t value)
{
	metrics_u64(x, value, "pid", w->object, "name", w->label, NULL);
}

static void put_f64(struct metrics *x, const struct watched *w, double value)
{
	metrics_f64(x, value, "pid", w->object, "name", w->label, NULL);
}

static void put_totals(struct metrics *x, const struct procmon *m)
{
	for (size_t i = 0; i < COUNT_OF(totals); i++) {
		enum counter counter = totals[i].counter;
		metrics_head(x, totals[i].name, METRICS_COUNTER, totals[i].help);
		for (const struct watched *w = m->first; w != NULL; w = w->next) {
			if (counter < COUNTER_FIRST_IO || w->has_io)
				put_f64(x, w, (double)w->total[counter] / totals[i].per_unit);
		}
	}
}

/* Processor time by kind is a metric of its own: a sum over labels must not count it twice. */
static void put_modes(struct metrics *x, const struct procmon *m)
{
	metrics_head(x, "cpu_mode_seconds_total", METRICS_COUNTER, "Processor time, by where it was spent.");
	for (const struct watched *w = m->first; w != NULL; w = w->next) {
		metrics_f64(x, (double)w->user_ns / NS_PER_S, "pid", w->object, "name", w->label, "mode", "user", NULL);
		metrics_f64(x, (double)w->sys_ns / NS_PER_S, "pid", w->object, "name", w->label, "mode", "system",
			    NULL);
	}
}

/* What was not read has no sample: it is absent, and not NaN. */
static void put_gauges(struct metrics *x, const struct procmon *m)
{
	for (size_t i = 0; i < COUNT_OF(gauges); i++) {
		metrics_head(x, column_info[gauges[i]].name, METRICS_GAUGE, column_info[gauges[i]].help);
		for (const struct watched *w = m->first; w != NULL; w = w->next) {
			if (!w->has_ended && !isnan(w->value[gauges[i]]))
				put_f64(x, w, w->value[gauges[i]]);
		}
	}
}

static void put_ends(struct metrics *x, const struct procmon *m)
{
	metrics_head(x, "start_time_seconds", METRICS_GAUGE, "When the process began, since 1970.");
	for (const struct watched *w = m->first; w != NULL; w = w->next)
		put_f64(x, w, (double)w->start_real_ns / NS_PER_S);
	metrics_head(x, "up", METRICS_GAUGE, "1 while the process lives, 0 after its end.");
	for (const struct watched *w = m->first; w != NULL; w = w->next)
		put_u64(x, w, !w->has_ended);
	metrics_head(x, "exit_status", METRICS_GAUGE, "How it ended: its exit status, or 128 and the signal's number.");
	for (const struct watched *w = m->first; w != NULL; w = w->next) {
		if (watched_exit_status(w) >= 0)
			put_u64(x, w, (uint64_t)watched_exit_status(w));
	}
}

void procmon_metrics(FILE *out, const struct procmon *m)
{
	struct metrics x;
	metrics_begin(&x, out, "procmon");
	put_totals(&x, m);
	put_modes(&x, m);
	put_gauges(&x, m);
	put_ends(&x, m);
	metrics_head(&x, "samples_total", METRICS_COUNTER, "Samples taken.");
	for (const struct watched *w = m->first; w != NULL; w = w->next)
		put_u64(&x, w, w->samples);
	metrics_head(&x, "missed_total", METRICS_COUNTER, "Intervals that went by without a sample.");
	metrics_u64(&x, m->missed, NULL);
	metrics_head(&x, "self_cpu_seconds_total", METRICS_COUNTER, "Processor time of procmon itself.");
	metrics_f64(&x, (double)m->own.cpu_ns / NS_PER_S, NULL);
	metrics_head(&x, "self_resident_bytes", METRICS_GAUGE, "Resident memory of procmon itself.");
	metrics_u64(&x, m->own.resident_bytes, NULL);
}
