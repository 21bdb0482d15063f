#include "sort.h"

#include <stdlib.h>

/* WHY not x - y: a difference of 64 bits does not fit into an int. */
static int compare_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return (x > y) - (x < y);
}

/* WHY n > 0: qsort(3) and bsearch(3) must not get NULL, even for 0 elements (C11 7.22.5). */
void sort_u64(uint64_t *values, size_t n)
{
	if (n > 0)
		qsort(values, n, sizeof(values[0]), compare_u64);
}

bool sort_has_u64(const uint64_t *values, size_t n, uint64_t value)
{
	return n > 0 && bsearch(&value, values, n, sizeof(values[0]), compare_u64) != NULL;
}
