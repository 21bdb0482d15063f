#include "packet.h"

#include "wire.h"

#include <arpa/inet.h>
#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum {
	ETHERNET_LEN = 14,
	VLAN_LEN = 4,
	TYPE_IPV4 = 0x0800,
	TYPE_IPV6 = 0x86dd,
	TYPE_VLAN = 0x8100,  /* IEEE 802.1Q */
	TYPE_SVLAN = 0x88a8, /* IEEE 802.1ad: a second tag follows */
	IPV4_LEN = 20,
	IPV6_LEN = 40,
	TCP_LEN = 20,
	UDP_LEN = 8,
	ICMP_LEN = 4, /* type, code, checksum */
};

/* What is left of a packet: so many bytes are here, so many were on the wire. Invariant: n <= wire. */
struct view {
	const unsigned char *at;
	size_t n, wire;
};

static void skip(struct view *v, size_t len)
{
	assert(len <= v->n);
	v->at += len;
	v->n -= len;
	v->wire -= len;
}

/* The header says that the packet is this long: what comes behind is padding, of Ethernet for example. */
static void cut(struct view *v, size_t len)
{
	if (v->wire > len)
		v->wire = len;
	if (v->n > len)
		v->n = len;
}

/* --- TCP options --------------------------------------------------------------------------------------------------- */

enum {
	OPTION_END,
	OPTION_NOP,
	OPTION_MSS,
	OPTION_WSCALE,
	OPTION_SACK_OK,
	OPTION_SACK,
	OPTION_TS = 8,
	OPTION_FASTOPEN = 34
};

struct option {
	unsigned kind;
	const unsigned char *value;
	size_t len; /* of the value */
};

/* The next of the options; false at their end, or where what follows is damaged (RFC 9293 3.1, 3.2). */
static bool next_option(const struct packet_tcp *t, size_t *at, struct option *o)
{
	if (*at >= t->options_len)
		return false;
	const unsigned char *p = t->options + *at;
	size_t left = t->options_len - *at;
	*o = (struct option){ .kind = p[0] };
	if (p[0] == OPTION_END || p[0] == OPTION_NOP) {
		*at += p[0] == OPTION_END ? left : 1; /* what follows the end is padding */
		return true;
	}
	if (left < 2 || p[1] < 2 || p[1] > left)
		return false;
	o->value = p + 2;
	o->len = p[1] - 2u;
	*at += p[1];
	return true;
}

static void take_sack(struct packet_tcp *t, const struct option *o)
{
	for (size_t i = 0; i + 8 <= o->len && t->n_sack < PACKET_SACK_BLOCKS; i += 8) {
		t->sack[t->n_sack][0] = be32_get(o->value + i);
		t->sack[t->n_sack][1] = be32_get(o->value + i + 4);
		t->n_sack++;
	}
}

static void take_option(struct packet_tcp *t, const struct option *o)
{
	if (o->kind == OPTION_MSS && o->len == 2) {
		t->mss = be16_get(o->value);
	} else if (o->kind == OPTION_WSCALE && o->len == 1) {
		t->has_window_scale = true;
		t->window_scale = o->value[0];
	} else if (o->kind == OPTION_SACK_OK && o->len == 0) {
		t->may_sack = true;
	} else if (o->kind == OPTION_SACK) {
		take_sack(t, o);
	} else if (o->kind == OPTION_TS && o->len == 8) {
		t->has_timestamps = true;
		t->ts_value = be32_get(o->value);
		t->ts_echo = be32_get(o->value + 4);
	}
}

/* --- headers ------------------------------------------------------------------------------------------------------- */

static void take_tcp(struct packet *p, struct view v)
{
	if (v.n < TCP_LEN)
		return;
	size_t header = (size_t)(v.at[12] >> 4) * 4;
	if (header < TCP_LEN || header > v.wire)
		return;
	struct packet_tcp *t = &p->tcp;
	p->has_header = true;
	p->from.port = be16_get(v.at);
	p->to.port = be16_get(v.at + 2);
	p->payload_len = v.wire - header;
	t->seq = be32_get(v.at + 4);
	t->ack = be32_get(v.at + 8);
	t->flags = v.at[13];
	t->window = be16_get(v.at + 14);
	t->urgent = be16_get(v.at + 18);
	t->options = v.at + TCP_LEN;
	t->options_len = (header < v.n ? header : v.n) - TCP_LEN;

	struct option o;
	for (size_t at = 0; next_option(t, &at, &o);)
		take_option(t, &o);
}

