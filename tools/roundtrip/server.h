/* server.h - what the server's chapters share: one clock, one table of visitors, for UDP and for connections.
 *
 *	server.c   thread udp      recvmmsg -> answer each -> sendmmsg
 *	tcp.c      thread accept   a thread for each connection: recv -> answer each -> send
 *	answer.c                   answer_question: the same for both, under the lock
 *	           main            waits for signals, reports, ends all of them */
#ifndef TCPLAB_ROUNDTRIP_SERVER_H
#define TCPLAB_ROUNDTRIP_SERVER_H

#include "auth.h"
#include "datagram.h"
#include "kstamp.h"
#include "roundtrip.h"
#include "udpbatch.h"
#include "visitors.h"

#include <pthread.h>
#include <stdatomic.h>

/* Questions by what became of them, beside those that udpbatch.h turned away. */
struct answered {
	uint64_t plain, extended, challenges;
	uint64_t garbage;      /* neither plain nor extended */
	uint64_t unauthorised; /* --key: not signed with our key, or plain */
	uint64_t replayed;     /* --key: signed, but seen before */
	uint64_t crowded;      /* --key: no room, because nobody who was here lately is forgotten */
};

/* Sent datagrams whose stamps are awaited, by the kernel's number modulo the size. */
enum { STAMPS_AWAITED = 256 };
struct awaited {
	uint32_t stamp;
	uint64_t session, source, number;
};

struct server {
	const struct roundtrip_options *o;
	int udp_fd, listen_fd;
	struct auth auth;
	uint64_t start_ns; /* monotonic: --drift begins here */
	atomic_bool is_over;
	atomic_int error; /* errno of the thread that could not go on */

	pthread_mutex_t lock; /* guards the rest */
	struct answered answered;
	struct udp_counters udp;
	struct visitors *visitors;
	struct synchronised sync;
	uint64_t sync_at_ns;
	uint64_t connections, live;
	struct connection *first; /* tcp.c */
	pthread_cond_t changed;   /* a connection has ended, or all of it is over */

	/* Of the udp thread alone. */
	struct udpbatch batch;
	bool has_stamps;
	uint32_t next_stamp;
	struct awaited awaited[STAMPS_AWAITED];
};

/* --- server.c ----------------------------------------------------------------------------------------------------- */

/* Listens, and says where if it is told to. The caller's, who closes it; NULL after having said why not. o is borrowed
 * until then. run: BLOCKS, answers until a signal comes (sig.h) or a thread cannot go on; the exit status. */
struct server *roundtrip_server_open(struct roundtrip_options *o, bool says_where);
int roundtrip_server_run(struct server *s, bool reports);
void roundtrip_server_close(struct server *s);

/* --- answer.c ----------------------------------------------------------------------------------------------------- */

/* By the server's clock, which --skew and --drift make wrong; ns since 1970. */
int64_t server_now_ns(const struct server *s);

/* How a question came. */
struct asked {
	uint64_t source;               /* addr_source (addr.h) */
	uint64_t now_ns;               /* monotonic, to within a tick: for ages */
	int64_t t2;                    /* by the server's clock */
	struct kstamp_received kernel; /* by the real one */
	uint32_t limit;
};

/* Writes at most n bytes to `out` and returns how many, 0 for no answer. The lock is held. */
size_t answer_question(struct server *s, const struct asked *how, const unsigned char *q, size_t n, unsigned char *out);

/* --- tcp.c -------------------------------------------------------------------------------------------------------- */

MUST_USE int roundtrip_tcp_start(struct server *s, pthread_t *out); /* 0, or an errno */
void roundtrip_tcp_stop(struct server *s, pthread_t thread); /* ends all connections; returns when they are gone */

#endif
