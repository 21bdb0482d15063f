/* tcprelay_upstreams_test.c - which server is next: in turn, the least busy, by client, the first; what a failure changes and for how
 * long (in simulated time); lists that are read again under flows that go on; and threads, all at once. */
#include "../../tools/tcprelay/upstreams.h"

#include "cdefs.h"
#include "check.h"
#include "prng.h"

#include <ctype.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#define START (1000 * (uint64_t)NS_PER_S)

static char list_path[64], list[65]; /* list: "@" and the path */
static const struct addr nobody;

static struct upstreams *make(enum upstreams_balance balance, const char *text)
{
	struct upstreams *u = upstreams_new(balance);
	char why[UPSTREAMS_WHY] = "";
	if (!CHECK(upstreams_add(u, text, why)))
		fprintf(stderr, "    %s: %s\n", text, why);
	return u;
}

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

static void reload(struct upstreams *u)
{
	char why[UPSTREAMS_WHY] = "";
	if (!CHECK(upstreams_reload(u, why)))
		fprintf(stderr, "    %s\n", why);
}

static struct addr client(uint32_t number)
{
	struct addr a = { .len = sizeof(a.u.in4) };
	a.u.in4.sin_family = AF_INET;
	a.u.in4.sin_addr.s_addr = htonl(number);
	return a;
}

/* A first pick for somebody. */
static struct upstream *pick(struct upstreams *u, uint64_t now_ns)
{
	struct upstream_try t = { 0 };
	return upstreams_pick(u, &nobody, &t, now_ns);
}

/* The same as text; released at once. */
static const char *look(struct upstreams *u, uint64_t now_ns)
{
	static char text[UPSTREAM_TEXT];
	struct upstream *up = pick(u, now_ns);
	snprintf(text, sizeof(text), "%s", up != NULL ? up->text : "none");
	if (up != NULL)
		upstreams_ended(u, up);
	return text;
}

/* The row of a server, all zero if there is none. */
static struct upstream_row row(struct upstreams *u, const char *text, uint64_t now_ns)
{
	static struct upstream_row rows[UPSTREAMS_MAX];
	size_t n = upstreams_rows(u, rows, UPSTREAMS_MAX, now_ns);
	for (size_t i = 0; i < n; i++)
		if (strcmp(rows[i].text, text) == 0)
			return rows[i];
	return (struct upstream_row){ .text = "" };
}

/* Tries servers until none is left; "a:1 b:1" in this order. All fail. */
static const char *fail_all(struct upstreams *u, uint64_t now_ns)
{
	static char text[1000];
	struct upstream_try t = { 0 };
	struct upstream *up;
	text[0] = '\0';
	while ((up = upstreams_pick(u, &nobody, &t, now_ns)) != NULL) {
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s", text[0] != '\0' ? " " : "",
			 up->text);
		upstreams_failed(u, up, now_ns);
	}
	return text;
}

static void fail_one(struct upstreams *u, const char *text, uint64_t now_ns)
{
	struct upstream_try t = { 0 };
	struct upstream *up, *others[UPSTREAM_TRIES];
	size_t n = 0;
	while ((up = upstreams_pick(u, &nobody, &t, now_ns)) != NULL && strcmp(up->text, text) != 0)
		others[n++] = up;
	if (CHECK(up != NULL))
		upstreams_failed(u, up, now_ns);
	while (n > 0)
		upstreams_ended(u, others[--n]);
}

/* --- lists -------------------------------------------------------------------------------------------------------- */

static void check_server(const char *text, const char *host, unsigned port, const char *shown)
{
	struct upstreams *u = make(UPSTREAMS_FIRST, text);
	struct upstream *up = pick(u, START);
	CHECK_STR(up->host, host);
	CHECK_INT(up->port, port);
	CHECK_STR(up->text, shown);
	upstreams_ended(u, up);
	upstreams_free(u);
}

