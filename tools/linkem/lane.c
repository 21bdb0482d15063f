/* lane.c - one direction of a link: the door, the queue with its transmitter, the wire. See the picture in lane.h.
 *
 * Nothing happens by itself: whoever calls says how late it is, and first of all `catch_up` does what was to be done
 * until then, with the times at which it was due. So a late caller makes nothing late but the delivery itself, and a
 * transmission begins exactly when the one before it ended. */
#include "lane.h"

#include "clock.h"
#include "mem.h"
#include "packet.h"
#include "prng.h"
#include "wire.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { AUTOMATIC_LEN = 64 * 1024 }; /* the shortest automatic queue */

const char *lane_fate_name(enum lane_fate fate)
{
	static const char *const names[LANE_FATES] = {
		[LANE_PASSED] = "passed", [LANE_LOSS] = "loss",     [LANE_CHOSEN] = "chosen",
		[LANE_QUEUE] = "queue",   [LANE_RED] = "red",       [LANE_BLACKHOLE] = "blackhole",
		[LANE_DOWN] = "down",     [LANE_MEMORY] = "memory",
	};
	return names[fate];
}

/* --- packets and lists -------------------------------------------------------------------------------------------- */

struct lane_packet *lane_packet_new(size_t len)
{
	struct lane_packet *p = xmalloc(sizeof(*p) + len);
	*p = (struct lane_packet){ .len = len };
	return p;
}

static struct lane_packet *copy_of(const struct lane_packet *p)
{
	struct lane_packet *copy = lane_packet_new(p->len);
	memcpy(copy->bytes, p->bytes, p->len);
	copy->number = p->number;
	copy->offered_ns = p->offered_ns;
	copy->is_copy = true;
	return copy;
}

/* NULL: before the first. */
static void insert_behind(struct lane_list *list, struct lane_packet *before, struct lane_packet *p)
{
	p->prev = before;
	p->next = before != NULL ? before->next : list->first;
	*(p->prev != NULL ? &p->prev->next : &list->first) = p;
	*(p->next != NULL ? &p->next->prev : &list->last) = p;
	list->len += p->len;
	list->n++;
}

static struct lane_packet *take_first(struct lane_list *list)
{
	struct lane_packet *p = list->first;
	list->first = p->next;
	*(p->next != NULL ? &p->next->prev : &list->last) = NULL;
	list->len -= p->len;
	list->n--;
	p->next = NULL;
	return p;
}

static void free_all(struct lane_list *list)
{
	while (list->first != NULL)
		free(take_first(list));
}

/* --- chance ------------------------------------------------------------------------------------------------------- */

enum question {
	IS_STATE_LEFT,
	IS_LOST,
	IS_DOUBLED,
	IS_HELD,
	IS_CORRUPTED,
	WHICH_BIT,
	IS_SWAPPED,
	WHICH_WORD,
	WHICH_OTHER,
	HOW_LATE,
	IS_HIT_EARLY,
	WHAT_LUCK_HAS_THE_COPY
};

static uint64_t draw(const struct lane_packet *p, enum question q)
{
	return prng_word(p->luck, q);
}

/* True with this probability: the upper 53 bits, as many as a double has, are a number from 0 to just below 1. */
static bool happens(const struct lane_packet *p, enum question q, double probability)
{
	return (double)(draw(p, q) >> 11) * 0x1p-53 < probability;
}

/* Below n, which is not 0. LIMIT: not perfectly even, by n / 2^64. */
static uint64_t draw_below(const struct lane_packet *p, enum question q, uint64_t n)
{
	return draw(p, q) % n;
}

static void set_seed(struct lane *l)
{
	l->seed = prng_word(l->spec.seed, l->number);
	l->n_numbered = 0;
	l->is_bad = false;
}

/* --- the door: who does not get in -------------------------------------------------------------------------------- */

/* Two states, each with its share of losses (E. N. Gilbert, "Capacity of a Burst-Noise Channel", 1960; E. O.
 * Elliott 1963). Of bursts N long on average, of which all is lost, N - 1 out of N packets in the bad state are
 * followed by another one there, so it is left with r = 1 / N; and the share of the time in it is p / (p + r),
 * which is to be the loss. */
