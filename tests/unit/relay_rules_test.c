/* relay_rules_test.c - the order of rules, lists in files that change, and what is refused: it changes nothing and says
 * why in one line. rulebook.h and wordlist.h are tested here, too. */
#include "../../tools/relay/rules.h"

#include "check.h"
#include "clock.h"
#include "prng.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[64], list_path[96], list[97]; /* list: "@" and the path */

static struct addr ip(const char *text)
{
	struct addr a;
	struct net_error e;
	if (!CHECK(addr_literal(text, 1234, AF_UNSPEC, &a, &e) == 0))
		fprintf(stderr, "    %s\n", text);
	return a;
}

static bool allows(const struct rules *r, const char *text)
{
	struct addr a = ip(text);
	return rules_allow(r, &a);
}

static void add(struct rules *r, bool allow, const char *text)
{
	char why[RULES_WHY] = "";
	if (!CHECK(rules_add(r, allow, text, why)))
		fprintf(stderr, "    %s: %s\n", text, why);
}

/* What the list file says from now on. */
static void write_list(const char *fmt, ...) PRINTF_LIKE(1, 2);
static void write_list(const char *fmt, ...)
{
	FILE *f = fopen(list_path, "w");
	va_list args;
	va_start(args, fmt);
	vfprintf(f, fmt, args);
	va_end(args);
	fclose(f);
}

/* --- what matches ------------------------------------------------------------------------------------------------- */

static void test_no_rules(void)
{
	struct rules *r = rules_new();
	char why[RULES_WHY];
	CHECK(allows(r, "10.0.0.1"));
	CHECK(allows(r, "2001:db8::1"));
	CHECK(rules_reload(r, why));
	CHECK(allows(r, "10.0.0.1"));
	rules_free(r);
	rules_free(NULL);
}

static void test_allow_and_deny(void)
{
	struct rules *r = rules_new();
	add(r, false, "10.0.0.0/8");
	CHECK(!allows(r, "10.1.2.3"));
	CHECK(allows(r, "11.0.0.0"));
	CHECK(allows(r, "::1"));
	add(r, true, "10.1.0.0/16"); /* too late for 10.1.2.3; and now there is an allow */
	CHECK(!allows(r, "10.1.2.3"));
	CHECK(!allows(r, "11.0.0.0"));
	CHECK(!allows(r, "::1"));
	rules_free(r);
	r = rules_new();
	add(r, true, "10.1.2.3, 2001:db8::/32");
	add(r, false, "10.0.0.0/8");
	add(r, true, "all");
	CHECK(allows(r, "10.1.2.3"));
	CHECK(!allows(r, "10.1.2.4"));
	CHECK(allows(r, "2001:db8:1::5"));
	CHECK(allows(r, "192.0.2.1"));
	CHECK(allows(r, "2001:db9::"));
	rules_free(r);
	r = rules_new();
	add(r, true, "10.0.0.0/8");
	add(r, false, "192.0.2.0/24"); /* there is an allow, though it was not the last */
	CHECK(allows(r, "10.1.2.3"));
	CHECK(!allows(r, "172.16.0.1"));
	rules_free(r);
	r = rules_new();
	add(r, false, "all");
	CHECK(!allows(r, "10.1.2.3"));
	CHECK(!allows(r, "::"));
	rules_free(r);
}

/* What a network is, relay_network_test.c asks; here only that it is asked. */
static void test_families(void)
{
	struct rules *r = rules_new();
	add(r, false, "0.0.0.0/0");
	CHECK(!allows(r, "::ffff:10.0.0.1"));
	CHECK(allows(r, "2001:db8::1"));
	struct addr nobody;
	struct net_error e;
	CHECK_INT(addr_unix("@client", &nobody, &e), 0);
	CHECK(rules_allow(r, &nobody));
	add(r, true, "0.0.0.0/0,::/0");
	CHECK(!rules_allow(r, &nobody));
	add(r, true, "all");
	CHECK(rules_allow(r, &nobody));
	rules_free(r);
}

/* --- what is refused ---------------------------------------------------------------------------------------------- */

static bool is_printable_line(const char *why)
{
	size_t len = strnlen(why, RULES_WHY);
	for (size_t i = 0; i < len; i++)
		if (!isprint((unsigned char)why[i]))
			return false;
	return len > 0 && len < RULES_WHY;
}

