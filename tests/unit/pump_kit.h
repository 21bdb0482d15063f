/* pump_kit.h - what the tests of the pump share: a flow of two peers made of plain system calls with a pump between them,
 * each way of moving bytes in turn, and the books, which have to balance after every flow.
 *
 *	peer a <--> [ watch A  pump  watch B ] <--> peer b */
#ifndef TCPLAB_PUMP_KIT_H
#define TCPLAB_PUMP_KIT_H

#include "loopback.h"
#include "pump.h"

#include <linux/sockios.h>
#include <signal.h>
#include <sys/ioctl.h>

enum { UP = HERE, DOWN = THERE }; /* the streams, as loopback.h names them */
enum {
	SMALL_BUFFER = 16 * 1024, /* of the kernel, for those who want to see a lane wait */
	BULK = 3 * 1000 * 1000
};

static enum pump_path kit_path; /* of the shops that are opened */
static const char *const kit_path_names[] = { "auto", "copy", "splice" };

/* --- a flow ------------------------------------------------------------------------------------------------------- */

struct flow {
	struct pump pump;
	struct peer a, b;
	int fd[2]; /* the pump's */
	unsigned dones;
	bool is_in_call; /* of pump_*: on_done must not come */
};

static inline struct flow *flow_of(struct pump *p)
{
	return CONTAINER_OF(p, struct flow, pump);
}

/* Everything that came in has gone out or is accounted for, at any time. */
static inline void check_books(const struct pump *p)
{
	for (int way = PUMP_UP; way <= PUMP_DOWN; way++) {
		const struct pump_lane *lane = &p->lane[way];
		CHECK_INT(lane->bytes_in, lane->bytes_out + lane->dropped + pump_waiting(lane));
		CHECK(lane->peak >= pump_waiting(lane));
		CHECK(!lane->is_shut || lane->is_eof || p->end != PUMP_LIVES);
	}
}

/* The descriptors are closed, and nobody has opened others meanwhile. */
static inline void flow_done(struct pump *p)
{
	struct flow *f = flow_of(p);
	CHECK(!f->is_in_call);
	CHECK_INT(++f->dones, 1);
	CHECK(p->end != PUMP_LIVES && p->is_over);
	check_books(p);
	for (int i = 0; i < 2; i++) {
		CHECK_INT(pump_waiting(&p->lane[i]), 0);
		CHECK(p->lane[i].pipe == NULL && p->lane[i].queue.mem == NULL);
		CHECK(!watch_is_started(&p->watch[i]));
		CHECK_INT(fcntl(f->fd[i], F_GETFD), -1);
		CHECK_INT(errno, EBADF);
	}
	CHECK(!timer_is_armed(&p->timer));
}

static const struct pump_ops kit_ops = { .on_done = flow_done };

static inline void shop_open(struct pump_shop *shop, struct reactor *r, struct pump_options o)
{
	if (o.ops == NULL)
		o.ops = &kit_ops;
	o.path = kit_path;
	pump_shop_open(shop, r, &o);
}

static inline void shop_close(struct pump_shop *shop)
{
	CHECK_INT(shop->pipes.n_lent, 0);
	pump_shop_close(shop);
}

/* The two connections, without a pump yet. */
static inline void flow_connect(struct flow *f, struct reactor *r, uint64_t buffer)
{
	int a, b;
	*f = (struct flow){ 0 };
	loopback_pair(&f->fd[PUMP_A], &a, buffer);
	loopback_pair(&f->fd[PUMP_B], &b, buffer);
	peer_start(&f->a, r, a);
	peer_start(&f->b, r, b);
	f->a.seed = f->b.expects = UP;
	f->b.seed = f->a.expects = DOWN;
}

static inline void flow_start(struct flow *f, struct pump_shop *shop)
{
	f->is_in_call = true;
	CHECK_INT(pump_start(&f->pump, shop, f->fd[PUMP_A], f->fd[PUMP_B]), 0);
	f->is_in_call = false;
}

static inline void flow_open(struct flow *f, struct pump_shop *shop, uint64_t buffer)
{
	flow_connect(f, shop->r, buffer);
	flow_start(f, shop);
}

