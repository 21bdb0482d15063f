#include "netcat.h"

#include "clock.h"
#include "diag.h"
#include "json.h"
#include "units.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

/* Everything here goes to standard error: standard output belongs to the payload. */

static void begin_record(struct json *j, const char *record)
{
	json_begin(j, stderr);
	json_str(j, "schema", "tcplab.netcat/1");
	json_str(j, "record", record);
}

void nc_report_listening(const struct nc_options *o, const struct addr *bound)
{
	char text[ADDR_TEXT];
	addr_text(bound, text);
	if (o->verbose)
		warnf("listening on %s%s", text, o->udp ? " (udp)" : "");
	if (!o->json)
		return;
	struct json j;
	begin_record(&j, "listening");
	json_str(&j, "local", text);
	json_u64(&j, "port", addr_port(bound));
	json_end(&j);
}

void nc_report_start(struct nc *nc)
{
	char local[ADDR_TEXT], peer[NC_PEER_TEXT], socks[SOCKS_THROUGH_TEXT];
	addr_text(&nc->local, local);
	nc_peer_text(nc, peer);
	if (nc->o->verbose && nc->o->udp && !nc->o->listen)
		warnf("%s to %s (udp): nothing is sent yet, so nobody has answered", local, peer);
	else if (nc->o->verbose)
		warnf(nc->o->listen ? "%s: connection from %s%s" : "%s: connected to %s%s", local, peer,
		      socks_through_text(&nc->o->socks, socks));
	if (!nc->o->json)
		return;
	struct json j;
	begin_record(&j, "start");
	json_str(&j, "role", nc->o->listen ? "server" : "client");
	json_str(&j, "local", local);
	json_str(&j, "peer", peer);
	json_str(&j, "socks", socks_proxy_text(&nc->o->socks, socks));
	json_end(&j);
}

/* --- while it runs ----------------------------------------------------------------------------------------------- */

void nc_report_interval(struct nc *nc, uint64_t now_ns)
{
	char sent[UNITS_TEXT], received[UNITS_TEXT], up[UNITS_TEXT], down[UNITS_TEXT];
	uint64_t s = atomic_load(&nc->sent), r = atomic_load(&nc->received);
	double seconds = (double)(now_ns - nc->shown_ns) / 1e9;
	double up_Bps = (double)(s - nc->shown_sent) / seconds, down_Bps = (double)(r - nc->shown_received) / seconds;
	nc->shown_ns = now_ns;
	nc->shown_sent = s;
	nc->shown_received = r;
	if (!nc->o->json) {
		warnf("%6.1f s  sent %s (%s)  received %s (%s)", (double)(now_ns - nc->start_ns) / 1e9,
		      units_size(sent, s), units_rate(up, up_Bps), units_size(received, r), units_rate(down, down_Bps));
		return;
	}
	struct json j;
	begin_record(&j, "interval");
	json_u64(&j, "elapsed_ns", now_ns - nc->start_ns);
	json_u64(&j, "bytes_sent", s);
	json_u64(&j, "bytes_received", r);
	json_f64(&j, "sent_Bps", up_Bps);
	json_f64(&j, "received_Bps", down_Bps);
	json_end(&j);
}

void nc_report_blocked(struct nc *nc, uint64_t in_write_ns)
{
	char unread_text[UNITS_TEXT], waited[UNITS_TEXT];
	uint64_t unread = nc_unread(nc), unacked = nc_unacked(nc);
	units_duration(waited, in_write_ns);
	units_size(unread_text, unread);
	if (!nc->o->json || nc->o->verbose)
		warnf(unread > 0
			      ? "deadlock: %s in write, %s unread here: the peer does not read what we write, and we do not read "
				"what it writes"
			      : "stalled: %s in write, %s unread here: the peer does not read",
		      waited, unread_text);
	if (!nc->o->json)
		return;
	struct json j;
	begin_record(&j, unread > 0 ? "deadlock" : "stalled");
	json_u64(&j, "in_write_ns", in_write_ns);
	json_u64(&j, "bytes_sent", atomic_load(&nc->sent));
	json_u64(&j, "bytes_received", atomic_load(&nc->received));
	json_u64(&j, "unacked_bytes", unacked);
	json_u64(&j, "unread_bytes", unread);
	json_end(&j);
}

