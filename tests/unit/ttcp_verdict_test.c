/* ttcp_verdict_test.c - for each verdict a transfer that deserves it, the same transfer just beside the boundary, and
 * the figures that the sentence must show; then evidence of every nonsensical kind. */
#include "../../tools/ttcp/ttcp.h"

#include "cdefs.h"
#include "check.h"
#include "prng.h"

#include <ctype.h>
#include <math.h>

static char why[VERDICT_TEXT];

/* A gigabit path with a bufferful of queue: 941 Mbit/s, window 150000 bytes over 1 ms. */
static struct evidence gigabit(void)
{
	return (struct evidence){
		.mode = MODE_STREAM,
		.length = 65536,
		.depth = 1,
		.streams = 1,
		.rate_Bps = 117.625e6,
		.elapsed_ns = UINT64_C(10000000000),
		.sender_cpu = 0.1,
		.receiver_cpu = 0.2,
		.busy = 0.99,
		.rtt_ns = 1000000,
		.min_rtt_ns = 200000,
		.cwnd_bytes = 150000,
		.pacing_Bps = UINT64_MAX,
		.retransmits = 12,
		.send_buffer = 4 << 20,
		.send_window = 3 << 20,
		.congestion = "cubic",
	};
}

/* One block of 64 KiB a round trip of 10 ms: 6.5 MB/s, and the sender does nothing else but wait. */
static struct evidence one_block_at_a_time(void)
{
	struct evidence e = gigabit();
	e.mode = MODE_ACK;
	e.rate_Bps = 6.5e6;
	e.rtt_ns = 10000000;
	e.min_rtt_ns = 9900000;
	e.ack_wait = 0.98;
	e.sender_cpu = 0.01;
	e.receiver_cpu = 0.02;
	e.busy = 0.9;
	return e;
}

static bool is(const struct evidence *e, enum limit want)
{
	memset(why, '#', sizeof(why));
	enum limit l = verdict(e, why);
	bool ended = memchr(why, '\0', sizeof(why)) != NULL;
	if (CHECK_INT(l, want) && CHECK(ended))
		return true;
	fprintf(stderr, "    %s: %.*s\n", limit_name(l), (int)sizeof(why), why);
	return false;
}

static void check_says(const char *part)
{
	if (!CHECK(strstr(why, part) != NULL))
		fprintf(stderr, "    \"%s\" is not in \"%s\"\n", part, why);
}

/* --- one by one -------------------------------------------------------------------------------------------------- */

static void test_network(void)
{
	struct evidence e = gigabit();
	is(&e, LIMIT_NETWORK);
	check_says("146 KiB");     /* the window ... */
	check_says("1.00 ms");     /* ... over the RTT ... */
	check_says("1.20 Gbit/s"); /* ... allows this ... */
	check_says("941 Mbit/s");  /* ... and this was measured */
	check_says("200 us");
	check_says("12 retransmits");
	check_says("cubic");
	e.streams = 4;
	e.cwnd_bytes /= 4;
	is(&e, LIMIT_NETWORK);
	check_says("1.20 Gbit/s");
}

/* A window that allows several times the rate does not hold back ends that are half busy. */
static void test_window_far_above_the_rate(void)
{
	struct evidence e = gigabit();
	e.receiver_cpu = 0.6;
	e.cwnd_bytes = 3 * 117625;
	is(&e, LIMIT_NETWORK);
	e.cwnd_bytes++;
	is(&e, LIMIT_UNKNOWN);
	check_says("receiver 60 %");
	check_says("345 KiB");
	check_says("1.00 ms");
	e.receiver_cpu = 0.4999; /* idle ends: packets queue on the way */
	is(&e, LIMIT_NETWORK);
}

static void test_stop_and_wait(void)
{
	struct evidence e = one_block_at_a_time();
	is(&e, LIMIT_STOP_AND_WAIT);
	check_says("1 x 64 KiB");
	check_says("10.0 ms");
	check_says("52.4 Mbit/s"); /* 65536 bytes / 10 ms */
	check_says("52.0 Mbit/s");
	check_says("(99 %)");
	check_says("10.1 ms"); /* 65536 bytes / 6.5 MB/s */
	check_says("9.90 ms");
	check_says("98 %");
	e.streams = 3;
	e.depth = 4;
	e.rate_Bps *= 12;
	is(&e, LIMIT_STOP_AND_WAIT);
	check_says("12 x 64 KiB");
	check_says("629 Mbit/s");
}

