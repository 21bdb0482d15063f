/* args.c - parsing comes first; the three printers (--help, the man page, the completion) follow, each a walk over the
 * same table. */
#include "args.h"

#include "cdefs.h"
#include "diag.h"
#include "mem.h"
#include "units.h"

#include <ctype.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What getopt_long returns: a letter, OPERAND, one of the standard options, or a row's number plus ROW_BASE. */
enum { OPERAND = 1, HELP = 300, VERSION, TRACE, PRINT_MAN, PRINT_COMPLETION, ROW_BASE = 1000 };

static const struct option standard_options[] = {
	{ "help", no_argument, NULL, HELP },
	{ "version", no_argument, NULL, VERSION },
	{ "trace", no_argument, NULL, TRACE },
	{ "print-man", no_argument, NULL, PRINT_MAN },
	{ "print-completion", no_argument, NULL, PRINT_COMPLETION },
};

static const struct arg standard_rows[] = {
	{ .help = "Every tool:" },
	{ .long_name = "trace", .help = "a line on stderr for each system call of interest" },
	{ .long_name = "help", .help = "this text" },
	{ .short_name = 'V', .long_name = "version", .help = "the version" },
	{ 0 },
};

static bool is_end(const struct arg *row)
{
	return row->long_name == NULL && row->help == NULL;
}

void args_misuse(const char *fmt, ...)
{
	char text[512];
	va_list args;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	warnf("%s (try '%s --help')", text, diag_tool);
	exit(2);
}

/* --- values ------------------------------------------------------------------------------------------------------ */

/* What a number looks like in this row's unit: for defaults and for range errors. */
static const char *value_text(const struct arg *row, uint64_t value, char out[static UNITS_TEXT])
{
	switch (row->kind) {
	case ARG_SIZE:
		return units_size_short(out, value);
	case ARG_RATE:
		return units_rate(out, (double)value);
	case ARG_DURATION:
		return units_duration(out, value);
	default:
		snprintf(out, UNITS_TEXT, "%llu", (unsigned long long)value);
		return out;
	}
}

static void set_number(const struct arg *row, const char *text)
{
	static const char *const wanted[] = {
		[ARG_COUNT] = "a whole number",
		[ARG_PORT] = "a port (0 to 65535)",
		[ARG_SIZE] = "a size (as 64K or 1MiB)",
		[ARG_RATE] = "a rate (as 10mbit or 1GB/s)",
		[ARG_DURATION] = "a duration (as 250ms or 1.5s)",
	};
	uint64_t value = 0;
	bool ok = row->kind == ARG_SIZE       ? units_parse_size(text, &value)
		  : row->kind == ARG_RATE     ? units_parse_rate(text, &value)
		  : row->kind == ARG_DURATION ? units_parse_duration(text, &value)
					      : units_parse_count(text, &value);
	uint64_t max = row->kind == ARG_PORT ? 65535 : row->max != 0 ? row->max : UINT64_MAX;
	if (!ok)
		args_misuse("--%s: '%s' is not %s", row->long_name, text, wanted[row->kind]);
	if (value < row->min || value > max) {
		char low[UNITS_TEXT], high[UNITS_TEXT];
		value_text(row, row->min, low);
		if (max == UINT64_MAX)
			args_misuse("--%s: '%s' is below the least, %s", row->long_name, text, low);
		args_misuse("--%s: '%s' is not within %s to %s", row->long_name, text, low, value_text(row, max, high));
	}
	*(uint64_t *)row->into = value;
}

static void set_choice(const struct arg *row, const char *text)
{
	char list[256] = "";
	for (int i = 0; row->choices[i] != NULL; i++) {
		if (strcmp(row->choices[i], text) == 0) {
			*(int *)row->into = i;
			return;
		}
		size_t used = strlen(list);
		snprintf(list + used, sizeof(list) - used, "%s%s", i > 0 ? ", " : "", row->choices[i]);
	}
	args_misuse("--%s: '%s' is none of %s", row->long_name, text, list);
}

