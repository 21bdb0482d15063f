/* Text that never leaves its line, and a process's own words made plain. */
#include "../../tools/procmon/pen.h"

#include "check.h"
#include "procmon_kit.h"
#include "screen.h"

static char text[4096];
static FILE *out;

static struct pen begin(unsigned columns, unsigned lines, bool utf8)
{
	memset(text, 0, sizeof(text));
	out = fmemopen(text, sizeof(text), "w");
	return (struct pen){ .out = out, .columns = columns, .lines = lines, .utf8 = utf8 };
}

static const char *written(void)
{
	fclose(out);
	return text;
}

static void test_plain(void)
{
	static const struct {
		const char *from, *ascii, *utf8;
	} all[] = {
		{ "echo -s", "echo -s", "echo -s" },
		{ "\033[2J\r\n\t\b\007\177", "?[2J??????", "?[2J??????" },
		{ "Z\xc3\xbcrich \xd0\x96 \xce\xa9", "Z?rich ? ?", "Z\xc3\xbcrich \xd0\x96 \xce\xa9" },
		{ "e\xcc\x81", "e?", "e?" }, /* an accent of its own */
		{ "a\xe2\x80\xae"
		  "b",
		  "a?b", "a?b" },                               /* from right to left */
		{ "\xe6\x97\xa5\xf0\x9f\x98\x80", "??", "??" }, /* two columns each */
		{ "\xc2\x9b"
		  "2J",
		  "?2J", "?2J" },         /* CSI in one character */
		{ "\xc2\xad", "?", "?" }, /* a hyphen that is not shown */
		{ "\xff\xfe", "??", "??" },
		{ "\xc3", "?", "?" },               /* cut off in the middle */
		{ "\xc0\xaf\xc1\xbf", "??", "??" }, /* longer than they had to be */
		{ "\xd7\x90\xd2\x83", "??", "??" }, /* Hebrew; a Cyrillic accent */
	};
	for (size_t i = 0; i < COUNT_OF(all); i++) {
		struct pen p = begin(80, 1, false);
		pen_plain(&p, PEN_NO_LIMIT, all[i].from);
		CHECK_INT(p.at, pen_columns(all[i].from));
		CHECK_STR(written(), all[i].ascii);
		p = begin(80, 1, true);
		pen_put(&p, "%s", all[i].from);
		CHECK_INT(p.at, pen_columns(all[i].from));
		CHECK_STR(written(), all[i].utf8);
	}
}

static void test_lines(void)
{
	struct pen p = begin(10, 2, false);
	pen_plain(&p, 4, "abcdef");
	pen_to(&p, 6);
	pen_put(&p, "%d", 123456);
	pen_put(&p, "not here");
	pen_end(&p);
	pen_right(&p, 5, "12");
	pen_right(&p, 5, "1234567");
	pen_end(&p);
	pen_put(&p, "below the last line");
	pen_end(&p);
	CHECK_STR(written(), "abc~  123~\n   121234~\n");
	p = begin(10, 1, true);
	pen_plain(&p, 3, "\xc3\xa4\xc3\xb6\xc3\xbc\xc3\x9f");
	CHECK_STR(written(), "\xc3\xa4\xc3\xb6…");
}

static void test_wrap(void)
{
	struct pen p = begin(20, 3, false);
	p.wrap = 4;
	pen_put(&p, "key ");
	pen_put(&p, "one 12 MiB");
	pen_put(&p, ", two 3 MiB");
	pen_put(&p, " and what does not fit into any line");
	pen_end(&p);
	CHECK_STR(written(), "key one 12 MiB,\n    two 3 MiB\n    and what does n~\n");
}

static void test_attributes(void)
{
	struct pen p = begin(10, 1, false);
	p.has_attributes = true;
	pen_light(&p, SCREEN_BOLD);
	pen_put(&p, "\033[1m");
	pen_end(&p);
	pen_light(&p, SCREEN_BOLD);
	CHECK_STR(written(), SCREEN_BOLD "?[1m" SCREEN_PLAIN "\n");
	p = begin(10, 1, false);
	pen_light(&p, SCREEN_BOLD);
	pen_put(&p, "bold");
	CHECK_STR(written(), "bold");
}

