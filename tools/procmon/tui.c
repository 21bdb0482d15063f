/* tui.c - see tui.h. Keys and signals change what is shown (struct frame_view), and each change draws a new frame;
 * so does each sample, but not more often than eyes can follow. */
#include "tui.h"

#include "clock.h"
#include "frame.h"
#include "mem.h"
#include "os.h"
#include "screen.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum { COLUMNS_PLAIN = 80, FRAME_PAUSE_MS = 100, FOOT = 160, SCROLL_END = 1 << 30 };

/* Keys that are no character. Those beyond a byte come as escape sequences (ECMA-48 5.4; xterm's ctlseqs). */
enum key {
	KEY_TAB = '\t',
	KEY_ENTER = '\r',
	KEY_STOP = 'Z' - '@',
	KEY_ESCAPE = 033,
	KEY_ERASE = 0177,
	KEY_UP = 256,
	KEY_DOWN,
	KEY_LEFT,
	KEY_RIGHT,
	KEY_PAGE_UP,
	KEY_PAGE_DOWN,
	KEY_HOME,
	KEY_END,
	KEY_BACK_TAB,
	KEY_OTHER
};

struct tui {
	struct procmon *procmon;
	struct screen *screen;
	struct frame_view view;
	uint64_t drawn_ns;
	struct watch keys, signals; /* signals.fd is ours */
	sigset_t mask_before;

	bool is_asking; /* for the label of a mark */
	char label[MARK_LABEL];
	size_t label_len;
	char foot[FOOT];
};

/* --- drawing ------------------------------------------------------------------------------------------------------ */

static void say_foot(struct tui *t)
{
	t->view.foot = t->foot;
	if (t->is_asking)
		snprintf(t->foot, sizeof(t->foot), " mark: %s_   (Enter puts it, Esc does not)", t->label);
	else if (watch_is_started(&t->keys))
		snprintf(t->foot, sizeof(t->foot), " q quit  1-4 page  j k scroll%s  s span  p pause  m mark",
			 t->procmon->n_watched > 1 ? "  h l process" : "");
	else
		t->view.foot = screen_is_terminal(t->screen) ? " Ctrl-C ends it" : NULL;
}

static void draw(struct tui *t)
{
	unsigned lines;
	char *text = NULL;
	size_t len = 0;
	watched_look(t->view.selected, frame_sources(t->view.page));
	FILE *out = open_memstream(&text, &len);
	if (out == NULL)
		return;
	screen_size(t->screen, &t->view.columns, &lines);
	if (t->view.columns == 0)
		t->view.columns = COLUMNS_PLAIN;
	t->view.lines = lines > 1 ? lines - 1 : lines;
	say_foot(t);
	frame_write(out, t->procmon, &t->view);
	fclose(out);
	screen_show(t->screen, text, len);
	free(text);
	t->drawn_ns = clk_mono_ns();
}

void tui_sampled(struct tui *t)
{
	if (t->view.is_paused || clk_mono_ns() - t->drawn_ns < (uint64_t)FRAME_PAUSE_MS * NS_PER_MS)
		return;
	draw(t);
	if (!screen_is_terminal(t->screen) && ferror(stdout))
		procmon_stop(t->procmon);
}

/* --- what keys do ------------------------------------------------------------------------------------------------- */

static void choose_page(struct tui *t, unsigned page)
{
	t->view.page = page % FRAME_PAGES;
	t->view.scroll = 0;
}

static void choose_next(struct tui *t)
{
	struct watched *next = t->view.selected->next;
	t->view.selected = next != NULL ? next : t->procmon->first;
}

static void choose_previous(struct tui *t)
{
	struct watched *w = t->procmon->first, *chosen = t->view.selected;
	while (w->next != NULL && w->next != chosen)
		w = w->next;
	t->view.selected = w;
}

/* How far is too far, the frame knows. */
static void scroll(struct tui *t, long rows)
{
	if (rows < 0 && t->view.scroll < (size_t)-rows)
		t->view.scroll = 0;
	else
		t->view.scroll += (size_t)rows;
}

static void ask_label(struct tui *t)
{
	t->is_asking = true;
	t->label[0] = '\0';
	t->label_len = 0;
}

static void erase_character(struct tui *t)
{
	while (t->label_len > 0 && ((unsigned char)t->label[--t->label_len] & 0xc0) == 0x80)
		continue;
	t->label[t->label_len] = '\0';
}

