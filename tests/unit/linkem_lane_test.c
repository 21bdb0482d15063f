/* linkem_lane_test.c - a link in a time that the test makes up: exact rates and delays, each kind of misfortune and
 * its share, what a change does to packets that are under way, and random operations, throughout which no packet
 * may get lost without a reason. */
#include "../../tools/linkem/lane.h"

#include "cdefs.h"
#include "check.h"
#include "clock.h"
#include "packet.h"
#include "prng.h"
#include "wire.h"

#include <math.h>
#include <stdlib.h>

static const uint64_t start = 1000000000000, ms = NS_PER_MS, second = NS_PER_S; /* of the monotonic clock */

static struct lane lane;

static struct spec spec_of(const char *text)
{
	struct spec s = spec_default();
	char why[SPEC_WHY] = "";
	if (text[0] != '\0' && !CHECK(spec_apply(&s, text, why)))
		fprintf(stderr, "    %s\n", why);
	return s;
}

static void open_lane(const char *text)
{
	struct spec s = spec_of(text);
	lane_open(&lane, &s, 0);
}

/* As `linkem set` does it. */
static void change(const char *text, uint64_t rtt_ns, uint64_t now_ns)
{
	struct spec s = lane.spec;
	char why[SPEC_WHY] = "";
	if (!CHECK(spec_apply(&s, text, why)))
		fprintf(stderr, "    %s\n", why);
	lane_change(&lane, &s, rtt_ns, now_ns);
}

/* No packet gets lost without a reason, and the levels are what lies there. */
static bool check_balance(void)
{
	const struct lane_stats *s = &lane.stats;
	uint64_t dropped = 0;
	for (size_t i = 0; i < LANE_FATES; i++)
		dropped += s->dropped[i];
	return CHECK_INT(s->offered_packets + s->duplicated,
			 s->packets + dropped + lane.queue.n + lane.wire.n + lane.held.n) &&
	       CHECK_INT(s->dropped[LANE_PASSED], 0) && CHECK_INT(s->queue_len, lane.queue.len) &&
	       CHECK_INT(s->queue_packets, lane.queue.n) && CHECK_INT(s->on_wire_len, lane.wire.len + lane.held.len) &&
	       CHECK(s->queue_peak_len >= s->queue_len);
}

static void close_lane(void)
{
	check_balance();
	lane_close(&lane);
	CHECK(lane.queue.first == NULL && lane.wire.last == NULL && lane.held.last == NULL &&
	      lane.stats.on_wire_len == 0);
}

/* --- packets ------------------------------------------------------------------------------------------------------ */

/* Not IP: only its length counts. */
static struct lane_packet *blank(size_t len)
{
	struct lane_packet *p = lane_packet_new(len);
	memset(p->bytes, 0, len);
	return p;
}

static enum lane_fate send_blank(size_t len, uint64_t now_ns)
{
	return lane_send(&lane, blank(len), now_ns);
}