static void set(const struct arg *row, char **argv)
{
	switch (row->kind) {
	case ARG_FLAG:
		*(bool *)row->into = true;
		break;
	case ARG_STR:
	case ARG_FILE:
		*(const char **)row->into = optarg;
		break;
	case ARG_CHOICE:
		set_choice(row, optarg);
		break;
	case ARG_LIST: {
		struct arg_list *list = row->into;
		if (list->n == ARG_LIST_MAX)
			args_misuse("--%s: more than %d times", row->long_name, ARG_LIST_MAX);
		list->said[list->n++] = (struct arg_said){ .option = row->long_name, .value = optarg };
		break;
	}
	case ARG_HOST: {
		struct arg_host *host = row->into;
		host->given = true;
		if (optarg == NULL && argv[optind] != NULL && argv[optind][0] != '-')
			optarg = argv[optind++];
		if (optarg != NULL)
			host->host = optarg;
		break;
	}
	default:
		set_number(row, optarg);
	}
}

/* --- --help ------------------------------------------------------------------------------------------------------ */

/* Prints text folded at `width` columns, each line but the first indented; the cursor stands at column `indent`. */
static void print_folded(const char *text, size_t indent, size_t width)
{
	size_t column = indent;
	while (*text != '\0') {
		size_t word = strcspn(text, " ");
		if (column > indent && column + 1 + word > width) {
			printf("\n%*s", (int)indent, "");
			column = indent;
		} else if (column > indent) {
			putchar(' ');
			column++;
		}
		fwrite(text, 1, word, stdout);
		column += word;
		text += word + strspn(text + word, " ");
	}
	putchar('\n');
}

/* "-l, --length LEN", and into `note` the default or the choices, if there is anything to say. */
static void describe(const struct arg *row, char left[static 64], char note[static 160])
{
	char short_text[8] = "    ";
	if (row->short_name != '\0')
		snprintf(short_text, sizeof(short_text), "-%c, ", row->short_name);
	const char *open = row->kind == ARG_HOST ? " [" : " ", *close = row->kind == ARG_HOST ? "]" : "";
	bool has_value = row->value_name != NULL;
	snprintf(left, 64, "%s--%s%s%s%s", short_text, row->long_name, has_value ? open : "",
		 has_value ? row->value_name : "", has_value ? close : "");

	char text[UNITS_TEXT];
	note[0] = '\0';
	if (row->kind >= ARG_COUNT && row->kind <= ARG_DURATION && *(const uint64_t *)row->into != 0)
		snprintf(note, 160, " (default %s)", value_text(row, *(const uint64_t *)row->into, text));
	else if ((row->kind == ARG_STR || row->kind == ARG_FILE) && *(const char *const *)row->into != NULL)
		snprintf(note, 160, " (default %s)", *(const char *const *)row->into);
	else if (row->kind == ARG_CHOICE && *(const int *)row->into >= 0)
		snprintf(note, 160, " (default %s)", row->choices[*(const int *)row->into]);
}

static void print_rows(const struct arg *row)
{
	enum { COLUMN = 28, WIDTH = 100 };
	for (; !is_end(row); row++) {
		if (row->long_name == NULL) {
			printf("\n%s\n", row->help);
			continue;
		}
		char left[64], note[160], right[1024];
		describe(row, left, note);
		snprintf(right, sizeof(right), "%s%s", row->help, note);
		printf("  %-*s", COLUMN - 2, left);
		if (strlen(left) > COLUMN - 4)
			printf("\n%*s", COLUMN, "");
		print_folded(right, COLUMN, WIDTH);
	}
}

static void print_help(const struct arg_spec *spec)
{
	for (size_t i = 0; spec->synopsis[i] != NULL; i++)
		printf("%s %s %s\n", i == 0 ? "usage:" : "      ", spec->tool, spec->synopsis[i]);
	printf("\n%s: %s\n", spec->tool, spec->one_line);
	print_rows(spec->args);
	print_rows(standard_rows);
	printf("\nExamples:\n");
	for (const struct arg_example *e = spec->examples; e->command != NULL; e++) {
		printf("  %s\n      ", e->command);
		print_folded(e->text, 6, 100);
	}
	printf("\nExit status:\n"
	       "  0 done, 1 failed at run time, 2 wrong usage, 130/143 after SIGINT/SIGTERM (report printed first)\n");
	for (const struct arg_example *e = spec->exit_statuses; e != NULL && e->command != NULL; e++)
		printf("  %s %s\n", e->command, e->text);
	printf("\nDurations: 250ms 1.5s 2m. Sizes: 64K 1MiB (K = 1024). Rates: 10mbit 1.5Gbit/s 100MB/s (decimal).\n");
}

