/* socks4a_place_test.c - what BIND and UDP ASSOCIATE decide about addresses: whose datagram it is, where none goes, and
 * the head that is put in front of an answer. */
#include "../../tools/socks4a/place.h"

#include "check.h"

#include <stdlib.h>

static struct addr addr_of(const char *host, uint16_t port)
{
	struct net_error e;
	struct addr a;
	if (!CHECK_INT(addr_literal(host, port, AF_UNSPEC, &a, &e), 0))
		abort();
	return a;
}

static const char *text_of(const struct addr *a)
{
	static char text[ADDR_TEXT];
	return addr_text(a, text);
}

/* As a request has it; a host that is no address is a name. */
static struct socks_place place_of(const char *host, uint16_t port)
{
	struct net_error e;
	struct addr a;
	struct socks_place place = { .kind = SOCKS_NAME, .port = port };
	snprintf(place.name, sizeof(place.name), "%s", host);
	if (addr_literal(host, port, AF_UNSPEC, &a, &e) < 0)
		return place;
	place.name[0] = '\0';
	place.kind = a.u.sa.sa_family == AF_INET ? SOCKS_IPV4 : SOCKS_IPV6;
	if (place.kind == SOCKS_IPV4)
		memcpy(place.ip, &a.u.in4.sin_addr, 4);
	else
		memcpy(place.ip, &a.u.in6.sin6_addr, 16);
	return place;
}

/* --- addresses ---------------------------------------------------------------------------------------------------- */

static void test_unmapped(void)
{
	struct addr mapped = addr_of("::ffff:192.0.2.7", 80), plain = place_unmapped(&mapped);
	CHECK_INT(plain.u.sa.sa_family, AF_INET);
	CHECK_INT(plain.len, sizeof(plain.u.in4));
	CHECK_STR(text_of(&plain), "192.0.2.7:80");
	struct addr v6 = addr_of("2001:db8::1", 80);
	plain = place_unmapped(&v6);
	CHECK_STR(text_of(&plain), "[2001:db8::1]:80");
	v6 = addr_of("::192.0.2.7", 80); /* compatible, not mapped: another address */
	CHECK_INT(place_unmapped(&v6).u.sa.sa_family, AF_INET6);
}

static void test_nowhere(void)
{
	const char *nowhere[] = { "0.0.0.0", "::", "0.0.0.1", "::1", "127.0.0.1", "2001:db8::" };
	for (size_t i = 0; i < COUNT_OF(nowhere); i++) {
		struct addr a = addr_of(nowhere[i], 80);
		CHECK_INT(place_is_nowhere(&a), i < 2);
	}
	struct addr all = place_everywhere(AF_INET6, 53);
	CHECK_STR(text_of(&all), "[::]:53");
	CHECK_INT(all.len, sizeof(all.u.in6));
	all = place_everywhere(AF_INET, 53);
	CHECK_STR(text_of(&all), "0.0.0.0:53");
	CHECK_INT(all.len, sizeof(all.u.in4));
	place_set_port(&all, 4711);
	CHECK_INT(addr_port(&all), 4711);
}

static bool is_same(const char *a, const char *b)
{
	struct addr one = addr_of(a, 1), other = addr_of(b, 2);
	bool is = place_is_same_host(&one, &other);
	CHECK_INT(place_is_same_host(&other, &one), is);
	return is;
}

static void test_same_host(void)
{
	CHECK(is_same("192.0.2.7", "192.0.2.7"));
	CHECK(is_same("192.0.2.7", "::ffff:192.0.2.7"));
	CHECK(is_same("2001:db8::7", "2001:db8::7"));
	CHECK(!is_same("192.0.2.7", "192.0.2.8"));
	CHECK(!is_same("2001:db8::7", "2001:db8::8")); /* a neighbour in the same /64 is somebody else */
	CHECK(!is_same("::192.0.2.7", "192.0.2.7"));
	CHECK(!is_same("0.0.0.0", "::"));
	CHECK(is_same("fe80::1%1", "fe80::1%1"));
	CHECK(is_same("fe80::1%1", "fe80::1"));
	CHECK(!is_same("fe80::1%1", "fe80::1%2"));
}

/* --- whose datagram is it ----------------------------------------------------------------------------------------- */

/* The client comes from peer:5000 and names host:port; is a datagram that comes from from:from_port taken? */
static bool is_taken(const char *peer, const char *host, uint16_t port, const char *from, uint16_t from_port)
{
	struct addr client = addr_of(peer, 5000), sender = addr_of(from, from_port);
	struct socks_place named = place_of(host, port);
	struct addr source = place_source(&client, &named);
	CHECK(place_is_same_host(&source, &client));
	return place_is_source(&source, &sender);
}

