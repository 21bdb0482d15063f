/* datagram.h - the bytes of a question and an answer, in three forms. Memory only; described in docs/wire-formats.md.
 *
 *	plain      16 bytes: the course's; two times in us since 1970, little-endian
 *	extended   152 bytes and padding: ours; big-endian, ns
 *	NTP        48 bytes: a client's question (mode 3) and a server's answer (mode 4), RFC 5905 7.3
 *
 * What comes from a peer is checked for its form only: its times and counts may be anything. */
#ifndef TCPLAB_ROUNDTRIP_DATAGRAM_H
#define TCPLAB_ROUNDTRIP_DATAGRAM_H

#include "cdefs.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PLAIN_LEN = 16, NTP_LEN = 48, EXTENDED_LEN = 152, SIGNATURE_LEN = 32, DATAGRAM_MAX = 65507 };

/* --- plain -------------------------------------------------------------------------------------------------------- */

struct plain {
	int64_t request_us, response_us;
};
void plain_put(unsigned char out[static PLAIN_LEN], struct plain p);
struct plain plain_get(const unsigned char in[static PLAIN_LEN]);

/* On a connection nobody can ignore a message that is longer, so the first plain question carries this where an old
 * server writes its time; a new one leaves PLAIN_YES there, and both go on extended. */
#define PLAIN_MAY_WE INT64_C(0x746c52545f657874)
#define PLAIN_YES    INT64_C(0x746c52545f796573)

/* --- extended ----------------------------------------------------------------------------------------------------- */

enum extended_kind {
	EXTENDED_QUESTION = 1,
	EXTENDED_ANSWER = 2,
	EXTENDED_CHALLENGE = 3, /* ask again, with this cookie: shows that you are where you say you are, now */
};

enum extended_flag {
	EXTENDED_WHERE = 1 << 0,   /* tell when the kernel had it */
	EXTENDED_SIGNED = 1 << 1,  /* the last 32 bytes are the HMAC of all before */
	EXTENDED_SYNC = 1 << 2,    /* the server knows what its synchronisation is worth ... */
	EXTENDED_IN_SYNC = 1 << 3, /* ... and it is synchronised, to within error_ns */
	EXTENDED_EARLIER = 1 << 4, /* `earlier` and what follows it are there */
};

/* All times ns since 1970; a stamp that is not there is 0. */
struct extended {
	uint8_t kind;
	uint16_t flags;
	uint32_t len;     /* of the whole datagram */
	uint32_t limit;   /* answers each second that one source gets; 0: as many as it asks for */
	uint64_t session; /* a random number, for each run of a client another one */
	uint64_t number;  /* of the question, from 0 */
	int64_t t1, t2, t3;
	uint64_t answer; /* number of the answer, from 0; for a copy of a question there is another answer */
	uint64_t up_received, up_next; /* of this session, including this one; see track.h */
	uint32_t up_duplicated, up_reordered;
	uint64_t cookie;
	uint64_t error_ns; /* see EXTENDED_IN_SYNC */
	int64_t k2, h2;    /* when the kernel, and the card, received this question */
	uint64_t earlier;  /* the number of an earlier question, whose answer left at: */
	int64_t k3_sched, k3_sent, h3;
};

/* Writes x->len bytes at least EXTENDED_LEN; the padding is zero, and so is the place of a signature. */
void extended_put(unsigned char *out, const struct extended *x);

/* False: the n bytes are not one whole extended datagram. */
MUST_USE bool extended_get(const unsigned char *in, size_t n, struct extended *x);

/* On a connection: does a message of ours begin here? Its length, or 0. Of `in` the first 12 bytes are looked at. */
enum { EXTENDED_HEAD = 12 };
size_t extended_len(const unsigned char in[static EXTENDED_HEAD]);

/* --- NTP ---------------------------------------------------------------------------------------------------------- */

/* What an answer says beside its times. */
struct ntp {
	uint8_t leap;             /* 3: it says that it is not synchronised */
	uint8_t version, stratum; /* stratum 0: a kiss, and why stands in `reference` */
	int8_t precision;         /* log2 of seconds */
	uint64_t root_delay_ns, root_dispersion_ns;
	char reference[5]; /* four characters of stratum 0 and 1 */
	int64_t t2, t3;
	uint64_t origin; /* what we said was our time: the nonce of the question */
};

/* Our transmit time is a random number, so that only who saw the question can answer it; a server copies it and does
 * not look at it (RFC 5905 7.3, "origin timestamp"). */
void ntp_put(unsigned char out[static NTP_LEN], uint64_t nonce);

/* NULL; or why it is no answer, and then *out is all zero, or a kiss. now_ns: by our clock, tells the era (RFC 5905
 * 6). */
const char *ntp_get(const unsigned char *in, size_t n, int64_t now_ns, struct ntp *out);

#endif
