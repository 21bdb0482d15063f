/* server.c - the end that is asked: a thread that only answers datagrams, one that accepts, and main, which waits. */
#include "server.h"

#include "clock.h"
#include "diag.h"
#include "mem.h"
#include "os.h"
#include "record.h"
#include "sig.h"
#include "sock.h"
#include "units.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

enum { STACK_LEN = 256 * 1024, SPINS_PER_LOOK = 64 };
static const uint64_t SPIN_NS = NS_PER_S;

/* --- datagrams --------------------------------------------------------------------------------------------------- */

/* When earlier answers left, as far as the kernel has told meanwhile: for the next answer to the same visitor. */
static void take_stamps(struct server *s)
{
	struct kstamp_sent stamp;
	while (kstamp_take(s->udp_fd, &stamp) == 1) {
		const struct awaited *a = &s->awaited[stamp.number % STAMPS_AWAITED];
		struct visitor *v = a->stamp == stamp.number ? visitors_find(s->visitors, a->session, a->source) : NULL;
		if (v == NULL)
			continue;
		if (v->stamped_number != a->number)
			v->sched_ns = v->sent_ns = v->hardware_ns = 0;
		v->stamped_number = a->number;
		*(stamp.event == KSTAMP_SCHED ? &v->sched_ns
		  : stamp.event == KSTAMP_SND ? &v->sent_ns
					      : &v->hardware_ns) = stamp.ns;
	}
}

static void ask_for_stamps(struct server *s)
{
	s->has_stamps = kstamp_ask(s->udp_fd, KSTAMP_RECEIVED | KSTAMP_HARDWARE) == 0;
	s->batch.is_bare = s->batch.is_bare && !s->has_stamps;
	s->next_stamp = 0;
	memset(s->awaited, 0, sizeof(s->awaited));
}

/* Does this client want to know when its answer leaves? From the first such question on, every datagram comes with its
 * stamps. */
static bool wants_stamps(struct server *s, const struct udp_question *q, struct extended *x)
{
	if (!extended_get(q->bytes, q->len, x) || !(x->flags & EXTENDED_WHERE))
		return false;
	if (s->has_stamps)
		return true;
	ask_for_stamps(s);
	return false;
}

/* Sends the answer at once. WHY: the kernel numbers the datagrams that it stamps and sends, so it has to be known of
 * this one whether it was sent. None waits before it, see answer_batch. */
static void send_with_stamps(struct server *s, const struct udp_question *q, const struct asked *how, size_t len,
			     const struct extended *x)
{
	uint64_t answered = s->batch.count.answered;
	kstamp_ask_one(q->answer, KSTAMP_HARDWARE);
	if (!udpbatch_answer(&s->batch, len))
		return;
	udpbatch_send(&s->batch, 0);
	if (s->batch.count.answered == answered) {
		ask_for_stamps(s); /* the kernel may have counted it, or not: begin anew */
		return;
	}
	uint32_t stamp = s->next_stamp++;
	s->awaited[stamp % STAMPS_AWAITED] = (struct awaited){
		.stamp = stamp, .session = x->session, .source = how->source, .number = x->number
	};
}

static void say_who(const struct addr *from)
{
	char text[ADDR_TEXT];
	warnf("%s: a client begins", addr_text(from, text));
}

static void answer_one(struct server *s, const struct udp_question *q, uint64_t now_ns, int64_t t2)
{
	struct asked how = { .source = addr_source(q->from), .now_ns = now_ns, .t2 = t2 };
	uint64_t came = s->visitors->came;
	if (!addr_is_loopback(q->from))
		how.limit = (uint32_t)s->o->udp_rate;
	if (s->has_stamps)
		how.kernel = kstamp_received(q->header);
	size_t len = answer_question(s, &how, q->bytes, q->len, q->room);
	if (s->o->verbose && s->visitors->came != came)
		say_who(q->from);
	struct extended x;
	if (len > 0 && wants_stamps(s, q, &x))
		send_with_stamps(s, q, &how, len, &x);
	else if (len > 0)
		udpbatch_answer(&s->batch, len);
}

static void answer_batch(struct server *s, int64_t t2)
{
	struct udp_question q;
	uint64_t now_ns = clk_mono_coarse_ns();
	pthread_mutex_lock(&s->lock);
	if (s->has_stamps)
		take_stamps(s);
	while (udpbatch_next(&s->batch, now_ns, &q)) {
		answer_one(s, &q, now_ns, t2);
		if (s->has_stamps)
			udpbatch_send(&s->batch, 0);
	}
	s->udp = s->batch.count;
	pthread_mutex_unlock(&s->lock);
	udpbatch_send(&s->batch, 0);
}

