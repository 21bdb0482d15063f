/* What --tui and --once show: whatever a process is called and however small the terminal is, a frame has its lines
 * and no more, no line is longer than the screen, and nothing in it steers the terminal. */
#include "../../tools/procmon/frame.h"

#include "check.h"
#include "procmon_kit.h"
#include "screen.h"

enum story {
	STORY_PLAIN,
	STORY_HOSTILE,
	STORY_GAPS,
	STORY_NO_HISTORY,
	STORY_ENDED,
	STORY_SEVERAL,
	STORY_TREE,
	STORIES
};

static const char *const lights[] = { SCREEN_BOLD,  SCREEN_DIM,    SCREEN_INVERT, SCREEN_RED,
				      SCREEN_GREEN, SCREEN_YELLOW, SCREEN_BLUE,   SCREEN_PLAIN };

static struct procmon_options options = { .interval_ns = NS_PER_S };
static struct procmon procmon;

static void tell(enum story story)
{
	const char *name = story == STORY_HOSTILE ? HOSTILE : "echo";
	procmon = (struct procmon){ .o = &options, .system = { 100, 4096, 1ull << 33, 2, 0 }, .own.cpu_percent = 0.3 };
	for (unsigned i = story == STORY_SEVERAL ? 5 : 1; i > 0; i--) {
		struct watched *w = kit_watched(&procmon, 4710 + (pid_t)i, name);
		kit_samples(w, story == STORY_NO_HISTORY ? 0 : 700, story == STORY_GAPS);
		kit_threads(w, name);
		kit_files(w, name);
		kit_sockets(w, name);
		w->why = story == STORY_GAPS
				 ? "it belongs to another user (uid 33); needs the same user or CAP_SYS_PTRACE"
				 : NULL;
		w->has_ended = story == STORY_ENDED;
		w->ended_real_ns = (int64_t)KIT_END_S * NS_PER_S;
		if (story == STORY_TREE)
			kit_tree(w, 20, name);
	}
	options.with_children = story == STORY_TREE;
	marks_add(&procmon.marks, ((int64_t)KIT_END_S - 50) * NS_PER_S, HOSTILE);
	marks_add(&procmon.marks, (int64_t)KIT_END_S * NS_PER_S, "step 2");
}

/* Frames are put together here. Ended by a NUL. */
static char text[256 * 1024];

static const char *frame(struct frame_view *v)
{
	FILE *out = fmemopen(text, sizeof(text), "w");
	frame_write(out, &procmon, v);
	fclose(out);
	return text;
}

/* --- is it a proper screen? --------------------------------------------------------------------------------------- */

static size_t light_len(const char *at)
{
	for (size_t i = 0; i < COUNT_OF(lights); i++) {
		if (strncmp(at, lights[i], strlen(lights[i])) == 0)
			return strlen(lights[i]);
	}
	return 0;
}

/* A character of one column that may stand on a screen: its bytes; 0: it may not. */
static size_t good_len(const char *at, bool utf8)
{
	const unsigned char *b = (const unsigned char *)at;
	if (b[0] >= ' ' && b[0] < 0x7f)
		return 1;
	if (utf8 && b[0] >= 0xc3 && b[0] < 0xd5 && (b[1] & 0xc0) == 0x80) /* letters */
		return 2;
	if (utf8 && b[0] == 0xe2 && (b[1] == 0x96 || (b[1] == 0x80 && b[2] == 0xa6))) /* blocks, three dots */
		return 3;
	return 0;
}

/* The columns of a line, or -1; *end is behind its newline. */
static int measure(const char *line, const struct frame_view *v, const char **end)
{
	int columns = 0;
	bool is_lit = false;
	while (*line != '\n') {
		size_t light = v->has_attributes ? light_len(line) : 0, n = good_len(line, v->utf8);
		if (light == 0 && n == 0)
			return -1;
		if (light > 0)
			is_lit = strncmp(line, SCREEN_PLAIN, light) != 0;
		columns += light == 0;
		line += light > 0 ? light : n;
	}
	*end = line + 1;
	return is_lit ? -1 : columns;
}

static bool is_proper(const char *at, const struct frame_view *v)
{
	unsigned lines = 0;
	for (; *at != '\0'; lines++) {
		int columns = measure(at, v, &at);
		if (columns < 0 || (v->columns > 0 && columns > (int)v->columns))
			return false;
	}
	return v->lines == 0 || lines == v->lines;
}