static bool is_lost(struct lane *l, const struct lane_packet *p)
{
	const struct spec *s = &l->spec;
	double to_bad = s->ge_p, to_good = s->ge_r, bad = s->ge_bad, good = s->ge_good;
	if (!s->has_ge) {
		if (s->burst == 0 || s->loss >= 1) {
			l->is_bad = false;
			return happens(p, IS_LOST, s->loss);
		}
		to_good = 1 / s->burst;
		to_bad = s->loss * to_good / (1 - s->loss);
		bad = 1;
		good = 0;
	}
	if (happens(p, IS_STATE_LEFT, l->is_bad ? to_good : to_bad))
		l->is_bad = !l->is_bad;
	return happens(p, IS_LOST, l->is_bad ? bad : good);
}

static bool is_of_kind(const struct lane_packet *p, enum spec_kind kind)
{
	struct packet it;
	if (kind == SPEC_ANY)
		return true;
	if (!packet_decode(&it, PACKET_RAW, p->bytes, p->len, p->len) || !it.has_header)
		return false;
	bool is_tcp = it.protocol == PACKET_TCP;
	unsigned flags = it.tcp.flags; /* none, if it is not TCP */
	unsigned control = flags & (PACKET_SYN | PACKET_ACK | PACKET_FIN | PACKET_RST);
	switch (kind) {
	case SPEC_SYN:
		return (flags & (PACKET_SYN | PACKET_ACK)) == PACKET_SYN;
	case SPEC_SYNACK:
		return (flags & (PACKET_SYN | PACKET_ACK)) == (PACKET_SYN | PACKET_ACK);
	case SPEC_DATA:
		return (is_tcp || it.protocol == PACKET_UDP) && it.payload_len > 0;
	case SPEC_ACK:
		return control == PACKET_ACK && it.payload_len == 0;
	case SPEC_FIN:
		return flags & PACKET_FIN;
	case SPEC_RST:
		return flags & PACKET_RST;
	default:
		return true;
	}
}

static bool is_chosen(struct lane *l, const struct lane_packet *p)
{
	struct spec *s = &l->spec;
	bool is_multiple = s->every != 0 && p->number % s->every == 0;
	if (s->drop_number == 0 || !is_of_kind(p, s->drop_kind))
		return is_multiple;
	l->n_chosen++;
	if (l->n_chosen < s->drop_number)
		return is_multiple;
	s->drop_kind = SPEC_ANY;
	s->drop_number = 0; /* that was it */
	return true;
}

/* Why it does not get in, or LANE_PASSED. Every packet is asked everything: the answers to the next must not depend
 * on this one's fate. */
static enum lane_fate fate_at_the_door(struct lane *l, const struct lane_packet *p)
{
	bool lost = is_lost(l, p), chosen = is_chosen(l, p);
	if (l->spec.is_down)
		return LANE_DOWN;
	if (l->spec.blackhole_len != 0 && p->len > l->spec.blackhole_len)
		return LANE_BLACKHOLE;
	return chosen ? LANE_CHOSEN : lost ? LANE_LOSS : LANE_PASSED;
}

/* --- the door: who is changed ------------------------------------------------------------------------------------- */

struct span {
	unsigned char *at;
	size_t len;
};

/* What TCP, UDP or ICMP carries; of a fragment or another protocol all that follows IP's headers. With `or_header`:
 * the header of TCP, UDP or ICMP if it carries nothing. No bytes in what is not IP. */
static struct span find_payload(struct lane_packet *p, bool or_header)
{
	struct packet it;
	if (!packet_decode(&it, PACKET_RAW, p->bytes, p->len, p->len) || it.header == NULL)
		return (struct span){ 0 };
	size_t header_len = 0;
	if (it.has_header)
		header_len = it.protocol == PACKET_TCP ? 20 + it.tcp.options_len : it.protocol == PACKET_UDP ? 8 : 4;
	unsigned char *header = p->bytes + (it.header - p->bytes);
	if (it.payload_len == 0 && or_header)
		return (struct span){ header, header_len };
	return (struct span){ header + header_len, it.payload_len };
}

/* One bit. Never in IP's header: routers and hosts drop such a packet before anybody's checksum is asked. */
static void corrupt(struct lane *l, struct lane_packet *p)
{
	struct span s = find_payload(p, true);
	if (s.len == 0)
		return;
	uint64_t bit = draw_below(p, WHICH_BIT, s.len * 8);
	s.at[bit / 8] ^= (unsigned char)(1 << bit % 8);
	p->is_corrupted = true;
	l->stats.corrupted++;
}

