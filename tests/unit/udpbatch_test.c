/* udpbatch_test.c - batches without a loop: one datagram and many in turns, who may ask as often as he likes, what is not answered, what
 * cannot be sent, what comes beside a datagram. What both forms share is in udp_test.c. */
#include "udpbatch.h"

#include "check.h"
#include "clock.h"
#include "kstamp.h"
#include "prng.h"
#include "sock.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

enum { MUCH = 1000 * 1000 * 1000, BYTES = 64 };

/* Loopback has one address to answer from; the wildcard has many, and each datagram tells which it was sent to. */
static const char *const hosts[] = { "127.0.0.1", NULL, "::1" };

struct service {
	struct udpbatch b;
	struct addr bound;
	int fd, client;
};

static struct addr at_port(const char *host, uint16_t port)
{
	struct addr a = { 0 };
	struct net_error e;
	CHECK_INT(addr_literal(host, port, AF_UNSPEC, &a, &e), 0);
	return a;
}

static bool service_start(struct service *s, const char *host, uint32_t rate, size_t more_control)
{
	struct net_error e;
	*s = (struct service){ .client = -1 };
	s->fd = sock_serve_udp(host, 0, AF_UNSPEC, &s->bound, &e);
	if (s->fd < 0)
		return false;
	CHECK_INT(udpbatch_open(&s->b, s->fd, rate, more_control), 0);
	struct addr to = at_port(host != NULL ? host : "127.0.0.1", addr_port(&s->bound));
	s->client = socket(to.u.sa.sa_family, SOCK_DGRAM, 0);
	CHECK_INT(connect(s->client, &to.u.sa, to.len), 0);
	return true;
}

/* Each question that was looked at is in exactly one counter. */
static void service_stop(struct service *s)
{
	const struct udp_counters *n = &s->b.count;
	CHECK_INT(n->received, n->answered + n->silent + n->refused_port + n->refused_group + n->refused_rate +
				       n->refused_long + n->truncated + n->dropped);
	udpbatch_close(&s->b);
	udpbatch_close(&s->b); /* twice does no harm */
	close(s->fd);
	close(s->client);
}

/* Waits until there is something to read: loopback delivers at once, but not before send(2) returns everywhere. */
static bool is_readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	return CHECK_INT(poll(&p, 1, 10000), 1);
}

static void ask(const struct service *s, uint64_t number)
{
	unsigned char bytes[BYTES];
	prng_fill(1, number * BYTES, bytes, BYTES);
	CHECK_INT(send(s->client, bytes, BYTES, 0), BYTES);
}

/* The next answer is the one to this question. */
static bool is_answered(const struct service *s, uint64_t number)
{
	unsigned char want[BYTES], got[2 * BYTES];
	prng_fill(1, number * BYTES, want, BYTES);
	if (!is_readable(s->client))
		return false;
	ssize_t n = recv(s->client, got, sizeof(got), 0);
	return CHECK_INT(n, BYTES) && CHECK_INT(memcmp(got, want, BYTES), 0);
}

static bool is_silent(const struct service *s)
{
	char byte;
	ssize_t n = recv(s->client, &byte, 1, MSG_DONTWAIT);
	return CHECK_INT(n, -1) && CHECK_INT(errno, EAGAIN);
}

/* Answers with what was asked until n questions have been looked at; how many calls that took. */
static int echo(struct service *s, int n)
{
	int calls = 0;
	struct udp_question q;
	for (int seen = 0; seen < n; calls++) {
		if (!is_readable(s->fd))
			return -1;
		int got = udpbatch_receive(&s->b, MSG_WAITFORONE);
		if (!CHECK(got > 0))
			return -1;
		seen += got;
		while (udpbatch_next(&s->b, clk_mono_ns(), &q)) {
			memcpy(q.room, q.bytes, q.len);
			CHECK(udpbatch_answer(&s->b, q.len));
		}
		udpbatch_send(&s->b, 0);
	}
	return calls;
}

/* --- batches ----------------------------------------------------------------------------------------------------- */

