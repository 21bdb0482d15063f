/* json_test.c - what the writer writes, to the byte. */
#include "check.h"
#include "json.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>

static char *text;
static size_t text_len;

/* Begin a line in memory; check_line() ends it and compares. */
static FILE *start(struct json *j)
{
	FILE *out = open_memstream(&text, &text_len);
	json_begin(j, out);
	return out;
}

static void check_line(struct json *j, FILE *out, const char *want)
{
	json_end(j);
	fclose(out);
	CHECK_STR(text, want);
	free(text);
}

static void test_values(void)
{
	struct json j;
	FILE *out = start(&j);

	json_str(&j, "schema", "tcplab.test/1");
	json_u64(&j, "most", UINT64_MAX);
	json_i64(&j, "least", INT64_MIN);
	json_bool(&j, "yes", true);
	json_bool(&j, "no", false);
	json_null(&j, "none");
	json_str(&j, "no_text", NULL);
	json_str(&j, "empty", "");
	check_line(&j, out,
		   "{\"schema\":\"tcplab.test/1\","
		   "\"most\":18446744073709551615,\"least\":-9223372036854775808,"
		   "\"yes\":true,\"no\":false,\"none\":null,\"no_text\":null,\"empty\":\"\"}\n");
}

static void test_nesting(void)
{
	struct json j;
	FILE *out = start(&j);

	json_array(&j, "rtt_ns");
	json_u64(&j, NULL, 1);
	json_u64(&j, NULL, 2);
	json_object(&j, NULL);
	json_u64(&j, "a", 3);
	json_close(&j);
	json_array(&j, NULL);
	json_close(&j);
	json_null(&j, NULL);
	json_close(&j);
	json_object(&j, "peer");
	json_close(&j);
	json_u64(&j, "n", 4);
	check_line(&j, out, "{\"rtt_ns\":[1,2,{\"a\":3},[],null],\"peer\":{},\"n\":4}\n");
}

static void test_end_closes_everything(void)
{
	struct json j;
	FILE *out = start(&j);

	json_array(&j, "a");
	json_object(&j, NULL);
	json_array(&j, "b");
	for (int depth = 4; depth < JSON_DEPTH_MAX; depth++)
		json_array(&j, NULL);
	check_line(&j, out, "{\"a\":[{\"b\":[[[[[[[[[[[[[]]]]]]]]]]]]]}]}\n");
}

/* One struct writes line after line. */
static void test_lines(void)
{
	struct json j;
	FILE *out = start(&j);

	json_u64(&j, "line", 1);
	json_end(&j);
	json_begin(&j, out);
	json_u64(&j, "line", 2);
	json_end(&j);
	json_begin(&j, out);
	check_line(&j, out, "{\"line\":1}\n{\"line\":2}\n{}\n");
}

static void check_f64(double value, const char *want)
{
	struct json j;
	FILE *out = start(&j);
	char line[64];

	json_f64(&j, "v", value);
	snprintf(line, sizeof(line), "{\"v\":%s}\n", want);
	check_line(&j, out, line);
}

static void test_doubles(void)
{
	check_f64(0, "0");
	check_f64(-0.0, "-0");
	check_f64(0.1, "0.1");
	check_f64(-2.5, "-2.5");
	check_f64(1.0 / 3, "0.3333333333333333");
	check_f64(0.1 + 0.2, "0.30000000000000004");
	check_f64(1000000, "1000000");
	check_f64(123456789012345, "123456789012345");
	check_f64(1e15, "1e+15");
	check_f64(9.4e9 / 8, "1175000000");
	check_f64(1e-9, "1e-09");
	check_f64(1.7976931348623157e308, "1.7976931348623157e+308");
	check_f64(5e-324, "4.94066e-324");
	check_f64(NAN, "null");
	check_f64(INFINITY, "null");
	check_f64(-INFINITY, "null");
}

static void check_string(const char *value, const char *want)
{
	struct json j;
	FILE *out = start(&j);
	char line[128];

	json_str(&j, "v", value);
	snprintf(line, sizeof(line), "{\"v\":\"%s\"}\n", want);
	check_line(&j, out, line);
}

static void test_escapes(void)
{
	check_string("a\"b\\c/d", "a\\\"b\\\\c/d");
	check_string("\b\f\n\r\t", "\\b\\f\\n\\r\\t");
	check_string("\x01\x1b[0m\x1f\x7f", "\\u0001\\u001b[0m\\u001f\\u007f");
}

static void test_utf8(void)
{
	check_string("\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80", "\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80");
	check_string("\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf", "\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf");
	check_string("a\xff"
		     "b",
		     "a\\ufffdb");
	check_string("\x80", "\\ufffd");
	check_string("\xc3", "\\ufffd"); /* cut short by the end */
	check_string("\xe2\x82", "\\ufffd\\ufffd");
	check_string("\xc0\xaf", "\\ufffd\\ufffd"); /* overlong '/' */
	check_string("\xe0\x80\xaf", "\\ufffd\\ufffd\\ufffd");
	check_string("\xf0\x8f\xbf\xbf", "\\ufffd\\ufffd\\ufffd\\ufffd");
	check_string("\xed\xa0\x80", "\\ufffd\\ufffd\\ufffd");            /* a surrogate */
	check_string("\xf4\x90\x80\x80", "\\ufffd\\ufffd\\ufffd\\ufffd"); /* above U+10FFFF */
	check_string("\xf5\x80\x80\x80", "\\ufffd\\ufffd\\ufffd\\ufffd");
	check_string("\xc3\"", "\\ufffd\\\""); /* the quote must not be swallowed */
}

static void test_keys_are_escaped(void)
{
	struct json j;
	FILE *out = start(&j);

	json_u64(&j, "a\"\n\xff", 1);
	check_line(&j, out, "{\"a\\\"\\n\\ufffd\":1}\n");
}

enum { THREADS = 2, LINES = 3000 };

struct writer {
	pthread_t thread;
	FILE *out;
	unsigned number;
};

static void *write_lines(void *arg)
{
	const struct writer *w = arg;
	for (unsigned i = 0; i < LINES; i++) {
		struct json j;
		json_begin(&j, w->out);
		json_u64(&j, "writer", w->number);
		json_str(&j, "text", "some text, so that there is time for the other one to get in between");
		json_u64(&j, "again", w->number);
		json_end(&j);
	}
	return NULL;
}

/* A server's threads share standard output: each line is whole. */
static void test_threads(void)
{
	struct writer writers[THREADS];
	FILE *file = tmpfile();
	char line[256];
	unsigned begin, end, n = 0, n_bad = 0;
	for (unsigned i = 0; i < THREADS; i++) {
		writers[i] = (struct writer){ .out = file, .number = i };
		pthread_create(&writers[i].thread, NULL, write_lines, &writers[i]);
	}
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(writers[i].thread, NULL);
	rewind(file);
	for (; fgets(line, sizeof(line), file) != NULL; n++) {
		if (sscanf(line, "{\"writer\":%u,\"text\":\"%*[^\"]\",\"again\":%u}", &begin, &end) != 2 ||
		    begin != end)
			n_bad++;
	}
	fclose(file);
	CHECK_INT(n, THREADS * LINES);
	CHECK_INT(n_bad, 0);
}

int main(void)
{
	test_values();
	test_nesting();
	test_end_closes_everything();
	test_lines();
	test_doubles();
	test_escapes();
	test_utf8();
	test_keys_are_escaped();
	test_threads();
	return check_done();
}