static void test_stop_and_wait_edges(void)
{
	struct evidence e = one_block_at_a_time();
	e.ack_wait = 0.25;
	is(&e, LIMIT_STOP_AND_WAIT);
	e.ack_wait = 0.2499;
	is(&e, LIMIT_NETWORK);
	e = one_block_at_a_time();
	e.mode = MODE_STREAM; /* there are no acks to wait for */
	is(&e, LIMIT_NETWORK);
	/* The wait is not the bare path but a queue on it: more depth would only make it longer ... */
	e = one_block_at_a_time();
	e.rate_Bps = 6553600;
	e.min_rtt_ns = 2500000;
	is(&e, LIMIT_STOP_AND_WAIT);
	e.min_rtt_ns = 2499999;
	is(&e, LIMIT_NETWORK);
	/* ... unless an end works in the meantime. */
	e.receiver_cpu = 0.25;
	is(&e, LIMIT_STOP_AND_WAIT);
}

static void test_told_to_pace(void)
{
	struct evidence e = gigabit();
	e.rate_cap_Bps = 1250000;
	e.rate_Bps = 1200000;
	is(&e, LIMIT_PACING);
	check_says("10.0 Mbit/s");
	check_says("9.60 Mbit/s");
	check_says("96 %");
	e.rate_Bps = 1000000;
	is(&e, LIMIT_PACING);
	e.rate_Bps = 999999;
	CHECK(verdict(&e, why) != LIMIT_PACING);
	/* Each stream has the rate for itself. */
	e.streams = 2;
	e.rate_Bps = 1999999;
	CHECK(verdict(&e, why) != LIMIT_PACING);
	e.rate_Bps = 2000000;
	is(&e, LIMIT_PACING);
	check_says("20.0 Mbit/s");
}

static void test_application(void)
{
	struct evidence e = gigabit();
	e.source_wait = 0.5;
	is(&e, LIMIT_APPLICATION);
	check_says("50 %");
	e.source_wait = 0.4999;
	is(&e, LIMIT_NETWORK);
	/* An idle connection, and payload that could run dry. */
	e = gigabit();
	e.busy = 0.3;
	e.has_source = true;
	is(&e, LIMIT_APPLICATION);
	check_says("70 %");
	e.busy = 0.5;
	is(&e, LIMIT_NETWORK);
	e.busy = 0.3;
	e.has_source = false;
	is(&e, LIMIT_UNKNOWN);
	/* A processor that is full explains it better. */
	e.has_source = true;
	e.sender_cpu = 0.95;
	is(&e, LIMIT_CPU);
}

static void test_bbr_pacing(void)
{
	struct evidence e = gigabit();
	e.congestion = "bbr";
	e.receiver_cpu = 0.6;
	e.pacing_Bps = 250000000;
	is(&e, LIMIT_PACING);
	check_says("bbr");
	check_says("2.00 Gbit/s");
	check_says("941 Mbit/s");
	check_says("12 retransmits");
	e.pacing_Bps = 16 * 117625000;
	is(&e, LIMIT_PACING);
	e.pacing_Bps++;
	is(&e, LIMIT_NETWORK);
	e.pacing_Bps = 250000000;
	e.receiver_cpu = 0.4999;
	is(&e, LIMIT_NETWORK);
	e.receiver_cpu = 0.6;
	e.congestion = "reno";
	is(&e, LIMIT_NETWORK);
	e.congestion = "bbr";
	e.pacing_Bps = 0;
	is(&e, LIMIT_NETWORK);
}

static void test_cpu(void)
{
	struct evidence e = gigabit();
	e.receiver_cpu = 0.85;
	is(&e, LIMIT_CPU);
	check_says("sender 10 %");
	check_says("receiver 85 %");
	e.receiver_cpu = 0.8499;
	is(&e, LIMIT_NETWORK);
	/* What an end would have used had it been let counts, too. */
	e.sender_cpu = 0.5;
	e.sender_waited = 0.4;
	is(&e, LIMIT_CPU);
	check_says("sender 50 %");
	check_says("40 %");
	/* One side only is known. */
	e = gigabit();
	e.sender_cpu = 0.97;
	e.receiver_cpu = -1;
	is(&e, LIMIT_CPU);
	check_says("sender 97 %");
	CHECK(strstr(why, "receiver") == NULL);
	e.receiver_cpu = 0.98;
	e.sender_cpu = -1;
	is(&e, LIMIT_CPU);
	check_says("receiver 98 %");
	CHECK(strstr(why, "sender") == NULL);
}

static void test_receive_window(void)
{
	struct evidence e = gigabit();
	e.rwnd_limited = 0.5;
	e.send_window = 65536;
	is(&e, LIMIT_RECEIVE_WINDOW);
	check_says("50 %");
	check_says("64 KiB");
	check_says("1.00 ms");
	e.rwnd_limited = 0.4999;
	is(&e, LIMIT_NETWORK);
	/* The reader that lets the window fill hides the sender's buffer, not the other way round. */
	e.rwnd_limited = e.sndbuf_limited = 0.9;
	is(&e, LIMIT_RECEIVE_WINDOW);
}

