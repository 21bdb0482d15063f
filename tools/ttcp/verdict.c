/* verdict.c - why was it not faster? The judge: figures in, one limit and the figures that prove it out. Pure.
 *
 * The questions are asked in the order in which a limit hides those after it: a sender that was told to go slowly tells
 * nothing about the network, one that waits for each ack tells nothing about windows, and a full processor makes every
 * queue look full. The shares come from the kernel (busy, rwnd_limited and sndbuf_limited of TCP_INFO, Linux 4.9) and
 * from getrusage(2).
 *
 * LIMIT: one name for a transfer is a simplification; the figures in the text show how close the second came. */
#include "ttcp.h"

#include "units.h"

#include <stdio.h>
#include <string.h>

/* A share from which on we call something the limit: more than half of the time, or a processor nearly full. */
static const double MOST = 0.5, FULL = 0.85;
static const uint64_t TOO_SHORT_NS = 50 * UINT64_C(1000000);

static const struct {
	const char *name, *title;
} limits[LIMIT_N] = {
	[LIMIT_UNKNOWN] = { "unknown", "nothing that stands out" },
	[LIMIT_APPLICATION] = { "application", "the application" },
	[LIMIT_SEND_BUFFER] = { "send_buffer", "the send buffer" },
	[LIMIT_RECEIVE_WINDOW] = { "receive_window", "the receive window" },
	[LIMIT_NETWORK] = { "network", "the network" },
	[LIMIT_PACING] = { "pacing", "pacing" },
	[LIMIT_STOP_AND_WAIT] = { "stop_and_wait", "stop-and-wait" },
	[LIMIT_CPU] = { "cpu", "the processor" },
};

const char *limit_name(enum limit l)
{
	return limits[l].name;
}

const char *limit_title(enum limit l)
{
	return limits[l].title;
}

double verdict_predicted_Bps(const struct evidence *e)
{
	if (e->mode != MODE_ACK || e->rtt_ns == 0)
		return 0;
	return (double)e->streams * (double)e->depth * (double)e->length * 1e9 / (double)e->rtt_ns;
}

static int percent(double share)
{
	return share < 0 ? 0 : (int)(share * 100 + 0.5);
}

static double busiest_cpu(const struct evidence *e)
{
	return e->sender_cpu > e->receiver_cpu ? e->sender_cpu : e->receiver_cpu;
}

static const char *cpu_text(const struct evidence *e, char out[static 64])
{
	if (e->receiver_cpu < 0)
		snprintf(out, 64, "sender %d %% of a processor", percent(e->sender_cpu));
	else if (e->sender_cpu < 0)
		snprintf(out, 64, "receiver %d %% of a processor", percent(e->receiver_cpu));
	else
		snprintf(out, 64, "sender %d %%, receiver %d %% of a processor", percent(e->sender_cpu),
			 percent(e->receiver_cpu));
	return out;
}

/* How much of the time an end worked, or would have worked had others not been on the processor. */
static double busiest_end(const struct evidence *e)
{
	double sender = e->sender_cpu + e->sender_waited, receiver = e->receiver_cpu + e->receiver_waited;
	return sender > receiver ? sender : receiver;
}

/* From the send of a block to its ack, as the rate shows it: `depth` blocks are under way at any time. */
static double block_time_ns(const struct evidence *e)
{
	return e->rate_Bps > 0 ? (double)e->streams * (double)e->depth * (double)e->length * 1e9 / e->rate_Bps : 0;
}

/* Waiting for acks most of the time. Is the wait the round trip (more depth would help), or is the pipe full? */
static bool is_stop_and_wait(const struct evidence *e, char why[static VERDICT_TEXT])
{
	if (e->mode != MODE_ACK || e->ack_wait < 0.25)
		return false;
	double per_block_ns = block_time_ns(e);
	bool ends_are_idle = busiest_cpu(e) < 0.25;
	if (ends_are_idle && (double)e->min_rtt_ns < 0.25 * per_block_ns)
		return false;
	char rate[UNITS_TEXT], limit[UNITS_TEXT], block[UNITS_TEXT], rtt[UNITS_TEXT], least[UNITS_TEXT],
		took[UNITS_TEXT];
	char cpu[64];
	double predicted = verdict_predicted_Bps(e);
	snprintf(
		why, VERDICT_TEXT,
		"%llu x %s in flight / RTT %s allows %s; measured %s (%d %%). A block took %s from send to ack, %s of it the "
		"bare path; the sender waited %d %% of the time (%s). More --depth, or --mode stream, fills the wait",
		(unsigned long long)(e->depth * e->streams), units_size(block, e->length),
		units_duration(rtt, e->rtt_ns), units_rate(limit, predicted), units_rate(rate, e->rate_Bps),
		predicted > 0 ? percent(e->rate_Bps / predicted) : 0, units_duration(took, (uint64_t)per_block_ns),
		units_duration(least, e->min_rtt_ns), percent(e->ack_wait), cpu_text(e, cpu));
	return true;
}