static void take_udp(struct packet *p, struct view v)
{
	if (v.n < UDP_LEN)
		return;
	p->has_header = true;
	p->from.port = be16_get(v.at);
	p->to.port = be16_get(v.at + 2);
	size_t len = be16_get(v.at + 4);
	p->payload_len = (len >= UDP_LEN && len <= v.wire ? len : v.wire) - UDP_LEN;
}

static void take_icmp(struct packet *p, struct view v)
{
	if (v.n < ICMP_LEN)
		return;
	p->has_header = true;
	p->icmp_type = v.at[0];
	p->icmp_code = v.at[1];
	p->payload_len = v.wire - ICMP_LEN;
}

static void take_protocol(struct packet *p, struct view v)
{
	p->header = v.at;
	p->payload_len = v.wire;
	if (p->is_fragment)
		return;
	if (p->protocol == PACKET_TCP)
		take_tcp(p, v);
	else if (p->protocol == PACKET_UDP)
		take_udp(p, v);
	else if (p->protocol == PACKET_ICMP || p->protocol == PACKET_ICMP6)
		take_icmp(p, v);
}

/* RFC 791 3.1 */
static bool take_ipv4(struct packet *p, struct view v)
{
	if (v.n < IPV4_LEN)
		return false;
	size_t header = (size_t)(v.at[0] & 0x0f) * 4, total = be16_get(v.at + 2);
	if (header < IPV4_LEN)
		return false;
	p->version = 4;
	p->ecn = v.at[1] & 3;
	p->ttl = v.at[8];
	p->protocol = v.at[9];
	p->is_fragment = (be16_get(v.at + 6) & 0x1fff) != 0;
	memcpy(p->from.ip, v.at + 12, 4);
	memcpy(p->to.ip, v.at + 16, 4);
	if (total >= header) /* 0: a packet too long for the field, before the card cuts it up (BIG TCP) */
		cut(&v, total);
	if (v.n < header)
		return true;
	skip(&v, header);
	take_protocol(p, v);
	return true;
}

/* RFC 8200 4: headers that may stand between IPv6's own and TCP's. False when there is none, or it is not all there. */
static bool skip_extension(struct packet *p, struct view *v)
{
	enum { HOP_BY_HOP = 0, ROUTING = 43, FRAGMENT = 44, DESTINATION = 60 };
	if (p->protocol != HOP_BY_HOP && p->protocol != ROUTING && p->protocol != FRAGMENT &&
	    p->protocol != DESTINATION)
		return false;
	if (v->n < 8)
		return false;
	size_t len = p->protocol == FRAGMENT ? 8 : (v->at[1] + 1u) * 8;
	if (v->n < len)
		return false;
	if (p->protocol == FRAGMENT && be16_get(v->at + 2) >> 3 != 0)
		p->is_fragment = true;
	p->protocol = v->at[0];
	skip(v, len);
	return true;
}

/* RFC 8200 3 */
static bool take_ipv6(struct packet *p, struct view v)
{
	if (v.n < IPV6_LEN)
		return false;
	uint32_t first = be32_get(v.at);
	size_t payload = be16_get(v.at + 4);
	p->version = 6;
	p->ecn = first >> 20 & 3;
	p->protocol = v.at[6];
	p->ttl = v.at[7];
	memcpy(p->from.ip, v.at + 8, 16);
	memcpy(p->to.ip, v.at + 24, 16);
	skip(&v, IPV6_LEN);
	if (payload != 0) /* 0: longer than the field can say (RFC 2675) */
		cut(&v, payload);
	while (!p->is_fragment && skip_extension(p, &v))
		;
	take_protocol(p, v);
	return true;
}

