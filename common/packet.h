/* packet.h - what is in an IP packet, one line about it, and the pcap file format. Layer 1: memory only.
 *
 *	struct packet p;
 *	if (packet_decode(&p, PACKET_RAW, bytes, captured, len)) {
 *		packet_flow_see(&flow, direction, &p);
 *		puts(packet_text(text, &p, &flow, direction, 0));
 *	}
 *
 * Of a packet the first `captured` bytes are there, of `len` that were on the wire. Nothing beyond `captured` is ever
 * read, whatever the headers say: packets come from strangers.
 *
 * LIMIT: checksums are not looked at. On loopback, and where the network card computes them, they are not yet right
 * when a packet is captured. */
#ifndef TCPLAB_PACKET_H
#define TCPLAB_PACKET_H

#include "cdefs.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* With which header the bytes begin; the numbers are pcap's (https://www.tcpdump.org/linktypes.html). */
enum packet_link {
	PACKET_ETHERNET = 1,
	PACKET_RAW = 101, /* IPv4 or IPv6: a TUN device, a packet socket of type SOCK_DGRAM */
};

/* IANA's numbers; others are possible. */
enum packet_protocol { PACKET_ICMP = 1, PACKET_TCP = 6, PACKET_UDP = 17, PACKET_ICMP6 = 58 };

/* As they lie in the TCP header (RFC 9293 3.1, RFC 3168 6.1). */
enum packet_flag {
	PACKET_FIN = 1 << 0,
	PACKET_SYN = 1 << 1,
	PACKET_RST = 1 << 2,
	PACKET_PSH = 1 << 3,
	PACKET_ACK = 1 << 4,
	PACKET_URG = 1 << 5,
	PACKET_ECE = 1 << 6,
	PACKET_CWR = 1 << 7,
};

enum { PACKET_SACK_BLOCKS = 4, PACKET_TEXT = 256, PACKET_ENDS_TEXT = 112 };

struct packet_end {
	unsigned char ip[16]; /* IPv4: the first four */
	uint16_t port;        /* 0 where there is none */
};

struct packet_tcp {
	uint32_t seq, ack;
	uint16_t window, urgent; /* as they stand in the header; a window scale is not applied */
	uint8_t flags;
	const unsigned char *options; /* lie in the packet's bytes */
	size_t options_len;

	/* What the options say. 0 and false: not there. */
	uint16_t mss;
	uint8_t window_scale;
	bool has_window_scale, may_sack, has_timestamps;
	uint32_t ts_value, ts_echo; /* RFC 7323 3 */
	unsigned n_sack;
	uint32_t sack[PACKET_SACK_BLOCKS][2]; /* from, to (RFC 2018 3) */
};

struct packet {
	struct packet_end from, to;
	uint8_t version;             /* 4 or 6 */
	uint8_t protocol;            /* enum packet_protocol, or another */
	uint8_t ttl;                 /* hop limit */
	uint8_t ecn;                 /* RFC 3168 5 */
	bool is_fragment;            /* not the first one: its protocol's header is in another packet */
	bool has_header;             /* the header of TCP, UDP or ICMP was captured, and is decoded */
	size_t payload_len;          /* bytes behind that header on the wire; may not have been captured */
	const unsigned char *header; /* what follows IP's headers, among the packet's bytes; NULL: they end before */

	struct packet_tcp tcp;        /* protocol PACKET_TCP */
	uint8_t icmp_type, icmp_code; /* protocol PACKET_ICMP, PACKET_ICMP6 */
};

/* False: no IP header was found; *p is all zero then. p borrows the bytes (header, tcp.options). */
MUST_USE bool packet_decode(struct packet *p, enum packet_link link, const unsigned char *bytes, size_t captured,
			    size_t len);

/* --- text --------------------------------------------------------------------------------------------------------- */

/* Where the two directions of a connection begin to count, so that the first byte of each is number 1. All zero: not
 * known yet. Lives in whoever knows the connections; a direction is 0 or 1. */
struct packet_flow {
	bool is_known[2];
	uint32_t base[2];
};

/* Learns from a SYN, and where the SYN was missed from the first segment that is seen. Call it before packet_text. */
void packet_flow_see(struct packet_flow *f, unsigned direction, const struct packet *p);

enum { PACKET_EVERYTHING = 1 }; /* timestamps and padding options, too */

/* The notation of packetdrill: flags, first:last(length) ack, win, options.
 *
 *	S 0:0(0) win 65495 <mss 65495,sackOK,wscale 7>
 *	P. 1:1001(1000) ack 1 win 512
 *	udp (12)         icmp type 3 code 4
 *
 * Numbers are relative to the flow; with f NULL as they are. */
const char *packet_text(char out[static PACKET_TEXT], const struct packet *p, const struct packet_flow *f,
			unsigned direction, unsigned how);

/* "127.0.0.1:40000 > 127.0.0.1:5001", "[::1]:40000 > [::1]:5001"; without ports if there are none. */
const char *packet_ends_text(char out[static PACKET_ENDS_TEXT], const struct packet *p);

/* --- pcap --------------------------------------------------------------------------------------------------------- */

/* The classic format (https://www.ietf.org/archive/id/draft-ietf-opsawg-pcap-04.html) with nanoseconds: this header once,
 * then for each packet the other one and the captured bytes. Big-endian, which readers see by the first number. */
enum { PACKET_PCAP_HEADER = 24, PACKET_PCAP_RECORD = 16 };
void packet_pcap_header(unsigned char out[static PACKET_PCAP_HEADER], enum packet_link link, size_t snap_len);
void packet_pcap_record(unsigned char out[static PACKET_PCAP_RECORD], int64_t real_ns, size_t captured, size_t len);

#endif