/* "3 in out" */
static size_t put_events(char *out, size_t room, const struct pollfd *p, short events)
{
	int n = snprintf(out, room, "{%d%s%s%s%s%s}", p->fd, events & POLLIN ? " in" : "",
			 events & POLLOUT ? " out" : "", events & POLLRDHUP ? " rdhup" : "",
			 events & POLLHUP ? " hup" : "", events & POLLERR ? " err" : "");
	return n > 0 && (size_t)n < room ? (size_t)n : 0;
}

void nc_trace_poll(const struct pollfd *fds, int n, int ready)
{
	char asked[128] = "", got[128] = "";
	size_t a = 0, g = 0;
	for (int i = 0; i < n && diag_trace; i++) {
		if (fds[i].fd >= 0)
			a += put_events(asked + a, sizeof(asked) - a, &fds[i], fds[i].events);
		if (ready > 0 && fds[i].fd >= 0 && fds[i].revents != 0)
			g += put_events(got + g, sizeof(got) - g, &fds[i], fds[i].revents);
	}
	tracef("poll(%s) = %d %s", asked, ready, got);
}

/* --- the end ----------------------------------------------------------------------------------------------------- */

void nc_report_error(const struct nc_options *o, const struct net_error *e)
{
	char text[NET_ERROR_TEXT];
	if (!o->json || o->verbose)
		warnf("%s", net_error_text(e, text));
	if (!o->json)
		return;
	struct json j;
	begin_record(&j, "error");
	json_str(&j, "op", e->op);
	json_str(&j, "object", e->object);
	json_str(&j, "errno", net_error_symbol(e));
	json_str(&j, "message", net_error_reason(e));
	json_end(&j);
}

static const char *const side_names[] = { [NC_LOCAL] = "local", [NC_PEER] = "peer" };
static const char *const end_names[] = { [NC_END_NONE] = "none", [NC_END_FIN] = "fin", [NC_END_RST] = "rst" };

void nc_report_result(const struct nc_options *o, const char *record, const struct nc_result *r)
{
	if (!o->json)
		return;
	struct json j;
	char socks[SOCKS_PLACE_TEXT];
	begin_record(&j, record);
	json_u64(&j, "connections", r->connections);
	json_u64(&j, "elapsed_ns", r->elapsed_ns);
	json_u64(&j, "bytes_sent", r->sent);
	json_u64(&j, "bytes_received", r->received);
	json_str(&j, "closed_first", r->connections == 0 ? NULL : side_names[r->closed_first]);
	json_str(&j, "peer_end", end_names[r->peer_end]);
	if (o->udp || o->is_unix)
		json_null(&j, "unacked_bytes");
	else
		json_u64(&j, "unacked_bytes", r->unacked);
	json_u64(&j, "unread_bytes", r->unread);
	json_str(&j, "socks", socks_proxy_text(&o->socks, socks));
	json_end(&j);
}

static const char *ending(const struct nc_result *r)
{
	bool is_ours = r->closed_first == NC_LOCAL;
	switch (r->peer_end) {
	case NC_END_FIN:
		return is_ours ? "we ended first (FIN), the peer after us (FIN)" : "the peer ended first (FIN)";
	case NC_END_RST:
		return is_ours ? "we ended first, and the peer reset the connection (RST)"
			       : "the peer reset the connection (RST)";
	default:
		return is_ours ? "we closed; the peer had not ended" : "it failed; neither side had ended";
	}
}