/* The sum of RFC 1071, folded; a range with its checksum in it sums up to 0xffff. */
static uint32_t sum_of(uint32_t sum, const unsigned char *at, size_t len)
{
	for (size_t i = 0; i + 1 < len; i += 2)
		sum += be16_get(at + i);
	if (len % 2)
		sum += (uint32_t)at[len - 1] << 8;
	while (sum > 0xffff)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

struct shape {
	unsigned version, protocol, flags, ecn;
	size_t options_len, payload_len; /* options: of TCP */
};

static size_t ip_len(const struct shape *h)
{
	return h->version == 4 ? 20 : 40;
}

static size_t transport_len(const struct shape *h)
{
	return h->protocol == PACKET_TCP ? 20 + h->options_len : 8;
}

static uint32_t transport_sum(const struct lane_packet *p, const struct shape *h)
{
	size_t at = ip_len(h), len = p->len - at;
	uint32_t pseudo = (uint32_t)(h->protocol + len); /* RFC 9293 3.1, RFC 8200 8.1 */
	pseudo = h->version == 4 ? sum_of(pseudo, p->bytes + 12, 8) : sum_of(pseudo, p->bytes + 8, 32);
	return sum_of(pseudo, p->bytes + at, len);
}

static void put_ip(unsigned char *b, const struct shape *h, size_t len)
{
	if (h->version == 6) {
		be32_put(b, 6u << 28 | h->ecn << 20 | 0x12345);
		be16_put(b + 4, (uint16_t)(len - 40));
		b[6] = (unsigned char)h->protocol;
		b[7] = 64;
		b[8 + 15] = 1;
		b[24 + 15] = 2;
		return;
	}
	be16_put(b, (uint16_t)(0x4500 | 0xb8 | h->ecn));
	be16_put(b + 2, (uint16_t)len);
	b[8] = 64;
	b[9] = (unsigned char)h->protocol;
	be32_put(b + 12, 0x0a090101);
	be32_put(b + 16, 0x0a090201);
	be16_put(b + 10, (uint16_t)~sum_of(0, b, 20));
}

/* With right checksums; the payload is the seed's. */
static struct lane_packet *make(const struct shape *h, uint64_t seed)
{
	size_t at = ip_len(h), header = transport_len(h), len = at + header + h->payload_len;
	struct lane_packet *p = blank(len);
	put_ip(p->bytes, h, len);
	be16_put(p->bytes + at, 40000);
	be16_put(p->bytes + at + 2, 5001);
	prng_fill(seed, 0, p->bytes + at + header, h->payload_len);
	if (h->protocol == PACKET_TCP) {
		p->bytes[at + 12] = (unsigned char)(header / 4 << 4);
		p->bytes[at + 13] = (unsigned char)h->flags;
		memset(p->bytes + at + 20, 1, h->options_len);
		be16_put(p->bytes + at + 16, (uint16_t)~transport_sum(p, h));
	} else {
		be16_put(p->bytes + at + 4, (uint16_t)(header + h->payload_len));
		be16_put(p->bytes + at + 6, (uint16_t)~transport_sum(p, h));
	}
	return p;
}

static const struct shape shapes[] = {
	{ 4, PACKET_TCP, PACKET_ACK, 0, 0, 1000 }, { 4, PACKET_TCP, PACKET_ACK, 1, 12, 999 },
	{ 6, PACKET_TCP, PACKET_ACK, 2, 12, 777 }, { 6, PACKET_TCP, PACKET_ACK, 0, 0, 4 },
	{ 4, PACKET_UDP, 0, 0, 0, 500 },           { 6, PACKET_UDP, 0, 0, 0, 31 },
};

/* --- the perfect link, delay, jitter ------------------------------------------------------------------------------ */

static void test_perfect(void)
{
	open_lane("");
	CHECK(lane_next_ns(&lane) == CLK_NEVER);
	CHECK(lane_receive(&lane, start) == NULL);
	for (size_t i = 0; i < 100; i++)
		CHECK_INT(send_blank(i, start), LANE_PASSED);
	CHECK_INT(lane_next_ns(&lane), start);
	for (size_t i = 0; i < 100; i++) {
		struct lane_packet *p = lane_receive(&lane, start);
		if (!CHECK(p != NULL))
			return;
		CHECK(p->len == i && p->number == i + 1 && p->due_ns == start && p->offered_ns == start);
		free(p);
	}
	CHECK(lane_receive(&lane, start) == NULL);
	CHECK_INT(lane.stats.bytes, 99 * 100 / 2);
	CHECK_INT(lane.stats.queue_peak_len, 0);
	close_lane();
}

/* The next to arrive, which is due then and not a nanosecond before. */
static bool arrives_at(uint64_t due_ns, size_t len)
{
	if (!CHECK(lane_receive(&lane, due_ns - 1) == NULL))
		return false;
	struct lane_packet *p = lane_receive(&lane, due_ns);
	bool is_right = CHECK(p != NULL) && CHECK_INT(p->due_ns, due_ns) && CHECK_INT(p->len, len);
	free(p);
	return is_right;
}

static void test_delay(void)
{
	open_lane("delay=10ms");
	send_blank(1, start);
	send_blank(2, start + 3);
	CHECK_INT(lane.stats.on_wire_len, 3);
	CHECK_INT(lane_next_ns(&lane), start + 10 * ms);
	arrives_at(start + 10 * ms, 1);
	CHECK_INT(lane_next_ns(&lane), start + 10 * ms + 3);
	arrives_at(start + 10 * ms + 3, 2);
	close_lane();
}

static void test_new_delay(void)
{
	open_lane("delay=10ms");
	send_blank(1, start);
	change("delay=2ms", 0, start + ms);
	send_blank(2, start + ms); /* may not overtake */
	change("delay=20ms", 0, start + 2 * ms);
	send_blank(3, start + 2 * ms);
	arrives_at(start + 10 * ms, 1);
	CHECK_INT(lane_next_ns(&lane), start + 10 * ms);
	struct lane_packet *p = lane_receive(&lane, start + 10 * ms);
	CHECK(p != NULL && p->len == 2);
	free(p);
	arrives_at(start + 22 * ms, 3);
	close_lane();
}

/* How late the packets are, one every `gap_ns`: the least, the most, the mean; false if one overtook another. */
static bool measure_delay(uint64_t gap_ns, uint64_t n, uint64_t *least, uint64_t *most, double *mean)
{
	uint64_t last = 0, sum = 0;
	*least = UINT64_MAX;
	*most = 0;
	for (uint64_t i = 0; i < n; i++)
		send_blank(100, start + i * gap_ns);
	for (uint64_t i = 0; i < n; i++) {
		struct lane_packet *p = lane_receive(&lane, start + 1000 * second);
		uint64_t late = p->due_ns - p->offered_ns;
		bool is_in_order = p->due_ns >= last && p->number == i + 1;
		last = p->due_ns;
		free(p);
		if (!is_in_order)
			return false;
		sum += late;
		*least = late < *least ? late : *least;
		*most = late > *most ? late : *most;
	}
	*mean = (double)sum / (double)n;
	return true;
}

static void test_jitter(void)
{
	uint64_t least, most;
	double mean;
	open_lane("delay=10ms,jitter=3ms");
	CHECK(measure_delay(7 * ms, 20000, &least, &most, &mean)); /* too far apart to meet */
	CHECK(least >= 7 * ms && least < 7 * ms + 5000);
	CHECK(most <= 13 * ms && most > 13 * ms - 5000);
	CHECK(fabs(mean - 10e6) < 4 * 3e6 / sqrt(3 * 20000.));
	close_lane();

	open_lane("delay=10ms,jitter=3ms");
	CHECK(measure_delay(1000, 5000, &least, &most, &mean)); /* close together: they keep their order */
	CHECK(least >= 7 * ms && most <= 13 * ms);
	close_lane();

	open_lane("delay=1ms,jitter=3ms"); /* what would be negative is nothing */
	CHECK(measure_delay(7 * ms, 5000, &least, &most, &mean));
	CHECK(least == 0 && most <= 4 * ms && most > 3900000);
	close_lane();
}

/* --- rate --------------------------------------------------------------------------------------------------------- */

/* A backlog leaves at exactly the rate, whether somebody looks at each packet or once at the end. */
static void check_rate(uint64_t rate_Bps, size_t len, uint64_t n, bool is_prompt)
{
	struct spec s = spec_default();
	s.rate_Bps = rate_Bps;
	s.queue_len = n * len;
	s.delay_ns = 5;
	lane_open(&lane, &s, 0);
	for (uint64_t i = 0; i < n; i++)
		send_blank(len, start);
	for (uint64_t i = 1; i <= n; i++) {
		uint64_t due = start + i * len * second / rate_Bps + 5;
		struct lane_packet *p = lane_receive(&lane,
						     is_prompt ? due : start + n * len * second / rate_Bps + second);
		if (!CHECK(p != NULL && p->due_ns == due)) {
			fprintf(stderr, "    rate %" PRIu64 ", packet %" PRIu64 "\n", rate_Bps, i);
			free(p);
			break;
		}
		free(p);
	}
	close_lane();
}

static void test_exact_rates(void)
{
	static const uint64_t rates_Bps[] = { 1, 3, 999, 1250000, 7777777, 125000000, 999999937, 12345678901 };
	for (size_t i = 0; i < COUNT_OF(rates_Bps); i++) {
		check_rate(rates_Bps[i], 1500, 500, true);
		check_rate(rates_Bps[i], 1500, 500, false);
		check_rate(rates_Bps[i], 65535, 10, true);
		check_rate(rates_Bps[i], 1, 100, false);
	}
}

/* After a gap the transmitter begins when the packet comes; a packet that comes while it works waits for its end. */
static void test_idle_transmitter(void)
{
	open_lane("rate=3B/s,delay=1ms,queue=1G");
	send_blank(1, start);
	arrives_at(start + second / 3 + ms, 1);
	send_blank(1, start + second);
	send_blank(1, start + second + second / 6);
	CHECK_INT(lane_next_ns(&lane), start + second + second / 3 + ms);
	arrives_at(start + second + second / 3 + ms, 1);
	arrives_at(start + second + 2 * second / 3 + ms, 1);
	close_lane();
}

/* One that comes at the very moment the transmitter ends loses nothing of the rounding. */
static void test_back_to_back(void)
{
	open_lane("rate=3B/s");
	for (uint64_t i = 0; i < 300; i++)
		send_blank(1, start + i * second / 3);
	for (uint64_t i = 1; i <= 300; i++)
		if (!arrives_at(start + i * second / 3, 1))
			break;
	close_lane();
}

static void test_empty_packets(void)
{
	open_lane("rate=8bit,delay=1ms");
	for (int i = 0; i < 3; i++)
		send_blank(0, start);
	send_blank(1, start);
	for (int i = 0; i < 3; i++) {
		struct lane_packet *p = lane_receive(&lane, start + ms);
		CHECK(p != NULL && p->due_ns == start + ms);
		free(p);
	}
	arrives_at(start + second + ms, 1);
	close_lane();
}

static void test_new_rate(void)
{
	open_lane("rate=1kB/s,queue=1M,delay=1ms");
	for (int i = 0; i < 3; i++)
		send_blank(1000, start);
	change("rate=5kB/s", 0, start + 250 * ms); /* 750 bytes are left of the first: 150 ms */
	CHECK_INT(lane_next_ns(&lane), start + 401 * ms);
	arrives_at(start + 401 * ms, 1000);
	CHECK_INT(lane_next_ns(&lane), start + 601 * ms);
	change("rate=500B/s", 0, start + 600 * ms); /* the second has just left */
	arrives_at(start + 601 * ms, 1000);
	arrives_at(start + 2601 * ms, 1000);
	close_lane();
}

/* However often it changes to and fro, no time is gained or lost. */
static void test_rate_to_and_fro(void)
{
	open_lane("rate=999983B/s,queue=10M");
	for (int i = 0; i < 1000; i++)
		send_blank(1500, start);
	for (uint64_t i = 1; i <= 1000; i++)
		change(i % 2 ? "rate=1999966B/s" : "rate=999983B/s", 0, start + i * ms);
	while (lane.queue.first != NULL)
		free(lane_receive(&lane, lane_next_ns(&lane)));
	/* In the first second 1.5 times the rate on average; what is left of 1500000 bytes goes at the slow one. */
	double want = 1e9 + (1500000 - 1.5 * 999983) / 999983 * 1e9;
	CHECK(fabs((double)(lane.sent_until_ns - start) - want) < 10);
	close_lane();
}

static void test_rate_none(void)
{
	open_lane("rate=1kB/s,queue=1M,delay=1ms");
	for (size_t i = 1; i <= 5; i++)
		send_blank(i * 100, start);
	CHECK_INT(lane.stats.queue_packets, 5);
	change("rate=none", 0, start + second / 5); /* the first has left 0.1 s ago */
	CHECK_INT(lane.stats.queue_packets, 0);
	CHECK_INT(lane.stats.on_wire_len, 1500);
	struct lane_packet *p = lane_receive(&lane, start + second / 5);
	CHECK(p != NULL && p->due_ns == start + second / 10 + ms && p->len == 100);
	free(p);
	for (size_t i = 2; i <= 5; i++) {
		CHECK_INT(lane_next_ns(&lane), start + second / 5 + ms);
		p = lane_receive(&lane, start + second / 5 + ms);
		CHECK(p != NULL && p->len == i * 100);
		free(p);
	}
	change("rate=1kB/s", 0, start + second); /* a rate again: the transmitter is free */
	send_blank(1000, start + second);
	arrives_at(start + 2 * second + ms, 1000);
	close_lane();
}

/* --- the queue ---------------------------------------------------------------------------------------------------- */

static void test_tail_drop(void)
{
	open_lane("rate=1kB/s,queue=3000");
	CHECK_INT(send_blank(1000, start), LANE_PASSED); /* on the transmitter, and counts */
	CHECK_INT(send_blank(1500, start), LANE_PASSED);
	CHECK_INT(send_blank(501, start), LANE_QUEUE);
	CHECK_INT(send_blank(500, start), LANE_PASSED);
	CHECK_INT(send_blank(1, start), LANE_QUEUE);
	CHECK_INT(send_blank(0, start), LANE_PASSED);
	CHECK_INT(send_blank(1000, start + second - 1), LANE_QUEUE);
	CHECK_INT(send_blank(1000, start + second), LANE_PASSED); /* the first has just left */
	CHECK_INT(lane.stats.dropped[LANE_QUEUE], 3);
	CHECK_INT(lane_take_peak(&lane), 3000);
	free(lane_receive(&lane, start + second + second * 3 / 2));
	CHECK_INT(lane.stats.queue_len, 1500);
	CHECK_INT(lane_take_peak(&lane), 3000); /* that was at the beginning */
	CHECK_INT(lane_take_peak(&lane), 1500);
	close_lane();
}

static void test_empty_queue_takes_any(void)
{
	open_lane("rate=1MB/s,queue=100");
	CHECK_INT(send_blank(65535, start), LANE_PASSED);
	CHECK_INT(send_blank(1, start), LANE_QUEUE);
	CHECK_INT(send_blank(65535, start + 65535 * 1000), LANE_PASSED);
	close_lane();
}

static void test_queue_limit(void)
{
	struct spec s = spec_of("rate=10mbit,delay=10ms");
	lane_open(&lane, &s, 0);
	CHECK_INT(lane.limit_len, 65536);
	lane_change(&lane, &lane.spec, second, start); /* only the other direction became slower */
	CHECK_INT(lane.limit_len, 1250000);
	change("rate=1mbit", second, start);
	CHECK_INT(lane.limit_len, 125000);
	change("queue=1000", second, start);
	CHECK_INT(lane.limit_len, 1000);
	change("queue=auto,rate=8000gbit", 120 * second, start);
	CHECK_INT(lane.limit_len, INT64_C(120000000000000));
	close_lane();
	s = spec_of("rate=100mbit,delay=10ms");
	lane_open(&lane, &s, 0);
	CHECK_INT(lane.limit_len, 250000);
	close_lane();
}

static void test_shorter_queue_keeps(void)
{
	open_lane("rate=1kB/s,queue=5000");
	for (int i = 0; i < 5; i++)
		send_blank(1000, start);
	change("queue=2000", 0, start);
	CHECK_INT(lane.stats.queue_packets, 5);
	CHECK_INT(send_blank(1, start), LANE_QUEUE);
	CHECK_INT(send_blank(1000, start + 4 * second), LANE_PASSED);
	CHECK_INT(send_blank(1, start + 4 * second), LANE_QUEUE);
	close_lane();
}

/* --- loss --------------------------------------------------------------------------------------------------------- */

static bool is_within_4_sigma(uint64_t got, uint64_t n, double share)
{
	double mean = (double)n * share;
	return fabs((double)got - mean) <= 4 * sqrt(mean * (1 - share)) + 1e-9;
}

static uint64_t offer(uint64_t n)
{
	for (uint64_t i = 0; i < n; i++) {
		send_blank(100, start + i);
		free(lane_receive(&lane, start + i));
	}
	return lane.stats.dropped[LANE_LOSS];
}

static void test_loss(void)
{
	static const double shares[] = { 0, 0.0001, 0.01, 0.05, 0.3, 0.5, 0.99, 1 };
	for (size_t i = 0; i < COUNT_OF(shares); i++) {
		struct spec s = spec_default();
		s.loss = shares[i];
		lane_open(&lane, &s, 3);
		uint64_t lost = offer(100000);
		if (!CHECK(is_within_4_sigma(lost, 100000, shares[i])))
			fprintf(stderr, "    %g: %" PRIu64 " lost\n", shares[i], lost);
		close_lane();
	}
}

/* The share that is lost, and how many in a row. */
static void measure_bursts(const char *text, double *share, double *mean)
{
	uint64_t n = 400000, lost = 0, bursts = 0;
	bool was_lost = false;
	open_lane(text);
	for (uint64_t i = 0; i < n; i++) {
		bool is_lost = send_blank(100, start + i) == LANE_LOSS;
		free(lane_receive(&lane, start + i));
		lost += is_lost;
		bursts += is_lost && !was_lost;
		was_lost = is_lost;
	}
	*share = (double)lost / (double)n;
	*mean = (double)lost / (double)bursts;
	close_lane();
}

static void test_bursts(void)
{
	double share, mean;
	measure_bursts("loss=2%,burst=10", &share, &mean);
	CHECK(share > 0.0175 && share < 0.0225 && mean > 9 && mean < 11);
	measure_bursts("loss=20%,burst=3", &share, &mean);
	CHECK(share > 0.195 && share < 0.205 && mean > 2.9 && mean < 3.1);
	measure_bursts("loss=5%,burst=1", &share, &mean);
	CHECK(share > 0.048 && share < 0.052 && mean == 1);
	measure_bursts("loss=20%", &share, &mean); /* independent: 1 / (1 - P) in a row */
	CHECK(share > 0.197 && share < 0.203 && mean > 1.24 && mean < 1.26);
	measure_bursts("ge=5%:20%", &share, &mean);
	CHECK(share > 0.19 && share < 0.21 && mean > 4.8 && mean < 5.2);
	measure_bursts("ge=5%:20%:50%:1%", &share, &mean); /* a fifth of the time bad */
	CHECK(share > 0.2 * 0.5 + 0.8 * 0.01 - 0.006 && share < 0.2 * 0.5 + 0.8 * 0.01 + 0.006);
	measure_bursts("loss=100%,burst=4", &share, &mean);
	CHECK(share == 1);
}

/* --- the same luck ------------------------------------------------------------------------------------------------ */

enum { WATCHED = 5000 };

/* What the link does to WATCHED packets: their fates, and how late those came that arrived (0: they did not). */
static void watch(const char *text, unsigned number, unsigned char fates[WATCHED], uint64_t late_ns[WATCHED])
{
	struct spec s = spec_of(text);
	lane_open(&lane, &s, number);
	memset(late_ns, 0, WATCHED * sizeof(late_ns[0]));
	for (uint64_t i = 0; i < WATCHED; i++) {
		uint64_t now = start + i * 20 * ms;
		fates[i] = (unsigned char)send_blank(100, now);
		for (struct lane_packet *p; (p = lane_receive(&lane, now + 19 * ms)) != NULL; free(p))
			if (!p->is_copy)
				late_ns[i] = p->due_ns - now;
	}
	close_lane();
}

static void test_same_seed_same_fate(void)
{
	static unsigned char fates[2][WATCHED];
	static uint64_t late_ns[2][WATCHED];
	static const char *const others[] = {
		"loss=10%",
		"loss=10%,jitter=3ms,delay=5ms",
		"loss=10%,dup=30%,corrupt=20%",
		"loss=10%,swap=5%,reorder=50%",
		"rate=100mbit,red,loss=10%",
		"loss=10%,rate=1mbit,seed=1",
	};
	watch("loss=10%", 0, fates[0], late_ns[0]);
	for (size_t i = 0; i < COUNT_OF(others); i++) {
		watch(others[i], 0, fates[1], late_ns[1]);
		CHECK_INT(memcmp(fates[0], fates[1], sizeof(fates[0])), 0);
	}
	watch("loss=10%,burst=3", 0, fates[0], late_ns[0]);
	watch("loss=10%,burst=3,dup=30%,jitter=1ms,every=7,blackhole=1000", 0, fates[1], late_ns[1]);
	for (uint64_t i = 0; i < WATCHED; i++)
		if (!CHECK_INT(fates[1][i], (i + 1) % 7 == 0 ? LANE_CHOSEN : fates[0][i]))
			break;

	watch("delay=5ms,jitter=3ms", 0, fates[0], late_ns[0]);
	watch("delay=5ms,jitter=3ms,loss=20%,dup=10%", 0, fates[1], late_ns[1]);
	for (size_t i = 0; i < WATCHED; i++)
		if (!CHECK(late_ns[1][i] == (fates[1][i] == LANE_PASSED ? late_ns[0][i] : 0)))
			break;
}

static size_t count_both(const unsigned char *a, const unsigned char *b)
{
	size_t n = 0;
	for (size_t i = 0; i < WATCHED; i++)
		n += a[i] == LANE_LOSS && b[i] == LANE_LOSS;
	return n;
}

/* Two directions, or two seeds: both lose a packet as often as chance has it. */
static void test_luck_differs(void)
{
	static unsigned char fates[4][WATCHED];
	static uint64_t late_ns[WATCHED];
	watch("loss=30%", 0, fates[0], late_ns);
	watch("loss=30%", 1, fates[1], late_ns);
	watch("loss=30%,seed=2", 0, fates[2], late_ns);
	watch("loss=30%,seed=2", 1, fates[3], late_ns);
	for (size_t a = 0; a < 4; a++)
		for (size_t b = a + 1; b < 4; b++)
			CHECK(is_within_4_sigma(count_both(fates[a], fates[b]), WATCHED, 0.09));
}

/* A seed that is said again begins again; another change does not touch it. */
static void test_seed_again(void)
{
	enum lane_fate fates[3][300];
	open_lane("loss=30%,burst=2,seed=5");
	for (size_t round = 0; round < 3; round++) {
		for (size_t i = 0; i < 300; i++) {
			fates[round][i] = send_blank(100, start);
			if (i == 150)
				change("delay=1ms", 0, start);
		}
		if (round == 0)
			change("seed=5", 0, start);
	}
	CHECK_INT(memcmp(fates[0], fates[1], sizeof(fates[0])), 0);
	CHECK(memcmp(fates[0], fates[2], sizeof(fates[0])) != 0);
	close_lane();
}

/* --- chosen, black hole ------------------------------------------------------------------------------------------- */

static void test_every(void)
{
	open_lane("every=3");
	for (uint64_t i = 1; i <= 30; i++)
		CHECK_INT(send_blank(10, start), i % 3 == 0 ? LANE_CHOSEN : LANE_PASSED);
	CHECK_INT(lane.stats.dropped[LANE_CHOSEN], 10);
	close_lane();
}

static enum lane_fate send_shape(const struct shape *h)
{
	return lane_send(&lane, make(h, 1), start);
}

/* One of each, in the order of enum spec_kind from SPEC_SYN on, and then those that are none of them. */
static const struct shape kinds[] = {
	{ 4, PACKET_TCP, PACKET_SYN, 0, 20, 0 },
	{ 6, PACKET_TCP, PACKET_SYN | PACKET_ACK, 0, 20, 0 },
	{ 4, PACKET_TCP, PACKET_ACK | PACKET_PSH, 0, 12, 1 },
	{ 6, PACKET_TCP, PACKET_ACK | PACKET_ECE, 0, 12, 0 },
	{ 4, PACKET_TCP, PACKET_FIN | PACKET_ACK, 0, 12, 0 },
	{ 4, PACKET_TCP, PACKET_RST | PACKET_ACK, 0, 0, 0 },
	{ 4, PACKET_UDP, 0, 0, 0, 0 },
};

static void test_chosen_kinds(void)
{
	for (size_t k = 0; k < COUNT_OF(kinds) - 1; k++) {
		struct spec s = spec_default();
		s.drop_kind = (enum spec_kind)(SPEC_SYN + k);
		s.drop_number = 2;
		lane_open(&lane, &s, 0);
		for (size_t round = 1; round <= 4; round++) {
			CHECK_INT(send_blank(40, start), LANE_PASSED);
			for (size_t i = 0; i < COUNT_OF(kinds); i++)
				CHECK_INT(send_shape(&kinds[i]), round == 2 && i == k ? LANE_CHOSEN : LANE_PASSED);
		}
		CHECK_INT(lane.stats.dropped[LANE_CHOSEN], 1);
		CHECK(lane.spec.drop_number == 0 && lane.spec.drop_kind == SPEC_ANY); /* it is over */
		close_lane();
	}
}

static void test_chosen_again(void)
{
	static const struct shape data = { 4, PACKET_UDP, 0, 0, 0, 10 };
	open_lane("drop=data:2");
	CHECK_INT(send_shape(&data), LANE_PASSED);
	change("delay=1ms", 0, start); /* goes on counting */
	CHECK_INT(send_shape(&data), LANE_CHOSEN);
	change("delay=2ms", 0, start);
	CHECK_INT(send_shape(&data), LANE_PASSED);
	change("drop=data:2", 0, start);
	CHECK_INT(send_shape(&data), LANE_PASSED);
	change("drop=data:2", 0, start); /* said again before it came to it */
	CHECK_INT(send_shape(&data), LANE_PASSED);
	CHECK_INT(send_shape(&data), LANE_CHOSEN);
	change("drop=1", 0, start);
	CHECK_INT(send_blank(0, start), LANE_CHOSEN);
	change("drop=3", 0, start);
	CHECK_INT(send_blank(0, start), LANE_PASSED);
	struct spec s = lane.spec; /* by hand */
	s.drop_number = 2;
	lane_change(&lane, &s, 0, start);
	CHECK_INT(send_blank(0, start), LANE_PASSED);
	CHECK_INT(send_blank(0, start), LANE_CHOSEN);
	close_lane();
}

static void test_blackhole(void)
{
	open_lane("blackhole=1400");
	CHECK_INT(send_blank(1400, start), LANE_PASSED);
	CHECK_INT(send_blank(1401, start), LANE_BLACKHOLE);
	CHECK_INT(lane.stats.dropped[LANE_BLACKHOLE], 1);
	close_lane();
}

/* --- down --------------------------------------------------------------------------------------------------------- */

static void test_down(void)
{
	open_lane("rate=1kB/s,queue=1M,delay=10s");
	for (int i = 0; i < 5; i++)
		send_blank(1000, start);
	change("down", 0, start + 2 * second); /* two are on the wire, three wait */
	CHECK_INT(lane.stats.dropped[LANE_DOWN], 5);
	CHECK_INT(lane.stats.queue_len + lane.stats.on_wire_len, 0);
	CHECK(lane_next_ns(&lane) == CLK_NEVER);
	CHECK_INT(send_blank(1000, start + 1000 * second), LANE_DOWN);
	change("delay=1ms", 0, start + 1000 * second);
	CHECK(lane.spec.is_down);
	change("up", 0, start + 1000 * second);
	CHECK_INT(send_blank(1000, start + 1000 * second), LANE_PASSED);
	arrives_at(start + 1001 * second + ms, 1000); /* the transmitter was free, the wire empty */
	close_lane();
}

/* What was lost holds up nobody: the transmitter is free and the wire empty at once. */
static void test_down_and_up(void)
{
	open_lane("rate=1kB/s,queue=1M,delay=10s");
	for (int i = 0; i < 3; i++)
		send_blank(1000, start);
	change("down", 0, start + 1500 * ms);
	change("up,delay=1ms", 0, start + 1500 * ms);
	send_blank(1000, start + 1500 * ms);
	arrives_at(start + 2501 * ms, 1000);
	CHECK_INT(lane.stats.dropped[LANE_DOWN], 3);
	close_lane();
}

static void test_outage(void)
{
	open_lane("delay=1ms");
	change("down=2s", 0, start);
	CHECK_INT(send_blank(1, start), LANE_DOWN);
	change("delay=2ms", 0, start + second); /* does not prolong it */
	CHECK_INT(send_blank(1, start + 2 * second - 1), LANE_DOWN);
	CHECK_INT(send_blank(1, start + 2 * second), LANE_PASSED);
	CHECK(!lane.spec.is_down && lane.spec.down_ns == 0);

	change("down=2s", 0, start + 3 * second);
	CHECK_INT(lane.stats.dropped[LANE_DOWN], 3); /* the one under way, too */
	change("down=2s", 0, start + 4 * second);    /* said again */
	CHECK_INT(send_blank(1, start + 6 * second - 1), LANE_DOWN);
	change("delay=1ms", 0, start + 7 * second); /* nobody has sent anything in the meantime */
	CHECK(!lane.spec.is_down);
	CHECK_INT(send_blank(1, start + 7 * second), LANE_PASSED);
	change("down=1s", 0, start + 8 * second);
	CHECK(lane_receive(&lane, start + 9 * second) == NULL && !lane.spec.is_down);
	close_lane();

	open_lane("down=1s"); /* from the first moment that is known */
	CHECK_INT(send_blank(1, start), LANE_DOWN);
	CHECK_INT(send_blank(1, start + second - 1), LANE_DOWN);
	CHECK_INT(send_blank(1, start + second), LANE_PASSED);
	close_lane();
	open_lane("down");
	CHECK_INT(send_blank(1, start), LANE_DOWN);
	CHECK_INT(send_blank(1, start + 1000000 * second), LANE_DOWN);
	close_lane();
}

/* --- twice, out of order ------------------------------------------------------------------------------------------ */

static void test_duplicates(void)
{
	uint64_t copies = 0, last = 0;
	open_lane("dup=20%,delay=1ms,rate=1gbit,queue=100M");
	for (uint64_t i = 0; i < 20000; i++)
		lane_send(&lane, make(&shapes[i % COUNT_OF(shapes)], i), start + i * 10);
	CHECK(is_within_4_sigma(lane.stats.duplicated, 20000, 0.2));
	for (struct lane_packet *p; (p = lane_receive(&lane, start + second)) != NULL; free(p)) {
		copies += p->is_copy;
		struct lane_packet *want = make(&shapes[(p->number - 1) % COUNT_OF(shapes)], p->number - 1);
		bool is_right = CHECK(p->is_copy ? p->number == last : p->number == last + 1) &&
				CHECK(p->len == want->len && memcmp(p->bytes, want->bytes, p->len) == 0);
		last = p->number;
		free(want);
		if (!is_right)
			break;
	}
	CHECK_INT(copies, lane.stats.duplicated);
	CHECK_INT(last, 20000);
	close_lane();
}

/* A copy has luck of its own. */
static void test_luck_of_copies(void)
{
	uint64_t n = 20000, both = 0;
	bool was_corrupted = false;
	open_lane("dup=100%,corrupt=50%");
	for (uint64_t i = 0; i < n; i++) {
		lane_send(&lane, make(&shapes[0], i), start);
		for (struct lane_packet *p; (p = lane_receive(&lane, start)) != NULL; free(p)) {
			both += p->is_copy && p->is_corrupted && was_corrupted;
			was_corrupted = p->is_corrupted;
		}
	}
	CHECK(is_within_4_sigma(both, n, 0.25));
	CHECK(is_within_4_sigma(lane.stats.corrupted, 2 * n, 0.5));
	close_lane();
}

/* Packets 0.1 ms apart, some held back for 1 ms: others overtake these, and only these. */
static void test_reorder(void)
{
	uint64_t n = 20000, held = 0, overtaken = 0, newest = 0;
	open_lane("delay=5ms,reorder=10%");
	for (uint64_t i = 0; i < n; i++)
		send_blank(10, start + i * ms / 10);
	for (struct lane_packet *p; (p = lane_receive(&lane, start + 100 * second)) != NULL; free(p)) {
		bool is_late = p->number < newest;
		held += p->is_held;
		overtaken += is_late;
		newest = is_late ? newest : p->number;
		if (!CHECK_INT(p->due_ns - p->offered_ns, (p->is_held ? 6 : 5) * ms) ||
		    !CHECK(p->is_overtaken == is_late && (p->is_held || !is_late)))
			break;
	}
	CHECK(is_within_4_sigma(held, n, 0.1));
	CHECK_INT(overtaken, lane.stats.reordered);
	CHECK(overtaken > held * 99 / 100 && overtaken <= held);
	CHECK_INT(lane.stats.packets, n);
	close_lane();
}

static void test_nobody_overtakes(void)
{
	open_lane("delay=5ms,reorder=100%:3ms");
	for (uint64_t i = 0; i < 100; i++)
		send_blank(10, start + i * ms);
	for (uint64_t i = 0; i < 100; i++)
		arrives_at(start + (i + 8) * ms, 10);
	CHECK_INT(lane.stats.reordered, 0);
	close_lane();
}

/* --- changed ------------------------------------------------------------------------------------------------------ */

static unsigned count_bits(const struct lane_packet *a, const struct lane_packet *b, size_t from, size_t to)
{
	unsigned n = 0;
	for (size_t i = from; i < to; i++)
		for (unsigned diff = a->bytes[i] ^ b->bytes[i]; diff != 0; diff &= diff - 1)
			n++;
	return n;
}

/* One bit of the payload; of the header if there is no payload; the checksum tells. */
static void check_corrupted(const struct shape *h)
{
	size_t payload_at = ip_len(h) + transport_len(h);
	open_lane("corrupt=100%");
	for (uint64_t i = 0; i < 200; i++) {
		struct lane_packet *want = make(h, i);
		CHECK_INT(transport_sum(want, h), 0xffff);
		lane_send(&lane, make(h, i), start);
		struct lane_packet *p = lane_receive(&lane, start);
		CHECK_INT(count_bits(p, want, 0, ip_len(h)), 0);
		CHECK_INT(count_bits(p, want, ip_len(h), payload_at), h->payload_len == 0);
		CHECK_INT(count_bits(p, want, payload_at, p->len), h->payload_len != 0);
		CHECK(transport_sum(p, h) != 0xffff && p->is_corrupted);
		free(want);
		free(p);
	}
	CHECK_INT(lane.stats.corrupted, 200);
	close_lane();
}

/* The bytes differ, the checksum is right. */
static void check_swapped(const struct shape *h)
{
	size_t payload_at = ip_len(h) + transport_len(h);
	open_lane("swap=100%");
	for (uint64_t i = 0; i < 200; i++) {
		struct lane_packet *want = make(h, i);
		lane_send(&lane, make(h, i), start);
		struct lane_packet *p = lane_receive(&lane, start);
		size_t words = 0;
		for (size_t at = payload_at; at + 1 < p->len; at += 2)
			words += be16_get(p->bytes + at) != be16_get(want->bytes + at);
		CHECK_INT(words, 2);
		CHECK_INT(count_bits(p, want, 0, payload_at), 0);
		CHECK_INT(transport_sum(p, h), 0xffff);
		CHECK(p->is_corrupted);
		free(want);
		free(p);
	}
	CHECK_INT(lane.stats.swapped, 200);
	close_lane();
}

/* Goes through as it is, though all is switched on that might change it. */
static void check_unharmed(struct lane_packet *p)
{
	unsigned char *before = malloc(p->len + 1);
	memcpy(before, p->bytes, p->len);
	size_t len = p->len;
	lane_send(&lane, p, start);
	p = lane_receive(&lane, start);
	CHECK(p != NULL && p->len == len && memcmp(p->bytes, before, len) == 0 && !p->is_corrupted);
	free(p);
	free(before);
}

static void test_changed_bytes(void)
{
	for (size_t i = 0; i < COUNT_OF(shapes); i++) {
		check_corrupted(&shapes[i]);
		check_swapped(&shapes[i]);
	}
	for (size_t i = 0; i < COUNT_OF(kinds); i++)
		check_corrupted(&kinds[i]);
}

static void test_unchanged_bytes(void)
{
	static const struct shape syn = { 4, PACKET_TCP, PACKET_SYN, 0, 20, 0 }, byte = { 4, PACKET_UDP, 0, 0, 0, 3 };
	open_lane("swap=100%");
	check_unharmed(make(&syn, 1));
	check_unharmed(make(&byte, 1)); /* one word and a half */
	struct lane_packet *same = make(&shapes[0], 1);
	memset(same->bytes + 40, 7, 1000); /* all words alike */
	check_unharmed(same);
	change("corrupt=100%", 0, start);
	for (size_t len = 0; len < 100; len++)
		check_unharmed(blank(len));
	struct lane_packet *cut = make(&syn, 1); /* an IP header and nothing behind it */
	cut->len = 20;
	check_unharmed(cut);
	CHECK_INT(lane.stats.swapped + lane.stats.corrupted, 0);
	close_lane();
}

/* A protocol that nobody knows, and a fragment: anywhere behind IP's header. */
static void test_unknown_protocols(void)
{
	open_lane("corrupt=100%");
	unsigned long early = 0, late = 0;
	for (unsigned i = 0; i < 1000; i++) {
		struct lane_packet *p = make(&shapes[0], i), *want = make(&shapes[0], i);
		p->bytes[9] = want->bytes[9] = i % 2 ? 99 : PACKET_TCP;
		be16_put(p->bytes + 6, i % 2 ? 0 : 5);
		be16_put(want->bytes + 6, i % 2 ? 0 : 5);
		lane_send(&lane, p, start);
		p = lane_receive(&lane, start);
		CHECK_INT(count_bits(p, want, 0, 20), 0);
		early += count_bits(p, want, 20, 40);
		late += count_bits(p, want, 40, p->len);
		free(p);
		free(want);
	}
	CHECK_INT(early + late, 1000);
	CHECK(early > 5 && early < 50);
	close_lane();
}

static void test_change_shares(void)
{
	open_lane("corrupt=5%,swap=10%");
	for (uint64_t i = 0; i < 20000; i++) {
		lane_send(&lane, make(&shapes[0], i), start);
		free(lane_receive(&lane, start));
	}
	CHECK(is_within_4_sigma(lane.stats.corrupted, 20000, 0.05));
	CHECK(is_within_4_sigma(lane.stats.swapped, 20000, 0.1));
	close_lane();
}

/* --- RED and ECN -------------------------------------------------------------------------------------------------- */

enum { RED_LIMIT = 120000 };

/* The queue is kept this full for a long time; the share of the packets that are hit. */
static double share_of_hits(size_t level_len, size_t h, uint64_t n)
{
	uint64_t now = start, hits = 0;
	for (uint64_t i = 0; i < n + 5000; i++) {
		while (lane.stats.queue_len >= level_len) {
			now = lane_next_ns(&lane);
			free(lane_receive(&lane, now));
		}
		uint64_t marked = lane.stats.marked;
		bool is_hit = lane_send(&lane, make(&shapes[h], 1), now) == LANE_RED || lane.stats.marked > marked;
		hits += i >= 5000 && is_hit; /* until then the average grows */
	}
	CHECK_INT(lane.stats.dropped[LANE_QUEUE], 0);
	return (double)hits / (double)n;
}

/* Hits come with equal probability p at each of 1 to 1 / p packets after the last one; the rest falls on the next. */
static double mean_distance(double p)
{
	double n = floor(1 / p);
	return p * n * (n + 1) / 2 + (1 - p * n) * (n + 1);
}

static void test_red_grows(void)
{
	static const struct {
		double level, p; /* share of the limit; the curve in lane.c */
	} rows[] = { { 0.1, 0 }, { 0.15, 0 }, { 0.25, 0.025 }, { 0.4, 0.07 }, { 0.6, 0.28 }, { 0.8, 0.64 } };
	double last = -1;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		open_lane("rate=10mbit,queue=120000,red");
		double got = share_of_hits((size_t)(rows[i].level * RED_LIMIT), 0, 10000);
		double p = rows[i].p, want = p > 0 ? 1 / mean_distance(p) : 0;
		if (!CHECK(fabs(got - want) <= 0.2 * want) || !CHECK(got > last || got == 0))
			fprintf(stderr, "    level %g: %g of them, want %g\n", rows[i].level, got, want);
		last = got;
		CHECK_INT(lane.stats.marked, 0);
		close_lane();
	}
}

