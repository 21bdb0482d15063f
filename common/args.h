/* args.h - command lines from a table: one row for each option. Layer 0.
 *
 * The row drives everything: getopt_long(3), the range check, `--help`, the man page and the bash completion, so that
 * none of them can drift from the code. The default shown is read from *into before parsing. Every tool gets --help,
 * --version and --trace without a row of its own; TCPLAB_TRACE=1 in the environment is the same as --trace.
 *
 * Misuse prints one line on stderr and ends the process with status 2. --help, --version, --print-man and
 * --print-completion print to stdout and end it with status 0. Strings are borrowed from argv. */
#ifndef TCPLAB_ARGS_H
#define TCPLAB_ARGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum arg_kind {
	ARG_FLAG,     /* bool *            set to true                                                  */
	ARG_COUNT,    /* uint64_t *        a whole number                                               */
	ARG_PORT,     /* uint64_t *        0 to 65535                                                   */
	ARG_SIZE,     /* uint64_t *        bytes, see units.h                                           */
	ARG_RATE,     /* uint64_t *        bytes each second                                            */
	ARG_DURATION, /* uint64_t *        nanoseconds                                                  */
	ARG_STR,      /* const char **     as it stands                                                 */
	ARG_FILE,     /* const char **     as it stands; completed as a file name                       */
	ARG_CHOICE,   /* int *             the index of one of `choices`                                */
	ARG_HOST,     /* struct arg_host * the next word if it is no option, else the flag alone        */
	ARG_LIST,     /* struct arg_list * each time it is given, one more                              */
};

/* For ARG_LIST, options that may be given several times, and whose order matters: rows that lead to the same list share it. */
enum { ARG_LIST_MAX = 64 };
struct arg_list {
	unsigned n;
	struct arg_said {
		const char *option, *value; /* the long name, without dashes */
	} said[ARG_LIST_MAX];
};

/* For ARG_HOST, an option that is a flag, or takes a host: `-t HOST`, and `-t -l 1K HOST` too. */
struct arg_host {
	int given;        /* the option was there */
	const char *host; /* NULL when no host followed it */
};

struct arg {
	char short_name;       /* '\0': none */
	const char *long_name; /* NULL: this row is a heading, its text is in `help` */
	enum arg_kind kind;
	void *into;
	uint64_t min, max;      /* for the five kinds of number; max 0 means no limit */
	const char *value_name; /* "LEN"; NULL for a flag */
	const char *help;
	const char *const *choices; /* for ARG_CHOICE: ends with NULL */
};

struct arg_example {
	const char *command, *text;
};

/* Everything --help and the man page say. Arrays end with an all-zero row; only exit_statuses may be NULL. */
struct arg_spec {
	const char *tool;
	const char *one_line;        /* "measures bandwidth ...", without the tool's name */
	const char *const *synopsis; /* one line for each way to call it; ends with NULL */
	const char *const *about;    /* paragraphs; ends with NULL */
	const struct arg *args;
	const struct arg_example *examples;
	const struct arg_example *exit_statuses; /* beyond 0, 1, 2, 130 and 143, which every tool has */
	const char *see_also;
	bool stops_at_operand; /* what follows the first one is another program's: `tool --option CMD --its-option` */
};

/* Parses argv, filling what the rows point to. Returns the index of the first operand; operands may stand anywhere
 * before a "--". It may be called again with the same words in their first order: argv's are moved, operands behind
 * options. */
int args_parse(const struct arg_spec *spec, int argc, char **argv);

/* One line "tool: text (try 'tool --help')" and exit status 2: for what the table cannot express. */
_Noreturn void args_misuse(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