/* While the label of a mark is typed. Without one it gets a number. */
static void take_answer(struct tui *t, unsigned key)
{
	if (key == KEY_ENTER || key == '\n') {
		t->is_asking = false;
		if (t->label_len == 0)
			snprintf(t->label, sizeof(t->label), "mark %llu",
				 (unsigned long long)t->procmon->marks.total + 1);
		procmon_mark(t->procmon, t->label);
	} else if (key == KEY_ESCAPE) {
		t->is_asking = false;
	} else if (key == KEY_ERASE || key == '\b') {
		erase_character(t);
	} else if (key >= ' ' && key < 256 && t->label_len + 1 < sizeof(t->label)) {
		t->label[t->label_len++] = (char)key;
		t->label[t->label_len] = '\0';
	}
}

static void move(struct tui *t, unsigned key)
{
	long page = t->view.lines > 8 ? (long)t->view.lines - 6 : 2;
	switch (key) {
	case 'j':
	case KEY_DOWN:
		scroll(t, 1);
		break;
	case 'k':
	case KEY_UP:
		scroll(t, -1);
		break;
	case ' ':
	case KEY_PAGE_DOWN:
		scroll(t, page);
		break;
	case 'b':
	case KEY_PAGE_UP:
		scroll(t, -page);
		break;
	case 'g':
	case KEY_HOME:
		t->view.scroll = 0;
		break;
	case 'G':
	case KEY_END:
		t->view.scroll = SCROLL_END;
		break;
	case 'l':
	case KEY_RIGHT:
		choose_next(t);
		break;
	case 'h':
	case KEY_LEFT:
		choose_previous(t);
		break;
	default:
		break;
	}
}

static void stop_as_a_job(struct tui *t, bool by_key);

/* False: that was the last one. */
static bool take_key(struct tui *t, unsigned key)
{
	if (t->is_asking) {
		take_answer(t, key);
		return true;
	}
	switch (key) {
	case 'q':
	case 'Q':
		procmon_stop(t->procmon);
		return false;
	case '1':
	case '2':
	case '3':
	case '4':
		choose_page(t, key - '1');
		break;
	case KEY_TAB:
		choose_page(t, t->view.page + 1);
		break;
	case KEY_BACK_TAB:
		choose_page(t, t->view.page + FRAME_PAGES - 1);
		break;
	case 's':
		t->view.span = (t->view.span + 1) % FRAME_SPANS;
		break;
	case 'p':
		t->view.is_paused = !t->view.is_paused;
		break;
	case 'm':
		ask_label(t);
		break;
	case KEY_STOP:
		stop_as_a_job(t, true);
		break;
	default:
		move(t, key);
	}
	return true;
}

/* --- keys --------------------------------------------------------------------------------------------------------- */

/* "\033[A", "\033OA", "\033[5~": how long it is, and which key. WHY a lone escape is the key itself: terminals send
 * a sequence in one piece. */
static size_t decode_sequence(const char *text, size_t len, unsigned *key)
{
	static const struct {
		const char *sequence;
		unsigned key;
	} all[] = { { "A", KEY_UP },       { "B", KEY_DOWN },       { "C", KEY_RIGHT },   { "D", KEY_LEFT },
		    { "H", KEY_HOME },     { "F", KEY_END },        { "1~", KEY_HOME },   { "4~", KEY_END },
		    { "5~", KEY_PAGE_UP }, { "6~", KEY_PAGE_DOWN }, { "Z", KEY_BACK_TAB } };
	*key = KEY_ESCAPE;
	if (len < 2 || (text[1] != '[' && text[1] != 'O'))
		return 1;
	size_t n = 2;
	while (n < len && text[n] >= 0x20 && text[n] < 0x40) /* parameters */
		n++;
	n += n < len; /* the final byte */
	*key = KEY_OTHER;
	for (size_t i = 0; i < COUNT_OF(all); i++) {
		if (strlen(all[i].sequence) == n - 2 && strncmp(all[i].sequence, text + 2, n - 2) == 0)
			*key = all[i].key;
	}
	return n;
}

static bool on_keys(struct watch *w, unsigned events)
{
	(void)events;
	struct tui *t = CONTAINER_OF(w, struct tui, keys);
	char text[64];
	ssize_t len = read(w->fd, text, sizeof(text));
	if (len < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (len <= 0) { /* EOF, EIO: the terminal has gone */
		watch_stop(w);
		procmon_stop(t->procmon);
		return true;
	}
	for (size_t at = 0; at < (size_t)len;) {
		unsigned key = (unsigned char)text[at];
		at += key == KEY_ESCAPE ? decode_sequence(text + at, (size_t)len - at, &key) : 1;
		if (!take_key(t, key))
			return true;
	}
	draw(t);
	return true;
}

/* --- signals ------------------------------------------------------------------------------------------------------ */

static sigset_t set_of(int number)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, number);
	return set;
}