static void check_refused(const char *text, const char *want)
{
	struct rules *r = rules_new();
	char why[RULES_WHY] = "";
	add(r, false, "10.0.0.0/8");
	if (!CHECK(!rules_add(r, true, text, why)))
		fprintf(stderr, "    taken: %s\n", text);
	CHECK_STR(why, want);
	CHECK(allows(r, "192.0.2.1") && !allows(r, "10.0.0.1")); /* as before: nothing of it was kept */
	rules_free(r);
	r = rules_new();
	add(r, false, "10.0.0.0/8");
	CHECK(!rules_add(r, false, text, why));
	CHECK(allows(r, "192.0.2.1") && !allows(r, "10.0.0.1"));
	CHECK(rules_reload(r, why));
	CHECK(allows(r, "192.0.2.1") && !allows(r, "10.0.0.1"));
	rules_free(r);
}

static void test_refused(void)
{
	check_refused("localhost", "localhost: no address, network or \"all\"");
	check_refused("10.0.0.1/8", "10.0.0.1/8: there are bits beyond the prefix");
	check_refused("192.0.2.1,10.0.0.1/8", "10.0.0.1/8: there are bits beyond the prefix");
	check_refused("", ": an empty word");
	check_refused("10.0.0.1,", "10.0.0.1,: an empty word");
	check_refused(",10.0.0.1", ",10.0.0.1: an empty word");
	check_refused("10.0.0.1, ,::1", "10.0.0.1, ,::1: an empty word");
}

/* Whatever stands there, it is one line for a terminal, and no memory is touched that should not be. */
static void test_hostile_text(void)
{
	static const char *const texts[] = { "10.0.0.0/8", "2001:db8:1:2:3:4:5:6/128,all", "::ffff:10.0.0.0/104" };
	uint64_t luck = 0;
	for (int i = 0; i < 30000; i++) {
		char text[64], why[RULES_WHY] = "";
		snprintf(text, sizeof(text), "%s", texts[i % 3]);
		for (int k = 0; k < 1 + i % 2; k++, luck++)
			text[prng_word(3, luck) % strlen(text)] = (char)(1 + prng_word(4, luck) % 255);
		struct rules *r = rules_new();
		if (strchr(text, '@') == NULL && !rules_add(r, true, text, why) && !CHECK(is_printable_line(why)))
			fprintf(stderr, "    %s\n", why);
		rules_free(r);
	}
	char *longest = malloc(100001), why[RULES_WHY];
	memset(longest, '1', 100000);
	longest[100000] = '\0';
	struct rules *r = rules_new();
	CHECK(!rules_add(r, true, longest, why));
	longest[WORDLIST_WORD] = '\0'; /* one too long; and then the longest that there may be */
	CHECK(!rules_add(r, true, longest, why) && strstr(why, "a word that is too long") != NULL);
	longest[WORDLIST_WORD - 1] = '\0';
	CHECK(!rules_add(r, true, longest, why) && strstr(why, "no address") != NULL);
	longest[WORDLIST_WORD] = longest[WORDLIST_WORD - 1] = '1';
	memset(longest, ',', 100000);
	CHECK(!rules_add(r, true, longest, why));
	memset(longest, ' ', 100000);
	CHECK(!rules_add(r, true, longest, why));
	rules_free(r);
	free(longest);
}

/* --- files -------------------------------------------------------------------------------------------------------- */

static void test_file(void)
{
	struct rules *r = rules_new();
	write_list("# ours\n10.0.0.0/8 # the house\r\n\r\n\t2001:db8::/32\t\n   # 192.0.2.0/24\n#\n172.16.0.1#x");
	add(r, true, list);
	CHECK(allows(r, "10.1.1.1"));
	CHECK(allows(r, "2001:db8::7"));
	CHECK(allows(r, "172.16.0.1")); /* the last line has no newline */
	CHECK(!allows(r, "192.0.2.1"));
	rules_free(r);
	r = rules_new();
	char mixed[200];
	snprintf(mixed, sizeof(mixed), "192.0.2.1, %s ,::1", list);
	write_list("10.0.0.0/8\n");
	add(r, true, mixed); /* between others */
	CHECK(allows(r, "10.1.1.1") && allows(r, "192.0.2.1") && allows(r, "::1") && !allows(r, "::2"));
	rules_free(r);
	r = rules_new();
	write_list("# nothing\n\n");
	add(r, true, list); /* an empty list: there is an allow, and nobody is on it */
	CHECK(!allows(r, "10.1.1.1"));
	rules_free(r);
}

static void check_refused_file(const char *want)
{
	char text[200];
	snprintf(text, sizeof(text), "%s%s", list_path, want);
	check_refused(list, text);
}