/* A burst is forgiven, and a long silence forgets all. */
static void test_red_forgets(void)
{
	open_lane("rate=10mbit,queue=120000,red");
	for (int i = 0; i < 100; i++)
		CHECK_INT(send_blank(1000, start), LANE_PASSED);
	share_of_hits(RED_LIMIT / 2, 0, 5000);
	CHECK(lane.red_average > RED_LIMIT / 3);
	uint64_t now = start;
	for (uint64_t seconds = 1; seconds < 5; seconds++) {
		double before = lane.red_average, want = before * pow(0.998, 1250); /* 1250 packets in a second */
		while (lane_next_ns(&lane) != CLK_NEVER) {
			now = lane_next_ns(&lane);
			free(lane_receive(&lane, now));
		}
		now += second;
		send_blank(0, now);
		CHECK(fabs(lane.red_average - want) < 0.02 * want);
	}
	for (int i = 0; i < 100; i++)
		CHECK_INT(send_blank(1000, now + second), LANE_PASSED);
	close_lane();
}

static void test_ecn(void)
{
	for (size_t i = 0; i < COUNT_OF(shapes); i++) {
		const struct shape *h = &shapes[i];
		open_lane("rate=10mbit,queue=120000,ecn");
		double share = share_of_hits(RED_LIMIT * 2 / 5, i, 2000);
		CHECK(share > 0.1 && share < 0.17);
		CHECK((lane.stats.marked > 0) == (h->ecn != 0));
		CHECK((lane.stats.dropped[LANE_RED] > 0) == (h->ecn == 0));
		close_lane();
	}
}

