/* procmon_history_test.c - procmon's rings of samples and marks, over a time that the test makes up; and how columns
 * read. */
#include "../../tools/procmon/history.h"
#include "check.h"
#include "clock.h"

#include <math.h>
#include <string.h>

static const int64_t second = NS_PER_S;

static void add(struct history *h, int64_t at_s, double cpu, double pss)
{
	double value[COLUMNS];
	for (size_t i = 0; i < COLUMNS; i++)
		value[i] = NAN;
	value[COLUMN_CPU] = cpu;
	value[COLUMN_PSS] = pss;
	history_add(h, at_s * second, value);
}

static void test_fine(void)
{
	struct history *h = history_new(NS_PER_S);
	CHECK_INT(history_rows(h, SPAN_10_MINUTES), 0);
	CHECK_INT(history_rows(h, SPAN_2_HOURS), 0);
	CHECK_INT(history_end_ns(h), 0);
	for (int i = 0; i < 1000; i++)
		add(h, 12000 + i, i, NAN);
	CHECK_INT(history_rows(h, SPAN_10_MINUTES), 601); /* both ends of 600 s */
	CHECK_INT(history_end_ns(h), 12999 * second);
	for (size_t i = 0; i < 601; i++) {
		struct history_row row = history_row(h, SPAN_10_MINUTES, i);
		if (!CHECK_INT(row.at_real_ns, (12399 + (int64_t)i) * second) ||
		    !CHECK(row.mean[COLUMN_CPU] == 399 + (double)i && row.least[COLUMN_CPU] == row.mean[COLUMN_CPU] &&
			   row.most[COLUMN_CPU] == row.mean[COLUMN_CPU]))
			break;
		CHECK(isnan(row.mean[COLUMN_PSS]));
	}
	history_free(h);
}

/* However short or long the interval is. */
static void test_sizes(void)
{
	static const uint64_t interval_ns[] = { 1, 10 * NS_PER_MS, 100 * NS_PER_MS, 3600 * (uint64_t)NS_PER_S };
	static const size_t rows[] = { HISTORY_FINE_MAX, HISTORY_FINE_MAX, HISTORY_FINE_MAX, 2 };
	for (size_t k = 0; k < COUNT_OF(rows); k++) {
		struct history *h = history_new(interval_ns[k]);
		for (int i = 0; i < HISTORY_FINE_MAX + 100; i++)
			add(h, i, i, i);
		CHECK_INT(history_rows(h, SPAN_10_MINUTES), rows[k]);
		CHECK(history_row(h, SPAN_10_MINUTES, rows[k] - 1).mean[COLUMN_CPU] == HISTORY_FINE_MAX + 99);
		history_free(h);
	}
}

/* Periods are on a grid of 12 s; the last one is there while it is filled. */
static void test_coarse(void)
{
	struct history *h = history_new(NS_PER_S);
	for (int i = 0; i < 30; i++)
		add(h, 1200 + i, i % 12, i < 12 ? NAN : 5);
	CHECK_INT(history_rows(h, SPAN_2_HOURS), 3);
	struct history_row row = history_row(h, SPAN_2_HOURS, 0);
	CHECK_INT(row.at_real_ns, 1212 * second);
	CHECK(fabs(row.mean[COLUMN_CPU] - 5.5) < 1e-9);
	CHECK(row.least[COLUMN_CPU] == 0 && row.most[COLUMN_CPU] == 11);
	CHECK(isnan(row.mean[COLUMN_PSS]) && isnan(row.least[COLUMN_PSS]));
	CHECK(history_row(h, SPAN_2_HOURS, 1).mean[COLUMN_PSS] == 5);
	row = history_row(h, SPAN_2_HOURS, 2);
	CHECK_INT(row.at_real_ns, 1229 * second);
	CHECK(fabs(row.mean[COLUMN_CPU] - 2.5) < 1e-9);
	CHECK(row.most[COLUMN_CPU] == 5);
	history_free(h);
}

