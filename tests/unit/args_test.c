/* args_test.c - each command line is parsed in a child, which prints what it got; what it says on stdout and stderr and
 * its exit status are looked at here. Every kind of option in every spelling, every misuse, and the three printers. */
#include "args.h"

#include "check.h"
#include "diag.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static struct {
	bool flag, one, letters;
	uint64_t count, port, size, rate, delay;
	const char *text, *file;
	int mode;
	struct arg_host to;
} got = { .count = 7, .size = 65536, .delay = 250000000, .text = "some" };

static const char *const modes[] = { "fast", "slow", "none", NULL };
static const char *const synopsis[] = { "-t HOST [options]", "FILE...", NULL };
static const char *const about[] = {
	"It does nothing, on purpose.",
	".starts with a dot and has a \\ and a-hyphen",
	NULL,
};

/* clang-format off */
static const struct arg rows[] = {
	{ .help = "First:" },
	{ 'f', "flag", ARG_FLAG, &got.flag, .help = "a flag" },
	{ '1', "one", ARG_FLAG, &got.one, .help = "a digit" },
	{ 'c', "count", ARG_COUNT, &got.count, 2, 100, "N", "a count" },
	{ 'p', "port", ARG_PORT, &got.port, .value_name = "PORT", .help = "a port" },
	{ 's', "size", ARG_SIZE, &got.size, 1024, 1 << 20, "SIZE", "a size that is explained at such length "
	  "that the line has to be folded once, and once more, because what there is to say does not fit" },
	{ .help = "Second:" },
	{ '\0', "rate", ARG_RATE, &got.rate, 1000, 0, "RATE", "a rate" },
	{ 'd', "delay", ARG_DURATION, &got.delay, 1000000, 10000000000, "D", "a delay" },
	{ 'x', "text", ARG_STR, &got.text, .value_name = "TEXT", .help = "a text" },
	{ '\0', "file", ARG_FILE, &got.file, .value_name = "FILE", .help = "a file" },
	{ 'm', "mode", ARG_CHOICE, &got.mode, .value_name = "MODE", .help = "a choice", .choices = modes },
	{ 't', "trans", ARG_HOST, &got.to, .value_name = "HOST", .help = "a host, or none" },
	{ '\0', "letters", ARG_FLAG, &got.letters, .help = "a b c d e f g h i j k l m n o p q r s t u v w x y z "
	  "a b c d e f g h i j k l m n o p q r s t u v w x y z a b c d e f g h i j k l m n o p q r s t u v w x y z" },
	{ 0 },
};
/* clang-format on */

static const struct arg_example examples[] = { { "demo -t there", "goes there" }, { 0 } };
static const struct arg_example statuses[] = { { "3", "It was odd." }, { 0 } };

static const struct arg_spec spec = {
	.tool = "demo",
	.one_line = "shows what args can do",
	.synopsis = synopsis,
	.about = about,
	.args = rows,
	.examples = examples,
	.exit_statuses = statuses,
	.see_also = "tcplab(1).",
};

/* Two options that may come often, and whose order matters. */
static struct arg_list said;
static const struct arg list_rows[] = {
	{ '\0', "allow", ARG_LIST, &said, .value_name = "WHO", .help = "in" },
	{ 'd', "deny", ARG_LIST, &said, .value_name = "WHO", .help = "out" },
	{ 0 },
};
static const struct arg_spec list_spec = {
	.tool = "demo",
	.one_line = "shows lists",
	.synopsis = synopsis,
	.about = about,
	.args = list_rows,
	.examples = examples,
	.see_also = "tcplab(1).",
};

/* --- one command line -------------------------------------------------------------------------------------------- */

static char out[16384], err[4096]; /* what the last child said */

static const char *or_none(const char *text)
{
	return text != NULL ? text : "(none)";
}

/* In the child: parse, and say what came of it. The words are copied: getopt moves them. */
static _Noreturn void child(const char *const *words)
{
	static char copies[16][128];
	static char *argv[17];
	int argc = 0;
	for (; words[argc] != NULL && argc < 16; argc++) {
		snprintf(copies[argc], sizeof(copies[argc]), "%s", words[argc]);
		argv[argc] = copies[argc];
	}
	int first = args_parse(&spec, argc, argv);
	printf("flag=%d one=%d count=%" PRIu64 " port=%" PRIu64, got.flag, got.one, got.count, got.port);
	printf(" size=%" PRIu64, got.size);
	printf(" rate=%" PRIu64 " delay=%" PRIu64 " text=%s file=%s mode=%d", got.rate, got.delay, or_none(got.text),
	       or_none(got.file), got.mode);
	printf(" to=%d:%s trace=%d |", got.to.given, or_none(got.to.host), diag_trace);
	for (; first < argc; first++)
		printf(" %s", argv[first]);
	exit(fflush(stdout) != 0);
}