/* Whatever comes now is hit. */
static void fill_red(uint64_t now_ns)
{
	lane.red_average = RED_LIMIT * 2;
	lane.red_at_ns = now_ns;
}

/* The mark is in its place, and all else as it was; IPv4's checksum is right. */
static void test_ecn_mark(void)
{
	for (size_t i = 0; i < COUNT_OF(shapes); i++) {
		struct shape h = shapes[i];
		struct spec s = spec_of("rate=10mbit,queue=120000,ecn");
		for (h.ecn = 0; h.ecn < 4; h.ecn++) {
			lane_open(&lane, &s, 0);
			fill_red(start);
			enum lane_fate fate = lane_send(&lane, make(&h, 1), start);
			CHECK_INT(fate, h.ecn == 0 ? LANE_RED : LANE_PASSED);
			CHECK_INT(lane.stats.marked, h.ecn == 1 || h.ecn == 2);
			struct lane_packet *p = lane_receive(&lane, start + second);
			if (p != NULL) {
				struct shape ce = h;
				ce.ecn = 3;
				struct lane_packet *want = make(&ce, 1);
				CHECK(p->is_marked == (h.ecn != 3) && p->len == want->len);
				CHECK(h.version == 6 || sum_of(0, p->bytes, 20) == 0xffff);
				CHECK_INT(count_bits(p, want, 0, p->len), 0);
				free(want);
			}
			free(p);
			close_lane();
		}
	}
}