/* One by one for a long time, then bursts, then one by one: every answer, in its order. */
static void check_ones_and_many(const char *host)
{
	static const int bursts[] = { 1, UDP_BATCH, 1, 2, 1, UDP_BATCH + 1, 1, 1, 3 * UDP_BATCH, 1 };
	struct service s;
	uint64_t asked = 0, answered = 0;
	if (!service_start(&s, host, MUCH, 0))
		return;
	for (size_t i = 0; i < COUNT_OF(bursts) * 20; i++) {
		int n = i % 20 == 19 ? bursts[i / 20] : 1;
		for (int k = 0; k < n; k++)
			ask(&s, asked++);
		if (!CHECK(echo(&s, n) > 0))
			break;
		while (answered < asked && is_answered(&s, answered))
			answered++;
		if (answered < asked)
			break;
	}
	CHECK_INT(s.b.count.received, asked);
	CHECK_INT(s.b.count.answered, asked);
	CHECK_INT(s.b.count.bytes_in, asked * BYTES);
	CHECK_INT(s.b.count.bytes_out, asked * BYTES);
	is_silent(&s);
	service_stop(&s);
}

/* Many that wait come in few calls, also after a time in which they came one by one. */
static void test_many_in_few_calls(void)
{
	struct service s;
	if (!service_start(&s, "127.0.0.1", MUCH, 0))
		return;
	for (uint64_t i = 0; i < 100; i++) {
		ask(&s, i);
		CHECK_INT(echo(&s, 1), 1);
		is_answered(&s, i);
	}
	for (uint64_t i = 0; i < 100; i++)
		ask(&s, i);
	CHECK(echo(&s, 100) < 50);
	service_stop(&s);
}

/* Nothing there: EAGAIN, at once or after SO_RCVTIMEO, and nothing of the batch before is seen again. */
static void check_empty(const char *host)
{
	struct service s;
	struct udp_question q;
	struct timeval tick = { .tv_usec = 1000 };
	if (!service_start(&s, host, MUCH, 0))
		return;
	for (uint64_t i = 0; i < 40; i++) {
		ask(&s, i);
		CHECK_INT(echo(&s, 1), 1);
		is_answered(&s, i);
		errno = 0;
		CHECK_INT(udpbatch_receive(&s.b, MSG_DONTWAIT), -1);
		CHECK_INT(errno, EAGAIN);
		CHECK(!udpbatch_next(&s.b, clk_mono_ns(), &q));
		udpbatch_send(&s.b, 0);
	}
	setsockopt(s.fd, SOL_SOCKET, SO_RCVTIMEO, &tick, sizeof(tick));
	CHECK_INT(udpbatch_receive(&s.b, MSG_WAITFORONE), -1);
	CHECK_INT(errno, EAGAIN);
	is_silent(&s);
	CHECK_INT(s.b.count.received, 40);
	service_stop(&s);
}

/* A question that nobody answers is silent; one that is answered with nothing gets an empty datagram. */
static void check_silence_between(const char *host)
{
	struct service s;
	struct udp_question q;
	char byte;
	if (!service_start(&s, host, MUCH, 0))
		return;
	for (uint64_t i = 0; i < 9; i++)
		ask(&s, i);
	uint64_t seen = 0;
	while (seen < 9 && is_readable(s.fd) && udpbatch_receive(&s.b, MSG_WAITFORONE) > 0) {
		for (; udpbatch_next(&s.b, clk_mono_ns(), &q); seen++) {
			memcpy(q.room, q.bytes, q.len);
			if (seen % 3 == 0)
				udpbatch_answer(&s.b, q.len);
			else if (seen % 3 == 1)
				udpbatch_answer(&s.b, 0);
		}
		udpbatch_send(&s.b, 0);
	}
	for (uint64_t i = 0; i < 9; i += 3) {
		is_answered(&s, i);
		CHECK(is_readable(s.client));
		CHECK_INT(recv(s.client, &byte, 1, 0), 0);
	}
	CHECK_INT(s.b.count.answered, 6);
	CHECK_INT(s.b.count.silent, 3);
	is_silent(&s);
	service_stop(&s);
}

static void test_mute(void)
{
	struct service s;
	struct udp_question q;
	if (!service_start(&s, "127.0.0.1", MUCH, 0))
		return;
	s.b.is_mute = true;
	ask(&s, 0);
	CHECK(is_readable(s.fd));
	CHECK_INT(udpbatch_receive(&s.b, MSG_WAITFORONE), 1);
	CHECK(!udpbatch_next(&s.b, clk_mono_ns(), &q));
	CHECK_INT(s.b.count.silent, 1);
	service_stop(&s);
}

