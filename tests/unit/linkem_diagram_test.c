/* linkem_diagram_test.c - linkem's lines about packets: arrivals, losses, both directions, routers, many connections,
 * bytes that are no packet; and packets that were changed at random, through a lane with everything switched on, into
 * the diagram. */
#include "../../tools/linkem/diagram.h"

#include "../../tools/linkem/linkem.h"
#include "check.h"
#include "clock.h"
#include "prng.h"
#include "wire.h"

#include <stdlib.h>

#define MS UINT64_C(1000000)

static struct {
	char last[DIAGRAM_LINE + 1];
	size_t n;
	bool is_bad; /* a line was too long, had no newline at its end, or another byte than text */
} told;

static void on_line(void *owner, const char *line, size_t len)
{
	CHECK(owner == &told);
	told.n++;
	told.is_bad |= len == 0 || len >= DIAGRAM_LINE || line[len - 1] != '\n' || strlen(line) != len;
	for (size_t i = 0; i + 1 < len; i++)
		told.is_bad |= line[i] < ' ' || line[i] > '~';
	snprintf(told.last, sizeof(told.last), "%.*s", len > 0 ? (int)len - 1 : 0, line);
}

static void watch(struct diagram *d, bool has_router)
{
	memset(&told, 0, sizeof(told));
	*d = (struct diagram){ .tell = on_line, .owner = &told, .has_router = has_router };
}

/* --- packets ------------------------------------------------------------------------------------------------------ */

enum { IP_LEN = 20, TCP_LEN = 20, MAX_LEN = 1500 };

/* From a (client) to b, or back, of the nth connection; payload bytes are zero. The length. */
static size_t make_tcp(unsigned char *out, unsigned connection, bool is_back, uint8_t flags, uint32_t seq, uint32_t ack,
		       size_t payload_len)
{
	static const unsigned char a[] = { 10, 9, 1, 1 }, b[] = { 10, 9, 2, 1 };
	size_t len = IP_LEN + TCP_LEN + payload_len;
	unsigned client = 40000 + connection;
	memset(out, 0, len);
	out[0] = 0x45;
	be16_put(out + 2, (uint16_t)len);
	out[8] = 64;
	out[9] = PACKET_TCP;
	memcpy(out + 12, is_back ? b : a, 4);
	memcpy(out + 16, is_back ? a : b, 4);
	be16_put(out + 20, (uint16_t)(is_back ? 5001 : client));
	be16_put(out + 22, (uint16_t)(is_back ? client : 5001));
	be32_put(out + 24, seq);
	be32_put(out + 28, ack);
	out[32] = TCP_LEN / 4 << 4;
	out[33] = flags;
	be16_put(out + 34, 500);
	return len;
}

static struct lane_packet *packet_of(const unsigned char *bytes, size_t len, uint64_t offered_ns)
{
	struct lane_packet *p = lane_packet_new(len);
	memcpy(p->bytes, bytes, len);
	p->offered_ns = offered_ns;
	return p;
}

/* One that arrives; `is` is set beforehand. */
static void arrive(struct diagram *d, unsigned lane, const unsigned char *bytes, size_t len, uint64_t sent_ns,
		   uint64_t now_ns)
{
	struct lane_packet *p = packet_of(bytes, len, sent_ns);
	diagram_arrived(d, lane, p, now_ns);
	free(p);
}

/* --- tests -------------------------------------------------------------------------------------------------------- */

static void test_nobody_watches(void)
{
	unsigned char bytes[MAX_LEN];
	size_t len = make_tcp(bytes, 0, false, PACKET_SYN, 1000, 0, 0);
	struct diagram d = { 0 };
	memset(&told, 0, sizeof(told));
	arrive(&d, LANE_A2B, bytes, len, 5 * MS, 6 * MS);
	diagram_dropped(&d, LANE_A2B, bytes, len, LANE_LOSS, 6 * MS);
	CHECK_INT(told.n, 0);
	CHECK_INT(d.zero_ns, 0);
}

static void test_a_connection(void)
{
	unsigned char bytes[MAX_LEN];
	struct diagram d;
	watch(&d, false);
	size_t len = make_tcp(bytes, 0, false, PACKET_SYN, 1000, 0, 0);
	arrive(&d, LANE_A2B, bytes, len, 100 * MS, 110 * MS + 112000);
	CHECK_STR(told.last, "     0.000     10.112  a ---> b  40000 > 5001  S 0:0(0) win 500");
	len = make_tcp(bytes, 0, true, PACKET_SYN | PACKET_ACK, 4000000000u, 1001, 0);
	arrive(&d, LANE_B2A, bytes, len, 110 * MS + 155000, 120 * MS + 231000);
	CHECK_STR(told.last, "    10.155     20.231  a <--- b  5001 > 40000  S. 0:0(0) ack 1 win 500");
	len = make_tcp(bytes, 0, false, PACKET_ACK | PACKET_PSH, 1001, 4000000001u, 1000);
	diagram_dropped(&d, LANE_A2B, bytes, len, LANE_QUEUE, 120 * MS + 262000);
	CHECK_STR(told.last,
		  "    20.262          -  a --x  b  40000 > 5001  P. 1:1001(1000) ack 1 win 500  lost: queue");
	len = make_tcp(bytes, 0, true, PACKET_ACK, 4000000001u, 2001, 0);
	diagram_dropped(&d, LANE_B2A, bytes, len, LANE_DOWN, 121 * MS);
	CHECK_STR(told.last, "    21.000          -  a  x-- b  5001 > 40000  . 1:1(0) ack 1001 win 500  lost: down");
	CHECK(!told.is_bad);
}

