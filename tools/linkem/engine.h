/* engine.h - packets go from port to port, each through its lane, and whoever wants to watch is told. */
#ifndef TCPLAB_LINKEM_ENGINE_H
#define TCPLAB_LINKEM_ENGINE_H

#include "capture.h"
#include "diagram.h"
#include "hosts.h"
#include "lane.h"
#include "linkem.h"
#include "reactor.h"
#include "report.h"

struct engine;

/* One direction. */
struct way {
	struct engine *engine;
	unsigned number; /* enum linkem_lane */
	struct lane lane;
	struct port *in, *out;
	struct watch watch; /* of `in` */
	struct timer due;   /* the lane's next event */
	uint64_t armed_ns;  /* for when `due` was set: early_ns before something is due */
	uint64_t refused;   /* packets that the host at the far end did not take */
};

struct engine {
	const struct linkem_options *o;
	struct hosts *hosts;
	struct reactor *reactor;
	unsigned n_ways;
	struct way ways[LINKEM_LANES];
	struct capture captures[2];
	struct diagram diagram; /* of --diagram and of every `watch` */
	uint64_t start_ns;
	uint64_t early_ns;                     /* how late timers have been of late, on average */
	unsigned char packet[PORT_PACKET_LEN]; /* the one that is just coming in */
};

/* There is no end of it but that of the process. */
MUST_USE int engine_start(struct engine *g, struct reactor *r, struct hosts *h, const struct linkem_options *o,
			  struct net_error *e);

/* From now on the lanes do what these say. */
void engine_change(struct engine *g, const struct spec specs[LINKEM_LANES]);
void engine_specs(const struct engine *g, struct spec specs[LINKEM_LANES]);

/* The counters of all directions as they are now. */
void engine_count(struct engine *g, struct counters *c);

/* The same for an interval: the longest queue is that since the last such call. */
void engine_count_interval(struct engine *g, struct counters *c);

#endif