static bool is_told_to_pace(const struct evidence *e, char why[static VERDICT_TEXT])
{
	char cap[UNITS_TEXT], rate[UNITS_TEXT];
	double cap_Bps = (double)e->rate_cap_Bps * (double)e->streams;
	if (e->rate_cap_Bps == 0 || e->rate_Bps < 0.8 * cap_Bps)
		return false;
	snprintf(why, VERDICT_TEXT, "--rate allows %s, measured %s (%d %%)", units_rate(cap, cap_Bps),
		 units_rate(rate, e->rate_Bps), percent(e->rate_Bps / cap_Bps));
	return true;
}

static bool is_application(const struct evidence *e, char why[static VERDICT_TEXT])
{
	if (e->source_wait >= MOST) {
		snprintf(why, VERDICT_TEXT, "%d %% of the time the sender waited for its input",
			 percent(e->source_wait));
		return true;
	}
	/* Payload from memory is always there; only a file or a pipe can run dry. */
	if (!e->has_source || e->busy < 0 || e->busy >= MOST || busiest_end(e) >= FULL)
		return false;
	snprintf(why, VERDICT_TEXT, "%d %% of the time there was nothing to send or to acknowledge",
		 percent(1 - e->busy));
	return true;
}

/* bbr holds each packet back until its time (it paces even on loopback), and a timer for every packet costs processor
 * time besides. It is the limit where no link is: the ends are busy and the pacing rate is in sight of the rate. */
static bool is_bbr_pacing(const struct evidence *e, char why[static VERDICT_TEXT])
{
	char rate[UNITS_TEXT], pacing[UNITS_TEXT], cpu[64];
	if (strncmp(e->congestion, "bbr", 3) != 0 || e->pacing_Bps == 0 || busiest_end(e) < MOST ||
	    (double)e->pacing_Bps > 16 * e->rate_Bps / (double)e->streams)
		return false;
	snprintf(why, VERDICT_TEXT,
		 "%s sends each packet at its own time: paced at %s a stream on average, measured %s in all (%s, %llu "
		 "retransmits). Compare with --congestion reno, which does not pace",
		 e->congestion, units_rate(pacing, (double)e->pacing_Bps), units_rate(rate, e->rate_Bps),
		 cpu_text(e, cpu), (unsigned long long)e->retransmits);
	return true;
}

static bool is_cpu(const struct evidence *e, char why[static VERDICT_TEXT])
{
	char cpu[64];
	if (busiest_end(e) < FULL)
		return false;
	size_t len = (size_t)snprintf(why, VERDICT_TEXT, "%s", cpu_text(e, cpu));
	if (e->sender_waited > 0.1 || e->receiver_waited > 0.1)
		snprintf(why + len, VERDICT_TEXT - len,
			 "; ready to run while others had it: sender %d %%, receiver %d %% of the time",
			 percent(e->sender_waited), percent(e->receiver_waited));
	return true;
}

static bool is_receive_window(const struct evidence *e, char why[static VERDICT_TEXT])
{
	char window[UNITS_TEXT], rtt[UNITS_TEXT];
	if (e->rwnd_limited < MOST)
		return false;
	snprintf(
		why, VERDICT_TEXT,
		"%d %% of the time the receiver's window (%s at the end, RTT %s) was full: its reader is slow or its buffer small",
		percent(e->rwnd_limited), units_size(window, e->send_window), units_duration(rtt, e->rtt_ns));
	return true;
}

/* The kernel counts a send buffer as the limit only when everything in it has left. A buffer that is smaller than what
 * the windows allow, at ends that have time to spare, is the limit as well. */
