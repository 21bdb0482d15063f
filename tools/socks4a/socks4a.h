/* socks4a.h - what the chapters of socks4a share: a client on its way from greeting to reply.
 *
 *	greeting (socks4a.c) --+-- CONNECT --> relay_connect ------------------------------> relay_open, a pump as in tcprelay
 *	                       +-- BIND -----> bind.c: a listening socket, one visitor ---> the same
 *	                       +-- UDP ------> associate.c: datagrams, until the client's connection ends
 */
#ifndef SOCKS4A_H
#define SOCKS4A_H

#include "buf.h"
#include "../relay/relay.h"
#include "resolver.h"
#include "socks_parse.h"

#include "targets.h"
#include "users.h"

struct associate; /* associate.c */
struct visitor;   /* bind.c */

/* What a client has until it is connected. */
struct dialogue {
	struct socks_parser parser;
	struct buf head; /* what has come and was not used yet; at last: what came right behind the request */
};

struct socks_flow {
	struct relay_flow relay;
	struct dialogue *dialogue; /* NULL: the reply has been given */
	struct associate *associate;
	struct visitor *visitor;

	char *user;                      /* or NULL */
	uint8_t version, command, reply; /* 0: not known yet */
	bool is_name, has_replied, is_granted;
};

static inline struct socks_flow *socks_flow_of(struct relay_flow *f)
{
	return CONTAINER_OF(f, struct socks_flow, relay);
}

struct socks_options {
	struct targets *targets; /* or NULL: everywhere */
	struct users *users;     /* or NULL: no password is needed */
	uint64_t bind_ns;        /* how long BIND waits for a visitor */
};
extern struct socks_options socks;

/* socks4a.c. The reply to the request, to BIND's both. grant: bound is the address that stands in it; false: the client
 * is gone, the caller refuses it (relay_refuse with RELAY_END_CLIENT_LEFT). reject: and the flow ends, as soon as the
 * client has had time to read it; `reason` is static, or NULL: relay_flow.why says it. */
MUST_USE bool socks_grant(struct socks_flow *f, const struct addr *bound);
void socks_reject(struct socks_flow *f, enum relay_end end, enum socks_reply reply, const char *reason);
bool socks_may_go(const char *name, const struct addr *a); /* by --allow and --deny */
bool socks_may_ask(const char *name, uint16_t port);       /* with no address at all it may not: do not look it up */
void socks_open(struct socks_flow *f, int fd);             /* granted, the dialogue is over: relay_open. Takes fd */
void socks_end_dialogue(struct socks_flow *f);             /* it is over; what came behind the request is thrown away */

/* bind.c: BIND (RFC 1928 4, SOCKS 4): listens, says where, waits for one connection from the place that was named (all
 * zero: from anywhere), says from where it came, and then f is open. */
void socks_bind(struct socks_flow *f);
void socks_bind_end(struct socks_flow *f); /* the flow ends; it may not be waiting */

/* associate.c: UDP ASSOCIATE (RFC 1928 7): says where datagrams are taken, and passes them on until the client's
 * connection ends. */
void socks_associate(struct socks_flow *f);
void socks_associate_end(struct socks_flow *f);

/* Datagrams of an association: passed on, and those that never will be. For the record of the flow; NULL: it has
 * none. */
struct socks_datagrams {
	uint64_t up, down;
	uint64_t dropped;   /* the client's, and to the client; for whatever reason */
	uint64_t strangers; /* from others than the client, and from where the rules do not let it go */
};
const struct socks_datagrams *socks_associate_count(const struct socks_flow *f);

#endif
