#include "crew.h"

#include "clock.h"
#include "diag.h"
#include "os.h"
#include "record.h"
#include "sig.h"
#include "sock.h"

#include <errno.h>
#include <stdint.h>
#include <unistd.h>

enum { PORT_TRIES = 20 };

/* The acceptor that took a connection counts it until it has ended. */
static void release(struct reactor *r, unsigned i, void *arg)
{
	(void)i;
	(void)arg;
	struct part *part = crew_part_of(r);
	if (!part->is_stopping)
		acceptor_release(&part->acceptor);
}

static void release_one(struct service_station *ss)
{
	unsigned index = ss->part->index;
	if (index == 0 || ss->crew->o->accept == ACCEPT_REUSEPORT)
		release(ss->station.r, index, NULL);
	else
		loops_post(&ss->crew->loops, 0, release, NULL);
}

static void on_session_end(struct station *st, struct session *s, int err)
{
	crew_log_end(crew_station_of(st->r), s, err);
	crew_part_of(st->r)->last_ns = reactor_now_ns(st->r);
	release_one(crew_station_of(st->r));
}

static void adopt(struct reactor *r, unsigned i, void *arg)
{
	(void)i;
	int fd = (int)(intptr_t)arg;
	struct service_station *ss = crew_station_of(r);
	struct part *part = ss->part;
	const struct service *what = ss->crew->what;
	if (part->is_stopping) {
		close(fd);
		return;
	}
	struct session *s = crew_open_session(ss, fd, what->server, what->server_len);
	if (s == NULL) {
		warnf_errno("a connection cannot be watched");
		release_one(ss);
		return;
	}
	if (part->first_ns == 0)
		part->first_ns = reactor_now_ns(r);
	conn_set_idle(&s->conn, ss->crew->o->timeout_ns);
	if (what->on_accept != NULL)
		what->on_accept(s);
}

static void on_accept(struct acceptor *a, int fd, const struct addr *peer)
{
	(void)peer;
	struct service_station *ss = crew_station_of(a->watch.r);
	struct crew *crew = ss->crew;
	unsigned i = crew->o->accept == ACCEPT_REUSEPORT ? ss->part->index : loops_deal(&crew->loops);
	if (i == ss->part->index)
		adopt(a->watch.r, i, (void *)(intptr_t)fd);
	else
		loops_post(&crew->loops, i, adopt, (void *)(intptr_t)fd);
}

/* TCP and UDP on the same number. When any free number will do, one that is free for TCP may be taken for UDP: try again. */
static int listen_both(struct crew *crew, struct addr *bound, struct net_error *e)
{
	const struct service_options *o = crew->o;
	struct part *first = crew_station(crew, 0)->part;
	struct sock_options so = { .send_buffer = o->send_buffer,
				   .receive_buffer = o->receive_buffer,
				   .nodelay = true,
				   .reuse_port = o->accept == ACCEPT_REUSEPORT };
	const char *host = o->bind != NULL ? o->bind : o->ipv6 ? "::1" : "127.0.0.1";
	for (int tries = 0; tries < (o->port == 0 ? PORT_TRIES : 1); tries++) {
		first->listen_fd = sock_serve(host, (uint16_t)o->port, service_family(o), &so, bound, e);
		if (first->listen_fd < 0 || crew->what->answer == NULL)
			break;
		struct addr udp_bound;
		first->udp_fd = sock_serve_udp(host, addr_port(bound), service_family(o), &udp_bound, e);
		if (first->udp_fd >= 0)
			break;
		close(first->listen_fd);
		first->listen_fd = -1;
		if (e->sys != EADDRINUSE)
			break;
	}
	for (unsigned i = 1; i < crew->loops.n && first->listen_fd >= 0 && so.reuse_port; i++) {
		struct part *part = crew_station(crew, i)->part;
		part->listen_fd = sock_listen(bound, false, &so, e);
		if (part->listen_fd < 0)
			return -1;
	}
	return first->listen_fd < 0 ? -1 : 0;
}

/* On each loop: begin to serve. */
static void open_station(struct reactor *r, unsigned i, void *arg)
{
	struct crew *crew = arg;
	struct part *part = crew_part_of(r);
	const struct service_options *o = crew->o;
	uint64_t shares = o->accept == ACCEPT_DEAL ? 1 : o->threads, most = (o->max_conn + shares - 1) / shares;
	struct net_error e;
	if (part->listen_fd >= 0 &&
	    acceptor_start(&part->acceptor, r, part->listen_fd, (unsigned)most, on_accept) < 0) {
		net_fail(&e, "accept", "listening socket");
		crew_fail(crew, 1, &e);
	}
	if (part->udp_fd < 0)
		return;
	if (udp_start(&part->udp, r, part->udp_fd, (uint32_t)o->udp_rate, crew->what->answer) < 0) {
		net_fail(&e, "receive", "UDP socket");
		crew_fail(crew, 1, &e);
	}
	part->udp.batch.may_exceed = crew->what->answer_may_exceed;
	(void)i;
}

static void announce(const struct crew *crew, const struct addr *bound)
{
	char text[ADDR_TEXT];
	addr_text(bound, text);
	if (crew->o->json) {
		struct json j;
		record_begin(&j, "start");
		json_str(&j, "role", "server");
		json_str(&j, "address", text);
		json_u64(&j, "threads", crew->loops.n);
		json_str(&j, "backend", reactor_backend_name(loops_get(&crew->loops, 0)));
		json_end(&j);
	}
	warnf("listening on %s", text);
	if (crew->what->answer != NULL)
		warnf("listening on %s (udp)", text);
}

int service_serve(const struct service *what, const struct service_options *o)
{
	struct crew crew = { .what = what, .o = o, .is_server = true };
	struct net_error e;
	struct addr bound;
	sig_open();
	os_raise_fd_limit();
	int status = 1;
	if (crew_open(&crew, (unsigned)o->threads, on_session_end, &e) < 0) {
		record_error(o->json, &e);
		return 1;
	}
	if (listen_both(&crew, &bound, &e) < 0) {
		record_error(o->json, &e);
		loops_join(&crew.loops);
	} else {
		loops_each(&crew.loops, open_station, &crew);
		announce(&crew, &bound);
		crew_start_intervals(&crew);
		status = crew_work(&crew);
	}
	crew_close(&crew);
	return status;
}