static bool is_send_buffer(const struct evidence *e, char why[static VERDICT_TEXT])
{
	char buffer[UNITS_TEXT], rtt[UNITS_TEXT], most[UNITS_TEXT], cwnd[UNITS_TEXT], rate[UNITS_TEXT];
	double allows = e->rtt_ns > 0 ? (double)e->streams * (double)e->send_buffer * 1e9 / (double)e->rtt_ns : 0;
	bool is_smallest = e->mode != MODE_ACK && e->busy >= MOST && busiest_end(e) < MOST && e->send_buffer > 0 &&
			   e->send_buffer < e->cwnd_bytes && (e->send_window == 0 || e->send_buffer < e->send_window) &&
			   e->rate_Bps <= 2 * allows;
	if (e->sndbuf_limited < MOST && !is_smallest)
		return false;
	snprintf(
		why, VERDICT_TEXT,
		"send buffer %s (as the kernel counts) / RTT %s = %s at most, measured %s, while the congestion window allowed %s; "
		"full %d %% of the time with everything sent",
		units_size(buffer, e->send_buffer), units_duration(rtt, e->rtt_ns), units_rate(most, allows),
		units_rate(rate, e->rate_Bps), units_size(cwnd, e->cwnd_bytes), percent(e->sndbuf_limited));
	return true;
}

static bool is_network(const struct evidence *e, char why[static VERDICT_TEXT])
{
	char cwnd[UNITS_TEXT], rtt[UNITS_TEXT], allows[UNITS_TEXT], rate[UNITS_TEXT], least[UNITS_TEXT];
	double Bps = e->rtt_ns > 0 ? (double)e->streams * (double)e->cwnd_bytes * 1e9 / (double)e->rtt_ns : 0;
	/* A window that allows several times the rate is no limit, unless the ends idle: then packets queue on the
	 * way. */
	if (e->busy < MOST || (Bps > 3 * e->rate_Bps && busiest_end(e) >= MOST))
		return false;
	snprintf(
		why, VERDICT_TEXT,
		"congestion window %s / RTT %s (at least %s) = %s, measured %s; %llu retransmits, %s; the ends had room",
		units_size(cwnd, e->cwnd_bytes), units_duration(rtt, e->rtt_ns), units_duration(least, e->min_rtt_ns),
		units_rate(allows, Bps), units_rate(rate, e->rate_Bps), (unsigned long long)e->retransmits,
		e->congestion);
	return true;
}

/* Nothing above applies, or the run is too short for times that the kernel counts in steps of a few ms. */
static bool is_too_short(const struct evidence *e, char why[static VERDICT_TEXT])
{
	char time[UNITS_TEXT];
	if (e->elapsed_ns >= TOO_SHORT_NS)
		return false;
	snprintf(why, VERDICT_TEXT, "%s is too short to tell", units_duration(time, e->elapsed_ns));
	return true;
}

/* `why` gets one sentence without a full stop. */
enum limit verdict(const struct evidence *e, char why[static VERDICT_TEXT])
{
	static const struct {
		bool (*holds)(const struct evidence *, char *);
		enum limit limit;
	} questions[] = {
		{ is_told_to_pace, LIMIT_PACING },
		{ is_stop_and_wait, LIMIT_STOP_AND_WAIT },
		{ is_too_short, LIMIT_UNKNOWN },
		{ is_application, LIMIT_APPLICATION },
		{ is_bbr_pacing, LIMIT_PACING },
		{ is_cpu, LIMIT_CPU },
		{ is_receive_window, LIMIT_RECEIVE_WINDOW },
		{ is_send_buffer, LIMIT_SEND_BUFFER },
		{ is_network, LIMIT_NETWORK },
	};
	why[0] = '\0';
	if (e->rate_Bps <= 0)
		return LIMIT_UNKNOWN;
	for (size_t i = 0; i < sizeof(questions) / sizeof(questions[0]); i++)
		if (questions[i].holds(e, why))
			return questions[i].limit;
	char cpu[64], rtt[UNITS_TEXT], cwnd[UNITS_TEXT];
	snprintf(why, VERDICT_TEXT,
		 "%s, RTT %s, congestion window %s, receive window full %d %% and send buffer full %d %% of the time",
		 cpu_text(e, cpu), units_duration(rtt, e->rtt_ns), units_size(cwnd, e->cwnd_bytes),
		 percent(e->rwnd_limited), percent(e->sndbuf_limited));
	return LIMIT_UNKNOWN;
}
