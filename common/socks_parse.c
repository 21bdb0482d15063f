/* socks_parse.c - see socks_parse.h. A message is looked at from its front each time more of it has come: it is short.
 *
 * The rules stand in the order of the bytes, and each begins with "if byte i is there": so the first wrong byte
 * decides, however they were cut, and nothing is read that has not come. */
#include "socks_parse.h"

#include "wire.h"

#include <assert.h>
#include <string.h>

enum { LOGIN_VERSION = 1 }; /* of RFC 1929, and not of SOCKS */
enum { GRANTED4 = 0x5a, REJECTED4 = 0x5b, NO_IDENTD4 = 0x5c, OTHER_USER4 = 0x5d };

/* What is wrong with some bytes, and what their sender should be told. */
struct flaw {
	const char *why;
	enum socks_reply refusal;
};

static size_t is_flawed(struct flaw *f, enum socks_reply refusal, const char *why)
{
	*f = (struct flaw){ why, refusal };
	return 0;
}

const char *socks_reply_symbol(enum socks_reply reply)
{
	static const char *const symbols[] = {
		[SOCKS_OK] = "ok",
		[SOCKS_FAILED] = "failed",
		[SOCKS_NOT_ALLOWED] = "not_allowed",
		[SOCKS_NET_UNREACHABLE] = "net_unreachable",
		[SOCKS_HOST_UNREACHABLE] = "host_unreachable",
		[SOCKS_REFUSED] = "refused",
		[SOCKS_TTL_EXPIRED] = "ttl_expired",
		[SOCKS_BAD_COMMAND] = "bad_command",
		[SOCKS_BAD_ADDRESS] = "bad_address",
	};
	return reply < COUNT_OF(symbols) ? symbols[reply] : "unknown";
}

/* --- pieces ------------------------------------------------------------------------------------------------------- */

static bool is_printable(const unsigned char *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (bytes[i] <= ' ' || bytes[i] >= 0x7f)
			return false;
	return true;
}

bool socks_is_name(const char *name)
{
	size_t len = strnlen(name, SOCKS_TEXT_MAX + 1);
	return len > 0 && len <= SOCKS_TEXT_MAX && is_printable((const unsigned char *)name, len);
}

static void copy_text(char out[static SOCKS_TEXT_MAX + 1], const unsigned char *bytes, size_t len)
{
	memcpy(out, bytes, len);
	out[len] = '\0';
}

static size_t put_bytes(unsigned char *out, const void *bytes, size_t len)
{
	memcpy(out, bytes, len);
	return len;
}

/* A length byte and as many bytes. */
static size_t put_counted(unsigned char *out, const char *text)
{
	size_t len = strlen(text);
	assert(len <= SOCKS_TEXT_MAX);
	out[0] = (unsigned char)len;
	return 1 + put_bytes(out + 1, text, len);
}

/* The length of a piece that begins with its own length byte, with that; 0: not even that has come. */
static size_t counted_len(const unsigned char *bytes, size_t n)
{
	return n > 0 ? 1 + (size_t)bytes[0] : 0;
}

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* --- a place: ATYP, address, port (RFC 1928 5) -------------------------------------------------------------------- */

static size_t get_ip(const unsigned char *bytes, size_t n, enum socks_place_kind kind, struct socks_place *out)
{
	size_t len = kind == SOCKS_IPV4 ? 4 : 16;
	if (n < 1 + len + 2)
		return 0;
	*out = (struct socks_place){ .kind = kind, .port = be16_get(bytes + 1 + len) };
	memcpy(out->ip, bytes + 1, len);
	return 1 + len + 2;
}

static size_t get_name(const unsigned char *bytes, size_t n, struct socks_place *out, struct flaw *f)
{
	size_t len = counted_len(bytes + 1, n - 1);
	if (len == 0)
		return 0;
	if (len == 1)
		return is_flawed(f, SOCKS_FAILED, "the name is empty");
	if (!is_printable(bytes + 2, least(n - 2, len - 1)))
		return is_flawed(f, SOCKS_FAILED, "the name has a byte that no name has");
	if (n < 1 + len + 2)
		return 0;
	*out = (struct socks_place){ .kind = SOCKS_NAME, .port = be16_get(bytes + 1 + len) };
	copy_text(out->name, bytes + 2, len - 1);
	return 1 + len + 2;
}

