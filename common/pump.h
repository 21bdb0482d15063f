/* pump.h - two connected sockets back to back: what comes in at one goes out at the other, and so does how it ends.
 * Layer 5.
 *
 *	side A                                                       side B
 *	        recv, or splice             send, or splice
 *	   ---------------------> [ queue or pipe ] --------------------->      lane PUMP_UP, from A to B
 *	   <--------------------- [ queue or pipe ] <---------------------      lane PUMP_DOWN, from B to A
 *
 * FIN       of one side becomes a half-close of the other, behind the last byte; the other lane goes on (RFC 9293 3.6).
 *           A half-closed flow in which nothing moves for linger_ns is ended, so that it does not stay for ever.
 * RST       of one side becomes a reset of the other. What had been received before is delivered first, and acknowledged,
 *           as far as the other side takes it: PUMP_RESET_WAIT_NS without progress, and the reset goes out all the
 *           same. It is seen while the lane is paused, too. Any other error of a side (ETIMEDOUT) is passed on likewise.
 * PRESSURE  A lane reads no more while `high` bytes wait for its sink, and reads again from `low` on: the window of the
 *           faster side closes, and memory is bounded however slow the other one is.
 * PATHS     A lane in which large pieces come moves them through a pipe (pipepool.h), one with small pieces through
 *           memory: the bytes decide. Whoever looks at them (on_bytes, may_pass) has them copied.
 * THE END   that is not in order (linger, idle, pump_abort) is a reset of both sides: who has not got everything must
 *           not believe that he has.
 *
 * A pump lives in its owner's object. All its memory is what is under way: an idle flow costs sizeof(struct pump). */
#ifndef TCPLAB_PUMP_H
#define TCPLAB_PUMP_H

#include "buf.h"
#include "pipepool.h"
#include "reactor.h"

enum pump_side { PUMP_A, PUMP_B };
enum pump_way { PUMP_UP, PUMP_DOWN }; /* the lane that begins at A, at B: lane[i] leads from side i to side !i */

enum {
	PUMP_HIGH = 256 * 1024,
	PUMP_PIECE = 256 * 1024,                 /* the most that one event copies */
	PUMP_RESET_WAIT_NS = 1000 * 1000 * 1000, /* for bytes that came before a reset, without progress */
};

/* How a flow ended. */
enum pump_end {
	PUMP_LIVES,
	PUMP_ORDERLY, /* both FINs were passed on, behind all bytes */
	PUMP_RESET,   /* `side` sent a reset */
	PUMP_FAILED,  /* `side` failed with `err`: ETIMEDOUT, EHOSTUNREACH */
	PUMP_LINGER,  /* half closed, and nothing moved any more */
	PUMP_IDLE,    /* nothing moved */
	PUMP_CUT,     /* may_pass said so */
	PUMP_ABORTED, /* pump_abort */
};

/* How may_pass can end a flow: so that to both sides it looks like an end in order; or by a reset of both. */
enum pump_cut { PUMP_NO_CUT, PUMP_CUT_FIN, PUMP_CUT_RST };

/* What may happen now to the bytes that wait in a lane, in this order: the first `drop` of them vanish, the next `send`
 * are sent, in one system call; then the flow is cut, or the source's end passes if it has come and nothing waits any
 * more. The pump does it and asks again, until nothing may happen; and when bytes or an end have come, at again_ns
 * (CLK_NEVER: no need), and after pump_ask. */
struct pump_pass {
	size_t drop, send;
	bool end; /* the source's FIN or reset may pass, once nothing waits any more */
	enum pump_cut cut;
	uint64_t again_ns;
};

struct pump;
struct pump_lane;

struct pump_ops {
	/* Required. Once, at the end of a round, never inside a pump_* call: both descriptors are closed, and the owner
	 * may free the pump. */
	void (*on_done)(struct pump *p);
	/* While somebody looks (pump_look). n bytes have come, and may be changed in place; n 0: the end of this way
	 * has come. Or NULL. */
	void (*on_bytes)(struct pump *p, enum pump_way way, unsigned char *bytes, size_t n);
	/* May what waits go on? NULL: yes, always. */
	struct pump_pass (*may_pass)(struct pump *p, enum pump_way way, size_t waiting);
	/* Of these, n bytes are gone now: sent, or dropped. Or NULL. */
	void (*on_passed)(struct pump *p, enum pump_way way, size_t n);
};

enum pump_path { PUMP_PATH_AUTO, PUMP_PATH_COPY, PUMP_PATH_SPLICE }; /* splice: whatever the size of the pieces */

/* What many pumps of one loop have in common; read only once pumps run, but for pump_ask after changing what may_pass
 * says. */
struct pump_options {
	/* Bytes. high 0: PUMP_HIGH, and for splice a whole pipe (PIPEPOOL_LEN); low 0: a quarter of high. */
	size_t low, high;
	uint64_t linger_ns, idle_ns; /* 0: for ever */
	enum pump_path path;
	const struct pump_ops *ops;
};