/* Two 16-bit words that differ change places: their sum stays, and so the checksum of RFC 1071. All headers are a
 * multiple of two bytes long, so the payload's words are the checksum's; a byte left over at the end stays where it
 * is. */
static void swap(struct lane *l, struct lane_packet *p)
{
	struct span s = find_payload(p, false);
	size_t n = s.len / 2;
	if (n < 2)
		return;
	unsigned char *one = s.at + 2 * draw_below(p, WHICH_WORD, n);
	size_t first = draw_below(p, WHICH_OTHER, n);
	for (size_t i = 0; i < n; i++) {
		unsigned char *other = s.at + 2 * ((first + i) % n);
		uint16_t a = be16_get(one), b = be16_get(other);
		if (a == b)
			continue;
		be16_put(one, b);
		be16_put(other, a);
		p->is_corrupted = true;
		l->stats.swapped++;
		return;
	}
}

static void change(struct lane *l, struct lane_packet *p)
{
	if (happens(p, IS_SWAPPED, l->spec.swap))
		swap(l, p);
	if (happens(p, IS_CORRUPTED, l->spec.corrupt))
		corrupt(l, p);
}

/* --- the wire ----------------------------------------------------------------------------------------------------- */

/* Behind all that are due before it or with it. A list is nearly in order by itself: only a change of what is held
 * back, and for how long, makes this walk. */
static void insert_sorted(struct lane_list *list, struct lane_packet *p)
{
	struct lane_packet *before = list->last;
	while (before != NULL && before->due_ns > p->due_ns)
		before = before->prev;
	insert_behind(list, before, p);
}

/* The list of which the first arrives next; of two at the same time that which left first. NULL: nothing is on the
 * wire. */
static struct lane_list *next_list(struct lane *l)
{
	const struct lane_packet *wire = l->wire.first, *held = l->held.first;
	if (wire == NULL || held == NULL)
		return wire != NULL ? &l->wire : held != NULL ? &l->held : NULL;
	if (wire->due_ns != held->due_ns)
		return wire->due_ns < held->due_ns ? &l->wire : &l->held;
	return wire->order < held->order ? &l->wire : &l->held;
}

/* delay +- jitter, each nanosecond as likely as the next. */
static uint64_t delay_ns(const struct lane *l, const struct lane_packet *p)
{
	const struct spec *s = &l->spec;
	uint64_t late_ns = s->delay_ns + draw_below(p, HOW_LATE, 2 * s->jitter_ns + 1);
	return late_ns > s->jitter_ns ? late_ns - s->jitter_ns : 0;
}

/* It left the transmitter at this time. WHY what is held back does not hold up those behind it: they are to
 * overtake it. */
static void put_on_wire(struct lane *l, struct lane_packet *p, uint64_t left_ns)
{
	p->order = ++l->n_left;
	p->due_ns = left_ns + delay_ns(l, p);
	if (p->due_ns < l->last_due_ns)
		p->due_ns = l->last_due_ns;
	p->is_held = happens(p, IS_HELD, l->spec.reorder);
	if (p->is_held)
		p->due_ns += l->spec.reorder_ns;
	else
		l->last_due_ns = p->due_ns;
	insert_sorted(p->is_held ? &l->held : &l->wire, p);
}

/* --- queue and transmitter ---------------------------------------------------------------------------------------- */

/* The transmitter takes on the first of the queue at start_ns. What division leaves over is kept for the next, so
 * that after any number of packets the time is right to the nanosecond. */
static void begin_transmission(struct lane *l, uint64_t start_ns)
{
	uint64_t work = (uint64_t)l->queue.first->len * NS_PER_S + l->sent_remainder;
	l->sent_until_ns = start_ns + work / l->spec.rate_Bps;
	l->sent_remainder = work % l->spec.rate_Bps;
	l->queue.first->due_ns = l->sent_until_ns;
}

static void join_queue(struct lane *l, struct lane_packet *p, uint64_t now_ns)
{
	insert_behind(&l->queue, l->queue.last, p);
	if (l->queue.n > 1)
		return;
	if (now_ns > l->sent_until_ns)
		l->sent_remainder = 0;
	begin_transmission(l, now_ns > l->sent_until_ns ? now_ns : l->sent_until_ns);
}

