#include "mem.h"

#include "diag.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static void *must(void *p, size_t len)
{
	if (p != NULL || len == 0)
		return p;
	warnf("out of memory: %zu bytes wanted", len);
	abort();
}

void *xmalloc(size_t len)
{
	return must(malloc(len), len);
}

void *xcalloc(size_t n, size_t size)
{
	/* WHY n too: with n == 0 or size == 0 calloc may return NULL, and that is no failure. */
	return must(calloc(n, size), n != 0 && size != 0 ? size : 0);
}

void *xrealloc(void *p, size_t len)
{
	return must(realloc(p, len), len);
}

void *xmalloc_pages(size_t len)
{
	enum { PAGE = 4096 };
	if (len > SIZE_MAX - PAGE)
		return must(NULL, len);
	return must(aligned_alloc(PAGE, (len + PAGE - 1) / PAGE * PAGE), len); /* C11: a multiple of the alignment */
}

char *xstrdup(const char *s)
{
	return must(strdup(s), strlen(s) + 1);
}

FILE *xmemstream(char **text, size_t *len)
{
	*text = NULL;
	*len = 0;
	return must(open_memstream(text, len), 1);
}