/* Acknowledgements end where TCP does: with a SOCKS server between, at the server. */
static void report_delivery(const struct nc_options *o, const struct nc_result *r)
{
	const char *whose = o->socks.version != 0 ? "SOCKS server" : "peer";
	if (r->unacked > 0)
		warnf("not delivered: %" PRIu64 " of %" PRIu64 " bytes were never confirmed by the %s's kernel",
		      r->unacked, r->sent, whose);
	else if (r->peer_end == NC_END_RST)
		warnf("the %s's kernel had confirmed every byte, but how many of them its program has read nobody knows",
		      whose);
	else
		warnf("delivered: the %s's kernel confirmed every byte", whose);
}

void nc_report_end(const struct nc_options *o, const struct nc_result *r)
{
	char sent[UNITS_TEXT], received[UNITS_TEXT], elapsed[UNITS_TEXT];
	if (!o->verbose)
		return;
	warnf("sent %s, received %s in %s", units_size(sent, r->sent), units_size(received, r->received),
	      units_duration(elapsed, r->elapsed_ns));
	if (o->udp)
		return; /* datagrams have no end, and nobody confirms them */
	warnf("%s", ending(r));
	if (r->unread > 0)
		warnf("%" PRIu64 " bytes of the peer's were here, and nobody read them: such a close is a reset",
		      r->unread);
	if (r->sent > 0 && !o->is_unix)
		report_delivery(o, r);
}

/* --- -z ---------------------------------------------------------------------------------------------------------- */

void nc_report_port(const struct nc_options *o, const char *object, uint16_t port, int error)
{
	const char *silent = o->udp ? "open, or silent" : "open";
	/* Of a range only what is open is worth a line. */
	if (o->verbose && error == 0)
		warnf("%s: %s", object, silent);
	if (!o->json)
		return;
	struct json j;
	begin_record(&j, "port");
	json_str(&j, "object", object);
	json_u64(&j, "port", port);
	json_bool(&j, "open", error == 0);
	json_str(&j, "errno", error != 0 ? errno_name(error) : NULL);
	json_end(&j);
}

void nc_report_scan(const struct nc_options *o, uint64_t n_open, uint64_t n_closed, int last_error)
{
	if (n_open == 0 && last_error != 0 && (!o->json || o->verbose)) {
		struct net_error e = { .op = "connect", .sys = last_error };
		char text[NET_ERROR_TEXT];
		if (o->port == o->last_port)
			snprintf(e.object, sizeof(e.object), "%s:%u", o->host, o->port);
		else
			snprintf(e.object, sizeof(e.object), "%s:%u-%u (none is open; the last one)", o->host, o->port,
				 o->last_port);
		warnf("%s", net_error_text(&e, text));
	}
	if (!o->json)
		return;
	struct json j;
	begin_record(&j, "total");
	json_u64(&j, "ports_open", n_open);
	json_u64(&j, "ports_closed", n_closed);
	json_end(&j);
}

/* --- --hexdump --------------------------------------------------------------------------------------------------- */

enum { PER_LINE = 16 };

/* "> 00000010  47 45 54 20 2f 20 48 54  54 50 2f 31 2e 30 0d 0a  |GET / HTTP/1.0..|" */
static void dump_line(char direction, uint64_t offset, const unsigned char *p, size_t n)
{
	char hex[3 * PER_LINE + 2] = "", text[PER_LINE + 1] = "";
	size_t at = 0;
	for (size_t i = 0; i < n; i++) {
		at += (size_t)snprintf(hex + at, sizeof(hex) - at, i == PER_LINE / 2 ? " %02x " : "%02x ", p[i]);
		text[i] = p[i] >= ' ' && p[i] <= '~' ? (char)p[i] : '.';
	}
	fprintf(stderr, "%c %08" PRIx64 "  %-*s |%s|\n", direction, offset, (int)sizeof(hex) - 1, hex, text);
}

void nc_hexdump(char direction, uint64_t offset, const void *p, size_t n)
{
	flockfile(stderr); /* the lines of one piece together: in netcat-threaded the other direction dumps, too */
	for (size_t at = 0; at < n; at += PER_LINE)
		dump_line(direction, offset + at, (const unsigned char *)p + at, n - at < PER_LINE ? n - at : PER_LINE);
	funlockfile(stderr);
}