/* The incremental checksum, against the sum over all, for every value that it may have before. */
static void test_ecn_checksum(void)
{
	struct spec s = spec_of("rate=10mbit,queue=120000,ecn");
	lane_open(&lane, &s, 0);
	for (uint64_t i = 0; i < 2 * 65536; i++) {
		struct lane_packet *p = make(&kinds[0], 1);
		be16_put(p->bytes + 4, (uint16_t)(i / 2));
		p->bytes[1] = (unsigned char)(1 + i % 2);
		be16_put(p->bytes + 10, 0);
		be16_put(p->bytes + 10, (uint16_t)~sum_of(0, p->bytes, 20));
		fill_red(start + i * second);
		lane_send(&lane, p, start + i * second);
		p = lane_receive(&lane, start + i * second + second / 2);
		if (!CHECK(p != NULL && (p->bytes[1] & 3) == 3 && sum_of(0, p->bytes, 20) == 0xffff))
			i = 2 * 65536;
		free(p);
	}
	close_lane();
}

/* The time in which the queue is empty counts once, even if what comes then is dropped. */
static void test_red_idle_counts_once(void)
{
	open_lane("rate=10mbit,queue=120000,red");
	fill_red(start);
	CHECK_INT(send_blank(1000, start + second / 10), LANE_RED);
	double average = lane.red_average;
	CHECK(average < RED_LIMIT * 2);
	CHECK_INT(send_blank(1000, start + second / 10), LANE_RED);
	CHECK(lane.red_average == average);
	close_lane();
}

