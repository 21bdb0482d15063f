/* socks4a_targets_test.c - destinations: what rules may look like and what may not, the ways round a rule that somebody
 * would try, and random rules against a slow and obvious model. */
#include "../../tools/socks4a/targets.h"

#include "check.h"
#include "prng.h"

#include <ctype.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

static char path[64], list[65]; /* list: "@" and the path */
static uint64_t luck;

static uint64_t draw(uint64_t below)
{
	return prng_word(5, luck++) % below;
}

static void write_list(const char *text)
{
	FILE *f = fopen(path, "w");
	fputs(text, f);
	fclose(f);
}

static struct addr at(const char *address, uint16_t port)
{
	struct addr a;
	struct net_error e;
	if (!CHECK(addr_literal(address, port, AF_UNSPEC, &a, &e) == 0))
		fprintf(stderr, "    %s\n", address);
	return a;
}

static bool goes(const struct targets *t, const char *name, const char *address, uint16_t port)
{
	struct addr a = at(address, port);
	return targets_allow(t, name, &a);
}

/* "+example.net -10.0.0.0/8": rules in this order. */
static struct targets *rules(const char *text)
{
	struct targets *t = targets_new();
	char word[WORDLIST_WORD], why[TARGETS_WHY] = "";
	for (int n; sscanf(text, " %511s%n", word, &n) == 1; text += n)
		if (!CHECK(targets_add(t, word[0] == '+', word + 1, why)))
			fprintf(stderr, "    %s\n", why);
	return t;
}

static void check_goes(const char *text, const char *name, const char *address, uint16_t port, bool want)
{
	struct targets *t = rules(text);
	if (!CHECK_INT(goes(t, name, address, port), want))
		fprintf(stderr, "    %s %s:%u with %s\n", name, address, port, text);
	if (want && !CHECK(targets_may_allow(t, name, port)))
		fprintf(stderr, "    %s with %s\n", name, text);
	targets_free(t);
}

/* --- what a rule says --------------------------------------------------------------------------------------------- */

static void test_order(void)
{
	check_goes("", "", "192.0.2.1", 80, true);
	check_goes("-10.0.0.0/8", "", "192.0.2.1", 80, true);
	check_goes("-10.0.0.0/8", "", "10.2.3.4", 80, false);
	check_goes("+10.0.0.0/8", "", "10.2.3.4", 80, true);
	check_goes("+10.0.0.0/8", "", "192.0.2.1", 80, false);
	check_goes("+10.1.0.0/16 -10.0.0.0/8 +all", "", "10.1.0.1", 80, true);
	check_goes("+10.1.0.0/16 -10.0.0.0/8 +all", "", "10.2.0.1", 80, false);
	check_goes("+10.1.0.0/16 -10.0.0.0/8 +all", "", "2001:db8::1", 80, true);
	check_goes("-all", "example.net", "192.0.2.1", 80, false);
	check_goes("-ALL", "example.net", "192.0.2.1", 80, false);
}

static void test_ports(void)
{
	check_goes("+:80", "", "192.0.2.1", 80, true);
	check_goes("+:80", "example.net", "2001:db8::1", 80, true);
	check_goes("+:80", "", "192.0.2.1", 81, false);
	check_goes("+:80-90", "", "192.0.2.1", 79, false);
	check_goes("+:80-90", "", "192.0.2.1", 80, true);
	check_goes("+:80-90", "", "192.0.2.1", 90, true);
	check_goes("+:80-90", "", "192.0.2.1", 91, false);
	check_goes("-:0-1023", "", "192.0.2.1", 0, false);
	check_goes("-:0-1023", "", "192.0.2.1", 1024, true);
	check_goes("+:0", "", "192.0.2.1", 0, true);
	check_goes("+:65535", "", "192.0.2.1", 65535, true);
	check_goes("-all:25", "", "192.0.2.1", 25, false);
	check_goes("-example.net:25", "example.net", "192.0.2.1", 25, false);
	check_goes("-example.net:25", "example.net", "192.0.2.1", 26, true);
	check_goes("-10.0.0.0/8:22-23", "", "10.0.0.1", 23, false);
	check_goes("-10.0.0.0/8:22-23", "", "10.0.0.1", 24, true);
	check_goes("-10.0.0.1:22", "", "10.0.0.1", 22, false);
	check_goes("+:8,:9,example.net:10", "example.net", "192.0.2.1", 10, true);
	check_goes("+:8,:9,example.net:10", "example.net", "192.0.2.1", 9, true);
	check_goes("+:8,:9,example.net:10", "", "192.0.2.1", 10, false);
}

