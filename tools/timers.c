/* timers - what does it cost to keep thousands of timeouts, in a heap and in a wheel, and what does each promise?
 *
 * Try:       timers                                    both kinds, from a hundred timers to a million
 *            timers --order memory -n 100,1000000      without the cache misses of the timers themselves
 *            timers --pattern rearm                    a server with idle timeouts: each message moves its timer
 *            timers --pattern lazy                     the same server, and a message only writes down the time
 * Look for:  re-arm in a heap grows with the number of timers; "latest" and "out of order"; "calls for each message".
 * Labs:      47-timers.
 *
 * Time is invented here: a queue takes it as an argument (common/timer.h), so that an hour of timeouts passes in a few
 * milliseconds. The real clock is read only to see what the calls cost.
 *
 * Read on in this order: cost_round() measures the calls; keep_promises() drives a queue as a loop does, from deadline to
 * deadline; serve() is a server with idle timeouts, on_message() and on_idle() are the two ways to keep them. */
#include "args.h"
#include "cdefs.h"
#include "clock.h"
#include "diag.h"
#include "hist.h"
#include "json.h"
#include "mem.h"
#include "prng.h"
#include "sig.h"
#include "timer.h"
#include "timerq.h"
#include "timewheel.h"
#include "units.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
	MAX_TIMERS = 10 * 1000 * 1000,
	MAX_NUMBERS = 32,      /* in -n */
	LAP = 1000,            /* calls between two looks at the clock */
	ROUND_CALLS = 1000000, /* a cell has rounds for so many calls of each sort, within these limits */
	MIN_ROUNDS = 2,
	MAX_ROUNDS = 10000,
	PROMISE_SPAN_S = 10, /* keep_promises() has its deadlines within so long */
	IDLE_S = 60,         /* serve(): the idle timeout; each connection has a message a second, on average */
	SILENT = 50,         /* serve(): one connection of so many falls silent */
};

static const uint64_t second = NS_PER_S;

enum { HEAP, WHEEL, BOTH };
enum { COST, REARM, LAZY };
enum { RANDOM, MEMORY };

static struct options {
	int kind, pattern, order;
	const char *list;
	uint64_t max, messages, seed;
	bool json;
	size_t number[MAX_NUMBERS], numbers;
} opt = { .kind = BOTH, .messages = 200, .seed = 1 };

/* A reproducible stream of random numbers. */
struct dice {
	uint64_t drawn;
};

static uint64_t draw_below(struct dice *d, uint64_t n)
{
	return prng_word(opt.seed, d->drawn++) % n;
}

static bool is_interrupted(void)
{
	return sig_pending(NULL) != 0;
}

/* --- what a call costs -------------------------------------------------------------------------------------------- */

/* Picoseconds of a call, a value for each lap. The median is reported: a lap in which some other program had the processor is
 * one late lap among hundreds. */
struct cost {
	struct hist start, rearm, stop, fire;
};

struct bench {
	const struct timer_kind *kind;
	void *q;
	size_t n;
	struct timer *timers;
	uint32_t *order;        /* in which the timers are touched */
	uint64_t *deadlines_ns; /* drawn before the clock is read */
	uint64_t now_ns;
	struct dice dice;
	uint64_t clock_cost_ns; /* of one reading of the clock */
	struct cost *cost;
};

static void measure_clock(struct bench *b)
{
	struct hist h = { 0 };
	for (int i = 0; i < 1000; i++) {
		uint64_t before_ns = clk_mono_ns();
		hist_add(&h, clk_mono_ns() - before_ns);
	}
	b->clock_cost_ns = hist_quantile(&h, 0.5);
}

static void end_lap(const struct bench *b, struct hist *into, uint64_t began_ns, size_t calls)
{
	uint64_t elapsed_ns = clk_mono_ns() - began_ns;
	elapsed_ns = elapsed_ns > b->clock_cost_ns ? elapsed_ns - b->clock_cost_ns : 0;
	hist_add(into, elapsed_ns * 1000 / calls);
}

/* Fisher and Yates. WHY before each pass: timers that were armed one after the other are neighbours in the lists of a wheel; in
 * the same order again it would find everything in the cache. */
