/* socks4a_users_test.c - logins that are right and those that are nearly so, files that are wrong, and that no password
 * is left in memory. */
#include "../../tools/socks4a/users.h"

#include "check.h"
#include "clock.h"

#include <ctype.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char path[64];

static void write_bytes(const char *text, size_t n)
{
	FILE *f = fopen(path, "w");
	fwrite(text, 1, n, f);
	fclose(f);
}

static void write_users(const char *text)
{
	write_bytes(text, strlen(text));
}

static struct users *read_users(const char *text)
{
	char why[USERS_WHY] = "";
	write_users(text);
	struct users *u = users_read(path, NULL, why);
	if (!CHECK(u != NULL)) {
		fprintf(stderr, "    %s\n", why);
		exit(1);
	}
	return u;
}

/* --- who is known ------------------------------------------------------------------------------------------------- */

static void test_know(void)
{
	struct users *u = read_users("# ours\n\nalice:secret\nbob: a b:c # d \r\n#carol:x\n\r\ndave:1");
	CHECK_INT(users_count(u), 3);
	CHECK(users_know(u, "alice", "secret"));
	CHECK(users_know(u, "bob", " a b:c # d "));
	CHECK(users_know(u, "dave", "1")); /* the last line has no end */
	static const char *const wrong[][2] = {
		{ "alice", "secre" },       { "alice", "secret " },
		{ "alice", "Secret" },      { "alice", "" },
		{ "alice", "secret\r" },    { "alice", "secretsecret" },
		{ "alice", " a b:c # d " }, { "alice", "1" },
		{ "Alice", "secret" },      { "alic", "esecret" },
		{ "", "secret" },           { "", "" },
		{ "alice:secret", "" },     { "", "alice:secret" },
		{ "bob: a b", "c # d " },   { "bob", "a b:c # d" },
		{ "carol", "x" },           { "#carol", "x" },
		{ "dave", "1\n" },          { "alice\n", "secret" },
		{ " alice", "secret" },     { "nobody", "secret" },
		{ "alice:", "secret" },     { "#", "" },
	};
	for (size_t i = 0; i < COUNT_OF(wrong); i++)
		if (!CHECK(!users_know(u, wrong[i][0], wrong[i][1])))
			fprintf(stderr, "    %s %s\n", wrong[i][0], wrong[i][1]);
	users_free(u);
	users_free(NULL);
}

/* Every login that differs from a right one in one bit. */
static void test_every_bit(void)
{
	struct users *u = read_users("alice:secret\n");
	char user[] = "alice", password[] = "secret";
	for (size_t bit = 0; bit < 8 * 11; bit++) {
		char *at = bit < 40 ? &user[bit / 8] : &password[bit / 8 - 5];
		*at = (char)(*at ^ 1 << bit % 8);
		CHECK(!users_know(u, user, password));
		*at = (char)(*at ^ 1 << bit % 8);
	}
	CHECK(users_know(u, user, password));
	users_free(u);
}

static void test_lengths(void)
{
	char line[600], user[300], password[300];
	memset(user, 'u', sizeof(user));
	memset(password, 'p', sizeof(password));
	user[USERS_TEXT_MAX] = password[USERS_TEXT_MAX] = '\0';
	for (int round = 0; round < 3; round++) { /* the longest line, with each end it may have */
		static const char *const ends[] = { "", "\n", "\r\n" };
		snprintf(line, sizeof(line), "%s:%s%s", user, password, ends[round]);
		struct users *u = read_users(line);
		CHECK(users_know(u, user, password));
		password[USERS_TEXT_MAX] = user[USERS_TEXT_MAX] = 'x';
		password[sizeof(password) - 1] = user[sizeof(user) - 1] = '\0';
		CHECK(!users_know(u, user, password));
		user[USERS_TEXT_MAX] = '\0';
		CHECK(!users_know(u, user, password));
		password[USERS_TEXT_MAX] = '\0';
		password[USERS_TEXT_MAX - 1] = '\0';
		CHECK(!users_know(u, user, password));
		password[USERS_TEXT_MAX - 1] = 'p';
		users_free(u);
	}
}