/* How many bytes the place has; 0: not all of it has come, or f->why is set. */
static size_t get_place(const unsigned char *bytes, size_t n, struct socks_place *out, struct flaw *f)
{
	if (n == 0)
		return 0;
	switch (bytes[0]) {
	case SOCKS_IPV4:
	case SOCKS_IPV6:
		return get_ip(bytes, n, (enum socks_place_kind)bytes[0], out);
	case SOCKS_NAME:
		return get_name(bytes, n, out, f);
	default:
		return is_flawed(f, SOCKS_BAD_ADDRESS, "the type of the address is unknown");
	}
}

static size_t put_place(unsigned char *out, const struct socks_place *place)
{
	static const struct socks_place nowhere = { .kind = SOCKS_IPV4 };
	const struct socks_place *it = place != NULL ? place : &nowhere;
	out[0] = (unsigned char)it->kind;
	size_t n = 1;
	if (it->kind == SOCKS_NAME)
		n += put_counted(out + n, it->name);
	else
		n += put_bytes(out + n, it->ip, it->kind == SOCKS_IPV4 ? 4 : 16);
	be16_put(out + n, it->port);
	return n + 2;
}

/* --- the client's words, as the server reads them ----------------------------------------------------------------- */

static enum socks_step bad(struct socks_parser *p, enum socks_reply refusal, const char *why)
{
	p->refusal = refusal;
	p->why = why;
	return SOCKS_BAD;
}

/* A whole message. */
static enum socks_step found(struct socks_parser *p, enum socks_step what, size_t used, enum socks_step next)
{
	p->used = used;
	p->next = next;
	return what;
}

/* VER NMETHODS METHODS... (RFC 1928 3). */
static enum socks_step take_methods(struct socks_parser *p, const unsigned char *bytes, size_t n)
{
	size_t len = counted_len(bytes + 1, n - 1);
	if (len == 1)
		return bad(p, SOCKS_FAILED, "it offers no method");
	if (len == 0 || n < 1 + len)
		return SOCKS_MORE;
	p->knows_no_login = memchr(bytes + 2, SOCKS_NO_LOGIN, len - 1) != NULL;
	p->knows_password = memchr(bytes + 2, SOCKS_PASSWORD, len - 1) != NULL;
	return found(p, SOCKS_METHODS, 1 + len, SOCKS_METHODS);
}

/* VER ULEN UNAME PLEN PASSWD (RFC 1929 2). */
static enum socks_step take_login(struct socks_parser *p, const unsigned char *bytes, size_t n)
{
	static const char zero[] = "a user name or password has a zero byte";
	if (bytes[0] != LOGIN_VERSION)
		return bad(p, SOCKS_FAILED, "the login does not begin with 1");
	size_t user = counted_len(bytes + 1, n - 1);
	if (user > 0 && memchr(bytes + 2, 0, least(n - 2, user - 1)) != NULL)
		return bad(p, SOCKS_FAILED, zero);
	if (user == 0 || n < 1 + user)
		return SOCKS_MORE;
	const unsigned char *rest = bytes + 1 + user;
	size_t left = n - 1 - user, password = counted_len(rest, left);
	if (password > 0 && memchr(rest + 1, 0, least(left, password) - 1) != NULL)
		return bad(p, SOCKS_FAILED, zero);
	if (password == 0 || left < password)
		return SOCKS_MORE;
	copy_text(p->user, bytes + 2, user - 1);
	copy_text(p->password, rest + 1, password - 1);
	return found(p, SOCKS_LOGIN, 1 + user + password, SOCKS_REQUEST);
}

/* VER CMD RSV ATYP DST.ADDR DST.PORT (RFC 1928 4). */
static enum socks_step take_request5(struct socks_parser *p, const unsigned char *bytes, size_t n)
{
	struct flaw flaw = { 0 };
	if (bytes[0] != 5)
		return bad(p, SOCKS_FAILED, "the request does not begin with 5");
	if (n > 1 && (bytes[1] < SOCKS_CONNECT || bytes[1] > SOCKS_UDP))
		return bad(p, SOCKS_BAD_COMMAND, "the command is unknown");
	if (n > 2 && bytes[2] != 0)
		return bad(p, SOCKS_FAILED, "the reserved byte of the request is not 0");
	size_t len = n > 3 ? get_place(bytes + 3, n - 3, &p->place, &flaw) : 0;
	if (flaw.why != NULL)
		return bad(p, flaw.refusal, flaw.why);
	if (len == 0)
		return SOCKS_MORE;
	p->command = (enum socks_command)bytes[1];
	return found(p, SOCKS_REQUEST, 3 + len, SOCKS_BAD);
}