static void shuffle(struct bench *b)
{
	for (size_t i = b->n - 1; opt.order == RANDOM && i > 0; i--) {
		size_t k = draw_below(&b->dice, i + 1);
		uint32_t other = b->order[k];
		b->order[k] = b->order[i];
		b->order[i] = other;
	}
}

/* Idle timeouts: half a minute to a minute from now. */
static void draw_deadlines(struct bench *b)
{
	for (size_t i = 0; i < b->n; i++)
		b->deadlines_ns[i] = b->now_ns + 30 * second + draw_below(&b->dice, 30 * second);
}

static void on_fire(struct timer *t)
{
	(void)t;
}

static size_t lap_end(const struct bench *b, size_t begin)
{
	return b->n - begin > LAP ? begin + LAP : b->n;
}

static void start_all(struct bench *b, struct hist *into)
{
	shuffle(b);
	draw_deadlines(b);
	for (size_t begin = 0, end; begin < b->n; begin = end) {
		end = lap_end(b, begin);
		uint64_t began_ns = clk_mono_ns();
		for (size_t i = begin; i < end; i++)
			b->kind->start(b->q, &b->timers[b->order[i]], b->deadlines_ns[i], on_fire);
		end_lap(b, into, began_ns, end - begin);
	}
}

static void stop_all(struct bench *b, struct hist *into)
{
	shuffle(b);
	for (size_t begin = 0, end; begin < b->n; begin = end) {
		end = lap_end(b, begin);
		uint64_t began_ns = clk_mono_ns();
		for (size_t i = begin; i < end; i++)
			b->kind->stop(b->q, &b->timers[b->order[i]]);
		end_lap(b, into, began_ns, end - begin);
	}
}

/* All in one run, which is one lap. */
static void fire_all(struct bench *b, struct hist *into)
{
	b->now_ns += 61 * second;
	uint64_t began_ns = clk_mono_ns();
	unsigned fired = b->kind->run(b->q, b->now_ns);
	end_lap(b, into, began_ns, fired);
}

/* Start, re-arm five seconds later, stop; start again and let them fire. */
static void cost_round(struct bench *b)
{
	static struct hist not_reported;
	start_all(b, &b->cost->start);
	b->now_ns += 5 * second;
	b->kind->run(b->q, b->now_ns);
	start_all(b, &b->cost->rearm);
	stop_all(b, &b->cost->stop);
	start_all(b, &not_reported);
	fire_all(b, &b->cost->fire);
}

static void measure_cost(const struct timer_kind *kind, size_t n, struct cost *cost)
{
	struct bench b = { .kind = kind, .n = n, .now_ns = 1000 * second, .cost = cost };
	measure_clock(&b);
	b.q = kind->open(b.now_ns);
	b.timers = xcalloc(n, sizeof(*b.timers));
	b.order = xcalloc(n, sizeof(*b.order));
	b.deadlines_ns = xcalloc(n, sizeof(*b.deadlines_ns));
	for (size_t i = 0; i < n; i++)
		b.order[i] = (uint32_t)i;
	size_t rounds = ROUND_CALLS / n;
	rounds = rounds < MIN_ROUNDS ? MIN_ROUNDS : rounds > MAX_ROUNDS ? MAX_ROUNDS : rounds;
	for (size_t i = 0; i < rounds && !is_interrupted(); i++)
		cost_round(&b);
	kind->close(b.q);
	free(b.timers);
	free(b.order);
	free(b.deadlines_ns);
}

/* --- what a kind promises ----------------------------------------------------------------------------------------- */

struct promises {
	uint64_t now_ns, last_deadline_ns;
	uint64_t fired, early, out_of_order;
	uint64_t latest_ns;     /* the most that one fired after its deadline */
	uint64_t rounds, empty; /* runs, and those of them that fired nothing */
};

struct watched {
	struct timer t;
	struct promises *p;
};

static void on_watched(struct timer *t)
{
	struct promises *p = CONTAINER_OF(t, struct watched, t)->p;
	p->fired++;
	p->out_of_order += t->deadline_ns < p->last_deadline_ns;
	p->last_deadline_ns = t->deadline_ns;
	if (t->deadline_ns > p->now_ns)
		p->early++;
	else if (p->now_ns - t->deadline_ns > p->latest_ns)
		p->latest_ns = p->now_ns - t->deadline_ns;
}

