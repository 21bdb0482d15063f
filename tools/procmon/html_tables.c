/* html_tables.c - procmon: the pages of threads, descriptors and memory: tables of details.h. */
#include "pages.h"

#include "cdefs.h"
#include "mem.h"
#include "tables.h"

#include <math.h>
#include <stdlib.h>

enum { THREADS_SHOWN = 300, FILES_SHOWN = 500, MAPS_SHOWN = 200, STEP_PERCENT = 10 };

static void put_rest(FILE *out, size_t n)
{
	if (n > 0)
		html_remark(out, "and %zu more", n);
}

/* --- threads ------------------------------------------------------------------------------------------------------ */

/* The busiest first, but only by steps of so many percent: rows that change places each second cannot be read. Among
 * the others the one that has used most, then the older one. */
static int by_busyness(const void *a, const void *b)
{
	const struct thread_row *x = *(const struct thread_row *const *)a, *y = *(const struct thread_row *const *)b;
	double step_x = floor(fmax(0, x->cpu_percent) / STEP_PERCENT),
	       step_y = floor(fmax(0, y->cpu_percent) / STEP_PERCENT);
	if (step_x != step_y)
		return step_x < step_y ? 1 : -1;
	if (x->ran_ns != y->ran_ns)
		return x->ran_ns < y->ran_ns ? 1 : -1;
	return x->tid > y->tid ? 1 : -1;
}

static const struct html_column thread_columns[] = {
	{ "Thread", NULL, "n id" },
	{ "Name", NULL, "name" },
	{ "State", NULL, NULL },
	{ "CPU", NULL, "n" },
	{ "Waited\nfor a CPU", "Waited for a CPU", "n" },
	{ "Switches\nvoluntary", "Switches, voluntary", "n" },
	{ "Switches\ninvoluntary", "Switches, involuntary", "n" },
	{ "Processor,\nnice", "Processor, nice", "n" },
	{ "CPU used,\nwaited", "CPU used, waited", "n" },
	{ "Sleeps in", NULL, "code" },
};

static void put_thread(struct html_table *t, const struct watched *w, const struct thread_row *row)
{
	char text[UNITS_TEXT], more[UNITS_TEXT], pid[UNITS_TEXT];
	html_row(t);
	snprintf(text, sizeof(text), "%lld", (long long)row->tid);
	snprintf(pid, sizeof(pid), "of %lld", (long long)row->pid);
	html_cell_two(t, text, w->n_members > 1 ? pid : row->tid == row->pid ? "main" : "");
	html_cell(t, "%s", row->name);
	page_put_state(html_cell_begin(t), row->state);
	html_cell_end(t);
	page_put_share(t, column_text(text, COLUMN_CPU, row->cpu_percent), row->cpu_percent / 100);
	html_cell(t, "%s", column_text(text, COLUMN_WAITED, row->waited_percent));
	html_cell(t, "%s", column_text(text, COLUMN_VOLUNTARY, row->voluntary_per_s));
	html_cell(t, "%s", column_text(text, COLUMN_INVOLUNTARY, row->involuntary_per_s));
	snprintf(text, sizeof(text), "%llu", (unsigned long long)row->processor);
	snprintf(more, sizeof(more), "%lld", (long long)row->nice);
	html_cell_two(t, text, more);
	html_cell_two(t, units_duration(text, row->ran_ns), units_duration(more, row->waited_ns));
	html_cell(t, "%s", row->wchan);
}