/* All transmissions that have ended by now. */
static void transmit(struct lane *l, uint64_t now_ns)
{
	while (l->queue.first != NULL && l->queue.first->due_ns <= now_ns) {
		uint64_t end_ns = l->queue.first->due_ns;
		put_on_wire(l, take_first(&l->queue), end_ns);
		if (l->queue.first != NULL)
			begin_transmission(l, end_ns);
	}
}

/* Without a rate all leave at once. Otherwise what is not yet sent of the packet on the transmitter takes as long
 * as it does at the new rate: (ns left) * (old rate) is its length times 10^9 at the most, which 64 bits hold. */
static void change_rate(struct lane *l, uint64_t old_Bps, uint64_t now_ns)
{
	uint64_t new_Bps = l->spec.rate_Bps;
	if (new_Bps == old_Bps || l->queue.first == NULL)
		return;
	if (new_Bps == 0) {
		while (l->queue.first != NULL)
			put_on_wire(l, take_first(&l->queue), now_ns);
		l->sent_until_ns = now_ns;
		return;
	}
	uint64_t work = (l->sent_until_ns - now_ns) * old_Bps + l->sent_remainder;
	l->sent_until_ns = now_ns + work / new_Bps;
	l->sent_remainder = work % new_Bps;
	l->queue.first->due_ns = l->sent_until_ns;
}

/* --- the queue's doorkeeper --------------------------------------------------------------------------------------- */

/* S. Floyd, V. Jacobson, "Random Early Detection Gateways for Congestion Avoidance", 1993, with Floyd's "gentle"
 * variant of 2000:
 *
 *	hit with                          min = limit / 6, max = limit / 2: what the queue may be on average
 *	100% |              /             max_p = 10%: hit at max; from there to 2 max it rises to 100%
 *	     |             /              weight = 0.002 for each arrival: a burst of some dozen packets is forgiven
 *	 10% |       ..../
 *	     +---.''----|----|--> average    Of bytes; a packet's own length does not count (RFC 7141 2.2).
 *	       min     max  2 max */
static const double RED_WEIGHT = 0.002, RED_MAX_P = 0.1;
enum { RED_TYPICAL_LEN = 1000 }; /* of a packet that might have come while the queue was empty */

/* Each arrival counts, dropped or not. An empty queue counts as if so many packets had found it empty as could have
 * been sent in the meantime. */
static void update_average(struct lane *l, uint64_t now_ns)
{
	uint64_t since_ns = l->red_at_ns > l->sent_until_ns ? l->red_at_ns : l->sent_until_ns;
	if (l->queue.n > 0)
		l->red_average += RED_WEIGHT * ((double)l->queue.len - l->red_average);
	else if (now_ns > since_ns)
		l->red_average *= pow(1 - RED_WEIGHT,
				      (double)(now_ns - since_ns) * 1e-9 * (double)l->spec.rate_Bps / RED_TYPICAL_LEN);
	l->red_at_ns = now_ns;
}

/* The longer ago the last hit was, the more likely: so hits come at even distances, not in bunches (section 7 of
 * the paper). */
static bool is_hit_early(struct lane *l, const struct lane_packet *p)
{
	double min = (double)l->limit_len / 6, max = (double)l->limit_len / 2, average = l->red_average;
	if (average < min) {
		l->red_since_hit = 0;
		return false;
	}
	double hit = average < max ? RED_MAX_P * (average - min) / (max - min)
				   : RED_MAX_P + (1 - RED_MAX_P) * (average - max) / max;
	double spread = (double)l->red_since_hit * hit;
	bool is_hit = spread >= 1 || happens(p, IS_HIT_EARLY, hit / (1 - spread));
	l->red_since_hit = is_hit ? 0 : l->red_since_hit + 1;
	return is_hit;
}

/* RFC 1624 3, equation 3: the checksum after one of its 16-bit words went from old to new. */
static uint16_t update_checksum(uint16_t sum, uint16_t old, uint16_t new)
{
	uint32_t s = (uint16_t)~sum + (uint32_t)(uint16_t)~old + new;
	s = (s & 0xffff) + (s >> 16);
	s = (s & 0xffff) + (s >> 16);
	return (uint16_t)~s;
}

