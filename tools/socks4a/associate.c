/* associate.c - UDP ASSOCIATE: a client's datagrams to anywhere, and what comes back (RFC 1928 7).
 *
 *	client                        inside             outside, one socket for each family              anybody
 *	  head: where to | payload ----> take_up -> send -> payload --------------------------------------->
 *	  head: whence   | payload <---- send <- take_down <----------------------------------------- payload
 *
 * The association lives as long as the client's TCP connection (relay_serve). A datagram is passed on, or it is
 * dropped and counted, as a network would do: nothing waits but what is for a name that is being looked up, and of
 * that there is little.
 *
 * DROPPED  on the way up: what is not from the client (place.h); without a head, or a fragment of one (RFC 1928 7
 *   leaves those to us); to port 0, a group, a place that the rules deny, or to ourselves; for names while too many
 *   wait. On the way down: from where the rules do not allow to go; what is too long with its head. And what the
 *   kernel does not take at once: the send buffer is full, there is no route.
 * OURSELVES  a datagram to the inside of any association would look like its client's own, coming from this host; one
 *   to the own outside would come back. To the outside of another association is allowed: two clients may talk.
 * ICMP  errors do not reach a socket that is not connected (udp(7), without IP_RECVERR): none is passed on.
 * LIMIT: the bad link of --up and --down is for streams, and so is --dump; linkem is a bad link for datagrams.
 *
 * Datagrams come and go in batches (recvmmsg(2), sendmmsg(2)). The room for a batch belongs to the loop, and is there
 * only as long as it has an association: to an idle one belong two or three sockets and less than a KiB. */
#include "socks4a.h"

#include "loops.h"
#include "mem.h"
#include "sock.h"
#include "socks.h"

#include "place.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	BATCH = 16,
	PAYLOAD_MAX = 65535, /* by the length in the head of UDP (RFC 768) */

	/* Of one client, for names that are being looked up. A name that is remembered takes a round: what comes in two
	 * rounds has room. */
	QUESTIONS = 8,
	PARCELS = 2 * BATCH,
	PARCELS_LEN = PAYLOAD_MAX,

	FRIENDS = 16
};

/* A socket, ours until its watch is stopped. */
struct outlet {
	struct associate *owner;
	struct watch watch;
	struct addr bound;
};

/* A datagram that waits for a name. */
struct parcel {
	struct parcel *next;
	uint16_t port;
	size_t len;
	unsigned char payload[];
};

struct question {
	struct question *next;
	struct associate *owner;
	struct resolve ask;
	struct parcel *first, **last;
	char name[SOCKS_TEXT_MAX + 1];
};

/* Hosts that were reached by a name which the rules allow: their answers come from an address, of which the rules may
 * know nothing. The latest ones, as a ring. */
struct friends {
	unsigned n; /* ever */
	struct addr host[FRIENDS];
};

struct associate {
	struct socks_flow *flow;
	struct outlet inside, outside[2]; /* to the client; IPv4, IPv6: from the first datagram on */
	struct addr source;               /* the client's; port 0: the first datagram tells */
	struct question *questions;
	unsigned n_questions, n_parcels;
	size_t parcels_len;
	struct friends *friends; /* or NULL */
	struct socks_datagrams count;
};

/* Room for a batch: what only one association needs at a time. Only the pages that datagrams really filled are ever
 * backed by memory. */
struct batch {
	struct mmsghdr in[BATCH], out[BATCH];
	struct iovec in_piece[BATCH], out_piece[BATCH];
	struct addr from[BATCH], to[BATCH];
	struct outlet *outlet;        /* by which those in `out` leave */
	unsigned n_out, n_taken;      /* the latter: not a stranger's */
	uint64_t bytes_in, bytes_out; /* payload */
	size_t head_len[BATCH];       /* of what is in `out`: not payload */
	struct {
		unsigned char head[PLACE_HEAD], bytes[PAYLOAD_MAX];
	} datagram[BATCH];
};

/* Each touched by its loop's thread only. */
static struct {
	unsigned n_users;
	struct batch *batch;
} rooms[LOOPS_MAX];

/* How many associations, of all loops, have their inside at this port. */
static atomic_ushort inside_ports[UINT16_MAX + 1];

static struct relay_loop *loop_of(const struct associate *a)
{
	return a->flow->relay.loop;
}

static struct batch *batch_of(const struct associate *a)
{
	return rooms[loop_of(a)->index].batch;
}

static void take_room(const struct associate *a)
{
	unsigned i = loop_of(a)->index;
	if (rooms[i].n_users++ == 0)
		rooms[i].batch = xmalloc(sizeof(struct batch)); /* WHY not xcalloc: it would touch every page */
}