static void test_each_reason_has_a_name(void)
{
	unsigned char bytes[MAX_LEN];
	size_t len = make_tcp(bytes, 0, false, PACKET_SYN, 1, 0, 0);
	struct diagram d;
	watch(&d, false);
	for (unsigned fate = LANE_LOSS; fate < LANE_FATES; fate++) {
		char want[32];
		diagram_dropped(&d, LANE_A2B, bytes, len, fate, MS);
		snprintf(want, sizeof(want), "  lost: %s", lane_fate_name(fate));
		size_t at = strlen(told.last) - strlen(want);
		CHECK_STR(told.last + at, want);
	}
}

static void test_routers(void)
{
	static const char *const arrows[LINKEM_LANES][2] = {
		{ "a ---> r", "a --x  r" },
		{ "a <--- r", "a  x-- r" },
		{ "r ---> b", "r --x  b" },
		{ "r <--- b", "r  x-- b" },
	};
	unsigned char bytes[MAX_LEN];
	struct diagram d;
	watch(&d, true);
	size_t len = make_tcp(bytes, 0, false, PACKET_SYN, 1, 0, 0);
	for (unsigned lane = 0; lane < LINKEM_LANES; lane++) {
		arrive(&d, lane, bytes, len, MS, 2 * MS);
		CHECK(strstr(told.last, arrows[lane][0]) != NULL);
		diagram_dropped(&d, lane, bytes, len, LANE_LOSS, 2 * MS);
		CHECK(strstr(told.last, arrows[lane][1]) != NULL);
	}
}

static void test_remarks(void)
{
	unsigned char bytes[MAX_LEN];
	struct diagram d;
	watch(&d, false);
	size_t len = make_tcp(bytes, 0, false, PACKET_SYN, 1, 0, 0);
	struct lane_packet *p = packet_of(bytes, len, MS);
	p->is_copy = p->is_marked = p->is_corrupted = p->is_held = true;
	diagram_arrived(&d, LANE_A2B, p, 2 * MS);
	CHECK_STR(told.last,
		  "     0.000      1.000  a ---> b  40000 > 5001  S 0:0(0) win 500  copy  marked  changed  held back");
	free(p);
}

static void test_bytes_that_are_no_packet(void)
{
	static const unsigned char bytes[] = { 0x15, 1, 2, 3 };
	struct diagram d;
	watch(&d, false);
	arrive(&d, LANE_A2B, bytes, sizeof(bytes), MS, 2 * MS);
	CHECK_STR(told.last, "     0.000      1.000  a ---> b  not IP");
	arrive(&d, LANE_B2A, bytes, 0, 3 * MS, 4 * MS);
	CHECK_STR(told.last, "     2.000      3.000  a <--- b  not IP");
	diagram_dropped(&d, LANE_B2A, bytes, 1, LANE_LOSS, 4 * MS);
	CHECK_STR(told.last, "     3.000          -  a  x-- b  not IP  lost: loss");
}

/* Each remembers where its numbers begin, until more others than there is room for have been seen since. */
static void test_many_connections(void)
{
	unsigned char bytes[MAX_LEN];
	struct diagram d;
	watch(&d, false);
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < DIAGRAM_FLOWS; i++) {
			char want[32];
			uint8_t flags = round == 0 ? PACKET_SYN : PACKET_ACK;
			size_t len = make_tcp(bytes, i, false, flags, 7000 * i + round, 0, round == 0 ? 0 : 10);
			arrive(&d, LANE_A2B, bytes, len, MS, 2 * MS);
			snprintf(want, sizeof(want), "%s %u:%u(", round == 0 ? "S" : ".", round,
				 round == 0 ? 0 : round + 10);
			if (!CHECK(strstr(told.last, want) != NULL))
				fprintf(stderr, "    %s\n", told.last);
		}
	}
	/* One more: the first makes room. It begins to count anew, and that pushes out the second; the last is still
	 * known. */
	size_t len = make_tcp(bytes, DIAGRAM_FLOWS, false, PACKET_SYN, 5, 0, 0);
	arrive(&d, LANE_A2B, bytes, len, MS, 2 * MS);
	len = make_tcp(bytes, DIAGRAM_FLOWS - 1, false, PACKET_ACK, 7000 * (DIAGRAM_FLOWS - 1) + 500, 0, 10);
	arrive(&d, LANE_A2B, bytes, len, MS, 2 * MS);
	CHECK(strstr(told.last, ". 500:510(10)") != NULL);
	len = make_tcp(bytes, 0, false, PACKET_ACK, 500, 0, 10);
	arrive(&d, LANE_A2B, bytes, len, MS, 2 * MS);
	CHECK(strstr(told.last, ". 1:11(10)") != NULL);
	CHECK(!told.is_bad);
}

