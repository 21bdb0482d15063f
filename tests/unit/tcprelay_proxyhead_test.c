/* tcprelay_proxyhead_test.c - PROXY heads of all forms, whole and cut after each byte, changed in each byte, and millions of random
 * ones: never beyond the last byte (each lies in a heap block of its own size), never another answer for more bytes behind it. */
#include "../../tools/tcprelay/proxyhead.h"

#include "cdefs.h"
#include "check.h"
#include "prng.h"

#include <stdlib.h>

static struct addr ip(const char *text, uint16_t port)
{
	struct addr a;
	struct net_error e;
	if (!CHECK(addr_literal(text, port, AF_UNSPEC, &a, &e) == 0))
		fprintf(stderr, "    %s\n", text);
	return a;
}

/* From a block that is exactly so long: AddressSanitizer sees a byte too many. */
static enum proxyhead_result get(struct proxyhead *h, const void *bytes, size_t n, const char **why)
{
	unsigned char *copy = malloc(n);
	memcpy(copy, bytes, n);
	enum proxyhead_result result = proxyhead_get(h, copy, n, why);
	free(copy);
	return result;
}

static void check_addr(const struct addr *a, const char *want)
{
	char text[ADDR_TEXT] = "none";
	CHECK_STR(a->len != 0 ? addr_text(a, text) : text, want);
}

/* All of n bytes are a head; fewer are the beginning of one, and more do not matter. */
static void check_head(const void *bytes, size_t n, unsigned version, bool is_local, const char *client,
		       const char *server)
{
	struct proxyhead h = { .version = 77 };
	const char *why = "unset";
	unsigned char longer[PROXYHEAD_TAKES + 300];
	for (size_t i = 0; i < n; i++) {
		if (!CHECK_INT(get(&h, bytes, i, &why), PROXYHEAD_MORE))
			fprintf(stderr, "    after %zu of %zu bytes: %s\n", i, n, why);
	}
	CHECK_INT(h.version, 77); /* both are left alone */
	CHECK_STR(why, "unset");
	memcpy(longer, bytes, n);
	memset(longer + n, '\n', 300);
	for (size_t more = 0; more <= 300; more += 100) {
		if (!CHECK_INT(get(&h, longer, n + more, &why), PROXYHEAD_DONE))
			fprintf(stderr, "    %s\n", why);
		CHECK_INT(h.len, n);
		CHECK_INT(h.version, version);
		CHECK_INT(h.is_local, is_local);
		check_addr(&h.client, client);
		check_addr(&h.server, server);
	}
}

static void check_wrong(const void *bytes, size_t n, const char *want)
{
	struct proxyhead h;
	const char *why = "unset";
	if (!CHECK_INT(get(&h, bytes, n, &why), PROXYHEAD_BAD))
		fprintf(stderr, "    %.*s\n", (int)n, (const char *)bytes);
	CHECK_STR(why, want);
}

/* --- version 1 ---------------------------------------------------------------------------------------------------- */

static void check_line(const char *line, bool is_local, const char *client, const char *server)
{
	check_head(line, strlen(line), 1, is_local, client, server);
}

static void test_lines(void)
{
	check_line("PROXY TCP4 192.0.2.1 198.51.100.7 40000 80\r\n", false, "192.0.2.1:40000", "198.51.100.7:80");
	check_line("PROXY TCP4 255.255.255.255 0.0.0.0 65535 0\r\n", false, "255.255.255.255:65535", "0.0.0.0:0");
	check_line("PROXY TCP6 2001:db8::1 ::1 1 65535\r\n", false, "[2001:db8::1]:1", "[::1]:65535");
	check_line("PROXY TCP6 ::ffff:192.0.2.1 ::ffff:1.2.3.4 1 2\r\n", false, "192.0.2.1:1", "1.2.3.4:2");
	check_line(
		"PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
		false, "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
		"[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535");
	check_line("PROXY UNKNOWN\r\n", true, "none", "none");
	check_line("PROXY UNKNOWN 192.0.2.1 198.51.100.7 40000 80\r\n", true, "none", "none");
	check_line("PROXY UNKNOWN and anything \x01\xff at all\r\r\n", true, "none", "none");
	char longest[PROXYHEAD_V1_MAX + 1] = "PROXY UNKNOWN ";
	memset(longest + 14, 'x', PROXYHEAD_V1_MAX - 16);
	memcpy(longest + PROXYHEAD_V1_MAX - 2, "\r\n", 3);
	check_line(longest, true, "none", "none");
}

