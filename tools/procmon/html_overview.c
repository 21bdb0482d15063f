/* html_overview.c - procmon: the first page: who it is, how it is in numbers, how it was in charts. */
#include "pages.h"

#include "cdefs.h"
#include "mem.h"
#include "pen.h"
#include "tables.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { COMMAND_BYTES = 300, NEAR_PERCENT = 80, MARKS_SHOWN = 20, MEMBERS_SHOWN = 200, SPARK = 60 };

/* --- who it is ---------------------------------------------------------------------------------------------------- */

static void put_command(FILE *out, const struct watched *w)
{
	size_t at = 0, used = 0;
	fputs("<tr><th scope=\"row\">Command</th><td class=\"code\">", out);
	for (const char *word;
	     used < COMMAND_BYTES && (word = page_next_word(w->command, w->command_len, &at)) != NULL;) {
		used += strlen(word) + 1;
		html_text(out, "%.*s ", COMMAND_BYTES, word);
	}
	if (at < w->command_len)
		fputs("…", out);
	if (w->command_len == 0)
		html_text(out, "[%s]", w->name); /* as ps(1) shows who has none: a part of the kernel */
	fputs("</td></tr>\n", out);
}

static void put_state(FILE *out, const struct watched *w)
{
	fputs("<tr><th scope=\"row\">State</th><td>", out);
	if (w->has_ended)
		html_pill(out, HTML_PLAIN, "ended");
	else
		page_put_state(out, w->stat.state);
	html_text(out, " nice %lld, last on processor %llu, may run on %s", (long long)w->stat.nice,
		  (unsigned long long)w->stat.processor, w->status.cpus[0] != '\0' ? w->status.cpus : "any");
	fputs("</td></tr>\n", out);
}

void page_put_identity(FILE *out, const struct watched *w)
{
	char clock[32], age[32];
	html_heading(out, w->label, "pid %d", (int)w->pid);
	html_pairs_begin(out);
	put_command(out, w);
	html_pair(out, "Executable", "%s", w->exe[0] != '\0' ? w->exe : "-");
	html_pair(out, "Folder", "%s", w->cwd[0] != '\0' ? w->cwd : "-");
	if (strcmp(w->name, w->label) != 0)
		html_pair(out, "Calls itself", "%s", w->name);
	html_pair(out, "User", "%s", w->user);
	html_pair(out, "Started", "%s, %s%s, by process %lld", pen_clock(clock, w->start_real_ns, true),
		  pen_age(age, watched_age_ns(w)), w->has_ended ? " before it ended" : " ago", (long long)w->stat.ppid);
	put_state(out, w);
	html_pairs_end(out);
}

/* --- how it is ---------------------------------------------------------------------------------------------------- */

/* The latest that was read: not all is read at each sample. */
static const char *value(char out[static UNITS_TEXT], const struct watched *w, enum column column)
{
	return column_text(out, column, w->known[column]);
}

/* The last minute or so of it. */
static void put_spark(FILE *out, const struct watched *w, enum column column, double most)
{
	double y[SPARK];
	size_t rows = history_rows(w->history, SPAN_10_MINUTES), n = rows < SPARK ? rows : SPARK;
	for (size_t i = 0; i < n; i++)
		y[i] = history_row(w->history, SPAN_10_MINUTES, rows - n + i).mean[column];
	html_spark(out, "", y, n, SPARK, most);
}

static void put_processor_card(FILE *out, const struct watched *w)
{
	char cpu[UNITS_TEXT], user[UNITS_TEXT], sys[UNITS_TEXT], tip[128];
	unsigned n = w->procmon->system.processors > 0 ? w->procmon->system.processors : 1;
	html_card_begin(out, "wide", "CPU", value(cpu, w, COLUMN_CPU));
	html_card_below(out, "user %s, system %s; of %u00 %%", value(user, w, COLUMN_USER),
			value(sys, w, COLUMN_SYSTEM), n);
	snprintf(tip, sizeof(tip), "user: %s of %u processor%s", user, n, n == 1 ? "" : "s");
	html_bar(out, "up", w->known[COLUMN_USER] / 100 / n, tip);
	snprintf(tip, sizeof(tip), "system: %s of %u processor%s", sys, n, n == 1 ? "" : "s");
	html_bar(out, "down", w->known[COLUMN_SYSTEM] / 100 / n, tip);
	put_spark(out, w, COLUMN_CPU, 1);
	html_card_end(out);
}