/* --- limits, names ------------------------------------------------------------------------------------------------ */

static void test_memory(void)
{
	open_lane("delay=60s");
	uint64_t n = 0;
	while (n < 100000 && send_blank(1500, start) == LANE_PASSED)
		n++;
	CHECK_INT(n, LANE_MEMORY_LEN / (1500 + sizeof(struct lane_packet)));
	CHECK_INT(lane.stats.dropped[LANE_MEMORY], 1);
	while (lane_next_ns(&lane) != CLK_NEVER)
		free(lane_receive(&lane, start + 60 * second));
	CHECK_INT(send_blank(1500, start + 60 * second), LANE_PASSED);
	uint64_t empty = 0;
	while (empty < 10000000 && send_blank(0, start + 60 * second) == LANE_PASSED)
		empty++;
	CHECK(empty <= LANE_MEMORY_LEN / sizeof(struct lane_packet));
	close_lane();
}

static void test_names(void)
{
	for (int i = 0; i < LANE_FATES; i++)
		for (int j = 0; j < i; j++)
			CHECK(strcmp(lane_fate_name((enum lane_fate)i), lane_fate_name((enum lane_fate)j)) != 0);
	CHECK_STR(lane_fate_name(LANE_LOSS), "loss");
	CHECK_STR(lane_fate_name(LANE_BLACKHOLE), "blackhole");
}

