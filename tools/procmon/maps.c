/* maps.c - the memory of a process, summed up by what is mapped: a library has five mappings, malloc(3) has dozens
 * without a name. See details.h.
 *
 * smaps tells of each mapping what is resident and how much of that is shared. A kernel may be built without it
 * (CONFIG_PROC_PAGE_MONITOR): then there are sizes only, from maps. */
#include "details.h"

#include "mem.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	/* A process may have 65,530 mappings (vm.max_map_count), each some 700 bytes of smaps. */
	TEXT_BYTES = 64 * 1024 * 1024,
	SLOTS = 4 * DETAILS_MAPS, /* a power of 2, and never more than a quarter is taken */
};

void maps_clear(struct maps *m, uint64_t now_ns)
{
	struct maps *before = m->before != NULL ? m->before : xcalloc(1, sizeof(*before));
	struct maps spare = *before;
	*before = *m;
	before->before = NULL;
	before->index = NULL;
	*m = (struct maps){ .at_ns = now_ns, .has_pss = true, .before = before, .index = m->index };
	m->row = spare.row;
	m->cap = spare.cap;
}

void maps_undo(struct maps *m)
{
	assert(m->before != NULL);
	struct maps spare = *m;
	*m = *spare.before;
	m->before = spare.before;
	m->index = spare.index;
	*m->before = (struct maps){ .row = spare.row, .cap = spare.cap };
}

void maps_free(struct maps *m)
{
	if (m->before != NULL)
		free(m->before->row);
	free(m->before);
	free(m->index);
	free(m->row);
	*m = (struct maps){ 0 };
}

/* --- rows by their name ------------------------------------------------------------------------------------------- */

/* FNV-1a. */
static uint32_t hash(const char *text)
{
	uint32_t h = 2166136261;
	for (; *text != 0; text++)
		h = (h ^ (unsigned char)*text) * 16777619;
	return h;
}

/* The slot of `what`: its row's, or the free one where it belongs. */
static uint16_t *find_slot(struct maps *m, const char *what)
{
	uint32_t i = hash(what) % SLOTS;
	while (m->index[i] != 0 && strcmp(m->row[m->index[i] - 1].what, what) != 0)
		i = (i + 1) % SLOTS;
	return &m->index[i];
}

/* The rows of processes that were read before this one have been sorted since. */
static void make_index(struct maps *m)
{
	if (m->index == NULL)
		m->index = xmalloc(SLOTS * sizeof(*m->index));
	memset(m->index, 0, SLOTS * sizeof(*m->index));
	for (size_t i = 0; i < m->n; i++)
		*find_slot(m, m->row[i].what) = (uint16_t)(i + 1);
}

/* NULL: there are too many. */
static struct map_row *find_row(struct maps *m, const char *what)
{
	uint16_t *slot = find_slot(m, what);
	if (*slot != 0)
		return &m->row[*slot - 1];
	if (m->n == DETAILS_MAPS)
		return NULL;
	if (m->n == m->cap) {
		m->cap = m->cap == 0 ? 64 : 2 * m->cap;
		m->row = xrealloc(m->row, m->cap * sizeof(*m->row));
	}
	struct map_row *row = &m->row[m->n++];
	*slot = (uint16_t)m->n;
	*row = (struct map_row){ 0 };
	memcpy(row->what, what, strlen(what) + 1);
	return row;
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

static void add_memory(struct procfs_memory *sum, const struct procfs_memory *x)
{
	sum->size += x->size;
	sum->resident += x->resident;
	sum->pss += x->pss;
	sum->private_clean += x->private_clean;
	sum->private_dirty += x->private_dirty;
	sum->shared_clean += x->shared_clean;
	sum->shared_dirty += x->shared_dirty;
	sum->anonymous += x->anonymous;
	sum->swap += x->swap;
	sum->swap_pss += x->swap_pss;
}

static void add_map(struct maps *m, const struct procfs_map *map)
{
	struct procfs_memory memory = map->memory;
	memory.size = map->end - map->begin; /* maps has no line for it */
	add_memory(&m->sum, &memory);
	struct map_row *row = find_row(m, map->path[0] != 0 ? map->path : "[anonymous]");
	if (row == NULL) {
		m->n_more++;
		return;
	}
	row->mappings++;
	row->is_executable |= map->rights[2] == 'x';
	row->is_writable |= map->rights[1] == 'w';
	add_memory(&row->memory, &memory);
}

static int compare_rows(const void *a, const void *b)
{
	const struct map_row *x = a, *y = b;
	if (x->memory.pss != y->memory.pss)
		return x->memory.pss > y->memory.pss ? -1 : 1;
	if (x->memory.size != y->memory.size)
		return x->memory.size > y->memory.size ? -1 : 1;
	return strcmp(x->what, y->what);
}

static ssize_t read_text(struct maps *m, const struct procfs *p, char **text)
{
	ssize_t len = procfs_read_all(p, "smaps", TEXT_BYTES, text);
	if (len >= 0 || errno != ENOENT)
		return len;
	len = procfs_read_all(p, "maps", TEXT_BYTES, text);
	m->has_pss &= len <= 0;
	return len;
}

void maps_read(struct maps *m, const struct procfs *p)
{
	char *text = NULL;
	ssize_t len = read_text(m, p, &text);
	if (len < 0) {
		details_note(&m->why, p, errno);
		return;
	}
	if (len == 0)
		details_note_nothing(&m->why, p);
	struct procfs_map map;
	size_t at = 0;
	make_index(m);
	while (procfs_parse_map(&map, text, (size_t)len, &at) == 1)
		add_map(m, &map);
	free(text);
	if (m->n > 1)
		qsort(m->row, m->n, sizeof(*m->row), compare_rows);
}