static void test_ipv6(void)
{
	static const char *const same[] = { "+[2001:db8::]/32", "+[2001:db8::/32]", "+2001:db8::/32" };
	for (size_t i = 0; i < COUNT_OF(same); i++) {
		check_goes(same[i], "", "2001:db8:1::1", 80, true);
		check_goes(same[i], "", "2001:db9::1", 80, false);
		check_goes(same[i], "", "10.0.0.1", 80, false);
	}
	check_goes("-[2001:db8::]/32:80-90", "", "2001:db8::1", 90, false);
	check_goes("-[2001:db8::/32]:80-90", "", "2001:db8::1", 90, false);
	check_goes("-[2001:db8::]/32:80-90", "", "2001:db8::1", 91, true);
	check_goes("-[::1]", "", "::1", 80, false);
	check_goes("-[::1]:80", "", "::1", 80, false);
	check_goes("-[::1]:80", "", "::1", 81, true);
	check_goes("-::1/128", "", "::1", 81, false);
	check_goes("-[::ffff:10.0.0.0]/104:80", "", "10.0.0.9", 80, false);
}

static void test_names(void)
{
	check_goes("+example.net", "example.net", "192.0.2.1", 80, true);
	check_goes("+example.net", "www.example.net", "192.0.2.1", 80, false);
	check_goes("+example.net", "badexample.net", "192.0.2.1", 80, false);
	check_goes("+example.net", "xample.net", "192.0.2.1", 80, false);
	check_goes("+example.net", "example.net.evil", "192.0.2.1", 80, false);
	check_goes("+example.net", "", "192.0.2.1", 80, false);
	check_goes("+example.net", NULL, "192.0.2.1", 80, false);
	check_goes("+.example.net", "example.net", "192.0.2.1", 80, true);
	check_goes("+.example.net", "www.example.net", "192.0.2.1", 80, true);
	check_goes("+.example.net", "a.b.example.net", "192.0.2.1", 80, true);
	check_goes("+.example.net", "badexample.net", "192.0.2.1", 80, false);
	check_goes("+.example.net", "net", "192.0.2.1", 80, false);
	check_goes("+.example.net", "", "192.0.2.1", 80, false);
	check_goes("+localhost", "localhost", "127.0.0.1", 80, true);
	check_goes("+a", "", "192.0.2.1", 80, false);
	check_goes("+xn--zrich-kva.example", "xn--zrich-kva.example", "192.0.2.1", 80, true);
	check_goes("+_dmarc.example.net", "_dmarc.example.net", "192.0.2.1", 80, true);
	check_goes("-3com.example,7up", "7up", "192.0.2.1", 80, false); /* begins with a number, and is no number */
}

/* --- ways round --------------------------------------------------------------------------------------------------- */