/* SOCKS 4A: 0.0.0.x, which is nobody's address, says that a name follows. */
static bool says_name_follows(const unsigned char ip[static 4])
{
	return ip[0] == 0 && ip[1] == 0 && ip[2] == 0 && ip[3] != 0;
}

/* A text that ends with a zero byte: how many bytes with that, or 0: it has not come, or f->why is set. */
static size_t ended_len(const unsigned char *bytes, size_t n, struct flaw *f, const char *too_long)
{
	const unsigned char *end = memchr(bytes, 0, least(n, SOCKS_TEXT_MAX + 1));
	if (end != NULL)
		return (size_t)(end - bytes) + 1;
	return n > SOCKS_TEXT_MAX ? is_flawed(f, SOCKS_FAILED, too_long) : 0;
}

static size_t get_name4(const unsigned char *bytes, size_t n, struct flaw *f)
{
	size_t len = ended_len(bytes, n, f, "the name has more than 255 bytes");
	if (len == 1)
		return is_flawed(f, SOCKS_FAILED, "the name is empty");
	if (!is_printable(bytes, len > 0 ? len - 1 : least(n, SOCKS_TEXT_MAX)))
		return is_flawed(f, SOCKS_FAILED, "the name has a byte that no name has");
	return len;
}

/* VN CD DSTPORT DSTIP USERID 0, and 4A: NAME 0. */
static enum socks_step take_request4(struct socks_parser *p, const unsigned char *bytes, size_t n)
{
	struct flaw flaw = { 0 };
	if (n > 1 && bytes[1] != SOCKS_CONNECT && bytes[1] != SOCKS_BIND)
		return bad(p, SOCKS_BAD_COMMAND, "the command is unknown");
	if (n < 8)
		return SOCKS_MORE;
	bool has_name = says_name_follows(bytes + 4);
	size_t user = ended_len(bytes + 8, n - 8, &flaw, "the user id has more than 255 bytes");
	size_t name = user > 0 && has_name ? get_name4(bytes + 8 + user, n - 8 - user, &flaw) : 0;
	if (flaw.why != NULL)
		return bad(p, flaw.refusal, flaw.why);
	if (user == 0 || (has_name && name == 0))
		return SOCKS_MORE;
	p->command = (enum socks_command)bytes[1];
	p->place = (struct socks_place){ .kind = has_name ? SOCKS_NAME : SOCKS_IPV4, .port = be16_get(bytes + 2) };
	if (has_name)
		copy_text(p->place.name, bytes + 8 + user, name - 1);
	else
		memcpy(p->place.ip, bytes + 4, 4);
	copy_text(p->user, bytes + 8, user - 1);
	return found(p, SOCKS_REQUEST, 8 + user + name, SOCKS_BAD);
}

/* Many who come to the wrong port speak one of these two. */
static const char *who_is_it(unsigned char first)
{
	if (first >= 'A' && first <= 'Z')
		return "neither SOCKS 4 nor 5: it may be HTTP";
	return first == 0x16 ? "neither SOCKS 4 nor 5: it may be TLS" : "neither SOCKS 4 nor 5";
}

static enum socks_step take_first(struct socks_parser *p, const unsigned char *bytes, size_t n)
{
	if (bytes[0] != 4 && bytes[0] != 5)
		return bad(p, SOCKS_FAILED, who_is_it(bytes[0]));
	p->version = bytes[0];
	return p->version == 4 ? take_request4(p, bytes, n) : take_methods(p, bytes, n);
}

enum socks_step socks_parse(struct socks_parser *p, const unsigned char *bytes, size_t n)
{
	assert(p->next == SOCKS_MORE || p->next == SOCKS_LOGIN || p->next == SOCKS_REQUEST);
	if (p->why != NULL)
		return SOCKS_BAD;
	if (n == 0)
		return SOCKS_MORE;
	if (p->next == SOCKS_LOGIN)
		return take_login(p, bytes, n);
	return p->next == SOCKS_REQUEST ? take_request5(p, bytes, n) : take_first(p, bytes, n);
}

void socks_parser_choose(struct socks_parser *p, enum socks_method method)
{
	assert(p->next == SOCKS_METHODS);
	p->next = method == SOCKS_PASSWORD ? SOCKS_LOGIN : SOCKS_REQUEST;
	if (method == SOCKS_NO_METHOD)
		bad(p, SOCKS_NOT_ALLOWED, "none of its methods will do");
}

