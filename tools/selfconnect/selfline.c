#include "selfline.h"

#include "cdefs.h"

#include <stdio.h>
#include <string.h>

const char *selfline_file(bool udp, bool ipv6)
{
	if (udp)
		return ipv6 ? "/proc/net/udp6" : "/proc/net/udp";
	return ipv6 ? "/proc/net/tcp6" : "/proc/net/tcp";
}

/* "   0: 0100007F:9C40 0100007F:9C40 01 00000000:00000000 ...": number, local, remote, state, and more; all in hex. */
static bool line_matches(const char *line, unsigned port, unsigned *state)
{
	char here[33], there[33];
	unsigned here_port, there_port;
	return sscanf(line, "%*d: %32[0-9A-F]:%x %32[0-9A-F]:%x %x", here, &here_port, there, &there_port, state) ==
		       5 &&
	       here_port == port && there_port == port && strcmp(here, there) == 0;
}

struct selfline selfline_find(const char *file, unsigned port)
{
	struct selfline found = { 0 };
	char line[512];
	unsigned state;
	FILE *f = fopen(file, "re");
	if (f == NULL)
		return found;
	while (fgets(line, sizeof(line), f) != NULL) {
		if (line_matches(line, port, &state))
			found = (struct selfline){ found.n + 1, state };
	}
	fclose(f);
	return found;
}

const char *selfline_state_name(unsigned state)
{
	/* In the order of the kernel's numbers (net/tcp_states.h). */
	static const char *const names[] = { "none",       "ESTABLISHED", "SYN-SENT",  "SYN-RECEIVED",
					     "FIN-WAIT-1", "FIN-WAIT-2",  "TIME-WAIT", "CLOSED",
					     "CLOSE-WAIT", "LAST-ACK",    "LISTEN",    "CLOSING" };
	return state < COUNT_OF(names) ? names[state] : "unknown";
}
