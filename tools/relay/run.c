/* run.c - the relay as a whole: listening, loops, signals, and how it ends.
 *
 *	SIGTERM, SIGINT, `drain`     no new clients; the listening socket is closed, so that they are refused
 *	   |
 *	   +-- every flow has ended  -------------------------> status 0
 *	   +-- --drain is over, or another signal: reset all --> status 1 */
#include "relay.h"

#include "clock.h"
#include "diag.h"
#include "mem.h"
#include "os.h"
#include "record.h"
#include "sig.h"
#include "units.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *const relay_path_choices[] = { "auto", "copy", "splice", NULL };

/* --- loops -------------------------------------------------------------------------------------------------------- */

static void open_loops(struct relay *relay)
{
	const struct relay_options *o = relay->o;
	struct pump_options pump = {
		.high = o->buffer_len,
		.linger_ns = o->linger_ns,
		.idle_ns = o->idle_ns,
		.path = (enum pump_path)o->path,
		.ops = &relay_pump_ops,
	};
	relay->loop = xcalloc(relay->loops.n, sizeof(*relay->loop));
	for (unsigned i = 0; i < relay->loops.n; i++) {
		struct relay_loop *loop = &relay->loop[i];
		*loop = (struct relay_loop){ .relay = relay, .r = loops_get(&relay->loops, i), .index = i };
		loop->impair[PUMP_UP] = o->impair[PUMP_UP];
		loop->impair[PUMP_DOWN] = o->impair[PUMP_DOWN];
		pump_shop_open(&loop->shop, loop->r, &pump);
		resolver_start(&loop->names, loop->r, &o->names);
		reactor_set_user(loop->r, loop);
	}
}

static void stop_loop(struct reactor *r, unsigned i, void *arg)
{
	(void)i, (void)arg;
	struct relay_loop *loop = reactor_user(r);
	resolver_stop(&loop->names);
}

static void close_loops(struct relay *relay)
{
	for (unsigned i = 0; i < relay->loops.n; i++)
		pump_shop_close(&relay->loop[i].shop);
	loops_free(&relay->loops);
	free(relay->loop);
	sources_free(relay->sources);
}

/* --- the end ------------------------------------------------------------------------------------------------------ */

/* Whatever still waits on loop 0 goes, and then nothing keeps it. */
static void close_up(struct relay *relay)
{
	struct reactor *r = relay->loop[0].r;
	if (relay->listen_fd >= 0) {
		acceptor_stop(&relay->acceptor);
		close(relay->listen_fd);
	}
	reactor_timer_stop(r, &relay->drain);
	relay_intervals_stop(relay);
	relay_top_stop(relay);
	relay_pages_stop(relay);
	relay_control_stop(relay);
	signals_stop(&relay->signals);
	signals_stop(&relay->reload);
	loops_each(&relay->loops, stop_loop, NULL);
	reactor_release(r);
}

/* The last flow is gone, and nobody comes any more. */
static void end_if_drained(struct relay *relay)
{
	if (!relay->is_draining || relay->acceptor.live > 0 || relay->is_over)
		return;
	relay->is_over = true;
	relay->is_drained = !relay->is_aborting;
	close_up(relay);
}

void relay_flow_released(struct relay_flow *f)
{
	struct relay *relay = relay_of(f);
	if (relay->sources != NULL)
		sources_give_back(relay->sources, f->asker);
	free(f);
	acceptor_release(&relay->acceptor);
	end_if_drained(relay);
}

static void abort_flows(struct reactor *r, unsigned i, void *arg)
{
	(void)i, (void)arg;
	struct relay_loop *loop = reactor_user(r);
	loop->is_aborting = true;
	for (struct relay_flow *f = loop->flows, *next; f != NULL; f = next) {
		next = f->next; /* it may be freed at once */
		relay_flow_abort(f);
	}
}

static void abort_all(struct relay *relay)
{
	if (relay->is_aborting || relay->is_over)
		return;
	relay->is_aborting = true;
	loops_each(&relay->loops, abort_flows, NULL);
}

static void on_drain_over(struct timer *t)
{
	struct relay *relay = CONTAINER_OF(t, struct relay, drain);
	warnf("%u flow%s did not end in time: reset", relay->acceptor.live, relay->acceptor.live == 1 ? "" : "s");
	abort_all(relay);
}