/* --- anything ----------------------------------------------------------------------------------------------------- */

static uint64_t n_drawn;

static uint64_t draw(void)
{
	return prng_word(99, n_drawn++);
}

/* Sound packets, sound ones with a few bytes changed or cut off, and noise. The lane's copy ends where its bytes
 * end, so the address sanitizer sees any step beyond. */
static struct lane_packet *any_packet(void)
{
	if (draw() % 4 == 0) {
		struct lane_packet *p = lane_packet_new(draw() % 8 == 0 ? draw() % 65536 : draw() % 100);
		prng_fill(draw(), 0, p->bytes, p->len);
		if (p->len > 0 && draw() % 2)
			p->bytes[0] = draw() % 2 ? 0x45 : 0x60;
		return p;
	}
	uint64_t which = draw();
	const struct shape *h = which % 2 ? &shapes[which / 2 % COUNT_OF(shapes)] : &kinds[which / 2 % COUNT_OF(kinds)];
	struct lane_packet *whole = make(h, draw());
	struct lane_packet *p = lane_packet_new(draw() % 4 == 0 ? draw() % whole->len : whole->len);
	memcpy(p->bytes, whole->bytes, p->len);
	free(whole);
	for (uint64_t n = draw() % 8; n < 3 && p->len > 0; n++)
		p->bytes[draw() % (p->len < 60 ? p->len : 60)] = (unsigned char)draw();
	return p;
}

