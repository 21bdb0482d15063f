/* utf8_test.c - what is a character, and what is not. That every byte string is read to its end shows a sanitizer. */
#include "check.h"
#include "utf8.h"

static void test_len(void)
{
	CHECK_INT(utf8_len("a"), 1);
	CHECK_INT(utf8_len(""), 1); /* the NUL itself */
	CHECK_INT(utf8_len("\xc2\x80"), 2);
	CHECK_INT(utf8_len("\xe2\x82\xac"), 3);
	CHECK_INT(utf8_len("\xf4\x8f\xbf\xbf"), 4);
	static const char *const none[] = { "\x80",     "\xc1\xbf",         "\xc3",
					    "\xc3(",    "\xe0\x9f\xbf",     "\xed\xa0\x80",
					    "\xe2\x82", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80",
					    "\xf5\x80", "\xff\xfe" };
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
		CHECK_INT(utf8_len(none[i]), 0);
}

static void test_columns(void)
{
	CHECK_INT(utf8_columns(NULL), 0);
	CHECK_INT(utf8_columns(""), 0);
	CHECK_INT(utf8_columns("h\xc3\xa9llo"), 5);
	CHECK_INT(utf8_columns("\xff\xe2\x82z"), 4); /* three bytes that are none */
}

static void test_cut(void)
{
	CHECK_INT(utf8_cut("h\xc3\xa9llo", 2), 3);
	CHECK_INT(utf8_cut("h\xc3\xa9llo", 0), 0);
	CHECK_INT(utf8_cut("h\xc3\xa9llo", 99), 6);
	CHECK_INT(utf8_cut("\xff\xffz", 2), 2);
	CHECK_INT(utf8_cut("\xe2\x82", 1), 1);
}

int main(void)
{
	test_len();
	test_columns();
	test_cut();
	return check_done();
}