/* --- files -------------------------------------------------------------------------------------------------------- */

static void check_why(const char *want)
{
	char why[USERS_WHY] = "";
	bool is_open;
	CHECK(users_read(path, &is_open, why) == NULL);
	CHECK_STR(why, want);
}

static void check_refused(const char *text, size_t n, unsigned line, const char *wrong)
{
	char want[USERS_WHY];
	write_bytes(text, n);
	snprintf(want, sizeof(want), "%s:%u: %s", path, line, wrong);
	check_why(want);
}

static void test_refused(void)
{
	static const char form[] = "a line is USER:PASSWORD",
			  bytes[] = "a user and a password have 1 to 255 bytes each";
	static const char blanks[] = "there are blanks around the user", text[] = "a line that is too long, or no text";
	static const struct {
		const char *text;
		unsigned line;
		const char *wrong;
	} rows[] = {
		{ "alice\n", 1, form },
		{ "alice:secret\n\n# x\nbob\n", 4, form },
		{ "alice:secret\n \n", 2, form },
		{ ":secret\n", 1, bytes },
		{ "alice:\n", 1, bytes },
		{ "alice:\r\n", 1, bytes },
		{ "alice:", 1, bytes },
		{ ":", 1, bytes },
		{ " alice:secret\n", 1, blanks },
		{ "\talice:secret\n", 1, blanks },
		{ " # alice:secret\n", 1, blanks },
		{ "alice :secret\n", 1, blanks },
		{ "alice:secret\nbob:x\nalice:other\n", 3, "this user was there before" },
		{ "alice:secret\nalice:secret\n", 2, "this user was there before" },
	};
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		check_refused(rows[i].text, strlen(rows[i].text), rows[i].line, rows[i].wrong);
	check_refused("alice:sec\0ret\n", 14, 1, text);
	check_refused("alice:secret\nbob:sec\0ret", 24, 2, text);
	check_refused("alice:secret\0", 13, 1, text);
	check_refused("\0", 1, 1, text);
	char line[4000];
	memset(line, 'x', sizeof(line));
	line[256] = ':';
	check_refused(line, 260, 1, bytes); /* a user of 256 */
	line[256] = 'x';
	line[1] = ':';
	check_refused(line, 2 + 256, 1, bytes); /* a password of 256 */
	check_refused(line, 512, 1, text);
	check_refused(line, sizeof(line), 1, text);
	/* What is behind the longest line that is kept is no line of its own. */
	memcpy(line + sizeof(line) - 9, "\nbob:ok\n", 8);
	check_refused(line, sizeof(line), 1, text);
	line[512] = '\r';
	check_refused(line, sizeof(line), 1, text);
	line[1] = 'x';
	line[255] = ':';
	line[511] = '\r'; /* up to here all is well */
	check_refused(line, sizeof(line), 1, text);
}

static void test_no_file(void)
{
	char why[USERS_WHY] = "", want[USERS_WHY];
	unlink(path);
	snprintf(want, sizeof(want), "open %s: No such file or directory (ENOENT)", path);
	check_why(want);
	CHECK(users_read("/", NULL, why) == NULL);
	CHECK_STR(why, "read /: Is a directory (EISDIR)");
}

static void test_mode(void)
{
	static const struct {
		mode_t mode;
		bool is_open;
	} rows[] = { { 0600, false }, { 0400, false }, { 0640, true }, { 0604, true }, { 0620, true }, { 0602, true } };
	char why[USERS_WHY];
	bool is_open;
	write_users("alice:secret\n");
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		chmod(path, rows[i].mode);
		is_open = !rows[i].is_open;
		struct users *u = users_read(path, &is_open, why);
		CHECK(u != NULL);
		CHECK_INT(is_open, rows[i].is_open);
		users_free(u);
	}
	chmod(path, 0600);
}

