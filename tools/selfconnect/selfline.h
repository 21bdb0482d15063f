/* selfline.h - how the kernel lists a connection to itself: one line with the same address and port at both ends. A chapter
 * of selfconnect. Any user may read /proc/net/tcp (proc(5)); ss(8) shows the same. */
#ifndef TCPLAB_SELFCONNECT_SELFLINE_H
#define TCPLAB_SELFCONNECT_SELFLINE_H

#include <stdbool.h>

struct selfline {
	unsigned n;     /* with this port at both ends, and the same address */
	unsigned state; /* of the last of them, in the kernel's numbers (TCP_ESTABLISHED); 0: there is none */
};

const char *selfline_file(bool udp, bool ipv6); /* "/proc/net/tcp" */

/* A file that cannot be read has none. */
struct selfline selfline_find(const char *file, unsigned port);

const char *selfline_state_name(unsigned state); /* "TIME-WAIT", as in RFC 9293 3.3.2; "none" for 0 */

#endif