static void test_servers(void)
{
	check_server("web.example.com:80", "web.example.com", 80, "web.example.com:80");
	check_server(" 10.0.0.1:65535 ", "10.0.0.1", 65535, "10.0.0.1:65535");
	check_server("[::1]:080", "::1", 80, "[::1]:80");
	check_server("[fe80::1%eth0]:1", "fe80::1%eth0", 1, "[fe80::1%eth0]:1");
	check_server("5001", "127.0.0.1", 5001, "127.0.0.1:5001");
	char name[300];
	memset(name, 'n', 253);
	snprintf(name + 253, sizeof(name) - 253, ":65535");
	struct upstreams *u = make(UPSTREAMS_FIRST, name);
	CHECK_STR(look(u, START), name);
	upstreams_free(u);
	upstreams_free(NULL);
	u = upstreams_new(UPSTREAMS_RR);
	CHECK_STR(look(u, START), "none");
	reload(u);
	upstreams_free(u);
}

static bool is_printable_line(const char *why)
{
	size_t len = strnlen(why, UPSTREAMS_WHY);
	for (size_t i = 0; i < len; i++)
		if (!isprint((unsigned char)why[i]))
			return false;
	return len > 0 && len < UPSTREAMS_WHY;
}

static void check_refused(const char *text, const char *want)
{
	struct upstreams *u = make(UPSTREAMS_RR, "a:1");
	char why[UPSTREAMS_WHY] = "";
	if (!CHECK(!upstreams_add(u, text, why)))
		fprintf(stderr, "    taken: %s\n", text);
	CHECK_STR(why, want);
	struct upstream_row rows[8];
	CHECK_INT(upstreams_rows(u, rows, 8, START), 1);
	CHECK_STR(look(u, START), "a:1");
	upstreams_free(u);
}

static void test_refused(void)
{
	static const char wanted[] = "HOST:PORT is wanted, with a port from 1 to 65535";
	static const char *const ports[] = { "b",       "b:",    "b:0",
					     "b:65536", "b:x",   "b:-1",
					     "b:80x",   "[::1]", "b:18446744073709551696" };
	static const char *const names[] = { "b/c:1", "b c:1", "b@c:1", "[b:1", "b]:1", "b\x7f:1" };
	char want[UPSTREAMS_WHY], name[300];
	for (size_t i = 0; i < COUNT_OF(ports); i++) {
		snprintf(want, sizeof(want), "%s: %s", ports[i], wanted);
		check_refused(ports[i], want);
	}
	for (size_t i = 0; i < COUNT_OF(names) - 1; i++) {
		snprintf(want, sizeof(want), "%s: that is no name and no address", names[i]);
		check_refused(names[i], want);
	}
	check_refused(names[5], "b?:1: that is no name and no address");
	check_refused("::1", "::1: an IPv6 address needs brackets: [::1]:80");
	check_refused("::1:80", "::1:80: an IPv6 address needs brackets: [::1]:80");
	check_refused("[10.0.0.1]:80", "[10.0.0.1]:80: no IPv6 address is in the brackets");
	check_refused("[]:80", "[]:80: no IPv6 address is in the brackets");
	check_refused(":80", ":80: there is no host before the port");
	check_refused("b:1,b:2,b:01", "b:01: it is on the list already");
	check_refused("a:1", "a:1: it is on the list already");
	check_refused("b:1,,c:1", "b:1,,c:1: an empty word");
	check_refused("", ": an empty word");
	memset(name, 'n', 254);
	snprintf(name + 254, sizeof(name) - 254, ":1");
	snprintf(want, sizeof(want), "%.100s: a name has at most 253 characters", name);
	check_refused(name, want);
	write_list("b:1\n# c\nc\n");
	snprintf(want, sizeof(want), "%s:3: c: %s", list_path, wanted);
	check_refused(list, want);
	write_list("b:1\na:1\n");
	snprintf(want, sizeof(want), "%s:2: a:1: it is on the list already", list_path);
	check_refused(list, want);
}