/* One for each loop: what only one flow needs at a time. */
struct pump_shop {
	struct reactor *r;
	struct pump_options o;
	struct pipepool pipes;
	size_t pipe_len;        /* the most that is put into a pipe */
	unsigned char *scratch; /* PUMP_PIECE bytes */
};

/* One direction. Read freely what stands first. */
struct pump_lane {
	uint64_t bytes_in, bytes_out; /* received; sent */
	uint64_t first_ns;            /* when the first byte was sent; 0: none was */
	uint64_t dropped;             /* received, and will never be sent: dropped by may_pass, or lost by an end */
	uint64_t blocked_ns;          /* how long bytes waited for the sink, until `blocked_at_ns` if that is not 0 */
	uint64_t blocked_at_ns;       /* since when they wait just now */
	uint32_t pauses;              /* how often the source was not read because the sink was too slow */
	uint32_t peak;                /* the most that waited here, bytes */

	struct buf queue;           /* the bytes that wait: here, or ... */
	struct pipepool_pipe *pipe; /* ... in a pipe, or NULL */
	size_t in_pipe;
	uint8_t heat;                    /* are the pieces large? */
	bool is_paused, is_eof, is_shut; /* the source is not read; its end has come; and has been passed on */
};

/* The state is the pump's; read freely. */
struct pump {
	struct pump_shop *shop;
	struct watch watch[2];
	struct pump_lane lane[2];
	struct timer timer; /* the next of: linger, idle, may_pass, a look at what is not acknowledged */
	struct deferred turn;
	uint64_t moved_ns;    /* when something last moved */
	uint64_t again_ns[2]; /* when may_pass wants to be asked */
	uint64_t ending_ns;   /* since when a reset has waited for the bytes before it, or a cut flow for its ends */
	int unacked;          /* bytes that the sink of a reset had not acknowledged then */
	enum pump_end end;    /* PUMP_LIVES until it is known */
	enum pump_side side;
	enum pump_side first_fin; /* who ended first, if has_fin */
	int err;                  /* errno of that side; 0 for an end in order */
	bool has_fin;
	bool is_looked_at; /* pump_look */
	bool is_resetting; /* `side` is dead, or is taken to be: after what came from it, both will be reset */
	bool is_orderly;   /* both sides are closed, not reset */
	bool is_over;      /* on_done is on its way */
};

/* path AUTO and COPY work everywhere. */
void pump_shop_open(struct pump_shop *shop, struct reactor *r, const struct pump_options *o);
void pump_shop_close(struct pump_shop *shop); /* no pump of it may live */

/* The owner may have watched A already, with p->watch[PUMP_A] and a function of his own (for errors, while B was being
 * connected): pump_start takes the watch over. Zero-filled otherwise. Takes both: connected, non-blocking, whatever the
 * result. 0, or -1 with errno (of watch_start), and then both are reset and on_done does not come. */
MUST_USE int pump_start(struct pump *p, struct pump_shop *shop, int a, int b);

/* Just after pump_start: bytes that go through this lane before all others. They were received already, or never. They
 * are not shown to on_bytes. */
void pump_prime(struct pump *p, enum pump_way way, const void *bytes, size_t n);

static inline size_t pump_waiting(const struct pump_lane *lane) /* bytes */
{
	return buf_len(&lane->queue) + lane->in_pipe;
}

/* From now on on_bytes and may_pass are called (false: no more), and so bytes are copied. What is in a pipe just now
 * goes unseen. At first nobody looks. */
void pump_look(struct pump *p, bool on);

/* may_pass has something else to say than it said. */
void pump_ask(struct pump *p);

/* Both sides are reset; what waits is lost. on_done comes with `end`. */
void pump_abort(struct pump *p, enum pump_end end, int err);

/* --- between pump.c, pump_move.c and pump_end.c ------------------------------------------------------------------ */

static inline uint64_t pump_now_ns(const struct pump *p)
{
	return reactor_now_ns(p->shop->r);
}

static inline int pump_sink_fd(const struct pump *p, enum pump_way way)
{
	return p->watch[!way].fd;
}

void pump_push(struct pump *p, enum pump_way way); /* what waits, as far as it may pass and the sink takes it */

/* What the source has; is_end_near: its end has been announced (WATCH_LAST). pump_pull_copy: through memory, whatever the path;
 * whether any bytes came. */
void pump_pull(struct pump *p, enum pump_way way, bool is_end_near);
bool pump_pull_copy(struct pump *p, enum pump_way way, bool is_end_near);

void pump_enqueue(struct pump *p, enum pump_way way, const void *bytes, size_t n); /* as if they had come */
struct pump_pass pump_may_pass(struct pump *p, enum pump_way way);
void pump_note_moved(struct pump *p);

void pump_fail_side(struct pump *p, enum pump_side side, int err); /* it is dead: the other one will be reset */
void pump_cut(struct pump *p, enum pump_way way, enum pump_cut how);
void pump_finish(struct pump *p, enum pump_end end);       /* now; on_done follows at the end of the round */
void pump_lose(struct pump *p, struct pump_lane *lane);    /* what waits there will never be sent */
void pump_unblock(struct pump *p, struct pump_lane *lane); /* its sink is not what it waits for any more */

#endif