/* --- the server's words ------------------------------------------------------------------------------------------- */

size_t socks_put_method(unsigned char out[static 2], enum socks_method method)
{
	out[0] = 5;
	out[1] = (unsigned char)method;
	return 2;
}

size_t socks_put_login(unsigned char out[static 2], bool is_right)
{
	out[0] = LOGIN_VERSION;
	out[1] = is_right ? 0 : 1;
	return 2;
}

static size_t put_reply4(unsigned char *out, enum socks_reply reply, const struct socks_place *bound)
{
	static const struct socks_place nowhere = { .kind = SOCKS_IPV4 };
	const struct socks_place *it = bound != NULL && bound->kind == SOCKS_IPV4 ? bound : &nowhere;
	out[0] = 0; /* the version of the reply, not of SOCKS */
	out[1] = reply == SOCKS_OK ? GRANTED4 : REJECTED4;
	be16_put(out + 2, it->port);
	return 4 + put_bytes(out + 4, it->ip, 4);
}

size_t socks_put_reply(unsigned char out[static SOCKS_REPLY_MAX], int version, enum socks_reply reply,
		       const struct socks_place *bound)
{
	if (version == 4)
		return put_reply4(out, reply, bound);
	out[0] = 5;
	out[1] = (unsigned char)reply;
	out[2] = 0;
	return 3 + put_place(out + 3, bound);
}

size_t socks_put_refusal(unsigned char out[static SOCKS_REPLY_MAX], const struct socks_parser *p)
{
	assert(p->why != NULL);
	if (p->version == 0)
		return 0;
	if (p->version == 5 && p->next == SOCKS_MORE)
		return socks_put_method(out, SOCKS_NO_METHOD);
	if (p->next == SOCKS_LOGIN)
		return socks_put_login(out, false);
	return socks_put_reply(out, p->version, p->refusal, NULL);
}

/* --- the client's words ------------------------------------------------------------------------------------------- */

size_t socks_put_methods(unsigned char out[static 4], bool has_password)
{
	static const unsigned char methods[] = { 5, 2, SOCKS_NO_LOGIN, SOCKS_PASSWORD },
				   method[] = { 5, 1, SOCKS_NO_LOGIN };
	return has_password ? put_bytes(out, methods, sizeof(methods)) : put_bytes(out, method, sizeof(method));
}

size_t socks_put_user(unsigned char out[static SOCKS_MESSAGE_MAX], const char *user, const char *password)
{
	out[0] = LOGIN_VERSION;
	size_t n = 1 + put_counted(out + 1, user);
	return n + put_counted(out + n, password);
}

static size_t put_request4(unsigned char *out, enum socks_command command, const struct socks_place *place,
			   const char *user)
{
	static const unsigned char a_name_follows[4] = { 0, 0, 0, 1 };
	bool has_name = place->kind == SOCKS_NAME;
	assert(strlen(user) <= SOCKS_TEXT_MAX && strlen(place->name) <= SOCKS_TEXT_MAX);
	if (place->kind == SOCKS_IPV6 || (!has_name && says_name_follows(place->ip)))
		return 0;
	out[0] = 4;
	out[1] = (unsigned char)command;
	be16_put(out + 2, place->port);
	memcpy(out + 4, has_name ? a_name_follows : place->ip, 4);
	size_t n = 8 + put_bytes(out + 8, user, strlen(user) + 1);
	return has_name ? n + put_bytes(out + n, place->name, strlen(place->name) + 1) : n;
}

size_t socks_put_request(unsigned char out[static SOCKS_MESSAGE_MAX], int version, enum socks_command command,
			 const struct socks_place *place, const char *user)
{
	if (version == 4)
		return put_request4(out, command, place, user);
	out[0] = 5;
	out[1] = (unsigned char)command;
	out[2] = 0;
	return 3 + put_place(out + 3, place);
}

/* --- the server's words, as the client reads them ----------------------------------------------------------------- */

static enum socks_step is_no_answer(const char **why, const char *text)
{
	*why = text;
	return SOCKS_BAD;
}

enum socks_step socks_get_method(const unsigned char *bytes, size_t n, enum socks_method *method, const char **why)
{
	if (n > 0 && bytes[0] != 5)
		return is_no_answer(why, bytes[0] == 0 ? "it speaks SOCKS 4 and not 5"
						       : "what listens there is no SOCKS server");
	if (n > 1 && bytes[1] != SOCKS_NO_LOGIN && bytes[1] != SOCKS_PASSWORD && bytes[1] != SOCKS_NO_METHOD)
		return is_no_answer(why, "it chose a method that was not offered");
	if (n < 2)
		return SOCKS_MORE;
	*method = (enum socks_method)bytes[1];
	return SOCKS_METHODS;
}