static void test_bad_lines(void)
{
	static const char *const wrong[] = {
		"TCP4",
		"TCP4 ",
		"",
		" ",
		"TCP4 192.0.2.1 198.51.100.7 40000",
		"TCP4 192.0.2.1 198.51.100.7 40000 ",
		"TCP4 192.0.2.1 198.51.100.7 40000 80 ",
		"TCP4 192.0.2.1 198.51.100.7 40000 80 x",
		"TCP4  192.0.2.1 198.51.100.7 40000 80",
		"TCP4 192.0.2.1\t198.51.100.7 40000 80",
		"TCP4 192.0.2.1 198.51.100.7 40000 65536",
		"TCP4 192.0.2.1 198.51.100.7 40000 4294967376",
		"TCP4 192.0.2.1 198.51.100.7 -1 80",
		"TCP4 192.0.2.1 198.51.100.7 +1 80",
		"TCP4 192.0.2.1 198.51.100.7 040 80",
		"TCP4 192.0.2.1 198.51.100.7 00 80",
		"TCP4 192.0.2.1 198.51.100.7 0x1 80",
		"TCP4 192.0.2.256 198.51.100.7 40000 80",
		"TCP4 192.0.2.01 198.51.100.7 40000 80",
		"TCP4 192.0.2 198.51.100.7 40000 80",
		"TCP4 ::1 ::1 40000 80",
		"TCP6 192.0.2.1 198.51.100.7 40000 80",
		"TCP6 ::1 fe80::1%lo 40000 80",
		"TCP6 [::1] [::1] 40000 80",
		"tcp4 192.0.2.1 198.51.100.7 40000 80",
		"TCP5 192.0.2.1 198.51.100.7 40000 80",
		"TCP44 192.0.2.1 198.51.100.7 40000 80",
		"UDP4 192.0.2.1 198.51.100.7 40000 80",
		"unknown",
		"UNKNOWNS",
		"TCP4 192.0.2.1 198.51.100.7 40000 80\r",
	};
	char line[256];
	for (size_t i = 0; i < COUNT_OF(wrong); i++) {
		int n = snprintf(line, sizeof(line), "PROXY %s\r\n", wrong[i]);
		check_wrong(line, (size_t)n, "a PROXY line that is wrong");
	}
	check_wrong("PROXY TCP4 192.0.2.1\0 198.51.100.7 40000 80\r\n", 45, "a PROXY line that is wrong");
	check_wrong("PROXY TCP4 192.0.2.1 198.51.100.7 40000 80\0x\r\n", 46, "a PROXY line that is wrong");
	check_wrong("PROXY TCP4 192.0.2.1 198.51.100.7 40000 80\n", 43, "a PROXY line that does not end");
	check_wrong("PROXY \n", 7, "a PROXY line that does not end");
	memset(line, 'x', sizeof(line));
	memcpy(line, "PROXY UNKNOWN ", 14);
	memcpy(line + PROXYHEAD_V1_MAX - 1, "\r\n", 2); /* one byte too long */
	struct proxyhead h;
	const char *why;
	CHECK_INT(get(&h, line, PROXYHEAD_V1_MAX - 1, &why), PROXYHEAD_MORE);
	check_wrong(line, PROXYHEAD_V1_MAX, "a PROXY line that does not end");
	check_wrong(line, PROXYHEAD_V1_MAX + 1, "a PROXY line that does not end");
}

static void test_no_head(void)
{
	check_wrong("GET / HTTP/1.1\r\n\r\n", 18, "no PROXY head");
	check_wrong("proxy ", 6, "no PROXY head");
	check_wrong("PROXYTCP4", 9, "no PROXY head");
	check_wrong("\r\n\r\n\r\n", 6, "no PROXY head");
	check_wrong("\0", 1, "no PROXY head");
	check_wrong(" PROXY", 6, "no PROXY head");
	check_wrong("PRX", 3, "no PROXY head"); /* as soon as it can be known */
}

/* --- version 2 ---------------------------------------------------------------------------------------------------- */

struct binary {
	unsigned char bytes[PROXYHEAD_TAKES + 16];
	size_t n;
};