void relay_begin_drain(struct relay *relay)
{
	struct reactor *r = relay->loop[0].r;
	if (relay->is_draining)
		return;
	relay->is_draining = true;
	acceptor_stop(&relay->acceptor);
	close(relay->listen_fd);
	relay->listen_fd = -1;
	if (relay->acceptor.live > 0) {
		warnf("draining: %u flow%s; again to end now", relay->acceptor.live,
		      relay->acceptor.live == 1 ? "" : "s");
		reactor_timer_start(r, &relay->drain, reactor_now_ns(r) + relay->o->drain_ns, on_drain_over);
	}
	end_if_drained(relay);
}

static void on_signal(struct signals *s, int number)
{
	(void)number;
	struct relay *relay = CONTAINER_OF(s, struct relay, signals);
	if (relay->is_draining)
		abort_all(relay);
	relay_begin_drain(relay);
}

static void reload_rules(struct relay *relay)
{
	char why[RULES_WHY];
	if (relay->o->rules != NULL && !rules_reload(relay->o->rules, why))
		warnf("SIGHUP: the old rules stay: %s", why);
}

/* Read the lists again; or, when the terminal has gone in which we were started, it is the end. */
static void on_reload(struct signals *s, int number)
{
	(void)number;
	struct relay *relay = CONTAINER_OF(s, struct relay, reload);
	if (relay->terminal_fd >= 0 && !isatty(relay->terminal_fd)) {
		relay_begin_drain(relay);
		return;
	}
	reload_rules(relay);
	if (relay->tool->on_reload != NULL)
		relay->tool->on_reload(relay);
}

/* --- clients ------------------------------------------------------------------------------------------------------ */

static void begin_flow(struct reactor *r, unsigned i, void *arg)
{
	(void)r, (void)i;
	relay_flow_begin(arg);
}

static void deny(struct relay *relay, int fd, const struct addr *client, const char *why)
{
	relay->n_denied++;
	relay_log_denied(relay, client, why);
	sock_abort(fd);
	acceptor_release(&relay->acceptor);
}

static void on_accept(struct acceptor *a, int fd, const struct addr *client)
{
	struct relay *relay = CONTAINER_OF(a, struct relay, acceptor);
	uint64_t source = addr_source(client);
	if (relay->o->rules != NULL && !rules_allow(relay->o->rules, client)) {
		deny(relay, fd, client, "by the rules");
		return;
	}
	if (relay->sources != NULL && !sources_take(relay->sources, source, relay->o->max_conn_source)) {
		deny(relay, fd, client, "it has --max-conn-source connections");
		return;
	}
	unsigned i = relay->loops.n > 1 ? loops_deal(&relay->loops) : 0;
	struct relay_flow *f = xcalloc(1, relay->tool->flow_len);
	f->loop = &relay->loop[i];
	f->id = ++relay->n_flows;
	f->client = *client;
	f->client_fd = fd;
	f->asker = source;
	f->accepted_ns = reactor_now_ns(relay->loop[0].r);
	if (i == 0)
		relay_flow_begin(f);
	else
		loops_post(&relay->loops, i, begin_flow, f);
}

/* --- while it runs ------------------------------------------------------------------------------------------------ */

/* Takes spec. */
static void set_impair(struct reactor *r, unsigned i, void *spec)
{
	(void)i;
	struct relay_loop *loop = reactor_user(r);
	memcpy(loop->impair, spec, sizeof(loop->impair));
	for (struct relay_flow *f = loop->flows; f != NULL; f = f->next)
		relay_flow_impair(f, loop->impair);
	free(spec);
}

void relay_set_impair(struct relay *relay, const struct impair_spec spec[2])
{
	for (unsigned i = 0; i < relay->loops.n; i++) {
		struct impair_spec *copy = xcalloc(2, sizeof(*copy));
		copy[PUMP_UP] = spec[PUMP_UP];
		copy[PUMP_DOWN] = spec[PUMP_DOWN];
		if (i == 0)
			set_impair(relay->loop[0].r, 0, copy);
		else
			loops_post(&relay->loops, i, set_impair, copy);
	}
}

/* --- the run ------------------------------------------------------------------------------------------------------ */

static int read_from(struct relay *relay, struct net_error *e)
{
	if (relay->o->from == NULL)
		return 0;
	relay->has_from = true;
	return addr_literal(relay->o->from, 0, relay->family, &relay->from, e);
}

