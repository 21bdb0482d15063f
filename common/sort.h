/* sort.h - numbers in ascending order, and one looked for among them. Layer 0. */
#ifndef TCPLAB_SORT_H
#define TCPLAB_SORT_H

#include "cdefs.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* In place. Of no numbers at all, `values` may be NULL. */
void sort_u64(uint64_t *values, size_t n);

/* Is it one of them? They are in ascending order. */
MUST_USE bool sort_has_u64(const uint64_t *values, size_t n, uint64_t value);

#endif
