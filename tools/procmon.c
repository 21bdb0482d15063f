/* procmon - watches a process: in the browser, in the terminal, or for other programs.
 *
 * Try:       procmon -- dummyload cosine 80        then open http://127.0.0.1:3000/
 *            procmon 1234                          a process that runs already
 *            procmon --once 1234                   one look, as text
 *            procmon --tui 1234                    live in the terminal
 *            curl -X POST 'http://127.0.0.1:3000/mark?label=now+with+8+clients'
 * Look for:  the page of its sockets: where do bytes wait, in which state is each connection? And "waited": the process
 *            was ready to run, and others had the processors.
 * Labs:      80-procmon (what a sampler cannot see), 81-watch-a-server, 82-keep-alive.
 *
 * Everything comes from /proc and sock_diag, without any right that the user does not have. What costs more is read
 * only while somebody looks at it, and the page says what procmon itself costs.
 *
 * The chapters, in reading order: procmon/columns.c what is charted; history.c two rings of it; tree.c the process and
 * its descendants; sample.c one look; threads.c, files.c, maps.c, sockets.c what costs more; watched.c from the first
 * look to the last; charts.c; html_*.c the pages; records.c, metrics.c, csv.c for programs; routes.c HTTP; text.c,
 * frame.c, tui.c the terminal; print.c what goes to standard output; run.c the whole. */
#include "procmon/procmon.h"

#include "args.h"
#include "clock.h"
#include "diag.h"
#include "sig.h"

#include <stdio.h>
#include <string.h>

enum { PORT = 3000 };

static struct procmon_options opt = { .port = PORT, .interval_ns = NS_PER_S };

/* --- operands ----------------------------------------------------------------------------------------------------- */

static void parse_pids(const char *text)
{
	uint64_t pid;
	char word[16];
	while (*text != '\0') {
		size_t len = strcspn(text, ",");
		if (len == 0 || len >= sizeof(word))
			args_misuse("'%s' is no process id", text);
		memcpy(word, text, len);
		word[len] = '\0';
		if (!units_parse_count(word, &pid) || pid == 0 || pid > INT32_MAX)
			args_misuse("'%s' is no process id", word);
		if (opt.n_pids == PROCMON_PIDS)
			args_misuse("at most %d processes can be watched at once", PROCMON_PIDS);
		for (unsigned i = 0; i < opt.n_pids; i++) {
			if (opt.pid[i] == (pid_t)pid)
				args_misuse("process %s is there twice", word);
		}
		opt.pid[opt.n_pids++] = (pid_t)pid;
		text += len + (text[len] == ',');
	}
}

/* PID[,PID...] [PORT [NAME]] */
static void parse_operands(char **words)
{
	if (words[0] == NULL)
		args_misuse("which process?");
	parse_pids(words[0]);
	if (opt.n_pids == 0)
		args_misuse("which process?");
	if (words[1] == NULL)
		return;
	if (!units_parse_count(words[1], &opt.port) || opt.port > UINT16_MAX)
		args_misuse("'%s' is no port", words[1]);
	opt.has_port = true;
	if (words[2] == NULL)
		return;
	opt.name = words[2];
	if (words[3] != NULL)
		args_misuse("'%s' is too much", words[3]);
}

static void check(void)
{
	if (opt.ipv4 && opt.ipv6)
		args_misuse("-4 and -6 exclude each other");
	if (opt.once && opt.tui)
		args_misuse("--once and --tui exclude each other");
	if (opt.tui && opt.json)
		args_misuse("--tui and --json exclude each other");
	if (opt.name != NULL && opt.n_pids > 1)
		args_misuse("a name is for one process");
	if (opt.name != NULL && opt.name[0] == '\0')
		args_misuse("the name is empty");
}

/* --- command line ------------------------------------------------------------------------------------------------- */

static const char *port_text;