enum socks_step socks_get_login(const unsigned char *bytes, size_t n, bool *is_right, const char **why)
{
	if (n > 0 && bytes[0] != LOGIN_VERSION)
		return is_no_answer(why, "its answer to the login does not begin with 1");
	if (n < 2)
		return SOCKS_MORE;
	*is_right = bytes[1] == 0;
	return SOCKS_LOGIN;
}

/* A refusal: nothing follows it, and what it says of an address does not matter. */
static enum socks_step refused(enum socks_reply why, size_t n, enum socks_reply *reply, size_t *used)
{
	*reply = why;
	*used = n;
	return SOCKS_REQUEST;
}

/* VN CD DSTPORT DSTIP. */
static enum socks_step get_reply4(const unsigned char *bytes, size_t n, enum socks_reply *reply,
				  struct socks_place *bound, size_t *used, const char **why)
{
	if (n > 0 && bytes[0] != 0)
		return is_no_answer(why, bytes[0] == 5 ? "it speaks SOCKS 5 and not 4"
						       : "what listens there is no SOCKS server");
	if (n > 1 && bytes[1] == REJECTED4)
		return refused(SOCKS_FAILED, n, reply, used);
	if (n > 1 && (bytes[1] == NO_IDENTD4 || bytes[1] == OTHER_USER4))
		return refused(SOCKS_NOT_ALLOWED, n, reply, used);
	if (n > 1 && bytes[1] != GRANTED4)
		return is_no_answer(why, "its reply has a code that SOCKS 4 does not have");
	if (n < 8)
		return SOCKS_MORE;
	*reply = SOCKS_OK;
	*bound = (struct socks_place){ .kind = SOCKS_IPV4, .port = be16_get(bytes + 2) };
	memcpy(bound->ip, bytes + 4, 4);
	*used = 8;
	return SOCKS_REQUEST;
}

/* VER REP RSV ATYP BND.ADDR BND.PORT (RFC 1928 6). */
static enum socks_step get_reply5(const unsigned char *bytes, size_t n, enum socks_reply *reply,
				  struct socks_place *bound, size_t *used, const char **why)
{
	struct flaw flaw = { 0 };
	if (n > 0 && bytes[0] != 5)
		return is_no_answer(why, "its reply does not begin with 5");
	if (n > 1 && bytes[1] != SOCKS_OK)
		return refused(bytes[1] <= SOCKS_BAD_ADDRESS ? (enum socks_reply)bytes[1] : SOCKS_FAILED, n, reply,
			       used);
	size_t len = n > 3 ? get_place(bytes + 3, n - 3, bound, &flaw) : 0;
	if (flaw.why != NULL)
		return is_no_answer(why, flaw.why);
	if (len == 0)
		return SOCKS_MORE;
	*reply = SOCKS_OK;
	*used = 3 + len;
	return SOCKS_REQUEST;
}

enum socks_step socks_get_reply(const unsigned char *bytes, size_t n, int version, enum socks_reply *reply,
				struct socks_place *bound, size_t *used, const char **why)
{
	return (version == 4 ? get_reply4 : get_reply5)(bytes, n, reply, bound, used, why);
}

/* --- datagrams: RSV RSV FRAG ATYP ADDR PORT (RFC 1928 7) --------------------------------------------------------- */

bool socks_get_datagram(const unsigned char *bytes, size_t n, struct socks_place *place, size_t *used, const char **why)
{
	struct flaw flaw = { "the head is cut off", SOCKS_FAILED };
	size_t len = 0;
	if (n >= 2 && be16_get(bytes) != 0)
		is_flawed(&flaw, SOCKS_FAILED, "the reserved bytes of the head are not 0");
	else if (n >= 3 && bytes[2] != 0)
		is_flawed(&flaw, SOCKS_FAILED, "it is a fragment");
	else if (n > 3)
		len = get_place(bytes + 3, n - 3, place, &flaw);
	if (len == 0)
		*why = flaw.why;
	*used = len > 0 ? 3 + len : 0;
	return len > 0;
}

size_t socks_put_datagram(unsigned char out[static SOCKS_DATAGRAM_HEAD], const struct socks_place *place)
{
	memset(out, 0, 3);
	return 3 + put_place(out + 3, place);
}