/* So many bytes (0, 1, 2 ...) stand behind the length, which says the same. */
static struct binary binary(unsigned command, unsigned family, size_t len)
{
	struct binary b = { .bytes = "\r\n\r\n\0\r\nQUIT\n", .n = 16 + len };
	b.bytes[12] = (unsigned char)command;
	b.bytes[13] = (unsigned char)family;
	b.bytes[14] = (unsigned char)(len >> 8);
	b.bytes[15] = (unsigned char)len;
	for (size_t i = 0; i < len && 16 + i < sizeof(b.bytes); i++)
		b.bytes[16 + i] = (unsigned char)i;
	return b;
}

static void check_binary(unsigned command, unsigned family, size_t len, bool is_local, const char *client,
			 const char *server)
{
	struct binary b = binary(command, family, len);
	check_head(b.bytes, b.n, 2, is_local, client, server);
}

static void test_binary(void)
{
	static const size_t tlvs[] = { 0, 1, 3, 255, 2000 };
	static const char client6[] = "[1:203:405:607:809:a0b:c0d:e0f]:8225";
	static const char server6[] = "[1011:1213:1415:1617:1819:1a1b:1c1d:1e1f]:8739";
	for (size_t i = 0; i < COUNT_OF(tlvs); i++) {
		check_binary(0x21, 0x11, 12 + tlvs[i], false, "0.1.2.3:2057", "4.5.6.7:2571");
		check_binary(0x21, 0x21, 36 + tlvs[i], false, client6, server6);
		check_binary(0x21, 0x31, 216 + tlvs[i], false, "none", "none"); /* unix sockets, stream and datagram */
		check_binary(0x21, 0x32, 216 + tlvs[i], false, "none", "none");
		check_binary(0x21, 0x12, 12 + tlvs[i], false, "none", "none"); /* UDP */
		check_binary(0x21, 0x22, 36 + tlvs[i], false, "none", "none");
		check_binary(0x21, 0x00, tlvs[i], false, "none", "none");
		check_binary(0x20, 0x00, tlvs[i], true, "none", "none");
		check_binary(0x20, 0x11, tlvs[i], true, "none", "none"); /* what else LOCAL says is to be ignored */
		check_binary(0x20, 0xff, tlvs[i], true, "none", "none");
	}
	check_binary(0x21, 0x11, 4096, false, "0.1.2.3:2057", "4.5.6.7:2571");
}

static void check_wrong_binary(unsigned command, unsigned family, size_t len, const char *want)
{
	struct binary b = binary(command, family, len);
	check_wrong(b.bytes, 16, want); /* the addresses need not have come to know it */
}

static void test_bad_binary(void)
{
	for (unsigned command = 0; command < 256; command++) {
		if (command >> 4 != 2)
			check_wrong_binary(command, 0x11, 12, "a PROXY head of a version that is unknown");
		else if (command > 0x21)
			check_wrong_binary(command, 0x11, 12, "a PROXY head with a command that is unknown");
	}
	for (unsigned family = 0; family < 256; family++) {
		bool is_known = family == 0 ||
				(family >> 4 >= 1 && family >> 4 <= 3 && ((family & 15) == 1 || (family & 15) == 2));
		if (!is_known)
			check_wrong_binary(0x21, family, 216, "a PROXY head with a family that is unknown");
	}
	for (unsigned kind = 1; kind <= 2; kind++) {
		check_wrong_binary(0x21, 0x10 | kind, 11, "a PROXY head that is too short for its addresses");
		check_wrong_binary(0x21, 0x20 | kind, 35, "a PROXY head that is too short for its addresses");
		check_wrong_binary(0x21, 0x30 | kind, 215, "a PROXY head that is too short for its addresses");
	}
	check_wrong_binary(0x21, 0x11, 0, "a PROXY head that is too short for its addresses");
	check_wrong_binary(0x21, 0x11, 4097, "a PROXY head that is too long");
	check_wrong_binary(0x20, 0x00, 65535, "a PROXY head that is too long");
}

/* --- damage ------------------------------------------------------------------------------------------------------- */