static void test_hostile_text(void)
{
	static const char *const texts[] = { "web.example.com:80", "[2001:db8::1]:443,b:1", "10.0.0.1:9" };
	for (uint64_t i = 0; i < 20000; i++) {
		char text[64], why[UPSTREAMS_WHY] = "";
		snprintf(text, sizeof(text), "%s", texts[i % 3]);
		text[prng_word(1, i) % strlen(text)] = (char)(1 + prng_word(2, i) % 255);
		struct upstreams *u = upstreams_new(UPSTREAMS_RR);
		if (strchr(text, '@') == NULL && !upstreams_add(u, text, why) && !CHECK(is_printable_line(why)))
			fprintf(stderr, "    %s\n", why);
		upstreams_free(u);
	}
}

static void test_empty_file_and_limit(void)
{
	struct upstreams *u = upstreams_new(UPSTREAMS_RR);
	char why[UPSTREAMS_WHY], want[UPSTREAMS_WHY];
	write_list("# nobody\n");
	CHECK(!upstreams_add(u, list, why));
	snprintf(want, sizeof(want), "%s: no server is in it", list);
	CHECK_STR(why, want);
	FILE *f = fopen(list_path, "w");
	for (int i = 1; i <= UPSTREAMS_MAX; i++)
		fprintf(f, "%d\n", i);
	fclose(f);
	CHECK(upstreams_add(u, list, why));
	CHECK(!upstreams_add(u, "b:1", why));
	CHECK_STR(why, "b:1: more than 1024 servers");
	upstreams_free(u);
}

/* --- balance ------------------------------------------------------------------------------------------------------ */

/* Exactly even after each round, whatever the number of servers. */
static void test_rr(void)
{
	struct upstreams *u = make(UPSTREAMS_RR, "a:1,b:1,c:1");
	for (int i = 0; i < 30; i++)
		CHECK_STR(look(u, START), i % 3 == 0 ? "a:1" : i % 3 == 1 ? "b:1" : "c:1");
	CHECK_INT(row(u, "a:1", START).picked, 10);
	CHECK_INT(row(u, "c:1", START).picked, 10);
	fail_one(u, "b:1", START); /* a:1 was looked at before, c:1 is next */
	for (int i = 0; i < 10; i++)
		CHECK_STR(look(u, START), i % 2 == 0 ? "c:1" : "a:1");
	upstreams_free(u);
}

/* The turn goes on behind the one that was picked, also when others were passed by because they had been tried. */
static void test_rr_and_tries(void)
{
	struct upstreams *u = make(UPSTREAMS_RR, "a:1,b:1,c:1");
	struct upstream_try t = { 0 };
	struct upstream *up[3];
	for (int i = 0; i < 2; i++)
		up[i] = upstreams_pick(u, &nobody, &t, START);
	CHECK_STR(look(u, START), "c:1");
	up[2] = upstreams_pick(u, &nobody, &t, START);
	CHECK_STR(up[2]->text, "c:1");
	CHECK_STR(look(u, START), "a:1");
	for (int i = 0; i < 3; i++)
		upstreams_ended(u, up[i]);
	upstreams_free(u);
}

static void test_least(void)
{
	struct upstreams *u = make(UPSTREAMS_LEAST, "a:1,b:1,c:1");
	struct upstream *flows[300];
	for (int i = 0; i < 300; i++) {
		flows[i] = pick(u, START);
		if (i % 2 == 0)
			upstreams_connected(u, flows[i]); /* it does not matter whether the connect is under way */
	}
	CHECK_INT(row(u, "a:1", START).live, 100);
	CHECK_INT(row(u, "b:1", START).live, 100);
	CHECK_INT(row(u, "c:1", START).live, 100);
	for (int i = 0; i < 300; i++)
		if (strcmp(flows[i]->text, "b:1") == 0 && i < 150)
			upstreams_ended(u, flows[i]);
	for (int i = 0; i < 50; i++) { /* b has 50 fewer: they all go there */
		struct upstream *up = pick(u, START);
		CHECK_STR(up->text, "b:1");
		flows[i < 150 ? i * 3 + 1 : i] = up;
	}
	CHECK_INT(row(u, "b:1", START).live, 100);
	for (int i = 0; i < 300; i++)
		upstreams_ended(u, flows[i]);
	const char *first = look(u, START); /* among equals in turn */
	char before[UPSTREAM_TEXT];
	snprintf(before, sizeof(before), "%s", first);
	CHECK(strcmp(look(u, START), before) != 0);
	upstreams_free(u);
}