static bool are_proper(enum story story, struct frame_view *v)
{
	enum { MORE_LINES = IS_SANITIZED ? 36 : 12 };
	bool ok = true;
	for (v->page = 0; v->page < FRAME_PAGES; v->page++) {
		for (v->columns = 1; v->columns <= 200; v->columns += v->columns < 40 ? 13 : 7) {
			for (v->lines = 1; v->lines <= 61; v->lines += MORE_LINES) {
				v->scroll = v->lines * 3;
				v->span = (v->columns + v->lines) % FRAME_SPANS;
				v->utf8 = v->lines % 2;
				v->has_attributes = v->columns % 3 > 0;
				if (CHECK(is_proper(frame(v), v)))
					continue;
				fprintf(stderr, "story %u, page %u, %ux%u:\n%s", story, v->page, v->columns, v->lines,
					text);
				ok = false;
			}
		}
	}
	return ok;
}

static void test_frames(void)
{
	for (enum story story = 0; story < STORIES; story++) {
		tell(story);
		struct frame_view v = { .selected = procmon.first, .foot = " q quit  1-4 page  m mark " };
		bool ok = are_proper(story, &v);
		kit_free(&procmon);
		if (!ok)
			return;
	}
}

/* A frame that nobody shows on a screen is as long as it has to be. */
static void test_endless(void)
{
	tell(STORY_HOSTILE);
	for (enum frame_page page = 0; page < FRAME_PAGES; page++) {
		struct frame_view v = { .selected = procmon.first, .columns = 100, .page = page };
		CHECK(is_proper(frame(&v), &v));
		CHECK(strstr(text, "procmon itself") == NULL);
	}
	kit_free(&procmon);
}

/* --- what stands in it -------------------------------------------------------------------------------------------- */

static bool says(struct frame_view *v, const char *words)
{
	bool has = strstr(frame(v), words) != NULL;
	if (!has)
		fprintf(stderr, "    not said: \"%s\", but:\n%s", words, text);
	return has;
}

static void test_words(void)
{
	tell(STORY_GAPS);
	struct frame_view v = { .selected = procmon.first, .columns = 120, .lines = 40, .foot = " q quit" };
	CHECK(says(&v, " echo (4711) sleeping"));
	CHECK(says(&v, "echo -s -p 3000"));
	CHECK(says(&v, "not read: it belongs to another user (uid 33); needs the same user"));
	CHECK(says(&v, "[1 Overview] 2 Threads  3 Files  4 Sockets    last minute"));
	CHECK(says(&v, "procmon itself: 0.3 % CPU"));
	v.page = FRAME_THREADS;
	CHECK(says(&v, "3 more are not shown"));
	CHECK(says(&v, "ep_poll"));
	v.page = FRAME_FILES;
	CHECK(says(&v, "of at most 128: "));
	CHECK(says(&v, "/var/lib/echo/0 (deleted)"));
	v.page = FRAME_SOCKETS;
	CHECK(says(&v, "8 ESTABLISHED, 1 LISTEN"));
	CHECK(says(&v, "10.0.0.1:40002"));
	v.selected->at_ns += 5 * (uint64_t)NS_PER_S;
	CHECK(says(&v, "as of 5 s before"));
	kit_free(&procmon);
	tell(STORY_ENDED);
	v = (struct frame_view){ .selected = procmon.first, .columns = 120, .lines = 40, .is_paused = true };
	CHECK(says(&v, "has ended"));
	CHECK(says(&v, "ended at 22:13:20 after 13 min 20 s: exit status unknown"));
	CHECK(says(&v, "paused  every 1.00 s"));
	kit_free(&procmon);
}

/* What was not read this time stays, and is dim; what never was is "-". */
static void test_old(void)
{
	tell(STORY_PLAIN);
	struct frame_view v = { .selected = procmon.first, .columns = 100, .lines = 40, .has_attributes = true };
	v.selected->known[COLUMN_PSS] = 5 << 20;
	CHECK(says(&v, SCREEN_BOLD "      5 MiB"));
	v.selected->value[COLUMN_PSS] = NAN;
	CHECK(says(&v, SCREEN_DIM "      5 MiB"));
	v.selected->known[COLUMN_PSS] = NAN;
	CHECK(says(&v, SCREEN_DIM "          -"));
	kit_free(&procmon);
}

/* Marks stand where they belong: one at the right edge in front of its place. */
static void test_marks(void)
{
	tell(STORY_PLAIN);
	struct frame_view v = { .selected = procmon.first, .columns = 67, .lines = 40, .utf8 = true };
	CHECK(says(&v, "step 2^\n"));
	procmon.marks.n = 0;
	marks_add(&procmon.marks, ((int64_t)KIT_END_S - 30) * NS_PER_S, "middle");
	const char *line = frame(&v), *at;
	while ((at = strstr(line, "^middle")) != NULL && memchr(line, '\n', (size_t)(at - line)) != NULL)
		line = strchr(line, '\n') + 1;
	CHECK(at != NULL && at - line >= 35 && at - line <= 38);
	kit_free(&procmon);
}