/* Whatever it says, it says it of these bytes alone, and the same however many stand behind. */
static void check_sane(const unsigned char *bytes, size_t n)
{
	struct proxyhead h = { .len = 0 }, again = { .len = 0 };
	const char *why = NULL;
	enum proxyhead_result result = get(&h, bytes, n, &why);
	if (result == PROXYHEAD_DONE) {
		CHECK(h.len > 0 && h.len <= n && (h.version == 1 || h.version == 2));
		CHECK(!h.is_local || (h.client.len == 0 && h.server.len == 0));
		CHECK_INT(get(&again, bytes, h.len, &why), PROXYHEAD_DONE);
		CHECK_INT(get(&again, bytes, h.len - 1, &why), PROXYHEAD_MORE);
	} else if (result == PROXYHEAD_BAD) {
		CHECK(why != NULL);
	} else {
		CHECK(n < PROXYHEAD_TAKES);
	}
}

static const char *const seeds[] = {
	"PROXY TCP4 192.0.2.1 198.51.100.7 40000 80\r\n",
	"PROXY TCP6 2001:db8::1 ::1 1 65535\r\n",
	"PROXY UNKNOWN\r\n",
	"PROXY UNKNOWN 192.0.2.1 198.51.100.7 40000 80\r\n",
};

static void change_each_byte(const unsigned char *bytes, size_t n)
{
	unsigned char changed[600];
	for (size_t i = 0; i < n; i++) {
		for (unsigned value = 0; value < 256; value++) {
			memcpy(changed, bytes, n);
			changed[i] = (unsigned char)value;
			check_sane(changed, n);
		}
	}
}

static void test_each_byte_changed(void)
{
	static const unsigned kinds[][3] = {
		{ 0x21, 0x11, 12 }, { 0x21, 0x21, 40 }, { 0x21, 0x31, 216 }, { 0x20, 0, 5 }
	};
	for (size_t i = 0; i < COUNT_OF(seeds); i++)
		change_each_byte((const unsigned char *)seeds[i], strlen(seeds[i]));
	for (size_t i = 0; i < COUNT_OF(kinds); i++) {
		struct binary b = binary(kinds[i][0], kinds[i][1], kinds[i][2]);
		change_each_byte(b.bytes, b.n);
	}
}

/* Parts of heads, damaged and put together at random. */
static void test_fuzz(void)
{
	enum { ROUNDS = 1000 * 1000 };
	static const char *const parts[] = { "PROXY ",
					     "TCP4 ",
					     "TCP6 ",
					     "UNKNOWN",
					     " ",
					     "192.0.2.1 ",
					     "::1 ",
					     "65535",
					     "0 ",
					     "80",
					     "\r\n",
					     "\r\n\r\n\0\r\nQUIT\n",
					     "\x21\x11\0\x0c",
					     "\x21\x21\0\x24",
					     "\x20\0\0\0",
					     "\x21\x31\0\xd8" };
	static const size_t lens[] = { 6, 5, 5, 7, 1, 10, 4, 5, 2, 2, 2, 12, 4, 4, 4, 4 };
	for (uint64_t i = 0; i < ROUNDS; i++) {
		unsigned char bytes[256];
		uint64_t luck = prng_word(11, i);
		size_t n = 0, first = luck & 1 ? 0 : 11, left = 1 + (luck >> 1) % 8;
		for (size_t part = first; left > 0; left--, part = prng_word(luck, left) % COUNT_OF(parts)) {
			memcpy(bytes + n, parts[part], lens[part]);
			n += lens[part];
		}
		size_t noise = (luck >> 8) % 64;
		prng_fill(luck, 0, bytes + n, noise);
		n += noise;
		if (luck >> 16 & 1)
			bytes[(luck >> 17) % n] = (unsigned char)(luck >> 40);
		check_sane(bytes, n - (luck >> 50) % n);
	}
}

/* --- put ---------------------------------------------------------------------------------------------------------- */

static void check_put(unsigned version, const struct addr *client, const struct addr *server, const char *want_client,
		      const char *want_server)
{
	unsigned char *out = malloc(PROXYHEAD_PUT);
	size_t n = proxyhead_put(out, version, client, server);
	CHECK(n <= PROXYHEAD_PUT);
	check_head(out, n, version, strcmp(want_client, "none") == 0, want_client, want_server);
	free(out);
}