static void leave_room(const struct associate *a)
{
	unsigned i = loop_of(a)->index;
	if (--rooms[i].n_users > 0)
		return;
	free(rooms[i].batch);
	rooms[i].batch = NULL;
}

/* --- sockets ------------------------------------------------------------------------------------------------------ */

static bool open_outlet(struct associate *a, struct outlet *o, const struct addr *where, watch_fn *fn)
{
	int family = where->u.sa.sa_family, on = 1;
	int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return false;
	if (family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	o->owner = a;
	if (bind(fd, &where->u.sa, where->len) == 0 && addr_of_socket(fd, &o->bound) == 0 &&
	    watch_start(&o->watch, loop_of(a)->r, fd, WATCH_READ, fn) == 0)
		return true;
	close(fd);
	return false;
}

static void close_outlet(struct outlet *o)
{
	if (!watch_is_started(&o->watch))
		return;
	watch_stop(&o->watch);
	close(o->watch.fd);
}

static bool on_outside(struct watch *w, unsigned events);

/* By which a datagram to this family leaves: with --from's address, if there is one. NULL: by none. */
static struct outlet *outlet_to(struct associate *a, int family)
{
	const struct relay *relay = loop_of(a)->relay;
	struct outlet *o = &a->outside[family == AF_INET6];
	struct addr where = relay->has_from ? relay->from : place_everywhere(family, 0);
	if (watch_is_started(&o->watch))
		return o;
	place_set_port(&where, 0);
	bool is_possible = where.u.sa.sa_family == family && (relay->family == AF_UNSPEC || relay->family == family);
	return is_possible && open_outlet(a, o, &where, on_outside) ? o : NULL;
}

/* --- what may go, and come ---------------------------------------------------------------------------------------- */

static bool is_ours(const struct associate *a, const struct addr *to)
{
	struct addr everywhere = place_everywhere(to->u.sa.sa_family, addr_port(to));
	if (atomic_load(&inside_ports[addr_port(to)]) > 0 && sock_leads_to(to, &everywhere))
		return true;
	for (int i = 0; i < 2; i++)
		if (watch_is_started(&a->outside[i].watch) && sock_leads_to(to, &a->outside[i].bound))
			return true;
	return false;
}

static bool may_send(const struct associate *a, const char *name, const struct addr *to)
{
	return place_takes_datagrams(to) && socks_may_go(name, to) && !is_ours(a, to);
}

static void befriend(struct associate *a, const struct addr *host)
{
	if (socks.targets == NULL)
		return;
	if (a->friends == NULL)
		a->friends = xcalloc(1, sizeof(*a->friends));
	struct friends *list = a->friends;
	for (unsigned i = 0; i < FRIENDS && i < list->n; i++)
		if (place_is_same_host(&list->host[i], host))
			return;
	list->host[list->n++ % FRIENDS] = *host;
}

static bool may_come(const struct associate *a, const struct addr *from)
{
	const struct friends *list = a->friends;
	if (socks_may_go(NULL, from))
		return true;
	for (unsigned i = 0; list != NULL && i < FRIENDS && i < list->n; i++)
		if (place_is_same_host(&list->host[i], from))
			return true;
	return false;
}

/* --- a batch ------------------------------------------------------------------------------------------------------ */

/* How many datagrams; <= 0: none. */
static int receive(struct batch *b, int fd)
{
	b->n_out = b->n_taken = 0;
	b->bytes_in = b->bytes_out = 0;
	for (int i = 0; i < BATCH; i++) {
		b->in_piece[i] = (struct iovec){ .iov_base = b->datagram[i].bytes, .iov_len = PAYLOAD_MAX };
		b->in[i].msg_hdr = (struct msghdr){
			.msg_name = &b->from[i].u,
			.msg_namelen = sizeof(b->from[i].u),
			.msg_iov = &b->in_piece[i],
			.msg_iovlen = 1,
		};
	}
	int n = recvmmsg(fd, b->in, BATCH, MSG_DONTWAIT, NULL);
	for (int i = 0; i < n; i++)
		b->from[i].len = b->in[i].msg_hdr.msg_namelen;
	return n;
}

/* An error concerns the first of those that were to be sent, which the network would have dropped just as silently; a
 * full send buffer concerns all of them. */
static void send_out(struct batch *b, struct socks_datagrams *count, uint64_t *n_passed)
{
	for (unsigned at = 0; at < b->n_out;) {
		int sent = sendmmsg(b->outlet->watch.fd, &b->out[at], b->n_out - at, MSG_DONTWAIT);
		if (sent < 0 && (errno == EAGAIN || errno == ENOBUFS)) {
			count->dropped += b->n_out - at;
			break;
		}
		if (sent <= 0) {
			count->dropped++;
			at++;
			continue;
		}
		*n_passed += (unsigned)sent;
		for (; sent > 0; sent--, at++)
			b->bytes_out += b->out[at].msg_len - b->head_len[at];
	}
	b->n_out = 0;
}

static void send_all(struct associate *a, struct batch *b)
{
	send_out(b, &a->count, b->outlet == &a->inside ? &a->count.down : &a->count.up);
}

/* `head_len` of the bytes are not payload. They stay where they are until they are sent. */
static void put_out(struct associate *a, struct batch *b, struct outlet *o, const struct addr *to, unsigned char *bytes,
		    size_t len, size_t head_len)
{
	if (b->n_out > 0 && b->outlet != o)
		send_all(a, b);
	unsigned i = b->n_out++;
	b->outlet = o;
	b->to[i] = *to;
	b->head_len[i] = head_len;
	b->out_piece[i] = (struct iovec){ .iov_base = bytes, .iov_len = len };
	b->out[i].msg_hdr = (struct msghdr){
		.msg_name = &b->to[i].u,
		.msg_namelen = to->len,
		.msg_iov = &b->out_piece[i],
		.msg_iovlen = 1,
	};
}

/* WHY strangers are no reason to count: whoever knows the port could keep the association alive against --idle. */
static void end_batch(struct associate *a, struct batch *b, enum pump_way way)
{
	if (b->n_out > 0)
		send_all(a, b);
	if (b->n_taken > 0)
		relay_count(&a->flow->relay, way, b->bytes_in, b->bytes_out);
}

/* --- names -------------------------------------------------------------------------------------------------------- */

/* The first of the addresses that may be used: getaddrinfo(3) puts those in front to which there is a route (RFC 6724
 * 6). */
static bool send_parcel(struct associate *a, const char *name, const struct addr *list, size_t n,
			const struct parcel *p)
{
	for (size_t i = 0; i < n; i++) {
		struct addr to = place_unmapped(&list[i]);
		struct outlet *o;
		place_set_port(&to, p->port);
		if (!may_send(a, name, &to) || (o = outlet_to(a, to.u.sa.sa_family)) == NULL)
			continue;
		befriend(a, &to);
		return sendto(o->watch.fd, p->payload, p->len, MSG_DONTWAIT, &to.u.sa, to.len) >= 0;
	}
	return false;
}

/* With the parcels that wait for its answer. */
static void free_question(struct question *q)
{
	struct associate *a = q->owner;
	struct question **link = &a->questions;
	while (*link != q)
		link = &(*link)->next;
	*link = q->next;
	a->n_questions--;
	for (struct parcel *p = q->first, *next; p != NULL; p = next) {
		next = p->next;
		a->n_parcels--;
		a->parcels_len -= p->len;
		free(p);
	}
	free(q);
}

static void on_resolved(struct resolve *ask, const struct addr *list, size_t n, const struct net_error *e)
{
	(void)e;
	struct question *q = CONTAINER_OF(ask, struct question, ask);
	struct associate *a = q->owner;
	uint64_t bytes_out = 0;
	for (const struct parcel *p = q->first; p != NULL; p = p->next) {
		bool is_sent = send_parcel(a, q->name, list, n, p);
		a->count.up += is_sent;
		a->count.dropped -= is_sent;
		bytes_out += is_sent ? p->len : 0;
	}
	free_question(q);
	relay_count(&a->flow->relay, PUMP_UP, 0, bytes_out);
}

/* The question about this name that is under way, or a new one; NULL: there are too many. */
static struct question *question_of(struct associate *a, const char *name)
{
	struct relay_flow *f = &a->flow->relay;
	struct question *q = a->questions;
	while (q != NULL && strcmp(q->name, name) != 0)
		q = q->next;
	if (q != NULL || a->n_questions == QUESTIONS)
		return q;
	q = xcalloc(1, sizeof(*q));
	q->owner = a;
	q->last = &q->first;
	memcpy(q->name, name, strlen(name) + 1);
	q->next = a->questions;
	a->questions = q;
	a->n_questions++;
	resolver_ask(&f->loop->names, &q->ask, name, 0, relay_of(f)->family, f->asker, on_resolved);
	return q;
}

/* Unless too many wait already, or it could not go anywhere. */
static void wait_for_name(struct associate *a, const struct socks_place *place, const unsigned char *payload,
			  size_t len)
{
	if (a->n_parcels == PARCELS || a->parcels_len + len > PARCELS_LEN || place->port == 0 ||
	    !socks_may_ask(place->name, place->port))
		return;
	struct question *q = question_of(a, place->name);
	if (q == NULL)
		return;
	struct parcel *p = xmalloc(sizeof(*p) + len);
	p->next = NULL;
	p->port = place->port;
	p->len = len;
	memcpy(p->payload, payload, len);
	*q->last = p;
	q->last = &p->next;
	a->n_parcels++;
	a->parcels_len += len;
}

/* --- up and down -------------------------------------------------------------------------------------------------- */

/* False: it is not on its way; what waits for a name counts as dropped until it is. */
static bool pass_up(struct associate *a, struct batch *b, const struct socks_place *place, unsigned char *payload,
		    size_t len)
{
	struct addr to;
	if (!socks_addr_of_place(place, &to)) {
		wait_for_name(a, place, payload, len);
		return false;
	}
	to = place_unmapped(&to);
	if (!may_send(a, NULL, &to))
		return false;
	struct outlet *o = outlet_to(a, to.u.sa.sa_family);
	if (o != NULL)
		put_out(a, b, o, &to, payload, len, 0);
	return o != NULL;
}

/* Datagram i of the batch, which came from inside. */
static void take_up(struct associate *a, struct batch *b, int i)
{
	struct socks_place place;
	size_t head_len, len = b->in[i].msg_len;
	const char *why;
	unsigned char *bytes = b->datagram[i].bytes;
	if (!place_is_source(&a->source, &b->from[i])) {
		a->count.strangers++;
		return;
	}
	if (!socks_get_datagram(bytes, len, &place, &head_len, &why)) {
		a->count.dropped++;
		return;
	}
	a->source = b->from[i]; /* with its port, and its scope; and it stays so */
	b->n_taken++;
	b->bytes_in += len - head_len;
	a->count.dropped += !pass_up(a, b, &place, bytes + head_len, len - head_len);
}

static bool on_inside(struct watch *w, unsigned events)
{
	(void)events;
	struct associate *a = CONTAINER_OF(w, struct outlet, watch)->owner;
	struct batch *b = batch_of(a);
	int n = receive(b, w->fd);
	for (int i = 0; i < n; i++)
		take_up(a, b, i);
	end_batch(a, b, PUMP_UP);
	return n > 0;
}

static void take_down(struct associate *a, struct batch *b, int i)
{
	const struct addr *from = &b->from[i];
	unsigned char *payload = b->datagram[i].bytes;
	if (!may_come(a, from)) {
		a->count.strangers++;
		return;
	}
	unsigned char *head = place_put_head(payload, from);
	size_t head_len = (size_t)(payload - head), len = b->in[i].msg_len;
	b->n_taken++;
	b->bytes_in += len;
	put_out(a, b, &a->inside, &a->source, head, head_len + len, head_len);
}

static bool on_outside(struct watch *w, unsigned events)
{
	(void)events;
	struct associate *a = CONTAINER_OF(w, struct outlet, watch)->owner;
	struct batch *b = batch_of(a);
	int n = receive(b, w->fd);
	for (int i = 0; i < n; i++)
		take_down(a, b, i);
	end_batch(a, b, PUMP_DOWN);
	return n > 0;
}

/* --- beginning and end -------------------------------------------------------------------------------------------- */

const struct socks_datagrams *socks_associate_count(const struct socks_flow *f)
{
	return f->associate != NULL ? &f->associate->count : NULL;
}

void socks_associate_end(struct socks_flow *f)
{
	struct associate *a = f->associate;
	if (a == NULL)
		return;
	while (a->questions != NULL) {
		resolver_cancel(&a->questions->ask);
		free_question(a->questions);
	}
	if (watch_is_started(&a->inside.watch))
		atomic_fetch_sub(&inside_ports[addr_port(&a->inside.bound)], 1);
	close_outlet(&a->inside);
	close_outlet(&a->outside[0]);
	close_outlet(&a->outside[1]);
	leave_room(a);
	free(a->friends);
	free(a);
	f->associate = NULL;
}

/* The inside is at the address at which the client's connection arrived: that one it can reach. */
static bool open_inside(struct associate *a)
{
	struct addr here;
	if (addr_of_socket(a->flow->relay.client_fd, &here) < 0)
		return false;
	here = place_unmapped(&here);
	place_set_port(&here, 0);
	if (!open_outlet(a, &a->inside, &here, on_inside))
		return false;
	atomic_fetch_add(&inside_ports[addr_port(&a->inside.bound)], 1);
	return true;
}

void socks_associate(struct socks_flow *f)
{
	char text[ADDR_TEXT];
	struct associate *a = f->associate = xcalloc(1, sizeof(*a));
	a->flow = f;
	a->source = place_source(&f->relay.client, &f->dialogue->parser.place);
	take_room(a);
	if (!open_inside(a)) {
		socks_associate_end(f);
		socks_reject(f, RELAY_END_CONNECT, SOCKS_FAILED, "no UDP socket");
		return;
	}
	if (!socks_grant(f, &a->inside.bound)) {
		relay_refuse(&f->relay, RELAY_END_CLIENT_LEFT, NULL);
		return;
	}
	socks_end_dialogue(f);
	relay_serve(&f->relay, addr_text(&a->inside.bound, text));
}