static void test_spellings_of_names(void)
{
	static const char *const spellings[] = { "localhost", "LOCALHOST", "LocalHost", "localhost.", "LOCALHOST." };
	static const char *const rule[] = { "-localhost", "-LOCALHOST", "-localhost.", "-.localhost", "-.LocalHost." };
	for (size_t i = 0; i < COUNT_OF(spellings); i++)
		for (size_t k = 0; k < COUNT_OF(rule); k++) {
			check_goes(rule[k], spellings[i], "127.0.0.1", 80, false);
			struct targets *t = rules(rule[k]);
			CHECK(!targets_may_allow(t, spellings[i], 80));
			targets_free(t);
		}
	check_goes("-.localhost", "a.localhost.", "127.0.0.1", 80, false);
	check_goes("-.localhost", "A.LOCALHOST", "127.0.0.1", 80, false);
	check_goes("+.example.net", ".", "127.0.0.1", 80, false);
	check_goes("+.example.net", "..", "127.0.0.1", 80, false);
	check_goes("-all:80", "0x7f.1", "127.0.0.1", 80, false);
}

/* These are asked for as names, and what they come to is known before anybody connects. */
static void test_spellings_of_addresses(void)
{
	static const char *const names[] = { "127.1",      "2130706433",      "0x7f.1",
					     "0x7F000001", "017700000001",    "127.0.0.1",
					     "127.0.0.1.", "rebound.example", "" };
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		check_goes("-127.0.0.0/8", names[i], "127.0.0.1", 80, false);
		check_goes("-127.0.0.0/8", names[i], "::ffff:127.0.0.1", 80, false);
		check_goes("-127.0.0.0/8", names[i], "127.255.255.254", 80, false);
		check_goes("-127.0.0.0/8,[::1] +rebound.example", names[i], "127.0.0.1", 80, false);
		check_goes("-127.0.0.0/8,[::1] +rebound.example", names[i], "::1", 80, false);
		check_goes("-::ffff:127.0.0.0/104", names[i], "127.0.0.1", 80, false);
	}
	check_goes("-127.0.0.0/8,[::1] +rebound.example", "rebound.example", "192.0.2.1", 80, true);
	/* In this order the name decides: whoever owns it says where it leads. */
	check_goes("+rebound.example -127.0.0.0/8", "rebound.example", "127.0.0.1", 80, true);
}

static void test_wildcards(void)
{
	static const char *const text[] = { "",           "+all", "-127.0.0.0/8", "+0.0.0.0,[::]", "+0.0.0.0/0,::/0",
					    "+a.example", "+:80", "+127.0.0.1",   "-[::1]" };
	for (size_t i = 0; i < COUNT_OF(text); i++) {
		check_goes(text[i], "", "0.0.0.0", 80, false);
		check_goes(text[i], "a.example", "0.0.0.0", 80, false);
		check_goes(text[i], "", "::", 80, false);
		check_goes(text[i], "", "::ffff:0.0.0.0", 80, false);
	}
	check_goes("", "", "0.0.0.1", 80, true);
	check_goes("", "", "::2", 80, true);
	check_goes("", "", "0.0.1.0", 80, true);
	check_goes("", "", "1::", 80, true);
}

/* Of a name nothing is known but the name: a rule about networks leaves it open. */
static void test_may_allow(void)
{
	static const struct {
		const char *text, *name;
		uint16_t port;
		bool want;
	} rows[] = {
		{ "", "a.example", 80, true },
		{ "-10.0.0.0/8", "a.example", 80, true },
		{ "-0.0.0.0/0,::/0", "a.example", 80,
		  true }, /* it cannot be, but that would take arithmetic with networks */
		{ "+10.0.0.0/8", "a.example", 80, true },
		{ "+10.0.0.0/8:81", "a.example", 80, false },
		{ "+10.0.0.0/8 -all", "a.example", 80, true },
		{ "-a.example +10.0.0.0/8", "a.example", 80, false },
		{ "-10.0.0.0/8 -a.example +all", "a.example", 80, false },
		{ "-10.0.0.0/8 -.example", "a.example", 80, false },
		{ "-10.0.0.0/8 -:80", "a.example", 80, false },
		{ "-10.0.0.0/8 -:80", "a.example", 81, true },
		{ "-all", "a.example", 80, false },
		{ "+b.example", "a.example", 80, false },
		{ "+b.example,:80", "a.example", 80, true },
		{ "-a.example", "0x7f.1", 80, true },
		{ "+b.example", "", 80, false },
	};
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct targets *t = rules(rows[i].text);
		if (!CHECK_INT(targets_may_allow(t, rows[i].name, rows[i].port), rows[i].want))
			fprintf(stderr, "    %s with %s\n", rows[i].name, rows[i].text);
		targets_free(t);
	}
}