static void read_all(int fd, char *text, size_t cap)
{
	size_t len = 0;
	ssize_t n;
	while (len < cap - 1 && (n = read(fd, text + len, cap - 1 - len)) > 0)
		len += (size_t)n;
	text[len] = '\0';
	close(fd);
}

/* All that a child says fits into its pipes. */
static int run_with(void (*body)(const char *const *), const char *const *words)
{
	int out_fds[2], err_fds[2], status = 0;
	if (pipe(out_fds) < 0 || pipe(err_fds) < 0)
		abort();
	fflush(NULL);
	pid_t pid = fork();
	if (pid == 0) {
		dup2(out_fds[1], STDOUT_FILENO);
		dup2(err_fds[1], STDERR_FILENO);
		body(words);
		_exit(77);
	}
	close(out_fds[1]);
	close(err_fds[1]);
	waitpid(pid, &status, 0);
	read_all(out_fds[0], out, sizeof(out));
	read_all(err_fds[0], err, sizeof(err));
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int run(const char *const *words)
{
	return run_with(child, words);
}

#define WORDS(...) ((const char *const[]){ "/path/of/demo", __VA_ARGS__, NULL })

/* The parsed values, or the operands behind the bar, are among what the child printed; stderr has nothing. */
#define PARSES(want, ...) parses(WORDS(__VA_ARGS__), (want), __LINE__)
static void parses(const char *const *words, const char *want, int line)
{
	int status = run(words);
	if (!check_report(status == 0 && strstr(out, want) != NULL && err[0] == '\0', __FILE__, line, want))
		fprintf(stderr, "    status %d, stdout \"%s\", stderr \"%s\"\n", status, out, err);
}

/* Exactly this complaint, in one line, and status 2. */
#define REFUSES(want, ...) refuses(WORDS(__VA_ARGS__), (want), __LINE__)
static void refuses(const char *const *words, const char *want, int line)
{
	char text[512];
	int status = run(words);
	snprintf(text, sizeof(text), "demo: %s (try 'demo --help')\n", want);
	if (!check_report(status == 2 && out[0] == '\0' && strcmp(err, text) == 0, __FILE__, line, want))
		fprintf(stderr, "    status %d, stdout \"%s\", stderr \"%s\"\n", status, out, err);
}

/* --- values ------------------------------------------------------------------------------------------------------ */

static void test_defaults_stay(void)
{
	CHECK_INT(run((const char *const[]){ "demo", NULL }), 0);
	CHECK_STR(out, "flag=0 one=0 count=7 port=0 size=65536 rate=0 delay=250000000 text=some file=(none) mode=0 "
		       "to=0:(none) trace=0 |");
}

static void test_every_spelling(void)
{
	PARSES("flag=1 one=0", "-f");
	PARSES("flag=1 one=0", "--flag");
	PARSES("flag=1 one=1", "-f1");
	PARSES("flag=0 one=1", "-1");
	PARSES("count=42", "-c", "42");
	PARSES("count=42", "-c42");
	PARSES("flag=1 one=0 count=42", "-fc42");
	PARSES("count=42", "--count", "42");
	PARSES("count=42", "--count=42");
	PARSES("count=9", "-c", "8", "-c", "9");
	PARSES("port=65535", "--port=65535");
	PARSES("port=0", "-p0");
	PARSES("size=65536", "-s", "64K");
	PARSES("size=1048576", "--size=1MiB");
	PARSES("rate=1250000", "--rate", "10mbit");
	PARSES("delay=1500000000", "-d1.5s");
	PARSES("text=-f ", "-x", "-f");
	PARSES("text= ", "--text=");
	PARSES("text=a=b", "--text=a=b");
	PARSES("file=-", "--file", "-");
	PARSES("mode=1", "-m", "slow");
	PARSES("mode=2", "--mode=none");
}

static void test_operands(void)
{
	PARSES("flag=1 one=0 count=9 ", "a", "-f", "b", "-c", "9", "c");
	PARSES("| a b c", "a", "-f", "b", "-c", "9", "c");
	PARSES("flag=0", "--", "-f", "b");
	PARSES("| -f b", "--", "-f", "b");
	PARSES("| a --flag", "a", "--", "--flag");
	PARSES("| -", "-");
}

static void test_host(void)
{
	PARSES("to=1:h trace=0 |", "-t", "h");
	PARSES("to=1:h trace=0 |", "-th");
	PARSES("to=1:h trace=0 |", "--trans", "h");
	PARSES("to=1:h trace=0 |", "--trans=h");
	PARSES("to=1:h trace=0 |", "-ft", "h");
	PARSES("to=1:h trace=0 | x", "-t", "h", "x");
	PARSES("to=1:h trace=0 | x", "-t", "h", "-f", "x");
	PARSES("to=1:(none) trace=0 |", "-t");
	PARSES("to=1:(none) trace=0 |", "--trans");
	PARSES("to=1:(none) trace=0 | h", "-t", "-s", "1K", "h");
	PARSES("to=1:(none) trace=0 | h", "-t", "--", "h");
	PARSES("size=1024", "-t", "-s", "1K", "h");
	PARSES("to=1:(none) trace=0 | h", "h", "-t");
}

/* The host is the word behind the option, also when an operand stood before it. */
static void test_host_behind_an_operand(void)
{
	PARSES("to=1:h trace=0 | x", "x", "-t", "h");
	PARSES("to=1:h trace=0 | x y", "x", "--trans", "h", "-f", "y");
}

/* --- misuse ------------------------------------------------------------------------------------------------------ */

static void test_missing_values(void)
{
	REFUSES("-s needs a value", "-s");
	REFUSES("-s needs a value", "-fs");
	REFUSES("--size needs a value", "--size");
	REFUSES("--size needs a value", "x", "--size");
	REFUSES("--size: '' is not a size (as 64K or 1MiB)", "--size=");
	REFUSES("--size: '-f' is not a size (as 64K or 1MiB)", "-s", "-f");
}

static void test_unknown_options(void)
{
	REFUSES("unknown option -z", "-z");
	REFUSES("unknown option -z", "-fz");
	REFUSES("unknown option -z", "-zf");
	REFUSES("bad option --nothing", "--nothing");
	REFUSES("bad option --nothing=5", "--nothing=5");
	REFUSES("bad option --nothing", "x", "--nothing", "y");
	REFUSES("bad option --flag=1", "--flag=1");
}

/* The options that every tool has take no value either. */
static void test_values_for_standard_options(void)
{
	REFUSES("bad option --help=x", "--help=x");
	REFUSES("bad option --trace=1", "--trace=1");
	REFUSES("bad option --version=1", "--version=1");
}

/* A letter outside ASCII: the complaint is about it, not about the word before it. */
static void test_letter_outside_ascii(void)
{
	CHECK_INT(run(WORDS("-\xc3\xa9")), 2);
	CHECK(strstr(err, "option") != NULL);
	CHECK(strstr(err, "/path/of/demo") == NULL);
}

static void test_ranges(void)
{
	REFUSES("--count: '1' is not within 2 to 100", "-c", "1");
	REFUSES("--count: '101' is not within 2 to 100", "-c", "101");
	REFUSES("--size: '1023' is not within 1K to 1M", "-s", "1023");
	REFUSES("--size: '2M' is not within 1K to 1M", "--size=2M");
	REFUSES("--delay: '999us' is not within 1.00 ms to 10.0 s", "-d", "999us");
	REFUSES("--delay: '11' is not within 1.00 ms to 10.0 s", "-d", "11");
	REFUSES("--rate: '1' is below the least, 8.00 kbit/s", "--rate", "1");
	REFUSES("--port: '65536' is not within 0 to 65535", "-p", "65536");
	PARSES("count=2 ", "-c", "2");
	PARSES("count=100 ", "-c", "100");
	PARSES("size=1024 ", "-s", "1K");
	PARSES("size=1048576 ", "-s", "1M");
	PARSES("rate=1000 ", "--rate", "8k");
	PARSES("rate=125000000000 ", "--rate", "1000g");
}

static void test_not_a_value(void)
{
	REFUSES("--count: '-5' is not a whole number", "--count=-5");
	REFUSES("--count: '1.5' is not a whole number", "-c1.5");
	REFUSES("--port: 'http' is not a port (0 to 65535)", "-p", "http");
	REFUSES("--rate: 'fast' is not a rate (as 10mbit or 1GB/s)", "--rate=fast");
	REFUSES("--delay: '5K' is not a duration (as 250ms or 1.5s)", "-d", "5K");
	REFUSES("--mode: 'fas' is none of fast, slow, none", "-m", "fas");
	REFUSES("--mode: '' is none of fast, slow, none", "--mode=");
}

static void call_misuse(const char *const *words)
{
	args_misuse("%s and %s exclude each other", words[0], words[1]);
}

static _Noreturn void list_child(const char *const *words)
{
	static char *argv[ARG_LIST_MAX * 2 + 8];
	int argc = 0;
	while (words[argc] != NULL && argc < (int)COUNT_OF(argv) - 1) {
		argv[argc] = (char *)(uintptr_t)words[argc];
		argc++;
	}
	int first = args_parse(&list_spec, argc, argv);
	for (unsigned i = 0; i < said.n; i++)
		printf("%s=%s ", said.said[i].option, said.said[i].value);
	printf("| %s", or_none(argv[first]));
	exit(fflush(stdout) != 0);
}

static void test_list(void)
{
	const char *words[ARG_LIST_MAX * 2 + 4] = { "demo", "--allow", "a", "x", "-db", "--allow=c", "--deny", "d" };
	CHECK_INT(run_with(list_child, words), 0);
	CHECK_STR(out, "allow=a deny=b allow=c deny=d | x");
	int n = 1;
	while (n < 1 + ARG_LIST_MAX)
		words[n++] = "-da";
	words[n] = NULL;
	CHECK_INT(run_with(list_child, words), 0);
	words[n] = "-da";
	words[n + 1] = NULL;
	CHECK_INT(run_with(list_child, words), 2);
	CHECK_STR(err, "demo: --deny: more than 64 times (try 'demo --help')\n");
}

static void test_misuse(void)
{
	CHECK_INT(run_with(call_misuse, (const char *const[]){ "-4", "-6", NULL }), 2);
	CHECK_STR(err, "demo: -4 and -6 exclude each other (try 'demo --help')\n");
	CHECK_STR(out, "");
}

static void test_trace(void)
{
	PARSES("trace=1", "--trace");
	setenv("TCPLAB_TRACE", "1", 1);
	PARSES("trace=1", "-f");
	setenv("TCPLAB_TRACE", "0", 1);
	PARSES("trace=0", "-f");
	PARSES("trace=1", "--trace");
	setenv("TCPLAB_TRACE", "", 1);
	PARSES("trace=0", "-f");
	unsetenv("TCPLAB_TRACE");
}

/* --- the printers ------------------------------------------------------------------------------------------------ */

/* Calls check for each line of out. */
static void each_line(void (*check)(const char *line, size_t len))
{
	for (const char *line = out; *line != '\0';) {
		size_t len = strcspn(line, "\n");
		check(line, len);
		line += len + (line[len] == '\n');
	}
}

static void check_width(const char *line, size_t len)
{
	if (!CHECK(len <= 100))
		fprintf(stderr, "    %.*s\n", (int)len, line);
	CHECK(len == 0 || line[len - 1] != ' ');
}

static void test_help(void)
{
	static const char *const parts[] = {
		"usage: demo -t HOST [options]\n       demo FILE...\n\ndemo: shows what args can do\n",
		"\nFirst:\n",
		"\nSecond:\n",
		"  -f, --flag                a flag\n",
		"  -1, --one                 a digit\n",
		"  -c, --count N             a count (default 7)\n",
		"  -p, --port PORT           a port\n",
		"64K)\n",
		"      --rate RATE           a rate\n",
		"  -d, --delay D             a delay (default 250 ms)\n",
		"  -x, --text TEXT           a text (default some)\n",
		"      --file FILE           a file\n",
		"  -m, --mode MODE           a choice (default fast)\n",
		"  -t, --trans [HOST]        a host, or none\n",
		"      --trace ",
		"      --help ",
		"  -V, --version ",
		"\nExamples:\n  demo -t there\n      goes there\n",
		"\nExit status:\n",
		"  3 It was odd.\n",
	};
	CHECK_INT(run(WORDS("--help")), 0);
	CHECK_STR(err, "");
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		if (!CHECK(strstr(out, parts[i]) != NULL))
			fprintf(stderr, "    --help does not say \"%s\"\n", parts[i]);
	each_line(check_width);
}

/* Before anything else is complained about: whoever asks for help gets it. Defaults are those of the source. */
static void test_help_comes_first(void)
{
	CHECK_INT(run(WORDS("-c", "50", "--help", "--nothing")), 0);
	CHECK(strstr(out, "usage: demo") == out);
	CHECK_INT(run(WORDS("--nothing", "--help")), 2);
}

static void into_full_disk(const char *const *words)
{
	int fd = open("/dev/full", O_WRONLY);
	if (fd >= 0)
		dup2(fd, STDOUT_FILENO);
	child(words);
}

static void test_help_that_cannot_be_written(void)
{
	if (access("/dev/full", W_OK) == 0)
		CHECK_INT(run_with(into_full_disk, WORDS("--help")), 1);
}

static void test_version(void)
{
	CHECK_INT(run(WORDS("--version")), 0);
	CHECK_STR(out, "demo (tcplab) " TCPLAB_VERSION "\n");
	CHECK_INT(run(WORDS("-V")), 0);
	CHECK_STR(out, "demo (tcplab) " TCPLAB_VERSION "\n");
	CHECK_INT(run(WORDS("-fV")), 0);
	CHECK_STR(err, "");
}

/* A line of roff that begins with a dot is a request, and only these are used; one with ' in front would be another. */
static void check_roff(const char *line, size_t len)
{
	static const char *const requests[] = { ".TH ", ".SH ", ".SS ", ".TP\n", ".B ", ".PP\n", ".br\n" };
	CHECK(len > 0 && line[0] != '\'');
	if (line[0] != '.')
		return;
	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++)
		if (strncmp(line, requests[i], strlen(requests[i])) == 0)
			return;
	CHECK(false);
	fprintf(stderr, "    %.*s\n", (int)len, line);
}