/* As a loop that never comes late: sleep until next_ns, run, sleep again. */
static void drive(const struct timer_kind *kind, void *q, struct promises *p)
{
	uint64_t next_ns;
	while ((next_ns = kind->next_ns(q)) != CLK_NEVER) {
		p->now_ns = next_ns;
		p->empty += kind->run(q, next_ns) == 0;
		p->rounds++;
	}
}

static struct promises keep_promises(const struct timer_kind *kind, size_t n)
{
	struct promises p = { .now_ns = 1000 * second };
	struct dice dice = { 0 };
	struct watched *w = xcalloc(n, sizeof(*w));
	void *q = kind->open(p.now_ns);
	for (size_t i = 0; i < n; i++) {
		w[i].p = &p;
		kind->start(q, &w[i].t, p.now_ns + 1 + draw_below(&dice, PROMISE_SPAN_S * second), on_watched);
	}
	drive(kind, q, &p);
	kind->close(q);
	free(w);
	return p;
}

/* --- a server with idle timeouts ---------------------------------------------------------------------------------- */

struct server {
	const struct timer_kind *kind;
	void *q;
	struct conn *conns;
	size_t n;
	uint64_t now_ns;
	uint64_t messages;
	uint64_t calls; /* of start, by messages and by timers that fire */
	uint64_t fired, rounds;
	uint64_t closed, latest_ns; /* connections found idle; the most that one was found too late */
	double message_ns;          /* processor time for each message, the timers' rounds included */
};

struct conn {
	struct timer idle;
	struct server *s;
	uint64_t active_ns; /* the last message */
};

static void on_idle(struct timer *t);

/* REARM: the timer always stands at the end of the timeout. LAZY: it may stand earlier; only the time is written down. */
static void on_message(struct server *s, struct conn *c)
{
	c->active_ns = s->now_ns;
	if (opt.pattern == LAZY)
		return;
	s->kind->start(s->q, &c->idle, c->active_ns + IDLE_S * second, on_idle);
	s->calls++;
}

/* REARM: the connection is idle. LAZY: that has to be seen; if there was a message meanwhile, sleep for what is left. */
static void on_idle(struct timer *t)
{
	struct conn *c = CONTAINER_OF(t, struct conn, idle);
	struct server *s = c->s;
	uint64_t deadline_ns = c->active_ns + IDLE_S * second;
	s->fired++;
	if (deadline_ns > s->now_ns) {
		s->kind->start(s->q, t, deadline_ns, on_idle);
		s->calls++;
		return;
	}
	s->closed++;
	if (s->now_ns - deadline_ns > s->latest_ns)
		s->latest_ns = s->now_ns - deadline_ns;
}

/* The timers' rounds up to the time of the next message. */
static void run_until(struct server *s, uint64_t until_ns)
{
	for (uint64_t next_ns; (next_ns = s->kind->next_ns(s->q)) <= until_ns; s->rounds++) {
		s->now_ns = next_ns > s->now_ns ? next_ns : s->now_ns;
		s->kind->run(s->q, s->now_ns);
	}
	s->now_ns = until_ns;
}

/* From whom the next message comes: one of SILENT sends nothing in the second half. */
static struct conn *sender(const struct server *s, struct dice *dice, uint64_t message)
{
	size_t i = draw_below(dice, s->n);
	bool is_silent = i % SILENT == SILENT - 1 && message > s->messages / 2;
	return &s->conns[is_silent ? i - 1 : i];
}

static void exchange_messages(struct server *s)
{
	struct dice dice = { 0 };
	uint64_t gap_ns = second / s->n, done = 0;
	clock_t began = clock();
	for (; done < s->messages && !(done % LAP == 0 && is_interrupted()); done++) {
		run_until(s, s->now_ns + gap_ns);
		on_message(s, sender(s, &dice, done));
	}
	s->message_ns = (double)(clock() - began) * ((double)NS_PER_S / CLOCKS_PER_SEC) / (double)done;
}