/* --- against a model ---------------------------------------------------------------------------------------------- */

static const char *const model_names[] = { "a.example", "b.a.example", "ba.example", "example", "x", "a.example.x" };
static const char *const model_addresses[] = { "10.1.2.3",    "10.1.2.4",      "10.2.0.1", "192.0.2.1",
					       "2001:db8::1", "2001:db8:1::1", "::1" };

/* Where the rule's words come from, and which of the addresses above are in the network: a bit for each. */
static const struct {
	const char *text;
	unsigned has;
} model_networks[] = {
	{ "10.0.0.0/8", 0x07 }, { "10.1.2.0/24", 0x03 },     { "10.1.2.4", 0x02 },        { "0.0.0.0/0", 0x0f },
	{ "[::]/0", 0x70 },     { "[2001:db8::/32]", 0x30 }, { "[2001:db8:1::1]", 0x20 }, { "128.0.0.0/1", 0x08 },
};
static const struct {
	const char *text;
	uint16_t first, last;
} model_ports[] = {
	{ "", 0, 65535 }, { ":80", 80, 80 }, { ":80-81", 80, 81 }, { ":0-80", 0, 80 }, { ":81-65535", 81, 65535 }
};

struct model_rule {
	bool allow;
	enum { MODEL_ALL, MODEL_NAME, MODEL_SUFFIX, MODEL_NETWORK } kind;
	size_t which, ports;
};

static bool model_is_suffix(const char *name, const char *suffix)
{
	char dotted[64], tail[64];
	snprintf(dotted, sizeof(dotted), ".%s", name);
	snprintf(tail, sizeof(tail), ".%s", suffix);
	return strlen(dotted) >= strlen(tail) && strcmp(dotted + strlen(dotted) - strlen(tail), tail) == 0;
}

static bool model_matches(const struct model_rule *r, const char *name, size_t address, uint16_t port)
{
	if (port < model_ports[r->ports].first || port > model_ports[r->ports].last)
		return false;
	return r->kind == MODEL_ALL      ? true
	       : r->kind == MODEL_NAME   ? strcmp(name, model_names[r->which]) == 0
	       : r->kind == MODEL_SUFFIX ? model_is_suffix(name, model_names[r->which])
					 : (model_networks[r->which].has >> address & 1) != 0;
}

static bool model_allows(const struct model_rule *r, size_t n, const char *name, size_t address, uint16_t port)
{
	bool has_allow = false;
	for (size_t i = 0; i < n; i++) {
		if (model_matches(&r[i], name, address, port))
			return r[i].allow;
		has_allow |= r[i].allow;
	}
	for (size_t i = 0; i < n; i++)
		has_allow |= r[i].allow;
	return !has_allow;
}

static void model_add(struct targets *t, struct model_rule *r)
{
	char text[128], why[TARGETS_WHY] = "";
	r->allow = draw(2) == 0;
	r->kind = draw(8) == 0 ? MODEL_ALL : 1 + (int)draw(3);
	r->which = draw(r->kind == MODEL_NETWORK ? COUNT_OF(model_networks) : COUNT_OF(model_names));
	r->ports = draw(COUNT_OF(model_ports));
	const char *where = r->kind == MODEL_ALL       ? draw(2) == 0 || r->ports == 0 ? "all" : ""
			    : r->kind == MODEL_NETWORK ? model_networks[r->which].text
						       : model_names[r->which];
	snprintf(text, sizeof(text), "%s%s%s", r->kind == MODEL_SUFFIX ? "." : "", where, model_ports[r->ports].text);
	if (!CHECK(targets_add(t, r->allow, text, why)))
		fprintf(stderr, "    %s\n", why);
}