/* --- how long an answer may be ----------------------------------------------------------------------------------- */

static void test_length(void)
{
	struct service s;
	struct udp_question q;
	static const struct {
		size_t len, may_exceed;
		bool allowed;
	} rows[] = { { BYTES, 0, true },
		     { BYTES + 1, 0, false },
		     { BYTES + 1, BYTES, false },
		     { BYTES + 1, BYTES + 1, true },
		     { UDP_LEN_MAX, BYTES + 1, false },
		     { 0, 0, true } };
	if (!service_start(&s, "127.0.0.1", MUCH, 0))
		return;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		s.b.may_exceed = rows[i].may_exceed;
		ask(&s, i);
		CHECK(is_readable(s.fd) && udpbatch_receive(&s.b, MSG_WAITFORONE) == 1);
		CHECK(udpbatch_next(&s.b, clk_mono_ns(), &q));
		memset(q.room, 0, rows[i].len);
		CHECK_INT(udpbatch_answer(&s.b, rows[i].len), rows[i].allowed);
		CHECK(!udpbatch_next(&s.b, clk_mono_ns(), &q));
		udpbatch_send(&s.b, 0);
	}
	CHECK_INT(s.b.count.answered, 3);
	CHECK_INT(s.b.count.refused_long, 3);
	CHECK_INT(s.b.count.silent, 0);
	service_stop(&s);
}

/* One that the kernel does not take (longer than IPv4 can carry), alone and among others. */
static void check_refused_by_the_kernel(int n, int bad)
{
	struct service s;
	struct udp_question q;
	if (!service_start(&s, "127.0.0.1", MUCH, 0))
		return;
	s.b.may_exceed = UDP_LEN_MAX;
	for (int i = 0; i < n; i++)
		ask(&s, (uint64_t)i);
	int seen = 0;
	while (seen < n && is_readable(s.fd) && udpbatch_receive(&s.b, MSG_WAITFORONE) > 0) {
		for (; udpbatch_next(&s.b, clk_mono_ns(), &q); seen++) {
			memcpy(q.room, q.bytes, q.len);
			udpbatch_answer(&s.b, seen == bad ? UDP_LEN_MAX : q.len);
		}
		udpbatch_send(&s.b, 0);
	}
	for (int i = 0; i < n; i++)
		if (i != bad)
			is_answered(&s, (uint64_t)i);
	CHECK_INT(s.b.count.dropped, 1);
	CHECK_INT(s.b.count.answered, n - 1);
	CHECK_INT(s.b.count.bytes_out, (n - 1) * BYTES);
	service_stop(&s);
}

/* --- how often --------------------------------------------------------------------------------------------------- */

/* Loopback may be free of the limit; whoever is not loopback is not. */
static void check_rate(const char *host, bool is_free)
{
	enum { RATE = 5, ASKED = 40 };
	struct service s;
	if (!service_start(&s, host, RATE, 0))
		return;
	s.b.is_local_free = is_free;
	uint64_t start_ns = clk_mono_ns();
	for (uint64_t i = 0; i < ASKED; i++) {
		ask(&s, i);
		if (echo(&s, 1) < 0)
			break;
	}
	uint64_t refill = (clk_mono_ns() - start_ns) * RATE / NS_PER_S + 1;
	if (is_free) {
		CHECK_INT(s.b.count.answered, ASKED);
	} else {
		CHECK(s.b.count.answered >= RATE && s.b.count.answered <= RATE + refill);
		CHECK_INT(s.b.count.refused_rate, ASKED - s.b.count.answered);
	}
	service_stop(&s);
}

/* --- from where -------------------------------------------------------------------------------------------------- */

/* Bound to all addresses: the answer comes from the one that was asked, one by one and in batches; a connected client
 * hears nobody else. */
static void test_source(void)
{
	static const char *const asked[] = { "127.0.0.2", "127.3.2.1", "127.0.0.1" };
	struct service s;
	if (!service_start(&s, NULL, MUCH, 0))
		return;
	for (int round = 0; round < 10; round++)
		for (size_t i = 0; i < COUNT_OF(asked); i++) {
			struct addr to = at_port(asked[i], addr_port(&s.bound));
			int fd = socket(AF_INET, SOCK_DGRAM, 0), old = s.client;
			CHECK_INT(connect(fd, &to.u.sa, to.len), 0);
			s.client = fd;
			int n = round % 3 + 1;
			for (int k = 0; k < n; k++)
				ask(&s, (uint64_t)k);
			echo(&s, n);
			for (int k = 0; k < n; k++)
				is_answered(&s, (uint64_t)k);
			s.client = old;
			close(fd);
		}
	service_stop(&s);
}

