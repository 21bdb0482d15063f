/* roundtrip.h - what the chapters of roundtrip share.
 *
 *	client.c    schedule --> question --> socket        server.c   socket --> question --> answer --> socket
 *	            socket --> answer --> measure.c                    visitors.c: what is kept of each client
 *	            report.c  draws and prints it                      tcp.c: the same on connections
 *
 *	datagram.c  the bytes: plain (the course's 16), extended (ours), NTP
 *	measure.c   track.c timeline.c clockfit.c steer.c: figures from stamps; memory only */
#ifndef TCPLAB_ROUNDTRIP_H
#define TCPLAB_ROUNDTRIP_H

#include "addr.h"
#include "args.h"
#include "diag.h"
#include "hmac.h"
#include "measure.h"
#include "socks.h"
#include "steer.h"

#include <stdbool.h>
#include <stdint.h>

enum { ROUNDTRIP_PORT = 3123, NTP_PORT = 123 };

enum roundtrip_wire { WIRE_AUTO, WIRE_PLAIN, WIRE_EXTENDED };

struct roundtrip_options {
	bool server, naive, tcp, nodelay, ntp, clock, same_core;
	bool ipv4, ipv6, json, verbose, busy_poll, poisson, where, steer, histogram;
	const char *host, *bind, *key_file, *csv_file, *svg_file;
	const char *skew, *drift, *socks_text; /* as typed; parsed: */
	int64_t skew_ns;
	double drift_ppm;
	struct socks_proxy socks;
	int wire; /* enum roundtrip_wire */
	uint64_t port, count, time_ns, interval_ns, report_ns, timeout_ns, size, dscp, seed, udp_rate, max_conn;
};

/* AF_INET, AF_INET6, or AF_UNSPEC: -4, -6. */
static inline int roundtrip_family(const struct roundtrip_options *o)
{
	return o->ipv4 ? AF_INET : o->ipv6 ? AF_INET6 : AF_UNSPEC;
}

/* WHY: an end that is held up for a moment loses nothing of what has arrived; with the usual 200 KiB that would be 160 datagrams. The
 * system may allow less (net.core.rmem_max). */
static inline void roundtrip_make_room(int udp_fd)
{
	const int bytes = 1024 * 1024;
	int rc = setsockopt(udp_fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
	tracef("setsockopt(%d, SO_RCVBUF, %d) = %d", udp_fd, bytes, rc);
}

/* --- report.c and report_*.c: what a client prints --------------------------------------------------------------- */

/* What does not change during a run. Borrowed for as long as the report lives. */
struct report_about {
	const struct roundtrip_options *o;
	const char *peer;      /* "127.0.0.1:3123" */
	const char *transport; /* "udp", "tcp" */
	const char *wire;      /* "plain", "extended", "ntp"; may change until the first answer came */
	const struct ntp *ntp; /* --ntp: the server's last answer (datagram.h); NULL: none came, or no --ntp */
	uint64_t len;          /* bytes of a question */
};

/* Begins a run, also the second one of a process. */
void roundtrip_report_start(const struct report_about *a);
/* Every --report: a record or a line. Only what is new since the last call, but offset and drift, which are of the
 * whole run. */
void roundtrip_report_interval(const struct report_about *a, const struct measure *m);
/* If standard error is a terminal: the same line on it again and again. Ends it with a newline when m is NULL; so do
 * all other calls before they print. */
void roundtrip_report_live(const struct report_about *a, const struct measure *m);
void roundtrip_report_steer(const struct report_about *a, const struct steer_decision *d);
/* --csv: a line for each answer; with `where` the kernels' stamps, too. -1 with errno when the file cannot be made.
 * That it could not be written to its end is said by roundtrip_report_total, which closes it. */
int roundtrip_csv_open(const char *path, bool where);
void roundtrip_csv_add(uint64_t number, const struct exchange *x, const struct sample *s);
/* The last word; text or a total record, then the SVG. false: something could not be written (it has been said). */
bool roundtrip_report_total(const struct report_about *a, const struct measure *m);

/* --- keyfile.c ---------------------------------------------------------------------------------------------------- */

/* --key. False after having said why not. */
MUST_USE bool roundtrip_read_key(const struct roundtrip_options *o, struct hmac_key *key);

/* --- clocks.c ----------------------------------------------------------------------------------------------------- */

/* What the kernel says of the local clock. */
struct synchronised clocks_synchronised(void);

/* --- the roles; each returns the exit status ---------------------------------------------------------------------- */

int roundtrip_client(struct roundtrip_options *o);
int roundtrip_serve(struct roundtrip_options *o);
int roundtrip_clocks(const struct roundtrip_options *o); /* clocks.c: --clock */
int roundtrip_same_core(struct roundtrip_options *o);    /* samecore.c */

#endif
