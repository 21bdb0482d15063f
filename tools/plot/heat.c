/* heat.c - see heat.h. */
#include "heat.h"

#include "mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

size_t heat_name(struct heat_side *side, const char *name)
{
	for (size_t i = 0; i < side->n; i++)
		if (strcmp(side->name[i], name) == 0)
			return i;
	if (side->n < HEAT_NAMES_MAX)
		side->name[side->n++] = xstrdup(name);
	else
		return HEAT_NAMES_MAX;
	return side->n - 1;
}

static void make_map(struct heat *h, size_t m, const char *title)
{
	size_t n = h->left.n * h->above.n;
	h->value[m] = xmalloc(n * sizeof(*h->value[m]));
	for (size_t i = 0; i < n; i++)
		h->value[m][i] = (double)NAN;
	h->map[m] = (struct heatmap){
		.title = title,
		.rows = (const char *const *)h->left.name,
		.columns = (const char *const *)h->above.name,
		.n_rows = h->left.n,
		.n_columns = h->above.n,
		.value = h->value[m],
	};
}

size_t heat_fill(struct heat *h, double *const column[], char *const title[], size_t n_columns, size_t n_rows)
{
	bool *is_there = xcalloc(h->left.n * h->above.n, sizeof(*is_there));
	size_t row;

	h->n_maps = n_columns - 2;
	for (size_t m = 0; m < h->n_maps; m++)
		make_map(h, m, title[m + 2]);
	for (row = 0; row < n_rows; row++) {
		size_t cell = (size_t)column[0][row] * h->above.n + (size_t)column[1][row];
		if (is_there[cell])
			break;
		is_there[cell] = true;
		for (size_t m = 0; m < h->n_maps; m++)
			h->value[m][cell] = column[m + 2][row];
	}
	free(is_there);
	return row;
}

void heat_free(struct heat *h)
{
	for (size_t m = 0; m < h->n_maps; m++)
		free(h->value[m]);
	for (size_t i = 0; i < h->left.n; i++)
		free(h->left.name[i]);
	for (size_t i = 0; i < h->above.n; i++)
		free(h->above.name[i]);
}
