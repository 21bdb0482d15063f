/* relay_network_test.c - networks of every prefix against a slow and obvious model, the two families and IPv4-mapped
 * addresses, and what is no network. */
#include "../../tools/relay/network.h"

#include "check.h"
#include "prng.h"

#include <arpa/inet.h>
#include <string.h>

static struct network network(const char *text)
{
	struct network net;
	const char *wrong = network_parse(&net, text);
	if (!CHECK(wrong == NULL))
		fprintf(stderr, "    %s: %s\n", text, wrong);
	return net;
}

static bool has(const struct network *net, const char *address)
{
	struct addr a;
	struct net_error e;
	if (!CHECK(addr_literal(address, 1234, AF_UNSPEC, &a, &e) == 0))
		fprintf(stderr, "    %s\n", address);
	struct network_place place = network_place_of(&a);
	return network_has(net, &place);
}

static void check_has(const char *text, const char *address, bool want)
{
	struct network net = network(text);
	if (!CHECK_INT(has(&net, address), want))
		fprintf(stderr, "    %s in %s\n", address, text);
}

/* --- what is in it ------------------------------------------------------------------------------------------------ */

static void test_families(void)
{
	check_has("0.0.0.0/0", "10.0.0.1", true);
	check_has("0.0.0.0/0", "::ffff:10.0.0.1", true);
	check_has("0.0.0.0/0", "::10.0.0.1", false);
	check_has("0.0.0.0/0", "::", false);
	check_has("::/0", "10.0.0.1", false);
	check_has("::/0", "::ffff:10.0.0.1", false);
	check_has("::/0", "2001:db8::1", true);
	check_has("::/0", "::", true);
	check_has("::ffff:10.0.0.0/104", "10.9.9.9", true);
	check_has("::ffff:10.0.0.0/104", "::ffff:10.9.9.9", true);
	check_has("::ffff:10.0.0.0/104", "11.9.9.9", false);
	check_has("::ffff:10.0.0.0/104", "::10.9.9.9", false);
	check_has("10.0.0.1", "10.0.0.1", true);
	check_has("10.0.0.1", "10.0.0.0", false);
	check_has("::1", "::1", true);
	check_has("::1", "::", false);
	check_has("0.0.0.0", "0.0.0.0", true);
	check_has("0.0.0.0", "::", false);
	check_has("fe80::/10", "fe80::1%lo", true);
	check_has("all", "10.0.0.1", true);
	check_has("all", "::", true);
}

static void test_unix(void)
{
	struct addr nobody;
	struct net_error e;
	CHECK_INT(addr_unix("@client", &nobody, &e), 0);
	struct network_place place = network_place_of(&nobody);
	struct network four = network("0.0.0.0/0"), six = network("::/0"), all = network("all");
	CHECK(!network_has(&four, &place));
	CHECK(!network_has(&six, &place));
	CHECK(network_has(&all, &place));
}

/* Bit by bit. */
static bool is_in(const unsigned char *a, const unsigned char *net, unsigned prefix)
{
	for (unsigned i = 0; i < prefix; i++)
		if ((a[i / 8] ^ net[i / 8]) & (0x80 >> i % 8))
			return false;
	return true;
}

/* For each prefix: the network's first and last address, and those one bit away from it. */
static void check_prefix(int family, unsigned bits, unsigned prefix)
{
	unsigned char first[16] = { 0 }, a[16];
	char text[INET6_ADDRSTRLEN], word[64];
	prng_fill(7, prefix, first, bits / 8);
	first[0] |= 0x20; /* neither :: nor mapped */
	for (unsigned i = prefix; i < bits; i++)
		first[i / 8] &= (unsigned char)~(0x80 >> i % 8);
	snprintf(word, sizeof(word), "%s/%u", inet_ntop(family, first, text, sizeof(text)), prefix);
	struct network net = network(word);
	for (unsigned flip = 0; flip < 2 * bits; flip++) {
		memcpy(a, first, sizeof(a));
		for (unsigned i = prefix; flip >= bits && i < bits; i++)
			a[i / 8] |= (unsigned char)(0x80 >> i % 8); /* the last one of the network */
		a[flip % bits / 8] ^= (unsigned char)(0x80 >> flip % 8);
		inet_ntop(family, a, text, sizeof(text));
		if (!CHECK_INT(has(&net, text), is_in(a, first, prefix)))
			fprintf(stderr, "    %s in %s\n", text, word);
	}
}

static void test_every_prefix(void)
{
	for (unsigned prefix = 0; prefix <= 32; prefix++)
		check_prefix(AF_INET, 32, prefix);
	for (unsigned prefix = 3; prefix <= 128; prefix++) /* with fewer, first[0] would have bits beyond it */
		check_prefix(AF_INET6, 128, prefix);
}

/* --- what is no network ------------------------------------------------------------------------------------------- */

static void check_wrong(const char *text, const char *want)
{
	struct network net;
	const char *wrong = network_parse(&net, text);
	if (!CHECK(wrong != NULL))
		fprintf(stderr, "    taken: %s\n", text);
	else
		CHECK_STR(wrong, want);
}

static void test_wrong(void)
{
	static const char none[] = "no address, network or \"all\"";
	static const char *const nothing[] = {
		"",          "x",           "10.0.0",  "10.0.0.256", "010.0.0.1",    "1:2",        "/8",
		"localhost", "ALL",         "all/0",   "-1",         "[::1]",        "fe80::1%lo", "10.0.0.1.",
		":::",       "10.0.0.1:80", "1::2::3", "0x7f.1",     "10.0.0.1;::1", "!::",        " ::1",
	};
	static const char prefix4[] = "the prefix is a number from 0 to 32";
	static const char *const wrong4[] = { "33", "", "-1", "+8", "8/8", "0008", "255.0.0.0", " 8", "8 " };
	char text[200];
	for (size_t i = 0; i < COUNT_OF(nothing); i++)
		check_wrong(nothing[i], none);
	for (size_t i = 0; i < COUNT_OF(wrong4); i++) {
		snprintf(text, sizeof(text), "10.0.0.0/%s", wrong4[i]);
		check_wrong(text, prefix4);
	}
	check_wrong("::/129", "the prefix is a number from 0 to 128");
	check_wrong("10.0.0.1/8", "there are bits beyond the prefix");
	check_wrong("2001:db8::/28", "there are bits beyond the prefix");
	check_wrong("::1/127", "there are bits beyond the prefix");
	/* Longer than any address; one of which the front would be an address; and with a prefix. */
	memset(text, '1', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	check_wrong(text, none);
	memset(text, ' ', sizeof(text) - 1);
	memcpy(text, "::1", 3);
	check_wrong(text, none);
	snprintf(text, sizeof(text), "%080d::/0", 0);
	check_wrong(text, none);
}

int main(void)
{
	test_families();
	test_unix();
	test_every_prefix();
	test_wrong();
	return check_done();
}