static void test_send_buffer(void)
{
	struct evidence e = gigabit();
	e.sndbuf_limited = 0.5;
	e.send_buffer = 65536;
	is(&e, LIMIT_SEND_BUFFER);
	check_says("64 KiB");
	check_says("1.00 ms");
	check_says("524 Mbit/s"); /* 65536 bytes / 1 ms */
	e.sndbuf_limited = 0.4999;
	e.send_buffer = 4 << 20;
	is(&e, LIMIT_NETWORK);
}

/* The kernel does not say so, but the buffer is smaller than both windows, and the ends have time to spare. */
static void test_smallest_send_buffer(void)
{
	struct evidence e = gigabit();
	e.send_buffer = 100000;
	is(&e, LIMIT_SEND_BUFFER);
	check_says("97.7 KiB");
	check_says("800 Mbit/s"); /* 100000 bytes / 1 ms */
	check_says("941 Mbit/s");
	check_says("146 KiB");
	e.send_window = 100000;
	is(&e, LIMIT_NETWORK);
	e.send_window = 0; /* an older kernel does not tell */
	is(&e, LIMIT_SEND_BUFFER);
	e.send_buffer = e.cwnd_bytes;
	is(&e, LIMIT_NETWORK);
	e.send_buffer = 58812; /* it is overrun twice: the figures are not of the same time */
	is(&e, LIMIT_NETWORK);
	e.send_buffer = 100000;
	e.receiver_cpu = 0.5;
	is(&e, LIMIT_NETWORK);
	e.receiver_cpu = 0.2;
	e.mode = MODE_ACK;
	is(&e, LIMIT_NETWORK);
}

/* "At most" and "measured" speak of the same thing: all streams together. */
static void test_send_buffers_of_all_streams(void)
{
	struct evidence e = gigabit();
	e.streams = 4;
	e.sndbuf_limited = 0.9;
	e.send_buffer = 65536;
	e.rate_Bps = 250e6;
	is(&e, LIMIT_SEND_BUFFER);
	check_says("2.00 Gbit/s");
	check_says("2.10 Gbit/s"); /* 4 x 65536 bytes / 1 ms */
}

static void test_too_short(void)
{
	struct evidence e = gigabit();
	e.elapsed_ns = 50000000;
	is(&e, LIMIT_NETWORK);
	e.elapsed_ns = 49999999;
	is(&e, LIMIT_UNKNOWN);
	check_says("50.0 ms");
	e.elapsed_ns = 3000000;
	is(&e, LIMIT_UNKNOWN);
	check_says("3.00 ms");
	/* Waiting for acks shows at once. */
	e = one_block_at_a_time();
	e.elapsed_ns = 30000000;
	is(&e, LIMIT_STOP_AND_WAIT);
}

/* A kernel that cannot tell (busy below 0) is not read as an idle connection, nor as a busy one. */
static void test_unknown(void)
{
	struct evidence e = gigabit();
	e.busy = e.rwnd_limited = e.sndbuf_limited = -1;
	is(&e, LIMIT_UNKNOWN);
	check_says("receiver 20 %");
	check_says("full 0 %");
	e.has_source = true;
	is(&e, LIMIT_UNKNOWN);
	e = gigabit();
	e.rate_Bps = 0;
	is(&e, LIMIT_UNKNOWN);
	CHECK_STR(why, "");
	is(&(struct evidence){ .congestion = "" }, LIMIT_UNKNOWN);
}

/* What somebody told ttcp to do comes before what he would find out anyway. */
static void test_order(void)
{
	struct evidence e = one_block_at_a_time();
	e.rate_cap_Bps = (uint64_t)e.rate_Bps;
	is(&e, LIMIT_PACING);
	e.rate_cap_Bps = 0;
	e.receiver_cpu = 0.99;
	is(&e, LIMIT_STOP_AND_WAIT);
	e = gigabit();
	e.receiver_cpu = 0.99;
	e.rwnd_limited = e.sndbuf_limited = 0.9;
	is(&e, LIMIT_CPU);
	e.source_wait = 0.9;
	is(&e, LIMIT_APPLICATION);
}

/* --- names and predictions --------------------------------------------------------------------------------------- */

static void test_names(void)
{
	for (enum limit l = LIMIT_UNKNOWN; l < LIMIT_N; l++) {
		CHECK(strlen(limit_name(l)) >= 3 && strlen(limit_title(l)) >= 3);
		for (const char *c = limit_name(l); *c != '\0'; c++)
			CHECK(islower((unsigned char)*c) || *c == '_');
		for (enum limit k = LIMIT_UNKNOWN; k < l; k++)
			CHECK(strcmp(limit_name(k), limit_name(l)) != 0 && strcmp(limit_title(k), limit_title(l)) != 0);
	}
	CHECK_STR(limit_name(LIMIT_STOP_AND_WAIT), "stop_and_wait");
	CHECK_STR(limit_title(LIMIT_STOP_AND_WAIT), "stop-and-wait");
}

