/* dummyload - a process that is busy to order: so many percent of a processor, in the shape of a wave, on a busy
 * machine as well.
 *
 * Try:       dummyload cosine 80 -i 1                  up and down every 10 s; what was asked for and what came of it
 *            dummyload fixed 40 2                      two threads of 40 %, which top calls 80 %
 *            dummyload triangle 60 --memory 100M --follow   memory that grows and shrinks with it
 *            dummyload fixed 40 --switches 1000 --faults 1000 -i 1   still 40 %
 * Look for:  "error": on a machine with nothing else to do, and with four busy loops beside it; "waited" then.
 * Labs:      80-procmon.
 *
 * Something for a process monitor to watch: the target is printed and exact, so that a chart can be compared with it.
 *
 * Read on in this order; each chapter is one file in tools/dummyload/:
 *     shape.c     the curves and their integrals, without a clock
 *     account.h   asked so far against done so far, as one number
 *     burn.c      the heart: threads that work and sleep by that number
 *     run.c       all at once, the intervals, the end
 *     side.c      the other loads, and side_*.c: memory and faults, files and writing, threads and switches, sockets
 *     steps.c     a list of steps from a file
 *     report.c    text and JSON
 * This file has the options and main. */
#include "dummyload/dummyload.h"
#include "dummyload/report.h"

#include "args.h"
#include "clock.h"
#include "diag.h"
#include "record.h"
#include "sig.h"
#include "units.h"

#include <stdio.h>
#include <unistd.h>

static const char *const synopsis[] = {
	"SHAPE PERCENT [THREADS] [options]",
	"steps --steps FILE [--repeat] [options]",
	NULL,
};

static const char *const about[] = {
	"dummyload keeps processors busy, for process monitors to look at. SHAPE is fixed, cosine, triangle, sawtooth or "
	"square, or its first letter as in Shuo Chen's course: f, c, t, z (sawtooth) and s (square). PERCENT is of one "
	"processor, and for each of the THREADS: two threads of 50 are 100 % in top(1). It is the peak of the wave, whose "
	"trough is --low.",
	"Each thread compares the processor time that it has used with the integral of the shape, every 10 ms, and works or "
	"sleeps accordingly: 40 % are 40 % also when others want the processor. What it missed is made good, but 250 ms of "
	"it at most, and of a wave a tenth of its period: a pause of a minute is not followed by a minute of 100 %. If there "
	"is not so much processor to be had, the report says so.",
	"The other loads are off unless asked for. Their processor time is part of the percentage. Memory, files and "
	"everything that is so much each second follow the shape with --follow: as much as was said at the peak, half of it "
	"at half of the peak.",
	NULL,
};

static const struct arg_example examples[] = {
	{ "dummyload cosine 80 -i 1", "0 to 80 % and back every 10 s, a line each second" },
	{ "dummyload s 100 --period 2", "the course's letters: one second busy, one second idle" },
	{ "dummyload fixed 40 4 --time 30 --json", "four threads of 40 % each, for half a minute" },
	{ "dummyload steps --steps day.txt --repeat", "from a file: \"5m 80 rush hour\" is a line of it" },
	{ "dummyload triangle 60 --memory 200M --files 500 --follow", "memory and descriptors go up and down as well" },
	{ "dummyload fixed 20 --sockets 100 --traffic 80mbit", "a hundred TCP connections to itself" },
	{ "dummyload cosine 80 --target -i 0.1 --time 20 | plot", "no load: what would be asked for" },
	{ 0 },
};

static const char *steps_file, *low_text;
static struct options opt = {
	.threads = 1,
	.shape = { .period_ns = UINT64_C(10) * NS_PER_S },
};

/* clang-format off */
static const struct arg rows[] = {
	{ .help = "The processor:" },
	{ '\0', "threads", ARG_COUNT, &opt.threads, 1, LOAD_THREADS_MAX, "N", "so many threads, each with the shape (or: THREADS)" },
	{ '\0', "period", ARG_DURATION, &opt.shape.period_ns, 20 * NS_PER_MS, 0, "D", "of the wave" },
	{ '\0', "phase", ARG_DURATION, &opt.shape.phase_ns, 0, 0, "D", "begin so far into the period" },
	{ '\0', "low", ARG_STR, &low_text, .value_name = "PERCENT", .help = "the trough of the wave (0 unless given)" },
	{ '\0', "steps", ARG_FILE, &steps_file, .value_name = "FILE", .help = "for the shape steps: each line is \"DURATION PERCENT "
	  "[LABEL]\"; what follows a # is a comment" },
	{ '\0', "repeat", ARG_FLAG, &opt.shape.repeats, .help = "the steps begin again after the last one, which otherwise ends the run" },
	{ .help = "Other loads:" },
	{ '\0', "memory", ARG_SIZE, &opt.amount[SIDE_MEMORY], 1, 0, "SIZE", "resident memory" },
	{ '\0', "files", ARG_COUNT, &opt.amount[SIDE_FILES], 1, AMOUNT_MAX, "N", "open descriptors" },
	{ '\0', "idle-threads", ARG_COUNT, &opt.amount[SIDE_IDLE], 1, AMOUNT_MAX, "N", "threads that sleep" },
	{ '\0', "sockets", ARG_COUNT, &opt.amount[SIDE_SOCKETS], 1, AMOUNT_MAX, "N", "TCP connections to itself, on 127.0.0.1" },
	{ '\0', "traffic", ARG_RATE, &opt.amount[SIDE_TRAFFIC], 1, 0, "RATE", "sent over the --sockets, all together" },
	{ '\0', "switches", ARG_COUNT, &opt.amount[SIDE_SWITCHES], 1, EVENTS_MAX, "N", "voluntary context switches each second, of the "
	  "whole process" },
	{ '\0', "faults", ARG_COUNT, &opt.amount[SIDE_FAULTS], 1, EVENTS_MAX, "N", "minor page faults each second, of the whole process" },
	{ '\0', "io", ARG_RATE, &opt.amount[SIDE_IO], 1, 0, "RATE", "written to a file without a name in $TMPDIR, 16 MiB long at most" },
	{ '\0', "follow", ARG_FLAG, &opt.follow, .help = "memory, files, traffic, switches, faults and io go up and down with the shape" },
	{ .help = "Reports:" },
	{ 'i', "interval", ARG_DURATION, &opt.interval_ns, SLICE_NS, 0, "D", "a line for each interval (1 s on a terminal)" },
	{ '\0', "time", ARG_DURATION, &opt.time_ns, 1, 0, "D", "stop after so long" },
	{ '\0', "target", ARG_FLAG, &opt.target, .help = "do nothing, and print what would be asked for: one period of it unless --time is "
	  "given, a line for each interval (a hundredth of that unless -i is given)" },
	{ '\0', "json", ARG_FLAG, &opt.json, .help = "one JSON object a line on standard output" },
	{ 0 },
};
/* clang-format on */

