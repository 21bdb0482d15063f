/* diagram.c - linkem: a line for each packet. Memory only; who watches gets it by a call. */
#include "diagram.h"

#include "clock.h"
#include "linkem.h"

#include <stdio.h>
#include <string.h>

/* --- connections -------------------------------------------------------------------------------------------------- */

static int compare(const struct packet_end *a, const struct packet_end *b)
{
	int by_ip = memcmp(a->ip, b->ip, sizeof(a->ip));
	return by_ip != 0 ? by_ip : a->port - b->port;
}

static bool is_same(const struct packet_end *a, const struct packet_end *b)
{
	return compare(a, b) == 0;
}

/* The connection of a packet, and which of its directions: 1 if the greater end sent it. */
static struct packet_flow *find_flow(struct diagram *d, const struct packet *p, unsigned *direction)
{
	*direction = compare(&p->from, &p->to) > 0;
	const struct packet_end *less = *direction ? &p->to : &p->from, *more = *direction ? &p->from : &p->to;
	struct diagram_flow *oldest = &d->flows[0];
	d->n++;
	for (unsigned i = 0; i < DIAGRAM_FLOWS; i++) {
		struct diagram_flow *f = &d->flows[i];
		if (f->used != 0 && is_same(&f->ends[0], less) && is_same(&f->ends[1], more)) {
			f->used = d->n;
			return &f->flow;
		}
		if (f->used < oldest->used)
			oldest = f;
	}
	*oldest = (struct diagram_flow){ .ends = { *less, *more }, .used = d->n };
	return &oldest->flow;
}

/* --- lines -------------------------------------------------------------------------------------------------------- */

static const char *arrow(const struct diagram *d, unsigned lane, bool is_lost)
{
	static const char *const direct[][2] = { { "a ---> b", "a --x  b" }, { "a <--- b", "a  x-- b" } };
	static const char *const routed[][2] = {
		{ "a ---> r", "a --x  r" },
		{ "a <--- r", "a  x-- r" },
		{ "r ---> b", "r --x  b" },
		{ "r <--- b", "r  x-- b" },
	};
	return d->has_router ? routed[lane][is_lost] : direct[lane][is_lost];
}

static const char *milliseconds(char out[static 24], const struct diagram *d, uint64_t at_ns)
{
	snprintf(out, 24, "%.3f", ((double)at_ns - (double)d->zero_ns) / NS_PER_MS);
	return out;
}

static void tell(struct diagram *d, unsigned lane, const unsigned char *bytes, size_t len, const char *sent,
		 const char *arrived, const char *remark)
{
	struct packet p;
	char line[DIAGRAM_LINE], text[PACKET_TEXT], ports[24] = "";
	const char *what = "not IP";
	if (packet_decode(&p, PACKET_RAW, bytes, len, len)) {
		unsigned direction;
		struct packet_flow *flow = find_flow(d, &p, &direction);
		packet_flow_see(flow, direction, &p);
		what = packet_text(text, &p, flow, direction, 0);
		if (p.from.port != 0)
			snprintf(ports, sizeof(ports), "%u > %u  ", p.from.port, p.to.port);
	}
	int n = snprintf(line, sizeof(line), "%10s %10s  %s  %s%s%s\n", sent, arrived,
			 arrow(d, lane, arrived[0] == '-'), ports, what, remark);
	d->tell(d->owner, line, (size_t)n < sizeof(line) ? (size_t)n : sizeof(line) - 1);
}

void diagram_arrived(struct diagram *d, unsigned lane, const struct lane_packet *p, uint64_t now_ns)
{
	char sent[24], arrived[24], remark[64];
	if (d->tell == NULL)
		return;
	if (d->zero_ns == 0)
		d->zero_ns = p->offered_ns;
	snprintf(remark, sizeof(remark), "%s%s%s%s", p->is_copy ? "  copy" : "", p->is_marked ? "  marked" : "",
		 p->is_corrupted ? "  changed" : "", p->is_held ? "  held back" : "");
	tell(d, lane, p->bytes, p->len, milliseconds(sent, d, p->offered_ns), milliseconds(arrived, d, now_ns), remark);
}

void diagram_dropped(struct diagram *d, unsigned lane, const unsigned char *bytes, size_t len, enum lane_fate fate,
		     uint64_t now_ns)
{
	char sent[24], remark[64];
	if (d->tell == NULL)
		return;
	if (d->zero_ns == 0)
		d->zero_ns = now_ns;
	snprintf(remark, sizeof(remark), "  lost: %s", lane_fate_name(fate));
	tell(d, lane, bytes, len, milliseconds(sent, d, now_ns), "-", remark);
}