static void test_first(void)
{
	struct upstreams *u = make(UPSTREAMS_FIRST, "a:1,b:1,c:1");
	for (int i = 0; i < 5; i++)
		CHECK_STR(look(u, START), "a:1");
	fail_one(u, "a:1", START);
	for (int i = 0; i < 5; i++)
		CHECK_STR(look(u, START), "b:1");
	fail_one(u, "b:1", START);
	CHECK_STR(look(u, START), "c:1");
	upstreams_free(u);
}

enum { CLIENTS = 20000, SERVERS = 10 };

/* Which of ten servers each client gets: 'a' to 'j'. */
static void ask_all(struct upstreams *u, uint64_t now_ns, char *out)
{
	static uint64_t luck;
	for (uint32_t i = 0; i < CLIENTS; i++) {
		struct addr a = client(0x0a000000 + i);
		a.u.in4.sin_port = htons((uint16_t)prng_word(now_ns, luck++)); /* another one each time */
		struct upstream_try t = { 0 };
		struct upstream *up = upstreams_pick(u, &a, &t, now_ns);
		out[i] = up->host[0];
		upstreams_ended(u, up);
	}
}

static void count_clients(const char *of, size_t counts[static SERVERS])
{
	memset(counts, 0, SERVERS * sizeof(*counts));
	for (int i = 0; i < CLIENTS; i++)
		counts[of[i] - 'a']++;
}

/* Even, the same each time, and only the clients of a server that goes (from the list, or fails) move; they spread over all others. */
static void test_hash(void)
{
	static char before[CLIENTS], after[CLIENTS];
	size_t counts[SERVERS], more[SERVERS];
	write_list("a:1\nb:1\nc:1\nd:1\ne:1\nf:1\ng:1\nh:1\ni:1\nj:1\n");
	struct upstreams *u = make(UPSTREAMS_HASH, list);
	ask_all(u, START, before);
	count_clients(before, counts);
	for (int i = 0; i < SERVERS; i++)
		CHECK(counts[i] > CLIENTS / SERVERS * 9 / 10 && counts[i] < CLIENTS / SERVERS * 11 / 10);
	ask_all(u, START, after);
	CHECK_INT(memcmp(before, after, CLIENTS), 0);
	write_list("j:1\ni:1\nh:1\ng:1\nf:1\ne:1\nc:1\nb:1\na:1\n"); /* without d; and the order does not matter */
	reload(u);
	ask_all(u, START, after);
	for (int i = 0; i < CLIENTS; i++)
		CHECK(before[i] == 'd' ? after[i] != 'd' : after[i] == before[i]);
	count_clients(after, more);
	for (int i = 0; i < SERVERS; i++)
		CHECK(i == 3 ? more[i] == 0 : more[i] > counts[i] + counts[3] / 9 / 2);
	write_list("a:1\nb:1\nc:1\nd:1\ne:1\nf:1\ng:1\nh:1\ni:1\nj:1\n");
	reload(u);
	ask_all(u, START, after);
	CHECK_INT(memcmp(before, after, CLIENTS), 0); /* and they come back */
	fail_one(u, "b:1", START);
	ask_all(u, START, after);
	for (int i = 0; i < CLIENTS; i++)
		CHECK(before[i] == 'b' ? after[i] != 'b' : after[i] == before[i]);
	upstreams_free(u);
}