static int listen_for_clients(struct relay *relay, struct net_error *e)
{
	const struct relay_options *o = relay->o;
	char text[ADDR_TEXT];
	relay->listen_fd = sock_serve(o->bind, (uint16_t)o->port, relay->family, &relay->socket, &relay->bound, e);
	if (relay->listen_fd < 0)
		return -1;
	if (acceptor_start(&relay->acceptor, relay->loop[0].r, relay->listen_fd, (unsigned)o->max_conn, on_accept) == 0)
		return 0;
	return net_fail(e, "listen on", addr_text(&relay->bound, text));
}

static int open_signals(struct relay *relay, struct net_error *e)
{
	struct reactor *r = relay->loop[0].r;
	relay->terminal_fd = isatty(STDERR_FILENO) ? STDERR_FILENO : isatty(STDOUT_FILENO) ? STDOUT_FILENO : -1;
	if (signals_start(&relay->signals, r, on_signal) == 0 &&
	    signals_start_reload(&relay->reload, r, on_reload) == 0)
		return 0;
	return net_fail(e, "open", "signalfd");
}

/* Everything on loop 0. The listening socket comes last: who is told that we listen finds all the rest. */
static int open_relay(struct relay *relay, struct net_error *e)
{
	const struct relay_options *o = relay->o;
	if (read_from(relay, e) < 0 || open_signals(relay, e) < 0)
		return -1;
	if (o->status_path != NULL && relay_control_start(relay, o->status_path, e) < 0)
		return -1;
	if (o->http != NULL && relay_pages_start(relay, o->http, e) < 0)
		return -1;
	if (listen_for_clients(relay, e) < 0)
		return -1;
	return o->top ? relay_top_start(relay, e) : 0;
}

static void say_ready(const struct relay *relay)
{
	char text[ADDR_TEXT];
	struct json j;
	fprintf(stderr, "%s: listening on %s\n", diag_tool, addr_text(&relay->bound, text));
	if (!relay->o->json)
		return;
	record_begin(&j, "start");
	json_str(&j, "listen", text);
	json_u64(&j, "port", addr_port(&relay->bound));
	json_end(&j);
}

static struct relay_tally sum_tallies(const struct relay *relay)
{
	struct relay_tally sum = { 0 };
	for (unsigned i = 0; i < relay->loops.n; i++)
		relay_tally_add(&sum, &relay->loop[i].tally);
	sum.denied = relay->n_denied;
	return sum;
}

static void serve(struct relay *relay)
{
	struct reactor *r = relay->loop[0].r;
	say_ready(relay);
	if (relay->tool->on_listen != NULL)
		relay->tool->on_listen(relay);
	relay_intervals_start(relay);
	int rc = reactor_run(r);
	assert(rc == 0); /* the descriptors are ours: waiting for them cannot fail */
	(void)rc;
}

static void set_up(struct relay *relay, const struct relay_options *o)
{
	relay->start_ns = clk_mono_ns();
	relay->family = o->ipv4 ? AF_INET : o->ipv6 ? AF_INET6 : AF_UNSPEC;
	relay->listen_fd = -1;
	relay->socket = (struct sock_options){
		.send_buffer = o->send_buffer,
		.receive_buffer = o->receive_buffer,
		.congestion = o->congestion,
		.nodelay = !o->nagle,
		.keepalive = o->keepalive,
		.user_timeout_ns = o->user_timeout_ns,
	};
	if (o->max_conn_source != 0)
		relay->sources = sources_new(os_random());
}

int relay_run(const struct relay_tool *tool, const struct relay_options *o)
{
	struct relay relay = { .tool = tool, .o = o };
	struct net_error e;
	set_up(&relay, o);
	sig_open();
	uint64_t descriptors = os_raise_fd_limit();
	if (o->verbose)
		warnf("%llu descriptors may be open: two for a flow", (unsigned long long)descriptors);
	if (loops_start(&relay.loops, (unsigned)o->threads, &e) < 0) {
		record_error(o->json, &e);
		return 1;
	}
	open_loops(&relay);
	reactor_hold(relay.loop[0].r); /* until end_if_drained */
	bool is_open = open_relay(&relay, &e) == 0;
	if (is_open)
		serve(&relay);
	else
		close_up(&relay);
	loops_join(&relay.loops);
	if (is_open) {
		struct relay_tally sum = sum_tallies(&relay);
		relay_report_total(&relay, &sum);
	} else {
		record_error(o->json, &e);
	}
	close_loops(&relay);
	return record_finish(is_open && relay.is_drained ? 0 : 1);
}