/* Nothing is left below the last row, and the first one can be reached again. */
static void test_scroll(void)
{
	tell(STORY_PLAIN);
	struct frame_view v = {
		.selected = procmon.first, .columns = 100, .lines = 15, .page = FRAME_FILES, .foot = " q"
	};
	CHECK(says(&v, "/var/lib/echo/0"));
	v.scroll = 1 << 30;
	CHECK(says(&v, "/var/lib/echo/39"));
	CHECK(v.scroll > 0 && v.scroll < KIT_FILES);
	v.page = FRAME_OVERVIEW;
	v.scroll = 1 << 30;
	CHECK(says(&v, "sent again"));
	CHECK(v.scroll < COLUMNS);
	kit_free(&procmon);
}

/* The one that is chosen is always in the list. */
static void test_several(void)
{
	tell(STORY_SEVERAL);
	struct frame_view v = { .columns = 100, .lines = 24, .foot = " q" };
	for (v.selected = procmon.first; v.selected != NULL; v.selected = v.selected->next) {
		char words[32];
		snprintf(words, sizeof(words), ">   %d  echo", (int)v.selected->pid);
		CHECK(says(&v, words));
		CHECK(strstr(text, "voluntary") != NULL);
	}
	kit_free(&procmon);
}

/* --- traces ------------------------------------------------------------------------------------------------------- */

/* A line of the chart, known by its label, of a process that was watched for a while: 60 columns for a minute. */
static const char *chart_line(const char *label, uint64_t interval_ns, double (*value_at)(unsigned i))
{
	static char line[61];
	double value[COLUMNS];
	options.interval_ns = interval_ns;
	procmon = (struct procmon){ .o = &options, .system = { 100, 4096, 1ull << 33, 1, 0 } };
	struct watched *w = kit_watched(&procmon, 1, "x");
	for (unsigned i = 0; i < 90 * (uint64_t)NS_PER_S / interval_ns; i++) {
		for (unsigned c = 0; c < COLUMNS; c++)
			value[c] = value_at(i);
		/* as late as timers are */
		history_add(w->history, (int64_t)(KIT_END_S * (uint64_t)NS_PER_S + i * interval_ns + (i % 3) * 9000000),
			    value);
	}
	struct frame_view v = { .selected = w, .columns = 67, .lines = 40 };
	const char *at = strstr(frame(&v), label);
	snprintf(line, sizeof(line), "%.60s", at != NULL ? at + strlen(label) : "no chart");
	kit_free(&procmon);
	options.interval_ns = NS_PER_S;
	return line;
}

static double one_peak(unsigned i)
{
	return i == 85 ? NAN : i == 80 ? 100 : 0;
}

static double half_a_minute(unsigned i)
{
	return i >= 12 ? 100 : 0;
}

static double up_and_down(unsigned i)
{
	return i % 2 * 5;
}

/* Each sample has its place, the ones that are not read leave it free; few are drawn without gaps between them, and
 * of many their mean is seen. */
static void test_trace(void)
{
	CHECK_STR(chart_line("\n   0 % ", NS_PER_S, one_peak),
		  "..................................................#.... ....");
	CHECK_STR(chart_line("\n   0 % ", 5ull * NS_PER_S, half_a_minute), ".............................."
									   "##############################");
	CHECK_INT(strspn(chart_line("\n   0 % ", NS_PER_S / 10, up_and_down), "#"), 60);
	CHECK_INT(strspn(chart_line("\n   5 % ", NS_PER_S / 10, up_and_down), " "), 60);
}

/* --- --once ------------------------------------------------------------------------------------------------------- */

static void test_text(void)
{
	for (enum story story = 0; story < STORIES; story++) {
		tell(story);
		for (unsigned columns = 0; columns <= 200; columns += 25) {
			struct frame_view v = { .columns = columns, .utf8 = columns % 2 };
			FILE *out = fmemopen(text, sizeof(text), "w");
			watched_text(out, procmon.first, columns, v.utf8);
			fclose(out);
			if (!CHECK(is_proper(text, &v)))
				fprintf(stderr, "story %u, %u columns:\n%s", story, columns, text);
		}
		kit_free(&procmon);
	}
}

static void test_near_limits(void)
{
	tell(STORY_PLAIN);
	for (unsigned files = 102; files <= 103; files++) {
		procmon.first->known[COLUMN_FILES] = files;
		FILE *out = fmemopen(text, sizeof(text), "w");
		watched_text(out, procmon.first, 80, false);
		fclose(out);
		CHECK_INT(strstr(text, "near a limit  Max open files: 103 of 128\n") != NULL, files == 103);
	}
	kit_free(&procmon);
}

int main(void)
{
	setenv("TZ", "UTC", 1);
	test_frames();
	test_endless();
	test_words();
	test_old();
	test_marks();
	test_scroll();
	test_several();
	test_trace();
	test_text();
	test_near_limits();
	return check_done();
}