/* --- the man page ------------------------------------------------------------------------------------------------ */

/* Text for roff: backslashes and hyphens escaped, no line may begin with a control character. */
static void print_roff(const char *text)
{
	if (*text == '.' || *text == '\'')
		fputs("\\&", stdout);
	for (; *text != '\0'; text++) {
		if (*text == '\\')
			fputs("\\e", stdout);
		else if (*text == '-')
			fputs("\\-", stdout);
		else
			putchar(*text);
	}
}

static void print_man_row(const struct arg *row)
{
	char left[64], note[160];
	if (row->long_name == NULL) {
		fputs(".SS ", stdout);
		fwrite(row->help, 1, strcspn(row->help, ":"), stdout);
		putchar('\n');
		return;
	}
	describe(row, left, note);
	fputs(".TP\n.B ", stdout);
	print_roff(left + strspn(left, " "));
	putchar('\n');
	print_roff(row->help);
	print_roff(note);
	putchar('\n');
}

static void print_man_examples(const struct arg_example *e)
{
	for (; e != NULL && e->command != NULL; e++) {
		fputs(".TP\n.B ", stdout);
		print_roff(e->command);
		putchar('\n');
		print_roff(e->text);
		putchar('\n');
	}
}

static void print_man(const struct arg_spec *spec)
{
	/* WHY tcplab-TOOL: a page named echo.1 or netcat.1 would hide, or overwrite, another program's. */
	printf(".TH tcplab-%s 1 \"\" \"tcplab " TCPLAB_VERSION "\" \"tcplab\"\n.SH NAME\ntcplab-%s \\- ", spec->tool,
	       spec->tool);
	print_roff(spec->one_line);
	printf("\n.SH SYNOPSIS\n");
	for (size_t i = 0; spec->synopsis[i] != NULL; i++) {
		printf("%s.B tcplab %s\n", i > 0 ? ".br\n" : "", spec->tool);
		print_roff(spec->synopsis[i]);
		putchar('\n');
	}
	printf(".SH DESCRIPTION\n");
	for (size_t i = 0; spec->about[i] != NULL; i++) {
		fputs(i > 0 ? ".PP\n" : "", stdout);
		print_roff(spec->about[i]);
		putchar('\n');
	}
	printf(".SH OPTIONS\nDurations: 250ms 1.5s 2m. Sizes: 64K 1MiB (K = 1024). "
	       "Rates: 10mbit 1.5Gbit/s 100MB/s (decimal).\n");
	for (const struct arg *row = spec->args; !is_end(row); row++)
		print_man_row(row);
	for (const struct arg *row = standard_rows; !is_end(row); row++)
		print_man_row(row);
	static const struct arg_example statuses[] = {
		{ "0", "Done." },
		{ "1", "Failed at run time: one line on stderr says what, on which object, and why." },
		{ "2", "Wrong usage." },
		{ "130, 143", "Ended by SIGINT or SIGTERM, with the final report printed first." },
		{ 0 },
	};
	printf(".SH EXIT STATUS\n");
	print_man_examples(statuses);
	print_man_examples(spec->exit_statuses);
	printf(".SH EXAMPLES\n");
	print_man_examples(spec->examples);
	printf(".SH ENVIRONMENT\n.TP\n.B TCPLAB_TRACE\n1 is the same as \\-\\-trace.\n");
	printf(".SH SEE ALSO\n");
	print_roff(spec->see_also);
	putchar('\n');
}

/* --- bash completion --------------------------------------------------------------------------------------------- */

/* A line for each option, "--name KIND words": scripts/completion makes the shell function of it. */
static void print_completion(const struct arg_spec *spec)
{
	for (const struct arg *row = spec->args; !is_end(row); row++) {
		if (row->long_name == NULL)
			continue;
		printf("--%s %s", row->long_name,
		       row->kind == ARG_FLAG     ? "flag"
		       : row->kind == ARG_CHOICE ? "choice"
		       : row->kind == ARG_FILE   ? "file"
		       : row->kind == ARG_HOST   ? "host"
						 : "value");
		for (int i = 0; row->kind == ARG_CHOICE && row->choices[i] != NULL; i++)
			printf(" %s", row->choices[i]);
		putchar('\n');
	}
	printf("--trace flag\n--help flag\n--version flag\n");
}