/* By network for IPv6, by address for IPv4, however it is written; never by port. */
static void test_hash_of_clients(void)
{
	struct upstreams *u = make(UPSTREAMS_HASH, "a:1,b:1,c:1,d:1,e:1,f:1,g:1,h:1,i:1,j:1");
	static const char *const same[][2] = { { "10.0.0.1", "::ffff:10.0.0.1" },
					       { "2001:db8:1:2::1", "2001:db8:1:2:ffff::9" } };
	for (size_t i = 0; i < COUNT_OF(same); i++) {
		struct upstream *up[2];
		for (int k = 0; k < 2; k++) {
			struct addr a;
			struct net_error e;
			struct upstream_try t = { 0 };
			CHECK_INT(addr_literal(same[i][k], (uint16_t)(k * 100), AF_UNSPEC, &a, &e), 0);
			up[k] = upstreams_pick(u, &a, &t, START);
			upstreams_ended(u, up[k]);
		}
		CHECK(up[0] == up[1]);
	}
	upstreams_free(u);
}

/* --- failures ----------------------------------------------------------------------------------------------------- */

/* A client that is connected nowhere tries each server once, in all modes, also those that are passed over. */
static void test_each_is_tried_once(void)
{
	static const enum upstreams_balance all[] = { UPSTREAMS_RR, UPSTREAMS_LEAST, UPSTREAMS_HASH, UPSTREAMS_FIRST };
	for (size_t i = 0; i < COUNT_OF(all); i++) {
		struct upstreams *u = make(all[i], "a:1,b:1,c:1");
		for (int k = 0; k < 5; k++) {
			const char *tried = fail_all(u, START);
			CHECK_INT(strlen(tried), 11);
			CHECK(strstr(tried, "a:1") != NULL && strstr(tried, "b:1") != NULL &&
			      strstr(tried, "c:1") != NULL);
		}
		CHECK_INT(row(u, "b:1", START).picked, 5);
		CHECK_INT(row(u, "b:1", START).failed, 5);
		CHECK_INT(row(u, "b:1", START).live, 0);
		upstreams_free(u);
	}
}

static void test_tries_are_bounded(void)
{
	char text[1000] = "1";
	for (int i = 2; i <= 2 * UPSTREAM_TRIES; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), ",%d", i);
	struct upstreams *u = make(UPSTREAMS_RR, text);
	struct upstream_try t = { 0 };
	struct upstream *up;
	unsigned n = 0;
	for (; (up = upstreams_pick(u, &nobody, &t, START)) != NULL; n++)
		upstreams_failed(u, up, START);
	CHECK_INT(n, UPSTREAM_TRIES);
	upstreams_free(u);
}

/* 1, 2, 4, 8, 16, 30, 30 seconds. One client at a time is sent there to see. */
static void test_backoff(void)
{
	static const unsigned seconds[] = { 1, 2, 4, 8, 16, 30, 30, 30 };
	struct upstreams *u = make(UPSTREAMS_FIRST, "a:1,b:1");
	uint64_t now_ns = START;
	for (size_t i = 0; i < COUNT_OF(seconds); i++) {
		struct upstream *probe = pick(u, now_ns);
		CHECK_STR(probe->text, "a:1");
		if (i > 0)
			CHECK_STR(look(u, now_ns), "b:1"); /* the others do not wait for what becomes of it */
		now_ns += 10 * NS_PER_MS;
		upstreams_failed(u, probe, now_ns);
		CHECK_INT(row(u, "a:1", now_ns).backoff_ns, seconds[i] * UPSTREAM_BACKOFF_NS);
		now_ns += seconds[i] * UPSTREAM_BACKOFF_NS;
		CHECK_STR(look(u, now_ns - 1), "b:1");
		CHECK_INT(row(u, "a:1", now_ns).backoff_ns, 0);
	}
	struct upstream *probe = pick(u, now_ns);
	upstreams_connected(u, probe); /* well again: for all, and from the beginning */
	CHECK_STR(look(u, now_ns), "a:1");
	CHECK_STR(look(u, now_ns), "a:1");
	upstreams_ended(u, probe);
	fail_one(u, "a:1", now_ns);
	CHECK_INT(row(u, "a:1", now_ns).backoff_ns, UPSTREAM_BACKOFF_NS);
	upstreams_free(u);
}

