/* metrics.c - see metrics.h. The format: https://prometheus.io/docs/instrumenting/exposition_formats/ */
#include "metrics.h"

#include "units.h"
#include "utf8.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

static bool is_name(const char *name)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789";
	return name[0] != '\0' && (name[0] < '0' || name[0] > '9') && name[strspn(name, letters)] == '\0';
}

/* In a help the quote is a character as any other. */
static void put_escaped(FILE *out, const char *text, bool is_quoted)
{
	for (size_t n; *text != '\0'; text += n > 0 ? n : 1) {
		n = utf8_len(text);
		if (*text == '\n')
			fputs("\\n", out);
		else if (n == 0 || (unsigned char)*text < ' ' || *text == 0x7f)
			fputs(UTF8_REPLACEMENT, out);
		else if (*text == '\\' || (*text == '"' && is_quoted))
			fprintf(out, "\\%c", *text);
		else
			fwrite(text, 1, n, out);
	}
}

void metrics_begin(struct metrics *m, FILE *out, const char *prefix)
{
	assert(is_name(prefix));
	*m = (struct metrics){ .out = out, .prefix = prefix };
}

void metrics_head(struct metrics *m, const char *name, enum metrics_type type, const char *help)
{
	assert(is_name(name));
	m->name = name;
	fprintf(m->out, "# HELP %s_%s ", m->prefix, name);
	put_escaped(m->out, help, false);
	fprintf(m->out, "\n# TYPE %s_%s %s\n", m->prefix, name, type == METRICS_COUNTER ? "counter" : "gauge");
}

static void put_name(const struct metrics *m, va_list labels)
{
	const char *label;
	bool has_labels = false;
	assert(m->name != NULL);
	fprintf(m->out, "%s_%s", m->prefix, m->name);
	while ((label = va_arg(labels, const char *)) != NULL) {
		assert(is_name(label));
		fprintf(m->out, "%c%s=\"", has_labels ? ',' : '{', label);
		put_escaped(m->out, va_arg(labels, const char *), true);
		fputc('"', m->out);
		has_labels = true;
	}
	fputs(has_labels ? "} " : " ", m->out);
}

void metrics_u64(const struct metrics *m, uint64_t value, ...)
{
	va_list labels;
	va_start(labels, value);
	put_name(m, labels);
	va_end(labels);
	fprintf(m->out, "%" PRIu64 "\n", value);
}

void metrics_f64(const struct metrics *m, double value, ...)
{
	va_list labels;
	va_start(labels, value);
	put_name(m, labels);
	va_end(labels);
	char text[UNITS_TEXT];
	const char *word = isnan(value) ? "NaN" : value > 0 ? "+Inf" : "-Inf";
	fprintf(m->out, "%s\n", isfinite(value) ? units_exact(text, value) : word);
}