/* --- anything, through a lane ------------------------------------------------------------------------------------- */

/* A packet as it should be, with a few bytes changed, or cut off; or nothing but chance. */
static size_t make_anything(unsigned char *out, uint64_t luck)
{
	size_t len = make_tcp(out, (unsigned)(luck >> 8) % 100, luck & 1, (uint8_t)(luck >> 16), (uint32_t)(luck >> 24),
			      (uint32_t)(luck >> 32), (size_t)(luck >> 3) % 200);
	uint64_t kind = prng_word(luck, 1) % 4;
	if (kind == 0)
		len = (size_t)(prng_word(luck, 2) % 200);
	for (size_t i = 0; kind == 0 && i < len; i++)
		out[i] = (unsigned char)prng_word(luck, 10 + i);
	for (unsigned i = 0; kind == 1 && i < 4; i++)
		out[prng_word(luck, 300 + i) % 60 % len] = (unsigned char)prng_word(luck, 400 + i);
	if (kind == 1 && (luck & 2))
		out[0] = 0x60; /* as if it were IPv6 */
	if (kind == 2)
		len = (size_t)(prng_word(luck, 3) % len);
	return len;
}

static void receive_all(struct lane *l, struct diagram *d, uint64_t now_ns)
{
	struct lane_packet *p;
	while ((p = lane_receive(l, now_ns)) != NULL) {
		diagram_arrived(d, l->number, p, now_ns);
		free(p);
	}
}

/* Of exactly its length, so that the address sanitizer sees what is read or changed behind it. */
static size_t send_anything(struct lane *l, struct diagram *d, uint64_t luck, uint64_t now_ns)
{
	unsigned char bytes[MAX_LEN];
	size_t len = make_anything(bytes, luck);
	struct lane_packet *p = packet_of(bytes, len, 0);
	enum lane_fate fate = lane_send(l, p, now_ns);
	if (fate != LANE_PASSED)
		diagram_dropped(d, l->number, bytes, len, fate, now_ns);
	return fate != LANE_PASSED;
}

static void run_anything(const char *text, uint64_t seed)
{
	enum { N = 20000 };
	char why[SPEC_WHY];
	struct spec s = spec_default();
	struct diagram d;
	struct lane l;
	uint64_t now_ns = MS, dropped = 0;
	if (!CHECK(spec_apply(&s, text, why)))
		fprintf(stderr, "    %s\n", why);
	watch(&d, seed & 1);
	lane_open(&l, &s, LANE_A2B);
	size_t n_dropped = 0;
	for (unsigned i = 0; i < N; i++, now_ns += 100000) {
		n_dropped += send_anything(&l, &d, prng_word(seed, i), now_ns);
		receive_all(&l, &d, now_ns);
	}
	receive_all(&l, &d, now_ns + 3600 * UINT64_C(1000) * MS);
	for (unsigned i = LANE_LOSS; i < LANE_FATES; i++)
		dropped += l.stats.dropped[i];
	CHECK_INT(l.stats.offered_packets, N);
	CHECK_INT(l.stats.offered_packets + l.stats.duplicated, l.stats.packets + dropped);
	CHECK_INT(told.n, l.stats.packets + n_dropped);
	CHECK_INT(l.stats.queue_len + l.stats.on_wire_len, 0);
	CHECK(!told.is_bad);
	lane_close(&l);
}

int main(void)
{
	test_nobody_watches();
	test_a_connection();
	test_each_reason_has_a_name();
	test_routers();
	test_remarks();
	test_bytes_that_are_no_packet();
	test_many_connections();
	run_anything("corrupt=100%", 1);
	run_anything("swap=100%", 2);
	run_anything(
		"delay=2ms,jitter=3ms,loss=5%,burst=3,dup=20%,reorder=10%:4ms,corrupt=50%,swap=50%,drop=data:9,every=31",
		3);
	run_anything("rate=8mbit,queue=8K,ecn,dup=30%,corrupt=20%", 4);
	run_anything("rate=4mbit,queue=20K,red,delay=1ms,blackhole=200,ge=1%:20%:90%:1%", 5);
	run_anything("drop=fin:40,delay=1s", 6);
	return check_done();
}