static bool skip_ethernet(struct view *v)
{
	size_t header = ETHERNET_LEN;
	while (v->n >= header) {
		uint16_t type = be16_get(v->at + header - 2);
		if (type == TYPE_VLAN || type == TYPE_SVLAN) {
			header += VLAN_LEN;
			continue;
		}
		skip(v, header);
		return type == TYPE_IPV4 || type == TYPE_IPV6;
	}
	return false;
}

bool packet_decode(struct packet *p, enum packet_link link, const unsigned char *bytes, size_t captured, size_t len)
{
	*p = (struct packet){ 0 };
	struct view v = { bytes, captured < len ? captured : len, len };
	if (link == PACKET_ETHERNET && !skip_ethernet(&v))
		return false;
	unsigned version = v.n > 0 ? v.at[0] >> 4 : 0;
	return version == 4 ? take_ipv4(p, v) : version == 6 ? take_ipv6(p, v) : false;
}

/* --- text ---------------------------------------------------------------------------------------------------------- */

void packet_flow_see(struct packet_flow *f, unsigned direction, const struct packet *p)
{
	if (p->protocol != PACKET_TCP || !p->has_header)
		return;
	const struct packet_tcp *t = &p->tcp;
	unsigned other = !direction;
	if ((t->flags & PACKET_SYN) && !(t->flags & PACKET_ACK) && f->base[direction] != t->seq)
		*f = (struct packet_flow){ 0 }; /* a new connection with old ports */
	/* A reset in answer to a SYN has sequence number 0, whatever else the connection counts (RFC 9293 3.10.7.1). */
	bool is_number = !(t->flags & PACKET_RST);
	if ((!f->is_known[direction] && is_number) || (t->flags & PACKET_SYN)) {
		f->is_known[direction] = true;
		f->base[direction] = t->flags & PACKET_SYN ? t->seq : t->seq - 1;
	}
	if (!f->is_known[other] && (t->flags & PACKET_ACK)) {
		f->is_known[other] = true;
		f->base[other] = t->ack - 1;
	}
}

/* Text that is added to until it is full; what does not fit is left out. */
struct text {
	char *out;
	size_t len, cap;
};