static void test_man(void)
{
	static const char *const sections[] = {
		".TH tcplab-demo 1 ",
		"\n.SH NAME\ntcplab-demo \\- shows",
		"\n.SH SYNOPSIS\n",
		"\n.SH DESCRIPTION\n",
		"\n.SH OPTIONS\n",
		"\n.SS First\n",
		"\n.SS Second\n",
		"\n.SH EXIT STATUS\n",
		"\n.SH EXAMPLES\n",
		"\n.SH ENVIRONMENT\n",
		"\n.SH SEE ALSO\ntcplab(1).\n",
		"\n.B \\-c, \\-\\-count N\na count (default 7)\n",
		"\n.B \\-\\-rate RATE\n",
		"\n.B \\-t, \\-\\-trans [HOST]\n",
		"\n.B 3\nIt was odd.\n",
		"\n.B 130, 143\n",
		"\n.B demo \\-t there\ngoes there\n",
		"\n.B TCPLAB_TRACE\n",
		"\n\\&.starts with a dot and has a \\e and a\\-hyphen\n",
		"\n.B \\-\\-trace\n",
		"\n.B \\-V, \\-\\-version\n",
	};
	CHECK_INT(run(WORDS("--print-man")), 0);
	CHECK(strncmp(out, ".TH ", 4) == 0);
	CHECK_STR(err, "");
	for (size_t i = 0; i < sizeof(sections) / sizeof(sections[0]); i++)
		if (!CHECK(strstr(out, sections[i]) != NULL))
			fprintf(stderr, "    the man page has no \"%s\"\n", sections[i]);
	each_line(check_roff);
}

static void test_completion(void)
{
	CHECK_INT(run(WORDS("--print-completion")), 0);
	CHECK_STR(out, "--flag flag\n--one flag\n--count value\n--port value\n--size value\n--rate value\n"
		       "--delay value\n--text value\n--file file\n--mode choice fast slow none\n--trans host\n"
		       "--letters flag\n--trace flag\n--help flag\n--version flag\n");
	CHECK_STR(err, "");
}

int main(void)
{
	diag_tool = "demo";
	unsetenv("TCPLAB_TRACE");
	unsetenv("POSIXLY_CORRECT");
	test_defaults_stay();
	test_every_spelling();
	test_operands();
	test_host();
	test_host_behind_an_operand();
	test_missing_values();
	test_unknown_options();
	test_values_for_standard_options();
	test_letter_outside_ascii();
	test_ranges();
	test_not_a_value();
	test_list();
	test_misuse();
	test_trace();
	test_help();
	test_help_comes_first();
	test_help_that_cannot_be_written();
	test_version();
	test_man();
	test_completion();
	return check_done();
}
