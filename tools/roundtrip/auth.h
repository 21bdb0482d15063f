/* auth.h - --key: only who has the key is answered, and nobody who plays back what somebody with the key has said.
 * Memory only.
 *
 *	client                                               server
 *	   question, signed, without a cookie  ------------>    signed: yes. Cookie: no.
 *	   <---------------- challenge, signed, with a cookie   (made of who asks and when: nothing is kept)
 *	   question, signed, with the cookie   ------------>    answered, if its number is new to the session
 *	   <----------- answer, signed, with the next cookie
 *
 * A recording of such questions is worth nothing: within the session their numbers have been seen, and when the session
 * is forgotten (no sooner than AUTH_KEEP_NS), their cookie is out of date. What can be played back is a first question,
 * which gets a challenge of the same length, and no answer. Each end signs what it sends; a question cannot be sent
 * back as an answer, because the kind of datagram is signed, too. */
#ifndef TCPLAB_ROUNDTRIP_AUTH_H
#define TCPLAB_ROUNDTRIP_AUTH_H

#include "cdefs.h"
#include "hmac.h"

#include <stdbool.h>
#include <stdint.h>

static const uint64_t AUTH_SLOT_NS = UINT64_C(60) * 1000 * 1000 *
				     1000; /* a cookie is of a slot, and good until the end of the next */
static const uint64_t AUTH_KEEP_NS = 2 * UINT64_C(60) * 1000 * 1000 * 1000;

struct auth {
	bool is_on;
	struct hmac_key key;    /* what both ends know */
	struct hmac_key secret; /* for cookies: drawn at the server's start, told to nobody */
};

/* Writes the signature into the last 32 bytes of a datagram of n. */
void auth_sign(const struct auth *a, unsigned char *datagram, size_t n);
MUST_USE bool auth_verify(const struct auth *a, const unsigned char *datagram, size_t n);

/* The cookie for this session and source now; and is this one good? */
uint64_t auth_cookie(const struct auth *a, uint64_t session, uint64_t source, uint64_t now_ns);
MUST_USE bool auth_is_cookie(const struct auth *a, uint64_t cookie, uint64_t session, uint64_t source, uint64_t now_ns);

#endif