static void test_reload(void)
{
	char why[USERS_WHY], want[USERS_WHY];
	bool is_open = false;
	struct users *u = read_users("alice:secret\nbob:x\n");
	write_users("alice:other\ncarol:y\nrubbish\n");
	CHECK(!users_reload(u, NULL, why));
	snprintf(want, sizeof(want), "%s:3: a line is USER:PASSWORD", path);
	CHECK_STR(why, want);
	CHECK(users_know(u, "alice", "secret") && users_know(u, "bob", "x") && !users_know(u, "carol", "y"));
	write_users("alice:other\ncarol:y\n");
	CHECK(!users_know(u, "alice", "other")); /* not before it is read again */
	chmod(path, 0644);
	CHECK(users_reload(u, &is_open, why));
	CHECK(is_open);
	chmod(path, 0600);
	CHECK(users_know(u, "alice", "other") && users_know(u, "carol", "y"));
	CHECK(!users_know(u, "alice", "secret") && !users_know(u, "bob", "x"));
	write_users("# nobody\n"); /* who takes out the last one means it */
	CHECK(users_reload(u, NULL, why));
	CHECK_INT(users_count(u), 0);
	CHECK(!users_know(u, "alice", "other") && !users_know(u, "", ""));
	users_free(u);
}

static void write_many(unsigned n)
{
	FILE *f = fopen(path, "w");
	for (unsigned i = 0; i < n; i++)
		fprintf(f, "user%u:password%u\n", i, i);
	fclose(f);
}

static uint64_t time_of_login(struct users *u, const char *user, const char *password)
{
	enum { TIMES = 20 };
	uint64_t before_ns = clk_mono_ns();
	for (int i = 0; i < TIMES; i++)
		if (users_know(u, user, password))
			return 0;
	return (clk_mono_ns() - before_ns) / TIMES;
}

static void test_limit(void)
{
	char why[USERS_WHY] = "", want[USERS_WHY];
	write_many(USERS_MAX);
	struct users *u = users_read(path, NULL, why);
	CHECK(u != NULL);
	CHECK_INT(users_count(u), USERS_MAX);
	CHECK(users_know(u, "user0", "password0") && users_know(u, "user4095", "password4095"));
	CHECK(!users_know(u, "user0", "password1") && !users_know(u, "user4096", "password4096"));
	if (getenv("USERS_SHOW_TIME") != NULL)
		printf("a login among %d: %llu ns\n", USERS_MAX, (unsigned long long)time_of_login(u, "user0", "x"));
	write_many(USERS_MAX + 1);
	CHECK(!users_reload(u, NULL, why));
	snprintf(want, sizeof(want), "%s:4097: more than 4096 users", path);
	CHECK_STR(why, want);
	CHECK(users_know(u, "user0", "password0"));
	users_free(u);
}

/* --- threads, memory ---------------------------------------------------------------------------------------------- */

struct asker {
	pthread_t thread;
	struct users *users;
	unsigned bad;
};

static void *ask(void *arg)
{
	struct asker *a = arg;
	for (int i = 0; i < 2000; i++)
		a->bad += !users_know(a->users, "alice", "secret") || users_know(a->users, "alice", "Secret");
	return NULL;
}

/* Who is known before and after is known all the time; and TSan looks on. */
static void test_reload_while_asked(void)
{
	char why[USERS_WHY];
	struct asker askers[2];
	struct users *u = read_users("alice:secret\nbob:x\n");
	for (int i = 0; i < 2; i++) {
		askers[i] = (struct asker){ .users = u };
		CHECK_INT(pthread_create(&askers[i].thread, NULL, ask, &askers[i]), 0);
	}
	for (int i = 0; i < 100; i++)
		CHECK(users_reload(u, NULL, why));
	for (int i = 0; i < 2; i++) {
		pthread_join(askers[i].thread, NULL);
		CHECK_INT(askers[i].bad, 0);
	}
	users_free(u);
}

