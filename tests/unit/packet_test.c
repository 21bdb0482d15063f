/* packet_test.c - packets written by hand, cut off anywhere, and random ones; their lines; the pcap headers.
 *
 * Every packet is decoded from a piece of memory of exactly its captured length, so that the address sanitizer sees any
 * byte that is read beyond it. */
#include "packet.h"

#include "check.h"
#include "wire.h"

#include <stdlib.h>

struct bytes {
	unsigned char at[2048];
	size_t n;
};

static void put(struct bytes *b, const void *p, size_t n)
{
	if (n > 0)
		memcpy(b->at + b->n, p, n);
	b->n += n;
}

static void put_u8(struct bytes *b, unsigned v)
{
	b->at[b->n++] = (unsigned char)v;
}

static void put_u16(struct bytes *b, unsigned v)
{
	be16_put(b->at + b->n, (uint16_t)v);
	b->n += 2;
}

static void put_u32(struct bytes *b, uint32_t v)
{
	be32_put(b->at + b->n, v);
	b->n += 4;
}

static const unsigned char ip4_here[] = { 10, 0, 0, 1 }, ip4_there[] = { 10, 0, 0, 2 };
static const unsigned char ip6_here[16] = { 0x20, 1, 0xd, 0xb8, [15] = 1 },
			   ip6_there[16] = { 0x20, 1, 0xd, 0xb8, [15] = 2 };

/* rest: bytes behind this header. */
static void put_ipv4(struct bytes *b, unsigned protocol, size_t rest)
{
	put_u8(b, 0x45);
	put_u8(b, 0x03); /* ECN: congestion experienced */
	put_u16(b, (unsigned)(20 + rest));
	put_u16(b, 1);
	put_u16(b, 0x4000); /* do not fragment */
	put_u8(b, 64);
	put_u8(b, protocol);
	put_u16(b, 0);
	put(b, ip4_here, 4);
	put(b, ip4_there, 4);
}

static void put_ipv6(struct bytes *b, unsigned next, size_t rest)
{
	put_u32(b, 0x60200000); /* ECN: capable */
	put_u16(b, (unsigned)rest);
	put_u8(b, next);
	put_u8(b, 63);
	put(b, ip6_here, 16);
	put(b, ip6_there, 16);
}

static void put_tcp(struct bytes *b, unsigned flags, uint32_t seq, uint32_t ack, const void *options,
		    size_t options_len)
{
	put_u16(b, 40000);
	put_u16(b, 5001);
	put_u32(b, seq);
	put_u32(b, ack);
	put_u8(b, (unsigned)(20 + options_len) / 4 << 4);
	put_u8(b, flags);
	put_u16(b, 512);
	put_u16(b, 0);
	put_u16(b, 7);
	put(b, options, options_len);
}

/* From memory that ends where the captured bytes end. */
static bool decode(struct packet *p, enum packet_link link, const unsigned char *bytes, size_t captured, size_t len)
{
	unsigned char *exact = malloc(captured + !captured);
	if (captured > 0)
		memcpy(exact, bytes, captured);
	bool is_ip = packet_decode(p, link, exact, captured, len);
	char text[PACKET_TEXT], ends[PACKET_ENDS_TEXT];
	struct packet_flow flow = { 0 };
	packet_flow_see(&flow, 0, p);
	CHECK(strlen(packet_text(text, p, &flow, 0, PACKET_EVERYTHING)) < sizeof(text));
	CHECK(strlen(packet_text(text, p, NULL, 0, 0)) < sizeof(text));
	CHECK(strlen(packet_ends_text(ends, p)) < sizeof(ends));
	p->tcp.options = NULL;
	free(exact);
	return is_ip;
}

static const unsigned char syn_options[] = { 2, 4, 0x05, 0xb4, 4, 2, 8, 10, 0, 0, 0, 100, 0, 0, 0, 0, 1, 3, 3, 7 };

static struct bytes tcp4(unsigned flags, uint32_t seq, uint32_t ack, const void *options, size_t options_len,
			 size_t payload)
{
	struct bytes b = { .n = 0 };
	put_ipv4(&b, PACKET_TCP, 20 + options_len + payload);
	put_tcp(&b, flags, seq, ack, options, options_len);
	b.n += payload;
	return b;
}

/* --- decoding ------------------------------------------------------------------------------------------------------ */

