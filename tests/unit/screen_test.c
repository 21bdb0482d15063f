/* screen_test.c - what a terminal is sent, byte for byte, by a process of which it is the terminal: lines cut at
 * columns, nothing that could steer it, what stood there before is back at the end; and that a terminal which is
 * stopped stops nobody. */
#include "check.h"
#include "child.h"
#include "screen.h"

#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>

static int master, slave;

static void open_pty(unsigned short columns, unsigned short lines)
{
	master = posix_openpt(O_RDWR | O_NOCTTY);
	if (master < 0 || grantpt(master) < 0 || unlockpt(master) < 0)
		abort();
	slave = open(ptsname(master), O_RDWR | O_NOCTTY);
	struct winsize w = { .ws_col = columns, .ws_row = lines };
	ioctl(slave, TIOCSWINSZ, &w);
	struct termios raw;
	tcgetattr(slave, &raw);
	raw.c_oflag &= ~(tcflag_t)OPOST;
	tcsetattr(slave, TCSANOW, &raw);
	fcntl(master, F_SETFL, O_NONBLOCK);
}

/* What the terminal got; closes it. */
static const char *shown(void)
{
	static char text[65536];
	size_t len = 0;
	for (ssize_t n; (n = read(master, text + len, sizeof(text) - 1 - len)) > 0;)
		len += (size_t)n;
	text[len] = '\0';
	close(master);
	close(slave);
	return text;
}

static struct screen *open_on_pty(void)
{
	dup2(slave, STDIN_FILENO);
	dup2(slave, STDOUT_FILENO);
	return screen_open();
}

static void show(struct screen *s, const char *text)
{
	screen_show(s, text, strlen(text));
}

/* --- what is drawn ------------------------------------------------------------------------------------------------ */

#define ENTER "\033[?1049h\033[?25l\033[2J"
#define LEAVE "\033[?25h\033[?1049l"

static void draw_lines(void)
{
	struct screen *s = open_on_pty();
	unsigned columns, lines;
	screen_size(s, &columns, &lines);
	CHECK(screen_is_terminal(s));
	CHECK_INT(columns, 10);
	CHECK_INT(lines, 4);
	show(s, "0123456789abc\nh\xc3\xa9llo w\xc3\xb6rld\n\nbeyond\n");
	screen_close(s);
}

static void test_cut(void)
{
	open_pty(10, 4);
	CHECK_INT(in_child(draw_lines), 0);
	CHECK_STR(shown(), ENTER "\033[H0123456789\033[K\r\nh\xc3\xa9llo w\xc3\xb6rl\033[K\r\n\033[K\r\n\033[J" LEAVE);
}

static void draw_tricks(void)
{
	struct screen *s = open_on_pty();
	show(s, "\033[2J\x07\x9b\xc2\x9b\xff\t" SCREEN_RED "red" SCREEN_PLAIN "!\n");
	show(s, SCREEN_BOLD "0123456789 cut off" SCREEN_PLAIN "\nlast, without an end");
	screen_close(s);
}

static void test_steering(void)
{
	open_pty(10, 24);
	CHECK_INT(in_child(draw_tricks), 0);
	CHECK_STR(shown(), ENTER "\033[H?[2J?\xef\xbf\xbd?\xef\xbf\xbd?\033[31mr\033[0m\033[0m\033[K\r\n\033[J"
				 "\033[H\033[1m0123456789\033[0m\033[0m\033[K\r\nlast, with\033[K\r\n\033[J" LEAVE);
}

/* --- keys --------------------------------------------------------------------------------------------------------- */

static struct termios mode(void)
{
	struct termios now;
	memset(&now, 0, sizeof(now)); /* there may be padding */
	tcgetattr(slave, &now);
	return now;
}

static bool is_mode(const struct termios *wanted)
{
	struct termios now = mode();
	return now.c_lflag == wanted->c_lflag && now.c_iflag == wanted->c_iflag && now.c_oflag == wanted->c_oflag &&
	       memcmp(now.c_cc, wanted->c_cc, sizeof(now.c_cc)) == 0;
}