static void test_prediction(void)
{
	struct evidence e = one_block_at_a_time();
	CHECK(fabs(verdict_predicted_Bps(&e) - 6553600) < 1);
	e.depth = 16;
	e.streams = 2;
	CHECK(fabs(verdict_predicted_Bps(&e) - 6553600. * 32) < 1);
	e.depth = e.length = e.streams = UINT64_MAX; /* no wrap-around in integers */
	CHECK(verdict_predicted_Bps(&e) > 1e50);
	e.rtt_ns = 0;
	CHECK(verdict_predicted_Bps(&e) == 0);
	e = one_block_at_a_time();
	e.mode = MODE_STREAM;
	CHECK(verdict_predicted_Bps(&e) == 0);
}

/* --- nonsense ---------------------------------------------------------------------------------------------------- */

static double odd_double(uint64_t word)
{
	static const double odd[] = {
		0, 1, -1, 0.5, 0.85, 1e-300, 1e300, -1e300, INFINITY, -INFINITY, NAN, 1e18, 0.25, 2, 100, 1e9,
	};
	return odd[word % COUNT_OF(odd)];
}

static uint64_t odd_number(uint64_t word)
{
	static const uint64_t odd[] = { 0, 1, 1000, UINT64_MAX, UINT64_MAX - 1, UINT64_C(1) << 63, UINT32_MAX, 65536 };
	return word % 3 == 0 ? word >> word % 64 : odd[word / 3 % COUNT_OF(odd)];
}

static struct evidence nonsense(uint64_t i)
{
	static const char *const names[] = { "", "bbr", "cubic", "?????????????????", "bbrbbrbbrbbrbbr" };
	uint64_t w[12];
	double d[10];
	for (uint64_t k = 0; k < COUNT_OF(w); k++)
		w[k] = odd_number(prng_word(41, i * 32 + k));
	for (uint64_t k = 0; k < COUNT_OF(d); k++)
		d[k] = odd_double(prng_word(42, i * 16 + k));
	return (struct evidence){
		.mode = (enum ttcp_mode)(i % 3),
		.length = w[0],
		.depth = w[1],
		.streams = w[2],
		.rate_Bps = d[0],
		.elapsed_ns = w[3],
		.sender_cpu = d[1],
		.receiver_cpu = d[2],
		.sender_waited = d[3],
		.receiver_waited = d[4],
		.ack_wait = d[5],
		.source_wait = d[6],
		.has_source = i / 3 % 2,
		.busy = d[7],
		.rwnd_limited = d[8],
		.sndbuf_limited = d[9],
		.rtt_ns = w[4],
		.min_rtt_ns = w[5],
		.cwnd_bytes = w[6],
		.pacing_Bps = w[7],
		.retransmits = w[8],
		.send_buffer = w[9],
		.send_window = w[10],
		.rate_cap_Bps = w[11],
		.congestion = names[i / 6 % COUNT_OF(names)],
	};
}

/* A verdict within the list, a text that ends within its array, nothing that would upset a terminal. */
static void test_nonsense(void)
{
	static char guarded[VERDICT_TEXT + 64];
	unsigned long seen[LIMIT_N] = { 0 };
	for (uint64_t i = 0; i < 200000; i++) {
		struct evidence e = nonsense(i);
		memset(guarded, '#', sizeof(guarded));
		enum limit l = verdict(&e, guarded);
		if (!CHECK(l < LIMIT_N) || !CHECK(memchr(guarded, '\0', VERDICT_TEXT) != NULL))
			return;
		for (size_t k = VERDICT_TEXT; k < sizeof(guarded); k++)
			if (!CHECK_INT(guarded[k], '#'))
				return;
		for (const char *c = guarded; *c != '\0'; c++)
			if (!CHECK(isprint((unsigned char)*c)))
				return;
		seen[l]++;
		(void)verdict_predicted_Bps(&e);
	}
	for (int l = 0; l < LIMIT_N; l++)
		CHECK(seen[l] > 0);
}

int main(void)
{
	test_network();
	test_window_far_above_the_rate();
	test_stop_and_wait();
	test_stop_and_wait_edges();
	test_told_to_pace();
	test_application();
	test_bbr_pacing();
	test_cpu();
	test_receive_window();
	test_send_buffer();
	test_smallest_send_buffer();
	test_send_buffers_of_all_streams();
	test_too_short();
	test_unknown();
	test_order();
	test_names();
	test_prediction();
	test_nonsense();
	return check_done();
}