void page_put_threads(FILE *out, const struct watched *w)
{
	const struct threads *threads = &w->threads;
	const struct thread_row **row = xcalloc(threads->n + 1, sizeof(const struct thread_row *));
	struct html_table t;
	char age[PAGE_AGE], cpu[UNITS_TEXT], waited[UNITS_TEXT];
	for (size_t i = 0; i < threads->n; i++)
		row[i] = &threads->row[i];
	qsort(row, threads->n, sizeof(const struct thread_row *), by_busyness);

	struct threads_sums sums = threads_sum(threads);
	html_heading(out, "Threads", "%zu; together %s, waited %s%s", threads->n + threads->n_more,
		     column_text(cpu, COLUMN_CPU, sums.is_rate ? sums.cpu_percent : (double)NAN),
		     column_text(waited, COLUMN_WAITED, sums.is_rate ? sums.waited_percent : (double)NAN),
		     page_age_text(age, w, threads->at_ns));
	page_put_why(out, w, threads->why);
	html_table_begin(&t, out, thread_columns, COUNT_OF(thread_columns));
	for (size_t i = 0; i < threads->n && i < THREADS_SHOWN; i++)
		put_thread(&t, w, row[i]);
	html_table_end(&t, "None is known.");
	put_rest(out, threads->n_more + (threads->n > THREADS_SHOWN ? threads->n - THREADS_SHOWN : 0));
	free(row);
}

/* --- descriptors -------------------------------------------------------------------------------------------------- */

static const struct html_column file_columns[] = {
	{ "Descriptor", NULL, "n id" }, { "Kind", NULL, NULL },       { "Leads to", NULL, "code" },
	{ "Position", NULL, "n" },      { "Opened for", NULL, NULL },
};

static void put_file(struct html_table *t, const struct watched *w, const struct file_row *row)
{
	char flags[FILE_FLAGS_TEXT], fd[UNITS_TEXT], pid[UNITS_TEXT];
	html_row(t);
	snprintf(fd, sizeof(fd), "%u", (unsigned)row->fd);
	snprintf(pid, sizeof(pid), "of %lld", (long long)row->pid);
	html_cell_two(t, fd, w->n_members > 1 ? pid : "");
	html_pill(html_cell_begin(t), row->kind == FILE_SOCKET ? HTML_OK : HTML_PLAIN, "%s", file_kind_name(row->kind));
	html_cell_end(t);
	FILE *out = html_cell_begin(t);
	html_text(out, "%s", row->target);
	if (row->is_deleted) {
		fputs(" ", out);
		html_pill(out, HTML_WARN, "deleted");
	}
	html_cell_end(t);
	if (row->has_info && row->kind == FILE_REGULAR)
		html_cell(t, "%llu", (unsigned long long)row->position);
	else
		html_cell(t, "%s", "");
	html_cell(t, "%s", row->has_info ? file_flags_text(flags, row->flags) : "");
}

/* How many of each kind. */
static void put_kinds(FILE *out, const struct files *files)
{
	if (files->n == 0)
		return;
	fputs("<p>", out);
	for (enum file_kind kind = 0; kind < FILE_KINDS; kind++) {
		if (files->kinds[kind] == 0)
			continue;
		html_pill(out, kind == FILE_SOCKET ? HTML_OK : HTML_PLAIN, "%s %llu", file_kind_name(kind),
			  (unsigned long long)files->kinds[kind]);
		fputs(" ", out);
	}
	fputs("</p>\n", out);
}

/* Their number is known even where none may be looked at. */
static void put_files_heading(FILE *out, const struct watched *w)
{
	const struct files *files = &w->files;
	char age[PAGE_AGE], n[UNITS_TEXT], most[2 * UNITS_TEXT] = "";
	uint64_t limit = tables_limit(w, "Max open files");
	if (limit > 0 && limit != PROCFS_UNLIMITED)
		snprintf(most, sizeof(most), " of %llu at most", (unsigned long long)limit);
	if (files->n > 0)
		snprintf(n, sizeof(n), "%zu", files->n + files->n_more);
	else
		column_text(n, COLUMN_FILES, w->known[COLUMN_FILES]);
	html_heading(out, "Descriptors", "%s%s%s", n, most, page_age_text(age, w, files->at_ns));
}

void page_put_files(FILE *out, const struct watched *w)
{
	const struct files *files = &w->files;
	struct html_table t;
	put_files_heading(out, w);
	page_put_why(out, w, files->why);
	put_kinds(out, files);
	html_table_begin(&t, out, file_columns, COUNT_OF(file_columns));
	for (size_t i = 0; i < files->n && i < FILES_SHOWN; i++)
		put_file(&t, w, &files->row[i]);
	html_table_end(&t, files->why != NULL ? "It is not known where they lead." : "None is known.");
	put_rest(out, files->n_more + (files->n > FILES_SHOWN ? files->n - FILES_SHOWN : 0));
}

