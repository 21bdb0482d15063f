/* hub.h - what the chapters of hub share: the options, the bytes on the wire, the counters.
 *
 * The stream is a sequence of blocks, each with a header; the last one has no payload:
 *
 *	"HUB1"   length of the payload   sequence                             payload
 *	4 bytes  4 bytes                 8 bytes: 0, 1, 2 ...; in the end     bytes [sequence x length, + length) of the
 *	                                 block how many there were            stream of HUB_SEED (common/prng.h)
 *
 * Numbers are big-endian. All blocks of a run have the same length, so each can be checked by whoever has only that
 * one. */
#ifndef HUB_H
#define HUB_H

#include "addr.h"
#include "wire.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum {
	HUB_PORT = 2029,
	HUB_HEADER_LEN = 16,
	HUB_LENGTH_MAX = 1024 * 1024,
	HUB_CLIENTS_MAX = 100,
};
#define HUB_SEED UINT64_C(2029)

enum hub_policy { HUB_DROP, HUB_KICK, HUB_WAIT };

/* How a connection ended, for either side. */
enum hub_end {
	HUB_LIVES,
	HUB_COMPLETE,    /* with the last block, and FIN both ways */
	HUB_RESET,       /* by the other side, or by the network */
	HUB_KICKED,      /* hub: --policy kick */
	HUB_STUCK,       /* hub: after the last block it took no more */
	HUB_FIN,         /* client: the hub closed before the last block */
	HUB_GARBAGE,     /* client: what came is not a hub's */
	HUB_INTERRUPTED, /* by a signal */
};

struct hub_options {
	bool server, fixed, json, ipv4, ipv6;
	int policy;
	uint64_t port, clients, rate_Bps, length, high, cap, time_ns, interval_ns;
	uint64_t stop_after, stop_for_ns; /* of a client */
	const char *bind, *host;
};

static inline void hub_put_header(unsigned char p[static HUB_HEADER_LEN], uint32_t length, uint64_t sequence)
{
	memcpy(p, "HUB1", 4);
	be32_put(p + 4, length);
	be64_put(p + 8, sequence);
}

/* False: not from a hub, or a length that no hub has. */
static inline bool hub_get_header(const unsigned char p[static HUB_HEADER_LEN], uint32_t *length, uint64_t *sequence)
{
	*length = be32_get(p + 4);
	*sequence = be64_get(p + 8);
	return memcmp(p, "HUB1", 4) == 0 && *length <= HUB_LENGTH_MAX;
}

/* What the hub knows of one client. */
struct hub_account {
	char peer[ADDR_TEXT];
	uint64_t blocks, dropped;     /* taken for this client, left out for it */
	uint64_t bytes;               /* that the kernel took */
	uint64_t queued, queued_peak; /* bytes that wait for the kernel to take them */
	enum hub_end end;
};

/* What the hub knows of itself. */
struct hub_totals {
	uint64_t blocks, bytes, elapsed_ns;
	uint64_t clients, live, refused, dropped, kicked; /* clients: who ever came; live: who is there */
	uint64_t queued, queued_peak;                     /* for all clients together; the peak is of one client */
	uint64_t held_ns;                                 /* --policy wait: time in which the source was held up */
	uint64_t rss, rss_start, rss_peak;
	bool capped;
};

/* What a client counted. */
struct hub_sight {
	uint64_t blocks, bytes, first, lost, bad, elapsed_ns; /* first: sequence of the first block */
	bool stopped;
	enum hub_end end;
};

/* --- client.c ----------------------------------------------------------------------------------------------------- */

/* Reads the stream to its end. The exit status; everything is reported. */
int hub_visit(const struct hub_options *o);

/* --- report.c ----------------------------------------------------------------------------------------------------- */

/* An error as a line on stderr, and as a record. Always 1, for `return hub_fail(...)`. */
int hub_fail(const struct hub_options *o, const struct net_error *e);

const char *hub_end_name(enum hub_end end);
void hub_print_start(const struct hub_options *o, const struct addr *bound);
void hub_print_interval(const struct hub_options *o, const struct hub_totals *t, uint64_t since_ns,
			uint64_t elapsed_ns);
void hub_print_account(const struct hub_options *o, const struct hub_account *a);
void hub_print_total(const struct hub_options *o, const struct hub_totals *t);
void hub_print_sight(const struct hub_options *o, const struct hub_sight *s);

#endif