/* clang-format off */
static const struct arg rows[] = {
	{ .help = "What:" },
	{ '\0', "children", ARG_FLAG, &opt.with_children, .help = "its descendants, too, as one: processor time, and memory as PSS" },
	{ '\0', "name", ARG_STR, &opt.name, .value_name = "NAME", .help = "what to call it (its own name)" },
	{ 'i', "interval", ARG_DURATION, &opt.interval_ns, 10 * NS_PER_MS, 3600 * (uint64_t)NS_PER_S, "D", "between two samples" },
	{ '\0', "time", ARG_DURATION, &opt.time_ns, .value_name = "D", .help = "end after this time (0: never)" },
	{ '\0', "until-exit", ARG_FLAG, &opt.until_exit, .help = "end when all of them have ended" },
	{ .help = "Pages:" },
	{ 'p', "port", ARG_STR, &port_text, .value_name = "PORT", .help = "3000 unless given; 0: any free one" },
	{ '\0', "bind", ARG_STR, &opt.bind, .value_name = "ADDR", .help = "127.0.0.1 unless given: whoever can reach it sees the process" },
	{ '4', "ipv4", ARG_FLAG, &opt.ipv4, .help = "IPv4 only" },
	{ '6', "ipv6", ARG_FLAG, &opt.ipv6, .help = "IPv6 only" },
	{ '\0', "allow-host", ARG_LIST, &opt.hosts, .value_name = "NAME", .help = "a name by which browsers may call this server, besides "
	  "addresses and localhost" },
	{ '\0', "allow-environ", ARG_FLAG, &opt.allow_environ, .help = "show its environment, which may hold secrets" },
	{ '\0', "report", ARG_FILE, &opt.report, .value_name = "FILE", .help = "at the end write all pages as one HTML file" },
	{ .help = "Terminal and records:" },
	{ '\0', "once", ARG_FLAG, &opt.once, .help = "one look, over one interval, as text; no pages" },
	{ '\0', "tui", ARG_FLAG, &opt.tui, .help = "live in the terminal; pages only with a port" },
	{ 'v', "verbose", ARG_FLAG, &opt.verbose, .help = "a line for each sample" },
	{ '\0', "json", ARG_FLAG, &opt.json, .help = "one JSON object a line on standard output" },
	{ 0 },
};

static const char *const synopsis[] = {
	"[options] PID[,PID...] [PORT [NAME]]",
	"[options] -- CMD [ARG...]",
	NULL,
};

static const char *const about[] = {
	"Watches a process and shows it as pages: its processor time, memory, threads, descriptors, and its sockets with their TCP "
	"state, with charts of the last 10 minutes and the last 2 hours. After its end all that was seen can still be looked at, with "
	"how it ended.",
	"With -- it starts the command and ends it, too: SIGTERM, when procmon itself is ended. With --json the command's "
	"standard output goes to standard error, with --tui its input and output are /dev/null.",
	"Besides the pages there are /json, /metrics (Prometheus), /csv, /stream (server-sent events), a chart each as /cpu.svg, "
	"/memory.svg, ..., and POST /mark?label=TEXT, which puts a mark on all charts.",
	NULL,
};

static const struct arg_example examples[] = {
	{ "procmon 1234", "watch process 1234 at http://127.0.0.1:3000/" },
	{ "procmon -- chargen -s", "start a server and watch it from its first instruction on" },
	{ "procmon --until-exit --report build.html --children -- make -j2", "how did the build spend its time?" },
	{ "procmon --once --json 1234", "one look, for a script" },
	{ 0 },
};

static const struct arg_spec spec = {
	.tool = "procmon",
	.one_line = "watches a process: processor time, memory, threads, files, sockets",
	.synopsis = synopsis,
	.about = about,
	.args = rows,
	.examples = examples,
	.see_also = "dummyload(1), tcpwatch(1), pidstat(1), ss(8), proc(5)",
};
/* clang-format on */

int main(int argc, char **argv)
{
	diag_tool = "procmon";
	setvbuf(stdout, NULL, _IOLBF, 0);
	int first = args_parse(&spec, argc, argv);
	if (port_text != NULL) {
		if (!units_parse_count(port_text, &opt.port) || opt.port > UINT16_MAX)
			args_misuse("'%s' is no port", port_text);
		opt.has_port = true;
	}
	if (strcmp(argv[first - 1], "--") == 0)
		opt.command = argv[first] != NULL ? argv + first : NULL;
	if (opt.command == NULL)
		parse_operands(argv + first);
	check();
	sig_open();
	return sig_exit_status(procmon_run(&opt));
}
