/* orders.c - the relay's family: `tcprelay stat | set | top | drain PATH`, the other end of control.c. */
#include "relay.h"

#include "args.h"
#include "buf.h"
#include "clock.h"
#include "diag.h"
#include "os.h"
#include "record.h"
#include "screen.h"
#include "sig.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PIECE = 64 * 1024 };
#define REPLY_LIMIT_NS ((uint64_t)10 * NS_PER_S) /* without a byte of it */

/* --- question and answer ------------------------------------------------------------------------------------------ */

/* An answer that has come as a whole: a NUL follows it. */
struct reply {
	struct buf in;
	const char *text; /* without the empty line */
	size_t len;
};

static int has_ended(struct net_error *e, const char *path)
{
	errno = ECONNRESET;
	net_fail(e, "hear from the relay at", path);
	e->reason = "it has ended";
	return -1;
}

/* The end is an empty line, and no other line is. Where it begins: "\n\n", or at once a newline. -1: not there yet. */
static ssize_t end_of(const struct buf *in, size_t from)
{
	if (buf_len(in) > 0 && buf_peek(in)[0] == '\n')
		return 0;
	return buf_find(in, "\n\n", 2, from > 0 ? from - 1 : 0);
}

/* BLOCKS. 0; or -1 with *e, ECANCELED after a signal. */
static int receive(int fd, struct reply *r, const char *path, struct net_error *e)
{
	ssize_t end;
	buf_consume(&r->in, buf_len(&r->in));
	for (size_t seen = 0; (end = end_of(&r->in, seen)) < 0;) {
		if (sig_wait_fd(fd, POLLIN, REPLY_LIMIT_NS) < 0)
			return net_fail(e, "hear from the relay at", path);
		seen = buf_len(&r->in);
		ssize_t n = recv(fd, buf_reserve(&r->in, PIECE), PIECE, 0);
		if (n < 0 && errno != ECONNRESET)
			return net_fail(e, "hear from the relay at", path);
		if (n <= 0)
			return has_ended(e, path);
		buf_commit(&r->in, (size_t)n);
	}
	r->text = (const char *)buf_peek(&r->in);
	r->len = end == 0 && r->text[0] == '\n' ? 0 : (size_t)end + 1;
	return 0;
}

/* 0, or -1 with *e; a refusal is kept in `why`. */
static int ask(int fd, const char *question, struct reply *r, const char *path, struct net_error *e)
{
	static char why[IMPAIR_WHY];
	static const char error[] = "error: ";
	size_t len = strlen(question);
	if (send(fd, question, len, MSG_NOSIGNAL) != (ssize_t)len || send(fd, "\n", 1, MSG_NOSIGNAL) != 1)
		return has_ended(e, path);
	if (receive(fd, r, path, e) < 0)
		return -1;
	if (r->len < sizeof(error) || memcmp(r->text, error, sizeof(error) - 1) != 0)
		return 0;
	snprintf(why, sizeof(why), "%.*s", (int)(r->len - sizeof(error)), r->text + sizeof(error) - 1);
	errno = EINVAL;
	net_fail(e, "ask the relay at", path);
	e->reason = why;
	return -1;
}

/* --- once ---------------------------------------------------------------------------------------------------------- */

static int ask_once(const char *path, const char *question, bool json)
{
	struct net_error e;
	struct reply r = { 0 };
	int fd = relay_place_connect(path, &e), status = 1;
	sig_open();
	if (fd >= 0 && ask(fd, question, &r, path, &e) == 0) {
		fwrite(r.text, 1, r.len, stdout);
		status = 0;
	} else if (e.sys != ECANCELED) {
		record_error(json, &e);
	}
	if (fd >= 0)
		close(fd);
	buf_free(&r.in);
	return sig_exit_status(record_finish(status));
}

static int order_stat(const char *path, bool json)
{
	char question[32] = "stat json";
	/* A table in a file may be as wide as it likes. */
	if (!json)
		snprintf(question, sizeof(question), "stat %u", isatty(STDOUT_FILENO) ? os_terminal_columns(1000) : 0);
	return ask_once(path, question, json);
}

static int order_set(const char *path, int n, char **words, bool json)
{
	struct impair_spec spec[2] = { impair_default(), impair_default() };
	char question[RELAY_CONTROL_LEN] = "set", why[IMPAIR_WHY];
	for (int i = 0; i < n; i++) {
		size_t len = strlen(question), room = sizeof(question) - len;
		if (strchr(words[i], '\n') != NULL || snprintf(question + len, room, " %s", words[i]) >= (int)room)
			args_misuse("set: too long, or more than a line");
	}
	if (!relay_set_words(spec, question + strlen("set"), why))
		args_misuse("set: %s", why);
	return ask_once(path, question, json);
}

/* --- top ----------------------------------------------------------------------------------------------------------- */

/* Until it is time for the next frame. True: it is over, by a signal or by q. */
static bool wait_for_key(int keys, uint64_t deadline_ns)
{
	struct pollfd fds = { .fd = keys, .events = POLLIN };
	while (clk_mono_ns() < deadline_ns && sig_pending(NULL) == 0) {
		char key = '\0';
		if (sig_wait(&fds, 1, deadline_ns) <= 0)
			continue;
		if (read(keys, &key, 1) <= 0)
			fds.fd = -1;
		if (key == 'q' || key == 'Q')
			return true;
	}
	return sig_pending(NULL) != 0;
}

/* 0: until q or a signal. -1 with *e: the relay has ended. */
static int show_frames(int fd, const char *path, struct screen *screen, int keys, struct net_error *e)
{
	struct reply r = { 0 };
	char question[64];
	unsigned columns, lines;
	int result;
	do {
		screen_size(screen, &columns, &lines);
		snprintf(question, sizeof(question), "top %u %u", columns, lines > 1 ? lines - 1 : 0);
		result = ask(fd, question, &r, path, e);
		if (result == 0)
			screen_show(screen, r.text, r.len);
	} while (result == 0 && !ferror(stdout) && !wait_for_key(keys, clk_mono_ns() + NS_PER_S));
	buf_free(&r.in);
	return result < 0 && e->sys == ECANCELED ? 0 : result;
}

static int order_top(const char *path, bool json)
{
	struct net_error e;
	int fd = relay_place_connect(path, &e), result = -1;
	sig_open();
	if (fd >= 0) {
		struct screen *screen = screen_open();
		result = show_frames(fd, path, screen, screen_take_keys(screen), &e);
		screen_close(screen);
		close(fd);
	}
	if (result < 0)
		record_error(json, &e);
	return sig_exit_status(record_finish(result < 0));
}

/* ------------------------------------------------------------------------------------------------------------------- */

int relay_control_main(const char *verb, int argc, char **argv, bool json)
{
	bool is_set = strcmp(verb, "set") == 0;
	if (argc < 1)
		args_misuse("%s: whose control socket? (its --status PATH)", verb);
	if (argc > 1 && !is_set)
		args_misuse("%s: '%s' is one word too many", verb, argv[1]);
	if (is_set)
		return order_set(argv[0], argc - 1, argv + 1, json);
	if (strcmp(verb, "stat") == 0)
		return order_stat(argv[0], json);
	if (strcmp(verb, "top") == 0)
		return order_top(argv[0], json);
	if (strcmp(verb, "drain") == 0)
		return ask_once(argv[0], "drain", json);
	args_misuse("an order is stat, set, top or drain, not '%s'", verb);
}