/* "Congestion experienced" (RFC 3168 5), if it says that it understands. In IPv6 the two bits are the lower ones of
 * the traffic class, which lies across the first two bytes, and there is no checksum. */
static bool mark(struct lane *l, struct lane_packet *p)
{
	enum { NOT_ECT = 0, CE = 3 };
	struct packet it;
	if (!packet_decode(&it, PACKET_RAW, p->bytes, p->len, p->len) || it.ecn == NOT_ECT)
		return false;
	if (it.ecn == CE)
		return true; /* somebody has done it before us */
	uint16_t old = be16_get(p->bytes);
	p->bytes[1] |= it.version == 4 ? CE : CE << 4;
	if (it.version == 4)
		be16_put(p->bytes + 10, update_checksum(be16_get(p->bytes + 10), old, be16_get(p->bytes)));
	p->is_marked = true;
	l->stats.marked++;
	return true;
}

/* WHY an empty one takes any: a queue that is shorter than a packet would never let it through. */
static bool is_full(const struct lane *l, const struct lane_packet *p)
{
	return l->queue.n > 0 && l->queue.len + p->len > l->limit_len;
}

static enum lane_fate fate_at_the_queue(struct lane *l, struct lane_packet *p, uint64_t now_ns)
{
	bool is_early = false;
	if (l->spec.aqm != SPEC_TAIL)
		update_average(l, now_ns);
	if (is_full(l, p))
		return LANE_QUEUE;
	if (l->spec.aqm != SPEC_TAIL)
		is_early = is_hit_early(l, p);
	if (is_early && !(l->spec.aqm == SPEC_ECN && mark(l, p)))
		return LANE_RED;
	return LANE_PASSED;
}

/* --- the whole ---------------------------------------------------------------------------------------------------- */

static void note_levels(struct lane *l)
{
	l->stats.queue_len = l->queue.len;
	l->stats.queue_packets = l->queue.n;
	l->stats.on_wire_len = l->wire.len + l->held.len;
	if (l->queue.len > l->stats.queue_peak_len)
		l->stats.queue_peak_len = l->queue.len;
	if (l->queue.len > l->recent_peak_len)
		l->recent_peak_len = l->queue.len;
}

static uint64_t end_of_outage(const struct lane *l, uint64_t begin_ns)
{
	return l->spec.down_ns != 0 ? begin_ns + l->spec.down_ns : CLK_NEVER;
}

static void catch_up(struct lane *l, uint64_t now_ns)
{
	transmit(l, now_ns);
	if (l->up_again_ns == 0) /* nobody told lane_open how late it was */
		l->up_again_ns = end_of_outage(l, now_ns);
	if (l->spec.is_down && now_ns >= l->up_again_ns) {
		l->spec.is_down = false;
		l->spec.down_ns = 0;
	}
}

static enum lane_fate drop(struct lane *l, struct lane_packet *p, enum lane_fate why)
{
	l->stats.dropped[why]++;
	free(p);
	return why;
}

static bool is_memory_full(const struct lane *l, const struct lane_packet *p)
{
	uint64_t n = l->queue.n + l->wire.n + l->held.n + 1;
	return l->queue.len + l->wire.len + l->held.len + p->len + n * sizeof(*p) > LANE_MEMORY_LEN;
}

/* Through the door: onto the wire, by way of the queue if there is one. */
static enum lane_fate enter(struct lane *l, struct lane_packet *p, uint64_t now_ns)
{
	if (is_memory_full(l, p))
		return drop(l, p, LANE_MEMORY);
	change(l, p);
	if (l->spec.rate_Bps == 0) {
		put_on_wire(l, p, now_ns);
		return LANE_PASSED;
	}
	enum lane_fate fate = fate_at_the_queue(l, p, now_ns);
	if (fate != LANE_PASSED)
		return drop(l, p, fate);
	join_queue(l, p, now_ns);
	return LANE_PASSED;
}

enum lane_fate lane_send(struct lane *l, struct lane_packet *p, uint64_t now_ns)
{
	catch_up(l, now_ns);
	l->stats.offered_packets++;
	l->stats.offered_bytes += p->len;
	p->number = ++l->n_numbered;
	p->offered_ns = now_ns;
	p->luck = prng_word(l->seed, p->number);

