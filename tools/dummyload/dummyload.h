/* dummyload.h - what the chapters of dummyload share.
 *
 *	main thread    opens everything, starts it at one moment; a sample at the end of each interval; the reports
 *	load 1..N      burn.c: work and sleep, slice by slice, by the account of asked and used processor time
 *	switches ...   side_*.c: the other loads; those with a rate or a size that changes have a thread of their own
 *
 * All of them cut time into the same slices, which are counted from the start of the run. */
#ifndef TCPLAB_DUMMYLOAD_H
#define TCPLAB_DUMMYLOAD_H

#include "account.h"
#include "addr.h"
#include "shape.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum {
	SLICE_NS = 10 * 1000 * 1000,
	CATCH_UP_NS = 250 * 1000 * 1000, /* of what was missed so much is made good at most, */
	CATCH_UP_PART = 10,              /* and of a wave no more than this part of a period, or it would be none */
	LOAD_STACK = 64 * 1024,
	LOAD_THREADS_MAX = 1000,
	AMOUNT_MAX = 1000 * 1000,       /* files, sockets, threads */
	EVENTS_MAX = 100 * 1000 * 1000, /* switches or faults each second */
};

/* The loads beside the processor's. */
enum side_kind {
	SIDE_MEMORY,
	SIDE_FILES,
	SIDE_IDLE,
	SIDE_SOCKETS,
	SIDE_TRAFFIC,
	SIDE_SWITCHES,
	SIDE_FAULTS,
	SIDE_IO,
	SIDE_KINDS,
};

struct options {
	struct shape shape;
	uint64_t threads, time_ns, interval_ns;
	uint64_t amount[SIDE_KINDS]; /* in the side's own unit, at the peak of the shape; 0: off */
	bool json, target, follow;
};

/* One thread that keeps a processor busy. */
struct burner {
	struct run *run;
	unsigned index;
	pthread_t thread;
	struct account account;

	/* Constant once the run has begun; for others to ask how it goes. */
	clockid_t clock; /* its processor time */
	pid_t tid;
};

struct side {
	const struct side_ops *ops;
	struct run *run;
	uint64_t amount;
	void *state; /* of its chapter */

	/* If the chapter does the counting. Of a rate: so much since the start. Of an amount: so much is held. */
	atomic_ullong done;
	uint64_t first_count; /* a rate: what the count was at the start */

	bool has_thread;
	pthread_t thread;
	struct account account;
};

enum run_stage { RUN_PREPARES, RUN_GOES, RUN_IS_OVER };

/* Lives on the stack of run_dummyload. */
struct run {
	const struct options *o;
	struct burner *burners;
	struct side side[SIDE_KINDS];

	/* Constant once the run goes. */
	uint64_t start_ns;
	int64_t start_real_ns;
	uint64_t first_cpu_ns; /* the process had used so much before */

	atomic_bool is_over;
	atomic_llong beside_ns; /* processor time of all threads but the burners, as the first of these sees it */
	int wake_fd;            /* an eventfd: readable once something failed */

	pthread_mutex_t lock;
	pthread_cond_t moved; /* stage or n_ready is another one */
	enum run_stage stage;
	unsigned n_ready; /* burners that stand ready */
	bool has_failed;
	struct net_error error; /* the first one */
};

/* --- run.c -------------------------------------------------------------------------------------------------------- */

/* BLOCKS until the end. The exit status. */
MUST_USE int run_dummyload(const struct options *o);

/* For its threads. BLOCKS until the run is at this stage, or a later one. */
void run_wait(struct run *run, enum run_stage stage);

/* A burner says that it stands ready; main waits for n of them. What they wrote before may be read then. */
void run_say_ready(struct run *run);
void run_wait_ready(struct run *run, unsigned n);

/* At the beginning of a thread: its name, and sleeps that end when they should. */
void run_begin_thread(const char *name);

/* How much time's worth of what was missed is made good. */
uint64_t run_catch_up_ns(const struct run *run);

/* The end of the slice in which the moment now lies. */
uint64_t run_slice_end(const struct run *run, uint64_t now_ns);

/* From any thread: ends the run. */
void run_fail(struct run *run, const struct net_error *e);

/* --- burn.c ------------------------------------------------------------------------------------------------------- */

MUST_USE int burn_start(struct run *run, struct net_error *e);
void burn_join(struct run *run);

/* Processor time of the whole process; how long the burners were ready and did not get a processor. Since their
 * beginning. */
uint64_t burn_process_cpu_ns(const struct run *run);
uint64_t burn_waited_ns(const struct run *run);

/* --- steps.c ------------------------------------------------------------------------------------------------------ */

/* Reads a list of steps from a file. 0, or -1 with *e, whose object names the line. */
MUST_USE int steps_read(struct shape *s, const char *path, struct net_error *e);

#endif