static void put_memory_card(FILE *out, const struct watched *w)
{
	char rss[UNITS_TEXT], pss[UNITS_TEXT], swap[UNITS_TEXT], all[UNITS_TEXT];
	uint64_t memory = w->procmon->system.memory_bytes;
	html_card_begin(out, "wide", "RSS", value(rss, w, COLUMN_RESIDENT));
	html_card_below(out, "PSS %s, swap %s; of %s", value(pss, w, COLUMN_PSS), value(swap, w, COLUMN_SWAP),
			units_size(all, memory));
	html_bar(out, "", memory > 0 ? w->known[COLUMN_RESIDENT] / (double)memory : 0, "of the memory of this host");
	put_spark(out, w, COLUMN_RESIDENT, 1);
	html_card_end(out);
}

static void put_files_card(FILE *out, const struct watched *w)
{
	char n[UNITS_TEXT];
	uint64_t limit = tables_limit(w, "Max open files");
	double share = limit > 0 && limit != PROCFS_UNLIMITED ? w->known[COLUMN_FILES] / (double)limit : 0;
	html_card_begin(out, share * 100 >= NEAR_PERCENT ? "alarm" : "", "descriptors", value(n, w, COLUMN_FILES));
	if (limit == PROCFS_UNLIMITED || limit == 0)
		html_card_below(out, "%s", limit == 0 ? "limit not known" : "no limit");
	else
		html_card_below(out, "of %llu at most", (unsigned long long)limit);
	html_bar(out, "", share, "of the soft limit");
	html_card_end(out);
}

/* A number, and below it another one with a word. */
static void put_pair_card(FILE *out, const struct watched *w, const char *name, enum column column, const char *word,
			  enum column second)
{
	char a[UNITS_TEXT], b[UNITS_TEXT];
	html_card(out, "", name, value(a, w, column), "%s %s", word, value(b, w, second));
}

void page_put_cards(FILE *out, const struct watched *w)
{
	char age[32], total[UNITS_TEXT];
	html_cards_begin(out);
	put_processor_card(out, w);
	put_memory_card(out, w);
	html_card(out, "", "age", pen_age(age, watched_age_ns(w)), "CPU used: %s",
		  units_duration(total, w->total[COUNTER_CPU_NS]));
	put_pair_card(out, w, "threads", COLUMN_THREADS, "waited for a CPU:", COLUMN_WAITED);
	put_files_card(out, w);
	put_pair_card(out, w, "switches, voluntary", COLUMN_VOLUNTARY, "involuntary:", COLUMN_INVOLUNTARY);
	put_pair_card(out, w, "page faults, minor", COLUMN_MINOR, "major:", COLUMN_MAJOR);
	put_pair_card(out, w, "read", COLUMN_READ, "by read(2), not recv(2); from disk", COLUMN_DISK_READ);
	put_pair_card(out, w, "written", COLUMN_WRITTEN, "by write(2), not send(2); to disk", COLUMN_DISK_WRITTEN);
	put_pair_card(out, w, "TCP out", COLUMN_TCP_OUT, "not acknowledged:", COLUMN_SEND_QUEUE);
	put_pair_card(out, w, "TCP in", COLUMN_TCP_IN, "to be read:", COLUMN_RECV_QUEUE);
	put_pair_card(out, w, "TCP sockets", COLUMN_SOCKETS, "segments sent again:", COLUMN_RETRANSMITS);
	html_cards_end(out);
}

/* --- how it was --------------------------------------------------------------------------------------------------- */

void page_put_charts(FILE *out, const struct watched *w, enum span span)
{
	html_charts_begin(out);
	for (enum chart_id id = 0; id < CHARTS; id++)
		chart_write(out, w, id, span, true, false);
	html_charts_end(out);
}

void page_put_comparison(FILE *out, const struct procmon *m, enum span span)
{
	if (m->n_watched < 2)
		return;
	html_heading(out, "All processes", "%u", m->n_watched);
	html_charts_begin(out);
	chart_write(out, m->first, CHART_CPU, span, true, true);
	chart_write(out, m->first, CHART_MEMORY, span, true, true);
	html_charts_end(out);
}

static double mean_of(const struct watched *w, enum column column)
{
	double sum = 0;
	size_t n = 0;
	for (size_t i = history_rows(w->history, SPAN_2_HOURS); i-- > 0;) {
		double mean = history_row(w->history, SPAN_2_HOURS, i).mean[column];
		sum += isnan(mean) ? 0 : mean;
		n += !isnan(mean);
	}
	return n > 0 ? sum / (double)n : (double)NAN;
}