static void test_refused_files(void)
{
	char line[WORDLIST_WORD + 2];
	write_list("10.0.0.1\n\n10.0.0.1/8\n");
	check_refused_file(":3: 10.0.0.1/8: there are bits beyond the prefix");
	write_list("10.0.0.1, 10.0.0.2\n");
	check_refused_file(":1: 10.0.0.1, 10.0.0.2: no address, network or \"all\"");
	memset(line, '1', sizeof(line));
	line[sizeof(line) - 1] = '\0';
	write_list("10.0.0.1\n%s\n", line);
	check_refused_file(":2: a line that is too long, or no text");
	write_list("10.0.0.1%c\n10.0.0.2\n", 0);
	check_refused_file(":1: a line that is too long, or no text");
	unlink(list_path);
	char want[200];
	snprintf(want, sizeof(want), "open %s: No such file or directory (ENOENT)", list_path);
	check_refused(list, want);
	char at_dir[80];
	snprintf(at_dir, sizeof(at_dir), "@%s", dir);
	snprintf(want, sizeof(want), "read %s: Is a directory (EISDIR)", dir);
	check_refused(at_dir, want);
	write_list("@%s\n", list_path); /* a file in a file */
	char nested[300];
	snprintf(nested, sizeof(nested), "%s:1: @%s: no address, network or \"all\"", list_path, list_path);
	check_refused(list, nested);
	check_refused("@", "open : No such file or directory (ENOENT)");
}

static void test_reload(void)
{
	struct rules *r = rules_new();
	char why[RULES_WHY] = "", want[200];
	write_list("10.0.0.0/8\n");
	add(r, false, "10.6.6.6");
	add(r, true, list);
	add(r, true, "192.0.2.1");
	write_list("10.0.0.0/8\n172.16.0.0/12\n");
	CHECK(!allows(r, "172.16.0.1")); /* not before it is read again */
	CHECK(rules_reload(r, why));
	CHECK(allows(r, "172.16.0.1") && allows(r, "10.1.1.1") && allows(r, "192.0.2.1") && !allows(r, "10.6.6.6"));
	write_list("1.1.1.1\n2.2.2.2\nrubbish\n");
	CHECK(!rules_reload(r, why));
	snprintf(want, sizeof(want), "%s:3: rubbish: no address, network or \"all\"", list_path);
	CHECK_STR(why, want);
	CHECK(allows(r, "172.16.0.1") && !allows(r, "1.1.1.1")); /* all or nothing */
	unlink(list_path);
	CHECK(!rules_reload(r, why));
	CHECK(allows(r, "172.16.0.1"));
	write_list("%s", "");
	CHECK(rules_reload(r, why));
	CHECK(!allows(r, "172.16.0.1") && allows(r, "192.0.2.1"));
	rules_free(r);
	r = rules_new();
	write_list("10.0.0.0/8\n");
	add(r, true, list);
	write_list("# nobody\n"); /* an allow list that has become empty lets nobody in */
	CHECK(rules_reload(r, why));
	CHECK(!allows(r, "10.0.0.1") && !allows(r, "192.0.2.1"));
	rules_free(r);
}

static void write_many(unsigned n)
{
	FILE *f = fopen(list_path, "w");
	for (unsigned i = 0; i < n; i++)
		fprintf(f, "10.%u.%u.1\n", i >> 8 & 255, i & 255);
	fclose(f);
}

static void test_limit(void)
{
	struct rules *r = rules_new();
	char why[RULES_WHY] = "", want[200];
	write_many(RULES_MAX);
	add(r, true, list);
	CHECK(allows(r, "10.255.255.1"));
	CHECK(!rules_add(r, true, "1.1.1.1", why));
	CHECK_STR(why, "1.1.1.1: more than 65536 networks");
	write_many(RULES_MAX + 1);
	CHECK(!rules_reload(r, why));
	snprintf(want, sizeof(want), "%s:65537: 10.0.0.1: more than 65536 networks", list_path);
	CHECK_STR(why, want);
	CHECK(allows(r, "10.255.255.1"));
	struct addr last = ip("10.255.255.2");
	uint64_t before_ns = clk_mono_ns();
	for (int i = 0; i < 100; i++)
		CHECK(!rules_allow(r, &last));
	if (getenv("RULES_SHOW_TIME") != NULL)
		printf("%d networks: %.1f us for each client\n", RULES_MAX, (double)(clk_mono_ns() - before_ns) / 1e5);
	rules_free(r);
}

int main(void)
{
	snprintf(dir, sizeof(dir), "/tmp/relay_rules_test.XXXXXX");
	if (mkdtemp(dir) == NULL)
		return 1;
	snprintf(list_path, sizeof(list_path), "%s/rules.txt", dir);
	snprintf(list, sizeof(list), "@%s", list_path);
	test_no_rules();
	test_allow_and_deny();
	test_families();
	test_refused();
	test_hostile_text();
	test_file();
	test_refused_files();
	test_reload();
	test_limit();
	unlink(list_path);
	rmdir(dir);
	return check_done();
}
