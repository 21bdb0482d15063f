/* selfconnect_portrange_test.c - which ports connect(2) chooses among. What is expected here was measured: 2000 connections out
 * of each of these ranges, in a network namespace. */
#include "../../tools/selfconnect/portrange.h"

#include "check.h"

enum { TCP = true, ANY = false };

static struct portrange p;

static void parse(const char *range, const char *reserved, bool by_parity)
{
	CHECK_INT(portrange_parse(&p, range, reserved, by_parity), 0);
}

static void test_default_range(void)
{
	parse("32768 60999", "", TCP);
	CHECK_INT(p.low, 32768);
	CHECK_INT(p.high, 60999);
	CHECK_INT(p.n, 14116);
	CHECK(portrange_has(&p, 32768) && portrange_has(&p, 60998));
	CHECK(!portrange_has(&p, 32767) && !portrange_has(&p, 32769) && !portrange_has(&p, 60999) &&
	      !portrange_has(&p, 61000));
	parse("32768 60999", "", ANY);
	CHECK_INT(p.n, 28232);
	CHECK(portrange_has(&p, 32769) && portrange_has(&p, 60999));
	CHECK(!portrange_has(&p, 32767) && !portrange_has(&p, 61000));
}

/* The ports of a narrow range, one by one. */
static void expect(const char *range, const char *reserved, bool by_parity, const char *want)
{
	char got[256] = "";
	size_t len = 0;
	parse(range, reserved, by_parity);
	for (unsigned port = 0; port < PORTRANGE_ALL; port++) {
		if (portrange_has(&p, port))
			len += (size_t)snprintf(got + len, sizeof(got) - len, "%s%u", len > 0 ? " " : "", port);
	}
	CHECK_STR(got, want);
}

static void test_narrow_ranges(void)
{
	expect("40000 40009", "", TCP, "40000 40002 40004 40006 40008");
	expect("40001 40010", "", TCP, "40001 40003 40005 40007 40009");
	expect("40000 40010", "", TCP, "40000 40002 40004 40006 40008");
	expect("40001 40011", "", TCP, "40001 40003 40005 40007 40009");
	expect("40000 40001", "", TCP, "40000");
	expect("40000 40000", "", TCP, "40000");
	expect("40000 40003", "", ANY, "40000 40001 40002 40003");
	expect("40000 40000", "", ANY, "40000");
	expect("65534 65535", "", TCP, "65534");
	expect("65534 65535", "", ANY, "65534 65535");
}

static void test_reserved(void)
{
	expect("40000 40009", "40002,40006-40008", TCP, "40000 40004");
	expect("40000 40009", "1-40003,40008-65535", ANY, "40004 40005 40006 40007");
	expect("40000 40009", "40005", TCP, "40000 40002 40004 40006 40008");
	expect("40000 40003", "40000-40003", ANY, "");
	expect("40000 40003", "", ANY, "40000 40001 40002 40003"); /* nothing is left of the last one */
	parse("1024 65535", "1-65535", TCP);
	CHECK_INT(p.n, 0);
	CHECK_INT(portrange_nearest(&p, 40000), 0);
}

static void test_why_not(void)
{
	parse("40000 40010", "40004", TCP);
	CHECK(portrange_why_not(&p, 40002) == NULL);
	CHECK_STR(portrange_why_not(&p, 39998), "outside of ip_local_port_range");
	CHECK_STR(portrange_why_not(&p, 40012), "outside of ip_local_port_range");
	CHECK_STR(portrange_why_not(&p, 65535), "outside of ip_local_port_range");
	CHECK_STR(portrange_why_not(&p, 40004), "one of ip_local_reserved_ports");
	CHECK_STR(portrange_why_not(&p, 40003), "not of the parity of the range's lower end");
	CHECK_STR(portrange_why_not(&p, 40010), "the odd one at the end of the range");
}

static void test_nearest(void)
{
	parse("40000 40010", "40004", TCP);
	CHECK_INT(portrange_nearest(&p, 40003), 40002);
	CHECK_INT(portrange_nearest(&p, 40004), 40002);
	CHECK_INT(portrange_nearest(&p, 40005), 40006);
	CHECK_INT(portrange_nearest(&p, 80), 40000);
	CHECK_INT(portrange_nearest(&p, 65535), 40008);
}

static void test_no_range(void)
{
	CHECK_INT(portrange_parse(&p, "", "", TCP), -1);
	CHECK_INT(portrange_parse(&p, "40000", "", TCP), -1);
	CHECK_INT(portrange_parse(&p, "40001 40000", "", TCP), -1);
	CHECK_INT(portrange_parse(&p, "40000 65536", "", TCP), -1);
	CHECK_INT(portrange_parse(&p, "none at all", "", TCP), -1);
}

static void test_this_machine(void)
{
	struct net_error e = { 0 };
	CHECK_INT(portrange_read(&p, true, &e), 0);
	CHECK(p.low <= p.high && p.high < PORTRANGE_ALL);
}

int main(void)
{
	test_default_range();
	test_narrow_ranges();
	test_reserved();
	test_why_not();
	test_nearest();
	test_no_range();
	test_this_machine();
	return check_done();
}
