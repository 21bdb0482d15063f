/* report_csv.c - a line for each answer, for a spreadsheet or for a program of one's own. Numbers are plain: no units,
 * no blanks; a stamp that there is not is an empty field. */
#include "report.h"

#include "clock.h"
#include "diag.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

static FILE *file;
static const char *file_path;
static bool with_stamps, is_broken;

/* Said once; what comes after it is not even tried. */
static void check_file(bool ok)
{
	if (ok || is_broken)
		return;
	is_broken = true;
	warnf_errno("write %s", file_path);
}

int roundtrip_csv_open(const char *path, bool where)
{
	file = fopen(path, "we");
	if (file == NULL)
		return -1;
	file_path = path;
	with_stamps = where;
	is_broken = false;
	fputs("number,sent,rtt_ns,corrected_ns,offset_ns,up_ns,down_ns", file);
	if (with_stamps)
		fputs(",t1,k1_sched,k1_sent,k2,t2,t3,k3_sched,k3_sent,k4,t4,h1,h2,h3,h4", file);
	check_file(fputc('\n', file) != EOF);
	return 0;
}

/* Seconds since 1970: more digits than a double has, so they are put together from whole numbers. */
static void put_seconds(int64_t ns)
{
	uint64_t size = ns < 0 ? -(uint64_t)ns : (uint64_t)ns;
	fprintf(file, "%s%" PRIu64 ".%09" PRIu64, ns < 0 ? "-" : "", size / NS_PER_S, size % NS_PER_S);
}

static void put_stamps(const struct exchange *x)
{
	const int64_t stamps[] = { x->t1,      x->k1_sched, x->k1_sent, x->k2, x->t2, x->t3, x->k3_sched,
				   x->k3_sent, x->k4,       x->t4,      x->h1, x->h2, x->h3, x->h4 };

	for (size_t i = 0; i < COUNT_OF(stamps); i++) {
		fputc(',', file);
		if (stamps[i] != 0)
			put_seconds(stamps[i]);
	}
}

void roundtrip_csv_add(uint64_t number, const struct exchange *x, const struct sample *s)
{
	if (file == NULL || is_broken)
		return;
	fprintf(file, "%" PRIu64 ",", number);
	put_seconds(x->t1);
	fprintf(file, ",%" PRIu64 ",%" PRIu64 ",%" PRId64 ",%" PRId64 ",%" PRId64, s->rtt_ns, s->corrected_ns,
		s->offset_ns, s->up_ns, s->down_ns);
	if (with_stamps)
		put_stamps(x);
	check_file(fputc('\n', file) != EOF && !ferror(file));
}

bool roundtrip_csv_close(void)
{
	if (file == NULL)
		return true;
	int status = fclose(file);
	file = NULL;
	check_file(status == 0);
	return !is_broken;
}
