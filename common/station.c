#include "station.h"

#include "mem.h"

#include <errno.h>
#include <stdlib.h>

struct session *session_open(struct station *st, int fd, const struct conn_ops *ops, size_t len)
{
	struct session *s = xcalloc(1, len);
	if (conn_start(&s->conn, st->r, fd, ops) < 0) {
		int saved = errno;
		free(s);
		errno = saved;
		return NULL;
	}
	s->next = st->sessions;
	s->link = &st->sessions;
	if (s->next != NULL)
		s->next->link = &s->next;
	st->sessions = s;
	st->ended.connections++;
	st->ended.live++;
	return s;
}

struct station *session_station(const struct session *s)
{
	return reactor_user(s->conn.watch.r);
}

void session_closed(struct conn *c, int err)
{
	struct session *s = session_of(c);
	struct station *st = session_station(s);
	st->ended.bytes_in += c->bytes_in;
	st->ended.bytes_out += c->bytes_out;
	st->ended.live--;
	if (err != 0 && st->ended.failed++ == 0)
		st->first_error = err;
	*s->link = s->next;
	if (s->next != NULL)
		s->next->link = s->link;
	if (st->on_end != NULL)
		st->on_end(st, s, err);
	free(s);
	if (st->sessions == NULL && st->on_empty != NULL)
		st->on_empty(st);
}

void tally_add(struct tally *to, const struct tally *t)
{
	to->connections += t->connections;
	to->live += t->live;
	to->failed += t->failed;
	to->bytes_in += t->bytes_in;
	to->bytes_out += t->bytes_out;
}

struct tally station_tally(const struct station *st)
{
	struct tally sum = st->ended;
	for (const struct session *s = st->sessions; s != NULL; s = s->next) {
		sum.bytes_in += s->conn.bytes_in;
		sum.bytes_out += s->conn.bytes_out;
	}
	return sum;
}

void station_each(struct station *st, void (*fn)(struct session *s))
{
	for (struct session *s = st->sessions, *next; s != NULL; s = next) {
		next = s->next; /* an end comes at the end of the round: s and next stay here meanwhile */
		fn(s);
	}
}