/* All addresses for one name and one port: never "it need not be looked up" when there is one that is allowed. */
static bool check_name(const struct targets *t, const struct model_rule *r, size_t n, const char *name, uint16_t port,
		       const struct addr *addresses, bool has_networks)
{
	bool is_any_allowed = false, ok = true;
	for (size_t i = 0; i < COUNT_OF(model_addresses); i++) {
		bool want = model_allows(r, n, name, i, port);
		is_any_allowed |= want;
		ok &= CHECK_INT(targets_allow(t, name, &addresses[i]), want);
	}
	if (is_any_allowed || !has_networks) /* without networks it is known exactly */
		ok &= CHECK_INT(targets_may_allow(t, name, port), is_any_allowed);
	return ok;
}

static void test_model(void)
{
	static const uint16_t ports[] = { 0, 79, 80, 81, 65535 };
	enum { MOST = 6, PORTS = COUNT_OF(ports) };
	struct addr addresses[PORTS][COUNT_OF(model_addresses)];
	for (size_t p = 0; p < PORTS; p++)
		for (size_t i = 0; i < COUNT_OF(model_addresses); i++)
			addresses[p][i] = at(model_addresses[i], ports[p]);
	bool ok = true;
	for (int round = 0; ok && round < 4000; round++) {
		struct targets *t = targets_new();
		struct model_rule r[MOST];
		bool has_networks = false;
		size_t n = draw(MOST + 1);
		for (size_t i = 0; i < n; i++) {
			model_add(t, &r[i]);
			has_networks |= r[i].kind == MODEL_NETWORK;
		}
		for (size_t p = 0; p < PORTS; p++) {
			for (size_t i = 0; i < COUNT_OF(model_names); i++)
				ok &= check_name(t, r, n, model_names[i], ports[p], addresses[p], has_networks);
			ok &= check_name(t, r, n, "", ports[p], addresses[p], has_networks);
		}
		targets_free(t);
	}
}

/* --- what is refused ---------------------------------------------------------------------------------------------- */

static void check_refused(const char *text, const char *want)
{
	struct targets *t = rules("-10.0.0.0/8");
	char why[TARGETS_WHY] = "", all[TARGETS_WHY];
	snprintf(all, sizeof(all), "%s: %s", text, want);
	if (!CHECK(!targets_add(t, true, text, why)))
		fprintf(stderr, "    taken: %s\n", text);
	CHECK_STR(why, all);
	CHECK(goes(t, "", "192.0.2.1", 80) && !goes(t, "", "10.0.0.1", 80)); /* as before */
	targets_free(t);
}