static bool is_taken(void)
{
	struct termios now = mode();
	return !(now.c_lflag & (ICANON | ECHO)) && (now.c_lflag & ISIG);
}

static void take_keys(void)
{
	struct screen *s = open_on_pty();
	struct termios before = mode();
	char keys[8] = "";
	int fd = screen_take_keys(s);
	CHECK(fd >= 0 && (fcntl(fd, F_GETFL) & O_NONBLOCK));
	CHECK(!(fcntl(STDIN_FILENO, F_GETFL) & O_NONBLOCK)); /* the shell's */
	CHECK_INT(screen_take_keys(s), fd);
	CHECK(is_taken());
	CHECK_INT(read(fd, keys, sizeof(keys)), -1);
	CHECK_INT(write(master, "x\r\032\034", 4), 4); /* Ctrl-Z, Ctrl-\ */
	CHECK_INT(read(fd, keys, sizeof(keys)), 4);
	CHECK(memcmp(keys, "x\r\032\034", 4) == 0);
	screen_close(s);
	CHECK(is_mode(&before));
}

static void test_keys(void)
{
	open_pty(80, 24);
	CHECK_INT(in_child(take_keys), 0);
	CHECK_STR(shown(), ENTER LEAVE);
}

/* As a job that is stopped and goes on: by Ctrl-Z, and by a SIGSTOP, after which a shell has set the terminal as it
 * likes it. */
static void stop_and_go_on(void)
{
	struct screen *s = open_on_pty();
	struct termios before = mode(), of_shell = before;
	CHECK(screen_take_keys(s) >= 0);
	screen_suspend(s);
	CHECK(is_mode(&before));
	screen_resume(s);
	CHECK(is_taken());
	of_shell.c_iflag |= IXANY;
	tcsetattr(slave, TCSANOW, &of_shell);
	screen_resume(s);
	CHECK(is_taken());
	screen_resume(s);
	screen_close(s);
	CHECK(is_mode(&of_shell));
}

static void test_suspend(void)
{
	open_pty(80, 24);
	CHECK_INT(in_child(stop_and_go_on), 0);
	CHECK_STR(shown(), ENTER LEAVE ENTER ENTER ENTER LEAVE);
}

/* --- a terminal that is stopped ----------------------------------------------------------------------------------- */

/* Far more than it has room for; the alarm of child.h would end this. */
static void draw_on_stopped(void)
{
	static char much[200000];
	struct screen *s = open_on_pty();
	memset(much, 'x', sizeof(much));
	for (size_t i = 0; i < sizeof(much); i += 20)
		much[i] = '\n';
	tcflow(slave, TCOOFF);
	for (int i = 0; i < 100; i++)
		screen_show(s, much, sizeof(much));
	CHECK(!(fcntl(STDOUT_FILENO, F_GETFL) & O_NONBLOCK)); /* the shell's */
}

static void test_stopped(void)
{
	open_pty(200, 5000);
	CHECK_INT(in_child(draw_on_stopped), 0);
	shown();
}

/* --- no terminal -------------------------------------------------------------------------------------------------- */

static void print_lines(void)
{
	unsigned columns, lines;
	int ends[2];
	char text[256];
	if (pipe(ends) < 0)
		abort();
	dup2(ends[1], STDOUT_FILENO);
	struct screen *s = screen_open();
	screen_size(s, &columns, &lines);
	CHECK(!screen_is_terminal(s) && columns == 0 && lines == 0);
	CHECK_INT(screen_take_keys(s), -1);
	show(s, SCREEN_BOLD "a line that may be as long as it likes\x1b\n" SCREEN_PLAIN "two\n");
	screen_close(s);
	ssize_t n = read(ends[0], text, sizeof(text) - 1);
	text[n > 0 ? n : 0] = '\0';
	CHECK_STR(text, "a line that may be as long as it likes?\ntwo\n\n");
}

int main(void)
{
	test_cut();
	test_steering();
	test_keys();
	test_suspend();
	test_stopped();
	CHECK_INT(in_child(print_lines), 0);
	screen_close(NULL);
	return check_done();
}
