/* json.c - see json.h. */
#include "json.h"

#include "units.h"
#include "utf8.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

/* How many characters stand in a string as they are: printable ASCII without the quote and the backslash. */
static size_t plain_len(const unsigned char *s)
{
	size_t n = 0;
	while (s[n] >= ' ' && s[n] < 0x7f && s[n] != '"' && s[n] != '\\')
		n++;
	return n;
}

/* Any other ASCII character: RFC 8259 section 7. */
static void write_escape(FILE *out, unsigned char c)
{
	static const char name[] = "\"\\\b\f\n\r\t", escape[] = "\"\\bfnrt";
	const char *special = strchr(name, c);

	if (special != NULL)
		fprintf(out, "\\%c", escape[special - name]);
	else
		fprintf(out, "\\u%04x", c);
}

/* WHY plain characters go in one piece: keys are nothing else, and a report of thousands of rows is mostly keys. */
static void write_string(FILE *out, const char *text)
{
	const unsigned char *s = (const unsigned char *)text;

	fputc('"', out);
	while (*s != '\0') {
		size_t plain = plain_len(s), n = plain > 0 ? plain : utf8_len((const char *)s);
		if (n == 0)
			fputs("\\ufffd", out);
		else if (plain == 0 && n == 1)
			write_escape(out, *s);
		else
			fwrite(s, 1, n, out);
		s += n > 0 ? n : 1;
	}
	fputc('"', out);
}

/* What comes before every value: the comma, and in an object the key. */
static void write_lead(struct json *j, const char *key)
{
	assert(j->depth > 0);
	struct json_level *level = &j->level[j->depth - 1];
	assert(level->is_array == (key == NULL));

	if (level->has_members)
		fputc(',', j->out);
	level->has_members = true;
	if (key != NULL) {
		write_string(j->out, key);
		fputc(':', j->out);
	}
}

static void open_level(struct json *j, bool is_array)
{
	assert(j->depth < JSON_DEPTH_MAX);
	j->level[j->depth++] = (struct json_level){ .is_array = is_array };
	fputc(is_array ? '[' : '{', j->out);
}

static void close_level(struct json *j)
{
	j->depth--;
	fputc(j->level[j->depth].is_array ? ']' : '}', j->out);
}

void json_begin(struct json *j, FILE *out)
{
	*j = (struct json){ .out = out };
	flockfile(out);
	open_level(j, false);
}

void json_end(struct json *j)
{
	while (j->depth > 0)
		close_level(j);
	fputc('\n', j->out);
	fflush(j->out);
	funlockfile(j->out);
}

void json_u64(struct json *j, const char *key, uint64_t value)
{
	write_lead(j, key);
	fprintf(j->out, "%" PRIu64, value);
}

void json_i64(struct json *j, const char *key, int64_t value)
{
	write_lead(j, key);
	fprintf(j->out, "%" PRId64, value);
}

void json_bool(struct json *j, const char *key, bool value)
{
	write_lead(j, key);
	fputs(value ? "true" : "false", j->out);
}

void json_null(struct json *j, const char *key)
{
	write_lead(j, key);
	fputs("null", j->out);
}

void json_f64(struct json *j, const char *key, double value)
{
	if (!isfinite(value)) {
		json_null(j, key);
		return;
	}
	char text[UNITS_TEXT];
	write_lead(j, key);
	fputs(units_exact(text, value), j->out);
}

void json_str(struct json *j, const char *key, const char *value)
{
	if (value == NULL) {
		json_null(j, key);
		return;
	}
	write_lead(j, key);
	write_string(j->out, value);
}

void json_object(struct json *j, const char *key)
{
	write_lead(j, key);
	open_level(j, false);
}

void json_array(struct json *j, const char *key)
{
	write_lead(j, key);
	open_level(j, true);
}

void json_close(struct json *j)
{
	assert(j->depth > 1);
	close_level(j);
}
