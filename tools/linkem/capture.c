/* capture.c - linkem: packets into a pcap file, whole rounds of the loop at a time. */
#include "capture.h"

#include "clock.h"
#include "packet.h"
#include "port.h"

static void on_round_end(struct deferred *d)
{
	struct capture *c = CONTAINER_OF(d, struct capture, flush);
	fflush(c->file);
}

int capture_open(struct capture *c, struct reactor *r, const char *path, struct net_error *e)
{
	unsigned char header[PACKET_PCAP_HEADER];
	*c = (struct capture){ .reactor = r, .path = path };
	if (path == NULL)
		return 0;
	c->file = fopen(path, "we");
	if (c->file == NULL)
		return net_fail(e, "open", path);
	packet_pcap_header(header, PACKET_RAW, PORT_PACKET_LEN);
	fwrite(header, 1, sizeof(header), c->file);
	reactor_defer(r, &c->flush, on_round_end);
	return 0;
}

void capture_packet(struct capture *c, const unsigned char *bytes, size_t len)
{
	unsigned char header[PACKET_PCAP_RECORD];
	if (c->file == NULL)
		return;
	packet_pcap_record(header, clk_real_ns(), len, len);
	fwrite(header, 1, sizeof(header), c->file);
	fwrite(bytes, 1, len, c->file);
	reactor_defer(c->reactor, &c->flush, on_round_end);
}

int capture_close(struct capture *c, struct net_error *e)
{
	if (c->file == NULL)
		return 0;
	deferred_cancel(&c->flush);
	bool is_bad = ferror(c->file);
	if (fclose(c->file) != 0 || is_bad)
		return net_fail(e, "write", c->path);
	c->file = NULL;
	return 0;
}