static void test_two_hours(void)
{
	struct history *h = history_new(NS_PER_S);
	for (int i = 0; i < 12 * 700; i++)
		add(h, i, i / 12, NAN);
	CHECK_INT(history_rows(h, SPAN_2_HOURS), HISTORY_COARSE + 1);
	CHECK(history_row(h, SPAN_2_HOURS, 0).mean[COLUMN_CPU] == 99);
	CHECK(history_row(h, SPAN_2_HOURS, HISTORY_COARSE).mean[COLUMN_CPU] == 699);
	CHECK_INT(history_row(h, SPAN_2_HOURS, HISTORY_COARSE).at_real_ns - history_row(h, SPAN_2_HOURS, 0).at_real_ns,
		  history_span_ns(SPAN_2_HOURS) -
			  second); /* the last row is not over: it is as old as its last sample */
	history_free(h);
}

/* A pause longer than a period leaves no row for what was not seen. */
static void test_pause(void)
{
	struct history *h = history_new(NS_PER_S);
	add(h, 1200, 1, NAN);
	add(h, 1500, 3, NAN);
	CHECK_INT(history_rows(h, SPAN_2_HOURS), 2);
	CHECK_INT(history_row(h, SPAN_2_HOURS, 0).at_real_ns, 1212 * second);
	CHECK_INT(history_row(h, SPAN_2_HOURS, 1).at_real_ns, 1500 * second);
	history_free(h);
}

static void test_marks(void)
{
	static struct marks marks;
	char label[200];
	for (int i = 0; i < MARKS_MAX + 5; i++) {
		snprintf(label, sizeof(label), "mark %d", i);
		marks_add(&marks, i * second, label);
	}
	CHECK_INT(marks.n, MARKS_MAX);
	CHECK_INT(marks.total, MARKS_MAX + 5);
	CHECK_STR(marks.mark[0].label, "mark 5");
	CHECK_STR(marks.mark[MARKS_MAX - 1].label, "mark 104");
	CHECK_INT(marks.mark[0].at_real_ns, 5 * second);
}

/* Characters of one to four bytes, at each distance from the end: none is cut in two. */
static void test_long_labels(void)
{
	static const char *const characters[] = { "a", "\u00e4", "\u20ac", "\U0001f642" };
	static struct marks marks;
	for (size_t k = 0; k < COUNT_OF(characters); k++) {
		size_t size = strlen(characters[k]);
		for (size_t shift = 0; shift < 4; shift++) {
			char label[200] = "";
			memset(label, 'x', shift);
			while (strlen(label) < 150)
				strcat(label, characters[k]);
			marks_add(&marks, 0, label);
			const char *kept = marks.mark[marks.n - 1].label;
			CHECK_INT(strlen(kept), shift + (MARK_LABEL - 1 - shift) / size * size);
			CHECK(strncmp(kept, label, strlen(kept)) == 0);
		}
	}
}

static void test_columns(void)
{
	static const struct {
		enum column column;
		double value;
		const char *text;
	} cases[] = {
		{ COLUMN_CPU, 12.34, "12.3 %" },
		{ COLUMN_CPU, NAN, "-" },
		{ COLUMN_RESIDENT, 64.0 * 1024 * 1024, "64 MiB" },
		{ COLUMN_THREADS, 17, "17" },
		{ COLUMN_THREADS, 123456, "123 k" },
		{ COLUMN_VOLUNTARY, 0, "0/s" },
		{ COLUMN_VOLUNTARY, 0.25, "0.25/s" },
		{ COLUMN_VOLUNTARY, 1234, "1.23 k/s" },
		{ COLUMN_READ, 2048, "2 KiB/s" },
	};
	char text[UNITS_TEXT];
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		CHECK_STR(column_text(text, cases[i].column, cases[i].value), cases[i].text);
	for (size_t i = 0; i < COLUMNS; i++) {
		CHECK(column_info[i].name != NULL && column_info[i].label != NULL && column_info[i].help != NULL);
		for (size_t k = 0; k < i; k++)
			CHECK(strcmp(column_info[i].name, column_info[k].name) != 0);
	}
}

int main(void)
{
	test_fine();
	test_sizes();
	test_coarse();
	test_two_hours();
	test_pause();
	test_marks();
	test_long_labels();
	test_columns();
	return check_done();
}