void page_put_figures(FILE *out, const struct watched *w, bool is_open)
{
	static const struct html_column columns[] = { { "Figure", NULL, NULL },
						      { "Now", NULL, "n" },
						      { "Mean of 2 hours", NULL, "n" },
						      { "Most", NULL, "n" },
						      { "What it is", NULL, "words" } };
	struct html_table t;
	char text[UNITS_TEXT];
	fprintf(out, "<details id=\"figures-%d\"%s><summary>All figures</summary>\n", (int)w->pid,
		is_open ? " open" : "");
	html_table_begin(&t, out, columns, COUNT_OF(columns));
	for (enum column column = 0; column < COLUMNS; column++) {
		html_row(&t);
		html_cell(&t, "%s", column_info[column].name);
		html_cell(&t, "%s", value(text, w, column));
		html_cell(&t, "%s", column_text(text, column, mean_of(w, column)));
		html_cell(&t, "%s", column_text(text, column, w->most[column]));
		html_cell(&t, "%s", column_info[column].help);
	}
	html_table_end(&t, NULL);
	fputs("</details>\n", out);
}

void page_put_marks(FILE *out, const struct procmon *m)
{
	static const struct html_column columns[] = { { "Time", NULL, "time" }, { "Mark", NULL, NULL } };
	struct html_table t;
	char clock[32];
	if (m->marks.n == 0)
		return;
	html_heading(out, "Marks", "%llu", (unsigned long long)m->marks.total);
	html_table_begin(&t, out, columns, COUNT_OF(columns));
	for (size_t i = m->marks.n; i-- > 0 && m->marks.n - i <= MARKS_SHOWN;) {
		html_row(&t);
		html_cell(&t, "%s", pen_clock(clock, m->marks.mark[i].at_real_ns, false));
		html_cell(&t, "%s", m->marks.mark[i].label);
	}
	html_table_end(&t, NULL);
}

/* --- the tree ----------------------------------------------------------------------------------------------------- */

/* How many of its ancestors are in the tree. Members come before their children, but a pid that is used again may
 * say otherwise: so the number of steps is bounded. */
static int depth_of(const struct watched *w, size_t member)
{
	int depth = 0;
	int64_t parent = w->member[member].stat.ppid;
	for (size_t i = member; i-- > 0;) {
		if (w->member[i].proc.pid == parent) {
			parent = w->member[i].stat.ppid;
			depth++;
		}
	}
	return depth;
}

static void put_member(struct html_table *t, const struct watched *w, size_t i)
{
	const struct member *b = &w->member[i];
	char text[UNITS_TEXT];
	html_row(t);
	html_cell(t, "%d", (int)b->proc.pid);
	FILE *out = html_cell_begin(t);
	int depth = depth_of(w, i);
	for (int k = 0; k < depth && k < 20; k++)
		fputs(k + 1 < depth ? "\u2003" : "\u2003└ ", out);
	html_text(out, "%s", b->stat.name);
	html_cell_end(t);
	page_put_state(html_cell_begin(t), b->stat.state);
	html_cell_end(t);
	page_put_share(t, column_text(text, COLUMN_CPU, b->cpu_percent), b->cpu_percent / 100);
	html_cell(t, "%s", units_size(text, b->resident_bytes));
	html_cell(t, "%s", b->has_memory ? units_size(text, b->memory.pss) : "-");
}

void page_put_tree(FILE *out, const struct watched *w)
{
	static const struct html_column columns[] = { { "Pid", NULL, "n id" }, { "Name", NULL, "name" },
						      { "State", NULL, NULL }, { "CPU", NULL, "n" },
						      { "RSS", NULL, "n" },    { "PSS", NULL, "n" } };
	struct html_table t;
	if (!w->procmon->o->with_children)
		return;
	html_heading(out, "Processes", "%zu, as one", w->n_members + w->n_more);
	html_table_begin(&t, out, columns, COUNT_OF(columns));
	for (size_t i = 0; i < w->n_members && i < MEMBERS_SHOWN; i++)
		put_member(&t, w, i);
	html_table_end(&t, "None is left.");
	if (w->n_members + w->n_more > MEMBERS_SHOWN)
		html_remark(out, "and %zu more, which count as well", w->n_members + w->n_more - MEMBERS_SHOWN);
}