static const struct arg_spec spec = {
	.tool = "dummyload",
	.one_line = "is as busy as it is told, in the shape of a wave, for a process monitor to watch",
	.synopsis = synopsis,
	.about = about,
	.args = rows,
	.examples = examples,
	.see_also = "tcplab(1), top(1), proc(5), getrusage(2). Each figure explained: docs/tools/dummyload.md.",
};

static double percent_of(const char *what, const char *text)
{
	double percent;
	if (!shape_parse_percent(text, &percent))
		args_misuse("%s: '%s' is no percentage, 0 to 100", what, text);
	return percent;
}

/* The operands behind SHAPE. */
static void take_wave(int n, char **operand)
{
	if (n < 1)
		args_misuse("say how busy: %s PERCENT", shape_name(opt.shape.kind));
	if (n > 2)
		args_misuse("'%s' is too much", operand[2]);
	opt.shape.peak = percent_of("PERCENT", operand[0]);
	if (n == 2 && opt.threads != 1)
		args_misuse("THREADS and --threads both say how many: give one");
	if (n == 2 &&
	    (!units_parse_count(operand[1], &opt.threads) || opt.threads < 1 || opt.threads > LOAD_THREADS_MAX))
		args_misuse("THREADS: '%s' is not a number from 1 to %d", operand[1], LOAD_THREADS_MAX);
	if (steps_file != NULL || opt.shape.repeats)
		args_misuse("--steps and --repeat are for the shape steps");
	if (low_text == NULL)
		return;
	if (opt.shape.kind == SHAPE_FIXED)
		args_misuse("--low is for waves: fixed has no trough");
	opt.shape.low = percent_of("--low", low_text);
	if (opt.shape.low > opt.shape.peak)
		args_misuse("--low %s is more than the peak, %s", low_text, operand[0]);
}

static void take_steps(int n, char **operand)
{
	struct net_error e = { 0 };
	if (steps_file == NULL)
		args_misuse("steps needs a list: --steps FILE");
	if (n > 0)
		args_misuse("'%s' is too much: the percentages are in the list (and --threads N says how many)",
			    operand[0]);
	if (low_text != NULL || opt.shape.phase_ns != 0)
		args_misuse("--low and --phase are for waves");
	opt.shape.period_ns = 0;
	if (steps_read(&opt.shape, steps_file, &e) == 0)
		return;
	record_error(opt.json, &e);
	_exit(1);
}

/* What is shorter than the slices that time is cut into would not come out as a wave. */
static void check(void)
{
	if (opt.amount[SIDE_TRAFFIC] != 0 && opt.amount[SIDE_SOCKETS] == 0)
		args_misuse("--traffic goes over connections: say how many with --sockets");
	if (opt.target && opt.time_ns == 0)
		opt.time_ns = opt.shape.period_ns;
	if (opt.target && opt.interval_ns == 0)
		opt.interval_ns = opt.time_ns >= 100 * (uint64_t)SLICE_NS ? opt.time_ns / 100 : SLICE_NS;
	if (opt.interval_ns == 0 && isatty(STDOUT_FILENO) && !opt.json)
		opt.interval_ns = NS_PER_S;
}

int main(int argc, char **argv)
{
	diag_tool = "dummyload";
	setvbuf(stdout, NULL, _IOLBF, 0);
	int first = args_parse(&spec, argc, argv);
	if (first == argc)
		args_misuse("say which SHAPE: fixed, cosine, triangle, sawtooth, square or steps");
	if (!shape_parse(argv[first], &opt.shape.kind))
		args_misuse("'%s' is no shape: fixed, cosine, triangle, sawtooth, square, steps (or f, c, t, z, s)",
			    argv[first]);
	if (opt.shape.kind == SHAPE_STEPS)
		take_steps(argc - first - 1, argv + first + 1);
	else
		take_wave(argc - first - 1, argv + first + 1);
	check();
	if (opt.target) {
		report_load_plan(&opt);
		return record_finish(0);
	}
	sig_open();
	int status = run_dummyload(&opt);
	shape_free(&opt.shape);
	return status;
}
