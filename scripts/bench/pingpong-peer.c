/* pingpong-peer.c - see pingpong-peer.h. */
#include "pingpong-peer.h"

#include "clock.h"
#include "diag.h"
#include "os.h"
#include "sock.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

static const struct sock_options nodelay = { .nodelay = true };

static _Noreturn void misuse(void)
{
	fprintf(stderr, "usage: %s -s [-p PORT] | HOST -p PORT -c CONNS -l LEN --time SECONDS\n", diag_tool);
	exit(2);
}

struct peer_options peer_parse(const char *name, const char *version, int argc, char **argv)
{
	static const struct option longs[] = {
		{ "time", required_argument, NULL, 't' },
		{ "events", no_argument, NULL, 'e' },
		{ "version", no_argument, NULL, 'v' },
		{ "json", no_argument, NULL, 'j' }, /* there is no other report */
		{ 0 },
	};
	struct peer_options o = { .conns = 1, .len = 16, .time_ns = NS_PER_S };
	diag_tool = name;
	for (int c; (c = getopt_long(argc, argv, "sp:c:l:", longs, NULL)) != -1;) {
		switch (c) {
		case 's':
			o.server = true;
			break;
		case 'e':
			o.events = true;
			break;
		case 'p':
			o.port = (uint16_t)atoi(optarg);
			break;
		case 'c':
			o.conns = (unsigned)atoi(optarg);
			break;
		case 'l':
			o.len = (size_t)atol(optarg);
			break;
		case 't':
			o.time_ns = (uint64_t)(atof(optarg) * NS_PER_S);
			break;
		case 'j':
			break;
		case 'v':
			puts(version);
			exit(0);
		default:
			misuse();
		}
	}
	if (o.server == (optind < argc) || o.conns == 0 || o.len == 0 || o.len > PEER_BUFFER || o.time_ns == 0)
		misuse();
	o.host = o.server ? "127.0.0.1" : argv[optind];
	os_raise_fd_limit();
	signal(SIGPIPE, SIG_IGN); /* neither library does: a client that is gone would kill the server */
	return o;
}

int peer_listen(const struct peer_options *o)
{
	struct addr bound;
	struct net_error e;
	char text[NET_ERROR_TEXT], where[ADDR_TEXT];
	int fd = sock_serve(o->host, o->port, AF_INET, &nodelay, &bound, &e);
	if (fd < 0)
		die("%s", net_error_text(&e, text));
	warnf("listening on %s", addr_text(&bound, where));
	return fd;
}

int peer_connect(const struct peer_options *o)
{
	struct addr to;
	struct net_error e;
	char text[NET_ERROR_TEXT];
	struct io_until until = { .deadline_ns = clk_mono_ns() + UINT64_C(30) * NS_PER_S };
	if (addr_resolve(o->host, o->port, AF_INET, &to, 1, &e) < 0)
		die("%s", net_error_text(&e, text));
	int fd = sock_connect(&to, 1, NULL, &nodelay, &until, &e);
	if (fd < 0)
		die("%s", net_error_text(&e, text));
	return fd;
}

void peer_start(struct peer_run *run, const struct peer_options *o)
{
	*run = (struct peer_run){ .o = o, .start_ns = clk_mono_ns() };
}

static _Noreturn void report(const struct peer_run *run, uint64_t elapsed_ns)
{
	printf("{\"schema\":\"tcplab.bench/1\",\"record\":\"total\",\"messages\":%llu,\"bytes\":%llu,\"elapsed_ns\":%llu,"
	       "\"rtt_p50_ns\":%llu,\"rtt_p99_ns\":%llu}\n",
	       (unsigned long long)run->rtt.n, (unsigned long long)(run->rtt.n * run->o->len),
	       (unsigned long long)elapsed_ns, (unsigned long long)hist_quantile(&run->rtt, 0.5),
	       (unsigned long long)hist_quantile(&run->rtt, 0.99));
	exit(fflush(stdout) == 0 ? 0 : 1);
}

/* WHY no timer of the library: libuv looks at its timers after up to 48 times 1024 events, which is a second at 10,000
 * connections. The time is read here anyway. */
uint64_t peer_count(struct peer_run *run, uint64_t sent_ns)
{
	uint64_t now_ns = clk_mono_ns();
	hist_add(&run->rtt, now_ns - sent_ns);
	if (now_ns - run->start_ns >= run->o->time_ns)
		report(run, now_ns - run->start_ns);
	return now_ns;
}