static void add(struct text *t, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void add(struct text *t, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	int n = vsnprintf(t->out + t->len, t->cap - t->len, fmt, args);
	va_end(args);
	if (n > 0)
		t->len += (size_t)n < t->cap - t->len ? (size_t)n : t->cap - t->len - 1;
}

static void add_flags(struct text *t, uint8_t flags)
{
	static const struct {
		uint8_t flag;
		char letter;
	} letters[] = {
		{ PACKET_FIN, 'F' }, { PACKET_SYN, 'S' }, { PACKET_RST, 'R' }, { PACKET_PSH, 'P' },
		{ PACKET_ACK, '.' }, { PACKET_URG, 'U' }, { PACKET_ECE, 'E' }, { PACKET_CWR, 'W' },
	};
	for (size_t i = 0; i < COUNT_OF(letters); i++) {
		if (flags & letters[i].flag)
			add(t, "%c", letters[i].letter);
	}
	if (flags == 0)
		add(t, "-");
}

static void add_sack(struct text *t, const struct packet_tcp *tcp, uint32_t base)
{
	add(t, "sack");
	for (unsigned i = 0; i < tcp->n_sack; i++)
		add(t, " %" PRIu32 ":%" PRIu32, tcp->sack[i][0] - base, tcp->sack[i][1] - base);
}

static void add_option(struct text *t, const struct packet_tcp *tcp, const struct option *o, uint32_t base)
{
	switch (o->kind) {
	case OPTION_END:
		add(t, "eol");
		break;
	case OPTION_NOP:
		add(t, "nop");
		break;
	case OPTION_MSS:
		add(t, "mss %u", tcp->mss);
		break;
	case OPTION_WSCALE:
		add(t, "wscale %u", tcp->window_scale);
		break;
	case OPTION_SACK_OK:
		add(t, "sackOK");
		break;
	case OPTION_SACK:
		add_sack(t, tcp, base);
		break;
	case OPTION_TS:
		add(t, "TS val %" PRIu32 " ecr %" PRIu32, tcp->ts_value, tcp->ts_echo);
		break;
	case OPTION_FASTOPEN:
		add(t, "FO %zu bytes", o->len);
		break;
	default:
		add(t, "option %u (%zu)", o->kind, o->len);
	}
}

static void add_options(struct text *t, const struct packet_tcp *tcp, uint32_t base, unsigned how)
{
	struct option o;
	const char *lead = " <";
	for (size_t at = 0; next_option(tcp, &at, &o);) {
		bool is_noise = o.kind == OPTION_NOP || o.kind == OPTION_END || o.kind == OPTION_TS;
		if (is_noise && !(how & PACKET_EVERYTHING))
			continue;
		add(t, "%s", lead);
		lead = ",";
		add_option(t, tcp, &o, base);
	}
	if (*lead == ',')
		add(t, ">");
}

static void add_tcp(struct text *t, const struct packet *p, const struct packet_flow *f, unsigned direction,
		    unsigned how)
{
	const struct packet_tcp *tcp = &p->tcp;
	uint32_t here = f != NULL ? f->base[direction] : 0, there = f != NULL ? f->base[!direction] : 0;
	uint32_t first = tcp->seq - here;
	add_flags(t, tcp->flags);
	add(t, " %" PRIu32 ":%" PRIu32 "(%zu)", first, first + (uint32_t)p->payload_len, p->payload_len);
	if (tcp->flags & PACKET_ACK)
		add(t, " ack %" PRIu32, tcp->ack - there);
	add(t, " win %u", tcp->window);
	if (tcp->flags & PACKET_URG)
		add(t, " urg %u", tcp->urgent);
	add_options(t, tcp, there, how);
}

const char *packet_text(char out[static PACKET_TEXT], const struct packet *p, const struct packet_flow *f,
			unsigned direction, unsigned how)
{
	struct text t = { .out = out, .cap = PACKET_TEXT };
	out[0] = '\0';
	if (p->is_fragment)
		add(&t, "fragment of protocol %u (%zu)", p->protocol, p->payload_len);
	else if (!p->has_header)
		add(&t, "protocol %u (%zu)", p->protocol, p->payload_len);
	else if (p->protocol == PACKET_TCP)
		add_tcp(&t, p, f, direction, how);
	else if (p->protocol == PACKET_UDP)
		add(&t, "udp (%zu)", p->payload_len);
	else
		add(&t, "icmp type %u code %u (%zu)", p->icmp_type, p->icmp_code, p->payload_len);
	return out;
}

static void add_end(struct text *t, const struct packet *p, const struct packet_end *end)
{
	char ip[INET6_ADDRSTRLEN] = "?";
	bool has_port = p->has_header && (p->protocol == PACKET_TCP || p->protocol == PACKET_UDP);
	inet_ntop(p->version == 4 ? AF_INET : AF_INET6, end->ip, ip, sizeof(ip));
	if (!has_port)
		add(t, "%s", ip);
	else
		add(t, p->version == 4 ? "%s:%u" : "[%s]:%u", ip, end->port);
}

const char *packet_ends_text(char out[static PACKET_ENDS_TEXT], const struct packet *p)
{
	struct text t = { .out = out, .cap = PACKET_ENDS_TEXT };
	add_end(&t, p, &p->from);
	add(&t, " > ");
	add_end(&t, p, &p->to);
	return out;
}

/* --- pcap ---------------------------------------------------------------------------------------------------------- */

void packet_pcap_header(unsigned char out[static PACKET_PCAP_HEADER], enum packet_link link, size_t snap_len)
{
	be32_put(out, 0xa1b23c4d); /* nanoseconds; microseconds would be a1b2c3d4 */
	be16_put(out + 4, 2);      /* version 2.4 */
	be16_put(out + 6, 4);
	be32_put(out + 8, 0); /* reserved */
	be32_put(out + 12, 0);
	be32_put(out + 16, (uint32_t)snap_len);
	be32_put(out + 20, link);
}

void packet_pcap_record(unsigned char out[static PACKET_PCAP_RECORD], int64_t real_ns, size_t captured, size_t len)
{
	be32_put(out, (uint32_t)(real_ns / 1000000000));
	be32_put(out + 4, (uint32_t)(real_ns % 1000000000));
	be32_put(out + 8, (uint32_t)captured);
	be32_put(out + 12, (uint32_t)len);
}