static void check_syn(const struct packet *p)
{
	CHECK(p->has_header && !p->is_fragment);
	CHECK_INT(p->protocol, PACKET_TCP);
	CHECK_INT(p->from.port, 40000);
	CHECK_INT(p->to.port, 5001);
	CHECK_INT(p->tcp.seq, 1000);
	CHECK_INT(p->tcp.flags, PACKET_SYN);
	CHECK_INT(p->tcp.window, 512);
	CHECK_INT(p->tcp.urgent, 7);
	CHECK_INT(p->tcp.mss, 1460);
	CHECK(p->tcp.has_window_scale && p->tcp.may_sack && p->tcp.has_timestamps);
	CHECK_INT(p->tcp.window_scale, 7);
	CHECK_INT(p->tcp.ts_value, 100);
	CHECK_INT(p->tcp.ts_echo, 0);
	CHECK_INT(p->payload_len, 0);
}

static void test_ipv4(void)
{
	struct packet p;
	struct bytes b = tcp4(PACKET_SYN, 1000, 0, syn_options, sizeof(syn_options), 0);
	CHECK(decode(&p, PACKET_RAW, b.at, b.n, b.n));
	check_syn(&p);
	CHECK_INT(p.version, 4);
	CHECK_INT(p.ttl, 64);
	CHECK_INT(p.ecn, 3);
	CHECK_INT(memcmp(p.from.ip, ip4_here, 4) + memcmp(p.to.ip, ip4_there, 4), 0);

	/* behind the packet's end is what Ethernet pads short frames with */
	CHECK(decode(&p, PACKET_RAW, b.at, b.n + 6, b.n + 6));
	CHECK_INT(p.payload_len, 0);
	/* only the headers were captured */
	b = tcp4(PACKET_ACK, 1, 1, NULL, 0, 1448);
	CHECK(decode(&p, PACKET_RAW, b.at, 40, b.n));
	CHECK_INT(p.payload_len, 1448);
	/* too long for the field: the length on the wire counts */
	be16_put(b.at + 2, 0);
	CHECK(decode(&p, PACKET_RAW, b.at, 40, 150000));
	CHECK_INT(p.payload_len, 150000 - 40);
}

static void test_ipv6(void)
{
	struct packet p;
	struct bytes b = { .n = 0 };
	put_ipv6(&b, PACKET_TCP, 20 + sizeof(syn_options));
	put_tcp(&b, PACKET_SYN, 1000, 0, syn_options, sizeof(syn_options));
	CHECK(decode(&p, PACKET_RAW, b.at, b.n, b.n));
	check_syn(&p);
	CHECK_INT(p.version, 6);
	CHECK_INT(p.ttl, 63);
	CHECK_INT(p.ecn, 2);
	CHECK_INT(memcmp(p.from.ip, ip6_here, 16) + memcmp(p.to.ip, ip6_there, 16), 0);
}

/* Hop-by-hop options of 16 bytes, a first fragment, then TCP. */
static void test_ipv6_extensions(void)
{
	static const unsigned char hop[16] = { 44, 1 };
	struct packet p;
	struct bytes b = { .n = 0 };
	put_ipv6(&b, 0, sizeof(hop) + 8 + 20 + sizeof(syn_options));
	put(&b, hop, sizeof(hop));
	size_t fragment = b.n;
	put_u32(&b, (uint32_t)PACKET_TCP << 24 | 1);
	put_u32(&b, 99);
	put_tcp(&b, PACKET_SYN, 1000, 0, syn_options, sizeof(syn_options));
	CHECK(decode(&p, PACKET_RAW, b.at, b.n, b.n));
	check_syn(&p);
	for (size_t n = 40; n < b.n - 20 - sizeof(syn_options); n++) {
		CHECK(decode(&p, PACKET_RAW, b.at, n, b.n));
		CHECK(!p.has_header);
	}
	be16_put(b.at + fragment + 2, 8 << 3); /* not the first one: what follows is no header */
	CHECK(decode(&p, PACKET_RAW, b.at, b.n, b.n));
	CHECK(p.is_fragment && !p.has_header);
	CHECK_INT(p.protocol, PACKET_TCP);
}