/* A flow alone: its loop has a shop with these options. */
struct alone {
	struct pump_shop shop;
	struct flow f;
};

static inline void alone_open(struct alone *x, struct reactor *r, uint64_t buffer, struct pump_options o)
{
	shop_open(&x->shop, r, o);
	flow_open(&x->f, &x->shop, buffer);
}

static inline void alone_close(struct alone *x)
{
	peer_close(&x->f.a);
	peer_close(&x->f.b);
	CHECK_INT(x->f.dones, 1);
	shop_close(&x->shop);
}

/* --- what the ends have seen -------------------------------------------------------------------------------------- */

static inline struct peer *flow_peer(struct flow *f, enum pump_side side)
{
	return side == PUMP_A ? &f->a : &f->b;
}

/* An end in order: all that the other one sent, and its FIN. */
static inline void check_orderly(const struct flow *f)
{
	CHECK_INT(f->dones, 1);
	CHECK_INT(f->pump.end, PUMP_ORDERLY);
	CHECK_INT(f->pump.err, 0);
	CHECK(f->a.saw_eof && f->b.saw_eof);
	CHECK_INT(f->a.err, 0);
	CHECK_INT(f->b.err, 0);
	CHECK_INT(f->a.received, f->b.sent);
	CHECK_INT(f->b.received, f->a.sent);
	CHECK_INT(f->pump.lane[PUMP_UP].bytes_out, f->a.sent);
	CHECK_INT(f->pump.lane[PUMP_DOWN].bytes_out, f->b.sent);
}

static inline bool is_reset_error(int err)
{
	return err == ECONNRESET || err == EPIPE;
}

/* A reset, and no FIN before it. */
static inline void check_saw_reset(const struct peer *p)
{
	CHECK(!p->saw_eof);
	CHECK_INT(p->err, ECONNRESET);
}

/* `side` had reset; the other one has seen that. */
static inline void check_reset_by(struct flow *f, enum pump_side side)
{
	CHECK_INT(f->dones, 1);
	CHECK_INT(f->pump.end, PUMP_RESET);
	CHECK_INT(f->pump.side, side);
	CHECK(is_reset_error(f->pump.err));
	check_saw_reset(flow_peer(f, side == PUMP_A ? PUMP_B : PUMP_A));
}

/* Both were reset by the pump. */
static inline void check_both_reset(const struct flow *f, enum pump_end end)
{
	CHECK_INT(f->dones, 1);
	CHECK_INT(f->pump.end, end);
	CHECK(is_reset_error(f->a.err));
	CHECK(is_reset_error(f->b.err));
}

/* Until this lane is stalled and nothing happens any more. The kernel takes its time: it may open a window late (RFC 9293
 * 3.8.6.1), and then a little more goes. */
static inline void until_stalled(struct reactor *r, const struct pump_lane *lane)
{
	while (rounds_in(r, 20 * NS_PER_MS) > 2 || !lane->is_paused || lane->blocked_at_ns == 0)
		;
}

/* Bytes of this peer that the pump's kernel has not acknowledged. */
static inline int peer_unacked(const struct peer *p)
{
	int n = -1;
	CHECK_INT(ioctl(p->watch.fd, SIOCOUTQ, &n), 0);
	return n;
}

/* --- each way of moving bytes ------------------------------------------------------------------------------------- */

static inline void kit_each_path(loop_test *test, const char *name, size_t n_timers)
{
	static const enum pump_path paths[] = { PUMP_PATH_COPY, PUMP_PATH_SPLICE, PUMP_PATH_AUTO };
	for (size_t i = 0; i < COUNT_OF(paths); i++) {
		unsigned long bad = check_bad;
		kit_path = paths[i];
		on_each_loop(test, name, n_timers);
		if (check_bad != bad)
			fprintf(stderr, "    (path %s)\n", kit_path_names[kit_path]);
	}
	kit_path = PUMP_PATH_AUTO;
}
#define ON_EACH_PATH(test)        kit_each_path((test), #test, 1) /* and backend */
#define ON_EACH_PATH_TIMERS(test) kit_each_path((test), #test, 2)

#endif