/* Stops, by a signal of which that is the default; goes on after SIGCONT, which is no news then. In a session
 * without a shell nothing stops (setpgid(2), orphaned process groups). */
static void stop_until_continued(pid_t whom, int number)
{
	sigset_t stop = set_of(number), before, go_on = set_of(SIGCONT);
	kill(whom, number);
	pthread_sigmask(SIG_UNBLOCK, &stop, &before);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	while (sigtimedwait(&go_on, NULL, &(struct timespec){ 0 }) < 0 && errno == EINTR)
		continue;
}

/* Who is started or continued in the background waits there for fg, as everybody does who sets the terminal
 * (termios(3)). WHY by hand: nothing must be drawn before. */
static void wait_for_front(void)
{
	pid_t front = tcgetpgrp(STDOUT_FILENO);
	if (front > 0 && front != getpgrp())
		stop_until_continued(0, SIGTTOU);
}

/* What the terminal's driver would do at Ctrl-Z, with the terminal as the shell left it. Ctrl-Z is for the whole
 * group; a signal was for us alone. */
static void stop_as_a_job(struct tui *t, bool by_key)
{
	screen_suspend(t->screen);
	stop_until_continued(by_key ? 0 : getpid(), SIGTSTP);
	wait_for_front();
	screen_resume(t->screen);
}

/* SIGWINCH: another size. SIGCONT: after a SIGSTOP the shell has made the terminal its own. */
static bool on_signal(struct watch *w, unsigned events)
{
	(void)events;
	struct tui *t = CONTAINER_OF(w, struct tui, signals);
	struct signalfd_siginfo info;
	if (read(w->fd, &info, sizeof(info)) != sizeof(info))
		return false;
	if (info.ssi_signo == SIGHUP) {
		procmon_stop(t->procmon);
		return true;
	}
	if (info.ssi_signo == SIGTSTP)
		stop_as_a_job(t, false);
	if (info.ssi_signo == SIGCONT) {
		wait_for_front();
		screen_resume(t->screen);
	}
	draw(t);
	return true;
}

static int watch_signals(struct tui *t)
{
	static const int all[] = { SIGWINCH, SIGTSTP, SIGCONT, SIGHUP };
	sigset_t set;
	sigemptyset(&set);
	for (size_t i = 0; i < COUNT_OF(all); i++)
		sigaddset(&set, all[i]);
	int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (fd < 0)
		return -1;
	if (watch_start(&t->signals, t->procmon->reactor, fd, WATCH_READ | WATCH_BACKGROUND, on_signal) < 0) {
		int saved = errno;
		close(fd);
		errno = saved;
		return -1;
	}
	pthread_sigmask(SIG_BLOCK, &set, &t->mask_before);
	return 0;
}

/* --- begin and end ------------------------------------------------------------------------------------------------ */

/* Signals first: whoever sees the screen entered may send one. */
static int take_terminal(struct tui *t)
{
	if (isatty(STDOUT_FILENO) && watch_signals(t) < 0)
		return -1;
	wait_for_front();
	t->screen = screen_open();
	int fd = screen_is_terminal(t->screen) ? screen_take_keys(t->screen) : -1;
	return fd < 0 ? 0 : watch_start(&t->keys, t->procmon->reactor, fd, WATCH_READ | WATCH_BACKGROUND, on_keys);
}

struct tui *tui_start(struct procmon *m, struct net_error *e)
{
	struct tui *t = xcalloc(1, sizeof(*t));
	t->procmon = m;
	if (take_terminal(t) < 0) {
		net_fail(e, "watch", "the terminal");
		tui_stop(t);
		return NULL;
	}
	t->view = (struct frame_view){ .selected = m->first,
				       .utf8 = os_is_utf8(),
				       .has_attributes = screen_is_terminal(t->screen) };
	if (screen_is_terminal(t->screen))
		draw(t);
	return t;
}

void tui_stop(struct tui *t)
{
	if (t == NULL)
		return;
	if (watch_is_started(&t->keys))
		watch_stop(&t->keys);
	screen_close(t->screen);
	if (watch_is_started(&t->signals)) {
		int fd = t->signals.fd;
		watch_stop(&t->signals);
		close(fd);
		pthread_sigmask(SIG_SETMASK, &t->mask_before, NULL);
	}
	free(t);
}