/* A server that dies with many connects under way has failed once. */
static void test_many_failures_at_once(void)
{
	struct upstreams *u = make(UPSTREAMS_FIRST, "a:1,b:1");
	struct upstream *flows[100];
	for (int i = 0; i < 100; i++)
		flows[i] = pick(u, START);
	for (int i = 0; i < 100; i++)
		upstreams_failed(u, flows[i], START + (uint64_t)i);
	CHECK_INT(row(u, "a:1", START + 99).backoff_ns, UPSTREAM_BACKOFF_NS - 99);
	CHECK_INT(row(u, "a:1", START).failed, 100);
	upstreams_free(u);
}

/* A client that leaves while it is the one that was sent to see: another one is, later. */
static void test_lost_probe(void)
{
	struct upstreams *u = make(UPSTREAMS_FIRST, "a:1,b:1");
	fail_one(u, "a:1", START);
	uint64_t now_ns = START + UPSTREAM_BACKOFF_NS;
	CHECK_STR(look(u, now_ns), "a:1");
	CHECK_STR(look(u, now_ns), "b:1");
	CHECK_STR(look(u, now_ns + UPSTREAM_BACKOFF_NS - 1), "b:1");
	CHECK_STR(look(u, now_ns + UPSTREAM_BACKOFF_NS), "a:1");
	upstreams_free(u);
}

/* It failed for long and is well again: better than one that has failed just now, and for a shorter time. */
static void test_well_again(void)
{
	struct upstreams *u = make(UPSTREAMS_FIRST, "a:1,b:1");
	uint64_t now_ns = START;
	for (int i = 0; i < 5; i++) {
		fail_one(u, "b:1", now_ns);
		now_ns += row(u, "b:1", now_ns).backoff_ns;
	}
	struct upstream *a = pick(u, now_ns), *b;
	upstreams_failed(u, a, now_ns);
	b = pick(u, now_ns);
	upstreams_connected(u, b);
	CHECK_STR(look(u, now_ns), "b:1");
	upstreams_ended(u, b);
	upstreams_free(u);
}

/* All are dead: the one whose time comes first. */
static void test_all_dead(void)
{
	struct upstreams *u = make(UPSTREAMS_FIRST, "a:1,b:1,c:1");
	fail_one(u, "c:1", START);
	fail_one(u, "a:1", START + 1);
	fail_one(u, "b:1", START + 2);
	struct upstream *first = pick(u, START + 3), *second = pick(u, START + 4), *third = pick(u, START + 5);
	CHECK_STR(first->text, "c:1");
	CHECK_STR(second->text, "a:1");
	CHECK_STR(third->text, "b:1");
	upstreams_connected(u, second); /* it lives: everybody goes there */
	CHECK_STR(look(u, START + 6), "a:1");
	CHECK_STR(look(u, START + 7), "a:1");
	upstreams_ended(u, first);
	upstreams_ended(u, second);
	upstreams_ended(u, third);
	upstreams_free(u);
}

/* --- reading again ------------------------------------------------------------------------------------------------ */

static void test_reload(void)
{
	write_list("a:1\nb:1\n");
	struct upstreams *u = make(UPSTREAMS_RR, list);
	struct upstream *a = pick(u, START), *b = pick(u, START);
	upstreams_connected(u, a);
	upstreams_connected(u, b);
	write_list("c:1\nb:1\n");
	reload(u);
	CHECK(row(u, "a:1", START).is_gone && row(u, "a:1", START).live == 1);
	CHECK(!row(u, "b:1", START).is_gone && row(u, "b:1", START).live == 1 && row(u, "b:1", START).connected == 1);
	for (int i = 0; i < 10; i++)
		CHECK(strcmp(look(u, START), "a:1") != 0);
	CHECK_STR(a->text, "a:1"); /* its flow goes on, and it lives */
	upstreams_ended(u, a);
	CHECK_STR(row(u, "a:1", START).text, ""); /* that was the last of it */
	upstreams_ended(u, b);
	CHECK_INT(row(u, "b:1", START).picked, 6);
	upstreams_free(u);
}

