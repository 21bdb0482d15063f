#include "asker.h"

#include "clock.h"
#include "diag.h"
#include "mem.h"
#include "record.h"
#include "sig.h"
#include "sock.h"
#include "units.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static const uint64_t ANSWER_NS = NS_PER_S;

struct asker {
	int fd;
	const char *peer;
	unsigned char *question, *answer;
	uint64_t sent, received, bytes;
};

/* Waits until an answer is there: 1, 0 at the deadline or after a signal, -1 with errno. */
static int wait_answer(const struct asker *a)
{
	struct pollfd p = { .fd = a->fd, .events = POLLIN };
	return sig_wait(&p, 1, clk_mono_ns() + ANSWER_NS);
}

/* Asks until an answer comes: its length, or -1 with errno (ETIMEDOUT). */
static ssize_t ask_until_answered(struct asker *a, size_t n)
{
	for (int tries = 0; tries < ASKER_TRIES && sig_pending(NULL) == 0; tries++) {
		if (send(a->fd, a->question, n, 0) < 0)
			return -1;
		a->sent++;
		int ready = wait_answer(a);
		if (ready > 0)
			return recv(a->fd, a->answer, UDP_LEN_MAX, 0);
		if (ready < 0)
			return -1;
	}
	errno = ETIMEDOUT;
	return -1;
}

static int fail(const struct asker *a, const struct service_options *o, const char *reason)
{
	struct net_error e;
	if (sig_pending(NULL) != 0)
		return 1;
	net_fail(&e, "ask", a->peer);
	if (e.sys == ETIMEDOUT)
		e.reason = "no answer to any of 3 questions";
	if (reason != NULL)
		e.reason = reason;
	record_error(o->json, &e);
	return 1;
}

static int ask_all(struct asker *a, const struct service_options *o, asker_ask_fn *ask, asker_check_fn *check)
{
	for (uint64_t i = 0; i < o->count && sig_pending(NULL) == 0; i++) {
		size_t n = ask(a->question, i);
		if (check == NULL) {
			if (send(a->fd, a->question, n, 0) < 0)
				return fail(a, o, NULL);
			a->sent++;
			a->bytes += n;
			continue;
		}
		ssize_t len = ask_until_answered(a, n);
		if (len < 0)
			return fail(a, o, NULL);
		a->received++;
		a->bytes += (size_t)len;
		const char *wrong = check(a->question, n, a->answer, (size_t)len);
		if (wrong != NULL) {
			warnf("%s: answer %llu is wrong: %s", a->peer, (unsigned long long)i + 1, wrong);
			return 3;
		}
	}
	return 0;
}

static void print_total(const struct asker *a, const struct service_options *o, uint64_t took_ns, bool verified,
			asker_report_fn *report)
{
	char size[UNITS_TEXT], time[UNITS_TEXT];
	if (!o->json) {
		printf("UDP: %llu questions, %llu answers, %s in %s\n", (unsigned long long)a->sent,
		       (unsigned long long)a->received, units_size(size, a->bytes), units_duration(time, took_ns));
		return;
	}
	struct json j;
	record_begin(&j, "total");
	json_str(&j, "role", "client");
	json_u64(&j, "bytes", a->bytes);
	json_u64(&j, "elapsed_ns", took_ns);
	json_f64(&j, "rate_Bps", took_ns > 0 ? (double)a->bytes * 1e9 / (double)took_ns : 0);
	json_u64(&j, "connections", 0);
	json_u64(&j, "sent", a->sent);
	json_u64(&j, "received", a->received);
	json_bool(&j, "verified", verified);
	if (report != NULL)
		report(&j);
	json_end(&j);
}

int asker_run(const struct service_options *o, const char *host, asker_ask_fn *ask, asker_check_fn *check,
	      asker_report_fn *report)
{
	struct addr list[ADDR_MAX];
	char text[ADDR_TEXT];
	struct net_error e;
	sig_open();
	sig_let_in(true);
	int n = addr_resolve(host, (uint16_t)o->port, service_family(o), list, COUNT_OF(list), &e);
	sig_let_in(false);
	int fd = n < 0 ? -1 : sock_connect_udp(list, (size_t)n, NULL, &e);
	if (fd < 0) {
		record_error(o->json, &e);
		return sig_exit_status(1);
	}
	struct asker a = { .fd = fd, .peer = addr_text(&list[0], text) };
	struct addr peer;
	if (addr_of_peer(fd, &peer) == 0)
		addr_text(&peer, text);
	a.question = xmalloc(UDP_LEN_MAX);
	a.answer = xmalloc(UDP_LEN_MAX);
	uint64_t start_ns = clk_mono_ns();
	int status = ask_all(&a, o, ask, check);
	if (status != 1)
		print_total(&a, o, clk_mono_ns() - start_ns, status == 0, report);
	free(a.question);
	free(a.answer);
	close(fd);
	return record_finish(sig_exit_status(status));
}