/* --- beside the datagram ----------------------------------------------------------------------------------------- */

/* The kernel switches its stamps on a little later than it was asked to (kstamp.h): questions until one has its stamp. */
static bool await_first_stamp(struct service *s)
{
	struct udp_question q;
	uint64_t deadline_ns = clk_mono_ns() + UINT64_C(5) * NS_PER_S;
	bool has_come = false;
	while (!has_come && clk_mono_ns() < deadline_ns) {
		ask(s, 0);
		if (!is_readable(s->fd) || udpbatch_receive(&s->b, MSG_WAITFORONE) < 0)
			break;
		while (udpbatch_next(&s->b, clk_mono_ns(), &q))
			has_come = kstamp_received(q.header).software_ns != 0;
		poll(NULL, 0, has_come ? 0 : 1);
	}
	return CHECK(has_come);
}

/* The kernel's stamps come with questions, and answers can ask for theirs, from the first to the last of a batch. */
static void check_stamps(const char *host, int n)
{
	struct service s;
	struct udp_question q;
	if (!service_start(&s, host, MUCH, KSTAMP_LEN))
		return;
	CHECK_INT(kstamp_ask(s.fd, KSTAMP_RECEIVED), 0);
	s.b.is_bare = false;
	await_first_stamp(&s);
	int seen = 0, stamped = 0, sent = 0;
	for (int i = 0; i < n; i++)
		ask(&s, (uint64_t)i);
	while (seen < n && is_readable(s.fd) && udpbatch_receive(&s.b, MSG_WAITFORONE) > 0) {
		for (; udpbatch_next(&s.b, clk_mono_ns(), &q); seen++) {
			stamped += kstamp_received(q.header).software_ns != 0;
			memcpy(q.room, q.bytes, q.len);
			udpbatch_answer(&s.b, q.len);
			kstamp_ask_one(q.answer, 0);
		}
		udpbatch_send(&s.b, 0);
	}
	for (int i = 0; i < n; i++)
		is_answered(&s, (uint64_t)i);
	CHECK_INT(s.b.count.answered, n);
	CHECK_INT(s.b.count.truncated, 0);
	CHECK_INT(stamped, n);
	struct kstamp_sent stamp;
	uint64_t deadline_ns = clk_mono_ns() + UINT64_C(5) * NS_PER_S;
	while (sent < n && clk_mono_ns() < deadline_ns) {
		int taken = kstamp_take(s.fd, &stamp);
		CHECK(taken >= 0);
		sent += taken == 1 && stamp.event == KSTAMP_SND;
		if (taken != 1)
			poll(NULL, 0, 1);
	}
	CHECK_INT(sent, n);
	service_stop(&s);
}

static void test_errors(void)
{
	struct udpbatch b;
	CHECK_INT(udpbatch_open(&b, -1, 0, 0), -1);
	CHECK_INT(errno, EBADF);
	struct service s;
	if (!service_start(&s, "127.0.0.1", 0, 0))
		return;
	int fd = s.b.fd;
	s.b.fd = -1;
	CHECK_INT(udpbatch_receive(&s.b, MSG_DONTWAIT), -1);
	CHECK_INT(errno, EBADF);
	s.b.fd = fd;
	service_stop(&s);
}

int main(void)
{
	for (size_t i = 0; i < COUNT_OF(hosts); i++) {
		check_ones_and_many(hosts[i]);
		check_empty(hosts[i]);
		check_silence_between(hosts[i]);
		check_rate(hosts[i], true);
		check_rate(hosts[i], false);
		check_stamps(hosts[i], 1);
		check_stamps(hosts[i], 3 * UDP_BATCH);
	}
	test_many_in_few_calls();
	test_mute();
	test_length();
	check_refused_by_the_kernel(1, 0);
	check_refused_by_the_kernel(5, 0);
	check_refused_by_the_kernel(5, 2);
	check_refused_by_the_kernel(5, 4);
	test_source();
	test_errors();
	return check_done();
}