static void test_source(void)
{
	static const char me[] = "192.0.2.7", other[] = "192.0.2.8";
	/* No port is known: whoever comes first from that host. */
	CHECK(is_taken(me, "0.0.0.0", 0, me, 6000));
	CHECK(is_taken(me, "::", 0, me, 6000));
	CHECK(is_taken(me, "0.0.0.0", 0, me, 5000));
	CHECK(!is_taken(me, "0.0.0.0", 0, other, 6000));
	/* The port counts, beside no address or its own. */
	CHECK(is_taken(me, "0.0.0.0", 6000, me, 6000));
	CHECK(!is_taken(me, "0.0.0.0", 6000, me, 6001));
	CHECK(is_taken(me, me, 6000, me, 6000));
	CHECK(!is_taken(me, me, 6000, me, 6001));
	CHECK(is_taken(me, "::ffff:192.0.2.7", 6000, me, 6000));
	CHECK(!is_taken(me, "::ffff:192.0.2.7", 6000, me, 6001));
	/* Somebody else's address: neither is it taken from there, nor does the port mean anything. */
	CHECK(!is_taken(me, other, 6000, other, 6000));
	CHECK(is_taken(me, "10.1.1.1", 6000, me, 6001));
	CHECK(is_taken(me, "client.example", 6000, me, 6001));
	/* The listener takes both families. */
	CHECK(is_taken("::ffff:192.0.2.7", "0.0.0.0", 0, me, 6000));
	CHECK(is_taken("2001:db8::7", "::", 6000, "2001:db8::7", 6000));
	CHECK(!is_taken("2001:db8::7", "::", 6000, "2001:db8::8", 6000));
	CHECK(!is_taken("2001:db8::7", "0.0.0.0", 0, me, 6000));
}

static void test_where_none_goes(void)
{
	static const struct {
		const char *host;
		uint16_t port;
		bool may;
	} to[] = {
		{ "192.0.2.7", 53, true },       { "192.0.2.7", 0, false },        { "2001:db8::7", 0, false },
		{ "223.255.255.255", 53, true }, { "224.0.0.0", 53, false },       { "239.255.255.250", 1900, false },
		{ "240.0.0.1", 53, true },       { "255.255.255.255", 67, false }, { "255.255.255.254", 67, true },
		{ "ff02::1", 53, false },        { "fe80::1", 53, true },          { "127.0.0.1", 53, true },
		{ "0.0.0.0", 53, true }, /* this host; the rules say whether */
	};
	for (size_t i = 0; i < COUNT_OF(to); i++) {
		struct addr a = addr_of(to[i].host, to[i].port);
		if (!CHECK_INT(place_takes_datagrams(&a), to[i].may))
			fprintf(stderr, "    %s\n", text_of(&a));
	}
}

/* --- heads -------------------------------------------------------------------------------------------------------- */

/* What is put is what socks_get_datagram reads, and touches nothing but what lies right in front of the payload. */
static void check_head(const char *host, size_t len)
{
	unsigned char bytes[8 + PLACE_HEAD + 3];
	struct addr from = addr_of(host, 4711);
	struct socks_place place, want = place_of(host, 4711);
	size_t used = 0;
	const char *why = NULL;
	memset(bytes, 'x', sizeof(bytes));
	unsigned char *payload = bytes + 8 + PLACE_HEAD, *head = place_put_head(payload, &from);
	CHECK_INT(payload - head, len);
	CHECK_INT(payload[0], 'x');
	CHECK_INT(head[-1], 'x');
	if (CHECK(socks_get_datagram(head, len + 3, &place, &used, &why))) {
		CHECK_INT(used, len);
		CHECK_INT(place.kind, want.kind);
		CHECK_INT(place.port, 4711);
		CHECK_INT(memcmp(place.ip, want.ip, place.kind == SOCKS_IPV4 ? 4 : 16), 0);
	}
}

static void test_heads(void)
{
	check_head("192.0.2.7", 10);
	check_head("2001:db8::7", 22);
	check_head("fe80::1%1", 22); /* the interface is ours: a head has no room for it */
}

int main(void)
{
	test_unmapped();
	test_nowhere();
	test_same_host();
	test_source();
	test_where_none_goes();
	test_heads();
	return check_done();
}