/* What comes back while flows of it still go on is the same one as before. */
static void test_gone_and_back(void)
{
	write_list("a:1\nb:1\n");
	struct upstreams *u = make(UPSTREAMS_FIRST, list);
	struct upstream *a = pick(u, START), *again;
	fail_one(u, "a:1", START);
	write_list("b:1\n");
	reload(u);
	reload(u);
	CHECK(row(u, "a:1", START).is_gone);
	write_list("a:1\nb:1\n");
	reload(u);
	CHECK(!row(u, "a:1", START).is_gone);
	CHECK_INT(row(u, "a:1", START).backoff_ns, UPSTREAM_BACKOFF_NS);
	CHECK_INT(row(u, "a:1", START).failed, 1);
	again = pick(u, START + UPSTREAM_BACKOFF_NS);
	CHECK(again == a);
	upstreams_ended(u, a);
	upstreams_ended(u, again);
	upstreams_free(u);
}

/* Between two tries of a client the list is another one: what was tried is not tried again, though it stands elsewhere. */
static void test_reload_between_tries(void)
{
	write_list("a:1\nb:1\nc:1\n");
	struct upstreams *u = make(UPSTREAMS_FIRST, list);
	struct upstream_try t = { 0 };
	struct upstream *up = upstreams_pick(u, &nobody, &t, START);
	CHECK_STR(up->text, "a:1");
	upstreams_ended(u, up);
	write_list("x:1\nc:1\na:1\n");
	reload(u);
	const char *const want[] = { "x:1", "c:1" };
	for (int i = 0; i < 2; i++) {
		up = upstreams_pick(u, &nobody, &t, START);
		CHECK_STR(up->text, want[i]);
		upstreams_ended(u, up);
	}
	CHECK(upstreams_pick(u, &nobody, &t, START) == NULL);
	upstreams_free(u);
}

static void test_bad_reload(void)
{
	char why[UPSTREAMS_WHY], want[UPSTREAMS_WHY];
	write_list("a:1\nb:1\n");
	struct upstreams *u = make(UPSTREAMS_RR, list);
	write_list("c:1\nb\n");
	CHECK(!upstreams_reload(u, why));
	snprintf(want, sizeof(want), "%s:2: b: HOST:PORT is wanted, with a port from 1 to 65535", list_path);
	CHECK_STR(why, want);
	write_list("# all gone\n");
	CHECK(!upstreams_reload(u, why));
	snprintf(want, sizeof(want), "%s: no server is in it", list);
	CHECK_STR(why, want);
	unlink(list_path);
	CHECK(!upstreams_reload(u, why));
	CHECK(is_printable_line(why));
	CHECK_STR(look(u, START), "a:1");
	CHECK_STR(look(u, START), "b:1");
	CHECK_STR(row(u, "c:1", START).text, "");
	upstreams_free(u);
}

/* Several sources: what was typed stays, what is in the file changes. */
static void test_several_sources(void)
{
	char why[UPSTREAMS_WHY];
	write_list("b:1\n");
	struct upstreams *u = make(UPSTREAMS_RR, "a:1");
	CHECK(upstreams_add(u, list, why) && upstreams_add(u, "d:1", why));
	write_list("c:1\n");
	reload(u);
	CHECK_STR(look(u, START), "a:1");
	CHECK_STR(look(u, START), "c:1");
	CHECK_STR(look(u, START), "d:1");
	struct upstream_row rows[2];
	CHECK_INT(upstreams_rows(u, rows, 2, START), 2); /* no more than there is room for */
	upstreams_free(u);
}