	enum lane_fate fate = fate_at_the_door(l, p);
	struct lane_packet *copy = NULL;
	if (fate == LANE_PASSED && happens(p, IS_DOUBLED, l->spec.duplicate)) {
		copy = copy_of(p);
		copy->luck = draw(p, WHAT_LUCK_HAS_THE_COPY);
		l->stats.duplicated++;
	}
	fate = fate == LANE_PASSED ? enter(l, p, now_ns) : drop(l, p, fate);
	if (copy != NULL)
		enter(l, copy, now_ns);
	note_levels(l);
	return fate;
}

struct lane_packet *lane_receive(struct lane *l, uint64_t now_ns)
{
	struct lane_packet *p = NULL;
	catch_up(l, now_ns);
	struct lane_list *next = next_list(l);
	if (next != NULL && next->first->due_ns <= now_ns) {
		p = take_first(next);
		p->is_overtaken = p->order < l->latest_order;
		l->latest_order = p->is_overtaken ? l->latest_order : p->order;
		l->stats.reordered += p->is_overtaken;
		l->stats.packets++;
		l->stats.bytes += p->len;
	}
	note_levels(l);
	return p;
}

/* WHY not at each end of a transmission: it is done in time if it is done before the packet can arrive (catch_up). */
uint64_t lane_next_ns(const struct lane *l)
{
	const struct spec *s = &l->spec;
	uint64_t wire_ns = s->delay_ns > s->jitter_ns ? s->delay_ns - s->jitter_ns : 0;
	uint64_t sent_ns = l->queue.first != NULL ? l->queue.first->due_ns + wire_ns : CLK_NEVER;
	uint64_t due_ns = l->wire.first != NULL ? l->wire.first->due_ns : CLK_NEVER;
	uint64_t held_ns = l->held.first != NULL ? l->held.first->due_ns : CLK_NEVER;
	if (held_ns < due_ns)
		due_ns = held_ns;
	return sent_ns < due_ns ? sent_ns : due_ns;
}

uint64_t lane_take_peak(struct lane *l)
{
	uint64_t peak_len = l->recent_peak_len;
	l->recent_peak_len = l->queue.len;
	return peak_len;
}

/* --- changes ------------------------------------------------------------------------------------------------------ */

static uint64_t limit_for(const struct spec *s, uint64_t rtt_ns)
{
	double product_len = (double)s->rate_Bps * (double)rtt_ns / NS_PER_S;
	if (s->queue_len != 0)
		return s->queue_len;
	return product_len > AUTOMATIC_LEN ? (uint64_t)product_len : AUTOMATIC_LEN;
}

static void go_down(struct lane *l, uint64_t now_ns)
{
	l->up_again_ns = end_of_outage(l, now_ns);
	l->stats.dropped[LANE_DOWN] += l->queue.n + l->wire.n + l->held.n;
	free_all(&l->queue);
	free_all(&l->wire);
	free_all(&l->held);
	l->sent_until_ns = l->last_due_ns = now_ns;
}

static void forget_said(struct lane *l)
{
	memset(&l->spec.said, 0, sizeof(l->spec.said));
}

void lane_open(struct lane *l, const struct spec *s, unsigned number)
{
	*l = (struct lane){ .spec = *s, .number = number };
	forget_said(l);
	l->limit_len = limit_for(s, 2 * s->delay_ns);
	set_seed(l);
}

void lane_close(struct lane *l)
{
	free_all(&l->queue);
	free_all(&l->wire);
	free_all(&l->held);
	note_levels(l);
}

void lane_change(struct lane *l, const struct spec *s, uint64_t rtt_ns, uint64_t now_ns)
{
	const struct spec old = l->spec;
	bool is_new_outage = s->is_down && (s->said.down || !old.is_down || s->down_ns != old.down_ns);
	transmit(l, now_ns);
	l->spec = *s;
	forget_said(l);
	l->limit_len = limit_for(s, rtt_ns);
	change_rate(l, old.rate_Bps, now_ns);
	if (s->said.seed || s->seed != old.seed)
		set_seed(l);
	if (s->said.drop || s->drop_kind != old.drop_kind || s->drop_number != old.drop_number)
		l->n_chosen = 0;
	if (is_new_outage)
		go_down(l, now_ns);
	catch_up(l, now_ns);
	note_levels(l);
}