/* n connections that are open already; what is left at the end of the messages is closed from our side. */
static struct server serve(const struct timer_kind *kind, size_t n)
{
	struct server s = { .kind = kind, .n = n, .now_ns = 1000 * second, .messages = opt.messages * n };
	s.q = kind->open(s.now_ns);
	s.conns = xcalloc(n, sizeof(*s.conns));
	for (size_t i = 0; i < n; i++) {
		s.conns[i].s = &s;
		s.conns[i].active_ns = s.now_ns;
		kind->start(s.q, &s.conns[i].idle, s.now_ns + IDLE_S * second, on_idle);
	}
	exchange_messages(&s);
	for (size_t i = 0; i < n; i++)
		kind->stop(s.q, &s.conns[i].idle);
	kind->close(s.q);
	free(s.conns);
	return s;
}

/* The cells that were reported, and those of them in which a promise was broken. */
struct tally {
	size_t cells, broken;
};

/* --- output ------------------------------------------------------------------------------------------------------- */

static const char *const kind_choices[] = { "heap", "wheel", "both", NULL };
static const char *const pattern_choices[] = { "cost", "rearm", "lazy", NULL };
static const char *const order_choices[] = { "random", "memory", NULL };

static void begin_record(struct json *j, const char *record)
{
	json_begin(j, stdout);
	json_str(j, "schema", "tcplab.timers/1");
	json_str(j, "record", record);
}

static void begin_cell(struct json *j, const struct timer_kind *kind, size_t n)
{
	begin_record(j, "cell");
	json_str(j, "kind", kind->name);
	json_u64(j, "n", n);
	json_str(j, "pattern", pattern_choices[opt.pattern]);
}

static void print_start(void)
{
	struct json j;
	if (opt.json) {
		begin_record(&j, "start");
		json_str(&j, "pattern", pattern_choices[opt.pattern]);
		json_str(&j, "order", order_choices[opt.order]);
		json_u64(&j, "tick_ns", TIMEWHEEL_TICK_NS);
		json_u64(&j, "seed", opt.seed);
		json_end(&j);
	} else if (opt.pattern == COST) {
		printf("ns for each call, medians; timers are touched in %s order. A tick of the wheel is %.2f ms.\n",
		       opt.order == RANDOM ? "random" : "their", TIMEWHEEL_TICK_NS / 1e6);
		printf("kind     timers    start   re-arm     stop     fire       latest  out of order    rounds     empty\n");
	} else {
		printf("idle timeouts of %d s, %s\n", IDLE_S,
		       opt.pattern == REARM ? "each message moves its timer" : "a message only writes down the time");
		printf("kind     timers   messages      calls  for each message       ns    rounds   closed       latest\n");
	}
}

static double median_ns(const struct hist *h)
{
	return (double)hist_quantile(h, 0.5) / 1000;
}

static void print_cost(const struct timer_kind *kind, size_t n, const struct cost *c, const struct promises *p)
{
	char latest[UNITS_TEXT];
	struct json j;
	if (!opt.json) {
		printf("%-5s %9zu %8.1f %8.1f %8.1f %8.1f %12s %13" PRIu64 " %9" PRIu64 " %9" PRIu64 "\n", kind->name,
		       n, median_ns(&c->start), median_ns(&c->rearm), median_ns(&c->stop), median_ns(&c->fire),
		       units_duration(latest, p->latest_ns), p->out_of_order, p->rounds, p->empty);
		return;
	}
	begin_cell(&j, kind, n);
	json_f64(&j, "start_ns", median_ns(&c->start));
	json_f64(&j, "rearm_ns", median_ns(&c->rearm));
	json_f64(&j, "stop_ns", median_ns(&c->stop));
	json_f64(&j, "fire_ns", median_ns(&c->fire));
	json_u64(&j, "fired", p->fired);
	json_u64(&j, "early", p->early);
	json_u64(&j, "latest_ns", p->latest_ns);
	json_f64(&j, "latest_ticks", (double)p->latest_ns / TIMEWHEEL_TICK_NS);
	json_u64(&j, "out_of_order", p->out_of_order);
	json_u64(&j, "rounds", p->rounds);
	json_u64(&j, "empty_rounds", p->empty);
	json_end(&j);
}