/* --- parsing ----------------------------------------------------------------------------------------------------- */

static _Noreturn void print_and_exit(int what, const struct arg_spec *spec)
{
	switch (what) {
	case HELP:
		print_help(spec);
		break;
	case PRINT_MAN:
		print_man(spec);
		break;
	case PRINT_COMPLETION:
		print_completion(spec);
		break;
	default:
		printf("%s (tcplab) " TCPLAB_VERSION "\n", spec->tool);
	}
	if (fflush(stdout) != 0 || ferror(stdout))
		die("cannot write to standard output");
	exit(0);
}

/* The table as getopt_long(3) wants it: its two strings, from our rows. */
struct getopt_tables {
	char *short_options;
	struct option *long_options;
	int *row_of_letter; /* indexed by the short option's character */
};

static void build_tables(const struct arg_spec *spec, struct getopt_tables *t)
{
	size_t n = 0;
	while (!is_end(&spec->args[n]))
		n++;
	t->short_options = xcalloc(3 * n + 5, 1);
	t->long_options = xcalloc(n + COUNT_OF(standard_options) + 1, sizeof(t->long_options[0]));
	t->row_of_letter = xcalloc(256, sizeof(t->row_of_letter[0]));

	char *s = t->short_options;
	struct option *l = t->long_options;
	/* '-': operands come in their turn, as OPERAND; without it argv is permuted, by each libc at another time. '+':
	 * it ends there. */
	*s++ = spec->stops_at_operand ? '+' : '-';
	*s++ = ':'; /* a missing value is reported as ':', not as '?' */
	for (size_t i = 0; i < n; i++) {
		const struct arg *row = &spec->args[i];
		int takes = row->kind == ARG_FLAG   ? no_argument
			    : row->kind == ARG_HOST ? optional_argument
						    : required_argument;
		if (row->long_name == NULL)
			continue;
		*l++ = (struct option){ row->long_name, takes, NULL, ROW_BASE + (int)i };
		if (row->short_name == '\0')
			continue;
		t->row_of_letter[(unsigned char)row->short_name] = (int)i;
		*s++ = row->short_name;
		for (int colons = 0; colons < takes; colons++)
			*s++ = ':';
	}
	*s++ = 'V';
	memcpy(l, standard_options, sizeof(standard_options));
}

/* What getopt_long did not like. With a short option the word may go on ("-xyz"), so only optopt names it. */
static _Noreturn void complain(const struct arg_spec *spec, int c, const char *word)
{
	if (c == ':' && optopt >= ROW_BASE)
		args_misuse("--%s needs a value", spec->args[optopt - ROW_BASE].long_name);
	if (c == ':')
		args_misuse("-%c needs a value", optopt);
	if (isgraph(optopt & 0xff) && optopt < 256)
		args_misuse("unknown option -%c", optopt);
	args_misuse("bad option%s%s", word[0] == '-' ? " " : "", word[0] == '-' ? word : "");
}

int args_parse(const struct arg_spec *spec, int argc, char **argv)
{
	struct getopt_tables t;
	char **operands = xcalloc((size_t)argc + 1, sizeof(operands[0]));
	int n_operands = 0, c;
	build_tables(spec, &t);
	const char *trace = getenv("TCPLAB_TRACE");
	diag_trace = trace != NULL && strcmp(trace, "1") == 0;
	opterr = 0;

	optind = 0; /* from the beginning, also the second time (GNU and musl; getopt(3)) */
	while ((c = getopt_long(argc, argv, t.short_options, t.long_options, NULL)) != -1) {
		if (c == ':' || c == '?')
			complain(spec, c, argv[optind > 0 ? optind - 1 : 0]);
		else if (c == OPERAND)
			operands[n_operands++] = optarg;
		else if (c == TRACE)
			diag_trace = true;
		else if (c == 'V' || (c >= HELP && c < ROW_BASE))
			print_and_exit(c, spec);
		else
			set(&spec->args[c < ROW_BASE ? t.row_of_letter[c] : c - ROW_BASE], argv);
	}
	/* The operands in front of those that follow a "--": what stood there has been read. */
	int first = optind - n_operands;
	for (int i = 0; i < n_operands; i++)
		argv[first + i] = operands[i];
	free(operands);
	free(t.short_options);
	free(t.long_options);
	free(t.row_of_letter);
	return first;
}