static void test_words(void)
{
	struct pen p = begin(20, 9, false);
	pen_put(&p, "why");
	pen_words(&p, 8, 4, "it belongs to another user");
	pen_words(&p, 0, 2, "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz");
	pen_words(&p, 2, 1, "of one line at most");
	pen_words(&p, 0, 9, "");
	CHECK_STR(written(),
		  "why     it belongs\n        to another\n        user\nabcdefghijklmnopqrst\nuvwxyzabcdefghijklm~\n"
		  "  of one line at mo~\n\n");
	p = begin(4, 3, false);
	pen_words(&p, 8, 9, "no room at all");
	CHECK_STR(written(), "    \n");
}

static void test_drawings(void)
{
	static const double share[] = { 0.5, 0.25 }, wrong[] = { NAN, 7 };
	static const double value[] = { NAN, 0, 0.001, 50, 100, 200, -1 };
	struct pen p = begin(40, 9, false);
	pen_bar(&p, 10, share, 2);
	pen_bar(&p, 10, wrong, 2);
	pen_bar(&p, 2, share, 2);
	pen_end(&p);
	pen_trace(&p, value, COUNT_OF(value), 100);
	pen_put(&p, "|");
	pen_end(&p);
	for (unsigned row = 0; row < 2; row++) {
		pen_trace_row(&p, value, COUNT_OF(value), 100, 2, row);
		pen_end(&p);
	}
	pen_trace(&p, value, 3, 0);
	CHECK_STR(written(), "[####++  ][++++++++]\n _.-##_|\n    ## \n ..###.\n _.");
	p = begin(40, 9, true);
	pen_bar(&p, 6, (const double[]){ 0.3 }, 1);
	pen_trace(&p, value, COUNT_OF(value), 100);
	CHECK_STR(written(), "[█▎  ] ▁▂▄██▁");
}

/* --- tables ------------------------------------------------------------------------------------------------------- */

static void put_number(char cell[static PEN_CELL], const void *row)
{
	snprintf(cell, PEN_CELL, "%d", *(const int *)row);
}

static void put_long(char cell[static PEN_CELL], const void *row)
{
	snprintf(cell, PEN_CELL, "number %d is a long one", *(const int *)row);
}

static const struct pen_column columns[] = { { .title = "N", .cell = put_number, .least = 3 },
					     { .title = "TWICE", .cell = put_number, .leave = 1 },
					     { .title = "WORDS", .cell = put_long, .is_left = true },
					     { 0 } };

static void test_tables(void)
{
	int number[] = { 1, 22, 333, 4444 };
	const void *row[] = { &number[0], &number[1], &number[2], &number[3] };
	struct pen_list list = { .columns = columns, .row = row, .n = 4, .first = 99, .lit = &number[2] };
	struct pen p = begin(30, 3, false);
	pen_table(&p, &list);
	CHECK_INT(list.first, 2);
	CHECK_STR(written(), "    N  TWICE  WORDS\n> 333    333  number 333 is a~\n 4444   4444  number 4444 is ~\n");
	list = (struct pen_list){ .columns = columns, .row = row, .n = 4, .keep = 3 };
	p = begin(24, 5, false);
	pen_table(&p, &list);
	CHECK_INT(p.lines, 3);
	CHECK_STR(written(), "   N  WORDS\n   1  number 1 is a lon~\n");
	list = (struct pen_list){ .columns = columns, .row = row, .n = 0, .first = 7 };
	p = begin(24, 5, false);
	pen_table(&p, &list);
	CHECK_INT(list.first, 0);
	CHECK_STR(written(), "   N  WORDS\n");
}

static void test_times(void)
{
	char age[32], clock[32];
	CHECK_STR(pen_age(age, 0), "0 s");
	CHECK_STR(pen_age(age, 59999999999), "59 s");
	CHECK_STR(pen_age(age, 200ull * NS_PER_S), "3 min 20 s");
	CHECK_STR(pen_age(age, 7500ull * NS_PER_S), "2 h 5 min");
	CHECK_STR(pen_age(age, 273600ull * NS_PER_S), "3 d 4 h");
	CHECK_STR(pen_clock(clock, (int64_t)KIT_END_S * NS_PER_S, false), "22:13:20");
	CHECK_STR(pen_clock(clock, (int64_t)KIT_END_S * NS_PER_S, true), "2023-11-14 22:13:20");
}

int main(void)
{
	setenv("TZ", "UTC", 1);
	test_plain();
	test_lines();
	test_wrap();
	test_attributes();
	test_words();
	test_drawings();
	test_tables();
	test_times();
	return check_done();
}
