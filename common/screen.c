/* screen.c - see screen.h. */
#include "screen.h"

#include "mem.h"
#include "utf8.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
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

struct screen {
	int fd;                /* of the terminal; -1: standard output is none */
	int keys_fd;           /* of the keyboard; -1: nobody wants keys */
	struct termios before; /* of the keyboard */
};

/* --- the terminal ------------------------------------------------------------------------------------------------- */

/* The terminal behind a descriptor, opened anew. Its name may be hidden (another mount namespace): then it has to do as
 * it is. */
static int open_terminal(int fd, int mode)
{
	char name[256];
	int anew = -1;
	if (!isatty(fd))
		return -1;
	if (ttyname_r(fd, name, sizeof(name)) == 0)
		anew = open(name, mode | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	return anew >= 0 ? anew : fcntl(fd, F_DUPFD_CLOEXEC, 0);
}

static bool has_room(const struct screen *s, int patience_ms)
{
	struct pollfd p = { .fd = s->fd, .events = POLLOUT };
	return patience_ms > 0 && poll(&p, 1, patience_ms) > 0;
}

/* What the terminal does not take in time is left out. */
static void put(const struct screen *s, const char *text, size_t len, int patience_ms)
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

struct screen *screen_open(void)
{
	struct screen *s = xcalloc(1, sizeof(*s));
	s->fd = open_terminal(STDOUT_FILENO, O_WRONLY);
	s->keys_fd = -1;
	if (s->fd >= 0)
		put(s, SCREEN_ENTER, strlen(SCREEN_ENTER), 0);
	return s;
}

/* --- the keyboard ------------------------------------------------------------------------------------------------- */

/* What is not ours any more (a shell had the terminal meanwhile) is what it will get back. */
static int set_keys(struct screen *s)
{
	struct termios keys;
	if (tcgetattr(s->keys_fd, &keys) < 0)
		return -1;
	if (keys.c_lflag & ICANON)
		s->before = keys;
	keys.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	keys.c_iflag &= ~(tcflag_t)ICRNL;
	keys.c_cc[VSUSP] = keys.c_cc[VQUIT] = _POSIX_VDISABLE;
	keys.c_cc[VMIN] = 1;
	keys.c_cc[VTIME] = 0;
	return tcsetattr(s->keys_fd, TCSANOW, &keys);
}

int screen_take_keys(struct screen *s)
{
	if (s->fd < 0 || s->keys_fd >= 0)
		return s->keys_fd;
	s->keys_fd = open_terminal(STDIN_FILENO, O_RDONLY);
	if (s->keys_fd >= 0 && (tcgetattr(s->keys_fd, &s->before) < 0 || set_keys(s) < 0)) {
		close(s->keys_fd);
		s->keys_fd = -1;
	}
	return s->keys_fd;
}

void screen_suspend(struct screen *s)
{
	if (s->fd >= 0)
		put(s, SCREEN_LEAVE, strlen(SCREEN_LEAVE), LEAVE_PATIENCE_MS);
	if (s->keys_fd >= 0)
		tcsetattr(s->keys_fd, TCSANOW, &s->before);
}

/* WHY the keyboard first: who has been sent to the background is stopped there (SIGTTOU, termios(3)), and draws nothing
 * over what is in front. */
void screen_resume(struct screen *s)
{
	if (s->keys_fd >= 0)
		(void)!set_keys(s);
	if (s->fd >= 0)
		put(s, SCREEN_ENTER, strlen(SCREEN_ENTER), 0);
}

void screen_close(struct screen *s)
{
	if (s == NULL)
		return;
	screen_suspend(s);
	if (s->keys_fd >= 0)
		close(s->keys_fd);
	if (s->fd >= 0)
		close(s->fd);
	free(s);
}

bool screen_is_terminal(const struct screen *s)
{
	return s->fd >= 0;
}

void screen_size(const struct screen *s, unsigned *columns, unsigned *lines)
{
	struct winsize w = { 0 };
	*columns = *lines = 0;
	if (s->fd < 0)
		return;
	bool is_known = ioctl(s->fd, TIOCGWINSZ, &w) == 0;
	*columns = is_known && w.ws_col > 0 ? w.ws_col : COLUMNS_ASSUMED;
	*lines = is_known && w.ws_row > 0 ? w.ws_row : LINES_ASSUMED;
}

/* --- text --------------------------------------------------------------------------------------------------------- */

/* The length of the attribute at `text`, "\033[1m" or "\033[31m": nothing but a colour can come of it. 0: it is
 * none. */
static size_t attribute_len(const char *text)
{
	if (strncmp(text, "\033[", 2) != 0)
		return 0;
	size_t n = 2 + strspn(text + 2, "0123456789;");
	return text[n] == 'm' ? n + 1 : 0;
}

/* A character, or a byte that is none. How long it is in `text`. */
static size_t put_character(FILE *out, const char *text)
{
	size_t n = utf8_len(text);
	unsigned char c = (unsigned char)text[0];
	bool is_control = c < ' ' || c == 0x7f ||
			  (c == 0xc2 && (unsigned char)text[1] < 0xa0); /* also U+0080 to U+009F */
	if (n == 0)
		fputs(UTF8_REPLACEMENT, out);
	else if (is_control)
		fputc('?', out);
	else
		fwrite(text, 1, n, out);
	return n > 0 ? n : 1;
}

/* A line, which ends at a newline or at `end`; where the next one begins. columns: 0 when it may be as wide as it
 * likes. */
static const char *put_line(FILE *out, const char *text, const char *end, unsigned columns, bool is_terminal)
{
	bool has_attribute = false;
	size_t used = 0;
	while (text < end && *text != '\n') {
		size_t n = attribute_len(text);
		if (n > 0 && is_terminal)
			fwrite(text, 1, n, out);
		has_attribute = has_attribute || n > 0;
		if (n == 0 && columns > 0 && used == columns)
			n = 1; /* cut off; an attribute that comes later still counts */
		else if (n == 0 && ++used > 0)
			n = put_character(out, text);
		text += n;
	}
	if (has_attribute && is_terminal)
		fputs(SCREEN_PLAIN, out);
	return text < end ? text + 1 : end;
}

/* WHY the whole frame is put together first: one write, no flicker. The last line of the screen stays free: a newline
 * there would scroll. `text` ends with a NUL. */
static void draw(const struct screen *s, const char *text, size_t len)
{
	char *frame = NULL;
	size_t frame_len = 0;
	unsigned columns, lines;
	FILE *out = open_memstream(&frame, &frame_len);
	if (out == NULL)
		return;
	screen_size(s, &columns, &lines);
	fputs(SCREEN_HOME, out);
	for (const char *end = text + len; text < end && lines > 1; lines--) {
		text = put_line(out, text, end, columns, true);
		fputs(LINE_END, out);
	}
	fputs(SCREEN_REST, out);
	fclose(out);
	put(s, frame, frame_len, 0);
	free(frame);
}

static void print(const char *text, size_t len)
{
	flockfile(stdout);
	for (const char *end = text + len; text < end;) {
		text = put_line(stdout, text, end, 0, false);
		putchar('\n');
	}
	putchar('\n');
	funlockfile(stdout);
	fflush(stdout);
}

/* WHY a copy: the functions above look ahead as far as a NUL. */
void screen_show(struct screen *s, const char *text, size_t len)
{
	char *copy = xmalloc(len + 1);
	memcpy(copy, text, len);
	copy[len] = '\0';
	if (s->fd >= 0)
		draw(s, copy, len);
	else
		print(copy, len);
	free(copy);
}
