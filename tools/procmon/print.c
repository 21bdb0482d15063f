/* print.c - procmon: standard output and standard error. */
#include "procmon.h"

#include "diag.h"
#include "json.h"
#include "os.h"
#include "record.h"

#include <math.h>
#include <unistd.h>

/* --- records ------------------------------------------------------------------------------------------------------ */

void print_start(const struct procmon *m)
{
	struct json j;
	if (!m->o->json || m->o->once)
		return;
	record_begin(&j, "start");
	json_i64(&j, "time_ns", m->start_real_ns);
	json_u64(&j, "interval_ns", m->o->interval_ns);
	json_str(&j, "listening", m->host);
	json_array(&j, "pids");
	for (const struct watched *w = m->first; w != NULL; w = w->next)
		json_i64(&j, NULL, w->pid);
	json_close(&j);
	json_end(&j);
}

void print_mark(const struct procmon *m, const struct mark *mark)
{
	(void)m;
	struct json j;
	record_begin(&j, "mark");
	json_i64(&j, "time_ns", mark->at_real_ns);
	json_str(&j, "label", mark->label);
	json_end(&j);
}

/* A first sample alone says nothing of a process that ran before. */
static double mean_cpu(const struct watched *w)
{
	double ns = (double)(w->at_ns - w->first_ns);
	return ns > 0 && (w->samples > 1 || w->is_child)
		       ? 100.0 * (double)(w->total[COUNTER_CPU_NS] - w->first_cpu_ns) / ns
		       : NAN;
}

static void put_summary(struct json *j, const struct watched *w)
{
	json_i64(j, "pid", w->pid);
	json_str(j, "label", w->label);
	json_u64(j, "samples", w->samples);
	watched_json_end(j, w);
	json_u64(j, "cpu_ns", w->total[COUNTER_CPU_NS]);
	json_u64(j, "user_ns", w->user_ns);
	json_u64(j, "system_ns", w->sys_ns);
	json_f64(j, "cpu_percent_mean", mean_cpu(w));
	json_f64(j, "cpu_percent_most", w->most[COLUMN_CPU]);
	json_f64(j, "resident_bytes_most", w->most[COLUMN_RESIDENT]);
}

/* The members of the first process stand at the top, as if it were the only one; all stand in the table. */
static void print_total_record(const struct procmon *m)
{
	struct json j;
	record_begin(&j, "total");
	put_summary(&j, m->first);
	json_u64(&j, "watched_ns", m->first->at_ns - m->first->first_ns);
	json_array(&j, "processes");
	for (const struct watched *w = m->first; w != NULL; w = w->next) {
		json_object(&j, NULL);
		put_summary(&j, w);
		json_close(&j);
	}
	json_close(&j);
	procmon_json_marks(&j, m);
	procmon_json_self(&j, m);
	json_end(&j);
}

/* --- for people --------------------------------------------------------------------------------------------------- */

/* A name may hold anything, a terminal should not obey it. */
static const char *label_of(const struct watched *w, char out[static PROCMON_LABEL])
{
	size_t n = 0;
	for (; w->label[n] != '\0'; n++)
		out[n] = (unsigned char)w->label[n] < ' ' || w->label[n] == 0x7f ? '?' : w->label[n];
	out[n] = '\0';
	return out;
}

static void print_total_text(const struct watched *w)
{
	char label[PROCMON_LABEL], a[UNITS_TEXT], b[UNITS_TEXT], c[UNITS_TEXT], d[UNITS_TEXT], how[WATCHED_END_TEXT];
	uint64_t until_ns = w->has_ended ? w->ended_ns : w->at_ns;
	printf("%d %s: %llu sample%s in %s; CPU %s in the mean, %s at most; RSS %s at most", (int)w->pid,
	       label_of(w, label), (unsigned long long)w->samples, w->samples == 1 ? "" : "s",
	       units_duration(a, until_ns - w->first_ns), column_text(b, COLUMN_CPU, mean_cpu(w)),
	       column_text(c, COLUMN_CPU, w->most[COLUMN_CPU]),
	       column_text(d, COLUMN_RESIDENT, w->most[COLUMN_RESIDENT]));
	if (w->has_ended)
		printf("; %s", watched_end_text(w, how));
	putchar('\n');
}

static void print_sample_text(const struct watched *w)
{
	static const enum column columns[] = { COLUMN_CPU,       COLUMN_USER,    COLUMN_SYSTEM,
					       COLUMN_RESIDENT,  COLUMN_THREADS, COLUMN_FILES,
					       COLUMN_VOLUNTARY, COLUMN_READ,    COLUMN_WRITTEN };
	char text[UNITS_TEXT];
	printf("%d", (int)w->pid);
	for (size_t i = 0; i < COUNT_OF(columns); i++)
		printf("  %s %s", column_info[columns[i]].label, column_text(text, columns[i], w->value[columns[i]]));
	putchar('\n');
}

/* --- interface ---------------------------------------------------------------------------------------------------- */

void print_sample(const struct watched *w)
{
	struct json j;
	if (!w->procmon->o->json) {
		print_sample_text(w);
		return;
	}
	record_begin(&j, "interval");
	watched_json(&j, w, 0);
	json_end(&j);
}

void print_end(const struct watched *w)
{
	struct json j;
	char label[PROCMON_LABEL], how[WATCHED_END_TEXT], age[UNITS_TEXT];
	fprintf(stderr, "%s: %d %s has ended after %s: %s\n", diag_tool, (int)w->pid, label_of(w, label),
		units_duration(age, watched_age_ns(w)), watched_end_text(w, how));
	if (!w->procmon->o->json)
		return;
	record_begin(&j, "exit");
	put_summary(&j, w);
	json_end(&j);
}

void print_once(const struct procmon *m)
{
	struct json j;
	for (const struct watched *w = m->first; w != NULL; w = w->next) {
		if (m->o->json) {
			record_begin(&j, "total");
			watched_json(&j, w, ~0u);
			procmon_json_self(&j, m);
			json_end(&j);
		} else {
			watched_text(stdout, w, isatty(STDOUT_FILENO) ? os_terminal_columns(200) : 0, os_is_utf8());
			if (w->next != NULL)
				putchar('\n');
		}
	}
}

void print_total(const struct procmon *m)
{
	if (m->o->json) {
		print_total_record(m);
		return;
	}
	for (const struct watched *w = m->first; w != NULL; w = w->next)
		print_total_text(w);
}
