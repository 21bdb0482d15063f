/* frame.h - procmon: what --tui shows, as lines of text. Memory only: tui.h is the terminal. */
#ifndef PROCMON_FRAME_H
#define PROCMON_FRAME_H

#include "procmon.h"

enum frame_page { FRAME_OVERVIEW, FRAME_THREADS, FRAME_FILES, FRAME_SOCKETS, FRAME_PAGES };
enum frame_span { FRAME_1_MINUTE, FRAME_10_MINUTES, FRAME_2_HOURS, FRAME_SPANS };

struct frame_view {
	struct watched *selected;
	enum frame_page page;
	enum frame_span span; /* of the traces */
	size_t scroll;        /* rows of the page that are above the screen: moved back when these are too many */
	bool is_paused;
	const char *foot; /* the last line: which keys there are, or what is being asked; NULL: none */

	unsigned columns, lines; /* no line is longer, and there are no more; lines 0: as many as it likes */
	bool utf8, has_attributes;
};

/* What has to be looked at for the page (watched_look). */
unsigned frame_sources(enum frame_page page);

/* With `lines` there are exactly so many, the foot is the last. */
void frame_write(FILE *out, const struct procmon *m, struct frame_view *v);

#endif