static void test_put(void)
{
	struct addr four = ip("192.0.2.1", 40000), other = ip("10.0.0.1", 80), six = ip("2001:db8::1", 65535),
		    one = ip("::1", 0);
	struct addr mapped = ip("::ffff:192.0.2.1", 7), longest = ip("1111:2222:3333:4444:5555:6666:7777:8888", 12345);
	struct addr none = { .len = 0, .u.sa.sa_family = AF_INET }, path;
	struct net_error e;
	CHECK_INT(addr_unix("/tmp/x", &path, &e), 0);
	for (unsigned version = 1; version <= 2; version++) {
		check_put(version, &four, &other, "192.0.2.1:40000", "10.0.0.1:80");
		check_put(version, &six, &one, "[2001:db8::1]:65535", "[::1]:0");
		check_put(version, &mapped, &other, "192.0.2.1:7", "10.0.0.1:80");
		check_put(version, &longest, &longest, "[1111:2222:3333:4444:5555:6666:7777:8888]:12345",
			  "[1111:2222:3333:4444:5555:6666:7777:8888]:12345");
		check_put(version, &four, &six, "192.0.2.1:40000", "[2001:db8::1]:65535");
		check_put(version, &six, &four, "[2001:db8::1]:65535", "192.0.2.1:40000");
		check_put(version, &none, &four, "none", "none");
		check_put(version, &four, &none, "none", "none");
		check_put(version, &path, &four, "none", "none");
	}
}

/* The bytes, as the specification has them. */
static void test_put_bytes(void)
{
	static const unsigned char four[] = "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\2\1\x0a\0\0\1\x9c\x40\0\x50";
	static const unsigned char local[] = "\r\n\r\n\0\r\nQUIT\n\x20\0\0";
	struct addr client = ip("192.0.2.1", 40000), mapped = ip("::ffff:192.0.2.1", 40000),
		    server = ip("10.0.0.1", 80);
	struct addr six = ip("2001:db8::1", 1), none = { .len = 0 };
	unsigned char out[PROXYHEAD_PUT];
	CHECK_INT(proxyhead_put(out, 2, &client, &server), 28);
	CHECK_INT(memcmp(out, four, 28), 0);
	CHECK_INT(proxyhead_put(out, 2, &mapped, &server), 28); /* an IPv4 address, however it came */
	CHECK_INT(memcmp(out, four, 28), 0);
	CHECK_INT(proxyhead_put(out, 2, &none, &none), 16);
	CHECK_INT(memcmp(out, local, 16), 0);
	CHECK_INT(proxyhead_put(out, 2, &six, &six), 52);
	static const char *const lines[] = { "PROXY TCP4 192.0.2.1 10.0.0.1 40000 80\r\n",
					     "PROXY TCP6 2001:db8::1 2001:db8::1 1 1\r\n",
					     "PROXY TCP6 2001:db8::1 ::ffff:10.0.0.1 1 80\r\n", "PROXY UNKNOWN\r\n" };
	const struct addr *const clients[] = { &mapped, &six, &six, &none }, *const servers[] = { &server, &six,
												  &server, &server };
	for (size_t i = 0; i < COUNT_OF(lines); i++) {
		CHECK_INT(proxyhead_put(out, 1, clients[i], servers[i]), strlen(lines[i]));
		CHECK_INT(memcmp(out, lines[i], strlen(lines[i])), 0);
	}
}

static void test_round_trip(void)
{
	unsigned char out[PROXYHEAD_PUT];
	struct proxyhead h;
	const char *why;
	for (uint64_t i = 0; i < 20000; i++) {
		struct addr a[2] = { ip("1.2.3.4", 1), ip("5.6.7.8", 2) };
		unsigned version = 1 + (i & 1);
		for (int k = 0; k < 2; k++) {
			if (i & 2)
				a[k] = ip("2001:db8::1", 3);
			if (i & 2)
				prng_fill(i, (uint64_t)k * 16, &a[k].u.in6.sin6_addr, 16);
			else
				prng_fill(i, (uint64_t)k * 16, &a[k].u.in4.sin_addr, 4);
			a[k].u.in4.sin_port = (in_port_t)prng_word(i, 5 + (uint64_t)k);
		}
		size_t n = proxyhead_put(out, version, &a[0], &a[1]);
		if (!CHECK_INT(get(&h, out, n, &why), PROXYHEAD_DONE))
			break;
		CHECK(h.len == n && addr_equal(&h.client, &a[0]) && addr_equal(&h.server, &a[1]));
	}
}

int main(void)
{
	test_lines();
	test_bad_lines();
	test_no_head();
	test_binary();
	test_bad_binary();
	test_each_byte_changed();
	test_fuzz();
	test_put();
	test_put_bytes();
	test_round_trip();
	return check_done();
}
