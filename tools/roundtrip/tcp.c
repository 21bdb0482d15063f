/* tcp.c - the server's connections: one thread accepts, and each connection has its own. A blocking recv and a send for
 * each question is the fastest there is for one; for ten thousand there is the loop (pingpong). */
#include "server.h"

#include "clock.h"
#include "diag.h"
#include "mem.h"
#include "os.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { STACK_LEN = 256 * 1024, IDLE_S = 60, PAUSE_MS = 100 };
static const uint64_t SPIN_NS = NS_PER_S;

struct connection {
	struct connection *next, **link; /* guarded by the server's lock */
	struct server *s;
	int fd;
	uint64_t source;
	size_t n; /* bytes of questions that came and are not answered yet */
	unsigned char in[DATAGRAM_MAX], out[DATAGRAM_MAX];
};

/* --- one connection ---------------------------------------------------------------------------------------------- */

/* How long is the message that begins here? 0: too little of it is there to tell. */
static size_t message_len(const unsigned char *p, size_t n)
{
	if (n < PLAIN_LEN)
		return 0;
	size_t len = extended_len(p);
	return len != 0 ? len : PLAIN_LEN;
}

static bool send_all(int fd, const unsigned char *p, size_t n)
{
	while (n > 0) {
		ssize_t sent = send(fd, p, n, MSG_NOSIGNAL);
		if (sent < 0)
			return false; /* gone; or SO_SNDTIMEO: it does not read its answers */
		p += sent;
		n -= (size_t)sent;
	}
	return true;
}

/* Answers the messages that are whole, and keeps the rest. False: the connection is over. */
static bool answer_messages(struct connection *c, const struct asked *how)
{
	size_t at = 0, len;
	while ((len = message_len(c->in + at, c->n - at)) > 0 && len <= c->n - at) {
		pthread_mutex_lock(&c->s->lock);
		size_t n = answer_question(c->s, how, c->in + at, len, c->out);
		pthread_mutex_unlock(&c->s->lock);
		if (n == 0)
			return false; /* no answer is a lost one by UDP; here the client would wait for ever */
		if (n == PLAIN_LEN && plain_get(c->in + at).response_us == PLAIN_MAY_WE)
			plain_put(c->out, (struct plain){ plain_get(c->out).request_us, PLAIN_YES });
		if (!send_all(c->fd, c->out, n))
			return false;
		at += len;
	}
	c->n -= at;
	memmove(c->in, c->in + at, c->n);
	return true;
}

/* What there is. --busy-poll: without sleeping, but not for longer than SPIN_NS if nothing comes. */
static ssize_t receive(struct connection *c)
{
	unsigned char *to = c->in + c->n;
	size_t room = sizeof(c->in) - c->n;
	uint64_t since_ns = c->s->o->busy_poll ? clk_mono_ns() : 0;
	while (c->s->o->busy_poll && clk_mono_ns() - since_ns < SPIN_NS) {
		ssize_t n = recv(c->fd, to, room, MSG_DONTWAIT);
		if (n >= 0 || errno != EAGAIN)
			return n;
	}
	return recv(c->fd, to, room, 0);
}

static void *connection_main(void *arg)
{
	struct connection *c = arg;
	struct server *s = c->s;
	struct timeval idle = { .tv_sec = IDLE_S };
	os_thread_name("connection");
	setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &idle, sizeof(idle));
	setsockopt(c->fd, SOL_SOCKET, SO_SNDTIMEO, &idle, sizeof(idle));
	for (ssize_t n; (n = receive(c)) > 0;) {
		struct asked how = { .source = c->source, .t2 = server_now_ns(s), .now_ns = clk_mono_coarse_ns() };
		c->n += (size_t)n;
		if (!answer_messages(c, &how))
			break;
	}
	pthread_mutex_lock(&s->lock);
	*c->link = c->next;
	if (c->next != NULL)
		c->next->link = c->link;
	close(c->fd); /* under the lock: nobody shuts down a descriptor that is somebody else's by now */
	s->live--;
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
	free(c);
	return NULL;
}

/* --- accept ------------------------------------------------------------------------------------------------------ */

static void start_connection(struct server *s, int fd)
{
	struct addr peer;
	struct connection *c = xmalloc(sizeof(*c)); /* WHY not xcalloc: 128 KiB that are written before they are read */
	c->s = s;
	c->fd = fd;
	c->n = 0;
	c->source = addr_of_peer(fd, &peer) == 0 ? addr_source(&peer) : 0;
	pthread_mutex_lock(&s->lock);
	c->next = s->first;
	c->link = &s->first;
	if (c->next != NULL)
		c->next->link = &c->next;
	s->first = c;
	s->live++;
	s->connections++;
	pthread_mutex_unlock(&s->lock);
	int error = os_thread_start(NULL, STACK_LEN, connection_main, c);
	if (error == 0)
		return;
	errno = error;
	warnf_errno("start a thread");
	pthread_mutex_lock(&s->lock);
	s->first = c->next;
	if (c->next != NULL)
		c->next->link = &s->first;
	s->live--;
	pthread_mutex_unlock(&s->lock);
	close(fd);
	free(c);
}

/* More than --max-conn wait in the backlog. False: it is over. */
static bool wait_for_room(struct server *s)
{
	pthread_mutex_lock(&s->lock);
	while (s->live >= s->o->max_conn && !atomic_load(&s->is_over))
		pthread_cond_wait(&s->changed, &s->lock);
	pthread_mutex_unlock(&s->lock);
	return !atomic_load(&s->is_over);
}

static void *accept_main(void *arg)
{
	struct server *s = arg;
	os_thread_name("accept");
	while (wait_for_room(s)) {
		int fd = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC);
		if (fd >= 0)
			start_connection(s, fd);
		else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)
			clk_sleep_until_ns(clk_mono_ns() + UINT64_C(1) * PAUSE_MS * NS_PER_MS);
		/* What else accept(2) says is about one connection, or that it is over. */
	}
	return NULL;
}

int roundtrip_tcp_start(struct server *s, pthread_t *out)
{
	return os_thread_start(out, STACK_LEN, accept_main, s);
}

void roundtrip_tcp_stop(struct server *s, pthread_t thread)
{
	shutdown(s->listen_fd, SHUT_RDWR); /* wakes accept with EINVAL */
	pthread_mutex_lock(&s->lock);
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
	pthread_join(thread, NULL);
	pthread_mutex_lock(&s->lock);
	for (struct connection *c = s->first; c != NULL; c = c->next)
		shutdown(c->fd, SHUT_RDWR);
	while (s->live > 0)
		pthread_cond_wait(&s->changed, &s->lock);
	pthread_mutex_unlock(&s->lock);
}
