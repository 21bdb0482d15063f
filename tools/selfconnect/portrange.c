#include "portrange.h"

#include "os.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void parse_reserved(struct portrange *p, const char *text)
{
	unsigned first, last;
	int len;
	for (const char *at = text; sscanf(at, "%u%n", &first, &len) == 1; at += *at == ',') {
		at += len;
		last = first;
		if (sscanf(at, "-%u%n", &last, &len) == 1)
			at += len;
		for (unsigned port = first; port <= last && port < PORTRANGE_ALL; port++)
			p->is_reserved[port] = true;
	}
}

int portrange_parse(struct portrange *p, const char *range, const char *reserved, bool by_parity)
{
	memset(p, 0, sizeof(*p));
	if (sscanf(range, "%u %u", &p->low, &p->high) != 2 || p->low > p->high || p->high >= PORTRANGE_ALL)
		return -1;
	parse_reserved(p, reserved);
	p->step = by_parity ? 2 : 1;
	p->end = p->high + 1;
	if (by_parity && p->end - p->low > 1)
		p->end -= (p->end - p->low) % 2;
	for (unsigned port = p->low; port < p->end; port++)
		p->n += portrange_has(p, port);
	return 0;
}

int portrange_read(struct portrange *p, bool by_parity, struct net_error *e)
{
	static const char range_file[] = "/proc/sys/net/ipv4/ip_local_port_range";
	static char reserved[4 * PORTRANGE_ALL]; /* the longest: every second port, 32768 times "65535," */
	char range[64];
	if (os_read_line(range_file, range, sizeof(range)) < 0)
		return net_fail(e, "read", range_file);
	if (os_read_line("/proc/sys/net/ipv4/ip_local_reserved_ports", reserved, sizeof(reserved)) < 0)
		reserved[0] = '\0';
	if (portrange_parse(p, range, reserved, by_parity) == 0)
		return 0;
	errno = EPROTO;
	return net_fail(e, "read", range_file);
}

bool portrange_has(const struct portrange *p, unsigned port)
{
	return port >= p->low && port < p->end && (port - p->low) % p->step == 0 && !p->is_reserved[port];
}

const char *portrange_why_not(const struct portrange *p, unsigned port)
{
	if (portrange_has(p, port))
		return NULL;
	if (port < p->low || port > p->high)
		return "outside of ip_local_port_range";
	if (p->is_reserved[port])
		return "one of ip_local_reserved_ports";
	return port < p->end ? "not of the parity of the range's lower end" : "the odd one at the end of the range";
}

unsigned portrange_nearest(const struct portrange *p, unsigned port)
{
	for (unsigned d = 1; d < PORTRANGE_ALL; d++) {
		if (port >= d && portrange_has(p, port - d))
			return port - d;
		if (portrange_has(p, port + d))
			return port + d;
	}
	return 0;
}