/* "battery staple", so that the test itself does not have it in memory. */
enum { MASK = 0x5a };
static const char masked[] = { '8', ';', '.', '.', '?', '(', '#', 'z', ')', '.', ';', '*', '6', '?' };

/* How often the masked text stands in [begin, end). It may be anybody's memory: a sanitizer would complain. */
__attribute__((no_sanitize("address", "thread"))) static unsigned find_masked(const char *begin, const char *end)
{
	unsigned found = 0;
	for (const char *at = begin; at + sizeof(masked) <= end; at++) {
		size_t n = 0;
		while (n < sizeof(masked) && at[n] == (masked[n] ^ MASK))
			n++;
		found += n == sizeof(masked);
	}
	return found;
}

/* In all memory that can be written to. Sanitizers have huge regions of their own: they are left out. */
static unsigned find_in_memory(void)
{
	enum { LARGEST = 32 << 20 };
	static char room[512]; /* what is left in the heap is not overwritten */
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[400], *rest;
	unsigned found = 0;
	setvbuf(maps, room, _IOFBF, sizeof(room));
	while (fgets(line, sizeof(line), maps) != NULL) {
		uintptr_t begin = strtoul(line, &rest, 16), end = strtoul(rest + 1, &rest, 16);
		if (strncmp(rest, " rw", 3) == 0 && end - begin <= LARGEST)
			found += find_masked((const char *)begin, (const char *)end);
	}
	fclose(maps);
	return found;
}

/* Far down the stack, so that what is left there is not overwritten by looking for it. */
__attribute__((noinline)) static bool far_down(bool (*call)(struct users **u, char *password), struct users **u,
					       char *password)
{
	volatile char between[65536];
	between[0] = 0;
	bool ok = call(u, password);
	between[sizeof(between) - 1] = 0;
	return ok;
}

static bool call_read(struct users **u, char *password)
{
	char why[USERS_WHY];
	(void)password;
	*u = users_read(path, NULL, why);
	return *u != NULL;
}

static bool call_reload(struct users **u, char *password)
{
	char why[USERS_WHY];
	(void)password;
	return users_reload(*u, NULL, why);
}

static bool call_know(struct users **u, char *password)
{
	return users_know(*u, "alice", password);
}

/* Behind a comment, since free(3) writes to the first bytes of what it gets back. */
static void write_secret(const char *password, const char *behind)
{
	static char room[1]; /* an own one, which is not cleared by the next who reads a file */
	FILE *f = fopen(path, "w");
	setvbuf(f, room, _IONBF, 0);
	fprintf(f, "#%0200d\nalice:", 0);
	fputs(password, f);
	fprintf(f, "\n%s", behind);
	fclose(f);
}

static void test_nothing_is_left(void)
{
	char password[sizeof(masked) + 1] = "";
	struct users *u;
	for (size_t i = 0; i < sizeof(masked); i++)
		password[i] = (char)(masked[i] ^ MASK);
	write_secret(password, "");
	CHECK_INT(find_in_memory(), 1); /* our own: it can be found */
	CHECK(far_down(call_read, &u, password));
	CHECK_INT(find_in_memory(), 1);
	CHECK(far_down(call_reload, &u, password));
	CHECK(far_down(call_know, &u, password));
	CHECK_INT(find_in_memory(), 1);
	write_secret(password, "rubbish\n");
	CHECK(!far_down(call_reload, &u, password));
	CHECK_INT(find_in_memory(), 1);
	users_free(u);
	CHECK_INT(find_in_memory(), 1);
}

int main(void)
{
	snprintf(path, sizeof(path), "/tmp/socks4a_users_test.XXXXXX");
	int fd = mkstemp(path);
	if (fd < 0)
		return 1;
	close(fd);
	test_know();
	test_every_bit();
	test_lengths();
	test_refused();
	test_no_file();
	test_mode();
	test_reload();
	test_limit();
	test_reload_while_asked();
	test_nothing_is_left();
	unlink(path);
	return check_done();
}