static void test_ethernet(void)
{
	static const unsigned char types[][10] = { { 0x08, 0 },
						   { 0x81, 0, 0, 5, 0x08, 0 },
						   { 0x88, 0xa8, 0, 1, 0x81, 0, 0, 2, 0x08, 0 } };
	static const size_t lens[] = { 2, 6, 10 };
	struct bytes syn = tcp4(PACKET_SYN, 1000, 0, syn_options, sizeof(syn_options), 0);
	struct packet p;
	for (size_t i = 0; i < COUNT_OF(lens); i++) {
		struct bytes b = { .n = 12 };
		put(&b, types[i], lens[i]);
		size_t header = b.n;
		put(&b, syn.at, syn.n);
		CHECK(decode(&p, PACKET_ETHERNET, b.at, b.n, b.n));
		check_syn(&p);
		for (size_t n = 0; n < header + 20; n++)
			CHECK(!decode(&p, PACKET_ETHERNET, b.at, n, b.n));
		b.at[header - 1] = 6; /* 0x0806: ARP */
		CHECK(!decode(&p, PACKET_ETHERNET, b.at, b.n, b.n));
	}
}

static void test_sack(void)
{
	static const unsigned char options[] = { 1, 1, 5, 18, 0, 0, 0, 10, 0, 0, 0, 20, 0, 0, 0, 30, 0, 0, 0, 40 };
	struct packet p;
	struct bytes b = tcp4(PACKET_ACK, 1, 1, options, sizeof(options), 0);
	CHECK(decode(&p, PACKET_RAW, b.at, b.n, b.n));
	CHECK_INT(p.tcp.n_sack, 2);
	CHECK_INT(p.tcp.sack[0][0], 10);
	CHECK_INT(p.tcp.sack[0][1], 20);
	CHECK_INT(p.tcp.sack[1][0], 30);
	CHECK_INT(p.tcp.sack[1][1], 40);
}

/* Lengths of 0 and 1, one beyond the end, one that is wrong for its kind: what came before is kept, the rest ignored. */
static void test_damaged_options(void)
{
	static const unsigned char damaged[][8] = {
		{ 2, 4, 5, 0xb4, 3, 0, 7, 7 }, { 2, 4, 5, 0xb4, 3, 1, 7, 7 }, { 2, 4, 5, 0xb4, 3, 5, 7, 7 },
		{ 2, 4, 5, 0xb4, 3, 4, 7, 7 }, { 2, 4, 5, 0xb4, 0, 3, 3, 7 }, { 2, 4, 5, 0xb4, 1, 1, 1, 3 },
	};
	for (size_t i = 0; i < COUNT_OF(damaged); i++) {
		struct packet p;
		struct bytes b = tcp4(PACKET_SYN, 1, 0, damaged[i], 8, 0);
		CHECK(decode(&p, PACKET_RAW, b.at, b.n, b.n));
		CHECK_INT(p.tcp.mss, 1460);
		CHECK(!p.tcp.has_window_scale);
	}
}

static void test_no_ip(void)
{
	struct packet p;
	struct bytes b = tcp4(PACKET_SYN, 1, 0, NULL, 0, 0);
	CHECK(!decode(&p, PACKET_RAW, b.at, 0, 0));
	b.at[0] = 0x44; /* a header of 16 bytes */
	CHECK(!decode(&p, PACKET_RAW, b.at, b.n, b.n));
	b.at[0] = 0x55; /* version 5 */
	CHECK(!decode(&p, PACKET_RAW, b.at, b.n, b.n));
	b.at[0] = 0x4f; /* options of 40 bytes, of which 20 are there */
	CHECK(decode(&p, PACKET_RAW, b.at, b.n, b.n));
	CHECK(!p.has_header);
	b = tcp4(PACKET_SYN, 1, 0, NULL, 0, 0);
	b.at[32] = 4 << 4; /* TCP: a header of 16 bytes */
	CHECK(decode(&p, PACKET_RAW, b.at, b.n, b.n));
	CHECK(!p.has_header);
	b.at[32] = 6 << 4; /* longer than the packet */
	CHECK(decode(&p, PACKET_RAW, b.at, b.n, b.n));
	CHECK(!p.has_header);
}