static void test_refused(void)
{
	static const char no_name[] =
		"no network, and no name of letters, digits, - and _ (others are written xn--...)";
	static const char no_network[] = "no address, network or \"all\"";
	static const char brackets[] = "in brackets stands an IPv6 address: [2001:db8::1], [2001:db8::]/32";
	static const char bare[] = "an IPv6 address stands in brackets, for the port's sake: [2001:db8::1]";
	static const char port[] = "a port is a number from 0 to 65535";
	static const struct {
		const char *text, *want;
	} rows[] = {
		{ "*.example.net", no_name },
		{ ".", no_name },
		{ "..a", no_name },
		{ "a..b", no_name },
		{ "a b", no_name },
		{ "a@b", no_name },
		{ "a]", no_name },
		{ "10.0.0", no_network },
		{ "10.0.0.256", no_network },
		{ "127.1", no_network },
		{ "2130706433", no_network },
		{ "0x7f.1", no_network },
		{ "0x7f000001", no_network },
		{ "0X7F000001", no_network },
		{ "1.0x7F", no_network },
		{ "10.0.0.1.", no_network },
		{ "10.0.0.1..", no_name },
		{ ".10", no_network },
		{ "example.net/24", no_network },
		{ "/8", no_network },
		{ "all/0", no_network },
		{ "http://a", port },
		{ "[::1%lo]", no_network },
		{ "10.0.0.1/8", "there are bits beyond the prefix" },
		{ "10.0.0.0/33:80", "the prefix is a number from 0 to 32" },
		{ "[::]/129", "the prefix is a number from 0 to 128" },
		{ "[::/0]/0", "the prefix is a number from 0 to 128" },
		{ "2001:db8::/32:80", "the prefix is a number from 0 to 128" },
		{ "::1", bare },
		{ "2001:db8::1:80", bare },
		{ "fe80::1%lo", bare },
		{ "a:80:90", bare },
		{ "::", bare },
		{ "[", brackets },
		{ "[]", brackets },
		{ "[]:80", brackets },
		{ "[::1", brackets },
		{ "[::1]x", brackets },
		{ "[::1]1", brackets },
		{ "[::1]]", brackets },
		{ "[10.0.0.1]", brackets },
		{ "[10.0.0.1]:80", brackets },
		{ "[example.net]:80", brackets },
		{ "[::1]:80:90", brackets },
		{ "[::1]:80]", port },
		{ "[a:80", brackets },
		{ "a:", port },
		{ ":", port },
		{ "a:65536", port },
		{ "a:-1", port },
		{ "a:+1", port },
		{ "a:80-", port },
		{ "a:-80", port },
		{ "a:80-90-99", port },
		{ "a:0x50", port },
		{ "a:http", port },
		{ "a:000080", port },
		{ "a:99999999999999999999", port },
		{ "a: 80", port },
		{ "[::1]:", port },
		{ ":80-65536", port },
		{ "a:90-80", "the range of ports runs backwards" },
		{ ":1-0", "the range of ports runs backwards" },
	};
	char name[300];
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		check_refused(rows[i].text, rows[i].want);
	check_refused("z?rich.example", no_name);
	struct targets *t = rules("-all");
	char why[TARGETS_WHY];
	CHECK(!targets_add(t, true, "z\374rich.example", why)); /* Latin-1: it goes to a terminal as the line above */
	snprintf(name, sizeof(name), "z?rich.example: %s", no_name);
	CHECK_STR(why, name);
	CHECK(!targets_add(t, true, "a.example,,b.example", why));
	snprintf(name, sizeof(name), "%063d.%063d.%063d.%061d", 0, 0, 0,
		 0); /* 253: the longest there may be, but a number */
	name[252] = 'a';
	CHECK(targets_add(t, true, name, why));
	CHECK(!goes(t, name, "192.0.2.1", 80));
	snprintf(name, sizeof(name), "a%063d.%063d.%063d.%060da", 0, 0, 0, 0); /* a part of 64 */
	CHECK(!targets_add(t, true, name, why));
	snprintf(name, sizeof(name), "%063d.%063d.%063d.%061da", 0, 0, 0, 0); /* 254 */
	CHECK(!targets_add(t, true, name, why));
	targets_free(t);
}

/* Whatever stands there, it is one line for a terminal, and no memory is touched that should not be. */
static void test_hostile_text(void)
{
	static const char *const texts[] = { "[2001:db8::]/32:80-90", "10.0.0.0/8:22,.example.net:80",
					     "[2001:db8::1/128]:1-2" };
	static const char spice[] = "[]:/-.,all0x9 ";
	for (int i = 0; i < 60000; i++) {
		char text[64], why[TARGETS_WHY] = "";
		snprintf(text, sizeof(text), "%s", texts[i % 3]);
		for (int k = 0; k < 1 + i % 3; k++) {
			size_t where = draw(strlen(text));
			text[where] = i % 2 == 0 ? spice[draw(sizeof(spice) - 1)] : (char)(1 + draw(255));
			if (draw(8) == 0)
				text[where] = '\0';
			if (text[0] == '\0')
				break;
		}
		struct targets *t = targets_new();
		if (strchr(text, '@') == NULL && !targets_add(t, true, text, why)) {
			bool is_clean = why[0] != '\0';
			for (const char *c = why; *c != '\0'; c++)
				is_clean &= isprint((unsigned char)*c) != 0;
			if (!CHECK(is_clean))
				fprintf(stderr, "    %s\n", why);
		}
		CHECK(!goes(t, "x", "0.0.0.0", 80));
		targets_free(t);
	}
}

