#include "auth.h"

#include "datagram.h"
#include "wire.h"

#include <assert.h>

void auth_sign(const struct auth *a, unsigned char *datagram, size_t n)
{
	assert(n >= EXTENDED_LEN + SIGNATURE_LEN);
	hmac_sign(&a->key, datagram, n - SIGNATURE_LEN, datagram + n - SIGNATURE_LEN);
}

bool auth_verify(const struct auth *a, const unsigned char *datagram, size_t n)
{
	unsigned char right[SHA256_LEN];
	if (n < EXTENDED_LEN + SIGNATURE_LEN)
		return false;
	hmac_sign(&a->key, datagram, n - SIGNATURE_LEN, right);
	return hmac_equal(right, datagram + n - SIGNATURE_LEN, SIGNATURE_LEN);
}

static uint64_t cookie_of_slot(const struct auth *a, uint64_t session, uint64_t source, uint64_t slot)
{
	unsigned char what[24], code[SHA256_LEN];
	be64_put(what, session);
	be64_put(what + 8, source);
	be64_put(what + 16, slot);
	hmac_sign(&a->secret, what, sizeof(what), code);
	return be64_get(code);
}

uint64_t auth_cookie(const struct auth *a, uint64_t session, uint64_t source, uint64_t now_ns)
{
	return cookie_of_slot(a, session, source, now_ns / AUTH_SLOT_NS);
}

bool auth_is_cookie(const struct auth *a, uint64_t cookie, uint64_t session, uint64_t source, uint64_t now_ns)
{
	uint64_t slot = now_ns / AUTH_SLOT_NS;
	uint64_t now = cookie_of_slot(a, session, source, slot);
	uint64_t before = cookie_of_slot(a, session, source, slot - 1);
	bool is_now = hmac_equal(&cookie, &now, sizeof(now)), is_before = hmac_equal(&cookie, &before, sizeof(before));
	return is_now || is_before;
}