static void print_server(const struct server *s)
{
	char latest[UNITS_TEXT];
	double calls_per_message = (double)s->calls / (double)s->messages;
	struct json j;
	if (!opt.json) {
		printf("%-5s %9zu %10" PRIu64 " %10" PRIu64 " %17.4f %8.1f %9" PRIu64 " %8" PRIu64 " %12s\n",
		       s->kind->name, s->n, s->messages, s->calls, calls_per_message, s->message_ns, s->rounds,
		       s->closed, units_duration(latest, s->latest_ns));
		return;
	}
	begin_cell(&j, s->kind, s->n);
	json_u64(&j, "messages", s->messages);
	json_u64(&j, "calls", s->calls);
	json_f64(&j, "calls_per_message", calls_per_message);
	json_f64(&j, "message_ns", s->message_ns);
	json_u64(&j, "fired", s->fired);
	json_u64(&j, "rounds", s->rounds);
	json_u64(&j, "closed", s->closed);
	json_u64(&j, "latest_ns", s->latest_ns);
	json_end(&j);
}

static void print_total(const struct tally *tally, uint64_t elapsed_ns)
{
	struct json j;
	if (!opt.json) {
		if (is_interrupted())
			printf("interrupted\n");
		return;
	}
	begin_record(&j, "total");
	json_u64(&j, "cells", tally->cells);
	json_u64(&j, "broken_promises", tally->broken);
	json_u64(&j, "elapsed_ns", elapsed_ns);
	json_bool(&j, "interrupted", is_interrupted());
	json_end(&j);
}

/* --- main --------------------------------------------------------------------------------------------------------- */

/* Did a kind break what timer.h says of it? */
static bool is_broken(const struct timer_kind *kind, size_t n, const struct promises *p)
{
	bool is_exact = p->latest_ns == 0 && p->out_of_order == 0 && p->empty == 0;
	bool is_within_tick = p->latest_ns < TIMEWHEEL_TICK_NS;
	return p->fired != n || p->early > 0 || !(kind == &timerq_kind ? is_exact : is_within_tick);
}

static void compare_costs(const struct timer_kind *kind, size_t n, struct tally *tally)
{
	static struct cost cost;
	cost = (struct cost){ 0 };
	measure_cost(kind, n, &cost);
	if (is_interrupted())
		return;
	struct promises p = keep_promises(kind, n);
	print_cost(kind, n, &cost, &p);
	tally->cells++;
	if (is_broken(kind, n, &p)) {
		warnf("%s with %zu timers: a promise was broken", kind->name, n);
		tally->broken++;
	}
}

static void compare_servers(const struct timer_kind *kind, size_t n, struct tally *tally)
{
	struct server s = serve(kind, n);
	if (is_interrupted())
		return;
	print_server(&s);
	tally->cells++;
}

/* Kind by kind, so that the growth of each reads from top to bottom. An interrupted cell is not reported. */
static int compare(void)
{
	static const struct timer_kind *const kinds[] = { &timerq_kind, &timewheel_kind };
	uint64_t began_ns = clk_mono_ns();
	struct tally tally = { 0 };
	print_start();
	for (int k = HEAP; k <= WHEEL; k++) {
		for (size_t i = 0; i < opt.numbers && (opt.kind == k || opt.kind == BOTH) && !is_interrupted(); i++) {
			if (opt.pattern == COST)
				compare_costs(kinds[k], opt.number[i], &tally);
			else
				compare_servers(kinds[k], opt.number[i], &tally);
		}
	}
	print_total(&tally, clk_mono_ns() - began_ns);
	return tally.broken > 0 ? 3 : 0;
}

static void add_number(uint64_t n)
{
	if (n < 1 || n > MAX_TIMERS)
		args_misuse("%" PRIu64 " timers: it is 1 to %d", n, MAX_TIMERS);
	if (opt.numbers == MAX_NUMBERS)
		args_misuse("more than %d numbers", MAX_NUMBERS);
	opt.number[opt.numbers++] = (size_t)n;
}

static void parse_list(const char *list)
{
	char *copy = xstrdup(list), *rest = copy, *word;
	uint64_t n;
	while ((word = strsep(&rest, ",")) != NULL) {
		if (!units_parse_count(word, &n))
			args_misuse("--number: '%s' is no number", word);
		add_number(n);
	}
	free(copy);
}