/* --- memory ------------------------------------------------------------------------------------------------------- */

static const struct html_column map_columns[] = {
	{ "What is mapped", NULL, "code" },
	{ "Mappings", NULL, "n" },
	{ "Some of it\nmay be", "Some of it may be", NULL },
	{ "Size", NULL, "n" },
	{ "RSS", NULL, "n" },
	{ "PSS", NULL, "n" },
	{ "Private", NULL, "n" },
	{ "Shared", NULL, "n" },
	{ "Swap", NULL, "n" },
};

static uint64_t private_of(const struct procfs_memory *m)
{
	return m->private_clean + m->private_dirty;
}

static uint64_t shared_of(const struct procfs_memory *m)
{
	return m->shared_clean + m->shared_dirty;
}

/* 0 is common, and says nothing. */
static void put_bytes(struct html_table *t, uint64_t bytes)
{
	char text[UNITS_TEXT];
	html_cell(t, "%s", bytes > 0 ? units_size(text, bytes) : "");
}

static void put_map(struct html_table *t, const struct maps *maps, const struct map_row *row)
{
	const struct procfs_memory *m = &row->memory;
	char text[UNITS_TEXT];
	html_row(t);
	html_cell(t, "%s", row->what);
	html_cell(t, "%u", row->mappings);
	html_cell(t, "%s",
		  row->is_executable && row->is_writable ? "written, executed"
		  : row->is_executable                   ? "executed"
		  : row->is_writable                     ? "written"
							 : "read only");
	put_bytes(t, m->size);
	put_bytes(t, m->resident);
	page_put_share(t, maps->has_pss ? units_size(text, m->pss) : "-",
		       maps->sum.pss > 0 ? (double)m->pss / (double)maps->sum.pss : 0);
	put_bytes(t, private_of(m));
	put_bytes(t, shared_of(m));
	put_bytes(t, m->swap);
}

static void put_sums(FILE *out, const struct maps *maps)
{
	const struct procfs_memory *m = &maps->sum;
	char a[UNITS_TEXT], b[UNITS_TEXT];
	html_cards_begin(out);
	html_card(out, "", "addresses", units_size(a, m->size), "mapped, used or not");
	if (maps->has_pss) {
		html_card(out, "", "RSS", units_size(a, m->resident), "in memory");
		html_card(out, "", "PSS", units_size(a, m->pss), "a shared page counts in part");
		html_card(out, "", "private", units_size(a, private_of(m)), "dirty %s",
			  units_size(b, m->private_dirty));
		html_card(out, "", "shared", units_size(a, shared_of(m)), "dirty %s", units_size(b, m->shared_dirty));
		html_card(out, "", "anonymous", units_size(a, m->anonymous), "of no file");
		html_card(out, m->swap > 0 ? "alarm" : "", "swap", units_size(a, m->swap), "PSS of it %s",
			  units_size(b, m->swap_pss));
	}
	html_cards_end(out);
}

void page_put_maps(FILE *out, const struct watched *w)
{
	const struct maps *maps = &w->maps;
	struct html_table t;
	char age[PAGE_AGE];
	html_heading(out, "Memory", "by what is mapped%s", page_age_text(age, w, maps->at_ns));
	page_put_why(out, w, maps->why);
	if (maps->n > 0)
		put_sums(out, maps);
	html_table_begin(&t, out, map_columns, COUNT_OF(map_columns));
	for (size_t i = 0; i < maps->n && i < MAPS_SHOWN; i++)
		put_map(&t, maps, &maps->row[i]);
	html_table_end(&t, "It is not known what is mapped.");
	put_rest(out, maps->n_more + (maps->n > MAPS_SHOWN ? maps->n - MAPS_SHOWN : 0));
}