/* --busy-poll: without sleeping as long as somebody asks; who has nothing to do for SPIN_NS sleeps, as anybody else. */
static int receive(struct server *s, uint64_t *last_ns)
{
	int n = -1;
	uint64_t spins = 0;
	errno = EAGAIN;
	while (s->o->busy_poll && n < 0 && errno == EAGAIN &&
	       !atomic_load_explicit(&s->is_over, memory_order_relaxed)) {
		n = udpbatch_receive(&s->batch, MSG_DONTWAIT);
		if (n < 0 && ++spins % SPINS_PER_LOOK == 0 && clk_mono_ns() - *last_ns > SPIN_NS)
			break;
	}
	if (n < 0 && errno == EAGAIN)
		n = udpbatch_receive(&s->batch, MSG_WAITFORONE);
	if (s->o->busy_poll)
		*last_ns = clk_mono_ns();
	return n;
}

static void *udp_main(void *arg)
{
	struct server *s = arg;
	uint64_t last_ns = 0;
	os_thread_name("udp");
	while (!atomic_load_explicit(&s->is_over, memory_order_relaxed)) {
		int n = receive(s, &last_ns);
		int64_t t2 = server_now_ns(s);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (n < 0) {
			atomic_store(&s->error, errno);
			break;
		}
		if (!atomic_load_explicit(&s->is_over, memory_order_relaxed))
			answer_batch(s, t2);
	}
	return NULL;
}

/* --- start ------------------------------------------------------------------------------------------------------- */

/* One number for both. With port 0 the one that is free for datagrams may be taken for connections: then once more. */
static int open_sockets(struct server *s, bool says_where, struct net_error *e)
{
	const struct roundtrip_options *o = s->o;
	struct sock_options nodelay = { .nodelay = true };
	struct addr bound, tcp_bound;
	char text[ADDR_TEXT];
	for (int tries = 0; tries < 10; tries++) {
		s->udp_fd = sock_serve_udp(o->bind, (uint16_t)o->port, roundtrip_family(o), &bound, e);
		if (s->udp_fd < 0)
			return -1;
		roundtrip_make_room(s->udp_fd);
		s->listen_fd = sock_serve(o->bind, addr_port(&bound), roundtrip_family(o), &nodelay, &tcp_bound, e);
		if (s->listen_fd >= 0)
			break;
		close(s->udp_fd);
		s->udp_fd = -1;
		if (o->port != 0 || e->sys != EADDRINUSE)
			break;
	}
	if (s->listen_fd < 0)
		return -1;
	if (udpbatch_open(&s->batch, s->udp_fd, (uint32_t)o->udp_rate, KSTAMP_LEN) < 0)
		return net_fail(e, "set up", "the UDP socket");
	s->batch.is_local_free = true;
	if (says_where) {
		warnf("listening on %s (udp)", addr_text(&bound, text));
		warnf("listening on %s", addr_text(&tcp_bound, text));
	}
	return 0;
}

static bool read_key(struct server *s)
{
	unsigned char secret[32];
	if (s->o->key_file == NULL)
		return true;
	if (!roundtrip_read_key(s->o, &s->auth.key))
		return false;
	/* WHY not GRND_NONBLOCK: a secret that can be guessed is none. */
	if (getrandom(secret, sizeof(secret), 0) != sizeof(secret)) {
		struct net_error e;
		net_fail(&e, "draw", "a secret");
		record_error(s->o->json, &e);
		return false;
	}
	hmac_set_key(&s->auth.secret, secret, sizeof(secret));
	s->auth.is_on = true;
	return true;
}

/* --- reports ----------------------------------------------------------------------------------------------------- */

struct snapshot {
	struct answered answered;
	struct udp_counters udp;
	uint64_t connections, clients, forgotten;
};

static struct snapshot look(struct server *s)
{
	pthread_mutex_lock(&s->lock);
	struct snapshot now = { .answered = s->answered,
				.udp = s->udp,
				.connections = s->connections,
				.clients = s->visitors->came,
				.forgotten = s->visitors->forgotten };
	pthread_mutex_unlock(&s->lock);
	return now;
}

static void json_report(const struct server *s, const struct snapshot *n, const char *record)
{
	struct json j;
	record_begin(&j, record);
	json_str(&j, "role", "server");
	json_u64(&j, "elapsed_ns", clk_mono_ns() - s->start_ns);
	json_u64(&j, "plain", n->answered.plain);
	json_u64(&j, "extended", n->answered.extended);
	json_u64(&j, "challenges", n->answered.challenges);
	json_u64(&j, "clients", n->clients);
	json_u64(&j, "clients_forgotten", n->forgotten);
	json_u64(&j, "connections", n->connections);
	json_u64(&j, "garbage", n->answered.garbage);
	json_u64(&j, "unauthorised", n->answered.unauthorised);
	json_u64(&j, "replayed", n->answered.replayed);
	json_u64(&j, "crowded", n->answered.crowded);
	json_u64(&j, "udp_received", n->udp.received);
	json_u64(&j, "udp_answered", n->udp.answered);
	json_u64(&j, "udp_refused_port", n->udp.refused_port);
	json_u64(&j, "udp_refused_group", n->udp.refused_group);
	json_u64(&j, "udp_refused_rate", n->udp.refused_rate);
	json_u64(&j, "udp_truncated", n->udp.truncated);
	json_u64(&j, "udp_dropped", n->udp.dropped);
	json_end(&j);
}