static void choose_numbers(void)
{
	if (opt.list != NULL && opt.max != 0)
		args_misuse("--number and --max both say how many: give one");
	if (opt.list != NULL) {
		parse_list(opt.list);
	} else if (opt.max == 0 && opt.pattern != COST) {
		add_number(10000);
	} else {
		uint64_t max = opt.max != 0 ? opt.max : 1000000;
		for (uint64_t n = 100; n <= max; n *= 10)
			add_number(n);
	}
}

static const char *const synopsis[] = {
	"[--kind KIND] [-n LIST | --max N] [--order ORDER] [--json]",
	"--pattern rearm|lazy [--kind KIND] [-n LIST | --max N] [--messages N] [--json]",
	NULL,
};

static const char *const about[] = {
	"timers measures the two kinds of timer queue of this toolkit, a heap with four children to a node and a hierarchical "
	"timing wheel: what it costs to start, re-arm and stop a timer and to let it fire, with as many armed as you say.",
	"Then it drives each from deadline to deadline and counts what it promises: the heap fires at the deadline, in order; the "
	"wheel never early, less than a tick late, in any order within a tick. Rounds are how often a loop has to wake up, and empty "
	"ones found nothing to fire.",
	"--pattern plays a server with idle timeouts of 60 s and a message a second on each connection. rearm: each message "
	"moves the timer of its connection. lazy: a message writes down the time; a timer that fires looks at it, and sleeps "
	"for the remainder. One connection of 50 falls silent and has to be found.",
	NULL,
};

static const struct arg_example examples[] = {
	{ "timers", "both kinds, with 100 to 1000000 timers" },
	{ "timers --kind wheel -n 100000", "one cell of the table" },
	{ "timers --order memory -n 100,1000000", "how much of the growth is the cache, and how much the heap?" },
	{ "timers --pattern lazy -n 1000,100000", "calls for each message, when messages do not touch the queue" },
	{ 0 },
};

static const struct arg_example statuses[] = {
	{ "3", "a timer fired early, later than promised or out of order" },
	{ 0 },
};

/* clang-format off */
static const struct arg rows[] = {
	{ 'k', "kind", ARG_CHOICE, &opt.kind, .value_name = "KIND", .help = "which queue", .choices = kind_choices },
	{ 'n', "number", ARG_STR, &opt.list, .value_name = "LIST", .help = "how many timers, for example 100,5000" },
	{ '\0', "max", ARG_COUNT, &opt.max, 100, MAX_TIMERS, "N", "100, 1000, 10000 ... up to N (1000000 unless given)" },
	{ '\0', "order", ARG_CHOICE, &opt.order, .value_name = "ORDER", .help = "touch the timers at random, or as they lie in memory",
	  .choices = order_choices },
	{ '\0', "pattern", ARG_CHOICE, &opt.pattern, .value_name = "PATTERN", .help = "cost: each call by itself. rearm, lazy: a server "
	  "with idle timeouts (10000 timers unless given)", .choices = pattern_choices },
	{ '\0', "messages", ARG_COUNT, &opt.messages, 1, 1000000, "N", "messages on each connection; it has one a second" },
	{ '\0', "seed", ARG_COUNT, &opt.seed, .value_name = "N", .help = "for the timeouts and the order" },
	{ '\0', "json", ARG_FLAG, &opt.json, .help = "one JSON object for each kind and number, then a total" },
	{ 0 },
};
/* clang-format on */

static const struct arg_spec spec = {
	.tool = "timers",
	.one_line = "measures what timers cost in a heap and in a wheel, and what each promises",
	.synopsis = synopsis,
	.about = about,
	.args = rows,
	.examples = examples,
	.exit_statuses = statuses,
	.see_also = "tcplab(1), clock_gettime(2), epoll_wait(2). Each figure explained: docs/tools/timers.md.",
};

int main(int argc, char **argv)
{
	diag_tool = "timers";
	setvbuf(stdout, NULL, _IOLBF, 0);
	int operands = args_parse(&spec, argc, argv);
	if (operands < argc)
		args_misuse("no operand is expected: '%s'", argv[operands]);
	if (opt.pattern != COST && opt.order != RANDOM)
		args_misuse("--order is for --pattern cost: the messages of a server come as they come");
	choose_numbers();
	sig_open();
	sig_let_in(true);
	int status = compare();
	if (fflush(stdout) != 0 || ferror(stdout))
		die("cannot write the report");
	return sig_exit_status(status);
}
