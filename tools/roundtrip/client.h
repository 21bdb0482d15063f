/* client.h - one run of the client.
 *
 *	client.c   when: the schedule, and how to wait          talk.c   what: questions out, answers in
 *
 * One thread does both. To wait for the next answer and for the time of the next question is one ppoll(2); so no loss
 * can stop it, and no lock is between sending and receiving.
 *
 *	intended:   |     |     |     |     |     |       every --interval, or at random (--poisson)
 *	sent:       |      |    |         |||             as soon as it can; what was late is in the corrected RTT
 *
 * The questions under way are kept in a ring, by number: what the answer says of our own times is not believed, only
 * compared. */
#ifndef TCPLAB_ROUNDTRIP_CLIENT_H
#define TCPLAB_ROUNDTRIP_CLIENT_H

#include "auth.h"
#include "datagram.h"
#include "kstamp.h"
#include "roundtrip.h"

/* What is asked of kstamp.h with --where. */
enum { TALK_STAMPS = KSTAMP_RECEIVED | KSTAMP_SENT | KSTAMP_HARDWARE };

enum { CLIENT_RING = 1 << 15, CLIENT_STAMPS = 1 << 10 };

enum client_mode { MODE_EXTENDED, MODE_PLAIN, MODE_NTP };

struct question {
	uint64_t number;
	enum { QUESTION_NONE, QUESTION_SENT, QUESTION_ANSWERED, QUESTION_TOO_LATE } state;
	bool awaits_stamps; /* answered, and the stamps of its answer have not come */
	struct exchange x;
};

struct client {
	const struct roundtrip_options *o;
	int fd;
	char peer[SOCKS_PLACE_TEXT]; /* an address, or behind a SOCKS server what the user calls it */
	enum client_mode mode;
	struct auth auth; /* the key; no secret */
	uint64_t session, cookie;
	size_t len;        /* bytes of a question */
	uint32_t limit;    /* what the server said of its own; 0: none, or not known */
	struct ntp ntp;    /* the last answer, for the report */
	bool has_warned;   /* of somebody who refuses */
	bool has_answer;   /* the server speaks as we do */
	bool is_kissed;    /* an NTP server does not want to be asked (RFC 5905 7.4) */
	bool is_ending;    /* nothing is asked any more */
	bool is_forgotten; /* the server counts anew: on which way something was lost, it cannot tell any more */

	uint64_t start_ns; /* monotonic; all times in an exchange count from here */
	uint64_t next_number;
	uint64_t next_ns; /* when the next question should be sent */
	uint64_t last_sent_ns;
	uint64_t now_ns;              /* the latest reading of the monotonic clock */
	struct question *unaccounted; /* answered, and not in the figures yet */

	struct question ring[CLIENT_RING];
	uint64_t stamped[CLIENT_STAMPS]; /* --where: question of the kernel's Nth sent datagram */
	uint32_t n_stamped;

	size_t n_in; /* --tcp: bytes of an answer that is not whole yet */
	unsigned char in[DATAGRAM_MAX], out[DATAGRAM_MAX];

	const struct report_about *about; /* NULL: no reports */
	struct measure m;
	struct steer steer;
};

/* --- talk.c ------------------------------------------------------------------------------------------------------ */

/* Sends the next question, which should have been sent at intended_ns. 0; or -1 with errno when the connection is gone:
 * what UDP says of nobody listening is counted only. */
MUST_USE int talk_ask(struct client *c, uint64_t intended_ns);

/* Takes what has come; BLOCKS if flags do not say MSG_DONTWAIT, until SO_RCVTIMEO. How many answers were new; -1 with
 * errno: EAGAIN nothing has come, EINTR, or the connection is gone (EPROTO: by the server's FIN). */
MUST_USE int talk_hear(struct client *c, int flags);

/* The last one once more, because nobody has answered it; it counts once. */
MUST_USE int talk_ask_again(struct client *c);

/* What the last answer means for the figures: later than talk_hear, so that in a closed loop the next question is under
 * way meanwhile. talk_hear and talk_ask do it for the one before, if need be. */
void talk_account(struct client *c);

/* Stamps of questions, from the error queue. */
void talk_take_stamps(struct client *c);

/* Those of the last answers will not come any more. */
void talk_last_stamps(struct client *c);

/* --- client.c ---------------------------------------------------------------------------------------------------- */

/* open: connects; the caller's, who closes it; NULL after having said why not; o is borrowed until then. run: BLOCKS
 * from the first question to the last answer; 0, or the errno that ended it. close: NULL is fine. */
struct client *roundtrip_client_open(const struct roundtrip_options *o);
MUST_USE int roundtrip_client_run(struct client *c);
void roundtrip_client_close(struct client *c);

#endif
