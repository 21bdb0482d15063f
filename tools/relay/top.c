/* top.c - the relay's family, last chapter: the table of flows, once a second, in a terminal.
 *
 *	tcprelay --top ...       in the relay's own terminal: the census of its own loops, drawn by loop 0
 *	tcprelay top PATH        in another one: orders.c asks for the same text through the control socket
 *
 * A terminal is drawn over, on its other screen, and gets back what stood there before. Anything else (a pipe, a file) gets one
 * table after the other, plain text.
 *
 * A terminal that is stopped (Ctrl-S) or slow must not hold up the flows: it is opened anew, non-blocking, by its name, since that
 * flag belongs to the open file and not to the descriptor (fcntl(2)), and the shell's would change with ours. A frame that does
 * not get through as a whole is followed by a complete one a second later. */
#include "relay.h"

#include "clock.h"
#include "mem.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

/* Control sequences that every terminal of the last forty years knows (ECMA-48; the other screen: xterm's ctlseqs). */
#define SCREEN_ENTER "\033[?1049h\033[?25l\033[2J"
#define SCREEN_LEAVE "\033[?25h\033[?1049l"
#define SCREEN_HOME  "\033[H"
#define LINE_END     "\033[K\r\n"
#define SCREEN_REST  "\033[J"

enum { COLUMNS_ASSUMED = 80, LINES_ASSUMED = 24, LEAVE_PATIENCE_MS = 1000 };

/* --- the screen ---------------------------------------------------------------------------------------------------- */

struct relay_screen {
	int fd; /* of the terminal; -1: standard output is none */
};

static int open_terminal(void)
{
	char name[256];
	if (!isatty(STDOUT_FILENO))
		return -1;
	int fd = -1;
	if (ttyname_r(STDOUT_FILENO, name, sizeof(name)) == 0)
		fd = open(name, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	/* Its name may be hidden (another mount namespace): then it has to do as it is. */
	return fd >= 0 ? fd : fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0);
}

static bool has_room(const struct relay_screen *s, int patience_ms)
{
	struct pollfd p = { .fd = s->fd, .events = POLLOUT };
	return patience_ms > 0 && poll(&p, 1, patience_ms) > 0;
}

/* What the terminal does not take in time is left out. */
static void put(const struct relay_screen *s, const char *text, size_t len, int patience_ms)
{
	while (len > 0) {
		ssize_t n = write(s->fd, text, len);
		if (n < 0 && (errno == EINTR || (errno == EAGAIN && has_room(s, patience_ms))))
			continue;
		if (n <= 0)
			return;
		text += n;
		len -= (size_t)n;
	}
}

struct relay_screen *relay_screen_open(void)
{
	struct relay_screen *s = xcalloc(1, sizeof(*s));
	s->fd = open_terminal();
	if (s->fd >= 0)
		put(s, SCREEN_ENTER, strlen(SCREEN_ENTER), 0);
	return s;
}

bool relay_screen_is_terminal(const struct relay_screen *s)
{
	return s->fd >= 0;
}

void relay_screen_size(const struct relay_screen *s, unsigned *columns, unsigned *lines)
{
	struct winsize w = { 0 };
	*columns = *lines = 0;
	if (s->fd < 0)
		return;
	bool is_known = ioctl(s->fd, TIOCGWINSZ, &w) == 0;
	*columns = is_known && w.ws_col > 0 ? w.ws_col : COLUMNS_ASSUMED;
	*lines = is_known && w.ws_row > 0 ? w.ws_row : LINES_ASSUMED;
}

/* WHY the whole frame is put together first: one write, no flicker. The last line of the screen stays free: a newline there
 * would scroll. */
static void draw(const struct relay_screen *s, const char *text, size_t len)
{
	char *frame = NULL;
	size_t frame_len = 0;
	unsigned columns, lines;
	FILE *out = open_memstream(&frame, &frame_len);
	if (out == NULL)
		return;
	relay_screen_size(s, &columns, &lines);
	fputs(SCREEN_HOME, out);
	for (const char *end = text + len; text < end && lines > 1; lines--) {
		size_t n = strcspn(text, "\n");
		fprintf(out, "%.*s" LINE_END, (int)(n < columns ? n : columns), text);
		text += n + 1;
	}
	fputs(SCREEN_REST, out);
	fclose(out);
	put(s, frame, frame_len, 0);
	free(frame);
}

void relay_screen_show(struct relay_screen *s, const char *text, size_t len)
{
	if (s->fd >= 0) {
		draw(s, text, len);
		return;
	}
	flockfile(stdout);
	fwrite(text, 1, len, stdout);
	putchar('\n');
	funlockfile(stdout);
	fflush(stdout);
}

void relay_screen_close(struct relay_screen *s)
{
	if (s == NULL)
		return;
	if (s->fd >= 0) {
		put(s, SCREEN_LEAVE, strlen(SCREEN_LEAVE), LEAVE_PATIENCE_MS);
		close(s->fd);
	}
	free(s);
}

/* --- the relay's own ----------------------------------------------------------------------------------------------- */

struct relay_top {
	struct relay *relay;
	struct relay_screen *screen;
	struct relay_view view;
	struct relay_ask ask;
	struct timer timer;
	bool is_asking;
};

static void on_census(struct relay_ask *ask, const struct relay_census *c)
{
	struct relay_top *top = CONTAINER_OF(ask, struct relay_top, ask);
	unsigned columns, lines;
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	top->is_asking = false;
	if (out == NULL)
		return;
	relay_screen_size(top->screen, &columns, &lines);
	relay_view_text(out, top->relay, c, &top->view, columns, lines > 1 ? lines - 1 : 0);
	if (!relay_screen_is_terminal(top->screen))
		putc('\n', out);
	fclose(out);
	if (relay_screen_is_terminal(top->screen))
		relay_screen_show(top->screen, text, len);
	else
		relay_print(top->relay, stdout, text, len);
	free(text);
}

static void on_second(struct timer *t)
{
	struct relay_top *top = CONTAINER_OF(t, struct relay_top, timer);
	struct reactor *r = loops_get(&top->relay->loops, 0);
	reactor_timer_start(r, t, reactor_now_ns(r) + NS_PER_S, on_second);
	if (top->is_asking)
		return;
	top->is_asking = true;
	relay_census_ask(top->relay, &top->ask, on_census);
}

int relay_top_start(struct relay *relay, struct net_error *e)
{
	(void)e;
	struct relay_top *top = xcalloc(1, sizeof(*top));
	*top = (struct relay_top){ .relay = relay, .screen = relay_screen_open() };
	struct reactor *r = loops_get(&relay->loops, 0);
	reactor_timer_start(r, &top->timer, reactor_now_ns(r), on_second);
	relay->top = top;
	return 0;
}

void relay_top_stop(struct relay *relay)
{
	struct relay_top *top = relay->top;
	if (top == NULL)
		return;
	relay->top = NULL;
	reactor_timer_stop(loops_get(&relay->loops, 0), &top->timer);
	relay_census_cancel(relay, &top->ask);
	relay_screen_close(top->screen);
	relay_view_free(&top->view);
	free(top);
}