/* --- threads ------------------------------------------------------------------------------------------------------ */

enum { THREADS = 4, FLOWS = 2000 };

struct worker {
	pthread_t thread;
	struct upstreams *u;
	uint64_t seed, picked;
};

/* Each flow: up to three tries, and then it lives for a while. */
static void *work(void *arg)
{
	struct worker *w = arg;
	struct upstream *live[16] = { NULL };
	for (uint64_t i = 0; i < FLOWS; i++) {
		struct addr a = client((uint32_t)prng_word(w->seed, i));
		struct upstream_try t = { 0 };
		struct upstream *up, **place = &live[i % COUNT_OF(live)];
		if (*place != NULL)
			upstreams_ended(w->u, *place);
		*place = NULL;
		uint64_t now_ns = START + i * NS_PER_MS;
		while (*place == NULL && (up = upstreams_pick(w->u, &a, &t, now_ns)) != NULL) {
			w->picked++;
			if (prng_word(w->seed, i * 4 + t.n) % 4 == 0) {
				upstreams_failed(w->u, up, now_ns);
				continue;
			}
			upstreams_connected(w->u, up);
			*place = up;
		}
	}
	for (size_t i = 0; i < COUNT_OF(live); i++)
		if (live[i] != NULL)
			upstreams_ended(w->u, live[i]);
	return NULL;
}

static void test_threads(enum upstreams_balance balance)
{
	static struct upstream_row rows[32];
	struct worker workers[THREADS];
	write_list("a:1\nb:1\nc:1\nd:1\n");
	struct upstreams *u = make(balance, list);
	uint64_t picked = 0, counted = 0;
	for (uint64_t i = 0; i < THREADS; i++) {
		workers[i] = (struct worker){ .u = u, .seed = i };
		pthread_create(&workers[i].thread, NULL, work, &workers[i]);
	}
	for (int i = 0; i < 200; i++) {
		/* a and b always stay, so that their counts can be added up at the end */
		write_list(i % 3 == 0 ? "a:1\nb:1\n" : i % 3 == 1 ? "d:1\nb:1\na:1\n" : "a:1\nb:1\nc:1\nd:1\ne:1\n");
		reload(u);
		upstreams_rows(u, rows, COUNT_OF(rows), START);
	}
	for (int i = 0; i < THREADS; i++) {
		pthread_join(workers[i].thread, NULL);
		picked += workers[i].picked;
	}
	size_t n = upstreams_rows(u, rows, COUNT_OF(rows), START);
	for (size_t i = 0; i < n; i++) {
		CHECK_INT(rows[i].live, 0);
		CHECK(!rows[i].is_gone);
		CHECK_INT(rows[i].picked, rows[i].connected + rows[i].failed);
		counted += rows[i].picked;
	}
	CHECK(counted <= picked && counted > 0);
	upstreams_free(u);
}

int main(void)
{
	snprintf(list_path, sizeof(list_path), "/tmp/tcprelay_upstreams_test.XXXXXX");
	int fd = mkstemp(list_path);
	if (fd < 0)
		return 1;
	close(fd);
	snprintf(list, sizeof(list), "@%s", list_path);
	test_servers();
	test_refused();
	test_hostile_text();
	test_empty_file_and_limit();
	test_rr();
	test_rr_and_tries();
	test_least();
	test_first();
	test_hash();
	test_hash_of_clients();
	test_each_is_tried_once();
	test_tries_are_bounded();
	test_backoff();
	test_many_failures_at_once();
	test_lost_probe();
	test_well_again();
	test_all_dead();
	test_reload();
	test_gone_and_back();
	test_reload_between_tries();
	test_bad_reload();
	test_several_sources();
	test_threads(UPSTREAMS_RR);
	test_threads(UPSTREAMS_LEAST);
	test_threads(UPSTREAMS_HASH);
	unlink(list_path);
	return check_done();
}