static void add_if(char *text, size_t cap, uint64_t n, const char *what)
{
	size_t len = strlen(text);
	if (n > 0)
		snprintf(text + len, cap - len, "; %llu %s", (unsigned long long)n, what);
}

static void text_report(const struct server *s, const struct snapshot *n)
{
	char took[UNITS_TEXT], more[512] = "";
	add_if(more, sizeof(more), n->connections, "connections");
	add_if(more, sizeof(more), n->answered.challenges, "challenges");
	add_if(more, sizeof(more), n->answered.garbage, "that were no questions");
	add_if(more, sizeof(more), n->answered.unauthorised, "not signed with our key");
	add_if(more, sizeof(more), n->answered.replayed, "played back");
	add_if(more, sizeof(more), n->answered.crowded, "for which there was no room");
	add_if(more, sizeof(more), n->udp.refused_port, "from a service's port");
	add_if(more, sizeof(more), n->udp.refused_group, "to a group");
	add_if(more, sizeof(more), n->udp.refused_rate, "too frequent (--udp-rate)");
	add_if(more, sizeof(more), n->udp.truncated, "cut");
	add_if(more, sizeof(more), n->udp.dropped, "answers that the kernel did not take");
	printf("%s: %llu answers, %llu of them plain, to %llu clients%s\n",
	       units_duration(took, clk_mono_ns() - s->start_ns),
	       (unsigned long long)(n->answered.plain + n->answered.extended), (unsigned long long)n->answered.plain,
	       (unsigned long long)n->clients, more);
}

static void report(struct server *s, const char *record)
{
	struct snapshot now = look(s);
	if (s->o->json)
		json_report(s, &now, record);
	else
		text_report(s, &now);
}

/* --- main -------------------------------------------------------------------------------------------------------- */

/* Until a signal comes, or a thread cannot go on. */
static void watch(struct server *s)
{
	uint64_t period_ns = s->o->report_ns, next_ns = period_ns > 0 ? s->start_ns + period_ns : CLK_NEVER;
	while (sig_pending(NULL) == 0 && atomic_load(&s->error) == 0) {
		/* The tick is for the error alone. */
		uint64_t tick_ns = clk_mono_ns() + UINT64_C(500) * NS_PER_MS;
		if (sig_wait(NULL, 0, next_ns < tick_ns ? next_ns : tick_ns) < 0)
			return;
		if (clk_mono_ns() >= next_ns) {
			report(s, "interval");
			next_ns += period_ns;
		}
	}
}

/* The threads, until it is over. 0, or the errno that ended it. */
static int serve(struct server *s)
{
	pthread_t udp, tcp;
	int error = os_thread_start(&udp, STACK_LEN, udp_main, s);
	if (error != 0)
		return error;
	error = roundtrip_tcp_start(s, &tcp);
	if (error == 0) {
		watch(s);
		atomic_store(&s->is_over, true);
		roundtrip_tcp_stop(s, tcp);
		error = atomic_load(&s->error);
	}
	atomic_store(&s->is_over, true);
	/* Linux wakes who reads, although it says ENOTCONN: a datagram socket that is not connected. */
	shutdown(s->udp_fd, SHUT_RDWR);
	pthread_join(udp, NULL);
	s->udp = s->batch.count; /* with what the last batch sent */
	return error;
}

struct server *roundtrip_server_open(struct roundtrip_options *o, bool says_where)
{
	struct server *s = xcalloc(1, sizeof(*s));
	struct net_error e = { 0 };
	*s = (struct server){ .o = o, .udp_fd = -1, .listen_fd = -1, .start_ns = clk_mono_ns() };
	s->visitors = xcalloc(1, sizeof(*s->visitors));
	s->visitors->seed = os_random();
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->changed, NULL);
	bool is_open = read_key(s);
	if (is_open && open_sockets(s, says_where, &e) < 0) {
		record_error(o->json, &e);
		is_open = false;
	}
	if (is_open)
		return s;
	roundtrip_server_close(s);
	return NULL;
}

void roundtrip_server_close(struct server *s)
{
	udpbatch_close(&s->batch);
	if (s->udp_fd >= 0)
		close(s->udp_fd);
	if (s->listen_fd >= 0)
		close(s->listen_fd);
	explicit_bzero(&s->auth, sizeof(s->auth));
	free(s->visitors);
	free(s);
}

int roundtrip_server_run(struct server *s, bool reports)
{
	if (reports && s->o->json)
		json_report(s, &(struct snapshot){ 0 }, "start");
	int error = serve(s);
	if (reports)
		report(s, "total");
	if (error == 0)
		return sig_exit_status(0);
	struct net_error e;
	errno = error;
	net_fail(&e, "serve", "datagrams");
	record_error(s->o->json, &e);
	return 1;
}

int roundtrip_serve(struct roundtrip_options *o)
{
	sig_open();
	struct server *s = roundtrip_server_open(o, true);
	int status = s != NULL ? roundtrip_server_run(s, true) : 1;
	if (s != NULL)
		roundtrip_server_close(s);
	return record_finish(status);
}
