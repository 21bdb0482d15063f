/* control.h - the testbed's side of its control socket: what `linkem set`, `stat`, `exec`, `watch` and `down` ask for.
 *
 * A request and its answer are one message each (SOCK_SEQPACKET, unix(7)), and they are text:
 *
 *	stat | stat json              counters since the start
 *	interval | interval json      counters since this client's last question
 *	set WORD...                   as on the command line
 *	join a|b|r                    the descriptors of the namespaces come along (SCM_RIGHTS); the answer names them
 *	watch                         from now on a message for each packet
 *	down                          the last counters; then everything ends
 *
 * The answer is "ok", a newline and the rest, or "error: " and the reason. Only programs of the same user are
 * answered: the kernel tells who they are (SO_PEERCRED). */
#ifndef TCPLAB_LINKEM_CONTROL_H
#define TCPLAB_LINKEM_CONTROL_H

#include "acceptor.h"
#include "engine.h"

enum { CONTROL_CLIENTS = 32 /* at each listener; the others wait */ };

struct control_client;

struct control {
	struct engine *engine;
	int users; /* the user namespace that the hosts belong to; -1: that of whoever asks */
	struct acceptor acceptors[1 + LINKEM_HOSTS];
	struct control_client *clients;
	unsigned n_watching;
	bool prints; /* --diagram */
};

/* `outside` is the socket that has the testbed's name where it was made. Descriptors are borrowed, until
 * the process ends. */
MUST_USE int control_start(struct control *c, struct engine *g, int outside, int users, struct net_error *e);

#endif
