/* vocab_test.c - a vocabulary of five words, what becomes of each, and each way to be wrong. */
#include "vocab.h"

#include "check.h"

enum { SIZE = 1 << 0, COLOUR = 1 << 1, NOTHING = 1 << 2 };

static const struct row {
	struct vocab_row row;
	char letter;
} rows[] = {
	{ { "size", VOCAB_VALUE, SIZE }, 's' },
	{ { "red", VOCAB_NO_VALUE, COLOUR }, 'r' },
	{ { "blue", VOCAB_PERHAPS, COLOUR }, 'b' },
	{ { "clear", VOCAB_NO_VALUE, NOTHING }, 'c' },
};

/* What was taken, as "s(12)b()". */
static const char *take(void *into, size_t i, const char *value)
{
	char *log = into;
	size_t len = strlen(log);
	snprintf(log + len, 256 - len, "%c(%s)", rows[i].letter, value != NULL ? value : "");
	return value != NULL && strcmp(value, "bad") == 0 ? "that is bad" : NULL;
}

static const struct vocab words = { rows, sizeof(rows[0]), COUNT_OF(rows), "not one of ours", 16, NOTHING, take };

static void check_taken(const char *text, const char *want, unsigned want_said)
{
	char log[256] = "", why[VOCAB_WHY] = "";
	unsigned said;
	if (!CHECK(vocab_apply(&words, text, log, &said, why)))
		fprintf(stderr, "    %s: %s\n", text, why);
	CHECK_STR(log, want);
	CHECK_INT(said, want_said);
}

static void check_refused(const char *text, const char *want)
{
	char log[256] = "", why[VOCAB_WHY] = "";
	unsigned said;
	CHECK(!vocab_apply(&words, text, log, &said, why));
	CHECK_STR(why, want);
}

static void test_taken(void)
{
	check_taken("size=12", "s(12)", SIZE);
	check_taken("red,size=12", "r()s(12)", SIZE | COLOUR);
	check_taken(" ,\t red \r\n,size=12, ", "r()s(12)", SIZE | COLOUR);
	check_taken("blue", "b()", COLOUR);
	check_taken("blue=dark", "b(dark)", COLOUR);
	check_taken("size=", "s()", SIZE);       /* empty, which is not none: take has to look at it */
	check_taken("size=a=b", "s(a=b)", SIZE); /* the first one divides */
	check_taken("clear red", "c()r()", NOTHING | COLOUR);
	check_taken("size=6789012345", "s(6789012345)", SIZE); /* 15, and there is room for 15 */
}

static void test_refused(void)
{
	check_refused("", ": nothing is said");
	check_refused(" ,", " ,: nothing is said");
	check_refused("green", "green: not one of ours");
	check_refused("siz=1", "siz=1: not one of ours");
	check_refused("sizes=1", "sizes=1: not one of ours");
	check_refused("=1", "=1: not one of ours");
	check_refused("size", "size: it needs a value, after a =");
	check_refused("red=1", "red=1: it takes no value");
	check_refused("red,blue", "blue: this was said already, in the same breath");
	check_refused("red,clear", "clear: it would take back what stands before it: put it first");
	check_refused("clear,clear", "clear: this was said already, in the same breath");
	check_refused("red,size=bad,x", "size=bad: that is bad");
	check_refused("red,size=67890123456", "size=67890123456: too long");
}

/* What is repeated is short and printable. */
static void test_shown(void)
{
	check_refused("gr\033[31m\xff", "gr?[31m?: not one of ours");
	check_refused("abcdefghijklmnopqrstuvwx", "abcdefghijklmnopqrstuvwx: too long");
	check_refused("abcdefghijklmnopqrstuvwxy", "abcdefghijklmnopqrstuvwx...: too long");
	check_refused("size=678901234567 red,blue", "size=678901234567 red,bl...: too long");
}

int main(void)
{
	test_taken();
	test_refused();
	test_shown();
	return check_done();
}