static void test_udp_and_icmp(void)
{
	struct packet p;
	char text[PACKET_TEXT], ends[PACKET_ENDS_TEXT];
	struct bytes b = { .n = 0 };
	put_ipv4(&b, PACKET_UDP, 8 + 12);
	put_u16(&b, 53);
	put_u16(&b, 1024);
	put_u16(&b, 20);
	put_u16(&b, 0);
	b.n += 12;
	CHECK(packet_decode(&p, PACKET_RAW, b.at, 28, b.n));
	CHECK_INT(p.from.port, 53);
	CHECK_INT(p.payload_len, 12);
	CHECK_STR(packet_text(text, &p, NULL, 0, 0), "udp (12)");
	CHECK_STR(packet_ends_text(ends, &p), "10.0.0.1:53 > 10.0.0.2:1024");
	CHECK(decode(&p, PACKET_RAW, b.at, 27, b.n));
	CHECK(!p.has_header);

	b.n = 0;
	put_ipv6(&b, PACKET_ICMP6, 8);
	put_u32(&b, 0x01040000);
	put_u32(&b, 0);
	CHECK(packet_decode(&p, PACKET_RAW, b.at, b.n, b.n));
	CHECK_INT(p.icmp_type, 1);
	CHECK_INT(p.icmp_code, 4);
	CHECK_STR(packet_text(text, &p, NULL, 0, 0), "icmp type 1 code 4 (4)");
	CHECK_STR(packet_ends_text(ends, &p), "2001:db8::1 > 2001:db8::2");
}

/* Cut off anywhere, never read beyond, and what is there does not depend on what is missing. */
static void test_truncated(void)
{
	struct packet p;
	struct bytes b = tcp4(PACKET_SYN, 1000, 0, syn_options, sizeof(syn_options), 0);
	for (size_t n = 0; n <= b.n; n++) {
		CHECK_INT(decode(&p, PACKET_RAW, b.at, n, b.n), n >= 20);
		CHECK_INT(p.has_header, n >= 40);
		CHECK_INT(p.tcp.mss, n >= 44 ? 1460 : 0);
		CHECK_INT(p.tcp.has_timestamps, n >= 56);
		CHECK_INT(p.tcp.has_window_scale, n >= 60);
	}
}

/* A random packet that begins like one, so that it gets far. Always the same ones (rand(3) with its first seed). */
static void test_random(void)
{
	for (int i = 0; i < 200000; i++) {
		unsigned char bytes[160];
		struct packet p;
		size_t n = (size_t)rand() % sizeof(bytes);
		for (size_t k = 0; k < sizeof(bytes); k++)
			bytes[k] = (unsigned char)(rand() >> 7);
		bytes[0] = i % 2 ? 0x45 : 0x60;
		if (i % 8 == 0)
			bytes[0] = 0x40 | (bytes[0] & 0x0f);
		bytes[i % 2 ? 9 : 6] = (unsigned char)(i % 3 ? PACKET_TCP : i % 5 * 11);
		enum packet_link link = i % 4 == 3 ? PACKET_ETHERNET : PACKET_RAW;
		if (link == PACKET_ETHERNET)
			be16_put(bytes + 12, i % 16 == 3 ? 0x8100 : 0x0800);
		(void)decode(&p, link, bytes, n, n + (size_t)rand() % 100);
		CHECK(p.tcp.n_sack <= PACKET_SACK_BLOCKS);
		if (check_bad > 0)
			break;
	}
}

/* --- text ---------------------------------------------------------------------------------------------------------- */

struct exchange {
	struct packet_flow flow;
	char text[PACKET_TEXT];
};

static const char *say(struct exchange *e, unsigned direction, const struct bytes *b, unsigned how)
{
	struct packet p;
	CHECK(packet_decode(&p, PACKET_RAW, b->at, b->n, b->n));
	packet_flow_see(&e->flow, direction, &p);
	return packet_text(e->text, &p, &e->flow, direction, how);
}

