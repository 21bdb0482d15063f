/* top.c - the relay's family, last chapter: the table of flows, once a second, in a terminal.
 *
 *	tcprelay --top ...       in the relay's own terminal: the census of its own loops, drawn by loop 0
 *	tcprelay top PATH        in another one: orders.c asks for the same text through the control socket
 *
 * What is drawn, and where, is common/screen.h's. */
#include "relay.h"

#include "clock.h"
#include "mem.h"
#include "screen.h"

#include <stdlib.h>

struct relay_top {
	struct relay *relay;
	struct screen *screen;
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
	screen_size(top->screen, &columns, &lines);
	relay_view_text(out, top->relay, c, &top->view, columns, lines > 1 ? lines - 1 : 0);
	if (!screen_is_terminal(top->screen))
		putc('\n', out);
	fclose(out);
	if (screen_is_terminal(top->screen))
		screen_show(top->screen, text, len);
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
	*top = (struct relay_top){ .relay = relay, .screen = screen_open() };
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
	screen_close(top->screen);
	relay_view_free(&top->view);
	free(top);
}