/* --- files -------------------------------------------------------------------------------------------------------- */

static void test_reload(void)
{
	char why[TARGETS_WHY] = "", want[TARGETS_WHY];
	write_list("# ours\n.example.net:443 # web\n[2001:db8::]/32\n");
	struct targets *t = targets_new();
	CHECK(targets_add(t, true, list, why));
	CHECK(goes(t, "www.example.net", "192.0.2.1", 443));
	CHECK(goes(t, "", "2001:db8::1", 1));
	CHECK(!goes(t, "www.example.net", "192.0.2.1", 80));
	write_list("a.example\nb.example\n10.0.0.1/8\n");
	CHECK(!targets_reload(t, why));
	snprintf(want, sizeof(want), "%s:3: 10.0.0.1/8: there are bits beyond the prefix", path);
	CHECK_STR(why, want);
	CHECK(goes(t, "www.example.net", "192.0.2.1", 443) && !goes(t, "a.example", "192.0.2.1", 443));
	write_list("a.example\n");
	CHECK(targets_reload(t, why));
	CHECK(!goes(t, "www.example.net", "192.0.2.1", 443) && goes(t, "a.example", "192.0.2.1", 443));
	write_list("# nothing\n");
	CHECK(targets_reload(t, why));
	CHECK(!goes(t, "a.example", "192.0.2.1", 443));
	targets_free(t);
	targets_free(NULL);
}

struct asker {
	pthread_t thread;
	struct targets *targets;
	struct addr addr;
	unsigned bad;
};

static void *ask(void *arg)
{
	struct asker *a = arg;
	for (int i = 0; i < 20000; i++)
		a->bad += !targets_allow(a->targets, "www.a.example", &a->addr) ||
			  !targets_may_allow(a->targets, "www.a.example", 80);
	return NULL;
}

/* What is allowed before and after is allowed all the time; and TSan looks on. */
static void test_reload_while_asked(void)
{
	char why[TARGETS_WHY] = "";
	struct asker askers[2];
	struct targets *t = targets_new();
	write_list("b.example\n.a.example:80\n");
	CHECK(targets_add(t, true, list, why));
	for (int i = 0; i < 2; i++) {
		askers[i] = (struct asker){ .targets = t, .addr = at("192.0.2.1", 80) };
		CHECK_INT(pthread_create(&askers[i].thread, NULL, ask, &askers[i]), 0);
	}
	for (int i = 0; i < 200; i++)
		CHECK(targets_reload(t, why));
	for (int i = 0; i < 2; i++) {
		pthread_join(askers[i].thread, NULL);
		CHECK_INT(askers[i].bad, 0);
	}
	targets_free(t);
}

int main(void)
{
	snprintf(path, sizeof(path), "/tmp/socks4a_targets_test.XXXXXX");
	int fd = mkstemp(path);
	if (fd < 0)
		return 1;
	close(fd);
	snprintf(list, sizeof(list), "@%s", path);
	test_order();
	test_ports();
	test_ipv6();
	test_names();
	test_spellings_of_names();
	test_spellings_of_addresses();
	test_wildcards();
	test_may_allow();
	test_model();
	test_refused();
	test_hostile_text();
	test_reload();
	test_reload_while_asked();
	unlink(path);
	return check_done();
}