static void any_change(uint64_t now_ns)
{
	static const char *const changes[] = {
		"delay=1ms",   "delay=0",        "delay=20ms",        "jitter=5ms",
		"jitter=0",    "rate=none",      "rate=1mbit",        "rate=1gbit",
		"rate=10kB/s", "queue=3000",     "queue=auto",        "red",
		"ecn",         "tail",           "loss=5%",           "loss=0",
		"burst=5",     "burst=off",      "ge=10%:30%:90%:1%", "ge=off",
		"every=9",     "every=off",      "drop=syn",          "drop=data:3",
		"drop=off",    "blackhole=1000", "blackhole=off",     "dup=20%",
		"dup=0",       "reorder=20%",    "reorder=5%:9ms",    "reorder=0",
		"corrupt=30%", "corrupt=0",      "swap=30%",          "swap=0",
		"seed=4",      "down",           "down=3ms",          "up",
		"up",          "clear",
	};
	const char *text = changes[draw() % COUNT_OF(changes)];
	change(text, draw() % (100 * ms), now_ns);
}

/* The engine's own loop, and now and then it oversleeps. Nothing comes before its time, nothing that was due is
 * forgotten. */
static bool drain(uint64_t now_ns)
{
	uint64_t last = 0;
	for (struct lane_packet *p; (p = lane_receive(&lane, now_ns)) != NULL; free(p)) {
		bool is_right = CHECK(p->due_ns <= now_ns && p->due_ns >= p->offered_ns && p->due_ns >= last);
		last = p->due_ns;
		if (!is_right) {
			free(p);
			return false;
		}
	}
	return CHECK(lane_next_ns(&lane) > now_ns);
}

static void test_anything(void)
{
	uint64_t now = start, seen[LANE_FATES] = { 0 };
	open_lane("");
	for (int i = 0; i < 100000; i++) {
		uint64_t what = draw() % 100;
		if (what < 60)
			seen[lane_send(&lane, any_packet(), now)]++;
		else if (what < 64)
			any_change(now);
		else if (what < 66 && lane_next_ns(&lane) != CLK_NEVER)
			now = lane_next_ns(&lane) > now ? lane_next_ns(&lane) : now;
		else if (what < 90)
			now += draw() % (ms / 2);
		else if (!drain(now))
			break;
		if (!check_balance())
			break;
	}
	for (int i = 0; i < LANE_FATES; i++)
		CHECK(seen[i] > 0 || i == LANE_MEMORY);
	const struct lane_stats *s = &lane.stats;
	CHECK(s->duplicated > 0 && s->reordered > 0 && s->corrupted > 0 && s->swapped > 0 && s->marked > 0);
	close_lane();
}

int main(void)
{
	test_perfect();
	test_delay();
	test_new_delay();
	test_jitter();
	test_exact_rates();
	test_idle_transmitter();
	test_back_to_back();
	test_empty_packets();
	test_new_rate();
	test_rate_to_and_fro();
	test_rate_none();
	test_tail_drop();
	test_empty_queue_takes_any();
	test_queue_limit();
	test_shorter_queue_keeps();
	test_loss();
	test_bursts();
	test_same_seed_same_fate();
	test_luck_differs();
	test_seed_again();
	test_every();
	test_chosen_kinds();
	test_chosen_again();
	test_blackhole();
	test_down();
	test_down_and_up();
	test_outage();
	test_duplicates();
	test_luck_of_copies();
	test_reorder();
	test_nobody_overtakes();
	test_changed_bytes();
	test_unchanged_bytes();
	test_unknown_protocols();
	test_change_shares();
	test_red_grows();
	test_red_forgets();
	test_ecn();
	test_ecn_mark();
	test_ecn_checksum();
	test_red_idle_counts_once();
	test_memory();
	test_names();
	test_anything();
	return check_done();
}