static void test_text(void)
{
	struct exchange e = { 0 };
	const uint32_t here = 4294967290u, there = 7000;
	struct bytes b = tcp4(PACKET_SYN, here, 0, syn_options, sizeof(syn_options), 0);
	CHECK_STR(say(&e, 0, &b, 0), "S 0:0(0) win 512 <mss 1460,sackOK,wscale 7>");
	CHECK_STR(say(&e, 0, &b, PACKET_EVERYTHING),
		  "S 0:0(0) win 512 <mss 1460,sackOK,TS val 100 ecr 0,nop,wscale 7>");
	b = tcp4(PACKET_SYN | PACKET_ACK, there, here + 1, NULL, 0, 0);
	CHECK_STR(say(&e, 1, &b, 0), "S. 0:0(0) ack 1 win 512");
	b = tcp4(PACKET_ACK, here + 1, there + 1, NULL, 0, 0);
	CHECK_STR(say(&e, 0, &b, 0), ". 1:1(0) ack 1 win 512");
	b = tcp4(PACKET_ACK | PACKET_PSH, here + 1, there + 1, NULL, 0, 1000); /* over the end of the numbers */
	CHECK_STR(say(&e, 0, &b, 0), "P. 1:1001(1000) ack 1 win 512");
	unsigned char sack[12] = { 1, 1, 5, 10 };
	be32_put(sack + 4, here + 1001);
	be32_put(sack + 8, here + 2001);
	b = tcp4(PACKET_ACK, there + 1, here + 1, sack, sizeof(sack), 0);
	CHECK_STR(say(&e, 1, &b, 0), ". 1:1(0) ack 1 win 512 <sack 1001:2001>");
	b = tcp4(PACKET_FIN | PACKET_ACK, here + 1001, there + 1, NULL, 0, 0);
	CHECK_STR(say(&e, 0, &b, 0), "F. 1001:1001(0) ack 1 win 512");
	b = tcp4(PACKET_RST | PACKET_ACK, there + 1, here + 1002, NULL, 0, 0);
	CHECK_STR(say(&e, 1, &b, 0), "R. 1:1(0) ack 1002 win 512");
	b = tcp4(PACKET_URG | PACKET_ACK | PACKET_ECE | PACKET_CWR, here + 1001, there + 1, NULL, 0, 1);
	CHECK_STR(say(&e, 0, &b, 0), ".UEW 1001:1002(1) ack 1 win 512 urg 7");
	b = tcp4(0, here + 1001, there + 1, NULL, 0, 0);
	CHECK_STR(say(&e, 0, &b, 0), "- 1001:1001(0) win 512");

	/* the same ports again: counts from 0 again */
	b = tcp4(PACKET_SYN, 555, 0, NULL, 0, 0);
	CHECK_STR(say(&e, 0, &b, 0), "S 0:0(0) win 512");
	/* nobody listens: a reset without a number of its own */
	b = tcp4(PACKET_RST | PACKET_ACK, 0, 556, NULL, 0, 0);
	CHECK_STR(say(&e, 1, &b, 0), "R. 0:0(0) ack 1 win 512");
}

/* Where the beginning was missed the first segment counts as the first. */
static void test_text_of_the_middle(void)
{
	struct exchange e = { 0 };
	char text[PACKET_TEXT];
	struct packet p;
	struct bytes b = tcp4(PACKET_ACK, 5000, 9000, NULL, 0, 10);
	CHECK_STR(say(&e, 1, &b, 0), ". 1:11(10) ack 1 win 512");
	b = tcp4(PACKET_ACK, 9000, 5010, NULL, 0, 5);
	CHECK_STR(say(&e, 0, &b, 0), ". 1:6(5) ack 11 win 512");
	CHECK(packet_decode(&p, PACKET_RAW, b.at, b.n, b.n));
	CHECK_STR(packet_text(text, &p, NULL, 0, 0), ". 9000:9005(5) ack 5010 win 512");
}

/* --- pcap ---------------------------------------------------------------------------------------------------------- */

static void test_pcap(void)
{
	static const unsigned char want[] = { 0xa1, 0xb2, 0x3c, 0x4d, 0, 2, 0, 4, 0, 0, 0, 0,
					      0,    0,    0,    0,    0, 0, 1, 0, 0, 0, 0, 101 };
	static const unsigned char want_record[] = { 0x65, 0x9a, 0, 0,  0x3b, 0x9a, 0xc9, 0xff,
						     0,    0,    0, 40, 0,    0,    5,    0xdc };
	unsigned char header[PACKET_PCAP_HEADER], record[PACKET_PCAP_RECORD];
	packet_pcap_header(header, PACKET_RAW, 256);
	CHECK_INT(memcmp(header, want, sizeof(want)), 0);
	packet_pcap_record(record, INT64_C(0x659a0000) * 1000000000 + 999999999, 40, 1500);
	CHECK_INT(memcmp(record, want_record, sizeof(want_record)), 0);
}

int main(void)
{
	test_ipv4();
	test_ipv6();
	test_ipv6_extensions();
	test_ethernet();
	test_sack();
	test_damaged_options();
	test_no_ip();
	test_udp_and_icmp();
	test_truncated();
	test_random();
	test_text();
	test_text_of_the_middle();
	test_pcap();
	return check_done();
}
