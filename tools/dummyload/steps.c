/* steps.c - a list of steps from a file. What a line may be is shape_add_step's matter. */
#include "dummyload.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { LINE_LEN = 512 };

static int fail_line(struct net_error *e, const char *path, unsigned number, const char *why)
{
	errno = EINVAL;
	net_fail(e, "read", path);
	snprintf(e->object, sizeof(e->object), "%.40s, line %u: %.70s", path, number, why);
	e->reason = "not a step: DURATION PERCENT [LABEL]";
	return -1;
}

static int read_lines(struct shape *s, FILE *in, const char *path, struct net_error *e)
{
	char line[LINE_LEN], why[SHAPE_WHY];
	for (unsigned number = 1; fgets(line, sizeof(line), in) != NULL; number++) {
		if (strchr(line, '\n') == NULL && !feof(in))
			return fail_line(e, path, number, "longer than 510 bytes, or not text");
		if (!shape_add_step(s, line, why))
			return fail_line(e, path, number, why);
	}
	if (ferror(in))
		return net_fail(e, "read", path);
	if (s->n_steps == 0)
		return fail_line(e, path, 1, "nothing but comments");
	return 0;
}

int steps_read(struct shape *s, const char *path, struct net_error *e)
{
	FILE *in = fopen(path, "re");
	if (in == NULL)
		return net_fail(e, "open", path);
	int result = read_lines(s, in, path, e);
	fclose(in);
	return result;
}
