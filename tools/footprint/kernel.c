/* kernel.c - what the kernel tells of its memory and of ours: files under /proc. */
#include "footprint.h"

#include "mem.h"
#include "procfs.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FAMILY_MAX = 2048 }; /* processes of one holder */

/* "Slab:   139880 kB": bytes; 0 if there is no such line. */
static uint64_t meminfo(const char *text, const char *name)
{
	const char *at = strstr(text, name);
	uint64_t kib = 0;
	return at != NULL && sscanf(at + strlen(name), ": %" SCNu64, &kib) == 1 ? kib * 1024 : 0;
}

/* The whole of a small file, NULL when it may not be read. The caller frees it. */
static char *read_file(const char *path, size_t room)
{
	FILE *f = fopen(path, "re");
	if (f == NULL)
		return NULL;
	char *text = xmalloc(room + 1);
	text[fread(text, 1, room, f)] = '\0';
	fclose(f);
	return text;
}

/* "TCP  109  156  2368 ...": name, objects in use, objects there is room for, size. */
void footprint_look_at_slabs(struct footprint_snapshot *s)
{
	char *text = read_file("/proc/slabinfo", 256 * 1024), *rest = text, *line;
	s->n = 0;
	while (text != NULL && s->n < FOOTPRINT_CACHES && (line = strsep(&rest, "\n")) != NULL) {
		struct footprint_cache *c = &s->caches[s->n];
		if (sscanf(line, "%31s %" SCNu64 " %*u %" SCNu64, c->name, &c->objects, &c->object_bytes) == 3)
			s->n++;
	}
	free(text);
}

void footprint_look_at_machine(struct footprint_snapshot *s)
{
	char *text = read_file("/proc/meminfo", 16 * 1024);
	if (text != NULL) {
		s->available = meminfo(text, "MemAvailable");
		s->unreclaimable = meminfo(text, "SUnreclaim");
		s->stacks = meminfo(text, "KernelStack");
		s->page_tables = meminfo(text, "PageTables");
	}
	free(text);
	uint64_t pages = 0, v6 = 0;
	text = read_file("/proc/net/sockstat", 4096);
	char *at = text != NULL ? strstr(text, "TCP: inuse") : NULL;
	if (at != NULL)
		sscanf(at, "TCP: inuse %" SCNu64 " orphan %*u tw %*u alloc %*u mem %" SCNu64, &s->inuse, &pages);
	s->memory = pages * procfs_system().page_bytes;
	free(text);
	text = read_file("/proc/net/sockstat6", 4096);
	at = text != NULL ? strstr(text, "TCP6: inuse") : NULL;
	if (at != NULL && sscanf(at, "TCP6: inuse %" SCNu64, &v6) == 1)
		s->inuse += v6;
	free(text);
}

/* What a process and its children have, a page that several of them share divided among these. */
uint64_t footprint_look_at_process(pid_t pid)
{
	pid_t *all = NULL;
	uint64_t pss = 0;
	size_t n = procfs_tree(pid, FAMILY_MAX, &all);
	for (size_t i = 0; i < n; i++) {
		struct procfs p;
		struct net_error e;
		struct procfs_memory m;
		char text[4096];
		if (procfs_open(&p, all[i], &e) < 0)
			continue;
		ssize_t len = procfs_read(&p, "smaps_rollup", text, sizeof(text));
		if (len > 0 && procfs_parse_rollup(&m, text, (size_t)len))
			pss += m.pss;
		procfs_close(&p);
	}
	free(all);
	return pss;
}
